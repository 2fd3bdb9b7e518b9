"""``solver.generate``: text from a diffusion language model, constrained by templates, schemas or checks.

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
load. The check returns None or True if the text passes, otherwise False, a message or violations. A candidate
is "solved" only if its check passed.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict, Unpack, overload

import numpy as np
import torch

from solver.api.candidate import Candidate, mean_log_probability, rank
from solver.api.fill import as_schema
from solver.kernels.lattice import Slots
from solver.llm import prompts
from solver.llm.pretrained import adapt, open_model
from solver.llm.tokenizer import TokenizerBridge, first_canvas
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
from solver.tasks.text import Draft, Hole, Text, TextTask

ATTEMPTS = 10  # default budget: forwards = ATTEMPTS x the policy's rounds for this canvas
# The automaton of a schema or pattern has texts of up to BYTES_PER_TOKEN x tokens bytes, within these limits.
BYTES_PER_TOKEN, MIN_BYTES, MAX_BYTES = 6, 256, 4096

Messages = Sequence[dict[str, str]]
Watch = Callable[[int, int, str], None]


class GenerateOptions(TypedDict, total=False):
    """The keyword options of :func:`generate`, for its overloads."""

    template: Sequence[str | Hole] | None
    check: Check[Draft] | None
    length: Positive | None
    candidates: Positive
    budget: Budget | None
    policy: Policy | None
    stop: Literal["valid", "stable"] | None
    seed: Natural
    batch: Positive
    watch: Watch | None
    schema: Any
    regex: str | None


@overload
def generate(
    model: Any, tokenizer: Any = None, *, prompt: str, **options: Unpack[GenerateOptions]
) -> Candidate: ...
@overload
def generate(
    model: Any, tokenizer: Any = None, *, prompt: list[str], **options: Unpack[GenerateOptions]
) -> list[Candidate]: ...
@overload
def generate(
    model: Any, tokenizer: Any = None, *, messages: Messages, **options: Unpack[GenerateOptions]
) -> Candidate: ...
@overload
def generate(
    model: Any, tokenizer: Any = None, *, messages: Sequence[Messages], **options: Unpack[GenerateOptions]
) -> list[Candidate]: ...
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
        template: literals, which appear in the text byte for byte, and holes (sizes in tokens).
        check: called with each :class:`~solver.tasks.text.Draft`. Returns None or True if the draft passes,
            otherwise False, a message or violations (see solver.tasks.arguments).
        length: maximum tokens of free text, or of the whole template. Free text that is longer than the
            model's canvas is generated in several canvases, one after another.
        candidates: number of candidates per prompt. They share one prefill and differ in their noise.
        budget: limits of each canvas of each candidate. None: forwards = 10 x the policy's rounds.
        policy: settings of the loop. None: the model's default policy.
        stop: "valid" stops at the first draft that passes (the default with a check, a schema or a regex);
            "stable" also waits until a draft is unchanged and confident (the default otherwise).
        seed: seed of all randomness.
        batch: canvases per call.
        watch: called with (prompt number, candidate number, text of the draft) after every forward.
        schema: a JSON schema or pydantic model; the whole text is an instance of it.
        regex: a pattern that the whole text matches. With a schema or a regex, the model's predictions
            are conditioned on the language, all cells jointly, and the text must fit into one canvas.

    Returns:
        The best candidate, "solved" if its check passed; ``alternatives`` holds the other candidates.

    Raises:
        InvalidArgument: an argument has the wrong type or value.
        ModelError: the model cannot be used.
        SchemaError: ``schema`` is not a JSON schema.
        PatternError: ``regex`` is not a supported pattern.
        FillError: no text that satisfies the schema fits into the canvas.
    """
    denoiser, tokenizer = as_denoiser(model, tokenizer)
    prompt_tokens, is_single = encode_prompts(messages, prompt, tokenizer)

    # The canvas, and the task that checks it.
    bridge = TokenizerBridge(denoiser, tokenizer)
    problem, num_canvases = first_canvas(bridge, template, length)
    for ids in prompt_tokens:
        prompts.check_fit(denoiser, len(ids), len(problem.tokens) * num_canvases)
    is_constrained = schema is not None or regex is not None
    if is_constrained:
        if num_canvases > 1:
            raise InvalidArgument(
                "with a schema or a regex the text must fit into one canvas of "
                f"{denoiser.length} tokens; reduce length"
            )
        task: TextTask = constrained_task(bridge, problem, template is None, schema, regex, check)
    else:
        allowed = bridge.allowed(is_free=template is None)
        task = TextTask(denoiser.vocab, bridge.decode, check, bridge.ends, allowed)

    # Solve all candidates of all prompts together.
    stop = stop or ("valid" if check is not None or is_constrained else "stable")
    policy = fit_policy(policy or denoiser.policy, len(problem.tokens), stop, candidates)
    budget = budget or Budget(forwards=ATTEMPTS * policy.search.rounds)
    run = GenerationRun(task, denoiser, policy, budget, batch, candidates, watch, is_json=schema is not None)
    problems = [replace(problem, prompt=ids) for ids in prompt_tokens for _ in range(candidates)]
    seeds = [seed + n for _ in prompt_tokens for n in range(candidates)]
    answers = run.solve(problems, seeds, num_canvases)
    best = [rank(answers[start : start + candidates]) for start in range(0, len(answers), candidates)]
    return best[0] if is_single else best


