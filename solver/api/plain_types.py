"""Types of the standard library as JSON schemas, and the values of instances as objects of these types.

>>> from dataclasses import dataclass
>>> @dataclass
... class Point:
...     x: int
...     label: str | None = None
>>> point = PlainType(list[Point])
>>> point.schema["items"], sorted(point.schema["$defs"]["Point"]["properties"])
({'$ref': '#/$defs/Point'}, ['label', 'x'])
>>> point.read([{"x": 1}])
[Point(x=1, label=None)]
>>> point.read([{"x": "one"}])
Traceback (most recent call last):
    ...
solver.api.plain_types.RefusedValueError: /0/x: not an integer

Dataclasses, TypedDict, NamedTuple, Enum, Literal, unions, lists, dictionaries, tuples, sets, dates and times,
and what JSON has itself. No other package is needed. An object has no members beside those of its type.
"""

import enum
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from datetime import date, datetime, time
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from solver.tasks.json_schema.strings import json_text
from solver.tasks.task import Violation

Read = Callable[[Any], Any]
KEPT: dict[Any, tuple[str, tuple[type, ...], str]] = {  # schema type, classes of values, what a value is not
    str: ("string", (str,), "a string"),
    bool: ("boolean", (bool,), "a boolean"),
    int: ("integer", (int, float), "an integer"),
    float: ("number", (int, float), "a number"),
    Decimal: ("number", (int, float), "a number"),
    None: ("null", (types.NoneType,), "null"),
    types.NoneType: ("null", (types.NoneType,), "null"),
}
FORMATS: dict[Any, tuple[str, Read]] = {
    datetime: ("date-time", datetime.fromisoformat),
    date: ("date", date.fromisoformat),
    time: ("time", time.fromisoformat),
    UUID: ("uuid", UUID),
}
SEQUENCES = {list: list, Sequence: list, Iterable: list, set: set, frozenset: frozenset}


class UnknownTypeError(TypeError):
    """A type that this module has no schema for."""


class RefusedValueError(ValueError):
    """A JSON value that a type refuses.

    Attributes:
        violations: what is wrong, each with the JSON pointer of the part that it is about.
        is_own: whether the type's own code refused it (``__post_init__``), so that its shape is right.
    """

    def __init__(self, violations: Sequence[Violation], is_own: bool = False) -> None:
        super().__init__(
            "; ".join(f"{violation.path or ''}: {violation.message}" for violation in violations)
        )
        self.violations, self.is_own = tuple(violations), is_own


def refused(message: str, is_own: bool = False) -> RefusedValueError:
    return RefusedValueError([Violation(message, path="")], is_own)


def pointer_step(key: object) -> str:
    """A member's name or an item's number as a step of a JSON pointer.

    >>> pointer_step("a/b"), pointer_step(0)
    ('/a~1b', '/0')
    """
    return "/" + str(key).replace("~", "~0").replace("/", "~1")


def read_parts(readers: Iterable[tuple[Any, Read, Any]]) -> list[Any]:
    """Read parts, given as (name or number, reader, value), and report all of their violations."""
    results, violations, is_own = [], list[Violation](), True
    for key, read, value in readers:
        try:
            results.append(read(value))
        except RefusedValueError as error:
            step, is_own = pointer_step(key), is_own and error.is_own
            violations += [Violation(one.message, path=step + (one.path or "")) for one in error.violations]
    if violations:
        raise RefusedValueError(violations, is_own)
    return results


