"""Types as schemas: what ``solver.fill`` reads of them, and objects of these types as values."""

from __future__ import annotations

import enum
import json
import sys
import typing
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Annotated, Any, Literal

import annotated_types
import pydantic
import pytest
from jsonschema import Draft202012Validator

import solver
from solver.api import value_types
from solver.api.plain_types import RefusedValueError
from solver.api.value_types import ValueType


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


@dataclass
class Engine:
    power: int
    fuel: Literal["petrol", "diesel"] = "petrol"


@dataclass
class Car:
    name: str
    engine: Engine
    colours: list[Colour]
    built: date | None = None
    extras: dict[str, float] = field(default_factory=dict)
    tow: Car | None = None

    def __post_init__(self) -> None:
        if self.engine.power == 13:
            raise ValueError("13 is unlucky")


class Place(typing.TypedDict):
    city: str
    code: typing.NotRequired[int]


class Size(typing.NamedTuple):
    width: int
    height: int = 1


class Person(pydantic.BaseModel):
    name: str
    born: int | None
    job: Colour = Colour.RED

    @pydantic.field_validator("born")
    @classmethod
    def is_even(cls, born: int | None) -> int | None:
        if born is not None and born % 2:
            raise ValueError("odd")
        return born


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    name: str


CAR = {"name": "Beetle", "engine": {"power": 34}, "colours": ["red"], "built": "1946-07-01"}
BEETLE = Car("Beetle", Engine(34), [Colour.RED], date(1946, 7, 1))


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (int, 3.0, 3),
        (int | None, None, None),
        (float, 3, 3.0),
        (list[bool], [True], [True]),
        (Literal["a", 1, True], 1, 1),
        (Colour, "green", Colour.GREEN),
        (tuple[int, str], [1, "a"], (1, "a")),
        (tuple[int, ...], [1, 2], (1, 2)),
        (set[int], [1, 2], {1, 2}),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (date, "2024-02-29", date(2024, 2, 29)),
        (Place, {"city": "Ulm"}, {"city": "Ulm"}),
        (list[Size], [{"width": 2}], [Size(2)]),
        (Car, CAR, BEETLE),
        (Car, {**CAR, "tow": CAR}, replace(BEETLE, tow=BEETLE)),
    ],
)
def test_types_of_the_standard_library_need_no_pydantic(
    kind: Any, value: Any, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pydantic", None)
    read = ValueType.of(kind)
    Draft202012Validator(read.schema).validate(value)
    result = read.read(value)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("kind", "value", "pointers"),
    [
        (int, True, [""]),
        (int, 1.5, [""]),
        (list[str], ["a", 1, None], ["/1", "/2"]),
        (dict[str, int], {"a/b": "x"}, ["/a~1b"]),
        (Place, {"city": "Ulm", "other": 1}, [""]),
        (date, "2024-02-30", [""]),
        (Car, {**CAR, "colours": ["red", "blue"]}, ["/colours/1"]),
        (list[Car], [CAR, {**CAR, "engine": {"power": 13}}], ["/1"]),
    ],
)
def test_what_a_type_refuses_is_named_by_its_pointer(kind: Any, value: Any, pointers: list[str]) -> None:
    with pytest.raises(RefusedValueError) as caught:
        ValueType.of(kind).read(value)
    assert [violation.path for violation in caught.value.violations] == pointers


def test_own_code_of_one_member_of_a_union_speaks_for_all() -> None:
    with pytest.raises(RefusedValueError, match="13 is unlucky"):
        ValueType.of(int | Car).read({**CAR, "engine": {"power": 13}})


def test_models_are_closed_unless_they_ask_for_more_members() -> None:
    schema = ValueType.of(list[Person | Open]).schema
    assert schema["$defs"]["Person"]["additionalProperties"] is False
    assert schema["$defs"]["Open"]["additionalProperties"] is True
    assert ValueType.of(Car).schema["$defs"]["Engine"]["additionalProperties"] is False


