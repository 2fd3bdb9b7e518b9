"""What stands before a canvas: prompts as tokens, each different one once, and whether they fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from solver.denoisers.protocol import ModelError, TextDenoiser
from solver.tasks.canvas import Canvas, Tokens


def different(canvases: Sequence[Canvas]) -> tuple[list[Tokens], tuple[int, ...]]:
    """The different prompts of some canvases, and the number of each canvas's own among them."""
    number: dict[bytes, int] = {}
    prompts: list[Tokens] = []
    for canvas in canvases:
        if number.setdefault(canvas.prompt.tobytes(), len(prompts)) == len(prompts):
            prompts.append(canvas.prompt)
    return prompts, tuple(number[canvas.prompt.tobytes()] for canvas in canvases)


def chat(tokenizer: Any, messages: Sequence[dict[str, str]]) -> list[int]:
    """Messages as token ids: by the tokenizer's chat template, or where it has none, their contents in a row."""
    if getattr(tokenizer, "chat_template", None):
        return list(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"])
    text = "\n".join(message["content"] for message in messages) + "\n"
    ids = list(tokenizer.encode(text))
    first = tokenizer.bos_token_id
    return ids if first is None or ids[:1] == [first] else [first, *ids]


def fits(denoiser: TextDenoiser, prompt: int, cells: int) -> None:
    """Raises ModelError where ``prompt`` tokens and ``cells`` to write are more than the model has positions for."""
    most = denoiser.context
    if most is not None and prompt + cells > most:
        raise ModelError(f"a prompt of {prompt} tokens and {cells} to write are over the model's context of {most}")


def ends(model: Any) -> list[int]:
    """The tokens that end a text, as a model's generation config has them: one, several, or none."""
    said = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    return [said] if isinstance(said, int) else list(said or [])
