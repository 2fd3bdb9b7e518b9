"""Byte automata for strings: from the states of a regular expression to bytes, with UTF-8 and JSON's escapes.

    >>> from solver.tasks.languages.regex import start_state
    >>> from solver.tasks.languages.regex_parser import search
    >>> start = start_state(search("^a{2,4}$"))
    >>> rest = string_automaton(start, max_chars=256, quoted=True)    # up to the closing quote
    >>> rest.num_states, rest.min_length, rest.max_length
    (5, 3, 5)

A label is a numbered set of bytes, from one table for the whole process: 0 to 255 are the single bytes,
256 is WHITE.
"""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from solver.kernels.deadline import check_time
from solver.tasks.errors import SolverError
from solver.tasks.languages.code_points import (
    Items,
    Ranges,
    byte_range,
    continuation_bytes,
    lead_bytes,
    remove_surrogates,
)
from solver.tasks.languages.regex import Term, accepts, transitions
from solver.tasks.languages.term_structure import inspected_terms

Ints = NDArray[np.int32]
MAX_STATES = 20_000  # of one automaton
Key = TypeVar("Key")
Element = TypeVar("Element")
MAX_WORK = 600_000  # terms inspected for one automaton; patterns can be exponential


class TooLargeError(SolverError, ValueError):
    """An automaton would exceed the limits on states or work."""


WHITE = 256  # white space outside strings: read in pinned cells, never generated
LABELS: list[int] = [1 << byte for byte in range(257)]  # as bitmasks
_NUMBERS: dict[int, int] = {mask: number for number, mask in enumerate(LABELS)}


def label(mask: int) -> int:
    """The number of a set of bytes, given as a bitmask."""
    number = _NUMBERS.get(mask)
    if number is None:
        number = _NUMBERS[mask] = len(LABELS)
        LABELS.append(mask)
    return number


def grouped(pairs: Iterable[tuple[Key, Element]]) -> dict[Key, list[Element]]:
    """The second parts of pairs by their first ones, both in the order given."""
    groups: dict[Key, list[Element]] = {}
    for key, element in pairs:
        groups.setdefault(key, []).append(element)
    return groups


@dataclass(frozen=True, eq=False)
class ByteAutomaton:
    """An automaton with one entry, state 0, and one exit, the number ``num_states``, from which its caller
    continues.

    Attributes:
        num_states: number of states without the exit.
        src, label, dst: source, label and target of each of E edges, each (E,).
        ends: states from which the exit is reached without reading a byte.
    """

    num_states: int
    src: Ints
    label: Ints
    dst: Ints
    ends: tuple[int, ...]

    @cached_property
    def edges_from(self) -> dict[int, list[tuple[int, int]]]:
        """The (label, target) pairs of each state that has edges."""
        edges = zip(self.src.tolist(), self.label.tolist(), self.dst.tolist(), strict=True)
        return grouped((src, (mark, dst)) for src, mark, dst in edges)

    @cached_property
    def min_length(self) -> int:
        """Bytes of the shortest text; -1 if there is none."""
        reached, layer, steps = {0}, {0}, 0
        while layer:
            if layer & set(self.ends) or self.num_states in layer:
                return steps
            layer = {dst for src in layer for _, dst in self.edges_from.get(src, ())} - reached
            reached |= layer
            steps += 1
        return -1

    @cached_property
    def max_length(self) -> int | None:
        """Bytes of the longest text; None if texts are unbounded."""
        targets = {src: [dst for _, dst in edges] for src, edges in self.edges_from.items()}
        try:
            order = [*TopologicalSorter(targets).static_order()]  # targets first
        except CycleError:
            return None
        longest: dict[int, int] = {}  # from a state to the exit
        for state in order:
            longest[state] = max((1 + longest[dst] for dst in targets.get(state, ())), default=0)
        return longest.get(0, 0)


Edges = Callable[[Hashable], Iterable[tuple[int, Hashable]]]
EXIT = "exit"


