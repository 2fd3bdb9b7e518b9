"""Kinds of values: each draws a value with the text that expresses it.

A value has a *core*, the part of the text from which its typed form is read (``1,234.50``), and may have
text around it that belongs to it (``$`` before, ``kg`` behind). As a plain string it is its full text; as a
number, its core.

>>> from random import Random
>>> style = DocumentStyle("en_GB", "1,234.5", "D MONTH YYYY", "{symbol}{number}", "EUR", "snake", "24:00")
>>> value = Money(1000, 2000).draw(Random(1), style)
>>> value.before, value.core, value.datum
('€', '1,134.36', 1134.36)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal, Protocol

from solver.training.prose import pools
from solver.training.prose.pattern import phrase
from solver.training.prose.style import CURRENCIES, NUMBER_WORDS, UNCLEAR_ORDER, DocumentStyle

Family = Literal["string", "integer", "number", "date", "boolean", "option"]
WORDS = (
    *(
        "north",
        "river",
        "blue",
        "maple",
        "stone",
        "harbor",
        "pixel",
        "green",
        "lumen",
        "alto",
        "cedar",
        "swift",
    ),
    *(
        "orbit",
        "delta",
        "amber",
        "cobalt",
        "fern",
        "quill",
        "summit",
        "vector",
        "willow",
        "copper",
        "lark",
        "tidal",
    ),
    *(
        "nova",
        "ember",
        "granite",
        "olive",
        "polar",
        "raven",
        "silk",
        "terra",
        "ultra",
        "vista",
        "wren",
        "zenith",
    ),
)


@dataclass(frozen=True)
class DrawnValue:
    """A value and its text.

    Attributes:
        family: how a schema may type it.
        core: the text from which the typed form is read.
        datum: the typed form; None for a string, which is quoted.
        before: text before the core that belongs to the value.
        after: text behind the core that belongs to the value.
        unit: name of the unit or currency that ``before`` or ``after`` expresses; empty for none.
        keywords: keywords that a schema may add to the type.
        options: of an enumeration.
    """

    family: Family
    core: str
    datum: Any = None
    before: str = ""
    after: str = ""
    unit: str = ""
    keywords: Mapping[str, Any] = field(default_factory=dict)
    options: tuple[str, ...] = ()


class Kind(Protocol):
    """A kind of value."""

    def draw(self, rng: Random, style: DocumentStyle) -> DrawnValue:
        """A value in the style of a document."""
        ...


@dataclass(frozen=True)
class Name:
    """A name of a pool: a person, or what a method of ``faker`` gives."""

    method: str

    def draw(self, rng: Random, style: DocumentStyle) -> DrawnValue:
        if self.method == "person":
            return DrawnValue("string", pools.draw_person(rng, style.culture))
        return DrawnValue("string", rng.choice(pools.pool(style.culture, self.method)))


@dataclass(frozen=True)
class Address:
    """An e-mail address or the address of a page."""

    is_page: bool = False

    def draw(self, rng: Random, style: DocumentStyle) -> DrawnValue:
        if not self.is_page:
            return DrawnValue(
                "string", pools.draw_email(rng, style.culture, WORDS), keywords={"format": "email"}
            )
        path = "/".join(rng.sample(WORDS, rng.randint(0, 2)))
        start = rng.choice(("https://", "https://www.", "http://"))
        return DrawnValue(
            "string",
            f"{start}{pools.draw_host(rng, WORDS)}{'/' if path else ''}{path}",
            keywords={"format": "uri"},
        )


@dataclass(frozen=True)
class Code:
    """An identifier: ``#`` is a digit, ``?`` a capital, ``%`` a hexadecimal digit; alternatives by ``|``."""

    shapes: str

    def draw(self, rng: Random, style: DocumentStyle) -> DrawnValue:
        shape = rng.choice(self.shapes.split("|"))
        sets = {"#": "0123456789", "?": "ABCDEFGHJKLMNPQRSTUVWXYZ", "%": "0123456789abcdef"}
        text = "".join(rng.choice(sets[mark]) if mark in sets else mark for mark in shape)
        classes = {"#": "[0-9]", "?": "[A-Z]", "%": "[0-9a-f]"}
        pattern = "".join(classes.get(mark, "\\" + mark if mark in "./+()" else mark) for mark in shape)
        return DrawnValue("string", text, keywords={"pattern": f"^{pattern}$"})


@dataclass(frozen=True)
class Words:
    """A phrase of a template without mentions."""

    template: str

    def draw(self, rng: Random, style: DocumentStyle) -> DrawnValue:
        return DrawnValue("string", phrase(rng, self.template).strip())


@dataclass(frozen=True)
class Count:
    """A whole number, with a unit or without; small ones may be written as words.

    Attributes:
        low: the least.
        high: the greatest.
        unit: words for the unit, by ``|``.
        words: whether small numbers may be words.
    """

    low: int
    high: int
    unit: str = ""
    words: bool = True

    def draw(self, rng: Random, style: DocumentStyle) -> DrawnValue:
        number = min(rng.randint(self.low, self.high), rng.randint(self.low, self.high))
        text = style.number_text(number, 0)
        if self.words and number < len(NUMBER_WORDS) and rng.random() < 0.3:
            text = NUMBER_WORDS[number]
        after = rng.choice(self.unit.split("|")) if self.unit else ""
        return DrawnValue(
            "integer",
            text,
            number,
            after=f" {after[:-1] if number == 1 and after.endswith('s') and len(after) > 2 else after}"
            * bool(after),
            unit=after,
            keywords={"minimum": min(self.low, 0), "maximum": 10 ** len(str(self.high))},
        )


