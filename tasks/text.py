"""Text as a task: a prompt, a canvas of tokens some of which are pinned, and a check that says where the text is wrong.

    task = TextTask(vocab=len(tokenizer), decode=tokenizer.decode, check=lambda draft: [])
    problem = Text(prompt=ids, parts=("Answer: ", Hole(12), "."), ...)

The check is the user's own: it is given a :class:`Draft` and yields a :class:`Fault` for everything that is wrong, or a plain
message where it cannot say where. Faults steer and never prove: text is never called impossible.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.tasks.canvas import Canvas, Mask, Tokens
from solver.tasks.task import Violation


@dataclass(frozen=True)
class Draft:
    """What a check is given: the ``text`` so far, prompt left out, and whether it is ``complete`` or more canvases follow."""

    text: str
    complete: bool = True


@dataclass(frozen=True)
class Fault:
    """Something wrong with the characters ``start`` to ``end`` (exclusive) of a draft's text."""

    start: int
    end: int
    message: str


Check = Callable[[Draft], Iterable[Fault | str]]


@dataclass(frozen=True, eq=False)
class Text:
    """A problem: ``tokens`` (L,), meaningful where ``pinned`` (L,), after the ``prompt`` (P,) and the text ``before`` them.

    known (L,): pinned cells, and a draft to be refined.  complete: whether this canvas is the last.
    """

    prompt: Tokens
    tokens: Tokens
    pinned: Mask
    known: Mask
    before: str = ""
    complete: bool = True


