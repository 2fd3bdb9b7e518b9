"""Formulas about strings as regular expressions, and canonical JSON text.

>>> from solver.tasks.json_schema.formula import and_, leaf, not_
>>> from solver.tasks.languages.regex_parser import search
>>> term = string_term(and_([leaf("text", search("^a")), not_(leaf("text", search("z$")))]), max_bytes=64)
>>> regex.matches(term, "ab"), regex.matches(term, "az")
(True, False)
"""

import json
from functools import lru_cache
from typing import Any

from solver.tasks.json_schema.formats import FormatAssertion
from solver.tasks.json_schema.formula import MAYBE, YES, Formula, leaf
from solver.tasks.languages import regex
from solver.tasks.languages.byte_automaton import grouped
from solver.tasks.languages.code_points import union
from solver.tasks.languages.word_graph import word_graph

ALL_TEXT = regex.anchored(regex.repeat(regex.ANY, 0, None))
# Characters of one byte without an escape, whose automata are the smallest.
PLAIN_TEXT = regex.anchored(regex.repeat(regex.symbols(((32, 33), (35, 91), (93, 126))), 0, None))


def json_text(value: Any) -> bytes:
    """Write a value as canonical JSON: UTF-8, no white space, escapes only where needed."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def string_term(formula: Formula, max_bytes: int, maybe: bool = True) -> regex.Term:
    """Return the strings that satisfy a formula.

    Args:
        formula: a formula whose leaves are about strings.
        max_bytes: longest text of interest. Strings beyond it may be treated either way.
        maybe: the truth value of MAYBE, and of formats where the validator decides.
    """
    match formula.op, formula.parts:
        case "leaf", ("words", words):
            return words_term(words)
        case "leaf", ("format", FormatAssertion() as named):
            return named.possible if maybe else named.certain
        case "leaf", ("source", *_):
            return ALL_TEXT
        case "leaf", (_, term):
            return clip_repeats(term, max_bytes)
        case "not", (part,):
            return regex.and_((ALL_TEXT, ~string_term(part, max_bytes, not maybe)))
        case "and", parts:
            asserted = [part for part in parts if part.parts[:1] == ("format",)]
            listed = [part.parts[1] for part in parts if part.parts[:1] == ("words",)] if asserted else []
            if listed:  # the validator decides on each string of an enumeration
                words = frozenset.intersection(*listed)
                valid = (word for word in words if all(part.parts[1].accepts(word) for part in asserted))
                others = (part for part in parts if part not in asserted)
                parts = (leaf("words", frozenset(valid)), *others)
            return regex.and_(string_term(part, max_bytes, maybe) for part in parts)
        case "or", parts:
            return regex.or_(string_term(part, max_bytes, maybe) for part in parts)
        case "one", parts:
            true = [string_term(part, max_bytes, maybe) for part in parts]
            false = [~string_term(part, max_bytes, not maybe) for part in parts]
            return regex.or_(
                regex.and_([term, *false[:index], *false[index + 1 :]]) for index, term in enumerate(true)
            )
    return ALL_TEXT if formula is YES or (formula is MAYBE and maybe) else regex.NEVER


@lru_cache(maxsize=256)
def words_term(words: frozenset[str]) -> regex.Term:
    """The strings of a set, as a term that shares equal beginnings and endings."""
    terms: list[regex.Term] = []
    for is_final, edges in word_graph([tuple(map(ord, word)) for word in words]):
        by_target = grouped((target, symbol) for symbol, target in edges)
        options = [
            regex.concat(regex.symbols(union((symbol, symbol) for symbol in symbols)), terms[target])
            for target, symbols in by_target.items()
        ]
        terms.append(regex.or_([*([regex.AT_END] if is_final else []), *options]))
    return regex.concat(regex.AT_START, terms[-1])


def clip_repeats(term: regex.Term, max_bytes: int) -> regex.Term:
    """Drop upper bounds of repetitions that a text of ``max_bytes`` bytes cannot reach, to save states."""
    match term:
        case regex.Repeat(part, low, high):
            return regex.repeat(part, low, None if high is not None and high >= max_bytes else high)
        case regex.Concat(first, rest):
            return regex.concat(clip_repeats(first, max_bytes), clip_repeats(rest, max_bytes))
    return term
