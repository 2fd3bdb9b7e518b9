"""Numbers, dates and times as people write them.

>>> [str(number) for number in read_numbers("two of 1.250,50 EUR, 45 %")]
['1250.5', '45', '0.45', '2']
>>> list(read_dates("on 3 May 2024 at 2:30 pm"))
['2024-05-03', '14:30:00', '14:30', '14:30:00Z', '2024-05-03T14:30:00Z', '2024-05-03T14:30:00']

Where a spelling has several readings (1,250 or 04/05/2024), all of them count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from functools import lru_cache
from itertools import product

Place = tuple[int, int]  # start and end in characters of a text

UNIT_WORDS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen"""
TEN_WORDS = "twenty thirty forty fifty sixty seventy eighty ninety"
ORDINAL_WORDS = """zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth
thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"""
SMALL = {word: number for number, word in enumerate(UNIT_WORDS.split())} | {
    word: 10 * number for number, word in enumerate(TEN_WORDS.split(), 2)
}
ONCE = {word: number for number, word in enumerate(ORDINAL_WORDS.split())} | {
    "once": 1,
    "twice": 2,
    "single": 1,
    "pair": 2,
}
SCALES = {"hundred": 100, "dozen": 12, "thousand": 1000, "million": 10**6, "billion": 10**9}
MULTIPLIERS = {"k": 10**3, "m": 10**6, "mio": 10**6, "bn": 10**9} | {
    word: scale for word, scale in SCALES.items() if word != "dozen"
}
FRACTIONS = {"½": Decimal("0.5"), "¼": Decimal("0.25"), "¾": Decimal("0.75")}
DIGITS = re.compile(r"\d+(?:[.,'’\u00a0\u202f ]\d+)*")
NUMBER_WORD = re.compile(r"[^\W\d_]+(?:[-\s]+[^\W\d_]+)*")

MONTHS = {
    name: number
    for number, names in enumerate(
        """jan january januar janvier enero gennaio januari janeiro jänner
        feb february februar février febrero febbraio februari fevereiro
        mar march märz mars marzo maart março mär
        apr april avril abril aprile
        may mai mayo maggio mei maio
        jun june juni juin junio giugno junho
        jul july juli juillet julio luglio julho
        aug august août agosto augustus
        sep sept september septembre septiembre settembre setembro
        oct october oktober octobre octubre ottobre outubro okt
        nov november novembre noviembre novembro
        dec december dezember décembre diciembre dicembre dezembro dez""".splitlines(),
        1,
    )
    for name in names.split()
}
_MONTH = "(?P<month>" + "|".join(sorted(MONTHS, key=len, reverse=True)) + r")\b\.?"
_DAY = r"(?<!\d)(?P<day>\d{1,2})(?:st|nd|rd|th|\.|er|º)?"
_YEAR = r"(?P<year>\d{4})(?!\d)"
_OF = r"[\s,/-]*(?:(?:of|de|del|di)\s+)?"
WORDED_DATES = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_DAY}{_OF}{_MONTH}(?:{_OF}{_YEAR})?",
        rf"\b{_MONTH}[\s-]*{_DAY}(?!\d)(?:{_OF}{_YEAR})?",
        rf"(?<!\d){_YEAR}{_OF}{_MONTH}{_OF}{_DAY}(?!\d)",
    )
]
DIGIT_DATE = re.compile(r"(?<![\d.])(\d{1,4})([-/.])\s?(\d{1,2})\2\s?(\d{1,4})(?!\d)")
COMPACT_DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)(\d\d)(\d\d)(?!\d)")
CLOCK = re.compile(
    r"(?<![\d:.])(?P<hour>\d{1,2})"
    r"(?:(?P<separator>[:.h])(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d+)?)?)?"
    r"(?:\s?(?P<half>[ap])\.?m\b\.?)?(?:\s?(?P<word>Uhr|h\b|o'clock))?"
    r"(?:\s?(?P<zone>Z\b|UTC\b|GMT\b|[+-]\d{2}:?\d{2}))?(?![\d:])",
    re.IGNORECASE,
)
NAMED_TIMES = re.compile(r"\b(noon|midday|midnight)\b", re.IGNORECASE)
MAX_PAIRS = 256  # dates with times
YEARS = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")


