"""Sudoku text:

lines, drawn grids and CSV are read back as they were written, and every bad input is named for a person.
"""

from __future__ import annotations

import io
from importlib import resources
from math import isqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver.tasks.sudoku import layout
from solver.tasks.sudoku.text import (
    Puzzle,
    PuzzleError,
    parse_line,
    parse_text,
    read_file,
    read_stdin,
)

LINE = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
HARD = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."
SMALL = "1...3..4.2....1."
BOARD = """
    ╔═══════╤═══════╤═══════╗
    ║ 5 3 . │ . 7 . │ . . . ║
    ║ 6 . . │ 1 9 5 │ . . . ║
    ║ . 9 8 │ . . . │ . 6 . ║
    ╟───────┼───────┼───────╢
    ║ 8 . . │ . 6 . │ . . 3 ║
    ║ 4 . . │ 8 . 3 │ . . 1 ║
    ║ 7 . . │ . 2 . │ . . 6 ║
    ╟───────┼───────┼───────╢
    ║ . 6 . │ . . . │ 2 8 . ║
    ║ . . . │ 4 1 9 │ . . 5 ║
    ║ . . . │ . 8 . │ . 7 9 ║
    ╚═══════╧═══════╧═══════╝
"""


def texts(items: list[Puzzle | PuzzleError]) -> list[str]:
    """What came out, puzzles as their lines and errors as their messages."""
    return [item.text if isinstance(item, Puzzle) else str(item) for item in items]


def read(text: str) -> list[str]:
    return texts(list(parse_text(text, "p")))


# lines


@pytest.mark.parametrize(("line", "digits"), [(LINE, 9), (SMALL, 4)])
def test_a_line(line: str, digits: int) -> None:
    puzzle = parse_line(line, "argument 1")
    assert (puzzle.digits, puzzle.source, puzzle.text) == (digits, "argument 1", line)
    assert puzzle.grid.dtype == np.int8
    assert puzzle.grid.shape == (digits * digits,)
    assert puzzle.grid.tolist() == [0 if symbol == "." else int(symbol) for symbol in line]


@pytest.mark.parametrize("blank", "0._")
@pytest.mark.parametrize("rest", ["", " 7.2", "," + "1" * 81, "\t3;x", "  # name, with words", "\r\n"])
def test_blanks_and_further_columns(blank: str, rest: str) -> None:
    assert parse_line("  " + LINE.replace(".", blank) + rest, "p").text == LINE


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (LINE[:-1], "here: has 80 cells, not 81 or 16"),
        (LINE + ".", "here: has 82 cells, not 81 or 16"),
        ("", "here: has 0 cells, not 81 or 16"),
        (
            LINE[:13] + "x" + LINE[14:],
            "here: 'x' at position 14 (row 2, column 5) is not a digit 1 to 9 or a blank (0 . _)",
        ),
        (
            LINE[:80] + "*",
            "here: '*' at position 81 (row 9, column 9) is not a digit 1 to 9 or a blank (0 . _)",
        ),
        (
            "٣" + LINE[1:],
            "here: '٣' at position 1 (row 1, column 1) is not a digit 1 to 9 or a blank (0 . _)",
        ),
        (
            "..5" + "." * 13,
            "here: '5' at position 3 (row 1, column 3) is not a digit 1 to 4 or a blank (0 . _)",
        ),
        ("." * 18 + "5...5...." + "." * 54, "here: 5 twice in row 3"),
        ("7........" * 2 + "." * 63, "here: 7 twice in column 1"),
        ("." * 60 + "2" + "." * 10 + "2" + "." * 9, "here: 2 twice in box 9"),
        ("1....1..........", "here: 1 twice in box 1"),
    ],
)
def test_a_bad_line_is_named(line: str, message: str) -> None:
    with pytest.raises(PuzzleError) as caught:
        parse_line(line, "here")
    assert str(caught.value) == message


def test_conflicts_may_be_let_through() -> None:
    draft = "55" + "." * 79
    assert parse_line(draft, "p", check_givens=False).text == draft
    assert texts(list(parse_text(draft, "p", check_givens=False))) == [draft]
    with pytest.raises(PuzzleError, match="5 twice in row 1"):
        parse_line(draft, "p")


# texts


def test_lines_comments_and_errors_keep_their_order() -> None:
    text = f"# a comment\n\n{LINE} 1.2\n{LINE[:-1]}\n   # another, 123\n{SMALL}\n\n55{LINE[2:]}\n{HARD}"
    assert read(text) == [
        LINE,
        "p:4: has 80 cells, not 81 or 16",
        SMALL,
        "p:8: 5 twice in row 1",
        HARD,
    ]
    assert [item.source for item in parse_text(text, "p") if isinstance(item, Puzzle)] == [
        "p:3",
        "p:6",
        "p:9",
    ]


