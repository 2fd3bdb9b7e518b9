"""What ``--preset cpu`` and ``--preset gpu`` mean: one frozen table, read by the trainer and quoted by the model cards."""

from __future__ import annotations

from dataclasses import dataclass

from solver.denoisers.network import CompactConfig


@dataclass(frozen=True)
class Preset:
    """One training run. Schedules are by step, so that a run that was killed and resumed is the run that was not.

    rows: canvases a step.  segment: inner loops with gradients a step; the state is carried, detached, to the next step.
    pool: generated puzzles.  mix: source -> share of new canvases.  ages: segments a canvas is kept at most, by source.
    """

    network: CompactConfig
    steps: int
    rows: int
    segment: int
    rate: float
    warmup: int = 200
    decay: float = 0.35  # the last share of the steps, in which the rate falls to a hundredth
    averaging: float = 0.999
    pool: int = 120_000
    mix: tuple[tuple[str, float], ...] = (
        ("generated", 0.40),
        ("royle17_first_half", 0.10),
        ("sepb_diabolical_rated", 0.20),
        ("forum_hardest_1905_first_half", 0.30),
    )
    longest: int = 10
    seed: int = 0


SUDOKU = {
    "cpu": Preset(CompactConfig(vocab=9), steps=9_200, rows=64, segment=8, rate=4e-3),
    "gpu": Preset(CompactConfig(vocab=9, width=96, hidden=192), steps=120_000, rows=768, segment=8, rate=2e-3, pool=2_000_000),
    "smoke": Preset(CompactConfig(vocab=9, width=16, hidden=16, loops=8), steps=60, rows=8, segment=4, rate=4e-3, pool=64),
}
