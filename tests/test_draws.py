"""Joint draws: when a valid draft is good enough, how candidates differ, and what follows a refusal."""

from __future__ import annotations

import types

import numpy as np
import pytest
import torch

import solver
from solver.api.candidate import candidate_policy, repeats
from solver.evaluation import json_generated
from solver.llm.masked_lm import MaskedLM
from solver.loop.policy import Policy
from solver.loop.refine import refine
from solver.loop.trace import Budget, Outcome
from solver.models import controls
from solver.models.checkpoint import load
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.task import JsonTask
from tests import tiny_models

PAIRS = {"aq": 0.22, "ar": 0.22, "bp": 0.28, "cp": 0.28}
MASK = 3


class KnowsPairs(torch.nn.Module):
    """A model of the exact joint distribution of two letters; the likeliest letters make an impossible pair."""

    def __init__(self, tokenizer) -> None:
        super().__init__()
        self.ids = {letter: tokenizer.convert_tokens_to_ids(letter) for letter in "abcpqr"}
        self.config = types.SimpleNamespace(
            vocab_size=len(tokenizer), mask_token_id=MASK, model_type="knows pairs"
        )
        self.device = torch.device("cpu")

    def forward(self, input_ids, **_):
        logits = torch.full((*input_ids.shape, self.config.vocab_size), -20.0)
        for row, seen in enumerate(input_ids[:, -2:].tolist()):
            for pair, p in PAIRS.items():
                ids = [self.ids[letter] for letter in pair]
                if all(token in (MASK, wanted) for token, wanted in zip(seen, ids, strict=True)):
                    for cell, token in enumerate(ids):
                        old = logits[row, cell - 2, token]
                        logits[row, cell - 2, token] = torch.logaddexp(old, torch.tensor(p).log())
        return types.SimpleNamespace(logits=logits)


@pytest.mark.parametrize(
    "options",
    [{"regex": "[abc][pqr]"}, {"check": lambda draft: None}],
    ids=lambda options: next(iter(options)),
)
def test_a_language_or_a_lenient_check_does_not_accept_a_pair_that_the_model_excludes(options) -> None:
    tokenizer = tiny_models.tokenizer()
    model = MaskedLM(KnowsPairs(tokenizer), MASK)
    first = solver.generate(model, tokenizer, prompt="x", length=2, stop="valid", **options)
    assert (first.text, first.counters.forwards) == ("ap", 1)  # the likeliest letters of one forward
    default = solver.generate(model, tokenizer, prompt="x", length=2, **options)
    assert default.text in PAIRS
    assert default.counters.forwards <= 4


@pytest.mark.parametrize(
    "options", [{"regex": "[a-z]{6}"}, {"check": lambda draft: None}], ids=lambda options: next(iter(options))
)
def test_eight_candidates_of_a_problem_with_many_answers_are_eight_texts(options) -> None:
    tokenizer = tiny_models.tokenizer()
    model = MaskedLM(KnowsPairs(tokenizer), MASK)
    best = solver.generate(model, tokenizer, prompt="x", length=8, candidates=8, **options)
    candidates = [best, *best.alternatives]
    assert {candidate.status for candidate in candidates} == {"solved"}
    assert len({candidate.text for candidate in candidates}) == 8


class IsCertain(KnowsPairs):
    """A model that prefers the letter "p" to the others by 25 nats in every cell."""

    def forward(self, input_ids, **_):
        logits = torch.zeros(*input_ids.shape, self.config.vocab_size)
        logits[..., self.ids["p"]] = 25.0
        return types.SimpleNamespace(logits=logits)


@pytest.mark.parametrize("stop", ["valid", "repeated", "stable"])
def test_eight_candidates_of_a_model_that_is_certain_are_eight_texts(stop) -> None:
    tokenizer = tiny_models.tokenizer()
    model = MaskedLM(IsCertain(tokenizer), MASK)
    best = solver.generate(model, tokenizer, prompt="x", length=8, regex="[a-z]{6}", candidates=8, stop=stop)
    assert best.text == "pppppp"
    assert len({candidate.text for candidate in (best, *best.alternatives)}) == 8


def test_candidates_of_a_fill_differ_and_repeat_only_where_no_other_text_is_left() -> None:
    best = solver.fill({"type": "string", "minLength": 4}, length=10, candidates=8)
    assert len({candidate.text for candidate in (best, *best.alternatives)}) == 8
    flags = {"type": "array", "items": {"type": "boolean"}, "minItems": 4, "maxItems": 8}
    best = solver.fill(flags, length=48, candidates=8)  # the model is sure of one array
    assert len({candidate.text for candidate in (best, *best.alternatives)}) == 8
    both = solver.fill({"enum": [1, 2]}, length=4, candidates=3)
    assert {candidate.value for candidate in (both, *both.alternatives)} == {1, 2}


