"""Pins and allowed tokens for ``model.generate`` of transformers, as a LogitsProcessor.

    rule = Constraint(pins={0: 5, 3: 17}, canvas=256, vocab=len(tokenizer), prompt=ids.shape[1])
    model.generate(ids, **rule.settings(model))

A LogitsProcessor is the only hook of DiffusionGemma's ``generate`` that preserves a pin (tests/test_hooks.py
shows how others lose it), because ``generate`` returns the argmax of the processed logits. ``settings`` works
around four of its properties: every call appends to the list of processors; a row without an allowed token
crashes; pinned cells, which have no entropy, lower the mean entropy and stop the sampling early; and all that
follows the first end-of-sequence token is replaced by padding, pins included.

Shapes: B rows, L cells, V tokens.
"""

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from typing import Any, Self

from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from solver.llm.tokenizer import end_tokens
from solver.tasks.errors import InvalidArgument

Project = Callable[[Tensor], Tensor]
# Margin of a projected token over the best logit: decides the argmax, and hardly changes a sample.
LIFT = 1e-3


class Constraint(LogitsProcessor):
    """Restricts the tokens of the canvases after a prompt.

    Args:
        pins: position -> token. Positions count from the first token after the prompt, across canvases.
        allowed: position -> allowed tokens; other positions allow all but ``forbidden``.
        canvas: cells of a canvas.
        vocab: number of tokens.
        prompt: number of tokens of the prompt.
        forbidden: tokens that no position may hold.
        project: from processed logits (B, L, V) to one valid canvas of tokens (B, L). At every step these
            tokens are raised to the argmax, so that ``generate`` returns them. Not needed if the cells are
            independent.

    Raises:
        InvalidArgument: a position is given twice, a token is outside the vocabulary, or nothing is allowed.
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
        choices = {position: [token] for position, token in (pins or {}).items()}
        for position, tokens in (allowed or {}).items():
            if position in choices:
                raise InvalidArgument(f"position {position} is both pinned and restricted")
            choices[position] = sorted(set(tokens))
        for position, tokens in choices.items():
            if position < 0:
                raise InvalidArgument(f"positions count from 0, not {position}")
            if not tokens:
                raise InvalidArgument(f"nothing is allowed at position {position}")
            if tokens[0] < 0 or tokens[-1] >= vocab:
                raise InvalidArgument(f"position {position} wants a token outside 0..{vocab - 1}")
        if len(self.forbidden) >= vocab:
            raise InvalidArgument("every token is forbidden")
        self.choices = choices
        self.ends: list[int] = []
        self.last = -1  # ends are forbidden before this position

    def before_end(self, model: Any) -> Self:
        """This constraint for ``model``, whose end tokens then come after all pins and restrictions.

        Raises:
            InvalidArgument: a position allows only end tokens, and a later one more than padding.
        """
        copied, ends = copy(self), set(end_tokens(model))
        padding = getattr(model.generation_config, "pad_token_id", None)
        copied.ends = sorted(ends & set(range(self.vocab)))
        copied.last = max((at for at, tokens in self.choices.items() if padding not in tokens), default=-1)
        copied.choices = {
            position: [token for token in tokens if position >= copied.last or token not in ends]
            for position, tokens in self.choices.items()
        }
        for position, tokens in copied.choices.items():
            if not tokens:
                raise InvalidArgument(f"position {position} ends the text, before position {copied.last}")
        return copied

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Set logits of tokens that are not allowed to minus infinity, in place; ``scores`` is (B, L, V)."""
        first = input_ids.shape[1] - self.prompt  # length of the earlier canvases
        if self.forbidden:
            scores[..., self.forbidden] = float("-inf")
        if self.ends and self.last > first:
            scores[:, : self.last - first, self.ends] = float("-inf")
        for position, tokens in self.choices.items():
            cell = position - first
            if 0 <= cell < scores.shape[1]:
                kept = scores[:, cell, tokens].nan_to_num(nan=0.0, neginf=0.0, posinf=0.0)
                scores[:, cell] = float("-inf")
                scores[:, cell, tokens] = kept
        if self.project is not None:
            path = self.project(scores)[..., None]
            scores.scatter_(-1, path, scores.amax(-1, keepdim=True) + LIFT)
        return scores

    def open_share(self) -> float:
        """The fraction of the first canvas that is not pinned."""
        pinned = sum(len(tokens) == 1 and position < self.canvas for position, tokens in self.choices.items())
        return 1.0 - pinned / self.canvas

    def settings(self, model: Any) -> dict[str, Any]:
        """Keyword arguments for ``model.generate``: the processor, and an entropy threshold for open cells.

        The model compares the mean entropy of all cells, and a pinned cell always has none.

        Raises:
            InvalidArgument: a position allows only end tokens, and a later one more than padding.
        """
        configured = getattr(model.generation_config, "confidence_threshold", None)
        threshold = (0.005 if configured is None else configured) * max(self.open_share(), 1.0 / self.canvas)
        return {"logits_processor": Processors([self.before_end(model)]), "confidence_threshold": threshold}


class Processors(LogitsProcessorList):
    """A list for repeated calls of ``generate``: each call replaces the processors of the previous one."""

    def __init__(self, processors: Iterable[Any]) -> None:
        super().__init__(processors)
        self.num_fixed = len(self)

    def append(self, processor: Any) -> None:
        kind = type(processor)
        for k in range(self.num_fixed, len(self)):
            if type(self[k]) is kind:
                self[k] = processor
                return
        super().append(processor)
