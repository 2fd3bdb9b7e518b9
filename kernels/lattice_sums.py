"""Sum passes of the lattice, compiled by numba: label totals, suffix sums, marginals, samples.

A sum is a mantissa and a binary exponent of its own (names ending in ``_m`` and ``_x``): a text that the
model considers nearly impossible may be the only one that the pinned cells allow, so it must not
underflow, and logarithms would cost several times as much.

    L cells   S states   C labels   graph: the automaton's arrays   inside, last: the slots (L,)
    totals      mantissas and exponents of the labels (L, C) and of BLANK (L,), inside, last
    suffix_m/x  (3, L+1, S), the total weight of what may follow a state before cell t, in one of three modes:
                PLAIN no BLANK comes next (after a skip); ARRIVED one may; TAIL inside a slot's tail of BLANKs

Only states that can be reached, and can still reach the end, in the cells that are left are visited:
states are ordered by distance from the start (``reach``), and ``rest`` is the distance to the end.
lattice.py is the specification.
"""

import math

import numpy as np
from numba import njit

from solver.kernels.lattice_paths import ARRIVED, PLAIN, TAIL

NEVER = -(1 << 29)  # the exponent of zero
POWERS = 2.0 ** -np.arange(64)  # a summand 64 binary places smaller is dropped
TINY = 1e-300  # the probability of a possible event that a float cannot express
FAINT = 1e-280  # a label's total, relative to its cell's largest weight, below which it is summed anew
LN2 = math.log(2.0)


@njit(cache=True, nogil=True, error_model="numpy")
def _from_log(log_weight):  # type: ignore[no-untyped-def]
    """exp(log_weight) as (mantissa, exponent); (0, NEVER) for minus infinity."""
    if log_weight == -np.inf:
        return 0.0, NEVER
    x = int(np.floor(log_weight / LN2))
    return np.exp(log_weight - x * LN2), x


@njit(cache=True, nogil=True, error_model="numpy")
def _normal(mant, x):  # type: ignore[no-untyped-def]
    """The same number with a mantissa near 1: within far fewer binary places than sums drop."""
    if mant == 0.0:
        return 0.0, NEVER
    if 0.00390625 < mant < 256.0:
        return mant, x
    mant, shift = math.frexp(mant)
    return mant, x + shift


@njit(cache=True, nogil=True, error_model="numpy")
def _add(mant, x, mant2, x2):  # type: ignore[no-untyped-def]
    if mant2 == 0.0:
        return mant, x
    if mant == 0.0:
        return mant2, x2
    shift = x2 - x
    if shift <= 0:
        return (mant + mant2 * POWERS[-shift], x) if shift > -64 else (mant, x)
    return (mant * POWERS[shift] + mant2, x2) if shift < 64 else (mant2, x2)


@njit(cache=True, nogil=True, error_model="numpy")
def _ratio(mant, x, total_m, total_x):  # type: ignore[no-untyped-def]
    """A summand's share of a total, as a float; 0 only if the summand is 0."""
    shift = x - total_x
    if mant == 0.0:
        return 0.0
    if shift < -990:
        return TINY
    if -64 < shift <= 0:
        return mant / total_m * POWERS[-shift]
    return math.ldexp(mant / total_m, shift)


