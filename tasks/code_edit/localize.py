"""Fault localisation: where a text that does not compile is probably broken.

>>> suspicious_spans("def f(a:\\n    return a\\n")[0]  # a bracket is missing before the colon
(7, 7)

The compiler decides whether a text is valid. It also reports where it stopped, except for brackets, which it
misses long after they were due. Two more sources help: tree-sitter, which continues after an error, and a
count of brackets that knows how statements begin. ``suspicious_spans`` ranks their answers by how often each
was right (tests/test_code_localize.py repeats the measurement). Nothing is executed.
"""

import re
import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

import tree_sitter_python
from tree_sitter import Language, Parser

from solver.tasks.code_edit.lexer import PIECE, Lines, Piece, Span, scan_pieces, visible_pieces

MAX_ERROR_PIECES = (
    3  # a longer error of tree-sitter's shows where it lost its position, not where the fault is
)
PAIRS = {"(": ")", "[": "]", "{": "}"}
# Keywords that begin a clause and appear nowhere else, those that begin any statement, and those whose line
# ends in ":".
CLAUSE_KEYWORDS = frozenset(["class", "def", "elif", "except", "finally", "try", "while", "with"])
STATEMENT_KEYWORDS = CLAUSE_KEYWORDS.union(
    ["assert", "break", "continue", "del", "global", "import", "nonlocal", "pass", "raise", "return"]
)
HEADER_KEYWORDS = CLAUSE_KEYWORDS.union(["async", "case", "else", "for", "if", "match"])
BRACKET_MESSAGE = re.compile(r"never closed|does not match opening|unmatched")
UNREADABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class SyntaxDiagnostic:
    """Why the compiler rejects a text.

    Attributes:
        message: the compiler's message.
        span: where the compiler stopped, or None if it does not report a position.
        kind: "indentation", "bracket" or "other".
    """

    message: str
    span: Span | None
    kind: str


# The checks of a draft, the localisation of its faults and the repair search each ask about the same few
# texts.
@lru_cache(maxsize=64)
def compile_error(text: str) -> SyntaxDiagnostic | None:
    """The compiler's error for a text, or None if it compiles."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # a filter that turns warnings into errors would make them syntax errors
        try:
            compile(text, "<edit>", "exec", dont_inherit=True)
        except SyntaxError as error:
            kind = "indentation" if isinstance(error, IndentationError) else "other"
            kind = "bracket" if BRACKET_MESSAGE.search(error.msg) else kind
            return SyntaxDiagnostic(error.msg, _error_span(text, error), kind)
        except (ValueError, RecursionError, MemoryError, OverflowError) as error:
            return SyntaxDiagnostic(str(error) or type(error).__name__, _unreadable_span(text), "other")
    return None


def compile_message(text: str) -> str | None:
    """The compiler's message for a text, or None if it compiles."""
    error = compile_error(text)
    return None if error is None else error.message


def _error_span(text: str, error: SyntaxError) -> Span | None:
    if error.lineno is None:
        return _unreadable_span(text)
    # Before Python 3.12, the position of an error in an f-string is relative to the expression in braces.
    if error.msg.startswith("f-string") and (error.text or "").startswith("("):
        expression = (error.text or "").strip()[1:-1]
        start = text.find("{" + expression)
        return None if start < 0 else (start + 1, start + 1 + len(expression))
    lines = Lines(text)
    if isinstance(error, IndentationError):
        return indentation_span(text, lines.offset(error.lineno, 0))
    stop = lines.offset(error.lineno, (error.offset or 1) - 1)
    ends = (match.end() for match in PIECE.finditer(text) if match.end() > stop)  # pieces leave no gaps
    return stop, next(ends, stop)


def _unreadable_span(text: str) -> Span | None:
    match = UNREADABLE.search(text)
    return match.span() if match else None


def indentation_span(text: str, start: int) -> Span:
    """The indentation of the line that begins at ``start``."""
    line = text[start : start + 1000]
    return start, start + len(line) - len(line.lstrip(" \t"))


@cache
def python_parser() -> Parser:
    return Parser(Language(tree_sitter_python.language()))


@lru_cache(maxsize=8)  # localising one fault asks three times about the same text
def tree_sitter_errors(text: str) -> tuple[Span, ...]:
    """Spans of tree-sitter's errors, and empty spans where it misses something; the shortest first."""
    data = text.encode(errors="replace")
    byte_spans, pending = set[Span](), [python_parser().parse(data).root_node]
    while pending:
        node = pending.pop()
        if node.is_missing or node.is_error:
            byte_spans.add((node.start_byte, node.start_byte if node.is_missing else node.end_byte))
        pending += node.children if node.has_error else []

    def to_character(offset: int) -> int:
        return offset if text.isascii() else len(data[:offset].decode(errors="ignore"))

    spans = {(to_character(start), to_character(end)) for start, end in byte_spans}
    return tuple(sorted(spans, key=lambda span: (span[1] - span[0], span)))


