"""Prunes automaton states that no text matching a template can reach.

    >>> template = TemplateFilter.from_parts([b'{"a":', 10, b"}"])      # literals, and sizes of holes
    >>> template.advance(template.start, b'{"b"')      # no matching text begins like this
    0
    >>> bool(template.advance(template.start, b'{"a":1}') & template.end)
    True

A position is the byte of a literal that comes next, a cell of a small hole, or a large hole; a set of positions
is the bits of an int. The filter is an over-approximation: the sizes of large holes are ignored.
"""

from __future__ import annotations

from collections.abc import Sequence

from solver.kernels.trie import WHITE_BYTES
from solver.tasks.languages.byte_automaton import LABELS, WHITE, ByteAutomaton

SMALL_HOLE = 16  # bytes of the largest hole whose size counts


class TemplateFilter:
    """Literals and sizes of holes, of which no two are adjacent.

    Attributes:
        start: the positions before the first byte.
        end: the position after the last byte.
        holes: the positions in holes.
        large: those of large holes, which a text may stay in.
    """

    def __init__(self, parts: Sequence[bytes | int]) -> None:
        self.bytes: list[int] = []  # by position; -1 in a hole
        self.large = 0
        for part in parts:
            if isinstance(part, bytes):
                self.bytes += part
            else:
                is_large = part > SMALL_HOLE
                self.large |= is_large << len(self.bytes)
                self.bytes += [-1] * (1 if is_large else part)
        self.holes = sum(1 << position for position, byte in enumerate(self.bytes) if byte < 0)
        self.end = 1 << len(self.bytes)
        self.start = self._close(1)
        self._matching: dict[int, int] = {}  # by label: the literal positions that one of its bytes fits
        self._advanced: dict[tuple[int, ByteAutomaton], int] = {}

    @staticmethod
    def from_parts(parts: Sequence[bytes | int]) -> TemplateFilter:
        """From literals and sizes of holes; adjacent holes become one."""
        joined: list[bytes | int] = []
        for part in parts:
            if isinstance(part, int) and joined and isinstance(joined[-1], int):
                joined[-1] += part
            else:
                joined.append(part)
        return TemplateFilter(joined)

    def advance(self, positions: int, piece: bytes | ByteAutomaton) -> int:
        """All positions after a text, or after one of an automaton's texts."""
        if isinstance(piece, bytes):
            for byte in piece:
                positions = self._step(positions, byte)
            return positions
        key = positions, piece
        if key not in self._advanced:
            self._advanced[key] = self._run(positions, piece)
        return self._advanced[key]

    def split(self, positions: int) -> tuple[str, str]:
        """The literals before and after the last of these positions; empty after the end of the template."""
        last = max(0, positions.bit_length() - 1)
        if last >= len(self.bytes):
            return "", ""
        before = literal_until_hole(self.bytes[:last][::-1])[::-1]
        return before.decode(errors="replace"), literal_until_hole(self.bytes[last:]).decode(errors="replace")

    def _close(self, positions: int) -> int:
        """Add the positions after cells of holes that stay empty."""
        while more := (positions & self.holes) << 1 & ~positions:
            positions |= more
        return positions

    def _step(self, positions: int, label: int) -> int:
        matching = self._matching.get(label)
        if matching is None:
            mask, matching = LABELS[label], 0
            for position, byte in enumerate(self.bytes):
                if byte >= 0 and (mask >> byte & 1 or (mask >> WHITE & 1 and byte in WHITE_BYTES)):
                    matching |= 1 << position
            self._matching[label] = matching
        if label == WHITE:  # white space is never generated in a hole
            return self._close((positions & matching) << 1)
        matching |= self.holes & ~self.large
        return self._close((positions & matching) << 1 | positions & self.large)

    def _run(self, positions: int, piece: ByteAutomaton) -> int:
        """Propagate positions through ``piece`` to a fixed point."""
        reached, pending = {0: positions}, {0: positions}
        while pending:
            state, new = pending.popitem()
            for label, target in piece.edges_from.get(state, ()):
                more = self._step(new, label) & ~reached.get(target, 0)
                if more:
                    reached[target] = reached.get(target, 0) | more
                    if target != piece.num_states:
                        pending[target] = pending.get(target, 0) | more
        after = 0
        for state in (piece.num_states, *piece.ends):
            after |= reached.get(state, 0)
        return after


def literal_until_hole(cells: Sequence[int]) -> bytes:
    """The bytes before the first hole."""
    length = next((index for index, byte in enumerate(cells) if byte < 0), len(cells))
    return bytes(cells[:length])
