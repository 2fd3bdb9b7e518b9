"""The compact network as a denoiser: carried state, early leave; compiled where that is built, else torch, in bf16 where the CPU
has it.

A forward is at most ``loops`` inner loops. A row leaves early when its best tokens have stood for four loops and every open
cell is at least ``settled`` sure; the loops it took are counted. No rule of any task is consulted for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor

from solver.kernels import looped_c as compiled
from solver.loop.policy import Policy
from solver.models.layers import KNOWN, NOISE, OPEN, PINNED, fast_bf16
from solver.models.looped import Geometry, LoopedNetwork
from solver.tasks.canvas import Canvas, Mask, Tokens

CHUNK = 4  # inner loops between two looks at whether a row has settled
ROWS = 16  # rows that go through the loops together: their states fit the cache


@dataclass(frozen=True)
class LoopedState:
    """Relations shared by the batch, pinned cells (B, L), and a seed a row."""

    geometry: Geometry
    pinned: Tensor
    seeds: tuple[int, ...]

    def select(self, rows: Sequence[int]) -> Self:
        return replace(self, pinned=self.pinned[list(rows)], seeds=tuple(self.seeds[r] for r in rows))


@dataclass(frozen=True)
class LoopedAux:
    """Hidden state (L, B, V, D), the first state to fall back on, and the loops each row's last forward took."""

    hidden: Tensor
    first: Tensor
    loops: tuple[int, ...]

    def select(self, rows: Sequence[int]) -> Self:
        return replace(self, hidden=self.hidden[:, list(rows)], loops=tuple(self.loops[r] for r in rows))

    def reset(self, cells: Mask) -> Self:
        if not cells.any():
            return self
        gone = torch.from_numpy(np.ascontiguousarray(cells.T))[..., None, None]
        return replace(self, hidden=torch.where(gone, self.first, self.hidden))

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        loops = tuple(n for part in parts for n in part.loops)
        return replace(parts[0], hidden=torch.cat([part.hidden for part in parts], 1), loops=loops)


