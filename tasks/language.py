"""Languages: which blocks are valid, as an automaton that a distribution can be conditioned on.

    tongue = unroll(Regex("^a+b$"), cells=8)
    found = project(tongue, Slots.whole(8), logits, tokens, known)     # the best block, and how sure each cell is

A :class:`Grammar` says, lazily, how a text may go on; ``unroll`` follows it as far as a block reaches, the shortest texts first.
Calls in a grammar (an array in an array) become states with a return address, so what is unrolled is a plain automaton.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from solver.kernels.lattice import Automaton, Slots
from solver.kernels.lattice_cpu import Lattice, fewest
from solver.tasks import regex
from solver.tasks.fragments import LABELS, Fragment, Ints, text_fragment

MOST_STATES = 20_000
BLANK = 256  # the token of an unused cell
NEXT: None = None  # "and then whatever called us goes on"


class Move(NamedTuple):
    """One way on from a node: first ``emit`` (bytes as they stand, a fragment, or nothing), then what the node ``call`` gives,
    if any, then the node ``goto``, or the caller where that is NEXT."""

    emit: bytes | Fragment = b""
    call: Hashable = None
    goto: Hashable = NEXT


class Grammar(Protocol):
    """A lazily built recursive transition network. It must be unambiguous: no text in two ways."""

    start: Hashable

    def moves(self, node: Hashable) -> Sequence[Move]:
        """The ways on from ``node``; no moves: a dead end."""

    def loose(self, node: Hashable) -> bool:
        """Whether ``node`` may be called only so many times inside itself (``unroll``'s ``depth``): it says nothing."""


class Regex:
    """All texts in which a pattern is found, or with ``whole`` those that it matches from beginning to end, as a grammar. Raises
    PatternError."""

    def __init__(self, pattern: str, whole: bool = False) -> None:
        self.start: Hashable = regex.fullmatch(pattern) if whole else regex.search(pattern)

    def moves(self, node: Hashable) -> Sequence[Move]:
        assert isinstance(node, regex.Term)
        return (Move(text_fragment(regex.begin(node), 1 << 16, quoted=False)),)

    def loose(self, node: Hashable) -> bool:
        return False


@dataclass(frozen=True)
class Unrolled:
    """An automaton, and whether it is the whole language as far as the block reaches (``complete``), or the search for states
    was ended by its bound or by the depth of loose nodes."""

    automaton: Automaton
    complete: bool

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
    grammar: Grammar, cells: int, most: int = MOST_STATES, depth: int = 1, costs: Mapping[Hashable, float] | None = None
) -> Unrolled:
    """The automaton of the grammar's texts of at most ``cells`` bytes: states are (node, return address) pairs, taken in the
    order of how short a text can be that goes through them, until there are ``most``. ``costs``: of each node's shortest text,
    where they are known (:func:`shortest`); without them a byte is assumed."""
    parts = _Parts()
    final = parts.new()
    start = parts.new()
    numbers: dict[tuple[Hashable, int], int] = {(grammar.start, final): start}
    level: dict[int, int] = {final: 0}  # how many loose nodes a state is inside of
    rest: dict[int, float] = {final: 0}  # at least so many bytes follow
    reached: dict[int, int] = {start: 0}
    queue: list[tuple[float, int, int, Hashable, int]] = [(0, start, 0, grammar.start, final)]
    arrivals: dict[int, tuple[Hashable, int]] = {}  # return addresses that nothing has come back to yet
    complete = True

    def arrive(number: int, at: int) -> None:
        """Something leads to the state ``number`` after ``at`` bytes."""
        if number in arrivals and at < reached.get(number, 1 << 30):
            reached[number] = at
            node, back = arrivals[number]
            heapq.heappush(queue, (at + rest[number], number, at, node, back))

    def state(node: Hashable, back: int, inside: int) -> int:
        key = (node, back)
        found = numbers.get(key)
        if found is None:
            found = numbers[key] = parts.new()
            rest[found] = rest[back] + (1 if costs is None else costs.get(node, np.inf))
            level[found] = inside
            arrivals[found] = key
        return found

    arrivals[start] = (grammar.start, final)
    rest[start], level[start] = 0, 0
    done: set[int] = set()
    while queue:
        bound, number, at, node, back = heapq.heappop(queue)
        if number in done:
            continue
        if bound > cells:
            break
        if parts.states > most:
            complete = False
            break
        done.add(number)
        for emit, call, goto in grammar.moves(node):
            inside = level[number]
            if call is not None and inside + grammar.loose(call) > depth:
                complete = False
                continue
            target = back if goto is NEXT else state(goto, back, inside)
            if call is not None:
                target = state(call, target, inside + grammar.loose(call))
            if isinstance(emit, Fragment):
                if emit.shortest < 0:
                    continue
                parts.copy(number, emit, target)
                arrive(target, at + emit.shortest)
            elif emit:
                parts.spell(number, emit, target)
                arrive(target, at + len(emit))
            else:
                parts.skips.append((number, target))
                arrive(target, at)
    return Unrolled(assemble(parts, start, final, cells), complete)


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
    return in_order((src, label.astype(np.int32), dst), (skips[:, 0], skips[:, 1]), accept, members, start, cells)


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


