"""Blocks are as long as schema and text require, if no length is given."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import pytest

import solver
from solver.tasks.json_schema.lengths import fitting_problem, wished_length
from solver.tasks.text import Hole

KINDS = ("string", "integer", "number", "boolean")


def record(members: int) -> dict[str, Any]:
    names = [f"parameter_{number}" for number in range(members)]
    properties = {name: {"type": KINDS[number % 4]} for number, name in enumerate(names)}
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


ROW = record(2)
TOOL = {"type": "object", "properties": {"name": {"const": "order"}, "arguments": record(20)}}
TOOL |= {"required": ["name", "arguments"], "additionalProperties": False}


@pytest.mark.parametrize(
    "schema",
    [TOOL, record(60), {"type": "array", "items": ROW, "minItems": 40}],
    ids=["tool", "record", "list"],
)
def test_large_schemas_need_no_length(schema: dict[str, Any]) -> None:
    candidate = solver.fill(schema, denoiser="random")
    assert candidate.status == "solved"
    assert 256 < len(candidate.tokens) <= 4096


@pytest.mark.parametrize("schema", [{"type": "integer"}, ROW, {"enum": ["a"]}, True])
def test_small_ones_have_the_usual_block(schema: Any) -> None:
    assert fitting_problem(schema, "a short text").num_cells == 256


def test_every_value_of_a_large_record_has_a_slot() -> None:
    (laid_out,) = fitting_problem(record(60)).layouts()
    assert len(laid_out.holes) == 60


def test_rows_of_the_text_make_room_for_items() -> None:
    rows = {"type": "array", "items": {"$ref": "#/$defs/row"}, "$defs": {"row": ROW}}
    lines = "\n".join(f"{number} pieces of item {number}" for number in range(40))
    assert wished_length(rows, lines) > 4 * wished_length(rows, "two rows, no more")
    assert fitting_problem(rows, lines).num_cells > 1024
    capped = {**rows, "maxItems": 3}
    assert fitting_problem(capped, lines).num_cells == 256


def test_a_length_that_is_given_stays_and_what_fits_no_block_is_refused() -> None:
    assert fitting_problem(ROW, length=100).num_cells == 100
    with pytest.raises(solver.CanvasTooSmall):
        fitting_problem(record(60), length=300)
    with pytest.raises(solver.CanvasTooSmall):
        fitting_problem({"type": "string", "minLength": 5000})


def test_a_template_with_long_literals_leaves_room_for_its_holes() -> None:
    schema = {"type": "array", "items": {"type": "string"}}
    problem = fitting_problem(schema, template=[f'["{"a" * 400}","', Hole(), '"]'])
    assert problem.holes[0][1] >= 64


@pytest.mark.parametrize("minimum", [float("inf"), "many", -1])
def test_bounds_that_are_none_ask_for_nothing(minimum: Any) -> None:
    assert wished_length({"items": {"type": "string"}, "minItems": minimum}, "") <= 20


def test_a_long_text_that_nothing_determines_does_not_repeat_a_character() -> None:
    found = solver.fill({"type": "string", "minLength": 300, "maxLength": 320})
    runs = [len(list(run)) for _, run in groupby(found.value)]
    assert max(runs) < 12
    assert len(set(found.value)) > 15
