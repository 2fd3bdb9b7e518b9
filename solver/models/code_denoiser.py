"""The network for code as a denoiser of pages: every forward looks at the whole page.

denoiser = CodeDenoiser(CodeNetwork(CodeConfig()))
*steps, outcome = refine(CodeTask(), Edit.of(source, spans, capacities), denoiser)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor

from solver.loop.policy import AcceptPolicy, Policy, RemaskPolicy, SearchPolicy
from solver.models.code_network import CodeNetwork
from solver.models.kv_cache import Kept, StaleContext
from solver.models.layers import KNOWN, OPEN, PINNED, converted, fast_bf16
from solver.tasks.canvas import Canvas, Mask, Tokens

ROWS = 32  # rows that go through the network together
SURE = -20.0  # nats, of what a given cell does not hold
BLANKS = 0.3  # a BLANK's weight in training, where most cells are one: it is thought less likely than it is, which is put right


def slot_offsets(canvas: Canvas) -> Tokens:
    """Which cell of its slot each cell (L,) is: from 1 on, or, where none may be BLANK, so that a text is known to fill it, up to
    -1; 0 outside."""
    found = np.zeros(canvas.cells, np.int64)
    blank = canvas.vocab - 1
    for start, capacity in canvas.slots:
        filled = canvas.allowed is not None and not canvas.allowed[start, blank // 32] >> blank % 32 & 1
        found[start : start + capacity] = np.arange(-capacity, 0) if filled else np.arange(1, capacity + 1)
    return found


@dataclass(frozen=True)
class PageState:
    """offset (B, L): which cell of its slot each cell is.  cells (B, N): those that are not pinned, the last one again where a
    row has fewer."""

    offset: Tensor
    cells: Tensor

    def select(self, rows: Sequence[int]) -> Self:
        return replace(self, offset=self.offset[list(rows)], cells=self.cells[list(rows)])


@dataclass(frozen=True)
class Read:
    """For each row what the network made of its page when it read the whole of it, and whether that was at the last forward."""

    kept: tuple[Kept | None, ...]
    whole: tuple[bool, ...]

    def select(self, rows: Sequence[int]) -> Self:
        return replace(
            self, kept=tuple(self.kept[row] for row in rows), whole=tuple(self.whole[row] for row in rows)
        )

    def reset(self, cells: Mask) -> Self:
        return self

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        return cls(
            tuple(one for part in parts for one in part.kept),
            tuple(one for part in parts for one in part.whole),
        )


class CodeDenoiser:
    """A :class:`~solver.models.protocol.Denoiser` over a :class:`CodeNetwork`. A page is read once, at its first forward; from
    then on only what is not pinned is read again."""

    kind: Literal["mask", "uniform"] = "mask"
    lays_out = False
    policy = Policy(
        accept=AcceptPolicy(confidence_threshold=0.7, min_per_step=2),
        remask=RemaskPolicy(doubt_threshold=0.0, tabu_tenure=16),
        search=SearchPolicy(rounds=32, later_rounds=32),
        checks="complete",
        stop="stable",
    )

    def __init__(self, network: CodeNetwork, name: str = "compact") -> None:
        if network.config.causal:
            raise ValueError("a left-to-right model, not a denoiser")
        self.name, self.vocab = name, network.config.vocab
        self.network = converted(network, torch.bfloat16) if fast_bf16() else network

    def prefill(self, canvases: Sequence[Canvas], seeds: Sequence[int]) -> PageState:
        free = [
            np.flatnonzero(~canvas.pinned) if not canvas.pinned.all() else np.array([0])
            for canvas in canvases
        ]
        cells = np.stack([np.pad(one, (0, max(map(len, free)) - len(one)), mode="edge") for one in free])
        offset = np.stack([slot_offsets(canvas) for canvas in canvases])
        return PageState(torch.from_numpy(offset), torch.from_numpy(cells))

    def start(self, state: PageState) -> Read:
        return Read((None,) * len(state.offset), (False,) * len(state.offset))

    @torch.inference_mode()
    def denoise(
        self, state: PageState, tokens: Tensor, known: Tensor, settled: Tensor, aux: Read
    ) -> tuple[Tensor, Read]:
        status = torch.where(settled, PINNED, torch.where(known, KNOWN, OPEN))
        held, kept = torch.where(known, tokens, 0), list(aux.kept)
        said = torch.full((*tokens.shape, self.vocab), SURE).scatter_(
            -1, tokens[..., None], 0.0
        )  # of what is given, itself
        whole = [row for row, one in enumerate(aux.kept) if one is None]
        like = first_alike(
            torch.cat([held, status, state.offset], 1), whole
        )  # draws begin with the same page: read once
        for some in batches([row for row in whole if like[row] == row]):
            around = StaleContext()
            found = self.network(held[some], status[some], state.offset[some], ~settled[some], around)
            for number, row in enumerate(some):
                kept[row] = {key: x[number] for key, x in around.kept.items()}
            said[some] = said[some].masked_scatter(~settled[some][..., None], self.even(found))
        for row in whole:
            kept[row], said[row] = kept[like[row]], said[like[row]]
        for some in batches([row for row, one in enumerate(aux.kept) if one is not None]):
            cells, rows = state.cells[some], torch.tensor(some)[:, None]
            around = StaleContext(stacked([one for row in some if (one := kept[row]) is not None]), cells)
            found = self.even(self.network(held[some], status[some], state.offset[some], around=around))
            said[rows, cells] = torch.where(settled[rows, cells][..., None], said[rows, cells], found)
        return said, Read(tuple(kept), tuple(like.get(row) == row for row in range(len(tokens))))

    def even(self, found: Tensor) -> Tensor:
        """Log-probabilities (..., V) of a BLANK as training would have them without its weight. ``found`` is changed."""
        found[..., -1] -= math.log(BLANKS)
        return found.log_softmax(-1)

    def cost(self, state: PageState, aux: Read) -> tuple[list[int], list[int]]:
        size, cells = state.offset.shape[1], state.cells.shape[1]
        flops = {True: self.network.flops(size, 0, cells), False: self.network.flops(cells, size - cells)}
        return [1] * len(aux.whole), [flops[whole] for whole in aux.whole]

    def noise(self, where: Mask, vocab: int, rng: np.random.Generator) -> Tokens:
        return np.zeros(len(where), np.int64)


def first_alike(rows: Tensor, some: Sequence[int]) -> dict[int, int]:
    """For each of some rows (B, ...) the first of them that holds the same."""
    first = dict[bytes, int]()
    return {row: first.setdefault(rows[row].numpy().tobytes(), row) for row in some}


def batches(rows: Sequence[int]) -> Iterator[list[int]]:
    """In parts of at most ``ROWS``."""
    for at in range(0, len(rows), ROWS):
        yield list(rows[at : at + ROWS])


def stacked(some: Sequence[Kept]) -> Kept:
    """Of all rows together."""
    return {
        key: torch.stack([one[key] for one in some]) if len(some) > 1 else x[None]
        for key, x in some[0].items()
    }
