"""``python -m solver replay TRACE``: the boards of a trace again."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from solver.cli import board
from solver.cli.main import UsageError
from solver.cli.options import whole

NEEDED = {
    "problem": {"number", "digits", "puzzle"},
    "step": {
        "number",
        "step",
        "draft",
        "confidence",
        "pinned",
        "accepted",
        "remasked",
        "decision",
        "violations",
        "solved",
    },
    "outcome": {"number", "status", "forwards", "decisions", "remasked"},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("trace", metavar="TRACE", help="a file that --trace wrote")
    parser.add_argument(
        "--puzzle", type=whole(1), default=None, metavar="N", help="only the N-th puzzle (all)"
    )
    parser.add_argument(
        "--delay", type=float, default=None, metavar="S", help="seconds a board (0.15 on a terminal, else 0)"
    )


def run(arguments: argparse.Namespace) -> int:
    digits: dict[int, int] = {}
    colour, live = board.wants_colour(sys.stdout), sys.stdout.isatty()
    delay = arguments.delay if arguments.delay is not None else (0.15 if live else 0.0)
    if not 0 <= delay < 3600:
        raise UsageError(f"--delay must be between 0 and 3600, not {delay}")
    shown = 0
    for record in records(Path(arguments.trace)):
        number = record["number"]
        if arguments.puzzle is not None and number != arguments.puzzle - 1:
            continue
        if record["type"] == "problem":
            digits[number] = record["digits"]
            continue
        if number not in digits:
            raise UsageError(f"{arguments.trace}: puzzle {number + 1} has no opening line")
        shown += 1
        if record["type"] == "step":
            print((board.CLEAR if live else "") + board.picture(record, digits[number], colour), flush=True)
            time.sleep(delay)
        else:
            costs = f"{record['forwards']} forwards, {record['decisions']} decisions, {record['remasked']} re-masked"
            print(f"puzzle {number + 1}: {record['status']}, {costs}")
    if not shown:
        raise UsageError(
            f"{arguments.trace}: nothing to show" + ("" if arguments.puzzle is None else " for that puzzle")
        )
    return 0


def records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a trace. Raises UsageError, naming the line, where it is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not a trace (not text)") from error
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            missing = NEEDED[record["type"]] - record.keys()
            if missing:
                raise KeyError(min(missing))
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path}:{number}: is not a line of a trace") from error
        yield record
