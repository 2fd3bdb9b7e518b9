"""Tokenizers: text to tokens and back, the bytes of every token, and the tokens that end a text.

>>> byte_symbols()[ord("a")], byte_symbols()[ord(" ")]
('a', '\u0120')
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from solver.errors import ModelError
from solver.kernels import reference
from solver.models.protocol import TextDenoiser
from solver.tasks.errors import InvalidArgument
from solver.tasks.languages.token_bytes import TokenBytes
from solver.tasks.task import EMPTY
from solver.tasks.text import Hole, Text, text_from_template

SHARED = 0.95  # share of the tokenizer's tokens that the model must have
LENGTH = 64  # tokens of free text if neither the caller nor the model limits it


class TokenizerBridge:
    """Connects a tokenizer with the denoiser of the same vocabulary.

    Args:
        denoiser: the model.
        tokenizer: a transformers tokenizer.

    Attributes:
        end: the token that ends a text, or None.
        ends: all tokens that end a text.

    Raises:
        ModelError: the tokenizer has more tokens than the model, beyond a few that were added to it.
    """

    def __init__(self, denoiser: TextDenoiser, tokenizer: Any) -> None:
        self.denoiser, self.tokenizer = denoiser, tokenizer
        if len(tokenizer) * SHARED > denoiser.vocab:
            raise ModelError(
                f"the tokenizer has {len(tokenizer)} tokens, the model {denoiser.vocab}: not a pair"
            )
        unusable = {*denoiser.forbidden, None}
        ends = [*as_tokens(tokenizer.eos_token_id), *end_tokens(getattr(denoiser, "model", None))]
        ends = [token for token in ends if token in range(denoiser.vocab) and token not in unusable]
        self.end = next(iter(ends), None)
        padding = [token for token in as_tokens(tokenizer.pad_token_id) if token in range(denoiser.vocab)]
        self.ends = frozenset({*ends, *padding} - unusable)

    def encode(self, text: str) -> list[int]:
        """Token ids of ``text``, without special tokens around it."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def decode(self, ids: list[int]) -> str:
        text: str = self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text

    def token_bytes(self) -> TokenBytes:
        """The bytes of every token; none for tokens that may not be part of a text."""
        texts = token_bytes(self.tokenizer)[: self.denoiser.vocab]
        texts += [b""] * (self.denoiser.vocab - len(texts))
        for token in (*self.denoiser.forbidden, *self.ends):
            texts[token] = b""
        return TokenBytes(tuple(texts))

    def pieces(self, problem: Text, bytes_per_token: int) -> list[str | Hole]:
        """The template of ``problem`` in bytes: runs of pinned cells as literals, the rest as holes."""
        parts: list[str | Hole] = []
        runs = np.flatnonzero(np.diff(problem.pinned.astype(int))) + 1
        for cells in np.split(np.arange(len(problem.tokens)), runs):
            if problem.pinned[cells[0]]:
                ids = [int(token) for token in problem.tokens[cells] if token not in self.ends]
                parts.append(self.decode(ids))
            else:
                parts.append(Hole(bytes_per_token * len(cells)))
        return parts

    def allowed(self, is_free: bool) -> NDArray[np.int32]:
        """Bitmask (W,) of tokens for open cells: no special tokens, except the ends in ``is_free`` text."""
        is_allowed = torch.zeros(self.denoiser.vocab, dtype=torch.bool)
        is_allowed[: len(self.tokenizer)] = True
        special = torch.tensor(self.tokenizer.all_special_ids, dtype=torch.long)
        is_allowed[special[special < len(is_allowed)]] = False
        if is_free and self.ends:
            is_allowed[sorted(self.ends)] = True
        is_allowed[list(self.denoiser.forbidden)] = False
        packed: NDArray[np.int32] = reference.pack(is_allowed).numpy()
        return packed


def end_tokens(model: Any) -> list[int]:
    """The tokens that end a text by the model's generation config, else by its configuration."""
    configs = (getattr(model, name, None) for name in ("generation_config", "config"))
    given = (as_tokens(getattr(config, "eos_token_id", None)) for config in configs)
    return next(filter(None, given), [])


