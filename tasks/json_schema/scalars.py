"""Assertions about numbers as followers of their digits.

>>> comparison = Comparison(Decimal("1e-300"), "<=", lambda exponent: True)
>>> after_two = comparison.digit(comparison.start, 2)
>>> comparison.holds(after_two, negative=False), comparison.scaled(after_two, False, -301, is_integer=True)
(False, True)

Each assertion about a number follows its digits with a small state (a :class:`Follower`); numbers.py combines
them.
"""

from collections.abc import Callable, Hashable
from decimal import Decimal
from functools import lru_cache
from math import gcd
from typing import Any, Protocol

from solver.tasks.json_schema.formula import Formula

MAX_REMAINDERS = 5000  # of a multiple; with more, the validator decides
State = Any  # of a follower: an immutable value of its own
HasExponent = Callable[[int], bool]


class Follower(Protocol):
    """An assertion that follows the digits of a number, sign and exponent apart.

    Attributes:
        start: the state before the first digit.
        changes: the exponents whose verdict may differ from that of the exponent before.
        max_digits: digits after which, or so, every verdict has occurred.
    """

    start: Hashable
    changes: tuple[int, ...]
    max_digits: int

    def digit(self, state: State, digit: int) -> Hashable:
        """The state after one more digit."""

    def point(self, state: State) -> Hashable:
        """The state after the decimal point."""

    def holds(self, state: State, negative: bool) -> bool:
        """Whether the number that ends here satisfies the assertion."""

    def scaled(self, state: State, negative: bool, exponent: int, is_integer: bool) -> bool | None:
        """Whether the number with this exponent satisfies it; None: unknown.

        Before the decimal point is one digit, which is not 0. ``is_integer``: there is no point.
        """


class Magnitude:
    """Compares the digits of a number with those of a bound, signs apart.

    States are (phase, count, order). The order is of the digits so far against those of the bound: -1, 0 or
    1. The count is of digits in the phase "before" or "after" the point; in the phase "known" the order is
    final.
    """

    start: Hashable = ("before", 0, 0)

    def __init__(self, digits: tuple[int, ...], exponent: int) -> None:
        places = max(0, -exponent)
        text = ("".join(map(str, digits)) + "0" * max(0, exponent)).rjust(places + 1, "0")
        split = len(text) - places
        self.integer = tuple(map(int, text[:split].lstrip("0")))
        self.fraction = tuple(map(int, text[split:].rstrip("0")))

    def digit(self, state: State, digit: int) -> State:
        phase, count, order = state
        if phase == "before" and (count or digit):  # leading zeros do not count
            if order == 0 and count < len(self.integer):
                order = sign_of(digit - self.integer[count])
            return ("known", 0, 1) if count == len(self.integer) else ("before", count + 1, order)
        if phase == "after" and order == 0:
            order = sign_of(digit - (self.fraction[count] if count < len(self.fraction) else 0))
            return ("after", 0 if order else min(count + 1, len(self.fraction)), order)
        return state

    def point(self, state: State) -> State:
        phase, count, order = state
        return ("after", 0, -1 if phase == "before" and count < len(self.integer) else order)

    def order(self, state: State) -> int:
        """-1, 0 or 1: the number that ends here against the bound."""
        order: int
        phase, count, order = self.point(state) if state[0] == "before" else state
        return -1 if phase == "after" and order == 0 and count < len(self.fraction) else order

    def is_equal_possible(self, state: State) -> bool:
        """Whether the number may still become equal to the bound."""
        phase, _, order = state
        return phase == "before" or bool(phase == "after" and order == 0)


