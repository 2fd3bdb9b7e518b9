"""Compare the languages of random patterns with three engines: jsonschema-rs, regress and V8.

    python benchmarks/fuzz_patterns.py [--count 5000] [--seed 0] [--schemas 1] [--json]

The patterns are of the kinds that people write, anchors in odd places included. Every pattern is tried with
strings that it was made to match and with others. Two claims are checked:

- a string that jsonschema-rs accepts, if need be after the pattern was rewritten as those of schemas are, is in
  the pattern's language, and ``{"enum": [string], "pattern": ...}`` and its kin are never
  called unsatisfiable ("too small", "false proof");
- a string that ``solver.fill`` writes is accepted by jsonschema-rs ("wrong") and the ECMA 262 engines; where
  those disagree with jsonschema-rs, the pattern is listed as a disagreement with its reason.

Strings that the language holds although jsonschema-rs refuses them are counted ("too large"): the validator
catches them, so they cost time only. The exit code is 1 if there is a false proof, a language that is too
small, or a wrong string. ``regress`` and ``mini-racer`` are optional; a pattern for which one of them takes more
than five seconds or 2 GB is counted.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import time
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jsonschema_rs

import solver
from benchmarks.pattern_engines import NoAnswerError, installed_engines
from solver.loop.trace import Budget
from solver.tasks.errors import SolverError
from solver.tasks.json_schema.dialects import portable_schema
from solver.tasks.json_schema.errors import UnsatisfiableSchema
from solver.tasks.languages.portable import portable_pattern
from solver.tasks.languages.regex import Term, matches
from solver.tasks.languages.regex_parser import PatternError, search_above
from solver.tasks.languages.validator_sets import dialects_of

LISTED = 12  # examples of each kind in the summary

# (weight, pattern, strings that it matches). The strings make subjects that are likely to match.
ATOMS: list[tuple[int, str, str]] = [
    (8, "a", "a"), (6, "b", "b"), (4, "foo", "foo"), (2, "é", "é"), (1, "😀", "😀"), (3, "-", "-"),
    (4, ".", "ax-. é"), (5, r"\d", "07"), (5, r"\w", "a_9"), (3, r"\s", " \t\u00a0"), (2, r"\D", "aé"),
    (2, r"\W", "-é"), (2, r"\S", "aé"), (6, "[a-z]", "abz"), (5, "[a-z0-9]", "a7"), (3, "[^a]", "bé\n"),
    (3, "[0-9]", "09"), (2, "[A-Za-z_]", "A_"), (2, r"[\w.-]", "a.-"), (1, r"[\w-.]", "a-."), (1, "[^]", "\n"),
    (1, "[]a]", "]a"), (1, "[]", ""), (2, r"\.", "."), (2, r"\/", "/"), (1, r"\-", "-"), (1, r"\cJ", "\n"),
    (1, r"\x41", "A"), (1, r"\u0041", "A"), (1, r"\u{1F600}", "😀"), (1, r"\ud83d\ude00", "😀"), (1, r"\t", "\t"),
    (2, r"\p{L}", "aé"), (1, r"\p{Lu}", "AÉ"), (1, r"\P{L}", "1-"), (1, r"\p{Alphabetic}", "aéª"),
    (1, r"\p{Script=Greek}", "α"), (1, r"[\p{L}\d]", "é1"), (1, r"[^\d\s]", "aé"), (1, r"[\s\S]", "a\n"),
    (1, "[a&&b]", "&"), (1, "[[a]", "[a"), (1, "}", "}"), (1, "{", "{"), (1, "]", "]"), (1, r"\0", "\0"),
]  # fmt: skip
ASSERTIONS = [(12, "^"), (12, "$"), (5, r"\b"), (3, r"\B"), (1, r"\A"), (1, r"\z"), (1, r"\Z")]
QUANTIFIERS = ["*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{0,2}", "{2,}", "{1,3}?", "{3}", "{,2}"]
LOOKS = ["(?=", "(?!", "(?=", "(?!", "(?<=", "(?<!"]
FLAGS = ["(?i)", "(?i:a)", "(?m)", "(?s)"]
MARKS = ["", "a", "-", " ", "\n", "0", "é", "A", "😀", "_", ".", "\u2028", "]", "aa", "foo", "$"]


class PatternMaker:
    """Random patterns, each with strings that it matches if its assertions hold."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.groups = rng, 0

    def pattern(self) -> tuple[str, list[str]]:
        """A pattern and some subjects."""
        self.groups = 0
        text, examples = self.alternatives(self.rng.choice([1, 2, 2, 3]))
        style = self.rng.random()
        if style < 0.45:
            text = f"^{text}$"
        elif style < 0.55:
            text = f"^(?:{text})$"
        elif style < 0.65:
            text = "^" + text
        if self.rng.random() < 0.02:
            text = self.rng.choice(FLAGS) + text
        return text, examples

    def alternatives(self, depth: int) -> tuple[str, list[str]]:
        parts = [self.sequence(depth) for _ in range(self.rng.choice([1, 1, 1, 2, 2, 3]))]
        return "|".join(text for text, _ in parts), self.some([s for _, strings in parts for s in strings])

    def sequence(self, depth: int) -> tuple[str, list[str]]:
        text, examples = "", [""]
        for _ in range(self.rng.choice([0, 1, 1, 2, 2, 3, 4])):
            more, strings = self.piece(depth)
            text += more
            examples = self.some([head + tail for head in examples for tail in strings])
        return text, examples

    def piece(self, depth: int) -> tuple[str, list[str]]:
        kind = self.rng.random()
        if kind < 0.2:
            return self.weighted(ASSERTIONS)[0], [""]
        if kind < 0.24 and self.groups:
            return f"\\{self.rng.randint(1, self.groups)}", ["", "a", "b"]
        if kind < 0.5 and depth > 0:
            return self.group(depth - 1)
        text, examples = self.weighted(ATOMS)
        return self.repeated(text, [*examples])

    def group(self, depth: int) -> tuple[str, list[str]]:
        if self.rng.random() < 0.3:
            text, _ = self.alternatives(depth)
            return self.rng.choice(LOOKS) + text + ")", [""]
        prefix = self.rng.choice(["(", "(", "(?:", "(?:", "(?<n>", "(?P<n>"])
        if prefix != "(?:":
            self.groups += 1
        text, examples = self.alternatives(depth)
        if "n>" in prefix:
            prefix = prefix.replace("n", f"n{self.groups}")
        return self.repeated(f"{prefix}{text})", examples)

    def repeated(self, text: str, examples: list[str]) -> tuple[str, list[str]]:
        if self.rng.random() < 0.6:
            return text, examples or [""]
        strings = ["", *examples, *(self.rng.choice(examples or [""]) + one for one in examples)]
        strings += [one * self.rng.choice([2, 3]) for one in examples]
        single = len(text) == 1 or text[0] in "([\\"
        return (text if single else f"(?:{text})") + self.rng.choice(QUANTIFIERS), self.some(strings)

    def weighted(self, options: list[Any]) -> Any:
        return self.rng.choices(options, [option[0] for option in options])[0][1:]

    def some(self, strings: list[str]) -> list[str]:
        return self.rng.sample(strings, min(4, len(strings)))

    def subjects(self, examples: list[str]) -> list[str]:
        """The examples, variants of them, and strings that have nothing to do with them."""
        mutated = []
        for example in examples:
            split = self.rng.randint(0, len(example))
            mutated += [example[:split] + self.rng.choice(MARKS) + example[split:], example[:split]]
            mutated += [self.rng.choice(MARKS) + example, example + self.rng.choice(MARKS)]
        return list(dict.fromkeys([*examples, *mutated, *self.some(MARKS), self.rng.choice(MARKS) * 2, ""]))


