"""Tiny models of the real classes, with random weights, and a tokenizer for them: nothing is downloaded."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch

SYMBOLS = "abcdefghijklmnopqrstuvwxyz0123456789 .,:;!?\n\"'{}[]()+-*/=_"
SPECIAL = ("<pad>", "<eos>", "<bos>", "<mask>", "<unk>")


@cache
def tokenizer() -> Any:
    """A character a token, special ones first: pad 0, eos 1, bos 2, mask 3, unk 4."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {symbol: number for number, symbol in enumerate([*SPECIAL, *SYMBOLS])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    core.decoder = decoders.Fuse()
    pad, eos, bos, mask, unk = SPECIAL
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=pad, eos_token=eos, bos_token=bos, mask_token=mask, unk_token=unk
    )


@cache
def byte_level_tokenizer(size: int = 420) -> Any:
    """A byte-level BPE, trained here; special ones first: pad 0, eos 1, bos 2, mask 3, unk 4."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    core = ByteLevelBPETokenizer()
    text = [
        '{"name": "Ada", "born": 1815, "tags": ["first", "of", "them"]}',
        "Grüße, 日本! true false null",
        "and the count is 12",
    ]
    core.train_from_iterator(
        text * 50, vocab_size=size, min_frequency=2, special_tokens=list(SPECIAL), show_progress=False
    )
    pad, eos, bos, mask, unk = SPECIAL
    return PreTrainedTokenizerFast(
        tokenizer_object=core._tokenizer,
        pad_token=pad,
        eos_token=eos,
        bos_token=bos,
        mask_token=mask,
        unk_token=unk,
    )


def gemma_config(canvas: int = 16, vocab: int | None = None, width: int = 32, **other: Any) -> Any:
    from transformers import DiffusionGemmaConfig, DiffusionGemmaTextConfig, Gemma4VisionConfig

    text = DiffusionGemmaTextConfig(
        vocab_size=vocab or len(tokenizer()),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        global_head_dim=24,
        num_experts=2,
        top_k_experts=1,
        moe_intermediate_size=width,
        layer_types=["sliding_attention", "full_attention"],
        max_position_embeddings=512,
        sliding_window=64,
        **other,
    )
    vision = Gemma4VisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=16,
    )
    return DiffusionGemmaConfig(text_config=text, vision_config=vision, canvas_length=canvas)


def gemma(seed: int = 0, sharpness: float = 8.0, **settings: Any) -> Any:
    """A DiffusionGemmaForBlockDiffusion with random weights; its embedding is made ``sharpness`` times as large, so that it has
    opinions."""
    from transformers import DiffusionGemmaForBlockDiffusion

    torch.manual_seed(seed)
    model = DiffusionGemmaForBlockDiffusion(gemma_config(**settings)).eval()
    model.set_experts_implementation("eager")
    with torch.no_grad():
        model.model.decoder.embed_tokens.weight.mul_(sharpness)
    return model


REMOTE = '''
"""A tiny bidirectional language model with a mask token, as such models come: with Python of their own."""

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import MaskedLMOutput


class TinyConfig(PretrainedConfig):
    model_type = "KIND"

    def __init__(self, vocab_size=64, width=32, layers=2, mask_token_id=3, max_position_embeddings=512, **other):
        self.vocab_size, self.width, self.layers = vocab_size, width, layers
        self.mask_token_id, self.max_position_embeddings = mask_token_id, max_position_embeddings
        super().__init__(**other)


class TinyModel(PreTrainedModel):
    config_class = TinyConfig

    def __init__(self, config):
        super().__init__(config)
        self.token = nn.Embedding(config.vocab_size, config.width)
        self.place = nn.Embedding(config.max_position_embeddings, config.width)
        layer = nn.TransformerEncoderLayer(config.width, 2, 2 * config.width, 0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        self.head = nn.Linear(config.width, config.vocab_size)
        self.post_init()

    def _init_weights(self, module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            module.weight.data.normal_(0.0, 0.5)

    def forward(self, input_ids, attention_mask=None, **_):
        x = self.token(input_ids) + self.place(torch.arange(input_ids.shape[1], device=input_ids.device))
        return MaskedLMOutput(logits=self.head(self.layers(x)))
'''


def remote_model(kind: str, seed: int = 0, vocab: int | None = None, context: int = 512) -> Any:
    """The model of that code, with random weights."""
    space: dict[str, Any] = {"__name__": kind}
    exec(REMOTE.replace("KIND", kind), space)
    torch.manual_seed(seed)
    config = space["TinyConfig"](
        vocab_size=vocab or len(tokenizer()),
        mask_token_id=tokenizer().mask_token_id,
        max_position_embeddings=context,
    )
    return space["TinyModel"](config).eval()


def remote_folder(folder: Path, kind: str, seed: int = 0, code: str = REMOTE) -> Path:
    """A folder as its author would publish it, for a model of type ``kind`` ("tiny_llada", "tiny_dream"): code, configuration,
    safetensors weights, tokenizer."""
    import json

    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "modeling_tiny.py").write_text(code.replace("KIND", kind), encoding="utf-8")
    config = {
        "model_type": kind,
        "architectures": ["TinyModel"],
        "auto_map": {
            "AutoConfig": "modeling_tiny.TinyConfig",
            "AutoModelForMaskedLM": "modeling_tiny.TinyModel",
        },
        "vocab_size": len(tokenizer()),
        "mask_token_id": tokenizer().mask_token_id,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(remote_model(kind, seed).state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer().save_pretrained(folder)
    return folder


def gemma_folder(folder: Path, seed: int = 0, **settings: Any) -> Path:
    """The same for DiffusionGemma, whose class is in transformers."""
    gemma(seed, **settings).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


class ScriptedModel:
    """A mask model that is sure of one token for each cell after a prompt of ``prompt`` tokens.

    Args:
        tokens: the tokens that it gives.
        vocab: tokens that its configuration states.
        columns: tokens that its logits are of, ``vocab`` if None.
        prompt: tokens of the prompt.
    """

    def __init__(self, tokens: list[int], vocab: int, columns: int | None = None, prompt: int = 1) -> None:
        from types import SimpleNamespace

        self.tokens, self.columns, self.prompt = tokens, columns or vocab, prompt
        self.config = SimpleNamespace(vocab_size=vocab, mask_token_id=3, model_type="scripted")
        self.generation_config = SimpleNamespace(eos_token_id=1)
        self.device = torch.device("cpu")
        self.calls = 0

    def eval(self) -> None:
        pass

    def parameters(self) -> Any:
        return iter([torch.zeros(1)])

    def __call__(self, input_ids: torch.Tensor) -> Any:
        from types import SimpleNamespace

        self.calls += 1
        logits = torch.zeros(*input_ids.shape, self.columns)
        for cell, token in enumerate(self.tokens[: input_ids.shape[1] - self.prompt]):
            logits[:, self.prompt + cell, token] = 12.0
        return SimpleNamespace(logits=logits)
