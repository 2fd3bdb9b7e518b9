"""A schema's values as a grammar of their canonical spelling.

    grammar = Values({"type": "object", "properties": {"a": {"type": "integer"}}})
    unroll(grammar, cells=256)               # automata.py
    recognise(grammar, b'{"a":1}')

Canonical: no white space, UTF-8, the short escapes, members in the order in which the schema names them, then all others.
A node is a value to be written, or a place inside an array or object with the formula that is left of it: after each member or
item the formula is rewritten by what became of the subschemas that speak about it, so that *not*, *oneOf* and *if* need
nothing of their own. Where a subschema may be true or false, both ways are followed, and the value is written to match.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, Literal, NamedTuple

from solver.tasks.json_schema.compiler import Compiler, Items, Members
from solver.tasks.json_schema.formula import (
    MAYBE,
    NO,
    YES,
    Formula,
    and_,
    leaf,
    leaves,
    not_,
    of_kind,
    or_,
    rewrite,
)
from solver.tasks.json_schema.numbers import number_fragment
from solver.tasks.languages import regex
from solver.tasks.languages.byte_automaton import (
    WHITE,
    TooLargeError,
    explore,
    literals_automaton,
    string_automaton,
)
from solver.tasks.languages.grammar import Move

MOST_OPEN = 5  # subschemas that one value may make true or false freely; beyond, the validator decides
MOST_WORDS = 2000
FREE = ("value", YES)
TAIL = ("tail",)
Others = Literal["among", "before", "after"]
BLANKS = explore(
    0, lambda _: [(WHITE, 1)], lambda state: state == 1, 2
)  # one or more characters of white space


class Place(NamedTuple):
    """Inside an object: its names in order, the formula that is left, and the next name (or len(names): others)."""

    what: str
    plan: Plan
    left: Formula
    at: int


class Spot(NamedTuple):
    """Inside an array: the formula that is left, and the item's number (as far as numbers matter)."""

    what: str
    left: Formula
    at: int


