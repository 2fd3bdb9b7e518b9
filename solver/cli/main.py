"""The command line's front: finds the subcommand, and turns bad input into one line and exit code 2.

Each subcommand is a module here with ``add_arguments`` and ``run``. Only the one that is asked for is imported, and its heavy
imports wait until ``run``: ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper

from solver import __version__

COMMANDS = {
    "sudoku": "solve Sudoku puzzles with a denoiser whose violating cells are re-masked",
    "json": "write JSON that satisfies a schema, or judge some",
    "edit": "fill holes in a Python file, or mend one that does not compile",
    "replay": "show a trace again",
    "train": "train a checkpoint",
    "generate": "make puzzles that have one solution",
    "evaluate": "measure denoisers on puzzles that no training saw",
}


class UsageError(Exception):
    """Bad input: its one-line message goes to stderr and the exit code is 2."""


class Parser(argparse.ArgumentParser):
    """argparse, with errors in one line."""

    def error(self, message: str) -> None:  # type: ignore[override]  # argparse says NoReturn: we raise
        raise UsageError(message)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # what a terminal or a pipe cannot show is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    try:
        if not arguments or arguments[0] in ("-h", "--help"):
            print(overview())
            return 0 if arguments else 2
        if arguments[0] == "--version":
            print(f"remask {__version__}")
            return 0
        command = arguments[0]
        if command not in COMMANDS:
            raise UsageError(f"unknown command {command!r}; there are {', '.join(COMMANDS)}")
        module = import_module(f"solver.cli.{command}")
        parser = Parser(prog=f"python -m solver {command}", description=COMMANDS[command])
        module.add_arguments(parser)
        # options may stand anywhere, except that argparse cannot mix them with the positionals of a subcommand
        parse = parser.parse_args if parser._subparsers else parser.parse_intermixed_args
        code: int = module.run(parse(arguments[1:]))
        return code
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader left (| head): say nothing more, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def overview() -> str:
    """The text of ``--help``."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            "usage: python -m solver COMMAND [options]        (COMMAND --help tells its options)",
            "",
            "Draft a whole block, check it, re-mask what breaks, repeat until nothing does.",
            "",
            *lines,
        ]
    )


def entry() -> None:
    """What the ``remask`` script runs."""
    sys.exit(main())
