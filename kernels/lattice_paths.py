"""Max passes of the lattice, compiled by numba: the likeliest path, the best completions, breadth-first
distances.

Weights are logarithms; array shapes and modes are those of lattice_sums.py.
"""

import numpy as np
from numba import njit

PLAIN, ARRIVED, TAIL = 0, 1, 2
START, TAIL_ENDS = -1, -(1 << 30)  # back-pointers that are no edge; -2 - k is skip k


@njit(cache=True, nogil=True, error_model="numpy")
def best_path(graph, high, blank, inside, last):  # type: ignore[no-untyped-def]
    """The likeliest path (Viterbi) and its log-weight.

    The path (L,) holds the label of each cell plus one, 0 for BLANK, and -1 everywhere if no text is
    accepted.
    """
    src, label, dst, first, skip_src, skip_dst, accept, reach, rest = graph
    cells, states = high.shape[0], len(reach)
    came = np.full((cells + 1, states), START, np.int32)  # back-pointers
    tail_continues = np.zeros((cells + 1, states), np.bool_)
    # best scores on arrival at cell t, at cell t + 1, and inside a tail of BLANKs
    arrived, arriving, tail = np.full(states, -np.inf), np.full(states, -np.inf), np.full(states, -np.inf)

    # cells after the end of the slot that t is in: a state in its tail must be that close to the end
    cells_after, end = np.zeros(cells, np.int64), cells - 1
    for t in range(cells - 1, -1, -1):
        if last[t]:
            end = t
        cells_after[t] = cells - 1 - end

    arrived[0] = 0.0
    for t in range(cells + 1):
        live = np.searchsorted(reach, t, side="right")
        # BLANK: a tail begins before skips, so that one text has one path
        if t < cells and inside[t]:
            for i in range(live):
                x, y = arrived[i], tail[i]
                if x > y and rest[i] <= cells_after[t]:
                    tail[i], tail_continues[t + 1, i] = x + blank[t], False
                elif y > -np.inf:
                    tail[i], tail_continues[t + 1, i] = y + blank[t], True
        for k in range(len(skip_src)):
            i, j = skip_src[k], skip_dst[k]
            if arrived[i] > arrived[j]:
                arrived[j], came[t, j] = arrived[i], -2 - k
        if t == cells:
            break
        arriving[:] = -np.inf
        for i in range(live):
            x = arrived[i]
            if x == -np.inf:
                continue
            for edge in range(first[i], first[i + 1]):
                j = dst[edge]
                y = x + high[t, label[edge]]
                if y > arriving[j] and rest[j] <= cells - 1 - t:
                    arriving[j], came[t + 1, j] = y, edge
        if last[t]:  # the tail ends with its slot
            for i in range(live):
                if tail[i] > arriving[i]:
                    arriving[i], came[t + 1, i] = tail[i], TAIL_ENDS
                tail[i] = -np.inf
        arrived, arriving = arriving, arrived

    # the best accepting state, and back along the pointers
    path = np.full(cells, -1, np.int64)
    score, state = -np.inf, -1
    for i in range(states):
        if accept[i] and arrived[i] > score:
            score, state = arrived[i], i
    if state < 0:
        return path, score
    t, in_tail = cells, False
    while t > 0 or came[0, state] <= -2:
        if in_tail:
            in_tail = tail_continues[t, state]
            path[t - 1] = 0
            t -= 1
            continue
        pointer = came[t, state]
        if pointer == TAIL_ENDS:
            in_tail = True
        elif pointer <= -2:
            state = skip_src[-2 - pointer]
        else:
            path[t - 1] = label[pointer] + 1
            state = src[pointer]
            t -= 1
    return path, score


@njit(cache=True, nogil=True, error_model="numpy")
def best_suffixes(graph, high, blank, inside, last):  # type: ignore[no-untyped-def]
    """The largest log-weight of what may follow each state, by mode and cell (3, L+1, S)."""
    label, dst, first, skip_src, skip_dst, accept, reach, rest = graph
    cells, states = high.shape[0], len(reach)
    suffix = np.full((3, cells + 1, states), -np.inf)
    for t in range(cells, -1, -1):
        live = np.searchsorted(reach, t, side="right")
        if t == cells:
            for i in range(states):
                if accept[i]:
                    suffix[PLAIN, t, i] = 0.0
        else:
            for i in range(live):
                if rest[i] <= cells - t:
                    for edge in range(first[i], first[i + 1]):
                        x = high[t, label[edge]] + suffix[ARRIVED, t + 1, dst[edge]]
                        suffix[PLAIN, t, i] = max(suffix[PLAIN, t, i], x)
        for k in range(len(skip_src) - 1, -1, -1):
            i, j = skip_src[k], skip_dst[k]
            suffix[PLAIN, t, i] = max(suffix[PLAIN, t, i], suffix[PLAIN, t, j])
        for i in range(live):
            if t < cells and inside[t]:
                suffix[TAIL, t, i] = blank[t] + suffix[ARRIVED if last[t] else TAIL, t + 1, i]
            suffix[ARRIVED, t, i] = max(suffix[PLAIN, t, i], suffix[TAIL, t, i])
    return suffix


@njit(cache=True, nogil=True, error_model="numpy")
def bfs_distances(first, dst, skip_first, skip_dst, start):  # type: ignore[no-untyped-def]
    """Fewest symbols from ``start`` to each state (S,), -1 for unreachable ones. Edges are by source;
    skips cost nothing."""
    distance = np.full(len(first) - 1, -1, np.int64)
    layer, steps = np.array([start]), 0
    while len(layer):
        # close the layer under skips
        stack = list(layer)
        closed = [start]
        closed.clear()
        while len(stack):
            i = stack.pop()
            if distance[i] < 0:
                distance[i] = steps
                closed.append(i)
                for k in range(skip_first[i], skip_first[i + 1]):
                    if distance[skip_dst[k]] < 0:
                        stack.append(skip_dst[k])
        targets = [start]
        targets.clear()
        for i in closed:
            for edge in range(first[i], first[i + 1]):
                if distance[dst[edge]] < 0:
                    targets.append(dst[edge])
        layer = np.array(targets)
        steps += 1
    return distance
