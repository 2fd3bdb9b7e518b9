"""The errors of models, beside those of tasks. ``solver.SolverError`` is the base class of all.

>>> issubclass(ModelError, SolverError), issubclass(CheckpointError, ValueError)
(True, True)
"""

from solver.tasks.errors import InvalidArgument, SolverError

__all__ = ["CheckpointError", "InvalidArgument", "ModelError", "SolverError"]


class ModelError(SolverError, ValueError):
    """A model cannot be loaded, or not be used for what was asked. The message is one line."""


class CheckpointError(SolverError, ValueError):
    """A checkpoint cannot be used. The message is one line and names the file."""
