"""Positions in a Python source: character offsets of lines and columns, and the visible pieces of a text.

A *piece* is what a reader sees as one unit: a word, number, operator, string, comment or run of white space.

>>> Lines("é = f(x)").offset_of_byte(1, 3)  # byte column 3 of the first line is its third character
2
>>> piece_spans("f(a + 1)")
[(0, 1), (1, 2), (2, 3), (4, 5), (6, 7), (7, 8)]
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_left, bisect_right

Span = tuple[int, int]  # start and end (exclusive), in characters
Piece = tuple[str, Span]  # kind and span
Located = ast.expr | ast.stmt | ast.arg | ast.alias | ast.keyword | ast.excepthandler | ast.pattern

LINE_END = re.compile(r"\r\n|\r|\n")  # as Python counts lines; str.splitlines also splits at form feeds
PIECE = re.compile(
    r"""
    (?P<string>[rbfuRBFU]{0,2}
        (?:\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    |(?P<comment>\#[^\r\n]*)
    |(?P<word>[^\W\d]\w*)
    |(?P<number>\.?\d(?:[eE][+-]|[\w.])*)
    |(?P<operator>\*\*=|//=|>>=|<<=|\.\.\.|->|:=|==|!=|\*\*|//|>>|<<|[-+*/%@&|^<>]=|[-+*/%@&|^~<>=()\[\]{},:.;])
    |(?P<space>\s+)
    |(?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)


def scan_pieces(text: str) -> list[Piece]:
    """Kind and span of every piece of a text, valid or not. The spans cover the text without gaps."""
    return [(match.lastgroup or "other", match.span()) for match in PIECE.finditer(text)]


def visible_pieces(pieces: list[Piece]) -> list[Span]:
    """The spans of all pieces except white space and comments."""
    return [span for kind, span in pieces if kind not in ("space", "comment")]


def piece_spans(text: str) -> list[Span]:
    """The spans of the pieces of a text, without white space and comments."""
    return visible_pieces(scan_pieces(text))


def standalone(source: str, within: Span) -> tuple[str, int]:
    """The lines ``within`` as a source that can be compiled by itself, whatever their indentation.

    Returns the text and the number of characters inserted before the lines.
    """
    body = source[slice(*within)]
    head = "if 1:\n" if body[:1] in (" ", "\t") else ""
    return head + body, len(head)


class Lines:
    """Converts lines and columns of a text, as the compiler and the syntax tree count them, to characters.

    Args:
        text: the text.
        base: added to every offset that is returned.
    """

    def __init__(self, text: str, base: int = 0) -> None:
        self.text, self.base, self.ascii = text, base, text.isascii()
        self.starts = [0, *(match.end() for match in LINE_END.finditer(text))]

    def offset(self, line: int, column: int) -> int:
        """The character at a column (from 0, in characters) of a line (from 1), clamped to the line."""
        start, end = self._bounds(line)
        return self.base + min(start + max(0, column), end)

    def offset_of_byte(self, line: int, column: int) -> int:
        """Like :meth:`offset` for a column in UTF-8 bytes, as syntax trees count."""
        if not self.ascii:
            start, end = self._bounds(line)
            encoded = self.text[start:end].encode(errors="replace")
            column = len(encoded[: max(0, column)].decode(errors="ignore"))
        return self.offset(line, column)

    def span(self, node: Located) -> Span:
        """The characters of a node of the syntax tree."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return (
            self.offset_of_byte(node.lineno, node.col_offset),
            self.offset_of_byte(node.end_lineno, node.end_col_offset),
        )

    def _bounds(self, line: int) -> Span:
        index = min(max(line, 1), len(self.starts)) - 1
        return self.starts[index], self.starts[index + 1] if index + 1 < len(self.starts) else len(self.text)


def spans_touch(first: Span, second: Span) -> bool:
    """Whether two spans overlap or are adjacent."""
    return first[0] <= second[1] and second[0] <= first[1]


def character_distance(first: Span, second: Span) -> int:
    """Characters between two spans; 0 if they touch."""
    return max(0, first[0] - second[1], second[0] - first[1])


def piece_distance(text: str, first: Span, second: Span) -> int:
    """Number of pieces from one span to the other; 0 if they touch."""
    (_, gap_start), (gap_end, _) = sorted([first, second])
    if gap_end <= gap_start:
        return 0
    spans = piece_spans(text)
    end_index = bisect_right([end for _, end in spans], gap_end)
    start_index = bisect_left([start for start, _ in spans], gap_start)
    return 1 + max(0, end_index - start_index)
