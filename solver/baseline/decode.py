"""The left-to-right loop of all baselines, and its use for a task's canvases.

:func:`decode_rows` is the loop. A *run* adapts a network: it keeps a cache of several slots and gives the
logits of each slot's next cell. A *guide* chooses the next token of each row, under its rules: a task's
elimination (here), an automaton or no rules (json.py), the holes of a code window (code.py). A *forward* is
one token, with a cache.

:func:`decode` runs it for the problems of a task, under the same checks and verifier as the denoisers:

    >>> from solver.baseline.looped import looped_decoder
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

from solver.kernels import reference
from solver.loop.prediction import allow
from solver.loop.trace import Budget, Counters, Outcome, Status
from solver.tasks.task import Canvas, Eliminates, Mask, Task, Tokens

Checks = Literal["none", "mask", "backtrack"]


class DecoderRun(Protocol):
    """A left-to-right model at work on some problems, with a cache of several slots, each for one at a
    time."""

    def begin(self, slot: int, number: int) -> int:
        """Read what is given in problem ``number`` into a slot, replacing its contents; returns the FLOPs."""

    def next(self, slots: Tensor, known: Tensor) -> tuple[Tensor, Tensor, list[int]]:
        """The cells (N,) that come next after the ``known`` (N, L), fp32 logits (N, V) there, and FLOPs per
        row.

        Runs over texts, where the next cell is the one after the last, ignore ``known``.
        """

    def put(self, slots: Tensor, cells: Tensor, tokens: Tensor, places: Tensor) -> None:
        """Put ``tokens`` (N,) into ``cells`` (N,), after ``places`` (N,) earlier ones, given cells
        included."""


@dataclass(frozen=True)
class Decoder:
    """A left-to-right model for canvases.

    name: in tables.
    start: makes a run over canvases of one shape; arguments: slots, canvases, and the seed of noise.
    """

    name: str
    start: Callable[[int, Sequence[Canvas], int], DecoderRun]


class Choice(NamedTuple):
    """A token for a cell, and how many cells were known before it."""

    cell: int
    token: int
    place: int


@dataclass(eq=False, kw_only=True)
class DecoderRow:
    """A problem under way.

    number: of the problem.
    known: (L,), of the cells, where a decoder needs them.
    slot: in the decoder's state.
    done: set by the guide; the row leaves the batch.
    """

    number: int
    known: Mask = field(default_factory=lambda: np.zeros(0, bool))
    slot: int = -1
    done: bool = False
    counters: Counters = field(default_factory=Counters)


R = TypeVar("R", bound=DecoderRow)
Guided = TypeVar("Guided", bound=DecoderRow, contravariant=True)


class Guide(Protocol[Guided]):
    """Chooses tokens, and decides when a row is done."""

    def choose(self, rows: Sequence[Guided], cells: Tensor, logits: Tensor) -> Sequence[Choice | None]:
        """For each row a choice to feed to the decoder, or None for a row that is done.

        cells: (N,), proposed by the decoder; a guide that backtracks may choose for another.
        logits: (N, V).
        """


def decode_rows(run: DecoderRun, guide: Guide[R], rows: Sequence[R], slots: int) -> Iterator[R]:
    """Decode ``rows``, at most ``slots`` at a time; yields each when it is done."""
    waiting, free = iter(rows), list(range(slots))[::-1]
    running: list[R] = []
    while True:
        # rows that were done before they started take no slot
        while free and (row := next(waiting, None)) is not None:
            if not row.done:
                row.slot = free.pop()
                row.counters.flops += run.begin(row.slot, row.number)
                row.counters.calls += 1
            running.append(row)
        if not running:
            return
        if asked := [row for row in running if not row.done]:
            step(run, guide, asked)
        for row in running:
            if row.done:
                if row.slot >= 0:
                    free.append(row.slot)
                yield row
        running = [row for row in running if not row.done]


def step(run: DecoderRun, guide: Guide[R], rows: Sequence[R]) -> None:
    """One token for each row."""
    slots = torch.tensor([row.slot for row in rows])
    known = torch.from_numpy(np.stack([row.known for row in rows]))
    cells, logits, flops = run.next(slots, known)
    for row, cost in zip(rows, flops, strict=True):
        row.counters.forwards += 1
        row.counters.calls += 1
        row.counters.flops += cost
    choices = guide.choose(rows, cells, logits)
    if fed := [(row.slot, *choice) for row, choice in zip(rows, choices, strict=True) if choice is not None]:
        run.put(*(torch.tensor(column) for column in zip(*fed, strict=True)))


@dataclass(frozen=True, eq=False)
class Decoded:
    """An outcome, and the choices that hold at its end, in order: (cell, token)."""

    outcome: Outcome
    path: tuple[tuple[int, int], ...]


@dataclass(eq=False, kw_only=True)
class CanvasRow(DecoderRow):
    """A canvas under way.

    tokens, confidence: (L,), of the known cells.
    path: cells in the order of their choices.
    untried: for each choice on the path, the other tokens, the likeliest first.
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
        """Choose ``token`` for ``cell``."""
        self.tokens[cell], self.known[cell] = token, True
        self.path.append(cell)
        self.untried.append(untried)

    def take_back(self) -> bool:
        """Replace the last choice that has another token left; False where none has."""
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
        """Set the outcome's status."""
        self.status, self.done = status, True

    def decoded(self) -> Decoded:
        assert self.status is not None
        self.counters.seconds = time.perf_counter() - self.counters.started
        proof = self.counters.decisions + 1 if self.status == "unsatisfiable" else None
        path = tuple((cell, int(self.tokens[cell])) for cell in self.path)
        return Decoded(Outcome(self.status, self.tokens, (), self.confidence, self.counters, proof), path)


