r"""Sets of characters as the validator understands them: properties of Unicode, letters in any case.

>>> matched_by(r"\p{Script=Greek}")[:2]
((880, 883), (885, 887))
>>> without_case(((98, 98),))
((66, 66), (98, 98))
>>> is_accepted("[]a]"), is_accepted("[^]")
(True, False)

The validator (``jsonschema_rs``) has the last word on a pattern, and it has its own version of Unicode. A
set is found by asking it about all characters, in halves: about 0.2 s for each set, once per process.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache

import jsonschema_rs

from solver.tasks.languages.code_points import (
    DIGIT,
    DOT,
    LAST,
    SPACE,
    SURROGATES,
    WORD,
    Ranges,
    inverse,
    single,
    union,
)

WORD_OF_UNICODE = r"[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]"  # what \b looks for


@cache
def _characters() -> str:
    first, last = SURROGATES
    return "".join(map(chr, (*range(first), *range(last + 1, LAST + 1))))


def is_accepted(pattern: str, options: jsonschema_rs.RegexOptions | None = None) -> bool:
    """Whether the validator takes this for a pattern."""
    try:
        jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=options)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=256)
def matched_by(fragment: str) -> Ranges:
    """The characters that match ``fragment``, a pattern of one character; empty if it is not a pattern."""
    if not is_accepted(fragment):
        return ()
    is_all = jsonschema_rs.Draft202012Validator({"pattern": f"^(?:{fragment})*$"}).is_valid
    has_any = jsonschema_rs.Draft202012Validator({"pattern": fragment}).is_valid
    characters, ranges = _characters(), list[tuple[int, int]]()
    pending = [(0, len(characters))]
    while pending:
        start, end = pending.pop()
        text = characters[start:end]
        if is_all(text):
            ranges.append((ord(text[0]), ord(text[-1])))
        elif has_any(text):
            middle = (start + end) // 2
            pending += [(start, middle), (middle, end)]
    return union(ranges)


def without_case(ranges: Ranges) -> Ranges:
    """All characters that equal one in ``ranges`` without regard to case."""
    pairs = "".join(rf"\u{{{low:x}}}-\u{{{high:x}}}" for low, high in ranges)
    return matched_by(f"(?i:[{pairs}])") if ranges else ()


@dataclass(frozen=True)
class Dialect:
    r"""What the escapes of a pattern mean.

    Attributes:
        is_raw: whether the validator gives the pattern to its engine as it is, without translation.
        dot: the characters of ``.``.
        classes: those of ``\d``, ``\w`` and ``\s``, by their letters.
        word: those between which there is no word boundary.
    """

    is_raw: bool
    dot: Ranges
    classes: Mapping[str, Ranges]
    word: Ranges


ECMA = Dialect(False, DOT, {"d": DIGIT, "w": WORD, "s": SPACE}, WORD)
# Assertions and references that the validator does not translate, with all of the pattern around them.
UNTRANSLATED = re.compile(r"\(\?(?:<?[=!]|>|#|\()|\\[1-9kgGKZehRNOXa]|\{,|[{](?![0-9])")


def dialects_of(pattern: str) -> tuple[Dialect, ...]:
    """Return how the validator reads a pattern; several if that is not known.

    It translates a pattern from ECMA 262, except for word boundaries. One with lookaround or backreferences
    it cannot translate; then all classes are those of Unicode. A pattern that begins with lookahead may be split
    there, so that its parts are translated after all.
    """
    translated = translated_dialect() if re.search(r"\\[bB<>]", pattern) else ECMA
    if UNTRANSLATED.search(pattern) and not is_accepted(pattern, jsonschema_rs.RegexOptions()):
        return (raw_dialect(), translated) if pattern.startswith("^(?=") else (raw_dialect(),)
    return (translated,)


@cache
def raw_dialect() -> Dialect:
    """The validator's dialect for a pattern that it cannot translate."""
    word = matched_by(WORD_OF_UNICODE)
    classes = {"d": matched_by(r"\p{Nd}"), "w": word, "s": matched_by(r"\p{White_Space}")}
    return Dialect(True, inverse(single(10)), classes, word)


@cache
def translated_dialect() -> Dialect:
    """The validator's dialect for other patterns."""
    return replace(ECMA, word=matched_by(WORD_OF_UNICODE))