class TextTask:
    """See the module.

    ``decode`` turns token ids into text.  ``ends``: tokens that end the text; what follows one is ignored.  ``allowed``: a
    bitmask (W,) of the tokens that may stand in any open cell, or (L, W) for each, None for all.
    """

    name = "text"

    def __init__(
        self,
        vocab: int,
        decode: Callable[[list[int]], str],
        check: Check | None = None,
        ends: Iterable[int] = (),
        allowed: NDArray[np.int32] | None = None,
    ) -> None:
        self.vocab, self.ends, self.allowed = vocab, frozenset(ends), allowed
        self._decode, self._check = decode, check
        self._judged: tuple[bytes, tuple[Fault | str, ...]] = (b"", ())

    def encode(self, problem: Text) -> Canvas:
        allowed = self.allowed
        if allowed is not None and allowed.ndim == 1:
            allowed = np.broadcast_to(allowed, (len(problem.tokens), len(allowed)))
        return Canvas(problem.tokens, problem.pinned, problem.known, self.vocab, allowed, problem.prompt)

    def decode(self, problem: Text, tokens: Tokens) -> str:
        """The text up to its end, without the token that ends it."""
        return problem.before + self._decode(self.written(tokens))

    def written(self, tokens: Tokens) -> list[int]:
        """The tokens before the first that ends the text."""
        ids = [int(token) for token in tokens]
        return ids[: next((at for at, token in enumerate(ids) if token in self.ends), len(ids))]

    def verify(self, problem: Text, tokens: Tokens) -> bool:
        """Pinned cells stand, every token may stand where it stands, and the check has nothing to say."""
        if not (tokens == problem.tokens)[problem.pinned].all() or not self.may_stand(problem, tokens):
            return False
        return not self.faults(problem, tokens)

    def may_stand(self, problem: Text, tokens: Tokens) -> bool:
        """Whether every open cell holds a token that it is allowed."""
        if tokens.min(initial=0) < 0 or tokens.max(initial=0) >= self.vocab:
            return False
        if self.allowed is None:
            return True
        words = (
            self.allowed[..., tokens // 32]
            if self.allowed.ndim == 1
            else self.allowed[np.arange(len(tokens)), tokens // 32]
        )
        return bool((words >> (tokens % 32) & 1 == 1)[~problem.pinned].all())

    def check(self, problem: Text, tokens: Tokens, known: Mask) -> list[Violation]:
        """The user's faults, as cells that are not pinned (none, where the check does not say where); a text with unknown cells
        cannot be read yet."""
        if not known.all():
            return []
        faults = self.faults(problem, tokens)
        found = []
        bounds = self.bounds(problem, tokens) if any(isinstance(fault, Fault) for fault in faults) else None
        for fault in faults:
            blamed = np.zeros(
                0, np.int64
            )  # nowhere in particular: to blame every cell would throw away what is right
            if isinstance(fault, Fault) and bounds is not None:
                blamed = np.flatnonzero(blame(fault, *bounds) & ~problem.pinned)
            message = fault.message if isinstance(fault, Fault) else fault
            found.append(Violation(tuple(int(cell) for cell in blamed), "check", message))
        return found

    def faults(self, problem: Text, tokens: Tokens) -> tuple[Fault | str, ...]:
        """What the check says of full tokens; asked once for each draft."""
        complete = problem.complete or len(self.written(tokens)) < len(tokens)
        key = tokens.tobytes() + problem.before.encode() + bytes([complete])
        if self._judged[0] != key:
            said = () if self._check is None else self._check(Draft(self.decode(problem, tokens), complete))
            self._judged = key, (said,) if isinstance(said, str) else tuple(said)
        return self._judged[1]

    def bounds(self, problem: Text, tokens: Tokens) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where each cell's text starts and ends (L,), by the text of all tokens before it; behind the end all is empty."""
        ids, cells = self.written(tokens), len(tokens)
        reach = [len(problem.before) + len(self._decode(ids[:count])) for count in range(len(ids) + 1)]
        reach += [reach[-1]] * (cells - len(ids))
        return np.array(reach[:-1], np.int64), np.array(reach[1:], np.int64)


def blame(fault: Fault, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Mask:
    """(L,) bool: the cells whose text overlaps the fault; for an empty one, the cells on both sides of the place."""
    if fault.start < fault.end:
        return (starts < fault.end) & (ends > fault.start)
    touched = (starts <= fault.start) & (ends >= fault.start)
    behind = np.flatnonzero(touched & (starts == ends))
    touched[behind[1:]] = False  # of the cells behind the end of the text, the first
    return touched


@dataclass(frozen=True)
class Hole:
    """A place of ``tokens`` open cells in a template; ``start`` is a draft to begin with, as text."""

    tokens: int
    start: str | None = None

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise ValueError(f"a hole must have at least one token, not {self.tokens}")


ANCHORS = (
    "",
    "\n",
    "a",
    ".",
)  # what a text may stand behind: some tokenizers put a blank before the first word


def spell(text: str, encode: Callable[[str], list[int]], decode: Callable[[list[int]], str]) -> list[int]:
    """Tokens that are ``text`` wherever they stand. Raises ValueError where the tokenizer has none."""
    for anchor in ANCHORS:
        before = encode(anchor) if anchor else []
        ids = encode(anchor + text)
        if (
            ids[: len(before)] == before
            and decode(before + ids[len(before) :])[len(decode(before)) :] == text
        ):
            behind = encode("a")
            own = ids[len(before) :]
            if decode(behind + own) == decode(behind) + text:  # behind something else, too
                return own
    raise ValueError(f"the tokenizer does not give {text!r} back as it was, but {decode(encode(text))!r}")


def lay_out(
    template: Sequence[str | Hole], encode: Callable[[str], list[int]], decode: Callable[[list[int]], str]
) -> Text:
    """A template as a problem without a prompt: literals pinned, holes open. Raises ValueError where a literal does not come back
    from its tokens as it was, or a start is longer than its hole."""
    tokens: list[int] = []
    pinned: list[bool] = []
    known: list[bool] = []
    for part in template:
        if isinstance(part, Hole):
            ids = spell(part.start, encode, decode) if part.start else []
            if len(ids) > part.tokens:
                raise ValueError(f"the start {part.start!r} has {len(ids)} tokens, its hole {part.tokens}")
            tokens += ids + [0] * (part.tokens - len(ids))
            known += [True] * len(ids) + [False] * (part.tokens - len(ids))
            pinned += [False] * part.tokens
        elif part:
            ids = spell(part, encode, decode)
            tokens += ids
            known += [True] * len(ids)
            pinned += [True] * len(ids)
    none = np.zeros(0, np.int64)
    return Text(none, np.array(tokens, np.int64), np.array(pinned, bool), np.array(known, bool))