class Bound:
    """A number that others are compared with, whether they are written with an exponent or not.

    States are (state of the digits against all of the bound, state against its digits as they are before an
    exponent or None).
    """

    def __init__(self, number: Decimal, has_exponent: HasExponent) -> None:
        sign, digits, exponent = number.as_tuple()
        assert isinstance(exponent, int)
        self.is_zero = not any(digits)
        self.is_negative = bool(sign) and not self.is_zero
        self.exponent = number.adjusted()
        self.plain = Magnitude(digits, exponent)
        is_scaled = not self.is_zero and has_exponent(self.exponent)
        self.mantissa = Magnitude(digits, 1 - len(digits)) if is_scaled else None
        self.start: Hashable = (Magnitude.start, Magnitude.start if is_scaled else None)
        self.changes: tuple[int, ...] = () if self.is_zero else (self.exponent, self.exponent + 1)
        self.max_digits = len(self.plain.integer) + len(self.plain.fraction)

    def digit(self, state: State, digit: int) -> Hashable:
        plain, mantissa = state
        if self.mantissa is not None and mantissa is not None:
            is_first = mantissa == Magnitude.start
            mantissa = self.mantissa.digit(mantissa, digit)
            if mantissa[0] == "known" or (is_first and digit == 0):
                mantissa = None  # not a number of one digit before the point: it takes no exponent
        return self.plain.digit(plain, digit), mantissa

    def point(self, state: State) -> Hashable:
        plain, mantissa = state
        after = None if self.mantissa is None or mantissa is None else self.mantissa.point(mantissa)
        return self.plain.point(plain), after

    def order(self, state: State, negative: bool) -> int:
        """-1, 0 or 1: the number that ends here against the bound."""
        return self._signed(self.plain.order(state[0]), negative)

    def scaled_order(self, state: State, negative: bool, exponent: int) -> int:
        """The same for the number with an exponent."""
        order = 1 if self.is_zero else sign_of(exponent - self.exponent)
        if order == 0 and self.mantissa is not None:
            order = self.mantissa.order(state[1])
        return self._signed(order, negative)

    def _signed(self, order: int, negative: bool) -> int:
        if negative != self.is_negative and not self.is_zero:
            return 1 if self.is_negative else -1
        return -order if negative else order


class Comparison:
    """Compares a number with a bound."""

    def __init__(self, bound: Decimal, operator: str, has_exponent: HasExponent) -> None:
        self.bound, self.operator = Bound(bound, has_exponent), operator
        self.start, self.changes = self.bound.start, self.bound.changes
        self.max_digits = self.bound.max_digits

    def digit(self, state: State, digit: int) -> Hashable:
        return self.bound.digit(state, digit)

    def point(self, state: State) -> Hashable:
        return self.bound.point(state)

    def holds(self, state: State, negative: bool) -> bool:
        return self._verdict(self.bound.order(state, negative))

    def scaled(self, state: State, negative: bool, exponent: int, is_integer: bool) -> bool:
        return self._verdict(self.bound.scaled_order(state, negative, exponent))

    def _verdict(self, order: int) -> bool:
        return {">=": order >= 0, ">": order > 0, "<=": order <= 0, "<": order < 0}[self.operator]


class Multiple:
    """Whether a number is a multiple of another.

    States are (remainder, decimal places or -1 before the point, whether the number is no multiple whatever
    follows). Remainders that no further digits tell apart count as the same, so that the automaton is
    minimal: 141 states for multiples of 86,400.
    """

    start: Hashable = (0, -1, False)

    def __init__(self, divisor: Decimal) -> None:
        exponent = divisor.as_tuple().exponent
        assert isinstance(exponent, int)
        self.places = max(0, -exponent)
        self.scaled_divisor = int(divisor.scaleb(self.places))  # as an integer number of its last places
        self.exponent = divisor.adjusted()
        # With this number of further digits, or more, remainders are the same if 10**horizon times them are.
        self.horizon = self.places
        while 10**self.horizon < self.scaled_divisor or self._shared(self.horizon) != self._shared(
            self.horizon + 1
        ):
            self.horizon += 1
        self._first: dict[tuple[int, ...], int] = {}  # of the remainders that are the same
        self._same: dict[int, int] = {}
        # digit * 10 ** exponent is a multiple or not from the exponent on that has the divisor's 2s and 5s
        self.changes = (self.exponent, *range(self.scaled_divisor.bit_length() + 1))
        self.max_digits = 2 * len(str(self.scaled_divisor)) + self.places

    def _shared(self, digits: int) -> int:
        return gcd(10**digits, self.scaled_divisor)

    def same(self, remainder: int) -> int:
        """The first remainder that is the same as this one before the decimal point."""
        if remainder not in self._same:
            # With n digits more, the number is a multiple if these are ``missing``. No n digits are -1.
            ends = [
                (10**n, -remainder * 10**n % self.scaled_divisor)
                for n in range(self.places, self.horizon + 1)
            ]
            key = tuple(missing if missing < limit else -1 for limit, missing in ends)
            self._same[remainder] = self._first.setdefault(key, remainder)
        return self._same[remainder]

    def digit(self, state: State, digit: int) -> Hashable:
        remainder, places, failed = state
        if places < 0:
            return (self.same((remainder * 10 + digit) % self.scaled_divisor), -1, False)
        if places == self.places:
            return (remainder, places, failed or digit != 0)
        return self._after_point((remainder * 10 + digit) % self.scaled_divisor, places + 1)

    def point(self, state: State) -> Hashable:
        return self._after_point(state[0], 0)

    def _after_point(self, remainder: int, places: int) -> Hashable:
        limit = 10 ** (self.places - places)
        if -remainder * limit % self.scaled_divisor < limit:
            return (remainder, places, False)
        return (0, self.places, True)

    def holds(self, state: State, negative: bool) -> bool:
        remainder, places, failed = state
        missing = self.places - max(0, places)
        return not failed and remainder * 10**missing % self.scaled_divisor == 0

    def scaled(self, state: State, negative: bool, exponent: int, is_integer: bool) -> bool | None:
        if exponent < self.exponent:
            return False  # less than the divisor
        if not is_integer or exponent < 0:
            return None
        remainder: int = state[0] * pow(10, exponent + self.places, self.scaled_divisor)
        return remainder % self.scaled_divisor == 0


