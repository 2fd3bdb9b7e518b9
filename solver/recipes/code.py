"""Recipe of the code models: one network, as denoiser and left to right.

>>> RECIPE.data is None  # trained on the installed libraries
True
"""

from dataclasses import replace

from torch import Tensor

from solver.models.code_network import CodeConfig, CodeNetwork
from solver.recipes import ExampleSource, Recipe
from solver.tasks.code_edit.corpus import Corpus
from solver.tasks.code_edit.task import CodeTask
from solver.training.code_examples import CodeLoader, code_examples
from solver.training.loaders import Examples
from solver.training.objectives import Batch, BatchObjective, Objective, autocast_bf16, weighted_mean
from solver.training.preset import Preset

SMALL_POOL, SMALL_CORPUS = 100, 40  # a pool of at most 100 windows is made of 40 files
HALF = -0.693  # log(0.5), rounded as in the shipped runs' logs
CPU = Preset(CodeConfig(), steps=6_000, rows=48, rate=4e-3, muon=True, pool=110_000)
SMOKE = Preset(CodeConfig(width=32, hidden=32, layers=2), steps=20, rows=4, rate=2e-3, muon=True, pool=40)
# The cpu presets take about 0.456e15 FLOPs each.
PRESETS = {
    ("diffusion", "cpu"): CPU,
    ("ar", "cpu"): replace(CPU, network=replace(CPU.network, causal=True), steps=5_936, rate=8e-3),
    ("diffusion", "smoke"): SMOKE,
    ("ar", "smoke"): replace(SMOKE, network=replace(SMOKE.network, causal=True)),
}


def corpus_examples(preset: Preset[CodeConfig], source: ExampleSource) -> Examples:
    corpus = Corpus.build(SMALL_CORPUS if preset.pool <= SMALL_POOL else None)
    causal, seed = preset.network.causal, preset.seed + 1
    return code_examples(corpus.train, preset.pool, causal, seed, source.workers, source.report)


def code_objective(preset: Preset[CodeConfig], examples: Examples, device: str = "cpu") -> Objective:
    loader = CodeLoader(examples, preset.rows, preset.network.causal, preset.seed + 1)
    return BatchObjective(CodeNetwork(preset.network), loader, window_loss, window_flops, device)


def window_loss(network: CodeNetwork, batch: Batch) -> tuple[Tensor, float]:
    """Loss of a batch, and the share of rows with more than half on the truth in all cells of full weight."""
    tokens, status, offset, truth, weight = batch
    with autocast_bf16(tokens.device):
        log_p = network.log_likelihood(tokens, status, offset, truth, weight > 0)
    rows, weights = (weight > 0).nonzero()[:, 0], weight[weight > 0]
    missed = set(rows[(log_p <= HALF) & (weights >= 1)].tolist())
    return -weighted_mean(log_p, weights), 1 - len(missed) / len(tokens)


def window_flops(network: CodeNetwork, batch: Batch) -> int:
    rows, cells = batch[-1].shape
    return rows * network.flops(cells, 0, float((batch[-1] > 0).sum()) / rows)


RECIPE = Recipe(CodeTask, PRESETS, corpus_examples, code_objective)
