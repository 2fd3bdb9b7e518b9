"""Recipe of the reader: one network, trained as a denoiser of fields and as the left-to-right baseline.

>>> RECIPE.presets["ar", "smoke"].network.causal
True
"""

from dataclasses import replace

from torch import Tensor

from solver.models.reader import ReaderConfig, ReaderInputs, ReaderNetwork, field_logits, field_losses
from solver.recipes import ExampleSource, Recipe
from solver.tasks.json_schema.task import JsonTask
from solver.training.loaders import Examples
from solver.training.objectives import Batch, BatchObjective, Objective, autocast_bf16, weighted_mean
from solver.training.preset import Preset
from solver.training.prose import make_prose
from solver.training.reader_examples import FieldLoader, reader_examples

CPU = Preset(ReaderConfig(), steps=20_000, rows=24, rate=2e-3, pool=120_000, warmup=300, muon=True)
SMOKE = Preset(ReaderConfig(width=32, hidden=32, layers=1, heads=2), steps=20, rows=4, rate=2e-3, pool=60)
# Both cpu presets do the same number of steps of the same network: the same compute.
PRESETS = {
    ("diffusion", "cpu"): CPU,
    ("ar", "cpu"): replace(CPU, network=replace(CPU.network, causal=True)),
    ("diffusion", "smoke"): SMOKE,
    ("ar", "smoke"): replace(SMOKE, network=replace(SMOKE.network, causal=True)),
}


def prose_examples(preset: Preset[ReaderConfig], source: ExampleSource) -> Examples:
    return reader_examples(preset.pool, preset.seed + 1, make_prose, source.report, source.workers)


def reader_objective(preset: Preset[ReaderConfig], examples: Examples, device: str = "cpu") -> Objective:
    loader = FieldLoader(examples, preset.rows, preset.network.causal)
    return BatchObjective(ReaderNetwork(preset.network), loader, reader_loss, reader_flops, device)


def reader_loss(network: ReaderNetwork, batch: Batch) -> tuple[Tensor, float]:
    """Return the loss of a batch, and the share of fields that are asked for whose likeliest class is true."""
    *inputs, truth, weight = batch
    with autocast_bf16(truth.device):
        scores = network(ReaderInputs(*inputs))
    logits = field_logits(scores)
    is_right = (logits.argmax(-1, keepdim=True) == truth).any(-1)
    exact = weighted_mean(is_right.float(), (weight >= 1).float())
    return weighted_mean(field_losses(logits, truth), weight), exact.item()


def reader_flops(network: ReaderNetwork, batch: Batch) -> int:
    inputs = ReaderInputs(*batch[:-2])
    rows, queries, words, _ = inputs.relations.shape
    return rows * network.flops(words, queries)


RECIPE = Recipe(JsonTask, PRESETS, prose_examples, reader_objective)
