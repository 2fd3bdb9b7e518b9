"""Compare other engines for JSON schemas: valid instances of at most 256 bytes, and templates with holes.

    python benchmarks/json_engines.py --data FOLDER --out results [--engines llguidance,xgrammar] [--limit 100]

Writes the sections ``engines`` and ``pinned`` of json.json. The engines are optional: one that is not
installed is left out and named on stderr. Each works in a process of its own with limits of time and memory,
and is started again when it dies.

engines: an engine that gives a mask of the next bytes is walked at random, up to ``attempts`` times or
``seconds``, with the same policy for all. Where the text may end, it ends with probability 1/2. The next byte
is uniform among the allowed ones. From ``eager`` bytes on, the text ends as soon as it may, and in three
cases of four the next byte is a closing one (a quote or bracket, else a comma) if one is allowed, so that the
walk ends within the block. ``eager`` is half of the block in the first walk and halves with each further one:
late walks write nearly the shortest text. The first text that an engine lets end is its answer, because the
engine claims that all such texts are valid. Answers are graded by python's ``jsonschema``, as ours are.
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
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from solver.evaluation.json_arms import LLGuidance, mask_bits
from solver.evaluation.json_cases import LENGTH, Parts, SchemaCase, by_group, load_schemas, pinned_instances
from solver.evaluation.json_cases import SHARES as PINNED_SHARES
from solver.evaluation.rows import ResultsFile, Row
from solver.tasks.json_schema.validator import DRAFTS
from solver.tasks.text import Hole

END = 256  # index of the end of the text in a mask
CLOSING = (b'"]}', b",")
MEMORY = 8 << 30  # bytes that a worker may map
LISTED = 40  # failures that a row names


class EngineAnswer(NamedTuple):
    """The status ("ended", "none", "refused", "crashed", "timeout"), and the text if there is one."""

    status: str
    text: bytes | None = None


class Question(NamedTuple):
    """A schema for an engine.

    Args:
        schema: as JSON.
        seed: of the walks.
        template: to be filled; empty for a whole instance.
        early: whether a hole may end before its last byte.
        attempts: walks at most.
        seconds: limit of time.
    """

    schema: Any
    seed: tuple[int, ...]
    template: Parts
    early: bool = False
    attempts: int = 20
    seconds: float = 5.0


class Grammar(Protocol):
    """A schema as an engine compiled it, at a position in a text."""

    def begin(self) -> None:
        """Go back to the beginning of a text."""

    def allowed(self) -> NDArray[np.bool_]:
        """Return which bytes may come next, and whether the text may end (257,)."""

    def take(self, byte: int) -> None:
        """Append a byte."""


class XGrammar:
    """A schema as xgrammar compiles it."""

    def __init__(self, schema: Any) -> None:
        self.library = importlib.import_module("xgrammar")
        tokens = [bytes([byte]) for byte in range(END)] + [b"<end>"]
        vocabulary = self.library.TokenizerInfo(tokens, self.library.VocabType.RAW, stop_token_ids=[END])
        compiler = self.library.GrammarCompiler(vocabulary, max_threads=1, cache_enabled=False)
        self.compiled = compiler.compile_json_schema(
            json.dumps(schema), any_whitespace=False, separators=(",", ":"), strict_mode=False
        )
        self.mask = np.zeros((1, (END + 32) // 32), np.int32)
        self.begin()

    def begin(self) -> None:
        self.matcher = self.library.GrammarMatcher(self.compiled)

    def allowed(self) -> NDArray[np.bool_]:
        self.matcher.fill_next_token_bitmask(self.mask)
        return mask_bits(self.mask[0].view(np.uint8))[: END + 1]

    def take(self, byte: int) -> None:
        if not self.matcher.accept_token(byte):
            raise ValueError("a byte that was allowed is refused")


class Outlines:
    """A schema as outlines-core compiles it."""

    def __init__(self, schema: Any) -> None:
        library = importlib.import_module("outlines_core")
        pattern = library.json_schema.build_regex_from_schema(json.dumps(schema), whitespace_pattern="")
        vocabulary = library.Vocabulary(END, {bytes([byte]): [byte] for byte in range(END)})
        self.index = library.Index(pattern, vocabulary)
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


HYPOTHESIS = "hypothesis-jsonschema"
GRAMMARS: dict[str, Callable[[Any], Grammar]] = {
    "llguidance": LLGuidance,
    "xgrammar": XGrammar,
    "outlines-core": Outlines,
}
NAMES = (*GRAMMARS, HYPOTHESIS)
STATUS = ("solved", "invalid", "refused", "none", "crashed", "timeout")


def choose_byte(allowed: NDArray[np.bool_], eager: bool, rng: np.random.Generator) -> int | None:
    """Choose the next byte by the policy above; None if no byte is allowed."""
    options = np.flatnonzero(allowed[:END])
    if eager and rng.random() < 0.75:
        closing = [np.array([byte for byte in group if allowed[byte]]) for group in CLOSING]
        options = next((group for group in closing if len(group)), options)
    return int(options[rng.integers(len(options))]) if len(options) else None


def walk(grammar: Grammar, eager: int, rng: np.random.Generator) -> bytes | None:
    """Walk at random; return the text if it ends within the block."""
    text = bytearray()
    grammar.begin()
    while True:
        allowed = grammar.allowed()
        if allowed[END] and (len(text) >= eager or rng.random() < 0.5):
            return bytes(text)
        byte = choose_byte(allowed, len(text) >= eager, rng)
        if byte is None or len(text) == LENGTH:
            return None
        grammar.take(byte)
        text.append(byte)


def fill_left_to_right(
    grammar: LLGuidance,
    template: Parts,
    early: bool,
    rng: np.random.Generator,
) -> bytes | None:
    """Fill a template from left to right, open bytes uniform among the allowed ones; None for a dead end.

    ``early``: wherever the part after a hole may come next, the hole ends with probability 1/2; else it ends
    with its last byte.
    """
    text = bytearray()

    def may_follow(part: str | Hole | None) -> bool:
        return grammar.fits(part.encode()) if isinstance(part, str) else bool(grammar.allowed()[END])

    def take(byte: int) -> None:
        grammar.take(byte)
        text.append(byte)

    grammar.begin()
    for part, successor in zip_longest(template, template[1:]):
        if isinstance(part, str):
            if not may_follow(part):
                return None
            for byte in part.encode():
                take(byte)
            continue
        for _ in range(part.size or 0):
            if early and rng.random() < 0.5 and may_follow(successor):
                break
            chosen = choose_byte(grammar.allowed(), False, rng)
            if chosen is None:
                return None
            take(chosen)
    return bytes(text) if grammar.allowed()[END] else None


def answer_question(name: str, question: Question) -> EngineAnswer:
    """Walk until a text ends. Runs in the worker."""
    if name == HYPOTHESIS:
        return draw_instance(question.schema, question.seed[-1])
    rng, started = np.random.default_rng(question.seed), time.perf_counter()
    try:
        grammar = GRAMMARS[name](question.schema)
    except Exception:  # each engine has its own errors for schemas that it does not support
        return EngineAnswer("refused")
    for attempt in range(question.attempts):
        # an engine that gives up halfway, for its own limits, has not ended
        with contextlib.suppress(Exception):
            if isinstance(grammar, LLGuidance) and question.template:
                text = fill_left_to_right(grammar, question.template, question.early, rng)
            else:
                text = walk(grammar, LENGTH // 2 >> attempt, rng)
            if text is not None:
                return EngineAnswer("ended", text)
        if time.perf_counter() - started > question.seconds:
            break
    return EngineAnswer("none")


def draw_instance(schema: Any, seed: int) -> EngineAnswer:
    """Return the first instance that Hypothesis draws, which is about the simplest one."""
    hypothesis = importlib.import_module("hypothesis")
    values: list[Any] = []
    try:
        given = hypothesis.given(importlib.import_module("hypothesis_jsonschema").from_schema(schema))
        settings = hypothesis.settings(
            max_examples=1,
            database=None,
            deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=[hypothesis.Phase.generate],
        )
        hypothesis.seed(seed)(settings(given(lambda value: values.append(value))))()
    except hypothesis.errors.Unsatisfiable:
        return EngineAnswer("none")
    except Exception:  # schemas that it does not support
        return EngineAnswer("refused")
    text = json.dumps(values[0], ensure_ascii=False, separators=(",", ":"))
    return EngineAnswer("ended", text.encode(errors="surrogatepass"))


def why_missing(name: str) -> str:
    """Import an engine; return why it cannot be used here, or an empty text. Runs in the worker."""
    try:
        importlib.import_module(name.replace("-", "_"))
    except ImportError as error:
        return str(error)
    if name == HYPOTHESIS and draw_instance({"type": "object", "required": ["a"]}, 0).status != "ended":
        # It uses internals of Hypothesis that have changed: no object can be drawn, whatever the schema.
        return f"it does not work with hypothesis {version('hypothesis')}; an older one does (6.140)"
    return ""


def run_worker(connection: Connection, name: str) -> None:
    """Answer questions until the process is killed."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    connection.send(why_missing(name))
    while True:
        connection.send(answer_question(name, connection.recv()))


