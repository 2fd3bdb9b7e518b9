"""Arrays whose items have to differ: if a draft repeats one, a matching gives each item a value of its own.

    >>> slots, rng = Slots.single(8), np.random.default_rng(0)
    >>> blocks = [np.array([*text, BLANK]) for text in (b"[1,1,2]", b"[3,2,1]", b"[2,3,3]")]
    >>> known = np.zeros(8, bool)
    >>> repeated = lambda text: [()] if text == b"[1,1,2]" else []
    >>> matched = distinct_draft(blocks[0], known, slots, repeated, blocks[1:])
    >>> bytes(matched[:-1].tolist())
    b'[1,3,2]'

The values that an item may have are those that it has in a number of draws from the language, half of them
from the model's distribution and half from all texts alike. The more often it has a value, the likelier that
is in the matching (the cheapest assignment). Matching proves nothing: if it fails, other drafts follow.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from solver.kernels.assignment import cheapest_assignment
from solver.kernels.deadline import check_time
from solver.kernels.lattice import Slots
from solver.tasks.json_schema.validator import JsonPath, byte_spans, equality_key
from solver.tasks.languages.projection import BLANK
from solver.tasks.task import Mask, Tokens

DRAWS = (32, 96)  # after so many draws a matching is tried
MAX_BASES = 4  # draws that are tried in place of the draft, for their numbers of items
MAX_ARRAYS = 64  # of one draft
IMPOSSIBLE = 1e6  # cost of a value that an item did not have in any draw
BYTE_COSTS = (0.0, 1.0, 100.0)  # of each byte of a value, until the text fits
Place = tuple[int, bytes, bytes]


class Item(NamedTuple):
    """An item of an array in a draft.

    Attributes:
        key: of its value; equal for equal values.
        place: its open run, and its known bytes on either side; None if it is not open, or not in one run.
        cells: its open cells.
        text: the bytes in them.
    """

    key: Hashable
    place: Place | None
    cells: tuple[int, ...]
    text: bytes


@dataclass(frozen=True, eq=False)
class Runs:
    """The runs of open cells between known ones.

    Attributes:
        number: of each cell's run (L,); -1 in known cells.
        is_flexible: whether each run may end with BLANKs.
    """

    number: NDArray[np.int64]
    is_flexible: tuple[bool, ...]

    @staticmethod
    def of(known: Mask, slots: Slots) -> Runs:
        """The runs of a canvas."""
        begins = ~known & np.concatenate([[True], known[:-1] | slots.last[:-1]])
        number = np.where(known, -1, np.cumsum(begins) - 1)
        ends = [int(np.flatnonzero(number == run)[-1]) for run in range(int(begins.sum()))]
        return Runs(number, tuple(bool(slots.last[end]) for end in ends))


class Draft:
    """A draft as the items of its arrays."""

    def __init__(self, tokens: Tokens, runs: Runs) -> None:
        self.tokens, self.runs = tokens, runs
        self.cells = np.flatnonzero(tokens != BLANK)
        self.text = bytes(tokens[self.cells].astype(np.uint8))
        self.spans, self.value = byte_spans(self.text), json.loads(self.text)

    def items(self, path: JsonPath) -> list[Item]:
        """The items of the array at a path; none if there is no array."""
        value: Any = self.value
        for part in path:
            is_inside = (
                part in value
                if isinstance(value, dict)
                else isinstance(value, list) and part in range(len(value))
            )
            if not is_inside:
                return []
            value = value[part]
        items = value if isinstance(value, list) else []
        return [self._item((*path, index), item) for index, item in enumerate(items)]

    def _item(self, path: JsonPath, value: Any) -> Item:
        cells = self.cells[slice(*self.spans[path])]
        runs = self.runs.number[cells]
        where = np.flatnonzero(runs >= 0)
        place = None
        if len(where) and (runs[where[0] : where[-1] + 1] == runs[where[0]]).all():
            text = bytes(self.tokens[cells].astype(np.uint8))
            place = int(runs[where[0]]), text[: where[0]], text[where[-1] + 1 :]
        open_cells = tuple(cells[where].tolist())
        return Item(
            equality_key(value), place, open_cells, bytes(self.tokens[list(open_cells)].astype(np.uint8))
        )

    def changed(self, texts: Mapping[int, bytes], removed: Iterable[int]) -> Tokens | None:
        """The draft with other content in some cells; None if it does not fit.

        Args:
            texts: bytes that take the place of those of a cell.
            removed: cells whose bytes are left out, unless they have such a text.
        """
        written = {**dict.fromkeys(removed, b""), **texts}
        tokens = self.tokens.copy()
        for run in {int(self.runs.number[cell]) for cell in written}:
            if run < 0:
                return None
            cells = np.flatnonzero(self.runs.number == run)
            kept = (
                written.get(cell, bytes([token]) if token != BLANK else b"")
                for cell, token in zip(cells.tolist(), self.tokens[cells].tolist(), strict=True)
            )
            content = np.frombuffer(b"".join(kept), np.uint8)
            missing = len(cells) - len(content)
            if missing < 0 or (missing and not self.runs.is_flexible[run]):
                return None
            tokens[cells] = np.concatenate([content, np.full(missing, BLANK)])
        return tokens

    def cells_without(self, path: JsonPath, kept: Sequence[bool]) -> list[int]:
        """The cells of the items of an array that are not ``kept``, and of their commas."""
        first, cells = kept.index(True), list[int]()
        spans = [self.spans[(*path, index)] for index in range(len(kept))]
        for index, is_kept in enumerate(kept):
            if not is_kept:
                start, end = spans[index]
                between = (start, spans[index + 1][0]) if index < first else (spans[index - 1][1], end)
                cells += self.cells[slice(*between)].tolist()
        return cells


def distinct_draft(
    tokens: Tokens,
    known: Mask,
    slots: Slots,
    repeated: Callable[[bytes], list[JsonPath]],
    draws: Iterable[Tokens],
) -> Tokens | None:
    """Return a draft without repeated items that is as much as possible like a given one.

    Args:
        tokens: the draft (L,).
        known: cells (L,) that have to keep their tokens.
        slots: cells that may be BLANK.
        repeated: returns the paths of the arrays of a text that must not repeat items, and do.
        draws: drafts (L,) of the language, with the same known cells.

    Returns:
        The draft (L,), or None if none was found.
    """
    runs = Runs.of(known, slots)
    source, drawn = iter(draws), list[Draft]()
    for number in DRAWS:
        drawn += map_drafts(islice(source, number - len(drawn)), runs)
        for base in (Draft(tokens, runs), *drawn[:MAX_BASES]):
            matched = _matched(base, repeated, drawn)
            if matched is not None:
                return matched
    return None


def map_drafts(blocks: Iterable[Tokens], runs: Runs) -> Iterator[Draft]:
    """Read blocks as drafts."""
    for block in blocks:
        check_time()
        yield Draft(block, runs)


def _matched(draft: Draft, repeated: Callable[[bytes], list[JsonPath]], drawn: list[Draft]) -> Tokens | None:
    """A draft with distinct items in all arrays that need them."""
    for _ in range(MAX_ARRAYS):
        paths = repeated(draft.text)
        if not paths:
            return draft.tokens
        tokens = _match_items(draft, paths[0], [sample.items(paths[0]) for sample in drawn])
        if tokens is None:
            return None
        draft = Draft(tokens, draft.runs)
    return None


def _match_items(draft: Draft, path: JsonPath, samples: list[list[Item]]) -> Tokens | None:
    """The draft with distinct items in one array; None if it does not fit.

    Items for which no value is left are removed.
    """
    items = draft.items(path)
    options = [
        _texts_by_value(item, [sample[index] for sample in samples if index < len(sample)])
        for index, item in enumerate(items)
    ]
    keys = list(dict.fromkeys(key for texts in options for key in texts))
    columns = {key: column for column, key in enumerate(keys)}
    shape = len(items), max(len(items), len(keys))  # at least a column for each item
    costs, lengths = np.full(shape, IMPOSSIBLE), np.zeros(shape)
    for row, texts in enumerate(options):
        for key, counts in texts.items():
            costs[row, columns[key]] = -np.log(counts.total())
            lengths[row, columns[key]] = len(most_common(counts))
    for byte_cost in BYTE_COSTS:
        chosen = cheapest_assignment(costs + byte_cost * lengths)
        kept = (costs[np.arange(len(items)), chosen] < IMPOSSIBLE).tolist()
        written, removed = dict[int, bytes](), draft.cells_without(path, kept)
        for item, texts, column, is_kept in zip(items, options, chosen.tolist(), kept, strict=True):
            if is_kept and keys[column] != item.key:
                removed += item.cells
                written[item.cells[0]] = most_common(texts[keys[column]])
        tokens = draft.changed(written, removed)
        if tokens is not None:
            return tokens
    return None


def _texts_by_value(item: Item, samples: Iterable[Item]) -> dict[Hashable, Counter[bytes]]:
    """How often an item has each text, by the key of its value, in drafts in which its place is the same."""
    texts: dict[Hashable, Counter[bytes]] = {item.key: Counter([item.text])}
    for sample in samples:
        if item.place is not None and sample.place == item.place:
            texts.setdefault(sample.key, Counter())[sample.text] += 1
    return texts


def most_common(counts: Counter[bytes]) -> bytes:
    """The text that was counted most often."""
    return max(counts, key=counts.__getitem__)