@dataclass(frozen=True)
class Serial:
    """A whole number without separators: a year, a page, a room."""

    low: int
    high: int

    def draw(self, rng: Random, style: DocumentStyle) -> DrawnValue:
        number = rng.randint(self.low, self.high)
        return DrawnValue("integer", str(number), number, keywords={"minimum": min(self.low, 0)})


@dataclass(frozen=True)
class Measure:
    """A number with decimals and a unit."""

    low: float
    high: float
    unit: str
    decimals: int = 1

    def draw(self, rng: Random, style: DocumentStyle) -> DrawnValue:
        decimals = rng.choice((0, self.decimals, self.decimals))
        number = round(rng.uniform(self.low, self.high), decimals)
        after = rng.choice(self.unit.split("|"))
        space = "" if not after or (after in ("%", "°C") and rng.random() < 0.7) else " "
        datum: float | int = int(number) if number == int(number) else number
        keywords = {"minimum": 0} if self.low >= 0 else {}
        text = style.number_text(number, decimals)
        return DrawnValue("number", text, datum, after=f"{space}{after}", unit=after, keywords=keywords)


@dataclass(frozen=True)
class Money:
    """An amount of money."""

    low: float
    high: float

    def draw(self, rng: Random, style: DocumentStyle) -> DrawnValue:
        number = round(rng.uniform(self.low, self.high), 2)
        decimals = 2
        if rng.random() < (0.35 if self.high < 1000 else 0.6):
            step = rng.choice((1, 1, 5, 10)) if self.high < 1000 else rng.choice((1, 10, 50, 100, 500))
            number, decimals = float(int(number) // step * step or max(1, int(number))), 0
        symbol, words = CURRENCIES[style.currency]
        text = style.number_text(number, decimals)
        before, after = style.money.format(
            number="\0", symbol=symbol, code=style.currency, words=words
        ).split("\0")
        datum: float | int = int(number) if number == int(number) else number
        return DrawnValue("number", text, datum, before, after, style.currency, {"minimum": 0})


@dataclass(frozen=True)
class Day:
    """A date between two years, or about the year of the document."""

    low: int = 0
    high: int = 0

    def draw(self, rng: Random, style: DocumentStyle) -> DrawnValue:
        year = rng.randint(self.low, self.high) if self.low else style.year + rng.choice((0, 0, 0, 0, 1, -1))
        month = rng.randint(1, 12)
        day = rng.randint(13 if style.dates in UNCLEAR_ORDER else 1, 28)
        iso = f"{year}-{month:02d}-{day:02d}"
        text = style.date_text(year, month, day)
        start = re.match(r"[A-Z][a-z]+day, |the |", text)
        before = start[0] if start else ""
        return DrawnValue("date", text[len(before) :], iso, before, keywords={"format": "date"})


@dataclass(frozen=True)
class Clock:
    """A time of day; a string, in the text's own spelling."""

    low: int = 6
    high: int = 22

    def draw(self, rng: Random, style: DocumentStyle) -> DrawnValue:
        minute = rng.choice((0, 0, 15, 30, 45, 5, 10, 20, 40, 50, 55, rng.randrange(60)))
        return DrawnValue("string", style.time_text(rng.randint(self.low, self.high), minute))


@dataclass(frozen=True)
class Moment:
    """A date with a time, as machines write it."""

    def draw(self, rng: Random, style: DocumentStyle) -> DrawnValue:
        day = f"{rng.randint(2021, 2027)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
        clock = f"{rng.randrange(24):02d}:{rng.randrange(60):02d}:{rng.randrange(60):02d}"
        return DrawnValue("string", f"{day}T{clock}Z", keywords={"format": "date-time"})


@dataclass(frozen=True)
class Flag:
    """A boolean. In sentences its words are in the templates; in forms it is yes or no."""

    def draw(self, rng: Random, style: DocumentStyle) -> DrawnValue:
        datum = rng.random() < 0.5
        yes, no = rng.choice((("yes", "no"), ("yes", "no"), ("true", "false"), ("Y", "N"), ("on", "off")))
        return DrawnValue("boolean", yes if datum else no, datum)


@dataclass(frozen=True)
class Options:
    """One of several options, ``option=phrase/phrase|option``; a phrase expresses the option in a text."""

    options: str

    def draw(self, rng: Random, style: DocumentStyle) -> DrawnValue:
        table = [entry.partition("=") for entry in self.options.split("|")]
        option, _, phrases = rng.choice(table)
        text = option.replace("_", " ")
        if phrases and rng.random() < 0.4:
            text = rng.choice(phrases.split("/"))
        return DrawnValue("option", text, option, options=tuple(option for option, _, _ in table))


@dataclass(frozen=True)
class Several:
    """A list of values of one kind, all different."""

    kind: Kind
    low: int = 2
    high: int = 4

    def draw(self, rng: Random, style: DocumentStyle) -> DrawnValue:
        raise TypeError("a list is drawn item by item")
