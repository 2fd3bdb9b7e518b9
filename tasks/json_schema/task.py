"""JSON that satisfies a schema, as a task for the loop.

    form = JsonProblem.of({"type": "object", "properties": {"a": {"type": "integer"}}}, length=64)
    *steps, outcome = refine(JsonTask(), form, denoiser)
    JsonTask().decode(form, outcome.tokens)          # '{"a":7}'

The block is the text's bytes and then BLANKs. The language (values.py) makes every draft a text that the schema allows as far
as an automaton can say; ``jsonschema_rs`` has the last word, and what it refuses is blamed on the bytes of the part in question.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from solver.kernels.lattice import Slots
from solver.tasks.canvas import Canvas, Mask, Tokens
from solver.tasks.checks import Check, run_check
from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.errors import CanvasTooSmall, FillError, SchemaError, UnsatisfiableSchema
from solver.tasks.json_schema.grammar import SchemaGrammar
from solver.tasks.json_schema.layout import SchemaLayout
from solver.tasks.json_schema.source_map import byte_spans, duplicate_items, resolve_pointer
from solver.tasks.json_schema.synthetic import outline_schema
from solver.tasks.json_schema.validator import build_validator, repeated_names
from solver.tasks.languages import grammar
from solver.tasks.languages import projection as language
from solver.tasks.languages.projection import BLANK, Projection
from solver.tasks.languages.template import TemplateFilter
from solver.tasks.languages.unroll import MAX_STATES, Unrolled, unroll
from solver.tasks.task import Violation, once_per_draft
from solver.tasks.text import Hole, share_room

LENGTH = 256
REFUSED = 32  # drafts that are remembered
BLAME = 2.0  # nats that each byte of a part is less likely when it was refused
DEEPEST = 200  # levels of a schema
DEEPER = 4  # values within values within holes, where the schema says nothing of them


@dataclass(frozen=True, eq=False)
class JsonProblem:
    """A schema ready to be filled. text: what the values are to be drawn from.  checks: called with the JSON value."""

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
    ) -> JsonProblem:
        """Raises SchemaError for what is no schema or template; UnsatisfiableSchema where no value satisfies the schema, which is
        then proven; CanvasTooSmall where one does, but none so short."""
        if length < 1:
            raise SchemaError(f"the length must be at least 1, not {length}")
        check_depth(schema)
        compiler = Compiler(schema, formats, registry, draft)
        validator = build_validator(schema, compiler.draft, formats, registry)
        parts = (length,) if template is None else template_parts(template, length)
        cells = sum(map(part_size, parts))
        if template is None:
            values = SchemaGrammar(compiler, cells)
            unrolled = unroll(values, cells)
        else:
            values, unrolled = fit_template(compiler, parts, cells)
            escaped = any(b"\\" in part for part in parts if isinstance(part, bytes))
            if (
                escaped or values.has_order
            ):  # the grammar spells names in one way and writes them in one order
                unrolled = replace(unrolled, complete=False)
        if values.is_narrow:
            unrolled = replace(unrolled, complete=False)
        form = JsonProblem(schema, text, parts, tuple(checks), formats, compiler, unrolled, validator)
        if (
            unrolled.is_empty
        ):  # too small a canvas, a contradiction, or so many states that none of a whole text was among them
            costs = grammar.shortest_lengths(values)
            if costs and costs.get(values.start, np.inf) <= cells:
                unrolled = unroll(values, cells, costs=costs)
            if unrolled.is_empty:
                raise form.without_instance()
            form = replace(form, unrolled=replace(unrolled, complete=False))
        return form

    def without_instance(self) -> FillError:
        """Why no text of the language is so short: there is none, or only longer ones."""
        values = SchemaGrammar(self.compiler, 1 << 14)
        costs = grammar.shortest_lengths(values)
        if costs is not None and values.start not in costs and not values.is_narrow:
            return UnsatisfiableSchema()
        return CanvasTooSmall(
            max(self.cells + 1, int(costs.get(values.start, 0)) if costs else 0), self.cells
        )

    def layouts(self) -> tuple[JsonProblem, ...]:
        """The same in literals and slots, where all instances, or all of one kind, have something in common and the block has
        room. What is found in one of them is an instance; that nothing is found means only that a slot was too small."""
        if len(self.parts) != 1:
            return ()
        laid = [
            scaffold.parts(self.cells)
            for scaffold in SchemaLayout.all(SchemaGrammar(self.compiler, self.cells))
        ]
        return tuple(replace(self, parts=tuple(parts)) for parts in laid if parts)

    def unmet(self, text: str) -> tuple[str, str] | None:
        """Pointer and keyword of what is wrong with a text, where all of it was left to the validator."""
        try:
            errors = list(self.validator.iter_errors(json.loads(text)))
        except (ValueError, RecursionError):
            return None
        paths = [tuple(error.schema_path) for error in errors]
        left = {name.split()[0] for name in self.compiler.declined}
        if not paths or any(not left & {str(part) for part in path[-1:]} for path in paths):
            return None
        return "".join(f"/{part}" for part in paths[0]), str(paths[0][-1])

    @property
    def cells(self) -> int:
        return sum(map(part_size, self.parts))

    @cached_property
    def given(self) -> tuple[Tokens, Mask]:
        """The template's bytes (L,), and which cells hold one."""
        return given_bytes(self.parts)

    @property
    def prompt(self) -> bytes:
        """What a denoiser reads."""
        return self.prompt_of(self.schema, self.text)

    @staticmethod
    def prompt_of(schema: Any, text: str) -> bytes:
        """The schema in short, a line break, the text."""
        return f"{outline_schema(schema)}\n{text}".encode()

    @property
    def holes(self) -> tuple[tuple[int, int], ...]:
        """Where each hole begins, and how many cells it has."""
        ends = np.cumsum([part_size(part) for part in self.parts]).tolist()
        pairs = zip(ends, self.parts, strict=True)
        return tuple((end - part, part) for end, part in pairs if isinstance(part, int))

    @cached_property
    def slots(self) -> Slots:
        return hole_slots(self.parts)


