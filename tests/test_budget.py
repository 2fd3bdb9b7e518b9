"""Budgets and counters: each limit ends a run, parts never exceed the whole, costs add up."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver.loop.engine import solve
from solver.loop.policy import Policy
from solver.loop.trace import Budget, Counters, Outcome
from solver.models import controls
from solver.tasks.errors import InvalidArgument
from solver.tasks.sudoku.task import Sudoku
from tests.examples import FOUR, run_loop


@pytest.mark.parametrize(
    ("budget", "forwards"),
    [
        (Budget(forwards=0), 1),  # every problem gets one
        (Budget(forwards=7), 7),
        (Budget(forwards=200, seconds=0.0), 1),
        (Budget(forwards=200, decisions=0), 3),
        (Budget(forwards=200, decisions=2), 5),
    ],
)
def test_each_limit_of_a_budget_ends_the_run_loop(budget: Budget, forwards: int) -> None:
    """A denoiser that is sure of the same invalid draft: two rounds, then one decision a forward."""
    problem = Sudoku(np.zeros(16, np.int8))
    _, outcome = run_loop(FOUR, problem, controls.oracle(4, np.zeros(16, np.int64)), Policy(), budget)
    assert (outcome.status, outcome.counters.forwards) == ("exhausted", forwards)


def test_a_cancelled_run_ends_before_its_first_forward() -> None:
    _, outcome = run_loop(
        FOUR, Sudoku(np.zeros(16, np.int8)), controls.random(4), budget=Budget(cancelled=lambda: True)
    )
    assert (outcome.status, outcome.counters.forwards) == ("exhausted", 0)


@pytest.mark.parametrize("name", ["forwards", "seconds", "decisions"])
@pytest.mark.parametrize("limit", [-1, True, "5", float("nan")])
def test_an_impossible_budget_is_refused_in_one_line(name: str, limit: Any) -> None:
    with pytest.raises(InvalidArgument, match=f"^{name} must .*$"):
        Budget(**{name: limit})


@given(st.integers(0, 50), st.integers(1, 5), st.integers(0, 60))
def test_what_is_left_of_a_budget_and_its_parts_never_exceed_it(
    forwards: int, parts: int, spent: int
) -> None:
    budget = Budget(forwards=forwards, seconds=10.0, decisions=forwards)
    left = budget.remaining(Counters(forwards=spent, seconds=spent, decisions=spent))
    assert (left.forwards, left.decisions) == (max(0, forwards - spent),) * 2
    assert left.seconds == max(0.0, 10.0 - spent)
    shares = budget.split(parts)
    assert len(shares) == parts
    assert sum(share.forwards or 0 for share in shares) == max(forwards, parts)  # a forward each
    assert sum(share.decisions or 0 for share in shares) == forwards
    assert sum(share.seconds or 0 for share in shares) == pytest.approx(10.0)
    side_by_side = budget.remaining(Counters(), parallel=parts)
    assert (side_by_side.forwards, side_by_side.seconds) == (forwards // parts, 10.0)


def test_a_budget_without_limits_has_none_in_its_parts() -> None:
    budget = Budget(forwards=None)
    assert budget.remaining(Counters(forwards=9, seconds=9.0)).split(2) == (budget, budget)


def test_counters_are_added_field_by_field_with_the_first_clock() -> None:
    first, second = Counters(1, 2, 3, 4, 5, 6, 7, 8, 0.5, started=1.0), Counters(*[10] * 8, 0.25, started=2.0)
    assert first + second == Counters(11, 12, 13, 14, 15, 16, 17, 18, 0.75, started=1.0)
    assert sum([first, second], Counters(started=3.0)).summary() == (first + second).summary()
    assert list(first.summary()) == [
        *["calls", "forwards", "loops", "flops", "decisions", "remasked", "nodes", "searched", "seconds"]
    ]


@pytest.mark.parametrize(("shares_time", "forwards"), [(True, 5), (False, 1)])
def test_problems_that_run_together_can_divide_the_time(
    shares_time: bool, forwards: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The denoiser takes a second per canvas: eight problems need eight seconds a round, and each has 4.5."""
    clock = [time.perf_counter()]
    monkeypatch.setattr("solver.loop.engine.time.perf_counter", lambda: clock[0])
    denoiser = controls.oracle(4, np.zeros(16, np.int64))
    denoise = denoiser.denoise

    def slowly(state: Any, tokens: Any, *further: Any) -> Any:
        clock[0] += len(tokens)
        return denoise(state, tokens, *further)

    monkeypatch.setattr(denoiser, "denoise", slowly)
    problems = [Sudoku(np.zeros(16, np.int8))] * 8
    events = solve(FOUR, problems, denoiser, Policy(), Budget(seconds=4.5), shares_time=shares_time)
    outcomes = [event for _, event in events if isinstance(event, Outcome)]
    assert [outcome.status for outcome in outcomes] == ["exhausted"] * 8
    assert {outcome.counters.forwards for outcome in outcomes} == {forwards}
