"""Sections of the code evaluation: holes in functions that no training saw, and repairs of functions.

    python -m solver evaluate code --out results --sections infill,dependent,speed,repair

The functions are of the corpus's development half (5 % of the files, by hash), each in a source of its own.
Fills are graded by text and by syntax tree, which no arm sees; repairs by the words of the original.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from solver.api.repair import repair
from solver.evaluation.code_arms import OURS
from solver.evaluation.code_holes import CODE_SEED, HoleCase
from solver.evaluation.harness import Answer, Arm, run_arm
from solver.evaluation.rows import ResultsFile, Row
from solver.evaluation.statistics import Figures, quantiles, rounded, share, shares_within
from solver.models.protocol import Denoiser
from solver.tasks.code_edit.corpus import CorpusFunction
from solver.tasks.code_edit.corruptions import CORRUPTION_KINDS, Corruption, corrupt, count_localised
from solver.tasks.code_edit.localize import compile_message, suspicious_spans
from solver.tasks.code_edit.scopes import same_up_to_renaming
from solver.tasks.code_edit.window import replace_spans
from solver.training.code_examples import standalone_source

STRATA = ((1, 2), (3, 5), (6, 10), (11, 40))  # tokens of a hole
BUDGETS = {"gflop": (0.3, 1.0, 3.0, 10.0, 30.0), "seconds": (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)}
RIGHT = {"code-infill": "exact", "code-dependent": "renamed", "code-others": "renamed"}  # what counts
NEW = 0.5  # greatest overlap of a function that counts as new
LEAST_REPEAT = 4  # characters
WARM_UP = 5  # holes before the time is taken
GRADES = ("exact", "renamed", "compiles", "unknown", "doubled")


def grade_fills(case: HoleCase, answer: Answer) -> dict[str, bool]:
    """Grade an answer.

    Returns:
        exact: the true text. renamed: up to a renaming of local names. compiles. unknown: uses a name that
        nobody defines. doubled: a hole ends with the text after it.
    """
    if answer.texts is None:
        return dict.fromkeys(GRADES, False)
    text, spans = replace_spans(case.source, case.spans, answer.texts)
    valid = compile_message(text) is None
    return {
        "exact": answer.texts == case.truth,
        "renamed": valid and same_up_to_renaming(case.source, text),
        "compiles": valid,
        "unknown": valid and any(fault.rule != "syntax" for fault in case.finder.find(text, spans)),
        "doubled": any(
            repeats_text_after(fill, case.source[end:])
            for fill, (_, end) in zip(answer.texts, case.spans, strict=True)
        ),
    }


def repeats_text_after(fill: str, after: str) -> bool:
    """Whether a fill ends with at least LEAST_REPEAT characters that follow it, apart from white space."""
    end, begin = "".join(fill.split()), "".join(after[:80].split())
    return any(end.endswith(begin[:size]) for size in range(LEAST_REPEAT, len(begin) + 1))


def hole_groups(section: str, cases: Sequence[HoleCase]) -> dict[str, list[int]]:
    """Return the index of each group's cases: all, kinds, lengths (of single holes), and new functions."""
    groups = {"all": list(range(len(cases)))}
    for kind in sorted({case.kind for case in cases}):
        groups[kind] = [n for n, case in enumerate(cases) if case.kind == kind]
    lengths = [max(case.lengths) for case in cases] if section == "code-infill" else []
    for low, high in STRATA if lengths else ():
        groups[f"{low} to {high} tokens"] = [n for n, size in enumerate(lengths) if low <= size <= high]
    groups["new"] = [n for n, case in enumerate(cases) if case.overlap < NEW]
    return {name: members for name, members in groups.items() if members}


def hole_figures(
    section: str,
    cases: Sequence[HoleCase],
    answers: Sequence[Answer],
    grades: Sequence[Mapping[str, bool]],
) -> Figures:
    """Return an arm's figures; the intervals resample files, because functions of one file are alike."""
    paths = [case.path for case in cases]
    figures: Figures = {"holes": len(cases), "files": len(set(paths))}
    for name in GRADES:
        figures |= share(name, [grade[name] for grade in grades], paths)
    gflop, seconds = ([getattr(answer, cost) for answer in answers] for cost in ("gflop", "seconds"))
    right = [grade[RIGHT[section]] for grade in grades]
    return {
        **figures,
        "first_compiles": rounded([float(np.mean([answer.first_valid for answer in answers]))])[0],
        **shares_within({"gflop": gflop, "seconds": seconds}, right, BUDGETS),
        "forwards_mean": round(float(np.mean([answer.counters.forwards for answer in answers])), 2),
        "gflop_mean": round(float(np.mean(gflop)), 3),
        "ms": quantiles(1e3 * np.array(seconds), (50, 90, 95, 99)),
        "each": {"right": "".join("01"[hit] for hit in right)},
    }


