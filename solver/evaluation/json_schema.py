"""Sections of the JSON evaluation, on the development data: what the engine guarantees with any model.

    python -m solver evaluate json --data ../shared/data --out results --sections guarantee,membership,pinned,speed

guarantee: every schema with a valid instance of at most 256 bytes, filled by a denoiser; python's ``jsonschema`` grades (the
validator in the loop is another one).  membership: which of the suite's own instances the language has.  pinned: real
instances of which a share of the bytes stands already.  speed: milliseconds to compile and to project, whole distributions.
"""

from __future__ import annotations

import gzip
import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
from referencing import Registry, Resource
from referencing.jsonschema import specification_with

from solver.api import fill as structured
from solver.api.candidate import Candidate
from solver.kernels.lattice import Slots
from solver.kernels.lattice_fast import Lattice
from solver.loop.trace import Budget
from solver.models.registry import load
from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.errors import FillError, SchemaError
from solver.tasks.json_schema.grammar import SchemaGrammar
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.serialize import serialize
from solver.tasks.json_schema.task import JsonTask
from solver.tasks.json_schema.validator import DRAFTS, build_validator, draft_of
from solver.tasks.languages import projection as language
from solver.tasks.languages import unroll as automata
from solver.tasks.text import Hole

Row = dict[str, Any]
SUITE, STORE, MASK = "json_schema_test_suite", "schemastore_pairs", "maskbench_pairs"
LENGTH = 256
SECTIONS = ("guarantee", "membership", "pinned", "speed")
CLASSES = {
    4: jsonschema.Draft4Validator,
    6: jsonschema.Draft6Validator,
    7: jsonschema.Draft7Validator,
    2019: jsonschema.Draft201909Validator,
    2020: jsonschema.Draft202012Validator,
}
NAMED = {"draft7": 7, "draft2019-09": 2019, "draft2020-12": 2020}


@dataclass(frozen=True, eq=False)
class Problem:
    """A schema of a file, with instances (value, whether it is valid). draft: as the suite says it; None: as the schema does."""

    name: str
    group: str
    schema: Any
    tests: tuple[tuple[Any, bool], ...]
    draft: int | None
    shortest: int | None


def problems(folder: Path, limit: int | None) -> tuple[list[Problem], dict[str, Any]]:
    """All schemas of the development files (at most ``limit`` a file, drawn with one seed), and the suite's remote schemas."""
    found = []
    for file in (SUITE, STORE, MASK):
        rows = [
            json.loads(line)
            for line in gzip.decompress((folder / f"{file}.jsonl.gz").read_bytes()).splitlines()
        ]
        if file == SUITE:
            rows = [row for row in rows if row["kind"] == "required"]
        if limit is not None and len(rows) > limit:
            rows = [rows[at] for at in sorted(np.random.default_rng(0).permutation(len(rows))[:limit])]
        for row in rows:
            group = f"suite {row['draft']}" if file == SUITE else file
            tests = tuple((test["data"], bool(test["valid"])) for test in row["tests"] if "data" in test)
            shortest = row["min_valid_bytes"] if row.get("has_valid", True) else None
            draft = NAMED.get(row.get("draft", ""))
            found.append(Problem(row["id"], group, row["schema"], tests, draft, shortest))
    remotes = json.loads(gzip.decompress((folder / f"{SUITE}_remotes.json.gz").read_bytes()))
    return found, remotes


def grade(problem: Problem, value: Any, remotes: dict[str, Any]) -> bool | None:
    """Whether python's ``jsonschema`` calls the value valid; None where it cannot read a pattern of the schema (``\\p{Letter}``,
    say, which ``re`` does not have). The validator in the loop is the Rust one."""
    remotes = known_to(problem, remotes)
    draft = problem.draft or draft_of(problem.schema, known=remotes)
    name = next(uri for uri, known in DRAFTS.items() if known == draft)
    specification = specification_with(name)
    resources = [
        (uri, Resource.from_contents(contents, default_specification=specification))
        for uri, contents in remotes.items()
    ]
    registry: Registry[Any] = Registry().with_resources(resources)
    try:
        return bool(CLASSES[draft](problem.schema, registry=registry).is_valid(value))
    except re.error:
        return None


def known_to(problem: Problem, remotes: dict[str, Any]) -> dict[str, Any]:
    """The suite's remote schemas, for the suite's own."""
    return remotes if problem.group.startswith("suite") else {}


def form_of(problem: Problem, remotes: dict[str, Any], **more: Any) -> JsonProblem:
    return JsonProblem.of(
        problem.schema,
        registry=known_to(problem, remotes),
        draft=problem.draft,
        formats=not problem.group.startswith("suite"),
        **more,
    )


