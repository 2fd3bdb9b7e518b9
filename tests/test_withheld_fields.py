"""Fields below a threshold are withheld, and the record stays valid."""

import json
from dataclasses import replace

import numpy as np
import pytest

import solver
from solver.api.abstain import confident_changes, withhold, withhold_all
from solver.api.candidate import Candidate
from solver.api.fields import FieldEvidence
from solver.cli.main import main
from solver.models.calibration import IDENTITY
from solver.tasks.arguments import run_check
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.languages.projection import BLANK

STRING = {"enum": ["x", "y"]}
SCHEMA = {
    "type": "object",
    "properties": {
        "id": STRING,
        "note": STRING,
        "city": {"enum": ["x", "y", None]},
        "tags": {"type": "array", "items": STRING, "minItems": 1, "maxItems": 2},
    },
    "required": ["id", "city", "tags"],
    "additionalProperties": False,
}
RECORD = {"id": "x", "note": "x", "city": "x", "tags": ["x", "y"]}


def candidate_of(schema, record, unsure, checks=(), length=64):
    """A candidate whose record is certain, but for the strings in ``unsure`` (names, or cells)."""
    problem = JsonProblem.of(schema, length=length, checks=checks, quotes=False)
    text = json.dumps(record, separators=(",", ":"))
    tokens = np.array([*text.encode(), *[BLANK] * (length - len(text))])
    logits = np.zeros((length, BLANK + 1), np.float32)
    logits[np.arange(length), tokens] = 40.0
    for key in unsure:
        cell = text.index(f'"{key}":"') + len(key) + 4 if isinstance(key, str) else key
        logits[cell] = 0.0
        logits[cell, [ord("x"), ord("y")]] = 40.0
    evidence = FieldEvidence.of(problem, logits, tokens, IDENTITY)
    confidence = np.linspace(0.5, 1, length).astype(np.float32)
    return Candidate(
        text, value=record, status="solved", tokens=tokens, confidence=confidence, evidence=evidence
    )


def test_a_sure_candidate_is_returned_as_it_is():
    candidate = candidate_of(SCHEMA, RECORD, [])
    assert all(field.probability > 0.99 for field in candidate.fields.values())
    assert withhold(candidate, 0.9) is candidate


@pytest.mark.parametrize(
    ("unsure", "expected"),
    [
        (["note"], {"id": "x", "city": "x", "tags": ["x", "y"]}),
        (["city"], {"id": "x", "note": "x", "city": None, "tags": ["x", "y"]}),
        (["note", "city"], {"id": "x", "city": None, "tags": ["x", "y"]}),
    ],
    ids=str,
)
def test_optional_fields_are_left_out_and_nullable_ones_are_null(unsure, expected):
    candidate = candidate_of(SCHEMA, RECORD, unsure)
    assert [candidate.fields[f"/{name}"].probability for name in unsure] == pytest.approx([0.5] * len(unsure))
    sure = withhold(candidate, 0.9)
    assert sure.value == expected
    assert json.loads(sure.text) == expected
    assert sure.evidence.problem.validator.is_valid(sure.value)
    assert {pointer for pointer, field in sure.fields.items() if field.withheld} == {
        f"/{name}" for name in unsure
    }
    assert sure.fields[f"/{unsure[0]}"].value == "x"
    assert len(sure.confidence) == len(sure.tokens) == len(sure.text)
    # bytes that remain keep their confidence
    start, old = sure.text.index('"tags"'), candidate.text.index('"tags"')
    assert (sure.confidence[start : start + 6] == candidate.confidence[old : old + 6]).all()


def test_an_unsure_item_of_an_array_is_left_out():
    text = json.dumps(RECORD, separators=(",", ":"))
    sure = withhold(candidate_of(SCHEMA, RECORD, [text.index('["x"') + 2]), 0.9)
    assert sure.value["tags"] == ["y"]


def test_a_required_field_raises_with_the_candidate_and_its_pointer():
    candidate = candidate_of(SCHEMA, RECORD, ["id", "note"])
    with pytest.raises(solver.NotConfident, match="/id") as error:
        withhold(candidate, 0.9)
    assert error.value.pointers == ("/id",)
    assert error.value.candidate is candidate
    assert isinstance(error.value, solver.FillError)
    assert error.value.to_json()["pointers"] == ["/id"]


