"""Functions with one small corruption: repaired, and localised.

python -m solver evaluate code --out results --sections repair
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from solver.api.repair import repair
from solver.evaluation.code_holes import CODE_SEED
from solver.evaluation.rows import Row
from solver.evaluation.statistics import Figures, quantiles, rounded, share
from solver.models.protocol import Denoiser
from solver.tasks.code_edit.corpus import CorpusFunction
from solver.tasks.code_edit.corruptions import CORRUPTION_KINDS, Corruption, corrupt, count_localised
from solver.tasks.code_edit.localize import suspicious_spans
from solver.training.code_examples import standalone_source

MAX_CHARACTERS = 6000  # of a function


@dataclass(frozen=True)
class RepairGrade:
    """The grade of a repair.

    Args:
        compiles: the repaired source does.
        restored: it is the original.
        alike: it has the original's words.
        edits: word edits of the repair, over those of the corruption.
        seconds: wall clock.
        forwards: of the denoiser.
    """

    compiles: bool
    restored: bool
    alike: bool
    edits: float
    seconds: float
    forwards: int


def source_words(text: str) -> list[str]:
    """Return words, other characters, and indentations, without other white space. The text may be broken."""
    words: list[str] = re.findall(r"\w+|[^\w\s]|\n[ \t]*", "\n" + text)
    return words


def word_edits(before: str, after: str) -> int:
    """Return the Levenshtein distance over words."""
    source, target = source_words(before), source_words(after)
    for _ in range(2):  # a common beginning, and a common end, need no edits
        pairs = enumerate(zip(source, target, strict=False))
        common = min(len(source), len(target))
        same = next((k for k, (left, right) in pairs if left != right), common)
        source, target = source[same:][::-1], target[same:][::-1]
    costs = list(range(len(target) + 1))
    for row, word in enumerate(source, 1):
        previous, costs = costs, [row]
        for column, wanted in enumerate(target):
            replaced = previous[column] + (word != wanted)
            costs.append(min(replaced, previous[column + 1] + 1, costs[column] + 1))
    return costs[-1]


def corrupt_functions(functions: Sequence[CorpusFunction], count: int) -> list[tuple[Corruption, str]]:
    """Corrupt ``count`` functions, the kinds of corruption in turn; each with the path of its file."""
    rng, cases = np.random.default_rng(CODE_SEED), list[tuple[Corruption, str]]()
    for index in rng.permutation(len(functions)):
        source = standalone_source(functions[int(index)])
        corrupted = corrupt(
            source, (0, len(source)), rng, CORRUPTION_KINDS[len(cases) % len(CORRUPTION_KINDS)]
        )
        if corrupted is not None and len(source) < MAX_CHARACTERS:
            cases.append((corrupted, functions[int(index)].path))
        if len(cases) == count:
            break
    return cases


def grade_repair(case: Corruption, denoiser: Denoiser) -> RepairGrade:
    """Repair a function and compare the result with the original."""
    started = time.perf_counter()
    best = repair(case.source, denoiser=denoiser)
    return RepairGrade(
        compiles=best.status == "solved",
        restored=best.text == case.original,
        alike=source_words(best.text) == source_words(case.original),
        edits=word_edits(case.source, best.text) / max(1, word_edits(case.source, case.original)),
        seconds=time.perf_counter() - started,
        forwards=best.counters.forwards,
    )


def repair_figures(grades: Sequence[RepairGrade], paths: Sequence[str]) -> Figures:
    """Return a denoiser's figures; the intervals resample files."""
    figures: Figures = {"functions": len(grades)}
    for name in ("compiles", "restored", "alike"):
        figures |= share(name, [getattr(grade, name) for grade in grades], paths)
    edits = [grade.edits for grade in grades if grade.compiles]
    milliseconds = [1e3 * grade.seconds for grade in grades]
    return {
        **figures,
        "edits_median": round(float(np.median(edits)), 3) if edits else None,
        "forwards_mean": round(float(np.mean([grade.forwards for grade in grades])), 2),
        "ms": quantiles(milliseconds, (50, 95), 1),
    }


def measure_code_repair(
    first: Row,
    denoiser: Denoiser,
    cases: Sequence[tuple[Corruption, str]],
) -> Iterator[Row]:
    """One denoiser on corrupted functions: all, and each kind of corruption."""
    grades = [(case.kind, path, grade_repair(case, denoiser)) for case, path in cases]
    for file in ("all", *CORRUPTION_KINDS):
        members = [(grade, path) for kind, path, grade in grades if file in ("all", kind)]
        if members:
            yield replace(first, file=file, figures=repair_figures(*zip(*members, strict=True)))


def measure_localisation(first: Row, cases: Sequence[tuple[Corruption, str]]) -> Iterator[Row]:
    """How often the corrupted place is suspected first, or among the first three."""
    for kind, counts in count_localised([case for case, _ in cases], suspicious_spans).items():
        shares = rounded([counts.first / counts.cases, counts.any_suspect / counts.cases])
        figures = {"functions": counts.cases, "first": shares[0], "first_three": shares[1]}
        yield replace(first, file=kind, figures=figures)
