"""What a trained model adds to valid JSON: values copied from a text into schemas and keys that no training saw.

    python -m solver evaluate json --sections content --data ../shared/data --out results

Records are generated from words that training never used as keys. Fields that are in the text are *copied*; one that is not is
*derived* (a total, a count, the kind that goes with the fields) and stands first or last. Arms: the denoiser in one forward and
refined, with the language and without; the same network left to right, raw, with the language as a mask, with retries, and as
the likeliest valid one of many; random, and byte frequencies.
"""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from solver.evaluation.json_arms import (
    MANY,
    SEED,
    TRIES,
    Answer,
    Arm,
    guided,
    in_the_loop,
    left_to_right,
    likeliest,
    masked,
    parsed,
    raw,
)  # fmt: skip
from solver.evaluation.statistics import interval, ratio_interval
from solver.models.json_network import JsonNetwork
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.synthetic import Record, english_words, make_record

Row = dict[str, Any]
WITH, WITHOUT = "diffusion", "diffusion, no language"


def records(count: int) -> list[Record]:
    """Test records, their keys out of reserved words only."""
    rng, pool = np.random.default_rng(SEED), english_words(reserved=True)
    return [make_record(rng, pool) for _ in range(count)]


def flat(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """An instance's fields by path; lists are fields."""
    if not isinstance(value, dict):
        return {path: value}
    found: dict[tuple[str, ...], Any] = {}
    for name, inner in value.items():
        found |= flat(inner, (*path, name))
    return found


def graded(record: Record, form: JsonProblem, answer: Answer) -> dict[str, Any]:
    """valid: by the schema.  exact: the instance that was meant.  copied: of the fields that are in the text, how many are right,
    and of how many.  derived: whether the one that is not is right."""
    value = parsed(answer.text)
    meant, said = flat(record.instance), flat(value) if isinstance(value, dict) else {}
    derived = (record.derived,) if record.derived is not None else None
    copied = [path for path in meant if path != derived]
    same = [
        path in said and type(said[path]) is type(meant[path]) and said[path] == meant[path]
        for path in copied
    ]
    return {
        "valid": value is not None and bool(form.validator.is_valid(value)),
        "exact": json.dumps(value, sort_keys=True)
        == json.dumps(record.instance, sort_keys=True),  # 1 is not true
        "copied": sum(same),
        "of": len(copied),
        "derived": None if derived is None else said.get(derived) == meant[derived],
    }


def arms(network: JsonNetwork | None, baseline: JsonNetwork | None) -> dict[str, Arm]:
    """All arms whose checkpoint is there; the controls always."""
    found: dict[str, Arm] = {}
    if network is not None:
        found["diffusion-oneshot"] = in_the_loop(network, 1)
        found[WITH] = in_the_loop(network, 64, stop="settled")
        found["diffusion-oneshot, no language"] = in_the_loop(network, 1, checks=False)
        found[WITHOUT] = in_the_loop(network, 16, checks=False)
    if baseline is not None:
        found["ar"] = left_to_right(baseline, raw)
        found["ar-masked"] = left_to_right(baseline, masked)
        if importlib.util.find_spec("llguidance"):
            found["ar, llguidance"] = left_to_right(baseline, guided)
        found[f"ar, {TRIES} tries"] = left_to_right(baseline, raw, TRIES)
        found[f"ar, best of {MANY}"] = likeliest(baseline, raw, MANY)
    found["random"] = in_the_loop("random", 20)
    found["prior"] = in_the_loop("prior", 20)
    return found


def content(
    network: JsonNetwork | None, baseline: JsonNetwork | None, count: int, only: Sequence[str] | None = None
) -> Iterator[Row]:
    """Every arm, or ``only`` some, on the same records, then what the language costs."""
    some = records(count)
    marks: dict[str, list[dict[str, Any]]] = {}
    taxes = np.zeros(0)
    for name, run in arms(network, baseline).items():
        if only is not None and name not in only:
            continue
        forms = [JsonProblem.of(record.schema, record.text) for record in some]
        run([forms[0]])  # whatever is loaded or compiled at first use
        started = time.perf_counter()
        answers = run(forms)
        seconds = time.perf_counter() - started
        marks[name] = [
            graded(record, form, answer) for record, form, answer in zip(some, forms, answers, strict=True)
        ]
        yield {
            "section": "content",
            "file": "records",
            "arm": name,
            "seed": 0,
            "records": count,
            **shares(some, marks[name]),
            "forwards_mean": round(float(np.mean([answer.forwards for answer in answers])), 2),
            "gflop_mean": round(float(np.mean([answer.gflop for answer in answers])), 4),
            "ms": round(1e3 * seconds / count, 2),
        }
        if name == WITH:
            taxes = np.array([answer.constraint_cost for answer in answers])
    if {WITH, WITHOUT} <= marks.keys():
        yield tax(marks[WITH], marks[WITHOUT], taxes)


def shares(some: Sequence[Record], marks: Sequence[dict[str, Any]]) -> Row:
    """The shares of an arm, each with its interval."""
    row: Row = {}
    for key in ("valid", "exact"):
        row |= share(key, np.array([mark[key] for mark in marks]))
    copied, fields = [mark["copied"] for mark in marks], [mark["of"] for mark in marks]
    row |= {"copied": round(sum(copied) / sum(fields), 4), "fields": sum(fields)}
    row["copied_interval"] = [round(x, 4) for x in ratio_interval(copied, fields)]
    for order in ("first", "last"):
        for kind in ("kind", "total"):
            of = [r.order == order and kind == ("kind" if "oneOf" in r.schema else "total") for r in some]
            row |= share(
                f"{kind}_{order}",
                np.array([mark["derived"] for mark, here in zip(marks, of, strict=True) if here]),
            )
        row |= share(
            f"derived_{order}",
            np.array([m["derived"] for m, r in zip(marks, some, strict=True) if r.order == order]),
        )
    return row


def share(name: str, hits: np.ndarray) -> Row:
    """A mean with its interval."""
    if not len(hits):
        return {}
    return {name: round(float(hits.mean()), 4), f"{name}_interval": [round(x, 4) for x in interval(hits)]}


def tax(conditioned: Sequence[dict[str, Any]], free: Sequence[dict[str, Any]], nats: np.ndarray) -> Row:
    """What the language costs: fields right with it and without it on the records that both get valid, and the nats."""
    both = [(a, b) for a, b in zip(conditioned, free, strict=True) if a["valid"] and b["valid"] and a["of"]]
    ahead = np.array([(a["copied"] - b["copied"]) / a["of"] for a, b in both])
    fields = sum(a["of"] for a, _ in both)
    finite = nats[np.isfinite(nats)]
    return {
        "section": "tax",
        "file": "records",
        "arm": WITH,
        "seed": 0,
        "records": len(conditioned),
        "both_valid": len(both),
        "copied_with": round(sum(a["copied"] for a, _ in both) / max(1, fields), 4),
        "copied_without": round(sum(b["copied"] for _, b in both) / max(1, fields), 4),
        "ahead": round(float(ahead.mean()), 4) if len(ahead) else None,
        "ahead_interval": [round(x, 4) for x in interval(ahead)] if len(ahead) else None,
        "nats": {f"p{p}": round(float(np.percentile(finite, p)), 4) for p in (50, 90, 95, 99)},
    }
