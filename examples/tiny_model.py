"""A diffusion language model with random weights, for examples that must run without a download.

Its class is the real one (DiffusionGemma in ``transformers``); its vocabulary is one token per character.
"""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    DiffusionGemmaConfig,
    DiffusionGemmaForBlockDiffusion,
    DiffusionGemmaTextConfig,
    Gemma4VisionConfig,
    PreTrainedTokenizerFast,
)

SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>"]
CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,:;!?\n\"'{}[]()+-*/=_"

_core = Tokenizer(models.WordLevel({c: i for i, c in enumerate([*SPECIAL, *CHARACTERS])}, unk_token="<unk>"))
_core.pre_tokenizer = pre_tokenizers.Split("", "isolated")
_core.decoder = decoders.Fuse()
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=_core, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>", unk_token="<unk>"
)

_text = DiffusionGemmaTextConfig(
    vocab_size=len(tokenizer),
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=16,
    global_head_dim=24,
    num_experts=2,
    top_k_experts=1,
    moe_intermediate_size=32,
    layer_types=["sliding_attention", "full_attention"],
    max_position_embeddings=512,
    sliding_window=64,
)
_vision = Gemma4VisionConfig(
    hidden_size=16,
    intermediate_size=16,
    num_hidden_layers=1,
    num_attention_heads=1,
    num_key_value_heads=1,
    head_dim=16,
)
torch.manual_seed(0)
model = DiffusionGemmaForBlockDiffusion(
    DiffusionGemmaConfig(text_config=_text, vision_config=_vision, canvas_length=16)
).eval()
model.set_experts_implementation("eager")  # faster than the batched default at this size
