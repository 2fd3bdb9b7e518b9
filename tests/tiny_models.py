"""Tiny models of the real classes, with random weights, and a tokenizer for them: nothing is downloaded."""

from __future__ import annotations

from functools import cache
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
        global_head_dim=16,
        num_experts=2,
        top_k_experts=1,
        moe_intermediate_size=width,
        max_position_embeddings=512,
        sliding_window=64,
        **other,
    )
    vision = Gemma4VisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1, head_dim=16
    )
    return DiffusionGemmaConfig(text_config=text, vision_config=vision, canvas_length=canvas)


def gemma(seed: int = 0, **settings: Any) -> Any:
    """A DiffusionGemmaForBlockDiffusion with random weights, large enough to have opinions."""
    from transformers import DiffusionGemmaForBlockDiffusion

    torch.manual_seed(seed)
    model = DiffusionGemmaForBlockDiffusion(gemma_config(**settings)).eval()
    model.set_experts_implementation("eager")
    with torch.no_grad():
        model.model.decoder.embed_tokens.weight.mul_(8.0)
    return model
