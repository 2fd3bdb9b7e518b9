"""The compact network for code: one stack over the whole canvas, and a pointer at what stands in it already.

    net = CodeNetwork(CodeConfig())
    log_p_BLV = net(tokens_BL, status_BL, offset_BL)        # a forward; some cells of it again: ``around``
    log_p_BV = net.step(tokens_BL, past)                    # the causal form, some tokens further

Cells mix with their neighbours, look at the whole canvas, think. What a cell says is a mixture of a token of its own and of one
that it points to elsewhere on the canvas (a pointer network; Merity et al. 2016, Li et al. 2018 for code): half of the names in
a hole stand around it. ``causal=True`` is the left-to-right baseline, with the same parts: position i is given the tokens before
it and predicts its own.

Shapes: B rows, L cells, V tokens, D width, H heads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from solver.models.kv_cache import KVCache, StaleContext, scores, weighed
from solver.models.layers import OPEN


@dataclass(frozen=True)
class CodeConfig:
    """Sizes; checks itself, raising ValueError with the field's name.

    vocab: tokens a cell may hold, the mask not counted.  radius: of the local mixing.  offsets: cells of a slot told apart.
    """

    vocab: int = 2048
    width: int = 160
    hidden: int = 448
    heads: int = 4
    layers: int = 5
    radius: int = 1
    offsets: int = 48
    causal: bool = False

    def __post_init__(self) -> None:
        for name in ("vocab", "width", "hidden", "heads", "layers", "radius", "offsets"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive whole number, not {value!r}")
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} is not a multiple of twice the heads {self.heads}")


class Layer(nn.Module):
    """Mix neighbours, look everywhere, think. No canvas is padded, so attention needs no mask."""

    def __init__(self, c: CodeConfig) -> None:
        super().__init__()
        d = c.width
        self.heads, self.radius, self.causal = c.heads, c.radius, c.causal
        self.normed = nn.ModuleList([nn.LayerNorm(d, bias=False) for _ in range(3)])
        taps = c.radius + 1 if c.causal else 2 * c.radius + 1
        self.near = nn.Linear(taps * d, d)  # a convolution, as one product
        self.query_key_value = nn.Linear(d, 3 * d, bias=False)
        self.mixed = nn.Linear(d, d, bias=False)
        self.wide, self.narrow = nn.Linear(d, c.hidden), nn.Linear(c.hidden, d)
        for last in (self.near, self.mixed, self.narrow):
            nn.init.normal_(last.weight, std=0.02)

    def forward(self, x: Tensor, memory: KVCache | StaleContext, number: int) -> Tensor:
        """``x`` (B, N, D) after this layer, the ``number``-th, in what is remembered; ``x`` is added to that."""
        x = x + F.gelu(self.near(memory.near(number, self.normed[0](x), self.radius)))
        x = x + self.mixed(self.heard(self.normed[1](x), memory, number))
        found: Tensor = x + self.narrow(F.gelu(self.wide(self.normed[2](x))))
        return found

    def heard(self, x: Tensor, memory: KVCache | StaleContext, number: int) -> Tensor:
        """Attention (B, N, D), spelled out: on a CPU the fused one's backward in bf16 takes 2.5 times as long."""
        rows, size, width = x.shape
        heads = self.query_key_value(x).view(rows, size, 3 * self.heads, -1)
        turned = memory.rotary(heads[:, :, : 2 * self.heads].transpose(1, 2))
        query = turned[:, : self.heads] * turned.shape[-1] ** -0.5
        key = memory.add("key", number, turned[:, self.heads :].transpose(1, 2))
        value = memory.add("value", number, heads[:, :, 2 * self.heads :])
        score = scores(query, key, memory.common.get(("key", number)))
        if self.causal and size > 1:
            score = score + later(size, score.shape[-1], x)
        if memory.hidden is not None:
            score = score + memory.hidden[:, None, None]
        heard = weighed(score.softmax(-1), value, memory.common.get(("value", number)))
        return heard.transpose(1, 2).reshape(rows, size, width)


def later(size: int, there: int, like: Tensor) -> Tensor:
    """(size, there): minus infinity where the last ``size`` of ``there`` cells would look ahead."""
    return torch.full((size, there), -torch.inf, device=like.device, dtype=like.dtype).triu(there - size + 1)


class States(NamedTuple):
    """What the layers made of N cells. state (B, N, D).  score (B, N, L): how much each points at those with ``tokens`` (B, L).
    hidden (B, 1 or N, L): very low where it may not."""

    state: Tensor
    score: Tensor
    tokens: Tensor
    hidden: Tensor


class View(NamedTuple):
    """What C of the cells say. own (C, V): logits of a token of their own.  pointed (C, N): shares of the ``tokens`` (C, N).
    gate (C,): the logit of pointing."""

    own: Tensor
    pointed: Tensor
    gate: Tensor
    tokens: Tensor


