"""The loop. Read this first.

A denoiser drafts the whole canvas; the draft is checked; what violates something is re-masked; what the denoiser is sure of
stays visible to it; round again until nothing violates. When drafts stop improving, a *decision* is made: one cell, the one whose
two best tokens are closest, is set to each of its tokens in turn (search.py). Nothing is called solved that the task's
``verify`` has not accepted, and nothing unsatisfiable without a proof.

``episode`` is the loop for one problem, written as a coroutine: it yields the canvases it wants denoised and is sent what the
denoiser said, so that drive.py can put the canvases of many problems into one batch.

    for event in refine(task, problem, denoiser):      # Steps, then one Outcome
        ...
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from solver.loop import policy as policies
from solver.loop.policy import Policy
from solver.loop.search import Node, Tree
from solver.loop.trace import Budget, Counters, Outcome, Step
from solver.tasks.canvas import EMPTY, Canvas, Mask, Tokens
from solver.tasks.task import Infers, Task, Violation

DISTRUST = (
    10.0  # nats that a canvas falls back in the queue when its settled cells are blamed without a reason
)
UNJUDGED = 1 << 29  # cells that a draft which nobody checked counts as violating
NOTHING: policies.Floats = np.zeros(0, np.float32)


@dataclass(frozen=True, eq=False)
class DenoiseRequest:
    """A canvas to denoise: tokens (L,), which of them the denoiser may see (``known``), which are settled on this canvas
    (``settled``: pinned, decided, implied; elimination starts from these), what it carried from the last forward, numbers in
    [0, 1) (L,) to draw samples with, where the policy wants them, and tokens that a cell may not draft now (``excluded``, each
    (L,), -1 for none)."""

    tokens: Tokens
    known: Mask
    settled: Mask
    carry: Any
    uniform: policies.Floats | None = None
    excluded: tuple[Tokens, ...] = ()


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the denoiser said of one canvas; arrays are per cell (L,).

    best, top1, top2: the likeliest token among the allowed, its probability and the next one's.  entropy: in nats.
    sample: a draw, or the likeliest where none was asked for.
    choices: how many tokens are allowed.  belief: what it now gives the token that stands there, among the allowed.
    probabilities(cell): the allowed tokens there and their probabilities. Holds on to the forward's logits: not to be kept.
    loops, flops: what the forward cost.  carry: to hand on.  constraint_cost: what conditioning on validity cost, in nats.
    """

    best: Tokens
    top1: policies.Floats
    top2: policies.Floats
    entropy: policies.Floats
    sample: Tokens
    choices: Tokens
    belief: policies.Floats
    probabilities: Callable[[int], tuple[Tokens, policies.Floats]]
    loops: int
    flops: int
    carry: Any
    constraint_cost: float = 0.0


@dataclass(eq=False)
class Progress:
    """The best draft so far, by how many cells it violates; ``valid``: it has been verified."""

    tokens: Tokens
    confidence: policies.Floats
    violations: tuple[Violation, ...] = ()
    blamed: int = 1 << 30
    valid: bool = False
    constraint_cost: float = 0.0
    steps: int = 0
    counters: Counters = field(default_factory=Counters)


Episode = Generator[list[DenoiseRequest], list[Prediction], Outcome]


def episode(
    task: Task,
    problem: Any,
    canvas: Canvas,
    policy: Policy,
    budget: Budget,
    rng: np.random.Generator,
    noise: Callable[[Mask, np.random.Generator], Tokens],
    emit: Callable[[Step], None],
) -> Episode:
    """The loop for one problem: yields requests, is sent their predictions, emits steps, returns the outcome."""
    tree = Tree(task, problem, canvas, policy.order)
    tree.root.visible = canvas.known & ~canvas.pinned  # a draft to be refined
    best = Progress(np.where(canvas.known, canvas.tokens, 0), np.zeros(canvas.cells, np.float32))
    counters = best.counters
    while not budget.is_spent(counters):
        nodes = tree.take(policy.siblings)
        if not nodes:
            return finish("solved", best) if best.valid else finish("unsatisfiable", best, proof=tree.refuted)
        predictions = yield [request(node, policy, noise, rng) for node in nodes]
        counters.calls += 1
        counters.seconds = time.perf_counter() - counters.started
        for node, prediction in zip(nodes, predictions, strict=True):
            step = absorb(task, problem, canvas, policy, tree, node, prediction, rng, best)
            emit(step)
            if step.solved:
                return finish("solved", best)
    if best.valid or (not policy.checks and task.verify(problem, best.tokens)):
        return finish(
            "solved", best
        )  # without checks nothing was steered: the last draft is graded, not chosen
    return finish("exhausted", best)


def request(
    node: Node, policy: Policy, noise: Callable[[Mask, np.random.Generator], Tokens], rng: np.random.Generator
) -> DenoiseRequest:
    """The canvas as the denoiser is to see it: settled cells and visible draft, noise elsewhere."""
    known = node.settled | node.visible if node.visible is not None else node.settled
    tokens = np.where(known, node.tokens, noise(~known, rng))
    uniform = rng.random(len(tokens), np.float32) if policy.sample else None
    return DenoiseRequest(tokens, known, node.settled, node.carry, uniform, node.excluded)


