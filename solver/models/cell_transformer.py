"""The cell transformer: a plain causal transformer over (cell, token) pairs, the second left-to-right
baseline.

Nothing in it is made for Sudoku but a learned embedding per cell. A sequence is a start token, then the
pairs of the givens, then those of the answers. With ``order="index"`` the answers come by their cell's
index, every step is told the next cell, and logits are over tokens. With ``order="easiest"`` the network
chooses the next cell itself, and logits are over (cell, token) pairs; it is taught the order in which a
solver by logic fills them.

    >>> network = CellTransformer(CellTransformerConfig(width=16, layers=1))
    >>> cells, tokens = torch.tensor([[0, 1, 2]]), torch.tensor([[4, 3, 8]])
    >>> network(cells, tokens).shape       # entry t is about pair t
    torch.Size([1, 4, 9])

Shapes: B rows, T pairs, L cells, V tokens, D width.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from solver.models.blocks import Block, check_sizes
from solver.models.context import Context


@dataclass(frozen=True)
class CellTransformerConfig:
    """Sizes. Raises ValueError naming the field where a value is impossible.

    vocab, cells: V and L.
    width, layers, heads: of the transformer; its MLPs are four times as wide.
    order: of the answers, by index or the easiest first.
    """

    vocab: int = 9
    cells: int = 81
    width: int = 128
    layers: int = 8
    heads: int = 4
    order: Literal["index", "easiest"] = "index"

    def __post_init__(self) -> None:
        check_sizes(self, "vocab", "cells", "width", "layers", "heads")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.order not in ("index", "easiest"):
            raise ValueError(f"order must be 'index' or 'easiest', not {self.order!r}")


class CellTransformer(nn.Module):
    """The network; see the module."""

    def __init__(self, config: CellTransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.start = nn.Parameter(0.02 * torch.randn(config.width))
        self.token = nn.Embedding(config.vocab, config.width)
        self.cell = nn.Embedding(config.cells, config.width)
        # of the cell that comes next; the last: none
        self.next = nn.Embedding(config.cells + 1, config.width) if config.order == "index" else None
        blocks = [
            Block(config.width, 4 * config.width, config.heads, radius=0, rotary=False)
            for _ in range(config.layers)
        ]
        self.layers = nn.ModuleList(blocks)
        self.norm = nn.RMSNorm(config.width)
        self.head = nn.Linear(
            config.width, config.vocab if config.order == "index" else config.cells * config.vocab
        )
        for module in self.children():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, cells: Tensor, tokens: Tensor) -> Tensor:
        """Logits (B, T + 1, V or L * V) for pairs of ``cells`` and ``tokens`` (B, T); entry t is about pair
        t."""
        no_cell = torch.full_like(cells[:, :1], self.config.cells)
        x = torch.cat([self.start.expand(len(cells), 1, -1), self.pair(cells, tokens)], 1)
        return self.run(x, torch.cat([cells, no_cell], 1), Context(causal=True))

    def pair(self, cells: Tensor, tokens: Tensor) -> Tensor:
        """Features (B, T, D) of pairs."""
        features: Tensor = self.token(tokens) + self.cell(cells)
        return features

    def run(self, x: Tensor, following: Tensor, context: Context) -> Tensor:
        """Logits (B, T, ...) of features ``x`` (B, T, D); the cells ``following`` (B, T) come next."""
        if self.next is not None:
            x = x + self.next(following)
        for number, layer in enumerate(self.layers):
            x = layer(x, context, number)
        logits: Tensor = self.head(self.norm(x))
        return logits

    def targets(self, cells: Tensor, tokens: Tensor) -> Tensor:
        """The classes (B, T) that the logits of pairs (B, T) are over: tokens, or numbers of pairs."""
        return tokens if self.next is not None else cells * self.config.vocab + tokens

    def flops(self, length: int, before: int = 0) -> int:
        """Floating-point operations of ``length`` positions after ``before`` others, a row: matrix
        products."""
        block = self.layers[0]
        assert isinstance(block, Block)
        visible = length * before + length * (length + 1) // 2
        head = length * 2 * self.config.width * self.head.out_features
        return self.config.layers * block.flops(length, visible) + head
