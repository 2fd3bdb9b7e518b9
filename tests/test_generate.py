"""``solver.generate`` on tiny models of each family, with templates, checks, long texts, and its memory."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import solver
from solver.llm.diffusion_gemma import DiffusionGemma
from solver.llm.embedded import Embedded
from solver.llm.inspection import cache_keyword
from solver.llm.masked_lm import MaskedLM
from solver.llm.pretrained import open_model
from solver.loop.engine import solve
from solver.loop.refine import refine
from solver.loop.trace import Budget, Outcome
from solver.models.protocol import Denoiser
from solver.tasks.sudoku import layout
from solver.tasks.sudoku.task import Sudoku, SudokuTask
from solver.tasks.task import Violation
from solver.tasks.text import Draft, Hole, Text, TextTask
from tests import tiny_models

KINDS = ("diffusion_gemma", "tiny_llada", "tiny_dream")
EASY = "530070000600195000098000060800060003400803001700020006060000280000419005000080079"


@pytest.fixture(scope="module", params=KINDS)
def denoiser(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Denoiser:
    """Each family's tiny model, by way of its folder and the real loading code."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "diffusion_gemma":
        return open_model(str(tiny_models.gemma_folder(folder, canvas=16)))[0]
    return open_model(str(tiny_models.remote_folder(folder, request.param)), trust_remote_code=True)[0]


TOKENIZER = tiny_models.tokenizer()


