"""``solver.generate``: text from a diffusion language model under templates, schemas, patterns and checks.

    import solver
    candidate = solver.generate(
        model,
        tokenizer,
        messages=[{"role": "user", "content": "When was Ada born?"}],
        template=['{"born": ', solver.Hole(4), "}"],
        check=lambda draft: "1815" in draft.text,
        candidates=4,
    )
    candidate.text, candidate.status, candidate.alternatives

``model`` is a transformers model (DiffusionGemma, or one with a mask token), a denoiser, or a folder or id to
load. A candidate is "solved" only if the check has passed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch

from solver.api.candidate import Candidate, mean_log_probability, rank
from solver.api.fill import as_schema
from solver.kernels.lattice import Slots
from solver.llm import prompts
from solver.llm.pretrained import adapt, open_model
from solver.llm.tokenizer import TokenizerBridge
from solver.loop.engine import solve
from solver.loop.policy import Policy
from solver.loop.trace import Budget, Counters, Outcome, Step
from solver.models.protocol import TextDenoiser
from solver.tasks.arguments import Check, Natural, Positive, validated
from solver.tasks.errors import InvalidArgument
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.languages.constrained_text import ConstrainedText, pattern_check, schema_check
from solver.tasks.languages.grammar import PatternGrammar
from solver.tasks.languages.unroll import unroll
from solver.tasks.task import Tokens
from solver.tasks.text import Draft, Hole, Text, TextTask, text_from_template

LENGTH = 64  # tokens of free text if neither the caller nor the model limits it
ATTEMPTS = 10  # default budget of a canvas, in schedules of the policy
BYTES_PER_TOKEN = 6  # upper bound for the automaton of a schema or pattern
MIN_BYTES, MAX_BYTES = 256, 4096  # limits of that automaton's texts

Messages = Sequence[dict[str, str]]
Watch = Callable[[int, int, str], None]


@validated
def generate(
    model: Any,
    tokenizer: Any = None,
    messages: Messages | Sequence[Messages] | None = None,
    prompt: str | Sequence[str] | None = None,
    *,
    template: Sequence[str | Hole] | None = None,
    check: Check[Draft] | None = None,
    length: Positive | None = None,
    candidates: Positive = 1,
    budget: Budget | None = None,
    policy: Policy | None = None,
    stop: Literal["valid", "stable"] | None = None,
    seed: Natural = 0,
    batch: Positive = 8,
    watch: Watch | None = None,
    schema: Any = None,
    regex: str | None = None,
) -> Candidate | list[Candidate]:
    """Generate text and return the best candidate, or a list of them for a list of prompts.

    Args:
        model: a transformers model, a text denoiser, or a folder or id to load.
        tokenizer: its tokenizer; not needed for a folder or an id.
        messages: a conversation, or a list of conversations.
        prompt: a prompt, or a list of prompts, instead of messages. They may differ in length.
        template: literals, which appear in the answer byte for byte, and holes (sizes in tokens).
        check: called with each :class:`~solver.tasks.text.Draft`; solver.tasks.arguments says what it may
            return.
        length: maximum tokens of free text. More than the model's canvas makes several canvases.
        candidates: answers per prompt, all from one prefill, each with its own noise.
        budget: limits of each canvas of each candidate, by default ten of the model's own schedules.
        policy: the loop's policy, by default the model's own.
        stop: "valid" stops at the first draft that passes (the default with a check); "stable" also waits
            until a draft is unchanged and confident (the default without).
        seed: seed of all randomness.
        batch: canvases per forward.
        watch: called with (prompt number, candidate number, text of the draft) after every forward.
        schema: a JSON schema or pydantic model; the whole text is an instance of it.
        regex: a pattern that the whole text matches. Schema and regex condition every draft, all cells
            jointly, and the text fits one canvas.

    Returns:
        The best candidate, "solved" if its check passed, with the others as its alternatives.

    Raises:
        InvalidArgument: an argument has the wrong type or value.
        ModelError: the model cannot be used.
        SchemaError: ``schema`` is not a JSON schema.
        PatternError: ``regex`` is not a supported pattern.
        FillError: no text of the schema fits.
    """
    denoiser, tokenizer = as_denoiser(model, tokenizer)
    asked, is_single = encode_prompts(messages, prompt, tokenizer)

    # The canvas, and the task that checks it.
    bridge = TokenizerBridge(denoiser, tokenizer)
    problem, blocks = first_canvas(bridge, template, length)
    for ids in asked:
        prompts.check_fit(denoiser, len(ids), len(problem.tokens) * blocks)
    is_constrained = schema is not None or regex is not None
    if is_constrained:
        if blocks > 1:
            raise InvalidArgument(
                "a text of a schema or a pattern fits one canvas, and the model's has "
                f"{denoiser.length} tokens"
            )
        task: TextTask = constrained_task(bridge, problem, template is None, schema, regex, check)
    else:
        allowed = bridge.allowed(is_free=template is None)
        task = TextTask(denoiser.vocab, bridge.decode, check, bridge.ends, allowed)

    # Solve all candidates of all prompts as one stream.
    stop = stop or ("valid" if check is not None or is_constrained else "stable")
    policy = fit_policy(policy or denoiser.policy, len(problem.tokens), stop, candidates)
    budget = budget or Budget(forwards=ATTEMPTS * policy.search.rounds)
    run = GenerationRun(task, denoiser, policy, budget, batch, candidates, watch, parse=schema is not None)
    rows = [(index, n) for index in range(len(asked)) for n in range(candidates)]
    problems = [replace(problem, prompt=asked[index]) for index, _ in rows]
    answers = run.solve(problems, [seed + n for _, n in rows], blocks)
    best = [rank(answers[start : start + candidates]) for start in range(0, len(rows), candidates)]
    return best[0] if is_single else best


def as_denoiser(model: Any, tokenizer: Any) -> tuple[TextDenoiser, Any]:
    """The denoiser and the tokenizer that the arguments describe. Raises InvalidArgument and ModelError."""
    if isinstance(model, str):
        model, loaded = open_model(model)
        tokenizer = tokenizer or loaded
    if tokenizer is None:
        raise InvalidArgument("a tokenizer is needed with a model that is loaded already")
    if not (hasattr(tokenizer, "encode") and hasattr(tokenizer, "decode") and hasattr(tokenizer, "__len__")):
        raise InvalidArgument(f"tokenizer must be a transformers tokenizer, not {type(tokenizer).__name__}")
    if isinstance(model, TextDenoiser):
        return model, tokenizer
    if not hasattr(model, "config"):
        raise InvalidArgument(
            "model must be a transformers model, a text denoiser, a folder or an id, "
            f"not {type(model).__name__}"
        )
    return adapt(model, tokenizer), tokenizer


def encode_prompts(messages: Any, prompt: Any, tokenizer: Any) -> tuple[list[Tokens], bool]:
    """The tokens of all prompts, and whether the caller gave a single one. Raises InvalidArgument."""
    if (messages is None) == (prompt is None):
        raise InvalidArgument("give either messages or a prompt")
    if not (messages or prompt or isinstance(prompt, str)):
        raise InvalidArgument("there are no messages" if prompt is None else "there are no prompts")
    if messages is None:
        is_single = isinstance(prompt, str)
        encoded = [list(tokenizer.encode(text)) for text in ([prompt] if is_single else prompt)]
    else:
        is_single = isinstance(messages[0], dict)
        conversations = [messages] if is_single else messages
        if not all("content" in message for conversation in conversations for message in conversation):
            raise InvalidArgument("each message must have a role and content")
        encoded = [prompts.chat(tokenizer, conversation) for conversation in conversations]
    first = tokenizer.bos_token_id
    return [np.array(ids or ([] if first is None else [first]), np.int64) for ids in encoded], is_single


def first_canvas(
    bridge: TokenizerBridge, template: Sequence[str | Hole] | None, length: int | None
) -> tuple[Text, int]:
    """The first canvas without its prompt, and the number of canvases. Raises InvalidArgument."""
    limit = bridge.denoiser.length
    if template is None:
        total = length or limit or LENGTH
        cells = min(total, limit) if limit else total
        is_open = np.zeros(cells, bool)
        problem = Text(np.zeros(0, np.int64), np.zeros(cells, np.int64), is_open, is_open.copy())
        return problem, math.ceil(total / cells)
    room = min(size for size in (length, limit, math.inf) if size)
    available = LENGTH if room == math.inf else int(room) - (bridge.end is not None)
    problem = text_from_template(template, bridge.encode, bridge.decode, available)
    if bridge.end is not None:  # shows the model that nothing follows
        problem = replace(
            problem,
            tokens=np.append(problem.tokens, bridge.end),
            pinned=np.append(problem.pinned, True),
            known=np.append(problem.known, True),
        )
    if len(problem.tokens) > room:
        raise InvalidArgument(
            f"the template takes {len(problem.tokens)} tokens, its end included, "
            f"and the canvas has {room:.0f}"
        )
    return problem, 1


def constrained_task(
    bridge: TokenizerBridge,
    problem: Text,
    is_free: bool,
    schema: Any,
    regex: str | None,
    check: Check[Draft] | None,
) -> ConstrainedText:
    """The task whose texts are in the language of the schema or of the pattern, and pass the check.

    Raises FillError, SchemaError, PatternError and InvalidArgument.
    """
    if schema is not None and regex is not None:
        raise InvalidArgument("give either a schema or a regex")
    length = min(max(MIN_BYTES, BYTES_PER_TOKEN * len(problem.tokens)), MAX_BYTES)
    pinned = problem.pinned
    if regex is not None:
        unrolled = unroll(PatternGrammar(regex, full=True), length)
        if unrolled.is_empty:
            raise InvalidArgument(f"no text of at most {length} bytes matches {regex[:80]!r}")
        full_check = pattern_check(regex, check)
    else:
        pieces = bridge.pieces(problem, BYTES_PER_TOKEN) if pinned.any() else None
        json_problem = JsonProblem.of(as_schema(schema), template=pieces, length=length)
        unrolled, full_check = json_problem.unrolled, schema_check(json_problem.validator, check)
    # A token that ends the text may come at the end of each run of open cells.
    pinned_ends = np.isin(problem.tokens, sorted(bridge.ends)) & pinned
    inside = ~pinned | pinned_ends
    slots = Slots(inside, inside & np.append(~inside[1:], True))
    return ConstrainedText(
        bridge.denoiser.vocab,
        bridge.decode,
        full_check,
        bridge.ends,
        bridge.allowed(is_free),
        unrolled,
        bridge.token_bytes(),
        slots,
    )


def fit_policy(policy: Policy, cells: int, stop: Literal["valid", "stable"], candidates: int) -> Policy:
    """The policy for a canvas of ``cells``.

    A policy that accepts a cell per forward needs enough rounds for all of them. Several candidates must
    differ, so what they see is sampled.
    """
    rounds = policy.search.rounds
    if policy.remask.keep_visible:
        rounds = max(rounds, cells + cells // 4)
    return policy.with_(stop=stop, rounds=rounds, sample=policy.accept.sample or candidates > 1)


@dataclass(frozen=True)
class GenerationRun:
    """The settings that all rows of one call share. A row is one candidate of one prompt.

    Attributes:
        task: checks the texts.
        denoiser: the model.
        policy: the loop's policy.
        budget: limits of each canvas.
        batch: canvases per forward.
        candidates: rows per prompt.
        watch: called with (prompt number, candidate number, text) after every forward, or None.
        parse: whether a solved text is JSON.
    """

    task: TextTask
    denoiser: TextDenoiser
    policy: Policy
    budget: Budget
    batch: int
    candidates: int
    watch: Watch | None
    parse: bool = False

    def solve(self, problems: list[Text], seeds: list[int], blocks: int) -> list[Candidate]:
        """Solve all rows, canvas after canvas; a row stops when its text ends or a canvas is not solved."""
        task, problems = self.task, list(problems)
        outcomes: list[list[Outcome]] = [[] for _ in problems]
        live = list(range(len(problems)))
        state = self.denoiser.prefill([task.encode(problem) for problem in problems], seeds)
        for block in range(blocks):
            is_last = block == blocks - 1
            current = [replace(problems[row], complete=is_last) for row in live]
            block_seeds = [seeds[row] + block * len(problems) for row in live]
            canvases = [task.encode(problem) for problem in current]
            for n, event in solve(
                task,
                current,
                self.denoiser,
                self.policy,
                self.budget,
                block_seeds,
                self.batch,
                canvases,
                state,
            ):
                if isinstance(event, Outcome):
                    outcomes[live[n]].append(event)
                elif self.watch is not None and isinstance(event, Step):
                    prompt_number, candidate_number = divmod(live[n], self.candidates)
                    self.watch(prompt_number, candidate_number, task.decode(current[n], event.draft))
            going = [n for n, row in enumerate(live) if has_next_canvas(task, outcomes[row][-1])]
            if is_last or not going:
                break
            # The text so far precedes the next canvas, in the problem and in the model's cache.
            for n in going:
                text = task.decode(current[n], outcomes[live[n]][-1].tokens)
                problems[live[n]] = replace(current[n], before=text)
            written = torch.tensor(np.stack([outcomes[live[n]][-1].tokens for n in going]))
            state, live = self.denoiser.extend(state.select(going), written), [live[n] for n in going]
        return [self.candidate(problem, rows) for problem, rows in zip(problems, outcomes, strict=True)]

    def candidate(self, problem: Text, outcomes: list[Outcome]) -> Candidate:
        """The canvases of a row as one candidate."""
        last = outcomes[-1]
        tokens = np.concatenate([outcome.tokens for outcome in outcomes])
        pinned = np.tile(problem.pinned, len(outcomes))
        confidence = np.concatenate([outcome.confidence for outcome in outcomes])
        confidence = np.where(pinned, 1.0, confidence).astype(np.float32)
        written = confidence[~pinned][: max(1, len(self.task.before_end(tokens)))]
        text, is_solved = self.task.decode(problem, last.tokens), last.status == "solved"
        holes = [tokens[start : start + size].tolist() for start, size in problem.holes]
        return Candidate(
            text,
            value=json.loads(text) if self.parse and is_solved else None,
            status="solved" if is_solved else "exhausted",
            score=mean_log_probability(written),
            confidence=confidence,
            tokens=tokens,
            violations=last.violations,
            fills=tuple(self.task.detokenize(ids) for ids in holes),
            counters=sum((outcome.counters for outcome in outcomes), Counters()),
        )


def has_next_canvas(task: TextTask, outcome: Outcome) -> bool:
    """Whether the text goes on: this canvas was solved, and contains no token that ends it."""
    return outcome.status == "solved" and len(task.before_end(outcome.tokens)) == len(outcome.tokens)
