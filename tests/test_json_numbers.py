"""Numbers: automata agree with arithmetic, and what is written is a right number as it is written."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver import Budget, Hole
from solver.api.fill import fill
from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.errors import CanvasTooSmall, FillError, UnsatisfiableSchema
from solver.tasks.json_schema.formula import and_, leaf, not_, or_
from solver.tasks.json_schema.grammar import SchemaGrammar
from solver.tasks.json_schema.numbers import number_automaton
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.serialize import accepts_bytes, serialize
from solver.tasks.json_schema.task import JsonTask
from solver.tasks.languages.projection import BLANK

BOUNDS = [
    "2.5e17",
    "3e-7",
    "0",
    "1",
    "-1",
    "5",
    "12",
    "-37",
    "0.5",
    "-0.25",
    "100",
    "999",
    "65535",
    "3.75",
    "1e20",
    "1e-7",
]


numerals = st.one_of(
    st.integers(-1200, 1200).map(str),
    st.decimals(-60, 60, places=2).map(str),
    st.sampled_from(["-0", "-0.0", "12.50", "5.000", "1e+20", "2.5e+17", "1e-07", "3e-05", "65535", "65536"]),
    st.builds(
        "{}{}{}{}".format,
        st.integers(-120, 120),
        st.sampled_from(["", ".0", ".5", ".25"]),
        st.sampled_from(["e", "E", "e+", "e-0"]),
        st.sampled_from(["0", "1", "2", "7", "19", "20"]),
    ),
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
        expected = holds(formula, Decimal(numeral))
        decided = accepts_bytes(number_automaton(formula, 40), numeral.encode())
        if "e" not in numeral.lower():
            assert decided == expected
        elif decided:
            assert expected
        any_text = accepts_bytes(number_automaton(formula, 40, has_pins=True), numeral.encode())
        assert any_text >= expected
        usual = accepts_bytes(number_automaton(formula, 40, usual=True), numeral.encode())
        assert usual <= expected


@pytest.mark.parametrize(
    ("schema", "length"),
    [
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1e-300}, 6),
        ({"type": "number", "minimum": 1e300}, 5),
        ({"type": "integer", "minimum": 1e300}, 256),
        ({"type": "integer", "multipleOf": 2048, "minimum": 2048}, 256),
        ({"type": "number", "multipleOf": 2048, "minimum": 2048}, 256),
        ({"type": "integer", "minimum": 10**20, "maximum": 10**21}, 256),
        ({"enum": [1.5e-9, 2.0, 123456789012345678]}, 32),
    ],
)
def test_a_number_is_right_as_it_is_written(schema: Any, length: int) -> None:
    for seed in range(3):
        text = fill(schema, denoiser="random", length=length, seed=seed).text
        number = Decimal(text)
        assert number >= Decimal(schema.get("minimum", -1))
        assert Fraction(number) % schema.get("multipleOf", Fraction(number)) == 0
        if schema.get("type") == "integer" and length > 100 and schema["minimum"] < 1e200:
            assert text.isdecimal()
        assert "." not in text or Decimal(repr(float(text))) == number


@pytest.mark.parametrize("text", ["1.0", "1e5", "1E+05", "12.5e01", "-0.0", "100e-2", "0e7"])
def test_a_pinned_integer_may_have_a_fraction_and_an_exponent(text: str) -> None:
    assert fill({"type": "integer"}, template=[text], denoiser="random").text == text
    with pytest.raises(FillError):
        fill({"type": "integer", "minimum": 1000000}, template=[text], denoiser="random")


def test_a_number_that_no_double_is_counts_as_valid_only_if_it_is_given() -> None:
    problem = JsonProblem.of({"type": "number"}, length=24)
    for text, is_exact in (("0.1", True), ("1234567890123456.75", False), ("123456789012345678", True)):
        tokens = np.array([*text.encode()] + [BLANK] * (24 - len(text)))
        assert JsonTask().verify(problem, tokens) == is_exact
    pinned = fill({"type": "number"}, template=["1234567890123456.75"], denoiser="random")
    assert pinned.text == "1234567890123456.75"


def test_the_shortest_number_may_have_an_exponent() -> None:
    with pytest.raises(CanvasTooSmall) as caught:
        fill({"type": "number", "exclusiveMinimum": 0, "maximum": 1e-300}, denoiser="random", length=5)
    assert caught.value.minimum == 6


@pytest.mark.parametrize("divisor", [99991, 1000003])
@pytest.mark.parametrize(
    "further",
    [
        {"minimum": 1},
        {"minimum": 123456789},
        {"exclusiveMaximum": -(10**6)},
        {"minimum": 10**17, "maximum": 10**17 + 2 * 10**6},
        {"minimum": 1, "allOf": [{"multipleOf": 7}, {"multipleOf": 7001}]},
        {"minimum": 10, "type": "number"},
    ],
)
def test_multiples_with_too_many_remainders_are_found_beside_bounds(divisor: int, further: Any) -> None:
    schema = {"type": "integer", "multipleOf": divisor, **further}
    found = fill(schema, denoiser="random", budget=Budget(forwards=5))
    assert found.text.removeprefix("-").isdecimal()
    assert found.value % divisor == 0
    assert further.get("minimum", found.value) <= found.value
    assert found.value < further.get("exclusiveMaximum", found.value + 1)
    assert found.declined == (() if "maximum" in further else ("multipleOf",))


def test_decimal_multiples_with_too_many_remainders_are_found_beside_bounds() -> None:
    schema = {"type": "number", "multipleOf": 0.99991, "minimum": 99.9, "maximum": 100}
    assert fill(schema, denoiser="random").text == "99.991"


@given(st.sampled_from([99991, 1000003]), st.integers(-(10**15), 10**15), st.integers(0, 3 * 10**5))
def test_between_two_bounds_it_is_known_whether_there_is_a_multiple(
    divisor: int, minimum: int, width: int
) -> None:
    numbers = {"type": "integer", "multipleOf": divisor, "minimum": minimum, "maximum": minimum + width}
    multiples = range(minimum + -minimum % divisor, minimum + width + 1, divisor)
    if not multiples:
        with pytest.raises(UnsatisfiableSchema):
            JsonProblem.of(numbers)
        return
    compiler = Compiler(numbers)
    grammar = SchemaGrammar(compiler, 64)
    assert all(serialize(grammar, number) == str(number).encode() for number in multiples)
    assert serialize(grammar, multiples[0] + 1) is None
    assert not compiler.declined


def test_other_multiples_than_those_proposed_may_be_given() -> None:
    far, schema = 99991 * 987654, {"type": "array", "items": {"type": "integer", "multipleOf": 99991}}
    template = [f"[{far},", Hole(12), "]"]
    with pytest.raises(FillError) as caught:
        fill(schema, template=[f"[{far + 1},", Hole(12), "]"], denoiser="random", budget=Budget(forwards=3))
    assert not isinstance(caught.value, UnsatisfiableSchema)
    assert JsonProblem.of(schema, template=template).compiler.declined
    assert fill(schema, template=[str([far])], denoiser="random").value == [far]
