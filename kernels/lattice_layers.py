"""The live pairs of a lattice and the best path through them, compiled by numba.

A pair (state, cell) is *live* if a path from the start can be in the state before the cell, and a path to an
accepting state can continue from it, given the symbols that each cell may hold. All passes visit live pairs
only, so that their time and memory depend on the number of pairs, and not on states times cells.

    L cells   S states   P pieces   N pairs
    graph       the arrays of lattice_graph.py's Graph
    high        the largest log-weight of each piece, if it begins in each cell (L, P)
    tails       for each cell, the last cell of a tail of BLANKs that begins there, or -1; and its log-weight
    layers      states of the pairs by cell (N,), where each cell's pairs begin (L + 2,) and how many are live
                (L + 1,); the same for skips between them; the bounds of the chains (lattice_chains.py) in
                each cell (L + 1, K, 2)

lattice.py is the specification.
"""

import numpy as np
from numba import njit

from solver.kernels.lattice_chains import best_edges, mark_targets

ROOM = 1 << 20  # pairs, before the array is enlarged: memory that is not used costs nothing
DENSE = 8  # a layer is dense if more than an eighth of all states are in it, those of chains aside


@njit(cache=True, nogil=True, error_model="numpy")
def _enlarged(array, size):  # type: ignore[no-untyped-def]
    """An array with room for ``size`` elements, at least."""
    larger = np.empty(max(size, 2 * len(array)), array.dtype)
    larger[: len(array)] = array
    return larger


@njit(cache=True, nogil=True, error_model="numpy")
def _enter(j, after, chain, is_in, pending, count, entered):  # type: ignore[no-untyped-def]
    """Mark state ``j`` as reached in a cell: as pending, or in the bounds of the chain it enters."""
    is_in[after, j] = True
    if chain < 0:
        pending[after, count[after]] = j
        count[after] += 1
    else:
        entered[after, chain, 0] = min(entered[after, chain, 0], j)
        entered[after, chain, 1] = max(entered[after, chain, 1], j)


