"""Multiples that have too many remainders for an automaton: which of them are proposed.

>>> from solver.tasks.json_schema.formula import leaf
>>> remainders_of(leaf("multiple", Decimal(86400))), remainders_of(leaf("multiple", Decimal(99991)))
(141, 5001)

Digit by digit, an automaton would need a state for each remainder. Between two bounds there may be few
multiples, which are then listed: these are all, and if there are none, that is a proof. Otherwise those near
the bounds are proposed, and the validator decides on others.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from itertools import product
from math import gcd, lcm
from typing import TYPE_CHECKING, Any

from solver.kernels.deadline import check_time
from solver.tasks.json_schema.constants import constants_of_kind, few_multiples, holds_for_number
from solver.tasks.json_schema.formula import MAYBE, NO, YES, Formula, leaves, rewrite
from solver.tasks.json_schema.scalars import MAX_REMAINDERS, count_remainders

if TYPE_CHECKING:
    from solver.tasks.json_schema.compiler import Compiler

NEAR_MULTIPLES = 100  # on each side of a bound
SHORT = 15  # digits; decimal numbers of 15 digits are different doubles
MAX_INTEGER = 10**18  # beyond, validators may read an integer as a double


def remainders_of(assertion: Formula) -> int:
    """The number of remainders that an assertion about multiples has to tell apart; 1 for all others."""
    match assertion.parts:
        case ("multiple", divisor):
            return count_remainders(divisor)
    return 1


def decline_large_multiple(assertion: Formula) -> Formula:
    """MAYBE for a multiple with too many remainders."""
    return MAYBE if remainders_of(assertion) > MAX_REMAINDERS else assertion


def numbers_of(compiler: Compiler, formula: Formula) -> dict[Hashable, Any] | None:
    """The numbers of a formula, by their keys, if they are listed, or few multiples of too many remainders.

    Of more such multiples, the compiler notes that the validator decides.
    """
    listed = constants_of_kind(compiler, formula)
    if listed is None and any(decline_large_multiple(assertion) is MAYBE for assertion in leaves(formula)):
        listed = few_multiples(compiler, formula)
        if listed is None:
            compiler.decline("multipleOf", "number")
    return listed


@lru_cache(maxsize=1024)
def some_multiples(formula: Formula) -> tuple[Decimal, ...]:
    """Numbers for a formula that only multiples with too many remainders satisfy: those near its bounds.

    >>> from solver.tasks.json_schema.formula import and_, leaf
    >>> divisor, above = leaf("multiple", Decimal(99991)), leaf("compare", ">", Decimal(10**7))
    >>> some_multiples(and_([divisor, above]))[:2]
    (Decimal('10099091'), Decimal('10199082'))
    """
    assertions = leaves(formula)
    large = [assertion for assertion in assertions if remainders_of(assertion) > MAX_REMAINDERS]
    if not large or rewrite(formula, lambda assertion: NO if assertion in large else MAYBE) is not NO:
        return ()
    bounds = {
        Decimal(0),
        *(assertion.parts[2] for assertion in assertions if assertion.parts[0] == "compare"),
    }
    divisors = {Fraction(assertion.parts[1]) for assertion in assertions if assertion.parts[0] == "multiple"}
    divisors.add(common_multiple(divisors))
    short, long = set[Decimal](), set[Decimal]()
    for divisor, bound in product(sorted(divisors), sorted(bounds)):
        if abs(bound) < MAX_INTEGER:
            check_time()
            nearest = Fraction(bound) // divisor
            for factor in range(nearest - NEAR_MULTIPLES, nearest + NEAR_MULTIPLES + 1):
                number = Decimal((factor * divisor).numerator) / (factor * divisor).denominator
                has_few_digits = len(number.normalize().as_tuple().digits) <= SHORT
                is_read_exactly = has_few_digits or number == number.to_integral_value()
                if abs(number) < MAX_INTEGER and is_read_exactly and satisfies(formula, number):
                    (short if has_few_digits else long).add(number)
    return tuple(sorted(short or long))


def common_multiple(numbers: Iterable[Fraction]) -> Fraction:
    """The least common multiple.

    >>> common_multiple([Fraction(4), Fraction(3, 2)])
    Fraction(12, 1)
    """
    parts = list(numbers)
    return Fraction(lcm(*(part.numerator for part in parts)), gcd(*(part.denominator for part in parts)))


def satisfies(formula: Formula, number: Decimal) -> bool:
    """Whether a number satisfies a formula about numbers."""
    return rewrite(formula, lambda assertion: holds_for_number(assertion, number)) is YES
