"""Properties of transformers models that are loaded already, whatever class and however their weights are kept.

Weights may be on several devices, offloaded (accelerate then leaves them on the meta device between calls) or
quantised (tensor subclasses, which are read through their modules).
"""

from collections.abc import Callable
from copy import copy
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from solver.errors import ModelError

OWN_CODE_VERSION = "4.57.6"  # the newest that runs the published code


def text_config(model: Any) -> Any:
    """The configuration of a model's text part; of the model itself if it has only text."""
    config = model.config
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def vocabulary_size(model: Any) -> int:
    """Number of tokens that the model's configuration states. Raises ModelError if there is none."""
    size = getattr(text_config(model), "vocab_size", None)
    if size is None:
        raise ModelError(f"{type(model).__name__} has no vocab_size in its configuration")
    return int(size)


def input_rows(model: Any) -> int | None:
    """Number of tokens that the model can read, None if it does not tell."""
    embedding = input_embedding(model)
    rows = getattr(embedding, "num_embeddings", None)
    return None if rows is None else int(rows)


def unused_positions(model: Any) -> int:
    """Number of configured positions that no token can have: RoBERTa's positions begin after its padding id."""
    for name, module in model.named_modules() if hasattr(model, "named_modules") else ():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return int(module.padding_idx) + 1
    return 0


def input_embedding(model: Any) -> Any:
    """The module that embeds the input tokens, or None."""
    if not hasattr(model, "get_input_embeddings"):
        return None
    try:
        return model.get_input_embeddings()
    except NotImplementedError:  # transformers raises it for models that do not name theirs
        return None


def input_device(model: Any) -> torch.device:
    """The device that the model's inputs belong on.

    Raises:
        ModelError: the model has no weights, only their shapes.
    """
    modules = list(model.modules()) if hasattr(model, "modules") else []
    for module in [input_embedding(model), *modules]:
        hook = getattr(module, "_hf_hook", None)  # set by accelerate where it moves inputs and weights
        for part in getattr(hook, "hooks", [hook]):
            device = getattr(part, "execution_device", None)
            if device is not None:
                return torch.device(device)
    device = getattr(model, "device", None) or next((weight.device for weight in model.parameters()), "cpu")
    if torch.device(device).type == "meta":
        raise ModelError(
            f"{type(model).__name__} has no weights: it is on the meta device and was not loaded"
        )
    return torch.device(device)


def embedding_table(embedding: Any) -> Tensor:
    """The embeddings (V, D) of all tokens, scaled as the module scales them.

    Plain weights are read without a copy where the module does not scale them; others are read through the
    module, which knows where they are and what they mean.
    """
    device = input_device(embedding)
    table: Tensor = embedding(torch.arange(embedding.num_embeddings, device=device))
    return table


def is_plain(weight: Tensor) -> bool:
    """Whether ``weight`` can be read directly: not offloaded, not a tensor subclass of a quantisation."""
    return type(weight) in (Tensor, torch.nn.Parameter) and weight.device.type != "meta"


def has_own_code(model: Any) -> bool:
    """Whether the model's class came with its weights instead of with transformers."""
    return type(model).__module__.startswith("transformers_modules.")


def incompatible(name: str, reason: str) -> ModelError:
    """The error for a model with code of its own that this version of transformers does not run."""
    import transformers

    needed = f"; the published code of LLaDA, Dream and SDAR needs transformers {OWN_CODE_VERSION}"
    return ModelError(
        f"{name}: its own Python code does not work with transformers {transformers.__version__} ({reason})"
        + (needed if transformers.__version__ >= "5" else "")
    )


def check_rotary(name: str, model: Any) -> None:
    """Raise ModelError if rotary frequencies were left without values.

    transformers 5 builds models without memory and then fills only what it knows: a model's own code that
    computes the frequencies in its constructor gets arbitrary numbers, and the model writes nonsense.
    """
    for buffer_name, values in model.named_buffers() if hasattr(model, "named_buffers") else ():
        is_loaded = values.ndim == 1 and values.device.type != "meta"
        if buffer_name.endswith("inv_freq") and is_loaded and not ((values > 0) & (values <= 1)).all():
            raise incompatible(name, f"{buffer_name} has no values")


def logits_of(output: Any, model: Any) -> Tensor:
    """The logits in a model's output. Raises ModelError if there are none."""
    logits = output[0] if isinstance(output, tuple) else getattr(output, "logits", None)
    if logits is None:
        raise ModelError(f"{type(model).__name__} gives no logits: load the class with a language model head")
    return logits  # type: ignore[no-any-return]  # transformers' outputs are untyped here


def cache_keyword(function: Callable[..., Any], cache: Any) -> dict[str, Any]:
    """The keyword argument that passes ``cache`` to ``function``, a model or one of its methods.

    It is ``cache`` from transformers 5.24 on; before that, and in remote code, ``past_key_values``.
    """
    function = getattr(function, "_orig_mod", function)  # a compiled module hides the names
    names = signature(getattr(function, "forward", function)).parameters
    return {"cache" if "cache" in names else "past_key_values": cache}


def copy_cache(cache: Any) -> Any:
    """A copy that can be extended; it shares the tensors."""
    duplicate = copy(cache)
    duplicate.layers = [copy(layer) for layer in cache.layers]
    return duplicate
