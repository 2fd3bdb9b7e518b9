"""The schema fuzzer: its cases are right, it finds what is wrong, and a short run finds nothing."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from benchmarks.fuzz_schemas import examine, fuzz_schemas, judge
from benchmarks.random_schemas import URIS, Case, draw_case
from solver.tasks.json_schema.validator import build_validator


def test_the_instance_of_every_case_is_valid_and_cases_repeat() -> None:
    for number in range(40):
        for draft in URIS:
            case, again = (draw_case(random.Random(number), draft) for _ in range(2))
            assert case == again
            assert build_validator(case.schema, draft).is_valid(case.instance)


def test_a_short_run_finds_nothing() -> None:
    assert list(fuzz_schemas(start=0, count=25, seed=11)) == []


def test_a_false_proof_is_a_finding() -> None:
    wrong = Case({"type": "integer"}, "not an integer", 2020)
    assert any("not in the language" in finding for finding in examine(wrong, 0, Counter()))
    never = Case({"type": "integer", "minimum": 5, "maximum": 4}, 5, 2020)
    assert any("false proof" in finding for finding in examine(never, 0, Counter()))


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "string", "format": "date"}, '"0000-01-01"'),
        ({"multipleOf": 2048}, "2048" + "0" * 40 + ".5"),
        ({"type": "integer"}, "12345678901234567890.5"),
        ({"type": "string", "format": "uri"}, '"no uri"'),
    ],
)
def test_the_judge_reads_numbers_and_formats_exactly(schema: Any, text: str) -> None:
    objection, reason = judge(schema, text, 2020) or ("", "")
    assert objection
    assert not reason


def test_a_format_of_a_given_text_is_a_known_disagreement() -> None:
    schema = {"format": "time", "enum": ["23:59:60Z"]}
    assert judge(schema, '"23:59:60Z"', 2020) == ("format: '23:59:60Z' is not a 'time'", "given text, time")
