"""What can go wrong with a schema, one type each. All are ValueErrors with a message of one line."""

from __future__ import annotations

from dataclasses import dataclass, field


class SchemaError(ValueError):
    """Not a schema: bad input, exit code 2."""


@dataclass
class UnsatisfiableSchemaError(ValueError):
    """No value satisfies the schema, and that is proven: not even the language without what was left out has one."""

    message: str = "no value satisfies this schema (proven); look for parts that contradict each other"

    def __str__(self) -> str:
        return self.message


@dataclass
class CanvasTooSmallError(ValueError):
    """The shortest value needs ``minimum`` bytes."""

    minimum: int
    cells: int

    def __str__(self) -> str:
        return f"the shortest valid instance has {self.minimum} bytes and the canvas {self.cells}; give --length {self.minimum} or more"


@dataclass
class UnsupportedSchemaError(ValueError):
    """A keyword that neither the language nor the loop can answer for."""

    pointer: str
    keyword: str

    def __str__(self) -> str:
        return f"{self.keyword} at {self.pointer or 'the root'} is not supported; take it out, or say it in another way"


@dataclass
class BudgetExhaustedError(ValueError):
    """The budget ended first. best: the best text so far, which is not valid. violations: what is wrong with it."""

    best: str
    violations: tuple[str, ...] = field(default_factory=tuple)

    def __str__(self) -> str:
        wrong = "; ".join(self.violations[:3]) or "nothing was found"
        return f"the budget ended before a valid instance was found ({wrong}); give more --forwards or a longer --length"
