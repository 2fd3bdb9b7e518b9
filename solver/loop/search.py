"""The search tree: which node is next, what a refuted node proves, and when the search has ended.

A node is its parent plus one decision (a token in an open cell) and the cells that this implies. A violation
with a reason refutes a node. Its reason is traced back to the decisions it follows from, the *conflict set*;
if the node's own decision is not in it, the parent is refuted as well (backjumping). A parent is also refuted
when all tokens of the cell that it branched on are. Conflict sets are kept as nogoods: decisions that cannot
all hold.
When the root is refuted, the problem has no solution, and the refuted nodes are the proof.

>>> from solver.tasks.sudoku import layout
>>> from solver.tasks.sudoku.task import Sudoku, SudokuTask
>>> task, problem = SudokuTask(layout.standard(4)), Sudoku(np.zeros(16, np.int8))
>>> tree = Tree(task, problem, task.encode(problem), "best")
>>> (root,) = tree.next_nodes(1)
>>> nothing_implied = Implications(np.zeros(16, bool), root.tokens, {})
>>> tree.extend(root, nothing_implied, DecisionOptions(0, np.array([0, 1]), np.log([0.25, 0.75])))
>>> [node.decision for node in tree.next_nodes(2)]
[(0, 1), (0, 0)]
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from solver.loop.decision import DecisionOptions, Implications, explain
from solver.loop.prediction import Prediction
from solver.tasks.task import Canvas, Explains, Mask, Task, Tokens, Violation

MAX_NOGOODS = 512  # the shortest are kept
MAX_EAGER_CHILDREN = 64  # with more options, each child is created only when the one before it is taken


@dataclass(eq=False)
class Node:
    """A canvas in the search tree. Arrays have shape (L,).

    Attributes:
        number: unique in the tree, in the order of creation.
        parent: None for the root.
        decision: (cell, token) that was added to the parent; None for the root, and for a child that only adds implied cells.
        tokens: of settled and visible cells.
        settled_at: the node's ``level`` when each cell was settled (0: pinned), -1 if open.
        visible: drafted cells that the denoiser sees as known.
        depth: number of decisions.
        score: sum of the decisions' log-probabilities when made, minus demotions.
        decided: the decided cells.
        level: number of settling steps so far: a child adds one for its implied cells and one for its decision.
        reasons: reasons of implied cells, where the task's inference named them.
        closed: whether the node is refuted.
        refusals: drafts that a check refused without a reason.
        round: drafts since the start or the restart of this node.
        aux: what the denoiser carries from the last draft, or None.
        first_prediction: the prediction for this canvas before any draft of it was visible.
        draft: the last draft.
        excluded: tokens that a cell may not hold in the next draft, one array per recent forward; -1 for no
            token.
        options: the options of the decision that the children make, in the order of the children.
        base: template of the children: this node plus its implied cells.
        num_expanded: number of options that have become nodes.
        num_open_children: number of options that are not refuted.
        conflict: the decided cells that the refutations of the children follow from.
    """

    number: int
    parent: Node | None
    decision: tuple[int, int] | None
    tokens: Tokens
    settled_at: NDArray[np.int64]
    visible: Mask
    depth: int = 0
    score: float = 0.0
    decided: frozenset[int] = frozenset()
    level: int = 0
    reasons: dict[int, frozenset[int]] = field(default_factory=dict)
    closed: bool = False
    refusals: int = 0
    round: int = 0
    aux: Any = None
    first_prediction: Prediction | None = None
    draft: Tokens | None = None
    excluded: tuple[Tokens, ...] = ()
    options: DecisionOptions | None = None
    base: Node | None = None
    num_expanded: int = 0
    num_open_children: int = 0
    conflict: frozenset[int] = frozenset()

    @property
    def settled(self) -> Mask:
        """Pinned, decided and implied cells."""
        return self.settled_at >= 0

    def restart(self) -> None:
        """Go back to the first round, with no visible cells and a new aux."""
        self.round, self.visible = 0, np.zeros_like(self.visible)
        self.end_rounds()

    def end_rounds(self) -> None:
        """Free what the next round would need: the denoiser's hidden state is most of a node's memory."""
        self.aux = self.first_prediction = self.draft = None

    def is_dead(self) -> bool:
        node: Node | None = self
        while node is not None:
            if node.closed:
                return True
            node = node.parent
        return False


class Tree:
    """All nodes of one problem.

    Args:
        task: explains why a cell cannot hold a token.
        problem: the problem to solve.
        canvas: the encoded problem. Known cells that are not pinned are visible at the root.
        order: "best" takes the node with the highest score first, "depth" the deepest.
        numbers: the nodes' numbers; shared by the trees of one problem.
        nogoods: nogoods of the problem, to which this tree adds its own; None for a list of its own.
    """

    def __init__(
        self,
        task: Task,
        problem: Any,
        canvas: Canvas,
        order: Literal["best", "depth"],
        numbers: Iterator[int] | None = None,
        nogoods: list[frozenset[int]] | None = None,
    ) -> None:
        self.task, self.canvas, self.order = task, canvas, order
        # (tokens, known, cell, token) -> known cells that alone exclude the token from the cell, or None
        explainer = task.explain if isinstance(task, Explains) else partial(explain, task)
        self._explain = partial(explainer, problem)
        self.numbers = count() if numbers is None else numbers
        self.root = Node(
            number=next(self.numbers),
            parent=None,
            decision=None,
            tokens=np.where(canvas.known, canvas.tokens, 0),
            settled_at=np.where(canvas.pinned, 0, -1),
            visible=canvas.known & ~canvas.pinned,
        )
        self.num_nodes, self.num_refuted = 1, 0
        self.nogoods = [] if nogoods is None else nogoods  # elements are cell * vocab + token
        self._heap: list[tuple[float, float, int, Node]] = []
        self._num_pushed = 0
        self.push(self.root)

    def push(self, node: Node, first: bool = False) -> None:
        self._num_pushed += 1
        key = (-node.score, -node.depth) if self.order == "best" else (-node.depth, -node.score)
        tie = -self._num_pushed if self.order == "depth" else self._num_pushed
        heapq.heappush(self._heap, (*((-float("inf"), 0.0) if first else key), tie, node))

    def next_nodes(self, count: int) -> list[Node]:
        """Take up to ``count`` nodes from the queue; no nodes if the root is refuted."""
        nodes: list[Node] = []
        while self._heap and len(nodes) < count and not self.root.closed:
            node = heapq.heappop(self._heap)[-1]
            parent = node.parent if node.round == 0 else None
            if parent is not None and parent.options is not None and not parent.closed:
                self._expand(parent)  # create the next sibling of ``node``, if one is left
            if node.is_dead() or (parent is not None and self._close_if_nogood(node)):
                continue
            nodes.append(node)
        return nodes

    def extend(
        self,
        node: Node,
        implied: Implications,
        options: DecisionOptions | None,
        visible: Mask | None = None,
    ) -> None:
        """Create the children of ``node``.

        Args:
            node: the parent, whose canvas the children extend.
            implied: cells that are settled in all children.
            options: the options of a decision, one child each; None for a single child without a decision.
            visible: (L,) drafted cells that stay visible in the children, None for none.
        """
        settled_at = np.where(implied.cells & (node.settled_at < 0), node.level + 1, node.settled_at)
        base = Node(
            number=-1,  # of a template
            parent=node,
            decision=None,
            tokens=np.where(implied.cells, implied.tokens, node.tokens),
            settled_at=settled_at,
            visible=np.zeros_like(node.visible) if visible is None else visible & (settled_at < 0),
            depth=node.depth,
            score=node.score,
            decided=node.decided,
            level=node.level + 1,
            reasons={**node.reasons, **implied.reasons},
        )
        node.end_rounds()
        node.conflict, node.num_expanded = frozenset(), 0
        node.num_open_children = 1 if options is None else len(options.tokens)
        if options is None:
            self._add(replace(base, number=next(self.numbers)))
            return
        # Created at once, the children are ordered by the queue (depth first, the last one pushed wins a tie);
        # created one by one, the likeliest comes first.
        at_once = len(options.tokens) <= MAX_EAGER_CHILDREN
        ranked = np.argsort(options.log_p if at_once else -options.log_p, kind="stable")
        node.base = base
        node.options = DecisionOptions(options.cell, options.tokens[ranked], options.log_p[ranked])
        for _ in range(len(options.tokens) if at_once else 1):
            self._expand(node)

    def _expand(self, node: Node) -> None:
        base, options, index = node.base, node.options, node.num_expanded
        assert base is not None
        assert options is not None
        if index == len(options.tokens):
            return
        node.num_expanded += 1
        decided_cell = np.arange(len(base.tokens)) == options.cell
        child = replace(
            base,
            number=next(self.numbers),
            decision=(options.cell, int(options.tokens[index])),
            tokens=np.where(decided_cell, options.tokens[index], base.tokens),
            settled_at=np.where(decided_cell, base.level + 1, base.settled_at),
            visible=base.visible & ~decided_cell,
            depth=base.depth + 1,
            score=base.score + float(options.log_p[index]),
            decided=base.decided | {options.cell},
            level=base.level + 1,
        )
        self._add(child)

    def _add(self, child: Node) -> None:
        self.num_nodes += 1
        self.push(child)

    def refute(self, node: Node, violation: Violation) -> None:
        """Close a node, whose settled cells include the violation's reason, and all ancestors it refutes."""
        assert violation.reason is not None
        self._close(node, self._conflict_set(node, violation.reason))

    def _close(self, node: Node, conflict: frozenset[int]) -> None:
        """Close a node that the decisions in ``conflict`` refute, and every ancestor that this refutes."""
        while True:
            node.closed = True
            node.end_rounds()
            self.num_refuted += 1
            self._learn(node, conflict)
            parent = node.parent
            if parent is None or parent.closed:
                return
            if node.decision is None or node.decision[0] not in conflict:
                node = parent  # the refutation does not use this decision, so it refutes the parent
                continue
            parent.conflict |= conflict - {node.decision[0]}
            parent.num_open_children -= 1
            if parent.num_open_children:
                return
            conflict = parent.conflict | self._conflict_of_excluded(node, parent)
            node = parent

    def _conflict_of_excluded(self, child: Node, parent: Node) -> frozenset[int]:
        """Return the decisions that exclude the tokens that were no options of the parent's cell."""
        assert parent.options is not None
        cell = parent.options.cell
        # the options were computed on the child's canvas before its decision
        known = child.settled & (child.settled_at < child.level)
        known[cell] = False
        conflict: frozenset[int] = frozenset()
        for token in self._possible(cell) - set(parent.options.tokens.tolist()):
            reason = self._explain(child.tokens, known, cell, token)
            if reason is not None:
                conflict |= self._conflict_set(child, reason)
        return conflict

    def _conflict_set(self, node: Node, cells: Iterable[int]) -> frozenset[int]:
        """Return the decided cells from which the node's tokens in ``cells`` follow."""
        seen, remaining = set[int](), list(cells)
        while remaining:
            cell = remaining.pop()
            if cell in seen or node.settled_at[cell] <= 0:
                continue
            seen.add(cell)
            if cell in node.decided:
                continue
            if cell in node.reasons:
                remaining.extend(node.reasons[cell])
            else:  # an implied cell: cells settled earlier exclude each of its other tokens
                earlier = node.settled & (node.settled_at < node.settled_at[cell])
                for token in self._possible(cell) - {int(node.tokens[cell])}:
                    reason = self._explain(node.tokens, earlier, cell, token)
                    assert reason is not None, "an implied cell must have a reason against every other token"
                    remaining.extend(reason)
        return node.decided & seen

    def _possible(self, cell: int) -> set[int]:
        """Return the tokens that the canvas allows in ``cell`` before anything is known."""
        if self.canvas.allowed is None:
            return set(range(self.task.vocab))
        words = self.canvas.allowed[cell]
        return {t for t in range(self.task.vocab) if int(words[t // 32]) >> (t % 32) & 1}

    def _learn(self, node: Node, conflict: frozenset[int]) -> None:
        """Keep the decisions in ``conflict`` as a nogood, if it is short enough."""
        nogood = self._literals(node, conflict)
        if not nogood:
            return
        if len(self.nogoods) < MAX_NOGOODS:
            self.nogoods.append(nogood)
            return
        longest = max(range(MAX_NOGOODS), key=lambda index: len(self.nogoods[index]))
        if len(self.nogoods[longest]) > len(nogood):
            self.nogoods[longest] = nogood

    def _close_if_nogood(self, node: Node) -> bool:
        """Close a new node that contains a nogood; return whether it did."""
        if not self.nogoods:
            return False
        settled = self._literals(node, np.flatnonzero(node.settled_at > 0).tolist())
        for nogood in self.nogoods:
            if nogood <= settled:
                cells = [literal // self.task.vocab for literal in nogood]
                self._close(node, self._conflict_set(node, cells))
                return True
        return False

    def _literals(self, node: Node, cells: Iterable[int]) -> frozenset[int]:
        """Return cell * vocab + token for each of ``cells`` and the node's token in it."""
        return frozenset(cell * self.task.vocab + int(node.tokens[cell]) for cell in cells)
