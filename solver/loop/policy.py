"""Settings of the loop: what to accept, what to re-mask, how to search.

A denoiser brings the policy that suits it (``denoiser.policy``). Change single settings by name:

>>> policy = Policy().with_(confidence_threshold=0.9, rounds=4)
>>> policy.accept.confidence_threshold, policy.search.rounds
(0.9, 4)
>>> Policy(accept=AcceptPolicy(confidence_threshold=2.0))
Traceback (most recent call last):
solver.tasks.errors.InvalidArgument: confidence_threshold must be at most 1, not 2.0

All arrays have shape (L,): one entry per cell.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args, get_type_hints

import numpy as np
import torch
from numpy.typing import NDArray

from solver.kernels import reference
from solver.tasks.errors import InvalidArgument
from solver.tasks.task import Mask

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class Validated:
    """Base of the settings: refuses values outside of a field's bounds or choices."""

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for item in fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            value, choices = getattr(self, item.name), get_args(hints[item.name])
            lowest, highest = item.metadata.get("bounds", (None, None))
            if choices and isinstance(choices[0], str) and value not in choices:
                raise InvalidArgument(f"{item.name} must be one of {', '.join(choices)}, not {value!r}")
            if value is None or lowest is None:
                continue
            if not isinstance(value, int | float) or not value >= lowest:
                raise InvalidArgument(f"{item.name} must be at least {lowest}, not {value!r}")
            if highest is not None and value > highest:
                raise InvalidArgument(f"{item.name} must be at most {highest}, not {value!r}")


def bounded(default: Any, lowest: int, highest: int | None = None) -> Any:
    """Declare a field of a :class:`Validated` dataclass with bounds, both inclusive."""
    return field(default=default, metadata={"bounds": (lowest, highest)})


