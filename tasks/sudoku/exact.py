"""Exact Sudoku solver and puzzle generator: an oracle and a source of data, never part of an answer.

>>> from solver.tasks.sudoku.layout import standard
>>> puzzles, solutions, ratings = generate_puzzles(standard(4), count=2, seed=1)
>>> count_solutions(standard(4), puzzles[0]).solutions
1

Propagates naked and hidden singles, then searches depth first on the cell with the fewest candidates
(exact_search.py). The loop and its models never import this module; a test checks that.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from solver.tasks.errors import InvalidArgument
from solver.tasks.sudoku.exact_search import MAX_GUESSES, count_into, generate_into, next_random
from solver.tasks.sudoku.layout import Layout

Int8 = NDArray[np.int8]

MAX_GRIDS = 1_000  # grids tried per puzzle
GRIDS_PER_CALL = 32


class SolutionCount(NamedTuple):
    """The number of solutions, up to a limit, the first of them, and the number of guesses it took."""

    solutions: int
    first: Int8
    guesses: int


def count_many(
    layout: Layout, grids: Int8, limit: int = 2
) -> tuple[NDArray[np.int64], Int8, NDArray[np.int64]]:
    """Count the solutions of grids.

    Args:
        layout: the layout.
        grids: (N, cells), digits from 1, 0 for blank.
        limit: the count stops there.

    Returns:
        The number of solutions (N,), the first of them (N, cells), and the number of guesses (N,).

    Raises:
        ValueError: the grids have another shape.
        RuntimeError: ``MAX_GUESSES`` were not enough.
    """
    grids = np.ascontiguousarray(grids, np.int8)
    if grids.ndim != 2 or grids.shape[1] != layout.cells:
        raise ValueError(f"grids of shape {grids.shape}, not (N, {layout.cells})")
    first = np.zeros_like(grids)
    counts, guesses = np.zeros(len(grids), np.int64), np.zeros(len(grids), np.int64)
    full = (1 << layout.digits) - 1
    count_into(grids, layout.units, layout.peers, full, limit, first, counts, guesses)
    if ((guesses >= MAX_GUESSES) & (counts < limit)).any():
        raise RuntimeError(f"not counted after {MAX_GUESSES} guesses")
    return counts, first, guesses


def count_solutions(layout: Layout, grid: Int8, limit: int = 2) -> SolutionCount:
    """Count the solutions of one grid (cells,), up to ``limit``."""
    counts, first, guesses = count_many(layout, np.asarray(grid, np.int8)[None], limit)
    return SolutionCount(int(counts[0]), first[0], int(guesses[0]))


def generate_puzzles(
    layout: Layout, count: int, seed: int, extra: int = 0, min_guesses: int = 0, max_guesses: int = 1 << 30
) -> tuple[Int8, Int8, NDArray[np.int64]]:
    """Make puzzles as :func:`generate_each`: puzzles (N, cells), solutions (N, cells) and ratings (N,)."""
    rows = [*generate_each(layout, count, seed, extra, min_guesses, max_guesses)]
    puzzles, solutions = (
        np.array([row[k] for row in rows], np.int8).reshape(-1, layout.cells) for k in (0, 1)
    )
    return puzzles, solutions, np.array([rating for *_, rating in rows], np.int64)


def generate_each(
    layout: Layout, count: int, seed: int, extra: int = 0, min_guesses: int = 0, max_guesses: int = 1 << 30
) -> Iterator[tuple[Int8, Int8, int]]:
    """Yield puzzles that have exactly one solution, each as soon as it is made, with solution and rating.

    A puzzle is minimal, that is no clue can be removed, before ``extra`` clues are put back. The rating is
    the number of guesses of the exact solver on the minimal puzzle; 0 means that naked and hidden singles
    suffice. Puzzles whose rating is not between ``min_guesses`` and ``max_guesses`` are rejected. The same
    seed makes the same puzzles.

    Raises:
        InvalidArgument: the layout has no solution, or ``MAX_GRIDS`` grids per puzzle were not enough.
    """
    if count < 0 or extra < 0 or min_guesses > max_guesses:
        raise InvalidArgument("count and extra must not be negative, and min_guesses not above max_guesses")
    rng = np.array([(seed * 0x9E3779B97F4A7C15 + 0x1234567) % (1 << 64)], np.uint64)
    for _ in range(8):
        next_random(rng)
    order = np.arange(layout.cells)
    full, tries = (1 << layout.digits) - 1, MAX_GRIDS * count
    for made in range(count):
        puzzle, solution = np.zeros((2, 1, layout.cells), np.int8)
        rating, num_made = np.zeros(1, np.int64), 0
        while not num_made:
            # A call cannot be interrupted, so a single one tries few grids.
            bounds = extra, min_guesses, max_guesses, min(tries, GRIDS_PER_CALL)
            groups = layout.units, layout.peers, full
            num_made, is_possible, tried = generate_into(
                *groups, rng, order, *bounds, puzzle, solution, rating
            )
            tries -= tried
            if not is_possible:
                raise InvalidArgument(f"the layout {layout.name} has no solution")
            if not num_made and tries <= 0:
                raise InvalidArgument(
                    f"no puzzle in that range after {MAX_GRIDS * count} tries ({made} of {count} made)"
                )
        yield puzzle[0], solution[0], int(rating[0])
