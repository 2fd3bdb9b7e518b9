"""JSON numbers under bounds, multiples and enumerations, as an automaton over their digits.

    fragment = number_fragment(of_kind(and_([leaf("multiple", Decimal(1)), leaf("compare", ">=", Decimal(10))]), "number"), 40)

Each assertion follows the digits with a small state of its own; at the end each is true or false and the formula decides.
An exponent is written as Python writes it: one digit before the point, e-05 and below, e+16 and above.
"""

from __future__ import annotations

from collections.abc import Hashable
from decimal import Decimal
from functools import lru_cache
from typing import Any

from solver.tasks.json_schema.formula import MAYBE, NO, YES, Formula, leaves, rewrite
from solver.tasks.languages.byte_automaton import ByteAutomaton, explore, label

LARGEST_MULTIPLE = 5000  # remainders that are followed; beyond, the validator decides
SMALL, LARGE = (
    Decimal("1e-4"),
    Decimal("1e16"),
)  # an exponent stands for what is smaller, or at least as large
DEAD = None


class Order:
    """How the digits so far compare with those of |bound|. A state is (digits, order), then ("point", place, order)."""

    def __init__(self, bound: Decimal) -> None:
        sign, digits, exponent = bound.as_tuple()
        assert isinstance(exponent, int)
        self.negative = bool(sign) and bound != 0
        text = "".join(map(str, digits)) + "0" * max(0, exponent)
        places = max(0, -exponent)
        text = text.rjust(places + 1, "0")
        self.whole = (text[: len(text) - places] if places else text).lstrip("0")
        self.fraction = text[len(text) - places :].rstrip("0") if places else ""
        self.zero = bound == 0
        self.size = abs(bound)

    start: Hashable = (0, 0)

    def digit(self, state: Any, digit: int) -> Hashable:
        if state[0] == "point":
            _, place, order = state
            if order == 0:
                mine = int(self.fraction[place]) if place < len(self.fraction) else 0
                order = (digit > mine) - (digit < mine)
                place = min(place + 1, len(self.fraction))
            return ("point", 0 if order else place, order)
        if state[0] == "known":
            return state  # type: ignore[no-any-return]
        many, order = state
        if many == 0 and digit == 0:
            return state  # type: ignore[no-any-return]
        if order == 0 and many < len(self.whole):
            mine = int(self.whole[many])
            order = (digit > mine) - (digit < mine)
        many += 1
        return ("known", 1) if many > len(self.whole) else (many, order)

    def point(self, state: Any) -> Hashable:
        if state[0] == "known":
            return ("point", 0, state[1])
        return ("point", 0, -1 if state[0] < len(self.whole) else state[1])

    def exponent(self, small: bool) -> Hashable | None:
        if small:
            return ("known", 1) if self.zero else ("known", -1) if self.size >= SMALL else DEAD
        return ("known", 1) if self.size < LARGE else DEAD

    def final(self, state: Any, negative: bool) -> int:
        """-1, 0 or 1: the number against the bound."""
        order: int
        if state[0] == "known":
            order = state[1]
        else:
            _, place, order = state if state[0] == "point" else self.point(state)  # type: ignore[misc]
            if order == 0 and place < len(self.fraction):
                order = -1
        if negative != self.negative and not self.zero:
            return 1 if self.negative else -1
        return -order if negative else order


class Remainder:
    """The remainder of the digits so far by a number. A state is (remainder, decimal places so far or -1, dead)."""

    def __init__(self, of: Decimal) -> None:
        _, _, exponent = of.as_tuple()
        assert isinstance(exponent, int)
        self.places = max(0, -exponent)
        self.of = int(of.scaleb(self.places))
        self.value = of

    start: Hashable = (0, -1, False)

    def digit(self, state: Any, digit: int) -> Hashable:
        remainder, places, dead = state
        if places >= self.places:
            return (remainder, places, dead or digit != 0)
        return ((remainder * 10 + digit) % self.of, places + 1 if places >= 0 else -1, dead)

    def point(self, state: Any) -> Hashable:
        return (state[0], 0, state[2])

    def exponent(self, small: bool, whole: bool) -> Hashable | None:
        if small:
            return (0, self.places, True) if self.value >= SMALL else DEAD
        return (0, self.places, False) if whole and int(LARGE.scaleb(self.places)) % self.of == 0 else DEAD

    def final(self, state: Any) -> bool:
        remainder, places, dead = state
        left = self.places - max(0, places)
        return not dead and remainder * 10**left % self.of == 0


