"""Removes skips (edges that read nothing) from automata, where this adds few edges; compiled by numba.

    S states   E edges   K skips

A skip costs the lattice more than an edge: skips of one cell have to be followed in order.
"""

import numpy as np
from numba import njit

EDGES_PER_SKIP = 3  # edges that may replace a skip


@njit(cache=True, nogil=True)
def skip_heights(skip_src, skip_dst, num_states):  # type: ignore[no-untyped-def]
    """Skips of the longest chain that ends in each state (S,). Returns None if skips form a cycle."""
    waiting, height = np.zeros(num_states, np.int64), np.zeros(num_states, np.int64)
    head, following = np.full(num_states, -1, np.int64), np.empty(len(skip_src), np.int64)
    for k in range(len(skip_src)):
        waiting[skip_dst[k]] += 1
        following[k], head[skip_src[k]] = head[skip_src[k]], k
    stack, size, finished = np.empty(num_states, np.int64), 0, 0
    for i in range(num_states):
        if waiting[i] == 0:
            stack[size] = i
            size += 1
    while size > 0:
        size -= 1
        i = stack[size]
        finished += 1
        k = head[i]
        while k >= 0:
            j = skip_dst[k]
            height[j] = max(height[j], height[i] + 1)
            waiting[j] -= 1
            if waiting[j] == 0:
                stack[size] = j
                size += 1
            k = following[k]
    return height if finished == num_states else None


@njit(cache=True, nogil=True)
def _grown(array):  # type: ignore[no-untyped-def]
    larger = np.empty(2 * len(array) + 64, array.dtype)
    larger[: len(array)] = array
    return larger


@njit(cache=True, nogil=True)
def without_skips(src, label, dst, skip_src, skip_dst, accept, start):  # type: ignore[no-untyped-def]
    """The same language with fewer skips.

    The target of a skip is copied into its source if that adds few edges; a state that only a skip leaves is
    replaced by the skip's target.

    Args:
        src, label, dst: edges, each (E,).
        skip_src, skip_dst: skips in an order in which one pass follows every chain, each (K,).
        accept: accepting states (S,); changed in place.
        start: the first state, which is kept.

    Returns:
        Edges and skips (source, label, target), label -1 for skips, (N, 3); states that are still used (S,).
    """
    states = len(accept)
    # outgoing edges and skips (label -1) as linked lists by source; incoming skips by target
    size = len(src) + len(skip_src)
    mark, target, following = np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size, np.int64)
    head, degree = np.full(states, -1, np.int64), np.zeros(states, np.int64)
    entered, skipped = np.zeros(states, np.int64), np.zeros(states, np.int64)
    incoming, next_skip = np.full(states, -1, np.int64), np.empty(len(skip_src), np.int64)
    for n in range(size - 1, -1, -1):
        k = n - len(src)
        i = src[n] if k < 0 else skip_src[k]
        mark[n], target[n] = (label[n], dst[n]) if k < 0 else (-1, skip_dst[k])
        following[n], head[i] = head[i], n
        degree[i] += 1
        if k < 0:
            entered[dst[n]] += 1
        else:
            skipped[skip_dst[k]] += 1
            next_skip[k], incoming[skip_dst[k]] = incoming[skip_dst[k]], k
    entered[start] += 1
    is_used, replaced = np.ones(states, np.bool_), np.full(states, -1, np.int64)
    done = np.zeros(states, np.bool_)
    for last in range(len(skip_src) - 1, -1, -1):
        j = skip_dst[last]
        if done[j]:
            continue
        done[j] = True
        kept, k = 0, incoming[j]
        while k >= 0:
            kept += is_used[skip_src[k]]
            k = next_skip[k]
        most = kept * EDGES_PER_SKIP + (degree[j] if entered[j] == 0 else 0)
        if kept * degree[j] > most:
            # The state stays. One that only the skip leaves is the same.
            k = incoming[j]
            while k >= 0:
                i = skip_src[k]
                if degree[i] == 1 and not accept[i] and i != start:
                    replaced[i] = j
                    entered[j] += entered[i]
                    entered[i] = 0
                    is_used[i] = skipped[i] > 0
                k = next_skip[k]
            continue
        k = incoming[j]
        while k >= 0:
            i = skip_src[k]
            k = next_skip[k]
            if not is_used[i]:
                continue
            accept[i] = accept[i] or accept[j]
            # remove the skip, and copy what leaves its target
            before, n = -1, head[i]
            while not (mark[n] == -1 and target[n] == j):
                before, n = n, following[n]
            if before < 0:
                head[i] = following[n]
            else:
                following[before] = following[n]
            degree[i] -= 1
            n = head[j]
            while n >= 0:
                if size == len(mark):
                    mark, target, following = _grown(mark), _grown(target), _grown(following)
                mark[size], target[size] = mark[n], target[n]
                following[size], head[i] = head[i], size
                size += 1
                degree[i] += 1
                if mark[n] >= 0:
                    entered[target[n]] += 1
                n = following[n]
        if entered[j] == 0:
            is_used[j] = False
    rows, count = np.empty((size, 3), np.int32), 0
    for i in range(states):
        if not is_used[i]:
            continue
        n = head[i]
        while n >= 0:
            j = target[n]
            if mark[n] >= 0:
                while replaced[j] >= 0:
                    j = replaced[j]
            rows[count, 0], rows[count, 1], rows[count, 2] = i, mark[n], j
            count += 1
            n = following[n]
    return rows[:count], is_used
