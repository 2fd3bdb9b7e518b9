"""Functions of the standard library for the tests of code edits: real code that is always there."""

from __future__ import annotations

import ast
import sysconfig
from functools import cache
from pathlib import Path

from solver.tasks.code_edit.lexer import Span

MODULES = "bisect calendar cmd csv difflib fractions gettext heapq hmac html/parser json/decoder shlex string textwrap".split()  # noqa: SIM905


@cache
def module(name: str) -> str:
    return Path(sysconfig.get_path("stdlib"), f"{name}.py").read_text(encoding="utf-8")


def whole_lines(source: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Span:
    starts = [0]
    for line in source.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    assert node.end_lineno is not None
    return starts[min([node.lineno, *(one.lineno for one in node.decorator_list)]) - 1], min(
        starts[node.end_lineno], len(source)
    )


@cache
def functions() -> tuple[tuple[str, Span], ...]:
    """Outermost functions and methods as sources and spans of whole lines; none long."""
    found = []
    for source in map(module, MODULES):
        tree = ast.parse(source)
        around = [one for one in ast.walk(tree) if isinstance(one, ast.Module | ast.ClassDef)]
        for body in [one.body for one in around]:
            for node in body:
                if isinstance(node, ast.FunctionDef) and 4 <= (node.end_lineno or 0) - node.lineno <= 60:
                    found.append((source, whole_lines(source, node)))
    return tuple(found)


@cache
def alone() -> tuple[str, ...]:
    """The same functions as small sources of their own, a method in a class."""
    bodies = [source[slice(*span)] for source, span in functions()]
    return tuple(f"class Alone:\n{body}" if body.startswith(" ") else body for body in bodies)
