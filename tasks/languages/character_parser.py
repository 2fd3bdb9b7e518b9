r"""Reads the characters of a pattern: classes and escapes.

>>> from solver.tasks.languages.validator_sets import ECMA
>>> CharacterParser(r"a-c\x41]", ECMA).bracket()
((65, 65), (97, 99))
>>> CharacterParser("cJ", ECMA).escape(inside=False)
((10, 10),)
"""

import re
from typing import NoReturn

from solver.tasks.errors import SolverError
from solver.tasks.languages.code_points import LAST, Ranges, inverse, is_single, single, union
from solver.tasks.languages.validator_sets import Dialect, is_accepted, matched_by, without_case

CONTROLS = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "0": 0}
PROPERTY = re.compile(r"\{[^}]*\}|[A-Za-z]")
OPERATIONS = ("&&", "--", "~~", "-[")  # of the validator's engine, and what it reads unlike anyone else
HEXADECIMAL = {"x": 2, "u": 4, "U": 8}


class PatternError(SolverError, ValueError):
    """A malformed pattern, or one that no automaton expresses."""


def refuse(pattern: str, why: str) -> NoReturn:
    """Raise PatternError."""
    raise PatternError(f"the pattern {pattern[:80]!r} cannot be used: {why}")


class CharacterParser:
    """A position in a pattern, and what reads one character or class from there.

    Args:
        pattern: the pattern.
        dialect: what its escapes mean.
    """

    def __init__(self, pattern: str, dialect: Dialect) -> None:
        self.text, self.pos, self.dialect = pattern, 0, dialect
        self.ignores_case = False

    def fail(self, why: str) -> NoReturn:
        refuse(self.text, f"{why} at {self.pos}")

    def peek(self, count: int = 1) -> str:
        """The next ``count`` characters, fewer at the end."""
        return self.text[self.pos : self.pos + count]

    def take(self, token: str) -> bool:
        """Consume ``token`` if it comes next; return whether it did."""
        if self.text.startswith(token, self.pos):
            self.pos += len(token)
            return True
        return False

    def bracket(self) -> Ranges:
        """Parse the rest of a character class.

        Where ECMA 262 has an empty class, ``[]`` or ``[^]``, the validator's engine has the beginning of a class
        with ``]``. It goes on up to the next ``]`` outside of what ECMA 262 takes for a class, and contains those.
        """
        negative = self.take("^")
        ranges: list[tuple[int, int]] = []
        nests = self.peek() == "]" and is_accepted(self.text)
        no_range = ("-", "-]", *(OPERATIONS if nests else ()))
        if nests:
            self.pos += 1
            ranges.append((ord("]"), ord("]")))
        while not self.take("]"):
            if self.pos >= len(self.text):
                self.fail("an unmatched [")
            if nests and self.peek(2) in OPERATIONS:
                self.fail("an operation on character classes")
            if nests and self.take("["):
                ranges += self.bracket()
                continue
            low = self.member()
            if self.peek() == "-" and self.peek(2) not in no_range and is_single(low):
                self.pos += 1
                high = self.member()
                if is_single(high):
                    if high[0][0] < low[0][0]:
                        self.fail("a range the wrong way round")
                    ranges.append((low[0][0], high[0][0]))
                    continue
                ranges += [(45, 45), *high]  # the - is an ordinary character before a class
            ranges += low
        members = self.cased(union(ranges))
        return inverse(members) if negative else members

    def cased(self, ranges: Ranges) -> Ranges:
        """``ranges``, with both cases of every letter where case is ignored."""
        return without_case(ranges) if self.ignores_case else ranges

    def member(self) -> Ranges:
        """Parse one character or escape of a character class."""
        before, char = self.text[self.pos - 1], self.text[self.pos]
        self.pos += 1
        if char != "\\":
            return single(ord(char))
        members = self.escape(inside=True)
        is_in_doubt = before == "-" or not is_single(members)
        if is_in_doubt and self.peek(2) == "--" and self.peek(3) != "--]":
            self.fail("hyphens that engines read in several ways")
        return members

    def escape(self, inside: bool) -> Ranges:
        """Parse what follows a backslash. ``inside``: of a character class."""
        char = self.peek()
        self.pos += 1
        if not char:
            self.fail("a \\ at the end")
        if char in "dwsDWS":
            members = self.cased(self.dialect.classes[char.lower()])
            return inverse(members) if char.isupper() else members
        if self.dialect.is_raw and char.isalpha() and char.isascii() and char not in "tnvfrpPxuUb":
            self.fail(f"\\{char}, which is not supported,")
        if char in CONTROLS and not (char == "0" and self.peek().isdigit()):
            return single(CONTROLS[char])
        if char in "pP":
            return self.unicode_property("\\" + char)
        if char in HEXADECIMAL:
            return self.hexadecimal(char)
        if char == "c" and self.peek().isalpha():
            self.pos += 1
            return single(ord(self.text[self.pos - 1]) % 32)
        if char == "b" and inside:
            return single(8)
        if char.isdigit():
            self.fail("a backreference")
        if char in "BkG":
            self.fail(f"\\{char}, which no automaton has,")
        return single(ord(char)) if inside else self.cased(single(ord(char)))

    def unicode_property(self, escape: str) -> Ranges:
        """Parse the name of a property after ``\\p`` or ``\\P``."""
        name = PROPERTY.match(self.text, self.pos)
        if name is None:
            self.fail("\\p without {}")
        self.pos = name.end()
        ranges = matched_by(escape + name[0])
        return self.cased(ranges) if ranges else self.fail(f"the property {name[0]}, which is unknown,")

    def hexadecimal(self, kind: str) -> Ranges:
        """Parse the digits after ``\\x``, ``\\u`` or ``\\U``. A surrogate pair is one code point."""
        digits = HEXADECIMAL[kind]
        if self.take("{"):
            end = self.text.find("}", self.pos)
            code, self.pos = self.text[self.pos : end], end + 1
        else:
            code = self.peek(digits).ljust(digits, "?")
            self.pos += digits
        try:
            value = int(code, 16)
            if kind == "u" and 0xD800 <= value < 0xDC00 and self.peek(2) == "\\u":
                low = int(self.text[self.pos + 2 : self.pos + 6], 16)
                if 0xDC00 <= low < 0xE000:
                    self.pos += 6
                    value = 0x10000 + ((value - 0xD800) << 10) + (low - 0xDC00)
        except ValueError:
            self.fail("a \\x or \\u without its digits")
        if value > LAST:
            self.fail("a code point beyond Unicode")
        return single(value)
