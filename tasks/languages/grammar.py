"""Grammars as recursive transition networks that are built lazily.

    >>> recognise(PatternGrammar("^a+b$"), b"aab")
    True

The moves of a node are computed only when the node is reached. unroll.py follows a grammar up to the length
of a block; ``recognise`` and shortest.py need no bound.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from solver.tasks.languages.byte_automaton import LABELS, ByteAutomaton, string_automaton
from solver.tasks.languages.regex import Term, start_state
from solver.tasks.languages.regex_parser import fullmatch, search

NEXT: None = None  # a move's goto: return to the caller


@dataclass(frozen=True, slots=True)
class Move:
    """One way to continue from a node: write ``emit``, then what ``call`` writes, then continue at ``goto``.

    Attributes:
        emit: literal bytes (possibly empty), or the texts of an automaton.
        call: a node whose texts follow, if any.
        goto: the node to continue at; NEXT returns to the caller.
        where: template positions at which the move may begin, as a bit set; -1 for all (template.py).
    """

    emit: bytes | ByteAutomaton = b""
    call: Hashable = None
    goto: Hashable = NEXT
    where: int = -1

    @property
    def min_length(self) -> int:
        """Bytes of the shortest text of ``emit``; -1 if it has none."""
        return self.emit.min_length if isinstance(self.emit, ByteAutomaton) else len(self.emit)


class Grammar(Protocol):
    """A lazily built recursive transition network. It must be unambiguous: each text has one derivation."""

    start: Hashable

    def moves(self, node: Hashable) -> Sequence[Move]:
        """The moves of ``node``; none for a dead end."""

    def is_unconstrained(self, node: Hashable) -> bool:
        """Whether any value is allowed at ``node``, so that its nesting may be cut (the ``depth`` of
        ``unroll``)."""

    def min_length(self, node: Hashable) -> int:
        """A lower bound on the bytes of the node's texts: 0 or 1."""


class PatternGrammar:
    """The texts that contain a match of ``pattern``, or with ``full``, those that it matches from
    beginning to end.

    Raises:
        PatternError: if the pattern cannot be used.
    """

    def __init__(self, pattern: str, full: bool = False) -> None:
        self.start: Hashable = fullmatch(pattern) if full else search(pattern)

    def moves(self, node: Hashable) -> Sequence[Move]:
        assert isinstance(node, Term)
        return (Move(string_automaton(start_state(node), 1 << 16, quoted=False)),)

    def is_unconstrained(self, node: Hashable) -> bool:
        return False

    def min_length(self, node: Hashable) -> int:
        return 0


def recognise(grammar: Grammar, text: bytes) -> bool:
    """Whether ``text`` is in the language of ``grammar``. All derivations are followed in parallel."""
    cursors = _expand(grammar, [(grammar.start, None)])
    for byte in text:
        ended, cursors = _read(cursors, byte)
        cursors += _expand(grammar, ended)
        if not cursors:
            return False
    return any(cursor.piece is None for cursor in cursors)


Stack = tuple[Hashable, Any] | None  # linked: the node to continue at, then the rest of the stack


class _Cursor(NamedTuple):
    """A position inside a piece, and the nodes that follow the piece. At the end of the text, ``piece`` is
    None."""

    piece: bytes | ByteAutomaton | None
    position: int
    stack: Stack


def _read(cursors: Iterable[_Cursor], byte: int) -> tuple[list[Stack], list[_Cursor]]:
    """Read one byte: the stacks of pieces that end with it, and the cursors inside those that continue."""
    ended: list[Stack] = []
    inside: list[_Cursor] = []
    for piece, position, stack in cursors:
        if isinstance(piece, bytes):
            if piece[position] == byte:
                if position + 1 < len(piece):
                    inside.append(_Cursor(piece, position + 1, stack))
                else:
                    ended.append(stack)
        elif piece is not None:
            for mark, target in piece.edges_from.get(position, ()):
                if LABELS[mark] >> byte & 1:
                    if target < piece.num_states:
                        inside.append(_Cursor(piece, target, stack))
                    if target == piece.num_states or target in piece.ends:
                        ended.append(stack)
    return ended, inside


def _expand(grammar: Grammar, stacks: list[Stack]) -> list[_Cursor]:
    """The cursors at which the next byte can be read, following moves that emit no byte."""
    cursors: list[_Cursor] = []
    seen: set[Stack] = set()
    while stacks:
        stack = stacks.pop()
        if stack in seen:
            continue
        seen.add(stack)
        if stack is None:
            cursors.append(_Cursor(None, 0, None))
            continue
        node, rest = stack
        for move in grammar.moves(node):
            after: Stack = rest if move.goto is NEXT else (move.goto, rest)
            after = after if move.call is None else (move.call, after)
            length = move.min_length
            if length >= 0 and move.emit:
                cursors.append(_Cursor(move.emit, 0, after))
            if length == 0:
                stacks.append(after)
    return cursors
