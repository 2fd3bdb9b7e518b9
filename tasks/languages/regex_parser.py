"""Patterns: regular expressions as people write them, read into terms (regex.py).

    search("^[a-z]+$")                    # the strings in which the pattern is found, ECMA 262 dialect

Python's syntax is accepted where it means the same. Lookahead is a term like others; lookbehind, backreferences and word
boundaries are refused.
"""

from __future__ import annotations

import unicodedata
from functools import cache, lru_cache
from typing import NoReturn

from solver.tasks.errors import SolverError
from solver.tasks.languages.regex import (
    ANY,
    END,
    EVERYTHING,
    LAST,
    NOTHING,
    START,
    Ranges,
    Term,
    both,
    chars,
    either,
    inverse,
    repeat,
    then,
    union,
    whole,
    without,
)

TOO_DEEP = 100  # groups in each other


class PatternError(SolverError, ValueError):
    """Not a pattern of this dialect, or one that no automaton can say (lookbehind, backreference, word boundary)."""


DIGIT: Ranges = ((48, 57),)
WORD: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
SPACE: Ranges = union(
    (code, code)
    for code in (
        *range(9, 14),
        32,
        0xA0,
        0x1680,
        *range(0x2000, 0x200B),
        0x2028,
        0x2029,
        0x202F,
        0x205F,
        0x3000,
        0xFEFF,
    )
)
DOT: Ranges = inverse(((10, 10), (13, 13), (0x2028, 0x2029)))
CLASSES = {"d": DIGIT, "w": WORD, "s": SPACE, "D": inverse(DIGIT), "W": inverse(WORD), "S": inverse(SPACE)}
CONTROLS = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "0": 0}
CATEGORIES = {"letter": "L", "alphabetic": "L", "lowercase_letter": "Ll", "uppercase_letter": "Lu", "number": "N"} | {
    "decimal_number": "Nd", "digit": "Nd", "punctuation": "P", "mark": "M", "symbol": "S", "separator": "Z", "other": "C"
}  # fmt: skip


@cache
def category(name: str) -> Ranges:
    """The code points of a general category, by its short or long name. Raises PatternError for other properties."""
    name = name.split("=", 1)[1] if name.lower().startswith(("general_category=", "gc=")) else name
    short = CATEGORIES.get(name.lower(), name)
    found = (
        union((c, c) for c in range(LAST + 1) if unicodedata.category(chr(c)).startswith(short))
        if len(short) < 3
        else ()
    )
    if not found:
        raise PatternError(f"the property {name} is not supported; general categories are (L, Lu, Nd, ...)")
    return found


# The parser


@lru_cache(maxsize=4096)
def search(pattern: str) -> Term:
    """The subjects in which ``pattern`` is found anywhere, as in JSON Schema. Raises PatternError, in one line."""
    return Parser(pattern).parse()


@lru_cache(maxsize=4096)
def fullmatch(pattern: str) -> Term:
    """The subjects that ``pattern`` matches from beginning to end. Raises PatternError, in one line."""
    return whole_of(Parser(pattern).alternatives(NOTHING, 0, last=True))


def whole_of(term: Term) -> Term:
    """``term``, whose own anchors may stand at its ends, as a whole subject."""
    start, end = chars(((START, START),)), chars(((END, END),))
    return both((then(repeat(start, 0, 1), then(term, repeat(end, 0, 1))), whole(repeat(ANY, 0, None))))


