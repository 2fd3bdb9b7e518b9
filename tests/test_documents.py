"""Every example in the documents and docstrings runs, and prints what it is said to print.

- ``python`` blocks of Markdown files run in order, in one namespace per file.
- ``bash`` blocks run as printed, in a folder that has the checkout's files and none of its state.
- A ``text`` block that follows one of these is its standard output; ``...`` matches anything, as in doctest.
- ``>>>`` examples in docstrings run as doctests.

A block that cannot run here (it installs packages, downloads weights or trains for an hour) is preceded by
``<!-- skip: next "reason" -->``.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import importlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import SkipTest

import pytest

sybil = pytest.importorskip("sybil", reason="documents: sybil is not installed (pip install '.[test]')")

from sybil.document import PythonDocStringDocument  # noqa: E402
from sybil.example import NotEvaluated  # noqa: E402
from sybil.parsers import markdown, rest  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
# docs/LOG.md is a record of what was run on its day; nothing in it is an instruction.
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "docs/results/*.md", "tasks/*/README.md")
    for path in ROOT.glob(pattern)
    if path.name not in ("LOG.md", "CHANGELOG.md")
)

# Documents whose blocks take more than a few seconds together.
SLOW = {"README.md", "docs/cli.md", "CONTRIBUTING.md"}
SHOWN = ("README.md", "examples", "docs", "solver", "tasks", "kernels", "pyproject.toml", "benchmarks")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def run_python(example: Any) -> None:
    """Run a ``python`` block and keep what it prints for the block after it."""
    output = io.StringIO()
    code = compile(example.parsed, f"{example.path}:{example.line}", "exec", dont_inherit=True)
    with contextlib.redirect_stdout(output):
        exec(code, example.namespace)
    example.namespace["__output__"] = output.getvalue()


def run_bash(example: Any) -> None:
    """Run a ``bash`` block and keep its standard output for the block after it."""
    folder = example.namespace["__folder__"]
    scripts = os.path.dirname(sys.executable)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PATH": os.pathsep.join([scripts, os.environ["PATH"]]),
        "NO_COLOR": "1",
    }
    command = ["bash", "-euo", "pipefail", "-c", example.parsed]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    example.namespace["__output__"] = done.stdout


def compare_output(example: Any) -> str | None:
    """Compare a ``text`` block with the output of the block before it, if there was one."""
    actual = example.namespace.pop("__output__", None)
    if actual is None:
        return None
    expected = example.parsed
    if doctest.OutputChecker().check_output(expected, actual, FLAGS):
        return None
    return f"expected:\n{expected}\nprinted:\n{actual}"


MARKDOWN = sybil.Sybil(
    parsers=[
        markdown.SkipParser(),
        markdown.CodeBlockParser("python", run_python),
        markdown.CodeBlockParser("bash", run_bash),
        markdown.CodeBlockParser("text", compare_output),
    ]
)


class ModuleDocument(PythonDocStringDocument):
    """A module's docstrings, run in the namespace of the module as it is imported: ``solver.*``."""

    def import_document(self, example: Any) -> None:
        names = Path(self.path).relative_to(ROOT).with_suffix("").parts
        dotted = ".".join(name for name in ("solver", *names) if name != "__init__")
        module = importlib.import_module(dotted.removeprefix("solver.") if names[0] == "solver" else dotted)
        self.namespace.update(module.__dict__)
        self.pop_evaluator(self.import_document)
        raise NotEvaluated


DOCSTRINGS = sybil.Sybil(
    parsers=[rest.SkipParser(), rest.DocTestParser(FLAGS)],
    document_types={".py": ModuleDocument},
)


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with links to the checkout's files: examples may write beside them."""
    for name in SHOWN:
        if (ROOT / name).exists():
            (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def evaluate(document: Any) -> None:
    """Run the examples of a parsed document in order; a skipped one does not stop the others."""
    for example in document.examples():
        with contextlib.suppress(SkipTest):  # sybil's way to skip one
            example.evaluate()


def as_parameters(paths: list[Path]) -> list[Any]:
    """Test parameters for files, slow ones marked."""
    names = [str(path.relative_to(ROOT)) for path in paths]
    slow = [[pytest.mark.slow] if name in SLOW else [] for name in names]
    return [
        pytest.param(*case[:1], id=case[1], marks=case[2]) for case in zip(paths, names, slow, strict=True)
    ]


@pytest.mark.parametrize("path", as_parameters(DOCUMENTS))
def test_the_blocks_of_a_document_run(path: Path, shown: Path) -> None:
    document = MARKDOWN.parse(path)
    document.namespace.update({"__folder__": shown, "__name__": "__example__"})
    evaluate(document)


def modules_with_examples() -> list[Path]:
    """Source files that have ``>>>`` examples."""
    paths = [
        path for layer in ("solver", "tasks", "kernels") for path in sorted((ROOT / layer).rglob("*.py"))
    ]
    return [path for path in paths if ">>> " in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", as_parameters(modules_with_examples()))
def test_the_examples_of_a_module_run(path: Path, shown: Path) -> None:
    evaluate(DOCSTRINGS.parse(path))


def untested_blocks(source: str) -> list[str]:
    """Indented blocks of a module docstring that are Python statements and not doctests."""
    text = ast.get_docstring(ast.parse(source)) or ""
    blocks = [
        "\n".join(line[4:] for line in block.splitlines())
        for block in text.split("\n\n")
        if all(line.startswith("    ") for line in block.splitlines())
    ]
    return [
        block
        for block in blocks
        if not block.lstrip().startswith((">>>", "python ", "$ ")) and is_code(block)
    ]


def is_code(text: str) -> bool:
    """Whether ``text`` is Python with at least one call, assignment or import."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return False
    return any(
        isinstance(node, ast.Call | ast.Assign | ast.Import | ast.ImportFrom) for node in ast.walk(tree)
    )


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_source_files_that_a_document_names_exist(path: Path) -> None:
    named = set(re.findall(r"`([\w/]+\.(?:py|c))`", path.read_text(encoding="utf-8")))
    folders = [ROOT, ROOT / "solver", path.parent]
    tracked = {
        file.name for layer in ("solver", "tasks", "kernels", "tests") for file in (ROOT / layer).rglob("*")
    }
    # A path is relative to the checkout, to ``solver/`` or to the document; a bare name may be anywhere.
    named -= {name for name in named if "NAME" in name or name.startswith("transformers/")}
    missing = {name for name in named if not any((folder / name).exists() for folder in folders)}
    assert {name for name in missing if "/" in name or name not in tracked} == set()


def test_a_failing_example_and_wrong_output_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    for body in ("```python\n1 / 0\n```\n", "```python\nprint(1)\n```\n\n```text\n2\n```\n"):
        path.write_text(body)
        with pytest.raises((ZeroDivisionError, sybil.example.SybilFailure)):
            evaluate(MARKDOWN.parse(path))
