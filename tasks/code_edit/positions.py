"""Where things stand in a Python source: characters for lines and byte columns, and the pieces a reader sees.

Lines("é = f(x)").at(1, 3)      # 2: the byte column 3 of the first line is its third character
pieces("f(a + 1)")              # [(0, 1), (1, 2), (2, 3), (4, 5), (6, 7), (7, 8)]
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_left, bisect_right

Span = tuple[int, int]

LINE = re.compile(r"\r\n|\r|\n")  # what Python takes for the end of a line; a form feed is none
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


def scan_pieces(text: str) -> list[tuple[str, Span]]:
    """The kind and the span of everything in a text, broken or not: the spans joined are the text."""
    return [(match.lastgroup or "other", match.span()) for match in PIECE.finditer(text)]


def piece_spans(text: str) -> list[Span]:
    """The same without white space and comments."""
    return [span for kind, span in scan_pieces(text) if kind not in ("space", "comment")]


def standalone(source: str, within: Span) -> tuple[str, int]:
    """The lines ``within`` as a source of their own, whatever their indentation; and how many characters stand before them."""
    body = source[slice(*within)]
    head = "if 1:\n" if body[:1] in (" ", "\t") else ""
    return head + body, len(head)


class Lines:
    """The lines of a source, as Python counts them.  base: added to every offset."""

    def __init__(self, text: str, base: int = 0) -> None:
        self.text, self.base, self.ascii = text, base, text.isascii()
        self.starts = [0, *(match.end() for match in LINE.finditer(text))]

    def at(self, line: int, column: int) -> int:
        """The character at a UTF-8 byte column (from 0) of a line (from 1); the nearest where there is none."""
        start, end = self._bounds(line)
        if not self.ascii:
            column = len(
                self.text[start:end].encode(errors="replace")[: max(0, column)].decode(errors="ignore")
            )
        return self.base + min(start + max(0, column), end)

    def character(self, line: int, column: int) -> int:
        """The same for a column in characters."""
        start, end = self._bounds(line)
        return self.base + min(start + max(0, column), end)

    def _bounds(self, line: int) -> Span:
        index = min(max(line, 1), len(self.starts)) - 1
        return self.starts[index], self.starts[index + 1] if index + 1 < len(self.starts) else len(self.text)

    def span(
        self, node: ast.expr | ast.stmt | ast.arg | ast.alias | ast.keyword | ast.excepthandler | ast.pattern
    ) -> Span:
        """The characters of a node."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.at(node.lineno, node.col_offset), self.at(node.end_lineno, node.end_col_offset)


def piece_distance(text: str, one: Span, other: Span) -> int:
    """How many pieces one has to go from one span to the other; 0 where they touch."""
    (_, a), (b, _) = sorted([one, other])
    if b <= a:
        return 0
    found = piece_spans(text)
    return 1 + max(
        0, bisect_right([end for _, end in found], b) - bisect_left([start for start, _ in found], a)
    )
