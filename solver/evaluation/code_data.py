"""Code edits on public development data: variable misuse with the place given, and fills that are graded by running tests.

    python -m solver evaluate code --data ../shared/data --out results --sections misuse,others,benchmarks

misuse: one mention of a variable in a function is wrong, and which one is told; every arm scores the candidates that the data
names. Synthetic bugs with the place given say how well names are understood, and nothing about finding bugs.
others: holes that depend on each other in functions of programs that no setting was chosen with.
benchmarks: pass@1, in the sandbox.
"""

from __future__ import annotations

import gzip
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from solver.api import edit as edits
from solver.api.scoring import CandidateScorer
from solver.baseline.code import spelled
from solver.evaluation.code_arms import Arm
from solver.evaluation.code_benchmarks import BENCHMARKS, Problem, passed, problems, sample
from solver.evaluation.code_holes import DUMMY, Hole, holes
from solver.evaluation.statistics import interval
from solver.models.code_denoiser import CodeDenoiser
from solver.models.code_network import CodeNetwork
from solver.tasks.code_edit.corpus import Function
from solver.tasks.code_edit.diagnostics import compiles, remarks
from solver.tasks.code_edit.holes import dependent
from solver.tasks.code_edit.task import CodeTask, Edit
from solver.tasks.code_edit.varmisuse import Converted, varmisuse
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.tasks.code_edit.window import Page, PageError, roomy

Row = dict[str, Any]
Choose = Callable[[Converted], str]


def converted(folder: Path, count: int | None) -> tuple[list[Converted], Counter[str]]:
    """The rows with a bug that can be written as Python, and why the others cannot."""
    lines = gzip.decompress((folder / "great_varmisuse_dev.jsonl.gz").read_bytes()).splitlines()
    reasons = Counter[str]()
    found = [varmisuse(json.loads(line), reasons) for line in lines]
    some = [
        one
        for one in found
        if one is not None and one.span is not None and set(one.targets) <= set(one.candidates)
    ]
    reasons["no bug"] += sum(one is not None and one.span is None for one in found)
    return some[:count], reasons


def others(folder: Path, count: int | None) -> list[Hole]:
    """Sets of dependent holes, at most ``count`` of each kind, in HumanEval's solutions and in those functions of the misuse data
    that have no bug. The programs of the latter are not there: what is used and not defined around the holes is defined there."""
    whole = {
        one.name.rsplit("/", 1)[0]: one.whole(one.truth) for one in problems(folder, "humaneval-single-line")
    }
    lines = gzip.decompress((folder / "great_varmisuse_dev.jsonl.gz").read_bytes()).splitlines()
    some = (varmisuse(json.loads(line)) for line in lines)
    whole |= {f"GREAT/{n}": one.source for n, one in enumerate(some) if one is not None and one.span is None}
    functions = [Function(name, source, (0, len(source))) for name, source in whole.items()]
    return [
        replace(one, defined=one.defined | used(one))
        for one in holes(functions, dependent, count or len(functions))
    ]


def used(hole: Hole) -> frozenset[str]:
    """Names that a source uses outside of its holes and nobody defines."""
    outside = (
        one
        for one in remarks(hole.source)
        if all(one.span[1] <= a or b <= one.span[0] for a, b in hole.spans)
    )
    return frozenset(one.name for one in outside if one.rule == "name")


def by_denoiser(network: CodeNetwork) -> Choose:
    """The candidate that the denoiser finds likeliest: its tokens and the BLANK behind them, each with those before it known. One
    row for every beginning of a candidate."""
    model, task = CodeDenoiser(network), CodeTask()

    def choose(one: Converted) -> str:
        assert one.span is not None
        room = [roomy(1)]
        scorer = CandidateScorer(
            task,
            Edit.of(one.source, [one.span], room, edits.window_size(one.source, [one.span], room)),
            model,
        )
        page = scorer.problem.page
        names = [(*page.encoded(0, name).tolist(), scorer.blank) for name in one.candidates]
        begun = list(dict.fromkeys(name[:at] for name in names for at in range(len(name))))
        (start, _), rows = page.slots[0], np.repeat(page.tokens[None], len(begun), 0)
        known = np.repeat(page.pinned[None], len(begun), 0)
        for row, tokens in enumerate(begun):
            rows[row, start : start + len(tokens)] = tokens
            known[row, start : start + len(tokens)] = True
        said, _ = scorer.log_probs_at(
            rows, known, np.arange(len(begun)), np.array([start + len(tokens) for tokens in begun])
        )
        log_p = {tokens: said[row] for row, tokens in enumerate(begun)}
        marks = [sum(float(log_p[name[:at]][name[at]]) for at in range(len(name))) for name in names]
        return one.candidates[int(np.argmax(marks))]

    return choose


