"""The constants behind decisions, each by what it changes: which cell, how likely its tokens, which canvas is next."""

from __future__ import annotations

import numpy as np
import pytest

from solver.loop.decision import Implications, choose_cell, choose_decision
from solver.loop.policy import Policy, SearchPolicy
from solver.loop.prediction import Prediction
from solver.loop.refine import Episode
from solver.loop.trace import Budget
from solver.tasks.task import Canvas, Violation

CELLS = 4


class NoZero:
    """A task that blames the first cell while it holds token 0, gives no reason, and is never solved."""

    name, vocab = "no zero", 2

    def check(self, problem: None, tokens: np.ndarray, known: np.ndarray) -> list[Violation]:
        return [Violation("zero", cells=(0,))] if known[0] and tokens[0] == 0 else []

    def verify(self, problem: None, tokens: np.ndarray) -> bool:
        return False


def predict(first: list[float]) -> Prediction:
    """Two tokens in every cell: of these probabilities in the first, equally likely in the others."""

    def distribution(cell: int) -> tuple[np.ndarray, np.ndarray]:
        return np.arange(2), np.array(first if cell == 0 else [0.5, 0.5])

    tokens, zero = np.zeros(CELLS, np.int64), np.zeros(CELLS, np.float32)
    choices = np.full(CELLS, 2)
    return Prediction(tokens, zero, zero, zero, tokens, choices, zero, distribution, 1, 1, None)


def test_a_token_that_seems_impossible_keeps_its_share_of_a_fifth() -> None:
    nothing, first = Implications(np.zeros(CELLS, bool), np.zeros(CELLS, np.int64), {}), np.arange(CELLS) == 0
    options = choose_decision(predict([1.0, 0.0]), nothing, first, SearchPolicy(), np.random.default_rng(0))
    assert options is not None
    assert np.exp(options.log_p) == pytest.approx([0.9, 0.1])


@pytest.mark.parametrize(("nats", "next_token"), [(8.0, 1), (12.0, 0)])
def test_a_canvas_blamed_for_its_settled_cells_falls_back_by_ten_nats(nats: float, next_token: int) -> None:
    """Its children come after a sibling that is eight nats less likely, and before one that is twelve."""
    nothing = np.zeros(CELLS, bool)
    canvas = Canvas(np.zeros(CELLS, np.int64), nothing, nothing, NoZero.vocab)
    policy = Policy().with_(rounds=1, decision_smoothing=0.0, on_refusal="decide")
    episode = Episode(
        NoZero(), None, canvas, policy, Budget(), 0, lambda cells, vocab, rng: np.zeros(CELLS, np.int64)
    )
    settled = list[list[int]]()
    for _ in range(3):
        (request,) = episode.requests
        settled.append(request.tokens[request.settled].tolist())
        episode.advance([predict([1 - np.exp(-nats), np.exp(-nats)])])
    assert settled[:2] == [[], [0]]
    assert settled[2][0] == next_token


def test_margins_closer_than_a_hundredth_are_equal_and_the_fewest_choices_decide() -> None:
    rng, undecided = np.random.default_rng(0), np.ones(2, bool)
    choices = np.array([4, 2])
    assert choose_cell(np.array([0.301, 0.309], np.float32), choices, undecided, rng) == 1
    assert choose_cell(np.array([0.301, 0.312], np.float32), choices, undecided, rng) == 0
