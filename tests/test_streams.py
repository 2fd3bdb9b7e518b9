"""Long runs: what is printed when a process ends early, full disks, closed streams, and continuing a run."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from solver.cli.main import UsageError, main
from solver.cli.output import Results, append_line, read_done
from solver.files import replace_text, replacing

ROOT = Path(__file__).resolve().parent.parent
BLANK, GIVEN = "." * 16, "1" + "." * 15
FULL_DISK = "No space left on device"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "solver", *arguments]


def listen() -> None:
    """A shell that starts the tests in the background makes its children ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def parsed(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def without_seconds(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(
        ({name: value for name, value in record.items() if name != "seconds"} for record in records),
        key=lambda record: record["number"],
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[dict[str, Any]]]:
    """A command for many puzzles, and its results."""
    puzzles = tmp_path_factory.mktemp("puzzles") / "puzzles.txt"
    puzzles.write_text((BLANK + "\n" + GIVEN + "\n") * 30)
    run = command(
        "sudoku", "--file", str(puzzles), "--json", "--quiet", "--denoiser", "random", "--batch", "1"
    )
    result = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True)
    return run, parsed(result.stdout)


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [
        pytest.param(signal.SIGINT, 130, "interrupted\n", marks=pytest.mark.slow),
        (signal.SIGTERM, 143, "terminated\n"),
        pytest.param(signal.SIGKILL, -9, "", marks=pytest.mark.slow),
    ],
)
def test_a_run_that_was_ended_is_continued(
    number: signal.Signals,
    code: int,
    message: str,
    uninterrupted: tuple[list[str], list[dict[str, Any]]],
    tmp_path: Path,
) -> None:
    """Results that were finished are on stdout as whole lines; with those of a second run they are all there."""
    run, expected = uninterrupted
    output = tmp_path / "out.jsonl"
    run = [*run, "--skip-done", str(output)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(run, cwd=ROOT, preexec_fn=listen, **pipes) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(5)]
        process.send_signal(number)
        rest, errors = process.communicate()
    assert (process.returncode, errors) == (code, message)
    first = "".join(lines) + rest
    output.write_text(first)
    assert 5 <= len(parsed(first)) < 60
    second = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert len(parsed(first)) + len(parsed(second)) == 60
    assert without_seconds(parsed(first + second)) == without_seconds(expected)
    assert [record["number"] for record in expected] == list(range(1, 61))


