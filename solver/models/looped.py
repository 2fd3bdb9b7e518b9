"""The compact network: one weight-tied block, looped, that refines a state for every cell of a canvas.

One module for all tasks, shaped by its configuration. The state is either one vector a *cell*, or one vector a *candidate*
(cell, token): the second knows nothing of which token is which, so renaming the tokens renames the answer, and one set of
weights serves 4x4, 9x9, jigsaw and diagonal Sudoku. Mixers move information between cells: ``relations`` pools messages over
each group (row, column, box, ...), ``attention`` looks everywhere, ``window`` looks at neighbours. ``causal=True`` makes the
same module the left-to-right baseline: pinned cells are the prefix, an open cell sees the prefix and the open cells before it.

    net = LoopedNetwork(LoopedConfig(vocab=9, width=32))
    geometry = net.geometry(relations_RL)                       # once a batch
    state = net.start(cells=81, rows=B)
    state, logits = net(state, net.embed(tokens_BL, status_BL), geometry, loops=8)

Shapes (suffix letters): L cells, B rows, V tokens (1 in a cell state), D width, H hidden, G groups over all relations.
Cells lead, (L, B, V, D), because pooling over groups is then one matrix product for the whole batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from solver.kernels import looped_c as compiled
from solver.models.layers import OPEN

MIXERS = ("relations", "attention", "window")


@dataclass(frozen=True)
class LoopedConfig:
    """Sizes and choices of a compact network; checks itself, raising ValueError with the field's name.

    vocab: tokens a cell may hold, the mask not counted.  width, hidden: D and H.  loops: inner loops of one forward.
    state: what has a vector.  mixers: any of "relations", "attention", "window" (radius ``window``).  heads: of attention.
    positions: length of the learned position table, 0 for none.  feedback: self-conditioning on the last forward's
    probabilities.  start_noise: standard deviation of the noise in the first state.  noise: what stands in unknown cells.
    causal: the left-to-right form.  order: in which its open cells come: their own, or the surest cell first, taught by a solver
    by logic.
    """

    vocab: int
    width: int = 32
    hidden: int = 64
    loops: int = 64
    state: Literal["candidate", "cell"] = "candidate"
    mixers: tuple[str, ...] = ("relations",)
    heads: int = 4
    window: int = 8
    positions: int = 0
    feedback: bool = False
    start_noise: float = 0.2
    noise: Literal["mask", "uniform", "hybrid"] = "mask"
    causal: bool = False
    order: Literal["index", "easiest"] = "index"

    def __post_init__(self) -> None:
        for name in ("vocab", "width", "hidden", "loops", "heads"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive whole number, not {value!r}")
        if self.state not in ("candidate", "cell"):
            raise ValueError(f"state must be 'candidate' or 'cell', not {self.state!r}")
        if self.order not in ("index", "easiest"):
            raise ValueError(f"order must be 'index' or 'easiest', not {self.order!r}")
        if self.noise not in ("mask", "uniform", "hybrid"):
            raise ValueError(f"noise must be 'mask', 'uniform' or 'hybrid', not {self.noise!r}")
        if not self.mixers or set(self.mixers) - set(MIXERS):
            raise ValueError(f"mixers must be among {MIXERS}, not {self.mixers!r}")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")


class Geometry(NamedTuple):
    """Who hears whom. ``gather`` (G, L) or (B, G, L) sums messages into groups, ``spread`` is its way back; ``visible``
    (L, L) or (B, 1, L, L) is the attention mask, None for all; ``board`` and ``order`` (B, L) are for the compiled path."""

    gather: Tensor
    spread: Tensor
    visible: Tensor | None
    board: compiled.Board
    order: Tensor | None


class LoopedNetwork(nn.Module):
    """The network. Parameters are fp32; run it under autocast, or cast it, for bf16."""

    def __init__(self, config: LoopedConfig) -> None:
        super().__init__()
        self.config = c = config
        d, h = c.width, c.hidden
        per_candidate = c.state == "candidate"
        # candidate: open, then (this token, another token) for pinned, known, noise.  cell: what the cell holds.
        self.status = nn.Embedding(7 if per_candidate else 4, d)
        self.token = None if per_candidate else nn.Embedding(c.vocab + 1, d)
        self.position = nn.Embedding(c.positions, d) if c.positions else None
        self.feedback = nn.Linear(1 if per_candidate else c.vocab, d, bias=False) if c.feedback else None
        self.first = nn.Parameter(torch.randn(d))
        self.message = nn.Linear(d, d)
        self.inner = nn.Linear(d, h)
        if "relations" in c.mixers:
            self.group = nn.Sequential(nn.Linear(d, h), nn.ReLU(inplace=True), nn.Linear(h, h, bias=False))
        if per_candidate:
            self.rival = nn.Sequential(nn.Linear(d, h), nn.ReLU(inplace=True), nn.Linear(h, h, bias=False))
        if "attention" in c.mixers or "window" in c.mixers:
            self.query_key = nn.Linear(d, 2 * d)
            self.mixed = nn.Linear(d, h, bias=False)
        self.outer = nn.Linear(h, d)
        nn.init.normal_(self.outer.weight, std=0.02)
        self.head = nn.Linear(d, 1 if per_candidate else c.vocab)

    def geometry(self, relations: Tensor, order: Tensor | None = None) -> Geometry:
        """Pooling matrices and attention mask for relation ids (R, L), -1 for none. The causal form needs the ``order`` (B, L) of
        the cells: 0 for the prefix, then 1, 2, ..., as :func:`in_order` gives it for the cells' own."""
        c, (_, cells) = self.config, relations.shape
        board = compiled.Board.of(relations.cpu(), c.vocab, c.causal)
        device = relations.device
        where = torch.arange(cells, device=device)
        near = (where[:, None] - where[None, :]).abs() <= c.window
        look_near = "window" in c.mixers and "attention" not in c.mixers
        visible = near if look_near else None
        if not c.causal:
            rows = [
                relations[r] == g
                for r in range(len(relations))
                for g in sorted(set(relations[r].tolist()))
                if g >= 0
            ]
            gather = torch.stack(rows).float() if rows else torch.zeros(0, cells, device=device)
            return Geometry(gather, gather.t().contiguous(), visible, board, None)
        if order is None:
            raise ValueError("the causal form needs to know the order of the cells")
        seen = before(order)
        gathers = [((r[:, None] == r[None, :]) & (r >= 0)[None, :])[None] & seen for r in relations]
        gather = (
            torch.cat(gathers, 1).float() if gathers else torch.zeros(len(order), 0, cells, device=device)
        )
        own = [
            torch.diag((r >= 0).float()) for r in relations
        ]  # a cell hears its own view of each of its groups
        spread = torch.cat([*own, torch.zeros(cells, 0, device=device)], 1).expand(len(order), -1, -1)
        visible = seen & visible if visible is not None else seen
        return Geometry(gather, spread, visible[:, None], board, order)

    def start(self, cells: int, rows: int, generator: torch.Generator | None = None) -> Tensor:
        """The first state (L, B, V, D); with ``generator``, noise of standard deviation ``start_noise`` is added."""
        c = self.config
        shape = (cells, rows, c.vocab if c.state == "candidate" else 1, c.width)
        state = self.first.expand(shape)
        if generator is not None and c.start_noise:
            state = state + c.start_noise * torch.randn(shape, generator=generator, device=state.device)
        return F.rms_norm(state, (c.width,))

    def embed(self, tokens: Tensor, status: Tensor, probabilities: Tensor | None = None) -> Tensor:
        """Input features (L, B, V, D) from ``tokens`` (B, L), ``status`` (B, L) of OPEN, PINNED, KNOWN, NOISE, and the last
        forward's ``probabilities`` (B, L, V) where the network has feedback."""
        c = self.config
        token, kind = tokens.t(), status.t()
        if c.state == "candidate":
            this = token[..., None] == torch.arange(c.vocab, device=tokens.device)
            held = kind[..., None].expand(this.shape)
            x: Tensor = self.status(torch.where(held == OPEN, 0, 2 * held - this.long()))
        else:
            assert self.token is not None
            x = (self.status(kind) + self.token(torch.where(kind == OPEN, c.vocab, token)))[:, :, None]
        if self.position is not None:
            x = x + self.position.weight[: tokens.shape[1], None, None]
        if self.feedback is not None and probabilities is not None:
            p = probabilities.transpose(0, 1).to(x.dtype)
            x = x + self.feedback(p[..., None] if c.state == "candidate" else p[:, :, None])
        return x

    def forward(
        self, state: Tensor, x: Tensor, geometry: Geometry, loops: int, said: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """``loops`` rounds of the block: the new state (L, B, V, D) and fp32 logits (B, L, vocab).

        ``said`` replaces ``x`` in outgoing messages. The causal form needs it: a cell's own token must reach later cells
        but not its own prediction. Where there is a compiled path for this network and device it is taken, in fp32.
        """
        if self.compiles(state.device) and (
            geometry.order is None or len(state) < 255
        ):  # the order goes there as bytes
            first, heard, spoken = (
                t.transpose(0, 1).float() for t in (state, x, x if said is None else said)
            )
            order = (
                torch.zeros(first.shape[:2], dtype=torch.uint8) if geometry.order is None else geometry.order
            )
            board = replace(geometry.board, tokens=state.shape[2])
            state = compiled.loops(
                board, loops, order, first, heard, spoken, self.parameters_in_order()
            ).transpose(0, 1)
            return state, self.read_out(state)
        kind = state.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else self.inner.weight.dtype
        state, x = state.to(dtype), x.to(dtype)
        geometry = geometry._replace(gather=geometry.gather.to(dtype), spread=geometry.spread.to(dtype))
        said = x if said is None else said.to(dtype)
        for _ in range(loops):
            state = self.block(state, x, said, geometry)
        return state, self.read_out(state)

    def read_out(self, state: Tensor) -> Tensor:
        """fp32 logits (B, L, vocab) of a state (L, B, V, D)."""
        logits: Tensor = self.head(state).float()
        return (logits.squeeze(-1) if self.config.state == "candidate" else logits[:, :, 0]).transpose(0, 1)

    def compiles(self, device: torch.device) -> bool:
        """Whether :mod:`solver.kernels.looped_c` can stand in for :meth:`block`."""
        c = self.config
        fits = (
            c.state == "candidate" and c.mixers == ("relations",) and c.width % 16 == 0 and c.hidden % 16 == 0
        )
        return (
            fits
            and device.type == "cpu"
            and self.inner.weight.dtype == torch.float32
            and compiled.available()
        )

    def parameters_in_order(self) -> list[Tensor | None]:
        """Weight and bias of every product, in the order of ``compiled.KINDS``."""
        groups, rivals = self.group, self.rival
        layers = (self.message, self.inner, groups[0], groups[2], rivals[0], rivals[2], self.outer, self.head)
        return [getattr(layer, name) for layer in layers for name in ("weight", "bias")]

    def block(self, state: Tensor, x: Tensor, said: Tensor, geometry: Geometry) -> Tensor:
        """One inner loop: messages out, pooled, back in, gated into the state, state normalised."""
        c = self.config
        heard = state + x
        if said is x:  # one product for both: a fifth faster
            both = F.linear(heard, *self.fused())
            sent, inner = F.relu(both[..., : c.width]), both[..., c.width :]
        else:
            sent, inner = F.relu_(self.message(state + said)), self.inner(heard)
        if "relations" in c.mixers:
            inner += spread(geometry.spread, self.group(spread(geometry.gather, sent)))
        if c.state == "candidate":
            # tokens compete for their cell; a causal cell's message holds its own token, so there the state alone is pooled
            rival = sent if not c.causal else F.relu_(self.message(heard))
            inner += self.rival(rival.sum(2, keepdim=True))
        if "attention" in c.mixers or "window" in c.mixers:
            query, key = self.query_key(heard).chunk(2, -1)
            if c.causal:
                key = self.query_key(state + said).chunk(2, -1)[1]
            inner += self.mixed(attend(query, key, sent, c.heads, geometry.visible))
        return normalise(self.outer(F.relu(inner)).add_(state))

    def fused(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of ``message`` and ``inner`` as one linear map."""
        return torch.cat([self.message.weight, self.inner.weight]), torch.cat(
            [self.message.bias, self.inner.bias]
        )

    def flops(self, board: compiled.Board, loops: int) -> int:
        """Floating-point operations of one row's forward: matrix products, and the additions that pooling needs."""
        c = self.config
        relations, cells = board.member.shape
        d, h, v = c.width, c.hidden, board.tokens if c.state == "candidate" else 1
        a_loop = 2 * cells * v * (d * d * (2 if c.causal else 1) + 2 * d * h)
        if "relations" in c.mixers:
            a_loop += 2 * board.groups * v * (d * h + h * h) + relations * cells * v * (d + h)
        if c.state == "candidate":
            a_loop += 2 * cells * (d * h + h * h) + cells * v * (d + h)
        if "attention" in c.mixers or "window" in c.mixers:
            a_loop += 2 * cells * v * (2 * d * d + d * h + 2 * cells * d)
        return loops * a_loop + 2 * cells * v * d * (1 if c.state == "candidate" else c.vocab)


def normalise(state: Tensor) -> Tensor:
    """Unit mean square along the last axis. Without gradients in two passes, in place: torch's own takes five."""
    if torch.is_grad_enabled():
        return F.rms_norm(state, state.shape[-1:])
    norm = torch.linalg.vector_norm(state, dim=-1, keepdim=True, dtype=torch.float32).clamp_min_(1e-6)
    return torch.mul(state, state.shape[-1] ** 0.5 / norm, out=state)


def in_order(pinned: Tensor) -> Tensor:
    """The order (B, L) of a canvas whose open cells come in their own: 0 for pinned ones (B, L)."""
    return torch.where(pinned, 0, 1 + torch.arange(pinned.shape[1], device=pinned.device))


def before(order: Tensor) -> Tensor:
    """(B, L, L) bool: cell i may see cell j. Cells of order 0 are a prefix that sees itself; the others follow."""
    i, j = order[:, :, None], order[:, None, :]
    return (j < i) | ((i == 0) & (j == 0))


def spread(matrix: Tensor, cells: Tensor) -> Tensor:
    """``matrix`` (M, L) or (B, M, L) applied over the leading axis of (L, B, V, D)."""
    if matrix.dim() == 2:
        return (matrix @ cells.flatten(1)).view(-1, *cells.shape[1:])
    return torch.einsum("bml,lbvd->mbvd", matrix, cells)


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int, visible: Tensor | None) -> Tensor:
    """Scaled dot-product attention over the leading axis of (L, B, V, D); a cell that may see nothing hears zero."""
    cells, rows, width, d = query.shape
    if visible is not None and visible.dim() == 4 and width > 1:
        visible = visible.repeat_interleave(width, 0)
    blind = None if visible is None else ~visible.any(-1, keepdim=True)

    def split(x: Tensor) -> Tensor:
        return x.reshape(cells, rows * width, heads, d // heads).permute(1, 2, 0, 3)

    mask = None if visible is None or blind is None else visible | blind
    out = F.scaled_dot_product_attention(split(query), split(key), split(value), attn_mask=mask)
    if blind is not None:
        out = out.masked_fill(blind, 0.0)
    return out.permute(2, 0, 1, 3).reshape(cells, rows, width, d)
