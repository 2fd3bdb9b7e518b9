"""Rows, results files and jobs: what is replaced, skipped, merged and refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from solver.cli.main import main
from solver.evaluation.harness import Answer, Arm, Job, run_arm, run_jobs
from solver.evaluation.rows import ResultsFile, Row, load_rows, select
from solver.evaluation.statistics import interval


def counted(calls: list[str], row: Row) -> Job:
    def measure() -> Iterator[Row]:
        calls.append(row.arm)
        yield Row(row.section, row.file, row.arm, {"calls": len(calls)}, seed=row.seed)

    return Job(row, measure)


def test_a_row_survives_a_results_file(tmp_path: Path) -> None:
    row = Row("s", "f", "a", {"share": 0.5, "each": {"solved": "01"}}, seed=2, weights="abc", pinned=0.25)
    ResultsFile(tmp_path / "r.json", {"cpu": "x"}).add(row)
    assert load_rows(tmp_path / "r.json") == [row]
    assert json.loads((tmp_path / "r.json").read_text())["environment"] == {"cpu": "x"}


def test_a_new_row_replaces_the_one_with_its_key_whatever_its_weights(tmp_path: Path) -> None:
    results = ResultsFile(tmp_path / "r.json")
    for weights, value in (("old", 1), ("new", 2)):
        results.add(Row("s", "f", "a", {"value": value}, weights=weights))
    results.add(Row("s", "f", "a", {"value": 3}, seed=1, weights="new"))
    assert [row.get("value") for row in load_rows(tmp_path / "r.json")] == [2, 3]


def test_resuming_measures_again_only_what_other_weights_have_measured(tmp_path: Path) -> None:
    calls: list[str] = []
    for weights in ("one", "one", "two"):
        jobs = [counted(calls, Row("s", "f", arm, weights=weights)) for arm in ("a", "b")]
        run_jobs(jobs, ResultsFile(tmp_path / "r.json"), resume=True)
    assert calls == ["a", "b", "a", "b"]
    assert {row.weights for row in load_rows(tmp_path / "r.json")} == {"two"}


def test_an_interrupted_run_keeps_its_complete_rows(tmp_path: Path) -> None:
    def interrupt() -> Iterator[Row]:
        yield Row("s", "f", "b")
        raise KeyboardInterrupt

    jobs = [counted([], Row("s", "f", "a")), Job(Row("s", "f", "b"), interrupt)]
    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, ResultsFile(tmp_path / "r.json"))
    assert [row.arm for row in load_rows(tmp_path / "r.json")] == ["a", "b"]
    assert list(tmp_path.iterdir()) == [tmp_path / "r.json"]


def test_seeds_are_merged_with_one_interval_over_problems() -> None:
    lines = ["1100", "1000"]
    rows = [
        Row("s", "f", "a", {"share": line.count("1") / 4, "wrong": 1, "each": {"solved": line}}, seed=seed)
        for seed, line in enumerate(lines)
    ]
    (merged,) = select(rows, "s")
    assert (merged.get("share"), merged.get("wrong"), merged.get("seeds")) == (0.375, 2, 2)
    hits = np.array([[hit == "1" for hit in line] for line in lines]).T
    assert merged.get("share_interval") == interval(hits)


def test_an_arm_is_warmed_up_before_the_time_is_taken() -> None:
    batches: list[int] = []

    def answer(problems: object) -> list[Answer]:
        batches.append(len(problems))  # type: ignore[arg-type]  # a list
        return [Answer(("x",))] * batches[-1]

    attempt = run_arm(Arm("a", answer), ["p", "q", "r"], warm_up=True)
    assert batches == [1, 3]
    assert len(attempt.answers) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate"], "TASK"),
        (["evaluate", "poetry"], "poetry"),
        (["evaluate", "json", "--out", "o", "--files", "x"], "--files"),
        (["evaluate", "code", "--out", "o", "--loops", "3"], "--loops"),
        (["evaluate", "json", "--out", "o", "--sections", "content", "--seconds", "3"], "guarantee"),
        (["evaluate", "code", "--out", "o", "--data", "d"], "--data concerns only the sections misuse"),
    ],
)
def test_an_option_that_nothing_uses_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("task", ["sudoku", "json", "code"])
def test_the_help_of_a_task_lists_its_own_sections(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["evaluate", task, "--help"])
    text = capsys.readouterr().out
    sections = {"sudoku": "throughput", "json": "guarantee", "code": "benchmarks"}
    assert [name for name, section in sections.items() if f"  {section} " in text] == [task]
