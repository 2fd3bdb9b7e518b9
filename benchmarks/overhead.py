"""Measure the loop's own cost per step at a large vocabulary, without the model.

    python benchmarks/overhead.py [--cells 256] [--vocab 262144] [--steps 8]
    python benchmarks/overhead.py --languages [--steps 8]

The denoiser returns constant logits immediately, so the time is the loop's: statistics of every cell, the
draft, the check, and the choice of the next visible cells. ``--languages`` measures the projection of bytes onto
large languages instead, each in a process of its own, and onto strings in slots, free or quoted from a text.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import random
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from string import ascii_lowercase
from typing import Any, Literal

import numpy as np
import torch

from solver.kernels import reference
from solver.kernels.lattice import Slots
from solver.kernels.lattice_fast import Lattice
from solver.loop.engine import solve
from solver.loop.logits import finite
from solver.loop.policy import AcceptPolicy, Policy, RemaskPolicy, SearchPolicy
from solver.loop.trace import Budget, Outcome
from solver.models.protocol import Stateless
from solver.tasks.json_schema.compilation import Quotes
from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.grammar import SchemaGrammar
from solver.tasks.json_schema.problem import JsonProblem, load_kernels
from solver.tasks.json_schema.synthetic import english_words
from solver.tasks.languages import unroll as automata
from solver.tasks.languages.projection import byte_weights, project
from solver.tasks.languages.token_automaton import project_tokens
from solver.tasks.languages.token_bytes import TokenBytes
from solver.tasks.task import Canvas, Mask, Tokens
from solver.tasks.text import Text, TextTask


@dataclass(frozen=True)
class Rows:
    """A prefill state that only holds the number of rows."""

    count: int

    def select(self, rows: Sequence[int]) -> Rows:
        return Rows(len(rows))


class ConstantDenoiser:
    """Predicts the same logits for every canvas, at no cost."""

    name = "constant"
    policy = Policy(
        accept=AcceptPolicy(entropy_bound=0.1, sample=True),
        remask=RemaskPolicy(keep_visible=False),
        search=SearchPolicy(rounds=1 << 30, decide_from="last"),
    )
    kind: Literal["mask", "uniform"] = "uniform"

    def __init__(self, cells: int, vocab: int) -> None:
        self.vocab = vocab
        self.logits = torch.randn(1, cells, vocab, generator=torch.Generator().manual_seed(0))

    def prefill(self, canvases: Sequence[Canvas], seeds: Sequence[int]) -> Rows:
        return Rows(len(canvases))

    def start(self, state: Rows) -> Stateless:
        return Stateless((0,) * state.count)

    def denoise(
        self, state: Rows, tokens: Any, known: Any, settled: Any, aux: Stateless
    ) -> tuple[torch.Tensor, Stateless]:
        return self.logits, aux

    def cost(self, state: Rows, aux: Stateless) -> tuple[list[int], list[int]]:
        return [1] * state.count, [0] * state.count

    def noise(self, where: Mask, vocab: int, rng: np.random.Generator) -> Tokens:
        return rng.integers(0, vocab, len(where))


def step_seconds(cells: int, vocab: int, steps: int, masked: bool) -> list[float]:
    """Return seconds per step. ``masked``: a bitmask of allowed tokens per cell, a quarter of them pinned."""
    rng = np.random.default_rng(0)
    pinned = rng.random(cells) < (0.25 if masked else 0.0)
    problem = Text(np.array([2]), rng.integers(0, vocab, cells), pinned, pinned.copy())
    allowed = reference.pack(torch.from_numpy(rng.random(vocab) < 0.9)).numpy() if masked else None
    task = TextTask(vocab, str, lambda draft: ["never"], allowed=allowed)
    denoiser = ConstantDenoiser(cells, vocab)
    seconds, last = [], time.perf_counter()
    for _, event in solve(task, [problem], denoiser, None, Budget(forwards=steps + 1)):
        present = time.perf_counter()
        if not isinstance(event, Outcome):
            seconds.append(present - last)
        last = present
    return seconds[1:]  # the first compiles


def lifting_seconds(cells: int, vocab: int, steps: int) -> dict[str, list[float]]:
    """Return CPU seconds of a schema's parts at a vocabulary of words and bytes.

    The trie is built once per tokenizer, the automaton and its forced tokens once per schema, the projection
    per step. Prints the memory that the projections take beside the logits.
    """
    rng = np.random.default_rng(0)
    known = [f"{space}{word}" for word in english_words(reserved=False) for space in ("", " ", '"', "_")]
    pieces = dict.fromkeys([bytes([byte]) for byte in range(256)] + [word.encode() for word in known])
    while len(pieces) < vocab:  # as in large vocabularies, most entries are pairs of shorter ones
        pair = known[rng.integers(len(known))] + known[rng.integers(len(known))].strip()
        pieces[pair.encode()] = None
    properties = {
        "name": {"type": "string"},
        "born": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
    }
    schema = {"type": "object", "properties": properties, "required": ["name", "born"]}
    seconds: dict[str, list[float]] = {}

    def timed(name: str, call: Callable[[], Any]) -> Any:
        started = time.process_time()
        result = call()
        seconds.setdefault(name, []).append(time.process_time() - started)
        return result

    vocabulary = timed("a trie of the vocabulary, once", lambda: TokenBytes(tuple(list(pieces)[:vocab])))
    timed("a trie of the vocabulary, once", lambda: vocabulary.trie(vocabulary.usable))
    unrolled = timed(
        "a schema to its automaton",
        lambda: automata.unroll(SchemaGrammar(Compiler(schema), 4 * cells), 4 * cells),
    )
    timed("tokens that it forces, once a schema", lambda: vocabulary.forced_by(unrolled.automaton))
    open_cells = np.zeros(cells, np.int64), np.zeros(cells, bool)
    logits = torch.zeros(cells, vocab)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def step() -> None:
        project_tokens(
            unrolled, vocabulary, Slots.single(cells), finite(logits, "constant"), *open_cells, [0]
        )

    for _ in range(steps + 1):
        rng.standard_normal(out=logits.numpy(), dtype=np.float32)
        timed("a constrained step", step)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"  a constrained step raises the peak of memory by {(peak - before) / 1e6:.2f} GB")
    del seconds["a constrained step"][0]  # the first compiles
    return seconds


def closed_object(properties: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of objects with exactly these members."""
    members = {"properties": properties, "required": list(properties), "additionalProperties": False}
    return {"type": "object", **members}


