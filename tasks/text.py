"""Text as a task: a prompt, a canvas of tokens some of which are pinned, and a check written by the user.

>>> def decode(ids): return "".join(map(chr, ids))
>>> task = TextTask(vocab=128, decode=decode, check=lambda draft: "b" not in draft.text)
>>> problem = text_from_template(["a", Hole(2)], encode=lambda text: [*map(ord, text)], decode=decode)
>>> problem.pinned.tolist()
[True, False, False]
>>> task.verify(problem, np.array([97, 99, 99])), task.verify(problem, np.array([97, 98, 99]))
(True, False)

The check is called with a :class:`Draft` (solver.tasks.arguments has its signature). Its violations steer the
loop and prove nothing: a text is never reported as impossible.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral

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
        holes: (first cell, cells) of each hole of a template.
    """

    prompt: Tokens
    tokens: Tokens
    pinned: Mask
    known: Mask
    before: Tokens = field(default_factory=EMPTY.copy)
    complete: bool = True
    length: int | None = None
    holes: tuple[tuple[int, int], ...] = ()


class TextTask:
    """Checks text written in a language model's vocabulary.

    Args:
        vocab: number of tokens.
        decode: turns token ids into text.
        check: the user's check, or None.
        ends: tokens that end the text; everything after the first of them is ignored.
        allowed: bitmask (W,) of the tokens that open cells may hold, or (L, W) per cell. None allows all.
    """

    name = "text"

    def __init__(
        self,
        vocab: int,
        decode: Callable[[list[int]], str],
        check: Check[Draft] | None = None,
        ends: Iterable[int] = (),
        allowed: NDArray[np.int32] | None = None,
    ) -> None:
        self.vocab, self.ends, self.allowed = vocab, frozenset(ends), allowed
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
        return self.detokenize([*problem.before.tolist(), *self.written(problem, tokens)])

    def written(self, problem: Text, tokens: Tokens) -> list[int]:
        """The tokens of this canvas that belong to the answer: before the first end, and within the length."""
        ids = [int(token) for token in tokens]
        room = len(ids) if problem.length is None else problem.length - len(problem.before)
        return ids[: min(room, self.first_end(ids))]

    def first_end(self, ids: list[int]) -> int:
        """Index of the first token that ends the text, or the number of tokens."""
        return next((index for index, token in enumerate(ids) if token in self.ends), len(ids))

    def verify(self, problem: Text, tokens: Tokens) -> bool:
        """Whether the pinned cells are unchanged, every token is allowed, and the check passes."""
        if not (tokens == problem.tokens)[problem.pinned].all() or not self.is_allowed(problem, tokens):
            return False
        return not self.report(problem, tokens)

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
        """The user's violations, located in open cells; none while a cell is unknown.

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
        return located

    @once_per_draft
    def report(self, problem: Text, tokens: Tokens) -> tuple[Violation, ...]:
        """The result of the user's check on full ``tokens``."""
        complete = problem.complete or len(self.written(problem, tokens)) < len(tokens)
        return run_check(self.user_check, Draft(self.decode(problem, tokens), complete))

    def cell_spans(self, problem: Text, tokens: Tokens) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First character and end of each cell's text (L,). Cells after the end of the text are empty.

        A token's text depends on the tokens before it, so every prefix is decoded. Tokens that share a
        character all have its span.
        """
        before, ids = problem.before.tolist(), self.written(problem, tokens)
        prefixes = [self.detokenize([*before, *ids[:count]]) for count in range(len(ids) + 1)]
        lengths = [len(prefix.rstrip(INCOMPLETE)) for prefix in prefixes[:-1]] + [len(prefixes[-1])]
        ends = lengths[1:]
        for index in reversed(range(len(ids) - 1)):
            ends[index] = ends[index] if ends[index] > lengths[index] else ends[index + 1]
        rest = [lengths[-1]] * (len(tokens) - len(ids))
        return np.array(lengths[:-1] + rest, np.int64), np.array(ends + rest, np.int64)


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
        size: cells of the hole: tokens for generate, bytes for fill. None shares the room that is left.
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


# Text is encoded after each of these in turn: some tokenizers put a space before the first word.
ANCHORS = ("", "\n", "a", ".")


def spell(text: str, encode: Callable[[str], list[int]], decode: Callable[[list[int]], str]) -> list[int]:
    """Tokens that decode to ``text`` at any position. Raises InvalidArgument if there are none."""
    letter = encode("a")
    for anchor in ANCHORS:
        prefix = encode(anchor) if anchor else []
        ids = encode(anchor + text)
        suffix = ids[len(prefix) :]
        follows_anchor = ids[: len(prefix)] == prefix and decode(prefix + suffix) == decode(prefix) + text
        if follows_anchor and decode(letter + suffix) == decode(letter) + text:
            return suffix
    raise InvalidArgument(
        f"the tokenizer does not give {text!r} back as it was, but {decode(encode(text))!r}"
    )


def text_from_template(
    template: Sequence[str | Hole],
    encode: Callable[[str], list[int]],
    decode: Callable[[list[int]], str],
    length: int | None = None,
) -> Text:
    """A template as a problem without a prompt: literals are pinned, holes are open.

    Args:
        template: literals and holes.
        encode: turns text into token ids.
        decode: turns token ids into text.
        length: tokens in all, shared by holes without a size. None allows no such hole.

    Raises:
        InvalidArgument: a literal does not survive its tokens, a start is longer than its hole, or there is
            no room.
    """
    parts = [part for part in template if part]
    texts = [part.start or "" if isinstance(part, Hole) else part for part in parts]
    spelled = [spell(text, encode, decode) if text else [] for text in texts]
    literal = sum(len(ids) for part, ids in zip(parts, spelled, strict=True) if isinstance(part, str))
    hole_sizes = [part.size for part in parts if isinstance(part, Hole)]
    sizes = iter(share_room(hole_sizes, (length or 0) - literal))
    tokens: list[int] = []
    pinned: list[bool] = []
    known: list[bool] = []
    placed: list[tuple[int, int]] = []
    for part, text, ids in zip(parts, texts, spelled, strict=True):
        size = next(sizes) if isinstance(part, Hole) else len(ids)
        if len(ids) > size:
            raise InvalidArgument(f"the start {text!r} has {len(ids)} tokens, its hole {size}")
        if isinstance(part, Hole):
            placed.append((len(tokens), size))
        tokens += ids + [0] * (size - len(ids))
        known += [True] * len(ids) + [False] * (size - len(ids))
        pinned += [isinstance(part, str)] * size
    return Text(
        np.zeros(0, np.int64),
        np.array(tokens, np.int64),
        np.array(pinned, bool),
        np.array(known, bool),
        holes=tuple(placed),
    )
