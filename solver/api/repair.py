"""A Python source that does not compile, made to compile again with as few edits as possible: ``solver.repair``.

    import solver
    best, *others = solver.repair("def f(a:\\n    return a\\n")
    best.text                                             # "def f(a):\\n    return a\\n"

Near the places where the trouble may be (:func:`~solver.tasks.code_edit.localize.suspects`) pieces are left out, replaced, or put
in between; what stands there is the denoiser's: the likeliest tokens of a hole. Of what compiles, the fewest edits win, then what
the denoiser finds likelier, read together with what stands around it. Two rules help it: what the compiler says that it expected
is tried too, and of two equal pieces in a row one goes before anything else of as few edits.
"""

from __future__ import annotations

import re
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise, takewhile

import numpy as np
import torch

from solver.api.edit import Edited
from solver.loop.trace import Budget, Counters
from solver.models.protocol import Denoiser
from solver.models.registry import load
from solver.tasks.canvas import Canvas
from solver.tasks.code_edit.diagnostics import compiles, remarks
from solver.tasks.code_edit.lexer import guess_unit
from solver.tasks.code_edit.localize import refusal, suspects, white
from solver.tasks.code_edit.positions import pieces
from solver.tasks.code_edit.task import CodeTask, Edit
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.tasks.code_edit.window import PAGES, Page, PageError, Span

SUSPECTS = 3  # places that are looked at
REACH = 3  # pieces on either side of one
ROOM = 3  # cells of what may be put in
LIKELIEST = 8  # tokens that are tried in each hole
READ = 60  # repairs that are read again
WINDOW = 10  # tokens on either side of a repair that have a say
LINES = 12  # on either side of one that is indented wrongly, whose indentation is tried for it
ROUNDS = 3  # of a source that is broken in several places

EXPECTED = re.compile(r"expected '(\W+)'")  # in what the compiler says


@dataclass(frozen=True)
class Proposal:
    """A span of the source, and what is put in its place; None: the denoiser says what."""

    span: Span
    text: str | None


def repair(
    source: str,
    denoiser: str | Denoiser = "compact",
    candidates: int = 1,
    budget: Budget | None = None,
    seed: int = 0,
) -> list[Edited]:
    """At most ``candidates`` sources that compile, the best first; one that does not where none was found.

    budget: of seconds, and of forwards, half of these for what is put in and the rest for comparing. Nothing is proven by a
    failure. Raises ValueError where the source compiles."""
    if compiles(source) is None:
        raise ValueError("the source compiles already")
    model, budget, spent, at = load(denoiser, CodeTask()), budget or Budget(forwards=None), Counters(), source
    found = list[Edited]()

    def early(_: object) -> bool:
        return not budget.cancelled() and (
            budget.seconds is None or time.perf_counter() - spent.started < budget.seconds
        )

    for _ in range(ROUNDS):
        tried = list(dict.fromkeys(takewhile(early, attempts(at, model, budget, seed, spent))))
        good = [one for one in takewhile(early, tried) if compiles(one[0]) is None]
        if good:
            found = best(source, good, model, budget, spent)[:candidates]
            break
        further = max(tried, key=lambda one: progress(one[0]), default=None)
        if further is None or progress(further[0]) <= progress(at) or budget.is_spent(spent):
            break
        at = further[0]
    spent.stop_clock()
    return found or [Edited(at, (), compiles(at), (), 0.0, spent)]


def progress(text: str) -> int:
    """How much of a source the compiler read before it gave up, counted from its end."""
    refused = refusal(text)
    return 0 if refused is None else (refused.place[0] if refused.place else 0) - len(text)


def attempts(
    source: str, model: Denoiser, budget: Budget, seed: int, spent: Counters
) -> Iterator[tuple[str, Span]]:
    """New sources and where they are new, the denoiser's own last. ``spent`` is added to."""
    found = list(dict.fromkeys(proposals(source)))
    for one in found:
        if one.text is not None:
            yield put(source, one.span, one.text)
    asked = [one.span for one in found if one.text is None]
    if budget.forwards is not None:
        asked = asked[: max(1, budget.split(2)[0].remaining(spent).forwards or 0)]
    edits = [edit for span in asked if (edit := page_at(source, span)) is not None]
    for cells in PAGES:
        some = [edit for edit in edits if len(edit.page.tokens) == cells]
        for edit, fills in drafts(some, model, seed, spent):
            for fill in fills:
                yield put(source, edit.page.spans[0], fill)


def put(source: str, span: Span, text: str) -> tuple[str, Span]:
    return source[: span[0]] + text + source[span[1] :], (span[0], span[0] + len(text))