class Worker:
    """An engine in a process of its own, which may die or hang. ``missing``: why it cannot be used."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.missing = self.start()
        if self.missing:
            print(f"{name} is left out: {self.missing}", file=sys.stderr, flush=True)

    def start(self) -> str:
        """Start the process; return why the engine cannot be used."""
        context = multiprocessing.get_context("spawn")
        self.connection, remote = context.Pipe()
        self.process = context.Process(target=run_worker, args=(remote, self.name), daemon=True)
        self.process.start()
        remote.close()
        return str(self.connection.recv())

    def close(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.join()
        self.connection.close()

    def ask(self, question: Question) -> EngineAnswer:
        """Return the answer; "timeout" after three times its seconds, "crashed" if the process died."""
        status = "timeout"
        try:
            self.connection.send(question)
            if self.connection.poll(3 * question.seconds):
                answer: EngineAnswer = self.connection.recv()
                return answer
        except (EOFError, ConnectionError):
            status = "crashed"
        self.close()
        self.start()
        return EngineAnswer(status)


def engine_schema(case: SchemaCase) -> Any:
    """The schema with the suite's draft as ``$schema``; {} for true, which some engines do not accept."""
    if not isinstance(case.schema, dict):
        return {} if case.schema is True else case.schema
    uri = next((uri for uri, draft in DRAFTS.items() if draft == case.draft), None)
    return {"$schema": uri, **case.schema} if uri else case.schema


