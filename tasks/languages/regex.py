"""Regular expressions as terms whose Brzozowski derivatives are the states of an automaton.

    >>> from solver.tasks.languages.regex_parser import search
    >>> lowercase = search("^[a-z]+$")          # all strings in which the pattern is found
    >>> matches(lowercase & ~anchored(literal("null")), "abc")
    True

A term denotes a set of code-point sequences; ``derivative(term, c)`` is the set of sequences that may follow
c in it (Brzozowski 1964; Owens, Reppy and Turon, "Regular-expression derivatives re-examined", 2009).
Intersection and complement are as cheap as union. Terms are interned in a normal form, so that most equal
states are the same object. Anchors are two extra symbols, START and END, placed around every subject.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import count
from math import inf
from operator import attrgetter
from typing import Any, ClassVar, TypeVar
from weakref import WeakValueDictionary

from solver.tasks.languages.boolean import BooleanAlgebra
from solver.tasks.languages.code_points import LAST, Ranges, divide, in_ranges, single, union

START, END = LAST + 1, LAST + 2  # the anchors' symbols


class Term:
    """An interned regular expression. The subclass is the kind of expression.

    Attributes:
        nullable: whether the term contains the empty sequence.
        symbol_sets: sets that divide the alphabet: two symbols that are members of exactly the same sets
            have equal derivatives.
        number: position in the order of creation.
        size: number of nodes of the term as a tree; a shared subterm counts each time it occurs.
    """

    __slots__ = ("__weakref__", "nullable", "number", "size", "symbol_sets")
    __match_args__: tuple[str, ...] = ()
    op: ClassVar[str] = "atom"  # connective of And, Or and Not
    parts: tuple[Any, ...] = ()  # operands of And, Or and Not

    def __init__(
        self, number: int, nullable: bool, symbol_sets: frozenset[Ranges], size: int, *fields: Any
    ) -> None:
        self.number, self.nullable, self.symbol_sets, self.size = number, nullable, symbol_sets, size
        for name, value in zip(self.__match_args__, fields, strict=True):
            setattr(self, name, value)

    def __and__(self, term: Term) -> Term:
        return and_((self, term))

    def __or__(self, term: Term) -> Term:
        return or_((self, term))

    def __invert__(self) -> Term:
        return not_(self)

    def __repr__(self) -> str:
        fields = ", ".join(repr(getattr(self, name)) for name in self.__match_args__)
        return f"{type(self).__name__}({fields})"


class Never(Term):
    """The empty set of sequences."""

    __slots__ = ()


class Empty(Term):
    """The set that contains the empty sequence only."""

    __slots__ = ()


class Symbols(Term):
    """All sequences of one symbol that is in ``ranges``."""

    __slots__ = __match_args__ = ("ranges",)
    ranges: Ranges


class Concat(Term):
    """A sequence of ``first`` followed by a sequence of ``rest``."""

    __slots__ = __match_args__ = ("first", "rest")
    first: Term
    rest: Term


class Repeat(Term):
    """``part`` repeated at least ``low`` and at most ``high`` times (None: without limit)."""

    __slots__ = __match_args__ = ("part", "low", "high")  # the order of the fields
    part: Term
    low: int
    high: int | None


class Boolean(Term):
    """A Boolean combination of ``parts``. ``op`` names the connective."""

    __slots__ = __match_args__ = ("parts",)
    parts: tuple[Term, ...]


class And(Boolean):
    """The intersection of the parts."""

    __slots__ = ()
    op = "and"


class Or(Boolean):
    """The union of the parts."""

    __slots__ = ()
    op = "or"


class Not(Boolean):
    """All sequences that are not in its single part."""

    __slots__ = ()
    op = "not"


class Compiled(Term):
    """A state of a table (compiled.py), whose derivatives are looked up."""

    __slots__ = __match_args__ = ("state",)
    state: Any


class Deferred(Term):
    """The sequences of ``build(*arguments)`` except the empty one, built when its derivative is needed."""

    __slots__ = __match_args__ = ("build", "arguments")
    build: Callable[..., Term]
    arguments: tuple[Any, ...]


T = TypeVar("T", bound=Term)
_TERMS: WeakValueDictionary[tuple[Any, ...], Term] = WeakValueDictionary()
_NUMBERS = count()


def _intern(
    kind: type[T], nullable: bool, symbol_sets: frozenset[Ranges], children: tuple[Term, ...], *fields: Any
) -> T:
    """Return the term of this kind with these fields. It is created at the first call."""
    term: Any = _TERMS.get((kind, *fields))
    if term is None:
        size = 1 + sum(child.size for child in children)
        term = _TERMS[kind, *fields] = kind(next(_NUMBERS), nullable, symbol_sets, size, *fields)
    return term  # type: ignore[no-any-return]  # the key holds the kind


def _intern_boolean(op: str, parts: tuple[Term, ...]) -> Term:
    symbol_sets = frozenset[Ranges]().union(*(part.symbol_sets for part in parts))
    match op:
        case "and":
            return _intern(And, all(part.nullable for part in parts), symbol_sets, parts, parts)
        case "or":
            return _intern(Or, any(part.nullable for part in parts), symbol_sets, parts, parts)
        case _:
            return _intern(Not, not parts[0].nullable, symbol_sets, parts, parts)


def _arrange(op: str, operands: dict[Term, None]) -> dict[Term, None]:
    """Sort operands by their order of creation. In a union, first merge all sets of symbols into one."""
    if op == "or":
        sets = [part for part in operands if type(part) is Symbols]
        if sets:
            merged = symbols(union(pair for part in sets for pair in part.ranges))
            operands = {part: None for part in operands if type(part) is not Symbols} | {merged: None}
    return dict.fromkeys(sorted(operands, key=attrgetter("number"))) if len(operands) > 1 else operands


NEVER: Term = _intern(Never, False, frozenset(), ())
EMPTY: Term = _intern(Empty, True, frozenset(), ())


def symbols(ranges: Ranges) -> Term:
    """Return the term of all sequences of one symbol in ``ranges``."""
    return _intern(Symbols, False, frozenset([ranges]), (), ranges) if ranges else NEVER


_SYMBOL = symbols(((0, END),))
EVERYTHING: Term = _intern(Repeat, True, _SYMBOL.symbol_sets, (_SYMBOL,), _SYMBOL, 0, None)
ANY = symbols(((0, LAST),))  # any one code point
AT_START, AT_END = symbols(single(START)), symbols(single(END))

_ALGEBRA = BooleanAlgebra(EVERYTHING, NEVER, _intern_boolean, _arrange)
and_, or_, not_ = _ALGEBRA.and_, _ALGEBRA.or_, _ALGEBRA.not_


def concat(first: Term, second: Term) -> Term:
    """Return ``first`` followed by ``second``, nested to the right so that equal terms have one form."""
    if first is NEVER or second is NEVER:
        return NEVER
    parts: list[Term] = []
    while isinstance(first, Concat):
        parts.append(first.first)
        first = first.rest
    for part in (first, *reversed(parts)):
        second = _concat_one(part, second)
    return second


def _concat_one(first: Term, second: Term) -> Term:
    """``concat`` of a term that is no Concat."""
    if first is EMPTY or (second is EVERYTHING and first.nullable):
        return second
    if second is EMPTY:
        return first
    following = second.first if isinstance(second, Concat) else second
    if isinstance(first, Repeat) and isinstance(following, Repeat) and first.part is following.part:
        high = None if first.high is None or following.high is None else first.high + following.high
        both = repeat(first.part, first.low + following.low, high)
        return _concat_one(both, second.rest) if isinstance(second, Concat) else both
    symbol_sets = first.symbol_sets | second.symbol_sets if first.nullable else first.symbol_sets
    return _intern(Concat, first.nullable and second.nullable, symbol_sets, (first, second), first, second)


def repeat(part: Term, low: int, high: int | None) -> Term:
    """Return ``part`` repeated ``low`` to ``high`` times (None: without limit). Counts are not expanded."""
    if high == 0 or part is EMPTY:
        return EMPTY
    if part is NEVER:
        return EMPTY if low == 0 else NEVER
    if (low, high) == (1, 1):
        return part
    if part.nullable:
        low = 0
    if isinstance(part, Repeat) and (low == high or part.low * (low + 1) <= least_reach(part, low)):
        # the counts of the inner repetitions leave no gap, as in (a{1,5}){1,5}
        product = None if high is None or part.high is None else high * part.high
        return repeat(part.part, low * part.low, product)
    return _intern(Repeat, low == 0, part.symbol_sets, (part,), part, low, high)


ANYTHING, SOMETHING = repeat(ANY, 0, None), repeat(ANY, 1, None)  # strings, without START and END


def deferred(
    build: Callable[..., Term],
    arguments: tuple[Any, ...],
    symbol_sets: frozenset[Ranges],
    children: tuple[Term, ...],
) -> Term:
    """Return ``build(*arguments)``, which contains ``children``, without building it yet.

    ``symbol_sets`` are those of the term that is built, or more. Only a continuation may be deferred, which
    END follows, because the result does not contain the empty sequence.
    """
    return _intern(Deferred, False, symbol_sets, children, build, arguments)


@lru_cache(maxsize=1 << 12)
def _expanded(term: Deferred) -> Term:
    return term.build(*term.arguments)


def least_reach(part: Repeat, low: int) -> float:
    """The largest count that ``low`` repetitions of ``part`` can reach, and one more."""
    return 1 + (low * part.high if part.high is not None else inf if low else 0)


def literal(text: str) -> Term:
    """Return the term that contains the string ``text`` only."""
    term = EMPTY
    for char in reversed(text):
        term = concat(symbols(single(ord(char))), term)
    return term


def anchored(term: Term) -> Term:
    """Return the subjects that match ``term`` in full: the term between START and END."""
    return concat(AT_START, concat(term, AT_END))


@lru_cache(maxsize=1 << 16)
def derivative(term: Term, symbol: int) -> Term:
    """Return the set of sequences that may follow ``symbol`` in ``term``."""
    match term:
        case Concat():
            after_first = concat(derivative(term.first, symbol), term.rest)
            return or_((after_first, derivative(term.rest, symbol))) if term.first.nullable else after_first
        case Symbols():
            return EMPTY if in_ranges(term.ranges, symbol) else NEVER
        case Or():
            return or_(derivative(part, symbol) for part in term.parts)
        case And():
            return and_(derivative(part, symbol) for part in term.parts)
        case Not():
            return not_(derivative(term.parts[0], symbol))
        case Compiled(state):
            return state.derivative(symbol)  # type: ignore[no-any-return]  # a term
        case Deferred():
            return derivative(_expanded(term), symbol)
        case Repeat() if term is not EVERYTHING:
            high = None if term.high is None else term.high - 1
            return concat(derivative(term.part, symbol), repeat(term.part, max(0, term.low - 1), high))
        case _:
            return EVERYTHING if term is EVERYTHING else NEVER


def start_state(term: Term) -> Term:
    """Return the state before the first code point of a subject: the derivative by START."""
    return derivative(term, START)


def accepts(state: Term) -> bool:
    """Return whether the subject may end in ``state``."""
    return derivative(state, END).nullable


def matches(term: Term, text: str) -> bool:
    """Return whether the subject ``text``, between START and END, is in ``term``."""
    state = start_state(term)
    for char in text:
        state = derivative(state, ord(char))
    return accepts(state)


def transitions(state: Term) -> list[tuple[Ranges, Term]]:
    """Return the transitions of ``state`` as (disjoint ranges, derivative), except those to NEVER."""
    by_target: dict[Term, list[tuple[int, int]]] = {}
    for group in divide(state.symbol_sets):  # the members of a group have equal derivatives
        target = derivative(state, group[0][0])
        if target is not NEVER:
            by_target.setdefault(target, []).extend(group)
    return [(union(group), target) for target, group in by_target.items()]
