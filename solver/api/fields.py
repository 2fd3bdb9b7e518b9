"""The fields of a candidate: value, probability, runner-up, and the place in the text that it was read from.

>>> from solver.api.fill import fill
>>> schema = {"properties": {"colour": {"enum": ["red", "green"]}}, "required": ["colour"], "type": "object"}
>>> schema |= {"additionalProperties": False}
>>> candidate = fill(schema, text="a green field", length=24, denoiser="random")
>>> field = candidate.fields["/colour"]
>>> other = {"red": "green", "green": "red"}[field.value]
>>> field.runner_up.value == other, round(field.probability + field.runner_up.probability, 6)
(True, 1.0)

Nothing of this is computed before it is asked for, and each field by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from solver.api.field_places import place_of
from solver.models.calibration import IDENTITY, Calibration
from solver.models.protocol import Denoiser
from solver.models.reader_fields import FieldQuery, resolved, without_null
from solver.tasks.json_schema.candidates import subschema_at
from solver.tasks.json_schema.field_marginals import FieldMarginals
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.readings import Place
from solver.tasks.json_schema.task import JsonTask, text_bytes
from solver.tasks.json_schema.validator import (
    JsonPath,
    byte_spans,
    inner_values,
    load_json,
    to_pointer,
    value_at,
)
from solver.tasks.task import Tokens

CHOSEN = ("boolean", "enum")  # kinds of values that are chosen from a list, not read from the text


class RunnerUp(NamedTuple):
    """The likeliest other value of a field, all other fields being as they are."""

    value: Any
    probability: float


@dataclass(frozen=True)
class Field:
    """One field of a candidate: a value that is no object, an array, or a member that was left out.

    Attributes:
        value: the JSON value; None if it was left out.
        probability: that the whole value is right, by the denoiser's last prediction and the schema,
            calibrated. For a member that was left out, the probability that it is. Values that share their slot
            with others (items of an array, optional members) may stand in other cells too; that part is
            estimated from draws.
        runner_up: the likeliest other value and its probability, None if there is none.
        span: start and end in characters of the place in the text that it was read from, or None.
        missing: whether the text does not give it. It is left out if it is optional, null if that is allowed,
            and otherwise a value that is not in the text.
        is_free: whether it may be any value that satisfies the schema: nothing restricted it to the text or
            to a list of values.
        withheld: whether it is not in the record, or null there, because it is less probable than was
            asked for.
        count_probability: of an array, the probability that it has as many items, estimated from draws;
            else None.
    """

    value: Any
    probability: float
    runner_up: RunnerUp | None = None
    span: Place | None = None
    missing: bool = False
    is_free: bool = False
    withheld: bool = False
    count_probability: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values, probabilities to four places."""
        runner_up = self.runner_up
        record = {
            "value": self.value,
            "probability": round(self.probability, 4),
            "runner_up": None
            if runner_up is None
            else {"value": runner_up.value, "probability": round(runner_up.probability, 4)},
            "span": None if self.span is None else list(self.span),
            "missing": self.missing,
            "is_free": self.is_free,
            "withheld": self.withheld,
        }
        if self.count_probability is not None:
            record["count_probability"] = round(self.count_probability, 4)
        return record


@dataclass(frozen=True, eq=False)
class FieldEvidence:
    """What is kept of a run to compute the fields of its candidate.

    Attributes:
        problem: the problem, with the layout that was filled.
        logits: the denoiser's last prediction without each cell's own token: log-probabilities (L, 257) in
            half precision.
        tokens: the answer (L,).
        calibration: the denoiser's.
        withheld: pointers of the fields that are not in the record, or null there.
    """

    problem: JsonProblem
    logits: NDArray[np.float16]
    tokens: Tokens
    calibration: Calibration = IDENTITY
    withheld: frozenset[str] = frozenset()

    @staticmethod
    def of_run(task: JsonTask, model: Denoiser, problem: JsonProblem, tokens: Tokens) -> FieldEvidence | None:
        """Take the last prediction from the task; None without one."""
        logits = task.take_logits(problem)
        calibration = getattr(model, "calibration", IDENTITY)
        return None if logits is None else FieldEvidence.of(problem, logits, tokens, calibration)

    @staticmethod
    def of(
        problem: JsonProblem, logits: NDArray[np.float32], tokens: Tokens, calibration: Calibration
    ) -> FieldEvidence:
        """Keep logits (L, 257) as log-probabilities, which are exact where they are close to zero."""
        shifted = logits - logits.max(1, keepdims=True)
        shifted -= np.log(np.exp(shifted).sum(1, keepdims=True))
        return FieldEvidence(problem, np.maximum(shifted, -6e4).astype(np.float16), tokens, calibration)

    @cached_property
    def marginals(self) -> FieldMarginals:
        return FieldMarginals(self.problem, self.logits, self.tokens)

    @property
    def probability(self) -> float:
        """The probability of the whole record, its geometric mean per scalar field calibrated."""
        text = text_bytes(self.tokens)
        leaves = sum(not isinstance(value, dict | list) for _, value in inner_values(load_json(text))) or 1
        share = self.marginals.record_probability
        return float(self.calibration(share ** (1 / leaves)) ** leaves)


