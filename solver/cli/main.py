"""The command line: ``python -m solver COMMAND [options]``, or ``remask COMMAND [options]``.

A command is a module of this folder: ``sudoku`` is ``sudoku.py``, ``json check`` is ``json_check.py``. It has
``add_arguments(parser)`` and ``run(arguments)``, which returns the exit code. Only the requested module is
imported, and its heavy imports wait until ``run``, so that ``--help`` answers at once.

Exit codes:
    0: every problem is solved and every file is valid.
    1: a problem is unsolved or a file is not valid, or the reader of the output left (as in ``| head``).
    2: bad input, reported in one line (the remaining inputs are still processed), or no command.
    130, 143: interrupted with Ctrl-C, or terminated. All results that were finished are printed.

Output:
    stdout has the results: one line each, or in a readable form if stdout is a terminal. stderr has progress,
    costs and errors.
    ``--json`` prints one JSON object per line, in input order; ``sudoku --file`` each as soon as it is known.
    ``--watch`` draws every step on stdout; with ``--json``, on stderr.
    ``--trace FILE`` writes the steps to a new file of JSON lines: for each problem an opening line
    ("problem"), a line per forward ("step") and the result ("outcome"). ``replay FILE`` draws them again. An
    existing file is not overwritten.
    ``--quiet`` prints the results only.

The number after a puzzle is its rating, the last line the exit code:

>>> main(["generate", "--count", "1", "--digits", "4", "--seed", "5"])
1..4...1.2...... 0
0
"""

import argparse
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from io import TextIOWrapper
from typing import Any, TextIO

from solver import __version__
from solver.tasks.errors import SolverError


@dataclass(frozen=True)
class Command:
    """A command in ``--help``: its summary, and the arguments of an example to run in a checkout."""

    summary: str
    example: str


COMMANDS = {
    "sudoku": Command("solve Sudoku puzzles", "--file examples/puzzles.txt"),
    "json fill": Command(
        "write JSON that satisfies a schema",
        "--schema examples/person.schema.json --text examples/letter.txt",
    ),
    "json check": Command(
        "check JSON files against a schema",
        "--schema examples/person.schema.json examples/valid.json",
    ),
    "edit fill": Command("fill holes in a Python file", "examples/mean.py --hole 3:18-3:22"),
    "edit repair": Command("repair a Python file that does not compile", "examples/broken.py"),
    "replay": Command("draw the steps of a trace again", "run.jsonl"),
    "train": Command("train a checkpoint", "sudoku --preset smoke --out runs/smoke"),
    "generate": Command("make Sudoku puzzles that have one solution", "--count 3 --digits 4"),
    "evaluate": Command("measure denoisers on held-out problems", "sudoku --quick --out results/quick"),
    "trace": Command("list the source files that run for one small problem (unrelated to --trace)", "sudoku"),
}


class Terminated(KeyboardInterrupt):
    """The process was asked to end by SIGTERM: everything is done that is done for Ctrl-C."""


def raise_terminated(*_: object) -> None:
    """Handle SIGTERM."""
    raise Terminated


class UsageError(SolverError):
    """Bad input. The command line prints the message in one line and exits with 2."""


class CommandParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, those of stdout included."""

    def error(self, message: str) -> None:  # type: ignore[override]  # argparse says NoReturn: this raises
        raise UsageError(message)

    def print_help(self, file: Any = None) -> None:
        """Print the help. Raises OSError if that is not possible, which argparse ignores."""
        print(self.format_help(), end="", file=file, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Args:
        arguments: the words of the command line. None: those of the process.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # escape characters that the terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    try:
        code = run_command(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
        return code
    except SolverError as error:
        return fail(2, f"error: {' '.join(str(error).split())}")
    except BrokenPipeError:  # the reader left, as in "| head"
        discard(sys.stdout)
        return 1
    except OSError as error:  # a full disk, above all
        if error.filename is None:
            discard(sys.stdout)
        return fail(2, f"error: {error.filename or 'output'}: cannot be written ({error.strerror or error})")
    except Terminated:
        return fail(143, "terminated")
    except KeyboardInterrupt:
        return fail(130, "interrupted")


def fail(code: int, message: str) -> int:
    """Print the last line of a command on stderr, if that is possible, and return the exit code."""
    try:
        print(message, file=sys.stderr, flush=True)
    except OSError:
        discard(sys.stderr)
    return code


def discard(stream: TextIO) -> None:
    """Discard what is still to be written to a standard stream, also at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def run_command(words: Sequence[str]) -> int:
    """Find the command, parse its options and run it. Raises UsageError if there is no such command."""
    match words:
        case []:
            print(overview(COMMANDS))
            return 2
        case ["-h" | "--help", *_]:
            print(overview(COMMANDS))
            return 0
        case ["--version", *_]:
            print(f"remask {__version__}")
            return 0
    name = next((name for name in (" ".join(words[:2]), words[0]) if name in COMMANDS), None)
    if name is None:
        actions = [command for command in COMMANDS if command.startswith(words[0] + " ")]
        if actions and words[1:2] in (["-h"], ["--help"]):
            print(overview(actions))
            return 0
        if actions:
            raise UsageError(f"{words[0]} needs an action: {' or '.join(actions)}")
        raise UsageError(f"unknown command {words[0]!r}; available commands: {', '.join(COMMANDS)}")
    module = import_module(f"solver.cli.{name.replace(' ', '_')}")
    command = COMMANDS[name]
    parser = CommandParser(
        prog=f"python -m solver {name}",
        description=command.summary,
        epilog=f"example:\n  python -m solver {name} {command.example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    # intermixed: options may come between positional arguments; argparse has no such mode for subparsers
    parse = parser.parse_args if parser._subparsers else parser.parse_intermixed_args
    code: int = module.run(parse(words[len(name.split()) :]))
    return code


def overview(names: Iterable[str]) -> str:
    width = max(map(len, COMMANDS))
    return "\n".join(
        [
            "usage: python -m solver COMMAND [options]        (COMMAND --help lists its options)",
            "",
            "Draft a whole block, check it, re-mask what violates a constraint, repeat.",
            "",
            *(f"  {name:<{width}}  {COMMANDS[name].summary}" for name in names),
        ]
    )


def entry() -> None:
    """Run the command line of the process and exit. This is the entry point of the ``remask`` script."""
    if sys.stderr is None:  # closed, and everything that writes to it expects a stream
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115  # open until exit
    if sys.stdout is None:
        sys.exit(fail(2, "error: stdout is closed"))
    signal.signal(signal.SIGTERM, raise_terminated)
    sys.exit(main())
