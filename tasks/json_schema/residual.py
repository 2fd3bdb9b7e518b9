"""Residual formulas: what remains to hold of an array or object after some of its items or members.

>>> from solver.tasks.json_schema.formula import NO, YES, leaf, rewrite
>>> at_most_one = leaf("length", 0, 1, 0)  # at least 0 items, at most 1, none so far
>>> one_item = advance_leaf(at_most_one, (), frozenset(), frozenset())
>>> rewrite(one_item, close_leaf) is YES
True
>>> advance_leaf(one_item, (), frozenset(), frozenset()) is NO
True

Each leaf of a formula demands something of the next element: subschemas, by number, that its value must
satisfy, or nothing but the right name. Reading an element advances every leaf; at the closing bracket all
leaves are closed.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import compress, product

from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.formula import (
    MAYBE,
    NO,
    YES,
    Formula,
    ItemSchemas,
    and_,
    leaf,
    leaves,
    not_,
    or_,
    rewrite,
)

MAX_UNDECIDED = 5  # subschemas that a value may satisfy or not; with more, the validator decides

# The numbers of the subschemas through which a leaf sees the next value, or whether it accepts the member's
# name.
Demand = tuple[int, ...] | bool
Demands = tuple[tuple[Formula, Demand], ...]
Numbers = frozenset[int]


def item_demand(index: int, assertion: Formula) -> Demand:
    """Return what a leaf about arrays demands of the item ``index``."""
    match assertion.parts:
        case ("items", ItemSchemas() as items):
            return items.demand(index)
        case ("contains", number, *_):
            return (number,)
    return ()


def advance_leaf(assertion: Formula, demand: Demand, true: Numbers, false: Numbers) -> Formula:
    """Return what remains of a leaf after an element of which it demanded ``demand``.

    Args:
        assertion: the leaf.
        demand: what it demanded of the element.
        true: subschemas that the element's value satisfies.
        false: subschemas that it does not satisfy.
    """
    match assertion.parts:
        case ("members" | "items", _):
            return NO if isinstance(demand, tuple) and not false.isdisjoint(demand) else assertion
        case ("names", _):
            return NO if demand is False else assertion
        case ("required", _):
            return YES if demand is True else assertion
        case ("count" | "length", *_):
            return count_element(assertion)
        case ("contains", number, *_):
            return count_element(assertion) if number in true else assertion
    return assertion


def without_name(formula: Formula, name: str) -> Formula:
    """What remains of a formula about objects if there is no member of this name."""
    return rewrite(formula, lambda assertion: NO if assertion.parts == ("required", name) else assertion)


def demand_in(demands: Demands) -> Callable[[Formula], Demand]:
    """The demands as a function of the leaf; a leaf that is not among them demands nothing."""
    by_leaf = dict(demands)
    return lambda assertion: by_leaf.get(assertion, ())


def count_element(assertion: Formula) -> Formula:
    """Count one more element in a leaf whose last parts are minimum, maximum and count."""
    *head, minimum, maximum, count = assertion.parts
    if maximum is not None and count >= maximum:
        return NO
    if maximum is None and count + 1 >= minimum:
        return YES  # further elements change nothing
    return leaf(*head, minimum, maximum, count + 1)


def close_leaf(assertion: Formula) -> Formula:
    """Decide a leaf at the end of the array or object."""
    match assertion.parts:
        case ("required", _):
            return NO
        case ("count" | "length" | "contains", *_, minimum, maximum, count):
            return YES if minimum <= count and (maximum is None or count <= maximum) else NO
    return YES


def value_choices(
    compiler: Compiler, formula: Formula, demand_of: Callable[[Formula], Demand]
) -> list[tuple[Formula, Formula]]:
    """List the ways in which the next element can be chosen.

    Args:
        compiler: has the formulas of the subschemas.
        formula: what remains to hold of the array or object.
        demand_of: what each leaf demands of the element.

    Returns:
        Pairs of what the element's value has to satisfy and the residual formula. The values of two pairs
        exclude each other.
    """
    demands = {assertion: demand_of(assertion) for assertion in leaves(formula)}
    seen = [demand for demand in demands.values() if isinstance(demand, tuple)]
    numbers = list(dict.fromkeys(number for demand in seen for number in demand))

    def residual(true: Numbers, false: Numbers) -> Formula:
        return rewrite(formula, lambda leaf_: advance_leaf(leaf_, demands[leaf_], true, false))

    required = [number for number in numbers if residual(frozenset(), frozenset([number])) is NO]
    free = [number for number in numbers if number not in required]
    satisfied = [compiler.formula(number) for number in required]
    if len(free) > MAX_UNDECIDED:
        compiler.decline("alternatives")
        formula = rewrite(formula, lambda leaf_: MAYBE if _mentions(demands[leaf_], free) else leaf_)
        after = residual(frozenset(required), frozenset())
        value = and_(satisfied)
        return [(value, after)] if after is not NO and value is not NO else []

    # Group the verdicts on the undecided subschemas by the residual formula to which they lead.
    conditions: dict[Formula, list[Formula]] = {}
    for verdicts in product((True, False), repeat=len(free)):
        true = frozenset(compress(free, verdicts))
        after = residual(true.union(required), frozenset(free) - true)
        if after is not NO:
            parts = ((compiler.formula(number), number in true) for number in free)
            condition = and_([part if verdict else not_(part) for part, verdict in parts])
            conditions.setdefault(after, []).append(condition)
    choices = [
        (and_([*satisfied, YES if len(verdicts) == 2 ** len(free) else or_(verdicts)]), after)
        for after, verdicts in conditions.items()
    ]
    return [(value, after) for value, after in choices if value is not NO]


def _mentions(demand: Demand, numbers: list[int]) -> bool:
    """Whether a demand is for one of these subschemas."""
    return isinstance(demand, tuple) and not set(numbers).isdisjoint(demand)
