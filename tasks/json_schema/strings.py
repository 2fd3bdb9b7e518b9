"""Formulas about strings as regular expressions.

>>> from solver.tasks.json_schema.formula import and_, leaf, not_
>>> from solver.tasks.languages.regex import matches
>>> from solver.tasks.languages.regex_parser import search
>>> term = string_term(and_([leaf("text", search("^a")), not_(leaf("text", search("z$")))]), max_bytes=64)
>>> matches(term, "ab"), matches(term, "az")
(True, False)
"""

from __future__ import annotations

import json

from solver.tasks.json_schema.formula import MAYBE, YES, Formula
from solver.tasks.languages import regex

ALL_TEXT = regex.anchored(regex.repeat(regex.ANY, 0, None))


def json_string(text: str) -> bytes:
    """Write a string as canonical JSON: UTF-8, escapes only where they are needed, the short ones first."""
    return json.dumps(text, ensure_ascii=False).encode()


def string_term(formula: Formula, max_bytes: int, maybe: bool = True) -> regex.Term:
    """Return the strings that satisfy a formula.

    Args:
        formula: a formula whose leaves are about strings.
        max_bytes: longest text of interest. Strings beyond it may be treated either way.
        maybe: the truth value of MAYBE.
    """
    match formula.op, formula.parts:
        case "leaf", (_, term):
            return clip_repeats(term, max_bytes)
        case "not", (part,):
            return regex.and_((ALL_TEXT, ~string_term(part, max_bytes, not maybe)))
        case "and", parts:
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


def clip_repeats(term: regex.Term, max_bytes: int) -> regex.Term:
    """Drop upper bounds of repetitions that a text of ``max_bytes`` bytes cannot reach, to save states."""
    match term:
        case regex.Repeat(part, low, high):
            return regex.repeat(part, low, None if high is not None and high >= max_bytes else high)
        case regex.Concat(first, rest):
            return regex.concat(clip_repeats(first, max_bytes), clip_repeats(rest, max_bytes))
    return term
