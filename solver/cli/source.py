"""A Python file as the command line has it: read, addressed by line and column, replaced whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from codecs import BOM_UTF8
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tokenize import detect_encoding

from solver.cli.main import UsageError

LARGEST = 2_000_000  # bytes
MOST_LINES = 20_000
HOLE = re.compile(r"(\d{1,9}):(\d{1,9})-(\d{1,9}):(\d{1,9})")


@dataclass(frozen=True)
class Source:
    """data: what was read.  text: the same without a byte order mark, its line ends as they are."""

    name: str
    data: bytes
    text: str


def read(name: str) -> Source:
    """A file, or ``-``: standard input. Raises UsageError in one line."""
    try:
        data = sys.stdin.buffer.read(LARGEST + 1) if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise UsageError(f"{name}: cannot be read ({error.strerror})") from None
    if len(data) > LARGEST or data.count(b"\n") > MOST_LINES:
        raise UsageError(f"{name}: more than {LARGEST:,} bytes or {MOST_LINES:,} lines")
    body = data.removeprefix(BOM_UTF8)
    if not body.strip():
        raise UsageError(f"{name}: empty")
    if b"\0" in body:
        raise UsageError(f"{name}: binary, not Python")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{name}: not UTF-8 at byte {error.start}") from None
    try:
        encoding, _ = detect_encoding(BytesIO(data).readline)
    except SyntaxError as error:
        raise UsageError(f"{name}: {error.msg}") from None
    if encoding not in ("utf-8", "utf-8-sig"):
        raise UsageError(f"{name}: says that it is {encoding}; only UTF-8 is read here")
    return Source(name, data, text)


def span(text: str, hole: str) -> tuple[int, int]:
    """A hole's characters. Raises UsageError in one line."""
    found = HOLE.fullmatch(hole)
    if found is None:
        raise UsageError(f"--hole {hole[:40]}: not L:C-L:C, as in 12:8-12:14")
    lines = text.split("\n")
    ends = []
    for line, column in ((int(found[1]), int(found[2])), (int(found[3]), int(found[4]))):
        if not 1 <= line <= len(lines):
            raise UsageError(f"--hole {hole}: there is no line {line}; the file has {len(lines)}")
        if not 1 <= column <= len(lines[line - 1]) + 1:
            raise UsageError(
                f"--hole {hole}: line {line} has no column {column}; it has {len(lines[line - 1])} characters"
            )
        ends.append(sum(len(one) + 1 for one in lines[: line - 1]) + column - 1)
    if ends[1] < ends[0]:
        raise UsageError(f"--hole {hole}: ends before it begins")
    return ends[0], ends[1]


def replace_file(source: Source, text: str) -> None:
    """The file's new contents, whole or not at all; its mode stays, and so does its owner where we may say so. Nothing is written
    over what somebody else has written since it was read. Raises UsageError in one line."""
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
            raise UsageError(f"{path}: has changed since it was read, and is left as it is")
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        if temporary is not None:
            os.unlink(temporary)
