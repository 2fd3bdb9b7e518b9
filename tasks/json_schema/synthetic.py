"""Generated records: a schema, a text in which its values stand in some order and wording, and the instance that is meant.

    record = make(np.random.default_rng(0), words(reserved=False))
    record.schema, record.text, record.instance

Training draws from the words that are not reserved; tests use keys made of reserved words only, so that no key was ever seen.
Values are in the text as they stand in the instance, but for what is *derived*: a total, a count, or the kind that goes with the
fields. A derived field stands before or after what it depends on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import numpy as np

from solver.tasks.data import is_reserved

Rng = np.random.Generator
ORDERS = ("first", "last")


@dataclass(frozen=True)
class Record:
    """derived: the name of the field that is not in the text, or None.  order: whether it stands first or last."""

    schema: dict[str, Any]
    text: str
    instance: dict[str, Any]
    derived: str | None = None
    order: Literal["first", "last"] | None = None


@cache
def english_words(reserved: bool) -> tuple[str, ...]:
    """English words, out of Python's own manual (the standard library has it as text); a tenth of them is reserved for tests."""
    from pydoc_data.topics import topics

    found = set(re.findall(r"\b[a-z]{3,9}\b", " ".join(topics.values())))
    return tuple(sorted(word for word in found if is_reserved(word) == reserved))


def pick(rng: Rng, among: Any) -> Any:
    return among[int(rng.integers(len(among)))]


def field_key(rng: Rng, pool: tuple[str, ...]) -> tuple[str, str]:
    """A key as it stands in the schema, and as a text says it."""
    parts = [pick(rng, pool) for _ in range(1 + int(rng.random() < 0.35))]
    style = rng.integers(3)
    name = (
        "_".join(parts)
        if style == 0
        else parts[0] + "".join(p.capitalize() for p in parts[1:])
        if style == 1
        else "-".join(parts)
    )
    return name, " ".join(parts) if rng.random() < 0.8 else name


# Values: (schema, instance, as the text says it)

Value = tuple[dict[str, Any], Any, str]
SYLLABLES = (
    "an",
    "bel",
    "cor",
    "da",
    "el",
    "fin",
    "go",
    "hu",
    "is",
    "jo",
    "ka",
    "lu",
    "mar",
    "no",
    "or",
    "pe",
    "ri",
    "sa",
    "tu",
    "vo",
)


def name_value(rng: Rng, pool: tuple[str, ...]) -> Value:
    said = " ".join(
        "".join(pick(rng, SYLLABLES) for _ in range(int(rng.integers(1, 4)))).capitalize()
        for _ in range(int(rng.integers(1, 3)))
    )
    return {"type": "string"}, said, said


def word_value(rng: Rng, pool: tuple[str, ...]) -> Value:
    said = " ".join(pick(rng, pool) for _ in range(int(rng.integers(1, 4))))
    return (
        {"type": "string", "maxLength": int(rng.integers(40, 80))}
        if rng.random() < 0.3
        else {"type": "string"},
        said,
        said,
    )


def code_value(rng: Rng, pool: tuple[str, ...]) -> Value:
    letters = "".join(chr(65 + int(rng.integers(26))) for _ in range(int(rng.integers(1, 4))))
    said = f"{letters}-{int(rng.integers(10, 10000))}"
    return {"type": "string", "pattern": "^[A-Z]+-[0-9]+$"}, said, said


def date_value(rng: Rng, pool: tuple[str, ...]) -> Value:
    said = f"{int(rng.integers(1900, 2030))}-{int(rng.integers(1, 13)):02d}-{int(rng.integers(1, 29)):02d}"
    return {"type": "string", "format": "date"}, said, said


def integer_value(rng: Rng, pool: tuple[str, ...]) -> Value:
    value = int(rng.integers(0, 10 ** int(rng.integers(1, 6)))) * (1 if rng.random() < 0.9 else -1)
    return (
        {"type": "integer"} | ({"minimum": 0} if value >= 0 and rng.random() < 0.3 else {}),
        value,
        str(value),
    )


def decimal_value(rng: Rng, pool: tuple[str, ...]) -> Value:
    value = round(float(rng.integers(1, 10 ** int(rng.integers(2, 6)))) / 100, 2)
    return {"type": "number"}, value, repr(value)


