"""The left-to-right loop of all baselines, and its use for a task's canvases.

:func:`decode_rows` is the loop. A *run* adapts a network: it keeps a KV cache of several cache rows, each of
which holds one problem at a time, and computes the logits of each problem's next cell. A *guide* chooses the
next token of each row. There are guides for a task's elimination (here), for an automaton and for free text
(json.py), and for the holes of a code window (code.py). A *forward* computes one token of one row.

:func:`decode` applies the loop to the problems of a task, with the same verifier as for the denoisers:

    >>> from solver.baseline.cells import looped_decoder
    >>> from solver.models.looped import LoopedConfig, LoopedNetwork
    >>> from solver.tasks.sudoku import layout
    >>> from solver.tasks.sudoku.task import Sudoku, SudokuTask
    >>> task, network = SudokuTask(layout.standard(4)), LoopedNetwork(LoopedConfig(vocab=4, causal=True))
    >>> problem = Sudoku(np.array([1, 2, 3, 4, 3, 4, 1, 2, 2, 1, 4, 3, 4, 3, 2, 0]))
    >>> ((_, decoded),) = decode(task, [problem], looped_decoder(network), checks="mask")
    >>> decoded.outcome.status, decoded.path
    ('solved', ((15, 0),))

Shapes: N rows of a call, L cells, V tokens, W words of a bitmask.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from solver.errors import ModelError
from solver.kernels import reference
from solver.loop.logits import allow
from solver.loop.trace import Budget, Counters, Outcome, Status
from solver.tasks.task import Canvas, Eliminates, Mask, Task, Tokens

Checks = Literal["none", "mask", "backtrack"]


class DecoderRun(Protocol):
    """A left-to-right model with a KV cache of several cache rows; each holds one problem at a time."""

    def begin(self, cache_row: int, number: int) -> int:
        """Replace the contents of a cache row by the given cells of problem ``number``. Return the FLOPs."""

    def next(self, cache_rows: Tensor, known: Tensor) -> tuple[Tensor, Tensor, list[int]]:
        """Return the next cell (N,) of each row given the ``known`` cells (N, L), its fp32 logits (N, V), and
        the FLOPs per row.

        Runs over texts ignore ``known``: they always continue after the last token.
        """

    def put(self, cache_rows: Tensor, cells: Tensor, tokens: Tensor, num_before: Tensor) -> None:
        """Feed ``tokens`` (N,) for ``cells`` (N,).

        num_before: (N,), how many cells of the row were already known, pinned ones included.
        """


@dataclass(frozen=True)
class Decoder:
    """A left-to-right model for canvases.

    name: name of the model in tables.
    start: starts a run over canvases of one shape. Its arguments are the number of cache rows, the canvases,
        and the seed of the model's noise.
    """

    name: str
    start: Callable[[int, Sequence[Canvas], int], DecoderRun]


class Choice(NamedTuple):
    """A token for a cell.

    num_before: how many cells of the row were already known, pinned ones included.
    """

    cell: int
    token: int
    num_before: int


@dataclass(eq=False, kw_only=True)
class DecoderRow:
    """A problem that is being decoded.

    number: number of the problem.
    known: (L,), which cells are known. Empty for runs over texts, which ignore it.
    cache_row: row of the decoder's KV cache; -1 before the start.
    done: whether the row is finished. The guide sets it, and the row then leaves the batch.
    counters: cost so far.
    """

    number: int
    known: Mask = field(default_factory=lambda: np.zeros(0, bool))
    cache_row: int = -1
    done: bool = False
    counters: Counters = field(default_factory=Counters)


R = TypeVar("R", bound=DecoderRow)
Guided = TypeVar("Guided", bound=DecoderRow, contravariant=True)


class Guide(Protocol[Guided]):
    """Chooses the tokens, and decides when a row is done."""

    def choose(self, rows: Sequence[Guided], cells: Tensor, logits: Tensor) -> Sequence[Choice | None]:
        """Return for each row the choice to feed to the decoder, or None if the row is done.

        cells: (N,), the next cell of each row. A guide that backtracks may choose for another cell.
        logits: (N, V), logits of these cells.
        """


def decode_rows(run: DecoderRun, guide: Guide[R], rows: Sequence[R], num_cache_rows: int) -> Iterator[R]:
    """Decode ``rows``, at most ``num_cache_rows`` at a time, and yield each when it is done."""
    waiting, free = iter(rows), list(range(num_cache_rows))[::-1]
    running: list[R] = []
    while True:
        # rows that were done before they started take no cache row
        while free and (row := next(waiting, None)) is not None:
            if not row.done:
                row.cache_row = free.pop()
                row.counters.flops += run.begin(row.cache_row, row.number)
                row.counters.calls += 1
            running.append(row)
        if not running:
            return
        if active := [row for row in running if not row.done]:
            step(run, guide, active)
        for row in running:
            if row.done:
                if row.cache_row >= 0:
                    free.append(row.cache_row)
                yield row
        running = [row for row in running if not row.done]


def step(run: DecoderRun, guide: Guide[R], rows: Sequence[R]) -> None:
    cache_rows = torch.tensor([row.cache_row for row in rows])
    known = torch.from_numpy(np.stack([row.known for row in rows]))
    cells, logits, flops = run.next(cache_rows, known)
    if logits.isnan().any():
        raise ModelError("the left-to-right model's logits are NaN: its weights may be damaged")
    for row, cost in zip(rows, flops, strict=True):
        row.counters.forwards += 1
        row.counters.calls += 1
        row.counters.flops += cost
    choices = guide.choose(rows, cells, logits)
    if fed := [
        (row.cache_row, *choice) for row, choice in zip(rows, choices, strict=True) if choice is not None
    ]:
        run.put(*(torch.tensor(column) for column in zip(*fed, strict=True)))


@dataclass(frozen=True, eq=False)
class Decoded:
    """An outcome, and ``path``: the choices (cell, token) that were not undone, in the order of choice."""

    outcome: Outcome
    path: tuple[tuple[int, int], ...]


@dataclass(eq=False, kw_only=True)
class CanvasRow(DecoderRow):
    """A canvas that is being decoded.

    canvas: the encoded problem.
    tokens, confidence: (L,), tokens of the known cells, and the probabilities of the chosen tokens.
    status: status of the outcome, None until the row is done.
    path: chosen cells, in the order of choice.
    untried: for each cell on the path, the tokens that are left to try, the likeliest first.
    """

    canvas: Canvas
    tokens: Tokens
    confidence: np.ndarray
    status: Status | None = None
    path: list[int] = field(default_factory=list)
    untried: list[list[int]] = field(default_factory=list)

    @staticmethod
    def of(number: int, canvas: Canvas) -> CanvasRow:
        known = canvas.pinned.copy()
        tokens, confidence = np.where(known, canvas.tokens, 0), np.zeros(canvas.num_cells, np.float32)
        return CanvasRow(number=number, known=known, canvas=canvas, tokens=tokens, confidence=confidence)

    def put(self, cell: int, token: int, untried: list[int]) -> None:
        self.tokens[cell], self.known[cell] = token, True
        self.path.append(cell)
        self.untried.append(untried)

    def take_back(self) -> bool:
        """Undo choices up to the last with an untried token; choose that. Return False if there is none."""
        while self.path:
            cell, untried = self.path.pop(), self.untried.pop()
            self.known[cell] = False
            self.counters.remasked += 1
            if untried:
                self.counters.decisions += 1
                self.put(cell, untried[0], untried[1:])
                return True
        return False

    def end(self, status: Status) -> None:
        self.status, self.done = status, True

    def decoded(self) -> Decoded:
        assert self.status is not None
        self.counters.seconds = time.perf_counter() - self.counters.started
        # each decision opened one more branch after the first, and all of them are refuted
        proof = self.counters.decisions + 1 if self.status == "unsatisfiable" else None
        path = tuple((cell, int(self.tokens[cell])) for cell in self.path)
        return Decoded(
            Outcome(self.status, self.tokens, (), self.confidence, self.counters, proof=proof), path
        )


@dataclass(frozen=True, eq=False)
class CanvasGuide:
    """Chooses the likeliest token that the checks allow; see :func:`decode` for ``checks`` and ``budget``."""

    task: Task
    problems: Sequence[Any]
    checks: Checks
    budget: Budget

    def choose(self, rows: Sequence[CanvasRow], cells: Tensor, logits: Tensor) -> list[Choice | None]:
        """Choose for each row, or backtrack. Finish the rows that are complete or out of budget."""
        allowed = self.allowed(rows, cells, logits.shape[-1])
        probabilities = logits.float().softmax(-1)
        ranked = probabilities.sort(stable=True, dim=-1, descending=True).indices.tolist()
        for n, (row, cell) in enumerate(zip(rows, cells.tolist(), strict=True)):
            tokens = [token for token in ranked[n] if allowed[n, token]]
            if tokens or self.checks != "backtrack":
                best = (tokens or ranked[n])[0]
                row.put(cell, best, tokens[1:])
                row.confidence[cell] = float(probabilities[n, best])
            elif not row.take_back():
                row.end("unsatisfiable")
                continue
            self.conclude(row)
        return [
            None
            if row.done
            else Choice(cell := row.path[-1], int(row.tokens[cell]), int(row.known.sum()) - 1)
            for row in rows
        ]

    def allowed(self, rows: Sequence[CanvasRow], cells: Tensor, vocab: int) -> Tensor:
        """Return which tokens (N, V) the checks allow in ``cells`` (N,)."""
        eliminator = self.task if self.checks != "none" and isinstance(self.task, Eliminates) else None
        tokens, known = (np.stack([getattr(row, name) for row in rows]) for name in ("tokens", "known"))
        packed = allow(eliminator, [row.canvas for row in rows], tokens, known, vocab)
        if packed is None:
            return torch.ones(len(rows), vocab, dtype=torch.bool)
        return reference.unpack(torch.from_numpy(packed[np.arange(len(rows)), cells.numpy()]), vocab)

    def conclude(self, row: CanvasRow) -> None:
        """Finish the row if its canvas is full or its budget is spent.

        A full canvas is "solved" if the verifier accepts it. If the verifier refuses it, the row is
        "exhausted"; but with ``checks="backtrack"`` a choice is undone and the row continues, or it is
        "unsatisfiable" if no choice is left to undo.
        """
        if row.known.all():
            if self.task.verify(self.problems[row.number], row.tokens):
                row.end("solved")
            elif self.checks != "backtrack":
                row.end("exhausted")
            elif not row.take_back():  # full and without a direct conflict, but refused by the verifier
                row.end("unsatisfiable")
        if not row.done and self.budget.is_spent(row.counters):
            row.end("exhausted")


def decode(
    task: Task,
    problems: Sequence[Any],
    decoder: Decoder,
    checks: Checks = "none",
    budget: Budget | None = None,
    seed: int = 0,
    batch: int = 64,
) -> Iterator[tuple[int, Decoded]]:
    """Decode the canvases of ``problems``. Yield (number of the problem, result) as soon as each is done.

    task: encodes and verifies the problems.
    problems: the problems; their canvases have one shape.
    decoder: the left-to-right model.
    checks: which token is chosen. "none": the likeliest. "mask": the likeliest without a direct conflict with
        the known cells, or the likeliest of all if every token conflicts. "backtrack": as "mask", but if
        every token conflicts, the last choice is undone and its next likeliest token is tried. Like the
        search of the denoisers, this finds a solution if there is one and the budget suffices.
    budget: limits of each problem. None: the default limits.
    seed: seed of the decoder's noise.
    batch: number of problems that are decoded together.
    """
    canvases = [task.encode(problem) for problem in problems]
    if not canvases:
        return
    guide = CanvasGuide(task, problems, checks, budget or Budget())
    rows = [CanvasRow.of(number, canvas) for number, canvas in enumerate(canvases)]
    for row in rows:
        if row.known.all():
            guide.conclude(row)
    num_cache_rows = min(batch, len(canvases))
    run = decoder.start(num_cache_rows, canvases, seed)
    for row in decode_rows(run, guide, rows, num_cache_rows):
        yield row.number, row.decoded()
