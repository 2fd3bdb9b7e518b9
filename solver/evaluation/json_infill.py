"""Real values cut out of real instances and written again, and how many bits a byte of them costs.

    python -m solver evaluate json --sections infill --data ../shared/data --out results

Instances are of reserved lines. One value of each is cut out; the hole has up to twelve cells to spare. *recovered*: the very
value is written again. *bits*: minus the log-probability of the value's bytes and of its end, a byte: for the denoiser cell by
cell in a random order (an order is a chain of conditionals, so this is a proper likelihood; Uria et al. 2014), for the baseline
from the left, given what stands before (``ar``) or on both sides (``ar-fim``).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from solver.baseline.json import Page, log_likelihood, middle_prompt
from solver.evaluation.json_arms import SEED, TRIES, Answer, Arm, again, in_the_loop
from solver.evaluation.json_content import share
from solver.evaluation.statistics import ratio_interval
from solver.models.json_denoiser import JsonDenoiser
from solver.models.json_network import JsonNetwork
from solver.models.registry import json_byte_frequencies
from solver.tasks.json_schema.data import load_pairs
from solver.tasks.json_schema.errors import FillError, SchemaError
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.source_map import leaf_spans
from solver.tasks.json_schema.task import JsonTask
from solver.tasks.languages.projection import BLANK
from solver.tasks.text import Hole

Row = dict[str, Any]
Run = Callable[[], list[Answer]]
SPARE = 13  # cells: a hole has up to one less than that to spare


@dataclass(frozen=True, eq=False)
class Cut:
    """An instance with a hole. before, value, after: its text in three parts."""

    form: JsonProblem
    before: bytes
    value: bytes
    after: bytes

    @property
    def room(self) -> int:
        return next(part for part in self.form.parts if isinstance(part, int))

    def whole(self, value: str) -> str:
        """The text with another value in the hole."""
        return self.before.decode() + value + self.after.decode()

    @property
    def middle(self) -> Page:
        """What the baseline reads where it sees both sides."""
        return Page(middle_prompt(self.form.prompt, self.before, self.after), self.room + 1)

    @property
    def left(self) -> Page:
        """What it reads where it sees what stands before."""
        return Page(self.form.prompt, len(self.before) + self.room + 1, self.before)


def cuts(folder: Path, count: int) -> list[Cut]:
    """One hole in each of ``count`` reserved instances."""
    rng, found = np.random.default_rng(SEED), list[Cut]()
    some = load_pairs(folder, reserved=True)
    for at in rng.permutation(len(some)):
        schema, text = some[int(at)]
        among = [span for path, span in leaf_spans(text).items() if path]
        if not among:
            continue
        a, b = among[int(rng.integers(len(among)))]
        template: list[str | Hole] = [
            text[:a].decode(),
            Hole(b - a + int(rng.integers(SPARE))),
            text[b:].decode(),
        ]
        try:
            found.append(Cut(JsonProblem.of(schema, template=template), text[:a], text[a:b], text[b:]))
        except (FillError, SchemaError):
            continue
        if len(found) == count:
            break
    return found


def arms(some: Sequence[Cut], network: JsonNetwork | None, baseline: JsonNetwork | None) -> dict[str, Run]:
    """Who writes the holes."""
    forms = [cut.form for cut in some]
    of = {id(cut.form): cut for cut in some}
    found: dict[str, Run] = {}

    def loop(arm: Arm) -> Run:
        return lambda: arm(forms)

    def left(form: JsonProblem, text: str) -> str:
        cut = of[id(form)]
        return cut.whole(first_value(text[len(cut.before.decode()) :]))

    if network is not None:
        found["diffusion-oneshot"] = loop(in_the_loop(network, 1))
        found["diffusion"] = loop(in_the_loop(network, 64, stop="settled"))
    if baseline is not None:
        found["ar"] = lambda: again(baseline, forms, lambda form: of[id(form)].left, left, 1)
        found["ar-fim"] = lambda: again(
            baseline, forms, lambda form: of[id(form)].middle, lambda form, text: of[id(form)].whole(text), 1
        )
        found[f"ar-fim, {TRIES} tries"] = lambda: again(
            baseline,
            forms,
            lambda form: of[id(form)].middle,
            lambda form, text: of[id(form)].whole(text),
            TRIES,
        )
    found["random"] = loop(in_the_loop("random", 20))
    found["prior"] = loop(in_the_loop("prior", 20))
    return found


def first_value(text: str) -> str:
    """The JSON value that a text begins with; all of it where it begins with none."""

    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return text
    return text[:end]


def infill(
    folder: Path, network: JsonNetwork | None, baseline: JsonNetwork | None, count: int
) -> Iterator[Row]:
    """Values recovered by every arm, and bits a byte."""
    some = cuts(folder, count)
    for name, run in arms(some, network, baseline).items():
        started = time.perf_counter()
        answers = run()
        seconds = time.perf_counter() - started
        yield {
            "section": "infill",
            "file": "reserved instances",
            "arm": name,
            "seed": 0,
            "values": len(some),
            **share(
                "recovered",
                np.array(
                    [
                        answer.text == cut.whole(cut.value.decode())
                        for cut, answer in zip(some, answers, strict=True)
                    ]
                ),
            ),
            **share("valid", np.array([answer.solved for answer in answers])),
            "forwards_mean": round(float(np.mean([answer.forwards for answer in answers])), 2),
            "gflop_mean": round(float(np.mean([answer.gflop for answer in answers])), 4),
            "ms": round(1e3 * seconds / max(1, len(some)), 2),
        }
    for name, nats in likelihoods(network, baseline).items():
        bits = np.array([nats(cut) / math.log(2) for cut in some])
        size = np.array([len(cut.value) for cut in some])
        yield {
            "section": "bits",
            "file": "reserved instances",
            "arm": name,
            "seed": 0,
            "values": len(some),
            "bytes": int(size.sum()),
            "bits_per_byte": round(float(bits.sum() / size.sum()), 4),
            "bits_per_byte_interval": [round(x, 4) for x in ratio_interval(bits, size)],
        }


def likelihoods(
    network: JsonNetwork | None, baseline: JsonNetwork | None
) -> dict[str, Callable[[Cut], float]]:
    """Minus the log-probability of a hole's value, in nats, by arm."""
    found: dict[str, Callable[[Cut], float]] = {}
    if network is not None:
        found["diffusion"] = lambda cut: in_random_order(network, cut, projected=False)
        found["diffusion, with the language"] = lambda cut: in_random_order(network, cut, projected=True)
    if baseline is not None:
        found["ar"] = lambda cut: from_the_left(
            baseline, cut.form.prompt, cut.before, cut.value + cut.after[:1]
        )
        found["ar-fim"] = lambda cut: from_the_left(baseline, cut.middle.prompt, b"", cut.value)
    log_p = np.log(json_byte_frequencies())
    found["prior"] = lambda cut: -float(log_p[np.frombuffer(cut.value, np.uint8)].sum() + log_p[BLANK])
    return found