@njit(cache=True, nogil=True, error_model="numpy")
def reachable_layers(graph, window, high, ends, last, limit):  # type: ignore[no-untyped-def]
    """The pairs that paths from the start reach, and that are not too far from an accepting state.

    Args:
        graph: the automaton.
        window: more cells than any piece has, a power of two.
        high: largest log-weight of each piece (L, P); -inf if it cannot be read.
        ends: the last cell of a tail of BLANKs that begins in each cell (L,), or -1.
        last: the last cell of each slot (L,).
        limit: number of pairs after which later cells are left out.

    Returns:
        The layers. Skips are in an order in which one pass follows every chain of them.
    """
    (first, dst, piece, span, _), (_, skip_dst, skip_first, skip_of), _, rest, chains = graph
    _, steps, leaving, entering = chains
    cells, num_states = high.shape[0], len(rest)
    bounds = np.empty((cells + 1, len(chains[0]), 2), np.int64)
    bounds[:, :, 0], bounds[:, :, 1] = num_states, -1
    mask = np.uint32(window - 1)
    states, skips = np.empty(ROOM, np.uint32), np.empty(cells + 64, np.int32)
    offset, skip_offset = np.zeros(cells + 2, np.int64), np.zeros(cells + 2, np.int64)
    # the states before the next ``window`` cells, in a ring
    is_in = np.zeros((window, num_states), np.bool_)
    flat = is_in.reshape(-1)
    pending, count = np.empty((window, num_states), np.uint32), np.zeros(window, np.int64)
    is_tail, tail, num_tail = np.zeros(num_states, np.bool_), np.empty(num_states, np.uint32), 0
    is_used = np.zeros(len(skip_dst), np.bool_)
    is_in[0, 0], pending[0, 0], count[0] = True, 0, 1
    # states in which chains are entered are marked, but not pending; their bounds in the same ring
    entered = np.empty((window, len(chains[0]), 2), np.int64)
    entered[:, :, 0], entered[:, :, 1] = num_states, -1
    for t in range(cells + 1):
        ring = t & (window - 1)
        layer, inside = pending[ring], is_in[ring]
        size = count[ring]
        for k in range(len(chains[0])):
            for j in range(entered[ring, k, 0], entered[ring, k, 1] + 1):
                if inside[j] and rest[j] > cells - t:
                    inside[j] = False
                elif inside[j]:
                    layer[size] = j
                    size += 1
            entered[ring, k, 0], entered[ring, k, 1] = num_states, -1
        # a tail of BLANKs begins before skips, so that one text has one path
        if t < cells and ends[t] >= 0:
            for n in range(size):
                i = layer[n]
                if not is_tail[i] and rest[i] <= cells - 1 - ends[t]:
                    is_tail[i], tail[num_tail] = True, i
                    num_tail += 1
        # skips
        low = len(skip_dst)
        for n in range(size if low > 0 else 0):
            for k in range(skip_first[layer[n]], skip_first[layer[n] + 1]):
                is_used[skip_of[k]] = True
                low = min(low, skip_of[k])
        total = skip_offset[t]
        for k in range(low, len(skip_dst)):
            if is_used[k]:
                is_used[k] = False
                j = skip_dst[k]
                if rest[j] > cells - t:
                    continue
                if total == len(skips):
                    skips = _enlarged(skips, 0)
                skips[total] = k
                total += 1
                if not inside[j]:
                    inside[j], layer[size] = True, j
                    size += 1
                    for n in range(skip_first[j], skip_first[j + 1]):
                        is_used[skip_of[n]] = True
        skip_offset[t + 1] = total
        # the layer; many states are put in order (chains are), because later passes then read memory in order
        if DENSE * count[ring] > num_states:
            size = 0
            for j in range(num_states):
                if inside[j]:
                    layer[size] = j
                    size += 1
        start = offset[t]
        if start + size > len(states):
            states = _enlarged(states, start + size)
        for n in range(size):
            states[start + n] = layer[n]
        offset[t + 1] = start + size
        if t == cells or offset[t + 1] > limit:
            offset[t + 1 :], skip_offset[t + 1 :] = offset[t + 1], total
            break
        # edges; those out of a chain are followed for some of its states, as all have the same
        current, left, right = np.int64(-1), np.int64(0), np.int64(0)
        for n in range(size):
            i = np.int64(layer[n])
            k, begin = leaving[i], np.int64(first[i])
            if k >= 0:
                if k == current:
                    left, right = min(left, i), max(right, i)
                    continue
                if current >= 0:
                    bounds[t, current, 0], bounds[t, current, 1] = left, right
                current, left, right = k, min(bounds[t, k, 0], i), max(bounds[t, k, 1], i)
                begin += steps[k]
            for edge in range(begin, first[i + 1]):
                j, after = dst[edge], np.uint32(t + span[edge]) & mask
                if is_in[after, j] or rest[j] + span[edge] > cells - t:
                    continue
                if high[t, piece[edge]] > -np.inf:
                    _enter(j, after, entering[j], is_in, pending, count, entered)
        if current >= 0:
            bounds[t, current, 0], bounds[t, current, 1] = left, right
            mark_targets(chains, (first, dst, piece, span), t, high, bounds, flat, entered)
        for n in range(size):
            inside[layer[n]] = False
        count[ring] = 0
        if last[t]:  # tails end with their slot
            after = (t + 1) & (window - 1)
            for n in range(num_tail):
                j = tail[n]
                is_tail[j] = False
                if not is_in[after, j]:
                    _enter(j, after, entering[j], is_in, pending, count, entered)
            num_tail = 0
    return states[: offset[cells + 1]], offset, skips[: skip_offset[cells + 1]], skip_offset, bounds


