"""The compact network's loops in C (compact.c), with gradients: the fast path of ``solver/models/looped.py`` on a CPU.

Present where setup.py found a C compiler and the CPU is one it pays on; :func:`available` says so. ``REMASK_KERNELS=reference``
switches it off.

Shapes: B rows, L cells, V tokens, D width, H hidden, R relations. States are (B, L, V, D), fp32.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

KINDS = (
    "message",
    "inner",
    "group_in",
    "group_out",
    "rival_in",
    "rival_out",
    "outer",
    "head",
)  # compact.c has the same order
PARTS = 4  # rows go through in so many pieces, whatever the number of threads: gradients add up in one order
Parameters = Sequence[Tensor | None]  # per kind: weight (out, in), bias (out,) or None


class _Network(ctypes.Structure):
    _fields_ = (
        ("width", ctypes.c_int),
        ("hidden", ctypes.c_int),
        ("weight", ctypes.c_void_p * len(KINDS)),
        ("bias", ctypes.c_void_p * len(KINDS)),
        ("turned", ctypes.c_void_p * len(KINDS)),
    )


class _GroupLayout(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int) for name in ("cells", "tokens", "relations", "groups", "causal")),
        ("member", ctypes.c_void_p),
    )


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL | None:
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(f"_compact{suffix}")
        if path.exists():
            library = ctypes.CDLL(str(path))
            library.remask_scratch.restype = ctypes.c_long
            return library if library.remask_fast() else None
    return None


def available() -> bool:
    """Whether the compiled path is there, is fast on this CPU, and is not switched off."""
    return os.environ.get("REMASK_KERNELS", "auto") != "reference" and _library() is not None


@dataclass(frozen=True)
class GroupLayout:
    """Which cells hear which. member (R, L) int32: a group's number, counted over all relations, or -1."""

    member: Tensor
    tokens: int
    causal: bool = False

    @classmethod
    def from_relations(cls, relations: Tensor, tokens: int, causal: bool = False) -> GroupLayout:
        """From relation ids (R, L), -1 for none."""
        member, count = torch.full(relations.shape, -1, dtype=torch.int32), 0
        for r, row in enumerate(relations.tolist()):
            for group in sorted({g for g in row if g >= 0}):
                member[r][relations[r] == group] = count
                count += 1
        return cls(member, tokens, causal)

    @property
    def groups(self) -> int:
        """G: the groups, or where each cell has its own view of each of its groups, R L."""
        if self.causal or not self.member.numel():
            return self.member.numel()
        return int(self.member.max()) + 1

    def struct(self) -> _GroupLayout:
        """As compact.c reads it; keep the layout alive while a call runs."""
        relations, cells = self.member.shape
        return _GroupLayout(
            cells, self.tokens, relations, self.groups, int(self.causal), self.member.data_ptr()
        )


class Network:
    """Parameters in the order and the panels that compact.c reads. Keep it alive while a call runs."""

    def __init__(self, parameters: Parameters) -> None:
        weights = [p.detach().float() for p in parameters[::2] if p is not None]
        biases = [None if p is None else p.detach().float().contiguous() for p in parameters[1::2]]
        width, hidden = weights[0].shape[1], weights[1].shape[0]
        packed = [*(panels(w.t()) for w in weights[:-1]), weights[-1].contiguous()]
        turned = [*(panels(w) for w in weights[:-1]), weights[-1]]
        self._keep = (packed, biases, turned)
        self.struct = _Network(width, hidden)
        for k in range(len(KINDS)):
            bias = biases[k]
            self.struct.weight[k] = packed[k].data_ptr()
            self.struct.bias[k] = None if bias is None else bias.data_ptr()
            self.struct.turned[k] = turned[k].data_ptr()


def panels(weight: Tensor) -> Tensor:
    """(in, out) as (out / 16, in, 16)."""
    return weight.reshape(weight.shape[0], -1, 16).transpose(0, 1).contiguous()


def unpanel(packed: Tensor) -> Tensor:
    """The inverse of :func:`panels`."""
    return packed.transpose(0, 1).reshape(packed.shape[1], -1)


