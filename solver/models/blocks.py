"""Parts of several networks: cell states, checks of sizes, the transformer block and the pointer head.

>>> from solver.models.context import Context
>>> block = Block(width=16, hidden=32, heads=2, radius=1)
>>> block(torch.zeros(1, 5, 16), Context(), layer=0).shape
torch.Size([1, 5, 16])

The JSON and code networks and the left-to-right Sudoku networks (cell_transformer.py) are built from the block.

Shapes: B rows, N positions of a forward, M positions that can be seen, V tokens, D width.
"""

import math
from copy import deepcopy
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from solver.models.context import Context, scores, weighted

Network = TypeVar("Network", bound=nn.Module)
# Status of a cell: unknown, a given, an accepted token, a random token.
OPEN, PINNED, KNOWN, NOISE = range(4)


def check_sizes(config: Any, *names: str) -> None:
    """Raise ValueError naming the first of the fields that is not a positive whole number."""
    for name in names:
        value = getattr(config, name)
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a positive whole number, not {value!r}")


def fast_bf16() -> bool:
    return bool(torch.cpu._is_avx512_bf16_supported())


def converted(network: Network, dtype: torch.dtype) -> Network:
    """The network itself where its parameters have this ``dtype``, else a converted copy."""
    if all(parameter.dtype == dtype for parameter in network.parameters()):
        return network
    return deepcopy(network).to(dtype)


def apply_rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate ``x`` (B, H, N, D) by cosines and signed sines (N, D) or (B, 1, N, D)."""
    return x * cos + x.roll(x.shape[-1] // 2, -1) * sin


Norm = Literal["rms", "layer"]


def make_norm(width: int, norm: Norm) -> nn.Module:
    """A normalisation layer without bias."""
    return nn.RMSNorm(width) if norm == "rms" else nn.LayerNorm(width, bias=False)


def attention_weights(score: Tensor) -> Tensor:
    """Softmax in the type of ``score``. Autocast would use fp32, and mixing types is slow on CPUs."""
    with torch.autocast(score.device.type, enabled=False):
        return score.softmax(-1)


class Block(nn.Module):
    """Pre-norm transformer block: a local mixing of neighbours, attention, an MLP; each added to its input.

    width, hidden: sizes of the residual stream and of the MLP.
    heads: number of attention heads.
    radius: radius of the local mixing; 0 for no mixing.
    causal: whether the local mixing sees only earlier positions. Attention is masked by the context.
    norm: "rms" or "layer".
    rotary: whether attention has rotary positions.
    """

    def __init__(
        self,
        width: int,
        hidden: int,
        heads: int,
        radius: int,
        causal: bool = False,
        norm: Norm = "rms",
        rotary: bool = True,
    ) -> None:
        super().__init__()
        self.heads, self.radius, self.rotary = heads, radius, rotary
        self.attention_norm, self.mlp_norm = make_norm(width, norm), make_norm(width, norm)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        added = [self.output, self.down]
        if radius:
            self.neighbour_norm = make_norm(width, norm)
            self.neighbours = nn.Linear((radius if causal else 2 * radius) * width + width, width)
            added.append(self.neighbours)
        for layer in added:
            nn.init.normal_(layer.weight, std=0.02)

    def forward(self, x: Tensor, context: Context, layer: int) -> Tensor:
        """``x`` (B, N, D) after the block, which is the ``layer``-th of a network."""
        return self.transform(self.attend(self.mix(x, context, layer), context, layer))

    def mix(self, x: Tensor, context: Context, layer: int) -> Tensor:
        """Add the local mixing, a convolution computed as one product."""
        if not self.radius:
            return x
        return x + F.gelu(self.neighbours(context.windows(layer, self.neighbour_norm(x), self.radius)))

    def attend(self, x: Tensor, context: Context, layer: int) -> Tensor:
        """Add attention. The fused kernel is not used: on a CPU, its backward in bf16 takes 2.5 times as long."""
        rows, size, width = x.shape
        split = self.query_key_value(self.attention_norm(x)).view(rows, size, 3 * self.heads, -1)
        query_key = split[:, :, : 2 * self.heads].transpose(1, 2)
        query_key = apply_rotary(query_key, *context.rotation(query_key)) if self.rotary else query_key
        query = query_key[:, : self.heads] * split.shape[-1] ** -0.5
        key = context.extend("key", layer, query_key[:, self.heads :].transpose(1, 2))
        value = context.extend("value", layer, split[:, :, 2 * self.heads :])
        score = scores(query, key, context.shared.get(("key", layer)))
        mask = context.mask(score)
        weights = attention_weights(score if mask is None else score + mask.to(score.dtype))
        attended = weighted(weights, value, context.shared.get(("value", layer)))
        result: Tensor = x + self.output(attended.transpose(1, 2).reshape(rows, size, width))
        return result

    def transform(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.down(F.gelu(self.up(self.mlp_norm(x))))
        return result

    def flops(self, size: int, pairs: int) -> int:
        """FLOPs of the matrix products for ``size`` positions with ``pairs`` query-key pairs in total."""
        weights = sum(parameter.numel() for parameter in self.parameters() if parameter.dim() == 2)
        return 2 * size * weights + 4 * self.output.in_features * pairs


class PointerHead(nn.Module):
    """Mixture of generating a token and copying one from a position (pointer-generator; See et al. 2017)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.gate = nn.Linear(width, 1)

    def score(self, x: Tensor, key: Tensor, shared: Tensor | None = None) -> Tensor:
        """fp32 scores (B, N, C + M) of pointing from ``x`` (B, N, D) at keys: ``shared`` (1, C, D), ``key``
        (B, M, D)."""
        common = None if shared is None else shared[:, :, None]
        score = scores(self.query(x)[:, None], key[:, :, None], common)
        return score[:, 0].float() / math.sqrt(x.shape[-1])

    @staticmethod
    def mixture(generated_logits: Tensor, pointed: Tensor, gate: Tensor, tokens: Tensor) -> Tensor:
        """fp32 log-probabilities (..., V) of the mixture.

        generated_logits: (..., V), logits of a generated token.
        pointed: (..., M), probabilities of copying from each position.
        gate: (..., 1), logit of copying.
        tokens: (..., M), the token at each position; where it is >= V, ``pointed`` must be 0.
        """
        copies = torch.sigmoid(gate.float())
        generated = (1 - copies) * generated_logits.float().softmax(-1)
        index = tokens.clamp_max(generated_logits.shape[-1] - 1).expand_as(pointed)
        return generated.scatter_add(-1, index, copies * pointed).clamp_min(1e-9).log()
