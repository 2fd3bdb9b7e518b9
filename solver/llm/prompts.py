"""Prompts of language models: texts, conversations and token ids become tokens; and whether a model can read them.

>>> token_lists([[1, 2], [3]]), token_lists("a text")
([[1, 2], [3]], None)

In this example the second and the first canvas share a prompt:

>>> import numpy as np
>>> open_cell = np.zeros(1, bool)
>>> canvases = [
...     Canvas(np.zeros(1, int), open_cell, open_cell, 9, prompt=np.array(ids)) for ids in ([1], [2], [1])
... ]
>>> [ids.tolist() for ids in distinct(canvases)[0]], distinct(canvases)[1]
([[1], [2]], (0, 1, 0))
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import compress
from numbers import Integral
from typing import Any

import numpy as np

from solver.errors import ModelError
from solver.llm.inspection import input_rows
from solver.models.protocol import TextDenoiser
from solver.tasks.errors import InvalidArgument
from solver.tasks.task import Canvas, Tokens

SHOWN = 60  # characters of a wrong value in a message


def distinct(canvases: Sequence[Canvas]) -> tuple[list[Tokens], tuple[int, ...]]:
    """The distinct prompts, and for each canvas the index of its own."""
    index: dict[bytes, int] = {}
    prompts: list[Tokens] = []
    for canvas in canvases:
        if index.setdefault(canvas.prompt.tobytes(), len(prompts)) == len(prompts):
            prompts.append(canvas.prompt)
    return prompts, tuple(index[canvas.prompt.tobytes()] for canvas in canvases)


class PromptReader:
    """Turns what users pass as a prompt into tokens.

    Args:
        tokenizer: a transformers tokenizer.
        chat_template: the chat template, if it is not the tokenizer's own.
    """

    def __init__(self, tokenizer: Any, chat_template: Any = None) -> None:
        self.tokenizer = tokenizer
        self.chat_template = getattr(tokenizer, "chat_template", None) or chat_template

    def read(self, messages: Any, prompt: Any) -> tuple[list[Tokens], bool]:
        """Return the tokens of all prompts, and whether the caller passed a single one.

        Args:
            messages: a conversation or a list of conversations, or None.
            prompt: instead of messages: a text, token ids, or a list of these; an array or tensor of ids
                (P,) or (B, P); the output of a tokenizer.

        Raises:
            InvalidArgument: both or neither are given, or they are something else.
        """
        if (messages is None) == (prompt is None):
            raise InvalidArgument("give either messages or a prompt")
        prompts, is_single = self.read_messages(messages) if prompt is None else self.read_prompt(prompt)
        if not prompts:
            raise InvalidArgument("there are no messages" if prompt is None else "there are no prompts")
        first = self.tokenizer.bos_token_id
        return [np.array(ids or ([] if first is None else [first]), np.int64) for ids in prompts], is_single

    def read_prompt(self, prompt: Any) -> tuple[list[list[int]], bool]:
        prompt = prompt.tolist() if hasattr(prompt, "tolist") else prompt
        if isinstance(prompt, str):
            return [self.encode(prompt)], True
        if isinstance(prompt, Mapping):
            return self.read_encoding(prompt)
        if isinstance(prompt, Sequence) and any(map(is_text, prompt)):
            return [ids for entry in prompt for ids in self.read_prompt(entry)[0]], False
        if isinstance(prompt, Sequence) and any(isinstance(entry, Mapping) for entry in prompt):
            raise InvalidArgument("prompt holds messages: pass a conversation as messages")
        ids = token_lists(prompt)
        if ids is None:
            raise InvalidArgument(
                "prompt must be a text, token ids, the output of a tokenizer or a list of these, "
                f"not {excerpt(prompt)}"
            )
        is_single = bool(ids) and isinstance(ids[0], int)
        return [ids] if is_single else ids, is_single

    def read_encoding(self, encoding: Mapping[str, Any]) -> tuple[list[list[int]], bool]:
        """The prompts of a tokenizer's output, without padding and without what would end a text."""
        ids, mask = (token_lists(encoding.get(name)) for name in ("input_ids", "attention_mask"))
        if not ids:
            raise InvalidArgument(f"prompt must have token ids as its input_ids, not {excerpt(encoding)}")
        is_single = isinstance(ids[0], int)
        rows, masks = ([ids], [mask]) if is_single else (ids, mask)
        masks = [[1] * len(row) for row in rows] if mask is None else masks
        if list(map(len, rows)) != list(map(len, masks)):
            raise InvalidArgument("the attention_mask of prompt does not have the shape of its input_ids")
        prefix, suffix = self.affixes
        prompts = []
        for padded, is_kept in zip(rows, masks, strict=True):
            row = list(compress(padded, is_kept))
            if suffix and row[-len(suffix) :] == suffix:
                row = row[: -len(suffix)]
            doubled = prefix and row[: 2 * len(prefix)] == prefix * 2
            prompts.append(row[len(prefix) :] if doubled else row)
        return prompts, is_single

    def read_messages(self, messages: Any) -> tuple[list[list[int]], bool]:
        if isinstance(messages, str):
            raise InvalidArgument(
                f"messages must be a list of messages: pass a text as prompt, not {excerpt(messages)}"
            )
        is_single = is_conversation(messages)
        conversations = [messages] if is_single else messages
        if not (isinstance(conversations, Sequence) and all(map(is_conversation, conversations))):
            raise InvalidArgument(
                "messages must be a list of messages, each with a role and content, or a list of such lists, "
                f"not {excerpt(messages)}"
            )
        return [self.chat(conversation) for conversation in conversations], is_single

    def chat(self, messages: Sequence[Mapping[str, Any]]) -> list[int]:
        """Token ids of a conversation: by the chat template, else its contents, one per line.

        Raises:
            InvalidArgument: a message is incomplete or has parts that are not text, or the template refuses
                the conversation.
        """
        from jinja2 import TemplateError

        messages = [plain_message(message) for message in messages]
        if self.chat_template is None:
            if not all(isinstance(message.get("content"), str) for message in messages):
                raise InvalidArgument("without a chat template, the content of each message must be text")
            return self.encode("\n".join(message["content"] for message in messages) + "\n")
        try:
            rendered = self.tokenizer.apply_chat_template(
                messages, chat_template=self.chat_template, add_generation_prompt=True, return_dict=True
            )
        except (TemplateError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise InvalidArgument(f"the chat template refuses these messages: {reason[:160]}") from error
        return list(rendered["input_ids"])

    def encode(self, text: str) -> list[int]:
        """The tokens of ``text`` with what the tokenizer puts before a text, once, and nothing after it.

        A rendered chat prompt already begins with it. After the text the answer follows, so the text must
        not be ended.
        """
        ids = self.plain_ids(text)
        prefix, _ = self.affixes
        return ids if ids[: len(prefix)] == prefix else [*prefix, *ids]

    def plain_ids(self, text: str) -> list[int]:
        """The tokens of ``text`` alone. Raises InvalidArgument if it is not Unicode (a lone surrogate)."""
        try:
            return list(self.tokenizer.encode(text, add_special_tokens=False))
        except (UnicodeEncodeError, TypeError):  # it depends on the version
            raise InvalidArgument(f"the prompt {text[:SHOWN]!r} is not a text in Unicode") from None

    @cached_property
    def affixes(self) -> tuple[list[int], list[int]]:
        """The special tokens that the tokenizer adds before and after a text."""
        ids, plain = list(self.tokenizer.encode("a")), self.plain_ids("a")
        first = next((n for n in range(len(ids)) if ids[n : n + len(plain)] == plain), 0)
        return ids[:first], ids[first + len(plain) :]


def token_lists(ids: Any) -> Any:
    """Token ids as a list, or a list of lists; None if ``ids`` is something else.

    Args:
        ids: a sequence of integers, a sequence of these, or an array or tensor of one or two dimensions.
    """

    def is_token(entry: Any) -> bool:
        return isinstance(entry, Integral) and not isinstance(entry, bool)

    if hasattr(ids, "tolist"):
        ids = ids.tolist()
    if isinstance(ids, str | bytes) or not isinstance(ids, Sequence):
        return None
    entries = [entry.tolist() if hasattr(entry, "tolist") else entry for entry in ids]
    if entries and all(map(is_token, entries)):
        return [int(entry) for entry in entries]
    rows = [[] if isinstance(entry, Sequence) and not len(entry) else token_lists(entry) for entry in entries]
    if any(row is None or (row and not isinstance(row[0], int)) for row in rows):
        return None
    return rows


def is_text(entry: Any) -> bool:
    """Whether ``entry`` of a list of prompts is a text or the output of a tokenizer."""
    return isinstance(entry, str) or (isinstance(entry, Mapping) and "input_ids" in entry)


def is_conversation(messages: Any) -> bool:
    """Whether ``messages`` is one conversation: a list of messages with a role and content."""
    return (
        isinstance(messages, Sequence)
        and not isinstance(messages, str)
        and bool(messages)
        and all(isinstance(message, Mapping) and "role" in message for message in messages)
    )


def plain_message(message: Mapping[str, Any]) -> dict[str, Any]:
    """The message with its content as a text, where it comes in parts. Raises InvalidArgument."""
    content = message.get("content")
    if content is None or isinstance(content, str):
        return dict(message)
    texts = []
    for part in content if isinstance(content, Sequence) else [content]:
        text = part.get("text") if isinstance(part, Mapping) else part
        if not isinstance(text, str):
            raise InvalidArgument(f"the content of a message must be text, not {excerpt(part)}")
        texts.append(text)
    return {**message, "content": "".join(texts)}


def excerpt(value: Any) -> str:
    """The type and the beginning of ``value``, for messages."""
    return f"{type(value).__name__} {' '.join(repr(value).split())[:SHOWN]}"


def check_prompt(denoiser: TextDenoiser, tokenizer: Any, prompt: Tokens, cells: int) -> None:
    """Check that the model can read ``prompt`` and write ``cells`` tokens after it.

    Raises:
        InvalidArgument: a token is outside of the vocabulary, or is the mask token.
        ModelError: prompt and answer exceed the model's context.
    """
    rows = input_rows(getattr(denoiser, "model", None)) or denoiser.vocab
    for token in prompt.tolist():
        if not 0 <= token < rows:
            raise InvalidArgument(f"the prompt has the token {token}, and the model reads {rows} tokens")
        if token in denoiser.forbidden:
            symbol = tokenizer.convert_ids_to_tokens(token)
            raise InvalidArgument(f"the prompt has the mask token {symbol}, which stands for an unknown cell")
    check_fit(denoiser, len(prompt), cells)


def check_fit(denoiser: TextDenoiser, prompt: int, cells: int) -> None:
    """Raise ModelError if ``prompt`` tokens and ``cells`` to write exceed the model's context."""
    limit = denoiser.context
    if limit is not None and prompt + cells > limit:
        raise ModelError(
            f"a prompt of {prompt} tokens and {cells} to write are over the model's context of {limit}"
        )
