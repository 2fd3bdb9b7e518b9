"""JSON values as constants: whether one satisfies a formula, and the finite sets of values of formulas.

>>> from solver.tasks.json_schema.compiler import Compiler
>>> compiler = Compiler({"enum": [1, "a", [2], {"b": 3}], "not": {"type": "array"}})
>>> formula = compiler.formula(compiler.root)
>>> evaluate(compiler, formula, {"b": 3}), evaluate(compiler, formula, [2])
(yes, no)
>>> list(constants_of(compiler, formula).values())
[Decimal('1'), 'a', {'b': 3}]

Constants are evaluated, which takes time linear in their size. Nothing is compiled for them.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from solver.tasks.json_schema.formats import FormatAssertion
from solver.tasks.json_schema.formula import (
    KINDS,
    MAYBE,
    NO,
    YES,
    Constants,
    Formula,
    ItemSchemas,
    MemberSchemas,
    and_,
    kinds,
    leaf,
    of_kind,
    or_,
    rewrite,
)
from solver.tasks.languages import regex
from solver.tasks.languages.byte_automaton import grouped

if TYPE_CHECKING:
    from solver.tasks.json_schema.compiler import Compiler

LITERALS = {"null": None, "true": True, "false": False}
MAX_MULTIPLES = 256  # numbers that are listed
COMPARISONS = {">": Decimal.__gt__, ">=": Decimal.__ge__, "<": Decimal.__lt__, "<=": Decimal.__le__}


def exact_number(value: Any) -> Decimal:
    """The exact value of a JSON number."""
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def kind_of(value: Any) -> str:
    """The kind of a JSON value; see KINDS."""
    match value:
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
    return "number"


def value_key(value: Any) -> Hashable:
    """A key that two values share if they are equal in the sense of JSON Schema: 1 and 1.0 are."""
    match value:
        case None | bool():
            return ("literal", value)
        case str():
            return value
        case list():
            return ("list", *map(value_key, value))
        case dict():
            return frozenset((name, value_key(member)) for name, member in value.items())
    return exact_number(value)


def evaluate(compiler: Compiler, formula: Formula, value: Any) -> Formula:
    """YES or NO: whether a value satisfies a formula. MAYBE if only the validator can tell."""
    return evaluate_part(compiler, of_kind(formula, kind_of(value)), value)


def evaluate_part(compiler: Compiler, part: Formula, value: Any) -> Formula:
    """The same for a formula about values of its kind."""
    return rewrite(part, lambda assertion: _evaluate_leaf(compiler, assertion, value))


def _evaluate_leaf(compiler: Compiler, assertion: Formula, value: Any) -> Formula:
    match assertion.parts:
        case ("compare", _, _) | ("multiple", _) | ("among", _):
            return holds_for_number(assertion, exact_number(value))
        case ("text", term):
            return _verdict(regex.matches(term, value))
        case ("words", words):
            return _verdict(value in words)
        case ("source", *_):
            return YES
        case ("format", FormatAssertion() as named):
            return _verdict(named.accepts(value))
        case ("records" | "lists", Constants() as constants):
            return _verdict(value_key(value) in constants.by_key)
        case ("members", MemberSchemas() as members):
            demands = ((number, member) for name, member in value.items() for number in members.of_name(name))
            return and_(evaluate(compiler, compiler.formula(number), member) for number, member in demands)
        case ("required", name):
            return _verdict(name in value)
        case ("names", number):
            return and_(evaluate(compiler, compiler.formula(number), name) for name in value)
        case ("items", ItemSchemas() as items):
            demands = ((number, item) for index, item in enumerate(value) for number in items.demand(index))
            return and_(evaluate(compiler, compiler.formula(number), item) for number, item in demands)
        case ("count" | "length", minimum, maximum, count):
            return _in_range(minimum, maximum, count + len(value), count + len(value))
        case ("contains", number, minimum, maximum, count):
            verdicts = [evaluate(compiler, compiler.formula(number), item) for item in value]
            surely = count + verdicts.count(YES)
            return _in_range(minimum, maximum, surely, surely + verdicts.count(MAYBE))
        case ("unique", seen):
            keys = {*map(value_key, value)}
            return _verdict(len(keys) == len(value) and keys.isdisjoint(seen))
    raise AssertionError(f"an assertion of no kind of value: {assertion}")


def _verdict(holds: bool) -> Formula:
    return YES if holds else NO


def _in_range(minimum: int, maximum: int | None, least: int, most: int) -> Formula:
    """Whether a count between ``least`` and ``most`` is in a range."""
    if most < minimum or (maximum is not None and least > maximum):
        return NO
    return YES if least >= minimum and (maximum is None or most <= maximum) else MAYBE


def holds_for_number(assertion: Formula, number: Decimal) -> Formula:
    """YES or NO: whether a number satisfies an assertion about numbers."""
    match assertion.parts:
        case ("compare", operator, bound):
            return _verdict(COMPARISONS[operator](number, bound))
        case ("multiple", divisor):
            return _verdict(is_multiple(number, divisor))
    return _verdict(number in assertion.parts[1])


def is_multiple(number: Decimal, divisor: Decimal) -> bool:
    """Whether a number is a multiple of another, exactly, whatever the precision of the decimal context."""
    (over, under), (by, of) = number.as_integer_ratio(), divisor.as_integer_ratio()
    return over * of % (under * by) == 0


def constants_of(compiler: Compiler, formula: Formula) -> dict[Hashable, Any] | None:
    """The values that satisfy a formula, by their keys, if these are finitely many and can be listed.

    Numbers are Decimals. None if there may be other values, or if the validator has to decide on one of them.
    """
    constants: dict[Hashable, Any] = {}
    for kind in KINDS:
        part = of_kind(formula, kind)
        if kind in LITERALS and part is YES:
            constants[value_key(LITERALS[kind])] = LITERALS[kind]
        elif part is not NO:
            listed = constants_of_kind(compiler, part)
            if listed is None:
                return None
            constants |= listed
    return constants


def constants_of_kind(compiler: Compiler, part: Formula) -> dict[Hashable, Any] | None:
    """The same of a formula about numbers, strings, arrays or objects (:func:`~.formula.of_kind`)."""
    cached = compiler.constants
    if part not in cached:
        cached[part] = _listed(part) if part.op == "leaf" else _filtered(compiler, part, _listed(part))
    return cached[part]


def values_of(compiler: Compiler, formula: Formula) -> dict[Hashable, Any] | None:
    """The same, and the multiples of an integer within bounds if they are few."""
    part = of_kind(formula, "number")
    if part is NO or constants_of_kind(compiler, part) is not None:
        return constants_of(compiler, formula)
    others = constants_of(compiler, and_([formula, kinds(set(KINDS) - {"number"})]))
    numbers = few_multiples(compiler, part)
    return None if others is None or numbers is None else others | numbers


def few_multiples(compiler: Compiler, part: Formula) -> dict[Hashable, Any] | None:
    """The multiples of an integer within bounds that satisfy a formula about numbers, if they are few."""
    return _filtered(compiler, part, _multiples(part))


def _multiples(part: Formula) -> dict[Hashable, Any] | None:
    """Numbers among which are all those of a formula about numbers; None if they are not a few multiples."""
    conjuncts = [each.parts for each in part.parts if each.op == "leaf"] if part.op == "and" else []
    divisors = [Fraction(parts[1]) for parts in conjuncts if parts[0] == "multiple"]
    below, above = (
        [Fraction(parts[2]) for parts in conjuncts if parts[0] == "compare" and parts[1][0] == sign]
        for sign in "><"
    )
    if not (divisors and below and above):
        return None
    divisor = max(divisors)
    first, last = -(-max(below) // divisor), min(above) // divisor
    if divisor.denominator > 1 or last - first >= MAX_MULTIPLES:
        return None
    numbers = (Decimal(factor * divisor.numerator) for factor in range(first, last + 1))
    return {number: number for number in numbers}


def _filtered(
    compiler: Compiler, part: Formula, listed: dict[Hashable, Any] | None
) -> dict[Hashable, Any] | None:
    """Those of the values that satisfy ``part``; None if the validator has to decide on one of them."""
    if listed is None:
        return None
    verdicts = {key: evaluate_part(compiler, part, value) for key, value in listed.items()}
    if MAYBE in verdicts.values():
        return None
    return {key: value for key, value in listed.items() if verdicts[key] is YES}


def one_of(values: Iterable[Any]) -> Formula:
    """The assertion that the value equals one of these in the sense of JSON Schema."""
    by_kind = grouped((kind_of(value), value) for value in values)
    options = [kinds(kind for kind in by_kind if kind in LITERALS)]
    for kind, name in (("number", "among"), ("string", "words")):
        if kind in by_kind:
            members = leaf(name, frozenset(map(value_key, by_kind[kind])))
            options.append(and_([kinds([kind]), members]))
    for kind, name in (("array", "lists"), ("object", "records")):
        if kind in by_kind:
            constants = Constants({value_key(value): value for value in by_kind[kind]})
            options.append(and_([kinds([kind]), leaf(name, constants)]))
    return or_(options)


def spell_out(compiler: Compiler, formula: Formula) -> Formula:
    """Replace constants that are arrays or objects by assertions about their items and members."""
    structures = compiler.structures

    def replace(assertion: Formula) -> Formula:
        match assertion.parts:
            case ("records" | "lists", Constants() as constants):
                if constants not in structures:
                    values = constants.by_key.values()
                    structures[constants] = or_(_structure(compiler, value) for value in values)
                return structures[constants]
        return assertion

    return rewrite(formula, replace)


def _structure(compiler: Compiler, value: Any) -> Formula:
    if isinstance(value, list):
        items = ItemSchemas(tuple(map(compiler.constant, value)), None)
        return and_([leaf("items", items), leaf("length", len(value), len(value), 0)])
    named = {name: compiler.constant(member) for name, member in value.items()}
    members = leaf("members", MemberSchemas(named, (), compiler.no_value()))
    return and_([members, *(leaf("required", name) for name in value)])


def _listed(formula: Formula) -> dict[Hashable, Any] | None:
    """Values of one kind that include all those of a formula, or None if there is no such list."""
    match formula.op, formula.parts:
        case "leaf", ("among" | "words", values):
            return {value: value for value in sorted(values)}
        case "leaf", ("records" | "lists", Constants() as constants):
            return dict(constants.by_key)
        case "and", parts:
            lists = [listed for part in parts if (listed := _listed(part)) is not None]
            return min(lists, key=len, default=None)
        case (("or" | "one"), parts):
            merged: dict[Hashable, Any] = {}
            for part in parts:
                listed = _listed(part)
                if listed is None:
                    return None
                merged |= listed
            return merged
    return {} if formula is NO else None
