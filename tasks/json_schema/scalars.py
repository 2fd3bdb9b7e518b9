"""Formulas about strings and numbers as regular languages.

>>> from solver.tasks.json_schema.formula import and_, leaf, not_
>>> from solver.tasks.languages.regex_parser import search
>>> term = string_term(and_([leaf("text", search("^a")), not_(leaf("text", search("z$")))]), max_bytes=64)
>>> regex.matches(term, "ab"), regex.matches(term, "az")
(True, False)
>>> formula = and_([leaf("multiple", Decimal(5)), leaf("compare", ">=", Decimal(10))])
>>> number_automaton(formula, max_bytes=40).min_length
2

A string's formula becomes a regular expression. Each assertion about a number follows its digits with a small
state (a :class:`Follower`); at the end of the number each is true or false, and the formula decides.
Exponents are written as Python does: one digit before the point, e-05 and below, e+16 and above.
"""

import json
from collections.abc import Hashable
from decimal import Decimal
from functools import lru_cache
from typing import Any, Protocol

from solver.tasks.json_schema.formula import MAYBE, NO, YES, Formula, leaves, rewrite
from solver.tasks.languages import regex
from solver.tasks.languages.byte_automaton import ByteAutomaton, explore, label

MAX_REMAINDERS = 5000  # of a multiple; with more, the validator decides
SMALL, LARGE = Decimal("1e-4"), Decimal("1e16")  # numbers below or from there are written with an exponent
State = Any  # of a follower: an immutable value of its own


class Follower(Protocol):
    """An assertion that follows the digits of a number, sign and exponent apart."""

    start: Hashable

    def digit(self, state: State, digit: int) -> Hashable:
        """The state after one more digit."""

    def point(self, state: State) -> Hashable:
        """The state after the decimal point."""

    def exponent(self, small: bool, is_integer: bool) -> Hashable | None:
        """The state after "e-" (``small``) or "e+", which replaces all digits.

        None if some of the numbers satisfy the assertion and others do not: then no exponent is written.
        ``is_integer``: there was no decimal point.
        """

    def holds(self, state: State, negative: bool) -> bool:
        """Whether the number that ends here satisfies the assertion."""


class Comparison:
    """Compares a number with a bound.

    States are (phase, count, order). The order is of the digits so far against those of the bound: -1, 0 or
    1. The count is of digits in the phase "before" or "after" the point; in the phase "known" the order is
    final.
    """

    start: Hashable = ("before", 0, 0)

    def __init__(self, bound: Decimal, operator: str = "=") -> None:
        sign, digits, exponent = bound.as_tuple()
        assert isinstance(exponent, int)
        self.operator, self.bound, self.is_negative = operator, bound, bool(sign) and bound != 0
        places = max(0, -exponent)
        text = ("".join(map(str, digits)) + "0" * max(0, exponent)).rjust(places + 1, "0")
        split = len(text) - places
        self.integer = tuple(map(int, text[:split].lstrip("0")))
        self.fraction = tuple(map(int, text[split:].rstrip("0")))

    def digit(self, state: State, digit: int) -> Hashable:
        phase, count, order = state
        if phase == "before" and (count or digit):  # leading zeros do not count
            if order == 0 and count < len(self.integer):
                order = sign_of(digit - self.integer[count])
            return ("known", 0, 1) if count == len(self.integer) else ("before", count + 1, order)
        if phase == "after" and order == 0:
            order = sign_of(digit - (self.fraction[count] if count < len(self.fraction) else 0))
            return ("after", 0 if order else min(count + 1, len(self.fraction)), order)
        return state  # type: ignore[no-any-return]  # states are opaque

    def point(self, state: State) -> State:
        phase, count, order = state
        return ("after", 0, -1 if phase == "before" and count < len(self.integer) else order)

    def exponent(self, small: bool, is_integer: bool) -> Hashable | None:
        size = abs(self.bound)
        if small and size != 0:
            return ("known", 0, -1) if size >= SMALL else None
        return ("known", 0, 1) if small or size < LARGE else None

    def order(self, state: State, negative: bool) -> int:
        """-1, 0 or 1: the number against the bound."""
        order: int
        phase, count, order = self.point(state) if state[0] == "before" else state
        if phase == "after" and order == 0 and count < len(self.fraction):
            order = -1
        if negative != self.is_negative and self.bound != 0:
            return 1 if self.is_negative else -1
        return -order if negative else order

    def holds(self, state: State, negative: bool) -> bool:
        order = self.order(state, negative)
        return {"=": order == 0, ">=": order >= 0, ">": order > 0, "<=": order <= 0, "<": order < 0}[
            self.operator
        ]


