"""Fields of a candidate: their probabilities equal brute force, and nothing is computed unasked."""

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import pytest
import torch

import solver
from solver.api import fields as fields_module
from solver.api.field_places import place_of
from solver.api.fields import Fields, absent_paths
from solver.errors import CheckpointError
from solver.kernels.lattice_fast import Lattice
from solver.models.calibration import Calibration, fit_calibration, save_calibration
from solver.models.checkpoint import SHIPPED, load
from solver.tasks.json_schema.field_marginals import FieldMarginals
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.task import JsonTask
from solver.tasks.json_schema.validator import byte_spans
from solver.tasks.languages.projection import BLANK, byte_weights

CELLS = 72
COLOURS, NUMBERS = ["x", "yy", "y"], range(1, 13)
SCHEMA = {
    "type": "object",
    "properties": {
        "a": {"enum": COLOURS},
        "b": {"type": "integer", "minimum": 1, "maximum": 12},
        "c": {"type": "array", "items": {"enum": ["p", "qq"]}, "maxItems": 2},
    },
    "required": ["a", "b", "c"],
    "additionalProperties": False,
}
ARRAYS = [list(items) for count in range(3) for items in product(["p", "qq"], repeat=count)]
RECORDS = [{"a": a, "b": b, "c": c} for a, b, c in product(COLOURS, NUMBERS, ARRAYS)]
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "note": {"type": ["string", "null"]},
        "email": {"type": "string", "format": "email"},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}


def dumped(value):
    return json.dumps(value, separators=(",", ":")).encode()


def on_canvas(problem, record):
    """The tokens of a record on the canvas of a problem, None if a value does not fit its slot."""
    texts = [dumped(record)] if len(problem.parts) == 1 else [dumped(value) for value in record.values()]
    tokens, _ = problem.given
    tokens = tokens.copy()
    for (start, size), text in zip(problem.holes, texts, strict=True):
        if len(text) > size:
            return None
        tokens[start : start + len(text)] = list(text)
    return tokens


@pytest.fixture(scope="module", params=["layout", "plain"])
def world(request):
    """A problem, random logits, and the weight and record of every text."""
    problem = JsonProblem.of(SCHEMA, length=CELLS)
    if request.param == "layout":
        (problem,) = problem.layouts()
    logits = np.random.default_rng(1).normal(0, 1.2, (CELLS, BLANK + 1))
    weights = byte_weights(logits, *problem.given)
    texts = []
    for record in RECORDS:
        tokens = on_canvas(problem, record)
        if tokens is not None:
            assert JsonTask().verify(problem, tokens)
            symbols = np.where(tokens == BLANK, BLANK + 1, tokens)
            texts.append((weights[np.arange(CELLS), symbols].sum(), record, tokens))
    return problem, logits, texts


def shares(texts):
    scores = np.array([score for score, _, _ in texts])
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


def value_in(record, path):
    for part in path:
        record = record[part]
    return record


