"""Compare other engines for JSON schemas: valid instances of at most 256 bytes, and templates with holes.

    python benchmarks/json_engines.py --data FOLDER --out results [--engines llguidance,xgrammar] [--limit 100]

Writes the sections ``engines`` and ``pinned`` of json.json. The engines are optional: one that is not installed is
left out and named on stderr. Each works in a process of its own with limits of time and memory, and is started again
when it dies.

engines: an engine that gives a mask of the next bytes is walked at random, up to ``attempts`` times or ``seconds``,
with the same policy for all. Where the text may end, it ends with probability 1/2. The next byte is uniform among the
allowed ones. From ``eager`` bytes on, the text ends as soon as it may, and in three cases of four the next byte is a
closing one (a quote or bracket, else a comma) if one is allowed, so that the walk ends within the block. ``eager`` is
half of the block in the first walk and halves with each further one: late walks write nearly the shortest text. The
first text that an engine lets end is its answer, because the engine claims that all such texts are valid. Answers are
graded by python's ``jsonschema``, as ours are.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import multiprocessing
import resource
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from itertools import zip_longest
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from solver.evaluation.json_arms import LLGuidance, bits_of
from solver.evaluation.json_schema import LENGTH, Problem, grade, known_to, problems, with_gaps
from solver.evaluation.rows import ResultsFile, Row
from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.errors import SchemaError
from solver.tasks.json_schema.grammar import SchemaGrammar
from solver.tasks.json_schema.serialize import serialize
from solver.tasks.json_schema.validator import DRAFTS
from solver.tasks.text import Hole

END = 256  # behind the bytes: the text may end
CLOSING = (b'"]}', b",")
MEMORY = 8 << 30  # bytes that a worker may map
Parts = list[str | Hole]
Answer = tuple[str, bytes | None]  # what became of it, and the text where there is one


class Grammar(Protocol):
    """A schema as an engine compiled it, at a place in a text of it. allowed: which of the bytes and END may come next (257,)."""

    def begin(self) -> None: ...
    def allowed(self) -> NDArray[np.bool_]: ...
    def take(self, byte: int) -> None: ...


class XGrammar:
    def __init__(self, schema: Any) -> None:
        self.library = importlib.import_module("xgrammar")
        bytes_and_end = [bytes([byte]) for byte in range(END)] + [b"<end>"]
        vocabulary = self.library.TokenizerInfo(
            bytes_and_end, self.library.VocabType.RAW, stop_token_ids=[END]
        )
        compiler = self.library.GrammarCompiler(vocabulary, max_threads=1, cache_enabled=False)
        self.compiled = compiler.compile_json_schema(
            json.dumps(schema), any_whitespace=False, separators=(",", ":"), strict_mode=False
        )
        self.mask = np.zeros((1, (END + 32) // 32), np.int32)
        self.begin()

    def begin(self) -> None:
        self.at = self.library.GrammarMatcher(self.compiled)

    def allowed(self) -> NDArray[np.bool_]:
        self.at.fill_next_token_bitmask(self.mask)
        return bits_of(self.mask[0].view(np.uint8))[: END + 1]

    def take(self, byte: int) -> None:
        if not self.at.accept_token(byte):
            raise ValueError("a byte that was allowed is refused")


class Outlines:
    def __init__(self, schema: Any) -> None:
        library = importlib.import_module("outlines_core")
        pattern = library.json_schema.build_regex_from_schema(json.dumps(schema), whitespace_pattern="")
        self.index = library.Index(
            pattern, library.Vocabulary(END, {bytes([byte]): [byte] for byte in range(END)})
        )
        self.begin()

    def begin(self) -> None:
        self.state = self.index.get_initial_state()

    def allowed(self) -> NDArray[np.bool_]:
        mask = np.zeros(END + 1, bool)
        mask[self.index.get_allowed_tokens(self.state) or []] = True
        mask[END] = self.index.is_final_state(self.state)
        return mask

    def take(self, byte: int) -> None:
        self.state = self.index.get_next_state(self.state, byte)


def choose(allowed: NDArray[np.bool_], eager: bool, rng: np.random.Generator) -> int | None:
    """The next byte, by the policy above. None: there is none."""
    options = np.flatnonzero(allowed[:END])
    if eager and rng.random() < 0.75:
        closing = [np.array([byte for byte in some if allowed[byte]]) for some in CLOSING]
        options = next((some for some in closing if len(some)), options)
    return int(options[rng.integers(len(options))]) if len(options) else None


def walk(grammar: Grammar, eager: int, rng: np.random.Generator) -> bytes | None:
    """A random text that may end where it does, or None."""
    text = bytearray()
    grammar.begin()
    while True:
        allowed = grammar.allowed()
        if allowed[END] and (len(text) >= eager or rng.random() < 0.5):
            return bytes(text)
        byte = choose(allowed, len(text) >= eager, rng)
        if byte is None or len(text) == LENGTH:
            return None
        grammar.take(byte)
        text.append(byte)


def fill(grammar: LLGuidance, parts: Parts, early: bool, rng: np.random.Generator) -> bytes | None:
    """The parts from left to right, an open byte uniform among the allowed. early: a hole may end, with probability 1/2, wherever
    what stands behind it may come next; else its last cell is its end."""
    text = bytearray()

    def take(byte: int) -> None:
        grammar.take(byte)
        text.append(byte)

    def possible(part: str | Hole | None) -> bool:
        return grammar.fits(part.encode()) if isinstance(part, str) else bool(grammar.allowed()[END])

    grammar.begin()
    for part, behind in zip_longest(parts, parts[1:]):
        if isinstance(part, str):
            if not possible(part):
                return None
            for given in part.encode():
                take(given)
            continue
        for _ in range(part.size or 0):
            if early and rng.random() < 0.5 and possible(behind):
                break
            byte = choose(grammar.allowed(), False, rng)
            if byte is None:
                return None
            take(byte)
    return bytes(text) if grammar.allowed()[END] else None


def attempted(one: Callable[[int], bytes | None], attempts: int, seconds: float) -> Answer:
    """The first walk that ends. An engine that gives up halfway, for its limits, did not end."""
    started = time.perf_counter()
    for number in range(attempts):
        with contextlib.suppress(Exception):
            if (text := one(number)) is not None:
                return "ended", text
        if time.perf_counter() - started > seconds:
            break
    return "none", None


def answer(
    name: str, schema: Any, parts: Parts, early: bool, attempts: int, seconds: float, seed: Sequence[int]
) -> Answer:
    """The worker's job: an instance; the parts filled, where there are any."""
    if name == HYPOTHESIS:
        return drawn(schema, seed[-1])
    rng = np.random.default_rng(seed)
    try:
        grammar = GRAMMARS[name](schema)
    except Exception:
        return "refused", None
    if isinstance(grammar, LLGuidance) and parts:
        return attempted(lambda number: fill(grammar, parts, early, rng), attempts, seconds)
    return attempted(lambda number: walk(grammar, LENGTH // 2 >> number, rng), attempts, seconds)


def drawn(schema: Any, seed: int) -> Answer:
    """The first instance that Hypothesis draws; it begins with about the simplest that it has."""
    hypothesis = importlib.import_module("hypothesis")
    found: list[Any] = []
    try:
        given = hypothesis.given(importlib.import_module("hypothesis_jsonschema").from_schema(schema))
        every = list(hypothesis.HealthCheck)
        generate = [hypothesis.Phase.generate]
        once = hypothesis.settings(
            max_examples=1, database=None, deadline=None, suppress_health_check=every, phases=generate
        )
        hypothesis.seed(seed)(once(given(lambda value: found.append(value))))()
    except hypothesis.errors.Unsatisfiable:
        return "none", None
    except Exception:
        return "refused", None
    return "ended", json.dumps(found[0], ensure_ascii=False, separators=(",", ":")).encode(
        errors="surrogatepass"
    )


HYPOTHESIS = "hypothesis-jsonschema"
GRAMMARS: dict[str, Callable[[Any], Grammar]] = {
    "llguidance": LLGuidance,
    "xgrammar": XGrammar,
    "outlines-core": Outlines,
}
NAMES = (*GRAMMARS, HYPOTHESIS)
KINDS = ("solved", "invalid", "refused", "none", "crashed", "timeout")


def usable(name: str) -> str:
    """Why an engine cannot be used here, or nothing. Runs in the worker, and imports it."""
    try:
        importlib.import_module(name.replace("-", "_"))
    except ImportError as error:
        return str(error)
    if name == HYPOTHESIS and drawn({"type": "object", "required": ["a"]}, 0)[0] != "ended":
        # It reaches into Hypothesis, which has changed there: no object can be drawn, which says nothing about the engine.
        return f"it does not work with hypothesis {version('hypothesis')}; an older one does (6.140)"
    return ""


def work(connection: Connection, name: str) -> None:
    """The worker: questions in, answers out."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    connection.send(usable(name))
    while True:
        connection.send(answer(name, *connection.recv()))


class Worker:
    """An engine in a process of its own: it may die, or never come back. missing: why it cannot be used."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.missing = self.start()
        if self.missing:
            print(f"{name} is left out: {self.missing}", file=sys.stderr, flush=True)

    def start(self) -> str:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, self.name), daemon=True)
        self.process.start()
        theirs.close()
        return str(self.connection.recv())

    def close(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()

    def ask(
        self, schema: Any, parts: Parts, early: bool, attempts: int, seconds: float, seed: Sequence[int]
    ) -> Answer:
        """The answer; or that there was none in three times the seconds, or that the worker died."""
        kind = "timeout"
        try:
            self.connection.send((schema, parts, early, attempts, seconds, seed))
            if self.connection.poll(3 * seconds):
                found: Answer = self.connection.recv()
                return found
        except (EOFError, ConnectionError):
            kind = "crashed"
        self.close()
        self.start()
        return kind, None


def told(problem: Problem) -> Any:
    """The schema as an engine gets it: it says which draft it is of, where the suite does; and {} is for true, which some do not
    take."""
    if not isinstance(problem.schema, dict):
        return {} if problem.schema is True else problem.schema
    uri = next((uri for uri, draft in DRAFTS.items() if draft == problem.draft), None)
    return {"$schema": uri, **problem.schema} if uri else problem.schema


def graded(problem: Problem, answer: Answer, remotes: dict[str, Any]) -> str:
    """What became of it; of a text that ended, whether it is valid."""
    kind, text = answer
    if text is None:
        return kind
    try:
        valid = grade(problem, json.loads(text), remotes)
    except (ValueError, RecursionError):
        valid = False  # no JSON
    if valid is None:
        return "cannot be graded"
    return ("solved" if len(text) <= LENGTH else "valid, but longer") if valid else "invalid"


def engines(
    some: Sequence[Problem],
    remotes: dict[str, Any],
    names: Sequence[str],
    attempts: int = 20,
    seconds: float = 5,
    seed: int = 0,
) -> Iterator[Row]:
    """By engine and group of schemas with a short valid instance: solved, invalid (it let an invalid text end), refused (the
    schema), none (no walk ended), crashed, timeout."""
    for name in names:
        with contextlib.closing(Worker(name)) as worker:
            for group in () if worker.missing else dict.fromkeys(problem.group for problem in some):
                counts = Counter(dict.fromkeys(KINDS, 0))
                failed: list[str] = []
                fitting = [
                    p for p in some if p.group == group and p.shortest is not None and p.shortest <= LENGTH
                ]
                for number, problem in enumerate(fitting):
                    found = worker.ask(told(problem), [], False, attempts, seconds, (seed, number))
                    kind = graded(problem, found, remotes)
                    counts[kind] += 1
                    if kind != "solved":
                        failed.append(
                            f"{problem.name}: {kind} {(found[1] or b'')[:60].decode(errors='replace')}".rstrip()
                        )
                figures = {
                    "schemas": len(fitting),
                    **counts,
                    "share": round(counts["solved"] / max(1, len(fitting)), 4),
                    "failed": failed[:40],
                }
                yield Row("engines", group, f"{name} {version(name)}", figures, seed)


def pinned_left_to_right(
    some: Sequence[Problem],
    remotes: dict[str, Any],
    share: float,
    seed: int,
    attempts: int = 20,
    seconds: float = 5.0,
) -> Iterator[Row]:
    """``pinned`` of json_schema.py, its instances and its pins, by llguidance from left to right: with holes of exactly their
    length, and with holes that may end early, as ours may. whole: the engine takes the instance as it was. none: dead ends."""
    with contextlib.closing(Worker("llguidance")) as worker:
        for group in (
            () if worker.missing else dict.fromkeys(p.group for p in some if not p.group.startswith("suite"))
        ):
            rows = {
                early: Counter(dict.fromkeys(("instances", "whole", *KINDS), 0)) for early in (False, True)
            }
            for number, (problem, text, parts) in enumerate(
                cut_out([p for p in some if p.group == group], remotes, share, seed)
            ):
                whole, _ = worker.ask(told(problem), [text.decode()], False, 1, seconds, (seed, number))
                for early, counts in rows.items():
                    found = worker.ask(told(problem), parts, early, attempts, seconds, (seed, number))
                    counts.update(
                        (
                            "instances",
                            graded(problem, found, remotes),
                            *(["whole"] if whole == "ended" else []),
                        )
                    )
            for early, counts in rows.items():
                arm = f"llguidance {version('llguidance')}, left to right{', holes may end early' if early else ''}"
                yield Row("pinned", group, arm, dict(counts), seed, pinned=share)


def cut_out(
    some: Sequence[Problem], remotes: dict[str, Any], share: float, seed: int
) -> Iterator[tuple[Problem, bytes, Parts]]:
    """The instances of a group, and their parts, in the order of ``pinned``: its random numbers are the same."""
    rng = np.random.default_rng(seed)
    for problem in some:
        for value in [value for value, valid in problem.tests[:6] if valid]:
            try:
                text = serialize(
                    SchemaGrammar(
                        Compiler(problem.schema, True, known_to(problem, remotes), problem.draft), LENGTH
                    ),
                    value,
                )
            except SchemaError:
                continue
            if text is not None and len(text) <= LENGTH:
                yield problem, text, with_gaps(text, rng.random(len(text)) < share)


def main() -> None:
    """Measure the engines and write their rows."""
    parser = argparse.ArgumentParser(description="Compare other engines for JSON schemas.")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with jsonschema/")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="json.json is written there")
    parser.add_argument(
        "--engines", default=",".join(NAMES), metavar="A,B", help=f"of {', '.join(NAMES)} (all)"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="schemas per file at most (all)")
    options = parser.parse_args()
    names = options.engines.split(",")
    if unknown := set(names) - set(NAMES):
        parser.error(f"unknown engine {min(unknown)!r}; there are {', '.join(NAMES)}")
    schemas, remotes = problems(options.data / "jsonschema", options.limit)
    results = ResultsFile(options.out / "json.json")
    for row in engines(schemas, remotes, names):
        results.add(row)
    for share in (0.25, 0.5) if "llguidance" in names else ():
        for row in pinned_left_to_right(schemas, remotes, share, 0):
            results.add(row)


if __name__ == "__main__":
    main()
