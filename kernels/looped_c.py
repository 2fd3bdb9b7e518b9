"""The looped network's iterations in C (compact.c), with gradients: the fast path of looped.py on a CPU.

Available where setup.py found a C compiler and the CPU has AVX2; see :func:`available`.
``REMASK_KERNELS=reference`` switches it off. Shapes: B rows, L cells, V tokens, D width, H hidden, R
relations, G groups. States are (B, L, V, D), fp32.

    >>> GroupLayout.from_relations(torch.tensor([[0, 0, 1, 1], [5, -1, -1, 5]]), tokens=4).member.tolist()
    [[0, 0, 1, 1], [2, -1, -1, 2]]
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

# The products of the network, in the order of compact.c.
KINDS = ("message", "inner", "group_in", "group_out", "rival_in", "rival_out", "outer", "head")
PARTS = 4  # rows are split alike for any number of threads, so that gradients add up in one order
Parameters = Sequence[Tensor | None]  # per kind: weight (out, in), bias (out,) or None


class _Network(ctypes.Structure):
    _fields_ = (
        ("width", ctypes.c_int),
        ("hidden", ctypes.c_int),
        ("weight", ctypes.c_void_p * len(KINDS)),
        ("bias", ctypes.c_void_p * len(KINDS)),
        ("transposed", ctypes.c_void_p * len(KINDS)),
    )


class _Layout(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int) for name in ("cells", "tokens", "relations", "groups", "causal")),
        ("member", ctypes.c_void_p),
    )


@lru_cache(maxsize=1)
def _find_library() -> ctypes.CDLL | None:
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(f"_compact{suffix}")
        if path.exists():
            library = ctypes.CDLL(str(path))
            library.remask_scratch.restype = ctypes.c_long
            return library if library.remask_fast() else None
    return None


def _library() -> ctypes.CDLL:
    library = _find_library()
    assert library is not None
    return library


def available() -> bool:
    """Whether the compiled path exists, is fast on this CPU, and is not switched off."""
    return os.environ.get("REMASK_KERNELS", "auto") != "reference" and _find_library() is not None


@dataclass(frozen=True)
class GroupLayout:
    """The groups whose cells exchange messages.

    Attributes:
        member: the number of each cell's group per relation (R, L) int32, counted over all relations; -1
            for none.
        tokens: V.
        causal: whether a cell receives messages of earlier cells only.
    """

    member: Tensor
    tokens: int
    causal: bool = False

    @classmethod
    def from_relations(cls, relations: Tensor, tokens: int, causal: bool = False) -> GroupLayout:
        """From group ids (R, L) that are unique within a relation, -1 for none."""
        member, count = torch.full(relations.shape, -1, dtype=torch.int32), 0
        for relation, row in enumerate(relations.tolist()):
            for group in sorted({number for number in row if number >= 0}):
                member[relation][relations[relation] == group] = count
                count += 1
        return cls(member, tokens, causal)

    @property
    def groups(self) -> int:
        """G: the number of groups; R L in the causal form, one view per cell and relation."""
        if self.causal or not self.member.numel():
            return self.member.numel()
        return int(self.member.max()) + 1

    def struct(self) -> _Layout:
        """The structure that compact.c reads; keep this object alive during the call."""
        relations, cells = self.member.shape
        return _Layout(cells, self.tokens, relations, self.groups, int(self.causal), self.member.data_ptr())


class Network:
    """Parameters in the order and memory layout of compact.c. Keep it alive during calls."""

    def __init__(self, parameters: Parameters) -> None:
        weights = [p.detach().float() for p in parameters[::2] if p is not None]
        biases = [None if p is None else p.detach().float().contiguous() for p in parameters[1::2]]
        packed = [*(panels(weight.t()) for weight in weights[:-1]), weights[-1].contiguous()]
        transposed = [*(panels(weight) for weight in weights[:-1]), weights[-1]]
        self._keep = (packed, biases, transposed)
        self.struct = _Network(weights[0].shape[1], weights[1].shape[0])
        for k, bias in enumerate(biases):
            self.struct.weight[k] = packed[k].data_ptr()
            self.struct.bias[k] = None if bias is None else bias.data_ptr()
            self.struct.transposed[k] = transposed[k].data_ptr()


def panels(weight: Tensor) -> Tensor:
    """(in, out) to panels of 16 outputs (out / 16, in, 16)."""
    return weight.reshape(weight.shape[0], -1, 16).transpose(0, 1).contiguous()


def unpanel(packed: Tensor) -> Tensor:
    """The inverse of :func:`panels`."""
    return packed.transpose(0, 1).reshape(packed.shape[1], -1)


def _call(name: str, network: Network, layout: _Layout, *arguments: Any) -> None:
    """Call a function of compact.c; tensors are passed by address, and have to be contiguous."""
    values = (ctypes.c_void_p(a.data_ptr()) if isinstance(a, Tensor) else a for a in arguments)
    getattr(_library(), name)(ctypes.byref(network.struct), ctypes.byref(layout), *values)


def _bytes(mask: Tensor) -> Tensor:
    return mask.to(torch.uint8).contiguous()


def _scratch(network: Network, layout: _Layout) -> Tensor:
    return torch.empty(_library().remask_scratch(ctypes.byref(network.struct), ctypes.byref(layout)))


def _in_parts(rows: int, work: Callable[[slice], Any]) -> list[Any]:
    """The results of ``work`` for all parts of the rows, on as many threads as torch has."""
    step = -(-rows // PARTS)
    parts = [slice(start, min(start + step, rows)) for start in range(0, rows, step)]
    threads = min(torch.get_num_threads(), len(parts))
    if threads == 1:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, parts))


def settle(
    network: Network,
    layout: GroupLayout,
    order: Tensor,
    given: Tensor,
    x: Tensor,
    source: Tensor,
    state: Tensor,
    loops: int,
    chunk: int,
    confidence: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Iterate every row until it is stable.

    Args:
        network, layout: parameters and groups.
        order: of the cells (B, L), used in the causal form only; below 256.
        given: cells (B, L) that need not be confident.
        x: input features (B, L, V, D).
        source: input features of outgoing messages; ``x`` in the bidirectional form.
        state: first states (B, L, V, D).
        loops: iterations at most.
        chunk: iterations between two looks. A row is stable if its best tokens did not change since the
            last look and every cell that is not ``given`` has at least ``confidence``.
        confidence: a probability.

    Returns:
        The last states (B, L, V, D), logits (B, L, V) and iterations (B,).
    """
    rows, cells, tokens, _ = state.shape
    state, x, source = state.clone().contiguous(), x.contiguous(), source.contiguous()
    order_bytes, given_bytes = _bytes(order), _bytes(given)
    logits, taken = torch.empty(rows, cells, tokens), torch.empty(rows, dtype=torch.int32)
    struct = layout.struct()

    def work(part: slice) -> None:
        limits = (part.stop - part.start, loops, chunk, ctypes.c_float(confidence))
        arrays = (array[part] for array in (order_bytes, given_bytes, x, source, state, logits, taken))
        scratch, best = _scratch(network, struct), torch.empty(cells, dtype=torch.int32)
        _call("remask_settle", network, struct, *limits, *arrays, scratch, best)

    _in_parts(rows, work)
    return state, logits, taken.long()