@njit(cache=True, nogil=True, error_model="numpy")
def best_completions(graph, window, high, tails, last, layers, keep):  # type: ignore[no-untyped-def]
    """The best continuation of every pair, by dynamic programming from the last cell to the first.

    Pairs and skips from which no accepting state is reached are removed from ``layers``, in place.

    Args:
        graph, window, high, last: see :func:`reachable_layers`.
        tails: ``ends``, and the log-weight of the tail of BLANKs that begins in each cell.
        layers: the result of :func:`reachable_layers`.
        keep: whether to return ``scores``.

    Returns:
        num_live: live pairs of each cell (L + 1,).
        num_skips: live skips of each cell (L + 1,).
        choices: by pair (N,), twice the edge, or E plus the skip, that continues best; plus 1 if a tail of
            BLANKs is better.
        scores: the log-weight of the best continuation (N,); empty without ``keep``.
        top: that of the start, the best path.
    """
    (first, dst, piece, span, ahead), (skip_src, skip_dst, _, _), accept, rest, chains = graph
    leaving = chains[2]
    states, offset, skips, skip_offset, bounds = layers
    ends, tail_weight = tails
    cells, num_states = high.shape[0], len(rest)
    num_live, num_skips = np.zeros(cells + 1, np.int64), np.zeros(cells + 1, np.int64)
    choices = np.empty(len(states), np.int32)
    scores = np.empty(len(states) if keep else 0)
    ring = np.full((window + 1, num_states), -np.inf)
    flat, size = ring.reshape(-1), np.uint64(window * num_states)
    plain, chosen = np.full(num_states, -np.inf), np.zeros(num_states, np.int32)
    after_slot, slot_end = np.full(num_states, -np.inf), -1  # the scores after a slot
    for t in range(cells, -1, -1):
        arrived = ring[t & (window - 1)]
        if t + window <= cells:
            old = offset[t + window]
            for n in range(old, old + num_live[t + window]):
                arrived[states[n]] = -np.inf
        if t < cells and last[t]:
            if slot_end >= 0:
                for n in range(offset[slot_end + 1], offset[slot_end + 1] + num_live[slot_end + 1]):
                    after_slot[states[n]] = -np.inf
            slot_end = t
            for n in range(offset[t + 1], offset[t + 1] + num_live[t + 1]):
                after_slot[states[n]] = ring[(t + 1) & (window - 1), states[n]]
        start, end = offset[t], offset[t + 1]
        base = np.uint64((t & (window - 1)) * num_states)
        # one piece, then the best continuation of its target
        if t < cells and len(chains[0]):
            best_edges(chains, (first, dst, piece, span), t, window, high, bounds, flat, (plain, chosen))
        for n in range(start, end):
            i = states[n]
            if t == cells:
                plain[i], chosen[i] = 0.0 if accept[i] else -np.inf, 0
                continue
            if leaving[i] >= 0:
                continue
            top, choice = -np.inf, np.int64(0)
            for edge in range(first[i], first[i + 1]):
                goal = base + ahead[edge]
                x = high[t, piece[edge]] + flat[goal if goal < size else goal - size]
                if x > top:
                    top, choice = x, np.int64(edge)
            plain[i], chosen[i] = top, choice
        # skips, the last of a chain first; those that lead nowhere are removed
        begin, finish = skip_offset[t], skip_offset[t + 1]
        kept = finish
        for n in range(finish - 1, begin - 1, -1):
            k = skips[n]
            i, j = skip_src[k], skip_dst[k]
            if plain[j] > -np.inf:
                kept -= 1
                skips[kept] = k
                if plain[j] > plain[i]:
                    plain[i], chosen[i] = plain[j], len(dst) + k
        num_skips[t] = finish - kept
        for n in range(finish - kept):
            skips[begin + n] = skips[kept + n]
        # a tail of BLANKs, or not; pairs without a continuation are removed
        live = start
        for n in range(start, end):
            i = states[n]
            x, choice = plain[i], 2 * chosen[i]
            plain[i] = -np.inf
            if t < cells and ends[t] >= 0:
                y = tail_weight[t] + after_slot[i]
                if y > x:
                    x, choice = y, choice + 1
            if x > -np.inf:
                states[live], choices[live], arrived[i] = i, choice, x
                if keep:
                    scores[live] = x
                live += 1
        num_live[t] = live - start
    return num_live, num_skips, choices, scores, ring[0, 0]


@njit(cache=True, nogil=True, error_model="numpy")
def best_path(graph, pieces, labels, layers, choices, ends, out):  # type: ignore[no-untyped-def]
    """Follow the best continuations from the start and write the block to ``out`` (L,), -1 for BLANK.

    Args:
        graph, layers, choices: see :func:`best_completions`.
        pieces: the parts of the pieces, and their largest log-weight in each cell (L, P).
        labels: the largest log-weight of each label (L, C), and its symbol.
        ends: the last cell of a tail of BLANKs that begins in each cell (L,).
    """
    (_, dst, piece, _, _), (_, skip_dst, _, _), _, _, _ = graph
    (part_first, part_label, part_child), high = pieces
    label_high, argument = labels
    states, offset = layers
    t, state, skipped = 0, 0, False
    while t < len(out):
        n = offset[t]
        while states[n] != state:
            n += 1
        choice = choices[n]
        if choice & 1 and not skipped:
            end = ends[t] + 1
            out[t:end] = -1
            t = end
            continue
        choice >>= 1
        if choice >= len(dst):
            state, skipped = skip_dst[choice - len(dst)], True
            continue
        state, skipped = dst[choice], False
        # the best text of the piece
        child = piece[choice]
        while child >= 0:
            top, best = -np.inf, -1
            for part in range(part_first[child], part_first[child + 1]):
                x = label_high[t, part_label[part]]
                if part_child[part] >= 0:
                    x += high[t + 1, part_child[part]] if t + 1 < len(out) else -np.inf
                if x > top:
                    top, best = x, part
            out[t] = argument[t, part_label[best]]
            child, t = part_child[best], t + 1
