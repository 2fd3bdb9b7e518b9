"""The members of objects: the order of their names, what is demanded of a name, and which names are left.

>>> from solver.tasks.json_schema.compiler import Compiler
>>> compiler = Compiler({"properties": {"b": True, "a": False}, "additionalProperties": {"type": "null"}})
>>> rules = MemberRules(compiler, max_bytes=64)
>>> plan = rules.plan(compiler.formula(compiler.root))
>>> plan.names
('b', 'a')
>>> [len(kind.demands) for kind in rules.name_classes(compiler.formula(compiler.root))[1]]
[1]
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence, Set
from functools import partial
from typing import Any, Literal

from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.constants import constants_of, one_of
from solver.tasks.json_schema.formula import (
    MAYBE,
    NO,
    Demand,
    Formula,
    MemberSchemas,
    and_,
    leaf,
    leaves,
    not_,
    of_kind,
    rewrite,
    without_name,
)
from solver.tasks.json_schema.objects import NameClass, ObjectPlan
from solver.tasks.json_schema.skeleton import NO_SKELETON, NameOrder, Skeleton
from solver.tasks.json_schema.strings import ALL_TEXT, string_term
from solver.tasks.languages import regex
from solver.tasks.languages.byte_automaton import grouped
from solver.tasks.languages.finite import finite_strings
from solver.tasks.languages.match_sets import match_sets

UnplacedNames = Literal["among", "before", "after"]


MIN_CASES = 3  # alternatives for which a tag is looked for
MAX_FINITE_NAMES = 64  # that one class of unknown names may have to become known


class MemberRules:
    """How the objects of one schema are written.

    Args:
        compiler: has the schema's formulas.
        max_bytes: longest text of interest.
        skeleton: the literals of a template, which determine the order of their names.
        unplaced: where all other names of the schema go: among them where the schema has them, "before" or
            "after".
    """

    def __init__(
        self,
        compiler: Compiler,
        max_bytes: int,
        skeleton: Skeleton = NO_SKELETON,
        unplaced: UnplacedNames = "among",
    ) -> None:
        self.compiler, self.max_bytes = compiler, max_bytes
        self.skeleton, self.unplaced = skeleton, unplaced
        self._plans: dict[tuple[Formula, NameOrder], ObjectPlan] = {}
        self._rests: dict[Hashable, ObjectPlan] = {}

    @property
    def has_order(self) -> bool:
        """Whether any object may have several known members, which the grammar writes in one order only."""
        return any(len(plan.names) > 1 for plan in self._plans.values())

    def plan(self, formula: Formula, order: NameOrder | None = None) -> ObjectPlan:
        """Order the names that a formula about objects mentions, by one of the skeleton's orders."""
        order = order or self.skeleton.orders[0]
        plan = self._plans.get((formula, order))
        if plan is None:
            plan = self._plans[formula, order] = self._ordered(formula, order)
        return plan

    def plans(self, formula: Formula) -> dict[ObjectPlan, int]:
        """The plan for each of the skeleton's orders, with the template positions where objects have it."""
        plans: dict[tuple[str, ...], tuple[ObjectPlan, int]] = {}
        for order in self.skeleton.orders:
            plan = self.plan(formula, order)
            first, where = plans.get(plan.names, (plan, 0))
            plans[plan.names] = first, where | order.where
        return dict(plans.values())

    def _ordered(self, formula: Formula, order: NameOrder) -> ObjectPlan:
        assertions = leaves(formula)
        orders = [names_in(part) for part in assertions if part.parts[0] == "members"]
        named = {name for names in orders for name in names}
        required = [name for part in assertions if part.parts[0] == "required" for name in names_in(part)]
        orders += [[name] for name in required if name not in named]
        finite = self._finite_names(formula)
        orders += [[name] for name in finite if name not in named and name not in required]
        first = order.placed(named.union(required, finite))
        if self.unplaced == "among":
            names = merge_orders([first, *orders])
        else:
            others = [name for name in merge_orders(orders) if name not in first]
            names = [*others, *first] if self.unplaced == "before" else [*first, *others]
        mentioned = (frozenset(names_in(part)) for part in assertions if part.parts[0] == "members")
        common = frozenset(named).intersection(*mentioned)
        return ObjectPlan(tuple(names), placed=frozenset(first), common=common)

    def _finite_names(self, formula: Formula) -> list[str]:
        """The names that only patterns mention, if there are few: known names are never written twice."""
        if not is_conjunction(formula):
            return []
        _, classes = self.name_classes(formula)
        names = (finite_strings(kind.term, MAX_FINITE_NAMES) for kind in classes)
        return [name for strings in names for name in strings or ()]

    def cases(self, formula: Formula) -> list[Formula]:
        """Divide objects by the value of a tag, if alternatives differ in members that are written before it.

        A tag is a name for which the alternatives have constants. There is one case for all constants with
        the same alternatives, one for other values, and one for objects without the tag.
        """
        tag, tables = self._late_tag(formula)
        if tag is None:
            return [formula]
        owners = grouped((key, sub) for sub, table in tables.items() for key in table)
        values = {key: value for table in tables.values() for key, value in table.items()}
        by_owners = grouped((frozenset(subs), key) for key, subs in owners.items())
        classes = [(subs, one_of(values[key] for key in keys)) for subs, keys in by_owners.items()]
        classes.append((frozenset(), not_(one_of(values.values()))))
        cases = [
            and_(
                [
                    rewrite(formula, partial(self._exclude, tag, tables.keys() - subs)),
                    leaf("required", tag),
                    leaf("members", MemberSchemas({tag: self.compiler.number_of(value)}, (), None)),
                ]
            )
            for subs, value in classes
        ]
        absent = leaf("members", MemberSchemas({tag: self.compiler.no_value()}, (), None))
        cases.append(and_([without_name(formula, tag), absent]))
        return [case for case in cases if case is not NO]

    def _late_tag(self, formula: Formula) -> tuple[str | None, dict[Formula, dict[Hashable, Any]]]:
        """A tag that is written after members in which alternatives differ, with the constants of each."""
        if is_conjunction(formula):
            return None, {}
        assertions = [part for part in leaves(formula) if part.parts[0] == "members"]
        differs = False
        for name in self.plan(formula).names:
            numbers = (number for part in assertions for number in part.parts[1].of_name(name))
            demands = dict.fromkeys(map(self.compiler.formula, numbers))
            tables = {sub: table for sub in demands if (table := constants_of(self.compiler, sub))}
            if differs and len(tables) >= MIN_CASES:
                return name, tables
            differs = differs or len(demands) >= MIN_CASES > len(tables)
        return None, {}

    def _exclude(self, tag: str, excluded: Set[Formula], assertion: Formula) -> Formula:
        """An assertion in objects whose tag satisfies none of the ``excluded`` subformulas."""
        match assertion.parts:
            case ("members", MemberSchemas() as members):
                demands = map(self.compiler.formula, members.of_name(tag))
                return assertion if excluded.isdisjoint(demands) else NO
        return assertion

    def remaining(
        self, plan: ObjectPlan, formula: Formula, index: int, before: Formula | None = None
    ) -> tuple[ObjectPlan, Formula, int]:
        """Plan, formula and index of the rest of an object, without what no longer matters.

        Once an alternative is excluded, the names that only it mentions are unknown names. Assertions are
        about the names that may follow, so that equal rests of different alternatives are the same.

        Args:
            plan: the object's plan.
            formula: what remains to hold.
            index: of the plan's name that is next.
            before: what remained to hold before the name in front of it.
        """
        if not plan.is_rest and is_conjunction(formula):
            return plan, formula, index
        names = plan.names[index:]
        passed = plan.passed.union(plan.names[: max(0, index - 1)])
        if index and before is not None:
            name = plan.names[index - 1]
            # A name that cannot be left out need not be excluded for the sake of its value. If all
            # alternatives have it, it is excluded in order to keep names distinct.
            if name in plan.common or without_name(before, name) is not NO:
                passed |= {name}
        formula = rewrite(formula, partial(self._restrict, frozenset(names)))
        mentioned = {name for assertion in leaves(formula) for name in names_in(assertion)}
        kept = tuple(name for name in names if name in mentioned or name in plan.placed)
        return self._rest(kept, passed, plan), formula, 0

    def _rest(self, names: tuple[str, ...], passed: frozenset[str], plan: ObjectPlan) -> ObjectPlan:
        key = names, passed, plan.placed, plan.common
        if key not in self._rests:
            self._rests[key] = ObjectPlan(*key, is_rest=True)
        return self._rests[key]

    def _restrict(self, names: frozenset[str], assertion: Formula) -> Formula:
        """An assertion about members, for objects that have no further member with any other known name."""
        match assertion.parts:
            case ("members", MemberSchemas(named, patterns, rest)):
                following = {name: number for name, number in named.items() if name in names}
                return self.compiler.members(MemberSchemas(following, patterns, rest))
        return assertion

    def demand(self, name: str, assertion: Formula) -> Demand:
        """Return what a leaf about objects demands of a member with this name."""
        match assertion.parts:
            case ("members", MemberSchemas() as members):
                return members.of_name(name)
            case ("names", number):
                possible, certain = self._name_terms(number)
                return (
                    True if regex.matches(certain, name) else None if regex.matches(possible, name) else False
                )
            case ("required", required):
                return bool(required == name)
        return ()

    def name_classes(self, formula: Formula) -> tuple[Formula, list[NameClass]]:
        """Divide the unknown names by the patterns of the schema that they match.

        Returns:
            The formula and the classes. With too many patterns there is one class, and the leaves about names
            are MAYBE in the formula.
        """
        assertions = [part for part in leaves(formula) if part.parts[0] in ("members", "names")]
        terms = list(dict.fromkeys(term for part in assertions for term, _ in self._patterns(part)))
        sets = match_sets(terms)
        if sets is None:
            self.compiler.decline("patternProperties", "object")
            formula = rewrite(formula, lambda part: MAYBE if part.parts[0] in ("members", "names") else part)
            return formula, [NameClass(ALL_TEXT, ())] if formula is not NO else []
        classes = []
        for matched in sets:
            demands = tuple((part, self._class_demand(part, terms, matched)) for part in assertions)
            if self._allows(formula, dict(demands)):
                # Only patterns that can match together with these have to be excluded.
                rivals = sorted({number for other in sets if other > matched for number in other - matched})
                excluded = (~terms[number] for number in rivals)
                required = (terms[number] for number in sorted(matched))
                classes.append(NameClass(regex.and_([ALL_TEXT, *required, *excluded]), demands))
        return formula, classes

    def _patterns(self, assertion: Formula) -> list[tuple[regex.Term, int]]:
        """The patterns of names in a leaf. Those with equal subschemas are united."""
        match assertion.parts:
            case ("names", number):
                return [(term, number) for term in self._name_terms(number)]
            case (_, MemberSchemas() as members):
                by_formula = grouped(
                    (self.compiler.formula(number), (term, number)) for term, number in members.patterns
                )
                return [(regex.or_(term for term, _ in group), group[0][1]) for group in by_formula.values()]
        raise AssertionError("a leaf about names has two parts")

    def _class_demand(self, assertion: Formula, terms: list[regex.Term], matched: frozenset[int]) -> Demand:
        numbers = [number for term, number in self._patterns(assertion) if terms.index(term) in matched]
        match assertion.parts:
            case (_, MemberSchemas() as members):
                return members.demand(numbers)
        possible, certain = (terms.index(term) in matched for term, _ in self._patterns(assertion))
        return True if certain else None if possible else False

    def _allows(self, formula: Formula, demands: Mapping[Formula, Demand]) -> bool:
        """Whether a member that meets ``demands`` is possible, as far as is evident."""

        def advance(part: Formula) -> Formula:
            demand = demands.get(part)
            if isinstance(demand, tuple):
                return NO if NO in map(self.compiler.formula, demand) else part
            return NO if demand is False else part

        return rewrite(formula, advance) is not NO

    def _name_terms(self, number: int) -> tuple[regex.Term, regex.Term]:
        """The names that may satisfy a schema, and those that certainly do."""
        formula = of_kind(self.compiler.formula(number), "string")
        return string_term(formula, self.max_bytes), string_term(formula, self.max_bytes, maybe=False)


def is_conjunction(formula: Formula) -> bool:
    """Whether a formula is without alternatives."""
    parts = formula.parts if formula.op == "and" else (formula,)
    return all(part.op not in ("or", "one", "not", "and") for part in parts)


def names_in(assertion: Formula) -> list[str]:
    """The names that a leaf about objects mentions."""
    match assertion.parts:
        case ("members", MemberSchemas(named)):
            return list(named)
        case ("required", name):
            return [name]
    return []


def merge_orders(orders: Sequence[Sequence[str]]) -> list[str]:
    """Merge lists of names into one order that agrees with each of them, as far as there is one.

    >>> merge_orders([["a", "z"], ["b", "z"]])
    ['a', 'b', 'z']
    """
    predecessors: dict[str, set[str]] = {}
    for order in orders:
        for index, name in enumerate(order):
            predecessors.setdefault(name, set()).update(order[max(0, index - 1) : index])
    merged: list[str] = []
    while predecessors:
        free = (name for name, before in predecessors.items() if not before & predecessors.keys())
        name = next(
            free, next(iter(predecessors))
        )  # the lists contradict each other: the first name goes first
        del predecessors[name]
        merged.append(name)
    return merged
