"""The trained JSON models on generated records, whose keys no training saw: are values copied from a text?

    python -m solver evaluate json --sections content --out results

Fields that are in the text are *copied*. A field that is not is *derived* (a total, a count, or the kind that
goes with the fields) and stands first or last. Arms: the denoiser in one forward and refined, with the
language and without; the same network left to right, raw, with a mask, with retries, and as the likeliest
valid text of several; the controls.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from solver.evaluation.harness import Answer, Arm, Attempt, run_arm
from solver.evaluation.json_arms import (
    JSON_SEED,
    MANY,
    TRIES,
    JsonCase,
    JsonModels,
    guided_page,
    masked_page,
    parse_json,
    raw_page,
)
from solver.evaluation.rows import Row
from solver.evaluation.statistics import Figures, quantiles, ratio, rounded, share
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.synthetic import Record, english_words, make_record

WITH_LANGUAGE, WITHOUT_LANGUAGE = "diffusion", "diffusion, no language"


def make_records(count: int) -> list[Record]:
    """Make test records, with keys of reserved words only."""
    rng, pool = np.random.default_rng(JSON_SEED), english_words(reserved=True)
    return [make_record(rng, pool) for _ in range(count)]


def flat_fields(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Return an instance's fields by path; a list is one field."""
    if not isinstance(value, dict):
        return {path: value}
    fields: dict[tuple[str, ...], Any] = {}
    for name, inner in value.items():
        fields |= flat_fields(inner, (*path, name))
    return fields


@dataclass(frozen=True)
class RecordGrade:
    """The grade of an answer to a record.

    Args:
        valid: by the schema.
        exact: the instance that was meant.
        copied: correct fields among those in the text.
        fields: number of fields in the text.
        derived: whether the derived field is correct; None without one.
    """

    valid: bool
    exact: bool
    copied: int
    fields: int
    derived: bool | None


def grade_record(record: Record, problem: JsonProblem, answer: Answer) -> RecordGrade:
    """Compare an answer with the record's instance."""
    value = parse_json(answer.text)
    meant, given = flat_fields(record.instance), flat_fields(value) if isinstance(value, dict) else {}
    derived = (record.derived,) if record.derived is not None else None
    copied = [path for path in meant if path != derived]
    correct = [
        path in given and type(given[path]) is type(meant[path]) and given[path] == meant[path]
        for path in copied
    ]
    # as texts, because 1 == True in Python
    exact = json.dumps(value, sort_keys=True) == json.dumps(record.instance, sort_keys=True)
    return RecordGrade(
        value is not None and bool(problem.validator.is_valid(value)),
        exact,
        sum(correct),
        len(copied),
        None if derived is None else given.get(derived) == meant[derived],
    )


def content_arms(models: JsonModels) -> list[Arm[JsonCase]]:
    """All arms whose checkpoint is there, and the controls."""
    guided = importlib.util.find_spec("llguidance") is not None
    return [
        *models.loop_arm("diffusion-oneshot", 1),
        *models.loop_arm(WITH_LANGUAGE, 64, stop="stable"),
        *models.loop_arm("diffusion-oneshot, no language", 1, checks="none"),
        *models.loop_arm(WITHOUT_LANGUAGE, 16, checks="none"),
        *models.retry_arm("ar", raw_page),
        *models.retry_arm("ar-masked", masked_page),
        *(models.retry_arm("ar, llguidance", guided_page) if guided else ()),
        *models.retry_arm(f"ar, {TRIES} tries", raw_page, TRIES),
        *models.best_of_arm(f"ar, best of {MANY}", raw_page, MANY),
        *models.controls(20),
    ]


@dataclass(frozen=True, eq=False)
class ContentRun:
    """One arm's attempt at the records, and its grades."""

    attempt: Attempt
    grades: Sequence[RecordGrade]


def attempt_records(arm: Arm[JsonCase], records: Sequence[Record]) -> ContentRun:
    """Run an arm on records and grade its answers."""
    cases = [JsonCase(JsonProblem.of(record.schema, record.text)) for record in records]
    attempt = run_arm(arm, cases, warm_up=True)
    return ContentRun(
        attempt,
        [
            grade_record(record, case.problem, answer)
            for record, case, answer in zip(records, cases, attempt.answers, strict=True)
        ],
    )


def content_figures(records: Sequence[Record], run: ContentRun) -> Figures:
    """Return the shares of an arm, each with its interval, and its cost."""
    grades, attempt = run.grades, run.attempt
    fields = [grade.fields for grade in grades]
    figures: Figures = {
        "records": len(records),
        **share("valid", [grade.valid for grade in grades]),
        **share("exact", [grade.exact for grade in grades]),
        **ratio("copied", [grade.copied for grade in grades], fields),
        "fields": sum(fields),
    }
    for order in ("first", "last"):
        pairs = [
            ("kind" if "oneOf" in record.schema else "total", grade.derived)
            for record, grade in zip(records, grades, strict=True)
            if record.order == order
        ]
        for kind in ("kind", "total"):
            figures |= share(f"{kind}_{order}", [bool(hit) for derived, hit in pairs if derived == kind])
        figures |= share(f"derived_{order}", [bool(hit) for _, hit in pairs])
    return {**figures, **attempt.cost()}


def measure_content(first: Row, arm: Arm[JsonCase], count: int) -> Iterator[Row]:
    """One arm on the records."""
    records = make_records(count)
    yield replace(first, figures=content_figures(records, attempt_records(arm, records)))


def measure_tax(
    first: Row,
    conditioned: Arm[JsonCase],
    free: Arm[JsonCase],
    count: int,
) -> Iterator[Row]:
    """The cost of the language: correct fields with and without it, on records that both arms get valid."""
    records = make_records(count)
    runs = [attempt_records(arm, records) for arm in (conditioned, free)]
    costs = np.array([answer.constraint_cost for answer in runs[0].attempt.answers])
    grades = zip(runs[0].grades, runs[1].grades, strict=True)
    both = [(a, b) for a, b in grades if a.valid and b.valid and a.fields]
    total = max(1, sum(a.fields for a, _ in both))
    shares = rounded([sum(a.copied for a, _ in both) / total, sum(b.copied for _, b in both) / total])
    yield replace(
        first,
        figures={
            "records": count,
            "both_valid": len(both),
            "copied_with": shares[0],
            "copied_without": shares[1],
            **share("ahead", [(a.copied - b.copied) / a.fields for a, b in both]),
            "nats": quantiles(costs[np.isfinite(costs)], (50, 90, 95, 99), 4),
        },
    )
