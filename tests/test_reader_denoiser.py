"""The reader as a denoiser: its beliefs are the probabilities of the fields, and known fields are read beside."""

import math
from collections.abc import Callable

import pytest
import torch

import solver
from solver.models.checkpoint import load
from solver.models.reader import MAX_WORDS, ReaderConfig, ReaderInputs, ReaderScores
from solver.models.reader_beliefs import OVERLAP, WINDOW, FieldReading
from solver.models.reader_denoiser import ReaderDenoiser
from solver.models.reader_record import ABSENT
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.task import JsonTask

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "pet": {"enum": ["cat", "dog"]},
        "note": {"type": "string"},
    },
    "required": ["name", "age", "pet"],
    "additionalProperties": False,
}
TEXT = "Ann Lee, aged 30, has 2 dogs"


class ScriptedNetwork:
    """Stands for a trained network: scores of words, "absent" and options by a function of the inputs."""

    def __init__(self, score: Callable[[ReaderInputs, ReaderScores], None], causal: bool = False) -> None:
        self.config, self.score, self.seen = ReaderConfig(causal=causal), score, list[ReaderInputs]()

    def __call__(self, inputs: ReaderInputs) -> ReaderScores:
        self.seen.append(inputs)
        rows, fields = inputs.query_states.shape
        words = inputs.word_present.shape[1]
        options = inputs.option_owners
        zeros = torch.zeros(rows, fields, words + 1)
        scores = ReaderScores(
            zeros[..., 1:] - 6.0,
            zeros[..., 1:].clone(),
            zeros,
            torch.zeros(rows, fields, MAX_WORDS),
            torch.zeros(rows, fields),
            torch.zeros(options.shape),
            torch.zeros(rows, fields, dtype=torch.bool),
            options,
            inputs.word_present,
        )
        self.score(inputs, scores)
        return scores

    def flops(self, words: int, queries: int) -> int:
        return words * queries


def likes(*spans: tuple[int, int, int, float]) -> Callable[[ReaderInputs, ReaderScores], None]:
    """Scores in favour of spans: field, first word, last word, score."""

    def score(inputs: ReaderInputs, scores: ReaderScores) -> None:
        scores.end[:] = -20.0
        for field, first, last, value in spans:
            scores.start[:, field, first] = value
            scores.end[:, field, last] = 0.0

    return score


def test_fields_have_the_values_and_probabilities_of_the_reader() -> None:
    def score(inputs: ReaderInputs, scores: ReaderScores) -> None:
        likes((0, 0, 1, 3.0), (1, 4, 4, 2.0))(inputs, scores)  # the numbers 30 and 2 are words 4 and 7
        scores.start[:, 1, 7], scores.end[:, 1, 7] = 1.0, 0.0
        scores.option[:] = torch.tensor([0.0, 1.0])

    network = ScriptedNetwork(score)
    answer = solver.fill(SCHEMA, TEXT, denoiser=ReaderDenoiser(network))  # type: ignore[arg-type]
    assert answer.value == {"name": "Ann Lee", "age": 30, "pet": "dog"}
    age, pet = answer.fields["/age"], answer.fields["/pet"]
    # given that there is a value, because both are required
    assert age.probability == pytest.approx(1 / (1 + math.exp(-1)), abs=0.01)
    assert pet.probability == pytest.approx(1 / (1 + math.exp(-1)), abs=0.01)
    assert (age.runner_up.value, pet.runner_up.value) == (2, "cat")
    assert answer.fields["/note"].value is None
    absences = ReaderDenoiser(network).absences(JsonProblem.of(SCHEMA, TEXT))  # type: ignore[arg-type]
    assert absences["/age"] == pytest.approx(1 / (1 + math.exp(2) + math.exp(1)), abs=0.01)
    assert absences["/note"] > 0.9


