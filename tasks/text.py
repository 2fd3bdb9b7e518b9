"""Text as a task: a prompt, a canvas of tokens some of which are pinned, and a check written by the user.

>>> def decode(ids): return "".join(map(chr, ids))
>>> task = TextTask(vocab=128, decode=decode, check=lambda draft: "b" not in draft.text)
>>> open_cells = np.zeros(2, bool)
>>> problem = Text(EMPTY, np.zeros(2, np.int64), pinned=open_cells, known=open_cells)
>>> task.verify(problem, np.array([99, 99])), task.verify(problem, np.array([98, 99]))
(True, False)

The check is called with a :class:`Draft` (solver.tasks.arguments has its signature). Its violations steer the
loop and prove nothing: a text is never reported as impossible.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from solver.tasks.arguments import Check, run_check
from solver.tasks.errors import InvalidArgument
from solver.tasks.task import EMPTY, Canvas, Mask, Tokens, Violation, once_per_draft

INCOMPLETE = "\ufffd"  # what decoders write for a character whose bytes are not complete


@dataclass(frozen=True)
class Draft:
    """The argument of a text check.

    Attributes:
        text: the answer so far, without the prompt.
        complete: whether the text has ended, or no further canvas follows.
    """

    text: str
    complete: bool = True


@dataclass(frozen=True, eq=False)
class Text:
    """A problem: one canvas of an answer.

    Attributes:
        prompt: tokens (P,) before the answer.
        tokens: tokens (L,), meaningful where ``known``.
        pinned: cells (L,) that never change.
        known: pinned cells and those of a draft that may be revised (L,).
        before: tokens of the answer on earlier canvases.
        complete: whether this canvas is the last one.
        length: maximum tokens of the answer, those on earlier canvases included; further ones are ignored.
        holes: (first cell, cells) of each hole of a template. An end token in a hole fills an unused cell.
        literals: the texts before, between and after the holes of a template; empty for free text.
    """

    prompt: Tokens
    tokens: Tokens
    pinned: Mask
    known: Mask
    before: Tokens = field(default_factory=EMPTY.copy)
    complete: bool = True
    length: int | None = None
    holes: tuple[tuple[int, int], ...] = ()
    literals: tuple[str, ...] = ()


class TextTask:
    """Checks text written in a language model's vocabulary.

    Args:
        vocab: number of tokens.
        decode: turns token ids into text.
        check: the user's check, or None.
        ends: tokens that end the text, or a hole of a template; what follows the first of them is ignored.
        allowed: bitmask (W,) of the tokens that open cells may hold, or (L, W) per cell. None allows all.
        markers: tokens that are no text: where the model writes them, they are left out of the text.
    """

    name = "text"

    def __init__(
        self,
        vocab: int,
        decode: Callable[[list[int]], str],
        check: Check[Draft] | None = None,
        ends: Iterable[int] = (),
        allowed: NDArray[np.int32] | None = None,
        markers: Iterable[int] = (),
    ) -> None:
        self.vocab, self.ends, self.allowed = vocab, frozenset(ends), allowed
        self.markers = np.array(sorted(markers), np.int64)
        self.synonyms = np.array(sorted(self.ends), np.int64)
        self.detokenize, self.user_check = decode, check

    def encode(self, problem: Text) -> Canvas:
        """The canvas of ``problem``."""
        allowed = self.allowed
        if allowed is not None and allowed.ndim == 1:
            allowed = np.broadcast_to(allowed, (len(problem.tokens), len(allowed)))
        return Canvas(problem.tokens, problem.pinned, problem.known, self.vocab, allowed, problem.prompt)

    def decode(self, problem: Text, tokens: Tokens) -> str:
        """The answer so far, without the token that ends it.

        The tokens of all canvases are decoded together: a character may lie on two of them.
        """
        return self.detokenize(self._ids(problem, tokens, self._shown(problem, tokens)))

    def written(self, problem: Text, tokens: Tokens) -> Mask:
        """The cells (L,) of the answer: in free text and in each hole, those before the first end token, and
        within the maximum length."""
        is_end = np.isin(tokens, sorted(self.ends))
        if problem.literals:
            written = ~is_end
            for start, size in problem.holes:
                written[start : start + size] = ~np.logical_or.accumulate(is_end[start : start + size])
            return written
        room = len(tokens) if problem.length is None else problem.length - len(problem.before)
        written = ~np.logical_or.accumulate(is_end)
        written[max(0, room) :] = False
        return written

    def is_ended(self, problem: Text, tokens: Tokens) -> bool:
        """Whether nothing follows this canvas."""
        return problem.complete or not self.written(problem, tokens).all()

    def _shown(self, problem: Text, tokens: Tokens) -> Mask:
        """The written cells (L,) without markers, which only a template may contain as text."""
        return self.written(problem, tokens) & (problem.pinned | ~np.isin(tokens, self.markers))

    def _ids(self, problem: Text, tokens: Tokens, shown: Mask) -> list[int]:
        before = problem.before[~np.isin(problem.before, self.markers)]
        return [*before.tolist(), *tokens[shown].tolist()]

    def verify(self, problem: Text, tokens: Tokens) -> bool:
        """Whether the pinned cells are unchanged, every token is allowed, and the check passes."""
        if not (tokens == problem.tokens)[problem.pinned].all() or not self.is_allowed(problem, tokens):
            return False
        return not self.report(problem, tokens) and not self.altered_literals(problem, tokens)

    def is_allowed(self, problem: Text, tokens: Tokens) -> bool:
        """Whether every open cell holds a token that it may hold."""
        if tokens.min(initial=0) < 0 or tokens.max(initial=0) >= self.vocab:
            return False
        if self.allowed is None:
            return True
        rows = () if self.allowed.ndim == 1 else (np.arange(len(tokens)),)
        words = self.allowed[(*rows, tokens // 32)]
        return bool((words >> (tokens % 32) & 1 == 1)[~problem.pinned].all())

    def check(self, problem: Text, tokens: Tokens, known: Mask) -> list[Violation]:
        """The user's violations, located in open cells, and altered literals; none while a cell is unknown.

        A violation without a location blames no cell: blaming all would discard what is right.
        """
        if not known.all():
            return []
        violations = self.report(problem, tokens)
        is_located = any(violation.span for violation in violations)
        bounds = self.cell_spans(problem, tokens) if is_located else None
        located = []
        for violation in violations:
            cells: tuple[int, ...] = ()
            if violation.span is not None and bounds is not None:
                blamed = overlapping(violation.span, *bounds) & ~problem.pinned
                cells = tuple(np.flatnonzero(blamed).tolist())
            located.append(replace(violation, cells=cells, reason=None, excluded=None))
        return located + self.altered_literals(problem, tokens)

    @once_per_draft
    def report(self, problem: Text, tokens: Tokens) -> tuple[Violation, ...]:
        """The result of the user's check on full ``tokens``."""
        draft = Draft(self.decode(problem, tokens), self.is_ended(problem, tokens))
        return run_check(self.user_check, draft)

    def cell_spans(self, problem: Text, tokens: Tokens) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First character and end of each cell's text (L,). Cells that are not written are empty.

        Tokens that share a character all have its span.
        """
        reader = PrefixReader(self, problem, tokens)
        prefixes = [reader.prefix(count) for count in range(reader.num_shown + 1)]
        characters = [prefix.characters for prefix in prefixes]
        ends = characters[1:]
        for index in reversed(range(reader.num_shown - 1)):
            if not prefixes[index + 1].is_final:
                ends[index] = ends[index + 1]
        for index, end in enumerate(ends):  # the bytes of a character that is never complete
            if end == characters[index] > 0 and reader.text[end - 1] == INCOMPLETE:
                characters[index] = end - 1
        first = np.array([characters[count] for count in reader.shown_before[:-1]], np.int64)
        last = first.copy()
        last[reader.shown] = ends
        return first, last

    def fills(self, problem: Text, tokens: Tokens) -> tuple[str, ...]:
        """The text of each hole."""
        reader = PrefixReader(self, problem, tokens)
        spans = [(reader.before(start), reader.before(start + size)) for start, size in problem.holes]
        return tuple(reader.text[start.characters : end.characters] for start, end in spans)

    @once_per_draft
    def altered_literals(self, problem: Text, tokens: Tokens) -> list[Violation]:
        """A violation for each literal that the decoded text does not contain at its place.

        A decoder may change text where tokens meet. The open cells next to the literal are blamed.
        """
        if not any(problem.literals):
            return []
        reader, cells = PrefixReader(self, problem, tokens), len(tokens)
        starts = [0, *(start + size for start, size in problem.holes)]
        ends = [*(start for start, _ in problem.holes), cells]
        violations = []
        for number, (literal, *span) in enumerate(zip(problem.literals, starts, ends, strict=True)):
            start, end = map(reader.before, span)
            is_whole = start.is_final and end.is_final
            if is_whole and reader.text[start.characters : end.characters] == literal:
                continue
            beside = problem.holes[max(0, number - 1) : number + 1]
            blamed = tuple(cell for first, size in beside for cell in range(first, first + size))
            message = f"the text does not contain {literal!r} as it was given"
            violations.append(Violation(message, cells=blamed, rule="template"))
        return violations


class PrefixReader:
    """Reads the text of a draft up to any cell.

    Attributes:
        text: the decoded text.
        shown: the cells (L,) whose tokens are decoded.
        shown_before: the number of them before each cell and before the end (L + 1,).
    """

    def __init__(self, task: TextTask, problem: Text, tokens: Tokens) -> None:
        self.task, self.shown = task, task._shown(problem, tokens)
        self.ids = task._ids(problem, tokens, self.shown)
        self.text = task.detokenize(self.ids)
        self.num_shown = int(self.shown.sum())
        self.shown_before = np.concatenate([[0], np.cumsum(self.shown)])

    def before(self, cell: int) -> "Prefix":
        """The text before ``cell``."""
        return self.prefix(int(self.shown_before[min(cell, len(self.shown))]))

    def prefix(self, count: int) -> "Prefix":
        """The text of the first ``count`` shown cells and of the canvases before."""
        text = self.task.detokenize(self.ids[: len(self.ids) - self.num_shown + count])
        differs = (i for i, pair in enumerate(zip(text, self.text, strict=False)) if pair[0] != pair[1])
        characters = len(text) if self.text.startswith(text) else next(differs, len(self.text))
        return Prefix(characters, characters == len(text))


class Prefix(NamedTuple):
    """The beginning of a text.

    Attributes:
        characters: the number of its characters that the tokens after it do not change.
        is_final: whether these are all.
    """

    characters: int
    is_final: bool


def overlapping(span: tuple[int, int], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Mask:
    """(L,) bool: cells whose text overlaps ``span``; for an empty span, the cells on both sides of it."""
    first, end = span
    if first < end:
        return (starts < end) & (ends > first)
    touching = (starts <= first) & (ends >= first)
    empty = np.flatnonzero(touching & (starts == ends))
    touching[empty[1:]] = False  # of the cells after the end of the text, only the first
    return touching


@dataclass(frozen=True)
class Hole:
    """A place to be written in a template.

    Attributes:
        size: cells of the hole, of which some may stay unused: tokens for generate, bytes for fill. None
            shares the room that is left.
        start: a draft to begin with (generate only).
        label: name of the hole in messages.

    Raises:
        InvalidArgument: the size is not a positive integer, or start or label is not a string.
    """

    size: int | None = None
    start: str | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        size: object = self.size
        is_whole = isinstance(size, Integral) and not isinstance(size, bool)
        if size is not None and not (is_whole and size >= 1):  # type: ignore[operator]  # it is a number
            raise InvalidArgument(f"the size of {self} must be a whole number of at least 1, not {size!r}")
        for name in ("start", "label"):
            if not isinstance(getattr(self, name), str | None):
                raise InvalidArgument(f"the {name} of a hole must be a string, not {getattr(self, name)!r}")

    def __str__(self) -> str:
        return "a hole" if self.label is None else f"hole {self.label!r}"


def share_room(sizes: Sequence[int | None], room: int, unit: str = "tokens") -> list[int]:
    """Give the holes without a size equal shares of the remaining ``room``; earlier ones get the rest.

    >>> share_room([4, None, None], 15)
    [4, 6, 5]

    Raises:
        InvalidArgument: less than one cell is left for each.
    """
    unsized = sizes.count(None)
    room -= sum(size or 0 for size in sizes)
    if unsized and room < unsized:
        raise InvalidArgument(
            f"the template has no room for its holes without a size: give more {unit} of length"
        )
    shares = iter([room // unsized + (k < room % unsized) for k in range(unsized)])
    return [next(shares) if size is None else int(size) for size in sizes]
