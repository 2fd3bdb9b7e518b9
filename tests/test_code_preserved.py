"""A repair that loses what its author wrote is recognised, and one that loses nothing is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from solver.api import repair
from solver.cli.main import main
from solver.loop.trace import Budget
from solver.tasks.code_edit.localize import compile_message
from solver.tasks.code_edit.preserved import lost_text, names_left_undefined

KEPT = {
    "a bracket is closed": ("f(a, 'b'\n", "f(a, 'b')\n"),
    "a quote is closed": ("print('total of all)\n", "print('total of all')\n"),
    "a quote is opened": ("error = Bad path: ' + p\n", "error = 'Bad path: ' + p\n"),
    "three quotes are closed": (
        'def f():\n    """Return all.\n    return 1\n',
        'def f():\n    """Return all."""\n    return 1\n',
    ),
    "one of three quotes is written": (
        'def f():\n    ""Read a file.\n\n    It is open.\n    """\n    return 1\n',
        'def f():\n    """Read a file.\n\n    It is open.\n    """\n    return 1\n',
    ),
    "names are separated": ("def fself):\n    pass\n", "def f(self):\n    pass\n"),
    "a number and a name are separated": ("y = 2x\n", "y = 2 * x\n"),
    "a doubled piece goes": ("a = b b\n", "a = b\n"),
    "a doubled header goes": ("def f(a):\ndef f(a):\n    return a\n", "def f(a):\n    return a\n"),
    "a long integer of Python 2": ("LIMIT = 10L\n", "LIMIT = 10\n"),
    "a keyword goes": ("x = return 3\n", "x = 3\n"),
    "quotes within an f-string": (
        "s = f'{', '.join(names)} ok'\n",
        "s = f\"{', '.join(names)} ok\"\n",
    ),
}
LOST = {
    "a string": ("open('C:\\temp\\')\n", "open(None)\n", "temp"),
    "a whole f-string": ("def f(n):\n    return f'{n: of {n}'\n", "def f(n):\n    return None\n", "n"),
    "a string without words": ("x = ', ' a\n", "x = a\n", "', '"),
    "a number": ("LIMIT = 10L\n", "LIMIT = True\n", "10"),
    "a name that is glued to a keyword": ("def f(x):\n    return `x`\n", "def f(x):\n    returnx\n", "x"),
    "code that becomes a comment": ("a =\xa0b + c\n", "a = 1 #\xa0b + c\n", "b"),
    "code that becomes a docstring": (
        'def f():\n    """Return all.\n    x = g()\n',
        'def f():\n    """Return all.\n    x = g()\n    """\n',
        "x",
    ),
    "a comment": ("f(a # the first\n", "f(a)\n", "# the first"),
    "one of two equal names": ("f(a, a b\n", "f(a, b)\n", "a"),
}


@pytest.mark.parametrize(("before", "after"), KEPT.values(), ids=KEPT)
def test_nothing_is_lost_where_all_text_is_still_there(before: str, after: str) -> None:
    assert compile_message(after) is None
    assert lost_text(before, after) == ()


@pytest.mark.parametrize(("before", "after", "piece"), LOST.values(), ids=LOST)
def test_lost_text_is_named(before: str, after: str, piece: str) -> None:
    assert compile_message(after) is None
    assert piece in lost_text(before, after)


def test_names_that_a_repair_leaves_undefined_are_those_that_it_made() -> None:
    assert names_left_undefined("a = “Ann”\n", "a = Ann\n") == ("Ann",)
    assert names_left_undefined("print(Hello World)\n", "print(Hello, World)\n") == ("Hello", "World")
    assert names_left_undefined("x = 1 +\n", "x = 1 + y\n") == ("y",)
    # names of another file, which the author did not define here before either
    assert names_left_undefined("y = np.mean(x\n", "y = np.mean(x)\n") == ()


@pytest.mark.parametrize(
    ("lossy", "written"), [(True, False), (False, True)], ids=["text is lost", "all text is kept"]
)
def test_a_repair_is_written_only_if_it_keeps_the_text(
    lossy: bool,
    written: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, kept, lost = "f = open('a.txt'\n", "f = open('a.txt')\n", "f = open(None)\n"
    repaired = lost if lossy else kept

    def only(*_: object) -> list[repair.Rewrite]:
        return [repair.Rewrite(repaired, (0, len(repaired)))]

    monkeypatch.setattr(repair.RepairSearch, "rewrites", only)
    file = tmp_path / "a.py"
    file.write_text(source)
    assert main(["edit", "repair", str(file), "--write", "--denoiser", "random"]) == (0 if written else 1)
    assert file.read_text() == (repaired if written else source)
    captured = capsys.readouterr()
    assert "+" + repaired in captured.out
    assert ("a.py: not written; it loses 'a.txt'" in captured.err) == lossy


def test_a_repair_without_time_returns_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparing how far the compiler reads needs time as well, and is not begun after the end."""
    calls = list[str]()
    progress = repair.compiler_progress
    monkeypatch.setattr(repair, "compiler_progress", lambda text: calls.append(text) or progress(text))
    source = "x = [" + "1, " * 50 + "2 3]\n"
    candidate = repair.repair(source, denoiser="random", budget=Budget(forwards=None, seconds=0.0))
    assert candidate.status == "exhausted"
    assert candidate.text == source
    assert len(calls) <= 1
