"""Constraints keep what the model knows: a tiny DiffusionGemma that has learnt 200 answers by heart still gives them under pins
and checks, and repairs broken ones back to them. Trained here, in a minute and a half, from random weights."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from solver.llm.diffusion_gemma import DiffusionGemma
from solver.loop.engine import solve
from solver.loop.policy import Policy
from solver.loop.trace import Budget, Outcome
from solver.tasks.task import Violation
from solver.tasks.text import Draft, Text, TextTask
from tests import tiny_models

pytestmark = pytest.mark.slow

ANSWERS, CELLS, STEPS, HALF = 200, 12, 800, 340
FIRST, LAST, QUESTION, VOCAB = (
    5,
    41,
    50,
    256,
)  # answers are of tokens 5..40; a question is one token, 50 and its number


def facts() -> tuple[np.ndarray, np.ndarray]:
    """Prompts (200, 2), each of its own, and answers (200, 12)."""
    rng = np.random.default_rng(0)
    prompts = np.stack([np.full(ANSWERS, 2), QUESTION + np.arange(ANSWERS)], 1)
    return prompts, rng.integers(FIRST, LAST, (ANSWERS, CELLS))


@pytest.fixture(scope="module")
def trained() -> tuple[DiffusionGemma, DiffusionGemma]:
    """The model, and as it was half-way. Trained as such models are: uniform noise at a random level, and half the time its own
    last answer to look back on."""
    model = tiny_models.gemma(canvas=CELLS, width=64, vocab=VOCAB, sharpness=1.0)
    model.generation_config.max_denoising_steps = 12
    prompts, answers = (torch.tensor(a) for a in facts())
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=STEPS, pct_start=0.1)
    half = model
    for step in range(STEPS):
        noisy = (
            torch.rand(answers.shape, generator=generator)
            < 1 - torch.rand((ANSWERS, 1), generator=generator) ** 2
        )
        tokens = torch.where(noisy, torch.randint(0, VOCAB, answers.shape, generator=generator), answers)
        said = None
        if torch.rand((), generator=generator) < 0.5:
            with torch.no_grad():
                said = model(input_ids=prompts, decoder_input_ids=tokens).logits
        logits = model(input_ids=prompts, decoder_input_ids=tokens, self_conditioning_logits=said).logits
        optimizer.zero_grad()
        F.cross_entropy(logits.flatten(0, 1), answers.flatten()).backward()
        optimizer.step()
        schedule.step()
        if step == HALF:
            half = deepcopy(model)
    return DiffusionGemma(model), DiffusionGemma(half)


@pytest.fixture
def denoiser(trained: tuple[DiffusionGemma, DiffusionGemma]) -> DiffusionGemma:
    return trained[0]


def run(
    denoiser: DiffusionGemma, problems: list[Text], task: TextTask, policy: Policy | None = None
) -> list[Outcome]:
    found = solve(task, problems, denoiser, policy, Budget(forwards=240), batch=200)
    outcomes = {number: event for number, event in found if isinstance(event, Outcome)}
    return [outcomes[number] for number in range(len(problems))]


def right(outcomes: list[Outcome]) -> float:
    """The share of answers that are the ones learnt, word for word."""
    return float(
        np.mean([(o.tokens == answer).all() for o, answer in zip(outcomes, facts()[1], strict=True)])
    )


def decode(ids: list[int]) -> str:
    return "".join(chr(33 + token) for token in ids)  # one character a token: places are cells


def questions(pins: int, seed: int = 0) -> list[Text]:
    """The 200 questions, ``pins`` cells of each answer given."""
    rng = np.random.default_rng(seed)
    problems = []
    for prompt, answer in zip(*facts(), strict=True):
        pinned = np.zeros(CELLS, bool)
        pinned[rng.permutation(CELLS)[:pins]] = True
        problems.append(Text(prompt, answer.copy(), pinned, pinned.copy()))
    return problems


@pytest.mark.parametrize("pins", [0, 3, 8])
def test_answers_survive_pins_and_checks(denoiser: DiffusionGemma, pins: int) -> None:
    """A check that every true answer passes and most others do not: the sum of its tokens, modulo 7."""
    sums = {decode(answer.tolist()): int(answer.sum()) % 7 for answer in facts()[1]}
    sums_by_prompt = [int(answer.sum()) % 7 for answer in facts()[1]]
    assert len(sums) == ANSWERS
    outcomes = []
    for remainder in range(7):
        chosen = [n for n in range(ANSWERS) if sums_by_prompt[n] == remainder]

        def check(draft: Draft, wanted: int = remainder) -> list[str]:
            return [] if sum(ord(c) - 33 for c in draft.text) % 7 == wanted else ["the sum is wrong"]

        task = TextTask(denoiser.vocab, decode, check)
        problems = questions(pins)
        found = run(denoiser, [problems[n] for n in chosen], task, denoiser.policy.with_(stop="stable"))
        outcomes += list(zip(chosen, found, strict=True))
    assert all(outcome.status == "solved" for _, outcome in outcomes)
    share = right([outcome for _, outcome in sorted(outcomes, key=lambda pair: pair[0])])
    print(f"{pins} pins: {share:.1%} of the answers as learnt")
    assert share >= 0.99


def broken(seed: int = 1) -> tuple[list[Text], list[set[int]]]:
    """The answers with 1 to 3 cells changed, as drafts to be refined, and which cells."""
    rng = np.random.default_rng(seed)
    problems, where = [], []
    for prompt, answer in zip(*facts(), strict=True):
        draft, cells = answer.copy(), rng.permutation(CELLS)[: rng.integers(1, 4)]
        draft[cells] = FIRST + (draft[cells] - FIRST + rng.integers(1, LAST - FIRST, len(cells))) % (
            LAST - FIRST
        )
        problems.append(Text(prompt, draft, np.zeros(CELLS, bool), np.ones(CELLS, bool)))
        where.append({int(cell) for cell in cells})
    return problems, where


def test_one_to_three_corrupted_cells_are_repaired(denoiser: DiffusionGemma) -> None:
    problems, where = broken()
    assert {len(cells) for cells in where} == {1, 2, 3}
    task = TextTask(denoiser.vocab, decode)
    outcomes = run(denoiser, problems, task, denoiser.policy.with_(stop="stable"))
    print(f"repaired: {right(outcomes):.1%}")
    assert right(outcomes) >= 0.95


class Known:
    """A check that knows the answers, so that what is left to compare is how the loop uses what it is told."""

    def __init__(self) -> None:
        self.answers = {
            decode(prompt.tolist()): decode(answer.tolist()) for prompt, answer in zip(*facts(), strict=True)
        }

    def task(self, vocab: int, prompt: np.ndarray) -> TextTask:
        answer = self.answers[decode(prompt.tolist())]

        def check(draft: Draft) -> list[Violation]:
            return [
                Violation("wrong", span=(at, at + 1))
                for at, (a, b) in enumerate(zip(draft.text, answer, strict=True))
                if a != b
            ]

        return TextTask(vocab, decode, check)


def test_remasking_what_violates_takes_fewer_forwards_than_redrawing(
    trained: tuple[DiffusionGemma, DiffusionGemma],
) -> None:
    """On the model as it was half-way, whose first drafts are rarely right throughout."""
    half, known = trained[1], Known()
    forwards: dict[str, list[int]] = {"blamed": [], "all": []}
    for on_violation, counts in forwards.items():
        policy = half.policy.with_(on_violation=on_violation, entropy_bound=2.0)
        for number, problem in enumerate(questions(0)[:30]):
            task = known.task(half.vocab, problem.prompt)
            events = solve(task, [problem], half, policy, Budget(forwards=120), seed=number)
            counts.extend(event.counters.forwards for _, event in events if isinstance(event, Outcome))
    means = {on_violation: float(np.mean(counts)) for on_violation, counts in forwards.items()}
    print(f"forwards a question, mean: {means}")
    assert 1.5 < means["blamed"] < means["all"]
