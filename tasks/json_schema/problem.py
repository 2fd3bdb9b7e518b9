"""A JSON problem: a schema, a text from which the values are taken, and the canvas to fill.

>>> problem = JsonProblem.of({"type": "array", "items": {"type": "integer"}}, length=64)
>>> problem.num_cells, problem.holes, problem.compiler.usual
(64, ((0, 64),), True)
>>> outline_schema({"properties": {"name": {"type": "string"}, "tags": {"items": {"enum": ["a", "b"]}}}})
'{name:str,tags:[a|b]}'
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np

from solver.kernels.deadline import OutOfTime, time_left, time_limit
from solver.kernels.lattice import Slots
from solver.kernels.lattice_pairs import Layers
from solver.tasks.arguments import Check
from solver.tasks.errors import InvalidArgument
from solver.tasks.json_schema.candidates import FieldCandidates, field_candidates
from solver.tasks.json_schema.compilation import (
    Quotes,
    compile_instance,
    compile_usual_or_all,
    may_be_free,
    missing_value,
    proposing_compilers,
)
from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.errors import (
    MAX_CELLS,
    SchemaError,
    SchemaTooComplex,
)
from solver.tasks.json_schema.grammar import SchemaGrammar
from solver.tasks.json_schema.layout import (
    SchemaLayout,
    given_bytes,
    hole_slots,
    hole_spans,
    part_size,
    template_parts,
)
from solver.tasks.json_schema.template_fit import fit_template
from solver.tasks.json_schema.validator import build_validator
from solver.tasks.languages.projection import BLANK, open_layers, project
from solver.tasks.languages.shortest import LiteralGrammar
from solver.tasks.languages.unroll import Unrolled, unroll
from solver.tasks.task import Mask, Tokens
from solver.tasks.text import Hole

LENGTH = 256  # default number of cells
COMPILE_SECONDS = 4.0  # CPU time; a schema whose language takes longer is refused
MAX_SCHEMA_DEPTH = 200


@dataclass(frozen=True, eq=False)
class JsonProblem:
    """A schema ready to be filled; create one with :meth:`of`.

    Attributes:
        schema: the JSON Schema.
        text: the text that contains the values.
        parts: the template of the canvas: literals as bytes, holes as their number of cells.
        checks: the user's checks, called with the JSON value.
        formats: whether ``format`` is enforced.
        compiler: translates the schema and its subschemas into formulas.
        unrolled: automaton of the texts that fit the canvas.
        validator: the ``jsonschema_rs`` validator.
    """

    schema: Any
    text: str
    parts: tuple[bytes | int, ...]
    checks: tuple[Check[Any], ...]
    formats: bool
    compiler: Compiler
    unrolled: Unrolled
    validator: Any

    @staticmethod
    def of(
        schema: Any,
        text: str = "",
        template: Sequence[str | Hole] | None = None,
        length: int = LENGTH,
        checks: Sequence[Check[Any]] = (),
        formats: bool = True,
        registry: Mapping[str, Any] | None = None,
        draft: int | None = None,
        max_cells: int | None = MAX_CELLS,
        quotes: Quotes = "auto",
    ) -> JsonProblem:
        """Compile a schema for a canvas.

        Args:
            schema: a JSON Schema.
            text: the text that contains the values.
            template: literals and holes. None: one hole of ``length`` bytes.
            length: number of cells of the canvas. Holes without a size share the cells that remain.
            checks: the user's checks, called with the JSON value (see solver.tasks.arguments).
            formats: whether ``format`` is enforced.
            registry: the schemas that ``$ref`` may refer to, by URI. Schemas are never downloaded.
            draft: JSON Schema draft of the schema. None: the draft that ``$schema`` names.
            max_cells: of a template, with its holes. None: no limit.
            quotes: whether strings, numbers and dates that the schema does not enumerate are read off the
                text, if there is one (quotes.py). "auto": all but those for which it has no value. True: all.
                False: none. A subschema with ``x-source`` decides for its own field.

        Raises:
            SchemaError: schema or template is malformed.
            UnsatisfiableSchema: it is proven that no value satisfies the schema.
            CanvasTooSmall: all values are longer than the canvas, or none was found before the state limit.
                In the second case the error's ``minimum`` may be too small.
            SchemaTooComplex: compiling takes longer than COMPILE_SECONDS.
            NotInText: a field has to be read off the text, which has no value for it.
            OutOfTime: the caller's time limit has passed.
        """
        if not 1 <= length <= MAX_CELLS:
            raise SchemaError(f"the length must be from 1 to {MAX_CELLS}, not {length}")
        check_depth(schema)
        check_encodable(schema, text)
        parts = (length,) if template is None else template_parts(template, length)
        cells = sum(map(part_size, parts))
        if max_cells is not None and cells > max_cells:
            raise SchemaError(f"the template has {cells} bytes with its holes, more than {max_cells}")
        load_kernels()
        try:
            with time_limit(cpu_seconds=COMPILE_SECONDS):
                whole = Compiler(schema, formats, registry, draft)
                proposing = proposing_compilers(schema, text, quotes, formats, registry, draft)
                validator = build_validator(schema, whole.draft, formats, registry)
                literals = [part for part in parts if isinstance(part, bytes)]
                if len(literals) == len(parts):
                    compiler, unrolled = whole, compile_instance(validator, b"".join(literals))
                else:
                    compiler, unrolled = compile_usual_or_all(proposing, whole, parts)
                    if compiler is whole and not may_be_free(proposing):
                        raise missing_value(proposing[0], cells)
        except OutOfTime:
            if time_left() <= 0:  # a shorter limit of the caller
                raise
            reason = f"compiling it for a canvas of {cells} bytes takes more than {COMPILE_SECONDS:g} s of CPU time"
            raise SchemaTooComplex(reason) from None
        except RecursionError:
            raise SchemaError("the schema's references are too deep inside each other") from None
        return JsonProblem(schema, text, parts, tuple(checks), formats, compiler, unrolled, validator)

    def layouts(self, seconds: float | None = None) -> tuple[JsonProblem, ...]:
        """Return this problem laid out as literals and slots, once for each layout of the schema (layout.py).

        A solution of one of them is a solution of this problem. If one of them has no solution, this proves
        nothing about the problem: a slot may be too small. The result is empty if the schema has no layout,
        no layout fits the canvas, the problem has a template, or ``seconds`` do not suffice.
        """
        if len(self.parts) != 1:
            return ()
        try:
            with time_limit(seconds, cpu_seconds=COMPILE_SECONDS):
                layouts = SchemaLayout.all(SchemaGrammar(self.compiler, self.num_cells))
        except OutOfTime:
            if time_left() <= 0:  # a shorter limit of the caller
                raise
            return ()
        parts = [layout.parts(self.num_cells) for layout in layouts]
        return tuple(replace(self, parts=part) for part in parts if part)

    def unenforced_error(self, text: str) -> tuple[str, str] | None:
        """Return schema pointer and keyword of the first error of a text.

        None unless every error comes from a keyword that the grammar left to the validator.
        """
        try:
            errors = list(self.validator.iter_errors(json.loads(text)))
        except (ValueError, RecursionError):
            return None
        paths = [tuple(map(str, error.schema_path)) for error in errors]
        # an entry such as "format email" begins with its keyword
        declined = {keyword.split()[0] for keyword in self.compiler.declined}
        if not paths or not all(path and path[-1] in declined for path in paths):
            return None
        return "".join(f"/{part}" for part in paths[0]), paths[0][-1]

    @cached_property
    def candidates(self) -> tuple[FieldCandidates, ...]:
        """The values that are proposed for each field, with their places in the text."""
        return field_candidates(self.compiler, self.schema)

    @property
    def num_cells(self) -> int:
        """Number of cells of the canvas."""
        return sum(map(part_size, self.parts))

    @property
    def is_open_ended(self) -> bool:
        """Whether there is a long canvas and no text to take values from."""
        return not self.text and self.num_cells > LENGTH

    @cached_property
    def given(self) -> tuple[Tokens, Mask]:
        """The bytes of the template's literals (L,), and a mask (L,) of the cells that hold one."""
        return given_bytes(self.parts)

    @property
    def prompt(self) -> bytes:
        """The bytes that a denoiser reads before the canvas."""
        return self.prompt_of(self.schema, self.text)

    @staticmethod
    def prompt_of(schema: Any, text: str) -> bytes:
        """Return the prompt: the outline of the schema, a line break and the text."""
        return f"{outline_schema(schema)}\n{text}".encode()

    @property
    def holes(self) -> tuple[tuple[int, int], ...]:
        """(first cell, number of cells) of each hole."""
        return hole_spans(self.parts)

    @cached_property
    def slots(self) -> Slots:
        """The holes as slots of the lattice."""
        return hole_slots(self.parts)

    @property
    def layers(self) -> Layers | None:
        """The live pairs of the lattice if only the literals are known; None without literals or pairs."""
        return open_layers(self.unrolled, self.slots, *self.given) if len(self.parts) > 1 else None


