"""The tree of decisions: which canvas is next, what a refuted canvas proves, when nothing is left.

A canvas is its parent's plus one decision (a token in an open cell) and what direct elimination implies. A reasoned violation
refutes it; the reason is traced to the decisions behind it, and if the latest decision is not among them, the parent falls too
(backjumping). A parent falls when every token of the cell it branched on has fallen. The sets of decisions found impossible are
kept as nogoods. When the root falls, the problem has no solution, and the refuted canvases are the proof.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from solver.tasks.canvas import Canvas, Mask, Tokens
from solver.tasks.task import Explains, Task, Violation

NOGOODS = 512  # kept at most, the shortest first
EAGER = 64  # tokens of a decision that all become canvases at once; of more, each waits until the one before it is taken


@dataclass(frozen=True, eq=False)
class Branch:
    """A decision on ``cell``: its ``tokens`` and their log-probabilities, in the order in which they become canvases, and the
    canvas ``base``, ``order`` (both (L,)) that each of them is added to. ``visible`` (L,): drafted cells that it keeps."""

    cell: int
    tokens: Tokens
    log_p: np.ndarray
    base: Tokens
    order: np.ndarray
    reasons: dict[int, frozenset[int]]
    visible: Mask | None


@dataclass(eq=False)
class Node:
    """A canvas in the tree. order (L,): 0 for pinned cells, rising with the round in which a cell was settled, -1 for open
    ones. score: the log-probability of the decisions so far, each as it was made."""

    number: int
    parent: Node | None
    decision: tuple[int, int] | None
    tokens: Tokens
    order: np.ndarray
    depth: int
    score: float
    decided: int = 0  # bitmask of the cells decided on the way here
    closed: bool = False
    round: int = 0
    tick: int = 0
    visible: Mask | None = None
    carry: Any = None
    said: Any = None  # the first prediction to this canvas
    draft: Tokens | None = None  # the last one
    excluded: tuple[Tokens, ...] = ()  # tokens, each (L,), that the next draft may not hold, -1 for none
    reasons: dict[int, frozenset[int]] = field(
        default_factory=dict
    )  # of implied cells whose inference said so
    branch: Branch | None = None
    made: int = 0  # tokens of the branch that have become canvases
    waiting: int = 0  # tokens of the branch cell that have not fallen
    blame: int = 0  # decisions behind the fallen ones

    @property
    def settled(self) -> Mask:
        return self.order >= 0

    def dead(self) -> bool:
        """Whether this canvas or one it came from is closed."""
        node: Node | None = self
        while node is not None:
            if node.closed:
                return True
            node = node.parent
        return False


class Tree:
    """All canvases of one problem."""

    def __init__(self, task: Task, problem: Any, canvas: Canvas, order: Literal["best", "depth"]) -> None:
        self.task, self.problem, self.canvas, self.order = task, problem, canvas, order
        self._explains = task if isinstance(task, Explains) else None  # asked once: it is slow to ask
        tokens = np.where(canvas.known, canvas.tokens, 0)
        self.root = Node(0, None, None, tokens, np.where(canvas.pinned, 0, -1), 0, 0.0)
        self.made, self.refuted = 1, 0
        self.nogoods: list[int] = []  # bit cell * vocab + token
        self._heap: list[tuple[float, float, int, Node]] = []
        self._pushed = 0
        self.push(self.root)

    def push(self, node: Node, first: bool = False) -> None:
        """Put a canvas in the queue; ``first`` puts it ahead of all others (another round of the same canvas)."""
        self._pushed += 1
        if first:
            key = (-float("inf"), 0.0)
        else:
            key = (-node.score, -node.depth) if self.order == "best" else (-node.depth, -node.score)
        heapq.heappush(self._heap, (*key, -self._pushed if self.order == "depth" else self._pushed, node))

    def take(self, count: int) -> list[Node]:
        """Up to ``count`` canvases that are next; empty when the tree is closed."""
        taken: list[Node] = []
        while self._heap and len(taken) < count and not self.root.closed:
            node = heapq.heappop(self._heap)[-1]
            if node.round == 0 and node.parent is not None and node.parent.branch is not None:
                self._grow(node.parent)  # its next sibling, where siblings wait
            if node.dead():
                continue
            if node.parent is not None and node.round == 0 and self._is_nogood(node):
                continue
            taken.append(node)
        return taken

    def extend(
        self,
        node: Node,
        implied: Mask,
        tokens: Tokens,
        cell: int,
        choices: Tokens,
        log_p: np.ndarray,
        reasons: dict[int, frozenset[int]],
        visible: Mask | None = None,
    ) -> None:
        """Children of ``node``: its canvas plus the ``implied`` cells of ``tokens``, and for each of ``choices`` (with their
        log-probabilities) a decision on ``cell``; without choices one child with the implied cells alone. ``visible`` (L,):
        drafted cells of ``node`` that the children go on with."""
        base = np.where(implied, tokens, node.tokens)
        tick = node.tick + 1
        order = np.where(implied & (node.order < 0), tick, node.order)
        known_reasons = {**node.reasons, **reasons}
        node.waiting, node.blame, node.made = max(1, len(choices)), 0, 0
        if not len(choices):
            child = Node(self.made, node, None, base, order, node.depth, node.score, node.decided)
            self._add(child, tick, known_reasons, visible)
            return
        eager = len(choices) <= EAGER
        ranked = np.argsort(log_p if eager else -log_p, kind="stable")
        node.branch = Branch(cell, choices[ranked], log_p[ranked], base, order, known_reasons, visible)
        for _ in range(len(choices) if eager else 1):
            self._spawn(node)

    def _grow(self, node: Node) -> None:
        """The next child of a branch whose tokens wait for each other."""
        if node.branch is not None and not node.closed and node.made < len(node.branch.tokens):
            self._spawn(node)

    def _spawn(self, node: Node) -> None:
        """The next token of a branch as a canvas."""
        branch = node.branch
        assert branch is not None
        token, log_p = int(branch.tokens[node.made]), float(branch.log_p[node.made])
        node.made += 1
        tokens, order = branch.base.copy(), branch.order.copy()
        tokens[branch.cell], order[branch.cell] = token, node.tick + 2
        score, decided = node.score + log_p, node.decided | 1 << branch.cell
        child = Node(self.made, node, (branch.cell, token), tokens, order, node.depth + 1, score, decided)
        self._add(child, node.tick + 2, branch.reasons, branch.visible)

    def _add(self, child: Node, tick: int, reasons: dict[int, frozenset[int]], visible: Mask | None) -> None:
        child.visible = None if visible is None else visible & ~child.settled
        child.tick, child.reasons = tick, reasons
        self.made += 1
        self.push(child)

    def refute(self, node: Node, violation: Violation) -> None:
        """Close ``node`` for a reasoned violation among its settled cells, and whatever falls with it."""
        assert violation.reason is not None
        self._close(node, self._decisions_behind(node, violation.reason))

    def _close(self, node: Node, blame: int) -> None:
        """Close a node whose impossibility follows from the decisions in ``blame``; climb as far as that carries."""
        while True:
            node.closed = True
            self.refuted += 1
            self._learn(node, blame)
            parent = node.parent
            if parent is None or parent.closed:
                return
            if node.decision is None or not blame >> node.decision[0] & 1:
                node = parent  # it falls without this decision: the parent has the same fault
                continue
            parent.blame |= blame & ~(1 << node.decision[0])
            parent.waiting -= 1
            if parent.waiting:
                return
            blame = parent.blame | self._why_excluded(node, parent)
            node = parent

    def _why_excluded(self, child: Node, parent: Node) -> int:
        """Decisions behind the tokens that the parent's branch cell could not hold in the first place."""
        assert parent.branch is not None
        cell = parent.branch.cell
        # the child's canvas with the decision taken out is what the choice was made on
        known = child.order >= 0
        known[cell] = False
        known &= child.order <= child.tick - 1
        blame = 0
        for token in self._possible(cell) - set(parent.branch.tokens.tolist()):
            reason = self._explain(child.tokens, known, cell, token)
            if reason is not None:
                blame |= self._decisions_behind(child, reason)
        return blame

    def _decisions_behind(self, node: Node, cells: Iterable[int]) -> int:
        """Bitmask of the decided cells from which the tokens in ``cells`` follow on ``node``'s canvas."""
        blame, seen, waiting = 0, set[int](), list(cells)
        while waiting:
            cell = waiting.pop()
            if cell in seen or node.order[cell] <= 0:
                continue
            seen.add(cell)
            if node.decided >> cell & 1:
                blame |= 1 << cell
            elif cell in node.reasons:
                waiting.extend(node.reasons[cell])
            else:
                earlier = (node.order >= 0) & (node.order < node.order[cell])
                for token in self._possible(cell) - {int(node.tokens[cell])}:
                    reason = self._explain(node.tokens, earlier, cell, token)
                    assert reason is not None, "an implied cell must have a reason against every other token"
                    waiting.extend(reason)
        return blame

    def _explain(self, tokens: Tokens, known: Mask, cell: int, token: int) -> frozenset[int] | None:
        """Known cells that by themselves keep ``token`` out of ``cell``: the task's own word, or what its check says."""
        if self._explains is not None:
            return self._explains.explain(self.problem, tokens, known, cell, token)
        return explain(self.task, self.problem, tokens, known, cell, token)

    def _possible(self, cell: int) -> set[int]:
        """The tokens that the canvas allows in ``cell`` before anything is known."""
        if self.canvas.allowed is None:
            return set(range(self.task.vocab))
        words = self.canvas.allowed[cell]
        return {t for t in range(self.task.vocab) if int(words[t // 32]) >> (t % 32) & 1}

    def _learn(self, node: Node, blame: int) -> None:
        """Keep the decisions in ``blame`` as a set that cannot all hold."""
        vocab, bits = self.task.vocab, 0
        for cell in range(len(node.tokens)):
            if blame >> cell & 1:
                bits |= 1 << (cell * vocab + int(node.tokens[cell]))
        if bits and len(self.nogoods) < NOGOODS:
            self.nogoods.append(bits)
        elif bits:
            longest = max(range(NOGOODS), key=lambda i: self.nogoods[i].bit_count())
            if self.nogoods[longest].bit_count() > bits.bit_count():
                self.nogoods[longest] = bits

    def _is_nogood(self, node: Node) -> bool:
        """Whether a canvas about to be tried repeats a nogood; it is closed then, with the nogood as its reason."""
        if not self.nogoods:
            return False
        vocab, settled = self.task.vocab, 0
        for cell in np.flatnonzero(node.order > 0):
            settled |= 1 << (int(cell) * vocab + int(node.tokens[cell]))
        for bits in self.nogoods:
            if bits & settled == bits:
                cells = {bit // vocab for bit in range(bits.bit_length()) if bits >> bit & 1}
                self._close(node, self._decisions_behind(node, cells))
                return True
        return False


def explain(
    task: Task, problem: Any, tokens: Tokens, known: Mask, cell: int, token: int
) -> frozenset[int] | None:
    """Known cells that by themselves keep ``token`` out of ``cell``, by the task's own check; None where nothing does."""
    tried, now = tokens.copy(), known.copy()
    tried[cell], now[cell] = token, True
    best: frozenset[int] | None = None
    for violation in task.check(problem, tried, now):
        if violation.reason is not None and cell in violation.reason:
            reason = violation.reason - {cell}
            if best is None or len(reason) < len(best):
                best = reason
    return best
