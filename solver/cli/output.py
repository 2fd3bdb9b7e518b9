"""What commands write: results line by line, and traces. A line is written at once and as a whole, or not at all.

>>> results = Results([1, 2], print)
>>> with results:
...     results.add(2, "the second one")
...     results.add(1, "the first one")
the first one
the second one
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from solver.cli.main import UsageError

if TYPE_CHECKING:
    from solver.cli.watch import Record, Viewer

Result = TypeVar("Result")


def add_stream(parser: argparse.ArgumentParser) -> None:
    """Add the option of commands that solve many problems."""
    parser.add_argument(
        "--skip-done",
        metavar="F",
        help="skip the problems whose results are in F, the JSON lines of an earlier run (may be missing)",
    )


def add_order(parser: argparse.ArgumentParser) -> None:
    """Add the order of results, for commands that solve many problems together."""
    parser.add_argument(
        "--ordered",
        action=argparse.BooleanOptionalAction,
        help="print results in input order (default: except for --file with --json), or each at once",
    )


def is_ordered(arguments: argparse.Namespace) -> bool:
    """Whether results wait for those before them. By default, not in a file of records, which have numbers."""
    if arguments.ordered is not None:
        return bool(arguments.ordered)
    return arguments.file is None or not arguments.json


@contextmanager
def delayed_interrupts() -> Iterator[None]:
    """Raise KeyboardInterrupt for SIGINT and SIGTERM after the block instead of inside it."""
    received: list[tuple[int, FrameType | None]] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in handlers:
            signal.signal(number, lambda *call: received.append(call))
    except ValueError:  # not the main thread, which is the one that gets signals
        yield
        return
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for first, frame in received[:1]:
        handler = handlers[signal.Signals(first)]
        if callable(handler):
            handler(first, frame)


def print_line(text: str) -> None:
    """Print a line on stdout, so that neither a signal nor the end of the process can cut it."""
    with delayed_interrupts():
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


class Results(Generic[Result]):
    """Prints results in the order of their numbers, or at once. If the block ends early, so do those that wait.

    Args:
        numbers: of all results that will be added, in order.
        show: prints a result.
        in_order: whether a result waits for those before it.
    """

    def __init__(self, numbers: Iterable[int], show: Callable[[Result], None], in_order: bool = True) -> None:
        self.pending, self.show, self.in_order = deque(numbers), show, in_order
        self.waiting: dict[int, Result] = {}

    def add(self, number: int, result: Result) -> None:
        self.waiting[number] = result
        if not self.in_order:
            self.show(self.waiting.pop(number))
        while self.pending and self.pending[0] in self.waiting:
            self.show(self.waiting.pop(self.pending.popleft()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for number in sorted(self.waiting):
            self.show(self.waiting[number])
        self.waiting.clear()


def read_done(name: str | None, expected: Sequence[Record]) -> dict[int, Record]:
    """Return the results of an earlier run by their numbers. A last line that was cut off is left out.

    Args:
        name: a file that may be missing, or None.
        expected: for each problem, members that its result has.

    Raises:
        UsageError: the file cannot be read, or a line is not a result of one of the problems.
    """
    if name is None or not Path(name).exists():
        return {}
    done: dict[int, Record] = {}
    try:
        *lines, rest = Path(name).read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise UsageError(f"{name}: cannot be read ({reason})") from None
    for place, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            number = int(record["number"])
            if number < 1 or expected[number - 1].items() - record.items() or "status" not in record:
                raise ValueError
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            raise UsageError(f"{name}:{place}: is not a result of these problems") from None
        done[number] = record
    if rest:
        print(f"warning: {name}: the last line is cut off; its problem is solved again", file=sys.stderr)
    return done


class Recorder:
    """Hands the records of a run to a trace file and to a viewer, if there are any.

    Args:
        trace: name of a file that must not exist yet, or None.
        viewer: what draws the records, or None.

    Raises:
        UsageError: the file exists, or cannot be written.
    """

    def __init__(self, trace: str | None, viewer: Viewer | None) -> None:
        self.file: FileIO | None = None
        self.viewer = viewer
        if trace is None:
            return
        try:
            self.file = FileIO(trace, "x")  # unbuffered: a record is written at once or not at all
        except FileExistsError:
            raise UsageError(f"{trace} exists already, and is not overwritten") from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise UsageError(f"{trace}: cannot be written ({reason})") from None

    @property
    def is_active(self) -> bool:
        return self.file is not None or self.viewer is not None

    def write(self, kind: str, number: int, record: Record) -> None:
        """Record a "problem", a "step" or an "outcome" of problem ``number``."""
        record = {"type": kind, "number": number, **record}
        if self.file is not None:
            append_line(self.file, json.dumps(record, separators=(",", ":")))
        if self.viewer is not None:
            self.viewer.show(record)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.file is not None:
            if not self.file.tell():  # nothing was recorded: the same name can be given again
                Path(str(self.file.name)).unlink(missing_ok=True)
            self.file.close()
        if self.viewer is not None:
            self.viewer.close()


def append_line(file: FileIO, text: str) -> None:
    """Append a line. Raises UsageError if that is not possible; the file then ends with the line before."""
    data, start = memoryview(f"{text}\n".encode()), file.tell()
    try:
        while data:
            data = data[file.write(data) or 0 :]
    except OSError as error:
        file.truncate(start)
        raise UsageError(f"{file.name}: cannot be written ({error.strerror})") from None
