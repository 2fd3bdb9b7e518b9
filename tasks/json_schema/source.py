"""Reads off a text, without a model, what may be a value in it: quotes, numbers and dates with their places.

>>> source = Source("Dear Ms. O'Brien, the invoice of 3 May 2024 is for $1,250.50.")
>>> source.quotes(12)["O'Brien"], "Ms. O'Brien" in source.quotes(12), "Brien" in source.quotes(12)
(((9, 16),), True, False)
>>> {str(number): places for number, places in source.numbers().items() if number > 1000}
{'2024': ((39, 43),), '1250.5': ((52, 60),)}
>>> source.dates()["2024-05-03"]
((33, 43),)
>>> source.find("o'brien,  THE")
((9, 21),)

A quote is a span of the text that begins and ends at the edge of a word. A place is (start, end) in
characters of the text. White space in a quote is collapsed; otherwise it has the spelling of the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Literal

from solver.tasks.json_schema.readings import Place, read_dates, read_numbers

SourceMode = Literal["auto", "text", "free"]  # of a field without a value in the text; see Compiler
LISTED_CHARS = 120  # of the quotes that are listed
WRAPPED = 40  # characters of a line after which the next one may continue a sentence
PREFIXES = frozenset("+-#@$€£¥§~/.")  # may belong to the word after them
SUFFIXES = frozenset("%°+#$€£¥/")  # may belong to the word before them
APOSTROPHES = frozenset("'’")
CLOSING = frozenset(".,;:!?)]}\"'»”’>")
OPENING = frozenset("([{\"'«„“‘<=:")
ABBREVIATION_WORDS = """inc ltd co corp jr sr dr mr mrs ms prof st ave rd blvd no nr vs etc approx
dept bros hon gen capt str tel jan feb mar apr jun jul aug sep sept oct nov dec"""
ABBREVIATIONS = frozenset(ABBREVIATION_WORDS.split())
# A line that begins like this does not continue the one before it: a bullet, or a key with its value.
NEW_ITEM = re.compile(r"\s*(?:[-*•>#|]|\d+[.)]\s|[\w .-]{1,30}[:=])")
ADDRESS = re.compile(  # is one word: an e-mail address or a URL
    r"[\w+-]+(?:\.[\w+-]+)*@[\w-]+(?:\.[\w-]+)+|(?:https?://|www\.)[^\s<>\"']*[\w/]"
)
SENTENCE_END = re.compile(r"[.!?…]['\"”»)]*\s+")
# Scripts without spaces between words: every character may begin or end a quote.
UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


@dataclass(frozen=True)
class Run:
    """A part of the text that quotes do not cross.

    Attributes:
        chars: its characters, with white space collapsed.
        origins: the place in the text where each of them begins, and the end of the last one.
        starts: where a quote may begin, in ascending order.
        ends: where a quote may end, in ascending order.
    """

    chars: str
    origins: tuple[int, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    def place(self, start: int, end: int) -> Place:
        """The place in the text of a span of the run."""
        return self.origins[start], self.origins[end - 1] + 1


@dataclass(frozen=True)
class Source:
    """A text that values are quoted from. What is read off it is computed once per text.

    Attributes:
        text: the text.
    """

    text: str

    def runs(self, max_chars: int | None = None) -> tuple[Run, ...]:
        """The parts of the text that quotes lie in: lines, cells of tables, and paragraphs of wrapped lines.

        Parts of more than ``max_chars`` characters are divided into parts that overlap. Every quote of a third
        as many characters is in one of them.
        """
        return text_runs(self.text, max_chars)

    def quotes(self, max_chars: int = LISTED_CHARS) -> Mapping[str, tuple[Place, ...]]:
        """The distinct quotes of at most ``max_chars`` characters, each with its places."""
        return text_quotes(self.text, max_chars)

    def numbers(self) -> Mapping[Decimal, tuple[Place, ...]]:
        """The numbers that may be read off the text: 1,250 may be 1250 and, with a decimal comma, 1.25."""
        return read_numbers(self.text)

    def dates(self) -> Mapping[str, tuple[Place, ...]]:
        """The dates, times and both together that may be read off the text, as ISO 8601."""
        return read_dates(self.text)

    def find(self, value: str) -> tuple[Place, ...]:
        """The places of a string, whatever its case, white space and Unicode normal form."""
        wanted = "".join(char for char, _ in _normal_chars(value)).strip()
        chars, origins = self._normal
        places, start = list[Place](), chars.find(wanted) if wanted else -1
        while start >= 0:
            end = start + len(wanted)
            whole = origins[start - 1 : start] != origins[start : start + 1]
            if whole and origins[end] > origins[end - 1]:  # no part of a character
                last = origins[end - 1] + 1
                while (
                    last < origins[end] and not self.text[last].isspace()
                ):  # the marks of the last character
                    last += 1
                places.append((origins[start], last))
            start = chars.find(wanted, start + 1)
        return tuple(places)

    @cached_property
    def _normal(self) -> tuple[str, tuple[int, ...]]:
        """The text in normal form, and where each of its characters comes from."""
        pairs = list(_normal_chars(self.text))
        return "".join(char for char, _ in pairs), (*(index for _, index in pairs), len(self.text))


def normal_form(text: str) -> str:
    """Fold the case of a text, collapse its white space and normalise its characters (NFKC).

    >>> normal_form("  Stra\u00dfe\\n1 ")
    'strasse 1'
    """
    return "".join(char for char, _ in _normal_chars(text)).strip()


def _normal_chars(text: str) -> Iterator[tuple[str, int]]:
    """The characters of the normal form, each with the index of the character that it comes from."""
    index, after_space = 0, False
    while index < len(text):
        end = index + 1
        while end < len(text) and unicodedata.combining(text[end]):
            end += 1
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text[index:end]).casefold())
        for char in folded:
            if not (char.isspace() and after_space):
                yield (" " if char.isspace() else char), index
            after_space = char.isspace()
        index = end


@lru_cache(maxsize=32)
def text_runs(text: str, max_chars: int | None = None) -> tuple[Run, ...]:
    """The runs of a text; see :meth:`Source.runs`."""
    runs = list[Run]()
    for start, end in _segments(text):
        run = make_run(text, start, end)
        if run.starts:
            runs += [run] if max_chars is None else _windows(run, max_chars)
    return tuple(runs)


def _segments(text: str) -> Iterator[Place]:
    """The spans of the text between breaks that quotes do not cross."""
    start = position = 0
    lines = text.splitlines(keepends=True)
    for index, line in enumerate(lines):
        for cell in re.finditer(r"[|\t]", line):
            yield start, position + cell.start()
            start = position + cell.end()
        position += len(line)
        following = lines[index + 1] if index + 1 < len(lines) else ""
        if len(line.strip()) < WRAPPED or not following.strip() or NEW_ITEM.match(following):
            yield start, position
            start = position
    yield start, position


def make_run(text: str, start: int = 0, end: int | None = None) -> Run:
    """The run of a span of the text."""
    chars, origins = list[str](), list[int]()
    end = len(text) if end is None else end
    for index in range(start, end):
        char = " " if text[index].isspace() else text[index]
        if char != " " or (chars and chars[-1] != " "):
            chars.append(char)
            origins.append(index)
    run = "".join(chars)
    starts, ends = word_edges(run)
    return Run(run, (*origins, end), starts, ends)


def word_edges(chars: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Where a quote may begin and where it may end.

    >>> word_edges("Is it $5, J. Doe?")
    ((0, 3, 6, 7, 10, 13), (2, 5, 8, 11, 12, 16))
    """
    size = len(chars)
    inside = [char.isalnum() or char == "_" or unicodedata.category(char)[0] == "M" for char in chars]
    is_word = [*inside, False]  # and at -1
    for index in range(1, size - 1):
        if chars[index] in APOSTROPHES and inside[index - 1] and inside[index + 1]:
            is_word[index] = True
    for address in ADDRESS.finditer(chars):
        is_word[address.start() : address.end()] = [True] * len(address[0])
    starts, ends = set[int](), set[int]()
    for index in range(size):
        if is_word[index] and not is_word[index - 1]:
            starts.update((index, _prefix_start(chars, index)))
        if is_word[index] and not is_word[index + 1]:
            ends.update((index + 1, _suffix_end(chars, index + 1, is_word)))
        if is_word[index] and chars[index] in APOSTROPHES and chars[index + 1 : index + 2] == "s":
            ends.add(index)  # before a possessive
        if UNSPACED.match(chars, index):
            starts.add(index)
            ends.add(index + 1)
    return tuple(sorted(starts)), tuple(sorted(ends))


