"""Options and measurements of ``python -m solver evaluate json``."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solver.cli.main import UsageError
from solver.cli.options import integer, needed_folder, positive, split_names

if TYPE_CHECKING:
    from solver.evaluation.harness import Arm, Job
    from solver.evaluation.prose import ProseCase
    from solver.evaluation.rows import ResultsFile, Row

RESULTS, DEFAULT = "json.json", "guarantee"
LIMIT = "problems per file or kind at most"
SECTIONS = {
    "guarantee": "every development schema, with any denoiser",
    "pinned": "real instances of which a share is given",
    "content": "generated records, copied from a text",
    "infill": "real values cut out, and their likelihood",
    "cross": "fields that depend on each other",
    "prose": "texts as people write them (--prose FILE)",
    "calibration": "are fields right as often as their probability says?",
}
MODELS = ("compact", "ar")
ENGINE = ("guarantee", "pinned")
TRAINED = "content infill cross prose calibration"
WITHOUT_DATA = {"content", "cross", "prose", "calibration"}
OPTIONS = {
    "data": "guarantee pinned infill",
    "denoisers": "guarantee pinned",
    "forwards": "guarantee",
    "seconds": "guarantee",
    "seeds": f"guarantee pinned {TRAINED}",
    "prose": "prose calibration",
    "arms": TRAINED,
    "checkpoint": TRAINED,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--denoisers", metavar="A,B", help="for guarantee and pinned (random)")
    add("--arms", metavar="A;B", help="for the other sections (all that have a checkpoint)")
    add(
        "--prose", type=Path, metavar="FILE", help="for prose and calibration: texts with schemas and records"
    )
    add("--seeds", type=integer(1), metavar="N", help="seeds of the arms (1)")
    add("--forwards", type=integer(1), metavar="N", help="budget per schema (1000)")
    add("--seconds", type=positive, metavar="S", help="budget per schema in seconds (20)")


def count_of(arguments: argparse.Namespace, quick: int, usual: Any) -> Any:
    """Return --limit, else ``quick`` with --quick, else ``usual``."""
    return arguments.limit or (quick if arguments.quick else usual)


def plan_json(arguments: argparse.Namespace, sections: Sequence[str], results: ResultsFile) -> Iterator[Job]:
    folder = needed_folder(arguments.data, "jsonschema", not set(sections) <= WITHOUT_DATA)
    if set(sections) & set(TRAINED.split()):
        for seed in range(arguments.seeds or 1):
            yield from trained_jobs(arguments, sections, folder, seed)
    if set(sections) & set(ENGINE):
        yield from engine_jobs(arguments, sections, folder)


def engine_jobs(arguments: argparse.Namespace, sections: Sequence[str], folder: Path) -> Iterator[Job]:
    from solver.evaluation import json_cases, json_real
    from solver.evaluation.harness import Job, weights_hash
    from solver.evaluation.rows import Row
    from solver.loop.trace import Budget
    from solver.models.checkpoint import load
    from solver.tasks.json_schema.task import JsonTask

    cases = json_cases.load_schemas(folder, arguments.limit or (100 if arguments.quick else None))
    budget = Budget(arguments.forwards or 1000, arguments.seconds or 20.0)
    for denoiser in (arguments.denoisers or "random").split(","):
        load(denoiser, JsonTask())  # raises CheckpointError before anything is measured
        weights = weights_hash(denoiser)
        for seed in range(arguments.seeds or 1):
            for group, members in json_cases.groups_and_parts(cases).items():
                if "guarantee" in sections:
                    first = Row("guarantee", group, denoiser, seed=seed, weights=weights)
                    yield Job(first, partial(json_real.measure_guarantee, first, members, budget))
                for share in json_cases.SHARES if "pinned" in sections and not members[0].in_suite else ():
                    first = Row("pinned", group, denoiser, seed=seed, weights=weights, pinned=share)
                    yield Job(first, partial(json_real.measure_pinned, first, members))


def trained_jobs(
    arguments: argparse.Namespace,
    sections: Sequence[str],
    folder: Path,
    seed: int,
) -> Iterator[Job]:
    from solver.evaluation import field_calibration, json_generated, json_real, prose, prose_arms
    from solver.evaluation.harness import Job, load_pair
    from solver.evaluation.json_arms import JsonModels
    from solver.evaluation.rows import Row
    from solver.models.json_network import JsonNetwork

    texts = load_texts(arguments, "prose" in sections)
    pair = load_pair("json", JsonNetwork, arguments.checkpoint)
    models = JsonModels(**vars(pair), seed=1000 * seed)
    denoiser = str(arguments.checkpoint.get("compact", "compact"))
    by_section: dict[str, list[Arm[Any]]] = {
        "content": json_generated.content_arms(models),
        "infill": json_real.infill_arms(models),
        "cross": json_generated.dependent_arms(models),
        "prose": prose_arms.prose_arms(models, denoiser),
        "calibration": prose_arms.default_arms(models, denoiser),
    }
    measured = [arms for section, arms in by_section.items() if section in sections]
    names = list(dict.fromkeys(arm.name for arms in measured for arm in arms))
    chosen = split_names("arm", arguments.arms, ";", names) if arguments.arms else names

    def firsts(section: str, file: str) -> Iterator[tuple[Row, Arm[Any]]]:
        for arm in by_section[section]:
            if arm.name in chosen:
                yield Row(section, file, arm.name, seed=seed, weights=arm.weights), arm

    if "content" in sections:  # records are generated: no data is needed
        for first, arm in firsts("content", "records"):
            yield Job(
                first, partial(json_generated.measure_content, first, arm, count_of(arguments, 60, 400))
            )
        arms = {arm.name: arm for _, arm in firsts("content", "records")}
        if {json_generated.WITH_LANGUAGE, json_generated.WITHOUT_LANGUAGE} <= set(arms):
            both = arms[json_generated.WITH_LANGUAGE], arms[json_generated.WITHOUT_LANGUAGE]
            first = Row("tax", "records", json_generated.WITH_LANGUAGE, seed=seed, weights=models.weights)
            yield Job(first, partial(json_generated.measure_tax, first, *both, count_of(arguments, 60, 400)))
    if "infill" in sections:
        cases = json_real.cut_values(folder, count_of(arguments, 40, 200))
        for first, arm in firsts("infill", "reserved instances"):
            yield Job(first, partial(json_real.measure_json_infill, first, arm, cases))
        likelihoods = json_real.likelihoods(models) if not arguments.arms and seed == 0 else {}
        for name, (likelihood, weights) in likelihoods.items():
            first = Row("bits", "reserved instances", name, weights=weights)
            yield Job(first, partial(json_real.measure_bits, first, likelihood, cases))
    for kind in json_generated.MAKERS if "cross" in sections else ():
        cases = json_generated.make_cases(kind, count_of(arguments, 20, 100))
        for first, arm in firsts("cross", kind):
            yield Job(first, partial(json_generated.measure_dependent_fields, first, arm, cases))
    own_texts = {arguments.prose.stem: texts} if texts else {}
    generated = {}
    if importlib.util.find_spec("faker") is not None and set(sections) & {"prose", "calibration"}:
        generated["generated prose"] = field_calibration.generated_prose(count_of(arguments, 20, 300))
    for file, members in {**generated, **own_texts}.items() if "prose" in sections else ():
        for first, arm in firsts("prose", file):
            yield Job(first, partial(prose.measure_prose, first, arm, members))
    if "calibration" in sections:
        records = field_calibration.record_cases(count_of(arguments, 60, 800))
        for file, members in {"records": records, **generated, **own_texts}.items():
            for first, arm in firsts("calibration", file):
                first = replace(first, section="json-calibration")  # "calibration" is Sudoku's
                yield Job(first, partial(field_calibration.measure_field_calibration, first, arm, members))


def load_texts(arguments: argparse.Namespace, is_needed: bool) -> list[ProseCase]:
    """Load the cases of --prose. Raises UsageError if it has none, or is needed and missing."""
    from solver.evaluation.prose import load_prose

    if arguments.prose is None:
        if is_needed and importlib.util.find_spec("faker") is None:
            raise UsageError("the section prose needs --prose FILE, or generated texts: pip install faker")
        return []
    try:
        texts = load_prose(arguments.prose, count_of(arguments, 20, None))
    except OSError as error:
        raise UsageError(f"{arguments.prose}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise UsageError(str(error)) from error
    if not texts:
        raise UsageError(f"{arguments.prose}: no texts")
    return texts