def reason_of(pattern: str, subject: str) -> str:
    """Why jsonschema-rs and an ECMA 262 engine disagree; "unexplained" if no known difference is involved."""
    if not subject.isascii() and re.search(r"\\[bB]", pattern):
        return r"\b and \B consider all letters of Unicode in jsonschema-rs, ASCII in ECMA 262"
    if dialects_of(pattern)[0].is_raw and (not subject.isascii() or "\r" in subject):
        return r"with lookaround, \d, \w, \s and . are those of Unicode in jsonschema-rs"
    if any(rf"\{digit}" in pattern for digit in "123456789"):
        return "a backreference to a group that took no part matches nothing in jsonschema-rs"
    return "unexplained"


class Fuzzer:
    """Counts and examples of one run."""

    def __init__(self, seed: int, schemas: float) -> None:
        self.rng = random.Random(seed)
        self.maker, self.engines, self.schemas = PatternMaker(self.rng), installed_engines(), schemas
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = defaultdict(list)

    def note(self, kind: str, *what: object) -> None:
        self.counts[kind] += 1
        if len(self.examples[kind]) < LISTED:
            self.examples[kind].append(" ".join(one if isinstance(one, str) else repr(one) for one in what))

    def run_one(self) -> None:
        """Make a pattern and check it."""
        pattern, examples = self.maker.pattern()
        subjects = self.maker.subjects(examples)
        self.counts["patterns"] += 1
        try:
            validator = jsonschema_rs.Draft202012Validator({"pattern": portable_pattern(pattern)})
        except ValueError:
            self.counts["refused by jsonschema-rs"] += 1
            return
        self.counts["rewritten for jsonschema-rs"] += portable_pattern(pattern) != pattern
        try:
            term, exact = search_above(pattern)
        except PatternError as error:
            self.note("left to the validator", [pattern], str(error).rsplit(":")[-1])
            term, exact = None, False
        else:
            self.counts["exact" if exact else "approximated"] += 1
        accepted = [subject for subject in subjects if validator.is_valid(subject)]
        if term is not None:
            self.check_language(pattern, term, exact, subjects, frozenset(accepted))
        self.compare_engines(pattern, subjects, frozenset(accepted))
        if self.rng.random() < self.schemas:
            self.check_schemas(pattern, accepted, validator)

    def check_language(
        self, pattern: str, term: Term, exact: bool, subjects: list[str], accepted: frozenset[str]
    ) -> None:
        for subject in subjects:
            self.counts["strings"] += 1
            inside = matches(term, subject)
            if subject in accepted and not inside:
                self.note("too small", [pattern, subject])
            elif inside and subject not in accepted:
                self.note("exact but too large" if exact else "too large", [pattern, subject])

    def verdicts(self, pattern: str, subjects: list[str]) -> dict[str, list[bool] | None]:
        """What each ECMA 262 engine says about the subjects; None if it refuses the pattern."""
        answers = {}
        for engine in self.engines:
            try:
                answers[engine.name] = engine.verdicts(pattern, subjects)
            except NoAnswerError:
                self.note(f"beyond the limits of {engine.name}", [pattern])
        return answers

    def compare_engines(self, pattern: str, subjects: list[str], accepted: frozenset[str]) -> None:
        for name, answer in self.verdicts(pattern, subjects).items():
            if answer is None:
                self.counts[f"refused by {name}"] += 1
                continue
            for subject, is_found in zip(subjects, answer, strict=True):
                if is_found != (subject in accepted):
                    self.note(f"disagreements: {reason_of(pattern, subject)}", name, [pattern, subject])

    def check_schemas(self, pattern: str, accepted: list[str], validator: Any) -> None:
        """Fill schemas with the pattern; those with a known string must not be called unsatisfiable."""
        schemas: list[Any] = [{"type": "string", "pattern": pattern, "maxLength": 40}]
        if accepted:
            subject = self.rng.choice(accepted)
            members = {"patternProperties": {pattern: {"const": 1}}, "additionalProperties": False}
            schemas += [
                {"enum": [subject], "pattern": pattern},
                self.rng.choice(
                    [
                        {"const": subject, "not": {"not": {"pattern": pattern}}},
                        {"const": {subject: 1}, "propertyNames": {"pattern": pattern}},
                        {"const": {subject: 1}, **members},
                        {"type": "object", "required": [subject], **members},
                    ]
                ),
            ]
        refused = next((s for s in self.maker.subjects(accepted) if not validator.is_valid(s)), None)
        if refused is not None:
            schemas.append({"const": refused, "not": {"pattern": pattern}})
        for index, schema in enumerate(schemas):
            known = index > 0 or bool(accepted)
            self.check_schema(schema, known, pattern if index == 0 else None)

    def check_schema(self, schema: Any, known: bool, pattern: str | None) -> None:
        self.counts["fills"] += 1
        started = time.process_time()
        try:
            candidate = solver.fill(schema, denoiser="random", budget=Budget(forwards=8), length=256)
        except UnsatisfiableSchema:
            self.note("false proof" if known else "proofs", json.dumps(schema))
        except SolverError as error:
            self.note(f"no result: {type(error).__name__}", json.dumps(schema))
        else:
            self.counts["solved"] += 1
            if not jsonschema_rs.is_valid(portable_schema(schema), candidate.value):
                self.note("wrong", json.dumps(schema), [candidate.value])
            if pattern is not None:
                self.judge(pattern, candidate.value)
        if (seconds := time.process_time() - started) > 5:
            self.note("slow", f"{seconds:.1f} s", json.dumps(schema))

    def judge(self, pattern: str, subject: str) -> None:
        """Ask the ECMA 262 engines for a string that was written."""
        for name, answer in self.verdicts(pattern, [subject]).items():
            if answer == [False]:
                reason = reason_of(pattern, subject)
                self.note(f"written, but refused by {name}: {reason}", [pattern, subject])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=5000, help="number of patterns")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--schemas", type=float, default=1.0, help="share of patterns that are also filled")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    settings = parser.parse_args()
    solver.fill(
        {"const": 0}, denoiser="random", length=4
    )  # compiles the kernels, so that no pattern is called slow
    fuzzer = Fuzzer(settings.seed, settings.schemas)
    with suppress(KeyboardInterrupt):  # an interrupted run has a summary, too
        for number in range(1, settings.count + 1):
            fuzzer.run_one()
            if number % 50 == 0:
                progress = f"{number} patterns, {fuzzer.counts['false proof']} false proofs"
                print(f"\r{progress}, {fuzzer.counts['too small']} too small", end="", file=sys.stderr)
    print(file=sys.stderr)
    failures = sum(fuzzer.counts[kind] for kind in ("false proof", "too small", "wrong"))
    if settings.json:
        report = {**vars(settings), "counts": fuzzer.counts, "examples": fuzzer.examples}
        print(json.dumps(report, ensure_ascii=False))
    else:
        names = ["jsonschema-rs", *(engine.name for engine in fuzzer.engines)]
        print(f"seed {settings.seed}, engines: {', '.join(names)}")
        for kind, count in sorted(fuzzer.counts.items()):
            print(f"{count:8} {kind}")
            for example in fuzzer.examples.get(kind, ()):
                print(f"           {example}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
