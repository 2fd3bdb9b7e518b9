"""``python -m solver evaluate sudoku``: the contest and the studies, as JSON, Markdown and plots."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from solver.cli.main import UsageError
from solver.cli.options import data_folder, limit_threads, positive, whole

SECTIONS = ("contest", "proofs", "repair", "remasking", "calibration", "mistakes", "throughput", "training")
RAW_AND_MASKED = [
    model + suffix
    for model in ("ar", "ar-easiest", "ar-plain", "ar-plain-easiest")
    for suffix in ("", "-masked")
]
QUICK_ARMS = ",".join(["diffusion-oneshot", "diffusion-alone", "diffusion", *RAW_AND_MASKED])
Row = dict[str, Any]


def sizes(text: str) -> list[int]:
    """An argparse type: batch sizes."""
    return [whole(1)(part) for part in text.split(",")]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", choices=("sudoku", "json", "code"), help="what to evaluate")
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="folder with sudoku/ and jsonschema/ (REMASK_DATA; none: generated puzzles only)",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        required=True,
        help="results.json, report.md and plots; new rows join those there",
    )
    parser.add_argument(
        "--sections", default="contest", metavar="A,B", help=f"any of {', '.join(SECTIONS)} (contest)"
    )
    parser.add_argument(
        "--arms", metavar="A,B", help="who takes part (all that have a checkpoint); json, code: A;B"
    )
    parser.add_argument(
        "--files", metavar="A,B", help="only these files (generated_minimal: ours); a+b: both as one"
    )
    parser.add_argument(
        "--limit", type=whole(1), metavar="N", help="puzzles a file at most (200; --quick 400)"
    )
    parser.add_argument("--seeds", type=whole(1), metavar="N", help="evaluation seeds (3; --quick 1)")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="generated puzzles and the arms without search: under five minutes",
    )
    parser.add_argument(
        "--resume", action="store_true", help="leave out what results.json has from the same checkpoints"
    )
    parser.add_argument(
        "--forwards", type=whole(0), default=5000, metavar="N", help="budget a puzzle; 0: none (5000)"
    )
    parser.add_argument("--seconds", type=positive, metavar="S", help="budget a puzzle in seconds (none)")
    parser.add_argument(
        "--loops", type=whole(1), metavar="N", help="inner loops of a forward at most (the checkpoint's own)"
    )
    parser.add_argument(
        "--batch", type=whole(1), default=64, metavar="N", help="puzzles that go together (64)"
    )
    parser.add_argument(
        "--batches",
        type=sizes,
        default="1,8,64,512",
        metavar="A,B",
        help="batch sizes of the throughput section",
    )
    parser.add_argument(
        "--count", type=whole(2), default=200, metavar="N", help="boards to prove, and grids to repair (200)"
    )
    parser.add_argument(
        "--rounds", type=whole(1), default=8, metavar="N", help="drafts in the remasking section (8)"
    )
    parser.add_argument("--inference", choices=("direct", "singles"), default="direct", help="for the proofs")
    parser.add_argument(
        "--checkpoint", action="append", default=[], metavar="MODEL=DIR", help="another checkpoint of a model"
    )
    parser.add_argument(
        "--runs",
        metavar="DIR",
        help="training runs (DIR/MODEL) whose snapshots the training section measures",
    )


def run(arguments: argparse.Namespace) -> int:
    if arguments.task == "json":
        from solver.cli.evaluate_json import run as run_json

        return run_json(arguments)
    if arguments.task == "code":
        from solver.cli.evaluate_code import run as run_code

        return run_code(arguments)

    import torch

    from solver.evaluation import sudoku as evaluation
    from solver.evaluation.arms import Settings
    from solver.evaluation.report import line, report
    from solver.models.checkpoint import CheckpointError

    sections = arguments.sections.split(",")
    if unknown := set(sections) - set(SECTIONS):
        raise UsageError(f"unknown section {min(unknown)!r}; there are {', '.join(SECTIONS)}")
    folder = data_folder(arguments.data)
    limit_threads()
    settings = Settings(
        limit=arguments.limit or (400 if arguments.quick else 200),
        batch=arguments.batch,
        forwards=arguments.forwards or None,
        seconds=arguments.seconds,
        loops=arguments.loops,
        checkpoints=checkpoints(arguments.checkpoint),
    )
    out = Path(arguments.out)
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file, not a folder")
    out.mkdir(parents=True, exist_ok=True)
    results = out / "results.json"
    try:
        rows: list[Row] = json.loads(results.read_text())["rows"] if results.exists() else []
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{results}: not a results file; move it away or choose another --out") from error
    files = evaluation.puzzles(None if arguments.quick else folder, settings.limit)
    files = chosen(files, arguments.files)
    environment = surroundings(torch.get_num_threads())

    def add(row: Row) -> None:
        rows[:] = [old for old in rows if identity(old) != identity(row)]
        rows.append(row)
        partial = results.with_suffix(".part")
        partial.write_text(json.dumps({"environment": environment, "rows": rows}) + "\n")
        partial.replace(results)
        print(line(row), file=sys.stderr, flush=True)

    done = {json.dumps(identity(row)) for row in rows} if arguments.resume else set()
    try:
        for key, call in plan(sections, files, settings, arguments):
            if json.dumps(key) not in done:
                for row in call():
                    add({**row, "weights": key[-1]})
    except CheckpointError as error:
        raise UsageError(str(error)) from error
    (out / "report.md").write_text(report(rows))
    names = [results.name, "report.md"]
    try:
        from solver.evaluation.plots import draw

        names += draw(rows, out)
    except ImportError:
        print("no plots: they need matplotlib (pip install 'remask[notebooks]')", file=sys.stderr)
    print(f"{out}: {', '.join(names)}")
    return 0


def plan(
    sections: list[str], files: dict[str, Any], settings: Any, arguments: argparse.Namespace
) -> Iterator[tuple[list[Any], Callable[[], Iterable[Row]]]]:
    """What is to be measured, in order: the identity of its first row, and the call that yields the rows."""
    from solver.evaluation import sudoku as evaluation
    from solver.evaluation.arms import ARMS

    if "training" in sections and not arguments.runs:
        raise UsageError("the training section needs --runs DIR")
    names = arguments.arms or (QUICK_ARMS if arguments.quick else None)
    arms = [ARMS[name] for name in known(names.split(",") if names else list(ARMS), ARMS)]
    marks = {arm.name: mark(settings.folder(arm.model)) for arm in arms}
    if arguments.arms is None:
        arms = [arm for arm in arms if marks[arm.name] is not None]
    batches, rounds, count = arguments.batches, arguments.rounds, arguments.count

    def key(section: str, file: str, arm: Any, **more: Any) -> list[Any]:
        known_so_far = {"seed": 0, "loops": settings.loops, "weights": marks[arm.name], **more}
        return identity({"section": section, "file": file, "arm": arm.name, **known_so_far})

    if "contest" in sections:
        for file, grids in files.items():
            for arm in arms:
                for seed in range(arguments.seeds or (1 if arguments.quick else 3)):
                    now = replace(settings, seed=seed)
                    yield (
                        key("contest", file, arm, seed=seed),
                        partial(evaluation.contest, arm, file, grids, now),
                    )
    for arm in arms:
        if "proofs" in sections and arm.mode == "checks":
            file = f"unsatisfiable, inference {arguments.inference}"
            yield (
                key("proofs", file, arm),
                partial(evaluation.proofs, arm, count, settings, arguments.inference),
            )
        if "repair" in sections and arm.mode == "checks":
            yield key("repair", "repair", arm), partial(evaluation.repairs, arm, count, settings)
    for file, grids in files.items():
        for arm in arms:
            if "remasking" in sections and arm.name == "diffusion":
                first = key("remasking", file, arm, remask="off", accept=0.98, rounds=rounds)
                yield first, partial(evaluation.remasking, file, grids, rounds, settings)
            if "calibration" in sections and arm.mode in ("oneshot", "raw"):
                yield (
                    key("calibration", file, arm),
                    partial(evaluation.confidence, arm, file, grids, settings),
                )
            if "mistakes" in sections and arm.mode in ("raw", "mask"):
                yield (
                    key("mistakes", file, arm),
                    partial(evaluation.first_mistakes, arm, file, grids, settings),
                )
            if "throughput" in sections:
                first = key("throughput", file, arm, batch=batches[0])
                yield first, partial(evaluation.throughput, arm, file, grids, batches, settings)
            if "training" in sections:
                for step, where in snapshots(Path(arguments.runs), arm.model):
                    first = key("training", file, arm, step=step, weights=mark(str(where)))
                    yield first, partial(evaluation.snapshot, arm, file, grids, settings, where)


def identity(row: Row) -> list[Any]:
    """What a row is about; a new one with the same replaces the old. The last part is the weights' hash."""
    names = (
        "section",
        "file",
        "arm",
        "seed",
        "loops",
        "remask",
        "accept",
        "rounds",
        "batch",
        "step",
        "weights",
    )
    return [row.get(name) for name in names]


