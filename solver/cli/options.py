"""Options that several commands share: budget, output, model. A command adds only the groups that it obeys.

>>> integer(1)("12")
12
>>> parser = argparse.ArgumentParser()
>>> add_budget(parser, "5000")
>>> parser.parse_args(["--forwards", "7"]).forwards
7
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from solver.cli.main import UsageError

MAX_BYTES = 4_000_000  # of an input file
SECONDS = 30.0  # default limit of one problem


def integer(minimum: int, maximum: int = (1 << 63) - 1) -> Callable[[str], int]:
    """Return an argparse type: an integer from ``minimum`` to ``maximum``."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number") from None
        if value < minimum:
            raise argparse.ArgumentTypeError(f"must be at least {minimum}, not {text[:40]}")
        if value > maximum:
            raise argparse.ArgumentTypeError(f"must be at most {maximum}, not {text[:40]}")
        return value

    return convert


def probability(text: str) -> float:
    """Convert ``text`` to a number from 0 to 1, as an argparse type."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number") from None
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be from 0 to 1, not {text[:40]}")
    return value


def positive(text: str) -> float:
    """Convert ``text`` to a positive, finite number, as an argparse type."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number") from None
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be positive, not {text[:40]}")
    return value


def seconds(text: str) -> float | None:
    """Convert a limit in seconds, or "none", as an argparse type."""
    return None if text == "none" else positive(text)


def add_budget(parser: argparse.ArgumentParser, forwards: str) -> None:
    """Add the limits of one problem and the seed. ``forwards`` describes the default limit."""
    parser.add_argument("--forwards", type=integer(1), metavar="N", help=f"forwards per problem ({forwards})")
    parser.add_argument(
        "--seconds",
        type=seconds,
        default=SECONDS,
        metavar="S",
        help=f"seconds per problem, or none for no limit ({SECONDS:g})",
    )
    parser.add_argument("--seed", type=integer(0), default=0, metavar="N", help="seed of all randomness (0)")


def add_output(parser: argparse.ArgumentParser, has_steps: bool = True) -> None:
    """Add what is printed; ``has_steps``: the command has steps to draw and to record."""
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.add_argument("--quiet", action="store_true", help="print results only: no progress and no costs")
    if has_steps:
        parser.add_argument("--watch", action="store_true", help="draw every step (with --json on stderr)")
        parser.add_argument("--trace", metavar="F", help="write every step to a new file, for replay")


def add_model(parser: argparse.ArgumentParser, batch: bool = True) -> None:
    """Add the denoiser and its threads; ``batch``: the command denoises several problems together."""
    parser.add_argument(
        "--denoiser",
        default="compact",
        metavar="NAME",
        help="compact (shipped), random, prior, or a checkpoint folder (compact)",
    )
    parser.add_argument(
        "--threads", type=integer(1, 1024), metavar="N", help="CPU threads (OMP_NUM_THREADS, or all cores)"
    )
    if batch:
        parser.add_argument(
            "--batch", type=integer(1), default=64, metavar="N", help="problems denoised together (64)"
        )


def split_names(kind: str, names: str, separator: str, known: Iterable[str]) -> list[str]:
    """Split ``names`` at the separator. Raises UsageError for a name that is not ``known``."""
    chosen, available = names.split(separator), list(known)
    if unknown := set(chosen) - set(available):
        raise UsageError(f"unknown {kind} {min(unknown)!r}; there are {', '.join(available)}")
    return chosen


def cores() -> int:
    """Return the number of cores that this process may use; more threads than that slow each other down."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def limit_threads(threads: int | None = None) -> None:
    """Set the number of torch's threads: ``threads``, or OMP_NUM_THREADS, or the number of cores."""
    import torch

    if threads is not None or "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads or cores())


def data_folder(data: str | None, name: str = "sudoku") -> Path | None:
    """Return the folder ``name`` of ``data`` or of REMASK_DATA; None if neither is given.

    Raises:
        UsageError: the folder does not exist.
    """
    data = data or os.environ.get("REMASK_DATA")
    folder = Path(data) / name if data else None
    if folder is not None and not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    return folder


def needed_folder(data: str | None, name: str, is_needed: bool) -> Path:
    """The folder ``name`` of ``data`` or of REMASK_DATA. Raises UsageError if it is needed and missing."""
    data = data or os.environ.get("REMASK_DATA")
    folder = Path(data or "") / name
    if is_needed and not (data and folder.is_dir()):
        raise UsageError(f"these sections need --data DIR (or REMASK_DATA) with a folder {name} in it")
    return folder


def open_stdin() -> BinaryIO:
    """Return stdin as a stream of bytes. Raises UsageError if it is closed."""
    if sys.stdin is None or sys.stdin.closed:
        raise UsageError("-: stdin is closed")
    return sys.stdin.buffer


def read_bytes(name: str) -> bytes:
    """Return the contents of a file, or of stdin for "-". Raises UsageError if unreadable or too large."""
    try:
        if name == "-":
            data = open_stdin().read(MAX_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{name}: cannot be read ({reason})") from None
    if len(data) > MAX_BYTES:
        raise UsageError(f"{name}: more than {MAX_BYTES:,} bytes")
    return data


def read_text(name: str) -> str:
    """Return the text of a UTF-8 file, or of stdin for "-". Raises UsageError as :func:`read_bytes` does."""
    try:
        return read_bytes(name).decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{name}: not UTF-8 at byte {error.start}") from None


def make_folder(path: Path) -> None:
    """Make a folder for results. Raises UsageError if that is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: cannot be made ({error.strerror})") from None
