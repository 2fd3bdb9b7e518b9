"""``python -m solver train sudoku``: train a checkpoint, resumable at any time."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from solver.cli.main import UsageError
from solver.cli.options import cores, data_folder, integer, limit_threads, positive

FOLDERS = {"sudoku": "sudoku", "json": "jsonschema"}  # of --data; code is trained on what is installed
MODELS = ("diffusion", "ar", "ar-easiest", "ar-plain", "ar-plain-easiest")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", choices=("sudoku", "json", "code"), help="what to train for")
    parser.add_argument(
        "--model",
        choices=MODELS,
        default="diffusion",
        help="the denoiser or a left-to-right baseline (diffusion)",
    )
    parser.add_argument(
        "--preset", choices=("cpu", "gpu", "smoke"), default="cpu", help="size and length of the run (cpu)"
    )
    parser.add_argument("--out", metavar="DIR", help="where the run is kept (runs/TASK-MODEL-PRESET)")
    trials = parser.add_argument_group("for trials", "in place of the preset's own")
    trials.add_argument("--rate", type=positive, metavar="R", help="learning rate")
    trials.add_argument("--steps", type=integer(1), metavar="N", help="steps, and with them the schedule")
    trials.add_argument(
        "--noise", choices=("mask", "uniform", "hybrid"), help="what stands in a denoiser's unknown cells"
    )
    parser.add_argument("--resume", action="store_true", help="take up the run in --out where it stopped")
    parser.add_argument(
        "--minutes", type=positive, metavar="N", help="stop after N minutes, to be resumed (no limit)"
    )
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="folder with the development files, sudoku/ or jsonschema/ (REMASK_DATA; none: generated only)",
    )


def run(arguments: argparse.Namespace) -> int:
    from solver.training.presets import PRESETS

    out = Path(arguments.out or f"runs/{arguments.task}-{arguments.model}-{arguments.preset}")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file, not a folder")
    if (out / "state.safetensors").exists() and not arguments.resume:
        raise UsageError(f"{out} holds a run already: --resume takes it up, another --out begins anew")
    if arguments.resume and not (out / "state.safetensors").is_file():
        raise UsageError(f"{out}: nothing to resume, state.safetensors is missing")
    folder = data_folder(arguments.data, FOLDERS[arguments.task]) if arguments.task in FOLDERS else None

    import torch

    from solver.models.cell_transformer import CellTransformerConfig
    from solver.tasks.code_edit.corpus import Corpus
    from solver.tasks.json_schema.data import load_pairs
    from solver.tasks.sudoku import layout
    from solver.training import code_pages
    from solver.training.code import Snippets
    from solver.training.feed import Feed, SequenceFeed, build_pool
    from solver.training.loop import Trainer, train
    from solver.training.objectives import Course, Forms, Pages, Segments, Sequences
    from solver.training.texts import Texts

    limit_threads()
    presets = PRESETS[arguments.task]
    if (arguments.model, arguments.preset) not in presets:
        raise UsageError(f"there is no preset {arguments.preset!r} for --model {arguments.model}")
    try:
        preset = presets[arguments.model, arguments.preset].changed(
            arguments.rate, arguments.steps, arguments.noise
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    device = "cuda" if torch.cuda.is_available() else "cpu"

    def say(line: str) -> None:
        print(line, flush=True)

    say(f"{preset.steps} steps of {preset.rows} canvases on {device}, into {out}")
    texts: Texts | Snippets | None = None
    if arguments.task == "code":
        kept = out / "pages.npz"  # making them takes minutes
        if arguments.resume and kept.is_file():
            try:
                pages = code_pages.read(kept)
            except (OSError, ValueError) as error:
                raise UsageError(f"{kept}: not the pages of a run; without it they are made again") from error
        else:
            corpus = Corpus.build(40 if arguments.preset == "smoke" else None)
            pages = code_pages.pool(
                corpus.train, preset.pool, preset.code.causal, preset.seed + 1, cores(), say
            )
            out.mkdir(parents=True, exist_ok=True)
            code_pages.save(pages, kept)
        texts = Snippets(pages, preset.rows, preset.code.causal, preset.seed + 1)
    elif arguments.task == "json":
        instances = load_pairs(folder, reserved=False) if folder is not None else []
        texts = Texts(preset.pool, preset.rows, preset.text.causal, preset.seed + 1, instances)
    pool = build_pool(preset, folder) if texts is None else None
    sizes = (
        pool.sizes.tolist()
        if pool is not None
        else [len(some) for some in texts.buckets.values()]
        if texts is not None
        else []
    )
    say(f"{sum(sizes)} examples" + ("" if pool is None else ": " + ", ".join(map(str, sizes))))

    def course() -> Course:
        if isinstance(texts, Snippets):
            return Pages(preset, texts, device)
        if texts is not None:
            return Forms(preset, texts, device)
        assert pool is not None
        if isinstance(preset.network, CellTransformerConfig):
            return Sequences(preset, SequenceFeed(preset, pool), device)
        return Segments(preset, Feed(preset, pool), torch.tensor(layout.standard(9).relations), device)

    trainer = Trainer(preset, course, arguments.task)
    if arguments.resume:
        try:
            trainer.restore(out)
        except ValueError as error:
            raise UsageError(str(error)) from error
        say(f"resumed at step {trainer.steps_done}")
    facts = {
        "model": arguments.model,
        "preset": arguments.preset,
        "data": sizes,
        "settings": asdict(preset),
    }
    complete = train(trainer, out, arguments.minutes, say, facts)
    say(
        f"{'complete' if complete else 'stopped'} at step {trainer.steps_done}; weights in {out / 'checkpoint'}"
    )
    return 0
