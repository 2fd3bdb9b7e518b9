"""The outline of a schema: its names and types in few characters, for a denoiser's prompt.

>>> outline_schema({"properties": {"name": {"type": "string"}, "tags": {"items": {"enum": ["a", "b"]}}}})
'{name:str,tags:[a|b]}'
"""

from __future__ import annotations

from typing import Any

MAX_OUTLINE_DEPTH = 4
TYPE_NAMES = {
    "string": "str",
    "integer": "int",
    "number": "num",
    "boolean": "bool",
    "null": "null",
    "array": "[]",
    "object": "{}",
}


def outline_schema(schema: Any, max_characters: int = 200) -> str:
    """Outline a schema. Whatever does not fit is cut off."""
    return _outline(schema, 0)[:max_characters]


def _outline(schema: Any, depth: int) -> str:
    if not isinstance(schema, dict) or depth > MAX_OUTLINE_DEPTH:
        return "any"
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return "|".join(map(str, schema["enum"]))
    for keyword in ("oneOf", "anyOf"):
        if isinstance(schema.get(keyword), list):
            return "/".join(_outline(alternative, depth + 1) for alternative in schema[keyword])
    if isinstance(schema.get("properties"), dict):
        members = (f"{name}:{_outline(sub, depth + 1)}" for name, sub in schema["properties"].items())
        return "{" + ",".join(members) + "}"
    if "items" in schema:
        return "[" + _outline(schema["items"], depth + 1) + "]"
    kind = schema.get("type")
    if isinstance(kind, list):
        return "|".join(TYPE_NAMES.get(name, "any") for name in kind if isinstance(name, str))
    return str(schema.get("format") or TYPE_NAMES.get(kind, "any")) if isinstance(kind, str) else "any"
