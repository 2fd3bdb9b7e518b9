"""The loop: draft the canvas, check the draft, re-mask what violates, repeat.

Read this module after solver/tasks/task.py (the canvas, and what a task provides).

In each *round* of a node of the search tree, the denoiser drafts the whole canvas and the task checks the
draft. Cells with a confident prediction become *visible* to the denoiser in the next round; cells that a
violation blames are masked again. When the drafts of a node stop improving, the search (search.py)
*branches*: it creates a child node for each possible token of one cell. That cell and token are the child's
*decision*.

A problem counts as solved only if the task's ``verify`` accepts the draft, and as unsatisfiable only if the
whole tree has been refuted.

>>> from solver.models import controls
>>> from solver.tasks.sudoku import layout
>>> from solver.tasks.sudoku.task import Sudoku, SudokuTask
>>> task, grid = SudokuTask(layout.standard(4)), np.array([int(digit) for digit in "1030040000430001"])
>>> *steps, outcome = refine(task, Sudoku(grid), controls.random(4))
>>> outcome.status, (outcome.tokens + 1).tolist()
('solved', [1, 2, 3, 4, 3, 4, 1, 2, 2, 1, 4, 3, 4, 3, 2, 1])

An :class:`Episode` solves one problem. It does not call the model: it lists its requests, and its caller
passes in the predictions. The engine (engine.py) can therefore put the canvases of many problems into one
call.

All arrays have shape (L,): one entry per cell.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from solver.loop.decision import choose_decision, find_implications
from solver.loop.policy import Policy
from solver.loop.prediction import DenoiseRequest, Prediction, Predictor
from solver.loop.search import Node, Tree
from solver.loop.trace import Budget, Counters, Outcome, Status, Step
from solver.loop.verdict import BestDraft, RoundResult, Verdict, check_draft
from solver.models.protocol import Denoiser
from solver.tasks.arguments import Natural, validated
from solver.tasks.errors import InvalidArgument
from solver.tasks.task import Canvas, Implied, Infers, Mask, Task, Tokens, Violation

# Score penalty, in nats, for a node whose settled cells are blamed without a reason. Such a node may still
# lead to a solution, so it is postponed and not closed.
DEMOTION_COST = 10.0


@validated
def refine(
    task: Task,
    problem: Any,
    denoiser: Denoiser,
    policy: Policy | None = None,
    budget: Budget | None = None,
    seed: Natural = 0,
) -> Iterator[Step | Outcome]:
    """Yield the steps of one problem as they happen, and its outcome last.

    Args:
        task: encodes the problem and checks its drafts.
        problem: the problem to solve.
        denoiser: the model that predicts the tokens.
        policy: settings of the loop. None: the denoiser's default policy.
        budget: limits of the run. None: 5,000 forwards.
        seed: seed of all randomness.

    Raises:
        InvalidArgument: an argument has the wrong type, or ``problem`` is not a problem of this task.
        ValueError: the task cannot encode the problem.
    """
    try:
        canvas = task.encode(problem)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise InvalidArgument(f"not a problem of the task {task.name!r}: {type(problem).__name__}") from error
    return _events(task, problem, canvas, denoiser, policy or denoiser.policy, budget or Budget(), seed)


def _events(
    task: Task,
    problem: Any,
    canvas: Canvas,
    denoiser: Denoiser,
    policy: Policy,
    budget: Budget,
    seed: int,
) -> Iterator[Step | Outcome]:
    """Yield the steps and the outcome of one encoded problem."""
    predictor = Predictor(task, denoiser, restrict=policy.checks != "none")
    state = denoiser.prefill([canvas], [seed])
    episode = Episode(task, problem, canvas, policy, budget, seed, denoiser.noise)
    while episode.outcome is None:
        rows = state.select([0] * len(episode.requests))
        yield from episode.advance(list(predictor.predict(rows, episode.requests)))
    yield episode.outcome


@dataclass(eq=False)
class Episode:
    """The loop for one problem.

    The caller denoises ``requests`` and calls :meth:`advance`, until ``outcome`` is set.

    Args:
        task: checks the drafts.
        problem: the problem to solve.
        canvas: the encoded problem.
        policy: settings of the loop.
        budget: limits of the run.
        seed: seed of this problem's randomness; results do not depend on the other problems of a batch.
        noise: the denoiser's ``noise``: (mask of cells, vocabulary size, generator) -> tokens.
    """

    task: Task
    problem: Any
    canvas: Canvas
    policy: Policy
    budget: Budget
    seed: int
    noise: Callable[[Mask, int, np.random.Generator], Tokens]

    outcome: Outcome | None = field(default=None, init=False)
    requests: list[DenoiseRequest] = field(default_factory=list, init=False)
    counters: Counters = field(default_factory=Counters, init=False)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self._tree = Tree(self.task, self.problem, self.canvas, self.policy.search.order)
        self._best = BestDraft(self._tree.root.tokens, np.zeros(self.canvas.num_cells, np.float32))
        self._prepare()

    def advance(self, predictions: Sequence[Prediction]) -> list[Step]:
        """Process one prediction per request, then set the next requests or the outcome. Return the steps."""
        self.counters.calls += 1
        self.counters.stop_clock()
        steps = []
        for node, prediction in zip(self._nodes, predictions, strict=True):
            steps.append(self._process(node, prediction))
            if steps[-1].solved:
                self._finish("solved")
                return steps
        self._prepare()
        return steps

    def _prepare(self) -> None:
        """Create requests for the next nodes of the tree. If there are none, set the outcome."""
        spent = self.budget.is_spent(self.counters)
        self._nodes = [] if spent else self._tree.next_nodes(self.policy.search.siblings)
        self.requests = [self._request(node) for node in self._nodes]
        if self._nodes:
            return
        # without checks, the best draft is the latest one, and it is verified only here
        verified = self.policy.checks == "none" and self.task.verify(self.problem, self._best.tokens)
        if self._best.is_solution or verified:
            self._finish("solved")
        else:
            self._finish("exhausted" if spent else "unsatisfiable")

    def _request(self, node: Node) -> DenoiseRequest:
        """Build the model input: settled and visible cells keep their tokens, all others are noise."""
        known = node.settled | node.visible
        tokens = np.where(known, node.tokens, self.noise(~known, self.canvas.vocab, self._rng))
        uniform = self._rng.random(len(tokens), np.float32) if self.policy.accept.sample else None
        return DenoiseRequest(
            self.problem, self.canvas, tokens, known, node.settled, node.aux, uniform, node.excluded
        )

    def _process(self, node: Node, prediction: Prediction) -> Step:
        """Do one round of a node: draft, check, accept, re-mask; then solve, refute, branch or queue."""
        result = self._evaluate(node, prediction)
        self._best = self._best.or_better(result)

        # A valid draft ends the episode at once (stop="valid") or once it is stable. A stalled node ends it
        # with the best valid draft so far.
        stalled = self.policy.checks != "none" and self._has_stalled(result)
        stable = self.policy.stop == "valid" or self._is_stable(result)
        solved = (result.verdict.is_solution and stable) or (stalled and self._best.is_solution)
        step = self._record(result, solved)
        if solved:
            return step

        # continue the search: the node is closed, gets children, or is queued for another round
        if result.verdict.refutation is not None:
            self._tree.refute(node, result.verdict.refutation)
            self.counters.nodes = self._tree.num_refuted
            return step
        self._update_node(result)
        if stalled and self.policy.search.on_stall == "decide":
            self._branch(result)
            return step
        if stalled:
            node.restart()
        else:
            node.aux = self._next_aux(result)
        self._tree.push(node, first=True)
        return step

    def _evaluate(self, node: Node, prediction: Prediction) -> RoundResult:
        """Draft the canvas, check the draft if the policy asks for it, and select the visible cells."""
        # -1: no token is allowed in the cell, which keeps the node's token
        draft = np.where(node.settled | (prediction.best < 0), node.tokens, prediction.best)
        no_cells, selection = np.zeros_like(node.settled), None
        verdict = Verdict(False, (), no_cells, no_cells, is_checked=False)
        # "complete": only a draft that would make every cell known is checked, so select first, and again if
        # the check blames cells
        if self.policy.checks == "complete":
            selection = self._select_visible(node, prediction, no_cells)
        if self.policy.checks == "every" or (selection and (node.settled | selection[0]).all()):
            verdict = check_draft(self.task, self.problem, node, draft)
        if selection is None or verdict.blamed.any():
            selection = self._select_visible(node, prediction, verdict.blamed)
        return RoundResult(node, prediction, draft, verdict, *selection)

    def _select_visible(self, node: Node, prediction: Prediction, blamed: Mask) -> tuple[Mask, Mask]:
        """Return two masks: the cells visible in the next round, and the cells that cease to be visible."""
        accept, remask, visible = self.policy.accept, self.policy.remask, node.visible
        eligible = ~node.settled & ~blamed & accept.in_current_block(~node.settled & ~visible)
        chosen = accept.confident(prediction.top1, prediction.entropy, eligible)
        chosen = accept.top_up(
            chosen, prediction.top1, eligible & ~visible if remask.keep_visible else eligible
        )
        if remask.keep_visible:
            remasked = remask.select(visible, blamed, prediction.belief)
            return (visible | chosen) & ~remasked, remasked
        if remask.on_violation == "all" and blamed.any():
            chosen = np.zeros_like(chosen)
        return chosen, visible & ~chosen

    def _has_stalled(self, result: RoundResult) -> bool:
        """Whether further rounds on this node are pointless.

        The round limit is reached, the next round would repeat this one, or all blamed cells are settled.
        """
        node, search = result.node, self.policy.search
        if node.round + 1 >= (search.rounds if node.parent is None else search.later_rounds):
            return True
        if result.verdict.blamed.any() and not result.blamed_open.any():
            return True
        return search.leave_on_repeat and result.is_repeat and bool((node.visible == result.visible).all())

    def _is_stable(self, result: RoundResult) -> bool:
        """Whether another forward is unlikely to improve a valid draft.

        If visible cells stay visible (``keep_visible``): whether every cell is known. Otherwise: whether the
        draft repeats the last one and its open cells have low mean entropy.
        """
        node = result.node
        if self.policy.remask.keep_visible:
            return bool((node.settled | result.visible).all())
        entropy = result.prediction.entropy[~node.settled]
        return result.is_repeat and (not len(entropy) or float(entropy.mean()) < self.policy.stable_entropy)

    def _record(self, result: RoundResult, solved: bool) -> Step:
        """Return the step for the trace, and add the cost of the round to the counters."""
        node, prediction, is_first_round = result.node, result.prediction, result.node.round == 0
        step = Step(
            number=self.counters.forwards,
            node=node.number,
            parent=-1 if node.parent is None else node.parent.number,
            decision=node.decision if is_first_round else None,
            draft=result.draft,
            confidence=np.where(node.settled, 1.0, prediction.top1).astype(np.float32),
            pinned=self.canvas.pinned,
            settled=node.settled,
            visible=result.visible,
            accepted=result.visible & ~node.visible,
            remasked=result.remasked_visible | result.blamed_open,
            violations=result.verdict.violations,
            refuted=result.verdict.refutation,
            solved=solved,
            constraint_cost=prediction.constraint_cost,
        )
        self.counters += Counters(
            forwards=1,
            loops=prediction.loops,
            flops=prediction.flops,
            decisions=int(step.decision is not None),
            remasked=int(step.remasked.sum()),
        )
        return step

    def _update_node(self, result: RoundResult) -> None:
        """Store the results of the round in the node, for its next round and for its children."""
        node, prediction = result.node, result.prediction
        if node.round == 0 and self.policy.search.decide_from == "first":
            node.first_prediction = prediction
        node.round += 1
        shown = np.where(prediction.sample < 0, result.draft, prediction.sample)
        node.tokens = np.where(result.visible, shown, node.tokens)
        node.visible, node.draft = result.visible, result.draft
        excluded = np.where(result.verdict.excluded & ~node.settled, result.draft, -1)
        node.excluded = (excluded, *node.excluded)[: self.policy.remask.tabu_tenure]

    def _next_aux(self, result: RoundResult) -> Any:
        """Return the hidden state (aux) for the next round, reset in re-masked cells. None: a new state."""
        remask, blamed = self.policy.remask, result.verdict.blamed
        if remask.on_violation == "all" and blamed.any():
            return None
        # without keep_visible any cell may cease to be visible, so only the blamed ones are reset
        reset = result.remasked_visible if remask.keep_visible else result.blamed_open
        return result.prediction.aux.reset(reset[None]) if reset.any() else result.prediction.aux

    def _branch(self, result: RoundResult) -> None:
        """Extend the tree below a node: settle implied cells, and branch on one open cell.

        The branching is based on the node's first prediction, made before any draft was visible, or on the
        last one (``decide_from``). By default, the children start from settled cells alone and with a new
        aux, because a hidden state that has converged to another answer is slow to change (docs/LOG.md).
        """
        node, verdict, search = result.node, result.verdict, self.policy.search
        prediction = node.first_prediction or result.prediction
        if result.blames_only_settled and not verdict.has_reason:
            node.score -= DEMOTION_COST

        # close the node if inference finds a contradiction
        facts: Sequence[Implied | Violation] = ()
        if search.inference == "singles" and isinstance(self.task, Infers):
            facts = self.task.infer(self.problem, node.tokens, node.settled)
        contradiction = next((fact for fact in facts if isinstance(fact, Violation)), None)
        if contradiction is not None:
            self._tree.refute(node, contradiction)
            return

        # if no violation of this draft has a reason, branch on a blamed cell: settling the others might
        # never refute the node
        implied = find_implications(prediction, node.settled, [f for f in facts if isinstance(f, Implied)])
        undecided = ~node.settled & ~implied.cells
        if not verdict.has_reason and (undecided & verdict.blamed).any():
            undecided &= verdict.blamed
        options = choose_decision(prediction, implied, undecided, search, self._rng)
        self._tree.extend(node, implied, options, node.visible if search.keep_visible_in_children else None)

    def _finish(self, status: Status) -> None:
        """Set the outcome and stop the clock."""
        self.counters.stop_clock()
        self.outcome = Outcome(
            status=status,
            tokens=self._best.tokens,
            violations=() if status == "solved" else self._best.violations,
            confidence=self._best.confidence,
            counters=self.counters,
            proof=self._tree.num_refuted if status == "unsatisfiable" else None,
            constraint_cost=self._best.constraint_cost,
        )
