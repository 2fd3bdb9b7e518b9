"""Problems, tasks and denoisers that several tests share. A new task or denoiser is added here, and the contracts cover it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from solver.denoisers import controls
from solver.denoisers.compact import CompactDenoiser
from solver.denoisers.diffusion_gemma import DiffusionGemma
from solver.denoisers.embedded import Embedded
from solver.denoisers.masked_lm import MaskedLM
from solver.denoisers.network import Compact, CompactConfig
from solver.denoisers.protocol import Denoiser, TextDenoiser
from solver.tasks.sudoku import exact, layout
from solver.tasks.sudoku.task import Sudoku, SudokuTask
from solver.tasks.task import Task, Wording
from tests import tiny_models

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


def language_model(kind: str, task: Task) -> Denoiser:
    """A tiny language model with random weights, asked for the task in words. Drafts are cut short: they mean nothing."""
    assert isinstance(task, Wording)
    inner: TextDenoiser
    if kind == "gemma":
        inner = DiffusionGemma(tiny_models.gemma(canvas=128))
    else:
        inner = MaskedLM(tiny_models.remote_model(kind), tiny_models.tokenizer().mask_token_id, shift=kind == "tiny_dream")
    inner.policy = replace(inner.policy, rounds=3)
    return Embedded(inner, tiny_models.tokenizer(), task, name=kind)


Make = Callable[[Task, np.ndarray], Denoiser]  # from the task and the answer

DENOISERS: dict[str, Make] = {
    "random": lambda task, answer: controls.random(task.vocab),
    "random uniform": lambda task, answer: controls.random(task.vocab, kind="uniform"),
    "prior": lambda task, answer: controls.prior(task.vocab),
    "oracle": lambda task, answer: controls.oracle(task.vocab, answer),
    "oracle uniform": lambda task, answer: controls.oracle(task.vocab, answer, kind="uniform"),
    "adversary": lambda task, answer: controls.adversary(task.vocab),
    "adversary uniform": lambda task, answer: controls.adversary(task.vocab, kind="uniform"),
    "compact": lambda task, answer: tiny(task.vocab),
    "compact uniform": lambda task, answer: tiny(task.vocab, noise="uniform"),
    "compact cell": lambda task, answer: tiny(task.vocab, state="cell"),
    "diffusion_gemma": lambda task, answer: language_model("gemma", task),
    "masked_lm": lambda task, answer: language_model("tiny_llada", task),
    "masked_lm shifted": lambda task, answer: language_model("tiny_dream", task),
}
