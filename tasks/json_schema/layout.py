"""Templates and layouts: literals that stand byte for byte, and holes or slots of a fixed number of bytes.

>>> parts = template_parts(['{"a":', Hole(3), "}"], length=64)
>>> parts, hole_spans(parts)
((b'{"a":', 3, b'}'), ((5, 3),))
>>> name, age = {"type": "string"}, {"type": "integer"}
>>> schema = {"type": "object", "properties": {"name": name, "age": age}, "required": ["name", "age"]}
>>> closed = schema | {"additionalProperties": False}
>>> from solver.tasks.json_schema.compiler import Compiler
>>> (layout,) = SchemaLayout.all(SchemaGrammar(Compiler(closed), max_bytes=64))
>>> layout.parts(64)
(b'{"name":', 38, b',"age":', 10, b'}')

A template is given by the user; ``parts`` is its simplest form: literals as bytes, holes as their size. A
layout has the literals that all instances of a schema share: the required names, in a known order. With these
pinned from the start, a denoiser can write all values at once, each in its slot. Optional members are written
inside the slots. A slot may be too small for a value that would fit the plain canvas, which therefore remains
the fallback.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

import numpy as np

from solver.kernels.lattice import Slots
from solver.tasks.json_schema.choices import value_choices
from solver.tasks.json_schema.errors import SchemaError
from solver.tasks.json_schema.formula import (
    NO,
    Formula,
    and_,
    demand_in,
    of_kind,
    without_name,
)
from solver.tasks.json_schema.grammar import SchemaGrammar
from solver.tasks.json_schema.objects import ObjectPlan, Value
from solver.tasks.json_schema.strings import json_text, string_term
from solver.tasks.languages.byte_automaton import ByteAutomaton
from solver.tasks.languages.projection import BLANK
from solver.tasks.languages.term_structure import as_literals
from solver.tasks.task import Mask, Tokens
from solver.tasks.text import Hole, share_room

Parts = Sequence[bytes | int]


def template_parts(template: Sequence[str | Hole], length: int) -> tuple[bytes | int, ...]:
    """Encode a template. Holes without a size share the bytes that the others leave of ``length``.

    Raises:
        SchemaError: the template is empty, or a hole has a start.
        InvalidArgument: a hole has no room.
    """
    parts = [part.encode() if isinstance(part, str) else part for part in template if part != ""]
    if not parts:
        raise SchemaError("the template is empty")
    holes = [part for part in parts if isinstance(part, Hole)]
    if any(hole.start is not None for hole in holes):
        raise SchemaError("a hole in a JSON template takes no start")
    literal_bytes = sum(len(part) for part in parts if isinstance(part, bytes))
    sizes = iter(share_room([hole.size for hole in holes], length - literal_bytes, "bytes"))
    return tuple(part if isinstance(part, bytes) else next(sizes) for part in parts)


def part_size(part: bytes | int) -> int:
    """Cells of a literal or a hole."""
    return part if isinstance(part, int) else len(part)


def hole_spans(parts: Parts) -> tuple[tuple[int, int], ...]:
    """First cell and number of cells of each hole."""
    starts = accumulate(map(part_size, parts), initial=0)
    return tuple((start, part) for start, part in zip(starts, parts, strict=False) if isinstance(part, int))


def given_bytes(parts: Parts) -> tuple[Tokens, Mask]:
    """Tokens (L,) with the literals' bytes and BLANK in holes, and which cells (L,) are given."""
    tokens = [
        np.full(part, BLANK) if isinstance(part, int) else np.frombuffer(part, np.uint8) for part in parts
    ]
    pinned = [np.full(part_size(part), isinstance(part, bytes)) for part in parts]
    return np.concatenate(tokens).astype(np.int64), np.concatenate(pinned)


def hole_slots(parts: Parts) -> Slots:
    """Which cells are inside a hole, and which are the last of one."""
    _, pinned = given_bytes(parts)
    last = np.zeros(len(pinned), bool)
    last[[start + size - 1 for start, size in hole_spans(parts)]] = True
    return Slots(~pinned, last)


