"""Offsets in a JSON text: bytes since the last colon, comma or opening bracket; an input of networks.

>>> left_offsets(np.array(list(b'{"a":12')))
array([0, 0, 1, 2, 3, 0, 1])
"""

import numpy as np
from numpy.typing import NDArray

QUOTE, BACKSLASH = ord('"'), ord("\\")
SEPARATORS = frozenset(b":,[{")


class Cursor:
    """Reads the bytes of a text from the left.

    Attributes:
        offset: of the next byte. Separators in strings do not count.
    """

    def __init__(self) -> None:
        self.offset, self._in_string, self._is_escaped = 0, False, False

    def advance(self, byte: int) -> None:
        """Read one byte, or BLANK."""
        self.offset += 1
        if self._in_string:
            self._in_string = byte != QUOTE or self._is_escaped
            self._is_escaped = byte == BACKSLASH and not self._is_escaped
        elif byte == QUOTE:
            self._in_string, self._is_escaped = True, False
        elif byte in SEPARATORS:
            self.offset = 0


def left_offsets(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the offset of every token (L,). Only the tokens before it are read."""
    offsets, cursor = np.zeros(len(tokens), np.int64), Cursor()
    for index, byte in enumerate(tokens.tolist()):
        offsets[index] = cursor.offset
        cursor.advance(byte)
    return offsets
