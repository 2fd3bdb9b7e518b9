"""Problems, tasks and denoisers that several tests share. A new task or denoiser is added here, and the contracts cover it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from solver.denoisers import controls
from solver.denoisers.compact import CompactDenoiser
from solver.denoisers.network import Compact, CompactConfig
from solver.denoisers.protocol import Denoiser
from solver.tasks.sudoku import exact, layout
from solver.tasks.sudoku.task import Sudoku, SudokuTask
from solver.tasks.task import Task

JIGSAW = np.array([int(c) for c in "0011001122332233"])  # 4x4 with boxes, spelled as regions
CROOKED = np.array([int(c) for c in "0001021122132333"])


@dataclass(frozen=True)
class Example:
    """A task with a few problems, and the answer to each where there is one."""

    name: str
    task: Task
    problems: tuple[Any, ...]
    answers: tuple[np.ndarray | None, ...]


def sudoku(name: str, grid: layout.Layout, count: int, seed: int) -> Example:
    puzzles, solutions, _ = exact.generate(grid, count, seed)
    problems = tuple(Sudoku(p) for p in puzzles)
    return Example(name, SudokuTask(grid), problems, tuple(s.astype(np.int64) - 1 for s in solutions))


def examples() -> list[Example]:
    return [
        sudoku("4x4", layout.standard(4), 3, 1),
        sudoku("4x4 jigsaw", layout.jigsaw(CROOKED), 2, 1),
        sudoku("4x4 diagonal", layout.standard(4, diagonal=True), 2, 1),
    ]


def tiny(vocab: int, noise: str = "mask", state: str = "candidate") -> CompactDenoiser:
    """A compact denoiser with random weights."""
    torch.manual_seed(0)
    config = CompactConfig(vocab=vocab, width=8, hidden=16, loops=16, noise=noise, state=state)  # type: ignore[arg-type]
    return CompactDenoiser(Compact(config).eval().requires_grad_(False), name=f"tiny {noise} {state}")


Make = Callable[[int, np.ndarray], Denoiser]  # from the vocabulary and the answer

DENOISERS: dict[str, Make] = {
    "random": lambda vocab, answer: controls.random(vocab),
    "random uniform": lambda vocab, answer: controls.random(vocab, kind="uniform"),
    "prior": lambda vocab, answer: controls.prior(vocab),
    "oracle": lambda vocab, answer: controls.oracle(vocab, answer),
    "oracle uniform": lambda vocab, answer: controls.oracle(vocab, answer, kind="uniform"),
    "adversary": lambda vocab, answer: controls.adversary(vocab),
    "adversary uniform": lambda vocab, answer: controls.adversary(vocab, kind="uniform"),
    "compact": lambda vocab, answer: tiny(vocab),
    "compact uniform": lambda vocab, answer: tiny(vocab, noise="uniform"),
    "compact cell": lambda vocab, answer: tiny(vocab, state="cell"),
}
