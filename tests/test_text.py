"""Text under pins and checks: the task, ``solver.generate``, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import solver
from solver.cli.main import main
from solver.errors import ModelError
from solver.kernels import reference
from solver.llm.diffusion_gemma import DiffusionGemma
from solver.llm.embedded import Embedded
from solver.llm.masked_lm import MaskedLM
from solver.llm.pretrained import adapt, open_model
from solver.llm.prompts import cache_keyword
from solver.loop.engine import solve
from solver.loop.refine import refine
from solver.loop.trace import Budget, Outcome
from solver.models.protocol import Denoiser
from solver.tasks.errors import InvalidArgument
from solver.tasks.sudoku import layout
from solver.tasks.sudoku.task import Sudoku, SudokuTask
from solver.tasks.task import Violation
from solver.tasks.text import Draft, Hole, Text, TextTask, overlapping, text_from_template
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


# --- the task


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
def test_a_fault_is_blamed_on_the_cells_whose_text_it_touches(span: tuple[int, int], cells: set[int]) -> None:
    task, problem, ids = problem_of("abc de")
    assert set(np.flatnonzero(overlapping(span, *task.cell_spans(problem, ids))).tolist()) == cells


def test_a_fault_behind_the_end_is_blamed_on_the_token_that_ends_the_text() -> None:
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


def test_the_check_is_asked_once_a_draft() -> None:
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
    problem = text_from_template(
        parts, lambda text: TOKENIZER.encode(text, add_special_tokens=False), TOKENIZER.decode
    )
    assert len(problem.tokens) == sum(part.size if isinstance(part, Hole) else len(part) for part in parts)
    shown = "".join(
        TOKENIZER.decode([token]) if pinned else "_"
        for token, pinned in zip(problem.tokens, problem.pinned, strict=True)
    )
    assert shown == "".join("_" * part.size if isinstance(part, Hole) else part for part in parts)


def test_a_hole_may_have_a_start_and_a_literal_must_come_back() -> None:
    problem = text_from_template(
        [Hole(4, "ab")], lambda text: TOKENIZER.encode(text, add_special_tokens=False), TOKENIZER.decode
    )
    assert problem.known.tolist() == [True, True, False, False]
    assert not problem.pinned.any()
    for template, message in (([Hole(1, "ab")], "2 tokens, its hole 1"), (["é"], "does not give 'é' back")):
        with pytest.raises(ValueError, match=message):
            text_from_template(
                template, lambda text: TOKENIZER.encode(text, add_special_tokens=False), TOKENIZER.decode
            )


# --- generate


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
        if draft.text[9] not in "02468":
            yield Violation("odd", span=(9, 10))

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
        assert (one.text[:7], one.text[10:]) == ('{"a": "', '"}')
        assert one.status == "solved"
        assert one.text[9] in "02468"
        assert len(one.text) == 12
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
    task, problem, _ = problem_of("abcdefghijkl")

    task = TextTask(len(TOKENIZER), TOKENIZER.decode, lambda draft: [])
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


# --- what is refused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "either messages or a prompt"),
        ({"prompt": "x", "messages": [{"role": "user", "content": "x"}]}, "either messages or a prompt"),
        ({"messages": []}, "no messages"),
        ({"prompt": "x", "candidates": 0}, "candidates must be int, at least 1"),
        (
            {"prompt": "x", "template": [Hole(30)]},
            "template takes 31 tokens, its end included, and the canvas has 16",
        ),
        ({"prompt": "x" * 600}, "over the model's context of 512"),
        ({"prompt": "x", "template": ["é"]}, "does not give 'é' back"),
    ],
)
def test_generate_says_in_one_line_what_cannot_be(settings: dict, message: str) -> None:
    with pytest.raises((InvalidArgument, ModelError), match=message) as caught:
        solver.generate(tiny_models.gemma(canvas=16), TOKENIZER, **settings)
    assert "\n" not in str(caught.value)


def test_a_tokenizer_of_another_model_is_refused() -> None:
    with pytest.raises(ModelError, match="the tokenizer has 63 tokens, the model 40"):
        solver.generate(tiny_models.gemma(canvas=16, vocab=40), TOKENIZER, prompt="x")
    with pytest.raises(InvalidArgument, match="a tokenizer is needed"):
        solver.generate(tiny_models.gemma(canvas=16), prompt="x")


def llama(folder: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=63, **sizes)).save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)


def no_tokenizer(folder: Path) -> None:
    tiny_models.gemma().save_pretrained(folder)


def pickled(folder: Path) -> None:
    tiny_models.gemma_folder(folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def enormous(folder: Path) -> None:
    tiny_models.gemma_folder(folder)
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(1 << 42)  # 4 TiB that take no room


def damaged(folder: Path) -> None:
    tiny_models.gemma_folder(folder)
    (folder / "model.safetensors").write_bytes(b"nothing")


def small_canvas(folder: Path) -> None:
    tiny_models.gemma_folder(folder, canvas=16)


def without_digits(folder: Path) -> None:
    tiny_models.gemma_folder(folder, canvas=128)
    text = (folder / "tokenizer.json").read_text(encoding="utf-8")
    (folder / "tokenizer.json").write_text(text.replace('"7":', '"seven":'), encoding="utf-8")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (llama, "LlamaForCausalLM writes left to right; a diffusion model is needed"),
        (no_tokenizer, "no tokenizer beside the model"),
        (pickled, "no safetensors weights there; pickled ones are not loaded"),
        (enormous, "needs 4096.0 GiB"),
        (damaged, "weights cannot be read"),
        (small_canvas, "the answer takes 89 tokens, and the model's canvas has 16"),
        (without_digits, "no single token for '7'"),
        (lambda folder: tiny_models.remote_folder(folder, "tiny_llada"), "only with --trust-remote-code"),
        (lambda folder: folder.rmdir(), "neither a folder"),
    ],
)
def test_the_command_line_refuses_a_model_in_one_line(make, message: str, tmp_path: Path, capfd) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    make(folder)
    assert main(["sudoku", "--model", str(folder)]) == 2
    error = capfd.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error


@pytest.mark.parametrize("other", [["--denoiser", "random"], ["--loops", "3"]])
def test_a_model_stands_in_for_the_denoiser(other: list[str], capfd) -> None:
    assert main(["sudoku", "--model", "anything", *other]) == 2
    assert "goes neither with" in capfd.readouterr().err


def test_the_command_line_solves_with_a_model(tmp_path: Path, capfd) -> None:
    folder = tiny_models.gemma_folder(tmp_path / "model", canvas=128)
    assert main(["sudoku", "--model", str(folder), "--json", "1...0..2.3..4..."]) == 0
    result = json.loads(capfd.readouterr().out)
    assert (result["status"], result["denoiser"], len(result["solution"])) == ("solved", str(folder), 16)


def test_adapt_refuses_what_writes_left_to_right() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    with pytest.raises(ModelError, match="LlamaForCausalLM writes left to right"):
        adapt(LlamaForCausalLM(LlamaConfig(vocab_size=63, **sizes)), TOKENIZER)
    assert isinstance(adapt(tiny_models.gemma(), TOKENIZER), DiffusionGemma)
    assert isinstance(adapt(tiny_models.remote_model("tiny_llada"), TOKENIZER), MaskedLM)


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
