"""The search: complete without a budget, with a proof where there is no solution, and bounded in memory."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from solver.loop.decision import DecisionOptions, Implications
from solver.loop.engine import solve
from solver.loop.policy import Policy
from solver.loop.search import MAX_EAGER_CHILDREN, MAX_NOGOODS, Tree
from solver.loop.trace import Budget, Outcome
from solver.models import controls
from solver.tasks.sudoku import exact, layout
from solver.tasks.sudoku.task import Sudoku, SudokuTask
from solver.tasks.task import Violation
from tests.examples import DENOISERS, FOUR, run_loop


@cache
def solved_grids() -> np.ndarray:
    """All 288 solved 4x4 grids, as (288, 16) digits: every filling of the rows by permutations."""
    rows = list(itertools.permutations(range(1, 5)))
    grids = [
        grid.reshape(-1)
        for grid in map(np.array, itertools.product(rows, repeat=4))
        if all(len(set(grid[:, column])) == 4 for column in range(4))
        and all(
            len(set(grid[row : row + 2, column : column + 2].flat)) == 4
            for row in (0, 2)
            for column in (0, 2)
        )
    ]
    assert len(grids) == 288
    return np.array(grids)


def brute_force(grid: np.ndarray) -> int:
    """The number of solutions of a 4x4 grid. Shares no code with the solver."""
    return int(((grid == solved_grids()) | (grid == 0)).all(1).sum())


@given(
    st.lists(st.sampled_from([0, 0, 0, 1, 2, 3, 4]), min_size=16, max_size=16),
    st.sampled_from(["random", "prior", "compact", "adversary", "random uniform"]),
    st.sampled_from(["best", "depth"]),
    st.sampled_from(["direct", "singles"]),
    st.sampled_from([None, 1, 3]),
)
def test_the_search_is_complete_on_4x4(cells, name, order, inference, search_after) -> None:
    """Without a budget: a solution where brute force has one, a proof where it has none."""
    grid = np.array(cells, np.int8)
    denoiser = DENOISERS[name](FOUR, np.zeros(16, np.int64))
    policy = Policy().with_(order=order, inference=inference, propagate_first=order == "depth")
    policy = policy.with_(search_after=search_after)
    _, outcome = run_loop(FOUR, Sudoku(grid), denoiser, policy, Budget(forwards=None))
    assert (outcome.status == "solved") == (brute_force(grid) > 0)
    assert (outcome.status == "unsatisfiable") == (brute_force(grid) == 0)


def test_unsatisfiable_needs_a_proof_and_no_row_is_lost() -> None:
    """A board without direct conflict but without solution, beside solvable ones, in one batch."""
    none = np.array(
        [int(c) for c in "1230000000000004"], np.int8
    )  # the fourth cell sees 1, 2, 3 in its row and 4 in its column
    puzzles, _, _ = exact.generate_puzzles(FOUR.layout, 3, 1)
    problems = [Sudoku(puzzles[0]), Sudoku(none), Sudoku(puzzles[1]), Sudoku(puzzles[2])]
    outcomes = {n: e for n, e in solve(FOUR, problems, controls.random(4), batch=2) if isinstance(e, Outcome)}
    assert [outcomes[n].status for n in range(4)] == ["solved", "unsatisfiable", "solved", "solved"]
    assert outcomes[1].proof == 1


def test_controls_search_depth_first() -> None:
    assert controls.random(4).policy.search.order == "depth"
    assert DENOISERS["compact"](FOUR, np.zeros(16)).policy.search.order == "best"


class Wide(SudokuTask):
    """A task of which only the number of tokens counts."""

    def __init__(self) -> None:
        super().__init__(layout.standard(4))
        self.vocab = 100


def branch(tree: Tree, tokens: int) -> None:
    """Decide cell 0 of the root among so many tokens, the higher the likelier."""
    (root,) = tree.next_nodes(1)
    implied = Implications(np.zeros(16, bool), root.tokens, {})
    tree.extend(root, implied, DecisionOptions(0, np.arange(tokens), np.log(np.arange(tokens) + 1.0)))


def test_a_decision_among_many_tokens_makes_one_node_at_a_time() -> None:
    task = Wide()
    tree = Tree(task, None, task.encode(Sudoku(np.zeros(16, np.int8))), "best")
    branch(tree, MAX_EAGER_CHILDREN + 1)
    assert tree.num_nodes == 2
    for taken in range(MAX_EAGER_CHILDREN + 1):
        (node,) = tree.next_nodes(1)
        assert node.decision == (0, MAX_EAGER_CHILDREN - taken)
        assert tree.num_nodes == min(taken + 3, MAX_EAGER_CHILDREN + 2)
    assert tree.next_nodes(1) == []


def test_a_decision_among_few_tokens_makes_all_nodes_at_once() -> None:
    tree = Tree(FOUR, None, FOUR.encode(Sudoku(np.zeros(16, np.int8))), "best")
    branch(tree, 4)
    assert tree.num_nodes == 5
    assert [node.decision for node in tree.next_nodes(9)] == [(0, 3), (0, 2), (0, 1), (0, 0)]


def test_a_node_keeps_no_hidden_state_after_its_last_round() -> None:
    """A long search keeps its nodes for the proof; the state of a denoiser in each would fill the memory."""
    tree = Tree(FOUR, None, FOUR.encode(Sudoku(np.zeros(16, np.int8))), "best")
    tree.root.aux = tree.root.draft = np.zeros(16, np.int64)
    branch(tree, 4)
    assert tree.root.aux is None
    assert tree.root.draft is None
    (child,) = tree.next_nodes(1)
    child.aux = np.zeros(16, np.int64)
    tree.refute(child, Violation("no digit left", cells=(0,), reason=frozenset({0})))
    assert child.closed
    assert child.aux is None


def test_of_too_many_nogoods_the_shortest_are_kept() -> None:
    tree = Tree(FOUR, None, FOUR.encode(Sudoku(np.zeros(16, np.int8))), "best")
    for length in [3] * (MAX_NOGOODS // 2) + [2] * MAX_NOGOODS + [1, 4]:
        tree._learn(tree.root, frozenset(range(length)))
    assert sorted(map(len, tree.nogoods)) == [1] + [2] * (MAX_NOGOODS - 1)
