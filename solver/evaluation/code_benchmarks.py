"""Holes in programs of public benchmarks. The fills are graded by the programs' tests alone.

    python -m solver evaluate code --data FOLDER --out results --sections others,benchmarks
    python -m solver.evaluation.code_benchmarks FOLDER/code     # the true fills of 40 rows of each file

=====================  ==========================================  ==================================
name                   hole                                        passes if
=====================  ==========================================  ==================================
humaneval-single-line  a line of HumanEval's solutions, its end    the function passes its asserts
                       included
humaneval-random-span  any characters of them                      the same
safim-control          control expressions of Codeforces           every test's output is as expected
=====================  ==========================================  ==================================

Sources: Bavarian et al. 2022 (human-eval-infilling), Gong et al. 2024 (SAFIM); the latter's problems are from
codeforces.com. Programs run in ``solver.evaluation.sandbox``. Nothing is ever trained on these rows.
"""

import gzip
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from solver.evaluation.code_holes import PLACEHOLDER, HoleCase, collect_holes
from solver.evaluation.code_misuse import load_misuse
from solver.evaluation.harness import Arm, run_arm
from solver.evaluation.rows import Row
from solver.evaluation.sandbox import Ran, run_program
from solver.evaluation.statistics import Figures, quantiles, rounded, share
from solver.tasks.code_edit.corpus import CorpusFunction
from solver.tasks.code_edit.diagnostics import pyflakes_diagnostics
from solver.tasks.code_edit.holes import sample_dependent_holes
from solver.tasks.code_edit.localize import compile_message

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
        "wrong". A program that stops itself before its asserts has not passed ("exited"); one that is graded
        by its output may have.

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
    test = CodeTest(f"{row['test']}\ncheck({row['entry_point']})\n")
    return Program(row["task_id"], row["prompt"], row["canonical_solution"], row["suffix"], (test,))


def safim_program(row: Mapping[str, Any]) -> Program:
    """Convert a row of SAFIM. Raises ValueError unless it has one hole."""
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


def holes_in_foreign_functions(folder: Path, count: int | None) -> list[HoleCase]:
    """Cut dependent holes, at most ``count`` of each kind, into functions with which no setting was chosen.

    These are HumanEval's solutions, and the functions without a bug of the misuse data. The programs of the
    latter are not available: names that are used outside of the holes and defined nowhere count as defined
    there.
    """
    programs = load_programs(folder, "humaneval-single-line")
    sources = {program.name.rsplit("/", 1)[0]: program.complete(program.truth) for program in programs}
    for n, bug in enumerate(load_misuse(folder)):
        if bug is not None and bug.span is None:
            sources[f"GREAT/{n}"] = bug.source
    functions = [CorpusFunction(name, source, (0, len(source))) for name, source in sources.items()]
    cases = collect_holes(functions, sample_dependent_holes, count or len(functions))
    return [replace(case, defined=case.defined | unresolved_names(case)) for case in cases]


def unresolved_names(case: HoleCase) -> frozenset[str]:
    """Return the names that a source uses outside of its holes and defines nowhere."""
    return frozenset(
        remark.name
        for remark in pyflakes_diagnostics(case.source)
        if remark.rule == "name"
        and all(remark.span[1] <= start or end <= remark.span[0] for start, end in case.spans)
    )


@dataclass(frozen=True)
class PosedProgram:
    """A program as it is put to the arms, and the texts that go before and after an arm's fill."""

    program: Program
    head: str
    tail: str
    benchmark: str

    @property
    def case(self) -> HoleCase:
        """The hole, without its true text."""
        start = len(self.program.before) + len(self.head)
        source = self.program.complete(self.head + PLACEHOLDER + self.tail)
        return HoleCase(self.benchmark, source, ((start, start + len(PLACEHOLDER)),))


def pose_program(benchmark: str, program: Program) -> PosedProgram:
    """Pose a program as arms were trained: whole lines have indentation and line end, conditions their colon.

    Nothing is taken from the true text.
    """
    ends = {"humaneval-single-line": (next_indentation(program.before), "\n"), "safim-control": ("", ":")}
    return PosedProgram(program, *ends.get(benchmark, ("", "")), benchmark)


def next_indentation(before: str) -> str:
    """Return the indentation of the last non-empty line; after a colon, one level more."""
    last = next((line for line in reversed(before.split("\n")) if line.strip()), "")
    indentation = last[: len(last) - len(last.lstrip())]
    deeper = ("\t" if "\t" in indentation else "    ") if last.rstrip().endswith(":") else ""
    return indentation + deeper


def program_figures(
    programs: Sequence[Program],
    passed: Sequence[bool],
    compiled: Sequence[bool],
    seconds: Sequence[float] = (),
) -> Figures:
    """Return an arm's figures; the interval resamples tasks, of which several programs may be made."""
    tasks = [program.name.rsplit("/", 1)[0] for program in programs]
    figures = {
        "problems": len(programs),
        **share("pass_1", passed, tasks),
        "compiles": rounded([float(np.mean(compiled))])[0],
    }
    times = {"ms": quantiles(1e3 * np.array(seconds), (50, 95), 1)} if len(seconds) else {}
    return {**figures, **times}


def measure_truth(first: Row, programs: Sequence[Program]) -> Iterator[Row]:
    """The true fills: no arm can be expected to do better."""
    passed = [run_tests(program, program.truth).ok for program in programs]
    yield replace(first, figures=program_figures(programs, passed, passed))


def measure_benchmark(first: Row, arm: Arm[HoleCase], programs: Sequence[Program]) -> Iterator[Row]:
    """pass@1 of one arm."""
    posed = [pose_program(first.file, program) for program in programs]
    answers = run_arm(arm, [each.case for each in posed]).answers
    compiled, passed = list[bool](), list[bool]()
    for each, answer in zip(posed, answers, strict=True):
        fill = each.head + "".join(answer.texts or ()) + each.tail
        valid = answer.texts is not None and compile_message(each.program.complete(fill)) is None
        compiled.append(valid)
        passed.append(valid and run_tests(each.program, fill).ok)
    seconds = [answer.seconds or 0.0 for answer in answers]
    yield replace(first, figures=program_figures(programs, passed, compiled, seconds))


def print_true_fills(folder: Path, count: int = 40) -> None:
    """Print how the true fills fare: no arm can be expected to do better."""
    for name in BENCHMARKS:
        programs = sample_programs(load_programs(folder, name), count)
        results = [(program, run_tests(program, program.truth)) for program in programs]
        failed = [(program, ran) for program, ran in results if not ran.ok]
        seconds = [ran.seconds for _, ran in results]
        times = f"median {np.median(seconds):.2f}, max {max(seconds):.2f}"
        print(f"{name}: {len(results) - len(failed)} of {len(results)}; seconds: {times}")
        for program, ran in failed:
            error = ran.stderr_tail.strip().splitlines()[-1:]
            print(f"  {program.name}: {ran.status} {error} {ran.stdout[:60]!r}")


if __name__ == "__main__":
    print_true_fills(Path(sys.argv[1]))
