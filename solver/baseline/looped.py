"""The causal compact network, one cell at a time.

What each known cell says at each loop is kept, so that a token costs one cell's loops.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from solver.kernels import looped_c as compiled
from solver.models.layers import OPEN, PINNED
from solver.models.looped import LoopedNetwork
from solver.tasks.canvas import Canvas


@dataclass(eq=False)
class Slots:
    """First states (S, V, D), tokens, pinned cells and the order in which the others became known (S, L), relation ids, and the
    cache where there is a compiled path."""

    first: Tensor
    tokens: Tensor
    pinned: Tensor
    order: Tensor
    relations: Tensor
    cache: compiled.PrefixCache | None


class LoopedDecoder:
    """A :class:`~solver.baseline.decode.Decoder` over a causal :class:`LoopedNetwork`.

    In the cells' own order a token costs one cell's loops. In easiest-first order every open cell is asked, as if it were next,
    and the surest is taken: it costs as many cells' loops as are open.
    """

    def __init__(self, network: LoopedNetwork, name: str = "ar", loops: int | None = None) -> None:
        if not network.config.causal:
            raise ValueError("this network is a denoiser: it was not trained left to right")
        self.network, self.name = network, name
        self.loops = loops or network.config.loops

    @torch.inference_mode()
    def allocate(self, slots: int, like: Canvas) -> Slots:
        c, relations = self.network.config, torch.from_numpy(like.groups.copy())
        cache = None
        if self.network.compiles(torch.device("cpu")):
            packed = compiled.Network(self.network.parameters_in_order())
            cache = compiled.PrefixCache(
                packed,
                compiled.GroupLayout.from_relations(relations, like.vocab, causal=True),
                slots,
                self.loops,
            )
        shape = (slots, like.cells)
        first = torch.zeros(slots, like.vocab, c.width)
        tokens, order = torch.zeros(2, *shape, dtype=torch.long)
        return Slots(first, tokens, torch.zeros(shape, dtype=torch.bool), order, relations, cache)

    def input(self, tokens: Tensor, status: int) -> Tensor:
        """What a cell with one of ``tokens`` (N,) is fed, (N, V, D)."""
        return self.network.embed(tokens[None], torch.full_like(tokens[None], status)).transpose(0, 1)[0]

    @torch.inference_mode()
    def begin(self, state: Slots, slot: int, canvas: Canvas, seed: int) -> int:
        state.first[slot] = self.network.start(1, 1, torch.Generator().manual_seed(seed))[0, 0]
        state.tokens[slot] = torch.tensor(canvas.tokens)
        state.pinned[slot], state.order[slot] = torch.tensor(canvas.pinned), 0
        given = state.pinned[slot].nonzero()[:, 0]
        if state.cache is not None:
            state.cache.begin(slot, given, self.input(state.tokens[slot, given], PINNED), state.first[slot])
        board = compiled.GroupLayout.from_relations(state.relations[:, given], canvas.vocab, causal=True)
        return self.network.flops(board, self.loops)

    @torch.inference_mode()
    def next(self, state: Slots, slots: Tensor, known: Tensor) -> tuple[Tensor, Tensor, list[int]]:
        rows = torch.arange(len(slots))
        asked, cells = rows, (~known).float().argmax(1)
        if self.network.config.order == "easiest":
            asked, cells = (~known).nonzero().unbind(1)
        if state.cache is None:
            logits = self.from_scratch(state, slots, known)[asked, cells]
        else:  # rows of one seed share their first state
            blank = self.input(torch.zeros(1, dtype=torch.long), OPEN)
            logits = state.cache.next(slots[asked], cells, known[asked], blank, state.first[slots[0]])
        alone = self.network.flops(
            compiled.GroupLayout.from_relations(state.relations[:, :1], logits.shape[-1], causal=True),
            self.loops,
        )
        flops = [alone * int(count) for count in torch.bincount(asked, minlength=len(slots))]
        if self.network.config.order == "easiest":
            sure = torch.full(known.shape, -1.0).index_put((asked, cells), logits.softmax(-1).amax(-1))
            at = torch.full(known.shape, -1).index_put((asked, cells), torch.arange(len(cells)))
            cells = sure.argmax(1)
            logits = logits[at[rows, cells]]
        return cells, logits, flops

    @torch.inference_mode()
    def say(self, state: Slots, slots: Tensor, cells: Tensor, tokens: Tensor, places: Tensor) -> None:
        state.tokens[slots, cells] = tokens
        state.order[slots, cells] = places - state.pinned[slots].sum(1) + 1
        if state.cache is not None:
            state.cache.write(slots, cells, self.input(tokens, PINNED))

    @torch.inference_mode()
    def from_scratch(self, state: Slots, slots: Tensor, known: Tensor) -> Tensor:
        """Logits (N, L, V) of every cell, right for those that are not known, each as if it were next: the specification of the
        cached path."""
        pinned, tokens = state.pinned[slots], state.tokens[slots]
        geometry = self.network.geometry(
            state.relations, torch.where(known, state.order[slots], known.shape[1] + 1)
        )
        x = self.network.embed(tokens, torch.where(pinned, PINNED, OPEN))
        said = self.network.embed(tokens, torch.full_like(tokens, PINNED))
        first = state.first[slots].expand(tokens.shape[1], -1, -1, -1)
        logits: Tensor = self.network(first, x, geometry, self.loops, said)[1]
        return logits
