"""The JSON evaluation on real data: the guarantee, partly pinned instances, and cut-out values.

    python -m solver evaluate json --data FOLDER --out results --sections guarantee,pinned,infill

guarantee: with any denoiser, every schema with a valid instance of at most 256 bytes is filled. pinned:
instances of which a share of the bytes is given. Python's ``jsonschema`` grades both.

infill: instances are of reserved lines. One value of each is cut out and written again; the hole has up to
``SPARE`` - 1 bytes to spare. *recovered*: the very value is written again. *bits*: minus the log-probability
per byte of the value and its end. For the denoiser, cell by cell in a random order: an order is a chain of
conditionals, so this is a proper likelihood (Uria et al. 2014). For the baseline, from the left, given the
text before (``ar``) or on both sides (``ar-fim``).
"""

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from solver.api import fill
from solver.api.candidate import Candidate
from solver.baseline.json import log_likelihood
from solver.evaluation.harness import Arm, run_arm
from solver.evaluation.json_arms import JSON_SEED, TRIES, JsonCase, JsonModels, Pages, left_page, middle_page
from solver.evaluation.json_cases import SchemaCase, pinned_instances
from solver.evaluation.rows import Row
from solver.evaluation.statistics import quantiles, ratio, share
from solver.loop.engine import solve
from solver.loop.trace import Budget, Outcome
from solver.models.checkpoint import load
from solver.models.json_network import JsonNetwork
from solver.models.mask_denoisers import JsonDenoiser
from solver.tasks.json_schema.errors import FillError, SchemaError
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.serialize import load_pairs
from solver.tasks.json_schema.task import JsonTask
from solver.tasks.json_schema.validator import leaf_spans
from solver.tasks.languages.projection import BLANK
from solver.tasks.text import Hole

LISTED = 40  # failures that a row names
PINNED_FORWARDS = 50


def measure_guarantee(first: Row, cases: Sequence[SchemaCase], budget: Budget) -> Iterator[Row]:
    """The schemas of one group: solved, proven without an instance, or the kind of error.

    invalid: claimed to be solved, and python's jsonschema disagrees.
    """
    counts: Counter[str] = Counter()
    forwards, milliseconds, failed = list[int](), list[float](), list[str]()
    for case in (case for case in cases if case.fits):
        suffix = "" if case.shortest is not None else ", no instance known"
        counts["schemas" if case.shortest is not None else "without a known instance"] += 1
        started = time.perf_counter()
        result: Candidate | FillError | SchemaError
        try:
            problem = case.problem()
            counts["fully compiled"] += not problem.compiler.declined
            ((_, result),) = fill.fill_many([problem], first.arm, budget, first.seed)
        except (FillError, SchemaError) as error:
            result = error
        milliseconds.append(1e3 * (time.perf_counter() - started))
        kind = "solved" if isinstance(result, Candidate) else type(result).__name__
        counts[kind + suffix] += 1
        if isinstance(result, Candidate):
            forwards.append(result.counters.forwards)
            match case.grade(result.value):
                case None:
                    counts["python's jsonschema cannot read the pattern"] += 1
                case False:
                    counts["invalid by python's jsonschema"] += 1
                    failed.append(f"{case.name}: {result.text[:60]}")
        elif case.shortest is not None:
            failed.append(f"{case.name}: {kind}")
    yield replace(
        first,
        figures={
            **counts,
            "share": round(counts["solved"] / max(1, counts["schemas"]), 4),
            "forwards": quantiles(forwards),
            "ms": quantiles(milliseconds),
            "failed": failed[:LISTED],
        },
    )


def measure_pinned(first: Row, cases: Sequence[SchemaCase]) -> Iterator[Row]:
    """Instances of which the share ``first.pinned`` is given: is the rest written so that it is valid?"""
    task, budget = JsonTask(), Budget(forwards=PINNED_FORWARDS)
    denoiser = load(first.arm, task)
    counts: Counter[str] = Counter()
    milliseconds, failed = list[float](), list[str]()
    for case, _, template in pinned_instances(cases, first.pinned or 0.0, first.seed):
        counts["instances"] += 1
        started = time.perf_counter()
        try:
            problem = case.problem(template)
        except FillError as error:
            counts[type(error).__name__] += 1
            continue
        events = solve(task, [problem], denoiser, denoiser.policy, budget, first.seed)
        (outcome,) = (event for _, event in events if isinstance(event, Outcome))
        milliseconds.append(1e3 * (time.perf_counter() - started))
        counts[outcome.status] += 1
        if outcome.status != "solved":
            failed.append(f"{case.name}: {outcome.status}")
            continue
        text = task.decode(problem, outcome.tokens)
        verdict = case.grade(json.loads(text))
        counts["valid"] += bool(verdict)
        if verdict is False:
            failed.append(f"{case.name}: {text[:200]}")
        tokens, fixed = problem.given
        counts["pins kept"] += bool((outcome.tokens == tokens)[fixed].all())
    figures = {**counts, "ms": quantiles(milliseconds), "failed": failed[:LISTED]}
    yield replace(first, figures=figures)


SPARE = 13
FLOOR = 1e-9  # least probability, where the language excludes the true byte
Likelihood = Callable[[JsonCase], float]  # minus the log-probability of a hole's value, in nats


