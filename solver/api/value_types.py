"""What ``solver.fill`` accepts as a schema: a JSON schema, or a type, whose objects are the values.

>>> kind = ValueType.of(list[int])
>>> kind.schema, kind.read([1, 2.0])
({'type': 'array', 'items': {'type': 'integer'}}, [1, 2])
>>> ValueType.of({"type": "integer"}).read("any JSON value")
'any JSON value'

Types of the standard library are read by plain_types.py. All others, above all models and constraints, are
left to pydantic, an optional package. Validators of a type run as a check: each error blames the part of the text
that its ``loc`` names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from solver.api.plain_types import PlainType, RefusedValueError, UnknownTypeError, pointer_step
from solver.tasks.arguments import Check, run_check
from solver.tasks.errors import InvalidArgument
from solver.tasks.json_schema.strings import json_text
from solver.tasks.task import Violation


@dataclass(frozen=True)
class ValueType:
    """A schema, and how its instances become objects.

    Attributes:
        schema: the JSON schema.
        read: the object of a JSON value. Raises RefusedValueError.
        is_typed: whether objects are not the JSON values themselves.
    """

    schema: Any
    read: Callable[[Any], Any]
    is_typed: bool = True

    @staticmethod
    def of(schema: Any) -> ValueType:
        """A JSON schema, a type, or what has a ``model_json_schema`` of its own but is no pydantic model.

        Raises InvalidArgument for anything else.
        """
        if isinstance(schema, dict | bool):
            return ValueType(schema, lambda value: value, is_typed=False)
        if isinstance(schema, str):  # not the name of a type
            raise InvalidArgument("schema must be a JSON schema or a type, not str")
        if hasattr(schema, "model_json_schema") and not hasattr(schema, "model_validate"):
            return ValueType(schema.model_json_schema(), lambda value: value, is_typed=False)
        try:
            plain = PlainType(schema)
        except UnknownTypeError:
            return pydantic_type(schema)
        except (TypeError, NameError) as error:  # annotations that cannot be evaluated
            raise InvalidArgument(f"schema cannot be read as a type: {one_line(error)}") from None
        return ValueType(plain.schema, plain.read)

    def check(self, check: Check[Any] | None) -> Check[Any] | None:
        """A check of JSON values: that the type accepts them, and the user's check of the object."""
        if not self.is_typed:
            return check

        def accepts(value: Any) -> Sequence[Violation]:
            try:
                typed = self.read(value)
            except RefusedValueError as error:
                return error.violations
            return run_check(check, typed)

        return accepts


def pydantic_type(kind: Any) -> ValueType:
    """A type that pydantic knows. Raises InvalidArgument if it does not, or is not installed."""
    try:
        from pydantic import TypeAdapter, ValidationError
        from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
        from pydantic.json_schema import GenerateJsonSchema
    except ImportError:
        name = getattr(kind, "__name__", repr(kind))
        hint = "a JSON schema or a plain type, or else pip install 'remask[pydantic]'"
        raise InvalidArgument(f"schema must be {hint}, not {name}") from None

    class ClosedSchema(GenerateJsonSchema):
        """No members beside those of a model, unless it asks for them."""

        def model_schema(self, schema: Any) -> dict[str, Any]:
            return closed(super().model_schema(schema))

        def dataclass_schema(self, schema: Any) -> dict[str, Any]:
            return closed(super().dataclass_schema(schema))

        def typed_dict_schema(self, schema: Any) -> dict[str, Any]:
            return closed(super().typed_dict_schema(schema))

    try:
        adapter = TypeAdapter(kind)
        schema = adapter.json_schema(schema_generator=ClosedSchema)
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        message = "schema must be a JSON schema or a type"
        raise InvalidArgument(f"{message}: {one_line(error)}") from None

    def read(value: Any) -> Any:
        try:
            return adapter.validate_json(json_text(value))
        except ValidationError as error:
            errors = error.errors(include_url=False, include_context=False, include_input=False)
            raise RefusedValueError(violations_of(errors, value)) from None

    return ValueType(schema, read)


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    return {"additionalProperties": False, **schema} if "properties" in schema else schema


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def violations_of(errors: Iterable[Any], instance: Any) -> list[Violation]:
    """The errors of a pydantic model as violations with JSON pointers.

    The schema has seen to what pydantic checks itself. So where validators of the user refuse a value, the
    errors of the other members of a union say nothing.
    """
    listed = list(errors)
    own = [error for error in listed if is_users(error["type"])]
    return [Violation(error["msg"], path=pointer_of(error["loc"], instance)) for error in own or listed]


def is_users(kind: str) -> bool:
    """Whether an error of this type comes from a validator of the user."""
    from pydantic_core.core_schema import ErrorType

    return kind in ("value_error", "assertion_error") or kind not in get_args(ErrorType)


def pointer_of(loc: Sequence[int | str], instance: Any) -> str:
    """The JSON pointer of an error's ``loc``, which also names members of unions and absent members.

    >>> pointer_of(("pets", 0, "function-after[check(), Dog]", "name"), {"pets": [{"name": "Rex"}]})
    '/pets/0/name'
    """
    pointer = ""
    for step in loc:
        is_member = isinstance(instance, dict) and step in instance
        is_item = isinstance(instance, list) and isinstance(step, int) and step < len(instance)
        if is_member or is_item:
            instance = instance[step]
            pointer += pointer_step(step)
    return pointer