class Key(NamedTuple):
    """A name that the schema does not know, of one class: which patterns it matches."""

    what: str
    plan: Plan
    left: Formula
    term: regex.Term
    subs: tuple[tuple[Formula, Any], ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """What stays the same while an object is written: the names that its formula knows, in order."""

    names: tuple[str, ...]

    @cached_property
    def spelled(self) -> tuple[bytes, ...]:
        return tuple((json.dumps(name, ensure_ascii=False) + ":").encode() for name in self.names)

    @cached_property
    def unknown(self) -> regex.Term:
        """The names that are not among them."""
        known = regex.or_(regex.anchored(regex.literal(name)) for name in self.names)
        return regex.and_((~known, regex.anchored(regex.repeat(regex.ANY, 0, None))))


class SchemaGrammar:
    """The grammar of a schema's values (see :class:`~solver.tasks.languages.projection.Grammar`).

    most: bytes of the block; what is longer need not be told apart.  first: names to be written in this order. others: where
    the names that are not among them go: where the schema has them, "before" or "after".
    spaces: white space is allowed where JSON has it, for blocks in which somebody else has written.
    """

    def __init__(
        self,
        compiler: Compiler,
        most: int,
        first: Sequence[str] = (),
        spaces: bool = False,
        others: Others = "among",
    ) -> None:
        self.compiler, self.most, self.spaces, self.others = compiler, most, spaces, others
        self.narrow = False  # some valid texts were left out, because there were too many states
        self.first = tuple(first)
        self.start: Hashable = ("document" if spaces else "value", compiler.formula(compiler.root))
        self._moves: dict[Hashable, tuple[Move, ...]] = {}
        self._plans: dict[Formula, Plan] = {}

    def is_unconstrained(self, node: Hashable) -> bool:
        return node == FREE

    def min_length(self, node: Hashable) -> int:
        return 0 if node == TAIL else 1

    def moves(self, node: Hashable) -> tuple[Move, ...]:
        found = self._moves.get(node)
        if found is None:
            assert isinstance(node, tuple)
            found = self._moves[node] = tuple(getattr(self, "at_" + node[0].replace(" ", "_"))(*node[1:]))
        return found

    # White space, which is only ever read (see fragments.WHITE). It may stand before a value, a bracket, a comma, a colon and
    # a name; a node is marked "bare" where it has been.

    def at_document(self, formula: Formula) -> list[Move]:
        return [Move(call=("value", formula), goto=TAIL)]

    def at_tail(self) -> list[Move]:
        return [Move(), Move(BLANKS)]

    def at_comma(self, plan: Plan, left: Formula, at: int) -> list[Move]:
        place = Place("member", plan, left, at)
        return [Move(goto=place), Move(BLANKS, goto=place)]

    def at_bare_value(self, formula: Formula) -> list[Move]:
        return [move for move in self.at_value(formula) if move.emit is not BLANKS]

    def at_bare_after_item(self, left: Formula, at: int) -> list[Move]:
        return [move for move in self.at_after_item(left, at) if move.emit is not BLANKS]

    def at_bare_after_member(self, plan: Plan, left: Formula, at: int) -> list[Move]:
        return [move for move in self.at_after_member(plan, left, at) if move.emit is not BLANKS]

    def at_empty_item(self, left: Formula, at: int) -> list[Move]:
        return self.end(left, b"]")

    def at_bare_named(self, plan: Plan, left: Formula, at: int) -> list[Move]:
        return [move for move in self.at_named(plan, left, at) if move.emit is not BLANKS]

    def at_bare_colon(self, plan: Plan, left: Formula, at: int) -> list[Move]:
        return [move for move in self.at_colon(plan, left, at) if move.emit is not BLANKS]

    def at_bare_first_member(self, plan: Plan, left: Formula, at: int) -> list[Move]:
        return [move for move in self.at_first_member(plan, left, at) if move.emit is not BLANKS]

    def white(self, goto: Hashable) -> list[Move]:
        return [Move(BLANKS, goto=goto)] if self.spaces else []

    # Values

    def at_value(self, formula: Formula) -> list[Move]:
        found = [
            Move(kind.encode()) for kind in ("null", "true", "false") if of_kind(formula, kind) is not NO
        ]
        numbers = of_kind(formula, "number")
        if numbers is not NO:
            try:
                found.append(Move(number_fragment(numbers, self.most)))
            except TooLargeError:
                self.compiler.decline("number")
                found.append(Move(number_fragment(YES, self.most)))
        found += self.strings(of_kind(formula, "string"))
        arrays, objects = of_kind(formula, "array"), of_kind(formula, "object")
        if arrays is not NO:
            found.append(Move(b"[", goto=Spot("first item", arrays, 0)))
        if objects is not NO:
            found.append(Move(b"{", goto=Place("first member", self.plan(objects), objects, 0)))
        return [*found, *self.white(("bare value", formula))]

    def strings(self, formula: Formula) -> list[Move]:
        if formula is NO:
            return []
        term = self.text(formula)
        words = regex.as_literals(term, MOST_WORDS)
        if words is not None:
            return [
                Move(
                    literals_automaton(
                        tuple(json.dumps(word, ensure_ascii=False).encode() for word in sorted(words))
                    )
                )
            ]
        return [Move(b'"', goto=("text", term))]

    def at_text(self, term: regex.Term) -> list[Move]:
        """The rest of a string. Where the automaton of all of them would be too large: those that begin with what the patterns
        look for, and where that is too large as well, any."""
        for one in (term, regex.under_approximation(term), ALL_TEXT):
            try:
                return [Move(string_automaton(regex.start_state(one), self.most, quoted=True))]
            except TooLargeError:
                self.compiler.decline("pattern", "string")
                self.narrow = self.narrow or one is term
        raise AssertionError("all texts fit")

    def text(self, formula: Formula, doubt: bool = True) -> regex.Term:
        """The formula about strings as one regex. ``doubt``: what MAYBE counts as."""
        op, parts = formula.op, formula.parts
        if op == "leaf":
            return clip_repeats(parts[1], self.most)
        if op == "not":
            return regex.and_((ALL_TEXT, ~self.text(parts[0], not doubt)))
        if op == "and":
            return regex.and_(self.text(part, doubt) for part in parts)
        if op == "or":
            return regex.or_(self.text(part, doubt) for part in parts)
        if op == "one":
            return regex.or_(
                regex.and_(
                    [
                        self.text(part, doubt),
                        *(~self.text(other, not doubt) for other in parts if other is not part),
                    ]
                )
                for part in parts
            )
        return ALL_TEXT if formula is YES or (formula is MAYBE and doubt) else regex.NEVER

    # Arrays

    def at_first_item(self, left: Formula, at: int) -> list[Move]:
        return [
            *self.end(left, b"]"),
            Move(goto=Spot("item", left, at)),
            *self.white(Spot("empty item", left, at)),
        ]

    def at_item(self, left: Formula, at: int) -> list[Move]:
        longest = max((len(f.parts[1].first) for f in leaves(left) if f.parts[0] == "items"), default=0)
        return [
            Move(call=("value", value), goto=Spot("after item", after, min(at + 1, longest)))
            for value, after in self.choices(left, lambda f: item_subs(f, at))
        ]

    def at_after_item(self, left: Formula, at: int) -> list[Move]:
        return [
            *self.end(left, b"]"),
            Move(b",", goto=Spot("item", left, at)),
            *self.white(Spot("bare after item", left, at)),
        ]

    # Objects

    def plan(self, formula: Formula) -> Plan:
        found = self._plans.get(formula)
        if found is None:
            about = leaves(formula)
            lists = [list(f.parts[1].named) for f in about if f.parts[0] == "members"]
            named = {name for names in lists for name in names}
            lists += [[f.parts[1]] for f in about if f.parts[0] == "required" and f.parts[1] not in named]
            known = {name for names in lists for name in names}
            first = [name for name in self.first if name in known]
            rest = [name for name in merge_orders(lists) if name not in first]
            ordered = {
                "among": merge_orders([first, *lists]),
                "before": [*rest, *first],
                "after": [*first, *rest],
            }[self.others]
            found = self._plans[formula] = Plan(tuple(ordered))
        return found

    @property
    def reordered(self) -> bool:
        """Whether some object may have several members, which the grammar writes in one order and others in any."""
        return any(len(plan.names) > 1 for plan in self._plans.values()) or any(
            isinstance(node, Key) for node in self._moves
        )

    def at_first_member(self, plan: Plan, left: Formula, at: int) -> list[Move]:
        white = self.white(Place("bare first member", plan, left, 0))
        return [*self.end(left, b"}"), Move(goto=Place("member", plan, left, 0)), *white]

    def at_member(self, plan: Plan, left: Formula, at: int) -> list[Move]:
        if at == len(plan.names):
            left, classes = self.classes(plan, left)
            return [Move(b'"', goto=Key("key", plan, left, term, subs)) for term, subs in classes]
        name = plan.names[at]
        if self.spaces:
            found = [Move(plan.spelled[at].removesuffix(b":"), goto=Place("named", plan, left, at))]
        else:
            found = self.valued(plan, left, at, plan.spelled[at])
        without = rewrite(left, lambda f: NO if f.parts == ("required", name) else f)
        return found if without is NO else [*found, Move(goto=Place("member", plan, without, at + 1))]

    def valued(self, plan: Plan, left: Formula, at: int, emit: bytes) -> list[Move]:
        """A known member, after ``emit``."""
        return [
            Move(emit, call=("value", value), goto=Place("after member", plan, after, at + 1))
            for value, after in self.choices(left, lambda f: self.member_subs(f, plan.names[at]))
        ]

    def at_named(self, plan: Plan, left: Formula, at: int) -> list[Move]:
        return [*self.valued(plan, left, at, b":"), *self.white(Place("bare named", plan, left, at))]

    def at_key(
        self, plan: Plan, left: Formula, term: regex.Term, subs: tuple[tuple[Formula, Any], ...]
    ) -> list[Move]:
        try:
            piece = string_automaton(regex.start_state(term), self.most, quoted=True)
        except TooLargeError:
            self.compiler.decline("patternProperties", "object")
            piece = string_automaton(regex.start_state(ALL_TEXT), self.most, quoted=True)
        return [Move(piece, goto=Place("colon", plan, left, self.remember(dict(subs))))]

    def remember(self, subs: Mapping[Formula, Any]) -> int:
        key = tuple(subs.items())
        found = self._seen.get(key)
        if found is None:
            found = self._seen[key] = len(self._classes)
            self._classes.append(dict(subs))
        return found

    @cached_property
    def _seen(self) -> dict[Any, int]:
        return {}

    @cached_property
    def _classes(self) -> list[dict[Formula, Any]]:
        return []

    def at_colon(self, plan: Plan, left: Formula, at: int) -> list[Move]:
        subs = self._classes[at]
        found = [
            Move(b":", call=("value", value), goto=Place("after member", plan, after, len(plan.names)))
            for value, after in self.choices(left, lambda f: subs.get(f, ()))
        ]
        return [*found, *self.white(Place("bare colon", plan, left, at))]

    def at_after_member(self, plan: Plan, left: Formula, at: int) -> list[Move]:
        white = self.white(Place("bare after member", plan, left, at))
        follows = Place("comma" if self.spaces else "member", plan, left, at)
        return [*self.end(left, b"}"), Move(b",", goto=follows), *white]

    def member_subs(self, f: Formula, name: str) -> Any:
        """What the leaf says of a member of this name: subschemas of its value; or a verdict on the name (True, False)."""
        kind = f.parts[0]
        if kind == "members":
            members: Members = f.parts[1]
            subs = [members.named[name]] if name in members.named else []
            subs += [sub for term, sub in members.patterns if regex.matches(term, name)]
            return tuple(subs) if subs else () if members.others is None else (members.others,)
        if kind == "names":
            return regex.matches(self.names(f), name)
        return (name,) if f.parts == ("required", name) else ()

    def names(self, f: Formula) -> regex.Term:
        return self.text(of_kind(self.compiler.formula(f.parts[1]), "string"))

    def classes(
        self, plan: Plan, left: Formula
    ) -> tuple[Formula, list[tuple[regex.Term, tuple[tuple[Formula, Any], ...]]]]:
        """The names that the schema does not know, divided by what its patterns say of them, and ``left``: in doubt about them,
        where there are too many patterns."""
        about = [f for f in leaves(left) if f.parts[0] in ("members", "names")]
        tests: dict[regex.Term, None] = {}
        for f in about:
            if f.parts[0] == "names":
                tests[self.names(f)] = None
            else:
                tests.update(dict.fromkeys(term for term, _ in f.parts[1].patterns))
        if len(tests) > MOST_OPEN:
            self.compiler.decline("patternProperties", "object")
            doubtful = rewrite(left, lambda f: MAYBE if f.parts[0] in ("members", "names") else f)
            return doubtful, [(plan.unknown, ())] if doubtful is not NO else []
        found = []
        for answers in product((True, False), repeat=len(tests)):
            answer = dict(zip(tests, answers, strict=True))
            term = regex.and_([plan.unknown, *(t if yes else ~t for t, yes in answer.items())])
            subs = tuple((f, self.class_subs(f, answer)) for f in about)
            if term is not regex.NEVER and not self.refused(left, dict(subs)):
                found.append((term, subs))
        return left, found

    def class_subs(self, f: Formula, answer: Mapping[regex.Term, bool]) -> Any:
        if f.parts[0] == "names":
            return answer[self.names(f)]
        members: Members = f.parts[1]
        subs = tuple(sub for term, sub in members.patterns if answer[term])
        return subs if subs else () if members.others is None else (members.others,)

    def refused(self, left: Formula, subs: Mapping[Formula, Any]) -> bool:
        return rewrite(left, lambda f: NO if subs.get(f) is False else f) is NO

    # What is left

    def end(self, left: Formula, bracket: bytes) -> list[Move]:
        """The closing bracket, where nothing is missing."""
        return [Move(bracket)] if rewrite(left, close_leaf) is not NO else []

    def choices(self, left: Formula, subs_of: Callable[[Formula], Any]) -> list[tuple[Formula, Formula]]:
        """What the next value may satisfy, and the formula that is then left of the whole: values that leave different formulas
        behind exclude each other. ``subs_of`` gives the subschemas in which a leaf sees the value."""
        asked = {f: subs_of(f) for f in leaves(left)}
        places = list(
            dict.fromkeys(
                sub
                for subs in asked.values()
                if isinstance(subs, tuple)
                for sub in subs
                if isinstance(sub, int)
            )
        )

        def after(true: frozenset[int], false: frozenset[int]) -> Formula:
            return rewrite(left, lambda f: advance_leaf(f, asked[f], true, false))

        needed = [p for p in places if after(frozenset(), frozenset([p])) is NO]
        free = [p for p in places if p not in needed]
        if len(free) > MOST_OPEN:
            self.compiler.decline("alternatives")
            doubtful = frozenset(free)
            here = rewrite(
                left,
                lambda f: MAYBE if doubtful & set(asked[f] if isinstance(asked[f], tuple) else ()) else f,
            )
            value = and_(self.compiler.formula(p) for p in needed)
            asked = {f: asked.get(f, ()) for f in leaves(here)}
            then = rewrite(here, lambda f: advance_leaf(f, asked[f], frozenset(needed), frozenset()))
            return [(value, then)] if then is not NO and value is not NO else []
        found: dict[Formula, list[Formula]] = {}
        for answers in product((True, False), repeat=len(free)):
            true = frozenset([*needed, *(p for p, yes in zip(free, answers, strict=True) if yes)])
            false = frozenset(p for p, yes in zip(free, answers, strict=True) if not yes)
            then = after(true, false)
            if then is not NO:
                says = [
                    self.compiler.formula(p) if p in true else not_(self.compiler.formula(p)) for p in free
                ]
                found.setdefault(then, []).append(and_(says))
        must = [self.compiler.formula(p) for p in needed]
        every = 2 ** len(free)
        result = [
            (and_([*must, YES if len(ways) == every else or_(ways)]), then) for then, ways in found.items()
        ]
        return [(value, then) for value, then in result if value is not NO]


def merge_orders(lists: Sequence[Sequence[str]]) -> list[str]:
    """All names in one order that agrees with every list, as far as there is one; those that came first stay first."""
    before: dict[str, set[str]] = {}
    for names in lists:
        for at, name in enumerate(names):
            before.setdefault(name, set()).update(names[max(0, at - 1) : at])
    found: list[str] = []
    while before:
        free = next(
            (name for name, others in before.items() if not others & before.keys()), next(iter(before))
        )
        found.append(free)
        del before[free]
    return found


ALL_TEXT = regex.anchored(regex.repeat(regex.ANY, 0, None))


def item_subs(f: Formula, at: int) -> tuple[int, ...]:
    """The subschemas in which a leaf about arrays sees item ``at``."""
    if f.parts[0] == "items":
        items: Items = f.parts[1]
        if at < len(items.first):
            return (items.first[at],)
        return () if items.others is None else (items.others,)
    return (f.parts[1],) if f.parts[0] == "contains" else ()


def advance_leaf(f: Formula, subs: Any, true: frozenset[int], false: frozenset[int]) -> Formula:
    """The leaf after one more item or member, of which ``true`` and ``false`` subschemas are known."""
    kind = f.parts[0]
    if kind in ("members", "items"):
        return NO if any(sub in false for sub in subs) else f
    if kind == "names":
        return NO if subs is False else f
    if kind == "required":
        return YES if subs else f
    if kind in ("count", "length"):
        return count_element(f, kind, (), *f.parts[1:])
    if kind == "contains":
        sub, least, most, so_far = f.parts[1:]
        return count_element(f, kind, (sub,), least, most, so_far) if sub in true else f
    return f


def count_element(
    f: Formula, kind: str, head: tuple[Any, ...], least: int, most: int | None, so_far: int
) -> Formula:
    """One more, as far as counting matters."""
    so_far += 1
    if most is not None and so_far > most:
        return NO
    if most is None and so_far >= least:
        return YES
    return leaf(kind, *head, least, most, so_far)


def close_leaf(f: Formula) -> Formula:
    """The leaf when the array or object ends."""
    kind = f.parts[0]
    if kind == "required":
        return NO
    if kind in ("count", "length", "contains"):
        least, most, so_far = f.parts[-3:]
        return YES if least <= so_far and (most is None or so_far <= most) else NO
    return YES


def clip_repeats(term: regex.Term, most: int) -> regex.Term:
    """The term with upper bounds that a block of ``most`` bytes cannot reach left out."""
    match term:
        case regex.Repeat(part, low, high):
            return regex.repeat(part, low, None if high is not None and high >= most else high)
        case regex.Concat(first, rest):
            return regex.concat(clip_repeats(first, most), clip_repeats(rest, most))
        case _:
            return term
