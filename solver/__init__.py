"""Remask: text from diffusion language models that is guaranteed to satisfy your constraints.

>>> import solver
>>> solver.fill({"enum": ["red", "green"]}, text="a green field", length=16).value
'green'

The public names are imported when they are first used: importing this package imports neither torch nor
numpy.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solver.api.candidate import Candidate
    from solver.api.edit import edit
    from solver.api.fill import fill
    from solver.api.generate import generate
    from solver.api.repair import repair
    from solver.errors import CheckpointError, InvalidArgument, ModelError, SolverError
    from solver.loop.policy import AcceptPolicy, Policy, RemaskPolicy, SearchPolicy
    from solver.loop.refine import refine
    from solver.loop.trace import Budget, Counters, Outcome, Step
    from solver.tasks.code_edit.window import WindowError
    from solver.tasks.json_schema.errors import (
        BudgetExhausted,
        CanvasTooSmall,
        FillError,
        NotConfident,
        NotInText,
        SchemaError,
        SchemaTooComplex,
        TemplateMismatch,
        UnsatisfiableSchema,
        UnsupportedSchema,
    )
    from solver.tasks.languages.regex_parser import PatternError
    from solver.tasks.sudoku.text import PuzzleError
    from solver.tasks.task import Violation
    from solver.tasks.text import Draft, Hole

__version__ = "0.2.0"

__all__ = [
    "AcceptPolicy",
    "Budget",
    "BudgetExhausted",
    "Candidate",
    "CanvasTooSmall",
    "CheckpointError",
    "Counters",
    "Draft",
    "FillError",
    "Hole",
    "InvalidArgument",
    "ModelError",
    "NotConfident",
    "NotInText",
    "Outcome",
    "PatternError",
    "Policy",
    "PuzzleError",
    "RemaskPolicy",
    "SchemaError",
    "SchemaTooComplex",
    "SearchPolicy",
    "SolverError",
    "Step",
    "TemplateMismatch",
    "UnsatisfiableSchema",
    "UnsupportedSchema",
    "Violation",
    "WindowError",
    "edit",
    "fill",
    "generate",
    "refine",
    "repair",
]

# The module of each public name. A test compares them with the imports above.
_MODULES = {name: f"api.{name}" for name in ("edit", "fill", "generate", "repair")}
_MODULES |= {"Candidate": "api.candidate", "refine": "loop.refine"}
_MODULES |= dict.fromkeys(("CheckpointError", "InvalidArgument", "ModelError", "SolverError"), "errors")
_MODULES |= dict.fromkeys(("AcceptPolicy", "Policy", "RemaskPolicy", "SearchPolicy"), "loop.policy")
_MODULES |= dict.fromkeys(("Budget", "Counters", "Outcome", "Step"), "loop.trace")
_MODULES |= dict.fromkeys(
    (
        "BudgetExhausted",
        "CanvasTooSmall",
        "FillError",
        "NotConfident",
        "NotInText",
        "SchemaError",
        "SchemaTooComplex",
        "TemplateMismatch",
        "UnsatisfiableSchema",
        "UnsupportedSchema",
    ),
    "tasks.json_schema.errors",
)
_MODULES |= {"PatternError": "tasks.languages.regex_parser", "PuzzleError": "tasks.sudoku.text"}
_MODULES |= {"WindowError": "tasks.code_edit.window", "Violation": "tasks.task"}
_MODULES |= {"Draft": "tasks.text", "Hole": "tasks.text"}

# ``solver/tasks`` and ``solver/kernels`` are symbolic links to the folders beside ``solver``. Windows
# checkouts and many zip tools write a link as a small text file; the search path then also takes the root of
# the checkout, where the real folders are. An installed wheel has real folders.
_folder = os.path.dirname(os.path.abspath(__file__))
if os.path.isfile(os.path.join(_folder, "tasks")) or os.path.isfile(os.path.join(_folder, "kernels")):
    __path__.append(os.path.dirname(_folder))

# Idle OpenMP threads sleep instead of spinning, which makes small forwards several times faster beside another
# busy process. It takes effect if torch has not been imported yet. A setting of the user stays.
if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & os.environ.keys():
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

if not TYPE_CHECKING:  # or every misspelt name would have the type Any

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first used."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        return value


def __dir__() -> list[str]:
    return __all__
