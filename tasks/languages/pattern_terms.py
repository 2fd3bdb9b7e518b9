"""From the syntax tree of a pattern to a term: anchors, lookahead and word boundaries in any place.

>>> from solver.tasks.languages.regex import literal, matches
>>> start, a, dash = Behind(single(START)), Plain(literal("a")), Plain(literal("-"))
>>> tree = loop(choice([chain([start, a]), dash]), 1, None)    # (?:^a|-)+
>>> matches(search_term(tree), "a"), matches(search_term(tree), "ba")
(True, False)
>>> matches(fullmatch_term(tree), "a--"), matches(fullmatch_term(tree), "aa")
(True, False)

A node is translated together with what comes after it (a continuation), because a lookahead constrains all
that follows, and for a given *context*: the class of the symbol before it. The classes divide the symbols
by all sets at which the pattern looks back; START is a class of its own. An assertion about the previous
symbol is thus decided at once, and one about what follows is an intersection with the continuation. A
repetition of a node with assertions is translated one iteration at a time, when its derivative is needed.

``is_upper`` says on which side an approximation has to err: inside a negative lookahead it has to be too
small, so that the whole is too large.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial

from solver.tasks.languages.code_points import Ranges, divide, in_ranges, single, union
from solver.tasks.languages.regex import (
    ANYTHING,
    AT_END,
    AT_START,
    EMPTY,
    END,
    EVERYTHING,
    NEVER,
    START,
    Term,
    and_,
    concat,
    deferred,
    not_,
    or_,
    repeat,
    symbols,
)
from solver.tasks.languages.term_structure import ending_in, symbol_sets_within

Continuation = Callable[[int, bool], Term]  # by the context and whether a symbol was consumed since a point


@dataclass(frozen=True, eq=False)
class Node:
    """A node of a pattern's syntax tree."""

    @property
    def children(self) -> Sequence[Node]:
        return ()


@dataclass(frozen=True, eq=False)
class Plain(Node):
    """A part without assertions. If it is not ``exact``, its strings are among those of ``term``."""

    term: Term
    exact: bool = True


@dataclass(frozen=True, eq=False)
class Behind(Node):
    """The assertion that the previous symbol, which may be START, is in ``ranges``."""

    ranges: Ranges


@dataclass(frozen=True, eq=False)
class Next(Node):
    """The assertion that the next symbol, which may be END, is in ``ranges``."""

    ranges: Ranges


@dataclass(frozen=True, eq=False)
class Ahead(Node):
    """The assertion that ``part`` matches what follows, or with ``is_negative`` that it does not."""

    part: Node
    is_negative: bool

    @property
    def children(self) -> Sequence[Node]:
        return (self.part,)


@dataclass(frozen=True, eq=False)
class Group(Node):
    """The parts one after another, or with ``is_choice`` one of them."""

    parts: tuple[Node, ...]
    is_choice: bool

    @property
    def children(self) -> Sequence[Node]:
        return self.parts


@dataclass(frozen=True, eq=False)
class Loop(Node):
    """``part``, which has assertions, repeated ``low`` to ``high`` times (None: without limit)."""

    part: Node
    low: int
    high: int | None

    @property
    def children(self) -> Sequence[Node]:
        return (self.part,)


def is_plain(node: Node) -> bool:
    """Whether the node is a term."""
    return isinstance(node, Plain) and node.exact


def chain(parts: Sequence[Node]) -> Node:
    """Return the parts one after another; neighbours without assertions become one term."""
    joined: list[Node] = []
    for part in reversed(parts):
        match part, joined:
            case Plain(first, True), [*_, Plain(second, True)]:
                joined[-1] = Plain(concat(first, second))
            case _:
                joined.append(part)
    if len(joined) == 1:
        return joined[0]
    return Group(tuple(reversed(joined)), is_choice=False) if joined else Plain(EMPTY)


def choice(parts: Sequence[Node]) -> Node:
    """Return a choice of one of the parts."""
    if all(map(is_plain, parts)):
        return Plain(or_(part.term for part in parts if isinstance(part, Plain)))
    return parts[0] if len(parts) == 1 else Group(tuple(parts), is_choice=True)


def loop(part: Node, low: int, high: int | None) -> Node:
    """Return the part repeated ``low`` to ``high`` times."""
    match part:
        case Plain(term, exact):
            return Plain(repeat(term, low, high), exact)
        case Behind() | Next() | Ahead():
            return part if low else Plain(EMPTY)
    return part if (low, high) == (1, 1) else Loop(part, low, high)


def nodes(root: Node) -> Iterator[Node]:
    """Yield a node and all nodes below it."""
    pending = [root]
    while pending:
        node = pending.pop()
        yield node
        pending += node.children


def is_exact(root: Node) -> bool:
    """Whether the term of this tree is neither too large nor too small."""
    return not any(isinstance(node, Plain) and not node.exact for node in nodes(root))


def search_term(root: Node) -> Term:
    """Return the subjects in which a match is found; too many if the tree is not exact."""
    translator = _Translator(root)
    starts = [translator.translate(root, context, True, _all, True) for context in translator.contexts]
    if all(term is starts[0] for term in starts):
        return concat(AT_START, concat(ANYTHING, starts[0]))
    later = (
        concat(ANYTHING, concat(symbols(ranges), term))
        for ranges, term in zip(translator.classes[1:], starts[1:], strict=True)
    )
    return concat(AT_START, or_([starts[0], *later]))


