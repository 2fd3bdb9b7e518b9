"""``python -m solver``: what a person gets for good input and for bad."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from solver.cli import options
from solver.cli.main import COMMANDS, main
from solver.tasks.sudoku import exact, layout
from tests.commands import ROOT, imported_by

EASY = "530070000600195000098000060800060003400803001700020006060000280000419005000080079"
ANSWER = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"
FOUR = "1...............".replace(".", "0")
NO_SOLUTION = "1230000000000004"  # 4x4: nothing fits the fourth cell
SEVERAL = "1000000000000000"
KEYS = [
    "puzzle",
    "solution",
    "status",
    "strategy",
    "forwards",
    "searched",
    "decisions",
    "remasked",
    "seconds",
]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["sudoku", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("threads", [None, "1"])
def test_the_number_of_threads_is_left_alone_where_omp_num_threads_gives_it(
    threads: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if threads is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
    chosen: list[int] = []
    monkeypatch.setattr("torch.set_num_threads", chosen.append)
    options.limit_threads()
    assert chosen == ([options.cores()] if threads is None else [])


def test_no_argument_solves_a_bundled_hard_puzzle(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys)
    assert (code, err) == (0, "")
    (line,) = out.splitlines()  # a board is drawn in a terminal only
    assert "solved: " in line
    assert "forwards" in line


def test_json_has_the_promised_keys_in_input_order(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, EASY, FOUR, EASY.replace("0", "."), "--json", "--batch", "2")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [line["puzzle"] for line in lines] == [
        EASY.replace("0", "."),
        FOUR.replace("0", "."),
        EASY.replace("0", "."),
    ]
    assert list(lines[0])[:9] == KEYS
    assert lines[0]["strategy"] == "model"
    assert lines[0]["solution"] == lines[2]["solution"] == ANSWER
    assert {line["status"] for line in lines} == {"solved"}
    assert "3 of 3: 3 solved" in err


def test_many_puzzles_come_as_lines_with_counts_at_the_end(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "puzzles.txt"
    file.write_text(f"# two\n{EASY} 1.2\n\n{NO_SOLUTION}\n")
    code, out, err = run(capsys, "--file", str(file))
    assert code == 1
    assert out.splitlines()[0].startswith(ANSWER)
    assert "unsatisfiable, proven by" in out.splitlines()[1]
    assert "2 of 2: 1 solved, 1 unsatisfiable, 0 exhausted" in err


@pytest.mark.parametrize("name", ["random", "prior"])
def test_controls_solve_the_same_puzzles(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, FOUR, "--denoiser", name, "--json")
    assert code == 0
    assert json.loads(out)["denoiser"] == name


def test_stdin_is_read(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys, "stdin", io.TextIOWrapper(io.BytesIO(f"quizzes,solutions\n{EASY},{ANSWER}\n".encode()))
    )
    code, out, _ = run(capsys, "--file", "-", "--json")
    assert (code, json.loads(out)["solution"]) == (0, ANSWER)


def test_unique_is_told_from_several(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, EASY, SEVERAL, "--unique", "--json")
    assert code == 0
    assert [json.loads(line)["unique"] for line in out.splitlines()] == [True, False]
    assert "one of several solutions" in run(capsys, SEVERAL, "--unique")[1]


def test_no_solution_is_proven(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, NO_SOLUTION, "--json")
    line = json.loads(out)
    assert (code, line["status"], line["solution"]) == (1, "unsatisfiable", None)
    assert line["proof"] >= 1


def test_repair_restores_a_grid(capsys: pytest.CaptureFixture[str]) -> None:
    broken = "9" + ANSWER[1:]
    code, out, _ = run(capsys, "--repair", broken, "--json")
    assert (code, json.loads(out)["solution"]) == (0, ANSWER)
    assert run(capsys, broken)[0] == 2  # without --repair its digits are clues, and clash


def test_without_checks_the_network_stands_alone(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, EASY, "--no-checks", "--json", "--denoiser", "random")
    line = json.loads(out)
    assert (code, line["status"], line["solution"], line["forwards"]) == (1, "exhausted", None, 1)
    assert len(line["draft"]) == 81
    code, out, _ = run(capsys, EASY, "--no-checks", "--json")
    assert (code, json.loads(out)["solution"]) == (0, ANSWER)


def test_a_spent_budget_hands_over_the_best_draft_unsolved(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, EASY, "--forwards", "1", "--denoiser", "random", "--json")
    line = json.loads(out)
    assert (code, line["status"], line["solution"], line["forwards"]) == (1, "exhausted", None, 1)
    assert line["violations"]


def test_variants(capsys: pytest.CaptureFixture[str]) -> None:
    puzzle = exact.generate_puzzles(layout.standard(4, diagonal=True), 1, 1)[0][0]
    text = "".join(map(str, puzzle))
    code, out, _ = run(capsys, text, "--diagonal", "--json")
    assert code == 0
    solution = json.loads(out)["solution"]
    assert len({solution[0], solution[5], solution[10], solution[15]}) == 4
    assert run(capsys, FOUR, "--regions", "0001021122132333"[:15])[0] == 2
    code, out, _ = run(capsys, FOUR, "--regions", "0001021122132333", "--json")
    assert code in (0, 2)
    assert run(capsys, "1000010000000000", "--diagonal")[0] == 2  # 1 twice on a diagonal


BAD = {
    "too short": (["123"], "has 3 cells"),
    "wrong symbol": (["x" + EASY[1:]], "x"),
    "duplicate givens": (["55" + EASY[2:]], "twice"),
    "no such file": (["--file", "/no/such/file"], "no such file"),
    "a folder": (["--file", "/"], "folder"),
    "unknown denoiser": ([EASY, "--denoiser", "nonsense"], "unknown denoiser"),
    "a folder that is no checkpoint": ([EASY, "--denoiser", "/tmp"], "not a checkpoint"),
    "huge seed": ([EASY, "--seed", "9" * 40], "at most 9223372036854775807"),
    "a NUL in the name": (["--file", "a\0b"], "cannot be read"),
    "a device without a model": ([EASY, "--device", "cuda"], "go with --model"),
    "a model and a denoiser": ([EASY, "--model", "x", "--denoiser", "random"], "neither with --denoiser"),
    "no threads": ([EASY, "--threads", "0"], "at least 1"),
    "a folder for the trace": ([EASY, "--trace", "/tmp"], "exists already"),
    "negative forwards": ([EASY, "--forwards", "-1"], "at least 1"),
    "negative seconds": ([EASY, "--seconds", "-1"], "positive"),
    "seconds in words": ([EASY, "--seconds", "nan"], "positive"),
    "no batch": ([EASY, "--batch", "0"], "at least 1"),
    "unknown option": ([EASY, "--frobnicate"], "frobnicate"),
    "nothing to repair": (["--repair"], "needs a grid"),
    "trace nowhere": ([EASY, "--trace", "/no/such/folder/t"], "cannot be written"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_code_2(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, message = BAD[name]
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_bad_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name, content in {"empty": b"", "binary": b"\x00\x01\xff" * 30, "latin": b"caf\xe9"}.items():
        (tmp_path / name).write_bytes(content)
        code, out, err = run(capsys, "--file", str(tmp_path / name))
        assert (code, out, err.count("\n")) == (2, "", 1)


def test_the_rest_is_still_done(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "mixed.txt"
    file.write_text(f"{EASY}\n{EASY[:-1]}\n{EASY}\n")
    code, out, err = run(capsys, "--file", str(file), "--json")
    assert code == 2
    assert len(out.splitlines()) == 2
    assert "mixed.txt:2" in err


@pytest.mark.parametrize(
    "command",
    [[], ["nonsense"], ["sudoku", "--seed", "x"], ["replay"], ["replay", "/"], ["generate", "--count", "0"]],
)
def test_bad_commands(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_generate_makes_unique_puzzles(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "--count", "3", "--digits", "4", "--seed", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(len(line.split()[0]) == 16 for line in lines)


@pytest.mark.parametrize("arguments", [["--help"], ["sudoku", "--help"], ["edit", "fill", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    assert imported_by(arguments).isdisjoint({"torch", "numpy", "numba", "rich"})


def test_replay_and_generate_do_without_torch(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    assert main(["sudoku", EASY, "--trace", str(trace), "--quiet"]) == 0
    assert "torch" not in imported_by(["replay", str(trace)])
    assert "torch" not in imported_by(["generate", "--digits", "4"])


def test_ctrl_c_keeps_what_is_finished(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from solver.loop import engine as drive

    original = drive.solve

    def interrupted(*args, **kwargs):
        for done, item in enumerate(original(*args, **kwargs)):
            if done > 12:
                raise KeyboardInterrupt
            yield item

    monkeypatch.setattr(drive, "solve", interrupted)
    code, out, err = run(capsys, *[FOUR] * 12, "--denoiser", "random", "--json")
    assert code == 130
    assert "interrupted" in err
    assert all(json.loads(line)["status"] == "solved" for line in out.splitlines())
    assert f"{len(out.splitlines())} of 12" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--loops", "5", "--denoiser", "random"], "--loops goes with a network"),
        (["--no-checks", "--unique"], "--no-checks goes neither"),
        (["--no-checks", "--inference", "singles"], "--no-checks goes neither"),
    ],
)
def test_options_that_would_be_ignored_are_refused(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, EASY, *options)
    assert (code, out) == (2, "")
    assert message in err


def test_generate_streams_complete_lines_until_it_is_interrupted() -> None:
    command = [sys.executable, "-m", "solver", "generate", "--count", "1000000", "--digits", "4"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # A shell that starts the tests in the background makes its children ignore the signal.
    listen = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    with subprocess.Popen(command, cwd=ROOT, preexec_fn=listen, **pipes) as made:
        assert made.stdout is not None
        first = made.stdout.readline()
        made.send_signal(signal.SIGINT)
        rest, err = made.communicate()
    assert made.returncode == 130
    assert err == "interrupted\n"
    assert {len(line) for line in [first, *rest.splitlines(keepends=True)]} == {len(first)}


EXAMPLES = [name for name in COMMANDS if name not in ("train", "evaluate")]  # these take minutes


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_of_a_command_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    assert main(["sudoku", EASY, "--trace", "run.jsonl"]) == 0
    assert main([*name.split(), *COMMANDS[name].example.split()]) == 0
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main([*name.split(), "--help"])
    assert capsys.readouterr().out.endswith(f"{name} {COMMANDS[name].example}\n")


@pytest.mark.parametrize("setting", [None, "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_idle_threads_sleep_unless_the_user_has_set_how_they_wait(setting: str | None) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    if setting is not None:
        environment[setting] = "1"
    code = "import os, solver; print(os.environ.get('OMP_WAIT_POLICY'))"
    command = [sys.executable, "-c", code]
    out = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert out.strip() == {None: "PASSIVE", "OMP_WAIT_POLICY": "1", "GOMP_SPINCOUNT": "None"}[setting]


@pytest.mark.parametrize("task", ["sudoku", "json", "code"])
def test_trace_lists_the_files_of_one_problem(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", task, "--json"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert {"solver/loop/refine.py", "solver/loop/search.py"} <= files.keys()
    assert not any(name.startswith("solver/cli/") for name in files)
