"""Examples for the reader: texts with the places of a record's values, and batches with some fields known.

>>> record = {"name": "Ann", "paid": True, "age": None}
>>> kinds = {"name": "string", "paid": "boolean", "age": "integer"}
>>> schema = {"properties": {name: {"type": kind} for name, kind in kinds.items()}}
>>> words = TextWords.of("Ann has paid; ask Ann.")
>>> fields = field_truths(words, schema, record, {"/name": (0, 3)})
>>> [(truth.spans, truth.option, truth.absent) for _, truth in fields]
[(((0, 1), (5, 1)), None, False), ((), 0, False), ((), None, True)]

An example is kept as JSON. Each time it is drawn, other fields are known and other fields are asked for. Of a
known field, the network sees the value and its places in the text. Some known values are wrong, so that the
network learns to doubt one.

Shapes: B rows, F fields, K true classes of a field.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from solver.models.reader import MAX_WORDS, class_of_span
from solver.models.reader_fields import MAX_ITEMS, FieldQuery, join_pointer, leaf_queries, pointer_parts
from solver.models.reader_inputs import KnownField, ReaderItem, reader_inputs
from solver.models.reader_text import TextWords
from solver.training.loaders import VISIBLE_WEIGHT, WRONG_SHARE, Examples, Loader, Report

SIZES = (48, 96, 144, 208, 288)  # words; batches have texts of one size, longer ones are cut to the last
MAX_FIELDS = 40
CHUNK = 1_000  # records that one process makes at a time
MAX_PLACES = 8  # K, of one value
STANDARD_WORDS = 96  # a batch has as many rows as the preset, if its texts are of this size
UNKNOWN = KnownField()  # a value that neither the text nor an enumeration has: nothing to learn


class AnnotatedRecord(Protocol):
    """A text, and the values of a schema that it gives.

    Attributes:
        places: span in characters of the values that are read from the text, by JSON pointer.
    """

    @property
    def text(self) -> str: ...
    @property
    def schema(self) -> Any: ...
    @property
    def record(self) -> Any: ...
    @property
    def places(self) -> Mapping[str, tuple[int, int]]: ...


def record_value(record: Any, pointer: str) -> Any:
    """The value at a JSON pointer, None where there is none."""
    for part in pointer_parts(pointer):
        if isinstance(record, dict):
            record = record.get(part)
        elif isinstance(record, list) and part.isdecimal() and int(part) < len(record):
            record = record[int(part)]
        else:
            return None
    return record


def array_counts(record: Any, pointer: str = "") -> Iterator[tuple[str, int]]:
    """Pointer of each array, and the items to ask for: one more than there are."""
    if isinstance(record, dict):
        for name, value in record.items():
            yield from array_counts(value, join_pointer(pointer, name))
    elif isinstance(record, list):
        yield pointer, min(len(record) + 1, MAX_ITEMS)
        for index, value in enumerate(record):
            yield from array_counts(value, join_pointer(pointer, index))


def field_truths(
    words: TextWords, schema: Any, record: Any, places: Mapping[str, tuple[int, int]]
) -> list[tuple[FieldQuery, KnownField]]:
    """The leaves of a schema, and what a text says of each: its places, its option, "absent", or UNKNOWN."""
    truths = list[tuple[FieldQuery, KnownField]]()
    for query in leaf_queries(schema, counts=dict(array_counts(record))):
        value = record_value(record, query.pointer)
        if value is None:
            truths.append((query, KnownField(absent=True)))
        elif query.options:
            kinds = [(type(option), option) for option in query.options]
            is_option = (type(value), value) in kinds
            truths.append(
                (query, KnownField(option=kinds.index((type(value), value))) if is_option else UNKNOWN)
            )
        else:
            truths.append((query, KnownField(spans=value_spans(words, value, places.get(query.pointer)))))
    return truths


def value_spans(words: TextWords, value: Any, place: tuple[int, int] | None) -> tuple[tuple[int, int], ...]:
    """Spans in words of the value's places: the given one first, then all with the same words."""
    if place is None:
        start = words.text.lower().find(str(value).lower()) if str(value) else -1
        place = (start, start + len(str(value))) if start >= 0 else None
    span = words.span_of(*place) if place is not None else None
    if span is None or span[1] > MAX_WORDS:
        return ()
    starts = [span[0], *(first for first in words.occurrences(*span) if first != span[0])]
    return tuple((first, span[1]) for first in starts[:MAX_PLACES])


