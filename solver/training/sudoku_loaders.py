"""Data loaders of the Sudoku models: canvases that stay for several steps, or whole puzzles as sequences.

>>> examples = puzzle_examples(2, seed=1, folder=None)
>>> loader = SequenceLoader(examples, rows=2, order="index", seed=0)
>>> [tuple(tensor.shape) for tensor in loader.next()]
[(2, 81), (2, 81), (2, 81)]

Shapes: B rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from solver.models.looped import LoopedConfig, reading_order
from solver.tasks.sudoku import data, layout
from solver.training.loaders import Examples, Facts, Loader
from solver.training.preset import Preset
from solver.training.sudoku_canvases import CELLS, CanvasPool, Ints, PuzzlePool

GENERATED_SHARE = 0.40  # of the canvases
FILE_SHARES = {  # of the files of training puzzles, where --data has them
    "royle17_first_half": 0.10,
    "sepb_diabolical_rated": 0.20,
    "forum_hardest_1905_first_half": 0.30,
}


def puzzle_examples(
    count: int,
    seed: int,
    folder: Path | None,
    report: Callable[[int, int], None] = lambda done, total: None,
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
        """``fresh`` (B,) bool; tokens, status, order, truth and loss weights (B, 81) of the next segment."""
        canvases, noise = self.canvases, "none" if self.config.causal else self.config.noise
        fresh = canvases.renew(self.pool, noise, self.rng)
        if self.config.causal and fresh.any():
            self.put_in_order(np.flatnonzero(fresh))
        arrays = (fresh, canvases.tokens, canvases.status, canvases.order)
        return *(torch.from_numpy(array) for array in arrays), *canvases.targets(self.pool)

    def put_in_order(self, rows: Ints) -> None:
        """Set the order of the cells of new canvases: reading order, or the easiest for a logic solver first."""
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
        """Move the canvases on after a segment with ``logits`` (B, 81, 9); (B, 81) bool: cells to be reset."""
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
