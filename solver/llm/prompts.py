"""What stands before a canvas: prompts as tokens, each different one once, whether they fit, and their cache."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from inspect import signature
from typing import Any

from solver.models.protocol import ModelError, TextDenoiser
from solver.tasks.canvas import Canvas, Tokens


def different(canvases: Sequence[Canvas]) -> tuple[list[Tokens], tuple[int, ...]]:
    """The different prompts of some canvases, and the number of each canvas's own among them."""
    number: dict[bytes, int] = {}
    prompts: list[Tokens] = []
    for canvas in canvases:
        if number.setdefault(canvas.prompt.tobytes(), len(prompts)) == len(prompts):
            prompts.append(canvas.prompt)
    return prompts, tuple(number[canvas.prompt.tobytes()] for canvas in canvases)


def chat(tokenizer: Any, messages: Sequence[dict[str, str]]) -> list[int]:
    """Messages as token ids: by the tokenizer's chat template, or where it has none, their contents in a row."""
    if getattr(tokenizer, "chat_template", None):
        return list(
            tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
        )
    text = "\n".join(message["content"] for message in messages) + "\n"
    ids = list(tokenizer.encode(text))
    first = tokenizer.bos_token_id
    return ids if first is None or ids[:1] == [first] else [first, *ids]


def fits(denoiser: TextDenoiser, prompt: int, cells: int) -> None:
    """Raises ModelError where ``prompt`` tokens and ``cells`` to write are more than the model has positions for."""
    most = denoiser.context
    if most is not None and prompt + cells > most:
        raise ModelError(
            f"a prompt of {prompt} tokens and {cells} to write are over the model's context of {most}"
        )


def cached(function: Callable[..., Any], found: Any) -> dict[str, Any]:
    """The keyword argument that gives ``function`` (a model, one of its methods) a cache: ``cache`` from transformers 5.24 on,
    before that and in models of others' code ``past_key_values``."""
    names = signature(getattr(function, "forward", function)).parameters
    return {"cache" if "cache" in names else "past_key_values": found}


def ends(model: Any) -> list[int]:
    """The tokens that end a text, as a model's generation config has them: one, several, or none."""
    said = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    return [said] if isinstance(said, int) else list(said or [])


def token_bytes(tokenizer: Any) -> list[bytes]:
    """The bytes of every token, as they stand in a text; b"" for special ones. Raises ModelError for a tokenizer whose tokens
    do not simply follow one another."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError("a schema or a pattern needs a tokenizer of the tokenizers library (a fast one)")
    decoder = json.dumps(json.loads(backend.to_str()).get("decoder"))
    special = set(tokenizer.all_special_ids)
    texts = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    added = {number: token.content for number, token in tokenizer.added_tokens_decoder.items()}
    if '"ByteLevel"' in decoder:
        table = {symbol: byte for byte, symbol in byte_symbols().items()}

        def plain(text: str) -> bytes:
            return (
                bytes(table[symbol] for symbol in text)
                if all(symbol in table for symbol in text)
                else text.encode()
            )

    elif '"ByteFallback"' in decoder or "\u2581" in decoder or '"Metaspace"' in decoder:

        def plain(text: str) -> bytes:
            if len(text) == 6 and text.startswith("<0x") and text.endswith(">"):
                return bytes([int(text[3:5], 16)])
            return text.replace("\u2581", " ").encode()

    elif decoder in ("null", '{"type": "Fuse"}'):

        def plain(text: str) -> bytes:
            return text.encode()

    else:
        raise ModelError(
            "a schema or a pattern needs a tokenizer whose tokens simply follow one another (byte-level, SentencePiece)"
        )
    found = []
    for number, text in enumerate(texts):
        if number in special or text is None:
            found.append(b"")
        else:
            found.append(added[number].encode() if number in added else plain(text))
    return found


@cache
def byte_symbols() -> dict[int, str]:
    """The printable symbol that stands for each byte in a byte-level vocabulary (GPT-2's table)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + at) for at, byte in enumerate(others)}
