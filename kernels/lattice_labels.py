"""The weights of labels in every cell, and the probabilities of their symbols, compiled by numba.

A weight is a mantissa and an exponent of its own (names ending in ``_m`` and ``_x``): a text that the model
considers nearly impossible may be the only one that the pinned cells allow, so it must not underflow, and
logarithms would cost several times as much. The base is 2 ** 256: most sums are of equal exponents, and the
product of three mantissas is a float.

    L cells   C labels   V symbols   labels: the automaton's ``members``, ``member_first`` and ``atoms``

lattice.py is the specification.
"""

import math

import numpy as np
from numba import njit

NEVER = -(1 << 29)  # the exponent of zero
PLACES = 256  # binary places of an exponent's step
STEP = PLACES * math.log(2.0)
POWERS = 2.0 ** (-PLACES * np.arange(6.0))  # the last is zero
HIGHEST, LOWEST = 2.0 ** (PLACES // 2), 2.0 ** (-PLACES // 2)  # of a normal mantissa
TINY = 1e-300  # the probability of a possible event that a float cannot express
FAINT = 1e-230  # a label's total, relative to its cell's largest weight, below which it is summed anew


@njit(cache=True, nogil=True, error_model="numpy")
def from_log(log_weight):  # type: ignore[no-untyped-def]
    """exp(log_weight) as (mantissa, exponent); (0, NEVER) for minus infinity."""
    if log_weight == -np.inf:
        return 0.0, NEVER
    x = int(np.rint(log_weight / STEP))
    return np.exp(log_weight - x * STEP), x


@njit(cache=True, nogil=True, error_model="numpy")
def normal(mant, x):  # type: ignore[no-untyped-def]
    """The same number with a normal mantissa."""
    if mant == 0.0:
        return 0.0, NEVER
    while mant < LOWEST:
        mant, x = mant * 2.0**PLACES, x - 1
    while mant > HIGHEST:
        mant, x = mant * 2.0**-PLACES, x + 1
    return mant, x


@njit(cache=True, nogil=True, error_model="numpy")
def add(mant, x, mant2, x2):  # type: ignore[no-untyped-def]
    if x == x2:
        return mant + mant2, x
    if mant2 == 0.0:
        return mant, x
    if mant == 0.0:
        return mant2, x2
    if x > x2:
        return mant + mant2 * POWERS[min(x - x2, len(POWERS) - 1)], x
    return mant * POWERS[min(x2 - x, len(POWERS) - 1)] + mant2, x2


@njit(cache=True, nogil=True, error_model="numpy")
def as_float(mant, x):  # type: ignore[no-untyped-def]
    """A positive number that is not much above 1, as a float; not below TINY."""
    if x == 0:
        return mant
    if x > 0:
        return math.ldexp(mant, PLACES * x)
    return max(mant * POWERS[min(-x, len(POWERS) - 1)], TINY)


@njit(cache=True, nogil=True, error_model="numpy")
def ratio(mant, x, total_m, total_x):  # type: ignore[no-untyped-def]
    """A summand's share of a total, as a float; 0 only if the summand is 0."""
    return as_float(mant / total_m, x - total_x) if mant > 0.0 else 0.0


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
        top_m, top_x = from_log(top[t])
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
                best_m, x = from_log(best)
                total = 0.0
                for k in range(first[label], first[label + 1]):
                    total += np.exp(weights[t, members[k]] - best)
                mant = best_m * total
            mantissa[t, label], exponent[t, label] = normal(mant, x)


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
def piece_totals(parts, labels, high, pieces, piece_high):  # type: ignore[no-untyped-def]
    """The weight of every piece that begins in each cell, written to ``pieces`` and ``piece_high`` (L, P):
    mantissas and exponents of the total, and the largest log-weight of one of its texts.

    Args:
        parts: where each piece's parts begin (P + 1,), their labels, and the pieces that follow them, or -1.
        labels: mantissas and exponents of the labels (L, C).
        high: the largest log-weight of each label (L, C).
    """
    part_first, part_label, part_child = parts
    mantissa, exponent = labels
    cells, num_pieces = piece_high.shape
    for t in range(cells - 1, -1, -1):
        for k in range(num_pieces):
            mant, x, top = 0.0, NEVER, -np.inf
            for part in range(part_first[k], part_first[k + 1]):
                label, child = part_label[part], part_child[part]
                if high[t, label] == -np.inf:
                    continue
                part_m, part_x, part_high = mantissa[t, label], exponent[t, label], high[t, label]
                if child >= 0:
                    if t + 1 == cells or piece_high[t + 1, child] == -np.inf:
                        continue
                    part_m, part_x = part_m * pieces[0][t + 1, child], part_x + pieces[1][t + 1, child]
                    part_high += piece_high[t + 1, child]
                mant, x = add(mant, x, part_m, part_x)
                top = max(top, part_high)
            pieces[0][t, k], pieces[1][t, k] = normal(mant, x)
            piece_high[t, k] = top


@njit(cache=True, nogil=True, error_model="numpy")
def tail_totals(blank, inside, last, out):  # type: ignore[no-untyped-def]
    """The tails of BLANKs from every cell to the end of its slot.

    Args:
        blank: log-weight of BLANK (L,).
        inside, last: the slots (L,).
        out: the last cell of each tail, or -1 if a cell may not hold BLANK (L,); log-weights, mantissas and
            exponents (L,).
    """
    ends, weights, mantissa, exponent = out
    end, total = -1, 0.0
    for t in range(len(blank) - 1, -1, -1):
        if last[t]:
            end, total = t, 0.0
        if not inside[t] or blank[t] == -np.inf:
            end = -1
        total += blank[t]
        ends[t] = end
        if end >= 0:
            weights[t] = total
            mantissa[t], exponent[t] = from_log(total)