def boolean_value(rng: Rng, pool: tuple[str, ...]) -> Value:
    value = bool(rng.random() < 0.5)
    return {"type": "boolean"}, value, pick(rng, (("no", "yes"), ("false", "true")))[value]


def choice_value(rng: Rng, pool: tuple[str, ...]) -> Value:
    among = list(dict.fromkeys(pick(rng, pool) for _ in range(int(rng.integers(2, 5)))))
    said = pick(rng, among)
    return {"enum": among}, said, said


def list_value(rng: Rng, pool: tuple[str, ...]) -> Value:
    if rng.random() < 0.5:
        values: list[Any] = [pick(rng, pool) for _ in range(int(rng.integers(1, 5)))]
        kind = "string"
    else:
        values = [int(rng.integers(0, 100)) for _ in range(int(rng.integers(1, 5)))]
        kind = "integer"
    return {"type": "array", "items": {"type": kind}}, values, render_list(rng, list(map(str, values)))


def render_list(rng: Rng, parts: list[str]) -> str:
    """A list as a text says it."""
    if len(parts) < 2 or rng.random() < 0.4:
        return ", ".join(parts)
    return ", ".join(parts[:-1]) + " and " + parts[-1]


VALUES: tuple[Callable[[Rng, tuple[str, ...]], Value], ...] = (
    name_value, name_value, word_value, word_value, code_value, date_value,
    integer_value, integer_value, decimal_value, boolean_value, choice_value, list_value,
)  # fmt: skip


# Records


@dataclass
class FieldList:
    """A record as it is made: fields in the schema's order, and what the text says."""

    schema: dict[str, Any] = field(default_factory=dict)
    instance: dict[str, Any] = field(default_factory=dict)
    said: list[tuple[str, str]] = field(default_factory=list)

    def add(self, rng: Rng, pool: tuple[str, ...], value: Value) -> str:
        """A field under a new key; its key."""
        while True:
            name, spoken_name = field_key(rng, pool)
            if name not in self.schema and spoken_name not in (said for said, _ in self.said):
                break
        self.schema[name], self.instance[name] = value[0], value[1]
        self.said.append((spoken_name, value[2]))
        return name


WORDINGS = (
    "{k}: {v}", "{k} = {v}", "{k} is {v}", "the {k} is {v}", "{k} {v}", "with {k} {v}", "{v} as {k}", "{v} ({k})", "its {k}: {v}",
)  # fmt: skip


def render_text(rng: Rng, said: list[tuple[str, str]]) -> str:
    """The fields in some order and wording."""
    order = rng.permutation(len(said))
    one = rng.random() < 0.6
    wording = pick(rng, WORDINGS)
    parts = [(wording if one else pick(rng, WORDINGS)).format(k=said[at][0], v=said[at][1]) for at in order]
    between: str = pick(rng, (", ", "; ", "\n", ". "))
    return between.join(parts)


def make_record(rng: Rng, pool: tuple[str, ...], most_text: int = 224, most_value: int = 224) -> Record:
    """A record whose text and instance have at most so many bytes."""
    while True:
        draw = rng.random()
        record = (
            copied_record(rng, pool)
            if draw < 0.5
            else total_record(rng, pool)
            if draw < 0.8
            else variant_record(rng, pool)
        )
        if (
            len(record.text.encode()) <= most_text
            and len(json.dumps(record.instance, separators=(",", ":"))) <= most_value
        ):
            return record


