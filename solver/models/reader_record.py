"""Records that a reader believes in, as JSON texts, and the texts of the slots of a canvas.

>>> members = {"name": {"type": "string"}, "age": {"type": "integer"}, "city": {"type": "string"}}
>>> root = {"properties": members, "required": ["name", "age"]}
>>> beliefs = {
...     "/name": FieldBelief(("Ann", "Bob"), (-0.1, -2.4), -9.0),
...     "/age": FieldBelief((34,), (-0.1,), -2.4),
...     "/city": FieldBelief(("Rome",), (-3.0,), -0.05),
... }
>>> for texts in slot_candidates(root, beliefs, (b'{"name":', 8, b',"age":', 20, b"}")):
...     {text: round(log_p, 1) for text, log_p in texts.items()}
{b'"Ann"': -0.1, b'"Bob"': -2.4}
{b'34': -0.1, b'34,"city":"Rome"': -3.0}

A slot may hold one value, an array, or optional members with their names. So the likeliest record is written
as a whole and cut where the literals of the canvas are, and then again with each field changed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.models.reader_fields import MAX_DEPTH, UNIONS, join_pointer, resolved, without_null
from solver.tasks.json_schema.numbers import number_text
from solver.tasks.languages.projection import BLANK

MAX_CANDIDATES = 48  # texts of a slot
MAX_ITEMS_READ = 12  # items of an array that are asked for
PROBE = ""  # a short value, to see where a field is written
OTHER_BYTES = -12.0  # logit of bytes that no candidate has in a cell
LEAST_LOG_P = -20.0  # of a field that had to be dropped
LEAST_LOSS = -1e-3  # logit of a byte that the likeliest text does not have, at most
TOLERANCE, MAX_SWEEPS = 0.01, 100  # of the sums of the logits, in nats


class Absent:
    """The value of a field that the text does not give."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = Absent()


@dataclass(frozen=True)
class FieldBelief:
    """A distribution over the values of a field.

    Attributes:
        values: the likeliest values, best first.
        log_p: their log-probabilities.
        absent: the log-probability that the text does not give the field.
        is_free: whether the text has no value for it, so that it is not read at all.
    """

    values: tuple[Any, ...]
    log_p: tuple[float, ...]
    absent: float
    is_free: bool = False

    @property
    def best(self) -> Any:
        """The likeliest value, or ABSENT."""
        return ABSENT if not self.values or self.absent > self.log_p[0] else self.values[0]

    def choices(self) -> dict[int, float]:
        """Log-probabilities of the values and of ABSENT, by the index of the value, and -1."""
        return {-1: self.absent, **dict(enumerate(self.log_p))}

    def required(self) -> FieldBelief:
        """The belief given that the field has a value."""
        total = float(np.logaddexp.reduce(self.log_p))
        return replace(self, log_p=tuple(log_p - total for log_p in self.log_p), absent=-math.inf)


class RecordWriter:
    """Writes records of a schema.

    Args:
        root: the schema.
        beliefs: of its leaves, by JSON pointer.
    """

    def __init__(self, root: Any, beliefs: Mapping[str, FieldBelief]) -> None:
        self.root, self.beliefs = root, beliefs

    def text(self, chosen: Mapping[str, Any]) -> bytes:
        """The JSON text of the record with the ``chosen`` values, by pointer; the rest are the likeliest."""
        values = {pointer: belief.best for pointer, belief in self.beliefs.items()} | dict(chosen)
        return compact_text(self.value(self.root, "", values, True, 0)).encode()

    def value(self, schema: Any, pointer: str, values: Mapping[str, Any], required: bool, depth: int) -> Any:
        """The value at a pointer, or ABSENT."""
        nullable, inner = without_null(self.root, resolved(self.root, schema))
        if pointer in values:
            return self.leaf(pointer, values[pointer], required, nullable)
        if not required and not is_given(pointer, values):
            return ABSENT
        if depth > MAX_DEPTH:
            return None
        if isinstance(inner.get("items"), dict):
            return self.array(inner, pointer, values, depth)
        branches = [branch for keyword in UNIONS for branch in inner.get(keyword, ())]
        members = self.members(inner, pointer, values, depth)
        branch = self.branch(branches, pointer, values)
        if branch is not None:
            inner_members = self.value(branch, pointer, values, True, depth + 1)
            members |= inner_members if isinstance(inner_members, dict) else {}
        return members

    def leaf(self, pointer: str, value: Any, required: bool, nullable: bool) -> Any:
        """A leaf's value; of a required one that is absent, null or the likeliest."""
        if value is not ABSENT or not required:
            return value
        known = self.beliefs[pointer].values
        return None if nullable or not known else known[0]

    def members(
        self, schema: Mapping[str, Any], pointer: str, values: Mapping[str, Any], depth: int
    ) -> dict[str, Any]:
        """The members of an object that are given or required, in the order of the schema."""
        required = schema.get("required", ())
        members = dict[str, Any]()
        for name, sub in (schema.get("properties") or {}).items():
            value = self.value(sub, join_pointer(pointer, name), values, name in required, depth + 1)
            if value is not ABSENT:
                members[name] = value
        return members

    def array(
        self, schema: Mapping[str, Any], pointer: str, values: Mapping[str, Any], depth: int
    ) -> list[Any]:
        """The items up to the first that is not given, but not fewer or more than the schema allows."""
        items = list[Any]()
        for index in range(min(MAX_ITEMS_READ, schema.get("maxItems", MAX_ITEMS_READ))):
            inner = join_pointer(pointer, index)
            if not is_given(inner, values) and index >= schema.get("minItems", 0):
                break
            items.append(self.value(schema["items"], inner, values, True, depth + 1))
        return items

    def branch(self, branches: Sequence[Any], pointer: str, values: Mapping[str, Any]) -> Any:
        """The first alternative whose constants are among the values; None without any."""
        for branch in branches:
            properties = resolved(self.root, branch).get("properties") or {}
            constants = {
                join_pointer(pointer, name): sub["const"]
                for name, sub in properties.items()
                if isinstance(sub, dict) and "const" in sub
            }
            if all(values.get(place) == constant for place, constant in constants.items()):
                return branch
        return branches[0] if branches else None


