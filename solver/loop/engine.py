"""Many problems in one batch: each round, all running episodes share one call of the denoiser.

An episode that has ended makes room for the next problem. The outcome of a problem is the same alone and
among others.

>>> import numpy as np
>>> from solver.models import controls
>>> from solver.tasks.sudoku import layout
>>> from solver.tasks.sudoku.task import Sudoku, SudokuTask
>>> task = SudokuTask(layout.standard(4))
>>> grids = [[int(digit) for digit in line] for line in ("1030040000430001", "1230000000000004")]
>>> puzzles = [Sudoku(np.array(grid, np.int8)) for grid in grids]
>>> for number, event in solve(task, puzzles, controls.random(4), batch=2):
...     if isinstance(event, Outcome):
...         print(number, event.status, event.proof)
1 unsatisfiable 1
0 solved None
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from solver.loop.policy import Policy
from solver.loop.prediction import Predictor
from solver.loop.refine import Episode
from solver.loop.trace import Budget, Outcome, Step
from solver.models.protocol import Denoiser
from solver.tasks.errors import InvalidArgument
from solver.tasks.task import Canvas, Task

PREFILL_WINDOW = 1024  # problems that are prefilled together


@dataclass(frozen=True, eq=False)
class Running:
    """An episode in the batch, with the number of its problem and its row in the prefilled state."""

    number: int
    row: int
    episode: Episode


def solve(
    task: Task,
    problems: Sequence[Any],
    denoiser: Denoiser,
    policy: Policy | Sequence[Policy] | None = None,
    budget: Budget | None = None,
    seed: int | Sequence[int] = 0,
    batch: int = 64,
    canvases: Sequence[Canvas] | None = None,
    state: Any = None,
    shares_time: bool = False,
) -> Iterator[tuple[int, Step | Outcome]]:
    """Yield the steps and the outcome of every problem, with its number, in the order in which they happen.

    The outcome depends on the task, the problem, the denoiser, the policy, the budget in forwards and the
    seed, not on the other problems.

    Args:
        task: encodes the problems and checks their drafts.
        problems: the problems to solve.
        denoiser: the model that drafts.
        policy: settings for all problems, or for each; None for the denoiser's own. Their ``checks`` are equal.
        budget: limits of each problem.
        seed: one seed for all problems, or one for each.
        batch: number of problems that run together.
        canvases: the encoded problems, if the caller has them already.
        state: the denoiser's prefill of all problems, if the caller has it already.
        shares_time: whether the time of a round is divided among the problems that run in it. If not, all of it
            counts for each, as it should where ``budget`` is that of one call.

    Raises:
        InvalidArgument: ``batch`` is below 1.
        ValueError: the task cannot encode a problem.
    """
    if batch < 1:
        raise InvalidArgument(f"batch must be at least 1, not {batch}")
    budget, policy = budget or Budget(), policy or denoiser.policy
    policies = [policy] * len(problems) if isinstance(policy, Policy) else list(policy)
    canvases = canvases if canvases is not None else [task.encode(problem) for problem in problems]
    seeds = [seed] * len(problems) if isinstance(seed, int) else list(seed)
    predictor = Predictor(task, denoiser, restrict=any(policy.checks != "none" for policy in policies))
    window = PREFILL_WINDOW if state is None else max(1, len(problems))
    for start in range(0, len(problems), window):
        numbers = range(start, min(start + window, len(problems)))
        rows = state
        if rows is None:
            rows = denoiser.prefill([canvases[n] for n in numbers], [seeds[n] for n in numbers])
        episodes = (
            Running(
                n, row, Episode(task, problems[n], canvases[n], policies[n], budget, seeds[n], denoiser.noise)
            )
            for row, n in enumerate(numbers)
        )
        yield from run_batch(episodes, predictor, rows, batch, shares_time)


def run_batch(
    waiting: Iterator[Running],
    predictor: Predictor,
    state: Any,
    batch: int,
    shares_time: bool = False,
) -> Iterator[tuple[int, Step | Outcome]]:
    """Run episodes to their ends, at most ``batch`` of them together.

    Args:
        waiting: yields the next episode, and so starts its clock, when there is room for it.
        predictor: calls the denoiser.
        state: the prefilled state of all episodes.
        batch: number of episodes that run together.
        shares_time: whether the clock of an episode is put back by what a round took for the others.
    """
    running: list[Running] = []
    while True:
        while len(running) < batch and (started := next(waiting, None)) is not None:
            if started.episode.outcome is None:
                running.append(started)
            else:  # the budget was cancelled before the first forward
                yield started.number, started.episode.outcome
        if not running:
            return
        divided = time.perf_counter()  # the time until then has been divided
        # one call for all requests, then each episode takes its own predictions
        requests = [(entry.row, request) for entry in running for request in entry.episode.requests]
        rows, asked = zip(*requests, strict=True)
        predictions = predictor.predict(state, rows, asked)
        advancing, running = running, []
        for entry in advancing:
            episode = entry.episode
            own = list(islice(predictions, len(episode.requests)))
            if shares_time:
                divided = divide_time(advancing, divided)
            steps = episode.advance(own)
            yield from ((entry.number, step) for step in steps)
            if episode.outcome is None:
                running.append(entry)
            else:
                yield entry.number, episode.outcome


def divide_time(running: Sequence[Running], since: float) -> float:
    """Put the clock of each episode back by what the others took ``since`` then; return the time now."""
    now = time.perf_counter()
    for entry in running:
        entry.episode.counters.started += (now - since) * (1 - 1 / len(running))
    return now
