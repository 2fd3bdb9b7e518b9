"""Texts longer than a canvas, and what a text depends on: its prompt, the seed, its number; and the end of a call."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

import solver
from solver.errors import InvalidArgument
from solver.llm.masked_lm import MaskedLM
from solver.tasks.languages.regex_parser import PatternError
from solver.tasks.task import EMPTY, Violation
from solver.tasks.text import Draft, Text, TextTask
from tests import tiny_models

TOKENIZER, BYTES = tiny_models.tokenizer(), tiny_models.byte_level_tokenizer()


class InCanvasesOfFour(MaskedLM):
    """A mask model that writes four tokens at a time."""

    @property
    def length(self) -> Any:
        return 4


def written(text: str, length: int, check: Any = None) -> solver.Candidate:
    """What a model that wants to write ``text`` writes in canvases of four tokens."""
    ids = BYTES.encode(text, add_special_tokens=False)
    model = tiny_models.ScriptedModel(ids, len(BYTES))
    return solver.generate(
        InCanvasesOfFour(model, 3), BYTES, prompt=[2], length=length, check=check, stop="stable"
    )


def test_a_character_on_two_canvases_is_decoded_as_one() -> None:
    text = "ab \U00013000\U00013000 cd"
    ids = BYTES.encode(text, add_special_tokens=False)
    assert BYTES.decode(ids[:4]) + BYTES.decode(ids[4:]) != text
    assert written(text, len(ids)).text == text


def test_a_decoder_that_strips_the_first_space_strips_that_of_the_text_only() -> None:
    words = {5: " one", 6: " two"}

    def decode(ids: list[int]) -> str:
        return "".join(words[token] for token in ids).removeprefix(" ")

    none = np.zeros(2, bool)
    problem = Text(EMPTY, np.zeros(2, np.int64), none, none, before=np.array([5, 6]))
    assert TextTask(9, decode).decode(problem, np.array([6, 5])) == "one two two one"


def test_tokens_that_share_a_character_are_all_blamed_for_it() -> None:
    ids = np.array(BYTES.encode("a\U00013000b", add_special_tokens=False))
    assert len(ids) == 6
    none = np.zeros(3, bool)
    problem = Text(EMPTY, np.zeros(3, np.int64), none, none, before=ids[:3])
    task = TextTask(len(BYTES), BYTES.decode, lambda draft: Violation("no", span=(1, 2)))
    assert task.check(problem, ids[3:], np.ones(3, bool))[0].cells == (0, 1)


def test_a_text_is_cut_to_the_requested_length() -> None:
    seen: list[Draft] = []
    candidate = written("0123456789", 6, lambda draft: seen.append(draft))
    assert (candidate.text, len(candidate.tokens), len(candidate.confidence)) == ("012345", 6, 6)
    assert {len(draft.text) for draft in seen} == {4, 6}
    assert [draft.complete for draft in seen] == [len(draft.text) == 6 for draft in seen]


def test_the_other_prompts_of_a_call_change_no_text() -> None:
    model = tiny_models.gemma(canvas=8)
    model.generation_config.max_denoising_steps = 3
    alone = [
        solver.generate(model, TOKENIZER, prompt=prompt, length=20, seed=3, candidates=2)
        for prompt in ("abc", "zz")
    ]
    together = solver.generate(model, TOKENIZER, prompt=["abc", "zz"], length=20, seed=3, candidates=2)
    for one, among_others in zip(alone, together, strict=True):
        assert one.text == among_others.text
        assert one.alternatives[0].text == among_others.alternatives[0].text
    assert max(len(one.tokens) for one in together) == 20


def test_candidates_of_one_seed_are_not_those_of_the_next() -> None:
    model = tiny_models.gemma(canvas=8)
    model.generation_config.max_denoising_steps = 3
    both = solver.generate(model, TOKENIZER, prompt="x", length=8, candidates=2)
    following = solver.generate(model, TOKENIZER, prompt="x", length=8, seed=1)
    assert following.text not in [both.text, both.alternatives[0].text]


def test_a_candidate_does_not_depend_on_how_many_there_are() -> None:
    model = tiny_models.remote_model("tiny_llada")
    settings = {"prompt": "x", "length": 8, "check": lambda draft: "a" not in draft.text or "an a"}
    texts = []
    for candidates in (1, 2, 3):
        best = solver.generate(model, TOKENIZER, candidates=candidates, **settings)
        texts.append({best.text, *(candidate.text for candidate in best.alternatives)})
    assert texts[0] <= texts[1] <= texts[2]


def test_a_call_ends_at_its_deadline_with_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock advances by one second per call of the model."""
    model = tiny_models.ScriptedModel([5, 6, 7, 8], len(TOKENIZER))
    monkeypatch.setattr(time, "perf_counter", lambda: float(model.calls))
    candidates = solver.generate(
        InCanvasesOfFour(model, 3),
        TOKENIZER,
        prompt=[[2]] * 6,
        length=4,
        seconds=2.5,
        batch=2,
        check=lambda draft: "never",
    )
    assert model.calls == 3
    assert [candidate.text for candidate in candidates] == ["abcd"] * 2 + [""] * 4
    assert {candidate.status for candidate in candidates} == {"exhausted"}


