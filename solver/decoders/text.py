"""JSON left to right: the causal network for texts, byte by byte, raw or with the language as a mask on what may come next.

    for text, ended in write(network, forms, masked=True): ...

The mask is the same automaton that the denoiser's drafts are conditioned on: a byte may be written if a text of the schema goes
on with it and still fits the block. So a masked text is always in the language; what it cannot do is to look ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from solver.denoisers.forms import PROMPT, shortened
from solver.denoisers.text_network import Past, TextNetwork
from solver.kernels.lattice import Automaton
from solver.tasks.json_schema.spans import Cursor
from solver.tasks.json_schema.task import Form
from solver.tasks.language import BLANK

SIDE = 96  # bytes of each side that the baseline sees of a hole


def middle_prompt(prompt: bytes, before: bytes, after: bytes) -> bytes:
    """What the baseline reads to fill in a middle: the prompt, and what stands on both sides."""
    return prompt[: PROMPT - 2 * SIDE - 2] + b"\x1e" + before[-SIDE:] + b"\x1f" + after[:SIDE]


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
                    for symbol in a.members[a.member_first[a.label[edge]] : a.member_first[a.label[edge] + 1]].tolist():
                        found.setdefault(symbol, set()).add(target)
        return found

    def ended(self) -> bool:
        """Whether the text may end here."""
        return any(self.automaton.accept[state] for state in self.states)

    def advance(self, targets: set[int]) -> None:
        self.states, self.left = self.close(set(targets)), self.left - 1


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


@torch.inference_mode()
def write(network: TextNetwork, forms: Sequence[Form], masked: bool, temperature: float = 0.0, seed: int = 0) -> list[Writing]:
    """The texts of a batch of forms, all of them at once; the likeliest byte each time, or drawn at a ``temperature``."""
    prompts = [shortened(np.frombuffer(form.prompt, np.uint8).astype(np.int64)) for form in forms]
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    padded = np.zeros((len(forms), int(lengths.max())), np.int64)
    for row, prompt in enumerate(prompts):
        padded[row, : len(prompt)] = prompt
    read, past = network.read(torch.from_numpy(padded), lengths), Past()
    rng = np.random.default_rng(seed)
    texts = [Writing(bytearray()) for _ in forms]
    prefixes = [Prefix(form.unrolled.automaton, form.cells) for form in forms] if masked else []
    previous = torch.full((len(forms),), network.config.vocab)
    for at in range(max(form.cells for form in forms)):
        if all(text.ended for text in texts):
            break
        offset = torch.tensor([text.cursor.offset for text in texts])
        said = network.step(read, previous, offset, past).numpy().astype(np.float64)
        for row, text in enumerate(texts):
            if text.ended or at >= forms[row].cells:
                text.ended = True
                continue
            allowed = prefixes[row].ways() if masked else {}
            scores = said[row].copy()
            if masked:
                may = np.zeros(len(scores), bool)
                may[[symbol for symbol in allowed if symbol < 256]] = True
                may[BLANK] = prefixes[row].ended()
                scores[~may] = -np.inf
            if temperature:
                p = np.exp((scores - scores.max()) / temperature)
                symbol = int(rng.choice(len(p), p=p / p.sum()))
            else:
                symbol = int(scores.argmax())
            text.log_p += float(said[row, symbol])
            if symbol == BLANK:
                text.ended = True
                continue
            text.add(symbol)
            previous[row] = symbol
            if masked:
                prefixes[row].advance(allowed[symbol])
    return texts
