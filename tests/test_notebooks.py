"""Every notebook runs from its first cell to its last, in an empty folder, against this checkout."""

from __future__ import annotations

import ast
import importlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SECONDS = 300  # a cell


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


def imported(path: Path) -> Iterator[tuple[str, str | None]]:
    """Modules of this package that a notebook imports, and what it takes from each."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    for cell in cells:
        lines = cell["source"] if cell["cell_type"] == "code" else []
        source = "".join(line for line in lines if not line.startswith("%"))
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                yield from ((alias.name, None) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from ((node.module or "", alias.name) for alias in node.names)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_a_notebook_imports_is_there(path: Path) -> None:
    """Running it is slow."""
    ours = [pair for pair in imported(path) if pair[0].partition(".")[0] == "solver"]
    assert ours
    for module, name in ours:
        loaded = importlib.import_module(module)
        if name is not None and not hasattr(loaded, name):
            importlib.import_module(f"{module}.{name}")


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip(
        "nbclient", reason="notebooks: nbclient is not installed (pip install '.[notebooks]')"
    )
    nbformat = pytest.importorskip(
        "nbformat", reason="notebooks: nbformat is not installed (pip install '.[notebooks]')"
    )
    # the kernel is a process of its own: it finds this checkout, installed or not, and writes nothing outside tmp_path
    search = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(search))
    for variable in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))
    folder = tmp_path / "work"
    folder.mkdir()
    notebook = nbformat.read(path, as_version=4)
    # raises CellExecutionError, which shows the cell and its traceback
    nbclient.NotebookClient(
        notebook, timeout=SECONDS, resources={"metadata": {"path": str(folder)}}
    ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert outputs
    assert [output for output in outputs if output.output_type == "error"] == []
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert list(folder.iterdir()) == []
