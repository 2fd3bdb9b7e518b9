"""Recipe of the Sudoku models: the looped network as denoiser and left to right, and a plain transformer.

>>> RECIPE.presets["ar-plain", "cpu"].network.order
'index'
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from solver.models.cell_transformer import CellTransformer, CellTransformerConfig
from solver.models.looped import LoopedConfig
from solver.recipes import Recipe
from solver.tasks.sudoku.layout import standard
from solver.tasks.sudoku.task import SudokuTask
from solver.training.loaders import Examples
from solver.training.objectives import (
    Batch,
    BatchObjective,
    Objective,
    SegmentObjective,
    autocast_bf16,
    weighted_mean,
)
from solver.training.preset import Preset
from solver.training.sudoku_examples import PuzzleLoader, SequenceLoader, puzzle_examples

DIFFUSION = LoopedConfig(vocab=9)
AR = LoopedConfig(vocab=9, causal=True)
AR_EASIEST = replace(AR, order="easiest")
WIDE = LoopedConfig(vocab=9, width=96, hidden=192)
TINY = LoopedConfig(vocab=9, width=16, hidden=16, loops=8)
TINY_PLAIN = CellTransformerConfig(width=16, layers=2, heads=2)


def smoke_preset(network: LoopedConfig | CellTransformerConfig, segment: int) -> Preset[Any]:
    return Preset(network, steps=60, rows=8, segment=segment, rate=4e-3, pool=64)


# The cpu presets of all models take the same training FLOPs (0.166e15; tests/test_training.py). Their rates
# are the best of three trials each (docs/LOG.md).
PRESETS: dict[tuple[str, str], Preset[Any]] = {
    ("diffusion", "cpu"): Preset(DIFFUSION, steps=9_200, rows=64, segment=8, rate=4e-3),
    ("ar", "cpu"): Preset(AR, steps=2_908, rows=64, segment=8, rate=8e-3),
    ("ar-easiest", "cpu"): Preset(AR_EASIEST, steps=2_908, rows=64, segment=8, rate=8e-3),
    ("ar-plain", "cpu"): Preset(CellTransformerConfig(), steps=3_174, rows=64, rate=2e-3),
    ("ar-plain-easiest", "cpu"): Preset(
        CellTransformerConfig(order="easiest"), steps=3_006, rows=64, rate=1e-3
    ),
    ("diffusion", "gpu"): Preset(WIDE, steps=120_000, rows=768, segment=8, rate=2e-3, pool=2_000_000),
    ("diffusion", "smoke"): smoke_preset(TINY, 4),
    ("ar", "smoke"): smoke_preset(replace(TINY, causal=True), 4),
    ("ar-easiest", "smoke"): smoke_preset(replace(TINY, causal=True, order="easiest"), 4),
    ("ar-plain", "smoke"): smoke_preset(TINY_PLAIN, 1),
    ("ar-plain-easiest", "smoke"): smoke_preset(replace(TINY_PLAIN, order="easiest"), 1),
}


def sudoku_objective(preset: Preset[Any], examples: Examples, device: str = "cpu") -> Objective:
    """Segments of canvases for the looped network, whole puzzles as sequences for the plain transformer."""
    match preset.network:
        case CellTransformerConfig() as config:
            loader = SequenceLoader(examples, preset.rows, config.order, preset.seed)
            return BatchObjective(CellTransformer(config), loader, sequence_loss, sequence_flops, device)
        case _:
            relations = torch.tensor(standard(9).relations)
            return SegmentObjective(preset, PuzzleLoader(examples, preset), relations, device)


def sequence_loss(network: CellTransformer, batch: Batch) -> tuple[Tensor, float]:
    """Loss of the answers, each predicted from all pairs before it; and the share of exact puzzles."""
    cells, tokens, answers = batch
    with autocast_bf16(cells.device):
        logits = network(cells, tokens)[:, :-1]  # nothing follows the last cell
    targets = network.targets(cells, tokens)
    losses = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none")
    exact = ((logits.argmax(-1) == targets) | ~answers).all(1).float().mean()
    return weighted_mean(losses.view_as(answers), answers), exact.item()


def sequence_flops(network: CellTransformer, batch: Batch) -> int:
    return len(batch[0]) * network.flops(network.config.cells + 1)


RECIPE = Recipe(
    make_task=lambda: SudokuTask(standard(9)),
    presets=PRESETS,
    make_examples=lambda preset, source: puzzle_examples(
        preset.pool, preset.seed + 1, source.folder, source.report
    ),
    make_objective=sudoku_objective,
    data="sudoku",
)