@njit(cache=True, nogil=True, error_model="numpy")
def label_totals(weights, labels, top, linear, out):  # type: ignore[no-untyped-def]
    """The weight of every label in every cell, written into the arrays (L, C) of ``out``.

    Args:
        weights: log-weights (L, V).
        labels: the automaton's ``members``, ``member_first`` and ``atoms``. Labels are summed by atoms,
            which are fewer.
        top: largest log-weight of each cell (L,).
        linear: weights relative to ``top`` (L, V).
        out: totals relative to ``top``; mantissas; exponents; the largest log-weight; its symbol.
    """
    totals, mantissa, exponent, high, argument = out
    members, first, (atom_of, parts, part_first) = labels
    count = parts.max() + 1 if len(parts) else 0
    sums, bests, args = np.empty(count), np.empty(count), np.empty(count, np.int32)
    for t in range(len(weights)):
        # the sum, the largest weight and its symbol of every atom
        top_m, top_x = _from_log(top[t])
        sums[:], bests[:] = 0.0, -np.inf
        for symbol in range(len(atom_of)):
            atom = atom_of[symbol]
            if atom >= 0:
                sums[atom] += linear[t, symbol]
                if weights[t, symbol] > bests[atom]:
                    bests[atom], args[atom] = weights[t, symbol], symbol
        # the same of every label
        for label in range(len(first) - 1):
            best, arg, total = -np.inf, -1, 0.0
            for k in range(part_first[label], part_first[label + 1]):
                atom = parts[k]
                total += sums[atom]
                if bests[atom] > best:
                    best, arg = bests[atom], args[atom]
            high[t, label], argument[t, label], totals[t, label] = best, arg, total
            if best == -np.inf:
                mant, x = 0.0, NEVER
            elif total > FAINT:
                mant, x = total * top_m, top_x
            else:  # all members are far below the cell's largest weight
                best_m, x = _from_log(best)
                total = 0.0
                for k in range(first[label], first[label + 1]):
                    total += np.exp(weights[t, members[k]] - best)
                mant = best_m * total
            mantissa[t, label], exponent[t, label] = _normal(mant, x)


@njit(cache=True, nogil=True, error_model="numpy")
def suffix_sums(graph, totals):  # type: ignore[no-untyped-def]
    """The total weight of what may follow each state, by mode and cell: mantissas and exponents (3, L+1,
    S)."""
    label, dst, first, skip_src, skip_dst, accept, reach, rest = graph
    mantissa, exponent, blank_m, blank_x, inside, last = totals
    cells, states = mantissa.shape[0], len(reach)
    suffix_m = np.zeros((3, cells + 1, states))
    suffix_x = np.full((3, cells + 1, states), NEVER, np.int32)
    for t in range(cells, -1, -1):
        live = np.searchsorted(reach, t, side="right")
        # PLAIN: one edge, then whatever follows its target
        if t == cells:
            for state in range(states):
                if accept[state]:
                    suffix_m[PLAIN, t, state], suffix_x[PLAIN, t, state] = 1.0, 0
        else:
            for state in range(live):
                if rest[state] > cells - t:
                    continue
                mant, x = 0.0, NEVER
                for edge in range(first[state], first[state + 1]):
                    next_m = suffix_m[ARRIVED, t + 1, dst[edge]]
                    if next_m > 0.0:
                        k = label[edge]
                        next_x = suffix_x[ARRIVED, t + 1, dst[edge]]
                        mant, x = _add(mant, x, mantissa[t, k] * next_m, exponent[t, k] + next_x)
                suffix_m[PLAIN, t, state], suffix_x[PLAIN, t, state] = _normal(mant, x)
        # skips, the last of a chain first
        for k in range(len(skip_src) - 1, -1, -1):
            i, j = skip_src[k], skip_dst[k]
            if suffix_m[PLAIN, t, j] > 0.0:
                suffix_m[PLAIN, t, i], suffix_x[PLAIN, t, i] = _add(
                    suffix_m[PLAIN, t, i], suffix_x[PLAIN, t, i], suffix_m[PLAIN, t, j], suffix_x[PLAIN, t, j]
                )
        # TAIL: a BLANK, then more of them up to the slot's end. ARRIVED: either
        for state in range(live):
            plain_m, plain_x = suffix_m[PLAIN, t, state], suffix_x[PLAIN, t, state]
            suffix_m[ARRIVED, t, state], suffix_x[ARRIVED, t, state] = plain_m, plain_x
            if t < cells and inside[t] and blank_m[t] > 0.0:
                mode = ARRIVED if last[t] else TAIL
                if suffix_m[mode, t + 1, state] > 0.0:
                    mant, x = _normal(
                        blank_m[t] * suffix_m[mode, t + 1, state], blank_x[t] + suffix_x[mode, t + 1, state]
                    )
                    suffix_m[TAIL, t, state], suffix_x[TAIL, t, state] = mant, x
                    mant, x = _add(plain_m, plain_x, mant, x)
                    suffix_m[ARRIVED, t, state], suffix_x[ARRIVED, t, state] = mant, x
    return suffix_m, suffix_x


