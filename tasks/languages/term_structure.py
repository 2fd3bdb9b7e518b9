"""What a term is made of: its symbols, its literals, and terms that are close to it.

>>> from solver.tasks.languages.regex import anchored, literal
>>> as_literals(anchored(literal("a") | literal("bc")), limit=2) is None    # its union is not outermost
True
>>> as_literals(anchored(literal("a")) | anchored(literal("bc")), limit=2)
['a', 'bc']
"""

from __future__ import annotations

from solver.tasks.languages.code_points import LAST, Ranges, intersection, inverse, is_single, union
from solver.tasks.languages.regex import (
    ANYTHING,
    AT_END,
    AT_START,
    EMPTY,
    NEVER,
    SOMETHING,
    And,
    Concat,
    Or,
    Repeat,
    Symbols,
    Term,
    and_,
    concat,
    or_,
    repeat,
    symbols,
)


def symbol_sets_within(root: Term) -> frozenset[Ranges]:
    """Return all sets of symbols that occur in a term."""
    sets, pending, visited = set[Ranges](), [root], {root}
    while pending:
        match pending.pop():
            case Symbols(ranges):
                sets.add(ranges)
                continue
            case Concat(first, rest):
                children: tuple[Term, ...] = (first, rest)
            case Repeat(part):
                children = (part,)
            case term:
                children = term.parts
        pending += [child for child in children if child not in visited]
        visited.update(children)
    return frozenset(sets)


def inspected_terms(term: Term) -> tuple[Term, ...]:
    """Return the operands whose derivatives are part of the term's derivatives."""
    match term:
        case Concat(first, rest):
            return (first, rest) if first.nullable else (first,)
        case Repeat(part):
            return (part,)
    return term.parts


def under_approximation(term: Term) -> Term:
    """Return a subset of ``term`` with far fewer states, for terms whose automaton is too large.

    A pattern that may be found anywhere in the subject must then be found at its start.
    """
    match term:
        case Concat(first, Concat(Repeat(_, 0), rest)) if first is AT_START:
            return concat(AT_START, rest)
        case Concat(first, Or(parts)) if first is AT_START:
            fixed = [part for part in parts if not (isinstance(part, Concat) and part.first is ANYTHING)]
            return concat(AT_START, or_(fixed or parts))
        case And():
            return and_(map(under_approximation, term.parts))
        case Or():
            return or_(map(under_approximation, term.parts))
        case _:
            return term


def as_literals(term: Term, limit: int) -> list[str] | None:
    """Return the strings of a term that is a union of at most ``limit`` anchored literals, else None."""
    if isinstance(term, Or):
        lists = [as_literals(part, limit) for part in term.parts]
        if len(lists) > limit or None in lists:
            return None
        return [text for texts in lists for text in texts or ()]
    chars: list[str] = []
    while isinstance(term, Concat):
        if not isinstance(term.first, Symbols) or not is_single(term.first.ranges):
            return None
        code = term.first.ranges[0][0]
        chars.append(chr(code) if code <= LAST else "")  # an anchor has no character
        term = term.rest
    return ["".join(chars)] if term is AT_END and chars and chars[0] == "" else None


def ending_in(term: Term, ranges: Ranges) -> Term:
    """The sequences of ``term`` that are not empty and whose last symbol is in ``ranges``."""
    last = last_symbols(term)
    common = intersection(last, ranges)
    if common != last and isinstance(term, Symbols):
        return symbols(common)
    if common != last:
        return and_((term, concat(ANYTHING, symbols(common)))) if common else NEVER
    match term:
        case Repeat(part, 0, high) if not part.nullable:
            return repeat(part, 1, high)
    return and_((term, SOMETHING)) if term.nullable else term


def last_symbols(term: Term) -> Ranges:
    """A set in which the last symbol of every sequence of ``term`` is."""
    match term:
        case Symbols(ranges):
            return ranges
        case Concat(first, rest):
            last = last_symbols(rest)
            return union((*last, *last_symbols(first))) if rest.nullable else last
        case Repeat(part):
            return last_symbols(part)
        case Or(parts):
            return union(pair for part in parts for pair in last_symbols(part))
    return () if term in (EMPTY, NEVER) else inverse(())
