"""What a block's pinned bytes leave possible, so that an automaton need not be larger than that.

    frame = Frame.of([b'{"a":', 10, b"}"])          # literals, and holes of any number of bytes
    frame.through(frame.start, b'{"b"')             # 0: no text that begins like this fits

A *place* is a byte of a literal that comes next, or a hole that one is in; a set of them is the bits of an int. Which texts fit
is only ever said too generously: how many bytes a hole has room for does not count here.
"""

from __future__ import annotations

from collections.abc import Sequence

from solver.tasks.languages.byte_automaton import LABELS, WHITE, Fragment

WHITES = frozenset(b" \t\n\r")


class Frame:
    """Literals and holes, neighbouring holes as one. start, end: the places before the first byte, and behind the last."""

    def __init__(self, parts: Sequence[bytes | None]) -> None:
        self.holes = 0
        self.accepts: dict[int, int] = {}  # by label: the literal places that one of its bytes fits
        self.bytes: list[int] = []  # by place; -1 for a hole
        for part in parts:
            self.bytes += [-1] if part is None else list(part)
        for at, byte in enumerate(self.bytes):
            self.holes |= (byte < 0) << at
        self.end = 1 << len(self.bytes)
        self.start = self.close(1)
        self._through: dict[tuple[int, int], int] = {}
        self._edges: dict[int, dict[int, list[tuple[int, int]]]] = {}
        self._kept: list[Fragment] = []

    @staticmethod
    def of(parts: Sequence[bytes | int]) -> Frame:
        """From literals and sizes of holes."""
        joined: list[bytes | None] = []
        for part in parts:
            if isinstance(part, bytes):
                joined.append(part)
            elif not joined or joined[-1] is not None:
                joined.append(None)
        return Frame(joined)

    def close(self, places: int) -> int:
        """With what follows a hole: it may be left at any time."""
        return places | (places & self.holes) << 1

    def after(self, places: int, label: int) -> int:
        """One byte further, by any byte of a label."""
        accepts = self.accepts.get(label)
        if accepts is None:
            mask, accepts = LABELS[label], 0
            for at, byte in enumerate(self.bytes):
                if byte >= 0 and (mask >> byte & 1 or (mask >> WHITE & 1 and byte in WHITES)):
                    accepts |= 1 << at
            self.accepts[label] = accepts
        stay = 0 if label == WHITE else places & self.holes  # white space is only ever read, never written
        return self.close((places & accepts) << 1 | stay)

    def through(self, places: int, piece: bytes | Fragment) -> int:
        """All places behind a text, or behind one of a fragment's texts."""
        if isinstance(piece, bytes):
            for byte in piece:
                places = self.after(places, byte)
            return places
        key = id(piece), places
        found = self._through.get(key)
        if found is None:
            found = self._through[key] = self._run(places, piece)
        return found

    def _run(self, places: int, piece: Fragment) -> int:
        edges = self._edges.get(id(piece))
        if edges is None:
            edges = self._edges[id(piece)] = {}
            self._kept.append(piece)  # an id is only unique while its object lives
            for source, label, target in zip(
                piece.src.tolist(), piece.label.tolist(), piece.dst.tolist(), strict=True
            ):
                edges.setdefault(source, []).append((label, target))
        reached, todo = {0: places}, {0: places}
        while todo:
            state, new = todo.popitem()
            for label, target in edges.get(state, ()):
                more = self.after(new, label) & ~reached.get(target, 0)
                if more:
                    reached[target] = reached.get(target, 0) | more
                    if target != piece.states:
                        todo[target] = todo.get(target, 0) | more
        found = reached.get(piece.states, 0)
        for state in piece.ends:
            found |= reached.get(state, 0)
        return found