def distances(states: int, src: Ints, dst: Ints, skip_src: Ints, skip_dst: Ints, start: int) -> NDArray[np.int64]:
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


def recognise(grammar: Grammar, text: bytes) -> bool:
    """Whether the grammar, unrolled without bounds, has ``text``. Follows all ways at once, byte by byte."""
    return _Recogniser(grammar).run(text)


class _Recogniser:
    """Configurations are (node, stack) or (fragment, state, stack) or (bytes left, stack); a stack is a linked tuple."""

    def __init__(self, grammar: Grammar) -> None:
        self.grammar = grammar
        self.tables: dict[int, dict[int, list[tuple[int, int]]]] = {}

    def table(self, piece: Fragment) -> dict[int, list[tuple[int, int]]]:
        found = self.tables.get(id(piece))
        if found is None:
            found = self.tables[id(piece)] = {}
            for s, mark, d in zip(piece.src.tolist(), piece.label.tolist(), piece.dst.tolist(), strict=True):
                found.setdefault(s, []).append((LABELS[mark], d))
        return found

    def run(self, text: bytes) -> bool:
        now = self.close([(self.grammar.start, None)])
        for byte in text:
            found = []
            for what, at, stack in now:
                if isinstance(what, bytes):
                    if what[at] == byte:
                        found.append((what, at + 1, stack))
                elif what is not None:
                    found += [(what, d, stack) for mask, d in self.table(what).get(at, ()) if mask >> byte & 1]
            now = self.settle(found)
            if not now:
                return False
        return any(what is None for what, _, _ in now)

    def settle(self, found: Iterable[tuple]) -> list[tuple]:  # type: ignore[type-arg]
        """Configurations between two bytes, from those just behind one."""
        kept, nodes = [], []
        for what, at, stack in found:
            if isinstance(what, bytes):
                ended, going = at == len(what), at < len(what)
            else:
                ended, going = at == what.states or at in what.ends, at < what.states
            if going:
                kept.append((what, at, stack))
            if ended:
                nodes.append(stack)
        return kept + self.close([(stack[0], stack[1]) if stack else (None, None) for stack in nodes])

    def close(self, nodes: list[tuple]) -> list[tuple]:  # type: ignore[type-arg]
        kept: list[Any] = []
        seen: set[Any] = set()
        while nodes:
            node, stack = nodes.pop()
            if (node, stack) in seen:
                continue
            seen.add((node, stack))
            if node is None:
                kept.append((None, 0, None))
                continue
            for emit, call, goto in self.grammar.moves(node):
                after = stack if goto is NEXT else (goto, stack)
                after = after if call is None else (call, after)
                if emit == b"":
                    nodes.append((after[0], after[1]) if after else (None, None))
                elif isinstance(emit, bytes):
                    kept.append((emit, 0, after))
                elif emit.shortest >= 0:
                    kept.append((emit, 0, after))
                    if 0 in emit.ends:
                        nodes.append((after[0], after[1]) if after else (None, None))
        return kept


@dataclass(frozen=True, eq=False)
class Projection:
    """A factorised distribution conditioned on a language. best (L,): the likeliest block.  p (L, V): how likely each cell holds
    each token, given that the block is in the language.  sample (L,): a draw, where one was asked for, or ``best``.
    tax: minus the log-probability that a block is in the language, in nats: what validity costs.  columns: the tokens that the
    columns of p stand for, where they are not all."""

    best: NDArray[np.int64]
    p: NDArray[np.float64]
    sample: NDArray[np.int64]
    tax: float
    columns: NDArray[np.int64] | None = None


