"""The reader: words, queries, scores of spans, batches of records with some fields known, and learning."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from solver.cli.main import main
from solver.models.checkpoint import load_network
from solver.models.reader import (
    MAX_WORDS,
    ReaderConfig,
    ReaderInputs,
    ReaderNetwork,
    class_of_span,
    field_logits,
    field_losses,
)
from solver.models.reader_fields import FieldQuery, leaf_queries
from solver.models.reader_inputs import KnownField, ReaderItem, reader_inputs
from solver.models.reader_text import TextWords
from solver.models.word_table import WordTable
from solver.training.loaders import examples_digest
from solver.training.prose import make_prose
from solver.training.reader_examples import FieldLoader, field_truths, reader_examples

SMALL = ReaderConfig(width=32, hidden=32, layers=2, heads=2)
NAMES = ("Ann", "Bob", "Carla", "Dmitri", "Eve", "Farid", "Greta", "Hugo", "Ines", "Jonas")
SCHEMA = {
    "type": "object",
    "properties": {
        "sender": {"type": "string"},
        "receiver": {"type": "string"},
        "amount": {"type": "number"},
        "paid": {"type": "boolean"},
        "note": {"type": "string"},
    },
}


@dataclass(frozen=True)
class ToyRecord:
    text: str
    record: dict
    places: dict
    schema: dict = field(default_factory=lambda: SCHEMA)


def toy_record(rng: np.random.Generator) -> ToyRecord:
    sender, receiver = rng.choice(NAMES, 2, replace=False)
    values = {"sender": str(sender), "receiver": str(receiver), "amount": f"{int(rng.integers(10, 999))}.50"}
    text, places = "", dict[str, tuple[int, int]]()
    for name in rng.permutation(list(values)):
        text += f"{name}: "
        places[f"/{name}"] = len(text), len(text) + len(values[name])
        text += values[name] + rng.choice([", ", "\n", "; "])
    is_paid = bool(rng.random() < 0.5)
    text += "all is paid" if is_paid else "it is still open"
    return ToyRecord(text, values | {"amount": float(values["amount"]), "paid": is_paid}, places)


def test_an_unknown_word_has_the_mean_vector_of_its_pieces() -> None:
    table = WordTable.shipped()
    assert table.pieces("kowalczyk")[0] in table.rows
    expected = np.mean([table.vectors[table.rows[piece]] for piece in table.pieces("kowalczyk")], 0)
    np.testing.assert_array_equal(table.vector("Kowalczyk"), expected)
    assert not table.vector("☃").any()


def test_a_span_of_characters_touches_whole_words() -> None:
    text = "Due 2024-05-01, EUR 1,250.00 (Zoë O'Neil) 東京"
    words = TextWords.of(text)
    for value in ("2024-05-01", "1,250.00", "Zoë O'Neil", "東京"):
        start = text.index(value)
        assert words.text_of(*words.span_of(start, start + len(value))) == value
    assert words.span_of(3, 4) is None  # a space


def test_the_places_of_a_number_are_not_inside_of_another() -> None:
    words = TextWords.of("30 pieces at 30.50 or 1,30 each; in all 30.")
    assert words.occurrences(0, 1) == [0, len(words) - 2]


def test_queries_follow_references_alternatives_and_nullable_types() -> None:
    schema = {
        "$defs": {"money": {"type": "number", "description": "in euros"}},
        "properties": {
            "unitPrice": {"$ref": "#/$defs/money"},
            "shipped": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
            "items": {"type": "array", "items": {"properties": {"sku": {"type": "string"}}}},
            "pay": {
                "oneOf": [
                    {"properties": {"kind": {"const": "card"}, "number": {"type": "string"}}},
                    {"properties": {"kind": {"const": "bank"}, "iban": {"type": "string"}}},
                ]
            },
        },
    }
    queries = {query.pointer: query for query in leaf_queries(schema, counts={"/items": 2})}
    assert list(queries) == [
        "/unitPrice",
        "/shipped",
        "/items/0/sku",
        "/items/1/sku",
        "/pay/kind",
        "/pay/number",
        "/pay/iban",
    ]
    assert queries["/unitPrice"] == FieldQuery.of(schema, "/unitPrice")
    assert queries["/unitPrice"].context == ("in", "euros")
    assert (queries["/shipped"].kind, queries["/shipped"].nullable) == ("date", True)
    assert [queries[f"/items/{index}/sku"].item for index in (0, 1)] == [1, 2]
    assert queries["/items/1/sku"].path == ("items",)
    assert queries["/pay/kind"].options == ("card", "bank")


@pytest.mark.parametrize("causal", [False, True])
def test_a_row_is_read_alike_in_any_batch(causal: bool) -> None:
    torch.manual_seed(0)
    network = ReaderNetwork(ReaderConfig(width=32, hidden=32, layers=2, heads=2, causal=causal)).eval()
    queries = leaf_queries(SCHEMA)
    short = ReaderItem.of("sender: Ann", queries[:2], {0: KnownField(spans=((2, 1),))})
    long = ReaderItem.of("Ann has paid 12.50 to Bob, and not to Carla. " * 3, queries)
    alone, both = field_logits(network(reader_inputs([short]))), network(reader_inputs([short, long]))
    options = both.option.shape[1]
    spans = field_logits(both)[0, :2, 1 + options :].view(2, -1, MAX_WORDS)[:, :3]
    torch.testing.assert_close(spans.flatten(1), alone[0, :, 1:], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(field_logits(both)[0, :2, 0], alone[0, :, 0], atol=1e-4, rtol=1e-4)


def test_the_classes_of_a_field_are_its_options_or_the_spans_inside_the_text() -> None:
    network = ReaderNetwork(SMALL)
    root = {"properties": {"paid": {"type": "boolean"}, "name": {"type": "string"}}}
    inputs = reader_inputs([ReaderItem.of("to Ann Lee", leaf_queries(root))])
    p = field_logits(network(inputs)).softmax(-1)[0]
    torch.testing.assert_close(p[0, :3].sum(), torch.tensor(1.0))  # absent, yes, no
    assert p[1, 1:3].sum() < 1e-6  # of another field
    inside = [class_of_span(first, length, 2) for first in range(3) for length in range(1, 4 - first)]
    torch.testing.assert_close(p[1, [0, *inside]].sum(), torch.tensor(1.0))


def test_the_score_of_a_span_is_the_sum_of_its_parts() -> None:
    scores = ReaderNetwork(SMALL)(reader_inputs([ReaderItem.of("a b c d", leaf_queries({"type": "string"}))]))
    first, length = 1, 2
    inside = scores.inside[0, 0, first + length] - scores.inside[0, 0, first]
    expected = scores.start[0, 0, first] + scores.end[0, 0, first + length - 1] + inside
    expected = expected + scores.length[0, 0, length - 1]
    torch.testing.assert_close(field_logits(scores)[0, 0, class_of_span(first, length, 0)], expected)


def test_the_loss_of_a_value_sums_over_its_places() -> None:
    logits = torch.tensor([[[0.0, 1.0, 2.0]]])
    both = field_losses(logits, torch.tensor([[[1, 2, -1]]]))
    expected = -logits.softmax(-1)[0, 0, 1:].sum().log()
    torch.testing.assert_close(both[0, 0], expected)


def test_a_record_says_which_fields_a_text_gives() -> None:
    words = TextWords.of("Ann owes Bob 12.50")
    record = {"sender": "Ann", "receiver": "Bob", "amount": 12.5, "paid": False, "note": "rent"}
    truths = {
        query.pointer: truth for query, truth in field_truths(words, SCHEMA, record, {"/amount": (13, 18)})
    }
    assert truths["/sender"].spans == ((0, 1),)
    assert truths["/amount"].spans == ((3, 3),)
    assert truths["/paid"].option == 1
    assert truths["/note"] == KnownField()  # neither in the text nor absent
    del record["note"]
    assert dict(field_truths(words, SCHEMA, record, {}))[FieldQuery.of(SCHEMA, "/note")].absent


def test_left_to_right_the_known_fields_are_the_first_and_the_rest_is_learned() -> None:
    examples = reader_examples(40, 0, toy_record, lambda done, total: None)
    loader = FieldLoader(examples, rows=8, causal=True)
    for _ in range(5):
        batch = loader.next()
        known, present, weight = batch[2] > 0, batch[3], batch[-1]
        assert (known[:, 1:] <= known[:, :-1]).all()  # a prefix
        assert ((weight == 1) == (present & ~known)).all()


def test_batches_go_on_from_the_saved_state() -> None:
    examples = reader_examples(40, 0, toy_record, lambda done, total: None)
    first = FieldLoader(examples, rows=8, causal=False)
    first.next()
    second = FieldLoader(examples, rows=8, causal=False)
    second.restore(*first.state())
    for expected, actual in zip(first.next(), second.next(), strict=True):
        torch.testing.assert_close(actual, expected)


def test_the_number_of_workers_does_not_change_the_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("solver.training.reader_examples.CHUNK", 4)
    counts = list[int]()
    one, two = (
        reader_examples(6, 0, make_prose, lambda done, total: counts.append(done), workers)
        for workers in (1, 2)
    )
    assert examples_digest(one) == examples_digest(two)
    assert counts == [4, 6, 4, 6]


@pytest.mark.parametrize("model", ["diffusion", "ar"])
def test_the_smoke_run_writes_a_network_of_the_json_task(model: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert main(["train", "reader", "--model", model, "--preset", "smoke", "--out", str(out)]) == 0
    network, facts = load_network(out / "checkpoint", "json")
    assert (facts["kind"], network.config.causal) == ("reader", model == "ar")


def test_a_small_reader_learns_to_read_labelled_values() -> None:
    torch.manual_seed(0)
    examples = reader_examples(200, 0, toy_record, lambda done, total: None)
    loader, network = FieldLoader(examples, rows=16, causal=False), ReaderNetwork(SMALL)
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3)
    for _ in range(100):
        *inputs, truth, weight = loader.next()
        losses = field_losses(field_logits(network(ReaderInputs(*inputs))), truth)
        loss = (losses * weight).sum() / weight.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    rng, right, asked = np.random.default_rng(1), 0, 0
    for made in (toy_record(rng) for _ in range(40)):
        words = TextWords.of(made.text)
        fields = field_truths(words, made.schema, made.record, made.places)
        item = ReaderItem(words, tuple(query for query, _ in fields))
        with torch.inference_mode():
            best = field_logits(network(reader_inputs([item])))[0].argmax(-1).tolist()
        for index, (_, truth) in enumerate(fields):
            classes = [class_of_span(*span, item.options) for span in truth.spans]
            classes += [0] * truth.absent + ([1 + truth.option] if truth.option is not None else [])
            right, asked = right + (best[index] in classes), asked + 1
    assert right > 0.85 * asked, right / asked
