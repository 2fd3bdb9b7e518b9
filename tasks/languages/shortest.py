"""The shortest texts of grammars and of regular expressions, without a bound on their length.

>>> from solver.tasks.languages.grammar import PatternGrammar
>>> from solver.tasks.languages.regex_parser import search
>>> grammar = PatternGrammar("^(ab|c)d{3,}$")
>>> lengths = shortest_lengths(grammar)
>>> lengths[grammar.start], shortest_text(grammar, lengths)
(4.0, b'cddd')
>>> shortest_string(search("^(aé|\\"b{2,}|c{9})$"))
'aé'
"""

import heapq
import itertools
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from solver.kernels.deadline import check_time
from solver.tasks.languages.byte_automaton import LABELS, ByteAutomaton, grouped
from solver.tasks.languages.code_points import LAST, Ranges
from solver.tasks.languages.grammar import Grammar, Move
from solver.tasks.languages.regex import (
    And,
    Concat,
    Or,
    Repeat,
    Symbols,
    Term,
    accepts,
    start_state,
    transitions,
)

MAX_NODES = 50_000
MAX_STRING_STATES = 20_000


class LiteralGrammar:
    """A single text, which is not empty."""

    def __init__(self, text: bytes) -> None:
        self.start: Hashable = text

    def moves(self, node: Hashable) -> Sequence[Move]:
        assert isinstance(node, bytes)
        return (Move(node),)

    def is_unconstrained(self, node: Hashable) -> bool:
        return False

    def min_length(self, node: Hashable) -> int:
        return 1


class _Rule(NamedTuple):
    """A move as a rule: ``node`` has a text of ``length`` bytes more than the shortest texts of ``needs``."""

    node: Hashable
    length: float
    needs: tuple[Hashable, ...]


def shortest_lengths(grammar: Grammar, max_nodes: int = MAX_NODES) -> dict[Hashable, float] | None:
    """Bytes of the shortest text of each node that has one, for blocks of any size.

    A node that is missing from the result has no text: that is a proof. Returns None if more than
        ``max_nodes`` nodes would
    have to be visited. (Knuth 1977, "A generalization of Dijkstra's algorithm".)
    """
    rules = _rules(grammar, max_nodes)
    if rules is None:
        return None
    waiting = grouped((node, rule) for rule in rules for node in rule.needs)
    numbers: Iterator[int] = (
        itertools.count()
    )  # nodes cannot be compared; equal lengths in order of insertion
    queue = [(rule.length, next(numbers), rule.node) for rule in rules if not rule.needs]
    heapq.heapify(queue)
    lengths: dict[Hashable, float] = {}
    while queue:
        length, _, node = heapq.heappop(queue)
        if node in lengths:
            continue
        lengths[node] = length
        for rule in waiting.get(node, ()):
            if rule.node not in lengths and all(need in lengths for need in rule.needs):
                total = rule.length + sum(lengths[need] for need in rule.needs)
                heapq.heappush(queue, (total, next(numbers), rule.node))
    return lengths


def _rules(grammar: Grammar, max_nodes: int) -> list[_Rule] | None:
    rules: list[_Rule] = []
    pending, seen = [grammar.start], {grammar.start}
    while pending:
        if len(seen) > max_nodes:
            return None
        check_time()
        node = pending.pop()
        for move in grammar.moves(node):
            if move.min_length < 0:
                continue
            rule = _Rule(
                node, float(move.min_length), tuple(n for n in (move.call, move.goto) if n is not None)
            )
            rules.append(rule)
            for need in rule.needs:
                if need not in seen:
                    seen.add(need)
                    pending.append(need)
    return rules


def shortest_text(grammar: Grammar, lengths: Mapping[Hashable, float]) -> bytes:
    """A shortest text of the grammar. ``lengths``: those of :func:`shortest_lengths`, with the start."""
    text, stack = bytearray(), [grammar.start]
    while stack:
        check_time()
        moves = grammar.moves(stack.pop())
        move = min(moves, key=lambda move: _total(move, lengths))
        text += move.emit if isinstance(move.emit, bytes) else shortest_of_automaton(move.emit)
        stack += [node for node in (move.goto, move.call) if node is not None]
    return bytes(text)


def _total(move: Move, lengths: Mapping[Hashable, float]) -> float:
    """Bytes of the shortest text that begins with a move; infinite if there is none."""
    needs = [lengths.get(node, float("inf")) for node in (move.call, move.goto) if node is not None]
    return move.min_length + sum(needs) if move.min_length >= 0 else float("inf")


def shortest_of_automaton(automaton: ByteAutomaton) -> bytes:
    """The shortest text of an automaton that has one; of several, one with small bytes."""
    texts = {0: b""}
    while automaton.num_states not in texts and texts.keys().isdisjoint(automaton.ends):
        longer: dict[int, bytes] = {}
        for state, text in texts.items():
            for mark, target in automaton.edges_from.get(state, ()):
                byte = LABELS[mark] & -LABELS[mark]
                longer.setdefault(target, text + bytes([byte.bit_length() - 1]))
        texts = longer
    return next(text for state, text in texts.items() if state in {automaton.num_states, *automaton.ends})


# Code points with the bytes of each in a string of JSON: plain, short escapes and two bytes, more, \\u0000.
COSTS = (
    (1, ((32, 33), (35, 91), (93, 127))),
    (2, ((8, 10), (12, 13), (34, 34), (92, 92), (128, 0x7FF))),
    (3, ((0x800, 0xD7FF), (0xE000, 0xFFFF))),
    (4, ((0x10000, 0x10FFFF),)),
    (6, ((0, 7), (11, 11), (14, 31))),
)


def fewest_characters(term: Term) -> int:
    """A lower bound on the characters of a term's strings, from its form."""
    total = 0
    while True:
        match term:
            case Concat(first, rest):
                total, term = total + fewest_characters(first), rest
            case Symbols(ranges):
                return total + (ranges[0][0] <= LAST)  # an anchor has no character
            case Repeat(part, low, _):
                return total + low * fewest_characters(part) if low else total
            case Or(parts):
                return total + min(map(fewest_characters, parts))
            case And(parts):
                return total + max(map(fewest_characters, parts))
            case _:
                return total


def cheapest_code(ranges: Ranges) -> tuple[int, int] | None:
    """Bytes and code point of the shortest character in the ranges; None for surrogates alone."""
    for cost, groups in COSTS:
        shared = [
            max(low, first)
            for low, high in ranges
            for first, last in groups
            if max(low, first) <= min(high, last)
        ]
        if shared:
            return cost, shared[0]
    return None


Path = tuple[str, Any] | None  # linked: the last character, then the path before it


def shortest_string(term: Term, max_states: int = MAX_STRING_STATES) -> str | None:
    """A string of the term that has the fewest bytes as JSON (Dijkstra); None if it has none.

    Raises:
        LookupError: none was found among ``max_states`` states.
    """
    numbers = itertools.count()
    queue: list[tuple[int, int, Term, Path]] = [(0, next(numbers), start_state(term), None)]
    done: set[Term] = set()
    while queue:
        length, _, state, path = heapq.heappop(queue)
        if state in done:
            continue
        done.add(state)
        if accepts(state):
            characters = []
            while path is not None:
                character, path = path
                characters.append(character)
            return "".join(reversed(characters))
        if len(done) > max_states:
            raise LookupError
        for ranges, target in transitions(state):
            cheapest = cheapest_code(ranges) if target not in done else None
            if cheapest is not None:
                cost, code = cheapest
                heapq.heappush(queue, (length + cost, next(numbers), target, (chr(code), path)))
    return None
