"""The position of each part of a JSON text, by its path.

>>> byte_spans(b'{"a":[1,22]}')["a", 1]
(8, 10)

A path has the names and indices that lead to a value. A name itself has its object's path with "#" and the
name: the name "b" of the object at ("a",) is at ("a", "#b"). This module imports neither torch nor numpy.
"""

from __future__ import annotations

import json
from json.decoder import scanstring  # type: ignore[attr-defined]  # it exists, but typeshed does not list it
from typing import Any

JsonPath = tuple[str | int, ...]
Spans = dict[JsonPath, tuple[int, int]]
WHITE_SPACE = " \t\n\r"


def byte_spans(text: bytes) -> Spans:
    """Return start and end in bytes of every value and name.

    Of a name that an object has twice, the last member counts.

    Raises:
        ValueError: the text is not JSON.
    """
    string = text.decode()
    starts = [0]
    for character in string:
        starts.append(starts[-1] + len(character.encode()))
    return {path: (starts[start], starts[end]) for path, (start, end) in character_spans(string).items()}


def leaf_spans(text: bytes) -> Spans:
    """Return the byte spans of the values that contain no other value."""
    values = {
        path: span for path, span in byte_spans(text).items() if not (path and str(path[-1]).startswith("#"))
    }
    parents = {path[:-1] for path in values if path}
    return {path: span for path, span in values.items() if path not in parents}


def character_spans(text: str) -> Spans:
    """Return the spans in characters of the text. Raises ValueError like :func:`byte_spans`."""
    json.loads(text)  # reports where the text is not JSON; the scan below assumes that it is
    spans: Spans = {}
    _scan_value(text, 0, (), spans)
    return spans


def _skip_space(text: str, index: int) -> int:
    while index < len(text) and text[index] in WHITE_SPACE:
        index += 1
    return index


def _scan_value(text: str, index: int, path: JsonPath, spans: Spans) -> int:
    """Record the spans of the value that starts at ``index`` or after white space, and return its end."""
    index = start = _skip_space(text, index)
    if text[index] == '"':
        _, index = scanstring(text, index + 1, True)
    elif text[index] in "[{":
        closing = "]" if text[index] == "[" else "}"
        index = _skip_space(text, index + 1)
        count = 0
        while text[index] != closing:
            key: Any = count
            if closing == "}":
                name_start = index
                key, index = scanstring(text, index + 1, True)
                spans[(*path, "#" + key)] = (name_start, index)
                index = _skip_space(text, index) + 1
            index = _skip_space(text, _scan_value(text, index, (*path, key), spans))
            count += 1
            if text[index] == ",":
                index = _skip_space(text, index + 1)
        index += 1
    else:
        while index < len(text) and text[index] not in ",]}" + WHITE_SPACE:
            index += 1
    spans[path] = (start, index)
    return index


def resolve_pointer(pointer: str, instance: Any) -> JsonPath:
    """Return the path of the value at a JSON pointer (RFC 6901); as much of it as exists in ``instance``.

    >>> resolve_pointer("/a~1b/0", {"a/b": [7]})
    ('a/b', 0)
    """
    path: JsonPath = ()
    for part in pointer.split("/")[1:]:
        key: str | int = part.replace("~1", "/").replace("~0", "~")
        if isinstance(instance, list) and part.isdecimal() and int(part) < len(instance):
            key = int(part)
        elif not (isinstance(instance, dict) and key in instance):
            break
        path, instance = (*path, key), instance[key]
    return path


def duplicate_items(items: list[Any]) -> list[int]:
    """Return the indices of items that equal another one in the sense of JSON Schema.

    >>> duplicate_items([1, 1.0, True])
    [0, 1]
    """
    keys = [equality_key(item) for item in items]
    return [index for index, key in enumerate(keys) if keys.count(key) > 1]


def equality_key(value: Any) -> Any:
    """A key that is equal for values that JSON Schema considers equal: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, dict):
        return "object", frozenset((name, equality_key(member)) for name, member in value.items())
    if isinstance(value, list):
        return "array", tuple(map(equality_key, value))
    return isinstance(value, bool), value