def is_given(pointer: str, values: Mapping[str, Any]) -> bool:
    """Whether a field at the pointer, or inside of the value there, has a value."""
    inside = pointer + "/"
    return any(
        value is not ABSENT for place, value in values.items() if place == pointer or place.startswith(inside)
    )


def compact_text(value: Any) -> str:
    """JSON without white space; a Decimal as the schema's language writes it."""
    match value:
        case dict():
            return (
                "{"
                + ",".join(f"{compact_text(key)}:{compact_text(inner)}" for key, inner in value.items())
                + "}"
            )
        case list():
            return "[" + ",".join(map(compact_text, value)) + "]"
        case Decimal():
            return number_text(value).decode()
        case _:
            return json.dumps(value, ensure_ascii=False)


def slot_pattern(parts: Sequence[bytes | int]) -> re.Pattern[bytes]:
    """A pattern whose groups are the texts of the slots."""
    pieces = (b"(.{0,%d}?)" % part if isinstance(part, int) else re.escape(part) for part in parts)
    return re.compile(b"".join(pieces), re.DOTALL)


def slot_candidates(
    root: Any, beliefs: Mapping[str, FieldBelief], parts: Sequence[bytes | int]
) -> list[dict[bytes, float]]:
    """For each slot, texts and log-probabilities, best first; none where no record fits the literals."""
    return slot_fields(root, beliefs, parts)[0]


def slot_fields(
    root: Any, beliefs: Mapping[str, FieldBelief], parts: Sequence[bytes | int]
) -> tuple[list[dict[bytes, float]], list[dict[str, dict[bytes, Any]]]]:
    """For each slot, texts with log-probabilities, and its fields with the value that each text gives."""
    beliefs = {
        pointer: belief.required() if is_required(root, beliefs, pointer) else belief
        for pointer, belief in beliefs.items()
    }
    pattern, writer = slot_pattern(parts), RecordWriter(root, beliefs)
    slots = sum(isinstance(part, int) for part in parts)
    base, first = next(
        ((base, match) for base in bases(beliefs) if (match := pattern.fullmatch(writer.text(base)))),
        (None, None),
    )
    if base is None or first is None:
        return [{} for _ in range(slots)], [{} for _ in range(slots)]
    fields: list[dict[str, dict[bytes, Any]]] = [{} for _ in range(slots)]
    log_ps: list[dict[str, dict[bytes, float]]] = [{} for _ in range(slots)]
    for pointer, belief in beliefs.items():
        for index, log_p in sorted(belief.choices().items()):
            value = chosen_value(beliefs, (pointer, index))
            match = pattern.fullmatch(writer.text({**base, pointer: value}))
            changed = [slot for slot in range(slots) if match and match[slot + 1] != first[slot + 1]]
            if match and len(changed) == 1:
                fields[changed[0]].setdefault(pointer, {})[match[changed[0] + 1]] = value
                log_ps[changed[0]].setdefault(pointer, {})[match[changed[0] + 1]] = log_p
    for pointer in [place for place in beliefs if not any(place in by_field for by_field in fields)]:
        match = pattern.fullmatch(writer.text({**base, pointer: PROBE}))  # the only value: where is it?
        changed = [slot for slot in range(slots) if match and match[slot + 1] != first[slot + 1]]
        if len(changed) == 1:
            fields[changed[0]][pointer], log_ps[changed[0]][pointer] = {}, {}
    candidates = list[dict[bytes, float]]()
    for slot in range(slots):
        text = first[slot + 1]
        total = sum(base_log_p(beliefs, base, pointer) for pointer in fields[slot])
        texts = {text: total}
        for pointer, values in fields[slot].items():
            change = base_log_p(beliefs, base, pointer)
            values[text] = base.get(pointer, beliefs[pointer].best)
            texts |= {
                changed_text: total - change + log_p for changed_text, log_p in log_ps[slot][pointer].items()
            }
        best = sorted(texts.items(), key=lambda entry: -entry[1])[:MAX_CANDIDATES]
        candidates.append(dict(best))
    return candidates, fields


