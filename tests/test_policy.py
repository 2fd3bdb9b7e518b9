"""The policy: what it accepts and re-masks, and which settings it refuses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from solver.loop import rounds
from solver.loop.policy import AcceptPolicy, Policy, RemaskPolicy, SearchPolicy
from solver.loop.trace import Budget
from solver.models import controls
from solver.tasks.errors import InvalidArgument
from solver.tasks.task import Canvas, Violation
from tests.examples import run_loop


def test_a_setting_is_changed_by_name_wherever_it_belongs() -> None:
    policy = Policy().with_(sample=True, tabu_tenure=3, order="depth", stop="stable")
    assert policy == Policy(
        accept=AcceptPolicy(sample=True),
        remask=RemaskPolicy(tabu_tenure=3),
        search=SearchPolicy(order="depth"),
        stop="stable",
    )
    assert Policy().with_() == Policy()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("confidence_threshold", 1.1),
        ("confidence_threshold", float("nan")),
        ("doubt_threshold", -0.1),
        ("entropy_bound", -1.0),
        ("block_size", 0),
        ("min_per_step", -1),
        ("rounds", 0),
        ("siblings", 0),
        ("siblings", "two"),
        ("decision_smoothing", 2.0),
        ("order", "breadth"),
        ("on_violation", "both"),
        ("checks", True),
        ("stop", "settled"),
        ("remask_all", True),
    ],
)
def test_a_setting_that_is_impossible_or_unknown_is_refused_in_one_line(setting: str, value: Any) -> None:
    with pytest.raises(InvalidArgument, match=f"^.*{setting}.*$"):
        Policy().with_(**{setting: value})


def test_cells_above_the_threshold_are_confident() -> None:
    confidence, entropy = np.array([0.9, 0.99, 1.0, 0.98], np.float32), np.zeros(4, np.float32)
    eligible = np.array([True, True, False, True])
    confident = AcceptPolicy(confidence_threshold=0.98).confident(confidence, entropy, eligible)
    assert confident.tolist() == [False, True, False, True]


def test_an_entropy_bound_replaces_the_threshold() -> None:
    """The sum of the entropies minus the largest stays within the bound: one cell always does."""
    entropy, everywhere = np.array([0.3, 0.05, 0.06, 2.0], np.float32), np.ones(4, bool)
    for bound, cells in ((0.0, [1]), (0.05, [1, 2]), (0.12, [0, 1, 2])):
        accept = AcceptPolicy(entropy_bound=bound)
        assert (
            np.flatnonzero(accept.confident(np.zeros(4, np.float32), entropy, everywhere)).tolist() == cells
        )


def test_blocks_are_filled_from_the_left() -> None:
    accept = AcceptPolicy(block_size=2)
    assert (
        accept.in_current_block(np.array([False, True, True, True, True])).tolist()
        == [True] * 2 + [False] * 3
    )
    assert accept.in_current_block(np.array([False, False, False, True, True])).tolist() == [True] * 4 + [
        False
    ]
    assert accept.in_current_block(np.zeros(5, bool)).all()
    assert AcceptPolicy().in_current_block(np.ones(5, bool)).all()


def test_at_least_so_many_fresh_cells_are_accepted_the_likeliest_first() -> None:
    confidence, fresh = np.array([0.5, 0.9, 0.7, 0.8], np.float32), np.array([True, True, True, False])
    chosen = np.array([False, False, False, True])
    assert AcceptPolicy(min_per_step=2).top_up(chosen, confidence, fresh).tolist() == [
        False,
        True,
        True,
        True,
    ]
    assert AcceptPolicy().top_up(chosen, confidence, fresh).tolist() == chosen.tolist()


@pytest.mark.parametrize(
    ("on_violation", "doubt_threshold", "remasked"),
    [
        ("blamed", 0.5, [0, 1]),
        ("blamed", 0.0, [0]),
        ("none", 0.5, [1]),
        ("none", 0.0, []),
        ("all", 0.0, [0, 1, 2]),
    ],
)
def test_visible_cells_are_remasked_for_violations_and_for_doubt(
    on_violation: Any, doubt_threshold: float, remasked: list[int]
) -> None:
    visible, blamed = np.array([True, True, True, False]), np.array([True, False, False, True])
    belief = np.array([0.9, 0.1, 0.9, 0.1], np.float32)
    remask = RemaskPolicy(on_violation=on_violation, doubt_threshold=doubt_threshold)
    assert np.flatnonzero(remask.select(visible, blamed, belief)).tolist() == remasked


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
        on_refusal="decide",
        tabu_tenure=tabu_tenure,
    )
    steps, outcome = run_loop(Word(), None, stubborn, policy, Budget(forwards=60))
    assert (outcome.status == "solved") == (tabu_tenure == 2)
    assert all(not step.violations for step in steps if not step.visible.all() and not step.remasked.any())
    assert [step.visible.sum() for step in steps[:2]] == [
        1,
        2,
    ]  # nothing is judged, or blamed, before all is accepted


@pytest.mark.parametrize(("least", "is_stable"), [(None, False), (0.98, True), (0.99, False)])
def test_a_draft_that_is_certain_in_every_open_cell_need_not_be_repeated(
    least: float | None, is_stable: bool
) -> None:
    settled, confidence = np.array([True, False, False]), np.array([0.0, 0.985, 1.0])
    result: Any = SimpleNamespace(
        node=SimpleNamespace(round=0, refusals=0, settled=settled),
        prediction=SimpleNamespace(top1=confidence),
        num_refused=0,
        is_repeat=False,
    )
    assert rounds.is_stable(Policy(stop="repeated", repeated_above=least), result) == is_stable
