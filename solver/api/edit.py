"""Code edits: ``solver.edit`` fills holes in a Python source, ``solver.repair`` makes a broken one compile again.

    import solver
    best, *others = solver.edit(source, [(120, 134)])     # character spans; candidates, the best first
    best.text, best.fills                                 # the new source, and what stands in the holes

How long a hole's text is nobody says: it is written in a roomy slot, and what is behind its end is BLANK. Beside that way others
are written: of one hole, unless the first is likely enough, the likeliest lengths, each in a slot that fits it; of several, which
have to agree, draws in the same slots. All are compared by how likely the denoiser finds them on one page (reading.py). Every
character outside of the holes stays as it is, and a candidate that does not compile is never called one that does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from solver.api.scoring import Reading, choices
from solver.loop.engine import solve
from solver.loop.policy import Policy
from solver.loop.trace import Budget, Counters, Step
from solver.models.protocol import Denoiser
from solver.models.registry import load
from solver.tasks.code_edit.diagnostics import compiles
from solver.tasks.code_edit.task import CodeTask, Edit
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.tasks.code_edit.window import PAGES, Page, PageError, Span, checked, roomy

FORWARDS = 64, 80  # row-forwards of one hole, of several together, where nobody says
PATIENCE = 1.2  # times the rounds of the first other way that is written, for the rest of them
SURE = -3.0  # nats of a hole's text, the first that is written: from here on others were never the better ones (docs/LOG.md)
LENGTHS, DRAWS = 5, 4  # other ways that are written side by side, of one hole and of several

Watch = Callable[[int, Edit, Step], None]


@dataclass(frozen=True, eq=False)
class Edited:
    """A candidate. text: the new source.  fills: of the holes.  error: of the compiler, None where it compiles.  unknown: names
    that it brings in and nobody defines.  score: how likely the denoiser finds its tokens, in nats.  counters: what all of them
    together have cost."""

    text: str
    fills: tuple[str, ...]
    error: str | None
    unknown: tuple[str, ...]
    score: float
    counters: Counters

    @property
    def rank(self) -> tuple[bool, int, float]:
        """Sorts candidates, the best first: by what is wrong with them, then by score."""
        return self.error is not None, len(self.unknown), -self.score


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

    lengths: of the holes in tokens, where they are known (an oracle's).
    budget: of seconds and row-forwards, for all that is written; beside that the page is read once, and two row-forwards
    compare each candidate.
    defined: names that are defined elsewhere, where the source is a part of a program (a function, a notebook's cell).

    Raises PageError where the holes overlap, are outside of the source or do not fit a page.
    """
    spent, spans = Counters(), checked(source, holes)
    lengths = lengths and [length for _, length in sorted(zip(holes, lengths, strict=True))]
    task, budget = CodeTask(), budget or usual(len(spans))
    model = load(denoiser, task)
    found, rows = dict[str, Edited](), 0
    room = (roomy(len(spans)),) * len(spans)
    page = Edit.of(source, spans, room, page_size(source, spans, room), defined=defined)

    def write(edits: Sequence[Edit], budget: Budget, policy: Policy | None = None) -> None:
        nonlocal rows, spent
        spent.stop_clock()
        share = budget.remaining(spent, parallel=len(edits))
        for one in written(task, model, edits, policy, share, seed + rows, rows, watch):
            spent += one.counters
            found.setdefault(one.text, one)
        rows += len(edits)

    def over() -> bool:
        spent.stop_clock()
        more = budget.remaining(spent)
        return budget.cancelled() or 0 in (more.forwards, more.seconds)

    if lengths is not None:
        write(fitting(source, spans, [lengths], defined), budget)
    else:
        write([page], budget.split(2)[0])
    reading = Reading(task, page, model, seed)

    def sure() -> bool:
        (first,) = found.values()
        alone = len(spans) == candidates == 1 and first.error is None and not first.unknown
        return alone and reading.likelihoods([first.fills])[0] > SURE

    if lengths is None and not over() and not sure():
        if len(spans) == 1:
            likely = choices(reading.lengths, max(LENGTHS, candidates))
            write(fitting(source, spans, [one.lengths for one in likely], defined), budget)
        else:
            write([page] * max(DRAWS, candidates), budget, model.policy.with_(sample=True))
    some = list(found.values())
    scores = reading.likelihoods([one.fills for one in some])
    spent += reading.counters
    spent.stop_clock()  # the seconds are not to be added up: attempts ran side by side
    some = [replace(one, score=score, counters=spent) for one, score in zip(some, scores, strict=True)]
    return sorted(some, key=lambda one: one.rank)[:candidates]


def usual(holes: int) -> Budget:
    """What a problem of so many holes may take."""
    return Budget(forwards=FORWARDS[min(holes, 2) - 1])


def page_size(source: str, spans: Sequence[Span], capacities: Sequence[int]) -> int:
    """The shortest page on which nothing has to be left out, else the longest. Raises PageError."""
    gap = Vocabulary.load().special("GAP")
    for cells in PAGES[:-1]:
        if sum(capacities) < cells // 2 and gap not in Page.of(source, spans, capacities, cells).tokens:
            return cells
    return PAGES[-1]


def fitting(
    source: str, spans: Sequence[Span], some: Sequence[Sequence[int]], defined: Iterable[str] = ()
) -> list[Edit]:
    """Edits whose holes have texts of these lengths, all of one page length; what fits no page is left out. Raises PageError
    where nothing fits."""
    found, error = list[Edit](), PageError("no holes")
    cells = max(page_size(source, spans, lengths) for lengths in some)
    for lengths in some:
        try:
            found.append(Edit.of(source, spans, lengths, cells, defined=defined, exact=True))
        except PageError as problem:
            error = problem
    if not found:
        raise error
    return found


def written(
    task: CodeTask,
    model: Denoiser,
    edits: Sequence[Edit],
    policy: Policy | None,
    budget: Budget,
    seed: int,
    first: int,
    watch: Watch | None,
) -> Iterator[Edited]:
    """Edits of one source, written as one batch, each with its own costs and no score yet. ``watch`` counts them from ``first``.

    Lengths that nothing fits would go on to the end of their budget: not once another is written (``PATIENCE``)."""
    rounds, enough = 0, math.inf

    def late() -> bool:
        return budget.cancelled() or rounds >= enough

    limits, seeds = replace(budget, cancelled=late), [seed + number for number in range(len(edits))]
    for number, event in solve(task, edits, model, policy, limits, seeds, len(edits)):
        edit = edits[number]
        if isinstance(event, Step):
            rounds = max(rounds, event.number + 1)
            enough = min(enough, PATIENCE * rounds + 1) if event.solved else enough
            if watch is not None:
                watch(first + number, edit, event)
            continue
        text, spans = edit.filled(event.tokens)
        error = compiles(text)
        unknown = (
            ()
            if error
            else tuple(fault.message for fault in edit.finder.faults(text, spans) if fault.rule != "syntax")
        )
        yield Edited(text, edit.page.written(event.tokens), error, unknown, -math.inf, event.counters)