Piece = bytes | tuple[Formula, ...]  # a literal, or the formulas of the values that a slot holds
# Cells of a slot, by the kind of its value.
SLOT_CELLS = {"number": 10, "true": 5, "false": 5, "null": 4, "string": 28, "array": 36, "object": 48}
MAX_LAYOUTS = 8
MAX_DEPTH = 4  # objects in objects that are laid out
MAX_EXACT_CELLS = 40  # an enumeration or format with longer texts gets a slot of the usual size


def kinds_of(formula: Formula) -> list[str]:
    """The kinds of values that may satisfy a formula."""
    return [kind for kind in SLOT_CELLS if of_kind(formula, kind) is not NO]


def object_alternatives(formula: Formula) -> list[Formula]:
    """Split a formula at its top (``oneOf``, ``anyOf``, ``if``) into alternatives, if they are at most MAX_LAYOUTS.

    A value may satisfy several of them: a layout only says where values are written, and the language
    excludes what is not valid.
    """
    alternatives: list[Formula] = []
    pending = [formula]
    while pending:
        part = pending.pop()
        branches = branches_of(part)
        if branches is not None:
            pending += reversed(branches)
        elif of_kind(part, "object") is not NO:
            alternatives.append(part)
        if len(alternatives) > MAX_LAYOUTS:
            return [formula]
    return alternatives


def branches_of(formula: Formula) -> list[Formula] | None:
    """The alternatives of a formula's first "or" or "one", None if it has none."""
    if formula.op in ("or", "one"):
        return list(formula.parts)
    if formula.op == "and":
        for index, part in enumerate(formula.parts):
            if part.op in ("or", "one"):
                before, after = formula.parts[:index], formula.parts[index + 1 :]
                return [and_((*before, branch, *after)) for branch in part.parts]
    return None


def only_text(grammar: SchemaGrammar, formula: Formula) -> bytes | None:
    """The text of a formula that a single string satisfies (``const``), or None."""
    if kinds_of(formula) != ["string"]:
        return None
    texts = as_literals(string_term(of_kind(formula, "string"), grammar.max_bytes), 1)
    return json_text(min(texts)) if texts else None


def layout_pieces(
    grammar: SchemaGrammar, formula: Formula, depth: int = 0, base: Formula | None = None
) -> list[Piece]:
    """List the literals and slots of a value. No two slots are neighbours.

    Args:
        grammar: the grammar of the schema.
        formula: what the value satisfies.
        depth: objects around it.
        base: the formula of which this one is an alternative; it determines the order of the names.
    """
    if kinds_of(formula) != ["object"] or depth > MAX_DEPTH:
        return [only_text(grammar, formula) or (formula,)]
    members = grammar.members
    rest = of_kind(formula, "object")
    plan = members.plan(rest)
    if base is not None:
        order = members.plan(of_kind(base, "object"))
        plan = ObjectPlan(tuple(name for name in order.names if name in plan.names))
    pieces: list[Piece] = [b"{"]
    # Optional members before a required one go into a slot of their own, together with their commas.
    is_first, has_optional = True, False
    for index, name in enumerate(plan.names):
        without = without_name(rest, name)
        choices = value_choices(grammar.compiler, rest, partial(members.demand, name))
        if without is not NO:
            has_optional = True
            if len(choices) == 1 and choices[0][1] is without:
                continue
        if without is not NO or len(choices) != 1:
            # What follows depends on this member: the rest of the object is a single slot.
            return join_neighbours([*pieces, (formula,), b"}"])
        value, rest = choices[0]
        comma = b"" if is_first or has_optional else b","
        if has_optional:
            pieces.append((formula,))
        pieces += [comma + plan.prefixes[index], *layout_pieces(grammar, value, depth + 1)]
        is_first, has_optional = False, False
    if has_optional or allows_unknown(grammar, plan, rest):
        pieces.append((formula,))
    return join_neighbours([*pieces, b"}"])


