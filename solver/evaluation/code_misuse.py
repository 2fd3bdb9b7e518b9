"""Variable misuse with the place given: one mention of a variable is wrong, which name belongs there?

    python -m solver evaluate code --data FOLDER --out results --sections misuse

Every arm scores the candidates that the data names. Synthetic bugs whose place is given tell how well names
are understood, and nothing about finding bugs.
"""

import gzip
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from solver.api import edit as edits
from solver.api.scoring import CandidateScorer
from solver.baseline.code import spelled
from solver.evaluation.code_arms import OURS, CodeModels
from solver.evaluation.rows import Row
from solver.evaluation.statistics import share
from solver.models.code_network import CodeNetwork
from solver.models.mask_denoisers import CodeDenoiser
from solver.tasks.code_edit.task import CodeTask, EditProblem
from solver.tasks.code_edit.varmisuse import MisuseCase, convert_row
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.tasks.code_edit.window import CodeWindow, WindowError, probe_capacity

Chooser = Callable[[MisuseCase], str]  # the name that belongs in the place


def load_misuse(folder: Path, reasons: Counter[str] | None = None) -> list[MisuseCase | None]:
    """Return the functions of the misuse data; None, with a reason, for those that are not Python."""
    lines = gzip.decompress((folder / "great_varmisuse_dev.jsonl.gz").read_bytes()).splitlines()
    return [convert_row(json.loads(line), reasons) for line in lines]


def load_bugs(folder: Path, count: int | None) -> tuple[list[MisuseCase], Counter[str]]:
    """Return at most ``count`` functions with a bug, and why others are left out."""
    reasons = Counter[str]()
    rows = [row for row in load_misuse(folder, reasons) if row is not None]
    reasons["no bug"] += sum(row.span is None for row in rows)
    bugs = [row for row in rows if row.span is not None and set(row.targets) <= set(row.candidates)]
    return bugs[:count], reasons


def denoiser_chooser(network: CodeNetwork) -> Chooser:
    """The candidate that the denoiser finds likeliest.

    A candidate's probability is that of its tokens and the BLANK after them, each given those before it. All
    beginnings of candidates are rows of one batch.
    """
    model, task = CodeDenoiser(network), CodeTask()

    def choose(bug: MisuseCase) -> str:
        assert bug.span is not None
        room = [probe_capacity(1)]
        edit = EditProblem.of(bug.source, [bug.span], room, edits.window_size(bug.source, [bug.span], room))
        scorer = CandidateScorer(task, edit, model)
        window = scorer.problem.window
        names = [(*window.encode_fill(0, name).tolist(), scorer.blank) for name in bug.candidates]
        prefixes = list(dict.fromkeys(name[:length] for name in names for length in range(len(name))))
        (start, _), rows = window.slots[0], np.repeat(window.tokens[None], len(prefixes), 0)
        known = np.repeat(window.pinned[None], len(prefixes), 0)
        ends = np.array([start + len(prefix) for prefix in prefixes])
        for row, prefix in enumerate(prefixes):
            rows[row, start : ends[row]], known[row, start : ends[row]] = prefix, True
        scores, _ = scorer.log_probs_at(rows, known, np.arange(len(prefixes)), ends)
        log_p = dict(zip(prefixes, scores, strict=True))
        totals = [
            sum(float(log_p[name[:length]][token]) for length, token in enumerate(name)) for name in names
        ]
        return bug.candidates[int(np.argmax(totals))]

    return choose


def left_to_right_chooser(network: CodeNetwork) -> Chooser:
    """The candidate that the baseline finds likeliest with its end. It reads both sides."""

    @torch.inference_mode()
    def choose(bug: MisuseCase) -> str:
        assert bug.span is not None
        window, scores = CodeWindow.of(bug.source, [bug.span], [1]), []
        for name in bug.candidates:
            ids, wanted = spelled(window, "fim", [window.encode_fill(0, name)])
            tokens = torch.from_numpy(np.concatenate([[Vocabulary.load().size], ids[:-1]]))[None]
            targets = torch.from_numpy(ids)[None], torch.from_numpy(wanted)[None]
            scores.append(float(network.log_likelihood(tokens, tokens, tokens, *targets).sum()))
        return bug.candidates[int(np.argmax(scores))]

    return choose


def most_frequent(bug: MisuseCase) -> str:
    """The candidate that is mentioned most."""
    counts = Counter(bug.source[start:end] for start, end in bug.uses if (start, end) != bug.span)
    return max(bug.candidates, key=lambda name: counts[name])


def choosers(models: CodeModels) -> dict[str, tuple[Chooser, str | None]]:
    """All arms whose checkpoint is there, each with the hash of its weights."""
    arms: dict[str, tuple[Chooser, str | None]] = {"most frequent": (most_frequent, None)}
    if models.network is not None:
        arms[OURS] = denoiser_chooser(models.network), models.weights
    if models.baseline is not None:
        arms["ar-fim"] = left_to_right_chooser(models.baseline), models.baseline_weights
    return arms


def measure_misuse(
    first: Row,
    choose: Chooser,
    bugs: Sequence[MisuseCase],
    reasons: Counter[str],
) -> Iterator[Row]:
    started, hits = time.perf_counter(), list[bool]()
    for bug in bugs:
        try:
            hits.append(choose(bug) in bug.targets)
        except WindowError:
            hits.append(False)
    seconds = time.perf_counter() - started
    figures = {
        "functions": len(bugs),
        "candidates_mean": round(float(np.mean([len(bug.candidates) for bug in bugs])), 2),
        **share("right", hits),
        "ms": round(1e3 * seconds / max(1, len(bugs)), 2),
        "left_out": dict(reasons),
    }
    yield replace(first, figures=figures)
