"""Text as a task: pins, templates, the user's check and the cells it blames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver.kernels import reference
from solver.tasks.task import Violation
from solver.tasks.text import Draft, Hole, Text, TextTask, overlapping
from solver.tasks.text_template import text_from_template
from tests import tiny_models

TOKENIZER = tiny_models.tokenizer()


def spell(text: str, is_first: bool) -> list[int]:
    return TOKENIZER.encode(text, add_special_tokens=False)


def problem_of(text: str, pinned: str = "") -> tuple[TextTask, Text, np.ndarray]:
    """A canvas holding ``text``; ``pinned`` marks cells with "x"."""
    ids = np.array(TOKENIZER.encode(text, add_special_tokens=False), np.int64)
    mask = np.array([mark == "x" for mark in pinned.ljust(len(ids))], bool)
    return (
        TextTask(len(TOKENIZER), TOKENIZER.decode, ends=[1]),
        Text(np.array([2]), ids, mask, mask.copy()),
        ids,
    )


@pytest.mark.parametrize(
    ("span", "cells"),
    [
        ((0, 1), {0}),
        ((1, 3), {1, 2}),
        ((2, 2), {1, 2}),
        ((6, 6), {5}),
        ((0, 99), set(range(6))),
    ],
)
def test_a_violation_blames_the_cells_whose_text_it_touches(span: tuple[int, int], cells: set[int]) -> None:
    task, problem, ids = problem_of("abc de")
    assert set(np.flatnonzero(overlapping(span, *task.cell_spans(problem, ids))).tolist()) == cells


def test_a_violation_after_the_end_blames_the_token_that_ends_the_text() -> None:
    task, problem, ids = problem_of("abcdef")
    ids[3] = 1  # the text is "abc"
    assert task.decode(problem, ids) == "abc"
    assert set(np.flatnonzero(overlapping((3, 3), *task.cell_spans(problem, ids))).tolist()) == {2, 3}


def test_pins_allowed_tokens_and_the_check_are_all_verified() -> None:
    task, problem, ids = problem_of("abc", "x  ")
    assert task.verify(problem, ids)
    changed = ids.copy()
    changed[0] += 1
    assert not task.verify(problem, changed)
    may = np.ones(len(TOKENIZER), bool)
    may[ids[1]] = False
    import torch

    strict = TextTask(len(TOKENIZER), TOKENIZER.decode, allowed=reference.pack(torch.from_numpy(may)).numpy())
    assert not strict.verify(problem, ids)
    may[ids[1]], may[ids[0]] = True, False  # a pinned cell may hold what an open one may not
    strict = TextTask(len(TOKENIZER), TOKENIZER.decode, allowed=reference.pack(torch.from_numpy(may)).numpy())
    assert strict.verify(problem, ids)
    picky = TextTask(len(TOKENIZER), TOKENIZER.decode, lambda draft: ["no"])
    assert not picky.verify(problem, ids)
    assert picky.check(problem, ids, np.ones(3, bool))[0].cells == ()  # it did not say where
    assert picky.check(problem, ids, np.array([True, True, False])) == []  # cannot be read yet


def test_the_check_is_called_once_per_draft() -> None:
    asked: list[Draft] = []
    task, problem, ids = problem_of("abc")
    task = TextTask(
        len(TOKENIZER), TOKENIZER.decode, lambda draft: asked.append(draft) or [Violation("a", span=(0, 1))]
    )
    assert not task.verify(problem, ids)
    assert task.check(problem, ids, np.ones(3, bool))
    assert [draft.text for draft in asked] == ["abc"]


@given(
    st.lists(
        st.one_of(st.text("ab {}\n", min_size=1, max_size=5), st.integers(1, 4).map(Hole)),
        min_size=1,
        max_size=6,
    )
)
def test_a_template_pins_its_literals_and_nothing_else(parts) -> None:
    problem = text_from_template(parts, spell)
    assert len(problem.tokens) == sum(part.size if isinstance(part, Hole) else len(part) for part in parts)
    shown = "".join(
        TOKENIZER.decode([token]) if pinned else "_"
        for token, pinned in zip(problem.tokens, problem.pinned, strict=True)
    )
    assert shown == "".join("_" * part.size if isinstance(part, Hole) else part for part in parts)


def test_a_hole_may_have_a_start_that_fits() -> None:
    problem = text_from_template([Hole(4, "ab")], spell)
    assert problem.known.tolist() == [True, True, False, False]
    assert not problem.pinned.any()
    with pytest.raises(ValueError, match="2 tokens, its hole 1"):
        text_from_template([Hole(1, "ab")], spell)


def test_an_end_token_in_a_hole_fills_an_unused_cell() -> None:
    problem = text_from_template(["a", Hole(3), "b", Hole(2), "c"], spell)
    task = TextTask(len(TOKENIZER), TOKENIZER.decode, ends=[0, 1])
    ids = problem.tokens.copy()
    ids[1:4], ids[5:7] = [spell("x", False)[0], 1, spell("y", False)[0]], [0, 1]
    assert task.decode(problem, ids) == "axbc"
    assert task.fills(problem, ids) == ("x", "")
    assert task.written(problem, ids).tolist() == [True, True, False, False, True, False, False, True]
    assert task.verify(problem, ids)


def spaced(ids: list[int]) -> str:
    """A decoder that separates tokens by spaces."""
    return " ".join(map(chr, ids))


def test_a_literal_that_the_decoder_changes_is_a_violation_beside_its_holes() -> None:
    def ids_of(text: str, is_first: bool) -> list[int]:
        return [ord(character) for character in text if character != " "]

    problem = text_from_template(["a", Hole(2), " b"], ids_of)
    task = TextTask(128, spaced, ends=[0])
    ids = problem.tokens.copy()
    ids[1:3] = [ord("y"), 0]
    assert task.decode(problem, ids) == "a y b"
    assert task.verify(problem, ids)
    problem = text_from_template([Hole(2), " b"], ids_of)
    ids = np.array([0, 0, ord("b")])  # an empty hole, and the space before the literal is lost
    assert task.decode(problem, ids) == "b"
    assert not task.verify(problem, ids)
    (violation,) = task.check(problem, ids, np.ones(3, bool))
    assert violation.rule == "template"
    assert violation.cells == (0, 1)


def test_markers_of_the_model_are_left_out_of_the_text() -> None:
    task, problem, ids = problem_of("abc")
    task = TextTask(len(TOKENIZER), TOKENIZER.decode, ends=[1], markers=[2, ids[1]])
    assert task.decode(problem, ids) == "ac"
    assert task.cell_spans(problem, ids)[0].tolist() == [0, 1, 1]
