"""Arrays of distinct items, beyond what the language can count: a matching of items and values."""

import json
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver import Budget, Hole, fill
from solver.kernels.assignment import cheapest_assignment
from solver.kernels.lattice import Slots
from solver.tasks.json_schema.distinct import distinct_draft
from solver.tasks.json_schema.errors import FillError, UnsatisfiableSchema
from solver.tasks.json_schema.validator import JsonPath, has_repeats
from solver.tasks.languages.projection import BLANK

TEN_FORWARDS = Budget(forwards=10)
Schema = dict[str, Any]


def distinct(count: int, items: Schema) -> Schema:
    return {"type": "array", "uniqueItems": True, "minItems": count, "maxItems": count, "items": items}


def names(count: int) -> list[str]:
    return [f"v{number}" for number in range(count)]


@pytest.mark.parametrize("count", [12, 30, 100])
def test_all_of_n_values_are_found(count: int) -> None:
    schema = distinct(count, {"enum": names(count)})
    found = fill(schema, denoiser="random", length=6 * count, budget=TEN_FORWARDS)
    assert sorted(found.value) == sorted(names(count))
    assert found.counters.forwards == 2  # the first draft is the denoiser's own
    assert (found.declined, found.by_rule) == (("uniqueItems",), ("uniqueItems",))


def test_the_default_model_finds_all_of_twelve_values() -> None:
    found = fill(distinct(12, {"enum": names(12)}), budget=TEN_FORWARDS)
    assert sorted(found.value) == sorted(names(12))


@pytest.mark.parametrize(
    ("items", "values"),
    [
        ({"type": "integer", "minimum": -5, "exclusiveMaximum": 15}, set(range(-5, 15))),
        ({"type": "integer", "multipleOf": 7, "minimum": 0, "maximum": 133}, set(range(0, 134, 7))),
        ({"type": "string", "pattern": "^[a-t]$"}, set("abcdefghijklmnopqrst")),
    ],
)
def test_all_of_twenty_values_are_found_however_they_are_described(items: Schema, values: set[Any]) -> None:
    found = fill(distinct(20, items), denoiser="random", budget=TEN_FORWARDS)
    assert set(found.value) == values


def test_values_of_different_lengths_are_chosen_to_fit() -> None:
    words = [letter * length for letter in "abcdef" for length in (1, 9)]
    schema = distinct(12, {"enum": [*words, "g" * 40]})
    needed = len(json.dumps(words, separators=(",", ":")))
    for length in (needed, needed + 10):
        found = fill(schema, denoiser="random", length=length, budget=TEN_FORWARDS)
        assert sorted(found.value) == sorted(words)


def test_items_of_a_template_stay_and_the_others_take_what_is_left() -> None:
    schema = distinct(12, {"enum": names(12)})
    template = ['["v3",', Hole(23), ',"v11","v', Hole(2), '",', Hole(40), ',"v0"]']
    found = fill(schema, template=template, denoiser="random", budget=Budget(forwards=40))
    assert sorted(found.value) == sorted(names(12))
    assert (found.value[0], found.value[-1]) == ("v3", "v0")
    assert ',"v11","v' in found.text


def test_arrays_in_objects_and_in_alternatives_are_matched_as_well() -> None:
    inner = distinct(15, {"enum": names(15)})
    either = {"anyOf": [inner, {"type": "object", "properties": {"a": inner}, "required": ["a"]}]}
    for schema in (either, distinct(2, distinct(12, {"enum": names(12)}))):
        found = fill(schema, denoiser="random", budget=TEN_FORWARDS)
        arrays = [found.value] if isinstance(found.value, list) else list(found.value.values())
        assert any(len(array) in (2, 15) and not has_repeats(array) for array in arrays)


def test_an_array_gives_up_items_for_which_no_value_is_left() -> None:
    schema = {"type": "array", "uniqueItems": True, "minItems": 20}
    found = fill(schema | {"items": {"pattern": "^[a-z]$", "type": "string"}}, denoiser="random")
    assert 20 <= len(found.value) <= 26
    assert not has_repeats(found.value)


@pytest.mark.parametrize(
    "schema",
    [
        distinct(13, {"enum": names(12)}),
        distinct(13, {"type": "integer", "minimum": 1, "maximum": 12}),
        {**distinct(40, {"type": "string"}), "prefixItems": [{"enum": ["a", "b"]}] * 3},
        {"anyOf": [distinct(13, {"enum": names(12)}), distinct(14, {"enum": names(13)})]},
    ],
)
def test_more_items_than_values_are_proven_impossible(schema: Schema) -> None:
    with pytest.raises(UnsatisfiableSchema):
        fill(schema, denoiser="random")


def test_as_many_items_as_values_are_not_proven_impossible() -> None:
    prefix = {**distinct(13, {"enum": names(12)}), "prefixItems": [{"enum": ["a", "v1"]}]}
    assert len(fill(prefix, denoiser="random", budget=TEN_FORWARDS).value) == 13


def test_what_no_matching_fulfils_is_no_proof() -> None:
    schema = distinct(12, {"type": "string", "pattern": "^[a-k]$"})
    with pytest.raises(FillError) as caught:
        fill(schema, denoiser="random", budget=Budget(forwards=4), length=64)
    assert not isinstance(caught.value, UnsatisfiableSchema)


def test_a_matching_depends_on_the_seed_alone() -> None:
    schema = distinct(12, {"enum": names(12)})
    texts = [fill(schema, denoiser="random", seed=seed).text for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]


def test_a_draft_without_repeated_items_is_the_denoisers_own() -> None:
    schema = {
        "type": "array",
        "items": {"enum": names(100)},
        "uniqueItems": True,
        "minItems": 2,
        "maxItems": 2,
    }
    found = fill(schema, denoiser="random")
    assert found.by_rule == ()
    assert len(found.value) == 2


def test_known_cells_keep_their_tokens() -> None:
    blocks = [np.array([*text, BLANK]) for text in (b"[1,1,2,5]", b"[1,4,2,5]", b"[1,22,5]")]
    known = np.array([0, 1, 0, 0, 0, 0, 0, 0, 0, 0], bool)

    def repeated(text: bytes) -> list[JsonPath]:
        return [()] if has_repeats(json.loads(text)) else []

    found = distinct_draft(blocks[0], known, Slots.single(10), repeated, blocks)
    assert found is not None
    assert bytes(found[:-1].tolist()) == b"[1,4,2,5]"


@given(st.lists(st.lists(st.integers(0, 9), min_size=5, max_size=5), min_size=1, max_size=5))
def test_an_assignment_is_the_cheapest(costs: list[list[int]]) -> None:
    table, rows = np.array(costs, float), range(len(costs))
    columns = cheapest_assignment(table)
    assert len(set(columns.tolist())) == len(costs)
    least = min(table[rows, chosen].sum() for chosen in permutations(range(5), len(costs)))
    assert table[rows, columns].sum() == least
