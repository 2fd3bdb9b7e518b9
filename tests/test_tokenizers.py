"""Tokenizers of the published kinds: the bytes of tokens, spellings of texts, and what may stand in a text."""

from __future__ import annotations

import copy
import json
import random
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import solver
from benchmarks.fuzz_tokenizers import Runs
from solver.errors import ModelError
from solver.kernels import reference
from solver.llm.masked_lm import MaskedLM
from solver.llm.token_table import decoder_steps, special_tokens, token_table
from solver.llm.tokenizer import TokenizerBridge, turn_end
from solver.loop.trace import Budget
from solver.tasks.errors import InvalidArgument
from solver.tasks.json_schema.errors import CanvasTooSmall, TemplateMismatch
from solver.tasks.text import Hole, Text, TextTask, overlapping
from tests import tiny_models
from tests.tiny_tokenizers import KINDS, of_kind, word_piece, wrap

kinds = pytest.mark.parametrize("kind", KINDS)


def model_of(tokenizer: Any) -> Any:
    return tiny_models.remote_model("tiny_llada", vocab=len(tokenizer))


def bridge_of(tokenizer: Any) -> TokenizerBridge:
    return TokenizerBridge(MaskedLM(model_of(tokenizer), mask_token=3), tokenizer)


@cache
def bridge_of_kind(kind: str) -> TokenizerBridge:
    return bridge_of(of_kind(kind))


class Insistent:
    """A mask model that always gives these tokens to the last cells."""

    def __init__(self, tokens: list[int], vocab: int) -> None:
        self.tokens, self.device = tokens, torch.device("cpu")
        self.config = SimpleNamespace(vocab_size=vocab, mask_token_id=3, model_type="insistent")
        self.generation_config = SimpleNamespace(eos_token_id=1)

    def eval(self) -> None: ...

    def parameters(self) -> Any:
        return iter([torch.zeros(1)])

    def __call__(self, input_ids: torch.Tensor, **_: Any) -> Any:
        logits = torch.zeros(*input_ids.shape, self.config.vocab_size)
        for n, token in enumerate(self.tokens):
            logits[:, input_ids.shape[1] - len(self.tokens) + n, token] = 12.0
        return SimpleNamespace(logits=logits)


@kinds
@given(data=st.data())
def test_the_bytes_of_tokens_are_the_decoded_text(kind: str, data: st.DataObject) -> None:
    tokenizer = of_kind(kind)
    table = token_table(tokenizer)
    usable = [token for token, text in enumerate(table.later) if text]
    ids = data.draw(st.lists(st.sampled_from(usable), min_size=1, max_size=12))
    written = table.first[ids[0]] + b"".join(table.later[token] for token in ids[1:])
    try:
        expected = written.decode()
    except UnicodeDecodeError:
        return  # byte tokens that are no character
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == expected


@kinds
@given(data=st.data())
def test_a_spelled_literal_is_decoded_as_it_was_given(kind: str, data: st.DataObject) -> None:
    bridge = bridge_of_kind(kind)
    text = data.draw(st.text('abxy A1é£ñ{}":.\n▁<>', min_size=1, max_size=8))
    is_first = data.draw(st.booleans())
    before = [] if is_first else bridge.encode("x")
    try:
        ids = bridge.spell(text, is_first)
    except InvalidArgument:
        assert bridge.token_bytes().spell(text.encode(), is_first) is None
        return
    assert bridge.decode(before + ids) == bridge.decode(before) + text
    assert not bridge.ends.intersection(ids)


def test_an_added_token_outside_of_ascii_is_decoded_as_bytes() -> None:
    tokenizer = of_kind("accents")
    assert token_table(tokenizer).later[tokenizer.convert_tokens_to_ids("£")] == b"\xa3"
    found = solver.generate(model_of(tokenizer), tokenizer, prompt="p", regex="£[0-9]", length=4)
    assert found.status == "solved"
    assert found.text[0] == "£"
    with pytest.raises(CanvasTooSmall, match="2 tokens and the canvas 1"):
        solver.generate(model_of(tokenizer), tokenizer, prompt="p", regex="£", length=1)


def test_runs_of_spaces_that_are_added_tokens_are_spaces() -> None:
    tokenizer = of_kind("space_runs")
    model, schema = model_of(tokenizer), {"type": "object", "properties": {"a": {"enum": [1, 7]}}}
    template = ['{\n  "a": ', Hole(1), "\n}"]
    found = solver.generate(model, tokenizer, prompt="x", template=template, schema=schema)
    assert found.text in ('{\n  "a": 1\n}', '{\n  "a": 7\n}')
    assert solver.generate(model, tokenizer, prompt="x", regex="  ", length=1).text == "  "