def large_languages() -> dict[str, tuple[Any, int]]:
    """Return schemas with large automata, and the cells of a block, by name."""
    rng = random.Random(0)
    words = sorted({"".join(rng.choices(ascii_lowercase, k=rng.randint(4, 10))) for _ in range(10_000)})
    objects = {"type": "array", "items": closed_object({"id": {"type": "integer"}})}
    items = {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}
    node = {"$ref": "#/$defs/node"}
    members = {"v": {"type": "integer"}, "left": {"anyOf": [node, {"type": "null"}]}}
    tree = {"type": "object", "properties": {**members, "kids": {"type": "array", "items": node}}}
    tools = [
        closed_object({"name": {"const": f"tool_{number}"}, f"text_{number}": {"type": "string"}})
        for number in range(100)
    ]
    strings = [f"text_{number}" for number in range(8)]
    return {
        "eight strings": (closed_object({key: {"type": "string"} for key in strings}), 256),
        "eight strings, maxLength 60": (
            closed_object({key: {"type": "string", "maxLength": 60} for key in strings}),
            256,
        ),
        "enum of 2,000 strings": ({"enum": words[:2000]}, 256),
        "enum of 10,000 strings": ({"enum": words}, 256),
        "union of 100 tools": ({"anyOf": tools}, 256),
        "40 objects": ({**objects, "minItems": 40, "maxItems": 40}, 4096),
        "120 open objects": ({"type": "array", "items": items, "minItems": 120, "maxItems": 120}, 4096),
        "a recursive schema": ({**node, "$defs": {"node": {**tree, "required": ["v"]}}}, 1024),
    }


