"""Look for false proofs and for wrong results, with random schemas whose instance is known.

    python benchmarks/fuzz_schemas.py --count 20000 --seed 0 [--start N] [--out FAILURES.jsonl]
    python benchmarks/fuzz_schemas.py --kind formats --count 40000
    python benchmarks/fuzz_schemas.py --adversarial 500

For each schema:

1. Its language contains the instance: it is written as the grammar writes it, pinned as a whole by a template, and
   has to be solved. The schema together with a constant is not unsatisfiable.
2. It is filled by the random denoiser with a small budget. What is solved is judged by python's ``jsonschema`` with
   all formats, on the numbers as they are written. A schema with an instance must never be called unsatisfiable.

Case number n of a seed does not depend on the others: ``--start`` and ``--count`` choose a part of a run. The exit
code is 1 if anything is wrong. Disagreements between the validators are counted by reason;
tasks/json_schema/README.md lists them.
"""

from __future__ import annotations

import argparse
import decimal
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jsonschema
from jsonschema.exceptions import FormatError

from benchmarks.fuzz_formats import fuzz_formats
from benchmarks.random_schemas import URIS, Case, draw_case
from solver.api.fill import fill
from solver.loop.trace import Budget
from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.errors import FillError, UnsatisfiableSchema
from solver.tasks.json_schema.formats import assertion
from solver.tasks.json_schema.grammar import SchemaGrammar
from solver.tasks.json_schema.serialize import serialize
from solver.tasks.json_schema.validator import build_validator

JUDGES = {
    4: jsonschema.Draft4Validator,
    6: jsonschema.Draft6Validator,
    7: jsonschema.Draft7Validator,
    2019: jsonschema.Draft201909Validator,
    2020: jsonschema.Draft202012Validator,
}
LENGTH = 96
FORWARDS = 4
SECONDS = 20.0
decimal.getcontext().prec = 2000


def number_as_written(text: str) -> Decimal | int:
    """The exact number; an integer, in any notation, as an int."""
    number = Decimal(text)
    return int(number) if number == number.to_integral_value() else number


class GivenFormats(jsonschema.FormatChecker):
    """Formats as python's ``jsonschema`` checks them, except where the validators are known to disagree.

    Strings that the schema itself gives, and what is not an address, are decided by ``jsonschema_rs``.

    Attributes:
        differences: the formats on which the two disagreed.
    """

    def __init__(self, draft: int, constants: set[str]) -> None:
        super().__init__(())
        self.checkers = JUDGES[draft].FORMAT_CHECKER.checkers  # type: ignore[misc]  # of the class in the stubs
        self.draft, self.constants = draft, constants
        self.differences: set[str] = set()

    def check(self, instance: object, format: str) -> None:
        asserted = assertion(format, self.draft, usual=False)
        if asserted is None or not isinstance(instance, str):
            return super().check(instance, format)
        is_valid = asserted.accepts(instance)
        try:
            super().check(instance, format)
            is_refused = False
        except FormatError:
            is_refused = True
        is_python_lenient = not is_refused and (format == "regex" or format.endswith("email"))
        if is_refused == is_valid and (instance in self.constants or is_python_lenient):
            self.differences.add(format)
            is_refused = not is_valid
        if is_refused:
            raise FormatError(f"{instance!r} is not a {format!r}")
        return None


def judge(schema: Any, text: str, draft: int) -> tuple[str, str] | None:
    """The objection of python's ``jsonschema`` to a text, and the reason if the disagreement is a known one.

    The reasons are explained in tasks/json_schema/README.md.
    """
    exact = json.loads(json.dumps(schema), parse_float=number_as_written)
    instance = json.loads(text, parse_float=number_as_written)
    kind = JUDGES[draft]
    try:
        error = next(kind(exact, format_checker=kind.FORMAT_CHECKER).iter_errors(instance), None)
        if error is None:
            return None
        lenient = GivenFormats(draft, set(strings_in(schema)))
        is_known = kind(exact, format_checker=lenient).is_valid(instance)
        if not is_known and draft == 2019 and "unevaluatedProperties" in strings_in(schema):
            # of the schema of additional properties, it takes the keywords for names; its 2020-12 does not
            later = {name: part for name, part in exact.items() if name != "$schema"}
            if JUDGES[2020](later, format_checker=lenient).is_valid(instance):
                return f"{error.validator}: {error.message[:200]}", "unevaluatedProperties in 2019-09"
    except (RecursionError, TypeError) as failure:
        return f"it fails: {failure}", "python's jsonschema fails"
    reason = "given text, " + " and ".join(sorted(lenient.differences)) if is_known else ""
    return f"{error.validator}: {error.message[:200]}", reason