def test_fields_that_are_accepted_are_known_at_the_next_forward() -> None:
    def score(inputs: ReaderInputs, scores: ReaderScores) -> None:
        likes((0, 0, 1, 9.0), (1, 4, 4, 1.0))(inputs, scores)
        scores.start[:, 1, 7], scores.end[:, 1, 7] = 1.5, 0.0
        scores.option[:] = torch.tensor([0.0, 0.5])
        if (inputs.query_states[0, 0] > 1).all():
            scores.start[:, 1, 4] = 4.0  # the age is clear once the name is known

    network = ScriptedNetwork(score)
    answer = solver.fill(SCHEMA, TEXT, denoiser=ReaderDenoiser(network))  # type: ignore[arg-type]
    assert answer.value["age"] == 30
    known = [inputs for inputs in network.seen if inputs.query_states[0, 0] > 1]
    assert known
    assert known[0].relations[0, 0, :3, 2].tolist() == [True, True, False]  # its words are taken


def test_items_of_arrays_are_read_given_the_items_before() -> None:
    def score(inputs: ReaderInputs, scores: ReaderScores) -> None:
        taken = inputs.relations[0, :, :, 2].any(0)
        free = [word for word in (1, 3) if not taken[word]]
        likes(*((field, word, word, 4.0) for field in range(12) for word in free[:1]))(inputs, scores)

    problem = JsonProblem.of({"type": "array", "items": {"type": "string"}}, "buy eggs and milk")
    beliefs, forwards = FieldReading.of(problem).beliefs(ScriptedNetwork(score), {})  # type: ignore[arg-type]
    assert [beliefs[f"/{index}"].best for index in range(3)] == ["eggs", "milk", ABSENT]
    assert forwards == 3


def test_a_long_text_is_read_in_windows() -> None:
    def score(inputs: ReaderInputs, scores: ReaderScores) -> None:
        number = (inputs.word_codes[0, :, 0] == inputs.word_codes[0, :, 0].max()).nonzero()
        scores.end[:] = -20.0
        for word in inputs.word_vectors[0].abs().sum(-1).eq(0).nonzero().flatten().tolist():
            scores.start[:, 0, word], scores.end[:, 0, word] = 5.0, 0.0
        assert len(number) <= WINDOW

    words = ["word"] * (WINDOW + OVERLAP + 50)
    words[-3] = "7777"  # without a vector
    problem = JsonProblem.of({"type": "integer"}, " ".join(words), length=16)
    network = ScriptedNetwork(score)
    beliefs, _ = FieldReading.of(problem).beliefs(network, {})  # type: ignore[arg-type]
    assert [inputs.word_present.shape[1] for inputs in network.seen] == [WINDOW, 2 * OVERLAP + 50]
    assert beliefs[""].best == 7777


def test_a_causal_reader_reads_each_field_given_those_before() -> None:
    network = ScriptedNetwork(likes((0, 0, 1, 3.0), (1, 4, 4, 3.0)), causal=True)
    answer = solver.fill(SCHEMA, TEXT, denoiser=ReaderDenoiser(network))  # type: ignore[arg-type]
    assert answer.value["name"] == "Ann Lee"
    known = [int((inputs.query_states > 1).sum()) for inputs in network.seen[:4]]
    assert known == [0, 1, 2, 3]


def test_a_field_that_the_text_has_no_value_for_is_written_by_the_model_of_bytes() -> None:
    schema = {
        "type": "object",
        "properties": {"id": {"type": "string", "format": "uuid"}, "name": {"type": "string"}},
        "required": ["id", "name"],
        "additionalProperties": False,
    }
    writer = load("compact", JsonTask())
    denoiser = ReaderDenoiser(ScriptedNetwork(likes((1, 0, 1, 3.0))), writer=writer)  # type: ignore[arg-type]
    answer = solver.fill(schema, TEXT, denoiser=denoiser)
    assert answer.value["name"] == "Ann Lee"
    assert answer.fields["/id"].is_free


def test_a_reader_refuses_the_canvas_of_another_task() -> None:
    from tests.examples import examples, field_reader

    sudoku = examples()[0]
    with pytest.raises(ValueError, match="JSON problems"):
        field_reader().prefill([sudoku.task.encode(sudoku.problems[0])], [0])