def check_depth(schema: Any) -> None:
    """Raises SchemaError where a schema is nested deeper than anybody writes."""
    level = [schema]
    for _ in range(DEEPEST):
        level = [
            sub
            for one in level
            for sub in (one.values() if isinstance(one, dict) else one if isinstance(one, list) else ())
        ]
        if not level:
            return
    raise SchemaError(f"the schema is nested deeper than {DEEPEST} levels")


def blamed_paths(error: Any, instance: Any) -> list[tuple[str | int, ...]]:
    """The paths of what a validator's error is about; of a list in which something stands twice, its repetitions."""
    path = tuple(error.instance_path)
    if not error.schema_path or error.schema_path[-1] != "uniqueItems":
        return [path]
    for part in path:
        instance = instance[part]
    return [(*path, at) for at in duplicate_items(instance)]


def template_parts(template: Sequence[str | Hole], length: int) -> tuple[bytes | int, ...]:
    """A template as literal bytes and hole sizes. Holes without a size share what the others leave of ``length``.

    Raises SchemaError where the template is empty, a hole has a start, or there is no room.
    """
    parts = [part.encode() if isinstance(part, str) else part for part in template if part != ""]
    if not parts:
        raise SchemaError("the template is empty")
    holes = [part for part in parts if isinstance(part, Hole)]
    if any(hole.start is not None for hole in holes):
        raise SchemaError("a hole in a JSON template takes no start")
    literal = sum(len(part) for part in parts if isinstance(part, bytes))
    sizes = iter(share_room([hole.size for hole in holes], length - literal, "bytes"))
    return tuple(part if isinstance(part, bytes) else next(sizes) for part in parts)


def part_size(part: bytes | int) -> int:
    """Cells of a literal or of a hole."""
    return part if isinstance(part, int) else len(part)


def given_bytes(parts: Sequence[bytes | int]) -> tuple[Tokens, Mask]:
    """The bytes of literals, BLANK in holes (L,), and which cells hold one."""
    tokens = np.concatenate(
        [np.full(part, BLANK) if isinstance(part, int) else np.frombuffer(part, np.uint8) for part in parts]
    )
    pinned = np.concatenate([np.full(part_size(part), isinstance(part, bytes)) for part in parts])
    return tokens.astype(np.int64), pinned


def hole_slots(parts: Sequence[bytes | int]) -> Slots:
    """Which cells are a hole's, and which its last."""
    _, pinned = given_bytes(parts)
    last = np.zeros(len(pinned), bool)
    at = 0
    for part in parts:
        at += part_size(part)
        last[at - 1] = isinstance(part, int)
    return Slots(~pinned, last)


def fit_template(
    compiler: Compiler, parts: Sequence[bytes | int], cells: int
) -> tuple[SchemaGrammar, Unrolled]:
    """The texts that fit a template. Names are in the template's order, the others in one of three places. What no schema speaks
    of is written no deeper in its holes than the literals need."""
    frame, slots, given = template_frame(parts), hole_slots(parts), given_bytes(parts)
    for others in ("among", "before", "after"):
        values = SchemaGrammar(compiler, cells, names_in_template(parts), True, others)
        for depth in range(1, DEEPER + 1):
            found = unroll(values, cells, 4 * MAX_STATES, depth, template=frame)
            if not found.is_empty and language.is_possible(found, slots, *given):
                return values, found
            if found.cut:  # another order would be as large
                return values, unroll(values, cells) if found.is_empty else found
            if found.complete:
                break
    return values, unroll(values, cells) if found.is_empty else found


def template_frame(parts: Sequence[bytes | int]) -> TemplateFilter:
    return TemplateFilter.from_parts(list(parts))


