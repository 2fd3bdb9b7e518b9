"""The network for code: one stack over a whole window of tokens, and a pointer at the tokens in it.

    >>> network = CodeNetwork(CodeConfig(vocab=20, width=16, hidden=16, layers=1))
    >>> tokens, status, offset = torch.zeros(3, 2, 9, dtype=torch.long)
    >>> network(tokens, status, offset).shape
    torch.Size([2, 9, 20])

A cell's distribution is a mixture of a generated token and one that is copied from elsewhere in the window
(a pointer network; Merity et al. 2016, Li et al. 2018 for code): half of the names in a hole occur around
it. Later forwards of the same window may read some cells again and reuse the states of the others
(:class:`StaleContext`).

``causal=True`` is the left-to-right baseline with the same parts: position i is given the tokens before it
and predicts its own.

Shapes: B rows, L cells, N cells of a forward, C cells whose distribution is
computed, M tokens pointed at, V tokens, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from solver.models.blocks import OPEN, Block, PointerHead, check_sizes, make_norm
from solver.models.context import HIDDEN, Context, StaleContext


@dataclass(frozen=True)
class CodeConfig:
    """Sizes. Raises ValueError naming the field where a value is impossible.

    vocab: tokens a cell may hold, the mask not counted.
    width, hidden, heads, layers: of the stack.
    radius: of the local mixing.
    offsets: cells of a slot that are told apart.
    causal: the left-to-right form.
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
        check_sizes(self, "vocab", "width", "hidden", "heads", "layers", "radius", "offsets")
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} is not a multiple of twice the heads {self.heads}")


class Readout(NamedTuple):
    """The two parts of the distribution of C cells.

    generated: (C, V), logits of a generated token.
    pointed: (C, M), probabilities of copying the ``tokens`` (C, M).
    gate: (C, 1), logit of copying.
    """

    generated: Tensor
    pointed: Tensor
    gate: Tensor
    tokens: Tensor


