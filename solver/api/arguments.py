"""Checks of the arguments that several public functions have in common. Wrong ones raise InvalidArgument.

>>> expect_template(["a", 3])
Traceback (most recent call last):
    ...
solver.tasks.errors.InvalidArgument: each part of the template must be a string or a Hole, not 3
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from solver.loop.policy import Policy
from solver.loop.trace import Budget
from solver.models.protocol import Denoiser
from solver.tasks.errors import expect, expect_integer, invalid
from solver.tasks.text import Hole


def expect_callable(name: str, value: object) -> None:
    """Raise InvalidArgument unless ``value`` is None or can be called."""
    if value is not None and not callable(value):
        raise invalid(name, "a function or None", value)


def expect_strings(name: str, value: object) -> None:
    """Raise InvalidArgument unless ``value`` is an iterable of strings, but no string itself."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise invalid(name, "a collection of strings", value)
    for item in value:
        expect(f"each item of {name}", item, str, "a string")


def expect_template(value: object) -> None:
    """Raise InvalidArgument unless ``value`` is None or a sequence of strings and holes."""
    if value is None:
        return
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise invalid("template", "a list of strings and holes", value)
    for part in value:
        expect("each part of the template", part, (str, Hole), "a string or a Hole")


def expect_schema(value: object) -> None:
    """Raise InvalidArgument unless ``value`` is a JSON schema (a dict or a bool) or a pydantic model."""
    if not (isinstance(value, dict | bool) or hasattr(value, "model_json_schema")):
        raise invalid("schema", "a JSON schema or a pydantic model", value)


def expect_registry(value: object) -> None:
    """Raise InvalidArgument unless ``value`` is None or a mapping from URIs to schemas."""
    if value is None:
        return
    expect("registry", value, Mapping, "a mapping from URIs to schemas")
    assert isinstance(value, Mapping)
    for uri in value:
        expect("each key of the registry", uri, str, "a string")


def expect_search(denoiser: object, check: object, candidates: object, budget: object, seed: object) -> None:
    """Check the arguments that ``fill``, ``edit`` and ``repair`` have in common."""
    expect("denoiser", denoiser, (str, Denoiser), "a name, a folder or a denoiser")
    expect_callable("check", check)
    expect_integer("candidates", candidates, minimum=1)
    expect("budget", budget, (Budget, type(None)), "a Budget or None")
    expect_integer("seed", seed)


def expect_policy(value: object) -> None:
    """Raise InvalidArgument unless ``value`` is None or a policy."""
    expect("policy", value, (Policy, type(None)), "a Policy or None")


def as_schema(schema: Any) -> Any:
    """A JSON schema, from one or from a pydantic model."""
    expect_schema(schema)
    return schema.model_json_schema() if hasattr(schema, "model_json_schema") else schema
