"""The next element of an array or object: which values it may have, and what then remains to hold.

>>> from solver.tasks.json_schema.compiler import Compiler
>>> from solver.tasks.json_schema.formula import item_demand
>>> tools = [{"prefixItems": [{"const": name}], "maxItems": 2} for name in ("left", "right", "stop")]
>>> compiler = Compiler({"type": "array", "anyOf": tools})
>>> rest = of_kind(compiler.formula(compiler.root), "array")
>>> [value for value, after in value_choices(compiler, rest, lambda leaf: item_demand(0, leaf))][:1]
[and(leaf('kinds', frozenset({'string'})), leaf('words', frozenset({'left'})))]

A residual formula demands that the element satisfies subschemas, or does not. The values are divided into
classes that lead to the same residual formula. Constants come first: where a subschema has finitely many
values (the tag of a tagged union), each of them is looked up in all subschemas, so that n tags make n + 1
classes. The other subschemas are decided one after the other, and a verdict that no value can have is not
followed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from itertools import accumulate
from math import comb
from typing import TYPE_CHECKING, Any

from solver.tasks.json_schema.constants import constants_of, constants_of_kind, evaluate, one_of, values_of
from solver.tasks.json_schema.formula import (
    KINDS,
    MAYBE,
    NO,
    YES,
    Demand,
    Formula,
    advance_leaf,
    and_,
    leaf,
    leaves,
    not_,
    of_kind,
    or_,
    rewrite,
)
from solver.tasks.languages.byte_automaton import grouped

if TYPE_CHECKING:
    from solver.tasks.json_schema.compiler import Compiler

MAX_CLASSES = 64  # of values that are no constants; with more, the validator decides
MAX_NODES = 512  # verdicts that are followed for one element
MAX_SUBSETS = 1 << 10  # of the constants that an array has used, for uniqueItems
MAX_NESTING = 3  # objects in objects in which contradictions are searched for
Verdicts = Mapping[Formula, bool]
Tables = Mapping[Formula, Mapping[Hashable, Any]]  # constants by subformula
Classes = list[tuple[Formula, Formula]]  # (what holds of the value, residual formula)


def value_choices(compiler: Compiler, formula: Formula, demand_of: Callable[[Formula], Demand]) -> Classes:
    """List the ways in which the next element can be chosen.

    Args:
        compiler: has the formulas of the subschemas.
        formula: what remains to hold of the array or object.
        demand_of: what each leaf demands of the element.

    Returns:
        Pairs of what the element's value has to satisfy and the residual formula. The values of two pairs
        exclude each other.
    """
    choice = _Choice(compiler, formula, demand_of)
    required = choice.required()
    base = and_(required)
    if base is NO:
        return []
    conditions: dict[Formula, list[Formula]] = {}
    for condition, after in choice.classes(base, dict.fromkeys(required, True)):
        conditions.setdefault(after, []).append(condition)
    pairs = [(or_(parts), after) for after, parts in conditions.items() if after is not NO]
    return [(value, after) for value, after in pairs if value is not NO]


class _Choice:
    """The choice of one element.

    Attributes:
        demands: what each leaf demands of the element.
        subformulas: the formulas of the subschemas among them.
        is_distinct: whether the element has to differ from the others, as far as known.
    """

    def __init__(self, compiler: Compiler, formula: Formula, demand_of: Callable[[Formula], Demand]) -> None:
        self.compiler, self.formula = compiler, formula
        self.demands = {assertion: demand_of(assertion) for assertion in leaves(formula)}
        self.subformulas = {
            assertion: tuple(map(compiler.formula, demand)) if isinstance(demand, tuple) else ()
            for assertion, demand in self.demands.items()
        }
        self.is_distinct = any(part.parts[0] == "unique" for part in self.demands)

    def required(self) -> list[Formula]:
        """The subformulas that each value of the element satisfies."""
        parts = self.formula.parts if self.formula.op == "and" else (self.formula,)
        certain = (part for part in parts if part.op == "leaf" and part.parts[0] in ("members", "items"))
        return list(dict.fromkeys(sub for part in certain for sub in self.subformulas[part]))

    def classes(self, base: Formula, verdicts: Verdicts) -> Classes:
        """Divide the values that satisfy ``base``: (condition, residual formula) of each class."""
        formula = rewrite(self.formula, lambda part: self._advance(part, verdicts))
        undecided = self._undecided(formula, verdicts)
        if not undecided and not self.is_distinct:
            return [(base, formula)]
        tables = {sub: table for sub in undecided if (table := constants_of(self.compiler, sub)) is not None}
        listed = constants_of(self.compiler, base) if tables else None
        if self.is_distinct:
            listed = values_of(self.compiler, base)
        if self.is_distinct and (listed is None or not self._can_count(len(listed))):
            self.compiler.decline("uniqueItems", "array")
            formula = rewrite(formula, leave_distinct)
            self.is_distinct, listed = False, constants_of(self.compiler, base)
            undecided = self._undecided(formula, verdicts)
        if listed is not None:
            return self._constant_classes(formula, verdicts, listed, tables)
        if not tables:
            return self._split(base, formula, verdicts)
        # The constants of all tables, and one class for all other values.
        values = {key: value for table in tables.values() for key, value in table.items()}
        allowed = {
            key: value for key, value in values.items() if evaluate(self.compiler, base, value) is not NO
        }
        classes = self._constant_classes(formula, verdicts, allowed, tables)
        guarded = [(and_([base, condition]), after) for condition, after in classes]
        others = and_([base, not_(self._equals(values, values, tables))])
        verdicts = {**verdicts, **dict.fromkeys(tables, False)}
        return [*guarded, *self._split(others, self._decide(formula, verdicts), verdicts)]

    def _advance(self, assertion: Formula, verdicts: Verdicts, key: Hashable = None) -> Formula:
        """Advance a leaf if the verdicts on its demands are known, else return it as the leaf "pending"."""
        name = assertion.parts[0]
        if name == "unique":
            if key is None:
                return leaf("pending", assertion)
            return NO if key in assertion.parts[1] else leaf("unique", assertion.parts[1] | {key})
        demand, is_open = self.demands[assertion], False
        for sub in self.subformulas[assertion]:
            verdict = sub is YES if sub in (YES, NO) else verdicts.get(sub)
            if verdict is False:
                return advance_leaf(assertion, demand, verdict=False)
            is_open = is_open or verdict is None
        return leaf("pending", assertion) if is_open else advance_leaf(assertion, demand)

    def _decide(self, formula: Formula, verdicts: Verdicts, key: Hashable = None) -> Formula:
        """Advance those pending leaves whose verdicts are known now."""

        def advance(part: Formula) -> Formula:
            return self._advance(part.parts[1], verdicts, key) if part.parts[0] == "pending" else part

        return rewrite(formula, advance)

    def _undecided(self, formula: Formula, verdicts: Verdicts) -> list[Formula]:
        """The subformulas for which pending leaves wait."""
        waiting = (part.parts[1] for part in leaves(formula) if part.parts[0] == "pending")
        subformulas = (sub for assertion in waiting for sub in self.subformulas[assertion])
        return [sub for sub in dict.fromkeys(subformulas) if sub not in verdicts and sub not in (YES, NO)]

    def _can_count(self, constants: int) -> bool:
        """Whether the sets of constants that an array has used are few enough for an automaton."""
        most = min([constants, *(part.parts[2] for part in self._lengths() if part.parts[2] is not None)])
        numbers = accumulate(comb(constants, used) for used in range(most + 1))
        return all(number <= MAX_SUBSETS for number in numbers)  # ends at the first that is too large

    def _lengths(self) -> list[Formula]:
        parts = self.formula.parts if self.formula.op == "and" else (self.formula,)
        return [part for part in parts if part.op == "leaf" and part.parts[0] == "length"]

    def _constant_classes(
        self, formula: Formula, verdicts: Verdicts, values: Mapping[Hashable, Any], tables: Tables
    ) -> Classes:
        """Divide constants by what the subformulas say of them."""
        owners: dict[Hashable, list[Formula]] = {key: [] for key in values}
        for sub, table in tables.items():
            for key in table.keys() & owners.keys():
                owners[key].append(sub)
        rest = [sub for sub in self._undecided(formula, verdicts) if sub not in tables]
        by_verdicts = grouped(
            ((frozenset(owners[key]), tuple(evaluate(self.compiler, sub, value) for sub in rest)), key)
            for key, value in values.items()
        )
        classes: Classes = []
        by_residual: dict[Formula, list[Hashable]] = {}
        for (true, results), keys in by_verdicts.items():
            decided = {sub: it is YES for sub, it in zip(rest, results, strict=True) if it is not MAYBE}
            known = {**verdicts, **dict.fromkeys(tables, False), **dict.fromkeys(true, True), **decided}
            for group in [[key] for key in keys] if self.is_distinct else [keys]:
                after = self._decide(formula, known, group[0] if self.is_distinct else None)
                if len(decided) == len(rest):
                    by_residual.setdefault(after, []).extend(group)
                else:
                    classes += self._split(self._equals(group, values, tables), after, known)
        for after, keys in by_residual.items():
            if after is not NO:
                classes.append((self._equals(keys, values, tables), after))
        return classes

    def _equals(self, keys: Collection[Hashable], values: Mapping[Hashable, Any], tables: Tables) -> Formula:
        """The values with these keys: a subformula that has just these, or a new formula."""
        wanted = frozenset(keys)
        for sub, table in tables.items():
            if len(table) == len(wanted) and table.keys() == wanted:
                return sub
        return one_of([values[key] for key in keys])

    def _split(self, base: Formula, residual: Formula, known: Verdicts) -> Classes:
        """Decide the subformulas one after the other, for values that are not known one by one."""
        classes: Classes = []
        stack = [(base, residual, known)]
        for _ in range(MAX_NODES):
            if not stack or len(classes) > MAX_CLASSES:
                break
            condition, formula, verdicts = stack.pop()
            undecided = self._undecided(formula, verdicts)
            if formula is NO:
                continue
            if not undecided:
                classes.append((condition, formula))
                continue
            sub, *others = undecided
            false = {**verdicts, sub: False}
            without = self._decide(formula, false)
            positive, negative = and_([condition, sub]), and_([condition, not_(sub)])
            if is_impossible(self.compiler, positive):
                stack.append((condition, without, false))
                continue
            excluded = [it for it in others if is_impossible(self.compiler, and_([positive, it]))]
            true = {**verdicts, sub: True, **dict.fromkeys(excluded, False)}
            within = self._decide(formula, true)
            if within is without:  # the verdict does not matter
                stack.append((condition, without, false))
                continue
            if not is_impossible(self.compiler, negative):
                stack.append((negative, without, false))
            stack.append((positive, within, true))
        if not stack and len(classes) <= MAX_CLASSES:
            return classes
        self.compiler.decline("alternatives")
        return [(base, rewrite(residual, lambda part: MAYBE if part.parts[0] == "pending" else part))]


def leave_distinct(assertion: Formula) -> Formula:
    """MAYBE for the assertion that the items differ, which waits for the next item."""
    pending = assertion.parts[1] if assertion.parts[0] == "pending" else assertion
    return MAYBE if pending.parts[0] == "unique" else assertion


def without_crowded(compiler: Compiler, formula: Formula) -> Formula:
    """A formula about arrays without the alternatives that need more distinct items than there are values."""
    if formula.op == "or":
        return or_(without_crowded(compiler, part) for part in formula.parts)
    return NO if is_crowded(compiler, formula) else formula


def is_crowded(compiler: Compiler, formula: Formula) -> bool:
    """Whether an array needs more distinct items than there are values for those that have few."""
    conjuncts = [part.parts for part in formula.parts if part.op == "leaf"] if formula.op == "and" else []
    items = [parts[1] for parts in conjuncts if parts[0] == "items"]
    fewest = max((parts[1] for parts in conjuncts if parts[0] == "length"), default=0)
    if not (items and fewest and any(parts[0] == "unique" for parts in conjuncts)):
        return False
    listed = min(fewest, max(len(each.first) for each in items))
    number_of, values = 0, set[Hashable]()
    for index in range(listed + 1):
        demanded = and_(compiler.formula(number) for each in items for number in each.demand(index))
        possible = values_of(compiler, demanded)
        if possible is not None and len(possible) < fewest:
            number_of += 1 if index < listed else fewest - listed
            values |= possible.keys()
    return len(values) < number_of


def is_impossible(compiler: Compiler, formula: Formula, nesting: int = MAX_NESTING) -> bool:
    """Whether a formula evidently has no value. A value of each kind is excluded by a contradiction
    between its conjuncts, or in a member or item that it must have.
    """
    return all(_contradicts(compiler, of_kind(formula, kind), nesting) for kind in KINDS)


def _contradicts(compiler: Compiler, part: Formula, nesting: int) -> bool:
    """Whether the conjuncts of a formula about values of one kind contradict each other."""
    if part.op != "and":
        return part is NO
    conjuncts = [assertion for assertion in part.parts if assertion.op == "leaf"]
    by_name = grouped((assertion.parts[0], assertion.parts[1]) for assertion in conjuncts)
    if by_name.keys() & {"words", "among", "records", "lists"}:
        return constants_of_kind(compiler, part) == {}
    members, items = by_name.get("members", ()), by_name.get("items", ())
    fewest = min(max(by_name.get("length", [0])), max((len(it.first) for it in items), default=0) + 1)
    demands = [
        [number for it in members for number in it.of_name(name)] for name in by_name.get("required", ())
    ]
    demands += [[number for it in items for number in it.demand(index)] for index in range(fewest)]
    return any(_conflict(compiler, tuple(numbers), nesting) for numbers in demands)


def _conflict(compiler: Compiler, numbers: tuple[int, ...], nesting: int) -> bool:
    """Whether subschemas evidently exclude each other."""
    value = and_(map(compiler.formula, numbers))
    return value is NO or (nesting > 0 and value.op == "and" and is_impossible(compiler, value, nesting - 1))
