"""Code edits: ``solver.edit`` fills holes in a Python source, ``solver.repair`` makes a broken one compile again.

    import solver
    best, *others = solver.edit(source, [(120, 134)])     # character spans; candidates, the best first
    best.text, best.fills                                 # the new source, and what stands in the holes

How long a hole's text is nobody says: one forward over roomy slots tells how likely each length is (lengths.py), and the
likeliest are written side by side. Candidates are ranked by what is wrong with them, then by how likely the denoiser finds
them: their lengths, and each token when it was accepted. Every character outside of the holes stays as it is, and a candidate
that does not compile is never called one that does.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
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

FORWARDS = 64  # a candidate
PATIENCE = 1.5  # times the rounds of the first length that is written, for the others
WIDE = 3  # combinations of lengths that are written side by side
WAVES = 3  # times, until one is found that nothing is wrong with

Watch = Callable[[int, Edit, Step], None]


@dataclass(frozen=True, eq=False)
class Edited:
    """A candidate. text: the new source.  fills: of the holes.  error: of the compiler, None where it compiles.  unknown: names
    that it brings in and nobody defines.  score: log-probability of the holes' lengths, and of every token when it was accepted.
    counters: what all candidates together have cost."""

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
    model, task, width = denoiser_for(denoiser), CodeTask(), max(WIDE, candidates)
    if lengths is not None:
        some, spent = [Choice(0.0, tuple(lengths))], Counters()
    else:
        room = [roomy(len(spans))] * len(spans)
        probe = Edit.of(source, spans, room, page_size(source, spans, room))
        likely, spent = probed(task, probe, model, seed)
        some = choices(likely, WAVES * width)
    found, budget = list[Edited](), budget or Budget(forwards=FORWARDS)
    for at in range(0, len(some), width):
        try:
            edits, marks = fitting(source, spans, some[at : at + width], defined)
        except PageError:
            if not found:
                raise
            break
        more, spent = written(task, model, edits, marks, budget, seed, spent, watch)
        found += more
        if any(one.rank[:2] == (False, 0) for one in found) or budget.cancelled():
            break
    best = dict[str, Edited]()  # of the same text the likeliest
    for one in sorted(found, key=lambda one: one.rank):
        best.setdefault(one.text, one)
    spent = replace(spent, seconds=time.perf_counter() - started)  # lengths are written side by side: not to be added up
    return [replace(one, counters=spent) for one in best.values()][:candidates]


def page_size(source: str, spans: Sequence[Span], capacities: Sequence[int]) -> int:
    """The shortest page on which nothing has to be left out, else the longest. Raises PageError."""
    gap = Vocabulary.load().special("GAP")
    for cells in PAGES[:-1]:
        if sum(capacities) < cells // 2 and gap not in Page.of(source, spans, capacities, cells).tokens:
            return cells
    return PAGES[-1]


def fitting(
    source: str, spans: Sequence[Span], some: Sequence[Choice], defined: Iterable[str] = ()
) -> tuple[list[Edit], list[float]]:
    """Edits with these lengths, all of one page length, and the lengths' log-probabilities; what fits no page is left out.
    Raises PageError where nothing fits."""
    found, marks, error = list[Edit](), list[float](), PageError("no holes")
    cells = max(page_size(source, spans, one.lengths) for one in some)
    for one in some:
        try:
            found.append(Edit.of(source, spans, one.lengths, cells, defined=defined))
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
    spent: Counters,
    watch: Watch | None,
) -> tuple[list[Edited], Counters]:
    """All edits of one source, written as one batch, and what has been ``spent`` since then. ``marks``: log-probabilities of
    their lengths.

    Lengths that nothing fits would go on to the end of their budget: not once another is written (``PATIENCE``)."""
    found, log_p = list[Edited](), np.zeros((len(edits), len(edits[0].page.tokens)))
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
        spent = spent.plus(event.counters)
        text, spans = edit.filled(event.tokens)
        error = compiles(text)
        unknown = [] if error else [fault.message for fault in edit.finder.faults(text, spans) if fault.rule != "syntax"]
        score = marks[number] + float(log_p[number, ~edit.page.pinned].sum())
        found.append(Edited(text, edit.page.written(event.tokens), error, tuple(unknown), score, spent))
    return found, spent
