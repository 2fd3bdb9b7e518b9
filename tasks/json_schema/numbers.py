"""Formulas about numbers as automata over the bytes of a number.

>>> from solver.tasks.json_schema.formula import and_, leaf
>>> formula = and_([leaf("multiple", Decimal(5)), leaf("compare", ">=", Decimal(10))])
>>> number_automaton(formula, max_bytes=40, usual=True).min_length
2
>>> small = and_([leaf("compare", ">", Decimal(0)), leaf("compare", "<=", Decimal("1e-300"))])
>>> number_automaton(small, max_bytes=40).min_length  # 1e-300
6

Each assertion follows the digits with a small state (scalars.py); at the end of the number each is true or
false, and the formula decides. There are two languages. *All*: every text of JSON whose number may satisfy the
formula. *Usual*: what is proposed. It has at most ``USUAL_DIGITS`` digits, so that the number as a double is the
number as written; exponents are written as Python does (one digit before the point, e-05 and below, e+16 and
above), and a number that has to be a multiple of an integer has neither fraction nor exponent.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from typing import Any

from solver.tasks.json_schema.formula import MAYBE, NO, YES, Formula, leaves, rewrite
from solver.tasks.json_schema.multiples import decline_large_multiple, remainders_of, some_multiples
from solver.tasks.json_schema.scalars import Follower, Multiple, follower_of
from solver.tasks.languages.byte_automaton import ByteAutomaton, explore, label
from solver.tasks.languages.word_graph import literals_automaton

USUAL_DIGITS = 15  # decimal numbers of 15 digits are different doubles
MAX_COUNTED = 300  # remainders of a multiple for which the digits are counted as well
USUAL_PLACES = 9  # digits after the point
Ranges = tuple[tuple[int, int], ...]  # of exponents, both ends included


@dataclass(frozen=True)
class Notation:
    """How numbers may be written.

    Attributes:
        is_short: whether USUAL_DIGITS and USUAL_PLACES are limits for what is before an exponent.
        exponents: the exponents that are possible.
        is_free: whether exponents may be written in any way, and stand after any digits.
        maybe: whether a number counts as one that satisfies an assertion if this is unknown.
    """

    is_short: bool
    exponents: Ranges
    is_free: bool = False
    maybe: bool = False


USUAL = Notation(True, ((-307, -5), (16, 307)))
UNBOUNDED = Notation(False, ((-323, -5), (16, 308)))
DECIDED = Notation(False, ((-400, 308),), is_free=True)
ALL = Notation(False, ((-999, 999),), is_free=True, maybe=True)

# The lexical state after each digit; for all others it stays. Exponents of the usual notations follow one digit
# that is not 0 ("first"), with a fraction or without.
AFTER_DIGIT = {"first": "integer", "point": "fraction", "first point": "first fraction"}
AFTER_ZERO = {"point": "zeros", "first point": "first zeros"}
AFTER_NONZERO = {"zeros": "fraction", "first zeros": "first fraction"}
BEFORE_POINT = {"zero", "first", "integer"}
FINAL = {*BEFORE_POINT, "zeros", "first zeros", "fraction", "first fraction"}
NORMAL = {"first", "first zeros", "first fraction"}


def number_automaton(
    formula: Formula, max_bytes: int, usual: bool = False, has_pins: bool = False
) -> ByteAutomaton:
    """The numbers of at most ``max_bytes`` bytes for which a formula about numbers is not NO.

    Args:
        formula: a formula whose leaves are about numbers.
        max_bytes: longest text of interest. Longer ones may be in the language or not.
        usual: whether to leave out texts that are possible and unusual, as long as there are others.
        has_pins: whether parts of a number may be given, so that it may have any exponent after any digits.

    Raises:
        TooLargeError: it has too many states.
    """
    if usual and (multiples := some_multiples(formula)):
        return literals_automaton(tuple(f"{number:f}".encode() for number in multiples))
    formula = rewrite(formula, decline_large_multiple)
    if usual and formula.op == "leaf" and formula.parts[0] == "among":
        return literals_automaton(tuple(sorted(map(number_text, formula.parts[1]))))
    is_small = all(remainders_of(assertion) <= MAX_COUNTED for assertion in leaves(formula))
    notations = (USUAL, UNBOUNDED) if is_small else (UNBOUNDED,)
    for notation in notations if usual else ():
        automaton = follow(formula, max_bytes, notation)
        if automaton.min_length >= 0:
            return automaton
    decided = follow(formula, max_bytes, DECIDED)
    # What is unknown of a number proves nothing, so there has to be a number of which all is known.
    is_all = has_pins and not usual and decided.min_length >= 0
    return follow(formula, max_bytes, ALL) if is_all else decided


def number_text(number: Decimal) -> bytes:
    """Write a number as Python does, an integer of up to 15 digits without a fraction.

    >>> number_text(Decimal("1.0")), number_text(Decimal("0.00001")), number_text(Decimal("1e300"))
    (b'1', b'1e-05', b'1e+300')
    """
    if number == number.to_integral_value() and number.adjusted() <= USUAL_DIGITS:
        return str(int(number)).encode()
    is_float = number.adjusted() < 308 and Decimal(repr(float(number))) == number
    return (repr(float(number)) if is_float else f"{number:f}").encode()


@lru_cache(maxsize=1024)
def follow(formula: Formula, max_bytes: int, notation: Notation) -> ByteAutomaton:
    """The automaton of the numbers in one notation. Raises TooLargeError."""
    numbers = NumberStates(formula, notation)
    longest = max(max_bytes, *(follower.max_digits + 40 for follower in numbers.followers), 0)
    return explore(numbers.start, numbers.edges, numbers.is_final, longest)


class NumberStates:
    """The states of :func:`follow`.

    A state is (lexical state, whether the number is negative, how many digits may follow, states of the
    followers), or an ``Exponent``.
    """

    def __init__(self, formula: Formula, notation: Notation) -> None:
        self.formula, self.notation = formula, notation
        self.assertions = leaves(formula)
        is_scaled = self.may_have_exponent
        self.followers: list[Follower] = [follower_of(leaf, is_scaled) for leaf in self.assertions]
        self.start = "start", False, USUAL_DIGITS, tuple(follower.start for follower in self.followers)
        # a number that is a multiple of an integer is written as one
        self.only_integers = not notation.is_free and any(
            isinstance(follower, Multiple) and follower.places == 0 for follower in self.followers
        )
        self.has_sign = any(not isinstance(follower, Multiple) for follower in self.followers)
        self.has_fractions = not self.only_integers or self._may_have_fraction()
        self._verdicts: dict[Hashable, bool] = {}
        self._exponents: dict[Hashable, Ranges] = {}

    def _may_have_fraction(self) -> bool:
        pairs = dict(zip(self.assertions, self.followers, strict=True))
        integers = {leaf for leaf, one in pairs.items() if isinstance(one, Multiple) and one.places == 0}
        return rewrite(self.formula, lambda leaf: NO if leaf in integers else MAYBE) is not NO

    def may_have_exponent(self, exponent: int) -> bool:
        """Whether the notation has this exponent."""
        return any(low <= exponent <= high for low, high in self.notation.exponents)

    def is_final(self, state: Any) -> bool:
        if isinstance(state, Exponent):
            return state.is_final
        lexical, negative, _, parts = state
        if lexical not in FINAL or (self.only_integers and lexical in AFTER_NONZERO):
            return False
        key = negative, parts
        if key not in self._verdicts:
            pairs = zip(self.followers, parts, strict=True)
            self._verdicts[key] = self.decide([follower.holds(part, negative) for follower, part in pairs])
        return self._verdicts[key]

    def decide(self, verdicts: Sequence[bool | None]) -> bool:
        """Whether the formula may hold, from the verdict of each assertion; None: unknown."""
        if None in verdicts and not self.notation.maybe:
            return False
        pairs = zip(self.assertions, verdicts, strict=True)
        values = {leaf: MAYBE if holds is None else YES if holds else NO for leaf, holds in pairs}
        return rewrite(self.formula, values.__getitem__) is not NO

    def edges(self, state: Any) -> list[tuple[int, Hashable]]:
        bytes_to: dict[Hashable, int] = {}
        for byte, target in state.edges() if isinstance(state, Exponent) else self.steps(*state):
            bytes_to[target] = bytes_to.get(target, 0) | 1 << byte
        return [(label(mask), target) for target, mask in bytes_to.items()]

    def steps(
        self, lexical: str, negative: bool, room: int, parts: tuple[Any, ...]
    ) -> Iterator[tuple[int, Hashable]]:
        """The (byte, state) pairs from a state before the exponent."""
        is_short = self.notation.is_short
        if lexical == "start":
            yield ord("-"), ("minus", self.has_sign, room, parts)
        if lexical != "zero" and room:
            for digit in range(10):
                following = AFTER_DIGIT.get(lexical, lexical)
                if lexical in ("start", "minus"):
                    following = "first" if digit else "zero"
                elif digit == 0 and self.only_integers:
                    following = AFTER_ZERO.get(lexical, following)
                else:
                    following = AFTER_NONZERO.get(lexical, following)
                after = tuple(
                    follower.digit(part, digit) for follower, part in zip(self.followers, parts, strict=True)
                )
                yield ord("0") + digit, (following, negative, room - is_short, after)
        if lexical in BEFORE_POINT and self.has_fractions:
            after = tuple(follower.point(part) for follower, part in zip(self.followers, parts, strict=True))
            following = "first point" if lexical == "first" else "point"
            yield ord("."), (following, negative, min(room, USUAL_PLACES), after)
        exponent = self.exponent(lexical, negative, parts)
        if exponent is not None:
            yield ord("e"), exponent
            if self.notation.is_free:
                yield ord("E"), exponent

    def exponent(self, lexical: str, negative: bool, parts: tuple[Any, ...]) -> "Exponent | None":
        """The state after "e", if there may be an exponent."""
        if lexical not in FINAL or not self.has_fractions:
            return None
        if lexical not in NORMAL:  # the exponent of these digits is not followed
            return Exponent("any") if self.notation.maybe else None
        key = negative, parts, lexical == "first"
        if key not in self._exponents:
            self._exponents[key] = self.possible_exponents(negative, parts, lexical == "first")
        ranges = self._exponents[key]
        if not ranges:
            return None
        below, above = exponent_texts(ranges, self.notation.is_free)
        return Exponent("sign", below, above, self.notation.is_free)

    def possible_exponents(self, negative: bool, parts: tuple[Any, ...], is_integer: bool) -> Ranges:
        """The exponents with which the digits so far may satisfy the formula."""
        changes = {change for follower in self.followers for change in follower.changes}
        possible: list[tuple[int, int]] = []
        for low, high in self.notation.exponents:
            if self.only_integers and low > 0:
                continue
            bounds = [low, *sorted(change for change in changes if low < change <= high), high + 1]
            for first, after in pairwise(bounds):
                verdicts = [
                    follower.scaled(part, negative, first, is_integer)
                    for follower, part in zip(self.followers, parts, strict=True)
                ]
                if self.decide(verdicts):
                    possible.append((first, after - 1))
        return tuple(possible)


@lru_cache(maxsize=4096)
def exponent_texts(ranges: Ranges, is_free: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The digits of the negative and of the other exponents in some ranges; with two digits if not free."""
    exponents = [exponent for low, high in ranges for exponent in range(low, high + 1)]
    width = 1 if is_free else 2
    below = tuple(f"{-exponent:0{width}d}" for exponent in exponents if exponent < 0)
    above = tuple(f"{exponent:0{width}d}" for exponent in exponents if exponent >= 0)
    return below, above


