"""The network for code: transformer blocks over a whole window of tokens, and a pointer to its tokens.

    >>> network = CodeNetwork(CodeConfig(vocab=20, width=16, hidden=16, layers=1))
    >>> tokens, status, offset = torch.zeros(3, 2, 9, dtype=torch.long)
    >>> network(tokens, status, offset).shape
    torch.Size([2, 9, 20])

A cell's distribution is a mixture of two: over generated tokens, and over tokens copied from elsewhere in
the window (a pointer network; Merity et al. 2016, Li et al. 2018 for code). Half of the names in a hole also
occur around it. Later forwards of the same window may recompute some cells only and reuse the cached states
of the others (:class:`StaleContext`).

``causal=True`` is the left-to-right baseline, built from the same parts: position i reads the tokens before
cell i and predicts the token of cell i.

Shapes: B rows, L cells of a window, N cells of a forward, C cells whose distribution is computed, M tokens
that can be copied, V tokens, D width.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from solver.models.blocks import OPEN, Block, PointerHead, check_sizes, make_norm
from solver.models.context import HIDDEN, Context, StaleContext


@dataclass(frozen=True)
class CodeConfig:
    """Sizes of the network. Raises ValueError, which names the field, if a value is impossible.

    vocab: number of tokens that a cell may hold, without the mask.
    width, hidden: features of a position, and of the hidden layer in a block.
    heads, layers: number of attention heads of a block, and number of blocks.
    radius: number of neighbours on each side (in the causal form: before it) that are mixed into a position.
    offsets: offsets in a slot (see :meth:`CodeNetwork.forward`) with an embedding of their own; farther
        positions share the last one.
    causal: whether the network is the left-to-right baseline.
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

    generated: (C, V), logits of the generated token.
    pointed: (C, M), probability of each copied token, given that the token is copied.
    gate: (C, 1), logit of the probability that the token is copied.
    tokens: (C, M), the tokens that can be copied.
    """

    generated: Tensor
    pointed: Tensor
    gate: Tensor
    tokens: Tensor


class CodeNetwork(nn.Module):
    """The network that the module docstring describes."""

    def __init__(self, config: CodeConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.token = nn.Embedding(config.vocab + 1, width)  # the last one: an open cell
        if not config.causal:
            self.status = nn.Embedding(3, width)
            self.offset = nn.Embedding(2 * config.offsets + 1, width)  # the middle one: outside slots
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
        selected: Tensor | None = None,
        context: Context | None = None,
    ) -> Tensor:
        """Return fp32 log-probabilities: (B, N, V), or (C, V) for the cells ``selected``, in row-major order.

        tokens: (B, L), the token of each cell. In the causal form, the token before each cell, ``vocab`` for
            the first cell.
        status: (B, L), PINNED (settled: will not change), KNOWN (visible: may be re-masked) or OPEN. Ignored
            in the causal form.
        offset: (B, L), position in the slot: counted from its start (1, 2, ...) if the text may be shorter
            than the slot, from its end (..., -2, -1) if the text fills the slot exactly, 0 outside slots.
            Ignored in the causal form.
        selected: (B, N), mask of the cells whose distribution is computed. None: all cells.
        context: None: process whole windows. A :class:`StaleContext` with ``cells``: recompute only those N
            cells and reuse the cached states of the others. A step of a KV cache: causal decoding.
        """
        if selected is not None:
            return self.mixture(self.readout(tokens, status, offset, selected, context))
        rows, size = tokens.shape
        if isinstance(context, StaleContext) and context.cells is not None:
            size = context.cells.shape[1]
        selected = torch.ones(rows, size, dtype=torch.bool, device=tokens.device)
        return self.mixture(self.readout(tokens, status, offset, selected, context)).view(rows, size, -1)

    def log_likelihood(
        self, tokens: Tensor, status: Tensor, offset: Tensor, truth: Tensor, selected: Tensor
    ) -> Tensor:
        """Return the log-probability (C,) of the true token in each of the cells ``selected`` (B, L).

        Computes only the true token's probability, not the whole distribution; for training.

        truth: (B, L), the true tokens. The other arguments are those of :meth:`forward`.
        """
        parts, wanted = self.readout(tokens, status, offset, selected), truth[selected]
        generated_log_p = -F.cross_entropy(parts.generated.float(), wanted, reduction="none")
        copied_log_p = ((parts.tokens == wanted[:, None]) * parts.pointed).sum(-1).clamp_min(1e-9).log()
        gate = parts.gate[:, 0].float()
        return torch.logaddexp(F.logsigmoid(-gate) + generated_log_p, F.logsigmoid(gate) + copied_log_p)

    def readout(
        self,
        tokens: Tensor,
        status: Tensor,
        offset: Tensor,
        selected: Tensor,
        context: Context | None = None,
    ) -> Readout:
        """Return the parts of the distribution of the cells ``selected``. Arguments: see :meth:`forward`."""
        x, visible, mask, context = self.embed(tokens, status, offset, context)
        for number, layer in enumerate(self.layers):
            x = layer(x, context, number)
        x = self.norm(x)
        key = context.extend("pointed", 0, self.pointer.key(x))
        score = self.pointer.score(x, key, context.shared.get(("pointed", 0)))
        attention_mask = context.mask(score[:, None])
        if attention_mask is not None:
            mask = mask + attention_mask[:, 0].float()
        rows, cells = selected.nonzero(as_tuple=True)
        pointed = (score[rows, cells] + mask.expand_as(score)[rows, cells]).softmax(-1)
        x = x[rows, cells]
        generated = F.linear(x, self.token.weight[:-1], self.bias)
        return Readout(generated, pointed, self.pointer.gate(x), visible[rows])

    def embed(
        self, tokens: Tensor, status: Tensor, offset: Tensor, context: Context | None
    ) -> tuple[Tensor, Tensor, Tensor, Context]:
        """Return features (B, N, D), tokens to copy (B, M), their additive mask (B, 1, M), and a context."""
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
            # the recomputed cells, then the whole window as cached; the context's mask hides stale copies
            visible, mask = torch.cat([tokens, visible], 1), torch.cat([context.select(mask), mask], 1)
        index = offset.clamp(-config.offsets, config.offsets) + config.offsets
        return self.token(tokens) + self.status(status) + self.offset(index), visible, mask[:, None], context

    def mixture(self, parts: Readout) -> Tensor:
        """Return the fp32 log-probabilities (C, V) of the mixture."""
        return self.pointer.mixture(parts.generated, parts.pointed, parts.gate, parts.tokens)

    def flops(self, cells: int, before: int = 0, selected: float | None = None) -> int:
        """Return the FLOPs of the matrix products in one forward of one row.

        cells: number of cells of the forward.
        before: number of cells in the cache.
        selected: number of cells whose distribution is computed. None: all.
        """
        block, width = self.layers[0], self.config.width
        assert isinstance(block, Block)
        readout = 2 * (cells if selected is None else selected) * width * self.config.vocab
        layers = self.config.layers * block.flops(cells, cells * (cells + before))
        return round(layers + 2 * cells * width * (2 * width + cells + before) + readout)
