"""Patterns that ECMA 262 accepts and the validator's engine refuses, rewritten to mean the same in both.

>>> portable_pattern(r"^[\\w-.]+$")
'^[\\\\w\\\\-.]+$'
>>> portable_schema({"type": "string", "pattern": "[^]"})
{'type': 'string', 'pattern': '[\\\\s\\\\S]'}

A hyphen beside a class such as ``\\w`` is no range but a hyphen (ECMA 262, annex B), and ``[^]`` is any character.
"""

import re
from typing import Any

DATA = frozenset(["const", "enum", "default", "examples", "example"])  # keywords whose values are no schemas
NAMED = frozenset(
    ["properties", "$defs", "definitions", "dependentSchemas", "dependencies"]
)  # name -> schema
PIECE = re.compile(r"\\c[A-Za-z]|\\.|\[\^\]|.", re.DOTALL)
CLASS_ESCAPE = re.compile(r"\\[dDsSwW]")


def portable_schema(schema: Any) -> Any:
    """Return ``schema`` with the patterns of all its subschemas rewritten."""
    if isinstance(schema, list):
        return [portable_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {keyword: portable_keyword(keyword, value) for keyword, value in schema.items()}


def portable_keyword(keyword: str, value: Any) -> Any:
    match keyword, value:
        case "pattern", str():
            return portable_pattern(value)
        case "patternProperties", dict():
            return {portable_pattern(pattern): portable_schema(item) for pattern, item in value.items()}
        case _, dict() if keyword in NAMED:
            return {name: portable_schema(item) for name, item in value.items()}
    return value if keyword in DATA else portable_schema(value)


def portable_pattern(pattern: str) -> str:
    pieces = PIECE.findall(pattern)
    written: list[str] = []
    in_class = False
    for index, piece in enumerate(pieces):
        before, after = pieces[index - 1 : index] or [""], pieces[index + 1 : index + 2] or [""]
        if piece == "[^]":
            written.append(piece if in_class else r"[\s\S]")
            continue
        beside = CLASS_ESCAPE.fullmatch(before[0]) or CLASS_ESCAPE.fullmatch(after[0])
        is_inner = in_class and before[0] != "[" and after[0] != "]"
        written.append(r"\-" if piece == "-" and is_inner and beside else piece)
        in_class = (in_class or piece == "[") and piece != "]"
    return "".join(written)
