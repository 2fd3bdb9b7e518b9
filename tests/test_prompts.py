"""What users pass as a prompt, and the tokens that a model reads."""

from __future__ import annotations

from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers.processors import TemplateProcessing

import solver
from solver.errors import InvalidArgument, ModelError
from solver.llm.prompts import PromptReader
from tests import tiny_models

PLAIN = tiny_models.tokenizer()
A, B = PLAIN.encode("ab", add_special_tokens=False)
BOS, EOS = PLAIN.bos_token_id, PLAIN.eos_token_id
TEMPLATE = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}"
USER = {"role": "user", "content": "ab"}


def tokenizer_with(form: str, template: str | None = None) -> Any:
    """A tokenizer that writes special tokens around a text ``$A``."""
    tokenizer = deepcopy(PLAIN)
    special = [("<bos>", BOS), ("<eos>", EOS)]
    tokenizer._tokenizer.post_processor = TemplateProcessing(single=form, special_tokens=special)
    tokenizer.chat_template = template
    return tokenizer


STARTS, ENDS = tokenizer_with("<bos> $A", TEMPLATE), tokenizer_with("<bos> $A <eos>")


def read(prompt: Any = None, messages: Any = None, tokenizer: Any = STARTS) -> Any:
    """The tokens of one prompt, or of several as a list of lists."""
    prompts, is_single = PromptReader(tokenizer).read(messages, prompt)
    lists = [ids.tolist() for ids in prompts]
    return lists[0] if is_single else lists


@pytest.mark.parametrize(
    ("prompt", "ids"),
    [
        ("ab", [BOS, A, B]),
        ("<bos>ab", [BOS, A, B]),
        ("", [BOS]),
        ([A, B], [A, B]),
        ((A, B), [A, B]),
        (np.array([A, B]), [A, B]),
        (torch.tensor([A, B]), [A, B]),
        ([torch.tensor(A), np.int64(B)], [A, B]),
        (STARTS("ab"), [BOS, A, B]),
        (STARTS("<bos>ab"), [BOS, A, B]),
        (ENDS("ab"), [BOS, A, B, EOS]),
        (["ab", "b"], [[BOS, A, B], [BOS, B]]),
        (np.array(["ab", "b"]), [[BOS, A, B], [BOS, B]]),
        (("ab", [B]), [[BOS, A, B], [B]]),
        ([[A, B], [B]], [[A, B], [B]]),
        (torch.tensor([[A, B]]), [[A, B]]),
        ([torch.tensor([A, B]), np.array([B])], [[A, B], [B]]),
        ([STARTS("a"), STARTS("b")], [[BOS, A], [BOS, B]]),
        (STARTS(["ab", "b"]), [[BOS, A, B], [BOS, B]]),
        (STARTS(["ab", "b"], padding=True, return_tensors="pt"), [[BOS, A, B], [BOS, B]]),
        (STARTS(["ab", "b"], padding=True, padding_side="left"), [[BOS, A, B], [BOS, B]]),
    ],
)
def test_a_prompt_in_any_form_is_read(prompt: Any, ids: list[Any]) -> None:
    assert read(prompt) == ids


@pytest.mark.parametrize("prompt", ["ab", ENDS("ab"), "<bos>ab"])
def test_a_tokenizer_that_ends_texts_does_not_end_a_prompt(prompt: Any) -> None:
    assert read(prompt, tokenizer=ENDS) == [BOS, A, B]
    assert read(messages=[USER], tokenizer=ENDS)[-1] == PLAIN.encode("\n")[-1]


def test_a_rendered_chat_is_read_as_the_chat_is() -> None:
    rendered = STARTS.apply_chat_template([USER], tokenize=False)
    assert read(rendered) == read(messages=[USER]) == read(STARTS(rendered)) == [BOS, A, B]


