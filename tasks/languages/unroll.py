"""Unrolls a grammar into a finite automaton, as far as a block reaches.

>>> from solver.tasks.languages.grammar import PatternGrammar
>>> unrolled = unroll(PatternGrammar("^a+b$"), cells=8)
>>> unrolled.complete, int(unrolled.automaton.rest[0])      # fewest bytes of a text
(True, 2)

Calls in a grammar (an array in an array) become states with a return address. States are explored best first,
those of the shortest texts first, so that a useful automaton is left if the limit on states ends the search.
Finally assembly.py turns the edges into the arrays that the lattice reads.
"""

import heapq
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from solver.kernels.deadline import check_time
from solver.kernels.lattice import Automaton, Slots
from solver.kernels.lattice_fast import Lattice
from solver.tasks.languages.assembly import build_automaton
from solver.tasks.languages.byte_automaton import LABELS, ByteAutomaton, Ints
from solver.tasks.languages.grammar import NEXT, Grammar, Move
from solver.tasks.languages.template import TemplateFilter

MAX_STATES = 20_000  # that can be reached in many cells
MAX_PAIRS = 24_000_000  # of states and cells: the lattice needs 20 bytes and 60 ns for each
USUAL_PAIRS = 16_000_000  # a first limit on states allows for these, if each can be reached in every cell
MAX_NARROW = 100_000  # of any kind: the lattice visits states only in cells in which they can be reached
NARROW = 8  # a state counts in full if it can be reached in an eighth of the cells or more


