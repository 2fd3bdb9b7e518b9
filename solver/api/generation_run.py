"""The texts of one call to ``solver.generate``: all candidates of all prompts, one canvas after another.

>>> row_seed(seed=0, candidate=1, canvas=0) == row_seed(seed=1, candidate=0, canvas=0)
False
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from solver.api.candidate import ATTEMPTS, Candidate, candidate_policy, mean_log_probability, repeats
from solver.loop.engine import solve
from solver.loop.policy import Policy
from solver.loop.trace import Budget, Counters, Outcome, Step
from solver.models.protocol import TextDenoiser
from solver.tasks.task import EMPTY
from solver.tasks.text import Text, TextTask

PREFILLED = 8  # texts that are prefilled together, as a multiple of the canvases per call

Watch = Callable[[int, int, str], None]


def row_seed(seed: int, candidate: int, canvas: int, attempt: int = 0) -> int:
    """The seed of one canvas of one candidate. Neither other prompts nor other seeds share it."""
    parts = (seed, candidate, canvas, *([attempt] if attempt else []))
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


@dataclass
class Deadline:
    """The end of a call.

    Attributes:
        end: in seconds of ``time.perf_counter``, None for never.
        has_run: whether any forward has been made. Texts of the first batch get one in any case.
    """

    end: float | None
    has_run: bool = False

    @classmethod
    def after(cls, seconds: float | None) -> "Deadline":
        """The deadline ``seconds`` from now."""
        return cls(None if seconds is None else time.perf_counter() + seconds)

    def remaining(self) -> float | None:
        return None if self.end is None else max(0.0, self.end - time.perf_counter())

    def limit(self, budget: Budget) -> Budget:
        """The budget of texts that are started now or wait for room, within this deadline."""
        remaining = self.remaining()
        if remaining is None:
            return budget
        return replace(
            budget,
            seconds=remaining if budget.seconds is None else min(budget.seconds, remaining),
            cancelled=lambda: budget.cancelled() or (self.has_run and self.remaining() == 0.0),
        )


@dataclass(frozen=True)
class GenerationRun:
    """The settings of one call to :func:`solver.generate`. Each candidate of each prompt is one text.

    Attributes:
        task: checks the texts.
        denoiser: the model.
        policy: settings of the loop. Except in the first candidates, visible tokens are sampled: candidates differ.
        budget: limits of each canvas.
        deadline: end of the call.
        seed: seed of the call.
        batch: canvases per call of the model.
        candidates: number of candidates per prompt.
        watch: called with (prompt number, candidate number, text) after every forward, or None.
        attempt: number of earlier solutions of the same candidates.
        is_json: whether the texts are JSON. If so, candidates that are solved have a value.
    """

    task: TextTask
    denoiser: TextDenoiser
    policy: Policy
    budget: Budget
    deadline: Deadline
    seed: int
    batch: int
    candidates: int
    watch: Watch | None
    is_json: bool = False
    attempt: int = 0

    def solve_distinct(self, problems: list[Text], num_canvases: int) -> list[Candidate]:
        """Solve all texts, and those again, hotter, that repeat another candidate of their prompt."""
        answers = self.solve(problems, list(range(len(problems))), num_canvases)
        for attempt in range(1, ATTEMPTS):
            groups = range(0, len(problems), self.candidates)
            texts = [answer.text if answer.status == "solved" else None for answer in answers]
            again = [start + n for start in groups for n in repeats(texts[start : start + self.candidates])]
            if not again or self.deadline.remaining() == 0.0:
                break
            redrawn = replace(self, attempt=attempt).solve([problems[n] for n in again], again, num_canvases)
            for n, answer in zip(again, redrawn, strict=True):
                cost = answers[n].counters + answer.counters
                answers[n] = replace(answer if answer.status == "solved" else answers[n], counters=cost)
        return answers

    def solve(self, problems: list[Text], numbers: list[int], num_canvases: int) -> list[Candidate]:
        """Solve all texts, given their first canvases and their numbers among all texts of the call.

        Only some prompts are prefilled together: their caches need memory, and the call may end before the rest.
        """
        together = self.candidates * max(1, PREFILLED * self.batch // self.candidates)
        results: list[Candidate] = []
        for start in range(0, len(problems), together):
            part = problems[start : start + together]
            if self.deadline.has_run and self.deadline.remaining() == 0.0:
                results += [self.candidate(problem, []) for problem in part]
            else:
                results += self.solve_together(part, numbers[start : start + together], num_canvases)
        return results

    def solve_together(self, problems: list[Text], numbers: list[int], num_canvases: int) -> list[Candidate]:
        """Solve texts, which have these numbers in the call, one canvas after another.

        A text is complete if it ends within a canvas, and given up if a canvas is not solved.
        """
        task, denoiser, problems = self.task, self.denoiser, list(problems)
        outcomes: list[list[Outcome]] = [[] for _ in problems]
        active = list(range(len(problems)))  # indices of the texts that are not finished
        seeds = self.seeds(numbers, 0)
        state = denoiser.prefill([task.encode(problem) for problem in problems], seeds)
        for number in range(num_canvases):
            current = [replace(problems[index], complete=number == num_canvases - 1) for index in active]
            canvases = [task.encode(problem) for problem in current]
            budget = self.deadline.limit(self.budget)
            policies = [self.policy_of(numbers[index]) for index in active]
            events = solve(task, current, denoiser, policies, budget, seeds, self.batch, canvases, state)
            for n, event in events:
                self.deadline.has_run = True
                if isinstance(event, Outcome):
                    outcomes[active[n]].append(event)
                elif self.watch is not None and isinstance(event, Step):
                    prompt_number, candidate_number = divmod(numbers[active[n]], self.candidates)
                    self.watch(prompt_number, candidate_number, task.decode(current[n], event.draft))
            unfinished = [n for n, i in enumerate(active) if self.continues(current[n], outcomes[i][-1])]
            if current[0].complete or not unfinished:
                break
            # The tokens so far precede the next canvas, in the problem and in the model's cache.
            written = np.stack([outcomes[active[n]][-1].tokens for n in unfinished])
            for n, tokens in zip(unfinished, written, strict=True):
                problem = current[n]
                problems[active[n]] = replace(problem, before=np.concatenate([problem.before, tokens]))
            state = denoiser.extend(state.select(unfinished), torch.from_numpy(written))
            active = [active[n] for n in unfinished]
            seeds = self.seeds([numbers[index] for index in active], number + 1)
        return [self.candidate(*pair) for pair in zip(problems, outcomes, strict=True)]

    def seeds(self, texts: list[int], canvas: int) -> list[int]:
        """The seeds of a canvas of the texts with these numbers."""
        return [row_seed(self.seed, index % self.candidates, canvas, self.attempt) for index in texts]

    def policy_of(self, text: int) -> Policy:
        """The policy of a text, which does not depend on how many candidates there are."""
        return candidate_policy(self.policy, text % self.candidates, self.attempt)

    def continues(self, problem: Text, outcome: Outcome) -> bool:
        """Whether the text goes on after this canvas, which was solved and has no token that ends it."""
        return outcome.status == "solved" and not self.task.is_ended(problem, outcome.tokens)

    def candidate(self, problem: Text, outcomes: list[Outcome]) -> Candidate:
        """Return the candidate for one text, given the outcomes of the canvases that were begun, in order."""
        is_solved = bool(outcomes) and outcomes[-1].status == "solved"
        denoised = [outcome for outcome in outcomes if outcome.counters.forwards]
        tokens = np.concatenate([EMPTY, *(outcome.tokens for outcome in denoised)])[: problem.length]
        pinned = np.tile(problem.pinned, len(denoised))[: problem.length]
        answer = replace(problem, before=EMPTY, pinned=pinned)  # all canvases as one
        confidence = np.concatenate([np.zeros(0), *(outcome.confidence for outcome in denoised)])
        confidence = np.where(pinned, 1.0, confidence[: problem.length]).astype(np.float32)
        written = self.task.written(answer, tokens) & ~pinned
        text = self.task.decode(answer, tokens)
        return Candidate(
            text,
            value=json.loads(text) if self.is_json and is_solved else None,
            status="solved" if is_solved else "exhausted",
            score=mean_log_probability(confidence[written if written.any() else ~pinned]),
            confidence=confidence,
            tokens=tokens,
            violations=outcomes[-1].violations if outcomes else (),
            fills=self.task.fills(answer, tokens),
            strategy=outcomes[-1].strategy if outcomes else None,
            counters=sum((outcome.counters for outcome in outcomes), Counters()),
        )
