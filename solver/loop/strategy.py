"""The two strategies of the loop. They share one budget, and each prunes with the nogoods of both.

*model* drafts with the denoiser, whose probabilities order its search tree. *search* does not ask the
denoiser and does what the control ``random`` does: depth first, it branches on the cell with the fewest
tokens left; from a language, it draws texts. A model that is uncertain everywhere, as on an empty board, or
that misleads then costs at most a constant factor.

*search* starts after ``search_after`` forwards without a solution. From then on, the strategy that has
visited fewer canvases is next: *search* first catches up, then the two alternate. The total is therefore about
twice what the better one needs alone.

>>> from types import SimpleNamespace as Visited
>>> next_strategy([Visited(name="model", canvases=40), Visited(name="search", canvases=39)]).name
'search'
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from solver.loop.policy import DEPTH_FIRST, REDRAW, Policy
from solver.loop.search import Tree
from solver.loop.trace import StrategyName
from solver.models.protocol import Noise, uniform_noise
from solver.tasks.task import Canvas, Eliminates, Projects, Task


@dataclass(eq=False)
class Strategy:
    """A search tree, and how it is searched.

    Attributes:
        name: "model" if the denoiser drafts, "search" if it is not asked.
        policy: settings of its rounds and of its search.
        tree: its nodes.
        noise: makes the content of unknown cells: (mask of cells, vocabulary size, generator) -> tokens.
        rng: source of the noise, and of the choice between equal cells.
        canvases: number of canvases visited so far.
    """

    name: StrategyName
    policy: Policy
    tree: Tree
    noise: Noise
    rng: np.random.Generator
    canvases: int = 0


def model_strategy(
    task: Task,
    problem: Any,
    canvas: Canvas,
    policy: Policy,
    seed: int,
    noise: Noise,
) -> Strategy:
    tree = Tree(task, problem, canvas, policy.search.order, count())
    return Strategy("model", policy, tree, noise, np.random.default_rng(seed))


def search_strategy(
    task: Task, problem: Any, canvas: Canvas, policy: Policy, seed: int, guided: Tree
) -> Strategy:
    """Return the strategy that does not ask the denoiser.

    Args:
        task, problem, canvas: what to search.
        policy: of the problem; its inference and its sharing of nogoods apply.
        seed: of the problem.
        guided: the tree of the strategy "model".
    """
    nogoods = guided.nogoods if policy.search.share_nogoods else None
    unguided = (REDRAW if isinstance(task, Projects) else DEPTH_FIRST).with_(
        inference=policy.search.inference
    )
    tree = Tree(task, problem, canvas, unguided.search.order, guided.numbers, nogoods)
    return Strategy("search", unguided, tree, uniform_noise, np.random.default_rng(seed))


def can_search(task: Task, canvas: Canvas, policy: Policy) -> bool:
    """Whether the strategy "search" may help.

    It needs elimination, or it would branch on one cell like on any other; or a language of byte texts, from
    which it draws. A draft that is to be refined is a wish that only the model takes into account.
    """
    has_draft = bool((canvas.known & ~canvas.pinned).any())
    is_enabled = policy.search.search_after is not None and policy.checks == "every"
    can_draw = isinstance(task, Projects) and canvas.blank is not None
    return is_enabled and not has_draft and (can_draw or isinstance(task, Eliminates))


def next_strategy(strategies: Sequence[Strategy]) -> Strategy:
    """Return the strategy that has visited the fewest canvases, the first of several."""
    return min(strategies, key=lambda strategy: strategy.canvases)