def suspicious_spans(text: str) -> list[Span]:
    """Spans that are probably at fault, most suspicious first; none for a text that compiles.

    A span covers a few pieces at most. It is empty where something is missing.
    """
    error = compile_error(text)
    if error is None:
        return []
    pieces = scan_pieces(text)
    visible = visible_pieces(pieces)
    starts, ends = [start for start, _ in visible], [end for _, end in visible]

    def count_pieces(start: int, end: int) -> int:
        return bisect_left(starts, end) - bisect_right(ends, start)

    # Collect the answers of all three sources, in an order that depends on the kind of the compiler's error.
    errors = tree_sitter_errors(text)
    short = [span for span in errors if count_pieces(*span) <= MAX_ERROR_PIECES][:1]
    long = [span for span in errors if count_pieces(*span) > MAX_ERROR_PIECES]
    brackets = _bracket_suspects(text, pieces)
    stops = [] if error.span is None else [error.span]
    ranked = [] if error.kind == "bracket" else [*stops]
    if error.kind == "indentation":
        ranked += [suspect for stop in stops for suspect in _block_suspects(text, pieces, stop)]
    ranked += [(start, end) for start, end in short if start == end]
    ranked += [*brackets[:1], *short, *((start, start) for start, _ in long[:1]), *brackets[1:], *stops]

    # Drop a span if a better one is so near that no piece lies between them.
    distinct = list[Span]()
    for start, end in ranked:
        if all(
            count_pieces(min(start, first), max(end, last))
            > count_pieces(start, end) + count_pieces(first, last)
            for first, last in distinct
        ):
            distinct.append((start, end))
    return distinct


@dataclass(frozen=True)
class _OpenBracket:
    """bracket: its character.  indent, keyword: the indentation and the first piece of its line."""

    bracket: str
    span: Span
    indent: int
    keyword: str


def _bracket_suspects(text: str, pieces: list[Piece]) -> list[Span]:
    """The first bracket fault:

    where a closing bracket is missing or wrong, then the bracket that it belongs to.
    """
    stack = list[_OpenBracket]()
    previous, indent, first_piece, at_line_start = (0, 0), 0, "", True
    for kind, span in pieces:
        piece = text[slice(*span)]
        if kind == "comment":
            continue
        if kind == "space":
            if "\n" in piece or "\r" in piece or span[0] == 0:
                at_line_start, indent = True, len(piece) - max(piece.rfind("\n"), piece.rfind("\r")) - 1
            continue
        # A line that begins a new statement while a bracket is open: the bracket should have been closed
        # before.
        if at_line_start and stack and piece not in PAIRS.values():
            after_header = (
                text[slice(*previous)] == ":"
                and stack[-1].bracket == "("
                and stack[0].keyword in HEADER_KEYWORDS
            )
            if after_header or indent <= stack[0].indent or piece in STATEMENT_KEYWORDS:
                due = previous[0] if after_header else previous[1]
                return [(due, due), stack[-1].span]
        if at_line_start and not stack:
            first_piece = piece
        at_line_start = False
        if piece in PAIRS:
            stack.append(_OpenBracket(piece, span, indent, first_piece))
        elif kind == "operator" and piece in PAIRS.values():
            if not stack or PAIRS[stack[-1].bracket] != piece:
                return [span, *(opened.span for opened in stack[-1:])]
            stack.pop()
        previous = span
    return [(previous[1], previous[1]), stack[-1].span] if stack else []


def _line_indents(text: str, pieces: list[Piece], stop: Span) -> Iterator[Span]:
    depth = 0
    for index, (kind, (start, end)) in enumerate(pieces):
        if end > stop[1]:
            return
        piece = text[start:end]
        if kind == "space" and depth == 0 and index + 1 < len(pieces) and pieces[index + 1][0] != "comment":
            line_start = max(piece.rfind("\n"), piece.rfind("\r")) + 1
            if (line_start or start == 0) and start + line_start < stop[0]:
                yield start + line_start, end
        elif index == 0 and kind != "comment":
            yield 0, 0
        depth += (piece in PAIRS) - (kind == "operator" and piece in PAIRS.values())


def _block_suspects(text: str, pieces: list[Piece], stop: Span) -> list[Span]:
    """Indentations that may be wrong instead of that of the line at ``stop``.

    If the lines before are deeper, the line would end their block: the suspects are the first line of that
    block, the line before it and the line before ``stop``. Otherwise it is only the line before ``stop``.
    """
    indents, width = list(_line_indents(text, pieces, stop)), stop[1] - stop[0]
    first = last = len(indents) - 1
    while first > 0 and indents[first - 1][1] - indents[first - 1][0] > width:
        first -= 1
    deeper = first >= 0 and indents[first][1] - indents[first][0] > width
    suspects = [first, first - 1, last] if deeper else [last]
    return [indents[index] for index in suspects if index >= 0]
