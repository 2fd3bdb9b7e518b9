"""An import only ever points down: solver -> tasks -> kernels. Read from the source, so that lazy imports count too."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXACT = "solver.tasks.sudoku.exact"  # the oracle: makes data, grades answers, and has no part in finding them
OFF_PATH = ("solver.training", "solver.evaluation")  # these may ask the oracle


class Import(NamedTuple):
    name: str  # the longest dotted name the statement can mean: module.attribute for "from module import attribute"
    line: int
    lazy: bool  # inside a function, so importing the file does not run it


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def module_name(path: Path) -> str:
    """The name a file is imported by: tasks/sudoku/layout.py is solver.tasks.sudoku.layout."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "solver" else ("solver", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read_imports(source: str, package: str) -> Iterator[Import]:
    """Every import in a file of ``package``, import_module("a constant name") included."""

    def visit(node: ast.AST, lazy: bool) -> Iterator[Import]:
        match node:
            case ast.Import():
                for alias in node.names:
                    yield Import(alias.name, node.lineno, lazy)
            case ast.ImportFrom():
                base = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
                start = [base] if node.level else []
                for alias in node.names:
                    yield Import(
                        ".".join([*start, *([node.module] if node.module else []), alias.name]),
                        node.lineno,
                        lazy,
                    )
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield Import(name, node.lineno, lazy)
        lazy = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, lazy)

    yield from visit(ast.parse(source), lazy=False)


def sources() -> dict[str, Path]:
    """Module name -> file, for the three layers. rglob follows no links, so each file comes once, by its real path."""
    files = [
        path for layer in ("solver", "tasks", "kernels") for path in sorted((ROOT / layer).rglob("*.py"))
    ]
    return {module_name(path): path for path in files}


def imports_of(module: str, path: Path) -> list[Import]:
    """Every import in one file."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return list(read_imports(path.read_text(encoding="utf-8"), package))


FILES = sources()
IMPORTS = {module: imports_of(module, path) for module, path in FILES.items()}


def fault_of_layer(module: str, name: str) -> str | None:
    """What is wrong with ``module`` importing ``name``, judged by the layers alone."""
    if within(name, "tasks", "kernels"):
        return "the top-level name belongs to another distribution; import it through solver"
    if within(module, "solver.kernels") and within(name, "solver") and not within(name, "solver.kernels"):
        return "kernels know no task and no solver"
    if (
        within(module, "solver.tasks")
        and within(name, "solver")
        and not within(name, "solver.tasks", "solver.kernels")
    ):
        return "tasks know no model and no loop"
    return None


def fault_of_oracle(module: str, imported: Import) -> str | None:
    """What is wrong with ``module`` importing the exact Sudoku solver by itself."""
    if not within(imported.name, EXACT) or within(module, "solver.tasks", *OFF_PATH):
        return None
    if within(module, "solver.cli") and imported.lazy:  # commands that make puzzles
        return None
    return "the neural path never asks the exact solver"


def test_imports_point_down() -> None:
    faults = [
        f"{FILES[module].relative_to(ROOT)}:{imported.line} imports {imported.name}: {fault}"
        for module, found in IMPORTS.items()
        for imported in found
        for fault in (fault_of_layer(module, imported.name), fault_of_oracle(module, imported))
        if fault
    ]
    assert not faults, "\n".join(faults)


def test_importing_the_neural_path_leaves_the_exact_solver_out() -> None:
    """Nor does it come in through what the neural path imports: followed through module-level imports, to the end."""

    def loaded_by(module: str) -> Iterator[str]:
        parents = [module.rsplit(".", n)[0] for n in range(1, module.count(".") + 1)]
        names = [imported.name for imported in IMPORTS.get(module, []) if not imported.lazy]
        for name in [*parents, *names]:
            # "from module import attribute": the attribute is no module, and drops out here
            yield from (candidate for candidate in (name, name.rpartition(".")[0]) if candidate in FILES)

    start = [module for module in FILES if not within(module, "solver.tasks", "solver.kernels", *OFF_PATH)]
    how: dict[str, str] = dict.fromkeys(start, "")
    queue = list(start)
    while queue:
        module = queue.pop()
        for name in loaded_by(module):
            if name not in how:
                how[name] = module
                queue.append(name)
    assert EXACT in FILES, "the exact solver moved: bring EXACT up to date"
    assert EXACT not in how, (
        f"{how.get(EXACT)} imports it, and {how.get(how.get(EXACT, ''), '')} imports that"
    )


@pytest.mark.parametrize("layer", ["tasks", "kernels"])
def test_lower_floors_yield_their_top_level_name(layer: str) -> None:
    """Without __init__.py they are namespace packages, which lose to any real package of the name wherever it stands."""
    assert (ROOT / layer).is_dir()
    assert not (ROOT / layer / "__init__.py").exists()


@pytest.mark.parametrize(
    ("module", "source", "faulty"),
    [
        ("solver.kernels.statistics_numba", "from solver.kernels import reference", False),
        ("solver.kernels.statistics_numba", "from . import reference", False),
        ("solver.kernels.statistics_numba", "from solver import kernels", False),
        ("solver.kernels.statistics_numba", "from solver import tasks", True),
        ("solver.kernels.statistics_numba", "from .. import refine", True),
        ("solver.kernels.statistics_numba", "def f():\n    import solver.tasks.task", True),
        ("solver.tasks.task", "import solver.kernels.statistics_numba", False),
        ("solver.tasks.task", "from solver.loop.refine import refine", True),
        ("solver.tasks.sudoku.data", "from ...refine import refine", True),
        ("solver.loop.refine", "import kernels", True),
        ("solver.loop.refine", "from tasks.sudoku import layout", True),
        ("solver.loop.refine", "import_module('tasks')", True),
        ("solver.loop.refine", "def f():\n    from solver.tasks.sudoku import exact", True),
        ("solver.training.sudoku_examples", "def f():\n    from solver.tasks.sudoku import exact", False),
        (
            "solver.cli.generate",
            "def f():\n    from solver.tasks.sudoku.exact import generate_puzzles",
            False,
        ),
        ("solver.cli.generate", "from solver.tasks.sudoku.exact import generate_puzzles", True),
    ],
)
def test_the_rules_themselves(module: str, source: str, faulty: bool) -> None:
    found = list(read_imports(source, module.rpartition(".")[0]))
    rules: list[Callable[[Import], str | None]] = [
        lambda imported: fault_of_layer(module, imported.name),
        lambda imported: fault_of_oracle(module, imported),
    ]
    assert len(found) == 1
    assert any(rule(imported) for imported in found for rule in rules) is faulty
