"""Options and measurements of ``python -m solver evaluate sudoku``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from solver.cli.main import UsageError
from solver.cli.options import data_folder, integer, positive, split_names

if TYPE_CHECKING:
    from solver.evaluation.harness import Job
    from solver.evaluation.rows import ResultsFile, Row
    from solver.evaluation.sudoku_arms import Settings, Spec

RESULTS, DEFAULT = "results.json", "contest"
LIMIT = "puzzles per file at most (200; --quick 400)"
SECTIONS = {
    "contest": "every arm on every file",
    "proofs": "boards without a solution",
    "strategies": "the model and the search without it: what each adds",
    "repair": "full grids with five errors",
    "remasking": "the effect of re-masking without decisions",
    "calibration": "confidence against accuracy",
    "mistakes": "the first mistake of left-to-right runs",
    "throughput": "puzzles per second by batch size",
    "training": "accuracy of the snapshots of training runs",
}
PER_FILE = "contest strategies remasking calibration mistakes throughput training"
OPTIONS = {
    "data": PER_FILE,
    "files": PER_FILE,
    "limit": PER_FILE,
    "seeds": "contest",
    "batches": "throughput",
    "batch": "contest proofs strategies repair remasking calibration mistakes training",
    "count": "proofs strategies repair",
    "rounds": "remasking",
    "inference": "proofs",
    "runs": "training",
}
MODELS = ("compact", "ar", "ar-easiest", "ar-plain", "ar-plain-easiest")
QUICK_ARMS = (
    *("diffusion-oneshot", "diffusion-alone", "diffusion"),
    *(model + suffix for model in MODELS[1:] for suffix in ("", "-masked")),
)


def sizes(text: str) -> list[int]:
    return [integer(1)(part) for part in text.split(",")]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--arms", metavar="A,B", help="which arms (all that have a checkpoint)")
    add("--files", metavar="A,B", help="only these files (generated_minimal: ours); a+b: both as one")
    add("--seeds", type=integer(1), metavar="N", help="seeds of the contest (3; --quick 1)")
    add("--forwards", type=integer(0), default=5000, metavar="N", help="budget per puzzle; 0: none (5000)")
    add("--seconds", type=positive, metavar="S", help="budget per puzzle in seconds (none)")
    add(
        "--loops", type=integer(1), metavar="N", help="inner loops per forward at most (the checkpoint's own)"
    )
    add("--batch", type=integer(1), metavar="N", help="puzzles solved together (64)")
    add("--batches", type=sizes, metavar="A,B", help="batch sizes of the throughput (1,8,64,512)")
    add("--count", type=integer(2), metavar="N", help="boards to prove, and grids to repair (200)")
    add("--rounds", type=integer(1), metavar="N", help="drafts in the remasking section (8)")
    add("--inference", choices=("direct", "singles"), help="for the proofs (direct)")
    add("--runs", type=Path, metavar="DIR", help="training runs (DIR/MODEL) for the training section")


def plan_sudoku(
    arguments: argparse.Namespace, sections: Sequence[str], results: ResultsFile
) -> Iterator[Job]:
    from solver.evaluation import sudoku
    from solver.evaluation.harness import Job, weights_hash
    from solver.evaluation.rows import Row
    from solver.evaluation.sudoku_arms import SPECS, Settings

    if "training" in sections and not arguments.runs:
        raise UsageError("the training section needs --runs DIR")
    if arguments.quick and arguments.data:
        raise UsageError("--quick measures generated puzzles only, without --data")
    settings = Settings(
        batch=arguments.batch or 64,
        forwards=arguments.forwards or None,
        seconds=arguments.seconds,
        loops=arguments.loops,
        checkpoints=arguments.checkpoint,
    )
    specs = choose_specs(arguments, settings)
    count, rounds = arguments.count or 200, arguments.rounds or 8
    inference: Literal["direct", "singles"] = arguments.inference or "direct"
    batches = arguments.batches or [1, 8, 64, 512]
    limit = arguments.limit or (400 if arguments.quick else 200)
    folder = None if arguments.quick else data_folder(arguments.data)
    files = choose_files(sudoku.evaluation_puzzles(folder, limit), arguments.files)

    def row(section: str, file: str, spec: Spec, **fields: Any) -> Row:
        weights = weights_hash(settings.folder(spec.model))
        return replace(Row(section, file, spec.name, weights=weights, loops=settings.loops), **fields)

    if "contest" in sections:
        for file, grids in files.items():
            for spec in specs:
                for seed in range(arguments.seeds or (1 if arguments.quick else 3)):
                    first, seeded = row("contest", file, spec, seed=seed), replace(settings, seed=seed)
                    yield Job(first, partial(sudoku.measure_contest, first, spec, grids, seeded))
    if "strategies" in sections:
        open_grids, none = sudoku.open_boards(min(count, 20)), sudoku.unsatisfiable_boards(count)
        boards = {**files, "many solutions": open_grids, "no solution": none}
        for (name, (arm, _)), file in product(sudoku.STRATEGIES.items(), boards):
            first = row("strategies", file, SPECS[arm], arm=name)
            yield Job(first, partial(sudoku.measure_strategies, first, boards[file], settings))
    for spec in (spec for spec in specs if spec.mode == "checks"):
        if "proofs" in sections:
            first = row("proofs", f"unsatisfiable, inference {inference}", spec)
            yield Job(first, partial(sudoku.measure_proofs, first, spec, count, settings, inference))
        if "repair" in sections:
            first = row("repair", "repair", spec)
            yield Job(first, partial(sudoku.measure_repair, first, spec, count, settings))
    for file, grids in files.items():
        for spec in specs:
            if "remasking" in sections and spec.name == "diffusion":
                first = row("remasking", file, spec, remask="off", accept=0.98, rounds=rounds)
                yield Job(first, partial(sudoku.measure_remasking, first, grids, rounds, settings))
            if "calibration" in sections and spec.mode in ("oneshot", "raw"):
                first = row("calibration", file, spec)
                yield Job(first, partial(sudoku.measure_calibration, first, spec, grids, settings))
            if "mistakes" in sections and spec.mode in ("raw", "mask"):
                first = row("mistakes", file, spec)
                yield Job(first, partial(sudoku.measure_mistakes, first, spec, grids, settings))
            if "throughput" in sections:
                first = row("throughput", file, spec, batch=batches[0])
                yield Job(first, partial(sudoku.measure_throughput, first, spec, grids, batches, settings))
            for step, snapshot in snapshots(arguments.runs, spec.model) if "training" in sections else ():
                first = row("training", file, spec, step=step, weights=weights_hash(snapshot))
                yield Job(first, partial(sudoku.measure_snapshot, first, spec, grids, settings, snapshot))


def choose_specs(arguments: argparse.Namespace, settings: Settings) -> list[Spec]:
    """Return the arms of ``--arms``, or all that have a checkpoint. Raises UsageError."""
    from solver.evaluation.harness import weights_hash
    from solver.evaluation.sudoku_arms import SPECS

    if arguments.arms is None:
        names = QUICK_ARMS if arguments.quick else tuple(SPECS)
        return [SPECS[name] for name in names if weights_hash(settings.folder(SPECS[name].model)) is not None]
    return [SPECS[name] for name in split_names("arm", arguments.arms, ",", SPECS)]


def choose_files(files: Mapping[str, Any], names: str | None) -> dict[str, Any]:
    """Return the files of ``--files``; ``a+b`` holds the puzzles of both. Raises UsageError."""
    import numpy as np

    if not names:
        return dict(files)
    split_names("file", names.replace("+", ","), ",", files)
    return {name: np.concatenate([files[part] for part in name.split("+")]) for name in names.split(",")}


def snapshots(runs: Path, model: str) -> list[tuple[int, Path]]:
    """Return (step, folder) of a model's checkpoints in a folder of training runs, the last one included."""
    run = runs / ("diffusion" if model == "compact" else model)
    configs = [*run.glob("snapshots/*/config.json"), *run.glob("checkpoint/config.json")]
    return sorted((int(json.loads(path.read_text())["training"]["steps"]), path.parent) for path in configs)