def fullmatch_term(root: Node) -> Term:
    """Return the subjects that match from beginning to end; too many if the tree is not exact."""
    return concat(AT_START, _Translator(root).translate(root, 0, True, lambda context, moved: AT_END, True))


def _all(context: int, moved: bool) -> Term:
    return EVERYTHING


class _Translator:
    """Translates the nodes of one tree. Contexts are indices into ``classes``."""

    def __init__(self, root: Node) -> None:
        behind = frozenset(node.ranges for node in nodes(root) if isinstance(node, Behind))
        self.classes = [single(START), *divide(behind)]
        self.contexts = range(len(self.classes))
        self.symbol_sets = frozenset(self.classes[1:])
        for node in nodes(root):
            if isinstance(node, Plain):
                self.symbol_sets |= symbol_sets_within(node.term)
            elif isinstance(node, Next):
                self.symbol_sets |= {node.ranges}

    def translate(self, node: Node, context: int, moved: bool, after: Continuation, is_upper: bool) -> Term:
        """Return what may follow a symbol of class ``context``: the node, then ``after``.

        Args:
            node: a node.
            context: class of the previous symbol.
            moved: whether a symbol was consumed since the innermost iteration began.
            after: what comes after the node, by context and ``moved``.
            is_upper: whether an approximation has to be too large; otherwise it has to be too small.
        """
        match node:
            case Plain(term, exact):
                return self.plain(term, context, moved, after) if exact or is_upper else NEVER
            case Behind(ranges):
                return after(context, moved) if in_ranges(ranges, self.classes[context][0][0]) else NEVER
            case Next(ranges):
                return next_in(ranges, after(context, moved))
            case Ahead(part, is_negative):
                ahead = self.translate(part, context, True, _all, is_upper != is_negative)
                return and_((not_(ahead) if is_negative else ahead, after(context, moved)))
            case Group(parts, is_choice=True):
                return or_(self.translate(part, context, moved, after, is_upper) for part in parts)
            case Group(parts):
                for part in reversed(parts):
                    after = cache(partial(self.translate, part, after=after, is_upper=is_upper))
                    for following in self.contexts[1:]:
                        after(following, True)  # from the last part to the first, so that calls do not nest
                return after(context, moved)
            case Loop(part, 0, 1):
                skipped = after(context, moved)
                return or_((skipped, self.translate(part, context, moved, after, is_upper)))
            case Loop(part, low, high):
                later = tuple(after(following, True) for following in self.contexts[1:])
                return self.iterations(part, low, high, is_upper, context, after(context, moved), later)
        raise AssertionError(node)

    def plain(self, term: Term, context: int, moved: bool, after: Continuation) -> Term:
        """A term and what comes after it, which may depend on the term's last symbol."""
        last_in: dict[Term, Ranges] = {}  # by continuation
        for later in self.contexts[1:]:
            rest = after(later, True)
            last_in[rest] = union((*last_in.get(rest, ()), *self.classes[later]))
        options = {after(context, moved): EMPTY} if term.nullable else {}
        if len(last_in) == 1 and options.keys() <= last_in.keys():
            return concat(term, rest)
        terms = [concat(ending_in(term, ranges), rest) for rest, ranges in last_in.items()]
        return or_([*options, *terms])

    def iterations(
        self,
        part: Node,
        low: int,
        high: int | None,
        is_upper: bool,
        context: int,
        here: Term,
        later: tuple[Term, ...],
    ) -> Term:
        """A loop's remaining iterations and what comes after it.

        Args:
            part: the node that is repeated.
            low: number of iterations at least.
            high: number of iterations at most, or None.
            is_upper: see :meth:`translate`.
            context: class of the previous symbol.
            here: what comes after the loop if no symbol is consumed before its end.
            later: what comes after the loop otherwise, by the class of the last symbol, from class 1 on.
        """
        if high == 0:
            return here
        sets = self.symbol_sets.union(here.symbol_sets, *(term.symbol_sets for term in later))
        arguments = (part, low, high, is_upper, context, here, later)
        return deferred(self.expand, arguments, sets, (here, *later))

    def expand(
        self,
        part: Node,
        low: int,
        high: int | None,
        is_upper: bool,
        context: int,
        here: Term,
        later: tuple[Term, ...],
    ) -> Term:
        """The first of :meth:`iterations`, and what then remains of them."""
        fewer = None if high is None else high - 1

        @cache
        def after(then: int, moved: bool) -> Term:
            if moved:
                return self.iterations(part, max(0, low - 1), fewer, is_upper, then, later[then - 1], later)
            # An empty iteration can be repeated, so it stands for all that are still required. It is of no
            # use if none is.
            return self.iterations(part, 0, fewer, is_upper, then, here, later) if low else NEVER

        iteration = self.translate(part, context, False, after, is_upper)
        return iteration if low else or_((here, iteration))


def next_in(ranges: Ranges, rest: Term) -> Term:
    """The sequences of ``rest`` that begin with a symbol in ``ranges``."""
    if ranges == single(END) and rest in (EVERYTHING, AT_END):
        return concat(AT_END, EVERYTHING) if rest is EVERYTHING else AT_END
    return and_((concat(symbols(ranges), EVERYTHING), rest))