def quantiles(milliseconds: Sequence[float]) -> dict[str, float]:
    """50, 90, 95, 99 % and the largest."""
    if not milliseconds:
        return {}
    return {f"p{p}": round(float(np.percentile(milliseconds, p)), 2) for p in (50, 90, 95, 99, 100)}


def distribution(milliseconds: Sequence[float]) -> list[float]:
    """A distribution: its 0, 1, ..., 100 % quantiles."""
    return [round(float(x), 2) for x in np.percentile(milliseconds, range(101))] if milliseconds else []


def guarantee(
    some: Sequence[Problem], remotes: dict[str, Any], denoiser: str, budget: Budget, seed: int
) -> Iterator[Row]:
    """Schemas by group: solved, proven without an instance, or which error. invalid: called solved, and python's jsonschema
    disagrees; failed: which."""
    for group in dict.fromkeys(problem.group for problem in some):
        counts: Counter[str] = Counter()
        forwards, seconds = [], []
        failed: list[str] = []
        fitting = [p for p in some if p.group == group and fits(p)]
        for problem in fitting:
            counts["schemas" if problem.shortest is not None else "without a known instance"] += 1
            started = time.perf_counter()
            done: Candidate | FillError | SchemaError
            try:
                form = form_of(problem, remotes)
                counts["fully compiled"] += not form.compiler.declined
                ((_, done),) = structured.fill_many([form], denoiser, budget, seed)
            except (FillError, SchemaError) as error:
                done = error
            seconds.append(time.perf_counter() - started)
            kind = "solved" if isinstance(done, Candidate) else type(done).__name__
            counts[kind if problem.shortest is not None else f"{kind}, no instance known"] += 1
            if isinstance(done, Candidate):
                forwards.append(done.counters.forwards)
                verdict = grade(problem, done.value, remotes)
                if verdict is None:
                    counts["python's jsonschema cannot read the pattern"] += 1
                elif not verdict:
                    counts["invalid by python's jsonschema"] += 1
                    failed.append(f"{problem.name}: {done.text[:60]}")
            elif problem.shortest is not None:
                failed.append(f"{problem.name}: {kind}")
        yield {
            "section": "guarantee",
            "file": group,
            "arm": denoiser,
            "seed": seed,
            **counts,
            "share": round(counts["solved"] / max(1, counts["schemas"]), 4),
            "forwards": quantiles(forwards),
            "ms": quantiles([1e3 * s for s in seconds]),
            "failed": failed[:40],
        }


def membership(some: Sequence[Problem], remotes: dict[str, Any]) -> Iterator[Row]:
    """Valid instances, spelled canonically, that the language has; invalid ones that language and validator refuse."""
    for group in dict.fromkeys(problem.group for problem in some):
        counts: Counter[str] = Counter()
        missed: list[str] = []
        for problem in (p for p in some if p.group == group):
            try:
                compiler = Compiler(
                    problem.schema, formats=False, registry=known_to(problem, remotes), draft=problem.draft
                )
                grammar = SchemaGrammar(compiler, 1024)
                validator = build_validator(problem.schema, compiler.draft, False, known_to(problem, remotes))
                strict = build_validator(problem.schema, compiler.draft, True, known_to(problem, remotes))
                spelled = [serialize(grammar, value) is not None for value, _ in problem.tests]
            except SchemaError:  # a $ref to nothing is found where it is followed
                counts["not a schema"] += 1
                continue
            for (value, valid), inside in zip(problem.tests, spelled, strict=True):
                if valid:
                    counts["valid"] += 1
                    counts["valid, in the language"] += inside
                    if not inside:
                        missed.append(f"{problem.name}: {json.dumps(value)[:60]}")
                else:
                    counts["invalid"] += 1
                    counts["invalid, refused by the language"] += not inside
                    counts["invalid, refused by either"] += not inside or not validator.is_valid(value)
                    counts["invalid, refused by either with formats asserted"] += (
                        not inside or not strict.is_valid(value)
                    )
        yield {
            "section": "membership",
            "file": group,
            "arm": "language",
            "seed": 0,
            **counts,
            "missed": missed[:40],
        }


