"""The compact network for texts: a prompt that is read once, and a block of bytes that looks into it.

    net = JsonNetwork(JsonConfig())
    read = net.read(prompt_BP, lengths_B)                         # once a problem
    logits_BLV = net(read, tokens_BL, status_BL, offset_BL)       # a forward

Four things are made for filling forms. Bytes know the *word* they stand in, and the one before it, by a hash. Cells know their
*offset*, how many bytes they stand behind the beginning of their slot. An *anchor* brings each cell the state of the cell
before its slot, where a name has just ended; and where that word stands in the prompt attention is biased to look. And a
*pointer* looks into the prompt as one would with a finger: a cell at offset o that points to p hears what stands at p + o, so
that all cells of a value can point to its first byte and are copied at once. In a list offsets begin anew behind every comma
that is known, as a text does not say what stands between its items in as many bytes as JSON. ``causal=True`` is the
left-to-right baseline, with the same parts: position i is given the bytes before it and predicts its own.

Shapes: B rows, P prompt bytes, L cells, V tokens, D width, H heads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from solver.models.kv_cache import KVCache
from solver.models.layers import KNOWN, OPEN, rotary

COMMA, BRACKET = b",["


@dataclass(frozen=True)
class JsonConfig:
    """Sizes; checks itself, raising ValueError with the field's name.

    vocab: tokens a cell may hold, the mask not counted.  readers, layers: of the prompt, and of the block.  radius: of the local
    mixing.  offsets: as far as offsets are told apart.
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
        for name in ("vocab", "width", "hidden", "heads", "readers", "layers", "radius", "offsets", "words"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive whole number, not {value!r}")
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} is not a multiple of twice the heads {self.heads}")


class Read(NamedTuple):
    """A prompt that was read: states (B, P, D), its bytes (B, P), which of them are there (B, P), and the words at each, its own
    and the one before (B, P)."""

    state: Tensor
    tokens: Tensor
    there: Tensor
    word: Tensor
    before: Tensor


def alphabet() -> tuple[Tensor, Tensor]:
    """By token: what it counts for in a word, 0 where it is not of one (small letters and capitals are one; bytes beyond ASCII
    are letters); and whether a word begins with it in mid-word, as capitals do."""
    code = torch.zeros(258, dtype=torch.long)
    for token in range(256):
        if token > 127 or chr(token).isalnum():
            code[token] = token if token > 127 else ord(chr(token).lower())
    capital = torch.zeros(258, dtype=torch.bool)
    capital[65:91] = True
    return code, capital


CODE, CAPITAL = alphabet()
ODD = 0x5851F42D4C957F2D  # a multiplier (Knuth's MMIX), odd, so that it has an inverse among 64-bit numbers
INVERSE = pow(ODD, -1, 1 << 64)


def powers(base: int, count: int, device: torch.device) -> Tensor:
    """base**0 ... in 64-bit arithmetic that wraps."""
    found, at = [], 1
    for _ in range(count):
        found.append(at - (1 << 64) if at >> 63 else at)
        at = at * base % (1 << 64)
    return torch.tensor(found, device=device)


def word_codes(tokens: Tensor, buckets: int) -> tuple[Tensor, Tensor]:
    """For tokens (B, N) the buckets, 1 to ``buckets`` - 1, of the word up to each, and of the word before it; 0 for none.

    A word is letters and digits up to anything else or to a capital after a small letter, and stays what it is until the next
    begins: behind ``customerName":`` and behind ``customer name`` the words are the same. Hashed as in byte-level models with
    n-grams (Pagnoni et al. 2024, BLT). Only tokens up to each position count."""
    device, n = tokens.device, tokens.shape[1]
    code, capital = CODE.to(device)[tokens], CAPITAL.to(device)[tokens]
    letter = code > 0
    earlier = F.pad(letter & ~capital, (1, 0))[:, :-1]
    begins = letter & (~F.pad(letter, (1, 0))[:, :-1] | (capital & earlier))
    where = torch.arange(n, device=device).expand_as(tokens)
    start = torch.where(begins, where, -1).cummax(1).values  # of the word at or before each position
    last = torch.where(letter, where, -1).cummax(1).values
    total = F.pad((code * powers(ODD, n, device)).cumsum(1), (1, 0))
    sums = total.gather(1, last + 1) - total.gather(1, start.clamp_min(0))
    mixed = sums * powers(INVERSE, n, device)[start.clamp_min(0)] * ODD
    bucket = ((mixed >> 33) & 0x7FFFFFFF) % (buckets - 1) + 1
    bucket = torch.where(start < 0, 0, bucket)
    ended = (start - 1).clamp_min(0)  # the last position of what came before the word
    before = torch.where(start < 1, 0, bucket.gather(1, ended))
    return bucket, before


