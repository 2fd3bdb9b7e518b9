"""Remask: a bidirectional denoiser drafts a whole block, the task's checks re-mask what is wrong, round and round.

This file imports no torch and no numpy, so that the command line answers ``--help`` at once. Read ``loop/refine.py`` first.
"""

import os
from typing import Any

__version__ = "0.1.0"

# ``solver/tasks`` and ``solver/kernels`` are symbolic links to the folders beside ``solver``. Windows checkouts and many zip
# tools write a link as a small text file; the search path then also takes the checkout's root, where the real folders lie.
# An installed wheel has real folders here and never gets this far.
_here = os.path.dirname(os.path.abspath(__file__))
if os.path.isfile(os.path.join(_here, "tasks")) or os.path.isfile(os.path.join(_here, "kernels")):
    __path__.append(os.path.dirname(_here))

_LAZY = {name: f"api.{name}" for name in ("generate", "edit", "repair", "fill")}
_LAZY |= {
    "Candidate": "api.candidate",
    "Hole": "tasks.text",
    "Draft": "tasks.text",
    "Violation": "tasks.task",
}


def __getattr__(name: str) -> Any:
    """``solver.generate``, ``solver.fill``, ``solver.edit`` and what goes with them, imported when they are asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