def grade_text(case: SchemaCase, answer: EngineAnswer) -> str:
    """Return the status of an answer; for a text that ended, whether it is valid."""
    if answer.text is None:
        return answer.status
    try:
        valid = case.grade(json.loads(answer.text))
    except (ValueError, RecursionError):
        valid = False  # not JSON
    if valid is None:
        return "cannot be graded"
    return ("solved" if len(answer.text) <= LENGTH else "valid, but longer") if valid else "invalid"


def measure_engine(name: str, cases: Sequence[SchemaCase], seed: int = 0) -> Iterator[Row]:
    """One engine on the schemas with a short valid instance, by group.

    invalid: it let an invalid text end. refused: the schema. none: no walk ended.
    """
    with contextlib.closing(Worker(name)) as worker:
        for group, members in {} if worker.missing else by_group(cases).items():
            counts, failed = Counter(dict.fromkeys(STATUS, 0)), list[str]()
            fitting = [case for case in members if case.shortest is not None and case.fits]
            for n, case in enumerate(fitting):
                answer = worker.ask(Question(engine_schema(case), (seed, n), []))
                status = grade_text(case, answer)
                counts[status] += 1
                if status != "solved":
                    begin = (answer.text or b"")[:60].decode(errors="replace")
                    failed.append(f"{case.name}: {status} {begin}".rstrip())
            share = round(counts["solved"] / max(1, len(fitting)), 4)
            figures = {"schemas": len(fitting), **counts, "share": share, "failed": failed[:LISTED]}
            yield Row("engines", group, f"{name} {version(name)}", figures, seed)


def measure_templates(cases: Sequence[SchemaCase], share: float, seed: int = 0) -> Iterator[Row]:
    """The section ``pinned`` by llguidance from left to right, with the same instances and pins.

    Holes have exactly their length, or may end early, as ours may. whole: the engine accepts the original
    instance. none: dead ends.
    """
    with contextlib.closing(Worker("llguidance")) as worker:
        groups = by_group(case for case in cases if not case.in_suite)
        for group, members in {} if worker.missing else groups.items():
            tallies = {
                early: Counter(dict.fromkeys(("instances", "whole", *STATUS), 0)) for early in (False, True)
            }
            for n, (case, text, template) in enumerate(pinned_instances(members, share, seed)):
                question = Question(engine_schema(case), (seed, n), [text.decode()], attempts=1)
                accepted = worker.ask(question).status == "ended"
                for early, counts in tallies.items():
                    question = Question(engine_schema(case), (seed, n), template, early)
                    counts["instances"] += 1
                    counts["whole"] += accepted
                    counts[grade_text(case, worker.ask(question))] += 1
            for early, counts in tallies.items():
                suffix = ", holes may end early" if early else ""
                arm = f"llguidance {version('llguidance')}, left to right{suffix}"
                yield Row("pinned", group, arm, dict(counts), seed, pinned=share)


def main() -> None:
    """Measure the engines and write their rows."""
    parser = argparse.ArgumentParser(description="Compare other engines for JSON schemas.")
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="DIR", help="folder with jsonschema/")
    add("--out", type=Path, required=True, metavar="DIR", help="json.json is written there")
    add("--engines", default=",".join(NAMES), metavar="A,B", help=f"of {', '.join(NAMES)} (all)")
    add("--limit", type=int, metavar="N", help="schemas per file at most (all)")
    options = parser.parse_args()
    names = options.engines.split(",")
    if unknown := set(names) - set(NAMES):
        parser.error(f"unknown engine {min(unknown)!r}; there are {', '.join(NAMES)}")
    cases = load_schemas(options.data / "jsonschema", options.limit)
    options.out.mkdir(parents=True, exist_ok=True)
    results = ResultsFile(options.out / "json.json")
    for name in names:
        for row in measure_engine(name, cases):
            results.add(row)
    for share in PINNED_SHARES if "llguidance" in names else ():
        for row in measure_templates(cases, share):
            results.add(row)


if __name__ == "__main__":
    main()
