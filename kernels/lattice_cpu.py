"""lattice.py compiled by numba: one pass forward or backward, over the states that can be reached and can still end in time.

A sum is kept as a mantissa and a binary exponent of its own: a text that the model hardly believes may be the only one that the
pins allow, and must not underflow; and logarithms would cost several times as much.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from solver.kernels.lattice import Automaton, Slots

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
def _labels(weights, members, first, atoms, linear, totals, mantissa, exponent, high, argument):  # type: ignore[no-untyped-def]
    """The total (as mantissa and exponent), the largest log-weight and its symbol of every label in every cell; and the weights
    and the totals relative to the largest weight of the cell."""
    cells, symbols = weights.shape
    atom_of, parts, part_first = atoms
    count = parts.max() + 1 if len(parts) else 0
    sums, bests, args = np.empty(count), np.empty(count), np.empty(count, np.int32)
    for t in range(cells):
        top = -np.inf
        for v in range(symbols):
            top = max(top, weights[t, v])
        base_m, base_e = _scaled(top)
        sums[:], bests[:] = 0.0, -np.inf
        for v in range(symbols):
            linear[t, v] = np.exp(weights[t, v] - top) if weights[t, v] > -np.inf else 0.0
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
def _best(graph, high, blank, inside, last):  # type: ignore[no-untyped-def]
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
def _backward(graph, sums):  # type: ignore[no-untyped-def]
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
                    m[2, t, q], x[2, t, q] = _tidy(blank_m[t] * m[way, t + 1, q], blank_e[t] + x[way, t + 1, q])
                    m[1, t, q], x[1, t, q] = _plus(m[0, t, q], x[0, t, q], m[2, t, q], x[2, t, q])
    return m, x


@njit(cache=True, nogil=True, error_model="numpy")
def _marginals(graph, sums, behind, mass, blanks):  # type: ignore[no-untyped-def]
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
def _spread(weights, members, first, atoms, linear, totals, high, mass, blanks, out):  # type: ignore[no-untyped-def]
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
def _sample(graph, sums, behind, weights, rng):  # type: ignore[no-untyped-def]
    """One block (L,), drawn forward from what ``_backward`` found. Where rounding leaves a remainder, the draw is repeated."""
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
def _most_behind(graph, high, blank, inside, last):  # type: ignore[no-untyped-def]
    """The largest log-weight of what follows each state, each (L+1, S), in the order of ``_backward``."""
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
def fewest(first, dst, skip_first, skip_dst, start):  # type: ignore[no-untyped-def]
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


class Lattice:
    """An automaton over one block's weights (L, V): everything that can be asked of it, each worked out once.

    Raises ValueError where the block has no cell.
    """

    def __init__(self, automaton: Automaton, weights: Floats, slots: Slots) -> None:
        if not len(weights):
            raise ValueError("a block has at least one cell")
        self.automaton, self.slots = automaton, slots
        self.weights = np.ascontiguousarray(weights, np.float64)
        a = automaton
        shape = (len(weights), len(a.member_first) - 1)
        self.mantissa, self.exponent = np.empty(shape), np.empty(shape, np.int32)
        self.high, self.argument = np.empty(shape), np.empty(shape, np.int32)
        self.linear, self.totals = np.empty_like(self.weights), np.empty(shape)
        edges = (a.members, a.member_first, a.atoms)
        _labels(self.weights, *edges, self.linear, self.totals, self.mantissa, self.exponent, self.high, self.argument)
        self.blank = np.ascontiguousarray(self.weights[:, -1])
        self._behind: tuple[Any, Any] | None = None

    @property
    def sums(self) -> tuple[Any, ...]:
        """The weights of labels and of BLANK as mantissas and exponents, and the slots."""
        exponent = np.floor(np.where(self.blank > -np.inf, self.blank, 0.0) / LN2).astype(np.int32)
        blank = np.where(self.blank > -np.inf, np.exp(self.blank - exponent * LN2), 0.0)
        return self.mantissa, self.exponent, blank, exponent, self.slots.inside, self.slots.last

    @property
    def behind(self) -> tuple[Any, Any]:
        """What follows each state: see ``_backward``."""
        if self._behind is None:
            a = self.automaton
            graph = (a.label, a.dst, a.first, a.skip_src, a.skip_dst, a.accept, a.reach, a.rest)
            self._behind = _backward(graph, self.sums)
        return self._behind

    @property
    def partition(self) -> float:
        """See :func:`solver.kernels.lattice.partition`."""
        m, x = self.behind
        return float(np.log(m[1, 0, 0]) + x[1, 0, 0] * LN2) if m[1, 0, 0] > 0 else -np.inf

    def best(self) -> tuple[NDArray[np.int64], float]:
        """See :func:`solver.kernels.lattice.best`."""
        a = self.automaton
        graph = (a.src, a.label, a.dst, a.first, a.skip_src, a.skip_dst, a.accept, a.reach, a.rest)
        path, score = _best(graph, self.high, self.blank, self.slots.inside, self.slots.last)
        cells = np.arange(len(path))
        tokens = np.where(path > 0, self.argument[cells, np.maximum(path - 1, 0)], self.weights.shape[1] - 1)
        return np.where(path < 0, -1, tokens).astype(np.int64), float(score)

    def next_best(
        self, without: Collection[tuple[int, ...]], given: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], float]:
        """The likeliest block (L,) that is none of ``without``, and its log-weight; -1 everywhere where there is none. ``given``
        (L,): cells in which blocks do not differ, whichever symbol stands for what is there.

        Every other block leaves the excluded ones at some cell: they are followed as a tree, and the best way off it is taken
        (Lawler 1972, without solving anything twice).
        """
        if not without:
            return self.best()
        a = self.automaton
        graph = (a.label, a.dst, a.first, a.skip_src, a.skip_dst, a.accept, a.reach, a.rest)
        behind = _most_behind(graph, self.high, self.blank, self.slots.inside, self.slots.last)
        skips: dict[int, list[int]] = {}
        for source, target in zip(a.skip_src.tolist(), a.skip_dst.tolist(), strict=True):
            skips.setdefault(source, []).append(target)
        top: tuple[float, tuple[int, ...], int] = (
            -np.inf,
            (),
            -1,
        )  # score, the excluded cells that it shares, and what comes next
        layer: dict[tuple[int, ...], dict[tuple[int, int], float]] = {(): {(0, 1): 0.0}}  # prefix -> (state, how) -> score
        for t in range(len(self.weights)):
            following: dict[tuple[int, ...], dict[tuple[int, int], float]] = {}
            for prefix, reached in layer.items():
                taken = {block[t] for block in without if block[:t] == prefix}
                for symbol, score, state in self._ways(t, reached, skips):
                    if given is not None and given[t]:
                        symbol = next(iter(taken))
                    if symbol not in taken:
                        ahead = score + behind[state[1], t + 1, state[0]]
                        if ahead > top[0]:
                            top = (ahead, prefix, symbol)
                    else:
                        there = following.setdefault((*prefix, symbol), {})
                        there[state] = max(score, there.get(state, -np.inf))
            layer = following
        score, prefix, symbol = top
        if symbol < 0:
            return np.full(len(self.weights), -1), -np.inf
        fixed = self.weights.copy()
        for t, kept in enumerate((*prefix, symbol)):
            if given is not None and given[t]:
                continue
            fixed[t] = -np.inf
            fixed[t, kept] = self.weights[t, kept]
        return Lattice(a, fixed, self.slots).best()

    def _ways(
        self, t: int, reached: dict[tuple[int, int], float], skips: dict[int, list[int]]
    ) -> Iterator[tuple[int, float, tuple[int, int]]]:
        """Symbol, score and (state, how) after cell ``t``; how: 1 on arrival, 2 inside a tail of blanks."""
        a, blank = self.automaton, self.weights.shape[1] - 1
        inside, last = bool(self.slots.inside[t]), bool(self.slots.last[t])
        for (state, how), score in reached.items():
            if inside and self.blank[t] > -np.inf:
                yield blank, score + self.blank[t], (state, 1 if last else 2)
            if how == 2:
                continue
            todo, seen = [state], {state}
            while todo:
                at = todo.pop()
                for edge in range(a.first[at], a.first[at + 1]):
                    for symbol in a.members[a.member_first[a.label[edge]] : a.member_first[a.label[edge] + 1]].tolist():
                        if self.weights[t, symbol] > -np.inf:
                            yield symbol, score + self.weights[t, symbol], (int(a.dst[edge]), 1)
                fresh = [target for target in skips.get(at, ()) if target not in seen]
                seen.update(fresh)
                todo += fresh

    def marginals(self) -> Floats:
        """See :func:`solver.kernels.lattice.marginals`."""
        out = np.zeros_like(self.weights)
        if self.partition == -np.inf:
            return out
        mass, blanks = np.zeros_like(self.mantissa), np.zeros(len(out))
        a = self.automaton
        graph = (a.label, a.dst, a.first, a.skip_src, a.skip_dst, a.reach)
        _marginals(graph, self.sums, self.behind, mass, blanks)
        edges = (a.members, a.member_first, a.atoms)
        _spread(self.weights, *edges, self.linear, self.totals, self.high, mass, blanks, out)
        return out

    def sample(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """An exact draw from the conditioned distribution (L,). Raises ValueError where nothing is in the language."""
        if self.partition == -np.inf:
            raise ValueError("no block is in the language")
        a = self.automaton
        order = np.argsort(a.skip_src, kind="stable").astype(np.int32)
        skip_first = np.searchsorted(a.skip_src[order], np.arange(a.states + 1)).astype(np.int32)
        edges = (a.label, a.dst, a.first, a.skip_dst, skip_first, order, a.members, a.member_first)
        out: NDArray[np.int64] = _sample(edges, self.sums, self.behind, self.weights, rng)
        return out
