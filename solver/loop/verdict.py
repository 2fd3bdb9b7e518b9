"""Checks of drafts, and the best draft so far. All arrays have shape (L,): one entry per cell.

A draft is a solution only if the task's ``verify`` accepts it. Otherwise ``check`` returns its violations,
which blame cells. A second ``check`` of the settled cells alone may find a refutation: a violation that every
draft of this node has.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from solver.loop.policy import Floats
from solver.loop.prediction import Prediction
from solver.loop.search import Node
from solver.loop.trace import StrategyName
from solver.tasks.task import Mask, Task, Tokens, Violation

UNCHECKED_COUNT = 1 << 29  # ranks unchecked drafts below all checked ones


@dataclass(frozen=True, eq=False)
class Verdict:
    """Result of checking one draft.

    Attributes:
        is_solution: whether the task's ``verify`` accepts the draft.
        violations: violations found by the task's ``check``; empty for a solution.
        blamed: cells that a violation blames.
        excluded: blamed cells whose token should not be drafted again soon.
        refutation: a violation with a reason among the settled cells alone. It closes the node.
        is_checked: whether the draft was verified and checked at all.
    """

    is_solution: bool
    violations: tuple[Violation, ...]
    blamed: Mask
    excluded: Mask
    refutation: Violation | None = None
    is_checked: bool = True

    @property
    def has_reason(self) -> bool:
        """Whether a violation has a reason.

        Without one, this draft does not show that deciding more cells would ever refute the node.
        """
        return any(violation.reason is not None for violation in self.violations)

    @property
    def num_blamed(self) -> int:
        """The number of blamed cells. A violation without a location counts as if it blamed all cells."""
        unlocated = sum(not violation.cells for violation in self.violations)
        return int(self.blamed.sum()) + unlocated * len(self.blamed) if self.is_checked else UNCHECKED_COUNT


def check_draft(task: Task, problem: Any, node: Node, draft: Tokens) -> Verdict:
    """Verify and check a full draft of ``node``."""
    num_cells = len(draft)
    if task.verify(problem, draft):
        return Verdict(True, (), np.zeros(num_cells, bool), np.zeros(num_cells, bool))
    violations = tuple(task.check(problem, draft, np.ones(num_cells, bool)))
    among_settled = task.check(problem, node.tokens, node.settled)
    return Verdict(
        is_solution=False,
        violations=violations,
        blamed=mask_of((v.cells for v in violations), num_cells),
        excluded=mask_of((v.cells if v.excluded is None else v.excluded for v in violations), num_cells),
        refutation=next((v for v in among_settled if v.reason is not None), None),
    )


def mask_of(groups: Iterable[Iterable[int]], num_cells: int) -> Mask:
    """Return a mask (num_cells,) of the cells that are in any of the groups."""
    mask = np.zeros(num_cells, bool)
    mask[[cell for group in groups for cell in group]] = True
    return mask


@dataclass(frozen=True, eq=False)
class RoundResult:
    """Result of one round of a node: the draft, its verdict, and the cells visible in the next round.

    Attributes:
        node: the search node, in its state before the round.
        prediction: the denoiser's prediction.
        draft: the tokens of settled cells, and the likeliest token everywhere else.
        verdict: the result of checking the draft.
        visible: drafted cells that the denoiser is given as known in the next round.
        remasked_visible: cells that were visible in this round and are re-masked.
        num_refused: drafts of this round that a check refused without a reason.
    """

    node: Node
    prediction: Prediction
    draft: Tokens
    verdict: Verdict
    visible: Mask
    remasked_visible: Mask
    num_refused: int = 0

    @property
    def is_repeat(self) -> bool:
        """Whether the draft equals that of the node's previous round."""
        return self.node.draft is not None and bool((self.node.draft == self.draft).all())

    @property
    def is_refused(self) -> bool:
        """Whether a check refused the draft, and no violation has a reason that could guide the search."""
        return bool(self.verdict.violations) and not self.verdict.has_reason

    @property
    def blames_only_settled(self) -> bool:
        """Whether there are violations, and each of them blames settled cells only."""
        violations, settled = self.verdict.violations, self.node.settled
        return bool(violations) and all(v.cells and settled[list(v.cells)].all() for v in violations)

    @property
    def blamed_open(self) -> Mask:
        """Blamed cells that are not settled."""
        return self.verdict.blamed & ~self.node.settled


@dataclass(frozen=True, eq=False)
class BestDraft:
    """The best draft so far: the latest solution, else the draft with the fewest blamed cells."""

    tokens: Tokens
    confidence: Floats
    violations: tuple[Violation, ...] = ()
    num_blamed: int = 1 << 30
    is_solution: bool = False
    constraint_cost: float = 0.0
    strategy: StrategyName = "model"

    def or_better(self, result: RoundResult, strategy: StrategyName) -> BestDraft:
        """Return the draft of ``result``, which ``strategy`` made, if it is better; otherwise this one.

        Among unchecked drafts the latest is the best.
        """
        verdict, prediction = result.verdict, result.prediction
        count = verdict.num_blamed
        better = count < self.num_blamed or count == self.num_blamed == UNCHECKED_COUNT
        if not verdict.is_solution and (self.is_solution or not better):
            return self
        return BestDraft(
            tokens=result.draft,
            confidence=prediction.top1,
            violations=verdict.violations,
            num_blamed=count,
            is_solution=verdict.is_solution,
            constraint_cost=prediction.constraint_cost,
            strategy=strategy,
        )
