"""The passes of lattice_cpu.py, compiled by numba: forward or backward, over the states that can be reached and can still end in
time.

A sum is kept as a mantissa and a binary exponent of its own: a text that the model hardly believes may be the only one that the
pins allow, and must not underflow; and logarithms would cost several times as much.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NONE, MERGED = -1, -(1 << 30)  # back-pointers that are no edge
NEVER = -(1 << 29)  # the exponent of zero
POWERS = 2.0 ** -np.arange(64)  # what is 64 binary places smaller is left out of a sum
LEAST = 1e-300  # the probability of what is possible, but less likely than a float can say
LN2 = math.log(2.0)


@njit(cache=True, nogil=True, error_model="numpy")
def _scaled(x):  # type: ignore[no-untyped-def]
    """exp(x) as (mantissa, exponent); (0, NEVER) for minus infinity."""
    if x == -np.inf:
        return 0.0, NEVER
    e = int(np.floor(x / LN2))
    return np.exp(x - e * LN2), e


@njit(cache=True, nogil=True, error_model="numpy")
def _tidy(m, e):  # type: ignore[no-untyped-def]
    """The same with a mantissa that is not far from 1: far less than the places by which a sum leaves something out."""
    if m == 0.0:
        return 0.0, NEVER
    if 0.00390625 < m < 256.0:
        return m, e
    m, more = math.frexp(m)
    return m, e + more


@njit(cache=True, nogil=True, error_model="numpy")
def labels(weights, members, first, atoms, top, linear, totals, mantissa, exponent, high, argument):  # type: ignore[no-untyped-def]
    """The total (as mantissa and exponent), the largest log-weight and its symbol of every label in every cell; and the totals
    relative to the largest weight of the cell, ``top``, as ``linear`` is."""
    cells = len(weights)
    atom_of, parts, part_first = atoms
    count = parts.max() + 1 if len(parts) else 0
    sums, bests, args = np.empty(count), np.empty(count), np.empty(count, np.int32)
    for t in range(cells):
        base_m, base_e = _scaled(top[t])
        sums[:], bests[:] = 0.0, -np.inf
        for v in range(len(atom_of)):
            if atom_of[v] >= 0:
                sums[atom_of[v]] += linear[t, v]
                if weights[t, v] > bests[atom_of[v]]:
                    bests[atom_of[v]], args[atom_of[v]] = weights[t, v], v
        for c in range(len(first) - 1):
            best, arg, total = -np.inf, -1, 0.0
            for k in range(part_first[c], part_first[c + 1]):
                atom = parts[k]
                total += sums[atom]
                if bests[atom] > best:
                    best, arg = bests[atom], args[atom]
            high[t, c], argument[t, c], totals[t, c] = best, arg, total
            if best == -np.inf:
                mantissa[t, c], exponent[t, c] = 0.0, NEVER
            elif total > 1e-280:
                mantissa[t, c], exponent[t, c] = total * base_m, base_e
            else:  # all members are far below the cell's largest
                m, e = _scaled(best)
                total = 0.0
                for k in range(first[c], first[c + 1]):
                    total += np.exp(weights[t, members[k]] - best)
                mantissa[t, c], exponent[t, c] = m * total, e
            mantissa[t, c], exponent[t, c] = _tidy(mantissa[t, c], exponent[t, c])


@njit(cache=True, nogil=True, error_model="numpy")
def _plus(m, e, m2, e2):  # type: ignore[no-untyped-def]
    """m 2**e + m2 2**e2."""
    if m2 == 0.0:
        return m, e
    if m == 0.0:
        return m2, e2
    d = e2 - e
    if d <= 0:
        return (m + m2 * POWERS[-d], e) if d > -64 else (m, e)
    return (m * POWERS[d] + m2, e2) if d < 64 else (m2, e2)


@njit(cache=True, nogil=True, error_model="numpy")
def _part(m, e, whole_m, whole_e):  # type: ignore[no-untyped-def]
    """A share of a whole; what is possible is never 0."""
    d = e - whole_e
    if m == 0.0:
        return 0.0
    if d < -990:
        return LEAST
    if -64 < d <= 0:
        return m / whole_m * POWERS[-d]
    return math.ldexp(m / whole_m, d)


@njit(cache=True, nogil=True, error_model="numpy")
def _horizon(reach, t):  # type: ignore[no-untyped-def]
    return np.searchsorted(reach, t, side="right")


@njit(cache=True, nogil=True, error_model="numpy")
def best(graph, high, blank, inside, last):  # type: ignore[no-untyped-def]
    """The likeliest path: for each cell (L,) its label plus one, 0 for BLANK, -1 where there is none; and its log-weight."""
    src, label, dst, first, skip_src, skip_dst, accept, reach, rest = graph
    cells, states = high.shape[0], len(reach)
    came = np.full((cells + 1, states), NONE, np.int32)
    blank_came = np.zeros((cells + 1, states), np.int8)
    alpha = np.full(states, -np.inf)
    moved = np.full(states, -np.inf)
    done = np.full(states, -np.inf)
    behind = np.zeros(cells, np.int64)  # cells after the end of the slot that t is in
    end = cells - 1
    for t in range(cells - 1, -1, -1):
        if last[t]:
            end = t
        behind[t] = cells - 1 - end
    alpha[0] = 0.0
    for t in range(cells + 1):
        live = _horizon(reach, t)
        if t < cells and inside[t]:  # a tail of blanks begins before skips: one text, one path
            for q in range(live):
                x, y = alpha[q], done[q]
                if x > y and rest[q] <= behind[t]:
                    done[q] = x + blank[t]
                    blank_came[t + 1, q] = 0
                elif y > -np.inf:
                    done[q] = y + blank[t]
                    blank_came[t + 1, q] = 1
        for k in range(len(skip_src)):
            a, b = skip_src[k], skip_dst[k]
            if alpha[a] > alpha[b]:
                alpha[b] = alpha[a]
                came[t, b] = -2 - k
        if t == cells:
            break
        moved[:] = -np.inf
        for q in range(live):
            x = alpha[q]
            if x == -np.inf:
                continue
            for e in range(first[q], first[q + 1]):
                to = dst[e]
                y = x + high[t, label[e]]
                if y > moved[to] and rest[to] <= cells - 1 - t:
                    moved[to] = y
                    came[t + 1, to] = e
        if last[t]:
            for q in range(live):
                if done[q] > moved[q]:
                    moved[q] = done[q]
                    came[t + 1, q] = MERGED
                done[q] = -np.inf
        alpha, moved = moved, alpha
    path = np.full(cells, -1, np.int64)  # label + 1, or 0 for BLANK
    score, q = -np.inf, -1
    for s in range(states):
        if accept[s] and alpha[s] > score:
            score, q = alpha[s], s
    if q < 0:
        return path, score
    t, tail = cells, False
    while t > 0 or came[0, q] <= -2:
        if tail:
            tail = blank_came[t, q] == 1
            path[t - 1] = 0
            t -= 1
            continue
        how = came[t, q]
        if how == MERGED:
            tail = True
        elif how <= -2:
            q = skip_src[-2 - how]
        else:
            path[t - 1] = label[how] + 1
            q = src[how]
            t -= 1
    return path, score


@njit(cache=True, nogil=True, error_model="numpy")
def backward(graph, sums):  # type: ignore[no-untyped-def]
    """What follows each state, each (L+1, S) as mantissas and exponents: where no blank may come first (after a skip), where
    one may (on arrival), and inside a tail of blanks."""
    label, dst, first, skip_src, skip_dst, accept, reach, rest = graph
    mantissa, exponent, blank_m, blank_e, inside, last = sums
    cells, states = mantissa.shape[0], len(reach)
    m = np.zeros((3, cells + 1, states))
    x = np.full((3, cells + 1, states), NEVER, np.int32)
    for t in range(cells, -1, -1):
        live = _horizon(reach, t)
        if t == cells:
            for q in range(states):
                if accept[q]:
                    m[0, t, q], x[0, t, q] = 1.0, 0
        else:
            for q in range(live):
                if rest[q] > cells - t:
                    continue
                sm, se = 0.0, NEVER
                for e in range(first[q], first[q + 1]):
                    am = m[1, t + 1, dst[e]]
                    if am > 0.0:
                        c = label[e]
                        sm, se = _plus(sm, se, mantissa[t, c] * am, exponent[t, c] + x[1, t + 1, dst[e]])
                m[0, t, q], x[0, t, q] = _tidy(sm, se)
        for k in range(len(skip_src) - 1, -1, -1):
            a, b = skip_src[k], skip_dst[k]
            if m[0, t, b] > 0.0:
                m[0, t, a], x[0, t, a] = _plus(m[0, t, a], x[0, t, a], m[0, t, b], x[0, t, b])
        for q in range(live):
            m[1, t, q], x[1, t, q] = m[0, t, q], x[0, t, q]
            if t < cells and inside[t] and blank_m[t] > 0.0:
                way = 1 if last[t] else 2
                if m[way, t + 1, q] > 0.0:
                    m[2, t, q], x[2, t, q] = _tidy(
                        blank_m[t] * m[way, t + 1, q], blank_e[t] + x[way, t + 1, q]
                    )
                    m[1, t, q], x[1, t, q] = _plus(m[0, t, q], x[0, t, q], m[2, t, q], x[2, t, q])
    return m, x


@njit(cache=True, nogil=True, error_model="numpy")
def marginals(graph, sums, behind, mass, blanks):  # type: ignore[no-untyped-def]
    """Adds up the probability of every label in every cell (L, C), and of BLANK (L,)."""
    label, dst, first, skip_src, skip_dst, reach = graph
    mantissa, exponent, blank_m, blank_e, inside, last = sums
    m, x = behind
    cells, states = mantissa.shape[0], len(reach)
    whole_m, whole_e = m[1, 0, 0], x[1, 0, 0]
    once = 1.0 / whole_m
    am, ae = np.zeros(states), np.full(states, NEVER, np.int64)
    nm, ne = np.zeros(states), np.full(states, NEVER, np.int64)
    dm, de = np.zeros(states), np.full(states, NEVER, np.int64)
    am[0], ae[0] = 1.0, 0
    for t in range(cells):
        live = _horizon(reach, t)
        if inside[t]:
            way = 1 if last[t] else 2
            for q in range(live):
                sm, se = _plus(am[q], ae[q], dm[q], de[q])
                if sm == 0.0 or m[way, t + 1, q] == 0.0 or blank_m[t] == 0.0:
                    dm[q], de[q] = 0.0, NEVER
                    continue
                dm[q], de[q] = _tidy(sm * blank_m[t], se + blank_e[t])
                blanks[t] += _part(dm[q] * m[way, t + 1, q], de[q] + x[way, t + 1, q], whole_m, whole_e)
        for k in range(len(skip_src)):
            a, b = skip_src[k], skip_dst[k]
            if am[a] > 0.0:
                am[b], ae[b] = _plus(am[b], ae[b], am[a], ae[a])
        nm[:] = 0.0
        for q in range(live):
            if am[q] == 0.0 or m[0, t, q] == 0.0:
                continue
            fm, fe = _tidy(am[q], ae[q])
            for e in range(first[q], first[q + 1]):
                to, c = dst[e], label[e]
                bm = m[1, t + 1, to]
                if bm == 0.0:
                    continue
                pm, pe = fm * mantissa[t, c], fe + exponent[t, c]
                if pm > 0.0:
                    if nm[to] == 0.0:
                        nm[to], ne[to] = pm, pe
                    else:
                        nm[to], ne[to] = _plus(nm[to], ne[to], pm, pe)
                    d = pe + x[1, t + 1, to] - whole_e
                    if -64 < d <= 0:
                        mass[t, c] += pm * bm * once * POWERS[-d]
                    else:
                        mass[t, c] += _part(pm * bm, d, whole_m, 0)
        if last[t]:
            for q in range(live):
                nm[q], ne[q] = _plus(nm[q], ne[q], dm[q], de[q])
                dm[q], de[q] = 0.0, NEVER
        am, nm = nm, am
        ae, ne = ne, ae


@njit(cache=True, nogil=True, error_model="numpy")
def spread(weights, members, first, atoms, linear, totals, high, mass, blanks, out):  # type: ignore[no-untyped-def]
    """From labels to symbols."""
    cells, symbols = weights.shape
    atom_of, parts, part_first = atoms
    shares = np.empty(parts.max() + 1 if len(parts) else 0)
    for t in range(cells):
        out[t, symbols - 1] += blanks[t]
        shares[:] = 0.0
        for c in range(len(first) - 1):
            if mass[t, c] > 0.0:
                if totals[t, c] > 1e-280:
                    share = mass[t, c] / totals[t, c]
                    for k in range(part_first[c], part_first[c + 1]):
                        shares[parts[k]] += share
                else:
                    total = 0.0
                    for k in range(first[c], first[c + 1]):
                        total += np.exp(weights[t, members[k]] - high[t, c])
                    for k in range(first[c], first[c + 1]):
                        if weights[t, members[k]] > -np.inf:
                            share = mass[t, c] * np.exp(weights[t, members[k]] - high[t, c]) / total
                            out[t, members[k]] += max(share, LEAST)
        for v in range(len(atom_of)):
            if atom_of[v] >= 0 and shares[atom_of[v]] > 0.0 and weights[t, v] > -np.inf:
                out[t, v] += max(shares[atom_of[v]] * linear[t, v], LEAST)


@njit(cache=True, nogil=True, error_model="numpy")
def sample(graph, sums, behind, weights, rng):  # type: ignore[no-untyped-def]
    """One block (L,), drawn forward from what ``backward`` found. Where rounding leaves a remainder, the draw is repeated."""
    label, dst, first, skip_dst, skip_first, skip_order, members, member_first = graph
    mantissa, exponent, _, _, _, last = sums
    m, x = behind
    cells = mantissa.shape[0]
    out = np.full(cells, -1, np.int64)
    q, t, arrived = 0, 0, 1
    while t < cells:
        u = rng.random()
        wm, we = m[arrived, t, q], x[arrived, t, q]
        if arrived == 1 and m[2, t, q] > 0.0:
            u -= _part(m[2, t, q], x[2, t, q], wm, we)
            if u < 0.0:
                while True:
                    out[t] = weights.shape[1] - 1
                    t += 1
                    if last[t - 1]:
                        break
                continue
        taken = False
        for k in range(skip_first[q], skip_first[q + 1]):
            to = skip_dst[skip_order[k]]
            u -= _part(m[0, t, to], x[0, t, to], wm, we)
            if u < 0.0:
                q, taken, arrived = to, True, 0
                break
        if taken:
            continue
        chosen = -1
        for e in range(first[q], first[q + 1]):
            c = label[e]
            u -= _part(mantissa[t, c] * m[1, t + 1, dst[e]], exponent[t, c] + x[1, t + 1, dst[e]], wm, we)
            if u < 0.0:
                chosen = e
                break
        if chosen < 0:
            continue
        c = label[chosen]
        log_total = np.log(mantissa[t, c]) + exponent[t, c] * LN2
        symbol = -1
        while symbol < 0:
            v = rng.random()
            for k in range(member_first[c], member_first[c + 1]):
                w = weights[t, members[k]]
                if w > -np.inf:
                    v -= np.exp(w - log_total)
                    if v < 0.0:
                        symbol = members[k]
                        break
        out[t] = symbol
        q, arrived = dst[chosen], 1
        t += 1
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def most_behind(graph, high, blank, inside, last):  # type: ignore[no-untyped-def]
    """The largest log-weight of what follows each state, each (L+1, S), in the order of ``backward``."""
    label, dst, first, skip_src, skip_dst, accept, reach, rest = graph
    cells, states = high.shape[0], len(reach)
    found = np.full((3, cells + 1, states), -np.inf)
    for t in range(cells, -1, -1):
        live = _horizon(reach, t)
        if t == cells:
            for q in range(states):
                if accept[q]:
                    found[0, t, q] = 0.0
        else:
            for q in range(live):
                if rest[q] <= cells - t:
                    for e in range(first[q], first[q + 1]):
                        found[0, t, q] = max(found[0, t, q], high[t, label[e]] + found[1, t + 1, dst[e]])
        for k in range(len(skip_src) - 1, -1, -1):
            found[0, t, skip_src[k]] = max(found[0, t, skip_src[k]], found[0, t, skip_dst[k]])
        for q in range(live):
            if t < cells and inside[t]:
                found[2, t, q] = blank[t] + found[1 if last[t] else 2, t + 1, q]
            found[1, t, q] = max(found[0, t, q], found[2, t, q])
    return found


@njit(cache=True, nogil=True, error_model="numpy")
def bfs_distances(first, dst, skip_first, skip_dst, start):  # type: ignore[no-untyped-def]
    """Fewest symbols from state ``start`` to each state (S,), -1 where there is no way; edges by source, skips cost nothing."""
    found = np.full(len(first) - 1, -1, np.int64)
    layer = np.array([start])
    steps = 0
    while len(layer):
        stack = list(layer)
        here = [start]
        here.clear()
        while len(stack):
            q = stack.pop()
            if found[q] < 0:
                found[q] = steps
                here.append(q)
                for k in range(skip_first[q], skip_first[q + 1]):
                    if found[skip_dst[k]] < 0:
                        stack.append(skip_dst[k])
        following = [start]
        following.clear()
        for q in here:
            for e in range(first[q], first[q + 1]):
                if found[dst[e]] < 0:
                    following.append(dst[e])
        layer = np.array(following)
        steps += 1
    return found