def pinned(
    some: Sequence[Problem], remotes: dict[str, Any], denoiser: str, share: float, seed: int
) -> Iterator[Row]:
    """Valid instances of at most LENGTH bytes of which a share stands already: is the rest written so that the whole is valid?"""
    task = JsonTask()
    model = load(denoiser, task)
    policy = model.policy
    from solver.loop.engine import solve
    from solver.loop.trace import Outcome

    for group in dict.fromkeys(p.group for p in some if not p.group.startswith("suite")):
        counts: Counter[str] = Counter()
        rng = np.random.default_rng(seed)
        seconds: list[float] = []
        failed: list[str] = []
        for problem in (p for p in some if p.group == group):
            for value, valid in problem.tests[:6]:
                if not valid:
                    continue
                try:
                    text = serialize(
                        SchemaGrammar(
                            Compiler(problem.schema, True, known_to(problem, remotes), problem.draft), LENGTH
                        ),
                        value,
                    )
                except SchemaError:
                    continue
                if text is None or len(text) > LENGTH:
                    continue
                counts["instances"] += 1
                kept = rng.random(len(text)) < share
                parts = with_gaps(text, kept)
                started = time.perf_counter()
                try:
                    form = form_of(problem, remotes, template=parts)
                except FillError as error:
                    counts[type(error).__name__] += 1
                    continue
                for _, event in solve(task, [form], model, policy, Budget(forwards=50), seed):
                    if isinstance(event, Outcome):
                        outcome = event
                seconds.append(1e3 * (time.perf_counter() - started))
                counts[outcome.status] += 1
                if outcome.status != "solved":
                    failed.append(f"{problem.name}: {outcome.status}")
                else:
                    result = task.decode(form, outcome.tokens)
                    verdict = grade(problem, json.loads(result), remotes)
                    counts["valid"] += bool(verdict)
                    if verdict is False:
                        failed.append(f"{problem.name}: {result[:200]}")
                    tokens, fixed = form.given
                    counts["pins kept"] += bool((outcome.tokens == tokens)[fixed].all())
        yield {
            "section": "pinned",
            "file": group,
            "arm": denoiser,
            "seed": seed,
            "pinned": share,
            **counts,
            "ms": quantiles(seconds),
            "failed": failed[:40],
        }


def with_gaps(text: bytes, kept: np.ndarray) -> list[str | Hole]:
    """A text with holes where its bytes are not kept, each as long as what stood there; characters stay whole."""
    parts: list[str | Hole] = []
    at = 0
    for character in text.decode():
        size = len(character.encode())
        if kept[at : at + size].any():
            parts.append(parts.pop() + character if parts and isinstance(parts[-1], str) else character)  # type: ignore[operator]
        elif parts and isinstance(parts[-1], Hole):
            parts[-1] = Hole((parts[-1].size or 0) + size)
        else:
            parts.append(Hole(size))
        at += size
    return parts


def speed(some: Sequence[Problem], remotes: dict[str, Any]) -> Iterator[Row]:
    """Milliseconds from a schema to its automaton (the validator's own compilation left out), and from logits to the best
    block with all marginals: one thread, schemas as they come, nothing kept between them but what the process keeps of strings
    and numbers."""
    groups = dict.fromkeys(problem.group for problem in some)
    found = {group: timings([p for p in some if p.group == group and fits(p)], remotes) for group in groups}
    found["all together"] = {
        what: [ms for one in found.values() for ms in one[what]] for what in next(iter(found.values()))
    }
    for group, taken in found.items():
        yield {
            "section": "speed",
            "file": group,
            "arm": "language",
            "seed": 0,
            "schemas": len(taken["compile_ms"]),
            **{what: quantiles(values) for what, values in taken.items()},
            "compile_ms_all": distribution(taken["compile_ms"]),
            "project_ms_all": distribution(taken["project_ms"]),
        }


def fits(problem: Problem) -> bool:
    return problem.shortest is None or problem.shortest <= LENGTH


def timings(some: Sequence[Problem], remotes: dict[str, Any]) -> dict[str, list[float]]:
    """Milliseconds, states and edges of every schema."""
    rng = np.random.default_rng(0)
    found: dict[str, list[float]] = {
        name: [] for name in ("compile_ms", "project_ms", "best_ms", "states", "edges")
    }
    for problem in some:
        started = time.perf_counter()
        try:
            compiler = Compiler(problem.schema, True, known_to(problem, remotes), problem.draft)
            unrolled = automata.unroll(SchemaGrammar(compiler, LENGTH), LENGTH)
        except SchemaError:
            continue
        found["compile_ms"].append(1e3 * (time.perf_counter() - started))
        if unrolled.is_empty:
            continue
        found["states"].append(unrolled.automaton.num_states)
        found["edges"].append(len(unrolled.automaton.src))
        logits = rng.normal(size=(LENGTH, 257)).astype(np.float32)  # as denoisers give them
        nothing = np.zeros(LENGTH, np.int64), np.zeros(LENGTH, bool)
        whole = Slots.single(LENGTH)
        language.project(unrolled, whole, logits, *nothing)
        started = time.perf_counter()
        language.project(unrolled, whole, logits, *nothing)
        found["project_ms"].append(1e3 * (time.perf_counter() - started))
        weights = language.byte_weights(logits, *nothing)
        started = time.perf_counter()
        Lattice(unrolled.automaton, weights, whole).best()
        found["best_ms"].append(1e3 * (time.perf_counter() - started))
    return found
