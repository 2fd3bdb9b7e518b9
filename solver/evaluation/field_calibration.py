"""Calibration of fields: is a field with probability p right in a share p of the cases?

    python -m solver evaluate json --out results --sections calibration --prose FILE

Measured on generated records whose keys no training saw, on generated prose of domains that no training saw (if
``faker`` is installed), and on the texts of ``--prose FILE``. Each method that gives fields a probability has its
own row.

>>> rated = [RatedField(0.75, text < 3, text) for text in range(4)]
>>> figures = calibration_figures(rated)
>>> figures["fields"], figures["error"], figures["bins"]
(4, 0.0, [[0.75, 0.75, 4]])
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.evaluation.harness import Arm, run_arm
from solver.evaluation.json_arms import JSON_SEED, parse_json
from solver.evaluation.json_generated import make_records
from solver.evaluation.prose import ProseCase, is_right, scalar_leaves, value_at_pointer
from solver.evaluation.rows import Row
from solver.evaluation.statistics import Figures, calibration, rounded, share
from solver.tasks.json_schema.validator import leaf_spans, to_pointer
from solver.tasks.languages.projection import BLANK
from solver.training.prose.generate import make_prose

SURE = 0.9
ACCURACY = 0.95  # demanded of the fields that are kept
RESAMPLES = 400


@dataclass(frozen=True)
class RatedField:
    """A field of an answer.

    Args:
        probability: that its value is right, by the arm.
        is_right: whether it is.
        text: number of the text that it is from.
    """

    probability: float
    is_right: bool
    text: int


def byte_products(text: str, tokens: NDArray[Any], confidence: NDArray[Any]) -> dict[str, float]:
    """Return the product of the confidences (L,) of the bytes of every value, by JSON pointer.

    It ignores that bytes depend on each other: the marginal of the whole value is the better probability.

    >>> byte_products("[12]", np.array([*b"[12]", BLANK]), np.array([1, 0.5, 0.5, 1, 0.1]))
    {'/0': 0.25}
    """
    written = np.asarray(confidence, float)[np.asarray(tokens) != BLANK]
    spans = leaf_spans(text.encode())
    return {to_pointer(path): float(written[start:end].prod()) for path, (start, end) in spans.items()}


def rate_fields(
    case: ProseCase, answer: Any, probabilities: Mapping[str, float], text: int
) -> list[RatedField]:
    """Grade the fields of an answer that have a probability.

    A field that the record does not have is wrong. One that the answer leaves out is right if the record does
    not have it either.
    """
    if answer is None:
        return []
    expected, answered = dict(scalar_leaves(case.expected)), dict(scalar_leaves(answer))
    nothing = object()  # equal to no value
    rated = []
    for pointer, probability in probabilities.items():
        if pointer in answered:
            correct = is_right(case, answer, pointer, expected.get(pointer, nothing))
        elif value_at_pointer(pointer, answer, nothing) is nothing:
            correct = expected_nothing(case, expected, pointer)
        else:
            continue  # an object or an array
        rated.append(RatedField(probability, correct, text))
    return rated


def expected_nothing(case: ProseCase, expected: Mapping[str, Any], pointer: str) -> bool:
    """Whether the record has no value at a pointer, or the null of a field that the text does not give."""
    inside = [value for place, value in expected.items() if f"{place}/".startswith(f"{pointer}/")]
    return not inside or (inside == [None] and pointer in case.absent)


def calibration_figures(rated: Sequence[RatedField]) -> Figures:
    """Return the figures of a set of fields.

    ``error`` is the expected calibration error over ten bins, ``error_by_chance`` what a perfectly calibrated
    predictor with the same probabilities would show on as many fields, ``sure`` the number of fields with a
    probability of SURE at least, and ``kept`` the largest share of fields, those with the highest probabilities,
    of which ACCURACY are right.
    """
    if not rated:
        return {"fields": 0}
    p_N = np.array([field.probability for field in rated])
    right_N = np.array([field.is_right for field in rated])
    text_N = np.unique([field.text for field in rated], return_inverse=True)[1]
    curve, error = calibration(p_N, right_N)
    rng = np.random.default_rng(0)

    # whole texts are resampled
    members = [np.flatnonzero(text_N == text) for text in range(text_N.max() + 1)]
    errors = []
    for _ in range(RESAMPLES):
        index = np.concatenate([members[text] for text in rng.integers(0, len(members), len(members))])
        errors.append(calibration(p_N[index], right_N[index])[1])
    chance = [calibration(p_N, rng.random(len(p_N)) < p_N)[1] for _ in range(RESAMPLES)]

    is_sure = p_N >= SURE
    order = np.argsort(-p_N, kind="stable")
    accuracies = right_N[order].cumsum() / np.arange(1, len(order) + 1)
    ends_tie = np.append(p_N[order][1:] < p_N[order][:-1], True)  # a threshold keeps all equal ones or none
    enough = np.flatnonzero((accuracies >= ACCURACY) & ends_tie)
    return {
        "fields": len(rated),
        "texts": len(members),
        **share("right", right_N, text_N),
        "mean_probability": rounded([p_N.mean()])[0],
        "error": rounded([error])[0],
        "error_interval": rounded(list(np.percentile(errors, [2.5, 97.5]))),
        "error_by_chance": rounded([float(np.mean(chance))])[0],
        "sure": int(is_sure.sum()),
        "sure_share": rounded([is_sure.mean()])[0],
        **share("sure_right", right_N[is_sure], text_N[is_sure]),
        "kept": rounded([(enough[-1] + 1 if len(enough) else 0) / len(rated)])[0],
        "bins": [[*rounded([mean, accuracy]), count] for mean, accuracy, count in curve],
    }


def record_cases(count: int) -> list[ProseCase]:
    """Make generated records of reserved words, without derived fields, whose values are not in the text."""
    records = [record for record in make_records(2 * count) if record.derived is None]
    return [ProseCase(record.text, record.schema, record.instance) for record in records[:count]]


def generated_prose(count: int) -> list[ProseCase]:
    """Make texts of held-out domains. Raises MissingFakerError without ``faker``."""
    rng = np.random.default_rng(JSON_SEED)
    records = (make_prose(rng, "held-out") for _ in range(count))
    return [
        ProseCase(record.text, record.schema, record.record, absent=record.absent, difficulty=0)
        for record in records
    ]


def measure_field_calibration(first: Row, arm: Arm[ProseCase], cases: Sequence[ProseCase]) -> Iterator[Row]:
    """One arm: a row for each method by which its answers have probabilities, "" for the usual one."""
    attempt = run_arm(arm, cases)
    rated: dict[str, list[RatedField]] = {}
    for number, (case, answer) in enumerate(zip(cases, attempt.answers, strict=True)):
        for method, probabilities in answer.probabilities.items():
            fields = rate_fields(case, parse_json(answer.text), probabilities, number)
            rated.setdefault(method, []).extend(fields)
    for method, fields in rated.items():
        name = f"{arm.name}, {method}" if method else arm.name
        yield replace(first, arm=name, figures=calibration_figures(fields))
