"""Places of values in the text that they were read from.

>>> text = "Invoice 17 of 3 May 2024. Total: 1,250.50 EUR, shipping: 17 EUR."
>>> place_of(text, 1250.5, "total"), place_of(text, 17, "shipping"), place_of(text, "Eur", "currency")
((33, 41), (57, 59), (42, 45))
>>> place_of(text, "not in the text", "note") is None
True
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from solver.models.reader_text import identifier_words

Place = tuple[int, int]
NEAR = 60  # characters before a value in which its name is looked for
STEM = 4  # letters of a name that are compared
NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,.\u00a0\u202f' ]*")


def place_of(text: str, value: Any, name: str) -> Place | None:
    """Return start and end in characters of the place that a value was probably read from, None without any.

    Of several places, the one with a word of the field's name closest before it is taken, else the first.

    Args:
        text: the text.
        value: a string or a number.
        name: the name of the field.
    """
    return min(
        places_of(text, value), key=lambda place: (name_distance(text, place, name), place), default=None
    )


def name_distance(text: str, place: Place, name: str) -> int:
    """The characters between a word of ``name`` and the place after it; NEAR where there is none so close."""
    before = text[max(0, place[0] - NEAR) : place[0]].lower()
    stems = [word[:STEM].lower() for word in identifier_words(name) if len(word) > 1]
    return min((len(before) - before.rfind(stem) for stem in stems if stem in before), default=NEAR + 1)


def places_of(text: str, value: Any) -> Iterator[Place]:
    """Yield the places of a string or a number; none for other values."""
    match value:
        case bool() | None:
            return
        case str() if value.strip():
            words = map(re.escape, value.split())
            for found in re.finditer(r"\s+".join(words), text, re.IGNORECASE):
                yield found.span()
        case int() | float():
            yield from number_places(text, Decimal(repr(value)))


def number_places(text: str, number: Decimal) -> Iterator[Place]:
    """Yield the places of a number, with separators of thousands and a decimal point or comma."""
    for match in NUMBER.finditer(text):
        digits = match[0].rstrip(" ,.'\u00a0\u202f")
        plain = re.sub(r"[ '\u00a0\u202f]", "", digits)
        readings = {plain.replace(",", ""), plain.replace(".", "").replace(",", ".")}
        if number in filter(None, map(as_decimal, readings)) or number == 0 == as_decimal(plain):
            yield match.start(), match.start() + len(digits)


def as_decimal(text: str) -> Decimal | None:
    """The number that a text spells, or None."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return None
