"""How one document writes numbers, money, dates and times, and how its schema writes keys.

A document keeps to one style, so that a date such as 04/05/2026 is never a riddle: where the order of day
and month cannot be seen, days after the twelfth are drawn.

>>> from random import Random
>>> style = DocumentStyle("en_GB", "1 234,5", "D. MONTH YYYY", "{number} EUR", "EUR", "snake", "24:00")
>>> style.number_text(1234.5, 2), style.date_text(2026, 3, 4)
('1 234,50', '4. March 2026')
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random

from solver.tasks.json_schema.readings import UNIT_WORDS

MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September", "October"),
    *("November", "December"),
)
NUMBER_STYLES = ("1,234.5", "1234.5", "1.234,5", "1 234,5", "1234,5", "1'234.5")
DATE_STYLES = (
    *("YYYY-MM-DD", "DD.MM.YYYY", "D.M.YYYY", "DD/MM/YYYY", "MM/DD/YYYY", "YYYY/MM/DD", "DD-MM-YYYY"),
    *("D MONTH YYYY", "D MON YYYY", "MONTH D, YYYY", "MON D, YYYY", "D. MONTH YYYY", "the DTH of MONTH YYYY"),
    *("DTH MONTH YYYY", "MONTH DTH, YYYY", "D-MON-YYYY", "WEEKDAY, D MONTH YYYY"),
)
NUMERIC_DATES = ("DD.MM.YYYY", "D.M.YYYY", "DD/MM/YYYY")
UNCLEAR_ORDER = ("DD/MM/YYYY", "MM/DD/YYYY", "DD-MM-YYYY")
CURRENCIES = {
    "USD": ("$", "US dollars"),
    "EUR": ("€", "euros"),
    "GBP": ("£", "pounds"),
    "CHF": ("SFr", "Swiss francs"),
    "SEK": ("kr", "Swedish kronor"),
    "PLN": ("zł", "złoty"),
    "INR": ("₹", "rupees"),
    "CAD": ("CA$", "Canadian dollars"),
    "BRL": ("R$", "reais"),
}
KEY_STYLES = ("snake", "camel", "spaces", "kebab", "pascal", "title", "upper", "joined")
KEY_WEIGHTS = (45, 22, 7, 6, 5, 5, 4, 3)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NUMBER_WORDS = (*UNIT_WORDS.split(), "twenty")


@dataclass(frozen=True)
class DocumentStyle:
    """The conventions of one document.

    Attributes:
        culture: of names and places.
        numbers: one of ``NUMBER_STYLES``.
        dates: one of ``DATE_STYLES``.
        money: where the currency stands: ``{number}``, with ``{symbol}``, ``{code}`` or ``{words}`` beside
        it. currency: code of the currency.
        keys: one of ``KEY_STYLES``.
        clock: "24:00", "24.00", "24h00" or "12 am".
        year: about which most dates lie.
        held_out: whether the names of keys that are kept for the held-out split are used.
    """

    culture: str
    numbers: str
    dates: str
    money: str
    currency: str
    keys: str
    clock: str
    year: int = 2025
    held_out: bool = False

    @staticmethod
    def draw(rng: Random, cultures: tuple[str, ...], language: str, held_out: bool) -> DocumentStyle:
        """A style at random. Months are in words in English only."""
        culture = "en_US" if rng.random() < 0.25 else rng.choice(cultures)
        if language != "en":
            culture = {"de": "de_DE", "es": "es_ES", "fr": "fr_FR"}[language]
        dates = DATE_STYLES if language == "en" else NUMERIC_DATES
        money = (
            "{symbol}{number}",
            "{number} {symbol}",
            "{number} {code}",
            "{code} {number}",
            "{number} {words}",
        )
        return DocumentStyle(
            culture,
            rng.choices(NUMBER_STYLES, (50, 20, 16, 4, 8, 3))[0],
            rng.choice(dates),
            rng.choices(money, (35, 15, 25, 10, 8))[0],
            rng.choices(list(CURRENCIES), (35, 25, 12, 4, 4, 4, 4, 4, 4))[0],
            rng.choices(KEY_STYLES, KEY_WEIGHTS)[0],
            rng.choices(("24:00", "24.00", "24h00", "12 am"), (65, 4, 4, 27))[0],
            rng.randint(2016, 2028),
            held_out,
        )

    def number_text(self, value: float, decimals: int) -> str:
        """``value`` with so many decimals; thousands are separated where the style does so."""
        plain = f"{value:,.{decimals}f}"
        thousands, mark = {
            "1,234.5": (",", "."),
            "1234.5": ("", "."),
            "1.234,5": ("." if decimals else "", ","),  # 1.234 by itself could be either
            "1 234,5": (" ", ","),
            "1234,5": ("", ","),
            "1'234.5": ("'", "."),
        }[self.numbers]
        return plain.replace(",", "\0").replace(".", mark).replace("\0", thousands)

    def date_text(self, year: int, month: int, day: int) -> str:
        """A date in the style of the document."""
        ending = "th" if 10 < day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
        name = MONTHS[month - 1]
        parts = {
            "YYYY": f"{year}",
            "MONTH": name,
            "MON": name[:3],
            "WEEKDAY": WEEKDAYS[weekday(year, month, day)],
            "MM": f"{month:02d}",
            "M": f"{month}",
            "DTH": f"{day}{ending}",
            "DD": f"{day:02d}",
            "D": f"{day}",
        }
        return re.sub(r"YYYY|MONTH|MON|WEEKDAY|MM|M|DTH|DD|D", lambda match: parts[match[0]], self.dates)

    def time_text(self, hour: int, minute: int) -> str:
        """A time of day in the style of the document."""
        if self.clock == "12 am":
            half = "am" if hour < 12 else "pm"
            return f"{(hour - 1) % 12 + 1}:{minute:02d} {half}" if minute else f"{(hour - 1) % 12 + 1} {half}"
        return f"{hour:02d}{self.clock[2:-2]}{minute:02d}"

    def key_text(self, words: str) -> str:
        """The words of a key in the style of the schema."""
        parts = words.split()
        match self.keys:
            case "snake":
                return "_".join(parts).lower()
            case "camel":
                return parts[0].lower() + "".join(part[:1].upper() + part[1:] for part in parts[1:])
            case "pascal":
                return "".join(part[:1].upper() + part[1:] for part in parts)
            case "kebab":
                return "-".join(parts).lower()
            case "title":
                return " ".join(part[:1].upper() + part[1:] for part in parts)
            case "upper":
                return "_".join(parts).upper()
            case "joined":
                return "".join(parts).lower()
        return words


def weekday(year: int, month: int, day: int) -> int:
    """0 for a Monday, by Sakamoto's rule."""
    offsets = (0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4)
    year -= month < 3
    return (year + year // 4 - year // 100 + year // 400 + offsets[month - 1] + day - 1) % 7
