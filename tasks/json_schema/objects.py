"""Member names: the order in which they are written, and what a schema demands of members by name.

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

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Literal

from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.formula import MAYBE, NO, Formula, MemberSchemas, leaves, of_kind, rewrite
from solver.tasks.json_schema.nodes import NameClass, ObjectPlan
from solver.tasks.json_schema.residual import MAX_UNDECIDED, Demand
from solver.tasks.json_schema.strings import string_term
from solver.tasks.languages import regex

UnplacedNames = Literal["among", "before", "after"]


class MemberRules:
    """How the objects of one schema are written.

    Args:
        compiler: has the schema's formulas.
        max_bytes: longest text of interest.
        first: names that are written in this order.
        unplaced: where all other names of the schema go: among them where the schema has them, "before" or
            "after".
    """

    def __init__(
        self,
        compiler: Compiler,
        max_bytes: int,
        first: Sequence[str] = (),
        unplaced: UnplacedNames = "among",
    ) -> None:
        self.compiler, self.max_bytes = compiler, max_bytes
        self.first, self.unplaced = tuple(first), unplaced
        self._plans: dict[Formula, ObjectPlan] = {}

    @property
    def has_order(self) -> bool:
        """Whether any object may have several known members, which the grammar writes in one order only."""
        return any(len(plan.names) > 1 for plan in self._plans.values())

    def plan(self, formula: Formula) -> ObjectPlan:
        """Order the names that a formula about objects mentions."""
        plan = self._plans.get(formula)
        if plan is None:
            plan = self._plans[formula] = ObjectPlan(tuple(self._ordered_names(formula)))
        return plan

    def _ordered_names(self, formula: Formula) -> list[str]:
        assertions = leaves(formula)
        orders = [list(leaf.parts[1].named) for leaf in assertions if leaf.parts[0] == "members"]
        named = {name for order in orders for name in order}
        required = [leaf.parts[1] for leaf in assertions if leaf.parts[0] == "required"]
        orders += [[name] for name in required if name not in named]
        first = [name for name in self.first if name in named.union(required)]
        if self.unplaced == "among":
            return merge_orders([first, *orders])
        unplaced = [name for name in merge_orders(orders) if name not in first]
        return [*unplaced, *first] if self.unplaced == "before" else [*first, *unplaced]

    def demand(self, name: str, assertion: Formula) -> Demand:
        """Return what a leaf about objects demands of a member with this name."""
        match assertion.parts:
            case ("members", MemberSchemas() as members):
                numbers = [members.named[name]] if name in members.named else []
                numbers += [number for term, number in members.patterns if regex.matches(term, name)]
                return members.demand(numbers)
            case ("names", number):
                return regex.matches(self._name_term(number), name)
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
        terms = list(dict.fromkeys(term for leaf in assertions for term in self._patterns(leaf)))
        if len(terms) > MAX_UNDECIDED:
            self.compiler.decline("patternProperties", "object")
            formula = rewrite(formula, lambda leaf: MAYBE if leaf.parts[0] in ("members", "names") else leaf)
            return formula, [NameClass(plan.unknown, ())] if formula is not NO else []
        classes = []
        for verdicts in product((True, False), repeat=len(terms)):
            matched = dict(zip(terms, verdicts, strict=True))
            term = regex.and_([plan.unknown, *(t if match else ~t for t, match in matched.items())])
            demands = {leaf: self._class_demand(leaf, matched) for leaf in assertions}
            if term is not regex.NEVER and not _refuses_name(formula, demands):
                classes.append(NameClass(term, tuple(demands.items())))
        return formula, classes

    def _patterns(self, assertion: Formula) -> Iterator[regex.Term]:
        match assertion.parts:
            case ("names", number):
                yield self._name_term(number)
            case (_, MemberSchemas() as members):
                yield from (term for term, _ in members.patterns)

    def _class_demand(self, assertion: Formula, matched: Mapping[regex.Term, bool]) -> Demand:
        match assertion.parts:
            case ("names", number):
                return matched[self._name_term(number)]
            case (_, MemberSchemas() as members):
                return members.demand([number for term, number in members.patterns if matched[term]])
        raise AssertionError("a leaf about names has two parts")

    def _name_term(self, number: int) -> regex.Term:
        """The names that satisfy a subschema."""
        return string_term(of_kind(self.compiler.formula(number), "string"), self.max_bytes)


def _refuses_name(formula: Formula, demands: Mapping[Formula, Demand]) -> bool:
    """Whether no member may have a name of which the leaves demand this."""
    return rewrite(formula, lambda leaf: NO if demands.get(leaf) is False else leaf) is NO


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
