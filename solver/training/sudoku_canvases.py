"""Canvases that the Sudoku denoiser is trained on, in every condition that the loop can bring them to.

A canvas stays in the pool for several segments, its hidden state carried along. New canvases are plain
puzzles, puzzles with accepted cells (some of them wrong), and full grids with errors and no pinned clue.
Between segments the loop's own moves are applied: a decision on the cell whose two best tokens are closest,
taken from the truth or from the network's belief, and re-masking. The loss is on every cell that is not
pinned, wrong visible ones included.

>>> CanvasPool.empty(2).tokens.shape
(2, 81)

Shapes: B rows of the pool, N puzzles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from solver.models.layers import KNOWN, NOISE, OPEN, PINNED

Int8 = NDArray[np.int8]
Ints = NDArray[np.int64]
CELLS, DIGITS = 81, 9
MAX_AGE = 10  # segments


@dataclass(frozen=True)
class PuzzlePool:
    """Puzzles of several sources.

    Attributes:
        puzzles, solutions: digits 1..9, 0 for an empty cell, (N, 81).
        starts, sizes: where each source begins, and its number of puzzles.
        shares: of each source among the canvases.
    """

    puzzles: Int8
    solutions: Int8
    starts: Ints
    sizes: Ints
    shares: NDArray[np.float64]

    def draw(self, rng: np.random.Generator, count: int) -> Ints:
        """``count`` puzzle numbers, by the shares of the sources."""
        source = rng.choice(len(self.shares), count, p=self.shares)
        return self.starts[source] + (rng.random(count) * self.sizes[source]).astype(np.int64)


@dataclass
class CanvasPool:
    """The canvases in training.

    Attributes:
        puzzle: number of the puzzle (B,).
        age, longest: segments so far, and at most, (B,).
        streak: exact drafts in a row (B,).
        tokens: digit - 1 of each cell (B, 81).
        status: OPEN, PINNED, KNOWN or NOISE (B, 81).
        order: of the cells in the causal form, 0 for givens, (B, 81).
    """

    puzzle: Ints
    age: Ints
    longest: Ints
    streak: Ints
    tokens: Ints
    status: Ints
    order: Ints

    @staticmethod
    def empty(rows: int) -> CanvasPool:
        """A pool whose rows are all due for a new canvas."""
        numbers = (np.zeros(rows, np.int64) for _ in range(4))
        return CanvasPool(*numbers, *(np.zeros((rows, CELLS), np.int64) for _ in range(3)))

    def renew(self, pool: PuzzlePool, noise: str, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Replace finished canvases, which are too old or were exact twice in a row; (B,) bool: which."""
        is_due = (self.age >= self.longest) | (self.streak >= 2)
        rows = np.flatnonzero(is_due)
        self.puzzle[rows] = pool.draw(rng, len(rows))
        self.age[rows] = self.streak[rows] = 0
        self.longest[rows] = 1 + rng.integers(1, MAX_AGE, len(rows))
        for row in rows:
            puzzle, solution = pool.puzzles[self.puzzle[row]], pool.solutions[self.puzzle[row]]
            self.tokens[row], self.status[row] = new_canvas(puzzle, solution, noise, rng)
        return is_due

    def targets(self, pool: PuzzlePool) -> tuple[Tensor, Tensor]:
        """True tokens (B, 81), and the loss weight of each cell (B, 81): 1 unless pinned."""
        truth = torch.from_numpy(pool.solutions[self.puzzle].astype(np.int64) - 1)
        return truth, torch.from_numpy((self.status != PINNED).astype(np.float32))

    def move(self, pool: PuzzlePool, logits: Tensor, rng: np.random.Generator) -> Tensor:
        """Apply the loop's moves, decisions and re-masking; (B, 81) bool: the re-masked cells."""
        rows = np.arange(len(self.puzzle))
        truth = pool.solutions[self.puzzle].astype(np.int64) - 1
        probabilities = logits.softmax(-1)
        best = probabilities.topk(2, -1)
        margin = (best.values[..., 0] - best.values[..., 1]).numpy()
        # decide the least certain cell: in half of the rows by the truth, else by one of the two best tokens
        is_open = (self.status == OPEN) | (self.status == NOISE)
        cell = np.where(is_open, margin, 2.0).argmin(1)
        token = best.indices.numpy()[rows, cell, (rng.random(len(rows)) < 0.4).astype(int)]
        token = np.where(rng.random(len(rows)) < 0.5, truth[rows, cell], token)
        decide = (rng.random(len(rows)) < 0.35) & is_open.any(1) & (self.streak == 0)
        self.tokens[decide, cell[decide]] = token[decide]
        self.status[decide, cell[decide]] = KNOWN
        # re-mask: some canvases lose the accepted cells that the network itself believes to be wrong
        belief = np.take_along_axis(probabilities.numpy(), self.tokens[..., None], -1)[..., 0]
        remasked = (self.status == KNOWN) & (belief < 0.5) & (rng.random(len(rows)) < 0.15)[:, None]
        self.status[remasked] = OPEN
        return torch.from_numpy(remasked)


def new_canvas(puzzle: Int8, solution: Int8, noise: str, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Tokens and status (81,) of a new canvas.

    Args:
        puzzle, solution: digits (81,).
        noise: content of open cells: "mask", "uniform" or "hybrid"; with "none" the canvas is the puzzle.
        rng: draws the condition and the errors.
    """
    truth = solution.astype(np.int64) - 1
    tokens, status = truth.copy(), np.where(puzzle > 0, PINNED, OPEN)
    kind = 0.0 if noise == "none" else rng.random()
    if kind < 0.60:  # the puzzle itself
        pass
    elif kind < 0.85:  # some accepted cells, up to a sixth of them wrong
        open_cells = np.flatnonzero(status == OPEN)
        count = min(len(open_cells), int(rng.geometric(0.12)))
        visible = rng.permutation(open_cells)[:count]
        status[visible] = KNOWN
        spoil(tokens, visible[rng.random(count) < rng.choice([0.0, 0.15])], rng)
    elif kind < 0.94:  # a full grid to repair, without clues
        status[:] = KNOWN
        spoil(tokens, rng.permutation(CELLS)[: 1 + rng.integers(8)], rng)
    else:  # most cells accepted, without clues
        status[:] = OPEN
        visible = rng.permutation(CELLS)[: rng.integers(45, 81)]
        status[visible] = KNOWN
        spoil(tokens, visible[rng.random(len(visible)) < 0.08], rng)
    if noise == "uniform" or (noise == "hybrid" and rng.random() < 0.5):
        is_open = status == OPEN
        tokens[is_open] = rng.integers(0, DIGITS, int(is_open.sum()))
        status[is_open] = NOISE
    return tokens, status


def spoil(tokens: Ints, cells: Ints, rng: np.random.Generator) -> None:
    """Put another token into each of ``cells``, in place."""
    tokens[cells] = (tokens[cells] + rng.integers(1, DIGITS, len(cells))) % DIGITS
