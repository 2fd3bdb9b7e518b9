"""Recipes: how to train the models of each task.

>>> recipe("sudoku").presets["diffusion", "cpu"].steps
9200

A recipe is one module in this folder, named like its task, with a constant ``RECIPE``; CONTRIBUTING.md, "Add
a task with a trained model", explains how to write one. Importing this package does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from solver.recipes.base import Recipe

RECIPES = ("sudoku", "json", "code")


def recipe(task: str) -> Recipe:
    """Return the recipe of a task. Raises ValueError if there is none."""
    if task not in RECIPES:
        raise ValueError(f"no recipe for task {task!r}; there are {', '.join(RECIPES)}")
    result: Recipe = import_module(f"solver.recipes.{task}").RECIPE
    return result
