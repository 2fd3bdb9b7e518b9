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

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.kernels import lattice_labels, lattice_layers, lattice_sums
from solver.kernels.deadline import check_time
from solver.kernels.lattice import Automaton, Slots
from solver.kernels.lattice_graph import Graph
from solver.kernels.lattice_labels import STEP
from solver.kernels.lattice_pairs import Layers, LivePairs, PieceTotals
from solver.kernels.lattice_pieces import shortened_graph

Floats = NDArray[np.float64]
Block = NDArray[np.int64]
ARRIVED, TAIL = 0, 1  # a cell's state before it, and inside a tail of BLANKs


class Lattice:
    """A factorised distribution over one block, conditioned on a language.

    The interface is ``partition``, ``is_empty``, ``best``, ``next_best``, ``marginals`` and ``sample``; each
    result is computed once, on demand. Time and memory depend on the live pairs of states and cells
    (lattice_layers.py).

    Args:
        automaton: the language, over V - 1 symbols.
        weights: log-probabilities (L, V) of each symbol in each cell, BLANK last; -inf where a cell may
            not hold a symbol.
        slots: cells that may be BLANK.
        layers: pairs among which all live ones are (:meth:`layers`), if they are known.

    Raises:
        ValueError: if the block has no cells.
    """

    def __init__(
        self, automaton: Automaton, weights: Floats, slots: Slots, layers: Layers | None = None
    ) -> None:
        if not len(weights):
            raise ValueError("a block has at least one cell")
        self.automaton, self.slots, self._known = automaton, slots, layers
        self.weights = np.ascontiguousarray(weights, np.float64)
        # Edges are followed by label: the weight of a label is the sum, or the maximum, over its symbols.
        top = self.weights.max(1)
        self._linear = np.exp(
            self.weights - np.where(top > -np.inf, top, 0.0)[:, None]
        )  # numpy's loop is the fastest
        shape = (len(weights), len(automaton.member_first) - 1)
        self._totals, self._mantissa, self._high = np.empty(shape), np.empty(shape), np.empty(shape)
        self._exponent, self._argument = np.empty(shape, np.int32), np.empty(shape, np.int32)
        out = (self._totals, self._mantissa, self._exponent, self._high, self._argument)
        lattice_labels.label_totals(self.weights, self._labels, top, self._linear, out)
        cells = len(weights)
        self._tails = np.empty(cells, np.int32), np.zeros(cells), np.zeros(cells), np.zeros(cells, np.int32)
        blank = np.ascontiguousarray(self.weights[:, -1])
        lattice_labels.tail_totals(blank, slots.inside, slots.last, self._tails)

    @property
    def is_empty(self) -> bool:
        """Whether no block is in the language."""
        return self._reachable is None or (self._known is not None and self._live.top == -np.inf)

    def has_few_pairs(self, limit: int) -> bool:
        """Whether paths from the start reach at most ``limit`` pairs of states and cells."""
        if self.automaton.num_states * (len(self.weights) + 1) <= limit:
            return True
        return len(self._layers(self._graph, self._pieces.high, limit)[0]) <= limit

    @property
    def num_pairs(self) -> int:
        """The number of live pairs of states and cells, which determines time and memory."""
        return 0 if self.is_empty else int(self._live.num_live.sum())

    @property
    def layers(self) -> Layers | None:
        """The live pairs; among them are those of a block whose cells may hold fewer symbols. None if empty."""
        return None if self.is_empty else Layers.of(self._live, self._graph.is_plain)

    @property
    def partition(self) -> float:
        """The log of the total weight of the language; see :func:`solver.kernels.lattice.partition`."""
        if self.is_empty:
            return -np.inf
        suffix_m, suffix_x = self._suffix_sums
        return float(np.log(suffix_m[0]) + suffix_x[0] * STEP)

    def best(self) -> tuple[Block, float]:
        """The likeliest block (L,) and its log-weight; see :func:`solver.kernels.lattice.best`."""
        block = np.full(len(self.weights), -1, np.int64)
        if self.is_empty:
            return block, -np.inf
        live = self._live
        labels, pieces = (self._high, self._argument), (self._graph.parts, self._pieces.high)
        layers = live.states, live.offset
        lattice_layers.best_path(
            self._graph.arrays, pieces, labels, layers, live.choices, self._tails[0], block
        )
        block[block < 0] = self.weights.shape[1] - 1
        return block, float(live.top)

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
        best = self.best()
        if best[1] == -np.inf or not any((best[0] == block)[~ignored].all() for block in excluded):
            return best
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
        if self.is_empty:
            return out
        graph, pieces = self._graph, self._pieces
        mass, blanks = np.zeros_like(pieces.high), np.zeros(len(out))
        pairs = self._live.layers, self._suffix_sums
        check_time()
        lattice_sums.piece_marginals(
            graph.arrays, graph.window, pieces.sums, self._tail_sums, self.slots.last, *pairs, (mass, blanks)
        )
        label_mass = mass
        if not graph.is_plain:
            label_mass = np.zeros_like(self._high)
            lattice_sums.label_marginals(graph.parts, self._label_sums, pieces.sums, mass, label_mass)
        lattice_labels.symbol_marginals(
            self.weights, self._labels, self._linear, self._totals, self._high, (label_mass, blanks), out
        )
        return out

    def sample(self, rng: np.random.Generator) -> Block:
        """Draw a block (L,) from the conditioned distribution, exactly.

        Raises:
            ValueError: if no block is in the language.
        """
        if self.is_empty:
            raise ValueError("no block is in the language")
        graph, symbols = self._graph, (self.weights, self.automaton.members, self.automaton.member_first)
        sums = graph.parts, self._label_sums, self._pieces.sums, self._tail_sums
        block: Block = lattice_sums.sample_block(
            graph.arrays, graph.window, sums, self._live.layers, self._suffix_sums, symbols, rng
        )
        return block

    @property
    def _labels(self) -> tuple[Any, ...]:
        return self.automaton.members, self.automaton.member_first, self.automaton.atoms

    @property
    def _label_sums(self) -> tuple[Any, Any]:
        return self._mantissa, self._exponent

    @property
    def _tail_sums(self) -> tuple[Any, Any, Any]:
        ends, _, mantissa, exponent = self._tails
        return ends, mantissa, exponent

    @cached_property
    def _graph(self) -> Graph:
        """The automaton with pieces, unless a slot can end inside of one."""
        cells = len(self.weights)
        graph = shortened_graph(self.automaton, cells)
        ends = np.flatnonzero(self.slots.last[:-1])
        inner = self._high[ends + 1][:, graph.inner_labels]
        return Graph.of(self.automaton) if (inner > -np.inf).any() else graph

    @cached_property
    def _pieces(self) -> PieceTotals:
        if self._graph.is_plain:
            return PieceTotals(self._label_sums, self._high)
        shape = len(self.weights), len(self._graph.parts[0]) - 1
        sums, high = (np.empty(shape), np.empty(shape, np.int32)), np.empty(shape)
        lattice_labels.piece_totals(self._graph.parts, self._label_sums, self._high, sums, high)
        return PieceTotals(sums, high)

    @cached_property
    def _reachable(self) -> tuple[Any, ...] | None:
        """The pairs that paths from the start reach, or the known ones; None if no text is among them."""
        if self._known is not None and self._known.is_plain == self._graph.is_plain:
            return self._known.copies()
        return self._reach(self._graph, self._pieces.high)

    @cached_property
    def _live(self) -> LivePairs:
        assert self._reachable is not None
        return self._live_pairs(self._graph, self._pieces.high, self._reachable, keep=False)

    def _reach(self, graph: Graph, high: Floats) -> tuple[Any, ...] | None:
        layers = self._layers(graph, high, np.iinfo(np.int64).max)
        states, offset = layers[:2]
        return layers if graph.accept[states[offset[-2] :]].any() else None

    def _layers(self, graph: Graph, high: Floats, limit: int) -> tuple[Any, ...]:
        arrays = graph.arrays, graph.window, high
        layers: tuple[Any, ...] = lattice_layers.reachable_layers(
            *arrays, self._tails[0], self.slots.last, limit
        )
        return layers

    def _live_pairs(self, graph: Graph, high: Floats, layers: tuple[Any, ...], keep: bool) -> LivePairs:
        check_time()
        arrays, tails = (graph.arrays, graph.window, high), self._tails[:2]
        best = lattice_layers.best_completions(*arrays, tails, self.slots.last, layers, keep)
        return LivePairs(*layers, *best)

    @cached_property
    def _suffix_sums(self) -> tuple[Any, Any]:
        check_time()
        arrays, last = (self._graph.arrays, self._graph.window, self._pieces.sums), self.slots.last
        sums: tuple[Any, Any] = lattice_sums.suffix_sums(*arrays, self._tail_sums, last, self._live.layers)
        return sums

    def _best_deviation(
        self, excluded: Collection[tuple[int, ...]], ignored: NDArray[np.bool_]
    ) -> tuple[int, ...] | None:
        """The shortest prefix of the best block that no excluded block begins with; None if every block is
        excluded."""
        graph = self._graph if self._graph.is_plain else Graph.of(self.automaton)
        layers = self._reach(graph, self._high)
        if layers is None:
            return None
        live = self._live_pairs(graph, self._high, layers, keep=True)
        best_score, best_prefix = -np.inf, None
        # by prefix of excluded blocks: the best score of each (state, mode) that it leads to
        layer: dict[tuple[int, ...], dict[tuple[int, int], float]] = {(): {(0, ARRIVED): 0.0}}
        for t in range(int(np.flatnonzero(~ignored).max(initial=-1)) + 1):  # no block differs later
            check_time()
            next_layer: dict[tuple[int, ...], dict[tuple[int, int], float]] = {}
            completions = {ARRIVED: live.completions(t + 1, len(graph.rest))}
            if t + 1 < len(self.weights) and self._tails[0][t + 1] >= 0:
                ends, tail_weights = self._tails[:2]
                after_slot = live.completions(ends[t + 1] + 1, len(graph.rest))
                completions[TAIL] = tail_weights[t + 1] + after_slot
            for prefix, scores in layer.items():
                excluded_here = {block[t] for block in excluded if block[:t] == prefix}
                for symbol, score, (state, mode) in self._steps(t, scores):
                    if ignored[t]:
                        symbol = next(iter(excluded_here))
                    if symbol not in excluded_here:
                        total = score + completions[mode][state] if mode in completions else -np.inf
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
            if self.slots.inside[t] and self.weights[t, blank] > -np.inf:
                yield blank, score + self.weights[t, blank], (state, ARRIVED if self.slots.last[t] else TAIL)
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
