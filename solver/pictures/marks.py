"""Colours and marks that all figures share.

Blue is sure; orange is unsure or re-masked. The two stay apart under the common colour-vision deficiencies, and each
mark has a shape as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.patches import Rectangle

StepRecord = dict[str, Any]  # Step.to_json(), or a "step" line of a trace file

INK, GREY, PALE = "#1a1a1a", "#8a8a8a", "#efefef"
BLUE, DEEP_BLUE, ORANGE, DEEP_ORANGE = "#7fb2e5", "#08305c", "#f5a742", "#a84a00"
CONFIDENCE = LinearSegmentedColormap.from_list("confidence", [ORANGE, "#fbdfb5", "#f6f6f6", "#cfe2f4", BLUE])
SHADES = Normalize(0.2, 1.0)  # confidence -> position on the colour map
NEUTRAL = 0.6  # confidence whose shade is the middle of the colour map


@dataclass(frozen=True)
class CellMarks:
    pinned: frozenset[int]
    accepted: frozenset[int]
    remasked: frozenset[int]

    @classmethod
    def of_step(cls, step: StepRecord) -> CellMarks:
        """Read the marks of ``step``; a cell that is re-masked does not count as accepted."""

        pinned, accepted, remasked = (
            frozenset[int](step.get(name, ())) for name in ("pinned", "accepted", "remasked")
        )
        return cls(pinned, accepted - remasked, remasked)

    def text_style(self, cell: int) -> dict[str, Any]:
        if cell in self.pinned:
            return {"color": INK, "fontweight": "bold"}
        if cell in self.remasked:
            return {"color": DEEP_ORANGE}
        return {"color": DEEP_BLUE}


def shade(axes: Axes, x: float, y: float, width: float, height: float, confidence: float | None) -> None:
    """Fill a cell with the colour of its confidence; None for a pinned cell."""
    colour = PALE if confidence is None else CONFIDENCE(SHADES(confidence))
    axes.add_patch(Rectangle((x, y), width, height, facecolor=colour, edgecolor="white", linewidth=0.8))


def hatch(axes: Axes, x: float, y: float, width: float = 1, height: float = 1) -> None:
    axes.add_patch(
        Rectangle((x, y), width, height, facecolor="none", edgecolor=DEEP_ORANGE, linewidth=0, hatch="////")
    )


def frame(axes: Axes, x: float, y: float, inset: float, colour: str, linewidth: float) -> None:
    side = 1 - 2 * inset
    axes.add_patch(
        Rectangle((x + inset, y + inset), side, side, facecolor="none", edgecolor=colour, linewidth=linewidth)
    )


def underline(axes: Axes, x: float, y: float, width: float) -> None:
    axes.plot([x + 0.1, x + width - 0.1], [y, y], color=DEEP_BLUE, linewidth=1.1)


def first_and_last(steps: Sequence[StepRecord], limit: int) -> list[StepRecord]:
    """The first ``limit - 1`` steps and the last one; all where there are no more. Raises ValueError without steps."""
    if not steps:
        raise ValueError("there is no step to draw")
    return list(steps) if len(steps) <= limit else [*steps[: limit - 1], steps[-1]]
