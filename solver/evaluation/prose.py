"""Texts as people write them: are the values of a record the right ones?

    python -m solver evaluate json --prose FILE --out results --sections prose

Every line of FILE is a JSON object: ``text``, ``schema``, ``expected`` (the record), ``alternatives``
(further right values by JSON pointer, also of whole objects and arrays), ``absent`` (pointers of fields
that the text does not give; their null may be left out) and ``difficulty``.

>>> case = ProseCase("Ann, 30", {}, {"name": "Ann", "age": 30}, {"/age": ["thirty"]})
>>> grade = grade_prose(case, {"name": "Bob", "age": 30})
>>> grade.right, grade.is_whole, (grade.invented, grade.strings)
({'/name': False, '/age': True}, False, (1, 1))
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from solver.evaluation.harness import Arm, run_arm
from solver.evaluation.heuristic import key_words
from solver.evaluation.json_arms import parse_json
from solver.evaluation.rows import Row
from solver.evaluation.statistics import Figures, quantiles, ratio, share
from solver.tasks.json_schema.validator import build_validator, resolve_pointer, value_at

DATE_OR_TIME = re.compile(r"\d{4}-\d\d-\d\d|\d\d:\d\d")  # written in another way than in the text
KINDS = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
LEVELS = (1, 2, 3)  # of difficulty


@dataclass(frozen=True, eq=False)
class ProseCase:
    """A text, the schema of its record, and the record.

    Args:
        text: as a person wrote it.
        schema: of the record.
        expected: the record.
        alternatives: further right values, by JSON pointer.
        absent: pointers of fields that the text does not give.
        difficulty: from 1 (every value is next to its key) to 3; 0: not rated.
    """

    text: str
    schema: Any
    expected: Any
    alternatives: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    absent: Collection[str] = ()
    difficulty: int = 1


def load_prose(path: Path, limit: int | None = None) -> list[ProseCase]:
    """Load the cases of a file, at most ``limit``. Raises ValueError if it is not such a file."""
    names = set(ProseCase.__dataclass_fields__)
    cases = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            values = json.loads(line)
            cases.append(ProseCase(**{name: value for name, value in values.items() if name in names}))
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}, line {number}: not a text with its schema and record") from error
    return cases[:limit]


def scalar_leaves(value: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the JSON pointer and value of every scalar, empty object and empty array.

    >>> list(scalar_leaves({"a": [1, {"b/c": None}], "d": []}))
    [('/a/0', 1), ('/a/1/b~1c', None), ('/d', [])]
    """
    match value:
        case dict() if value:
            for key, member in value.items():
                yield from scalar_leaves(member, pointer + "/" + key.replace("~", "~0").replace("/", "~1"))
        case [_, *_]:
            for index, item in enumerate(value):
                yield from scalar_leaves(item, f"{pointer}/{index}")
        case _:
            yield pointer, value


def value_at_pointer(pointer: str, value: Any, default: Any = None) -> Any:
    """Return the value at a JSON pointer, ``default`` where there is none."""
    path = resolve_pointer(pointer, value)
    return value_at(value, path) if len(path) == pointer.count("/") else default


def parents(pointer: str) -> list[str]:
    """Return the pointers of the objects and arrays around a value.

    >>> parents("/a/0/b")
    ['', '/a', '/a/0']
    """
    parts = pointer.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def is_same(x: Any, y: Any) -> bool:
    """Whether two JSON values are equal. Python finds True equal to 1."""
    return bool(x == y) and isinstance(x, bool) == isinstance(y, bool)


def fixed_strings(schema: Any) -> set[str]:
    """Return the strings that the ``enum`` and ``const`` of a schema and its parts list."""
    match schema:
        case dict():
            listed = schema.get("enum")
            values = [*(listed if isinstance(listed, list) else ()), schema.get("const")]
            strings = {value for value in values if isinstance(value, str)}
            return strings.union(*map(fixed_strings, schema.values()))
        case list():
            return set[str]().union(*map(fixed_strings, schema))
        case _:
            return set()


