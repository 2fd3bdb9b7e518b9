"""Where the Sudoku trainer's canvases come from: the pool of puzzles, and the slots that keep a canvas for a while."""

from __future__ import annotations

from dataclasses import fields
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from solver.models.looped import reading_order
from solver.tasks.sudoku import data, layout
from solver.training import sudoku as canvases
from solver.training.presets import Preset


def build_pool(preset: Preset, folder: Path | None) -> canvases.Pool:
    """Generated minimal puzzles, and the training lines of the files in ``folder`` that the preset's mix names."""
    from solver.tasks.sudoku import exact

    grid = layout.standard(9)
    parts = [exact.generate(grid, preset.pool, preset.seed + 1)[:2]]
    shares = [dict(preset.mix)["generated"]]
    if folder is not None:
        names = tuple(name for name, _ in preset.mix if name != "generated")
        for name, puzzles in data.training_lines(folder, names).items():
            counts, solutions, _ = exact.count_many(grid, puzzles)
            one = counts == 1
            parts.append((puzzles[one], solutions[one]))
            shares.append(dict(preset.mix)[name])
    sizes = np.array([len(part[0]) for part in parts])
    return canvases.Pool(
        puzzles=np.concatenate([part[0] for part in parts]),
        solutions=np.concatenate([part[1] for part in parts]),
        starts=np.concatenate([[0], np.cumsum(sizes)[:-1]]),
        sizes=sizes,
        shares=np.array(shares) / sum(shares),
    )


class Feed:
    """Canvases for the trainer. Everything that changes is in :meth:`state`, so that a run resumes bit for bit."""

    def __init__(self, preset: Preset, pool: canvases.Pool) -> None:
        self.pool, self.preset = pool, preset
        self.rng = np.random.default_rng(preset.seed)
        self.slots = canvases.empty_slots(preset.rows)
        self.plain = preset.compact.causal  # left to right there is nothing but the puzzle and the truth
        self.digest = sha256(pool.puzzles.tobytes()).hexdigest()

    def next(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """``fresh`` (B,) bool, tokens, status, order, truth (B, 81) and the loss weights (B, 81) of the next segment."""
        noise = "none" if self.plain else self.preset.compact.noise
        fresh = canvases.renew(self.slots, self.pool, self.preset.longest, noise, self.rng)
        if self.plain:
            self.put_in_order(np.flatnonzero(fresh))
        truth, weight = canvases.targets(self.slots, self.pool)
        tokens, status, order = (
            torch.from_numpy(a) for a in (self.slots.tokens, self.slots.status, self.slots.order)
        )
        return torch.from_numpy(fresh), tokens, status, order, truth, weight

    def put_in_order(self, rows: NDArray[np.int64]) -> None:
        """The order of new canvases' cells: their own, or that of a solver by logic."""
        if not len(rows):
            return
        drawn = self.slots.puzzle[rows]
        puzzles = self.pool.puzzles[drawn]
        if self.preset.compact.order == "index":
            self.slots.order[rows] = reading_order(torch.from_numpy(puzzles > 0)).numpy()
            return
        from solver.tasks.sudoku import logic

        places = logic.easiest_first(layout.standard(9), puzzles, self.pool.solutions[drawn])
        ranks = np.argsort(places, 1) + 1  # the place of each cell
        self.slots.order[rows] = np.where(puzzles > 0, 0, ranks - (puzzles > 0).sum(1, keepdims=True))

    def advance(self, logits: Tensor) -> Tensor:
        """Age the slots by what the network answered (B, 81, 9); returns the cells (B, 81) whose state is to be reset."""
        truth, weight = canvases.targets(self.slots, self.pool)
        exact = ((logits.argmax(-1) == truth) | (weight == 0)).all(1).numpy()
        self.slots.streak = np.where(exact, self.slots.streak + 1, 0)
        self.slots.age += 1
        if self.plain:
            return torch.zeros(exact.shape[0], canvases.CELLS, dtype=torch.bool)
        return canvases.move(self.slots, self.pool, logits, self.rng)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The tensors and the JSON part of what a checkpoint must keep."""
        tensors = {
            f"slots.{f.name}": torch.from_numpy(getattr(self.slots, f.name).copy())
            for f in fields(self.slots)
        }
        return tensors, {"rng": self.rng.bit_generator.state, "pool": self.digest}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """The inverse of :meth:`state`. Raises ValueError where the pool is another one than the run began with."""
        same_pool(facts, self.digest)
        for f in fields(self.slots):
            setattr(self.slots, f.name, tensors[f"slots.{f.name}"].numpy().copy())
        self.rng.bit_generator.state = facts["rng"]


class SequenceFeed:
    """Puzzles as sequences of (cell, token) pairs, each under a random symmetry: what the looped network has built in, a plain
    transformer has to be shown."""

    def __init__(self, preset: Preset, pool: canvases.Pool) -> None:
        self.pool, self.preset = pool, preset
        self.rng = np.random.default_rng(preset.seed)
        self.digest = sha256(pool.puzzles.tobytes()).hexdigest()

    def next(self) -> tuple[Tensor, Tensor, Tensor]:
        """Cells and tokens (B, 81), givens first, and (B, 81) bool: the pairs that are answers."""
        from solver.tasks.sudoku import logic

        drawn = self.pool.draw(self.rng, self.preset.rows)
        grids = []
        for number in drawn:
            cells, digits = data.random_symmetry(self.rng)
            grids.append(
                (digits[self.pool.puzzles[number][cells]], digits[self.pool.solutions[number][cells]])
            )
        puzzles, solutions = (np.stack(column) for column in zip(*grids, strict=True))
        if self.preset.plain.order == "easiest":
            order = logic.easiest_first(layout.standard(9), puzzles, solutions)
        else:
            order = np.argsort(puzzles == 0, axis=1, kind="stable")
        tokens = np.take_along_axis(solutions, order, 1) - 1
        answers = np.take_along_axis(puzzles == 0, order, 1)
        return torch.from_numpy(order), torch.from_numpy(tokens.astype(np.int64)), torch.from_numpy(answers)

    def state(self) -> dict[str, Any]:
        """The JSON part of what a checkpoint must keep."""
        return {"rng": self.rng.bit_generator.state, "pool": self.digest}

    def restore(self, facts: dict[str, Any]) -> None:
        """The inverse of :meth:`state`. Raises ValueError where the pool is another one than the run began with."""
        same_pool(facts, self.digest)
        self.rng.bit_generator.state = facts["rng"]


def same_pool(facts: dict[str, Any], digest: str) -> None:
    """Raises ValueError where the pool is another one than the run began with."""
    if facts["pool"] != digest:
        raise ValueError("the training data is not what this run began with; resume with the same --data")
