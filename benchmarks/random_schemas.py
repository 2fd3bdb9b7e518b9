"""Random JSON schemas that have a known instance.

The instance is drawn first, and a schema is built around it, keyword by keyword. Some keywords are drawn without
regard to the instance: :func:`draw_case` draws again until the validator accepts it.

>>> case = draw_case(random.Random(1), 2020)
>>> build_validator(case.schema, 2020).is_valid(case.instance)
True
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.fuzz_formats import SAMPLES
from solver.tasks.json_schema.constants import kind_of
from solver.tasks.json_schema.errors import SchemaError
from solver.tasks.json_schema.formats import FORMATS
from solver.tasks.json_schema.validator import build_validator

URIS = {
    4: "http://json-schema.org/draft-04/schema#",
    6: "http://json-schema.org/draft-06/schema#",
    7: "http://json-schema.org/draft-07/schema#",
    2019: "https://json-schema.org/draft/2019-09/schema",
    2020: "https://json-schema.org/draft/2020-12/schema",
}
NAMES = [
    "a",
    "b",
    "id",
    "name",
    "x-1",
    "é",
    'q"',
    "",
    "a.b",
    "$ref",
    "type",
    "k0",
    "k1",
    "k22",
    "constructor",
]
WORDS = [
    "",
    "a",
    "foo",
    "bar baz",
    "x1",
    "Zürich",
    "漢字",
    "😀",
    "line\nbreak",
    'q"\\',
    "2024-01-31",
    "-",
    "a@b",
    "0",
]
NUMBERS = [
    0,
    1,
    -1,
    2,
    7,
    10,
    100,
    2048,
    -4096,
    86400,
    10**15,
    2**53,
    -(10**20),
    0.5,
    -0.25,
    1.5,
    0.1,
    19.99,
    1e-7,
]
NUMBERS += [2.5e17, 1e300, -1e-300, 3.0, 123456.789]
DIVISORS = [1, 2, 3, 5, 7, 10, 16, 100, 2048, 0.5, 0.25, 0.01, 0.1, 86400]
OTHER_KINDS = ["null", "boolean", "number", "string", "array", "object"]
Schema = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A schema, one of its instances, and the draft."""

    schema: Any
    instance: Any
    draft: int


def draw_case(rng: random.Random, draft: int, attempts: int = 50) -> Case:
    """Draw a schema and an instance that the validator accepts. After ``attempts`` the schema is a constant."""
    for _ in range(attempts):
        builder = Builder(rng, draft)
        instance = builder.value(rng.choice((0, 1, 2, 2, 3)))
        schema = builder.around(instance, 3)
        if builder.definitions and isinstance(schema, dict):
            schema["definitions" if draft < 2019 else "$defs"] = builder.definitions
        if isinstance(schema, dict):
            schema = {"$schema": URIS[draft], **schema}
        try:
            if build_validator(schema, draft).is_valid(instance):
                return Case(json.loads(json.dumps(schema)), instance, draft)
        except SchemaError:
            continue
    return Case({"$schema": URIS[draft], "enum": [instance]}, instance, draft)


def kind_of_value(value: Any) -> str:
    """The JSON type of a value, "number" for all numbers."""
    return "boolean" if isinstance(value, bool) else kind_of(value)


