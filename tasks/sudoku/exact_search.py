"""Compiled core of the exact Sudoku solver: propagation and depth-first search on candidate bitmasks.

Bit v-1 of ``candidates[cell]`` is set if the cell may hold digit v. exact.py is the interface. The functions
are compiled by numba and cached beside this file.

Arguments that all functions share: ``units`` (U, digits) and ``peers`` (cells, P) of the layout; ``full``,
the mask of all digits; ``queue`` and ``stack``, scratch arrays.
"""

# The compiled functions carry no annotations: numba infers their types, and mypy could not check them.
# mypy: allow-untyped-defs

import numpy as np
from numba import njit

MAX_GUESSES = 100_000_000  # a count gives up after so many, which take minutes


@njit(cache=True, nogil=True)
def assign_digit(candidates, cell, bit, peers, queue):
    """Fix a cell, eliminate its digit from all peers, follow naked singles; False on a contradiction."""
    head, tail = 0, 0
    candidates[cell] = bit
    queue[tail] = cell
    tail += 1
    while head < tail:
        current = queue[head]
        head += 1
        assigned = candidates[current]
        for k in range(peers.shape[1]):
            peer = peers[current, k]
            if peer < 0:
                break
            if candidates[peer] & assigned:
                remaining = candidates[peer] & ~assigned
                if remaining == 0:
                    return False
                candidates[peer] = remaining
                if remaining & (remaining - 1) == 0:
                    queue[tail] = peer
                    tail += 1
    return True


@njit(cache=True, nogil=True)
def propagate(candidates, units, peers, queue, full):
    """Assign hidden singles until nothing changes; False on a contradiction."""
    has_changed = True
    while has_changed:
        has_changed = False
        for unit in range(units.shape[0]):
            once, twice, fixed = 0, 0, 0
            for k in range(units.shape[1]):
                mask = candidates[units[unit, k]]
                twice |= once & mask
                once |= mask
                if mask & (mask - 1) == 0:
                    fixed |= mask
            if once != full:
                return False
            hidden = once & ~twice & ~fixed
            if hidden:
                for k in range(units.shape[1]):
                    cell = units[unit, k]
                    digit = candidates[cell] & hidden
                    if digit:
                        if digit & (digit - 1):
                            return False
                        if not assign_digit(candidates, cell, digit, peers, queue):
                            return False
                        has_changed = True
                        break
    return True


