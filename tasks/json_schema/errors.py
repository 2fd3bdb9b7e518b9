"""Errors of schemas and of filling them.

>>> CanvasTooSmall(minimum=302, cells=64).minimum
302
"""

from typing import Any, Literal

from solver.tasks.errors import SolverError

MAX_CELLS = 4096  # bytes of a canvas


class SchemaError(SolverError, ValueError):
    """The input is not a schema or not a template."""


class FillError(SolverError, ValueError):
    """No instance was found.

    Attributes:
        pointer: JSON pointer to the part of the schema that is the cause, if it is a single one.
        forwards: forwards of the attempt.
        seconds: duration of the attempt.
    """

    pointer: str | None = None
    forwards: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return type, message and pointer."""
        return {"type": type(self).__name__, "message": str(self), "pointer": self.pointer}


class UnsatisfiableSchema(FillError):  # noqa: N818  # the names of these classes are part of the public API
    """It is proven that no value satisfies the schema, or that none fits the template."""

    def __init__(
        self,
        message: str = "no value satisfies this schema (proven); look for parts that contradict each other",
    ) -> None:
        super().__init__(message)


class CanvasTooSmall(FillError):  # noqa: N818
    """Every instance is longer than the canvas.

    Args:
        minimum: length of the shortest instance; if not ``is_exact``, a lower bound.
        cells: length of the canvas.
        unit: unit of both lengths.
        is_exact: whether an instance of that length is known to exist.
    """

    def __init__(self, minimum: int, cells: int, unit: str = "bytes", is_exact: bool = True) -> None:
        shortest = f"the shortest instance has {'' if is_exact else 'at least '}{minimum} {unit}"
        super().__init__(
            f"{shortest}, and a canvas has at most {MAX_CELLS}: ask for less"
            if unit == "bytes" and minimum > MAX_CELLS
            else f"{shortest} and the canvas {cells}: give a length of {minimum} or more"
        )
        self.minimum, self.cells = minimum, cells


class SchemaTooComplex(FillError):  # noqa: N818
    """The schema's language is too large to be compiled.

    Args:
        reason: which limit was reached.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the schema is too complex: {reason}; give a shorter length, or simplify its patterns and alternatives"
        )


class TemplateMismatch(FillError):  # noqa: N818
    """No text of the schema's language fits the template. The language may lack some, so this is no proof.

    Args:
        before: the literal before the place up to which such texts agree with the template.
        after: the literal after it. Both are empty if only the sizes of the holes do not fit.
    """

    def __init__(self, before: str = "", after: str = "") -> None:
        super().__init__(
            f"the template does not fit the schema, which has nothing for {after[:40]!r} after {before[-40:]!r}: "
            "change the template"
            if before or after
            else "no value of this schema was found that fits the template with holes of these sizes: change them"
        )
        self.before, self.after = before, after


class NotInText(FillError):  # noqa: N818
    """A field has to be read off the text, and the text has no value that satisfies its schema.

    Args:
        pointer: JSON pointer to the field in the instance, with "-" for the items of an array; None if it is not
            known to be a single field.
    """

    def __init__(self, pointer: str | None = None) -> None:
        field = "some field" if pointer is None else f"the field {pointer or 'at the root'}"
        super().__init__(
            f'the text has no value for {field}: set "x-source": "free" in its schema, or quotes="auto"'
        )
        self.pointer = pointer


class NotConfident(FillError):  # noqa: N818
    """A required field is less probable than was asked for.

    Attributes:
        candidate: the best candidate, with all its fields.
        pointers: JSON pointers to these fields.

    Args:
        candidate: see above.
        pointers: see above.
        minimum: the least probability that was asked for.
    """

    def __init__(self, candidate: Any, pointers: tuple[str, ...], minimum: float) -> None:
        names = ", ".join(pointer or "the value" for pointer in pointers[:3])
        rest = f" and {len(pointers) - 3} more" if len(pointers) > 3 else ""
        super().__init__(
            f"less than {minimum:g} probable: {names}{rest}; "
            "lower min_probability, or make them optional or nullable"
        )
        self.candidate, self.pointers = candidate, pointers
        self.pointer = pointers[0] if len(pointers) == 1 else None

    def to_json(self) -> dict[str, Any]:
        """Return type, message, pointer and all pointers."""
        return {**super().to_json(), "pointers": list(self.pointers)}


class UnsupportedSchema(FillError):  # noqa: N818
    """The budget ended, and every draft failed only a keyword that is left to the validator.

    Attributes:
        keyword: that keyword.
        best: the best draft, which is not valid.
    """

    def __init__(self, pointer: str, keyword: str, best: str = "") -> None:
        super().__init__(
            f"no instance was found: {keyword} at {pointer or 'the root'} is left to the validator, "
            "and no draft met it; say it in another way, or give more forwards"
        )
        self.pointer, self.keyword, self.best = pointer, keyword, best


COMPILING = "compiling the schema took all the time"


class BudgetExhausted(FillError):  # noqa: N818
    """The budget ended before an instance was found.

    Attributes:
        best: the best draft, which is not valid.
        violations: messages of what is wrong with it.

    Args:
        best: see above.
        violations: see above.
        ended_by: the limit that ended the attempt.
    """

    def __init__(
        self, best: str, violations: tuple[str, ...], ended_by: Literal["forwards", "seconds"] = "forwards"
    ) -> None:
        shortened = [" ".join(message.split())[:120] for message in violations[:2]]
        causes = "; ".join(shortened) or "no draft was valid"
        super().__init__(
            f"the budget ended before a valid instance was found ({causes}): "
            f"give more {ended_by} or another seed"
        )
        self.best, self.violations = best, violations
