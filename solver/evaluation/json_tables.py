"""The JSON tables that README and docs quote, made from docs/results/json.json (see tables.py)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from solver.evaluation.report import table

Row = dict[str, Any]
FAMILIES = (
    "suite draft2020-12",
    "suite draft2019-09",
    "suite draft7",
    "maskbench_pairs",
    "schemastore_pairs",
)
TYPED = ("UnsatisfiableSchema", "CanvasTooSmall", "UnsupportedSchema", "BudgetExhausted", "SchemaError")


def chosen(rows: Sequence[Row], section: str) -> list[Row]:
    return [row for row in rows if row["section"] == section]


def share(row: Row, key: str) -> str:
    """A share in percent with its interval; nothing where it was not measured."""
    if row.get(key) is None:
        return ""
    low, high = row[f"{key}_interval"]
    return f"{100 * row[key]:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def of(part: int, whole: int) -> str:
    """A count of a whole, and the share."""
    return f"{part:,} of {whole:,} ({100 * part / whole:.1f} %)" if whole else ""


def p50_95(values: dict[str, float]) -> str:
    return f"{values['p50']:g} / {values['p95']:g}" if values else ""


def guarantee(rows: Sequence[Row]) -> str:
    """Schemas with a known instance that fits, and those without one."""
    lines = []
    for row in chosen(rows, "guarantee"):
        others = {kind: row.get(f"{kind}, no instance known", 0) for kind in ("solved", *TYPED)}
        unknown = ", ".join(f"{count} {kind}" for kind, count in others.items() if count)
        solved = of(row.get("solved", 0), row.get("schemas", 0))
        compiled = of(
            row.get("fully compiled", 0), row.get("schemas", 0) + row.get("without a known instance", 0)
        )
        invalid = row.get("invalid by python's jsonschema", 0)
        lines.append(
            [
                row["file"],
                row["arm"],
                solved,
                compiled,
                invalid,
                unknown,
                p50_95(row["forwards"]),
                p50_95(row["ms"]),
            ]
        )
    header = [
        "file",
        "denoiser",
        "solved",
        "fully compiled",
        "called solved, invalid for python's `jsonschema`",
    ]
    return table([*header, "no instance known", "forwards p50 / p95", "ms p50 / p95"], lines)


def engines(rows: Sequence[Row]) -> str:
    """Ours beside others: valid instances of the schemas with a known one, and invalid ones that an engine let pass."""
    ours = [
        {**row, "arm": "remask", "invalid": 0} for row in chosen(rows, "guarantee") if row["arm"] == "random"
    ]
    found = {(row["arm"], row["file"]): row for row in [*ours, *chosen(rows, "engines")]}
    files = [file for file in FAMILIES if any(name == file for _, name in found)]
    lines = []
    for arm in dict.fromkeys(arm for arm, _ in found):
        cells = []
        for file in files:
            row = found.get((arm, file))
            wrong = "" if row is None or not row.get("invalid") else f", {row['invalid']} invalid"
            cells.append("" if row is None else of(row.get("solved", 0), row["schemas"]) + wrong)
        lines.append([arm, *cells])
    return table(["engine", *files], lines)


def membership(rows: Sequence[Row]) -> str:
    """Valid instances in the language, invalid ones refused."""
    lines = [
        [
            row["file"],
            of(row.get("valid, in the language", 0), row.get("valid", 0)),
            of(row.get("invalid, refused by the language", 0), row.get("invalid", 0)),
            of(row.get("invalid, refused by either", 0), row.get("invalid", 0)),
            of(row.get("invalid, refused by either with formats asserted", 0), row.get("invalid", 0)),
        ]
        for row in chosen(rows, "membership")
    ]
    return table(
        [
            "file",
            "valid: in the language",
            "invalid: not in it",
            "invalid: refused by it or the validator",
            "with formats asserted",
        ],
        lines,
    )


def pinned(rows: Sequence[Row]) -> str:
    """Real instances of which a share of the bytes stands already."""
    lines = [
        [
            row["file"],
            f"{row['pinned']:.0%}",
            row["arm"],
            of(row["valid"] if "valid" in row else row.get("solved") or 0, row["instances"]),
            p50_95(row.get("ms", {})),
        ]
        for row in sorted(chosen(rows, "pinned"), key=lambda row: (row["file"], row["pinned"]))
    ]
    return table(["file", "pinned", "arm", "valid, pins unchanged", "ms p50 / p95"], lines)


def speed(rows: Sequence[Row]) -> str:
    """Whole distributions, in ms."""
    lines = []
    for row in chosen(rows, "speed"):
        for what, key in (
            ("compile", "compile_ms"),
            ("project 256 cells", "project_ms"),
            ("best block alone", "best_ms"),
        ):
            lines.append(
                [row["file"], what, *(f"{row[key][p]:g}" for p in ("p50", "p90", "p95", "p99", "p100"))]
            )
    return table(["file", "ms to", "p50", "p90", "p95", "p99", "max"], lines)


def content(rows: Sequence[Row]) -> str:
    """Every arm on the reserved records."""
    keys = ("valid", "exact", "copied", "kind_first", "kind_last", "total_first", "total_last")
    lines = [
        [
            row["arm"],
            *(share(row, key) for key in keys),
            f"{row['forwards_mean']:g}",
            f"{row['gflop_mean']:.3g}",
            f"{row['ms']:.3g}",
        ]
        for row in chosen(rows, "content")
    ]
    header = [
        "arm",
        "valid",
        "whole record",
        "fields copied",
        "kind, first",
        "kind, last",
        "total, first",
        "total, last",
    ]
    return table([*header, "forwards", "GFLOP", "ms"], lines)


def infill(rows: Sequence[Row]) -> str:
    """Real values recovered, and bits a byte."""
    bits = {row["arm"]: row for row in chosen(rows, "bits")}
    lines = []
    seen = set()
    for row in chosen(rows, "infill"):
        cost = [f"{row['forwards_mean']:g}", f"{row['gflop_mean']:.3g}", f"{row['ms']:.3g}"]
        lines.append(
            [row["arm"], share(row, "recovered"), share(row, "valid"), bit(bits.get(row["arm"])), *cost]
        )
        seen.add(row["arm"])
    lines += [[arm, "", "", bit(row), "", "", ""] for arm, row in bits.items() if arm not in seen]
    return table(["arm", "recovered", "valid", "bits a byte", "forwards", "GFLOP", "ms"], lines)


def bit(row: Row | None) -> str:
    """Bits a byte with their interval."""
    if row is None:
        return ""
    low, high = row["bits_per_byte_interval"]
    return f"{row['bits_per_byte']:.2f} [{low:.2f}, {high:.2f}]"


def tax(rows: Sequence[Row]) -> str:
    """What the language costs."""
    lines = []
    for row in chosen(rows, "tax"):
        low, high = row["ahead_interval"]
        ahead = f"{100 * row['ahead']:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]"
        shares = [f"{100 * row[key]:.1f} %" for key in ("copied_with", "copied_without")]
        nats = " / ".join(f"{row['nats'][p]:.3g}" for p in ("p50", "p90", "p99"))
        lines.append([row["both_valid"], *shares, ahead, nats])
    header = ["records both get valid", "fields copied with the language", "without", "difference"]
    return table([*header, "nats of the last draft, p50 / p90 / p99"], lines)


def cross(rows: Sequence[Row]) -> str:
    """Share solved within so many GFLOP."""
    found = chosen(rows, "cross")
    budgets = list(found[0]["within_gflop"]) if found else []
    lines = [
        [
            row["file"],
            row["arm"],
            share(row, "solved"),
            *(f"{100 * row['within_gflop'][budget]:.0f} %" for budget in budgets),
            f"{row['forwards_mean']:g}",
            f"{row['ms']:.3g}",
        ]
        for row in found
    ]
    return table(
        ["task", "arm", "solved", *(f"in {budget} GFLOP" for budget in budgets), "forwards", "ms"], lines
    )


TABLES: dict[str, Callable[[Sequence[Row]], str]] = {
    "json-guarantee": guarantee,
    "json-engines": engines,
    "json-membership": membership,
    "json-pinned": pinned,
    "json-speed": speed,
    "json-content": content,
    "json-infill": infill,
    "json-tax": tax,
    "json-cross": cross,
}
