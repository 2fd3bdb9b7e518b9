"""The trainer: loss, update, moving average, log, save, repeat.

    python -m solver train sudoku --model diffusion --preset cpu --out runs/sudoku [--resume] [--minutes N]

``--out`` receives

- ``examples.npz``, the prepared examples,
- ``log.jsonl``, loss and accuracy against steps, seconds and FLOPs,
- ``state.safetensors``, from which a run resumes; on a CPU bit for bit,
- ``checkpoint/``, the averaged weights, for ``--denoiser``,
- ``snapshots/STEP/``, earlier averaged weights.
"""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from solver.files import append_text, replacing
from solver.models import checkpoint
from solver.training.loaders import Facts
from solver.training.objectives import Objective
from solver.training.preset import Preset

LOG_EVERY = 100  # steps
SAVE_EVERY = 180.0  # seconds
SNAPSHOTS = (1 / 16, 1 / 8, 1 / 4, 1 / 2)  # shares of the run after which averaged weights are kept
STATE_FILE = "state.safetensors"


def make_optimizers(network: nn.Module, preset: Preset[Any]) -> list[torch.optim.Optimizer]:
    """AdamW; with ``preset.muon`` Muon (Jordan et al. 2024) for the layers' matrices, AdamW for the rest."""
    matrices, vectors = list[Tensor](), list[Tensor]()
    for name, value in network.named_parameters():
        is_matrix = preset.muon and value.ndim == 2 and name.startswith("layers.")
        (matrices if is_matrix else vectors).append(value)
    rate, decay = preset.rate, 0.01
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(vectors, lr=rate, betas=(0.9, 0.98), weight_decay=decay)
    ]
    if matrices:
        optimizers.append(
            torch.optim.Muon(matrices, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
        )
    return optimizers


class Trainer:
    """One training run.

    Args:
        preset: its settings.
        make_objective: called after the random generator of the weights has been seeded.
        task: name of the task, for the checkpoint.
    """

    def __init__(self, preset: Preset[Any], make_objective: Callable[[], Objective], task: str) -> None:
        self.preset, self.task = preset, task
        torch.manual_seed(preset.seed)
        self.objective = make_objective()
        self.network = self.objective.network
        self.average = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        self.optimizers = make_optimizers(self.network, preset)
        self.steps_done, self.seconds, self.flops = 0, 0.0, 0

    @property
    def is_complete(self) -> bool:
        return self.steps_done >= self.preset.steps

    def rate(self) -> float:
        """The learning rate of the next step: warm-up, plateau, linear fall to a hundredth."""
        preset = self.preset
        remaining = (preset.steps - self.steps_done) / max(1.0, preset.decay * preset.steps)
        warmup = min(1.0, (self.steps_done + 1) / preset.warmup)
        return preset.rate * warmup * max(0.01, min(1.0, remaining))

    def step(self) -> tuple[float, float]:
        """Do one update. Returns the loss and the share of canvases whose draft is exact."""
        started = time.perf_counter()
        loss, exact = self.objective.loss()
        self.network.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.rate()
            optimizer.step()
        decay = min(self.preset.averaging, (1 + self.steps_done) / (10 + self.steps_done))
        average, weights = list(self.average.values()), list(self.network.state_dict().values())
        update = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # torch does not annotate it
        update(average, weights, None)
        with torch.no_grad():
            self.objective.advance()
        self.steps_done += 1
        self.flops += self.objective.flops
        self.seconds += time.perf_counter() - started
        return loss.item(), exact

    def save(self, folder: Path, facts: Facts) -> None:
        """Write the state to resume from, then the averaged weights. Creates ``folder``.

        Args:
            folder: of the run.
            facts: further entries of the checkpoint's config.json.
        """
        folder.mkdir(parents=True, exist_ok=True)
        tensors, loader_facts = self.objective.state()
        tensors |= {f"network.{name}": value.detach() for name, value in self.network.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.items()}
        for index, optimizer in enumerate(self.optimizers):
            for number, entry in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{index}.{number}.{key}": value for key, value in entry.items()}
        # one file holds everything, so that an interrupted save cannot pair old numbers with new tensors
        progress = {
            "step": self.steps_done,
            "seconds": self.seconds,
            "flops": self.flops,
            "loader": loader_facts,
        }
        tensors["progress"] = torch.tensor(list(json.dumps(progress).encode()), dtype=torch.uint8)
        copies = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        with replacing(folder / STATE_FILE) as file:
            checkpoint.write_tensors(file, copies)
        self.save_weights(folder / "checkpoint", facts)

    def save_weights(self, folder: Path, facts: Facts) -> None:
        weights = {name: value.cpu() for name, value in self.average.items()}
        summary = {**facts, "training": self.summary()}
        checkpoint.save_network(folder, weights, self.preset.network, self.task, summary)

    def restore(self, folder: Path) -> None:
        """Continue the run saved in ``folder``. Raises ValueError if it is missing or of another preset."""
        path = folder / STATE_FILE
        if not path.is_file():
            raise ValueError(f"{folder}: nothing to resume, {STATE_FILE} is missing")
        # copies: views into the file are aligned differently, and products round by alignment
        tensors = {name: value.clone() for name, value in load_file(path).items()}
        progress = json.loads(bytes(tensors["progress"].tolist()))
        device = next(self.network.parameters()).device

        def select(prefix: str) -> dict[str, Tensor]:
            return {
                name.removeprefix(prefix): value.to(device)
                for name, value in tensors.items()
                if name.startswith(prefix)
            }

        try:
            self.network.load_state_dict(select("network."))
        except RuntimeError as error:
            raise ValueError(f"{folder}: the run there was of another preset") from error
        average = select("average.")  # the file is sorted by name, the update uses the network's order
        self.average = {name: average[name] for name in self.network.state_dict()}
        for index, optimizer in enumerate(self.optimizers):
            state = optimizer.state_dict()
            for key, value in select(f"optimizer.{index}.").items():
                number, name = key.split(".", 1)
                state["state"].setdefault(int(number), {})[name] = value.cpu() if name == "step" else value
            optimizer.load_state_dict(state)
        self.objective.restore(tensors, progress["loader"])
        self.steps_done, self.seconds, self.flops = progress["step"], progress["seconds"], progress["flops"]

    def summary(self) -> Facts:
        return {
            "steps": self.steps_done,
            "of": self.preset.steps,
            "canvas_segments": self.steps_done * self.preset.rows,
            "segment": self.preset.segment,
            "seconds": round(self.seconds),
            "flops": self.flops,
            "seed": self.preset.seed,
        }

    def log_entry(self, losses: list[float], exacts: list[float]) -> Facts:
        """A line of log.jsonl: means over the steps since the last one."""
        return {
            "step": self.steps_done,
            "seconds": round(self.seconds, 1),
            "flops": self.flops,
            "loss": round(sum(losses) / len(losses), 5),
            "exact": round(sum(exacts) / len(exacts), 4),
            "rate": round(self.rate(), 7),
        }

    def run(
        self,
        folder: Path,
        deadline: float | None,
        report: Callable[[str], None],
        facts: Facts,
    ) -> bool:
        """Train until the preset's last step, or ``deadline``, or Ctrl-C; then save.

        Args:
            folder: where it is kept; created if missing.
            deadline: on the clock of :func:`time.monotonic`, None for no limit.
            report: called with a line of progress.
            facts: further entries of the checkpoint's config.json.

        Returns:
            Whether the run is complete.

        Raises:
            FloatingPointError: the loss is not finite.
        """
        folder.mkdir(parents=True, exist_ok=True)
        saved, losses, exacts = time.monotonic(), list[float](), list[float]()
        snapshots = {math.ceil(share * self.preset.steps) for share in SNAPSHOTS}
        try:
            while not self.is_complete and not (deadline is not None and time.monotonic() > deadline):
                loss, exact = self.step()
                if not math.isfinite(loss):
                    raise FloatingPointError(f"the loss is {loss} at step {self.steps_done}")
                losses.append(loss)
                exacts.append(exact)
                if self.steps_done in snapshots:
                    self.save_weights(folder / "snapshots" / str(self.steps_done), facts)
                if self.steps_done % LOG_EVERY == 0 or self.is_complete:
                    entry = self.log_entry(losses, exacts)
                    append_text(folder / "log.jsonl", json.dumps(entry) + "\n")
                    report(progress_line(self, entry))
                    losses, exacts = [], []
                if time.monotonic() - saved > SAVE_EVERY:
                    self.save(folder, facts)
                    saved = time.monotonic()
        except KeyboardInterrupt:
            report("stopped; --resume continues")
        self.save(folder, facts)
        return self.is_complete


def progress_line(trainer: Trainer, entry: Facts) -> str:
    steps = trainer.preset.steps
    remaining = (steps - trainer.steps_done) * trainer.seconds / trainer.steps_done
    return (
        f"step {entry['step']:>6}/{steps}  loss {entry['loss']:.4f}  exact {entry['exact']:.3f}  "
        f"{trainer.flops / 1e15:.3f} PFLOP  {trainer.seconds / 60:.1f} min, about {remaining / 60:.0f} left"
    )
