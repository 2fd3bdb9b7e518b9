"""Answers about prose are graded field by field, and the heuristic without a model invents nothing."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from solver.cli.main import main
from solver.evaluation import json_tables, plots
from solver.evaluation.harness import Answer, Arm
from solver.evaluation.heuristic import heuristic_value
from solver.evaluation.json_arms import JsonModels
from solver.evaluation.prose import (
    ProseCase,
    grade_prose,
    load_prose,
    measure_prose,
    value_at_pointer,
)
from solver.evaluation.prose_arms import prose_arms
from solver.evaluation.rows import Row, load_rows

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "member": {"type": ["boolean", "null"]},
        "colour": {"enum": ["red", "green"]},
        "address": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
    "required": ["name", "age"],
}
EXPECTED = {"name": "Ann Lee", "age": 1, "member": None, "colour": "red", "address": {"city": "Oslo"}}
CASE = ProseCase("Ann Lee, 1 year old, of Oslo", SCHEMA, EXPECTED, {"/name": ["Ann"]}, ["/member"], 2)


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in EXPECTED.items() if key != name}


def test_the_record_itself_is_right_and_whole() -> None:
    grade = grade_prose(CASE, EXPECTED)
    assert grade.is_whole
    assert set(grade.right) == {"/name", "/age", "/member", "/colour", "/address/city"}
    assert (grade.strings, grade.invented) == (2, 0)  # an option of the schema is not counted
    assert grade.flagged == {"/member"}


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (without("member"), set()),  # the null of an absent field may be left out
        (without("age"), {"/age"}),
        ({**EXPECTED, "name": "Ann"}, set()),  # an alternative
        ({**EXPECTED, "name": "ann"}, {"/name"}),
        ({**EXPECTED, "age": 1.0}, set()),
        ({**EXPECTED, "age": True}, {"/age"}),
        ({**EXPECTED, "age": "1"}, {"/age"}),
        ({**EXPECTED, "address": {}}, {"/address/city"}),
        ({**EXPECTED, "address": "Oslo"}, {"/address/city"}),
        ({**EXPECTED, "member": False}, {"/member"}),
        (None, {"/name", "/age", "/colour", "/address/city"}),
    ],
)
def test_a_field_is_right_if_its_value_or_an_alternative_is_given(answer: Any, wrong: set[str]) -> None:
    grade = grade_prose(CASE, answer)
    assert {pointer for pointer, is_right in grade.right.items() if not is_right} == wrong
    assert grade.is_whole == (not wrong)


def test_a_further_field_is_no_error_of_the_fields_but_of_the_record() -> None:
    grade = grade_prose(CASE, {**EXPECTED, "shoes": 2})
    assert all(grade.right.values())
    assert not grade.is_whole
    assert grade.extra == {"/shoes"}


def test_an_alternative_may_replace_a_whole_object_or_array() -> None:
    case = ProseCase("a b", {}, {"x": ["a", "b"], "y": 1}, {"/x": [["b", "a"], ["c"]]})
    for items, is_right in ((["a", "b"], True), (["b", "a"], True), (["c"], True), (["b"], False)):
        grade = grade_prose(case, {"x": items, "y": 1})
        assert grade.is_whole == is_right
    assert not grade_prose(case, {"x": ["b", "b"], "y": 1}).right["/x/0"]


@pytest.mark.parametrize(
    ("name", "invented"),
    [
        ("Ann Lee", 0),
        ("Lee, 1", 0),
        ("ann", 1),
        ("", 0),
        ("2024-05-03", 0),
        ("12:30", 0),
        ("x 2024-05-03", 1),
    ],
)
def test_a_string_is_invented_if_it_is_neither_right_nor_in_the_text(name: str, invented: int) -> None:
    assert grade_prose(CASE, {"name": name}).invented == invented


def test_a_right_string_that_is_not_in_the_text_is_not_invented() -> None:
    case = ProseCase("A. Lee", {}, {"name": "Ann Lee"})
    assert [grade_prose(case, {"name": name}).invented for name in ("Ann Lee", "Ann")] == [0, 1]


def test_a_field_is_flagged_if_it_is_null_left_out_or_marked() -> None:
    answer = {"name": None, "age": 1, "colour": "red", "address": {}}
    assert grade_prose(CASE, answer).flagged == {"/name", "/member", "/address/city"}
    assert grade_prose(CASE, answer, ["/colour"]).flagged == {"/name", "/member", "/address/city", "/colour"}
    assert grade_prose(CASE, None, ["/colour"]).flagged == frozenset()
    listed = ProseCase("", {}, {"x": [{"y": 1}, {"y": 2}]})
    assert grade_prose(listed, {"x": [{}]}).flagged == {"/x/0/y"}  # the second item is missing, not its field


def test_pointers_with_escapes_are_followed() -> None:
    assert value_at_pointer("/a~1b/~0c/1", {"a/b": {"~c": [1, 2]}}) == 2
    assert value_at_pointer("/a/2", {"a": [1]}, "nothing") == "nothing"


def test_fields_beside_their_keys_are_counted_by_themselves() -> None:
    text = "dueDate = 2 May\nTotal cost: 30\nYears: 12, name Bo"
    keyed = ProseCase(text, {}, {"due_date": "2 May", "totalCost": 30, "years": 1, "name": "Bo", "1": 12})
    (row,) = measure_prose(Row("prose", "f", "ours"), arm("ours", {"due_date": "2 May"}), [keyed])
    assert (row.get("fields_beside_key"), row.get("right_beside_key")) == (2, 0.5)


def arm(name: str, *values: Any) -> Arm[ProseCase]:
    answers = [Answer(None) if value is None else Answer((json.dumps(value),), "solved") for value in values]
    return Arm(name, lambda cases: answers[: len(cases)])


def test_rows_count_fields_by_type_and_difficulty_and_tables_show_the_lead() -> None:
    easy = ProseCase("Bo, 4.5", SCHEMA, {"name": "Bo", "size": 4.5}, difficulty=1)
    cases = [CASE, easy, easy]
    (good,) = measure_prose(
        Row("prose", "f", "ours"), arm("ours", EXPECTED, easy.expected, {"name": "Xy"}), cases
    )
    (weak,) = measure_prose(
        Row("prose", "f", "heuristic"), arm("heuristic", {"age": 1}, None, {"name": "Bo"}), cases
    )
    assert (good.get("fields_all"), good.get("right_all")) == (9, round(7 / 9, 4))
    assert (good.get("fields_string"), good.get("right_string")) == (5, 0.8)
    assert (good.get("fields_number"), good.get("right_number")) == (2, 0.5)
    assert (good.get("right_level_1"), good.get("right_level_2"), good.get("right_level_3")) == (
        0.5,
        1.0,
        None,
    )
    assert (good.get("whole"), good.get("unanswered")) == (round(2 / 3, 4), 0)
    assert (good.get("strings"), good.get("invented")) == (4, 1)
    assert (good.get("absent"), good.get("absent_flagged"), good.get("present_flagged")) == (1, 1.0, 0.125)
    assert weak.get("unanswered") == 1
    assert (good.get("valid"), weak.get("valid")) == (round(1 / 3, 4), 0.0)
    assert weak.get("right_all") == round(3 / 9, 4)  # an absent field may be left out
    table = json_tables.TABLES["json-prose"]([good, weak])
    assert "| f | ours | +44.4 points [" in table
    assert "| f | heuristic |  | 33.3 % [" in table
    assert "1 of 4 (25.0 %)" in table
    assert "ours" in json_tables.TABLES["json-prose-types"]([good])
    assert "50.0 %" in json_tables.TABLES["json-prose-difficulty"]([good])
    assert "json_prose" in plots.PLOTS
    assert plots.PLOTS["json_prose"]([good, weak]) is not None


TEXT = (
    "Dear Ms Braun,\ninvoice INV-2044 of 3 March 2025 over 1,250.50 EUR has not been paid. It was due May 5, 2025, "
    "14:30. Write to ann@mail.example or see https://pay.example/x. Tags: urgent, second notice and finance.\n"
    "- Chair 49.5\n- Table 120\n"
)
STRING = {"type": "string"}


@pytest.mark.parametrize(
    ("key", "schema", "value"),
    [
        ("invoiceNumber", STRING, "INV-2044"),
        ("total_eur", {"type": "number", "minimum": 1000}, 1250.5),
        ("due_date", {**STRING, "format": "date"}, "2025-05-05"),
        ("invoice_date", {**STRING, "format": "date"}, "2025-03-03"),
        ("dueTime", STRING, "14:30"),
        ("email", {**STRING, "format": "email"}, "ann@mail.example"),
        ("link", STRING, "https://pay.example/x"),
        ("paid", {"type": "boolean"}, False),
        ("urgent", {"type": "boolean"}, True),
        ("priority", {"enum": ["low", "urgent"]}, "urgent"),
        ("fax", {"type": ["string", "null"]}, None),
        ("fax", {"anyOf": [{"$ref": "#/$defs/s"}, {"type": "null"}]}, None),
        ("tags", {"type": "array", "items": STRING}, ["urgent", "second notice", "finance"]),
        (
            "lines",
            {
                "type": "array",
                "items": {"properties": {"name": {"enum": ["Chair", "Table"]}, "price": {"type": "number"}}},
            },
            [{"name": "Chair", "price": 49.5}, {"name": "Table", "price": 120}],
        ),
    ],
)
def test_the_heuristic_reads_values_beside_the_words_of_keys(key: str, schema: Any, value: Any) -> None:
    whole = {"properties": {key: schema}, "required": [key], "$defs": {"s": STRING}}
    assert heuristic_value(whole, TEXT) == {key: value}


def test_the_heuristic_takes_the_alternative_whose_constant_is_in_the_text() -> None:
    options = [{"properties": {"kind": {"const": kind}, "name": STRING}} for kind in ("order", "invoice")]
    assert heuristic_value({"oneOf": options}, TEXT)["kind"] == "invoice"


def test_the_heuristic_leaves_out_what_it_does_not_find() -> None:
    schema = {"properties": {"name": STRING, "age": {"type": "integer"}}, "required": ["age"]}
    assert heuristic_value(schema, "nothing to see") == {"age": 0}


def test_every_arm_without_a_model_answers_and_only_rules_and_heuristic_invent_nothing() -> None:
    invented = {}
    for prose_arm in prose_arms(JsonModels()):
        (row,) = measure_prose(Row("prose", "f", prose_arm.name), prose_arm, [CASE])
        invented[prose_arm.name] = row.get("invented")
        assert row.get("unanswered") == 0
        assert set(row.get("single_ms")) == {"p50", "p95", "p99"}
    assert list(invented) == ["random", "prior", "rules", "heuristic"]
    assert invented["rules"] == invented["heuristic"] == 0
    assert invented["random"] > 0


def test_the_command_measures_a_file_of_texts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, out = tmp_path / "texts.jsonl", tmp_path / "out"
    values = {"id": "a", "text": CASE.text, "schema": SCHEMA, "expected": EXPECTED, "difficulty": 2}
    file.write_text(2 * (json.dumps(values) + "\n"))
    arguments = ["evaluate", "json", "--out", str(out), "--sections", "prose"]
    options = ["--prose", str(file), "--arms", "random;heuristic", "--limit", "1"]
    assert main([*arguments, *options]) == 0
    rows = load_rows(out / "json.json")
    files = ["texts"] if importlib.util.find_spec("faker") is None else ["generated prose", "texts"]
    expected = [(file, arm, 1) for file in files for arm in ("random", "heuristic")]
    assert [(row.file, row.arm, row.get("texts")) for row in rows] == expected
    assert "json_prose.png" in capsys.readouterr().out
    assert "## json-prose\n" in (out / "report.md").read_text()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(arguments) == 2
    assert "--prose FILE" in capsys.readouterr().err
    file.write_text('{"schema": {}}\n')
    assert main([*arguments, "--prose", str(file)]) == 2
    assert "line 1: not a text with its schema and record" in capsys.readouterr().err
    assert main(["evaluate", "json", "--out", str(out), "--sections", "content", "--prose", str(file)]) == 2
    with pytest.raises(ValueError, match="line 1"):
        load_prose(file)