def test_the_first_candidate_is_the_likeliest_and_each_further_one_is_drawn_hotter() -> None:
    temperatures = [candidate_policy(Policy(), number).temperature for number in range(3)]
    assert temperatures[0] == 0 < temperatures[1] < temperatures[2]
    assert candidate_policy(Policy(), 1, attempt=1).temperature > candidate_policy(Policy(), 1).temperature
    assert repeats(["a", "b", "a", None, None]) == [2]


def run_json(problem: JsonProblem, forwards: int, **changes: object) -> Outcome:
    denoiser = load("compact", JsonTask())
    policy = denoiser.policy.with_(**changes)
    *_, outcome = refine(JsonTask(), problem, denoiser, policy, Budget(forwards=forwards))
    assert isinstance(outcome, Outcome)
    return outcome


def test_a_fill_stops_when_two_forwards_agree() -> None:
    problem = JsonProblem.of({"enum": ["red", "green"]}, text="the green one", length=8)
    waited = run_json(problem, 20, repeated_above=None)
    assert 2 <= waited.counters.forwards <= 4
    assert run_json(problem, 20, stop="valid").counters.forwards == 1
    certain = run_json(problem, 20)  # of every byte
    assert certain.counters.forwards == 1
    assert certain.tokens.tolist() == waited.tokens.tolist()


def test_after_a_refusal_drafts_are_drawn_and_none_is_drawn_again() -> None:
    """Every digit but one is refused, so ten drafts are enough; one token at a time they may not be."""
    for wanted in "0369":
        problem = JsonProblem.of(
            {"type": "string", "pattern": "^[0-9]$"},
            checks=[lambda value, wanted=wanted: value == wanted],
            length=3,
        )
        outcome = run_json(problem, 10, search_after=None)
        assert (outcome.status, chr(outcome.tokens[1])) == ("solved", wanted)


def test_drafts_that_a_check_refuses_are_redrawn_from_the_same_forward_until_one_passes() -> None:
    """After the likeliest, a forward is enough for all digits; with one draft each, some take several."""
    forwards = {}
    for draws in (1, 32):
        outcomes = []
        for wanted in "0369":
            checks = [lambda value, wanted=wanted: value == wanted]
            schema = {"type": "string", "pattern": "^[0-9]$"}
            problem = JsonProblem.of(schema, checks=checks, length=3)
            again = JsonProblem.of(schema, checks=checks, length=3)
            outcomes.append(run_json(problem, 20, draws=draws))
            assert (outcomes[-1].status, chr(outcomes[-1].tokens[1])) == ("solved", wanted)
            assert outcomes[-1].counters.forwards == run_json(again, 20, draws=draws).counters.forwards
        forwards[draws] = [outcome.counters.forwards for outcome in outcomes]
    assert max(forwards[1]) > 4
    # a digit that is the likeliest at once is confirmed by a second forward
    assert forwards[32] == [2] * 4


def test_a_refusal_that_does_not_redraw_has_one_draft_per_forward() -> None:
    seen = []
    problem = JsonProblem.of(
        {"type": "string", "pattern": "^[0-9]$"}, checks=[lambda value: seen.append(value) or False], length=3
    )
    outcome = run_json(problem, 3, draws=8, on_refusal="decide")
    assert (outcome.status, outcome.counters.forwards) == ("exhausted", 3)
    assert len(set(seen)) <= 3


def test_invoices_whose_total_stands_before_its_lines_are_solved() -> None:
    solved = 0
    for case in json_generated.make_cases("invoice", 3):
        solved += run_json(case.problem, 60).status == "solved"
    assert solved == 3


def test_draws_of_independent_cells_follow_the_temperature_and_the_seed() -> None:
    from solver.tasks.sudoku.task import Sudoku
    from tests.examples import FOUR  # only this test draws boards

    policy = Policy().with_(temperature=1.0, rounds=1)
    empty = Sudoku(np.zeros(16, np.int8))
    drafts = set()
    for seed in range(4):
        first = next(
            iter(refine(FOUR, empty, controls.oracle(4, np.zeros(16, np.int64)), policy, None, seed))
        )
        drafts.add(tuple(first.draft.tolist()))
    assert drafts == {(0,) * 16}  # a sure model stays sure
    first = [next(iter(refine(FOUR, empty, controls.random(4), policy, None, seed))) for seed in range(4)]
    assert len({tuple(step.draft.tolist()) for step in first}) == 4
