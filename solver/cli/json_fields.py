"""The fields of a candidate for ``json fill --fields``: a table, and JSON.

>>> from solver.api.fields import Field, RunnerUp
>>> fields = {
...     "/name": Field("Ann", 0.93, RunnerUp("Bob", 0.05), span=(9, 12)),
...     "/age": Field(None, 0.99, missing=True),
...     "/tags": Field(["a", "b"], 0.7, count_probability=0.8),
... }
>>> for line in field_table("Hello,\\nI am Ann.", fields):
...     print(line)
field  value      probability  runner-up      source
/name  "Ann"            0.930  "Bob" (0.050)  2:3-2:6
/age   -                0.990  -              not in the text
/tags  ["a","b"]        0.700  -              2 items (0.800)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solver.api.fields import Field

WIDTH = 32  # characters of a value
TITLES = ("field", "value", "probability", "runner-up", "source")


def field_table(text: str, fields: Mapping[str, Field]) -> Iterator[str]:
    """Yield the lines of the table: pointer, value, probability, runner-up, and the place in the text."""
    rows = [TITLES, *(field_row(text, pointer, field) for pointer, field in fields.items())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(TITLES))]
    for row in rows:
        cells = [
            cell.rjust(width) if title == "probability" else cell.ljust(width)
            for cell, width, title in zip(row, widths, TITLES, strict=True)
        ]
        yield "  ".join(cells).rstrip()


def field_row(text: str, pointer: str, field: Field) -> tuple[str, ...]:
    """One row of the table."""
    is_left_out = field.missing and field.value is None
    other = field.runner_up
    runner_up = "-" if other is None else f"{shortened(other.value)} ({other.probability:.3f})"
    value = "-" if is_left_out else shortened(field.value)
    return pointer or "(root)", value, f"{field.probability:.3f}", runner_up, source_note(text, field)


def source_note(text: str, field: Field) -> str:
    """Where the value is from: line:column of its first character and of the one after it, or a remark."""
    notes = list[str]()
    if field.span is not None:
        notes.append("-".join(line_and_column(text, index) for index in field.span))
    elif field.missing:
        notes.append("not in the text")
    if field.count_probability is not None:
        count = len(field.value)
        notes.append(f"{count} item{'s' * (count != 1)} ({field.count_probability:.3f})")
    if field.is_free and field.span is not None:
        notes.append("free")
    if field.withheld:
        notes.append("withheld")
    return ", ".join(notes) or "-"


def line_and_column(text: str, index: int) -> str:
    """The line and column of a character, both from 1."""
    return f"{text.count(chr(10), 0, index) + 1}:{index - text.rfind(chr(10), 0, index)}"


def shortened(value: Any) -> str:
    """A value as JSON, cut off after WIDTH characters."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if len(text) <= WIDTH else text[: WIDTH - 3] + "..."


def fields_json(fields: Mapping[str, Field]) -> dict[str, Any]:
    """The fields as plain values, by JSON pointer."""
    return {pointer: field.to_json() for pointer, field in fields.items()}
