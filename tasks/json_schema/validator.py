"""Validation of JSON by ``jsonschema_rs``, which has the last word, and the position of each part of a text.

>>> validator = build_validator({"type": "integer"}, formats=False)
>>> [error.message for error in validator.iter_errors("x")]
['"x" is not of type "integer"']
>>> draft_of({"$schema": "http://json-schema.org/draft-07/schema#"})
7
>>> byte_spans(b'{"a":[1,22]}')["a", 1]
(8, 10)

A path has the names and indices that lead to a value. A name itself has its object's path with "#" and the
name: the name "b" of the object at ("a",) is at ("a", "#b"). The module imports neither torch nor numpy, so
that ``json check`` answers at once.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from json.decoder import scanstring  # type: ignore[attr-defined]  # it exists, but typeshed does not list it
from types import MappingProxyType
from typing import Any

import jsonschema_rs

from solver.tasks.json_schema.dialects import portable_schema
from solver.tasks.json_schema.errors import SchemaError

DRAFTS = {
    "http://json-schema.org/draft-04/schema": 4,
    "http://json-schema.org/draft-06/schema": 6,
    "http://json-schema.org/draft-07/schema": 7,
    "https://json-schema.org/draft/2019-09/schema": 2019,
    "https://json-schema.org/draft/2020-12/schema": 2020,
}
# OpenAPI 3.1 and later extend draft 2020-12 by annotations.
OPENAPI_DIALECT = re.compile(r"https?://spec\.openapis\.org/oas/3\.\d+/dialect/")
VALIDATORS = {
    4: (jsonschema_rs.Draft4Validator, jsonschema_rs.Draft4),
    6: (jsonschema_rs.Draft6Validator, jsonschema_rs.Draft6),
    7: (jsonschema_rs.Draft7Validator, jsonschema_rs.Draft7),
    2019: (jsonschema_rs.Draft201909Validator, jsonschema_rs.Draft201909),
    2020: (jsonschema_rs.Draft202012Validator, jsonschema_rs.Draft202012),
}


def draft_of(schema: Any, default: int = 2020, known: Mapping[str, Any] = MappingProxyType({})) -> int:
    """Return the draft that ``$schema`` names, and ``default`` without one.

    If it names one of the ``known`` metaschemas, the draft of that metaschema. Raises SchemaError for an
    unknown draft.
    """
    if not isinstance(schema, dict) or not isinstance(schema.get("$schema"), str):
        return default
    name = schema["$schema"].rstrip("#")
    scheme, _, address = name.partition("://")
    swapped = f"{'http' if scheme == 'https' else 'https'}://{address}"
    draft = DRAFTS.get(name) or DRAFTS.get(swapped) or (2020 if OPENAPI_DIALECT.match(name) else None)
    if draft is None and name in known:
        return draft_of(known[name], default)
    if draft is None:
        raise SchemaError(f"the schema says it is of an unknown draft: {schema['$schema'][:100]!r}")
    return draft


def referenced_schemas(schema: Any, registry: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the (URI, schema) pairs of a registry that a schema mentions, directly or through another."""
    referenced: dict[str, Any] = {}
    texts = [json.dumps(schema)]
    while texts:
        text = texts.pop()
        for uri, contents in registry.items():
            if uri not in referenced and uri.rstrip("#/").rsplit("/", 1)[-1] in text:
                referenced[uri] = contents
                texts.append(json.dumps(contents))
    return list(referenced.items())