@pytest.mark.parametrize("kind", ["first_space", "unigram", "space_runs", "normalised"])
def test_a_text_may_begin_with_a_space(kind: str) -> None:
    tokenizer = of_kind(kind)
    model = model_of(tokenizer)
    found = solver.generate(model, tokenizer, prompt="p", template=[" x", Hole(1)])
    assert found.status == "solved"
    assert found.text.startswith(" x")
    found = solver.generate(model, tokenizer, prompt="p", regex=" [xy][ab]", length=4)
    assert found.status == "solved"
    assert found.text[0] == " "


def test_a_literal_that_no_tokens_give_is_refused() -> None:
    tokenizer = of_kind("word_piece")
    with pytest.raises(InvalidArgument, match="no tokens of this tokenizer are decoded to ' x' at the start"):
        solver.generate(model_of(tokenizer), tokenizer, prompt="x", template=[" x", Hole(1)])
    found = solver.generate(model_of(tokenizer), tokenizer, prompt="x", template=["x", Hole(1), " y."])
    assert found.status == "solved"
    assert (found.text[0], found.text[-3:]) == ("x", " y.")


def test_a_literal_of_byte_tokens_is_not_changed_by_a_byte_in_the_hole() -> None:
    tokenizer = of_kind("space_runs")
    byte = tokenizer.convert_tokens_to_ids("<0x80>")
    model = Insistent([5, 5, byte, 1], len(tokenizer))
    found = solver.generate(model, tokenizer, prompt="p", template=["é", Hole(1)])
    assert found.status == "solved"
    assert found.text.startswith("é")
    assert "\ufffd" not in found.text


def test_a_literal_that_holds_a_marker_is_text() -> None:
    tokenizer = of_kind("unnamed_specials")
    literal = "<tool_call></s><|eot_id|><eos>"
    found = solver.generate(model_of(tokenizer), tokenizer, prompt="p", template=[literal, Hole(2), "x"])
    assert found.status == "solved"
    assert found.text.startswith(literal)
    assert found.text.endswith("x")
    with pytest.raises(InvalidArgument, match="the token <mask>, which the model cannot write"):
        solver.generate(model_of(tokenizer), tokenizer, prompt="p", template=["a<mask>", Hole(2)])
    with pytest.raises(InvalidArgument, match="is not a text in Unicode"):
        solver.generate(model_of(tokenizer), tokenizer, prompt="p", template=["a\ud800", Hole(2)])


def test_special_tokens_without_a_name_are_special() -> None:
    tokenizer = of_kind("unnamed_specials")
    ids = tokenizer.convert_tokens_to_ids
    assert special_tokens(tokenizer) >= {ids("<|eot_id|>"), ids("<|channel>"), 0, 1, 2, 3, 4}
    assert token_table(tokenizer).markers == {ids("<tool_call>"), ids("[TOOL_CALLS]"), ids("<think>")}
    assert token_table(of_kind("accents")).markers == {
        of_kind("accents").convert_tokens_to_ids("<tool_call>")
    }


def test_markers_stand_in_free_text_but_not_in_holes_or_strings() -> None:
    tokenizer = of_kind("unnamed_specials")
    channel, turn, call = map(tokenizer.convert_tokens_to_ids, ("<|channel>", "<|eot_id|>", "<tool_call>"))
    yes, quote = (tokenizer.encode(text, add_special_tokens=False) for text in ("yes", '"'))
    wanted = [channel, *yes, turn, 1]
    found = solver.generate(Insistent(wanted, len(tokenizer)), tokenizer, prompt="x", length=len(wanted))
    assert found.tokens.tolist() == wanted
    assert found.text == "yes" == tokenizer.decode(wanted, skip_special_tokens=True)
    for marker in (channel, turn, call):
        model = Insistent([marker, 1], len(tokenizer))
        found = solver.generate(model, tokenizer, prompt="x", template=["a", Hole(1)])
        assert (found.status, len(found.text) <= 2, marker in found.tokens) == ("solved", True, False)
        model = Insistent([*quote, marker, *quote, 1], len(tokenizer))
        found = solver.generate(model, tokenizer, prompt="x", schema={"type": "string"}, length=4)
        assert found.status == "solved"
        assert marker not in found.tokens
        assert isinstance(json.loads(found.text), str)


@pytest.mark.parametrize("size", [2, 4, 8])
def test_a_hole_has_at_most_its_tokens(size: int) -> None:
    tokenizer = of_kind("accents")
    born = {"type": "integer", "minimum": 10, "maximum": 99}
    schema = {"type": "object", "properties": {"born": born}, "additionalProperties": False}
    template = ['{"born":', Hole(size), "}"]
    for model in (model_of(tokenizer), tiny_models.gemma(canvas=32, vocab=len(tokenizer))):
        found = solver.generate(
            model, tokenizer, prompt="x", template=template, schema=schema, budget=Budget(forwards=8)
        )
        assert found.status == "solved"
        assert 10 <= found.value["born"] <= 99
        assert found.fills == (str(found.value["born"]),)