def known(names: list[str], among: Any) -> list[str]:
    """``names``, or a UsageError for the first that is not ``among`` them."""
    for name in names:
        if name not in among:
            raise UsageError(f"no such arm: {name}; there are {', '.join(among)}")
    return names


def chosen(files: dict[str, Any], names: str | None) -> dict[str, Any]:
    """The files that were asked for; ``a+b`` is the puzzles of both."""
    import numpy as np

    if not names:
        return files
    for part in names.replace("+", ",").split(","):
        if part not in files:
            raise UsageError(f"no such file: {part}; there are {', '.join(files)}")
    return {name: np.concatenate([files[part] for part in name.split("+")]) for name in names.split(",")}


def checkpoints(options: list[str]) -> tuple[tuple[str, str], ...]:
    """--checkpoint MODEL=DIR, as pairs."""
    from solver.evaluation.arms import SHIPPED

    pairs = []
    for option in options:
        model, _, folder = option.partition("=")
        if model not in SHIPPED or not folder:
            raise UsageError(f"--checkpoint {option}: not MODEL=DIR with a model among {', '.join(SHIPPED)}")
        pairs.append((model, folder))
    return tuple(pairs)


def mark(folder: str) -> str | None:
    """The first 12 digits of the weights' SHA-256; the name itself for a control; None where there is no checkpoint."""
    if folder in ("random", "prior"):
        return folder
    weights = Path(folder) / "model.safetensors"
    return sha256(weights.read_bytes()).hexdigest()[:12] if weights.is_file() else None


def snapshots(runs: Path, model: str) -> list[tuple[int, Path]]:
    """(step, folder) of the checkpoints of ``runs``/model, the last one included."""
    name = "diffusion" if model == "compact" else model
    found = []
    for folder in (*(runs / name / "snapshots").glob("*"), runs / name / "checkpoint"):
        config = folder / "config.json"
        if config.is_file():
            found.append((int(json.loads(config.read_text())["training"]["steps"]), folder))
    return sorted(found)


def surroundings(threads: int) -> Row:
    """The machine and the versions."""
    import torch

    from solver import __version__
    from solver.kernels import looped_c as compiled

    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(text.partition(":")[2].strip() for text in lines if text.startswith("model name"))
    except (OSError, StopIteration):
        pass
    versions = {"remask": __version__, "torch": torch.__version__, "python": platform.python_version()}
    return {
        **versions,
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": threads,
        "compiled": compiled.available(),
    }
