"""``python -m solver evaluate json``: what the engine guarantees on the development schemas, as rows of results.json."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from solver.cli.main import UsageError

Row = dict[str, Any]
SECTIONS = ("guarantee", "membership", "pinned", "speed", "content")


def rows(arguments: argparse.Namespace, sections: list[str]) -> Iterable[Row]:
    """The rows of the sections that were asked for. Raises UsageError."""
    from solver.evaluation import json_schema as evaluation
    from solver.trace import Budget

    if unknown := set(sections) - set(SECTIONS):
        raise UsageError(f"unknown section {min(unknown)!r}; there are {', '.join(SECTIONS)}")
    data = arguments.data or os.environ.get("REMASK_DATA")
    folder = Path(data or "") / "jsonschema"
    if sections != ["content"] and (not data or not folder.is_dir()):
        raise UsageError("evaluate json needs --data DIR (or REMASK_DATA) with a jsonschema folder in it")
    if "content" in sections:  # records are generated: no data is needed
        from solver.checkpoint import SHIPPED
        from solver.evaluation.json_content import content

        chosen = dict(option.split("=", 1) for option in arguments.checkpoint)
        folders = [Path(chosen.get(model, SHIPPED / name)) for model, name in (("compact", "json"), ("ar", "json-ar"))]
        yield from content(folders[0], folders[1], arguments.limit or (60 if arguments.quick else 400))
        sections = [section for section in sections if section != "content"]
        if not sections:
            return
    limit = arguments.limit or (100 if arguments.quick else None)
    some, remotes = evaluation.problems(folder, limit)
    budget = Budget(min(arguments.forwards or 1000, 1000), arguments.seconds or 20.0)
    for section in sections:
        if section == "speed":
            yield from evaluation.speed(some, remotes)
        elif section == "membership":
            yield from evaluation.membership(some, remotes)
        for arm in (arguments.arms or "random").split(",") if section in ("guarantee", "pinned") else ():
            for seed in range(arguments.seeds or 1):
                if section == "guarantee":
                    yield from evaluation.guarantee(some, remotes, arm, budget, seed)
                else:
                    for share in (0.25, 0.5):
                        yield from evaluation.pinned(some, remotes, arm, share, seed)


def run(arguments: argparse.Namespace) -> int:
    sections = ["guarantee"] if arguments.sections == "contest" else arguments.sections.split(",")
    out = Path(arguments.out)
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file, not a folder")
    out.mkdir(parents=True, exist_ok=True)
    results = out / "json.json"
    found: list[Row] = json.loads(results.read_text())["rows"] if results.exists() else []
    for row in rows(arguments, sections):
        key = [row.get(name) for name in ("section", "file", "arm", "seed", "step")]
        found = [old for old in found if [old.get(name) for name in ("section", "file", "arm", "seed", "step")] != key]
        found.append(row)
        results.write_text(json.dumps({"rows": found}, indent=1) + "\n")
        print({name: value for name, value in row.items() if name not in ("failed", "missed")}, file=sys.stderr, flush=True)
    print(f"{results}")
    return 0
