"""The JSON evaluation measures what it says: likelihoods are likelihoods, puzzles have answers, tables come from rows."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import json_engines, json_language
from solver.baseline.json import TextRequest, log_likelihood, write_texts
from solver.cli.main import main
from solver.evaluation import (
    json_generated,
    json_real,
    json_tables,
    plots,
)
from solver.evaluation.harness import Answer
from solver.evaluation.json_arms import JsonCase, JsonModels, masked_page, raw_page
from solver.evaluation.rows import Row, load_rows
from solver.models.json_network import JsonConfig, JsonNetwork
from solver.tasks.json_schema import serialize
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.synthetic import Record, english_words
from solver.tasks.json_schema.task import JsonTask
from solver.tasks.languages.projection import BLANK
from solver.tasks.text import Hole

SPELLED = ('"x"', "77", "77 ", " 77", "421")  # white space is allowed between a template's literals
SMALL = JsonConfig(width=16, hidden=16, heads=2, readers=1, layers=1, offsets=8, words=64)


def network(causal: bool) -> JsonNetwork:
    torch.manual_seed(0)
    return JsonNetwork(JsonConfig(**{**SMALL.__dict__, "causal": causal})).eval()


def cut(value: str, room: int, allowed: tuple[str | int, ...] = ("x", 77, 421)) -> JsonCase:
    before, after = '{"a":', "}"
    problem = JsonProblem.of(
        {"properties": {"a": {"enum": list(allowed)}}}, template=[before, Hole(room), after]
    )
    return JsonCase(problem, before.encode(), after.encode(), value.encode(), room + 1)


@pytest.mark.parametrize("projected", [False, True])
def test_a_likelihood_in_random_order_is_one(projected: bool) -> None:
    """Over everything that a hole may hold the probabilities add up to one; with the language over what it allows."""
    net = network(causal=False)
    if projected:
        total = sum(math.exp(-json_real.random_order_nats(net, cut(value, 3), True)) for value in SPELLED)
        assert total == pytest.approx(1, abs=1e-6)
        return
    one = sum(
        math.exp(-json_real.random_order_nats(net, cut(chr(byte), 1, (7,)), False)) for byte in range(128)
    )
    assert 0 < one <= 1 + 1e-6
    blank = math.exp(-json_real.random_order_nats(net, cut("", 1, (7,)), False))
    assert one + blank < 1 + 1e-6


def test_the_left_likelihood_is_that_of_writing() -> None:
    net = network(causal=True)
    (text,) = write_texts(net, [TextRequest(b"p", 12, b'{"a":')], temperature=1.0, seed=3)
    assert bytes(text.text).startswith(b'{"a":')
    tokens = [*text.text, BLANK] if len(text.text) < 12 else list(text.text)
    assert log_likelihood(net, b"p", torch.tensor(tokens), 5) == pytest.approx(text.log_p, abs=1e-3)


def test_reserved_lines_are_kept_apart(tmp_path: Path) -> None:
    rows = [
        {"schema": {"title": str(n)}, "tests": [{"data": {"a": n}, "valid": n % 2 == 0}]} for n in range(200)
    ]
    for file in serialize.FILES:
        (tmp_path / f"{file}.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    ours, theirs = (serialize.load_pairs(tmp_path, reserved) for reserved in (False, True))
    assert len(ours) + len(theirs) == 2 * 100
    assert theirs
    assert not {text for _, text in ours} & {text for _, text in theirs}


@pytest.mark.parametrize("kind", json_generated.MAKERS)
def test_cross_field_puzzles(kind: str) -> None:
    """Each has an answer, and most of what fits the hole is none."""
    rng, pool = np.random.default_rng(0), english_words(reserved=True)
    for _ in range(5):
        case = json_generated.MAKERS[kind](rng, pool)
        schema = case.problem.schema["properties"]
        if kind == "invoice":
            lines = json.loads("{" + case.after.decode()[1:])
            right, wrong = str(sum(*lines.values())), str(sum(*lines.values()) + 1)
        elif kind == "check digit":
            digits = case.before.decode().split('"')[-1]
            right, wrong = str(sum(map(int, digits)) % 10), str((sum(map(int, digits)) + 1) % 10)
        else:
            (listed,) = schema.values()
            among, given = listed["items"]["enum"], json.loads("[" + case.after.decode()[1:-1])
            rest = [word for word in among if word not in given]
            right, wrong = (",".join(map(json.dumps, some)) for some in (rest, rest[:2] + rest[:1]))
        for middle, valid in ((right, True), (wrong, False)):
            tokens = np.full(case.problem.num_cells, BLANK)
            text = case.fill(middle.ljust(case.cells, "\0")).encode()[: case.problem.num_cells]
            tokens[: len(text)] = [BLANK if byte == 0 else byte for byte in text]
            if len(middle) <= case.cells:
                assert JsonTask().verify(case.problem, tokens) == valid


def test_answers_are_compared_with_the_instance_that_was_meant() -> None:
    record = Record({"type": "object"}, "", {"a": 1, "b": {"c": "x"}, "total": 3}, "total", "last")
    problem = JsonProblem.of(record.schema)
    answer = Answer(('{"a":true,"b":{"c":"x"},"total":3}',), "solved")
    assert json_generated.grade_record(record, problem, answer) == json_generated.RecordGrade(
        True, False, 1, 2, True
    )
    assert json_generated.grade_record(record, problem, Answer(("{",))) == json_generated.RecordGrade(
        False, False, 0, 2, False
    )


def test_retries_end_with_the_first_valid_text() -> None:
    case = JsonCase(JsonProblem.of({"type": "integer", "minimum": 0, "maximum": 9}, length=2))
    models = JsonModels(baseline=network(causal=True))
    (masked,) = models.retry_arm("ar-masked", masked_page)[0].answer([case])
    assert masked.solved
    (retried,) = models.retry_arm("ar", raw_page, tries=3)[0].answer([case])
    assert retried.counters.forwards > masked.counters.forwards or retried.solved


def test_every_seed_draws_anew_and_the_same_seed_the_same() -> None:
    case = JsonCase(JsonProblem.of({"type": "string", "minLength": 8, "maxLength": 8}, length=12))
    texts = [JsonModels(seed=seed).controls(1)[0].answer([case])[0].text for seed in (0, 0, 1000)]
    assert texts[0] == texts[1] != texts[2]


def test_the_likeliest_valid_text_costs_the_sum_of_its_draws() -> None:
    case = JsonCase(JsonProblem.of({"type": "integer", "minimum": 0, "maximum": 9}, length=2))
    models = JsonModels(baseline=network(causal=True))
    (one,), (three,) = (models.best_of_arm("best", masked_page, n)[0].answer([case]) for n in (1, 3))
    assert one.solved
    assert three.solved
    assert three.counters.forwards > one.counters.forwards
    assert three.gflop > one.gflop


def test_a_text_that_continues_ends_where_the_hole_does() -> None:
    problem = JsonProblem.of({"type": "object"})
    for trim, written, middle in (("all", "1}", "1}"), ("value", "12,34", "12"), ("after", "12,34", "12")):
        case = JsonCase(problem, b'{"a":', b',"b":2}', trim=trim)  # type: ignore[arg-type]  # a literal
        assert case.continued('{"a":' + written) == '{"a":' + middle + ',"b":2}'


def test_the_default_call_of_fill_is_an_arm_on_the_records() -> None:
    models = JsonModels(network(causal=False), weights="tiny")
    (arm,) = models.default_arm("solver.fill by default")
    assert [arm.name for arm in json_generated.content_arms(models)].count(arm.name) == 1
    (row,) = json_generated.measure_content(Row("content", "records", arm.name), arm, 2)
    assert row.get("valid") == 1
    assert row.get("forwards_mean") >= 1
    assert set(row.get("single_ms")) == {"p50", "p95", "p99"}
    assert arm.name in json_tables.TABLES["json-content"]([row])
    assert not JsonModels().default_arm("without a model")


def test_content_without_a_model_gives_tables_and_plots(tmp_path: Path) -> None:
    models = JsonModels()
    rows = []
    for arm in json_generated.content_arms(models):
        rows += json_generated.measure_content(Row("content", "records", arm.name), arm, 4)
    cases = json_generated.make_cases("unique", 2)
    for arm in json_generated.dependent_arms(models, forwards=2):
        rows += json_generated.measure_dependent_fields(Row("cross", "unique", arm.name), arm, cases)
    assert {row.arm for row in rows} == {"random", "prior"}
    assert all(row.get("valid") == 1 for row in rows if row.section == "content")
    for name, table in json_tables.TABLES.items():
        assert ("random" in table(rows)) == (name in ("json-content", "json-cross"))
    assert set(plots.draw_plots(rows, tmp_path)) == {"json_content.png", "json_cross.png"}


class Even(json_engines.Grammar):
    """Digits, and an end after an even number of them."""

    def begin(self) -> None:
        self.length = 0

    def allowed(self) -> Any:
        mask = np.zeros(257, bool)
        mask[48:58], mask[256] = True, self.length > 0 and self.length % 2 == 0
        return mask

    def take(self, byte: int) -> None:
        self.length += 1


def test_walks_end_where_the_engine_says() -> None:
    rng = np.random.default_rng(0)
    for eager in (0, 64):
        text = json_engines.walk(Even(), eager, rng)
        assert text is not None
        assert text.isdigit()
        assert len(text) % 2 == 0


def test_the_command_and_the_benchmark_write_one_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data" / "jsonschema"
    folder.mkdir(parents=True)
    row = {
        "id": "a",
        "schema": {"type": "integer"},
        "tests": [{"data": 7, "valid": True}, {"data": "x", "valid": False}],
    }
    row |= {"min_valid_bytes": 1}
    for file in serialize.FILES:
        (folder / f"{file}.jsonl.gz").write_bytes(gzip.compress(json.dumps(row).encode()))
    suite = {**row, "kind": "required", "draft": "draft7", "has_valid": True}
    (folder / "json_schema_test_suite.jsonl.gz").write_bytes(gzip.compress(json.dumps(suite).encode()))
    (folder / "json_schema_test_suite_remotes.json.gz").write_bytes(gzip.compress(b"{}"))
    out = tmp_path / "out"
    sections = "guarantee,pinned"
    arguments = ["evaluate", "json", "--data", str(tmp_path / "data"), "--out", str(out)]
    assert main([*arguments, "--sections", sections]) == 0
    rows = json.loads((out / "json.json").read_text())["rows"]
    assert {row["section"] for row in rows} == set(sections.split(","))
    assert all(row["solved"] == row["schemas"] == 1 for row in rows if row["section"] == "guarantee")
    assert "json.json, report.md" in capsys.readouterr().out
    options = ["--data", str(tmp_path / "data"), "--out", str(out)]
    monkeypatch.setattr("sys.argv", ["json_language.py", *options])
    json_language.main()
    sections = {row.section for row in load_rows(out / "json.json")}
    assert sections == {"guarantee", "pinned", "membership", "speed"}
    assert main([*arguments, "--sections", "pinned", "--resume"]) == 0
    assert "json_speed.png" in capsys.readouterr().out
    assert main([*arguments, "--sections", "nonsense"]) == 2
    assert main([*arguments, "--sections", "content", "--checkpoint", f"compact={tmp_path}"]) == 2
    assert main([*arguments, "--sections", "content", "--checkpoint", "nonsense"]) == 2
    assert main([*arguments, "--sections", "content", "--arms", "nonsense"]) == 2
    assert main([*arguments, "--sections", "guarantee", "--denoisers", "nonsense"]) == 2
    assert main([*arguments, "--sections", "guarantee", "--arms", "random"]) == 2
    assert "--arms concerns only the sections content, infill, cross" in capsys.readouterr().err
    assert main(["evaluate", "code", "--out", str(out), "--sections", "infill", "--arms", "nonsense"]) == 2
