"""How many bytes the block of a schema and a text should have, if the caller does not say.

>>> row = {"type": "object", "properties": {"name": {"type": "string"}, "count": {"type": "integer"}}}
>>> rows = {"type": "array", "items": row}
>>> wished_length(rows, "3 nuts, 2 bolts"), wished_length(rows, "a nut, a bolt, " * 20)
(41, 782)

A block has at least ``LENGTH`` bytes. It is longer if the literals and slots of the schema need more
(layout.py), if the shortest instance does, or if the text has many rows for the arrays of the schema, or
values for optional members.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from solver.kernels.deadline import OutOfTime, time_left, time_limit
from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.errors import MAX_CELLS, CanvasTooSmall, SchemaTooComplex
from solver.tasks.json_schema.grammar import SchemaGrammar
from solver.tasks.json_schema.layout import SchemaLayout
from solver.tasks.json_schema.problem import LENGTH, JsonProblem
from solver.tasks.json_schema.strings import json_text
from solver.tasks.json_schema.validator import resolve_pointer, value_at
from solver.tasks.text import Hole

STEP = 64  # lengths are multiples of it
VALUE_BYTES = {"string": 14, "number": 6, "integer": 5, "boolean": 5, "null": 4}  # typical
MAX_DEPTH = 6
PER_BYTE = 3  # bytes of an instance for each byte of the text, at most, if the schema does not ask for them
ROOM = 1.5  # of a block to the shortest instance
SECONDS = 1.0  # CPU time for the layouts


def fitting_problem(
    schema: Any,
    text: str = "",
    template: Sequence[str | Hole] | None = None,
    length: int | None = None,
    **settings: Any,
) -> JsonProblem:
    """Compile a schema for a block of ``length`` bytes, or as many as schema and text require if it is None.

    For the other arguments and the errors see :meth:`JsonProblem.of`.
    """
    build = partial(JsonProblem.of, schema, text, template, **settings)
    if length is not None:
        return build(length=length)
    if template is not None:
        return build(length=template_length(template))
    wished = rounded(max(LENGTH, min(wished_length(schema, text), PER_BYTE * len(text))))
    try:
        problem = build(length=wished)
    except CanvasTooSmall as error:
        if not wished < error.minimum <= MAX_CELLS:
            raise
        problem = build(length=longer_block(error.minimum))
    needed = rounded(laid_out_length(problem.compiler))
    if needed > problem.num_cells:
        with suppress(SchemaTooComplex):  # then it has no layout, as before
            problem = build(length=needed)
    return problem


def template_length(template: Sequence[str | Hole]) -> int:
    """The length of a template: LENGTH, or more if literals and sized holes leave too little."""
    literals = sum(len(part.encode()) for part in template if isinstance(part, str))
    holes = [part.size for part in template if not isinstance(part, str)]
    return max(LENGTH, rounded(literals + sum(size or STEP for size in holes)))


def longer_block(shortest: int) -> int:
    """The length of the block for a schema whose shortest instance, of ``shortest`` bytes, did not fit."""
    return max(shortest, rounded(int(ROOM * shortest)))


def rounded(cells: int) -> int:
    return min(MAX_CELLS, -(-cells // STEP) * STEP)


def laid_out_length(compiler: Compiler) -> int:
    """The cells of the schema's literals and slots, 0 if they are not known in SECONDS."""
    try:
        with time_limit(cpu_seconds=SECONDS):
            layouts = SchemaLayout.all(SchemaGrammar(compiler, MAX_CELLS))
    except OutOfTime:
        if time_left() <= 0:  # a shorter limit of the caller
            raise
        return 0
    sizes = [
        sum(len(piece) for piece in layout.pieces if isinstance(piece, bytes))
        + sum(cells for cells, _ in layout.sizes)
        for layout in layouts
        if len(layout.pieces) > 1
    ]
    return max(sizes, default=0)


def wished_length(schema: Any, text: str) -> int:
    """The bytes of an instance with all members, and with as many items as the text has rows."""
    try:
        return SizeEstimate(schema, text).size(schema)
    except (TypeError, ValueError, OverflowError):
        return 0  # no JSON schema, which compiling it tells


class SizeEstimate:
    """Sizes of instances of a schema's parts, for a text."""

    def __init__(self, root: Any, text: str) -> None:
        self.root = root
        self.lines = len([line for line in text.splitlines() if line.strip()])
        self.parts = len(re.findall(r"[,;.\n](?=\s|$)", text)) + 1 if text else 0

    def size(self, schema: Any, depth: int = 0) -> int:
        if not isinstance(schema, dict) or depth > MAX_DEPTH:
            return 0
        if "const" in schema:
            return len(json_text(schema["const"]))
        if isinstance(schema.get("enum"), list):
            return max((len(json_text(value)) for value in schema["enum"]), default=0)
        kinds = schema.get("type")
        names = [kinds] if isinstance(kinds, str) else kinds if isinstance(kinds, list) else []
        sizes = [VALUE_BYTES.get(name, 0) for name in names if isinstance(name, str)]
        if "$ref" in schema:
            sizes.append(self.size(self.target(schema), depth + 1))
        for keyword in ("anyOf", "oneOf", "allOf"):
            if isinstance(schema.get(keyword), list):
                inner = [self.size(part, depth + 1) for part in schema[keyword]]
                sizes.append(sum(inner) if keyword == "allOf" else max(inner, default=0))
        if isinstance(schema.get("properties"), dict):
            members = schema["properties"].items()
            sizes.append(
                2 + sum(len(json_text(name)) + 2 + self.size(part, depth + 1) for name, part in members)
            )
        if isinstance(schema.get("items"), dict):
            item = schema["items"]
            count = min(self.rows(item), limit_of(schema, "maxItems", MAX_CELLS))
            sizes.append(2 + max(count, limit_of(schema, "minItems", 0)) * (self.size(item, depth + 1) + 1))
        return min(MAX_CELLS, max(sizes, default=0))

    def rows(self, item: Any) -> int:
        """The items that the text may have: its lines, or its parts, of which an object takes two."""
        item = self.target(item) if "$ref" in item else item
        members = item.get("properties") if isinstance(item, dict) else None
        count = len(members) if isinstance(members, dict) else 1
        return max(self.lines, self.parts // max(1, min(count, 2)))

    def target(self, schema: dict[str, Any]) -> Any:
        """The schema that a reference inside the root refers to, None for all others."""
        reference = schema["$ref"]
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return None
        try:
            return value_at(self.root, resolve_pointer(reference[1:], self.root))
        except (KeyError, IndexError, ValueError, TypeError):
            return None


def limit_of(schema: dict[str, Any], keyword: str, default: int) -> int:
    value = schema.get(keyword)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else default