def explore(
    start: Hashable,
    edges: Edges,
    ends: Callable[[Hashable], bool],
    layers: int,
    max_states: int = MAX_STATES,
) -> ByteAutomaton:
    """Build an automaton breadth first.

    Args:
        start: the first state.
        edges: gives the (label, state) pairs of a state; EXIT is a state as well.
        ends: whether a text may end in a state.
        layers: number of bytes to follow at most.
        max_states: number of states that it may have.

    Raises:
        TooLargeError: it has more.
    """
    numbers: dict[Hashable, int] = {start: 0}
    triples: list[tuple[int, int, int]] = []
    layer = [start]
    for _ in range(layers):
        next_layer = []
        for state in layer:
            check_time()
            for mark, target in edges(state):
                if target is EXIT:
                    triples.append((numbers[state], mark, -1))
                    continue
                number = numbers.get(target)
                if number is None:
                    number = numbers[target] = len(numbers)
                    next_layer.append(target)
                    if number >= max_states:
                        raise TooLargeError(f"an automaton of more than {max_states} states")
                triples.append((numbers[state], mark, number))
        layer = next_layer
        if not layer:
            break
    return trim(triples, [number for state, number in numbers.items() if ends(state)])


def trim(triples: list[tuple[int, int, int]], final: list[int]) -> ByteAutomaton:
    """The automaton of these (source, label, target) triples without dead ends; target -1 is the exit."""
    sources = grouped((dst, src) for src, _, dst in triples)
    alive = {-1, *final}
    pending = list(alive)
    while pending:
        for src in sources.get(pending.pop(), ()):
            if src not in alive:
                alive.add(src)
                pending.append(src)
    alive.add(0)
    numbers = {old: new for new, old in enumerate(sorted(alive - {-1}))}
    numbers[-1] = num_states = len(numbers)
    rows = [(numbers[s], mark, numbers[d]) for s, mark, d in triples if s in alive and d in alive]
    src_, marks, dst_ = np.array(rows, np.int32).reshape(-1, 3).T.copy()
    return ByteAutomaton(num_states, src_, marks, dst_, tuple(numbers[f] for f in final if f in numbers))


SHORT_ESCAPES = {8: "b", 9: "t", 10: "n", 12: "f", 13: "r", 34: '"', 92: "\\"}
UNESCAPED = byte_range(32, 127) & ~(1 << 34) & ~(1 << 92)  # ASCII that JSON strings hold as it is


class Utf8State(NamedTuple):
    """Inside a UTF-8 sequence: ``more`` bytes are missing; items index into ``targets``."""

    items: Items
    more: int
    targets: tuple[Term, ...]


class EscapeState(NamedTuple):
    """After a backslash: the code points that may be escaped, each with its target."""

    pairs: tuple[tuple[int, Term], ...]


class HexState(NamedTuple):
    """After ``\\u`` and the digits ``prefix``: the code points that may follow, each with its target."""

    prefix: str
    pairs: tuple[tuple[int, Term], ...]


@lru_cache(maxsize=256)
def string_automaton(start: Term, max_chars: int, quoted: bool) -> ByteAutomaton:
    """The texts that lead from a regular expression's state to an accepting one.

    Args:
        start: the state, a derivative.
        max_chars: longest text in code points.
        quoted: as the rest of a JSON string, closing quote included; otherwise plain UTF-8.

    Raises:
        TooLargeError: if states or work exceed their limits.
    """
    states = _StringStates(quoted)
    # at most four bytes per code point, or six for an escape of the last one
    try:
        return explore(start, states.edges, states.may_end, 4 * max_chars + 6)
    except RecursionError:
        raise TooLargeError("a pattern of too many parts") from None


