"""Rows of a results file: what was measured, and the figures.

>>> row = Row("contest", "royle17", "diffusion", {"share": 0.98}, seed=1)
>>> row.get("seed"), row.get("share"), row.get("wrong")
(1, 0.98, None)
>>> Row.of(row.plain()) == row
True

A results file is JSON with one row per line, ``{"environment": {...}, "rows": [...]}``. It is replaced
atomically after every row, so that an interrupted run leaves a complete file behind.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from solver.evaluation.statistics import interval
from solver.files import replace_text

KEY = ("section", "file", "arm", "seed", "loops", "remask", "accept", "rounds", "batch", "step", "pinned")


@dataclass(frozen=True)
class Row:
    """One measurement.

    All fields but ``figures`` and ``weights`` form the row's key: a new row replaces the old row with the
    same key. ``weights`` tells whether a result is out of date.

    Args:
        section: the experiment.
        file: the problems: a data file, or a group of problems.
        arm: the method.
        figures: the measured values by name.
        seed: seed of the arm's random numbers.
        weights: hash of the checkpoint; the name of a control.
        loops: limit of inner loops per forward.
        remask: what re-masks accepted cells.
        accept: confidence from which cells are accepted.
        rounds: drafts per node.
        batch: problems denoised together.
        step: training step of the checkpoint.
        pinned: share of the cells that are pinned.
    """

    section: str
    file: str
    arm: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    weights: str | None = None
    loops: int | None = None
    remask: str | None = None
    accept: float | None = None
    rounds: int | None = None
    batch: int | None = None
    step: int | None = None
    pinned: float | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in KEY)

    def get(self, name: str, default: Any = None) -> Any:
        """A figure or an identity field; ``default`` where it is missing or None."""
        value = self.figures.get(name, getattr(self, name, None))
        return default if value is None else value

    def plain(self) -> dict[str, Any]:
        """The row as one flat JSON object, without empty fields."""
        fields = {
            name: value for name, value in asdict(self).items() if name != "figures" and value is not None
        }
        return {**fields, **self.figures}

    @staticmethod
    def of(values: Mapping[str, Any]) -> Row:
        """The row of a flat JSON object. Raises TypeError without section, file and arm."""
        names = set(Row.__dataclass_fields__) - {"figures"}
        figures = {name: value for name, value in values.items() if name not in names}
        return Row(figures=figures, **{name: value for name, value in values.items() if name in names})


class ResultsFile:
    """The rows of one results file, in memory and on disk."""

    def __init__(self, path: Path, environment: Mapping[str, Any] | None = None) -> None:
        """Read ``path`` if it exists. Raises ValueError if it is not a results file."""
        self.path, self.environment, self.rows = path, dict(environment or {}), list[Row]()
        if path.exists():
            try:
                self.rows = load_rows(path)
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{path}: not a results file; move it away or choose another --out"
                ) from error

    def find(self, key: tuple[Any, ...]) -> Row | None:
        """The row with the same key, whatever its weights."""
        return next((row for row in self.rows if row.key == key), None)

    def add(self, row: Row) -> None:
        """Append a row in place of the one with its key, and replace the file."""
        self.rows = [*(old for old in self.rows if old.key != row.key), row]
        self.write()

    def drop(self, section: str) -> None:
        self.rows = [row for row in self.rows if row.section != section]

    def write(self) -> None:
        """Replace the file atomically."""
        lines = ",\n".join(json.dumps(row.plain()) for row in self.rows)
        text = f'{{"environment": {json.dumps(self.environment)}, "rows": [\n{lines}\n]}}\n'
        replace_text(self.path, text)


def load_rows(path: Path) -> list[Row]:
    """The rows of a results file. Raises ValueError, KeyError or TypeError if it is none."""
    return [Row.of(values) for values in json.loads(path.read_text())["rows"]]


def select(rows: Iterable[Row], section: str, **values: Any) -> list[Row]:
    """Return a section's rows that have the given values, the seeds of each measurement merged."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if row.section == section and all(row.get(name) == value for name, value in values.items()):
            groups.setdefault(replace(row, seed=0).key, []).append(row)
    return [merge_seeds(group) for group in groups.values()]


def merge_seeds(rows: Sequence[Row]) -> Row:
    """Return the means of several seeds; the interval is over problems, their seeds together."""
    first, figures = rows[0], merge_values([row.figures for row in rows])
    figures["seeds"] = len(rows)
    if "wrong" in figures:
        figures["wrong"] = sum(row.figures["wrong"] for row in rows)
    if "forwards_max" in figures:
        figures["forwards_max"] = max(row.figures["forwards_max"] for row in rows)
    solved = [row.figures.get("each", {}).get("solved", "") for row in rows]
    if "share" in figures and solved[0] and len(set(map(len, solved))) == 1:
        figures["share_interval"] = interval(np.array([[hit == "1" for hit in line] for line in solved]).T)
    return replace(first, figures=figures)


def merge_values(values: Sequence[Any]) -> Any:
    """Return the mean of numbers, by entry in objects and intervals; of anything else, the first value."""
    match values[0]:
        case value if len(values) == 1:
            return dict(value) if isinstance(value, Mapping) else value
        case Mapping() as first:
            return {name: merge_values([value[name] for value in values if name in value]) for name in first}
        case [float(), float()]:
            return [float(np.mean(ends)) for ends in zip(*values, strict=True)]
        case bool() | str() | list() | None:
            return values[0]
        case int() if len(set(values)) == 1:
            return values[0]
        case _:
            return float(np.mean(values))
