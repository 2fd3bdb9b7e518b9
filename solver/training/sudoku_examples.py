"""Puzzles for the Sudoku models, and their data loaders: canvases kept for several steps, or sequences.

The denoiser is trained on canvases in every condition that the loop can bring them to. A canvas stays in the
pool for several segments, its hidden state carried along. New canvases are plain puzzles, puzzles with
accepted cells (some of them wrong), and full grids with errors and no pinned clue. Between segments the
loop's own moves are applied: a decision on the cell whose two best tokens are closest, taken from the truth
or from the network's belief, and re-masking. The loss is on every cell that is not pinned, wrong visible ones
included.

>>> examples = puzzle_examples(2, seed=1, folder=None)
>>> loader = SequenceLoader(examples, rows=2, order="index", seed=0)
>>> [tuple(tensor.shape) for tensor in loader.next()]
[(2, 81), (2, 81), (2, 81)]

Shapes: B rows of the pool or of a batch, N puzzles.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from solver.models.blocks import KNOWN, NOISE, OPEN, PINNED
from solver.models.looped import LoopedConfig, reading_order
from solver.tasks.sudoku import data, layout
from solver.training.loaders import Examples, Facts, Loader, Report
from solver.training.preset import Preset

Int8 = NDArray[np.int8]
Ints = NDArray[np.int64]
CELLS, DIGITS = 81, 9
MAX_AGE = 10  # segments
GENERATED_SHARE = 0.40  # of the canvases
FILE_SHARES = {  # of the files of training puzzles, where --data has them
    "royle17_first_half": 0.10,
    "sepb_diabolical_rated": 0.20,
    "forum_hardest_1905_first_half": 0.30,
}


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
    tokens[cells] = (tokens[cells] + rng.integers(1, DIGITS, len(cells))) % DIGITS


def puzzle_examples(
    count: int,
    seed: int,
    folder: Path | None,
    report: Report = lambda done, total: None,
) -> Examples:
    """Make the arrays of a :class:`PuzzlePool`.

    Args:
        count: number of minimal puzzles to generate.
        seed: of the generated puzzles.
        folder: with files of puzzles, whose training lines are added; None for generated puzzles only.
        report: called with the number of puzzles so far, and in all.
    """
    from solver.tasks.sudoku import exact

    grid = layout.standard(9)
    generated = []
    for number, (puzzle, solution, _) in enumerate(exact.generate_each(grid, count, seed), 1):
        generated.append((puzzle, solution))
        report(number, count)
    puzzles, solutions = (np.stack(column) for column in zip(*generated, strict=True))
    parts, shares = [(puzzles, solutions)], [GENERATED_SHARE]
    if folder is not None:
        for name, lines in data.training_lines(folder, tuple(FILE_SHARES)).items():
            counts, answers, _ = exact.count_many(grid, lines)
            parts.append((lines[counts == 1], answers[counts == 1]))
            shares.append(FILE_SHARES[name])
    sizes = np.array([len(part[0]) for part in parts])
    return {
        "puzzles": np.concatenate([part[0] for part in parts]),
        "solutions": np.concatenate([part[1] for part in parts]),
        "starts": np.concatenate([[0], np.cumsum(sizes)[:-1]]),
        "sizes": sizes,
        "shares": np.array(shares) / sum(shares),
    }


class PuzzleLoader(Loader):
    """Canvases of the looped network; the causal form gets the puzzles alone.

    Args:
        examples: of :func:`puzzle_examples`.
        preset: of the run.
    """

    def __init__(self, examples: Examples, preset: Preset[LoopedConfig]) -> None:
        self.pool, self.config = PuzzlePool(**examples), preset.network
        super().__init__(examples, np.random.default_rng(preset.seed), self.pool.sizes.tolist())
        self.canvases = CanvasPool.empty(preset.rows)

    def next(self) -> tuple[Tensor, ...]:
        """``fresh`` (B,); tokens, status, order, truth and loss weights (B, 81) of the next segment."""
        canvases, noise = self.canvases, "none" if self.config.causal else self.config.noise
        fresh = canvases.renew(self.pool, noise, self.rng)
        if self.config.causal and fresh.any():
            self.put_in_order(np.flatnonzero(fresh))
        arrays = (fresh, canvases.tokens, canvases.status, canvases.order)
        return *(torch.from_numpy(array) for array in arrays), *canvases.targets(self.pool)

    def put_in_order(self, rows: Ints) -> None:
        """Set the order of new canvases' cells: reading order, or the easiest for a logic solver first."""
        numbers = self.canvases.puzzle[rows]
        puzzles = self.pool.puzzles[numbers]
        if self.config.order == "index":
            self.canvases.order[rows] = reading_order(torch.from_numpy(puzzles > 0)).numpy()
            return
        from solver.tasks.sudoku import logic

        cells = logic.easiest_first(layout.standard(9), puzzles, self.pool.solutions[numbers])
        ranks = np.argsort(cells, 1) + 1 - (puzzles > 0).sum(1, keepdims=True)
        self.canvases.order[rows] = np.where(puzzles > 0, 0, ranks)

    def advance(self, logits: Tensor) -> Tensor:
        """Age the canvases by a segment with ``logits`` (B, 81, 9); (B, 81) bool: cells to be reset."""
        truth, weight = self.canvases.targets(self.pool)
        exact = ((logits.argmax(-1) == truth) | (weight == 0)).all(1).numpy()
        self.canvases.streak = np.where(exact, self.canvases.streak + 1, 0)
        self.canvases.age += 1
        if self.config.causal:
            return torch.zeros(len(exact), CELLS, dtype=torch.bool)
        return self.canvases.move(self.pool, logits, self.rng)

    def state(self) -> tuple[dict[str, Tensor], Facts]:
        names = [field.name for field in fields(CanvasPool)]
        tensors = {
            f"canvases.{name}": torch.from_numpy(getattr(self.canvases, name).copy()) for name in names
        }
        return tensors, super().state()[1]

    def restore(self, tensors: dict[str, Tensor], facts: Facts) -> None:
        super().restore(tensors, facts)
        for field in fields(CanvasPool):
            setattr(self.canvases, field.name, tensors[f"canvases.{field.name}"].numpy().copy())


