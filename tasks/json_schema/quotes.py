"""The language of a field whose values are read off a text: its own values, restricted to those of the text.

>>> from solver.tasks.json_schema.formula import YES, leaf
>>> from solver.tasks.languages.regex_parser import search
>>> compiler = Compiler(True, usual=True, source=Source("Ann Lee lives in Rome"))
>>> capitalised = leaf("text", search("^[A-Z]"))
>>> list(listed_strings(compiler, capitalised))[:3], string_texts(compiler, capitalised, 64).num_states
(['Ann', 'Ann Lee', 'Ann Lee lives'], 22)
>>> string_texts(compiler, leaf("text", search("^[0-9]+$")), 64) is None  # the text has none
True

A string is a quote of the text, or a date or time that can be read off it, written as ISO 8601; a number is
one of those that can be read off it. Values that the schema enumerates stay as they are. A field for which the
text has no value at all is free (None): its language is its own.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from decimal import Decimal
from functools import lru_cache, partial
from itertools import accumulate
from typing import NamedTuple

from solver.tasks.json_schema.choices import value_choices
from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.constants import constants_of, evaluate_part
from solver.tasks.json_schema.formats import FormatAssertion, assertion
from solver.tasks.json_schema.formula import (
    KINDS,
    NO,
    YES,
    Formula,
    ItemSchemas,
    and_,
    item_demand,
    leaf,
    leaves,
    of_kind,
    or_,
    rewrite,
)
from solver.tasks.json_schema.keywords import source_leaves
from solver.tasks.json_schema.numbers import USUAL_DIGITS, number_text
from solver.tasks.json_schema.readings import Place
from solver.tasks.json_schema.source import LISTED_CHARS, Run, Source, SourceMode
from solver.tasks.json_schema.strings import json_text, string_term
from solver.tasks.languages import regex
from solver.tasks.languages.byte_automaton import (
    EXIT,
    ByteAutomaton,
    TooLargeError,
    explore,
)
from solver.tasks.languages.word_graph import literals_automaton

LONGEST = 240  # characters of a quote that is listed because the validator has to decide on it
# of the text; with more, quotes are restricted to its parts
STATES_PER_CHARACTER = 2
SEPARATOR = "\n"  # of runs, which have no line breaks
OTHER_KINDS = tuple(kind for kind in KINDS if kind not in ("string", "number"))
DATED = frozenset({"date", "time", "date-time"})
Given = frozenset[
    str | Decimal
]  # values of a template, which are possible although the text may not have them


def source_mode(compiler: Compiler, formula: Formula) -> SourceMode:
    """What ``x-source`` says of a field; without it, what holds for all fields."""
    modes = {part.parts[2] for part in leaves(formula) if part.parts[0] == "source"}
    return "free" if "free" in modes else "text" if "text" in modes else compiler.default_mode


def restricting_source(compiler: Compiler, formula: Formula) -> Source | None:
    """The text that restricts the values of a formula about strings or numbers; None if they are free."""
    return None if source_mode(compiler, formula) == "free" else compiler.source


def must_quote(compiler: Compiler, formula: Formula) -> bool:
    """Whether a field without any value in the text has no value at all."""
    return compiler.source is not None and source_mode(compiler, formula) == "text"


def without_source(formula: Formula) -> Formula:
    """The formula without ``x-source``."""
    return rewrite(formula, lambda part: YES if part.parts[0] == "source" else part)


def listed_strings(
    compiler: Compiler, formula: Formula, max_chars: int = LISTED_CHARS
) -> dict[str, tuple[Place, ...]]:
    """The strings of the text that satisfy a formula about strings, with their places.

    Args:
        compiler: has the text.
        formula: a formula whose leaves are about strings.
        max_chars: longest quote that is listed.
    """
    source = restricting_source(compiler, formula)
    if source is None:
        return {}
    formula = without_source(formula)
    term, names = string_term(_with_all_formats(formula), max_chars + 1), _formats(formula)
    strings: dict[str, dict[Place, None]] = {}
    for run in source.runs():
        for start, end in _spans(run, term, max_chars):
            if not names or evaluate_part(compiler, formula, run.chars[start:end]) is not NO:
                strings.setdefault(run.chars[start:end], {})[run.place(start, end)] = None
    if not strings or names & DATED:
        for text, places in source.dates().items():
            if evaluate_part(compiler, formula, text) is not NO:
                strings.setdefault(text, {}).update(dict.fromkeys(places))
    return {text: tuple(places) for text, places in strings.items()}


def listed_numbers(compiler: Compiler, formula: Formula) -> dict[Decimal, tuple[Place, ...]]:
    """The numbers of the text that satisfy a formula about numbers, with their places."""
    source = restricting_source(compiler, formula)
    numbers = source.numbers().items() if source is not None else ()
    return {number: places for number, places in numbers if is_number_of(compiler, formula, number)}


def is_number_of(compiler: Compiler, formula: Formula, number: Decimal) -> bool:
    """Whether a number may satisfy a formula, and is a double if it has a fraction."""
    has_few_digits = len(number.normalize().as_tuple().digits) <= USUAL_DIGITS
    is_exact = has_few_digits or number == number.to_integral_value()
    return is_exact and evaluate_part(compiler, formula, number) is not NO


def with_free_items(compiler: Compiler, array: Formula) -> Formula:
    """A formula about arrays whose items are free if more distinct ones are needed than the text has values."""
    parts = [part.parts for part in (array.parts if array.op == "and" else (array,)) if part.op == "leaf"]
    fewest = max((part[1] for part in parts if part[0] == "length"), default=0)
    if compiler.source is None or fewest < 2 or not any(part[0] == "unique" for part in parts):
        return array
    choices = value_choices(compiler, array, partial(item_demand, fewest - 1))
    item = or_(condition for condition, _ in choices)
    if constants_of(compiler, item) is not None or must_quote(compiler, item):
        return array
    string, number, *others = (of_kind(item, kind) for kind in ("string", "number", *OTHER_KINDS))
    count = 0 if string is NO else len(listed_strings(compiler, string))
    count += 0 if number is NO else len(listed_numbers(compiler, number))
    if count >= fewest or any(part is not NO for part in others):
        return array
    free = compiler.number_of(and_(source_leaves("free")))
    return and_([array, leaf("items", ItemSchemas((), free))])


def _with_all_formats(formula: Formula) -> Formula:
    """The formula with formats that allow every text that may be valid, and not the usual ones only."""

    def widen(part: Formula) -> Formula:
        match part.parts:
            case ("format", FormatAssertion(name, draft)):
                return leaf("format", assertion(name, draft, usual=False))
        return part

    return rewrite(formula, widen)


def _formats(formula: Formula) -> set[str]:
    return {part.parts[1].name for part in leaves(formula) if part.parts[0] == "format"}


def _spans(run: Run, term: regex.Term, max_chars: int) -> Iterator[Place]:
    """The spans of a run that are quotes and match a term."""
    ends, first = frozenset(run.ends), regex.start_state(term)
    for start in run.starts:
        state = first
        for index in range(start, min(start + max_chars, len(run.chars))):
            state = regex.derivative(state, ord(run.chars[index]))
            if state is regex.NEVER:
                break
            if index + 1 in ends and regex.accepts(state):
                yield start, index + 1


def number_texts(compiler: Compiler, formula: Formula, given: Given = frozenset()) -> ByteAutomaton | None:
    """The texts of the numbers of the text that satisfy a formula; None if the field is free."""
    if restricting_source(compiler, formula) is None:
        return None
    listed = {number for part in leaves(formula) if part.parts[0] == "among" for number in part.parts[1]}
    listed |= {number for number in given if isinstance(number, Decimal)}
    numbers = {number for number in listed if is_number_of(compiler, formula, number)}
    numbers |= listed_numbers(compiler, formula).keys()
    if not numbers and not must_quote(compiler, formula):
        return None
    return literals_automaton(tuple(sorted({number_text(number) for number in numbers})))


def string_texts(
    compiler: Compiler, formula: Formula, max_bytes: int, given: Given = frozenset()
) -> ByteAutomaton | None:
    """The rests, after the opening quote, of the text's strings that satisfy a formula; None if it is free.

    Args:
        compiler: has the text.
        formula: a formula whose leaves are about strings.
        max_bytes: longest text of interest.
        given: values that a template has.
    """
    if restricting_source(compiler, formula) is None:
        return None
    key = "strings", formula, max_bytes, given
    if key not in compiler.quoted:
        compiler.quoted[key] = _string_texts(compiler, formula, max_bytes, given)
    texts: ByteAutomaton = compiler.quoted[key]
    return texts if texts.min_length >= 0 or must_quote(compiler, formula) else None


def _string_texts(compiler: Compiler, formula: Formula, max_bytes: int, given: Given) -> ByteAutomaton:
    listed = {word for part in leaves(formula) if part.parts[0] == "words" for word in part.parts[1]}
    listed |= {word for word in given if isinstance(word, str)}
    words = frozenset(word for word in listed if evaluate_part(compiler, formula, word) is not NO)
    plain = without_source(formula)
    if not _formats(plain):
        quoted = _quotes_within_limits(compiler, plain, words, max_bytes)
        if quoted is not None and quoted.min_length >= 0:
            return quoted
    words |= listed_strings(compiler, formula, LONGEST).keys()  # no string may be, but a date
    return literals_automaton(tuple(sorted(json_text(word)[1:] for word in words)))


def _quotes_within_limits(
    compiler: Compiler, formula: Formula, words: frozenset[str], max_bytes: int
) -> ByteAutomaton | None:
    """The quotes of a formula without formats, or some of them; None if they are too many for an automaton.

    With ``maxLength``, a state for each length so far may be too many. Quotes are then restricted to parts of
    the text that overlap and are no longer than that.
    """
    source = compiler.source
    assert source is not None
    length, unlimited = _length_limit(formula)
    options = [(source.runs(), formula)]
    if length is not None:
        is_idle = all(len(run.chars) <= length for run in source.runs())
        options = [*([] if is_idle else options), (source.runs(length), unlimited)]
    for runs, part in options:
        try:
            return quoted_texts(runs, string_term(part, max_bytes), words, max_bytes)
        except TooLargeError:
            continue
    return None


def _length_limit(formula: Formula) -> tuple[int | None, Formula]:
    """The ``maxLength`` that all strings of a formula have, and the formula without it."""
    parts, limits = list[Formula](), list[int]()
    for part in formula.parts if formula.op == "and" else (formula,):
        match part.parts:
            case (
                "text",
                regex.Concat(start, regex.Concat(regex.Repeat(regex.ANY, low, int(high)), end)),
            ) if start is regex.AT_START and end is regex.AT_END:
                limits.append(high)
                part = leaf("text", regex.anchored(regex.repeat(regex.ANY, low, None)))
        parts.append(part)
    return min(limits, default=None), and_(parts)


def name_texts(compiler: Compiler, term: regex.Term, max_bytes: int, given: Given) -> ByteAutomaton | None:
    """The rests of member names that are quotes of the text or names of the schema, if there are any."""
    if compiler.source is None or compiler.default_mode == "free":
        return None
    words = compiler.names | {word for word in given if isinstance(word, str)}
    try:
        names = quoted_texts(compiler.source.runs(), term, words, max_bytes)
    except TooLargeError:
        return None
    return names if names.min_length >= 0 else None


class QuoteState(NamedTuple):
    """A state of :func:`quoted_texts`.

    Attributes:
        spelled: the first bytes of a character that is not complete.
        places: where the characters so far may end.
        term: state of the term after them.
        is_first: whether there is none so far.
    """

    spelled: bytes
    places: frozenset[int]
    term: regex.Term
    is_first: bool = False


def quoted_texts(
    runs: Iterable[Run], term: regex.Term, words: frozenset[str], max_bytes: int
) -> ByteAutomaton:
    """The rests, after the opening quote, of the quotes of some runs and of some words that match a term.

    Raises:
        TooLargeError: it has too many states.
    """
    parts = [*runs, *(Run(word, tuple(range(len(word) + 1)), (0,), (len(word),)) for word in sorted(words))]
    offsets = list(accumulate((len(part.chars) + 1 for part in parts), initial=0))
    chars = "".join(part.chars + SEPARATOR for part in parts)
    starts = frozenset(at + start for at, part in zip(offsets, parts, strict=False) for start in part.starts)
    ends = frozenset(at + end for at, part in zip(offsets, parts, strict=False) for end in part.ends)

    def edges(state: Hashable) -> list[tuple[int, Hashable]]:
        assert isinstance(state, QuoteState)
        targets: dict[int, Hashable] = {}
        may_end = "" in words if state.is_first else not state.spelled and not ends.isdisjoint(state.places)
        if may_end and regex.accepts(state.term):
            targets[ord('"')] = EXIT
        size = len(state.spelled) + 1
        by_byte = dict[int, list[tuple[bytes, str, int]]]()
        for place in state.places:
            text = encoded(chars[place])
            if chars[place] != SEPARATOR and text.startswith(state.spelled):
                by_byte.setdefault(text[size - 1], []).append((text, chars[place], place))
        for byte, group in by_byte.items():
            text, char, _ = group[0]
            places = frozenset(place for *_, place in group)
            if len(text) > size:
                targets[byte] = QuoteState(text[:size], places, state.term)
            elif (after := regex.derivative(state.term, ord(char))) is not regex.NEVER:
                targets[byte] = QuoteState(b"", frozenset(place + 1 for place in places), after)
        return list(targets.items())

    first = QuoteState(b"", starts, regex.start_state(term), is_first=True)
    return explore(first, edges, lambda _: False, max_bytes, 1000 + STATES_PER_CHARACTER * len(chars))


@lru_cache(maxsize=1 << 12)
def encoded(char: str) -> bytes:
    """The bytes of a character inside a JSON string."""
    return json_text(char)[1:-1]
