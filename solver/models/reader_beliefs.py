"""What a reader believes of the fields of a problem: it scores the candidates of each field in the text.

>>> words = TextWords.of("Ann met Bob, and Bob left")
>>> candidates = ValueSpans.of(words, {"Ann": [(0, 3)], "Bob": [(8, 11), (17, 20)]})
>>> candidates.values, candidates.first, candidates.owner
(('Ann', 'Bob'), array([0, 2, 5]), array([0, 1, 1]))

The score of a value is that of all its places together. Texts of more words than the network was trained on are
read in windows that overlap. In a window, a candidate has a log-odds against "absent"; of several windows, the
highest counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from solver.models.reader import MAX_WORDS, ReaderNetwork, ReaderScores
from solver.models.reader_fields import FieldQuery, leaf_queries
from solver.models.reader_inputs import KnownField, ReaderItem, reader_inputs
from solver.models.reader_record import ABSENT, MAX_ITEMS_READ, FieldBelief
from solver.models.reader_text import TextWords
from solver.tasks.json_schema.candidates import FieldCandidates, field_at
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.task import Tokens

WINDOW, OVERLAP = 288, 96  # words
MAX_VALUES = 12  # of a field, the likeliest that are considered
FLOOR = 9.0  # nats below the likeliest value at which no more are considered
NO_WINDOW = -1e4


@dataclass(frozen=True, eq=False)
class ValueSpans:
    """The values of a field that can be read in a text, and their places.

    values: distinct.
    first, length: words of each place.
    owner: index of the value at each place.
    """

    values: tuple[Any, ...]
    first: Tokens
    length: Tokens
    owner: Tokens

    @staticmethod
    def of(words: TextWords, places: Mapping[Any, Iterable[tuple[int, int]]]) -> ValueSpans:
        """``places``: spans in characters by value."""
        rows = [(index, *place) for index, spans in enumerate(places.values()) for place in spans]
        owner, start, end = np.array(rows, np.int64).reshape(-1, 3).T
        first = np.searchsorted(words.ends, start, side="right")
        length = np.searchsorted(words.starts, end, side="left") - first
        kept = length > 0
        return ValueSpans(tuple(places), first[kept], length[kept], owner[kept])

    def places_of(self, index: int) -> tuple[tuple[int, int], ...]:
        """(first word, number of words) of the places of a value."""
        is_place = self.owner == index
        return tuple(zip(self.first[is_place].tolist(), self.length[is_place].tolist(), strict=True))

    def log_odds(self, scores: ReaderScores, field: int, offset: int) -> NDArray[np.float64]:
        """Scores against "absent", of the places inside a window that begins at word ``offset``."""
        size = int(scores.word_present.sum())
        first, length = self.first - offset, self.length
        inside = (first >= 0) & (first + length <= size)
        first, length, owner = first[inside], length[inside], self.owner[inside]
        start, end, sums, by_length = (
            part[0, field].double().numpy()
            for part in (scores.start, scores.end, scores.inside, scores.length)
        )
        total = start[first] + end[first + length - 1] + sums[first + length] - sums[first]
        total = total + by_length[np.minimum(length, MAX_WORDS) - 1]
        result = np.full(len(self.values), NO_WINDOW)
        np.logaddexp.at(result, owner, total - float(scores.absent[0, field]))
        return result


class FieldReading:
    """A problem's text, queries and candidates.

    Args:
        problem: the problem.
        queries: its leaves.
        candidates: of the queries that have no options.
    """

    def __init__(
        self, problem: JsonProblem, queries: Sequence[FieldQuery], candidates: Mapping[str, ValueSpans]
    ) -> None:
        self.problem, self.queries, self.candidates = problem, tuple(queries), candidates
        self.words = TextWords.of(problem.text)
        self.index = {query.pointer: index for index, query in enumerate(queries)}

    @staticmethod
    def of(problem: JsonProblem) -> FieldReading:
        """The reading of a problem."""
        words = TextWords.of(problem.text)
        queries = leaf_queries(problem.schema, counts=DefaultCounts())
        candidates, by_field = dict[str, ValueSpans](), dict[int, ValueSpans]()
        for query in queries:
            if query.options:
                continue
            field = field_at(problem.candidates, query.pointer)  # one for all items of an array
            if id(field) not in by_field:
                by_field[id(field)] = ValueSpans.of(words, field_values(field))
            candidates[query.pointer] = by_field[id(field)]
        return FieldReading(problem, queries, candidates)

    def is_free(self, pointer: str) -> bool:
        """Whether the text has no candidate for a field."""
        return pointer in self.candidates and not self.candidates[pointer].values

    def known_field(self, pointer: str, value: Any, pinned: bool = False) -> KnownField:
        """A field's value, with its places."""
        if value is ABSENT:
            return KnownField(absent=True, pinned=pinned)
        query = self.queries[self.index[pointer]]
        if query.options:
            return KnownField(option=query.options.index(value), pinned=pinned)
        candidates = self.candidates[pointer]
        spans = candidates.places_of(candidates.values.index(value)) if value in candidates.values else ()
        return KnownField(spans=spans, pinned=pinned)

    def windows(self) -> list[tuple[int, TextWords]]:
        """The first word and the words of each window."""
        if len(self.words) <= WINDOW:
            return [(0, self.words)]
        firsts = range(0, len(self.words) - OVERLAP, WINDOW - OVERLAP)
        parts = list[tuple[int, TextWords]]()
        for first in firsts:
            last = min(first + WINDOW, len(self.words)) - 1
            parts.append(
                (first, TextWords.of(self.problem.text[self.words.starts[first] : self.words.ends[last]]))
            )
        return parts

    def beliefs(
        self, network: ReaderNetwork, known: Mapping[str, KnownField]
    ) -> tuple[dict[str, FieldBelief], int]:
        """The beliefs by JSON pointer, given some fields, and the number of forwards.

        All fields are read at once. Items of arrays after the first are then read again, each given the items
        before it. A causal network reads the fields one by one, each given all before it.
        """
        if network.config.causal:
            return self.beliefs_in_order(network, known)
        beliefs, forwards, given = self.read(network, known), 1, dict(known)
        for item in range(1, MAX_ITEMS_READ):
            last = [query.pointer for query in self.queries if query.item == item]
            if all(beliefs[pointer].best is ABSENT for pointer in last):
                break
            given |= {pointer: self.known_field(pointer, beliefs[pointer].best) for pointer in last}
            again = self.read(network, given)
            beliefs |= {query.pointer: again[query.pointer] for query in self.queries if query.item > item}
            forwards += 1
        return beliefs, forwards

    def beliefs_in_order(
        self, network: ReaderNetwork, known: Mapping[str, KnownField]
    ) -> tuple[dict[str, FieldBelief], int]:
        """The beliefs of the fields in the schema's order, each given the values before it."""
        beliefs, given = dict[str, FieldBelief](), dict(known)
        for query in self.queries:
            belief = self.read(network, given)[query.pointer]
            beliefs[query.pointer] = belief
            given.setdefault(query.pointer, self.known_field(query.pointer, belief.best, True))
        return beliefs, len(self.queries)

    @torch.inference_mode()
    def read(self, network: ReaderNetwork, known: Mapping[str, KnownField]) -> dict[str, FieldBelief]:
        """The beliefs by JSON pointer, of one forward."""
        odds = {query.pointer: list[NDArray[np.float64]]() for query in self.queries}
        fixed = {self.index[pointer]: field for pointer, field in known.items()}
        for offset, words in self.windows():
            inside = {index: shifted(field, offset, len(words)) for index, field in fixed.items()}
            scores = network(reader_inputs([ReaderItem(words, self.queries, inside)]))
            for index, query in enumerate(self.queries):
                if query.options:
                    option = scores.option[0][scores.owners[0] == index] - scores.absent[0, index]
                    odds[query.pointer].append(option.double().numpy())
                else:
                    candidates = self.candidates[query.pointer]
                    odds[query.pointer].append(candidates.log_odds(scores, index, offset))
        return {query.pointer: self.belief(query, np.max(odds[query.pointer], 0)) for query in self.queries}

    def belief(self, query: FieldQuery, odds: NDArray[np.float64]) -> FieldBelief:
        """The belief of a field whose values have these log-odds against "absent"."""
        values = query.options or self.candidates[query.pointer].values
        if not len(values):
            placeholders = (0, 1) if query.kind in ("integer", "number") else ("", "x")
            return FieldBelief(placeholders, (-0.7, -0.7), -20.0, is_free=True)
        total = np.logaddexp(0.0, np.logaddexp.reduce(odds))
        order = np.argsort(-odds, kind="stable")[:MAX_VALUES]
        order = order[odds[order] >= odds[order[0]] - FLOOR]
        log_p = tuple(float(odds[index] - total) for index in order)
        return FieldBelief(tuple(values[index] for index in order), log_p, float(-total))

    def flops(self, network: ReaderNetwork) -> int:
        """FLOPs of reading the text once."""
        queries = sum(1 + len(query.options) for query in self.queries)
        return sum(network.flops(len(words), queries) for _, words in self.windows())


def field_values(field: FieldCandidates | None) -> dict[Any, tuple[tuple[int, int], ...]]:
    """The values that are proposed for a field, with their places in the text."""
    return {} if field is None else {value: field.places_of(value) for value in field.values}


class DefaultCounts(dict[str, int]):
    """Asks for the same number of items of every array."""

    def get(self, key: str, default: Any = None) -> int:
        return MAX_ITEMS_READ


def shifted(field: KnownField, offset: int, size: int) -> KnownField:
    """A known field as a window of ``size`` words sees it."""
    spans = [(first - offset, length) for first, length in field.spans]
    inside = tuple((first, length) for first, length in spans if first >= 0 and first + length <= size)
    return KnownField(inside, field.option, field.absent, field.pinned)
