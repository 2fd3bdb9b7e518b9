"""Shortens an automaton for the lattice: short texts that many states share become single edges.

Between two characters of a string, for example, an automaton has states for the bytes of UTF-8 sequences and
escapes. They differ from character to character of the string, but not in what may be read. Such states, which
lead to one state only (their *exit*), are left out; edges to their exits read pieces instead. The weight of a
piece is computed once for each cell.

    S states   E edges
"""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import numpy as np
from numba import njit
from numpy.typing import NDArray

from solver.kernels.lattice import Automaton, Ints
from solver.kernels.lattice_chains import MIN_STEPS, find_chains
from solver.kernels.lattice_graph import Graph, grouped_by

MAX_SPAN = 7  # cells of a piece
SHARED = 3  # a piece is worth its own computation if so many states use it in every cell
Bools = NDArray[np.bool_]
Part = tuple[int, int]  # a label, and the piece that follows it or -1


_GRAPHS: WeakKeyDictionary[Automaton, dict[int, Graph]] = WeakKeyDictionary()


def shortened_graph(automaton: Automaton, cells: int) -> Graph:
    """The result of :func:`shortened`, which is computed once for an automaton and a number of cells."""
    graphs = _GRAPHS.setdefault(automaton, {})
    if cells not in graphs:
        graphs[cells] = shortened(automaton, cells)
    return graphs[cells]


def shortened(automaton: Automaton, cells: int) -> Graph:
    """The automaton's graph for blocks of ``cells`` symbols, with pieces instead of states that many share.

    No path of the result pauses inside a piece: a slot may only end where no inner label of a piece follows.
    """
    inner, exits, signatures = shared_states(automaton, cells)
    if not inner.any():
        return Graph.of(automaton)
    pieces, by_class, classes = inner_pieces(automaton, inner, exits, signatures)

    # Edges: of a label to a state that is kept, or of a piece to the exit of one that is not.
    src, label, dst = automaton.src, automaton.label, automaton.dst
    kept = ~inner[src]
    src, label, dst = src[kept], label[kept], dst[kept]
    is_inner = inner[dst]
    options = [by_class[number] for number in classes[dst[is_inner]]]
    counts = np.array([len(option) for option in options], np.int64)
    lengths, children = (
        np.array([pair[k] for option in options for pair in option], np.int32) for k in range(2)
    )
    repeated = np.repeat(np.flatnonzero(is_inner), counts)
    rows = np.concatenate(
        [
            np.stack([src, dst, np.ones_like(src), label, np.full_like(src, -1)], 1)[~is_inner],
            np.stack([src[repeated], exits[dst[repeated]], lengths + 1, label[repeated], children], 1),
        ]
    )
    rows = rows[np.lexsort(rows.T[::-1])]

    # Edges with the same source, target and span become one.
    is_first = np.ones(len(rows), bool)
    is_first[1:] = (np.diff(rows[:, :3], axis=0) != 0).any(1)
    starts = np.append(np.flatnonzero(is_first), len(rows))
    parts = rows[:, 3].astype(np.int64) * (len(pieces.parts) + 1) + rows[:, 4]
    groups, numbers = np.unique(group_marks(parts, starts), return_inverse=True)
    edge_pieces = np.zeros(len(groups), np.int32)
    for number, edge in enumerate(np.unique(numbers, return_index=True)[1]):
        edge_pieces[number] = pieces.number(rows[starts[edge] : starts[edge + 1], 3:].tolist())
    edges = rows[starts[:-1]]

    # Renumber the states that are kept: the states of a chain become consecutive.
    position = np.cumsum(~inner, dtype=np.int32) - 1
    ends = position[edges[:, :2]]
    order, chains = find_chains(*step_groups(ends, edges[:, 2], edge_pieces[numbers]), len(position[~inner]))
    position[~inner] = np.argsort(order)
    source, target = position[edges[:, 0]], position[edges[:, 1]]
    is_step = np.zeros(len(source), bool)
    for low, high in zip(*chains, strict=True):
        is_step |= (source >= low) & (source < high) & (target == source + 1)
    by_source = np.lexsort((edges[:, 2], target, ~is_step, source))
    skip_src, skip_dst = position[automaton.skip_src], position[automaton.skip_dst]
    return Graph(
        first=np.searchsorted(source[by_source], np.arange(len(order) + 1)).astype(np.int32),
        dst=target[by_source],
        piece=edge_pieces[numbers][by_source],
        span=edges[by_source, 2],
        skips=(skip_src, skip_dst, *grouped_by(skip_src, len(order))),
        accept=automaton.accept[~inner][order],
        rest=automaton.rest[~inner][order],
        parts=pieces.arrays(),
        inner_labels=np.unique(automaton.label[inner[automaton.src]]),
        chains=chains,
    )