@njit(cache=True, nogil=True, error_model="numpy")
def label_marginals(graph, totals, suffix, mass, blanks):  # type: ignore[no-untyped-def]
    """Add the probability of every label in every cell to ``mass`` (L, C), and that of BLANK to ``blanks``
    (L,)."""
    label, dst, first, skip_src, skip_dst, reach = graph
    mantissa, exponent, blank_m, blank_x, inside, last = totals
    suffix_m, suffix_x = suffix
    cells, states = mantissa.shape[0], len(reach)
    total_m, total_x = suffix_m[ARRIVED, 0, 0], suffix_x[ARRIVED, 0, 0]
    inverse = 1.0 / total_m
    # prefix sums: on arrival at cell t, at cell t + 1, and inside a tail of BLANKs
    now_m, now_x = np.zeros(states), np.full(states, NEVER, np.int64)
    next_m, next_x = np.zeros(states), np.full(states, NEVER, np.int64)
    tail_m, tail_x = np.zeros(states), np.full(states, NEVER, np.int64)
    now_m[0], now_x[0] = 1.0, 0
    for t in range(cells):
        live = np.searchsorted(reach, t, side="right")
        # BLANK: a tail begins or continues; it begins before skips, so that one text has one path
        if inside[t]:
            mode = ARRIVED if last[t] else TAIL
            for state in range(live):
                mant, x = _add(now_m[state], now_x[state], tail_m[state], tail_x[state])
                if mant == 0.0 or suffix_m[mode, t + 1, state] == 0.0 or blank_m[t] == 0.0:
                    tail_m[state], tail_x[state] = 0.0, NEVER
                    continue
                tail_m[state], tail_x[state] = _normal(mant * blank_m[t], x + blank_x[t])
                blanks[t] += _ratio(
                    tail_m[state] * suffix_m[mode, t + 1, state],
                    tail_x[state] + suffix_x[mode, t + 1, state],
                    total_m,
                    total_x,
                )
        for k in range(len(skip_src)):
            i, j = skip_src[k], skip_dst[k]
            if now_m[i] > 0.0:
                now_m[j], now_x[j] = _add(now_m[j], now_x[j], now_m[i], now_x[i])
        # edges: prefix x label x suffix / total
        next_m[:] = 0.0
        for state in range(live):
            if now_m[state] == 0.0 or suffix_m[PLAIN, t, state] == 0.0:
                continue
            state_m, state_x = _normal(now_m[state], now_x[state])
            for edge in range(first[state], first[state + 1]):
                j, k = dst[edge], label[edge]
                after_m = suffix_m[ARRIVED, t + 1, j]
                if after_m == 0.0:
                    continue
                mant, x = state_m * mantissa[t, k], state_x + exponent[t, k]
                if mant > 0.0:
                    if next_m[j] == 0.0:
                        next_m[j], next_x[j] = mant, x
                    else:
                        next_m[j], next_x[j] = _add(next_m[j], next_x[j], mant, x)
                    shift = x + suffix_x[ARRIVED, t + 1, j] - total_x
                    if -64 < shift <= 0:  # _ratio, written out for speed
                        mass[t, k] += mant * after_m * inverse * POWERS[-shift]
                    else:
                        mass[t, k] += _ratio(mant * after_m, shift, total_m, 0)
        if last[t]:  # the tail ends with its slot
            for state in range(live):
                next_m[state], next_x[state] = _add(
                    next_m[state], next_x[state], tail_m[state], tail_x[state]
                )
                tail_m[state], tail_x[state] = 0.0, NEVER
        now_m, next_m = next_m, now_m
        now_x, next_x = next_x, now_x


