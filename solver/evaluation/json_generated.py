"""The JSON arms on generated problems, whose keys no training saw: records, and dependent fields.

    python -m solver evaluate json --sections content,cross --out results

content: are values copied from a text? Fields that are in the text are *copied*. A field that is not is
*derived* (a total, a count, or the kind that goes with the fields) and stands first or last. Arms: the
denoiser in one forward and refined, with the language and without; the same network left to right, raw, with
a mask, with retries, and as the likeliest valid text of several; the controls.

cross: dependencies that no automaton expresses, as shares solved against cost. invoice: the lines are given,
and the total *before* them is wanted. check digit: the last digit of a code is the sum of the others modulo
ten. unique: a list whose second half is given, without duplicates. A check (or the validator) says what is
wrong and where; denoisers have those bytes re-masked, the baseline draws again.
"""

import importlib.util
import json
from collections.abc import Callable, Iterator, Sequence
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
    left_page,
    masked_page,
    middle_page,
    parse_json,
    raw_page,
)
from solver.evaluation.rows import Row
from solver.evaluation.statistics import Figures, quantiles, ratio, rounded, share, shares_within
from solver.tasks.arguments import Check
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.synthetic import TOTALS, Record, closed_object, english_words, make_record, pick
from solver.tasks.task import Violation
from solver.tasks.text import Hole

