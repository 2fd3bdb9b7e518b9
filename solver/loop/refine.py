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
class Request:
    """A canvas to denoise: tokens (L,), which of them the denoiser may see (``known``), which are settled on this canvas
    (``trail``: pinned, decided, implied; elimination starts from these), what it carried from the last forward, numbers in
    [0, 1) (L,) to draw samples with, where the policy wants them, and tokens that a cell may not draft now (``taboo``, each
    (L,), -1 for none)."""

    tokens: Tokens
    known: Mask
    trail: Mask
    carry: Any
    uniform: policies.Floats | None = None
    taboo: tuple[Tokens, ...] = ()


@dataclass(frozen=True, eq=False)
class Reply:
    """What the denoiser said of one canvas; arrays are per cell (L,).

    best, top1, top2: the likeliest token among the allowed, its probability and the next one's.  entropy: in nats.
    sample: a draw, or the likeliest where none was asked for.
    choices: how many tokens are allowed.  belief: what it now gives the token that stands there, among the allowed.
    probabilities(cell): the allowed tokens there and their probabilities. Holds on to the forward's logits: not to be kept.
    loops, flops: what the forward cost.  carry: to hand on.  tax: what conditioning on validity cost, in nats.
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
    tax: float = 0.0


@dataclass(eq=False)
class Progress:
    """The best draft so far, by how many cells it violates; ``valid``: it has been verified."""

    tokens: Tokens
    confidence: policies.Floats
    violations: tuple[Violation, ...] = ()
    blamed: int = 1 << 30
    valid: bool = False
    tax: float = 0.0
    steps: int = 0
    counters: Counters = field(default_factory=Counters)


Episode = Generator[list[Request], list[Reply], Outcome]


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
    """The loop for one problem: yields requests, is sent their replies, emits steps, returns the outcome."""
    tree = Tree(task, problem, canvas, policy.order)
    tree.root.shown = canvas.known & ~canvas.pinned  # a draft to be refined
    best = Progress(np.where(canvas.known, canvas.tokens, 0), np.zeros(canvas.cells, np.float32))
    counters = best.counters
    while not budget.spent(counters):
        nodes = tree.take(policy.siblings)
        if not nodes:
            return finish("solved", best) if best.valid else finish("unsatisfiable", best, proof=tree.refuted)
        replies = yield [request(node, policy, noise, rng) for node in nodes]
        counters.calls += 1
        counters.seconds = time.perf_counter() - counters.started
        for node, reply in zip(nodes, replies, strict=True):
            step = absorb(task, problem, canvas, policy, tree, node, reply, rng, best)
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
) -> Request:
    """The canvas as the denoiser is to see it: trail and shown draft, noise elsewhere."""
    known = node.trail | node.shown if node.shown is not None else node.trail
    tokens = np.where(known, node.tokens, noise(~known, rng))
    uniform = rng.random(len(tokens), np.float32) if policy.sample else None
    return Request(tokens, known, node.trail, node.carry, uniform, node.taboo)


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


def judge(task: Task, problem: Any, policy: Policy, node: Node, reply: Reply) -> Verdict:
    """The draft, checked. It is the best token everywhere but on the trail; where nothing is allowed, what stands there stays."""
    trail = node.trail
    draft = np.where(trail | (reply.best < 0), node.tokens, reply.best)
    blamed, wrong = np.zeros_like(trail), np.zeros_like(trail)
    if not policy.checks:
        return Verdict(draft, False, (), blamed, wrong, None)
    if policy.judge == "whole" and not accepted(policy, node, reply):
        return Verdict(draft, False, (), blamed, wrong, None, judged=False)
    if task.verify(problem, draft):
        return Verdict(draft, True, (), blamed, wrong, None)
    violations = tuple(task.check(problem, draft, np.ones_like(trail)))
    for violation in violations:
        blamed[list(violation.positions)] = True
        wrong[list(violation.positions if violation.wrong is None else violation.wrong)] = True
    refuted = next((v for v in task.check(problem, node.tokens, trail) if v.reason is not None), None)
    return Verdict(draft, False, violations, blamed, wrong, refuted)


def drafted(node: Node) -> Mask:
    """The cells (L,) of its draft that the denoiser sees."""
    return node.shown if node.shown is not None else np.zeros_like(node.trail)


def accepted(policy: Policy, node: Node, reply: Reply) -> bool:
    """Whether every cell is settled, or would be accepted if none was blamed."""
    known, _ = reconsider(policy, node.trail, drafted(node), reply, np.zeros_like(node.trail))
    return bool((node.trail | known).all())


def reconsider(policy: Policy, trail: Mask, shown: Mask, reply: Reply, blamed: Mask) -> tuple[Mask, Mask]:
    """Which drafted cells (L,) the denoiser is to see next, and which of those it saw are taken back."""
    sure = policies.accept(policy, reply.top1, reply.entropy, ~trail, blamed, shown)
    if policy.commit:
        back = policies.doubted(policy, shown & ~trail, blamed, reply.belief)
        return (shown | sure) & ~back, back
    if policy.remask == "all" and blamed.any():
        sure = np.zeros_like(sure)
    return sure, shown & ~sure  # every cell is decided anew


def absorb(
    task: Task,
    problem: Any,
    canvas: Canvas,
    policy: Policy,
    tree: Tree,
    node: Node,
    reply: Reply,
    rng: np.random.Generator,
    best: Progress,
) -> Step:
    """One turn: draft, check, accept and re-mask; then another round of this canvas, a decision, or its end."""
    trail, counters = node.trail, best.counters
    shown = drafted(node)
    verdict = judge(task, problem, policy, node, reply)
    draft, blamed = verdict.draft, verdict.blamed
    next_shown, back = reconsider(policy, trail, shown, reply, blamed)
    last = policy.checks and over(policy, node, verdict, shown, next_shown)
    keep(best, policy, verdict, reply)
    calm = policy.stop == "valid" or settled(policy, node, draft, reply, trail | next_shown)
    solved = (verdict.valid and calm) or (last and best.valid)
    remasked = back | (blamed & ~trail)
    step = Step(
        number=best.steps,
        canvas=node.number,
        parent=-1 if node.parent is None else node.parent.number,
        decision=node.decision if node.round == 0 else None,
        draft=draft,
        confidence=np.where(trail, 1.0, reply.top1).astype(np.float32),
        pinned=canvas.pinned,
        trail=trail,
        shown=next_shown,
        accepted=next_shown & ~shown,
        remasked=remasked,
        violations=verdict.violations,
        refuted=verdict.refuted,
        solved=solved,
        tax=reply.tax,
    )
    best.steps += 1
    counters.forwards += 1
    counters.loops += reply.loops
    counters.flops += reply.flops
    counters.decisions += node.decision is not None and node.round == 0
    counters.remasked += int(remasked.sum())
    if solved:
        return step
    if verdict.refuted is not None:
        tree.refute(node, verdict.refuted)
        counters.nodes = tree.refuted
        return step
    if node.round == 0 and policy.by == "first":
        node.said = reply
    node.round += 1
    node.tokens = np.where(next_shown & ~trail, np.where(reply.sample < 0, draft, reply.sample), node.tokens)
    node.shown, node.draft = next_shown & ~trail, draft
    if policy.taboo:
        node.taboo = (np.where(verdict.wrong & ~trail, draft, -1), *node.taboo)[: policy.taboo]
    if last and policy.stuck == "decide":
        decide(task, problem, policy, tree, node, node.said or reply, verdict.violations, rng)
        return step
    forget = back if policy.commit else blamed & ~trail
    node.carry = reply.carry.reset(forget[None]) if forget.any() else reply.carry
    if policy.remask == "all" and blamed.any():
        node.carry = None
    if last:  # the same canvas from the beginning, with other noise
        node.round, node.shown, node.carry, node.said, node.draft = 0, None, None, None, None
    tree.push(node, first=True)
    return step


def over(policy: Policy, node: Node, verdict: Verdict, shown: Mask, next_shown: Mask) -> bool:
    """Whether this canvas has had its rounds: none are left, or the next would be this one again, or only settled cells are
    blamed, and no round can change those."""
    rounds = policy.rounds if node.parent is None else policy.later_rounds
    same = node.draft is not None and bool(
        (node.draft == verdict.draft).all() and (shown == next_shown).all()
    )
    fixed = bool(verdict.blamed.any()) and not (verdict.blamed & ~node.trail).any()
    return node.round + 1 >= rounds or fixed or (same and not policy.repeats)


def settled(policy: Policy, node: Node, draft: Tokens, reply: Reply, known: Mask) -> bool:
    """Whether nothing is left to do: every cell is ``known``, or, where cells are decided anew each time, the denoiser has
    said the same twice and is calm about it. Settled cells, which are always calm, do not count."""
    if policy.commit:
        return bool(known.all())
    open_cells = ~node.trail
    same = node.draft is not None and bool((node.draft == draft).all())
    return same and (not open_cells.any() or float(reply.entropy[open_cells].mean()) < policy.calm)


def decide(
    task: Task,
    problem: Any,
    policy: Policy,
    tree: Tree,
    node: Node,
    reply: Reply,
    violations: tuple[Violation, ...],
    rng: np.random.Generator,
) -> None:
    """Extend the tree below ``node``: implied cells join the trail, and one open cell is decided, each token a new canvas.

    ``reply`` is what the denoiser said of the canvas before any draft was shown to it (or last, by policy). The new canvases
    start from their trail and nothing else: every drafted cell is re-masked and nothing is carried, because a state that has
    settled on another answer is slow to leave it (docs/LOG.md has the figures). Where no violation has a reason, nothing will
    ever be refuted, and the decision goes to a cell that was blamed.
    """
    trail = node.trail
    if violations and all(
        v.positions and trail[list(v.positions)].all() and v.reason is None for v in violations
    ):
        node.score -= DISTRUST  # what is blamed is settled here: no proof, but other canvases come first
    implied = ~trail & (reply.choices == 1)
    tokens, reasons = reply.best.copy(), dict[int, frozenset[int]]()
    kept = node.shown if policy.inherit else None
    if policy.inference == "singles" and isinstance(task, Infers):
        for fact in task.infer(problem, node.tokens, trail):
            if isinstance(fact, Violation):
                tree.refute(node, fact)
                return
            if not implied[fact.cell]:
                implied[fact.cell], tokens[fact.cell], reasons[fact.cell] = True, fact.token, fact.reason
    margin = np.where(implied, 1.0, reply.top1 - reply.top2).astype(np.float32)
    undecided = ~trail & ~implied
    if all(violation.reason is None for violation in violations):
        blamed = np.zeros_like(trail)
        for violation in violations:
            blamed[list(violation.positions)] = True
        undecided = undecided & blamed if (undecided & blamed).any() else undecided
    cell = policies.branch(margin, reply.choices, undecided, rng)
    if cell is None or (policy.settle and implied.any()):
        tree.extend(node, implied, tokens, -1, EMPTY, NOTHING, reasons, kept)
        return
    choices, p = reply.probabilities(cell)
    log_p = np.log(np.maximum((1 - policy.hedge) * p + policy.hedge / len(p), 1e-9))
    tree.extend(node, implied, tokens, cell, choices, log_p, reasons, kept)


def keep(best: Progress, policy: Policy, verdict: Verdict, reply: Reply) -> None:
    """Remember the draft if it is the best so far (without checks: the last; among valid ones, or unjudged ones: the latest)."""
    nowhere = sum(not violation.positions for violation in verdict.violations)
    count = int(verdict.blamed.sum()) + nowhere * len(verdict.draft)
    if not verdict.judged:
        count = UNJUDGED
    better = count < best.blamed or count == best.blamed == UNJUDGED
    if verdict.valid or not policy.checks or (better and not best.valid):
        best.tokens, best.confidence, best.violations = verdict.draft, reply.top1, verdict.violations
        best.blamed, best.valid, best.tax = count, verdict.valid, reply.tax


def finish(status: Any, best: Progress, proof: int | None = None) -> Outcome:
    """The outcome, with the clock stopped."""
    best.counters.seconds = time.perf_counter() - best.counters.started
    violations = () if status == "solved" else best.violations
    return Outcome(status, best.tokens, violations, best.confidence, best.counters, proof, best.tax)
