"""What several networks share: what a cell may hold for them, rotary positions, and the cache of their causal forms."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import lru_cache
from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)
OPEN, PINNED, KNOWN, NOISE = range(4)  # what a cell holds: nothing, a given, an accepted token, a random token


def fast_bf16() -> bool:
    """Whether this CPU multiplies bf16 in hardware."""
    return bool(torch.cpu._is_avx512_bf16_supported())


def quick(network: Network) -> Network:
    """A copy in bf16, where the CPU multiplies that in hardware; else the network itself."""
    return deepcopy(network).to(torch.bfloat16) if fast_bf16() else network


class Past:
    """What the causal form keeps of the positions before: by name and layer, (B, cells, ...). common: of those that were read
    once for all rows, (1, cells, ...)."""

    def __init__(self) -> None:
        self.cells = 0
        self.kept: dict[tuple[str, int], Tensor] = {}
        self.common: dict[tuple[str, int], Tensor] = {}

    def add(self, name: str, layer: int, x: Tensor) -> Tensor:
        """Some positions more; all of them, but for the common ones."""
        before = self.kept.get((name, layer))
        self.kept[name, layer] = x if before is None else torch.cat([before, x], 1)
        return self.kept[name, layer]

    def last(self, name: str, layer: int, x: Tensor, count: int) -> Tensor:
        """Some positions more, behind the ``count`` before them; no others are kept."""
        found = self.add(name, layer, x)
        self.kept[name, layer] = found[:, found.shape[1] - min(count, found.shape[1]) :]
        return found

    def split(self, rows: int, common: Sequence[str]) -> None:
        """From here on ``rows`` go their own ways; what has these names is looked at where it is, the rest is theirs."""
        self.common = {key: x for key, x in self.kept.items() if key[0] in common}
        self.kept = {key: x.expand(rows, *x.shape[1:]) for key, x in self.kept.items() if key not in self.common}

    def select(self, rows: Sequence[int]) -> None:
        """Only these go on."""
        self.kept = {key: x[list(rows)] for key, x in self.kept.items()}


def scores(query: Tensor, key: Tensor, common: Tensor | None) -> Tensor:
    """(B, H, N, C + M) of queries (B, H, N, D), with the C common keys (1, H, C, D) before a row's own (B, H, M, D)."""
    own = query @ key.transpose(-1, -2)
    if common is None:
        return own
    rows, heads, size, width = query.shape
    shared = query.transpose(0, 1).reshape(heads, rows * size, width) @ common[0].transpose(-1, -2)
    return torch.cat([shared.view(heads, rows, size, -1).transpose(0, 1), own], -1)


def weighed(share: Tensor, value: Tensor, common: Tensor | None) -> Tensor:
    """(B, H, N, D): values by their ``share`` (B, H, N, C + M), the common ones (1, H, C, D) before a row's own (B, H, M, D)."""
    if common is None:
        return share @ value
    rows, heads, size, _ = share.shape
    cells = common.shape[2]
    shared = share[..., :cells].transpose(0, 1).reshape(heads, rows * size, cells) @ common[0]
    return shared.view(heads, rows, size, -1).transpose(0, 1) + share[..., cells:] @ value


def rotary(x: Tensor, first: int = 0) -> Tensor:
    """Rotary positions (Su et al. 2021) on (B, H, N, D)."""
    cos, sin = turns(first, x.shape[2], x.shape[-1] // 2, x.dtype, x.device)
    return x * cos + x.roll(x.shape[-1] // 2, -1) * sin


@lru_cache(maxsize=64)
def turns(first: int, size: int, half: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines (N, D) of ``size`` positions from ``first`` on."""
    with torch.inference_mode(False):  # they are kept, and may be wanted in training
        rate = 10_000.0 ** (-torch.arange(half, device=device) / half)
        angle = (first + torch.arange(size, device=device))[:, None] * rate
        cos, sin = angle.cos().to(dtype), angle.sin().to(dtype)
        return torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)