PATHS = [("a",), ("b",), ("c",), ("c", 0)]


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_the_probability_of_a_value_in_its_cells_is_that_of_all_texts_with_it(world, path):
    problem, logits, texts = world
    p = shares(texts)
    with_items = [n for n, (_, record, _) in enumerate(texts) if record["c"]]
    for number in [int(p.argmax()), *with_items[:: len(with_items) // 12]]:
        _, record, tokens = texts[number]
        if path == ("c", 0) and not record["c"]:
            continue
        span = byte_spans(dumped(record))[path]
        marginals = FieldMarginals(problem, logits, tokens)
        cells = marginals._cells(span)
        expected = 0.0
        for share, (_, other, other_tokens) in zip(p, texts, strict=True):
            other_span = byte_spans(dumped(other)).get(path)
            if other_span is None or value_in(other, path) != value_in(record, path):
                continue
            expected += share * (FieldMarginals(problem, logits, other_tokens)._cells(other_span) == cells)
        assert marginals.probability(span) == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_the_probability_of_a_record_is_its_share_of_all_texts(world):
    problem, logits, texts = world
    p = shares(texts)
    for number in (int(p.argmax()), 3, 100):
        probability = FieldMarginals(problem, logits, texts[number][2]).record_probability
        assert probability == pytest.approx(p[number], rel=1e-9)


@pytest.mark.parametrize("name", ["a", "b"])
def test_the_runner_up_is_in_the_likeliest_text_that_differs_there_and_is_equal_outside_of_the_slot(
    world, name
):
    problem, logits, texts = world
    best = int(shares(texts).argmax())
    _, record, tokens = texts[best]
    span = byte_spans(dumped(record))[name,]
    # on the plain canvas, the cells before the value are fixed, and those after it are not
    names = list(record)
    fixed = names[: names.index(name)] if len(problem.parts) == 1 else [key for key in names if key != name]
    scores = {
        score: other[name]
        for score, other, _ in texts
        if all(other[key] == record[key] for key in fixed) and other[name] != record[name]
    }
    value, probability = FieldMarginals(problem, logits, tokens).runner_up(span, (name,))
    assert value == scores[max(scores)]
    assert 0 < probability < 1


def test_the_search_for_a_runner_up_ends_with_the_value(world, monkeypatch):
    problem, logits, texts = world
    _, record, tokens = texts[int(shares(texts).argmax())]
    span = byte_spans(dumped(record))["a",]
    marginals, visited = FieldMarginals(problem, logits, tokens), []
    steps = Lattice._steps

    def counted(lattice, cell, scores):
        visited.append(cell)
        return steps(lattice, cell, scores)

    monkeypatch.setattr(Lattice, "_steps", counted)
    marginals.runner_up(span, ("a",))
    assert max(visited) <= marginals._cells(span)[1]


def test_draws_estimate_counts_and_values_that_may_stand_in_other_cells(world):
    problem, logits, texts = world
    p = shares(texts)
    number = next(n for n in np.argsort(-p) if len(texts[n][1]["c"]) == 2)
    _, record, tokens = texts[number]
    marginals = FieldMarginals(problem, logits, tokens)
    for count in range(3):
        expected = sum(share for share, text in zip(p, texts, strict=True) if len(text[1]["c"]) == count)
        assert marginals.count_share(("c",), count) == pytest.approx(expected, abs=0.1)
    span, path = byte_spans(dumped(record))["c", 1], ("c", 1)
    total = marginals.probability(span) + marginals.elsewhere(span, path, record["c"][1])
    matching = (
        share
        for share, (_, other, _) in zip(p, texts, strict=True)
        if len(other["c"]) == 2 and other["c"][1] == record["c"][1]
    )
    assert total == pytest.approx(sum(matching), abs=0.1)


def test_a_fill_computes_no_field_before_it_is_asked_for(monkeypatch):
    computed = []

    class Counted(FieldMarginals):
        def probability(self, span):
            computed.append(span)
            return super().probability(span)

    monkeypatch.setattr(fields_module, "FieldMarginals", Counted)
    candidate = solver.fill(PERSON, "Name: Anna Meier. Age: 34.", length=96)
    names = list(candidate.fields)
    assert names[:2] == ["/name", "/age"]
    assert not computed
    assert candidate.fields["/age"] is candidate.fields["/age"]
    assert len(computed) == 1


def test_fields_have_values_places_and_members_that_were_left_out():
    text = "Name: Anna Meier. Age: 34."
    candidate = solver.fill(PERSON, text, length=96)
    fields = candidate.fields
    assert set(fields) == {"/name", "/age", "/note", "/email"}
    for pointer in ("/name", "/age"):
        field = fields[pointer]
        assert field.value == candidate.value[pointer[1:]]
        assert 0 < field.probability <= 1
        assert field.runner_up is None or field.runner_up.value != field.value
        assert field.missing == (str(field.value) not in text)
        assert field.span is None or text[slice(*field.span)] == str(field.value)
    left_out = [name for name in ("note", "email") if name not in candidate.value]
    for name in left_out:
        assert fields[f"/{name}"].missing
        assert fields[f"/{name}"].value is None
    assert candidate.probability <= min(fields["/name"].probability, fields["/age"].probability) + 1e-9
    assert json.loads(json.dumps(fields["/name"].to_json()))["value"] == candidate.value["name"]


def test_a_value_is_free_where_the_text_has_no_value_for_it_or_quotes_are_off():
    schema = {
        "type": "object",
        "properties": {"id": {"type": "string", "pattern": "^[0-9]{3}-x$"}, "city": {"type": "string"}},
        "required": ["id", "city"],
        "additionalProperties": False,
    }
    fields = solver.fill(schema, "She lives in Rome.", length=64).fields
    assert (fields["/id"].is_free, fields["/id"].missing, fields["/id"].span) == (True, True, None)
    assert (fields["/city"].is_free, fields["/city"].missing) == (False, False)
    start, end = fields["/city"].span
    assert "She lives in Rome."[start:end] == fields["/city"].value
    assert solver.fill(schema, "She lives in Rome.", length=64, quotes=False).fields["/city"].is_free


def test_null_where_another_value_is_possible_is_missing_and_other_nulls_are_not():
    schema = {"type": "object", "properties": {"a": {"enum": [None, "x"]}, "b": {"type": "null"}}}
    schema |= {"required": ["a", "b"], "additionalProperties": False}
    for seed in range(20):
        candidate = solver.fill(schema, "b", length=24, denoiser="random", seed=seed)
        assert candidate.fields["/b"].missing is False
        assert candidate.fields["/a"].missing is (candidate.value["a"] is None)
        if candidate.value["a"] is None:
            return
    pytest.fail("no seed gave null")


def test_threads_get_the_fields_of_their_own_candidates():
    people = [("Ann", 30), ("Bob", 41)]
    evidence = [solver.fill(PERSON, f"Name: {name}. Age: {age}.", length=64).evidence for name, age in people]

    def read(part):
        return {pointer: field.to_json() for pointer, field in Fields(part).items()}

    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(read, evidence * 3))
    assert results == [read(part) for part in evidence] * 3


@pytest.mark.parametrize(
    ("text", "value", "name", "expected"),
    [
        ("from Rome to\nNew  York", "new york", "city", "New  York"),
        ("sum 1.250,50 and 3", 1250.5, "sum", "1.250,50"),
        ("1,250 pieces", 1250, "count", "1,250"),
        ("A-17 has 17 rooms", 17, "rooms", "17"),
        ("nothing", 4, "n", None),
        ("Anna and 345", "an", "name", None),
        ("due 3 May 2024", "2024-05-03", "due", "3 May 2024"),
        ("true", True, "flag", None),
        ("yes", "", "note", None),
    ],
)
def test_values_have_places_in_the_text(text, value, name, expected):
    place = place_of(text, value, name)
    assert (place if place is None else text[slice(*place)]) == expected


def test_of_several_places_the_one_after_the_name_is_taken():
    text = "Paid 20 today. Deposit: 20."
    assert place_of(text, 20, "deposit") == (24, 26)
    assert place_of(text, 20, "other") == (5, 7)


def test_members_of_alternatives_are_not_left_out():
    schema = {"properties": {"a": {}}, "oneOf": [{"properties": {"w": {}}}, {"properties": {"h": {}}}]}
    assert absent_paths(schema, {"w": 1}) == [("a",)]


def test_a_calibration_recovers_a_monotone_map_from_cases():
    rng = np.random.default_rng(0)
    p = rng.uniform(0, 1, 20_000)
    right = rng.random(20_000) < p**2
    fitted = fit_calibration(p.tolist(), right.tolist())
    assert max(abs(fitted(x) - x**2) for x in np.linspace(0, 1, 101)) < 0.05
    assert fitted(0.2) <= fitted(0.3) <= fitted(0.9)


def test_a_calibration_is_the_isotonic_regression_of_its_bins():
    p = [0.1] * 20 + [0.4] * 20 + [0.6] * 20 + [0.9] * 20
    right = [True] * 4 + [False] * 16 + [True] * 12 + [False] * 8 + [True] * 8 + [False] * 12 + [True] * 20
    fitted = fit_calibration(p, right)
    assert [round(fitted(x), 6) for x in (0.1, 0.5, 0.9)] == [
        0.2,
        0.5,
        1.0,
    ]  # the two in the middle are pooled


@pytest.mark.parametrize(
    "knots", [[[0, 0.5], [1, 0.2]], [[0, 0], [0.5, 1]], [[0, 0], [1, 2]], "x", [[0, 0, 0]]]
)
def test_a_malformed_calibration_is_refused(knots):
    with pytest.raises(ValueError, match="calibration"):
        Calibration.from_json(knots)


def test_a_checkpoint_holds_its_calibration(tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((SHIPPED / "json" / name).read_bytes())
    save_calibration(tmp_path, Calibration((0.0, 1.0), (0.0, 0.5)))
    denoiser = load(str(tmp_path), JsonTask())
    candidate = solver.fill(PERSON, "Name: Ann. Age: 30.", length=96, denoiser=denoiser)
    plain = solver.fill(PERSON, "Name: Ann. Age: 30.", length=96)
    assert candidate.text == plain.text
    assert candidate.fields["/name"].probability == pytest.approx(plain.fields["/name"].probability / 2)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"calibration": [[0, 1], [1, 0]]}))
    with pytest.raises(CheckpointError, match="calibration"):
        load(str(tmp_path), JsonTask())


def test_a_cell_keeps_the_prediction_that_was_made_without_its_token():
    task, problem = JsonTask(), JsonProblem.of({"type": "integer"}, length=3)
    first, second = torch.zeros(3, BLANK + 1), torch.ones(3, BLANK + 1)
    task.remember(problem, first, np.array([False, False, False]))
    task.remember(problem, second, np.array([True, False, True]))
    assert task.take_logits(problem)[:, 0].tolist() == [0.0, 1.0, 0.0]
    assert task.take_logits(problem) is None
    assert first.sum() == 0
