"""Regular expressions as terms whose Brzozowski derivatives are the states of an automaton.

    >>> from solver.tasks.languages.regex_parser import search
    >>> lowercase = search("^[a-z]+$")          # the strings in which a pattern is found
    >>> matches(lowercase & ~anchored(literal("null")), "abc")
    True

A term denotes a set of code-point sequences; ``derivative(r, c)`` is the set of sequences that may follow
c (Brzozowski 1964; Owens, Reppy and Turon, "Regular-expression derivatives re-examined", 2009).
Intersection and complement are as cheap as union. Terms are interned in a normal form, so that most equal
states are the same object. Anchors are two extra symbols, START and END, placed around every subject.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from operator import attrgetter
from typing import Any, ClassVar, TypeVar

from solver.tasks.languages.boolean import BooleanAlgebra
from solver.tasks.languages.code_points import LAST, Ranges, in_ranges, is_single, single, union

START, END = LAST + 1, LAST + 2  # the anchors' symbols


class Term:
    """An interned regular expression; its class is the kind.

    Attributes:
        nullable: whether it contains the empty sequence.
        firsts: sets of symbols; symbols in the same sets have the same derivative.
        number: order of creation.
        size: number of terms it is made of, repeated ones included.
    """

    __slots__ = ("firsts", "nullable", "number", "size")
    __match_args__: tuple[str, ...] = ()
    op: ClassVar[str] = "atom"
    parts: tuple[Any, ...] = ()  # operands of And, Or and Not

    def __init__(
        self, number: int, nullable: bool, firsts: frozenset[Ranges], size: int, *fields: Any
    ) -> None:
        self.number, self.nullable, self.firsts, self.size = number, nullable, firsts, size
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
    """The empty set."""

    __slots__ = ()


class Empty(Term):
    """The empty sequence alone."""

    __slots__ = ()


class Symbols(Term):
    """Any one symbol of ``ranges``."""

    __slots__ = __match_args__ = ("ranges",)
    ranges: Ranges


class Concat(Term):
    """``first`` followed by ``rest``."""

    __slots__ = __match_args__ = ("first", "rest")
    first: Term
    rest: Term


class Repeat(Term):
    """``part`` repeated from ``low`` to ``high`` times (None: any number)."""

    __slots__ = __match_args__ = ("part", "low", "high")  # the order of the fields
    part: Term
    low: int
    high: int | None


class Boolean(Term):
    """A Boolean combination of ``parts``; ``op`` is the connective."""

    __slots__ = __match_args__ = ("parts",)
    parts: tuple[Term, ...]


class And(Boolean):
    """Intersection."""

    __slots__ = ()
    op = "and"


class Or(Boolean):
    """Union."""

    __slots__ = ()
    op = "or"


class Not(Boolean):
    """Complement of the only part among all sequences."""

    __slots__ = ()
    op = "not"


T = TypeVar("T", bound=Term)
_TERMS: dict[tuple[Any, ...], Term] = {}


def _intern(
    kind: type[T], nullable: bool, firsts: frozenset[Ranges], children: tuple[Term, ...], *fields: Any
) -> T:
    """The one term of this kind with these fields."""
    term: Any = _TERMS.get((kind, *fields))
    if term is None:
        size = 1 + sum(child.size for child in children)
        term = _TERMS[kind, *fields] = kind(len(_TERMS), nullable, firsts, size, *fields)
    return term  # type: ignore[no-any-return]  # the key holds the kind


def _intern_boolean(op: str, parts: tuple[Term, ...]) -> Term:
    firsts = frozenset[Ranges]().union(*(part.firsts for part in parts))
    match op:
        case "and":
            return _intern(And, all(part.nullable for part in parts), firsts, parts, parts)
        case "or":
            return _intern(Or, any(part.nullable for part in parts), firsts, parts, parts)
        case _:
            return _intern(Not, not parts[0].nullable, firsts, parts, parts)


def _arrange(op: str, operands: dict[Term, None]) -> dict[Term, None]:
    """Operands in the order of their creation; in a union, all sets of symbols are merged into one."""
    if op == "or":
        sets = [part for part in operands if type(part) is Symbols]
        if sets:
            merged = symbols(union(pair for part in sets for pair in part.ranges))
            operands = {part: None for part in operands if type(part) is not Symbols} | {merged: None}
    return dict.fromkeys(sorted(operands, key=attrgetter("number"))) if len(operands) > 1 else operands


NEVER: Term = _intern(Never, False, frozenset(), ())
EMPTY: Term = _intern(Empty, True, frozenset(), ())


def symbols(ranges: Ranges) -> Term:
    """One symbol out of ``ranges``."""
    return _intern(Symbols, False, frozenset([ranges]), (), ranges) if ranges else NEVER


_SYMBOL = symbols(((0, END),))
EVERYTHING: Term = _intern(Repeat, True, _SYMBOL.firsts, (_SYMBOL,), _SYMBOL, 0, None)
ANY = symbols(((0, LAST),))  # any one code point
AT_START, AT_END = symbols(single(START)), symbols(single(END))

_ALGEBRA = BooleanAlgebra(EVERYTHING, NEVER, _intern_boolean, _arrange)
and_, or_, not_ = _ALGEBRA.and_, _ALGEBRA.or_, _ALGEBRA.not_


def concat(first: Term, second: Term) -> Term:
    """``first`` followed by ``second``, nested to the right so that equal sequences have one form."""
    if first is NEVER or second is NEVER:
        return NEVER
    if first is EMPTY:
        return second
    if second is EMPTY:
        return first
    if isinstance(first, Concat):
        return concat(first.first, concat(first.rest, second))
    if first is EVERYTHING and (
        second is EVERYTHING or (isinstance(second, Concat) and second.first is EVERYTHING)
    ):
        return second
    firsts = first.firsts | second.firsts if first.nullable else first.firsts
    nullable = first.nullable and second.nullable
    return _intern(Concat, nullable, firsts, (first, second), first, second)


def repeat(part: Term, low: int, high: int | None) -> Term:
    """``part`` from ``low`` to ``high`` times (None: any number). Counts are kept as counts."""
    if high == 0 or part is EMPTY:
        return EMPTY
    if part is NEVER:
        return EMPTY if low == 0 else NEVER
    if (low, high) == (1, 1):
        return part
    if (low, high) == (0, None) and isinstance(part, Repeat) and part.low in (0, 1) and part.high is None:
        return repeat(part.part, 0, None)
    if part.nullable:
        low = 0
    return _intern(Repeat, low == 0, part.firsts, (part,), part, low, high)


def literal(text: str) -> Term:
    """The one string ``text``."""
    term = EMPTY
    for char in reversed(text):
        term = concat(symbols(single(ord(char))), term)
    return term


def anchored(term: Term) -> Term:
    """The subjects that are as a whole in ``term``: START and END around it."""
    return concat(AT_START, concat(term, AT_END))


@lru_cache(maxsize=1 << 17)
def derivative(term: Term, symbol: int) -> Term:
    """The set of sequences that may follow ``symbol`` in ``term``."""
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
        case Repeat() if term is not EVERYTHING:
            high = None if term.high is None else term.high - 1
            return concat(derivative(term.part, symbol), repeat(term.part, max(0, term.low - 1), high))
        case _:
            return EVERYTHING if term is EVERYTHING else NEVER


def start_state(term: Term) -> Term:
    """The state before the first code point of a subject."""
    return derivative(term, START)


def accepts(state: Term) -> bool:
    """Whether the subject may end in ``state``."""
    return derivative(state, END).nullable


def matches(term: Term, text: str) -> bool:
    """Whether ``text`` is one of the subjects of ``term``."""
    state = start_state(term)
    for char in text:
        state = derivative(state, ord(char))
    return accepts(state)


def transitions(state: Term) -> list[tuple[Ranges, Term]]:
    """The derivatives of ``state`` as (ranges, target), by disjoint ranges, without dead targets."""
    bounds = {bound for ranges in state.firsts for low, high in ranges for bound in (low, high + 1)}
    edges = sorted({0, LAST + 1, *(bound for bound in bounds if bound <= LAST)})
    # Code points in the same sets of ``firsts`` have the same derivative: one is computed per group.
    groups: dict[tuple[bool, ...], list[tuple[int, int]]] = {}
    firsts = list(state.firsts)
    for low, high in pairwise(edges):
        groups.setdefault(tuple(in_ranges(ranges, low) for ranges in firsts), []).append((low, high - 1))
    by_target: dict[Term, list[tuple[int, int]]] = {}
    for group in groups.values():
        target = derivative(state, group[0][0])
        if target is not NEVER:
            by_target.setdefault(target, []).extend(group)
    return [(union(group), target) for target, group in by_target.items()]


def under_approximation(term: Term) -> Term:
    """A subset of ``term`` with far fewer states: an unanchored pattern is anchored at the start."""
    match term:
        case Concat() if term.first is EVERYTHING:
            return concat(repeat(AT_START, 0, 1), term.rest)
        case And():
            return and_(map(under_approximation, term.parts))
        case Or():
            return or_(map(under_approximation, term.parts))
        case _:
            return term


def as_literals(term: Term, limit: int) -> list[str] | None:
    """The strings of an :func:`anchored` term that is a plain list of up to ``limit`` literals, else None."""
    if isinstance(term, Or):
        lists = [as_literals(part, limit) for part in term.parts]
        if len(lists) > limit or None in lists:
            return None
        return [text for texts in lists for text in texts or ()]
    chars: list[str] = []
    while isinstance(term, Concat):
        if not isinstance(term.first, Symbols) or not is_single(term.first.ranges):
            return None
        code = term.first.ranges[0][0]
        chars.append(chr(code) if code <= LAST else "")  # an anchor has no character
        term = term.rest
    return ["".join(chars)] if term is AT_END and chars and chars[0] == "" else None
