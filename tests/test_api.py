"""The public interface: its names, its result, and the errors for wrong arguments."""

from __future__ import annotations

import ast
import subprocess
import sys
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import solver
from solver.api.candidate import rank
from solver.models import controls
from solver.tasks.arguments import run_check
from solver.tasks.sudoku.layout import standard
from solver.tasks.sudoku.task import Sudoku, SudokuTask
from tests import tiny_models

ROOT = Path(__file__).resolve().parent.parent
FOUR = SudokuTask(standard(4))
TOKENIZER = tiny_models.tokenizer()
BROKEN = "def f(a:\n    return a\n"

# --- names


def test_dir_lists_exactly_the_public_names() -> None:
    assert dir(solver) == sorted(solver.__all__)
    assert all(getattr(solver, name).__name__ == name for name in solver.__all__)


def test_the_typed_imports_are_those_that_are_made_lazily() -> None:
    tree = ast.parse((ROOT / "solver" / "__init__.py").read_text(encoding="utf-8"))
    (typed,) = (
        node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    imports = {
        alias.name: node.module
        for node in typed.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imports == {name: f"solver.{module}" for name, module in solver._MODULES.items()}
    assert sorted(imports) == sorted(solver.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'filled'"):
        solver.filled  # type: ignore[attr-defined]  # that is the point  # noqa: B018


def test_importing_the_package_imports_neither_torch_nor_numpy() -> None:
    code = "import solver, sys; sys.exit(any(name in sys.modules for name in ('torch', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_all_errors_have_one_base_class() -> None:
    exported = [getattr(solver, name) for name in solver.__all__]
    errors = [value for value in exported if isinstance(value, type) and issubclass(value, Exception)]
    assert len(errors) == 17
    assert all(issubclass(error, solver.SolverError) for error in errors)


# --- checks


@pytest.mark.parametrize("result", [None, True, np.True_, [], ()])
def test_a_check_that_reports_nothing_passes(result: Any) -> None:
    assert run_check(lambda _: result, "x") == ()


@pytest.mark.parametrize(
    ("result", "messages"),
    [
        (False, ["the check failed"]),
        (np.False_, ["the check failed"]),
        ("", ["the check failed"]),
        ("odd", ["odd"]),
        (solver.Violation("odd", span=(0, 1)), ["odd"]),
        (["a", solver.Violation("b")], ["a", "b"]),
        ((message for message in ("a", "b")), ["a", "b"]),
    ],
)
def test_a_check_reports_in_any_of_the_forms(result: Any, messages: list[str]) -> None:
    assert [violation.message for violation in run_check(lambda _: result, "x")] == messages


@pytest.mark.parametrize("result", [3, [3], [None], {"a": 1}.items()])
def test_a_check_that_returns_something_else_is_refused(result: Any) -> None:
    with pytest.raises(solver.InvalidArgument, match="a check re"):
        run_check(lambda _: result, "x")


def failing_check(_: Any) -> None:
    raise KeyError("of the user")


def test_exceptions_of_a_check_propagate_unchanged() -> None:
    model = tiny_models.remote_model("tiny_llada", vocab=len(TOKENIZER))
    for call in (
        lambda: solver.fill({"type": "integer"}, check=failing_check, denoiser="random", length=8),
        lambda: solver.edit("x = 1\n", [(4, 5)], check=failing_check),
        lambda: solver.repair(BROKEN, check=failing_check),
        lambda: solver.generate(model, TOKENIZER, prompt="x", length=4, check=failing_check),
    ):
        with pytest.raises(KeyError, match="of the user"):
            call()


def test_a_check_may_return_a_bool() -> None:
    model, budget = tiny_models.remote_model("tiny_llada", vocab=len(TOKENIZER)), solver.Budget(12)
    for call in (
        lambda check: solver.edit("x = 1\n", [(4, 5)], check=check, budget=budget),
        lambda check: solver.repair(BROKEN, check=check, budget=budget),
        lambda check: solver.generate(model, TOKENIZER, prompt="x", length=4, check=check, budget=budget),
    ):
        assert call(lambda _: True).status == "solved"
        refused = call(lambda _: False)
        assert refused.status == "exhausted"
        assert "the check failed" in [violation.message for violation in refused.violations]
    assert solver.fill({"type": "boolean"}, check=lambda value: value, denoiser="random").value is True


def test_an_edit_passes_its_check_or_reports_it() -> None:
    source = "x = 1\n"
    never = solver.edit(source, [(4, 5)], check=lambda _: "never", budget=solver.Budget(12))
    assert never.status == "exhausted"
    assert "never" in [violation.message for violation in never.violations]

    def short(text: str) -> bool:
        return len(text) < 12

    best = solver.edit(source, [(4, 5)], check=short)
    assert best.status == "solved"
    assert short(best.text)


def test_a_repair_passes_its_check() -> None:
    best = solver.repair(BROKEN, check=lambda text: "def f(a):" in text)
    assert best.status == "solved"
    assert "def f(a):" in best.text
    never = solver.repair(BROKEN, check=lambda text: "never")
    assert never.status == "exhausted"
    assert [violation.message for violation in never.violations if violation.rule == "check"] == ["never"]


# --- candidates


def test_alternatives_are_ranked_and_shown() -> None:
    some = [solver.Candidate(text, status="solved", score=-1.0 - n) for n, text in enumerate("abc")]
    best = rank([some[2], solver.Candidate("x", score=5.0), some[0], some[1]])
    assert [candidate.text for candidate in (best, *best.alternatives)] == ["a", "b", "c", "x"]
    assert repr(best) == "Candidate('a', solved, score=-1.00, 0 forwards, 3 alternatives)"
    assert len(repr(solver.Candidate("a" * 1000))) < 150


def test_fill_returns_the_texts_of_the_holes_and_the_value() -> None:
    template = ['{"a":', solver.Hole(3), ',"b":"', solver.Hole(2), '"}']
    best = solver.fill({"type": "object"}, template=template, denoiser="random", candidates=2)
    assert best.text == '{"a":' + best.fills[0] + ',"b":"' + best.fills[1] + '"}'
    assert best.value["b"] == best.fills[1]
    assert len(best.tokens) == len(best.confidence) == 5 + 3 + 6 + 2 + 2
    assert len(best.alternatives) == 1


def test_a_hole_without_a_size_takes_what_is_left() -> None:
    best = solver.fill({"type": "string"}, template=['"', solver.Hole(), '"'], length=12, denoiser="random")
    assert len(best.tokens) == 12
    with pytest.raises(solver.InvalidArgument, match="no room"):
        solver.fill({"type": "string"}, template=['"abcdef', solver.Hole(), '"'], length=8, denoiser="random")


# --- wrong arguments

WRONG = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.one_of(st.none(), st.integers(0, 9), st.text(max_size=2)), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(0, 9), max_size=1),
    st.binary(max_size=3),
    st.just(object()),
)
BUDGET = solver.Budget(forwards=1)
CALLS: dict[str, tuple[Any, dict[str, Any]]] = {
    "fill": (
        solver.fill,
        {"schema": {"type": "integer"}, "length": 8, "denoiser": "random", "budget": BUDGET},
    ),
    "edit": (solver.edit, {"source": "x = 1\n", "holes": [(4, 5)], "denoiser": "random", "budget": BUDGET}),
    "repair": (solver.repair, {"source": BROKEN, "denoiser": "random", "budget": BUDGET}),
    "generate": (
        solver.generate,
        {
            "model": tiny_models.remote_model("tiny_llada", vocab=len(TOKENIZER)),
            "tokenizer": TOKENIZER,
            "prompt": "x",
            "length": 4,
            "budget": BUDGET,
        },
    ),
    "refine": (
        solver.refine,
        {
            "task": FOUR,
            "problem": Sudoku(np.zeros(16, np.int8)),
            "denoiser": controls.random(4),
            "budget": BUDGET,
        },
    ),
}


def parameters(name: str) -> list[str]:
    return list(signature(CALLS[name][0]).parameters)


@pytest.mark.parametrize(
    ("name", "parameter"), [(name, parameter) for name in CALLS for parameter in parameters(name)]
)
@settings(max_examples=12)
@given(value=WRONG)
def test_a_wrong_argument_is_a_solver_error_of_one_line(name: str, parameter: str, value: Any) -> None:
    function, arguments = CALLS[name]
    message = ""
    try:  # the call works or raises a SolverError, and nothing else
        result = function(**{**arguments, parameter: value})
        if name == "refine":
            list(result)
    except solver.SolverError as error:
        message = str(error)
    assert "\n" not in message


@pytest.mark.parametrize(
    "schema", [{"const": float("nan")}, {"enum": [object()]}, {"const": {1, 2}}, {"const": "\ud800"}]
)
def test_a_schema_that_is_not_a_json_value_is_a_schema_error(schema: object) -> None:
    with pytest.raises(solver.SchemaError, match="not a JSON value"):
        solver.fill(schema)


def test_a_text_with_a_lone_surrogate_is_an_invalid_argument() -> None:
    with pytest.raises(solver.InvalidArgument, match="not valid Unicode"):
        solver.fill({"type": "string"}, text="\ud800")
