"""Counts the byte pairs of code and writes ``vocabulary.json``. Takes some minutes and needs ``tokenizers``.

    python -m solver.tasks.code_edit.train_vocabulary

Running it anew changes the vocabulary: the shipped models would no longer fit.
"""

import json
from collections.abc import Iterable, Iterator
from importlib import metadata
from platform import python_version
from time import process_time
from typing import Any

from solver.tasks.code_edit.corpus import PACKAGES, Corpus
from solver.tasks.code_edit.lexer import WORDS, lex_lines
from solver.tasks.code_edit.vocabulary import FILE, SPECIALS, START_OF_LINE, Vocabulary

SIZE = 2048
SAMPLE_EVERY = 8  # one training function in this many is counted
MERGES_PER_LINE = 8  # of vocabulary.json
SEPARATOR = (
    "\u0100"  # between words; bytes are represented as the characters of Latin-1, and this is none of them
)


def train_merges(texts: Iterable[str], size: int = SIZE) -> dict[str, Any]:
    """The content of ``vocabulary.json``:

    merges for ``size`` ids, or fewer if no pair occurs twice any more.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers  # an extra that nothing else needs

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Split(SEPARATOR, "removed")
    alphabet = [chr(value) for value in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(SPECIALS), min_frequency=2, initial_alphabet=alphabet, show_progress=False
    )
    rows = (
        SEPARATOR.join(word.encode(errors="surrogatepass").decode("latin-1") for word in split_words(text))
        for text in texts
    )
    tokenizer.train_from_iterator(rows, trainer)
    ids = {character: ord(character) for character in alphabet}
    merges = list[list[int]]()
    for left, right in json.loads(tokenizer.to_str())["model"]["merges"]:
        merges.append([ids[left], ids[right]])
        ids.setdefault(left + right, 255 + len(merges))
    return {"merges": merges}


def split_words(text: str) -> Iterator[str]:
    for line in lex_lines(text, START_OF_LINE):
        yield from WORDS.findall(line.text)


def write_vocabulary() -> None:
    """Train the vocabulary, write the file, and print how many tokens functions have with it."""
    corpus = Corpus.build()
    sample = corpus.train[::SAMPLE_EVERY]
    merges = train_merges(function.text for function in sample)["merges"]
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES if name != "_pytest")
    about = f"byte pairs counted in {len(sample)} functions of Python {python_version()}, {versions}"
    starts = range(0, len(merges), MERGES_PER_LINE)
    rows = ",\n".join(json.dumps(merges[start : start + MERGES_PER_LINE])[1:-1] for start in starts)
    FILE.write_text(f'{{"about": {json.dumps(about)},\n"merges": [\n{rows}\n]}}\n', encoding="utf-8")

    Vocabulary.load.cache_clear()
    vocabulary, start_time = Vocabulary.load(), process_time()
    counts = sorted(len(vocabulary.encode(function.text)[0]) for function in corpus.development)
    speed = sum(len(function.text) for function in corpus.development) / (process_time() - start_time)
    median, ninth_decile = counts[len(counts) // 2], counts[9 * len(counts) // 10]
    print(f"{vocabulary.size} ids in {FILE.stat().st_size} bytes")
    print(f"{len(counts)} functions: median {median} tokens, nine in ten at most {ninth_decile}")
    print(f"{speed / 1000:.0f} thousand characters per second of processor time")


if __name__ == "__main__":
    write_vocabulary()