@lru_cache(maxsize=32)
def read_numbers(text: str) -> Mapping[Decimal, tuple[Place, ...]]:
    """The numbers that may be read off a text, each with its places."""
    numbers: dict[Decimal, dict[Place, None]] = {}
    for number, place in (*_digit_numbers(text), *_worded_numbers(text)):
        numbers.setdefault(number, {})[place] = None
    return {number: tuple(places) for number, places in numbers.items()}


def _digit_numbers(text: str) -> Iterator[tuple[Decimal, Place]]:
    for match in DIGITS.finditer(text):
        whole = set(readings(match[0]))
        spans = [(match.span(), whole)]
        if not whole or " " in match[0]:  # a list or a date: each of its parts
            inner = [part.span() for part in re.finditer(r"\d+", match[0])]
            first = match.start()
            spans += [((first + a, first + z), {Decimal(match[0][a:z])}) for a, z in inner]
        for (start, end), values in spans:
            before, after = text[:start][-2:], text[end : end + 12]
            negative = before[-1:] in ("-", "−", "–") and not before[:-1].strip("([{:=€$£,;")
            for value in sorted(values):
                sign, first = (-1, start - 1) if negative else (1, start)
                yield sign * value, (first, end)
                if negative:  # it may be a dash
                    yield value, (start, end)
                percent = re.match(r"\s?(?:%|percent\b|per cent\b|Prozent\b)", after)
                if percent:
                    yield sign * value / 100, (first, end + percent.end())
                scale = re.match(r"\s?(\w+)", after)
                if (start, end) == match.span() and scale and scale[1].lower() in MULTIPLIERS:
                    yield sign * value * MULTIPLIERS[scale[1].lower()], (first, end + scale.end())
                if after[:1] in FRACTIONS:
                    yield sign * (value + FRACTIONS[after[0]]), (first, end + 1)
    for match in re.finditer("[½¼¾]", text):
        yield FRACTIONS[match[0]], match.span()


def readings(digits: str) -> Iterator[Decimal]:
    """The numbers that digits with separators may stand for.

    >>> [str(number) for number in readings("1,250")], [str(number) for number in readings("1.250,5")]
    (['1250', '1.25'], ['1250.5'])
    """
    parts = re.split(r"[^\d]", digits)
    separators = re.findall(r"[^\d]", digits)
    is_grouped = len(parts[0]) <= 3 and all(len(part) == 3 for part in parts[1:])
    indian = len(parts[0]) <= 2 and len(parts[-1]) == 3 and all(len(part) == 2 for part in parts[1:-1])
    if not separators:
        yield Decimal(digits).normalize() + 0
        return
    if len(set(separators)) == 1 and (is_grouped or (indian and separators[0] == ",")):
        yield Decimal("".join(parts))
    point = separators[-1]
    whole = parts[:-1]
    thousands = len(whole) == 1 or (
        len(set(separators[:-1])) == 1
        and separators[-2] != point
        and len(whole[0]) <= 3
        and (all(len(part) == 3 for part in whole[1:]) or len(whole[-1]) == 3)
    )
    if point in ".," and thousands:
        yield Decimal(f"{''.join(whole)}.{parts[-1]}").normalize() + 0


def _worded_numbers(text: str) -> Iterator[tuple[Decimal, Place]]:
    """Numbers in English words, of one word or of several."""
    words = [(match[0].lower(), match.span()) for match in re.finditer(r"[^\W\d_]+", text)]
    index = 0
    while index < len(words):
        total, group, last = 0, None, index
        for position in range(index, len(words)):
            word = words[position][0]
            if position > index and text[words[position - 1][1][1] : words[position][1][0]].strip(" -\n\t"):
                break
            if word in SMALL:
                if group is not None and (
                    group % 100 if SMALL[word] >= 10 else group % 10 or group % 100 in range(10, 20)
                ):
                    break
                group = (group or 0) + SMALL[word]
            elif word in SCALES and (group is not None or words[max(0, index - 1)][0] in ("a", "per", "the")):
                scale = SCALES[word]
                if scale <= 100:
                    group = (group if group is not None else 1) * scale
                else:
                    total, group = total + (group if group is not None else 1) * scale, 0
            elif word == "and" and group is not None and position + 1 < len(words) and group >= 100:
                continue
            else:
                break
            last = position + 1
        if last > index:
            yield Decimal(total + (group or 0)), (words[index][1][0], words[last - 1][1][1])
        elif words[index][0] in ONCE:
            yield Decimal(ONCE[words[index][0]]), words[index][1]
        index = max(last, index + 1)