class _Loops(torch.autograd.Function):
    """Iterations with gradients for x, source and the parameters; the first state is detached."""

    @staticmethod
    def forward(
        ctx: Any,
        layout: GroupLayout,
        loops: int,
        order: Tensor,
        state: Tensor,
        x: Tensor,
        source: Tensor,
        *parameters: Any,
    ) -> Tensor:
        network, struct = Network(parameters), layout.struct()
        rows = len(state)
        # every state is kept for the backward pass; the rest is computed again
        states = torch.empty(rows, loops + 1, *state.shape[1:])
        states[:, 0] = state
        scales = torch.empty(rows, loops, state.shape[1] * state.shape[2])
        x, source, order_bytes = x.float().contiguous(), source.float().contiguous(), _bytes(order)

        def work(part: slice) -> None:
            arrays = (array[part] for array in (order_bytes, x, source, states, scales))
            scratch = _scratch(network, struct)
            _call("remask_forward", network, struct, part.stop - part.start, loops, *arrays, scratch)

        _in_parts(rows, work)
        present = [p for p in parameters if p is not None]
        ctx.save_for_backward(order_bytes, x, source, states, scales, *present)
        ctx.layout, ctx.loops, ctx.present = layout, loops, [p is not None for p in parameters]
        return states[:, -1].clone()

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Any, ...]:
        order_bytes, x, source, states, scales, *saved = ctx.saved_tensors
        present = iter(saved)
        parameters = [next(present) if is_present else None for is_present in ctx.present]
        network, struct = Network(parameters), ctx.layout.struct()
        d_state = outputs[0].float().clone(memory_format=torch.contiguous_format)
        d_x, d_source = torch.zeros_like(x), torch.zeros_like(source)

        def work(part: slice) -> list[Tensor | None]:
            gradients = [
                None if p is None else torch.zeros_like(panels(p.t()) if p.dim() == 2 else p)
                for p in parameters[:-2]
            ]
            addresses = [None if g is None else g.data_ptr() for g in gradients]
            pointers = [(ctypes.c_void_p * len(KINDS))(*addresses[k::2]) for k in (0, 1)]
            by_row = (order_bytes, x, source, states, scales, d_state, d_x, d_source)
            arrays = (*(array[part] for array in by_row), *pointers, _scratch(network, struct))
            _call("remask_backward", network, struct, part.stop - part.start, ctx.loops, *arrays)
            return gradients

        parts = _in_parts(len(x), work)
        sums = [
            None if column[0] is None else sum(column[1:], column[0]) for column in zip(*parts, strict=True)
        ]
        d_parameters = [unpanel(g).t() if g is not None and g.dim() == 3 else g for g in sums]
        return (None, None, None, None, d_x, d_source, *d_parameters, None, None)


