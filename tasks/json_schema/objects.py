"""The nodes of the grammar of a schema's values, and the order and the demands of member names.

>>> from solver.tasks.json_schema.formula import YES
>>> Value(YES) == Value(YES), AfterItem(YES, 0) == Item(YES, 0)
(True, False)
>>> from solver.tasks.json_schema.compiler import Compiler
>>> compiler = Compiler({"properties": {"b": True, "a": False}, "additionalProperties": {"type": "null"}})
>>> rules = MemberRules(compiler, max_bytes=64)
>>> plan = rules.plan(compiler.formula(compiler.root))
>>> plan.names
('b', 'a')
>>> [len(kind.demands) for kind in rules.name_classes(plan, compiler.formula(compiler.root))[1]]
[1]

A node is what remains to be written at one point of a text. Its ``formula`` is what still has to hold: of the
value, or of the rest of the array or object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Literal, NamedTuple

from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.formula import (
    MAX_UNDECIDED,
    MAYBE,
    NO,
    Demand,
    Demands,
    Formula,
    MemberSchemas,
    leaves,
    of_kind,
    rewrite,
)
from solver.tasks.json_schema.scalars import ALL_TEXT, json_string, string_term
from solver.tasks.json_schema.skeleton import NO_SKELETON, NameOrder, Skeleton
from solver.tasks.languages import regex


@dataclass(frozen=True, eq=False)
class ObjectPlan:
    """The member names that an object's formula mentions, in the order in which they are written."""

    names: tuple[str, ...]

    @cached_property
    def prefixes(self) -> tuple[bytes, ...]:
        """Each name as JSON, with the colon."""
        return tuple(json_string(name) + b":" for name in self.names)

    @cached_property
    def unknown(self) -> regex.Term:
        """All other names."""
        known = regex.or_(regex.anchored(regex.literal(name)) for name in self.names)
        return regex.and_((~known, ALL_TEXT))


class NameClass(NamedTuple):
    """Unknown names that the schema's patterns do not tell apart.

    Attributes:
        term: the names.
        demands: for each assertion about members or names, what it demands of such a member.
    """

    term: regex.Term
    demands: Demands


@dataclass(frozen=True)
class ValueNode:
    """A node at which nothing but a formula about one value is known."""

    formula: Formula


class Value(ValueNode):
    """A whole value."""


class Document(ValueNode):
    """A value with optional white space around it."""


@dataclass(frozen=True)
class DocumentEnd:
    """Optional white space after the value of a document."""


@dataclass(frozen=True)
class AfterSpace:
    """``node`` after white space, which may not be followed by more."""

    node: Node


@dataclass(frozen=True)
class StringRest:
    """The rest of a string after its opening quote, with the closing one."""

    term: regex.Term


class FirstItem(ValueNode):
    """After "[": an item or the end."""


class EmptyArray(ValueNode):
    """After "[" and white space: the end."""


@dataclass(frozen=True)
class ArrayNode:
    """A node inside an array. Items that no schema tells apart share their ``index``."""

    formula: Formula
    index: int


class Item(ArrayNode):
    """An item."""


class AfterItem(ArrayNode):
    """After an item, with the ``index`` of the next one: a comma or the end."""


@dataclass(frozen=True)
class ObjectNode:
    """A node inside an object. ``index`` counts the names of its plan; their number means an unknown name."""

    plan: ObjectPlan
    formula: Formula
    index: int


class FirstMember(ObjectNode):
    """After "{": a member or the end."""


class Member(ObjectNode):
    """A member with the plan's name ``index`` or a later one."""


class SpacedMember(ObjectNode):
    """A member after a comma, with optional white space before it."""


class KnownColon(ObjectNode):
    """After the plan's name ``index``: colon and value, with optional white space before the colon."""


class AfterMember(ObjectNode):
    """After a member, with the ``index`` of the next possible name: a comma or the end."""


@dataclass(frozen=True)
class UnknownName:
    """The rest of an unknown name after its opening quote, with the closing one."""

    plan: ObjectPlan
    formula: Formula
    names: NameClass


@dataclass(frozen=True)
class UnknownColon:
    """After an unknown name: colon and value, with optional white space before the colon."""

    plan: ObjectPlan
    formula: Formula
    demands: Demands


Node = ValueNode | DocumentEnd | AfterSpace | StringRest | ArrayNode | ObjectNode | UnknownName | UnknownColon


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

    @property
    def has_order(self) -> bool:
        """Whether any object may have several known members, which the grammar writes in one order only."""
        return any(len(plan.names) > 1 for plan in self._plans.values())

    def plan(self, formula: Formula, order: NameOrder | None = None) -> ObjectPlan:
        """Order the names that a formula about objects mentions, by one of the skeleton's orders."""
        order = order or self.skeleton.orders[0]
        plan = self._plans.get((formula, order))
        if plan is None:
            plan = self._plans[formula, order] = ObjectPlan(tuple(self._ordered_names(formula, order)))
        return plan

    def plans(self, formula: Formula) -> dict[ObjectPlan, int]:
        """The plan for each of the skeleton's orders, with the template positions where objects have it."""
        plans: dict[tuple[str, ...], tuple[ObjectPlan, int]] = {}
        for order in self.skeleton.orders:
            plan = self.plan(formula, order)
            first, where = plans.get(plan.names, (plan, 0))
            plans[plan.names] = first, where | order.where
        return dict(plans.values())

    def _ordered_names(self, formula: Formula, order: NameOrder) -> list[str]:
        assertions = leaves(formula)
        orders = [list(leaf.parts[1].named) for leaf in assertions if leaf.parts[0] == "members"]
        named = {name for order in orders for name in order}
        required = [leaf.parts[1] for leaf in assertions if leaf.parts[0] == "required"]
        orders += [[name] for name in required if name not in named]
        first = order.placed(named.union(required))
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
        return string_term(of_kind(self.compiler.formula(number), "string"), self.max_bytes)


def _refuses_name(formula: Formula, demands: Mapping[Formula, Demand]) -> bool:
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
