"""The guarantee of valid JSON with any denoiser, on the development schemas and on partly pinned instances.

    python -m solver evaluate json --data FOLDER --out results --sections guarantee,pinned

guarantee: every schema with a valid instance of at most 256 bytes is filled. pinned: real instances of which
a share of the bytes is given. Python's ``jsonschema`` grades.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from solver.api import fill
from solver.api.candidate import Candidate
from solver.evaluation.json_cases import SchemaCase, pinned_instances
from solver.evaluation.rows import Row
from solver.evaluation.statistics import quantiles
from solver.loop.engine import solve
from solver.loop.trace import Budget, Outcome
from solver.models.checkpoint import load
from solver.tasks.json_schema.errors import FillError, SchemaError
from solver.tasks.json_schema.task import JsonTask

LISTED = 40  # failures that a row names
PINNED_FORWARDS = 50


def measure_guarantee(first: Row, cases: Sequence[SchemaCase], budget: Budget) -> Iterator[Row]:
    """The schemas of one group: solved, proven without an instance, or the kind of error.

    invalid: claimed to be solved, and python's jsonschema disagrees.
    """
    counts: Counter[str] = Counter()
    forwards, milliseconds, failed = list[int](), list[float](), list[str]()
    for case in (case for case in cases if case.fits):
        suffix = "" if case.shortest is not None else ", no instance known"
        counts["schemas" if case.shortest is not None else "without a known instance"] += 1
        started = time.perf_counter()
        result: Candidate | FillError | SchemaError
        try:
            problem = case.problem()
            counts["fully compiled"] += not problem.compiler.declined
            ((_, result),) = fill.fill_many([problem], first.arm, budget, first.seed)
        except (FillError, SchemaError) as error:
            result = error
        milliseconds.append(1e3 * (time.perf_counter() - started))
        kind = "solved" if isinstance(result, Candidate) else type(result).__name__
        counts[kind + suffix] += 1
        if isinstance(result, Candidate):
            forwards.append(result.counters.forwards)
            match case.grade(result.value):
                case None:
                    counts["python's jsonschema cannot read the pattern"] += 1
                case False:
                    counts["invalid by python's jsonschema"] += 1
                    failed.append(f"{case.name}: {result.text[:60]}")
        elif case.shortest is not None:
            failed.append(f"{case.name}: {kind}")
    yield replace(
        first,
        figures={
            **counts,
            "share": round(counts["solved"] / max(1, counts["schemas"]), 4),
            "forwards": quantiles(forwards),
            "ms": quantiles(milliseconds),
            "failed": failed[:LISTED],
        },
    )


def measure_pinned(first: Row, cases: Sequence[SchemaCase]) -> Iterator[Row]:
    """Instances of which the share ``first.pinned`` is given: is the rest written so that it is valid?"""
    task, budget = JsonTask(), Budget(forwards=PINNED_FORWARDS)
    denoiser = load(first.arm, task)
    counts: Counter[str] = Counter()
    milliseconds, failed = list[float](), list[str]()
    for case, _, template in pinned_instances(cases, first.pinned or 0.0, first.seed):
        counts["instances"] += 1
        started = time.perf_counter()
        try:
            problem = case.problem(template)
        except FillError as error:
            counts[type(error).__name__] += 1
            continue
        events = solve(task, [problem], denoiser, denoiser.policy, budget, first.seed)
        (outcome,) = (event for _, event in events if isinstance(event, Outcome))
        milliseconds.append(1e3 * (time.perf_counter() - started))
        counts[outcome.status] += 1
        if outcome.status != "solved":
            failed.append(f"{case.name}: {outcome.status}")
            continue
        text = task.decode(problem, outcome.tokens)
        verdict = case.grade(json.loads(text))
        counts["valid"] += bool(verdict)
        if verdict is False:
            failed.append(f"{case.name}: {text[:200]}")
        tokens, fixed = problem.given
        counts["pins kept"] += bool((outcome.tokens == tokens)[fixed].all())
    figures = {**counts, "ms": quantiles(milliseconds), "failed": failed[:LISTED]}
    yield replace(first, figures=figures)