class Membership:
    """Whether a number is one of several.

    A state has those that it may still become, each with its bound's state.
    """

    def __init__(self, numbers: frozenset[Decimal], has_exponent: HasExponent) -> None:
        self.bounds = {number: Bound(number, has_exponent) for number in numbers}
        self.start: Hashable = frozenset((number, bound.start) for number, bound in self.bounds.items())
        self.changes = tuple(change for bound in self.bounds.values() for change in bound.changes)
        self.max_digits = max((bound.max_digits for bound in self.bounds.values()), default=0)

    def digit(self, state: State, digit: int) -> Hashable:
        return self._candidates((number, self.bounds[number].digit(part, digit)) for number, part in state)

    def point(self, state: State) -> Hashable:
        return self._candidates((number, self.bounds[number].point(part)) for number, part in state)

    def _candidates(self, parts: Any) -> Hashable:
        """Without the numbers that are ruled out."""
        candidates = []
        for number, (plain, mantissa) in parts:
            bound = self.bounds[number]
            is_plain = bound.plain.is_equal_possible(plain)
            if bound.mantissa is None or mantissa is None or not bound.mantissa.is_equal_possible(mantissa):
                mantissa = None
            if is_plain or mantissa is not None:
                candidates.append((number, (plain if is_plain else ("known", 0, 1), mantissa)))
        return frozenset(candidates)

    def holds(self, state: State, negative: bool) -> bool:
        return any(self.bounds[number].order(part, negative) == 0 for number, part in state)

    def scaled(self, state: State, negative: bool, exponent: int, is_integer: bool) -> bool:
        return any(
            part[1] is not None and self.bounds[number].scaled_order(part, negative, exponent) == 0
            for number, part in state
        )


@lru_cache(maxsize=1024)
def count_remainders(divisor: Decimal) -> int:
    """The remainders that an automaton of the multiples has to tell apart; MAX_REMAINDERS + 1 if too many."""
    multiple = Multiple(divisor)
    seen, pending = {0}, [0]
    while pending and len(seen) <= MAX_REMAINDERS:
        remainder = pending.pop()
        following = {multiple.same((remainder * 10 + digit) % multiple.scaled_divisor) for digit in range(10)}
        pending += following - seen
        seen |= following
    return min(len(seen), MAX_REMAINDERS + 1)


def sign_of(difference: int) -> int:
    """-1, 0 or 1."""
    return (difference > 0) - (difference < 0)


def follower_of(assertion: Formula, has_exponent: HasExponent) -> Follower:
    """The follower of a leaf about numbers, which may be written with some exponents."""
    match assertion.parts:
        case ("compare", operator, bound):
            return Comparison(bound, operator, has_exponent)
        case ("multiple", divisor):
            return Multiple(divisor)
        case ("among", numbers):
            return Membership(numbers, has_exponent)
    raise AssertionError(f"not about numbers: {assertion}")
