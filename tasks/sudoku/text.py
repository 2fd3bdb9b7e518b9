"""Reading Sudoku puzzles: lines, drawn grids and CSV, from an argument, a file or standard input.

>>> for item in parse_text("1.3.3.1.2.4.4.2.  # easy\\n1.3.", "argument"):
...     print(item.text if isinstance(item, Puzzle) else item)
1.3.3.1.2.4.4.2.
argument:2: a grid of 1 rows, not 4

Three formats are read. Blank cells are ``0``, ``.`` or ``_``, and comment lines start with ``#``:

    line    53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79  (later columns
    ignored) grid    5 3 . | . 7 . | . . .        nine rows, or four, drawn with spaces, ``|``, ``+``, ``-``
    or box characters CSV     quizzes,solutions            a header that names a column in ``COLUMNS``
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
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
MAX_ROW_SYMBOLS = 12  # a longer line is a whole puzzle of 16 or 81 symbols, perhaps a damaged one

_BLANKS_TO_ZERO = str.maketrans("._", "00")
_DRAWING = re.compile(r"\x1b\[[0-9;]*m|[\s|+\-\u2500-\u257f]")  # terminal colours, ASCII and Unicode lines
_UNITS = ("row", "column", "box")


class PuzzleError(SolverError, ValueError):
    """A text is not a puzzle. The message begins with its position."""


@dataclass(frozen=True, eq=False)
class Puzzle:
    """A puzzle that was read.

    Attributes:
        grid: (cells,), digits from 1, 0 for blank.
        digits: 9 or 4.
        source: its position, such as "puzzles.txt:12".
    """

    grid: Grid
    digits: int
    source: str

    @property
    def text(self) -> str:
        """The puzzle as one line of 81 (or 16) characters, ``.`` for a blank."""
        return "".join(".123456789"[value] for value in self.grid.tolist())


def parse_line(text: str, source: str, check_givens: bool = True) -> Puzzle:
    """Parse a puzzle of 81 or 16 cells from the first column of a line; further columns are ignored.

    Args:
        text: the line.
        source: its position, for messages.
        check_givens: whether to refuse a digit that is given twice in a unit.

    Raises:
        PuzzleError: the length is different, a symbol is unknown, or a digit is given twice.
    """
    symbols = re.split(r"[\s,;]", text.strip(), maxsplit=1)[0]
    if len(symbols) not in SIZES:
        raise PuzzleError(f"{source}: has {len(symbols)} cells, not 81 or 16")
    return _puzzle(symbols, SIZES[len(symbols)], source, check_givens)


def parse_text(text: str, source: str, check_givens: bool = True) -> Iterator[Puzzle | PuzzleError]:
    """Parse the puzzles of a text in order. An error takes the place of one that cannot be read.

    A text without any puzzle gives one error.
    """
    lines = ((number, line.strip()) for number, line in enumerate(io.StringIO(text, newline=None), 1))
    content = ((number, line) for number, line in lines if not line.startswith("#"))
    items = _parse(content, source, check_givens)
    yield next(items, PuzzleError(f"{source}: no puzzle in it"))
    yield from items


def read_file(path: Path, check_givens: bool = True) -> Iterator[Puzzle | PuzzleError]:
    """Parse the puzzles of a file, as :func:`parse_text`. The file is read at once and parsed lazily.

    Raises:
        PuzzleError: at the call, if the file is missing, unreadable, a folder, or not UTF-8 text.
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
    """Parse the puzzles of a binary stream, as :func:`parse_text`. Raises PuzzleError if it is not text."""
    return parse_text(_decode(stream.read(), "stdin"), "stdin", check_givens)