@pytest.mark.parametrize(
    "text", ["", "\n \n", "# only a comment\n", "+---+\n|   |\n", "puzzle,solution\n", "\ufeff"]
)
def test_nothing_in_it(text: str) -> None:
    items = list(read_stdin(io.BytesIO(text.encode())))
    assert texts(items) == ["stdin: no puzzle in it"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_endings(end: str) -> None:
    assert read(f"{LINE}{end}{end}{HARD}{end}") == [LINE, HARD]


def test_a_board_pasted_from_a_terminal() -> None:
    assert read(BOARD) == [LINE]
    coloured = BOARD.replace("5", "\x1b[1;34m5\x1b[0m")
    assert read(coloured) == [LINE]


def test_grids_in_a_row() -> None:
    nine = [LINE[at : at + 9] for at in range(0, 81, 9)]
    four = [SMALL[at : at + 4] for at in range(0, 16, 4)]
    assert read("\n".join([*nine, *nine])) == [LINE, LINE]  # no blank line between them
    assert read("\n".join([*nine, "", *four, "", HARD, *nine])) == [LINE, SMALL, HARD, LINE]
    assert read("\n".join(["# title", *nine[:3], "# comment", "---+---+---", *nine[3:]])) == [LINE]
    items = list(parse_text("\n".join(["", *nine, "", *four]), "p"))
    assert [item.source for item in items if isinstance(item, Puzzle)] == ["p:2", "p:12"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:8], "p:1: a grid of 8 rows, not 9"),
        (lambda rows: [*rows[:2], rows[2][:-1], *rows[3:]], "p:1: row 3 has 8 cells, not 9"),
        (lambda rows: [*rows, "1"], None),
        (
            lambda rows: [*rows[:4], "4..8x3..1", *rows[5:]],
            "p:1: 'x' in row 5, column 5 is not a digit 1 to 9 or a blank",
        ),
        (lambda rows: ["5..5.....", *rows[1:]], "p:1: 5 twice in row 1"),
        (lambda rows: ["hello"], "p:1: 'h' in row 1, column 1 is not a digit 1 to 9 or a blank (0 . _)"),
        (
            lambda rows: ["1..4", "..5."],
            "p:1: '5' in row 2, column 3 is not a digit 1 to 4 or a blank (0 . _)",
        ),
    ],
)
def test_a_bad_grid_spares_the_next(change, message: str | None) -> None:  # type: ignore[no-untyped-def]
    rows = [LINE[at : at + 9] for at in range(0, 81, 9)]
    found = read("\n".join([*change(rows), "", HARD]))
    assert found[-1] == HARD
    assert len(found) == (2 if message else 3)
    if message:
        assert found[0].startswith(message)
    else:
        assert found[:2] == [LINE, "p:10: row 1 has 1 cells, not 9"]


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("quizzes,solutions", "{},{}"),
        ("source,question,answer,rating", "puzzles0_kaggle,{},{},0"),
        ("id;Puzzle;solution", "1;{};{}"),
        ('"name"\t" GRID "', '"a\tb"\t"{}"\t{}'),
        ("sudoku", "{}"),
        ("Puzzles,note", '{},"a, ""quoted"" note"'),
    ],
)
def test_csv(header: str, row: str) -> None:
    lines = [
        header,
        row.format(LINE, "1" * 81),
        "",
        "# comment",
        row.format(LINE[1:], "x"),
        row.format(HARD, ""),
    ]
    assert read("\n".join(lines)) == [LINE, "p:5: has 80 cells, not 81 or 16", HARD]


def test_damaged_csv_rows() -> None:
    text = f'source,question\na,{LINE}\nb\n"unclosed,{LINE}\nc,"{"1" * 200_000}\nd,{HARD}\n'
    assert read(text) == [
        LINE,
        "p:3: has 1 columns, and the puzzle should be in number 2",
        "p:4: has 1 columns, and the puzzle should be in number 2",
        "p:5: has 0 columns, and the puzzle should be in number 2",
        HARD,
    ]


@given(st.data())
def test_what_is_drawn_is_read_back(data: st.DataObject) -> None:
    """Any grids, each drawn with its own blanks and decoration, with comments and rules between rows."""
    lines, wanted = [], []
    for _ in range(data.draw(st.integers(1, 3), label="grids")):
        digits = data.draw(st.sampled_from([4, 9]))
        values = data.draw(st.lists(st.integers(0, digits), min_size=digits**2, max_size=digits**2))
        blank = data.draw(st.sampled_from("0._"))
        gap, bar = (
            data.draw(st.sampled_from(["", " ", "  "])),
            data.draw(st.sampled_from([" ", "|", " │ ", "║", "+", " - "])),
        )
        rule = data.draw(st.sampled_from(["---+---", "+-----+", "├──┼──┤", "═╬═"]))
        symbols = [str(value) if value else blank for value in values]
        for start in range(0, digits**2, digits):
            row = symbols[start : start + digits]
            half = digits // 2
            lines.append(
                bar
                + gap.join(row[:half])
                + bar
                + gap.join(row[half:])
                + data.draw(st.sampled_from(["", bar]))
            )
            lines += data.draw(st.lists(st.sampled_from([rule, "# comment"]), max_size=1))
        lines += [""] * data.draw(st.integers(1, 2))
        wanted.append(values)
    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    items = list(read_stdin(io.BytesIO(end.join(lines).encode()), check_givens=False))
    assert [item.grid.tolist() for item in items if isinstance(item, Puzzle)] == wanted
    assert len(items) == len(wanted)


