"""Reading and printing Sudoku puzzles: lines, drawn grids and CSV, from an argument, a file or standard input.

    for item in read_file(Path("puzzles.txt")):
        if isinstance(item, PuzzleError):
            print(item)                       # puzzles.txt:12: has 80 cells, not 81 or 16
        else:
            print(pretty(item.grid, item.digits))

What is understood, blank cells being ``0``, ``.`` or ``_`` throughout (comment lines start with ``#``):

    a line      53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79  (later columns ignored)
    a grid      5 3 . | . 7 . | . . .        nine rows (or four), drawn with spaces, ``|``, ``+``, ``-`` or box characters
    CSV         quizzes,solutions            a header that names a column in ``COLUMNS``
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from solver.tasks.errors import SolverError
from solver.tasks.sudoku.layout import standard

Grid = NDArray[np.int8]

BLANKS = "0._"
COLUMNS = frozenset({"puzzle", "puzzles", "quiz", "quizzes", "sudoku", "question", "grid"})
SIZES = {81: 9, 16: 4}  # cells: digits
LONGEST_ROW = 12  # symbols: anything longer is a whole puzzle (16 or 81), perhaps a damaged one

_ZERO = str.maketrans("._", "00")
_DRAWING = re.compile(r"\x1b\[[0-9;]*m|[\s|+\-\u2500-\u257f]")  # terminal colours, ASCII and Unicode lines
_UNITS = ("row", "column", "box")


class PuzzleError(SolverError, ValueError):
    """Something that is not a puzzle: one line for a person, which starts with where it stands."""


@dataclass(frozen=True, eq=False)
class Puzzle:
    """A puzzle as it was read.

    grid: (cells,) int8, digits 1.., 0 for a blank.  digits: 9 or 4.  source: where it stood ("puzzles.txt:12").
    """

    grid: Grid
    digits: int
    source: str

    @property
    def text(self) -> str:
        """The puzzle as one line of 81 (or 16) characters, ``.`` for a blank."""
        return "".join(".123456789"[value] for value in self.grid.tolist())


def parse_line(text: str, source: str, check_givens: bool = True) -> Puzzle:
    """A puzzle of 81 or 16 cells from the first column of ``text``; further columns (rating, solution, name) are ignored.

    Raises :class:`PuzzleError` for another length, another symbol and, with ``check_givens``, a digit given twice in a unit.
    """
    symbols = re.split(r"[\s,;]", text.strip(), maxsplit=1)[0]
    if len(symbols) not in SIZES:
        raise PuzzleError(f"{source}: has {len(symbols)} cells, not 81 or 16")
    return _puzzle(symbols, SIZES[len(symbols)], source, check_givens)


def parse_text(text: str, source: str, check_givens: bool = True) -> Iterator[Puzzle | PuzzleError]:
    """The puzzles of a text in order; what cannot be read comes as an error in its place, and the rest is still read.

    A text without any puzzle gives one error.
    """
    lines = ((number, line.strip()) for number, line in enumerate(io.StringIO(text, newline=None), 1))
    content = ((number, line) for number, line in lines if not line.startswith("#"))
    empty = True
    for item in _parse(content, source, check_givens):
        empty = False
        yield item
    if empty:
        yield PuzzleError(f"{source}: no puzzle in it")


def read_file(path: Path, check_givens: bool = True) -> Iterator[Puzzle | PuzzleError]:
    """:func:`parse_text` of a file. The bytes are read at once, the puzzles are parsed as they are asked for.

    Raises :class:`PuzzleError` at the call for a file that is missing, unreadable, a folder, or not UTF-8 text.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise PuzzleError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise PuzzleError(f"{path}: is a folder, not a file") from None
    except PermissionError:
        raise PuzzleError(f"{path}: may not be read (permission denied)") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path itself
        raise PuzzleError(f"{str(path)!r}: cannot be read ({error})") from error
    return parse_text(_decode(data, str(path)), str(path), check_givens)


def read_stdin(stream: BinaryIO, check_givens: bool = True) -> Iterator[Puzzle | PuzzleError]:
    """:func:`parse_text` of a binary stream (``sys.stdin.buffer``). Raises :class:`PuzzleError` where it is not text."""
    return parse_text(_decode(stream.read(), "stdin"), "stdin", check_givens)


def pretty(grid: Grid, digits: int) -> str:
    """The grid (cells,) as text, boxes separated by lines, ``.`` for a blank; :func:`parse_text` reads it back.

    Raises ValueError where the grid does not have ``digits``² cells of 0..digits, or ``digits`` is not 4 or 9.
    """
    if digits not in SIZES.values() or grid.size != digits * digits or grid.min() < 0 or grid.max() > digits:
        raise ValueError(f"not {digits * digits} cells of 0 to {digits} (4 or 9 digits)")
    box = isqrt(digits)
    rows = []
    for start in range(0, digits * digits, digits):
        row = [".123456789"[value] for value in grid.reshape(-1)[start : start + digits].tolist()]
        rows.append(" | ".join(" ".join(row[at : at + box]) for at in range(0, digits, box)))
    rule = "+".join("-" * (2 * box + (0 < at < box - 1)) for at in range(box))
    return f"\n{rule}\n".join("\n".join(rows[at : at + box]) for at in range(0, digits, box))


