"""``python -m solver json fill|check``: instances of a schema, or what is wrong with one.

Exit code 0: every result is an instance (every instance is valid); 1: some are not; 2: some input was bad (the rest is still
done).
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solver.cli import board, options
from solver.cli.main import UsageError

if TYPE_CHECKING:
    from solver.api.candidate import Candidate
    from solver.loop.trace import Step
    from solver.tasks.json_schema.errors import FillError
    from solver.tasks.json_schema.problem import JsonProblem

LARGEST = 4_000_000  # bytes of an input file
HOLE = re.compile(r"\{\{(\d{1,5})\}\}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("fill", "check"), help="write an instance, or judge some")
    parser.add_argument(
        "instances", nargs="*", metavar="INSTANCE", help="check: files with an instance each, - for stdin"
    )
    parser.add_argument("--schema", metavar="F", help="a file with a JSON schema")
    parser.add_argument("--text", metavar="F", help="a file with the text that the values are drawn from")
    parser.add_argument(
        "--template", metavar="F", help="the instance's text with holes: {{12}} is one of at most 12 bytes"
    )
    parser.add_argument(
        "--check", metavar="MODULE:FUNCTION", help="called with the instance; returns or yields violations"
    )
    parser.add_argument("--length", type=options.whole(1), metavar="N", help="bytes of the block (256)")
    parser.add_argument(
        "--n", type=options.whole(1), default=1, metavar="N", help="candidates, the best first (1)"
    )
    parser.add_argument(
        "--file", metavar="F", help="many: JSON lines with schema, and text, template, length; - for stdin"
    )
    parser.add_argument(
        "--registry", metavar="DIR", help="schemas that $ref may point to: *.json, by their $id or file name"
    )
    parser.add_argument("--no-formats", action="store_true", help="fill: do not assert format")
    parser.add_argument("--formats", action="store_true", help="check: assert format")
    options.add_shared(parser)


@dataclass
class Job:
    """One line of input on its way: the form, or why there is none; and its candidates."""

    number: int
    form: JsonProblem | None = None
    bad: str | None = None
    error: FillError | None = None
    found: list[Candidate] = field(default_factory=list)
    forwards: int = 0
    seconds: float = 0.0


def run(arguments: argparse.Namespace) -> int:
    if arguments.model is not None:
        raise UsageError("--model goes with solver.generate(..., schema=...) so far, not with json fill")
    if arguments.action == "check":
        return check(arguments)
    if arguments.instances:
        raise UsageError("fill takes no instances; the schema comes with --schema or --file")
    if (arguments.schema is None) == (arguments.file is None):
        raise UsageError("give either --schema or --file")
    return fill(arguments)


# Reading


def read(name: str) -> str:
    """A text file's contents, or stdin's for "-". Raises UsageError in one line."""
    try:
        data = sys.stdin.buffer.read(LARGEST + 1) if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise UsageError(f"{name}: cannot be read ({error.strerror})") from None
    if len(data) > LARGEST:
        raise UsageError(f"{name}: more than {LARGEST:,} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{name}: not UTF-8 at byte {error.start}") from None


def parse(text: str, where: str) -> Any:
    """JSON from text. Raises UsageError in one line."""
    try:
        return json.loads(text)
    except RecursionError:
        raise UsageError(f"{where}: nested too deeply") from None
    except ValueError as error:
        raise UsageError(f"{where}: not JSON ({error})") from None


def registry(folder: str | None) -> dict[str, Any]:
    """Schemas by URI."""
    if folder is None:
        return {}
    if not Path(folder).is_dir():
        raise UsageError(f"{folder}: no such folder")
    found = {}
    for path in sorted(Path(folder).rglob("*.json")):
        schema = parse(read(str(path)), str(path))
        own = schema.get("$id", schema.get("id")) if isinstance(schema, dict) else None
        found[own if isinstance(own, str) else path.relative_to(folder).as_posix()] = schema
    return found


def predicate(name: str | None) -> tuple[Callable[[Any], Any], ...]:
    """``--check`` as a function."""
    if name is None:
        return ()
    module, _, function = name.partition(":")
    sys.path.insert(0, "")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"--check {name}: {error}") from None
    finally:
        sys.path.remove("")
    if not callable(found):
        raise UsageError(f"--check {name}: not a function")
    return (found,)


def template(text: str) -> list[Any]:
    """A template's literals and holes."""
    from solver.tasks.text import Hole

    parts = HOLE.split(text)
    return [Hole(int(part)) if at % 2 else part for at, part in enumerate(parts)]