@dataclass(frozen=True, eq=False)
class Verdict:
    """What the task says of a draft (L,): whether it is an answer, what is wrong with it, the cells to blame (L,), those of them
    whose tokens are ``wrong`` (L,), and the violation among the settled cells alone that has a reason, if any: then this canvas
    leads nowhere. Not ``judged``: nothing was asked."""

    draft: Tokens
    valid: bool
    violations: tuple[Violation, ...]
    blamed: Mask
    wrong: Mask
    refuted: Violation | None
    judged: bool = True


def judge(task: Task, problem: Any, policy: Policy, node: Node, prediction: Prediction) -> Verdict:
    """The draft, checked. It is the best token in every cell that is not settled;
    where nothing is allowed, what stands there stays."""
    settled = node.settled
    draft = np.where(settled | (prediction.best < 0), node.tokens, prediction.best)
    blamed, wrong = np.zeros_like(settled), np.zeros_like(settled)
    if not policy.checks:
        return Verdict(draft, False, (), blamed, wrong, None)
    if policy.judge == "whole" and not accepted(policy, node, prediction):
        return Verdict(draft, False, (), blamed, wrong, None, judged=False)
    if task.verify(problem, draft):
        return Verdict(draft, True, (), blamed, wrong, None)
    violations = tuple(task.check(problem, draft, np.ones_like(settled)))
    for violation in violations:
        blamed[list(violation.cells)] = True
        wrong[list(violation.cells if violation.excluded is None else violation.excluded)] = True
    refuted = next((v for v in task.check(problem, node.tokens, settled) if v.reason is not None), None)
    return Verdict(draft, False, violations, blamed, wrong, refuted)


def drafted(node: Node) -> Mask:
    """The cells (L,) of its draft that the denoiser sees."""
    return node.visible if node.visible is not None else np.zeros_like(node.settled)


def accepted(policy: Policy, node: Node, prediction: Prediction) -> bool:
    """Whether every cell is settled, or would be accepted if none was blamed."""
    known, _ = reconsider(policy, node.settled, drafted(node), prediction, np.zeros_like(node.settled))
    return bool((node.settled | known).all())


def reconsider(
    policy: Policy, settled: Mask, visible: Mask, prediction: Prediction, blamed: Mask
) -> tuple[Mask, Mask]:
    """Which drafted cells (L,) the denoiser is to see next, and which of those it saw are taken back."""
    sure = policies.accept(policy, prediction.top1, prediction.entropy, ~settled, blamed, visible)
    if policy.commit:
        back = policies.doubted(policy, visible & ~settled, blamed, prediction.belief)
        return (visible | sure) & ~back, back
    if policy.remask == "all" and blamed.any():
        sure = np.zeros_like(sure)
    return sure, visible & ~sure  # every cell is decided anew


def absorb(
    task: Task,
    problem: Any,
    canvas: Canvas,
    policy: Policy,
    tree: Tree,
    node: Node,
    prediction: Prediction,
    rng: np.random.Generator,
    best: Progress,
) -> Step:
    """One turn: draft, check, accept and re-mask; then another round of this canvas, a decision, or its end."""
    settled, counters = node.settled, best.counters
    visible = drafted(node)
    verdict = judge(task, problem, policy, node, prediction)
    draft, blamed = verdict.draft, verdict.blamed
    next_visible, back = reconsider(policy, settled, visible, prediction, blamed)
    last = policy.checks and over(policy, node, verdict, visible, next_visible)
    keep(best, policy, verdict, prediction)
    calm = policy.stop == "valid" or is_stable(policy, node, draft, prediction, settled | next_visible)
    solved = (verdict.valid and calm) or (last and best.valid)
    remasked = back | (blamed & ~settled)
    step = Step(
        number=best.steps,
        canvas=node.number,
        parent=-1 if node.parent is None else node.parent.number,
        decision=node.decision if node.round == 0 else None,
        draft=draft,
        confidence=np.where(settled, 1.0, prediction.top1).astype(np.float32),
        pinned=canvas.pinned,
        settled=settled,
        visible=next_visible,
        accepted=next_visible & ~visible,
        remasked=remasked,
        violations=verdict.violations,
        refuted=verdict.refuted,
        solved=solved,
        constraint_cost=prediction.constraint_cost,
    )
    best.steps += 1
    counters.forwards += 1
    counters.loops += prediction.loops
    counters.flops += prediction.flops
    counters.decisions += node.decision is not None and node.round == 0
    counters.remasked += int(remasked.sum())
    if solved:
        return step
    if verdict.refuted is not None:
        tree.refute(node, verdict.refuted)
        counters.nodes = tree.refuted
        return step
    if node.round == 0 and policy.by == "first":
        node.said = prediction
    node.round += 1
    node.tokens = np.where(
        next_visible & ~settled, np.where(prediction.sample < 0, draft, prediction.sample), node.tokens
    )
    node.visible, node.draft = next_visible & ~settled, draft
    if policy.tabu_tenure:
        node.excluded = (np.where(verdict.wrong & ~settled, draft, -1), *node.excluded)[: policy.tabu_tenure]
    if last and policy.stuck == "decide":
        decide(task, problem, policy, tree, node, node.said or prediction, verdict.violations, rng)
        return step
    forget = back if policy.commit else blamed & ~settled
    node.carry = prediction.carry.reset(forget[None]) if forget.any() else prediction.carry
    if policy.remask == "all" and blamed.any():
        node.carry = None
    if last:  # the same canvas from the beginning, with other noise
        node.round, node.visible, node.carry, node.said, node.draft = 0, None, None, None, None
    tree.push(node, first=True)
    return step


