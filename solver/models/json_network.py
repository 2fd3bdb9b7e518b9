"""The network for JSON: a prompt is read once, and a block of bytes attends to itself and to the prompt.

    >>> network = JsonNetwork(JsonConfig(width=16, hidden=16))
    >>> prompt = network.read(torch.zeros(2, 7, dtype=torch.long), torch.tensor([7, 5]))    # once a problem
    >>> tokens, status, offset = torch.zeros(3, 2, 9, dtype=torch.long)
    >>> network(prompt, tokens, status, offset).shape
    torch.Size([2, 9, 257])

Four parts are made for filling in values. Each byte has a hash of the *word* that contains it and of the word
before. Cells know their *offset*, the number of bytes since their slot began. An *anchor* gives each cell the
state of the cell before its slot, where a name has just ended; attention has a bias towards the places in the
prompt where that word occurs. A *pointer* attends to the prompt by offset: a cell at offset o that points to
p receives the byte at p + o, so that all cells of a value can point to its first byte and are copied
together. In a list, offsets start again after every known comma, because a text does not separate its items
by the same number of bytes as JSON.

``causal=True`` is the left-to-right baseline with the same parts: position i is given the bytes before it
and predicts its own.

Shapes: B rows, P prompt bytes, L cells, V tokens, D width, H heads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from solver.models.blocks import OPEN, Block, PointerHead, attention_weights, check_sizes
from solver.models.context import HIDDEN, Context

COMMA, BRACKET = b",["
MULTIPLIER = 0x5851F42D4C957F2D  # Knuth's MMIX; odd, so that it has an inverse among 64-bit numbers
INVERSE = pow(MULTIPLIER, -1, 1 << 64)


def alphabet() -> tuple[Tensor, Tensor]:
    """For each token (258,), its code in a word (0 if it is not part of words) and whether it is a capital.

    Small letters and capitals have one code; bytes beyond ASCII are letters.
    """
    ascii_codes = [ord(chr(token).lower()) if chr(token).isalnum() else 0 for token in range(128)]
    token = torch.arange(258)
    return torch.tensor([*ascii_codes, *range(128, 256), 0, 0]), (token >= 65) & (token <= 90)


CODE, CAPITAL = alphabet()


def powers(base: int, count: int, device: torch.device) -> Tensor:
    """``base`` to the power of 0, 1, ..., ``count`` - 1, in 64-bit arithmetic that wraps."""
    values, power = [], 1
    for _ in range(count):
        values.append(power - (1 << 64) if power >> 63 else power)
        power = power * base % (1 << 64)
    return torch.tensor(values, device=device)


def word_codes(tokens: Tensor, buckets: int) -> tuple[Tensor, Tensor]:
    """Hash, for each of ``tokens`` (B, N), the word up to it and the word before that.

    The buckets are 1 to ``buckets`` - 1, and 0 where there is no word. A word consists of letters and digits;
    it ends at any other character, or at a capital after a small letter, and counts until the next word
    begins: after ``customerName":`` and after ``customer name`` the words are the same. Only tokens up to
    each position count. Hashed as in byte-level models with n-grams (Pagnoni et al. 2024, BLT).
    """
    device, size = tokens.device, tokens.shape[1]
    code, is_capital = CODE.to(device)[tokens], CAPITAL.to(device)[tokens]
    is_letter = code > 0
    # a word starts where a letter follows none, or a capital follows a small letter
    follows_letter = F.pad(is_letter, (1, 0))[:, :-1]
    follows_small = F.pad(is_letter & ~is_capital, (1, 0))[:, :-1]
    is_start = is_letter & (~follows_letter | (is_capital & follows_small))
    index = torch.arange(size, device=device).expand_as(tokens)
    start = torch.where(is_start, index, -1).cummax(1).values  # of the last word up to each position
    last = torch.where(is_letter, index, -1).cummax(1).values
    # polynomial hash of the letters from start to last: a difference of prefix sums, shifted to power 0
    total = F.pad((code * powers(MULTIPLIER, size, device)).cumsum(1), (1, 0))
    value = total.gather(1, last + 1) - total.gather(1, start.clamp_min(0))
    value = value * powers(INVERSE, size, device)[start.clamp_min(0)] * MULTIPLIER
    bucket = ((value >> 33) & 0x7FFFFFFF) % (buckets - 1) + 1
    bucket = torch.where(start < 0, 0, bucket)
    before = torch.where(start < 1, 0, bucket.gather(1, (start - 1).clamp_min(0)))
    return bucket, before


def item_offsets(tokens: Tensor, known: Tensor, offset: Tensor) -> Tensor:
    """Offsets (B, N) within the items of a list.

    In a slot that is ``known`` (B, N) to begin with a bracket, the ``offset`` (B, N) starts again at 1 after
    every known comma, as it does after the bracket.
    """
    index = torch.arange(tokens.shape[1], device=tokens.device)
    start = index - offset
    is_list = ((tokens == BRACKET) & known).gather(1, start)
    comma = torch.where((tokens == COMMA) & known & is_list & (offset > 0), index, -1).cummax(1).values
    last = F.pad(comma, (1, 0), value=-1)[:, :-1]
    return torch.where(is_list & (last >= start), index - last, offset)


@dataclass(frozen=True)
class JsonConfig:
    """Sizes of the network. Raises ValueError naming the field if a value is impossible.

    vocab: tokens that a cell may hold, without the mask.
    width, hidden, heads: sizes of both stacks.
    readers, layers: blocks of the prompt's stack and of the canvas's stack.
    radius: radius of the local mixing.
    offsets: number of offsets with their own embedding.
    words: number of buckets of the word hash.
    causal: the left-to-right form.
    """

    vocab: int = 257
    width: int = 96
    hidden: int = 192
    heads: int = 2
    readers: int = 2
    layers: int = 3
    radius: int = 2
    offsets: int = 64
    words: int = 4096
    causal: bool = False

    def __post_init__(self) -> None:
        check_sizes(
            self, "vocab", "width", "hidden", "heads", "readers", "layers", "radius", "offsets", "words"
        )
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} is not a multiple of twice the heads {self.heads}")


class Prompt(NamedTuple):
    """A prompt that was read.

    state: (B, P, D).
    tokens: (B, P).
    present: (B, P), False where a row is padded.
    word, previous_word: (B, P), hashes of the word that contains each byte, and of the word before.
    """

    state: Tensor
    tokens: Tensor
    present: Tensor
    word: Tensor
    previous_word: Tensor


class PromptView(NamedTuple):
    """Inputs of the attention to the prompt, the same in every layer.

    mask: (B, 1, 1, P), added to scores; very low where a row is padded.
    shift: (B, 1, L, P), p - offset: where each cell's score for p is taken from.
    shift_mask: (B, 1, L, P), added to shifted scores.
    slot_matches: (2, B, 1, L, P), whether the word at p, and the one before, is the last word before the
        cell's slot.
    item_matches: the same for the list item that contains the cell.
    """

    mask: Tensor
    shift: Tensor
    shift_mask: Tensor
    slot_matches: Tensor
    item_matches: Tensor

    @staticmethod
    def of(prompt: Prompt, offset: Tensor, slot_word: Tensor, item_word: Tensor) -> PromptView:
        """For cells with an ``offset`` (B, L) and the words (B, L) before their slot and their item."""
        mask = torch.where(prompt.present, 0.0, HIDDEN)[:, None, None]
        shift = (torch.arange(mask.shape[-1], device=offset.device) - offset[..., None])[:, None]

        def matches(word: Tensor) -> Tensor:
            codes = torch.stack([prompt.word, prompt.previous_word])[:, :, None]
            return ((word > 0)[..., None] & (codes == word[..., None])).float()[:, :, None]

        slot = matches(slot_word)
        item = slot if item_word is slot_word else matches(item_word)
        return PromptView(
            mask, shift.clamp_min(0), torch.where(shift < 0, mask.clamp_max(-100.0), mask), slot, item
        )

    def shifted(self, score: Tensor) -> Tensor:
        """Scores (B, H, L, P) of where a slot's first byte is, as scores of where each cell's own byte is."""
        return score.gather(-1, self.shift.expand_as(score)) + self.shift_mask.to(score.dtype)


class PromptAttention(nn.Module):
    """Attends to the prompt, by content and by content plus offset."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.prompt_norm = nn.RMSNorm(width), nn.RMSNorm(width)
        self.query = nn.Linear(width, 2 * width, bias=False)
        self.key_value = nn.Linear(width, 4 * width, bias=False)
        self.output = nn.Linear(2 * width, width, bias=False)
        self.match_bias = nn.Parameter(torch.full((2, 2, heads, 1, 1), 4.0))
        nn.init.normal_(self.output.weight, std=0.02)

    def split(self, x: Tensor) -> Tensor:
        """(B, N, D) as heads (B, H, N, D / H)."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def forward(self, x: Tensor, prompt: Prompt, view: PromptView) -> Tensor:
        """``x`` (B, L, D) with what it attends to added."""
        query = self.query(self.norm(x)) / math.sqrt(x.shape[-1] / self.heads)
        query, pointer = map(self.split, query.chunk(2, -1))
        parts = self.key_value(self.prompt_norm(prompt.state)).chunk(4, -1)
        key, value, pointer_key, pointer_value = map(self.split, parts)
        slot_bias, item_bias = self.match_bias.to(query.dtype)
        slot, item = view.slot_matches.to(query.dtype), view.item_matches.to(query.dtype)
        score = query @ key.transpose(-1, -2)
        score = score + slot_bias[0] * slot[0] + slot_bias[1] * slot[1] + view.mask.to(score.dtype)
        attended = attention_weights(score) @ value
        score = pointer @ pointer_key.transpose(-1, -2) + item_bias[0] * item[0] + item_bias[1] * item[1]
        copied = attention_weights(view.shifted(score)) @ pointer_value
        both = torch.cat([attended, copied], -1).transpose(1, 2).reshape(*x.shape[:2], -1)
        result: Tensor = x + self.output(both)
        return result


class JsonBlock(Block):
    """A block that also adds the anchor's state, and what it attends to in the prompt."""

    def __init__(self, config: JsonConfig) -> None:
        super().__init__(config.width, config.hidden, config.heads, config.radius, config.causal)
        self.anchor = nn.Linear(config.width, config.width, bias=False)
        self.prompt_attention = PromptAttention(config.width, config.heads)

    def apply_to(
        self, x: Tensor, context: Context, layer: int, anchor: Tensor, prompt: Prompt, view: PromptView
    ) -> Tensor:
        """``x`` (B, L, D) after the block; ``anchor`` (B, L, D) repeats the index of each cell's anchor."""
        x = self.mix(x, context, layer)
        x = x + self.anchor(context.extend("state", layer, x).gather(1, anchor))
        return self.transform(self.prompt_attention(self.attend(x, context, layer), prompt, view))