class Builder:
    """Draws values, and schemas around them.

    Attributes:
        definitions: the schemas that ``$ref`` leads to.
    """

    def __init__(self, rng: random.Random, draft: int) -> None:
        self.rng, self.draft = rng, draft
        self.definitions: Schema = {}

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def value(self, depth: int) -> Any:
        kind = self.rng.choice(["null", "boolean", "number", "number", "string", "string", "string"])
        if depth and self.chance(0.8):
            kind = self.rng.choice(["array", "object", "object"])
        match kind:
            case "null":
                return None
            case "boolean":
                return self.chance(0.5)
            case "number":
                number = self.rng.choice(NUMBERS)
                return number if self.chance(0.6) else self.rng.randrange(-1000, 1000)
            case "string":
                if self.chance(0.4):
                    return self.rng.choice(SAMPLES[self.rng.choice(list(SAMPLES))])
                return self.rng.choice(WORDS) * self.rng.choice((1, 1, 1, 2))
            case "array":
                items = [self.value(depth - 1) for _ in range(self.rng.choice((0, 1, 2, 3)))]
                return items + items[:1] if self.chance(0.1) else items
        names = self.rng.sample(NAMES, self.rng.choice((0, 1, 2, 3)))
        return {name: self.value(depth - 1) for name in names}

    def around(self, value: Any, depth: int) -> Any:
        """A schema that the value satisfies, as a rule."""
        if self.chance(0.08) or depth < 0:
            return True if self.draft > 4 else {}
        schema: Schema = {}
        if self.chance(0.6):
            schema["type"] = self.type_of(value)
        if self.chance(0.12):
            schema["enum"] = self.rng.sample([value, self.value(0), self.value(1)], 3)
        elif self.chance(0.06) and self.draft > 4:
            schema["const"] = value
        keywords: dict[str, Callable[[Any, int], Schema]] = {
            "number": self.number_keywords,
            "string": self.string_keywords,
            "array": self.array_keywords,
            "object": self.object_keywords,
        }
        kind = kind_of_value(value)
        if kind in keywords:
            schema |= keywords[kind](value, depth)
        if self.chance(0.15):  # of another kind, which the value ignores
            other = self.rng.choice(list(keywords))
            if other != kind:
                sample = {"number": 3, "string": "foo", "array": [1], "object": {"a": 1}}[other]
                schema |= keywords[other](sample, 0)
        if self.chance(0.3):
            schema |= self.combination(value, depth)
        if self.chance(0.1):
            name = f"d{len(self.definitions)}"
            self.definitions[name] = schema
            return {"$ref": f"#/{'definitions' if self.draft < 2019 else '$defs'}/{name}"}
        return schema

    def type_of(self, value: Any) -> Any:
        name = kind_of_value(value)
        if name == "number" and isinstance(value, int) and self.chance(0.6):
            name = "integer"
        others = self.rng.sample(OTHER_KINDS, 1)
        return [name, *(other for other in others if other != name)] if self.chance(0.15) else name

    def number_keywords(self, value: Any, depth: int) -> Schema:
        schema: Schema = {}
        for keyword, sign in (("minimum", -1), ("maximum", 1)):
            if self.chance(0.35):
                gap = self.rng.choice((0, 0.5, 1, 3, 1000))
                bound = value + sign * gap
                exclusive = "exclusive" + keyword.capitalize()
                is_strict = bound != value and self.chance(0.4)
                if self.draft == 4:
                    schema[keyword] = bound
                    schema |= {exclusive: is_strict} if self.chance(0.5) or is_strict else {}
                else:
                    schema[exclusive if is_strict else keyword] = bound
        exact = Fraction(str(value)) if isinstance(value, float) else Fraction(value)
        divisors = [number for number in DIVISORS if exact % Fraction(str(number)) == 0]
        if divisors and self.chance(0.3):
            schema["multipleOf"] = self.rng.choice(divisors)
        return schema

    def string_keywords(self, value: str, depth: int) -> Schema:
        schema: Schema = {}
        if self.chance(0.25):
            schema["minLength"] = max(0, len(value) - self.rng.choice((0, 1, 5)))
        if self.chance(0.25):
            schema["maxLength"] = len(value) + self.rng.choice((0, 1, 5, 100))
        if self.chance(0.3):
            schema["pattern"] = self.pattern(value)
        if self.chance(0.5):
            valid = [
                name for name in FORMATS if build_validator({"format": name}, self.draft).is_valid(value)
            ]
            schema["format"] = self.rng.choice([*valid, "color", "unknown"])
        return schema

    def pattern(self, text: str) -> str:
        """A pattern that is found in a text, with anchors in all places."""
        escaped = "".join(
            f"\\u{ord(c):04x}" if c in '^$\\.*+?()[]{}|/-"\n' else c for c in text if ord(c) < 65536
        )
        start, end = escaped[:1] if escaped[:1] != "\\" else "", ""
        classes = "[\\s\\S]"
        return self.rng.choice(
            (
                f"^{escaped}$" if len(text.encode("utf-16")) == 2 * len(text) + 2 else f"^{classes}*$",
                f"^(?:{start}|zz)",
                f"^(?:zz$|{start}{classes}*)",
                f"(^{start}|zz$)",
                f"(?:^|zz){start}",
                f"{classes}*$",
                f"^{classes}{{{len(text)}}}$",
                f"^(?:(?:{classes})*$|zz)",
                f"(?=^{start}){start}{end}",
                f"^(?!zz){start}",
                f"^{classes}{{0,{len(text) + 2}}}$|^$",
                "^[^\\x00-\\x01]*$",
                "",
            )
        )

    def array_keywords(self, value: list[Any], depth: int) -> Schema:
        schema: Schema = {}
        if self.chance(0.4):
            count = self.rng.randrange(len(value) + 1)
            first = [self.around(item, depth - 1) for item in value[:count]]
            rest = self.any_of(value[count:], depth)
            if self.draft >= 2020:
                schema |= {"prefixItems": first or [True], "items": rest}
                schema = schema if first else {"items": rest}
            elif first:
                schema |= {"items": first, "additionalItems": rest}
        elif self.chance(0.6):
            schema["items"] = self.any_of(value, depth)
        if self.chance(0.25):
            schema["minItems"] = max(0, len(value) - self.rng.choice((0, 1)))
        if self.chance(0.25):
            schema["maxItems"] = len(value) + self.rng.choice((0, 1, 5))
        if self.chance(0.2):
            schema["uniqueItems"] = True
        if value and self.chance(0.25) and self.draft > 4:
            schema["contains"] = self.around(self.rng.choice(value), depth - 1)
            if self.draft >= 2019 and self.chance(0.4):
                schema["minContains"] = self.rng.choice((0, 1))
                schema["maxContains"] = len(value)
        if self.draft >= 2019 and self.chance(0.1):
            schema["unevaluatedItems"] = self.any_of(value, depth)
        return schema

    def any_of(self, values: list[Any], depth: int) -> Any:
        """A schema that all values satisfy."""
        schemas = [self.around(value, depth - 1) for value in values]
        if not schemas:
            return self.rng.choice((True, {}, {"type": "string"}, False)) if self.draft > 4 else {}
        return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}

    def object_keywords(self, value: Schema, depth: int) -> Schema:
        schema: Schema = {}
        described = [name for name in value if self.chance(0.7)]
        properties = {name: self.around(value[name], depth - 1) for name in described}
        properties |= {
            name: self.around(self.value(0), 0) for name in NAMES if self.chance(0.05) and name not in value
        }
        if properties or self.chance(0.3):
            schema["properties"] = properties
        if value and self.chance(0.5):
            schema["required"] = self.rng.sample(list(value), self.rng.randrange(1, len(value) + 1))
        others = [name for name in value if name not in properties]
        if value and self.chance(0.2):
            name = self.rng.choice(list(value))
            matched = [member for other, member in value.items() if other[:1] == name[:1]]
            start = name[:1] if name[:1] not in '"$' else ""
            members = matched if start else list(value.values())
            schema["patternProperties"] = {f"^{start}": self.any_of(members, depth)}
        if self.chance(0.4):
            schema["additionalProperties"] = self.any_of([value[name] for name in others], depth)
        if self.chance(0.2) and self.draft > 4:
            longest = max(map(len, value), default=1)
            names = [
                {"maxLength": longest},
                {"pattern": "^[^A-Z]*$"},
                {"enum": NAMES},
                {"not": {"format": "email"}},
            ]
            schema["propertyNames"] = self.rng.choice(names)
        if self.chance(0.2):
            schema["minProperties"] = max(0, len(value) - self.rng.choice((0, 1)))
        if self.chance(0.2):
            schema["maxProperties"] = len(value) + self.rng.choice((0, 1, 5))
        if value and self.chance(0.15):
            name, needed = self.rng.choice(NAMES), self.rng.choice(list(value))
            schema["dependencies" if self.draft < 2019 else "dependentRequired"] = {name: [needed]}
        elif value and self.chance(0.1):
            name, sub = self.rng.choice(NAMES), self.around(value, depth - 2)
            schema["dependencies" if self.draft < 2019 else "dependentSchemas"] = {name: sub}
        if self.draft >= 2019 and self.chance(0.1):
            schema["unevaluatedProperties"] = self.any_of([value[name] for name in others], depth)
        if self.chance(0.05) and "properties" in schema:
            schema["properties"]["self"] = {"$ref": "#"}
        return schema

    def combination(self, value: Any, depth: int) -> Schema:
        fits, free = self.around(value, depth - 1), self.around(self.value(0), 0)
        other = {"type": self.rng.choice([kind for kind in OTHER_KINDS if kind != kind_of_value(value)])}
        options: list[Schema] = [
            {"allOf": [fits, self.around(value, depth - 1)]},
            {"anyOf": self.rng.sample([fits, free, other], 3)},
            {"oneOf": self.rng.sample([fits, other], 2)},
            {"not": other},
            {"not": {"allOf": [fits, other]}},
        ]
        if self.draft >= 7:
            options += [
                {"if": fits, "then": self.around(value, depth - 1), "else": free},
                {"if": other, "then": free},
            ]
            options += [{"if": free, "then": fits, "else": fits}]
        return self.rng.choice(options)
