"""A schema as a formula: *and*, *or*, *not*, *exactly one* over assertions about one value.

    f = and_([kinds({"string"}), leaf("text", search("^a"))])
    of_kind(f, "string")        # the assertion about strings that is left
    of_kind(f, "null")          # NO

Formulas are interned; a value is read by rewriting its formula piece by piece (values.py) until it is YES, NO or MAYBE. MAYBE
stands for what no automaton here can say: the language is then too large, never too small, and the validator decides.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

from solver.tasks.languages.boolean import BooleanAlgebra

KINDS = ("null", "true", "false", "number", "string", "array", "object")
TYPES = {"null": ("null",), "boolean": ("true", "false")} | {
    name: (name,) for name in ("number", "string", "array", "object")
}  # fmt: skip


class Formula:
    """op: yes, no, maybe, and, or, not, one, or leaf. parts: formulas; of a leaf, its name and arguments."""

    __slots__ = ("number", "op", "parts")

    def __init__(self, op: str, parts: tuple, number: int) -> None:  # type: ignore[type-arg]
        self.op, self.parts, self.number = op, parts, number

    def __repr__(self) -> str:
        return f"{self.op}{self.parts!r}" if self.parts else self.op


_FORMULAS: dict[tuple, Formula] = {}  # type: ignore[type-arg]


def _formula(op: str, parts: tuple) -> Formula:  # type: ignore[type-arg]
    key = (op, *(part.number if isinstance(part, Formula) else part for part in parts))
    found = _FORMULAS.get(key)
    if found is None:
        found = _FORMULAS[key] = Formula(op, parts, len(_FORMULAS))
    return found


YES, NO, MAYBE = _formula("yes", ()), _formula("no", ()), _formula("maybe", ())


def leaf(name: str, *arguments: Hashable) -> Formula:
    """One assertion. Its name says which kind of value it is about (see LEAVES)."""
    return _formula("leaf", (name, *arguments))


# What each assertion is about; it holds for every other kind of value.
LEAVES = {
    "compare": "number",  # operator, bound
    "multiple": "number",  # of
    "among": "number",  # frozenset of numbers
    "text": "string",  # regex term
    "members": "object",  # which schema each member must satisfy
    "required": "object",  # name
    "count": "object",  # least, most, so far
    "names": "object",  # schema of every name
    "items": "array",  # schemas of the first items, schema of the others
    "length": "array",  # least, most, so far
    "contains": "array",  # schema, least, most, so far
    "unknown": "",  # the kind is an argument: kind, keyword
}


def kinds(allowed: Iterable[str]) -> Formula:
    """The value is of one of these kinds."""
    chosen = frozenset(allowed)
    if not chosen:
        return NO
    return YES if chosen >= set(KINDS) else leaf("kinds", chosen)


_ALGEBRA = BooleanAlgebra(YES, NO, _formula, unknown=MAYBE)
and_, or_, not_ = _ALGEBRA.and_, _ALGEBRA.or_, _ALGEBRA.not_


def exactly_one(parts: Iterable[Formula]) -> Formula:
    """One of them and no other. Equal ones are two."""
    rest = [part for part in parts if part is not NO]
    sure = [part for part in rest if part is YES]
    if len(sure) > 1:
        return NO
    if sure:
        return and_(not_(part) for part in rest if part is not YES)
    if len(rest) < 2:
        return rest[0] if rest else NO
    return _formula("one", tuple(sorted(rest, key=lambda part: part.number)))


def rewrite(formula: Formula, change: Callable[[Formula], Formula]) -> Formula:
    """``formula`` with every leaf changed, simplified. ``change`` is called once for each different leaf."""
    memo: dict[Formula, Formula] = {}

    def visit(f: Formula) -> Formula:
        found = memo.get(f)
        if found is None:
            if f.op == "leaf":
                found = change(f)
            elif f.op == "and":
                found = and_(map(visit, f.parts))
            elif f.op == "or":
                found = or_(map(visit, f.parts))
            elif f.op == "not":
                found = not_(visit(f.parts[0]))
            elif f.op == "one":
                found = exactly_one(map(visit, f.parts))
            else:
                found = f
            memo[f] = found
        return found

    return visit(formula)


def leaves(formula: Formula) -> list[Formula]:
    """The different leaves, in the order in which they stand."""
    found: dict[Formula, None] = {}
    todo = [formula]
    while todo:
        f = todo.pop()
        if f.op == "leaf":
            found[f] = None
        else:
            todo += reversed(f.parts)
    return list(found)


_OF_KIND: dict[tuple[Formula, str], Formula] = {}


def of_kind(formula: Formula, kind: str) -> Formula:
    """What is left of it for a value of this kind."""
    key = (formula, kind)
    found = _OF_KIND.get(key)
    if found is None:

        def change(f: Formula) -> Formula:
            name = f.parts[0]
            if name == "kinds":
                return YES if kind in f.parts[1] else NO
            if name == "unknown":
                return MAYBE if f.parts[1] in (kind, None) else YES
            return f if LEAVES[name] == kind else YES

        found = _OF_KIND[key] = rewrite(formula, change)
    return found