def step_groups(ends: Ints, span: Ints, piece: Ints) -> tuple[tuple[Ints, Ints], NDArray[np.uint64]]:
    """The source and the target of edges that may be steps of a chain, and their signatures, each (G,).

    Args:
        ends: source and target of each edge (E, 2), in order.
        span, piece: cells and piece of each edge (E,).
    """
    changes = np.diff(ends, axis=0) != 0
    starts, sources = (
        np.flatnonzero(np.concatenate([[True], change, [True]])) for change in (changes.any(1), changes[:, 0])
    )
    relative = piece.astype(np.int64) * (MAX_SPAN + 2) + span
    absolute = relative * (int(ends.max()) + 1) + ends[:, 1]
    (src, dst), sizes = ends[starts[:-1]].T, np.diff(starts)
    others = group_marks(absolute, sources)[np.searchsorted(ends[sources[:-1], 0], src)]
    others -= group_marks(absolute, starts)
    marks = group_marks(relative, starts) + others * np.uint64(3)
    groups = np.argsort(sizes, kind="stable")  # the largest last
    groups = groups[(sizes >= MIN_STEPS)[groups] & (src != dst)[groups] & (dst > 0)[groups]]
    return (src[groups], dst[groups]), marks[groups]


class _PieceTable:
    """Numbers pieces; equal ones share a number."""

    def __init__(self) -> None:
        self.parts: dict[tuple[Part, ...], int] = {}

    def number(self, parts: Sequence[Sequence[int]]) -> int:
        key = tuple(sorted((label, child) for label, child in parts))
        return self.parts.setdefault(key, len(self.parts))

    def arrays(self) -> tuple[Ints, Ints, Ints]:
        """Where each piece's parts begin, their labels, and the pieces that follow them."""
        first = np.cumsum([0, *map(len, self.parts)]).astype(np.int32)
        rows = np.array([part for parts in self.parts for part in parts], np.int32).reshape(-1, 2)
        return first, np.ascontiguousarray(rows[:, 0]), np.ascontiguousarray(rows[:, 1])


def shared_states(automaton: Automaton, cells: int) -> tuple[Bools, Ints, NDArray[np.uint64]]:
    """The states to leave out (S,), their exits, and signatures of the texts up to the exits."""
    states = automaton.num_states
    skip_first, by_source = grouped_by(automaton.skip_src, states)
    latest = latest_cells(automaton.first, automaton.dst, skip_first, automaton.skip_dst[by_source], cells)
    live = np.maximum(0, np.minimum(latest, cells - automaton.rest) - automaton.reach + 1)
    eligible = ~automaton.accept & (np.diff(automaton.first) > 0)
    eligible[0] = eligible[automaton.skip_src] = eligible[automaton.skip_dst] = False
    marks = np.random.default_rng(0).integers(1, 1 << 63, 2 + len(automaton.member_first), dtype=np.uint64)
    arrays = automaton.first, automaton.dst, automaton.label
    for _ in range(2):  # the second time without states that few share
        exits, signatures = state_exits(*arrays, eligible, marks, MAX_SPAN - 1)
        _, numbers = np.unique(signatures, return_inverse=True)
        eligible = (exits >= 0) & (np.bincount(numbers, live) >= SHARED * cells)[numbers]
    return exits >= 0, exits, signatures


def inner_pieces(
    automaton: Automaton, inner: Bools, exits: Ints, signatures: NDArray[np.uint64]
) -> tuple[_PieceTable, list[list[Part]], NDArray[np.int64]]:
    """The pieces from the ``inner`` states to their exits.

    Returns:
        The table of pieces; (length, piece) pairs by class; the class of each state.
    """
    pieces = _PieceTable()
    _, index, classes = np.unique(np.where(inner, signatures, 0), return_index=True, return_inverse=True)
    by_class: list[list[Part]] = [[] for _ in index]
    pending = [int(state) for state in index if inner[state]]
    done = set[int]()
    while pending:
        state = pending[-1]
        edges = slice(automaton.first[state], automaton.first[state + 1])
        targets = automaton.dst[edges].tolist()
        missing = [target for target in targets if inner[target] and classes[target] not in done]
        if missing:
            pending += missing
            continue
        pending.pop()
        if classes[state] in done:
            continue
        done.add(int(classes[state]))
        by_length: dict[int, list[Part]] = {}
        for label, target in zip(automaton.label[edges].tolist(), targets, strict=True):
            options = by_class[classes[target]] if inner[target] else [(0, -1)]
            for length, child in options:
                by_length.setdefault(length + 1, []).append((label, child))
        by_class[classes[state]] = [(length, pieces.number(parts)) for length, parts in by_length.items()]
    return pieces, by_class, classes


