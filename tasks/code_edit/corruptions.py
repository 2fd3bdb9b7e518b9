"""Broken code (T4): one small damage to a function that compiled, and how well a search for the place of damage does.

broken = corrupt(source, (120, 480), np.random.default_rng(0))
broken.kind, broken.source, broken.span      # "dropped", what does not compile, where
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from solver.tasks.code_edit.diagnostics import compile_message
from solver.tasks.code_edit.positions import LINE, Span, piece_distance, scan_pieces, standalone

CORRUPTION_KINDS = ("dropped", "doubled", "replaced", "bracket", "indentation")
TRIES = 24  # draws until one does not compile
SLIPS = {
    ":": ";",
    ",": ".",
    ".": ",",
    "(": "[",
    ")": "]",
    "]": ")",
    "[": "(",
    "}": ")",
    "{": "(",
    "=": "-",
    "==": "=",
    ";": ":",
}

Replacement = tuple[Span, str]


@dataclass(frozen=True)
class Corruption:
    """source: does not compile.  span: the damage in it, empty where something is gone.  original: compiled.
    removed: the text of the original in place of the span."""

    kind: str
    source: str
    span: Span
    original: str
    removed: str


def corrupt(
    source: str, within: Span, rng: np.random.Generator, kind: str | None = None
) -> Corruption | None:
    """One damage to the lines ``within``, of a kind drawn or given. None where they do not compile by themselves, as a function
    does, or no draw of ``TRIES`` breaks them."""
    piece, head = standalone(source, within)
    if compile_message(piece) is not None:
        return None
    kind = str(rng.choice(CORRUPTION_KINDS)) if kind is None else kind
    body = source[slice(*within)]
    found = scan_pieces(body)
    for _ in range(TRIES):
        drawn = DRAWS[kind](body, found, rng)
        if drawn is None:
            return None
        (a, b), new = drawn
        broken = body[:a] + new + body[b:]
        if broken == body or compile_message(piece[:head] + broken) is None:
            continue
        start = within[0] + a
        whole = source[:start] + new + source[within[0] + b :]
        if compile_message(whole) is not None:  # with what stands around it, it could have
            span = (start, start + len(new))
            return Corruption(kind, whole, span, source, body[a:b])
    return None


Found = list[tuple[str, Span]]


def _pick(found: Found, rng: np.random.Generator) -> Span | None:
    return found[int(rng.integers(len(found)))][1] if found else None


def _visible(found: Found) -> Found:
    return [(kind, span) for kind, span in found if kind not in ("space", "comment")]


def _dropped(body: str, found: Found, rng: np.random.Generator) -> Replacement | None:
    span = _pick([(kind, (a, b)) for kind, (a, b) in _visible(found) if body[a:b] not in ")]}"], rng)
    return span and (span, "")


def _doubled(body: str, found: Found, rng: np.random.Generator) -> Replacement | None:
    span = _pick(_visible(found), rng)
    if span is None:
        return None
    text = body[slice(*span)]
    return (span[1], span[1]), f" {text}" if text[0].isalnum() or text[0] in "_'\"" else text


def _replaced(body: str, found: Found, rng: np.random.Generator) -> Replacement | None:
    """By a slip of the finger, where the piece has one, or by another piece of the function."""
    span, other = _pick(_visible(found), rng), _pick(_visible(found), rng)
    if span is None or other is None:
        return None
    text = body[slice(*span)]
    if text in SLIPS and rng.random() < 0.5:
        return span, SLIPS[text]
    if (
        text.isalpha() and len(text) > 2 and rng.random() < 0.5
    ):  # two letters the wrong way round: what breaks it is a keyword's
        at = int(rng.integers(len(text) - 1))
        return span, text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return span, body[slice(*other)]


def _bracket(body: str, found: Found, rng: np.random.Generator) -> Replacement | None:
    span = _pick([(kind, (a, b)) for kind, (a, b) in found if kind == "operator" and body[a:b] in ")]}"], rng)
    return span and (span, "")


def _indentation(body: str, found: Found, rng: np.random.Generator) -> Replacement | None:
    starts = [0, *(match.end() for match in LINE.finditer(body))]
    start = starts[int(rng.integers(len(starts)))]
    end = start + len(body[start:]) - len(body[start:].lstrip(" \t"))
    width = max(0, end - start + int(rng.choice([-4, -3, -2, -1, 1, 2, 3, 4])))
    white = body[start:end]
    return (start, end), white[:width] if width < len(white) else white + " " * (width - len(white))


DRAWS: dict[str, Callable[[str, Found, np.random.Generator], Replacement | None]] = {
    "dropped": _dropped,
    "doubled": _doubled,
    "replaced": _replaced,
    "bracket": _bracket,
    "indentation": _indentation,
}


@dataclass(frozen=True)
class LocalisationCounts:
    """Of ``cases`` damages, how many were within reach of the first suspect, and of any of the first few."""

    cases: int = 0
    first: int = 0
    some: int = 0


def count_localised(
    broken: Iterable[Corruption],
    suspicious_spans: Callable[[str], Sequence[Span]],
    reach: int = 3,
    few: int = 3,
) -> dict[str, LocalisationCounts]:
    """By kind, how often the damage is at most ``reach`` pieces away from what ``suspicious_spans`` names."""
    found: dict[str, LocalisationCounts] = defaultdict(LocalisationCounts)
    for one in broken:
        near = [
            piece_distance(one.source, one.span, span) <= reach for span in suspicious_spans(one.source)[:few]
        ]
        old = found[one.kind]
        found[one.kind] = LocalisationCounts(
            old.cases + 1, old.first + (near[:1] == [True]), old.some + any(near)
        )
    return dict(found)
