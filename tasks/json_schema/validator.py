"""Validation of JSON values by ``jsonschema_rs``, which has the last word on every instance.

>>> validator = build_validator({"type": "integer"}, formats=False)
>>> [error.message for error in validator.iter_errors("x")]
['"x" is not of type "integer"']
>>> draft_of({"$schema": "http://json-schema.org/draft-07/schema#"})
7

The module imports neither torch nor numpy, so that ``json check`` answers at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jsonschema_rs

from solver.tasks.json_schema.errors import SchemaError
from solver.tasks.json_schema.source_map import JsonPath, duplicate_items

DRAFTS = {
    "http://json-schema.org/draft-04/schema": 4,
    "http://json-schema.org/draft-06/schema": 6,
    "http://json-schema.org/draft-07/schema": 7,
    "https://json-schema.org/draft/2019-09/schema": 2019,
    "https://json-schema.org/draft/2020-12/schema": 2020,
}
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
    draft = DRAFTS.get(name) or DRAFTS.get(swapped)
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
        return kind(schema, validate_formats=formats, registry=further, offline=True)
    except (ValueError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        raise SchemaError("not a schema: " + str(error).splitlines()[0][:200]) from error


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
    for part in path:
        instance = instance[part]
    return [(*path, index) for index in duplicate_items(instance)]