def proposals(source: str) -> Iterator[Proposal]:
    """What may be tried: what the compiler says that it expected, then near the suspects, nearest first."""
    found, refused = pieces(source), refusal(source)
    starts, ends = [a for a, _ in found], [b for _, b in found]
    if refused is not None and refused.place is not None and (expected := EXPECTED.search(refused.message)):
        before = bisect_right(ends, refused.place[0])
        yield from (
            Proposal((at, at), expected[1]) for at in (*ends[max(0, before - 1) : before], refused.place[0])
        )
    for suspect in suspects(source)[:SUSPECTS]:
        low, high = bisect_right(ends, suspect[0] - 1), bisect_left(starts, suspect[1] + 1)
        yield from indentations(source, suspect)
        for away in range(REACH + 1):
            near = {low - away, high + away - 1} | (set(range(low, high)) if not away else set())
            for at in sorted(n for n in near if 0 <= n < len(found)):
                a, b = found[at]
                yield from (Proposal(span, "") for span in doubled(source, found[max(0, at - 1) : at + 2]))
                spaced = (
                    (a - 1, b)
                    if source[a - 1 : a] == " "
                    else (a, b + 1)
                    if source[b : b + 1] == " "
                    else (a, b)
                )
                yield Proposal(spaced, "")
                yield Proposal((a, b), "")
                yield Proposal((a, b), None)
                yield Proposal((a, a), None)
                yield Proposal((b, b), None)


def doubled(source: str, found: Sequence[Span]) -> Iterator[Span]:
    """The first of two pieces that are the same, with what is between them."""
    for (a, b), (c, d) in pairwise(found):
        if source[a:b] == source[c:d]:
            yield a, c


def indentations(source: str, suspect: Span) -> Iterator[Proposal]:
    """The line of a suspect, and the one before it, as deep as lines about it are, or one level more or less, or not at all."""
    unit = guess_unit(source)
    start = source.rfind("\n", 0, suspect[0]) + 1
    before = source.rfind("\n", 0, max(0, start - 1)) + 1
    for line in {start, before}:
        levels = {""}
        for other in lines_about(source, line):
            indent = source[slice(*white(source, other))]
            levels |= {indent, indent + unit, indent[: max(0, len(indent) - len(unit))]}
        span = white(source, line)
        for level in sorted(levels, key=len):
            if level != source[slice(*span)]:
                yield Proposal(span, level)


def lines_about(source: str, line: int) -> list[int]:
    """Where the lines from ``LINES`` before to ``LINES`` behind the one that begins at ``line`` begin."""
    found = [line]
    for _ in range(LINES):
        if found[0] > 0:
            found.insert(0, source.rfind("\n", 0, found[0] - 1) + 1)
        following = source.find("\n", found[-1]) + 1
        if 0 < following < len(source):
            found.append(following)
    return found


def page_at(source: str, span: Span, room: int = ROOM) -> Edit | None:
    for cells in PAGES[:-1]:
        try:
            return Edit.of(source, [span], [room], cells)
        except PageError:
            continue
    return None


def drafts(
    edits: Sequence[Edit], model: Denoiser, seed: int, spent: Counters
) -> Iterator[tuple[Edit, list[str]]]:
    """For each edit of one hole the denoiser's draft, and the likeliest tokens alone."""
    if not edits:
        return
    task, v = CodeTask(), Vocabulary.load()
    canvases = [task.encode(edit) for edit in edits]
    state = model.prefill(canvases, [seed] * len(edits))
    known = torch.from_numpy(np.stack([canvas.known for canvas in canvases]))
    held = torch.from_numpy(np.stack([canvas.tokens for canvas in canvases]))
    said, aux = model.denoise(state, held, known, known, model.start(state))
    loops, flops = model.cost(state, aux)
    spent.forwards, spent.flops, spent.calls = (
        spent.forwards + len(edits),
        spent.flops + sum(flops),
        spent.calls + 1,
    )
    spent.loops += sum(loops)
    said = said.index_fill(2, torch.tensor(v.sentinels), -torch.inf)
    for row, edit in enumerate(edits):
        start, capacity = edit.page.slots[0]
        draft = said[row, start : start + capacity].argmax(-1).numpy()
        first = said[row, start].topk(LIKELIEST).indices.tolist()
        tokens = edit.page.tokens.copy()
        tokens[start : start + capacity] = draft
        fills = [edit.page.written(tokens)[0]]
        for token in first:
            tokens[start : start + capacity] = [token, *[v.blank] * (capacity - 1)]
            fills.append(edit.page.written(tokens)[0])
        yield edit, list(dict.fromkeys(fill for fill in fills if fill))


