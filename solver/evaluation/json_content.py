"""What a trained model adds to valid JSON: values copied from a text into schemas and keys that no training saw.

    python -m solver evaluate json --sections content --data ../shared/data --out results

Records are generated from words that training never used as keys. Fields that are in the text are *copied*; one that is not is
*derived* (a total, a count, the kind that goes with the fields) and stands first or last. Arms: the denoiser in one forward and
refined, with the language and without; the same network left to right, raw and with the language as a mask; random, and byte
frequencies.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from solver import checkpoint, structured
from solver.decoders.text import write
from solver.denoisers.forms import FormDenoiser
from solver.denoisers.text_network import TextNetwork
from solver.drive import solve
from solver.evaluation.statistics import interval
from solver.policies import Policy
from solver.tasks.json_schema.records import Record, make, words
from solver.tasks.json_schema.task import Form, JsonTask
from solver.trace import Budget, Outcome

Row = dict[str, Any]
SEED = 990_002
BATCH = 32


@dataclass(frozen=True)
class Answer:
    """What an arm made of a record. text: whatever it wrote.  gflop, forwards: what it cost."""

    text: str
    forwards: int
    gflop: float


def records(count: int) -> list[Record]:
    """Test records, their keys out of reserved words only."""
    rng, pool = np.random.default_rng(SEED), words(reserved=True)
    return [make(rng, pool) for _ in range(count)]


def flat(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """An instance's fields by path; lists are fields."""
    if not isinstance(value, dict):
        return {path: value}
    found: dict[tuple[str, ...], Any] = {}
    for name, inner in value.items():
        found |= flat(inner, (*path, name))
    return found


def read(text: str) -> Any:
    """The JSON of a text, or None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def graded(record: Record, form: Form, answer: Answer) -> dict[str, Any]:
    """valid: by the schema.  exact: the instance that was meant.  copied: of the fields that are in the text, how many are right,
    and of how many.  derived: whether the one that is not is right."""
    value = read(answer.text)
    meant, said = flat(record.instance), flat(value) if isinstance(value, dict) else {}
    derived = (record.derived,) if record.derived is not None else None
    copied = [path for path in meant if path != derived]
    same = [path in said and type(said[path]) is type(meant[path]) and said[path] == meant[path] for path in copied]
    return {
        "valid": value is not None and bool(form.validator.is_valid(value)),
        "exact": value == record.instance,
        "copied": sum(same),
        "of": len(copied),
        "derived": None if derived is None else said.get(derived) == meant[derived],
    }


def in_the_loop(network: TextNetwork | str, policy: Policy | None, forwards: int) -> Callable[[Sequence[Record]], list[Answer]]:
    """An arm that drafts blocks: the trained denoiser, or a control by name."""

    def run(some: Sequence[Record]) -> list[Answer]:
        if isinstance(network, str):
            model, own = structured.denoiser_for(network)
        else:
            model = FormDenoiser(network)
            own = model.policy
        task = JsonTask()
        forms = [Form.of(record.schema, record.text).laid_out() for record in some]
        found: dict[int, Answer] = {}
        for number, event in solve(task, forms, model, policy or own, Budget(forwards), SEED, BATCH):
            if isinstance(event, Outcome):
                text = task.decode(forms[number], event.tokens)
                found[number] = Answer(text, event.counters.forwards, event.counters.flops / 1e9)
        return [found[number] for number in range(len(some))]

    return run


def left_to_right(network: TextNetwork, masked: bool) -> Callable[[Sequence[Record]], list[Answer]]:
    """The baseline."""

    def run(some: Sequence[Record]) -> list[Answer]:
        found = []
        for at in range(0, len(some), BATCH):
            forms = [Form.of(record.schema, record.text) for record in some[at : at + BATCH]]
            for form, text in zip(forms, write(network, forms, masked), strict=True):
                steps = len(text.bytes) + 1
                cost = network.flops(steps, len(form.prompt)) / 1e9
                found.append(Answer(bytes(text.bytes).decode(errors="replace"), steps, cost))
        return found

    return run


def arms(folder: Path, baseline: Path) -> dict[str, Callable[[Sequence[Record]], list[Answer]]]:
    """All arms whose checkpoint is there."""
    found: dict[str, Callable[[Sequence[Record]], list[Answer]]] = {}
    if (folder / "config.json").is_file():
        network, _ = checkpoint.load(folder, "json")
        assert isinstance(network, TextNetwork)
        policy = FormDenoiser.policy
        found["diffusion-oneshot"] = in_the_loop(network, policy, 1)
        found["diffusion"] = in_the_loop(network, Policy(**{**policy.__dict__, "stop": "settled"}), 64)
        free = Policy(**{**policy.__dict__, "checks": False})
        found["diffusion-oneshot, no language"] = in_the_loop(network, free, 1)
        found["diffusion, no language"] = in_the_loop(network, free, 16)
    if (baseline / "config.json").is_file():
        network, _ = checkpoint.load(baseline, "json")
        assert isinstance(network, TextNetwork)
        found["ar"] = left_to_right(network, masked=False)
        found["ar-masked"] = left_to_right(network, masked=True)
    found["random"] = in_the_loop("random", None, 20)
    found["prior"] = in_the_loop("prior", None, 20)
    return found


def content(folder: Path, baseline: Path, count: int) -> Iterator[Row]:
    """Every arm on the same records."""
    some = records(count)
    forms = [Form.of(record.schema, record.text) for record in some]
    for name, run in arms(folder, baseline).items():
        run(some[:2])  # whatever is loaded or compiled at first use
        started = time.perf_counter()
        answers = run(some)
        seconds = time.perf_counter() - started
        marks = [graded(record, form, answer) for record, form, answer in zip(some, forms, answers, strict=True)]
        row: Row = {"section": "content", "file": "records", "arm": name, "seed": 0, "records": count}
        for key in ("valid", "exact"):
            hits = np.array([mark[key] for mark in marks])
            row |= {key: round(float(hits.mean()), 4), f"{key}_interval": [round(x, 4) for x in interval(hits)]}
        share = np.array([mark["copied"] / mark["of"] for mark in marks if mark["of"]])
        fields = sum(mark["of"] for mark in marks)
        row |= {"copied": round(sum(mark["copied"] for mark in marks) / fields, 4), "fields": fields}
        row["copied_interval"] = [round(x, 4) for x in interval(share)]
        for order in ("first", "last"):
            hits = np.array(
                [m["derived"] for m, r in zip(marks, some, strict=True) if r.order == order and m["derived"] is not None]
            )
            row |= {
                f"derived_{order}": round(float(hits.mean()), 4),
                f"derived_{order}_interval": [round(x, 4) for x in interval(hits)],
            }
        row |= {
            "forwards_mean": round(float(np.mean([answer.forwards for answer in answers])), 2),
            "gflop_mean": round(float(np.mean([answer.gflop for answer in answers])), 4),
            "ms": round(1e3 * seconds / count, 2),
        }
        yield row
