"""The looped network as a denoiser: hidden states are carried between forwards, and converged rows end early.

    >>> from solver.models.looped import LoopedConfig
    >>> LoopedDenoiser(LoopedNetwork(LoopedConfig(vocab=9)), loops=32).loops
    32

Uses the compiled block where it is available, else torch, in bf16 on CPUs that multiply it in hardware. A
forward is at most ``loops`` iterations. A row ends early when its best tokens have not changed for four
iterations and every open cell has at least the probability ``confident``; the iterations are counted. The
task's rules are not used.

Shapes: B rows, L cells, V tokens, D width.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor

from solver.kernels import looped_c
from solver.loop.policy import Policy
from solver.models.blocks import KNOWN, NOISE, OPEN, PINNED, converted, fast_bf16
from solver.models.looped import Geometry, LoopedNetwork
from solver.models.protocol import uniform_noise
from solver.tasks.task import Canvas, Mask, Tokens

CHUNK = 4  # iterations between two tests for convergence
ROWS = 16  # rows that are iterated together: their states fit the cache


@dataclass(frozen=True)
class LoopedState:
    """Groups shared by the batch, pinned cells (B, L), and a seed per row."""

    geometry: Geometry
    pinned: Tensor
    seeds: tuple[int, ...]

    def select(self, rows: Sequence[int]) -> Self:
        return replace(self, pinned=self.pinned[list(rows)], seeds=tuple(self.seeds[row] for row in rows))


@dataclass(frozen=True)
class LoopedAux:
    """Hidden state (L, B, V, D), the one (D,) that re-masked cells get, and each row's last iterations."""

    hidden: Tensor
    first: Tensor
    loops: tuple[int, ...]

    def select(self, rows: Sequence[int]) -> Self:
        return replace(self, hidden=self.hidden[:, list(rows)], loops=tuple(self.loops[row] for row in rows))

    def reset(self, cells: Mask) -> Self:
        if not cells.any():
            return self
        is_reset = torch.from_numpy(np.ascontiguousarray(cells.T))[..., None, None]
        return replace(self, hidden=torch.where(is_reset, self.first, self.hidden))

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        loops = tuple(count for part in parts for count in part.loops)
        return replace(parts[0], hidden=torch.cat([part.hidden for part in parts], 1), loops=loops)


