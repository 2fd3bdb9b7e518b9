"""Objectives: an objective owns a network and its data loader, and computes the loss of one training step.

:class:`BatchObjective` draws a new batch at every step. :class:`SegmentObjective` trains the looped network
on canvases that stay for several steps, with their hidden state carried along.

Shapes: B rows, L cells, V tokens, D width, R relations.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from solver.models.blocks import OPEN, PINNED, fast_bf16
from solver.models.looped import LoopedConfig, LoopedNetwork
from solver.training.loaders import Facts, Loader
from solver.training.preset import Preset
from solver.training.sudoku_examples import PuzzleLoader

Batch = tuple[Tensor, ...]
CARRIED = torch.bfloat16
BACKWARD = 3  # FLOPs of a forward and a backward, in forwards


def autocast_bf16(device: str | torch.device) -> torch.autocast:
    """Autocast to bf16 where the hardware multiplies it; elsewhere bf16 is several times slower than fp32."""
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=kind != "cpu" or fast_bf16())


def weighted_mean(losses: Tensor, weight: Tensor) -> Tensor:
    """The mean of ``losses`` by ``weight``; 0 where all weights are 0."""
    return (losses * weight).sum() / weight.sum().clamp_min(1)


class Objective(ABC):
    """The part of a training step that depends on the task.

    Attributes:
        network: the network that is trained.
        loader: draws its examples.
        flops: FLOPs of the last step, forward and backward.
    """

    network: nn.Module
    loader: Loader
    flops = 0

    @abstractmethod
    def loss(self) -> tuple[Tensor, float]:
        """The loss of the next canvases, and the share of them whose draft is exact."""

    def advance(self) -> None:  # noqa: B027  # most objectives carry nothing from step to step
        """Prepare the next step; called after the network's update."""

    def state(self) -> tuple[dict[str, Tensor], Facts]:
        """Tensors and JSON values that the next step depends on, without the network's parameters."""
        return self.loader.state()

    def restore(self, tensors: dict[str, Tensor], facts: Facts) -> None:
        """The inverse of :meth:`state`. Raises ValueError if the run began with other examples."""
        self.loader.restore(tensors, facts)


class BatchObjective(Objective):
    """A new batch at every step.

    Args:
        network: moved to ``device``.
        loader: draws the batches.
        batch_loss: loss and share of exact drafts of a network and a batch.
        forward_flops: FLOPs of the network's forward of a batch.
        device: "cpu" or "cuda".
    """

    def __init__(
        self,
        network: nn.Module,
        loader: Loader,
        batch_loss: Callable[[Any, Batch], tuple[Tensor, float]],
        forward_flops: Callable[[Any, Batch], int],
        device: str = "cpu",
    ) -> None:
        self.network, self.loader, self.device = network.to(device), loader, device
        self.batch_loss, self.forward_flops = batch_loss, forward_flops

    def loss(self) -> tuple[Tensor, float]:
        batch = tuple(tensor.to(self.device) for tensor in self.loader.next())
        self.flops = self.step_flops(batch)
        return self.batch_loss(self.network, batch)

    def step_flops(self, batch: Batch) -> int:
        return BACKWARD * self.forward_flops(self.network, batch)


class SegmentObjective(Objective):
    """``preset.segment`` loops on ``preset.rows`` canvases; the state is carried, detached, to the next step.

    The causal form sees the true tokens of the cells before each cell, and never its own.

    Args:
        preset: of a looped network.
        loader: keeps the canvases.
        relations: relation ids (R, L) of the cells.
        device: "cpu" or "cuda".
    """

    network: LoopedNetwork
    loader: PuzzleLoader

    def __init__(
        self, preset: Preset[LoopedConfig], loader: PuzzleLoader, relations: Tensor, device: str = "cpu"
    ) -> None:
        self.preset, self.loader, self.device = preset, loader, device
        self.network = LoopedNetwork(preset.network).to(device)
        self.generator = torch.Generator().manual_seed(preset.seed)
        self.relations = relations.to(device)
        self.cells = relations.shape[1]
        # any order gives the geometry's sizes; in the causal form each step brings its own
        order = torch.ones(1, self.cells, dtype=torch.long, device=device) if preset.network.causal else None
        self.geometry = self.network.geometry(self.relations, order)
        self.carried = self.fresh_state(preset.rows)
        self.flops = BACKWARD * preset.rows * self.network.flops(self.geometry.layout, preset.segment)

    def fresh_state(self, rows: int) -> Tensor:
        """First states (L, ``rows``, V, D). Their noise is drawn on the CPU, the same for all devices."""
        config = self.preset.network
        shape = (self.cells, rows, config.vocab, config.width)
        noise = torch.randn(shape, generator=self.generator) * config.start_noise
        state = self.network.first.detach() + noise.to(self.device)
        return F.rms_norm(state, (config.width,)).to(CARRIED).contiguous()

    def loss(self) -> tuple[Tensor, float]:
        batch = self.loader.next()
        fresh, tokens, status, order, truth, weight = (tensor.to(self.device) for tensor in batch)
        if fresh.any():
            self.carried[:, fresh] = self.fresh_state(int(fresh.sum()))
        source, geometry = None, self.geometry
        with autocast_bf16(self.device):
            if self.preset.network.causal:
                geometry = self.network.geometry(self.relations, order)
                source = self.network.embed(truth, torch.full_like(status, PINNED))
                status = torch.where(status == PINNED, PINNED, OPEN)
            features = self.network.embed(tokens, status)
            state, logits = self.network(self.carried, features, geometry, self.preset.segment, source)
        losses = F.cross_entropy(logits.flatten(0, 1), truth.flatten(), reduction="none").view_as(weight)
        self.last = state.detach(), logits.detach()
        exact = ((logits.argmax(-1) == truth) | (weight == 0)).all(1).float().mean()
        return weighted_mean(losses, weight), exact.item()

    def advance(self) -> None:
        state, logits = self.last
        remasked = self.loader.advance(logits.float().cpu()).to(self.device)
        state = torch.where(remasked.t()[..., None, None], self.network.first.detach(), state)
        # contiguous, as it is read from a file: products round by layout, and resuming must change no bit
        self.carried = state.to(CARRIED).contiguous()

    def state(self) -> tuple[dict[str, Tensor], Facts]:
        tensors, facts = self.loader.state()
        return {**tensors, "state": self.carried, "generator": self.generator.get_state()}, facts

    def restore(self, tensors: dict[str, Tensor], facts: Facts) -> None:
        self.carried = tensors["state"].to(self.device)
        self.generator.set_state(tensors["generator"])
        self.loader.restore(tensors, facts)
