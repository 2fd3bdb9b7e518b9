"""Fills of the benchmarks' programs are graded by their tests, and by nothing else."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from solver.evaluation import code_benchmarks
from solver.evaluation.code_benchmarks import CodeTest, OutputTest, Program, run_tests

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "code"

INFILLING: dict[str, Any] = {
    "task_id": "SingleLineInfilling/HumanEval/0/L0",
    "entry_point": "double",
    "prompt": 'def double(x):\n    """Twice x."""\n',
    "canonical_solution": "    return x + x\n",
    "suffix": "",
    "test": "\n\nMETADATA = {}\n\n\ndef check(candidate):\n    assert candidate(2) == 4\n    assert candidate('a') == 'aa'\n",
}
CONTROL: dict[str, Any] = {
    "task_id": "control_completion_000000",
    "lang": "python",
    "eval_prompt": "n = int(input())\r\nfor k in range(n):\r\n    if {{completion}}\r\n        print(k)\r\nexit()\r\n",
    "ground_truth": "k % 2:",
    "unit_tests": [{"input": "4", "output": ["1\n3"]}, {"input": "0", "output": ["", "none"]}],
}


@pytest.mark.parametrize(
    ("completion", "status"),
    [
        ("    return x + x\n", "passed"),
        ("    return 2 * x\n", "passed"),
        ("    return x * x\n", "failed"),
        ("    return x +\n", "failed"),
        ("    exit()\n", "exited"),
        ("    while True: pass\n", "timeout"),
    ],
)
def test_a_fill_is_graded_by_asserts(completion: str, status: str) -> None:
    ran = run_tests(code_benchmarks.humaneval_program(INFILLING), completion, seconds=0.5)
    assert (ran.status, ran.ok) == (status, status == "passed"), ran


@pytest.mark.parametrize(
    ("completion", "status"),
    [("k % 2:", "passed"), ("k & 1:", "passed"), ("k:", "wrong"), ("1 / k:", "failed"), ("k % 2", "failed")],
)
def test_a_fill_is_graded_by_its_output(completion: str, status: str) -> None:
    ran = run_tests(code_benchmarks.safim_program(CONTROL), completion)
    assert (ran.status, ran.ok) == (status, status == "passed"), ran


def test_every_test_counts() -> None:
    problem = Program(
        "p",
        "print(",
        "input()",
        ")",
        (OutputTest("a", ("A",)), OutputTest("b c", ("B   c\n",)), OutputTest("d", ("e",))),
    )
    assert run_tests(problem, "input()").status == "wrong"
    assert run_tests(replace(problem, tests=problem.tests[:2]), "input()").ok
    assert not run_tests(replace(problem, tests=(CodeTest("raise ValueError"),)), "input()").ok
    with pytest.raises(ValueError, match="p: no tests"):
        replace(problem, tests=())


def test_rows_become_problems(tmp_path: Path) -> None:
    for row, (file, _) in zip(
        (INFILLING, INFILLING, CONTROL), code_benchmarks.BENCHMARKS.values(), strict=True
    ):
        with gzip.open(tmp_path / file, "wt") as lines:
            lines.writelines(json.dumps({**row, "task_id": f"row {n}"}) + "\n" for n in range(5))
    for name in code_benchmarks.BENCHMARKS:
        some = code_benchmarks.load_programs(tmp_path, name)
        assert [each.name for each in some] == [f"row {n}" for n in range(5)]
        chosen = code_benchmarks.sample_programs(some, 3)
        assert len(set(chosen)) == 3
        assert chosen == code_benchmarks.sample_programs(some, 3)
        assert code_benchmarks.sample_programs(some, 9) == some
        ran = run_tests(some[0], some[0].truth)
        assert ran.ok
    whole = code_benchmarks.load_programs(tmp_path, "safim-control")[0].complete("k % 2:")
    assert whole == CONTROL["eval_prompt"].replace("{{completion}}", "k % 2:")
    with pytest.raises(ValueError, match="2 holes"):
        code_benchmarks.safim_program(CONTROL | {"eval_prompt": "{{completion}} {{completion}}"})


@pytest.mark.parametrize("name", code_benchmarks.BENCHMARKS)
def test_true_middles_pass(name: str) -> None:
    if not DATA.is_dir():
        pytest.skip(f"no benchmark rows in {DATA}")
    some = code_benchmarks.sample_programs(code_benchmarks.load_programs(DATA, name), 3)
    assert [
        (problem.name, ran.status) for problem, ran in ((each, run_tests(each, each.truth)) for each in some)
    ] == [(each.name, "passed") for each in some]


@pytest.mark.slow
@pytest.mark.parametrize("name", code_benchmarks.BENCHMARKS)
def test_forty_true_middles_pass(name: str) -> None:
    if not DATA.is_dir():
        pytest.skip(f"no benchmark rows in {DATA}")
    some = code_benchmarks.sample_programs(code_benchmarks.load_programs(DATA, name), 40)
    assert [
        (problem.name, ran.status)
        for problem, ran in ((each, run_tests(each, each.truth)) for each in some)
        if not ran.ok
    ] == []
