"""Base classes of the errors that Remask raises on purpose.

Every error derives from :class:`SolverError` and has a one-line message that names what to change.

>>> issubclass(InvalidArgument, SolverError), issubclass(InvalidArgument, ValueError)
(True, True)
"""


class SolverError(Exception):
    """Base class of all errors raised by Remask. Catch it to handle every failure of the public API."""


class InvalidArgument(SolverError, ValueError):  # noqa: N818  # the name is part of the public API
    """An argument has the wrong type or an impossible value."""