def measure_holes(first: Row, arm: Arm[HoleCase], cases: Sequence[HoleCase]) -> Iterator[Row]:
    """One arm on holes: all together, and each group."""
    answers = run_arm(arm, cases, warm_up=True).answers
    grades = [grade_fills(case, answer) for case, answer in zip(cases, answers, strict=True)]
    for file, members in hole_groups(first.section, cases).items():
        parts = ([values[n] for n in members] for values in (cases, answers, grades))
        yield replace(first, file=file, figures=hole_figures(first.section, *parts))  # type: ignore[arg-type]


def measure_leads(first: Row, results: ResultsFile, cases: Sequence[HoleCase]) -> Iterator[Row]:
    """The denoiser's lead over an arm in the share of right holes, with the paired difference's interval.

    Both must have been measured on these cases; otherwise there are no rows.
    """
    section = first.section.removesuffix("-lead")
    rows = [results.find(replace(first, section=section, arm=arm).key) for arm in (OURS, first.arm)]
    hits = [np.array([hit == "1" for hit in row.get("each", {}).get("right", "")]) for row in rows if row]
    if [len(hit) for hit in hits] != [len(cases)] * 2:
        return
    ahead = hits[0].astype(int) - hits[1].astype(int)
    for file, members in hole_groups(section, cases).items():
        lead = share("lead", ahead[members], [cases[n].path for n in members])
        yield replace(first, file=file, figures={"holes": len(members), **lead})


def measure_edit_speed(first: Row, arm: Arm[HoleCase], cases: Sequence[HoleCase]) -> Iterator[Row]:
    """Milliseconds per hole, one at a time in a warm process, checks included."""
    arm.answer(cases[:WARM_UP])
    milliseconds = [1e3 * run_arm(arm, [case]).seconds for case in cases]
    points = (10, 50, 90, 95, 99, 100)
    yield replace(first, figures={"holes": len(cases), "ms": quantiles(milliseconds, points, 1)})


MAX_CHARACTERS = 6000  # of a function


def source_words(text: str) -> list[str]:
    """Return words, other characters, and indentations, without other white space. The text may be broken."""
    return re.findall(r"\w+|[^\w\s]|\n[ \t]*", "\n" + text)


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


def grade_repair(case: Corruption, denoiser: Denoiser) -> dict[str, Any]:
    """Repair a function and compare the result with the original.

    Returns:
        compiles: the repaired source does. restored: it is the original. alike: it has the original's words.
        edits: word edits of the repair, over those of the corruption. seconds: wall clock. forwards: of the
        denoiser.
    """
    started = time.perf_counter()
    best = repair(case.source, denoiser=denoiser, seconds=None)
    return {
        "compiles": best.status == "solved",
        "restored": best.text == case.original,
        "alike": source_words(best.text) == source_words(case.original),
        "edits": word_edits(case.source, best.text) / max(1, word_edits(case.source, case.original)),
        "seconds": time.perf_counter() - started,
        "forwards": best.counters.forwards,
    }


def repair_figures(grades: Sequence[Mapping[str, Any]], paths: Sequence[str]) -> Figures:
    """Return a denoiser's figures; the intervals resample files."""
    figures: Figures = {"functions": len(grades)}
    for name in ("compiles", "restored", "alike"):
        figures |= share(name, [grade[name] for grade in grades], paths)
    edits = [grade["edits"] for grade in grades if grade["compiles"]]
    return {
        **figures,
        "edits_median": round(float(np.median(edits)), 3) if edits else None,
        "forwards_mean": round(float(np.mean([grade["forwards"] for grade in grades])), 2),
        "ms": quantiles([1e3 * grade["seconds"] for grade in grades], (50, 95), 1),
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
