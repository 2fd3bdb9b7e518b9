"""pass@1 of every arm on the public benchmarks, graded in the sandbox.

python -m solver evaluate code --data FOLDER --out results --sections benchmarks
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from solver.evaluation.code_benchmarks import Program, run_tests
from solver.evaluation.code_holes import PLACEHOLDER, HoleCase
from solver.evaluation.harness import Arm, run_arm
from solver.evaluation.rows import Row
from solver.evaluation.statistics import Figures, quantiles, rounded, share
from solver.tasks.code_edit.diagnostics import compiles


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
    match benchmark:
        case "humaneval-single-line":
            return PosedProgram(program, next_indentation(program.before), "\n", benchmark)
        case "safim-control":
            return PosedProgram(program, "", ":", benchmark)
        case _:
            return PosedProgram(program, "", "", benchmark)


def next_indentation(before: str) -> str:
    """Return the indentation of the next line: that of the last non-empty one; after a colon, one level more."""
    last = next((line for line in reversed(before.split("\n")) if line.strip()), "")
    indentation = last[: len(last) - len(last.lstrip())]
    step = "\t" if "\t" in indentation else "    "
    return indentation + step if last.rstrip().endswith(":") else indentation


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
    milliseconds = quantiles(1e3 * np.array(seconds), (50, 95), 1)
    return {**figures, **({"ms": milliseconds} if milliseconds else {})}


def measure_truth(first: Row, programs: Sequence[Program]) -> Iterator[Row]:
    """The true fills: no arm can be expected to do better."""
    passed = [run_tests(program, program.truth).ok for program in programs]
    yield replace(first, figures=program_figures(programs, passed, passed))


def measure_benchmark(first: Row, arm: Arm[HoleCase], programs: Sequence[Program]) -> Iterator[Row]:
    """pass@1 of one arm."""
    posed = [pose_program(first.file, program) for program in programs]
    answers = run_arm(arm, [each.case for each in posed]).answers
    fills = [
        None if answer.texts is None else each.head + answer.texts[0] + each.tail
        for each, answer in zip(posed, answers, strict=True)
    ]
    pairs = list(zip(programs, fills, strict=True))
    compiled = [fill is not None and compiles(program.complete(fill)) is None for program, fill in pairs]
    passed = [
        good and run_tests(program, fill or "").ok
        for (program, fill), good in zip(pairs, compiled, strict=True)
    ]
    seconds = [answer.seconds or 0.0 for answer in answers]
    yield replace(first, figures=program_figures(programs, passed, compiled, seconds))
