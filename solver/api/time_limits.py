"""Ends a run of the loop on JSON problems at a time limit, in the middle of a forward if necessary."""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from solver.kernels.deadline import OutOfTime, time_left, time_limit
from solver.loop.trace import Counters, Outcome, Step
from solver.tasks.json_schema.problem import JsonProblem

GRACE = 0.25  # seconds after the limit at which a forward is abandoned


def within_limit(
    run: Iterator[tuple[int, Step | Outcome]], problems: Sequence[JsonProblem], seconds: float | None
) -> Iterator[tuple[int, Step | Outcome]]:
    """Yield the events of a run. A forward that is not over GRACE after ``seconds`` is abandoned.

    The problems that have not ended then have their best draft so far as their outcome.
    """
    started = time.perf_counter()
    best: dict[int, Step] = {}
    counters = defaultdict[int, Counters](lambda: Counters(started=started))
    pending = dict.fromkeys(range(len(problems)))
    while pending:
        try:
            with time_limit(None if seconds is None else started + seconds + GRACE - time.perf_counter()):
                n, event = next(run)
        except OutOfTime:
            if time_left() <= 0:  # a shorter limit of the caller
                raise
            break
        if isinstance(event, Outcome):
            pending.pop(n)
        else:
            counters[n] += Counters(forwards=1) if event.strategy == "model" else Counters(searched=1)
            if n not in best or len(event.violations) <= len(best[n].violations):
                best[n] = event
        yield n, event
    for n in pending:
        counters[n].stop_clock()
        yield n, abandoned(problems[n], best.get(n), counters[n])


def abandoned(problem: JsonProblem, best: Step | None, counters: Counters) -> Outcome:
    """The outcome of a problem whose last forward was abandoned."""
    if best is None:
        tokens, pinned = problem.given
        return Outcome("exhausted", tokens, (), pinned.astype(np.float32), counters)
    return Outcome("exhausted", best.draft, best.violations, best.confidence, counters)
