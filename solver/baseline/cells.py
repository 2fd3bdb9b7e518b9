"""The left-to-right networks for canvases as decoders: the causal looped network and the cell transformer.

Both write one cell at a time. The looped network keeps the messages of known cells, the transformer the keys
and values of (cell, token) pairs.

    >>> from solver.models.cell_transformer import CellTransformerConfig
    >>> from solver.models.looped import LoopedConfig
    >>> looped_decoder(LoopedNetwork(LoopedConfig(vocab=4, causal=True))).name
    'ar'
    >>> cell_decoder(CellTransformer(CellTransformerConfig(width=16, layers=1))).name
    'ar-plain'

Shapes: S cache rows, N rows of a call, T pairs, L cells, V tokens, D width, R relations.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from solver.baseline.decode import Decoder
from solver.kernels import looped_c
from solver.models.blocks import OPEN, PINNED
from solver.models.cell_transformer import CellTransformer
from solver.models.context import KVCache
from solver.models.looped import LoopedNetwork
from solver.tasks.task import Canvas


def looped_decoder(network: LoopedNetwork, name: str = "ar", loops: int | None = None) -> Decoder:
    """A decoder over a causal network; ``loops`` is None for the network's own number.

    In index order a token costs the loops of one cell. In easiest-first order every open cell is evaluated
    as if it were next, and the most certain one is taken, so a token costs the loops of all open cells.

    Raises ValueError where the network is not causal.
    """
    if not network.config.causal:
        raise ValueError("this network is a denoiser: it was not trained left to right")
    count = loops or network.config.loops
    return Decoder(name, lambda size, canvases, seed: LoopedRun(network, count, size, canvases, seed))


class LoopedRun:
    """A :class:`~solver.baseline.decode.DecoderRun` over a causal :class:`LoopedNetwork`.

    network, loops: the network, and its iterations per cell.
    num_cache_rows, canvases: S, and the problems.
    seed: seed of the noise in the first state (V, D) of all cells.
    """

    @torch.inference_mode()
    def __init__(
        self,
        network: LoopedNetwork,
        loops: int,
        num_cache_rows: int,
        canvases: Sequence[Canvas],
        seed: int = 0,
    ) -> None:
        self.network, self.loops, self.canvases = network, loops, canvases
        self.relations = torch.from_numpy(canvases[0].groups.copy())
        self.first = network.start(1, 1, torch.Generator().manual_seed(seed))[0, 0]
        # (S, L): tokens, the order in which cells became known (0 for pinned ones), and which are pinned
        self.tokens, self.order = torch.zeros(2, num_cache_rows, canvases[0].num_cells, dtype=torch.long)
        self.pinned = torch.zeros_like(self.tokens, dtype=torch.bool)
        self.cache = None
        if network.compiles(torch.device("cpu")):
            packed = looped_c.Network(network.parameters_in_order())
            layout = looped_c.GroupLayout.from_relations(self.relations, canvases[0].vocab, causal=True)
            self.cache = looped_c.PrefixCache(packed, layout, num_cache_rows, loops)

    def features(self, tokens: Tensor, status: int) -> Tensor:
        """Input features (N, V, D) of cells with ``tokens`` (N,)."""
        return self.network.embed(tokens[None], torch.full_like(tokens[None], status)).transpose(0, 1)[0]

    def cost(self, relations: Tensor) -> int:
        """FLOPs of one forward of the cells that ``relations`` (R, N) has."""
        layout = looped_c.GroupLayout.from_relations(relations, self.network.config.vocab, causal=True)
        return self.network.flops(layout, self.loops)

    @torch.inference_mode()
    def begin(self, cache_row: int, number: int) -> int:
        canvas = self.canvases[number]
        self.tokens[cache_row] = torch.tensor(canvas.tokens)
        self.pinned[cache_row], self.order[cache_row] = torch.tensor(canvas.pinned), 0
        given = self.pinned[cache_row].nonzero()[:, 0]
        if self.cache is not None:
            self.cache.begin(
                cache_row, given, self.features(self.tokens[cache_row, given], PINNED), self.first
            )
        return self.cost(self.relations[:, given])

    @torch.inference_mode()
    def next(self, cache_rows: Tensor, known: Tensor) -> tuple[Tensor, Tensor, list[int]]:
        rows = torch.arange(len(cache_rows))
        is_easiest_first = self.network.config.order == "easiest"
        # (asked, cells): the row and the cell of each evaluation
        asked, cells = rows, (~known).float().argmax(1)
        if is_easiest_first:
            asked, cells = (~known).nonzero().unbind(1)
        if self.cache is None:
            logits = self.from_scratch(cache_rows, known)[asked, cells]
        else:
            open_cell = self.features(torch.zeros(1, dtype=torch.long), OPEN)
            logits = self.cache.next(cache_rows[asked], cells, known[asked], open_cell, self.first)
        single = self.cost(self.relations[:, :1])
        flops = [single * int(count) for count in torch.bincount(asked, minlength=len(cache_rows))]
        if is_easiest_first:
            certainty = torch.full(known.shape, -1.0).index_put((asked, cells), logits.softmax(-1).amax(-1))
            index = torch.full(known.shape, -1).index_put((asked, cells), torch.arange(len(cells)))
            cells = certainty.argmax(1)
            logits = logits[index[rows, cells]]
        return cells, logits, flops

    @torch.inference_mode()
    def put(self, cache_rows: Tensor, cells: Tensor, tokens: Tensor, num_before: Tensor) -> None:
        self.tokens[cache_rows, cells] = tokens
        self.order[cache_rows, cells] = num_before - self.pinned[cache_rows].sum(1) + 1
        if self.cache is not None:
            self.cache.write(cache_rows, cells, self.features(tokens, PINNED))

    @torch.inference_mode()
    def from_scratch(self, cache_rows: Tensor, known: Tensor) -> Tensor:
        """Logits (N, L, V) of the cells that are not ``known`` (N, L), each as if it were next, without the
        cache.

        The specification of the cached path. Logits of known cells are arbitrary.
        """
        tokens, unknown = self.tokens[cache_rows], known.shape[1] + 1
        geometry = self.network.geometry(self.relations, torch.where(known, self.order[cache_rows], unknown))
        x = self.network.embed(tokens, torch.where(self.pinned[cache_rows], PINNED, OPEN))
        source = self.network.embed(tokens, torch.full_like(tokens, PINNED))
        first = self.first.expand(tokens.shape[1], len(cache_rows), -1, -1)
        logits: Tensor = self.network(first, x, geometry, self.loops, source)[1]
        return logits


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
