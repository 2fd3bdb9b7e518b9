"""Small changes that may repair a source, proposed without a model.

>>> [proposal.text for proposal in propose("if x\\n    y()\\n")][:2]
[':', ':']
>>> replace_span("a + b", (2, 3), "-")
Rewrite(text='a - b', span=(2, 3))
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from solver.tasks.code_edit.lexer import Span, guess_unit, piece_spans
from solver.tasks.code_edit.localize import compile_error, indentation_span, suspicious_spans

MAX_SUSPECTS = 3  # suspicious spans that are tried
REACH = 3  # pieces tried on either side of a suspicious span
INDENT_LINES = 12  # lines before and after a suspicious line whose indentation is tried for it
EXPECTED = re.compile(r"expected '(\W+)'")  # in the compiler's message


class Proposal(NamedTuple):
    """A span of the source, and its replacement; None if the denoiser is to supply it."""

    span: Span
    text: str | None


class Rewrite(NamedTuple):
    """A whole new source, and the span in it that is new."""

    text: str
    span: Span


def replace_span(source: str, span: Span, text: str) -> Rewrite:
    return Rewrite(source[: span[0]] + text + source[span[1] :], (span[0], span[0] + len(text)))


def propose(source: str) -> Iterator[Proposal]:
    """Yield the compiler's "expected ..." hint, then proposals around each suspicious span, nearest first."""
    places, refused = piece_spans(source), compile_error(source)
    starts, ends = [start for start, _ in places], [end for _, end in places]
    if refused is not None and refused.span is not None and (expected := EXPECTED.search(refused.message)):
        before = bisect_right(ends, refused.span[0])
        for place in (*ends[max(0, before - 1) : before], refused.span[0]):
            yield Proposal((place, place), expected[1])
    for suspect in suspicious_spans(source)[:MAX_SUSPECTS]:
        low, high = bisect_right(ends, suspect[0] - 1), bisect_left(starts, suspect[1] + 1)
        yield from propose_indentations(source, suspect)
        for distance in range(REACH + 1):
            near = {low - distance, high + distance - 1} | (set(range(low, high)) if not distance else set())
            for k in sorted(k for k in near if 0 <= k < len(places)):
                for span in repeated_pieces(source, places[max(0, k - 1) : k + 2]):
                    yield Proposal(span, "")
                yield from propose_at(source, places[k])


def propose_at(source: str, piece: Span) -> Iterator[Proposal]:
    """Yield proposals for one piece: removals with a space and without, a replacement, insertions."""
    start, end = piece
    with_space = piece
    if source[start - 1 : start] == " ":
        with_space = (start - 1, end)
    elif source[end : end + 1] == " ":
        with_space = (start, end + 1)
    yield Proposal(with_space, "")
    yield Proposal(piece, "")
    yield Proposal(piece, None)
    yield Proposal((start, start), None)
    yield Proposal((end, end), None)


def repeated_pieces(source: str, places: Sequence[Span]) -> Iterator[Span]:
    """For each two equal pieces in a row, the first one and the text between them."""
    for (start, end), (next_start, next_end) in pairwise(places):
        if source[start:end] == source[next_start:next_end]:
            yield start, next_start


def propose_indentations(source: str, suspect: Span) -> Iterator[Proposal]:
    """Yield other indentations for the suspicious line and the line before it: those of nearby lines,
    and one level more or less."""
    unit = guess_unit(source)
    line = source.rfind("\n", 0, suspect[0]) + 1
    before = source.rfind("\n", 0, max(0, line - 1)) + 1
    for start in {line, before}:
        levels = {""}
        for neighbour in nearby_lines(source, start):
            indent = source[slice(*indentation_span(source, neighbour))]
            levels |= {indent, indent + unit, indent[: max(0, len(indent) - len(unit))]}
        span = indentation_span(source, start)
        for level in sorted(levels, key=len):
            if level != source[slice(*span)]:
                yield Proposal(span, level)


def nearby_lines(source: str, line: int) -> list[int]:
    """Starts of the lines up to ``INDENT_LINES`` before and after the line that starts at ``line``."""
    starts = [line]
    for _ in range(INDENT_LINES):
        if starts[0] > 0:
            starts.insert(0, source.rfind("\n", 0, starts[0] - 1) + 1)
        following = source.find("\n", starts[-1]) + 1
        if 0 < following < len(source):
            starts.append(following)
    return starts
