"""Corruptions: a small change to a function that compiled, after which it does not.

>>> source = "def f(a):\\n    return (a + 1)\\n"
>>> broken = corrupt(source, (0, len(source)), np.random.default_rng(0), "bracket")
>>> broken.source, broken.span, broken.removed
('def f(a):\\n    return (a + 1\\n', (27, 27), ')')

``count_localised`` measures how often a fault localisation finds the change.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from solver.tasks.code_edit.lexer import (
    LINE_END,
    Piece,
    Span,
    piece_distance,
    scan_pieces,
    standalone,
    visible_pieces,
)
from solver.tasks.code_edit.localize import compile_message

CORRUPTION_KINDS = ("dropped", "doubled", "replaced", "bracket", "indentation")
MAX_DRAWS = 24  # until one does not compile
# Characters that are easily typed instead of others.
TYPOS = {":": ";", ",": ".", ".": ",", "(": "[", ")": "]", "]": ")", "[": "(", "}": ")", "{": "(", "=": "-"}
TYPOS |= {"==": "=", ";": ":"}

Replacement = tuple[Span, str]


@dataclass(frozen=True)
class Corruption:
    """A source that does not compile, and how it was made.

    Attributes:
        kind: one of ``CORRUPTION_KINDS``.
        source: the corrupted source.
        span: the change in it; empty where text was removed.
        original: the source before.
        removed: the text of the original in place of the span.
    """

    kind: str
    source: str
    span: Span
    original: str
    removed: str


def corrupt(
    source: str, within: Span, rng: np.random.Generator, kind: str | None = None
) -> Corruption | None:
    """Corrupt the lines ``within`` once.

    Args:
        source: the source.
        within: the span of whole lines that compile by themselves, such as a function.
        rng: draws the change.
        kind: one of ``CORRUPTION_KINDS``, drawn if None.

    Returns:
        The corruption; None if the lines do not compile by themselves, or none of ``MAX_DRAWS`` changes
        breaks them.
    """
    text, head = standalone(source, within)
    if compile_message(text) is not None:
        return None
    kind = str(rng.choice(CORRUPTION_KINDS)) if kind is None else kind
    body = source[slice(*within)]
    pieces = scan_pieces(body)
    for _ in range(MAX_DRAWS):
        replacement = REPLACERS[kind](body, pieces, rng)
        if replacement is None:
            return None
        (start, end), new = replacement
        broken = body[:start] + new + body[end:]
        if broken == body or compile_message(text[:head] + broken) is None:
            continue
        span = (within[0] + start, within[0] + start + len(new))
        corrupted = source[: span[0]] + new + source[within[0] + end :]
        if compile_message(corrupted) is not None:  # the text around it may have made it valid
            return Corruption(kind, corrupted, span, source, body[start:end])
    return None


def _pick(spans: list[Span], rng: np.random.Generator) -> Span | None:
    return spans[int(rng.integers(len(spans)))] if spans else None


def _drop(body: str, pieces: list[Piece], rng: np.random.Generator) -> Replacement | None:
    span = _pick([span for span in visible_pieces(pieces) if body[slice(*span)] not in ")]}"], rng)
    return span and (span, "")


def _double(body: str, pieces: list[Piece], rng: np.random.Generator) -> Replacement | None:
    span = _pick(visible_pieces(pieces), rng)
    if span is None:
        return None
    text = body[slice(*span)]
    return (span[1], span[1]), f" {text}" if text[0].isalnum() or text[0] in "_'\"" else text


def _replace(body: str, pieces: list[Piece], rng: np.random.Generator) -> Replacement | None:
    """Replace a piece by a typo of it, if there is one, or by another piece of the function."""
    span, other_span = _pick(visible_pieces(pieces), rng), _pick(visible_pieces(pieces), rng)
    if span is None or other_span is None:
        return None
    text = body[slice(*span)]
    if text in TYPOS and rng.random() < 0.5:
        return span, TYPOS[text]
    # Swap two letters of a word. The result does not compile if the word was a keyword.
    if text.isalpha() and len(text) > 2 and rng.random() < 0.5:
        index = int(rng.integers(len(text) - 1))
        return span, text[:index] + text[index + 1] + text[index] + text[index + 2 :]
    return span, body[slice(*other_span)]


def _drop_bracket(body: str, pieces: list[Piece], rng: np.random.Generator) -> Replacement | None:
    brackets = [span for kind, span in pieces if kind == "operator" and body[slice(*span)] in ")]}"]
    span = _pick(brackets, rng)
    return span and (span, "")


def _indent(body: str, pieces: list[Piece], rng: np.random.Generator) -> Replacement | None:
    starts = [0, *(match.end() for match in LINE_END.finditer(body))]
    start = starts[int(rng.integers(len(starts)))]
    white = body[start : len(body) - len(body[start:].lstrip(" \t"))]
    width = max(0, len(white) + int(rng.choice([-4, -3, -2, -1, 1, 2, 3, 4])))
    return (start, start + len(white)), white[:width] + " " * (width - len(white))


REPLACERS: dict[str, Callable[[str, list[Piece], np.random.Generator], Replacement | None]] = {
    "dropped": _drop,
    "doubled": _double,
    "replaced": _replace,
    "bracket": _drop_bracket,
    "indentation": _indent,
}


@dataclass(frozen=True)
class LocalisationCounts:
    """How many of ``cases`` corruptions are near the first suspect, and near any of the first few."""

    cases: int = 0
    first: int = 0
    any_suspect: int = 0


def count_localised(
    corruptions: Iterable[Corruption],
    find_suspects: Callable[[str], Sequence[Span]],
    reach: int = 3,
    num_suspects: int = 3,
) -> dict[str, LocalisationCounts]:
    """Count by kind how often a suspect is at most ``reach`` pieces from the corruption."""
    totals: dict[str, LocalisationCounts] = defaultdict(LocalisationCounts)
    for corruption in corruptions:
        suspects = find_suspects(corruption.source)[:num_suspects]
        near = [piece_distance(corruption.source, corruption.span, span) <= reach for span in suspects]
        total = totals[corruption.kind]
        totals[corruption.kind] = LocalisationCounts(
            total.cases + 1, total.first + (near[:1] == [True]), total.any_suspect + any(near)
        )
    return dict(totals)