class Multiple:
    """Whether a number is a multiple of another.

    States are (remainder, decimal places or -1 before the point, whether a digit beyond the divisor's places
    is not 0).
    """

    start: Hashable = (0, -1, False)

    def __init__(self, divisor: Decimal) -> None:
        exponent = divisor.as_tuple().exponent
        assert isinstance(exponent, int)
        self.divisor, self.places = divisor, max(0, -exponent)
        self.scaled = int(divisor.scaleb(self.places))  # as an integer number of its last places

    def digit(self, state: State, digit: int) -> Hashable:
        remainder, places, failed = state
        if places >= self.places:
            return (remainder, places, failed or digit != 0)
        return ((remainder * 10 + digit) % self.scaled, places + 1 if places >= 0 else -1, failed)

    def point(self, state: State) -> Hashable:
        remainder, _, failed = state
        return (remainder, 0, failed)

    def exponent(self, small: bool, is_integer: bool) -> Hashable | None:
        if small:
            return (0, self.places, True) if self.divisor >= SMALL else None
        is_multiple = is_integer and int(LARGE.scaleb(self.places)) % self.scaled == 0
        return (0, self.places, False) if is_multiple else None

    def holds(self, state: State, negative: bool) -> bool:
        remainder, places, failed = state
        missing = self.places - max(0, places)
        return not failed and remainder * 10**missing % self.scaled == 0


class Membership:
    """Whether a number is one of several.

    A state has those that it may still become, each with its comparison's state.
    """

    def __init__(self, numbers: frozenset[Decimal]) -> None:
        self.comparisons = {number: Comparison(number) for number in numbers}
        self.start: Hashable = frozenset((number, Comparison.start) for number in numbers)

    def digit(self, state: State, digit: int) -> Hashable:
        return self._candidates(
            (number, self.comparisons[number].digit(part, digit)) for number, part in state
        )

    def point(self, state: State) -> Hashable:
        return self._candidates((number, self.comparisons[number].point(part)) for number, part in state)

    def _candidates(self, parts: Any) -> Hashable:
        """Without the numbers whose order is final: it is not 0."""
        return frozenset(
            (number, (phase, count, order))
            for number, (phase, count, order) in parts
            if phase == "before" or (phase == "after" and order == 0)
        )

    def exponent(self, small: bool, is_integer: bool) -> Hashable | None:
        sizes = [abs(number) for number in self.comparisons if number]
        return None if any(size < SMALL if small else size >= LARGE for size in sizes) else frozenset()

    def holds(self, state: State, negative: bool) -> bool:
        return any(self.comparisons[number].holds(part, negative) for number, part in state)


def sign_of(difference: int) -> int:
    """-1, 0 or 1."""
    return (difference > 0) - (difference < 0)


def follower_of(assertion: Formula) -> Follower:
    """The follower of a leaf about numbers."""
    match assertion.parts:
        case ("compare", operator, bound):
            return Comparison(bound, operator)
        case ("multiple", divisor):
            return Multiple(divisor)
        case ("among", numbers):
            return Membership(numbers)
    raise AssertionError(f"not about numbers: {assertion}")


# Lexical states of an exponent, and the state that follows each digit. The numbers are -05 to -323 and +16 to
# +308: beyond, a double is 0 or infinite. States with a capital E end a number.
EXPONENT_DIGITS = {
    "e-": {0: "e-0", 1: "e1", 2: "e1", **dict.fromkeys(range(3, 10), "e3")},
    "e-0": dict.fromkeys(range(5, 10), "E"),
    "e1": dict.fromkeys(range(10), "E2"),
    "e3": dict.fromkeys(range(10), "E"),
    "E2": dict.fromkeys(range(10), "E"),
    "e+": {1: "e+1", 2: "e+2", 3: "e+3", **dict.fromkeys(range(4, 10), "e+4")},
    "e+1": {**dict.fromkeys(range(6), "e+1x"), **dict.fromkeys(range(6, 10), "E2")},
    "e+1x": dict.fromkeys(range(10), "E"),
    "e+2": dict.fromkeys(range(10), "E2"),
    "e+3": {0: "E3", **dict.fromkeys(range(1, 10), "E")},
    "E3": dict.fromkeys(range(9), "E"),
    "e+4": dict.fromkeys(range(10), "E"),
}
# "first": one digit that is not 0; "first point" and "first fraction": what follows it. Only these take an
# exponent.
NEXT_DIGIT = {"first": "integer", "point": "fraction", "first point": "first fraction"}
FINAL = {"zero", "integer", "first", "fraction", "first fraction", "E", "E2", "E3"}


