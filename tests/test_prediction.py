"""Predictions: what is read from the logits of a forward."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from solver.errors import ModelError
from solver.kernels import reference
from solver.loop.decision import Implications, choose_decision
from solver.loop.logits import add_up, exclude, finite, statistics
from solver.loop.policy import SearchPolicy
from solver.loop.prediction import Prediction


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


@pytest.mark.parametrize(
    ("smoothing", "expected"), [(0.0, [0.9, 0.1]), (0.2, [0.82, 0.18]), (1.0, [0.5, 0.5])]
)
def test_smoothing_spreads_a_share_of_a_decision_evenly(smoothing: float, expected: list[float]) -> None:
    tokens, cells = np.array([3, 5]), np.zeros(1, np.float32)
    prediction = Prediction(
        best=np.array([3]),
        top1=cells + 0.9,
        top2=cells + 0.1,
        entropy=cells,
        sample=np.array([3]),
        num_allowed=np.array([2]),
        belief=cells,
        distribution=lambda cell: (tokens, np.array([0.9, 0.1])),
        loops=1,
        flops=0,
        aux=None,
    )
    nothing = Implications(np.zeros(1, bool), np.zeros(1, np.int64), {})
    search, rng = SearchPolicy(decision_smoothing=smoothing), np.random.default_rng(0)
    options = choose_decision(prediction, nothing, np.ones(1, bool), search, rng)
    assert options is not None
    assert options.tokens is tokens
    assert np.exp(options.log_p) == pytest.approx(expected)


def test_excluded_tokens_are_as_good_as_impossible_and_the_logits_stay() -> None:
    logits = torch.zeros((2, 3, 4))
    changed = exclude(logits, [[np.array([-1, 2, 0])], [np.array([-1, -1, -1])]])
    assert changed[0].softmax(-1).max(-1).values.tolist() == pytest.approx([1 / 4, 1 / 3, 1 / 3])
    assert (changed[1] == 0).all()
    assert (logits == 0).all()


def test_infinite_logits_are_made_finite() -> None:
    logits = finite(torch.tensor([float("inf"), float("-inf"), 1e6, 1.5]), "model")
    assert logits.tolist() == [1e4, -1e4, 1e6, 1.5]


@pytest.mark.parametrize("row", [[0.0, float("nan")], [float("-inf"), float("-inf")]])
def test_logits_without_a_likeliest_token_are_refused(row: list[float]) -> None:
    logits = torch.zeros(2, 3, 2)
    logits[1, 2] = torch.tensor(row)
    with pytest.raises(ModelError, match="tiny: the model's logits are NaN or all minus infinity"):
        finite(logits, "tiny")


def test_the_probabilities_of_synonyms_add_up_in_the_current_or_the_likeliest_one() -> None:
    p = torch.tensor([[[0.35, 0.2, 0.3, 0.15], [0.35, 0.2, 0.3, 0.15]]])
    logits = p.log() + 3.0  # not normalised
    add_up(logits, torch.tensor([1, 2]), current=torch.tensor([[0, 1]]))
    expected = torch.tensor([[[0.35, 0.0, 0.5, 0.15], [0.35, 0.5, 0.0, 0.15]]])
    torch.testing.assert_close(logits.softmax(-1), expected)
