"""The canvas: a fixed block of cells, some pinned, the rest open. It is immutable and knows neither task nor model.

>>> pinned = np.array([True, False])
>>> canvas = Canvas(np.array([3, 0]), pinned, pinned, vocab=9)
>>> canvas.cells
2
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int64]
Mask = NDArray[np.bool_]
EMPTY: Tokens = np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class Canvas:
    """The input of a denoiser. L cells, P prompt tokens, R relations.

    Attributes:
        tokens: (L,). Those of unknown cells have no meaning.
        pinned: (L,), the cells that are given and never change.
        known: (L,), pinned cells and those of a draft that may be changed.
        vocab: cells hold tokens 0 to vocab - 1. A model adds its own mask token, if it has one.
        allowed: (L, W) int32 bitmask of the tokens that a cell may hold, or None for all.
        prompt: (P,), tokens before the block.
        relations: (R, L), group ids (row, column, box, ...), -1 for none.
        slots: start and capacity of holes of variable length, whose unused cells hold ``blank``.
        blank: the token that fills the unused cells of a slot, or None.

    Raises:
        ValueError: shapes differ, a pinned cell is unknown, or a known token is not in the vocabulary.
    """

    tokens: Tokens
    pinned: Mask
    known: Mask
    vocab: int
    allowed: NDArray[np.int32] | None = None
    prompt: Tokens = field(default_factory=EMPTY.copy)
    relations: Tokens | None = None
    slots: tuple[tuple[int, int], ...] = ()
    blank: int | None = None

    def __post_init__(self) -> None:
        cells = len(self.tokens)
        if self.pinned.shape != (cells,) or self.known.shape != (cells,):
            raise ValueError("tokens, pinned and known must have the same length")
        if (self.pinned & ~self.known).any():
            raise ValueError("a pinned cell must be known")
        known_tokens = self.tokens[self.known]
        if known_tokens.size and (known_tokens.min() < 0 or known_tokens.max() >= self.vocab):
            raise ValueError(f"a known token is outside 0..{self.vocab - 1}")
        if self.relations is None:
            object.__setattr__(self, "relations", np.zeros((0, cells), np.int64))
        for array in (self.tokens, self.pinned, self.known, self.allowed, self.prompt, self.relations):
            if array is not None:
                array.setflags(write=False)

    @property
    def cells(self) -> int:
        return len(self.tokens)

    @property
    def groups(self) -> Tokens:
        """The relation ids, never None."""
        assert self.relations is not None
        return self.relations
