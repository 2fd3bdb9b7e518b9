"""Synthetic records for training and tests: a schema, a text with its values, and the instance.

>>> record = make_record(np.random.default_rng(0), english_words(reserved=False))
>>> record.instance
{...}

The text names the values in some order and wording, exactly as they are in the instance. Only *derived*
values are not in the text: a total, a count, or the kind that goes with the fields. A derived field comes
before or after those that it depends on. Training draws names from the words that are not reserved, tests
from the reserved ones, so that no name of a test was seen in training.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import Any, Literal

import numpy as np

from solver.tasks.data import is_reserved

Rng = np.random.Generator
Words = tuple[str, ...]
Order = Literal["first", "last"]
FieldValue = tuple[dict[str, Any], Any, str]  # schema, value, and the value as the text has it

ORDERS: tuple[Order, ...] = ("first", "last")
TOTALS = ("total", "sum", "overall")
COUNTS = ("count", "number", "length", "size")
KIND_NAMES = ("kind", "type", "variant", "category")
MAX_BYTES = 224  # of a record's text, and of its instance
SYLLABLE_LIST = "an bel cor da el fin go hu is jo ka lu mar no or pe ri sa tu vo"
SYLLABLES = tuple(SYLLABLE_LIST.split())
SEPARATORS = (", ", "; ", "\n", ". ")
WORDINGS = (
    "{name}: {value}",
    "{name} = {value}",
    "{name} is {value}",
    "the {name} is {value}",
    "{name} {value}",
    "with {name} {value}",
    "{value} as {name}",
    "{value} ({name})",
    "its {name}: {value}",
)


@dataclass(frozen=True)
class Record:
    """A synthetic record.

    Attributes:
        schema: the JSON Schema.
        text: the text from which the instance is to be drawn.
        instance: the JSON value.
        derived: name of the field whose value is not in the text, or None.
        order: where that field is.
    """

    schema: dict[str, Any]
    text: str
    instance: dict[str, Any]
    derived: str | None = None
    order: Order | None = None


@cache
def english_words(reserved: bool) -> Words:
    """English words from Python's manual in the standard library, the reserved tenth or the others."""
    from pydoc_data.topics import topics

    words = set(re.findall(r"\b[a-z]{3,9}\b", " ".join(topics.values())))
    return tuple(sorted(word for word in words if is_reserved(word) == reserved))


def pick(rng: Rng, options: Any) -> Any:
    """Draw one of a sequence."""
    return options[int(rng.integers(len(options)))]


def field_key(rng: Rng, words: Words) -> tuple[str, str]:
    """Draw a name in snake, camel or kebab case, and the same name as a text has it."""
    parts = [pick(rng, words) for _ in range(1 + int(rng.random() < 0.35))]
    camel = parts[0] + "".join(part.capitalize() for part in parts[1:])
    name = ("_".join(parts), camel, "-".join(parts))[rng.integers(3)]
    return name, " ".join(parts) if rng.random() < 0.8 else name


# Values


def person_value(rng: Rng, words: Words) -> FieldValue:
    """A made-up name of a person or place."""
    names = []
    for _ in range(int(rng.integers(1, 3))):
        syllables = [pick(rng, SYLLABLES) for _ in range(int(rng.integers(1, 4)))]
        names.append("".join(syllables).capitalize())
    return {"type": "string"}, " ".join(names), " ".join(names)


def phrase_value(rng: Rng, words: Words) -> FieldValue:
    """One to three words, at times with a maximum length."""
    phrase = " ".join(pick(rng, words) for _ in range(int(rng.integers(1, 4))))
    limit = {"maxLength": int(rng.integers(40, 80))} if rng.random() < 0.3 else {}
    return {"type": "string"} | limit, phrase, phrase


def code_value(rng: Rng, words: Words) -> FieldValue:
    """An identifier like AB-123, with a pattern."""
    letters = "".join(chr(ord("A") + int(rng.integers(26))) for _ in range(int(rng.integers(1, 4))))
    code = f"{letters}-{int(rng.integers(10, 10000))}"
    return {"type": "string", "pattern": "^[A-Z]+-[0-9]+$"}, code, code


