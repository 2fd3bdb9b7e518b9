"""Schemas that are meant to exhaust time, memory or the stack, each filled by the command line in its own process.

    python benchmarks/fuzz_schemas.py --adversarial 500

A case is wrong if the command ends with a traceback or by a signal, with another exit code than 0 (solved), 1 (not
solved) or 2 (refused in one line), or if it needs more than ``MAX_SECONDS`` of CPU or ``MAX_MEBIBYTES`` beyond what an
empty schema needs.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MAX_SECONDS, MAX_MEBIBYTES = 5.0, 1024.0
SOLVE_SECONDS = 2  # for the search, which is not what is examined
KILL_SECONDS = 120


def nested(depth: int, inner: Any, around: Callable[[Any], Any]) -> Any:
    """A schema inside ``depth`` others."""
    for _ in range(depth):
        inner = around(inner)
    return inner


def deep(rng: random.Random) -> Any:
    """Schemas inside each other."""
    kinds: list[Callable[[Any], Any]] = [
        lambda inner: {"properties": {"a": inner}, "required": ["a"]},
        lambda inner: {"items": inner, "minItems": 1, "type": "array"},
        lambda inner: {"not": inner},
        lambda inner: {"allOf": [inner]},
        lambda inner: {"anyOf": [inner, {"type": "null"}]},
        lambda inner: {"oneOf": [{"type": "null"}, inner]},
        lambda inner: {"if": inner, "then": {"minimum": 1}},
        lambda inner: [inner],
    ]
    return nested(rng.choice((60, 150, 199, 1_000, 20_000)), {"type": "integer"}, rng.choice(kinds))


def wide(rng: random.Random) -> Any:
    """Many properties, required or not, patterns or dependencies."""
    count = rng.choice((200, 1_000, 5_000))
    named = {f"p{n}": {"type": rng.choice(("string", "integer", "boolean"))} for n in range(count)}
    few = dict(list(named.items())[: rng.choice((3, 40, count))])
    return rng.choice(
        (
            {"type": "object", "properties": named},
            {"type": "object", "properties": named, "additionalProperties": False, "minProperties": 3},
            {"type": "object", "properties": few, "required": list(few)},
            {"type": "object", "patternProperties": {f"^{name}": sub for name, sub in few.items()}},
            {"type": "object", "properties": few, "dependentRequired": {name: list(few)[:2] for name in few}},
            {
                "type": "object",
                "properties": named,
                "propertyNames": {"enum": list(named)},
                "maxProperties": 2,
            },
        )
    )


def cyclic(rng: random.Random) -> Any:
    """References in circles and in chains."""
    count = rng.choice((2, 50, 400, 3_000))
    following = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(count)}
    last = rng.choice(
        ({"$ref": "#/$defs/d0"}, {"type": "integer"}, {"$ref": "#"}, {"not": {"$ref": "#/$defs/d0"}})
    )
    kind = rng.choice(("chain", "tree", "mutual"))
    if kind == "tree":
        return {
            "$ref": "#/$defs/t",
            "$defs": {"t": {"properties": {"l": {"$ref": "#/$defs/t"}}, "required": ["l"]}},
        }
    if kind == "mutual":
        members = {
            f"d{n}": {"properties": {"x": {"$ref": f"#/$defs/d{(n * 7 + 1) % count}"}}} for n in range(count)
        }
        return {"$ref": "#/$defs/d0", "type": "object", "$defs": members}
    return {"$ref": "#/$defs/d0", "$defs": following | {f"d{count}": last}}


def huge_numbers(rng: random.Random) -> Any:
    """Bounds, divisors and lengths of many digits, and numbers that are none."""
    number = rng.choice(
        (10**300, 10**3000, 1e308, -1e308, 5e-324, 2**63, 0.1 + 0.2, float("nan"), float("inf"), 1e-300)
    )
    keyword = rng.choice(
        ("minimum", "maximum", "exclusiveMinimum", "multipleOf", "const", "minLength", "maxLength")
    )
    keyword = rng.choice((keyword, "minItems", "maxItems", "minProperties", "maxProperties", "minContains"))
    return {
        keyword: number,
        "type": rng.choice(("number", "integer", "string", "array", "object")),
        "contains": True,
    }


def huge_lengths(rng: random.Random) -> Any:
    """Lengths and counts beyond the canvas."""
    length = rng.choice((1_000, 100_000, 10**9, 10**18))
    return rng.choice(
        (
            {"type": "string", "minLength": length},
            {"type": "string", "maxLength": length, "pattern": "^(a|b)*$"},
            {"type": "array", "minItems": length, "items": {"enum": [1, 2]}},
            {"type": "array", "contains": {"const": 1}, "minContains": length},
            {"type": "object", "minProperties": length},
            {"type": "string", "pattern": f"^(a{{{min(length, 60_000)}}}|b)$"},
            {"type": "array", "maxItems": length, "uniqueItems": True, "items": {"type": "boolean"}},
        )
    )


def catastrophic(rng: random.Random) -> Any:
    """Patterns whose automata are exponential, and malformed ones."""
    n = rng.choice((10, 30, 200))
    pattern = rng.choice(
        (
            f"(a|b)*a(a|b){{{n}}}$",
            f"^(a?){{{n}}}a{{{n}}}$",
            "^(a+)+$",
            "^(a|a)*$" * (n // 10),
            "(?=.*a)" * n + ".*",
            "".join(f"(?=.*{chr(97 + i % 26)}.*{i})" for i in range(n)),
            "^(?!.*(a.*b))" * min(n, 30),
            "^" + "(" * n + "a" + ")*" * n + "$",
            "^" + "[" * n,
            "\\p{L}{" + str(n) + "}\\p{N}{" + str(n) + "}",
            "^(.*,){" + str(n) + "}P",
            "(x+x+)+y",
            "^((a{1,100}){1,100}){1,100}$",
            "\\1(a)",
            "(?<=a)b",
        )
    )
    return rng.choice(
        (
            {"type": "string", "pattern": pattern},
            {"type": "string", "allOf": [{"pattern": pattern}, {"pattern": f"b.{{{n}}}a"}], "minLength": 3},
            {"type": "object", "patternProperties": {pattern: {"type": "null"}}, "minProperties": 1},
            {
                "type": "string",
                "not": {"pattern": pattern},
                "format": rng.choice(("email", "uri", "date-time")),
            },
            {"type": "object", "propertyNames": {"pattern": pattern}, "minProperties": 2},
        )
    )


def unions(rng: random.Random) -> Any:
    """Many alternatives, and enumerations of many values."""
    count = rng.choice((20, 200, 2_000, 10_000))
    few = min(count, rng.choice((20, 100, 500)))
    keyword = rng.choice(("anyOf", "oneOf"))
    tools = [
        {
            "type": "object",
            "properties": {"tool": {"const": f"t{n}"}, f"x{n}": {"type": "integer"}},
            "required": ["tool"],
        }
        for n in range(few)
    ]
    ranges = [{"minimum": n, "maximum": 2 * n} for n in range(few)]
    overlaps = [{"properties": {f"a{n}": {"type": "string"}}, "required": [f"a{n}"]} for n in range(few)]
    return rng.choice(
        (
            {"enum": [f"value {n * 7919}" for n in range(count)]},
            {"enum": [n * 0.5 for n in range(count)]},
            {"enum": [{"k": n, "l": [n]} for n in range(min(count, 2_000))]},
            {keyword: [{"const": n} for n in range(count)]},
            {keyword: tools},
            {keyword: ranges, "type": "integer"},
            {keyword: overlaps, "type": "object"},
            {"allOf": [{"if": {"required": [f"a{n}"]}, "then": {"required": [f"b{n}"]}} for n in range(few)]},
            {
                "allOf": [{"anyOf": [{"multipleOf": n + 2}, {"minimum": n}]} for n in range(min(few, 60))],
                "type": "integer",
            },
            {"items": {"enum": list(range(count))}, "uniqueItems": True, "minItems": 20, "type": "array"},
        )
    )


KINDS = (deep, wide, cyclic, huge_numbers, huge_lengths, catastrophic, unions)


@dataclass(frozen=True)
class Run:
    """What a process needed: exit code, seconds of CPU, MiB at most, and what it printed."""

    code: int
    seconds: float
    mebibytes: float
    output: str


def run_command(schema_text: str, length: int) -> Run:
    """Fill a schema by the command line, and measure."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "schema.json"
        path.write_text(schema_text, encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "solver",
            "json",
            "fill",
            "--schema",
            str(path),
            "--denoiser",
            "random",
        ]
        command += ["--length", str(length), "--seconds", str(SOLVE_SECONDS), "--forwards", "2"]
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (KILL_SECONDS, KILL_SECONDS)),
            )
            _, status, usage = os.wait4(process.pid, 0)
            output.seek(0)
            text = output.read().decode(errors="replace")
    return Run(
        os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, text
    )