@lru_cache(maxsize=1024)
def number_automaton(formula: Formula, max_bytes: int) -> ByteAutomaton:
    """The numbers of at most ``max_bytes`` bytes for which a formula about numbers is not NO.

    Raises:
        TooLargeError: it has too many states.
    """
    formula = rewrite(formula, decline_large_multiple)
    assertions = leaves(formula)
    followers = [follower_of(assertion) for assertion in assertions]
    verdicts: dict[Hashable, bool] = {}

    # A state is (lexical state, sign, states of the followers) and in "e" also whether there was no decimal
    # point.
    def is_final(state: Any) -> bool:
        lexical, negative, parts = state[:3]
        if lexical not in FINAL:
            return False
        key = negative, parts
        if key not in verdicts:
            values = {
                assertion: YES if follower.holds(part, negative) else NO
                for assertion, follower, part in zip(assertions, followers, parts, strict=True)
            }
            verdicts[key] = rewrite(formula, values.__getitem__) is not NO
        return verdicts[key]

    def advance(parts: tuple[Any, ...], digit: int | None) -> tuple[Any, ...]:
        pairs = zip(followers, parts, strict=True)
        return tuple(
            follower.point(part) if digit is None else follower.digit(part, digit) for follower, part in pairs
        )

    def edges(state: Any) -> list[tuple[int, Hashable]]:
        lexical, negative, parts = state[:3]
        bytes_to: dict[Hashable, int] = {}

        def add(byte: int, target: Hashable) -> None:
            bytes_to[target] = bytes_to.get(target, 0) | 1 << byte

        if lexical == "start":
            add(ord("-"), ("minus", True, parts))
        if lexical == "e":
            for sign, small in (("-", True), ("+", False)):
                after = tuple(follower.exponent(small, state[3]) for follower in followers)
                if None not in after:
                    add(ord(sign), ("e" + sign, negative, after))
        elif lexical in EXPONENT_DIGITS:
            for digit, following in EXPONENT_DIGITS[lexical].items():
                add(ord("0") + digit, (following, negative, parts))
        elif lexical not in ("zero", "E"):
            for digit in range(10):
                following = NEXT_DIGIT.get(lexical, lexical)
                if lexical in ("start", "minus"):
                    following = "first" if digit else "zero"
                add(ord("0") + digit, (following, negative, advance(parts, digit)))
        if lexical in ("zero", "first", "integer"):
            point = "first point" if lexical == "first" else "point"
            add(ord("."), (point, negative, advance(parts, None)))
        if lexical in ("first", "first fraction"):
            add(ord("e"), ("e", negative, parts, lexical == "first"))
        return [(label(mask), target) for target, mask in bytes_to.items()]

    start = ("start", False, tuple(follower.start for follower in followers))
    return explore(start, edges, is_final, max_bytes)


def decline_large_multiple(assertion: Formula) -> Formula:
    """MAYBE for a multiple with too many remainders."""
    match assertion.parts:
        case ("multiple", divisor) if Multiple(divisor).scaled > MAX_REMAINDERS:
            return MAYBE
    return assertion


ALL_TEXT = regex.anchored(regex.repeat(regex.ANY, 0, None))


def json_string(text: str) -> bytes:
    """Write a string as canonical JSON: UTF-8, escapes only where they are needed, the short ones first."""
    return json.dumps(text, ensure_ascii=False).encode()


def string_term(formula: Formula, max_bytes: int, maybe: bool = True) -> regex.Term:
    """Return the strings that satisfy a formula.

    Args:
        formula: a formula whose leaves are about strings.
        max_bytes: longest text of interest. Strings beyond it may be treated either way.
        maybe: the truth value of MAYBE.
    """
    match formula.op, formula.parts:
        case "leaf", (_, term):
            return clip_repeats(term, max_bytes)
        case "not", (part,):
            return regex.and_((ALL_TEXT, ~string_term(part, max_bytes, not maybe)))
        case "and", parts:
            return regex.and_(string_term(part, max_bytes, maybe) for part in parts)
        case "or", parts:
            return regex.or_(string_term(part, max_bytes, maybe) for part in parts)
        case "one", parts:
            true = [string_term(part, max_bytes, maybe) for part in parts]
            false = [~string_term(part, max_bytes, not maybe) for part in parts]
            return regex.or_(
                regex.and_([term, *false[:index], *false[index + 1 :]]) for index, term in enumerate(true)
            )
    return ALL_TEXT if formula is YES or (formula is MAYBE and maybe) else regex.NEVER


def clip_repeats(term: regex.Term, max_bytes: int) -> regex.Term:
    """Drop upper bounds of repetitions that a text of ``max_bytes`` bytes cannot reach, to save states."""
    match term:
        case regex.Repeat(part, low, high):
            return regex.repeat(part, low, None if high is not None and high >= max_bytes else high)
        case regex.Concat(first, rest):
            return regex.concat(clip_repeats(first, max_bytes), clip_repeats(rest, max_bytes))
    return term
