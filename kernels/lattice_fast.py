"""The lattice of lattice.py, compiled by numba: one block's weights over an automaton.

>>> from solver.kernels.lattice import Automaton
>>> i32 = lambda *values: np.array(values, np.int32)
>>> one_or_two = Automaton(       # the texts "0" and "1" of one cell; symbol 2 is BLANK
...     src=i32(0), label=i32(0), dst=i32(1), first=i32(0, 1, 1), skip_src=i32(), skip_dst=i32(),
...     accept=np.array([False, True]), reach=i32(0, 1), rest=i32(1, 0),
...     members=i32(0, 1), member_first=i32(0, 2))
>>> lattice = Lattice(one_or_two, np.log([[0.2, 0.6, 0.2]]), Slots.single(1))
>>> lattice.best()[0], lattice.marginals().round(2)
(array([1]), array([[0.25, 0.75, 0.  ]]))
"""

from collections.abc import Collection, Iterator
from functools import cached_property
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.kernels import lattice_paths, lattice_sums
from solver.kernels.lattice import Automaton, Slots
from solver.kernels.lattice_paths import ARRIVED, TAIL
from solver.kernels.lattice_sums import LN2

Floats = NDArray[np.float64]
Block = NDArray[np.int64]
# The arrays of an automaton that a pass reads, in the order of its ``graph``.
MARGINAL_GRAPH = attrgetter("label", "dst", "first", "skip_src", "skip_dst", "reach")
SUFFIX_GRAPH = attrgetter("label", "dst", "first", "skip_src", "skip_dst", "accept", "reach", "rest")
PATH_GRAPH = attrgetter("src", "label", "dst", "first", "skip_src", "skip_dst", "accept", "reach", "rest")


