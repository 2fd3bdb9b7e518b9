"""Fields of a schema as a reader asks for them: words of name, path and description, type, options.

>>> schema = {"properties": {"unitPrice": {"type": "number", "description": "net price of one piece"}}}
>>> query = FieldQuery.of(schema, "/unitPrice")
>>> query.kind, query.name, query.context
('number', ('unit', 'price'), ('net', 'price', 'of', 'one', 'piece'))
>>> [query.pointer for query in leaf_queries({"properties": {"a": {"properties": {"b": {}}}, "c": True}})]
['/a/b', '/c']

Only leaves are asked for: values that are neither objects nor arrays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from solver.models.reader_text import identifier_words

KINDS = (
    "string",
    "integer",
    "number",
    "boolean",
    "enum",
    "date",
    "time",
    "date-time",
    "email",
    "uri",
    "format",
)
MAX_OPTIONS = 24  # an enumeration of more values is read from the text
MAX_ITEMS = 16  # items of an array that are told apart
MAX_DEPTH = 12  # of references and objects
UNIONS = ("oneOf", "anyOf", "allOf")


@dataclass(frozen=True)
class FieldQuery:
    """What a reader looks for.

    Attributes:
        pointer: JSON pointer of the field.
        kind: one of KINDS.
        name: words of its name.
        path: words of the names above it.
        context: words of its title, description and examples of other schemas in between.
        item: index in the innermost array plus one, 0 outside of arrays.
        nullable: whether null is allowed.
        options: the values of an enumeration or a boolean; empty for values read from the text.
    """

    pointer: str
    kind: str
    name: tuple[str, ...]
    path: tuple[str, ...]
    context: tuple[str, ...]
    item: int = 0
    nullable: bool = False
    options: tuple[Any, ...] = ()

    @staticmethod
    def of(root: Any, pointer: str, schema: Any = None) -> FieldQuery:
        """The query for the field at ``pointer``; ``schema`` is that of its value, None to find it."""
        parts = pointer_parts(pointer)
        names = [part for part in parts if not part.isdecimal()]
        numbers = [int(part) for part in parts if part.isdecimal()]
        schema = schema_at(root, parts) if schema is None else schema
        schema = resolved(root, schema)
        nullable, schema = without_null(root, schema)
        description = " ".join(str(schema[key]) for key in ("title", "description") if key in schema)
        values = options_of(schema)
        return FieldQuery(
            pointer,
            query_kind(schema, values),
            tuple(identifier_words(names[-1]) if names else ()),
            tuple(word for name in names[:-1] for word in identifier_words(name)),
            tuple(re.findall(r"\w+", description.lower())[:32]),
            min(numbers[-1] + 1, MAX_ITEMS) if numbers else 0,
            nullable,
            values,
        )


def pointer_parts(pointer: str) -> list[str]:
    """The unescaped parts of a JSON pointer."""
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def join_pointer(pointer: str, part: str | int) -> str:
    """A JSON pointer with one more part."""
    return f"{pointer}/{str(part).replace('~', '~0').replace('/', '~1')}"


def resolved(root: Any, schema: Any) -> dict[str, Any]:
    """The schema that a chain of local references leads to; {} for any that cannot be followed."""
    for _ in range(MAX_DEPTH):
        if not isinstance(schema, dict):
            return {}
        reference = schema.get("$ref")
        if reference is None:
            return schema
        target: Any = root
        for part in pointer_parts(reference) if str(reference).startswith("#") else ["", ""]:
            target = target.get(part) if isinstance(target, dict) else None
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**target, **rest} if isinstance(target, dict) else rest
    return {}


def without_null(root: Any, schema: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
    """Whether a schema allows null, and the schema of the other values, where it is one."""
    kinds = schema.get("type")
    if isinstance(kinds, list):
        rest = [kind for kind in kinds if kind != "null"]
        return "null" in kinds, {**schema, "type": rest[0] if len(rest) == 1 else rest}
    for keyword in ("anyOf", "oneOf"):
        branches = schema.get(keyword)
        if isinstance(branches, list) and "type" not in schema:
            branches = [resolved(root, branch) for branch in branches]
            rest = [branch for branch in branches if branch.get("type") != "null"]
            if len(rest) == 1:
                return len(rest) < len(branches), {
                    **rest[0],
                    **{k: v for k, v in schema.items() if k != keyword},
                }
    return None in schema.get("enum", ()), schema


def options_of(schema: dict[str, Any]) -> tuple[Any, ...]:
    """The values to choose from, null excluded; () where there are none or too many."""
    if schema.get("type") == "boolean":
        return (True, False)
    values = [schema["const"]] if "const" in schema else schema.get("enum", ())
    values = [value for value in values if value is not None]
    is_small = len(values) <= MAX_OPTIONS and not any(isinstance(value, dict | list) for value in values)
    return tuple(values) if is_small else ()


def query_kind(schema: dict[str, Any], options: tuple[Any, ...]) -> str:
    """One of KINDS."""
    kind, form = schema.get("type"), schema.get("format")
    if kind == "boolean":
        return "boolean"
    if options:
        return "enum"
    if kind in ("integer", "number"):
        return str(kind)
    if isinstance(form, str):
        return form if form in KINDS else "format"
    return "string"


def schema_at(root: Any, parts: list[str]) -> Any:
    """The schema of the value at a path, of the first alternative that has one; {} without any."""
    first = next(schemas_at(root, root, parts, 0), None)
    return {} if first is None else first


def schemas_at(root: Any, schema: Any, parts: list[str], depth: int) -> Iterator[Any]:
    """The schemas of the value at a path, of all alternatives."""
    schema = resolved(root, schema)
    if not parts:
        yield schema
        return
    if depth > MAX_DEPTH:
        return
    name, rest = parts[0], parts[1:]
    properties, items = schema.get("properties"), schema.get("items")
    prefix = schema.get("prefixItems")
    if isinstance(properties, dict) and name in properties:
        yield from schemas_at(root, properties[name], rest, depth + 1)
    if name.isdecimal():
        if isinstance(prefix, list) and int(name) < len(prefix):
            yield from schemas_at(root, prefix[int(name)], rest, depth + 1)
        elif items is not None:
            yield from schemas_at(root, items, rest, depth + 1)
    for keyword in (*UNIONS, "then", "else"):
        branches = schema.get(keyword, [])
        for branch in branches if isinstance(branches, list) else [branches]:
            yield from schemas_at(root, branch, parts, depth + 1)


def leaf_queries(root: Any, schema: Any = None, pointer: str = "", counts: Any = None) -> list[FieldQuery]:
    """Queries for all leaves below a schema, each pointer once; of arrays as many items as ``counts`` says.

    Args:
        root: the document that references refer to.
        schema: the schema to begin at; None for ``root``.
        pointer: JSON pointer of its value.
        counts: number of items by the pointer of an array; 1 where it has none.
    """
    schema = root if schema is None else schema
    queries = dict[str, FieldQuery]()
    for leaf, leaf_schema in schema_leaves(root, schema, pointer, {} if counts is None else counts, 0):
        query = FieldQuery.of(root, leaf, leaf_schema)
        first = queries.setdefault(leaf, query)
        if first.options and query.options:  # of several alternatives
            more = [value for value in query.options if value not in first.options]
            queries[leaf] = replace(first, options=(*first.options, *more)[:MAX_OPTIONS])
    return list(queries.values())


def schema_leaves(
    root: Any, schema: Any, pointer: str, counts: dict[str, int], depth: int
) -> Iterator[tuple[str, Any]]:
    """Pointers and schemas of the leaves."""
    if depth > MAX_DEPTH:
        return
    schema = resolved(root, schema)
    _, inner = without_null(root, schema)
    properties, items = inner.get("properties"), inner.get("items")
    branches = [branch for keyword in UNIONS for branch in inner.get(keyword, ()) if isinstance(branch, dict)]
    branches = [branch for branch in branches if not {"properties", "$ref", "items"}.isdisjoint(branch)]
    if isinstance(properties, dict):
        for name, sub in properties.items():
            yield from schema_leaves(root, sub, join_pointer(pointer, name), counts, depth + 1)
    if isinstance(items, dict):
        for index in range(counts.get(pointer, 1)):
            yield from schema_leaves(root, items, join_pointer(pointer, index), counts, depth + 1)
    for branch in branches:
        yield from schema_leaves(root, branch, pointer, counts, depth + 1)
    is_container = inner.get("type") in ("object", "array")
    if not isinstance(properties, dict) and not isinstance(items, dict) and not branches and not is_container:
        yield pointer, schema
