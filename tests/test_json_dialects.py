"""Patterns that ECMA 262 accepts and the validator's engine refuses."""

from __future__ import annotations

import json
import re

import pytest

import solver
from solver.tasks.json_schema.dialects import portable_schema
from solver.tasks.languages.portable import portable_pattern


@pytest.mark.parametrize(
    ("pattern", "portable"),
    [
        (r"^[\w-.]+$", r"^[\w\-.]+$"),
        (r"[a-\d]", r"[a\-\d]"),
        (r"[\w-\.]", r"[\w\-\.]"),
        (r"[^\s-x]", r"[^\s\-x]"),
        (r"[^]", r"[\s\S]"),
        (r"a|[]", r"a|[^\s\S]"),
        (r"[]a][\w-.]", r"[^\s\S]a][\w\-.]"),
        (r"[[]-\w-.]", r"[[]-\w-.]"),
        # these mean the same to both as they are
        (r"[\w-]", r"[\w-]"),
        (r"[-\w]", r"[-\w]"),
        (r"[a-z]\w-.", r"[a-z]\w-."),
        (r"\[\w-.]", r"\[\w-.]"),
        (r"[\[\]-z]", r"[\[\]-z]"),
        # the validator accepts it, though it does not read it by ECMA 262
        ("[^]a]", "[^]a]"),
    ],
)
def test_hyphens_beside_classes_are_escaped_and_nothing_else(pattern: str, portable: str) -> None:
    assert portable_pattern(pattern) == portable


def test_only_patterns_are_rewritten() -> None:
    schema = {
        "properties": {"pattern": {"pattern": "[^]"}, "const": {"items": [{"pattern": "[^]"}]}},
        "patternProperties": {"[^]": {"const": {"pattern": "[^]"}}},
        "enum": [{"pattern": "[^]"}],
    }
    assert portable_schema(schema) == {
        "properties": {"pattern": {"pattern": r"[\s\S]"}, "const": {"items": [{"pattern": r"[\s\S]"}]}},
        "patternProperties": {r"[\s\S]": {"const": {"pattern": "[^]"}}},
        "enum": [{"pattern": "[^]"}],
    }


def test_schemas_with_such_patterns_are_filled() -> None:
    texts = [json.dumps(text) for text in ("a-b", "a.b", "ab")]
    for text in texts:
        schema = {"const": json.loads(text), "pattern": r"^[\w-.]+$"}
        assert solver.fill(schema, denoiser="random", length=16).text == text
    named = {
        "type": "object",
        "patternProperties": {r"^[\w-.]+$": {"type": "integer"}},
        "additionalProperties": False,
        "minProperties": 1,
    }
    value = solver.fill(named, denoiser="random", length=24).value
    assert value
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", name) for name in value)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"^(?<!é)\d{,2}[^]$", "12\n"),
        (r"^(?:a[\w-.]|[])$", "a-"),
        (r"^[^]a][\w-.]$", "xa]b"),
        (r"^[^]a]", "b"),
    ],
)
def test_empty_classes_are_read_as_the_validator_reads_them(pattern: str, text: str) -> None:
    schema = {"const": text, "allOf": [{"pattern": pattern}, {"not": {"pattern": r"^[\w-.]{9}$"}}]}
    assert solver.fill(schema, denoiser="random", length=16).status == "solved"
