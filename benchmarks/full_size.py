"""Compare the loop with DiffusionGemma's own ``generate`` at full size and equal steps.

    python benchmarks/full_size.py [--layers 30 --experts 128 --steps 16 --prompt 256]

Speed does not depend on the values of the weights, so they are random. Both methods run all steps:
``generate`` has an unreachable confidence threshold, the loop a check that always fails. Prints milliseconds
per step, tokens per second of a 256-token canvas, and peak memory.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from solver.llm.diffusion_gemma import DiffusionGemma
from solver.loop.engine import solve
from solver.loop.trace import Budget
from solver.tasks.text import Text, TextTask


def build(layers: int, experts: int, width: int, vocab: int, device: str) -> Any:
    """Build the model with the published sizes but for the given ones; random weights."""
    from transformers import (
        DiffusionGemmaConfig,
        DiffusionGemmaForBlockDiffusion,
        DiffusionGemmaTextConfig,
        Gemma4VisionConfig,
    )

    text = DiffusionGemmaTextConfig(
        vocab_size=vocab,
        hidden_size=width,
        intermediate_size=3 * width // 4,
        num_hidden_layers=layers,
        num_attention_heads=16,
        num_key_value_heads=8,
        num_global_key_value_heads=2,  # type: ignore[call-arg]  # taken from **kwargs
        num_experts=experts,
        top_k_experts=8,
        moe_intermediate_size=width // 4,
        sliding_window=1024,
        layer_types=[
            "full_attention" if n % 6 == 5 or n == layers - 1 else "sliding_attention" for n in range(layers)
        ],
    )
    vision = Gemma4VisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16 if device == "cuda" else torch.float32)
    try:
        with torch.device(device):
            model = DiffusionGemmaForBlockDiffusion(
                DiffusionGemmaConfig(text_config=text, vision_config=vision)
            )
    finally:
        torch.set_default_dtype(before)
    return model.eval().requires_grad_(False)  # type: ignore[no-untyped-call]  # torch does not say


def timed(device: str, work: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Return the median seconds of ``work`` and its peak memory in GiB on the device (0 on a CPU)."""
    seconds = []
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for _ in range(repeats + 1):  # the first warms up
        if device == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    peak = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else 0.0
    return statistics.median(seconds[1:]), peak


def compare(model: Any, device: str, steps: int, prompt: int, repeats: int) -> dict[str, dict[str, float]]:
    """Measure both methods on one canvas after a prompt of random tokens."""
    denoiser, cells = DiffusionGemma(model), int(model.config.canvas_length)
    ids = torch.randint(5, denoiser.vocab, (1, prompt), generator=torch.Generator().manual_seed(0))
    blank = np.zeros(cells, bool)
    problem = Text(ids[0].numpy(), np.zeros(cells, np.int64), blank, blank.copy())
    task = TextTask(denoiser.vocab, str, lambda draft: ["never"])
    on_device = ids.to(device)

    def generate() -> None:
        model.generate(on_device, max_new_tokens=cells, max_denoising_steps=steps, confidence_threshold=1e-30)

    def loop() -> None:
        for _ in solve(task, [problem], denoiser, None, Budget(forwards=steps)):
            pass

    figures = {}
    for name, work in (("generate", generate), ("loop", loop)):
        seconds, peak = timed(device, work, repeats)
        figures[name] = {"ms a step": 1000 * seconds / steps, "tokens/s": cells / seconds, "peak GiB": peak}
    return figures


def main() -> None:
    """Measure and print, as a table and as JSON."""
    parser = argparse.ArgumentParser(description="Compare the loop with generate.")
    for name, value in (
        ("layers", 30),
        ("experts", 128),
        ("width", 2816),
        ("vocab", 262_144),
        ("steps", 16),
        ("prompt", 256),
    ):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = build(options.layers, options.experts, options.width, options.vocab, device)
    weights = sum(weight.numel() for weight in model.parameters())
    device_name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    size = f"{weights / 1e9:.2f} B weights"
    print(f"{device_name}, torch {torch.__version__}, {size}, {model.dtype}, {options.steps} steps")
    figures = compare(model, device, options.steps, options.prompt, options.repeats)
    for name, row in figures.items():
        print(f"  {name:<9}" + "".join(f"{value:12.2f} {key}" for key, value in row.items()))
    ratio = figures["loop"]["tokens/s"] / figures["generate"]["tokens/s"]
    print(f"  the loop's tokens/s are {ratio:.3f} of generate's")
    print(json.dumps({"device": device_name, "weights": weights, **vars(options), **figures}))


if __name__ == "__main__":
    main()
