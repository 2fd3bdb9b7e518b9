"""Texts and queries as the padded arrays that a reader takes.

>>> root = {"properties": {"paid": {"type": "boolean"}, "name": {"type": "string"}}}
>>> queries = [FieldQuery.of(root, "/paid"), FieldQuery.of(root, "/name")]
>>> item = ReaderItem.of("name: Ann", queries, {0: KnownField(option=1)})
>>> inputs = reader_inputs([item])
>>> inputs.option_owners, inputs.option_chosen
(tensor([[0, 0]]), tensor([[False,  True]]))
>>> inputs.relations[0, 1, 0].tolist()  # the query "name" and the word "name": name, context, taken
[True, False, False]

Shapes as in reader.py; K stems of a query.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from solver.models.blocks import KNOWN, OPEN, PINNED
from solver.models.reader import RELATIONS, ReaderInputs
from solver.models.reader_fields import KINDS, FieldQuery
from solver.models.reader_text import CODES, HASHES, TextWords, content_stems, identifier_words, word_stem
from solver.models.word_table import WordTable

STEMS = 8, 16  # of a name, of a context


@dataclass(frozen=True)
class KnownField:
    """The value of a field that a reader takes as given, or as drafted.

    Attributes:
        spans: (first word, number of words) of its places; empty for a value that is not in the text.
        option: the index of its option, None without any.
        absent: whether the text is known not to give it.
        pinned: whether it is certain.
    """

    spans: tuple[tuple[int, int], ...] = ()
    option: int | None = None
    absent: bool = False
    pinned: bool = False


@dataclass(frozen=True, eq=False)
class ReaderItem:
    """A text, the queries, and the known fields by the index of their query."""

    words: TextWords
    queries: tuple[FieldQuery, ...]
    known: Mapping[int, KnownField] = field(default_factory=dict)

    @staticmethod
    def of(
        text: str, queries: Sequence[FieldQuery], known: Mapping[int, KnownField] | None = None
    ) -> ReaderItem:
        return ReaderItem(TextWords.of(text), tuple(queries), known or {})

    @property
    def options(self) -> int:
        """Number of options of all queries."""
        return sum(len(query.options) for query in self.queries)


def reader_inputs(items: Sequence[ReaderItem], table: WordTable | None = None) -> ReaderInputs:
    """The padded arrays of some items; ``table`` holds the word vectors, None for the shipped ones."""
    table = table or WordTable.shipped()
    rows, width = len(items), table.width
    fields = max(1, *(len(item.queries) for item in items))
    options = max(item.options for item in items)
    words = max(1, *(len(item.words) for item in items))
    query_vectors = np.zeros((rows, fields, 3, width), np.float32)
    query_codes = np.zeros((rows, fields, 4), np.int64)
    query_states = np.full((rows, fields), 2 * OPEN)
    query_present = np.zeros((rows, fields), np.bool_)
    option_vectors = np.zeros((rows, options, width), np.float32)
    option_owners = np.full((rows, options), -1)
    option_chosen = np.zeros((rows, options), np.bool_)
    word_vectors = np.zeros((rows, words, width), np.float32)
    word_codes = np.zeros((rows, words, len(CODES)), np.int64)
    word_hashes = np.zeros((rows, words, HASHES), np.int64)
    word_present = np.zeros((rows, words), np.bool_)
    relations = np.zeros((rows, fields + options, words, len(RELATIONS)), np.bool_)
    for row, item in enumerate(items):
        size, option = len(item.words), 0
        if size:
            word_vectors[row, :size] = [table.vector(word) for word in item.words.strings]
            word_codes[row, :size], word_hashes[row, :size] = item.words.codes, item.words.hashes
        word_present[row, :size] = True
        query_present[row, : len(item.queries)] = True
        for index, query in enumerate(item.queries):
            groups = query.name, query.path, query.context
            query_vectors[row, index] = [table.mean(list(group)) for group in groups]
            query_codes[row, index] = query_code(query)
            related = relations[row, index, :size]
            names = query.name or query.path
            related[:, 0] = np.isin(item.words.stems, [word_stem(word) for word in names])
            related[:, 1] = np.isin(item.words.stems, content_stems([*query.path, *query.context]))
            known = item.known.get(index)
            if known is not None:
                query_states[row, index] = 2 * (PINNED if known.pinned else KNOWN) + known.absent
                for first, length in known.spans:
                    related[first : first + length, 2] = True
            for number, value in enumerate(query.options):
                spelled = option_words(value)
                option_vectors[row, option] = table.mean(spelled)
                option_owners[row, option] = index
                option_chosen[row, option] = known is not None and known.option == number
                stems = [word_stem(word) for word in spelled]
                relations[row, fields + option, :size, 0] = np.isin(item.words.stems, stems)
                relations[row, fields + option, :size, 1] = related[:, 0]
                option += 1
    arrays: tuple[NDArray[np.generic], ...] = (
        query_vectors, query_codes, query_states, query_present, option_vectors, option_owners,
        option_chosen, word_vectors, word_codes, word_hashes, word_present, relations,
    )  # fmt: skip
    return ReaderInputs(*map(torch.from_numpy, arrays))


def query_code(query: FieldQuery) -> tuple[int, int, int, int]:
    """Kind, item, nullable and depth."""
    return KINDS.index(query.kind), query.item, int(query.nullable), min(len(query.path), 3)


def option_words(value: object) -> list[str]:
    """The words of an option's value."""
    if isinstance(value, bool):
        return ["yes", "true"] if value else ["no", "false"]
    return identifier_words(str(value)) or [str(value)]
