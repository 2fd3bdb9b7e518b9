"""What ``--preset cpu`` and ``--preset gpu`` mean: one frozen table, read by the trainer and quoted by the model cards."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from solver.models.cell_transformer import CellTransformerConfig
from solver.models.code_network import CodeConfig
from solver.models.json_network import JsonConfig
from solver.models.looped import LoopedConfig

Noise = Literal["mask", "uniform", "hybrid"]


@dataclass(frozen=True)
class Preset:
    """One training run. Schedules are by step, so that a run that was killed and resumed is the run that was not.

    rows: canvases a step.  segment: inner loops with gradients a step; the state is carried, detached, to the next step.
    muon: whether Muon turns the layers' matrices.  pool: generated puzzles, or pages.  mix: source -> share of new canvases.
    """

    network: LoopedConfig | CellTransformerConfig | JsonConfig | CodeConfig
    steps: int
    rows: int
    segment: int
    rate: float
    warmup: int = 200
    decay: float = 0.35  # the last share of the steps, in which the rate falls to a hundredth
    averaging: float = 0.999
    muon: bool = False
    pool: int = 120_000
    mix: tuple[tuple[str, float], ...] = (
        ("generated", 0.40),
        ("royle17_first_half", 0.10),
        ("sepb_diabolical_rated", 0.20),
        ("forum_hardest_1905_first_half", 0.30),
    )
    longest: int = 10
    seed: int = 0

    def changed(self, rate: float | None, steps: int | None, noise: Noise | None) -> Preset:
        """The preset with what a trial changes. Raises ValueError for a noise where there is none."""
        network = self.network
        if noise is not None:
            if not isinstance(network, LoopedConfig) or network.causal:
                raise ValueError("--noise is for the denoiser: left to right there is none")
            network = replace(network, noise=noise)
        steps = steps or self.steps
        return replace(
            self,
            network=network,
            rate=rate or self.rate,
            steps=steps,
            warmup=min(self.warmup, max(1, steps // 10)),
        )

    @property
    def compact(self) -> LoopedConfig:
        """The network's configuration where it is a compact one."""
        assert isinstance(self.network, LoopedConfig)
        return self.network

    @property
    def text(self) -> JsonConfig:
        """The network's configuration where it is one for texts."""
        assert isinstance(self.network, JsonConfig)
        return self.network

    @property
    def code(self) -> CodeConfig:
        """The network's configuration where it is one for code."""
        assert isinstance(self.network, CodeConfig)
        return self.network

    @property
    def plain(self) -> CellTransformerConfig:
        """The network's configuration where it is a plain transformer."""
        assert isinstance(self.network, CellTransformerConfig)
        return self.network


DIFFUSION = LoopedConfig(vocab=9)
AR, AR_EASIEST = LoopedConfig(vocab=9, causal=True), LoopedConfig(vocab=9, causal=True, order="easiest")
TINY, TINY_PLAIN = (
    LoopedConfig(vocab=9, width=16, hidden=16, loops=8),
    CellTransformerConfig(width=16, layers=2, heads=2),
)
WIDE = LoopedConfig(vocab=9, width=96, hidden=192)

# By model and preset. The cpu presets of all models take the same training FLOPs (0.166e15; tests/test_training.py), at rates
# found with three trials each (docs/LOG.md).
SUDOKU = {
    ("diffusion", "cpu"): Preset(DIFFUSION, steps=9_200, rows=64, segment=8, rate=4e-3),
    ("ar", "cpu"): Preset(AR, steps=2_908, rows=64, segment=8, rate=8e-3),
    ("ar-easiest", "cpu"): Preset(AR_EASIEST, steps=2_908, rows=64, segment=8, rate=8e-3),
    ("ar-plain", "cpu"): Preset(CellTransformerConfig(), steps=3_174, rows=64, segment=1, rate=2e-3),
    ("ar-plain-easiest", "cpu"): Preset(
        CellTransformerConfig(order="easiest"), steps=3_006, rows=64, segment=1, rate=1e-3
    ),
    ("diffusion", "gpu"): Preset(WIDE, steps=120_000, rows=768, segment=8, rate=2e-3, pool=2_000_000),
    ("diffusion", "smoke"): Preset(TINY, steps=60, rows=8, segment=4, rate=4e-3, pool=64),
    ("ar", "smoke"): Preset(replace(TINY, causal=True), steps=60, rows=8, segment=4, rate=4e-3, pool=64),
    ("ar-easiest", "smoke"): Preset(
        replace(TINY, causal=True, order="easiest"), steps=60, rows=8, segment=4, rate=4e-3, pool=64
    ),
    ("ar-plain", "smoke"): Preset(TINY_PLAIN, steps=60, rows=8, segment=1, rate=4e-3, pool=64),
    ("ar-plain-easiest", "smoke"): Preset(
        replace(TINY_PLAIN, order="easiest"), steps=60, rows=8, segment=1, rate=4e-3, pool=64
    ),
}
# About 0.195e15 operations each; a step's rows are scaled so that it sees as many bytes whatever their length.
JSON = {
    ("diffusion", "cpu"): Preset(
        JsonConfig(), steps=3_000, rows=64, segment=1, rate=2e-3, pool=60_000, mix=()
    ),
    ("ar", "cpu"): Preset(
        JsonConfig(causal=True), steps=3_375, rows=64, segment=1, rate=2e-3, pool=60_000, mix=()
    ),
    ("diffusion", "smoke"): Preset(
        JsonConfig(width=32, hidden=32), steps=20, rows=4, segment=1, rate=2e-3, pool=60, mix=()
    ),
    ("ar", "smoke"): Preset(
        JsonConfig(width=32, hidden=32, causal=True), steps=20, rows=4, segment=1, rate=2e-3, pool=60, mix=()
    ),
}
TINY_CODE = CodeConfig(width=32, hidden=32, layers=2)
# About 0.456e15 operations each. A step has as many cells whatever the pages' length.
CODE = {
    ("diffusion", "cpu"): Preset(
        CodeConfig(), steps=6_000, rows=48, segment=1, rate=4e-3, muon=True, pool=110_000, mix=()
    ),
    ("ar", "cpu"): Preset(
        CodeConfig(causal=True), steps=5_936, rows=48, segment=1, rate=8e-3, muon=True, pool=110_000, mix=()
    ),
    ("diffusion", "smoke"): Preset(
        TINY_CODE, steps=20, rows=4, segment=1, rate=2e-3, muon=True, pool=40, mix=()
    ),
    ("ar", "smoke"): Preset(
        replace(TINY_CODE, causal=True), steps=20, rows=4, segment=1, rate=2e-3, muon=True, pool=40, mix=()
    ),
}
PRESETS = {"sudoku": SUDOKU, "json": JSON, "code": CODE}
MODELS = tuple(dict.fromkeys(model for model, _ in SUDOKU))
