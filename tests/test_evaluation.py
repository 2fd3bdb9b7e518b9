"""The evaluator: what it counts against counts by hand, its command from a run to its plots, and that nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from solver.cli.main import main
from solver.evaluation import sudoku
from solver.evaluation.grade import is_solved_sudoku
from solver.evaluation.harness import Answer, Attempt
from solver.evaluation.rows import Row, load_rows, select
from solver.evaluation.statistics import calibration, interval, solved_within
from solver.evaluation.sudoku_arms import DECODERS, SPECS, Settings
from solver.evaluation.tables import read_results, report_text
from solver.loop.trace import Counters, Outcome
from solver.tasks.sudoku import exact, layout


def test_intervals_hold_the_mean_and_shrink_with_more_puzzles() -> None:
    rng = np.random.default_rng(1)
    widths = []
    for count in (50, 800):
        values = rng.random(count) < 0.7
        low, high = interval(values)
        assert low <= values.mean() <= high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2.5
    # three seeds of the same puzzles are not three times the puzzles
    assert interval(np.repeat(values[:, None], 3, 1)) == interval(values)


def test_an_interval_over_files_knows_that_what_is_in_one_is_alike() -> None:
    rng = np.random.default_rng(3)
    files = np.repeat(np.arange(40), 10)
    alike = np.repeat(rng.random(40) < 0.5, 10)
    low, high = interval(alike, files)
    assert low <= alike.mean() <= high
    assert high - low > 2 * (interval(alike)[1] - interval(alike)[0])
    each = rng.random(400) < 0.5
    wide, narrow = (np.subtract(*interval(each, groups)[::-1]) for groups in (np.arange(400), None))
    assert wide == pytest.approx(narrow, rel=0.15)  # a file each is as if there were none


def test_solved_within_a_budget_counts_only_what_was_solved() -> None:
    share = solved_within([1, 2, 3, 4], [True, True, False, True], [0.5, 2, 3, 10])
    assert share.tolist() == [0, 0.5, 0.5, 0.75]


def test_calibration_is_zero_for_honest_confidence() -> None:
    rng = np.random.default_rng(2)
    sure = rng.random(40_000)
    bins, error = calibration(sure, rng.random(40_000) < sure)
    assert len(bins) == 10
    assert error < 0.02
    assert calibration(np.ones(10), np.zeros(10)) == ([(1.0, 0.0, 10)], 1.0)


def answered(status, tokens: np.ndarray, forwards: int, path=()) -> Answer:
    counters = Counters(forwards=forwards, flops=forwards * 10**6)
    outcome = Outcome(status, tokens, (), np.ones(81, np.float32), counters)
    return Answer((sudoku.grid_text(tokens + 1),), status, counters, outcome=outcome, path=path)


def test_a_row_believes_the_grader_and_not_the_arm() -> None:
    grids, answers, _ = exact.generate_puzzles(layout.standard(9), 3, 4)
    good, bad = answers.astype(np.int64) - 1, answers.astype(np.int64) - 1
    bad[1, 0] = (bad[1, 0] + 1) % 9
    answers = [
        answered("solved", good[0], 1),
        answered("solved", bad[1], 2),
        answered("exhausted", good[2], 3),
    ]
    row = sudoku.sudoku_figures(grids, Attempt(answers, 1.5))
    assert (row["solved"], row["wrong"], row["exhausted"], row["puzzles"]) == (1, 1, 1, 3)
    assert row["each"] == {"solved": "100", "forwards": [1, 2, 3], "mflop": [1, 2, 3]}
    assert row["forwards_mean"] == 2
    assert row["per_second"] == 2


def test_the_first_mistake_is_where_the_path_leaves_the_only_solution(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grids, answers, _ = exact.generate_puzzles(layout.standard(9), 2, 6)
    paths = []
    for grid, answer in zip(grids, answers, strict=True):
        paths.append([(int(c), int(answer[c]) - 1) for c in np.flatnonzero(grid == 0)])
    cell, token = paths[1][10]
    paths[1][10] = (cell, (token + 1) % 9)
    draft = answers[0].astype(np.int64) - 1
    attempt = Attempt([answered("exhausted", draft, 1, tuple(path)) for path in paths], 1.0)
    monkeypatch.setattr(sudoku, "attempt_sudoku", lambda *_: attempt)
    first = Row("mistakes", "x", "ar")
    (row,) = sudoku.measure_mistakes(first, SPECS["ar"], grids, Settings())
    assert row.figures["where"] == [1.0, round(10 / len(paths[1]), 4)]
    assert row.figures["never"] == 1


def test_the_grader_knows_a_grid_from_a_wrong_one() -> None:
    grids, answers, _ = exact.generate_puzzles(layout.standard(9), 1, 9)
    puzzle, answer = sudoku.grid_text(grids[0]), sudoku.grid_text(answers[0])
    assert is_solved_sudoku(puzzle, answer)
    swapped = answer.translate(str.maketrans("12", "21"))
    assert not is_solved_sudoku(puzzle, swapped)
    assert is_solved_sudoku(puzzle, swapped, clues=False)
    assert not is_solved_sudoku(puzzle, answer[:-1] + ("1" if answer[-1] != "1" else "2"), clues=False)


def test_a_small_contest_is_reported_and_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a network; what trains every model and measures all sections is slow."""
    options = ["--sections", "contest,repair", "--arms", "random", "--files", "generated_minimal"]
    command = ["evaluate", "sudoku", "--out", str(tmp_path), "--limit", "2", "--forwards", "20"]
    assert main([*command, *options, "--count", "2", "--seeds", "1"]) == 0
    before = (tmp_path / "results.json").read_text()
    rows = json.loads(before)["rows"]
    assert [(row["section"], row["arm"], row["wrong"]) for row in rows] == [
        ("contest", "random", 0),
        ("repair", "random", 0),
    ]
    assert (tmp_path / "report.md").read_text() == report_text(read_results(tmp_path))
    capsys.readouterr()
    assert main([*command, *options, "--count", "2", "--seeds", "1", "--resume"]) == 0
    assert capsys.readouterr().err == ""  # nothing was measured again
    assert (tmp_path / "results.json").read_text() == before


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained smoke checkpoint of every model."""
    folder = tmp_path_factory.mktemp("runs")
    for model in ("diffusion", *DECODERS):
        assert (
            main(["train", "sudoku", "--model", model, "--preset", "smoke", "--out", str(folder / model)])
            == 0
        )
    return folder


def command(runs: Path, out: Path, *more: str) -> list[str]:
    models = {"compact": "diffusion", **{model: model for model in DECODERS}}
    options = [
        o for model, name in models.items() for o in ("--checkpoint", f"{model}={runs / name / 'checkpoint'}")
    ]
    return ["evaluate", "sudoku", "--out", str(out), *options, "--limit", "6", "--forwards", "40", *more]


@pytest.mark.slow
def test_the_command_measures_every_arm_and_resumes(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sections = "contest,proofs,strategies,repair,remasking,calibration,mistakes,throughput,training"
    options = [
        "--sections",
        sections,
        "--seeds",
        "2",
        "--count",
        "3",
        "--batches",
        "1,4",
        "--runs",
        str(runs),
    ]
    assert main(command(runs, tmp_path, *options)) == 0
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    contest = select(load_rows(tmp_path / "results.json"), "contest")
    assert {row.arm for row in contest} == set(SPECS)
    assert all(row.figures["seeds"] == 2 and row.figures["wrong"] == 0 for row in contest)
    assert {row["section"] for row in rows} == set(sections.split(","))
    text = (tmp_path / "report.md").read_text()
    assert text == report_text(read_results(tmp_path))
    for picture in (
        "accuracy",
        "seconds",
        "calibration",
        "mistakes",
        "remasking",
        "throughput",
        "training",
    ):
        assert (tmp_path / f"{picture}.png").stat().st_size > 5_000
    before = (tmp_path / "results.json").read_text()
    capsys.readouterr()
    assert main(command(runs, tmp_path, *options, "--resume")) == 0
    assert capsys.readouterr().err == ""  # nothing was measured again
    assert (tmp_path / "results.json").read_text() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sections", "dance"], "unknown section"),
        (["--arms", "gpt"], "unknown arm"),
        (["--files", "nowhere"], "unknown file"),
        (["--checkpoint", "ar=/no/such"], "no checkpoint of ar"),
        (["--checkpoint", "nonsense"], "not MODEL=DIR"),
        (["--sections", "training"], "--runs"),
        (["--batches", "1,x", "--sections", "throughput"], "--batches"),
        (["--batches", "1,2"], "--batches concerns only the sections throughput"),
        (["--rounds", "3", "--sections", "contest"], "--rounds concerns only the sections remasking"),
        (["--quick", "--data", "."], "without --data"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arms = [] if "--arms" in options else ["--arms", "ar"]
    assert main(["evaluate", "sudoku", "--out", str(tmp_path / "out"), "--limit", "2", *arms, *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_file_that_is_no_results_file_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results.json").write_text("my notes")
    assert main(["evaluate", "sudoku", "--out", str(tmp_path), "--limit", "1", "--arms", "random"]) == 2
    assert "not a results file" in capsys.readouterr().err
    assert (tmp_path / "results.json").read_text() == "my notes"