class SequenceLoader(Loader):
    """Puzzles as sequences of (cell, token) pairs, each under a random symmetry.

    The looped network has the symmetries built in; a plain transformer has to learn them.

    Args:
        examples: of :func:`puzzle_examples`.
        rows: puzzles of a batch.
        order: of the answers.
        seed: of the batches.
    """

    def __init__(self, examples: Examples, rows: int, order: Literal["index", "easiest"], seed: int) -> None:
        self.pool, self.rows, self.order = PuzzlePool(**examples), rows, order
        super().__init__(examples, np.random.default_rng(seed), self.pool.sizes.tolist())

    def next(self) -> tuple[Tensor, ...]:
        """Cells and tokens (B, 81), givens first, and (B, 81) bool: the pairs that are answers."""
        from solver.tasks.sudoku import logic

        grids = []
        for number in self.pool.draw(self.rng, self.rows):
            cells, digits = data.random_symmetry(self.rng)
            grids.append(
                (digits[self.pool.puzzles[number][cells]], digits[self.pool.solutions[number][cells]])
            )
        puzzles, solutions = (np.stack(column) for column in zip(*grids, strict=True))
        if self.order == "easiest":
            order = logic.easiest_first(layout.standard(9), puzzles, solutions)
        else:
            order = np.argsort(puzzles == 0, axis=1, kind="stable")
        tokens = np.take_along_axis(solutions, order, 1) - 1
        answers = np.take_along_axis(puzzles == 0, order, 1)
        return torch.from_numpy(order), torch.from_numpy(tokens.astype(np.int64)), torch.from_numpy(answers)
