"""JSON Schema as a language: it has exactly the valid texts, and every draft of the loop is one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import jsonschema_specifications
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.errors import (
    CanvasTooSmall,
    FillError,
    SchemaError,
    UnsatisfiableSchema,
)
from solver.tasks.json_schema.grammar import SchemaGrammar
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.serialize import serialize
from solver.tasks.json_schema.task import JsonTask
from solver.tasks.languages.grammar import recognise
from solver.tasks.languages.unroll import unroll

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
def test_the_language_is_what_an_independent_validator_accepts(schema: Any, value: Any) -> None:
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
def test_every_draft_of_the_language_is_valid(schema: Any, seed: int) -> None:
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
def test_a_schema_with_a_value_is_never_called_unsatisfiable(schema: Any) -> None:
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


def test_unicode_escapes_and_odd_names_are_written_as_python_does() -> None:
    value = {"": {'q"\\\n\u0001': ["é😀\u2028", "\x7f"]}, "big": 10**40, "small": 1e-07}
    grammar = SchemaGrammar(Compiler(True), 400)
    text = serialize(grammar, value)
    assert text == json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    assert recognise(grammar, text)
    usual = SchemaGrammar(Compiler(True, usual=True), 400)
    small = b'{"small":1e-07}'
    assert recognise(usual, small)
    assert not recognise(usual, small.replace(b"e-07", b"e-7"))


def test_names_are_written_in_the_order_of_the_schema() -> None:
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
def test_each_failure_has_its_error_in_one_line(schema: Any, length: int, error: type[ValueError]) -> None:
    with pytest.raises(error) as caught:
        JsonProblem.of(schema, length=length)
    assert "\n" not in str(caught.value)
    if isinstance(caught.value, CanvasTooSmall):
        assert caught.value.minimum == 302


def test_older_drafts_differ_where_their_specifications_do() -> None:
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


def test_references_reach_the_registry_and_recurse() -> None:
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


# A schema with each keyword that the table of tasks/json_schema/README.md lists, in draft 2020-12 or the draft given.
SAMPLES: dict[str, Any] = {
    "type": "integer",
    "enum": [1, "a"],
    "const": [1],
    "minimum": 1,
    "maximum": 1,
    "exclusiveMinimum": 1,
    "exclusiveMaximum": 1,
    "multipleOf": 2,
    "minLength": 1,
    "maxLength": 1,
    "pattern": "^a",
    "format": "date",
    "properties": {"a": False},
    "patternProperties": {"^a": False},
    "additionalProperties": False,
    "required": ["a"],
    "minProperties": 1,
    "maxProperties": 1,
    "propertyNames": {"maxLength": 1},
    "dependencies": {"a": ["b"]},
    "dependentRequired": {"a": ["b"]},
    "dependentSchemas": {"a": False},
    "items": False,
    "prefixItems": [False],
    "minItems": 1,
    "maxItems": 1,
    "contains": {"const": 1},
    "allOf": [False],
    "anyOf": [False],
    "oneOf": [False],
    "not": True,
    "$ref": "#/$defs/never",
    "$dynamicRef": "#/$defs/never",
    "uniqueItems": True,
    "unevaluatedItems": False,
    "unevaluatedProperties": False,
}
COMPANIONS = {"minContains": 2, "maxContains": 1, "contains": True}
CONDITION = {"if": {"const": 1}, "then": False, "else": False}
SPECIAL: dict[str, tuple[dict[str, Any], int]] = {
    "additionalItems": ({"items": [True], "additionalItems": False}, 2019),
    "minContains": (COMPANIONS, 2020),
    "maxContains": (COMPANIONS, 2020),
    "if": (CONDITION, 2020),
    "then": (CONDITION, 2020),
    "else": (CONDITION, 2020),
    "$recursiveRef": ({"items": {"$recursiveRef": "#"}}, 2019),
}


def keyword_table() -> dict[str, str]:
    """The support of every keyword as README.md states it."""
    readme = Path(__file__).parents[1] / "tasks" / "json_schema" / "README.md"
    rows = [
        line.split("|")
        for line in readme.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `") and line.count("|") == 4  # the columns of this table
    ]
    return {keyword: row[3].strip() for row in rows for keyword in re.findall("`(.+?)`", row[1])}


@pytest.mark.parametrize(("keyword", "support"), keyword_table().items())
def test_the_table_of_keywords_agrees_with_the_compiler(keyword: str, support: str) -> None:
    if support == "none":
        assert keyword not in SAMPLES
        return
    schema, draft = SPECIAL.get(keyword) or ({keyword: SAMPLES[keyword]}, 2020)
    compiler = Compiler({"$defs": {"never": False}, **schema}, draft=draft)
    unrolled = unroll(SchemaGrammar(compiler, 12), cells=12)
    assert set(compiler.declined) == ({keyword} if support == "validator" else set())
    free = unroll(SchemaGrammar(Compiler(True), 12), cells=12)
    assert (
        support == "validator" or len(unrolled.automaton.src) != len(free.automaton.src) or keyword[0] == "$"
    )


def test_every_keyword_of_the_metaschemas_is_in_the_table() -> None:
    registry = jsonschema_specifications.REGISTRY
    drafts = [uri for uri in registry if re.search("2020-12|2019-09|draft-0[467]", uri)]
    keywords = {name for uri in drafts for name in registry.contents(uri).get("properties", {})}
    assert keywords == set(keyword_table())
