"""Where a schema's texts are cut into literals and slots, and what pinned bytes leave of its language."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from solver.api import fill as structured
from solver.api.candidate import Candidate
from solver.kernels.lattice import Slots
from solver.kernels.lattice_fast import Lattice
from solver.loop.trace import Budget
from solver.models.json_network import JsonConfig, JsonNetwork
from solver.models.mask_denoisers import JsonDenoiser
from solver.models.protocol import Stateless
from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.errors import FillError, SchemaError
from solver.tasks.json_schema.grammar import SchemaGrammar
from solver.tasks.json_schema.members import merge_orders
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.serialize import serialize
from solver.tasks.json_schema.task import BLAME_PENALTY, JsonTask
from solver.tasks.json_schema.validator import duplicate_items
from solver.tasks.languages import projection as language
from solver.tasks.languages import unroll as automata
from solver.tasks.languages.grammar import PatternGrammar
from solver.tasks.languages.projection import BLANK
from solver.tasks.languages.template import SMALL_HOLE, TemplateFilter
from solver.tasks.languages.unroll import unroll
from solver.tasks.text import Hole
from tests.test_json_schema import schemas, values

SMALL = JsonConfig(width=16, hidden=16, heads=2, readers=1, layers=1, offsets=8, words=64)
NUMBER, WORD = {"type": "integer"}, {"type": "string", "pattern": "^[a-z]{3,9}$"}


def closed(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


KINDS = {"oneOf": [closed(kind={"const": "w"}, word=WORD), closed(amount=NUMBER, kind={"const": "n"})]}


class Numerate(JsonDenoiser):
    """Sure of digits, whatever it is asked."""

    def denoise(
        self, state: Any, tokens: Tensor, known: Tensor, settled: Tensor, aux: Stateless
    ) -> tuple[Tensor, Stateless]:
        logits, aux = super().denoise(state, tokens, known, settled, aux)
        logits = torch.zeros_like(logits)
        logits[..., 48:58] += 8.0
        return logits, aux


def numerate() -> Numerate:
    return Numerate(JsonNetwork(SMALL))


def literals(form: JsonProblem) -> list[bytes]:
    return [part for part in form.parts if isinstance(part, bytes)]


@pytest.mark.parametrize(
    ("lists", "found"),
    [
        ([["a", "z"], ["b", "z"]], ["a", "b", "z"]),
        ([["k", "a"], ["k", "b"]], ["k", "a", "b"]),
        ([["a", "b"], ["b", "a"]], ["a", "b"]),
        ([[], ["c"], ["a", "c"]], ["a", "c"]),
    ],
)
def test_orders_of_names_are_merged_into_one(lists: list[list[str]], found: list[str]) -> None:
    assert merge_orders(lists) == found


def test_every_kind_of_object_is_laid_out() -> None:
    first, second = JsonProblem.of(KINDS, length=64).layouts()
    assert literals(first) == [b'{"kind":"w","word":', b"}"]
    assert literals(second) == [b'{"amount":', b',"kind":"n"}']
    condition = {
        "if": {"properties": {"k": {"const": 1}}},
        "then": {"required": ["t"]},
        "else": {"required": ["e"]},
    }
    either = closed(k=NUMBER) | {"properties": {"k": NUMBER, "t": NUMBER, "e": NUMBER}} | condition
    names = {b"".join(literals(form)) for form in JsonProblem.of(either, length=64).layouts()}
    assert any(b'"t":' in name for name in names)
    assert any(b'"e":' in name for name in names)
    assert JsonProblem.of({"anyOf": [closed(a=NUMBER), {"type": "null"}]}, length=64).layouts() == ()
    many = {"oneOf": [closed(**{f"name{n}": NUMBER}) for n in range(20)]}
    assert len(JsonProblem.of(many, length=64).layouts()) <= 1  # one slot between the brackets


def test_of_several_layouts_the_likeliest_is_filled() -> None:
    form = JsonProblem.of(KINDS, length=64)
    laid, (spent,) = structured.FillRun(JsonTask(), numerate(), numerate().policy, [0]).choose_layouts([form])
    assert literals(laid[0]) == literals(form.layouts()[1])
    assert spent.forwards == 2
    ((_, done),) = structured.fill_many([form], numerate(), Budget(forwards=40))
    assert isinstance(done, Candidate)
    assert done.value["kind"] == "n"
    assert 3 <= done.counters.forwards <= 40
    ((_, done),) = structured.fill_many([form], numerate(), Budget(forwards=2))  # too few to choose with
    assert isinstance(done, Candidate)
    assert done.counters.forwards <= 2


def fits(text: bytes, parts: list[bytes | int]) -> bool:
    """By trying every length of the holes; large ones have no limit."""
    if not parts:
        return not text
    head, rest = parts[0], parts[1:]
    if isinstance(head, bytes):
        return text.startswith(head) and fits(text[len(head) :], rest)
    return any(
        fits(text[cut:], rest)
        for cut in range(len(text) + 1 if head > SMALL_HOLE else min(head, len(text)) + 1)
    )


@settings(max_examples=100)
@given(
    st.lists(st.sampled_from([b"a", b"b", b"ab", 1, 2, SMALL_HOLE + 1]), max_size=5),
    st.text("ab", max_size=6).map(str.encode),
)
def test_template_positions_are_those_of_every_way_to_fit(parts: list[bytes | int], text: bytes) -> None:
    frame = TemplateFilter.from_parts(parts)
    assert bool(frame.advance(frame.start, text) & frame.end) == fits(text, parts)
    every = TemplateFilter([SMALL_HOLE + 1])
    piece = PatternGrammar("^(a|b)*$").moves(PatternGrammar("^(a|b)*$").start)[0].emit
    assert frame.advance(frame.start, piece) & frame.end
    assert every.advance(every.start, piece) == every.start


@settings(max_examples=60, deadline=None)
@given(schemas, values, st.data())
def test_a_template_filter_removes_only_texts_that_do_not_fit(
    schema: Any, value: Any, data: st.DataObject
) -> None:
    """Whatever the holes are, the text itself is still there, and so is every other that was."""
    cells = 48
    plain = SchemaGrammar(Compiler(schema), cells)
    text = serialize(plain, value)
    if text is None or not 1 < len(text) <= cells - 4:
        return
    a, b = sorted(data.draw(st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))))
    spare = data.draw(st.integers(0 if b > a else 1, 3))
    parts: list[bytes | int] = [part for part in (text[:a], b - a + spare, text[b:]) if part]
    framed = unroll(SchemaGrammar(Compiler(schema), cells), cells, template=TemplateFilter.from_parts(parts))
    whole = unroll(plain, cells)
    size = len(text) + spare
    inside, last, tokens = np.zeros(size, bool), np.zeros(size, bool), np.full(size, BLANK)
    inside[a : b + spare], last[b + spare - 1] = True, True
    tokens[:a], tokens[a:b], tokens[b + spare :] = list(text[:a]), list(text[a:b]), list(text[b:])
    slots, every = Slots(inside, last), np.ones(size, bool)
    assert language.is_possible(framed, slots, tokens, every) or not (
        framed.complete or language.is_possible(whole, slots, tokens, every)
    )
    some = every.copy()
    room = b + spare - a
    some[a : b + spare] = data.draw(st.lists(st.booleans(), min_size=room, max_size=room))
    tokens[a : b + spare] = data.draw(
        st.lists(st.sampled_from([*b'1"a,', BLANK]), min_size=room, max_size=room)
    )
    if whole.complete and framed.complete:
        assert language.is_possible(framed, slots, tokens, some) == language.is_possible(
            whole, slots, tokens, some
        )


def test_unrestricted_values_are_as_deep_as_the_template() -> None:
    deep = '{"a":[[{"b":{"c":[{"d":'
    form = JsonProblem.of({"type": "object"}, template=[deep, Hole(6), "}]}}]]}"])
    found = structured.fill({"type": "object"}, template=[deep, Hole(6), "}]}}]]}"], denoiser="random")
    assert found.text.startswith(deep)
    assert len(form.unrolled.automaton.accept) < automata.MAX_STATES


def test_a_template_that_nothing_fits_is_a_fill_error() -> None:
    with pytest.raises(FillError):
        structured.fill(closed(a=NUMBER), template=['{"b":', Hole(4), "}"], denoiser="random")
    with pytest.raises(SchemaError):
        JsonProblem.of(closed(a=NUMBER), template=[])


def test_marginals_of_possible_symbols_are_positive() -> None:
    """A way that is 2**-2000 as likely as the other is still one of two."""
    cells = 4
    w = np.full((cells, 258), -np.inf)
    w[:, ord("a")], w[:, ord("b")] = 0.0, -400.0
    p = Lattice(unroll(PatternGrammar("^(aaaa|bbbb)$"), cells).automaton, w, Slots.single(cells)).marginals()
    assert (p[:, ord("b")] > 0).all()
    assert (p > 0).sum() == 2 * cells


@pytest.mark.parametrize(
    ("items", "again"),
    [
        ([1, 1.0, True], [0, 1]),
        ([{"a": 1, "b": 2}, {"b": 2, "a": 1.0}, [0], [False]], [0, 1]),
        (["a", "b"], []),
        ([[], []], [0, 1]),
    ],
)
def test_equal_items_are_found(items: list[Any], again: list[int]) -> None:
    assert duplicate_items(items) == again


def test_only_duplicates_are_blamed_and_the_next_draft_differs() -> None:
    schema = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}
    form, task = JsonProblem.of(schema, template=["[", Hole(4), ",33]"]), JsonTask()
    text = b"[1,33,33]"
    tokens = np.array(list(text))
    violations = task.check(form, tokens, np.ones(len(text), bool))
    assert {cell for violation in violations for cell in violation.cells} == {3, 4}
    logits = np.zeros((len(text), 257), np.float32)
    logits[np.arange(len(text)), tokens] = BLAME_PENALTY + 1
    before, after = (one.project(form, logits, *form.given) for one in (JsonTask(), task))
    assert before is not None
    assert after is not None
    assert bytes(before.best.astype(np.uint8)) == text
    assert json.loads(bytes(after.best[after.best < 256].astype(np.uint8)))[0] == 1
    assert bytes(after.best.astype(np.uint8)) != text
    assert after.marginals[3, ord("3")] < before.marginals[3, ord("3")]
