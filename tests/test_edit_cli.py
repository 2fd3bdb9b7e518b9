"""``python -m solver edit``: diffs, written files, and bad input in one line."""

from __future__ import annotations

import argparse
import json
import os
import stat
from codecs import BOM_UTF8
from pathlib import Path

import numpy as np
import pytest

from solver.api import edit as edits
from solver.cli import source
from solver.cli.main import UsageError, main
from solver.models import checkpoint, controls
from solver.tasks.code_edit.localize import compile_message
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.tasks.code_edit.window import CodeWindow
from tests.test_code_edit import FUNCTION, network

ZERO = FUNCTION.index("0"), FUNCTION.index("0") + 1


def read_source(name: str) -> source.PythonFile:
    return source.read_python(argparse.Namespace(source=name, write=False))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    net = network()
    checkpoint.save_network(folder, net.state_dict(), net.config, "code", {})
    return str(folder)


def fill(file: Path, *options: str) -> int:
    return main(["edit", "fill", str(file), *options])


def test_fill_writes_what_compiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Into the file, whose mode, byte order mark and other bytes stay."""
    answer = np.full(96, Vocabulary.load().blank)
    window = CodeWindow.of(FUNCTION, [ZERO], [24], 96)
    answer[window.slots[0][0]] = window.encode_fill(0, "1")[0]
    monkeypatch.setattr(edits, "load", lambda *_: controls.oracle(2048, answer))
    file = tmp_path / "mean.py"
    for mark in (b"", BOM_UTF8):
        file.write_bytes(mark + FUNCTION.encode())
        file.chmod(0o640)
        assert fill(file, "--hole", "3:13-3:14", "--json", "--write") == 0
        output = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
        assert output["status"] == "compiles"
        assert output["candidates"][0]["fills"] == ["1"]
        assert file.read_bytes() == mark + FUNCTION.replace("total = 0", "total = 1").encode()
        assert stat.S_IMODE(file.stat().st_mode) == 0o640
        assert [path.name for path in tmp_path.iterdir()] == ["mean.py"]


def test_what_does_not_compile_is_not_written(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mean.py"
    file.write_text(FUNCTION)
    hole = "2:5-8:31"  # a model that knows nothing does not write a function
    assert fill(file, "--hole", hole, "--denoiser", model, "--forwards", "2", "--write") == 1
    captured = capsys.readouterr()
    assert "invalid" in captured.err
    assert captured.out == ""
    assert file.read_text() == FUNCTION


def test_nothing_is_written_over_the_work_of_others(tmp_path: Path) -> None:
    """A file that has changed since it was read, one that may not be written, a folder without room for another file."""
    file = tmp_path / "a.py"
    file.write_text("x = 1\n")
    before = read_source(str(file))
    file.write_text("x = 2\n")
    with pytest.raises(UsageError, match="has changed"):
        source.replace_file(before, "x = 3\n")
    assert file.read_text() == "x = 2\n"
    before = read_source(str(file))
    file.chmod(0o400)
    if not os.access(file, os.W_OK):  # who may write everything is not asked
        with pytest.raises(UsageError, match="not writable"):
            source.replace_file(before, "x = 3\n")
    assert [path.name for path in tmp_path.iterdir()] == ["a.py"]
    link = tmp_path / "link.py"
    file.chmod(0o600)
    link.symlink_to(file)
    source.replace_file(read_source(str(link)), "x = 3\n")
    assert link.is_symlink()
    assert file.read_text() == "x = 3\n"


def test_a_diff_shows_line_ends_and_says_where_the_last_is_missing() -> None:
    assert source.diff("a\nb\n", "a\nb", "f").endswith("-b\n+b\n\\ No newline at end of file")
    assert source.diff("a\r\nb\r\n", "a\r\nb\n", "f").endswith(" a\n-b\n+b")
    assert "@@ -1 +1 @@" in source.diff("a\fb\n", "a\fc\n", "f")
    assert source.diff("a\n", "a\n", "f") == ""


def test_repair_of_a_file(tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "broken.py"
    file.write_bytes(b"def f(a):\r\n    return (a\r\n")
    assert main(["edit", "repair", str(file), "--denoiser", model, "--n", "2"]) == 0
    assert "+    return " in capsys.readouterr().out
    assert file.read_bytes() == b"def f(a):\r\n    return (a\r\n"
    assert main(["edit", "repair", str(file), "--denoiser", model, "--write"]) == 0
    assert compile_message(file.read_text()) is None
    assert b"def f(a):\r\n" in file.read_bytes()


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (b"x = 1\n", [], "required: --hole"),
        (b"x = 1\n", ["--hole", "1:1"], "not L:C-L:C"),
        (b"x = 1\n", ["--hole", "9:1-9:2"], "no line 9"),
        (b"x = 1\n", ["--hole", "1:1-1:99"], "no column 99"),
        (b"x = 1\n", ["--hole", "1:4-1:2"], "ends before"),
        (b"x = 1\n", ["--hole", "1:1-1:4", "--hole", "1:2-1:5"], "overlap"),
        (b"", ["--hole", "1:1-1:1"], "empty"),
        (b"x = \0\n", ["--hole", "1:1-1:2"], "binary"),
        (b"x = '\xff'\n", ["--hole", "1:1-1:2"], "not UTF-8"),
        (b"x\n" * 50_000, ["--hole", "1:1-1:2"], "lines"),
        (b"x = 1\n", ["--hole", "1:1-1:2", "--denoiser", "nonsense"], "nonsense"),
        (b"x = 1\n", ["--hole", f"1:1-1:{'9' * 5000}"], "not L:C-L:C"),
        (b"# coding: latin-1\nx = '\xc3\xa9'\n", ["--hole", "2:1-2:2"], "only UTF-8"),
        (b"# coding: nonsense\nx = 1\n", ["--hole", "2:1-2:2"], "nonsense"),
        (b"\xef\xbb\xbf\n", ["--hole", "1:1-1:1"], "empty"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    data: bytes, options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "source.py"
    file.write_bytes(data)
    assert main(["edit", "fill", str(file), *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert file.read_bytes() == data


def test_repairing_a_whole_file_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "source.py"
    file.write_text("x = 1\n")
    assert main(["edit", "repair", str(file), "--denoiser", "random"]) == 2
    assert "nothing to repair" in capsys.readouterr().err
    file.write_bytes(BOM_UTF8 + b"x = 1\n")
    assert main(["edit", "repair", str(file), "--denoiser", "random"]) == 2
    assert "nothing to repair" in capsys.readouterr().err
    file.write_text("x = (1\n")
    assert main(["edit", "repair", str(file), "--trace", str(tmp_path / "trace")]) == 2
    assert "--trace" in capsys.readouterr().err
    assert not (tmp_path / "trace").exists()
    assert main(["edit", "fill", str(tmp_path / "none.py"), "--hole", "1:1-1:2"]) == 2