def names_in_template(parts: Sequence[bytes | int]) -> list[str]:
    """The names that a template writes, in its order: they come before the schema's others."""
    found: list[str] = []
    for part in parts:
        if isinstance(part, bytes):
            pieces = part.decode().split('"')
            found += [name for name, after in pairwise(pieces[1:]) if after.lstrip().startswith(":")]
    return list(dict.fromkeys(found))


class JsonTask:
    """Problems are :class:`JsonProblem`; tokens are bytes, and BLANK behind the text and behind what fills a hole."""

    name = "json"
    vocab = 257

    def __init__(self) -> None:
        # Drafts of the language that were not valid, by problem: they are not proposed again. The latest few do: what a model
        # comes back to, it comes back to at once.
        self.refused: WeakKeyDictionary[JsonProblem, tuple[Tokens, ...]] = WeakKeyDictionary()
        # Nats (L, V) by which a byte that was blamed is less likely to be written there again. It may be: other cells may change.
        self.blame: WeakKeyDictionary[JsonProblem, NDArray[np.float32]] = WeakKeyDictionary()

    def encode(self, problem: JsonProblem) -> Canvas:
        tokens, pinned = problem.given
        prompt = np.frombuffer(problem.prompt, np.uint8).astype(np.int64)
        known = pinned.copy()
        return Canvas(tokens, pinned, known, self.vocab, prompt=prompt, slots=problem.holes, blank=BLANK)

    def project(
        self,
        problem: JsonProblem,
        logits: NDArray[np.float32],
        tokens: Tokens,
        settled: Mask,
        rng: np.random.Generator | None = None,
    ) -> Projection | None:
        """The denoiser's distributions (L, V), conditioned on the language and on what is settled."""
        refused = self.refused.get(problem, ())
        if problem in self.blame:
            logits = logits - self.blame[problem]
        return language.project(problem.unrolled, problem.slots, logits, tokens, settled, rng, refused)

    def check(self, problem: JsonProblem, tokens: Tokens, known: Mask) -> list[Violation]:
        """Of a whole text: what the validator and the user's checks say, each with the bytes of the part it is about. Of a
        part of one: whether the language can still be met, which has a reason where the language is complete."""
        if known.all():
            cells = np.flatnonzero(tokens != BLANK)  # of the text's bytes
            given = problem.given[1]
            self.refused[problem] = (*self.refused.get(problem, ())[1 - REFUSED :], tokens.copy())
            found = [
                Violation(
                    message,
                    cells=tuple(cell for cell in cells[a:b].tolist() if not given[cell]),
                    rule="schema",
                )
                for (a, b), message in self.faults(problem, tokens)
            ]
            blame = self.blame.setdefault(problem, np.zeros((len(tokens), self.vocab), np.float32))
            for violation in found:
                at = list(violation.cells)
                blame[at, tokens[at]] += BLAME
            return found
        if language.is_possible(problem.unrolled, problem.slots, tokens, known):
            return []
        settled = frozenset(np.flatnonzero(known).tolist())
        reason = settled if problem.unrolled.complete else None
        message = "no text of the schema has these bytes"
        return [Violation(message, cells=tuple(settled), rule="language", reason=reason)]

    @once_per_draft
    def faults(self, problem: JsonProblem, tokens: Tokens) -> list[tuple[tuple[int, int], str]]:
        """(first byte, end), message of everything that is wrong with a whole text."""
        text = bytes(tokens[tokens != BLANK].astype(np.uint8))
        try:
            where = byte_spans(text)
            instance = json.loads(text)
        except (ValueError, RecursionError) as error:
            return [((0, len(text)), f"not JSON: {error}")]
        found = [
            (path, error.message)
            for error in problem.validator.iter_errors(instance)
            for path in blamed_paths(error, instance)
        ]
        found += [(path, "a name stands twice") for path in repeated_names(text)]
        located = [(where.get(path, where[()]), message) for path, message in found]
        for violation in (v for check in problem.checks for v in run_check(check, instance)):
            span = where.get(resolve_pointer(violation.path or "", instance), where[()])
            if violation.span is not None:  # in characters of the text
                first, end = (len(text.decode()[:index].encode()) for index in violation.span)
                span = first, end
            located.append((span, violation.message))
        return located

    def verify(self, problem: JsonProblem, tokens: Tokens) -> bool:
        given, pinned = problem.given
        if not (tokens[pinned] == given[pinned]).all() or not self.well_blank(problem, tokens):
            return False
        return not self.faults(problem, tokens)

    def well_blank(self, problem: JsonProblem, tokens: Tokens) -> bool:
        """Whether BLANK stands only at the ends of holes."""
        blank, slots = tokens == BLANK, problem.slots
        follows = np.append(blank[1:], True)
        return bool((~blank | (slots.inside & (slots.last | follows))).all())

    def decode(self, problem: JsonProblem, tokens: Tokens) -> str:
        """The text, exactly."""
        return bytes(tokens[tokens != BLANK].astype(np.uint8)).decode(errors="replace")
