"""The trainer: ask a course for a loss, step, average, log, save, repeat.

    python -m solver train sudoku --model diffusion --preset cpu --out runs/sudoku [--resume] [--minutes N] [--data DIR]

``--out`` receives ``log.jsonl`` (loss and accuracy against steps, seconds and FLOPs), ``state.safetensors`` with
``state.json`` (everything a resumed run needs to be, bit for bit on a CPU, the run that was never stopped) and ``checkpoint/``
(the averaged weights, usable by ``--denoiser``); ``snapshots/STEP/`` are the same, earlier.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from solver.models import checkpoint
from solver.training.objectives import Course
from solver.training.presets import Preset

LOG_EVERY = 100  # steps
SAVE_EVERY = 180.0  # seconds
SNAPSHOTS = (
    1 / 16,
    1 / 8,
    1 / 4,
    1 / 2,
)  # shares of the run after which the averaged weights are kept, for accuracy against compute


def optimizers(network: nn.Module, preset: Preset) -> list[torch.optim.Optimizer]:
    """AdamW; with ``preset.muon`` Muon (Jordan et al. 2024) for the matrices of the layers, and AdamW for the rest."""
    named = list(network.named_parameters())
    matrices = [
        value for name, value in named if preset.muon and value.ndim == 2 and name.startswith("layers.")
    ]
    taken = {id(value) for value in matrices}
    rest = [value for _, value in named if id(value) not in taken]
    found: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(rest, lr=preset.rate, betas=(0.9, 0.98), weight_decay=0.01)
    ]
    if matrices:
        found.append(
            torch.optim.Muon(matrices, lr=preset.rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
        )
    return found


class Trainer:
    """One run. ``step`` does one step; ``save`` and ``restore`` keep everything that the next step depends on."""

    def __init__(self, preset: Preset, begin: Callable[[], Course], task: str = "sudoku") -> None:
        self.preset, self.task = preset, task
        torch.manual_seed(preset.seed)  # of the network's first weights
        self.course = begin()
        self.network = self.course.network
        self.average = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        self.optimizers = optimizers(self.network, preset)
        self.steps_done, self.seconds, self.flops = 0, 0.0, 0

    def rate(self) -> float:
        """Warm-up, plateau, linear fall to a hundredth."""
        p, n = self.preset, self.steps_done
        left = (p.steps - n) / max(1.0, p.decay * p.steps)
        return p.rate * min(1.0, (n + 1) / p.warmup) * max(0.01, min(1.0, left))

    def step(self) -> tuple[float, float]:
        """One update; returns the loss and the share of canvases whose draft is exact."""
        started = time.perf_counter()
        loss, exact = self.course.loss()
        self.network.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not say
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.rate()
            optimizer.step()
        keep = min(self.preset.averaging, (1 + self.steps_done) / (10 + self.steps_done))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.average.values()), list(self.network.state_dict().values()), 1 - keep
            )
            self.course.advance()
        self.steps_done += 1
        self.flops += self.course.flops
        self.seconds += time.perf_counter() - started
        return loss.item(), exact

    def save(self, folder: Path, facts: dict[str, Any]) -> None:
        """The resumable state, then the averaged weights as a checkpoint. ``folder`` is made if missing."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors, course_facts = self.course.state()
        tensors |= {f"network.{k}": v.detach() for k, v in self.network.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.items()}
        for which, optimizer in enumerate(self.optimizers):
            for number, entry in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{which}.{number}.{key}": value for key, value in entry.items()}
        # the step count sits inside the tensors, so that a kill between the two files cannot pair a new one with an old one
        tensors["step"] = torch.tensor(self.steps_done)
        progress = {
            "step": self.steps_done,
            "seconds": self.seconds,
            "flops": self.flops,
            "feed": course_facts,
        }
        tensors["progress"] = torch.tensor(list(json.dumps(progress).encode()), dtype=torch.uint8)
        checkpoint.save_tensors(
            folder / "state.safetensors",
            {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()},
        )
        self.ship(folder / "checkpoint", facts)

    def ship(self, folder: Path, facts: dict[str, Any]) -> None:
        """The averaged weights as a checkpoint."""
        weights = {name: value.cpu() for name, value in self.average.items()}
        checkpoint.save_network(
            folder, weights, self.preset.network, self.task, {**facts, "training": self.summary()}
        )

    def restore(self, folder: Path) -> None:
        """Take up the run saved in ``folder``. Raises ValueError where it is missing or of another preset."""
        path = folder / "state.safetensors"
        if not path.is_file():
            raise ValueError(f"{folder}: nothing to resume, state.safetensors is missing")
        # copies: a view into the file is not aligned as a tensor of torch's own is, and products round by alignment
        tensors = {name: value.clone() for name, value in load_file(path).items()}
        progress = json.loads(bytes(tensors["progress"].tolist()))

        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v.to(device) for k, v in tensors.items() if k.startswith(prefix)}

        device = next(self.network.parameters()).device

        try:
            self.network.load_state_dict(part("network."))
        except RuntimeError as error:
            raise ValueError(f"{folder}: the run there was of another preset") from error
        average = part("average.")  # the file is sorted by name, the update goes by the network's order
        self.average = {name: average[name] for name in self.network.state_dict()}
        for which, optimizer in enumerate(self.optimizers):
            state = optimizer.state_dict()
            for key, value in part(f"optimizer.{which}.").items():
                number, name = key.split(".", 1)
                state["state"].setdefault(int(number), {})[name] = value.cpu() if name == "step" else value
            optimizer.load_state_dict(state)
        self.course.restore(tensors, progress["feed"])
        self.steps_done, self.seconds, self.flops = progress["step"], progress["seconds"], progress["flops"]

    def summary(self) -> dict[str, Any]:
        """What the card says of the run."""
        p = self.preset
        return {
            "steps": self.steps_done,
            "of": p.steps,
            "canvas_segments": self.steps_done * p.rows,
            "segment": p.segment,
            "seconds": round(self.seconds),
            "flops": self.flops,
            "seed": p.seed,
        }


