"""``python -m solver generate``: print Sudoku puzzles that have one solution, with their rating.

>>> describe_puzzle([0, 1, 2, 0], 3)
'.12. 3'
"""

import argparse
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from solver.cli.options import integer
from solver.cli.watch import spinner


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=integer(1), default=1, metavar="N", help="number of puzzles (1)")
    parser.add_argument("--digits", type=int, choices=(4, 9), default=9, help="4 for 4x4, 9 for 9x9 (9)")
    parser.add_argument("--diagonal", action="store_true", help="both main diagonals must differ too")
    limits = {
        "--seed": (0, "the same seed makes the same puzzles (0)"),
        "--extra": (0, "clues put back into the minimal puzzle (0)"),
        "--min-guesses": (0, "guesses of an exact solver, at least (0)"),
        "--max-guesses": (1 << 30, "and at most; 0: singles suffice (no limit)"),
    }
    for name, (default, text) in limits.items():
        parser.add_argument(name, type=integer(0), default=default, metavar="N", help=text)


def run(arguments: argparse.Namespace) -> int:
    """Print every puzzle as soon as it is made, so that Ctrl-C loses nothing."""
    with spinner("compiling the exact solver", is_shown=True):
        from solver.tasks.sudoku import exact, layout
    puzzles = exact.generate_each(
        layout.standard(arguments.digits, arguments.diagonal),
        arguments.count,
        arguments.seed,
        arguments.extra,
        arguments.min_guesses,
        arguments.max_guesses,
    )
    for puzzle, _, rating in puzzles:
        with delayed_interrupt():
            print(describe_puzzle(puzzle, rating), flush=True)
    return 0


@contextmanager
def delayed_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt after the block instead of inside it, so that no line of output is cut."""
    received: list[Any] = []
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, lambda *arguments: received.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if received:
        raise KeyboardInterrupt


def describe_puzzle(digits: Iterable[int], rating: int) -> str:
    return "".join(".123456789"[digit] for digit in digits) + f" {rating}"