@njit(cache=True, nogil=True)
def next_random(state):
    """One step of xorshift64*. ``state`` is a uint64 array of length 1."""
    x = state[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state[0] = x
    return (x * np.uint64(0x2545F4914F6CDD1D)) >> np.uint64(33)


@njit(cache=True, nogil=True)
def popcount(mask):
    count = 0
    while mask:
        mask &= mask - 1
        count += 1
    return count


@njit(cache=True, nogil=True)
def search_solutions(start, units, peers, full, limit, rng, random_order, first, stack, queue, max_guesses):
    """Depth-first search from the candidate masks ``start``.

    Returns the number of solutions, up to ``limit``, and of guesses. Writes the first solution to ``first``.
    """
    num_solutions, guesses, depth = 0, 0, 0
    cells = start.shape[0]
    stack[0, :] = start
    if not propagate(stack[0], units, peers, queue, full):
        return 0, 0
    choice_cell, choice_left = np.full(len(stack), -1, np.int16), np.zeros(len(stack), np.int32)
    while depth >= 0:
        candidates = stack[depth]
        # Choose the open cell with the fewest candidates; if there is none, this is a solution.
        if choice_cell[depth] < 0:
            chosen, fewest, ties = -1, 99, 0
            for cell in range(cells):
                mask = candidates[cell]
                if mask & (mask - 1):
                    count = popcount(mask)
                    if count < fewest:
                        chosen, fewest, ties = cell, count, 1
                        if count == 2 and not random_order:
                            break
                    elif random_order and count == fewest:
                        ties += 1
                        if next_random(rng) % np.uint64(ties) == 0:
                            chosen = cell
            if chosen < 0:
                if num_solutions == 0:
                    first[:] = candidates
                num_solutions += 1
                if num_solutions >= limit:
                    return num_solutions, guesses
                depth -= 1
                continue
            choice_cell[depth], choice_left[depth] = chosen, candidates[chosen]
        # Try the next candidate of the cell, or go back if there is none.
        untried = choice_left[depth]
        if untried == 0 or guesses >= max_guesses:
            choice_cell[depth] = -1
            depth -= 1
            continue
        bit = untried & -untried
        if random_order:
            skip = next_random(rng) % np.uint64(popcount(untried))
            mask = untried
            for _ in range(skip):
                mask &= mask - 1
            bit = mask & -mask
        choice_left[depth] = untried & ~bit
        guesses += 1
        stack[depth + 1, :] = candidates
        if assign_digit(stack[depth + 1], choice_cell[depth], bit, peers, queue) and propagate(
            stack[depth + 1], units, peers, queue, full
        ):
            depth += 1
            choice_cell[depth] = -1
    return num_solutions, guesses


@njit(cache=True, nogil=True)
def candidate_masks(grid, peers, full, queue, out):
    """Write the candidate masks of a grid (0 for blank) to ``out``; False on a direct contradiction."""
    out[:] = full
    for cell in range(grid.shape[0]):
        if grid[cell] > 0:
            bit = 1 << (grid[cell] - 1)
            if not out[cell] & bit:
                return False
            if out[cell] != bit and not assign_digit(
                out, cell, bit, peers, queue
            ):  # else peers have it already
                return False
    return True


@njit(cache=True, nogil=True)
def masks_to_digits(masks, out):
    for cell in range(masks.shape[0]):
        digit, mask = 0, masks[cell]
        while mask:
            digit += 1
            mask >>= 1
        out[cell] = digit


@njit(cache=True, nogil=True)
def generate_into(
    units, peers, full, rng, order, extra, min_guesses, max_guesses, max_tries, puzzles, solutions, ratings
):
    """Fill ``puzzles`` (N, cells). ``rng`` and ``order`` (cells,) are the state that the next call continues.

    Returns how many were made, whether the layout has a solution at all, and how many grids were tried.
    """
    n, size = puzzles.shape
    stack, queue = np.empty((size + 2, size), np.int32), np.empty(size * 8, np.int32)
    start, first = np.empty(size, np.int32), np.empty(size, np.int32)
    grid, made = np.empty(size, np.int8), 0
    for tried in range(max_tries):
        if made == n:
            return made, True, tried
        # Draw a full grid.
        start[:] = full
        num_solutions, guesses = search_solutions(
            start, units, peers, full, 1, rng, True, first, stack, queue, 10_000
        )
        if num_solutions == 0:
            if guesses < 10_000:
                return made, False, tried  # searched to the end
            continue
        masks_to_digits(first, grid)
        solutions[made, :] = grid
        # Remove clues in random order while no second solution appears.
        for i in range(size - 1, 0, -1):
            j = int(next_random(rng) % np.uint64(i + 1))
            order[i], order[j] = order[j], order[i]
        for i in range(size):
            cell = order[i]
            digit, grid[cell] = grid[cell], 0
            is_consistent = candidate_masks(grid, peers, full, queue, start)
            alternatives = start[cell] & ~(1 << (digit - 1))
            if is_consistent and alternatives:
                start[cell] = alternatives
                if alternatives & (alternatives - 1) == 0:
                    is_consistent = assign_digit(start, cell, alternatives, peers, queue)
                if is_consistent:
                    num_solutions, _ = search_solutions(
                        start, units, peers, full, 1, rng, False, first, stack, queue, 1_000_000
                    )
                    if num_solutions:
                        grid[cell] = digit
        # Rate the puzzle, and put clues back.
        candidate_masks(grid, peers, full, queue, start)
        num_solutions, guesses = search_solutions(
            start, units, peers, full, 2, rng, False, first, stack, queue, 1_000_000
        )
        if num_solutions != 1 or guesses < min_guesses or guesses > max_guesses:
            continue
        num_extra = extra
        for cell in order:
            if num_extra > 0 and grid[cell] == 0:
                grid[cell] = solutions[made, cell]
                num_extra -= 1
        puzzles[made, :] = grid
        ratings[made] = guesses
        made += 1
    return made, True, max_tries


@njit(cache=True, nogil=True)
def count_into(grids, units, peers, full, limit, first, counts, guesses):
    size = grids.shape[1]
    stack, queue = np.empty((size + 2, size), np.int32), np.empty(size * 8, np.int32)
    start, solution = np.empty(size, np.int32), np.zeros(size, np.int32)
    rng = np.ones(1, np.uint64)
    for i in range(grids.shape[0]):
        first[i, :], counts[i], guesses[i] = 0, 0, 0
        if candidate_masks(grids[i], peers, full, queue, start):
            counts[i], guesses[i] = search_solutions(
                start, units, peers, full, limit, rng, False, solution, stack, queue, MAX_GUESSES
            )
            if counts[i]:
                masks_to_digits(solution, first[i])
