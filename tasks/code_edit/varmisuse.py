"""Rows of the variable-misuse data of GREAT (Hellendoorn et al., ICLR 2020) as source, with the place of a wrong variable (T2).

    reasons = Counter()
    converted = [varmisuse(row, reasons) for row in rows]     # None where a row is no Python 3; reasons say why, and how often
    converted[0].source, converted[0].span, converted[0].candidates

A row is one function, in tokens of a normalised spelling ("def name(", "#NEWLINE#", "#INDENT#", strings on one line). It is
written out here the way people write; line ends in brackets stay.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any

from solver.tasks.code_edit.diagnostics import compile_message
from solver.tasks.code_edit.positions import Span

UNIT = "    "
LAYOUT = {"#NEWLINE#": 0, "#INDENT#": 1, "#UNINDENT#": -1}
NAME = re.compile(r"\**([^\W\d]\w*)")  # the stars of a parameter are glued to it
VALUES = frozenset(["None", "True", "False"])


@dataclass(frozen=True)
class MisuseCase:
    """One function, which compiles.  span: the variable that is used wrongly, None where none is.  targets: the names that are
    right there.  candidates: the names there are to choose from.  uses: the mentions of them that the data numbers, in order;
    ``span`` is one of these."""

    source: str
    span: Span | None
    targets: tuple[str, ...]
    candidates: tuple[str, ...]
    uses: tuple[Span, ...]


def convert_row(row: Mapping[str, Any], reasons: Counter[str] | None = None) -> MisuseCase | None:
    """A row with ``source_tokens``, ``has_bug``, ``error_location``, ``repair_targets`` and ``repair_candidates`` (numbers of
    tokens; candidates also names). None, and one more of its reason, where what is written out does not compile, a number is of
    no name, or nothing is right."""
    reasons = Counter() if reasons is None else reasons
    source, spans = written(row["source_tokens"])
    if compile_message(source) is not None:
        reasons["does not compile"] += 1
        return None
    wrong = [row["error_location"]] if row["has_bug"] else []
    targets = row["repair_targets"] if row["has_bug"] else []
    mentions = sorted(one for one in row["repair_candidates"] if isinstance(one, int))
    places = {at: named(source, spans[at]) for at in {*wrong, *targets, *mentions} if at < len(spans)}
    if any(places.get(at) is None for at in [*wrong, *targets, *mentions]):
        reasons["a number is of no name"] += 1
        return None
    if wrong and not targets:
        reasons["the right name is not said"] += 1
        return None
    known = {at: place for at, place in places.items() if place is not None}
    names = [source[slice(*known[at])] for at in mentions] + [
        one for one in row["repair_candidates"] if isinstance(one, str)
    ]
    right = [source[slice(*known[at])] for at in targets]
    span = known[wrong[0]] if wrong else None
    if span is not None and source[slice(*span)] in right:
        reasons["the wrong name is right"] += 1
        return None
    return MisuseCase(
        source,
        span,
        tuple(dict.fromkeys(right)),
        tuple(dict.fromkeys(names)),
        tuple(known[at] for at in mentions),
    )


def named(source: str, span: Span) -> Span | None:
    """The name in a token."""
    found = NAME.fullmatch(source, *span)
    return found.span(1) if found and not iskeyword(found[1]) else None


def written(tokens: Sequence[str]) -> tuple[str, list[Span]]:
    """The tokens as text, and where each of them is in it; empty spans for those that are layout."""
    parts, spans, length = list[str](), list[Span](), 0
    depth, fresh, before, unary, brackets = 0, False, "", False, list[str]()
    for token in tokens:
        if token in LAYOUT:
            depth, fresh = depth + LAYOUT[token], True
            spans.append((length, length))
            continue
        if fresh:
            gap = ("\n" if length else "") + UNIT * depth
        else:
            gap = " " if spaced(before, token, unary, "".join(brackets[-1:])) else ""
        unary = fresh or not ends_value(before)  # whether a sign here has nothing on its left
        before, fresh = token, False
        parts += [gap, token]
        spans.append((length + len(gap), length + len(gap) + len(token)))
        length = spans[-1][1]
        if token[-1] in "([{":
            called = token[-1] == "(" and (len(token) > 1 or not unary)
            brackets.append("call" if called else token)
        elif token in (")", "]", "}"):
            del brackets[-1:]
    return "".join([*parts, "\n"]), spans


def ends_value(token: str) -> bool:
    """Whether what follows continues an expression."""
    return (
        token in (")", "]", "}")
        or token in VALUES
        or (bool(token) and token[-1] not in "([{" and not iskeyword(token) and word(token))
    )


def word(token: str) -> bool:
    """A name, a number or a string."""
    return token[-1].isalnum() or token[-1] in "_'\""


def spaced(before: str, token: str, unary: bool, bracket: str) -> bool:
    """Whether people write a space between two tokens. unary: whether ``before`` has nothing on its left.
    bracket: "call", "(", "[", "{" or "", what both stand in."""
    if before[-1:] in ("(", "[", "{") or before in (".", "~") or token in (")", "]", "}", ",", ":", "."):
        return False
    if "=" in (before, token) and bracket == "call":
        return False
    if token in ("(", "["):
        return not ends_value(before)
    if before in ("*", "**", "-", "+", "@") and unary:
        return False
    return not (before == ":" and bracket == "[")
