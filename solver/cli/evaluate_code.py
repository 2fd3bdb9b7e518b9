"""``python -m solver evaluate code``: holes, repairs and variable misuse on functions that no training saw, as rows of
code.json."""

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
OWN = ("infill", "dependent", "repair", "speed")  # on functions of the corpus's development half
DATA = ("misuse", "others", "benchmarks")  # on the development files of --data
SECTIONS = OWN + DATA
SEVERAL = 250  # sets of dependent holes of each kind; there are fewer calls and imports


def rows(arguments: argparse.Namespace, sections: list[str]) -> Iterator[Row]:
    """The rows of the sections that were asked for. Raises UsageError."""
    if unknown := set(sections) - set(SECTIONS):
        raise UsageError(f"unknown section {min(unknown)!r}; there are {', '.join(SECTIONS)}")
    data = arguments.data or os.environ.get("REMASK_DATA")
    folder = Path(data or "") / "code"
    if set(sections) & set(DATA) and (not data or not folder.is_dir()):
        raise UsageError("these sections need --data DIR (or REMASK_DATA) with a code folder in it")
    if wrong := [
        option
        for option in arguments.checkpoint
        if option.split("=")[0] not in ("compact", "ar") or "=" not in option
    ]:
        raise UsageError(f"--checkpoint {wrong[0]}: not compact=DIR or ar=DIR")

    from solver.evaluation import code, code_arms
    from solver.evaluation.code_holes import compared, holes
    from solver.models import controls
    from solver.models.code_denoiser import CodeDenoiser
    from solver.models.protocol import Denoiser
    from solver.tasks.code_edit.corpus import Corpus
    from solver.tasks.code_edit.holes import cuts, dependent
    from solver.tasks.code_edit.vocabulary import Vocabulary

    chosen = {name: Path(path) for name, path in (option.split("=", 1) for option in arguments.checkpoint)}
    try:
        network, baseline = code_arms.networks(chosen.get("compact"), chosen.get("ar"))
    except ValueError as error:  # CheckpointError
        raise UsageError(str(error)) from error
    random = controls.random(Vocabulary.load().size)
    names = list(code_arms.arms(network, baseline, ()))
    wanted = arguments.arms.split(";") if arguments.arms else names
    if unknown := set(wanted) - set(names):
        raise UsageError(f"unknown arm {min(unknown)!r}; there are {'; '.join(names)}")
    corpus = Corpus.build()  # a minute
    arms = {
        name: arm for name, arm in code_arms.arms(network, baseline, corpus.train).items() if name in wanted
    }
    limit = arguments.limit or (20 if arguments.quick else 100)
    several = arguments.limit or (20 if arguments.quick else SEVERAL)
    if "infill" in sections:
        yield from code.infill(compared(holes(corpus.development, cuts, limit), corpus.train), arms)
    if "dependent" in sections:
        some = compared(holes(corpus.development, dependent, several), corpus.train)
        yield from code.infill(some, arms, "code-dependent")
    models: dict[str, Denoiser] = {"random": random}
    if network is not None:
        models["diffusion"] = CodeDenoiser(network)
    if "repair" in sections:
        yield from code.repairs(corpus.development, models, limit)
    if "speed" in sections and network is not None:
        yield code.speed(holes(corpus.development, cuts, limit), code_arms.looped(models["diffusion"]))
    if set(sections) & set(DATA):
        from solver.evaluation import code_data

        if "misuse" in sections:
            yield from code_data.misuse(folder, network, baseline, arguments.limit)
        if "others" in sections:
            yield from code.infill(
                compared(code_data.others(folder, arguments.limit), corpus.train), arms, "code-others"
            )
        if "benchmarks" in sections:
            yield from code_data.benchmarks(folder, arms, arguments.limit)


def run(arguments: argparse.Namespace) -> int:
    sections = ["infill"] if arguments.sections == "contest" else arguments.sections.split(",")
    out = Path(arguments.out)
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file, not a folder")
    out.mkdir(parents=True, exist_ok=True)
    results = out / "code.json"
    found: list[Row] = json.loads(results.read_text())["rows"] if results.exists() else []
    for row in rows(arguments, sections):
        key = [row.get(name) for name in ("section", "file", "arm", "seed")]
        found = [
            old for old in found if [old.get(name) for name in ("section", "file", "arm", "seed")] != key
        ]
        if (
            row["arm"] == "diffusion" and row["file"] == "all"
        ):  # how far the one before was ahead of others is of no more use
            found = [old for old in found if old["section"] != f"{row['section']}-lead"]
        found.append(row)
        results.write_text(json.dumps({"rows": found}, indent=1) + "\n")
        print(
            {name: value for name, value in row.items() if not name.startswith("within")},
            file=sys.stderr,
            flush=True,
        )
    from solver.evaluation import plots
    from solver.evaluation.code_plots import PLOTS

    plots.draw(found, out, PLOTS)
    print(results)
    return 0
