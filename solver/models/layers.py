"""Helpers that several networks share: cell states, checks of sizes, bf16, rotary positions."""

from __future__ import annotations

from copy import deepcopy
from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

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
    """Whether this CPU multiplies bf16 in hardware."""
    return bool(torch.cpu._is_avx512_bf16_supported())


def converted(network: Network, dtype: torch.dtype) -> Network:
    """The network itself where its parameters have this ``dtype``, else a converted copy."""
    if all(parameter.dtype == dtype for parameter in network.parameters()):
        return network
    return deepcopy(network).to(dtype)


def apply_rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate ``x`` (B, H, N, D) by cosines and signed sines (N, D) or (B, 1, N, D)."""
    return x * cos + x.roll(x.shape[-1] // 2, -1) * sin


@lru_cache(maxsize=64)
def rotation(size: int, half: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines (``size``, 2 * ``half``) of rotary positions (Su et al. 2021)."""
    with torch.inference_mode(False):  # the table is cached, and may be needed in training
        rate = 10_000.0 ** (-torch.arange(half, device=device) / half)
        angle = torch.arange(size, device=device)[:, None] * rate
        cos, sin = angle.cos().to(dtype), angle.sin().to(dtype)
        return torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)
