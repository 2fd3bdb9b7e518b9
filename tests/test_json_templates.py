"""Templates: literals stand byte for byte, and what fits them is found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solver.api.candidate import Candidate
from solver.api.fill import fill
from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.errors import FillError, TemplateMismatch, UnsatisfiableSchema
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


def test_names_in_a_template_may_have_escapes() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    assert fill(schema, template=['{"\\u0061":', Hole(2), "}"], denoiser="random").value.keys() == {"a"}
    with pytest.raises(TemplateMismatch, match=r"nothing for .* after '{'"):
        fill(schema, template=['{"\\u00', Hole(2), '":', Hole(2), "}"], denoiser="random")


ONE_INTEGER = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
PAIR = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}}


@pytest.mark.parametrize(
    ("schema", "template"),
    [
        (ONE_INTEGER, ['{"zzz":', Hole(5), ',"a":1}']),
        (ONE_INTEGER, ['{"y":[],"zzz":', Hole(5), ',"a":', Hole(2), ',"x":0}']),
        ({"items": PAIR}, ['[{"a":1,"b":"x', Hole(3), '"},{"b":"', Hole(3), '","a":', Hole(2), "}]"]),
        ({"items": PAIR}, ['[{"a":1,"b":""},{"b":"","a":2},', Hole(9), ',{"z":0,"b":"', Hole(2), '"}]']),
        ({"properties": {"a": PAIR, "b": PAIR}}, ['{"b":{"a":1,"b":""},"a":{"b":"","a":', Hole(2), "}}"]),
        ({"const": {"a": "A/"}}, ['{"a":"\\u0041\\/"', Hole(1), "}"]),
        ({"type": "array", "items": {"enum": ["é", 0]}}, [' [ "\\u00e9" , ', Hole(3), " ]"]),
        ({"const": 100000}, ["1e5"]),
        ({"const": 100000}, [Hole(3)]),
        ({"const": {"b": 1, "a": 2}}, ['{"a":2.0 , "\\u0062":10e-1}']),
    ],
)
def test_a_template_is_filled_in_the_order_and_the_spelling_of_its_literals(
    schema: Any, template: list[str | Hole]
) -> None:
    found = fill(schema, template=template, denoiser="random")
    assert found.counters.forwards == 1
    assert valid(schema, found.value)
    position = 0
    for literal in template:
        if isinstance(literal, str):
            position = found.text.index(literal, position) + len(literal)


@pytest.mark.parametrize(
    ("schema", "template", "reason"),
    [
        (ONE_INTEGER, ['{"a":"x"}'], '"x" is not of type "integer"'),
        (ONE_INTEGER, ['{"a":1,"a":2}'], "a name stands twice"),
        (ONE_INTEGER, ['{"a":1'], "not JSON"),
        ({"type": "integer"}, ['"', Hole(3), "x"], "nothing for '\"' after ''"),
        ({"type": "string", "maxLength": 3}, ['"x+yz', Hole(5), '"'], "nothing for 'x\\+yz' after '\"'"),
        ({"type": "string", "minLength": 3}, ['"', Hole(2), '"'], r"\(proven\)"),
        (False, ["[", Hole(2), "]"], "proven"),
    ],
)
def test_a_template_that_no_value_fits_is_refused_before_the_first_forward(
    schema: Any, template: list[str | Hole], reason: str
) -> None:
    with pytest.raises(UnsatisfiableSchema, match=reason) as caught:
        fill(schema, template=template, denoiser="random")
    assert caught.value.forwards == 0


@pytest.mark.parametrize(
    ("schema", "template"),
    [
        (PAIR, ['{"b":', Hole(3), ',"a":[1,', Hole(3), "]}"]),
        ({"const": "A"}, ['"', Hole(1), 'u0042"']),
    ],
)
def test_a_template_that_nothing_was_found_for_is_refused_without_a_claim_of_proof(
    schema: Any, template: list[str | Hole]
) -> None:
    with pytest.raises(TemplateMismatch) as caught:
        fill(schema, template=template, denoiser="random")
    assert caught.value.forwards == 0
    assert "proven" not in str(caught.value)


def test_a_backslash_in_a_hole_may_belong_to_an_escape_of_the_literals() -> None:
    with pytest.raises(TemplateMismatch):  # "\u0041" would fit, but the language has no such escapes
        fill({"const": "A"}, template=['"', Hole(1), 'u0041"'], denoiser="random")
