"""Loads diffusion language models of transformers as denoisers. Every failure is a ModelError of one line.

denoiser, tokenizer = open_model("google/diffusiongemma-26B-A4B-it")
"""

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from safetensors import SafetensorError

from solver.errors import ModelError
from solver.llm import inspection
from solver.llm.diffusion_gemma import DiffusionGemma
from solver.llm.masked_lm import MaskedLM
from solver.models.protocol import TextDenoiser

SHIFTED = ("dream",)  # model types whose logits at a position predict the next token
BLOCK_CAUSAL = ("sdar", "bd3lm")  # model types whose prompt does not attend to the canvas


def open_model(
    name: str,
    *,
    trust_remote_code: bool = False,
    device: str | None = None,
) -> tuple[TextDenoiser, Any]:
    """Load a model as a denoiser, with its tokenizer.

    Args:
        name: a folder or a model id.
        trust_remote_code: whether to run Python code that comes with the model.
        device: "cpu" or "cuda", by default the GPU if there is one.

    Raises:
        ModelError: the model or tokenizer cannot be loaded, is not a diffusion model, or does not fit in
            memory.
    """
    import torch
    import transformers
    from transformers import AutoConfig, AutoTokenizer

    check_reachable(name)
    remote = {"trust_remote_code": trust_remote_code}
    config = attempt(
        name, "config.json", lambda: AutoConfig.from_pretrained(name, **remote), trust_remote_code
    )
    has_code = bool(getattr(config, "auto_map", None))
    kind = config.model_type
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"{name}: there is no GPU for the device cuda")
    check_memory(name, config, device)
    for architecture in config.architectures or []:
        refuse_left_to_right(name, getattr(transformers, architecture, None))
    if Path(name).is_dir() and not any(Path(name).glob("*token*")) and not any(Path(name).glob("vocab*")):
        raise ModelError(f"{name}: there is no tokenizer beside the model")
    tokenizer = attempt(name, "tokenizer", lambda: AutoTokenizer.from_pretrained(name, **remote), has_code)
    mask = getattr(config, "mask_token_id", None)
    mask = tokenizer.mask_token_id if mask is None else mask
    if kind != "diffusion_gemma" and mask is None:
        architectures = ", ".join(config.architectures or [kind])
        raise ModelError(
            f"{name}: {architectures} writes left to right (it has no mask token); "
            "a diffusion model is needed"
        )
    settings: dict[str, Any] = {"dtype": "auto", "use_safetensors": True, **remote}
    is_quantised = getattr(config, "quantization_config", None) is not None
    if is_quantised:  # quantised weights are put on their device while they are loaded
        settings["device_map"] = device
    model = attempt(
        name, "weights", lambda: model_class(config, transformers).from_pretrained(name, **settings), has_code
    )
    model = model if is_quantised else model.to(device)
    return adapt(model, tokenizer, name), tokenizer


def model_class(config: Any, transformers: Any) -> Any:
    """The transformers class of a model: by name, else the automatic class of its remote code."""
    for name in config.architectures or []:
        if hasattr(transformers, name):
            return getattr(transformers, name)
    auto = set(getattr(config, "auto_map", None) or {})
    named = [name for name in ("AutoModelForMaskedLM", "AutoModelForCausalLM", "AutoModel") if name in auto]
    return getattr(transformers, (named or ["AutoModelForMaskedLM"])[0])


def refuse_left_to_right(name: str, kind: Any) -> None:
    """Raise ModelError if ``kind`` is an autoregressive class of transformers."""
    class_name = getattr(kind, "__name__", "")
    is_builtin = getattr(kind, "__module__", "").startswith("transformers.models.")
    if is_builtin and class_name.endswith(("ForCausalLM", "LMHeadModel")):
        raise ModelError(f"{name}: {class_name} writes left to right; a diffusion model is needed")


