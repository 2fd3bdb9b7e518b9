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
    Term,
    compiled_state,
    derivative,
    transitions,
)


class StateTable:
    """The states that the derivatives of a term lead to, and for each of them (ranges, state) pairs."""

    def __init__(self, start: Term) -> None:
        self.states = [start]
        self.rows: list[list[tuple[Ranges, int]]] = []
        numbers = {start: 0}
        for state in self.states:  # which grows
            anchors = [(single(symbol), derivative(state, symbol)) for symbol in (START, END)]
            self.rows.append([])
            for ranges, target in [*transitions(state), *anchors]:
                if target is not NEVER:
                    number = numbers.setdefault(target, len(self.states))
                    if number == len(self.states):
                        self.states.append(target)
                    self.rows[-1].append((ranges, number))
        sets = [frozenset(ranges for ranges, _ in row) for row in self.rows]
        pairs = zip(self.states, sets, strict=True)
        self.terms = [
            compiled_state(self.derivative, index, state.nullable, symbol_sets)
            for index, (state, symbol_sets) in enumerate(pairs)
        ]

    def derivative(self, index: int, symbol: int) -> Term:
        """The state that follows a symbol."""
        for ranges, target in self.rows[index]:
            if in_ranges(ranges, symbol):
                return self.terms[target]
        return NEVER


def compiled(term: Term) -> Term:
    """Return an equal term whose derivatives are looked up."""
    return StateTable(term).terms[0]
