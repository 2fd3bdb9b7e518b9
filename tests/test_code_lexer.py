"""Lexemes:

every text comes back whatever it is, and Python gets the markers and the bare names that it should.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from solver.tasks.code_edit import lexer
from solver.tasks.code_edit.lexer import WORDS, Indent, Lexeme, guess_unit, lex_lines, lexeme_texts

SOURCE = Path(lexer.__file__).read_text(encoding="utf-8")
# Where lexers go wrong, in Python and around it.
BITS = (
    *(
        "\n",
        "\n\n",
        "\n    ",
        "\n        ",
        "\n\t",
        "\n  ",
        "\n ",
        "\r\n",
        "\r",
        " ",
        "  ",
        "    ",
        "\t",
        "\f",
        "\v",
        "\x85",
        "\u2028",
    ),
    *(
        "if x:",
        "else",
        "return ",
        " not in ",
        "is not",
        "def f(a, b=1) -> int:",
        "lambda",
        "x",
        "self.y",
        "_",
        "été",
        "名前",
        "x1",
        "İ",
    ),
    *(
        " = ",
        "==",
        " + ",
        "...",
        "->",
        ":=",
        "**=",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ", ",
        ": ",
        "@",
        "!",
        "$",
        "?",
        "`",
        "---",
        "~" * 70,
    ),
    *(
        "'",
        '"',
        '"""',
        "rb'",
        'f"{x!r}"',
        "\\",
        "\\n",
        "\\\n",
        "# no",
        "  # ",
        "#" * 5,
        "0x_f",
        "1.5e-3j",
        "1_000",
        "٣",
        "a" * 70,
    ),
    *("\0", "\ud800", "\udc00", "😀", "\ufeff", "e\u0301", "<newline>", "<BLANK>"),
)
# Drawn as characters that stand for them, which is many times as fast as drawing pieces.
STAND_FOR = {0xE000 + number: bit for number, bit in enumerate(BITS)}
snippets = st.text([chr(one) for one in STAND_FOR], min_size=3, max_size=20).map(
    lambda drawn: drawn.translate(STAND_FOR)
)
WHITE = ("", "    ", "        ", "\t", "  ", "   ", " \t")
STACKS = (
    *((one,) for one in WHITE),
    *product(WHITE, WHITE),
    ("", "    ", "        ", "            "),
    ("", "  ", "  ", ""),
)
states = st.sampled_from(
    [Indent(), *(Indent(stack, unit) for stack in STACKS for unit in ("    ", "  ", "\t", " "))]
)
NO_INDENT = Indent()
markers = st.sampled_from(lexer.MARKERS).map(lambda marker: Lexeme("", marker))
any_lexeme = markers | st.sampled_from(["x", "\n", " "]).map(Lexeme)


def lex(text: str, indent: Indent = NO_INDENT) -> tuple[list[Lexeme], Indent]:
    """The lexemes of a text, and the indentation of its last line."""
    lexemes = list[Lexeme]()
    for line in lex_lines(text, indent):
        lexemes += [Lexeme("", marker) for marker in line.markers]
        lexemes += map(Lexeme, WORDS.findall(line.text))
        indent = line.indent
    return lexemes, indent


def unlex(lexemes: Sequence[Lexeme], indent: Indent = NO_INDENT) -> str:
    return "".join(lexeme_texts(lexemes, indent))


def shown(text: str, *stack: str) -> str:
    """The lexemes of a text, separated by bars; markers by name."""
    lexemes, _ = lex(text, Indent(stack or ("",)))
    return "|".join(marker.upper() if marker else word for word, marker in lexemes)


@settings(max_examples=20 * settings().max_examples)
@given(snippets, states)
@example("", Indent())
def test_every_text_comes_back_in_every_state(text: str, state: Indent) -> None:
    assert unlex(lex(text, state)[0], state) == text


@settings(max_examples=5 * settings().max_examples)
@given(st.text(st.characters()), states)  # halves of surrogate pairs too
def test_characters_come_back(text: str, state: Indent) -> None:
    assert unlex(lex(text, state)[0], state) == text