def language_costs(name: str, steps: int) -> dict[str, float]:
    """Return states, live pairs, milliseconds of CPU and megabytes of one of the large languages."""
    schema, cells = large_languages()[name]
    open_cells = np.zeros(cells, np.int64), np.zeros(cells, bool)
    logits = np.random.default_rng(0).standard_normal((cells, 257), np.float32)
    slots = Slots.single(cells)
    project(
        automata.unroll(SchemaGrammar(Compiler({"type": "null"}), cells), cells), slots, logits, *open_cells
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    unrolled = automata.unroll(SchemaGrammar(Compiler(schema), cells), cells)
    compiled = time.process_time()
    taken = []
    for _ in range(steps + 1):
        step_started = time.process_time()
        project(unrolled, slots, logits, *open_cells)
        taken.append(time.process_time() - step_started)
    lattice = Lattice(unrolled.automaton, byte_weights(logits, *open_cells), slots)
    return {
        "states": unrolled.automaton.num_states,
        "live pairs": lattice.num_pairs,
        "compile ms": 1000 * (compiled - started),
        "first ms": 1000 * taken[0],
        "project ms": 1000 * statistics.median(taken[1:]),
        "MB": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
    }


def layout_costs(quotes: Quotes, rest: dict[str, Any], cells: int, steps: int) -> dict[str, float]:
    """Return the same for eight strings in their slots, free or quoted from a text of 2,000 bytes.

    Args:
        quotes: False for free strings.
        rest: further keywords of each string.
        cells: of the canvas.
        steps: projections of which the median is taken.
    """
    rng, words = random.Random(0), sorted(english_words(reserved=False))
    text = "".join(rng.choice(words) + rng.choice([*"      ", ", ", ", ", ". "]) for _ in range(400))[:2000]
    schema = closed_object({f"text_{number}": {"type": "string", **rest} for number in range(8)})
    load_kernels()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    (problem,) = JsonProblem.of(schema, text, length=cells, quotes=quotes).layouts()
    compiled = time.process_time()
    logits = np.random.default_rng(0).standard_normal((cells, 257), np.float32)
    taken = []
    for _ in range(steps + 1):
        step_started = time.process_time()
        project(problem.unrolled, problem.slots, logits, *problem.given, layers=problem.layers)
        taken.append(time.process_time() - step_started)
    weights = byte_weights(logits, *problem.given)
    lattice = Lattice(problem.unrolled.automaton, weights, problem.slots, problem.layers)
    return {
        "states": problem.unrolled.automaton.num_states,
        "live pairs": lattice.num_pairs,
        "compile ms": 1000 * (compiled - started),
        "first ms": 1000 * taken[0],
        "project ms": 1000 * statistics.median(taken[1:]),
        "MB": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
    }


def print_language_costs(steps: int) -> None:
    """Print a line for each of the large languages, and for strings in slots with and without quotes."""
    runs: list[tuple[str, Callable[..., dict[str, float]], tuple[Any, ...]]] = [
        (name, language_costs, (name, steps)) for name in large_languages()
    ]
    limits: list[dict[str, Any]] = [{}, {"maxLength": 60}]
    for rest, cells, quotes in product(limits, (320, 512), (False, True)):
        name = f"eight {'quotes' if quotes else 'strings'} in slots of {cells} cells{', maxLength 60' if rest else ''}"
        runs.append((name, layout_costs, (quotes, rest, cells, steps)))
    for name, measure, arguments in runs:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            costs = pool.apply(measure, arguments)
        print(f"  {name:<48}", "  ".join(f"{value:,.1f} {unit}" for unit, value in costs.items()), flush=True)


def main() -> None:
    """Print milliseconds per step."""
    parser = argparse.ArgumentParser(description="Measure the loop's cost per step without the model.")
    parser.add_argument("--cells", type=int, default=256)
    parser.add_argument("--vocab", type=int, default=262_144)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--languages", action="store_true", help="project onto large languages instead")
    options = parser.parse_args()
    if options.languages:
        print_language_costs(options.steps)
        return
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{options.cells} cells, {options.vocab} tokens, median of {options.steps} steps")
    for name, taken in lifting_seconds(options.cells, options.vocab, options.steps).items():
        print(f"  {name:<36} {1000 * statistics.median(taken):8.1f} ms of CPU")
    for name, masked in (
        ("nothing pinned, all allowed", False),
        ("a quarter pinned, a bitmask a cell", True),
    ):
        seconds = step_seconds(options.cells, options.vocab, options.steps, masked)
        print(f"  {name:<36} {1000 * statistics.median(seconds):8.1f} ms")
    logits = torch.randn(1, options.cells, options.vocab)
    for name, call in (
        ("statistics alone", lambda: reference.choose(logits).token_statistics(logits)),
        ("one softmax, for scale", lambda: logits.softmax(-1)),
    ):
        taken = []
        for _ in range(options.steps):
            started = time.perf_counter()
            call()
            taken.append(time.perf_counter() - started)
        print(f"  {name:<36} {1000 * statistics.median(taken):8.1f} ms")


if __name__ == "__main__":
    main()
