"""Pieces of byte automata: strings from regular expressions, with UTF-8 and JSON's escapes.

    piece = text_fragment(begin(search("^a+$")), most=256, quoted=True)    # the rest of a JSON string, its closing quote included

A label is a set of bytes with a number, one table for the whole process: 0 to 255 are the single bytes, 256 is WHITE.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from solver.tasks.errors import SolverError
from solver.tasks.languages.regex import Ranges, Term, accepts, transitions

Ints = NDArray[np.int32]
MOST_STATES = 20_000  # of one fragment
MOST_WORK = 1_000_000  # terms looked at for one fragment: patterns can be exponential


class TooLargeError(SolverError, ValueError):
    """The automaton would have more states than anybody can use."""


WHITE = 256  # white space outside strings, which the language itself never writes: only cells that are pinned hold it
LABELS: list[int] = [1 << byte for byte in range(257)]  # as bitmasks
_NUMBERS: dict[int, int] = {mask: number for number, mask in enumerate(LABELS)}


def label(mask: int) -> int:
    """The number of a set of bytes, given as a bitmask."""
    number = _NUMBERS.get(mask)
    if number is None:
        number = _NUMBERS[mask] = len(LABELS)
        LABELS.append(mask)
    return number


def span(lo: int, hi: int) -> int:
    """The bytes lo to hi as a bitmask."""
    return (1 << (hi + 1)) - (1 << lo)


@dataclass(frozen=True, eq=False)
class Fragment:
    """E edges between ``states`` states; 0 is the first, and ``states`` stands for what follows the fragment.

    src, label, dst (E,).  ends: states from which what follows may begin without another byte.
    """

    states: int
    src: Ints
    label: Ints
    dst: Ints
    ends: tuple[int, ...]

    @cached_property
    def shortest(self) -> int:
        """Bytes of the shortest way through; -1 where there is none."""
        out: dict[int, list[int]] = {}
        for src, dst in zip(self.src.tolist(), self.dst.tolist(), strict=True):
            out.setdefault(src, []).append(dst)
        reached, layer, steps = {0}, {0}, 0
        while layer:
            if layer & set(self.ends) or self.states in layer:
                return steps
            layer = {dst for src in layer for dst in out.get(src, ())} - reached
            reached |= layer
            steps += 1
        return -1

    @cached_property
    def longest(self) -> int | None:
        """Bytes of the longest way through; None where there is no longest."""
        out: dict[int, list[int]] = {}
        for src, dst in zip(self.src.tolist(), self.dst.tolist(), strict=True):
            out.setdefault(src, []).append(dst)
        known: dict[int, int] = {self.states: 0}
        path: list[int] = [0]
        on_path = {0}
        while path:
            at = path[-1]
            missing = [dst for dst in out.get(at, ()) if dst not in known]
            if any(dst in on_path for dst in missing):
                return None
            if missing:
                path.append(missing[0])
                on_path.add(missing[0])
            else:
                known[at] = max((1 + known[dst] for dst in out.get(at, ())), default=0)
                on_path.discard(path.pop())
        return known[0]


Edges = Callable[[Hashable], Iterable[tuple[int, Hashable]]]
EXIT = "exit"


def explore(start: Hashable, edges: Edges, ends: Callable[[Hashable], bool], layers: int) -> Fragment:
    """The fragment of all states that are reached from ``start`` within ``layers`` steps and lead somewhere. ``edges`` gives
    (label, state) pairs, EXIT among the states. Raises TooLargeError."""
    numbers: dict[Hashable, int] = {start: 0}
    order: list[Hashable] = [start]
    triples: list[tuple[int, int, int]] = []
    layer = [start]
    for _ in range(layers):
        following = []
        for state in layer:
            for mark, target in edges(state):
                if target is EXIT:
                    triples.append((numbers[state], mark, -1))
                    continue
                number = numbers.get(target)
                if number is None:
                    number = numbers[target] = len(order)
                    order.append(target)
                    following.append(target)
                    if number >= MOST_STATES:
                        raise TooLargeError(f"an automaton of more than {MOST_STATES} states")
                triples.append((numbers[state], mark, number))
        layer = following
        if not layer:
            break
    final = [number for state, number in numbers.items() if ends(state)]
    return trim(len(order), triples, final)


def trim(states: int, triples: list[tuple[int, int, int]], final: list[int]) -> Fragment:
    """Without the states that lead nowhere; -1 as a target is the exit."""
    back: dict[int, list[int]] = {}
    for src, _, dst in triples:
        back.setdefault(dst, []).append(src)
    alive = {-1, *final}
    todo = list(alive)
    while todo:
        for src in back.get(todo.pop(), ()):
            if src not in alive:
                alive.add(src)
                todo.append(src)
    alive.add(0)
    kept = {old: new for new, old in enumerate(sorted(alive - {-1}))}
    kept[-1] = len(kept)
    lines = [(kept[s], m, kept[d]) for s, m, d in triples if s in alive and d in alive]
    columns = np.array(lines, np.int32).reshape(-1, 3)
    from_, marks, to = columns.T.copy()
    return Fragment(len(kept) - 1, from_, marks, to, tuple(kept[f] for f in final if f in kept))


# UTF-8

Items = tuple[tuple[int, int, int], ...]  # (low, high, slot): code points, and which target they lead to
LEADS = ((1, 0xC2, 0xDF, 0xC0, 0x80), (2, 0xE0, 0xEF, 0xE0, 0x800), (3, 0xF0, 0xF4, 0xF0, 0x10000))
SURROGATES = (0xD800, 0xDFFF)


def clip(items: Items, low: int, size: int) -> Items:
    """The part within [low, low + size), counted from ``low``."""
    high = low + size - 1
    return tuple(
        (max(lo, low) - low, min(hi, high) - low, slot) for lo, hi, slot in items if lo <= high and hi >= low
    )


@lru_cache(maxsize=4096)
def leads(items: Items) -> tuple[tuple[int, Items, int], ...]:
    """First bytes of the sequences for ``items``, all beyond ASCII: (bytes as a bitmask, the rest, how many bytes more)."""
    groups: dict[tuple[Items, int], int] = {}
    for more, first, last, base, least in LEADS:
        for byte in range(first, last + 1):
            low = (byte - base) << (6 * more)
            rest = clip(items, low, 1 << (6 * more))
            if low < least:  # the shortest form only
                rest = tuple((max(lo, least - low), hi, slot) for lo, hi, slot in rest if hi >= least - low)
            if rest:
                groups[rest, more] = groups.get((rest, more), 0) | 1 << byte
    return tuple((mask, rest, more) for (rest, more), mask in groups.items())


@lru_cache(maxsize=4096)
def continuations(items: Items, more: int) -> tuple[tuple[int, Items, int], ...]:
    """The next byte of ``more`` that are missing."""
    size = 1 << (6 * (more - 1))
    groups: dict[Items, int] = {}
    for k in range(64):
        rest = clip(items, k * size, size)
        if rest:
            groups[rest] = groups.get(rest, 0) | 1 << (0x80 + k)
    return tuple((mask, rest, more - 1) for rest, mask in groups.items())


SHORT = {8: "b", 9: "t", 10: "n", 12: "f", 13: "r", 34: '"', 92: "\\"}
HEX = "0123456789abcdef"
PLAIN = span(32, 127) & ~(1 << 34) & ~(1 << 92)


def without_surrogates(ranges: Ranges) -> list[tuple[int, int]]:
    low, high = SURROGATES
    found = []
    for lo, hi in ranges:
        if lo < low:
            found.append((lo, min(hi, low - 1)))
        if hi > high:
            found.append((max(lo, high + 1), hi))
    return found


@lru_cache(maxsize=1024)
def text_fragment(start: Term, most: int, quoted: bool) -> Fragment:
    """The texts of at most ``most`` code points that lead from the state ``start`` to an accepting one. ``quoted``: as JSON
    spells them, up to and with the closing quote; otherwise as they are, in UTF-8. Raises TooLargeError."""
    ends: dict[Term, bool] = {}
    work = 0

    def accepting(state: Term) -> bool:
        if state not in ends:
            ends[state] = accepts(state)
        return ends[state]

    def of_term(state: Term) -> list[tuple[int, Hashable]]:
        found: list[tuple[int, Hashable]] = []
        targets: list[Term] = []
        wide: list[tuple[int, int, int]] = []
        escaped: list[tuple[int, Term]] = []
        nonlocal work
        work += state.size * (1 + len(state.firsts))
        if work > MOST_WORK:
            raise TooLargeError("a pattern that takes too long to follow")
        for ranges, target in transitions(state):
            mask = 0
            for lo, hi in ranges:
                if lo < 128:
                    mask |= span(lo, min(hi, 127))
            if quoted:
                escaped += [(c, target) for c in (*range(32), 34, 92) if mask >> c & 1]
                mask &= PLAIN
            if mask:
                found.append((label(mask), target))
            if ranges[-1][1] >= 128:
                wide += [
                    (max(lo, 128), hi, len(targets)) for lo, hi in without_surrogates(ranges) if hi >= 128
                ]
                targets.append(target)
        for mask, rest, more in leads(tuple(sorted(wide))) if wide else ():
            found.append((label(mask), partial(rest, more, tuple(targets))))
        if escaped:
            found.append((92, ("escape", tuple(escaped))))
        if quoted and accepting(state):
            found.append((34, EXIT))
        return found

    def edges(state: Hashable) -> list[tuple[int, Hashable]]:
        if isinstance(state, Term):
            return of_term(state)
        assert isinstance(state, tuple)
        if state[0] == "escape":
            return escapes(state[1])
        if state[0] == "hex":
            return hexadecimal(state[1], state[2])
        rest, more, targets = state
        return [
            (label(mask), partial(left, left_more, targets))
            for mask, left, left_more in continuations(rest, more)
        ]

    return explore(start, edges, lambda s: not quoted and isinstance(s, Term) and accepting(s), 4 * most + 6)


def partial(rest: Items, more: int, targets: tuple[Term, ...]) -> Hashable:
    """A state inside a UTF-8 sequence, with its slots renumbered so that equal ones are equal; the target where it ends."""
    slots = sorted({slot for *_, slot in rest})
    kept = tuple(targets[slot] for slot in slots)
    if more == 0:
        return kept[0]
    return tuple((lo, hi, slots.index(slot)) for lo, hi, slot in rest), more, kept


def escapes(pairs: tuple[tuple[int, Term], ...]) -> list[tuple[int, Hashable]]:
    """What follows a backslash: the short escapes, and \\u00xx for the other controls, as Python's json spells them."""
    found: list[tuple[int, Hashable]] = [(ord(SHORT[c]), target) for c, target in pairs if c in SHORT]
    rest = tuple((c, target) for c, target in pairs if c not in SHORT)
    return [*found, (ord("u"), ("hex", "", rest))] if rest else found


def hexadecimal(so_far: str, pairs: tuple[tuple[int, Term], ...]) -> list[tuple[int, Hashable]]:
    """The next digit of \\u00xx."""
    found: dict[str, list[tuple[int, Term]]] = {}
    for c, target in pairs:
        found.setdefault(f"{c:04x}"[len(so_far)], []).append((c, target))
    if len(so_far) == 3:
        return [(ord(digit), here[0][1]) for digit, here in found.items()]
    return [(ord(digit), ("hex", so_far + digit, tuple(here))) for digit, here in found.items()]


@lru_cache(maxsize=4096)
def spelled(texts: tuple[bytes, ...]) -> Fragment:
    """Exactly these texts, sharing their beginnings."""
    return explore(texts, _heads, lambda texts: b"" in texts, max(map(len, texts), default=0) + 1)  # type: ignore[operator]


def _heads(texts: Hashable) -> list[tuple[int, Hashable]]:
    found: dict[int, list[bytes]] = {}
    for text in texts:  # type: ignore[attr-defined]
        if text:
            found.setdefault(text[0], []).append(text[1:])
    return [(byte, tuple(rest)) for byte, rest in found.items()]