def best(
    source: str, good: Sequence[tuple[str, Span]], model: Denoiser, budget: Budget, spent: Counters
) -> list[Edited]:
    """Those with the fewest edits first: of these, where a piece stands twice in a row, that with it once, then what the
    denoiser finds likelier. Of those that differ by spaces alone only the one that was proposed first."""
    first = dict[tuple[str, ...], tuple[str, Span]]()
    for one in good:
        first.setdefault(tuple(tokens_of(one[0])), one)
    edits = {one: distance(source, one[0]) for one in first.values()}
    most = READ if budget.forwards is None else min(READ, max(1, (budget.forwards - spent.forwards) // 2))
    few = sorted(edits, key=edits.__getitem__)[:most]
    marks = dict(zip(few, plausible(few, model, spent), strict=True))
    once = {put(source, span, "")[0] for span in doubled(source, pieces(source))}
    order = sorted(few, key=lambda one: (edits[one], one[0] not in once, -marks[one]))
    return [Edited(one[0], (), None, unknown(*one), marks[one], spent) for one in order]


def unknown(text: str, span: Span) -> tuple[str, ...]:
    """Names in a part of a text that nobody defines."""
    return tuple(
        one.message for one in remarks(text) if one.rule == "name" and span[0] <= one.span[0] < span[1]
    )


def distance(before: str, after: str) -> int:
    """Pieces that are gone or new; one that is replaced is one. White space at the beginning of a line is a piece."""
    a, b = tokens_of(before), tokens_of(after)
    for _ in range(
        2
    ):  # what both begin with, and end with, stays: the rest takes a time that grows with its square
        same = next(
            (number for number, (one, other) in enumerate(zip(a, b, strict=False)) if one != other),
            min(len(a), len(b)),
        )
        a, b = a[same:][::-1], b[same:][::-1]
    ops = SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
    return sum(max(a1 - a0, b1 - b0) for kind, a0, a1, b0, b1 in ops if kind != "equal")


def tokens_of(text: str) -> list[str]:
    """The pieces of a text, and the indentation of its lines."""
    found = [(a, text[a:b]) for a, b in pieces(text)]
    starts = [0, *(at + 1 for at, character in enumerate(text) if character == "\n")]
    return [
        piece
        for _, piece in sorted(
            [*found, *((start, "\n" + text[slice(*white(text, start))]) for start in starts)]
        )
    ]


def plausible(some: Sequence[tuple[str, Span]], model: Denoiser, spent: Counters) -> list[float]:
    """For each new text the mean log-probability of the tokens about its repair, each half of them masked in turn."""
    v, rows = Vocabulary.load(), list[tuple[Canvas, np.ndarray]]()
    cells = PAGES[0]
    for text, (a, b) in some:
        page = Page.of(text, [(a, b)], [max(1, len(v.encode(text[a:b])[0]))], cells)
        tokens, (start, capacity) = page.tokens.copy(), page.slots[0]
        fill = page.encoded(0, text[a:b])[:capacity]
        tokens[start : start + len(fill)] = fill
        end = int(np.max(np.flatnonzero(tokens != v.blank), initial=-1)) + 1  # of what may be nothing at all
        about = np.zeros(cells, bool)
        about[max(0, start - WINDOW) : min(end, start + capacity + WINDOW)] = True
        about &= tokens != v.blank
        for turn in (0, 1):
            masked = about & (np.arange(cells) % 2 == turn)
            rows.append((Canvas(tokens.copy(), ~masked, ~masked, model.vocab, blank=v.blank), masked))
    if not rows:
        return []
    canvases = [canvas for canvas, _ in rows]
    state = model.prefill(canvases, [0] * len(rows))
    known = torch.from_numpy(np.stack([canvas.known for canvas in canvases]))
    held = torch.from_numpy(np.stack([canvas.tokens for canvas in canvases]))
    said, aux = model.denoise(state, held, known, known, model.start(state))
    spent.forwards, spent.flops = spent.forwards + len(rows), spent.flops + sum(model.cost(state, aux)[1])
    log_p = said.float().log_softmax(-1).gather(-1, held[..., None])[..., 0].numpy()
    sums = [(log_p[row][masked].sum(), masked.sum()) for row, (_, masked) in enumerate(rows)]
    return [float((a + c) / max(1, b + d)) for (a, b), (c, d) in zip(sums[::2], sums[1::2], strict=True)]