@cache
def load_kernels() -> None:
    """Compile the kernels, or load them: a part of start-up that no time limit includes.

    The first call after an installation compiles them, which takes some 20 s.
    """
    unroll(LiteralGrammar(b"00"), 2)
    fit_template(Compiler(True), (b"[", 2, b"]"), 4)
    unrolled, slots = unroll(SchemaGrammar(Compiler(True), 8), 8), hole_slots((8,))
    blanks, logits = np.full(8, BLANK), np.zeros((8, BLANK + 1), np.float32)
    for rng in (None, np.random.default_rng(0)):
        project(unrolled, slots, logits, blanks, np.zeros(8, bool), rng, (blanks,))


def check_encodable(schema: Any, text: str) -> None:
    """Raise SchemaError if the schema is not a JSON value, InvalidArgument if the text has a lone surrogate."""
    try:
        json.dumps(schema, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise SchemaError(f"the schema is not a JSON value ({error})") from None
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"the text is not valid Unicode ({error})") from None


def check_depth(schema: Any) -> None:
    """Raise SchemaError if the schema is nested so deeply that recursion would fail."""
    level = [schema]
    for _ in range(MAX_SCHEMA_DEPTH):
        containers = [
            list(value.values()) if isinstance(value, dict) else value
            for value in level
            if isinstance(value, dict | list)
        ]
        level = [inner for container in containers for inner in container]
        if not level:
            return
    raise SchemaError(f"the schema is nested deeper than {MAX_SCHEMA_DEPTH} levels")


