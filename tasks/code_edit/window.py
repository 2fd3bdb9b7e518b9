"""The window of a code edit: a fixed number of tokens around the holes of a source.

>>> window = CodeWindow.of("x = 1\\nprint(x + )\\n", [(16, 16)], capacities=[3], cells=32)
>>> window.slots  # start and capacity of each hole, in cells
((8, 3),)
>>> tokens = window.tokens.copy()
>>> tokens[8] = window.encode_fill(0, "1").item()
>>> window.fill_texts(tokens)
('1',)

The text around the holes is pinned. Each hole is a slot whose unused cells are BLANK. A hole is a character
span and may begin or end inside a token. The window shows the text nearest to the holes, equally much on
every side; a GAP token marks text that is left out: between two holes, before the first or after the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from solver.tasks.code_edit.lexer import Indent, Span, guess_unit
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.tasks.errors import SolverError
from solver.tasks.task import EMPTY, Mask, Tokens

CELLS = 256
WINDOW_SIZES = (96, 160, CELLS)  # the lengths that models are trained with, and so those of edits
MAX_PROBE = 24  # cells of a slot in a probe, where there is room
MIN_CONTEXT = 4  # cells of context per hole, at least
CHARACTERS_PER_TOKEN = 8  # at most, on average: bounds the text that is encoded for a window


def probe_capacity(holes: int) -> int:
    """Cells of each slot of a probe, the first draft, from which the lengths of the fills are estimated."""
    return min(MAX_PROBE, max(4, CELLS // 3 // holes))


class WindowError(SolverError, ValueError):
    """The holes do not fit a window."""


def validate_spans(source: str, spans: Sequence[Span]) -> tuple[Span, ...]:
    """The spans in order. Raises WindowError if one is outside of the source or two overlap."""
    ordered = tuple(sorted(spans))
    if not ordered:
        raise WindowError("no holes")
    for start, end in ordered:
        if not 0 <= start <= end <= len(source):
            raise WindowError(
                f"a hole from character {start} to {end} is outside of the source, which has {len(source)}"
            )
    for (start, end), (next_start, next_end) in pairwise(ordered):
        if next_start < end or (start, end) == (next_start, next_end):
            raise WindowError(
                f"two holes overlap, from character {start} to {end} and from {next_start} to {next_end}"
            )
    return ordered


def replace_spans(source: str, spans: Sequence[Span], fills: Sequence[str]) -> tuple[str, tuple[Span, ...]]:
    """The source with each span (in order) replaced by its fill, and the spans of the fills in the result."""
    parts, fill_spans, position, length = list[str](), list[Span](), 0, 0
    for (start, end), fill in zip(spans, fills, strict=True):
        parts += [source[position:start], fill]
        fill_start = length + start - position
        length, position = fill_start + len(fill), end
        fill_spans.append((fill_start, length))
    return "".join([*parts, source[position:]]), tuple(fill_spans)


def line_indent(source: str, offset: int, unit: str) -> Indent:
    """The indentation of the line that contains ``offset``, from its white space before it."""
    line = source[source.rfind("\n", 0, offset) + 1 : offset]
    white = line[: len(line) - len(line.lstrip(" \t"))]
    levels = len(white) // len(unit)
    stack = [unit * n for n in range(levels + 1)] if white == unit * levels else ["", white]
    return Indent(tuple(stack), unit)


@dataclass(frozen=True, eq=False)
class CodeWindow:
    """The tokens around the holes of a source, and a slot for every hole.

    Attributes:
        source: the source with its holes.
        spans: the holes, in characters of ``source``.
        tokens: (L,); BLANK in the slots and in the unused cells at the end.
        pinned: (L,), all cells but those of the slots.
        slots: start and capacity of each hole, in cells.
        indents: the indentation of the line in which each hole begins.
    """

    source: str
    spans: tuple[Span, ...]
    tokens: Tokens
    pinned: Mask
    slots: tuple[Span, ...]
    indents: tuple[Indent, ...]

    @staticmethod
    def of(source: str, spans: Sequence[Span], capacities: Sequence[int], cells: int = CELLS) -> CodeWindow:
        """Lay out a window of exactly ``cells`` cells; unused ones are pinned BLANKs.

        Args:
            source: the source.
            spans: its holes, in characters.
            capacities: cells of each hole's slot.
            cells: length of the window.

        Raises:
            WindowError: the holes overlap, are outside of the source, or leave too little room for context.
        """
        blank, spans = Vocabulary.load().blank, validate_spans(source, spans)
        room = cells - sum(capacities)
        if len(capacities) != len(spans) or min(capacities) < 1:
            raise WindowError("a capacity of at least 1 is needed for every hole")
        if room < MIN_CONTEXT * len(spans):
            raise WindowError(
                f"{len(spans)} holes of {sum(capacities)} cells leave too little of {cells} for their context"
            )
        unit = guess_unit(source)
        indents = tuple(line_indent(source, start, unit) for start, _ in spans)
        tokens, pinned, slots = list[int](), list[bool](), list[Span]()
        for context, capacity in zip(
            _fit_contexts(source, spans, indents, room), [*capacities, 0], strict=True
        ):
            tokens += context.tolist()
            slots.append((len(tokens), capacity))
            tokens += [blank] * capacity
            pinned += [True] * len(context) + [False] * capacity
        unused = cells - len(tokens)
        return CodeWindow(
            source,
            spans,
            np.array(tokens + [blank] * unused, np.int64),
            np.array(pinned + [True] * unused),
            tuple(slots[:-1]),
            indents,
        )

    def fill_texts(self, tokens: Tokens) -> tuple[str, ...]:
        """The text that full ``tokens`` (L,) write into each hole."""
        return tuple("".join(texts) for texts in self._cell_texts(tokens))

    def cell_spans(self, tokens: Tokens) -> tuple[tuple[Span, ...], ...]:
        """For each hole, the characters of its text that each of its cells writes."""
        ends = [np.cumsum([0, *map(len, texts)]).tolist() for texts in self._cell_texts(tokens)]
        return tuple(tuple(pairwise(positions)) for positions in ends)

    def encode_fill(self, hole: int, text: str) -> Tokens:
        """The tokens (N,) of a text for the hole with this index."""
        return Vocabulary.load().encode(text, self.indents[hole])[0]

    def _cell_texts(self, tokens: Tokens) -> list[list[str]]:
        vocabulary = Vocabulary.load()
        return [
            vocabulary.token_texts(tokens[start : start + capacity], indent)
            for (start, capacity), indent in zip(self.slots, self.indents, strict=True)
        ]


@dataclass(frozen=True)
class _Context:
    """The text before, between or after holes, as tokens.

    head: the tokens from its start, as far as the window may reach.  tail: those up to its end, or None where
    head is complete.  after_hole, before_hole: whether a hole precedes or follows it.
    """

    head: Tokens
    tail: Tokens | None
    after_hole: bool
    before_hole: bool

    def within(self, reach: int, gap: Tokens) -> Tokens:
        """The tokens within ``reach`` of a hole, with a GAP for those that are left out."""
        if self.tail is None and len(self.head) <= reach * (self.after_hole + self.before_hole):
            return self.head
        tail = self.head if self.tail is None else self.tail
        near_start = self.head[:reach] if self.after_hole else EMPTY
        near_end = tail[max(0, len(tail) - reach) :] if self.before_hole else EMPTY
        return np.concatenate([near_start, gap, near_end])


def _fit_contexts(
    source: str, spans: tuple[Span, ...], indents: tuple[Indent, ...], room: int
) -> list[Tokens]:
    """The tokens around the holes, equally many next to each hole and at most ``room`` in all."""
    gap = np.array([Vocabulary.load().special("GAP")])
    contexts = _encode_contexts(source, spans, indents, CHARACTERS_PER_TOKEN * room)
    low, high = 1, room
    while low < high:  # bisect for the largest reach that fits
        middle = (low + high + 1) // 2
        fits = sum(len(context.within(middle, gap)) for context in contexts) <= room
        low, high = (middle, high) if fits else (low, middle - 1)
    fitted = [context.within(low, gap) for context in contexts]
    if sum(map(len, fitted)) > room:
        raise WindowError("too many holes for a window")
    return fitted


def _encode_contexts(
    source: str, spans: tuple[Span, ...], indents: tuple[Indent, ...], reach: int
) -> list[_Context]:
    """Encode what may appear in the window: ``reach`` characters on each side of a hole."""
    vocabulary, unit = Vocabulary.load(), indents[0].unit
    starts, ends = [0, *(end for _, end in spans)], [*(start for start, _ in spans), len(source)]
    contexts = []
    for index, (start, end) in enumerate(zip(starts, ends, strict=True)):
        after_hole, before_hole = index > 0, index < len(spans)
        indent = indents[index - 1] if after_hole else line_indent(source, start, unit)
        if end - start <= reach * (after_hole + before_hole):
            contexts.append(
                _Context(vocabulary.encode(source[start:end], indent)[0], None, after_hole, before_hole)
            )
            continue
        head = vocabulary.encode(source[start : start + reach], indent)[0] if after_hole else EMPTY
        # The tail begins at the start of a line, if that is not too far away.
        cut = source.rfind("\n", 0, end - reach) + 1 if before_hole else end
        cut = cut if end - cut <= 4 * reach else end - reach
        tail = vocabulary.encode(source[cut:end], line_indent(source, cut, unit))[0]
        contexts.append(_Context(head, tail, after_hole, before_hole))
    return contexts
