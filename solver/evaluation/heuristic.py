"""A heuristic without a model, as a control: regular expressions for values, words of the keys as anchors.

A field gets the value of its type that is nearest to a word of its key or description, after the word rather
than before it; without such a word, the first value that no other field has. Strings are e-mail addresses,
links, telephone numbers, codes, quotations and runs of capitalised words. Nothing is invented: a field without a
value is left out, null, or, where the schema demands a value, 0 or an empty string.

>>> members = {"who": {"type": "string"}, "age": {"type": "integer"}, "city": {"enum": ["Rome", "Oslo"]}}
>>> heuristic_value({"properties": members}, "Ann Lee, aged 30, lives in Oslo.")
{'who': 'Ann Lee', 'age': 30, 'city': 'Oslo'}
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any

from solver.tasks.json_schema.readings import UNIT_WORDS
from solver.tasks.json_schema.validator import build_validator, resolve_pointer

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
COUNTS = UNIT_WORDS.split()[:13]  # zero to twelve
MONTH, SUFFIX = r"[A-Z][a-z]{2,8}\.?", "(?:st|nd|rd|th)?"
PATTERNS = {
    "date": r"\b\d{4}-\d\d-\d\d\b|\b\d{1,2}[./]\d{1,2}[./]\d{4}\b"
    rf"|\b\d{{1,2}}{SUFFIX}\.? (?:of )?{MONTH},? \d{{4}}\b|\b{MONTH} \d{{1,2}}{SUFFIX},? \d{{4}}\b",
    "time": r"\b\d{1,2}:\d\d(?::\d\d)?\b",
    "email": r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    "uri": r"\bhttps?://[^\s<>\"')]*[\w/]",
    "phone": r"\+?\(?\d[\d ()/-]{6,}\d",
    "number": rf"(?<![\w.,])-?\d+(?:[.,]\d+)*|\b(?:{'|'.join(COUNTS)})\b",
    "code": r"\b(?=[\w/-]*\d)(?=[\w/-]*[A-Z])[\w/-]+\b",
    "quotation": r"(?<=[\"“«])[^\"”»\n]{2,80}(?=[\"”»])",
    "name": r"\b[A-Z][\w'’-]*(?:[ &]{1,3}(?:(?:of|de|van|von) )?[A-Z][\w'’-]*\.?)*",
}
HINTS = {"email": "email", "mail": "email", "url": "uri", "link": "uri", "phone": "phone"}
HINTS |= {"date": "date", "day": "date", "time": "time"}
STRINGS = ("quotation", "code", "name")
NEGATION = re.compile(r"\b(?:no|not|none|never|without|false|off)\b|n't\b", re.IGNORECASE)
COMMON = re.compile(
    "a|an|and|are|at|dear|for|from|hello|hi|i|if|in|is|it|no|of|on|or|our|please|the|this|to|we|you",
    re.IGNORECASE,
)
FAR = 10_000  # characters, added to the distance of a value that another field has


def spellings(kind: str, quote: str) -> Iterator[Any]:
    """Yield the values that a match of a pattern may stand for.

    >>> list(spellings("number", "1,250.50")), list(spellings("date", "3 May 2024"))
    ([1250.5], ['2024-05-03', '3 May 2024'])
    """
    if kind == "number":
        plain = re.sub(r"[.,](?=\d{3}\b)", "", quote).replace(",", ".")
        if quote.lower() in COUNTS:
            yield COUNTS.index(quote.lower())
        elif plain.count(".") <= 1:
            yield float(plain) if "." in plain else int(plain)
        return
    if kind == "date":
        digits, month = re.findall(r"\d+", quote), re.search("[A-Z][a-z][a-z]", quote)
        if month:
            named = month[0].lower()
            digits.insert(1, str(MONTHS.index(named) + 1 if named in MONTHS else 0))
        year, middle, day = digits if len(digits[0]) == 4 else digits[::-1]
        if int(middle) > 12:
            middle, day = day, middle
        yield f"{year}-{int(middle):02}-{int(day):02}"
    yield quote
    if kind == "time":
        yield f"{quote}:00"
        yield f"{quote}:00Z"


def key_words(name: str) -> list[str]:
    """Return the words of a key or a sentence, in lower case.

    >>> key_words("dueDate_2"), key_words("URL")
    (['due', 'date'], ['url'])
    """
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]


@dataclass
class HeuristicReader:
    """Reads values for schemas from one text.

    Args:
        root: the schema that references refer to.
        text: the source of the values.
        used: where values of other fields begin.
    """

    root: Any
    text: str
    used: set[int] = field(default_factory=set)

    def resolved(self, schema: Any) -> dict[str, Any]:
        """Follow references; of alternatives, take the one with most constants in the text."""
        if not isinstance(schema, dict):
            return {}
        if str(schema.get("$ref", "")).startswith("#/"):
            target = self.root
            for key in resolve_pointer(schema["$ref"][1:], self.root):
                target = target[key]
            return self.resolved(target)
        for keyword in ("anyOf", "oneOf", "allOf"):
            options = [self.resolved(option) for option in schema.get(keyword, ())]
            values = [option for option in options if option.get("type") != "null"]
            if values:
                rest = {name: value for name, value in schema.items() if name != keyword}
                chosen = max(values, key=self.constants_in_text)
                null = ["null"] if len(values) < len(options) else []
                return {**rest, **chosen, "type": [*schema_types(chosen), *null]}
        return schema

    def constants_in_text(self, schema: Mapping[str, Any]) -> int:
        members = [self.resolved(member) for member in schema.get("properties", {}).values()]
        constants = [str(member["const"]).lower() for member in members if "const" in member]
        return sum(constant in self.text.lower() for constant in constants)

    def anchors(self, key: str, schema: Mapping[str, Any]) -> list[tuple[int, int]]:
        """Return the places of the key's words, else those of the longer words of its description."""
        described = [word for word in key_words(str(schema.get("description", ""))) if len(word) > 4]
        for words in (key_words(key), described):
            stems = "|".join(
                re.escape(word[: max(3, len(word) - 2)]) for word in words if not COMMON.fullmatch(word)
            )
            places = [match.span() for match in re.finditer(rf"\b(?:{stems})\w*", self.text, re.IGNORECASE)]
            if stems and places:
                return places
        return []

    def distance(self, start: int, end: int, anchors: Sequence[tuple[int, int]]) -> int:
        """Return the characters from the nearest anchor, doubled before it; without anchors, the place."""
        after = [start - last for _, last in anchors if start >= last]
        before = [2 * (first - end) for first, _ in anchors if first >= end]
        return min([*after, *before], default=start) + FAR * (start in self.used)

    def candidates(self, key: str, schema: Mapping[str, Any]) -> Iterator[tuple[int, int, Any]]:
        """Yield (start, end, value) of all values in the text that satisfy a scalar schema."""
        is_valid = build_validator(
            {name: value for name, value in schema.items() if name != "$ref"}, 2020
        ).is_valid
        options = schema.get("enum", [schema["const"]] if "const" in schema else None)
        if options is not None:
            for option in options:
                words = re.escape(str(option)).replace("_", "[ _-]?")
                for match in re.finditer(rf"(?<!\w){words}(?!\w)", self.text, re.IGNORECASE):
                    yield *match.span(), option
            return
        hinted = [
            kind for word, kind in HINTS.items() if word in key_words(f"{key} {schema.get('format', '')}")
        ]
        hinted += [schema["format"]] if schema.get("format") in PATTERNS else []
        for kind in ("number",) if schema.get("type") in ("number", "integer") else hinted or STRINGS:
            for match in re.finditer(PATTERNS[kind], self.text):
                if kind == "name" and COMMON.fullmatch(match[0]):
                    continue
                for value in spellings(kind, match[0]):
                    if is_valid(value):
                        yield *match.span(), value
                        break

    def read(self, schema: Any, key: str = "") -> Any:
        """Return the value for a schema, None where the text has none."""
        schema = self.resolved(schema)
        anchors, kind = self.anchors(key, schema), kind_of_schema(schema)
        match kind:
            case _ if "const" in schema:
                return schema["const"]
            case "object":
                return self.read_object(schema)
            case "array":
                return self.read_array(self.resolved(schema.get("items")), anchors)
            case "boolean":
                around = [self.text[max(0, start - 25) : end + 25] for start, end in anchors]
                return not any(map(NEGATION.search, around)) if anchors else None
        if is_nullable(schema) and not anchors:
            return None
        places = self.candidates(key, {**schema, "type": kind})
        best = min(places, key=lambda place: self.distance(place[0], place[1], anchors), default=None)
        if best is None:
            return None
        self.used.add(best[0])
        return best[2]

    def read_object(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return an object; a required member without a value gets an empty one of its type."""
        members = {}
        for name, member in schema.get("properties", {}).items():
            value, resolved = self.read(member, name), self.resolved(member)
            if value is None and not is_nullable(resolved):
                if name not in schema.get("required", ()):
                    continue
                value = resolved["enum"][0] if "enum" in resolved else EMPTY[kind_of_schema(resolved)]
            members[name] = value
        return members

    def read_array(self, items: Mapping[str, Any], anchors: Sequence[tuple[int, int]]) -> list[Any] | None:
        """Return all options in the text, objects of a line each, or the list that follows an anchor."""
        if "enum" in items:
            return list(
                dict.fromkeys(
                    option for _, _, option in sorted(self.candidates("", items), key=itemgetter(0))
                )
            )
        if kind_of_schema(items) == "object":
            lines = [
                replace(self, text=line).read_object({**items, "required": ()})
                for line in self.text.splitlines()
            ]
            return [line for line in lines if 2 * len(line) > len(items.get("properties", ()))]
        if not anchors:
            return None
        following = re.split(r"[.!?]\s|\n\n", self.text[anchors[0][1] :])[0]
        if kind_of_schema(items) == "string":
            pieces = re.split(r",|;|\band\b|\n", following.lstrip(" :=-"))
            return [piece.strip(" -*•[]\"'.") for piece in pieces if piece.strip(" -*•[]\"'.")]
        return [value for _, _, value in replace(self, text=following).candidates("", items)]


EMPTY: dict[str, Any] = {
    "string": "",
    "integer": 0,
    "number": 0,
    "boolean": False,
    "array": [],
    "object": {},
    "null": None,
}


def schema_types(schema: Mapping[str, Any]) -> list[str]:
    types = schema.get("type", "object" if "properties" in schema else "string")
    return [types] if isinstance(types, str) else list(types)


def kind_of_schema(schema: Mapping[str, Any]) -> str:
    """Return the first type that is not null."""
    return next((name for name in schema_types(schema) if name != "null"), "null")


def is_nullable(schema: Mapping[str, Any]) -> bool:
    return "null" in schema_types(schema)


def heuristic_value(schema: Any, text: str) -> Any:
    """Return a value for the schema that is read off the text by the heuristic. It may be invalid."""
    return HeuristicReader(schema, text).read(schema)