def _decode(data: bytes, source: str) -> str:
    """UTF-8 bytes, with or without a byte order mark, as text."""
    if b"\0" in data:
        raise PuzzleError(f"{source}: is a binary file, not text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PuzzleError(f"{source}: is not UTF-8 text (byte {error.start + 1})") from None


def _parse(
    lines: Iterator[tuple[int, str]], source: str, check_givens: bool
) -> Iterator[Puzzle | PuzzleError]:
    """Numbered, stripped lines without comments: CSV from a header on, else puzzle lines and drawn grids as they come."""
    rows: list[tuple[int, str]] = []  # of the grid being read
    first = True
    for number, line in lines:
        if first and line:
            first = False
            delimiter = next((mark for mark in ",;\t" if mark in line), ",")
            names = [name.strip().lower() for name in _fields(line, delimiter)]
            column = next((at for at, name in enumerate(names) if name in COLUMNS), None)
            if column is not None:
                yield from _csv_rows(lines, delimiter, column, source, check_givens)
                return
        symbols = _DRAWING.sub("", line.split("#")[0])
        if line and len(symbols) <= LONGEST_ROW:
            if symbols:  # else a drawn line between two rows
                rows.append((number, symbols))
            continue
        yield from _grids(rows, source, check_givens)
        rows = []
        if line:
            yield _value(line, f"{source}:{number}", check_givens)
    yield from _grids(rows, source, check_givens)


def _csv_rows(
    lines: Iterable[tuple[int, str]], delimiter: str, column: int, source: str, check_givens: bool
) -> Iterator[Puzzle | PuzzleError]:
    """The puzzles in one column. A row is a line: a stray quote then spoils its own row and no other."""
    for number, line in lines:
        if line:
            where = f"{source}:{number}"
            fields = _fields(line, delimiter)
            if column < len(fields):
                yield _value(fields[column], where, check_givens)
            else:
                yield PuzzleError(
                    f"{where}: has {len(fields)} columns, and the puzzle should be in number {column + 1}"
                )


def _fields(line: str, delimiter: str) -> list[str]:
    """The fields of one CSV line; none where it cannot be read (a field above the csv module's size limit)."""
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _grids(rows: list[tuple[int, str]], source: str, check_givens: bool) -> Iterator[Puzzle | PuzzleError]:
    """The grids that consecutive rows (line number, symbols) make up, as large as the first row says."""
    digits = 4 if rows and len(rows[0][1]) == 4 else 9
    for start in range(0, len(rows), digits):
        part = rows[start : start + digits]
        where = f"{source}:{part[0][0]}"
        try:
            for number, (_, symbols) in enumerate(part, 1):
                if (at := _wrong(symbols, digits)) is not None:
                    raise PuzzleError(
                        f"{where}: {symbols[at]!r} in row {number}, column {at + 1} is not {_wanted(digits)}"
                    )
                if len(symbols) != digits:
                    raise PuzzleError(f"{where}: row {number} has {len(symbols)} cells, not {digits}")
            if len(part) != digits:
                raise PuzzleError(f"{where}: a grid of {len(part)} rows, not {digits}")
            yield _puzzle("".join(symbols for _, symbols in part), digits, where, check_givens)
        except PuzzleError as error:
            yield error


def _value(text: str, source: str, check_givens: bool) -> Puzzle | PuzzleError:
    """:func:`parse_line` with its error as a value."""
    try:
        return parse_line(text, source, check_givens)
    except PuzzleError as error:
        return error


def _wrong(symbols: str, digits: int) -> int | None:
    """Where the first symbol stands that is neither a digit nor a blank."""
    return next(
        (at for at, symbol in enumerate(symbols) if symbol not in "123456789"[:digits] + BLANKS), None
    )


def _wanted(digits: int) -> str:
    return f"a digit 1 to {digits} or a blank (0 . _)"


def _puzzle(symbols: str, digits: int, source: str, check_givens: bool) -> Puzzle:
    """``digits``² symbols as a puzzle."""
    if (wrong := _wrong(symbols, digits)) is not None:
        place = f"position {wrong + 1} (row {wrong // digits + 1}, column {wrong % digits + 1})"
        raise PuzzleError(f"{source}: {symbols[wrong]!r} at {place} is not {_wanted(digits)}")
    grid = (np.frombuffer(symbols.translate(_ZERO).encode(), np.uint8) - ord("0")).astype(np.int8)
    if check_givens:
        values = np.sort(grid[standard(digits).units], axis=1)
        twice = np.argwhere((values[:, 1:] == values[:, :-1]) & (values[:, 1:] > 0))
        if len(twice):
            unit, at = twice[0].tolist()
            raise PuzzleError(
                f"{source}: {values[unit, at]} twice in {_UNITS[unit // digits]} {unit % digits + 1}"
            )
    return Puzzle(grid, digits, source)
