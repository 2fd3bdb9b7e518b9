"""Connects tokenizers with models: spellings of texts, the tokens that end a text, those a cell may hold."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jinja2 import TemplateError
from numpy.typing import NDArray

from solver.errors import ModelError
from solver.kernels import reference
from solver.llm.token_table import marker_tokens, num_tokens, special_tokens, token_table
from solver.models.protocol import TextDenoiser
from solver.tasks.errors import InvalidArgument
from solver.tasks.languages.token_bytes import TokenBytes
from solver.tasks.task import EMPTY
from solver.tasks.text import Hole, Text
from solver.tasks.text_template import text_from_template

# A schema's or a pattern's automaton has texts of up to BYTES_PER_TOKEN bytes per token, and a small hole
# has room for SMALL_HOLE bytes of long tokens. All holes of a template have at most MAX_BYTES together.
BYTES_PER_TOKEN, SMALL_HOLE, MAX_BYTES = 6, 64, 4096
# Text is encoded after each of these in turn: some tokenizers put a space before the first word.
ANCHORS = ("", "\n", "a", ".")
SHARED = 0.95  # share of the tokenizer's tokens that the model must have
LENGTH = 64  # tokens of free text if neither the caller nor the model limits it


class TokenizerBridge:
    """Connects a tokenizer with the denoiser of the same vocabulary.

    Args:
        denoiser: the model.
        tokenizer: a transformers tokenizer.
        chat_template: the chat template, if it is not the tokenizer's own.

    Attributes:
        end: the token that ends a text, or None.
        ends: all tokens that end a text.

    Raises:
        ModelError: the tokenizer has more tokens than the model, beyond a few that were added to it.
    """

    def __init__(self, denoiser: TextDenoiser, tokenizer: Any, chat_template: Any = None) -> None:
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
        turn = turn_end(tokenizer, chat_template)
        turns = [] if turn is None or turn >= denoiser.vocab else [turn]
        self.ends = frozenset({*ends, *turns, *padding} - unusable)

    def encode(self, text: str) -> list[int]:
        """Token ids of ``text``, without special tokens around it. Raises InvalidArgument if it has none."""
        try:
            return list(self.tokenizer.encode(text, add_special_tokens=False))
        except (UnicodeEncodeError, TypeError):  # it depends on the version
            raise InvalidArgument(f"{text!r} is not a text in Unicode") from None

    def decode(self, ids: list[int]) -> str:
        text: str = self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text

    def spell(self, text: str, is_first: bool) -> list[int]:
        """Tokens that decode to ``text`` at the start of an answer, or anywhere later.

        The tokenizer's own tokens where they do; else the fewest tokens that have the bytes of the text. It
        may put a space before the first word, normalise the text or take a part of it for the end.

        Raises:
            InvalidArgument: there are no such tokens, or the text contains the mask token.
        """
        letter = self.encode("a")
        before = [] if is_first else letter
        for token in self.encode(text):
            if token in self.denoiser.forbidden:
                symbol = self.tokenizer.convert_ids_to_tokens(token)
                raise InvalidArgument(f"the template has the token {symbol}, which the model cannot write")
        for ids in self._spellings(text, is_first):
            is_writable = all(token < self.denoiser.vocab and token not in self.ends for token in ids)
            if is_writable and self.decode(before + ids) == self.decode(before) + text:
                return ids
        where = "at the start of the answer" if is_first else "after other text"
        raise InvalidArgument(f"no tokens of this tokenizer are decoded to {text!r} {where}")

    def _spellings(self, text: str, is_first: bool) -> Iterator[list[int]]:
        for anchor in ANCHORS:
            prefix = self.encode(anchor) if anchor else []
            ids = self.encode(anchor + text)
            if ids[: len(prefix)] == prefix:
                yield ids[len(prefix) :]
        if getattr(self.tokenizer, "backend_tokenizer", None) is not None:
            ids_by_bytes = self.token_bytes().spell(text.encode(), is_first)
            if ids_by_bytes is not None:
                yield ids_by_bytes

    def token_bytes(self) -> TokenBytes:
        """The bytes of every token; none for tokens that may not be part of a text. Raises ModelError."""
        removed = frozenset({*self.denoiser.forbidden, *self.ends})
        return token_table(self.tokenizer).vocabulary(self.denoiser.vocab, removed)

    def pieces(self, problem: Text) -> list[str | Hole]:
        """The template of ``problem`` in bytes. The largest holes are cut until all have MAX_BYTES together."""
        parts: list[str | Hole] = []
        longest = self.token_bytes().longest
        cells_of = [cells for _, cells in problem.holes]
        sizes = [max(BYTES_PER_TOKEN * cells, min(longest * cells, SMALL_HOLE)) for cells in cells_of]
        most = largest_share(sizes, MAX_BYTES)
        for number, literal in enumerate(problem.literals):
            parts += [literal] if literal else []
            if number < len(problem.holes):
                parts.append(Hole(min(sizes[number], most)))
        return parts

    def allowed(self, is_free: bool) -> NDArray[np.int32]:
        """Bitmask (W,) of tokens for open cells: text, and the ends.

        In ``is_free`` text also the markers that structure the model's answers (channels, tool calls).
        """
        tokenizer, is_allowed = self.tokenizer, torch.zeros(self.denoiser.vocab, dtype=torch.bool)
        is_allowed[: num_tokens(tokenizer)] = True
        names = ("bos", "unk", "sep", "pad", "cls", "mask")
        named = (getattr(tokenizer, f"{name}_token_id", None) for name in names)
        structural = frozenset(token for token in named if token is not None)
        no_text = structural if is_free else special_tokens(tokenizer) | marker_tokens(tokenizer)
        is_allowed[[token for token in no_text if token < len(is_allowed)]] = False
        is_allowed[sorted(self.ends)] = True
        is_allowed[list(self.denoiser.forbidden)] = False
        packed: NDArray[np.int32] = reference.pack(is_allowed).numpy()
        return packed

    @property
    def changes_neighbours(self) -> bool:
        """Whether a token may change the text of the tokens beside it; False if that is not known."""
        try:
            return token_table(self.tokenizer).changes_neighbours
        except ModelError:
            return False

    @property
    def markers(self) -> frozenset[int]:
        """Special tokens, which are left out of a text."""
        return special_tokens(self.tokenizer)


def largest_share(sizes: Sequence[int], room: int) -> int:
    """The most that each may have, at least 1, so that all together have no more than ``room``.

    >>> largest_share([5, 100, 30], 65), largest_share([5, 100, 30], 200)
    (30, 100)
    """
    share = 1
    for position, size in enumerate(sorted(sizes)):
        share = min(size, max(1, room // (len(sizes) - position)))
        room -= share
    return share


def turn_end(tokenizer: Any, chat_template: Any = None) -> int | None:
    """The special token that follows an answer in the chat template, or None."""
    template = chat_template or getattr(tokenizer, "chat_template", None)
    if not isinstance(template, str):
        return None
    answer = "remask"
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": answer}]
    try:
        text = tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False)
    except (TemplateError, TypeError, ValueError):  # the template wants other messages
        return None
    rest = text.rpartition(answer)[2].lstrip()
    ids = tokenizer.encode(rest, add_special_tokens=False)
    return int(ids[0]) if ids and ids[0] in special_tokens(tokenizer) else None


def end_tokens(model: Any) -> list[int]:
    """The tokens that end a text by the model's generation config, else by its configuration."""
    configs = (getattr(model, name, None) for name in ("generation_config", "config"))
    given = (as_tokens(getattr(config, "eos_token_id", None)) for config in configs)
    return next(filter(None, given), [])


def as_tokens(ids: Any) -> list[int]:
    """Token ids as a list: they are configured as one integer, as a list or a tensor of them, or as None."""
    ids = ids.tolist() if hasattr(ids, "tolist") else ids
    return [] if ids is None else [ids] if isinstance(ids, int) else [int(token) for token in ids]


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
    problem = text_from_template(template, bridge.spell, available)
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
