"""Record the results of solving, filling, editing and generating, and compare two recordings.

    python benchmarks/regression.py record --data FOLDER --out NEW.json [--quick] [--cases OLD.json]
    python benchmarks/regression.py compare OLD.json NEW.json

A recording holds the cases and, for each case, a status, a text and the number of forwards. ``--cases`` reuses the
cases of an older recording, so that changes of the generators do not change them; ``--data`` is not needed then.
``--quick`` runs every eleventh case. ``compare`` succeeds if all statuses and at least 99 % of the texts are equal.

Results should depend on the code alone: reference kernels, one thread, fp32, AVX2, fixed seeds, budgets in forwards.
"""

from __future__ import annotations

import argparse
import ast
import gzip
import json
import os
import sys
import sysconfig
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any

# --- the adapter: all that is known of the project's interface. Settings come before torch is imported.

os.environ.update(REMASK_KERNELS="reference", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", NUMBA_NUM_THREADS="1")
os.environ.update(OPENBLAS_NUM_THREADS="1", OPENBLAS_CORETYPE="Haswell", MKL_CBWR="AVX2")
os.environ.update(ATEN_CPU_CAPABILITY="avx2", ONEDNN_MAX_CPU_ISA="AVX2")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

import solver
from solver.loop.engine import solve
from solver.loop.trace import Budget, Outcome
from solver.models.checkpoint import load
from solver.tasks.code_edit.corruptions import corrupt
from solver.tasks.code_edit.holes import sample_dependent_holes, sample_single_holes
from solver.tasks.code_edit.task import CodeTask
from solver.tasks.json_schema.task import JsonTask
from solver.tasks.sudoku import layout
from solver.tasks.sudoku.data import to_grid
from solver.tasks.sudoku.task import Sudoku, SudokuTask
from solver.tasks.task import Violation
from solver.tasks.text import Draft, Hole
from tests import tiny_models

Case = dict[str, Any]  # id, seed, forwards, and what the section needs
Result = tuple[str, str, int]
FIELDS = ("status", "text", "forwards")
RENAMED: dict[str, str] = {}  # class names of errors today: those in older recordings
TINY = ("gemma", "tiny_llada", "tiny_dream")


@cache
def model(kind: str) -> Any:
    """A shipped denoiser or a tiny language model."""
    if kind == "gemma":
        return tiny_models.gemma(canvas=48)
    if kind in TINY:
        return tiny_models.remote_model(kind)
    return load("compact", JsonTask() if kind == "json" else CodeTask())


def sudoku(cases: list[Case]) -> Iterator[Result]:
    """All puzzles of a denoiser go through as one stream of batches."""
    task, found = SudokuTask(layout.standard(9)), dict[str, Result]()
    for denoiser in ("compact", "random"):
        some = [case for case in cases if case["denoiser"] == denoiser]
        problems = [Sudoku(grid) for grid in to_grid([case["puzzle"] for case in some])]
        loaded, budget = load(denoiser, task), Budget(forwards=cases[0]["forwards"])
        for at, event in solve(task, problems, loaded, None, budget, [one["seed"] for one in some], batch=32):
            if isinstance(event, Outcome):
                text = task.decode(problems[at], event.tokens)
                found[some[at]["id"]] = event.status, text, event.counters.forwards
    yield from (found[case["id"]] for case in cases)


def json_schema(case: Case) -> Result:
    denoiser = "random" if case["denoiser"] == "random" else model("json")
    settings = {"text": case["text"], "length": case["length"], "seed": case["seed"]}
    budget = Budget(forwards=case["forwards"])
    found = solver.fill(case["schema"], denoiser=denoiser, budget=budget, **settings)
    return "solved", found.text, found.counters.forwards


def code(case: Case) -> Result:
    """An edit where the case has spans, else a repair."""
    settings = {"candidates": case["candidates"], "seed": case["seed"], "denoiser": model("code")}
    settings["budget"] = Budget(forwards=case["forwards"])
    if "spans" in case:
        found = solver.edit(case["source"], [(a, b) for a, b in case["spans"]], **settings)
    else:
        found = solver.repair(case["source"], **settings)
    status = "solved" if found.status == "solved" else "broken"
    return status, "\f".join(one.text for one in (found, *found.alternatives)), found.counters.forwards


def text(case: Case) -> Result:
    settings = {**generations()[case["call"]], "prompt": "the count is", "seed": case["seed"]}
    budget, tokenizer = Budget(forwards=case["forwards"]), tiny_models.tokenizer()
    found = solver.generate(model(case["model"]), tokenizer, budget=budget, **settings)
    candidates = (found, *found.alternatives)
    forwards = sum(one.counters.forwards for one in candidates)
    return found.status, "\f".join(one.text for one in candidates), forwards


def attempted(run: Callable[[Case], Result], case: Case) -> Result:
    """The result of a case; the status of an error is the name of its class."""
    try:
        return run(case)
    except (ValueError, RecursionError) as error:
        name = type(error).__name__
        return RENAMED.get(name, name), "", getattr(error, "forwards", 0)


def generations() -> dict[str, dict[str, Any]]:
    """Keyword arguments of ``generate``, by name."""

    def vowels(draft: Draft) -> Iterator[Violation]:
        yield from (
            Violation("a vowel", span=(at, at + 1)) for at, c in enumerate(draft.text) if c in "aeiou"
        )

    properties = {"name": {"type": "string", "maxLength": 6}, "born": {"type": "integer", "minimum": 0}}
    schema = {"properties": properties, "required": ["name", "born"], "additionalProperties": False}
    whole, template = {"schema": {"type": "object", **schema}, "length": 48}, ['{"a": "', Hole(3), '"}']
    return {
        "free": {"length": 16},
        "long": {"length": 72, "candidates": 2},
        "template": {"template": template, "candidates": 3},
        "template and check": {"template": template, "check": vowels},
        "check": {"length": 24, "check": vowels, "candidates": 2},
        "impossible": {"length": 12, "check": lambda draft: ["never"]},
        "schema": whole,
        "schema and check": {**whole, "check": lambda draft: ["odd"] * (json.loads(draft.text)["born"] % 2)},
        "regex": {"regex": r"(one|two), [a-z]{3,9}!", "length": 24, "candidates": 2},
    }


def drawn(source: str, kind: str, seed: int) -> Iterator[Case]:
    """Cases from a function: "cuts", "dependent" (sets of holes that depend on each other) or "damage"."""
    rng, within = np.random.default_rng(seed), (0, len(source))
    if kind == "damage":
        broken = corrupt(source, within, rng)
        yield from [] if broken is None else [{"id": broken.kind, "source": broken.source}]
        return
    for cut in (
        sample_single_holes(source, within, rng)
        if kind == "cuts"
        else sample_dependent_holes(source, within, rng)
    ):
        if max(b - a for a, b in cut.spans) <= 60:
            yield {"id": cut.kind, "source": source, "spans": [list(span) for span in cut.spans]}


# --- cases

QUICK = 11  # odd, so that a quick run has both halves of cases that alternate
SHARE = 0.99  # of the texts have to be equal
PUZZLES = "norvig_easy50 norvig_top95 sepb_hard150_rated csi4900_expert10k magictour_top1465"
PUZZLES += " royle17_first_half forum_hardest_1905_first_half sepb_diabolical_rated"
SCHEMAS = {"schemastore_pairs": 60, "maskbench_pairs": 140, "json_schema_test_suite": 100}
MODULES = "textwrap heapq shlex fnmatch string statistics fractions calendar colorsys csv difflib argparse"
MODULES += " posixpath random tokenize gettext ast json/decoder json/encoder"


def spaced(some: list[Any], count: int) -> list[Any]:
    """``count`` items at equal distances."""
    return [some[at * len(some) // count] for at in range(count)]


def sudoku_cases(data: Path) -> Iterator[Case]:
    files = [("compact", name, 21) for name in PUZZLES.split()]
    files += [("random", "norvig_easy50", 16), ("random", "sepb_easy150_rated", 16)]
    for denoiser, name, count in files:
        lines = (data / "sudoku" / f"{name}.txt").read_text(encoding="utf-8").split()
        some = spaced([line for line in lines if len(line) >= 81], count)
        for seed, line in enumerate(some):
            case = {"id": f"{denoiser} {name} {seed}", "puzzle": line[:81], "denoiser": denoiser}
            yield {**case, "forwards": 100, "seed": seed}


def json_cases(data: Path) -> Iterator[Case]:
    for name, count in SCHEMAS.items():
        with gzip.open(data / "jsonschema" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        rows = [row for row in rows if not row.get("remote") and row.get("schema_bytes", 0) <= 12_000]
        for seed, row in enumerate(spaced(rows, count)):
            valid = next((test["data"] for test in row["tests"] if test["valid"]), "")
            text = json.dumps(valid, ensure_ascii=False).translate(str.maketrans("", "", '{}[]"'))[:300]
            for denoiser in ("random", "compact"):
                case = {"id": f"{row['id']} {denoiser}", "denoiser": denoiser, "schema": row["schema"]}
                yield {**case, "text": text, "length": 256, "forwards": 24, "seed": seed}


def code_cases(kind: str, count: int, forwards: int) -> Iterator[Case]:
    """Cases from functions of the standard library."""
    functions = []
    for module in MODULES.split():
        text = (Path(sysconfig.get_paths()["stdlib"]) / f"{module}.py").read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                lines = text.splitlines(keepends=True)[node.lineno - 1 : node.end_lineno]
                functions.append(textwrap.dedent("".join(lines)))
    some = [one for one in functions if 250 <= len(one) <= 1200 and one.isascii()]
    cases = [case for seed, source in enumerate(some) for case in drawn(source, kind, seed)]
    for at, case in enumerate(spaced(cases, count)):
        name = f"{kind} {case['id']} {at}"
        yield {**case, "id": name, "candidates": 1 + at % 2, "forwards": forwards, "seed": at}


def text_cases(_: Path) -> Iterator[Case]:
    for seed in range(4):
        for model in TINY:
            for call in generations():
                case = {"id": f"{model} {call} {seed}", "model": model, "call": call}
                yield {**case, "seed": seed, "forwards": 40}


def each(run: Callable[[Case], Result]) -> Callable[[list[Case]], Iterable[Result]]:
    """``run`` on a list of cases."""
    return partial(map, partial(attempted, run))


SECTIONS: dict[str, tuple[Callable[[Path], Iterable[Case]], Callable[[list[Case]], Iterable[Result]]]] = {
    "sudoku": (sudoku_cases, sudoku),
    "json": (json_cases, each(json_schema)),
    "holes": (lambda _: chain(code_cases("cuts", 40, 64), code_cases("dependent", 20, 80)), each(code)),
    "repairs": (lambda _: code_cases("damage", 60, 120), each(code)),
    "text": (text_cases, each(text)),
}

# --- the command


def record(data: Path, out: Path, quick: bool, cases: Path | None) -> None:
    torch.cpu._is_avx512_bf16_supported = lambda: False  # networks stay in fp32
    torch.set_num_threads(1)
    old = json.loads(cases.read_text(encoding="utf-8")) if cases else None
    sections: dict[str, Any] = {}
    for name, (make, run) in SECTIONS.items():
        some = old["sections"][name]["cases"] if old else list(make(data))
        some = some[::QUICK] if quick and not (old and old["quick"]) else some
        torch.manual_seed(0)
        started, results = time.perf_counter(), list[dict[str, Any]]()
        for result in run(some):
            results.append(dict(zip(FIELDS, result, strict=True)))
            print(f"\r{name}: {len(results)}/{len(some)}", end="", file=sys.stderr, flush=True)
        print(f" in {time.perf_counter() - started:.0f} s", file=sys.stderr)
        sections[name] = {"cases": some, "results": results}
    found = {"quick": quick or bool(old and old["quick"]), "sections": sections}
    out.write_text(json.dumps(found, indent=1), encoding="utf-8")


def compare(old: Path, new: Path) -> bool:
    """Print the differences; whether all statuses and enough texts are equal."""
    files = [json.loads(path.read_text(encoding="utf-8"))["sections"] for path in (old, new)]
    total, wrong = 0, dict.fromkeys(FIELDS, 0)
    for name in SECTIONS:
        both = [file[name] for file in files]
        a, b = ({c["id"]: r for c, r in zip(s["cases"], s["results"], strict=True)} for s in both)
        if both[0]["cases"] != both[1]["cases"]:
            print(f"{name}: the cases differ; record with --cases {old}")
        here = dict.fromkeys(FIELDS, 0)
        for key, field in ((key, field) for key in {**a, **b} for field in FIELDS):
            one, other = a.get(key, {}).get(field), b.get(key, {}).get(field)
            if one != other:
                here[field] += 1
                print(f"{name}: {key}: {field}: {one!r} -> {other!r}")
        print(f"{name}: {len(a)} and {len(b)} results, differences: {here}")
        total, wrong = total + len({**a, **b}), {field: wrong[field] + here[field] for field in FIELDS}
    return total > 0 and wrong["status"] == 0 and wrong["text"] <= (1 - SHARE) * total


def main() -> int:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True)
    recording, comparing = commands.add_parser("record"), commands.add_parser("compare")
    for name, needed in (("--data", False), ("--out", True), ("--cases", False)):
        recording.add_argument(name, type=Path, required=needed)
    recording.add_argument("--quick", action="store_true")
    comparing.add_argument("old", type=Path)
    comparing.add_argument("new", type=Path)
    given = parser.parse_args()
    if given.command == "compare":
        return 0 if compare(given.old, given.new) else 1
    if given.data is None and given.cases is None:
        parser.error("record needs --data or --cases")
    record(given.data, given.out, given.quick, given.cases)
    return 0


if __name__ == "__main__":
    sys.exit(main())
