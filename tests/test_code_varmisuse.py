"""Rows of the variable-misuse data:

the text compiles, every token is in its position, and bad rows are refused.
"""

from __future__ import annotations

from collections import Counter

import pytest

from solver.tasks.code_edit.varmisuse import convert_row, detokenize

TOKENS = [
    *[
        "#NEWLINE#",
        "@",
        "cached",
        "#NEWLINE#",
        "def total(",
        "prices",
        ",",
        "**rates",
        ")",
        ":",
        "#NEWLINE#",
        "#INDENT#",
    ],
    *[
        "'Adds\\n    them.'",
        "#NEWLINE#",
        "found",
        "=",
        "{",
        "#NEWLINE#",
        "#INDENT#",
        "'a'",
        ":",
        "-",
        "1",
        ",",
        "#NEWLINE#",
    ],
    *[
        "#UNINDENT#",
        "}",
        "#NEWLINE#",
        "for",
        "one",
        "in",
        "prices",
        "[",
        "1",
        ":",
        "2",
        "]",
        ":",
        "#NEWLINE#",
        "#INDENT#",
    ],
    *[
        "if",
        "(",
        "one",
        "not in",
        "found",
        ")",
        ":",
        "#NEWLINE#",
        "#INDENT#",
        "found",
        ".",
        "add",
        "(",
        "prices",
        ",",
        "key",
    ],
    *[
        "=",
        "(",
        "one",
        "*",
        "2",
        ")",
        ",",
        "**",
        "rates",
        ")",
        "#NEWLINE#",
        "#UNINDENT#",
        "#UNINDENT#",
        "return",
        "found",
    ],
]
NUMBERS = {
    name: [n for n, one in enumerate(TOKENS) if one in (name, "**" + name)]
    for name in ("prices", "rates", "found", "one")
}
ROW = {
    "has_bug": True,
    "source_tokens": TOKENS,
    "error_location": NUMBERS["prices"][-1],
    "repair_targets": NUMBERS["one"],
    "repair_candidates": [*(n for each in NUMBERS.values() for n in each), "rates"],
}
SOURCE = """@cached
def total(prices, **rates):
    'Adds\\n    them.'
    found = {
        'a': -1,
    }
    for one in prices[1:2]:
        if (one not in found):
            found.add(prices, key=(one * 2), **rates)
    return found
"""


def test_varmisuse() -> None:
    found = convert_row(ROW)
    assert found is not None
    assert found.source == SOURCE
    assert found.span is not None
    assert SOURCE[: found.span[0]].endswith("found.add(")
    assert SOURCE[slice(*found.span)] == "prices"
    assert found.targets == ("one",)
    assert found.candidates == ("prices", "rates", "found", "one")
    assert found.span in found.uses
    assert [SOURCE[a:b] for a, b in found.uses[:5]] == ["prices", "rates", "found", "one", "prices"]
    assert len(found.uses) == sum(map(len, NUMBERS.values()))
    right = convert_row({**ROW, "has_bug": False, "error_location": 0, "repair_targets": []})
    assert right is not None
    assert (right.span, right.targets) == (None, ())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"source_tokens": ["def f(", ")", ":", "#NEWLINE#", "#INDENT#", "print", "1"]}, "does not compile"),
        ({"error_location": TOKENS.index("=")}, "a number is of no name"),
        ({"error_location": 999}, "a number is of no name"),
        ({"repair_targets": []}, "the right name is not said"),
        ({"repair_targets": NUMBERS["prices"][:1]}, "the wrong name is right"),
    ],
)
def test_rows_that_are_left_out(change: dict[str, object], reason: str) -> None:
    reasons = Counter[str]()
    assert convert_row({**ROW, **change}, reasons) is None
    assert reasons == {reason: 1}


def test_every_token_is_where_it_is_said_to_be() -> None:
    text, spans = detokenize(TOKENS)
    assert [text[a:b] for a, b in spans] == ["" if one.startswith("#") else one for one in TOKENS]