def from_the_left(network: JsonNetwork, prompt: bytes, before: bytes, value: bytes) -> float:
    """The value after what stands before, and its end: the byte that follows, or BLANK where nothing is before."""
    text = [*before, *value] + ([] if before else [BLANK])
    return -log_likelihood(network, prompt, torch.tensor(text), len(before))


def in_random_order(network: JsonNetwork, cut: Cut, projected: bool) -> float:
    """Cell by cell; every step is a row of one batch. projected: each conditional is that of the language too."""
    task = JsonTask()
    canvas = task.encode(cut.form)
    start, cells = len(cut.before), cut.room
    truth = np.concatenate(
        [np.frombuffer(cut.value, np.uint8), np.full(cells - len(cut.value), BLANK)]
    ).astype(np.int64)
    order = np.random.default_rng([SEED, start, cells]).permutation(cells)
    tokens = np.tile(canvas.tokens, (cells, 1))
    known = np.tile(canvas.pinned, (cells, 1))
    for step in range(cells):
        seen = start + order[:step]
        tokens[step, seen], known[step, seen] = truth[order[:step]], True
    denoiser = JsonDenoiser(network)
    state = denoiser.prefill([canvas], [0]).select([0] * cells)
    held = torch.from_numpy(known)
    said, _ = denoiser.denoise(state, torch.from_numpy(tokens), held, held, denoiser.start(state))
    total = 0.0
    for step, cell in enumerate(order):
        if projected:
            joint = task.project(cut.form, said[step].numpy(), tokens[step], known[step])
            total -= (
                math.log(max(1e-9, float(joint.marginals[start + cell, truth[cell]])))
                if joint is not None
                else math.log(1e-9)
            )
        else:
            total -= float(said[step, start + cell, truth[cell]])
    return total
