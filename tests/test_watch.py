"""What ``--watch`` draws, what ``--trace`` records, and that ``replay`` draws it again."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from solver.cli import watch
from solver.cli.main import main

EASY = "530070000600195000098000060800060003400803001700020006060000280000419005000080079"
PERSON = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
SOURCE = "def mean(values):\n    total = 0\n    return total\n"

Capture = pytest.CaptureFixture[str]


@pytest.fixture(params=["sudoku", "json", "code"])
def command(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """Arguments that solve one small problem of a task."""
    (tmp_path / "schema.json").write_text(json.dumps(PERSON))
    (tmp_path / "mean.py").write_text(SOURCE)
    commands = {
        "sudoku": ["sudoku", EASY],
        "json": ["json", "fill", "--schema", str(tmp_path / "schema.json")],
        "code": ["edit", "fill", str(tmp_path / "mean.py"), "--hole", "3:12-3:17"],
    }
    task: str = request.param
    return commands[task]


def test_replay_draws_what_watch_drew(command: list[str], tmp_path: Path, capsys: Capture) -> None:
    trace = tmp_path / "trace.jsonl"
    assert main([*command, "--watch", "--trace", str(trace), "--quiet"]) == 0
    drawn = capsys.readouterr().out.splitlines()
    assert main(["replay", str(trace)]) == 0
    *steps, outcome = capsys.readouterr().out.splitlines()
    assert steps == drawn[: len(steps)]
    assert outcome.startswith("problem 1: solved, ")
    assert main(["replay", str(trace), "--problem", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[:-1] == steps
    assert main(["replay", str(trace), "--problem", "9"]) == 2


def test_a_trace_opens_and_closes_each_problem(command: list[str], tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    assert main([*command, "--trace", str(trace)]) == 0
    records = [json.loads(line) for line in trace.read_text().splitlines()]
    types = [record["type"] for record in records]
    assert types == ["problem", *["step"] * (len(types) - 2), "outcome"]
    assert main([*command, "--trace", str(trace)]) == 2  # it is not overwritten
    assert len(trace.read_text().splitlines()) == len(records)


def test_json_and_pictures_go_to_different_streams(command: list[str], capsys: Capture) -> None:
    assert main([*command, "--watch", "--json"]) == 0
    out, err = capsys.readouterr()
    assert len([json.loads(line) for line in out.splitlines()]) == 1
    assert err


def test_quiet_prints_results_only(command: list[str], capsys: Capture) -> None:
    assert main([*command, "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert out
    assert err == ""


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "not json",
        "[1]",
        "[" * 100_000,
        '{"type":"step","number":0}',
        '{"type":"step","number":"x"}',
    ],
)
def test_bad_traces_are_refused_in_one_line(content: str, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "t").write_text(content)
    assert main(["replay", str(tmp_path / "t")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("digits", [9, 4, 10**9, "x", None])
def test_steps_with_missing_or_wrong_members_are_refused(
    digits: object, tmp_path: Path, capsys: Capture
) -> None:
    opening = {"type": "problem", "number": 0, "task": "sudoku", "digits": digits}
    step = {"type": "step", "number": 0, "step": 0, "draft": [1, 2], "pinned": [], "remasked": []}
    (tmp_path / "t").write_text(f"{json.dumps(opening)}\n{json.dumps(step)}\n")
    assert main(["replay", str(tmp_path / "t")]) == 2
    assert capsys.readouterr().err.endswith("t:2: is not a line of a trace\n")


def record_step(digits: int = 4) -> watch.Record:
    cells = digits * digits
    return {
        "step": 0,
        "node": 0,
        "parent": -1,
        "decision": None,
        "draft": [cell % digits for cell in range(cells)],
        "confidence": [0.99] * cells,
        "pinned": [0],
        "accepted": [1],
        "remasked": [2],
        "violations": [{"message": "column 1 has 1 twice"}],
        "refuted": None,
        "solved": False,
    }


class Terminal(io.TextIOWrapper):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def draw(encoding: str, digits: int = 4) -> str:
    """What a viewer writes for one step to a terminal of this encoding."""
    stream = Terminal(io.BytesIO(), encoding=encoding)
    problem = {"task": "sudoku", "digits": digits}
    picture = watch.draw_step(record_step(digits), problem, watch.make_console(stream))
    return picture.plain


def test_boards_have_utf8_lines_where_the_terminal_shows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert draw("utf-8").startswith("┌───────┬")
    assert draw("ascii").startswith("+-------+")


@pytest.mark.parametrize("columns", [120, 60, 40, 26])
def test_boards_fit_the_width_of_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = draw("utf-8", digits=9).splitlines()
    assert max(map(len, lines)) <= columns
    assert any("twice" in line or columns < 30 for line in lines)


def test_no_color_leaves_no_escape_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    for variables, has_codes in (
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        stream = io.StringIO()
        viewer = watch.Viewer(stream, every_step=False)
        viewer.show({"type": "problem", "number": 0, "task": "sudoku", "digits": 4})
        viewer.show({"type": "step", "number": 0, **record_step()})
        assert ("\x1b" in stream.getvalue()) == has_codes


def test_without_watch_the_first_boards_and_the_last_are_drawn() -> None:
    stream = io.StringIO()
    viewer = watch.Viewer(stream, every_step=False)
    viewer.show({"type": "problem", "number": 0, "task": "sudoku", "digits": 4})
    for number in range(9):
        viewer.show({"type": "step", "number": 0, **record_step(), "step": number})
    viewer.close()
    shown = [line for line in stream.getvalue().splitlines() if "forward" in line or "more" in line]
    assert [line.split("forward ")[-1] for line in shown] == [
        "1, node 0",
        "2, node 0",
        "3, node 0",
        "... 5 more boards: --watch shows them all ...",
        "9, node 0",
    ]


def test_the_trace_of_a_failure_is_replayed_too(tmp_path: Path, capsys: Capture) -> None:
    schema, trace, check = tmp_path / "schema.json", tmp_path / "trace.jsonl", tmp_path / "check.py"
    schema.write_text('{"type": "integer"}')
    check.write_text("def refuse(value):\n    return 'no'\n")
    command = [
        "json",
        "fill",
        "--schema",
        str(schema),
        "--check",
        f"{check}:refuse",
        "--denoiser",
        "random",
        "--forwards",
        "2",
        "--length",
        "16",
    ]
    assert main([*command, "--trace", str(trace)]) == 1
    capsys.readouterr()
    assert main(["replay", str(trace)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("problem 1: BudgetExhausted")
