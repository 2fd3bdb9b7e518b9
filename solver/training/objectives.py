"""What one training step asks of a network: a *course* owns the network and its canvases, the trainer the optimizer.

Segments: inner loops of the looped network over canvases whose state is carried from step to step; bidirectional, or causal with
the true tokens before each cell.  Forms: blocks of text for the JSON models.  Pages: pages of code.
Sequences: whole puzzles as token sequences, for the plain transformer.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from solver.models.cell_transformer import CellTransformer
from solver.models.code_network import CodeNetwork
from solver.models.json_network import JsonNetwork
from solver.models.layers import OPEN, PINNED, fast_bf16
from solver.models.looped import LoopedNetwork
from solver.training.code import Snippets
from solver.training.feed import Feed, SequenceFeed
from solver.training.presets import Preset
from solver.training.texts import Texts

Facts = dict[str, Any]
CARRIED = torch.bfloat16
HALF = -0.693  # nats


def half(device: str) -> torch.autocast:
    """bf16 where the device multiplies it; elsewhere it would be several times slower than fp32."""
    return torch.autocast(device, torch.bfloat16, enabled=device != "cpu" or fast_bf16())


class Course(Protocol):
    """``network`` is what is trained; ``flops`` a step's, forward and backward."""

    flops: int

    @property
    def network(self) -> nn.Module: ...

    def loss(self) -> tuple[Tensor, float]:
        """The next canvases' loss, and the share of them that is exact."""

    def advance(self) -> None:
        """What follows an update."""

    def state(self) -> tuple[dict[str, Tensor], Facts]:
        """Tensors and JSON of everything that the next step depends on, the network's parameters left out."""

    def restore(self, tensors: dict[str, Tensor], facts: Facts) -> None:
        """The inverse of ``state``; ValueError where the data is not what the run began with."""


class Segments:
    """``preset.segment`` loops on ``preset.rows`` canvases; the state goes on, detached, to the next step."""

    def __init__(self, preset: Preset, feed: Feed, relations: Tensor, device: str = "cpu") -> None:
        self.preset, self.feed, self.device = preset, feed, device
        self.network = LoopedNetwork(preset.compact).to(device)
        self.generator = torch.Generator().manual_seed(preset.seed)
        self.relations = relations.to(device)
        self.causal = preset.compact.causal
        anything = torch.ones(
            1, relations.shape[1], dtype=torch.long, device=device
        )  # for its sizes; each step brings its own
        self.geometry = self.network.geometry(self.relations, anything if self.causal else None)
        self.cells = relations.shape[1]
        self.carried = self.fresh_state(preset.rows)
        # forward, and a backward of twice its products
        self.flops = 3 * preset.rows * self.network.flops(self.geometry.layout, preset.segment)

    def fresh_state(self, rows: int) -> Tensor:
        """First states for ``rows`` canvases, their noise drawn on the CPU so that all devices start alike."""
        c = self.preset.compact
        noise = torch.randn((self.cells, rows, c.vocab, c.width), generator=self.generator) * c.start_noise
        return (
            F.rms_norm(self.network.first.detach() + noise.to(self.device), (c.width,))
            .to(CARRIED)
            .contiguous()
        )

    def loss(self) -> tuple[Tensor, float]:
        fresh, tokens, status, order, truth, weight = (t.to(self.device) for t in self.feed.next())
        if fresh.any():
            self.carried[:, fresh] = self.fresh_state(int(fresh.sum()))
        said, geometry = None, self.geometry
        with half(self.device):
            if self.causal:  # cells hear the true tokens before them, and never their own
                geometry = self.network.geometry(self.relations, order)
                said = self.network.embed(truth, torch.full_like(status, PINNED))
                status = torch.where(status == PINNED, PINNED, OPEN)
            x = self.network.embed(tokens, status)
            state, logits = self.network(self.carried, x, geometry, self.preset.segment, said)
        losses = F.cross_entropy(logits.flatten(0, 1), truth.flatten(), reduction="none").view_as(weight)
        self.last = state.detach(), logits.detach()
        exact = ((logits.argmax(-1) == truth) | (weight == 0)).all(1).float().mean()
        return (losses * weight).sum() / weight.sum().clamp_min(1), exact.item()

    def advance(self) -> None:
        state, logits = self.last
        doubt = self.feed.advance(logits.float().cpu()).to(self.device)
        # contiguous, as it comes back from a file: products round by layout, and a resumed run is to be the same
        self.carried = (
            torch.where(doubt.t()[..., None, None], self.network.first.detach(), state)
            .to(CARRIED)
            .contiguous()
        )

    def state(self) -> tuple[dict[str, Tensor], Facts]:
        tensors, facts = self.feed.state()
        return {**tensors, "state": self.carried, "generator": self.generator.get_state()}, facts

    def restore(self, tensors: dict[str, Tensor], facts: Facts) -> None:
        self.carried = tensors["state"].to(self.device)
        self.generator.set_state(tensors["generator"])
        self.feed.restore(tensors, facts)