def forms(arguments: argparse.Namespace) -> Iterator[Job]:
    """The jobs, in input order."""
    known, checks = registry(arguments.registry), predicate(arguments.check)
    if arguments.file is None:
        line = {"schema": parse(read(arguments.schema), arguments.schema)}
        for name in ("text", "template"):
            if getattr(arguments, name) is not None:
                line[name] = read(getattr(arguments, name))
        yield make(arguments, Job(0), line, known, checks)
        return
    if arguments.text is not None or arguments.template is not None:
        raise UsageError("with --file, text and template stand in its lines")
    lines = [text for text in read(arguments.file).splitlines() if text.strip()]
    if not lines:
        raise UsageError(f"{arguments.file}: no lines")
    for number, text in enumerate(lines):
        job = Job(number)
        try:
            line = parse(text, f"line {number + 1}")
            if not isinstance(line, dict) or "schema" not in line:
                raise UsageError(f"line {number + 1}: not an object with a schema")
            yield make(arguments, job, line, known, checks)
        except UsageError as error:
            job.bad = str(error)
            yield job


def make(
    arguments: argparse.Namespace, job: Job, line: dict[str, Any], known: dict[str, Any], checks: Any
) -> Job:
    """The job with its form, or with what is wrong. Bad input alone raises UsageError."""
    from solver.tasks.json_schema.errors import FillError, SchemaError
    from solver.tasks.json_schema.problem import LENGTH, JsonProblem

    where = "" if arguments.file is None else f"line {job.number + 1}: "
    shapes = {"text": (str, "a string"), "template": (str, "a string"), "length": (int, "a whole number")}
    for name, (kind, what) in shapes.items():
        if line.get(name) is not None and (not isinstance(line[name], kind) or isinstance(line[name], bool)):
            raise UsageError(f"{where}{name} is not {what}")
    length = arguments.length or line.get("length") or LENGTH
    parts = template(line["template"]) if line.get("template") is not None else None
    try:
        job.form = JsonProblem.of(
            line["schema"], line.get("text") or "", parts, length, checks, not arguments.no_formats, known
        )
    except FillError as error:
        job.error = error
    except SchemaError as error:
        raise UsageError(f"{where}{error}") from None
    return job


# Filling


def fill(arguments: argparse.Namespace) -> int:

    from solver.api import fill as structured
    from solver.loop.trace import Budget, dump
    from solver.tasks.json_schema.errors import FillError

    options.limit_threads()
    jobs = list(forms(arguments))
    budget = Budget(arguments.forwards or structured.FORWARDS, arguments.seconds)
    asked = [job for job in jobs if job.form is not None for _ in range(arguments.n)]
    due = 0
    viewer = Viewer(arguments.watch)
    with options.open_trace(arguments.trace) as trace:

        def step(number: int, event: Step) -> None:
            if arguments.watch:
                viewer.step(asked[number], event)
            if trace is not None:
                trace.write(
                    dump({"type": "step", "task": "json", "number": asked[number].number, **event.to_json()})
                    + "\n"
                )

        waiting = {job.number: arguments.n if job.form is not None else 0 for job in jobs}

        def flush() -> None:
            nonlocal due
            while due < len(jobs) and not waiting[due]:
                report(arguments, jobs[due])
                due += 1

        flush()
        try:
            run = structured.fill_many(
                [
                    replace(job.form) for job in asked if job.form is not None
                ],  # each candidate has a memory of its own
                arguments.denoiser,
                budget,
                arguments.seed,
                arguments.batch,
                step if arguments.watch or trace is not None else None,
                arguments.loops,
            )
            for number, done in run:
                job = asked[number]
                cost = done if isinstance(done, FillError) else done.counters
                job.forwards += cost.forwards
                job.seconds += cost.seconds
                if isinstance(done, FillError):
                    job.error = done
                else:
                    job.found.append(done)
                waiting[job.number] -= 1
                flush()
        except ValueError as error:  # CheckpointError
            raise UsageError(str(error)) from error
    if any(job.bad for job in jobs):
        return 2
    return 0 if all(job.found for job in jobs) else 1


