"""``python -m solver json fill``: write instances of one schema, or of many with ``--file``.

The instance goes to stdout, its costs to stderr; with ``--json`` or ``--file`` every result is a JSON object.

>>> from solver.cli.json_check import decode_json
>>> decode_json('{"a": [1]}', "the example")
{'a': [1]}
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from solver.cli import options, output, watch
from solver.cli.json_check import BYTE_ORDER_MARK, decode_json, load_check, read_registry
from solver.cli.json_fields import field_table, fields_json
from solver.cli.main import UsageError
from solver.cli.options import read_text
from solver.tasks.json_schema.errors import COMPILING, MAX_CELLS, BudgetExhausted, FillError, SchemaError

if TYPE_CHECKING:
    from solver.api.candidate import Candidate
    from solver.loop.trace import Step
    from solver.tasks.json_schema.compilation import Quotes
    from solver.tasks.json_schema.problem import JsonProblem

QUOTES: dict[str, Quotes] = {"auto": "auto", "always": True, "never": False}
HOLE = re.compile(r"\{\{(\d{1,5})\}\}")
# Members of an input line of --file, with their types.
MEMBERS = {"text": (str, "a string"), "template": (str, "a string"), "length": (int, "a whole number")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--schema", metavar="F", help="a file with a JSON schema")
    parser.add_argument("--text", metavar="F", help="a file with the text that the values are taken from")
    parser.add_argument(
        "--template", metavar="F", help="the text of the instance with holes: {{12}} has at most 12 bytes"
    )
    parser.add_argument(
        "--check",
        metavar="MODULE:FUNCTION",
        help="called with the value; returns None, a message, or violations (FILE.py:FUNCTION too)",
    )
    parser.add_argument(
        "--length",
        type=options.integer(1, MAX_CELLS),
        metavar="N",
        help="bytes of the canvas (as many as schema and text require)",
    )
    parser.add_argument(
        "--n", type=options.integer(1), default=1, metavar="N", help="candidates, the best first (1)"
    )
    parser.add_argument(
        "--file",
        metavar="F",
        help="many problems: JSON lines with schema, and text, template, length; - for stdin",
    )
    parser.add_argument(
        "--registry", metavar="DIR", help="schemas that $ref may point to: *.json, by their $id or file name"
    )
    parser.add_argument("--no-formats", action="store_true", help="do not assert format")
    parser.add_argument(
        "--quotes",
        choices=QUOTES,
        default="auto",
        help="take strings, numbers and dates from the text: where it has some (auto), always, or never",
    )
    parser.add_argument(
        "--fields",
        action="store_true",
        help="print a table of the fields: probability, runner-up and place in the text",
    )
    parser.add_argument(
        "--min-probability",
        type=options.probability,
        default=0.0,
        metavar="P",
        help="leave out fields that are less probable, or make them null; fail if they are required (0)",
    )
    options.add_budget(parser, "1000")
    options.add_output(parser)
    output.add_stream(parser)
    options.add_model(parser)


@dataclass
class JsonJob:
    """A problem of the input and its results.

    Attributes:
        number: of the problem, from 0.
        problem: None if the input is bad or the problem has no solution.
        bad_input: what is wrong with the input.
        error: why there is no instance.
        candidates: the instances.
        forwards: of all attempts.
        seconds: of all attempts.
        compiling: seconds of compiling the schema.
    """

    number: int
    problem: JsonProblem | None = None
    bad_input: str | None = None
    error: FillError | None = None
    candidates: list[Candidate] = field(default_factory=list)
    forwards: int = 0
    seconds: float = 0.0
    compiling: float = 0.0

    @property
    def status(self) -> str:
        return "valid" if self.candidates else "failed" if self.bad_input is None else "bad input"


def run(arguments: argparse.Namespace) -> int:
    """Fill all problems whose input is good, and print the results."""
    if (arguments.schema is None) == (arguments.file is None):
        raise UsageError("give either --schema or --file")
    if arguments.file is not None and (arguments.text is not None or arguments.template is not None):
        raise UsageError("with --file, text and template belong into its lines")
    if arguments.file is None and arguments.skip_done is not None:
        raise UsageError("--skip-done goes with --file")
    if arguments.template is not None and arguments.length is not None:
        raise UsageError("--length does not go with --template, whose holes have sizes")
    inputs = read_inputs(arguments)
    done = output.read_done(arguments.skip_done, [{}] * len(inputs))
    numbers = [number for number in range(len(inputs)) if number + 1 not in done]
    registry, check = read_registry(arguments.registry), load_check(arguments.check)
    statuses = {str(record["status"]) for record in done.values()}

    from solver.tasks.json_schema.problem import load_kernels

    with watch.spinner("loading the kernels (the first time, compiling them)", not arguments.quiet):
        load_kernels()
    viewer = watch.Viewer(sys.stderr if arguments.json else sys.stdout) if arguments.watch else None
    recorder = output.Recorder(arguments.trace, viewer)
    with recorder:
        # One after the other: no result waits for another, and no problem uses the time of another.
        for number in numbers:
            job = make_job(arguments, number, inputs[number], registry, check)
            if job.problem is not None:
                fill_job(arguments, job, job.problem, recorder)
            print_json_result(arguments, job)
            statuses.add(job.status)
    return 2 if "bad input" in statuses else 0 if statuses <= {"valid"} else 1


def fill_job(
    arguments: argparse.Namespace, job: JsonJob, problem: JsonProblem, recorder: output.Recorder
) -> None:
    """Fill a problem as often as --n says. Attempt k of job j is number j * n + k in the trace."""
    with watch.spinner("importing torch", not arguments.quiet):
        options.limit_threads(arguments.threads)
        from solver.api import fill
        from solver.api.abstain import withhold_all
        from solver.loop.trace import Budget, Counters
        from solver.tasks.languages.projection import BLANK

    numbers = [job.number * arguments.n + k for k in range(arguments.n)]
    for number in numbers:
        names = {"denoiser": arguments.denoiser, "seed": arguments.seed}
        opening = {"task": "json", "line": job.number + 1, "blank": BLANK, **names}
        recorder.write("problem", number, opening)

    def record_step(index: int, step: Step) -> None:
        recorder.write("step", numbers[index], step.to_json())

    budget = Budget(arguments.forwards or fill.FORWARDS, arguments.seconds)
    results = fill.fill_many(
        [replace(problem) for _ in numbers],  # each remembers its drafts
        arguments.denoiser,
        budget.remaining(Counters(seconds=job.compiling)),
        [arguments.seed + number for number in numbers],
        arguments.batch,
        record_step if recorder.is_active else None,
    )
    for index, result in results:
        cost = result if isinstance(result, FillError) else result.counters
        job.forwards += cost.forwards
        job.seconds += cost.seconds
        if isinstance(result, FillError):
            job.error = result
        else:
            job.candidates.append(result)
        recorder.write("outcome", numbers[index], outcome_record(result))
    if job.candidates and arguments.min_probability:
        has_template = any(isinstance(part, bytes) for part in problem.parts)
        ranked = sorted(job.candidates, key=lambda candidate: -candidate.score)
        try:
            job.candidates = withhold_all(ranked, arguments.min_probability, not has_template)
        except FillError as error:
            job.candidates, job.error = [], error


def read_inputs(arguments: argparse.Namespace) -> list[dict[str, Any] | UsageError]:
    """Return the members of every problem (schema, text, template, length), or the error of its line."""
    if arguments.file is None:
        schema = decode_json(read_text(arguments.schema), arguments.schema, is_unique=True)
        members = {"schema": schema}
        names = [name for name in ("text", "template") if getattr(arguments, name) is not None]
        texts = {name: read_text(getattr(arguments, name)) for name in names}
        return [members | {name: text.removeprefix(BYTE_ORDER_MARK) for name, text in texts.items()}]
    lines = [line for line in read_text(arguments.file).splitlines() if line.strip()]
    if not lines:
        raise UsageError(f"{arguments.file}: no lines")
    inputs: list[dict[str, Any] | UsageError] = []
    for number, line in enumerate(lines, 1):
        try:
            inputs.append(read_members(line, f"line {number}"))
        except UsageError as error:
            inputs.append(error)
    return inputs


def read_members(line: str, place: str) -> dict[str, Any]:
    members = decode_json(line, place, is_unique=True)
    if not isinstance(members, dict) or "schema" not in members:
        raise UsageError(f"{place}: not an object with a schema")
    for name, (kind, description) in MEMBERS.items():
        value = members.get(name)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise UsageError(f"{place}: {name} is not {description}")
    if not 1 <= (members.get("length") or 1) <= MAX_CELLS:
        raise UsageError(f"{place}: length is not between 1 and {MAX_CELLS}")
    return members


def make_job(
    arguments: argparse.Namespace,
    number: int,
    members: dict[str, Any] | UsageError,
    registry: dict[str, Any],
    check: Callable[[Any], Any] | None,
) -> JsonJob:
    """Return the job of one input, with its problem or its error. With --schema, bad input raises."""
    from solver.kernels.deadline import OutOfTime, time_limit
    from solver.tasks.json_schema.lengths import fitting_problem
    from solver.tasks.text import Hole

    if isinstance(members, UsageError):
        return JsonJob(number, bad_input=str(members))
    template = members.get("template")
    parts = [] if template is None else HOLE.split(template)  # literals, and sizes of holes between them
    pieces = [Hole(int(part)) if index % 2 else part for index, part in enumerate(parts)] or None
    started = time.perf_counter()
    try:
        with time_limit(arguments.seconds):
            problem = fitting_problem(
                members["schema"],
                members.get("text") or "",
                pieces,
                arguments.length or members.get("length"),
                checks=() if check is None else (check,),
                formats=not arguments.no_formats,
                registry=registry,
                quotes=QUOTES[arguments.quotes],
            )
    except OutOfTime:
        return JsonJob(number, error=BudgetExhausted("", (COMPILING,), "seconds"))
    except FillError as error:
        return JsonJob(number, error=error)
    except SchemaError as error:
        if arguments.file is None:
            raise
        return JsonJob(number, bad_input=f"line {number + 1}: {error}")
    compiling = time.perf_counter() - started
    return JsonJob(number, problem, compiling=compiling)


def outcome_record(result: Candidate | FillError) -> watch.Record:
    if isinstance(result, Exception):
        return {"status": type(result).__name__, "forwards": result.forwards, "message": str(result)}
    return {"status": "solved", "text": result.text, **result.counters.summary()}


def print_json_result(arguments: argparse.Namespace, job: JsonJob) -> None:
    candidates = sorted(job.candidates, key=lambda candidate: -candidate.score)
    if job.bad_input is not None:
        print(f"error: {job.bad_input}", file=sys.stderr)
    if not arguments.json and arguments.file is None:
        for candidate in candidates:
            output.print_line(candidate.text)
            if arguments.fields and job.problem is not None:
                for line in field_table(job.problem.text, candidate.fields):
                    output.print_line(line)
        costs = f"{job.forwards} forwards, {job.seconds:.2f} s ({arguments.denoiser})"
        if not candidates:
            print(f"{type(job.error).__name__}: {job.error}", file=sys.stderr)
        elif not arguments.quiet:
            print(f"valid: {costs}", file=sys.stderr)
        return
    error = None
    if job.bad_input is not None:
        error = {"type": "BadInput", "message": job.bad_input, "pointer": None}
    elif not candidates and job.error is not None:
        error = job.error.to_json()
    record: watch.Record = {
        "status": job.status,
        "instance": candidates[0].text if candidates else None,
        "strategy": candidates[0].strategy if candidates else None,
        "error": error,
        "forwards": job.forwards,
        "seconds": round(job.seconds, 4),
        "number": job.number + 1,
    }
    if arguments.fields and candidates:
        record["probability"] = candidates[0].probability
        record["fields"] = fields_json(candidates[0].fields)
    if arguments.n > 1:
        record["candidates"] = [candidate.text for candidate in candidates]
    output.print_line(json.dumps(record, ensure_ascii=False))
