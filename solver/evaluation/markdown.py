"""Tables described by their columns, as Markdown.

>>> rows = [Row("contest", "royle17", "diffusion", {"share": 0.5, "share_interval": [0.25, 0.75]})]
>>> print(section_table("contest", {"arm": "arm", "solved": share_cell("share")})(rows), end="")
| arm | solved |
|---|---|
| diffusion | 50.0 % [25.0, 75.0] |

A column is the name of a figure or field, or a function of the row.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from solver.evaluation.rows import Row, select

Cell = Callable[[Row], str]

FILES = {
    "sepb_easy150_rated": "sepb easy",
    "sepb_medium150_rated": "sepb medium",
    "sepb_hard150_rated": "sepb hard",
    "sepb_diabolical_rated": "sepb diabolical",
    "royle17_first_half": "17-clue (royle17)",
    "generated_minimal": "generated minimal",
    "forum_hardest_1905_first_half": "forum hardest 1905",
    "magictour_top1465": "magictour",
    "csi4900_easy10k": "csi4900 easy",
    "csi4900_expert10k": "csi4900 expert",
    "norvig_easy50": "norvig easy",
    "norvig_top95": "norvig top95",
    "norvig_hardest11": "norvig hardest",
    "sepb_easy150_rated+sepb_medium150_rated+sepb_hard150_rated": "sepb easy to hard",
}


def markdown_table(header: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    rows = ["| " + " | ".join(map(str, cells)) + " |\n" for cells in (header, *lines)]
    return "".join([rows[0], "|" + "---|" * len(header) + "\n", *rows[1:]])


def section_table(
    section: str,
    columns: Mapping[str, str | Cell],
    order: tuple[str, ...] = (),
) -> Callable[[Sequence[Row]], str]:
    """Return the function that makes a table with one line per row of a section.

    Args:
        section: whose rows.
        columns: by heading.
        order: fields by which rows are sorted; none: as measured.
    """
    cells = [column if callable(column) else text_cell(column) for column in columns.values()]

    def table(rows: Sequence[Row]) -> str:
        lines = sorted(select(rows, section), key=lambda row: [row.get(name) for name in order])
        return markdown_table(list(columns), [[cell(row) for cell in cells] for row in lines])

    return table


def pivot(rows: Sequence[Row], files: Mapping[str, str], cell: Cell) -> tuple[list[str], list[list[str]]]:
    """Return header and lines of a table with arms down and files across.

    Args:
        rows: one per arm and file.
        files: headings by file.
        cell: of each row; a missing row gives an empty cell.
    """
    by_arm: dict[str, dict[str, str]] = {}
    for row in rows:
        if row.file in files:
            by_arm.setdefault(row.arm, {})[row.file] = cell(row)
    lines = [[arm, *(cells.get(file, "") for file in files)] for arm, cells in by_arm.items()]
    return ["arm", *files.values()], lines


def text_cell(name: str) -> Cell:
    """A figure or field as it is; files by their names in tables."""
    return lambda row: FILES.get(str(row.get(name)), str(row.get(name, "")))


def number_cell(name: str, spec: str) -> Cell:
    """A figure in a format; empty where it is missing."""
    return lambda row: "" if row.get(name) is None else format(row.get(name), spec)


def percent_cell(name: str) -> Cell:
    return lambda row: "" if row.get(name) is None else f"{100 * row.get(name):.1f} %"


def share_cell(name: str) -> Cell:
    """A share in percent with its interval; empty where it is missing."""
    return interval_cell(name, ".1f", 100, " %")


def interval_cell(name: str, spec: str, scale: float = 1.0, unit: str = "", ends: str | None = None) -> Cell:
    """A scaled figure with its interval. ``ends``: format of the interval's ends, if it is another one."""

    def cell(row: Row) -> str:
        if row.get(name) is None:
            return ""
        low, high = (format(scale * end, ends or spec) for end in row.get(f"{name}_interval"))
        return f"{scale * row.get(name):{spec}}{unit} [{low}, {high}]"

    return cell


def part_cell(part: str, total: str) -> Cell:
    """A count out of another one, and the share."""
    return lambda row: part_of(row.get(part, 0), row.get(total, 0))


def part_of(part: int, total: int) -> str:
    """A count out of ``total``, and the share; empty for nothing."""
    return f"{part:,} of {total:,} ({100 * part / total:.1f} %)" if total else ""


def quantile_cell(name: str, spec: str = "g", points: Sequence[str] = ("p50", "p95")) -> Cell:
    """Quantiles of a figure, separated by slashes."""

    def cell(row: Row) -> str:
        values = row.get(name)
        return " / ".join(format(values[point], spec) for point in points) if values else ""

    return cell
