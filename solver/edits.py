"""Code edits: ``solver.edit`` fills holes in a Python source, ``solver.repair`` makes a broken one compile again.

    import solver
    best, *others = solver.edit(source, [(120, 134)])     # character spans; candidates, the best first
    best.text, best.fills                                 # the new source, and what stands in the holes

How long a hole's text is nobody says: it is written in a roomy slot, and what is behind its end is BLANK. Where that comes to
nothing that compiles, or more candidates are wanted, the likeliest lengths (lengths.py) are written side by side, each in slots
that fit it. Every character outside of the holes stays as it is, and a candidate that does not compile is never called one that
does.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from solver.denoisers.load import load
from solver.denoisers.protocol import Denoiser
from solver.drive import solve
from solver.lengths import LEAST, Choice, choices, probed
from solver.tasks.code_edit.faults import compiles
from solver.tasks.code_edit.page import PAGES, Page, PageError, Span, checked, roomy
from solver.tasks.code_edit.task import CodeTask, Edit
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.trace import Budget, Counters, Step

FORWARDS = 96  # row-forwards of a problem, where nobody says
PATIENCE = 1.5  # times the rounds of the first length that is written, for the others
WIDE = 3  # combinations of lengths that are written side by side, where nothing comes of roomy slots

Watch = Callable[[int, Edit, Step], None]


@dataclass(frozen=True, eq=False)
class Edited:
    """A candidate. text: the new source.  fills: of the holes.  error: of the compiler, None where it compiles.  unknown: names
    that it brings in and nobody defines.  told: whether it was told how long its holes are.  score: log-probability of that and
    of every token when it was accepted.  counters: what all candidates together have cost."""

    text: str
    fills: tuple[str, ...]
    error: str | None
    unknown: tuple[str, ...]
    told: bool
    score: float
    counters: Counters

    @property
    def rank(self) -> tuple[bool, int, bool, float]:
        """Sorts candidates, the best first: what is wrong with them, then (docs/LOG.md has the figures) those that found their
        length while they were written, then by score."""
        return self.error is not None, len(self.unknown), self.told, -self.score

    @property
    def clean(self) -> bool:
        return self.error is None and not self.unknown


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

    lengths: of the holes in tokens, where they are known (an oracle's).  budget: of row-forwards and seconds, for all together.
    defined: names that are defined elsewhere, where the source is a part of a program (a function, a notebook's cell).

    Raises PageError where the holes overlap, are outside of the source or do not fit a page.
    """
    started, spans = time.perf_counter(), checked(source, holes)
    model, task, budget = denoiser_for(denoiser), CodeTask(), budget or Budget(forwards=FORWARDS)
    found, spent = dict[str, Edited](), Counters()

    def attempt(some: Sequence[Choice], told: bool) -> None:
        nonlocal spent
        edits, marks = fitting(source, spans, some, told, defined)
        share = left(budget if told else half(budget), spent.forwards, time.perf_counter() - started, len(edits))
        for one in written(task, model, edits, marks, share, seed, watch):
            spent = spent.plus(one.counters)
            if one.text not in found or one.rank < found[one.text].rank:
                found[one.text] = one

    def enough() -> bool:
        over = left(budget, spent.forwards, time.perf_counter() - started)
        return budget.cancelled() or 0 in (over.forwards, over.seconds) or sum(one.clean for one in found.values()) >= candidates

    if lengths is not None:
        attempt([Choice(0.0, tuple(lengths))], told=True)
    else:
        room = (roomy(len(spans)),) * len(spans)
        attempt([Choice(0.0, room)], told=False)
        if not enough():
            likely, cost = probed(task, Edit.of(source, spans, room, page_size(source, spans, room)), model, seed)
            spent = spent.plus(cost)
            attempt(choices(likely, max(WIDE, candidates)), told=True)
    spent = replace(spent, seconds=time.perf_counter() - started)  # lengths are written side by side: not to be added up
    return [replace(one, counters=spent) for one in sorted(found.values(), key=lambda one: one.rank)[:candidates]]


def half(budget: Budget) -> Budget:
    """What the roomy slots may take of it, so that something is left for lengths."""
    forwards = None if budget.forwards is None else budget.forwards // 2
    return replace(budget, forwards=forwards, seconds=None if budget.seconds is None else budget.seconds / 2)


def left(budget: Budget, forwards: int, seconds: float, rows: int = 1) -> Budget:
    """What is left of a budget for each of some rows that are written side by side."""
    return replace(
        budget,
        forwards=None if budget.forwards is None else max(0, budget.forwards - forwards) // rows,
        seconds=None if budget.seconds is None else max(0.0, budget.seconds - seconds),
    )


def page_size(source: str, spans: Sequence[Span], capacities: Sequence[int]) -> int:
    """The shortest page on which nothing has to be left out, else the longest. Raises PageError."""
    gap = Vocabulary.load().special("GAP")
    for cells in PAGES[:-1]:
        if sum(capacities) < cells // 2 and gap not in Page.of(source, spans, capacities, cells).tokens:
            return cells
    return PAGES[-1]


def fitting(
    source: str, spans: Sequence[Span], some: Sequence[Choice], told: bool, defined: Iterable[str] = ()
) -> tuple[list[Edit], list[float]]:
    """Edits with these slots, all of one page length, and the log-probabilities of their lengths; what fits no page is left
    out. ``told``: the holes are as long as their slots. Raises PageError where nothing fits."""
    found, marks, error = list[Edit](), list[float](), PageError("no holes")
    cells = max(page_size(source, spans, one.lengths) for one in some)
    for one in some:
        try:
            found.append(Edit.of(source, spans, one.lengths, cells, defined=defined, exact=told))
            marks.append(one.log_p)
        except PageError as problem:
            error = problem
    if not found:
        raise error
    return found, marks


def written(
    task: CodeTask,
    model: Denoiser,
    edits: Sequence[Edit],
    marks: Sequence[float],
    budget: Budget,
    seed: int,
    watch: Watch | None,
) -> Iterator[Edited]:
    """All edits of one source, written as one batch, each with its own costs. ``marks``: log-probabilities of their lengths.

    Lengths that nothing fits would go on to the end of their budget: not once another is written (``PATIENCE``)."""
    log_p = np.zeros((len(edits), len(edits[0].page.tokens)))
    rounds, enough = 0, math.inf

    def late() -> bool:
        return budget.cancelled() or rounds >= enough

    for number, event in solve(
        task, edits, model, None, replace(budget, cancelled=late), [seed + n for n in range(len(edits))], len(edits)
    ):
        edit = edits[number]
        if isinstance(event, Step):
            rounds = max(rounds, event.number + 1)
            enough = min(enough, PATIENCE * rounds + 1) if event.solved else enough
            log_p[number, event.accepted] = np.log(np.maximum(event.confidence[event.accepted], LEAST))
            if watch is not None:
                watch(number, edit, event)
            continue
        text, spans = edit.filled(event.tokens)
        error = compiles(text)
        unknown = () if error else tuple(fault.message for fault in edit.finder.faults(text, spans) if fault.rule != "syntax")
        score = marks[number] + float(log_p[number, ~edit.page.pinned].sum())
        yield Edited(text, edit.page.written(event.tokens), error, unknown, edit.exact, score, event.counters)
