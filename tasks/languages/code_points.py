"""Sets of code points as sorted, disjoint, inclusive ranges: the classes of ECMA 262, and their UTF-8.

>>> union([(97, 99), (100, 102), (48, 57)])
((48, 57), (97, 102))
>>> in_ranges(inverse(DIGIT), ord("é"))
True
>>> [(mask == 1 << 0xC3, more) for mask, _, more in lead_bytes(((0xE9, 0xE9, 0),))]    # é is C3 A9
[(True, 1)]

UTF-8 is given as transitions from sets of code points to sets of next bytes. A set of bytes is a bitmask:
bit b stands for byte b. The code points are ``Items``, each range with the index of the target to which it
leads.
"""

import sys
from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise

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


def inverse(ranges: Ranges, last: int = LAST) -> Ranges:
    """All symbols up to ``last`` that are not in ``ranges``."""
    starts, ends = [0, *(high + 1 for _, high in ranges)], [*(low - 1 for low, _ in ranges), last]
    return tuple((start, end) for start, end in zip(starts, ends, strict=True) if start <= end)


def intersection(first: Ranges, second: Ranges) -> Ranges:
    """The code points that are in both."""
    return inverse(union((*inverse(first), *inverse(second))))


@lru_cache(maxsize=256)
def divide(sets: frozenset[Ranges]) -> tuple[Ranges, ...]:
    """Divide the code points into classes whose members are in the same sets.

    >>> divide(frozenset([((0, 9),), ((5, 5),)]))
    (((0, 4), (6, 9)), ((5, 5),), ((10, 1114111),))
    """
    distinct = list(sets)
    bounds = {bound for ranges in distinct for low, high in ranges for bound in (low, high + 1)}
    edges = sorted({0, LAST + 1, *(bound for bound in bounds if bound <= LAST)})
    groups: dict[tuple[bool, ...], list[tuple[int, int]]] = {}
    for low, high in pairwise(edges):
        groups.setdefault(tuple(in_ranges(ranges, low) for ranges in distinct), []).append((low, high - 1))
    return tuple(union(group) for group in groups.values())


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

Items = tuple[tuple[int, int, int], ...]  # (low, high, target index); code points, or what remains of them
Step = tuple[int, Items, int]  # bytes as a bitmask, the remaining items, the number of further bytes

# Number of further bytes, first and last lead byte, its constant bits, smallest code point of this length.
LEADS = ((1, 0xC2, 0xDF, 0xC0, 0x80), (2, 0xE0, 0xEF, 0xE0, 0x800), (3, 0xF0, 0xF4, 0xF0, 0x10000))
SURROGATES = (0xD800, 0xDFFF)


def byte_range(low: int, high: int) -> int:
    """The bytes from ``low`` to ``high`` as a bitmask."""
    return (1 << (high + 1)) - (1 << low)


def clip(items: Items, start: int, size: int) -> Items:
    """The part of ``items`` within [start, start + size), relative to ``start``."""
    end = start + size - 1
    return tuple(
        (max(low, start) - start, min(high, end) - start, index)
        for low, high, index in items
        if low <= end and high >= start
    )


@lru_cache(maxsize=4096)
def lead_bytes(items: Items) -> tuple[Step, ...]:
    """The first bytes of the sequences for ``items``, all of which lie beyond ASCII."""
    groups: dict[tuple[Items, int], int] = {}
    for more, first, last, base, smallest in LEADS:
        for byte in range(first, last + 1):
            start = (byte - base) << (6 * more)
            rest = clip(items, start, 1 << (6 * more))
            if start < smallest:  # overlong encodings are invalid
                floor = smallest - start
                rest = tuple((max(low, floor), high, index) for low, high, index in rest if high >= floor)
            if rest:
                groups[rest, more] = groups.get((rest, more), 0) | 1 << byte
    return tuple((mask, rest, more) for (rest, more), mask in groups.items())


@lru_cache(maxsize=4096)
def continuation_bytes(items: Items, more: int) -> tuple[Step, ...]:
    """The next byte, when ``more`` bytes of the sequence are missing."""
    size = 1 << (6 * (more - 1))
    groups: dict[Items, int] = {}
    for k in range(64):
        rest = clip(items, k * size, size)
        if rest:
            groups[rest] = groups.get(rest, 0) | 1 << (0x80 + k)
    return tuple((mask, rest, more - 1) for rest, mask in groups.items())


def remove_surrogates(ranges: tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
    """``ranges`` without the surrogate code points, which UTF-8 cannot encode."""
    first, last = SURROGATES
    pairs = (((low, min(high, first - 1)), (max(low, last + 1), high)) for low, high in ranges)
    return [(low, high) for pair in pairs for low, high in pair if low <= high]