class Among:
    """Which of some numbers the digits so far may still become: a state is a set of (number, its Order's state)."""

    def __init__(self, numbers: frozenset[Decimal]) -> None:
        self.orders = {number: Order(number) for number in numbers}
        self.start: Hashable = frozenset((number, Order.start) for number in numbers)

    def each(self, state: Any, move: Any) -> Hashable:
        found = ((number, move(self.orders[number], own)) for number, own in state)
        return frozenset(
            (n, own) for n, own in found if own[0] != "known" and not (own[0] == "point" and own[2])
        )

    def final(self, state: Any, negative: bool) -> bool:
        return any(self.orders[number].final(own, negative) == 0 for number, own in state)


def tracker(f: Formula) -> Any:
    """The follower of one assertion."""
    name = f.parts[0]
    if name == "compare":
        return Order(f.parts[2])
    return Remainder(f.parts[1]) if name == "multiple" else Among(f.parts[1])


def truth(f: Formula, one: Any, state: Any, negative: bool) -> Formula:
    name = f.parts[0]
    if name == "compare":
        order = one.final(state, negative)
        return YES if {">=": order >= 0, ">": order > 0, "<=": order <= 0, "<": order < 0}[f.parts[1]] else NO
    if name == "multiple":
        return YES if one.final(state) else NO
    return YES if one.final(state, negative) else NO


EXPONENTS = {  # lexical state -> next, by digit; "E" states are complete
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
FOLLOWING = {"first": "whole", "point": "fraction", "first point": "first fraction"}
COMPLETE = {"zero", "whole", "first", "fraction", "first fraction", "E", "E2", "E3"}


@lru_cache(maxsize=1024)
def number_fragment(formula: Formula, most: int) -> ByteAutomaton:
    """The numbers of at most ``most`` characters for which ``formula`` is not NO. Raises TooLargeError."""

    def change(f: Formula) -> Formula:
        return MAYBE if f.parts[0] == "multiple" and Remainder(f.parts[1]).of > LARGEST_MULTIPLE else f

    formula = rewrite(formula, change)
    asserted = leaves(formula)
    followers = [tracker(f) for f in asserted]
    verdicts: dict[Hashable, bool] = {}

    def ends(state: Any) -> bool:
        lexical, negative, own = state[:3]
        if lexical not in COMPLETE:
            return False
        key = (negative, own)
        if key not in verdicts:
            values = {
                f: truth(f, one, s, negative) for f, one, s in zip(asserted, followers, own, strict=True)
            }
            verdicts[key] = rewrite(formula, values.__getitem__) is not NO
        return verdicts[key]

    def digits(own: tuple[Any, ...], digit: int) -> tuple[Any, ...]:
        return tuple(
            one.each(s, lambda order, x: order.digit(x, digit))
            if isinstance(one, Among)
            else one.digit(s, digit)
            for one, s in zip(followers, own, strict=True)
        )

    def point(own: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(
            one.each(s, lambda order, x: order.point(x)) if isinstance(one, Among) else one.point(s)
            for one, s in zip(followers, own, strict=True)
        )

    def exponent(own: tuple[Any, ...], small: bool, whole: bool) -> tuple[Any, ...] | None:
        found = []
        for one, s in zip(followers, own, strict=True):
            if isinstance(one, Among):
                if any(
                    (number < SMALL) if small else (number >= LARGE)
                    for number in map(abs, one.orders)
                    if number
                ):
                    return None
                found.append(one.each(s, lambda order, _: order.exponent(small)))
            else:
                found.append(
                    one.exponent(small, whole) if isinstance(one, Remainder) else one.exponent(small)
                )
        return None if any(s is DEAD for s in found) else tuple(found)

    def edges(state: Any) -> list[tuple[int, Hashable]]:
        lexical, negative, own = state[:3]
        found: dict[Hashable, int] = {}

        def add(byte: int, target: Hashable) -> None:
            found[target] = found.get(target, 0) | 1 << byte

        if lexical == "start":
            add(ord("-"), ("minus", True, own))
        if lexical == "e":
            for sign, small in (("-", True), ("+", False)):
                after = exponent(own, small, state[3])
                if after is not None:
                    add(ord(sign), ("e" + sign, negative, after))
        elif lexical in EXPONENTS:
            for digit, following in EXPONENTS[lexical].items():
                add(48 + digit, (following, negative, own))
        elif lexical not in ("zero", "E"):
            for digit in range(10):
                following = (
                    ("first" if digit else "zero")
                    if lexical in ("start", "minus")
                    else FOLLOWING.get(lexical, lexical)
                )
                add(48 + digit, (following, negative, digits(own, digit)))
        if lexical in ("zero", "first", "whole"):
            add(ord("."), ("first point" if lexical == "first" else "point", negative, point(own)))
        if lexical in ("first", "first fraction"):
            add(ord("e"), ("e", negative, own, lexical == "first"))
        return [(label(mask), target) for target, mask in found.items()]

    start = ("start", False, tuple(one.start for one in followers))
    return explore(start, edges, ends, most)
