"""Word vectors: pretrained, fixed, of whole words and of the pieces of unknown ones.

>>> table = WordTable.shipped()
>>> table.vector("Thursday") @ table.vector("monday") > 0.5
np.True_
>>> table.pieces("invoicenr")
['invoice', '#n', '#r']

The shipped table is made by solver/training/word_vectors.py; its source and licence are in weights/words.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

WORDS_FILE = Path(__file__).parents[1] / "weights" / "words" / "words.safetensors"
LONGEST_PIECE = 14
MAX_CACHED = 200_000  # words


class WordTable:
    """Vectors of words.

    Args:
        words: lower-case words; pieces that only continue a word begin with "#".
        vectors: of unit length, (T, E).
    """

    def __init__(self, words: list[str], vectors: NDArray[np.float32]) -> None:
        self.rows = {word: row for row, word in enumerate(words)}
        self.vectors, self.width = vectors, vectors.shape[1]
        self._cached = dict[str, NDArray[np.float32]]()

    @staticmethod
    @cache
    def shipped() -> WordTable:
        """The table in weights/words."""
        tensors = load_file(WORDS_FILE)
        vectors = tensors["vectors"].astype(np.float32) * tensors["scales"].astype(np.float32)[:, None]
        return WordTable(tensors["words"].tobytes().decode().split("\n"), vectors)

    def pieces(self, word: str) -> list[str]:
        """The longest known pieces of a lower-case word, from left to right; unknown letters are left out."""
        if word in self.rows:
            return [word]
        pieces, start = list[str](), 0
        while start < len(word):
            mark = "#" if start else ""
            ends = range(min(len(word), start + LONGEST_PIECE), start, -1)
            known = (mark + word[start:end] for end in ends if mark + word[start:end] in self.rows)
            piece = next(known, None)
            if piece is not None:
                pieces.append(piece)
            start += max(1, len(piece or "") - len(mark))
        return pieces

    def vector(self, word: str) -> NDArray[np.float32]:
        """The vector (E,) of a word in any case: its own, or the mean of its pieces'; zero without any."""
        vector = self._cached.get(word)
        if vector is None:
            rows = [self.rows[piece] for piece in self.pieces(word.lower())]
            vector = self.vectors[rows].mean(0) if rows else np.zeros(self.width, np.float32)
            if len(self._cached) < MAX_CACHED:
                self._cached[word] = vector
        return vector

    def mean(self, words: list[str]) -> NDArray[np.float32]:
        """The mean vector (E,) of ``words``; zero without any."""
        if not words:
            return np.zeros(self.width, np.float32)
        mean: NDArray[np.float32] = np.mean([self.vector(word) for word in words], 0)
        return mean