MAX_OUTLINE_DEPTH = 4
TYPE_NAMES = {
    "string": "str",
    "integer": "int",
    "number": "num",
    "boolean": "bool",
    "null": "null",
    "array": "[]",
    "object": "{}",
}


def outline_schema(schema: Any, max_characters: int = 200) -> str:
    """Return a short outline of a schema, cut off after ``max_characters``."""
    return _outline(schema, 0)[:max_characters]


def _outline(schema: Any, depth: int) -> str:
    if not isinstance(schema, dict) or depth > MAX_OUTLINE_DEPTH:
        return "any"
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return "|".join(map(str, schema["enum"]))
    for keyword in ("oneOf", "anyOf"):
        if isinstance(schema.get(keyword), list):
            return "/".join(_outline(alternative, depth + 1) for alternative in schema[keyword])
    if isinstance(schema.get("properties"), dict):
        members = (f"{name}:{_outline(sub, depth + 1)}" for name, sub in schema["properties"].items())
        return "{" + ",".join(members) + "}"
    if "items" in schema:
        return "[" + _outline(schema["items"], depth + 1) + "]"
    kind = schema.get("type")
    if isinstance(kind, list):
        return "|".join(TYPE_NAMES.get(name, "any") for name in kind if isinstance(name, str))
    return str(schema.get("format") or TYPE_NAMES.get(kind, "any")) if isinstance(kind, str) else "any"
