"""Formulas: a schema as "and", "or", "not" and "exactly one" over assertions about one value.

>>> from solver.tasks.languages.regex_parser import search
>>> formula = and_([kinds({"string"}), leaf("text", search("^a"))])
>>> of_kind(formula, "string") is leaf("text", search("^a")), of_kind(formula, "null")
(True, no)
>>> at_most_one = leaf("length", 0, 1, 0)  # at least 0 items, at most 1, none so far
>>> one_item = advance_leaf(at_most_one, ())
>>> rewrite(one_item, close_leaf) is YES
True

Formulas are interned: equal ones are the same object. A value is read by rewriting its formula until it is
YES, NO or MAYBE. MAYBE stands for what no automaton here can express: with it the language is too large,
never too small, and the validator decides.

A residual formula has to hold of an array or object after some of its elements. Each leaf demands something of
the next element: subschemas, by number, that its value must satisfy, or nothing but the right name. Reading an
element advances every leaf; at the closing bracket all leaves are closed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any
from weakref import WeakValueDictionary

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

    __slots__ = ("__weakref__", "number", "op", "parts")

    def __init__(self, op: str, parts: tuple[Any, ...], number: int) -> None:
        self.op, self.parts, self.number = op, parts, number

    def __repr__(self) -> str:
        return f"{self.op}{self.parts!r}" if self.parts else self.op


_FORMULAS: WeakValueDictionary[tuple[Any, ...], Formula] = WeakValueDictionary()
_NUMBERS = count()


def _intern(op: str, parts: tuple[Any, ...]) -> Formula:
    key = (op, *(part.number if isinstance(part, Formula) else part for part in parts))
    formula = _FORMULAS.get(key)
    if formula is None:
        formula = _FORMULAS[key] = Formula(op, parts, next(_NUMBERS))
    return formula


YES, NO, MAYBE = _intern("yes", ()), _intern("no", ()), _intern("maybe", ())

# The kind of values that each leaf is about, and its arguments. A leaf holds for values of all other kinds.
LEAF_KINDS = {
    "compare": "number",  # operator, bound
    "multiple": "number",  # divisor
    "among": "number",  # frozenset of numbers
    "text": "string",  # regex term
    "words": "string",  # frozenset of strings
    "records": "object",  # Constants
    "lists": "array",  # Constants
    "format": "string",  # FormatAssertion
    "members": "object",  # MemberSchemas
    "required": "object",  # name
    "count": "object",  # minimum, maximum, members so far
    "names": "object",  # number of the schema of every name
    "items": "array",  # ItemSchemas
    "length": "array",  # minimum, maximum, items so far
    "contains": "array",  # number of the schema, minimum, maximum, matches so far
    "unique": "array",  # frozenset of the items so far (constants.py: value_key)
}  # besides "kinds" (set of kinds), "unknown" (kind, keyword) and "source" (kind, "text", "free" or "open"); it holds


@dataclass(frozen=True, eq=False)
class MemberSchemas:
    """The subschemas of an object's members: by name, by pattern, and ``rest`` for all others."""

    named: Mapping[str, int]
    patterns: tuple[tuple[regex.Term, int], ...]
    rest: int | None

    def of_name(self, name: str) -> tuple[int, ...]:
        """The subschemas of a member of this name."""
        numbers = [self.named[name]] if name in self.named else []
        return self.demand(
            [*numbers, *(number for term, number in self.patterns if regex.matches(term, name))]
        )

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


@dataclass(frozen=True, eq=False)
class Constants:
    """The arrays or the objects of an ``enum``, by their keys (constants.py: value_key)."""

    by_key: Mapping[Hashable, Any]


def leaf(name: str, *arguments: Hashable) -> Formula:
    """An assertion of LEAF_KINDS with its arguments."""
    return _intern("leaf", (name, *arguments))


def kinds(allowed: Iterable[str]) -> Formula:
    """The assertion that the value is of one of these kinds."""
    chosen = frozenset(allowed)
    if not chosen:
        return NO
    return YES if chosen >= set(KINDS) else leaf("kinds", chosen)


SETS = ("kinds", "among", "words")  # leaves that state that something is in a set


