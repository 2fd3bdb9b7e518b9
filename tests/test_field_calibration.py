"""The calibration of fields is measured against what happened, and tells its noise."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from solver.cli.main import main
from solver.evaluation import json_tables, plots
from solver.evaluation.field_calibration import (
    RatedField,
    byte_products,
    calibration_figures,
    generated_prose,
    measure_field_calibration,
    rate_fields,
    record_cases,
)
from solver.evaluation.harness import Answer, Arm
from solver.evaluation.json_arms import JsonModels
from solver.evaluation.prose import ProseCase, grade_prose, scalar_leaves
from solver.evaluation.prose_arms import default_arms
from solver.evaluation.rows import Row, load_rows
from solver.models.json_network import JsonConfig, JsonNetwork
from solver.models.mask_denoisers import JsonDenoiser
from solver.tasks.languages.projection import BLANK


def rated(probabilities: np.ndarray, right: np.ndarray, per_text: int = 5) -> list[RatedField]:
    pairs = zip(probabilities.tolist(), right.tolist(), strict=True)
    return [RatedField(p, bool(is_right), n // per_text) for n, (p, is_right) in enumerate(pairs)]


def test_a_perfect_predictor_has_no_error() -> None:
    right = np.random.default_rng(0).random(200) < 0.4
    figures = calibration_figures(rated(right.astype(float), right))
    assert (figures["error"], figures["error_interval"], figures["error_by_chance"]) == (0.0, [0.0, 0.0], 0.0)
    assert figures["sure"] == right.sum()
    assert figures["sure_right"] == 1
    assert figures["kept"] == pytest.approx(right.mean(), abs=1e-3)


@pytest.mark.parametrize(("p", "share", "gap"), [(0.9, 0.0, 0.9), (0.0, 1.0, 1.0), (0.7, 0.5, 0.2)])
def test_a_constant_predictor_has_its_gap_as_error(p: float, share: float, gap: float) -> None:
    right = np.arange(100) < 100 * share
    figures = calibration_figures(rated(np.full(100, p), right))
    assert figures["error"] == pytest.approx(gap)
    assert figures["bins"] == [[p, share, 100]]


def test_an_honest_predictor_shows_the_error_of_chance_which_shrinks_with_more_fields() -> None:
    rng, errors = np.random.default_rng(1), []
    for count in (100, 5000):
        p = rng.random(count)
        figures = calibration_figures(rated(p, rng.random(count) < p))
        low, high = figures["error_interval"]
        assert 0 < low < high
        assert figures["error"] < 2 * figures["error_by_chance"]
        errors.append(figures["error_by_chance"])
    assert errors[1] < errors[0] / 4


def test_fields_of_one_text_stay_together_in_the_interval() -> None:
    """Texts that are right or wrong as a whole tell less than as many fields of their own."""
    right = np.repeat(np.random.default_rng(2).random(40) < 0.5, 10)
    p = np.full(400, 0.5)
    together, apart = (calibration_figures(rated(p, right, size))["error_interval"] for size in (10, 1))
    assert together[1] > 1.5 * apart[1]


def test_kept_is_the_largest_share_of_fields_with_the_accuracy_demanded() -> None:
    p = np.linspace(1, 0, 100)
    figures = calibration_figures(rated(p, np.arange(100) < 38))
    assert figures["kept"] == 0.4  # 38 of 40 are right
    assert calibration_figures(rated(p, np.zeros(100, bool)))["kept"] == 0
    assert calibration_figures([]) == {"fields": 0}


def test_the_product_of_the_bytes_leaves_out_blanks_and_what_is_around_a_value() -> None:
    text = '{"a":"é","b":[12]}'
    tokens = np.array([*text.encode(), BLANK, BLANK])
    confidence = np.full(len(tokens), 0.5)
    assert byte_products(text, tokens, confidence) == {"/a": 0.5**4, "/b/0": 0.25}  # é has two bytes
    assert byte_products(text, np.insert(tokens, 6, BLANK), np.insert(confidence, 6, 0.0))["/a"] == 0.5**4


def test_a_field_that_the_record_lacks_is_wrong_and_alternatives_are_right() -> None:
    case = ProseCase("", {}, {"a": 1, "b": {"c": "x"}, "d": None}, {"/b": [{"c": "y"}, {"e": 3}]}, ["/d"])
    answer = {"a": 2, "b": {"e": 3}, "d": None, "f": 5}  # "/b" is an object and not rated
    fields = rate_fields(case, answer, {"/a": 0.1, "/b": 1.0, "/b/e": 0.2, "/d": 0.3, "/f": 0.4}, 7)
    assert fields == [
        RatedField(0.1, False, 7),
        RatedField(0.2, True, 7),
        RatedField(0.3, True, 7),
        RatedField(0.4, False, 7),
    ]
    assert rate_fields(case, answer, {"/a": 0.1}, 0) == [RatedField(0.1, False, 0)]
    assert rate_fields(case, None, {"/a": 0.1}, 0) == []


def test_a_field_that_the_answer_leaves_out_is_right_if_the_record_has_no_value_for_it() -> None:
    case = ProseCase("", {}, {"a": 1, "b": {"c": "x"}, "d": None}, absent=["/d"])
    pointers = ("/a", "/b", "/b/c", "/d", "/e", "/b/f")
    fields = rate_fields(case, {}, dict.fromkeys(pointers, 0.5), 0)
    assert [field.is_right for field in fields] == [False, False, False, True, True, True]


def test_generated_prose_is_the_same_in_every_run_and_its_records_are_right() -> None:
    pytest.importorskip("faker", reason="prose: faker is not installed (pip install faker)")
    first, again = generated_prose(3), generated_prose(3)
    assert [case.text for case in first] == [case.text for case in again]
    assert all(grade_prose(case, case.expected).is_whole for case in first)
    assert all(grade_prose(case, case.expected).invented == 0 for case in first)


def test_each_method_that_gives_probabilities_has_its_row() -> None:
    methods = {"": {"/a": 1.0}, "bad": {"/a": 0.0}}
    answer = Answer(('{"a":1}',), "solved", probabilities=methods)
    arm = Arm[ProseCase]("ours", lambda cases: [answer for _ in cases])
    case = ProseCase("1", {}, {"a": 1})
    rows = list(measure_field_calibration(Row("json-calibration", "f", "ours"), arm, [case, case]))
    assert [(row.arm, row.get("fields"), row.get("error")) for row in rows] == [
        ("ours", 2, 0.0),
        ("ours, bad", 2, 1.0),
    ]
    assert "| f | ours, bad | 2 | 100.0 % [100.0, 100.0] | 0.0 % | 1.000 [" in (
        json_tables.TABLES["json-calibration"](rows)
    )
    assert plots.PLOTS["json_calibration"](rows) is not None
    assert plots.PLOTS["calibration"](rows) is None  # the tokens of Sudoku


def test_records_for_calibration_have_all_their_values_in_the_text() -> None:
    cases = record_cases(20)
    assert len(cases) == 20
    assert all(
        str(value) in case.text for case in cases for value in case.expected.values() if type(value) is int
    )


def test_the_command_measures_calibration_on_records_and_texts(tmp_path: Path) -> None:
    file, out = tmp_path / "texts.jsonl", tmp_path / "out"
    schema = {"properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
    file.write_text(json.dumps({"text": "a 1", "schema": schema, "expected": {"a": 1}}))
    options = ["--out", str(out), "--sections", "calibration", "--limit", "2", "--prose", str(file)]
    assert main(["evaluate", "json", *options]) == 0
    rows = load_rows(out / "json.json")
    assert {row.section for row in rows} == {"json-calibration"}
    assert {row.file for row in rows} - {"generated prose"} == {"records", "texts"}
    assert all(row.get("fields") >= 1 for row in rows)
    assert (out / "json_calibration.png").exists()


def test_the_arm_of_fill_gives_the_probabilities_of_its_fields() -> None:
    torch.manual_seed(0)
    config = JsonConfig(width=16, hidden=16, heads=2, readers=1, layers=1, offsets=8, words=64)
    network = JsonNetwork(config).eval()
    (arm,) = default_arms(JsonModels(network, weights="tiny"), JsonDenoiser(network))
    (answer,) = arm.answer(record_cases(1))
    assert len(answer.probabilities) == 2
    for probabilities in answer.probabilities.values():
        assert set(probabilities) >= {pointer for pointer, _ in scalar_leaves(json.loads(answer.text))}
        assert all(0 <= p <= 1 for p in probabilities.values())
    assert not default_arms(JsonModels())
