"""Where a text that is no Python is probably broken.

suspects("def f(a:\n    return a\n")      # [(7, 7), ...]: a bracket is missing before the colon

The compiler decides whether a text is valid. It also reports where it stopped, except for brackets, which it
misses long after they were due. Two more sources help: tree-sitter, which continues after an error, and a count of
brackets that knows how statements begin. ``suspicious_spans`` ranks their answers by how often each was right
(tests/test_code_faults.py repeats the measurement).
"""

from __future__ import annotations

import re
import warnings
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cache, lru_cache

import tree_sitter_python
from tree_sitter import Language, Parser

from solver.tasks.code_edit.positions import Lines, Span, scan_pieces

NARROW = 3  # pieces: an error of tree-sitter's that is not longer is a place; a longer one is where it lost its way
PAIRS = {"(": ")", "[": "]", "{": "}"}
CLAUSES = frozenset(
    ["class", "def", "elif", "except", "finally", "try", "while", "with"]
)  # words that stand nowhere else,
STATEMENTS = CLAUSES | {
    "assert",
    "break",
    "continue",
    "del",
    "global",
    "import",
    "nonlocal",
    "pass",
    "raise",
    "return",
}
HEADS = CLAUSES | {
    "async",
    "case",
    "else",
    "for",
    "if",
    "match",
}  # and words that may begin a line that ends with a colon
BRACKETS = re.compile(r"never closed|does not match opening|unmatched")
UNREADABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class SyntaxDiagnostic:
    """Why the compiler does not take a text.  span: where, if it says so.  kind: "indentation", "bracket" or "other"."""

    message: str
    span: Span | None
    kind: str


@lru_cache(maxsize=64)  # a draft is checked, and then verified
def compile_error(text: str) -> SyntaxDiagnostic | None:
    """What the compiler has against a text; None where it compiles. Nothing is executed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as errors, they would be syntax errors
        try:
            compile(text, "<edit>", "exec", dont_inherit=True)
        except SyntaxError as error:
            kind = "indentation" if isinstance(error, IndentationError) else "other"
            kind = "bracket" if BRACKETS.search(error.msg) else kind
            return SyntaxDiagnostic(error.msg, _place(text, error), kind)
        except (ValueError, RecursionError, MemoryError, OverflowError) as error:
            return SyntaxDiagnostic(str(error) or type(error).__name__, _unreadable(text), "other")
    return None


def _place(text: str, error: SyntaxError) -> Span | None:
    if error.lineno is None:
        return _unreadable(text)
    if error.msg.startswith("f-string") and (error.text or "").startswith(
        "("
    ):  # before 3.12 it counts from the braces
        inner = (error.text or "").strip()[1:-1]
        at = text.find("{" + inner)
        return None if at < 0 else (at + 1, at + 1 + len(inner))
    lines = Lines(text)
    at = lines.character(error.lineno, (error.offset or 1) - 1)
    if isinstance(error, IndentationError):
        return indentation_span(text, lines.character(error.lineno, 0))
    return next(((at, b) for _, (a, b) in scan_pieces(text) if a <= at < b), (at, at))


def _unreadable(text: str) -> Span | None:
    found = UNREADABLE.search(text)
    return found.span() if found else None


def indentation_span(text: str, start: int) -> Span:
    """The indentation of the line that begins at ``start``."""
    line = text[start : start + 1000]
    return start, start + len(line) - len(line.lstrip(" \t"))


@cache
def parser() -> Parser:
    return Parser(Language(tree_sitter_python.language()))


@lru_cache(maxsize=8)
def tree_sitter_errors(text: str) -> tuple[Span, ...]:
    """tree-sitter's errors and what it misses (empty spans), the shortest first."""
    data = text.encode(errors="replace")

    found, waiting = set[Span](), [parser().parse(data).root_node]
    while waiting:
        node = waiting.pop()
        if node.is_missing or node.is_error:
            found.add((node.start_byte, node.start_byte if node.is_missing else node.end_byte))
        waiting += node.children if node.has_error else []
    if not text.isascii():
        found = {
            (len(data[:a].decode(errors="ignore")), len(data[:b].decode(errors="ignore"))) for a, b in found
        }
    return tuple(sorted(found, key=lambda span: (span[1] - span[0], span)))


