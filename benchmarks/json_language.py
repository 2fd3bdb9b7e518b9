"""The language of a schema by itself: which instances it contains, and how long it takes.

    python benchmarks/json_language.py --data FOLDER --out results [--limit 100]

Writes the sections ``membership`` and ``speed`` of json.json. membership: the test suite's own instances.
speed: milliseconds to compile a schema and to project logits.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from solver.evaluation.json_cases import LENGTH, SchemaCase, by_group, load_schemas
from solver.evaluation.json_real import LISTED
from solver.evaluation.rows import ResultsFile, Row
from solver.evaluation.statistics import quantiles
from solver.kernels.lattice import Slots
from solver.kernels.lattice_fast import Lattice
from solver.tasks.json_schema.errors import SchemaError
from solver.tasks.json_schema.grammar import SchemaGrammar
from solver.tasks.json_schema.serialize import serialize
from solver.tasks.json_schema.validator import build_validator
from solver.tasks.languages import projection
from solver.tasks.languages.unroll import unroll

CELLS = 1024  # bytes of an instance whose membership is asked for


def measure_membership(first: Row, cases: Sequence[SchemaCase]) -> Iterator[Row]:
    """One group: valid instances, spelled canonically, in the language; invalid ones refused."""
    counts: Counter[str] = Counter()
    missed: list[str] = []
    for case in cases:
        try:
            compiler = case.compiler(formats=False)
            grammar = SchemaGrammar(compiler, CELLS)
            lenient, strict = (
                build_validator(case.schema, compiler.draft, formats, dict(case.registry))
                for formats in (False, True)
            )
            member = [serialize(grammar, value) is not None for value, _ in case.tests]
        except SchemaError:  # a $ref to nothing is found where it is followed
            counts["not a schema"] += 1
            continue
        for (value, valid), inside in zip(case.tests, member, strict=True):
            if valid:
                counts["valid"] += 1
                counts["valid, in the language"] += inside
                if not inside:
                    missed.append(f"{case.name}: {json.dumps(value)[:60]}")
                continue
            counts["invalid"] += 1
            counts["invalid, refused by the language"] += not inside
            counts["invalid, refused by either"] += not inside or not lenient.is_valid(value)
            refused = not inside or not strict.is_valid(value)
            counts["invalid, refused by either with formats asserted"] += refused
    yield replace(first, figures={**counts, "missed": missed[:LISTED]})


def measure_language_speed(first: Row, cases: Sequence[SchemaCase]) -> Iterator[Row]:
    """Milliseconds from a schema to its automaton, and from logits to the best block with all marginals.

    One thread, without the validator's own compilation. Nothing is kept between schemas except what the
    process caches of strings and numbers.
    """
    fitting = by_group(case for case in cases if case.fits)
    timings = {group: language_timings(members) for group, members in fitting.items()}
    kinds = next(iter(timings.values()), {})
    merged = {kind: [value for timing in timings.values() for value in timing[kind]] for kind in kinds}
    for group, timing in {**timings, "all together": merged}.items():
        figures = {
            "schemas": len(timing["compile_ms"]),
            **{kind: quantiles(values) for kind, values in timing.items()},
        }
        for kind in ("compile_ms", "project_ms"):
            figures[f"{kind}_all"] = list(quantiles(timing[kind], range(101)).values())
        yield replace(first, file=group, figures=figures)


def language_timings(cases: Sequence[SchemaCase]) -> dict[str, list[float]]:
    """Return milliseconds, states and edges of every schema."""
    rng = np.random.default_rng(0)
    timings: dict[str, list[float]] = {
        kind: [] for kind in ("compile_ms", "project_ms", "best_ms", "states", "edges")
    }

    def record(kind: str, started: float) -> None:
        timings[kind].append(1e3 * (time.perf_counter() - started))

    open_cells = np.zeros(LENGTH, np.int64), np.zeros(LENGTH, bool)
    slots = Slots.single(LENGTH)
    for case in cases:
        started = time.perf_counter()
        try:
            unrolled = unroll(SchemaGrammar(case.compiler(), LENGTH), LENGTH)
        except SchemaError:
            continue
        record("compile_ms", started)
        if unrolled.is_empty:
            continue
        timings["states"].append(unrolled.automaton.num_states)
        timings["edges"].append(len(unrolled.automaton.src))
        logits = rng.normal(size=(LENGTH, 257)).astype(np.float32)  # as denoisers give them
        projection.project(unrolled, slots, logits, *open_cells)  # compiles
        started = time.perf_counter()
        projection.project(unrolled, slots, logits, *open_cells)
        record("project_ms", started)
        weights = projection.byte_weights(logits, *open_cells)
        started = time.perf_counter()
        Lattice(unrolled.automaton, weights, slots).best()
        record("best_ms", started)
    return timings


def main() -> None:
    """Measure the language and write its rows."""
    parser = argparse.ArgumentParser(description="Measure the language of JSON schemas by itself.")
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="DIR", help="folder with jsonschema/")
    add("--out", type=Path, required=True, metavar="DIR", help="json.json is written there")
    add("--limit", type=int, metavar="N", help="schemas per file at most (all)")
    options = parser.parse_args()
    cases = load_schemas(options.data / "jsonschema", options.limit)
    options.out.mkdir(parents=True, exist_ok=True)
    results = ResultsFile(options.out / "json.json")
    for group, members in by_group(cases).items():
        for row in measure_membership(Row("membership", group, "language"), members):
            results.add(row)
    for row in measure_language_speed(Row("speed", cases[0].group, "language"), cases):
        results.add(row)


if __name__ == "__main__":
    main()
