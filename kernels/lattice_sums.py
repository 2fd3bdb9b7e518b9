"""Sum passes over the live pairs of a lattice, compiled by numba: suffix sums, marginals, samples.

Shapes and names are those of lattice_layers.py; a sum is a mantissa and an exponent, as in lattice_labels.py.

    pieces      mantissas and exponents of the weight of each piece, if it begins in each cell (L, P)
    tails       ends, and the mantissas and exponents of the tails of BLANKs (L,)
    suffix      mantissas and exponents of the total weight of what may follow each pair (N,)

lattice.py is the specification.
"""

import numpy as np
from numba import njit

from solver.kernels.lattice_chains import edge_shares, edge_sums
from solver.kernels.lattice_labels import NEVER, STEP, TINY, add, as_float, normal, ratio


@njit(cache=True, nogil=True, error_model="numpy")
def suffix_sums(graph, window, pieces, tails, last, layers):  # type: ignore[no-untyped-def]
    """The total weight of what may follow each pair: mantissas and exponents (N,)."""
    (first, dst, piece, span, ahead), (skip_src, skip_dst, _, _), accept, rest, chains = graph
    leaving = chains[2]
    states, offset, num_live, skips, skip_offset, num_skips, bounds = layers
    mantissa, exponent = pieces
    ends, tail_m, tail_x = tails
    cells, num_states = mantissa.shape[0], len(rest)
    suffix_m, suffix_x = np.empty(len(states)), np.empty(len(states), np.int32)
    ring_m, ring_x = np.zeros((window + 1, num_states)), np.full((window + 1, num_states), NEVER, np.int32)
    flat_m, flat_x, size = ring_m.reshape(-1), ring_x.reshape(-1), np.uint64(window * num_states)
    plain_m, plain_x = np.zeros(num_states), np.full(num_states, NEVER, np.int32)
    after_m, after_x = np.zeros(num_states), np.full(num_states, NEVER, np.int32)
    slot_end = -1
    for t in range(cells, -1, -1):
        arrived_m, arrived_x = ring_m[t & (window - 1)], ring_x[t & (window - 1)]
        if t + window <= cells:
            for n in range(offset[t + window], offset[t + window] + num_live[t + window]):
                arrived_m[states[n]], arrived_x[states[n]] = 0.0, NEVER
        if t < cells and last[t]:
            if slot_end >= 0:
                for n in range(offset[slot_end + 1], offset[slot_end + 1] + num_live[slot_end + 1]):
                    after_m[states[n]] = 0.0
            slot_end = t
            for n in range(offset[t + 1], offset[t + 1] + num_live[t + 1]):
                after_m[states[n]] = ring_m[(t + 1) & (window - 1), states[n]]
                after_x[states[n]] = ring_x[(t + 1) & (window - 1), states[n]]
        start, end = offset[t], offset[t] + num_live[t]
        base = np.uint64((t & (window - 1)) * num_states)
        # one piece, then whatever follows its target
        if t < cells and len(chains[0]):
            edges, after = (first, dst, piece, span), (flat_m, flat_x)
            edge_sums(chains, edges, t, window, pieces, bounds, after, (plain_m, plain_x))
        for n in range(start, end):
            i = states[n]
            mant, x = 0.0, NEVER
            if t == cells:
                if accept[i]:
                    mant, x = 1.0, 0
            else:
                if leaving[i] >= 0:
                    continue
                for edge in range(first[i], first[i + 1]):
                    k, goal = piece[edge], base + ahead[edge]
                    goal = goal if goal < size else goal - size
                    edge_m = mantissa[t, k] * flat_m[goal]
                    if edge_m > 0.0:
                        mant, x = add(mant, x, edge_m, exponent[t, k] + flat_x[goal])
            plain_m[i], plain_x[i] = normal(mant, x)
        # skips, the last of a chain first
        for n in range(skip_offset[t] + num_skips[t] - 1, skip_offset[t] - 1, -1):
            i, j = skip_src[skips[n]], skip_dst[skips[n]]
            plain_m[i], plain_x[i] = add(plain_m[i], plain_x[i], plain_m[j], plain_x[j])
        # a tail of BLANKs, or not
        for n in range(start, end):
            i = states[n]
            mant, x = plain_m[i], plain_x[i]
            if t < cells and ends[t] >= 0 and after_m[i] > 0.0:
                mant, x = add(mant, x, tail_m[t] * after_m[i], tail_x[t] + after_x[i])
            suffix_m[n], suffix_x[n] = arrived_m[i], arrived_x[i] = normal(mant, x)
    return suffix_m, suffix_x


