"""Puts edges into the array form that the lattice reads: reachable states only, in the order of their
distance.

>>> edges = np.array([[0, 0, 1]], np.int32).T                   # one edge with label 0
>>> epsilon_edges = np.zeros((2, 0), np.int32)
>>> accept = np.array([False, True])
>>> labels = [label_bytes(97)]
>>> build_automaton(tuple(edges), tuple(epsilon_edges), accept, labels, start=0, cells=4).reach.tolist()
[0, 1]
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from solver.kernels.lattice import Automaton
from solver.kernels.lattice_paths import bfs_distances
from solver.tasks.languages.byte_automaton import LABELS, Ints

UNREACHABLE = 1 << 30


@cache
def label_bytes(label: int) -> Ints:
    """The symbols of a label: bytes, and 256 for WHITE."""
    return np.array([byte for byte in range(257) if LABELS[label] >> byte & 1], np.int32)


def build_automaton(
    edges: tuple[Ints, Ints, Ints],
    epsilon_edges: tuple[Ints, Ints],
    accept: NDArray[np.bool_],
    members: Sequence[Ints],
    start: int,
    cells: int,
) -> Automaton:
    """An automaton without the states that are on no text of at most ``cells`` symbols.

    Args:
        edges: source, label and target of the edges that read a symbol, each (E,).
        epsilon_edges: source and target of the edges that read no symbol, each (K,).
        accept: accepting states (S,).
        members: the symbols of each label.
        start: the first state.
        cells: maximum length of a text in symbols.
    """
    (src, label, dst), num_states = edges, len(accept)
    # Distances from the start, and to the end: backwards from an extra state that follows all accepting ones.
    reach = distances(num_states, src, dst, *epsilon_edges, start)
    ends = np.flatnonzero(accept).astype(np.int32)
    from_end = np.full(len(ends), num_states, np.int32)
    sources, targets = epsilon_edges
    backwards = np.concatenate([targets, from_end]), np.concatenate([sources, ends])
    rest = distances(num_states + 1, dst, src, *backwards, num_states)[:num_states]
    alive = (reach >= 0) & (rest >= 0) & (reach + rest <= cells)
    alive[start] = True
    reach[start] = max(0, reach[start])

    # Renumber the states: the first one stays first, the others follow by distance.
    order = np.lexsort((np.arange(num_states) != start, reach))
    order = order[alive[order]]
    number = np.full(num_states, -1, np.int32)
    number[order] = np.arange(len(order), dtype=np.int32)

    # Edges by source; epsilon edges in topological order, so that one pass follows every chain.
    kept = alive[src] & alive[dst]
    src, label, dst = number[src[kept]], label[kept], number[dst[kept]]
    by_source = np.argsort(src, kind="stable")
    src, label, dst = src[by_source], label[by_source], dst[by_source]
    kept = alive[sources] & alive[targets]
    skip_src, skip_dst = topological_order(number[sources[kept]], number[targets[kept]])
    return Automaton(
        src=src,
        label=label,
        dst=dst,
        first=np.searchsorted(src, np.arange(len(order) + 1)).astype(np.int32),
        skip_src=skip_src,
        skip_dst=skip_dst,
        accept=accept[order],
        reach=reach[order].astype(np.int32),
        rest=np.where(rest[order] < 0, UNREACHABLE, rest[order]).astype(np.int32),
        members=np.concatenate([np.zeros(0, np.int32), *members]).astype(np.int32),
        member_first=np.cumsum([0, *map(len, members)]).astype(np.int32),
    )


def distances(
    num_states: int,
    src: Ints,
    dst: Ints,
    skip_src: Ints,
    skip_dst: Ints,
    start: int,
) -> NDArray[np.int64]:
    """Fewest symbols from ``start`` to each state (S,); -1 for unreachable ones."""
    order, skip_order = np.argsort(src, kind="stable"), np.argsort(skip_src, kind="stable")
    first = np.searchsorted(src[order], np.arange(num_states + 1))
    skip_first = np.searchsorted(skip_src[skip_order], np.arange(num_states + 1))
    steps: NDArray[np.int64] = bfs_distances(first, dst[order], skip_first, skip_dst[skip_order], start)
    return steps


def topological_order(src: Ints, dst: Ints) -> tuple[Ints, Ints]:
    """Acyclic edges in an order in which a single pass follows every chain of them."""
    sources: dict[int, list[int]] = {}
    for source, target in zip(src.tolist(), dst.tolist(), strict=True):
        sources.setdefault(target, []).append(source)
    # height: the longest chain that ends in a state, computed depth first without recursion
    height: dict[int, int] = {}
    for target in sources:
        pending = [target]
        while pending:
            state = pending[-1]
            missing = [s for s in sources.get(state, ()) if s not in height and s in sources]
            if missing:
                pending += missing
            else:
                height[state] = 1 + max((height.get(s, 0) for s in sources.get(state, ())), default=0)
                pending.pop()
    keys = np.array([height.get(target, 0) for target in dst.tolist()], np.int64)
    order = np.argsort(keys, kind="stable")
    return src[order].astype(np.int32), dst[order].astype(np.int32)