def _prefix_start(chars: str, start: int) -> int:
    """Where the symbols begin that may belong to the word at ``start``, as in "+49", "$5" or "/etc"."""
    first = start
    while first and chars[first - 1] in PREFIXES:
        first -= 1
    if first and chars[first - 1] == "(" and chars[start].isdigit():  # a telephone number
        first -= 1
    return first if first == 0 or chars[first - 1] == " " or chars[first - 1] in OPENING else start


def _suffix_end(chars: str, end: int, is_word: Sequence[bool]) -> int:
    """Where the symbols end that may belong to the word before ``end``, as in "5%", "C++" or "Inc."."""
    last = end
    while last < len(chars) and chars[last] in SUFFIXES:
        last += 1
    if last == end and chars[end : end + 1] == "." and (end + 1 == len(chars) or not is_word[end + 1]):
        first = end
        while first and is_word[first - 1]:
            first -= 1
        word = chars[first:end]
        is_short = (len(word) == 1 and word.isalpha()) or word.casefold() in ABBREVIATIONS
        if is_short or (chars[first - 1 : first] == "." and word.isalpha() and len(word) < 4):
            return end + 1
    is_closed = last == len(chars) or chars[last] == " " or chars[last] in CLOSING
    return last if is_closed else end


def _windows(run: Run, max_chars: int) -> Iterator[Run]:
    """The run, or if it is too long overlapping parts of it."""
    sentences = [match.end() for match in SENTENCE_END.finditer(run.chars)]
    start, size = 0, len(run.chars)
    while size - start > max_chars:
        end = max((index for index in run.ends if start < index <= start + max_chars), default=start)
        yield _part(run, start, end)
        first, half, last = (start + max_chars * k // 6 for k in (2, 3, 4))
        following = [index for index in sentences if first <= index <= last] or run.starts
        beyond = (index for index in following if index >= (first if following is not run.starts else half))
        start = next((index for index in beyond if index > start), size)
    if start < size:
        yield _part(run, start, size)


def _part(run: Run, start: int, end: int) -> Run:
    return Run(
        run.chars[start:end],
        run.origins[start : end + 1],
        tuple(index - start for index in run.starts if start <= index < end),
        tuple(index - start for index in run.ends if start < index <= end),
    )


@lru_cache(maxsize=32)
def text_quotes(text: str, max_chars: int) -> Mapping[str, tuple[Place, ...]]:
    """The quotes of a text; see :meth:`Source.quotes`."""
    quotes: dict[str, dict[Place, None]] = {}
    for run in text_runs(text):
        for start in run.starts:
            for end in run.ends:
                if start < end <= start + max_chars:
                    places = quotes.setdefault(run.chars[start:end], {})
                    places[run.place(start, end)] = None
    return {quote: tuple(places) for quote, places in quotes.items()}
