"""``python -m solver evaluate sudoku``: the tables, as JSON and Markdown."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any

from solver.cli.main import UsageError
from solver.cli.options import cores, puzzle_folder, whole

SECTIONS = ("checks", "neural", "unsatisfiable", "repair")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", choices=("sudoku",), help="what to evaluate")
    parser.add_argument("--data", metavar="DIR", help="folder with a sudoku/ folder (REMASK_DATA; none: generated puzzles only)")
    parser.add_argument("--out", metavar="DIR", required=True, help="where results.json and report.md go; sections add up there")
    parser.add_argument("--denoisers", default="compact,prior,random", metavar="A,B", help="names or checkpoint folders")
    parser.add_argument("--sections", default=",".join(SECTIONS), metavar="A,B", help=f"any of {', '.join(SECTIONS)}")
    parser.add_argument("--files", metavar="A,B", help="only these files, by name without ending (generated_minimal: ours)")
    parser.add_argument("--limit", type=whole(1), default=500, metavar="N", help="puzzles a file at most (500)")
    parser.add_argument("--forwards", type=whole(0), default=5000, metavar="N", help="budget a puzzle; 0: none (5000)")
    parser.add_argument("--loops", type=whole(1), metavar="N", help="inner loops of a forward at most (the checkpoint's own)")
    parser.add_argument("--batch", type=whole(1), default=64, metavar="N", help="puzzles denoised together (64)")
    parser.add_argument(
        "--count", type=whole(2), default=200, metavar="N", help="unsatisfiable boards, and grids to repair (200)"
    )
    parser.add_argument("--inference", choices=("direct", "singles"), default="direct", help="for the proofs")


def run(arguments: argparse.Namespace) -> int:
    import torch

    from solver import __version__
    from solver.checkpoint import CheckpointError
    from solver.denoisers.load import load
    from solver.evaluation import sudoku as evaluation

    sections = arguments.sections.split(",")
    if unknown := set(sections) - set(SECTIONS):
        raise UsageError(f"unknown section {min(unknown)!r}; there are {', '.join(SECTIONS)}")
    folder = puzzle_folder(arguments.data)
    torch.set_num_threads(cores())
    settings = evaluation.Settings(arguments.limit, arguments.batch, arguments.forwards or None)
    files = evaluation.puzzles(folder, arguments.limit)
    if arguments.files:
        wanted = arguments.files.split(",")
        if missing := [name for name in wanted if name not in files]:
            raise UsageError(f"no such file: {missing[0]}; there are {', '.join(files)}")
        files = {name: files[name] for name in wanted}
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    results = out / "results.json"
    rows: list[dict[str, Any]] = json.loads(results.read_text())["rows"] if results.exists() else []
    environment: dict[str, Any] = {"remask": __version__, "torch": torch.__version__, "python": platform.python_version()}
    environment |= {"cpu": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}

    def add(section: str, row: dict[str, Any]) -> None:
        row = {"section": section, "loops": arguments.loops, **row}
        same = ("section", "file", "denoiser", "loops")
        rows[:] = [old for old in rows if any(old[key] != row[key] for key in same)]
        rows.append(row)
        results.write_text(json.dumps({"environment": environment, "rows": rows}, indent=1) + "\n")
        (out / "report.md").write_text(report(rows))
        print(line(row), file=sys.stderr, flush=True)

    for name in arguments.denoisers.split(","):
        try:
            denoiser = load(name, "sudoku", 9, arguments.loops)
        except CheckpointError as error:
            raise UsageError(str(error)) from error
        for file, grids in files.items():
            if "neural" in sections and denoiser.informed:
                add("neural", evaluation.neural_only(file, grids, denoiser, settings))
            if "checks" in sections:
                add("checks", evaluation.with_checks(file, grids, denoiser, settings))
        if "unsatisfiable" in sections:
            add("unsatisfiable", evaluation.proofs(denoiser, settings, arguments.count, arguments.inference))
        if "repair" in sections:
            add("repair", evaluation.repairs(denoiser, settings, arguments.count))
    print(f"{results} and {out / 'report.md'}")
    return 0


def line(row: dict[str, Any]) -> str:
    """A row for a person who watches."""
    extra = "".join(f"  {key} {row[key]}" for key in ("nodes_mean", "nodes_max", "restored") if key in row)
    forwards = f"{row['forwards_mean']} (median {row['forwards_median']:.0f}, max {row['forwards_max']})"
    solved = f"{row['solved']}/{row['puzzles']} solved, {row['wrong']} wrong, {row['unsatisfiable']} unsat"
    costs = f"decisions {row['decisions_mean']}, {row['seconds']} s, {row['per_second']}/s"
    return f"{row['section']:<13} {row['file']:<32} {row['denoiser']:<8} {solved}; forwards {forwards}, {costs}{extra}"


def report(rows: list[dict[str, Any]]) -> str:
    """The tables in Markdown."""
    keys: tuple[str, ...] = (
        "file",
        "denoiser",
        "puzzles",
        "solved",
        "wrong",
        "unsatisfiable",
        "exhausted",
        "forwards_mean",
        "forwards_median",
    )
    keys += ("forwards_max", "decisions_mean", "remasked_mean", "loops_mean", "gflop_mean", "seconds", "per_second")
    parts = ["# Sudoku, measured\n"]
    for section in SECTIONS:
        chosen = [row for row in rows if row["section"] == section]
        if chosen:
            columns = [
                key for key in (*keys, "nodes_mean", "nodes_max", "restored", "loops") if any(key in row for row in chosen)
            ]
            parts.append(f"\n## {section}\n\n| " + " | ".join(columns) + " |\n|" + "---|" * len(columns) + "\n")
            parts += ["| " + " | ".join(str(row.get(key, "")) for key in columns) + " |\n" for row in chosen]
    return "".join(parts)
