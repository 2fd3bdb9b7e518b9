"""The exact Sudoku solver and generator against an independent oracle (CaDiCaL), and the hygiene of puzzle files."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from solver.tasks.data import is_reserved
from solver.tasks.sudoku import data, exact, layout
from solver.tasks.sudoku.layout import Layout

Int8 = NDArray[np.int8]
Oracle = Callable[[Layout, Int8, int], tuple[int, Int8]]

NINE, FOUR = layout.standard(9), layout.standard(4)
DIAGONAL = layout.standard(9, diagonal=True)
REGIONS = np.array(
    [
        int(symbol)
        for symbol in (
            "001111122"
            + "000111222"
            + "000012222"
            + "333444555"
            + "333444555"
            + "336444855"
            + "366777885"
            + "666777888" * 2
        )
    ]
)
JIGSAW = layout.jigsaw(REGIONS)
# Region 0 holds three cells of row 0 and the cell below the fourth: that one would have to equal the fourth.
IMPOSSIBLE = layout.jigsaw(np.array([0, 0, 0, 1, 1, 1, 1, 0, 2, 2, 3, 3, 2, 2, 3, 3]))


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    """``oracle(layout, grid, limit)``:

    solutions up to ``limit`` and the first one, by a SAT solver and blocking clauses.
    """
    solvers = pytest.importorskip("pysat.solvers", reason="python-sat is the independent oracle")
    clauses: dict[str, list[list[int]]] = {}

    def encode(grid: Layout) -> list[list[int]]:
        """Cell c holds digit v + 1:

        variable c * digits + v + 1. A digit a cell; every digit at most once in a unit.
        """
        n = grid.digits
        out = [[cell * n + v + 1 for v in range(n)] for cell in range(grid.cells)]
        for cell in range(grid.cells):
            out += [[-(cell * n + v + 1), -(cell * n + w + 1)] for v in range(n) for w in range(v)]
        for row in grid.relations:  # from the relation ids: units and peers are what is on trial
            for a in range(grid.cells):
                for b in range(a):
                    if row[a] == row[b] >= 0:
                        out += [[-(a * n + v + 1), -(b * n + v + 1)] for v in range(n)]
        return out

    def solutions(grid: Layout, cells: Int8, limit: int) -> tuple[int, Int8]:
        n = grid.digits
        if grid.name not in clauses:
            clauses[grid.name] = encode(grid)
        found, first = 0, np.zeros(grid.cells, np.int8)
        with solvers.Solver(name="cadical153", bootstrap_with=clauses[grid.name]) as solver:
            for cell, value in enumerate(cells.tolist()):
                if value:
                    solver.add_clause([cell * n + value])
            while found < limit and solver.solve():
                true = [variable for variable in solver.get_model() if variable > 0]
                if not found:
                    for variable in true:
                        first[(variable - 1) // n] = (variable - 1) % n + 1
                found += 1
                solver.add_clause([-variable for variable in true])
        return found, first

    return solutions


def is_solution(grid: Layout, cells: Int8) -> bool:
    return bool((np.sort(cells[grid.units], axis=1) == np.arange(1, grid.digits + 1)).all())


# counting


@given(st.dictionaries(st.integers(0, 15), st.integers(1, 4), max_size=6))
def test_counts_on_small_grids(oracle: Oracle, givens: dict[int, int]) -> None:
    """0 to 288 solutions, contradictory givens among them, counted to the end."""
    grid = np.zeros(16, np.int8)
    grid[list(givens)] = list(givens.values())
    count, first, _ = exact.count_solutions(FOUR, grid, limit=300)
    assert count == oracle(FOUR, grid, 300)[0]
    assert exact.count_solutions(FOUR, grid).solutions == min(count, 2)
    if count:
        assert is_solution(FOUR, first)
        assert (first[grid > 0] == grid[grid > 0]).all()
    else:
        assert not first.any()


def test_an_empty_small_grid_has_288_solutions() -> None:
    assert exact.count_solutions(FOUR, np.zeros(16, np.int8), limit=1000).solutions == 288


@pytest.mark.parametrize("grid", [NINE, DIAGONAL, JIGSAW], ids=lambda grid: grid.name)
def test_counts_of_none_one_and_many(oracle: Oracle, grid: Layout) -> None:
    rng = np.random.default_rng(0)
    puzzles, solutions, _ = exact.generate_puzzles(grid, count=3, seed=11)
    seen = set()
    for puzzle, solution in zip(puzzles, solutions, strict=True):
        fewer, wrong = puzzle.copy(), puzzle.copy()
        fewer[rng.choice(np.flatnonzero(puzzle))] = 0
        blank = rng.choice(np.flatnonzero(puzzle == 0))
        wrong[blank] = solution[blank] % 9 + 1
        for cells in (puzzle, fewer, wrong):
            count, first, _ = exact.count_solutions(grid, cells, limit=40)
            assert count == oracle(grid, cells, 40)[0]
            assert count == 0 or is_solution(grid, first)
            seen.add(min(count, 2))
    assert seen == {0, 1, 2}


def test_many_grids_at_once_are_counted_as_one_by_one() -> None:
    puzzles, _, _ = exact.generate_puzzles(NINE, count=5, seed=2)
    puzzles[3, np.flatnonzero(puzzles[3])[0]] = 0
    counts, first, guesses = exact.count_many(NINE, puzzles, limit=3)
    for at, puzzle in enumerate(puzzles):
        alone = exact.count_solutions(NINE, puzzle, limit=3)
        assert (alone.solutions, alone.first.tolist(), alone.guesses) == (
            counts[at],
            first[at].tolist(),
            guesses[at],
        )
    assert [len(part) for part in exact.count_many(NINE, puzzles[:0])] == [0, 0, 0]


def test_grids_of_another_shape_are_refused() -> None:
    for grids in (np.zeros((2, 80), np.int8), np.zeros(81, np.int8)):
        with pytest.raises(ValueError, match="not \\(N, 81\\)"):
            exact.count_many(NINE, grids)


# generating


@pytest.mark.parametrize(
    ("grid", "count"),
    [(FOUR, 20), (NINE, 8), (DIAGONAL, 4), (JIGSAW, 4)],
    ids=lambda value: getattr(value, "name", None),
)
def test_generated_puzzles_have_one_solution(oracle: Oracle, grid: Layout, count: int) -> None:
    puzzles, solutions, ratings = exact.generate_puzzles(grid, count, seed=3)
    assert puzzles.shape == solutions.shape == (count, grid.cells)
    assert ratings.shape == (count,)
    for puzzle, solution in zip(puzzles, solutions, strict=True):
        found, first = oracle(grid, puzzle, 2)
        assert found == 1
        assert (first == solution).all()


@pytest.mark.parametrize("grid", [FOUR, NINE, JIGSAW], ids=lambda grid: grid.name)
def test_generated_puzzles_are_minimal(oracle: Oracle, grid: Layout) -> None:
    for puzzle in exact.generate_puzzles(grid, count=3, seed=4)[0]:
        for cell in np.flatnonzero(puzzle):
            fewer = puzzle.copy()
            fewer[cell] = 0
            assert oracle(grid, fewer, 2)[0] == 2


def test_extra_clues_come_on_top() -> None:
    bare, _, ratings = exact.generate_puzzles(NINE, count=10, seed=5)
    more, solutions, same = exact.generate_puzzles(NINE, count=10, seed=5, extra=6)
    assert ((more > 0).sum(1) == (bare > 0).sum(1) + 6).all()
    assert (more[bare > 0] == bare[bare > 0]).all()
    assert (more[more > 0] == solutions[more > 0]).all()
    assert ratings.tolist() == same.tolist()  # of the minimal puzzle
    full, solutions, _ = exact.generate_puzzles(FOUR, count=2, seed=5, extra=16)
    assert (full == solutions).all()


def test_ratings_stay_in_the_asked_range() -> None:
    easy, _, ratings = exact.generate_puzzles(NINE, count=10, seed=6, max_guesses=0)
    assert not ratings.any()
    assert not exact.count_many(NINE, easy)[2].any()
    hard, _, ratings = exact.generate_puzzles(NINE, count=5, seed=6, min_guesses=6, max_guesses=20)
    assert ((ratings >= 6) & (ratings <= 20)).all()
    assert (exact.count_many(NINE, hard)[2] == ratings).all()


def test_a_seed_decides_the_puzzles() -> None:
    one, two, other = (exact.generate_puzzles(NINE, count=4, seed=seed)[0] for seed in (8, 8, 9))
    assert (one == two).all()
    assert (one != other).any(1).all()
    # Trained checkpoints name their seed: the puzzles behind it must not drift.
    text = "".join(map(str, exact.generate_puzzles(NINE, count=3, seed=1)[0].ravel()))
    assert sha256(text.encode()).hexdigest()[:16] == "6eb801da700d7db8"


def test_what_cannot_be_generated_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no puzzle in that range after 2000 tries \(0 of 2 made\)"):
        exact.generate_puzzles(FOUR, count=2, seed=0, min_guesses=1000)
    with pytest.raises(ValueError, match="the layout 4x4 jigsaw has no solution"):
        exact.generate_puzzles(IMPOSSIBLE, count=1, seed=0)
    for bad in ({"count": -1}, {"count": 1, "extra": -1}, {"count": 1, "min_guesses": 2, "max_guesses": 1}):
        with pytest.raises(ValueError, match="must not be negative"):
            exact.generate_puzzles(NINE, seed=0, **bad)
    assert [len(part) for part in exact.generate_puzzles(NINE, count=0, seed=0)] == [0, 0, 0]


# layouts


@pytest.mark.parametrize("grid", [FOUR, NINE, DIAGONAL, JIGSAW], ids=lambda grid: grid.name)
def test_peers_and_units_say_what_the_relations_say(grid: Layout) -> None:
    for cell in range(grid.cells):
        peers = {
            other
            for row in grid.relations
            for other in range(grid.cells)
            if other != cell and row[other] == row[cell] >= 0
        }
        assert set(grid.peers[cell].tolist()) - {-1} == peers
    assert grid.units.shape[1] == grid.digits
    assert len(grid.units) == sum(len(set(row.tolist()) - {-1}) for row in grid.relations)


def test_an_impossible_layout_has_no_solution(oracle: Oracle) -> None:
    empty = np.zeros(16, np.int8)
    assert exact.count_solutions(IMPOSSIBLE, empty).solutions == 0 == oracle(IMPOSSIBLE, empty, 1)[0]


def test_bad_layouts_are_refused() -> None:
    rows = np.repeat(np.arange(4), 4)
    with pytest.raises(ValueError, match="group 0 has 5 cells, not 4"):
        layout.from_relations("bad", 4, np.stack([rows, np.where(np.arange(16) == 4, 0, rows)]))
    for relations in (rows, np.zeros((0, 16), np.int64), np.zeros((2, 15), np.int64)):
        with pytest.raises(ValueError, match="relations of shape"):
            layout.from_relations("bad", 4, relations)
    for digits in (1, 2, 6):
        with pytest.raises(ValueError, match="not a square of at least 4"):
            layout.standard(digits)
    with pytest.raises(ValueError, match="80 regions do not fill a square grid"):
        layout.jigsaw(REGIONS[:80])
    with pytest.raises(ValueError, match="cells, not 9"):
        layout.jigsaw(np.where(np.arange(81) == 0, 8, REGIONS))


# puzzle files


@given(st.integers(0, 2**32), st.sampled_from([2, 3]))
def test_symmetries_keep_solved_grids_solved(seed: int, box: int) -> None:
    grid = layout.standard(box * box)
    cells, digits = data.random_symmetry(np.random.default_rng(seed), box)
    solved = exact.generate_puzzles(grid, count=1, seed=seed)[1][0]
    assert sorted(cells.tolist()) == list(range(grid.cells))
    assert is_solution(grid, digits[solved[cells]].astype(np.int8))
    assert digits[0] == 0


@given(st.integers(0, 2**32))
def test_signatures_survive_symmetries(seed: int) -> None:
    rng = np.random.default_rng(seed)
    puzzles, _, _ = exact.generate_puzzles(NINE, count=3, seed=seed)
    cells, digits = data.random_symmetry(rng)
    assert (
        data.symmetry_signature(digits[puzzles[:, cells]].astype(np.int8)) == data.symmetry_signature(puzzles)
    ).all()


def test_signatures_tell_puzzles_apart() -> None:
    puzzles, _, _ = exact.generate_puzzles(NINE, count=300, seed=12)
    assert len(set(data.symmetry_signature(puzzles).tolist())) >= 297
    moved = puzzles.copy()  # one clue fewer
    for row in moved:
        row[np.flatnonzero(row)[0]] = 0
    assert np.isin(data.symmetry_signature(moved), data.symmetry_signature(puzzles)).mean() < 0.01
    assert data.symmetry_signature(puzzles[:0]).shape == (0,)


def test_a_tenth_of_the_lines_is_reserved() -> None:
    lines = [
        "".join(map(str, puzzle)) for puzzle in exact.generate_puzzles(FOUR, count=1000, seed=13, extra=2)[0]
    ]
    lines = [f"{line} {number}" for number, line in enumerate(lines * 5)]
    reserved = [is_reserved(line) for line in lines]
    assert 0.08 < np.mean(reserved) < 0.12
    assert reserved[:50] == [int(sha256(line.encode()).hexdigest(), 16) % 10 == 0 for line in lines[:50]]


def changed(puzzles: Int8, clues: int) -> Int8:
    """The puzzles with another digit in ``clues`` of their givens."""
    out = puzzles.copy()
    rng = np.random.default_rng(clues)
    for row in out:
        at = rng.choice(np.flatnonzero(row), clues, replace=False)
        row[at] = row[at] % 9 + 1
    return out


def test_near_neighbours() -> None:
    reserved = exact.generate_puzzles(NINE, count=60, seed=14)[0]
    for clues in (0, 1, 6):
        assert data.near_neighbours(changed(reserved, clues), reserved).all()
    for clues in (7, 12):
        assert not data.near_neighbours(changed(reserved, clues), reserved).any()
    without, moved = reserved.copy(), reserved.copy()  # six clues left out; and six put elsewhere
    for row in without:
        row[np.flatnonzero(row)[:6]] = 0
    for row in moved:
        held, blank = np.flatnonzero(row)[:6], np.flatnonzero(row == 0)[:6]
        row[blank], row[held] = row[held], 0
    assert data.near_neighbours(without, reserved).all()
    assert data.near_neighbours(moved, reserved).all()
    cells, digits = data.random_symmetry(np.random.default_rng(0))
    assert data.near_neighbours(digits[reserved[:, cells]].astype(np.int8), reserved).all()
    assert not data.near_neighbours(exact.generate_puzzles(NINE, count=200, seed=15)[0], reserved).any()
    assert not data.near_neighbours(reserved, reserved[:0]).any()


def test_training_lines_leave_the_reserved_and_their_neighbours_out(tmp_path: Path) -> None:
    puzzles = exact.generate_puzzles(NINE, count=200, seed=16)[0]
    lines = ["".join(map(str, puzzle)) for puzzle in puzzles]
    kept_away = np.array([is_reserved(line) for line in lines])
    near = changed(puzzles[kept_away], 3)
    twins = [line + " twin" for line in ("".join(map(str, puzzle)) for puzzle in near)]
    twins = [line for line in twins if not is_reserved(line)]
    assert twins
    (tmp_path / "one.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "two.txt").write_text("\n".join(twins) + "\n")
    found = data.training_lines(tmp_path, ("one", "two", "missing"))
    assert sorted(found) == ["one", "two"]
    assert (found["one"] == puzzles[~kept_away]).all()
    assert len(found["two"]) == 0


def test_lines_become_grids() -> None:
    line = "1" + "." * 40 + "_" * 20 + "0" * 19 + "9"
    assert data.to_grid([line + " 7.2"])[0].tolist() == [1] + [0] * 79 + [9]
    assert data.to_grid([]).shape == (0, 81)
