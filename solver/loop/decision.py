"""Decisions: which cells are implied and why, which cell to decide, and with what probabilities.

>>> margin, num_allowed = np.array([0.9, 0.2, 0.205]), np.array([2, 3, 2])
>>> choose_cell(margin, num_allowed, np.ones(3, bool), np.random.default_rng(0))  # margins 1, 2 are equal
2

All arrays have shape (L,): one entry per cell.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.loop.policy import Floats, Ints, SearchPolicy
from solver.loop.prediction import Prediction
from solver.tasks.task import Implied, Mask, Task, Tokens

MARGIN_STEP = 0.01  # margins closer than this count as equal
MIN_PROBABILITY = 1e-9


@dataclass(frozen=True, eq=False)
class Implications:
    """Cells that can hold just one token.

    Attributes:
        cells: the implied cells.
        tokens: their tokens; arbitrary elsewhere.
        reasons: the settled cells that force a cell, where the task's inference names them.
    """

    cells: Mask
    tokens: Tokens
    reasons: dict[int, frozenset[int]]


@dataclass(frozen=True, eq=False)
class DecisionOptions:
    """The tokens that ``cell`` may hold, and their log-probabilities, in the same order."""

    cell: int
    tokens: Tokens
    log_p: NDArray[np.float64]


def find_implications(prediction: Prediction, settled: Mask, facts: Iterable[Implied]) -> Implications:
    """Return the open cells with one allowed token, and those that the task's own inference found."""
    implied = Implications(~settled & (prediction.num_allowed == 1), prediction.best.copy(), {})
    for fact in facts:
        if not implied.cells[fact.cell]:
            implied.cells[fact.cell], implied.tokens[fact.cell] = True, fact.token
            implied.reasons[fact.cell] = fact.reason
    return implied


def choose_decision(
    prediction: Prediction,
    implied: Implications,
    undecided: Mask,
    search: SearchPolicy,
    rng: np.random.Generator,
) -> DecisionOptions | None:
    """Choose a cell and smooth the distribution over its tokens.

    Args:
        prediction: what the decision is based on.
        implied: cells that need no decision.
        undecided: the cells to choose from.
        search: settings.
        rng: breaks ties between cells.

    Returns:
        None if no undecided cell has two or more allowed tokens, or if implied cells are followed first.
    """
    margin = np.where(implied.cells, 1.0, prediction.top1 - prediction.top2).astype(np.float32)
    cell = choose_cell(margin, prediction.num_allowed, undecided, rng)
    if cell is None or (search.propagate_first and implied.cells.any()):
        return None
    tokens, p = prediction.distribution(cell)
    share = search.decision_smoothing
    return DecisionOptions(
        cell, tokens, np.log(np.maximum((1 - share) * p + share / len(p), MIN_PROBABILITY))
    )


def choose_cell(margin: Floats, num_allowed: Ints, undecided: Mask, rng: np.random.Generator) -> int | None:
    """Return the undecided cell with the smallest margin, then the fewest allowed tokens, then by chance.

    Args:
        margin: probability of each cell's best token minus that of the second.
        num_allowed: number of tokens that each cell may hold.
        undecided: the cells to choose from.
        rng: breaks ties.

    Returns:
        None if no undecided cell has two or more allowed tokens.
    """
    eligible = np.flatnonzero(undecided & (num_allowed > 1))
    if not len(eligible):
        return None
    steps = np.floor(margin[eligible] / MARGIN_STEP)
    eligible = eligible[steps == steps.min()]
    eligible = eligible[num_allowed[eligible] == num_allowed[eligible].min()]
    return int(eligible[0] if len(eligible) == 1 else rng.choice(eligible))


def explain(
    task: Task,
    problem: Any,
    tokens: Tokens,
    known: Mask,
    cell: int,
    token: int,
) -> frozenset[int] | None:
    """Return known cells that by themselves exclude ``token`` from ``cell``, or None, by the task's check.

    Args:
        task: its check is run on the canvas with ``token`` in ``cell``.
        problem: the problem to solve.
        tokens, known: (L,) the canvas.
        cell, token: the excluded token and its cell.
    """
    tokens, known = tokens.copy(), known.copy()
    tokens[cell], known[cell] = token, True
    reasons = [v.reason - {cell} for v in task.check(problem, tokens, known) if v.reason and cell in v.reason]
    return min(reasons, key=len, default=None)
