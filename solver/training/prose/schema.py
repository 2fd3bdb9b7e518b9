"""The schema of a document: the types, keywords and descriptions of single values, and the names of keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from solver.training.prose.domain import Role, draw_name
from solver.training.prose.kinds import DrawnValue
from solver.training.prose.style import CURRENCIES, DocumentStyle

Schema = dict[str, Any]
Span = tuple[int, int]
MISSING = object()


@dataclass(frozen=True)
class Places:
    """Where the values of a text are, by path: the core, and the full value with what belongs to it."""

    text: str
    cores: Mapping[str, Span]
    extents: Mapping[str, Span]

    def quote(self, span: Span) -> str:
        """The text at a place, with white space collapsed."""
        return " ".join(self.text[span[0] : span[1]].split())


@dataclass(frozen=True)
class Leaf:
    """How a schema asks for one value.

    Attributes:
        form: "typed", "quote" (a plain string), "measure" (an object with amount and unit).
        schema: of the value.
        keys: names of the amount and the unit of a measure.
        upper: whether options are written in capitals.
    """

    form: str
    schema: Schema
    keys: tuple[str, str] = ("", "")
    upper: bool = False

    def read(self, path: str, value: DrawnValue, places: Places) -> tuple[Any, dict[str, Span]]:
        """The value in this form, and its places by the pointer below its own."""
        core, extent = places.cores[path], places.extents[path]
        match self.form:
            case "quote":
                if value.before == "the ":
                    extent = core
                return places.quote(extent), {"": extent}
            case "measure":
                amount, unit = self.keys
                spans = {f"/{amount}": core, f"/{unit}": unit_span(places.text, core, extent)}
                return {amount: value.datum, unit: value.unit}, spans
            case _ if value.family == "string":
                return places.quote(core), {"": core}
        datum = value.datum.upper() if self.upper else value.datum
        return datum, {"": core}


def unit_span(text: str, core: Span, extent: Span) -> Span:
    """The place of the unit: what a value has before or behind its core."""
    start, end = (extent[0], core[0]) if extent[0] < core[0] else (core[1], extent[1])
    words = text[start:end]
    return start + len(words) - len(words.lstrip()), end - (len(words) - len(words.rstrip()))


class LeafWriter:
    """Writes the schema of single values, with the habits of one document."""

    def __init__(self, rng: Random, style: DocumentStyle) -> None:
        self.rng, self.style = rng, style
        self.upper = rng.random() < 0.1
        self.descriptions = rng.choices((0.0, 0.5, 1.0), (50, 20, 30))[0]
        self.titles = 0.5 if rng.random() < 0.08 else 0.0
        self.null_by_any_of = rng.random() < 0.25
        self.opaque = rng.random() < 0.06
        if self.opaque:
            self.descriptions = 1.0

    def leaf(self, value: DrawnValue, text: str | None, role: Role) -> Leaf:
        """The schema for a value such as ``value``, whose quote is ``text`` (None where there is none)."""
        rng = self.rng
        match value.family:
            case "integer" | "number":
                return self.number(value, role)
            case "date" if rng.random() < 0.78:
                return Leaf("typed", {"type": "string", "format": "date"})
            case "date":
                return Leaf("quote", self.string({}, text))
            case "boolean":
                return Leaf("typed", {"type": "boolean"})
            case "option":
                options = [option.upper() if self.upper else option for option in value.options]
                rng.shuffle(options)
                schema = {"type": "string", "enum": options} if rng.random() < 0.7 else {"enum": options}
                return Leaf("typed", schema, upper=self.upper)
        return Leaf("typed", self.string(value.keywords, text))

    def string(self, keywords: Mapping[str, Any], text: str | None) -> Schema:
        """A schema of strings that ``text`` satisfies."""
        schema: Schema = {"type": "string"}
        if keywords and self.rng.random() < 0.4:
            pattern = keywords.get("pattern")
            if text is None or pattern is None or re.search(pattern, text):
                schema |= keywords
        if self.rng.random() < 0.1:
            schema["minLength"] = 1
        if self.rng.random() < 0.08:
            limit = self.rng.choice((60, 80, 100, 120, 200, 255))
            if text is None or len(text) <= limit:
                schema["maxLength"] = limit
        return schema

    def number(self, value: DrawnValue, role: Role) -> Leaf:
        """A schema of numbers, of quotes with their unit, or of amounts with a unit."""
        rng = self.rng
        chance = rng.random() if value.unit else 1.0
        if chance < 0.06 and f"{value.core}{value.after}"[-1].isalnum():
            return Leaf("quote", {"type": "string"})
        kind: Schema = {"type": value.family if rng.random() < 0.9 else "number"}
        if chance < 0.16 and value.unit in CURRENCIES:
            names = rng.choice((("amount", "currency"), ("value", "currency"), ("sum", "currency code")))
            keys = (self.style.key_text(names[0]), self.style.key_text(names[1]))
            codes = rng.sample([code for code in CURRENCIES if code != value.unit], 3)
            unit = {"enum": sorted([*codes, value.unit])}
            schema = {"type": "object", "properties": {keys[0]: kind, keys[1]: unit}, "required": list(keys)}
            return Leaf("measure", schema, keys)
        if rng.random() < 0.2:
            for keyword, limit in value.keywords.items():
                if rng.random() < 0.7 and isinstance(limit, int):
                    kind[keyword] = limit
        return Leaf("typed", kind)

    def nullable(self, schema: Schema) -> Schema:
        """``schema``, or null."""
        if self.null_by_any_of or "type" not in schema:
            return {"anyOf": [schema, {"type": "null"}]}
        result = {**schema, "type": [schema["type"], "null"]}
        if "enum" in schema:
            result["enum"] = [*schema["enum"], None]
        return result

    def described(self, schema: Schema, role: Role, value: DrawnValue) -> Schema:
        """``schema`` with a title and a description, at times; the unit is named for plain numbers."""
        result: Schema = {}
        if self.rng.random() < self.titles:
            result["title"] = draw_name(self.rng, role.names, self.style.held_out).capitalize()
        if role.description and self.rng.random() < self.descriptions:
            unit = f" ({value.unit})" if value.unit and value.family in ("integer", "number") else ""
            ending = self.rng.choice((".", "", unit + ".", unit))
            result["description"] = role.description + ending
        return {**result, **schema}


class KeyWriter:
    """Draws the keys of one object, all different."""

    def __init__(self, rng: Random, style: DocumentStyle, opaque: bool) -> None:
        self.rng, self.style = rng, style
        self.used: set[str] = set()
        self.opaque = (
            rng.choice(("field_{}", "f{}", "value{}", "x{}", "column_{}", "attr{}")) if opaque else ""
        )

    def key(self, role: Role, inner: bool, may_be_generic: bool) -> str:
        """A key for a role; a member of a group is named without the group."""
        if self.opaque:
            return self.unique(self.opaque.format(len(self.used) + 1))
        words = draw_name(self.rng, role.names, self.style.held_out)
        if role.generic and (inner or (may_be_generic and self.rng.random() < 0.35)):
            words = role.generic
        key = self.style.key_text(words)
        return self.unique(
            key if key not in self.used else self.style.key_text(draw_name(self.rng, role.names, False))
        )

    def words(self, words: str) -> str:
        """A key of given words."""
        return self.unique(self.style.key_text(words))

    def unique(self, key: str) -> str:
        """``key``, numbered if the object already has it."""
        number, result = 2, key
        while result in self.used:
            number, result = number + 1, f"{key}{number}"
        self.used.add(result)
        return result


def escape_pointer(key: str) -> str:
    """A key as a part of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")