def shares(score: Tensor) -> Tensor:
    """Softmax in the type of the scores: autocast would go by way of fp32, and CPUs are slow where types mix."""
    with torch.autocast(score.device.type, enabled=False):
        return score.softmax(-1)


class Mixing(nn.Module):
    """What both stacks do: mix neighbours, look everywhere in one's own row, think."""

    def __init__(self, c: JsonConfig, causal: bool) -> None:
        super().__init__()
        d = c.width
        self.heads, self.radius, self.causal = c.heads, c.radius, causal
        taps = c.radius + 1 if causal else 2 * c.radius + 1
        self.normed = nn.ModuleList([nn.RMSNorm(d) for _ in range(3)])
        self.near = nn.Conv1d(d, d, taps)
        self.query_key_value = nn.Linear(d, 3 * d, bias=False)
        self.mixed = nn.Linear(d, d, bias=False)
        self.wide, self.narrow = nn.Linear(d, c.hidden), nn.Linear(c.hidden, d)
        for last in (self.near, self.mixed, self.narrow):
            nn.init.normal_(last.weight, std=0.02)

    def split(self, x: Tensor) -> Tensor:
        """(B, N, D) as heads (B, H, N, D / H)."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def neighbours(self, x: Tensor) -> Tensor:
        sides = (self.radius, 0) if self.causal else (self.radius, self.radius)
        found: Tensor = self.near(F.pad(self.normed[0](x).transpose(1, 2), sides)).transpose(1, 2)
        return x + F.gelu(found)

    def next_neighbours(self, x: Tensor, past: KVCache, number: int) -> Tensor:
        """``neighbours`` of one position (B, 1, D) after those of the past."""
        window = past.add("near", number, self.normed[0](x))[:, -self.radius - 1 :].transpose(1, 2)
        window = F.pad(window, (self.radius + 1 - window.shape[2], 0))
        return x + F.gelu(self.near(window)).transpose(1, 2)

    def next_look(self, x: Tensor, past: KVCache, number: int) -> Tensor:
        """``look`` of one position."""
        query, key, value = self.query_key_value(self.normed[1](x)).chunk(3, -1)
        query = rotary(self.split(query / math.sqrt(x.shape[-1] / self.heads)), past.cells)
        keys = past.add("key", number, rotary(self.split(key), past.cells).transpose(1, 2)).transpose(1, 2)
        values = self.split(past.add("value", number, value))
        heard = (query @ keys.transpose(-1, -2)).softmax(-1) @ values
        result: Tensor = x + self.mixed(heard.transpose(1, 2).reshape(x.shape))
        return result

    def look(self, x: Tensor, hidden: Tensor | None) -> Tensor:
        """Attention; ``hidden`` (B, 1, 1, N) is minus infinity where nothing stands."""
        query, key, value = self.query_key_value(self.normed[1](x)).chunk(3, -1)
        query = query / math.sqrt(x.shape[-1] / self.heads)
        score = rotary(self.split(query)) @ rotary(self.split(key)).transpose(-1, -2)
        if hidden is not None:
            score = score + hidden.to(score.dtype)
        if self.causal:
            n = x.shape[1]
            score = score.masked_fill(torch.ones(n, n, dtype=torch.bool, device=x.device).triu(1), -torch.inf)
        heard = shares(score) @ self.split(value)
        result: Tensor = x + self.mixed(heard.transpose(1, 2).reshape(x.shape))
        return result

    def think(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.narrow(F.gelu(self.wide(self.normed[2](x))))
        return result


class Pointing(nn.Module):
    """Looks into the prompt: at what matches, and at what stands ``offset`` behind what matches."""

    def __init__(self, c: JsonConfig) -> None:
        super().__init__()
        d = c.width
        self.heads = c.heads
        self.normed, self.prompt = nn.RMSNorm(d), nn.RMSNorm(d)
        self.query = nn.Linear(d, 2 * d, bias=False)
        self.key_value = nn.Linear(d, 4 * d, bias=False)
        self.mixed = nn.Linear(2 * d, d, bias=False)
        self.same = nn.Parameter(torch.full((2, 2, c.heads, 1, 1), 4.0))
        nn.init.normal_(self.mixed.weight, std=0.02)

    def split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def forward(self, x: Tensor, read: Read, hidden: Tensor, shift: Shift, same: Same) -> Tensor:
        plain, pointed = (self.query(self.normed(x)) / math.sqrt(x.shape[-1] / self.heads)).chunk(2, -1)
        plain_key, plain_value, key, value = self.key_value(self.prompt(read.state)).chunk(4, -1)
        score = self.split(plain) @ self.split(plain_key).transpose(-1, -2)
        hidden, away = hidden.to(score.dtype), shift.away.to(score.dtype)  # all of one type
        word, before, item, item_before = (part.to(score.dtype) for part in same)
        (own, own_before), (first, first_before) = self.same.to(score.dtype)
        heard = shares(score + own * word + own_before * before + hidden) @ self.split(plain_value)
        score = (
            self.split(pointed) @ self.split(key).transpose(-1, -2)
            + first * item
            + first_before * item_before
        )
        touched = shares(shifted(score, shift.back) + away) @ self.split(value)
        both = torch.cat([heard, touched], -1).transpose(1, 2).reshape(*x.shape[:2], -1)
        result: Tensor = x + self.mixed(both)
        return result


class Same(NamedTuple):
    """Where in the prompt (B, 1, L, P) the word, and the one before it, is the last word before a cell's slot; and before the
    item of a list that it stands in."""

    word: Tensor
    before: Tensor
    item: Tensor
    item_before: Tensor

    @staticmethod
    def of(slot: Tensor, item: Tensor, read: Read) -> Same:
        """From the words (B, L)."""

        def where(key: Tensor, codes: Tensor) -> Tensor:
            return ((key > 0)[..., None] & (codes[:, None] == key[..., None])).float()[:, None]

        first = where(slot, read.word), where(slot, read.before)
        return Same(*first, *(first if item is slot else (where(item, read.word), where(item, read.before))))


class Shift(NamedTuple):
    """Where in the prompt (B, 1, L, P) each cell's score for p is taken from, p - offset; and ``away``, minus infinity where
    that is out of it or nothing stands."""

    back: Tensor
    away: Tensor

    @staticmethod
    def of(offset: Tensor, hidden: Tensor) -> Shift:
        """For offsets (B, L) and what is ``hidden`` of the prompt (B, 1, 1, P)."""
        back = (torch.arange(hidden.shape[-1], device=offset.device) - offset[..., None])[:, None]
        return Shift(back.clamp_min(0), torch.where(back < 0, hidden.clamp_max(-100.0), hidden))


def item_offsets(tokens: Tensor, known: Tensor, offset: Tensor) -> Tensor:
    """Offsets (B, L) within the items of a list: behind a known comma, in a slot that is known to begin with a bracket, they
    begin anew, at 1, as they do behind the bracket."""
    index = torch.arange(tokens.shape[1], device=tokens.device)
    start = index - offset
    listed = ((tokens == BRACKET) & known).gather(1, start)
    comma = torch.where((tokens == COMMA) & known & listed & (offset > 0), index, -1).cummax(1).values
    last = F.pad(comma, (1, 0), value=-1)[:, :-1]
    return torch.where(listed & (last >= start), index - last, offset)


def shifted(score: Tensor, index: Tensor) -> Tensor:
    """Scores (B, H, L, P) of where a slot's first byte stands, as scores of where each cell's own byte stands."""
    return score.gather(-1, index.expand_as(score))


class JsonNetwork(nn.Module):
    """See the module."""

    def __init__(self, config: JsonConfig) -> None:
        super().__init__()
        self.config = c = config
        d = c.width
        self.token = nn.Embedding(c.vocab + 1, d)  # the last: nothing is there
        self.status = nn.Embedding(3, d)
        self.word, self.word_before = nn.Embedding(c.words, d), nn.Linear(d, d, bias=False)
        self.offset = nn.Embedding(c.offsets, d)
        self.item = (
            None if c.causal else nn.Embedding(c.offsets, d)
        )  # left to right all offsets are an item's
        self.readers = nn.ModuleList([Mixing(c, False) for _ in range(c.readers)])
        self.layers = nn.ModuleList([Mixing(c, c.causal) for _ in range(c.layers)])
        self.pointing = nn.ModuleList([Pointing(c) for _ in range(c.layers)])
        self.anchors = nn.ModuleList([nn.Linear(d, d, bias=False) for _ in range(c.layers)])
        self.normed, self.normed_prompt = nn.RMSNorm(d), nn.RMSNorm(d)
        self.query, self.key = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)
        self.same = nn.Parameter(torch.full((2,), 4.0))
        self.gate = nn.Linear(d, 1)
        self.head = nn.Linear(d, c.vocab)
        for table in (
            self.token,
            self.status,
            self.offset,
            self.word,
            *([self.item] if self.item is not None else []),
        ):
            nn.init.normal_(table.weight, std=0.1)

    def embed(self, tokens: Tensor, word: Tensor, before: Tensor) -> Tensor:
        """Tokens (B, N), each with its word and the one before (see ``word_codes``)."""
        found: Tensor = self.token(tokens) + self.word(word) + self.word_before(self.word(before))
        return found

    def read(self, prompt: Tensor, lengths: Tensor) -> Read:
        """The prompt (B, P), of which the first ``lengths`` (B,) bytes are there."""
        there = torch.arange(prompt.shape[1], device=prompt.device) < lengths[:, None]
        here = there[..., None]
        tokens = torch.where(there, prompt, self.config.vocab)
        word, before = word_codes(tokens, self.config.words)
        x = self.embed(tokens, word, before) * here
        hidden = torch.where(there, 0.0, -1e4)[:, None, None]
        for layer in self.readers:
            assert isinstance(layer, Mixing)
            x = (
                layer.think(layer.look(layer.neighbours(x), hidden)) * here
            )  # behind the prompt there is nothing, not even a bias
        return Read(x, prompt, there, word, before)

    def forward(self, read: Read, tokens: Tensor, status: Tensor, offset: Tensor) -> Tensor:
        """fp32 log-probabilities (B, L, V). In the causal form ``tokens`` are those before each cell (the first: vocab), and all
        have the status KNOWN."""
        c = self.config
        tokens = torch.where(status == OPEN, c.vocab, tokens)
        word, before = word_codes(tokens, c.words)
        x = (
            self.embed(tokens, word, before)
            + self.status(status)
            + self.offset(offset.clamp_max(c.offsets - 1))
        )
        index, behind = torch.arange(tokens.shape[1], device=tokens.device), 0 if c.causal else 1
        place = (index - offset.clamp_max(c.offsets - 1) - behind).clamp_min(0)
        key = slot_key = word.gather(1, place)
        if self.item is not None:
            offset = item_offsets(tokens, status != OPEN, offset)
            x = x + self.item(offset.clamp_max(c.offsets - 1))
            key = word.gather(1, (index - offset.clamp_max(c.offsets - 1) - behind).clamp_min(0))
        hidden = torch.where(read.there, 0.0, -1e4)[:, None, None]
        shift, same = Shift.of(offset.clamp_max(c.offsets - 1), hidden), Same.of(slot_key, key, read)
        anchor = place[..., None].expand(-1, -1, c.width)
        for layer, pointing, fetch in zip(self.layers, self.pointing, self.anchors, strict=True):
            assert isinstance(layer, Mixing)
            x = layer.neighbours(x)
            x = x + fetch(x.gather(1, anchor))
            x = pointing(layer.look(x, None), read, hidden, shift, same)
            x = layer.think(x)
        return self.read_out(x, read, shift, same)

    def step(self, read: Read, previous: Tensor, offset: Tensor, past: KVCache) -> Tensor:
        """The causal form, one position further: log-probabilities (B, V) of the byte that follows ``previous`` (B,) and stands
        ``offset`` (B,) behind the beginning of its value. ``past`` is brought forward."""
        c = self.config
        offset = offset.clamp(0, c.offsets - 1)[:, None]
        known = torch.full_like(offset, KNOWN)
        words, befores = word_codes(past.add("token", 0, previous[:, None]), c.words)
        x = (
            self.embed(previous[:, None], words[:, -1:], befores[:, -1:])
            + self.status(known)
            + self.offset(offset)
        )
        hidden = torch.where(read.there, 0.0, -1e4)[:, None, None]
        at = (past.cells - offset).clamp_min(0)
        key, place = words.gather(1, at), at[..., None].expand(-1, -1, c.width)
        shift, same = Shift.of(offset, hidden), Same.of(key, key, read)
        for number, (layer, pointing, fetch) in enumerate(
            zip(self.layers, self.pointing, self.anchors, strict=True)
        ):
            assert isinstance(layer, Mixing)
            x = layer.next_neighbours(x, past, number)
            x = x + fetch(past.add("state", number, x).gather(1, place))
            x = pointing(layer.next_look(x, past, number), read, hidden, shift, same)
            x = layer.think(x)
        past.cells += 1
        return self.read_out(x, read, shift, same)[:, 0]

    def read_out(self, x: Tensor, read: Read, shift: Shift, same: Same) -> Tensor:
        """A mixture of a byte of one's own and the one that is pointed to (pointer-generator; See et al. 2017)."""
        x = self.normed(x)
        score = (
            self.query(x)
            @ self.key(self.normed_prompt(read.state)).transpose(-1, -2)
            / math.sqrt(x.shape[-1])
        )
        score = score + self.same[0] * same.item[:, 0] + self.same[1] * same.item_before[:, 0]
        pointed = (shifted(score, shift.back[:, 0]) + shift.away[:, 0]).float().softmax(-1)
        copied = torch.zeros(*x.shape[:2], self.config.vocab, device=x.device)
        copied = copied.scatter_add(-1, read.tokens[:, None].expand_as(pointed), pointed)
        copies = torch.sigmoid(self.gate(x).float())
        own = self.head(x).float().softmax(-1)
        mixture: Tensor = (1 - copies) * own + copies * copied
        return mixture.clamp_min(1e-9).log()

    def flops(self, cells: int, prompt: int) -> int:
        """Floating-point operations of one row's forward, the reading of the prompt left out: matrix products."""
        c = self.config
        d, taps = c.width, c.radius + 1 if c.causal else 2 * c.radius + 1
        a_layer = (
            2 * cells * (taps * d * d + 4 * d * d + 2 * d * c.hidden + d * d + 4 * d * d)
            + 2 * prompt * 4 * d * d
        )
        a_layer += 2 * 2 * cells * d * (cells + 2 * prompt)
        return c.layers * a_layer + 2 * cells * d * (c.vocab + d + prompt) + 2 * prompt * d * d

    def reading_flops(self, prompt: int) -> int:
        """Of reading a prompt, which happens once a problem."""
        c = self.config
        d = c.width
        a_layer = (
            2 * prompt * ((2 * c.radius + 1) * d * d + 4 * d * d + 2 * d * c.hidden)
            + 2 * 2 * prompt * prompt * d
        )
        return c.readers * a_layer
