"""The loop: draft the canvas, check the draft, re-mask what violates, repeat.

Read this module after solver/tasks/task.py (the canvas, and what a task provides).

In each *round* of a node of the search tree, the denoiser drafts the whole canvas and the task checks the
draft. Cells with a confident prediction become *visible* to the denoiser in the next round; cells that a
violation blames are masked again. When the drafts of a node stop improving, the search (search.py)
*branches*: it creates a child node for each possible token of one cell. That cell and token are the child's
*decision*.

If the model does not find a solution soon, a second strategy (strategy.py) searches the same problem without
asking the denoiser. The two take turns until one of them ends.

A problem counts as solved only if the task's ``verify`` accepts the draft, and as unsatisfiable only if the
whole tree of a strategy has been refuted.

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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from solver.loop import rounds, strategy
from solver.loop.decision import choose_decision, find_implications
from solver.loop.policy import Policy
from solver.loop.prediction import DenoiseRequest, Prediction, Predictor
from solver.loop.search import Node
from solver.loop.strategy import Strategy
from solver.loop.trace import Budget, Counters, Outcome, Status, Step, StrategyName
from solver.loop.verdict import BestDraft, RoundResult
from solver.models.protocol import Denoiser, Noise
from solver.tasks.arguments import Natural, validated
from solver.tasks.errors import InvalidArgument
from solver.tasks.task import Canvas, Implied, Infers, Task, Violation

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
        rows = [0] * len(episode.requests)
        yield from episode.advance(list(predictor.predict(state, rows, episode.requests)))
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
        noise: the denoiser's ``noise``.
    """

    task: Task
    problem: Any
    canvas: Canvas
    policy: Policy
    budget: Budget
    seed: int
    noise: Noise

    outcome: Outcome | None = field(default=None, init=False)
    requests: list[DenoiseRequest] = field(default_factory=list, init=False)
    counters: Counters = field(default_factory=Counters, init=False)

    def __post_init__(self) -> None:
        encoded = self.task, self.problem, self.canvas, self.policy, self.seed
        self._strategies = [strategy.model_strategy(*encoded, self.noise)]
        self._can_search = strategy.can_search(self.task, self.canvas, self.policy)
        root = self._strategies[0].tree.root
        self._best = BestDraft(root.tokens, np.zeros(self.canvas.num_cells, np.float32))
        self._prepare()

    def advance(self, predictions: Sequence[Prediction]) -> list[Step]:
        """Process one prediction per request, then set the next requests or the outcome. Return the steps."""
        self.counters.calls += self._current.name == "model"
        self.counters.stop_clock()
        steps = []
        for node, prediction in zip(self._nodes, predictions, strict=True):
            steps.append(self._process(self._current, node, prediction))
            if steps[-1].solved:
                self._finish("solved")
                return steps
        self._prepare()
        return steps

    def _prepare(self) -> None:
        """Create requests for the next nodes of one strategy. If there are none, set the outcome."""
        self._current = self._next_strategy()
        spent = self.budget.is_spent(self.counters)
        proven = any(each.tree.root.closed for each in self._strategies)
        siblings = self._current.policy.search.siblings
        self._nodes = [] if spent or proven else self._current.tree.next_nodes(siblings)
        self.requests = [self._request(self._current, node) for node in self._nodes]
        if self._nodes:
            return
        # without checks, the best draft is the latest one, and it is verified only here
        verified = self.policy.checks == "none" and self.task.verify(self.problem, self._best.tokens)
        if self._best.is_solution or verified:
            self._finish("solved")
        else:
            self._finish("exhausted" if spent and not proven else "unsatisfiable")

    def _next_strategy(self) -> Strategy:
        """Return the strategy whose turn it is; start the search without the denoiser when it is due."""
        model, limit = self._strategies[0], self.policy.search.search_after
        is_due = self._can_search and limit is not None and model.canvases >= limit
        if len(self._strategies) == 1 and is_due and not self._best.is_solution:
            encoded = self.task, self.problem, self.canvas, self.policy, self.seed
            self._strategies.append(strategy.search_strategy(*encoded, model.tree))
        return strategy.next_strategy(self._strategies)

    def _request(self, current: Strategy, node: Node) -> DenoiseRequest:
        """Build the model input: settled and visible cells keep their tokens, all others are noise."""
        known, rng = node.settled | node.visible, current.rng
        tokens = np.where(known, node.tokens, current.noise(~known, self.canvas.vocab, rng))
        temperature = rounds.draw_temperature(current.policy, node.refusals)
        is_drawn = current.policy.accept.sample or temperature > 0
        uniform = rng.random(len(tokens), np.float32) if is_drawn else None
        return DenoiseRequest(
            strategy=current.name,
            problem=self.problem,
            canvas=self.canvas,
            seed=self.seed,
            tokens=tokens,
            known=known,
            settled=node.settled,
            aux=node.aux,
            uniform=uniform,
            temperature=temperature,
            excluded=node.excluded,
        )

    def _process(self, current: Strategy, node: Node, prediction: Prediction) -> Step:
        """Do one round of a node: draft, check, accept, re-mask; then solve, refute, branch or queue."""
        policy, tree = current.policy, current.tree
        result = rounds.draft_and_check(self.task, self.problem, policy, node, prediction, current.rng)
        self._best = self._best.or_better(result, current.name)

        # A valid draft ends the episode at once (stop="valid") or once it is stable. A stalled node ends it
        # with the best valid draft so far.
        stalled = policy.checks != "none" and rounds.has_stalled(policy, result)
        stable = policy.stop == "valid" or rounds.is_stable(policy, result)
        solved = (result.verdict.is_solution and stable) or (stalled and self._best.is_solution)
        step = self._record(current, result, solved)
        if solved:
            return step

        # continue the search: the node is closed, gets children, or is queued for another round
        if result.verdict.refutation is not None:
            tree.refute(node, result.verdict.refutation)
            self.counters.nodes = self._num_refuted
            return step
        rounds.update_node(policy, result)
        is_redrawn = result.is_refused and policy.search.on_refusal == "redraw"
        if stalled and policy.search.on_stall == "decide" and not is_redrawn:
            self._branch(current, result)
            return step
        if stalled:
            node.restart()
        else:
            node.aux = rounds.next_aux(policy, result)
        tree.push(node, first=True)
        return step

    @property
    def _num_refuted(self) -> int:
        return sum(each.tree.num_refuted for each in self._strategies)

    def _record(self, current: Strategy, result: RoundResult, solved: bool) -> Step:
        """Return the step for the trace, and add the cost of the round to the counters."""
        node, prediction, is_first_round = result.node, result.prediction, result.node.round == 0
        step = Step(
            number=self.counters.canvases,
            strategy=current.name,
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
        current.canvases += 1
        self.counters += Counters(
            forwards=int(current.name == "model"),
            searched=int(current.name == "search"),
            loops=prediction.loops,
            flops=prediction.flops,
            decisions=int(step.decision is not None),
            remasked=int(step.remasked.sum()),
        )
        return step

    def _branch(self, current: Strategy, result: RoundResult) -> None:
        """Extend the tree below a node: settle implied cells, and branch on one open cell.

        The branching is based on the node's first prediction, made before any draft was visible, or on the
        last one (``decide_from``). By default, the children start from settled cells alone and with a new
        aux, because a hidden state that has converged to another answer is slow to change (docs/LOG.md).
        """
        node, verdict, search = result.node, result.verdict, current.policy.search
        prediction = node.first_prediction or result.prediction
        if result.blames_only_settled and not verdict.has_reason:
            node.score -= DEMOTION_COST

        # close the node if inference finds a contradiction
        facts: Sequence[Implied | Violation] = ()
        if search.inference == "singles" and isinstance(self.task, Infers):
            facts = self.task.infer(self.problem, node.tokens, node.settled)
        contradiction = next((fact for fact in facts if isinstance(fact, Violation)), None)
        if contradiction is not None:
            current.tree.refute(node, contradiction)
            return

        # if no violation of this draft has a reason, branch on a blamed cell: settling the others might
        # never refute the node
        implied = find_implications(prediction, node.settled, [f for f in facts if isinstance(f, Implied)])
        undecided = ~node.settled & ~implied.cells
        if not verdict.has_reason and (undecided & verdict.blamed).any():
            undecided &= verdict.blamed
        options = choose_decision(prediction, implied, undecided, search, current.rng)
        current.tree.extend(node, implied, options, node.visible if search.keep_visible_in_children else None)

    def _finish(self, status: Status) -> None:
        """Set the outcome and stop the clock."""
        self.counters.stop_clock()
        closed = (each.name for each in self._strategies if each.tree.root.closed)
        ended_by: dict[Status, StrategyName | None] = {
            "solved": self._best.strategy,
            "unsatisfiable": next(closed, self._current.name),
            "exhausted": None,
        }
        self.outcome = Outcome(
            status=status,
            tokens=self._best.tokens,
            violations=() if status == "solved" else self._best.violations,
            confidence=self._best.confidence,
            counters=self.counters,
            strategy=ended_by[status],
            proof=self._num_refuted if status == "unsatisfiable" else None,
            constraint_cost=self._best.constraint_cost,
        )