def as_denoiser(model: Any, tokenizer: Any) -> tuple[TextDenoiser, Any]:
    """Return the denoiser and the tokenizer, loaded if needed. Raises InvalidArgument and ModelError."""
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
    """Return the tokens of all prompts, and whether the caller passed one prompt. Raises InvalidArgument."""
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


def constrained_task(
    bridge: TokenizerBridge,
    problem: Text,
    is_free: bool,
    schema: Any,
    regex: str | None,
    check: Check[Draft] | None,
) -> ConstrainedText:
    """Return the task of texts that match the schema or the regex and pass the check.

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
    # Each run of open cells is one slot of the lattice, in which the text may end early. Pinned end tokens
    # belong to the slot before them.
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
    """Return the policy for a canvas of ``cells`` cells.

    A policy that accepts one cell per forward needs enough rounds for all cells. If there are several
    candidates, visible tokens are sampled, so that the candidates differ.
    """
    rounds = policy.search.rounds
    if policy.remask.keep_visible:
        rounds = max(rounds, cells + cells // 4)
    return policy.with_(stop=stop, rounds=rounds, sample=policy.accept.sample or candidates > 1)


@dataclass(frozen=True)
class GenerationRun:
    """The settings of one call to :func:`generate`. Each candidate of each prompt is one text.

    Attributes:
        task: checks the texts.
        denoiser: the model.
        policy: settings of the loop.
        budget: limits of each canvas.
        batch: canvases per call.
        candidates: number of candidates per prompt.
        watch: called with (prompt number, candidate number, text) after every forward, or None.
        is_json: whether the texts are JSON. If so, candidates that are solved have a value.
    """

    task: TextTask
    denoiser: TextDenoiser
    policy: Policy
    budget: Budget
    batch: int
    candidates: int
    watch: Watch | None
    is_json: bool = False

    def solve(self, problems: list[Text], seeds: list[int], num_canvases: int) -> list[Candidate]:
        """Solve all texts, one canvas after another.

        A text is complete if it ends within a canvas, and given up if a canvas is not solved. ``problems``
        has the first canvas of each text, ``seeds`` its seed.
        """
        task, denoiser, problems = self.task, self.denoiser, list(problems)
        outcomes: list[list[Outcome]] = [[] for _ in problems]
        active = list(range(len(problems)))  # indices of the texts that are not finished
        state = denoiser.prefill([task.encode(problem) for problem in problems], seeds)
        for number in range(num_canvases):
            is_last = number == num_canvases - 1
            current = [replace(problems[index], complete=is_last) for index in active]
            canvas_seeds = [seeds[index] + number * len(problems) for index in active]
            canvases = [task.encode(problem) for problem in current]
            events = solve(
                task, current, denoiser, self.policy, self.budget, canvas_seeds, self.batch, canvases, state
            )
            for n, event in events:
                if isinstance(event, Outcome):
                    outcomes[active[n]].append(event)
                elif self.watch is not None and isinstance(event, Step):
                    prompt_number, candidate_number = divmod(active[n], self.candidates)
                    self.watch(prompt_number, candidate_number, task.decode(current[n], event.draft))
            unfinished = [n for n, i in enumerate(active) if has_next_canvas(task, outcomes[i][-1])]
            if is_last or not unfinished:
                break
            # The text so far precedes the next canvas, in the problem and in the model's cache.
            for n in unfinished:
                text = task.decode(current[n], outcomes[active[n]][-1].tokens)
                problems[active[n]] = replace(current[n], before=text)
            written = torch.tensor(np.stack([outcomes[active[n]][-1].tokens for n in unfinished]))
            state = denoiser.extend(state.select(unfinished), written)
            active = [active[n] for n in unfinished]
        return [self.candidate(*pair) for pair in zip(problems, outcomes, strict=True)]

    def candidate(self, problem: Text, outcomes: list[Outcome]) -> Candidate:
        """Return the candidate for one text, given the outcomes of its canvases in order."""
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
            value=json.loads(text) if self.is_json and is_solved else None,
            status="solved" if is_solved else "exhausted",
            score=mean_log_probability(written),
            confidence=confidence,
            tokens=tokens,
            violations=last.violations,
            fills=tuple(self.task.detokenize(ids) for ids in holes),
            counters=sum((outcome.counters for outcome in outcomes), Counters()),
        )


def has_next_canvas(task: TextTask, outcome: Outcome) -> bool:
    """Return whether the text continues: this canvas was solved and contains no end token."""
    return outcome.status == "solved" and len(task.before_end(outcome.tokens)) == len(outcome.tokens)