def test_a_thousand_runs_with_random_pins_lose_none(denoiser: Denoiser) -> None:
    rng = np.random.default_rng(0)
    task = TextTask(
        denoiser.vocab,
        TOKENIZER.decode,
        lambda draft: [Violation("never right", span=(len(draft.text) // 2, len(draft.text)))],
    )
    problems = []
    for _ in range(1000):
        tokens, pinned = rng.integers(0, denoiser.vocab, 12), rng.random(12) < rng.random()
        problems.append(Text(np.array([2, 7, 9]), tokens, pinned, pinned.copy()))
    done = 0
    for number, event in solve(task, problems, denoiser, None, Budget(forwards=3), range(1000), batch=250):
        pins = problems[number].pinned
        tokens = event.tokens if isinstance(event, Outcome) else event.draft
        assert (tokens[pins] == problems[number].tokens[pins]).all()
        done += isinstance(event, Outcome)
    assert done == 1000


def test_a_template_stands_byte_for_byte_and_the_check_holds(denoiser: Denoiser) -> None:
    def even(draft: Draft):
        if draft.text[-3] not in "02468":
            yield Violation("odd", span=(len(draft.text) - 3, len(draft.text) - 2))

    found = solver.generate(
        denoiser,
        TOKENIZER,
        prompt="two",
        template=['{"a": "', Hole(2), Hole(1), '"}'],
        check=even,
        candidates=3,
        seed=4,
    )
    assert found.status == "solved"
    every = (found, *found.alternatives)
    for one in every:
        assert (one.text[:7], one.text[-2:]) == ('{"a": "', '"}')
        assert one.status == "solved"
        assert one.text[-3] in "02468"
        assert len(one.text) <= 12  # a hole has at most its tokens
    assert [one.score for one in every] == sorted((one.score for one in every), reverse=True)
    assert len({one.text for one in every}) > (
        denoiser.kind == "uniform"
    )  # a sure mask kind may repeat itself


def test_prompts_of_different_lengths_go_together_as_they_would_alone(denoiser: Denoiser) -> None:
    prompts = ["a", "a longer one", "b c"]
    together = solver.generate(denoiser, TOKENIZER, prompt=prompts, length=10, seed=1)
    alone = [solver.generate(denoiser, TOKENIZER, prompt=prompt, length=10, seed=1) for prompt in prompts]
    assert [found.text for found in together] == [found.text for found in alone]
    assert [found.status for found in together] == ["solved"] * 3


def test_messages_are_a_prompt_and_every_draft_is_shown(denoiser: Denoiser) -> None:
    drafts: list[tuple[int, int, str]] = []
    messages = [{"role": "user", "content": "say"}]
    found = solver.generate(denoiser, TOKENIZER, messages, length=8, watch=lambda *seen: drafts.append(seen))
    assert len(drafts) == found.counters.forwards
    assert drafts[-1] == (0, 0, found.text)


def test_an_impossible_check_ends_with_the_best_draft_and_what_is_wrong_with_it(denoiser: Denoiser) -> None:
    found = solver.generate(
        denoiser,
        TOKENIZER,
        prompt="x",
        length=6,
        check=lambda draft: ["never"],
        budget=Budget(forwards=20),
        candidates=2,
    )
    assert {one.status for one in (found, *found.alternatives)} == {"exhausted"}
    assert [violation.message for violation in found.violations] == ["never"]
    assert found.counters.forwards == 20


def test_a_long_text_is_written_canvas_by_canvas() -> None:
    model = tiny_models.gemma(canvas=8)
    seen: list[Draft] = []

    def check(draft: Draft):
        seen.append(draft)
        return []

    found = solver.generate(model, TOKENIZER, prompt="long", length=24, check=check, stop="stable")
    written = len(found.tokens)
    assert written in (8, 16, 24)
    assert any(not draft.complete for draft in seen) or written == 8
    assert found.text.startswith(next(draft.text for draft in reversed(seen) if len(draft.text) <= 8)[:4])
    assert seen[-1].complete
    assert found.text == seen[-1].text


def test_settled_waits_for_a_calm_draft_and_valid_does_not(denoiser: Denoiser) -> None:
    valid, settled = (
        solver.generate(
            denoiser, TOKENIZER, prompt="go", length=10, check=lambda draft: [], stop=stop
        ).counters.forwards
        for stop in ("valid", "stable")
    )
    assert valid == 1
    assert settled > (denoiser.kind == "uniform")  # a mask kind may be sure of every cell at once


def test_a_sudoku_of_81_cells_is_solved_by_the_same_loop(denoiser: Denoiser) -> None:
    """Random weights know nothing: an easy puzzle, the checks and the search do it."""
    grid = np.array([int(c) for c in EASY], np.int8)
    task = SudokuTask(layout.standard(9))
    if isinstance(denoiser, DiffusionGemma):
        denoiser = DiffusionGemma(tiny_models.gemma(canvas=96))
    embedded = Embedded(denoiser, TOKENIZER, task)
    *_, outcome = refine(task, Sudoku(grid), embedded, embedded.policy.with_(rounds=2), Budget(forwards=3000))
    assert outcome.status == "solved"
    assert task.verify(Sudoku(grid), outcome.tokens)


@pytest.mark.gpu
def test_a_model_on_the_gpu_keeps_pins_and_passes_checks() -> None:
    model = tiny_models.gemma(canvas=16).to("cuda")
    found = solver.generate(
        model,
        TOKENIZER,
        prompt="go",
        template=["a", Hole(4), "b"],
        check=lambda draft: [] if "7" in draft.text else ["no 7"],
    )
    assert found.status == "solved"
    assert found.text[0] + found.text[-1] == "ab"
    assert "7" in found.text


# --- semi-autoregressive blocks, caches


def test_blocks_are_filled_from_the_left() -> None:
    model = tiny_models.remote_model("tiny_llada")
    denoiser = MaskedLM(model, TOKENIZER.mask_token_id, block=4)
    task = TextTask(len(TOKENIZER), TOKENIZER.decode, lambda draft: None)
    pinned = np.zeros(12, bool)
    problem = Text(np.array([2]), np.zeros(12, np.int64), pinned, pinned.copy())
    policy = denoiser.policy.with_(stop="stable", rounds=30)
    steps = [event for _, event in solve(task, [problem], denoiser, policy) if not isinstance(event, Outcome)]
    assert len(steps) > 3
    for step in steps:
        visible = np.flatnonzero(step.visible)
        block = visible.max() // 4
        assert set(range(block * 4)) <= set(visible.tolist())  # all earlier blocks are full


class BlockCausal:
    """A model whose prompt never sees the canvas, and its cache: the keys and values of an inner model are its token
    embeddings."""

    def __init__(self) -> None:
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM

        torch.manual_seed(0)
        self.config = LlamaConfig(
            vocab_size=63,
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            attn_implementation="eager",
        )
        self.inner, self.device, self.calls = LlamaForCausalLM(self.config).eval(), torch.device("cpu"), 0

    def eval(self):
        return self

    def parameters(self):
        return self.inner.parameters()

    def __call__(self, input_ids, past_key_values=None, use_cache=False):
        import torch

        before = 0 if past_key_values is None else past_key_values.get_seq_length()
        self.calls += 1
        rows, own = input_ids.shape
        mask = torch.zeros(
            rows, 1, own, before + own
        )  # causal where there is no cache yet, else all in view of all
        if before == 0:
            mask += torch.full((own, own), float("-inf")).triu(1)
        return self.inner(
            input_ids=input_ids,
            **cache_keyword(self.inner, past_key_values),
            use_cache=use_cache,
            attention_mask=mask,
            position_ids=torch.arange(before, before + own)[None],
        )


@pytest.mark.parametrize("shift", [False, True])
def test_a_prefix_cache_reads_the_prompt_once_and_stays_as_it_was(shift: bool) -> None:
    model = BlockCausal()
    denoiser = MaskedLM(model, 3, shift=shift, prefix_cache=True)
    task = TextTask(63, TOKENIZER.decode)
    blank = np.zeros(6, bool)
    problems = [
        Text(np.array(prompt), np.zeros(6, np.int64), blank, blank.copy())
        for prompt in ([5, 6], [7, 8, 9], [5, 6])
    ]
    canvases = [task.encode(problem) for problem in problems]
    state = denoiser.prefill(canvases, [0, 0, 0])
    assert model.calls == 2
    import torch

    tokens, known = torch.randint(5, 60, (3, 6)), torch.rand(3, 6) < 0.5
    first, aux = denoiser.denoise(state, tokens, known, known, denoiser.start(state))
    again, _ = denoiser.denoise(state, tokens, known, known, aux)
    assert torch.equal(first, again)
    for row, problem in enumerate(problems):  # one after another, from scratch
        alone = denoiser.prefill([canvases[row]], [0])
        expected, _ = denoiser.denoise(
            alone, tokens[row : row + 1], known[row : row + 1], known[row : row + 1], denoiser.start(alone)
        )
        torch.testing.assert_close(first[row : row + 1], expected, atol=1e-5, rtol=1e-4)
        assert len(problem.prompt) == len(state.prompts[state.index[row]])


# --- memory

PEAK = """
import resource, sys, torch
import numpy as np
from tests import tiny_models
from solver.llm.diffusion_gemma import DiffusionGemma
from solver.llm.embedded import Embedded
from solver.loop.engine import solve
from solver.loop.refine import refine
from solver.tasks.text import Text, TextTask
from solver.loop.trace import Budget

torch.set_num_threads(2)
cells, vocab, kind = 128, 262_144, sys.argv[1]
denoiser = DiffusionGemma(tiny_models.gemma(canvas=cells, vocab=vocab))
blank = np.zeros(cells, bool)
problem = Text(np.array([2, 5]), np.zeros(cells, np.int64), blank, blank.copy())
task = TextTask(vocab, str, lambda draft: ["never"])
if kind == "model":
    state = denoiser.prefill([task.encode(problem)], [0])
    with torch.inference_mode():
        for _ in range(2):
            logits = denoiser.forward(state, torch.zeros(1, cells, dtype=torch.long), denoiser.start(state))
else:
    for _ in solve(task, [problem], denoiser, None, Budget(forwards=2)):
        pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
def test_the_loop_never_has_more_than_one_tensor_of_the_full_vocabulary_beyond_the_models_own() -> None:
    """Peak memory of two forwards in the loop, against two of the model alone, in processes of their own."""

    def peak(kind: str) -> int:
        run = subprocess.run([sys.executable, "-c", PEAK, kind], capture_output=True, text=True, check=True)
        return int(run.stdout.split()[-1])

    extra, tensor = peak("loop") - peak("model"), 4 * 128 * 262_144
    print(
        f"{extra / 2**20:.0f} MiB beyond the model's own peak; a tensor of the full vocabulary has {tensor / 2**20:.0f}"
    )
    assert extra < tensor
