"""The variable-misuse data of GREAT (Hellendoorn et al., ICLR 2020): functions with a wrong variable.

>>> tokens = ["#NEWLINE#", "def f(", "a", ",", "b", ")", ":", "#NEWLINE#", "#INDENT#", "return", "a"]
>>> detokenize(tokens)[0]
'def f(a, b):\\n    return a\\n'

A row of the data is one function, in tokens of a normalised spelling ("def name(", "#NEWLINE#", "#INDENT#",
strings on one line). It is written the way people write Python; line ends in brackets stay.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any

from solver.tasks.code_edit.lexer import Span
from solver.tasks.code_edit.localize import compile_message

UNIT = "    "
LAYOUT_DEPTHS = {"#NEWLINE#": 0, "#INDENT#": 1, "#UNINDENT#": -1}
STARRED_NAME = re.compile(r"\**([^\W\d]\w*)")  # the stars of a parameter are part of its token
CONSTANTS = frozenset(["None", "True", "False"])
CLOSING = frozenset([")", "]", "}"])


@dataclass(frozen=True)
class MisuseCase:
    """A function that compiles.

    Attributes:
        source: its text.
        span: the variable that is used wrongly, None if there is none.
        targets: the names that are right there.
        candidates: the names to choose from.
        uses: the mentions of candidates that the data numbers, in order; ``span`` is one of them.
    """

    source: str
    span: Span | None
    targets: tuple[str, ...]
    candidates: tuple[str, ...]
    uses: tuple[Span, ...]


def convert_row(row: Mapping[str, Any], reasons: Counter[str] | None = None) -> MisuseCase | None:
    """Convert a row of the data.

    Args:
        row: with ``source_tokens``, ``has_bug``, ``error_location``, ``repair_targets`` and
            ``repair_candidates``. The last three are indices of tokens; a candidate may also be a name.
        reasons: counts why rows are refused.

    Returns:
        The case; None if the text does not compile, an index is of no name, or no name is right.
    """
    reasons = Counter() if reasons is None else reasons
    source, spans = detokenize(row["source_tokens"])
    if compile_message(source) is not None:
        reasons["does not compile"] += 1
        return None
    wrong = [row["error_location"]] if row["has_bug"] else []
    targets = row["repair_targets"] if row["has_bug"] else []
    mentions = sorted(index for index in row["repair_candidates"] if isinstance(index, int))
    names = dict[int, Span]()
    for index in {*wrong, *targets, *mentions}:
        span = name_span(source, spans[index]) if index < len(spans) else None
        if span is None:
            reasons["a number is of no name"] += 1
            return None
        names[index] = span
    if wrong and not targets:
        reasons["the right name is not said"] += 1
        return None
    candidates = [source[slice(*names[index])] for index in mentions]
    candidates += [name for name in row["repair_candidates"] if isinstance(name, str)]
    right = [source[slice(*names[index])] for index in targets]
    wrong_span = names[wrong[0]] if wrong else None
    if wrong_span is not None and source[slice(*wrong_span)] in right:
        reasons["the wrong name is right"] += 1
        return None
    return MisuseCase(
        source,
        wrong_span,
        tuple(dict.fromkeys(right)),
        tuple(dict.fromkeys(candidates)),
        tuple(names[index] for index in mentions),
    )


def name_span(source: str, span: Span) -> Span | None:
    """The name in a token, or None if it is no name."""
    match = STARRED_NAME.fullmatch(source, *span)
    return match.span(1) if match and not iskeyword(match[1]) else None


def detokenize(tokens: Sequence[str]) -> tuple[str, list[Span]]:
    """The text of a row's tokens, and the span of each of them; empty spans for layout."""
    parts, spans, length = list[str](), list[Span](), 0
    depth, at_line_start, previous, is_unary, brackets = 0, False, "", False, list[str]()
    for token in tokens:
        if token in LAYOUT_DEPTHS:
            depth, at_line_start = depth + LAYOUT_DEPTHS[token], True
            spans.append((length, length))
            continue
        if at_line_start:
            gap = ("\n" if length else "") + UNIT * depth
        else:
            gap = " " if needs_space(previous, token, is_unary, "".join(brackets[-1:])) else ""
        is_unary = at_line_start or not ends_value(previous)  # if the token is a sign, it has no left operand
        previous, at_line_start = token, False
        parts += [gap, token]
        spans.append((length + len(gap), length + len(gap) + len(token)))
        length = spans[-1][1]
        if token[-1] in "([{":
            is_call = token[-1] == "(" and (len(token) > 1 or not is_unary)
            brackets.append("call" if is_call else token)
        elif token in CLOSING:
            del brackets[-1:]
    return "".join([*parts, "\n"]), spans


def ends_value(token: str) -> bool:
    """Whether a token after this one continues an expression."""
    if token in CLOSING or token in CONSTANTS:
        return True
    is_word = token != "" and (token[-1].isalnum() or token[-1] in "_'\"")  # a name, a number or a string
    return is_word and not iskeyword(token)


def needs_space(previous: str, token: str, is_unary: bool, bracket: str) -> bool:
    """Whether people write a space between two tokens.

    Args:
        previous: the first token.
        token: the second token.
        is_unary: whether ``previous`` has no left operand.
        bracket: the innermost bracket around both: "call", "(", "[", "{" or "".
    """
    if previous[-1:] in ("(", "[", "{") or previous in (".", "~") or token in (*CLOSING, ",", ":", "."):
        return False
    if "=" in (previous, token) and bracket == "call":
        return False
    if token in ("(", "["):
        return not ends_value(previous)
    if previous in ("*", "**", "-", "+", "@") and is_unary:
        return False
    return not (previous == ":" and bracket == "[")
