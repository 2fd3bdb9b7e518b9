"""What is read off the outcome of a JSON problem: texts of holes, and the score of a draft."""

import numpy as np

from solver.api.candidate import mean_log_probability
from solver.loop.trace import Outcome
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.languages.projection import BLANK


def fills_of(problem: JsonProblem, outcome: Outcome) -> tuple[str, ...]:
    """The texts of a template's holes."""
    holes = (outcome.tokens[start : start + capacity] for start, capacity in problem.holes)

    return tuple(bytes(cells[cells != BLANK].astype(np.uint8)).decode(errors="replace") for cells in holes)


def draft_score(problem: JsonProblem, outcome: Outcome) -> float:
    """The mean log-probability of the bytes drafted in open cells; 0 where there are none."""
    written = ~problem.given[1] & (outcome.tokens != BLANK)
    return mean_log_probability(outcome.confidence[written])