class CodeNetwork(nn.Module):
    """The network; see the module."""

    def __init__(self, config: CodeConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.token = nn.Embedding(config.vocab + 1, width)  # the last: an open cell
        if not config.causal:
            self.status = nn.Embedding(3, width)
            self.offset = nn.Embedding(2 * config.offsets + 1, width)  # the middle: outside of slots
        blocks = [
            Block(width, config.hidden, config.heads, config.radius, config.causal, "layer")
            for _ in range(config.layers)
        ]
        self.layers = nn.ModuleList(blocks)
        self.norm = make_norm(width, "layer")
        self.pointer = PointerHead(width)
        self.bias = nn.Parameter(torch.zeros(config.vocab))
        for module in self.children():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.05)

    def forward(
        self,
        tokens: Tensor,
        status: Tensor,
        offset: Tensor,
        asked: Tensor | None = None,
        context: Context | None = None,
    ) -> Tensor:
        """fp32 log-probabilities (B, N, V), or (C, V) of the cells ``asked`` for (B, N), in order.

        tokens: (B, L); in the causal form the ones before each cell, ``vocab`` for the first.
        status: (B, L), OPEN, PINNED or KNOWN; ignored in the causal form.
        offset: (B, L), 1, 2, ... in a slot whose text may end before it does; ..., -2, -1 in a slot that its
            text fills; 0 outside. Ignored in the causal form.
        asked: (B, N) bool, None for all cells.
        context: a stale context whose cells alone are read again (N of them), or a step of a cache; None for
            whole windows.
        """
        if asked is not None:
            return self.mixture(self.readout(tokens, status, offset, asked, context))
        rows, size = tokens.shape
        if isinstance(context, StaleContext) and context.cells is not None:
            size = context.cells.shape[1]
        asked = torch.ones(rows, size, dtype=torch.bool, device=tokens.device)
        return self.mixture(self.readout(tokens, status, offset, asked, context)).view(rows, size, -1)

    def log_likelihood(
        self, tokens: Tensor, status: Tensor, offset: Tensor, truth: Tensor, asked: Tensor
    ) -> Tensor:
        """Log-probabilities (C,) of ``truth`` (B, L) in the cells ``asked`` for; for training, not over all
        tokens."""
        parts, wanted = self.readout(tokens, status, offset, asked), truth[asked]
        own_log_p = -F.cross_entropy(parts.generated.float(), wanted, reduction="none")
        copied = ((parts.tokens == wanted[:, None]) * parts.pointed).sum(-1).clamp_min(1e-9).log()
        gate = parts.gate[:, 0].float()
        return torch.logaddexp(F.logsigmoid(-gate) + own_log_p, F.logsigmoid(gate) + copied)

    def readout(
        self,
        tokens: Tensor,
        status: Tensor,
        offset: Tensor,
        asked: Tensor,
        context: Context | None = None,
    ) -> Readout:
        """The parts of the distribution of the cells ``asked`` for; arguments as of :meth:`forward`."""
        x, visible, mask, context = self.embed(tokens, status, offset, context)
        for number, layer in enumerate(self.layers):
            x = layer(x, context, number)
        x = self.norm(x)
        key = context.extend("pointed", 0, self.pointer.key(x))
        score = self.pointer.score(x, key, context.shared.get(("pointed", 0)))
        attention_mask = context.mask(score[:, None])
        if attention_mask is not None:
            mask = mask + attention_mask[:, 0].float()
        rows, cells = asked.nonzero(as_tuple=True)
        pointed = (score[rows, cells] + mask.expand_as(score)[rows, cells]).softmax(-1)
        x = x[rows, cells]
        generated = F.linear(x, self.token.weight[:-1], self.bias)
        return Readout(generated, pointed, self.pointer.gate(x), visible[rows])

    def embed(
        self, tokens: Tensor, status: Tensor, offset: Tensor, context: Context | None
    ) -> tuple[Tensor, Tensor, Tensor, Context]:
        """Features (B, N, D), the tokens (B, M) to point at, their mask (B, 1, M), and the context to use."""
        config = self.config
        if config.causal:
            context = context or Context(causal=True)
            visible, shared = context.extend("token", 0, tokens), context.shared.get(("token", 0))
            if shared is not None:
                visible = torch.cat([shared.expand(len(visible), -1), visible], 1)
            return (
                self.token(tokens),
                visible,
                torch.where(visible == config.vocab, HIDDEN, 0.0)[:, None],
                context,
            )
        context = context if isinstance(context, StaleContext) else StaleContext()
        mask = torch.where(status == OPEN, HIDDEN, 0.0)
        tokens = visible = torch.where(status == OPEN, config.vocab, tokens)
        if context.cells is not None:
            tokens, status, offset = map(context.select, (tokens, status, offset))
            visible, mask = torch.cat([tokens, visible], 1), torch.cat([context.select(mask), mask], 1)
        place = offset.clamp(-config.offsets, config.offsets) + config.offsets
        return self.token(tokens) + self.status(status) + self.offset(place), visible, mask[:, None], context

    def mixture(self, parts: Readout) -> Tensor:
        """fp32 log-probabilities (C, V)."""
        return self.pointer.mixture(parts.generated, parts.pointed, parts.gate, parts.tokens)

    def flops(self, cells: int, before: int = 0, asked: float | None = None) -> int:
        """FLOPs of the matrix products of one row's forward.

        cells: number of cells of the forward.
        before: number of cells in the cache.
        asked: number of cells whose distribution is computed, None for all.
        """
        block, width = self.layers[0], self.config.width
        assert isinstance(block, Block)
        readout = 2 * (cells if asked is None else asked) * width * self.config.vocab
        layers = self.config.layers * block.flops(cells, cells * (cells + before))
        return round(layers + 2 * cells * width * (2 * width + cells + before) + readout)
