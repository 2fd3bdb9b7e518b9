"""Compares the arguments of public functions with their annotations.

>>> @validated
... def repeat(text: str, times: Positive = 1) -> str:
...     return text * times
>>> repeat("ab", times=2)
'abab'
>>> repeat("ab", times=0)
Traceback (most recent call last):
    ...
solver.tasks.errors.InvalidArgument: times must be int, at least 1, not 0
"""

from __future__ import annotations

import builtins
import collections.abc
import re
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, wraps
from inspect import signature
from numbers import Integral, Real
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin

from solver.tasks.errors import InvalidArgument

Function = TypeVar("Function", bound=Callable[..., Any])
SHOWN = 80  # characters of a wrong value in a message


@dataclass(frozen=True)
class AtLeast:
    """Lower bound of a number, for ``Annotated``."""

    minimum: int

    def __str__(self) -> str:
        return f"at least {self.minimum}"


Positive = Annotated[int, AtLeast(1)]
Natural = Annotated[int, AtLeast(0)]


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
            return matches(value, arguments[0]) and bool(value >= arguments[1].minimum)
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
