"""Holes in programs of public benchmarks. The fills are graded by the programs' tests alone.

    python -m solver.evaluation.code_benchmarks ../shared/data/code     # the true fills of 40 rows of each file

========================  =================================================  ========================================
name                      hole                                               passes if
========================  =================================================  ========================================
humaneval-single-line     a line of HumanEval's solutions, with its end      the function passes HumanEval's asserts
humaneval-random-span     any characters of them                             the same
safim-control             Python's control expressions of Codeforces         every test's output is the expected one
========================  =================================================  ========================================

Sources: Bavarian et al. 2022 (human-eval-infilling), Gong et al. 2024 (SAFIM); the latter's problems are from
codeforces.com. Programs run in ``solver.evaluation.sandbox``. Nothing is ever trained on these rows.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from solver.evaluation.sandbox import Ran, run_program

SECONDS = 10.0  # per program, or per test of it; Codeforces gives C++ 1 to 5 s
MEMORY = 1 << 30  # bytes; Codeforces gives 256 MB
COMPLETION = "{{completion}}"  # SAFIM's mark of the hole


@dataclass(frozen=True)
class CodeTest:
    """A test by code that is appended to the program and raises if the program is wrong."""

    code: str


@dataclass(frozen=True)
class OutputTest:
    """A test by output: given ``stdin``, the program prints the words of one of ``expected``."""

    stdin: str
    expected: tuple[str, ...]


@dataclass(frozen=True)
class Program:
    """A program with a hole.

    Args:
        name: unique in its benchmark.
        before: the text before the hole, as in the data, CRLF included.
        truth: the text of the hole.
        after: the text after the hole.
        tests: all must pass.
    """

    name: str
    before: str
    truth: str
    after: str
    tests: tuple[CodeTest, ...] | tuple[OutputTest, ...]

    def __post_init__(self) -> None:
        if not self.tests:
            raise ValueError(f"{self.name}: no tests")

    def complete(self, fill: str) -> str:
        """The program with ``fill`` in its hole."""
        return self.before + fill + self.after


def run_tests(program: Program, fill: str, seconds: float = SECONDS, memory: int = MEMORY) -> Ran:
    """Run a filled program's tests until one fails.

    Args:
        program: with a hole.
        fill: the text in its hole.
        seconds: limit of each test.
        memory: limit of each test in bytes.

    Returns:
        How the first failed test ended, or the last one; ``.ok`` if all passed. A wrong output has the status
        "wrong". A program that stops itself before its asserts has not passed ("exited"); one that is graded by its
        output may have.

    Raises:
        SandboxError: nothing could be run.
    """
    ran = Ran("failed", "", "", 0.0)
    for test in program.tests:
        match test:
            case CodeTest(code):
                ran = run_program(f"{program.complete(fill)}\n{code}", seconds=seconds, memory=memory)
            case OutputTest(stdin, expected):
                ran = run_program(program.complete(fill), stdin, seconds, memory)
                if ran.status in ("passed", "exited"):
                    correct = any(output_words(ran.stdout) == output_words(text) for text in expected)
                    ran = replace(ran, status="passed" if correct else "wrong")
        if not ran.ok:
            break
    return ran


def output_words(text: str) -> list[str]:
    """Return the words of an output, as Codeforces' checkers compare them: without case and white space.

    An exact comparison of lines would fail 24 of the 393 true programs of SAFIM.
    """
    return text.casefold().split()


def humaneval_program(row: Mapping[str, Any]) -> Program:
    """Return a row of human-eval-infilling: task_id, prompt, canonical_solution, suffix, test, entry_point."""
    test = CodeTest(f"{row['test']}\ncheck({row['entry_point']})\n")
    return Program(row["task_id"], row["prompt"], row["canonical_solution"], row["suffix"], (test,))


def safim_program(row: Mapping[str, Any]) -> Program:
    """Return a row of SAFIM: task_id, eval_prompt, ground_truth, unit_tests. Raises ValueError without one hole."""
    parts = row["eval_prompt"].split(COMPLETION)
    if len(parts) != 2:
        raise ValueError(f"{row['task_id']}: {len(parts) - 1} holes")
    tests = tuple(OutputTest(test["input"], tuple(test["output"])) for test in row["unit_tests"])
    return Program(row["task_id"], parts[0], row["ground_truth"], parts[1], tests)


BENCHMARKS: dict[str, tuple[str, Callable[[Mapping[str, Any]], Program]]] = {
    "humaneval-single-line": ("humaneval_infilling_single_line.jsonl.gz", humaneval_program),
    "humaneval-random-span": ("humaneval_infilling_random_span.jsonl.gz", humaneval_program),
    "safim-control": ("safim_control_python.jsonl.gz", safim_program),
}


def load_programs(folder: Path, name: str) -> tuple[Program, ...]:
    """Return a benchmark in the file's order. Raises KeyError, FileNotFoundError or ValueError."""
    file, read = BENCHMARKS[name]
    with gzip.open(folder / file, "rt", encoding="utf-8") as lines:
        return tuple(read(json.loads(line)) for line in lines if line.strip())


def sample_programs(programs: tuple[Program, ...], count: int, seed: int = 0) -> tuple[Program, ...]:
    """Return ``count`` programs in their order, or all; the same ones for the same seed."""
    chosen = np.random.default_rng(seed).permutation(len(programs))[:count]
    return tuple(programs[int(index)] for index in sorted(chosen))


def print_true_fills(folder: Path, count: int = 40) -> None:
    """Print how the true fills fare: no arm can be expected to do better."""
    for name in BENCHMARKS:
        programs = sample_programs(load_programs(folder, name), count)
        results = [(program, run_tests(program, program.truth)) for program in programs]
        seconds = sorted(ran.seconds for _, ran in results)
        passed = sum(ran.ok for _, ran in results)
        times = f"median {seconds[len(seconds) // 2]:.2f}, max {seconds[-1]:.2f}"
        print(f"{name}: {passed} of {len(results)}; seconds: {times}")
        for program, ran in results:
            if not ran.ok:
                error = ran.stderr_tail.strip().splitlines()[-1:]
                print(f"  {program.name}: {ran.status} {error} {ran.stdout[:60]!r}")


if __name__ == "__main__":
    print_true_fills(Path(sys.argv[1]))
