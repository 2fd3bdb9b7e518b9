"""Words of a text as a reader sees them: their spans, and codes for spelling, spacing and place in the line.

>>> words = TextWords.of("Total: 1,250.00 EUR")
>>> words.strings
('Total', ':', '1', ',', '250', '.', '00', 'EUR')
>>> words.span_of(7, 15), words.text_of(2, 5)
((2, 5), '1,250.00')

A word is a run of letters, a run of digits, one ideograph or one other character. So the edges of numbers,
dates, addresses and quotes are edges of words.

Shapes: N words, C codes of a word, H hashes of a word.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from solver.tasks.task import Tokens

WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\d_\u3040-\u30ff\u3400-\u9fff]+|\d+|[^\w\s]|[^\W]")
NUMBER_END, NUMBER_START = re.compile(r"\d[.,]$"), re.compile(r"[.,]\d")
SYMBOLS = ".,:;!?-–—/\\()[]{}<>\"'“”‘’„«»|_*#@&%+=~^`$€£¥•·°"
CASES = 6  # lower, Capitalised, UPPER, one upper-case letter, mixed, without case
DIGIT_CLASSES = 9
SHAPES = CASES + DIGIT_CLASSES + len(SYMBOLS) + 1
GAPS = 6  # none, a space, several spaces or a tab, a line break, an empty line, an end of the text
PLACES = 8  # index in the line, the last for all later ones
LENGTHS = 8
CODES = (SHAPES, GAPS, GAPS, PLACES, LENGTHS)  # number of values of each code
HASHES, BUCKETS = 4, 8192
STEM = 4  # letters that two forms of a word have in common


@dataclass(frozen=True, eq=False)
class TextWords:
    """The words of a text.

    Attributes:
        text: the text.
        strings: the words as they are spelled.
        starts, ends: their spans in characters.
        codes: (N, C); see CODES.
        hashes: (N, H), buckets of the beginning, the endings and the pattern of the spelling.
        stems: (N,), equal for forms of a word; never 0.
    """

    text: str
    strings: tuple[str, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    codes: NDArray[np.int64]
    hashes: NDArray[np.int64]
    stems: NDArray[np.int64]

    @staticmethod
    def of(text: str) -> TextWords:
        matches = list(WORD.finditer(text))
        strings = tuple(match[0] for match in matches)
        starts = tuple(match.start() for match in matches)
        ends = tuple(match.end() for match in matches)
        gaps = [gap_class(text[end:start]) for end, start in zip(ends, starts[1:], strict=False)]
        gaps = [GAPS - 1, *gaps, GAPS - 1]
        codes, place = np.zeros((len(strings), len(CODES)), np.int64), 0
        for index, string in enumerate(strings):
            place = 0 if gaps[index] >= 3 else place + 1
            spelling = word_spelling(string)
            codes[index] = (
                spelling.shape,
                gaps[index],
                gaps[index + 1],
                min(place, PLACES - 1),
                spelling.length,
            )
        spellings = [word_spelling(string) for string in strings]
        hashes = np.array([spelling.hashes for spelling in spellings], np.int64).reshape(-1, HASHES)
        stems = np.array([spelling.stem for spelling in spellings], np.int64)
        return TextWords(text, strings, starts, ends, codes, hashes, stems)

    def __len__(self) -> int:
        return len(self.strings)

    def span_of(self, start: int, end: int) -> tuple[int, int] | None:
        """First word and number of words that the characters ``start`` to ``end`` touch; None for no word."""
        first, last = bisect_right(self.ends, start), bisect_left(self.starts, end)
        return (first, last - first) if last > first else None

    def text_of(self, first: int, length: int) -> str:
        """The text of some words."""
        return self.text[self.starts[first] : self.ends[first + length - 1]]

    def occurrences(self, first: int, length: int) -> list[int]:
        """The first words of all places with these words in any case; not inside a longer number."""
        lower = [string.lower() for string in self.strings]
        wanted = lower[first : first + length]
        candidates = (index for index, string in enumerate(lower) if string == wanted[0])
        matches = [index for index in candidates if lower[index : index + length] == wanted]
        return [index for index in matches if not self.cuts_number(index, length)]

    def cuts_number(self, first: int, length: int) -> bool:
        """Whether the words begin or end inside of a number such as 1,250.00."""
        before, after = max(0, first - 2), first + length
        return bool(
            (NUMBER_END.search(self.text_of(before, first - before)) if first else None)
            and self.strings[first].isdecimal()
            and self.starts[first] == self.ends[first - 1]
        ) or bool(
            after + 1 < len(self)
            and self.strings[after - 1].isdecimal()
            and NUMBER_START.match(self.text[self.ends[after - 1] :][:2])
        )


@dataclass(frozen=True)
class WordSpelling:
    """Codes of a word that do not depend on its neighbours."""

    shape: int
    length: int
    hashes: tuple[int, ...]
    stem: int


@lru_cache(maxsize=100_000)
def word_spelling(word: str) -> WordSpelling:
    lower = word.lower()
    # not the whole word: the names of the training data would be learned by heart
    keys = ("<" + lower[:3], lower[-3:] + ">", lower[-2:] + ">" + str(min(len(word), 9)), pattern_of(word))
    hashes = tuple(crc32(key.encode()) % BUCKETS for key in keys)
    return WordSpelling(shape_class(word), min(len(word), LENGTHS) - 1, hashes, word_stem(word))


def pattern_of(word: str) -> str:
    """The classes of the first characters of a word.

    >>> pattern_of("McLaren"), pattern_of("2024")
    ('AaAaaa', '0000')
    """
    classes = ("0" if char.isdecimal() else "A" if char.isupper() else "a" for char in word[:6])
    return "".join(classes)


def word_stem(word: str) -> int:
    """A number that forms of a word share: of the first letters; of a number, of all digits."""
    lower = word.lower()
    return crc32((lower if lower.isdigit() else lower[:STEM]).encode()) | 1


def shape_class(word: str) -> int:
    """0 to SHAPES - 1: the case of letters, the size of a number, or which symbol it is."""
    if word.isalpha():
        if word.lower() == word.upper():
            return 5
        if word.islower():
            return 0
        if len(word) == 1:
            return 3
        return 2 if word.isupper() else 1 if word[1:].islower() else 4
    if word.isdecimal():
        return CASES + digits_class(word)
    return CASES + DIGIT_CLASSES + SYMBOLS.find(word) + 1


def digits_class(word: str) -> int:
    """0 to DIGIT_CLASSES - 1, by what a number can mean: a month, a day, a minute, a year, ..."""
    if len(word) > 4:
        return 7 if len(word) < 7 else 8
    if len(word) == 4:
        return 6 if 1900 <= int(word) < 2100 else 5
    if len(word) == 3:
        return 4
    if word[0] == "0":
        return 0
    return 1 if int(word) <= 12 else 2 if int(word) <= 31 else 3


def gap_class(gap: str) -> int:
    """0 to GAPS - 2: what separates two words."""
    lines = gap.count("\n")
    if lines:
        return 3 if lines == 1 else 4
    return 0 if not gap else 1 if gap == " " else 2


def identifier_words(name: str) -> list[str]:
    """The words of a name in camelCase, snake_case or any other, in lower case.

    >>> identifier_words("billingAddress_line2"), identifier_words("IBANNumber")
    (['billing', 'address', 'line', '2'], ['iban', 'number'])
    """
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+", name)
    return [part.lower() for part in parts]


def content_stems(words: Sequence[str]) -> list[int]:
    """The stems of the words that carry meaning: long enough, and not among the most frequent."""
    frequent = {
        "with",
        "that",
        "this",
        "from",
        "have",
        "will",
        "which",
        "where",
        "when",
        "what",
        "text",
        "their",
    }
    return [word_stem(word) for word in words if len(word) >= STEM and word not in frequent]


def stem_matches(stems: Tokens, words: Tokens) -> NDArray[np.bool_]:
    """Whether each word (..., N) is among the stems (..., Q, K) of each query, (..., Q, N). 0 is no stem."""
    matches: NDArray[np.bool_] = (stems[..., :, :, None] == words[..., None, None, :]).any(-2)
    return matches
