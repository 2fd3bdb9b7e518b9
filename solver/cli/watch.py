"""Steps in a terminal: a Sudoku board, a JSON text or the holes of a program.

Everything is drawn from the records of a trace, so a live run and a replay look the same. In a Sudoku, every
mark has a character besides its colour:

    5   a given            5    a draft, coloured by the denoiser's confidence
    5+  newly accepted     5x   re-masked, because of a violation or of doubt
    5!  decided

``rich`` draws, and is imported only when something is drawn. It obeys NO_COLOR, FORCE_COLOR and the terminal's
width.

>>> mark_cell({"pinned": [0], "remasked": [1], "decision": None}, 1)[0]
'x'
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isqrt
from typing import TYPE_CHECKING, Any, TextIO

from solver.cli.main import UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

Record = dict[str, Any]

# Colours that stay apart under the common colour-vision deficiencies: blue is confident, orange is not.
CONFIDENCES = ((0.98, "color(33)"), (0.8, "color(117)"), (0.0, "color(214)"))
CONFIDENCE_NAMES = (" confident (98 %)", " 80 %", " less")
GIVEN, ACCEPTED = "bold", "underline"
REMASKED, DECIDED = "color(231) on color(166)", "color(231) on color(25)"
TEXT_PINNED, TEXT_VISIBLE = "dim", "color(33)"

COSTS = {"forwards": "forwards", "searched": "searched", "decisions": "decisions", "remasked": "re-masked"}
MAX_NOTES = 12  # lines beside a board
NOTES_WIDTH = 30  # columns; a narrower terminal gets the notes below the board
MAX_BOARDS = 4  # boards drawn without --watch: the first ones and the last
DELAY = 0.15  # seconds per board that is redrawn in place


def make_console(stream: TextIO) -> Console:
    """Return a console that colours unless NO_COLOR is set or ``stream`` is no terminal."""
    from rich.console import Console

    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    if console.no_color:
        console._color_system = None  # neither colours nor bold, which rich keeps
    return console


@contextmanager
def spinner(message: str, is_shown: bool) -> Iterator[None]:
    """Show ``message`` on stderr while the block runs. Only on a terminal."""
    if not (is_shown and sys.stderr.isatty()):
        yield
        return
    with make_console(sys.stderr).status(message):
        yield


@contextmanager
def progress_bar(total: int, is_shown: bool) -> Iterator[Callable[[str], None]]:
    """Yield a function that advances a bar on stderr by one item and sets its text. Only on a terminal."""
    if not (is_shown and sys.stderr.isatty()):
        yield lambda _: None
        return
    from rich.progress import Progress

    with Progress(console=make_console(sys.stderr), transient=True) as progress:
        bar = progress.add_task("", total=total)
        yield lambda text: progress.update(bar, advance=1, description=text)


class Viewer:
    """Draws records: on a terminal each step in place of the last one, otherwise one below the other.

    Args:
        stream: where to draw.
        every_step: draw all steps. Otherwise only the first ones and the last.
        delay: seconds per step in a terminal.
    """

    def __init__(self, stream: TextIO, every_step: bool = True, delay: float = DELAY) -> None:
        self.console = make_console(stream)
        self.every_step, self.delay = every_step, delay
        self.problems: dict[int, Record] = {}
        self.live: Live | None = None
        self.num_shown = 0
        self.last: Text | None = None  # the last picture so far, not drawn yet

    def show(self, record: Record) -> None:
        """Draw a record. Raises UsageError if it is a step of a problem that was not opened."""
        number = record["number"]
        match record["type"]:
            case "problem":
                self.problems[number] = record
            case "step" if number not in self.problems:
                raise UsageError(f"problem {number + 1} has no opening line")
            case "step":
                self._show_step(record, self.problems[number])
            case _:
                self.close()

    def close(self) -> None:
        """Leave the last picture on the screen and start anew below it."""
        if self.live is not None:
            self.live.stop()
        if self.last is not None:
            if self.num_shown > MAX_BOARDS:
                self._print(f"... {self.num_shown - MAX_BOARDS} more boards: --watch shows them all ...")
            self._print(self.last)
        self.live, self.last, self.num_shown = None, None, 0

    def _show_step(self, step: Record, problem: Record) -> None:
        picture = draw_step(step, problem, self.console)
        if self.num_shown == 0 and problem["task"] == "sudoku":
            self._print(board_legend())
        if not self.every_step and self.num_shown >= MAX_BOARDS - 1:
            self.last = picture
        elif self.every_step and self.console.is_terminal and problem["task"] == "sudoku":
            self._redraw(picture)
        else:
            self._print(picture)
        self.num_shown += 1

    def _redraw(self, picture: Text) -> None:
        from rich.live import Live

        if self.live is None:
            self.live = Live(console=self.console, auto_refresh=False)
            self.live.start()
        self.live.update(picture, refresh=True)
        time.sleep(self.delay)

    def _print(self, text: Text | str) -> None:
        self.console.print(text, soft_wrap=True)


def draw_step(step: Record, problem: Record, console: Console) -> Text:
    """Return the picture of one step.

    Args:
        step: a record of type "step".
        problem: the record that opened its problem.
        console: where it will be drawn, which determines width and characters.
    """
    if problem["task"] == "sudoku":
        return board_picture(step, problem["digits"], console)
    return text_picture(step, problem)


def board_picture(step: Record, digits: int, console: Console) -> Text:
    """Return a board with notes beside it, or below it in a narrow terminal."""
    from rich.text import Text

    if digits not in (4, 9):
        raise ValueError(f"a board of {digits} digits")
    width = console.width if console.is_terminal else 1 << 16
    full_width = 3 * digits + 2 * isqrt(digits) + 1
    lines = board_lines(step, digits, console.encoding.startswith("utf"), has_marks=width >= full_width)
    notes = describe_step(step, digits)
    room = width - lines[0].cell_len - 3
    if room < NOTES_WIDTH:
        return Text("\n").join([*lines, *(Text(note[:width]) for note in notes)])
    for line, note in zip(lines, notes, strict=False):
        line.append("   " + note[:room])
    return Text("\n").join(lines)


def board_lines(step: Record, digits: int, is_unicode: bool, has_marks: bool) -> list[Text]:
    """Return the lines of a board, all of the same width. Without marks it is narrower."""
    from rich.text import Text

    bar, rule, *corners = ("│", "─", *"┌┬┐├┼┤└┴┘") if is_unicode else ("|", "-", *"+" * 9)
    box = isqrt(digits)
    segment = rule * ((3 if has_marks else 2) * box + 1)
    rules = [corners[k] + corners[k + 1].join([segment] * box) + corners[k + 2] for k in (0, 3, 6)]
    lines = [Text(rules[0])]
    for row in range(digits):
        line = Text(bar)
        for cell in range(row * digits, (row + 1) * digits):
            mark, style = mark_cell(step, cell)
            line.append(" ")
            line.append(str(step["draft"][cell] + 1), style)
            line.append(mark if has_marks else "", "dim")
            line.append(f" {bar}" if (cell + 1) % box == 0 else "")
        lines.append(line)
        if (row + 1) % box == 0:
            lines.append(Text(rules[2 if row + 1 == digits else 1]))
    return lines


def mark_cell(step: Record, cell: int) -> tuple[str, str]:
    if cell in step["pinned"]:
        return " ", GIVEN
    if cell in step["remasked"]:
        return "x", REMASKED
    if step["decision"] and cell == step["decision"][0]:
        return "!", DECIDED
    style = next(colour for level, colour in CONFIDENCES if step["confidence"][cell] >= level)
    return ("+", f"{style} {ACCEPTED}") if cell in step["accepted"] else (" ", style)


def describe_step(step: Record, digits: int) -> list[str]:
    """Return the notes of a step: its node, what was accepted, what was re-masked and why."""
    kind = "searched" if step.get("strategy") == "search" else "forward"
    notes = [f"{kind} {step['step'] + 1}, node {step['node']}"]
    if step["decision"]:
        cell, token = step["decision"]
        notes.append(
            f"decided r{cell // digits + 1}c{cell % digits + 1} = {token + 1}, from node {step['parent']}"
        )
    notes.append(f"accepted {len(step['accepted'])}, re-masked {len(step['remasked'])}")
    if step["solved"]:
        return [*notes, "every check passes: solved"]
    if step["refuted"]:
        notes.append(f"refuted: {step['refuted']['message']}")
    messages = [violation["message"] for violation in step["violations"]]
    room = MAX_NOTES - len(notes)
    notes += [f"  {message}" for message in messages[:room]]
    if len(messages) > room:
        notes.append(f"  and {len(messages) - room} more")
    return notes


def board_legend() -> Text:
    from rich.text import Text

    meanings = [(GIVEN, " given"), *zip((style for _, style in CONFIDENCES), CONFIDENCE_NAMES, strict=True)]
    meanings += [(ACCEPTED, "+ accepted"), (REMASKED, "x re-masked"), (DECIDED, "! decided")]
    legend = Text()
    for style, meaning in meanings:
        legend.append("5", style).append(f"{meaning}  ")
    return legend


def text_picture(step: Record, problem: Record) -> Text:
    """Return a draft of JSON or code in one line: its number, the text, and the first violation."""
    from rich.text import Text

    picture = Text(f"{step['step']:>4}  ")
    decode = token_decoder(problem["task"])
    for index, (start, length) in enumerate(problem.get("slots", [(0, len(step["draft"]))])):
        picture.append("  |  " if index else "")
        for cell in range(start, start + length):
            token = step["draft"][cell]
            if token != problem["blank"]:
                text = decode(token)
                picture.append(text if text.isprintable() else repr(text)[1:-1], text_style(step, cell))
    if step["violations"]:
        picture.append(f"   {step['violations'][0]['message']}")
    return picture


def text_style(step: Record, cell: int) -> str:
    if cell in step["pinned"]:
        return TEXT_PINNED
    if cell in step["remasked"]:
        return REMASKED
    return TEXT_VISIBLE if cell in step["visible"] else ""


def describe_costs(record: Record) -> str:
    shown = {
        name: text for name, text in COSTS.items() if name in record and (record[name] or name != "searched")
    }
    return ", ".join(f"{record[name]} {text}" for name, text in shown.items())


def token_decoder(task: str) -> Callable[[int], str]:
    """Return a function that turns the tokens of a task into text, one after another."""
    if task == "code":
        from solver.tasks.code_edit.vocabulary import Vocabulary

        return Vocabulary.load().display
    from codecs import getincrementaldecoder

    decoder = getincrementaldecoder("utf-8")("replace")
    return lambda token: decoder.decode(bytes([token]))
