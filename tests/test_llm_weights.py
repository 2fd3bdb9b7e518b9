"""Models as users have them: offloaded, quantised, padded, of another transformers; and shared by threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    RobertaConfig,
    RobertaForMaskedLM,
)

import solver
from solver.errors import ModelError
from solver.llm.diffusion_gemma import DiffusionGemma
from solver.llm.inspection import check_rotary
from solver.llm.masked_lm import MaskedLM
from solver.llm.pretrained import adapt, open_model
from solver.llm.tokenizer import TokenizerBridge
from solver.tasks.task import Canvas
from tests import tiny_models

TOKENIZER = tiny_models.tokenizer()
SIZES = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
ABC = TOKENIZER.encode("abc", add_special_tokens=False)


def small(kind: str) -> Any:
    if kind == "mask":
        torch.manual_seed(0)
        return BertForMaskedLM(BertConfig(vocab_size=63, **SIZES)).eval()
    model = tiny_models.gemma(canvas=8)
    model.generation_config.max_denoising_steps = 3
    return model


def text_of(model: Any) -> str:
    return solver.generate(model, TOKENIZER, prompt="x", length=8, seed=1).text


@pytest.mark.parametrize("kind", ["mask", "uniform"])
def test_offloaded_weights_give_the_text_of_weights_in_memory(kind: str) -> None:
    accelerate = pytest.importorskip("accelerate", reason="accelerate is optional")
    expected, model = text_of(small(kind)), small(kind)
    accelerate.cpu_offload(model, execution_device=torch.device("cpu"))
    assert {weight.device.type for weight in model.parameters()} == {"meta"}
    assert text_of(model) == expected


@pytest.mark.parametrize("kind", ["mask", "uniform"])
def test_a_model_without_weights_is_refused(kind: str) -> None:
    with pytest.raises(ModelError, match="no weights: it is on the meta device"):
        text_of(small(kind).to("meta"))


@pytest.mark.parametrize("kind", ["mask", "uniform"])
def test_models_do_not_run_in_inference_mode(kind: str) -> None:
    """Tensor subclasses, which quantised weights are, fail in it."""
    model, modes = small(kind), set()
    for module in model.modules():
        module.register_forward_pre_hook(
            lambda *_: modes.add((torch.is_inference_mode_enabled(), torch.is_grad_enabled()))
        )
    text_of(model)
    assert modes == {(False, False)}


def test_an_embedding_that_cannot_be_read_directly_conditions_as_well() -> None:
    class Quantised(torch.Tensor):
        """A subclass that cannot be multiplied, as those of torchao."""

        @classmethod
        def __torch_function__(cls, function: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
            if function in (
                torch.matmul,
                torch.Tensor.matmul,
                torch.Tensor.__matmul__,
                torch.Tensor.__rmatmul__,
            ):
                raise NotImplementedError("not quantised")
            with torch._C.DisableTorchFunctionSubclass():
                return function(*args, **(kwargs or {}))

    model = small("uniform")
    denoiser, logits = DiffusionGemma(model), torch.randn(1, 8, 63)
    expected = denoiser.expected_embeddings(logits, [None])
    embedding = model.model.decoder.embed_tokens
    weight = embedding.weight.detach()
    del embedding._parameters["weight"]
    embedding.weight = weight.as_subclass(Quantised)
    with torch.no_grad():
        found = denoiser.expected_embeddings(logits, [None])
    torch.testing.assert_close(found.as_subclass(torch.Tensor), expected)


def test_two_threads_on_one_model_do_not_condition_each_other() -> None:
    """Both threads are inside of the decoder at the same time, with another canvas each."""
    model = tiny_models.gemma(canvas=8)
    none = np.zeros(8, bool)
    canvas = Canvas(np.zeros(8, np.int64), none, none, 63, prompt=np.array([5, 6, 7]))
    settled = torch.zeros(1, 8, dtype=torch.bool)

    def run(seed: int) -> torch.Tensor:
        denoiser = DiffusionGemma(model)
        state = denoiser.prefill([canvas], [0])
        tokens, aux = torch.randint(5, 63, (1, 8), generator=torch.Generator().manual_seed(seed)), None
        for _ in range(3):
            logits, aux = denoiser.denoise(state, tokens, settled, settled, aux or denoiser.start(state))
        return logits

    alone = [run(0), run(1)]
    barrier = Barrier(2, timeout=60)

    def meet(*_: Any) -> None:
        barrier.wait()

    hook = model.model.decoder.embed_tokens.register_forward_pre_hook(meet)
    try:
        with ThreadPoolExecutor(2) as pool:
            together = list(pool.map(run, [0, 1]))
    finally:
        hook.remove()
    for expected, logits in zip(alone, together, strict=True):
        torch.testing.assert_close(logits, expected)
    assert len(model.model.decoder.self_conditioning._forward_pre_hooks) == 1


@pytest.mark.parametrize("columns", [len(TOKENIZER) + 65, len(TOKENIZER) + 1, len(TOKENIZER) - 3])
@pytest.mark.parametrize("language", [{}, {"regex": "[a-z]{3}"}, {"schema": {"enum": [123]}}])
def test_a_head_may_be_wider_or_narrower_than_the_vocabulary(columns: int, language: dict[str, Any]) -> None:
    tokens = TOKENIZER.encode("123" if "schema" in language else "abc", add_special_tokens=False)
    model = tiny_models.ScriptedModel([*tokens, 1], len(TOKENIZER), columns)
    candidate = solver.generate(model, TOKENIZER, prompt=[2], length=4, **language)
    assert (candidate.status, candidate.text) == ("solved", "123" if "schema" in language else "abc")


def test_a_tokenizer_may_have_a_token_that_the_model_has_not() -> None:
    model = tiny_models.ScriptedModel([*ABC, 1], len(TOKENIZER) - 1)
    for language in ({}, {"regex": "[a-z]{3}"}):
        assert solver.generate(model, TOKENIZER, prompt=[2], length=4, **language).text == "abc"
    last = TOKENIZER.convert_ids_to_tokens(len(TOKENIZER) - 1)
    with pytest.raises(solver.InvalidArgument, match="no tokens of this tokenizer are decoded to '_'"):
        solver.generate(model, TOKENIZER, prompt=[2], template=[last, solver.Hole(1)])


@pytest.mark.parametrize(
    ("configured", "ends"),
    [
        (40, {0, 1, 40}),
        ([40, 41], {0, 1, 40, 41}),
        (torch.tensor([40]), {0, 1, 40}),
        ([], {0, 1}),
        (None, {0, 1}),
        (50256, {0, 1}),
        ([3, -1], {0, 1}),  # the mask token never ends a text
    ],
)
def test_end_tokens_come_from_the_tokenizer_and_the_model(configured: Any, ends: set[int]) -> None:
    model = tiny_models.ScriptedModel([*ABC, 40], len(TOKENIZER))
    model.generation_config.eos_token_id = configured
    bridge = TokenizerBridge(adapt(model, TOKENIZER), TOKENIZER)
    assert (bridge.ends, bridge.end) == (ends, 1)
    assert solver.generate(model, TOKENIZER, prompt=[2], length=4).text == "abc" if 40 in ends else True


def test_a_model_without_a_generation_config_ends_by_its_configuration() -> None:
    model = tiny_models.ScriptedModel([], len(TOKENIZER))
    model.generation_config, model.config.eos_token_id = None, 9
    assert 9 in TokenizerBridge(adapt(model, TOKENIZER), TOKENIZER).ends


def test_positions_that_roberta_never_uses_are_not_counted() -> None:
    model = RobertaForMaskedLM(RobertaConfig(vocab_size=63, max_position_embeddings=18, **SIZES)).eval()
    assert MaskedLM(model, 3).context == 16
    assert len(solver.generate(model, TOKENIZER, prompt=[5] * 8, length=8).tokens) == 8
    with pytest.raises(ModelError, match="over the model's context of 16"):
        solver.generate(model, TOKENIZER, prompt=[5] * 8, length=9)


def test_models_without_logits_and_encoder_decoders_are_refused() -> None:
    with pytest.raises(ModelError, match="BertModel gives no logits"):
        text_of(BertModel(BertConfig(vocab_size=63, **SIZES)))
    widths = {
        "d_model": 16,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_ffn_dim": 16,
        "decoder_ffn_dim": 16,
    }
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    with pytest.raises(ModelError, match="encoder-decoder"):
        text_of(BartForConditionalGeneration(BartConfig(vocab_size=63, **widths, **heads)))


def test_a_model_inside_of_adapters_is_used() -> None:
    model = small("uniform")
    assert text_of(SimpleNamespace(config=None, get_base_model=lambda: model)) == text_of(model)


# --- code written for another transformers

ROTARY = "        self.token = nn.Embedding(config.vocab_size"
FREQUENCIES = """        from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
        self.register_buffer("inv_freq", ROPE_INIT_FUNCTIONS["default"](config)[0])
