"""Recipes: how to train the models of each task.

>>> recipe("sudoku").presets["diffusion", "cpu"].steps
9200

A recipe is one module in this folder, named like its task, with a constant ``RECIPE``; CONTRIBUTING.md, "Add
a task with a trained model", explains how to write one. Importing this package does not import torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solver.tasks.task import Task
    from solver.training.loaders import Examples, Report
    from solver.training.objectives import Objective
    from solver.training.preset import Preset

RECIPES = ("sudoku", "json", "code", "reader")


@dataclass(frozen=True)
class ExampleSource:
    """Where examples come from.

    Attributes:
        folder: the task's folder of development files; None without any.
        workers: processes that may be used.
        report: called with the number of examples so far, and in all.
    """

    folder: Path | None = None
    workers: int = 1
    report: Report = lambda done, total: None


@dataclass(frozen=True)
class Recipe:
    """How to train the models of one task.

    Attributes:
        make_task: makes the task.
        presets: settings by model and preset name, such as ("diffusion", "cpu"). The network's configuration
            determines its kind, and so its denoiser or left-to-right decoder (solver/models/checkpoint.py).
        make_examples: prepares the examples of a run. They are saved, and read again when it resumes.
        make_objective: network, data loader and loss; arguments are a preset, its examples and the device.
        data: folder of the task below ``--data``; None where there are no such files.
    """

    make_task: Callable[[], Task]
    presets: Mapping[tuple[str, str], Preset[Any]]
    make_examples: Callable[[Preset[Any], ExampleSource], Examples]
    make_objective: Callable[[Preset[Any], Examples, str], Objective]
    data: str | None = None


def recipe(task: str) -> Recipe:
    """Return the recipe of a task. Raises ValueError if there is none."""
    if task not in RECIPES:
        raise ValueError(f"no recipe for task {task!r}; there are {', '.join(RECIPES)}")
    result: Recipe = import_module(f"solver.recipes.{task}").RECIPE
    return result
