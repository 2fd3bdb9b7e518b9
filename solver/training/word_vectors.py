"""Build the word vectors of the reader from the input embeddings of a language model in a GGUF file.

    python -m solver.training.word_vectors SmolLM2-135M-Instruct.Q4_1.gguf solver/weights/words

A word's vector is the mean over the spellings that are one token each (" invoice", " Invoice", ...),
centred, without the two largest principal components, which hold frequency, and reduced to the next ones.
Pieces are vectors of tokens inside words, of which unknown words are put together. Needs the package
``gguf``; the result is small and ships with this project.

>>> spelling_weights(["Ġbill", "ĠBill", "bill", "Bill", "ing", "()"])
{'bill': [(0, 1.0), (1, 1.0), (3, 0.3)]}
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from solver.models.checkpoint import write_tensors

WIDTH = 128
FREQUENCY_COMPONENTS = 2
PIECES = 4_000  # the tokens inside words that are most frequent
INSIDE = 0.3  # weight of a spelling without a space before it
SPACE = "Ġ"  # a space in the byte-level vocabulary


def spelling_weights(tokens: list[str]) -> dict[str, list[tuple[int, float]]]:
    """The tokens that spell each lower-case word, with weights."""
    spellings = dict[str, list[tuple[int, float]]]()
    for index, token in enumerate(tokens):
        if token.startswith(SPACE) and token[1:].isalpha() and token[1:].isascii():
            spellings.setdefault(token[1:].lower(), []).append((index, 1.0))
    for index, token in enumerate(tokens):
        is_capitalised = token.isalpha() and token.isascii() and token != token.lower()
        if is_capitalised and token.lower() in spellings:
            spellings[token.lower()].append((index, INSIDE))
    return spellings


def reduced(embeddings: NDArray[np.float32], tokens: list[str]) -> tuple[list[str], NDArray[np.float32]]:
    """Words, then pieces (with a leading "#"), and their unit vectors (T, WIDTH)."""
    spellings = spelling_weights(tokens)
    rows = np.empty((len(spellings), embeddings.shape[1]), np.float32)
    for row, entries in enumerate(spellings.values()):
        index, weight = zip(*entries, strict=True)
        rows[row] = np.average(embeddings[list(index)], axis=0, weights=weight)
    mean = rows.mean(0)
    _, _, axes = np.linalg.svd(rows - mean, full_matrices=False)
    axes = axes[FREQUENCY_COMPONENTS : FREQUENCY_COMPONENTS + WIDTH].T
    is_piece = [token.isalpha() and token.isascii() and token == token.lower() for token in tokens]
    pieces = np.flatnonzero(is_piece)[:PIECES]
    vectors = np.concatenate([rows, embeddings[pieces]]) - mean
    vectors = vectors @ axes
    words = [*spellings, *(f"#{tokens[index]}" for index in pieces)]
    return words, (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def read_embeddings(path: Path) -> tuple[NDArray[np.float32], list[str]]:
    """The input embeddings (V, D) and the tokens (V,) of a GGUF file."""
    from gguf import GGUFReader, dequantize  # type: ignore[import-not-found]  # only for this script

    reader: Any = GGUFReader(path)
    tensor = next(tensor for tensor in reader.tensors if tensor.name == "token_embd.weight")
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    return dequantize(tensor.data, tensor.tensor_type).astype(np.float32), list(tokens)


def write_word_vectors(folder: Path, words: list[str], vectors: NDArray[np.float32]) -> None:
    """Write the table as int8 with a scale for each word."""
    folder.mkdir(parents=True, exist_ok=True)
    scales = np.abs(vectors).max(1) / 127
    tensors = {
        "words": torch.from_numpy(np.frombuffer("\n".join(words).encode(), np.uint8).copy()),
        "vectors": torch.from_numpy(np.rint(vectors / scales[:, None]).astype(np.int8)),
        "scales": torch.from_numpy(scales.astype(np.float16)),
    }
    write_tensors(folder / "words.safetensors", tensors)


if __name__ == "__main__":
    write_word_vectors(Path(sys.argv[2]), *reduced(*read_embeddings(Path(sys.argv[1]))))
