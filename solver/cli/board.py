"""The Sudoku board in a terminal: givens, drafts by confidence, what was accepted, what was re-masked and why.

Everything is drawn from the JSON of a trace's steps, so a live run and a replay look the same. Without colour (no terminal,
``NO_COLOR``) every mark has a character too:

    5   a given            5    a draft, coloured by how sure the denoiser is
    5+  newly accepted     5x   re-masked, because it violates something or is doubted
    5!  decided            a blank: nothing is drafted there
"""

from __future__ import annotations

import os
import sys
from math import isqrt
from typing import Any, TextIO

RESET, BOLD, DIM = "\x1b[0m", "\x1b[1m", "\x1b[2m"
# 256-colour codes that stay apart under the common colour-vision deficiencies: blue is sure, orange is not
SURE, FAIRLY, UNSURE = "\x1b[38;5;33m", "\x1b[38;5;117m", "\x1b[38;5;214m"
REMASKED, DECIDED, ACCEPTED = "\x1b[48;5;166m\x1b[38;5;231m", "\x1b[48;5;25m\x1b[38;5;231m", "\x1b[4m"
LEVELS = ((0.98, SURE), (0.8, FAIRLY), (0.0, UNSURE))
CLEAR = "\x1b[H\x1b[J"
LINES = 12  # of violations beside a board


def wants_colour(stream: TextIO) -> bool:
    """A terminal gets colours unless NO_COLOR is set; FORCE_COLOR insists."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")


def cell_name(cell: int, digits: int) -> str:
    """r1c1 for the first cell."""
    return f"r{cell // digits + 1}c{cell % digits + 1}"


def board(step: dict[str, Any], digits: int, colour: bool) -> list[str]:
    """The lines of one board, all equally wide on screen."""
    pinned, accepted, remasked = set(step["pinned"]), set(step["accepted"]), set(step["remasked"])
    decided = step["decision"][0] if step["decision"] else -1
    box = isqrt(digits)
    bar = "+".join("-" * (3 * box + 1) for _ in range(box))
    lines = [f"+{bar}+"]
    for row in range(digits):
        text = "|"
        for column in range(digits):
            cell = row * digits + column
            mark, style = " ", ""
            if cell in pinned:
                style = BOLD
            else:
                style = next(code for level, code in LEVELS if step["confidence"][cell] >= level)
                if cell in remasked:
                    mark, style = "x", REMASKED
                elif cell == decided:
                    mark, style = "!", DECIDED
                elif cell in accepted:
                    mark, style = "+", style + ACCEPTED
            shown = str(step["draft"][cell] + 1)
            text += f" {style}{shown}{RESET}{DIM}{mark}{RESET}" if colour else f" {shown}{mark}"
            if (column + 1) % box == 0:
                text += " |"
        lines.append(text)
        if (row + 1) % box == 0:
            lines.append(f"+{bar}+")
    return lines


def puzzle_board(puzzle: str, digits: int, colour: bool) -> list[str]:
    """The givens alone."""
    empty = {
        "pinned": [c for c, symbol in enumerate(puzzle) if symbol != "."],
        "accepted": [],
        "remasked": [],
        "decision": None,
        "confidence": [1.0] * len(puzzle),
        "draft": [int(symbol) - 1 if symbol != "." else -1 for symbol in puzzle],
    }
    return [
        line.replace("0 ", ". ").replace(f"0{RESET}", f".{RESET}") for line in board(empty, digits, colour)
    ]


def remarks(step: dict[str, Any], digits: int) -> list[str]:
    """What to say beside the board: what this canvas is, what was accepted, what was taken back and why."""
    lines = [f"forward {step['step'] + 1}, canvas {step['canvas']}"]
    if step["decision"]:
        cell, token = step["decision"]
        lines.append(f"decided {cell_name(cell, digits)} = {token + 1}, out of canvas {step['parent']}")
    lines.append(f"accepted {len(step['accepted'])}, re-masked {len(step['remasked'])}")
    if step["solved"]:
        return [*lines, "every check passes: solved"]
    if step["refuted"]:
        lines.append(f"closed: {step['refuted']['message']}")
    reasons = [v["message"] for v in step["violations"]]
    room = LINES - len(lines)
    lines += [f"  {reason}" for reason in reasons[:room]]
    if len(reasons) > room:
        lines.append(f"  and {len(reasons) - room} more")
    return lines


def picture(step: dict[str, Any], digits: int, colour: bool) -> str:
    """A board with its remarks to the right."""
    left, right = board(step, digits, colour), remarks(step, digits)
    right += [""] * (len(left) - len(right))
    return "\n".join(f"{a}   {b}".rstrip() for a, b in zip(left, right, strict=False))


def legend(colour: bool) -> str:
    """What the marks mean, in one line."""
    if not colour:
        return "digits: givens and drafts; + accepted, x re-masked, ! decided"
    sure, fairly, unsure = (f"{code}5{RESET}" for _, code in LEVELS)
    return (
        f"{BOLD}5{RESET} given  {sure} sure (98 %)  {fairly} fairly (80 %)  {unsure} unsure  "
        f"{ACCEPTED}5{RESET}+ accepted  {REMASKED}5{RESET}x re-masked  {DECIDED}5{RESET}! decided"
    )


def progress(
    done: int, total: int, counts: dict[str, int], rate: float, stream: TextIO | None = None
) -> None:
    """One line on ``stream`` (stderr), rewritten in place on a terminal."""
    stream = stream or sys.stderr
    states = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    end = "\r" if stream.isatty() else "\n"
    stream.write(f"{done}/{total}  {states}  {rate:.1f}/s{'    ' if end == chr(13) else ''}{end}")
    stream.flush()
