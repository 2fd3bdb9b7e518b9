"""A source with holes as a block of cells: what stands around the holes is pinned, each hole is a slot with a tail of BLANKs.

    page = Page.of(source, [(120, 134)], capacities=[12])
    page.tokens, page.pinned, page.slots          # (L,), (L,), ((start, capacity), ...)
    window.fill_texts(tokens)                          # the text of every hole

A hole is a character span, and may begin or end inside a token. What is nearest to the holes is on the page, equally much on all
sides; where something is left out between two holes, or before the first or behind the last, a GAP stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from solver.tasks.canvas import Mask, Tokens
from solver.tasks.code_edit.lexer import Indent, guess_unit
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.tasks.errors import SolverError

Span = tuple[int, int]
CELLS = 256
WINDOW_SIZES = (96, 160, CELLS)  # lengths of pages: of training, and so of edits
PROBE = 24  # cells of a hole in a probe, where there is room
REACH = 8  # characters a token, at most, of what may come on the page


def probe_capacity(holes: int) -> int:
    """Cells of each slot of a probe: a first draft, which is to say how long the holes are."""
    return min(PROBE, max(4, CELLS // 3 // holes))


class WindowError(SolverError, ValueError):
    """Holes that fit no page; one line."""


def validate_spans(source: str, spans: Sequence[Span]) -> tuple[Span, ...]:
    """The spans in order. Raises WindowError where one is outside of the source or two overlap."""
    found = tuple(sorted(spans))
    if not found:
        raise WindowError("no holes")
    for a, b in found:
        if not 0 <= a <= b <= len(source):
            raise WindowError(
                f"a hole from character {a} to {b} is outside of the source, which has {len(source)}"
            )
    for (a, b), (c, d) in pairwise(found):
        if c < b or (a, b) == (c, d):
            raise WindowError(f"two holes overlap, from character {a} to {b} and from {c} to {d}")
    return found


def line_indent(source: str, at: int, unit: str) -> Indent:
    """The indentation of the line in which ``at`` stands, from its own white space."""
    start = source.rfind("\n", 0, at) + 1
    line = source[start:at]
    indentation_span = line[: len(line) - len(line.lstrip(" \t"))]
    whole = len(indentation_span) // len(unit)
    stack = (
        [unit * n for n in range(whole + 1)] if indentation_span == unit * whole else ["", indentation_span]
    )
    return Indent(tuple(stack), unit)


@dataclass(frozen=True, eq=False)
class CodeWindow:
    """tokens (L,): BLANK in the slots.  pinned (L,).  slots: start and capacity of each hole.  indents: where each hole stands.
    spans: of the holes in ``source``."""

    source: str
    spans: tuple[Span, ...]
    tokens: Tokens
    pinned: Mask
    slots: tuple[Span, ...]
    indents: tuple[Indent, ...]

    @staticmethod
    def of(source: str, spans: Sequence[Span], capacities: Sequence[int], cells: int = CELLS) -> CodeWindow:
        """A page of exactly ``cells`` cells, filled up with BLANKs that are pinned. Raises WindowError."""
        vocabulary, spans = Vocabulary.load(), validate_spans(source, spans)
        free = cells - sum(capacities)
        if len(capacities) != len(spans) or min(capacities) < 1:
            raise WindowError("a capacity of at least 1 is needed for every hole")
        if free < 4 * len(spans):
            raise WindowError(
                f"{len(spans)} holes of {sum(capacities)} cells leave too little of {cells} for what stands around them"
            )
        unit = guess_unit(source)
        indents = tuple(line_indent(source, a, unit) for a, _ in spans)
        parts = around(vocabulary, source, spans, indents, unit, free)
        tokens, pinned, slots = list[int](), list[bool](), list[Span]()
        for number, part in enumerate(parts):
            tokens += part.tolist()
            pinned += [True] * len(part)
            if number < len(spans):
                slots.append((len(tokens), capacities[number]))
                tokens += [vocabulary.blank] * capacities[number]
                pinned += [False] * capacities[number]
        spare = cells - len(tokens)
        return CodeWindow(
            source,
            spans,
            np.array(tokens + [vocabulary.blank] * spare, np.int64),
            np.array(pinned + [True] * spare),
            tuple(slots),
            indents,
        )

    def fill_texts(self, tokens: Tokens) -> tuple[str, ...]:
        """What full ``tokens`` (L,) put into each hole."""
        vocabulary = Vocabulary.load()
        return tuple(
            vocabulary.decode(tokens[start : start + capacity], indent)
            for (start, capacity), indent in zip(self.slots, self.indents, strict=True)
        )

    def cell_spans(self, tokens: Tokens) -> tuple[tuple[Span, ...], ...]:
        """For each hole the characters, in its text, that each of its cells writes."""
        vocabulary, found = Vocabulary.load(), []
        for (start, capacity), indent in zip(self.slots, self.indents, strict=True):
            ends = np.cumsum(
                [0, *map(len, vocabulary.token_texts(tokens[start : start + capacity], indent))]
            ).tolist()
            found.append(tuple(pairwise(ends)))
        return tuple(found)

    def encode_fill(self, number: int, text: str) -> Tokens:
        """The tokens of a text for the hole ``number``."""
        return Vocabulary.load().encode(text, self.indents[number])[0]


def replace_spans(source: str, spans: Sequence[Span], fills: Sequence[str]) -> tuple[str, tuple[Span, ...]]:
    """The source with its holes filled, and where the fills stand in it."""
    parts, found, at, length = list[str](), list[Span](), 0, 0
    for (a, b), fill in zip(spans, fills, strict=True):
        parts += [source[at:a], fill]
        begin = length + a - at
        found.append((begin, begin + len(fill)))
        length, at = begin + len(fill), b
    return "".join([*parts, source[at:]]), tuple(found)


def around(
    vocabulary: Vocabulary,
    source: str,
    spans: tuple[Span, ...],
    indents: tuple[Indent, ...],
    unit: str,
    room: int,
) -> list[NDArray[np.int64]]:
    """The tokens before, between and behind the holes, ``room`` in all at most: as many next to each hole, with GAPs."""
    reach = REACH * room
    edges = [(0, spans[0][0]), *((a[1], b[0]) for a, b in pairwise(spans)), (spans[-1][1], len(source))]
    sides = list[
        tuple[NDArray[np.int64], NDArray[np.int64] | None]
    ]()  # of a part: its tokens, or its two ends
    for number, (a, b) in enumerate(edges):
        inner = 0 < number < len(spans)
        if b - a <= (2 * reach if inner else reach):
            first = line_indent(source, a, unit) if number == 0 else indents[number - 1]
            sides.append((vocabulary.encode(source[a:b], first)[0], None))
            continue
        head = source[a : a + reach]
        cut = (
            source.rfind("\n", 0, b - reach) + 1 if number < len(spans) else b
        )  # from the beginning of a line on
        cut = cut if b - cut <= 4 * reach else b - reach
        begin = vocabulary.encode(head, indents[number - 1])[0] if number else np.zeros(0, np.int64)
        sides.append((begin, vocabulary.encode(source[cut:b], line_indent(source, cut, unit))[0]))
    gap = np.array([vocabulary.special("GAP")])
    low, high = 1, room
    while low < high:  # the largest reach that fits
        middle = (low + high + 1) // 2
        low, high = (middle, high) if sum(map(len, kept(sides, middle, gap))) <= room else (low, middle - 1)
    found = kept(sides, low, gap)
    if sum(map(len, found)) > room:
        raise WindowError("too many holes for a page")
    return found


def kept(
    sides: Sequence[tuple[NDArray[np.int64], NDArray[np.int64] | None]], reach: int, gap: NDArray[np.int64]
) -> list[NDArray[np.int64]]:
    """Of every part what is within ``reach`` tokens of a hole."""
    found = []
    for number, (begin, end) in enumerate(sides):
        first, last = number == 0, number == len(sides) - 1
        if end is None and len(begin) <= reach * (2 - (first or last)):
            found.append(begin)
            continue
        tail = begin if end is None else end
        before = begin[:0] if first else begin[:reach]
        after = tail[:0] if last else tail[max(0, len(tail) - reach) :]
        found.append(np.concatenate([before, gap, after]))
    return found
