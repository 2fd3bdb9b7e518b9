"""Holes in other people's programs whose fills are graded by running the program's tests, and nothing else.

    python -m solver.evaluation.code_benchmarks ../shared/data/code     # the true fills of 40 rows of each file

========================  =================================================  ========================================
name                      hole                                               passes if
========================  =================================================  ========================================
humaneval-single-line     a line of HumanEval's solutions, with its end      the function passes HumanEval's asserts
humaneval-random-span     any characters of them                             the same
safim-control             Python's control expressions of Codeforces         every test's output is the expected one
========================  =================================================  ========================================

Sources: Bavarian et al. 2022 (human-eval-infilling), Gong et al. 2024 (SAFIM); the problems of the latter are codeforces.com's.
Programs run in ``solver.evaluation.sandbox``. Nothing is ever trained on these rows.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from solver.evaluation.sandbox import Ran, run

SECONDS, MEMORY = (
    10.0,
    1 << 30,
)  # for one program, or one test of it: Codeforces gives 1 to 5 s and 256 MB to C++
HOLE = "{{completion}}"
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Call:
    """Graded by code that is put behind the program: it raises where the program is wrong."""

    code: str


@dataclass(frozen=True)
class Output:
    """Graded by what it prints when it reads ``stdin``: the ``words`` of one of ``expected``."""

    stdin: str
    expected: tuple[str, ...]


@dataclass(frozen=True)
class Problem:
    """A program with a hole.

    name: unique in its benchmark. before, truth, after: the program in three parts, as it stands in the data, CRLF included.
    tests: all must pass.
    """

    name: str
    before: str
    truth: str
    after: str
    tests: tuple[Call, ...] | tuple[Output, ...]

    def __post_init__(self) -> None:
        if not self.tests:
            raise ValueError(f"{self.name}: no tests")

    def whole(self, completion: str) -> str:
        return self.before + completion + self.after


def passed(problem: Problem, completion: str, seconds: float = SECONDS, memory: int = MEMORY) -> Ran:
    """How the first test that it fails ended, or the last one; ``.ok`` if there was none.

    A wrong output has status "wrong". A program that stops itself before its asserts are through has not passed ("exited"); one
    that is graded by its output may. seconds, memory: for each test. Raises SandboxError where nothing could be run.
    """
    ran = Ran("failed", "", "", 0.0)
    for test in problem.tests:
        if isinstance(test, Call):
            ran = run(f"{problem.whole(completion)}\n{test.code}", seconds=seconds, memory=memory)
        else:
            ran = run(problem.whole(completion), test.stdin, seconds, memory)
            if ran.status in ("passed", "exited"):
                right = any(words(ran.stdout) == words(each) for each in test.expected)
                ran = replace(ran, status="passed" if right else "wrong")
        if not ran.ok:
            break
    return ran


def words(text: str) -> list[str]:
    """What is compared of an output. Codeforces' own checkers overlook white space, and the case of YES and NO, so that 24 of the
    393 true programs of SAFIM would fail an exact comparison of lines."""
    return text.casefold().split()


def humaneval(row: Row) -> Problem:
    """A row of human-eval-infilling: task_id, prompt, canonical_solution, suffix, test, entry_point."""
    test = Call(f"{row['test']}\ncheck({row['entry_point']})\n")
    return Problem(row["task_id"], row["prompt"], row["canonical_solution"], row["suffix"], (test,))


def safim(row: Row) -> Problem:
    """A row of SAFIM: task_id, eval_prompt with one HOLE, ground_truth, unit_tests. Raises ValueError but for one HOLE."""
    parts = row["eval_prompt"].split(HOLE)
    if len(parts) != 2:
        raise ValueError(f"{row['task_id']}: {len(parts) - 1} holes")
    tests = tuple(Output(test["input"], tuple(test["output"])) for test in row["unit_tests"])
    return Problem(row["task_id"], parts[0], row["ground_truth"], parts[1], tests)


BENCHMARKS: dict[str, tuple[str, Callable[[Row], Problem]]] = {
    "humaneval-single-line": ("humaneval_infilling_single_line.jsonl.gz", humaneval),
    "humaneval-random-span": ("humaneval_infilling_random_span.jsonl.gz", humaneval),
    "safim-control": ("safim_control_python.jsonl.gz", safim),
}


def problems(folder: Path, name: str) -> tuple[Problem, ...]:
    """All of a benchmark, in the file's order. Raises KeyError for a name not in BENCHMARKS, FileNotFoundError, ValueError."""
    file, read = BENCHMARKS[name]
    with gzip.open(folder / file, "rt", encoding="utf-8") as lines:
        return tuple(read(json.loads(line)) for line in lines if line.strip())


def sample(some: tuple[Problem, ...], count: int, seed: int = 0) -> tuple[Problem, ...]:
    """``count`` of them, or all, in their order: the same for the same seed."""
    chosen = np.random.default_rng(seed).permutation(len(some))[:count]
    return tuple(some[int(at)] for at in sorted(chosen))


def with_truth(some: tuple[Problem, ...]) -> Iterator[tuple[Problem, Ran]]:
    """How each ends with its true middle: what no method can be expected to beat."""
    for problem in some:
        yield problem, passed(problem, problem.truth)


def main(folder: Path, count: int = 40) -> None:
    for name in BENCHMARKS:
        found = list(with_truth(sample(problems(folder, name), count)))
        spent = sorted(ran.seconds for _, ran in found)
        right = sum(ran.ok for _, ran in found)
        print(
            f"{name}: {right} of {len(found)}; seconds: median {spent[len(spent) // 2]:.2f}, most {spent[-1]:.2f}"
        )
        for problem, ran in found:
            if not ran.ok:
                print(
                    f"  {problem.name}: {ran.status} {ran.stderr_tail.strip().splitlines()[-1:]} {ran.stdout[:60]!r}"
                )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
