"""Base of the denoisers for JSON and code: unknown cells hold a mask, and the network gets rows in parts.

    >>> list(batches([3, 4, 5], size=2))
    [[3, 4], [5]]

Shapes: B rows, L cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from solver.models.layers import KNOWN, OPEN, PINNED
from solver.tasks.canvas import Canvas, Mask, Tokens

ROWS = 32  # rows that go through a network together


class MaskDenoiser:
    """Base of a :class:`~solver.models.protocol.Denoiser` whose network reads a status for each cell.

    Raises ValueError where the network is ``causal``.
    """

    kind: Literal["mask", "uniform"] = "mask"

    def __init__(self, name: str, vocab: int, causal: bool) -> None:
        if causal:
            raise ValueError("a left-to-right model, not a denoiser")
        self.name, self.vocab = name, vocab

    def noise(self, where: Mask, vocab: int, rng: np.random.Generator) -> Tokens:
        return np.zeros(len(where), np.int64)

    @staticmethod
    def inputs(tokens: Tensor, known: Tensor, settled: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, L), 0 where unknown, and their status (B, L): PINNED, KNOWN or OPEN."""
        status = torch.where(settled, PINNED, torch.where(known, KNOWN, OPEN))
        return torch.where(known, tokens, 0), status


def slot_offsets(canvas: Canvas, first: int = 0) -> Tokens:
    """The index of each cell (L,) in its slot, from ``first`` on; 0 outside of slots."""
    offsets = np.zeros(canvas.num_cells, np.int64)
    for start, capacity in canvas.slots:
        offsets[start : start + capacity] = np.arange(first, first + capacity)
    return offsets


def batches(rows: Sequence[int], size: int = ROWS) -> Iterator[list[int]]:
    """``rows`` in parts of at most ``size``."""
    for start in range(0, len(rows), size):
        yield list(rows[start : start + size])