class LoopedDenoiser:
    """A :class:`~solver.models.protocol.Denoiser` over a :class:`LoopedNetwork`, which stays unchanged.

    network: a network that is not causal.
    loops: iterations of a forward, at most; the network's own number where None.
    confident: probability that every open cell needs before its row leaves early.
    """

    policy = Policy()
    uses_slots = False

    def __init__(
        self,
        network: LoopedNetwork,
        name: str = "compact",
        loops: int | None = None,
        confident: float = 0.9,
    ) -> None:
        self.name, self.vocab = name, network.config.vocab
        self.kind: Literal["mask", "uniform"] = "uniform" if network.config.noise == "uniform" else "mask"
        self.loops = loops or network.config.loops
        self.confident = confident
        self.packed = None
        if network.compiles(torch.device("cpu")):
            self.packed = looped_c.Network(network.parameters_in_order())
        self.dtype = torch.bfloat16 if fast_bf16() and self.packed is None else torch.float32
        self.network = converted(network, self.dtype)

    def prefill(self, canvases: Sequence[Canvas], seeds: Sequence[int]) -> LoopedState:
        groups = canvases[0].groups
        if any(
            canvas.groups is not groups and not np.array_equal(canvas.groups, groups) for canvas in canvases
        ):
            raise ValueError("the canvases of a batch must share their relations")
        geometry = self.network.geometry(torch.from_numpy(groups.copy()))
        pinned = torch.from_numpy(np.stack([canvas.pinned for canvas in canvases]))
        return LoopedState(geometry, pinned, tuple(seeds))

    def start(self, state: LoopedState) -> LoopedAux:
        """First states, with each row's noise drawn from its own seed."""
        cells = state.pinned.shape[1]
        drawn: dict[int, Tensor] = {}
        for seed in set(state.seeds):
            drawn[seed] = self.network.start(cells, 1, torch.Generator().manual_seed(seed)).to(self.dtype)
        hidden = torch.cat([drawn[seed] for seed in state.seeds], 1)
        return LoopedAux(hidden, self.network.first.detach(), (0,) * len(state.seeds))

    @torch.inference_mode()
    def denoise(
        self, state: LoopedState, tokens: Tensor, known: Tensor, settled: Tensor, aux: LoopedAux
    ) -> tuple[Tensor, LoopedAux]:
        unknown = NOISE if self.kind == "uniform" else OPEN
        status = torch.where(settled, PINNED, torch.where(known, KNOWN, unknown))
        x = self.network.embed(tokens, status).to(self.dtype)
        iterate = self.iterate_in_parts if self.packed is None else self.iterate_compiled
        hidden, logits, taken = iterate(state, x, settled, aux)
        return logits, replace(aux, hidden=hidden, loops=tuple(taken.tolist()))

    def iterate_compiled(
        self, state: LoopedState, x: Tensor, settled: Tensor, aux: LoopedAux
    ) -> tuple[Tensor, Tensor, Tensor]:
        assert self.packed is not None
        layout = replace(state.geometry.layout, tokens=aux.hidden.shape[2])
        rows, carried = x.transpose(0, 1), aux.hidden.transpose(0, 1)
        limits = self.loops, CHUNK, self.confident
        result = looped_c.settle(self.packed, layout, settled, settled, rows, rows, carried, *limits)
        return result[0].transpose(0, 1), *result[1:]

    def iterate_in_parts(
        self, state: LoopedState, x: Tensor, settled: Tensor, aux: LoopedAux
    ) -> tuple[Tensor, Tensor, Tensor]:
        """:meth:`iterate`, a few rows at a time."""

        def part(start: int) -> tuple[Tensor, Tensor, Tensor]:
            rows = slice(start, start + ROWS)
            return self.iterate(aux.hidden[:, rows], x[:, rows], settled[rows], state.geometry)

        starts, threads = range(0, len(settled), ROWS), torch.get_num_threads()
        if min(threads, len(starts)) > 1:
            # One thread per part scales; several threads on one small product do not. The number that a
            # worker sets is also the default of later threads, so it is put back.
            workers = min(threads, len(starts))
            try:
                with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                    parts = list(pool.map(part, starts))
            finally:
                torch.set_num_threads(threads)
        else:
            parts = [part(start) for start in starts]
        hidden, logits, taken = zip(*parts, strict=True)
        return torch.cat(hidden, 1), torch.cat(logits), torch.cat(taken)

    @torch.inference_mode()
    def iterate(
        self, hidden: Tensor, x: Tensor, settled: Tensor, geometry: Geometry
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Loop until every row has converged: last state (L, B, V, D), logits (B, L, V) and iterations
        (B,)."""
        cells, rows, tokens, _ = hidden.shape
        final_hidden, final_logits = torch.empty_like(hidden), torch.empty(rows, cells, tokens)
        taken = torch.zeros(rows, dtype=torch.long)
        active, previous = torch.arange(rows), torch.full(settled.shape, -1)
        for count in range(CHUNK, self.loops + CHUNK, CHUNK):
            hidden, logits = self.network(hidden, x, geometry, CHUNK)
            top, best = logits.softmax(-1).max(-1)
            is_confident = ((top >= self.confident) | settled[active]).all(1)
            leave = (best == previous).all(1) & is_confident | (count >= self.loops)
            if leave.any():
                rows_left = active[leave]
                final_hidden[:, rows_left], final_logits[rows_left] = hidden[:, leave], logits[leave]
                taken[rows_left] = count
                if leave.all():
                    break
                active, hidden, x, best = active[~leave], hidden[:, ~leave], x[:, ~leave], best[~leave]
            previous = best
        return final_hidden, final_logits, taken

    def cost(self, state: LoopedState, aux: LoopedAux) -> tuple[list[int], list[int]]:
        layout = replace(state.geometry.layout, tokens=aux.hidden.shape[2])
        return list(aux.loops), [self.network.flops(layout, loops) for loops in aux.loops]

    def noise(self, where: Mask, vocab: int, rng: np.random.Generator) -> Tokens:
        if self.kind == "mask":
            return np.zeros(len(where), np.int64)
        return uniform_noise(where, vocab, rng)
