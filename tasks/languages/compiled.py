"""Regular expressions whose derivatives are computed once and then looked up.

>>> from solver.tasks.languages.regex import literal, matches, anchored, repeat
>>> digits = anchored(repeat(literal("a") | literal("b"), 2, 3))
>>> compiled(digits).size, matches(compiled(digits), "ab"), matches(compiled(digits), "abba")
(1, True, False)

A compiled term counts as small wherever it is combined with others, and its derivatives have no parts that grow.
"""

from solver.tasks.languages.code_points import Ranges, in_ranges, single
from solver.tasks.languages.regex import (
    END,
    NEVER,
    START,
    Compiled,
    Term,
    _intern,
    derivative,
    transitions,
)


class TableState:
    """A state: whether it is nullable, and its derivatives as (ranges, term) pairs."""

    def __init__(self, nullable: bool, rows: list[tuple[Ranges, int]], terms: list[Term]) -> None:
        self.nullable, self.rows, self.terms = nullable, rows, terms
        self.symbol_sets = frozenset(ranges for ranges, _ in rows)

    def derivative(self, symbol: int) -> Term:
        """The state that follows a symbol."""
        for ranges, target in self.rows:
            if in_ranges(ranges, symbol):
                return self.terms[target]
        return NEVER


def _term(state: TableState) -> Term:
    return _intern(Compiled, state.nullable, state.symbol_sets, (), state)


def compiled(term: Term) -> Term:
    """Return an equal term whose derivatives are looked up."""
    states, numbers = [term], {term: 0}
    terms: list[Term] = []
    for state in states:  # which grows
        anchors = [(single(symbol), derivative(state, symbol)) for symbol in (START, END)]
        rows = []
        for ranges, target in [*transitions(state), *anchors]:
            if target is not NEVER:
                number = numbers.setdefault(target, len(states))
                if number == len(states):
                    states.append(target)
                rows.append((ranges, number))
        terms.append(_term(TableState(state.nullable, rows, terms)))
    return terms[0]
