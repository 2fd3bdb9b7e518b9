"""The loop's promises, for every task and every denoiser that examples.py knows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver.loop.engine import solve
from solver.loop.policy import AcceptPolicy, Policy, RemaskPolicy, SearchPolicy
from solver.loop.trace import Budget, Outcome
from solver.models import controls
from solver.tasks.sudoku import exact, layout
from solver.tasks.sudoku.task import Sudoku, SudokuTask
from tests.examples import DENOISERS, FOUR, SUDOKU, Example, pairs, run_loop


@pytest.mark.parametrize(
    ("example", "name"), [pytest.param(*pair, id=f"{pair[0].name} {pair[1]}") for pair in pairs()]
)
def test_every_denoiser_solves_every_task(example: Example, name: str) -> None:
    for problem, answer in zip(example.problems, example.answers, strict=True):
        canvas = example.task.encode(problem)
        steps, outcome = run_loop(example.task, problem, DENOISERS[name](example.task, answer))
        assert outcome.status == "solved"
        assert example.task.verify(problem, outcome.tokens)
        assert not example.unique or (outcome.tokens == answer).all()
        for step in steps:  # a pinned cell never changes, on any path
            assert (step.draft[canvas.pinned] == canvas.tokens[canvas.pinned]).all()
            assert not (step.remasked & canvas.pinned).any()
            assert (step.settled & canvas.pinned).sum() == canvas.pinned.sum()
        assert [step.solved for step in steps] == [False] * (len(steps) - 1) + [True]


policies = st.builds(
    Policy,
    accept=st.builds(
        AcceptPolicy,
        confidence_threshold=st.sampled_from([0.0, 0.5, 0.98, 1.0]),
        entropy_bound=st.sampled_from([None, 0.1]),
        min_per_step=st.integers(0, 2),
        block_size=st.sampled_from([None, 4]),
        sample=st.booleans(),
    ),
    remask=st.builds(
        RemaskPolicy,
        on_violation=st.sampled_from(["blamed", "all", "none"]),
        doubt_threshold=st.sampled_from([0.0, 0.5, 1.0]),
        tabu_tenure=st.integers(0, 2),
        keep_visible=st.booleans(),
    ),
    search=st.builds(
        SearchPolicy,
        rounds=st.integers(1, 4),
        later_rounds=st.integers(1, 2),
        leave_on_repeat=st.booleans(),
        on_stall=st.sampled_from(["decide", "restart"]),
        keep_visible_in_children=st.booleans(),
        decide_from=st.sampled_from(["first", "last"]),
        decision_smoothing=st.sampled_from([0.0, 0.2, 1.0]),
        order=st.sampled_from(["best", "depth"]),
        siblings=st.integers(1, 3),
        inference=st.sampled_from(["direct", "singles"]),
        propagate_first=st.booleans(),
        search_after=st.sampled_from([None, 1, 4]),
        share_nogoods=st.booleans(),
    ),
    checks=st.sampled_from(["every", "complete", "none"]),
    stop=st.sampled_from(["valid", "stable"]),
)


@given(
    policies,
    st.integers(1, 12),
    st.integers(0, 1000),
    st.sampled_from(["mask", "uniform"]),
    st.integers(0, 6),
)
def test_the_loop_ends_within_its_budget_and_keeps_pins(policy, forwards, seed, kind, blanked) -> None:
    """Under an adversarial denoiser, any policy, solvable and unsolvable boards alike."""
    rng = np.random.default_rng(seed)
    grid = np.zeros(16, np.int8)
    cells = rng.permutation(16)[: 6 - blanked]
    grid[cells] = rng.integers(1, 5, len(cells))  # clues may clash
    canvas = FOUR.encode(Sudoku(grid))
    steps, outcome = run_loop(
        FOUR, Sudoku(grid), controls.adversary(4, kind, seed), policy, Budget(forwards=forwards), seed
    )
    assert len(steps) == outcome.counters.canvases <= forwards + policy.search.siblings - 1
    for step in steps:
        assert (step.draft[canvas.pinned] == canvas.tokens[canvas.pinned]).all()
    if outcome.status == "solved":
        assert FOUR.verify(Sudoku(grid), outcome.tokens)
    if outcome.status == "unsatisfiable":
        assert outcome.proof is not None
        assert exact.count_solutions(FOUR.layout, grid, 1).solutions == 0


@given(st.integers(0, 10_000), st.sampled_from(["mask", "uniform"]))
def test_an_oracle_never_remasks(seed: int, kind) -> None:
    puzzles, solutions, _ = exact.generate_puzzles(FOUR.layout, 1, seed)
    denoiser = controls.oracle(4, solutions[0].astype(np.int64) - 1, kind)
    steps, outcome = run_loop(FOUR, Sudoku(puzzles[0]), denoiser)
    assert outcome.status == "solved"
    assert len(steps) == 1
    assert outcome.counters.remasked == outcome.counters.decisions == 0


@pytest.mark.parametrize(
    "name",
    [
        "random",
        "prior",
        "adversary",
        "compact",
        "random uniform",
        "diffusion_gemma",
        "masked_lm",
        "masked_lm shifted",
    ],
)
def test_a_batch_has_the_outcomes_of_its_singles(name: str) -> None:
    puzzles, solutions, _ = exact.generate_puzzles(FOUR.layout, 7, 3)
    problems = [Sudoku(p) for p in puzzles]
    denoiser = DENOISERS[name](FOUR, solutions[0].astype(np.int64))

    def outcomes(batch: int) -> list[tuple]:
        found = {n: e for n, e in solve(FOUR, problems, denoiser, batch=batch) if isinstance(e, Outcome)}
        return [
            (o.status, o.tokens.tolist(), o.counters.forwards, o.counters.decisions)
            for _, o in sorted(found.items())
        ]

    assert outcomes(1) == outcomes(3) == outcomes(64)


@pytest.mark.parametrize("name", SUDOKU)
def test_the_same_seed_makes_the_same_trace_and_another_seed_another(name: str) -> None:
    """On an empty board, where ties are drawn; an oracle leaves nothing to chance."""
    _, solutions, _ = exact.generate_puzzles(FOUR.layout, 1, 5)
    denoiser = DENOISERS[name](FOUR, solutions[0].astype(np.int64) - 1)
    problem = Sudoku(np.zeros(16, np.int8))

    def trace(seed: int) -> list[dict]:
        return [
            step.to_json() for step in run_loop(FOUR, problem, denoiser, None, Budget(forwards=8), seed)[0]
        ]

    assert trace(1) == trace(1)
    assert (trace(1) == trace(2)) == name.startswith("oracle")


def test_an_exhausted_outcome_carries_what_is_wrong() -> None:
    puzzles, _, _ = exact.generate_puzzles(layout.standard(9), 1, 4)
    task = SudokuTask(layout.standard(9))
    _, outcome = run_loop(task, Sudoku(puzzles[0]), controls.random(9), budget=Budget(forwards=1))
    assert outcome.status == "exhausted"
    assert outcome.violations
    assert not task.verify(Sudoku(puzzles[0]), outcome.tokens)


def test_without_checks_nothing_is_eliminated_and_the_last_draft_is_the_answer() -> None:
    puzzles, solutions, _ = exact.generate_puzzles(FOUR.layout, 1, 6)
    policy = Policy(checks="none")
    steps, outcome = run_loop(FOUR, Sudoku(puzzles[0]), controls.random(4), policy, Budget(forwards=5))
    assert len(steps) == 5
    assert not any(step.violations or step.refuted or step.decision for step in steps)
    # a random draft clashes with a given sooner or later: nothing keeps it from that
    nine, task = exact.generate_puzzles(layout.standard(9), 1, 6)[0][0], SudokuTask(layout.standard(9))
    drafts = [
        s.draft for s in run_loop(task, Sudoku(nine), controls.random(9), policy, Budget(forwards=3))[0]
    ]
    assert any(
        nine[p] == d + 1
        for draft in drafts
        for c, d in enumerate(draft)
        if not nine[c]
        for p in task.layout.peers[c]
    )
    assert (outcome.tokens == steps[-1].draft).all()
    good = controls.oracle(4, solutions[0].astype(np.int64) - 1)
    assert run_loop(FOUR, Sudoku(puzzles[0]), good, policy, Budget(forwards=1))[1].status == "solved"


def test_a_repair_keeps_no_clue_but_starts_from_the_draft() -> None:
    _, solutions, _ = exact.generate_puzzles(FOUR.layout, 1, 7)
    broken = solutions[0].copy()
    broken[3] = broken[3] % 4 + 1
    denoiser = controls.oracle(4, solutions[0].astype(np.int64) - 1)
    steps, outcome = run_loop(FOUR, Sudoku(broken, repair=True), denoiser)
    assert outcome.status == "solved"
    assert not steps[0].pinned.any()
    assert (outcome.tokens + 1 == solutions[0]).all()
