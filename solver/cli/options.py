"""Options that all tasks share, and the values they take."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from solver.cli.main import UsageError


def whole(minimum: int) -> Callable[[str], int]:
    """An argparse type: a whole number of at least ``minimum``."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if value < minimum:
            raise argparse.ArgumentTypeError(f"must be at least {minimum}, not {value}")
        return value

    return convert


def positive(text: str) -> float:
    """An argparse type: a positive, finite number."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be positive, not {text}")
    return value


def add_shared(parser: argparse.ArgumentParser, forwards: str = "5000; one draft's without checks") -> None:
    """Denoiser, budget, seed and output."""
    parser.add_argument(
        "--denoiser",
        default="compact",
        metavar="NAME",
        help="compact (shipped), random, prior, or a checkpoint's folder",
    )
    parser.add_argument(
        "--model", metavar="FOLDER_OR_ID", help="a diffusion language model, asked in words, for --denoiser"
    )
    parser.add_argument(
        "--trust-remote-code", action="store_true", help="run the Python that comes with --model"
    )
    parser.add_argument(
        "--forwards", type=whole(1), metavar="N", help=f"budget a problem in forwards ({forwards})"
    )
    parser.add_argument("--seconds", type=positive, metavar="S", help="budget a problem in seconds (none)")
    parser.add_argument("--seed", type=whole(0), default=0, metavar="N", help="same seed, same trace (0)")
    parser.add_argument(
        "--batch", type=whole(1), default=64, metavar="N", help="problems denoised together (64)"
    )
    parser.add_argument(
        "--loops", type=whole(1), metavar="N", help="inner loops of a forward at most (the checkpoint's own)"
    )
    parser.add_argument(
        "--json", action="store_true", help="one JSON object a line a problem, in input order"
    )
    parser.add_argument(
        "--trace", metavar="F", help="write every step to a new file of JSON lines, for replay"
    )
    parser.add_argument("--watch", action="store_true", help="redraw the board at every step")


def cores() -> int:
    """The cores this process may use: more threads than that collapse under contention."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def limit_threads() -> None:
    """Let torch use as many threads as there are cores, unless OMP_NUM_THREADS gives their number."""
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(cores())


def data_folder(data: str | None, name: str = "sudoku") -> Path | None:
    """The folder ``name`` of ``--data`` or REMASK_DATA, None without either. Raises UsageError where it is missing."""
    data = data or os.environ.get("REMASK_DATA")
    folder = Path(data) / name if data else None
    if folder is not None and not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    return folder


class open_trace:  # noqa: N801  # reads as a function: with open_trace(name) as trace
    """The trace file, which must not exist yet, or None."""

    def __init__(self, name: str | None) -> None:
        self.file: TextIO | None = None
        if name is not None:
            try:
                self.file = Path(name).open("x", encoding="utf-8")  # noqa: SIM115  # closed by __exit__
            except FileExistsError:
                raise UsageError(f"{name} exists already, and is not overwritten") from None
            except OSError as error:
                raise UsageError(f"{name}: cannot be written ({error.strerror})") from None

    def __enter__(self) -> TextIO | None:
        return self.file

    def __exit__(self, *_: object) -> None:
        if self.file is not None:
            self.file.close()
