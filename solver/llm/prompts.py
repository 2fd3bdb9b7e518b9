"""Prompts of language models: as tokens, without duplicates, and whether they fit.

>>> import numpy as np
>>> open_cell = np.zeros(1, bool)
>>> canvases = [
...     Canvas(np.zeros(1, int), open_cell, open_cell, 9, prompt=np.array(ids)) for ids in ([1], [2], [1])
... ]
>>> [ids.tolist() for ids in distinct(canvases)[0]], distinct(canvases)[1]
([[1], [2]], (0, 1, 0))
"""

from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any

from solver.errors import ModelError
from solver.models.protocol import TextDenoiser
from solver.tasks.task import Canvas, Tokens


def distinct(canvases: Sequence[Canvas]) -> tuple[list[Tokens], tuple[int, ...]]:
    """The distinct prompts, and for each canvas the index of its own."""
    index: dict[bytes, int] = {}
    prompts: list[Tokens] = []
    for canvas in canvases:
        if index.setdefault(canvas.prompt.tobytes(), len(prompts)) == len(prompts):
            prompts.append(canvas.prompt)
    return prompts, tuple(index[canvas.prompt.tobytes()] for canvas in canvases)


def chat(tokenizer: Any, messages: Sequence[dict[str, str]]) -> list[int]:
    """Token ids of a conversation: by the tokenizer's chat template, else its contents, one per line."""
    if getattr(tokenizer, "chat_template", None):
        rendered = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
        return list(rendered["input_ids"])
    text = "\n".join(message["content"] for message in messages) + "\n"
    ids = list(tokenizer.encode(text))
    first = tokenizer.bos_token_id
    return ids if first is None or ids[:1] == [first] else [first, *ids]


def check_fit(denoiser: TextDenoiser, prompt: int, cells: int) -> None:
    """Raise ModelError if ``prompt`` tokens and ``cells`` to write exceed the model's context."""
    limit = denoiser.context
    if limit is not None and prompt + cells > limit:
        raise ModelError(
            f"a prompt of {prompt} tokens and {cells} to write are over the model's context of {limit}"
        )


def cache_keyword(function: Callable[..., Any], cache: Any) -> dict[str, Any]:
    """The keyword argument that passes ``cache`` to ``function``, a model or one of its methods.

    It is ``cache`` from transformers 5.24 on; before that, and in remote code, ``past_key_values``.
    """
    names = signature(getattr(function, "forward", function)).parameters
    return {"cache" if "cache" in names else "past_key_values": cache}
