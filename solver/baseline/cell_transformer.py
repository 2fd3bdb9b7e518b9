"""The cell transformer as a decoder: one (cell, token) pair at a time, with keys and values kept.

    >>> from solver.models.cell_transformer import CellTransformerConfig
    >>> cell_decoder(CellTransformer(CellTransformerConfig(width=16, layers=1))).name
    'ar-plain'

Shapes: S cache rows, N rows of a call, T pairs, L cells, V tokens.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from solver.baseline.decode import Decoder
from solver.models.cell_transformer import CellTransformer
from solver.models.context import KVCache
from solver.tasks.task import Canvas


def cell_decoder(network: CellTransformer, name: str = "ar-plain") -> Decoder:
    """A decoder over a cell transformer. It draws no noise, so the seed has no effect."""
    return Decoder(name, lambda size, canvases, seed: CellRun(network, size, canvases))


class CellRun:
    """A :class:`~solver.baseline.decode.DecoderRun` over a :class:`CellTransformer`.

    Raises ValueError where the canvases are of another size than the network's.
    """

    def __init__(self, network: CellTransformer, num_cache_rows: int, canvases: Sequence[Canvas]) -> None:
        cells, vocab = network.config.cells, network.config.vocab
        sizes = canvases[0].num_cells, canvases[0].vocab
        if sizes != (cells, vocab):
            raise ValueError(
                f"the network is for {cells} cells of {vocab} tokens, not {sizes[0]} of {sizes[1]}"
            )
        self.network, self.canvases, self.cache = network, canvases, KVCache(num_cache_rows)
        # (S, L): cells and tokens of the pairs so far
        self.cells, self.tokens = torch.zeros(2, num_cache_rows, cells, dtype=torch.long)

    @torch.inference_mode()
    def begin(self, cache_row: int, number: int) -> int:
        canvas = self.canvases[number]
        given = torch.tensor(canvas.pinned).nonzero()[:, 0]
        count = len(given)
        self.cells[cache_row, :count] = given
        self.tokens[cache_row, :count] = torch.tensor(canvas.tokens)[given]
        if not count:
            return 0
        # all positions but the last, which waits for the first question
        self.evaluate(torch.tensor([cache_row]), torch.arange(count)[None], given[None])
        return self.network.flops(count)

    @torch.inference_mode()
    def next(self, cache_rows: Tensor, known: Tensor) -> tuple[Tensor, Tensor, list[int]]:
        num_before, first = known.sum(1), (~known).float().argmax(1)
        logits = self.evaluate(cache_rows, num_before[:, None], first[:, None])[:, -1].float()
        flops = [self.network.flops(1, count) for count in num_before.tolist()]
        if self.network.config.order == "index":
            return first, logits, flops
        pairs = logits.view(*known.shape, -1).masked_fill(known[..., None], float("-inf"))
        cells = pairs.flatten(1).argmax(1) // pairs.shape[-1]
        return cells, pairs[torch.arange(len(cells)), cells], flops

    @torch.inference_mode()
    def put(self, cache_rows: Tensor, cells: Tensor, tokens: Tensor, num_before: Tensor) -> None:
        self.cells[cache_rows, num_before], self.tokens[cache_rows, num_before] = cells, tokens

    def evaluate(self, cache_rows: Tensor, positions: Tensor, following: Tensor) -> Tensor:
        """Return the logits (N, T, ...) at ``positions`` (N, T); position 0 is the start token.

        following: (N, T), the cell that comes next after each position.
        """
        pair = cache_rows[:, None], (positions - 1).clamp_min(0)
        x = self.network.pair(self.cells[pair], self.tokens[pair])
        x = torch.where((positions == 0)[..., None], self.network.start, x)
        return self.network.run(x, following, self.cache.step(cache_rows, positions))