def over(policy: Policy, node: Node, verdict: Verdict, visible: Mask, next_visible: Mask) -> bool:
    """Whether this canvas has had its rounds: none are left, or the next would be this one again, or only settled cells are
    blamed, and no round can change those."""
    rounds = policy.rounds if node.parent is None else policy.later_rounds
    same = node.draft is not None and bool(
        (node.draft == verdict.draft).all() and (visible == next_visible).all()
    )
    fixed = bool(verdict.blamed.any()) and not (verdict.blamed & ~node.settled).any()
    return node.round + 1 >= rounds or fixed or (same and not policy.repeats)


def is_stable(policy: Policy, node: Node, draft: Tokens, prediction: Prediction, known: Mask) -> bool:
    """Whether nothing is left to do: every cell is ``known``, or, where cells are decided anew each time, the denoiser has
    said the same twice and is calm about it. Settled cells, which are always calm, do not count."""
    if policy.commit:
        return bool(known.all())
    open_cells = ~node.settled
    same = node.draft is not None and bool((node.draft == draft).all())
    return same and (not open_cells.any() or float(prediction.entropy[open_cells].mean()) < policy.calm)


def decide(
    task: Task,
    problem: Any,
    policy: Policy,
    tree: Tree,
    node: Node,
    prediction: Prediction,
    violations: tuple[Violation, ...],
    rng: np.random.Generator,
) -> None:
    """Extend the tree below ``node``: implied cells are settled, and one open cell is decided, each token a new canvas.

    ``prediction`` is the first one for this canvas, before any draft was visible (or the last, by policy). The new
    canvases start from their settled cells and nothing else: every drafted cell is re-masked and nothing is carried,
    because a state that has settled on another answer is slow to leave it (docs/LOG.md has the figures). Where no
    violation has a reason, nothing will ever be refuted, and the decision goes to a cell that was blamed.
    """
    settled = node.settled
    if violations and all(v.cells and settled[list(v.cells)].all() and v.reason is None for v in violations):
        node.score -= DISTRUST  # what is blamed is settled here: no proof, but other canvases come first
    implied = ~settled & (prediction.choices == 1)
    tokens, reasons = prediction.best.copy(), dict[int, frozenset[int]]()
    kept = node.visible if policy.inherit else None
    if policy.inference == "singles" and isinstance(task, Infers):
        for fact in task.infer(problem, node.tokens, settled):
            if isinstance(fact, Violation):
                tree.refute(node, fact)
                return
            if not implied[fact.cell]:
                implied[fact.cell], tokens[fact.cell], reasons[fact.cell] = True, fact.token, fact.reason
    margin = np.where(implied, 1.0, prediction.top1 - prediction.top2).astype(np.float32)
    undecided = ~settled & ~implied
    if all(violation.reason is None for violation in violations):
        blamed = np.zeros_like(settled)
        for violation in violations:
            blamed[list(violation.cells)] = True
        undecided = undecided & blamed if (undecided & blamed).any() else undecided
    cell = policies.branch(margin, prediction.choices, undecided, rng)
    if cell is None or (policy.settle and implied.any()):
        tree.extend(node, implied, tokens, -1, EMPTY, NOTHING, reasons, kept)
        return
    choices, p = prediction.probabilities(cell)
    log_p = np.log(np.maximum((1 - policy.hedge) * p + policy.hedge / len(p), 1e-9))
    tree.extend(node, implied, tokens, cell, choices, log_p, reasons, kept)


def keep(best: Progress, policy: Policy, verdict: Verdict, prediction: Prediction) -> None:
    """Remember the draft if it is the best so far (without checks: the last; among valid ones, or unjudged ones: the latest)."""
    nowhere = sum(not violation.cells for violation in verdict.violations)
    count = int(verdict.blamed.sum()) + nowhere * len(verdict.draft)
    if not verdict.judged:
        count = UNJUDGED
    better = count < best.blamed or count == best.blamed == UNJUDGED
    if verdict.valid or not policy.checks or (better and not best.valid):
        best.tokens, best.confidence, best.violations = verdict.draft, prediction.top1, verdict.violations
        best.blamed, best.valid, best.constraint_cost = count, verdict.valid, prediction.constraint_cost


def finish(status: Any, best: Progress, proof: int | None = None) -> Outcome:
    """The outcome, with the clock stopped."""
    best.counters.seconds = time.perf_counter() - best.counters.started
    violations = () if status == "solved" else best.violations
    return Outcome(
        status, best.tokens, violations, best.confidence, best.counters, proof, best.constraint_cost
    )
