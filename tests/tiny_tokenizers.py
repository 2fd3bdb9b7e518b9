"""Tiny tokenizers with the traits of published ones. Special tokens first: pad 0, eos 1, bos 2, mask 3, unk 4."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import cache
from typing import Any

from tests.tiny_models import SPECIAL, byte_level_tokenizer

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
TEXT = ['{ "a": 1 }', '{ "name": "ada" }', "hello world", "x y z", "a.b, c! don't"] * 50


def wrap(core: Any, **settings: Any) -> Any:
    from transformers import PreTrainedTokenizerFast

    names = dict(
        zip(("pad_token", "eos_token", "bos_token", "mask_token", "unk_token"), SPECIAL, strict=True)
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, **names, **settings)


def accents() -> Any:
    """Byte-level, with added tokens outside ASCII: the decoder takes their letters for bytes."""
    tokenizer = copy.deepcopy(byte_level_tokenizer())
    tokenizer.add_tokens(["£", "café", "<tool_call>", "<b>"])
    return tokenizer


def sentence_piece() -> Any:
    """BPE over ▁ with byte fallback, and the decoder of Gemma."""
    from tokenizers import Tokenizer, decoders, models, normalizers, trainers

    core = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    core.normalizer = normalizers.Replace(" ", "▁")
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=[*SPECIAL, *BYTES], show_progress=False)
    core.train_from_iterator([text.replace(" ", "▁") for text in TEXT], trainer)
    state = json.loads(core.to_str())  # byte tokens are no added tokens
    state["added_tokens"] = [entry for entry in state["added_tokens"] if entry["content"] not in BYTES]
    core = Tokenizer.from_str(json.dumps(state))
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return core


def space_runs() -> Any:
    """Gemma's kind: runs of spaces are added tokens."""
    from tokenizers import AddedToken

    tokenizer = wrap(sentence_piece())
    tokenizer.add_tokens([AddedToken("▁" * count, normalized=True) for count in (2, 3, 4)])
    return tokenizer


def first_space() -> Any:
    """Llama 2's kind: the first space of a text is stripped."""
    from tokenizers import decoders, pre_tokenizers

    core = sentence_piece()
    core.normalizer = None
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    strip = decoders.Strip(" ", 1, 0)
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), strip]
    )
    return wrap(core)


def unigram() -> Any:
    """T5's kind: Unigram, all spaces of the first token are dropped."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    pieces = ["▁", "▁x", "▁y", "a", "b", "▁▁", "x", "y", "é", *'{}":,0123456789']
    core = Tokenizer(
        models.Unigram([(piece, -float(n)) for n, piece in enumerate([*SPECIAL, *pieces])], 4, False)
    )
    core.pre_tokenizer, core.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return wrap(core)


def word_piece(cleanup: bool = True) -> Any:
    """BERT's kind: lower case, spaces between words, none before punctuation."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    pieces = [*"xyab01.,!'{}\":", "##b", "##y", "##1", "don", "not", "do"]
    core = Tokenizer(
        models.WordPiece({piece: n for n, piece in enumerate([*SPECIAL, *pieces])}, unk_token="<unk>")
    )
    core.normalizer, core.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    core.decoder = decoders.WordPiece(cleanup=cleanup)
    return wrap(core)


def normalised() -> Any:
    """Byte-level, with a normaliser that changes texts."""
    from tokenizers import normalizers

    tokenizer = copy.deepcopy(byte_level_tokenizer())
    tokenizer._tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    return tokenizer


def unnamed_specials() -> Any:
    """Special tokens that the configuration does not name, and markers that are not special."""
    from tokenizers import AddedToken

    tokenizer = copy.deepcopy(byte_level_tokenizer())
    tokenizer.add_tokens([AddedToken("<|eot_id|>", special=True), AddedToken("<|channel>", special=True)])
    tokenizer.add_tokens(["<tool_call>", "[TOOL_CALLS]", "<think>"])
    return tokenizer


def without_decoder() -> Any:
    """Words joined by spaces."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    core = Tokenizer(models.WordLevel({word: n for n, word in enumerate([*SPECIAL, "x", "y", "1"])}, "<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return wrap(core)


KINDS: dict[str, Callable[[], Any]] = {
    kind.__name__: kind
    for kind in (
        accents,
        space_runs,
        first_space,
        unigram,
        word_piece,
        normalised,
        unnamed_specials,
        without_decoder,
    )
}


@cache
def of_kind(kind: str) -> Any:
    """The tokenizer of a kind, built once. Do not change it."""
    return KINDS[kind]()
