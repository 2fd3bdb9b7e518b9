"""Code edits: ``solver.edit`` fills holes in a Python source, ``solver.repair`` makes a broken one compile again.

    import solver
    best, *others = solver.edit(source, [(120, 134)])     # character spans; candidates, the best first
    best.text, best.fills                                 # the new source, and what stands in the holes

How long a hole's text is nobody says: a first draft in a roomy slot is the *probe*, and lengths about it are written as one
batch. Candidates are ranked by what is wrong with them, then by how likely the denoiser finds the hole and the first tokens
behind it. Every character outside of the holes stays as it is, and a candidate that does not compile is never called one that
does.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from solver.denoisers.load import load
from solver.denoisers.protocol import Denoiser
from solver.drive import solve
from solver.tasks.canvas import Canvas
from solver.tasks.code_edit.faults import compiles
from solver.tasks.code_edit.page import PAGES, Page, PageError, Span, checked, roomy
from solver.tasks.code_edit.task import CodeTask, Edit
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.trace import Budget, Counters, Outcome, Step

FORWARDS = 64  # a candidate
BEHIND = 4  # tokens behind a hole that have a say in how well it fits
PATIENCE = 1.5  # times the rounds of the first length that is written, for the others
NEARBY = (0, -1, 1, 2)  # lengths that are tried, about the probe's

Watch = Callable[[int, Edit, Step], None]


@dataclass(frozen=True, eq=False)
class Edited:
    """A candidate. text: the new source.  fills: of the holes.  error: of the compiler, None where it compiles.  unknown: names
    that it brings in and nobody defines.  score: mean log-probability of the holes' tokens and of those behind them.  counters:
    what it cost."""

    text: str
    fills: tuple[str, ...]
    error: str | None
    unknown: tuple[str, ...]
    score: float
    counters: Counters

    @property
    def rank(self) -> tuple[bool, int, float]:
        """Sorts candidates, the best first."""
        return self.error is not None, len(self.unknown), -self.score


def denoiser_for(name: str | Denoiser) -> Denoiser:
    """A denoiser of code by name. Raises CheckpointError in one line."""
    return load(name, CodeTask.name, Vocabulary.load().size) if isinstance(name, str) else name


def edit(
    source: str,
    holes: Sequence[Span],
    denoiser: str | Denoiser = "compact",
    candidates: int = 1,
    lengths: Sequence[int] | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    watch: Watch | None = None,
    defined: Iterable[str] = (),
) -> list[Edited]:
    """At most ``candidates`` ways to fill the holes, character spans of ``source``, the best first; those that do not compile
    last.

    lengths: of the holes in tokens, where they are known (an oracle's), in place of the probe's.  budget: a candidate's.
    defined: names that are defined elsewhere, where the source is a part of a program (a function, a notebook's cell).

    Raises PageError where the holes overlap, are outside of the source or do not fit a page.
    """
    started, spans = time.perf_counter(), checked(source, holes)
    model, task = denoiser_for(denoiser), CodeTask()
    spent = Counters()
    sizes = [list(lengths)] if lengths is not None else []
    if not sizes:
        room = [roomy(len(spans))] * len(spans)
        probe = Edit.of(source, spans, room, page_size(source, spans, room))
        outcome = next(
            event for _, event in solve(task, [probe], model, None, Budget(forwards=1), seed, 1) if isinstance(event, Outcome)
        )
        spent = outcome.counters
        blank = task.vocab - 1
        found = [int((outcome.tokens[start : start + capacity] != blank).sum()) for start, capacity in probe.page.slots]
        sizes = [[max(1, size + more) for size in found] for more in NEARBY]
        sizes = [*dict.fromkeys(map(tuple, sizes)), tuple(capacity for _, capacity in probe.page.slots)]  # type: ignore[list-item]
    edits, budget = fitting(source, spans, sizes, defined), budget or Budget(forwards=FORWARDS)
    ways = ranked(task, model, edits, budget, seed, spent, watch)[:candidates]
    seconds = time.perf_counter() - started  # lengths are written side by side: their seconds are not to be added up
    return [replace(one, counters=replace(one.counters, seconds=seconds)) for one in ways]


def page_size(source: str, spans: Sequence[Span], capacities: Sequence[int]) -> int:
    """The shortest page on which nothing has to be left out, else the longest. Raises PageError."""
    gap = Vocabulary.load().special("GAP")
    for cells in PAGES[:-1]:
        if sum(capacities) < cells // 2 and gap not in Page.of(source, spans, capacities, cells).tokens:
            return cells
    return PAGES[-1]


def fitting(source: str, spans: Sequence[Span], sizes: Sequence[Sequence[int]], defined: Iterable[str] = ()) -> list[Edit]:
    """Edits with these capacities, all of one page length; those that fit no page are left out. Raises PageError where none
    fits."""
    found, error = list[Edit](), PageError("no holes")
    cells = max(page_size(source, spans, some) for some in sizes)
    for some in sizes:
        try:
            found.append(Edit.of(source, spans, some, cells, defined=defined))
        except PageError as one:
            error = one
    if not found:
        raise error
    return found


def ranked(
    task: CodeTask, model: Denoiser, edits: Sequence[Edit], budget: Budget, seed: int, spent: Counters, watch: Watch | None
) -> list[Edited]:
    """All edits of one source, written as one batch; different texts only, the best first. ``spent`` is added to the costs.

    Lengths that nothing fits would go on to the end of their budget: not once another is written (``PATIENCE``)."""
    found: dict[str, Edited] = {}
    rounds, enough = 0, math.inf

    def late() -> bool:
        return budget.cancelled() or rounds >= enough

    for number, event in solve(
        task, edits, model, None, replace(budget, cancelled=late), [seed + n for n in range(len(edits))], len(edits)
    ):
        if isinstance(event, Step):
            rounds = max(rounds, event.number + 1)
            enough = min(enough, PATIENCE * rounds + 1) if event.solved else enough
            if watch is not None:
                watch(number, edits[number], event)
            continue
        spent = spent.plus(event.counters)
        text, spans = edits[number].filled(event.tokens)
        unknown = [fault.message for fault in edits[number].finder.faults(text, spans) if fault.rule != "syntax"]
        error = compiles(text)
        fills = edits[number].page.written(event.tokens)
        found.setdefault(text, Edited(text, fills, error, tuple(unknown) if error is None else (), 0.0, spent))
    some = list(found.values())
    marks = scores(edits[0], [one.fills for one in some], model)
    return sorted(
        (replace(one, score=mark, counters=spent) for one, mark in zip(some, marks, strict=True)), key=lambda one: one.rank
    )


def scores(edit: Edit, fills: Sequence[Sequence[str]], model: Denoiser) -> list[float]:
    """How likely the denoiser finds each way to fill a page: the mean log-probability of the holes' tokens when they are
    masked, and of the first tokens behind each hole when those are."""
    page, rows = edit.page, list[tuple[Canvas, np.ndarray, np.ndarray]]()
    cells = len(page.tokens)
    for some in fills:
        ids = [page.encoded(number, text) for number, text in enumerate(some)]
        try:
            laid = Page.of(page.source, page.spans, [max(1, len(one)) for one in ids], cells)
        except PageError:
            laid = page
        tokens, inside, behind = laid.tokens.copy(), ~laid.pinned, np.zeros(cells, bool)
        for (start, capacity), one in zip(laid.slots, ids, strict=True):
            tokens[start : start + min(capacity, len(one))] = one[:capacity]
            behind[start + capacity : start + capacity + BEHIND] = True
        behind &= laid.pinned & (tokens != Vocabulary.load().blank)
        for masked in (inside, behind):
            everything = np.ones(cells, bool)
            rows.append(
                (Canvas(tokens.copy(), everything & ~masked, everything & ~masked, model.vocab, slots=laid.slots), tokens, masked)
            )
    canvases = [canvas for canvas, _, _ in rows]
    state = model.prefill(canvases, [0] * len(rows))
    known = torch.from_numpy(np.stack([canvas.known for canvas in canvases]))
    held = torch.from_numpy(np.stack([tokens for _, tokens, _ in rows]))
    said, _ = model.denoise(state, held, known, known, model.start(state))
    log_p = said.float().log_softmax(-1).gather(-1, held[..., None])[..., 0].numpy()
    means = [float(log_p[row][masked].mean()) if masked.any() else 0.0 for row, (_, _, masked) in enumerate(rows)]
    return [a + b for a, b in zip(means[::2], means[1::2], strict=True)]
