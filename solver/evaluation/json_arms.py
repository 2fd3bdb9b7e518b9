"""The arms of the JSON evaluation: denoisers and controls in the loop, and the causal network left to right.

>>> random, prior = JsonModels().controls(forwards=20)
>>> (answer,) = random.answer([JsonCase(JsonProblem.of({"enum": [7]}, length=8))])
>>> float(answer.text), answer.status
(7.0, 'solved')

Every arm answers a case with the whole text of an instance, valid or not.
"""

import contextlib
import importlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from solver.api import fill
from solver.baseline.json import TextRequest, TextRow, middle_prompt, write_texts
from solver.evaluation.harness import CONTROLS, Answer, Arm, ModelPair
from solver.loop.trace import Budget, Counters
from solver.models.checkpoint import load
from solver.models.json_network import JsonNetwork
from solver.models.mask_denoisers import JsonDenoiser
from solver.models.protocol import Denoiser
from solver.tasks.arguments import run_check
from solver.tasks.json_schema.errors import FillError
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.task import JsonTask
from solver.tasks.languages.projection import BLANK

JSON_SEED = 990_002
BATCH = 32
TRIES = 8  # of a baseline that may try again
MANY = 12  # texts among which a baseline may choose: about two thirds of the FLOPs of a refined draft


@dataclass(frozen=True, eq=False)
class JsonCase:
    """A problem as it is put to the arms, with the text around its hole if there is one.

    Args:
        problem: schema, prompt and template.
        before: text before the hole.
        after: text after the hole.
        truth: the bytes that were cut out.
        cells: bytes that a left-to-right arm may write into the hole.
        trim: where a text that continues ``before`` ends: after "all" of it, after its first JSON "value", or
            before the first character of "after".
    """

    problem: JsonProblem
    before: bytes = b""
    after: bytes = b""
    truth: bytes = b""
    cells: int = 0
    trim: Literal["all", "value", "after"] = "all"

    def fill(self, middle: str) -> str:
        """The whole text with ``middle`` in the hole."""
        return self.before.decode() + middle + self.after.decode()

    def continued(self, text: str) -> str:
        """The whole text if a left-to-right arm wrote ``text``, which begins with ``before``."""
        written = text[len(self.before.decode()) :]
        if self.trim == "value":
            with contextlib.suppress(ValueError, RecursionError):  # all of it if no value begins there
                written = written[: json.JSONDecoder().raw_decode(written)[1]]
        elif self.trim == "after":
            written = written.split(self.after.decode()[:1], 1)[0]
        return self.fill(written)


Pages = Callable[[JsonCase], TextRequest]  # what a left-to-right arm reads and may write
Placing = Callable[[JsonCase, str], str]  # the whole text, from what it wrote


def parse_json(text: str) -> Any:
    """Return the value of a JSON text, None if it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def is_valid_json(problem: JsonProblem, text: str) -> bool:
    """Whether the loop's own validator and checks accept a text; a baseline tries again where they do not."""
    value = parse_json(text)
    parsed = value is not None or text == "null"
    return (
        parsed
        and bool(problem.validator.is_valid(value))
        and not any(run_check(check, value) for check in problem.checks)
    )


def raw_page(case: JsonCase) -> TextRequest:
    """A whole text, without a mask."""
    return TextRequest.of(case.problem, masked=False)


def masked_page(case: JsonCase) -> TextRequest:
    """A whole text, with the automaton of the schema as a mask."""
    return TextRequest.of(case.problem, masked=True)


def guided_page(case: JsonCase) -> TextRequest:
    """A whole text, with llguidance's masks; without a mask where llguidance refuses the schema."""
    try:
        return replace(raw_page(case), guide=LLGuidance(case.problem.schema))
    except ValueError:
        return raw_page(case)


def left_page(case: JsonCase) -> TextRequest:
    """The text before the hole is read."""
    return TextRequest(case.problem.prompt, len(case.before) + case.cells, case.before)


def middle_page(case: JsonCase) -> TextRequest:
    """The texts on both sides of the hole are read."""
    return TextRequest(middle_prompt(case.problem.prompt, case.before, case.after), case.cells)


