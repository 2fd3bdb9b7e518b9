"""The members of objects: the order of their names, what is demanded of a name, and which names are left.

>>> from solver.tasks.json_schema.compiler import Compiler
>>> compiler = Compiler({"properties": {"b": True, "a": False}, "additionalProperties": {"type": "null"}})
>>> rules = MemberRules(compiler, max_bytes=64)
>>> plan = rules.plan(compiler.formula(compiler.root))
>>> plan.names
('b', 'a')
>>> [len(kind.demands) for kind in rules.name_classes(plan, compiler.formula(compiler.root))[1]]
[1]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.formula import (
    MAYBE,
    NO,
    YES,
    Demand,
    Formula,
    MemberSchemas,
    leaves,
    of_kind,
    rewrite,
)
from solver.tasks.json_schema.objects import NameClass, ObjectPlan
from solver.tasks.json_schema.skeleton import NO_SKELETON, NameOrder, Skeleton
from solver.tasks.json_schema.strings import string_term
from solver.tasks.languages import regex
from solver.tasks.languages.byte_automaton import grouped
from solver.tasks.languages.match_sets import match_sets

UnplacedNames = Literal["among", "before", "after"]


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
        self._shorter_plans: dict[tuple[tuple[str, ...], frozenset[str], frozenset[str]], ObjectPlan] = {}

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
        orders = [names_in(leaf) for leaf in assertions if leaf.parts[0] == "members"]
        named = {name for names in orders for name in names}
        required = [name for leaf in assertions if leaf.parts[0] == "required" for name in names_in(leaf)]
        orders += [[name] for name in required if name not in named]
        first = order.placed(named.union(required))
        if self.unplaced == "among":
            names = merge_orders([first, *orders])
        else:
            others = [name for name in merge_orders(orders) if name not in first]
            names = [*others, *first] if self.unplaced == "before" else [*first, *others]
        return ObjectPlan(tuple(names), placed=frozenset(first))

    def remaining(self, plan: ObjectPlan, formula: Formula, index: int) -> tuple[ObjectPlan, Formula, int]:
        """Drop from an object's plan and formula what no longer matters before the plan's name ``index``.

        Where an alternative is excluded, the names that only it mentions become unknown names. An assertion
        about names whose turn is over holds. So the number of different rests stays small.
        """
        if formula.op == "leaf" or (formula.op == "and" and all(part.op == "leaf" for part in formula.parts)):
            return plan, formula, index
        following = plan.names[index:]
        open_names = frozenset(following)

        def settle(assertion: Formula) -> Formula:
            match assertion.parts:
                case ("members", MemberSchemas(named, (), None)) if open_names.isdisjoint(named):
                    return YES
            return assertion

        formula = rewrite(formula, settle)
        mentioned = {name for assertion in leaves(formula) for name in names_in(assertion)}
        names = tuple(name for name in following if name in mentioned or name in plan.placed)
        if len(names) == len(following):
            return plan, formula, index
        key = names, plan.passed.union(plan.names[:index]), plan.placed
        return self._shorter_plans.setdefault(key, ObjectPlan(*key)), formula, 0

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

    def name_classes(self, plan: ObjectPlan, formula: Formula) -> tuple[Formula, list[NameClass]]:
        """Divide the unknown names by the patterns of the schema that they match.

        Returns:
            The formula and the classes. With too many patterns there is one class, and the leaves about names
            are MAYBE in the formula.
        """
        assertions = [leaf for leaf in leaves(formula) if leaf.parts[0] in ("members", "names")]
        terms = list(dict.fromkeys(term for leaf in assertions for term, _ in self._patterns(leaf)))
        sets = match_sets(terms)
        if sets is None:
            self.compiler.decline("patternProperties", "object")
            formula = rewrite(formula, lambda leaf: MAYBE if leaf.parts[0] in ("members", "names") else leaf)
            return formula, [NameClass(plan.unknown, ())] if formula is not NO else []
        classes = []
        for matched in sets:
            demands = tuple((leaf, self._class_demand(leaf, terms, matched)) for leaf in assertions)
            if self._allows(formula, dict(demands)):
                # Only patterns that can match together with these have to be excluded.
                rivals = sorted({number for other in sets if other > matched for number in other - matched})
                excluded = (~terms[number] for number in rivals)
                required = (terms[number] for number in sorted(matched))
                classes.append(NameClass(regex.and_([plan.unknown, *required, *excluded]), demands))
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

        def advance(leaf: Formula) -> Formula:
            demand = demands.get(leaf)
            if isinstance(demand, tuple):
                return NO if NO in map(self.compiler.formula, demand) else leaf
            return NO if demand is False else leaf

        return rewrite(formula, advance) is not NO

    def _name_terms(self, number: int) -> tuple[regex.Term, regex.Term]:
        """The names that may satisfy a schema, and those that certainly do."""
        formula = of_kind(self.compiler.formula(number), "string")
        return string_term(formula, self.max_bytes), string_term(formula, self.max_bytes, maybe=False)


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
