"""Checks written by users: one signature for ``generate``, ``fill``, ``edit`` and ``repair``.

A check is called with the finished value and reports what is wrong with it. :func:`run_check` turns every
accepted return value into violations:

>>> run_check(lambda text: "odd" not in text, "an odd text")
(Violation(message='the check failed', cells=(), rule='check', reason=None, excluded=None, span=None,
path=None),)
>>> [violation.message for violation in run_check(lambda text: ["too long", "no verb"], "x")]
['too long', 'no verb']
>>> run_check(lambda text: None, "x")
()
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np

from solver.tasks.errors import InvalidArgument
from solver.tasks.task import Violation

Value = TypeVar("Value")

# None or True: the value passes. False, a message or a violation: it does not. Or several of the latter.
CheckResult = None | bool | str | Violation | Iterable[str | Violation]
Check = Callable[[Value], CheckResult]

DEFAULT_MESSAGE = "the check failed"


def run_check(check: Check[Value] | None, value: Value) -> tuple[Violation, ...]:
    """Call ``check`` with ``value`` and return the violations it reports; empty if the value passes.

    Args:
        check: the user's function, or None for no check. Exceptions that it raises propagate.
        value: a JSON value (fill), a :class:`~solver.tasks.text.Draft` (generate), source text (edit,
            repair).

    Raises:
        InvalidArgument: the check returned a value that is not a :data:`CheckResult`.
    """
    result = None if check is None else check(value)
    match result:
        case None:
            return ()
        case bool() | np.bool_():
            return () if result else (Violation(DEFAULT_MESSAGE),)
        case str() | Violation():
            return (_as_violation(result),)
        case Iterable():
            return tuple(_as_violation(item) for item in result)
    raise InvalidArgument(
        "a check returns None, a bool, a message, a Violation or several of these, "
        f"not {type(result).__name__}"
    )


def _as_violation(item: object) -> Violation:
    """A message becomes a violation without a location."""
    if isinstance(item, Violation):
        return item
    if isinstance(item, str):
        return Violation(item or DEFAULT_MESSAGE)
    raise InvalidArgument(f"a check reports messages or Violations, not {type(item).__name__}")
