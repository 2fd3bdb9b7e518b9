"""``python -m solver generate``: print Sudoku puzzles that have one solution, with their rating.

>>> describe_puzzle([0, 1, 2, 0], 3)
'.12. 3'
"""

import argparse
from collections.abc import Iterable

from solver.cli.options import integer
from solver.cli.output import print_line
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
        print_line(describe_puzzle(puzzle, rating))
    return 0


def describe_puzzle(digits: Iterable[int], rating: int) -> str:
    return "".join(".123456789"[digit] for digit in digits) + f" {rating}"