Sized = dict[int, list[bytes]]  # records as JSON, by the size of their text
MakeRecord = Callable[[np.random.Generator], AnnotatedRecord]


def reader_examples(
    number: int, seed: int, make_record: MakeRecord, report: Report, workers: int = 1
) -> Examples:
    """Make ``number`` records, and the state of the generator of the batches.

    Args:
        number: of records.
        seed: of all draws.
        make_record: a function of a module, where there are several workers.
        report: called with the number of records so far, and in all.
        workers: processes; their number does not change the examples.
    """
    rows: Sized = {size: [] for size in SIZES}
    jobs = [(min(CHUNK, number - start), seed, start, make_record) for start in range(0, number, CHUNK)]

    def collect(parts: Iterable[Sized]) -> None:
        for done, part in enumerate(parts, 1):
            for size, texts in part.items():
                rows[size] += texts
            report(min(number, done * CHUNK), number)

    if workers == 1 or len(jobs) == 1:
        collect(map(make_records_of, jobs))
    else:
        with ProcessPoolExecutor(workers, get_context("spawn")) as processes:
            collect(processes.map(make_records_of, jobs))
    rng = np.random.default_rng(seed)
    examples: Examples = {
        "generator": np.frombuffer(json.dumps(rng.bit_generator.state).encode(), np.uint8).copy()
    }
    for size, texts in rows.items():
        if texts:
            examples[f"{size}.json"] = np.frombuffer(b"".join(texts), np.uint8).copy()
            examples[f"{size}.ends"] = np.cumsum([len(text) for text in texts])
    return examples


def make_records_of(job: tuple[int, int, int, MakeRecord]) -> Sized:
    """The records of a job: their number, the seed, the number of the first, and what makes one."""
    number, seed, start, make_record = job
    rng, rows = np.random.default_rng((seed, start)), defaultdict[int, list[bytes]](list)
    for _ in range(number):
        made = make_record(rng)
        words = len(TextWords.of(made.text))
        size = next((size for size in SIZES if words <= size), SIZES[-1])
        fields = {
            "text": made.text,
            "schema": made.schema,
            "record": made.record,
            "places": dict(made.places),
        }
        rows[size].append(json.dumps(fields, ensure_ascii=False).encode())
    return dict(rows)


