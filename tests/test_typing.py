"""The public interface is typed: mypy --strict refuses a wrong keyword of each function in a user's file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GOOD = """from collections.abc import Iterator

import solver
from solver.models import controls
from solver.tasks.sudoku.layout import standard
from solver.tasks.sudoku.task import SudokuTask


def even(draft: solver.Draft) -> Iterator[solver.Violation]:
    if draft.text[-1] not in "02468":
        yield solver.Violation("odd", span=(len(draft.text) - 1, len(draft.text)))


policy = solver.Policy(accept=solver.AcceptPolicy(confidence_threshold=0.9))
budget = solver.Budget(forwards=10)
filled: solver.Candidate = solver.fill({"type": "integer"}, text="7", check=lambda value: value != 3)
edited: solver.Candidate = solver.edit("x = 1", [(4, 5)], candidates=2, check=lambda text: len(text) < 9)
mended: solver.Candidate = solver.repair("x = (1", budget=budget)
template: list[str | solver.Hole] = ["1", solver.Hole(2)]
written: solver.Candidate = solver.generate("m", prompt="a", check=even, policy=policy, template=template)
several: list[solver.Candidate] = solver.generate("folder", prompt=["a", "b"], length=4)
names = [violation.message for candidate in filled.alternatives for violation in candidate.violations]


for event in solver.refine(SudokuTask(standard(9)), None, controls.random(9), budget=budget):
    print(event)
"""
MISTAKES = {
    'text="7"': 'txt="7"',
    "candidates=2": "candidate=2",
    "budget=budget)\ntemplate": "budgets=budget)\ntemplate",
    "policy=policy": "polices=policy",
    "budget=budget):": "budgets=budget):",
    "confidence_threshold=0.9": "threshold=0.9",
    "forwards=10": "forward=10",
    "solver.Hole(2)": "solver.Hole(tokens=2)",
    "span=(len": "spans=(len",
    "filled.alternatives": "filled.candidates",
}


def errors_of(path: Path, source: str) -> list[str]:
    """The lines of mypy's errors for a user's file outside of the checkout."""
    path.write_text(source, encoding="utf-8")
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-error-summary",
        "--config-file",
        "pyproject.toml",
    ]
    done = subprocess.run(
        [*command, str(path)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    return [line for line in done.stdout.splitlines() if ": error:" in line]


@pytest.mark.slow
def test_a_file_that_uses_the_interface_passes_and_each_mistake_is_found(tmp_path: Path) -> None:
    assert errors_of(tmp_path / "user.py", GOOD) == []
    source = GOOD
    for right, wrong in MISTAKES.items():
        assert source.count(right) == 1, right
        source = source.replace(right, wrong)
    errors = errors_of(tmp_path / "wrong.py", source)
    lines = {int(line.split(":")[1]) for line in errors}
    expected = {
        number
        for number, (one, other) in enumerate(zip(GOOD.splitlines(), source.splitlines(), strict=True), 1)
        if one != other
    }
    assert lines == expected, "\n".join(errors)
    assert errors_of(tmp_path / "unknown.py", "import solver\n\nsolver.Filled\n") != []
