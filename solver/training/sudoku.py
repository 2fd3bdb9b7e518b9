"""What the Sudoku denoiser is trained on: canvases in every condition the loop can bring them to.

A *slot* holds one canvas for several segments, its state carried along. New canvases are plain puzzles, puzzles with cells
already accepted (some of them wrong), and full grids with errors and no clue pinned. Between segments the loop's own moves
happen to them: a decision on the cell whose two best tokens are closest, taken from the truth or from the network's own belief,
and cells that are re-masked. The truth is asked for at every cell that is not pinned, the visible wrong ones included.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from solver.models.layers import KNOWN, NOISE, OPEN, PINNED

Int8 = NDArray[np.int8]
CELLS, DIGITS = 81, 9


@dataclass
class Pool:
    """Puzzles and solutions (N, 81), digits 1..9, in one array; ``starts`` and ``sizes`` say where each source lies."""

    puzzles: Int8
    solutions: Int8
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    shares: NDArray[np.float64]

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """``count`` puzzle numbers by the shares of the mix."""
        source = rng.choice(len(self.shares), count, p=self.shares)
        return self.starts[source] + (rng.random(count) * self.sizes[source]).astype(np.int64)


@dataclass
class Slots:
    """The canvases in training: puzzle number, age in segments, longest age, streak of exact drafts (all (B,)); tokens
    (digit - 1), status, and the order of the cells for the causal form (0 for givens), all (B, 81)."""

    puzzle: NDArray[np.int64]
    age: NDArray[np.int64]
    longest: NDArray[np.int64]
    streak: NDArray[np.int64]
    tokens: NDArray[np.int64]
    status: NDArray[np.int64]
    order: NDArray[np.int64]


def empty_slots(rows: int) -> Slots:
    """Slots that are all due for a new canvas."""
    zero = np.zeros(rows, np.int64)
    grid = np.zeros((rows, CELLS), np.int64)
    return Slots(zero.copy(), zero.copy(), zero.copy(), zero.copy(), grid.copy(), grid.copy(), grid.copy())


def renew(slots: Slots, pool: Pool, longest: int, noise: str, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Give every finished slot (too old, or exact twice running) a new canvas, in place; (B,) bool says which."""
    due = (slots.age >= slots.longest) | (slots.streak >= 2)
    rows = np.flatnonzero(due)
    slots.puzzle[rows] = pool.draw(rng, len(rows))
    slots.age[rows] = slots.streak[rows] = 0
    slots.longest[rows] = 1 + rng.integers(1, longest, len(rows))
    for row in rows:
        slots.tokens[row], slots.status[row] = new_canvas(
            pool.puzzles[slots.puzzle[row]], pool.solutions[slots.puzzle[row]], noise, rng
        )
    return due


def new_canvas(
    puzzle: Int8, solution: Int8, noise: str, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tokens and status (81,) of a fresh canvas in one of the loop's conditions; ``noise`` "none": the puzzle as it comes."""
    truth = solution.astype(np.int64) - 1
    tokens, status = truth.copy(), np.where(puzzle > 0, PINNED, OPEN)
    kind = 0.0 if noise == "none" else rng.random()
    if kind < 0.60:  # the puzzle as it comes
        pass
    elif kind < 0.85:  # cells accepted, up to a sixth of them wrongly
        open_cells = np.flatnonzero(status == OPEN)
        count = min(len(open_cells), int(rng.geometric(0.12)))
        shown = rng.permutation(open_cells)[:count]
        status[shown] = KNOWN
        spoil(tokens, shown[rng.random(count) < rng.choice([0.0, 0.15])], rng)
    elif kind < 0.94:  # a full grid to repair, no clue known
        status[:] = KNOWN
        spoil(tokens, rng.permutation(CELLS)[: 1 + rng.integers(8)], rng)
    else:  # few clues, many accepted
        status[:] = OPEN
        shown = rng.permutation(CELLS)[: rng.integers(45, 81)]
        status[shown] = KNOWN
        spoil(tokens, shown[rng.random(len(shown)) < 0.08], rng)
    if noise == "uniform" or (noise == "hybrid" and rng.random() < 0.5):
        unknown = status == OPEN
        tokens[unknown] = rng.integers(0, DIGITS, int(unknown.sum()))
        status[unknown] = NOISE
    return tokens, status


def spoil(tokens: NDArray[np.int64], cells: NDArray[np.int64], rng: np.random.Generator) -> None:
    """Put another token into each of ``cells``, in place."""
    tokens[cells] = (tokens[cells] + rng.integers(1, DIGITS, len(cells))) % DIGITS


def move(slots: Slots, pool: Pool, logits: Tensor, rng: np.random.Generator) -> Tensor:
    """Play the loop's own moves on the slots, in place: decisions and re-masks. Returns (B, 81) bool, the re-masked cells."""
    rows = len(slots.puzzle)
    truth = pool.solutions[slots.puzzle].astype(np.int64) - 1
    probabilities = logits.softmax(-1)
    best = probabilities.topk(2, -1)
    margin = (best.values[..., 0] - best.values[..., 1]).numpy()
    unknown = (slots.status == OPEN) | (slots.status == NOISE)
    cell = np.where(unknown, margin, 2.0).argmin(1)
    told = best.indices.numpy()[np.arange(rows), cell, (rng.random(rows) < 0.4).astype(int)]
    told = np.where(rng.random(rows) < 0.5, truth[np.arange(rows), cell], told)
    decide = (rng.random(rows) < 0.35) & unknown.any(1) & (slots.streak == 0)
    slots.tokens[decide, cell[decide]] = told[decide]
    slots.status[decide, cell[decide]] = KNOWN
    # re-mask: one in ten canvases loses its accepted cells that the network itself thinks wrong
    believed = np.take_along_axis(probabilities.numpy(), slots.tokens[..., None], -1)[..., 0]
    doubt = (slots.status == KNOWN) & (believed < 0.5) & (rng.random(rows) < 0.15)[:, None]
    slots.status[doubt] = OPEN
    return torch.from_numpy(doubt)


def targets(slots: Slots, pool: Pool) -> tuple[Tensor, Tensor]:
    """True tokens (B, 81) and the weight of each cell's loss (B, 81): 1 where not pinned."""
    truth = torch.from_numpy(pool.solutions[slots.puzzle].astype(np.int64) - 1)
    return truth, torch.from_numpy((slots.status != PINNED).astype(np.float32))
