"""One round of a search node: draft the canvas, check the draft, select the cells that become visible.

The functions are pure, except for :func:`update_node`, which stores a round's results in its node.

>>> import numpy as np
>>> from solver.loop.policy import AcceptPolicy
>>> AcceptPolicy(block_size=2).in_current_block(np.array([False, True, True, True])).tolist()
[True, True, False, False]

All arrays have shape (L,): one entry per cell.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from solver.loop.policy import Policy
from solver.loop.prediction import Prediction
from solver.loop.search import Node
from solver.loop.verdict import RoundResult, Verdict, check_draft
from solver.tasks.task import Mask, Task

# Each refusal raises the temperature of draws, evenly up to a limit; after many, each forward does, by a factor.
HEATING, WARM, LATER_HEATING, MANY_REFUSALS = 0.02, 1.5, 1.01, 100


def draft_and_check(
    task: Task,
    problem: Any,
    policy: Policy,
    node: Node,
    prediction: Prediction,
    rng: np.random.Generator,
) -> RoundResult:
    """Evaluate a prediction; if a check refuses a draft that was drawn, draw others, up to ``draws`` drafts.

    The likeliest draft is not redrawn before the denoiser has seen its confident cells, which the draws keep.
    """
    result, num_refused = evaluate(task, problem, policy, node, prediction), 0
    while result.is_refused:
        num_refused += 1
        temperature = draw_temperature(policy, node.refusals + num_refused)
        is_drawn = node.refusals > 0 and policy.search.on_refusal == "redraw"
        if not is_drawn or num_refused >= policy.search.draws or prediction.redraw is None:
            break
        result = evaluate(task, problem, policy, node, prediction.redraw(temperature, rng))
    return replace(result, num_refused=num_refused)


def evaluate(task: Task, problem: Any, policy: Policy, node: Node, prediction: Prediction) -> RoundResult:
    """Draft the canvas, check the draft if the policy asks for it, and select the visible cells."""
    # -1: no token is allowed in the cell, which keeps the node's token
    draft = np.where(node.settled | (prediction.best < 0), node.tokens, prediction.best)
    no_cells, selection = np.zeros_like(node.settled), None
    verdict = Verdict(False, (), no_cells, no_cells, is_checked=False)
    # "complete": only a draft that would make every cell known is checked, so select first, and again if
    # the check blames cells
    if policy.checks == "complete":
        selection = select_visible(policy, node, prediction, no_cells)
    if policy.checks == "every" or (selection and (node.settled | selection[0]).all()):
        verdict = check_draft(task, problem, node, draft)
    if selection is None or verdict.blamed.any():
        selection = select_visible(policy, node, prediction, verdict.blamed)
    return RoundResult(node, prediction, draft, verdict, *selection)


def select_visible(policy: Policy, node: Node, prediction: Prediction, blamed: Mask) -> tuple[Mask, Mask]:
    """Return two masks: the cells visible in the next round, and the cells that cease to be visible."""
    accept, remask, visible = policy.accept, policy.remask, node.visible
    if policy.stop == "repeated":
        share = -(-int((~node.settled).sum()) // (policy.repeated_within - 1))
        accept = replace(accept, min_per_step=max(accept.min_per_step, share))
    eligible = ~node.settled & ~blamed & accept.in_current_block(~node.settled & ~visible)
    chosen = accept.confident(prediction.top1, prediction.entropy, eligible)
    chosen = accept.top_up(chosen, prediction.top1, eligible & ~visible if remask.keep_visible else eligible)
    if remask.keep_visible:
        remasked = remask.select(visible, blamed, prediction.belief)
        return (visible | chosen) & ~remasked, remasked
    if remask.on_violation == "all" and blamed.any():
        chosen = np.zeros_like(chosen)
    return chosen, visible & ~chosen


def has_stalled(policy: Policy, result: RoundResult) -> bool:
    """Whether further rounds on this node are pointless.

    The round limit is reached, the next round would repeat this one, or all blamed cells are settled.
    """
    node, search = result.node, policy.search
    if node.round + 1 >= (search.rounds if node.parent is None else search.later_rounds):
        return True
    if result.verdict.blamed.any() and not result.blamed_open.any():
        return True
    return search.leave_on_repeat and result.is_repeat and bool((node.visible == result.visible).all())


def is_stable(policy: Policy, result: RoundResult) -> bool:
    """Whether another forward is unlikely to improve a valid draft.

    "repeated": whether the draft equals the last one, after the denoiser has seen its confident cells, or its
    cells are so certain (``repeated_above``) that the denoiser is known to repeat them. Where
    a check has refused drafts, the check carries the meaning, and the first draft that passes is taken.

    "stable": if visible cells stay visible (``keep_visible``), whether every cell is known; otherwise whether
    the draft repeats the last one and its open cells have low mean entropy.
    """
    node = result.node
    if policy.stop == "repeated":
        is_last = node.round + 1 >= policy.repeated_within
        least = policy.repeated_above
        return (
            is_last
            or (least is not None and bool((result.prediction.top1[~node.settled] >= least).all()))
            or node.refusals + result.num_refused > 0
            or (result.is_repeat and not result.remasked_visible.any())
        )
    if policy.remask.keep_visible:
        return bool((node.settled | result.visible).all())
    entropy = result.prediction.entropy[~node.settled]
    return result.is_repeat and (not len(entropy) or float(entropy.mean()) < policy.stable_entropy)


def update_node(policy: Policy, result: RoundResult) -> None:
    """Store the results of the round in the node, for its next round and for its children."""
    node, prediction = result.node, result.prediction
    if node.round == 0 and policy.search.decide_from == "first":
        node.first_prediction = prediction
    node.round += 1
    node.refusals += result.num_refused
    shown = np.where(prediction.sample < 0, result.draft, prediction.sample)
    node.tokens = np.where(result.visible, shown, node.tokens)
    node.visible, node.draft = result.visible, result.draft
    excluded = np.where(result.verdict.excluded & ~node.settled, result.draft, -1)
    node.excluded = (excluded, *node.excluded)[: policy.remask.tabu_tenure]


def draw_temperature(policy: Policy, refusals: int) -> float:
    """Return the temperature of the next draft after this many refusals; 0 for the likeliest one."""
    if not refusals or policy.search.on_refusal == "decide":
        return policy.temperature
    warm = min(1.0 + HEATING * (refusals - 1), WARM)
    num_forwards = max(0, refusals - MANY_REFUSALS) / policy.search.draws
    return max(policy.temperature, warm) * math.pow(LATER_HEATING, num_forwards)


def next_aux(policy: Policy, result: RoundResult) -> Any:
    """Return the hidden state (aux) for the next round, reset in re-masked cells. None: a new state."""
    remask, blamed = policy.remask, result.verdict.blamed
    if remask.on_violation == "all" and blamed.any():
        return None
    # without keep_visible any cell may cease to be visible, so only the blamed ones are reset
    reset = result.remasked_visible if remask.keep_visible else result.blamed_open
    return result.prediction.aux.reset(reset[None]) if reset.any() else result.prediction.aux
