"""Values read off a text: strings that are its quotes, numbers, dates, and fields for which it has none."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from solver import Budget, Hole, fill
from solver.tasks.json_schema import compilation
from solver.tasks.json_schema.candidates import field_at
from solver.tasks.json_schema.compilation import proposing_compilers
from solver.tasks.json_schema.errors import NotInText, SchemaError
from solver.tasks.json_schema.grammar import SchemaGrammar
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.quotes import quoted_texts
from solver.tasks.json_schema.readings import read_dates, read_numbers, readings
from solver.tasks.json_schema.source import Source, make_run, normal_form, word_edges
from solver.tasks.json_schema.strings import ALL_TEXT, json_text
from solver.tasks.json_schema.task import JsonTask
from solver.tasks.json_schema.validator import build_validator
from solver.tasks.languages.grammar import recognise
from solver.tasks.languages.projection import project

STRING = {"type": "string"}
LETTER = "John Doe is 30 years old and lives in Berlin since 3 May 2024."
Schema = dict[str, Any]


def closed(**properties: Schema) -> Schema:
    members = {"properties": properties, "required": list(properties), "additionalProperties": False}
    return {"type": "object", **members}


def quoted_grammar(schema: Schema, text: str) -> SchemaGrammar:
    return SchemaGrammar(proposing_compilers(schema, text, "auto", True, None, None)[0], 256)


def aligned_spans(text: str) -> set[str]:
    """All spans of a one-line text that begin and end at word edges, by trying every one."""
    starts, ends = word_edges(text)
    pairs = [(start, end) for start in range(len(text)) for end in range(start + 1, len(text) + 1)]
    return {text[start:end] for start, end in pairs if start in starts and end in ends}


SCHEMAS: list[Schema] = [
    STRING,
    {**STRING, "minLength": 4},
    {**STRING, "maxLength": 3},
    {**STRING, "minLength": 2, "maxLength": 5},
    {**STRING, "pattern": "^[A-Z]"},
    {**STRING, "pattern": "[0-9]$"},
    {**STRING, "format": "email"},
    {**STRING, "format": "ipv4"},
    {**STRING, "not": {"pattern": " "}},
    {"anyOf": [{**STRING, "pattern": "^a"}, {**STRING, "maxLength": 1}]},
]
PIECES = st.sampled_from(
    [
        "a",
        "Ab",
        "7",
        "12",
        "é",
        'q"t',
        "back\\slash",
        "a@b.org",
        "1.2.3.4",
        "(x)",
        "e\u0301",
        "日本",
        "-5",
        "Inc.",
        "x",
    ]
)


@given(st.lists(PIECES, min_size=1, max_size=6), st.sampled_from(SCHEMAS))
@example(["a", "a", "a"], {**STRING, "maxLength": 3})
def test_a_quoted_field_has_just_the_spans_that_satisfy_its_schema(words: list[str], schema: Schema) -> None:
    text = " ".join(words)
    validator = build_validator(schema)
    expected = {span for span in aligned_spans(text) if validator.is_valid(span)}
    grammar = quoted_grammar(schema, text)
    tried = aligned_spans(text) | {text[i:j] for i in range(len(text)) for j in range(i + 1, len(text) + 1)}
    if expected:
        assert {span for span in tried if recognise(grammar, json_text(span))} == expected
    (field,) = JsonProblem.of(schema, text).candidates
    assert set(field.values) == expected
    assert field.is_free == (not expected)


def test_the_automaton_of_all_quotes_has_about_a_state_for_each_character() -> None:
    text = " ".join(f"word{number % 97} of {number * number % 1009}" for number in range(120))
    run = make_run(text)
    automaton = quoted_texts([run], ALL_TEXT, frozenset(), 4096)
    assert automaton.num_states < 2 * len(text)


def test_a_maximum_length_leaves_quotes_of_a_long_text_that_are_no_longer() -> None:
    text = " ".join(f"word{number * number % 1009}" for number in range(300))
    grammar = quoted_grammar({**STRING, "maxLength": 60}, text)
    for start in range(0, len(text) - 80, 7):
        words = text[start : start + 20].split()[1:-1]
        assert recognise(grammar, json_text(" ".join(words)))
    assert not recognise(grammar, json_text(" ".join(text.split()[:12])))


@pytest.mark.parametrize(
    ("text", "quote", "is_possible"),
    [
        ("(Berlin).", "Berlin", True),
        ("(Berlin).", "Berlin).", False),
        ("O'Brien's hat", "O'Brien", True),
        ("O'Brien", "Brien", False),
        ("costs $5 only", "$5", True),
        ("costs $5 only", "5", True),
        ("it is C++, really", "C++", True),
        ("Acme Inc. sells", "Acme Inc.", True),
        ("to Berlin.", "Berlin.", False),
        ("mail bob@x.org now", "bob@x.org", True),
        ("Müller", "M", False),
        ("Mu\u0308ller", "Mu", False),
        ("日本語", "本", True),
        ("two\n  words, here it is wrapped like this in a letter\nand goes on", "letter and", True),
        ("name: Ann\nage: 3", "Ann age", False),
        ("| a | b |", "a", True),
    ],
)
def test_quotes_begin_and_end_at_the_edges_of_words(text: str, quote: str, is_possible: bool) -> None:
    assert (quote in Source(text).quotes()) is is_possible


@given(st.text(st.sampled_from('aB1 .,"\n-é(日|'), max_size=24))
def test_the_place_of_a_quote_has_its_characters(text: str) -> None:
    source = Source(text)
    for quote, places in source.quotes().items():
        for start, end in places:
            assert " ".join(text[start:end].split()) == quote
            assert (start, end) in source.find(quote)


def test_a_string_is_found_whatever_its_case_white_space_and_normal_form() -> None:
    source = Source("Herr  MÜLLER\nund Stra\u00dfe, Mu\u0308ller")
    assert source.find("herr müller") == ((0, 12),)
    assert source.find("Müller") == ((6, 12), (25, 32))
    assert source.find("STRASSE") == ((17, 23),)
    assert source.find("") == source.find("Doe") == ()
    assert normal_form("\ufb01ne") == "fine"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1,250.50", "1250.5"),
        ("1.250,50 EUR", "1250.5"),
        ("1,250", "1250 1.25"),
        ("12,5", "12.5"),
        ("1 250 000", "1250000 1 250 0"),
        ("-5 and 10-20", "-5 5 10 20"),
        ("45 %", "45 0.45"),
        ("twenty-five and three hundred and six", "25 306"),
        ("two thousand, a dozen", "2000 12"),
        ("1.5 million", "1.5 1500000"),
        ("30kg", "30"),
        ("2024-05-01", "2024 5 1"),
        ("the third", "3"),
        ("12,34,567", "1234567"),
        ("1½ cups", "1 1.5 0.5"),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, numbers: str) -> None:
    assert set(read_numbers(text)) == set(map(Decimal, numbers.split()))


@given(st.integers(0, 10**12), st.sampled_from([",", ".", " ", "'"]))
def test_an_integer_with_thousands_separators_is_read(number: int, separator: str) -> None:
    assert Decimal(number) in set(readings(f"{number:,}".replace(",", separator)))


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("3 May 2024", "2024-05-03"),
        ("May 3rd, 2024", "2024-05-03"),
        ("03.05.2024", "2024-05-03"),
        ("3. Mai 2024", "2024-05-03"),
        ("03/05/24", "2024-05-03"),
        ("05/03/24", "2024-05-03"),
        ("2024-05-03", "2024-05-03"),
        ("20240503", "2024-05-03"),
        ("le 3 août 1999", "1999-08-03"),
        ("in 2024, on May 3", "2024-05-03"),
        ("at 2:30 pm", "14:30:00Z"),
        ("um 14 Uhr", "14:00:00Z"),
        ("12 am", "00:00:00Z"),
        ("noon UTC", "12:00:00Z"),
        ("9:05:07 +0200", "09:05:07+02:00"),
        ("3 May 2024, 14:30", "2024-05-03T14:30:00Z"),
    ],
)
def test_dates_and_times_are_read_as_people_write_them(text: str, date: str) -> None:
    assert date in read_dates(text)


def test_impossible_dates_and_times_are_not_read() -> None:
    assert not read_dates("31.02.2024, 25:30, 13:75, 99/99/2024, version 1.2.3.4")


def test_strings_numbers_and_dates_are_those_of_the_text() -> None:
    schema = closed(name=STRING, age={"type": "integer"}, day={**STRING, "format": "date"})
    for seed in range(5):
        value = fill(schema, LETTER, denoiser="random", seed=seed, budget=Budget(forwards=20)).value
        assert value["name"] in Source(LETTER).quotes(200)
        assert value["age"] in (30, 3, 2024)
        assert value["day"] == "2024-05-03"


def test_items_nested_members_and_unknown_names_are_words_of_the_text_or_the_schema() -> None:
    schema = {
        "type": "object",
        "properties": {"tags": {"type": "array", "items": STRING}},
        "minProperties": 3,
    }
    grammar = quoted_grammar(schema, "red and blue")
    assert recognise(grammar, b'{"tags":["red","and blue"],"red":"blue","and":{"blue":["red"]}}')
    assert not recognise(grammar, b'{"tags":["re"],"red":"blue","and":null}')
    assert not recognise(grammar, b'{"tags":[],"gray":null,"and":null}')
    assert not recognise(grammar, b'{"tags":[],"red":"an","and":null}')


def test_enumerated_values_stay_as_they_are() -> None:
    schema = closed(
        kind={"enum": ["x", "y", 5]}, ok={"type": "boolean"}, unit={"anyOf": [{"const": "kg"}, STRING]}
    )
    grammar = quoted_grammar(schema, "nothing of it")
    assert recognise(grammar, b'{"kind":5,"ok":true,"unit":"kg"}')
    assert recognise(grammar, b'{"kind":"x","ok":false,"unit":"of it"}')
    assert not recognise(grammar, b'{"kind":"x","ok":false,"unit":"lb"}')


def test_a_field_without_a_value_in_the_text_is_free_and_flagged() -> None:
    schema = closed(name=STRING, id={**STRING, "format": "uuid"})
    problem = JsonProblem.of(schema, LETTER)
    assert {field.pointer: field.is_free for field in problem.candidates} == {"/name": False, "/id": True}
    value = fill(schema, LETTER, denoiser="random", budget=Budget(forwards=20)).value
    assert re.fullmatch("[0-9a-f-]{36}", value["id"], re.IGNORECASE)


def test_a_required_field_that_is_not_in_the_text_is_named() -> None:
    inner = closed(id={**STRING, "format": "uuid"})
    with pytest.raises(NotInText, match="/owner/id") as caught:
        JsonProblem.of(closed(owner=inner), LETTER, quotes=True)
    assert caught.value.pointer == "/owner/id"
    optional = {"type": "object", "properties": {"id": inner["properties"]["id"], "name": STRING}}
    value = fill({**optional, "minProperties": 1}, LETTER, quotes=True, denoiser="random").value
    assert "id" not in value


def test_a_subschema_says_where_its_values_come_from() -> None:
    free, quoted = {**STRING, "x-source": "free"}, {**STRING, "x-source": "text"}
    grammar = quoted_grammar(closed(a=free, b=STRING), "some text")
    assert recognise(grammar, b'{"a":"mangled","b":"text"}')
    assert not recognise(grammar, b'{"a":"mangled","b":"tex"}')
    problem = JsonProblem.of(closed(a=quoted, b=STRING), "some text", quotes=False)
    grammar = SchemaGrammar(problem.compiler, 64)
    assert recognise(grammar, b'{"a":"some","b":"mangled"}')
    assert not recognise(grammar, b'{"a":"som","b":"text"}')
    with pytest.raises(NotInText):
        JsonProblem.of(closed(a={**quoted, "format": "uuid"}), "some text")
    with pytest.raises(SchemaError, match="x-source"):
        JsonProblem.of(closed(a={**STRING, "x-source": "web"}), "some text")


def test_without_a_text_or_with_quotes_off_nothing_is_restricted() -> None:
    for problem in (JsonProblem.of(STRING), JsonProblem.of(STRING, LETTER, quotes=False)):
        assert recognise(SchemaGrammar(problem.compiler, 64), b'"free"')


def test_values_that_a_template_gives_need_not_be_in_the_text() -> None:
    template = ['{"who": "Zoe", "n": 77, "city": ', Hole(20), "}"]
    schema = closed(who=STRING, n={"type": "integer"}, city={**STRING, "pattern": "^B"})
    assert fill(schema, LETTER, template=template, denoiser="random").value["city"].startswith("Berlin")


def test_quotes_leave_the_layout_of_a_schema_as_it_is() -> None:
    schema = closed(name=STRING, mail={**STRING, "format": "email"}, age={"type": "integer"})
    with_text, without = JsonProblem.of(schema, "a@b.org " + LETTER), JsonProblem.of(schema)
    assert with_text.compiler.source is not None
    assert [p.parts for p in with_text.layouts()] == [p.parts for p in without.layouts()]


def test_candidates_have_pointers_places_and_subschemas() -> None:
    item = closed(name={**STRING, "title": "Name"})
    schema = closed(people={"type": "array", "items": item}, total={"type": "number"})
    fields = JsonProblem.of(schema, "Ann 1,5 Bob").candidates
    assert [field.pointer for field in fields] == ["/people/-/name", "/total"]
    name = field_at(fields, "/people/2/name")
    assert name is not None
    assert name.schema == {**STRING, "title": "Name"}
    assert name.places_of("Bob") == ((8, 11),)
    assert name.places_of("Bo") == ()
    assert fields[1].values == (Decimal("1.5"),)
    assert fields[1].places_of(1.5) == ((4, 7),)


def test_a_recursive_schema_has_finitely_many_fields() -> None:
    node = closed(name=STRING, next={"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]})
    fields = JsonProblem.of({"$ref": "#/$defs/node", "$defs": {"node": node}}, LETTER).candidates
    assert "/name" in {field.pointer for field in fields}
    assert len(fields) < 20


def test_a_canvas_too_small_for_any_quote_is_filled_freely() -> None:
    problem = JsonProblem.of(STRING, "incomprehensibilities", length=8)
    assert problem.compiler.source is None
    assert problem.candidates[0].is_free


def test_quotes_that_are_too_many_for_an_automaton_leave_all_fields_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compilation, "MAX_QUOTED", 60)
    problem = JsonProblem.of(closed(a=STRING, b=STRING, c=STRING), LETTER)
    assert problem.compiler.source is None
    assert all(field.is_free for field in problem.candidates)


def test_items_are_free_where_the_text_has_too_few_for_distinct_ones() -> None:
    items = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}
    few, enough = {**items, "minItems": 4}, {**items, "minItems": 2, "maxItems": 2}
    assert [JsonProblem.of(each, "7 or 8").candidates[0].is_free for each in (few, enough)] == [True, False]
    value = fill(few, "7 or 8", denoiser="random", budget=Budget(forwards=50)).value
    assert len(set(value)) == len(value) >= 4
    assert set(fill(enough, "7 or 8", denoiser="random", budget=Budget(forwards=50)).value) == {7, 8}


def test_escapes_in_quotes_are_written_as_json_has_them() -> None:
    text = 'say "hi"\tthere\\now'
    value = fill({**STRING, "minLength": 8}, text, denoiser="random").value
    assert value in Source(text).quotes()
    assert recognise(quoted_grammar({**STRING, "pattern": "^say"}, text), json.dumps('say "hi').encode())


@pytest.mark.parametrize("limit", [{}, {"maxLength": 60}])
def test_in_slots_eight_quotes_of_a_long_text_have_few_live_pairs(limit: Schema) -> None:
    text = " ".join(f"word{number * number % 1009}" for number in range(250))
    schema = closed(**{f"text_{number}": {**STRING, **limit} for number in range(8)})
    (problem,) = JsonProblem.of(schema, text, length=320, quotes=True).layouts()
    layers = problem.layers
    assert layers is not None
    assert len(layers.states) < 80_000
    assert problem.layers is layers
    logits = np.random.default_rng(0).standard_normal((320, 257), np.float32)
    with_layers, without = (
        project(problem.unrolled, problem.slots, logits, *problem.given, layers=known)
        for known in (layers, None)
    )
    assert with_layers is not None
    assert without is not None
    assert with_layers.best.tolist() == without.best.tolist()
    assert with_layers.constraint_cost == pytest.approx(without.constraint_cost)
    value = json.loads(JsonTask().decode(problem, with_layers.best))
    assert set(value.values()) <= Source(text).quotes().keys()


@pytest.mark.parametrize(
    "address", ["jo.doe+x@mail.example.org", "https://example.org/a?b=c", "www.example.org"]
)
def test_an_address_is_one_word(address: str) -> None:
    quotes = Source(f"Write to {address}.").quotes()
    assert address in quotes
    assert f"to {address}" in quotes
    assert not {quote for quote in quotes if quote.endswith(("example", "doe", "mail", "www", "https"))}
