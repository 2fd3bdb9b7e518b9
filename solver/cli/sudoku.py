"""``python -m solver sudoku``: solve puzzles, and print the results.

On a terminal, a single puzzle is drawn as it is solved; otherwise every result is one line.

>>> describe_counts({"solved": 2, "exhausted": 1})
'2 solved, 1 exhausted'
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from solver.cli import options, output, watch
from solver.cli.main import UsageError

if TYPE_CHECKING:
    from solver.loop.policy import Policy
    from solver.loop.trace import Outcome
    from solver.models.protocol import Denoiser
    from solver.tasks.sudoku.task import Sudoku, SudokuTask
    from solver.tasks.sudoku.text import Puzzle, PuzzleError

FORWARDS = 5000
FLAGS = {
    "--repair": "the digits are a draft with errors, not clues",
    "--diagonal": "both main diagonals must differ too",
    "--no-checks": "the network alone: no rules, no search, its last draft",
    "--no-search": "no turns of the search without the network",
    "--unique": "report whether there are other solutions (exact solver)",
    "--trust-remote-code": "run the Python code that comes with --model",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "puzzles",
        nargs="*",
        metavar="PUZZLE",
        help="81 or 16 characters, 0 . _ for a blank (a bundled hard one)",
    )
    parser.add_argument("--file", metavar="F", help="puzzles: lines, drawn grids or CSV; - for stdin")
    parser.add_argument(
        "--regions", metavar="IDS", help="jigsaw: the region of each cell, one character each"
    )
    parser.add_argument(
        "--inference",
        choices=("direct", "singles"),
        default="direct",
        help="between forwards: direct conflicts, or naked and hidden singles too (direct)",
    )
    for name, text in FLAGS.items():
        parser.add_argument(name, action="store_true", help=text)
    options.add_budget(parser, f"{FORWARDS}; 1 with --no-checks")
    options.add_output(parser)
    output.add_order(parser)
    output.add_stream(parser)
    options.add_model(parser)
    parser.add_argument(
        "--loops", type=options.integer(1), metavar="N", help="inner loops per forward (the checkpoint's)"
    )
    parser.add_argument(
        "--model", metavar="FOLDER_OR_ID", help="a diffusion language model in place of --denoiser"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), help="of --model (the GPU if there is one)")


@dataclass
class SudokuJob:
    number: int
    puzzle: Puzzle
    problem: Sudoku
    outcome: Outcome | None = None
    is_unique: bool | None = None


@dataclass
class Totals:
    """Statistics over all puzzles, for the line at the end."""

    total: int
    counts: Counter[str] = field(default_factory=lambda: Counter(solved=0, unsatisfiable=0, exhausted=0))
    forwards: int = 0
    searched: int = 0
    by_search: int = 0
    started: float = field(default_factory=time.perf_counter)

    def add(self, outcome: Outcome) -> None:
        self.counts[outcome.status] += 1
        self.forwards += outcome.counters.forwards
        self.searched += outcome.counters.searched
        self.by_search += outcome.strategy == "search"

    def __str__(self) -> str:
        done, seconds = self.counts.total(), time.perf_counter() - self.started
        found = f" ({self.by_search} by search)" * bool(self.by_search)
        searched = f" and {self.searched / max(1, done):.2f} searched" if self.searched else ""
        costs = f"{self.forwards / max(1, done):.2f} forwards{searched} each"
        counts = f"{describe_counts(self.counts)}{found}"
        return f"{done} of {self.total}: {counts}; {costs}; {seconds:.2f} s, {done / seconds:.1f}/s"


def describe_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in counts.items())


def run(arguments: argparse.Namespace) -> int:
    """Solve all puzzles that can be read; bad ones are reported first."""
    if arguments.model is None and (arguments.device is not None or arguments.trust_remote_code):
        raise UsageError("--device and --trust-remote-code go with --model; other denoisers run on the CPU")
    if arguments.model is not None and (arguments.denoiser != "compact" or arguments.loops is not None):
        raise UsageError("--model goes neither with --denoiser nor with --loops")
    if arguments.loops is not None and arguments.denoiser in ("random", "prior"):
        raise UsageError(f"--loops goes with a network, and {arguments.denoiser} has none")
    if arguments.no_checks and (arguments.unique or arguments.inference != "direct"):
        raise UsageError("--no-checks goes neither with --unique nor with --inference")
    puzzles, errors = read_puzzles(arguments)
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    if not puzzles:
        return 2
    is_drawn = len(puzzles) == 1 and sys.stdout.isatty() and not (arguments.json or arguments.quiet)
    stream = sys.stderr if arguments.json else sys.stdout
    viewer = watch.Viewer(stream, every_step=arguments.watch) if arguments.watch or is_drawn else None
    if arguments.skip_done is not None and not arguments.json:
        raise UsageError("--skip-done reads the results of --json, and goes with it")
    done = output.read_done(arguments.skip_done, [{"puzzle": puzzle.text} for puzzle in puzzles])
    totals = Totals(len(puzzles) - len(done))
    try:
        with output.Recorder(arguments.trace, viewer) as recorder:
            solve_all(arguments, puzzles, done, recorder, totals)
    finally:
        if totals.total > 1 and not arguments.quiet:
            print(totals, file=sys.stderr)
    num_solved = totals.counts["solved"] + sum(record["status"] == "solved" for record in done.values())
    return 2 if errors else 0 if num_solved == len(puzzles) else 1


def read_puzzles(arguments: argparse.Namespace) -> tuple[list[Puzzle], list[PuzzleError]]:
    """Return the puzzles that can be read, and an error for each that cannot, both in input order."""
    from solver.tasks.sudoku import text

    check_givens = not arguments.repair
    items: list[Puzzle | PuzzleError] = []
    for number, argument in enumerate(arguments.puzzles, 1):
        try:
            items.append(text.parse_line(argument, f"argument {number}", check_givens))
        except text.PuzzleError as error:
            items.append(error)
    try:
        if arguments.file == "-":
            items.extend(text.read_stdin(options.open_stdin(), check_givens))
        elif arguments.file is not None:
            items.extend(text.read_file(Path(arguments.file), check_givens))
    except text.PuzzleError as error:
        items.append(error)
    if not items:
        if arguments.repair:
            raise UsageError("--repair needs a grid to repair")
        items.append(next(text.read_file(Path(text.__file__).with_name("puzzles.txt"))))
    errors = [item for item in items if isinstance(item, text.PuzzleError)]
    return [item for item in items if isinstance(item, text.Puzzle)], errors


def solve_all(
    arguments: argparse.Namespace,
    puzzles: list[Puzzle],
    done: Collection[int],
    recorder: output.Recorder,
    totals: Totals,
) -> None:
    """Solve the puzzles whose number is not in ``done``, and print their results."""
    numbers = [number for number in range(len(puzzles)) if number + 1 not in done]

    def show(job: SudokuJob) -> None:
        print_sudoku_result(arguments, job)

    has_bar = not (arguments.watch or arguments.quiet or sys.stdout.isatty())
    results = output.Results(numbers, show, output.is_ordered(arguments))
    with results, watch.progress_bar(len(numbers), has_bar) as advance:
        for job in solve_groups(arguments, puzzles, numbers, recorder):
            assert job.outcome is not None
            results.add(job.number, job)
            totals.add(job.outcome)
            advance(describe_counts(totals.counts))


def solve_groups(
    arguments: argparse.Namespace,
    puzzles: list[Puzzle],
    numbers: Sequence[int],
    recorder: output.Recorder,
) -> Iterator[SudokuJob]:
    """Yield jobs as they are finished. Grids of different sizes are solved in batches of their own."""
    with watch.spinner("importing torch", not arguments.quiet):
        options.limit_threads(arguments.threads)
        from solver.loop import engine
        from solver.loop.trace import Budget, Outcome
        from solver.tasks.sudoku.task import Sudoku

    jobs = [SudokuJob(n, puzzles[n], Sudoku(puzzles[n].grid, arguments.repair)) for n in numbers]
    for digits in sorted({job.puzzle.digits for job in jobs}):
        group = [job for job in jobs if job.puzzle.digits == digits]
        task = make_task(arguments, digits)
        if not arguments.repair:
            refuse_conflicts(task, group)

        # The first step shows whether the model takes the problems, and compiles what is not compiled yet.
        with watch.spinner("loading the denoiser, compiling", not arguments.quiet):
            denoiser = make_denoiser(arguments, task)
            policy, forwards = make_policy(arguments, denoiser)
            budget = Budget(forwards, arguments.seconds)
            for job in group:
                opening = {
                    "task": "sudoku",
                    "digits": digits,
                    "puzzle": job.puzzle.text,
                    "repair": arguments.repair,
                    "denoiser": denoiser.name,
                    "seed": arguments.seed,
                }
                recorder.write("problem", job.number, opening)
            problems = [job.problem for job in group]
            batch, seed = arguments.batch, arguments.seed
            events = engine.solve(task, problems, denoiser, policy, budget, seed, batch, shares_time=True)
            first = next(events)
        for index, event in chain([first], events):
            job = group[index]
            if isinstance(event, Outcome):
                job.outcome = event
                recorder.write("outcome", job.number, result_record(arguments, job))
                if arguments.unique and event.status == "solved":  # asked afterwards, never before
                    from solver.tasks.sudoku import exact

                    clues = job.puzzle.grid * (not arguments.repair)
                    job.is_unique = exact.count_solutions(task.layout, clues, limit=2).solutions == 1
                yield job
            elif recorder.is_active:
                recorder.write("step", job.number, event.to_json())


def make_task(arguments: argparse.Namespace, digits: int) -> SudokuTask:
    """Return the task for grids of this size. Raises UsageError if --regions are no layout."""
    import numpy as np

    from solver.tasks.sudoku import layout
    from solver.tasks.sudoku.task import SudokuTask

    regions = arguments.regions
    if regions is None:
        return SudokuTask(layout.standard(digits, arguments.diagonal))
    if arguments.diagonal:
        raise UsageError("--diagonal and --regions do not go together")
    if len(regions) != digits * digits:
        raise UsageError(f"--regions has {len(regions)} characters, not {digits * digits}")
    symbols = sorted(set(regions))
    try:
        return SudokuTask(layout.jigsaw(np.array([symbols.index(symbol) for symbol in regions])))
    except ValueError as error:
        raise UsageError(f"--regions: {error}") from error


def make_denoiser(arguments: argparse.Namespace, task: SudokuTask) -> Denoiser:
    if arguments.model is None:
        from solver.models.checkpoint import load

        return load(arguments.denoiser, task, arguments.loops)
    from solver.llm.embedded import Embedded
    from solver.llm.pretrained import open_model, quiet

    quiet()
    model, tokenizer = open_model(
        arguments.model, trust_remote_code=arguments.trust_remote_code, device=arguments.device
    )
    return Embedded(model, tokenizer, task, name=arguments.model)


def refuse_conflicts(task: SudokuTask, jobs: Iterable[SudokuJob]) -> None:
    """Raise UsageError if clues conflict in a group that the reader does not know: a diagonal or a region."""
    for job in jobs:
        canvas = task.encode(job.problem)
        for violation in task.check(job.problem, canvas.tokens, canvas.known):
            if violation.rule == "twice":
                raise UsageError(f"{job.puzzle.source}: {violation.message}")


def make_policy(arguments: argparse.Namespace, denoiser: Denoiser) -> tuple[Policy, int]:
    policy = denoiser.policy.with_(inference=arguments.inference)
    policy = policy.with_(search_after=None) if arguments.no_search else policy
    if arguments.no_checks:
        # A language model makes one draft in all the rounds of its schedule, a network in one forward.
        rounds = 1 if arguments.model is None else policy.search.rounds
        return policy.with_(checks="none", doubt_threshold=0.5), arguments.forwards or rounds
    return policy, arguments.forwards or FORWARDS


def result_record(arguments: argparse.Namespace, job: SudokuJob) -> watch.Record:
    """Return a result's JSON object. Only a verified answer is a "solution", the best attempt a "draft"."""
    outcome = job.outcome
    assert outcome is not None
    answer = "".join(str(token + 1) for token in outcome.tokens)
    record: watch.Record = {
        "puzzle": job.puzzle.text,
        "solution": answer if outcome.status == "solved" else None,
        "status": outcome.status,
        "strategy": outcome.strategy,
        "forwards": outcome.counters.forwards,
        "searched": outcome.counters.searched,
        "decisions": outcome.counters.decisions,
        "remasked": outcome.counters.remasked,
        "seconds": round(outcome.counters.seconds, 4),
        "denoiser": arguments.model or arguments.denoiser,
        "seed": arguments.seed,
    }
    if outcome.status == "exhausted":
        messages = [violation.message for violation in outcome.violations]
        record |= {"draft": answer, "violations": messages}
    further = {"unique": job.is_unique, "proof": outcome.proof}
    return record | {name: value for name, value in further.items() if value is not None}


def print_sudoku_result(arguments: argparse.Namespace, job: SudokuJob) -> None:
    record = result_record(arguments, job)
    if arguments.json:
        output.print_line(json.dumps({**record, "number": job.number + 1}))
        return
    by = " by search" if record["strategy"] == "search" else ""  # not by the denoiser
    match record:
        case {"status": "solved", "solution": solution}:
            text = f"{solution}  solved{by}"
        case {"status": "unsatisfiable", "puzzle": puzzle, "proof": proof}:
            text = f"{puzzle}  unsatisfiable{by}, proven by {proof} refuted nodes"
        case {"draft": draft, "violations": [_, *_] as violations}:
            text = f"{draft}  not solved, the best draft violates {len(violations)} rules"
        case _:
            text = f"{record['draft']}  not solved, the draft is not valid"
    if job.is_unique is not None:
        text += ", the only solution" if job.is_unique else ", one of several solutions"
    if not arguments.quiet:
        text += f": {watch.describe_costs(record)}, {record['seconds']:.2f} s ({record['denoiser']})"
    output.print_line(text)
