"""Bad input is refused in one line, and no schema, template or check keeps ``fill`` longer than its limits."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from solver.api.fill import fill
from solver.cli.main import main
from solver.kernels.deadline import CPU_EVERY, OutOfTime, check_time, time_left, time_limit
from solver.kernels.lattice_fast import Lattice
from solver.loop.trace import Budget, Counters
from solver.tasks.json_schema import problem as problems
from solver.tasks.json_schema.errors import MAX_CELLS, BudgetExhausted, SchemaError, SchemaTooComplex
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.validator import build_validator, draft_of
from solver.tasks.languages.projection import byte_weights, has_few_pairs
from solver.tasks.languages.unroll import MAX_PAIRS
from solver.tasks.task import Violation
from solver.tasks.text import Hole

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@pytest.fixture(params=["fill", "check"])
def command(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """Either command up to the name of a schema's file."""
    instance = tmp_path / "instance.json"
    instance.write_text('"x"')
    options = ["--denoiser", "random"] if request.param == "fill" else [str(instance)]
    return ["json", request.param, *options, "--schema"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"enum":[NaN,1]}', "NaN is not a JSON value"),
        ('{"maximum":-Infinity}', "-Infinity is not a JSON value"),
        ('{"enum":[1e999,1]}', "the number 1e999 is out of range"),
        ('{"properties":{"a":{"type":"integer"},"a":{"type":"null"}}}', 'the name "a" stands twice'),
        ("[" * 100_000, "nested too deeply"),
        ('{"$ref":"https://schemas.example/nodemon.json"}', "--registry"),
    ],
)
def test_a_bad_schema_is_one_line_and_exit_code_2(
    command: list[str], text: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text(text)
    assert main([*command, str(schema)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert reason in err


def test_a_byte_order_mark_is_skipped(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema, lines = tmp_path / "schema.json", tmp_path / "lines.jsonl"
    schema.write_bytes(BYTE_ORDER_MARK + b'{"type":"string"}')
    lines.write_bytes(BYTE_ORDER_MARK + b'{"schema":{"type":"string"}}\n')
    assert main([*command, str(schema)]) == 0
    assert main(["json", "fill", "--denoiser", "random", "--file", str(lines)]) == 0
    marked = tmp_path / "marked.json"
    marked.write_bytes(BYTE_ORDER_MARK + b'"x"')
    assert main(["json", "check", "--schema", str(schema), str(marked)]) == 0
    assert "bad input" not in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--schema", "--file"])
def test_a_closed_stdin_is_one_line(
    option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert main(["json", "fill", option, "-"]) == 2
    assert capsys.readouterr().err == "error: -: stdin is closed\n"


@pytest.mark.parametrize("version", ["3.1/dialect/base", "3.1/dialect/2024-11-10", "3.2/dialect/2025-09-17"])
def test_the_dialects_of_openapi_are_read_as_draft_2020_12(version: str) -> None:
    schema = {"$schema": f"https://spec.openapis.org/oas/{version}", "prefixItems": [{"type": "string"}]}
    assert draft_of(schema, default=7) == 2020
    validator = build_validator(schema)
    assert validator.is_valid(["x"])
    assert not validator.is_valid([1])
    assert fill(schema, denoiser="random", length=32).status == "solved"


@pytest.mark.parametrize("template", [["NaN"], ["1e999"], ["-Infinity"]])
def test_a_template_with_what_is_no_number_of_json_is_refused(template: list[str | Hole]) -> None:
    with pytest.raises(ValueError, match="template"):
        fill({"type": "number"}, template=template, denoiser="random")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_schema_with_what_is_no_number_of_json_is_refused(number: float) -> None:
    with pytest.raises(SchemaError, match="not a JSON value"):
        fill({"enum": [number, 1]}, denoiser="random")


def test_canvases_have_a_largest_size() -> None:
    assert JsonProblem.of({"type": "null"}, length=MAX_CELLS).num_cells == MAX_CELLS
    with pytest.raises(SchemaError, match="from 1 to 4096, not 4097"):
        fill({"type": "null"}, length=MAX_CELLS + 1, denoiser="random")
    with pytest.raises(SchemaError, match="the template has 100003 bytes with its holes"):
        fill({}, template=['{"a', Hole(99_999), "}"], denoiser="random")


def chain(links: int, keyword: str) -> dict[str, Any]:
    """A schema whose references lead from one to the next."""
    references = [{"$ref": f"#/$defs/{number}"} for number in range(1, links + 1)]
    steps = references if keyword == "$ref" else [{keyword: [reference]} for reference in references]
    definitions = {str(number): step for number, step in enumerate(steps)}
    return {"$defs": {**definitions, str(links): {"type": "integer"}}, "$ref": "#/$defs/0"}


@pytest.mark.parametrize("keyword", ["$ref", "allOf", "anyOf"])
def test_a_chain_of_references_that_is_too_long_is_refused(keyword: str) -> None:
    assert isinstance(fill(chain(20, keyword), denoiser="random").value, int)
    with pytest.raises(SchemaError, match="references are too deep"):
        fill(chain(2000, keyword), denoiser="random")


def test_a_time_limit_inside_another_does_not_extend_it() -> None:
    def work() -> None:
        for _ in range(CPU_EVERY):
            check_time()

    assert time_left() == float("inf")
    check_time()
    with time_limit(None):
        check_time()
        with time_limit(0.0):
            assert time_left() <= 0
            with time_limit(60.0), pytest.raises(OutOfTime):
                check_time()
        with time_limit(cpu_seconds=0.0), time_limit(cpu_seconds=60.0), pytest.raises(OutOfTime):
            work()
        check_time()


def test_compiling_is_abandoned_at_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problems, "COMPILE_SECONDS", 0.0)
    with pytest.raises(SchemaTooComplex, match="shorter length"):
        fill({"properties": {"a": {"pattern": "^a{3,9}$"}}}, denoiser="random", seconds=None)


def test_compiling_is_abandoned_when_the_call_has_no_time_left() -> None:
    with pytest.raises(BudgetExhausted, match="compiling the schema took all the time"):
        fill({"type": "object", "minProperties": 3}, denoiser="random", seconds=0.0)


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that advances by four milliseconds whenever it is read."""
    start, ticks = time.perf_counter(), itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: start + next(ticks) / 250)


@pytest.mark.usefixtures("ticking")
@pytest.mark.parametrize("denoiser", ["random", "compact"])
def test_the_best_draft_is_kept_when_the_time_ends(denoiser: str) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    with pytest.raises(BudgetExhausted, match=r"\(never\): give more seconds") as caught:
        fill(schema, check=lambda value: "never", denoiser=denoiser, length=24, seconds=1.0)
    assert "a" in json.loads(caught.value.best)
    assert 0 < caught.value.forwards < 1000


@pytest.mark.usefixtures("ticking")
def test_a_forward_that_never_ends_is_abandoned() -> None:
    def check(value: Any) -> Violation:
        if value != "first":
            while True:
                check_time()
        return Violation("not this one")

    with pytest.raises(BudgetExhausted, match=r"\(not this one\): give more seconds") as caught:
        fill({"enum": ["first", "second"]}, check=check, denoiser="random", length=12, seconds=1.0)
    assert caught.value.best == '"first"'


def test_the_limit_that_ended_a_run_is_named() -> None:
    budget = Budget(forwards=10, seconds=5.0)
    assert budget.reached(Counters(forwards=10)) == "forwards"
    assert budget.reached(Counters(forwards=9)) == "seconds"


def pairs(problem: JsonProblem) -> int:
    """The live pairs of states and cells of a problem's first projection."""
    tokens, known = problem.given
    weights = byte_weights(np.zeros((problem.num_cells, 257)), tokens, known)
    return Lattice(problem.unrolled.automaton, weights, problem.slots).num_pairs


TREE = {
    "$ref": "#/$defs/tree",
    "$defs": {
        "tree": {
            "type": "object",
            "properties": {
                "v": {"type": "integer"},
                "left": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]},
                "kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}},
            },
            "required": ["v"],
        }
    },
}


@pytest.mark.parametrize(
    "schema",
    [
        TREE,
        {"contains": {"const": 1}, "minContains": 500, "type": "array"},
        {"type": "string", "allOf": [{"pattern": "b.{12}a"}]},
    ],
)
def test_a_large_canvas_has_few_pairs_of_states_and_cells(schema: Any) -> None:
    """A lattice needs 20 bytes and 60 ns for each: at most 480 MB."""
    problem = JsonProblem.of(schema, length=MAX_CELLS)
    assert 0 < pairs(problem) <= MAX_PAIRS
    assert not problem.unrolled.complete


@pytest.mark.parametrize("alternatives", [5, 100])
def test_alternatives_that_are_too_many_do_not_multiply(alternatives: int) -> None:
    """Each of n conditions has two alternatives: 2^n objects."""
    conditions = [
        {"if": {"required": [f"a{n}"]}, "then": {"required": [f"b{n}"]}} for n in range(alternatives)
    ]
    problem = JsonProblem.of({"type": "object", "allOf": conditions}, length=64)
    assert len(problem.layouts()) <= 1


def test_compiling_is_part_of_the_time_of_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = list[float | None]()

    def fill_many(problems: Any, denoiser: Any, budget: Budget, *others: Any) -> Any:
        seconds.append(budget.seconds)
        return iter(())

    monkeypatch.setattr("solver.api.fill.fill_many", fill_many)
    schema = tmp_path / "schema.json"
    schema.write_text('{"type":"integer"}')
    main(["json", "fill", "--denoiser", "random", "--seconds", "20", "--schema", str(schema)])
    (left,) = seconds
    assert left is not None
    assert 0.0 < left < 20.0


def test_a_template_with_a_large_hole_has_few_pairs_of_states_and_cells() -> None:
    schema = {"type": "array", "items": {"type": "integer"}, "minItems": 3, "maxItems": 1500}
    problem = JsonProblem.of(schema, template=["[", Hole(4000), "]"])
    assert not problem.unrolled.is_empty
    assert has_few_pairs(problem.unrolled, problem.slots, *problem.given)
