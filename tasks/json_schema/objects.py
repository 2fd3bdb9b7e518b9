"""The nodes of the grammar of a schema's values.

>>> from solver.tasks.json_schema.formula import YES
>>> Value(YES) == Value(YES), AfterItem(YES, 0) == Item(YES, 0)
(True, False)

A node is what remains to be written at one point of a text. Its ``formula`` is what still has to hold: of the
value, or of the rest of the array or object.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from solver.tasks.json_schema.formula import (
    Demands,
    Formula,
)
from solver.tasks.json_schema.strings import json_text
from solver.tasks.languages import regex
from solver.tasks.languages.byte_automaton import ByteAutomaton


@dataclass(frozen=True, eq=False)
class ObjectPlan:
    """The member names that an object's formula mentions, in the order in which they are written.

    Attributes:
        names: the names.
        passed: other names that may not follow, because their turn is over.
        placed: names whose place a template determines.
        common: names that all alternatives of the object mention.
        is_rest: whether this is the rest of a longer plan.
    """

    names: tuple[str, ...]
    passed: frozenset[str] = frozenset()
    placed: frozenset[str] = frozenset()
    common: frozenset[str] = frozenset()
    is_rest: bool = False

    @cached_property
    def prefixes(self) -> tuple[bytes, ...]:
        """Each name as JSON, with the colon."""
        return tuple(json_text(name) + b":" for name in self.names)

    @cached_property
    def known(self) -> frozenset[str]:
        """The names that no unknown name may equal."""
        return self.passed.union(self.names)


class NameClass(NamedTuple):
    """Unknown names that the schema's patterns do not tell apart.

    Attributes:
        term: the names, and names that are not unknown.
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


@dataclass(frozen=True)
class QuotedRest:
    """The rest of a string that is a quote of the text, after its opening quote, with the closing one."""

    texts: ByteAutomaton


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


Node = (
    ValueNode
    | DocumentEnd
    | AfterSpace
    | StringRest
    | QuotedRest
    | ArrayNode
    | ObjectNode
    | UnknownName
    | UnknownColon
)
