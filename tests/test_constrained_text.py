"""``solver.generate(..., schema=, regex=)``: random models of each family produce valid text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import numpy as np
import pytest

import solver
from solver.llm.token_table import token_table
from solver.loop.trace import Budget
from solver.tasks.errors import InvalidArgument
from solver.tasks.json_schema.errors import CanvasTooSmall, UnsatisfiableSchema
from solver.tasks.text import Draft, Hole
from tests import tiny_models

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 12},
        "born": {"type": "integer", "minimum": 1000, "maximum": 2100},
        "tags": {"type": "array", "items": {"enum": ["first", "of", "them"]}, "maxItems": 2},
    },
    "required": ["name", "born", "tags"],
    "additionalProperties": False,
}
KINDS = ("diffusion_gemma", "tiny_llada", "tiny_dream")
TOKENIZER = tiny_models.byte_level_tokenizer()


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest) -> Any:
    vocab = len(TOKENIZER)
    if request.param == "diffusion_gemma":
        return tiny_models.gemma(canvas=48, vocab=vocab)
    return tiny_models.remote_model(request.param, vocab=vocab)


def texts(found: Any) -> list[str]:
    candidates = (found, *found.alternatives)
    assert all(one.status == "solved" for one in candidates), candidates
    return [one.text for one in candidates]


def test_texts_satisfy_the_schema(model: Any) -> None:
    found = solver.generate(
        model, TOKENIZER, prompt="Ada, born 1815", schema=SCHEMA, length=48, candidates=3, seed=1
    )
    for text in texts(found):
        instance = json.loads(text)
        jsonschema.Draft202012Validator(SCHEMA).validate(instance)
        assert list(instance) == ["name", "born", "tags"]


def test_texts_satisfy_the_schema_inside_a_template(model: Any) -> None:
    template = ['{ "name": ', Hole(8), ',\n  "born": 18', Hole(2), ', "tags": [] }']
    found = solver.generate(model, TOKENIZER, prompt="x", schema=SCHEMA, template=template)
    (text,) = texts(found)
    assert text.startswith('{ "name": "')
    assert re.search(r',\n  "born": 18\d{0,2}, "tags": \[\] \}$', text)
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(text))


@pytest.mark.parametrize(
    "template",
    [
        [Hole(800)],
        ['{"name": "', Hole(400), '", "born": 1815, "tags": ', Hole(400), "}"],
        ["{" + " " * 4200 + '"name": "', Hole(4), '", "born": 1815, "tags": []}'],
    ],
    ids=["one hole", "two holes", "long literals"],
)
def test_a_template_may_have_many_tokens(template: list[str | Hole]) -> None:
    """A JSON canvas has at most 4,096 bytes; a canvas of tokens may have a longer text."""
    model = tiny_models.remote_model("tiny_llada", vocab=len(TOKENIZER), context=8192)
    found = solver.generate(
        model, TOKENIZER, prompt="x", schema=SCHEMA, template=template, budget=Budget(forwards=1)
    )
    (text,) = texts(found)
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(text))


def test_texts_match_the_pattern(model: Any) -> None:
    found = solver.generate(
        model, TOKENIZER, prompt="x", regex=r"(Grüße|日本), [a-z]{3,9}!", length=24, candidates=2
    )
    for text in texts(found):
        assert re.fullmatch(r"(Grüße|日本), [a-z]{3,9}!", text)


def test_a_user_check_runs_after_the_schema(model: Any) -> None:
    def even(draft: Draft) -> Iterator[str]:
        if json.loads(draft.text)["born"] % 2:
            yield "born is odd"

    found = solver.generate(model, TOKENIZER, prompt="x", schema=SCHEMA, check=even, length=48, seed=3)
    assert json.loads(texts(found)[0])["born"] % 2 == 0


def test_impossible_requests_raise_one_line_errors() -> None:
    model = tiny_models.remote_model("tiny_llada", vocab=len(TOKENIZER))
    with pytest.raises(CanvasTooSmall, match="tokens and the canvas 4") as caught:
        solver.generate(model, TOKENIZER, prompt="x", schema=SCHEMA, length=4)
    assert 8 <= caught.value.minimum <= 40
    with pytest.raises(UnsatisfiableSchema):
        solver.generate(model, TOKENIZER, prompt="x", schema=False, length=8)
    with pytest.raises(InvalidArgument, match="either a schema or a regex"):
        solver.generate(model, TOKENIZER, prompt="x", schema=True, regex="a", length=8)
    with pytest.raises(InvalidArgument, match="matches"):
        solver.generate(model, TOKENIZER, prompt="x", regex="a(?!.)b", length=8)
    with pytest.raises(InvalidArgument, match="must fit into one canvas of 16 tokens"):
        solver.generate(
            tiny_models.gemma(canvas=16, vocab=len(TOKENIZER)), TOKENIZER, prompt="x", schema=True, length=64
        )


@pytest.mark.parametrize("tokenizer", [TOKENIZER, tiny_models.tokenizer()], ids=["byte-level", "characters"])
def test_the_bytes_of_tokens_spell_the_text(tokenizer: Any) -> None:
    """A text's tokens, one after another, are the text."""
    found = token_table(tokenizer).later
    for text in ('{"name": "ada"}', "the count is 12", "a b\nc"):
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert b"".join(found[token] for token in ids).decode() == text
    assert all(found[token] == b"" for token in tokenizer.all_special_ids)
    assert np.mean([len(text) > 1 for text in found]) > 0 if tokenizer is TOKENIZER else True