class LoopedDenoiser:
    """A :class:`~solver.models.protocol.Denoiser` over a :class:`LoopedNetwork` network."""

    policy = Policy()

    def __init__(
        self, network: LoopedNetwork, name: str = "compact", loops: int | None = None, settled: float = 0.9
    ) -> None:
        self.network, self.name = network, name
        self.vocab = network.config.vocab
        self.kind: Literal["mask", "uniform"] = "uniform" if network.config.noise == "uniform" else "mask"
        self.loops = loops or network.config.loops
        self.settled = settled
        self.compiled = (
            compiled.Network(network.parameters_in_order()) if network.compiles(torch.device("cpu")) else None
        )
        self.dtype = torch.bfloat16 if fast_bf16() and self.compiled is None else torch.float32
        torch.set_float32_matmul_precision("medium")
        self.network.to(self.dtype)

    def prefill(self, canvases: Sequence[Canvas], seeds: Sequence[int]) -> LoopedState:
        first = canvases[0]
        if any(c.groups is not first.groups and not np.array_equal(c.groups, first.groups) for c in canvases):
            raise ValueError("the canvases of a batch must share their relations")
        if self.network.config.state == "cell" and first.vocab != self.vocab:
            raise ValueError(f"the network knows {self.vocab} tokens, the canvas {first.vocab}")
        geometry = self.network.geometry(torch.from_numpy(first.groups.copy()))
        pinned = torch.from_numpy(np.stack([c.pinned for c in canvases]))
        cast = geometry._replace(gather=geometry.gather.to(self.dtype), spread=geometry.spread.to(self.dtype))
        return LoopedState(cast, pinned, tuple(seeds))

    def start(self, state: LoopedState) -> LoopedAux:
        """First states, each row's noise drawn from its own seed."""
        cells = state.pinned.shape[1]
        drawn: dict[int, Tensor] = {}
        for seed in state.seeds:
            if seed not in drawn:
                drawn[seed] = self.network.start(cells, 1, torch.Generator().manual_seed(seed)).to(self.dtype)
        hidden = torch.cat([drawn[seed] for seed in state.seeds], 1)
        return LoopedAux(hidden, self.network.first.detach(), (0,) * len(state.seeds))

    @torch.inference_mode()
    def denoise(
        self, state: LoopedState, tokens: Tensor, known: Tensor, settled: Tensor, aux: LoopedAux
    ) -> tuple[Tensor, LoopedAux]:
        status = torch.where(
            settled, PINNED, torch.where(known, KNOWN, NOISE if self.kind == "uniform" else OPEN)
        )
        x = self.network.embed(tokens, status).to(self.dtype)
        hidden, logits, taken = (self.settle_in_parts if self.compiled is None else self.settle_compiled)(
            state, x, settled, aux
        )
        return logits, replace(aux, hidden=hidden, loops=tuple(taken.tolist()))

    def settle_compiled(
        self, state: LoopedState, x: Tensor, settled: Tensor, aux: LoopedAux
    ) -> tuple[Tensor, Tensor, Tensor]:
        """:meth:`settle` in C."""
        assert self.compiled is not None
        board = replace(state.geometry.board, tokens=aux.hidden.shape[2])
        rows, carried, limits = (
            x.transpose(0, 1),
            aux.hidden.transpose(0, 1),
            (self.loops, CHUNK, self.settled),
        )
        hidden, logits, taken = compiled.settle(
            self.compiled, board, settled, settled, rows, rows, carried, *limits
        )
        return hidden.transpose(0, 1), logits, taken

    def settle_in_parts(
        self, state: LoopedState, x: Tensor, settled: Tensor, aux: LoopedAux
    ) -> tuple[Tensor, Tensor, Tensor]:
        """:meth:`settle`, a few rows at a time."""

        def part(at: int) -> tuple[Tensor, Tensor, Tensor]:
            rows = slice(at, at + ROWS)
            return self.settle(aux.hidden[:, rows], x[:, rows], settled[rows], state.geometry)

        starts = range(0, len(settled), ROWS)
        threads = min(torch.get_num_threads(), len(starts))
        if threads > 1:  # a thread a part scales where several threads on one small product do not
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                parts = list(pool.map(part, starts))
        else:
            parts = [part(at) for at in starts]
        hidden, logits, taken = zip(*parts, strict=True)
        return torch.cat(hidden, 1), torch.cat(logits), torch.cat(taken)

    @torch.inference_mode()
    def settle(
        self, hidden: Tensor, x: Tensor, settled: Tensor, geometry: Geometry
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Loop until every row has settled: the last state (L, B, V, D), logits (B, L, V) and loops (B,) of each."""
        cells, rows = hidden.shape[:2]
        final_hidden, final_logits = (
            torch.empty_like(hidden),
            torch.empty(rows, cells, self.tokens_of(hidden)),
        )
        taken = torch.zeros(rows, dtype=torch.long)
        active, before = torch.arange(rows), torch.full(settled.shape, -1)
        for done in range(CHUNK, self.loops + CHUNK, CHUNK):
            hidden, logits = self.network(hidden, x, geometry, CHUNK)
            top, best = logits.softmax(-1).max(-1)
            leave = (best == before).all(1) & ((top >= self.settled) | settled[active]).all(1)
            if done >= self.loops:
                leave[:] = True
            if leave.any():
                gone = active[leave]
                final_hidden[:, gone], final_logits[gone], taken[gone] = hidden[:, leave], logits[leave], done
                if leave.all():
                    break
                active, hidden, x, best = active[~leave], hidden[:, ~leave], x[:, ~leave], best[~leave]
            before = best
        return final_hidden, final_logits, taken

    def tokens_of(self, hidden: Tensor) -> int:
        """V: the candidates of this canvas, or the vocabulary in a cell state."""
        return hidden.shape[2] if self.network.config.state == "candidate" else self.vocab

    def cost(self, state: LoopedState, aux: LoopedAux) -> tuple[list[int], list[int]]:
        board = replace(state.geometry.board, tokens=aux.hidden.shape[2])
        return list(aux.loops), [self.network.flops(board, loops) for loops in aux.loops]

    def noise(self, where: Mask, vocab: int, rng: np.random.Generator) -> Tokens:
        if self.kind == "mask":
            return np.zeros(len(where), np.int64)
        return rng.integers(0, vocab, len(where))