@dataclass(frozen=True, eq=False)
class CanvasGuide:
    """Chooses the likeliest tokens of canvases, under a task's checks."""

    task: Task
    problems: Sequence[Any]
    checks: Checks
    budget: Budget

    def choose(self, rows: Sequence[CanvasRow], cells: Tensor, logits: Tensor) -> list[Choice | None]:
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
        """Which tokens (N, V) the ``cells`` (N,) may hold."""
        eliminator = self.task if self.checks != "none" and isinstance(self.task, Eliminates) else None
        tokens, known = (np.stack([getattr(row, name) for row in rows]) for name in ("tokens", "known"))
        packed = allow(eliminator, [row.canvas for row in rows], tokens, known, vocab)
        if packed is None:
            return torch.ones(len(rows), vocab, dtype=torch.bool)
        return reference.unpack(torch.from_numpy(packed[np.arange(len(rows)), cells.numpy()]), vocab)

    def conclude(self, row: CanvasRow) -> None:
        """End a row whose canvas is full and verified, whose alternatives are used up, or whose budget is
        spent."""
        if row.known.all():
            if self.task.verify(self.problems[row.number], row.tokens):
                row.end("solved")
            elif self.checks != "backtrack":
                row.end("exhausted")
            elif not row.take_back():  # full, without a direct conflict, and no solution
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
    """Decode the canvases of ``problems``; yields (number, outcome) in the order in which they are done.

    checks: "none", the likeliest token each time; "mask", the likeliest token without a direct conflict with
        the known cells, or the likeliest of all if every token conflicts; "backtrack", if every token conflicts,
        the last choice is undone and its next likeliest token tried. This one is complete, like the search of
        the denoisers.
    budget: limits of each problem.
    seed: seed of the decoder's noise.
    batch: problems decoded together.
    """
    canvases = [task.encode(problem) for problem in problems]
    if not canvases:
        return
    guide = CanvasGuide(task, problems, checks, budget or Budget())
    rows = [CanvasRow.of(number, canvas) for number, canvas in enumerate(canvases)]
    for row in rows:
        if row.known.all():
            guide.conclude(row)
    slots = min(batch, len(canvases))
    for row in decode_rows(decoder.start(slots, canvases, seed), guide, rows, slots):
        yield row.number, row.decoded()
