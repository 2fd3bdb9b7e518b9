"""Bytes left to right: the causal network for texts, raw or with a mask on what may come next.

    for written in write(network, [Page.of(form, masked=True) for form in forms]): ...

The mask is the same automaton that the denoiser's drafts are conditioned on: a byte may be written if a text of the schema goes
on with it and still fits the block. So a masked text is always in the language; what it cannot do is to look ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from solver.kernels.lattice import Automaton
from solver.models.json_denoiser import PROMPT, padded
from solver.models.json_network import JsonNetwork, Read
from solver.models.kv_cache import KVCache
from solver.models.layers import KNOWN
from solver.tasks.json_schema.offsets import Cursor, left_offsets
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.languages.projection import BLANK

SIDE = 96  # bytes of each side that the baseline sees of a hole


def middle_prompt(prompt: bytes, before: bytes, after: bytes) -> bytes:
    """What the baseline reads to fill in a middle: the prompt, and what stands on both sides."""
    return prompt[: PROMPT - 2 * SIDE - 2] + b"\x1e" + before[-SIDE:] + b"\x1f" + after[:SIDE]


class Guide(Protocol):
    """Says what may come next."""

    def allowed(self) -> NDArray[np.bool_]:
        """(257,): bytes, and BLANK for an end here."""

    def take(self, byte: int) -> None: ...


class Prefix:
    """Where an automaton can be after the bytes so far."""

    def __init__(self, automaton: Automaton, cells: int) -> None:
        self.automaton, self.left = automaton, cells
        self.skips: dict[int, list[int]] = {}
        for source, target in zip(automaton.skip_src.tolist(), automaton.skip_dst.tolist(), strict=True):
            self.skips.setdefault(source, []).append(target)
        self.states = self.close({0})

    def close(self, states: set[int]) -> set[int]:
        """With what skips lead to."""
        todo = list(states)
        while todo:
            for target in self.skips.get(todo.pop(), ()):
                if target not in states:
                    states.add(target)
                    todo.append(target)
        return states

    def ways(self) -> dict[int, set[int]]:
        """The bytes that may follow, and where each leads."""
        a, found = self.automaton, dict[int, set[int]]()
        for state in self.states:
            for edge in range(a.first[state], a.first[state + 1]):
                target = int(a.dst[edge])
                if a.rest[target] <= self.left - 1:
                    for symbol in a.members[
                        a.member_first[a.label[edge]] : a.member_first[a.label[edge] + 1]
                    ].tolist():
                        found.setdefault(symbol, set()).add(target)
        return found

    def allowed(self) -> NDArray[np.bool_]:
        may = np.zeros(257, bool)
        may[[symbol for symbol in self.ways() if symbol < 256]] = True
        may[BLANK] = any(self.automaton.accept[state] for state in self.states)
        return may

    def take(self, byte: int) -> None:
        self.states, self.left = self.close(self.ways().get(byte, set())), self.left - 1


@dataclass(frozen=True, eq=False)
class Page:
    """What is to be written. cells: bytes at most.  forced: what stands at its beginning already.  guide: what may be written."""

    prompt: bytes
    cells: int
    forced: bytes = b""
    guide: Guide | None = None

    @staticmethod
    def of(form: JsonProblem, masked: bool) -> Page:
        """A form's text."""
        return Page(
            form.prompt, form.cells, guide=Prefix(form.unrolled.automaton, form.cells) if masked else None
        )


@dataclass
class Writing:
    """One text as it is written."""

    bytes: bytearray
    cursor: Cursor = field(default_factory=Cursor)
    ended: bool = False
    log_p: float = 0.0

    def add(self, byte: int) -> None:
        self.bytes.append(byte)
        self.cursor.advance(byte)


def reading(network: JsonNetwork, prompts: Sequence[bytes]) -> Read:
    """Prompts, read together."""
    return network.read(*padded([np.frombuffer(prompt, np.uint8).astype(np.int64) for prompt in prompts]))


@torch.inference_mode()
def write(
    network: JsonNetwork, pages: Sequence[Page], temperature: float = 0.0, seed: int = 0
) -> list[Writing]:
    """The texts of a batch of pages, all of them at once; the likeliest byte each time, or drawn at a ``temperature``. Where a
    guide allows nothing, the text ends."""
    read, past = reading(network, [page.prompt for page in pages]), KVCache()
    rng = np.random.default_rng(seed)
    texts = [Writing(bytearray()) for _ in pages]
    previous = torch.full((len(pages),), network.config.vocab)
    for at in range(max(page.cells for page in pages)):
        offset = torch.tensor([text.cursor.offset for text in texts])
        said = network.step(read, previous, offset, past).numpy().astype(np.float64)
        for row, (page, text) in enumerate(zip(pages, texts, strict=True)):
            if text.ended or at >= page.cells:
                text.ended = True
                continue
            symbol = (
                page.forced[at] if at < len(page.forced) else chosen(said[row], page.guide, temperature, rng)
            )
            text.log_p += float(said[row, symbol]) if at >= len(page.forced) and symbol is not None else 0.0
            if symbol is None or symbol == BLANK:
                text.ended = True
                continue
            text.add(symbol)
            previous[row] = symbol
            if page.guide is not None:
                page.guide.take(symbol)
        if all(text.ended for text in texts):
            break
    return texts


def chosen(
    said: NDArray[np.float64], guide: Guide | None, temperature: float, rng: np.random.Generator
) -> int | None:
    """The next symbol of log-probabilities (V,), None where none is allowed."""
    scores = said if guide is None else np.where(guide.allowed(), said, -np.inf)
    if scores.max() == -np.inf:
        return None
    if not temperature:
        return int(scores.argmax())
    p = np.exp((scores - scores.max()) / temperature)
    return int(rng.choice(len(p), p=p / p.sum()))


@torch.inference_mode()
def log_likelihood(network: JsonNetwork, prompt: bytes, text: Tensor, first: int) -> float:
    """Log-probability of the tokens of ``text`` (L,) from ``first`` on, given those before, in nats."""
    before = torch.cat([torch.tensor([network.config.vocab]), text[:-1]])
    offset = torch.from_numpy(left_offsets(text.numpy()))
    status = torch.full_like(text, KNOWN)
    said = network(reading(network, [prompt]), before[None], status[None], offset[None])[0]
    return float(said.gather(1, text[:, None])[first:].sum())
