"""The Sudoku checks: sound, complete on full boards, and every reason really a reason."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver.loop.search import explain
from solver.tasks.sudoku import exact, layout
from solver.tasks.sudoku.task import Sudoku, SudokuTask
from solver.tasks.task import Eliminates, Explains, Infers, Task, Violation

CROOKED = np.array([int(c) for c in "0001021122132333"])
TASKS = [
    SudokuTask(layout.standard(4)),
    SudokuTask(layout.standard(9)),
    SudokuTask(layout.standard(4, diagonal=True)),
    SudokuTask(layout.jigsaw(CROOKED)),
]
FOUR = TASKS[0]


@st.composite
def boards(draw: st.DrawFn) -> tuple[SudokuTask, np.ndarray, np.ndarray]:
    """A task, a solution, and the solution with some cells changed."""
    task = draw(st.sampled_from(TASKS))
    seed = draw(st.integers(0, 2**20))
    rng = np.random.default_rng(seed)
    solution = exact.generate_puzzles(task.layout, 1, seed)[1][0].astype(np.int64) - 1
    changed = solution.copy()
    cells = rng.permutation(len(solution))[: draw(st.integers(0, 4))]
    changed[cells] = rng.integers(0, task.vocab, len(cells))
    return task, solution, changed


@given(boards())
def test_check_is_empty_on_full_boards_exactly_when_verify_accepts(board) -> None:
    task, solution, changed = board
    problem = Sudoku(np.zeros(task.layout.cells, np.int8))
    everything = np.ones(task.layout.cells, bool)
    assert task.verify(problem, solution)
    for tokens in (solution, changed):
        assert task.verify(problem, tokens) == (not task.check(problem, tokens, everything))
        assert task.verify(problem, tokens) == all(
            len(set(tokens[u].tolist())) == task.vocab for u in task.layout.units
        )


@given(boards(), st.integers(0, 2**20), st.booleans(), st.booleans())
def test_every_reason_forces_its_violation(board, seed: int, blind: bool, infer: bool) -> None:
    """The tokens of the reason's cells alone leave no solution: asked of the exact solver."""
    task, _, changed = board
    rng = np.random.default_rng(seed)
    known = rng.random(task.layout.cells) < rng.random()
    grid = np.where(known & (rng.random(len(known)) < 0.5), changed + 1, 0).astype(np.int8)
    problem = Sudoku(grid * 0 if blind else grid)
    found = task.infer(problem, changed, known) if infer else task.check(problem, changed, known)
    for item in found:
        assert item.reason is not None
        assert all(known[cell] for cell in item.reason)
        alone = np.zeros(task.layout.cells, np.int8)
        alone[list(item.reason)] = changed[list(item.reason)] + 1
        if isinstance(item, Violation):
            assert exact.count_solutions(task.layout, alone, 1).solutions == 0
            assert item.cells
        else:  # implied: every other token leaves no solution
            for other in set(range(task.vocab)) - {item.token}:
                alone[item.cell] = other + 1
                assert exact.count_solutions(task.layout, alone, 1).solutions == 0


@given(boards(), st.integers(0, 2**20))
def test_elimination_keeps_every_solution(board, seed: int) -> None:
    """What is eliminated conflicts directly with a known cell, and the true token never is."""
    task, solution, _ = board
    known = np.random.default_rng(seed).random(task.layout.cells) < 0.5
    canvas = task.encode(Sudoku(np.zeros(task.layout.cells, np.int8)))
    free = task.eliminate([canvas], solution[None], known[None])[0, :, 0]
    for cell, token in enumerate(solution):
        assert free[cell] >> token & 1
        for other in range(task.vocab):
            peers = task.layout.peers[cell][task.layout.peers[cell] >= 0]
            assert bool(free[cell] >> other & 1) == (
                not any(known[p] and solution[p] == other for p in peers)
            )
            # why a token is out: a known cell that holds it, for which the check finds a reason too
            known[cell], was = False, known[cell]
            reason = task.explain(Sudoku(np.zeros(task.layout.cells, np.int8)), solution, known, cell, other)
            checked = explain(
                task, Sudoku(np.zeros(task.layout.cells, np.int8)), solution, known, cell, other
            )
            known[cell] = was
            assert (reason is None) == bool(free[cell] >> other & 1)
            assert reason is None or (
                checked is not None and all(known[c] and solution[c] == other for c in reason)
            )


def test_clues_are_pinned_and_a_changed_clue_is_no_solution() -> None:
    puzzles, solutions, _ = exact.generate_puzzles(FOUR.layout, 1, 3)
    problem, tokens = Sudoku(puzzles[0]), solutions[0].astype(np.int64) - 1
    canvas = FOUR.encode(problem)
    assert (canvas.pinned == (puzzles[0] > 0)).all()
    assert FOUR.verify(problem, tokens)
    swapped = np.array([1, 0, 2, 3])[tokens]  # still a valid grid, of another puzzle
    assert FOUR.verify(Sudoku(puzzles[0] * 0), swapped)
    assert not FOUR.verify(problem, swapped)
    assert FOUR.decode(problem, tokens) == "".join(map(str, solutions[0]))
    repair = FOUR.encode(Sudoku(solutions[0], repair=True))
    assert not repair.pinned.any()
    assert repair.known.all()


def test_messages_name_the_place() -> None:
    tokens, known = np.zeros(16, np.int64), np.zeros(16, bool)
    known[[0, 3]] = True
    messages = [v.message for v in FOUR.check(Sudoku(np.zeros(16, np.int8)), tokens, known)]
    assert messages == ["row 1 has 1 twice"]
    tokens[:3] = [0, 1, 2]
    tokens[7], known[:] = 3, False
    known[[0, 1, 2, 7]] = True
    messages = [v.message for v in FOUR.check(Sudoku(np.zeros(16, np.int8)), tokens, known)]
    assert messages == ["r1c4 has no digit left"]


@pytest.mark.parametrize("grid", [np.zeros(15, np.int8), np.full(16, 5, np.int8), np.full(16, -1, np.int8)])
def test_what_is_no_grid_is_refused(grid: np.ndarray) -> None:
    with pytest.raises(ValueError, match="4x4 grid"):
        FOUR.encode(Sudoku(grid))


def test_the_task_fits_its_protocols() -> None:
    for protocol in (Task, Eliminates, Explains, Infers):
        assert isinstance(FOUR, protocol)
