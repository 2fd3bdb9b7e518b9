"""The network for texts: one step at a time is the whole at once, padding says nothing, and what it writes is in the language."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch

from solver.api import fill as structured
from solver.api.candidate import Candidate
from solver.baseline.json import TextRequest, write_texts
from solver.cli.main import main
from solver.loop.refine import refine
from solver.loop.trace import Budget, Outcome
from solver.models import checkpoint
from solver.models.blocks import KNOWN, OPEN, PINNED
from solver.models.context import KVCache
from solver.models.json_network import JsonConfig, JsonNetwork, item_offsets, word_codes
from solver.models.mask_denoisers import JsonDenoiser
from solver.tasks.json_schema import synthetic as records
from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.errors import UnsupportedSchema
from solver.tasks.json_schema.grammar import SchemaGrammar
from solver.tasks.json_schema.layout import SchemaLayout
from solver.tasks.json_schema.offsets import left_offsets
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.task import JsonTask
from solver.tasks.languages.projection import BLANK
from solver.training.json_examples import RecordLoader, json_examples, lay_out, place_text

SMALL = JsonConfig(width=16, hidden=16, heads=2, readers=2, layers=2, offsets=8)


def network(causal: bool = False) -> JsonNetwork:
    torch.manual_seed(0)
    return JsonNetwork(JsonConfig(**{**SMALL.__dict__, "causal": causal})).eval()


@torch.inference_mode()
def test_one_step_at_a_time() -> None:
    net, rows, cells = network(causal=True), 3, 11
    prompt, lengths = torch.randint(0, 256, (rows, 9)), torch.tensor([9, 4, 7])
    tokens, offset = (
        torch.randint(0, 257, (rows, cells)),
        torch.randint(0, 4, (rows, cells)).clamp(max=torch.arange(cells)),
    )
    read = net.read(prompt, lengths)
    before = torch.cat([torch.full((rows, 1), 257), tokens[:, :-1]], 1)
    whole = net(read, before, torch.full_like(before, KNOWN), offset)
    cache, slots, known = KVCache(rows + 1), torch.tensor([2, 0, 3]), torch.full((rows, 1), KNOWN)
    steps = []
    for cell in range(cells):
        column = slice(cell, cell + 1)
        step = cache.step(slots, torch.full((rows, 1), cell))
        steps.append(net(read, before[:, column], known, offset[:, column], step))
    torch.testing.assert_close(torch.cat(steps, 1), whole, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_slots_may_be_at_different_positions_and_are_used_again() -> None:
    net, cache = network(causal=True), KVCache(2)
    read = net.read(torch.randint(0, 256, (2, 5)), torch.tensor([5, 5]))
    texts = [torch.randint(0, 257, (2, size)) for size in (3, 6)]
    for start, text in (
        (0, texts[0]),
        (2, texts[1]),
    ):  # the second text takes the slots over; its rows start apart
        for turn in range(text.shape[1] + start):
            places = torch.tensor([turn, turn - start])
            running = ((places >= 0) & (places < text.shape[1])).nonzero()[:, 0]
            tokens = text[running, places[running]][:, None]
            zeros, prompt = torch.zeros_like(tokens), type(read)(*(part[running] for part in read))
            step = cache.step(running, places[running][:, None])
            log_p = net(prompt, tokens, torch.full_like(tokens, KNOWN), zeros, step)[:, 0]
            whole = net(read, text, torch.full_like(text, KNOWN), torch.zeros_like(text))
            torch.testing.assert_close(log_p, whole[running, places[running]], atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_left_to_right_sees_nothing_to_the_right() -> None:
    net = network(causal=True)
    read = net.read(torch.randint(0, 256, (1, 5)), torch.tensor([5]))
    one = torch.randint(0, 257, (1, 8))
    other = one.clone()
    other[0, 5:] = torch.randint(0, 257, (3,))
    known, offset = torch.full_like(one, KNOWN), torch.zeros_like(one)
    torch.testing.assert_close(net(read, one, known, offset)[:, :5], net(read, other, known, offset)[:, :5])


@torch.inference_mode()
@pytest.mark.parametrize("causal", [False, True])
def test_padding_says_nothing(causal: bool) -> None:
    net = network(causal)
    prompt, tokens = torch.randint(0, 256, (2, 7)), torch.randint(0, 257, (2, 6))
    padded = torch.cat([prompt, torch.randint(0, 256, (2, 5))], 1)
    lengths, status, offset = (
        torch.tensor([7, 7]),
        torch.tensor([[PINNED, KNOWN, OPEN, OPEN, OPEN, KNOWN]] * 2),
        torch.zeros(2, 6).long(),
    )
    short, long = (net(net.read(p, lengths), tokens, status, offset) for p in (prompt, padded))
    torch.testing.assert_close(short, long, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(short.exp().sum(-1), torch.ones(2, 6), atol=1e-3, rtol=1e-3)


def test_records_are_what_they_say() -> None:
    """Instances are valid, the values that are copied stand in the text, derived ones follow from the rest."""
    rng, pool = np.random.default_rng(0), records.english_words(reserved=False)
    for _ in range(60):
        record = records.make_record(rng, pool)
        jsonschema.Draft202012Validator(record.schema).validate(record.instance)
        names = list(record.instance)
        if record.derived is not None:
            assert names[0 if record.order == "first" else -1] == record.derived
        for name, value in record.instance.items():
            if name != record.derived and isinstance(value, str):
                assert value in record.text
            if name != record.derived and isinstance(value, int) and not isinstance(value, bool):
                assert str(value) in record.text
    assert not set(pool) & set(records.english_words(reserved=True))


def test_laid_out_and_back() -> None:
    rng, pool = np.random.default_rng(1), records.english_words(reserved=False)
    laid = several = 0
    for _ in range(40):
        record = records.make_record(rng, pool)
        text = json.dumps(record.instance, separators=(",", ":"), ensure_ascii=False).encode()
        layouts = [one.parts(256) for one in SchemaLayout.all(SchemaGrammar(Compiler(record.schema), 256))]
        fitting = [
            (at, parts)
            for at, found in enumerate(layouts)
            if found and (parts := lay_out(found, text)) is not None
        ]
        if not fitting:
            continue
        assert len(fitting) == 1
        ((at, parts),) = fitting
        several += len(layouts) > 1
        laid += 1
        tokens, pinned, offset = parts
        assert len(tokens) == 256
        assert bytes(tokens[tokens != BLANK].astype(np.uint8)) == text
        form = JsonProblem.of(record.schema, record.text).layouts()[at]
        given, fixed = form.given
        assert (fixed == pinned).all()
        assert (given[fixed] == tokens[pinned]).all()
        assert JsonTask().verify(form, tokens)
        assert (offset[~pinned][np.flatnonzero(np.diff(offset[~pinned]) < 0) + 1] == 0).all()
    assert laid > 35
    assert several > 3


def test_offsets_begin_anew_behind_a_known_comma_of_a_list() -> None:
    text = torch.tensor([list(b'{"a":[12,3,45]}')])
    offset = torch.tensor([[0] * 5 + list(range(9)) + [0]])
    known = torch.ones_like(text, dtype=torch.bool)
    assert item_offsets(text, known, offset).tolist() == [[0] * 5 + [0, 1, 2, 3, 1, 2, 1, 2, 3] + [0]]
    known[0, 10] = False  # a comma that is not known separates nothing
    assert item_offsets(text, known, offset)[0, 9:14].tolist() == [1, 2, 3, 4, 5]
    known[0, 5] = False  # and no bracket, no list
    assert item_offsets(text, known, offset).equal(offset)
    string = torch.tensor([list(b'{"a":"1, 2"}')])
    offset = torch.tensor([[0] * 5 + list(range(6)) + [0]])
    assert item_offsets(string, torch.ones_like(string, dtype=torch.bool), offset).equal(offset)


def test_what_is_derived_weighs_more_and_slots_are_seen_from_the_left() -> None:
    for causal in (False, True):
        loader = RecordLoader(json_examples(120, causal, 0), 8, causal)
        derived = [
            (truth[cells], pinned[cells])
            for columns in loader.columns.values()
            for truth, pinned, cells in zip(
                columns["truth"], columns["pinned"], columns["derived"], strict=True
            )
            if cells.any()
        ]
        assert 35 < len(derived) < 85
        for truth, pinned in derived:
            assert pinned.all() or not pinned.any()  # a layout of one kind has its name in it
            assert set(bytes(truth.astype(np.uint8))) <= set(b'"abcdefghijklmnopqrstuvwxyz0123456789')
        weights = torch.cat([loader.next()[-1].flatten() for _ in range(12)])
        assert weights.max() == 4.0
    rng = np.random.default_rng(3)
    loader.rng = rng
    offset = np.tile(np.concatenate([np.zeros(4, np.int64), np.arange(20)]), (64, 1))
    truth, pinned = np.full(offset.shape, 65), np.tile(np.arange(24) < 4, (64, 1))
    _, status, _ = loader.corrupted(truth, pinned, offset)
    seen = status[:, 4:] != OPEN
    from_left = (np.diff(seen.astype(int), axis=1) <= 0).all(1) & seen.any(1) & ~seen.all(1)
    assert from_left.sum() >= 5  # by chance hardly ever


def test_left_offsets_know_only_the_left() -> None:
    text = np.frombuffer(b'{"a":"x,y","b":[12,{"c":0}]}', np.uint8).astype(np.int64)
    found = left_offsets(text)
    assert found[5:9].tolist() == [
        0,
        1,
        2,
        3,
    ]  # the value behind the first colon; a comma in a string is none
    assert found[bytes(text.astype(np.uint8)).index(b"12") + 1] == 1
    for cut in range(1, len(text)):
        assert left_offsets(text[:cut]).tolist() == found[:cut].tolist()


def test_batches() -> None:
    loader = RecordLoader(json_examples(40, False, 0), 4, False)
    prompt, lengths, tokens, status, _, truth, weight = loader.next()
    assert (tokens[status == PINNED] == truth[status == PINNED]).all()
    assert (weight[status == PINNED] == 0).all()
    assert ((tokens != truth) & (status == KNOWN)).sum() < (status == KNOWN).sum() or (
        status == KNOWN
    ).sum() == 0
    assert prompt.shape[1] >= lengths.max()
    causal_loader = RecordLoader(json_examples(20, True, 0), 4, True)
    _, _, tokens, status, _, truth, weight = causal_loader.next()
    assert (tokens[:, 1:] == truth[:, :-1]).all()
    assert (status == KNOWN).all()


@pytest.mark.parametrize("masked", [False, True])
def test_writing_left_to_right(masked: bool) -> None:
    rng, pool = np.random.default_rng(2), records.english_words(reserved=True)
    some = [records.make_record(rng, pool) for _ in range(4)]
    forms = [
        JsonProblem.of(record.schema, record.text, length=96 + 32 * at) for at, record in enumerate(some)
    ]
    pages = [TextRequest.of(form, masked) for form in forms]
    for form, text in zip(forms, write_texts(network(causal=True), pages, temperature=1.0), strict=True):
        assert len(text.text) <= form.num_cells
        if masked:
            assert form.validator.is_valid(json.loads(text.text))


def test_denoiser_of_forms() -> None:
    """An untrained network in the loop: valid instances, whatever it believes."""
    rng, pool = np.random.default_rng(3), records.english_words(reserved=True)
    some = [records.make_record(rng, pool) for _ in range(5)]
    forms = [JsonProblem.of(record.schema, record.text) for record in some]
    for number, done in structured.fill_many(forms, JsonDenoiser(network())):
        assert isinstance(done, Candidate)
        jsonschema.Draft202012Validator(some[number].schema).validate(done.value)


@pytest.mark.parametrize("model", ["diffusion", pytest.param("ar", marks=pytest.mark.slow)])
def test_training(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "run")
    arguments = ["train", "json", "--preset", "smoke", "--model", model, "--out", out]
    assert main([*arguments, "--steps", "6"]) == 0
    assert main([*arguments, "--steps", "6", "--resume"]) == 0
    assert "complete at step 6" in capsys.readouterr().out
    found, config = checkpoint.load_network(tmp_path / "run" / "checkpoint", "json")
    assert isinstance(found, JsonNetwork)
    assert found.config.causal == (model == "ar")
    assert config["kind"] == "json"


def test_example_without_room() -> None:
    record = records.Record({"const": "x" * 300}, "", {"a": "x" * 300})
    assert (
        place_text(record.schema, "", b'{"a":"' + b"x" * 300 + b'"}', False, np.random.default_rng(0)) is None
    )


def test_words_are_known_by_a_hash() -> None:
    """However a key is written, behind it stand the same words; only what is to the left counts."""

    def codes(text: str) -> tuple[torch.Tensor, torch.Tensor]:
        word, before = word_codes(torch.tensor([list(text.encode())]), 4096)
        return word[0], before[0]

    written = [
        codes(text)
        for text in ('{"customerName":', '{"customer_name":', '"x":1,"customer-name":', "the Customer Name")
    ]
    assert len({(int(word[-1]), int(before[-1])) for word, before in written}) == 1
    assert int(codes("names")[0][-1]) != int(codes("name")[0][-1])
    word, before = codes("abc de")
    for end in range(1, 7):
        short, short_before = codes("abc de"[:end])
        assert short.tolist() == word[:end].tolist()
        assert short_before.tolist() == before[:end].tolist()
    assert codes(" ,")[0].tolist() == [0, 0]


def test_slots_that_are_too_small_are_given_up() -> None:
    """What does not fit the slots is written in the plain block; closed objects have no room for other members."""
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string", "minLength": 60}, "b": {"type": "string"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    }
    form = JsonProblem.of(schema, length=96)
    (laid,) = form.layouts()
    assert [part for part in laid.parts if isinstance(part, bytes)] == [b'{"a":', b',"b":', b"}"]
    assert max(part for part in laid.parts if isinstance(part, int)) < 62
    ((_, done),) = structured.fill_many([form], JsonDenoiser(network()))
    assert isinstance(done, Candidate)
    assert len(done.value["a"]) >= 60


def test_what_the_language_leaves_out_is_named() -> None:
    letters = {"type": "string", "pattern": "^[ab]$"}
    schema = {"type": "array", "items": letters, "minItems": 3, "uniqueItems": True}
    with pytest.raises(UnsupportedSchema) as caught:
        structured.fill(schema, denoiser="random", budget=Budget(forwards=3))
    assert (caught.value.pointer, caught.value.keyword) == ("/uniqueItems", "uniqueItems")


def test_outcomes_say_what_validity_cost() -> None:
    form = JsonProblem.of({"enum": ["abc", "abd"]}, length=5)
    *steps, outcome = refine(JsonTask(), form, JsonDenoiser(network()))
    assert isinstance(outcome, Outcome)
    assert outcome.constraint_cost == steps[-1].constraint_cost > 1  # type: ignore[union-attr]
