"""The looped network: one weight-tied block, applied many times, that refines a state for every candidate of
a canvas.

A candidate is a (cell, token) pair, and each has its own state vector. No parameter belongs to a token,
so renaming the tokens renames the answer; and none belongs to a cell or a group, so the same weights serve
4x4, 9x9, jigsaw and diagonal Sudoku. Messages are pooled over groups of cells (row, column, box, ...).

    >>> import torch
    >>> from solver.tasks.sudoku import layout
    >>> network = LoopedNetwork(LoopedConfig(vocab=4, width=16, hidden=16))
    >>> geometry = network.geometry(torch.tensor(layout.standard(4).relations))     # once a batch
    >>> state, x = network.start(cells=16, rows=2), network.embed(*torch.zeros(2, 2, 16, dtype=torch.long))
    >>> state, logits = network(state, x, geometry, loops=8)
    >>> state.shape, logits.shape
    (torch.Size([16, 2, 4, 16]), torch.Size([2, 16, 4]))

With ``causal=True`` the same module is the left-to-right baseline: the pinned cells are a prefix, and an
open cell sees the prefix and the open cells before it.

Shapes: L cells, B rows, V tokens, D width, H hidden, G groups over all relations, R relations. Cells lead,
(L, B, V, D), because pooling over groups is then one matrix product for the whole batch.
"""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from solver.kernels import looped_c
from solver.models.blocks import OPEN, check_sizes


@dataclass(frozen=True)
class LoopedConfig:
    """Settings of a looped network. Raises ValueError naming the field if a value is impossible.

    vocab: tokens that a cell may hold, without the mask.
    width, hidden: sizes D and H.
    loops: maximum number of iterations of the block in one forward.
    start_noise: standard deviation of the noise in the first state.
    noise: content of unknown cells: no token (mask), random tokens (uniform), or both (hybrid, in training).
    causal: the left-to-right form.
    order: order of the open cells in the causal form: by index, or the most certain cell first.
    """

    vocab: int
    width: int = 32
    hidden: int = 64
    loops: int = 64
    start_noise: float = 0.2
    noise: Literal["mask", "uniform", "hybrid"] = "mask"
    causal: bool = False
    order: Literal["index", "easiest"] = "index"

    def __post_init__(self) -> None:
        check_sizes(self, "vocab", "width", "hidden", "loops")
        if self.order not in ("index", "easiest"):
            raise ValueError(f"order must be 'index' or 'easiest', not {self.order!r}")
        if self.noise not in ("mask", "uniform", "hybrid"):
            raise ValueError(f"noise must be 'mask', 'uniform' or 'hybrid', not {self.noise!r}")


class Geometry(NamedTuple):
    """Which cells exchange messages.

    gather: (G, L) or (B, G, L), sums messages into groups.
    spread: (L, G) or (B, L, G), the inverse direction.
    layout: the groups as the compiled path reads them.
    order: (B, L) in the causal form, else None.
    """

    gather: Tensor
    spread: Tensor
    layout: looped_c.GroupLayout
    order: Tensor | None