class Fields(Mapping[str, Field]):
    """The fields of a candidate by JSON pointer in the order of the text, then what was left out."""

    def __init__(self, evidence: FieldEvidence) -> None:
        self._evidence = evidence
        text = text_bytes(evidence.tokens)
        self._record, self._spans = load_json(text), byte_spans(text)
        values = [path for path, value in inner_values(self._record) if not isinstance(value, dict)]
        absent = absent_paths(evidence.problem.schema, self._record)
        self._paths = {to_pointer(path): path for path in dict.fromkeys([*values, *absent])}
        self._computed = dict[str, Field]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __repr__(self) -> str:
        return f"Fields({', '.join(self._paths)})"

    def __getitem__(self, pointer: str) -> Field:
        path = self._paths[pointer]
        if pointer not in self._computed:
            field = self._field(pointer, path) if path in self._spans else self._absent(path)
            self._computed[pointer] = replace(field, withheld=pointer in self._evidence.withheld)
        return self._computed[pointer]

    def _field(self, pointer: str, path: JsonPath) -> Field:
        """Compute the field of a value of the record."""
        problem, marginals, calibrated = (
            self._evidence.problem,
            self._evidence.marginals,
            self._evidence.calibration,
        )
        value, span = value_at(self._record, path), self._spans[path]
        probability = marginals.probability(span)
        if marginals.shares_slot(span):
            probability = min(1.0, probability + marginals.elsewhere(span, path, value))
        other = marginals.runner_up(span, path)
        runner_up = None if other is None else RunnerUp(other[0], calibrated(other[1]))
        if isinstance(value, list):
            count = marginals.count_share(path, len(value))
            return Field(value, calibrated(probability), runner_up, count_probability=count)
        names = [part for part in path if isinstance(part, str)]
        place = place_of(problem.text, value, names[-1] if names else "")
        is_read = value is not None and FieldQuery.of(problem.schema, pointer).kind not in CHOSEN
        is_missing = other is not None if value is None else is_read and bool(problem.text) and place is None
        is_free = is_read and (place is None or self._is_unrestricted(pointer))
        return Field(value, calibrated(probability), runner_up, place, is_missing, is_free)

    def _is_unrestricted(self, pointer: str) -> bool:
        """Whether the field's values need not be in the text."""
        schema = subschema_at(self._evidence.problem.schema, pointer)
        is_exempt = isinstance(schema, dict) and schema.get("x-source") == "free"
        return is_exempt or self._evidence.problem.compiler.source is None

    def _absent(self, path: JsonPath) -> Field:
        """Compute the field of a member that was left out."""
        marginals, calibrated = self._evidence.marginals, self._evidence.calibration
        drawn = marginals.draws.get(path)
        if not drawn:
            return Field(None, calibrated(1.0), missing=True)
        likeliest = RunnerUp(*marginals.likeliest_drawn(path))
        return Field(
            None,
            calibrated(1.0 - marginals.present_share(path)),
            RunnerUp(likeliest.value, calibrated(likeliest.probability)),
            missing=True,
        )


def absent_paths(root: Any, record: Any) -> list[JsonPath]:
    """Paths of the members that a schema names and a record leaves out, without those of alternatives.

    >>> schema = {"properties": {"a": {}, "b": {"items": {"$ref": "#/$defs/c"}}}}
    >>> schema |= {"$defs": {"c": {"properties": {"d": {}}}}}
    >>> absent_paths(schema, {"b": [{}]})
    [('a',), ('b', 0, 'd')]
    """
    return list(_absent(root, root, record, ()))


def _absent(root: Any, schema: Any, value: Any, path: JsonPath) -> Iterator[JsonPath]:
    _, schema = without_null(root, resolved(root, schema))
    for part in schema.get("allOf", ()):
        yield from _absent(root, part, value, path)
    if isinstance(value, dict):
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                yield from _absent(root, inner, value[name], (*path, name))
            elif inner is not False:
                yield (*path, name)
    elif isinstance(value, list):
        first = schema.get("prefixItems", [])
        for index, item in enumerate(value):
            inner = first[index] if index < len(first) else schema.get("items", {})
            yield from _absent(root, inner, item, (*path, index))
