"""The plain causal transformer: the second left-to-right baseline, with nothing of Sudoku in it but a learned embedding a cell.

A sequence is a start token, then (cell, token) pairs: the givens, then the answers. ``order="index"``: the cells of the answers
come in reading order, every step is told which cell is next, and the logits are over tokens. ``order="easiest"``: the network
says itself which cell is next, and the logits are over (cell, token) pairs; it is taught the order of a solver by logic.

    net = CellTransformer(CellTransformerConfig())
    logits = net(cells_BT, tokens_BT)               # (B, T + 1, V) or (B, T + 1, L V): [:, t] is about pair t

Shapes: B rows, T pairs, L cells, V tokens, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class CellTransformerConfig:
    """Sizes of a plain transformer; checks itself, raising ValueError with the field's name."""

    vocab: int = 9
    cells: int = 81
    width: int = 128
    layers: int = 8
    heads: int = 4
    order: Literal["index", "easiest"] = "index"

    def __post_init__(self) -> None:
        for name in ("vocab", "cells", "width", "layers", "heads"):
            if not isinstance(value := getattr(self, name), int) or value < 1:
                raise ValueError(f"{name} must be a positive whole number, not {value!r}")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.order not in ("index", "easiest"):
            raise ValueError(f"order must be 'index' or 'easiest', not {self.order!r}")


class Layer(nn.Module):
    """Attention to what came before, then an MLP of four times the width; both on normalised input."""

    def __init__(self, config: CellTransformerConfig) -> None:
        super().__init__()
        d, self.heads = config.width, config.heads
        self.normed = nn.ModuleList([nn.RMSNorm(d), nn.RMSNorm(d)])
        self.query_key_value = nn.Linear(d, 3 * d, bias=False)
        self.mixed = nn.Linear(d, d, bias=False)
        self.wide, self.narrow = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values, each (B, heads, T, D / heads), of ``x`` (B, T, D)."""
        parts = self.query_key_value(self.normed[0](x)).view(*x.shape[:2], 3, self.heads, -1)
        return tuple(parts.permute(2, 0, 3, 1, 4).unbind())

    def finish(self, x: Tensor, heard: Tensor) -> Tensor:
        """The layer's output (B, T, D) from its input and what attention ``heard`` (B, heads, T, D / heads)."""
        x = x + self.mixed(heard.transpose(1, 2).reshape(x.shape))
        result: Tensor = x + self.narrow(F.gelu(self.wide(self.normed[1](x))))
        return result


class CellTransformer(nn.Module):
    """See the module."""

    def __init__(self, config: CellTransformerConfig) -> None:
        super().__init__()
        self.config = c = config
        self.start = nn.Parameter(0.02 * torch.randn(c.width))
        self.token = nn.Embedding(c.vocab, c.width)
        self.cell = nn.Embedding(c.cells, c.width)
        self.next = (
            nn.Embedding(c.cells + 1, c.width) if c.order == "index" else None
        )  # the last: no cell is next
        self.layers = nn.ModuleList([Layer(c) for _ in range(c.layers)])
        self.normed = nn.RMSNorm(c.width)
        self.head = nn.Linear(c.width, c.vocab if c.order == "index" else c.cells * c.vocab)
        for embedding in (self.token, self.cell, self.next):
            if embedding is not None:
                nn.init.normal_(embedding.weight, std=0.02)

    def forward(self, cells: Tensor, tokens: Tensor) -> Tensor:
        """Logits (B, T + 1, ...) for ``cells`` and ``tokens`` (B, T): the one at t is about the pair at t."""
        nothing = torch.full_like(cells[:, :1], self.config.cells)
        x = torch.cat([self.start.expand(len(cells), 1, -1), self.pair(cells, tokens)], 1)
        x = self.told(x, torch.cat([cells, nothing], 1))
        for layer in self.stack():
            query, key, value = layer.split(x)
            x = layer.finish(x, F.scaled_dot_product_attention(query, key, value, is_causal=True))
        return self.read_out(x)

    def stack(self) -> list[Layer]:
        """The layers, by their type."""
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    def pair(self, cells: Tensor, tokens: Tensor) -> Tensor:
        """Input (B, T, D) of pairs."""
        embedded: Tensor = self.token(tokens) + self.cell(cells)
        return embedded

    def told(self, x: Tensor, following: Tensor) -> Tensor:
        """Input that says which cells (B, T) are next, in the order that says so."""
        return x if self.next is None else x + self.next(following)

    def read_out(self, x: Tensor) -> Tensor:
        """Logits of a last layer's output."""
        logits: Tensor = self.head(self.normed(x))
        return logits

    def targets(self, cells: Tensor, tokens: Tensor) -> Tensor:
        """What the logits are to be about at each pair (B, T): the token, or the pair's number."""
        return tokens if self.next is not None else cells * self.config.vocab + tokens

    def flops(self, length: int, before: int = 0) -> int:
        """Floating-point operations of ``length`` places after ``before`` others, a row: matrix products, attention included."""
        d, seen = self.config.width, length * before + length * (length + 1) // 2
        a_layer = length * (2 * 12 * d * d) + 2 * 2 * d * seen
        return self.config.layers * a_layer + length * 2 * d * self.head.out_features
