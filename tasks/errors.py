"""Base classes of the errors that Remask raises on purpose, and checks of arguments that raise them.

Every error derives from :class:`SolverError` and has a message of one line that says what to change.

>>> expect_integer("candidates", 3, minimum=1)
>>> expect_integer("candidates", "3", minimum=1)
Traceback (most recent call last):
    ...
solver.tasks.errors.InvalidArgument: candidates must be a whole number of at least 1, not '3'
"""

from __future__ import annotations

from numbers import Integral


class SolverError(Exception):
    """Base class of all errors raised by Remask. Catch it to handle every failure of the public API."""


class InvalidArgument(SolverError, ValueError):  # noqa: N818  # the name is part of the public API
    """An argument has the wrong type or an impossible value."""


def invalid(name: str, expected: str, value: object) -> InvalidArgument:
    """The error for an argument: "``name`` must be ``expected``, not ``value``"."""
    return InvalidArgument(f"{name} must be {expected}, not {' '.join(repr(value).split())[:80]}")


def expect(name: str, value: object, kind: type | tuple[type, ...], expected: str) -> None:
    """Raise InvalidArgument unless ``value`` is an instance of ``kind``, which ``expected`` describes."""
    if not isinstance(value, kind):
        raise invalid(name, expected, value)


def expect_integer(name: str, value: object, minimum: int = 0) -> None:
    """Raise InvalidArgument unless ``value`` is an integer of at least ``minimum``; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < minimum:
        raise invalid(name, f"a whole number of at least {minimum}", value)
