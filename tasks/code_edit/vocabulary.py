"""Code as tokens: lexemes in runs of bytes that often stand together, markers of indentation, and a few signs that write nothing.

    vocabulary = Vocabulary.load()
    ids, after = vocabulary.encode("if x:\\n    y = 1\\n")
    vocabulary.decode(ids)                              # the text again

Ids: 256 bytes, then a merge of two earlier ids each, then the special ones, BLANK last. No merge reaches over a lexeme's end
(:mod:`lexer`), so a name has the same tokens wherever it stands. ``vocabulary.json`` holds the merges. Made with

    python -m solver.tasks.code_edit.vocabulary         # needs ``tokenizers`` and the corpus; some minutes
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib import metadata
from itertools import chain, pairwise
from pathlib import Path
from platform import python_version
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.tasks.code_edit.lexer import MARKERS, WORDS, Indent, Lexeme, lexeme_texts, lines

FILE = Path(__file__).with_name("vocabulary.json")
SENTINELS = (*(f"HOLE{number}" for number in range(8)), "GAP", "START", "END")
SPECIALS = (*(marker.upper() for marker in MARKERS), *SENTINELS, "BLANK")
SIZE = 2048
REMEMBERED = 1 << 17  # words whose tokens are kept
EVERY = 8  # one training function in so many is counted when merges are trained
START = Indent()
UNFINISHED = re.compile(
    rb"(?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})\Z"
)  # of a character's bytes, not all


class Vocabulary:
    """size: how many ids.  blank: the last of them.  sentinels: ids that write nothing and that no hole may hold."""

    def __init__(self, merges: Sequence[Sequence[int]]) -> None:
        """``merges``: two ids each, in the order in which they are made. Raises ValueError where one is not there yet."""
        self.bytes = [bytes([value]) for value in range(256)]
        for a, b in merges:
            if not 0 <= min(a, b) <= max(a, b) < len(self.bytes):
                raise ValueError(f"merge {len(self.bytes)} is of {a} and {b}, which are not there yet")
            self.bytes.append(self.bytes[a] + self.bytes[b])
        first = len(self.bytes)
        self.ids = {name: first + number for number, name in enumerate(SPECIALS)}
        self.size, self.blank = first + len(SPECIALS), self.ids["BLANK"]
        self.sentinels = tuple(self.ids[name] for name in SENTINELS)
        self.marker_ids = {marker: self.ids[marker.upper()] for marker in MARKERS}
        self.markers = {token: marker for marker, token in self.marker_ids.items()}
        self.silent = {*self.sentinels, self.blank}
        self.words = Words({(a, b): 256 + number for number, (a, b) in enumerate(merges)})

    @staticmethod
    @lru_cache(1)
    def load() -> Vocabulary:
        """The one that ships."""
        return Vocabulary(json.loads(FILE.read_text(encoding="utf-8"))["merges"])

    def special(self, name: str) -> int:
        """The id of one of SPECIALS. Raises KeyError."""
        return self.ids[name]

    def encode(self, text: str, state: Indent = START) -> tuple[NDArray[np.int64], Indent]:
        """The ids (N,) of any text in a line of the indentation ``state``, and the indentation of its last line."""
        found, after = list[int](), state
        for line in lines(text, state):
            found += [self.marker_ids[marker] for marker in line.markers]
            found += chain.from_iterable(map(self.words.__getitem__, WORDS.findall(line.text)))
            after = line.state
        return np.array(found, np.int64), after

    def decode(self, ids: Iterable[int], state: Indent = START) -> str:
        """What ids write in a line of the indentation ``state``. BLANK and sentinels write nothing. Raises ValueError."""
        return "".join(self.token_texts(ids, state))

    def token_texts(self, ids: Iterable[int], state: Indent = START) -> list[str]:
        """What each of the ids writes; joined, it is what they decode to. A character of several tokens is written by the last of
        them, and bytes that are no character become U+FFFD. Raises ValueError."""
        tokens = [int(token) for token in ids]
        if not all(0 <= token < self.size for token in tokens):
            raise ValueError(f"an id is not in 0 to {self.size - 1}")
        where = [at for at, token in enumerate(tokens) if token not in self.silent]
        lexemes, left = list[Lexeme](), b""
        for number, at in enumerate(where):
            marker = self.markers.get(tokens[at])
            if marker:
                lexemes.append(Lexeme("", marker))
                continue
            last = number + 1 == len(where) or tokens[where[number + 1]] in self.markers
            text, left = read(left + self.bytes[tokens[at]], last)
            lexemes.append(Lexeme(text, "other"))
        found = [""] * len(tokens)
        for at, piece in zip(where, lexeme_texts(lexemes, state), strict=True):
            found[at] = piece
        return found

    def text_of(self, token: int) -> str:
        """An id for the eye: what it stands for, or its name."""
        if token < len(self.bytes):
            return self.bytes[token].decode(errors="backslashreplace")
        return f"<{SPECIALS[token - len(self.bytes)]}>"


class Words(dict[str, tuple[int, ...]]):
    """The tokens of words, worked out when they are asked for, and kept."""

    def __init__(self, merges: Mapping[tuple[int, int], int]) -> None:
        super().__init__()
        self.merges = merges

    def __missing__(self, word: str) -> tuple[int, ...]:
        if len(self) >= REMEMBERED:
            self.clear()
        found = self[word] = merged(word.encode(errors="surrogatepass"), self.merges)
        return found


def merged(raw: bytes, merges: Mapping[tuple[int, int], int]) -> tuple[int, ...]:
    """Byte pair encoding: of all merges that apply the earliest, wherever it does, from the left; until none applies."""
    ids, never = list(raw), len(merges) + 256
    while True:
        chosen = min((merges.get(pair, never) for pair in pairwise(ids)), default=never)
        if chosen == never:
            return tuple(ids)
        joined, at = list[int](), 0
        while at < len(ids):
            both = merges.get((ids[at], ids[at + 1])) == chosen if at + 1 < len(ids) else False
            joined.append(chosen if both else ids[at])
            at += 1 + both
        ids = joined


def read(raw: bytes, last: bool) -> tuple[str, bytes]:
    """The text of some bytes, and what is left of them: the beginning of a character, unless these are the last."""
    unfinished = None if last else UNFINISHED.search(raw)
    raw, left = (raw[: unfinished.start()], unfinished.group()) if unfinished else (raw, b"")
    try:
        return raw.decode(errors="surrogatepass"), left  # half a surrogate pair is a character to Python
    except UnicodeDecodeError:
        return raw.decode(errors="replace"), left


def train(texts: Iterable[str], size: int = SIZE) -> dict[str, Any]:
    """What ``vocabulary.json`` holds: merges for a vocabulary of ``size`` ids, or fewer where nothing more stands twice."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers  # only this needs it

    between = "\u0100"  # bytes are trained on as the characters of Latin-1, and words are kept apart by one that is none of them
    rows = (
        between.join(word.encode(errors="surrogatepass").decode("latin-1") for word in words(text))
        for text in texts
    )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Split(between, "removed")
    alphabet = [chr(value) for value in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(SPECIALS), min_frequency=2, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(rows, trainer)
    ids = {character: ord(character) for character in alphabet}
    merges = list[list[int]]()
    for a, b in json.loads(tokenizer.to_str())["model"]["merges"]:
        merges.append([ids[a], ids[b]])
        ids.setdefault(a + b, 255 + len(merges))
    return {"merges": merges}


def words(text: str) -> Iterator[str]:
    for line in lines(text, START):
        yield from WORDS.findall(line.text)


def main() -> None:
    """Trains the vocabulary that ships, and says how many tokens a function has with it."""
    from solver.tasks.code_edit.corpus import PACKAGES, Corpus  # reading code is all that the rest does

    corpus = Corpus.build()
    found = train(function.text for function in corpus.train[::EVERY])
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES if name != "_pytest")
    about = f"byte pairs counted in {len(corpus.train[::EVERY])} functions of Python {python_version()}, {versions}"
    rows = ",\n".join(json.dumps(row)[1:-1] for row in batched(found["merges"]))
    FILE.write_text(f'{{"about": {json.dumps(about)},\n"merges": [\n{rows}\n]}}\n', encoding="utf-8")
    Vocabulary.load.cache_clear()
    vocabulary, start = Vocabulary.load(), process_time()
    counts = sorted(len(vocabulary.encode(function.text)[0]) for function in corpus.development)
    speed = sum(len(function.text) for function in corpus.development) / (process_time() - start)
    print(
        f"{vocabulary.size} ids in {FILE.stat().st_size} bytes; {len(counts)} functions of the development half: ",
        end="",
    )
    print(
        f"half have up to {counts[len(counts) // 2]} tokens, nine in ten up to {counts[9 * len(counts) // 10]}; ",
        end="",
    )
    print(f"{speed / 1000:.0f} thousand characters a second of processor time")


def batched(merges: Sequence[Sequence[int]], width: int = 8) -> Iterator[Sequence[Sequence[int]]]:
    return (merges[at : at + width] for at in range(0, len(merges), width))


if __name__ == "__main__":
    main()
