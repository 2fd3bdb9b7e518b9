"""A normalising Boolean algebra over interned expressions, shared by regular expressions and schema formulas.

    >>> from solver.tasks.languages.regex import NEVER, and_, literal, not_, or_
    >>> a, b = literal("a"), literal("b")
    >>> or_([a, or_([b, a])]) is or_([a, b])
    True
    >>> and_([a, not_(a)]) is NEVER
    True

Nested operators of one kind are flattened, repeated operands are dropped, and an expression next to its
own negation is absorbed. With interned expressions, equal normal forms are the same object.
"""

from collections.abc import Callable, Iterable
from typing import Any, Generic, Protocol, TypeVar

from solver.kernels.deadline import check_time


class Expression(Protocol):
    """An interned expression. ``op`` is "and", "or", "not", or any other name for what is atomic here."""

    @property
    def op(self) -> str: ...
    @property
    def parts(self) -> tuple[Any, ...]: ...


E = TypeVar("E", bound=Expression)


class BooleanAlgebra(Generic[E]):
    """Conjunction, disjunction and negation in normal form.

    Args:
        true: the neutral element of "and".
        false: the neutral element of "or".
        make: interns the expression for an operator ("and", "or", "not") and its operands.
        arrange: merges or sorts the operands of one "and" or "or" before the result is built; by default they
            stay as they are.
        unknown: the expression that is its own negation, if there is one.
    """

    def __init__(
        self,
        true: E,
        false: E,
        make: Callable[[str, tuple[E, ...]], E],
        arrange: Callable[[str, dict[E, None]], dict[E, None]] = lambda op, operands: operands,
        unknown: E | None = None,
    ) -> None:
        self.true, self.false, self.make, self.arrange = true, false, make, arrange
        self.constants = {true: false, false: true} | ({} if unknown is None else {unknown: unknown})

    def and_(self, operands: Iterable[E]) -> E:
        """The conjunction of ``operands``; true if there are none."""
        return self._join("and", operands, self.true, self.false)

    def or_(self, operands: Iterable[E]) -> E:
        """The disjunction of ``operands``; false if there are none."""
        return self._join("or", operands, self.false, self.true)

    def not_(self, operand: E) -> E:
        """The negation of ``operand``."""
        if operand.op == "not":
            inner: E = operand.parts[0]
            return inner
        return self.constants.get(operand) or self.make("not", (operand,))

    def _join(self, op: str, operands: Iterable[E], neutral: E, absorbing: E) -> E:
        check_time()
        distinct: dict[E, None] = {}
        for operand in operands:
            for part in operand.parts if operand.op == op else (operand,):
                if part is absorbing:
                    return absorbing
                if part is not neutral:
                    distinct[part] = None
        distinct = self.arrange(op, distinct)
        if any(part.op == "not" and part.parts[0] in distinct for part in distinct):
            return absorbing
        return self.make(op, tuple(distinct)) if len(distinct) > 1 else next(iter(distinct), neutral)
