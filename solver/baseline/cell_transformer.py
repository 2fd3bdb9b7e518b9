"""The cell transformer as a decoder: one (cell, token) pair at a time, with keys and values kept.

    >>> from solver.models.cell_transformer import CellTransformerConfig
    >>> CellDecoder(CellTransformer(CellTransformerConfig(width=16, layers=1))).name
    'ar-plain'

Shapes: S slots, N rows of a call, T pairs, L cells, V tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from solver.models.cell_transformer import CellTransformer
from solver.models.context import KVCache
from solver.tasks.canvas import Canvas


@dataclass(eq=False)
class CellSlots:
    """The problems, their keys and values, and the pairs so far: cells and tokens (S, L)."""

    canvases: Sequence[Canvas]
    cache: KVCache
    cells: Tensor
    tokens: Tensor


class CellDecoder:
    """A :class:`~solver.baseline.decode.Decoder` over a :class:`CellTransformer`."""

    def __init__(self, network: CellTransformer, name: str = "ar-plain") -> None:
        self.network, self.name = network, name

    def allocate(self, slots: int, problems: Sequence[Canvas]) -> CellSlots:
        """As of the protocol. Raises ValueError where the canvases are of another size than the network's."""
        cells, vocab = self.network.config.cells, self.network.config.vocab
        sizes = problems[0].cells, problems[0].vocab
        if sizes != (cells, vocab):
            raise ValueError(
                f"the network is for {cells} cells of {vocab} tokens, not {sizes[0]} of {sizes[1]}"
            )
        return CellSlots(problems, KVCache(slots), *torch.zeros(2, slots, cells, dtype=torch.long))

    @torch.inference_mode()
    def begin(self, state: CellSlots, slot: int, number: int, seed: int) -> int:
        canvas = state.canvases[number]
        given = torch.tensor(canvas.pinned).nonzero()[:, 0]
        count = len(given)
        state.cells[slot, :count] = given
        state.tokens[slot, :count] = torch.tensor(canvas.tokens)[given]
        if not count:
            return 0
        # all positions but the last, which waits for the first question
        self.run(state, torch.tensor([slot]), torch.arange(count)[None], given[None])
        return self.network.flops(count)

    @torch.inference_mode()
    def next(self, state: CellSlots, slots: Tensor, known: Tensor) -> tuple[Tensor, Tensor, list[int]]:
        places, first = known.sum(1), (~known).float().argmax(1)
        logits = self.run(state, slots, places[:, None], first[:, None])[:, -1].float()
        flops = [self.network.flops(1, place) for place in places.tolist()]
        if self.network.config.order == "index":
            return first, logits, flops
        pairs = logits.view(*known.shape, -1).masked_fill(known[..., None], float("-inf"))
        cells = pairs.flatten(1).argmax(1) // pairs.shape[-1]
        return cells, pairs[torch.arange(len(cells)), cells], flops

    @torch.inference_mode()
    def put(self, state: CellSlots, slots: Tensor, cells: Tensor, tokens: Tensor, places: Tensor) -> None:
        state.cells[slots, places], state.tokens[slots, places] = cells, tokens

    def run(self, state: CellSlots, slots: Tensor, places: Tensor, following: Tensor) -> Tensor:
        """Logits (N, T, ...) of ``places`` (N, T), of which 0 is the start token; ``following`` (N, T) come next."""
        pair = slots[:, None], (places - 1).clamp_min(0)
        x = self.network.pair(state.cells[pair], state.tokens[pair])
        x = torch.where((places == 0)[..., None], self.network.start, x)
        return self.network.run(x, following, state.cache.at(slots, places))