@given(st.lists(any_lexeme, max_size=10), states)
def test_any_lexemes_write_a_text_with_their_line_feeds(lexemes: Sequence[Lexeme], state: Indent) -> None:
    feeds = sum(marker in ("newline", "margin") or word == "\n" for word, marker in lexemes)
    assert unlex(lexemes, state).count("\n") == feeds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("if x:\n    y = 1\nz\n", "if |x|:|NEWLINE|INDENT|y| = |1|NEWLINE|DEDENT|z|NEWLINE"),
        ("if x:\n    y\n", "if |x|:|NEWLINE|INDENT|y|MARGIN"),  # the text may go on anywhere
        ("if x:\n    ", "if |x|:|NEWLINE|INDENT"),
        ("a:\n    b:\n        c\nd", "a|:|NEWLINE|INDENT|b|:|NEWLINE|INDENT|c|NEWLINE|DEDENT|DEDENT|d"),
        ("a:\n    b\n\n\n    c", "a|:|NEWLINE|INDENT|b|NEWLINE|NEWLINE|NEWLINE|c"),  # blank lines
        ("a:\n    b\n  \n    c", "a|:|NEWLINE|INDENT|b|MARGIN|  |NEWLINE|c"),  # blank, but not empty
        ("a:\n    b\n      c\n    d", "a|:|NEWLINE|INDENT|b|NEWLINE|  |c|NEWLINE|d"),  # aligned
        ("a:\n        b\n    c", "a|:|NEWLINE|INDENT|INDENT|b|NEWLINE|DEDENT|c"),
        ("a\n                b\nc", "a|NEWLINE|                |b|NEWLINE|c"),
        ("    def f():\n        pass", "INDENT|def |f|(|)|:|NEWLINE|INDENT|pass"),  # a method
        ("            x\n        y", "INDENT|INDENT|INDENT|x|NEWLINE|DEDENT|y"),
        ("\t  x", "\t  |x"),
        ("a\r\n\r\nb\r\n", "a|\r|MARGIN|\r|NEWLINE|b|\r|NEWLINE"),
        ("a:\n\tb", "a|:|NEWLINE|\t|b"),  # not the unit
    ],
)
def test_lines_begin_with_markers(text: str, expected: str) -> None:
    assert shown(text) == expected


def test_what_no_marker_can_write_stands_behind_a_margin() -> None:
    assert shown("a\nb", "  ") == "a|MARGIN|b"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = y if a not in b else -1", "x| = |y| if |a| not in |b| else |-|1"),
        ("f(a, *b)[0] += c", "f|(|a|, |*|b|)|[|0|]| += |c"),
        ("async def f(self) -> None:", "async |def |f|(|self|)| -> |None|:"),
        ("is_ok, notx", "is_ok|, |notx"),
        ("x = rb'a\\n'  # why not", "x| = |rb'|a|\\n|'|  # |why| not"),
        ('f"{a!r} {b:>3}"', 'f"|{|a|!|r|}| {|b|:|>|3|}|"'),
        ("the quick brown fox", "the| quick| brown| fox"),
        ("a   = 1", "a|   |= |1"),
        ("a :=1.5e-3j", "a| :=|1.5e-3j"),
        ("0xff_e1 1_000", "0xff_e1| 1_000"),
        ("a" * 70, "a" * 63 + "|" + "a" * 7),
        ("#" * 70 + " x", "#" * 63 + "|" + "#" * 7 + "| x"),
        ("x\0\f€", "x|\0|\f|€"),
    ],
)
def test_words_of_a_line(text: str, expected: str) -> None:
    assert shown(text) == expected


@pytest.mark.parametrize(
    "around", ["{}", "x = {}", "f({}, {})", "if {}: {}.y", "not {}", "{}[{}]", 'f"{{{}}}"', "'{}'", "*{}"]
)
def test_names_are_bare(around: str) -> None:
    found = [lexeme for lexeme in lex(around.format(*["name"] * 2))[0] if "name" in lexeme.text]
    assert set(found) == {Lexeme("name")}


def test_a_source_may_be_cut_before_any_indented_statement() -> None:
    """What stands before a hole and behind it has the lexemes that it has in the whole."""
    source = SOURCE[:6000]
    whole, _ = lex(source)
    at = cuts = 0
    for line in source.splitlines(keepends=True):
        cut = at + len(line) - len(line.lstrip())
        at += len(line)
        if not line.strip() or not line.startswith(" "):
            continue
        before, state = lex(source[:cut])
        assert [*before, *lex(source[cut:], state)[0]] == whole
        cuts += 1
    assert cuts > 20


@pytest.mark.parametrize(
    ("source", "unit"),
    [
        ("", "    "),
        ("def f():\n  x", "  "),
        ("def f():\n\tx", "\t"),
        ("    def f():  # why\n\n      x", "  "),
        ('"""Text\n  and more."""\nif x:\n    y', "    "),
        ("f(a,\n  b)", "    "),  # aligned, not indented
        ("if x:\n            y", "    "),
        ("if x:\n \ty", "    "),
        ("if x:\n \ty\nif x:\n # why\n  y", "  "),
        ("if x:  # why:\n\ty", "\t"),
        ("x  # as follows:\n  y", "    "),
        ("    if x:\n  y", "    "),
    ],
)
def test_units_are_guessed(source: str, unit: str) -> None:
    assert guess_unit(source) == unit


@pytest.mark.parametrize(("stack", "unit"), [((), "    "), (("",), ""), (("x",), "    "), (("",), "\n")])
def test_what_is_no_indentation(stack: tuple[str, ...], unit: str) -> None:
    with pytest.raises(ValueError, match="indentation is"):
        Indent(stack, unit)
