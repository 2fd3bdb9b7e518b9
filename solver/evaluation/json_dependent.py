"""JSON fields that depend on each other in a way that no automaton expresses: shares solved against cost.

    python -m solver evaluate json --sections cross --out results

invoice: the lines are given, and the total *before* them is wanted. check digit: the last digit of a code is
the sum of the others modulo ten. unique: a list whose second half is given, without duplicates. A check (or
the validator) says what is wrong and where; denoisers have those bytes re-masked, the baseline draws again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from solver.evaluation.harness import Arm, run_arm
from solver.evaluation.json_arms import JSON_SEED, JsonCase, JsonModels, left_page, middle_page
from solver.evaluation.rows import Row
from solver.evaluation.statistics import share, shares_within
from solver.tasks.arguments import Check
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.synthetic import TOTALS, closed_object, english_words, pick
from solver.tasks.task import Violation
from solver.tasks.text import Hole

FORWARDS, DEPENDENT_TRIES = 200, 50
BUDGETS = {"gflop": (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)}
Maker = Callable[[np.random.Generator, tuple[str, ...]], JsonCase]


def make_case(
    schema: dict[str, Any],
    before: str,
    cells: int,
    after: str,
    check: Check[Any] | None = None,
    trim: Any = "all",
) -> JsonCase:
    """Make a case with a hole of ``cells`` bytes; for ``trim`` see :class:`JsonCase`."""
    checks = [] if check is None else [check]
    problem = JsonProblem.of(schema, template=[before, Hole(cells), after], checks=checks)
    return JsonCase(problem, before.encode(), after.encode(), cells=cells, trim=trim)


def total_adds_up(instance: Any) -> Iterator[Violation]:
    """Check that the first field is the sum of the second, a list."""
    (name, total), (_, lines) = instance.items()
    if total != sum(lines):
        yield Violation(f"{total} is not {sum(lines)}", path=f"/{name}")


def has_check_digit(instance: Any) -> Iterator[Violation]:
    """Check that the last digit of the only field is the sum of the others modulo ten."""
    ((name, code),) = instance.items()
    if int(code[-1]) != sum(map(int, code[:-1])) % 10:
        yield Violation(f"{code} has a wrong check digit", path=f"/{name}")


def make_invoice(rng: np.random.Generator, pool: tuple[str, ...]) -> JsonCase:
    """A total before its lines."""
    name, lines = pick(rng, pool), rng.integers(1, 50, int(rng.integers(2, 4))).tolist()
    total = pick(rng, TOTALS)
    integer = {"type": "integer"}
    schema = closed_object({total: integer, name: {"type": "array", "items": integer}})
    after = f',"{name}":[{",".join(map(str, lines))}]}}'
    return make_case(schema, f'{{"{total}":', 10, after, total_adds_up, "after")


def make_check_digit(rng: np.random.Generator, pool: tuple[str, ...]) -> JsonCase:
    """A code without its last digit."""
    name, digits = pick(rng, pool), rng.integers(0, 10, 6).tolist()
    schema = closed_object({name: {"type": "string", "pattern": "^[0-9]{7}$"}})
    return make_case(schema, f'{{"{name}":"{"".join(map(str, digits))}', 1, '"}', has_check_digit)


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
    """Make ``count`` cases of a kind."""
    rng, pool = np.random.default_rng(JSON_SEED), english_words(reserved=True)
    return [MAKERS[kind](rng, pool) for _ in range(count)]


def dependent_arms(models: JsonModels, forwards: int = FORWARDS) -> list[Arm[JsonCase]]:
    """All arms whose checkpoint is there, and the controls."""
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
    figures = {
        "puzzles": len(cases),
        **share("solved", solved),
        **shares_within({"gflop": [answer.gflop for answer in attempt.answers]}, solved, BUDGETS),
        **attempt.cost(),
    }
    yield replace(first, figures=figures)
