"""Schemas with patterns that the validator's engine refuses: they are rewritten to mean the same in ECMA 262.

>>> portable_schema({"type": "string", "pattern": "[^]"})
{'type': 'string', 'pattern': '[\\\\s\\\\S]'}
"""

from typing import Any

from solver.tasks.languages.portable import portable_pattern

DATA = frozenset(["const", "enum", "default", "examples", "example"])  # keywords whose values are no schemas
NAMED = frozenset(
    ["properties", "$defs", "definitions", "dependentSchemas", "dependencies"]
)  # name -> schema


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
