"""Records that a reader believes in: their texts, candidates of slots, and logits with these probabilities."""

from decimal import Decimal

import numpy as np
import pytest

from solver.models.reader_record import (
    ABSENT,
    FieldBelief,
    RecordWriter,
    candidate_logits,
    compact_text,
    slot_candidates,
    slot_fields,
)
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.task import JsonTask
from solver.tasks.languages.projection import BLANK

STRING = {"type": "string"}


def sure(value: object) -> FieldBelief:
    return FieldBelief((value,), (-0.01,), -5.0)


NOT_GIVEN = FieldBelief(("x",), (-6.0,), -0.01)


def test_a_text_is_canonical_json() -> None:
    value = {"a": [Decimal("1250.50"), Decimal(3), None, True], "é": '"\n'}
    assert compact_text(value) == '{"a":[1250.5,3,null,true],"é":"\\"\\n"}'


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, b'{"b":"y"}'),
        ({"required": ["a", "b"]}, b'{"a":"x","b":"y"}'),
        (
            {"required": ["a"], "properties": {"a": {"type": ["string", "null"]}, "b": STRING}},
            b'{"a":null,"b":"y"}',
        ),
    ],
)
def test_an_absent_field_is_left_out_or_null_or_the_likeliest(extra: dict, expected: bytes) -> None:
    schema = {"properties": {"a": STRING, "b": STRING}, **extra}
    assert RecordWriter(schema, {"/a": NOT_GIVEN, "/b": sure("y")}).text({}) == expected


def test_an_array_ends_at_the_first_item_that_is_not_given() -> None:
    schema = {"properties": {"rows": {"type": "array", "items": {"properties": {"n": STRING, "m": STRING}}}}}
    beliefs = {"/rows/0/n": sure("a"), "/rows/0/m": NOT_GIVEN, "/rows/1/n": NOT_GIVEN, "/rows/1/m": sure("b")}
    beliefs |= {f"/rows/{index}/{name}": NOT_GIVEN for index in range(2, 12) for name in "nm"}
    assert RecordWriter(schema, beliefs).text({}) == b'{"rows":[{"n":"a"},{"m":"b"}]}'


def test_an_optional_object_without_values_is_left_out() -> None:
    inner = {"type": "object", "properties": {"a": STRING}, "required": ["a"]}
    schema = {"properties": {"inner": inner, "b": STRING}}
    assert RecordWriter(schema, {"/inner/a": NOT_GIVEN, "/b": sure("y")}).text({}) == b'{"b":"y"}'
    schema["required"] = ["inner"]
    assert (
        RecordWriter(schema, {"/inner/a": NOT_GIVEN, "/b": sure("y")}).text({})
        == b'{"inner":{"a":"x"},"b":"y"}'
    )


def test_the_alternative_with_the_likeliest_constant_is_written() -> None:
    schema = {
        "oneOf": [
            {"properties": {"kind": {"const": kind}, name: STRING}, "required": ["kind", name]}
            for kind, name in (("card", "number"), ("bank", "iban"))
        ]
    }
    beliefs = {
        "/kind": FieldBelief(("bank", "card"), (-0.1, -2.0), -9.0),
        "/number": sure("1"),
        "/iban": sure("2"),
    }
    assert RecordWriter(schema, beliefs).text({}) == b'{"kind":"bank","iban":"2"}'
    assert RecordWriter(schema, beliefs).text({"/kind": "card"}) == b'{"kind":"card","number":"1"}'


def test_a_slot_of_optional_members_has_a_text_for_each_change() -> None:
    schema = {"properties": {"a": STRING, "b": STRING, "c": STRING}, "required": ["a"]}
    beliefs = {"/a": sure("x"), "/b": FieldBelief(("y", "z"), (-0.5, -2.0), -1.5), "/c": NOT_GIVEN}
    texts, fields = slot_fields(schema, beliefs, (b'{"a":', 8, b',"b"', 40, b"}"))
    assert list(texts[1]) == [
        b':"y"',
        b':"z"',
        b':"y","c":"x"',
    ]  # that it is absent does not fit the literals
    assert fields[1]["/b"] == {b':"y"': "y", b':"z"': "z"}
    assert texts[1][b':"y"'] == pytest.approx(-0.51)


def test_items_and_optional_members_are_dropped_until_the_record_fits() -> None:
    schema = {"properties": {"rows": {"type": "array", "items": STRING}, "a": STRING}, "required": ["rows"]}
    beliefs = {f"/rows/{index}": sure(f"text {index}") for index in range(12)} | {"/a": sure("optional")}
    (texts,) = slot_candidates(schema, beliefs, (b'{"rows":', 30, b"}"))
    assert next(iter(texts)) == b'["text 0"],"a":"optional"'
    (texts,) = slot_candidates(schema, beliefs, (b'{"rows":', 8, b"}"))
    assert next(iter(texts)) == b"[]"


def test_where_no_record_fits_the_literals_no_slot_has_candidates() -> None:
    assert slot_candidates({"properties": {"a": STRING}}, {"/a": sure("x")}, (b'{"b":', 8, b"}")) == [{}]


def test_the_language_conditioned_on_the_logits_has_the_probabilities_of_the_candidates() -> None:
    names = {"Ann": 0.5, "Anna": 0.2, "Bob": 0.2, "Hannah": 0.1}
    schema = {"type": "object", "properties": {"name": {"enum": list(names)}}, "required": ["name"]}
    problem = JsonProblem.of(schema | {"additionalProperties": False}, length=24).layouts()[0]
    (start, size), logits = problem.holes[0], np.zeros((24, BLANK + 1), np.float32)
    texts = {f'"{name}"'.encode(): float(np.log(p)) for name, p in names.items()}
    logits[start : start + size] = candidate_logits(texts, size)
    tokens, pinned = problem.given
    projected = JsonTask().project(problem, logits, tokens, pinned)
    assert JsonTask().decode(problem, projected.best) == '{"name":"Ann"}'
    columns = np.arange(BLANK + 1) if projected.columns is None else projected.columns

    def marginal(cell: int, byte: int) -> float:
        return float(projected.marginals[start + cell, columns == byte].sum())

    assert marginal(1, ord("A")) == pytest.approx(0.7, abs=0.01)
    assert marginal(4, ord("a")) == pytest.approx(0.2, abs=0.01)
    assert marginal(1, ord("H")) == pytest.approx(0.1, abs=0.01)


def test_values_that_are_not_in_the_text_are_no_choice() -> None:
    belief = FieldBelief(("x",), (-6.0,), -0.01)
    assert belief.best is ABSENT
    assert belief.required().best == "x"
    assert belief.required().log_p == pytest.approx((0.0,))
