"""The vocabulary of code: byte pairs within words, markers of indentation, and tokens that write nothing.

>>> vocabulary = Vocabulary.load()
>>> ids, indent = vocabulary.encode("if x:\\n    y = 1\\n")
>>> [vocabulary.display(token) for token in ids]
['if ', 'x', ':', '<NEWLINE>', '<INDENT>', 'y', ' = ', '1', '<MARGIN>']
>>> vocabulary.decode(ids)
'if x:\\n    y = 1\\n'

Ids: 256 bytes, then merges of two earlier ids each, then the special tokens with BLANK last. No merge crosses
the boundary of a word (lexer.py), so a name has the same tokens everywhere. ``vocabulary.json`` holds the
merges. ``python -m solver.tasks.code_edit.train_vocabulary`` made it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from solver.tasks.code_edit.lexer import MARKERS, WORDS, Indent, Lexeme, lex_lines, lexeme_texts

FILE = Path(__file__).with_name("vocabulary.json")
SENTINELS = (*(f"HOLE{number}" for number in range(8)), "GAP", "START", "END")
SPECIALS = (*(marker.upper() for marker in MARKERS), *SENTINELS, "BLANK")
MAX_CACHED_WORDS = 1 << 17
START_OF_LINE = Indent()
INCOMPLETE_CHARACTER = re.compile(
    rb"(?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})\Z"
)  # the first bytes of a UTF-8 character


class Vocabulary:
    """Encodes text as token ids and decodes them.

    Args:
        merges: two earlier ids each, in the order in which the merged ids are numbered.

    Attributes:
        size: the number of ids.
        blank: the id of BLANK, the last one.
        sentinels: ids that write nothing and that no hole may hold.

    Raises:
        ValueError: a merge is of an id that is not earlier.
    """

    def __init__(self, merges: Sequence[Sequence[int]]) -> None:
        self.bytes = [bytes([value]) for value in range(256)]
        for left, right in merges:
            if not 0 <= min(left, right) <= max(left, right) < len(self.bytes):
                raise ValueError(f"merge {len(self.bytes)} is of {left} and {right}, which are not there yet")
            self.bytes.append(self.bytes[left] + self.bytes[right])
        self.ids = {name: len(self.bytes) + number for number, name in enumerate(SPECIALS)}
        self.size, self.blank = len(self.bytes) + len(SPECIALS), self.ids["BLANK"]
        self.sentinels = tuple(self.ids[name] for name in SENTINELS)
        self.marker_ids = {marker: self.ids[marker.upper()] for marker in MARKERS}
        self.markers = {token: marker for marker, token in self.marker_ids.items()}
        self.silent = {*self.sentinels, self.blank}
        self.words = WordTokens({(left, right): 256 + number for number, (left, right) in enumerate(merges)})

    @staticmethod
    @lru_cache(1)
    def load() -> Vocabulary:
        """The vocabulary of the shipped models."""
        return Vocabulary(json.loads(FILE.read_text(encoding="utf-8"))["merges"])

    def special(self, name: str) -> int:
        """The id of one of SPECIALS. Raises KeyError."""
        return self.ids[name]

    def encode(self, text: str, indent: Indent = START_OF_LINE) -> tuple[NDArray[np.int64], Indent]:
        """Encode any text that begins in a line of this indentation:

        its ids (N,) and its last line's indentation.
        """
        ids = list[int]()
        for line in lex_lines(text, indent):
            ids += [self.marker_ids[marker] for marker in line.markers]
            ids += chain.from_iterable(map(self.words.__getitem__, WORDS.findall(line.text)))
            indent = line.indent
        return np.array(ids, np.int64), indent

    def decode(self, ids: Iterable[int], indent: Indent = START_OF_LINE) -> str:
        """The text that ids write in a line of this indentation. Raises ValueError for an unknown id."""
        return "".join(self.token_texts(ids, indent))

    def token_texts(self, ids: Iterable[int], indent: Indent = START_OF_LINE) -> list[str]:
        """The text that each id writes; joined, the text that they decode to.

        BLANK and sentinels write nothing. A character of several tokens is written by the last of them, and
        bytes that are no character become U+FFFD. Raises ValueError for an unknown id.
        """
        tokens = [int(token) for token in ids]
        if not all(0 <= token < self.size for token in tokens):
            raise ValueError(f"an id is not in 0 to {self.size - 1}")
        writing = [index for index, token in enumerate(tokens) if token not in self.silent]
        lexemes, pending = list[Lexeme](), b""
        for number, index in enumerate(writing):
            marker = self.markers.get(tokens[index])
            if marker:
                lexemes.append(Lexeme("", marker))
                continue
            is_last = number + 1 == len(writing) or tokens[writing[number + 1]] in self.markers
            text, pending = decode_bytes(pending + self.bytes[tokens[index]], is_last)
            lexemes.append(Lexeme(text))
        texts = [""] * len(tokens)
        for index, text in zip(writing, lexeme_texts(lexemes, indent), strict=True):
            texts[index] = text
        return texts

    def display(self, token: int) -> str:
        """A readable form of an id: the text that it writes, or its name in angle brackets."""
        if token < len(self.bytes):
            return self.bytes[token].decode(errors="backslashreplace")
        return f"<{SPECIALS[token - len(self.bytes)]}>"


class WordTokens(dict[str, tuple[int, ...]]):
    """Cache of the tokens of words."""

    def __init__(self, merges: Mapping[tuple[int, int], int]) -> None:
        super().__init__()
        self.merges = merges

    def __missing__(self, word: str) -> tuple[int, ...]:
        if len(self) >= MAX_CACHED_WORDS:
            self.clear()
        tokens = self[word] = apply_merges(word.encode(errors="surrogatepass"), self.merges)
        return tokens


def apply_merges(raw: bytes, merges: Mapping[tuple[int, int], int]) -> tuple[int, ...]:
    """Byte pair encoding: apply the earliest merge that is possible, from left to right, until none is."""
    ids, no_merge = list(raw), len(merges) + 256
    while True:
        chosen = min((merges.get(pair, no_merge) for pair in pairwise(ids)), default=no_merge)
        if chosen == no_merge:
            return tuple(ids)
        merged, index = list[int](), 0
        while index < len(ids):
            applies = index + 1 < len(ids) and merges.get((ids[index], ids[index + 1])) == chosen
            merged.append(chosen if applies else ids[index])
            index += 1 + applies
        ids = merged


def decode_bytes(raw: bytes, is_last: bool) -> tuple[str, bytes]:
    """Decode bytes as far as possible.

    The start of a character is returned undecoded, unless nothing follows.
    """
    incomplete = None if is_last else INCOMPLETE_CHARACTER.search(raw)
    raw, pending = (raw[: incomplete.start()], incomplete.group()) if incomplete else (raw, b"")
    try:
        return raw.decode(errors="surrogatepass"), pending  # half a surrogate pair is a character to Python
    except UnicodeDecodeError:
        return raw.decode(errors="replace"), pending
