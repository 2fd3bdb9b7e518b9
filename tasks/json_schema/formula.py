"""Formulas: a schema as "and", "or", "not" and "exactly one" over assertions about one value.

>>> from solver.tasks.languages.regex_parser import search
>>> formula = and_([kinds({"string"}), leaf("text", search("^a"))])
>>> of_kind(formula, "string") is leaf("text", search("^a")), of_kind(formula, "null")
(True, no)

Formulas are interned: equal ones are the same object. A value is read by rewriting its formula piece by piece
(residual.py) until it is YES, NO or MAYBE. MAYBE stands for what no automaton here can express: with it the
language is too large, never too small, and the validator decides.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from solver.tasks.languages import regex
from solver.tasks.languages.boolean import BooleanAlgebra

KINDS = ("null", "true", "false", "number", "string", "array", "object")
# The kinds of each type of JSON Schema. An integer is a number with an assertion.
TYPES: dict[str, tuple[str, ...]] = {
    name: (name,) for name in ("null", "number", "string", "array", "object")
}
TYPES["boolean"] = ("true", "false")


class Formula:
    """An interned formula; create one with the functions below.

    Attributes:
        op: "yes", "no", "maybe", "and", "or", "not", "one" or "leaf".
        parts: its operands; of a leaf its name and arguments.
        number: order of creation.
    """

    __slots__ = ("number", "op", "parts")

    def __init__(self, op: str, parts: tuple[Any, ...], number: int) -> None:
        self.op, self.parts, self.number = op, parts, number

    def __repr__(self) -> str:
        return f"{self.op}{self.parts!r}" if self.parts else self.op


_FORMULAS: dict[tuple[Any, ...], Formula] = {}


def _intern(op: str, parts: tuple[Any, ...]) -> Formula:
    key = (op, *(part.number if isinstance(part, Formula) else part for part in parts))
    formula = _FORMULAS.get(key)
    if formula is None:
        formula = _FORMULAS[key] = Formula(op, parts, len(_FORMULAS))
    return formula


YES, NO, MAYBE = _intern("yes", ()), _intern("no", ()), _intern("maybe", ())

# The kind of values that each leaf is about, and its arguments. A leaf holds for values of all other kinds.
LEAF_KINDS = {
    "compare": "number",  # operator, bound
    "multiple": "number",  # divisor
    "among": "number",  # frozenset of numbers
    "text": "string",  # regex term
    "members": "object",  # MemberSchemas
    "required": "object",  # name
    "count": "object",  # minimum, maximum, members so far
    "names": "object",  # number of the schema of every name
    "items": "array",  # ItemSchemas
    "length": "array",  # minimum, maximum, items so far
    "contains": "array",  # number of the schema, minimum, maximum, matches so far
}  # besides "kinds" (set of kinds) and "unknown" (kind, keyword)


@dataclass(frozen=True, eq=False)
class MemberSchemas:
    """The subschemas of an object's members: by name, by pattern, and ``rest`` for all others."""

    named: Mapping[str, int]
    patterns: tuple[tuple[regex.Term, int], ...]
    rest: int | None

    def demand(self, numbers: Sequence[int]) -> tuple[int, ...]:
        """The subschemas of a member to which ``named`` and ``patterns`` give these."""
        return tuple(numbers) or (() if self.rest is None else (self.rest,))


@dataclass(frozen=True, eq=False)
class ItemSchemas:
    """The subschemas of an array's items: one for each of the first, and ``rest`` for all others."""

    first: tuple[int, ...]
    rest: int | None

    def demand(self, index: int) -> tuple[int, ...]:
        """The subschemas of the item ``index``."""
        if index < len(self.first):
            return (self.first[index],)
        return () if self.rest is None else (self.rest,)


def leaf(name: str, *arguments: Hashable) -> Formula:
    """An assertion of LEAF_KINDS with its arguments."""
    return _intern("leaf", (name, *arguments))


def kinds(allowed: Iterable[str]) -> Formula:
    """The assertion that the value is of one of these kinds."""
    chosen = frozenset(allowed)
    if not chosen:
        return NO
    return YES if chosen >= set(KINDS) else leaf("kinds", chosen)


_ALGEBRA = BooleanAlgebra(YES, NO, _intern, unknown=MAYBE)
and_, or_, not_ = _ALGEBRA.and_, _ALGEBRA.or_, _ALGEBRA.not_


def exactly_one(parts: Iterable[Formula]) -> Formula:
    """The assertion that one of the formulas holds and no other. Equal ones count separately."""
    possible = [part for part in parts if part is not NO]
    certain = [part for part in possible if part is YES]
    if len(certain) > 1:
        return NO
    if certain:
        return and_(not_(part) for part in possible if part is not YES)
    if len(possible) < 2:
        return possible[0] if possible else NO
    return _intern("one", tuple(sorted(possible, key=lambda part: part.number)))


_OPERATORS: dict[str, Callable[[Iterable[Formula]], Formula]] = {
    "and": and_,
    "or": or_,
    "one": exactly_one,
    "not": lambda parts: not_(next(iter(parts))),
}


def rewrite(formula: Formula, change: Callable[[Formula], Formula]) -> Formula:
    """Replace every leaf by ``change(leaf)`` and simplify.

    ``change`` is called once for each distinct leaf.
    """
    rewritten: dict[Formula, Formula] = {}

    def visit(part: Formula) -> Formula:
        result = rewritten.get(part)
        if result is None:
            if part.op == "leaf":
                result = change(part)
            elif part.op in _OPERATORS:
                result = _OPERATORS[part.op](map(visit, part.parts))
            else:
                result = part  # YES, NO or MAYBE
            rewritten[part] = result
        return result

    return visit(formula)


def leaves(formula: Formula) -> list[Formula]:
    """The distinct leaves of a formula, in order."""
    distinct: dict[Formula, None] = {}
    stack = [formula]
    while stack:
        part = stack.pop()
        if part.op == "leaf":
            distinct[part] = None
        else:
            stack += reversed(part.parts)
    return list(distinct)


_OF_KIND: dict[tuple[Formula, str], Formula] = {}


def of_kind(formula: Formula, kind: str) -> Formula:
    """What remains of a formula for a value of this kind."""
    remaining = _OF_KIND.get((formula, kind))
    if remaining is None:

        def restrict(assertion: Formula) -> Formula:
            match assertion.parts:
                case ("kinds", allowed):
                    return YES if kind in allowed else NO
                case ("unknown", about, _):
                    return MAYBE if about in (kind, None) else YES
            return assertion if LEAF_KINDS[assertion.parts[0]] == kind else YES

        remaining = _OF_KIND[formula, kind] = rewrite(formula, restrict)
    return remaining