def test_constraints_are_left_to_pydantic() -> None:
    kind = ValueType.of(list[Annotated[int, annotated_types.Ge(3)]])
    assert kind.schema == {"type": "array", "items": {"type": "integer", "minimum": 3}}
    assert kind.read([4]) == [4]


@pytest.mark.parametrize("kind", [Person, list[Person], complex, Annotated[int, annotated_types.Ge(3)]])
def test_without_pydantic_its_types_are_refused_in_one_line(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pydantic", None)
    with pytest.raises(solver.InvalidArgument, match=r"remask\[pydantic\]") as caught:
        solver.fill(kind, "x")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [object(), "text", 3, [int]])
def test_what_is_no_type_is_refused_in_one_line(kind: Any) -> None:
    with pytest.raises(solver.InvalidArgument) as caught:
        solver.fill(kind, "x")
    assert "\n" not in str(caught.value)


def test_values_are_objects_and_alternatives_are_others() -> None:
    candidate = solver.fill(list[Size], "sizes", denoiser="random", length=64, candidates=3)
    records = [candidate, *candidate.alternatives]
    assert len({found.text for found in records}) == 3
    assert all(isinstance(size, Size) for found in records for size in found.value)
    assert [found.score for found in records] == sorted((found.score for found in records), reverse=True)


def test_a_validator_is_a_check_whose_error_re_masks_its_field() -> None:
    read = ValueType.of(list[Person])
    people = [{"name": "Ada", "born": 1816}, {"name": "Bob", "born": 1815}]
    check = read.check(None)
    assert check is not None
    assert [one.path for one in typing.cast(Any, check(people))] == ["/1/born"]
    candidate = solver.fill(Person, "Ada Lovelace 1815", denoiser="random", length=64)
    assert isinstance(candidate.value, Person)
    assert (candidate.value.born or 0) % 2 == 0


def test_a_members_tag_and_a_missing_member_are_no_steps_of_a_pointer() -> None:
    class Cat(pydantic.BaseModel):
        kind: Literal["cat"]
        lives: int

        @pydantic.model_validator(mode="after")
        def is_alive(self) -> Cat:
            assert self.lives > 0
            return self

    class Dog(pydantic.BaseModel):
        kind: Literal["dog"]

    tagged = Annotated[Cat | Dog, pydantic.Field(discriminator="kind")]
    with pytest.raises(RefusedValueError) as caught:
        ValueType.of(list[tagged]).read([{"kind": "dog"}, {"kind": "cat", "lives": 0}])  # type: ignore[valid-type]
    assert [violation.path for violation in caught.value.violations] == ["/1"]
    assert value_types.pointer_of(("pet", "Cat", "name"), {"pet": {"age": 1}}) == "/pet"


def test_the_check_gets_the_object_and_its_exceptions_propagate() -> None:
    seen = []

    def check(size: Size) -> bool:
        seen.append(size)
        return size.width > 3

    assert solver.fill(Size, denoiser="random", length=32, check=check).value.width > 3
    assert all(isinstance(size, Size) for size in seen)

    class Broken(pydantic.BaseModel):
        number: int

        @pydantic.field_validator("number")
        @classmethod
        def fail(cls, number: int) -> int:
            raise ZeroDivisionError("the user's own")

    with pytest.raises(ZeroDivisionError, match="own"):
        solver.fill(Broken, denoiser="random", length=32)


def test_texts_and_values_agree() -> None:
    candidate = solver.fill(Engine, "a diesel of 90", denoiser="prior", length=48)
    assert ValueType.of(Engine).read(json.loads(candidate.text)) == candidate.value


def unreadable() -> Callable[..., Any]:
    @dataclass
    class Node:
        other: "Nowhere"  # type: ignore[name-defined]  # noqa: F821, UP037

    return Node


def test_annotations_that_name_nothing_are_refused_in_one_line() -> None:
    with pytest.raises(solver.InvalidArgument, match="Nowhere"):
        solver.fill(unreadable())
