"""The constants of the search, each by what it changes: what is tried next, what is kept, what waits."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from solver.loop.policy import Policy, SearchPolicy, choose_cell
from solver.loop.prediction import Prediction
from solver.loop.refine import Episode
from solver.loop.search import Choice, Implications, Node, Tree
from solver.loop.trace import Budget
from solver.tasks.canvas import Canvas
from solver.tasks.task import Violation

CELLS = 40


class NoZero:
    """A task that blames the first cell while it holds token 0, gives no reason, and is never solved."""

    name, vocab = "no zero", 100

    def check(self, problem: None, tokens: np.ndarray, known: np.ndarray) -> list[Violation]:
        return [Violation("zero", cells=(0,))] if known[0] and tokens[0] == 0 else []

    def verify(self, problem: None, tokens: np.ndarray) -> bool:
        return False


def empty_canvas() -> Canvas:
    nothing = np.zeros(CELLS, bool)
    return Canvas(np.zeros(CELLS, np.int64), nothing, nothing, NoZero.vocab)


def new_tree() -> Tree:
    tree = Tree(NoZero(), None, empty_canvas(), "best")
    assert tree.next_nodes(1) == [tree.root]
    return tree


def test_a_token_that_seems_impossible_keeps_its_share_of_a_fifth() -> None:
    assert np.exp(SearchPolicy().smooth(np.array([1.0, 0.0]))) == pytest.approx([0.9, 0.1])
    assert np.exp(SearchPolicy(decision_smoothing=0.0).smooth(np.array([0.7, 0.3]))) == pytest.approx(
        [0.7, 0.3]
    )


@pytest.mark.parametrize(("nats", "next_token"), [(8.0, 1), (12.0, 0)])
def test_a_canvas_blamed_for_its_settled_cells_falls_back_by_ten_nats(nats: float, next_token: int) -> None:
    """Its children come after a sibling that is eight nats less likely, and before one that is twelve."""
    zero, tokens = np.zeros(CELLS, np.float32), np.zeros(CELLS, np.int64)
    choices = np.full(CELLS, 2)

    def distribution(cell: int) -> tuple[np.ndarray, np.ndarray]:
        unlikely = np.exp(-nats) if cell == 0 else 0.5
        return np.arange(2), np.array([1 - unlikely, unlikely])

    prediction = Prediction(tokens, zero, zero, zero, tokens, choices, zero, distribution, 1, 1, None)
    policy = Policy().with_(rounds=1, decision_smoothing=0.0)
    episode = Episode(
        NoZero(), None, empty_canvas(), policy, Budget(), 0, lambda cells, vocab, rng: np.zeros_like(tokens)
    )
    settled = list[list[int]]()
    for _ in range(3):
        (request,) = episode.requests
        settled.append(request.tokens[request.settled].tolist())
        episode.advance([prediction])
    (request,) = episode.requests
    assert settled[:2] == [[], [0]]
    assert settled[2][0] == next_token


def test_of_more_than_64_tokens_each_waits_until_the_one_before_it_is_taken() -> None:
    for count, children in ((64, 64), (65, 1)):
        tree, nothing = new_tree(), np.zeros(CELLS, bool)
        p = np.random.default_rng(0).dirichlet(np.ones(count))
        choice = Choice(0, np.arange(count), np.log(p))
        tree.extend(tree.root, Implications(nothing, tree.root.tokens, {}), choice)
        assert tree.num_nodes == 1 + children
        taken = [node for _ in range(count) for node in tree.next_nodes(1)]
        assert [node.decision for node in taken] == [(0, int(token)) for token in np.argsort(-p)]
        assert tree.next_nodes(1) == []


def decided(tree: Tree, parent: Node | None, cells: Iterable[int], token: int) -> Node:
    """A canvas on which cells were decided to be this token."""
    where = np.isin(np.arange(CELLS), list(cells))
    return Node(
        number=tree.num_nodes,
        parent=parent,
        decision=None,
        tokens=np.where(where, token, 0),
        settled_at=np.where(where, 1, -1),
        visible=np.zeros(CELLS, bool),
        decided=sum(1 << cell for cell in cells),
    )


def test_512_nogoods_are_kept_and_a_shorter_one_takes_the_place_of_the_longest() -> None:
    tree = new_tree()

    def refute(cells: tuple[int, ...], token: int) -> None:
        node = decided(tree, None, cells, token)
        tree.refute(node, Violation("no", cells=cells, reason=frozenset(cells)))

    def is_pruned(cells: tuple[int, ...], token: int) -> bool:
        tree.push(decided(tree, tree.root, cells, token))
        pruned = tree.next_nodes(1) == []
        tree.root.closed = False  # as if it had another child
        return pruned

    refute((0, 1, 2, 3), 0)
    for number in range(1, 512):
        refute((0, 1, 2), 1 + number % 90)
    assert len(tree.nogoods) == 512
    refute((4, 5, 6, 7, 8), 1)  # longer than all
    assert len(tree.nogoods) == 512
    assert is_pruned((0, 1, 2, 3), 0)
    assert not is_pruned((4, 5, 6, 7, 8), 1)
    refute((4, 5), 1)
    assert len(tree.nogoods) == 512
    assert is_pruned((4, 5), 1)
    assert not is_pruned((0, 1, 2, 3), 0)


def test_margins_closer_than_a_hundredth_are_equal_and_the_fewest_choices_decide() -> None:
    rng, undecided = np.random.default_rng(0), np.ones(2, bool)
    choices = np.array([4, 2])
    assert choose_cell(np.array([0.301, 0.309], np.float32), choices, undecided, rng) == 1
    assert choose_cell(np.array([0.301, 0.312], np.float32), choices, undecided, rng) == 0