def draw_grid(puzzle: Puzzle) -> str:
    """The rows of a puzzle, with lines between its boxes."""
    side, box = puzzle.digits, isqrt(puzzle.digits)
    rows = [puzzle.text[start : start + side] for start in range(0, side * side, side)]
    drawn = [" | ".join(" ".join(row[x : x + box]) for x in range(0, side, box)) for row in rows]
    rule = "\n" + "+".join("-" * (2 * box) for _ in range(box)) + "\n"
    return rule.join("\n".join(drawn[y : y + box]) for y in range(0, side, box))


@given(st.sampled_from([4, 9]), st.data())
def test_a_line_and_a_drawn_grid_are_read_back(digits: int, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.integers(0, digits), min_size=digits**2, max_size=digits**2))
    puzzle = Puzzle(np.array(values, np.int8), digits, "p")
    assert parse_line(puzzle.text, "p", check_givens=False).grid.tolist() == values
    (again,) = parse_text(draw_grid(puzzle), "p", check_givens=False)
    assert isinstance(again, Puzzle)
    assert again.grid.tolist() == values


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=200))
def test_any_text_gives_puzzles_or_one_line_errors(text: str) -> None:
    items = list(read_stdin(io.BytesIO(text.encode())))
    assert items
    for item in items:
        if isinstance(item, PuzzleError):
            assert str(item).startswith("stdin:")
            assert len(str(item).splitlines()) == 1


# files


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "puzzles.txt"
    path.write_bytes(b"\xef\xbb\xbf" + f"{LINE}\r\n{HARD}\r\n".encode())
    items = list(read_file(path))
    assert texts(items) == [LINE, HARD]
    assert [item.source for item in items if isinstance(item, Puzzle)] == [f"{path}:1", f"{path}:2"]


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary, latin, wide = tmp_path / "binary", tmp_path / "latin", tmp_path / "wide"
    binary.write_bytes(b"53\0\0")
    latin.write_bytes(b"# caf\xe9\n")
    wide.write_bytes(LINE.encode("utf-16"))
    reasons = {
        tmp_path / "missing": "no such file",
        tmp_path: "is a folder, not a file",
        binary: "is a binary file, not text",
        latin: r"is not UTF-8 text \(byte 6\)",
        wide: "is a binary file, not text",
        binary / "below": "cannot be read",
    }
    for path, reason in reasons.items():
        with pytest.raises(PuzzleError, match=reason) as caught:
            read_file(path)  # at the call, before anything is asked of it
        assert str(path) in str(caught.value)

    def refuse(self: Path) -> bytes:
        raise PermissionError

    monkeypatch.setattr(Path, "read_bytes", refuse)  # root may read everything
    with pytest.raises(PuzzleError, match="permission denied"):
        read_file(latin)


def test_a_path_with_a_nul_in_it() -> None:
    with pytest.raises(PuzzleError, match="cannot be read"):
        read_file(Path("a\0b"))


def test_standard_input() -> None:
    (puzzle,) = read_stdin(io.BytesIO(SMALL.encode()))
    assert isinstance(puzzle, Puzzle)
    assert (puzzle.source, puzzle.text) == ("stdin:1", SMALL)
    with pytest.raises(PuzzleError, match="stdin: is a binary file, not text"):
        read_stdin(io.BytesIO(b"\0"))


# the bundled puzzles


def test_the_bundled_puzzles() -> None:
    from solver.tasks.sudoku import exact

    with resources.as_file(resources.files("solver.tasks.sudoku") / "puzzles.txt") as path:
        items = list(read_file(path))
        raw = path.read_text(encoding="utf-8")
    puzzles = [item for item in items if isinstance(item, Puzzle)]
    assert len(puzzles) == len(items) >= 20
    assert len({puzzle.text for puzzle in puzzles}) == len(puzzles)
    counts, _, _ = exact.count_many(layout.standard(9), np.stack([puzzle.grid for puzzle in puzzles]))
    assert counts.tolist() == [1] * len(puzzles)
    assert "MIT License" in raw
    assert "public domain" in raw
