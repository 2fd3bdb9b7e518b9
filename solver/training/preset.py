"""Settings of one training run. The presets of each task are in its recipe.

>>> from solver.models.looped import LoopedConfig
>>> preset = Preset(LoopedConfig(vocab=9), steps=1_000, rows=64, rate=4e-3)
>>> preset.override(steps=100).warmup
10
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

Config = TypeVar("Config", covariant=True)


@dataclass(frozen=True)
class Preset(Generic[Config]):
    """Settings of one training run. Schedules count steps, so a resumed run equals an uninterrupted one.

    Attributes:
        network: configuration of the network.
        steps: optimizer steps of the run.
        rows: canvases per step. Loaders of texts scale it, so that all steps have about as many cells.
        rate: learning rate at the plateau.
        segment: inner loops per step through which gradients flow.
        warmup: steps in which the rate rises.
        decay: share of the steps, at the end, in which the rate falls to a hundredth.
        averaging: decay of the moving average of the weights.
        muon: whether Muon optimizes the matrices of the layers.
        pool: number of examples that are generated.
        seed: of the weights, the examples and the batches.
    """

    network: Config
    steps: int
    rows: int
    rate: float
    segment: int = 1
    warmup: int = 200
    decay: float = 0.35
    averaging: float = 0.999
    muon: bool = False
    pool: int = 120_000
    seed: int = 0

    def override(
        self, rate: float | None = None, steps: int | None = None, noise: str | None = None
    ) -> Preset[Config]:
        """Return the preset with some settings replaced; None keeps a setting.

        Raises:
            ValueError: ``noise`` is given and the network has no such setting.
        """
        network: Any = self.network
        if noise is not None:
            if not hasattr(network, "noise") or network.causal:
                raise ValueError("--noise is for the denoiser: left to right there is none")
            network = replace(network, noise=noise)
        steps = steps or self.steps
        warmup = min(self.warmup, max(1, steps // 10))
        return replace(self, network=network, rate=rate or self.rate, steps=steps, warmup=warmup)