class JsonNetwork(nn.Module):
    """The network; see the module."""

    def __init__(self, config: JsonConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.token = nn.Embedding(config.vocab + 1, width)  # the last: an open cell, or no byte
        self.status = nn.Embedding(3, width)
        self.word, self.previous_word = nn.Embedding(config.words, width), nn.Linear(width, width, bias=False)
        self.offset = nn.Embedding(config.offsets, width)
        # left to right, all offsets are within items
        self.item = None if config.causal else nn.Embedding(config.offsets, width)
        self.readers = nn.ModuleList(
            Block(width, config.hidden, config.heads, config.radius) for _ in range(config.readers)
        )
        self.layers = nn.ModuleList([JsonBlock(config) for _ in range(config.layers)])
        self.norm, self.prompt_norm = nn.RMSNorm(width), nn.RMSNorm(width)
        self.pointer = PointerHead(width)
        self.match_bias = nn.Parameter(torch.full((2,), 4.0))
        self.head = nn.Linear(width, config.vocab)
        for module in self.children():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.1)

    def embed(self, tokens: Tensor, word: Tensor, previous_word: Tensor) -> Tensor:
        """Features (B, N, D) of tokens (B, N) and their words (see :func:`word_codes`)."""
        features: Tensor = self.token(tokens) + self.word(word) + self.previous_word(self.word(previous_word))
        return features

    def read(self, tokens: Tensor, lengths: Tensor) -> Prompt:
        present = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
        word, previous_word = word_codes(torch.where(present, tokens, self.config.vocab), self.config.words)
        x = self.embed(torch.where(present, tokens, self.config.vocab), word, previous_word)
        x, context = x * present[..., None], Context(present=present)
        for layer, reader in enumerate(self.readers):
            x = reader(x, context, layer) * present[..., None]  # padding has no state, not even a bias
        return Prompt(x, tokens, present, word, previous_word)

    def forward(
        self,
        prompt: Prompt,
        tokens: Tensor,
        status: Tensor,
        offset: Tensor,
        context: Context | None = None,
    ) -> Tensor:
        """fp32 log-probabilities (B, L, V).

        prompt: from :meth:`read`.
        tokens: (B, L); in the causal form the ones before each cell, ``vocab`` for the first.
        status: (B, L), OPEN, PINNED or KNOWN; in the causal form KNOWN.
        offset: (B, L), bytes since the cell's slot began; 0 outside of slots.
        context: where the cells are some positions of a cached sequence; None for whole blocks.
        """
        config = self.config
        context = context or Context(config.causal)
        tokens = torch.where(status == OPEN, config.vocab, tokens)
        visible = context.extend("token", 0, tokens)
        words, previous_words = word_codes(visible, config.words)
        index = context.index(tokens).expand_as(tokens)
        x = self.embed(tokens, words.gather(1, index), previous_words.gather(1, index))
        limit = config.offsets - 1
        slot_offset = offset.clamp(0, limit)
        x = x + self.status(status) + self.offset(slot_offset)
        # the anchor: the cell before the slot, or in the causal form the last byte before it, which is one
        # further on
        step = 0 if config.causal else 1
        anchor = (index - slot_offset - step).clamp_min(0)
        slot_word = item_word = words.gather(1, anchor)
        item_offset = slot_offset
        if self.item is not None:
            item_offset = item_offsets(tokens, status != OPEN, offset).clamp_max(limit)
            x = x + self.item(item_offset)
            item_word = words.gather(1, (index - item_offset - step).clamp_min(0))
        view = PromptView.of(prompt, item_offset, slot_word, item_word)
        anchor = anchor[..., None].expand(-1, -1, config.width)
        for layer, block in enumerate(self.layers):
            assert isinstance(block, JsonBlock)
            x = block.apply_to(x, context, layer, anchor, prompt, view)
        return self.mixture(self.norm(x), prompt, view)

    def mixture(self, x: Tensor, prompt: Prompt, view: PromptView) -> Tensor:
        """Log-probabilities (B, L, V) of states ``x`` (B, L, D): a generated byte, or one of the prompt."""
        score = self.pointer.score(x, self.pointer.key(self.prompt_norm(prompt.state)))
        bias, matches = self.match_bias, view.item_matches[:, :, 0]
        score = score + bias[0] * matches[0] + bias[1] * matches[1]
        pointed = view.shifted(score[:, None])[:, 0].softmax(-1)
        return self.pointer.mixture(self.head(x), pointed, self.pointer.gate(x), prompt.tokens[:, None])

    def flops(self, cells: int, prompt: int) -> int:
        """FLOPs of the matrix products of one row's forward, without reading the ``prompt``."""
        config = self.config
        width, taps = config.width, config.radius + 1 if config.causal else 2 * config.radius + 1
        # the mixing of neighbours; attention, anchor and prompt attention; the MLP
        layer = 2 * cells * ((taps + 9) * width * width + 2 * width * config.hidden)
        layer += 2 * prompt * 4 * width * width + 2 * 2 * cells * width * (cells + 2 * prompt)
        readout = 2 * cells * width * (config.vocab + width + prompt) + 2 * prompt * width * width
        return config.layers * layer + readout

    def reading_flops(self, prompt: int) -> int:
        """FLOPs of the matrix products of reading a prompt, once per problem."""
        reader = self.readers[0]
        assert isinstance(reader, Block)
        return self.config.readers * reader.flops(prompt, prompt * prompt)