@pytest.mark.parametrize("kind", ["normalised", "space_runs"])
def test_all_tokens_of_a_character_are_blamed_and_none_beside_it(kind: str) -> None:
    tokenizer = of_kind(kind)
    ids = np.array(tokenizer.encode("😀x😀y", add_special_tokens=False))
    nothing = np.zeros(len(ids), bool)
    task = TextTask(len(tokenizer), bridge_of(tokenizer).decode)
    bounds = task.cell_spans(Text(ids[:0], ids, nothing, nothing), ids)
    characters = [np.flatnonzero(overlapping((n, n + 1), *bounds)).tolist() for n in range(4)]
    assert characters == [[0, 1, 2, 3], [4], [5, 6, 7, 8], [9]]


def test_the_token_after_an_answer_in_the_chat_template_ends_a_text() -> None:
    tokenizer = copy.deepcopy(of_kind("unnamed_specials"))
    turn = tokenizer.convert_tokens_to_ids("<|eot_id|>")
    assert turn_end(tokenizer) is None
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}<|eot_id|>\n{% endfor %}"
    )
    assert turn_end(tokenizer) == turn
    assert turn in bridge_of(tokenizer).ends
    tokenizer.chat_template = "{{ raise_exception('no system message') }}"
    assert turn_end(tokenizer) is None


def test_a_table_is_built_once_and_again_after_a_change() -> None:
    tokenizer = copy.deepcopy(of_kind("accents"))
    bridge = bridge_of(tokenizer)
    assert token_table(tokenizer) is token_table(tokenizer)
    assert bridge.token_bytes() is bridge_of(tokenizer).token_bytes()
    before = token_table(tokenizer)
    tokenizer.add_tokens(["zzzz"])
    assert token_table(tokenizer).later[-1] == b"zzzz"
    assert len(token_table(tokenizer).later) == len(before.later) + 1


def test_decoders_that_need_more_context_are_refused() -> None:
    from tokenizers import Regex, decoders

    for decoder in (
        decoders.BPEDecoder(),
        decoders.CTC(),
        decoders.Sequence([decoders.Fuse(), decoders.Replace("ab", "c")]),
        decoders.Sequence([decoders.Fuse(), decoders.Strip(" ", 1, 1)]),
        decoders.Replace(Regex("a+"), "b"),
    ):
        with pytest.raises(ModelError, match="a schema or a pattern needs a tokenizer"):
            decoder_steps(json.loads(decoder.__getstate__()))
    tokenizer = copy.deepcopy(word_piece())
    tokenizer._tokenizer.decoder = decoders.Strip("x", 1, 0)
    assert token_table(tokenizer).later[tokenizer.convert_tokens_to_ids("x")] == b""
    with pytest.raises(ModelError, match="a fast one"):
        token_table(SimpleNamespace())


def test_only_text_and_ends_are_allowed_in_holes() -> None:
    tokenizer = of_kind("unnamed_specials")
    bridge = bridge_of(tokenizer)
    allowed = {
        is_free: reference.unpack(torch.from_numpy(bridge.allowed(is_free)), len(tokenizer))
        .nonzero()[:, 0]
        .tolist()
        for is_free in (False, True)
    }
    special, markers = special_tokens(tokenizer), token_table(tokenizer).markers
    assert not (special | markers) & set(allowed[False]) - bridge.ends
    assert set(allowed[True]) >= markers | (special - {2, 3, 4})
    assert not {2, 3, 4} & set(allowed[True])
    assert wrap(tokenizer._tokenizer).eos_token_id in allowed[False]


def test_what_cannot_be_is_said_before_the_first_forward() -> None:
    tokenizer = of_kind("word_piece")
    model = model_of(tokenizer)
    model.forward = None  # it is not called
    with pytest.raises(InvalidArgument, match="no tokens for any text of the schema or pattern"):
        solver.generate(model, tokenizer, prompt="x", regex="q", length=3)
    with pytest.raises(CanvasTooSmall, match="3 tokens and the canvas 2"):
        solver.generate(model, tokenizer, prompt="x", regex="x y x", length=2)
    with pytest.raises(TemplateMismatch, match="holes of these sizes"):
        solver.generate(model, tokenizer, prompt="x", regex="x y x y", template=["x", Hole(2)])


@kinds
def test_what_the_tokenizer_can_spell_is_found_and_right(kind: str) -> None:
    """A few runs of benchmarks/fuzz_tokenizers.py."""
    runs, done = Runs(kind, of_kind(kind), random.Random(7)), 0
    while done < 12:
        name, mistakes, request, answer = runs.run()
        done += request is not None
        assert not mistakes, (name, request, answer)
