"""Which cells to accept, which to re-mask, where to decide: the loop's settings, as data and small pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from solver.tasks.canvas import Mask

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Policy:
    """How the loop goes about it. Checks itself: ValueError names the field.

    accept: probability from which a draft's cell is shown to the denoiser as known.
    doubt: a shown cell is re-masked when the denoiser gives its token less than this.
    rounds: drafts of the first canvas before a decision is made; later canvases get one each.
    hedge: share of a decision's probability spread evenly over its tokens, so that a sure mistake is found out in time.
    order: "best" follows the denoiser's own belief in the decisions, "depth" is for denoisers without one.
    siblings: canvases of one problem that go through a forward together.
    checks: False switches every check off: no elimination, no re-masking by violation, no search; the last draft is the answer.
    remask: what may take a shown token back: "violations", "confidence", "both" or "off".
    inference: "direct" eliminates what conflicts with known cells; "singles" is the task's stronger inference (help from rules).
    settle: follow implied cells to their end before deciding. Costs forwards, saves decisions: for the controls.
    """

    accept: float = 0.98
    doubt: float = 0.5
    rounds: int = 2
    hedge: float = 0.2
    order: Literal["best", "depth"] = "best"
    siblings: int = 1
    checks: bool = True
    remask: Literal["violations", "confidence", "both", "off"] = "both"
    inference: Literal["direct", "singles"] = "direct"
    settle: bool = False

    def __post_init__(self) -> None:
        for name in ("accept", "doubt", "hedge"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, not {getattr(self, name)}")
        for name in ("rounds", "siblings"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        choices = {
            "order": ("best", "depth"),
            "inference": ("direct", "singles"),
            "remask": ("violations", "confidence", "both", "off"),
        }
        for name, among in choices.items():
            if getattr(self, name) not in among:
                raise ValueError(f"{name} must be one of {', '.join(among)}, not {getattr(self, name)!r}")


QUANTUM = 0.01  # margins closer than this are equal


def branch(margin: Floats, choices: Ints, open_cells: Mask, rng: np.random.Generator) -> int | None:
    """The cell to decide: the smallest margin, then the fewest choices, then chance; None where no cell has a choice.

    margin (L,): top-1 minus top-2 probability.  choices (L,): how many tokens are allowed.
    """
    eligible = np.flatnonzero(open_cells & (choices > 1))
    if not len(eligible):
        return None
    steps = np.floor(margin[eligible] / QUANTUM)
    eligible = eligible[steps == steps.min()]
    eligible = eligible[choices[eligible] == choices[eligible].min()]
    return int(eligible[0] if len(eligible) == 1 else rng.choice(eligible))


def doubted(policy: Policy, shown: Mask, blamed: Mask, belief: Floats) -> Mask:
    """(L,) bool: the shown cells to take back. ``belief`` (L,) is the probability that each cell's token now has."""
    back = np.zeros_like(shown)
    if policy.remask in ("violations", "both"):
        back |= shown & blamed
    if policy.remask in ("confidence", "both"):
        back |= shown & (belief < policy.doubt)
    return back