def strings_in(value: Any) -> Iterator[str]:
    """All strings inside a JSON value, names of members included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings_in(part)


def examine(case: Case, seed: int, outcomes: Counter[str]) -> Iterator[str]:
    """Yield what is wrong with the results for one case."""
    schema, draft = case.schema, case.draft
    grammar = SchemaGrammar(Compiler(schema, draft=draft), 4096)
    written = serialize(grammar, case.instance)
    if written is None:
        yield "the instance is not in the language"
    elif len(written) <= 1024:
        try:
            fill(
                schema,
                template=[written.decode()],
                denoiser="random",
                budget=Budget(forwards=2),
                seconds=SECONDS,
            )
        except UnsatisfiableSchema:
            yield "false proof: the pinned instance"
        except FillError as error:
            yield f"the pinned instance is not solved: {error}"
    problems = [("schema", schema)]
    if isinstance(schema, dict) and not ("$ref" in schema and draft <= 7):
        constant = schema | {"allOf": [*schema.get("allOf", ()), {"enum": [case.instance]}]}
        if build_validator(constant, draft).is_valid(case.instance):  # not so for some unevaluated parts
            problems.append(("schema and constant", constant))
    for name, problem in problems:
        try:
            budget = Budget(forwards=FORWARDS)
            found = fill(problem, denoiser="random", length=LENGTH, budget=budget, seed=seed, seconds=SECONDS)
        except UnsatisfiableSchema:
            yield f"false proof: {name}"
        except FillError as error:
            outcomes[f"{name}: {type(error).__name__}"] += 1
        else:
            outcomes[f"{name}: solved"] += 1
            objection, reason = judge(problem, found.text, draft) or ("", "")
            if reason:
                outcomes[f"disagreement: {reason}"] += 1
            elif objection:
                yield f"wrong: {found.text[:300]} ({objection})"


def fuzz_schemas(start: int, count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Examine the cases of a seed; print progress, and yield a record for each finding."""
    outcomes: Counter[str] = Counter()
    started = time.monotonic()
    for number in range(start, start + count):
        rng = random.Random(f"{seed} {number}")
        case = draw_case(rng, rng.choice(list(URIS)))
        try:
            findings = list(examine(case, number, outcomes))
        except Exception as error:  # whatever it is, it is a finding
            findings = [f"{type(error).__name__}: {error}"[:300]]
        for finding in findings:
            yield {
                "seed": seed,
                "case": number,
                "finding": finding,
                "schema": case.schema,
                "instance": case.instance,
            }
        done = number + 1 - start
        if done % 500 == 0 or done == count:
            rate = done / (time.monotonic() - started)
            print(
                f"{done} of {count}, {rate:.0f} a second: {dict(sorted(outcomes.items()))}",
                file=sys.stderr,
                flush=True,
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=("schemas", "formats"), default="schemas")
    parser.add_argument("--count", type=int, default=20_000, help="cases, or texts for each format")
    parser.add_argument("--start", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--adversarial", type=int, default=0, metavar="N", help="examine N adversarial schemas instead"
    )
    parser.add_argument("--out", type=Path, help="append findings to this file")
    arguments = parser.parse_args()
    if arguments.adversarial:
        from benchmarks.adversarial_schemas import examine_adversarial

        records: Iterator[Any] = examine_adversarial(arguments.start, arguments.adversarial, arguments.seed)
    elif arguments.kind == "formats":
        records = fuzz_formats(arguments.count, arguments.seed)
    else:
        records = fuzz_schemas(arguments.start, arguments.count, arguments.seed)
    wrong = 0
    for record in records:
        wrong += 1
        line = json.dumps(record, ensure_ascii=False)
        print(line, flush=True)
        if arguments.out is not None:
            with arguments.out.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
    print(f"{wrong} findings", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