def bases(beliefs: Mapping[str, FieldBelief]) -> Iterator[dict[str, Any]]:
    """Changes of the likeliest record, until one fits: none, a field, fewer items, fewer members."""
    yield {}
    changes = [
        (log_p, pointer, index)
        for pointer, belief in beliefs.items()
        for index, log_p in belief.choices().items()
    ]
    for _, pointer, index in sorted(changes, reverse=True):
        yield {pointer: chosen_value(beliefs, (pointer, index))}
    dropped = dict[str, Any]()
    for item in range(MAX_ITEMS_READ - 1, -1, -1):
        dropped |= {pointer: ABSENT for pointer in beliefs if str(item) in pointer.split("/")}
        yield dict(dropped)
    for pointer in sorted(beliefs, key=lambda pointer: max(beliefs[pointer].log_p, default=0.0)):
        dropped[pointer] = ABSENT
        yield dict(dropped)


def is_required(root: Any, beliefs: Mapping[str, FieldBelief], pointer: str) -> bool:
    """Whether a record has to have a value of the field that is not null, if it has all other fields."""
    if not beliefs[pointer].values:
        return False
    values = {place: belief.values[0] for place, belief in beliefs.items() if belief.values}
    writer = RecordWriter(root, beliefs)
    return writer.text({**values, pointer: ABSENT}) == writer.text(values)


def chosen_value(beliefs: Mapping[str, FieldBelief], key: tuple[str, int]) -> Any:
    """The value with an index of a field's choices."""
    return ABSENT if key[1] < 0 else beliefs[key[0]].values[key[1]]


def base_log_p(beliefs: Mapping[str, FieldBelief], base: Mapping[str, Any], pointer: str) -> float:
    """The log-probability of a field's value in a record."""
    belief = beliefs[pointer]
    value = base.get(pointer, belief.best)
    log_p = belief.absent if value is ABSENT else belief.log_p[belief.values.index(value)]
    return max(log_p, LEAST_LOG_P)


def candidate_logits(texts: Mapping[bytes, float], size: int) -> NDArray[np.float32]:
    """Logits (size, V) of cells, of which each text's sum is its log-probability, up to a constant.

    The texts are followed by BLANKs. The bytes of the likeliest text have logit 0, and all others less, so that
    no mixture of texts, which the language may hold as well, is likelier. The log-probability of any other text
    is divided among the cells in which it differs (SIRT; Gilbert 1972). Where texts are mixtures of each other
    ("aa", "ab", "ba", "bb"), the sums are the nearest that are possible.
    """
    cells = np.full((len(texts), size), BLANK)
    for row, text in enumerate(texts):
        cells[row, : len(text)] = np.frombuffer(text, np.uint8)
    log_p = np.array(list(texts.values()))
    best = cells[log_p.argmax()]
    logits = np.full((size, BLANK + 1), OTHER_BYTES, np.float32)
    rows, places = (cells != best).nonzero()
    if len(rows):
        keys, columns = np.unique(places * (BLANK + 1) + cells[rows, places], return_inverse=True)
        members = np.zeros((len(texts), len(keys)), np.float32)
        members[rows, columns] = 1.0
        members, wanted = members[members.any(1)], (log_p - log_p.max())[members.any(1)]
        spread = members / members.sum(1, keepdims=True)
        shares, uses = np.full(len(keys), LEAST_LOSS), members.sum(0)
        for _ in range(MAX_SWEEPS):
            missing = wanted - members @ shares
            if np.abs(missing).max() < TOLERANCE:
                break
            shares = np.minimum(LEAST_LOSS, shares + missing @ spread / uses)
        logits.reshape(-1)[keys] = shares
    logits[np.arange(size), best] = 0.0
    return logits
