"""DiffusionGemma's own sampler, step by step: token for token what ``model.generate`` returns at an equal seed.

    torch.manual_seed(0)
    sequences = sample(DiffusionGemma(model), ids, mask, canvases=2)

It draws from torch's global generator in the order of ``generate`` (multinomial for all rows, then the fresh noise, finished rows
included), so that the two can be held against each other. The loop in ``refine.py`` is not made of this; it shares the
forward, the temperature schedule and the acceptance rule with it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from solver.kernels import reference
from solver.llm import inspection
from solver.llm.diffusion_gemma import DiffusionGemma, PromptCache
from solver.llm.tokenizer import end_tokens


@torch.inference_mode()
def sample(denoiser: DiffusionGemma, ids: Tensor, mask: Tensor | None = None, canvases: int = 1) -> Tensor:
    """Prompts ``ids`` (B, P), padded on the left where ``mask`` (B, P) says so, and up to ``canvases`` canvases after them,
    (B, P + n L). After a row's end-of-sequence token stands the padding token, as the model's configuration has them."""
    config = denoiser.model.generation_config
    ends = torch.tensor(end_tokens(denoiser.model), dtype=torch.long, device=ids.device)
    finished = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
    fresh, prefix = ids, None
    every = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.bool()
    for _ in range(canvases):
        part = every if prefix is None else torch.ones_like(fresh, dtype=torch.bool)
        prefix = denoiser.encode(fresh, part, prefix)
        fresh = one_canvas(denoiser, prefix)
        now = finished | torch.isin(fresh, ends).any(1)
        if config.pad_token_id is not None and now.any():
            fresh[finished] = config.pad_token_id
            end = torch.isin(fresh, ends)
            fresh[(end.cumsum(1) > 0) & ~((end.cumsum(1) == 1) & end)] = config.pad_token_id
        ids, finished = torch.cat([ids, fresh], 1), now
        if finished.all():
            break
    return ids


def one_canvas(denoiser: DiffusionGemma, prefix: PromptCache) -> Tensor:
    """The argmax (B, L) of each row's last step."""
    schedule, vocab, rows = denoiser.schedule, denoiser.vocab, len(prefix.mask)

    def noise() -> Tensor:
        return torch.randint(0, vocab, (rows, denoiser.length), device=prefix.mask.device)

    canvas, best, said = noise(), None, None
    done = torch.zeros(rows, dtype=torch.bool, device=prefix.mask.device)
    history: list[Tensor] = []
    every = torch.nn.functional.pad(prefix.mask, (0, denoiser.length), value=True)
    for step in range(schedule.steps):
        logits = denoiser.model(
            decoder_input_ids=canvas,
            decoder_attention_mask=every,
            self_conditioning_logits=said,
            **inspection.cache_keyword(denoiser.model, prefix.cache),
        ).logits
        logits = logits / schedule.temperature(step)
        p = logits.softmax(-1, dtype=torch.float32)
        drawn = torch.multinomial(p.view(-1, vocab), 1).view(canvas.shape)
        entropy = entropies(logits)
        taken = reference.entropy_bound(
            entropy, torch.ones_like(done)[:, None].expand_as(entropy), schedule.bound
        )
        following, argmax = torch.where(taken, drawn, noise()), logits.argmax(-1)
        if best is not None and said is not None and done.any():  # rows that are done keep what they had
            argmax, following = (
                torch.where(done[:, None], best, argmax),
                torch.where(done[:, None], canvas, following),
            )
            logits = torch.where(done[:, None, None], said, logits)
        canvas, best = following, argmax
        done = done | (stable(history, best, schedule.stable) & calm(logits, schedule.calm))
        history.append(best)
        said = logits.to(denoiser.model.model.decoder.embed_tokens.weight.dtype)
        if done.all():
            break
    assert best is not None
    answer: Tensor = best
    return answer


def stable(history: list[Tensor], best: Tensor, steps: int) -> Tensor:
    """(B,) bool: the argmax was the same for ``steps`` steps before."""
    if len(history) < steps:
        return torch.zeros(len(best), dtype=torch.bool, device=best.device)
    same: Tensor = torch.ones(len(best), dtype=torch.bool, device=best.device)
    for earlier in history[len(history) - steps :]:
        same &= (earlier == best).all(1)
    return same


def calm(logits: Tensor, threshold: float) -> Tensor:
    """(B,) bool: the mean entropy is under ``threshold`` nats."""
    below: Tensor = entropies(logits).mean(-1) < threshold
    return below


def entropies(logits: Tensor) -> Tensor:
    """Entropy of every cell (B, L), in nats, by the very operations of ``generate``."""
    distribution: Any = torch.distributions.Categorical(logits=logits)
    found: Tensor = distribution.entropy()
    return found