def allows_unknown(grammar: SchemaGrammar, plan: ObjectPlan, formula: Formula) -> bool:
    """Whether an object may have a member that its schema does not name."""
    formula, classes = grammar.members.name_classes(formula)
    return any(value_choices(grammar.compiler, formula, demand_in(names.demands)) for names in classes)


def join_neighbours(pieces: Sequence[Piece]) -> list[Piece]:
    """Join neighbouring literals, and neighbouring slots."""
    joined: list[Piece] = []
    for piece in pieces:
        if joined and type(joined[-1]) is type(piece):
            piece = joined.pop() + piece  # type: ignore[operator]  # both are of one type
        joined.append(piece)
    return joined


def slot_size(grammar: SchemaGrammar, formulas: tuple[Formula, ...]) -> tuple[int, bool]:
    """Return the cells that a slot should have, and whether more would be of use."""
    total, can_grow = 0, False
    for formula in formulas:
        kinds = kinds_of(formula)
        cells = max((SLOT_CELLS[kind] for kind in kinds), default=1)
        if cells > SLOT_CELLS["true"]:
            longest = longest_text(grammar, formula, kinds)
            is_exact = longest is not None and longest <= MAX_EXACT_CELLS
            cells = (longest if is_exact else None) or cells
            can_grow = can_grow or (not is_exact and cells > SLOT_CELLS["number"])
        total += cells
    return min(total, grammar.max_bytes), can_grow


def longest_text(grammar: SchemaGrammar, formula: Formula, kinds: list[str]) -> int | None:
    """Bytes of the longest text of a formula about strings (an enumeration, a date), or None.

    It does not depend on the text that values are read off, so that one schema has one layout.
    """
    moves = grammar.moves(Value(formula))
    if kinds != ["string"] or len(moves) != 1:
        return None
    opening = moves[0]
    if isinstance(opening.emit, ByteAutomaton):
        return opening.emit.max_length
    rest = grammar.rest_of_all_strings(of_kind(formula, "string"))
    longest = rest.max_length if isinstance(rest, ByteAutomaton) else None
    return None if longest is None else 1 + longest


@dataclass(frozen=True, eq=False)
class SchemaLayout:
    """Literals and slots of a schema.

    Attributes:
        pieces: literals, and for each slot the formulas of its values.
        sizes: for each slot the cells it should have, and whether more would be of use.
    """

    pieces: tuple[Piece, ...]
    sizes: tuple[tuple[int, bool], ...]

    @staticmethod
    def all(grammar: SchemaGrammar) -> tuple[SchemaLayout, ...]:
        """One layout, or if all values are objects of a few kinds one for each kind."""
        root = grammar.root
        alternatives = object_alternatives(root) if kinds_of(root) == ["object"] else [root]
        distinct = dict.fromkeys(tuple(layout_pieces(grammar, part, base=root)) for part in alternatives)
        return tuple(
            SchemaLayout(
                pieces, tuple(slot_size(grammar, piece) for piece in pieces if isinstance(piece, tuple))
            )
            for pieces in distinct
        )

    def parts(self, cells: int) -> tuple[bytes | int, ...] | None:
        """Return literals and sizes of slots, ``cells`` in all; None if only a plain canvas is possible."""
        sizes = [size for size, _ in self.sizes]
        literal_cells = sum(len(piece) for piece in self.pieces if isinstance(piece, bytes))
        spare = cells - literal_cells - sum(sizes)
        if len(self.pieces) == 1 or not sizes or spare < 0:
            return None
        growing = [index for index, (_, can_grow) in enumerate(self.sizes) if can_grow] or list(
            range(len(sizes))
        )
        for extra in range(spare):  # shared evenly by the slots that may need more
            sizes[growing[extra % len(growing)]] += 1
        remaining = iter(sizes)
        return tuple(piece if isinstance(piece, bytes) else next(remaining) for piece in self.pieces)