def closed_object(properties: dict[str, Any]) -> dict[str, Any]:
    """An object of these fields and no other."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def copied_record(rng: Rng, pool: tuple[str, ...]) -> Record:
    """Fields copied from the text; at times one of them is an object, and at times the text says more than the schema asks
    for."""
    fields = FieldList()
    for _ in range(int(rng.integers(1, 7))):
        fields.add(rng, pool, pick(rng, VALUES)(rng, pool))
    schema, instance = fields.schema, fields.instance
    if len(schema) > 2 and rng.random() < 0.25:
        inner = list(schema)[: int(rng.integers(1, len(schema)))]
        name = pick(rng, pool)
        if name not in schema:
            rest = [other for other in schema if other not in inner]
            schema = {name: closed_object({k: fields.schema[k] for k in inner})} | {
                k: fields.schema[k] for k in rest
            }
            instance = {name: {k: fields.instance[k] for k in inner}} | {k: fields.instance[k] for k in rest}
    said = list(fields.said)
    if rng.random() < 0.3:
        extra = FieldList()
        extra.add(rng, pool, pick(rng, VALUES)(rng, pool))
        said += [pair for pair in extra.said if pair[0] not in (k for k, _ in said)]
    return Record(closed_object(schema), render_text(rng, said), instance)


TOTALS = ("total", "sum", "overall")


def total_record(rng: Rng, pool: tuple[str, ...]) -> Record:
    """A count of a list, or a total of amounts in fields or in a list, that the text does not say."""
    fields = FieldList()
    order: Any = pick(rng, ORDERS)
    how = int(rng.integers(3))
    if how == 0:
        listed = fields.add(rng, pool, list_value(rng, pool))
        value, name = len(fields.instance[listed]), pick(rng, ("count", "number", "length", "size"))
    elif how == 1:
        amounts = [
            fields.add(rng, pool, ({"type": "integer"}, v, str(v)))
            for v in rng.integers(1, 50, int(rng.integers(2, 4))).tolist()
        ]
        value, name = sum(fields.instance[k] for k in amounts), pick(rng, TOTALS)
    else:
        lines = rng.integers(1, 50, int(rng.integers(2, 4))).tolist()
        schema = {"type": "array", "items": {"type": "integer"}}
        fields.add(rng, pool, (schema, lines, render_list(rng, list(map(str, lines)))))
        value, name = sum(lines), pick(rng, TOTALS)
    if rng.random() < 0.5:
        fields.add(rng, pool, pick(rng, VALUES)(rng, pool))
    return derived_record(rng, fields, name, {"type": "integer"}, value, order)


def derived_record(
    rng: Rng,
    fields: FieldList,
    name: str,
    schema: dict[str, Any],
    value: Any,
    order: Literal["first", "last"],
) -> Record:
    """The record with one field more, at the beginning or the end, of which the text says nothing. A field that has its name
    already is renamed."""
    while name in fields.schema:
        name += "_" + pick(rng, TOTALS)
    own, mine = {name: schema}, {name: value}
    properties = own | fields.schema if order == "first" else fields.schema | own
    instance = mine | fields.instance if order == "first" else fields.instance | mine
    return Record(closed_object(properties), render_text(rng, fields.said), instance, name, order)


def variant_record(rng: Rng, pool: tuple[str, ...]) -> Record:
    """One of several kinds, each with fields of its own; the text gives the fields and does not say the kind."""
    order: Any = pick(rng, ORDERS)
    name = pick(rng, ("kind", "type", "variant", "category"))
    variants = []
    for kind in dict.fromkeys(pick(rng, pool) for _ in range(int(rng.integers(2, 4)))):
        fields = FieldList()
        for _ in range(int(rng.integers(1, 3))):
            fields.add(rng, pool, pick(rng, VALUES[:8])(rng, pool))
        variants.append((kind, fields, derived_record(rng, fields, name, {"const": kind}, kind, order)))
    _, _, chosen = pick(rng, variants)
    return Record(
        {"oneOf": [record.schema for _, _, record in variants]}, chosen.text, chosen.instance, name, order
    )


def outline_schema(schema: Any, most: int = 200) -> str:
    """A schema in few characters, for a prompt: ``name:str,age:int,kind:a|b,tags:[str],owner:{id:int}``."""
    return _outline(schema, 0)[:most]


SHORT = {
    "string": "str",
    "integer": "int",
    "number": "num",
    "boolean": "bool",
    "null": "null",
    "array": "[]",
    "object": "{}",
}


def _outline(schema: Any, depth: int) -> str:
    if not isinstance(schema, dict) or depth > 4:
        return "any"
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return "|".join(map(str, schema["enum"]))
    for keyword in ("oneOf", "anyOf"):
        if isinstance(schema.get(keyword), list):
            return "/".join(_outline(sub, depth + 1) for sub in schema[keyword])
    if isinstance(schema.get("properties"), dict):
        return (
            "{"
            + ",".join(f"{name}:{_outline(sub, depth + 1)}" for name, sub in schema["properties"].items())
            + "}"
        )
    if "items" in schema:
        return "[" + _outline(schema["items"], depth + 1) + "]"
    kind = schema.get("type")
    if isinstance(kind, list):
        return "|".join(SHORT.get(one, "any") for one in kind if isinstance(one, str))
    return str(schema.get("format") or SHORT.get(kind, "any")) if isinstance(kind, str) else "any"