class FieldLoader(Loader):
    """Batches of annotated records, each time with other fields known.

    Args:
        examples: of :func:`reader_examples`.
        rows: rows of a batch of texts of the standard size.
        causal: whether the known fields are the first ones of the schema, and always right.
    """

    def __init__(self, examples: Examples, rows: int, causal: bool) -> None:
        rng = np.random.default_rng()
        rng.bit_generator.state = json.loads(examples["generator"].tobytes())
        self.columns = {
            size: (examples[f"{size}.json"], examples[f"{size}.ends"])
            for size in SIZES
            if f"{size}.json" in examples
        }
        super().__init__(examples, rng, [len(ends) for _, ends in self.columns.values()])
        self.shares = np.array(self.sizes, float) / sum(self.sizes)
        self.rows, self.causal = rows, causal

    def next(self) -> tuple[Tensor, ...]:
        """The entries of ReaderInputs, then true classes (B, F, K), -1 pads, and loss weights (B, F)."""
        size = list(self.columns)[int(self.rng.choice(len(self.columns), p=self.shares))]
        column, ends = self.columns[size]
        rows = max(4, self.rows * STANDARD_WORDS // size)
        records = []
        for index in self.rng.integers(0, len(ends), rows):
            start = int(ends[index - 1]) if index else 0
            records.append(json.loads(column[start : int(ends[index])].tobytes()))
        return training_batch([self.row(record) for record in records])

    def row(self, record: dict[str, Any]) -> tuple[ReaderItem, list[KnownField], list[float]]:
        """An item with some fields known, what the text says of its fields, and their loss weights."""
        words = TextWords.of(record["text"])
        truths = field_truths(words, record["schema"], record["record"], record["places"])
        words, truths = self.window(words, truths)
        truths = self.chosen_fields(truths)
        known, weights = self.known_fields(words, truths)
        item = ReaderItem(words, tuple(query for query, _ in truths), known)
        return item, [truth for _, truth in truths], weights

    def window(
        self, words: TextWords, truths: list[tuple[FieldQuery, KnownField]]
    ) -> tuple[TextWords, list[tuple[FieldQuery, KnownField]]]:
        """A random part of a text that is too long; fields that it does not give are absent."""
        if len(words) <= SIZES[-1]:
            return words, truths
        first = int(self.rng.integers(0, len(words) - SIZES[-1] + 1))
        part = TextWords.of(words.text[words.starts[first] : words.ends[first + SIZES[-1] - 1]])
        moved = list[tuple[FieldQuery, KnownField]]()
        for query, truth in truths:
            spans = [(start - first, length) for start, length in truth.spans]
            spans = [(start, length) for start, length in spans if start >= 0 and start + length <= len(part)]
            is_lost = bool(truth.spans) and not spans
            moved.append((query, KnownField(absent=True) if is_lost else replace(truth, spans=tuple(spans))))
        return part, moved

    def chosen_fields(
        self, truths: list[tuple[FieldQuery, KnownField]]
    ) -> list[tuple[FieldQuery, KnownField]]:
        """The fields to ask for: all, or some of them; in the order of the schema or in another."""
        rng = self.rng
        if len(truths) > MAX_FIELDS or (len(truths) > 2 and rng.random() < 0.25):
            number = int(rng.integers(1, min(len(truths), MAX_FIELDS) + 1))
            truths = [truths[index] for index in np.sort(rng.permutation(len(truths))[:number])]
        if not self.causal and rng.random() < 0.2:
            truths = [truths[index] for index in rng.permutation(len(truths))]
        return truths

    def known_fields(
        self, words: TextWords, fields: Sequence[tuple[FieldQuery, KnownField]]
    ) -> tuple[dict[int, KnownField], list[float]]:
        """Which fields are known, some of them wrong, and the loss weights."""
        rng, size = self.rng, len(fields)
        truths = [truth for _, truth in fields]
        weights = [0.0 if truth == UNKNOWN else 1.0 for truth in truths]
        if self.causal:
            first = int(rng.integers(0, size)) if rng.random() < 0.7 else 0
            visible = np.arange(size) < first
        else:
            visible = rng.random(size) < (0.0 if rng.random() < 0.4 else rng.random())
        known, is_pinned = dict[int, KnownField](), self.causal or rng.random() < 0.25
        for index in np.flatnonzero(visible).tolist():
            truth = truths[index]
            if not is_pinned and rng.random() < WRONG_SHARE:
                known[index] = self.wrong_value(words, fields[index][0], truth, truths)
            else:
                known[index] = replace(truth, pinned=is_pinned)
                weights[index] *= 0.0 if is_pinned else VISIBLE_WEIGHT
        return known, weights

    def wrong_value(
        self, words: TextWords, query: FieldQuery, truth: KnownField, truths: Sequence[KnownField]
    ) -> KnownField:
        """A wrong value of a field: another option, the place of another field, any words, or "absent"."""
        rng = self.rng
        if rng.random() < 0.2 and not truth.absent:
            return KnownField(absent=True)
        if query.options:
            return KnownField(option=int(rng.integers(len(query.options))))
        spans = [entry.spans for entry in truths if entry.spans and entry.spans != truth.spans]
        if spans and rng.random() < 0.5:
            return KnownField(spans=spans[int(rng.integers(len(spans)))])
        length = min(int(rng.integers(1, 4)), len(words))
        first = int(rng.integers(0, len(words) - length + 1))
        return KnownField(spans=((first, length),))


def training_batch(
    rows: Sequence[tuple[ReaderItem, Sequence[KnownField], Sequence[float]]],
) -> tuple[Tensor, ...]:
    """The entries of ReaderInputs, true classes (B, F, K) and loss weights (B, F) of some rows."""
    inputs = reader_inputs([item for item, _, _ in rows])
    fields, options = inputs.query_present.shape[1], inputs.option_owners.shape[1]
    classes = torch.full((len(rows), fields, MAX_PLACES), -1)
    weight = torch.zeros(len(rows), fields)
    for row, (item, truths, weights) in enumerate(rows):
        weight[row, : len(weights)] = torch.tensor(weights)
        option = 1
        for index, (query, truth) in enumerate(zip(item.queries, truths, strict=True)):
            for number, (first, length) in enumerate(truth.spans):
                classes[row, index, number] = class_of_span(first, length, options)
            if truth.option is not None:
                classes[row, index, 0] = option + truth.option
            elif truth.absent:
                classes[row, index, 0] = 0
            option += len(query.options)
    return *inputs, classes, weight
