"""A grammar as a plain automaton, as far as a block reaches.

    tongue = unroll(Regex("^a+b$"), cells=8)

Calls in a grammar (an array in an array) become states with a return address. The shortest texts come first, so that where the
bound on states ends the search something is there.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.kernels.lattice import Automaton
from solver.kernels.lattice_numba import fewest
from solver.tasks.languages.byte_automaton import LABELS, Fragment, Ints
from solver.tasks.languages.grammar import NEXT, Grammar, Move
from solver.tasks.languages.template import Frame

MOST_STATES = 20_000


@dataclass(frozen=True)
class Unrolled:
    """An automaton, and whether it is the whole language as far as the block reaches (``complete``), or the search for states
    was ended by its bound (``cut``) or by the depth of loose nodes."""

    automaton: Automaton
    complete: bool
    cut: bool = False

    @property
    def empty(self) -> bool:
        return not self.automaton.accept.any()


class _Parts:
    """Edges as they are found, in pieces."""

    def __init__(self) -> None:
        self.states = 0
        self.edges: list[tuple[int, int, int]] = []
        self.copies: list[tuple[Ints, Ints, Ints]] = []
        self.skips: list[tuple[int, int]] = []

    def new(self, many: int = 1) -> int:
        self.states += many
        return self.states - many

    def spell(self, source: int, text: bytes, target: int) -> None:
        for byte in text[:-1]:
            following = self.new()
            self.edges.append((source, byte, following))
            source = following
        self.edges.append((source, text[-1], target))

    def copy(self, source: int, piece: Fragment, target: int) -> None:
        base = self.new(piece.states)
        self.skips.append((source, base))
        ends = np.where(piece.dst == piece.states, target, piece.dst + base).astype(np.int32)
        self.copies.append((piece.src + np.int32(base), piece.label, ends))
        self.skips += [(base + end, target) for end in piece.ends]


def unroll(
    grammar: Grammar,
    cells: int,
    most: int = MOST_STATES,
    depth: int = 1,
    costs: Mapping[Hashable, float] | None = None,
    frame: Frame | None = None,
) -> Unrolled:
    """The automaton of the grammar's texts of at most ``cells`` bytes: states are (node, return address) pairs, taken in the
    order of how short a text can be that goes through them, until there are ``most``. ``costs``: of each node's shortest text,
    where they are known (:func:`~.grammar.shortest`); without them the grammar's ``least``. ``frame``: what the
    block holds already; states to which no text leads that fits it are left out: of use for that block only."""
    parts = _Parts()
    final = parts.new()
    start = parts.new()
    numbers: dict[tuple[Hashable, int], int] = {(grammar.start, final): start}
    level: dict[int, int] = {final: 0}  # how many loose nodes a state is inside of
    rest: dict[int, float] = {final: 0}  # at least so many bytes follow
    reached: dict[int, int] = {start: 0}
    queue: list[tuple[float, int, int, Hashable, int]] = [(0, start, 0, grammar.start, final)]
    arrivals: dict[int, tuple[Hashable, int]] = {}  # return addresses that nothing has come back to yet
    complete, cut = True, False

    places: dict[int, int] = {
        start: 1 if frame is None else frame.start
    }  # of the frame that a state can be at
    spread: dict[int, int] = {}  # those of them that have been followed
    targets: dict[tuple[int, int], int] = {}  # by state and move, once there are edges for it

    def arrive(number: int, at: int, there: int) -> None:
        """Something leads to the state ``number`` after ``at`` bytes."""
        new = there & ~places.get(number, 0)
        if number in arrivals and (new or (number not in spread and at < reached[number])):
            places[number] = places.get(number, 0) | there
            reached[number] = min(at, reached.get(number, at))
            node, back = arrivals[number]
            heapq.heappush(queue, (reached[number] + rest[number], number, reached[number], node, back))

    def state(node: Hashable, back: int, inside: int) -> int:
        key = (node, back)
        found = numbers.get(key)
        if found is None:
            found = numbers[key] = parts.new()
            rest[found] = rest[back] + (grammar.least(node) if costs is None else costs.get(node, np.inf))
            level[found] = inside
            arrivals[found] = key
        return found

    def edges(number: int, move: Move, back: int, deeper: bool) -> int:
        """Those of a move, and the state that it leads to."""
        inside = level[number]
        target = back if move.goto is NEXT else state(move.goto, back, inside)
        if move.call is not None:
            target = state(move.call, target, inside + deeper)
        if isinstance(move.emit, Fragment):
            parts.copy(number, move.emit, target)
        elif move.emit:
            parts.spell(number, move.emit, target)
        else:
            parts.skips.append((number, target))
        return target

    arrivals[start] = (grammar.start, final)
    rest[start], level[start] = 0, 0
    while queue:
        bound, number, at, node, back = heapq.heappop(queue)
        new = places[number] & ~spread.get(number, 0)
        if not new:
            continue
        if bound > cells:
            break
        if parts.states > most:
            complete, cut = False, True
            break
        spread[number] = places[number]
        for way, move in enumerate(grammar.moves(node)):
            length = move.emit.shortest if isinstance(move.emit, Fragment) else len(move.emit)
            there = new if frame is None else frame.through(new, move.emit)
            deeper = (
                move.call is not None
                and grammar.loose(move.call)
                and (frame is None or bool(there & frame.holes))
            )
            if deeper and level[number] >= depth:  # only as deep as literals go
                complete, deeper, there = False, False, 0 if frame is None else there & ~frame.holes
            if length < 0 or not there:
                continue
            target = targets.get((number, way))
            if target is None:
                target = targets[number, way] = edges(number, move, back, deeper)
            arrive(target, at + length, there)
    return Unrolled(assemble(parts, start, final, cells), complete, cut)


def assemble(parts: _Parts, start: int, final: int, cells: int) -> Automaton:
    """The pieces as arrays, without the states that no text of at most ``cells`` bytes goes through."""
    own = np.array(parts.edges, np.int32).reshape(-1, 3)
    src = np.concatenate([own[:, 0], *(c[0] for c in parts.copies)])
    label = np.concatenate([own[:, 1], *(c[1] for c in parts.copies)])
    dst = np.concatenate([own[:, 2], *(c[2] for c in parts.copies)])
    accept = np.zeros(parts.states, bool)
    accept[final] = True
    used, label = np.unique(label, return_inverse=True)
    members = [members_of(int(one)) for one in used] or [np.zeros(0, np.int32)]
    skips = np.array(parts.skips, np.int32).reshape(-1, 2)
    return in_order(
        (src, label.astype(np.int32), dst), (skips[:, 0], skips[:, 1]), accept, members, start, cells
    )


def in_order(
    edges: tuple[Ints, Ints, Ints],
    skips: tuple[Ints, Ints],
    accept: NDArray[np.bool_],
    members: Sequence[Ints],
    start: int,
    cells: int,
) -> Automaton:
    """An automaton of ``edges`` (source, label, target) and ``skips`` (source, target), its states in the order of how soon they
    are reached, without those that no text of at most ``cells`` symbols goes through."""
    (src, label, dst), states = edges, len(accept)
    reach = distances(states, src, dst, *skips, start)
    # backwards from all accepting states at once, by way of one state more
    ends = np.flatnonzero(accept).astype(np.int32)
    back = np.concatenate([skips[1], np.full(len(ends), states, np.int32)]), np.concatenate([skips[0], ends])
    rest = distances(states + 1, dst, src, *back, states)[:states]
    alive = (reach >= 0) & (rest >= 0) & (reach + rest <= cells)
    alive[start] = True
    reach[start] = max(0, reach[start])
    # The first state stays the first; others in the order of how soon they are reached.
    order = np.lexsort((np.arange(states) != start, reach))
    order = order[alive[order]]
    number = np.full(states, -1, np.int32)
    number[order] = np.arange(len(order), dtype=np.int32)
    kept = alive[src] & alive[dst]
    src, label, dst = number[src[kept]], label[kept], number[dst[kept]]
    by_source = np.argsort(src, kind="stable")
    src, label, dst = src[by_source], label[by_source], dst[by_source]
    both = alive[skips[0]] & alive[skips[1]]
    skip_src, skip_dst = ordered(number[skips[0][both]], number[skips[1][both]], len(order))
    return Automaton(
        src=src,
        label=label,
        dst=dst,
        first=np.searchsorted(src, np.arange(len(order) + 1)).astype(np.int32),
        skip_src=skip_src,
        skip_dst=skip_dst,
        accept=accept[order],
        reach=reach[order].astype(np.int32),
        rest=np.where(rest[order] < 0, 1 << 30, rest[order]).astype(np.int32),
        members=np.concatenate([np.zeros(0, np.int32), *members]).astype(np.int32),
        member_first=np.cumsum([0, *map(len, members)]).astype(np.int32),
    )


_MEMBERS: dict[int, Ints] = {}


def members_of(label: int) -> Ints:
    """The bytes of a label."""
    found = _MEMBERS.get(label)
    if found is None:
        found = _MEMBERS[label] = np.array([b for b in range(257) if LABELS[label] >> b & 1], np.int32)
    return found


def distances(
    states: int, src: Ints, dst: Ints, skip_src: Ints, skip_dst: Ints, start: int
) -> NDArray[np.int64]:
    """Fewest symbols from ``start`` to each state (S,), -1 where there is no way."""
    order, skip_order = np.argsort(src, kind="stable"), np.argsort(skip_src, kind="stable")
    first = np.searchsorted(src[order], np.arange(states + 1))
    skip_first = np.searchsorted(skip_src[skip_order], np.arange(states + 1))
    found: NDArray[np.int64] = fewest(first, dst[order], skip_first, skip_dst[skip_order], start)
    return found


def ordered(src: Ints, dst: Ints, states: int) -> tuple[Ints, Ints]:
    """Edges in an order in which one pass follows every chain of them (they have no cycle)."""
    height: dict[int, int] = {}
    into: dict[int, list[int]] = {}
    for a, b in zip(src.tolist(), dst.tolist(), strict=True):
        into.setdefault(b, []).append(a)
    for begin in into:
        todo = [begin]
        while todo:
            at = todo[-1]
            missing = [a for a in into.get(at, ()) if a not in height and a in into]
            if missing:
                todo += missing
            else:
                height[at] = 1 + max((height.get(a, 0) for a in into.get(at, ())), default=0)
                todo.pop()
    keys = np.array([height.get(b, 0) for b in dst.tolist()], np.int64)
    order = np.argsort(keys, kind="stable")
    return src[order].astype(np.int32), dst[order].astype(np.int32)