def build_validator(
    schema: Any,
    draft: int | None = None,
    formats: bool = True,
    registry: Mapping[str, Any] | None = None,
) -> Any:
    """Return a ``jsonschema_rs`` validator, which fetches nothing.

    Args:
        schema: a JSON schema.
        draft: 4, 6, 7, 2019 or 2020; None for the one that the schema names.
        formats: whether ``format`` is asserted.
        registry: further schemas by URI.

    Raises:
        SchemaError: not a schema, or a reference leads nowhere.
    """
    if not isinstance(schema, (dict, bool)):
        raise SchemaError(f"not a schema: an object, true or false is needed, not {type(schema).__name__}")
    registry = registry or {}
    kind, specification = VALIDATORS[draft or draft_of(schema, known=registry)]
    try:
        pairs = referenced_schemas(schema, registry)
        further = jsonschema_rs.Registry(pairs, draft=specification) if pairs else None
        try:
            return kind(schema, validate_formats=formats, registry=further, offline=True)
        except jsonschema_rs.ValidationError:
            # the engine of the patterns may refuse what ECMA 262 accepts
            return kind(portable_schema(schema), validate_formats=formats, registry=further, offline=True)
    except (ValueError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        raise SchemaError(refusal(str(error))) from error


def refusal(error: str) -> str:
    """The message for what the validator says about a schema that it refuses."""
    uri = re.search(r"Resource '([^']*)'", error)
    if uri is None:
        return "not a schema: " + error.splitlines()[0][:200]
    return (
        f"a $ref leads to {uri[1][:100]!r}, which is not here, and nothing is fetched: "
        "give that schema by --registry DIR, in Python by registry={URI: schema}"
    )


def finite_number(text: str) -> float:
    """Return the number of a JSON text. Raises ValueError if it is beyond the range of a double."""
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:40]} is out of range")
    return number


def load_json(text: bytes | str) -> Any:
    """Return the value of a JSON text. Raises ValueError for what is not JSON: NaN, or a number out of range."""
    return json.loads(text, parse_float=finite_number, parse_constant=refuse_constant)


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


def text_errors(validator: Any, text: bytes) -> list[tuple[JsonPath, str]]:
    """Return path and message of everything that is wrong with an instance. Raises ValueError as load_json does."""
    instance = load_json(text)
    errors = validator.iter_errors(instance)
    located = [(path, error.message) for error in errors for path in error_paths(error, instance)]
    return located + [(path, "a name stands twice") for path in repeated_names(text)]


def repeated_arrays(validator: Any, text: bytes) -> list[JsonPath]:
    """Return the paths of the arrays of an instance in which items are repeated that ought to differ.

    Of a value that fits none of several alternatives, all arrays with repeated items are among them.
    """
    instance = load_json(text)
    paths: dict[JsonPath, None] = {}
    for error in validator.iter_errors(instance):
        path, keyword = tuple(error.instance_path), error.schema_path[-1] if error.schema_path else ""
        if keyword == "uniqueItems":
            paths[path] = None
        elif keyword in ("anyOf", "oneOf"):
            inner = (
                path + rest for rest, value in inner_values(value_at(instance, path)) if has_repeats(value)
            )
            paths |= dict.fromkeys(inner)
    return list(paths)


def value_at(instance: Any, path: JsonPath) -> Any:
    """Return the value at a path that exists."""
    for part in path:
        instance = instance[part]
    return instance


def inner_values(value: Any, path: JsonPath = ()) -> Iterator[tuple[JsonPath, Any]]:
    """Yield each value in a value, itself included, with its path."""
    yield path, value
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for part, member in pairs:
        yield from inner_values(member, (*path, part))


def has_repeats(value: Any) -> bool:
    """Whether a value is an array in which an item is repeated."""
    return isinstance(value, list) and len({*map(equality_key, value)}) < len(value)


def repeated_names(text: bytes | str) -> list[JsonPath]:
    """Return the path of the root if any object of a JSON text has a name twice, which no validator sees."""
    is_repeated: list[bool] = []

    def note(members: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in members]
        is_repeated.append(len(set(names)) < len(names))
        return dict(members)

    json.loads(text, object_pairs_hook=note)
    return [()] if any(is_repeated) else []


def error_paths(error: Any, instance: Any) -> list[JsonPath]:
    """Return the paths of the values to blame for an error: for ``uniqueItems`` the duplicate items."""
    path = tuple(error.instance_path)
    if not error.schema_path or error.schema_path[-1] != "uniqueItems":
        return [path]
    return [(*path, index) for index in duplicate_items(value_at(instance, path))]


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
    starts = [*accumulate((len(character.encode()) for character in string), initial=0)]
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


def to_pointer(path: Iterable[str | int]) -> str:
    """Return a path as a JSON pointer (RFC 6901).

    >>> to_pointer(["a/b", 0])
    '/a~1b/0'
    """
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


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