@njit(cache=True, nogil=True, error_model="numpy")
def _load(layers, t, suffix, ring_m, ring_x):  # type: ignore[no-untyped-def]
    """Copy the suffix sums of cell ``t``'s pairs to arrays by state (S,)."""
    states, offset, num_live = layers[:3]
    suffix_m, suffix_x = suffix
    for n in range(offset[t], offset[t] + num_live[t]):
        ring_m[states[n]], ring_x[states[n]] = suffix_m[n], suffix_x[n]


@njit(cache=True, nogil=True, error_model="numpy")
def _clear(layers, t, values):  # type: ignore[no-untyped-def]
    """Set the values (S,) of cell ``t``'s pairs to zero."""
    states, offset, num_live = layers[:3]
    for n in range(offset[t], offset[t] + num_live[t]):
        values[states[n]] = 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def piece_marginals(graph, window, pieces, tails, last, layers, suffix, out):  # type: ignore[no-untyped-def]
    """Add the probability of every piece, by the cell in which it begins, and that of BLANK to ``out``: (L, P)
    and (L,).

    The probability of a pair is divided among its edges in proportion to what follows them. What a float
    cannot express is kept at TINY.
    """
    (first, dst, piece, span, ahead), (skip_src, skip_dst, _, _), _, rest, chains = graph
    leaving = chains[2]
    states, offset, num_live, skips, skip_offset, num_skips, bounds = layers
    mantissa, exponent = pieces
    ends, tail_m, tail_x = tails
    cells, num_states = mantissa.shape[0], len(rest)
    mass, blanks = out
    # of the next cells, in rings: the suffix sums, and the probability of arriving in each state
    after_m, after_x = np.zeros((window + 1, num_states)), np.full((window + 1, num_states), NEVER, np.int32)
    arriving = np.zeros((window + 1, num_states))
    arriving[0, 0] = 1.0
    flat_m, flat_x, flat_arriving = after_m.reshape(-1), after_x.reshape(-1), arriving.reshape(-1)
    size = np.uint64(window * num_states)
    for t in range(1, min(window - 1, cells + 1)):
        _load(layers, t, suffix, after_m[t], after_x[t])
    # of tails of BLANKs: the suffix sums after the slot, the probability of each state, and of all
    end_m, end_x, slot_end = np.zeros(num_states), np.full(num_states, NEVER, np.int32), -1
    in_tail, tail_mass = np.zeros(num_states), 0.0
    # of this cell: probability / suffix sum
    rate_m, rate_x = np.zeros(num_states), np.full(num_states, NEVER, np.int32)
    for t in range(cells):
        _clear(layers, max(t - 1, 0), after_m[(t - 1) & (window - 1)])
        if t + window - 1 <= cells:
            ring = (t + window - 1) & (window - 1)
            _load(layers, t + window - 1, suffix, after_m[ring], after_x[ring])
        probability = arriving[t & (window - 1)]
        start, end = offset[t], offset[t] + num_live[t]
        base = np.uint64((t & (window - 1)) * num_states)
        for n in range(start, end):
            i = states[n]
            mant, x = normal(probability[i], 0)
            rate_m[i], rate_x[i] = mant / suffix[0][n], x - suffix[1][n]
            probability[i] = 0.0
        # a tail of BLANKs begins before skips, so that one text has one path
        if ends[t] >= 0:
            if ends[t] != slot_end:
                if slot_end >= 0:
                    _clear(layers, slot_end + 1, end_m)
                slot_end = ends[t]
                _load(layers, slot_end + 1, suffix, end_m, end_x)
            for n in range(start, end):
                i = states[n]
                if rate_m[i] > 0.0 and end_m[i] > 0.0:
                    x = rate_x[i] + tail_x[t] + end_x[i]
                    share = as_float(rate_m[i] * tail_m[t] * end_m[i], x)
                    in_tail[i] += share
                    tail_mass += share
            blanks[t] += tail_mass
        for n in range(skip_offset[t], skip_offset[t] + num_skips[t]):
            i, j = skip_src[skips[n]], skip_dst[skips[n]]
            rate_m[j], rate_x[j] = add(rate_m[j], rate_x[j], rate_m[i], rate_x[i])
        # edges: probability / suffix sum x piece x suffix sum of the target
        if len(chains[0]):
            edges, after, rates = (first, dst, piece, span), (flat_m, flat_x), (rate_m, rate_x)
            edge_shares(chains, edges, t, window, pieces, bounds, rates, after, (flat_arriving, mass))
        for n in range(start, end):
            i = states[n]
            state_m, state_x = rate_m[i], rate_x[i]
            rate_m[i] = 0.0
            if state_m == 0.0 or leaving[i] >= 0:
                continue
            for edge in range(first[i], first[i + 1]):
                k, goal = piece[edge], base + ahead[edge]
                goal = goal if goal < size else goal - size
                mant = state_m * mantissa[t, k] * flat_m[goal]
                if mant > 0.0:
                    share = as_float(mant, state_x + exponent[t, k] + flat_x[goal])
                    mass[t, k] += share
                    flat_arriving[goal] += share
        if last[t]:  # the tail ends with its slot
            tail_mass = 0.0
            ring = (t + 1) & (window - 1)
            for n in range(offset[t + 1], offset[t + 1] + num_live[t + 1]):
                i = states[n]
                arriving[ring, i] += in_tail[i]
                in_tail[i] = 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def label_marginals(parts, labels, pieces, mass, label_mass):  # type: ignore[no-untyped-def]
    """Divide the probability of pieces, ``mass`` (L, P), among the labels of their cells: added to
    ``label_mass`` (L, C). ``mass`` is changed."""
    part_first, part_label, part_child = parts
    for t in range(len(mass)):
        for k in range(mass.shape[1]):
            if mass[t, k] == 0.0:
                continue
            for part in range(part_first[k], part_first[k + 1]):
                share_m, share_x = _part_weight(t, part, parts, labels, pieces)
                share = mass[t, k] * ratio(share_m, share_x, pieces[0][t, k], pieces[1][t, k])
                if share_m > 0.0:
                    share = max(share, TINY)
                    label_mass[t, part_label[part]] += share
                    if part_child[part] >= 0:
                        mass[t + 1, part_child[part]] += share