def weights_of(logits: NDArray[np.floating], tokens: NDArray[np.int64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Log-probabilities (L, 258) of bytes, WHITE and BLANK, from logits (L, 257) of bytes and BLANK; ``known`` cells (L,) hold
    their tokens, and white space there may stand outside a string."""
    weights = np.empty((len(tokens), 258))
    shifted = logits - logits.max(1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(1, keepdims=True))
    weights[:, :256], weights[:, 256], weights[:, 257] = shifted[:, :256], -np.inf, shifted[:, 256]
    weights[known] = -np.inf
    at = np.flatnonzero(known)
    held = tokens[at]
    weights[at, np.where(held == BLANK, 257, held)] = 0.0
    white = at[np.isin(held, (9, 10, 13, 32))]
    weights[white, 256] = 0.0
    return weights


def project(
    unrolled: Unrolled,
    slots: Slots,
    logits: NDArray[np.floating],
    tokens: NDArray[np.int64],
    known: NDArray[np.bool_],
    rng: np.random.Generator | None = None,
    refused: Sequence[NDArray[np.int64]] = (),
) -> Projection | None:
    """What is left of ``logits`` (L, 257) when the ``known`` cells hold their ``tokens`` (L,) and the block is in the language;
    None where no block is. ``rng``: to draw a sample with.  refused: blocks (L,) that will not do: the best is another one."""
    lattice = Lattice(unrolled.automaton, weights_of(logits, tokens, known), slots)
    best, score = lattice.next_best({tuple(np.where(block == BLANK, 257, block).tolist()) for block in refused}, known)
    if score == -np.inf:
        return None
    p = lattice.marginals()
    p[:, 256] = p[:, 257]  # a symbol for white space has no say: what is known is written below
    p = p[:, :257]
    p[known] = 0.0
    p[known, tokens[known]] = 1.0
    sample = best if rng is None else lattice.sample(rng)
    best, sample = (np.where(known, tokens, np.where(path == 257, BLANK, path)) for path in (best, sample))
    return Projection(best, p, sample, max(0.0, -lattice.partition))


def possible(unrolled: Unrolled, slots: Slots, tokens: NDArray[np.int64], known: NDArray[np.bool_]) -> bool:
    """Whether any block of the language holds ``tokens`` in the ``known`` cells."""
    flat = np.zeros((len(tokens), 257))
    return Lattice(unrolled.automaton, weights_of(flat, tokens, known), slots).best()[1] > -np.inf


def shortest(grammar: Grammar, most: int = 20_000) -> dict[Hashable, float] | None:
    """Bytes of the shortest text of each node that has one, whatever the block; that another has none is then proven. None where
    more than ``most`` nodes would have to be looked at. (Knuth 1977, "A generalization of Dijkstra's algorithm".)"""
    rules: dict[Hashable, list[tuple[Hashable, float, tuple[Hashable, ...]]]] = {}  # by what they wait for
    cost: dict[Hashable, float] = {}
    missing: list[tuple[Hashable, float, tuple[Hashable, ...]]] = []
    todo, seen = [grammar.start], {grammar.start}
    while todo:
        if len(seen) > most:
            return None
        node = todo.pop()
        for emit, call, goto in grammar.moves(node):
            own = float(emit.shortest if isinstance(emit, Fragment) else len(emit))
            if own < 0:
                continue
            needs = tuple(one for one in (call, goto) if one is not None)
            missing.append((node, own, needs))
            for one in needs:
                if one not in seen:
                    seen.add(one)
                    todo.append(one)
    for rule in missing:
        for one in rule[2]:
            rules.setdefault(one, []).append(rule)
    numbers = itertools.count()
    queue = [(own, next(numbers), node) for node, own, needs in missing if not needs]
    heapq.heapify(queue)
    while queue:
        known, _, node = heapq.heappop(queue)
        if node in cost:
            continue
        cost[node] = known
        for target, own, needs in rules.get(node, ()):
            if target not in cost and all(one in cost for one in needs):
                heapq.heappush(queue, (own + sum(cost[one] for one in needs), next(numbers), target))
    return cost