def report(arguments: argparse.Namespace, job: Job) -> None:
    """One result: an object a line with --json or --file, else the text alone on stdout and the rest on stderr."""
    best = sorted(job.found, key=lambda one: -one.score)
    if arguments.json or arguments.file is not None:
        error = None
        if job.bad is not None:
            error = {"type": "BadInput", "message": job.bad, "pointer": None}
        elif not best and job.error is not None:
            error = job.error.to_json()
        line: dict[str, Any] = {
            "status": "valid" if best else "bad input" if job.bad is not None else "failed",
            "instance": best[0].text if best else None,
            "error": error,
            "forwards": job.forwards,
            "seconds": round(job.seconds, 4),
        }
        if arguments.n > 1:
            line["candidates"] = [one.text for one in best]
        print(json.dumps(line, ensure_ascii=False), flush=True)
    elif best:
        print("\n".join(one.text for one in best), flush=True)
        print(f"valid: {job.forwards} forwards, {job.seconds:.2f} s ({arguments.denoiser})", file=sys.stderr)
    elif job.error is not None:
        print(f"{type(job.error).__name__}: {job.error}", file=sys.stderr)
    if job.bad is not None:
        print(f"error: {job.bad}", file=sys.stderr)


class Viewer:
    """Drafts as coloured text, a line each."""

    def __init__(self, watch: bool) -> None:
        self.colour = board.wants_colour(sys.stdout)

    def step(self, job: Job, event: Step) -> None:
        """One draft: pinned cells dim, accepted ones green, re-masked ones red."""
        shown = []
        for token, pinned, kept, back in zip(
            event.draft, event.pinned, event.visible, event.remasked, strict=True
        ):
            if token == 256:
                continue
            code = "2" if pinned else "31;7" if back else "32" if kept else "0"
            shown.append((code, int(token)))
        text = b"".join(
            b"\x1b[%bm%b\x1b[0m" % (code.encode(), bytes([byte])) if self.colour else bytes([byte])
            for code, byte in shown
        )
        why = f"   {event.violations[0].message}" if event.violations else ""
        print(f"{event.number:>4}  {text.decode(errors='replace')}{why}", flush=True)


# Checking


def check(arguments: argparse.Namespace) -> int:
    """Judge instances: one line each, with the place of everything that is wrong. Imports neither torch nor numpy."""
    from solver.tasks.json_schema.errors import SchemaError
    from solver.tasks.json_schema.validator import build_validator

    if arguments.schema is None or not arguments.instances:
        raise UsageError("check needs --schema and at least one instance")
    schema, known = parse(read(arguments.schema), arguments.schema), registry(arguments.registry)
    try:
        validator = build_validator(schema, None, arguments.formats, known)
    except SchemaError as error:
        raise UsageError(str(error)) from None
    checks, statuses = predicate(arguments.check), set[str]()
    for name in arguments.instances:
        try:
            errors = find_errors(validator, checks, name)
        except UsageError as error:  # the other files are still checked
            statuses.add("bad input")
            print(f"error: {error}", file=sys.stderr)
            if arguments.json:
                errors = [{"pointer": "", "message": str(error)}]
                print(json.dumps({"instance": name, "status": "bad input", "errors": errors}))
            continue
        status = "invalid" if errors else "valid"
        statuses.add(status)
        if arguments.json:
            print(json.dumps({"instance": name, "status": status, "errors": errors}))
            continue
        print(f"{name}: {status}")
        for item in errors:
            print(f"  {item['pointer'] or '/'}: {item['message']}")
    return 2 if "bad input" in statuses else 1 if "invalid" in statuses else 0


def find_errors(validator: Any, checks: tuple[Callable[[Any], Any], ...], name: str) -> list[dict[str, str]]:
    """Return what is wrong with the instance in a file: JSON pointers and messages."""
    from solver.tasks.json_schema.validator import repeated_names

    text = read(name)
    instance = parse(text, name)
    errors = [(to_pointer(error.instance_path), error.message) for error in validator.iter_errors(instance)]
    errors += [(to_pointer(path), "a name stands twice") for path in repeated_names(text)]
    if checks:
        from solver.tasks.checks import run_check

        for check in checks:
            errors += [(violation.path or "", violation.message) for violation in run_check(check, instance)]
    return [{"pointer": pointer, "message": message} for pointer, message in errors]


def to_pointer(path: Sequence[str | int]) -> str:
    """Return a path as a JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
