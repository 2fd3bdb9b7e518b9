"""What every instance of a schema has in common, laid out in a block: literals, and slots for what differs.

    Scaffold.of(values).parts(64)     # (b'{"name":', 40, b',"age":', 10, b'}')

A required name stands in every instance, in a known order; so it can be pinned before anything is known of the values, and a
denoiser may write all values at once, each in a slot of its own. Names that need not be there are written inside the slots, so
the only thing lost is room: where a slot is too small, the plain block, one slot, is still there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from solver.tasks.json_schema.formula import NO, Formula, and_, of_kind, rewrite
from solver.tasks.json_schema.grammar import Plan, SchemaGrammar
from solver.tasks.languages import regex
from solver.tasks.languages.byte_automaton import ByteAutomaton

Piece = bytes | tuple[Formula, ...]  # a literal, or the values that a slot holds, for its size
ROOM = {"number": 10, "true": 5, "false": 5, "null": 4, "string": 28, "array": 36, "object": 48}
MOST_LAYOUTS = 8
LONGEST = 40  # bytes of an enumeration or a format that get a slot for all of them; what may be longer hardly ever is


def object_alternatives(formula: Formula) -> list[Formula]:
    """What a formula is one of (``oneOf``, ``anyOf``, ``if``), as far as that is written at its top. A layout only says what may
    stand where: that no other alternative holds is left to the language."""
    if formula.op in ("or", "one"):
        return [sub for part in formula.parts for sub in object_alternatives(part)]
    if formula.op == "and":
        for at, part in enumerate(formula.parts):
            if part.op in ("or", "one"):
                rest = formula.parts[:at], formula.parts[at + 1 :]
                return [
                    sub for one in part.parts for sub in object_alternatives(and_((*rest[0], one, *rest[1])))
                ]
    return [] if formula is NO else [formula]


def is_object(formula: Formula) -> bool:
    """Whether nothing but objects satisfies it."""
    others = ("null", "true", "false", "number", "string", "array")
    return of_kind(formula, "object") is not NO and all(of_kind(formula, kind) is NO for kind in others)


def only_text(values: SchemaGrammar, formula: Formula) -> bytes | None:
    """The text of a value of which there is one: of a ``const``."""
    kinds = [kind for kind in ROOM if of_kind(formula, kind) is not NO] + ["null"] * (
        of_kind(formula, "null") is not NO
    )
    if kinds != ["string"]:
        return None
    words = regex.as_literals(values.text(of_kind(formula, "string")), 1)
    return json.dumps(min(words), ensure_ascii=False).encode() if words else None


def layout_pieces(
    values: SchemaGrammar, formula: Formula, depth: int = 0, among: Formula | None = None
) -> list[Piece]:
    """Literals and slots of all texts of a value; no two slots stand beside each other. among: the formula of which this one is
    an alternative: it says in what order names stand."""
    if not is_object(formula) or depth > 4:
        return [only_text(values, formula) or (formula,)]
    left = of_kind(formula, "object")
    own = values.plan(left)
    order = own if among is None else values.plan(of_kind(among, "object"))
    plan = Plan(tuple(name for name in order.names if name in own.names))
    found: list[Piece] = [b"{"]
    first, optional = True, False  # nothing is written yet; something may have been
    for at, name in enumerate(plan.names):
        without = rewrite(left, lambda f, name=name: NO if f.parts == ("required", name) else f)  # type: ignore[misc]
        choices = values.choices(left, lambda f, name=name: values.member_subs(f, name))  # type: ignore[misc]
        if without is not NO:
            optional = True
            if len(choices) == 1 and choices[0][1] is without:
                continue
            return join_neighbours([*found, (formula,), b"}"])  # what follows depends on whether it is there
        if len(choices) != 1:
            return join_neighbours([*found, (formula,), b"}"])
        value, left = choices[0]
        comma = b"" if first or optional else b","
        found += [
            *([(formula,)] if optional else []),
            comma + plan.spelled[at],
            *layout_pieces(values, value, depth + 1),
        ]
        first, optional = False, False
    more = optional or has_others(values, plan, left)
    return join_neighbours([*found, *([(formula,)] if more else []), b"}"])


def has_others(values: SchemaGrammar, plan: Plan, left: Formula) -> bool:
    """Whether an object may have a member that its schema does not name."""
    left, classes = values.classes(plan, left)
    for _, subs in classes:
        by_leaf = dict(subs)
        if any(value is not NO for value, _ in values.choices(left, lambda f: by_leaf.get(f, ()))):  # noqa: B023
            return True
    return False


def join_neighbours(found: Sequence[Piece]) -> list[Piece]:
    """Neighbours joined."""
    joined: list[Piece] = []
    for piece in found:
        last = joined.pop() if joined and type(joined[-1]) is type(piece) else None
        joined.append(piece if last is None else last + piece)  # type: ignore[operator]  # both are of one type
    return joined


def slot_size(values: SchemaGrammar, formulas: tuple[Formula, ...], most: int) -> tuple[int, bool]:
    """Cells that a slot should have, and whether more would be of use."""
    total, more = 0, False
    for formula in formulas:
        kinds = [kind for kind in ROOM if of_kind(formula, kind) is not NO]
        longest = max((ROOM[kind] for kind in kinds), default=1)
        if longest > 5:
            bound = longest_text(values, formula, kinds)
            whole = bound if bound is not None and bound <= LONGEST else None
            longest = whole or longest
            more = more or (whole is None and longest > ROOM["number"])
        total += longest
    return min(total, most), more


def longest_text(values: SchemaGrammar, formula: Formula, kinds: list[str]) -> int | None:
    """The longest text, where there is one: of an enumeration, a date."""
    moves = values.moves(("value", formula))
    if kinds != ["string"] or len(moves) != 1:
        return None
    head = moves[0]
    if isinstance(head.emit, ByteAutomaton):
        return head.emit.max_length
    tail = values.moves(head.goto)[0].emit
    longest = tail.max_length if isinstance(tail, ByteAutomaton) else None
    return None if longest is None else 1 + longest


@dataclass(frozen=True, eq=False)
class SchemaLayout:
    """Literals and slots of a schema, and for each slot how many cells it should have and whether more would be of use."""

    pieces: tuple[Piece, ...]
    wanted: tuple[tuple[int, bool], ...]

    @staticmethod
    def all(values: SchemaGrammar) -> tuple[SchemaLayout, ...]:
        """One, or where all values are objects of a few kinds one for each kind."""
        start = values.start
        assert isinstance(start, tuple)
        kinds = [formula for formula in object_alternatives(start[1]) if of_kind(formula, "object") is not NO]
        several = is_object(start[1]) and len(kinds) <= MOST_LAYOUTS
        found = [
            tuple(layout_pieces(values, formula, among=start[1]))
            for formula in (kinds if several else start[1:])
        ]
        return tuple(
            SchemaLayout(
                one, tuple(slot_size(values, piece, values.most) for piece in one if isinstance(piece, tuple))
            )
            for one in dict.fromkeys(found)
        )

    def parts(self, cells: int) -> tuple[bytes | int, ...] | None:
        """The literals and the sizes of the slots, ``cells`` in all; None where a plain block is all there is."""
        free = cells - sum(len(piece) for piece in self.pieces if isinstance(piece, bytes))
        sizes = [size for size, _ in self.wanted]
        spare = free - sum(sizes)
        if len(self.pieces) == 1 or not sizes or spare < 0:
            return None
        growing = [at for at, (_, more) in enumerate(self.wanted) if more] or list(range(len(sizes)))
        for extra in range(spare):  # shared evenly by those that may need it
            sizes[growing[extra % len(growing)]] += 1
        rest = iter(sizes)
        return tuple(piece if isinstance(piece, bytes) else next(rest) for piece in self.pieces)