def _decode(data: bytes, source: str) -> str:
    if b"\0" in data:
        raise PuzzleError(f"{source}: is a binary file, not text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PuzzleError(f"{source}: is not UTF-8 text (byte {error.start + 1})") from None


def _parse(
    lines: Iterator[tuple[int, str]], source: str, check_givens: bool
) -> Iterator[Puzzle | PuzzleError]:
    """Parse numbered, stripped lines without comments:

    CSV after a header, else puzzle lines and drawn grids.
    """
    rows: list[tuple[int, str]] = []  # of the current grid
    may_be_header = True
    for number, line in lines:
        if may_be_header and line:
            may_be_header = False
            delimiter = next((mark for mark in ",;\t" if mark in line), ",")
            names = [name.strip().lower() for name in _fields(line, delimiter)]
            column = next((index for index, name in enumerate(names) if name in COLUMNS), None)
            if column is not None:
                yield from _csv_rows(lines, delimiter, column, source, check_givens)
                return
        symbols = _DRAWING.sub("", line.split("#")[0])
        if line and len(symbols) <= MAX_ROW_SYMBOLS:
            if symbols:  # otherwise a drawn line between two rows
                rows.append((number, symbols))
            continue
        yield from _grids(rows, source, check_givens)
        rows = []
        if line:
            yield _parse_value(line, f"{source}:{number}", check_givens)
    yield from _grids(rows, source, check_givens)


def _csv_rows(
    lines: Iterable[tuple[int, str]], delimiter: str, column: int, source: str, check_givens: bool
) -> Iterator[Puzzle | PuzzleError]:
    """The puzzles of one column.

    Every line is parsed by itself, so that a stray quote spoils only its row.
    """
    for number, line in lines:
        if line:
            position = f"{source}:{number}"
            fields = _fields(line, delimiter)
            if column < len(fields):
                yield _parse_value(fields[column], position, check_givens)
            else:
                yield PuzzleError(
                    f"{position}: has {len(fields)} columns, and the puzzle should be in number {column + 1}"
                )


def _fields(line: str, delimiter: str) -> list[str]:
    """The fields of one CSV line; none if a field exceeds the size limit of the csv module."""
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _grids(rows: list[tuple[int, str]], source: str, check_givens: bool) -> Iterator[Puzzle | PuzzleError]:
    digits = 4 if rows and len(rows[0][1]) == 4 else 9
    for start in range(0, len(rows), digits):
        part = rows[start : start + digits]
        position = f"{source}:{part[0][0]}"
        try:
            for number, (_, symbols) in enumerate(part, 1):
                if (column := _invalid_symbol(symbols, digits)) is not None:
                    raise PuzzleError(
                        f"{position}: {symbols[column]!r} in row {number}, column {column + 1}"
                        f" is not {_expected_symbol(digits)}"
                    )
                if len(symbols) != digits:
                    raise PuzzleError(f"{position}: row {number} has {len(symbols)} cells, not {digits}")
            if len(part) != digits:
                raise PuzzleError(f"{position}: a grid of {len(part)} rows, not {digits}")
            yield _puzzle("".join(symbols for _, symbols in part), digits, position, check_givens)
        except PuzzleError as error:
            yield error


def _parse_value(text: str, source: str, check_givens: bool) -> Puzzle | PuzzleError:
    try:
        return parse_line(text, source, check_givens)
    except PuzzleError as error:
        return error


def _invalid_symbol(symbols: str, digits: int) -> int | None:
    """The index of the first symbol that is neither a digit nor a blank."""
    return next(
        (index for index, symbol in enumerate(symbols) if symbol not in "123456789"[:digits] + BLANKS), None
    )


def _expected_symbol(digits: int) -> str:
    return f"a digit 1 to {digits} or a blank (0 . _)"


def _puzzle(symbols: str, digits: int, source: str, check_givens: bool) -> Puzzle:
    if (index := _invalid_symbol(symbols, digits)) is not None:
        position = f"position {index + 1} (row {index // digits + 1}, column {index % digits + 1})"
        raise PuzzleError(f"{source}: {symbols[index]!r} at {position} is not {_expected_symbol(digits)}")
    grid = (np.frombuffer(symbols.translate(_BLANKS_TO_ZERO).encode(), np.uint8) - ord("0")).astype(np.int8)
    if check_givens:
        values = np.sort(grid[standard(digits).units], axis=1)
        twice = np.argwhere((values[:, 1:] == values[:, :-1]) & (values[:, 1:] > 0))
        if len(twice):
            unit, index = twice[0].tolist()
            raise PuzzleError(
                f"{source}: {values[unit, index]} twice in {_UNITS[unit // digits]} {unit % digits + 1}"
            )
    return Puzzle(grid, digits, source)
