"""Contexts: the states that positions can attend to (their sequence, a canvas's stale states, or a cache).

    >>> import torch
    >>> cache = KVCache(num_cache_rows=2)
    >>> step = cache.step(torch.tensor([0, 1]), torch.tensor([[0], [0]]))  # both sequences start
    >>> step.extend("key", 0, torch.ones(2, 1, 4)).shape
    torch.Size([2, 1, 4])

A network hands every layer a context. The layer passes what other positions may see through
:meth:`Context.extend` and gets back the states of all positions that it may look at.

Shapes: B rows, L cells, N cells of this forward, M positions that can be seen, H heads, D width of a head.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

States = dict[tuple[str, int], Tensor]  # by name and layer
HIDDEN = -1e4  # added to scores; finite, so that a row in which all positions are hidden has no NaN


@lru_cache(maxsize=64)
def rotation(size: int, half: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines (``size``, 2 * ``half``) of rotary positions (Su et al. 2021)."""
    with torch.inference_mode(False):  # the table is cached, and may be needed in training
        rate = 10_000.0 ** (-torch.arange(half, device=device) / half)
        angle = torch.arange(size, device=device)[:, None] * rate
        cos, sin = angle.cos().to(dtype), angle.sin().to(dtype)
        return torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)


class Context:
    """Whole sequences (B, N), each attending to itself; with ``causal``, positions see only earlier ones.

    present: (B, N), False where a row is padded.
    """

    shared: Mapping[tuple[str, int], Tensor] = {}

    def __init__(self, causal: bool = False, present: Tensor | None = None) -> None:
        self.causal, self.present = causal, present
        self._mask: Tensor | None = None

    def extend(self, name: str, layer: int, x: Tensor) -> Tensor:
        """Add the states ``x`` (B, N, ...) of this forward; returns those of all visible positions (B, M,
        ...)."""
        return x

    def index(self, tokens: Tensor) -> Tensor:
        """Where the positions of ``tokens`` (B, N) are among the visible ones, (1, N) or (B, N)."""
        return torch.arange(tokens.shape[1], device=tokens.device)[None]

    def windows(self, layer: int, x: Tensor, radius: int) -> Tensor:
        """(B, N, taps * D): each position with its neighbours at most ``radius`` away, zeros beyond the
        ends."""
        after = 0 if self.causal else radius
        return unfolded(F.pad(x, (0, 0, radius, after)), radius + after + 1)

    def rotation(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines of the positions of ``x`` (B, H, N, D), for ``apply_rotary`` (Su et al. 2021)."""
        return rotation(x.shape[2], x.shape[-1] // 2, x.dtype, x.device)

    def mask(self, like: Tensor) -> Tensor | None:
        """The additive mask of attention scores ``like`` (B, H, N, M), broadcast; None for no mask."""
        if self._mask is None and self.causal and like.shape[2] > 1:
            ahead = torch.full(like.shape[2:], -torch.inf, device=like.device, dtype=like.dtype)
            self._mask = ahead.triu(1)[None, None]
        elif self._mask is None and self.present is not None:
            self._mask = torch.where(self.present, 0.0, HIDDEN).to(like.dtype)[:, None, None]
        return self._mask


class StaleContext(Context):
    """Canvases of which one forward reads all cells, and later ones some; the others keep their states.

    ``StaleContext()`` records the states (B, L, ...) of a whole forward. ``StaleContext(states, cells)`` is
    for a forward of the ``cells`` (B, N) alone, which may name one twice (Wu et al. 2025, Fast-dLLM, arXiv
    2505.22618).
    """

    def __init__(self, states: States | None = None, cells: Tensor | None = None) -> None:
        super().__init__()
        self.states: States = dict(states or {})
        self.cells = cells
        self._windows: Tensor | None = None
        if cells is not None:
            key, count = self.states["key", 0], torch.arange(cells.shape[1])
            # place (B, L): index of each cell among those of this forward, or -1
            self.place = torch.full(key.shape[:2], -1).scatter_(1, cells, count.expand_as(cells))
            is_repeated = self.place.gather(1, cells) != count
            is_hidden = torch.cat([is_repeated, self.place >= 0], 1)  # (B, N + L)
            self._mask = torch.where(is_hidden, HIDDEN, 0.0).to(key.dtype)[:, None, None]

    def extend(self, name: str, layer: int, x: Tensor) -> Tensor:
        """All cells (B, L, ...); or (B, N + L, ...), those of this forward before all as they were."""
        if self.cells is None:
            self.states[name, layer] = x
            return x
        return torch.cat([x, self.states[name, layer]], 1)

    def select(self, x: Tensor) -> Tensor:
        """The entries (B, N) of ``x`` (B, L) that belong to cells of this forward."""
        return x if self.cells is None else x.gather(1, self.cells)

    def windows(self, layer: int, x: Tensor, radius: int) -> Tensor:
        taps, (rows, size, width) = 2 * radius + 1, x.shape
        if self.cells is None:
            return unfolded(self.extend("window", layer, F.pad(x, (0, 0, radius, radius))), taps)
        if self._windows is None:  # indices into this forward's cells, followed by the padded canvas
            index = (self.cells[..., None] + torch.arange(taps)).flatten(1)
            place = F.pad(self.place, (radius, radius), value=-1).gather(1, index)
            self._windows = torch.where(place >= 0, place, size + index)
        states = self.extend("window", layer, x)
        return states[torch.arange(rows)[:, None], self._windows].view(rows, size, taps * width)

    def rotation(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.cells is None:
            return super().rotation(x)
        cos, sin = rotation(self.place.shape[1], x.shape[-1] // 2, x.dtype, x.device)
        return cos[self.cells][:, None], sin[self.cells][:, None]


class KVCache:
    """States of a causal network, in cache rows that hold one sequence each. All may share a prefix.

    num_cache_rows: number of sequences that are kept at a time.
    """

    def __init__(self, num_cache_rows: int = 1) -> None:
        self.num_cache_rows = num_cache_rows
        self.states: States = {}  # (num_cache_rows, capacity, ...); of windows, (num_cache_rows, radius, D)
        self.shared: States = {}  # (1, C, ...), positions 0 to C - 1 of every cache row
        self.prefix = 0  # C

    def step(self, cache_rows: Tensor, positions: Tensor) -> CacheStep:
        """The context of a forward of ``positions`` (N, T) in ``cache_rows`` (N,). They count the prefix."""
        return CacheStep(self, cache_rows, positions)

    def share(self, size: int, num_cache_rows: int) -> None:
        """Turn the only cache row, of ``size`` positions, into the prefix of ``num_cache_rows`` rows."""
        windows = {
            key: x.expand(num_cache_rows, *x.shape[1:]).clone()
            for key, x in self.states.items()
            if key[0] == "window"
        }
        self.shared = {key: x[:, :size] for key, x in self.states.items() if key not in windows}
        self.prefix, self.num_cache_rows, self.states = size, num_cache_rows, windows

    def buffer(self, name: str, layer: int, size: int, like: Tensor) -> Tensor:
        """The buffer (num_cache_rows, capacity, ...) of a state, grown to hold ``size`` positions.

        like: (N, T, ...), states of the same kind.
        """
        buffer = self.states.get((name, layer))
        have = 0 if buffer is None else buffer.shape[1]
        if have < size:
            room = size if not have else max(size, 2 * have)
            grown = like.new_zeros(self.num_cache_rows, room, *like.shape[2:])
            if buffer is not None:
                grown[:, :have] = buffer
            self.states[name, layer] = buffer = grown
        assert buffer is not None
        return buffer


class CacheStep(Context):
    """Positions (N, T) of some cache rows of a :class:`KVCache`; each sees the positions up to its own."""

    def __init__(self, cache: KVCache, cache_rows: Tensor, positions: Tensor) -> None:
        super().__init__(causal=True)
        self.cache, self.cache_rows, self.positions = cache, cache_rows, positions
        self.shared = cache.shared
        self.indices = positions - cache.prefix  # indices into the cache rows' own states
        self.size = int(self.indices.max()) + 1
        is_every_row = cache_rows.tolist() == list(range(cache.num_cache_rows))
        # a slice selects all cache rows without a copy
        self.rows: slice | Tensor = slice(None) if is_every_row else cache_rows
        visible = torch.arange(self.size) <= self.indices[..., None]
        if not visible.all():
            mask = torch.where(visible, 0.0, -torch.inf)[:, None]
            self._mask = F.pad(mask, (cache.prefix, 0)) if cache.prefix else mask

    def extend(self, name: str, layer: int, x: Tensor) -> Tensor:
        """The cache rows' own states (N, size, ...); those of the prefix are in ``shared``."""
        buffer = self.cache.buffer(name, layer, self.size, x)
        buffer[self.cache_rows[:, None], self.indices] = x
        return buffer[self.rows, : self.size]

    def index(self, tokens: Tensor) -> Tensor:
        return self.indices

    def windows(self, layer: int, x: Tensor, radius: int) -> Tensor:
        """As of :class:`Context`; positions have to come in their order, because only the last ``radius``
        are kept."""
        last = self.cache.states.get(("window", layer))
        if last is None:
            last = self.cache.states["window", layer] = x.new_zeros(
                self.cache.num_cache_rows, radius, x.shape[-1]
            )
        is_first = (self.positions[:, :1] == 0)[..., None]  # of a new sequence in the cache row
        states = torch.cat([last[self.cache_rows].masked_fill(is_first, 0.0), x], 1)
        last[self.cache_rows] = states[:, states.shape[1] - radius :]
        return unfolded(states, radius + 1)

    def rotation(self, x: Tensor) -> tuple[Tensor, Tensor]:
        size = 1 << int(self.positions.max()).bit_length()  # few sizes, so that the table is computed rarely
        cos, sin = rotation(size, x.shape[-1] // 2, x.dtype, x.device)
        return cos[self.positions][:, None], sin[self.positions][:, None]


def unfolded(x: Tensor, taps: int) -> Tensor:
    """(B, N, taps * D): windows of ``taps`` positions of a padded ``x`` (B, N + taps - 1, D)."""
    size = x.shape[1] - taps + 1
    return torch.cat([x[:, tap : tap + size] for tap in range(taps)], -1)


def scores(query: Tensor, key: Tensor, shared: Tensor | None) -> Tensor:
    """Products (B, H, N, C + M) of queries (B, H, N, D) with the shared keys (1, C, H, D) and a row's own
    (B, M, H, D)."""
    score = query @ key.permute(0, 2, 3, 1)
    if shared is None:
        return score
    rows, heads, size, width = query.shape
    flat = query.transpose(0, 1).reshape(heads, rows * size, width) @ shared[0].permute(1, 2, 0)
    return torch.cat([flat.view(heads, rows, size, -1).transpose(0, 1), score], -1)


def weighted(share: Tensor, value: Tensor, shared: Tensor | None) -> Tensor:
    """Sums (B, H, N, D) by ``share`` (B, H, N, C + M) of shared values (1, C, H, D) and a row's own (B, M,
    H, D)."""
    if shared is None:
        return share @ value.transpose(1, 2)
    rows, heads, size, _ = share.shape
    cells = shared.shape[1]
    flat = share[..., :cells].transpose(0, 1).reshape(heads, rows * size, cells) @ shared[0].transpose(0, 1)
    return flat.view(heads, rows, size, -1).transpose(0, 1) + share[..., cells:] @ value.transpose(1, 2)
