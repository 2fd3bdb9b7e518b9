"""What the passes of the lattice compute for one block: totals of pieces, and live pairs of states and cells.

>>> pairs = np.array([0, 1, 2, 1, 9], np.uint32), np.array([0, 1, 3, 5])      # of cells 0, 1 and 2
>>> compact(*pairs, count=np.array([1, 1, 1]))
(array([0, 1, 1], dtype=uint32), array([0, 1, 2, 3]))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PieceTotals:
    """The weights of the pieces that begin in each cell.

    Attributes:
        sums: mantissas and exponents of the total weights (L, P).
        high: the largest log-weight (L, P).
    """

    sums: tuple[Any, Any]
    high: Floats


@dataclass(frozen=True)
class LivePairs:
    """The results of lattice_layers.py for one block; see there."""

    states: Any
    offset: Any
    skips: Any
    skip_offset: Any
    bounds: Any
    num_live: Any
    num_skips: Any
    choices: Any
    scores: Any
    top: float

    @property
    def layers(self) -> tuple[Any, ...]:
        """The arrays that the sum passes read."""
        pairs = self.states, self.offset, self.num_live
        return *pairs, self.skips, self.skip_offset, self.num_skips, self.bounds

    def completions(self, t: int, num_states: int) -> Floats:
        """The log-weight of the best continuation of every state before cell ``t`` (S,)."""
        pairs = slice(self.offset[t], self.offset[t] + self.num_live[t])
        scores = np.full(num_states, -np.inf)
        scores[self.states[pairs]] = self.scores[pairs]
        return scores


@dataclass(frozen=True)
class Layers:
    """Live pairs of a block, which hold for all blocks whose cells may hold the same symbols or fewer.

    Attributes:
        states, offset, skips, skip_offset, bounds: see lattice_layers.py.
        is_plain: whether they are of a graph without pieces.
    """

    states: Any
    offset: Any
    skips: Any
    skip_offset: Any
    bounds: Any
    is_plain: bool

    @staticmethod
    def of(live: LivePairs, is_plain: bool) -> Layers:
        """The live pairs alone."""
        states = compact(live.states, live.offset, live.num_live)
        return Layers(*states, *compact(live.skips, live.skip_offset, live.num_skips), live.bounds, is_plain)

    def copies(self) -> tuple[Any, ...]:
        """The arrays as the passes change them: pairs and skips that are not live are removed in place."""
        return self.states.copy(), self.offset, self.skips.copy(), self.skip_offset, self.bounds


def compact(elements: Any, offset: Any, count: Any) -> tuple[Any, Any]:
    """The first ``count`` (L + 1,) elements of each cell, and where each cell's begin (L + 2,)."""
    begin = np.concatenate([[0], np.cumsum(count)])
    places = np.arange(begin[-1]) + np.repeat(offset[:-1] - begin[:-1], count)
    return elements[places], begin
