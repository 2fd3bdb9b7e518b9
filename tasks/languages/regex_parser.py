"""Reads regular expressions in ECMA 262 syntax, as JSON Schema has it, into terms.

    >>> from solver.tasks.languages.regex import matches
    >>> matches(search("b+"), "abc"), matches(fullmatch("b+"), "abc")
    (True, False)

Python's syntax is accepted where it means the same. Lookahead is a term like any other; lookbehind,
backreferences and word boundaries raise PatternError.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn

from solver.tasks.errors import SolverError
from solver.tasks.languages.code_points import (
    CLASSES,
    DOT,
    LAST,
    Ranges,
    general_category,
    inverse,
    is_single,
    single,
    union,
)
from solver.tasks.languages.regex import (
    ANY,
    AT_END,
    AT_START,
    EMPTY,
    EVERYTHING,
    Term,
    anchored,
    and_,
    concat,
    not_,
    or_,
    repeat,
    symbols,
)

MAX_DEPTH = 100  # nested groups


class PatternError(SolverError, ValueError):
    """A malformed pattern, or one that no automaton expresses (lookbehind, backreference, word boundary)."""


CONTROLS = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "0": 0}
QUANTIFIERS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
GROUP_PREFIX = re.compile(r"\((\?(?:[:=!]|<[=!]|P?<[^>]*>))?")
BRACES = re.compile(r"\{([0-9]+)(?:(,)([0-9]*))?\}")
PROPERTY = re.compile(r"\{([^}]*)\}")


@lru_cache(maxsize=4096)
def search(pattern: str) -> Term:
    """The subjects that contain a match of ``pattern``, as in JSON Schema.

    Raises:
        PatternError: if the pattern cannot be used; the message is one line.
    """
    return concat(EVERYTHING, RegexParser(pattern).alternatives(EVERYTHING, 0, last=True))


@lru_cache(maxsize=4096)
def fullmatch(pattern: str) -> Term:
    """The subjects that ``pattern`` matches from beginning to end.

    Raises:
        PatternError: if the pattern cannot be used; the message is one line.
    """
    term = RegexParser(pattern).alternatives(EMPTY, 0, last=True)
    # The pattern's own anchors may consume START and END; the second operand requires exactly one of each.
    inside = concat(repeat(AT_START, 0, 1), concat(term, repeat(AT_END, 0, 1)))
    return and_((inside, anchored(repeat(ANY, 0, None))))


@dataclass(frozen=True)
class Group:
    """A group whose inside is parsed later, when the term that follows it is known.

    Attributes:
        kind: "group", "ahead" (positive lookahead) or "not" (negative lookahead).
        start: index of the first character inside.
        end: index of its closing parenthesis.
        flat: whether it is outside of every repetition.
    """

    kind: str
    start: int
    end: int
    flat: bool


class RegexParser:
    """A recursive-descent parser. Methods take ``after``, what follows, because a lookahead constrains it."""

    def __init__(self, pattern: str) -> None:
        self.text, self.pos = pattern, 0
        self.flat = True  # outside of every repetition; inside, lookahead is not supported

    def fail(self, why: str) -> NoReturn:
        raise PatternError(f"the pattern {self.text[:80]!r} cannot be used: {why} at {self.pos}")

    def peek(self, count: int = 1) -> str:
        """The next ``count`` characters, fewer at the end."""
        return self.text[self.pos : self.pos + count]

    def take(self, token: str) -> bool:
        """Consume ``token`` if it comes next; return whether it did."""
        if self.text.startswith(token, self.pos):
            self.pos += len(token)
            return True
        return False

    def alternatives(self, after: Term, depth: int, last: bool = False) -> Term:
        """Parse sequences separated by ``|``. With ``last``, the pattern has to end after them."""
        if depth > MAX_DEPTH:
            self.fail("more than 100 groups in each other")
        terms = [self.sequence(after, depth)]
        while self.take("|"):
            terms.append(self.sequence(after, depth))
        if last and self.pos < len(self.text):
            self.fail("an unmatched )")
        return or_(terms)

    def sequence(self, after: Term, depth: int) -> Term:
        """Parse atoms up to ``|`` or ``)``, then join them from the last, so that each knows what follows."""
        atoms: list[Term | Group] = []
        while self.pos < len(self.text) and self.peek() not in "|)":
            atom = self.atom(depth)
            if atom is not None:
                atoms.append(atom)
        term = after
        for atom in reversed(atoms):
            term = concat(atom, term) if isinstance(atom, Term) else self.reparse(atom, term, depth)
        return term

    def reparse(self, group: Group, after: Term, depth: int) -> Term:
        """Parse the inside of ``group`` now that ``after`` is known, and return to the current position."""
        pos, flat = self.pos, self.flat
        self.pos, self.flat = group.start, group.flat
        if group.kind == "group":
            term = self.alternatives(after, depth + 1)
        else:
            # a lookahead may stand before ^, so START may come first
            ahead = concat(repeat(AT_START, 0, 1), self.alternatives(EVERYTHING, depth + 1))
            term = and_((not_(ahead) if group.kind == "not" else ahead, after))
        if self.pos != group.end:
            self.fail("an unmatched (")
        self.pos, self.flat = pos, flat
        return term

    def atom(self, depth: int) -> Term | Group | None:
        """Parse one atom with its quantifier; None for an optional anchor, which asserts nothing."""
        char = self.text[self.pos]
        if char == "(":
            return self.group(depth)
        self.pos += 1
        match char:
            case "^":
                return self.anchor("^", AT_START)
            case "$":
                return self.anchor("$", AT_END)
            case ".":
                return self.quantified(symbols(DOT))
            case "[":
                return self.quantified(symbols(self.bracket()))
            case "\\" if self.take("A"):  # \A and \Z are Python's; ECMA 262 has no such escapes
                return self.anchor("^", AT_START)
            case "\\" if self.take("Z"):
                return self.anchor("$", AT_END)
            case "\\":
                return self.quantified(symbols(self.escape(inside=False)))
            case "*" | "+" | "?":
                self.pos -= 1
                self.fail("nothing to repeat")
        return self.quantified(symbols(single(ord(char))))

    def anchor(self, char: str, term: Term) -> Term | None:
        """The anchor ``char``, of which repetitions are one; None if it is optional."""
        while self.take(char):
            pass
        if self.take("*") or self.take("?"):
            return None
        self.take("+")
        return term

    def group(self, depth: int) -> Term | Group | None:
        """Skip a group, which is parsed when its context is known; a repeated group is parsed now."""
        opening = self.pos
        prefix = GROUP_PREFIX.match(self.text, opening)
        assert prefix is not None
        self.pos = prefix.end()
        match prefix[1]:
            case "?<=" | "?<!":
                self.fail("a lookbehind")
            case None if self.take("?<") or self.take("?P<"):
                self.fail("a group's name without an end")
            case None if self.take("?"):
                self.fail("a kind of group that is not supported")
        kind = {"?=": "ahead", "?!": "not"}.get(prefix[1], "group")
        if kind != "group" and not self.flat:
            self.fail("a lookahead inside a repetition")
        start, flat = self.pos, self.flat
        self.skip_group(opening)
        quantifier = self.peek()
        if kind == "group" and quantifier and quantifier in "*+?{":
            after, self.pos, self.flat = self.pos, start, False
            inner = self.alternatives(EMPTY, depth + 1)
            self.pos, self.flat = after, flat
            return self.quantified(inner)
        if kind != "group" and quantifier and quantifier in "*+?":
            self.fail("a lookahead that is repeated")
        return Group(kind, start, self.pos - 1, flat)

    def skip_group(self, opening: int) -> None:
        """Move past the parenthesis that closes the group opened at ``opening``."""
        level, in_class = 1, False
        while self.pos < len(self.text):
            char = self.text[self.pos]
            self.pos += 2 if char == "\\" else 1
            if in_class:
                in_class = char != "]"
            elif char == "[":
                in_class = True
            elif char == "(":
                level += 1
            elif char == ")":
                level -= 1
                if level == 0:
                    return
        self.pos = opening
        self.fail("an unmatched (")

    def quantified(self, part: Term) -> Term:
        """``part`` with the quantifier that follows, if any."""
        bounds = QUANTIFIERS.get(self.peek())
        if bounds is not None:
            self.pos += 1
        elif self.peek() == "{":
            bounds = self.braces()
        if bounds is None:
            return part
        self.take("?")  # a lazy quantifier denotes the same strings
        if self.peek() in ("*", "+", "?"):
            self.fail("a repetition that is repeated")
        return repeat(part, *bounds)

    def braces(self) -> tuple[int, int | None] | None:
        """Parse ``{m}``, ``{m,}`` or ``{m,n}``; None if the brace is an ordinary character."""
        match = BRACES.match(self.text, self.pos)
        if match is None:
            return None
        low, comma, high = match.groups()
        if len(low) > 9 or len(high or "") > 9:
            self.fail("a count of more than nine digits")
        self.pos = match.end()
        least = int(low)
        most = (int(high) if high else None) if comma else least
        if most is not None and most < least:
            self.fail("counts the wrong way round")
        return least, most

    def bracket(self) -> Ranges:
        """Parse the rest of a character class."""
        negative = self.take("^")
        ranges: list[tuple[int, int]] = []
        while not self.take("]"):
            if self.pos >= len(self.text):
                self.fail("an unmatched [")
            low = self.member()
            if self.peek() == "-" and self.peek(2)[1:] not in ("]", "") and is_single(low):
                self.pos += 1
                high = self.member()
                if is_single(high):
                    if high[0][0] < low[0][0]:
                        self.fail("a range the wrong way round")
                    ranges.append((low[0][0], high[0][0]))
                    continue
                ranges += [(45, 45), *high]  # the - is an ordinary character before a class
            ranges += low
        return inverse(union(ranges)) if negative else union(ranges)

    def member(self) -> Ranges:
        """Parse one character or escape of a character class."""
        char = self.text[self.pos]
        self.pos += 1
        return self.escape(inside=True) if char == "\\" else single(ord(char))

    def escape(self, inside: bool) -> Ranges:
        """Parse what follows a backslash. ``inside``: of a character class."""
        char = self.peek()
        self.pos += 1
        if not char:
            self.fail("a \\ at the end")
        if char in CLASSES:
            return CLASSES[char]
        if char in CONTROLS and not (char == "0" and self.peek().isdigit()):
            return single(CONTROLS[char])
        if char in "pP":
            match = PROPERTY.match(self.text, self.pos)
            if match is None:
                self.fail("\\p without {}")
            self.pos = match.end()
            ranges = general_category(match[1])
            if not ranges:
                raise PatternError(
                    f"the property {match[1]} is not supported; general categories are (L, Lu, Nd, ...)"
                )
            return ranges if char == "p" else inverse(ranges)
        if char in "xu":
            return self.hexadecimal(2 if char == "x" else 4)
        if char == "c" and self.peek().isalpha():
            self.pos += 1
            return single(ord(self.text[self.pos - 1]) % 32)
        if char == "b" and inside:
            return single(8)
        if char.isdigit():
            self.fail("a backreference")
        if char in "bBkG":
            self.fail(f"\\{char}, which no automaton has,")
        return single(ord(char))

    def hexadecimal(self, digits: int) -> Ranges:
        """Parse the digits of ``\\x``, ``\\u`` or ``\\u{}``; a surrogate pair is one code point."""
        if digits == 4 and self.take("{"):
            end = self.text.find("}", self.pos)
            code, self.pos = self.text[self.pos : end], end + 1
        else:
            code = self.peek(digits).ljust(digits, "?")
            self.pos += digits
        try:
            value = int(code, 16)
            if 0xD800 <= value < 0xDC00 and self.peek(2) == "\\u":
                low = int(self.text[self.pos + 2 : self.pos + 6], 16)
                if 0xDC00 <= low < 0xE000:
                    self.pos += 6
                    value = 0x10000 + ((value - 0xD800) << 10) + (low - 0xDC00)
        except ValueError:
            self.fail("a \\x or \\u without its digits")
        if value > LAST:
            self.fail("a code point beyond Unicode")
        return single(value)
