"""Sets of code points as sorted, disjoint, inclusive ranges, and the character classes of ECMA 262.

>>> union([(97, 99), (100, 102), (48, 57)])
((48, 57), (97, 102))
>>> in_ranges(general_category("Lu"), ord("É"))
True
"""

from __future__ import annotations

import sys
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable
from functools import cache

Ranges = tuple[tuple[int, int], ...]
LAST = 0x10FFFF


def in_ranges(ranges: Ranges, symbol: int) -> bool:
    """Whether ``symbol`` is in one of the ranges."""
    index = bisect_right(ranges, (symbol, sys.maxsize)) - 1
    return index >= 0 and symbol <= ranges[index][1]


def union(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Ranges in any order, overlapping or not, as disjoint ascending ones."""
    disjoint: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if disjoint and low <= disjoint[-1][1] + 1:
            disjoint[-1] = (disjoint[-1][0], max(disjoint[-1][1], high))
        else:
            disjoint.append((low, high))
    return tuple(disjoint)


def inverse(ranges: Ranges) -> Ranges:
    """All code points that are not in ``ranges``."""
    gaps, start = [], 0
    for low, high in ranges:
        if low > start:
            gaps.append((start, low - 1))
        start = high + 1
    if start <= LAST:
        gaps.append((start, LAST))
    return tuple(gaps)


def single(code: int) -> Ranges:
    """One code point."""
    return ((code, code),)


def is_single(ranges: Ranges) -> bool:
    """Whether ``ranges`` holds exactly one code point."""
    return len(ranges) == 1 and ranges[0][0] == ranges[0][1]


DIGIT: Ranges = ((48, 57),)
WORD: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
SPACE: Ranges = union(
    (code, code)
    for code in (
        *range(9, 14),
        *map(ord, " \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff"),
        *range(0x2000, 0x200B),
    )
)
DOT: Ranges = inverse(((10, 10), (13, 13), (0x2028, 0x2029)))
CLASSES = {"d": DIGIT, "w": WORD, "s": SPACE, "D": inverse(DIGIT), "W": inverse(WORD), "S": inverse(SPACE)}
CATEGORIES = {
    "letter": "L", "alphabetic": "L", "lowercase_letter": "Ll", "uppercase_letter": "Lu", "number": "N",
    "decimal_number": "Nd", "digit": "Nd", "punctuation": "P", "mark": "M", "symbol": "S", "separator": "Z",
    "other": "C",
}  # fmt: skip


@cache
def general_category(name: str) -> Ranges:
    """The code points of a general category, by its short or long name; empty for any other property."""
    name = name.split("=", 1)[1] if name.lower().startswith(("general_category=", "gc=")) else name
    short = CATEGORIES.get(name.lower(), name)
    if len(short) > 2:
        return ()
    return union(
        (code, code) for code in range(LAST + 1) if unicodedata.category(chr(code)).startswith(short)
    )
