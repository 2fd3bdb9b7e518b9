"""What several networks share: what a cell may hold for them, rotary positions, and the cache of their causal forms."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

OPEN, PINNED, KNOWN, NOISE = range(4)  # what a cell holds: nothing, a given, an accepted token, a random token


class Past:
    """What the causal form keeps of the positions before: by name and layer, (B, cells, ...)."""

    def __init__(self) -> None:
        self.cells = 0
        self.kept: dict[tuple[str, int], Tensor] = {}

    def add(self, name: str, layer: int, x: Tensor) -> Tensor:
        """One position more; all of them."""
        before = self.kept.get((name, layer))
        self.kept[name, layer] = x if before is None else torch.cat([before, x], 1)
        return self.kept[name, layer]


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
