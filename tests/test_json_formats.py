"""Formats: every valid text is possible, every usual text is valid, and drafts assert what they define."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, datetime, time
from typing import Any

import jsonschema
import jsonschema_rs
import pytest
from pydantic import AnyUrl, TypeAdapter
from pydantic.networks import validate_email

from benchmarks.fuzz_formats import SAMPLES, mutated
from solver.api.fill import fill
from solver.loop.trace import Budget
from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.errors import UnsatisfiableSchema
from solver.tasks.json_schema.formats import FORMATS, assertion, whole
from solver.tasks.json_schema.grammar import SchemaGrammar
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.serialize import serialize
from solver.tasks.json_schema.validator import VALIDATORS, build_validator
from solver.tasks.languages.regex import matches

REFUSED = ("\x00 {", "", "a b", "(", "%%", "http://[", "-a-", "~~", "a~2", "1" * 300)
OTHERS = ("color", "phone", "host-name", "ip-address", "style", "utc-millisec", "int32", "byte", "password")
CHECKER = jsonschema.Draft202012Validator.FORMAT_CHECKER


@pytest.mark.parametrize("name", [*FORMATS, *OTHERS])
def test_a_draft_asserts_the_formats_that_its_validator_asserts(name: str) -> None:
    for draft in VALIDATORS:
        validator = build_validator({"format": name}, draft)
        is_asserted = not all(validator.is_valid(text) for text in REFUSED)
        assert (assertion(name, draft, usual=False) is not None) == is_asserted, draft


@pytest.mark.parametrize("name", FORMATS)
def test_every_valid_text_is_possible(name: str) -> None:
    validator = jsonschema_rs.Draft202012Validator({"format": name}, validate_formats=True)
    known, rng = FORMATS[name], random.Random(7)
    possible, texts = whole(known.all), SAMPLES[name]
    drawn = [*texts, *(mutated(rng, rng.choice(texts), texts) for _ in range(500))]
    for text in drawn:
        if validator.is_valid(text):
            assert matches(possible, text)
        elif known.is_exact:
            assert not matches(possible, text)


def usual_texts(name: str) -> Iterator[str]:
    for seed in range(12):
        schema = {"type": "string", "format": name}
        yield fill(schema, denoiser="random", length=48, seed=seed).value


@pytest.mark.parametrize("name", FORMATS)
def test_usual_texts_are_valid_for_other_validators_too(name: str) -> None:
    for text in usual_texts(name):
        assert assertion(name, 2020, usual=True).accepts(text)  # type: ignore[union-attr]  # it is defined
        assert name not in CHECKER.checkers or CHECKER.conforms(text, name), text
        match name:
            case "date":
                date.fromisoformat(text)
            case "time":
                time.fromisoformat(text)
            case "date-time":
                assert datetime.fromisoformat(text).tzinfo is not None
            case "email" | "idn-email":
                pytest.importorskip(
                    "email_validator", reason="pydantic checks addresses with email-validator"
                )
                validate_email(text)
            case "uri":
                TypeAdapter(AnyUrl).validate_python(text)


WITNESSES: list[tuple[int, dict[str, Any], str]] = [
    (4, {"format": "json-pointer", "enum": ["a/b"]}, "a/b"),
    (4, {"format": "uri-reference", "pattern": "^a b$"}, "a b"),
    (4, {"format": "iri", "const": "no iri"}, "no iri"),
    (6, {"format": "idn-hostname", "const": "-"}, "-"),
    (6, {"format": "relative-json-pointer", "pattern": "^x"}, "x"),
    (6, {"format": "uuid", "maxLength": 3}, "abc"),
    (7, {"format": "duration", "pattern": r"^\d+s$"}, "30s"),
    (2020, {"format": "email", "pattern": '^"'}, '"joe bloggs"@example.com'),
    (2020, {"format": "email", "pattern": r"\]$"}, "joe@[127.0.0.1]"),
    (2020, {"format": "idn-hostname", "pattern": "ü"}, "bücher.de"),
    (2020, {"format": "idn-email", "pattern": "^ü"}, "ü@bücher.de"),
    (2020, {"format": "ipv6", "pattern": r"^64:ff9b::\d+\."}, "64:ff9b::1.2.3.4"),
    (2020, {"format": "uri", "pattern": r"^https?://\["}, "http://[::1]/"),
    (
        2020,
        {"format": "uri", "const": "ftp://user:pw@host.test:21/a;b?c=d"},
        "ftp://user:pw@host.test:21/a;b?c=d",
    ),
    (2020, {"format": "iri", "pattern": "é"}, "http://é.fr/"),
    (2020, {"format": "time", "pattern": "^23:59:60[Zz]"}, "23:59:60Z"),
    (2020, {"format": "date-time", "pattern": "t"}, "2024-01-01t00:00:00Z"),
    (2020, {"format": "date", "pattern": "^0000"}, "0000-01-01"),
    (2020, {"format": "regex", "const": r"(?<=a)\p{L}"}, r"(?<=a)\p{L}"),
    (2020, {"format": "uri-template", "pattern": r"\{\+"}, "{+a}"),
    (2020, {"not": {"format": "email"}, "pattern": "@b$", "maxLength": 3}, "a.@b"[1:]),
]


@pytest.mark.parametrize(("draft", "schema", "witness"), WITNESSES)
def test_a_schema_with_a_valid_text_is_filled(draft: int, schema: dict[str, Any], witness: str) -> None:
    schema = {"type": "string", **schema}
    validator = build_validator(schema, draft)
    assert validator.is_valid(witness)
    text = serialize(SchemaGrammar(Compiler(schema, draft=draft), 256), witness)
    assert text is not None
    problem = JsonProblem.of(schema, template=[text.decode()], draft=draft)
    assert problem.unrolled is not None
    registered = (
        {"$schema": {4: "http://json-schema.org/draft-04/schema#"}.get(draft, "")} if draft == 4 else {}
    )
    if draft in (4, 2020):
        found = fill(registered | schema, denoiser="random", length=48, budget=Budget(forwards=300))
        assert validator.is_valid(found.value)


def test_a_member_whose_name_has_a_format_is_kept_where_the_validator_decides() -> None:
    for schema in (
        {"propertyNames": {"format": "email"}, "minProperties": 1},
        {"not": {"propertyNames": {"format": "regex"}}},
        {"not": {"propertyNames": {"not": {"format": "email"}}}},
    ):
        validator = build_validator(schema)
        grammar = SchemaGrammar(Compiler({"type": "object", **schema}), 256)
        for name in ('"a b"@example.org', "a@b", "a", "(", "[x]"):
            if validator.is_valid({name: 1}):
                assert serialize(grammar, {name: 1}) is not None


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "format": "date", "pattern": "^2023-02-29$"},
        {"type": "string", "format": "ipv4", "pattern": "^256"},
        {"type": "string", "format": "uri", "pattern": " "},
        {"type": "string", "format": "email", "maxLength": 2},
        {"format": "uuid", "const": "x"},
    ],
)
def test_a_format_that_contradicts_the_schema_is_proven(schema: dict[str, Any]) -> None:
    with pytest.raises(UnsatisfiableSchema):
        fill(schema, denoiser="random")


def test_a_date_written_from_noise_is_one_of_python() -> None:
    schema = {"type": "array", "items": {"type": "string", "format": "date-time"}, "minItems": 5}
    for seed in range(5):
        for text in fill(schema, denoiser="random", seed=seed).value:
            assert datetime.fromisoformat(text).year > 0
            assert text == text.upper()