class PlainType:
    """The schema of a type and the reader of its values.

    Attributes:
        schema: the JSON schema.

    Raises:
        UnknownTypeError: the type, or one inside it, is none that this module knows.
    """

    def __init__(self, kind: Any) -> None:
        self._definitions: dict[str, Any] = {}
        self._readers: dict[Any, tuple[str, Read]] = {}  # of named types, which may refer to themselves
        root, self._read = self._convert(kind)
        self.schema: Any = {**root, "$defs": self._definitions} if self._definitions else root

    def read(self, value: Any) -> Any:
        """The typed value of a JSON value. Raises RefusedValueError."""
        return self._read(value)

    def _convert(self, kind: Any) -> tuple[dict[str, Any], Read]:
        """The schema of ``kind``, and its reader."""
        if kind is Any:
            return {}, lambda value: value
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin is not None:
            return self._convert_generic(kind, origin, arguments)
        if isinstance(kind, typing.NewType):
            return self._convert(kind.__supertype__)
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return convert_choices([(member, member.value) for member in kind])
        if kind is list or kind is dict:
            return self._convert(list[Any] if kind is list else dict[str, Any])
        if not isinstance(kind, type | None):
            raise UnknownTypeError(kind)
        if kind in KEPT:
            return {"type": KEPT[kind][0]}, partial(read_scalar, kind)
        if kind in FORMATS:
            return {"type": "string", "format": FORMATS[kind][0]}, partial(read_format, FORMATS[kind][1])
        if is_record(kind):
            return self._convert_named(kind)
        raise UnknownTypeError(kind)

    def _convert_generic(
        self, kind: Any, origin: Any, arguments: tuple[Any, ...]
    ) -> tuple[dict[str, Any], Read]:
        if origin is typing.Literal:
            options = [(option, getattr(option, "value", option)) for option in arguments]
            return convert_choices(options)
        if origin in (typing.Union, types.UnionType):
            schemas, readers = zip(*map(self._convert, arguments), strict=True)
            return {"anyOf": list(schemas)}, partial(read_union, readers)
        if origin in (typing.Required, typing.NotRequired):
            return self._convert(arguments[0])
        if origin in SEQUENCES:
            items, read = self._convert(arguments[0])
            is_set = {"uniqueItems": True} if origin in (set, frozenset) else {}
            return {"type": "array", "items": items, **is_set}, partial(read_items, SEQUENCES[origin], read)
        if origin is tuple and len(arguments) == 2 and arguments[1] is ...:
            items, read = self._convert(arguments[0])
            return {"type": "array", "items": items}, partial(read_items, tuple, read)
        if origin is tuple and arguments:
            schemas, readers = zip(*map(self._convert, arguments), strict=True)
            size = {"minItems": len(schemas), "maxItems": len(schemas)}
            return {"type": "array", "prefixItems": list(schemas), **size}, partial(read_tuple, readers)
        if origin in (dict, Mapping) and arguments[0] is str:
            values, read = self._convert(arguments[1])
            return {"type": "object", "additionalProperties": values}, partial(read_mapping, read)
        raise UnknownTypeError(kind)

    def _convert_named(self, kind: Any) -> tuple[dict[str, Any], Read]:
        """A type with members: a definition, because it may contain itself."""
        if kind not in self._readers:
            name = kind.__name__
            while name in self._definitions:
                name += "_"
            members = dict[str, tuple[Read, bool]]()
            self._definitions[name] = {}
            self._readers[kind] = name, partial(read_members, kind, members)
            hints = typing.get_type_hints(kind, include_extras=True)
            properties = dict[str, Any]()
            for member, is_required in members_of(kind):
                schema, read = self._convert(hints[member])
                properties[member], members[member] = schema, (read, is_required)
            required = [member for member, (_, is_required) in members.items() if is_required]
            self._definitions[name] |= {
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": False,
            }
        name, read = self._readers[kind]
        return {"$ref": f"#/$defs/{name}"}, read


def is_record(kind: Any) -> bool:
    """Whether a class is a dataclass, TypedDict or NamedTuple without settings of pydantic."""
    if any(name.startswith("__pydantic") for name in vars(kind)):
        return False
    if is_dataclass(kind):
        return not any(type(field.default).__module__.startswith("pydantic") for field in fields(kind))
    is_named_tuple = issubclass(kind, tuple) and hasattr(kind, "_field_defaults")
    return typing.is_typeddict(kind) or is_named_tuple