def test_a_text_that_the_deadline_cuts_between_canvases_is_not_solved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny_models.ScriptedModel([5, 6, 7, 8] * 3, len(TOKENIZER))
    monkeypatch.setattr(time, "perf_counter", lambda: float(model.calls))
    candidate = solver.generate(InCanvasesOfFour(model, 3), TOKENIZER, prompt=[2], length=12, seconds=1.5)
    assert (candidate.status, candidate.text) == ("exhausted", "abcd" * (len(candidate.tokens) // 4))
    assert len(candidate.tokens) < 12


def test_seconds_must_be_a_number_that_is_not_negative() -> None:
    model = tiny_models.ScriptedModel([5], len(TOKENIZER))
    for seconds in (-1.0, float("nan")):
        with pytest.raises(InvalidArgument, match="seconds must be float, at least 0"):
            solver.generate(model, TOKENIZER, prompt="x", seconds=seconds)


def test_time_that_compiling_uses_up_leaves_empty_texts() -> None:
    model = tiny_models.ScriptedModel([5], len(BYTES))
    for language in ({"regex": "[a-z]{3}"}, {"schema": {"type": "array"}}):
        candidate = solver.generate(model, BYTES, prompt="x", seconds=0, candidates=2, **language)
        assert [one.status for one in (candidate, *candidate.alternatives)] == ["exhausted"] * 2
        assert "took all the time" in candidate.violations[0].message
    assert model.calls == 0


def test_a_pattern_that_is_too_large_is_refused_in_one_line() -> None:
    model = tiny_models.ScriptedModel([5], len(BYTES))
    with pytest.raises(PatternError, match="is too large for an automaton"):
        solver.generate(model, BYTES, prompt="x", regex="(a|b)*a(a|b){30}", length=64)


def test_a_template_that_got_no_forward_has_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_models.ScriptedModel([5, 6, 7], len(TOKENIZER))
    monkeypatch.setattr(time, "perf_counter", lambda: float(model.calls))
    settings = {"seconds": 0.5, "batch": 1, "check": lambda draft: "never"}
    candidates = solver.generate(
        model, TOKENIZER, prompt=["x", "y"], template=["a", solver.Hole(2), "c"], **settings
    )
    assert [candidate.text for candidate in candidates] == ["abcc", ""]
    assert candidates[1].fills == ("",)


def test_prompts_are_prefilled_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    prefill = MaskedLM.prefill

    def counted(self: MaskedLM, canvases: Any, seeds: Any) -> Any:
        sizes.append(len(canvases))
        return prefill(self, canvases, seeds)

    monkeypatch.setattr(MaskedLM, "prefill", counted)
    model, watched = tiny_models.ScriptedModel([5, 6, 1], len(TOKENIZER)), set()
    candidates = solver.generate(
        model,
        TOKENIZER,
        prompt=[[2]] * 7,
        length=3,
        candidates=3,
        batch=1,
        watch=lambda prompt, candidate, text: watched.add((prompt, candidate)),
    )
    assert sizes[:4] == [6, 6, 6, 3]  # then those of candidates that are drawn again, because they are equal
    assert max(sizes) == 6
    assert [candidate.text for candidate in candidates] == ["ab"] * 7
    assert watched == {(prompt, candidate) for prompt in range(7) for candidate in range(3)}


def test_prompts_that_were_not_prefilled_before_the_deadline_have_no_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny_models.ScriptedModel([5, 6, 1], len(TOKENIZER))
    monkeypatch.setattr(time, "perf_counter", lambda: float(model.calls))
    candidates = solver.generate(model, TOKENIZER, prompt=[[2]] * 20, length=3, batch=1, seconds=4.5)
    texts = [candidate.text for candidate in candidates]
    assert 0 < texts.count("ab") < 9
    assert texts == sorted(texts, reverse=True)
    assert model.calls <= 6