def group_marks(parts: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A signature of the parts (N,) of each group, which begin at ``starts`` (G + 1,)."""
    _, numbers = np.unique(parts, return_inverse=True)
    marks = np.random.default_rng(0).integers(1, 1 << 63, int(numbers.max()) + 1, dtype=np.uint64)
    sums: NDArray[np.uint64] = np.add.reduceat(marks[numbers], starts[:-1])
    return sums


@njit(cache=True, nogil=True)
def latest_cells(first, dst, skip_first, skip_dst, cells):  # type: ignore[no-untyped-def]
    """The last cell before which each state can be reached (S,): its longest path, or ``cells``."""
    states = len(first) - 1
    waiting, latest = np.zeros(states, np.int64), np.zeros(states, np.int64)
    for j in dst:
        waiting[j] += 1
    for j in skip_dst:
        waiting[j] += 1
    stack, size = np.empty(states, np.int64), 0
    for i in range(states):
        if waiting[i] == 0:
            stack[size] = i
            size += 1
    while size > 0:
        size -= 1
        i = stack[size]
        waiting[i] = -1
        for n in range(first[i], first[i + 1]):
            j = dst[n]
            latest[j] = max(latest[j], latest[i] + 1)
            waiting[j] -= 1
            if waiting[j] == 0:
                stack[size] = j
                size += 1
        for n in range(skip_first[i], skip_first[i + 1]):
            j = skip_dst[n]
            latest[j] = max(latest[j], latest[i])
            waiting[j] -= 1
            if waiting[j] == 0:
                stack[size] = j
                size += 1
    for i in range(states):  # on a cycle, or after one
        if waiting[i] >= 0:
            latest[i] = cells
    return latest


@njit(cache=True, nogil=True)
def state_exits(first, dst, label, eligible, marks, max_length):  # type: ignore[no-untyped-def]
    """The exit of each state from which all texts lead to one state (S,), or -1, and their signatures.

    Args:
        first, dst, label: the edges by source.
        eligible: states that may have an exit (S,).
        marks: random numbers: of the end of a text, a factor, and one for each label.
        max_length: symbols up to the exit at most.
    """
    states = len(first) - 1
    exits, length = np.full(states, -1, np.int32), np.zeros(states, np.int64)
    signature = np.zeros(states, np.uint64)
    stage = np.zeros(states, np.int8)  # 0 not seen, 1 on the stack, 2 finished, 3 on a cycle: has no exit
    stack, edge = np.empty(states, np.int64), np.zeros(states, np.int64)
    for start in range(states):
        if not eligible[start] or stage[start] > 0:
            continue
        stack[0], depth, stage[start], edge[start] = start, 1, 1, first[start]
        while depth > 0:
            i = stack[depth - 1]
            if edge[i] < first[i + 1]:
                j = dst[edge[i]]
                edge[i] += 1
                if eligible[j] and stage[j] == 0:
                    stack[depth], stage[j], edge[j] = j, 1, first[j]
                    depth += 1
                elif stage[j] == 1:
                    stage[j] = 3
                continue
            depth -= 1
            if stage[i] == 3:
                continue
            stage[i] = 2
            goal, longest, total = -1, 0, np.uint64(0)
            for n in range(first[i], first[i + 1]):
                j = dst[n]
                target = exits[j] if exits[j] >= 0 else j
                goal = target if goal == -1 or goal == target else -2
                longest = max(longest, length[j] + 1)
                tail = signature[j] if exits[j] >= 0 else marks[0]
                mixed = (tail ^ (tail >> np.uint64(29))) * marks[1] + marks[2 + label[n]]
                total += (mixed ^ (mixed >> np.uint64(32))) * (marks[1] | np.uint64(1))
            if goal >= 0 and longest <= max_length:
                exits[i], length[i], signature[i] = goal, longest, total
    return exits, signature
