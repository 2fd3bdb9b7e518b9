"""Code edits, measured on functions that no training saw: infill, dependent holes, repair, variable misuse, speed.

    python -m solver evaluate code --out results --sections infill,dependent,repair,speed
    python -m solver evaluate code --data ../shared/data --out results --sections misuse,benchmarks

The functions are of the corpus's development half (5 % of the files, by hash), each a source of its own. Graded by text and by
AST, which no arm sees.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from solver.api.repair import repair
from solver.evaluation.code_arms import Answer, Arm
from solver.evaluation.code_holes import SEED, Hole
from solver.evaluation.statistics import interval, solved_within
from solver.models.protocol import Denoiser
from solver.tasks.code_edit.corpus import Function
from solver.tasks.code_edit.corruptions import KINDS as DAMAGE
from solver.tasks.code_edit.corruptions import Corrupted, corrupt, localisation
from solver.tasks.code_edit.diagnostics import compiles, suspects
from solver.tasks.code_edit.holes import same_up_to_renaming
from solver.tasks.code_edit.window import spliced
from solver.training.code_pages import alone

Row = dict[str, Any]
Marks = dict[str, bool]
STRATA = ((1, 2), (3, 5), (6, 10), (11, 40))  # tokens of a hole
GFLOP = (0.3, 1.0, 3.0, 10.0, 30.0)
SECONDS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
RIGHT = {
    "code-infill": "exact",
    "code-dependent": "renamed",
    "code-others": "renamed",
}  # what counts as right
OURS = "diffusion"
NEW = 0.5  # of what a function says, at most, stands in functions of the training too


def graded(hole: Hole, answer: Answer) -> Marks:
    """exact: the very text.  renamed: up to a renaming of local names.  compiles.  unknown: a name that nobody defines.
    doubled: the hole ends with what stands behind it."""
    if answer.fills is None:
        return dict.fromkeys(("exact", "renamed", "compiles", "unknown", "doubled"), False)
    text, spans = spliced(hole.source, hole.spans, answer.fills)
    good = compiles(text) is None
    return {
        "exact": answer.fills == hole.truth,
        "renamed": good and same_up_to_renaming(hole.source, text),
        "compiles": good,
        "unknown": good and any(fault.rule != "syntax" for fault in hole.finder.faults(text, spans)),
        "doubled": any(
            repeats(fill, hole.source[b:]) for fill, (_, b) in zip(answer.fills, hole.spans, strict=True)
        ),
    }


def repeats(fill: str, after: str, least: int = 4) -> bool:
    """Whether a fill ends with the beginning of what stands behind it: ``least`` characters or more, white space aside."""
    end, begin = "".join(fill.split()), "".join(after[:80].split())
    return any(end.endswith(begin[:size]) for size in range(least, len(begin) + 1))


def row(
    section: str, file: str, arm: str, some: Sequence[Hole], answers: Sequence[Answer], marks: Sequence[Marks]
) -> Row:
    """An arm's figures on some holes; the intervals draw the files that these are from."""
    paths = [hole.path for hole in some]
    found: Row = {
        "section": section,
        "file": file,
        "arm": arm,
        "seed": 0,
        "holes": len(some),
        "files": len(set(paths)),
    }
    for key in ("exact", "renamed", "compiles", "unknown", "doubled"):
        hits = np.array([mark[key] for mark in marks])
        found |= {
            key: round(float(hits.mean()), 4),
            f"{key}_interval": [round(x, 4) for x in interval(hits, paths)],
        }
    found["first_compiles"] = round(float(np.mean([answer.first for answer in answers])), 4)
    key = RIGHT[section]
    hits = np.array([mark[key] for mark in marks])
    gflop, seconds = [answer.gflop for answer in answers], [answer.seconds for answer in answers]
    for name, cost, budgets in (("gflop", gflop, GFLOP), ("seconds", seconds, SECONDS)):
        within = solved_within(cost, hits, budgets)
        found[f"within_{name}"] = {f"{b:g}": round(float(s), 4) for b, s in zip(budgets, within, strict=True)}
    found["forwards_mean"] = round(float(np.mean([answer.forwards for answer in answers])), 2)
    found["gflop_mean"] = round(float(np.mean(gflop)), 3)
    found["ms"] = {f"p{p}": round(1e3 * float(np.percentile(seconds, p)), 2) for p in (50, 90, 95, 99)}
    return found


def infill(some: Sequence[Hole], arms: dict[str, Arm], section: str = "code-infill") -> Iterator[Row]:
    """Every arm on the same holes: all together, by kind, by length, and those of functions that are ``NEW``; and how far the
    denoiser is ahead of it."""
    lengths = [max(hole.lengths) for hole in some]
    groups: dict[str, Sequence[int]] = {"all": range(len(some))}
    groups |= {
        kind: [n for n, hole in enumerate(some) if hole.kind == kind]
        for kind in sorted({hole.kind for hole in some})
    }
    if section == "code-infill":
        groups |= {
            f"{a} to {b} tokens": [n for n, size in enumerate(lengths) if a <= size <= b] for a, b in STRATA
        }
    groups["new"] = [n for n, hole in enumerate(some) if hole.known < NEW]
    found = dict[str, list[Marks]]()
    for name, arm in arms.items():
        arm(some[0])  # whatever is loaded at first use
        answers = [arm(hole) for hole in some]
        found[name] = marks = [graded(hole, answer) for hole, answer in zip(some, answers, strict=True)]
        for file, numbers in groups.items():
            if not len(numbers):
                continue
            holes = [some[n] for n in numbers]
            yield row(section, file, name, holes, [answers[n] for n in numbers], [marks[n] for n in numbers])
            if OURS in found and name != OURS:
                yield lead(
                    section, file, name, holes, [found[OURS][n] for n in numbers], [marks[n] for n in numbers]
                )


