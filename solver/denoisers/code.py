"""The network for code as a denoiser of pages: every forward looks at the whole page.

denoiser = CodeDenoiser(CodeNetwork(CodeConfig()))
*steps, outcome = refine(CodeTask(), Edit.of(source, spans, capacities), denoiser)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor

from solver.denoisers.code_network import CodeNetwork
from solver.denoisers.forms import Nothing
from solver.denoisers.parts import KNOWN, OPEN, PINNED, quick
from solver.policies import Policy
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
    """offset (B, L): which cell of its slot each cell is.  free (B,): cells that are not pinned."""

    offset: Tensor
    free: Tensor

    def select(self, rows: Sequence[int]) -> Self:
        return replace(self, offset=self.offset[list(rows)], free=self.free[list(rows)])


class CodeDenoiser:
    """A :class:`~solver.denoisers.protocol.Denoiser` over a :class:`CodeNetwork`."""

    kind: Literal["mask", "uniform"] = "mask"
    policy = Policy(accept=0.7, at_least=1, rounds=32, later_rounds=32, doubt=0.0, stop="settled", judge="whole", taboo=16)

    def __init__(self, network: CodeNetwork, name: str = "compact") -> None:
        if network.config.causal:
            raise ValueError("a left-to-right model, not a denoiser")
        self.network, self.name, self.vocab = quick(network.eval()), name, network.config.vocab

    def prefill(self, canvases: Sequence[Canvas], seeds: Sequence[int]) -> PageState:
        free = torch.tensor([int((~canvas.pinned).sum()) for canvas in canvases])
        return PageState(torch.from_numpy(np.stack([slot_offsets(canvas) for canvas in canvases])), free)

    def start(self, state: PageState) -> Nothing:
        return Nothing(len(state.offset))

    @torch.inference_mode()
    def denoise(self, state: PageState, tokens: Tensor, known: Tensor, trail: Tensor, aux: Nothing) -> tuple[Tensor, Nothing]:
        status = torch.where(trail, PINNED, torch.where(known, KNOWN, OPEN))
        held = torch.where(known, tokens, 0)
        said = torch.full((*tokens.shape, self.vocab), SURE).scatter_(-1, tokens[..., None], 0.0)  # of what is given, itself
        for at in range(0, len(tokens), ROWS):
            rows = slice(at, at + ROWS)
            found = self.network(held[rows], status[rows], state.offset[rows], ~trail[rows])
            found[:, -1] -= math.log(BLANKS)
            said[rows][~trail[rows]] = found.log_softmax(-1)
        return said, Nothing(len(tokens))

    def cost(self, state: PageState, aux: Nothing) -> tuple[list[int], list[int]]:
        return [1] * aux.rows, [self.network.flops(state.offset.shape[1], 0, free) for free in state.free.tolist()]

    def noise(self, where: Mask, vocab: int, rng: np.random.Generator) -> Tokens:
        return np.zeros(len(where), np.int64)
