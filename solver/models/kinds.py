"""The kinds of network that a checkpoint can hold: configuration, network, and the adapters that run it.

    >>> network = build("looped", {"vocab": 4, "width": 16, "hidden": 16})
    >>> kind_of(network.config)
    'looped'

Adding a network is one entry here; checkpoints, ``--denoiser`` and the evaluation read the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from solver.baseline.cell_transformer import cell_decoder
from solver.baseline.decode import Decoder
from solver.baseline.looped import looped_decoder
from solver.models.cell_transformer import CellTransformer, CellTransformerConfig
from solver.models.code_denoiser import CodeDenoiser
from solver.models.code_network import CodeConfig, CodeNetwork
from solver.models.json_denoiser import JsonDenoiser
from solver.models.json_network import JsonConfig, JsonNetwork
from solver.models.looped import LoopedConfig, LoopedNetwork
from solver.models.looped_denoiser import LoopedDenoiser
from solver.models.protocol import Denoiser

Config = LoopedConfig | CellTransformerConfig | JsonConfig | CodeConfig
Network = LoopedNetwork | CellTransformer | JsonNetwork | CodeNetwork


@dataclass(frozen=True)
class NetworkKind:
    """One kind of network.

    config, network: its classes; the network is made of a config.
    denoiser: makes a denoiser of a network that is not causal; None where every network of the kind is
        causal.
    decoder: makes a left-to-right decoder of a causal one; None where a baseline has its own way to run it.
    has_loops: whether both take a number of inner ``loops``.
    """

    config: Callable[..., Config]
    network: Callable[[Any], Network]
    denoiser: Callable[..., Denoiser] | None = None
    decoder: Callable[..., Decoder] | None = None
    has_loops: bool = False


KINDS: dict[str, NetworkKind] = {
    "looped": NetworkKind(LoopedConfig, LoopedNetwork, LoopedDenoiser, looped_decoder, has_loops=True),
    "cells": NetworkKind(CellTransformerConfig, CellTransformer, None, cell_decoder),
    "json": NetworkKind(JsonConfig, JsonNetwork, JsonDenoiser),
    "code": NetworkKind(CodeConfig, CodeNetwork, CodeDenoiser),
}


def build(kind: str, settings: dict[str, Any]) -> Network:
    """A network of ``kind`` with fresh weights. Raises ValueError naming an unknown kind or setting."""
    if kind not in KINDS:
        raise ValueError(f"unknown kind of network {kind!r}")
    config = KINDS[kind].config
    names = {field.name for field in fields(config)}  # type: ignore[arg-type]  # a dataclass
    unknown = sorted(settings.keys() - names)
    if unknown:
        raise ValueError(f"unknown setting {unknown[0]!r} of a {kind} network")
    return KINDS[kind].network(config(**settings))


def kind_of(config: Config) -> str:
    """The name of a configuration's kind."""
    return next(name for name, kind in KINDS.items() if kind.config is type(config))
