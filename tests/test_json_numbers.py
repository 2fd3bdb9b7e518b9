"""Numbers and formats: automata agree with arithmetic and with examples."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver.api.candidate import Candidate
from solver.api.fill import fill
from solver.tasks.json_schema import formats
from solver.tasks.json_schema.formula import and_, leaf, not_, or_
from solver.tasks.json_schema.scalars import number_automaton
from solver.tasks.json_schema.serialize import accepts_bytes
from solver.tasks.languages.regex import matches

BOUNDS = ["0", "1", "-1", "5", "12", "-37", "0.5", "-0.25", "100", "999", "65535", "3.75", "1e20", "1e-7"]


numerals = st.one_of(
    st.integers(-1200, 1200).map(str),
    st.decimals(-60, 60, places=2).map(str),
    st.sampled_from(["-0", "-0.0", "12.50", "5.000", "1e+20", "2.5e+17", "1e-07", "3e-05", "65535", "65536"]),
)


assertions = st.one_of(
    st.tuples(st.sampled_from([">=", ">", "<=", "<"]), st.sampled_from(BOUNDS)).map(
        lambda x: leaf("compare", x[0], Decimal(x[1]))
    ),
    st.sampled_from(["1", "2", "3", "0.5", "0.01", "7", "100"]).map(lambda x: leaf("multiple", Decimal(x))),
    st.lists(st.sampled_from(BOUNDS), min_size=1, max_size=3).map(
        lambda x: leaf("among", frozenset(map(Decimal, x)))
    ),
)


def holds(formula: Any, number: Decimal) -> bool:
    if formula.op == "leaf":
        name, *rest = formula.parts
        if name == "compare":
            return {
                ">=": number >= rest[1],
                ">": number > rest[1],
                "<=": number <= rest[1],
                "<": number < rest[1],
            }[rest[0]]
        return number % rest[0] == 0 if name == "multiple" else number in rest[0]
    parts = [holds(part, number) for part in formula.parts]
    return {"and": all(parts), "or": any(parts), "not": not any(parts), "yes": True, "no": False}[formula.op]


@given(assertions, assertions, numerals)
def test_an_automaton_of_numbers_agrees_with_arithmetic(one: Any, other: Any, numeral: str) -> None:
    for formula in (and_([one, other]), or_([one, not_(other)])):
        inside = accepts_bytes(number_automaton(formula, 40), numeral.encode())
        expected = holds(formula, Decimal(numeral))
        if "e" in numeral:  # some numbers are only written out
            assert not inside or expected
        else:
            assert inside == expected


@pytest.mark.parametrize("name", sorted(formats.PATTERNS))
def test_formats_are_asserted_when_generating(name: str) -> None:
    found = fill({"type": "string", "format": name}, denoiser="random", length=64)
    assert isinstance(found, Candidate)
    term = formats.term(name)
    assert term is not None
    assert matches(term, found.value)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date", "2024-02-29", "2023-02-29"),
        ("date-time", "2023-01-31T23:59:59Z", "2023-04-31T00:00:00Z"),
        ("ipv4", "127.0.0.1", "256.0.0.1"),
        ("ipv6", "::1", "1::2::3"),
        ("uuid", "2eb8aa08-aa98-11ea-b4aa-73b441d16380", "2eb8aa08-aa98-11ea-b4aa-73b441d1638"),
        ("email", "ada@example.org", "@example.org"),
        ("uri", "http://a.b/c?d#e", "no uri"),
        ("hostname", "a-b.c", "-a.b"),
        ("duration", "P1DT2H", "P"),
        ("json-pointer", "/a~1b", "/a~2"),
    ],
)
def test_a_format_accepts_good_and_refuses_bad_examples(name: str, good: str, bad: str) -> None:
    term = formats.term(name)
    assert term is not None
    assert matches(term, good)
    assert not matches(term, bad)
