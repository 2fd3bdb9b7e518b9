"""The canvas: a fixed block of cells, some pinned, the rest open. Immutable, and knows neither task nor model."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int64]
Mask = NDArray[np.bool_]
EMPTY: Tokens = np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class Canvas:
    """What a denoiser sees of a problem. L cells, P prompt tokens, R relations.

    tokens (L,): meaningful where ``known``; elsewhere it is noise, whatever stands there.
    pinned (L,): givens, which never change.  known (L,): pinned, or a draft that may be taken back.
    vocab: tokens a cell may hold are 0 .. vocab-1; a mask token, where a model has one, is the model's own affair.
    allowed (L, W) int32 bitmask of statically allowed tokens, or None for all.
    prompt (P,): tokens before the block.  relations (R, L): group ids (row, column, box, ...), -1 for none.
    slots: (start, capacity) of holes of variable length, filled up with trailing blanks.
    blank: the token that follows the text of a slot to its end, or None.
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
        held = self.tokens[self.known]
        if held.size and (held.min() < 0 or held.max() >= self.vocab):
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