def loops(
    layout: GroupLayout,
    count: int,
    order: Tensor,
    state: Tensor,
    x: Tensor,
    source: Tensor,
    parameters: Parameters,
) -> Tensor:
    """The state (B, L, V, D) after ``count`` iterations.

    Differentiable in ``x`` and ``source`` (B, L, V, D) and in the parameters; see :func:`settle` for the
    arguments.
    """
    result: Tensor = _Loops.apply(  # type: ignore[no-untyped-call]  # torch's
        layout, count, order, state, x, source, *parameters
    )
    return result


class PrefixCache:
    """The cache of left-to-right decoding: messages and states (S, L, K, V, D) of S cache rows, K iterations.

    Raises:
        ValueError: for more than 16 relations.
    """

    def __init__(self, network: Network, layout: GroupLayout, num_cache_rows: int, count: int) -> None:
        relations, cells = layout.member.shape
        if relations > 16:
            raise ValueError(f"{relations} relations; the compiled path takes at most 16")
        self.network, self.layout, self.loops = network, replace(layout, causal=True), count
        shape = num_cache_rows, cells, count, layout.tokens, network.struct.width
        self.sent, self.states = torch.zeros(2, *shape)

    def begin(self, cache_row: int, given: Tensor, x: Tensor, first: Tensor) -> None:
        """Read the ``given`` cells (N,) into a cache row; features x (N, V, D), first state (V, D)."""
        if not len(given):
            return
        prefix = GroupLayout(self.layout.member[:, given].contiguous(), self.layout.tokens, causal=True)
        struct, state = prefix.struct(), first.expand(len(given), *first.shape).contiguous()
        order = torch.zeros(len(given), dtype=torch.uint8)
        scratch = _scratch(self.network, struct)
        arrays = (order, x.contiguous(), given.int(), state, self.sent[cache_row], scratch)
        _call("remask_prefix", self.network, struct, self.loops, *arrays)

    def next(self, cache_rows: Tensor, cells: Tensor, visible: Tensor, x: Tensor, first: Tensor) -> Tensor:
        """Logits (N, V) of ``cells`` (N,) in ``cache_rows`` (N,), each given the ``visible`` cells (N, L)."""
        logits, visible_bytes = torch.empty(len(cells), self.layout.tokens), _bytes(visible)
        rows, numbers, x, first = cache_rows.int(), cells.int(), x.contiguous(), first.contiguous()
        struct = self.layout.struct()

        def work(part: slice) -> None:
            cache, scratch = (x, first, self.sent, self.states), _scratch(self.network, struct)
            arrays = (numbers[part], visible_bytes[part], *cache, logits[part], scratch)
            size = part.stop - part.start
            _call("remask_append", self.network, struct, size, rows[part], self.loops, *arrays)

        _in_parts(len(cells), work)
        return logits

    def write(self, cache_rows: Tensor, cells: Tensor, source: Tensor) -> None:
        """Store the messages, from ``source`` (N, V, D), of ``cells`` (N,) whose tokens are now known."""
        rows, numbers, source = cache_rows.int(), cells.int(), source.contiguous()
        struct, scratch = self.layout.struct(), torch.empty(source[0].numel())
        arrays = (numbers, source, self.states, self.sent, scratch)
        _call("remask_say", self.network, struct, len(cells), rows, self.loops, *arrays)