class Lattice:
    """A factorised distribution over one block, conditioned on a language.

    The interface is ``partition``, ``best``, ``next_best``, ``marginals`` and ``sample``; each result is
    computed once, on demand.

    Args:
        automaton: the language, over V - 1 symbols.
        weights: log-probabilities (L, V) of each symbol in each cell, BLANK last; -inf where a cell may
            not hold a symbol.
        slots: cells that may be BLANK.

    Raises:
        ValueError: if the block has no cells.
    """

    def __init__(self, automaton: Automaton, weights: Floats, slots: Slots) -> None:
        if not len(weights):
            raise ValueError("a block has at least one cell")
        self.automaton, self.slots = automaton, slots
        self.weights = np.ascontiguousarray(weights, np.float64)
        self._blank = np.ascontiguousarray(self.weights[:, -1])
        # Edges are followed by label: the weight of a label is the sum, or the maximum, over its symbols.
        top = self.weights.max(1)
        self._linear = np.exp(
            self.weights - np.where(top > -np.inf, top, 0.0)[:, None]
        )  # numpy's loop is the fastest
        shape = (len(weights), len(automaton.member_first) - 1)
        self._totals, self._mantissa, self._high = np.empty(shape), np.empty(shape), np.empty(shape)
        self._exponent, self._argument = np.empty(shape, np.int32), np.empty(shape, np.int32)
        out = (self._totals, self._mantissa, self._exponent, self._high, self._argument)
        lattice_sums.label_totals(self.weights, self._labels, top, self._linear, out)

    @property
    def partition(self) -> float:
        """The log of the total weight of the language; see :func:`solver.kernels.lattice.partition`."""
        suffix_m, suffix_x = self._suffix_sums
        total = suffix_m[ARRIVED, 0, 0]
        return float(np.log(total) + suffix_x[ARRIVED, 0, 0] * LN2) if total > 0 else -np.inf

    def best(self) -> tuple[Block, float]:
        """The likeliest block (L,) and its log-weight; see :func:`solver.kernels.lattice.best`."""
        graph = PATH_GRAPH(self.automaton)
        path, score = lattice_paths.best_path(
            graph, self._high, self._blank, self.slots.inside, self.slots.last
        )
        cells = np.arange(len(path))
        symbols = np.where(
            path > 0, self._argument[cells, np.maximum(path - 1, 0)], self.weights.shape[1] - 1
        )
        return np.where(path < 0, -1, symbols).astype(np.int64), float(score)

    def next_best(
        self, excluded: Collection[tuple[int, ...]], ignored: NDArray[np.bool_] | None = None
    ) -> tuple[Block, float]:
        """The likeliest block (L,) that is not ``excluded``, and its log-weight; -1 everywhere if there is
        none.

        Walks the trie of the excluded blocks and takes the best path that leaves it (Lawler 1972).

        Args:
            excluded: blocks of L symbols.
            ignored: cells (L,) that are not compared, as they hold the same in all blocks, under any symbol.
        """
        if not excluded:
            return self.best()
        ignored = np.zeros(len(self.weights), bool) if ignored is None else ignored
        prefix = self._best_deviation(excluded, ignored)
        if prefix is None:
            return np.full(len(self.weights), -1), -np.inf
        fixed = self.weights.copy()
        for t, symbol in enumerate(prefix):
            if not ignored[t]:
                fixed[t] = -np.inf
                fixed[t, symbol] = self.weights[t, symbol]
        return Lattice(self.automaton, fixed, self.slots).best()

    def marginals(self) -> Floats:
        """The probability (L, V) of each symbol in each cell; see
        :func:`solver.kernels.lattice.marginals`."""
        out = np.zeros_like(self.weights)
        if self.partition == -np.inf:
            return out
        mass, blanks = np.zeros_like(self._mantissa), np.zeros(len(out))
        graph = MARGINAL_GRAPH(self.automaton)
        lattice_sums.label_marginals(graph, self._sums, self._suffix_sums, mass, blanks)
        lattice_sums.symbol_marginals(
            self.weights, self._labels, self._linear, self._totals, self._high, (mass, blanks), out
        )
        return out

    def sample(self, rng: np.random.Generator) -> Block:
        """Draw a block (L,) from the conditioned distribution, exactly.

        Raises:
            ValueError: if no block is in the language.
        """
        if self.partition == -np.inf:
            raise ValueError("no block is in the language")
        automaton = self.automaton
        graph = (
            automaton.label,
            automaton.dst,
            automaton.first,
            *automaton.skips_by_source,
            automaton.members,
            automaton.member_first,
        )
        block: Block = lattice_sums.sample_block(graph, self._sums, self._suffix_sums, self.weights, rng)
        return block

    @property
    def _labels(self) -> tuple[Any, ...]:
        return self.automaton.members, self.automaton.member_first, self.automaton.atoms

    @property
    def _sums(self) -> tuple[Any, ...]:
        """The weights of labels and of BLANK as mantissas and exponents, and the slots."""
        exponent = np.floor(np.where(self._blank > -np.inf, self._blank, 0.0) / LN2).astype(np.int32)
        blank = np.where(self._blank > -np.inf, np.exp(self._blank - exponent * LN2), 0.0)
        return self._mantissa, self._exponent, blank, exponent, self.slots.inside, self.slots.last

    @cached_property
    def _suffix_sums(self) -> tuple[Any, Any]:
        sums: tuple[Any, Any] = lattice_sums.suffix_sums(SUFFIX_GRAPH(self.automaton), self._sums)
        return sums

    def _best_deviation(
        self, excluded: Collection[tuple[int, ...]], ignored: NDArray[np.bool_]
    ) -> tuple[int, ...] | None:
        """The shortest prefix of the best block that no excluded block begins with; None if every block is
        excluded."""
        suffix = lattice_paths.best_suffixes(
            SUFFIX_GRAPH(self.automaton), self._high, self._blank, self.slots.inside, self.slots.last
        )
        best_score, best_prefix = -np.inf, None
        # by prefix of excluded blocks: the best score of each (state, mode) that it leads to
        layer: dict[tuple[int, ...], dict[tuple[int, int], float]] = {(): {(0, ARRIVED): 0.0}}
        for t in range(len(self.weights)):
            next_layer: dict[tuple[int, ...], dict[tuple[int, int], float]] = {}
            for prefix, scores in layer.items():
                excluded_here = {block[t] for block in excluded if block[:t] == prefix}
                for symbol, score, (state, mode) in self._steps(t, scores):
                    if ignored[t]:
                        symbol = next(iter(excluded_here))
                    if symbol not in excluded_here:
                        total = score + suffix[mode, t + 1, state]
                        if total > best_score:
                            best_score, best_prefix = total, (*prefix, symbol)
                    else:
                        reached = next_layer.setdefault((*prefix, symbol), {})
                        reached[state, mode] = max(score, reached.get((state, mode), -np.inf))
            layer = next_layer
        return best_prefix

    def _steps(
        self, t: int, scores: dict[tuple[int, int], float]
    ) -> Iterator[tuple[int, float, tuple[int, int]]]:
        """Symbol, score and (state, mode) after cell ``t``, from the ``scores`` of states before it."""
        automaton, blank = self.automaton, self.weights.shape[1] - 1
        skip_first, skip_dst = automaton.skips_by_source
        for (state, mode), score in scores.items():
            if self.slots.inside[t] and self._blank[t] > -np.inf:
                yield blank, score + self._blank[t], (state, ARRIVED if self.slots.last[t] else TAIL)
            if mode == TAIL:
                continue
            pending, seen = [state], {state}
            while pending:
                source = pending.pop()
                for edge in range(automaton.first[source], automaton.first[source + 1]):
                    start, end = (
                        automaton.member_first[automaton.label[edge]],
                        automaton.member_first[automaton.label[edge] + 1],
                    )
                    for symbol in automaton.members[start:end].tolist():
                        if self.weights[t, symbol] > -np.inf:
                            yield symbol, score + self.weights[t, symbol], (int(automaton.dst[edge]), ARRIVED)
                targets = skip_dst[skip_first[source] : skip_first[source + 1]].tolist()
                fresh = [target for target in targets if target not in seen]
                seen.update(fresh)
                pending += fresh
