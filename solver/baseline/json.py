"""JSON left to right: the causal JSON network, one byte at a time, raw or under a mask of what may come next.

    >>> from solver.models.json_network import JsonConfig
    >>> network = JsonNetwork(JsonConfig(width=16, hidden=16, causal=True))
    >>> (text,) = write_texts(network, [TextRequest(b"a prompt", cells=3, forced=b"[1")])
    >>> bytes(text.text[:2])
    b'[1'

The mask is the automaton that also conditions the drafts of the denoiser: a byte is allowed if some text of
    the schema
continues with it and still fits the block. So a masked text is always in the language; looking ahead further
than that is what it cannot do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from solver.baseline.decode import Choice, DecoderRow, decode_rows
from solver.kernels.lattice import Automaton
from solver.models.blocks import KNOWN
from solver.models.context import KVCache
from solver.models.json_network import JsonNetwork, Prompt
from solver.models.mask_denoisers import PROMPT, read_prompts
from solver.tasks.json_schema.offsets import Cursor, left_offsets
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.languages.projection import BLANK

SIDE = 96  # bytes of each side of a hole that the baseline reads


def middle_prompt(prompt: bytes, before: bytes, after: bytes) -> bytes:
    return prompt[: PROMPT - 2 * SIDE - 2] + b"\x1e" + before[-SIDE:] + b"\x1f" + after[:SIDE]


class ByteGuide(Protocol):
    """Masks what may come next in one text."""

    def allowed(self) -> NDArray[np.bool_]:
        """(257,): bytes, and BLANK where the text may end."""

    def take(self, byte: int) -> None:
        """Continue after ``byte``."""


class AutomatonGuide:
    """The states in which an automaton can be after the bytes so far, with at most ``cells`` bytes in all."""

    def __init__(self, automaton: Automaton, cells: int) -> None:
        self.automaton, self.cells_left = automaton, cells
        self.skips: dict[int, list[int]] = {}
        for source, target in zip(automaton.skip_src.tolist(), automaton.skip_dst.tolist(), strict=True):
            self.skips.setdefault(source, []).append(target)
        self.states = self.closure({0})

    def closure(self, states: set[int]) -> set[int]:
        """``states`` and those that edges without a symbol lead to."""
        todo = list(states)
        while todo:
            new = set(self.skips.get(todo.pop(), ())) - states
            states |= new
            todo += new
        return states

    def edges(self) -> dict[int, set[int]]:
        """By symbol that may follow, the states it leads to from which the text can still be completed."""
        automaton, targets = self.automaton, dict[int, set[int]]()
        for state in self.states:
            for edge in range(automaton.first[state], automaton.first[state + 1]):
                target, label = int(automaton.dst[edge]), automaton.label[edge]
                if automaton.rest[target] < self.cells_left:
                    members = slice(automaton.member_first[label], automaton.member_first[label + 1])
                    for symbol in automaton.members[members].tolist():
                        targets.setdefault(symbol, set()).add(target)
        return targets

    def allowed(self) -> NDArray[np.bool_]:
        mask = np.zeros(257, bool)
        mask[[symbol for symbol in self.edges() if symbol < 256]] = True
        mask[BLANK] = any(self.automaton.accept[state] for state in self.states)
        return mask

    def take(self, byte: int) -> None:
        self.states, self.cells_left = self.closure(self.edges().get(byte, set())), self.cells_left - 1


@dataclass(frozen=True, eq=False)
class TextRequest:
    """A text to write.

    prompt: bytes that the network reads first.
    cells: maximum number of bytes.
    forced: bytes with which the text begins.
    guide: restricts the bytes; None for no restriction.
    """

    prompt: bytes
    cells: int
    forced: bytes = b""
    guide: ByteGuide | None = None

    @staticmethod
    def of(problem: JsonProblem, masked: bool) -> TextRequest:
        """For an instance of a problem's schema, ``masked`` by its automaton or not."""
        guide = AutomatonGuide(problem.unrolled.automaton, problem.num_cells) if masked else None
        return TextRequest(problem.prompt, problem.num_cells, guide=guide)


@dataclass(eq=False, kw_only=True)
class TextRow(DecoderRow):
    """A text under way: its bytes, and the log-probability of those that were not forced, and of its end."""

    request: TextRequest
    text: bytearray = field(default_factory=bytearray)
    log_p: float = 0.0


