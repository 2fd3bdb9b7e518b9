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
from solver.tasks.json_schema.problem import JsonProblem

HEURISTIC = "heuristic"
BYTE_PRODUCT = "product of the bytes"


def fill_answer(denoiser: str | Denoiser, seed: int, case: ProseCase) -> Answer:
    """Answer with :func:`solver.fill`, without a limit in seconds; no answer if it raises an error."""
    cost = Counters()
    if isinstance(denoiser, JsonDenoiser):
        prompt = JsonProblem.prompt_of(case.schema, case.text)
        cost = Counters(flops=denoiser.network.reading_flops(len(prompt)))
    try:
        candidate = fill(case.schema, case.text, denoiser=denoiser, seed=seed, seconds=None)
    except SolverError:
        return Answer(None, counters=cost)
    products = byte_products(candidate.text, candidate.tokens, candidate.confidence)
    return Answer(
        (candidate.text,), "solved", candidate.counters + cost, probabilities={BYTE_PRODUCT: products}
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
        return replace(answered, seconds=time.perf_counter() - started)

    return Arm(name, lambda cases: [timed(number, case) for number, case in enumerate(cases)], weights)


def baseline_arm(arm: Arm[JsonCase]) -> Arm[ProseCase]:
    """Put the cases to an arm of the left-to-right baseline; no answer where a schema is refused."""

    def answers(cases: Sequence[ProseCase]) -> list[Answer]:
        problems: dict[int, JsonCase] = {}
        for number, case in enumerate(cases):
            with contextlib.suppress(SolverError):
                problems[number] = JsonCase(JsonProblem.of(case.schema, case.text))
        written = dict(zip(problems, arm.answer(list(problems.values())), strict=True))
        return [written.get(number, Answer(None)) for number in range(len(cases))]

    return Arm(arm.name, answers, arm.weights)


def default_arms(models: JsonModels) -> list[Arm[ProseCase]]:
    """Make the arm of :func:`solver.fill` with the trained denoiser; none without one."""
    if models.network is None:
        return []
    answer = partial(fill_answer, JsonDenoiser(models.network))
    return [prose_arm(DEFAULT_CALL, answer, JSON_SEED + models.seed, models.weights)]


def prose_arms(models: JsonModels) -> list[Arm[ProseCase]]:
    """Make all arms for which there is a model."""
    seed = JSON_SEED + models.seed
    baselines = [*models.retry_arm("ar", raw_page), *models.retry_arm("ar-masked", masked_page)]
    return [
        *default_arms(models),
        *map(baseline_arm, baselines),
        *(prose_arm(name, partial(fill_answer, name), seed, name) for name in CONTROLS),
        prose_arm(HEURISTIC, heuristic_answer, seed, None),
    ]