def date_value(rng: Rng, words: Words) -> FieldValue:
    """A date."""
    year, month, day = int(rng.integers(1900, 2030)), int(rng.integers(1, 13)), int(rng.integers(1, 29))
    date = f"{year}-{month:02d}-{day:02d}"
    return {"type": "string", "format": "date"}, date, date


def integer_value(rng: Rng, words: Words) -> FieldValue:
    """An integer of up to five digits, at times with a minimum."""
    value = int(rng.integers(0, 10 ** int(rng.integers(1, 6)))) * (1 if rng.random() < 0.9 else -1)
    limit = {"minimum": 0} if value >= 0 and rng.random() < 0.3 else {}
    return {"type": "integer"} | limit, value, str(value)


def decimal_value(rng: Rng, words: Words) -> FieldValue:
    """A number with up to two decimal places."""
    value = round(float(rng.integers(1, 10 ** int(rng.integers(2, 6)))) / 100, 2)
    return {"type": "number"}, value, repr(value)


def boolean_value(rng: Rng, words: Words) -> FieldValue:
    """True or false, in the text also yes or no."""
    value = bool(rng.random() < 0.5)
    return {"type": "boolean"}, value, pick(rng, (("no", "yes"), ("false", "true")))[value]


def choice_value(rng: Rng, words: Words) -> FieldValue:
    """One of an enumeration of words."""
    options = list(dict.fromkeys(pick(rng, words) for _ in range(int(rng.integers(2, 5)))))
    choice = pick(rng, options)
    return {"enum": options}, choice, choice


def list_value(rng: Rng, words: Words) -> FieldValue:
    """A list of words or integers."""
    has_words = rng.random() < 0.5
    values: list[Any] = [
        pick(rng, words) if has_words else int(rng.integers(0, 100)) for _ in range(int(rng.integers(1, 5)))
    ]
    schema = {"type": "array", "items": {"type": "string" if has_words else "integer"}}
    return schema, values, render_list(rng, list(map(str, values)))


# Repeated ones are drawn more often.
VALUES: tuple[Callable[[Rng, Words], FieldValue], ...] = (
    person_value,
    person_value,
    phrase_value,
    phrase_value,
    code_value,
    date_value,
    integer_value,
    integer_value,
    decimal_value,
    boolean_value,
    choice_value,
    list_value,
)
SHORT_VALUES = VALUES[:8]


# Records


@dataclass
class FieldList:
    """The fields of a record in the order of its schema, and (name, value) as the text has them."""

    schema: dict[str, Any] = field(default_factory=dict)
    instance: dict[str, Any] = field(default_factory=dict)
    wordings: list[tuple[str, str]] = field(default_factory=list)

    def add(self, rng: Rng, words: Words, value: FieldValue) -> str:
        """Add a field under a new name, and return the name."""
        while True:
            name, spoken_name = field_key(rng, words)
            if name not in self.schema and spoken_name not in (used for used, _ in self.wordings):
                break
        self.schema[name], self.instance[name] = value[0], value[1]
        self.wordings.append((spoken_name, value[2]))
        return name

    def add_random(self, rng: Rng, words: Words) -> str:
        """Add a field with any value, and return its name."""
        return self.add(rng, words, pick(rng, VALUES)(rng, words))


def render_list(rng: Rng, parts: list[str]) -> str:
    """A list as a text has it, at times with "and"."""
    if len(parts) < 2 or rng.random() < 0.4:
        return ", ".join(parts)
    return ", ".join(parts[:-1]) + " and " + parts[-1]


def render_text(rng: Rng, wordings: list[tuple[str, str]]) -> str:
    """Fields in random order, in one wording or in several."""
    order, is_uniform = rng.permutation(len(wordings)), rng.random() < 0.6
    wording = pick(rng, WORDINGS)
    parts = [
        (wording if is_uniform else pick(rng, WORDINGS)).format(
            name=wordings[index][0], value=wordings[index][1]
        )
        for index in order
    ]
    separator: str = pick(rng, SEPARATORS)
    return separator.join(parts)