@dataclass(frozen=True, eq=False)
class TextGuide:
    """Chooses the likeliest byte, or draws one at a ``temperature``. A text ends if no byte is allowed."""

    temperature: float
    rng: np.random.Generator

    def choose(self, rows: Sequence[TextRow], cells: Tensor, logits: Tensor) -> list[Choice | None]:
        scores = logits.numpy().astype(np.float64)
        return [self.extend(row, row_scores) for row, row_scores in zip(rows, scores, strict=True)]

    def extend(self, row: TextRow, log_p: NDArray[np.float64]) -> Choice | None:
        """Write the next byte, given the log-probabilities (V,)."""
        request, cell = row.request, len(row.text)
        is_forced = cell < len(request.forced)
        symbol = request.forced[cell] if is_forced else self.pick(log_p, request.guide)
        if symbol is not None and not is_forced:
            row.log_p += float(log_p[symbol])
        if symbol is None or symbol == BLANK:
            row.done = True
            return None
        row.text.append(symbol)
        if request.guide is not None:
            request.guide.take(symbol)
        row.done = len(row.text) >= request.cells
        return None if row.done else Choice(cell, symbol, cell)

    def pick(self, log_p: NDArray[np.float64], guide: ByteGuide | None) -> int | None:
        """The next symbol, None where none is allowed."""
        scores = log_p if guide is None else np.where(guide.allowed(), log_p, -np.inf)
        if scores.max() == -np.inf:
            return None
        if not self.temperature:
            return int(scores.argmax())
        shares = np.exp((scores - scores.max()) / self.temperature)
        return int(self.rng.choice(len(shares), p=shares / shares.sum()))


class JsonRun:
    """A :class:`~solver.baseline.decode.DecoderRun` over a causal :class:`JsonNetwork`, with a cache
    row per request."""

    @torch.inference_mode()
    def __init__(self, network: JsonNetwork, requests: Sequence[TextRequest]) -> None:
        self.network, self.prompt = network, read_all(network, [request.prompt for request in requests])
        self.cache, self.cursors = KVCache(len(requests)), [Cursor() for _ in requests]
        # the last token of each cache row (at first, none), and the position of the next one
        self.last = torch.full((len(requests),), network.config.vocab)
        self.position = torch.zeros_like(self.last)

    def begin(self, cache_row: int, number: int) -> int:
        assert cache_row == number
        return self.network.reading_flops(int(self.prompt.present[number].sum()))

    @torch.inference_mode()
    def next(self, cache_rows: Tensor, known: Tensor) -> tuple[Tensor, Tensor, list[int]]:
        prompt = Prompt(*(part[cache_rows] for part in self.prompt))
        cells, tokens = self.position[cache_rows], self.last[cache_rows][:, None]
        offset = torch.tensor([[self.cursors[cache_row].offset] for cache_row in cache_rows.tolist()])
        step = self.cache.step(cache_rows, cells[:, None])
        log_p = self.network(prompt, tokens, torch.full_like(tokens, KNOWN), offset, step)[:, 0]
        return cells, log_p, [self.network.flops(1, prompt.tokens.shape[1])] * len(cache_rows)

    @torch.inference_mode()
    def put(self, cache_rows: Tensor, cells: Tensor, tokens: Tensor, num_before: Tensor) -> None:
        self.last[cache_rows], self.position[cache_rows] = tokens, num_before + 1
        for cache_row, token in zip(cache_rows.tolist(), tokens.tolist(), strict=True):
            self.cursors[cache_row].advance(token)


def write_texts(
    network: JsonNetwork,
    requests: Sequence[TextRequest],
    temperature: float = 0.0,
    seed: int = 0,
) -> list[TextRow]:
    """Write all texts of a batch together, in order: the likeliest byte each time, or drawn at a
    ``temperature``."""
    if not requests:
        return []
    rows = [TextRow(number=number, request=request) for number, request in enumerate(requests)]
    guide = TextGuide(temperature, np.random.default_rng(seed))
    list(decode_rows(JsonRun(network, requests), guide, rows, len(rows)))
    return rows


def read_all(network: JsonNetwork, prompts: Sequence[bytes]) -> Prompt:
    return read_prompts(network, [np.frombuffer(prompt, np.uint8).astype(np.int64) for prompt in prompts])


@torch.inference_mode()
def log_likelihood(network: JsonNetwork, prompt: bytes, text: Tensor, first: int) -> float:
    """Log-probability, in nats, of the tokens of ``text`` (L,) from index ``first`` on, given those
    before."""
    before = torch.cat([torch.tensor([network.config.vocab]), text[:-1]])[None]
    offset = torch.from_numpy(left_offsets(text.numpy()))[None]
    log_p = network(read_all(network, [prompt]), before, torch.full_like(before, KNOWN), offset)[0]
    return float(log_p.gather(1, text[:, None])[first:].sum())