def test_fields_that_need_each_other_are_left_out_together():
    schema = SCHEMA | {"properties": SCHEMA["properties"] | {"zip": STRING}}
    schema |= {"dependentRequired": {"note": ["zip"], "zip": ["note"]}}
    problem = JsonProblem.of(schema, length=64)
    record = {**RECORD, "zip": "y"}
    assert confident_changes(problem, record, [("note",), ("zip",)]) == {("note",): True, ("zip",): True}
    assert confident_changes(problem, record, [("note",)]) == {}


def test_the_record_passes_the_checks_of_the_user():
    def has_note_or_null(value):
        return "note" in value or value["city"] is None

    candidate = candidate_of(SCHEMA, RECORD, ["note", "city"], (has_note_or_null,))
    sure = withhold(candidate, 0.9)
    assert not run_check(has_note_or_null, sure.value)
    with pytest.raises(solver.NotConfident):
        withhold(candidate_of(SCHEMA, RECORD, ["note"], (has_note_or_null,)), 0.9)


def test_a_template_is_never_changed():
    candidate = candidate_of(SCHEMA, RECORD, ["note"])
    with pytest.raises(solver.NotConfident, match="/note"):
        withhold(candidate, 0.9, can_change=False)


def test_of_several_candidates_those_that_are_sure_remain_each_once():
    unsure, sure = candidate_of(SCHEMA, RECORD, ["id"]), candidate_of(SCHEMA, RECORD, [])
    assert withhold_all([unsure, sure, replace(sure)], 0.9) == [sure]
    with pytest.raises(solver.NotConfident):
        withhold_all([unsure], 0.9)


def test_a_fill_withholds_what_is_not_in_the_text():
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "hobby": {"enum": ["chess", "golf", "tennis", None]}},
        "required": ["name", "hobby"],
        "additionalProperties": False,
    }
    text = "Name: Anna Meier."
    plain = solver.fill(schema, text, length=64)
    least = min(field.probability for field in plain.fields.values())
    sure = solver.fill(schema, text, length=64, min_probability=least)
    assert sure.value == plain.value
    above = plain.fields["/hobby"].probability + 1e-6
    if above < 1 and plain.value["hobby"] is not None and plain.fields["/name"].probability >= above:
        assert solver.fill(schema, text, length=64, min_probability=above).value["hobby"] is None
    for bad in (-0.1, 1.5, "0.9"):
        with pytest.raises(solver.InvalidArgument, match="min_probability"):
            solver.fill(schema, text, min_probability=bad)


@pytest.fixture
def files(tmp_path):
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "hobby": {"type": "string", "format": "uuid"}},
        "required": ["name"],
        "additionalProperties": False,
    }
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    (tmp_path / "text.txt").write_text("Hello,\nname: Ann")
    return ["--schema", str(tmp_path / "schema.json"), "--text", str(tmp_path / "text.txt"), "--length", "64"]


def test_the_command_prints_a_table_of_the_fields(files, capsys):
    assert main(["json", "fill", *files, "--fields", "--quiet"]) == 0
    instance, titles, *rows = capsys.readouterr().out.splitlines()
    assert titles.split() == ["field", "value", "probability", "runner-up", "source"]
    assert [row.split()[0] for row in rows] == ["/name", "/hobby"]
    assert json.dumps(json.loads(instance)["name"]) in rows[0]
    assert main(["json", "fill", *files, "--fields", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert list(record["fields"]) == ["/name", "/hobby"]
    assert 0 < record["probability"] <= record["fields"]["/name"]["probability"] <= 1


def test_the_command_fails_where_a_required_field_is_not_probable_enough(files, capsys):
    arguments = ["json", "fill", *files, "--denoiser", "random", "--json", "--min-probability", "1"]
    assert main(arguments) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["type"], error["pointers"]) == ("NotConfident", ["/name"])
    for bad in ("2", "x"):
        assert main(["json", "fill", *files, "--min-probability", bad]) == 2
