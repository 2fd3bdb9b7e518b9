"""Which of several regular expressions a subject can match at once.

>>> from solver.tasks.languages.regex_parser import search
>>> sets = match_sets([search("^a"), search("^b"), search("^c"), search("d$")])
>>> sorted(map(sorted, sets))
[[], [0], [0, 3], [1], [1, 3], [2], [2, 3], [3]]

Of n expressions there are 2^n sets, but few of them occur: expressions with different beginnings exclude each
other. The derivatives of all expressions are followed together: the work grows with the sets that occur.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress, pairwise, product

from solver.tasks.languages.code_points import LAST, in_ranges
from solver.tasks.languages.regex import NEVER, Term, accepts, derivative, start_state

MAX_WORK = 50_000  # sizes of the terms inspected
MAX_SUBSETS = 32  # that are returned without looking whether they occur

# The expressions that may still match, with their derivatives.
JointState = tuple[tuple[int, Term], ...]


def match_sets(terms: Sequence[Term]) -> list[frozenset[int]] | None:
    """The sets of numbers of the expressions that some subject matches, and no others of them.

    Sets that do not occur may be among them, if there are few expressions.

    Returns:
        None if there are too many states to follow.
    """
    sets = _joint_sets(terms) if 1 << len(terms) > MAX_SUBSETS // 4 else None
    if sets is None and 1 << len(terms) <= MAX_SUBSETS:
        verdicts = product((True, False), repeat=len(terms))
        return [frozenset(compress(range(len(terms)), matched)) for matched in verdicts]
    return sets


def _joint_sets(terms: Sequence[Term]) -> list[frozenset[int]] | None:
    start: JointState = tuple((number, start_state(term)) for number, term in enumerate(terms))
    seen, pending = {start}, [start]
    matched: dict[frozenset[int], None] = {}
    work = 0
    while pending:
        state = pending.pop()
        matched[frozenset(number for number, term in state if accepts(term))] = None
        for symbol in _representatives(state):
            work += sum(term.size for _, term in state)
            if work > MAX_WORK:
                return None
            derivatives = ((number, derivative(term, symbol)) for number, term in state)
            target = tuple((number, term) for number, term in derivatives if term is not NEVER)
            if target not in seen:
                seen.add(target)
                pending.append(target)
    return list(matched)


def _representatives(state: JointState) -> list[int]:
    """One code point of each class that the derivatives of all terms share."""
    symbol_sets = list({ranges for _, term in state for ranges in term.symbol_sets})
    bounds = {bound for ranges in symbol_sets for low, high in ranges for bound in (low, high + 1)}
    edges = sorted({0, LAST + 1, *(bound for bound in bounds if bound <= LAST)})
    classes: dict[tuple[bool, ...], int] = {}
    for low, _ in pairwise(edges):
        classes.setdefault(tuple(in_ranges(ranges, low) for ranges in symbol_sets), low)
    return list(classes.values())
