"""lattice.py compiled by numba: a block's weights over an automaton, and what can be asked of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.kernels import lattice_numba as passes
from solver.kernels.lattice import Automaton, Slots
from solver.kernels.lattice_numba import LN2, Floats


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
        top = self.weights.max(1)
        self.linear = np.exp(
            self.weights - np.where(top > -np.inf, top, 0.0)[:, None]
        )  # numpy's own loop is the fastest
        self.totals = np.empty(shape)
        edges = (a.members, a.member_first, a.atoms)
        into = (self.totals, self.mantissa, self.exponent, self.high, self.argument)
        passes.labels(self.weights, *edges, top, self.linear, *into)
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
            self._behind = passes.backward(graph, self.sums)
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
        path, score = passes.best(graph, self.high, self.blank, self.slots.inside, self.slots.last)
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
        behind = passes.most_behind(graph, self.high, self.blank, self.slots.inside, self.slots.last)
        skips: dict[int, list[int]] = {}
        for source, target in zip(a.skip_src.tolist(), a.skip_dst.tolist(), strict=True):
            skips.setdefault(source, []).append(target)
        top: tuple[float, tuple[int, ...], int] = (
            -np.inf,
            (),
            -1,
        )  # score, the excluded cells that it shares, and what comes next
        layer: dict[tuple[int, ...], dict[tuple[int, int], float]] = {
            (): {(0, 1): 0.0}
        }  # prefix -> (state, how) -> score
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
                    for symbol in a.members[
                        a.member_first[a.label[edge]] : a.member_first[a.label[edge] + 1]
                    ].tolist():
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
        passes.marginals(graph, self.sums, self.behind, mass, blanks)
        edges = (a.members, a.member_first, a.atoms)
        passes.spread(self.weights, *edges, self.linear, self.totals, self.high, mass, blanks, out)
        return out

    def sample(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """An exact draw from the conditioned distribution (L,). Raises ValueError where nothing is in the language."""
        if self.partition == -np.inf:
            raise ValueError("no block is in the language")
        a = self.automaton
        order = np.argsort(a.skip_src, kind="stable").astype(np.int32)
        skip_first = np.searchsorted(a.skip_src[order], np.arange(a.num_states + 1)).astype(np.int32)
        edges = (a.label, a.dst, a.first, a.skip_dst, skip_first, order, a.members, a.member_first)
        out: NDArray[np.int64] = passes.sample(edges, self.sums, self.behind, self.weights, rng)
        return out