def members_of(kind: Any) -> list[tuple[str, bool]]:
    """The names of a type's members, and whether each is required."""
    if is_dataclass(kind):
        return [
            (field.name, field.default is MISSING and field.default_factory is MISSING)
            for field in fields(kind)
            if field.init
        ]
    if typing.is_typeddict(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        # __required_keys__ does not know of annotations that are strings
        marked = {typing.Required: True, typing.NotRequired: False}
        return [
            (name, marked.get(typing.get_origin(hint), name in kind.__required_keys__))
            for name, hint in hints.items()
        ]
    return [(name, name not in kind._field_defaults) for name in kind._fields]


def convert_choices(choices: Sequence[tuple[Any, Any]]) -> tuple[dict[str, Any], Read]:
    """The schema and the reader of a type that has a few values, given as (object, JSON value)."""
    try:
        by_text = {json_text(value): option for option, value in choices}
    except TypeError:
        raise UnknownTypeError(choices) from None

    def read_choice(value: Any) -> Any:
        try:
            return by_text[json_text(value)]
        except KeyError:
            raise refused("none of the values") from None

    return {"enum": [value for _, value in choices]}, read_choice


def read_scalar(kind: Any, value: Any) -> Any:
    """A value of what JSON has itself. 1.0 is an integer in JSON, and true is none."""
    _, classes, name = KEPT[kind]
    is_fraction = kind is int and isinstance(value, float) and not value.is_integer()
    if not isinstance(value, classes) or (isinstance(value, bool) and kind is not bool) or is_fraction:
        raise refused(f"not {name}")
    if isinstance(value, float) and not math.isfinite(value):
        raise refused(f"not {name}")
    if kind is Decimal:
        return Decimal(repr(value))
    return kind(value) if kind in (int, float) else value


def read_format(parse: Read, value: Any) -> Any:
    if not isinstance(value, str):
        raise refused("not a string")
    try:
        return parse(value)
    except ValueError as error:
        raise refused(str(error)) from None


def read_union(options: Sequence[Read], value: Any) -> Any:
    """The value as the first of several types that accepts it."""
    refusals = []
    for read in options:
        try:
            return read(value)
        except RefusedValueError as error:
            refusals.append(error)
    own = [error for error in refusals if error.is_own]
    raise own[0] if own else refusals[0] if len(refusals) == 1 else refused("none of the types")


def read_items(container: Read, read: Read, value: Any) -> Any:
    if not isinstance(value, list):
        raise refused("not an array")
    return container(read_parts((index, read, item) for index, item in enumerate(value)))


def read_tuple(readers: Sequence[Read], value: Any) -> Any:
    if not isinstance(value, list) or len(value) != len(readers):
        raise refused(f"not an array of {len(readers)} items")
    parts = zip(readers, value, strict=True)
    return tuple(read_parts((index, read, item) for index, (read, item) in enumerate(parts)))


def read_mapping(read: Read, value: Any) -> Any:
    if not isinstance(value, dict):
        raise refused("not an object")
    return dict(zip(value, read_parts((name, read, item) for name, item in value.items()), strict=True))


def read_members(kind: Any, members: Mapping[str, tuple[Read, bool]], value: Any) -> Any:
    """An object of a type with named members."""
    if not isinstance(value, dict):
        raise refused("not an object")
    missing = [name for name, (_, is_required) in members.items() if is_required and name not in value]
    if missing or not value.keys() <= members.keys():
        raise refused(f"not the members of {kind.__name__}")
    parts = read_parts((name, members[name][0], item) for name, item in value.items())
    arguments = dict(zip(value, parts, strict=True))
    if not is_dataclass(kind):
        return kind(**arguments)
    build: Any = kind
    try:
        return build(**arguments)
    except (ValueError, AssertionError) as error:  # of __post_init__, as pydantic reads them
        raise refused(str(error) or "the check failed", is_own=True) from error
