"""The corpus: only what may be learnt from, every function once, whole lines, and nothing in both halves."""

from __future__ import annotations

import ast
import sysconfig
import textwrap
from pathlib import Path

import pytest

from solver.tasks.code_edit import corpus
from solver.tasks.code_edit.corpus import (
    MAX_FILE_BYTES,
    PACKAGES,
    VENDORED,
    Corpus,
    is_development_file,
    locate_functions,
    python_files,
    read_source,
    source_files,
)
from solver.tasks.code_edit.lexer import Span
from solver.tasks.code_edit.scopes import parse_source

STDLIB = Path(sysconfig.get_paths()["stdlib"]).resolve()
# The licences of these are known, and their authors are who they seem. Written out once more, so that a
# longer list is noticed.
ALLOWED = {"torch", "transformers", "numpy", "matplotlib", "hypothesis", "pytest", "_pytest", "jsonschema"}


def function_spans(text: str) -> list[Span]:
    return [span for _, span in locate_functions(text, parse_source(text))]


MODULE = '''\
"""Text."""
import abc


@abc.first(
    1,
)
@second
def decorated(x):  # é
    def inner():
        return "日本"
    return inner


class Some:
    async def method(self): return 1

    if abc:
        class Deeper:
            @property
            def deep(self):
                """Text."""

    x = lambda: 0


try:
    def tried(): pass
except ImportError:
    def caught(): pass
match abc:
    case 1:
        def matched(): pass
last = [
    1]
'''
FOUND = [
    "@abc.first(",
    "    async def method",
    "            @property",
    "    def tried",
    "    def caught",
    "        def matched",
]


def of_half(text: str, development: bool) -> str:
    """A text with so many comments that it is of the half in question."""
    while is_development_file(text) is not development:
        text += "#\n"
    return text


@pytest.fixture(scope="module")
def small() -> Corpus:
    return Corpus.build(60)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_functions_are_outermost_and_whole_lines(end: str) -> None:
    text = MODULE.replace("\n", end)
    spans = function_spans(text)
    assert len(spans) == len(FOUND)
    for (a, b), start in zip(spans, FOUND, strict=True):
        assert text[a:b].startswith(start)
        assert a == 0 or text[a - 1] == end[-1]
        assert text[b : b + len(end)] == end
    assert text[slice(*spans[0])].endswith("return inner")
    assert [len(function_spans(textwrap.dedent(text[a:b].replace("\r", "\n")))) for a, b in spans] == [
        1
    ] * len(spans)


def test_functions_of_what_is_no_python() -> None:
    for text in ("def f(:", "\0", "(" * 10_000):
        with pytest.raises(SyntaxError):
            function_spans(text)


def test_only_what_is_allowed() -> None:
    assert set(PACKAGES) == ALLOWED
    roots = {name: path.resolve() for name, path in corpus.package_roots().items()}
    assert roots.pop("") == STDLIB
    assert {root.name for root in roots.values()} == set(roots) <= ALLOWED
    found = list(source_files())
    assert len(found) > 1000
    for path, file in found:
        parts = file.resolve().relative_to(STDLIB).parts if path.split("/")[0] not in roots else ()
        assert not {"site-packages", "dist-packages", "test", "tests", "idlelib", "_bundled"} & {
            *parts,
            *Path(path).parts,
        }
        if not parts:
            assert file.resolve().is_relative_to(roots[path.split("/")[0]])
        assert "vendor" not in path
        assert "third_party" not in path
        assert not path.startswith(VENDORED)


def test_folders_that_are_left_out(tmp_path: Path) -> None:
    left_out = [
        "_vendor",
        "vendored_templates",
        "extern",
        "_external",
        "third_party",
        "tests",
        "site-packages",
        "generated",
    ]
    for folder in (*left_out, "kept", "kept/deeper", "kept/_vendor/deeper", "external_ops"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "a.py").write_text("x = 1\n")
    (tmp_path / "b.txt").write_text("")
    (tmp_path / "big.py").write_text("#" * (MAX_FILE_BYTES + 1))
    (tmp_path / "link.py").symlink_to(tmp_path / "kept" / "a.py")
    (tmp_path / "linked").symlink_to(tmp_path / "_vendor", target_is_directory=True)
    found = [file.relative_to(tmp_path).as_posix() for file in python_files(tmp_path)]
    assert found == ["external_ops/a.py", "kept/a.py", "kept/deeper/a.py"]


def test_files_are_read_in_their_own_encoding(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_bytes("# -*- coding: latin-1 -*-\r\nx = 'é'\r\n".encode("latin-1"))
    assert read_source(file) == "# -*- coding: latin-1 -*-\nx = 'é'\n"
    for raw in (b"x = '\xe9'", b"# -*- coding: nonsense -*-\n"):
        file.write_bytes(raw)
        assert read_source(file) is None


def test_a_function_counts_once() -> None:
    once = of_half("def f(x):\n    return x + 1\n", False)
    again = of_half(
        'import os\n\ndef f(x):\n    """Text."""\n    # why\n    return (x +\n        1)\ndef g(): return 2\n',
        False,
    )
    found = Corpus.of([("a.py", once), ("b.py", again), ("c.py", "def f(:")])
    assert [(one.path, one.text[:5]) for one in found.train] == [("a.py", "def f"), ("b.py", "def g")]
    assert found.development == ()


def test_docstrings_count_where_they_are_all_that_differs_deeper_down_but_other_strings_do() -> None:
    def source(doc: str, value: str) -> str:
        return of_half(f'def f():\n    class A:\n        "{doc}"\n    return "{value}"\n', False)

    found = Corpus.of([("a.py", source("x", "1")), ("b.py", source("y", "1")), ("c.py", source("x", "2"))])
    assert [one.path for one in found.train] == ["a.py", "c.py"]


def test_nothing_in_development_differs_from_training_in_names_alone() -> None:
    held_out = of_half("def g(y):\n    return y.some + 1\ndef h(y):\n    return y.some + 2\n", True)
    trained = of_half("def f(x):\n    return x.other + 1\n", False)
    for order in ((held_out, trained), (trained, held_out)):
        found = Corpus.of([(f"{number}.py", text) for number, text in enumerate(order)])
        assert [one.text[:5] for one in found.development] == ["def h"]
        assert [one.text[:5] for one in found.train] == ["def f"]


def test_a_function_of_both_halves_belongs_to_the_first_file() -> None:
    held_out, trained = (of_half("def f(x):\n    return x\n", development) for development in (True, False))
    for order, counts in (((held_out, trained), (0, 1)), ((trained, held_out), (1, 0))):
        found = Corpus.of([("a.py", text) for text in order])
        assert (len(found.train), len(found.development)) == counts


def test_a_small_corpus(small: Corpus) -> None:
    every = [*small.train, *small.development]
    assert len(small.train) > 100
    assert small.development
    assert all(is_development_file(one.source) for one in small.development)
    assert not any(is_development_file(one.source) for one in small.train)
    for one in every:
        (definition,) = (
            ast.parse(textwrap.dedent(one.text)).body if one.text[0] == " " else ast.parse(one.text).body
        )
        assert isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef)
    paths = dict(source_files())
    assert all(read_source(paths[one.path]) == one.source for one in every[:20])


def test_building_again_finds_the_same(small: Corpus) -> None:
    again = Corpus.build(20)
    assert again.train == small.train[: len(again.train)]
