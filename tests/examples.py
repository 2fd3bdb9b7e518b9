"""Problems, tasks and denoisers that several tests share. A new task or denoiser is added here, and the contracts cover it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from solver.llm.diffusion_gemma import DiffusionGemma
from solver.llm.embedded import Embedded
from solver.llm.masked_lm import MaskedLM
from solver.loop.policy import Policy
from solver.loop.refine import refine
from solver.loop.trace import Budget, Outcome, Step
from solver.models import controls
from solver.models.code_network import CodeConfig, CodeNetwork
from solver.models.json_network import JsonConfig, JsonNetwork
from solver.models.looped import LoopedConfig, LoopedNetwork
from solver.models.looped_denoiser import LoopedDenoiser
from solver.models.mask_denoisers import CodeDenoiser, JsonDenoiser
from solver.models.protocol import Denoiser, TextDenoiser
from solver.models.reader import ReaderConfig, ReaderNetwork
from solver.models.reader_denoiser import ReaderDenoiser
from solver.tasks.code_edit.task import CodeTask, EditProblem
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.task import JsonTask
from solver.tasks.languages.projection import BLANK
from solver.tasks.sudoku import exact, layout
from solver.tasks.sudoku.task import Sudoku, SudokuTask
from solver.tasks.task import Task, Wording
from tests import tiny_models

JIGSAW = np.array([int(c) for c in "0011001122332233"])  # 4x4 with boxes, spelled as regions
CROOKED = np.array([int(c) for c in "0001021122132333"])


@dataclass(frozen=True)
class Example:
    """A task with a few problems, and an answer to each; ``unique``: the only one."""

    name: str
    task: Task
    problems: tuple[Any, ...]
    answers: tuple[np.ndarray, ...]
    unique: bool = True


def sudoku(name: str, grid: layout.Layout, count: int, seed: int) -> Example:
    puzzles, solutions, _ = exact.generate_puzzles(grid, count, seed)
    problems = tuple(Sudoku(p) for p in puzzles)
    return Example(name, SudokuTask(grid), problems, tuple(s.astype(np.int64) - 1 for s in solutions))


def json_schema() -> Example:
    schema = {
        "type": "object",
        "properties": {"a": {"enum": [1, 23]}, "b": {"type": "boolean"}},
        "required": ["a", "b"],
    }
    form = JsonProblem.of(schema, length=24)
    text = b'{"a":23,"b":true}'
    return Example(
        "json", JsonTask(), (form,), (np.array([*text, *[BLANK] * (24 - len(text))]),), unique=False
    )


def code() -> Example:
    """One cell: whoever knows nothing has to go through the vocabulary."""
    source = "def double(self):\n    return 2 * self\n"
    at = source.rindex("self")
    edit = EditProblem.of(source, [(at, at + 4)], [1], 48)
    answer = edit.window.tokens.copy()
    answer[edit.window.slots[0][0]] = edit.window.encode_fill(0, "self").item()
    return Example("code", CodeTask(), (edit,), (answer,), unique=False)


def examples() -> list[Example]:
    return [
        sudoku("4x4", layout.standard(4), 3, 1),
        sudoku("4x4 jigsaw", layout.jigsaw(CROOKED), 2, 1),
        sudoku("4x4 diagonal", layout.standard(4, diagonal=True), 2, 1),
        json_schema(),
        code(),
    ]


def tiny(vocab: int, noise: str = "mask") -> LoopedDenoiser:
    """A looped denoiser with random weights."""
    torch.manual_seed(0)
    config = LoopedConfig(vocab=vocab, width=8, hidden=16, loops=16, noise=noise)  # type: ignore[arg-type]
    return LoopedDenoiser(LoopedNetwork(config).eval().requires_grad_(False), name=f"tiny {noise}")


def language_model(kind: str, task: Task) -> Denoiser:
    """A tiny language model with random weights, asked for the task in words. Drafts are cut short: they mean nothing."""
    assert isinstance(task, Wording)
    inner: TextDenoiser
    if kind == "gemma":
        inner = DiffusionGemma(tiny_models.gemma(canvas=128))
    else:
        inner = MaskedLM(
            tiny_models.remote_model(kind), tiny_models.tokenizer().mask_token_id, shift=kind == "tiny_dream"
        )
    inner.policy = inner.policy.with_(rounds=3)
    return Embedded(inner, tiny_models.tokenizer(), task, name=kind)


def form_denoiser() -> JsonDenoiser:
    torch.manual_seed(0)
    return JsonDenoiser(
        JsonNetwork(JsonConfig(width=16, hidden=16, heads=2, readers=1, layers=1, offsets=8, words=64)).eval()
    )


def field_reader() -> ReaderDenoiser:
    torch.manual_seed(0)
    return ReaderDenoiser(ReaderNetwork(ReaderConfig(width=16, hidden=16, layers=1, heads=2)).eval())


def code_denoiser() -> CodeDenoiser:
    torch.manual_seed(0)
    return CodeDenoiser(CodeNetwork(CodeConfig(width=16, hidden=16, heads=2, layers=1, offsets=8)))


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
    "diffusion_gemma": lambda task, answer: language_model("gemma", task),
    "masked_lm": lambda task, answer: language_model("tiny_llada", task),
    "masked_lm shifted": lambda task, answer: language_model("tiny_dream", task),
    "form": lambda task, answer: form_denoiser(),
    "reader": lambda task, answer: field_reader(),
    "code": lambda task, answer: code_denoiser(),
}
SUDOKU = [name for name in DENOISERS if name not in ("form", "reader", "code")]


def suited(task: Task, name: str) -> bool:
    """Whether a denoiser is for a task: those of groups, of words, of forms and of pages for theirs, the others for all."""
    if name.startswith("compact"):
        return isinstance(task, SudokuTask)
    if name in ("diffusion_gemma", "masked_lm", "masked_lm shifted"):
        return isinstance(task, Wording)
    own = {"form": JsonTask, "reader": JsonTask, "code": CodeTask}.get(name)
    return own is None or isinstance(task, own)


def pairs() -> list[tuple[Example, str]]:
    """Every task with every denoiser that is for it."""
    return [(example, name) for example in examples() for name in DENOISERS if suited(example.task, name)]


FOUR = SudokuTask(layout.standard(4))


def run_loop(
    task: Task,
    problem: Any,
    denoiser: Denoiser,
    policy: Policy | None = None,
    budget: Budget | None = None,
    seed: int = 0,
) -> tuple[list[Step], Outcome]:
    """The steps of a problem, and its outcome."""
    *steps, outcome = refine(task, problem, denoiser, policy, budget, seed)
    assert isinstance(outcome, Outcome)
    return steps, outcome  # type: ignore[return-value]  # only the last event is an outcome