def left_to_right(network: CodeNetwork) -> Choose:
    """The candidate that the baseline, which sees both sides, finds likeliest, its end included."""

    @torch.inference_mode()
    def choose(one: Converted) -> str:
        assert one.span is not None
        page, marks = Page.of(one.source, [one.span], [1]), []
        for name in one.candidates:
            ids, wanted = spelled(page, "fim", [page.encoded(0, name)])
            tokens = torch.from_numpy(np.concatenate([[Vocabulary.load().size], ids[:-1]]))[None]
            log_p = network.log_likelihood(
                tokens, tokens, tokens, torch.from_numpy(ids)[None], torch.from_numpy(wanted)[None]
            )
            marks.append(float(log_p.sum()))
        return one.candidates[int(np.argmax(marks))]

    return choose


def most_frequent(one: Converted) -> str:
    """The candidate that is mentioned most."""
    counts = Counter(one.source[a:b] for a, b in one.uses if (a, b) != one.span)
    return max(one.candidates, key=lambda name: counts[name])


def misuse(
    folder: Path, network: CodeNetwork | None, baseline: CodeNetwork | None, count: int | None
) -> Iterator[Row]:
    some, reasons = converted(folder, count)
    arms: dict[str, Choose] = {"most frequent": most_frequent}
    if network is not None:
        arms["diffusion"] = by_denoiser(network)
    if baseline is not None:
        arms["ar-fim"] = left_to_right(baseline)
    for name, choose in arms.items():
        started, hits = time.perf_counter(), list[bool]()
        for one in some:
            try:
                hits.append(choose(one) in one.targets)
            except PageError:
                hits.append(False)
        yield {
            "section": "code-misuse",
            "file": "great_varmisuse_dev",
            "arm": name,
            "seed": 0,
            "functions": len(some),
            "candidates_mean": round(float(np.mean([len(one.candidates) for one in some])), 2),
            "right": round(float(np.mean(hits)), 4),
            "right_interval": [round(x, 4) for x in interval(np.array(hits))],
            "ms": round(1e3 * (time.perf_counter() - started) / max(1, len(some)), 2),
            "left_out": dict(reasons),
        }


def benchmarks(folder: Path, arms: dict[str, Arm], count: int | None) -> Iterator[Row]:
    """pass@1 of every arm, and of the true middles, on the same problems."""
    for name in BENCHMARKS:
        posed = asked(name)
        some = sample(problems(folder, name), count or 100)
        truth = [passed(one, one.truth).ok for one in some]
        tasks = [one.name.rsplit("/", 1)[0] for one in some]
        yield line(name, "the truth", tasks, truth, truth, [])
        for arm, run in arms.items():
            if arm.endswith("true length"):  # nobody knows it here
                continue
            fills, taken = list[str | None](), list[float]()
            for one in some:
                (hole, head, tail), started = posed(one), time.perf_counter()
                try:
                    answer = run(hole)
                    fills.append(head + answer.fills[0] + tail if answer.fills is not None else None)
                except PageError:
                    fills.append(None)
                taken.append(time.perf_counter() - started)
            good = [
                fill is not None and compiles(one.whole(fill)) is None
                for one, fill in zip(some, fills, strict=True)
            ]
            right = [
                ok and passed(one, fill or "").ok for one, fill, ok in zip(some, fills, good, strict=True)
            ]
            yield line(name, arm, tasks, right, good, taken)


def asked(name: str) -> Callable[[Problem], tuple[Hole, str, str]]:
    """How a benchmark's problem is put to every arm: the hole, and what comes before and behind its fill. Whole lines have their
    indentation and line end already, conditions their colon: no training cut those out. Nothing is taken from the truth."""

    def whole(one: Problem) -> tuple[Hole, str, str]:
        return within(one, indentation(one.before), "\n")

    def control(one: Problem) -> tuple[Hole, str, str]:
        return within(one, "", ":")

    def within(one: Problem, head: str, tail: str) -> tuple[Hole, str, str]:
        at = len(one.before) + len(head)
        return Hole(name, one.before + head + DUMMY + tail + one.after, ((at, at + len(DUMMY)),)), head, tail

    def span(one: Problem) -> tuple[Hole, str, str]:
        return within(one, "", "")

    return {"humaneval-single-line": whole, "safim-control": control}.get(name, span)


def indentation(before: str) -> str:
    """Of a line that follows: as deep as the last one that is not empty, or one level deeper where that ends with a colon."""
    last = next((text for text in reversed(before.split("\n")) if text.strip()), "")
    own = last[: len(last) - len(last.lstrip())]
    return own + ("\t" if "\t" in own else "    ") if last.rstrip().endswith(":") else own


def line(
    name: str,
    arm: str,
    tasks: Sequence[str],
    right: Sequence[bool],
    good: Sequence[bool],
    taken: Sequence[float],
) -> Row:
    """An arm's figures; several problems may be made of one task, and the interval draws tasks."""
    return {
        "section": "code-benchmarks",
        "file": name,
        "arm": arm,
        "seed": 0,
        "problems": len(right),
        "pass_1": round(float(np.mean(right)), 4),
        "pass_1_interval": [round(x, 4) for x in interval(np.array(right), tasks)],
        "compiles": round(float(np.mean(good)), 4),
        **(
            {"ms": {f"p{p}": round(1e3 * float(np.percentile(taken, p)), 1) for p in (50, 95)}}
            if taken
            else {}
        ),
    }
