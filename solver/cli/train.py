"""``python -m solver train sudoku``: train a checkpoint. A run can be stopped and resumed at any time."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solver.cli.main import UsageError
from solver.cli.options import data_folder, integer, limit_threads, make_folder, positive
from solver.recipes import RECIPES, ExampleSource, Recipe, recipe

if TYPE_CHECKING:
    from solver.training.loaders import Examples
    from solver.training.preset import Preset

REPORT_EVERY = 10.0  # seconds, of progress in preparing examples


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", choices=RECIPES, help="task to train for, or the JSON task's reader")
    parser.add_argument(
        "--model",
        default="diffusion",
        metavar="NAME",
        help="the denoiser, or a left-to-right baseline: ar, and for sudoku ar-easiest, ar-plain, "
        "ar-plain-easiest (diffusion)",
    )
    parser.add_argument(
        "--preset", choices=("cpu", "gpu", "smoke"), default="cpu", help="size and length of the run (cpu)"
    )
    parser.add_argument("--out", metavar="DIR", help="where the run is kept (runs/TASK-MODEL-PRESET)")
    trials = parser.add_argument_group("for trials", "in place of the preset's own")
    trials.add_argument("--rate", type=positive, metavar="R", help="learning rate")
    trials.add_argument("--steps", type=integer(1), metavar="N", help="steps, and with them the schedule")
    trials.add_argument(
        "--noise", choices=("mask", "uniform", "hybrid"), help="content of a denoiser's unknown cells"
    )
    parser.add_argument("--resume", action="store_true", help="continue the run in --out")
    parser.add_argument(
        "--minutes",
        type=positive,
        metavar="N",
        help="stop after N minutes, to be resumed; the preparation of the examples counts, but is completed "
        "(no limit)",
    )
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="folder with the development files, sudoku/ or jsonschema/ (REMASK_DATA; none: generated only)",
    )


def run(arguments: argparse.Namespace) -> int:
    started = time.monotonic()
    deadline = started + 60 * arguments.minutes if arguments.minutes is not None else None
    out = Path(arguments.out or f"runs/{arguments.task}-{arguments.model}-{arguments.preset}")
    check_output(out, arguments.resume)

    import torch

    from solver.training.trainer import Trainer

    limit_threads()
    chosen = recipe(arguments.task)
    preset = choose_preset(chosen, arguments)
    if chosen.data is None and arguments.data is not None:
        raise UsageError(f"--data: {arguments.task} is trained on installed sources and reads no data folder")
    folder = data_folder(arguments.data, chosen.data) if chosen.data is not None else None
    device = "cuda" if torch.cuda.is_available() else "cpu"
    show(f"{preset.steps} steps of {preset.rows} canvases on {device}, into {out}")
    try:
        examples = prepare_examples(chosen, preset, folder, out / "examples.npz", arguments.resume)
        task = chosen.make_task().name
        trainer = Trainer(preset, lambda: chosen.make_objective(preset, examples, device), task)
        sizes = trainer.objective.loader.sizes
        show(f"{sum(sizes)} examples: {', '.join(map(str, sizes))}")
        if arguments.resume:
            trainer.restore(out)
            show(f"resumed at step {trainer.steps_done}")
    except ValueError as error:
        raise UsageError(str(error)) from error
    facts = {
        "model": arguments.model,
        "preset": arguments.preset,
        "data": sizes,
        "settings": asdict(preset),
    }
    result = "complete" if trainer.run(out, deadline, show, facts) else "stopped"
    show(f"{result} at step {trainer.steps_done}; weights in {out / 'checkpoint'}")
    return 0


def check_output(out: Path, resume: bool) -> None:
    has_run = (out / "state.safetensors").is_file()
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file, not a folder")
    if has_run and not resume:
        raise UsageError(f"{out} holds a run: --resume continues it, another --out begins a new one")
    if resume and not has_run:
        raise UsageError(f"{out}: nothing to resume, state.safetensors is missing")


def choose_preset(chosen: Recipe, arguments: argparse.Namespace) -> Preset[Any]:
    name = (arguments.model, arguments.preset)
    if name not in chosen.presets:
        known = ", ".join(" ".join(each) for each in chosen.presets)
        raise UsageError(f"no preset {name[1]!r} for --model {name[0]}; there are: {known}")
    try:
        return chosen.presets[name].override(arguments.rate, arguments.steps, arguments.noise)
    except ValueError as error:
        raise UsageError(str(error)) from error


def prepare_examples(
    chosen: Recipe,
    preset: Preset[Any],
    folder: Path | None,
    path: Path,
    resume: bool,
) -> Examples:
    """Make the examples of a run and save them in ``path``; a resumed run reads them. Raises ValueError."""
    import torch

    from solver.training.loaders import load_examples, save_examples

    if resume and path.is_file():
        return load_examples(path)
    source = ExampleSource(folder, torch.get_num_threads(), throttled_report())
    examples = chosen.make_examples(preset, source)
    make_folder(path.parent)
    save_examples(examples, path)
    return examples


def throttled_report() -> Callable[[int, int], None]:
    """Return a function that prints how many examples are made, every ten seconds at most."""
    last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > REPORT_EVERY:
            last = time.monotonic()
            show(f"preparing examples: {done} of {total}")

    return report


def show(line: str) -> None:
    print(line, flush=True)