def cut_values(folder: Path, count: int) -> list[JsonCase]:
    """Cut one value out of each of ``count`` reserved instances."""
    rng, cases = np.random.default_rng(JSON_SEED), list[JsonCase]()
    pairs = load_pairs(folder, reserved=True)
    for index in rng.permutation(len(pairs)):
        schema, text = pairs[int(index)]
        spans = [span for path, span in leaf_spans(text).items() if path]
        if not spans:
            continue
        start, end = spans[int(rng.integers(len(spans)))]
        cells = end - start + int(rng.integers(SPARE))
        try:
            problem = JsonProblem.of(
                schema, template=[text[:start].decode(), Hole(cells), text[end:].decode()]
            )
        except (FillError, SchemaError):
            continue
        cases.append(JsonCase(problem, text[:start], text[end:], text[start:end], cells + 1, "value"))
        if len(cases) == count:
            break
    return cases


def infill_arms(models: JsonModels) -> list[Arm[JsonCase]]:
    return [
        *models.loop_arm("diffusion-oneshot", 1),
        *models.loop_arm("diffusion", 64, stop="stable"),
        *models.retry_arm("ar", left_page, place=JsonCase.continued),
        *models.retry_arm("ar-fim", middle_page, place=JsonCase.fill),
        *models.retry_arm(f"ar-fim, {TRIES} tries", middle_page, TRIES, place=JsonCase.fill),
        *models.controls(20),
    ]


def measure_json_infill(first: Row, arm: Arm[JsonCase], cases: Sequence[JsonCase]) -> Iterator[Row]:
    """One arm: values recovered, and valid instances."""
    attempt = run_arm(arm, cases)
    pairs = zip(cases, attempt.answers, strict=True)
    yield replace(
        first,
        figures={
            "values": len(cases),
            **share("recovered", [answer.text == case.fill(case.truth.decode()) for case, answer in pairs]),
            **share("valid", [answer.solved for answer in attempt.answers]),
            **attempt.cost(),
        },
    )


def measure_bits(first: Row, likelihood: Likelihood, cases: Sequence[JsonCase]) -> Iterator[Row]:
    bits = [likelihood(case) / math.log(2) for case in cases]
    sizes = [len(case.truth) for case in cases]
    total = ratio("bits_per_byte", bits, sizes)
    yield replace(first, figures={"values": len(cases), "bytes": sum(sizes), **total})


def likelihoods(models: JsonModels) -> dict[str, tuple[Likelihood, str | None]]:
    """Return the likelihoods by arm, with the hash of its weights."""
    by_arm: dict[str, tuple[Likelihood, str | None]] = {}
    if models.network is not None:
        free = partial(random_order_nats, models.network, projected=False)
        conditioned = partial(random_order_nats, models.network, projected=True)
        by_arm["diffusion"] = free, models.weights
        by_arm["diffusion, with the language"] = conditioned, models.weights
    if models.baseline is not None:
        by_arm["ar"] = partial(left_to_right_nats, models.baseline, left_page), models.baseline_weights
        by_arm["ar-fim"] = partial(left_to_right_nats, models.baseline, middle_page), models.baseline_weights
    by_arm["prior"] = partial(prior_nats, np.log(JsonTask().frequencies())), "prior"
    return by_arm


def prior_nats(log_p: np.ndarray, case: JsonCase) -> float:
    """Minus the log-probability of a value and its end, by byte frequencies."""
    return -float(log_p[np.frombuffer(case.truth, np.uint8)].sum() + log_p[BLANK])


def left_to_right_nats(network: JsonNetwork, read: Pages, case: JsonCase) -> float:
    """Minus the log-probability of a value and its end: the next byte, or BLANK if both sides are read."""
    page = read(case)
    value = [*case.truth, *(case.after[:1] if page.forced else [BLANK])]
    tokens = torch.tensor([*page.forced, *value])
    return -log_likelihood(network, page.prompt, tokens, len(page.forced))


def random_order_nats(network: JsonNetwork, case: JsonCase, projected: bool) -> float:
    """Minus the log-probability of a value, cell by cell in a random order. All steps are one batch.

    Args:
        network: the denoiser's.
        case: with its true value.
        projected: whether each conditional is conditioned on the language too.
    """
    task = JsonTask()
    canvas = task.encode(case.problem)
    start, cells = len(case.before), case.cells - 1
    blanks = np.full(cells - len(case.truth), BLANK)
    truth = np.concatenate([np.frombuffer(case.truth, np.uint8), blanks]).astype(np.int64)
    order = np.random.default_rng([JSON_SEED, start, cells]).permutation(cells)

    # row k knows the first k cells of the order
    tokens, known = np.tile(canvas.tokens, (cells, 1)), np.tile(canvas.pinned, (cells, 1))
    for step in range(cells):
        seen = start + order[:step]
        tokens[step, seen], known[step, seen] = truth[order[:step]], True
    denoiser = JsonDenoiser(network)
    state = denoiser.prefill([canvas], [0]).select([0] * cells)
    settled = torch.from_numpy(known)
    log_p, _ = denoiser.denoise(state, torch.from_numpy(tokens), settled, settled, denoiser.start(state))

    nats = 0.0
    for step, cell in enumerate(order):
        if not projected:
            nats -= float(log_p[step, start + cell, truth[cell]])
            continue
        joint = task.project(case.problem, log_p[step].numpy(), tokens[step], known[step])
        p = 0.0 if joint is None else float(joint.marginals[start + cell, truth[cell]])
        nats -= math.log(max(FLOOR, p))
    return nats
