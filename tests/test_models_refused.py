"""Models and arguments that cannot work are refused in one line, by ``solver.generate`` and on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import solver
from solver.cli.main import main
from solver.errors import ModelError
from solver.llm.diffusion_gemma import DiffusionGemma
from solver.llm.masked_lm import MaskedLM
from solver.llm.pretrained import adapt
from solver.tasks.errors import InvalidArgument
from solver.tasks.text import Hole
from tests import tiny_models

TOKENIZER = tiny_models.tokenizer()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "either messages or a prompt"),
        ({"prompt": "x", "messages": [{"role": "user", "content": "x"}]}, "either messages or a prompt"),
        ({"messages": []}, "no messages"),
        ({"prompt": "x", "candidates": 0}, "candidates must be int, at least 1"),
        (
            {"prompt": "x", "template": [Hole(30)]},
            "template takes 31 tokens, its end included, and only 16 are available",
        ),
        ({"prompt": "x" * 600}, "over the model's context of 512"),
        ({"prompt": "x", "template": ["é"]}, "no tokens of this tokenizer are decoded to 'é'"),
    ],
)
def test_generate_says_in_one_line_what_cannot_be(settings: dict, message: str) -> None:
    with pytest.raises((InvalidArgument, ModelError), match=message) as caught:
        solver.generate(tiny_models.gemma(canvas=16), TOKENIZER, **settings)
    assert "\n" not in str(caught.value)


def test_a_tokenizer_of_another_model_is_refused() -> None:
    with pytest.raises(ModelError, match="the tokenizer has 63 tokens, the model 40"):
        solver.generate(tiny_models.gemma(canvas=16, vocab=40), TOKENIZER, prompt="x")
    with pytest.raises(InvalidArgument, match="a tokenizer is needed"):
        solver.generate(tiny_models.gemma(canvas=16), prompt="x")


def llama(folder: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=63, **sizes)).save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)


def no_tokenizer(folder: Path) -> None:
    tiny_models.gemma().save_pretrained(folder)


def pickled(folder: Path) -> None:
    tiny_models.gemma_folder(folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def enormous(folder: Path) -> None:
    tiny_models.gemma_folder(folder)
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(1 << 42)  # 4 TiB that take no room


def damaged(folder: Path) -> None:
    tiny_models.gemma_folder(folder)
    (folder / "model.safetensors").write_bytes(b"nothing")


def small_canvas(folder: Path) -> None:
    tiny_models.gemma_folder(folder, canvas=16)


def without_digits(folder: Path) -> None:
    tiny_models.gemma_folder(folder, canvas=128)
    text = (folder / "tokenizer.json").read_text(encoding="utf-8")
    (folder / "tokenizer.json").write_text(text.replace('"7":', '"seven":'), encoding="utf-8")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (llama, "LlamaForCausalLM writes left to right; a diffusion model is needed"),
        (no_tokenizer, "no tokenizer beside the model"),
        (pickled, "no safetensors weights there; pickled ones are not loaded"),
        (enormous, "needs 4096.0 GiB"),
        (damaged, "weights cannot be read"),
        (small_canvas, "the answer takes 89 tokens, and the model's canvas has 16"),
        (without_digits, "no single token for '7'"),
        (lambda folder: tiny_models.remote_folder(folder, "tiny_llada"), "only with --trust-remote-code"),
        (lambda folder: folder.rmdir(), "neither a folder"),
    ],
)
def test_the_command_line_refuses_a_model_in_one_line(make, message: str, tmp_path: Path, capfd) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    make(folder)
    assert main(["sudoku", "--model", str(folder)]) == 2
    error = capfd.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error


@pytest.mark.parametrize("other", [["--denoiser", "random"], ["--loops", "3"]])
def test_a_model_stands_in_for_the_denoiser(other: list[str], capfd) -> None:
    assert main(["sudoku", "--model", "anything", *other]) == 2
    assert "goes neither with" in capfd.readouterr().err


def test_the_command_line_solves_with_a_model(tmp_path: Path, capfd) -> None:
    folder = tiny_models.gemma_folder(tmp_path / "model", canvas=128)
    assert main(["sudoku", "--model", str(folder), "--json", "1...0..2.3..4..."]) == 0
    result = json.loads(capfd.readouterr().out)
    assert (result["status"], result["denoiser"], len(result["solution"])) == ("solved", str(folder), 16)


def test_adapt_refuses_what_writes_left_to_right() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    with pytest.raises(ModelError, match="LlamaForCausalLM writes left to right"):
        adapt(LlamaForCausalLM(LlamaConfig(vocab_size=63, **sizes)), TOKENIZER)
    assert isinstance(adapt(tiny_models.gemma(), TOKENIZER), DiffusionGemma)
    assert isinstance(adapt(tiny_models.remote_model("tiny_llada"), TOKENIZER), MaskedLM)
