"""Keywords of a schema that compile without their subschemas.

>>> compile_type({"type": ["null", "boolean"]})
leaf('kinds', frozenset({...}))
>>> split_constants([{"const": 1}, {"type": "string"}, {"enum": ["a", "b"]}], draft=2020)
([1, 'a', 'b'], [{'type': 'string'}])
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from solver.tasks.json_schema.constants import exact_number, value_key
from solver.tasks.json_schema.errors import SchemaError
from solver.tasks.json_schema.formula import NO, TYPES, YES, Formula, and_, kinds, leaf, or_

ANNOTATIONS = frozenset({"title", "description", "default", "examples", "deprecated", "$comment"})
Schema = dict[str, Any]


def split_constants(schemas: Iterable[Any], draft: int) -> tuple[list[Any], list[Any]]:
    """Split alternatives into the values of those that are constants, and the others."""
    constants: list[Any] = []
    others: list[Any] = []
    for schema in schemas:
        keywords = schema.keys() - ANNOTATIONS if isinstance(schema, dict) else ()
        if keywords == {"const"} and draft >= 6:
            constants.append(schema["const"])
        elif keywords == {"enum"}:
            constants += {value_key(value): value for value in schema["enum"]}.values()
        else:
            others.append(schema)
    return constants, others


def compile_type(schema: Schema) -> Formula:
    """Compile ``type``. An integer is a multiple of 1: 1.0 is one."""
    if "type" not in schema:
        return YES
    names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    for name in names:
        if name not in TYPES and name != "integer":
            raise SchemaError(f"there is no type {name!r}")
    simple = kinds(kind for name in names if name != "integer" for kind in TYPES[name])
    if "integer" in names and "number" not in names:
        return or_([and_([kinds(["number"]), leaf("multiple", Decimal(1))]), simple])
    return simple


def compile_numbers(schema: Schema, draft: int) -> Iterator[Formula]:
    """Compile bounds and ``multipleOf``. In draft 4 an exclusive bound is a flag beside the inclusive one."""
    for keyword, operator in (("minimum", ">"), ("maximum", "<")):
        exclusive = "exclusive" + keyword.capitalize()
        if keyword in schema:
            is_strict = draft == 4 and schema.get(exclusive) is True
            yield leaf("compare", operator if is_strict else operator + "=", exact_number(schema[keyword]))
        if draft > 4 and exclusive in schema:
            yield leaf("compare", operator, exact_number(schema[exclusive]))
    if "multipleOf" in schema:
        divisor = exact_number(schema["multipleOf"]).normalize()
        yield leaf("multiple", divisor) if divisor > 0 else NO


def compile_count(name: str, schema: Schema, minimum: str, maximum: str) -> Iterator[Formula]:
    """Compile a minimum and maximum number of items or members."""
    low, high = schema.get(minimum, 0), schema.get(maximum)
    if low or high is not None:
        yield leaf(name, int(low), None if high is None else int(high), 0)


def compile_source(schema: Schema) -> Iterator[Formula]:
    """Compile ``x-source``, which says whether the field is quoted from the text ("text") or "free"."""
    mode = schema.get("x-source")
    if mode is None:
        return
    if mode not in ("text", "free"):
        raise SchemaError(f'x-source is "text" or "free", not {mode!r}')
    yield from source_leaves(mode)


def source_leaves(mode: str) -> list[Formula]:
    """What a subschema says of the source of its strings and numbers."""
    return [leaf("source", kind, mode) for kind in ("string", "number")]


def parts_within(schema: Any) -> Iterator[Schema]:
    """All objects in a schema."""
    pending = [schema]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            yield part
            pending += part.values()
        elif isinstance(part, list):
            pending += part


def names_within(schema: Any) -> Iterator[str]:
    """The member names that a schema mentions in ``properties`` and ``required``."""
    for part in parts_within(schema):
        for names in (part.get("properties"), part.get("required")):
            if isinstance(names, (dict, list)):
                yield from (name for name in names if isinstance(name, str))


def source_modes(schema: Any) -> Iterator[str]:
    """The values of ``x-source`` in a schema."""
    return (part["x-source"] for part in parts_within(schema) if isinstance(part.get("x-source"), str))
