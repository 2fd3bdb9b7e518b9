"""``python -m solver generate``: puzzles with one solution each, a line each."""

from __future__ import annotations

import argparse

from solver.cli.main import UsageError
from solver.cli.options import whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=whole(1), default=1, metavar="N", help="how many (1)")
    parser.add_argument(
        "--seed", type=whole(0), default=0, metavar="N", help="the same seed makes the same puzzles (0)"
    )
    parser.add_argument("--digits", type=int, choices=(4, 9), default=9, help="4 for 4x4, 9 for 9x9 (9)")
    parser.add_argument("--diagonal", action="store_true", help="both main diagonals must differ too")
    parser.add_argument(
        "--extra", type=whole(0), default=0, metavar="N", help="clues put back into the minimal puzzle (0)"
    )
    parser.add_argument(
        "--min-guesses", type=whole(0), default=0, metavar="N", help="guesses an exact solver needs, at least"
    )
    parser.add_argument(
        "--max-guesses", type=whole(0), default=1 << 30, metavar="N", help="and at most; 0: singles suffice"
    )


def run(arguments: argparse.Namespace) -> int:
    from solver.tasks.sudoku import exact, layout

    try:
        puzzles, _, ratings = exact.generate(
            layout.standard(arguments.digits, arguments.diagonal),
            arguments.count,
            arguments.seed,
            arguments.extra,
            arguments.min_guesses,
            arguments.max_guesses,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    for puzzle, rating in zip(puzzles, ratings, strict=True):
        print("".join(".123456789"[digit] for digit in puzzle), rating)
    return 0