def lead(
    section: str, file: str, arm: str, some: Sequence[Hole], ours: Sequence[Marks], theirs: Sequence[Marks]
) -> Row:
    """How many more of the holes, of 1, the denoiser has right than an arm, with the interval of the paired difference."""
    key = RIGHT[section]
    better = np.array([int(a[key]) - int(b[key]) for a, b in zip(ours, theirs, strict=True)])
    ends = [round(x, 4) for x in interval(better, [hole.path for hole in some])]
    line = {"section": f"{section}-lead", "file": file, "arm": arm, "seed": 0, "holes": len(better)}
    return line | {"lead": round(float(better.mean()), 4), "lead_interval": ends}


def speed(some: Sequence[Hole], arm: Arm) -> Row:
    """Milliseconds a hole, one at a time in a warm process, checks included."""
    for hole in some[:5]:
        arm(hole)
    taken = []
    for hole in some:
        started = time.perf_counter()
        arm(hole)
        taken.append(1e3 * (time.perf_counter() - started))
    return {
        "section": "code-speed",
        "file": "all",
        "arm": "diffusion",
        "seed": 0,
        "holes": len(some),
        "ms": {f"p{p}": round(float(np.percentile(taken, p)), 1) for p in (10, 50, 90, 95, 99, 100)},
    }


def words(text: str) -> list[str]:
    """Of a text, broken or not: words, other characters, and the white space that a line begins with; no other white space."""
    found: list[str] = re.findall(r"\w+|[^\w\s]|\n[ \t]*", "\n" + text)
    return found


def edited(before: str, after: str) -> int:
    """The fewest words that are put in, left out or replaced on the way from one text to the other (Levenshtein's distance)."""
    a, b = words(before), words(after)
    for _ in range(2):  # what both begin with, and end with, needs none
        same = next(
            (number for number, (one, other) in enumerate(zip(a, b, strict=False)) if one != other),
            min(len(a), len(b)),
        )
        a, b = a[same:][::-1], b[same:][::-1]
    costs = list(range(len(b) + 1))
    for number, one in enumerate(a, 1):
        last, costs = costs, [number]
        for at, other in enumerate(b):
            costs.append(min(last[at] + (one != other), last[at + 1] + 1, costs[at] + 1))
    return costs[-1]


def repairs(functions: Sequence[Function], models: dict[str, Denoiser], count: int) -> Iterator[Row]:
    """Functions with one small damage: do they compile again, with how many edits, and are they what they were?"""
    rng, some, paths = np.random.default_rng(SEED), list[Corrupted](), list[str]()
    for at in rng.permutation(len(functions)):
        source = alone(functions[int(at)])
        broken = corrupt(source, (0, len(source)), rng, DAMAGE[len(some) % len(DAMAGE)])
        if broken is not None and len(source) < 6000:
            some.append(broken)
            paths.append(functions[int(at)].path)
        if len(some) == count:
            break
    for name, model in models.items():
        marks = list[dict[str, Any]]()
        for broken in some:
            started = time.perf_counter()
            found = repair(broken.source, denoiser=model)
            marks.append(
                {
                    "kind": broken.kind,
                    "compiles": found.status == "solved",
                    "restored": found.text == broken.original,
                    "alike": words(found.text) == words(broken.original),
                    "edits": edited(broken.source, found.text)
                    / max(1, edited(broken.source, broken.original)),
                    "seconds": time.perf_counter() - started,
                    "forwards": found.counters.forwards,
                }
            )
        for file in ("all", *DAMAGE):
            mine = [mark for mark in marks if file in ("all", mark["kind"])]
            if not mine:
                continue
            files = [path for path, mark in zip(paths, marks, strict=True) if file in ("all", mark["kind"])]
            line: Row = {
                "section": "code-repair",
                "file": file,
                "arm": name,
                "seed": 0,
                "functions": len(mine),
            }
            for key in ("compiles", "restored", "alike"):
                hits = np.array([mark[key] for mark in mine])
                line |= {
                    key: round(float(hits.mean()), 4),
                    f"{key}_interval": [round(x, 4) for x in interval(hits, files)],
                }
            edits = [mark["edits"] for mark in mine if mark["compiles"]]
            line["edits_median"] = round(float(np.median(edits)), 3) if edits else None
            line["forwards_mean"] = round(float(np.mean([mark["forwards"] for mark in mine])), 2)
            line["ms"] = {
                f"p{p}": round(1e3 * float(np.percentile([mark["seconds"] for mark in mine], p)), 1)
                for p in (50, 95)
            }
            yield line
    for kind, one in localisation(some, suspects).items():
        yield {
            "section": "code-localisation",
            "file": kind,
            "arm": "suspects",
            "seed": 0,
            "functions": one.cases,
            "first": round(one.first / one.cases, 4),
            "first_three": round(one.some / one.cases, 4),
        }
