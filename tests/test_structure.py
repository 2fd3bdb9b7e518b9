"""The source keeps to the project's limits for names, sizes and line lengths.

Each limit in ``LIMITS`` is an upper bound that may be lowered and never raised. Run this file to print the
current figures and, with ``--where``, the places that count::

    python tests/test_structure.py --where
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = 110
FILE_LINES = 350

# Upper bounds. Lower one when the code allows it; a change that needs a higher one is to be rewritten instead.
LIMITS = {
    "vague identifiers per 1,000 lines": 5.0,
    "one-letter bindings per 1,000 lines": 2.0,
    "top-level names defined in several modules, %": 1.0,
    "lines over 110 columns, %": 0.3,
    "files over 350 lines": 0.0,
    "README words": 1_500.0,
    "columns of the widest table in README": 7.0,
}

# Words that name a position in a sentence instead of a thing.
WORDS = """found said one some at here there mine every held told heard own other others this that these those what
which thing things way ways many much so such none nobody whole alone even now then"""
VAGUE = frozenset(WORDS.split())
# Each subcommand module has these by design; they implement one interface.
COMMAND_INTERFACE = frozenset({"run", "main", "add_arguments"})
SHORT_NAMES_ALLOWED = frozenset("ijknxyt_")


@cache
def sources() -> dict[str, str]:
    """Relative path -> source, for the files of solver, tasks and kernels; links are not followed."""
    paths = [
        path for layer in ("solver", "tasks", "kernels") for path in sorted((ROOT / layer).rglob("*.py"))
    ]
    relative = {str(path.relative_to(ROOT)): path for path in paths}
    linked = ("solver/tasks/", "solver/kernels/")
    return {
        name: path.read_text(encoding="utf-8")
        for name, path in relative.items()
        if not name.startswith(linked)
    }


def identifiers(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """(identifier, line) of each name, parameter, attribute, function and class in ``tree``."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
                yield name, node.lineno
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, node.lineno


def short_bindings(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """(name, line) of each lower-case one-letter name bound outside of comprehensions and lambdas."""
    scopes = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp | ast.Lambda
    inner = {id(child) for node in ast.walk(tree) if isinstance(node, scopes) for child in ast.walk(node)}
    for node in ast.walk(tree):
        match node:
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) if id(node) not in inner:
                if len(name) == 1 and name.islower() and name not in SHORT_NAMES_ALLOWED:
                    yield name, node.lineno


def public_definitions(tree: ast.Module) -> Iterator[str]:
    """Names of the public top-level functions and classes of a module."""
    for node in tree.body:
        if isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        ) and not node.name.startswith("_"):
            yield node.name


def shared_names() -> dict[str, set[str]]:
    """Public top-level names that several modules define, with those modules.

    Implementations of one kernel count once, and so do the entry points of the subcommands.
    """
    modules: dict[str, set[str]] = defaultdict(set)
    for path, source in sources().items():
        for name in public_definitions(ast.parse(source)):
            if not (path.startswith("solver/cli") and name in COMMAND_INTERFACE):
                modules[name].add("kernels" if path.startswith("kernels/") else path)
    return {name: places for name, places in modules.items() if len(places) > 1}


def figures() -> dict[str, float]:
    """The current value of every limit."""
    lines = [line for source in sources().values() for line in source.splitlines()]
    trees = [ast.parse(source) for source in sources().values()]
    names = {name for tree in trees for name in public_definitions(tree)}
    vague = sum(name in VAGUE for tree in trees for name, _ in identifiers(tree))
    short = sum(1 for tree in trees for _ in short_bindings(tree))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    tables = [line.count("|") - 1 for line in readme.splitlines() if re.match(r"\s*\|", line)]
    return {
        "vague identifiers per 1,000 lines": 1000 * vague / len(lines),
        "one-letter bindings per 1,000 lines": 1000 * short / len(lines),
        "top-level names defined in several modules, %": 100 * len(shared_names()) / len(names),
        "lines over 110 columns, %": 100 * sum(len(line) > COLUMNS for line in lines) / len(lines),
        "files over 350 lines": float(sum(source.count("\n") > FILE_LINES for source in sources().values())),
        "README words": float(len(readme.split())),
        "columns of the widest table in README": float(max(tables, default=0)),
    }


@pytest.mark.parametrize("measure", LIMITS)
def test_the_source_stays_within_its_limits(measure: str) -> None:
    assert figures()[measure] <= LIMITS[measure]


def test_a_vague_name_and_a_short_one_are_counted() -> None:
    tree = ast.parse("def f(found):\n    q = [z for z in found]\n    return q.other")
    assert sorted(name for name, _ in identifiers(tree) if name in VAGUE) == ["found", "found", "other"]
    assert list(short_bindings(tree)) == [("q", 2)]


def places() -> Iterator[str]:
    """One line for each place that counts towards a limit."""
    for path, source in sources().items():
        tree = ast.parse(source)
        counts = Counter(name for name, _ in identifiers(tree) if name in VAGUE)
        if counts:
            yield f"{path}: {', '.join(f'{name} {count}' for name, count in counts.most_common())}"
        yield from (f"{path}:{line}: one letter: {name}" for name, line in short_bindings(tree))
        for number, line in enumerate(source.splitlines(), 1):
            if len(line) > COLUMNS:
                yield f"{path}:{number}: {len(line)} columns"
        if source.count("\n") > FILE_LINES:
            yield f"{path}: {source.count(chr(10))} lines"
    yield from (
        f"{name}: in {', '.join(sorted(modules))}" for name, modules in sorted(shared_names().items())
    )


if __name__ == "__main__":
    for measure, value in figures().items():
        print(f"{value:10.2f}  (limit {LIMITS[measure]:g})  {measure}")
    if "--where" in sys.argv:
        print("\n".join(places()))
