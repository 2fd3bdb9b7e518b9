"""DiffusionGemma: the real class with tiny random weights. The model's own sampler, step by step; the cache;
self-conditioning."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from solver.llm.diffusion_gemma import DiffusionGemma
from solver.llm.inspection import cache_keyword
from solver.tasks.task import Canvas
from tests import tiny_models
from tests.gemma_sampler import sample

STEPS, CANVAS = 8, 8


def model_of(sharpness: float):
    """``sharpness`` scales the output embedding: a sharp model is calm and stops early, a flat one takes every step."""
    model = tiny_models.gemma(canvas=CANVAS)
    with torch.no_grad():
        model.model.decoder.embed_tokens.weight.mul_(sharpness)
    model.generation_config.max_denoising_steps = STEPS
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = [1, 9, 11, 23, 31, 40, 52], 0
    return model


@pytest.mark.parametrize("seeds", [3, pytest.param(25, marks=pytest.mark.slow)])
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("sharpness", [1.0, 6.0])
def test_the_sampler_is_generate_token_for_token(rows: int, sharpness: float, seeds: int) -> None:
    """Prompts of different lengths, two canvases, rows that end early and rows that do not."""
    model = model_of(sharpness)
    denoiser = DiffusionGemma(model)
    generator = torch.Generator().manual_seed(rows)
    seen = set()
    for seed in range(seeds):
        ids = torch.randint(5, denoiser.vocab, (rows, 6), generator=generator)
        mask = torch.arange(6)[None] >= torch.randint(0, 4, (rows, 1), generator=generator)
        torch.manual_seed(seed)
        expected = model.generate(ids, attention_mask=mask.long(), max_new_tokens=2 * CANVAS)
        torch.manual_seed(seed)
        found = sample(denoiser, ids, mask, canvases=2)
        assert torch.equal(found, expected.sequences)
        seen.add((tuple(expected.tokens_per_forward.tolist()), found.shape[1]))
    assert len(seen) > 1 or seeds < 25  # the runs were not all of one kind


def canvas_of(prompt: list[int], cells: int = CANVAS, vocab: int = 63) -> Canvas:
    blank = np.zeros(cells, bool)
    return Canvas(np.zeros(cells, np.int64), blank, blank.copy(), vocab, prompt=np.array(prompt))


def forward(denoiser: DiffusionGemma, state, tokens: np.ndarray):
    known = torch.zeros(tokens.shape, dtype=torch.bool)
    return denoiser.denoise(state, torch.tensor(tokens), known, known, denoiser.start(state))


def test_rows_share_one_prefill_and_prompts_of_any_length_go_together() -> None:
    denoiser = DiffusionGemma(tiny_models.gemma(canvas=CANVAS))
    prompts = [[5, 6, 7], [8, 9, 10, 11, 12], [5, 6, 7]]
    state = denoiser.prefill([canvas_of(p) for p in prompts], [0, 0, 0])
    assert state.index == (0, 1, 0)
    assert len(state.prompts.mask) == 2  # the first and the last share theirs
    tokens = np.random.default_rng(0).integers(0, denoiser.vocab, (3, CANVAS))
    together, _ = forward(denoiser, state, tokens)
    for row, prompt in enumerate(prompts):
        alone, _ = forward(denoiser, denoiser.prefill([canvas_of(prompt)], [0]), tokens[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-4, rtol=1e-4)


def test_a_forward_leaves_the_cache_as_it_was_and_extend_makes_a_new_one() -> None:
    denoiser = DiffusionGemma(tiny_models.gemma(canvas=CANVAS))
    state = denoiser.prefill([canvas_of([5, 6, 7])], [0])
    tokens = np.arange(CANVAS)[None]
    before, _ = forward(denoiser, state, tokens)
    longer = denoiser.extend(state, torch.tensor(tokens))
    assert longer.prompts.mask.shape[1] == state.prompts.mask.shape[1] + CANVAS
    assert torch.equal(forward(denoiser, state, tokens)[0], before)
    # what follows a canvas is what follows the same tokens as a prompt
    whole = denoiser.prefill([canvas_of([5, 6, 7, *range(CANVAS)])], [0])
    torch.testing.assert_close(
        forward(denoiser, longer, tokens)[0], forward(denoiser, whole, tokens)[0], atol=1e-4, rtol=1e-4
    )


def test_expected_embeddings_stand_in_for_the_logits_they_come_from() -> None:
    """The hook gives the decoder what the model would have made of the last step's logits."""
    model = tiny_models.gemma(canvas=CANVAS)
    denoiser = DiffusionGemma(model)
    state = denoiser.prefill([canvas_of([5, 6, 7])], [0])
    tokens = np.arange(CANVAS)[None]
    logits, aux = forward(denoiser, state, tokens)
    known = torch.zeros(tokens.shape, dtype=torch.bool)
    found, _ = denoiser.denoise(state, torch.tensor(tokens), known, known, aux)
    cache, mask = state.prompts.rows((0,))
    expected = model(
        decoder_input_ids=torch.tensor(tokens),
        decoder_attention_mask=torch.nn.functional.pad(mask, (0, CANVAS), value=True),
        self_conditioning_logits=logits,
        **cache_keyword(model, cache),
    ).logits / denoiser.schedule.temperature(1)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found, logits, atol=1e-2)  # it matters


def test_a_reset_forgets_single_cells_and_a_settled_cell_is_conditioned_on_its_token() -> None:
    denoiser = DiffusionGemma(tiny_models.gemma(canvas=CANVAS))
    state = denoiser.prefill([canvas_of([5, 6, 7])], [0])
    tokens, known = torch.arange(CANVAS)[None], torch.zeros(1, CANVAS, dtype=torch.bool)
    settled = known.clone()
    settled[0, 2] = True
    _, aux = denoiser.denoise(state, tokens, settled, settled, denoiser.start(state))
    assert torch.equal(aux.embeddings[0, 2], denoiser.model.model.decoder.embed_tokens(tokens)[0, 2])
    cells = np.zeros((1, CANVAS), bool)
    cells[0, 4] = True
    after = aux.reset(cells)
    assert not after.embeddings[0, 4].any()
    assert torch.equal(after.embeddings[0, [0, 1, 2, 3, 5, 6, 7]], aux.embeddings[0, [0, 1, 2, 3, 5, 6, 7]])
    assert aux.embeddings[0, 4].any()  # the old one is as it was


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one token"):
        DiffusionGemma(tiny_models.gemma(canvas=CANVAS)).prefill([canvas_of([])], [0])
