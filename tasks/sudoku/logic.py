"""The order in which a solver by logic would fill a grid: what the easiest-first baseline is taught. Training data only.

The next cell is the first that is a naked or hidden single; where there is none, the first with the fewest candidates, whose
digit is then taken from the solution.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from solver.tasks.sudoku.layout import Layout


@njit(cache=True, nogil=True)
def _order(puzzles, solutions, peers, units, units_of, order):  # type: ignore[no-untyped-def]
    cells, digits = puzzles.shape[1], units.shape[1]
    full = (1 << digits) - 1
    for row in range(len(puzzles)):
        candidates = np.full(cells, full)
        placed = 0
        for cell in range(cells):
            if puzzles[row, cell]:
                order[row, placed] = cell
                placed += 1
                candidates[cell] = 0
                for p in peers[cell]:
                    if p >= 0:
                        candidates[p] &= ~(1 << (puzzles[row, cell] - 1))
        while placed < cells:
            chosen, fewest = -1, 100
            for cell in range(cells):
                if candidates[cell] == 0:
                    continue
                bit = 1 << (solutions[row, cell] - 1)
                count = 0
                for d in range(digits):
                    count += candidates[cell] >> d & 1
                if count > 1:  # a hidden single counts as one candidate
                    for u in units_of[cell]:
                        if u < 0:
                            continue
                        alone = True
                        for other in units[u]:
                            if other != cell and candidates[other] & bit:
                                alone = False
                        if alone:
                            count = 1
                if count < fewest:
                    chosen, fewest = cell, count
                if fewest == 1:
                    break
            order[row, placed] = chosen
            placed += 1
            candidates[chosen] = 0
            for p in peers[chosen]:
                if p >= 0:
                    candidates[p] &= ~(1 << (solutions[row, chosen] - 1))


def easiest_first(
    layout: Layout, puzzles: NDArray[np.int8], solutions: NDArray[np.int8]
) -> NDArray[np.int64]:
    """Cells (N, L) in order, the givens first, for puzzles with these solutions, both (N, L)."""
    order = np.empty(puzzles.shape, np.int64)
    within = [[u for u, unit in enumerate(layout.units) if cell in unit] for cell in range(layout.cells)]
    units_of = np.full((layout.cells, max(map(len, within))), -1, np.int64)
    for cell, found in enumerate(within):
        units_of[cell, : len(found)] = found
    puzzles, solutions = puzzles.astype(np.int64), solutions.astype(np.int64)
    _order(puzzles, solutions, layout.peers, layout.units, units_of, order)
    return order