@dataclass(frozen=True)
class ProseGrade:
    """The grade of an answer.

    Args:
        right: whether each field of the expected record is right, by pointer.
        is_whole: whether the answer is the record: all fields right, and no others.
        strings: number of strings that the schema does not list and that are not dates or times.
        invented: number of those that are neither right nor in the text.
        flagged: pointers of fields that the answer leaves out or gives as null, or that it marks as missing.
        extra: pointers of fields that the record does not have.
    """

    right: Mapping[str, bool]
    is_whole: bool
    strings: int
    invented: int
    flagged: frozenset[str]
    extra: frozenset[str] = frozenset()


def is_right(case: ProseCase, answer: Any, pointer: str, value: Any) -> bool:
    """Whether the answer has ``value`` at ``pointer``, or an alternative there or for something around it."""
    nothing = object()
    answered = value_at_pointer(pointer, answer, nothing)
    if answered is nothing:
        correct = value is None and pointer in case.absent
    else:
        correct = any(is_same(answered, known) for known in (value, *case.alternatives.get(pointer, ())))
    return correct or any(
        is_same(value_at_pointer(parent, answer, nothing), known)
        for parent in parents(pointer)
        for known in case.alternatives.get(parent, ())
    )


def is_beside_key(text: str, pointer: str, value: Any) -> bool:
    """Whether the text has a value directly after the words of its key and a colon or an equals sign.

    >>> [is_beside_key("Due date: 2 May; age=30", *field) for field in (("/due_date", "2 May"), ("/age", 3))]
    [True, False]
    """
    words = "[ _-]?".join(key_words(pointer.rpartition("/")[2]))
    spelling = re.escape(value if isinstance(value, str) else json.dumps(value))
    pattern = rf"(?<!\w){words}[\W_]{{0,3}}[:=]\W{{0,3}}{spelling}(?!\w)"
    return bool(words) and re.search(pattern, text, re.IGNORECASE) is not None


def is_left_out(answer: Any, pointer: str) -> bool:
    """Whether a field is null, or an object around it lacks it or is null. Too short an array does not count.

    >>> [is_left_out({"a": None, "b": [{}]}, pointer) for pointer in ("/a/c", "/b/0/d", "/b/1")]
    [True, True, False]
    """
    path = resolve_pointer(pointer, answer)
    innermost = value_at(answer, path)
    return innermost is None or (isinstance(innermost, dict) and len(path) < pointer.count("/"))


def grade_prose(case: ProseCase, answer: Any, missing: Collection[str] = ()) -> ProseGrade:
    """Compare an answer (None: there is none) with the record.

    Args:
        case: text, schema and record.
        answer: a JSON value.
        missing: pointers of the fields that the arm says are not in the text.
    """
    right = {
        pointer: is_right(case, answer, pointer, value) for pointer, value in scalar_leaves(case.expected)
    }
    listed = fixed_strings(case.schema)
    extra, strings, invented = set(), 0, 0
    for pointer, value in scalar_leaves({} if answer is None else answer):
        near = any(pointer.startswith(f"{p}/") or p.startswith(f"{pointer}/") for p in case.alternatives)
        left_out = value is None and pointer in case.absent
        if pointer and pointer not in right and not near and not left_out:
            extra.add(pointer)
        if isinstance(value, str) and value not in listed and not DATE_OR_TIME.match(value):
            strings += 1
            invented += value not in case.text and not right.get(pointer, False)
    flagged = frozenset(
        pointer
        for pointer in {*right, *case.absent}
        if answer is not None and (pointer in missing or is_left_out(answer, pointer))
    )
    return ProseGrade(right, all(right.values()) and not extra, strings, invented, flagged, frozenset(extra))


