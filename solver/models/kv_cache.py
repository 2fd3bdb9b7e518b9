"""What a network keeps from one forward to the next: what came before (causal forms), or what is around some cells.

Shapes: B rows, L cells, N cells of this forward, H heads, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from solver.models.layers import rotary, turned, turns

Kept = dict[tuple[str, int], Tensor]  # by name and layer


class KVCache:
    """What the causal form keeps of the positions before, (B, cells, ...). common: of those that were read once for all rows,
    (1, cells, ...)."""

    hidden: Tensor | None = None

    def __init__(self) -> None:
        self.cells = 0
        self.kept: Kept = {}
        self.common: Kept = {}

    def add(self, name: str, layer: int, x: Tensor) -> Tensor:
        """Some positions (B, N, ...) more; all of them, but for the common ones."""
        before = self.kept.get((name, layer))
        self.kept[name, layer] = x if before is None else torch.cat([before, x], 1)
        return self.kept[name, layer]

    def near(self, layer: int, x: Tensor, radius: int) -> Tensor:
        """(B, N, (radius + 1) * D): each position behind those before it, zeros before the first."""
        size, found = x.shape[1], self.add("near", layer, x)
        self.kept["near", layer] = found[:, max(0, found.shape[1] - radius) :]
        found = F.pad(found, (0, 0, size + radius - found.shape[1], 0))
        return torch.cat([found[:, at : at + size] for at in range(radius + 1)], -1)

    def rotary(self, x: Tensor) -> Tensor:
        """(B, H, N, D), turned by their positions."""
        return rotary(x, self.cells)

    def split(self, rows: int, common: Sequence[str]) -> None:
        """From here on ``rows`` go their own ways; what has these names is looked at where it is, the rest is theirs."""
        self.common = {key: x for key, x in self.kept.items() if key[0] in common}
        self.kept = {
            key: x.expand(rows, *x.shape[1:]) for key, x in self.kept.items() if key not in self.common
        }

    def select(self, rows: Sequence[int]) -> None:
        """Only these go on."""
        self.kept = {key: x[list(rows)] for key, x in self.kept.items()}


class StaleContext:
    """States of whole windows from an earlier forward, reused while only some cells are read again.

    ``StaleContext()`` records them. A forward of some ``cells`` (B, N), which may name one twice, sees the others
    as they were then (Wu et al. 2025, Fast-dLLM, arXiv 2505.22618).

    place: (B, L), where each cell stands among those that are read again, or -1.
    hidden: (B, N + L), very low where those stand as they were, and where one is named again.
    """

    common: Mapping[tuple[str, int], Tensor] = {}

    def __init__(self, kept: Kept | None = None, cells: Tensor | None = None) -> None:
        self.kept: Kept = dict(kept or {})
        self.cells = cells
        self.hidden: Tensor | None = None
        self.windows: Tensor | None = None  # made at the first layer, like the turns, for all of them
        self.turns: tuple[Tensor, Tensor] | None = None
        if cells is not None:
            key, count = self.kept["key", 0], torch.arange(cells.shape[1])
            self.place = torch.full(key.shape[:2], -1).scatter_(1, cells, count.expand_as(cells))
            twice = self.place.gather(1, cells) != count
            self.hidden = torch.where(torch.cat([twice, self.place >= 0], 1), -1e4, 0.0).to(key.dtype)

    def add(self, name: str, layer: int, x: Tensor) -> Tensor:
        """All cells (B, L, ...); or (B, N + L, ...) those of this forward as they are now, before all as they were."""
        if self.cells is None:
            self.kept[name, layer] = x
            return x
        return torch.cat([x, self.kept[name, layer]], 1)

    def of(self, x: Tensor) -> Tensor:
        """(B, N): of all (B, L), the cells of this forward."""
        return x if self.cells is None else x.gather(1, self.cells)

    def near(self, layer: int, x: Tensor, radius: int) -> Tensor:
        """(B, N, (2 * radius + 1) * D): each cell between its neighbours, zeros beyond the ends."""
        taps, (rows, size, width) = 2 * radius + 1, x.shape
        if self.cells is None:
            every = self.add("near", layer, F.pad(x, (0, 0, radius, radius)))
            return torch.cat([every[:, at : at + size] for at in range(taps)], -1)
        if self.windows is None:
            at = (self.cells[..., None] + torch.arange(taps)).flatten(1)  # of the padded page
            place = F.pad(self.place, (radius, radius), value=-1).gather(1, at)
            self.windows = torch.where(place >= 0, place, size + at)
        return self.add("near", layer, x)[torch.arange(rows)[:, None], self.windows].view(
            rows, size, taps * width
        )

    def rotary(self, x: Tensor) -> Tensor:
        """(B, H, N, D), turned by their positions."""
        if self.cells is None:
            return rotary(x)
        if self.turns is None:
            cos, sin = turns(0, self.place.shape[1], x.shape[-1] // 2, x.dtype, x.device)
            self.turns = cos[self.cells][:, None], sin[self.cells][:, None]
        return turned(x, *self.turns)


def scores(query: Tensor, key: Tensor, common: Tensor | None) -> Tensor:
    """(B, H, N, C + M) of queries (B, H, N, D), with the C common keys (1, C, H, D) before a row's own (B, M, H, D)."""
    own = query @ key.permute(0, 2, 3, 1)
    if common is None:
        return own
    rows, heads, size, width = query.shape
    shared = query.transpose(0, 1).reshape(heads, rows * size, width) @ common[0].permute(1, 2, 0)
    return torch.cat([shared.view(heads, rows, size, -1).transpose(0, 1), own], -1)


def weighed(share: Tensor, value: Tensor, common: Tensor | None) -> Tensor:
    """(B, H, N, D): values by their ``share`` (B, H, N, C + M), the common ones (1, C, H, D) before a row's own (B, M, H, D)."""
    if common is None:
        return share @ value.transpose(1, 2)
    rows, heads, size, _ = share.shape
    cells = common.shape[1]
    shared = share[..., :cells].transpose(0, 1).reshape(heads, rows * size, cells) @ common[0].transpose(0, 1)
    return shared.view(heads, rows, size, -1).transpose(0, 1) + share[..., cells:] @ value.transpose(1, 2)
