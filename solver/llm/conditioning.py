"""Self-conditioning of DiffusionGemma by embeddings, for several threads that share one model.

The decoder turns the previous step's logits into embeddings and passes them to its module
``self_conditioning``. One hook on that module replaces them with what the running thread has set.

>>> module = torch.nn.Bilinear(2, 2, 1)
>>> accept_conditioning(module)
>>> ones, zeros = torch.ones(1, 2), torch.zeros(1, 2)
>>> with conditioned_on(ones):
...     conditioned = module(ones, zeros)
>>> torch.equal(conditioned, module(ones, ones)), torch.equal(conditioned, module(ones, zeros))
(True, False)
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

REGISTERING = threading.Lock()


class Conditioning(threading.local):
    """The embeddings (B, L, D) that condition the forward of the running thread, or None."""

    embeddings: Tensor | None = None


CONDITIONING = Conditioning()


@contextmanager
def conditioned_on(embeddings: Tensor) -> Iterator[None]:
    """Context in which ``embeddings`` (B, L, D) replace the previous logits of every decoder of this thread."""
    CONDITIONING.embeddings = embeddings
    try:
        yield
    finally:
        CONDITIONING.embeddings = None


def accept_conditioning(module: torch.nn.Module) -> None:
    """Make the decoder's ``self_conditioning`` module use :data:`CONDITIONING`. It does so once for all users.

    Hooks belong to the module, which threads share, so none is added or removed during a forward.
    """
    with REGISTERING:
        if replace_signal not in module._forward_pre_hooks.values():
            module.register_forward_pre_hook(replace_signal)


def replace_signal(module: torch.nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """A hook that replaces the second argument of a module, unless this thread has set nothing."""
    embeddings = CONDITIONING.embeddings
    return None if embeddings is None else (arguments[0], embeddings.to(arguments[0].device))