def json_type(value: Any) -> str:
    """Return the JSON type of a value.

    >>> [json_type(value) for value in (True, 1, 1.0, None)]
    ['boolean', 'integer', 'number', 'null']
    """
    return KINDS.get(type(value), "null")


def share_right(name: str, right: Sequence[Sequence[bool]]) -> Figures:
    """Return the number of fields, the share right, and its interval over texts; nothing without fields.

    Args:
        name: of the figures.
        right: whether each field is right, by text.
    """
    totals = [len(fields) for fields in right]
    if not sum(totals):
        return {}
    return {
        f"fields_{name}": sum(totals),
        **ratio(f"right_{name}", [sum(fields) for fields in right], totals),
    }


def prose_figures(cases: Sequence[ProseCase], grades: Sequence[ProseGrade]) -> Figures:
    """Return the figures of an arm: shares right with their intervals, invented strings, missing fields."""
    texts = list(zip(cases, grades, strict=True))
    kinds = [{pointer: json_type(value) for pointer, value in scalar_leaves(case.expected)} for case in cases]
    figures: Figures = {
        "texts": len(cases),
        **share_right("all", [list(grade.right.values()) for grade in grades]),
        **share("whole", [grade.is_whole for grade in grades]),
    }
    for kind in (*KINDS.values(), "null"):
        figures |= share_right(
            kind,
            [
                [grade.right[pointer] for pointer, field_kind in by_pointer.items() if field_kind == kind]
                for grade, by_pointer in zip(grades, kinds, strict=True)
            ],
        )
    for level in LEVELS:
        at_level = [grade for case, grade in texts if case.difficulty == level]
        figures |= share_right(f"level_{level}", [list(grade.right.values()) for grade in at_level])
    figures |= share_right(
        "beside_key",
        [
            [
                grade.right[pointer]
                for pointer, value in scalar_leaves(case.expected)
                if is_beside_key(case.text, pointer, value)
            ]
            for case, grade in texts
        ],
    )
    figures["strings"] = sum(grade.strings for grade in grades)
    figures["invented"] = sum(grade.invented for grade in grades)
    # a field that the text lacks is to be flagged, and no other
    absent = [[pointer in grade.flagged for pointer in case.absent] for case, grade in texts]
    present = [
        [pointer in grade.flagged for pointer, kind in by_pointer.items() if kind != "null"]
        for grade, by_pointer in zip(grades, kinds, strict=True)
    ]
    for name, flags in (("absent", absent), ("present", present)):
        totals = [len(fields) for fields in flags]
        figures[name] = sum(totals)
        if sum(totals):
            figures |= ratio(f"{name}_flagged", [sum(fields) for fields in flags], totals)
    figures["each"] = {"right": [sum(grade.right.values()) for grade in grades]}
    figures["each"]["fields"] = [len(grade.right) for grade in grades]
    return figures


def measure_prose(first: Row, arm: Arm[ProseCase], cases: Sequence[ProseCase]) -> Iterator[Row]:
    """One arm on the texts: its shares, each with its interval over texts, and its cost."""
    attempt = run_arm(arm, cases, warm_up=True)
    values = [parse_json(answer.text) for answer in attempt.answers]
    marks = [answer.missing for answer in attempt.answers]
    grades = [grade_prose(*triple) for triple in zip(cases, values, marks, strict=True)]
    valid = [build_validator(case.schema).is_valid(value) for case, value in zip(cases, values, strict=True)]
    times = [1e3 * answer.seconds for answer in attempt.answers if answer.seconds is not None]
    figures = {
        **prose_figures(cases, grades),
        **share("valid", valid),
        "unanswered": sum(value is None for value in values),
        **attempt.cost(),
        **({"ms": round(sum(times) / len(times), 2)} if times else {}),
        **({"single_ms": quantiles(times, (50, 95, 99), 1)} if times else {}),
    }
    yield replace(first, figures=figures)
