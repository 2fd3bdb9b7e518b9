"""The arms of the contest: which model, and what may help it. One function runs any of them.

    outcomes, paths, seconds = attempt(ARMS["ar-backtracking"], grids, Settings())

Diffusion: *oneshot* is one forward, *alone* is inner loops until it has settled, at most ``ALONE`` (no rule is asked before
the answer is graded), and plain "diffusion" is the loop with its checks. Left to right: raw, with the checks as a mask, and with
backtracking. The controls run the denoiser's loop with its checks.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from solver.baseline.decode import Checks, Decoded, Decoder, decode
from solver.loop.engine import solve
from solver.loop.policy import Policy
from solver.loop.trace import Budget, Outcome
from solver.models import checkpoint
from solver.models.protocol import Denoiser
from solver.models.registry import load, load_decoder
from solver.tasks.sudoku import layout
from solver.tasks.sudoku.task import Sudoku, SudokuTask

Grids = NDArray[np.int8]
Choices = tuple[tuple[int, int], ...]
Mode = Literal["oneshot", "alone", "checks", "raw", "mask", "backtracking"]
ALONE = 1024  # inner loops at most without checks
DECODERS = ("ar", "ar-easiest", "ar-plain", "ar-plain-easiest")  # the left-to-right models
SHIPPED = {"compact": "sudoku", **{model: f"sudoku-{model}" for model in DECODERS}}


@dataclass(frozen=True)
class Arm:
    """name: in tables.  model: compact, random, prior, or one of DECODERS.  mode: what may help it."""

    name: str
    model: str
    mode: Mode

    @property
    def checked(self) -> bool:
        """Whether rules help it."""
        return self.mode in ("checks", "mask", "backtracking")


DIFFUSION = [Arm("diffusion-oneshot", "compact", "oneshot"), Arm("diffusion-alone", "compact", "alone")]
DIFFUSION += [
    Arm("diffusion", "compact", "checks"),
    Arm("random", "random", "checks"),
    Arm("prior", "prior", "checks"),
]
CHECKS: dict[Mode, Checks] = {
    "raw": "none",
    "mask": "mask",
    "backtracking": "backtrack",
}  # of the left-to-right modes
MODES: dict[str, Mode] = {"": "raw", "-masked": "mask", "-backtracking": "backtracking"}
LEFT_TO_RIGHT = [Arm(model + suffix, model, mode) for model in DECODERS for suffix, mode in MODES.items()]
ARMS = {arm.name: arm for arm in (*DIFFUSION, *LEFT_TO_RIGHT)}


@dataclass(frozen=True)
class Settings:
    """What all arms share.

    limit: puzzles a file.  forwards, seconds: the budget a puzzle, None for none.  loops: inner loops of a
    forward, None for the checkpoint's own.  checkpoints: (model, folder) in place of the shipped ones.
    """

    limit: int = 500
    batch: int = 64
    forwards: int | None = 5000
    seconds: float | None = None
    seed: int = 0
    loops: int | None = None
    checkpoints: tuple[tuple[str, str], ...] = ()

    @property
    def budget(self) -> Budget:
        return Budget(self.forwards, self.seconds)

    def folder(self, model: str) -> str:
        """Where a model's checkpoint is."""
        return dict(self.checkpoints).get(
            model, str(checkpoint.SHIPPED / SHIPPED[model]) if model in SHIPPED else model
        )


def denoiser(arm: Arm, settings: Settings) -> Denoiser:
    """The denoiser of a diffusion arm or control. Raises CheckpointError."""
    task = SudokuTask(layout.standard(9))
    return load(settings.folder(arm.model), task, ALONE if arm.mode == "alone" else settings.loops)


def decoder(model: str, settings: Settings) -> Decoder:
    """The decoder of a left-to-right arm. Raises CheckpointError."""
    return load_decoder(Path(settings.folder(model)), "sudoku", model, settings.loops)


@dataclass(frozen=True, eq=False)
class Attempt:
    """Outcomes in the puzzles' order; the choices in order where they are made one by one; wall-clock seconds of them all."""

    outcomes: Sequence[Outcome]
    paths: Sequence[Choices]
    seconds: float


def attempt(arm: Arm, grids: Grids, settings: Settings, policy: Policy | None = None) -> Attempt:
    """Run an arm. Raises CheckpointError."""
    task, problems = SudokuTask(layout.standard(9)), [Sudoku(grid) for grid in grids]
    if arm.mode in CHECKS:
        model, checks = decoder(arm.model, settings), CHECKS[arm.mode]
        started = time.perf_counter()
        return gather(
            decode(task, problems, model, checks, settings.budget, settings.seed, settings.batch),
            len(grids),
            started,
        )
    network = denoiser(arm, settings)
    policy = policy or network.policy
    if arm.mode != "checks":
        policy, settings = policy.with_(checks="none"), replace(settings, forwards=1)
    started = time.perf_counter()
    return gather(
        solve(task, problems, network, policy, settings.budget, settings.seed, settings.batch),
        len(grids),
        started,
    )


def gather(events: Iterator[tuple[int, Any]], count: int, started: float) -> Attempt:
    """Wait for every outcome, with a line on stderr every ten seconds."""
    outcomes: dict[int, Outcome] = {}
    paths: dict[int, Choices] = {}
    said = started
    for number, event in events:
        if isinstance(event, Decoded):
            outcomes[number], paths[number] = event.outcome, event.path
        elif isinstance(event, Outcome):
            outcomes[number] = event
        if time.perf_counter() - said > 10:
            said = time.perf_counter()
            print(f"  {len(outcomes)} of {count} after {said - started:.0f} s", file=sys.stderr, flush=True)
    seconds = time.perf_counter() - started
    return Attempt([outcomes[n] for n in range(count)], [paths.get(n, ()) for n in range(count)], seconds)
