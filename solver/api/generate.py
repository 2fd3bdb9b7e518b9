"""Text from a diffusion language model under pins and checks: ``solver.generate``.

    import solver
    found = solver.generate(model, tokenizer, messages=[{"role": "user", "content": "When was Ada born?"}],
                            template=['{"born": ', solver.Hole(4), "}"], check=valid, candidates=4)
    found.text, found.status            # the best candidate; found.candidates has all of them, the best first

``model`` is a transformers model (DiffusionGemma, or one with a mask token), a denoiser of ours, or a folder or id to load.
The loop is ``refine.py``'s: draft, check, re-mask what is wrong, again. Nothing is called solved that the check has not passed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch

from solver.api.fill import as_schema
from solver.kernels import reference
from solver.kernels.lattice import Slots
from solver.llm import prompts
from solver.llm.pretrained import adapt, open_model
from solver.loop.engine import solve
from solver.loop.policy import Policy
from solver.loop.trace import Budget, Counters, Outcome, Step
from solver.models.protocol import ModelError, TextDenoiser
from solver.tasks.canvas import Tokens
from solver.tasks.checks import Check
from solver.tasks.json_schema.task import JsonProblem
from solver.tasks.languages.constrained_text import ConstrainedText, pattern_check, schema_check
from solver.tasks.languages.grammar import PatternGrammar
from solver.tasks.languages.token_automaton import TokenBytes
from solver.tasks.languages.unroll import unroll
from solver.tasks.text import Draft, Hole, Text, TextTask, lay_out

LENGTH = 64  # tokens of free text where neither the caller nor the model says how many
ATTEMPTS = 10  # schedules' worth of forwards that a canvas gets by default

Messages = Sequence[dict[str, str]]


@dataclass(frozen=True, eq=False)
class Candidate:
    """One answer. text: as far as its end.  status: "solved" (the check passed) or "exhausted" (the best draft, and its
    ``faults``).

    tokens: of all its canvases.  confidence: what the model gave each of them, 1 where pinned.  score: the mean log-probability
    of the open ones in the draft that was taken.  counters: what it cost, canvases together.
    """

    text: str
    status: Literal["solved", "exhausted"]
    tokens: Tokens
    confidence: np.ndarray
    score: float
    faults: tuple[str, ...]
    counters: Counters


@dataclass(frozen=True, eq=False)
class Generation:
    """The candidates for one prompt, solved ones first, then by score."""

    candidates: tuple[Candidate, ...]

    @property
    def best(self) -> Candidate:
        return self.candidates[0]

    @property
    def text(self) -> str:
        return self.best.text

    @property
    def status(self) -> str:
        return self.best.status


Watch = Callable[[int, int, str], None]  # prompt, candidate, draft


def generate(
    model: Any,
    tokenizer: Any = None,
    messages: Messages | Sequence[Messages] | None = None,
    prompt: str | Sequence[str] | None = None,
    *,
    template: Sequence[str | Hole] | None = None,
    check: Check[Draft] | None = None,
    length: int | None = None,
    candidates: int = 1,
    budget: Budget | None = None,
    policy: Policy | None = None,
    stop: Literal["valid", "stable"] | None = None,
    seed: int = 0,
    batch: int = 8,
    watch: Watch | None = None,
    schema: Any = None,
    regex: str | None = None,
) -> Generation | list[Generation]:
    """Generate text. A list of prompts (or of conversations) goes through together, whatever their lengths, and gives a list.

    template: literals, which stand in the answer byte for byte, and :class:`Hole` for what is to be written.
    check: called with each :class:`~solver.tasks.text.Draft`; solver.tasks.checks has what it may return.
    length: tokens of free text at most; more than the model's canvas makes several canvases, one after another.
    candidates: answers a prompt, all from one prefill, each with its own noise.
    budget: of each canvas of each candidate; by default ten of the model's own schedules.
    stop: at the first draft that is "valid" (default where there is a check), or valid and "stable" (default without).
    watch: called with (prompt, candidate, draft's text) after every forward.
    schema, regex: the whole text is an instance of this JSON schema (or pydantic model), or matches this pattern from
        beginning to end. Every draft is conditioned on it, all cells jointly, and fits one canvas.

    Raises :class:`~solver.tasks.json_schema.errors.FillError` where no text of the schema fits, and
    :class:`~solver.models.protocol.ModelError` (a ValueError) in one line for what cannot work.
    """
    if isinstance(model, str):
        model, loaded = open_model(model)
        tokenizer = tokenizer or loaded
    if tokenizer is None:
        raise ModelError("a tokenizer is needed beside the model")
    denoiser = model if isinstance(model, TextDenoiser) else adapt(model, tokenizer)
    asked, single = read(messages, prompt, tokenizer)
    if candidates < 1:
        raise ModelError(f"candidates must be at least 1, not {candidates}")
    words = Words(denoiser, tokenizer)
    problem, blocks = words.canvas(template, length)
    for ids in asked:
        prompts.fits(denoiser, len(ids), len(problem.tokens) * blocks)
    allowed = words.allowed(free=template is None)
    task = TextTask(denoiser.vocab, words.decode, check, words.ends, allowed)
    if schema is not None or regex is not None:
        if blocks > 1:
            raise ModelError(
                f"a text of a schema or a pattern fits one canvas, and the model's has {denoiser.length} tokens"
            )
        task = constrained(words, problem, allowed, schema, regex, check)
        check = check or (lambda draft: ())  # there is one: stop at the first draft that passes it
    policy = suit(
        policy or denoiser.policy, len(problem.tokens), stop or ("valid" if check else "stable"), candidates
    )
    budget = budget or Budget(forwards=ATTEMPTS * policy.search.rounds)
    rows = [(at, seed + n) for at in range(len(asked)) for n in range(candidates)]
    problems = [replace(problem, prompt=asked[at]) for at, _ in rows]
    found = canvases(
        task, denoiser, problems, [own for _, own in rows], blocks, policy, budget, batch, candidates, watch
    )
    ranked = [rank(found[at * candidates : (at + 1) * candidates]) for at in range(len(asked))]
    return ranked[0] if single else ranked


BYTES = 6  # of text a token, at most, that an automaton is made for


def constrained(
    words: Words,
    problem: Text,
    allowed: np.ndarray,
    schema: Any,
    regex: str | None,
    check: Check[Draft] | None,
) -> ConstrainedText:
    """The task with a language. Raises FillError, SchemaError, PatternError."""
    if schema is not None and regex is not None:
        raise ModelError("give either a schema or a regex")
    length = min(max(256, BYTES * len(problem.tokens)), 4096)
    pinned = problem.pinned
    if regex is not None:
        unrolled = unroll(PatternGrammar(regex, full=True), length)
        if unrolled.is_empty:
            raise ModelError(f"no text of at most {length} bytes matches {regex[:80]!r}")
        also = pattern_check(regex, check)
    else:
        pieces = words.pieces(problem)
        form = JsonProblem.of(as_schema(schema), template=pieces if pinned.any() else None, length=length)
        unrolled, also = form.unrolled, schema_check(form.validator, check)
    ends = np.isin(problem.tokens, sorted(words.ends)) & pinned
    inside = ~pinned | ends
    last = inside & np.append(~inside[1:], True)
    slots = Slots(inside, last)
    return ConstrainedText(
        words.denoiser.vocab, words.decode, also, words.ends, allowed, unrolled, words.bytes(), slots
    )


def read(messages: Any, prompt: Any, tokenizer: Any) -> tuple[list[Tokens], bool]:
    """The prompts' tokens, and whether the caller gave just one."""
    if (messages is None) == (prompt is None):
        raise ModelError("give either messages or a prompt")
    if messages is not None:
        if not len(messages):
            raise ModelError("there are no messages")
        single = isinstance(messages[0], dict)
        ids = [prompts.chat(tokenizer, conversation) for conversation in ([messages] if single else messages)]
    else:
        single = isinstance(prompt, str)
        ids = [list(tokenizer.encode(text)) for text in ([prompt] if single else prompt)]
    first = tokenizer.bos_token_id
    return [np.array(one or ([] if first is None else [first]), np.int64) for one in ids], single


class Words:
    """What a tokenizer and a denoiser say together about tokens."""

    def __init__(self, denoiser: TextDenoiser, tokenizer: Any) -> None:
        self.denoiser, self.tokenizer = denoiser, tokenizer
        if len(tokenizer) > denoiser.vocab:
            raise ModelError(
                f"the tokenizer has {len(tokenizer)} tokens, the model {denoiser.vocab}: not a pair"
            )
        ends = prompts.ends(getattr(denoiser, "model", None))
        self.end: int | None = (
            tokenizer.eos_token_id if tokenizer.eos_token_id is not None else next(iter(ends), None)
        )
        self.ends = frozenset({*ends, self.end, tokenizer.pad_token_id} - {None})

    def encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def decode(self, ids: list[int]) -> str:
        text: str = self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text

    def bytes(self) -> TokenBytes:
        """The bytes of every token that may stand in a text."""
        texts = prompts.token_bytes(self.tokenizer)
        texts += [b""] * (self.denoiser.vocab - len(texts))
        for token in (*self.denoiser.forbidden, *self.ends):
            texts[token] = b""
        return TokenBytes(tuple(texts))

    def pieces(self, problem: Text) -> list[str | Hole]:
        """A template's literals and holes, as the schema's grammar wants to see them."""
        found: list[str | Hole] = []
        runs = np.flatnonzero(np.diff(problem.pinned.astype(int))) + 1
        for cells in np.split(np.arange(len(problem.tokens)), runs):
            if problem.pinned[cells[0]]:
                found.append(
                    self.decode([int(token) for token in problem.tokens[cells] if token not in self.ends])
                )
            else:
                found.append(Hole(BYTES * len(cells)))
        return found

    def canvas(self, template: Sequence[str | Hole] | None, length: int | None) -> tuple[Text, int]:
        """The first canvas, and how many there are."""
        most = self.denoiser.length
        if template is None:
            whole = length or most or LENGTH
            cells = min(whole, most) if most else whole
            blank = np.zeros(cells, bool)
            return Text(np.zeros(0, np.int64), np.zeros(cells, np.int64), blank, blank.copy()), math.ceil(
                whole / cells
            )
        try:
            problem = lay_out(template, self.encode, self.decode)
        except ValueError as error:
            raise ModelError(str(error)) from error
        if self.end is not None:  # so that the model knows that nothing follows
            problem = replace(
                problem,
                tokens=np.append(problem.tokens, self.end),
                pinned=np.append(problem.pinned, True),
                known=np.append(problem.known, True),
            )
        limit = min(value for value in (length, most, math.inf) if value)
        if len(problem.tokens) > limit:
            raise ModelError(
                f"the template takes {len(problem.tokens)} tokens, its end included, and the canvas has {limit:.0f}"
            )
        return problem, 1

    def allowed(self, free: bool) -> np.ndarray:
        """Bitmask (W,) of what an open cell may hold: no special token but, in ``free`` text, those that end it."""
        may = torch.zeros(self.denoiser.vocab, dtype=torch.bool)
        may[: len(self.tokenizer)] = True
        may[list(self.tokenizer.all_special_ids)] = False
        if free and self.ends:
            may[sorted(self.ends)] = True
        may[list(self.denoiser.forbidden)] = False
        return reference.pack(may).numpy()


def suit(policy: Policy, cells: int, stop: Literal["valid", "stable"], candidates: int) -> Policy:
    """The policy for a canvas: where a cell a forward is shown, there must be forwards for all of them; several candidates must
    differ, so what they are shown is drawn."""
    rounds = policy.search.rounds
    if policy.remask.keep_visible:
        rounds = max(rounds, cells + cells // 4)
    return policy.with_(stop=stop, rounds=rounds, sample=policy.accept.sample or candidates > 1)


def canvases(
    task: TextTask,
    denoiser: TextDenoiser,
    problems: list[Text],
    seeds: list[int],
    blocks: int,
    policy: Policy,
    budget: Budget,
    batch: int,
    candidates: int,
    watch: Watch | None,
) -> list[Candidate]:
    """Canvas after canvas for every row; a row is done when its text has ended, or when a canvas of it could not be solved."""
    outcomes: list[list[Outcome]] = [[] for _ in problems]
    live, state = (
        list(range(len(problems))),
        denoiser.prefill([task.encode(problem) for problem in problems], seeds),
    )
    for block in range(blocks):
        now = [replace(problems[row], complete=block == blocks - 1) for row in live]
        encoded = [task.encode(problem) for problem in now]
        own = [seeds[row] + block * len(problems) for row in live]
        for at, event in solve(task, now, denoiser, policy, budget, own, batch, encoded, state):
            row = live[at]
            if isinstance(event, Outcome):
                outcomes[row].append(event)
            elif watch is not None and isinstance(event, Step):
                watch(row // candidates, row % candidates, task.decode(now[at], event.draft))
        if block == blocks - 1:
            break
        going = [at for at, row in enumerate(live) if unended(task, outcomes[row][-1])]
        if not going:
            break
        for at in going:  # the text so far stands before the next canvas
            problems[live[at]] = replace(now[at], before=task.decode(now[at], outcomes[live[at]][-1].tokens))
        written = torch.tensor(np.stack([outcomes[live[at]][-1].tokens for at in going]))
        state, live = denoiser.extend(state.select(going), written), [live[at] for at in going]
    return [candidate(task, problem, found) for problem, found in zip(problems, outcomes, strict=True)]


def unended(task: TextTask, outcome: Outcome) -> bool:
    """Whether another canvas follows: this one was solved, and nothing in it ends the text."""
    return outcome.status == "solved" and len(task.before_end(outcome.tokens)) == len(outcome.tokens)


def candidate(task: TextTask, problem: Text, outcomes: list[Outcome]) -> Candidate:
    """A row's canvases as one answer."""
    last = outcomes[-1]
    tokens, confidence = (
        np.concatenate([getattr(o, name) for o in outcomes]) for name in ("tokens", "confidence")
    )
    pinned = np.tile(problem.pinned, len(outcomes))
    confidence = np.where(pinned, 1.0, confidence).astype(np.float32)
    taken = confidence[~pinned][: max(1, len(task.before_end(tokens)))]
    return Candidate(
        text=task.decode(problem, last.tokens),
        status="solved" if last.status == "solved" else "exhausted",
        tokens=tokens,
        confidence=confidence,
        score=float(np.log(np.maximum(taken, 1e-9)).mean()) if len(taken) else 0.0,
        faults=tuple(violation.message for violation in last.violations),
        counters=sum((outcome.counters for outcome in outcomes), Counters()),
    )


def rank(found: Sequence[Candidate]) -> Generation:
    """Solved first, then by score; equal ones keep their order."""
    return Generation(tuple(sorted(found, key=lambda one: (one.status != "solved", -one.score))))