def examine_adversarial(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Run ``count`` cases, print the worst of each kind, and yield what is wrong."""
    start_up = run_command("{}", 64)
    print(f"start-up: {start_up.seconds:.1f} s, {start_up.mebibytes:.0f} MiB", file=sys.stderr)
    sys.setrecursionlimit(100_000)  # for writing deep schemas
    worst: dict[str, tuple[float, float]] = {}
    codes: dict[int, int] = {}
    for number in range(count):
        rng = random.Random(f"{seed} adversarial {number}")
        kind, length = KINDS[number % len(KINDS)], rng.choice((64, 256, 256, 1024))
        schema_text = json.dumps(kind(rng))
        run = run_command(schema_text, length)
        seconds = run.seconds - start_up.seconds
        mebibytes = run.mebibytes - start_up.mebibytes
        before = worst.get(kind.__name__, (0.0, 0.0))
        worst[kind.__name__] = max(before[0], seconds), max(before[1], mebibytes)
        codes[run.code] = codes.get(run.code, 0) + 1
        wrong = [
            *(["a traceback"] if "Traceback" in run.output else []),
            *([f"exit code {run.code}"] if run.code not in (0, 1, 2) else []),
            *(["more than a line"] if run.code == 2 and run.output.strip().count("\n") > 1 else []),
            *([f"{seconds:.1f} s"] if seconds > MAX_SECONDS + SOLVE_SECONDS else []),
            *([f"{mebibytes:.0f} MiB"] if mebibytes > MAX_MEBIBYTES else []),
        ]
        if wrong:
            yield {
                "case": number,
                "kind": kind.__name__,
                "length": length,
                "finding": ", ".join(wrong),
                "output": run.output.strip()[-300:],
                "schema": schema_text[:300],
            }
        if (number + 1) % 10 == 0 or number + 1 == count:
            figures = {name: f"{first:.1f} s, {second:.0f} MiB" for name, (first, second) in worst.items()}
            print(
                f"{number + 1} of {count}; exit codes {codes}; worst {figures}", file=sys.stderr, flush=True
            )
