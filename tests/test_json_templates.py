"""Templates: literals stand byte for byte, and what fits them is found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solver.api.candidate import Candidate
from solver.api.fill import fill
from solver.loop.trace import Budget
from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.errors import (
    BudgetExhausted,
    FillError,
)
from solver.tasks.json_schema.grammar import SchemaGrammar
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.serialize import serialize
from solver.tasks.languages import projection as language
from solver.tasks.text import Hole
from tests.test_json_schema import schemas, valid, values


def test_literals_of_a_template_are_kept_byte_for_byte() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "string"}},
        "required": ["a", "b"],
    }
    parts = ['{ "b" : "'.replace(" :", ":"), Hole(5), '",\n  "a": ', Hole(3), " }\n"]
    found = fill(schema, template=parts, denoiser="random")
    assert isinstance(found, Candidate)
    assert found.text.startswith('{ "b": "')
    assert '",\n  "a": ' in found.text
    assert found.text.endswith(" }\n")
    assert valid(schema, found.value)
    with pytest.raises(FillError, match="template"):
        fill(schema, template=['{"b":1,"a":', Hole(3), "}"], denoiser="random")


@settings(max_examples=40)
@given(schemas, values, st.integers(0, 1 << 30))
def test_a_text_with_holes_fits_its_own_template(schema: Any, value: Any, seed: int) -> None:
    text = serialize(SchemaGrammar(Compiler(schema), 256), value)
    if text is None or not valid(schema, value):
        return
    kept = np.random.default_rng(seed).random(len(text.decode())) < 0.5
    parts = [
        character if keep else Hole(len(character.encode()))
        for character, keep in zip(text.decode(), kept, strict=True)
    ]
    form = JsonProblem.of(schema, template=parts)
    tokens = np.frombuffer(text, np.uint8).astype(np.int64)
    assert language.is_possible(form.unrolled, form.slots, *form.given)
    if form.unrolled.complete:
        assert language.is_possible(form.unrolled, form.slots, tokens, np.ones(len(text), bool))


@pytest.mark.parametrize(
    "template",
    [
        ['{"', Hole(1), '":', Hole(1), ',"a":1}'],  # b stands first
        ['{"b":"', Hole(2), '","a":', Hole(1), "}"],
        ['{"a":', Hole(1), ',"', Hole(1), '":"x"}'],
    ],
)
def test_names_of_a_template_may_have_any_order(template: list[str | Hole]) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {}}, "required": ["a", "b"]}
    found = fill(schema, template=template, denoiser="random")
    assert isinstance(found, Candidate)
    assert set(found.value) == {"a", "b"}


def test_a_template_may_have_white_space_anywhere() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    template = ['{ "a" :\t', Hole(2), ' ,\n "other"  : ', Hole(4), " } "]
    found = fill(schema, template=template, denoiser="random")
    assert isinstance(found, Candidate)
    assert found.text.startswith('{ "a" :\t')
    assert set(found.value) == {"a", "other"}


def test_escaped_names_in_a_template_prove_nothing() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    with pytest.raises(BudgetExhausted):
        fill(schema, template=['{"\\u0061":', Hole(2), "}"], denoiser="random", budget=Budget(20))