def _address(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


def _in_parts(
    rows: int, work: Callable[[slice, Tensor], Any], network: Network, layout: _GroupLayout
) -> list[Any]:
    """``work(rows, scratch)`` for every part of the rows, on as many threads as torch has; the results in order."""
    library = _library()
    assert library is not None
    size = library.remask_scratch(ctypes.byref(network.struct), ctypes.byref(layout))
    step = -(-rows // PARTS)
    parts = [slice(at, min(at + step, rows)) for at in range(0, rows, step)]

    def one(part: slice) -> Any:
        return work(part, torch.empty(size))

    threads = min(torch.get_num_threads(), len(parts))
    if threads == 1:
        return [one(part) for part in parts]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, parts))


def settle(
    network: Network,
    layout: GroupLayout,
    order: Tensor,
    given: Tensor,
    x: Tensor,
    said: Tensor,
    state: Tensor,
    loops: int,
    chunk: int,
    settled: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Loop every row until its best tokens have stood for ``chunk`` loops with every cell not ``given`` (B, L) at least
    ``settled`` sure, at most ``loops`` times: the last state (B, L, V, D), logits (B, L, V) and loops taken (B,)."""
    rows, cells, tokens, _ = state.shape
    state, x, said = state.clone().contiguous(), x.contiguous(), said.contiguous()
    held, settled_cells = order.to(torch.uint8).contiguous(), given.to(torch.uint8).contiguous()
    logits, taken = torch.empty(rows, cells, tokens), torch.empty(rows, dtype=torch.int32)
    shape, library = layout.struct(), _library()
    assert library is not None

    def work(part: slice, scratch: Tensor) -> None:
        best = torch.empty(cells, dtype=torch.int32)
        arrays = (
            held[part],
            settled_cells[part],
            x[part],
            said[part],
            state[part],
            logits[part],
            taken[part],
            scratch,
            best,
        )
        library.remask_settle(
            ctypes.byref(network.struct),
            ctypes.byref(shape),
            part.stop - part.start,
            loops,
            chunk,
            ctypes.c_float(settled),
            *map(_address, arrays),
        )

    _in_parts(rows, work, network, shape)
    return state, logits, taken.long()


class _Loops(torch.autograd.Function):
    """Loops with gradients for x, said and the parameters; the state that comes in gets none (it is carried, detached)."""

    @staticmethod
    def forward(
        ctx: Any,
        layout: GroupLayout,
        loops: int,
        order: Tensor,
        state: Tensor,
        x: Tensor,
        said: Tensor,
        *flat: Any,
    ) -> Tensor:
        network, shape, library = Network(flat), layout.struct(), _library()
        assert library is not None
        rows = len(state)
        states = torch.empty(rows, loops + 1, *state.shape[1:])
        states[:, 0] = state
        scales = torch.empty(rows, loops, state.shape[1] * state.shape[2])
        x, said, held = x.float().contiguous(), said.float().contiguous(), order.to(torch.uint8).contiguous()

        def work(part: slice, scratch: Tensor) -> None:
            arrays = (held[part], x[part], said[part], states[part], scales[part], scratch)
            head = (ctypes.byref(network.struct), ctypes.byref(shape), part.stop - part.start, loops)
            library.remask_forward(*head, *map(_address, arrays))

        _in_parts(rows, work, network, shape)
        ctx.save_for_backward(held, x, said, states, scales, *(p for p in flat if p is not None))
        ctx.layout, ctx.loops, ctx.present = layout, loops, [p is not None for p in flat]
        return states[:, -1].clone()

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Any, ...]:
        held, x, said, states, scales, *some = ctx.saved_tensors
        given = iter(some)
        flat = [next(given) if present else None for present in ctx.present]
        network, shape, library = Network(flat), ctx.layout.struct(), _library()
        assert library is not None
        d_state = outputs[0].float().clone(memory_format=torch.contiguous_format)
        d_x, d_said = torch.zeros_like(x), torch.zeros_like(said)

        def work(part: slice, scratch: Tensor) -> list[Tensor | None]:
            """Gradients of this part's rows, weights still in panels."""
            own = [
                None if p is None else torch.zeros_like(panels(p.t()) if p.dim() == 2 else p)
                for p in flat[:-2]
            ]
            pointers = [
                (ctypes.c_void_p * len(KINDS))(*(None if g is None else g.data_ptr() for g in own[k::2]))
                for k in (0, 1)
            ]
            head = (ctypes.byref(network.struct), ctypes.byref(shape), part.stop - part.start, ctx.loops)
            arrays = [t[part] for t in (held, x, said, states, scales, d_state, d_x, d_said)]
            library.remask_backward(*head, *map(_address, arrays), *pointers, _address(scratch))
            return own

        parts = _in_parts(len(x), work, network, shape)
        sums = [
            None if column[0] is None else sum(column[1:], column[0]) for column in zip(*parts, strict=True)
        ]
        back = [unpanel(g).t() if g is not None and g.dim() == 3 else g for g in sums]
        return (None, None, None, None, d_x, d_said, *back, None, None)


def loops(
    layout: GroupLayout,
    count: int,
    order: Tensor,
    state: Tensor,
    x: Tensor,
    said: Tensor,
    parameters: Parameters,
) -> Tensor:
    """The state (B, L, V, D) after ``count`` loops. Differentiable in x, said (B, L, V, D) and the parameters."""
    result: Tensor = _Loops.apply(layout, count, order, state, x, said, *parameters)  # type: ignore[no-untyped-call]  # torch's
    return result


class Prefix:
    """The cache of left-to-right decoding: sent and states (S, L, K, V, D) for S slots, K loops."""

    def __init__(self, network: Network, layout: GroupLayout, slots: int, count: int) -> None:
        relations, cells = layout.member.shape
        if relations > 16:
            raise ValueError(f"{relations} relations; at most 16 go through the compiled path")
        self.network, self.layout, self.loops = network, replace(layout, causal=True), count
        self.sent, self.states = torch.zeros(2, slots, cells, count, layout.tokens, network.struct.width)

    def begin(self, slot: int, given: Tensor, x: Tensor, first: Tensor) -> None:
        """Read the ``given`` cells (N,) into a slot; x (N, V, D) is their input, first (V, D) the state of any cell."""
        if not len(given):
            return
        part = GroupLayout(self.layout.member[:, given].contiguous(), self.layout.tokens, causal=True)
        shape, library, state = part.struct(), _library(), first.expand(len(given), *first.shape).contiguous()
        assert library is not None
        scratch = torch.empty(library.remask_scratch(ctypes.byref(self.network.struct), ctypes.byref(shape)))
        arrays = (
            torch.zeros(len(given), dtype=torch.uint8),
            x.contiguous(),
            given.int(),
            state,
            self.sent[slot],
            scratch,
        )
        library.remask_prefix(
            ctypes.byref(self.network.struct), ctypes.byref(shape), self.loops, *map(_address, arrays)
        )

    def next(self, slots: Tensor, cells: Tensor, visible: Tensor, x: Tensor, first: Tensor) -> Tensor:
        """Logits (N, V) of the ``cells`` (N,) of ``slots`` (N,) from those that are ``visible`` (N, L)."""
        logits, seen = torch.empty(len(cells), self.layout.tokens), visible.to(torch.uint8).contiguous()
        rows, where, x, first = slots.int(), cells.int(), x.contiguous(), first.contiguous()
        shape, library = self.layout.struct(), _library()
        assert library is not None

        def work(part: slice, scratch: Tensor) -> None:
            head = (
                ctypes.byref(self.network.struct),
                ctypes.byref(shape),
                part.stop - part.start,
                _address(rows[part]),
                self.loops,
            )
            arrays = (where[part], seen[part], x, first, self.sent, self.states, logits[part], scratch)
            library.remask_append(*head, *map(_address, arrays))

        _in_parts(len(cells), work, self.network, shape)
        return logits

    def say(self, slots: Tensor, cells: Tensor, said: Tensor) -> None:
        """The tokens of ``cells`` are known now; said (N, V, D) is their input with them."""
        rows, where, said = slots.int(), cells.int(), said.contiguous()
        shape, library = self.layout.struct(), _library()
        assert library is not None
        scratch = torch.empty(said[0].numel())
        head = (
            ctypes.byref(self.network.struct),
            ctypes.byref(shape),
            len(cells),
            _address(rows),
            self.loops,
        )
        library.remask_say(*head, *map(_address, (where, said, self.states, self.sent, scratch)))