def train(
    trainer: Trainer, folder: Path, minutes: float | None, say: Callable[[str], None], facts: dict[str, Any]
) -> bool:
    """Run until the preset's last step or for ``minutes``; True when the run is complete. Ctrl-C saves and stops."""
    folder.mkdir(parents=True, exist_ok=True)
    begun = saved = time.monotonic()
    losses, exacts = [], []
    snapshots = {math.ceil(share * trainer.preset.steps) for share in SNAPSHOTS}
    try:
        while trainer.steps_done < trainer.preset.steps:
            loss, exact = trainer.step()
            if trainer.steps_done in snapshots:
                trainer.ship(folder / "snapshots" / str(trainer.steps_done), facts)
            losses.append(loss)
            exacts.append(exact)
            if not math.isfinite(loss):
                raise FloatingPointError(f"the loss is {loss} at step {trainer.steps_done}")
            if trainer.steps_done % LOG_EVERY == 0 or trainer.steps_done == trainer.preset.steps:
                entry = {
                    "step": trainer.steps_done,
                    "seconds": round(trainer.seconds, 1),
                    "flops": trainer.flops,
                    "loss": round(sum(losses) / len(losses), 5),
                    "exact": round(sum(exacts) / len(exacts), 4),
                    "rate": round(trainer.rate(), 7),
                }
                with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
                    log.write(json.dumps(entry) + "\n")
                left = (trainer.preset.steps - trainer.steps_done) * trainer.seconds / trainer.steps_done
                say(
                    f"step {entry['step']:>6}/{trainer.preset.steps}  loss {entry['loss']:.4f}  exact {entry['exact']:.3f}  "
                    f"{trainer.flops / 1e15:.3f} PFLOP  {trainer.seconds / 60:.1f} min, about {left / 60:.0f} left"
                )
                losses, exacts = [], []
            if time.monotonic() - saved > SAVE_EVERY:
                trainer.save(folder, facts)
                saved = time.monotonic()
            if minutes is not None and time.monotonic() - begun > 60 * minutes:
                break
    except KeyboardInterrupt:
        say("stopped; take it up again with --resume")
    trainer.save(folder, facts)
    return trainer.steps_done >= trainer.preset.steps