@pytest.mark.parametrize(
    ("messages", "ids"),
    [
        ((USER,), [BOS, A, B]),
        ([[USER], [USER]], [[BOS, A, B]] * 2),
        ([{**USER, "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}], [BOS, A, B]),
        ([{**USER, "content": ["a", "b"]}], [BOS, A, B]),
    ],
)
def test_a_conversation_in_any_form_is_read(messages: Any, ids: list[Any]) -> None:
    assert read(messages=messages) == ids


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"prompt": []}, "there are no prompts"),
        ({"prompt": {"ids": [1]}}, "prompt must have token ids as its input_ids"),
        ({"prompt": {"input_ids": [1, 2], "attention_mask": [1]}}, "does not have the shape"),
        ({"prompt": b"ab"}, "prompt must be a text, token ids"),
        ({"prompt": 7}, "prompt must be a text, token ids"),
        ({"prompt": [1.5]}, "prompt must be a text, token ids"),
        ({"prompt": [True]}, "prompt must be a text, token ids"),
        ({"prompt": [[[1]]]}, "prompt must be a text, token ids"),
        ({"prompt": {"a", "b"}}, "prompt must be a text, token ids"),
        ({"prompt": torch.tensor([0.5])}, "prompt must be a text, token ids"),
        ({"prompt": [USER]}, "pass a conversation as messages"),
        ({"messages": []}, "there are no messages"),
        ({"messages": "hi"}, "pass a text as prompt"),
        ({"prompt": "\ud800"}, "is not a text in Unicode"),
        ({"messages": USER}, "messages must be a list of messages"),
        ({"messages": [[]]}, "messages must be a list of messages"),
        ({"messages": [{"content": "x"}]}, "messages must be a list of messages"),
        ({"messages": [{**USER, "content": [{"type": "image", "url": "x"}]}]}, "must be text, not dict"),
        ({"messages": [{**USER, "content": 7}]}, "must be text, not int"),
    ],
)
def test_a_prompt_that_is_something_else_is_refused_in_one_line(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message) as caught:
        read(**given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ raise_exception('roles must alternate') }}", "refuses these messages: roles must alternate"),
        ("{{ 'a' + messages[0].content }}", "refuses these messages"),
        (None, "without a chat template"),
    ],
)
def test_a_conversation_that_the_template_cannot_render_is_refused(template: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        read(messages=[{**USER, "content": None}], tokenizer=tokenizer_with("<bos> $A", template))


def test_a_processor_stands_for_its_tokenizer() -> None:
    template = "{% for m in messages %}{{ m.content }}!{% endfor %}"
    processor = SimpleNamespace(tokenizer=PLAIN, chat_template=template, decode=PLAIN.decode)
    model = tiny_models.remote_model("tiny_llada")
    candidate = solver.generate(model, processor, messages=[USER], length=4, seed=2)
    expected = solver.generate(model, PLAIN, prompt=PLAIN.encode("ab!"), length=4, seed=2)
    assert candidate.text == expected.text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"prompt": "a<mask>"}, "prompt has the mask token <mask>"),
        ({"prompt": [5, 3]}, "prompt has the mask token <mask>"),
        ({"messages": [{**USER, "content": "<mask>"}]}, "prompt has the mask token <mask>"),
        ({"prompt": "a", "template": ["<mask>", solver.Hole(1)]}, "template has the token <mask>"),
        ({"prompt": "a", "template": [solver.Hole(2, "<mask>")]}, "template has the token <mask>"),
        ({"prompt": [5, 99]}, "prompt has the token 99, and the model reads 63 tokens"),
        ({"prompt": [-1]}, "prompt has the token -1"),
    ],
)
def test_a_token_that_the_model_cannot_read_or_write_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        solver.generate(tiny_models.remote_model("tiny_llada"), PLAIN, **given)


@pytest.mark.parametrize("kind", ["mask", "uniform"])
def test_a_model_whose_logits_are_nan_is_refused(kind: str) -> None:
    model = tiny_models.remote_model("tiny_llada") if kind == "mask" else tiny_models.gemma(canvas=8)
    norm = model.head.bias if kind == "mask" else model.model.decoder.norm.weight
    with torch.no_grad():
        norm[0] = float("nan")
    for language in ({}, {"regex": "[a-z]{4}"}):
        with pytest.raises(ModelError, match="logits are NaN"):
            solver.generate(model, PLAIN, prompt="x", length=4, **language)