class Parser:
    """Recursive descent. Every method is given ``after``, the term for what follows, because a lookahead speaks about it."""

    def __init__(self, pattern: str) -> None:
        self.text, self.at = pattern, 0
        self.flat = True  # not inside a repetition, where no lookahead may stand

    def parse(self) -> Term:
        return then(EVERYTHING, self.alternatives(EVERYTHING, 0, last=True))

    def fail(self, why: str) -> NoReturn:
        raise PatternError(f"the pattern {self.text[:80]!r} cannot be used: {why} at {self.at}")

    def peek(self, many: int = 1) -> str:
        return self.text[self.at : self.at + many]

    def take(self, wanted: str) -> bool:
        if self.text.startswith(wanted, self.at):
            self.at += len(wanted)
            return True
        return False

    def alternatives(self, after: Term, depth: int, last: bool = False) -> Term:
        if depth > TOO_DEEP:
            self.fail("more than 100 groups in each other")
        found = [self.sequence(after, depth)]
        while self.take("|"):
            found.append(self.sequence(after, depth))
        if last and self.at < len(self.text):
            self.fail("an unmatched )")
        return either(found)

    def sequence(self, after: Term, depth: int) -> Term:
        """Atoms are read first and put together from the last, so that each knows what follows it."""
        atoms: list[Term | tuple[str, int, int, bool]] = []
        while self.at < len(self.text) and self.peek() not in "|)":
            atom = self.atom(depth)
            if atom is not None:
                atoms.append(atom)
        found = after
        for atom in reversed(atoms):
            if isinstance(atom, Term):
                found = then(atom, found)
                continue
            kind, begin_at, end_at, flat = atom  # a group, read again now that what follows is known
            kept, self.at, self.flat, outer = self.at, begin_at, flat, self.flat
            if kind == "group":
                found = self.alternatives(found, depth + 1)
            else:
                inner = then(
                    repeat(chars(((START, START),)), 0, 1), self.alternatives(EVERYTHING, depth + 1)
                )  # it may stand before ^
                found = both((without(inner) if kind == "not" else inner, found))
            if self.at != end_at:
                self.fail("an unmatched (")
            self.at, self.flat = kept, outer
        return found

    def atom(self, depth: int) -> Term | tuple[str, int, int, bool] | None:
        c = self.text[self.at]
        if c == "(":
            return self.group(depth)
        self.at += 1
        if c == "^":
            return self.anchor(START)
        if c == "$":
            return self.anchor(END)
        if c == ".":
            return self.quantified(chars(DOT))
        if c == "[":
            return self.quantified(chars(self.bracket()))
        if c == "\\":
            if self.peek() in ("A", "Z"):  # Python's; no escapes of ECMA's
                return self.anchor(START if self.text[self.at] == "A" else END, 1)
            return self.quantified(chars(self.escape(inside=False)))
        if c in "*+?":
            self.at -= 1
            self.fail("nothing to repeat")
        return self.quantified(chars(((ord(c), ord(c)),)))

    def anchor(self, symbol: int, skip: int = 0) -> Term | None:
        self.at += skip
        twin = "^" if symbol == START else "$"
        while self.take(twin):
            pass
        if self.peek() in ("*", "?"):  # an anchor that need not hold
            self.at += 1
            return None
        self.take("+")
        return chars(((symbol, symbol),))

    def group(self, depth: int) -> Term | tuple[str, int, int, bool] | None:
        start = self.at
        kind = "group"
        self.at += 1
        if self.take("?"):
            if self.take("="):
                kind = "ahead"
            elif self.take("!"):
                kind = "not"
            elif self.take("<=") or self.take("<!"):
                self.fail("a lookbehind")
            elif self.take("<") or self.take("P<"):
                end = self.text.find(">", self.at)
                if end < 0:
                    self.fail("a group's name without an end")
                self.at = end + 1
            elif not self.take(":"):
                self.fail("a kind of group that is not supported")
        if kind != "group" and not self.flat:
            self.fail("a lookahead inside a repetition")
        begin_at, outer = self.at, self.flat
        self.skip_group(start)
        end_at = self.at - 1  # where the ) stands
        if kind == "group" and self.peek() in ("*", "+", "?", "{") and self.peek():
            behind, self.at, self.flat = self.at, begin_at, False
            inner = self.alternatives(NOTHING, depth + 1)
            self.at, self.flat = behind, outer
            return self.quantified(inner)
        if kind != "group" and self.peek() in ("*", "+", "?"):
            self.fail("a lookahead that is repeated")
        return kind, begin_at, end_at, outer

    def skip_group(self, start: int) -> None:
        """Move behind the ) that closes the group whose inside begins here."""
        level, in_class = 1, False
        while self.at < len(self.text):
            c = self.text[self.at]
            self.at += 2 if c == "\\" else 1
            if in_class:
                in_class = c != "]"
            elif c == "[":
                in_class = True
            elif c == "(":
                level += 1
            elif c == ")":
                level -= 1
                if level == 0:
                    return
        self.at = start
        self.fail("an unmatched (")

    def quantified(self, part: Term) -> Term:
        bounds: tuple[int, int | None] | None = None
        if self.take("*"):
            bounds = (0, None)
        elif self.take("+"):
            bounds = (1, None)
        elif self.take("?"):
            bounds = (0, 1)
        elif self.peek() == "{":
            bounds = self.braces()
        if bounds is None:
            return part
        least, most = bounds
        self.take("?")  # lazy: the same strings
        if self.peek() in ("*", "+", "?"):
            self.fail("a repetition that is repeated")
        return repeat(part, least, most)

    def braces(self) -> tuple[int, int | None] | None:
        end = self.text.find("}", self.at)
        inside = self.text[self.at + 1 : end] if end > 0 else ""
        low, comma, high = inside.partition(",")
        if not (low.isascii() and low.isdigit() and (high == "" or (high.isascii() and high.isdigit()))):
            return None  # an ordinary {
        if len(low) > 9 or len(high) > 9:
            self.fail("a count of more than nine digits")
        self.at = end + 1
        least, most = int(low), (int(high) if high else None) if comma else int(low)
        if most is not None and most < least:
            self.fail("counts the wrong way round")
        return least, most

    def bracket(self) -> Ranges:
        negative = self.take("^")
        found: list[tuple[int, int]] = []
        while not self.take("]"):
            if self.at >= len(self.text):
                self.fail("an unmatched [")
            low = self.member()
            if (
                self.peek() == "-"
                and self.peek(2)[1:] not in ("]", "")
                and len(low) == 1
                and low[0][0] == low[0][1]
            ):
                self.at += 1
                high = self.member()
                if len(high) == 1 and high[0][0] == high[0][1]:
                    if high[0][0] < low[0][0]:
                        self.fail("a range the wrong way round")
                    found.append((low[0][0], high[0][0]))
                    continue
                found += [(45, 45), *high]
            found += low
        return inverse(union(found)) if negative else union(found)

    def member(self) -> Ranges:
        c = self.text[self.at]
        self.at += 1
        return self.escape(inside=True) if c == "\\" else ((ord(c), ord(c)),)

    def escape(self, inside: bool) -> Ranges:
        c = self.peek()
        self.at += 1
        if not c:
            self.fail("a \\ at the end")
        if c in CLASSES:
            return CLASSES[c]
        if c in CONTROLS and not (c == "0" and self.peek().isdigit()):
            return ((CONTROLS[c], CONTROLS[c]),)
        if c in "pP":
            end = self.text.find("}", self.at)
            if not self.take("{") or end < 0:
                self.fail("\\p without {}")
            name, self.at = self.text[self.at : end], end + 1
            return category(name) if c == "p" else inverse(category(name))
        if c in "xu":
            return self.hexadecimal(2 if c == "x" else 4)
        if c == "c" and self.peek().isalpha():
            self.at += 1
            code = ord(self.text[self.at - 1]) % 32
            return ((code, code),)
        if c == "b" and inside:
            return ((8, 8),)
        if c.isdigit():
            self.fail("a backreference")
        if c in "bBkG":
            self.fail(f"\\{c}, which no automaton has,")
        return ((ord(c), ord(c)),)

    def hexadecimal(self, digits: int) -> Ranges:
        if digits == 4 and self.take("{"):
            end = self.text.find("}", self.at)
            code, self.at = self.text[self.at : end], end + 1
        else:
            code = self.peek(digits).ljust(digits, "?")
            self.at += digits
        try:
            value = int(code, 16)
            if 0xD800 <= value < 0xDC00 and self.peek(2) == "\\u":  # two halves of one code point
                low = int(self.text[self.at + 2 : self.at + 6], 16)
                if 0xDC00 <= low < 0xE000:
                    self.at += 6
                    value = 0x10000 + ((value - 0xD800) << 10) + (low - 0xDC00)
        except ValueError:
            self.fail("a \\x or \\u without its digits")
        if value > LAST:
            self.fail("a code point beyond Unicode")
        return ((value, value),)
