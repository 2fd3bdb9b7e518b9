"""The JSON tables of README, docs and report.md."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from solver.evaluation.markdown import (
    Cell,
    interval_cell,
    markdown_table,
    number_cell,
    part_cell,
    part_of,
    percent_cell,
    pivot,
    quantile_cell,
    section_table,
    share_cell,
    text_cell,
)
from solver.evaluation.rows import Row, select
from solver.evaluation.statistics import ratio

FAMILIES = (
    "suite draft2020-12",
    "suite draft2019-09",
    "suite draft7",
    "maskbench_pairs",
    "schemastore_pairs",
)
ERRORS = (
    *("UnsatisfiableSchema", "CanvasTooSmall", "TemplateMismatch", "SchemaTooComplex"),
    *("UnsupportedSchema", "BudgetExhausted", "SchemaError"),
)
MEAN_COST = {
    "forwards": number_cell("forwards_mean", "g"),
    "GFLOP": number_cell("gflop_mean", ".3g"),
    "ms": number_cell("ms", ".3g"),
}
SPEEDS = {"compile": "compile_ms", "project 256 cells": "project_ms", "best block alone": "best_ms"}


def engines_table(rows: Sequence[Row]) -> str:
    """Remask beside other engines: valid instances of the schemas with a known one, and invalid answers."""
    remask = [replace(row, arm="remask") for row in select(rows, "guarantee", arm="random")]
    engines = [*remask, *select(rows, "engines")]
    files = [file for file in FAMILIES if any(row.file == file for row in engines)]

    def cell(row: Row) -> str:
        wrong = f", {row.get('invalid')} invalid" if row.get("invalid") else ""
        return part_of(row.get("solved", 0), row.get("schemas")) + wrong

    header, lines = pivot(engines, {file: file for file in files}, cell)
    return markdown_table(["engine", *header[1:]], lines)


def speed_table(rows: Sequence[Row]) -> str:
    points = ("p50", "p90", "p95", "p99", "p100")
    lines = [
        [row.file, name, *(f"{row.get(key)[point]:g}" for point in points)]
        for row in select(rows, "speed")
        for name, key in SPEEDS.items()
    ]
    return markdown_table(["file", "ms to", "p50", "p90", "p95", "p99", "max"], lines)


def infill_table(rows: Sequence[Row]) -> str:
    """Real values recovered, and bits per byte."""
    bits = {row.arm: interval_cell("bits_per_byte", ".2f")(row) for row in select(rows, "bits")}
    measured = {
        row.arm: [
            row.arm,
            share_cell("recovered")(row),
            share_cell("valid")(row),
            bits.get(row.arm, ""),
            *(cell(row) for cell in MEAN_COST.values()),
        ]
        for row in select(rows, "infill")
    }
    unmeasured = {arm: [arm, "", "", bits[arm], "", "", ""] for arm in bits if arm not in measured}
    header = ["arm", "recovered", "valid", "bits a byte", *MEAN_COST]
    return markdown_table(header, (measured | unmeasured).values())


def dependent_fields_table(rows: Sequence[Row]) -> str:
    """Shares solved within budgets of GFLOP."""
    cross = select(rows, "cross")
    budgets = list(cross[0].get("within_gflop")) if cross else []
    lines = [
        [
            row.file,
            row.arm,
            share_cell("solved")(row),
            *(f"{100 * row.get('within_gflop')[budget]:.0f} %" for budget in budgets),
            MEAN_COST["forwards"](row),
            MEAN_COST["ms"](row),
        ]
        for row in cross
    ]
    header = ["task", "arm", "solved", *(f"in {budget} GFLOP" for budget in budgets)]
    return markdown_table([*header, "forwards", "ms"], lines)


KINDS_OF_FIELDS = ("string", "integer", "number", "boolean", "null", "array", "object")
WITHOUT_MODEL = ("rules", "heuristic")


def prose_table(rows: Sequence[Row]) -> str:
    """Every arm on prose, and its lead over the better of the arms without a model."""
    arms = select(rows, "prose")
    figures: dict[str, Cell] = {
        "fields right": share_cell("right_all"),
        "strings": share_cell("right_string"),
        "whole record": share_cell("whole"),
        "valid": share_cell("valid"),
        "invented strings": lambda row: part_of(row.get("invented", 0), row.get("strings", 0)),
        "absent fields flagged": part_or_share("absent"),
        "given fields flagged": part_or_share("present"),
        "unanswered": text_cell("unanswered"),
        "ms": MEAN_COST["ms"],
    }
    lines = [
        [row.file, row.arm, lead_over_best(row, arms), *(cell(row) for cell in figures.values())]
        for row in arms
    ]
    return markdown_table(["texts", "arm", "ahead of the best without a model", *figures], lines)


def part_or_share(name: str) -> Cell:
    """The share of fields that are flagged as missing, and of how many."""
    return lambda row: (
        f"{100 * row.get(f'{name}_flagged'):.1f} % of {row.get(name)}"
        if row.get(f"{name}_flagged") is not None
        else ""
    )


def lead_over_best(row: Row, arms: Sequence[Row]) -> str:
    """The lead over the best arm without a model on the same texts, with its paired interval."""
    rivals = [arm for arm in arms if arm.arm in WITHOUT_MODEL and arm.file == row.file]
    best = max(rivals, key=lambda arm: arm.get("right_all", 0), default=row)
    fields = row.get("each")["fields"]
    if row.arm in WITHOUT_MODEL or best is row or best.get("each")["fields"] != fields:
        return ""
    ahead = [x - y for x, y in zip(row.get("each")["right"], best.get("each")["right"], strict=True)]
    lead = Row("", "", "", ratio("lead", ahead, fields))
    return interval_cell("lead", "+.1f", 100, " points", ".1f")(lead)


TABLES: dict[str, Callable[[Sequence[Row]], str]] = {
    "json-guarantee": section_table(
        "guarantee",
        {
            "file": "file",
            "denoiser": "arm",
            "solved": part_cell("solved", "schemas"),
            "fully compiled": lambda row: part_of(  # without leaving a keyword to the validator
                row.get("fully compiled", 0),
                row.get("schemas", 0) + row.get("without a known instance", 0),
            ),
            "called solved, invalid for python's `jsonschema`": lambda row: str(
                row.get("invalid by python's jsonschema", 0)
            ),
            "no instance known": lambda row: ", ".join(
                f"{row.get(f'{kind}, no instance known')} {kind}"
                for kind in ("solved", *ERRORS)
                if row.get(f"{kind}, no instance known")
            ),
            "forwards p50 / p95": quantile_cell("forwards"),
            "ms p50 / p95": quantile_cell("ms"),
        },
    ),
    "json-engines": engines_table,
    "json-membership": section_table(
        "membership",
        {
            "file": "file",
            "valid: in the language": part_cell("valid, in the language", "valid"),
            "invalid: not in it": part_cell("invalid, refused by the language", "invalid"),
            "invalid: refused by it or the validator": part_cell("invalid, refused by either", "invalid"),
            "with formats asserted": part_cell("invalid, refused by either with formats asserted", "invalid"),
        },
    ),
    "json-pinned": section_table(
        "pinned",
        {
            "file": "file",
            "pinned": number_cell("pinned", ".0%"),
            "arm": "arm",
            "valid, pins unchanged": lambda row: part_of(  # other engines call their valid instances solved
                row.get("valid", row.get("solved", 0)), row.get("instances")
            ),
            "ms p50 / p95": quantile_cell("ms"),
        },
        order=("file", "pinned"),
    ),
    "json-speed": speed_table,
    "json-content": section_table(
        "content",
        {
            "arm": "arm",
            "valid": share_cell("valid"),
            "whole record": share_cell("exact"),
            "fields copied": share_cell("copied"),
            "kind, first": share_cell("kind_first"),
            "kind, last": share_cell("kind_last"),
            "total, first": share_cell("total_first"),
            "total, last": share_cell("total_last"),
            **MEAN_COST,
        },
    ),
    "json-infill": infill_table,
    "json-tax": section_table(
        "tax",
        {
            "records both get valid": "both_valid",
            "fields copied with the language": percent_cell("copied_with"),
            "without": percent_cell("copied_without"),
            "difference": interval_cell("ahead", "+.1f", 100, " points"),
            "nats of the last draft, p50 / p90 / p99": quantile_cell("nats", ".3g", ("p50", "p90", "p99")),
        },
    ),
    "json-cross": dependent_fields_table,
    "json-calibration": section_table(
        "json-calibration",
        {
            "texts": "file",
            "probability": "arm",
            "fields": "fields",
            "right": share_cell("right"),
            "mean probability": percent_cell("mean_probability"),
            "calibration error": interval_cell("error", ".3f"),
            "of a calibrated one": number_cell("error_by_chance", ".3f"),
            "at least 0.9": part_cell("sure", "fields"),
            "of these right": share_cell("sure_right"),
            "kept at 95 % right": percent_cell("kept"),
        },
    ),
    "json-prose": prose_table,
    "json-prose-difficulty": section_table(
        "prose",
        {
            "texts": "file",
            "arm": "arm",
            "`key: value`": share_cell("right_beside_key"),
            **{f"difficulty {level}": share_cell(f"right_level_{level}") for level in (1, 2, 3)},
        },
    ),
    "json-prose-types": section_table(
        "prose",
        {"texts": "file", "arm": "arm", **{kind: share_cell(f"right_{kind}") for kind in KINDS_OF_FIELDS}},
    ),
}
