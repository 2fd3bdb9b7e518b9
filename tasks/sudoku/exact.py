"""Exact Sudoku solver and puzzle generator: an oracle and a source of data, never part of an answer.

Candidate bitmasks (bit v-1 of ``cand[cell]`` is digit v), naked and hidden singles, then depth-first search on the cell with
the fewest candidates. Compiled by numba, cached beside this file. The neural path never imports this module (a test holds
that).

    from solver.tasks.sudoku import exact, layout
    exact.count_solutions(layout.standard(9), grid, limit=2)
    exact.generate(layout.standard(9), count=1000, seed=1)      # minimal puzzles with one solution each
"""

# The compiled functions carry no annotations: numba infers their types, and mypy could not check them.
# mypy: allow-untyped-defs

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from solver.tasks.errors import InvalidArgument
from solver.tasks.sudoku.layout import Layout

Int8 = NDArray[np.int8]

MOST_GUESSES = 100_000_000  # a count gives up there, after minutes
TRIES = 1_000  # grids that `generate` tries for each puzzle asked for


class Count(NamedTuple):
    """Result of :func:`count_solutions`: number of solutions up to the limit, the first one, number of guesses."""

    solutions: int
    first: Int8
    guesses: int


@njit(cache=True, nogil=True)
def _assign(cand, cell, bit, peers, queue):
    """Fix ``cell`` to ``bit`` and eliminate it from all peers, following naked singles; False on a contradiction."""
    head, tail = 0, 0
    cand[cell] = bit
    queue[tail] = cell
    tail += 1
    while head < tail:
        c = queue[head]
        head += 1
        b = cand[c]
        for k in range(peers.shape[1]):
            p = peers[c, k]
            if p < 0:
                break
            if cand[p] & b:
                left = cand[p] & ~b
                if left == 0:
                    return False
                cand[p] = left
                if left & (left - 1) == 0:
                    queue[tail] = p
                    tail += 1
    return True


@njit(cache=True, nogil=True)
def _propagate(cand, units, peers, queue, full):
    """Hidden singles until nothing changes; False on a contradiction."""
    moved = True
    while moved:
        moved = False
        for u in range(units.shape[0]):
            once, twice, solved = 0, 0, 0
            for k in range(units.shape[1]):
                m = cand[units[u, k]]
                twice |= once & m
                once |= m
                if m & (m - 1) == 0:
                    solved |= m
            if once != full:
                return False
            hidden = once & ~twice & ~solved
            if hidden:
                for k in range(units.shape[1]):
                    c = units[u, k]
                    b = cand[c] & hidden
                    if b:
                        if b & (b - 1):
                            return False
                        if not _assign(cand, c, b, peers, queue):
                            return False
                        moved = True
                        break
    return True