@lru_cache(maxsize=32)
def read_dates(text: str) -> Mapping[str, tuple[Place, ...]]:
    """The dates, times and dates with times that may be read off a text, in ISO 8601, with their places."""
    dates: dict[str, dict[Place, None]] = {}
    days, times = list(_days(text)), list(_times(text))
    for value, place in days:
        dates.setdefault(value, {})[place] = None
    for clock, zone, place in times:
        for value in dict.fromkeys((clock, clock[:5], clock + (zone or "Z"))):
            dates.setdefault(value, {})[place] = None
    pairs = list(product(days, times))
    close = [pair for pair in pairs if _distance(pair[0][1], pair[1][2]) <= 40]
    for (day, place), (clock, zone, at) in (close or pairs)[:MAX_PAIRS]:
        span = min(place[0], at[0]), max(place[1], at[1])
        for value in (f"{day}T{clock}{zone or 'Z'}", f"{day}T{clock}"):
            dates.setdefault(value, {})[span] = None
    if not times:
        for day, place in days:
            dates.setdefault(f"{day}T00:00:00Z", {})[place] = None
    return {value: tuple(places) for value, places in dates.items()}


def _distance(first: Place, second: Place) -> int:
    return max(first[0], second[0]) - min(first[1], second[1])


def _days(text: str) -> Iterator[tuple[str, Place]]:
    years = list(dict.fromkeys(int(match[0]) for match in YEARS.finditer(text)))
    for pattern in WORDED_DATES:
        for match in pattern.finditer(text):
            month, day = MONTHS[match["month"].lower()], int(match["day"])
            for year in [int(match["year"])] if match["year"] else years:
                yield from _valid(year, month, day, match.span())
    for match in DIGIT_DATE.finditer(text):
        first, second, third = int(match[1]), int(match[3]), int(match[4])
        if len(match[1]) == 4 and len(match[4]) <= 2:
            yield from _valid(first, second, third, match.span())
        elif len(match[1]) <= 2 and len(match[4]) in (2, 4):
            year = third if len(match[4]) == 4 else third + (2000 if third < 70 else 1900)
            yield from _valid(year, second, first, match.span())
            if match[2] != ".":
                yield from _valid(year, first, second, match.span())
    for match in COMPACT_DATE.finditer(text):
        yield from _valid(int(match[1]), int(match[2]), int(match[3]), match.span())


def _valid(year: int, month: int, day: int, place: Place) -> Iterator[tuple[str, Place]]:
    try:
        yield date(year, month, day).isoformat(), place
    except ValueError:
        return


def _times(text: str) -> Iterator[tuple[str, str, Place]]:
    """(time with seconds, time zone or "", place) of each time of day."""
    for match in CLOCK.finditer(text):
        hour, minute, second = (int(match[part] or 0) for part in ("hour", "minute", "second"))
        half = (match["half"] or "").lower()
        is_time = half or match["word"] or match["separator"] in (":", "h", "H")
        if not is_time or (half and not 1 <= hour <= 12) or hour > 23 or minute > 59 or second > 59:
            continue
        if half:
            hour = hour % 12 + (12 if half == "p" else 0)
        zone = (match["zone"] or "").upper().replace("UTC", "Z").replace("GMT", "Z")
        if len(zone) == 5:
            zone = f"{zone[:3]}:{zone[3:]}"
        yield f"{hour:02}:{minute:02}:{second:02}", zone, match.span()
    for match in NAMED_TIMES.finditer(text):
        yield ("00:00:00" if match[0].lower() == "midnight" else "12:00:00"), "", match.span()
