"""Grammars: how a text may go on, said lazily.

    recognise(Regex("^a+b$"), b"aab")        # True

A :class:`Grammar` is a recursive transition network: a node's ways on are looked at only when something leads there. automata.py
follows it as far as a block reaches; ``recognise`` and ``shortest`` need no bound.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from solver.tasks.languages import regex
from solver.tasks.languages import regex_parser as patterns
from solver.tasks.languages.byte_automaton import LABELS, Fragment, text_fragment

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

    def least(self, node: Hashable) -> int:
        """Bytes that each of the node's texts has at least: 0 or 1."""


class Regex:
    """All texts in which a pattern is found, or with ``whole`` those that it matches from beginning to end, as a grammar. Raises
    PatternError."""

    def __init__(self, pattern: str, whole: bool = False) -> None:
        self.start: Hashable = patterns.fullmatch(pattern) if whole else patterns.search(pattern)

    def moves(self, node: Hashable) -> Sequence[Move]:
        assert isinstance(node, regex.Term)
        return (Move(text_fragment(regex.start_state(node), 1 << 16, quoted=False)),)

    def loose(self, node: Hashable) -> bool:
        return False

    def least(self, node: Hashable) -> int:
        return 0


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
                    found += [
                        (what, d, stack) for mask, d in self.table(what).get(at, ()) if mask >> byte & 1
                    ]
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