@lru_cache(maxsize=4096)
def remaining_digits(texts: tuple[str, ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """What may follow each first digit of some texts."""
    rests: dict[str, list[str]] = {}
    for text in texts:
        if text:
            rests.setdefault(text[0], []).append(text[1:])
    return tuple((digit, tuple(rest)) for digit, rest in rests.items())


@dataclass(frozen=True)
class Exponent:
    """A state after "e".

    Attributes:
        phase: "sign"; "first" digit; "zeros" and "digits" after it; "any" sign, "first of any" digit and "more"
            digits of an exponent that is not followed.
        below: before the sign, the digits of the negative exponents.
        above: the digits that may follow, otherwise.
        is_free: whether the sign may be missing, and leading zeros are possible.
        count: digits so far, if the exponent may have any number of them.
    """

    phase: str
    below: tuple[str, ...] = ()
    above: tuple[str, ...] = ()
    is_free: bool = False
    count: int | None = None

    @property
    def is_final(self) -> bool:
        """Whether the number may end here."""
        if self.phase == "zeros":
            return "0" in self.above
        return self.phase == "more" or (self.phase == "digits" and "" in self.above)

    def edges(self) -> Iterator[tuple[int, Hashable]]:
        """The (byte, state) pairs."""
        match self.phase:
            case "sign":
                below, above = (
                    Exponent("first", (), texts, self.is_free, 0 if "999" in texts else None)
                    for texts in (self.below, self.above)
                )
                yield from ((ord(sign), state) for sign, state in (("-", below), ("+", above)) if state.above)
                if self.is_free:
                    yield from above.edges()
            case "any":
                yield from ((ord(sign), Exponent("first of any")) for sign in "+-")
                yield from ((byte, Exponent("more")) for byte in range(ord("0"), ord("9") + 1))
            case "first of any" | "more":
                yield from ((byte, Exponent("more")) for byte in range(ord("0"), ord("9") + 1))
            case _ if self.count == len("999"):
                yield from Exponent("more").edges()
            case _:
                may_have_zeros = self.is_free and self.phase != "digits"
                if may_have_zeros and self.above:
                    yield ord("0"), Exponent("zeros", (), self.above, True, self.count)
                count = None if self.count is None else self.count + 1
                for digit, rest in remaining_digits(self.above):
                    if digit != "0" or not may_have_zeros:
                        yield ord(digit), Exponent("digits", (), rest, False, count)
