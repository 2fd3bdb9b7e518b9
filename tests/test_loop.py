"""The loop's promises, for every task and every denoiser that examples.py knows."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from solver.kernels import reference
from solver.loop.engine import solve
from solver.loop.policy import AcceptPolicy, Policy, RemaskPolicy, SearchPolicy
from solver.loop.prediction import statistics
from solver.loop.refine import refine
from solver.loop.trace import Budget, Counters, Outcome, Step
from solver.models import controls
from solver.tasks.canvas import Canvas
from solver.tasks.errors import InvalidArgument
from solver.tasks.sudoku import exact, layout
from solver.tasks.sudoku.task import Sudoku, SudokuTask
from solver.tasks.task import Violation
from tests.examples import DENOISERS, SUDOKU, Example, pairs

FOUR = SudokuTask(layout.standard(4))


def run(task, problem, denoiser, policy=None, budget=None, seed=0) -> tuple[list[Step], Outcome]:
    *steps, outcome = refine(task, problem, denoiser, policy, budget, seed)
    assert isinstance(outcome, Outcome)
    return steps, outcome


@pytest.mark.parametrize(
    ("example", "name"), [pytest.param(*pair, id=f"{pair[0].name} {pair[1]}") for pair in pairs()]
)
def test_every_denoiser_solves_every_task(example: Example, name: str) -> None:
    for problem, answer in zip(example.problems, example.answers, strict=True):
        canvas = example.task.encode(problem)
        steps, outcome = run(example.task, problem, DENOISERS[name](example.task, answer))
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
    steps, outcome = run(
        FOUR, Sudoku(grid), controls.adversary(4, kind, seed), policy, Budget(forwards=forwards), seed
    )
    assert len(steps) == outcome.counters.forwards <= forwards + policy.search.siblings - 1
    for step in steps:
        assert (step.draft[canvas.pinned] == canvas.tokens[canvas.pinned]).all()
    if outcome.status == "solved":
        assert FOUR.verify(Sudoku(grid), outcome.tokens)
    if outcome.status == "unsatisfiable":
        assert outcome.proof is not None
        assert exact.count_solutions(FOUR.layout, grid, 1).solutions == 0


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
def test_each_limit_of_a_budget_ends_the_run(budget: Budget, forwards: int) -> None:
    """A denoiser that is sure of the same invalid draft: two rounds, then one decision a forward."""
    problem = Sudoku(np.zeros(16, np.int8))
    _, outcome = run(FOUR, problem, controls.oracle(4, np.zeros(16, np.int64)), Policy(), budget)
    assert (outcome.status, outcome.counters.forwards) == ("exhausted", forwards)


def test_a_cancelled_run_ends_before_its_first_forward() -> None:
    _, outcome = run(
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
    first, second = Counters(1, 2, 3, 4, 5, 6, 7, 0.5, started=1.0), Counters(*[10] * 7, 0.25, started=2.0)
    assert first + second == Counters(11, 12, 13, 14, 15, 16, 17, 0.75, started=1.0)
    assert sum([first, second], Counters(started=3.0)).summary() == (first + second).summary()
    assert list(first.summary()) == [
        *["calls", "forwards", "loops", "flops", "decisions", "remasked", "nodes", "seconds"]
    ]


@given(st.integers(0, 10_000), st.sampled_from(["mask", "uniform"]))
def test_an_oracle_never_remasks(seed: int, kind) -> None:
    puzzles, solutions, _ = exact.generate(FOUR.layout, 1, seed)
    denoiser = controls.oracle(4, solutions[0].astype(np.int64) - 1, kind)
    steps, outcome = run(FOUR, Sudoku(puzzles[0]), denoiser)
    assert outcome.status == "solved"
    assert len(steps) == 1
    assert outcome.counters.remasked == outcome.counters.decisions == 0


ALL_4X4 = None


def brute_force(grid: np.ndarray) -> int:
    """Solutions of a 4x4 grid by trying every filling of rows by permutations: shares no code with the solver."""
    global ALL_4X4
    if ALL_4X4 is None:
        rows = list(itertools.permutations(range(1, 5)))
        found = []
        for rows4 in itertools.product(rows, repeat=4):
            g = np.array(rows4)
            if all(len(set(g[:, c])) == 4 for c in range(4)) and all(
                len(set(g[r : r + 2, c : c + 2].flat)) == 4 for r in (0, 2) for c in (0, 2)
            ):
                found.append(g.reshape(-1))
        ALL_4X4 = np.array(found)
        assert len(ALL_4X4) == 288
    return int(((grid == ALL_4X4) | (grid == 0)).all(1).sum())


@given(
    st.lists(st.sampled_from([0, 0, 0, 1, 2, 3, 4]), min_size=16, max_size=16),
    st.sampled_from(["random", "prior", "compact", "adversary", "random uniform"]),
    st.sampled_from(["best", "depth"]),
    st.sampled_from(["direct", "singles"]),
)
def test_the_search_is_complete_on_4x4(cells, name, order, inference) -> None:
    """Without a budget: a solution where brute force has one, a proof where it has none."""
    grid = np.array(cells, np.int8)
    denoiser = DENOISERS[name](FOUR, np.zeros(16, np.int64))
    policy = Policy().with_(order=order, inference=inference, propagate_first=order == "depth")
    _, outcome = run(FOUR, Sudoku(grid), denoiser, policy, Budget(forwards=None))
    assert (outcome.status == "solved") == (brute_force(grid) > 0)
    assert (outcome.status == "unsatisfiable") == (brute_force(grid) == 0)


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
    puzzles, solutions, _ = exact.generate(FOUR.layout, 7, 3)
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
    _, solutions, _ = exact.generate(FOUR.layout, 1, 5)
    denoiser = DENOISERS[name](FOUR, solutions[0].astype(np.int64) - 1)
    problem = Sudoku(np.zeros(16, np.int8))

    def trace(seed: int) -> list[dict]:
        return [step.to_json() for step in run(FOUR, problem, denoiser, None, Budget(forwards=8), seed)[0]]

    assert trace(1) == trace(1)
    assert (trace(1) == trace(2)) == name.startswith("oracle")


def test_unsatisfiable_needs_a_proof_and_no_row_is_lost() -> None:
    """A board without direct conflict but without solution, beside solvable ones, in one batch."""
    none = np.array(
        [int(c) for c in "1230000000000004"], np.int8
    )  # the fourth cell sees 1, 2, 3 in its row and 4 in its column
    puzzles, _, _ = exact.generate(FOUR.layout, 3, 1)
    problems = [Sudoku(puzzles[0]), Sudoku(none), Sudoku(puzzles[1]), Sudoku(puzzles[2])]
    outcomes = {n: e for n, e in solve(FOUR, problems, controls.random(4), batch=2) if isinstance(e, Outcome)}
    assert [outcomes[n].status for n in range(4)] == ["solved", "unsatisfiable", "solved", "solved"]
    assert outcomes[1].proof == 1


def test_an_exhausted_outcome_carries_what_is_wrong() -> None:
    puzzles, _, _ = exact.generate(layout.standard(9), 1, 4)
    task = SudokuTask(layout.standard(9))
    _, outcome = run(task, Sudoku(puzzles[0]), controls.random(9), budget=Budget(forwards=1))
    assert outcome.status == "exhausted"
    assert outcome.violations
    assert not task.verify(Sudoku(puzzles[0]), outcome.tokens)


def test_without_checks_nothing_is_eliminated_and_the_last_draft_is_the_answer() -> None:
    puzzles, solutions, _ = exact.generate(FOUR.layout, 1, 6)
    policy = Policy(checks="none")
    steps, outcome = run(FOUR, Sudoku(puzzles[0]), controls.random(4), policy, Budget(forwards=5))
    assert len(steps) == 5
    assert not any(step.violations or step.refuted or step.decision for step in steps)
    # a random draft clashes with a given sooner or later: nothing keeps it from that
    nine, task = exact.generate(layout.standard(9), 1, 6)[0][0], SudokuTask(layout.standard(9))
    drafts = [s.draft for s in run(task, Sudoku(nine), controls.random(9), policy, Budget(forwards=3))[0]]
    assert any(
        nine[p] == d + 1
        for draft in drafts
        for c, d in enumerate(draft)
        if not nine[c]
        for p in task.layout.peers[c]
    )
    assert (outcome.tokens == steps[-1].draft).all()
    good = controls.oracle(4, solutions[0].astype(np.int64) - 1)
    assert run(FOUR, Sudoku(puzzles[0]), good, policy, Budget(forwards=1))[1].status == "solved"


def test_a_repair_keeps_no_clue_but_starts_from_the_draft() -> None:
    _, solutions, _ = exact.generate(FOUR.layout, 1, 7)
    broken = solutions[0].copy()
    broken[3] = broken[3] % 4 + 1
    denoiser = controls.oracle(4, solutions[0].astype(np.int64) - 1)
    steps, outcome = run(FOUR, Sudoku(broken, repair=True), denoiser)
    assert outcome.status == "solved"
    assert not steps[0].pinned.any()
    assert (outcome.tokens + 1 == solutions[0]).all()


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_statistics_of_the_cells_that_are_asked_for_are_those_of_all(share: float) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn((3, 7, 300), generator=generator)
    allowed = reference.pack(torch.rand((3, 7, 300), generator=generator) < 0.5)
    held, uniform = (
        torch.randint(0, 300, (3, 7), generator=generator),
        torch.rand((3, 7), generator=generator),
    )
    asked = torch.rand((3, 7), generator=generator) < share
    whole = reference.token_statistics(logits, allowed, uniform, held)
    found = statistics(logits, allowed, uniform, held, asked)
    for column, expected in zip(found, whole, strict=True):
        torch.testing.assert_close(column[asked], expected[asked])
    assert (found.best[~asked] == held[~asked]).all()
    assert (found.top1[~asked] == 1).all()


class Word:
    """Three cells of three tokens; one word is right, and every cell that differs from it is blamed."""

    name, vocab, right = "word", 3, np.array([1, 2, 0])

    def encode(self, problem: None) -> Canvas:
        return Canvas(np.zeros(3, np.int64), np.zeros(3, bool), np.zeros(3, bool), 3)

    def check(self, problem: None, tokens: np.ndarray, known: np.ndarray) -> list[Violation]:
        return [
            Violation("wrong", cells=(int(n),), rule="word")
            for n in np.flatnonzero(known & (tokens != self.right))
        ]

    def verify(self, problem: None, tokens: np.ndarray) -> bool:
        return bool((tokens == self.right).all())

    def decode(self, problem: None, tokens: np.ndarray) -> str:
        return "".join(map(str, tokens))


@pytest.mark.parametrize("tabu_tenure", [0, 1, 2])
def test_a_denoiser_that_repeats_itself_needs_a_tabu_tenure(tabu_tenure: int) -> None:
    """It finds token 2 least likely: both others must stay away at the same time."""

    def says(canvas: Canvas, tokens: np.ndarray, known: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.array([0.0, -1.0, -2.0]) + 5.0 * known[:, None] * np.eye(3)[tokens]

    stubborn = controls.Control("stubborn", 3, says)
    policy = Policy(checks="complete", stop="stable").with_(
        confidence_threshold=1.0,
        min_per_step=1,
        rounds=60,
        on_stall="restart",
        tabu_tenure=tabu_tenure,
    )
    steps, outcome = run(Word(), None, stubborn, policy, Budget(forwards=60))
    assert (outcome.status == "solved") == (tabu_tenure == 2)
    assert all(not step.violations for step in steps if not step.visible.all() and not step.remasked.any())
    assert [step.visible.sum() for step in steps[:2]] == [
        1,
        2,
    ]  # nothing is judged, or blamed, before all is accepted


def test_controls_search_depth_first() -> None:
    assert controls.random(4).policy.search.order == "depth"
    assert DENOISERS["compact"](FOUR, np.zeros(16)).policy.search.order == "best"
