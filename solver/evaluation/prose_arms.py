"""The arms of the evaluation on prose: :func:`solver.fill`, the baseline, the controls, the heuristic.

>>> (arm,) = [arm for arm in prose_arms(JsonModels()) if arm.name == "heuristic"]
>>> (answer,) = arm.answer([ProseCase("Ann, 30", {"properties": {"age": {"type": "integer"}}}, {"age": 30})])
>>> answer.text
'{"age": 30}'
"""

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from solver.api.fill import fill
from solver.evaluation.field_calibration import byte_products
from solver.evaluation.harness import CONTROLS, Answer, Arm
from solver.evaluation.heuristic import heuristic_value
from solver.evaluation.json_arms import JSON_SEED, JsonCase, JsonModels, masked_page, raw_page
from solver.evaluation.json_generated import DEFAULT_CALL
from solver.evaluation.prose import ProseCase
from solver.loop.trace import Counters
from solver.models.mask_denoisers import JsonDenoiser
from solver.models.protocol import Denoiser
from solver.tasks.errors import SolverError
from solver.tasks.json_schema.compilation import Quotes
from solver.tasks.json_schema.problem import JsonProblem

HEURISTIC = "heuristic"
MARGINAL, BYTE_PRODUCT = "", "product of the bytes"  # methods for the probabilities of fields
RULES = "rules"  # the text restricts the values, and nothing chooses among them


def fill_answer(denoiser: str | Denoiser, quotes: Quotes, seed: int, case: ProseCase) -> Answer:
    """Answer with :func:`solver.fill`, without a limit in seconds; no answer if it raises an error.

    The time is that of the call. The fields are computed after it, and only for a model whose values are quotes:
    those of free strings, and of values drawn at random, take seconds.
    """
    started, cost = time.perf_counter(), Counters()
    if isinstance(denoiser, JsonDenoiser):
        prompt = JsonProblem.prompt_of(case.schema, case.text)
        cost = Counters(flops=denoiser.network.reading_flops(len(prompt)))
    try:
        candidate = fill(case.schema, case.text, denoiser=denoiser, quotes=quotes, seed=seed, seconds=None)
    except SolverError:
        return Answer(None, counters=cost, seconds=time.perf_counter() - started)
    seconds = time.perf_counter() - started
    fields = candidate.fields if quotes and denoiser not in CONTROLS else {}
    return Answer(
        (candidate.text,),
        "solved",
        candidate.counters + cost,
        seconds,
        probabilities={
            MARGINAL: {pointer: field.probability for pointer, field in fields.items()},
            BYTE_PRODUCT: byte_products(candidate.text, candidate.tokens, candidate.confidence),
        },
        missing=frozenset(pointer for pointer, field in fields.items() if field.missing),
    )


def heuristic_answer(seed: int, case: ProseCase) -> Answer:
    """Answer with the heuristic, which knows no seed; no answer to a schema that contains itself."""
    try:
        return Answer((json.dumps(heuristic_value(case.schema, case.text), ensure_ascii=False),), "solved")
    except RecursionError:
        return Answer(None)


def prose_arm(
    name: str,
    answer: Callable[[int, ProseCase], Answer],
    first_seed: int,
    weights: str | None,
) -> Arm[ProseCase]:
    """Make an arm that answers text by text, with the seconds of each.

    Args:
        name: in tables.
        answer: of a seed and a case.
        first_seed: of the first case; each has its own.
        weights: what identifies the model.
    """

    def timed(number: int, case: ProseCase) -> Answer:
        started = time.perf_counter()
        answered = answer(first_seed + number, case)
        seconds = time.perf_counter() - started
        return answered if answered.seconds is not None else replace(answered, seconds=seconds)

    return Arm(name, lambda cases: [timed(number, case) for number, case in enumerate(cases)], weights)


def baseline_arm(name: str, arm: Arm[JsonCase], quotes: Quotes = False) -> Arm[ProseCase]:
    """Put the cases to an arm of the left-to-right baseline; no answer where a schema is refused."""

    def answers(cases: Sequence[ProseCase]) -> list[Answer]:
        problems: dict[int, JsonCase] = {}
        for number, case in enumerate(cases):
            with contextlib.suppress(SolverError):
                problems[number] = JsonCase(JsonProblem.of(case.schema, case.text, quotes=quotes))
        written = dict(zip(problems, arm.answer(list(problems.values())), strict=True))
        return [written.get(number, Answer(None)) for number in range(len(cases))]

    return Arm(name, answers, arm.weights)


def fill_arm(name: str, denoiser: str | Denoiser, quotes: Quotes, models: JsonModels) -> Arm[ProseCase]:
    """Make the arm that calls :func:`solver.fill`; ``models`` has the seed, and the hash of the shipped model."""
    weights = denoiser if denoiser in CONTROLS and isinstance(denoiser, str) else models.weights
    return prose_arm(name, partial(fill_answer, denoiser, quotes), JSON_SEED + models.seed, weights)


def default_arms(models: JsonModels, denoiser: str | Denoiser = "compact") -> list[Arm[ProseCase]]:
    """Make the arm of :func:`solver.fill` with its defaults, but for the checkpoint; none without a model."""
    return [fill_arm(DEFAULT_CALL, denoiser, "auto", models)] if models.network is not None else []


def prose_arms(models: JsonModels, denoiser: str | Denoiser = "compact") -> list[Arm[ProseCase]]:
    """Make all arms for which there is a model.

    Args:
        models: the shipped models, or others.
        denoiser: name or checkpoint of the model that :func:`solver.fill` is called with.
    """
    masked = models.retry_arm("ar-masked", masked_page)
    without_quotes = [
        fill_arm(f"{arm.name}, no quotes", denoiser, False, models) for arm in default_arms(models)
    ]
    return [
        *default_arms(models, denoiser),
        *without_quotes,
        *(baseline_arm(arm.name, arm) for arm in (*models.retry_arm("ar", raw_page), *masked)),
        *(baseline_arm(f"{arm.name}, quotes", arm, "auto") for arm in masked),
        *(fill_arm(name, name, False, models) for name in CONTROLS),
        fill_arm(RULES, "random", "auto", models),
        prose_arm(HEURISTIC, heuristic_answer, JSON_SEED + models.seed, None),
    ]
