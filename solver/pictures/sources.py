"""A text and the record that was read from it, each field and its source in one colour.

sources(text, candidate.fields).savefig("sources.png")     # candidate = solver.fill(schema, text)

The strength of a colour is the probability. Fields without a source are grey.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from solver.api.fields import Field
from solver.pictures.marks import GREY, INK, PALE

COLUMNS = 60  # characters of a line of the text
VALUE_CHARS = 30  # characters of a value
WEAKEST = 0.25  # strength of the colour for a probability of 0
PALETTE = [colormaps["tab10"](index) for index in (0, 1, 2, 3, 4, 5, 6, 8, 9)]  # without grey
LEGEND = "one colour: a field and its source   strong to weak: probable to improbable   grey: not in the text"


def sources(text: str, fields: Mapping[str, Field]) -> Figure:
    """Draw the text on the left and the fields on the right.

    Args:
        text: the text that the values were read from.
        fields: of the candidate, by JSON pointer. Arrays are drawn as their items.
    """
    scalars = {pointer: field for pointer, field in fields.items() if not isinstance(field.value, list)}
    lines = list(wrapped_lines(text, COLUMNS))
    rows = max(len(lines), len(scalars))
    figure = Figure(figsize=(13, 0.27 * rows + 0.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[COLUMNS, COLUMNS])
    for axes in (left, right):
        axes.set(xlim=(0, COLUMNS), ylim=(rows, 0))
        axes.axis("off")
    with_source = [pointer for pointer, field in scalars.items() if field.span is not None]
    colours = {pointer: PALETTE[index % len(PALETTE)] for index, pointer in enumerate(with_source)}
    # Long sources first: a shorter one inside them covers them, or it would have a mixture of both colours.
    spans = {pointer: scalars[pointer].span or (0, 0) for pointer in with_source}
    for pointer, span in sorted(spans.items(), key=lambda entry: entry[1][0] - entry[1][1]):
        for row, start, end in pieces(lines, span):
            box(left, start, row, end - start, colours[pointer], scalars[pointer].probability)
    for row, (_, line) in enumerate(lines):
        for column, char in enumerate(line):
            style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 9, "family": "monospace"}
            left.text(column + 0.5, row + 0.5, char, color=INK, **style)
    for row, (pointer, field) in enumerate(scalars.items()):
        draw_field(right, row, pointer, field, colours.get(pointer, PALE))
    figure.supxlabel(LEGEND, fontsize=8.5, color=GREY)
    return figure


def wrapped_lines(text: str, columns: int) -> Iterator[tuple[int, str]]:
    """Yield the first character and the contents of each line, long lines in parts.

    >>> list(wrapped_lines("Dear Ann,\\nhow are you?", 8))
    [(0, 'Dear'), (5, 'Ann,'), (10, 'how are'), (18, 'you?')]
    """
    start = 0
    for line in text.split("\n"):
        offset = 0
        for part in textwrap.wrap(line, columns, drop_whitespace=True) or [""]:
            offset = max(line.find(part, offset), 0)
            yield start + offset, part
            offset += len(part)
        start += len(line) + 1


def pieces(lines: list[tuple[int, str]], span: tuple[int, int]) -> Iterator[tuple[int, int, int]]:
    """Yield row, first column and end of the parts of a span of the text."""
    for row, (first, line) in enumerate(lines):
        start, end = max(span[0] - first, 0), min(span[1] - first, len(line))
        if start < end:
            yield row, start, end


def draw_field(axes: Axes, row: int, pointer: str, field: Field, colour: Any) -> None:
    """Draw one row: pointer, value, probability, and the runner-up."""
    is_left_out = field.withheld or (field.missing and field.value is None)
    value = shown(field.value)
    if not is_left_out:
        box(axes, 19.5, row, len(value) + 1, colour, field.probability)
    style: dict[str, Any] = {"va": "center", "fontsize": 9, "family": "monospace"}
    axes.text(19, row + 0.5, pointer[-19:], ha="right", color=GREY, **style)
    axes.text(
        20, row + 0.5, "left out" if is_left_out else value, color=GREY if is_left_out else INK, **style
    )
    other = "" if field.runner_up is None else f"  or {shown(field.runner_up.value, 12)}"
    axes.text(50, row + 0.5, f"{field.probability:.2f}", ha="right", color=INK, **style)
    axes.text(50, row + 0.5, other, color=GREY, **{**style, "fontsize": 7.5})


def box(axes: Axes, x: float, y: float, width: float, colour: Any, probability: float) -> None:
    """Fill cells of a row; the more probable, the stronger."""
    strength = WEAKEST + (0.75 - WEAKEST) * probability
    shade = tuple(1 - strength * (1 - channel) for channel in to_rgb(colour))  # on white, and opaque
    axes.add_patch(Rectangle((x, y + 0.06), width, 0.88, facecolor=shade, linewidth=0))


def shown(value: Any, limit: int = VALUE_CHARS - 3) -> str:
    """A value as JSON, cut off after ``limit`` characters."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else text[: limit - 1] + "…"
