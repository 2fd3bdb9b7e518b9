"""Alternatives of a schema: the language is exact, and its size does not double with each of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver.api.fill import fill
from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.constants import evaluate, one_of, value_key
from solver.tasks.json_schema.formula import NO, YES, exactly_one, leaf
from solver.tasks.json_schema.grammar import SchemaGrammar
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.scalars import Multiple, count_remainders
from solver.tasks.json_schema.serialize import serialize
from solver.tasks.languages.finite import finite_strings
from solver.tasks.languages.grammar import recognise
from solver.tasks.languages.match_sets import match_sets
from solver.tasks.languages.regex import matches
from solver.tasks.languages.regex_parser import search
from solver.tasks.languages.unroll import unroll
from solver.tasks.languages.word_graph import literals_automaton, without_words, word_graph

Schema = dict[str, Any]


def tool(number: int, tag_first: bool = True) -> Schema:
    """A tool that is told from others by its tag, with an argument of its own."""
    argument = f"p{number}"
    arguments = {
        "type": "object",
        "properties": {argument: {"type": "integer"}},
        "required": [argument],
        "additionalProperties": False,
    }
    members = {"tool": {"const": f"tool_{number}"}, "args": arguments}
    return {
        "type": "object",
        "properties": members if tag_first else dict(reversed(members.items())),
        "required": ["tool", "args"],
        "additionalProperties": False,
    }


def conditional(number: int) -> Schema:
    members = tool(number)["properties"]
    return {
        "if": {"properties": {"tool": members["tool"]}},
        "then": {"properties": {"args": members["args"]}},
    }


def unions(size: int) -> Iterator[tuple[str, Schema]]:
    """Schemas with ``size`` alternatives each."""
    tools = [tool(number) for number in range(size)]
    yield "anyOf", {"anyOf": tools}
    yield "oneOf", {"oneOf": tools}
    yield "tag last", {"oneOf": [tool(number, tag_first=False) for number in range(size)]}
    yield "untagged", {"anyOf": [it["properties"]["args"] for it in tools]}
    yield "open", {"oneOf": [{**it, "additionalProperties": True} for it in tools]}
    yield "references", {"$defs": {"t": {"anyOf": tools}}, "properties": {"call": {"$ref": "#/$defs/t"}}}
    tags = {"enum": [f"tool_{number}" for number in range(size)]}
    members = {"type": "object", "properties": {"tool": tags}, "required": ["tool", "args"]}
    yield "if and then", {**members, "allOf": [conditional(number) for number in range(size)]}
    yield "enum of objects", {"enum": [{"id": number, "pair": [number, "x"]} for number in range(size)]}
    patterns = {f"^k{number}_": {"type": "integer", "minimum": number} for number in range(size)}
    yield "patterns", {"type": "object", "patternProperties": patterns, "additionalProperties": False}


def instances(size: int) -> Iterator[Any]:
    """Objects near the unions: right ones, and ones with a wrong tag, argument or name."""
    tags = [*(f"tool_{number}" for number in range(0, size, 2)), "tool_x", 3]
    arguments = [
        *({f"p{number}": number} for number in range(0, size, 3)),
        {},
        {"p0": "x"},
        {"p0": 1, "p1": 1},
        7,
    ]
    for tag, argument in itertools.product(tags, arguments):
        yield {"tool": tag, "args": argument}
        yield {"call": {"tool": tag, "args": argument}}
    yield from arguments
    for number, value in itertools.product(range(size), (0, size, "x")):
        yield {f"k{number}_": value}
        yield {"id": number, "pair": [value, "x"]}
        yield {"id": number, "pair": [number, "x"]}
    yield from ({"tool": "tool_0"}, {"k1_": 9, "k2_": 9}, {"k1_": 9, "z": 9}, [], "tool_0")


@pytest.mark.parametrize("size", [2, 7, 12])
def test_a_union_of_any_kind_has_exactly_the_valid_instances(size: int) -> None:
    for name, schema in unions(size):
        compiler, validator = Compiler(schema), jsonschema_rs.validator_for(schema)
        grammar = SchemaGrammar(compiler, 256)
        for instance in instances(size):
            text = serialize(grammar, instance)
            assert (text is not None) == validator.is_valid(instance), (name, instance)
            assert text is None or recognise(grammar, text)
        assert compiler.declined == {}, name


def states(schema: Any) -> int:
    return unroll(SchemaGrammar(Compiler(schema), 64), 64).automaton.num_states


@pytest.mark.parametrize("name", [name for name, _ in unions(2) if name != "if and then"])
def test_the_automaton_of_a_union_grows_with_the_number_of_alternatives_only(name: str) -> None:
    few, many = states(dict(unions(8))[name]), states(dict(unions(24))[name])
    assert many < 3.5 * few


@pytest.mark.parametrize("name", ["anyOf", "oneOf", "open", "tag last", "if and then"])
def test_a_hundred_tools_are_filled_with_one_forward(name: str) -> None:
    schema = dict(unions(100))[name]
    problem = JsonProblem.of(schema, length=64)
    assert problem.compiler.declined == {}
    assert fill(schema, denoiser="random", length=64).counters.forwards == 1


@pytest.mark.parametrize(
    "values", [[k * k for k in range(10_000)], [f"s{k * 7919:x}" for k in range(10_000)]]
)
def test_ten_thousand_constants_make_one_small_automaton(values: list[Any]) -> None:
    grammar = SchemaGrammar(Compiler({"anyOf": [{"const": value} for value in values]}, usual=True), 32)
    assert serialize(grammar, values[7]) is not None
    assert serialize(grammar, f"{values[7]}7") is None
    assert unroll(grammar, 32).automaton.num_states < len(values)


def test_a_list_of_tools_is_filled_with_one_forward() -> None:
    schema = {"type": "array", "items": {"oneOf": [tool(number) for number in range(100)]}, "minItems": 2}
    candidate = fill(schema, denoiser="random", length=128)
    assert len(candidate.value) >= 2
    assert candidate.counters.forwards == 1


small = st.sampled_from([None, True, 0, 1, 2.5, "", "a", "b", [], [1], {}, {"a": 1}, {"a": [1], "b": "a"}])
tables = st.lists(small, min_size=1, max_size=8)
parts = st.one_of(
    tables.map(lambda values: {"enum": values}),
    small.map(lambda value: {"const": value}),
    st.sampled_from(
        [{"type": "string"}, {"minimum": 1}, {"maxLength": 0}, {"minProperties": 1}, {"maxItems": 0}]
    ),
    tables.map(lambda values: {"properties": {"a": {"enum": values}}}),
    tables.map(lambda values: {"items": {"enum": values}, "minItems": 1}),
    tables.map(lambda values: {"items": {"enum": values}, "uniqueItems": True}),
)
mixtures = st.lists(parts, min_size=2, max_size=7)


@given(st.sampled_from(["anyOf", "oneOf", "allOf"]), mixtures, st.booleans())
def test_constants_among_alternatives_stay_exact(keyword: str, alternatives: list[Any], nested: bool) -> None:
    schema: Any = {keyword: alternatives}
    values = [
        None,
        False,
        1,
        3,
        "a",
        "ab",
        [1],
        [1, 1.0],
        ["a", "b"],
        {"a": 1},
        {"a": [1], "b": "a"},
        {"a": "c"},
    ]
    if nested:
        schema, values = {"properties": {"a": schema}}, [{"a": value} for value in values]
    compiler, validator = Compiler(schema), jsonschema_rs.validator_for(schema)
    grammar = SchemaGrammar(compiler, 256)
    formula = compiler.formula(compiler.root)
    for value in values:
        valid, text = validator.is_valid(value), serialize(grammar, value)
        assert evaluate(compiler, formula, value) is (YES if valid else NO)
        assert (text is not None) == valid or (text is not None and compiler.declined)


@given(tables, tables)
def test_an_enumeration_has_the_values_that_equal_one_of_it(values: list[Any], others: list[Any]) -> None:
    compiler = Compiler({"enum": values})
    assert compiler.formula(compiler.root).op == one_of(values).op
    keys = {*map(value_key, values)}
    for value in others:
        text = serialize(SchemaGrammar(compiler, 64), value)
        assert (text is not None) == (value_key(value) in keys)
        assert text is None or value_key(json.loads(text)) == value_key(value)


@pytest.mark.parametrize("count", [3, 10])
def test_all_of_n_values_are_written_in_some_order(count: int) -> None:
    letters = "abcdefghij"[:count]
    schema = {"type": "array", "items": {"enum": [*letters]}, "uniqueItems": True, "minItems": count}
    candidate = fill(schema, denoiser="random", length=64)
    assert sorted(candidate.value) == [*letters]
    assert candidate.counters.forwards == 1
    assert serialize(SchemaGrammar(Compiler(schema), 64), [*letters[1:], letters[1]]) is None


def test_optional_members_of_alternatives_do_not_double_the_states() -> None:
    def optional(count: int) -> Schema:
        members = {f"m{number}": {"type": "integer"} for number in range(count)}
        return {"anyOf": [{"properties": members, "additionalProperties": False}, {"required": ["other"]}]}

    assert states(optional(12)) < 3.5 * states(optional(4))


@pytest.mark.parametrize(("divisor", "count"), [("86400", 141), ("1", 1), ("7", 7), ("0.25", 1), ("1000", 4)])
def test_a_multiple_needs_only_remainders_that_further_digits_tell_apart(divisor: str, count: int) -> None:
    assert count_remainders(Decimal(divisor)) == count


@given(
    st.sampled_from(["86400", "600", "48", "7", "2.5", "0.25", "0.03"]),
    st.decimals(0, 10**7, places=3) | st.integers(0, 300).map(lambda factor: Decimal(factor) * 43200),
)
def test_a_follower_of_multiples_agrees_with_arithmetic(divisor: str, number: Decimal) -> None:
    follower = Multiple(Decimal(divisor))
    state = follower.start
    for symbol in f"{number:f}":
        state = follower.point(state) if symbol == "." else follower.digit(state, int(symbol))
    assert follower.holds(state, negative=False) == (number % Decimal(divisor) == 0)


def test_a_result_names_the_keywords_that_only_the_validator_decided() -> None:
    schema = {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "uniqueItems": True}
    assert fill(schema, denoiser="random", length=16).declined == ()
    schema["items"] = {"type": "integer"}
    assert fill(schema, denoiser="random", length=16).declined == ("uniqueItems",)


def test_names_are_ordered_alike_whichever_formula_was_made_first() -> None:
    first, second = leaf("required", "made first"), leaf("required", "made second")
    assert exactly_one([second, first]).parts == (second, first)


def test_distinct_values_without_a_finite_list_are_left_to_the_validator() -> None:
    for items in ({"type": "string"}, {"enum": [*range(11)]}):
        compiler = Compiler({"items": items, "uniqueItems": True})
        assert not unroll(SchemaGrammar(compiler, 16), 16).is_empty
        assert set(compiler.declined) == {"uniqueItems"}


@given(st.sets(st.text("abé\n", max_size=4), max_size=12))
def test_a_word_graph_has_exactly_its_words_and_no_two_equal_nodes(words: set[str]) -> None:
    graph = word_graph([word.encode() for word in words])
    texts: list[set[bytes]] = []
    for is_final, edges in graph:
        longer = {bytes([symbol]) + text for symbol, target in edges for text in texts[target]}
        texts.append(longer | ({b""} if is_final else set()))
    assert texts[-1] == {word.encode() for word in words}
    assert len({*map(frozenset, texts[:-1])}) == len(texts) - 1
    automaton = literals_automaton(tuple(sorted(texts[-1])))
    assert automaton.min_length == min(map(len, texts[-1]), default=-1)
    for removed in (texts[-1], {text for text in texts[-1] if len(text) % 2}):
        rest = without_words(automaton, frozenset(removed))
        assert rest.min_length == min(map(len, texts[-1] - removed), default=-1)


@given(
    st.lists(st.sampled_from(["^a", "^b", "^ab", "b$", "^[^a]*$", "c"]), min_size=4, max_size=6, unique=True)
)
def test_match_sets_are_those_that_some_subject_has(patterns: list[str]) -> None:
    terms = [search(pattern) for pattern in patterns]
    subjects = map("".join, itertools.chain(*(itertools.product("abcd", repeat=n) for n in range(6))))
    expected = {
        frozenset(k for k, term in enumerate(terms) if matches(term, subject)) for subject in subjects
    }
    assert set(match_sets(terms) or ()) == expected


@pytest.mark.parametrize(
    "rules",
    [
        {"patternProperties": {"^(^a$|^b$)$": {"type": "integer"}}, "additionalProperties": False},
        {"propertyNames": {"enum": ["b", "a"]}},
        {
            "patternProperties": {"^[abc]$": {"type": "integer"}, "^[cd]$": False},
            "additionalProperties": False,
        },
    ],
)
def test_names_are_written_once_if_a_pattern_has_few(rules: Schema) -> None:
    schema = {"type": "object", "minProperties": 2} | rules
    grammar = SchemaGrammar(Compiler(schema), 32)
    assert serialize(grammar, {"a": 1, "b": 2}) is not None
    assert not recognise(grammar, b'{"a":1,"a":2}')
    assert fill(schema, denoiser="random", length=48).counters.forwards == 1


@pytest.mark.parametrize("pattern", ["^[a-z]{3}$", "^a*$", "^b", "", "^(?=.*c).{1,2}$"])
def test_expressions_with_many_strings_are_not_listed(pattern: str) -> None:
    assert finite_strings(search(pattern), most=16) is None