@dataclass(frozen=True)
class AcceptPolicy(Validated):
    """Which drafted cells the denoiser will see as known.

    Attributes:
        confidence_threshold: accept a cell whose token has at least this probability.
        entropy_bound: instead of the threshold, accept the cells of lowest entropy, as many as keep the sum
            of their entropies minus the largest within this bound, in nats (arXiv 2505.24857; DiffusionGemma:
            0.1).
        min_per_step: accept at least this many cells at every forward, the likeliest first.
        block_size: accept only in the first block of this many cells that is not full yet
            (semi-autoregressive).
        sample: accepted cells hold a token drawn from their distribution; the draft that is checked always
            holds the likeliest.
    """

    confidence_threshold: float = bounded(0.98, 0, 1)
    entropy_bound: float | None = bounded(None, 0)
    min_per_step: int = bounded(0, 0)
    block_size: int | None = bounded(None, 1)
    sample: bool = False

    def in_current_block(self, waiting: Mask) -> Mask:
        """Return the cells up to the end of the first block with a ``waiting`` cell; all without blocks."""
        if self.block_size is None or not waiting.any():
            return np.ones_like(waiting)
        return np.arange(len(waiting)) < (waiting.argmax() // self.block_size + 1) * self.block_size

    def confident(self, confidence: Floats, entropy: Floats, eligible: Mask) -> Mask:
        """Return the ``eligible`` cells within the threshold, or within the entropy bound."""
        if self.entropy_bound is None:
            return eligible & (confidence >= self.confidence_threshold)
        rows = torch.tensor(entropy)[None], torch.tensor(eligible)[None]
        return reference.entropy_bound(*rows, self.entropy_bound)[0].numpy()

    def top_up(self, chosen: Mask, confidence: Floats, fresh: Mask) -> Mask:
        """Add the likeliest ``fresh`` cells to ``chosen`` if it has fewer than ``min_per_step`` of them."""
        if (chosen & fresh).sum() >= self.min_per_step:
            return chosen
        ranked = np.flatnonzero(fresh)[np.argsort(-confidence[fresh], kind="stable")]
        return chosen | np.isin(np.arange(len(chosen)), ranked[: self.min_per_step])


@dataclass(frozen=True)
class RemaskPolicy(Validated):
    """Which visible cells are masked again.

    Attributes:
        on_violation: what a violation re-masks: the "blamed" cells, "all" visible cells, or "none".
        doubt_threshold: re-mask a visible cell when the denoiser gives its token less than this probability.
        tabu_tenure: for how many forwards a blamed token may not be drafted in its cell again; for denoisers
            without randomness, which would repeat it.
        keep_visible: a visible cell stays visible until it is re-masked. False chooses the visible cells anew
            at every forward (uniform noise).
    """

    on_violation: Literal["blamed", "all", "none"] = "blamed"
    doubt_threshold: float = bounded(0.5, 0, 1)
    tabu_tenure: int = bounded(0, 0)
    keep_visible: bool = True

    def select(self, visible: Mask, blamed: Mask, belief: Floats) -> Mask:
        """Return the ``visible`` cells to re-mask; ``belief`` is the probability of each cell's token."""
        doubted = visible & (belief < self.doubt_threshold)
        match self.on_violation:
            case "none":
                return doubted
            case "blamed":
                return doubted | (visible & blamed)
            case "all":
                return visible.copy() if blamed.any() else doubted


@dataclass(frozen=True)
class SearchPolicy(Validated):
    """When and where to make a decision, and which node is next.

    Attributes:
        rounds: drafts of the first node before a decision is made.
        later_rounds: drafts of every other node.
        leave_on_repeat: end a node's rounds when a draft repeats the last one; for denoisers whose aux has no
            cell state.
        on_stall: after the last round "decide" on a cell, or "restart" the node with fresh noise.
        keep_visible_in_children: children start with the visible cells of their parent, not with settled
            cells alone.
        decide_from: base a decision on the "first" prediction for the node, before any draft was visible, or
            on the "last".
        decision_smoothing: share of a decision's probability that is spread evenly over its tokens, so that a
            confident mistake does not starve the alternatives.
        order: "best" follows the probabilities of the decisions; "depth" is for denoisers whose probabilities
            carry no information.
        siblings: nodes of one problem that are denoised in one call.
        inference: "direct" eliminates tokens in conflict with settled cells; "singles" adds the task's own
            inference.
        propagate_first: follow implied cells to their end before deciding: more forwards, fewer decisions.
        search_after: forwards without a solution after which a second strategy, a search without the
            denoiser, gets equal shares of the budget (strategy.py); None: never.
        share_nogoods: the nogoods of each strategy prune the other one's tree, too.
        on_refusal: after a check has refused a draft without a reason, "redraw" it: the next ones are drawn
            jointly, at rising temperature, and a node whose rounds are over starts again. "decide" goes on as
            usual.
        draws: with "redraw", drafts of one forward after the first refusal: while a check refuses them, the next
            is drawn from the same prediction, because a check is cheap and a forward is not. 1: one draft per
            forward. Needs a language.
    """

    rounds: int = bounded(2, 1)
    later_rounds: int = bounded(1, 1)
    leave_on_repeat: bool = False
    on_stall: Literal["decide", "restart"] = "decide"
    keep_visible_in_children: bool = False
    decide_from: Literal["first", "last"] = "first"
    decision_smoothing: float = bounded(0.2, 0, 1)
    order: Literal["best", "depth"] = "best"
    siblings: int = bounded(1, 1)
    inference: Literal["direct", "singles"] = "direct"
    propagate_first: bool = False
    search_after: int | None = bounded(32, 1)
    share_nogoods: bool = True
    on_refusal: Literal["decide", "redraw"] = "redraw"
    draws: int = bounded(1, 1)


@dataclass(frozen=True)
class Policy(Validated):
    """How the loop solves a problem.

    Attributes:
        accept: which drafted cells become visible.
        remask: which visible cells are masked again.
        search: decisions and the order of the nodes.
        checks: check "every" draft; only "complete" ones, of which every cell is accepted; or "none". Without
            checks there is no elimination, no re-masking by violations and no search, and the last draft is
            the answer.
        stop: at the first "valid" draft; at one that is also "repeated", with the cells that were accepted in
            between visible to the denoiser, or after ``repeated_within`` forwards; or at one that is
            "stable": all cells are accepted, or the draft is repeated with a mean entropy below
            ``stable_entropy``. If a node's rounds end earlier, its last valid draft is the answer.
        repeated_within: forwards in which all cells become visible, at least as many at each.
        repeated_above: a draft counts as repeated if all its open cells have at least this probability; None:
            never.
        stable_entropy: bound on the mean entropy of the open cells, in nats.
        temperature: of drafts that are drawn, jointly if the task has a language; 0: the likeliest draft.

    Raises:
        InvalidArgument: a setting is outside of its bounds or choices; the message names it.
    """

    accept: AcceptPolicy = AcceptPolicy()
    remask: RemaskPolicy = RemaskPolicy()
    search: SearchPolicy = SearchPolicy()
    checks: Literal["every", "complete", "none"] = "every"
    stop: Literal["valid", "repeated", "stable"] = "valid"
    repeated_within: int = bounded(4, 2)
    repeated_above: float | None = bounded(None, 0, 1)
    stable_entropy: float = bounded(0.005, 0)
    temperature: float = bounded(0.0, 0)

    def with_(self, **changes: Any) -> Policy:
        """Return a copy with the named settings changed, whichever of the configurations they belong to.

        Raises:
            InvalidArgument: no configuration has a setting of that name.
        """
        parts = {name: getattr(self, name) for name in ("accept", "remask", "search")}
        for part, config in parts.items():
            names = {item.name for item in fields(config)} & changes.keys()
            parts[part] = replace(config, **{name: changes.pop(name) for name in names})
        own = {item.name for item in fields(self)} - parts.keys()
        if unknown := changes.keys() - own:
            raise InvalidArgument(f"a policy has no setting {', '.join(sorted(unknown))}")
        return replace(self, **parts, **changes)


# Settings without knowledge. Where a language makes every draft valid, draw drafts instead of deciding.
REDRAW = Policy(search=SearchPolicy(order="depth", rounds=1 << 30, search_after=None, on_refusal="decide"))
# Otherwise search: depth first, on the cell with the fewest tokens left.
DEPTH_FIRST = Policy(
    search=SearchPolicy(
        order="depth", rounds=1, propagate_first=True, search_after=None, on_refusal="decide"
    ),
)
