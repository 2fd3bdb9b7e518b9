"""The order in which a solver by logic would fill a grid. The easiest-first baseline is trained on it.

>>> from solver.tasks.sudoku.layout import standard
>>> puzzle = np.array([[0, 2, 3, 4, 3, 4, 1, 2, 2, 1, 4, 3, 4, 3, 2, 0]], np.int8)
>>> solution = np.array([[1, 2, 3, 4, 3, 4, 1, 2, 2, 1, 4, 3, 4, 3, 2, 1]], np.int8)
>>> easiest_first(standard(4), puzzle, solution)[0, -2:].tolist()
[0, 15]

The next cell is the first that is a naked or hidden single. If there is none, it is the first with the fewest
candidates, and its digit is taken from the solution.
"""

# The compiled function carries no annotations: numba infers its types, and mypy could not check them.
# mypy: allow-untyped-defs

import numpy as np
from numba import njit
from numpy.typing import NDArray

from solver.tasks.sudoku.layout import Layout


@njit(cache=True, nogil=True)
def _order(puzzles, solutions, peers, units, units_of, order):
    cells, digits = puzzles.shape[1], units.shape[1]
    full = (1 << digits) - 1
    for row in range(len(puzzles)):
        # Place the givens.
        candidates, placed = np.full(cells, full), 0
        for cell in range(cells):
            if puzzles[row, cell]:
                order[row, placed] = cell
                placed += 1
                candidates[cell] = 0
                for peer in peers[cell]:
                    if peer >= 0:
                        candidates[peer] &= ~(1 << (puzzles[row, cell] - 1))
        # Place the easiest cell until none is open.
        while placed < cells:
            chosen, fewest = -1, 100
            for cell in range(cells):
                if candidates[cell] == 0:
                    continue
                bit, count = 1 << (solutions[row, cell] - 1), 0
                for digit in range(digits):
                    count += candidates[cell] >> digit & 1
                if count > 1:  # a hidden single counts as one candidate
                    for unit in units_of[cell]:
                        if unit < 0:
                            continue
                        is_single = True
                        for peer in units[unit]:
                            if peer != cell and candidates[peer] & bit:
                                is_single = False
                        if is_single:
                            count = 1
                if count < fewest:
                    chosen, fewest = cell, count
                if fewest == 1:
                    break
            order[row, placed] = chosen
            placed += 1
            candidates[chosen] = 0
            for peer in peers[chosen]:
                if peer >= 0:
                    candidates[peer] &= ~(1 << (solutions[row, chosen] - 1))


def easiest_first(
    layout: Layout, puzzles: NDArray[np.int8], solutions: NDArray[np.int8]
) -> NDArray[np.int64]:
    """The cells (N, L) in the order of filling, the givens first, of puzzles (N, L) and their solutions (N, L)."""
    order = np.empty(puzzles.shape, np.int64)
    memberships = [
        [index for index, unit in enumerate(layout.units) if cell in unit] for cell in range(layout.cells)
    ]
    units_of = np.full((layout.cells, max(map(len, memberships))), -1, np.int64)
    for cell, indices in enumerate(memberships):
        units_of[cell, : len(indices)] = indices
    puzzles, solutions = puzzles.astype(np.int64), solutions.astype(np.int64)
    _order(puzzles, solutions, layout.peers, layout.units, units_of, order)
    return order
