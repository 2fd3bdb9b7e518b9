"""Places of values in the text that they were read from.

>>> text = "Invoice 17 of 3 May 2024. Total: 1,250.50 EUR, shipping: 17 EUR."
>>> place_of(text, 1250.5, "total"), place_of(text, 17, "shipping"), place_of(text, "2024-05-03", "date")
((33, 41), (57, 59), (14, 24))
>>> place_of(text, "not in the text", "note") is None
True
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from solver.models.reader_text import identifier_words
from solver.tasks.json_schema.readings import Place
from solver.tasks.json_schema.source import UNSPACED, Source

NEAR = 60  # characters before a value in which its name is looked for
STEM = 4  # letters of a name that are compared


def place_of(text: str, value: Any, name: str) -> Place | None:
    """Return start and end in characters of the place that a value was probably read from, None without any.

    Of several places, the one with a word of the field's name closest before it is taken, else the first.

    Args:
        text: the text.
        value: a string or a number.
        name: the name of the field.
    """
    places = places_of(text, value)
    return min(places, key=lambda place: (name_distance(text, place, name), place), default=None)


def name_distance(text: str, place: Place, name: str) -> int:
    """The characters from a word of ``name`` to the place after it; more than NEAR if there is none."""
    before = text[max(0, place[0] - NEAR) : place[0]].lower()
    stems = [word[:STEM].lower() for word in identifier_words(name) if len(word) > 1]
    return min((len(before) - before.rfind(stem) for stem in stems if stem in before), default=NEAR + 1)


def places_of(text: str, value: Any) -> tuple[Place, ...]:
    """The places of a string (as whole words, or as a date) or of a number; none for other values."""
    source = Source(text)
    match value:
        case bool():
            return ()
        case str():
            words = tuple(place for place in source.find(value) if has_word_edges(text, place))
            return words or source.dates().get(value, ())
        case int() | float():
            return source.numbers().get(Decimal(repr(value)), ())
    return ()


def has_word_edges(text: str, place: Place) -> bool:
    """Whether a place neither begins nor ends inside of a word."""
    inner = (index for index in place if 0 < index < len(text) and not UNSPACED.match(text, index - 1))
    return not any(text[index - 1].isalnum() and text[index].isalnum() for index in inner)