def suspicious_spans(text: str) -> list[Span]:
    """Places, most suspicious first: a few pieces at most, or an empty span where something is missing. None for a text that
    compiles."""
    refused = compile_error(text)
    if refused is None:
        return []
    found = scan_pieces(text)
    seen = [span for kind, span in found if kind not in ("space", "comment")]
    starts, ends = [a for a, _ in seen], [b for _, b in seen]

    def length(span: Span) -> int:
        return bisect_left(starts, span[1]) - bisect_right(ends, span[0])

    short = [span for span in tree_sitter_errors(text) if length(span) <= NARROW]
    long = [span for span in tree_sitter_errors(text) if length(span) > NARROW]
    brackets, place = _brackets(text, found), [] if refused.span is None else [refused.span]
    ranked = [] if refused.kind == "bracket" else [*place]
    ranked += [inner for one in place if refused.kind == "indentation" for inner in _blocks(text, found, one)]
    ranked += [(a, b) for a, b in short[:1] if a == b]
    ranked += [*brackets[:1], *short[:1], *((a, a) for a, _ in long[:1]), *brackets[1:], *place]
    kept = list[Span]()
    for a, b in ranked:
        if not any(length((min(a, c), max(b, d))) <= length((a, b)) + length((c, d)) for c, d in kept):
            kept.append((a, b))
    return kept


def _brackets(text: str, found: list[tuple[str, Span]]) -> list[Span]:
    """Where the first bracket that goes wrong should have been closed, or is closed wrongly; and what opened it."""
    stack = list[
        tuple[str, Span, int, str]
    ]()  # the bracket, where, the indentation and first word of its line
    last, indent, first, fresh = (0, 0), 0, "", True
    for kind, (a, b) in found:
        piece = text[a:b]
        if kind == "comment":
            continue
        if kind == "space":
            if "\n" in piece or "\r" in piece or a == 0:
                fresh, indent = True, len(piece) - max(piece.rfind("\n"), piece.rfind("\r")) - 1
            continue
        if fresh and stack and piece not in PAIRS.values():
            headed = text[slice(*last)] == ":" and stack[-1][0] == "(" and stack[0][3] in HEADS
            if headed or indent <= stack[0][2] or piece in STATEMENTS:  # a new statement
                at = last[0] if headed else last[1]
                return [(at, at), stack[-1][1]]
        if fresh and not stack:
            first = piece
        fresh = False
        if piece in PAIRS:
            stack.append((piece, (a, b), indent, first))
        elif kind == "operator" and piece in PAIRS.values():
            if not stack or PAIRS[stack[-1][0]] != piece:
                return [(a, b), *(one[1] for one in stack[-1:])]
            stack.pop()
        last = a, b
    return [(last[1], last[1]), stack[-1][1]] if stack else []


def _blocks(text: str, found: list[tuple[str, Span]], place: Span) -> list[Span]:
    """For a line whose indentation fits nowhere: that of the line that began the block it would have to leave, and of the line
    before that; for any other, that of the line before."""
    lines, depth = list[Span](), 0
    for n, (kind, (a, b)) in enumerate(found):
        if b > place[1]:
            break
        piece = text[a:b]
        if kind == "space" and depth == 0 and n + 1 < len(found) and found[n + 1][0] != "comment":
            line = max(piece.rfind("\n"), piece.rfind("\r")) + 1
            if (line or a == 0) and a + line < place[0]:
                lines.append((a + line, b))
        elif n == 0 and kind != "comment":
            lines.append((0, 0))
        depth += (piece in PAIRS) - (kind == "operator" and piece in PAIRS.values())
    wide = place[1] - place[0]
    at = len(lines) - 1
    while at > 0 and lines[at - 1][1] - lines[at - 1][0] > wide:
        at -= 1
    deeper = at >= 0 and lines[at][1] - lines[at][0] > wide
    return [lines[n] for n in ([at, at - 1, len(lines) - 1] if deeper else [len(lines) - 1]) if n >= 0]
