"""Which cells to accept, which to re-mask, where to decide: the loop's settings, as data and small pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from solver.kernels import reference
from solver.tasks.canvas import Mask

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Policy:
    """How the loop goes about it. Checks itself: ValueError names the field. A denoiser brings its own (``denoiser.policy``).

    accept: probability from which a draft's cell is visible to the denoiser as known.
    bound: in place of ``accept``: the cells of lowest entropy are visible, as many as keep (their sum minus their largest), in
        nats, within this (arXiv 2505.24857; DiffusionGemma: 0.1).
    at_least: cells that are visible in any case, the likeliest first.
    block: cells are only visible from the first this many that are not settled (semi-autoregressive); None for all.
    sample: visible cells hold a draw from their distribution; the draft that is judged always holds the likeliest.
    commit: what is visible stays until it is re-masked; False decides every cell anew at every forward (uniform kind).
    doubt: a visible cell is re-masked when the denoiser gives its token less than this.
    rounds, later_rounds: drafts of the first canvas, and of each later one, before a decision is made.
    repeats: False for a denoiser that carries nothing: a canvas is left at the first round that changes nothing.
    stuck: after the last round "decide" on a cell, or "restart" the canvas with fresh noise (where chance is at work).
    inherit: a canvas that comes of a decision goes on with its parent's visible cells; False starts it from the settled alone.
    by: a decision follows what the denoiser said of the canvas at "first", or "last".
    hedge: share of a decision's probability spread evenly over its tokens, so that a sure mistake is found out in time.
    order: "best" follows the denoiser's own belief in the decisions, "depth" is for denoisers without one.
    siblings: canvases of one problem that go through a forward together.
    checks: False switches every check off: no elimination, no re-masking by violation, no search; the last draft is the answer.
    judge: "every" draft is checked, or only one that is "whole", all of its cells accepted: where half a draft means nothing.
    tabu_tenure: forwards for which a blamed token may not be drafted in its cell again: for a denoiser that would say the same.
    remask: what may take a visible token back: "violations", "confidence", "both", "off", or "all": a violation
        redraws the canvas.
    stop: at the first draft that is "valid", or that is valid and "settled": twice the same, with a mean entropy under
        ``calm`` nats over the open cells; where a canvas's rounds end first, its last valid draft is the answer.
    inference: "direct" eliminates what conflicts with known cells; "singles" is the task's stronger inference (help from rules).
    settle: follow implied cells to their end before deciding. Costs forwards, saves decisions: for the controls.
    """

    accept: float = 0.98
    bound: float | None = None
    at_least: int = 0
    block: int | None = None
    sample: bool = False
    commit: bool = True
    doubt: float = 0.5
    rounds: int = 2
    later_rounds: int = 1
    repeats: bool = True
    stuck: Literal["decide", "restart"] = "decide"
    inherit: bool = False
    by: Literal["first", "last"] = "first"
    hedge: float = 0.2
    order: Literal["best", "depth"] = "best"
    siblings: int = 1
    checks: bool = True
    judge: Literal["every", "whole"] = "every"
    tabu_tenure: int = 0
    remask: Literal["violations", "confidence", "both", "off", "all"] = "both"
    stop: Literal["valid", "settled"] = "valid"
    calm: float = 0.005
    inference: Literal["direct", "singles"] = "direct"
    settle: bool = False

    def __post_init__(self) -> None:
        for name in ("accept", "doubt", "hedge"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, not {getattr(self, name)}")
        if self.bound is not None and self.bound < 0:
            raise ValueError(f"bound must not be negative, not {self.bound}")
        for name, least in (
            ("rounds", 1),
            ("later_rounds", 1),
            ("siblings", 1),
            ("at_least", 0),
            ("block", 1),
            ("tabu_tenure", 0),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, not {value}")
        choices = {
            "order": ("best", "depth"),
            "inference": ("direct", "singles"),
            "judge": ("every", "whole"),
            "remask": ("violations", "confidence", "both", "off", "all"),
            "stuck": ("decide", "restart"),
            "by": ("first", "last"),
            "stop": ("valid", "settled"),
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


def accept(
    policy: Policy, top1: Floats, entropy: Floats, open_cells: Mask, blamed: Mask, visible: Mask
) -> Mask:
    """(L,) bool: the open cells, none of them blamed, whose tokens the denoiser is to see as known.

    ``top1``, ``entropy`` (L,): what it says of each cell.  ``visible`` (L,): cells it sees already; a block is full when all are.
    """
    eligible = open_cells & ~blamed
    if policy.block is not None:
        unsettled = np.flatnonzero(open_cells & ~visible)
        if len(unsettled):
            end = unsettled[0] // policy.block * policy.block + policy.block
            eligible = eligible & (np.arange(len(eligible)) < end)
    if policy.bound is None:
        chosen = eligible & (top1 >= policy.accept)
    else:
        rows = torch.tensor(entropy)[None], torch.tensor(eligible)[None]
        chosen = reference.entropy_bound(*rows, policy.bound)[0].numpy()
    fresh = eligible & ~visible if policy.commit else eligible
    if policy.at_least and (chosen & fresh).sum() < policy.at_least:
        ranked = np.flatnonzero(fresh)[np.argsort(-top1[fresh], kind="stable")]
        chosen[ranked[: policy.at_least]] = True
    return chosen


def doubted(policy: Policy, visible: Mask, blamed: Mask, belief: Floats) -> Mask:
    """(L,) bool: the visible cells to take back. ``belief`` (L,) is the probability that each cell's token now has."""
    back = np.zeros_like(visible)
    if policy.remask == "all" and blamed.any():
        return visible.copy()
    if policy.remask in ("violations", "both"):
        back |= visible & blamed
    if policy.remask in ("confidence", "both"):
        back |= visible & (belief < policy.doubt)
    return back
