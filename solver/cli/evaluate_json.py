"""``python -m solver evaluate json``: what the engine guarantees on the development schemas, as rows of json.json, and plots."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from solver.cli.main import UsageError

Row = dict[str, Any]
ENGINE = (
    "guarantee",
    "membership",
    "pinned",
    "speed",
)  # of the engine, with any model: on the development files
MODEL = ("content", "infill", "cross")  # of what the trained models add
SECTIONS = ENGINE + MODEL


def rows(arguments: argparse.Namespace, sections: list[str]) -> Iterator[Row]:
    """The rows of the sections that were asked for. Raises UsageError."""
    from solver.evaluation import json_schema as evaluation
    from solver.loop.trace import Budget
    from solver.models.registry import load
    from solver.tasks.json_schema.task import JsonTask

    if unknown := set(sections) - set(SECTIONS):
        raise UsageError(f"unknown section {min(unknown)!r}; there are {', '.join(SECTIONS)}")
    data = arguments.data or os.environ.get("REMASK_DATA")
    folder = Path(data or "") / "jsonschema"
    if not set(sections) <= {"content", "cross"} and (not data or not folder.is_dir()):
        raise UsageError("evaluate json needs --data DIR (or REMASK_DATA) with a jsonschema folder in it")
    if set(sections) & set(MODEL):
        yield from model_rows(arguments, sections, folder)
        sections = [section for section in sections if section in ENGINE]
        if not sections:
            return
    limit = arguments.limit or (100 if arguments.quick else None)
    some, remotes = evaluation.problems(folder, limit)
    budget = Budget(min(arguments.forwards or 1000, 1000), arguments.seconds or 20.0)
    denoisers = (arguments.arms or "random").split(",")
    if set(sections) & {"guarantee", "pinned"}:
        for name in denoisers:
            try:
                load(name, JsonTask())
            except ValueError as error:  # CheckpointError
                raise UsageError(str(error)) from error
    for section in sections:
        if section == "speed":
            yield from evaluation.speed(some, remotes)
        elif section == "membership":
            yield from evaluation.membership(some, remotes)
        for arm in denoisers if section in ("guarantee", "pinned") else ():
            for seed in range(arguments.seeds or 1):
                if section == "guarantee":
                    yield from evaluation.guarantee(some, remotes, arm, budget, seed)
                else:
                    for share in (0.25, 0.5):
                        yield from evaluation.pinned(some, remotes, arm, share, seed)


def model_rows(arguments: argparse.Namespace, sections: list[str], folder: Path) -> Iterator[Row]:
    """What the trained models add."""
    from solver.evaluation.json_arms import networks
    from solver.evaluation.json_content import arms, content
    from solver.evaluation.json_cross import cross
    from solver.evaluation.json_infill import infill

    if wrong := [
        option
        for option in arguments.checkpoint
        if option.split("=")[0] not in ("compact", "ar") or "=" not in option
    ]:
        raise UsageError(f"--checkpoint {wrong[0]}: not compact=DIR or ar=DIR")
    chosen = {name: Path(path) for name, path in (option.split("=", 1) for option in arguments.checkpoint)}
    try:
        network, baseline = networks(chosen.get("compact"), chosen.get("ar"))
    except ValueError as error:  # CheckpointError
        raise UsageError(str(error)) from error
    if "content" in sections:  # records are generated: no data is needed
        only = arguments.arms.split(";") if arguments.arms else None
        names = list(arms(network, baseline))
        if unknown := set(only or ()) - set(names):
            raise UsageError(f"unknown arm {min(unknown)!r}; there are {'; '.join(names)}")
        yield from content(network, baseline, arguments.limit or (60 if arguments.quick else 400), only)
    if "infill" in sections:
        yield from infill(folder, network, baseline, arguments.limit or (40 if arguments.quick else 200))
    if "cross" in sections:
        yield from cross(network, baseline, arguments.limit or (20 if arguments.quick else 100))


def run(arguments: argparse.Namespace) -> int:
    from solver.evaluation.json_plots import PLOTS
    from solver.evaluation.plots import draw

    sections = ["guarantee"] if arguments.sections == "contest" else arguments.sections.split(",")
    out = Path(arguments.out)
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file, not a folder")
    out.mkdir(parents=True, exist_ok=True)
    results = out / "json.json"
    found: list[Row] = json.loads(results.read_text())["rows"] if results.exists() else []
    for row in rows(arguments, sections):
        key = [row.get(name) for name in ("section", "file", "arm", "seed", "pinned")]
        found = [
            old
            for old in found
            if [old.get(name) for name in ("section", "file", "arm", "seed", "pinned")] != key
        ]
        found.append(row)
        results.write_text(json.dumps({"rows": found}, indent=1) + "\n")
        short = {
            name: value
            for name, value in row.items()
            if name not in ("failed", "missed") and not name.endswith("_all")
        }
        print(short, file=sys.stderr, flush=True)
    print("\n".join(str(out / name) for name in (results.name, *draw(found, out, PLOTS))))
    return 0
