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

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any, Literal, TypedDict, Unpack, overload

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from solver.api.candidate import Candidate, rank
from solver.api.generation_run import Deadline, GenerationRun, Watch
from solver.api.value_types import ValueType
from solver.kernels.deadline import OutOfTime, time_left, time_limit
from solver.kernels.lattice import Slots
from solver.llm.pretrained import adapt, open_model
from solver.llm.prompts import PromptReader, check_prompt
from solver.llm.tokenizer import BYTES_PER_TOKEN, MAX_BYTES, TokenizerBridge, first_canvas
from solver.loop.policy import Policy
from solver.loop.trace import Budget
from solver.models.protocol import TextDenoiser
from solver.tasks.arguments import Check, Natural, Positive, Seconds, validated
from solver.tasks.errors import InvalidArgument
from solver.tasks.json_schema.errors import COMPILING
from solver.tasks.json_schema.problem import COMPILE_SECONDS, JsonProblem, load_kernels
from solver.tasks.languages.byte_automaton import TooLargeError
from solver.tasks.languages.constrained_text import ConstrainedText, pattern_check, schema_check
from solver.tasks.languages.grammar import PatternGrammar
from solver.tasks.languages.regex_parser import PatternError
from solver.tasks.languages.unroll import Unrolled, unroll
from solver.tasks.task import Violation
from solver.tasks.text import Draft, Hole, Text, TextTask

ATTEMPTS = 10  # default budget: forwards = ATTEMPTS x the policy's rounds for this canvas
MIN_BYTES = 256  # of the longest text of a schema's or pattern's automaton, and MAX_BYTES at most
ANY_TEXT = r"[\s\S]*"

Messages = Sequence[dict[str, str]]


class GenerateOptions(TypedDict, total=False):
    """The keyword options of :func:`generate`, for its overloads."""

    template: Sequence[str | Hole] | None
    check: Check[Draft] | None
    length: Positive | None
    candidates: Positive
    budget: Budget | None
    seconds: Seconds | None
    policy: Policy | None
    stop: Literal["valid", "repeated", "stable"] | None
    seed: Natural
    batch: Positive
    watch: Watch | None
    schema: Any
    regex: str | None


