"""What can go wrong with a schema, one type each. All are ValueErrors with a message of one line that says what to do."""

from __future__ import annotations

from typing import Any

from solver.tasks.errors import SolverError


class SchemaError(SolverError, ValueError):
    """Not a schema, or not a template: bad input."""


class FillError(SolverError, ValueError):
    """No instance. ``pointer``: a JSON pointer into the schema, where one part of it is the cause."""

    pointer: str | None = None
    forwards: int = 0  # what the attempt cost
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """type, message, pointer."""
        return {"type": type(self).__name__, "message": str(self), "pointer": self.pointer}


class UnsatisfiableSchema(FillError):  # noqa: N818  # the names are part of the interface
    """No value satisfies the schema, or none fits the template, and that is proven: not even a language without the parts that
    were left out has one."""

    def __init__(
        self,
        what: str = "no value satisfies this schema (proven); look for parts of it that contradict each other",
    ) -> None:
        super().__init__(what)


class CanvasTooSmall(FillError):  # noqa: N818
    """The shortest value needs ``minimum`` bytes, or more."""

    def __init__(self, minimum: int, cells: int, unit: str = "bytes") -> None:
        super().__init__(
            f"the shortest instance has {minimum} {unit} and the canvas {cells}: give a length of {minimum} or more"
        )
        self.minimum, self.cells = minimum, cells


class UnsupportedSchema(FillError):  # noqa: N818
    """The budget ended, and all that was wrong is a keyword which the language leaves to the validator (``declined``). best: the
    best text so far, which is not valid."""

    def __init__(self, pointer: str, keyword: str, best: str = "") -> None:
        super().__init__(
            f"no instance was found: {keyword} at {pointer or 'the root'} is left to the validator, and no draft met it; "
            "say it in another way, or give more --forwards"
        )
        self.pointer, self.keyword, self.best = pointer, keyword, best


class BudgetExhausted(FillError):  # noqa: N818
    """The budget ended first. best: the best text so far, which is not valid. violations: what is wrong with it."""

    def __init__(self, best: str, violations: tuple[str, ...]) -> None:
        wrong = (
            "; ".join(" ".join(message.split())[:120] for message in violations[:2]) or "no draft was valid"
        )
        super().__init__(
            f"the budget ended before a valid instance was found ({wrong}): give more --forwards or another --seed"
        )
        self.best, self.violations = best, violations
