"""The left-to-right baseline: one token at a time, each from what stands before it, under the same task and the same judge.

    for number, decoded in decode(task, problems, decoder, checks="backtrack"):
        ...

checks: "none", the likeliest token each time; "mask", the likeliest that does not conflict directly with what stands (where
nothing is left, the likeliest all the same); "backtrack", where nothing is left the last choice is taken back and its next
likeliest token tried: complete, like the search of the denoiser. A *forward* is one token, with a cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from solver.kernels import reference
from solver.loop.prediction import allow
from solver.loop.trace import Budget, Counters, Outcome
from solver.tasks.canvas import Canvas, Mask, Tokens
from solver.tasks.task import Eliminates, Task

Checks = Literal["none", "mask", "backtrack"]


class Decoder(Protocol):
    """A left-to-right model with a cache of several slots, one a problem. Shapes: N slots of a call, L cells, V tokens."""

    name: str

    def allocate(self, slots: int, like: Canvas) -> Any:
        """Caches for ``slots`` canvases of one shape."""

    def begin(self, state: Any, slot: int, canvas: Canvas, seed: int) -> int:
        """Read a canvas's pinned cells into a slot, whatever it held before; the FLOPs that took."""

    def next(self, state: Any, slots: Tensor, known: Tensor) -> tuple[Tensor, Tensor, list[int]]:
        """The cells (N,) that come next after the ``known`` (N, L), fp32 logits (N, V) there, and the FLOPs of each slot."""

    def say(self, state: Any, slots: Tensor, cells: Tensor, tokens: Tensor, places: Tensor) -> None:
        """Put ``tokens`` (N,) into ``cells`` (N,); ``places`` (N,) of them were known before, pinned ones included."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """An outcome, and the choices that stand at its end, in order: (cell, token)."""

    outcome: Outcome
    path: tuple[tuple[int, int], ...]


@dataclass(eq=False)
class Row:
    """A problem under way. rest: for each choice on the path, the tokens not tried yet, the likeliest first."""

    number: int
    slot: int
    canvas: Canvas
    known: Mask
    tokens: Tokens
    confidence: np.ndarray
    path: list[int] = field(default_factory=list)
    rest: list[list[int]] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)

    def put(self, cell: int, token: int, rest: list[int]) -> None:
        """Choose ``token`` for ``cell``, keeping the ``rest`` for later."""
        self.tokens[cell], self.known[cell] = token, True
        self.path.append(cell)
        self.rest.append(rest)

    def take_back(self) -> bool:
        """Replace the last choice that has another token left; False where none has."""
        while self.path:
            cell, rest = self.path.pop(), self.rest.pop()
            self.known[cell] = False
            self.counters.remasked += 1
            if rest:
                self.counters.decisions += 1
                self.put(cell, rest[0], rest[1:])
                return True
        return False

    def outcome(self, status: Any) -> Decoded:
        self.counters.stop_clock()
        proof = self.counters.decisions + 1 if status == "unsatisfiable" else None
        path = tuple((cell, int(self.tokens[cell])) for cell in self.path)
        return Decoded(Outcome(status, self.tokens, (), self.confidence, self.counters, proof), path)


def decode(
    task: Task,
    problems: Sequence[Any],
    decoder: Decoder,
    checks: Checks = "none",
    budget: Budget | None = None,
    seed: int = 0,
    batch: int = 64,
) -> Iterator[tuple[int, Decoded]]:
    """Outcomes of many problems, each with the problem's number, in the order in which they are done."""
    budget, canvases = budget or Budget(), [task.encode(problem) for problem in problems]
    if not canvases:
        return
    state = decoder.allocate(min(batch, len(canvases)), canvases[0])
    waiting, free = iter(range(len(canvases))), list(range(min(batch, len(canvases))))
    running: list[Row] = []
    while True:
        while free and (number := next(waiting, None)) is not None:
            canvas = canvases[number]
            known, blank = canvas.pinned.copy(), np.zeros(canvas.cells, np.float32)
            row = Row(number, free.pop(), canvas, known, np.where(known, canvas.tokens, 0), blank)
            row.counters.flops += decoder.begin(state, row.slot, canvas, seed)
            row.counters.calls += 1
            running.append(row)
        if not running:
            return
        still: list[Row] = []
        asking = [row for row in running if not row.known.all()]
        over = dict(turn(task, decoder, state, asking, checks)) if asking else {}
        for row in running:
            status = over.get(row.number)
            if row.known.all():
                if task.verify(problems[row.number], row.tokens):
                    status = "solved"
                elif checks != "backtrack":
                    status = "exhausted"
                elif row.take_back():  # full, no direct conflict, and yet no answer
                    tell(decoder, state, [row])
                else:
                    status = "unsatisfiable"
            if status is None and budget.is_spent(row.counters):
                status = "exhausted"
            if status is None:
                still.append(row)
            else:
                free.append(row.slot)
                yield row.number, row.outcome(status)
        running = still


def turn(task: Task, decoder: Decoder, state: Any, rows: list[Row], checks: Checks) -> list[tuple[int, str]]:
    """One token for every row; the rows that came to an end without an answer, with their status."""
    known = np.stack([row.known for row in rows])
    slots = torch.tensor([row.slot for row in rows])
    cells, logits, flops = decoder.next(state, slots, torch.from_numpy(known))
    eliminates = task if checks != "none" and isinstance(task, Eliminates) else None
    packed = allow(
        eliminates,
        [row.canvas for row in rows],
        np.stack([row.tokens for row in rows]),
        known,
        logits.shape[-1],
    )
    allowed = torch.ones(logits.shape, dtype=torch.bool)
    if packed is not None:
        at = packed[np.arange(len(rows)), cells.numpy()]
        allowed = reference.unpack(torch.from_numpy(at), logits.shape[-1])
    probabilities = logits.float().softmax(-1)
    ranked = probabilities.sort(stable=True, dim=-1, descending=True).indices.tolist()
    over, said = [], []
    for n, row in enumerate(rows):
        row.counters.forwards += 1
        row.counters.calls += 1
        row.counters.flops += flops[n]
        cell, choices = int(cells[n]), [token for token in ranked[n] if allowed[n, token]]
        if choices or checks != "backtrack":
            best = (choices or ranked[n])[0]
            row.put(cell, best, choices[1:])
            row.confidence[cell] = float(probabilities[n, best])
        elif not row.take_back():
            over.append((row.number, "unsatisfiable"))
            continue
        said.append(row)
    tell(decoder, state, said)
    return over


def tell(decoder: Decoder, state: Any, rows: list[Row]) -> None:
    """Let the decoder know each row's last choice."""
    if rows:
        cells = [row.path[-1] for row in rows]
        tokens = [int(row.tokens[cell]) for row, cell in zip(rows, cells, strict=True)]
        places = [int(row.known.sum()) - 1 for row in rows]
        decoder.say(state, *map(torch.tensor, ([row.slot for row in rows], cells, tokens, places)))