@overload
def generate(
    model: Any, tokenizer: Any = None, *, prompt: str | list[int], **options: Unpack[GenerateOptions]
) -> Candidate: ...
@overload
def generate(
    model: Any,
    tokenizer: Any = None,
    *,
    prompt: list[str] | list[list[int]],
    **options: Unpack[GenerateOptions],
) -> list[Candidate]: ...
@overload
def generate(
    model: Any,
    tokenizer: Any = None,
    *,
    prompt: Mapping[str, Any] | Tensor | NDArray[Any],
    **options: Unpack[GenerateOptions],
) -> Candidate | list[Candidate]: ...
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
    messages: Any = None,
    prompt: Any = None,
    *,
    template: Sequence[str | Hole] | None = None,
    check: Check[Draft] | None = None,
    length: Positive | None = None,
    candidates: Positive = 1,
    budget: Budget | None = None,
    seconds: Seconds | None = None,
    policy: Policy | None = None,
    stop: Literal["valid", "repeated", "stable"] | None = None,
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
        messages: a conversation, or a list of conversations. The content of a message is text, or parts of it.
        prompt: instead of messages: a text, its token ids (a list, an array, the output of a tokenizer), or a
            list of these. They may differ in length. A text that begins with the tokenizer's first special
            token (a rendered chat) gets no second one.
        template: literals, which appear in the text as they are, and holes of at most their size in tokens.
        check: called with each :class:`~solver.tasks.text.Draft`. Returns None or True if the draft passes,
            otherwise False, a message or violations (see solver.tasks.arguments).
        length: maximum tokens of free text, or of the whole template. Free text that is longer than the
            model's canvas is generated in several canvases, one after another, and cut at this length.
        candidates: number of candidates per prompt. The first is the likeliest; the others are drawn, at rising
            temperature, until all differ.
        budget: limits of each canvas of each candidate. None: forwards = 10 x the policy's rounds.
        seconds: wall clock of the whole call, compiling included, once the model is loaded; a forward that runs
            is not interrupted. Texts that are not finished then are "exhausted"; those without a forward are
            empty. None: no limit.
        policy: settings of the loop. None: the model's default policy.
        stop: "valid" stops at the first draft that passes; "repeated" when two forwards in a row agree on it,
            or after a few of them (the default with a check, a schema or a regex); "stable" when it is
            unchanged and confident (the default otherwise).
        seed: seed of all randomness. A text depends on its prompt, the seed and the candidate's number, not on
            the other prompts of the call.
        batch: canvases per call.
        watch: called with (prompt number, candidate number, text of the draft) after every forward.
        schema: a JSON schema or a type (see fill); the whole text is an instance of it.
        regex: a pattern that the whole text matches. With a schema or a regex, the model's predictions
            are conditioned on the language, all cells jointly, and the text must fit into one canvas.

    Returns:
        The best candidate, "solved" if its check passed; ``alternatives`` holds the other candidates.

    Raises:
        InvalidArgument: an argument has the wrong type or value, or a prompt or literal has a mask token.
        ModelError: the model cannot be used.
        SchemaError: ``schema`` is not a JSON schema.
        PatternError: ``regex`` is not a supported pattern, or takes too long to compile.
        FillError: no text that satisfies the schema fits into the canvas.
    """
    denoiser, tokenizer, chat_template = as_denoiser(model, tokenizer)
    prompt_tokens, is_single = PromptReader(tokenizer, chat_template).read(messages, prompt)
    is_constrained = schema is not None or regex is not None
    if is_constrained:
        load_kernels()
    deadline = Deadline.after(seconds)

    # The canvas, and the task that checks it.
    bridge = TokenizerBridge(denoiser, tokenizer, chat_template)
    problem, num_canvases = first_canvas(bridge, template, length)
    for ids in prompt_tokens:
        check_prompt(denoiser, tokenizer, ids, len(problem.tokens) * num_canvases)
    if is_constrained:
        if num_canvases > 1:
            raise InvalidArgument(
                "with a schema or a regex the text must fit into one canvas of "
                f"{denoiser.length} tokens; reduce length"
            )
        try:
            with time_limit(deadline.remaining()):
                task: TextTask = constrained_task(bridge, problem, schema, regex, check)
        except OutOfTime:
            nothing = Candidate("", violations=(Violation(COMPILING, rule="seconds"),))
            results = [rank([nothing] * candidates) for _ in prompt_tokens]
            return results[0] if is_single else results
    elif template is not None and bridge.changes_neighbours:
        # A hole must not change the literals beside it: the tokens have to give a text.
        task = language_task(bridge, problem, compile_pattern(ANY_TEXT, MIN_BYTES), check)
    else:
        allowed = bridge.allowed(is_free=template is None)
        task = TextTask(denoiser.vocab, bridge.decode, check, bridge.ends, allowed, bridge.markers)

    # Solve all candidates of all prompts together.
    wanted = stop or ("repeated" if check is not None or is_constrained else "stable")
    policy = fit_policy(policy or denoiser.policy, len(problem.tokens), wanted)
    budget = budget or Budget(forwards=ATTEMPTS * policy.search.rounds)
    run = GenerationRun(
        task, denoiser, policy, budget, deadline, seed, batch, candidates, watch, is_json=schema is not None
    )
    problems = [replace(problem, prompt=ids) for ids in prompt_tokens for _ in range(candidates)]
    answers = run.solve_distinct(problems, num_canvases)
    best = [rank(answers[start : start + candidates]) for start in range(0, len(answers), candidates)]
    return best[0] if is_single else best


def as_denoiser(model: Any, tokenizer: Any) -> tuple[TextDenoiser, Any, Any]:
    """Return the denoiser, the tokenizer, loaded if needed, and a processor's chat template or None.

    Raises InvalidArgument and ModelError.
    """
    if isinstance(model, str | PathLike):
        model, loaded = open_model(str(model))
        tokenizer = loaded if tokenizer is None else tokenizer
    if tokenizer is None:
        raise InvalidArgument("a tokenizer is needed with a model that is loaded already")
    chat_template = getattr(tokenizer, "chat_template", None)
    if not hasattr(tokenizer, "encode"):
        tokenizer = getattr(tokenizer, "tokenizer", tokenizer)  # a processor has one
    if not all(hasattr(tokenizer, name) for name in ("encode", "decode", "__len__", "eos_token_id")):
        raise InvalidArgument(f"tokenizer must be a transformers tokenizer, not {type(tokenizer).__name__}")
    if isinstance(model, TextDenoiser):
        return model, tokenizer, chat_template
    if not hasattr(model, "config"):
        raise InvalidArgument(
            "model must be a transformers model, a text denoiser, a folder or an id, "
            f"not {type(model).__name__}"
        )
    return adapt(model, tokenizer), tokenizer, chat_template


def constrained_task(
    bridge: TokenizerBridge,
    problem: Text,
    schema: Any,
    regex: str | None,
    check: Check[Draft] | None,
) -> ConstrainedText:
    """Return the task of texts that match the schema or the regex and pass the check.

    Raises FillError, SchemaError, PatternError and InvalidArgument.
    """
    if schema is not None and regex is not None:
        raise InvalidArgument("give either a schema or a regex")
    fixed = sum(len(literal.encode()) for literal in problem.literals)
    length = min(max(MIN_BYTES, fixed + BYTES_PER_TOKEN * int((~problem.pinned).sum())), MAX_BYTES)
    if regex is not None:
        unrolled = compile_pattern(regex, length, bridge.token_bytes().longest * len(problem.tokens))
        full_check = pattern_check(regex, check)
    else:
        pieces = bridge.pieces(problem) if problem.literals else None
        json_problem = JsonProblem.of(
            ValueType.of(schema).schema, template=pieces, length=length, max_cells=None
        )
        unrolled, full_check = json_problem.unrolled, schema_check(json_problem.validator, check)
    return language_task(bridge, problem, unrolled, full_check)


def language_task(
    bridge: TokenizerBridge,
    problem: Text,
    unrolled: Unrolled,
    check: Check[Draft] | None,
) -> ConstrainedText:
    """Return the task of texts of the language ``unrolled`` that pass the check.

    Raises FillError and InvalidArgument if none fits.
    """
    # Each run of open cells is one slot of the lattice, in which the text may end early. Pinned end tokens
    # belong to the slot before them.
    pinned_ends = np.isin(problem.tokens, sorted(bridge.ends)) & problem.pinned
    inside = ~problem.pinned | pinned_ends
    slots = Slots(inside, inside & np.append(~inside[1:], True))
    task = ConstrainedText(
        bridge.denoiser.vocab,
        bridge.decode,
        check,
        bridge.ends,
        bridge.allowed(is_free=False),
        unrolled,
        bridge.token_bytes(),
        slots,
        bridge.markers,
    )
    task.check_fit(problem)
    return task


def compile_pattern(regex: str, length: int, longest: int = 0) -> Unrolled:
    """The texts of at most ``length`` bytes that the pattern matches; if there are none, the longer ones.

    Args:
        regex: the pattern.
        length: usual maximum length.
        longest: length of the longest possible text.

    Raises:
        InvalidArgument: there are none.
        PatternError: the pattern is not supported, or its automaton is too large.
        OutOfTime: the caller's time limit has passed.
    """
    try:
        with time_limit(cpu_seconds=COMPILE_SECONDS):
            unrolled = unroll(PatternGrammar(regex, full=True), length)
            if unrolled.is_empty and length < min(longest, MAX_BYTES):
                length = min(longest, MAX_BYTES)
                unrolled = unroll(PatternGrammar(regex, full=True), length)
    except (OutOfTime, TooLargeError) as error:
        if time_left() <= 0:  # a shorter limit of the caller
            raise
        raise PatternError(
            f"the pattern {regex[:80]!r} is too large for an automaton: simplify it"
        ) from error
    if unrolled.is_empty:
        raise InvalidArgument(f"no text of at most {length} bytes matches {regex[:80]!r}")
    return unrolled


def fit_policy(policy: Policy, cells: int, stop: Literal["valid", "repeated", "stable"]) -> Policy:
    """Return the policy for a canvas of ``cells`` cells.

    A policy that accepts one cell per forward needs enough rounds for all cells.
    """
    rounds = policy.search.rounds
    if policy.remask.keep_visible:
        rounds = max(rounds, cells + cells // 4)
    return policy.with_(stop=stop, rounds=rounds)
