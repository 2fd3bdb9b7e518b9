"""lattice.py compiled by numba: one pass forward or backward, over the states that can be reached and can still end in time.

Sums are kept as logarithms, not scaled probabilities: a text that the model hardly believes may be the only one that the pins
allow, and must not underflow.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from solver.kernels.lattice import Automaton, Slots

Floats = NDArray[np.float64]
NONE, MERGED = -1, -(1 << 30)  # back-pointers that are no edge


@njit(cache=True, nogil=True)
def _labels(weights, members, first, total, high, argument):  # type: ignore[no-untyped-def]
    """log-sum-exp, maximum and its symbol of every label in every cell."""
    for t in range(weights.shape[0]):
        for c in range(len(first) - 1):
            top, arg = -np.inf, -1
            for k in range(first[c], first[c + 1]):
                x = weights[t, members[k]]
                if x > top:
                    top, arg = x, members[k]
            high[t, c], argument[t, c], total[t, c] = top, arg, top
            if first[c + 1] - first[c] > 1 and top > -np.inf:
                s = 0.0
                for k in range(first[c], first[c + 1]):
                    x = weights[t, members[k]] - top
                    if x > -700.0:
                        s += np.exp(x)
                total[t, c] = top + np.log(s)


@njit(cache=True, nogil=True)
def _plus(a, b):  # type: ignore[no-untyped-def]
    if a < b:
        a, b = b, a
    if b == -np.inf:
        return a
    return a + np.log1p(np.exp(b - a))


@njit(cache=True, nogil=True)
def _horizon(reach, t):  # type: ignore[no-untyped-def]
    return np.searchsorted(reach, t, side="right")


@njit(cache=True, nogil=True)
def _best(src, label, dst, first, skip_src, skip_dst, accept, reach, rest, high, blank, inside, last):  # type: ignore[no-untyped-def]
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


@njit(cache=True, nogil=True)
def _backward(src, label, dst, first, skip_src, skip_dst, accept, reach, rest, total, blank, inside, last, maximum):  # type: ignore[no-untyped-def]
    """What follows each state, as log-sums or maxima, each (L+1, S): where no blank may come first (after a skip), where one may
    (on arrival), and inside a tail of blanks."""
    cells, states = total.shape[0], len(reach)
    beta = np.full((cells + 1, states), -np.inf)
    arrive = np.full((cells + 1, states), -np.inf)
    tail = np.full((cells + 1, states), -np.inf)
    for q in range(states):
        if accept[q]:
            beta[cells, q] = 0.0
    for t in range(cells, -1, -1):
        live = _horizon(reach, t)
        if t < cells:
            for q in range(live):
                if rest[q] > cells - t:
                    continue
                top = -np.inf
                many = 0
                for e in range(first[q], first[q + 1]):
                    x = total[t, label[e]] + arrive[t + 1, dst[e]]
                    if x > -np.inf:
                        many += 1
                        if x > top:
                            top = x
                if many > 1 and not maximum:
                    s = 0.0
                    for e in range(first[q], first[q + 1]):
                        x = total[t, label[e]] + arrive[t + 1, dst[e]] - top
                        if x > -40.0:
                            s += np.exp(x)
                    top += np.log(s)
                beta[t, q] = top
        for k in range(len(skip_src) - 1, -1, -1):
            a, b = skip_src[k], skip_dst[k]
            if beta[t, b] > -np.inf:
                beta[t, a] = max(beta[t, a], beta[t, b]) if maximum else _plus(beta[t, a], beta[t, b])
        for q in range(live):
            arrive[t, q] = beta[t, q]
            if t < cells and inside[t]:
                x = blank[t] + (arrive[t + 1, q] if last[t] else tail[t + 1, q])
                if x > -np.inf:
                    tail[t, q] = x
                    arrive[t, q] = max(beta[t, q], x) if maximum else _plus(beta[t, q], x)
    return beta, arrive, tail


@njit(cache=True, nogil=True)
def _marginals(label, dst, first, skip_src, skip_dst, reach, total, blank, inside, last, beta, arrive, tail, mass, blanks):  # type: ignore[no-untyped-def]
    """Adds up the probability of every label in every cell (L, C), and of BLANK (L,)."""
    cells, states = total.shape[0], len(reach)
    whole = arrive[0, 0]
    alpha = np.full(states, -np.inf)
    moved = np.full(states, -np.inf)
    done = np.full(states, -np.inf)
    alpha[0] = 0.0
    for t in range(cells):
        live = _horizon(reach, t)
        if inside[t]:
            for q in range(live):
                x = _plus(alpha[q], done[q]) + blank[t]
                ahead = arrive[t + 1, q] if last[t] else tail[t + 1, q]
                if x == -np.inf or ahead == -np.inf:
                    done[q] = -np.inf
                    continue
                done[q] = x
                blanks[t] += np.exp(x + ahead - whole)
        for k in range(len(skip_src)):
            if alpha[skip_src[k]] > -np.inf:
                alpha[skip_dst[k]] = _plus(alpha[skip_dst[k]], alpha[skip_src[k]])
        moved[:] = -np.inf
        for q in range(live):
            x = alpha[q]
            if x == -np.inf:
                continue
            for e in range(first[q], first[q + 1]):
                to = dst[e]
                ahead = arrive[t + 1, to]
                if ahead == -np.inf:
                    continue
                y = x + total[t, label[e]]
                if y > -np.inf:
                    moved[to] = _plus(moved[to], y)
                    share = y + ahead - whole
                    if share > -60.0:
                        mass[t, label[e]] += np.exp(share)
        if last[t]:
            for q in range(live):
                moved[q] = _plus(moved[q], done[q])
                done[q] = -np.inf
        alpha, moved = moved, alpha


@njit(cache=True, nogil=True)
def _spread(weights, members, first, total, mass, blanks, out):  # type: ignore[no-untyped-def]
    """From labels to symbols."""
    for t in range(weights.shape[0]):
        out[t, weights.shape[1] - 1] += blanks[t]
        for c in range(len(first) - 1):
            if mass[t, c] > 0.0:
                for k in range(first[c], first[c + 1]):
                    x = weights[t, members[k]] - total[t, c]
                    if x > -60.0:
                        out[t, members[k]] += mass[t, c] * np.exp(x)


@njit(cache=True, nogil=True)
def _sample(label, dst, first, skip_dst, skip_first, skip_order, members, member_first, weights, total, blank, inside, last, beta, arrive, tail, rng):  # type: ignore[no-untyped-def]
    """One block (L,), drawn forward from what ``_backward`` found. Where rounding leaves a remainder, the draw is repeated."""
    cells = total.shape[0]
    out = np.full(cells, -1, np.int64)
    q, t, arrived = 0, 0, True
    while t < cells:
        u = rng.random()
        whole = arrive[t, q] if arrived else beta[t, q]
        if arrived and inside[t]:
            x = blank[t] + (arrive[t + 1, q] if last[t] else tail[t + 1, q])
            if x > -np.inf:
                u -= np.exp(x - whole)
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
            if beta[t, to] > -np.inf:
                u -= np.exp(beta[t, to] - whole)
                if u < 0.0:
                    q, taken, arrived = to, True, False
                    break
        if taken:
            continue
        chosen = -1
        for e in range(first[q], first[q + 1]):
            x = total[t, label[e]] + arrive[t + 1, dst[e]]
            if x > -np.inf:
                u -= np.exp(x - whole)
                if u < 0.0:
                    chosen = e
                    break
        if chosen < 0:
            continue
        c = label[chosen]
        symbol = -1
        while symbol < 0:
            v = rng.random()
            for k in range(member_first[c], member_first[c + 1]):
                x = weights[t, members[k]]
                if x > -np.inf:
                    v -= np.exp(x - total[t, c])
                    if v < 0.0:
                        symbol = members[k]
                        break
        out[t] = symbol
        q, arrived = dst[chosen], True
        t += 1
    return out


@njit(cache=True, nogil=True)
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
        self.total, self.high = np.empty(shape), np.empty(shape)
        self.argument = np.empty(shape, np.int32)
        _labels(self.weights, a.members, a.member_first, self.total, self.high, self.argument)
        self.blank = np.ascontiguousarray(self.weights[:, -1])
        self.graph = (a.src, a.label, a.dst, a.first, a.skip_src, a.skip_dst, a.accept, a.reach, a.rest)
        self._beta: tuple[Floats, Floats, Floats] | None = None

    @property
    def beta(self) -> tuple[Floats, Floats, Floats]:
        """What follows each state, as log-sums: see ``_backward``."""
        if self._beta is None:
            self._beta = self.backward(maximum=False)
        return self._beta

    def backward(self, maximum: bool) -> tuple[Floats, Floats, Floats]:
        weights = self.high if maximum else self.total
        found: tuple[Floats, Floats, Floats] = _backward(*self.graph, weights, self.blank, *self.sides, maximum)
        return found

    @property
    def sides(self) -> tuple[Any, Any]:
        return self.slots.inside, self.slots.last

    @property
    def partition(self) -> float:
        """See :func:`solver.kernels.lattice.partition`."""
        return float(self.beta[1][0, 0])

    def best(self) -> tuple[NDArray[np.int64], float]:
        """See :func:`solver.kernels.lattice.best`."""
        path, score = _best(*self.graph, self.high, self.blank, *self.sides)
        cells = np.arange(len(path))
        tokens = np.where(path > 0, self.argument[cells, np.maximum(path - 1, 0)], self.weights.shape[1] - 1)
        return np.where(path < 0, -1, tokens).astype(np.int64), float(score)

    def marginals(self) -> Floats:
        """See :func:`solver.kernels.lattice.marginals`."""
        out = np.zeros_like(self.weights)
        if self.partition == -np.inf:
            return out
        mass, blanks = np.zeros_like(self.total), np.zeros(len(out))
        a = self.automaton
        graph = (a.label, a.dst, a.first, a.skip_src, a.skip_dst, a.reach)
        _marginals(*graph, self.total, self.blank, *self.sides, *self.beta, mass, blanks)
        _spread(self.weights, a.members, a.member_first, self.total, mass, blanks, out)
        return out

    def sample(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """An exact draw from the conditioned distribution (L,). Raises ValueError where nothing is in the language."""
        if self.partition == -np.inf:
            raise ValueError("no block is in the language")
        a = self.automaton
        order = np.argsort(a.skip_src, kind="stable").astype(np.int32)
        skip_first = np.searchsorted(a.skip_src[order], np.arange(a.states + 1)).astype(np.int32)
        edges = (a.label, a.dst, a.first, a.skip_dst, skip_first, order, a.members, a.member_first)
        out: NDArray[np.int64] = _sample(*edges, self.weights, self.total, self.blank, *self.sides, *self.beta, rng)
        return out
