"""Python text, whole or broken, as lexemes: every text is the sum of its lexemes, and indentation is told by markers.

    lexemes, after = lex("if x:\\n    y = 1\\n")         # if |x|:|<newline>|<indent>|y| = |1|<margin>
    unlex(lexemes)                                      # the text again

Lexemes are found line by line and know nothing of what stands before them but the indentation. So a text may begin and end
anywhere, and a name is spelled the same in code, in an f-string and in a docstring. A quote is a lexeme of its own, and so is
what opens a comment; what they enclose is read like everything else. Keywords and operators take in a single space on either
side, which leaves names bare; of two words in a row the second takes the space.

Line ends, where ``present`` is the indentation on top of the stack:

    NEWLINE             a line feed and the present indentation; just the line feed where NEWLINE or MARGIN is next
    NEWLINE DEDENT*k    the same once k levels are popped
    INDENT              a unit more, pushed; behind NEWLINE, behind a DEDENT, or where a text at column 0 begins
    MARGIN              a line feed only, and the stack stays as it is

Indentation that these do not give is white space behind them, as it stands. A carriage return is text, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final, Literal, NamedTuple

Kind = Literal[
    "name",
    "keyword",
    "operator",
    "number",
    "string",
    "comment",
    "space",
    "newline",
    "indent",
    "dedent",
    "margin",
    "other",
]
Marker = Literal["newline", "indent", "dedent", "margin"]
NEWLINE: Final[Literal["newline"]] = "newline"
INDENT: Final[Literal["indent"]] = "indent"
DEDENT: Final[Literal["dedent"]] = "dedent"
MARGIN: Final[Literal["margin"]] = "margin"
MARKERS: tuple[Marker, ...] = (NEWLINE, INDENT, DEDENT, MARGIN)

DEEPEST = 2  # units that a line may be deeper than the one before; white space that only aligns is deeper
FIRST = 8  # units that the first line may have
# Written out, because a model's tokens must not change with Python. False, None and True stand where names do, and are as bare.
KEYWORDS = (
    "not in|is not|and|as|assert|async|await|break|class|continue|def|del|elif|else|except|finally|for|from|global|if|import|"
    "in|is|lambda|nonlocal|not|or|pass|raise|return|try|while|with|yield"
)
OPERATORS = r"\*\*=|//=|>>=|<<=|\.\.\.|\*\*|//|>>|<<|->|:=|[-+*/%@&|^=!<>]=|[-+*/%@&|^~<>=,:;.([{]"
BEFORE, BEHIND = "[ ]?", r"(?:[ ](?![ \t]))?"  # a space of several is not taken in: they are one lexeme
# In this order, at each place. Nothing is longer than 64 characters, so that no lexeme is slow to encode.
KINDS: dict[Kind, str] = {
    "keyword": rf"{BEFORE}(?:{KEYWORDS})\b{BEHIND}",
    "string": rf"{BEFORE}(?:[rR][bBfF]?|[bBfF][rR]?|[uU])?(?:'''|\"\"\"|'|\")|{BEFORE}\\[^\r]?",  # a quote, or an escape
    "name": rf"{BEFORE}[^\W\d]\w{{0,62}}",
    "number": rf"{BEFORE}(?:0[xXoObB][0-9a-fA-F_]{{1,60}}|\d[\d_]{{0,20}}(?:\.[\d_]{{0,20}})?(?:[eE][-+]?\d{{1,9}})?[jJ]?)",
    "comment": rf"[ ]{{0,2}}\#(?!\#\#){BEHIND}",
    "other": rf"{BEFORE}(?:-{{3,63}}|={{3,63}}|\#{{3,63}}|\*{{3,63}}|~{{3,63}}|`{{1,63}})",  # rules and quotes of prose
    "operator": rf"{BEFORE}(?:{OPERATORS}){BEHIND}|{BEFORE}[)\]}}]",  # the space behind a bracket belongs to what comes
    "space": r"[ \t]{1,64}",
}
WORD = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in KINDS.items()) + "|(?s:.)")
KIND_OF: dict[str | None, Kind] = {kind: kind for kind in KINDS}
WORDS = re.compile("|".join(KINDS.values()) + "|(?s:.)")  # the same without names, for ``findall``
WHITE = re.compile(r"[ \t]*")


@dataclass(frozen=True)
class Indent:
    """The indentation at a line. stack: the white space of every level, the present one last.  unit: of one level more."""

    stack: tuple[str, ...] = ("",)
    unit: str = "    "

    def __post_init__(self) -> None:
        if not self.stack or not self.unit or any(level.strip(" \t") for level in (*self.stack, self.unit)):
            raise ValueError(
                "indentation is a level or more of spaces and tabs, and a unit that is not empty"
            )


class Lexeme(NamedTuple):
    """A piece of text. Of markers, what they write where they stand: :func:`unlex` goes by their kind alone."""

    text: str
    kind: Kind


class Line(NamedTuple):
    """markers: those at its beginning.  text: what stands behind them.  state: its indentation."""

    markers: tuple[Marker, ...]
    text: str
    state: Indent


def lex(text: str, state: Indent = Indent()) -> tuple[list[Lexeme], Indent]:
    """The lexemes of any text, and the indentation of its last line. ``state``: of the line in which the text begins."""
    found = list[Lexeme]()
    after = state
    for line in lines(text, state):
        found += [Lexeme("", marker) for marker in line.markers]
        found += [
            Lexeme(match.group(), KIND_OF.get(match.lastgroup, "other")) for match in WORD.finditer(line.text)
        ]
        after = line.state
    return [
        Lexeme(piece, lexeme.kind) for piece, lexeme in zip(lexeme_texts(found, state), found, strict=True)
    ], after


def unlex(lexemes: Sequence[Lexeme], state: Indent = Indent()) -> str:
    """The text of any lexemes, in a line of the indentation ``state``."""
    return "".join(lexeme_texts(lexemes, state))


def lexeme_texts(lexemes: Sequence[Lexeme], state: Indent) -> list[str]:
    """What each of the lexemes writes. Together they are the text, whatever the lexemes are."""
    stack = list(state.stack)
    kinds = [lexeme.kind for lexeme in lexemes]
    found = list[str]()
    for at, (text, kind) in enumerate(lexemes):
        if kind == NEWLINE:
            popped = sum(1 for _ in takewhile(DEDENT.__eq__, kinds[at + 1 : at + 1 + len(stack)]))
            bare = at + 1 < len(kinds) and kinds[at + 1] in (NEWLINE, MARGIN)
            found.append("\n" if bare else "\n" + stack[max(0, len(stack) - 1 - popped)])
        elif kind == INDENT:
            stack.append(stack[-1] + state.unit)
            found.append(state.unit)
        elif kind == DEDENT:
            if len(stack) > 1:
                stack.pop()
            found.append("")
        else:
            found.append("\n" if kind == MARGIN else text)
    return found


def lines(text: str, state: Indent) -> Iterator[Line]:
    """The lines of a text: markers, and words to be found."""
    first, *others = text.split("\n")
    units, rest = deeper(first, state.unit, FIRST) if state.stack == ("",) else (0, first)
    state = pushed(state, units)
    yield Line((INDENT,) * units, rest, state)
    for number, line in enumerate(others, 1):
        if line == "" and (number < len(others) or not state.stack[-1]):
            yield Line((NEWLINE,), line, state)
        elif line == "" or (number < len(others) and not line.strip(" \t\r")):
            yield Line((MARGIN,), line, state)
        else:
            found = begun(line, state)
            yield found
            state = found.state


def begun(line: str, state: Indent) -> Line:
    """A line behind a line feed: popped to the level that it begins with, if it is not deeper, and on from there."""
    white = WHITE.match(line)
    assert white is not None  # it may be empty
    levels = len(state.stack)
    kept = next((n for n in range(levels, 0, -1) if white.group().startswith(state.stack[n - 1])), 0)
    if not kept:
        return Line((MARGIN,), line, state)
    popped = levels - kept
    units, rest = deeper(line[len(state.stack[kept - 1]) :], state.unit)
    if popped:
        state = Indent(state.stack[:kept], state.unit)
    return Line((NEWLINE, *(DEDENT,) * popped, *(INDENT,) * units), rest, pushed(state, units))


def deeper(line: str, unit: str, most: int = DEEPEST) -> tuple[int, str]:
    """How many whole units a line begins with, and the rest of it; none where it has more than ``most`` or something besides."""
    white = len(line) - len(line.lstrip(" \t"))
    units = white // len(unit)
    if not 0 < units <= most or line[:white] != unit * units:
        return 0, line
    return units, line[white:]


def pushed(state: Indent, units: int) -> Indent:
    for _ in range(units):
        state = Indent((*state.stack, state.stack[-1] + state.unit), state.unit)
    return state


def state_at(source: str, offset: int) -> Indent:
    """The indentation of the line in which ``offset`` stands, as the lines before it make it."""
    end = source.find("\n", offset)
    *_, last = lines(source[: end if end >= 0 else len(source)], Indent(unit=guess_unit(source)))
    return last.state


def guess_unit(source: str) -> str:
    """By what the first block of a source is indented: a tab or some spaces; four where nothing tells."""
    opened: str | None = None  # the white space of the line before, where that opens a block
    for line in source.split("\n"):
        code = line.split("#")[0].strip()
        if not code:
            continue
        white = line[: len(line) - len(line.lstrip(" \t"))]
        unit = white.removeprefix(opened) if opened is not None and white.startswith(opened) else ""
        if unit == "\t" or (unit and len(unit) <= 8 and not unit.strip(" ")):
            return unit
        opened = white if code.endswith(":") else None
    return "    "