@njit(cache=True, nogil=True)
def _next(state):
    """One step of xorshift64*; ``state`` is a uint64 array of length 1."""
    x = state[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state[0] = x
    return (x * np.uint64(0x2545F4914F6CDD1D)) >> np.uint64(33)


@njit(cache=True, nogil=True)
def _popcount(m):
    n = 0
    while m:
        m &= m - 1
        n += 1
    return n


@njit(cache=True, nogil=True)
def _search(start, units, peers, full, limit, rng, random_order, first, stack, queue, max_guesses):
    """Solutions (up to ``limit``) and guesses from the candidate masks ``start``; the first solution goes to ``first``."""
    found, guesses, depth = 0, 0, 0
    n = start.shape[0]
    stack[0, :] = start
    if not _propagate(stack[0], units, peers, queue, full):
        return 0, 0
    choice_cell = np.full(stack.shape[0], -1, np.int16)
    choice_left = np.zeros(stack.shape[0], np.int32)
    while depth >= 0:
        cand = stack[depth]
        if choice_cell[depth] < 0:
            best, best_count, ties = -1, 99, 0
            for c in range(n):
                m = cand[c]
                if m & (m - 1):
                    k = _popcount(m)
                    if k < best_count:
                        best, best_count, ties = c, k, 1
                        if k == 2 and not random_order:
                            break
                    elif random_order and k == best_count:
                        ties += 1
                        if _next(rng) % np.uint64(ties) == 0:
                            best = c
            if best < 0:
                if found == 0:
                    first[:] = cand
                found += 1
                if found >= limit:
                    return found, guesses
                depth -= 1
                continue
            choice_cell[depth] = best
            choice_left[depth] = cand[best]
        left = choice_left[depth]
        if left == 0 or guesses >= max_guesses:
            choice_cell[depth] = -1
            depth -= 1
            continue
        bit = left & -left
        if random_order:
            skip = _next(rng) % np.uint64(_popcount(left))
            m = left
            for _ in range(skip):
                m &= m - 1
            bit = m & -m
        choice_left[depth] = left & ~bit
        guesses += 1
        stack[depth + 1, :] = cand
        if _assign(stack[depth + 1], choice_cell[depth], bit, peers, queue) and _propagate(
            stack[depth + 1], units, peers, queue, full
        ):
            depth += 1
            choice_cell[depth] = -1
    return found, guesses


@njit(cache=True, nogil=True)
def _masks(grid, peers, full, queue, out):
    """Candidate masks of a grid of digits (0 blank) into ``out``; False on a direct contradiction."""
    out[:] = full
    for c in range(grid.shape[0]):
        if grid[c] > 0:
            b = 1 << (grid[c] - 1)
            if not out[c] & b:
                return False
            if out[c] != b and not _assign(out, c, b, peers, queue):  # already b: its peers know
                return False
    return True


@njit(cache=True, nogil=True)
def _digits(masks, out):
    for c in range(masks.shape[0]):
        v, m = 0, masks[c]
        while m:
            v += 1
            m >>= 1
        out[c] = v


@njit(cache=True, nogil=True)
def _generate(
    units, peers, full, rng, order, extra, min_guesses, max_guesses, max_tries, puzzles, solutions, ratings
):
    """Fill ``puzzles`` (N, cells); ``rng`` and ``order`` (cells,) are the state, which the next call continues.
    Returns how many were made, whether the layout has a solution at all, and how many grids were tried."""
    n, size = puzzles.shape
    stack = np.empty((size + 2, size), np.int32)
    queue = np.empty(size * 8, np.int32)
    start = np.empty(size, np.int32)
    first = np.empty(size, np.int32)
    grid = np.empty(size, np.int8)
    made = 0
    for tried in range(max_tries):
        if made == n:
            return made, True, tried
        start[:] = full
        found, guesses = _search(start, units, peers, full, 1, rng, True, first, stack, queue, 10_000)
        if found == 0:
            if guesses < 10_000:
                return made, False, tried  # searched to the end
            continue
        _digits(first, grid)
        solutions[made, :] = grid
        for i in range(size - 1, 0, -1):
            j = int(_next(rng) % np.uint64(i + 1))
            order[i], order[j] = order[j], order[i]
        for i in range(size):
            c = order[i]
            digit = grid[c]
            grid[c] = 0
            ok = _masks(grid, peers, full, queue, start)
            bit = 1 << (digit - 1)
            other = start[c] & ~bit
            if ok and other:
                start[c] = other
                good = True
                if other & (other - 1) == 0:
                    good = _assign(start, c, other, peers, queue)
                if good:
                    found, _g = _search(
                        start, units, peers, full, 1, rng, False, first, stack, queue, 1_000_000
                    )
                    if found:
                        grid[c] = digit
        _masks(grid, peers, full, queue, start)
        found, guesses = _search(start, units, peers, full, 2, rng, False, first, stack, queue, 1_000_000)
        if found != 1 or guesses < min_guesses or guesses > max_guesses:
            continue
        put = extra
        for i in range(size):
            if put <= 0:
                break
            c = order[i]
            if grid[c] == 0:
                grid[c] = solutions[made, c]
                put -= 1
        puzzles[made, :] = grid
        ratings[made] = guesses
        made += 1
    return made, True, max_tries


@njit(cache=True, nogil=True)
def _count_many(grids, units, peers, full, limit, first, counts, guesses):
    size = grids.shape[1]
    stack = np.empty((size + 2, size), np.int32)
    queue = np.empty(size * 8, np.int32)
    start = np.empty(size, np.int32)
    solution = np.zeros(size, np.int32)
    rng = np.ones(1, np.uint64)
    for i in range(grids.shape[0]):
        first[i, :] = 0
        counts[i] = 0
        guesses[i] = 0
        if _masks(grids[i], peers, full, queue, start):
            counts[i], guesses[i] = _search(
                start, units, peers, full, limit, rng, False, solution, stack, queue, MOST_GUESSES
            )
            if counts[i]:
                _digits(solution, first[i])


def count_many(
    layout: Layout, grids: Int8, limit: int = 2
) -> tuple[NDArray[np.int64], Int8, NDArray[np.int64]]:
    """Solutions (up to ``limit``), first solution and guesses of each of ``grids`` (N, cells), digits 1.. and 0 for blank.

    Raises ValueError for grids of another shape, and RuntimeError where ``MOST_GUESSES`` did not suffice.
    """
    grids = np.ascontiguousarray(grids, np.int8)
    if grids.ndim != 2 or grids.shape[1] != layout.cells:
        raise ValueError(f"grids of shape {grids.shape}, not (N, {layout.cells})")
    first = np.zeros_like(grids)
    counts, guesses = np.zeros(len(grids), np.int64), np.zeros(len(grids), np.int64)
    full = (1 << layout.digits) - 1
    _count_many(grids, layout.units, layout.peers, full, limit, first, counts, guesses)
    if ((guesses >= MOST_GUESSES) & (counts < limit)).any():
        raise RuntimeError(f"not counted after {MOST_GUESSES} guesses")
    return counts, first, guesses


def count_solutions(layout: Layout, grid: Int8, limit: int = 2) -> Count:
    """Solutions of one grid (cells,), counted up to ``limit``."""
    counts, first, guesses = count_many(layout, np.asarray(grid, np.int8)[None], limit)
    return Count(int(counts[0]), first[0], int(guesses[0]))


def generate(
    layout: Layout, count: int, seed: int, extra: int = 0, min_guesses: int = 0, max_guesses: int = 1 << 30
) -> tuple[Int8, Int8, NDArray[np.int64]]:
    """Make puzzles as :func:`generate_each`: puzzles (N, cells), solutions (N, cells) and ratings (N,)."""
    puzzles, ratings = np.zeros((max(0, count), layout.cells), np.int8), np.zeros(max(0, count), np.int64)
    solutions = np.zeros_like(puzzles)
    each = generate_each(layout, count, seed, extra, min_guesses, max_guesses)
    for index, columns in enumerate(each):
        puzzles[index], solutions[index], ratings[index] = columns
    return puzzles, solutions, ratings


def generate_each(
    layout: Layout, count: int, seed: int, extra: int = 0, min_guesses: int = 0, max_guesses: int = 1 << 30
) -> Iterator[tuple[Int8, Int8, int]]:
    """Yield puzzles that have exactly one solution, each as soon as it is made, with solution and rating.

    A puzzle is minimal, that is no clue can be removed, before ``extra`` clues are put back. The rating is the number
    of guesses of the exact solver on the minimal puzzle; 0 means that naked and hidden singles suffice. Puzzles whose
    rating is not between ``min_guesses`` and ``max_guesses`` are rejected. The same seed makes the same puzzles.

    Raises:
        InvalidArgument: the layout has no solution, or ``TRIES`` grids per puzzle were not enough.
    """
    if count < 0 or extra < 0 or min_guesses > max_guesses:
        raise InvalidArgument("count and extra must not be negative, and min_guesses not above max_guesses")
    rng = np.array([(seed * 0x9E3779B97F4A7C15 + 0x1234567) % (1 << 64)], np.uint64)
    for _ in range(8):
        _next(rng)
    order = np.arange(layout.cells)
    full, tries = (1 << layout.digits) - 1, TRIES * count
    for made in range(count):
        puzzle, solution = np.zeros((2, 1, layout.cells), np.int8)
        rating, num_made = np.zeros(1, np.int64), 0
        while not num_made:
            # A call cannot be interrupted, so a single one does not try all grids.
            bounds = extra, min_guesses, max_guesses, min(tries, TRIES)
            groups = layout.units, layout.peers, full
            num_made, is_possible, tried = _generate(*groups, rng, order, *bounds, puzzle, solution, rating)
            tries -= tried
            if not is_possible:
                raise InvalidArgument(f"the layout {layout.name} has no solution")
            if not num_made and tries <= 0:
                spent = f"after {TRIES * count} tries ({made} of {count} made)"
                raise InvalidArgument(f"no puzzle in that range {spent}")
        yield puzzle[0], solution[0], int(rating[0])
