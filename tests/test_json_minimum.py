"""The shortest instance of a schema: an error names its length, and a canvas of that length is filled."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from solver.api.fill import fill
from solver.tasks.json_schema.errors import CanvasTooSmall, FillError
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.languages.byte_automaton import string_automaton
from solver.tasks.languages.grammar import PatternGrammar, recognise
from solver.tasks.languages.regex import start_state
from solver.tasks.languages.regex_parser import fullmatch
from solver.tasks.languages.shortest import (
    fewest_characters,
    shortest_lengths,
    shortest_string,
    shortest_text,
)
from tests.test_json_schema import schemas

INTEGER = {"type": "integer"}


def exactly(count: int, items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": count, "maxItems": count}


@pytest.mark.parametrize(
    ("schema", "minimum"),
    [
        (exactly(550, INTEGER), 1101),
        (exactly(40, exactly(40, INTEGER)), 3281),
        (exactly(300, {"type": "string", "minLength": 5}), 2401),
        (exactly(150, {"type": "string", "format": "date-time"}), 3451),
        ({"type": "string", "minLength": 600}, 602),
        ({"type": "string", "pattern": "^(ab|é){900}$"}, 1802),
        ({"type": "string", "pattern": '^["\\\\]\\u0001$'}, 10),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1e-300}, 6),
        ({"const": 1e300}, 5),
        ({"const": 100000}, 3),
        ({"required": ["a", "b"], "type": "object", "additionalProperties": INTEGER}, 13),
    ],
)
def test_the_minimum_of_an_error_is_exact_and_a_canvas_of_that_length_is_filled(
    schema: Any, minimum: int
) -> None:
    with pytest.raises(CanvasTooSmall) as caught:
        fill(schema, length=minimum - 1, denoiser="random")
    assert caught.value.minimum == minimum
    found = fill(schema, length=minimum, denoiser="random")
    assert (len(found.text.encode()), found.counters.forwards) == (minimum, 1)


def test_a_canvas_somewhat_larger_than_the_minimum_is_filled() -> None:
    assert fill(exactly(40, exactly(40, INTEGER)), length=4096, denoiser="random").counters.forwards == 1
    assert fill({"type": "string", "minLength": 2900}, length=4096, denoiser="random").status == "solved"


def test_an_instance_that_no_canvas_has_room_for_is_refused_without_advice_on_lengths() -> None:
    with pytest.raises(CanvasTooSmall, match="has 20002 bytes, and a canvas has at most 4096: ask for less"):
        fill({"type": "string", "minLength": 20_000}, denoiser="random")


def test_a_minimum_that_may_be_too_small_is_named_as_a_bound() -> None:
    with pytest.raises(CanvasTooSmall, match="at least 301 bytes"):  # names would have to differ
        fill({"type": "object", "minProperties": 60}, length=256, denoiser="random")


def minimum_of(schema: Any) -> int | None:
    """The minimum that the error for a canvas of one byte names, if there is one."""
    try:
        JsonProblem.of(schema, length=1)
    except CanvasTooSmall as error:
        return error.minimum
    except FillError:
        pass
    return None


@given(schemas)
def test_no_canvas_below_the_minimum_is_filled_and_the_minimum_is(schema: Any) -> None:
    minimum = minimum_of(schema)
    if minimum is not None:
        assert not JsonProblem.of(schema, length=minimum).unrolled.is_empty
        with pytest.raises(CanvasTooSmall):
            JsonProblem.of(schema, length=minimum - 1)


@pytest.mark.parametrize(
    "pattern", ["", "a+", "(ab|c)d{3,}", "é|xy", '["]|xyz', "\\u0001|abcdefgh", "(?!a)[ab]{2}c*", "x{0}"]
)
def test_a_shortest_string_is_as_short_as_that_of_the_automaton(pattern: str) -> None:
    term = fullmatch(pattern)
    text = shortest_string(term)
    assert text is not None
    automaton = string_automaton(start_state(term), 64, quoted=True)
    escapes = {'"': '\\"', "\x01": "\\u0001"}
    assert automaton.min_length == 1 + sum(len(escapes.get(char, char).encode()) for char in text)
    assert fewest_characters(term) <= len(text)


def test_there_is_no_shortest_string_of_an_empty_set_or_beyond_the_limit() -> None:
    assert shortest_string(fullmatch("(?!a)a")) is None
    with pytest.raises(LookupError):
        shortest_string(fullmatch("a{9}"), max_states=5)


@pytest.mark.parametrize("pattern", ["a+b", "(ab|c)d{3,}", "é?x{2,5}", "[^a]{3}"])
def test_a_shortest_text_is_in_the_grammar_and_has_the_least_length(pattern: str) -> None:
    grammar = PatternGrammar(f"^(?:{pattern})$")
    lengths = shortest_lengths(grammar)
    assert lengths is not None
    text = shortest_text(grammar, lengths)
    assert len(text) == lengths[grammar.start]
    assert recognise(grammar, text)
