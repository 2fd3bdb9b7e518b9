"""Who fills forms in the JSON evaluation: denoisers and controls in the loop, and the causal network left to right.

Every arm takes forms and gives an :class:`Answer` for each: the text it wrote, whatever it is, and what that cost.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.api import fill as structured
from solver.baseline.json import Page, write
from solver.loop.trace import Budget
from solver.models import checkpoint
from solver.models.checkpoint import SHIPPED
from solver.models.json_denoiser import JsonDenoiser
from solver.models.json_network import JsonNetwork
from solver.models.registry import load
from solver.tasks.checks import run_check
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.task import JsonTask
from solver.tasks.languages.projection import BLANK

SEED = 990_002
BATCH = 32
TRIES = 8  # of a baseline that may try again
MANY = 12  # texts out of which a baseline may choose: about two thirds of the FLOPs of a refined draft


@dataclass(frozen=True)
class Answer:
    """What an arm made of a form. text: whatever it wrote.  solved: whether it says that this is an instance.  gflop, forwards:
    what it cost.  constraint_cost: nats that validity cost the last draft."""

    text: str
    solved: bool
    forwards: int
    gflop: float
    constraint_cost: float = 0.0


Arm = Callable[[Sequence[JsonProblem]], list[Answer]]


def in_the_loop(model: JsonNetwork | str, forwards: int, seed: int = SEED, **changes: Any) -> Arm:
    """An arm that drafts blocks: a trained network, or a control by name. changes: of its policy."""

    def run(forms: Sequence[JsonProblem]) -> list[Answer]:
        task = JsonTask()
        denoiser = load(model if isinstance(model, str) else JsonDenoiser(model), task)
        mine = denoiser.policy.with_(**changes)
        found: dict[int, Answer] = {}
        run = structured.FillRun(task, denoiser, mine, seed, BATCH)
        laid, spent = run.choose_layouts(forms)
        for n, done in run.outcomes(laid, range(len(forms)), Budget(forwards)):
            reading = 0 if isinstance(model, str) else model.reading_flops(len(forms[n].prompt))
            cost = spent[n] + done.counters
            text = task.decode(laid[n], done.tokens)
            found[n] = Answer(
                text,
                done.status == "solved",
                cost.forwards,
                (cost.flops + reading) / 1e9,
                done.constraint_cost,
            )
        return [found[number] for number in range(len(forms))]

    return run


def left_to_right(network: JsonNetwork, page: Callable[[JsonProblem], Page], tries: int = 1) -> Arm:
    """The baseline: the likeliest bytes, and where the text is not valid up to ``tries`` - 1 draws after that."""

    def run(forms: Sequence[JsonProblem]) -> list[Answer]:
        return again(network, forms, page, lambda form, text: text, tries)

    return run


def raw(form: JsonProblem) -> Page:
    return Page.of(form, masked=False)


def masked(form: JsonProblem) -> Page:
    return Page.of(form, masked=True)


def guided(form: JsonProblem) -> Page:
    """By llguidance's masks; raw where it refuses the schema."""
    try:
        return replace(raw(form), guide=LLGuidance(form.schema))
    except ValueError:
        return raw(form)


class LLGuidance:
    """A schema as llguidance compiles it, at a position in a text. Raises ValueError for an error of the engine."""

    def __init__(self, schema: Any) -> None:
        library = importlib.import_module("llguidance")
        self.tokens = library.LLTokenizer("byte")  # the bytes are its first tokens
        compact = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
        grammar = library.LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=compact)
        self.fresh = self.at = library.LLMatcher(self.tokens, grammar, log_level=0)
        self.sound()

    def sound(self) -> None:
        """It raises nothing itself: an error is a state that it stays in."""
        if self.at.is_error():
            raise ValueError(self.at.get_error())

    def begin(self) -> None:
        self.at = self.fresh.deep_copy()

    def allowed(self) -> NDArray[np.bool_]:
        bits = bits_of(np.frombuffer(self.at.compute_bitmask(), np.uint8))
        self.sound()
        return np.append(bits[:BLANK], bits[self.tokens.eos_token])

    def take(self, byte: int) -> None:
        self.at.consume_token(byte)
        self.sound()

    def fits(self, text: bytes) -> bool:
        """Whether all of a text may come next."""
        return bool(self.at.validate_tokens(list(text)) == len(text))


