"""Python text, valid or not, as tokens and as positions.

The lexer is lossless: it gives words, and markers for line ends and indentation.

>>> for line in lex_lines("if x:\\n    y = 1\\nz", Indent()):
...     print(line.markers, WORDS.findall(line.text))
() ['if ', 'x', ':']
('newline', 'indent') ['y', ' = ', '1']
('newline', 'dedent') ['z']

Words are found line by line and depend on nothing before the line but its indentation. A text may therefore
begin and end anywhere, and a name has the same spelling in code, in an f-string and in a docstring. A quote
is a word of its own, as is the start of a comment; the enclosed text is split like any other. Keywords and
operators include a single space on either side, which leaves names bare. Of two names in a row, the second
includes the space.

Markers write the following, where the current indentation is the top of the stack:

    NEWLINE             a line feed and the current indentation; only the line feed before NEWLINE or MARGIN
    NEWLINE DEDENT*k    a line feed and the indentation that is current once k levels are popped
    INDENT              one unit, and pushes a level; after NEWLINE or DEDENT, or at the start of a text at
    column 0 MARGIN              a line feed only; the stack stays as it is

Indentation that these cannot express follows them as white space. A carriage return is text.

Positions are character offsets of lines and columns, and of the visible *pieces* of a text: what a reader sees as
one unit, a word, number, operator, string, comment or run of white space.

>>> Lines("é = f(x)").offset_of_byte(1, 3)  # byte column 3 of the first line is its third character
2
>>> piece_spans("f(a + 1)")
[(0, 1), (1, 2), (2, 3), (4, 5), (6, 7), (7, 8)]
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final, Literal, NamedTuple

Marker = Literal["newline", "indent", "dedent", "margin"]
NEWLINE: Final[Literal["newline"]] = "newline"
INDENT: Final[Literal["indent"]] = "indent"
DEDENT: Final[Literal["dedent"]] = "dedent"
MARGIN: Final[Literal["margin"]] = "margin"
MARKERS: tuple[Marker, ...] = (NEWLINE, INDENT, DEDENT, MARGIN)

MAX_DEEPER = 2  # units that a line may be deeper than the line before; deeper white space only aligns
MAX_FIRST = 8  # units that the first line may have
# Written out, because a model's tokens must not change with Python. False, None and True are used like names.
KEYWORDS = (
    "not in|is not|and|as|assert|async|await|break|class|continue|def|del|elif|else|except|finally|for|from|global|"
    "if|import|"
    "in|is|lambda|nonlocal|not|or|pass|raise|return|try|while|with|yield"
)
OPERATORS = r"\*\*=|//=|>>=|<<=|\.\.\.|\*\*|//|>>|<<|->|:=|[-+*/%@&|^=!<>]=|[-+*/%@&|^~<>=,:;.([{]"
SPACE_BEFORE, SPACE_AFTER = "[ ]?", r"(?:[ ](?![ \t]))?"  # several spaces are a word of their own
# Tried in this order at each position. No word is longer than 64 characters, so that none is slow to encode.
PATTERNS = (
    rf"{SPACE_BEFORE}(?:{KEYWORDS})\b{SPACE_AFTER}",
    # quotes and escapes
    rf"{SPACE_BEFORE}(?:[rR][bBfF]?|[bBfF][rR]?|[uU])?(?:'''|\"\"\"|'|\")|{SPACE_BEFORE}\\[^\r]?",
    rf"{SPACE_BEFORE}[^\W\d]\w{{0,62}}",  # names
    # numbers
    rf"{SPACE_BEFORE}(?:0[xXoObB][0-9a-fA-F_]{{1,60}}"
    r"|\d[\d_]{0,20}(?:\.[\d_]{0,20})?(?:[eE][-+]?\d{1,9})?[jJ]?)",
    rf"[ ]{{0,2}}\#(?!\#\#){SPACE_AFTER}",  # the start of a comment
    # rules and quotes of prose
    rf"{SPACE_BEFORE}(?:-{{3,63}}|={{3,63}}|\#{{3,63}}|\*{{3,63}}|~{{3,63}}|`{{1,63}})",
    # a space after a closing bracket belongs to the next word
    rf"{SPACE_BEFORE}(?:{OPERATORS}){SPACE_AFTER}|{SPACE_BEFORE}[)\]}}]",
    r"[ \t]{1,64}",
)
WORDS = re.compile("|".join(PATTERNS) + "|(?s:.)")
WHITE = re.compile(r"[ \t]*")


@dataclass(frozen=True)
class Indent:
    """The indentation of a line.

    Attributes:
        stack: the white space of every level, the current one last.
        unit: the white space of one more level.
    """

    stack: tuple[str, ...] = ("",)
    unit: str = "    "

    def __post_init__(self) -> None:
        if not self.stack or not self.unit or any(level.strip(" \t") for level in (*self.stack, self.unit)):
            raise ValueError(
                "indentation is a level or more of spaces and tabs, and a unit that is not empty"
            )

    def pushed(self, units: int) -> Indent:
        """The indentation ``units`` levels deeper."""
        indent = self
        for _ in range(units):
            indent = Indent((*indent.stack, indent.stack[-1] + self.unit), self.unit)
        return indent


class Lexeme(NamedTuple):
    """A word, or a marker without text."""

    text: str
    marker: Marker | None = None


class Line(NamedTuple):
    """markers: those at its beginning.  text: what follows them, not yet split.  indent: its indentation."""

    markers: tuple[Marker, ...]
    text: str
    indent: Indent


def lexeme_texts(lexemes: Sequence[Lexeme], indent: Indent) -> list[str]:
    """The text that each lexeme writes in a line of this indentation.

    Any sequence of lexemes writes some text.
    """
    stack, texts = list(indent.stack), list[str]()
    markers = [lexeme.marker for lexeme in lexemes]
    for index, (text, marker) in enumerate(lexemes):
        match marker:
            case None:
                texts.append(text)
            case "newline":
                following = markers[index + 1 : index + 1 + len(stack)]
                popped = sum(1 for _ in takewhile(lambda marker: marker == DEDENT, following))
                is_blank = following[:1] in ([NEWLINE], [MARGIN])
                texts.append("\n" if is_blank else "\n" + stack[max(0, len(stack) - 1 - popped)])
            case "indent":
                stack.append(stack[-1] + indent.unit)
                texts.append(indent.unit)
            case "dedent":
                stack = stack[:-1] or stack
                texts.append("")
            case "margin":
                texts.append("\n")
    return texts


def lex_lines(text: str, indent: Indent) -> Iterator[Line]:
    """Split a text that begins in a line of this indentation."""
    first, *following = text.split("\n")
    units, remaining = _count_units(first, indent.unit, MAX_FIRST) if indent.stack == ("",) else (0, first)
    indent = indent.pushed(units)
    yield Line((INDENT,) * units, remaining, indent)
    for number, line in enumerate(following, 1):
        is_last = number == len(following)
        if line == "" and (not is_last or not indent.stack[-1]):
            yield Line((NEWLINE,), line, indent)
        elif line == "" or (not is_last and not line.strip(" \t\r")):
            yield Line((MARGIN,), line, indent)
        else:
            next_line = _begin_line(line, indent)
            yield next_line
            indent = next_line.indent


def _begin_line(line: str, indent: Indent) -> Line:
    """Pop to the deepest level that the line begins with, then push what it is deeper."""
    match = WHITE.match(line)
    assert match is not None  # it may be empty
    white, levels = match.group(), len(indent.stack)
    level = next((n for n in range(levels, 0, -1) if white.startswith(indent.stack[n - 1])), 0)
    if not level:
        return Line((MARGIN,), line, indent)
    popped = levels - level
    units, remaining = _count_units(line[len(indent.stack[level - 1]) :], indent.unit, MAX_DEEPER)
    indent = Indent(indent.stack[:level], indent.unit).pushed(units)
    return Line((NEWLINE, *(DEDENT,) * popped, *(INDENT,) * units), remaining, indent)


def _count_units(line: str, unit: str, limit: int) -> tuple[int, str]:
    """The number of units that a line begins with, and the rest of it; 0 if it has more or other white space."""
    white = len(line) - len(line.lstrip(" \t"))
    units = white // len(unit)
    if not 0 < units <= limit or line[:white] != unit * units:
        return 0, line
    return units, line[white:]


def guess_unit(source: str) -> str:
    """The indentation of the first block of a source:

    a tab or up to eight spaces; four spaces if there is none.
    """
    block_indent: str | None = None  # the white space of the line before, if it opens a block
    for line in source.split("\n"):
        code = line.split("#")[0].strip()
        if not code:
            continue
        white = line[: len(line) - len(line.lstrip(" \t"))]
        unit = (
            white.removeprefix(block_indent)
            if block_indent is not None and white.startswith(block_indent)
            else ""
        )
        if unit == "\t" or (unit and len(unit) <= 8 and not unit.strip(" ")):
            return unit
        block_indent = white if code.endswith(":") else None
    return "    "


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
