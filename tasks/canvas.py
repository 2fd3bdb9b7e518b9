"""The canvas: an immutable block of cells, some pinned, the others open. Independent of task and model.

>>> pinned = np.array([True, False])
>>> canvas = Canvas(np.array([3, 0]), pinned, pinned, vocab=9)
>>> canvas.num_cells
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
    """The encoding of a problem that a denoiser sees. L cells, P prompt tokens, R relations.

    tokens (L,): meaningful where ``known``; elsewhere arbitrary.
    pinned (L,): given cells, which never change.
    known (L,): pinned cells, and drafted cells, which may be re-masked.
    vocab: a cell may hold the tokens 0 .. vocab-1. A model's mask token is not among them.
    allowed (L, W) int32 bitmask of statically allowed tokens, or None for all.
    prompt (P,): tokens before the block.
    relations (R, L): group ids (row, column, box, ...), -1 for none.
    slots: (start, capacity) of holes of variable length, padded with blanks.
    blank: the token that pads a slot after its text, or None.
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
        num_cells = len(self.tokens)
        if self.pinned.shape != (num_cells,) or self.known.shape != (num_cells,):
            raise ValueError("tokens, pinned and known must have the same length")
        if (self.pinned & ~self.known).any():
            raise ValueError("a pinned cell must be known")
        known_tokens = self.tokens[self.known]
        if known_tokens.size and (known_tokens.min() < 0 or known_tokens.max() >= self.vocab):
            raise ValueError(f"a known token is outside 0..{self.vocab - 1}")
        if self.relations is None:
            object.__setattr__(self, "relations", np.zeros((0, num_cells), np.int64))
        for array in (self.tokens, self.pinned, self.known, self.allowed, self.prompt, self.relations):
            if array is not None:
                array.setflags(write=False)

    @property
    def num_cells(self) -> int:
        """Number of cells L."""
        return len(self.tokens)

    @property
    def groups(self) -> Tokens:
        """The group ids (R, L), never None."""
        assert self.relations is not None
        return self.relations
