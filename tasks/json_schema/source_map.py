"""Where each part of a JSON text stands, so that what is wrong with a part can be blamed on its bytes.

spans(b'{"a":[1,22]}')[("a", 1)]      # (8, 10)
"""

from __future__ import annotations

import json
from json.decoder import scanstring  # type: ignore[attr-defined]  # it is there, and typeshed does not say so
from typing import Any

import numpy as np
from numpy.typing import NDArray

Path = tuple[str | int, ...]
WHITE = " \t\n\r"


def byte_spans(text: bytes) -> dict[Path, tuple[int, int]]:
    """First byte and end of every value, by its path; of a repeated name the last. Raises ValueError where the text is not JSON.
    A name itself stands under its object's path with "#" and the name appended: ("a", "#b") is the name b in the object a."""
    string = text.decode()
    starts = [0]
    for c in string:
        starts.append(starts[-1] + len(c.encode()))
    return {path: (starts[a], starts[b]) for path, (a, b) in character_spans(string).items()}


def leaf_spans(text: bytes) -> dict[Path, tuple[int, int]]:
    """The spans of the values that hold no other value."""
    found = {
        path: span for path, span in byte_spans(text).items() if not (path and str(path[-1]).startswith("#"))
    }
    parents = {path[:-1] for path in found if path}
    return {path: span for path, span in found.items() if path not in parents}


def character_spans(text: str) -> dict[Path, tuple[int, int]]:
    """The same in characters."""
    json.loads(text)  # the text is JSON, or the error says where it is not
    found: dict[Path, tuple[int, int]] = {}
    _value(text, 0, (), found)
    return found


def _space(s: str, at: int) -> int:
    while at < len(s) and s[at] in WHITE:
        at += 1
    return at


def _value(s: str, at: int, path: Path, found: dict[Path, tuple[int, int]]) -> int:
    at = _space(s, at)
    begin = at
    if s[at] == '"':
        _, at = scanstring(s, at + 1, True)
    elif s[at] in "[{":
        closing = "]" if s[at] == "[" else "}"
        at = _space(s, at + 1)
        number = 0
        while s[at] != closing:
            name: Any = number
            if closing == "}":
                start = at
                name, at = scanstring(s, at + 1, True)
                found[(*path, "#" + name)] = (start, at)
                at = _space(s, at) + 1
            at = _space(s, _value(s, at, (*path, name), found))
            number += 1
            if s[at] == ",":
                at = _space(s, at + 1)
        at += 1
    else:
        while at < len(s) and s[at] not in ",]}" + WHITE:
            at += 1
    found[path] = (begin, at)
    return at


def resolve_pointer(pointer: str, instance: Any) -> Path:
    """The path of the value that a JSON pointer (RFC 6901) names; as much of it as exists in ``instance``.

    >>> resolve_pointer("/a~1b/0", {"a/b": [7]})
    ('a/b', 0)
    """
    path: Path = ()
    for part in pointer.split("/")[1:]:
        key: str | int = part.replace("~1", "/").replace("~0", "~")
        if isinstance(instance, list) and part.isdecimal() and int(part) < len(instance):
            key = int(part)
        elif not (isinstance(instance, dict) and key in instance):
            break
        path, instance = (*path, key), instance[key]
    return path


class Cursor:
    """Reads a text's bytes from the left. ``offset``: how far the next byte is behind the last colon, comma or bracket that is
    not in a string."""

    def __init__(self) -> None:
        self.offset, self._inside, self._escaped = 0, False, False

    def advance(self, byte: int) -> None:
        """One byte further; BLANK is one too."""
        self.offset += 1
        if self._inside:
            self._inside, self._escaped = (
                not (byte == 34 and not self._escaped),
                byte == 92 and not self._escaped,
            )
        elif byte == 34:
            self._inside, self._escaped = True, False
        elif byte < 256 and byte in b":,[{":
            self.offset = 0


def left_offsets(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """The offset of every token (L,) of a text that is known from the left; only what stands before each is looked at."""
    found, cursor = np.zeros(len(tokens), np.int64), Cursor()
    for at, byte in enumerate(tokens.tolist()):
        found[at] = cursor.offset
        cursor.advance(byte)
    return found


def duplicate_items(items: list[Any]) -> list[int]:
    """Which items are equal to another one, as JSON Schema means it: 1 and 1.0 are, 1 and true are not."""
    keys = [equality_key(item) for item in items]
    return [at for at, key in enumerate(keys) if keys.count(key) > 1]


def equality_key(value: Any) -> Any:
    """Equal for equal values."""
    if isinstance(value, dict):
        return "object", frozenset((name, equality_key(inner)) for name, inner in value.items())
    if isinstance(value, list):
        return "array", tuple(map(equality_key, value))
    return isinstance(value, bool), value