@dataclass(frozen=True)
class Unrolled:
    """A grammar's automaton for blocks of one size.

    Attributes:
        automaton: over the symbols 0 to 255 (bytes) and 256 (WHITE: white space outside strings, in pinned cells only).
        complete: it holds all texts of the language that fit the block.
        cut: the limit on states ended the search.
        reached: template positions that beginnings of texts lead to, as a bit set.
    """

    automaton: Automaton
    complete: bool
    cut: bool = False
    reached: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether the automaton accepts no text."""
        return not self.automaton.accept.any()


def unroll(
    grammar: Grammar,
    cells: int,
    max_states: int = MAX_STATES,
    depth: int = 1,
    shortest: Mapping[Hashable, float] | None = None,
    template: TemplateFilter | None = None,
    canvas: int | None = None,
) -> Unrolled:
    """The automaton of the grammar's texts of at most ``cells`` bytes.

    Args:
        grammar: the grammar to follow.
        cells: maximum length of a text in bytes.
        max_states: number of states at which the search ends, where a state that can be reached in few cells
            only counts in proportion (up to MAX_NARROW states). Large canvases have fewer, see MAX_PAIRS.
        depth: maximum nesting of nodes that accept any value.
        shortest: bytes of each node's shortest text (:func:`~.grammar.shortest_lengths`), to order the
            search; None uses the grammar's ``min_length``.
        template: the given bytes of the block. States that no matching text reaches are left out, so the
            result is valid for that block only.
        canvas: cells of the canvas, which may be larger than the texts; None for ``cells``.
    """
    if template is not None:  # its literals leave few pairs
        return _Unroller(grammar, cells, max_states, depth, shortest, template).run()
    canvas = cells if canvas is None else canvas
    usual = min(max_states, USUAL_PAIRS // canvas)
    unrolled = _Unroller(grammar, cells, usual, depth, shortest, template).run()
    if not unrolled.is_empty and is_small(unrolled.automaton, canvas):
        return unrolled
    for limit in (max_states, usual // 4, usual // 16, usual // 64, 0):
        unrolled = _Unroller(grammar, cells, limit, depth, shortest, template).run()
        if is_small(unrolled.automaton, canvas):
            break
    else:  # a single piece has too many states
        unrolled = _Unroller(grammar, cells, -1, depth, shortest, template).run()
    return unrolled


def is_small(automaton: Automaton, cells: int) -> bool:
    """Whether a lattice of so many cells has at most MAX_PAIRS pairs of states and cells."""
    if automaton.num_states * (cells + 1) <= MAX_PAIRS:
        return True
    return Lattice(automaton, np.zeros((cells, 258)), Slots.single(cells)).has_few_pairs(MAX_PAIRS)


@dataclass(slots=True)
class _State:
    """A grammar's node with the state to return to.

    Attributes:
        node: the node; None for the final state.
        back: the state that follows the node's texts.
        depth: how many unconstrained nodes it is nested in.
        rest: a lower bound on the bytes from here to the end of the text.
        reached: fewest bytes of a text that leads to the state.
        spread: how many bytes longer other texts that lead to the state can be, as far as they are known.
        positions: template positions at which the state can be reached, as a bit set (1 without a template).
        followed: those of ``positions`` whose moves have been followed.
    """

    node: Hashable
    back: int
    depth: int
    rest: float
    reached: int = 0
    spread: int = 0
    positions: int = 0
    followed: int = 0


class _Unroller:
    """The best-first search of :func:`unroll`."""

    def __init__(
        self,
        grammar: Grammar,
        cells: int,
        max_states: int,
        depth: int,
        shortest: Mapping[Hashable, float] | None,
        template: TemplateFilter | None,
    ) -> None:
        self.grammar, self.cells, self.max_states, self.depth = grammar, cells, max_states, depth
        self.shortest, self.template = shortest, template
        self.builder = _Builder()
        self.final, self.start = self.builder.new_states(), self.builder.new_states()
        positions = 1 if template is None else template.start
        self.numbers: dict[tuple[Hashable, int], int] = {(grammar.start, self.final): self.start}
        self.states = {
            self.final: _State(None, -1, 0, 0),
            self.start: _State(grammar.start, self.final, 0, 0, positions=positions),
        }
        # (lower bound on the text's bytes, state, bytes read)
        self.queue: list[tuple[float, int, int]] = [(0, self.start, 0)]
        self.targets: dict[
            tuple[int, int], int
        ] = {}  # (state, move index) -> target, for moves already added
        self.complete = True
        self.load = 0.0  # states, narrow ones in proportion

    def run(self) -> Unrolled:
        """Follow states until every remaining one needs more than ``cells`` bytes, or there are too many."""
        cut = False
        while self.queue:
            check_time()
            length, number, reached = heapq.heappop(self.queue)
            if not self.states[number].positions & ~self.states[number].followed:
                continue
            if length > self.cells:
                break
            if self.load > self.max_states or self.builder.num_states > MAX_NARROW:
                self.complete, cut = False, True
                break
            self.follow(number, reached)
        reached = 0
        for state in self.states.values():
            reached |= state.positions
        automaton = self.builder.automaton(self.start, self.final, self.cells)
        return Unrolled(automaton, self.complete, cut, reached)

    def follow(self, number: int, reached: int) -> None:
        state, template = self.states[number], self.template
        new, state.followed = state.positions & ~state.followed, state.positions
        for index, move in enumerate(self.grammar.moves(state.node)):
            length = move.min_length
            positions = new if template is None else template.advance(new & move.where, move.emit)
            deeper = (
                move.call is not None
                and self.grammar.is_unconstrained(move.call)
                and (template is None or bool(positions & template.holes))
            )
            # beyond the depth limit, only literals of the template are followed
            if deeper and state.depth >= self.depth:
                self.complete, deeper = False, False
                positions = 0 if template is None else positions & ~template.holes
            if length < 0 or not positions:  # a negative length: the piece has no text
                continue
            spread = min(self.cells, state.spread + move_spread(move, self.cells))
            target = self.targets.get((number, index))
            if target is None:
                before = self.builder.num_states
                target = self.targets[number, index] = self.add_edges(number, move, deeper)
                self.load += (self.builder.num_states - before) * self.share(new | positions, spread)
            self.arrive(target, reached + length, spread, positions)

    def add_edges(self, number: int, move: Move, deeper: bool) -> int:
        """Add the edges of a move; return the state to which they lead."""
        state = self.states[number]
        target = state.back if move.goto is NEXT else self.state_of(move.goto, state.back, state.depth)
        if move.call is not None:
            target = self.state_of(move.call, target, state.depth + deeper)
        self.builder.add(number, move.emit, target)
        return target

    def state_of(self, node: Hashable, back: int, depth: int) -> int:
        number = self.numbers.get((node, back))
        if number is None:
            number = self.numbers[node, back] = self.builder.new_states()
            length = (
                self.grammar.min_length(node) if self.shortest is None else self.shortest.get(node, np.inf)
            )
            self.states[number] = _State(node, back, depth, self.states[back].rest + length)
        return number

    def share(self, positions: int, spread: int) -> float:
        """The part of NARROW cells in which the states of a move can be reached, at most 1."""
        if self.template is not None:
            cells = self.cells if positions & self.template.holes else positions.bit_count()
        else:
            cells = spread + 1
        return min(1.0, NARROW * cells / self.cells)

    def arrive(self, number: int, reached: int, spread: int, positions: int) -> None:
        """Record that a state can be reached after ``reached`` bytes; queue it if this is new."""
        state = self.states[number]
        first = min(reached, state.reached) if state.positions else reached
        state.spread = max(reached + spread, state.reached + state.spread) - first
        sooner = not state.followed and reached < state.reached
        if number != self.final and (positions & ~state.positions or sooner):
            state.reached = min(reached, state.reached) if state.positions else reached
            state.positions |= positions
            heapq.heappush(self.queue, (state.reached + state.rest, number, state.reached))


def move_spread(move: Move, cells: int) -> int:
    """How much longer than its shortest text a move's other texts are, at most ``cells``."""
    if isinstance(move.emit, bytes):
        return 0
    longest = move.emit.max_length
    return cells if longest is None else max(0, longest - move.min_length)


