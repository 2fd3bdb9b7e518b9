"""Arguments of public functions: compared with their annotations; and the checks among them, which users write.

>>> @validated
... def repeat(text: str, times: Positive = 1) -> str:
...     return text * times
>>> repeat("ab", times=2)
'abab'
>>> repeat("ab", times=0)
Traceback (most recent call last):
    ...
solver.tasks.errors.InvalidArgument: times must be int, at least 1, not 0

A check has one signature for ``generate``, ``fill``, ``edit`` and ``repair``: it is called with the finished
value and reports what is wrong with it. :func:`run_check` turns every accepted return value into violations.

>>> run_check(lambda text: "odd" not in text, "an odd text")[0].message
'the check failed'
>>> [violation.message for violation in run_check(lambda text: ["too long", "no verb"], "x")]
['too long', 'no verb']
>>> run_check(lambda text: None, "x")
()
"""

import builtins
import collections.abc
import math
import re
import types
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, wraps
from inspect import signature
from numbers import Integral, Real
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin

import numpy as np

from solver.tasks.errors import InvalidArgument
from solver.tasks.task import Violation

Function = TypeVar("Function", bound=Callable[..., Any])
SHOWN = 80  # characters of a wrong value in a message


@dataclass(frozen=True)
class AtLeast:
    """Lower bound of a number, and perhaps an upper one, for ``Annotated``."""

    minimum: int
    maximum: float = math.inf

    def __str__(self) -> str:
        return f"at least {self.minimum}" + (
            f" and at most {self.maximum:g}" if self.maximum < math.inf else ""
        )


Positive = Annotated[int, AtLeast(1)]
Natural = Annotated[int, AtLeast(0)]
Seconds = Annotated[float, AtLeast(0)]
Probability = Annotated[float, AtLeast(0, maximum=1)]


def validated(function: Function) -> Function:
    """Decorate ``function`` to raise InvalidArgument for arguments that do not match its annotations.

    Annotations may be classes, runtime protocols, unions, literals, callables, tuples of fixed length (any
    sequence of that length is accepted), mappings and collections, and numbers with a bound.
    """
    parameters = signature(function)
    hints = cache(lambda: typing.get_type_hints(function, include_extras=True))

    @wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        for name, value in parameters.bind(*args, **kwargs).arguments.items():
            if not matches(value, hints()[name]):
                shown = " ".join(repr(value).split())[:SHOWN]
                raise InvalidArgument(f"{name} must be {describe(hints()[name])}, not {shown}")
        return function(*args, **kwargs)

    return cast(Function, checked)


def matches(value: Any, hint: Any) -> bool:
    """Whether ``value`` matches the annotation ``hint``."""
    arguments = get_args(hint)
    match get_origin(hint):
        case None:
            numeric = {int: Integral, float: Real}.get(hint)
            if numeric is not None:
                return isinstance(value, numeric) and not isinstance(value, bool)
            return hint is Any or isinstance(value, hint)
        case types.UnionType | typing.Union:
            return any(matches(value, option) for option in arguments)
        case typing.Annotated:
            bound = arguments[1]
            return matches(value, arguments[0]) and bool(bound.minimum <= value <= bound.maximum)
        case typing.Literal:
            return isinstance(value, str) and value in arguments
        case collections.abc.Callable:
            return callable(value)
        case collections.abc.Mapping | builtins.dict as kind:
            pairs = value.items() if isinstance(value, kind) else [(None, None)]
            return all(matches(key, arguments[0]) and matches(item, arguments[1]) for key, item in pairs)
    if isinstance(value, str | bytes) or not isinstance(value, collections.abc.Collection):
        return False
    if get_origin(hint) is tuple:
        return len(value) == len(arguments) and all(map(matches, value, arguments))
    return isinstance(value, get_origin(hint)) and all(matches(item, arguments[0]) for item in value)


def describe(hint: Any) -> str:
    """An annotation in words, for messages."""
    arguments = get_args(hint)
    match get_origin(hint):
        case types.UnionType | typing.Union:
            return " or ".join(map(describe, arguments))
        case typing.Annotated:
            return f"{describe(arguments[0])}, {arguments[1]}"
        case typing.Literal:
            return " or ".join(map(repr, arguments))
        case collections.abc.Callable:
            return "a function"
        case None:
            return "None" if hint is type(None) else str(hint.__name__)
    return re.sub(r"(\w+\.)+", "", str(hint))


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
    if isinstance(item, Violation):
        return item
    if isinstance(item, str):
        return Violation(item or DEFAULT_MESSAGE)
    raise InvalidArgument(f"a check reports messages or Violations, not {type(item).__name__}")
