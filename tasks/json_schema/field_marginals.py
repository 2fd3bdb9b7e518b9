"""Probabilities of the values of a filled canvas: marginals of whole values in the lattice of all texts.

>>> from solver.tasks.json_schema.problem import JsonProblem
>>> problem = JsonProblem.of({"enum": ["red", "blue"]}, length=6)
>>> tokens, logits = np.array([*b'"red"', BLANK]), np.zeros((6, BLANK + 1), np.float32)
>>> marginals = FieldMarginals(problem, logits, tokens)
>>> other, probability = marginals.runner_up((0, 5), ())
>>> round(marginals.probability((0, 5)), 6), other, round(probability, 6)
(0.5, 'blue', 0.5)

The probability of a value is the weight of all texts that have it in its cells, divided by that of all texts:
one forward pass over the lattice with its cells pinned. Only the cells of the template are given. A value that
shares its slot with others may stand in other cells too; for those, there is an estimate from draws.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from solver.kernels.lattice_fast import Lattice
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.task import text_bytes
from solver.tasks.json_schema.validator import (
    JsonPath,
    byte_spans,
    equality_key,
    inner_values,
    load_json,
    value_at,
)
from solver.tasks.languages.projection import BLANK, BLANK_SYMBOL, byte_weights
from solver.tasks.task import Tokens

DRAWS = 256  # texts from which counts, and values that share a slot, are estimated
TRIES = 8  # texts that are compared for another value
# Bytes that may stand before and after a value in its slot.
BEFORE, AFTER = np.frombuffer(b":,[{ \n\r\t", np.uint8), np.frombuffer(b",]} \n\r\t", np.uint8)
Span = tuple[int, int]
Other = tuple[Any, float]  # a value and its probability


class Drawn(NamedTuple):
    """A value in a draw: its JSON, and the cell in which it begins."""

    text: str
    cell: int


class FieldMarginals:
    """The distribution over texts that one prediction of a denoiser and the schema's language define.

    Args:
        problem: the problem, with its layout.
        logits: of bytes and BLANK (L, 257).
        tokens: a text of the language on the canvas (L,).
    """

    def __init__(self, problem: JsonProblem, logits: NDArray[np.floating], tokens: Tokens) -> None:
        self.problem, self.tokens = problem, tokens
        self.given, self.pinned = problem.given
        self.weights = byte_weights(logits.astype(np.float64), self.given, self.pinned)
        self.cells = np.flatnonzero(tokens != BLANK)
        self.slots = problem.slots

    @cached_property
    def lattice(self) -> Lattice:
        """All texts of the language on this canvas."""
        return Lattice(self.problem.unrolled.automaton, self.weights, self.slots)

    @cached_property
    def record_probability(self) -> float:
        """The probability of the whole text."""
        return self._share(self._pin(self.weights, 0, len(self.tokens), self.tokens))

    def probability(self, span: Span) -> float:
        """The probability that a value stands in its cells.

        Args:
            span: start and end of the value in bytes of the text.
        """
        return self._probability(self.tokens, span)

    def runner_up(self, span: Span, path: JsonPath) -> Other | None:
        """The likeliest other value of a field, and its probability. What is outside of its slot is as it is.

        Args:
            span: start and end of the value in bytes of the text.
            path: of the value in the record.

        Returns:
            The value and its probability, None if no other value was found.
        """
        first, stop = self._cells(span)
        weights = self._pin(self.weights, 0, first, self.tokens)
        end = self._slot_end(stop)
        weights = self._pin(weights, end, len(weights), self.tokens)
        lattice = Lattice(self.problem.unrolled.automaton, weights, self.slots)
        ignored = np.ones(len(self.tokens), bool)
        ignored[first : min(stop + 1, end)] = False
        value = equality_key(value_at(load_json(text_bytes(self.tokens)), path))
        excluded = {symbols_of(self.tokens)}
        for _ in range(TRIES):
            block, score = lattice.next_best(excluded, ignored)
            if score == -np.inf:
                return None
            block = self._block_of(block)
            text = text_bytes(block)
            spans = byte_spans(text)
            if path in spans:
                other = value_at(load_json(text), path)
                if equality_key(other) != value:
                    return other, self._probability(block, spans[path])
            excluded.add(symbols_of(block))
        return None

    def shares_slot(self, span: Span) -> bool:
        """Whether the slot of a value has another text beside the value, so that its cells are not fixed."""
        first, stop = self._cells(span)
        starts = first == 0 or not self.slots.inside[first - 1] or bool(self.slots.last[first - 1])
        ends = bool(self.slots.last[stop - 1]) or not self.slots.inside[stop - 1]
        follows = not ends and self.tokens[stop] != BLANK
        return not starts or follows

    @cached_property
    def draws(self) -> Mapping[JsonPath, Counter[Drawn]]:
        """How often each value is at a path in DRAWS texts of the distribution, by value and first cell.

        Texts in which a path leads to nothing are not counted there.
        """
        counts = defaultdict[JsonPath, Counter[Drawn]](Counter)
        rng = np.random.default_rng(0)
        for _ in range(DRAWS):
            block = self._block_of(self.lattice.sample(rng))
            text, cells = text_bytes(block), np.flatnonzero(block != BLANK)
            spans = byte_spans(text)
            for path, value in inner_values(load_json(text)):
                counts[path][Drawn(as_json(value), int(cells[spans[path][0]]))] += 1
        return counts

    def elsewhere(self, span: Span, path: JsonPath, value: Any) -> float:
        """The share of the draws in which ``value`` is at a path, but begins in another cell than now."""
        place, text = self._cells(span)[0], as_json(value)
        drawn = self.draws.get(path, Counter()).items()
        return sum(number for other, number in drawn if other.text == text and other.cell != place) / DRAWS

    def present_share(self, path: JsonPath) -> float:
        """The share of the draws in which a path leads to a value."""
        return sum(self.draws.get(path, Counter()).values()) / DRAWS

    def likeliest_drawn(self, path: JsonPath) -> Other:
        """The value that is most often at a path in the draws, which has one in at least one of them."""
        shares = Counter[str]()
        for drawn, number in self.draws[path].items():
            shares[drawn.text] += number
        ((text, number),) = shares.most_common(1)
        return json.loads(text), number / DRAWS

    def count_share(self, path: JsonPath, count: int) -> float:
        """The share of the draws in which the array at a path has ``count`` items."""
        drawn = self.draws.get(path, Counter())
        lengths = ((json.loads(value.text), number) for value, number in drawn.items())
        matching = (number for value, number in lengths if isinstance(value, list) and len(value) == count)
        return sum(matching) / DRAWS

    def _block_of(self, symbols: Tokens) -> Tokens:
        """The tokens (L,) of a path in the lattice."""
        return np.where(self.pinned, self.given, np.where(symbols == BLANK_SYMBOL, BLANK, symbols))

    def _cells(self, span: Span) -> Span:
        """First cell of a part of the text, and the cell after its last one."""
        return int(self.cells[span[0]]), int(self.cells[span[1] - 1]) + 1

    def _slot_end(self, stop: int) -> int:
        """The first cell from ``stop`` on that is not in the slot of the cell before it."""
        while stop < len(self.tokens) and self.slots.inside[stop - 1] and not self.slots.last[stop - 1]:
            stop += 1
        return stop

    def _probability(self, tokens: Tokens, span: Span) -> float:
        """The probability of the part ``span`` of the text of ``tokens`` (L,) as a value in its cells."""
        cells = np.flatnonzero(tokens != BLANK)
        first, stop = int(cells[span[0]]), int(cells[span[1] - 1]) + 1
        weights = self._pin(self.weights, first, stop, tokens)
        if first and self.slots.inside[first - 1] and not self.slots.last[first - 1]:
            allow_only(weights[first - 1], BEFORE)
        if stop < len(tokens) and self.slots.inside[stop - 1] and not self.slots.last[stop - 1]:
            allow_only(weights[stop], np.append(AFTER, BLANK_SYMBOL))
        return self._share(weights)

    def _pin(
        self, weights: NDArray[np.float64], first: int, stop: int, tokens: Tokens
    ) -> NDArray[np.float64]:
        """Weights (L, 258) with the open cells from ``first`` to ``stop`` pinned to ``tokens`` (L,)."""
        pinned = weights.copy()
        cells = np.arange(first, stop)[~self.pinned[first:stop]]
        symbols = np.where(tokens[cells] == BLANK, BLANK_SYMBOL, tokens[cells])
        pinned[cells] = -np.inf
        pinned[cells, symbols] = weights[cells, symbols]
        return pinned

    def _share(self, weights: NDArray[np.float64]) -> float:
        """The weight of the texts that ``weights`` (L, 258) leave, divided by that of all texts."""
        total = Lattice(self.problem.unrolled.automaton, weights, self.slots).partition
        return float(np.exp(min(0.0, total - self.lattice.partition)))


def allow_only(weights: NDArray[np.float64], symbols: NDArray[Any]) -> None:
    """Set the weights (V,) of all other symbols of a cell to -inf, in place."""
    allowed = weights[symbols]
    weights[:] = -np.inf
    weights[symbols] = allowed


def as_json(value: Any) -> str:
    """A value as JSON, the members of objects in order of their names."""
    return json.dumps(value, sort_keys=True)


def symbols_of(tokens: Tokens) -> tuple[int, ...]:
    """The symbols of the lattice for tokens (L,)."""
    return tuple(np.where(tokens == BLANK, BLANK_SYMBOL, tokens).tolist())