def as_tokens(ids: Any) -> list[int]:
    """Token ids as a list: they are configured as one integer, as a list or a tensor of them, or as None."""
    ids = ids.tolist() if hasattr(ids, "tolist") else ids
    return [] if ids is None else [ids] if isinstance(ids, int) else [int(token) for token in ids]


def token_bytes(tokenizer: Any) -> list[bytes]:
    """The bytes of every token in a text; none for special tokens.

    Raises:
        ModelError: the bytes of a text are not the concatenated bytes of its tokens.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError("a schema or a pattern needs a tokenizer of the tokenizers library (a fast one)")
    to_bytes = byte_decoder(json.dumps(json.loads(backend.to_str()).get("decoder")))
    special = set(tokenizer.all_special_ids)
    added = {token: entry.content for token, entry in tokenizer.added_tokens_decoder.items()}
    symbols = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    texts = []
    for token, symbol in enumerate(symbols):
        if token in special or symbol is None:
            texts.append(b"")
        else:
            texts.append(added[token].encode() if token in added else to_bytes(symbol))
    return texts


def byte_decoder(decoder: str) -> Callable[[str], bytes]:
    """A function from a symbol to bytes, for the JSON of a tokenizer's ``decoder``. Raises ModelError."""
    table = {symbol: byte for byte, symbol in byte_symbols().items()}

    def byte_level(symbol: str) -> bytes:
        is_plain = all(character in table for character in symbol)
        return bytes(table[character] for character in symbol) if is_plain else symbol.encode()

    def sentence_piece(symbol: str) -> bytes:
        if len(symbol) == 6 and symbol.startswith("<0x") and symbol.endswith(">"):
            return bytes([int(symbol[3:5], 16)])
        return symbol.replace("\u2581", " ").encode()

    if '"ByteLevel"' in decoder:
        return byte_level
    if '"ByteFallback"' in decoder or "\u2581" in decoder or '"Metaspace"' in decoder:
        return sentence_piece
    if decoder in ("null", '{"type": "Fuse"}'):
        return str.encode
    raise ModelError(
        "a schema or a pattern needs a tokenizer whose tokens simply follow one another "
        "(byte-level, SentencePiece)"
    )


@cache
def byte_symbols() -> dict[int, str]:
    """The printable symbol of each byte in a byte-level vocabulary (GPT-2's table)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + k) for k, byte in enumerate(rest)}


def first_canvas(
    bridge: TokenizerBridge, template: Sequence[str | Hole] | None, length: int | None
) -> tuple[Text, int]:
    """Return the first canvas, without its prompt, and the number of canvases. Raises InvalidArgument."""
    limit = bridge.denoiser.length
    if template is None:
        total = length or limit or LENGTH
        cells = min(total, limit) if limit else total
        nothing = np.zeros(cells, bool)
        tokens = np.zeros(cells, np.int64)
        problem = Text(EMPTY, tokens, pinned=nothing, known=nothing.copy(), length=total)
        return problem, math.ceil(total / cells)
    room = min(size for size in (length, limit, math.inf) if size)
    available = LENGTH if room == math.inf else int(room) - (bridge.end is not None)
    problem = text_from_template(template, bridge.encode, bridge.decode, available)
    for token in problem.tokens[problem.known].tolist():
        if token in bridge.denoiser.forbidden or token >= bridge.denoiser.vocab:
            symbol = bridge.tokenizer.convert_ids_to_tokens(token)
            raise InvalidArgument(f"the template has the token {symbol}, which the model cannot write")
    if bridge.end is not None:  # a pinned end token tells the model that the text ends here
        problem = replace(
            problem,
            tokens=np.append(problem.tokens, bridge.end),
            pinned=np.append(problem.pinned, True),
            known=np.append(problem.known, True),
        )
    if len(problem.tokens) > room:
        raise InvalidArgument(
            f"the template takes {len(problem.tokens)} tokens, its end included, "
            f"and only {room:.0f} are available"
        )
    return problem, 1
