"""``python -m solver sudoku``: puzzles in, boards and one summary line out; many puzzles, one line each.

Results come in input order. Exit code 0: all solved; 1: some not; 2: some input was bad (the rest is still done).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from solver.cli import board, options
from solver.cli.main import UsageError

if TYPE_CHECKING:
    from solver.loop.policy import Policy
    from solver.loop.trace import Outcome
    from solver.models.protocol import Denoiser
    from solver.tasks.sudoku.task import Sudoku, SudokuTask
    from solver.tasks.sudoku.text import Puzzle

BOARDS = 4  # boards shown without --watch: the first few and the last


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "puzzles", nargs="*", metavar="PUZZLE", help="81 (or 16) characters, 0 . _ blank; none: a hard one"
    )
    parser.add_argument(
        "--file", metavar="F", help="a file of puzzles: lines, drawn grids or CSV; - reads stdin"
    )
    parser.add_argument("--repair", action="store_true", help="the digits are a draft with errors, not clues")
    parser.add_argument("--diagonal", action="store_true", help="both main diagonals must differ too")
    parser.add_argument(
        "--regions",
        metavar="IDS",
        help="jigsaw: 81 (or 16) region ids in place of the boxes, a character a cell",
    )
    parser.add_argument(
        "--no-checks", action="store_true", help="the network alone: no rules, no search, its last draft"
    )
    parser.add_argument(
        "--unique",
        action="store_true",
        help="say whether it is the only solution (asks an exact solver, after)",
    )
    parser.add_argument(
        "--inference",
        choices=("direct", "singles"),
        default="direct",
        help="between forwards: what conflicts directly (default), or naked and hidden singles too (help from rules)",
    )
    options.add_shared(parser)


@dataclass
class Job:
    """A puzzle on its way: where it stood, the problem, and what came out."""

    number: int
    puzzle: Puzzle
    problem: Sudoku
    outcome: Outcome | None = None
    unique: bool | None = None


@dataclass
class Totals:
    """What the end of the run reports."""

    total: int
    counts: dict[str, int] = field(default_factory=lambda: {"solved": 0, "unsatisfiable": 0, "exhausted": 0})
    forwards: int = 0
    started: float = field(default_factory=time.perf_counter)

    def add(self, outcome: Outcome) -> None:
        self.counts[outcome.status] += 1
        self.forwards += outcome.counters.forwards

    @property
    def done(self) -> int:
        return sum(self.counts.values())


def run(arguments: argparse.Namespace) -> int:
    puzzles, bad = read(arguments)
    for message in bad:
        print(f"error: {message}", file=sys.stderr)
    if not puzzles:
        return 2
    with options.open_trace(arguments.trace) as trace:
        try:
            totals = solve_all(arguments, puzzles, trace)
        except KeyboardInterrupt:
            print("interrupted: the results so far stand above", file=sys.stderr)
            return 130
    if bad:
        return 2
    return 0 if totals.counts["solved"] == totals.total else 1


def read(arguments: argparse.Namespace) -> tuple[list[Puzzle], list[str]]:
    """The puzzles that could be read, in order, and one line for each that could not."""
    from solver.tasks.sudoku import text

    check = not arguments.repair
    items: list[Puzzle | text.PuzzleError] = []

    def attempt(
        puzzles: Iterable[Puzzle | text.PuzzleError] | None, line: tuple[str, str] | None = None
    ) -> None:
        try:
            items.extend([text.parse_line(*line, check)] if line else puzzles or [])
        except text.PuzzleError as error:
            items.append(error)

    for number, argument in enumerate(arguments.puzzles, 1):
        attempt(None, (argument, f"argument {number}"))
    if arguments.file == "-":
        attempt(text.read_stdin(sys.stdin.buffer, check))
    elif arguments.file is not None:
        try:
            attempt(text.read_file(Path(arguments.file), check))
        except text.PuzzleError as error:
            items.append(error)
    if not items:
        if arguments.repair:
            raise UsageError("--repair needs a grid to repair")
        items.append(next(item for item in text.read_file(Path(text.__file__).parent / "puzzles.txt")))
    bad = [str(item) for item in items if isinstance(item, text.PuzzleError)]
    return [item for item in items if isinstance(item, text.Puzzle)], bad


def solve_all(arguments: argparse.Namespace, puzzles: list[Puzzle], trace: TextIO | None) -> Totals:
    """Solve, and print each result as soon as all before it are printed."""
    totals = Totals(len(puzzles))
    pending: dict[int, Job] = {}
    due = 0
    single = len(puzzles) == 1 and not arguments.json
    said = time.perf_counter()
    try:
        for job in outcomes(arguments, puzzles, trace, single):
            assert job.outcome is not None
            totals.add(job.outcome)
            pending[job.number] = job
            while due in pending:
                report(arguments, pending.pop(due), single)
                due += 1
            if not single and (
                totals.done == totals.total
                or time.perf_counter() - said > (0.2 if sys.stderr.isatty() else 5)
            ):
                said = time.perf_counter()
                board.progress(
                    totals.done, totals.total, totals.counts, totals.done / (said - totals.started)
                )
    except KeyboardInterrupt:
        for number in sorted(pending):  # finished, but waiting for one before them
            report(arguments, pending[number], single)
        finish(totals, single)
        raise
    finish(totals, single)
    return totals


def finish(totals: Totals, single: bool) -> None:
    """Counts by status, for many puzzles."""
    if single:
        return
    seconds = time.perf_counter() - totals.started
    states = ", ".join(f"{count} {status}" for status, count in totals.counts.items())
    mean = totals.forwards / max(1, totals.done)
    rate = totals.done / seconds
    print(
        f"{totals.done} of {totals.total}: {states}; {mean:.2f} forwards each; {seconds:.2f} s, {rate:.1f}/s",
        file=sys.stderr,
    )


def outcomes(
    arguments: argparse.Namespace, puzzles: list[Puzzle], trace: TextIO | None, single: bool
) -> Iterator[Job]:
    """Jobs in the order in which they are done. Grids of different sizes go in batches of their own."""

    from solver.errors import ModelError
    from solver.loop import engine as drive
    from solver.loop.trace import Budget, Outcome, dump
    from solver.tasks.sudoku.task import Sudoku

    options.limit_threads()
    jobs = [Job(n, puzzle, Sudoku(puzzle.grid, arguments.repair)) for n, puzzle in enumerate(puzzles)]
    for digits in sorted({puzzle.digits for puzzle in puzzles}):
        group = [job for job in jobs if job.puzzle.digits == digits]
        task = make_task(arguments, digits)
        refuse_conflicts(task, group, arguments.repair)
        try:
            denoiser = make_denoiser(arguments, task)
        except ValueError as error:  # CheckpointError, ModelError
            raise UsageError(str(error)) from error
        policy, forwards = make_policy(arguments, denoiser)
        budget = Budget(forwards, arguments.seconds)
        for job in group:
            write(trace, dump, header(arguments, job, denoiser)) if trace else None
        problems = [job.problem for job in group]
        try:  # the first step: what the model cannot take shows when it is given the problems
            events = started(
                drive.solve(task, problems, denoiser, policy, budget, arguments.seed, arguments.batch)
            )
        except ModelError as error:
            raise UsageError(str(error)) from error
        viewer = Viewer(arguments.watch, digits) if single or arguments.watch else None
        if viewer and single:
            viewer.opening(group[0].puzzle, arguments.repair)
        for number, event in events:
            job = group[number]
            if isinstance(event, Outcome):
                job.outcome = event
                if viewer:
                    viewer.closing()
                if trace:
                    write(trace, dump, {"type": "outcome", "number": job.number, **result(arguments, job)})
                if arguments.unique and event.status == "solved":
                    job.unique = is_unique(task, job)
                yield job
            elif viewer or trace:
                record = {"type": "step", "number": job.number, **event.to_json()}
                write(trace, dump, record) if trace else None
                if viewer:
                    viewer.step(record)


def started(events: Iterator[Any]) -> Iterator[Any]:
    """The same events, the first of them computed now."""
    first = next(events, None)
    return events if first is None else chain([first], events)


def make_task(arguments: argparse.Namespace, digits: int) -> SudokuTask:
    """The task for grids of this size. Raises UsageError where the regions do not make a layout."""
    import numpy as np

    from solver.tasks.sudoku import layout
    from solver.tasks.sudoku.task import SudokuTask

    if arguments.regions is None:
        return SudokuTask(layout.standard(digits, arguments.diagonal))
    if arguments.diagonal:
        raise UsageError("--diagonal and --regions do not go together")
    if len(arguments.regions) != digits * digits:
        raise UsageError(f"--regions has {len(arguments.regions)} characters, not {digits * digits}")
    names = sorted(set(arguments.regions))
    try:
        return SudokuTask(layout.jigsaw(np.array([names.index(symbol) for symbol in arguments.regions])))
    except ValueError as error:
        raise UsageError(f"--regions: {error}") from error


def make_denoiser(arguments: argparse.Namespace, task: SudokuTask) -> Denoiser:
    """The denoiser by name, or the language model, around the task. Raises ValueError in one line."""
    if arguments.model is None:
        from solver.models.registry import load

        return load(arguments.denoiser, task, arguments.loops)
    if arguments.denoiser != "compact" or arguments.loops is not None:
        raise UsageError("--model goes neither with --denoiser nor with --loops")
    from solver.llm.embedded import Embedded
    from solver.llm.pretrained import open_model, quiet

    quiet()
    model, tokenizer = open_model(arguments.model, trust_remote_code=arguments.trust_remote_code)
    return Embedded(model, tokenizer, task, name=arguments.model)


def refuse_conflicts(task: SudokuTask, jobs: list[Job], repair: bool) -> None:
    """Clues that clash in a group the reader does not know of (a diagonal, a region) are bad input too."""
    if repair:
        return
    for job in jobs:
        canvas = task.encode(job.problem)
        for violation in task.check(job.problem, canvas.tokens, canvas.known):
            if violation.rule == "twice":
                raise UsageError(f"{job.puzzle.source}: {violation.message}")


def make_policy(arguments: argparse.Namespace, denoiser: Denoiser) -> tuple[Policy, int]:
    """The policy and the budget in forwards that the options ask for."""
    policy = denoiser.policy.with_(inference=arguments.inference)
    if arguments.no_checks:
        once = 1 if arguments.model is None else policy.search.rounds  # a schedule of its own makes one draft
        return policy.with_(checks="none", doubt_threshold=0.5), arguments.forwards or once
    return policy, arguments.forwards or 5000


def is_unique(task: SudokuTask, job: Job) -> bool:
    """Whether an exact solver finds no second solution. Asked after the answer stands, and never before."""
    from solver.tasks.sudoku import exact

    grid = job.puzzle.grid if not job.problem.repair else job.puzzle.grid * 0
    return exact.count_solutions(task.layout, grid, limit=2).solutions == 1


def write(trace: TextIO, dump: Any, record: dict[str, Any]) -> None:
    trace.write(dump(record) + "\n")
    trace.flush()


def header(arguments: argparse.Namespace, job: Job, denoiser: Denoiser) -> dict[str, Any]:
    """The line that opens a puzzle in a trace."""
    return {
        "type": "problem",
        "task": "sudoku",
        "number": job.number,
        "digits": job.puzzle.digits,
        "puzzle": job.puzzle.text,
        "repair": arguments.repair,
        "denoiser": denoiser.name,
        "seed": arguments.seed,
    }


def result(arguments: argparse.Namespace, job: Job) -> dict[str, Any]:
    """The JSON object of one puzzle. ``solution`` is null unless it was verified; the best try is ``draft``."""
    outcome = job.outcome
    assert outcome is not None
    answer = "".join(str(token + 1) for token in outcome.tokens)
    solved = outcome.status == "solved"
    line: dict[str, Any] = {
        "puzzle": job.puzzle.text,
        "solution": answer if solved else None,
        "status": outcome.status,
        "forwards": outcome.counters.forwards,
        "decisions": outcome.counters.decisions,
        "remasked": outcome.counters.remasked,
        "seconds": round(outcome.counters.seconds, 4),
        "denoiser": arguments.model or arguments.denoiser,
        "seed": arguments.seed,
    }
    if job.unique is not None:
        line["unique"] = job.unique
    if outcome.proof is not None:
        line["proof"] = outcome.proof
    if outcome.status == "exhausted":
        line["draft"] = answer
        line["violations"] = [violation.message for violation in outcome.violations]
    return line


def report(arguments: argparse.Namespace, job: Job, single: bool) -> None:
    """Print one result: JSON, a line, or the summary below the boards."""
    line = result(arguments, job)
    if arguments.json:
        print(json.dumps(line), flush=True)
        return
    outcome = job.outcome
    assert outcome is not None
    c = outcome.counters
    costs = f"{c.forwards} forwards, {c.decisions} decisions, {c.remasked} re-masked, {c.seconds:.2f} s"
    if outcome.status == "solved":
        what = f"{line['solution']}  solved"
    elif outcome.status == "unsatisfiable":
        what = f"{line['puzzle']}  unsatisfiable, proven by {outcome.proof} refuted canvases"
    else:
        breaks = (
            f"the best draft breaks {len(outcome.violations)} rules"
            if outcome.violations
            else "the draft is not valid"
        )
        what = f"{line['draft']}  not solved, {breaks}"
    if job.unique is not None:
        what += ", the only solution" if job.unique else ", one of several solutions"
    print(f"{what}: {costs}" + (f" ({arguments.model or arguments.denoiser})" if single else ""), flush=True)


class Viewer:
    """Boards on stdout: all of them in place with ``--watch`` on a terminal, else the first few and the last."""

    def __init__(self, watch: bool, digits: int) -> None:
        self.watch, self.digits = watch, digits
        self.colour = board.wants_colour(sys.stdout)
        self.live = watch and sys.stdout.isatty()
        self.shown = 0
        self.held: dict[str, Any] | None = None

    def opening(self, puzzle: Puzzle, repair: bool) -> None:
        """The puzzle, and the legend."""
        print(board.legend(self.colour))
        print("\n".join(board.puzzle_board(puzzle.text, self.digits, self.colour)))

    def step(self, record: dict[str, Any]) -> None:
        if self.live:
            print(board.CLEAR + board.picture(record, self.digits, self.colour), flush=True)
            time.sleep(0.15)
        elif self.watch or self.shown < BOARDS - 1:
            print(board.picture(record, self.digits, self.colour), flush=True)
        else:
            self.held = record
        self.shown += 1

    def closing(self) -> None:
        """The last board, if it was held back."""
        if self.held is not None:
            skipped = self.shown - BOARDS
            if skipped > 0:
                print(f"... {skipped} more boards: --watch shows them all ...")
            print(board.picture(self.held, self.digits, self.colour))
        self.held, self.shown = None, 0