def bits_of(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The bits of a mask, lowest first."""
    return np.unpackbits(mask, bitorder="little").astype(bool)


def again(
    network: JsonNetwork,
    forms: Sequence[JsonProblem],
    page: Callable[[JsonProblem], Page],
    whole: Callable[[JsonProblem, str], str],
    tries: int,
    temperature: float = 0.7,
) -> list[Answer]:
    """Texts of pages, ``whole`` as they stand in their forms, written again where they are not valid."""
    found: list[Answer | None] = [None] * len(forms)
    for attempt in range(tries):
        left = [n for n, answer in enumerate(found) if answer is None or not answer.solved]
        for at in range(0, len(left), BATCH):
            some = left[at : at + BATCH]
            pages = [page(forms[n]) for n in some]
            texts = write(network, pages, temperature if attempt else 0.0, SEED + attempt)
            for n, one, written in zip(some, pages, texts, strict=True):
                text = whole(forms[n], bytes(written.bytes).decode(errors="replace"))
                before = found[n]
                steps = len(written.bytes) + 1
                gflop = (network.flops(steps, len(one.prompt)) + network.reading_flops(len(one.prompt))) / 1e9
                total = before.gflop if before is not None else 0.0
                count = before.forwards if before is not None else 0
                found[n] = Answer(text, valid(forms[n], text), count + steps, total + gflop)
    return [answer for answer in found if answer is not None]


def likeliest(
    network: JsonNetwork, page: Callable[[JsonProblem], Page], count: int, temperature: float = 0.7
) -> Arm:
    """The baseline's likeliest bytes and ``count`` - 1 draws: of the valid ones (of all, where none is) the text that it finds
    likeliest."""

    def run(forms: Sequence[JsonProblem]) -> list[Answer]:
        best: dict[int, tuple[bool, float, str]] = {}
        steps, gflop = [0] * len(forms), [0.0] * len(forms)
        for attempt in range(count):
            for at in range(0, len(forms), BATCH):
                pages = [page(form) for form in forms[at : at + BATCH]]
                for n, one in enumerate(
                    write(network, pages, temperature if attempt else 0.0, SEED + attempt), at
                ):
                    text = bytes(one.bytes).decode(errors="replace")
                    best[n] = max(best.get(n, (False, -np.inf, "")), (valid(forms[n], text), one.log_p, text))
                    steps[n] += len(one.bytes) + 1
                    gflop[n] += network.flops(len(one.bytes) + 1, len(pages[n - at].prompt)) / 1e9
        reading = [network.reading_flops(len(form.prompt)) / 1e9 for form in forms]
        return [Answer(best[n][2], best[n][0], steps[n], gflop[n] + reading[n]) for n in range(len(forms))]

    return run


def valid(form: JsonProblem, text: str) -> bool:
    """By the loop's own validator and checks, so that a baseline knows when to try again."""
    value = parsed(text)
    if value is None and text != "null":
        return False
    return bool(form.validator.is_valid(value)) and not any(run_check(check, value) for check in form.checks)


def parsed(text: str) -> Any:
    """The JSON of a text, or None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def networks(
    folder: Path | None = None, baseline: Path | None = None
) -> tuple[JsonNetwork | None, JsonNetwork | None]:
    """The denoiser and the baseline, from folders or as shipped; None for one that is not shipped. Raises CheckpointError."""
    found = list[JsonNetwork | None]()
    for chosen, name in ((folder, "json"), (baseline, "json-ar")):
        path = chosen or SHIPPED / name
        if chosen is None and not (path / "config.json").is_file():
            found.append(None)
            continue
        network, _ = checkpoint.load(path, "json")
        assert isinstance(network, JsonNetwork)
        found.append(network)
    return found[0], found[1]