@njit(cache=True, nogil=True, error_model="numpy")
def symbol_marginals(weights, labels, linear, totals, high, label_mass, out):  # type: ignore[no-untyped-def]
    """Divide the probability of labels (L, C) and BLANK (L,) among symbols: added to ``out`` (L, V)."""
    cells, symbols = weights.shape
    members, first, (atom_of, parts, part_first) = labels
    mass, blanks = label_mass
    shares = np.empty(parts.max() + 1 if len(parts) else 0)
    for t in range(cells):
        out[t, symbols - 1] += blanks[t]
        # per atom: the sum over its labels of probability / total weight
        shares[:] = 0.0
        for label in range(len(first) - 1):
            if mass[t, label] > 0.0:
                if totals[t, label] > FAINT:
                    share = mass[t, label] / totals[t, label]
                    for k in range(part_first[label], part_first[label + 1]):
                        shares[parts[k]] += share
                else:  # relative to the label's own largest weight, symbol by symbol
                    total = 0.0
                    for k in range(first[label], first[label + 1]):
                        total += np.exp(weights[t, members[k]] - high[t, label])
                    for k in range(first[label], first[label + 1]):
                        if weights[t, members[k]] > -np.inf:
                            share = mass[t, label] * np.exp(weights[t, members[k]] - high[t, label]) / total
                            out[t, members[k]] += max(share, TINY)
        for symbol in range(len(atom_of)):
            atom = atom_of[symbol]
            if atom >= 0 and shares[atom] > 0.0 and weights[t, symbol] > -np.inf:
                out[t, symbol] += max(shares[atom] * linear[t, symbol], TINY)


@njit(cache=True, nogil=True, error_model="numpy")
def sample_block(graph, totals, suffix, weights, rng):  # type: ignore[no-untyped-def]
    """Draw one block (L,) from left to right, with the suffix sums. A draw that hits a rounding remainder
    is repeated."""
    label, dst, first, skip_first, skip_dst, members, member_first = graph
    mantissa, exponent, _, _, _, last = totals
    suffix_m, suffix_x = suffix
    cells = mantissa.shape[0]
    out = np.full(cells, -1, np.int64)
    state, t, mode = 0, 0, ARRIVED
    while t < cells:
        remaining = rng.random()
        total_m, total_x = suffix_m[mode, t, state], suffix_x[mode, t, state]
        # a tail of BLANKs, up to the end of the slot
        if mode == ARRIVED and suffix_m[TAIL, t, state] > 0.0:
            remaining -= _ratio(suffix_m[TAIL, t, state], suffix_x[TAIL, t, state], total_m, total_x)
            if remaining < 0.0:
                while True:
                    out[t] = weights.shape[1] - 1
                    t += 1
                    if last[t - 1]:
                        break
                continue
        # a skip
        skipped = False
        for k in range(skip_first[state], skip_first[state + 1]):
            j = skip_dst[k]
            remaining -= _ratio(suffix_m[PLAIN, t, j], suffix_x[PLAIN, t, j], total_m, total_x)
            if remaining < 0.0:
                state, skipped, mode = j, True, PLAIN
                break
        if skipped:
            continue
        # an edge
        chosen = -1
        for edge in range(first[state], first[state + 1]):
            j, k = dst[edge], label[edge]
            edge_m = mantissa[t, k] * suffix_m[ARRIVED, t + 1, j]
            remaining -= _ratio(edge_m, exponent[t, k] + suffix_x[ARRIVED, t + 1, j], total_m, total_x)
            if remaining < 0.0:
                chosen = edge
                break
        if chosen < 0:
            continue
        # a symbol of the edge's label
        n = label[chosen]
        log_total = np.log(mantissa[t, n]) + exponent[t, n] * LN2
        symbol = -1
        while symbol < 0:
            remaining = rng.random()
            for k in range(member_first[n], member_first[n + 1]):
                log_weight = weights[t, members[k]]
                if log_weight > -np.inf:
                    remaining -= np.exp(log_weight - log_total)
                    if remaining < 0.0:
                        symbol = members[k]
                        break
        out[t] = symbol
        state, mode, t = dst[chosen], ARRIVED, t + 1
    return out
