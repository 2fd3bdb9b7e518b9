"""Schemas that are meant to exhaust time, memory or the stack, each compiled and filled in a process of its own.

    python benchmarks/fuzz_schemas.py --adversarial 500 --seed 11

Each process is forked from one that has loaded the model and the kernels, so that start-up is not measured. It first
compiles the schema and then runs the command ``json fill`` with a limit of ``SOLVE_SECONDS``. A case is wrong if

- compiling takes more than ``MAX_SECONDS`` of CPU, or compiling or filling more than ``MAX_MEBIBYTES`` beyond start-up,
- the command runs more than ``MAX_OVERRUN`` seconds longer than its limit,
- it ends with a traceback or by a signal, with another exit code than 0 (solved), 1 (not solved) or 2 (refused in one
  line), or with more than one line where it refuses.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import random
import resource
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

MAX_SECONDS, MAX_MEBIBYTES, MAX_OVERRUN = 5.0, 1024.0, 1.0
SOLVE_SECONDS = 5
KILL_SECONDS = 120
LENGTHS = 64, 256, 1024, 4096
DENOISERS = "compact", "random"


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
    """What one case needed, beyond start-up.

    Attributes:
        compile_seconds: CPU time of compiling the schema.
        compile_mebibytes: memory at most while it was compiled.
        overrun: CPU time of the command, compiling included, after its limit has passed.
        mebibytes: memory at most, of both.
        code: exit code of the command; minus the signal that ended the process.
        output: what the command printed, and the traceback of an exception.
    """

    compile_seconds: float = 0.0
    compile_mebibytes: float = 0.0
    overrun: float = 0.0
    mebibytes: float = 0.0
    code: int = 0
    output: str = ""

    def findings(self) -> list[str]:
        """What is wrong, in words."""
        is_refused = self.code == 2 and self.output.strip().count("\n") > 0
        return [
            *(["a traceback"] if "Traceback" in self.output else []),
            *([f"exit code {self.code}"] if self.code not in (0, 1, 2) else []),
            *(["more than a line"] if is_refused else []),
            *([f"compiling: {self.compile_seconds:.1f} s"] if self.compile_seconds > MAX_SECONDS else []),
            *(
                [f"compiling: {self.compile_mebibytes:.0f} MiB"]
                if self.compile_mebibytes > MAX_MEBIBYTES
                else []
            ),
            *([f"filling: {self.mebibytes:.0f} MiB"] if self.mebibytes > MAX_MEBIBYTES else []),
            *([f"{self.overrun:.1f} s too long"] if self.overrun > MAX_OVERRUN else []),
        ]


def memory() -> float:
    """The most memory that this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def command_words(path: str, length: int, denoiser: str) -> list[str]:
    limits = ["--length", str(length), "--seconds", str(SOLVE_SECONDS)]
    return ["json", "fill", "--schema", path, "--denoiser", denoiser, *limits]


def run_case(schema_text: str, length: int, denoiser: str) -> Run:
    """Compile and fill a schema in this process."""
    from solver.cli.main import main
    from solver.tasks.errors import SolverError
    from solver.tasks.json_schema.problem import JsonProblem

    output, before, run = io.StringIO(), memory(), Run()
    started = time.process_time()
    try:
        JsonProblem.of(json.loads(schema_text), length=length)
    except SolverError:
        pass
    except RecursionError as error:  # the parser's, which the command has to refuse
        if "JSON" not in str(error):
            output.write(traceback.format_exc())
    except Exception:
        output.write(traceback.format_exc())
    run = replace(run, compile_seconds=time.process_time() - started, compile_mebibytes=memory() - before)
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        file.write(schema_text)
        file.flush()
        time_at_limit: list[float] = []
        timer = threading.Timer(SOLVE_SECONDS, lambda: time_at_limit.append(time.process_time()))
        timer.start()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            try:
                code = main(command_words(file.name, length, denoiser))
            except Exception:
                code = 1
                traceback.print_exc()
    timer.cancel()
    return replace(
        run,
        overrun=time.process_time() - time_at_limit[0] if time_at_limit else 0.0,
        mebibytes=memory() - before,
        code=code,
        output=output.getvalue(),
    )


def run_apart(schema_text: str, length: int, denoiser: str) -> Run:
    """The same in a forked process, which cannot take more than KILL_SECONDS."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        resource.setrlimit(resource.RLIMIT_CPU, (KILL_SECONDS, KILL_SECONDS))
        sys.setrecursionlimit(1_000)
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(run_case(schema_text, length, denoiser), pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        result = pipe.read()
    _, status, usage = os.wait4(child, 0)
    if result:
        run: Run = pickle.loads(result)
        return run
    return Run(code=os.waitstatus_to_exitcode(status), mebibytes=usage.ru_maxrss / 1024)


@dataclass
class Worst:
    """The largest figures of a kind, each with the number of its case."""

    figures: dict[str, tuple[float, int]] = field(default_factory=dict)

    def add(self, run: Run, number: int) -> None:
        figures = {
            "compile s": run.compile_seconds,
            "compile MiB": run.compile_mebibytes,
            "overrun s": run.overrun,
            "MiB": run.mebibytes,
        }
        for name, figure in figures.items():
            self.figures[name] = max(self.figures.get(name, (-1e9, 0)), (figure, number))

    def __str__(self) -> str:
        return ", ".join(
            f"{name} {figure:.{0 if 'MiB' in name else 1}f} (case {number})"
            for name, (figure, number) in self.figures.items()
        )


def draw_adversarial(number: int, seed: int) -> tuple[str, str, int, str]:
    """The kind, the text of the schema, the length and the denoiser of a case."""
    rng = random.Random(f"{seed} adversarial {number}")
    kind = KINDS[number % len(KINDS)]
    length = rng.choice(LENGTHS)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)  # for writing deep schemas
    try:
        return kind.__name__, json.dumps(kind(rng)), length, rng.choice(DENOISERS)
    finally:
        sys.setrecursionlimit(limit)


def examine_adversarial(start: int, count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Run cases ``start`` to ``start + count``, print the worst of each kind, and yield what is wrong."""
    for denoiser in DENOISERS:  # start-up: what every process needs
        run_case(
            '{"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "number"}]}}', 256, denoiser
        )
    worst: dict[str, Worst] = {}
    codes, tracebacks, started = Counter[int](), 0, time.monotonic()
    for number in range(start, start + count):
        kind, schema_text, length, denoiser = draw_adversarial(number, seed)
        run = run_apart(schema_text, length, denoiser)
        for name in (kind, "all"):
            worst.setdefault(name, Worst()).add(run, number)
        codes[run.code] += 1
        tracebacks += "Traceback" in run.output
        findings = run.findings()
        if findings:
            yield {
                "case": number,
                "kind": kind,
                "length": length,
                "denoiser": denoiser,
                "finding": ", ".join(findings),
                "output": run.output.strip()[-300:],
                "schema": schema_text[:300],
            }
        done = number + 1 - start
        if done % 50 == 0 or done == count:
            lines = "".join(f"\n    {name}: {figures}" for name, figures in worst.items())
            minutes = (time.monotonic() - started) / 60
            print(
                f"{done} of {count}, {minutes:.1f} min; exit codes {dict(codes)}; {tracebacks} tracebacks; worst:{lines}",
                file=sys.stderr,
                flush=True,
            )
