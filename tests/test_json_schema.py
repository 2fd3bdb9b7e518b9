"""JSON Schema as a language: what is in it is valid, what is valid is in it, and every draft of the loop is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solver.api.candidate import Candidate
from solver.api.fill import fill
from solver.loop.refine import refine
from solver.loop.trace import Budget, Outcome, Step
from solver.models.controls import REDRAW
from solver.models.registry import load
from solver.tasks.json_schema import formats
from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.errors import (
    BudgetExhausted,
    CanvasTooSmall,
    FillError,
    SchemaError,
    UnsatisfiableSchema,
)
from solver.tasks.json_schema.formula import and_, leaf, not_, or_
from solver.tasks.json_schema.grammar import SchemaGrammar
from solver.tasks.json_schema.numbers import number_automaton
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.serialize import accepts_bytes, serialize
from solver.tasks.json_schema.source_map import byte_spans
from solver.tasks.json_schema.task import JsonTask
from solver.tasks.languages import projection as language
from solver.tasks.languages.grammar import recognise
from solver.tasks.languages.regex import matches
from solver.tasks.languages.unroll import unroll
from solver.tasks.task import Violation
from solver.tasks.text import Hole

# Schemas and values from the same few parts, so that they meet often.
names = st.sampled_from(["a", "b", "é", 'q"', ""])
scalars = st.sampled_from([None, True, False, 0, 1, -7, 2.5, 12, "", "a", "xyz", "é"])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=5,
)
simple = st.one_of(
    st.booleans(),
    st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"]).map(
        lambda t: {"type": t}
    ),
    st.sampled_from([{"minimum": 1}, {"exclusiveMaximum": 2.5}, {"multipleOf": 2}, {"multipleOf": 0.5}]),
    st.sampled_from([{"minLength": 1}, {"maxLength": 2}, {"pattern": "^[a-y]"}, {"pattern": "a|z$"}]),
    scalars.map(lambda v: {"const": v}),
    st.lists(scalars, min_size=1, max_size=3).map(lambda vs: {"enum": vs}),
    values.map(lambda v: {"const": v}),
)


def larger(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        st.dictionaries(names, inner, min_size=1, max_size=3).map(lambda p: {"properties": p}),
        st.tuples(st.dictionaries(names, inner, max_size=2), inner).map(
            lambda x: {
                "type": "object",
                "properties": x[0],
                "additionalProperties": x[1],
                "required": list(x[0])[:1],
            }
        ),
        st.tuples(inner, inner).map(
            lambda x: {"patternProperties": {"^[ab]": x[0]}, "additionalProperties": x[1]}
        ),
        inner.map(lambda x: {"items": x}),
        st.tuples(some, inner).map(lambda x: {"prefixItems": x[0], "items": x[1]}),
        st.tuples(inner, st.integers(0, 2), st.integers(1, 2)).map(
            lambda x: {"contains": x[0], "minContains": x[1], "maxContains": x[2]}
        ),
        some.map(lambda x: {"anyOf": x}),
        some.map(lambda x: {"allOf": x}),
        some.map(lambda x: {"oneOf": x}),
        inner.map(lambda x: {"not": x}),
        st.tuples(inner, inner, inner).map(lambda x: {"if": x[0], "then": x[1], "else": x[2]}),
        st.tuples(names, names).map(lambda x: {"dependentRequired": {x[0]: [x[1]]}}),
        st.tuples(names, inner).map(lambda x: {"dependentSchemas": {x[0]: x[1]}}),
        st.sampled_from([{"minItems": 1}, {"maxItems": 1}, {"minProperties": 1}, {"maxProperties": 1}]),
        st.sampled_from([{"propertyNames": {"maxLength": 1}}, {"propertyNames": {"pattern": "^[a-c]"}}]),
        st.tuples(inner, inner).map(
            lambda x: {**(x[0] if isinstance(x[0], dict) else {}), **(x[1] if isinstance(x[1], dict) else {})}
        ),
    )


schemas = st.recursive(simple, larger, max_leaves=5)


def valid(schema: Any, value: Any) -> bool:
    """By the other validator: the one that did not steer."""
    return bool(jsonschema.Draft202012Validator(schema).is_valid(value))


@given(schemas, values)
def test_language_is_validity(schema: Any, value: Any) -> None:
    compiler = Compiler(schema)
    grammar = SchemaGrammar(compiler, 256)
    text = serialize(grammar, value)
    if compiler.declined:
        assert text is not None or not valid(schema, value)  # too large at most
    else:
        assert (text is not None) == valid(schema, value)
    if text is not None:
        assert json.loads(text) == value
        assert recognise(grammar, text)


@settings(max_examples=30)
@given(schemas, st.integers(0, 1 << 30))
def test_every_draft_is_valid(schema: Any, seed: int) -> None:
    try:
        form = JsonProblem.of(schema, length=40)
    except FillError:
        return
    if form.compiler.declined:
        return
    task, rng = JsonTask(), np.random.default_rng(seed)
    tokens, pinned = form.given
    found = task.project(form, rng.normal(size=(40, 257)).astype(np.float32) * 3, tokens, pinned, rng)
    assert found is not None
    for block in (found.best, found.sample):
        if re.search(r"[0-9.]{17}", task.decode(form, block)):
            continue  # exact in the language, a float to both validators
        assert task.verify(form, block)
        assert valid(schema, json.loads(task.decode(form, block)))


@settings(max_examples=40)
@given(schemas)
def test_no_schema_is_called_unsatisfiable_that_has_a_value(schema: Any) -> None:
    try:
        JsonProblem.of(schema, length=30)
    except UnsatisfiableSchema:
        for value in [
            None,
            True,
            False,
            0,
            1,
            -7,
            2.5,
            12,
            "",
            "a",
            "xyz",
            [],
            {},
            [1],
            {"a": 1},
            {"b": None},
        ]:
            assert not valid(schema, value)
    except CanvasTooSmall:
        pass


BOUNDS = ["0", "1", "-1", "5", "12", "-37", "0.5", "-0.25", "100", "999", "65535", "3.75", "1e20", "1e-7"]
numerals = st.one_of(
    st.integers(-1200, 1200).map(str),
    st.decimals(-60, 60, places=2).map(str),
    st.sampled_from(["-0", "-0.0", "12.50", "5.000", "1e+20", "2.5e+17", "1e-07", "3e-05", "65535", "65536"]),
)
assertions = st.one_of(
    st.tuples(st.sampled_from([">=", ">", "<=", "<"]), st.sampled_from(BOUNDS)).map(
        lambda x: leaf("compare", x[0], Decimal(x[1]))
    ),
    st.sampled_from(["1", "2", "3", "0.5", "0.01", "7", "100"]).map(lambda x: leaf("multiple", Decimal(x))),
    st.lists(st.sampled_from(BOUNDS), min_size=1, max_size=3).map(
        lambda x: leaf("among", frozenset(map(Decimal, x)))
    ),
)


def holds(formula: Any, number: Decimal) -> bool:
    if formula.op == "leaf":
        name, *rest = formula.parts
        if name == "compare":
            return {
                ">=": number >= rest[1],
                ">": number > rest[1],
                "<=": number <= rest[1],
                "<": number < rest[1],
            }[rest[0]]
        return number % rest[0] == 0 if name == "multiple" else number in rest[0]
    parts = [holds(part, number) for part in formula.parts]
    return {"and": all(parts), "or": any(parts), "not": not any(parts), "yes": True, "no": False}[formula.op]


@given(assertions, assertions, numerals)
def test_numbers(one: Any, other: Any, numeral: str) -> None:
    for formula in (and_([one, other]), or_([one, not_(other)])):
        inside = accepts_bytes(number_automaton(formula, 40), numeral.encode())
        expected = holds(formula, Decimal(numeral))
        if "e" in numeral:  # some numbers are only written out
            assert not inside or expected
        else:
            assert inside == expected


@pytest.mark.parametrize("name", sorted(formats.PATTERNS))
def test_formats_are_asserted_when_generating(name: str) -> None:
    found = fill({"type": "string", "format": name}, denoiser="random", length=64)
    assert isinstance(found, Candidate)
    term = formats.term(name)
    assert term is not None
    assert matches(term, found.value)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date", "2024-02-29", "2023-02-29"),
        ("date-time", "2023-01-31T23:59:59Z", "2023-04-31T00:00:00Z"),
        ("ipv4", "127.0.0.1", "256.0.0.1"),
        ("ipv6", "::1", "1::2::3"),
        ("uuid", "2eb8aa08-aa98-11ea-b4aa-73b441d16380", "2eb8aa08-aa98-11ea-b4aa-73b441d1638"),
        ("email", "ada@example.org", "@example.org"),
        ("uri", "http://a.b/c?d#e", "no uri"),
        ("hostname", "a-b.c", "-a.b"),
        ("duration", "P1DT2H", "P"),
        ("json-pointer", "/a~1b", "/a~2"),
    ],
)
def test_formats(name: str, good: str, bad: str) -> None:
    term = formats.term(name)
    assert term is not None
    assert matches(term, good)
    assert not matches(term, bad)


def test_unicode_escapes_and_odd_names() -> None:
    value = {"": {'q"\\\n\u0001': ["é😀\u2028", "\x7f"]}, "big": 10**40, "small": 1e-07}
    grammar = SchemaGrammar(Compiler(True), 400)
    text = serialize(grammar, value)
    assert text == json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    assert recognise(grammar, text)
    assert not recognise(grammar, text.replace(b"e-07", b"e-7"))


def test_names_stand_in_the_schemas_order() -> None:
    grammar = SchemaGrammar(Compiler({"properties": {"z": True, "a": True}}), 100)
    assert serialize(grammar, {"other": 1, "a": 2, "z": 3}) == b'{"z":3,"a":2,"other":1}'
    assert not recognise(grammar, b'{"a":2,"z":3}')


@pytest.mark.parametrize(
    ("schema", "length", "error"),
    [
        (False, 64, UnsatisfiableSchema),
        ({"allOf": [{"type": "string"}, {"type": "integer"}]}, 64, UnsatisfiableSchema),
        ({"type": "integer", "minimum": 5, "maximum": 4}, 64, UnsatisfiableSchema),
        ({"type": "string", "pattern": "^a$", "minLength": 2}, 64, UnsatisfiableSchema),
        (
            {
                "$ref": "#/$defs/a",
                "$defs": {
                    "a": {"type": "object", "properties": {"n": {"$ref": "#/$defs/a"}}, "required": ["n"]}
                },
            },
            64,
            UnsatisfiableSchema,
        ),
        ({"type": "string", "minLength": 300}, 64, CanvasTooSmall),
        ({"type": "x"}, 64, SchemaError),
        (3, 64, SchemaError),
        ({"$ref": "#/nope"}, 64, SchemaError),
        ({"$ref": "http://127.0.0.1:9/never"}, 64, SchemaError),
        ({"$schema": "http://example.org/draft-99"}, 64, SchemaError),
        ({"minimum": "a"}, 64, SchemaError),
        (True, 0, SchemaError),
    ],
)
def test_failures_are_typed(schema: Any, length: int, error: type[ValueError]) -> None:
    with pytest.raises(error) as caught:
        JsonProblem.of(schema, length=length)
    assert "\n" not in str(caught.value)
    if isinstance(caught.value, CanvasTooSmall):
        assert caught.value.minimum == 302


def test_older_drafts() -> None:
    old = {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "minimum": 3,
        "exclusiveMinimum": True,
        "type": "integer",
    }
    assert serialize(SchemaGrammar(Compiler(old), 20), 3) is None
    assert serialize(SchemaGrammar(Compiler(old), 20), 4) == b"4"
    seven = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "items": [{"type": "null"}],
        "additionalItems": False,
    }
    assert serialize(SchemaGrammar(Compiler(seven), 20), [None]) == b"[null]"
    assert serialize(SchemaGrammar(Compiler(seven), 20), [None, None]) is None


def test_registry_and_recursion() -> None:
    tree = {
        "type": "object",
        "properties": {"next": {"$ref": "http://x.org/tree"}},
        "additionalProperties": False,
    }
    grammar = SchemaGrammar(
        Compiler({"$ref": "http://x.org/tree"}, registry={"http://x.org/tree": tree}), 100
    )
    assert serialize(grammar, {"next": {"next": {}}}) == b'{"next":{"next":{}}}'
    assert not unroll(grammar, 40).is_empty


def test_template_stands_byte_for_byte() -> None:
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
def test_what_stood_in_the_gaps_of_a_template_is_possible(schema: Any, value: Any, seed: int) -> None:
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
def test_names_of_a_template_stand_in_any_order(template: list[str | Hole]) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {}}, "required": ["a", "b"]}
    found = fill(schema, template=template, denoiser="random")
    assert isinstance(found, Candidate)
    assert set(found.value) == {"a", "b"}


def test_checks_remask_only_their_part() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 9}, "b": {"const": "x"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    }

    def seven(value: Any) -> Iterator[Violation]:
        if value["a"] != 7:
            yield Violation("not 7", path="/a")

    model = load("random", JsonTask())
    *steps, outcome = refine(
        JsonTask(), JsonProblem.of(schema, checks=[seven], length=20), model, REDRAW, Budget(forwards=200)
    )
    assert isinstance(outcome, Outcome)
    assert outcome.status == "solved"
    wrong = [step for step in steps if isinstance(step, Step) and step.violations]
    assert wrong
    for step in wrong:
        text = bytes(step.draft[step.draft < 256].astype(np.uint8))
        assert step.violations[0].cells == tuple(range(text.index(b":") + 1, text.index(b",")))


def test_the_validator_runs_once_for_each_draft_rejected_or_not() -> None:
    class CountingValidator:
        def __init__(self, validator: Any) -> None:
            self.validator, self.calls = validator, 0

        def iter_errors(self, instance: Any) -> Any:
            self.calls += 1
            return self.validator.iter_errors(instance)

    schema = {"type": "integer", "minimum": 0, "maximum": 9}
    problem = JsonProblem.of(schema, checks=[lambda value: value == 7], length=2)
    problem = replace(problem, validator=CountingValidator(problem.validator))
    *steps, outcome = refine(JsonTask(), problem, load("random", JsonTask()), REDRAW, Budget(forwards=50))
    assert len(steps) > 1
    assert isinstance(outcome, Outcome)
    assert outcome.status == "solved"
    assert problem.validator.calls == len(steps)


def test_budget_says_what_is_wrong() -> None:
    def never(value: Any) -> Iterator[Violation]:
        yield Violation("never", path="")

    with pytest.raises(BudgetExhausted, match="never") as caught:
        fill({"type": "integer"}, check=never, denoiser="random", budget=Budget(forwards=3), length=8)
    assert json.loads(caught.value.best) is not None


def test_spans() -> None:
    text = '{"é": [1, {"b": "x\\n"}], "c":-1.5}'.encode()
    found = byte_spans(text)
    assert text[slice(*found["é", 1, "b"])] == b'"x\\n"'
    assert text[slice(*found["c",])] == b"-1.5"
    assert text[slice(*found["é", 0])] == b"1"
    assert found[()] == (0, len(text))
    assert text[slice(*found["#é",])] == '"é"'.encode()


def test_pydantic_like_models() -> None:
    class Model:
        @staticmethod
        def model_json_schema() -> dict[str, Any]:
            return {
                "type": "object",
                "properties": {"x": {"type": "boolean"}},
                "required": ["x"],
                "additionalProperties": False,
            }

    found = fill(Model, denoiser="random", length=16)
    assert isinstance(found, Candidate)
    assert found.value in ({"x": True}, {"x": False})


def test_white_space_stands_anywhere_in_a_template() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    template = ['{ "a" :\t', Hole(2), ' ,\n "other"  : ', Hole(4), " } "]
    found = fill(schema, template=template, denoiser="random")
    assert isinstance(found, Candidate)
    assert found.text.startswith('{ "a" :\t')
    assert set(found.value) == {"a", "other"}


def test_nothing_is_proven_of_names_that_are_spelled_in_another_way() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    with pytest.raises(BudgetExhausted):
        fill(schema, template=['{"\\u0061":', Hole(2), "}"], denoiser="random", budget=Budget(20))


def test_validation_imports_neither_torch_nor_numpy() -> None:
    code = "import sys, solver.tasks.json_schema.validator; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "numba"} & set(done.stdout.split())
