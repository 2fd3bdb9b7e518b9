"""Withholds the fields of a candidate whose probability is below a threshold.

>>> from solver.api.fill import fill
>>> schema = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "additionalProperties": False}
>>> schema |= {"required": ["a"]}
>>> candidate = fill(schema, length=8, denoiser="random", seed=1)
>>> withhold(candidate, 0.0) is candidate
True
>>> try:
...     withhold(candidate, 1.0)
... except NotConfident as error:
...     print(error.pointers)
('/a',)

A member is left out if the record is valid without it, otherwise null if the record is valid with that. The
remaining values keep their spelling, and every record is validated and checked again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np

from solver.api.candidate import Candidate
from solver.api.fields import FieldEvidence
from solver.tasks.arguments import run_check
from solver.tasks.json_schema.errors import NotConfident
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.validator import JsonPath, byte_spans, resolve_pointer, value_at
from solver.tasks.languages.projection import BLANK

Part = tuple[int, int] | bytes  # a span of the old text, or new bytes


def withhold_all(candidates: Sequence[Candidate], minimum: float, can_change: bool = True) -> list[Candidate]:
    """The candidates without the fields below ``minimum``, each text once.

    Args:
        candidates: of ``solver.fill``, best first.
        minimum: the least probability of a field.
        can_change: whether members may be left out or null, which a template forbids.

    Raises:
        NotConfident: all have a required field below ``minimum``; it is the error of the first.
    """
    kept, errors = dict[str, Candidate](), list[NotConfident]()
    for candidate in candidates:
        try:
            sure = withhold(candidate, minimum, can_change)
        except NotConfident as error:
            errors.append(error)
        else:
            kept.setdefault(sure.text, sure)
    if not kept:
        raise errors[0]
    return list(kept.values())


def withhold(candidate: Candidate, minimum: float, can_change: bool = True) -> Candidate:
    """Return the candidate without the fields below ``minimum``, as :func:`withhold_all` does.

    An array is below it if the probability of its number of items is. In the result, ``fields`` still has
    what was withheld.

    Raises:
        NotConfident: a field is below ``minimum`` that is required and cannot be null.
    """
    evidence = candidate.evidence
    if evidence is None:
        return candidate
    unsure = [pointer for pointer in candidate.fields if is_unsure(candidate, pointer, minimum)]
    if not unsure:
        return candidate
    paths = {resolve_pointer(pointer, candidate.value): pointer for pointer in unsure}
    changes = confident_changes(evidence.problem, candidate.value, list(paths)) if can_change else {}
    refused = tuple(pointer for path, pointer in paths.items() if path not in changes)
    if refused:
        raise NotConfident(candidate, refused, minimum)
    return rewritten(candidate, evidence, changes, frozenset(unsure))


def is_unsure(candidate: Candidate, pointer: str, minimum: float) -> bool:
    """Whether a value of the record is below ``minimum``: a scalar, or the number of items of an array."""
    field = candidate.fields[pointer]
    if field.missing and field.value is None:
        return False
    if field.count_probability is not None:
        return field.count_probability < minimum
    return field.probability < minimum


def confident_changes(problem: JsonProblem, record: Any, paths: list[JsonPath]) -> dict[JsonPath, bool]:
    """Decide what becomes of the values at ``paths``: left out (True) or null (False); as many as possible.

    All are left out together if that is valid. Otherwise they are changed one by one, the last first, so that
    the indices of items stay valid.
    """
    together = {path: bool(path) for path in paths}  # the root cannot be left out
    if is_valid(problem, changed(record, together)):
        return together
    changes, pending = dict[JsonPath, bool](), paths[::-1]
    while pending:
        options = [(path, left_out) for path in pending for left_out in (True, False) if path or not left_out]
        valid = (
            option
            for option in options
            if is_valid(problem, changed(record, {**changes, option[0]: option[1]}))
        )
        option = next(valid, None)
        if option is None:
            break
        changes[option[0]] = option[1]
        pending.remove(option[0])
    return changes


def changed(record: Any, changes: Mapping[JsonPath, bool]) -> Any:
    """A copy of a record in which the values at some paths are left out (True) or null (False)."""
    result = {"": deepcopy(record)}
    for path in sorted(changes, key=lambda path: [*map(sort_key, path)], reverse=True):
        *holder, part = ("", *path)
        container = value_at(result, tuple(holder))
        if changes[path]:
            del container[part]
        else:
            container[part] = None
    return result[""]


def sort_key(part: str | int) -> tuple[int, str]:
    """Sort key of a part of a path: indices by number, names by text."""
    return (part, "") if isinstance(part, int) else (-1, part)


def is_valid(problem: JsonProblem, record: Any) -> bool:
    """Whether the validator and the user's checks accept a record."""
    is_accepted = problem.validator.is_valid(record)
    return is_accepted and not any(run_check(check, record) for check in problem.checks)


def rewritten(
    candidate: Candidate, evidence: FieldEvidence, changes: Mapping[JsonPath, bool], withheld: frozenset[str]
) -> Candidate:
    """The candidate with changed values. The other bytes keep their cells' confidence; new ones have 1."""
    old = candidate.text.encode()
    cells = np.flatnonzero(candidate.tokens != BLANK)
    text, confidence = b"", list[float]()
    for part in parts_of(candidate.value, (), byte_spans(old), changes):
        if isinstance(part, bytes):
            text, confidence = text + part, confidence + [1.0] * len(part)
        else:
            text += old[slice(*part)]
            confidence += candidate.confidence[cells[slice(*part)]].tolist()
    return replace(
        candidate,
        text=text.decode(),
        value=json.loads(text),
        tokens=np.frombuffer(text, np.uint8).astype(np.int64),
        confidence=np.array(confidence, np.float32),
        evidence=replace(evidence, withheld=withheld),
    )


def parts_of(
    value: Any, path: JsonPath, spans: Mapping[JsonPath, tuple[int, int]], changes: Mapping[JsonPath, bool]
) -> Iterator[Part]:
    """Yield the parts of the new text of a value."""
    if changes.get(path) is False:
        yield b"null"
    elif isinstance(value, dict):
        yield b"{"
        names = [name for name in value if not changes.get((*path, name), False)]
        for index, name in enumerate(names):
            if index:
                yield b","
            yield spans[*path, f"#{name}"]
            yield b":"
            yield from parts_of(value[name], (*path, name), spans, changes)
        yield b"}"
    elif isinstance(value, list):
        yield b"["
        items = [index for index in range(len(value)) if not changes.get((*path, index), False)]
        for index in items:
            if index != items[0]:
                yield b","
            yield from parts_of(value[index], (*path, index), spans, changes)
        yield b"]"
    else:
        yield spans[path]