def _merge_sets(op: str, operands: dict[Formula, None]) -> dict[Formula, None]:
    """Merge leaves about sets of one sort: "or" unites them, "and" intersects them."""
    sets: dict[str, list[frozenset[Any]]] = {}
    for part in operands:
        if part.op == "leaf" and part.parts[0] in SETS:
            sets.setdefault(part.parts[0], []).append(part.parts[1])
    repeated = {name: values for name, values in sets.items() if len(values) > 1}
    if not repeated:
        return operands
    merged: dict[Formula, None] = {}
    for part in operands:
        name = part.parts[0] if part.op == "leaf" else None
        if name in repeated:
            values = repeated[name]
            united = values[0].union(*values) if op == "or" else values[0].intersection(*values)
            part = kinds(united) if name == "kinds" else leaf(name, united)
        if part is (NO if op == "and" else YES):
            return {part: None}
        merged[part] = None
    return merged


_ALGEBRA = BooleanAlgebra(YES, NO, _intern, _merge_sets, unknown=MAYBE)
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
    return _intern("one", tuple(possible))


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


def operands(formula: Formula) -> list[Formula]:
    """The distinct leaves and constants of a formula, in order."""
    distinct: dict[Formula, None] = {}
    stack = [formula]
    while stack:
        part = stack.pop()
        if part.op in _OPERATORS:
            stack += reversed(part.parts)
        else:
            distinct[part] = None
    return list(distinct)


def leaves(formula: Formula) -> list[Formula]:
    """The distinct leaves of a formula, in order."""
    return [part for part in operands(formula) if part.op == "leaf"]


@lru_cache(maxsize=1 << 14)
def of_kind(formula: Formula, kind: str) -> Formula:
    """The residual of a formula for a value of this kind."""

    def restrict(assertion: Formula) -> Formula:
        match assertion.parts:
            case ("kinds", allowed):
                return YES if kind in allowed else NO
            case ("unknown", about, _):
                return MAYBE if about in (kind, None) else YES
            case ("source", about, _):
                return assertion if about == kind else YES
            case ("among" | "words" as name, values) if not values and LEAF_KINDS[name] == kind:
                return NO
        return assertion if LEAF_KINDS[assertion.parts[0]] == kind else YES

    return rewrite(formula, restrict)


# The numbers of the subschemas through which a leaf sees the next value, or whether it accepts the member's
# name; None if the validator decides.
Demand = tuple[int, ...] | bool | None
Demands = tuple[tuple[Formula, Demand], ...]


def item_demand(index: int, assertion: Formula) -> Demand:
    """Return what a leaf about arrays demands of the item ``index``."""
    match assertion.parts:
        case ("items", ItemSchemas() as items):
            return items.demand(index)
        case ("contains", number, *_):
            return (number,)
    return ()


def advance_leaf(assertion: Formula, demand: Demand, verdict: bool = True) -> Formula:
    """Return what remains of a leaf after an element.

    Args:
        assertion: the leaf.
        demand: what it demanded of the element.
        verdict: whether the element's value satisfies all subschemas that were demanded.
    """
    match assertion.parts:
        case ("members" | "items", _):
            return assertion if verdict else NO
        case ("names", _):
            return NO if demand is False else assertion if demand is not None else MAYBE
        case ("required", _):
            return YES if demand is True else assertion
        case ("count" | "length", *_):
            return count_element(assertion)
        case ("contains", *_):
            return count_element(assertion) if verdict else assertion
    return assertion


def without_name(formula: Formula, name: str) -> Formula:
    """The residual of a formula about objects if there is no member of this name."""
    return rewrite(formula, lambda assertion: NO if assertion.parts == ("required", name) else assertion)


def demand_in(demands: Demands) -> Callable[[Formula], Demand]:
    """The demands as a function of the leaf; a leaf that is not among them demands nothing."""
    by_leaf = dict(demands)
    return lambda assertion: by_leaf.get(assertion, ())


def count_element(assertion: Formula) -> Formula:
    """Count one more element in a leaf whose last parts are minimum, maximum and count."""
    *head, minimum, maximum, count = assertion.parts
    if maximum is not None and count >= maximum:
        return NO
    if maximum is None and count + 1 >= minimum:
        return YES  # further elements change nothing
    return leaf(*head, minimum, maximum, count + 1)


def close_leaf(assertion: Formula) -> Formula:
    """Decide a leaf at the end of the array or object."""
    match assertion.parts:
        case ("required", _):
            return NO
        case ("count" | "length" | "contains", *_, minimum, maximum, count):
            return YES if minimum <= count and (maximum is None or count <= maximum) else NO
    return YES
