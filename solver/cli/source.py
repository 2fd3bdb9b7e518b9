"""Python files for ``edit fill`` and ``edit repair``: reading, writing and showing what has changed.

>>> to_span("a = 1\\nb = 2\\n", "2:5-2:6")
(10, 11)
>>> print(diff("a = 1\\n", "a = 2\\n", "a.py"))
--- a.py
+++ a.py
@@ -1 +1 @@
-a = 1
+a = 2
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import json
import math
import os
import re
import sys
import tempfile
from codecs import BOM_UTF8
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tokenize import detect_encoding
from typing import TYPE_CHECKING, Any, TextIO

from solver.cli import options
from solver.cli.main import UsageError

if TYPE_CHECKING:
    from solver.api.candidate import Candidate

MAX_LINES = 20_000
SPAN = re.compile(r"(\d{1,9}):(\d{1,9})-(\d{1,9}):(\d{1,9})")
COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@dataclass(frozen=True)
class PythonFile:
    """A file as it was read: its bytes, and its text without a byte order mark, line ends unchanged."""

    name: str
    data: bytes
    text: str


def add_source_options(parser: argparse.ArgumentParser, written: str) -> None:
    """Add FILE, the number of candidates and --write; ``written`` says when the best one is written."""
    parser.add_argument("source", metavar="FILE", help="a Python file; - for stdin")
    parser.add_argument(
        "--n", type=options.integer(1), default=1, metavar="N", help="candidates to show, the best first (1)"
    )
    parser.add_argument(
        "--write", action="store_true", help=f"write the best candidate into FILE, if it {written}"
    )


def read_python(arguments: argparse.Namespace) -> PythonFile:
    """Read FILE, or stdin for "-". Raises UsageError if it is not Python source in UTF-8, or too large."""
    name = arguments.source
    if name == "-" and arguments.write:
        raise UsageError("--write needs a file")
    data = options.read_bytes(name)
    if data.count(b"\n") > MAX_LINES:
        raise UsageError(f"{name}: more than {MAX_LINES:,} lines")
    body = data.removeprefix(BOM_UTF8)
    if not body.strip():
        raise UsageError(f"{name}: empty")
    if b"\0" in body:
        raise UsageError(f"{name}: binary, not Python")
    try:
        text = body.decode()
        encoding, _ = detect_encoding(BytesIO(data).readline)
    except UnicodeDecodeError as error:
        raise UsageError(f"{name}: not UTF-8 at byte {error.start}") from None
    except SyntaxError as error:
        raise UsageError(f"{name}: {error.msg}") from None
    if encoding not in ("utf-8", "utf-8-sig"):
        raise UsageError(f"{name}: declares the encoding {encoding}; only UTF-8 is supported")
    return PythonFile(name, data, text)


def to_span(text: str, hole: str) -> tuple[int, int]:
    """Return the characters of a hole that is given by lines and columns, both from 1. Raises UsageError."""
    match = SPAN.fullmatch(hole)
    if match is None:
        raise UsageError(f"--hole {hole[:40]}: not L:C-L:C, as in 12:8-12:14")
    lines, offsets = text.split("\n"), []
    for line, column in ((int(match[1]), int(match[2])), (int(match[3]), int(match[4]))):
        if not 1 <= line <= len(lines):
            raise UsageError(f"--hole {hole}: there is no line {line}; the file has {len(lines)}")
        if not 1 <= column <= len(lines[line - 1]) + 1:
            size = len(lines[line - 1])
            raise UsageError(f"--hole {hole}: line {line} has no column {column}; it has {size} characters")
        offsets.append(sum(len(before) + 1 for before in lines[: line - 1]) + column - 1)
    if offsets[1] < offsets[0]:
        raise UsageError(f"--hole {hole}: ends before it begins")
    return offsets[0], offsets[1]


def replace_file(source: PythonFile, text: str) -> None:
    """Replace the contents of a file completely or not at all. Mode and, where permitted, owner stay.

    Raises:
        UsageError: it is not writable, or it has changed since it was read.
    """
    path, temporary = Path(source.name).resolve(), None
    data = (BOM_UTF8 if source.data.startswith(BOM_UTF8) else b"") + text.encode()
    try:
        if not os.access(path, os.W_OK):
            raise UsageError(f"{path}: is not writable")
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        before = path.stat()
        with contextlib.suppress(OSError):
            os.chown(temporary, before.st_uid, before.st_gid)
        os.chmod(temporary, before.st_mode & 0o7777)
        if path.read_bytes() != source.data:
            raise UsageError(f"{path}: has changed since it was read, and is not overwritten")
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        if temporary is not None:
            os.unlink(temporary)


def finish(
    arguments: argparse.Namespace,
    source: PythonFile,
    best: Candidate,
    losses: Callable[[str], Sequence[str]] = lambda _: (),
) -> int:
    """Print the candidates that compile, or the best attempt; with --write, replace the file.

    Args:
        arguments: of the command.
        source: the file as it was read.
        best: the best candidate, with its alternatives.
        losses: what a new text has lost, in words. The file is not replaced by one that has lost anything.

    Returns:
        The exit code.
    """
    compiling = [candidate for candidate in (best, *best.alternatives) if candidate.status == "solved"]
    records = [candidate_record(candidate) for candidate in compiling or [best]]
    for record, candidate in zip(records, compiling, strict=False):
        record["losses"] = list(losses(candidate.text))
    if arguments.json:
        print(json.dumps({"status": "compiles" if compiling else "invalid", "candidates": records}))
    else:
        stream = sys.stdout if compiling else sys.stderr
        for number, record in enumerate(records, 1):
            remarks = ["compiles" if compiling else f"invalid: {record['error']}", *record["unknown"]]
            remarks += record["losses"]
            costs = f"score {record['score']}, {record['forwards']} forwards, {record['seconds']:.2f} s"
            print(f"{number}. {'; '.join(remarks)}" + ("" if arguments.quiet else f"   {costs}"), file=stream)
            print_diff(diff(source.text, record["text"], source.name), stream)
    if compiling and arguments.write:
        if records[0]["losses"]:
            print(f"{source.name}: not written; it {'; it '.join(records[0]['losses'])}", file=sys.stderr)
            return 1
        replace_file(source, best.text)
        if not arguments.quiet:
            print(f"{source.name}: written", file=sys.stderr)
    return 0 if compiling else 1


def candidate_record(candidate: Candidate) -> dict[str, Any]:
    errors = [violation.message for violation in candidate.violations if violation.rule == "syntax"]
    return {
        "fills": list(candidate.fills),
        "text": candidate.text,
        "error": errors[0] if errors else None,
        "losses": [],
        "unknown": [violation.message for violation in candidate.violations if violation.rule != "syntax"],
        "score": round(candidate.score, 4) if math.isfinite(candidate.score) else None,
        **candidate.counters.summary(),
    }


def diff(before: str, after: str, name: str) -> str:
    lines = difflib.unified_diff(split_lines(before), split_lines(after), name, name, lineterm="")
    return "\n".join(line.rstrip("\r") for line in lines)


def split_lines(text: str) -> list[str]:
    """Return the lines as Python counts them. A last line without an end is marked, as in any diff."""
    *lines, last = text.split("\n")
    return [*lines, f"{last}\n\\ No newline at end of file"] if last else lines


def print_diff(text: str, stream: TextIO) -> None:
    if not stream.isatty() and not os.environ.get("FORCE_COLOR"):
        print(text, file=stream)
        return
    from solver.cli.watch import make_console

    console = make_console(stream)
    for line in text.split("\n"):
        console.print(line, style=COLOURS.get(line[:1]), soft_wrap=True)
