"""Options and measurements of ``python -m solver evaluate code``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from solver.cli.options import integer, needed_folder, split_names

if TYPE_CHECKING:
    from pathlib import Path

    from solver.evaluation.code_arms import CodeModels
    from solver.evaluation.code_holes import HoleCase
    from solver.evaluation.harness import Arm, Job
    from solver.evaluation.rows import ResultsFile, Row
    from solver.tasks.code_edit.corpus import Corpus

RESULTS, DEFAULT = "code.json", "infill"
LIMIT = "problems of each kind at most"
SECTIONS = {
    "infill": "single holes in functions that no training saw",
    "dependent": "several holes that depend on each other",
    "repair": "functions with one small corruption",
    "speed": "milliseconds per hole",
    "misuse": "which variable belongs in a given place",
    "others": "dependent holes in functions of others",
    "benchmarks": "pass@1 of HumanEval-Infilling and SAFIM",
}
MODELS = ("compact", "ar")
DATA = "misuse others benchmarks"
HOLES = {"infill": "code-infill", "dependent": "code-dependent", "others": "code-others"}
OPTIONS = {
    "data": DATA,
    "arms": "infill dependent others benchmarks",
    "seeds": "infill dependent others benchmarks",
}
MANY = 250  # sets of dependent holes of each kind; there are fewer calls and imports


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--arms", metavar="A;B", help="which arms (all that have a checkpoint)")
    add("--seeds", type=integer(1), metavar="N", help="seeds of the arms (1)")


def plan_code(arguments: argparse.Namespace, sections: Sequence[str], results: ResultsFile) -> Iterator[Job]:
    folder = needed_folder(arguments.data, "code", not set(sections).isdisjoint(DATA.split()))

    from solver.evaluation.code_arms import CodeModels, code_arms
    from solver.evaluation.harness import load_pair
    from solver.models.code_network import CodeNetwork
    from solver.tasks.code_edit.corpus import Corpus

    pair = load_pair("code", CodeNetwork, arguments.checkpoint)
    names = list(code_arms(CodeModels(**vars(pair)), ()))
    chosen = split_names("arm", arguments.arms, ";", names) if arguments.arms else names
    corpus = Corpus.build()  # a minute
    if set(sections) & {*HOLES, "benchmarks"}:
        cases = collect_cases(arguments, sections, corpus, folder)
        for seed in range(arguments.seeds or 1):
            arms = code_arms(CodeModels(**vars(pair), seed=1000 * seed), corpus.train)
            arms = {name: arm for name, arm in arms.items() if name in chosen}
            for section, holes in cases.items():
                yield from hole_jobs(section, arms, holes, results, seed)
            if "benchmarks" in sections:
                yield from benchmark_jobs(folder, arms, arguments.limit or 100, seed)
    yield from other_jobs(arguments, sections, CodeModels(**vars(pair)), corpus, folder)


def collect_cases(
    arguments: argparse.Namespace,
    sections: Sequence[str],
    corpus: Corpus,
    folder: Path,
) -> dict[str, list[HoleCase]]:
    from solver.evaluation.code_benchmarks import holes_in_foreign_functions
    from solver.evaluation.code_holes import collect_holes, with_overlap
    from solver.tasks.code_edit.holes import sample_dependent_holes, sample_single_holes

    cases = {}
    quick = 20 if arguments.quick else None
    if "infill" in sections:
        cases["code-infill"] = collect_holes(
            corpus.development, sample_single_holes, arguments.limit or quick or 100
        )
    if "dependent" in sections:
        count = arguments.limit or quick or MANY
        cases["code-dependent"] = collect_holes(corpus.development, sample_dependent_holes, count)
    if "others" in sections:
        cases["code-others"] = holes_in_foreign_functions(folder, arguments.limit or quick)
    return {section: with_overlap(holes, corpus.train) for section, holes in cases.items()}


def hole_jobs(
    section: str,
    arms: Mapping[str, Arm[HoleCase]],
    cases: Sequence[HoleCase],
    results: ResultsFile,
    seed: int,
) -> Iterator[Job]:
    """Every arm on the same holes; then how far the denoiser is ahead of each."""
    from solver.evaluation.code_arms import OURS
    from solver.evaluation.code_sections import measure_holes, measure_leads
    from solver.evaluation.harness import Job
    from solver.evaluation.rows import Row

    def measure(first: Row, arm: Arm[HoleCase]) -> Iterator[Row]:
        if arm.name == OURS:
            results.drop(f"{section}-lead")  # leads of the denoiser measured before
        yield from measure_holes(first, arm, cases)

    for arm in arms.values():
        first = Row(section, "all", arm.name, seed=seed, weights=arm.weights)
        yield Job(first, partial(measure, first, arm))
    for arm in arms.values() if seed == 0 else ():
        if arm.name != OURS:
            first = Row(f"{section}-lead", "all", arm.name, weights=arm.weights)
            yield Job(first, partial(measure_leads, first, results, cases))


def benchmark_jobs(
    folder: Path,
    arms: Mapping[str, Arm[HoleCase]],
    count: int,
    seed: int,
) -> Iterator[Job]:
    """Every arm that needs no oracle, on the public benchmarks."""
    from solver.evaluation.code_arms import ORACLE
    from solver.evaluation.code_benchmarks import (
        BENCHMARKS,
        load_programs,
        measure_benchmark,
        measure_truth,
        sample_programs,
    )
    from solver.evaluation.harness import Job
    from solver.evaluation.rows import Row

    for name in BENCHMARKS:
        programs = sample_programs(load_programs(folder, name), count)
        first = Row("code-benchmarks", name, "the truth", seed=seed)
        yield Job(first, partial(measure_truth, first, programs))
        for arm in arms.values():
            if not arm.name.endswith(ORACLE):
                first = Row("code-benchmarks", name, arm.name, seed=seed, weights=arm.weights)
                yield Job(first, partial(measure_benchmark, first, arm, programs))


def other_jobs(
    arguments: argparse.Namespace,
    sections: Sequence[str],
    models: CodeModels,
    corpus: Corpus,
    folder: Path,
) -> Iterator[Job]:
    """The sections with arms of their own: repair, speed and misuse."""
    from solver.evaluation import code_misuse, code_sections
    from solver.evaluation.code_arms import OURS, make_edit_arm, random_denoiser
    from solver.evaluation.code_holes import collect_holes
    from solver.evaluation.code_sections import measure_edit_speed
    from solver.evaluation.harness import Job
    from solver.evaluation.rows import Row
    from solver.tasks.code_edit.holes import sample_single_holes

    limit, denoiser = arguments.limit or (20 if arguments.quick else 100), models.denoiser
    if "repair" in sections:
        corrupted = code_sections.corrupt_functions(corpus.development, limit)
        denoisers = [("random", random_denoiser(), "random")]
        denoisers += [(OURS, denoiser, models.weights or "")] if denoiser is not None else []
        for name, model, weights in denoisers:
            first = Row("code-repair", "all", name, weights=weights)
            yield Job(first, partial(code_sections.measure_code_repair, first, model, corrupted))
        first = Row("code-localisation", corrupted[0][0].kind, "suspects")
        yield Job(first, partial(code_sections.measure_localisation, first, corrupted))
    if "speed" in sections and denoiser is not None:
        cases = collect_holes(corpus.development, sample_single_holes, limit)
        first = Row("code-speed", "all", OURS, weights=models.weights)
        yield Job(first, partial(measure_edit_speed, first, make_edit_arm(OURS, denoiser), cases))
    if "misuse" in sections:
        bugs, reasons = code_misuse.load_bugs(folder, arguments.limit)
        for name, (choose, hashed) in code_misuse.choosers(models).items():
            first = Row("code-misuse", "great_varmisuse_dev", name, weights=hashed)
            yield Job(first, partial(code_misuse.measure_misuse, first, choose, bugs, reasons))