class _Builder:
    """Collects the edges of an automaton, single ones as tuples, those of byte automata as arrays."""

    def __init__(self) -> None:
        self.num_states = 0
        self.edges: list[tuple[int, int, int]] = []
        self.copies: list[tuple[Ints, Ints, Ints]] = []
        self.epsilon_edges: list[tuple[int, int]] = []

    def new_states(self, count: int = 1) -> int:
        self.num_states += count
        return self.num_states - count

    def add(self, source: int, piece: bytes | ByteAutomaton, target: int) -> None:
        """Add paths from ``source`` to ``target`` that spell the texts of ``piece``."""
        if isinstance(piece, ByteAutomaton):
            base = self.new_states(piece.num_states)
            self.epsilon_edges.append((source, base))
            # in a byte automaton, ``num_states`` stands for the state after it
            dst = np.where(piece.dst == piece.num_states, target, piece.dst + base).astype(np.int32)
            self.copies.append((piece.src + np.int32(base), piece.label, dst))
            self.epsilon_edges += [(base + end, target) for end in piece.ends]
        elif not piece:
            self.epsilon_edges.append((source, target))
        else:
            for byte in piece[:-1]:
                middle = self.new_states()
                self.edges.append((source, byte, middle))
                source = middle
            self.edges.append((source, piece[-1], target))

    def automaton(self, start: int, final: int, cells: int) -> Automaton:
        """The automaton of all edges, without states that are on no text of at most ``cells`` bytes."""
        single = np.array(self.edges, np.int32).reshape(-1, 3)
        src, mark, dst = (
            np.concatenate([single[:, k], *(copy[k] for copy in self.copies)]) for k in range(3)
        )
        accept = np.zeros(self.num_states, bool)
        accept[final] = True
        used, label = np.unique(mark, return_inverse=True)
        members = [label_bytes(int(number)) for number in used] or [np.zeros(0, np.int32)]
        epsilon_src, epsilon_dst = np.array(self.epsilon_edges, np.int32).reshape(-1, 2).T
        edges, epsilon_edges = (src, label.astype(np.int32), dst), (epsilon_src, epsilon_dst)
        return build_automaton(edges, epsilon_edges, accept, members, start, cells)


@cache
def label_bytes(label: int) -> Ints:
    """The symbols of a label: bytes, and 256 for WHITE."""
    return np.array([byte for byte in range(257) if LABELS[label] >> byte & 1], np.int32)
