"""The JSON task: validation, blame, budgets, positions."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from solver.api.candidate import Candidate
from solver.api.fill import fill
from solver.loop.policy import REDRAW
from solver.loop.refine import refine
from solver.loop.trace import Budget, Outcome, Step
from solver.models.checkpoint import load
from solver.tasks.json_schema.errors import (
    BudgetExhausted,
)
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.task import JsonTask
from solver.tasks.json_schema.validator import byte_spans
from solver.tasks.task import Violation


def test_a_check_remasks_only_the_part_it_names() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 9}, "b": {"const": "x"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    }

    def seven(value: Any) -> Iterator[Violation]:
        if value["a"] != 7:
            yield Violation("not 7", path="/a")

    model = load("random", JsonTask())
    *steps, outcome = refine(
        JsonTask(), JsonProblem.of(schema, checks=[seven], length=20), model, REDRAW, Budget(forwards=200)
    )
    assert isinstance(outcome, Outcome)
    assert outcome.status == "solved"
    wrong = [step for step in steps if isinstance(step, Step) and step.violations]
    assert wrong
    for step in wrong:
        text = bytes(step.draft[step.draft < 256].astype(np.uint8))
        assert step.violations[0].cells == tuple(range(text.index(b":") + 1, text.index(b",")))


def test_the_validator_runs_once_for_each_draft_rejected_or_not() -> None:
    class CountingValidator:
        def __init__(self, validator: Any) -> None:
            self.validator, self.calls = validator, 0

        def iter_errors(self, instance: Any) -> Any:
            self.calls += 1
            return self.validator.iter_errors(instance)

    schema = {"type": "integer", "minimum": 0, "maximum": 9}
    problem = JsonProblem.of(schema, checks=[lambda value: value == 7], length=2)
    problem = replace(problem, validator=CountingValidator(problem.validator))
    *steps, outcome = refine(JsonTask(), problem, load("random", JsonTask()), REDRAW, Budget(forwards=50))
    assert len(steps) > 1
    assert isinstance(outcome, Outcome)
    assert outcome.status == "solved"
    assert problem.validator.calls == len(steps)


def test_an_exhausted_budget_names_what_is_wrong() -> None:
    def never(value: Any) -> Iterator[Violation]:
        yield Violation("never", path="")

    with pytest.raises(BudgetExhausted, match="never") as caught:
        fill({"type": "integer"}, check=never, denoiser="random", budget=Budget(forwards=3), length=8)
    assert json.loads(caught.value.best) is not None


def test_spans_are_the_bytes_of_values_and_names() -> None:
    text = '{"é": [1, {"b": "x\\n"}], "c":-1.5}'.encode()
    found = byte_spans(text)
    assert text[slice(*found["é", 1, "b"])] == b'"x\\n"'
    assert text[slice(*found["c",])] == b"-1.5"
    assert text[slice(*found["é", 0])] == b"1"
    assert found[()] == (0, len(text))
    assert text[slice(*found["#é",])] == '"é"'.encode()


def test_models_with_a_schema_method_are_schemas() -> None:
    class Model:
        @staticmethod
        def model_json_schema() -> dict[str, Any]:
            return {
                "type": "object",
                "properties": {"x": {"type": "boolean"}},
                "required": ["x"],
                "additionalProperties": False,
            }

    found = fill(Model, denoiser="random", length=16)
    assert isinstance(found, Candidate)
    assert found.value in ({"x": True}, {"x": False})


def test_validation_imports_neither_torch_nor_numpy() -> None:
    code = "import sys, solver.tasks.json_schema.validator; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "numba"} & set(done.stdout.split())