def adapt(model: Any, tokenizer: Any, name: str | None = None) -> TextDenoiser:
    """A transformers model as a denoiser, also a compiled one or one with adapters (PEFT).

    Raises:
        ModelError: it is not a diffusion model, has no weights, or does not work with this transformers.
    """
    if hasattr(model, "get_base_model"):
        model = model.get_base_model()  # the adapters stay in its layers
    config = model.config
    kind = str(getattr(config, "model_type", ""))
    refuse_left_to_right(name or "this model", type(getattr(model, "_orig_mod", model)))
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(f"{type(model).__name__} is an encoder-decoder model; a diffusion model is needed")
    if inspection.has_own_code(model):
        inspection.check_rotary(name or kind, model)
    if kind == "diffusion_gemma":
        if not hasattr(model, "lm_head"):
            raise ModelError(f"{type(model).__name__} gives no logits; load DiffusionGemmaForBlockDiffusion")
        return DiffusionGemma(model, name=name or kind)
    mask = getattr(config, "mask_token_id", None)
    mask = getattr(tokenizer, "mask_token_id", None) if mask is None else mask
    if mask is None:
        raise ModelError(
            f"{type(model).__name__} has no mask token: it writes left to right, "
            "and a diffusion model is needed"
        )
    lower = kind.lower()
    return MaskedLM(
        model,
        int(mask),
        shift=any(part in lower for part in SHIFTED),
        prefix_cache=any(part in lower for part in BLOCK_CAUSAL),
        name=name or kind or "masked_lm",
    )


def attempt(name: str, part: str, load: Any, has_code: bool = False) -> Any:
    """Call ``load`` and return its result; its errors become ModelErrors of one line about ``part``.

    ``has_code`` tells whether Python of the model's own runs, which may be for another transformers.
    """
    try:
        return load()
    except ModelError:
        raise
    except (AttributeError, ImportError, KeyError, TypeError) as error:
        message = " ".join(str(error).split())
        is_package_missing = isinstance(error, ImportError) and "cannot import name" not in message
        if has_code and not is_package_missing:
            raise inspection.incompatible(name, f"{type(error).__name__}: {message[:100]}") from error
        raise ModelError(f"{name}: its {part} cannot be read ({message[:160]})") from error
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        message = " ".join(str(error).split())
        if "trust_remote_code" in message:
            raise ModelError(
                f"{name}: comes with Python of its own, which runs only with --trust-remote-code"
            ) from error
        if not Path(name).is_dir():
            raise ModelError(f"{name}: neither a folder nor a model that can be fetched from here") from error
        raise ModelError(f"{name}: its {part} cannot be read ({message[:160]})") from error


def quiet() -> None:
    """Silence the libraries' messages, and progress bars unless stderr is a terminal. For programs only."""
    import huggingface_hub
    import transformers

    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # transformers does not say
    huggingface_hub.logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # nor here
    if not sys.stderr.isatty():
        transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # nor here


def check_reachable(name: str) -> None:
    """Raise ModelError at once for an id that is neither cached nor reachable."""
    import huggingface_hub
    from huggingface_hub import constants

    if Path(name).exists() or any(variable.lower().endswith("_proxy") for variable in os.environ):
        return
    try:
        if isinstance(huggingface_hub.try_to_load_from_cache(name, "config.json"), str):
            return
    except ValueError as error:
        raise ModelError(f"{name}: neither a folder nor a model's id") from error
    address = urlsplit(constants.ENDPOINT)
    try:
        socket.create_connection((address.hostname or "", address.port or 443), timeout=5).close()
    except OSError as error:
        raise ModelError(
            f"{name}: no such folder, and {address.hostname} cannot be reached from here"
        ) from error


def check_memory(name: str, config: Any, device: str) -> None:
    """Raise ModelError if the weights of a local folder are missing or do not fit in memory."""
    folder = Path(name)
    if not folder.is_dir():
        return
    files = list(folder.glob("*.safetensors"))
    index = folder / "model.safetensors.index.json"
    if not files and not index.is_file():
        pickled = "; pickled ones are not loaded" if list(folder.glob("*.bin")) else ""
        raise ModelError(f"{name}: no safetensors weights there{pickled}")
    needed = sum(file.stat().st_size for file in files)
    if index.is_file():
        needed = max(
            needed,
            int(json.loads(index.read_text(encoding="utf-8")).get("metadata", {}).get("total_size", 0)),
        )
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    canvas = getattr(config, "canvas_length", None) or 256
    needed += 2 * 4 * canvas * int(getattr(text, "vocab_size", 0))  # the logits and one copy
    free = free_bytes(device)
    if needed > free:
        where = "on the GPU" if device == "cuda" else "in memory, and there is no GPU"
        raise ModelError(f"{name}: needs {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free {where}")


def free_bytes(device: str) -> int:
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    except OSError:
        pass
    return 1 << 62  # unknown on this system
