"""For people who keep ``model.generate``: pins and allowed tokens that hold, as a LogitsProcessor.

    rule = Constraint(pins={0: 5, 3: 17}, canvas=256, vocab=len(tokenizer), prompt=ids.shape[1])
    model.generate(ids, **rule.settings(model))

A LogitsProcessor is the one hook of DiffusionGemma's ``generate`` through which a pin survives (tests/test_hooks.py shows the
others losing theirs): what is returned is the argmax of the processed logits. It has quirks, and ``settings`` takes care of
them: the list is appended to at every call; a row of which nothing is allowed crashes; pinned cells have no entropy and make
the mean stop early.

Shapes: B rows, L cells, V tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

Project = Callable[[Tensor], Tensor]
LIFT = 1e-3  # how far above the best of a cell a lifted token stands: enough for an argmax, too little to change a sample


class Constraint(LogitsProcessor):
    """Pins and allowed tokens for the canvases after a prompt of ``prompt`` tokens.

    pins: place -> token; places count from the first token after the prompt, across canvases of ``canvas`` cells.
    allowed: place -> tokens that may stand there; everywhere else all but ``forbidden`` may.
    project: from processed logits (B, L, V) to one joint path of tokens (B, L) that is valid as a whole; at every step it is
    lifted to the argmax, so that it is what ``generate`` returns. Where a cell's own choices would do, leave it out.

    Raises ValueError where a place is given twice, a token is outside the vocabulary, or nothing is allowed at a place.
    """

    def __init__(
        self,
        pins: Mapping[int, int] | None = None,
        allowed: Mapping[int, Iterable[int]] | None = None,
        *,
        canvas: int,
        vocab: int,
        prompt: int,
        forbidden: Iterable[int] = (),
        project: Project | None = None,
    ) -> None:
        self.canvas, self.vocab, self.prompt, self.project = canvas, vocab, prompt, project
        self.forbidden = sorted(set(forbidden))
        choices = {place: [token] for place, token in (pins or {}).items()}
        for place, tokens in (allowed or {}).items():
            if place in choices:
                raise ValueError(f"place {place} is both pinned and restricted")
            choices[place] = sorted(set(tokens))
        for place, tokens in choices.items():
            if place < 0:
                raise ValueError(f"places count from 0, not {place}")
            if not tokens:
                raise ValueError(f"nothing is allowed at place {place}")
            if tokens[0] < 0 or tokens[-1] >= vocab:
                raise ValueError(f"place {place} wants a token outside 0..{vocab - 1}")
        if len(self.forbidden) >= vocab:
            raise ValueError("every token is forbidden")
        self.choices = choices

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """``scores`` (B, L, V), changed in place: nothing but what is allowed keeps its logit."""
        first = input_ids.shape[1] - self.prompt  # the canvases before this one
        if self.forbidden:
            scores[..., self.forbidden] = float("-inf")
        for place, tokens in self.choices.items():
            cell = place - first
            if 0 <= cell < scores.shape[1]:
                kept = scores[:, cell, tokens].nan_to_num(nan=0.0, neginf=0.0, posinf=0.0)
                scores[:, cell] = float("-inf")
                scores[:, cell, tokens] = kept
        if self.project is not None:
            path = self.project(scores)[..., None]
            scores.scatter_(-1, path, scores.amax(-1, keepdim=True) + LIFT)
        return scores

    def open_share(self) -> float:
        """The share of the first canvas's cells that are not pinned."""
        pinned = sum(len(tokens) == 1 and place < self.canvas for place, tokens in self.choices.items())
        return 1.0 - pinned / self.canvas

    def settings(self, model: Any) -> dict[str, Any]:
        """Keywords for ``model.generate``: the processor in a list that does not grow, and a confidence threshold that means the
        open cells (the original is a mean over all of them, and a pinned one always counts as 0)."""
        said = getattr(model.generation_config, "confidence_threshold", None)
        threshold = (0.005 if said is None else said) * max(self.open_share(), 1.0 / self.canvas)
        return {"logits_processor": Processors([self]), "confidence_threshold": threshold}


class Processors(LogitsProcessorList):
    """A list that can be given to ``generate`` again and again: what a call appends replaces what the last one did."""

    def __init__(self, own: Iterable[Any]) -> None:
        super().__init__(own)
        self.own = len(self)

    def append(self, processor: Any) -> None:
        kind = type(processor)
        for at in range(self.own, len(self)):
            if type(self[at]) is kind:
                self[at] = processor
                return
        super().append(processor)