class _StringStates:
    """Edges of the states of :func:`string_automaton`: terms, and the states inside a code point's bytes."""

    def __init__(self, quoted: bool) -> None:
        self.quoted = quoted
        self.work = 0
        self.accepting: dict[Term, bool] = {}
        self.seen: set[Term] = set()

    def accepts(self, state: Term) -> bool:
        if state not in self.accepting:
            self.accepting[state] = accepts(state)
        return self.accepting[state]

    def unseen_terms(self, state: Term) -> int:
        """Count the terms that the derivatives of ``state`` inspect and those of no earlier state did."""
        count, pending = 0, [state]
        while pending:
            term = pending.pop()
            count += 1 + len(term.parts)
            if term not in self.seen:
                self.seen.add(term)
                pending += inspected_terms(term)
        return count

    def may_end(self, state: Hashable) -> bool:
        return not self.quoted and isinstance(state, Term) and self.accepts(state)

    def edges(self, state: Hashable) -> list[tuple[int, Hashable]]:
        match state:
            case Term():
                return self.edges_of_term(state)
            case Utf8State(items, more, targets):
                steps = continuation_bytes(items, more)
                return [(label(mask), utf8_state(rest, missing, targets)) for mask, rest, missing in steps]
            case EscapeState(pairs):
                return escape_edges(pairs)
            case HexState(prefix, pairs):
                return hex_edges(prefix, pairs)
        raise AssertionError(state)

    def edges_of_term(self, state: Term) -> list[tuple[int, Hashable]]:
        groups = transitions(state)
        self.work += len(groups) * self.unseen_terms(state)
        if self.work > MAX_WORK:
            raise TooLargeError("a pattern that takes too long to follow")
        edges: list[tuple[int, Hashable]] = []
        targets: list[Term] = []
        beyond_ascii: list[tuple[int, int, int]] = []
        escaped: list[tuple[int, Term]] = []
        for ranges, target in groups:
            # ASCII in one byte, some of it escaped inside quotes
            mask = ascii_mask(ranges)
            if self.quoted:
                escaped += [(code, target) for code in (*range(32), 34, 92) if mask >> code & 1]
                mask &= UNESCAPED
            if mask:
                edges.append((label(mask), target))
            # all other code points are collected, so that those with the same first byte share an edge
            if ranges[-1][1] >= 128:
                wide = [(max(low, 128), high) for low, high in remove_surrogates(ranges) if high >= 128]
                beyond_ascii += [(low, high, len(targets)) for low, high in wide]
                targets.append(target)
        for mask, rest, more in lead_bytes(tuple(sorted(beyond_ascii))) if beyond_ascii else ():
            edges.append((label(mask), utf8_state(rest, more, tuple(targets))))
        if escaped:
            edges.append((92, EscapeState(tuple(escaped))))
        if self.quoted and self.accepts(state):
            edges.append((34, EXIT))
        return edges


def ascii_mask(ranges: Ranges) -> int:
    """The ASCII part of ``ranges`` as a bitmask."""
    mask = 0
    for low, high in ranges:
        if low < 128:
            mask |= byte_range(low, min(high, 127))
    return mask


def utf8_state(rest: Items, more: int, targets: tuple[Term, ...]) -> Hashable:
    """The state inside a UTF-8 sequence, or the target at its end.

    Targets are renumbered so that equal states compare equal.
    """
    indices = sorted({index for *_, index in rest})
    kept = tuple(targets[index] for index in indices)
    if more == 0:
        return kept[0]
    return Utf8State(tuple((low, high, indices.index(index)) for low, high, index in rest), more, kept)


def escape_edges(pairs: tuple[tuple[int, Term], ...]) -> list[tuple[int, Hashable]]:
    """The edges after a backslash: short escapes, and \\u00xx for other controls, as Python's json has it."""
    edges: list[tuple[int, Hashable]] = [
        (ord(SHORT_ESCAPES[code]), target) for code, target in pairs if code in SHORT_ESCAPES
    ]
    rest = tuple((code, target) for code, target in pairs if code not in SHORT_ESCAPES)
    return [*edges, (ord("u"), HexState("", rest))] if rest else edges


def hex_edges(prefix: str, pairs: tuple[tuple[int, Term], ...]) -> list[tuple[int, Hashable]]:
    """The next digit of \\u00xx."""
    by_digit = grouped((f"{code:04x}"[len(prefix)], (code, target)) for code, target in pairs)
    if len(prefix) == 3:
        return [(ord(digit), group[0][1]) for digit, group in by_digit.items()]
    return [(ord(digit), HexState(prefix + digit, tuple(group))) for digit, group in by_digit.items()]
