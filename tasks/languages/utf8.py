"""UTF-8 as transitions: from sets of code points to sets of next bytes.

    >>> [(mask == 1 << 0xC3, more) for mask, _, more in lead_bytes(((0xE9, 0xE9, 0),))]    # é is C3 A9
    [(True, 1)]

A set of bytes is a bitmask: bit b stands for byte b. Code points are given as ``Items``, each range with
the index of the target to which it leads.
"""

from __future__ import annotations

from functools import lru_cache

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
    kept = []
    for low, high in ranges:
        if low < first:
            kept.append((low, min(high, first - 1)))
        if high > last:
            kept.append((max(low, last + 1), high))
    return kept
