"""Chains of a graph: states that differ in a counter only, which the passes of the lattice handle as vectors.

A string of at most n characters is a chain of n states: the same pieces lead from each to the next (*steps*)
and out of the chain. The states of a chain have consecutive numbers: an edge is one operation on all of them.

    L cells   S states   E edges   P pieces   K chains
    chains      first state (K,) of each chain, and the number of its steps from each state; the chain that
                each state leaves, and that which it is entered by (S,), or -1
    edges       where each state's edges begin, their targets, pieces and spans; a chain's steps come first
    bounds      the first and the last live state of each chain that has edges, in each cell (L + 1, K, 2)

The functions for one cell ``t`` read rings with a row of all states for each of the next W cells, and one
more row for what has to be repeated.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from solver.kernels.lattice import Ints
from solver.kernels.lattice_labels import NEVER, TINY

MIN_STEPS = 2  # edges between two states
MIN_STATES = 8
MAX_CHAINS = 64
LARGE, SMALL, SMALLER, SMALLEST = 2.0**256, 2.0**-256, 2.0**-512, 2.0**-768  # powers of an exponent's base


def find_chains(
    edges: tuple[Ints, Ints], marks: NDArray[np.uint64], num_states: int
) -> tuple[Ints, tuple[Ints, Ints]]:
    """A numbering of the states in which chains are consecutive, and the chains in it.

    Args:
        edges: source and target of each group of edges between the same two states that may be steps, each
            (G,). If there are several from a state, the last counts.
        marks: signature of each group's pieces and spans, and of the source's other edges (G,).
        num_states: S.

    Returns:
        The states in their new order (S,); the first and the last state of each chain, by new number (K,).
    """
    following, mark = np.full(num_states, -1, np.int64), np.zeros(num_states, np.uint64)
    following[edges[0]], mark[edges[0]] = edges[1], marks
    order = runs_in_order(following)
    position = np.empty(num_states, np.int64)
    position[order] = np.arange(num_states)
    targets = following[order]
    is_step = (targets >= 0) & (position[targets] == np.arange(num_states) + 1)
    changes = (np.diff(is_step) != 0) | (np.diff(mark[order]) != 0)
    low = np.flatnonzero(np.concatenate([[True], changes]))
    high = np.append(low[1:], num_states)
    kept = is_step[low] & (high - low >= MIN_STATES)
    low, high = low[kept], high[kept]
    longest = np.sort(np.argsort(low - high, kind="stable")[:MAX_CHAINS])
    return order.astype(np.int32), (low[longest].astype(np.int32), high[longest].astype(np.int32))


@njit(cache=True, nogil=True)
def runs_in_order(following):  # type: ignore[no-untyped-def]
    """The states (S,) such that each is before the one that follows it (-1 for none), unless another is."""
    states = len(following)
    has_previous, previous = np.zeros(states, np.bool_), np.full(states, -1, np.int64)
    for i in range(states):
        j = following[i]
        if j >= 0 and not has_previous[j]:
            has_previous[j], previous[j] = True, i
    order, size, is_placed = np.empty(states, np.int64), 0, np.zeros(states, np.bool_)
    for i in range(states):
        if has_previous[i]:
            continue
        j = i
        while j >= 0 and not is_placed[j]:
            order[size], is_placed[j] = j, True
            size += 1
            after = following[j]
            j = after if after >= 0 and previous[after] == j else -1
    for i in range(states):  # on a cycle
        if not is_placed[i]:
            order[size] = i
            size += 1
    return order


def chain_arrays(chains: tuple[Ints, Ints], first: Ints, dst: Ints) -> tuple[Any, ...]:
    """The arrays ``chains`` (see above) of a graph whose steps are the first edges of their states."""
    low, high = chains
    leaving, entering = np.full((2, len(first) - 1), -1)
    count = np.zeros(len(low), np.int64)
    for k, (start, end) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        count[k] = int((dst[first[start] : first[start + 1]] == start + 1).sum())
        leaving[start:end], entering[start + 1 : end + 1] = k, k
    return low.astype(np.int64), count, leaving, entering


@njit(cache=True, nogil=True, error_model="numpy")
def mark_targets(chains, edges, t, high, bounds, is_in, entered):  # type: ignore[no-untyped-def]
    """Mark the states that steps from cell ``t`` reach in ``is_in`` (W * S,), and widen the bounds
    ``entered`` (W, K, 2) of the states in which chains are entered."""
    low, count, leaving, _ = chains
    first, _, piece, span = edges
    cells, mask, states = high.shape[0], len(entered) - 1, np.uint64(len(leaving))
    for k in range(len(low)):
        start, end = bounds[t, k]
        source = np.uint64(t & mask) * states + np.uint64(start)
        for edge in range(first[low[k]], first[low[k]] + count[k] if start <= end else 0):
            after = t + np.int64(span[edge])
            if after > cells or high[t, piece[edge]] == -np.inf:
                continue
            row = after & mask
            target = np.uint64(row) * states + np.uint64(start + 1)
            for n in range(end + 1 - start):
                is_in[target + np.uint64(n)] |= is_in[source + np.uint64(n)]
            entered[row, k, 0] = min(entered[row, k, 0], start + 1)
            entered[row, k, 1] = max(entered[row, k, 1], end + 1)


@njit(cache=True, nogil=True, error_model="numpy")
def best_edges(chains, edges, t, window, high, bounds, scores, best):  # type: ignore[no-untyped-def]
    """Write the largest log-weight of an edge with what follows, and the edge, by state, to ``best``."""
    low, count, leaving, _ = chains
    first, dst, piece, span = edges
    top, chosen = best
    mask, states = window - 1, np.uint64(len(leaving))
    for k in range(len(low)):
        start, end = bounds[t, k]
        source, length = np.uint64(start), end + 1 - start
        for n in range(length):
            top[source + np.uint64(n)], chosen[source + np.uint64(n)] = -np.inf, 0
        begin = np.int64(first[low[k]])
        for edge in range(begin, first[low[k] + 1] if length > 0 else 0):
            weight = high[t, piece[edge]]
            if weight == -np.inf:
                continue
            base = np.uint64((t + np.int64(span[edge])) & mask) * states
            target, number = base + source + np.uint64(1), np.int32(edge - begin)
            if edge >= begin + count[k]:  # all states have the same target
                target, only = np.uint64(window) * states, scores[base + dst[edge]]
                for n in range(length):
                    scores[target + np.uint64(n)] = only
            for n in range(length):
                x, old = weight + scores[target + np.uint64(n)], top[source + np.uint64(n)]
                choice = chosen[source + np.uint64(n)]
                chosen[source + np.uint64(n)] = number if x > old else choice
                top[source + np.uint64(n)] = x if x > old else old
        for n in range(length):
            chosen[source + np.uint64(n)] += np.int32(first[source + np.uint64(n)])


@njit(cache=True, nogil=True, error_model="numpy")
def edge_sums(chains, edges, t, window, pieces, bounds, after, sums):  # type: ignore[no-untyped-def]
    """Write the total weight of all edges with what follows, by state, to ``sums``: mantissas, exponents.

    What follows (``after``) has the exponent NEVER where it is zero."""
    low, count, leaving, _ = chains
    first, dst, piece, span = edges
    (after_m, after_x), (total_m, total_x) = after, sums
    mask, states = window - 1, np.uint64(len(leaving))
    for k in range(len(low)):
        start, end = bounds[t, k]
        source, length = np.uint64(start), end + 1 - start
        for n in range(length):
            total_m[source + np.uint64(n)], total_x[source + np.uint64(n)] = 0.0, NEVER
        for edge in range(first[low[k]], first[low[k] + 1] if length > 0 else 0):
            weight, exponent = pieces[0][t, piece[edge]], np.int32(pieces[1][t, piece[edge]])
            if weight == 0.0:
                continue
            base = np.uint64((t + np.int64(span[edge])) & mask) * states
            target = base + source + np.uint64(1)
            if edge >= first[low[k]] + count[k]:
                target = np.uint64(window) * states
                repeat(after, base + dst[edge], target, length)
            for n in range(length):
                x = total_x[source + np.uint64(n)]
                x2 = np.int32(after_x[target + np.uint64(n)] + exponent)
                lead = max(x, x2)
                gap, gap2 = np.int32(lead - x), np.int32(lead - x2)
                # what is three places smaller is nothing
                scale = SMALL if gap == 1 else (SMALLER if gap == 2 else 0.0)
                scale2 = SMALL if gap2 == 1 else (SMALLER if gap2 == 2 else 0.0)
                scale, scale2 = 1.0 if gap == 0 else scale, 1.0 if gap2 == 0 else scale2
                mant = total_m[source + np.uint64(n)] * scale
                total_m[source + np.uint64(n)] = mant + weight * after_m[target + np.uint64(n)] * scale2
                total_x[source + np.uint64(n)] = lead


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc"})
def edge_shares(chains, edges, t, window, pieces, bounds, rates, after, out):  # type: ignore[no-untyped-def]
    """Divide the probability of the states of chains among their edges: added to ``out``, by
    state to come ((W + 1) * S,) and by piece (L, P). ``rates``: probability / suffix sum, by state."""
    low, count, leaving, _ = chains
    first, dst, piece, span = edges
    (after_m, after_x), (rate_m, rate_x), (arriving, mass) = after, rates, out
    mask, states = window - 1, np.uint64(len(leaving))
    for k in range(len(low)):
        start, end = bounds[t, k]
        source, length = np.uint64(start), end + 1 - start
        for edge in range(first[low[k]], first[low[k] + 1] if length > 0 else 0):
            weight, exponent = pieces[0][t, piece[edge]], np.int32(pieces[1][t, piece[edge]])
            if weight == 0.0:
                continue
            base = np.uint64((t + np.int64(span[edge])) & mask) * states
            target, total = base + source + np.uint64(1), 0.0
            if edge >= first[low[k]] + count[k]:
                target = np.uint64(window) * states
                repeat(after, base + dst[edge], target, length)
            for n in range(length):
                mant = rate_m[source + np.uint64(n)] * weight * after_m[target + np.uint64(n)]
                x = np.int32(rate_x[source + np.uint64(n)] + exponent + after_x[target + np.uint64(n)])
                scale = SMALLER if x == -2 else (SMALLEST if x == -3 else 0.0)
                scale = 1.0 if x == 0 else (SMALL if x == -1 else scale)
                scale = LARGE if x > 0 else scale
                least = TINY if mant > 0.0 else 0.0
                share = mant * scale
                share = share if share > least else least
                total += share
                arriving[target + np.uint64(n)] += share
            mass[t, piece[edge]] += total
            if edge >= first[low[k]] + count[k]:
                arriving[base + dst[edge]] += total


@njit(cache=True, nogil=True, error_model="numpy")
def repeat(sums, goal, target, length):  # type: ignore[no-untyped-def]
    """Write the sum at ``goal`` to ``length`` places from ``target`` on."""
    mant, x = sums[0][goal], sums[1][goal]
    for n in range(length):
        sums[0][target + np.uint64(n)], sums[1][target + np.uint64(n)] = mant, x