def test_results_that_wait_are_shown_when_the_block_ends_early() -> None:
    shown: list[str] = []
    with pytest.raises(KeyboardInterrupt), Results([1, 2, 3], shown.append) as results:  # noqa: PT012  # the block is tested
        results.add(3, "c")
        results.add(1, "a")
        assert shown == ["a"]
        raise KeyboardInterrupt
    assert shown == ["a", "c"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [(["--json"], [2, 1]), (["--json", "--ordered"], [1, 2]), ([], [1, 2]), (["--no-ordered"], [2, 1])],
)
def test_records_of_a_file_do_not_wait_for_harder_puzzles(
    options: list[str], expected: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With one forward each, the second puzzle is solved at once; the first needs more."""
    file = tmp_path / "puzzles.txt"
    file.write_text("." * 16 + "\n" + "123434122143432.\n")
    assert main(["sudoku", "--file", str(file), "--denoiser", "random", "--quiet", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    numbers = [
        json.loads(line)["number"] if "--json" in options else 1 + line.startswith("123434122143432")
        for line in lines
    ]
    assert numbers == expected


def test_unordered_results_are_shown_at_once() -> None:
    shown: list[str] = []
    with Results([1, 2], shown.append, in_order=False) as results:
        results.add(2, "b")
        assert shown == ["b"]
        results.add(1, "a")
    assert shown == ["b", "a"]


@pytest.mark.parametrize(
    "line",
    ["{", "3", "{}", '{"number": 3, "status": "solved", "puzzle": "b"}', '{"number": 1, "status": "solved"}'],
)
def test_results_of_another_input_are_not_taken_for_done(line: str, tmp_path: Path) -> None:
    file = tmp_path / "done.jsonl"
    good = json.dumps({"number": 2, "status": "solved", "puzzle": "b"})
    file.write_text(f"{good}\n{line}\n")
    with pytest.raises(UsageError, match=":2: is not a result of these problems"):
        read_done(str(file), [{"puzzle": "a"}, {"puzzle": "b"}])


def test_a_result_that_was_cut_off_is_not_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "done.jsonl"
    good = json.dumps({"number": 1, "status": "solved", "puzzle": "a"})
    file.write_text(f"{good}\n{good[:9]}")
    assert read_done(str(file), [{"puzzle": "a"}]).keys() == {1}
    assert "cut off" in capsys.readouterr().err
    assert read_done(str(tmp_path / "none"), []) == {}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "words",
    [
        ["sudoku", GIVEN, "--denoiser", "random"],
        ["generate", "--digits", "4"],
        ["--help"],
        ["sudoku", "--help"],
        ["replay", "TRACE"],
    ],
    ids=["sudoku", "generate", "help", "help of a command", "replay"],
)
def test_a_full_disk_behind_stdout_is_one_line(words: list[str], tmp_path: Path) -> None:
    if "TRACE" in words:
        trace = str(tmp_path / "trace.jsonl")
        assert main(["sudoku", GIVEN, "--denoiser", "random", "--trace", trace]) == 0
        words = ["replay", trace]
    with open("/dev/full", "w") as full:
        result = subprocess.run(command(*words), cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (result.returncode, result.stderr) == (2, f"error: output: cannot be written ({FULL_DISK})\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_closed_streams_are_no_tracebacks(closed: str, tmp_path: Path) -> None:
    words = ["sudoku", "--file", "-"] if closed == "<&-" else ["sudoku", GIVEN]
    line = " ".join(command(*words, "--denoiser", "random")) + " " + closed
    result = subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, text=True)
    expected = {"<&-": "error: -: stdin is closed\n", ">&-": "error: stdout is closed\n", "2>&-": ""}
    assert result.stderr == expected[closed]
    assert result.returncode == (0 if closed == "2>&-" else 2)


def limit_file_size() -> None:
    """In a child: no file can have more than 2,000 bytes, which would cut compiled modules as well."""
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))


def test_a_trace_that_cannot_be_written_on_ends_with_a_whole_line(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    run = command("sudoku", "." * 81, "--denoiser", "random", "--trace", str(trace), "--quiet")
    result = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, preexec_fn=limit_file_size)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"error: {trace}: cannot be written (File too large)\n"
    assert trace.stat().st_size <= 2000
    assert [record["type"] for record in parsed(trace.read_text())][:1] == ["problem"]


def test_a_trace_without_records_leaves_no_file(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    assert main(["sudoku", GIVEN, "--denoiser", "no such folder", "--trace", str(trace)]) == 2
    assert not trace.exists()


def test_a_line_is_appended_whole_or_not_at_all(tmp_path: Path) -> None:
    class Full:
        """A file that takes three bytes of the second line."""

        def __init__(self, name: Path) -> None:
            self.file, self.name, self.room = name.open("wb", buffering=0), str(name), 8

        def tell(self) -> int:
            return self.file.tell()

        def truncate(self, size: int) -> int:
            return self.file.truncate(size)

        def write(self, data: memoryview) -> int:
            if not self.room:
                raise OSError(28, FULL_DISK)
            written = self.file.write(data[: self.room])
            self.room -= written
            return written

    file: Any = Full(tmp_path / "lines")
    append_line(file, "abcd")
    with pytest.raises(UsageError, match=FULL_DISK):
        append_line(file, "efgh")
    assert (tmp_path / "lines").read_text() == "abcd\n"
    file.file.close()


def test_a_file_is_replaced_whole_or_stays(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    replace_text(file, "old")
    with pytest.raises(OSError, match=FULL_DISK), replacing(file) as path:  # noqa: PT012  # both happen in the block
        path.write_text("ne")
        raise OSError(28, FULL_DISK)
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_training_run_without_room_names_the_file(tmp_path: Path) -> None:
    run = command("train", "sudoku", "--preset", "smoke", "--out", str(tmp_path / "run"))
    result = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, preexec_fn=limit_file_size)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith(f"error: {tmp_path / 'run'}/")
    assert result.stderr.splitlines()[-1].endswith("(File too large)")
    assert not list((tmp_path / "run").rglob(".part-*"))