class CodeNetwork(nn.Module):
    """See the module."""

    def __init__(self, config: CodeConfig) -> None:
        super().__init__()
        self.config = c = config
        d = c.width
        self.token = nn.Embedding(c.vocab + 1, d)  # the last: nothing is there
        tables = [self.token]
        if not c.causal:
            self.status = nn.Embedding(3, d)
            self.offset = nn.Embedding(2 * c.offsets + 1, d)  # the middle: outside of slots
            tables += [self.status, self.offset]
        self.layers = nn.ModuleList([Layer(c) for _ in range(c.layers)])
        self.normed = nn.LayerNorm(d, bias=False)
        self.query, self.key = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)
        self.gate = nn.Linear(d, 1)
        self.bias = nn.Parameter(torch.zeros(c.vocab))
        for table in tables:
            nn.init.normal_(table.weight, std=0.05)

    def forward(
        self,
        tokens: Tensor,
        status: Tensor,
        offset: Tensor,
        asked: Tensor | None = None,
        around: StaleContext | None = None,
    ) -> Tensor:
        """fp32 log-probabilities (B, L, V), or (C, V) of the cells ``asked`` for (B, L), in order, or (B, N, V) of the cells of
        ``around``, which alone are read again. offset (B, L): 1, 2, ... in a slot whose text may end before it does, ..., -2, -1
        in one that its text fills, 0 outside. In the causal form ``tokens`` are those before each cell (the first: vocab), and
        status and offset are not looked at."""
        read = self.read(tokens, status, offset, around)
        if asked is not None:
            return self.mixture(self.view(read, asked))
        size = read.state.shape[:2]
        return self.mixture(self.view(read, torch.ones(size, dtype=torch.bool))).view(*size, -1)

    def log_likelihood(
        self, tokens: Tensor, status: Tensor, offset: Tensor, truth: Tensor, asked: Tensor
    ) -> Tensor:
        """(C,) of ``truth`` (B, L) at the cells ``asked`` for (B, L), without the mixture over all tokens: for training."""
        view, wanted = self.view(self.read(tokens, status, offset), asked), truth[asked]
        own = -F.cross_entropy(view.own.float(), wanted, reduction="none")
        there = ((view.tokens == wanted[:, None]) * view.pointed).sum(-1)
        return torch.logaddexp(
            F.logsigmoid(-view.gate) + own, F.logsigmoid(view.gate) + there.clamp_min(1e-9).log()
        )

    def read(
        self, tokens: Tensor, status: Tensor, offset: Tensor, around: StaleContext | None = None
    ) -> States:
        """What the layers make of pages (B, L), or of the cells of ``around`` alone."""
        c, around = self.config, around or StaleContext()
        if c.causal:
            return self.advance(tokens, KVCache())
        tokens = torch.where(status == OPEN, c.vocab, tokens)
        some, their_status, their_offset = map(around.of, (tokens, status, offset))
        x = (
            self.token(some)
            + self.status(their_status)
            + self.offset(their_offset.clamp(-c.offsets, c.offsets) + c.offsets)
        )
        for number, layer in enumerate(self.layers):
            x = layer(x, around, number)
        x = self.normed(x)
        score = self.query(x) @ around.add("pointed", 0, self.key(x)).transpose(-1, -2)
        hidden = torch.where(status == OPEN, -1e4, 0.0)
        if around.hidden is not None:
            tokens = torch.cat([some, tokens], 1)
            hidden = torch.cat([around.of(hidden), hidden], 1) + around.hidden.float()
        return States(x, score, tokens, hidden[:, None])

    def advance(self, tokens: Tensor, past: KVCache) -> States:
        """The causal form: what is behind ``tokens`` (B, L), which follow those of the past; ``past`` is brought forward. Several
        tokens at once only where nothing came before."""
        x = self.token(tokens)
        for number, layer in enumerate(self.layers):
            x = layer(x, past, number)
        x = self.normed(x)
        key, there = past.add("pointed", 0, self.key(x)[:, :, None]), past.add("token", 0, tokens)
        past.cells += tokens.shape[1]
        score = scores(self.query(x)[:, None], key, past.common.get(("pointed", 0)))[:, 0]
        hidden = (
            later(x.shape[1], there.shape[1], x).float()
            + torch.where(there == self.config.vocab, -1e4, 0.0)[:, None]
        )
        return States(x, score, there, hidden)

    def step(self, tokens: Tensor, past: KVCache) -> Tensor:
        """Log-probabilities (B, V) of what follows the last of ``tokens`` (B, L)."""
        last = torch.zeros_like(tokens, dtype=torch.bool)
        last[:, -1] = True
        return self.mixture(self.view(self.advance(tokens, past), last))

    def view(self, read: States, asked: Tensor) -> View:
        """What the C cells ``asked`` for (B, N) say."""
        rows, cells = asked.nonzero(as_tuple=True)
        x = read.state[rows, cells]
        own = F.linear(x, self.token.weight[:-1], self.bias)
        score = read.score[rows, cells].float() / math.sqrt(x.shape[-1])
        hidden = read.hidden.expand(-1, asked.shape[1], -1)[rows, cells]
        return View(own, (score + hidden).softmax(-1), self.gate(x)[..., 0].float(), read.tokens[rows])

    def mixture(self, view: View) -> Tensor:
        """fp32 log-probabilities (C, V)."""
        copies = torch.sigmoid(view.gate)[..., None]
        index = view.tokens.clamp_max(self.config.vocab - 1)
        found: Tensor = ((1 - copies) * view.own.float().softmax(-1)).scatter_add(
            -1, index, copies * view.pointed
        )
        return found.clamp_min(1e-9).log()

    def flops(self, cells: int, before: int = 0, asked: float | None = None) -> int:
        """Floating-point operations of one row's forward over ``cells``, with ``before`` more in the cache, and so many of them
        ``asked`` for what they say (all): matrix products."""
        c = self.config
        d, taps = c.width, c.radius + 1 if c.causal else 2 * c.radius + 1
        a_layer = 2 * cells * (taps * d * d + 4 * d * d + 2 * d * c.hidden) + 4 * cells * (cells + before) * d
        own = 2 * (cells if asked is None else asked) * d * c.vocab
        return round(c.layers * a_layer + 2 * cells * d * (2 * d + cells + before) + own)
