"""Assembles the arrays of an automaton from its edges.

States on no text are dropped, skips are removed where that adds no edges, and the other states are numbered
by their distance from the start.

>>> i32 = lambda *values: np.array(values, np.int32)
>>> edges, skips = (i32(0, 2), i32(0, 0), i32(1, 3)), (i32(1), i32(2))      # 0 reads, 1 skips to 2, 2 reads
>>> automaton = build_automaton(edges, skips, np.array([0, 0, 0, 1], bool), [i32(97)], start=0, cells=8)
>>> automaton.dst.tolist(), automaton.skip_dst.tolist()
([1, 2], [])
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from solver.kernels.lattice import Automaton, Ints
from solver.kernels.lattice_graph import bfs_distances
from solver.kernels.lattice_skips import skip_heights, without_skips

UNREACHABLE = 1 << 30


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

    # Skips that can be removed without adding edges.
    kept = alive[src] & alive[dst]
    src, label, dst = src[kept], label[kept], dst[kept]
    kept = alive[sources] & alive[targets]
    skips = topological_order(sources[kept], targets[kept], num_states)
    accept = accept.copy()
    rows, is_used = without_skips(src, label, dst, *skips, accept, start)
    is_target = np.zeros(num_states, bool)
    is_target[rows[:, 2]] = is_target[start] = True
    alive &= is_used & is_target
    rows = rows[alive[rows[:, 0]]]

    # Renumber the states: the first one stays first, the others follow by distance.
    order = np.lexsort((np.arange(num_states) != start, reach))
    order = order[alive[order]]
    number = np.full(num_states, -1, np.int32)
    number[order] = np.arange(len(order), dtype=np.int32)
    rows = rows[np.argsort(number[rows[:, 0]], kind="stable")]
    src, label, dst = number[rows[:, 0]], rows[:, 1], number[rows[:, 2]]
    is_skip = label < 0
    skip_src, skip_dst = topological_order(src[is_skip], dst[is_skip], len(order))
    src, label, dst = src[~is_skip], np.ascontiguousarray(label[~is_skip]), dst[~is_skip]
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


def topological_order(src: Ints, dst: Ints, num_states: int) -> tuple[Ints, Ints]:
    """Acyclic edges in an order in which a single pass follows every chain of them.

    Raises:
        ValueError: if the edges form a cycle.
    """
    height = skip_heights(src, dst, num_states)
    if height is None:
        raise ValueError("edges that read nothing form a cycle")
    order = np.argsort(height[dst], kind="stable")
    return src[order].astype(np.int32), dst[order].astype(np.int32)
