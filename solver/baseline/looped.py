"""The causal looped network as a decoder: one cell at a time, with the messages of known cells kept.

    >>> from solver.models.looped import LoopedConfig
    >>> LoopedDecoder(LoopedNetwork(LoopedConfig(vocab=4, causal=True)), loops=8).loops
    8

Shapes: S slots, N rows of a call, L cells, V tokens, D width, R relations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from solver.kernels import looped_c
from solver.models.layers import OPEN, PINNED
from solver.models.looped import LoopedNetwork
from solver.tasks.canvas import Canvas


@dataclass(eq=False)
class LoopedSlots:
    """The state of a :class:`LoopedDecoder`.

    canvases: the problems.
    first: (S, V, D), the first state of any cell.
    tokens, pinned: (S, L).
    order: (S, L), in which cells that are not pinned became known.
    relations: (R, L), group ids.
    cache: where the compiled path is available.
    """

    canvases: Sequence[Canvas]
    first: Tensor
    tokens: Tensor
    pinned: Tensor
    order: Tensor
    relations: Tensor
    cache: looped_c.PrefixCache | None


class LoopedDecoder:
    """A :class:`~solver.baseline.decode.Decoder` over a causal :class:`LoopedNetwork`.

    In index order a token costs the loops of one cell. In easiest-first order every open cell is evaluated as if it were
    next, and the most certain one is taken, so a token costs the loops of all open cells.

    Raises ValueError where the network is not causal.
    """

    def __init__(self, network: LoopedNetwork, name: str = "ar", loops: int | None = None) -> None:
        if not network.config.causal:
            raise ValueError("this network is a denoiser: it was not trained left to right")
        self.network, self.name = network, name
        self.loops = loops or network.config.loops

    @torch.inference_mode()
    def allocate(self, slots: int, problems: Sequence[Canvas]) -> LoopedSlots:
        like, cache = problems[0], None
        relations = torch.from_numpy(like.groups.copy())
        if self.network.compiles(torch.device("cpu")):
            packed = looped_c.Network(self.network.parameters_in_order())
            board = looped_c.GroupLayout.from_relations(relations, like.vocab, causal=True)
            cache = looped_c.PrefixCache(packed, board, slots, self.loops)
        first = torch.zeros(slots, like.vocab, self.network.config.width)
        tokens, order = torch.zeros(2, slots, like.cells, dtype=torch.long)
        return LoopedSlots(
            problems, first, tokens, torch.zeros_like(tokens, dtype=torch.bool), order, relations, cache
        )

    def features(self, tokens: Tensor, status: int) -> Tensor:
        """Input features (N, V, D) of cells with ``tokens`` (N,)."""
        return self.network.embed(tokens[None], torch.full_like(tokens[None], status)).transpose(0, 1)[0]

    def cost(self, relations: Tensor, tokens: int) -> int:
        """FLOPs of one forward of the cells that ``relations`` (R, N) has."""
        return self.network.flops(
            looped_c.GroupLayout.from_relations(relations, tokens, causal=True), self.loops
        )

    @torch.inference_mode()
    def begin(self, state: LoopedSlots, slot: int, number: int, seed: int) -> int:
        canvas = state.canvases[number]
        state.first[slot] = self.network.start(1, 1, torch.Generator().manual_seed(seed))[0, 0]
        state.tokens[slot] = torch.tensor(canvas.tokens)
        state.pinned[slot], state.order[slot] = torch.tensor(canvas.pinned), 0
        given = state.pinned[slot].nonzero()[:, 0]
        if state.cache is not None:
            features = self.features(state.tokens[slot, given], PINNED)
            state.cache.begin(slot, given, features, state.first[slot])
        return self.cost(state.relations[:, given], canvas.vocab)

    @torch.inference_mode()
    def next(self, state: LoopedSlots, slots: Tensor, known: Tensor) -> tuple[Tensor, Tensor, list[int]]:
        rows = torch.arange(len(slots))
        is_easiest_first = self.network.config.order == "easiest"
        # (asked, cells): the row and the cell of each evaluation
        asked, cells = (
            (~known).nonzero().unbind(1) if is_easiest_first else (rows, (~known).float().argmax(1))
        )
        if state.cache is None:
            logits = self.from_scratch(state, slots, known)[asked, cells]
        else:
            open_cell = self.features(torch.zeros(1, dtype=torch.long), OPEN)
            first = state.first[slots[0]]  # rows of one seed share their first state
            logits = state.cache.next(slots[asked], cells, known[asked], open_cell, first)
        single = self.cost(state.relations[:, :1], logits.shape[-1])
        flops = [single * int(count) for count in torch.bincount(asked, minlength=len(slots))]
        if is_easiest_first:
            certainty = torch.full(known.shape, -1.0).index_put((asked, cells), logits.softmax(-1).amax(-1))
            index = torch.full(known.shape, -1).index_put((asked, cells), torch.arange(len(cells)))
            cells = certainty.argmax(1)
            logits = logits[index[rows, cells]]
        return cells, logits, flops

    @torch.inference_mode()
    def put(self, state: LoopedSlots, slots: Tensor, cells: Tensor, tokens: Tensor, places: Tensor) -> None:
        state.tokens[slots, cells] = tokens
        state.order[slots, cells] = places - state.pinned[slots].sum(1) + 1
        if state.cache is not None:
            state.cache.write(slots, cells, self.features(tokens, PINNED))

    @torch.inference_mode()
    def from_scratch(self, state: LoopedSlots, slots: Tensor, known: Tensor) -> Tensor:
        """Logits (N, L, V) of the cells that are not ``known`` (N, L), each as if it were next, without the cache.

        The specification of the cached path. Logits of known cells mean nothing.
        """
        tokens, unknown = state.tokens[slots], known.shape[1] + 1
        geometry = self.network.geometry(state.relations, torch.where(known, state.order[slots], unknown))
        x = self.network.embed(tokens, torch.where(state.pinned[slots], PINNED, OPEN))
        source = self.network.embed(tokens, torch.full_like(tokens, PINNED))
        first = state.first[slots].expand(tokens.shape[1], -1, -1, -1)
        logits: Tensor = self.network(first, x, geometry, self.loops, source)[1]
        return logits