class Forms:
    """Blocks of text with the truth asked for at every cell that is not pinned; every batch is of one size."""

    flops = 0  # of the last step: batches differ

    def __init__(self, preset: Preset, texts: Texts, device: str = "cpu") -> None:
        self.texts, self.device = texts, device
        self.network = JsonNetwork(preset.text).to(device)

    def loss(self) -> tuple[Tensor, float]:
        prompt, lengths, tokens, status, offset, truth, weight = (
            t.to(self.device) for t in self.texts.next()
        )
        with half(self.device):
            said = self.network(self.network.read(prompt, lengths), tokens, status, offset)
        losses = F.nll_loss(said.flatten(0, 1), truth.flatten(), reduction="none").view_as(weight)
        exact = ((said.argmax(-1) == truth) | (weight < 1)).all(1).float().mean()
        size = self.network.flops(truth.shape[1], prompt.shape[1]) + self.network.reading_flops(
            prompt.shape[1]
        )
        self.flops = 3 * len(prompt) * size
        return (losses * weight).sum() / weight.sum().clamp_min(1), exact.item()

    def advance(self) -> None:
        pass

    def state(self) -> tuple[dict[str, Tensor], Facts]:
        return {}, {"rng": self.texts.rng.bit_generator.state}

    def restore(self, tensors: dict[str, Tensor], facts: Facts) -> None:
        self.texts.rng.bit_generator.state = facts["rng"]


class Pages:
    """Pages of code, as :class:`Forms` has blocks of text; the baseline has them as sequences."""

    flops = 0  # of the last step: batches differ

    def __init__(self, preset: Preset, snippets: Snippets, device: str = "cpu") -> None:
        self.snippets, self.device = snippets, device
        self.network = CodeNetwork(preset.code).to(device)

    def loss(self) -> tuple[Tensor, float]:
        tokens, status, offset, truth, weight = (t.to(self.device) for t in self.snippets.next())
        with half(self.device):
            log_p = self.network.log_likelihood(tokens, status, offset, truth, weight > 0)
        rows, each = (weight > 0).nonzero()[:, 0], weight[weight > 0]
        missed = set(rows[(log_p <= HALF) & (each >= 1)].tolist())  # what has more than half is the likeliest
        self.flops = self.cost(weight)
        return -(log_p * each).sum() / each.sum().clamp_min(1), 1 - len(missed) / len(tokens)

    def cost(self, weight: Tensor) -> int:
        """FLOPs of a step on cells of these weights (B, L)."""
        rows, cells = weight.shape
        return 3 * rows * self.network.flops(cells, 0, float((weight > 0).sum()) / rows)

    def advance(self) -> None:
        pass

    def state(self) -> tuple[dict[str, Tensor], Facts]:
        return {}, {"rng": self.snippets.rng.bit_generator.state}

    def restore(self, tensors: dict[str, Tensor], facts: Facts) -> None:
        self.snippets.rng.bit_generator.state = facts["rng"]


class Sequences:
    """``preset.rows`` whole puzzles a step: givens first, then the answers, each predicted from all before it."""

    def __init__(self, preset: Preset, feed: SequenceFeed, device: str = "cpu") -> None:
        self.feed, self.device = feed, device
        self.network = CellTransformer(preset.plain).to(device)
        self.flops = 3 * preset.rows * self.network.flops(preset.plain.cells + 1)

    def loss(self) -> tuple[Tensor, float]:
        cells, tokens, answers = (t.to(self.device) for t in self.feed.next())
        with half(self.device):
            logits = self.network(cells, tokens)[:, :-1]  # what follows the last cell is nobody's business
        wanted = self.network.targets(cells, tokens)
        losses = F.cross_entropy(logits.float().flatten(0, 1), wanted.flatten(), reduction="none").view_as(
            answers
        )
        exact = ((logits.argmax(-1) == wanted) | ~answers).all(1).float().mean()
        return (losses * answers).sum() / answers.sum().clamp_min(1), exact.item()

    def advance(self) -> None:
        pass

    def state(self) -> tuple[dict[str, Tensor], Facts]:
        return {}, self.feed.state()

    def restore(self, tensors: dict[str, Tensor], facts: Facts) -> None:
        self.feed.restore(facts)
