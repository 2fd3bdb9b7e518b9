"""The plain transformer, one pair at a time, with its keys and values kept."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from solver.models.cell_transformer import CellTransformer
from solver.tasks.canvas import Canvas


@dataclass(eq=False)
class Slots:
    """Keys and values (layers, S, heads, L + 1, D / heads); the pairs so far, cells and tokens (S, L)."""

    keys: Tensor
    values: Tensor
    cells: Tensor
    tokens: Tensor


class CellDecoder:
    """A :class:`~solver.baseline.decode.Decoder` over a :class:`CellTransformer` transformer."""

    def __init__(self, network: CellTransformer, name: str = "ar-plain") -> None:
        self.network, self.name = network, name

    def allocate(self, slots: int, like: Canvas) -> Slots:
        c = self.network.config
        if (like.cells, like.vocab) != (c.cells, c.vocab):
            raise ValueError(
                f"the network knows {c.cells} cells of {c.vocab} tokens, the canvas has {like.cells} of {like.vocab}"
            )
        keys, values = torch.zeros(2, c.layers, slots, c.heads, c.cells + 1, c.width // c.heads)
        cells, tokens = torch.zeros(2, slots, c.cells, dtype=torch.long)
        return Slots(keys, values, cells, tokens)

    @torch.inference_mode()
    def begin(self, state: Slots, slot: int, canvas: Canvas, seed: int) -> int:
        given = torch.tensor(canvas.pinned).nonzero()[:, 0]
        count = len(given)
        state.cells[slot, :count] = given
        state.tokens[slot, :count] = torch.tensor(canvas.tokens)[given]
        if not count:
            return 0
        # all places but the last, which waits for the first question
        slots, places = torch.tensor([slot]), torch.arange(count)[None]
        self.run(state, slots, places, state.cells[slots, :count])
        return self.network.flops(count)

    @torch.inference_mode()
    def next(self, state: Slots, slots: Tensor, known: Tensor) -> tuple[Tensor, Tensor, list[int]]:
        places, first = known.sum(1), (~known).float().argmax(1)
        logits = self.run(state, slots, places[:, None], first[:, None])[:, -1].float()
        flops = [self.network.flops(1, int(place)) for place in places]
        if self.network.config.order == "index":
            return first, logits, flops
        pairs = logits.view(len(slots), *known.shape[1:], -1).masked_fill(known[..., None], float("-inf"))
        cells = pairs.flatten(1).argmax(1) // pairs.shape[-1]
        return cells, pairs[torch.arange(len(cells)), cells], flops

    @torch.inference_mode()
    def say(self, state: Slots, slots: Tensor, cells: Tensor, tokens: Tensor, places: Tensor) -> None:
        state.cells[slots, places], state.tokens[slots, places] = cells, tokens

    def run(self, state: Slots, slots: Tensor, places: Tensor, following: Tensor) -> Tensor:
        """Logits (N, T, ...) of ``places`` (N, T), the start token being place 0; the cells that come next are ``following``."""
        before = (places - 1).clamp_min(0)
        rows = slots[:, None]
        x = self.network.pair(state.cells[rows, before], state.tokens[rows, before])
        x = self.network.told(torch.where((places == 0)[..., None], self.network.start, x), following)
        seen = (torch.arange(state.keys.shape[3]) <= places[..., None])[:, None]  # (N, 1, T, L + 1)
        for number, layer in enumerate(self.network.stack()):
            query, key, value = layer.split(x)
            state.keys[number, rows, :, places] = key.transpose(1, 2)
            state.values[number, rows, :, places] = value.transpose(1, 2)
            heard = F.scaled_dot_product_attention(
                query, state.keys[number, slots], state.values[number, slots], attn_mask=seen
            )
            x = layer.finish(x, heard)
        return self.network.read_out(x)
