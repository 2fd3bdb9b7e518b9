"""Regular expressions as terms whose derivatives are the states of an automaton.

    r = search("^[a-z]+$")                # patterns.py: the strings in which a pattern is found
    matches(r & ~literal("null"), "abc")  # True; intersection and complement are as cheap as union

A term denotes a set of code-point sequences; ``derivative(r, c)`` is the set of what may follow c (Brzozowski 1964; Owens,
Reppy and Turon, "Regular-expression derivatives re-examined", 2009). Terms are interned and kept in a normal form, so that
equal states are mostly the same object. Anchors are two extra symbols, START and END, that stand around every subject.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from typing import Any

LAST = 0x10FFFF
START, END = LAST + 1, LAST + 2  # the anchors' symbols
Ranges = tuple[tuple[int, int], ...]  # disjoint, ascending, inclusive


class Term:
    """One interned regular expression. kind and parts say which; ``nullable``: whether it has the empty sequence; ``size``: how
    many terms it is made of, repeated ones counted again."""

    __slots__ = ("firsts", "kind", "nullable", "number", "parts", "size")

    def __init__(
        self, kind: str, parts: tuple[Any, ...], nullable: bool, firsts: frozenset[Ranges], number: int
    ) -> None:
        self.kind, self.parts, self.nullable, self.firsts, self.number = kind, parts, nullable, firsts, number
        self.size: int = 1 + sum(part.size for part in parts if isinstance(part, Term))

    def __and__(self, other: Term) -> Term:
        return both((self, other))

    def __or__(self, other: Term) -> Term:
        return either((self, other))

    def __invert__(self) -> Term:
        return without(self)

    def __repr__(self) -> str:
        return f"{self.kind}{self.parts!r}"


_TERMS: dict[tuple, Term] = {}  # type: ignore[type-arg]


def _term(kind: str, parts: tuple, nullable: bool, firsts: frozenset[Ranges]) -> Term:  # type: ignore[type-arg]
    key = (kind, *(part.number if isinstance(part, Term) else part for part in parts))
    found = _TERMS.get(key)
    if found is None:
        found = _TERMS[key] = Term(kind, parts, nullable, firsts, len(_TERMS))
    return found


NEVER = _term("never", (), False, frozenset())
NOTHING = _term("nothing", (), True, frozenset())  # the empty sequence


def chars(ranges: Ranges) -> Term:
    """One symbol out of ``ranges``."""
    return _term("chars", (ranges,), False, frozenset([ranges])) if ranges else NEVER


EVERYTHING = _term("repeat", (chars(((0, END),)), 0, None), True, frozenset([((0, END),)]))
ANY = chars(((0, LAST),))  # any one code point


def then(first: Term, second: Term) -> Term:
    """Concatenation."""
    if NEVER in (first, second):
        return NEVER
    if first is NOTHING:
        return second
    if second is NOTHING:
        return first
    if first.kind == "then":  # to the right, so that equal ones look equal
        return then(first.parts[0], then(first.parts[1], second))
    if first is EVERYTHING and (
        second is EVERYTHING or (second.kind == "then" and second.parts[0] is EVERYTHING)
    ):
        return second
    firsts = first.firsts | second.firsts if first.nullable else first.firsts
    return _term("then", (first, second), first.nullable and second.nullable, firsts)


def either(parts: Iterable[Term]) -> Term:
    """Union."""
    kept: dict[Term, None] = {}
    symbols: list[tuple[int, int]] = []
    for part in parts:
        several: tuple[Term, ...] = part.parts if part.kind == "either" else (part,)
        for one in several:
            if one is EVERYTHING:
                return EVERYTHING
            if one.kind == "chars":
                symbols += one.parts[0]
            elif one is not NEVER:
                kept[one] = None
    if symbols:
        kept[chars(union(symbols))] = None
    if any(part.kind == "without" and part.parts[0] in kept for part in kept):
        return EVERYTHING
    ordered = tuple(sorted(kept, key=lambda part: part.number))
    if len(ordered) < 2:
        return ordered[0] if ordered else NEVER
    return _term(
        "either", ordered, any(p.nullable for p in ordered), frozenset().union(*(p.firsts for p in ordered))
    )


def both(parts: Iterable[Term]) -> Term:
    """Intersection."""
    kept: dict[Term, None] = {}
    for part in parts:
        several: tuple[Term, ...] = part.parts if part.kind == "both" else (part,)
        for one in several:
            if one is NEVER:
                return NEVER
            if one is not EVERYTHING:
                kept[one] = None
    if any(part.kind == "without" and part.parts[0] in kept for part in kept):
        return NEVER
    ordered = tuple(sorted(kept, key=lambda part: part.number))
    if len(ordered) < 2:
        return ordered[0] if ordered else EVERYTHING
    return _term(
        "both", ordered, all(p.nullable for p in ordered), frozenset().union(*(p.firsts for p in ordered))
    )


def without(part: Term) -> Term:
    """Complement, among all sequences."""
    if part.kind == "without":
        inner: Term = part.parts[0]
        return inner
    if part is NEVER:
        return EVERYTHING
    if part is EVERYTHING:
        return NEVER
    return _term("without", (part,), not part.nullable, part.firsts)


def repeat(part: Term, least: int, most: int | None) -> Term:
    """``part`` from ``least`` to ``most`` times (None: without end). Counts are kept as counts."""
    if most == 0 or part is NOTHING:
        return NOTHING
    if part is NEVER:
        return NOTHING if least == 0 else NEVER
    if (least, most) == (1, 1):
        return part
    if (
        most is None
        and least == 0
        and part.kind == "repeat"
        and part.parts[1] in (0, 1)
        and part.parts[2] is None
    ):
        return repeat(part.parts[0], 0, None)
    if part.nullable:
        least = 0
    return _term("repeat", (part, least, most), least == 0, part.firsts)


def literal(text: str) -> Term:
    """The one string ``text``."""
    found = NOTHING
    for c in reversed(text):
        found = then(chars(((ord(c), ord(c)),)), found)
    return found


def whole(term: Term) -> Term:
    """``term`` as a whole subject, between its anchors."""
    return then(chars(((START, START),)), then(term, chars(((END, END),))))


@lru_cache(maxsize=1 << 17)
def derivative(term: Term, symbol: int) -> Term:
    """What may follow ``symbol``."""
    kind, parts = term.kind, term.parts
    if kind == "chars":
        return NOTHING if holds(parts[0], symbol) else NEVER
    if kind == "then":
        first = then(derivative(parts[0], symbol), parts[1])
        return either((first, derivative(parts[1], symbol))) if parts[0].nullable else first
    if kind == "either":
        return either(derivative(part, symbol) for part in parts)
    if kind == "both":
        return both(derivative(part, symbol) for part in parts)
    if kind == "without":
        return without(derivative(parts[0], symbol))
    if kind == "repeat":
        part, least, most = parts
        if term is EVERYTHING:
            return EVERYTHING
        return then(
            derivative(part, symbol), repeat(part, max(0, least - 1), None if most is None else most - 1)
        )
    return NEVER


def begin(term: Term) -> Term:
    """The state before the first code point of a subject."""
    return derivative(term, START)


def accepts(state: Term) -> bool:
    """Whether the subject may end here."""
    return derivative(state, END).nullable


def matches(term: Term, text: str) -> bool:
    """Whether ``text`` is one of the subjects."""
    state = begin(term)
    for c in text:
        state = derivative(state, ord(c))
    return accepts(state)


def branches(state: Term) -> list[tuple[Ranges, Term]]:
    """The derivatives by code points: disjoint ranges that cover everything which leads on, each with where it leads."""
    edges = sorted(
        {
            0,
            LAST + 1,
            *(at for ranges in state.firsts for lo, hi in ranges for at in (lo, hi + 1) if at <= LAST),
        }
    )
    groups: dict[tuple[bool, ...], list[tuple[int, int]]] = {}
    firsts = list(state.firsts)
    for lo, hi in pairwise(edges):
        groups.setdefault(tuple(holds(ranges, lo) for ranges in firsts), []).append((lo, hi - 1))
    found: dict[Term, list[tuple[int, int]]] = {}
    for group in groups.values():
        target = derivative(state, group[0][0])
        if target is not NEVER:
            found.setdefault(target, []).extend(group)
    return [(union(group), target) for target, group in found.items()]


def narrowed(term: Term) -> Term:
    """Fewer subjects, and often far fewer states: what may be found anywhere is found at the beginning."""
    if term.kind == "then" and term.parts[0] is EVERYTHING:
        start = chars(((START, START),))
        return then(repeat(start, 0, 1), term.parts[1])
    if term.kind in ("both", "either"):
        return (both if term.kind == "both" else either)(map(narrowed, term.parts))
    return term


def words(term: Term, most: int) -> list[str] | None:
    """The strings of a whole term (see :func:`whole`) that is plainly a list of literals; None where it is not, or longer."""
    if term.kind == "either":
        found = [words(part, most) for part in term.parts]
        return (
            [word for part in found for word in part or ()]
            if len(found) <= most and None not in found
            else None
        )
    text: list[str] = []
    while term.kind == "then":
        first = term.parts[0]
        if first.kind != "chars" or len(first.parts[0]) != 1 or first.parts[0][0][0] != first.parts[0][0][1]:
            return None
        text.append(chr(symbol) if (symbol := first.parts[0][0][0]) <= LAST else "")
        term = term.parts[1]
    is_end = term.kind == "chars" and term.parts[0] == ((END, END),)
    return ["".join(text)] if is_end and text and text[0] == "" else None


# Ranges


def holds(ranges: Ranges, symbol: int) -> bool:
    at = bisect_right(ranges, (symbol, sys.maxsize)) - 1
    return at >= 0 and symbol <= ranges[at][1]


def union(ranges: Iterable[tuple[int, int]]) -> Ranges:
    found: list[tuple[int, int]] = []
    for lo, hi in sorted(ranges):
        if found and lo <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], hi))
        else:
            found.append((lo, hi))
    return tuple(found)


def inverse(ranges: Ranges) -> Ranges:
    """All other code points."""
    found, at = [], 0
    for lo, hi in ranges:
        if lo > at:
            found.append((at, lo - 1))
        at = hi + 1
    if at <= LAST:
        found.append((at, LAST))
    return tuple(found)