class LLGuidance:
    """A schema as llguidance compiles it, at a position in a text. Raises ValueError for its errors."""

    def __init__(self, schema: Any) -> None:
        library = importlib.import_module("llguidance")
        self.tokens = library.LLTokenizer("byte")  # the bytes are its first tokens
        compact = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
        grammar = library.LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=compact)
        self.initial = self.matcher = library.LLMatcher(self.tokens, grammar, log_level=0)
        self._raise_error()

    def _raise_error(self) -> None:
        """The engine raises nothing itself: an error is a state that it stays in."""
        if self.matcher.is_error():
            raise ValueError(self.matcher.get_error())

    def begin(self) -> None:
        self.matcher = self.initial.deep_copy()

    def allowed(self) -> NDArray[np.bool_]:
        bits = mask_bits(np.frombuffer(self.matcher.compute_bitmask(), np.uint8))
        self._raise_error()
        return np.append(bits[:BLANK], bits[self.tokens.eos_token])

    def take(self, byte: int) -> None:
        self.matcher.consume_token(byte)
        self._raise_error()

    def fits(self, text: bytes) -> bool:
        return bool(self.matcher.validate_tokens(list(text)) == len(text))


def mask_bits(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the bits of a mask, lowest first."""
    return np.unpackbits(mask, bitorder="little").astype(bool)


def _write_all(
    network: JsonNetwork,
    cases: Sequence[JsonCase],
    page: Pages,
    temperature: float,
    seed: int,
) -> Iterator[tuple[TextRequest, TextRow, str]]:
    """Write one text per case: its page, what was written, and as text."""
    for start in range(0, len(cases), BATCH):
        pages = [page(case) for case in cases[start : start + BATCH]]
        for read, written in zip(pages, write_texts(network, pages, temperature, seed), strict=True):
            yield read, written, bytes(written.text).decode(errors="replace")


@dataclass(frozen=True)
class JsonModels(ModelPair[JsonNetwork]):
    """The trained models under test, and the seed of the evaluation. Its methods make arms.

    A method that needs a model which is missing returns no arm.
    """

    seed: int = 0

    def loop_arm(self, name: str, forwards: int, **changes: Any) -> list[Arm[JsonCase]]:
        """Make the arm that drafts whole blocks with the trained denoiser.

        Args:
            name: in tables.
            forwards: budget per problem.
            changes: of the denoiser's policy.
        """
        if self.network is None:
            return []
        answer = partial(self._draft_all, JsonDenoiser(self.network), forwards, changes)
        return [Arm(name, answer, self.weights)]

    def default_arm(self, name: str) -> list[Arm[JsonCase]]:
        """Make the arm that calls :func:`solver.fill` with its defaults, for one case at a time.

        Unlike in the other arms, the time includes that of compiling the schema. There is no limit in seconds,
        so that answers do not depend on the machine.
        """
        if self.network is None:
            return []
        return [Arm(name, partial(self._call_all, JsonDenoiser(self.network)), self.weights)]

    def _call_all(self, model: JsonDenoiser, cases: Sequence[JsonCase]) -> list[Answer]:
        answers = []
        for n, case in enumerate(cases):
            schema, text, seed = case.problem.schema, case.problem.text, JSON_SEED + self.seed + n
            started = time.perf_counter()
            try:
                found = fill.fill(schema, text, denoiser=model, seed=seed, seconds=None)
                answer = Answer((found.text,), "solved", found.counters)
            except FillError as error:
                answer = Answer((getattr(error, "best", ""),), counters=Counters(forwards=error.forwards))
            cost = Counters(flops=model.network.reading_flops(len(case.problem.prompt)))
            seconds = time.perf_counter() - started
            answers.append(replace(answer, counters=answer.counters + cost, seconds=seconds))
        return answers

    def controls(self, forwards: int) -> list[Arm[JsonCase]]:
        """Make the controls: random bytes, and byte frequencies."""
        return [Arm(name, partial(self._draft_all, name, forwards, {}), name) for name in CONTROLS]

    def _draft_all(
        self,
        model: Denoiser | str,
        forwards: int,
        changes: Mapping[str, Any],
        cases: Sequence[JsonCase],
    ) -> list[Answer]:
        task, problems = JsonTask(), [case.problem for case in cases]
        denoiser = load(model, task)
        seeds = [JSON_SEED + self.seed + n for n in range(len(problems))]
        run = fill.FillRun(task, denoiser, denoiser.policy.with_(**changes), seeds, BATCH)
        laid, spent = run.choose_layouts(problems)
        answers: dict[int, Answer] = {}
        for n, outcome in run.outcomes(laid, range(len(problems)), Budget(forwards)):
            cost = spent[n] + outcome.counters
            if isinstance(model, JsonDenoiser):
                cost += Counters(flops=model.network.reading_flops(len(problems[n].prompt)))
            text = task.decode(laid[n], outcome.tokens)
            answers[n] = Answer((text,), outcome.status, cost, constraint_cost=outcome.constraint_cost)
        return [answers[n] for n in range(len(cases))]

    def _baseline_arm(
        self,
        name: str,
        answer: Callable[[JsonNetwork, Sequence[JsonCase]], list[Answer]],
    ) -> list[Arm[JsonCase]]:
        if self.baseline is None:
            return []
        return [Arm(name, partial(answer, self.baseline), self.baseline_weights)]

    def retry_arm(
        self,
        name: str,
        page: Pages,
        tries: int = 1,
        place: Placing = lambda case, text: text,
        temperature: float = 0.7,
    ) -> list[Arm[JsonCase]]:
        """Make the baseline: the likeliest bytes; while the text is not valid, up to ``tries`` - 1 draws.

        Args:
            name: in tables.
            page: what it reads.
            tries: texts per case at most.
            place: puts what was written into the whole text.
            temperature: of the draws.
        """

        def answer(network: JsonNetwork, cases: Sequence[JsonCase]) -> list[Answer]:
            answers = [Answer(None)] * len(cases)
            for attempt in range(tries):
                heat, seed = temperature if attempt else 0.0, JSON_SEED + self.seed + attempt
                unsolved = [n for n, answer in enumerate(answers) if not answer.solved]
                texts = _write_all(network, [cases[n] for n in unsolved], page, heat, seed)
                for n, (read, written, text) in zip(unsolved, texts, strict=True):
                    steps, text = len(written.text) + 1, place(cases[n], text)
                    flops = network.flops(steps, len(read.prompt)) + network.reading_flops(len(read.prompt))
                    cost = answers[n].counters + Counters(forwards=steps, flops=flops)
                    valid = is_valid_json(cases[n].problem, text)
                    answers[n] = Answer((text,), "solved" if valid else "exhausted", cost)
            return answers

        return self._baseline_arm(name, answer)

    def best_of_arm(
        self,
        name: str,
        page: Pages,
        count: int,
        temperature: float = 0.7,
    ) -> list[Arm[JsonCase]]:
        """Make the baseline that writes the likeliest bytes and ``count`` - 1 draws.

        It answers with the likeliest of the valid texts, or of all if none is valid. The prompt is read once.
        """

        def answer(network: JsonNetwork, cases: Sequence[JsonCase]) -> list[Answer]:
            best = [(False, -np.inf, "")] * len(cases)
            costs = [Counters(flops=network.reading_flops(len(case.problem.prompt))) for case in cases]
            for attempt in range(count):
                heat, seed = temperature if attempt else 0.0, JSON_SEED + self.seed + attempt
                for n, (read, written, text) in enumerate(_write_all(network, cases, page, heat, seed)):
                    best[n] = max(best[n], (is_valid_json(cases[n].problem, text), written.log_p, text))
                    steps = len(written.text) + 1
                    costs[n] += Counters(forwards=steps, flops=network.flops(steps, len(read.prompt)))
            return [
                Answer((text,), "solved" if valid else "exhausted", cost)
                for (valid, _, text), cost in zip(best, costs, strict=True)
            ]

        return self._baseline_arm(name, answer)
