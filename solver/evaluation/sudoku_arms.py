"""The arms of the Sudoku contest: denoisers and controls in the loop, and left-to-right models.

    answers = make_arm(SPECS["ar-backtracking"], Settings()).answer(problems)

Diffusion: *oneshot* is one forward; *alone* runs up to ``ALONE`` inner loops without checks; plain
*diffusion* is the loop with its checks. Left to right: raw, with the checks as a mask, and with backtracking.
The controls run the denoiser's loop with its checks.
"""

import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from solver.baseline.decode import Checks, Decoded, decode
from solver.evaluation.harness import Answer, Arm, weights_hash
from solver.loop.engine import solve
from solver.loop.policy import Policy
from solver.loop.trace import Budget, Outcome
from solver.models import checkpoint
from solver.models.checkpoint import load, load_decoder
from solver.models.protocol import Denoiser
from solver.tasks.sudoku import layout
from solver.tasks.sudoku.task import Sudoku, SudokuTask

Mode = Literal["oneshot", "alone", "checks", "raw", "mask", "backtracking"]
ALONE = 1024  # limit of inner loops without checks
PROGRESS = 10.0  # seconds between two lines on stderr
DECODERS = ("ar", "ar-easiest", "ar-plain", "ar-plain-easiest")  # the left-to-right models
SHIPPED = {"compact": "sudoku", **{model: f"sudoku-{model}" for model in DECODERS}}
CHECKS: dict[Mode, Checks] = {"raw": "none", "mask": "mask", "backtracking": "backtrack"}
SUFFIXES: dict[str, Mode] = {"": "raw", "-masked": "mask", "-backtracking": "backtracking"}


@dataclass(frozen=True)
class Spec:
    """An arm's description.

    Args:
        name: in tables.
        model: compact, random, prior, or one of DECODERS.
        mode: how it runs, and whether checks help it.
    """

    name: str
    model: str
    mode: Mode


SPECS = {
    spec.name: spec
    for spec in (
        Spec("diffusion-oneshot", "compact", "oneshot"),
        Spec("diffusion-alone", "compact", "alone"),
        Spec("diffusion", "compact", "checks"),
        Spec("random", "random", "checks"),
        Spec("prior", "prior", "checks"),
        *(Spec(model + suffix, model, mode) for model in DECODERS for suffix, mode in SUFFIXES.items()),
    )
}


@dataclass(frozen=True)
class Settings:
    """Settings of all arms.

    Args:
        batch: puzzles solved together.
        forwards: budget per puzzle, None for none.
        seconds: budget per puzzle, None for none.
        seed: of all random numbers.
        loops: inner loops per forward, None for the checkpoint's own limit.
        checkpoints: folders that replace those in the package, by model.
    """

    batch: int = 64
    forwards: int | None = 5000
    seconds: float | None = None
    seed: int = 0
    loops: int | None = None
    checkpoints: Mapping[str, Path] = field(default_factory=dict)

    def folder(self, model: str) -> Path | str:
        """The folder of a model's checkpoint; a control's own name."""
        shipped = checkpoint.SHIPPED / SHIPPED[model] if model in SHIPPED else model
        return self.checkpoints.get(model, shipped)


def load_denoiser(spec: Spec, settings: Settings) -> Denoiser:
    """Load the denoiser of a diffusion arm or a control. Raises CheckpointError."""
    loops = ALONE if spec.mode == "alone" else settings.loops
    return load(str(settings.folder(spec.model)), SudokuTask(layout.standard(9)), loops)


def make_arm(spec: Spec, settings: Settings, policy: Policy | None = None) -> Arm[Sudoku]:
    """Load an arm's checkpoint and make the arm. Raises CheckpointError.

    Args:
        spec: which arm.
        settings: budget, batch, seed and checkpoints.
        policy: of a diffusion arm; None for the denoiser's own.
    """
    task, options = SudokuTask(layout.standard(9)), (settings.seed, settings.batch)
    budget = Budget(settings.forwards, settings.seconds)
    weights = weights_hash(settings.folder(spec.model))
    if spec.mode in CHECKS:
        folder, checks = Path(settings.folder(spec.model)), CHECKS[spec.mode]
        decoder = load_decoder(folder, "sudoku", spec.model, settings.loops)
        return Arm(
            spec.name,
            lambda puzzles: collect_answers(
                decode(task, puzzles, decoder, checks, budget, *options), len(puzzles)
            ),
            weights,
        )
    denoiser = load_denoiser(spec, settings)
    chosen = policy or denoiser.policy
    if spec.mode != "checks":
        chosen, budget = chosen.with_(checks="none"), replace(budget, forwards=1)
    return Arm(
        spec.name,
        lambda puzzles: collect_answers(
            solve(task, puzzles, denoiser, chosen, budget, *options), len(puzzles)
        ),
        weights,
    )


def collect_answers(events: Iterable[tuple[int, Any]], count: int) -> list[Answer]:
    """Wait for all outcomes; print progress on stderr."""
    answers: dict[int, Answer] = {}
    started = printed = time.perf_counter()
    for index, event in events:
        if not isinstance(event, Decoded | Outcome):
            continue
        outcome, path = (event.outcome, event.path) if isinstance(event, Decoded) else (event, ())
        digits = "".join(str(token + 1) for token in outcome.tokens)
        answers[index] = Answer(
            (digits,), outcome.status, outcome.counters, outcome=outcome, path=tuple(path)
        )
        if time.perf_counter() - printed > PROGRESS:
            printed = time.perf_counter()
            print(f"  {len(answers)} of {count} after {printed - started:.0f} s", file=sys.stderr, flush=True)
    return [answers[index] for index in range(count)]