@njit(cache=True, nogil=True, error_model="numpy")
def _part_weight(t, part, parts, labels, pieces):  # type: ignore[no-untyped-def]
    """The weight of a part of a piece: its label in cell ``t``, and the piece that follows."""
    _, part_label, part_child = parts
    label, child = part_label[part], part_child[part]
    if child < 0:
        return labels[0][t, label], labels[1][t, label]
    if t + 1 == len(labels[0]):
        return 0.0, NEVER
    return labels[0][t, label] * pieces[0][t + 1, child], labels[1][t, label] + pieces[1][t + 1, child]


@njit(cache=True, nogil=True, error_model="numpy")
def sample_block(graph, window, sums, layers, suffix, symbols, rng):  # type: ignore[no-untyped-def]
    """Draw one block (L,) from left to right, with the suffix sums. A draw that hits a rounding remainder
    is repeated.

    Args:
        graph, window, layers, suffix: as before.
        sums: the parts of the pieces; mantissas and exponents of the labels, of the pieces and of the tails.
        symbols: log-weights (L, V); the automaton's ``members`` and ``member_first``.
        rng: a numpy generator.
    """
    (first, dst, piece, span, _), (_, skip_dst, skip_first, skip_of), _, rest, _ = graph
    parts, labels, pieces, (ends, tail_m, tail_x) = sums
    mantissa, exponent = pieces
    states, offset, num_live = layers[:3]
    cells, num_states = mantissa.shape[0], len(rest)
    out = np.full(cells, -1, np.int64)
    ring_m, ring_x = np.zeros((window, num_states)), np.full((window, num_states), NEVER, np.int32)
    queue, is_queued = np.empty(num_states, np.int32), np.zeros(num_states, np.bool_)
    loaded = 0
    state, t = 0, 0
    while t < cells:
        # the suffix sums of this cell and of those that a piece reaches
        while loaded < min(t + window, cells + 1):
            if loaded >= window:
                _clear(layers, loaded - window, ring_m[loaded & (window - 1)])
            _load(layers, loaded, suffix, ring_m[loaded & (window - 1)], ring_x[loaded & (window - 1)])
            loaded += 1
        total_m, total_x = ring_m[t & (window - 1), state], ring_x[t & (window - 1), state]
        remaining = rng.random()
        # a tail of BLANKs, up to the end of the slot
        if ends[t] >= 0:
            after = ends[t] + 1
            for n in range(offset[after], offset[after] + num_live[after]):
                if states[n] == state:
                    share_m, share_x = tail_m[t] * suffix[0][n], tail_x[t] + suffix[1][n]
                    remaining -= ratio(share_m, share_x, total_m, total_x)
            if remaining < 0.0:
                out[t:after] = symbols[0].shape[1] - 1
                t = after
                continue
        # an edge, of the state or after skips
        chosen, taken, size = np.int64(-1), 0, 1
        queue[0], is_queued[state] = state, True
        while taken < size and chosen < 0:
            i = queue[taken]
            taken += 1
            for n in range(skip_first[i], skip_first[i + 1]):
                j = skip_dst[skip_of[n]]
                if not is_queued[j]:
                    queue[size], is_queued[j] = j, True
                    size += 1
            for edge in range(first[i], first[i + 1]):
                after = t + span[edge]
                if after > cells:
                    continue
                k, ring = piece[edge], after & (window - 1)
                edge_m = mantissa[t, k] * ring_m[ring, dst[edge]]
                remaining -= ratio(edge_m, exponent[t, k] + ring_x[ring, dst[edge]], total_m, total_x)
                if remaining < 0.0:
                    chosen = np.int64(edge)
                    break
        for n in range(size):
            is_queued[queue[n]] = False
        if chosen < 0:
            continue
        _sample_piece(t, piece[chosen], parts, labels, pieces, symbols, rng, out)
        state, t = dst[chosen], t + span[chosen]
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _sample_piece(t, child, parts, labels, pieces, symbols, rng, out):  # type: ignore[no-untyped-def]
    """Draw the symbols of a piece that begins in cell ``t``."""
    part_first, part_label, part_child = parts
    weights, members, member_first = symbols
    while child >= 0:
        # one of the piece's parts
        remaining, chosen = rng.random(), -1
        if part_first[child + 1] == part_first[child] + 1:
            chosen = part_first[child]
        while chosen < 0:
            for part in range(part_first[child], part_first[child + 1]):
                part_m, part_x = _part_weight(t, part, parts, labels, pieces)
                remaining -= ratio(part_m, part_x, pieces[0][t, child], pieces[1][t, child])
                if remaining < 0.0:
                    chosen = part
                    break
            else:
                remaining = rng.random()
        # a symbol of the part's label
        label, symbol = part_label[chosen], -1
        log_total = np.log(labels[0][t, label]) + labels[1][t, label] * STEP
        while symbol < 0:
            remaining = rng.random()
            for k in range(member_first[label], member_first[label + 1]):
                log_weight = weights[t, members[k]]
                if log_weight > -np.inf:
                    remaining -= np.exp(log_weight - log_total)
                    if remaining < 0.0:
                        symbol = members[k]
                        break
        out[t] = symbol
        child, t = part_child[chosen], t + 1