def make_record(rng: Rng, words: Words, max_text: int = MAX_BYTES, max_value: int = MAX_BYTES) -> Record:
    """Draw a record of one of three sorts: copied values, a derived total, or a derived kind.

    Args:
        rng: source of randomness.
        words: words for names and values.
        max_text: longest text in bytes.
        max_value: longest instance in bytes.
    """
    while True:
        draw = rng.random()
        make = copied_record if draw < 0.5 else total_record if draw < 0.8 else variant_record
        record = make(rng, words)
        instance = json.dumps(record.instance, separators=(",", ":"))
        if len(record.text.encode()) <= max_text and len(instance) <= max_value:
            return record


def closed_object(properties: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object with exactly these members."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def copied_record(rng: Rng, words: Words) -> Record:
    """A record of values that are all in the text.

    At times some fields are in an inner object, or the text has more than the schema asks for.
    """
    fields = FieldList()
    for _ in range(int(rng.integers(1, 7))):
        fields.add_random(rng, words)
    schema, instance = fields.schema, fields.instance
    if len(schema) > 2 and rng.random() < 0.25:
        split, name = int(rng.integers(1, len(schema))), pick(rng, words)
        if name not in schema:
            inner_schema, inner_instance = (dict(islice(x.items(), split)) for x in (schema, instance))
            for key in inner_schema:
                del schema[key], instance[key]
            schema = {name: closed_object(inner_schema)} | schema
            instance = {name: inner_instance} | instance
    wordings = list(fields.wordings)
    if rng.random() < 0.3:
        extra = FieldList()
        extra.add_random(rng, words)
        used = {name for name, _ in wordings}
        wordings += [wording for wording in extra.wordings if wording[0] not in used]
    return Record(closed_object(schema), render_text(rng, wordings), instance)


def total_record(rng: Rng, words: Words) -> Record:
    """A record with a count of a list, or a total of fields or of a list, that is not in the text."""
    fields = FieldList()
    order: Order = pick(rng, ORDERS)
    sort = int(rng.integers(3))
    if sort == 0:
        listed = fields.add(rng, words, list_value(rng, words))
        value, name = len(fields.instance[listed]), pick(rng, COUNTS)
    else:
        amounts = rng.integers(1, 50, int(rng.integers(2, 4))).tolist()
        if sort == 1:
            for amount in amounts:
                fields.add(rng, words, ({"type": "integer"}, amount, str(amount)))
        else:
            schema = {"type": "array", "items": {"type": "integer"}}
            fields.add(rng, words, (schema, amounts, render_list(rng, list(map(str, amounts)))))
        value, name = sum(amounts), pick(rng, TOTALS)
    if rng.random() < 0.5:
        fields.add_random(rng, words)
    return derived_record(rng, fields, (name, {"type": "integer"}, value), order)


def variant_record(rng: Rng, words: Words) -> Record:
    """A record of one of several kinds with fields of their own.

    The text has the fields, and not the kind.
    """
    order: Order = pick(rng, ORDERS)
    name, variants = pick(rng, KIND_NAMES), []
    for kind in dict.fromkeys(pick(rng, words) for _ in range(int(rng.integers(2, 4)))):
        fields = FieldList()
        for _ in range(int(rng.integers(1, 3))):
            fields.add(rng, words, pick(rng, SHORT_VALUES)(rng, words))
        variants.append(derived_record(rng, fields, (name, {"const": kind}, kind), order))
    chosen = pick(rng, variants)
    schema = {"oneOf": [variant.schema for variant in variants]}
    return Record(schema, chosen.text, chosen.instance, name, order)


def derived_record(
    rng: Rng, fields: FieldList, derived: tuple[str, dict[str, Any], Any], order: Order
) -> Record:
    """A record with one more field, first or last, that is not in the text.

    Args:
        rng: source of randomness.
        fields: the fields of the text.
        derived: name, schema and value of the further field. A name in use is changed.
        order: where the field goes.
    """
    name, schema, value = derived
    while name in fields.schema:
        name += "_" + pick(rng, TOTALS)
    parts = ({name: schema}, fields.schema), ({name: value}, fields.instance)
    properties, instance = (head | tail if order == "first" else tail | head for head, tail in parts)
    return Record(closed_object(properties), render_text(rng, fields.wordings), instance, name, order)
