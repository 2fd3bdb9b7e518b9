"""Recipe of the JSON models: one network class, trained as a denoiser and as the left-to-right baseline.

>>> RECIPE.presets["ar", "smoke"].network.causal
True
"""

from dataclasses import replace

from torch import Tensor
from torch.nn import functional as F

from solver.models.json_network import JsonConfig, JsonNetwork
from solver.recipes import ExampleSource, Recipe
from solver.tasks.json_schema.serialize import load_pairs
from solver.tasks.json_schema.task import JsonTask
from solver.training.json_examples import RecordLoader, json_examples
from solver.training.loaders import Examples
from solver.training.objectives import Batch, BatchObjective, Objective, autocast_bf16, weighted_mean
from solver.training.preset import Preset

CPU = Preset(JsonConfig(), steps=3_000, rows=64, rate=2e-3, pool=60_000)
SMOKE = Preset(JsonConfig(width=32, hidden=32), steps=20, rows=4, rate=2e-3, pool=60)
# The cpu presets take about 0.195e15 FLOPs each.
PRESETS = {
    ("diffusion", "cpu"): CPU,
    ("ar", "cpu"): replace(CPU, network=replace(CPU.network, causal=True), steps=3_375),
    ("diffusion", "smoke"): SMOKE,
    ("ar", "smoke"): replace(SMOKE, network=replace(SMOKE.network, causal=True)),
}


def record_examples(preset: Preset[JsonConfig], source: ExampleSource) -> Examples:
    real = load_pairs(source.folder, reserved=False) if source.folder is not None else []
    return json_examples(preset.pool, preset.network.causal, preset.seed + 1, real, source.report)


def json_objective(preset: Preset[JsonConfig], examples: Examples, device: str = "cpu") -> Objective:
    loader = RecordLoader(examples, preset.rows, preset.network.causal)
    return BatchObjective(JsonNetwork(preset.network), loader, batch_loss, batch_flops, device)


def batch_loss(network: JsonNetwork, batch: Batch) -> tuple[Tensor, float]:
    """Return the loss of a batch, and the share of rows whose cells with a weight of at least 1 are all exact."""
    prompt, lengths, tokens, status, offset, truth, weight = batch
    with autocast_bf16(prompt.device):
        log_p = network(network.read(prompt, lengths), tokens, status, offset)
    losses = F.nll_loss(log_p.flatten(0, 1), truth.flatten(), reduction="none").view_as(weight)
    exact = ((log_p.argmax(-1) == truth) | (weight < 1)).all(1).float().mean()
    return weighted_mean(losses, weight), exact.item()


def batch_flops(network: JsonNetwork, batch: Batch) -> int:
    rows, prompt = batch[0].shape
    return rows * (network.flops(batch[2].shape[1], prompt) + network.reading_flops(prompt))


RECIPE = Recipe(JsonTask, PRESETS, record_examples, json_objective, data="jsonschema")
