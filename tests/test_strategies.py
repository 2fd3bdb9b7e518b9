"""Two strategies on one budget: the search without the denoiser helps late, costs little, and is never hidden."""

from __future__ import annotations

import numpy as np
import pytest

from solver.cli.main import main
from solver.evaluation import sudoku
from solver.evaluation.harness import Answer, Attempt
from solver.evaluation.rows import Row
from solver.evaluation.sudoku_arms import Settings
from solver.loop.policy import Policy
from solver.loop.strategy import model_strategy, search_strategy
from solver.loop.trace import Budget, Outcome, Step
from solver.models import controls
from solver.models.protocol import uniform_noise
from solver.tasks.sudoku import exact, layout
from solver.tasks.sudoku.task import Sudoku, SudokuTask
from tests.examples import run_loop

NINE, DIAGONAL = SudokuTask(layout.standard(9)), SudokuTask(layout.standard(9, diagonal=True))
EMPTY, ROW = np.zeros(81, np.int8), np.r_[np.arange(1, 10), np.zeros(72, int)].astype(np.int8)
BUDGET = Budget(forwards=1000)
# As a model, it is confident of nothing true and searches best first: alone, it does not fill an empty board.
MISLED = Policy().with_(rounds=1)


def run_misled(grid: np.ndarray, budget: Budget = BUDGET, **changes: object) -> tuple[list[Step], Outcome]:
    denoiser = controls.random(9, policy=MISLED.with_(**changes))
    return run_loop(NINE, Sudoku(grid), denoiser, denoiser.policy, budget)


def test_an_empty_board_is_beyond_a_misled_model_and_solved_by_search() -> None:
    alone = run_misled(EMPTY, Budget(forwards=200), search_after=None)
    assert alone[1].status == "exhausted"
    steps, outcome = run_misled(EMPTY)
    assert (outcome.status, outcome.strategy) == ("solved", "search")
    assert NINE.verify(Sudoku(EMPTY), outcome.tokens)
    assert outcome.counters.canvases == len(steps) < 200


@pytest.mark.parametrize("task", [NINE, DIAGONAL], ids=["plain", "diagonal"])
@pytest.mark.parametrize("grid", [EMPTY, ROW], ids=["empty", "first row"])
def test_the_total_is_twice_what_the_control_needs_alone(task: SudokuTask, grid: np.ndarray) -> None:
    alone = run_loop(task, Sudoku(grid), controls.random(9), None, BUDGET)[1].counters
    policy = MISLED.with_(share_nogoods=False)
    both = run_loop(task, Sudoku(grid), controls.random(9), policy, BUDGET)[1].counters
    assert both.searched == alone.forwards > 32  # it searches exactly as the control does
    assert both.canvases <= 2 * alone.forwards


def test_search_begins_after_32_forwards_catches_up_and_then_takes_turns() -> None:
    steps, _ = run_misled(EMPTY)
    strategies = [step.strategy for step in steps]
    assert strategies[:64] == ["model"] * 32 + ["search"] * 32
    assert strategies[64:70] == ["model", "search"] * 3
    assert len({step.node for step in steps}) == len(steps)  # one numbering for both trees


def test_what_the_model_solves_soon_is_solved_without_search() -> None:
    grid, answer, _ = exact.generate_puzzles(NINE.layout, 1, 3)
    oracle = controls.oracle(9, answer[0].astype(np.int64) - 1)
    _, outcome = run_loop(NINE, Sudoku(grid[0]), oracle)
    assert (outcome.status, outcome.strategy, outcome.counters.searched) == ("solved", "model", 0)


def test_a_proof_by_either_strategy_is_a_proof() -> None:
    (grid,) = sudoku.unsatisfiable_boards(1)
    found = {after: run_misled(grid, search_after=after)[1] for after in (None, 1)}
    assert [outcome.status for outcome in found.values()] == ["unsatisfiable", "unsatisfiable"]
    assert found[1].strategy in ("model", "search")
    assert found[1].proof is not None


def test_nogoods_are_shared_unless_the_policy_says_otherwise() -> None:
    problem, canvas = Sudoku(EMPTY), NINE.encode(Sudoku(EMPTY))
    for share in (True, False):
        policy = MISLED.with_(share_nogoods=share)
        model = model_strategy(NINE, problem, canvas, policy, 0, uniform_noise)
        search = search_strategy(NINE, problem, canvas, policy, 0, model.tree)
        assert (search.tree.nogoods is model.tree.nogoods) == share


def test_a_draft_to_be_repaired_is_left_to_the_model() -> None:
    """A search that does not see the draft would answer with any board."""
    wrong = exact.generate_puzzles(NINE.layout, 1, 3)[1][0].copy()
    wrong[:9] = wrong[0]
    budget = Budget(forwards=60)
    _, outcome = run_loop(NINE, Sudoku(wrong, repair=True), controls.random(9), MISLED, budget)
    assert outcome.counters.searched == 0


def test_an_evaluation_counts_the_help_of_search_on_its_own() -> None:
    outcomes = [run_misled(EMPTY)[1], run_misled(ROW)[1]]
    answers = [
        Answer(
            ("".join(str(token + 1) for token in outcome.tokens),),
            outcome.status,
            outcome.counters,
            outcome=outcome,
        )
        for outcome in outcomes
    ]
    figures = sudoku.sudoku_figures(np.stack([EMPTY, ROW]), Attempt(answers, 1.0))
    assert (figures["solved"], figures["by_search"]) == (2, 2)
    assert figures["searched_mean"] == np.mean([outcome.counters.searched for outcome in outcomes])


def test_the_command_line_names_search_and_can_switch_it_off(capsys: pytest.CaptureFixture[str]) -> None:
    empty = "." * 81
    assert main(["sudoku", empty]) == 0
    assert "solved by search: " in capsys.readouterr().out
    assert main(["sudoku", empty, "--no-search", "--forwards", "40"]) == 1
    assert "not solved" in capsys.readouterr().out


def test_a_table_counts_what_the_search_does_alone_as_its_own() -> None:
    grids = np.stack([EMPTY, *sudoku.unsatisfiable_boards(1)])
    (row,) = sudoku.measure_strategies(Row("strategies", "boards", "search alone"), grids, Settings())
    assert (row.get("solved"), row.get("by_search")) == (1, 1)
    assert (row.get("unsatisfiable"), row.get("proven_by_search")) == (1, 1)
    assert row.get("forwards_mean") == 0 < row.get("searched_mean")
