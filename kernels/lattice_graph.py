"""An automaton as the passes of the lattice read it.

The edges of a :class:`Graph` read *pieces*: a label, or short texts of several labels that many states share
(the bytes of one character, for example).

>>> from solver.kernels.lattice import Automaton
>>> i32 = lambda *values: np.array(values, np.int32)
>>> automaton = Automaton(
...     src=i32(0), label=i32(0), dst=i32(1), first=i32(0, 1, 1), skip_src=i32(), skip_dst=i32(),
...     accept=np.array([False, True]), reach=i32(0, 1), rest=i32(1, 0),
...     members=i32(0, 1), member_first=i32(0, 2))
>>> Graph.of(automaton).window
2
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit

from solver.kernels.lattice import Automaton, Ints
from solver.kernels.lattice_chains import chain_arrays


@dataclass(frozen=True, eq=False)
class Graph:
    """States, edges that read pieces, and skips.

    Attributes:
        first: where each state's edges begin (S + 1,).
        dst, piece, span: target, piece and cells of every edge, by source, each (E,).
        skips: sources and targets of edges that read nothing, in an order in which one pass follows every
            chain; where each state's skips begin (S + 1,), and their numbers by source.
        accept: accepting states (S,).
        rest: fewest symbols from each state to an accepting one (S,).
        parts: where each piece's parts begin (P + 1,); the label of each part; and the piece that follows it,
            or -1.
        inner_labels: labels of parts that are not the first of their text.
        chains: the first and the last state of each chain (K,); see lattice_chains.py. Its states are
            consecutive, and the edges from each to the next are the first of the state's edges.
    """

    first: Ints
    dst: Ints
    piece: Ints
    span: Ints
    skips: tuple[Ints, Ints, Ints, Ints]
    accept: Any
    rest: Ints
    parts: tuple[Ints, Ints, Ints]
    inner_labels: Ints
    chains: tuple[Ints, Ints]

    @staticmethod
    def of(automaton: Automaton) -> Graph:
        """The automaton itself: every label is a piece."""
        labels = len(automaton.member_first) - 1
        first, by_source = grouped_by(automaton.skip_src, automaton.num_states)
        return Graph(
            first=automaton.first,
            dst=automaton.dst,
            piece=automaton.label,
            span=np.ones(len(automaton.dst), np.int32),
            skips=(automaton.skip_src, automaton.skip_dst, first, by_source),
            accept=automaton.accept,
            rest=automaton.rest,
            parts=(
                np.arange(labels + 1, dtype=np.int32),
                np.arange(labels, dtype=np.int32),
                np.full(labels, -1, np.int32),
            ),
            inner_labels=np.zeros(0, np.int32),
            chains=(np.zeros(0, np.int32), np.zeros(0, np.int32)),
        )

    @cached_property
    def arrays(self) -> tuple[Any, ...]:
        """The arrays in the order in which the passes read them."""
        ahead = self.span.astype(np.int64) * len(self.rest) + self.dst
        edges = self.first, self.dst, self.piece, self.span, ahead
        chains = chain_arrays(self.chains, self.first, self.dst)
        return tuple(array.astype(np.uint32) for array in edges), self.skips, self.accept, self.rest, chains

    @cached_property
    def is_plain(self) -> bool:
        """Whether the pieces are the labels."""
        return not len(self.inner_labels)

    @cached_property
    def window(self) -> int:
        """More cells than any piece has: a power of two."""
        return 1 << int(self.span.max(initial=1)).bit_length()


def grouped_by(sources: Ints, num_states: int) -> tuple[Ints, Ints]:
    """Where each state's edges begin (S + 1,) in the edges' numbers by source, and those numbers."""
    order = np.argsort(sources, kind="stable").astype(np.int32)
    return np.searchsorted(sources[order], np.arange(num_states + 1)).astype(np.int32), order


@njit(cache=True, nogil=True, error_model="numpy")
def bfs_distances(first, dst, skip_first, skip_dst, start):  # type: ignore[no-untyped-def]
    """Fewest symbols from ``start`` to each state (S,), -1 for unreachable ones. Edges are by source;
    skips cost nothing."""
    distance = np.full(len(first) - 1, -1, np.int64)
    layer, steps = np.array([start]), 0
    while len(layer):
        # close the layer under skips
        stack = list(layer)
        closed = [start]
        closed.clear()
        while len(stack):
            i = stack.pop()
            if distance[i] < 0:
                distance[i] = steps
                closed.append(i)
                for k in range(skip_first[i], skip_first[i + 1]):
                    if distance[skip_dst[k]] < 0:
                        stack.append(skip_dst[k])
        targets = [start]
        targets.clear()
        for i in closed:
            for edge in range(first[i], first[i + 1]):
                if distance[dst[edge]] < 0:
                    targets.append(dst[edge])
        layer = np.array(targets)
        steps += 1
    return distance