"""


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (tiny_models.REMOTE.replace("        self.post_init()\n", ""), "all_tied_weights_keys"),
        (tiny_models.REMOTE.replace(ROTARY, FREQUENCIES + ROTARY), "KeyError: 'default'"),
    ],
)
def test_published_code_for_an_older_transformers_says_which_it_needs(
    code: str, reason: str, tmp_path: Path
) -> None:
    folder = tiny_models.remote_folder(tmp_path / "model", "tiny_llada", code=code)
    with pytest.raises(ModelError, match=r"needs transformers 4\.57\.6") as caught:
        open_model(str(folder), trust_remote_code=True)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_code_that_fails_in_a_forward_says_which_transformers_it_needs(tmp_path: Path) -> None:
    code = tiny_models.REMOTE.replace(
        "        x = self", "        self.config.use_return_dict.value\n        x = self"
    )
    folder = tiny_models.remote_folder(tmp_path / "model", "tiny_llada", code=code)
    denoiser, tokenizer = open_model(str(folder), trust_remote_code=True)
    with pytest.raises(ModelError, match=r"needs transformers 4\.57\.6"):
        solver.generate(denoiser, tokenizer, prompt="x")


@pytest.mark.parametrize("values", [[1.0, 0.0], [float("nan"), 0.1], [3e7, 0.1]])
def test_rotary_frequencies_that_were_never_computed_are_refused(values: list[float]) -> None:
    module = nn.Module()
    module.register_buffer("inv_freq", torch.tensor([1.0, 0.01]))
    check_rotary("tiny", module)
    module.inv_freq = torch.tensor(values)
    with pytest.raises(ModelError, match=r"tiny: .*inv_freq has no values.*needs transformers 4\.57\.6"):
        check_rotary("tiny", module)
