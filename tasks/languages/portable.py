r"""Patterns that ECMA 262 accepts and the validator's engine refuses, rewritten to mean the same in both.

>>> print(portable_pattern(r"^[\w-.]+$"), portable_pattern("[^]"))
^[\w\-.]+$ [\s\S]

A hyphen beside a class such as ``\w`` is no range but a hyphen (ECMA 262, annex B), ``[^]`` is any character
and ``[]`` none.
"""

import re

from solver.tasks.languages.validator_sets import is_accepted

PIECE = re.compile(r"\\c[A-Za-z]|\\.|\[\^?\]|.", re.DOTALL)
WITHOUT_MEMBERS = {"[^]": r"[\s\S]", "[]": r"[^\s\S]"}
CLASS_ESCAPE = re.compile(r"\\[dDsSwW]")


def portable_pattern(pattern: str) -> str:
    """``pattern`` as it is if the validator accepts it; otherwise with these pieces rewritten."""
    if is_accepted(pattern):
        return pattern
    pieces = PIECE.findall(pattern)
    written: list[str] = []
    in_class = False
    for index, piece in enumerate(pieces):
        before, after = pieces[index - 1 : index] or [""], pieces[index + 1 : index + 2] or [""]
        if piece in WITHOUT_MEMBERS and not in_class:
            written.append(WITHOUT_MEMBERS[piece])
            continue
        beside = CLASS_ESCAPE.fullmatch(before[0]) or CLASS_ESCAPE.fullmatch(after[0])
        is_inner = in_class and before[0] != "[" and after[0] != "]"
        written.append(r"\-" if piece == "-" and is_inner and beside else piece)
        in_class = (in_class or piece == "[") and piece[-1] != "]"
    return "".join(written)