WITH_LANGUAGE, WITHOUT_LANGUAGE = "diffusion", "diffusion, no language"
DEFAULT_CALL = "solver.fill by default"


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
    guided = importlib.util.find_spec("llguidance") is not None
    return [
        *models.default_arm(DEFAULT_CALL),
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


def attempt_records(
    arm: Arm[JsonCase],
    records: Sequence[Record],
) -> tuple[Attempt, list[RecordGrade]]:
    """Run an arm on records and grade its answers."""
    cases = [JsonCase(JsonProblem.of(record.schema, record.text)) for record in records]
    attempt = run_arm(arm, cases, warm_up=True)
    triples = zip(records, cases, attempt.answers, strict=True)
    return attempt, [grade_record(record, case.problem, answer) for record, case, answer in triples]


def measure_content(first: Row, arm: Arm[JsonCase], count: int) -> Iterator[Row]:
    """One arm on the records: its shares, each with its interval, and its cost."""
    records = make_records(count)
    attempt, grades = attempt_records(arm, records)
    fields = [grade.fields for grade in grades]
    times = [1e3 * answer.seconds for answer in attempt.answers if answer.seconds is not None]
    figures: Figures = {
        "records": len(records),
        **share("valid", [grade.valid for grade in grades]),
        **share("exact", [grade.exact for grade in grades]),
        **ratio("copied", [grade.copied for grade in grades], fields),
        "fields": sum(fields),
    }
    for order in ("first", "last"):
        pairs = [
            ("kind" if "oneOf" in record.schema else "total", bool(grade.derived))
            for record, grade in zip(records, grades, strict=True)
            if record.order == order
        ]
        for kind in ("kind", "total"):
            figures |= share(f"{kind}_{order}", [hit for derived, hit in pairs if derived == kind])
        figures |= share(f"derived_{order}", [hit for _, hit in pairs])
    if times:  # of single calls
        figures["single_ms"] = quantiles(times, (50, 95, 99), 1)
    yield replace(first, figures={**figures, **attempt.cost()})


def measure_tax(
    first: Row,
    conditioned: Arm[JsonCase],
    free: Arm[JsonCase],
    count: int,
) -> Iterator[Row]:
    """The cost of the language: correct fields with and without it, on records that both arms get valid."""
    records = make_records(count)
    (attempt, with_language), (_, without) = (attempt_records(arm, records) for arm in (conditioned, free))
    costs = np.array([answer.constraint_cost for answer in attempt.answers])
    grades = zip(with_language, without, strict=True)
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


FORWARDS, DEPENDENT_TRIES = 200, 50
BUDGETS = {"gflop": (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)}
Maker = Callable[[np.random.Generator, tuple[str, ...]], JsonCase]


def make_case(
    schema: dict[str, Any],
    before: str,
    cells: int,
    after: str,
    checks: Sequence[Check[Any]] = (),
    trim: Any = "all",
) -> JsonCase:
    """Make a case with a hole of ``cells`` bytes; for ``trim`` see :class:`JsonCase`."""
    problem = JsonProblem.of(schema, template=[before, Hole(cells), after], checks=checks)
    return JsonCase(problem, before.encode(), after.encode(), cells=cells, trim=trim)


def total_adds_up(instance: Any) -> Iterator[Violation]:
    (name, total), (_, lines) = instance.items()
    if total != sum(lines):
        yield Violation(f"{total} is not {sum(lines)}", path=f"/{name}")


def has_check_digit(instance: Any) -> Iterator[Violation]:
    ((name, code),) = instance.items()
    if int(code[-1]) != sum(map(int, code[:-1])) % 10:
        yield Violation(f"{code} has a wrong check digit", path=f"/{name}")


def make_invoice(rng: np.random.Generator, pool: tuple[str, ...]) -> JsonCase:
    """A total before its lines."""
    name, lines = pick(rng, pool), rng.integers(1, 50, int(rng.integers(2, 4))).tolist()
    total, integer = pick(rng, TOTALS), {"type": "integer"}
    schema = closed_object({total: integer, name: {"type": "array", "items": integer}})
    after = f',"{name}":[{",".join(map(str, lines))}]}}'
    return make_case(schema, f'{{"{total}":', 10, after, [total_adds_up], "after")


def make_check_digit(rng: np.random.Generator, pool: tuple[str, ...]) -> JsonCase:
    """A code without its last digit."""
    name, digits = pick(rng, pool), rng.integers(0, 10, 6).tolist()
    schema = closed_object({name: {"type": "string", "pattern": "^[0-9]{7}$"}})
    return make_case(schema, f'{{"{name}":"{"".join(map(str, digits))}', 1, '"}', [has_check_digit])


def make_unique(rng: np.random.Generator, pool: tuple[str, ...]) -> JsonCase:
    """A list of six words without its first three."""
    name, words = pick(rng, pool), [pool[int(index)] for index in rng.permutation(len(pool))[:6]]
    items = {"type": "array", "items": {"enum": words}, "minItems": 6, "maxItems": 6, "uniqueItems": True}
    given = [words[int(index)] for index in rng.permutation(6)[:3]]
    missing = [word for word in words if word not in given]
    cells = sum(len(word) + 2 for word in missing) + 2
    after = "".join(f',"{word}"' for word in given) + "]}"
    return make_case(closed_object({name: items}), f'{{"{name}":[', cells, after)


MAKERS: dict[str, Maker] = {
    "invoice": make_invoice,
    "check digit": make_check_digit,
    "unique": make_unique,
}


def make_cases(kind: str, count: int) -> list[JsonCase]:
    rng, pool = np.random.default_rng(JSON_SEED), english_words(reserved=True)
    return [MAKERS[kind](rng, pool) for _ in range(count)]


def dependent_arms(models: JsonModels, forwards: int = FORWARDS) -> list[Arm[JsonCase]]:
    options: dict[str, Any] = {"tries": DEPENDENT_TRIES, "temperature": 1.0}
    left, middle = f"ar, {DEPENDENT_TRIES} tries", f"ar-fim, {DEPENDENT_TRIES} tries"
    return [
        *models.loop_arm("diffusion", forwards),
        *models.loop_arm("diffusion, no re-masking", 1),
        *models.retry_arm(left, left_page, place=JsonCase.continued, **options),
        *models.retry_arm(middle, middle_page, place=JsonCase.fill, **options),
        *models.controls(forwards),
    ]


def measure_dependent_fields(first: Row, arm: Arm[JsonCase], cases: Sequence[JsonCase]) -> Iterator[Row]:
    """One arm: the share solved, at all and within budgets of GFLOP."""
    attempt = run_arm(arm, cases)
    solved = [answer.solved for answer in attempt.answers]
    yield replace(
        first,
        figures={
            "puzzles": len(cases),
            **share("solved", solved),
            **shares_within({"gflop": [answer.gflop for answer in attempt.answers]}, solved, BUDGETS),
            **attempt.cost(),
        },
    )