class LoopedNetwork(nn.Module):
    """The network. Parameters are fp32; run it under autocast, or convert a copy, for bf16."""

    def __init__(self, config: LoopedConfig) -> None:
        super().__init__()
        self.config = config
        width, hidden = config.width, config.hidden
        # open, then (the candidate's own token, another token) for pinned, known and noise
        self.status = nn.Embedding(7, width)
        self.first = nn.Parameter(torch.randn(width))
        self.message = nn.Linear(width, width)
        self.inner = nn.Linear(width, hidden)
        self.group = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, hidden, bias=False)
        )
        self.rival = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, hidden, bias=False)
        )
        self.outer = nn.Linear(hidden, width)
        nn.init.normal_(self.outer.weight, std=0.02)
        self.head = nn.Linear(width, 1)

    def geometry(self, relations: Tensor, order: Tensor | None = None) -> Geometry:
        """Pooling matrices for relation ids (R, L), -1 for none.

        The causal form needs the ``order`` (B, L) of the cells: 0 for the prefix, then 1, 2, ...; see
        :func:`reading_order`. Raises ValueError without it.
        """
        device, (_, cells) = relations.device, relations.shape
        layout = looped_c.GroupLayout.from_relations(relations.cpu(), self.config.vocab, self.config.causal)
        if not self.config.causal:
            members = [row == group for row in relations for group in sorted(set(row.tolist())) if group >= 0]
            gather = torch.stack(members).float() if members else torch.zeros(0, cells, device=device)
            return Geometry(gather, gather.t().contiguous(), layout, None)
        if order is None:
            raise ValueError("the causal form needs to know the order of the cells")
        # each cell has its own view of each of its groups: the members that come before it
        visible = visible_before(order)
        gathers = [((row[:, None] == row) & (row >= 0))[None] & visible for row in relations]
        gather = torch.cat([torch.zeros(len(order), 0, cells, device=device), *gathers], 1)
        views = [torch.diag((row >= 0).float()) for row in relations]
        spread = torch.cat([*views, torch.zeros(cells, 0, device=device)], 1).expand(len(order), -1, -1)
        return Geometry(gather, spread, layout, order)

    def start(self, cells: int, rows: int, generator: torch.Generator | None = None) -> Tensor:
        """The first state (L, B, V, D); with a ``generator``, noise of deviation ``start_noise`` is added."""
        shape = (cells, rows, self.config.vocab, self.config.width)
        state = self.first.expand(shape)
        if generator is not None and self.config.start_noise:
            noise = torch.randn(shape, generator=generator, device=state.device)
            state = state + self.config.start_noise * noise
        return F.rms_norm(state, shape[-1:])

    def embed(self, tokens: Tensor, status: Tensor) -> Tensor:
        """Input features (L, B, V, D) of ``tokens`` (B, L) with a ``status`` (B, L): OPEN, PINNED, KNOWN or
        NOISE."""
        is_own = tokens.t()[..., None] == torch.arange(self.config.vocab, device=tokens.device)
        kind = status.t()[..., None].expand(is_own.shape)
        x: Tensor = self.status(torch.where(kind == OPEN, 0, 2 * kind - is_own.long()))
        return x

    def forward(
        self,
        state: Tensor,
        x: Tensor,
        geometry: Geometry,
        loops: int,
        source: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Apply the block ``loops`` times: the new state (L, B, V, D) and fp32 logits (B, L, V).

        ``source`` replaces ``x`` in outgoing messages. The causal form needs it, since a cell's own token
        has to reach later cells but not its own prediction. Uses the compiled path, in fp32, where it
        supports network and device.
        """
        source = x if source is None else source
        if self.compiles(state.device) and (
            geometry.order is None or len(state) < 255
        ):  # the order fits a byte
            first, features, sent = (part.transpose(0, 1).float() for part in (state, x, source))
            order = geometry.order
            order = torch.zeros(first.shape[:2], dtype=torch.uint8) if order is None else order
            layout = replace(geometry.layout, tokens=state.shape[2])
            weights = self.parameters_in_order()
            state = looped_c.loops(layout, loops, order, first, features, sent, weights).transpose(0, 1)
            return state, self.logits(state)
        device = state.device.type
        autocast = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else self.inner.weight.dtype
        is_shared = source is x
        state, x = state.to(dtype), x.to(dtype)
        source = x if is_shared else source.to(dtype)
        geometry = geometry._replace(gather=geometry.gather.to(dtype), spread=geometry.spread.to(dtype))
        for _ in range(loops):
            state = self.block(state, x, source, geometry)
        return state, self.logits(state)

    def logits(self, state: Tensor) -> Tensor:
        """fp32 logits (B, L, V) of a state (L, B, V, D)."""
        logits: Tensor = self.head(state).float()
        return logits.squeeze(-1).transpose(0, 1)

    def compiles(self, device: torch.device) -> bool:
        """Whether :mod:`solver.kernels.looped_c` supports this network on ``device``."""
        fits = self.config.width % 16 == 0 and self.config.hidden % 16 == 0
        is_fp32 = self.inner.weight.dtype == torch.float32
        return fits and device.type == "cpu" and is_fp32 and looped_c.available()

    def parameters_in_order(self) -> list[Tensor | None]:
        """Weight and bias of every product, in the order of ``looped_c.KINDS``."""
        group, rival = self.group, self.rival
        layers = (self.message, self.inner, group[0], group[2], rival[0], rival[2], self.outer, self.head)
        return [getattr(layer, name) for layer in layers for name in ("weight", "bias")]

    def block(self, state: Tensor, x: Tensor, source: Tensor, geometry: Geometry) -> Tensor:
        """One iteration: send messages, pool them by group, update the state through a gate, normalise it."""
        width, features = self.config.width, state + x
        if source is x:  # one product for both: a fifth faster
            weight = torch.cat([self.message.weight, self.inner.weight])
            both = F.linear(features, weight, torch.cat([self.message.bias, self.inner.bias]))
            messages, inner = F.relu(both[..., :width]), both[..., width:]
        else:
            messages, inner = F.relu_(self.message(state + source)), self.inner(features)
        inner += pooled(geometry.spread, self.group(pooled(geometry.gather, messages)))
        # Tokens compete for their cell. A causal cell's message contains its own token, so there the state
        # alone counts.
        rivals = F.relu_(self.message(features)) if self.config.causal else messages
        inner += self.rival(rivals.sum(2, keepdim=True))
        return normalise(self.outer(F.relu(inner)).add_(state))

    def flops(self, layout: looped_c.GroupLayout, loops: int) -> int:
        """Floating-point operations of one row's forward: matrix products, and the additions of pooling."""
        relations, cells = layout.member.shape
        width, hidden, tokens = self.config.width, self.config.hidden, layout.tokens
        count = 2 * cells * tokens * (width * width * (2 if self.config.causal else 1) + 2 * width * hidden)
        count += 2 * layout.groups * tokens * (
            width * hidden + hidden * hidden
        ) + relations * cells * tokens * (width + hidden)
        count += 2 * cells * (width * hidden + hidden * hidden) + cells * tokens * (width + hidden)
        return loops * count + 2 * cells * tokens * width


def normalise(state: Tensor) -> Tensor:
    """Scale the last axis to unit mean square; in place, in two passes, where no gradient is recorded."""
    if torch.is_grad_enabled():
        return F.rms_norm(state, state.shape[-1:])
    norm = torch.linalg.vector_norm(state, dim=-1, keepdim=True, dtype=torch.float32).clamp_min_(1e-6)
    return torch.mul(state, state.shape[-1] ** 0.5 / norm, out=state)


def reading_order(pinned: Tensor) -> Tensor:
    """The order (B, L) in which open cells come by their index: 0 for ``pinned`` ones (B, L), then 1, 2,
    ..."""
    return torch.where(pinned, 0, 1 + torch.arange(pinned.shape[1], device=pinned.device))


def visible_before(order: Tensor) -> Tensor:
    """(B, L, L) bool, whether cell i sees cell j: cells of order 0 see each other, the others what came
    before."""
    i, j = order[:, :, None], order[:, None, :]
    return (j < i) | ((i == 0) & (j == 0))


def pooled(matrix: Tensor, cells: Tensor) -> Tensor:
    """``matrix`` (M, L) or (B, M, L) applied over the leading axis of ``cells`` (L, B, V, D)."""
    if matrix.dim() == 2:
        return (matrix @ cells.flatten(1)).view(-1, *cells.shape[1:])
    return torch.einsum("bml,lbvd->mbvd", matrix, cells)
