"""The strings of an expression that has only a few.

>>> from solver.tasks.languages.regex_parser import search
>>> finite_strings(search("^(^a$|^b$)$"), most=8)
['a', 'b']
>>> finite_strings(search("^a+$"), most=8) is None
True
"""

from solver.tasks.languages.code_points import Ranges
from solver.tasks.languages.regex import Term, accepts, start_state, transitions

MAX_STATES = 1000


def finite_strings(term: Term, most: int) -> list[str] | None:
    """The subjects of ``term`` in alphabetical order.

    Returns:
        None if there are more than ``most``, or too many states to look at.
    """
    strings = list[str]()
    states, pending = 0, [("", start_state(term))]
    while pending:
        text, state = pending.pop()
        states += 1
        if accepts(state):
            strings.append(text)
        steps = transitions(state)
        symbols = sum(size(ranges) for ranges, _ in steps)
        if len(strings) > most or symbols > most or states > MAX_STATES:
            return None
        for ranges, target in steps:
            codes = (code for low, high in ranges for code in range(low, high + 1))
            pending += [(text + chr(code), target) for code in codes]
    return sorted(strings)


def size(ranges: Ranges) -> int:
    """The number of code points."""
    return sum(high - low + 1 for low, high in ranges)
