"""Tokens of code:

every text comes back, what tokens mean depends on nothing else, and merges are those of the reference.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from solver.tasks.code_edit import vocabulary as module
from solver.tasks.code_edit.lexer import Indent
from solver.tasks.code_edit.train_vocabulary import SIZE, split_words, train_merges
from solver.tasks.code_edit.vocabulary import FILE, SENTINELS, SPECIALS, Vocabulary, apply_merges
from tests.test_code_lexer import snippets, states

SOURCE = Path(module.__file__).read_text(encoding="utf-8")
MERGES: list[list[int]] = json.loads(FILE.read_text(encoding="utf-8"))["merges"]
VOCABULARY = Vocabulary.load()
FRESH = Vocabulary(MERGES)  # never encodes anything
tokens = st.integers(0, SIZE - 1) | st.sampled_from([*VOCABULARY.markers, VOCABULARY.blank, 0xE2, 0x82, 0xAC])


@settings(max_examples=50 * settings().max_examples)
@given(snippets, states)
@example("", Indent())
def test_every_text_comes_back_in_every_state(text: str, state: Indent) -> None:
    ids, _ = VOCABULARY.encode(text, state)
    assert ids.dtype == np.int64
    assert VOCABULARY.decode(ids, state) == text


@settings(max_examples=5 * settings().max_examples)
@given(st.lists(tokens, max_size=8), states, st.integers(0, 8))
def test_what_tokens_write_depends_on_the_state_alone(ids: list[int], state: Indent, at: int) -> None:
    text = VOCABULARY.decode(ids, state)
    assert "".join(VOCABULARY.token_texts(ids, state)) == text
    assert VOCABULARY.decode(np.array(ids, np.int64), state) == text
    assert VOCABULARY.decode([*ids[:at], VOCABULARY.blank, *ids[at:]], state) == text
    assert FRESH.decode(ids, state) == text


def test_a_source_comes_back_with_the_state_of_its_last_line() -> None:
    ids, after = VOCABULARY.encode(SOURCE + "    if x:\n        y")
    assert VOCABULARY.decode(ids) == SOURCE + "    if x:\n        y"
    assert after == Indent(("", "    ", "        "))


def test_layout_of_the_ids() -> None:
    assert VOCABULARY.size == SIZE == len(VOCABULARY.bytes) + len(SPECIALS)
    assert VOCABULARY.blank == SIZE - 1 == VOCABULARY.special("BLANK")
    assert sorted(VOCABULARY.special(name) for name in SPECIALS) == [*range(SIZE - len(SPECIALS), SIZE)]
    assert VOCABULARY.sentinels == tuple(VOCABULARY.special(name) for name in SENTINELS)
    assert len(SENTINELS) == 11
    assert (
        len({VOCABULARY.display(token) for token in range(128, SIZE)}) == SIZE - 128
    )  # every one is seen as itself
    assert FILE.stat().st_size < 40_000


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["NEWLINE"], "\n    "),
        (["NEWLINE", "INDENT"], "\n        "),
        (["NEWLINE", "DEDENT"], "\n"),
        (["NEWLINE", "DEDENT", "DEDENT", "DEDENT"], "\n"),  # there is nothing below
        (["NEWLINE", "DEDENT", "INDENT"], "\n    "),
        (["NEWLINE", "NEWLINE"], "\n\n    "),
        (["NEWLINE", "BLANK", "NEWLINE"], "\n\n    "),
        (["NEWLINE", "MARGIN", "NEWLINE"], "\n\n\n    "),
        (["MARGIN"], "\n"),
        (["START", "HOLE0", "HOLE7", "GAP", "END", "BLANK"], ""),
    ],
)
def test_what_special_tokens_write(names: list[str], text: str) -> None:
    assert VOCABULARY.decode([VOCABULARY.special(name) for name in names], Indent(("", "    "))) == text


@pytest.mark.parametrize(
    ("raw", "written"),
    [
        (b"\xe2\x82\xac", ["", "", "€"]),
        (b"\xe2\x82", ["", "�"]),
        (b"\xe2a", ["", "�a"]),
        (b"\xffa", ["�", "a"]),
        (b"\xed\xa0\x80", ["", "", "\ud800"]),
        (b"\xf0\x9f\x98\x80\xf0", ["", "", "", "😀", "�"]),
    ],
)
def test_bytes_that_are_parts_of_characters(raw: bytes, written: list[str]) -> None:
    assert VOCABULARY.token_texts(list(raw)) == written
    assert VOCABULARY.token_texts([raw[0], VOCABULARY.special("MARGIN"), *raw[1:]])[:2] == [
        "�" if len(written[0]) == 0 else written[0],
        "\n",
    ]  # no character goes on behind a marker


def test_ids_that_are_none_are_refused() -> None:
    for token in (-1, SIZE):
        with pytest.raises(ValueError, match="an id is not in 0 to 2047"):
            VOCABULARY.decode([token])
    with pytest.raises(KeyError):
        VOCABULARY.special("MASK")
    for merge in ([0, 256], [-1, 0]):
        with pytest.raises(ValueError, match="which are not there yet"):
            Vocabulary([merge])


@pytest.mark.parametrize(
    "around", ["{}", "x = {}", "f({})", "if {}:", "not {}.y", "a[{}]", 'f"{{{}}}"', "'{}'", "\t{}", "*{},"]
)
@pytest.mark.parametrize("name", ["hidden_states", "x", "naïve_Über9"])
def test_a_name_has_one_spelling(around: str, name: str) -> None:
    spelled = VOCABULARY.encode(name)[0].tolist()
    found = VOCABULARY.encode(around.format(name))[0].tolist()
    assert any(found[at : at + len(spelled)] == spelled for at in range(len(found)))


def reference() -> Tokenizer:
    """The same merges in ``tokenizers``, where bytes are the characters of Latin-1."""
    names = [chr(value) for value in range(256)]
    for a, b in MERGES:
        names.append(names[a] + names[b])
    merges = [(names[a], names[b]) for a, b in MERGES]
    return Tokenizer(models.BPE({name: number for number, name in enumerate(names)}, merges))


REFERENCE = reference()
RANKS = {(a, b): 256 + number for number, (a, b) in enumerate(MERGES)}


@settings(max_examples=500)
@given(st.text("abcdefinorstu_ =", max_size=12) | snippets)
def test_merges_are_those_of_tokenizers(word: str) -> None:
    raw = word.encode(errors="surrogatepass")
    assert list(apply_merges(raw, RANKS)) == REFERENCE.encode(raw.decode("latin-1")).ids


def test_the_words_of_a_source_are_those_of_tokenizers() -> None:
    words = set(split_words(SOURCE))
    assert len(words) > 250
    for word in words:
        assert list(VOCABULARY.words[word]) == REFERENCE.encode(word.encode().decode("latin-1")).ids


def test_training_merges_what_stands_together_within_lexemes() -> None:
    found = Vocabulary(
        train_merges(["count = count + 1\n" * 4, "print(count)\n"], 256 + len(SPECIALS) + 8)["merges"]
    )
    assert found.size == 256 + len(SPECIALS) + 8
    token_texts = [found.display(token) for token in found.encode("count = print")[0]]
    assert token_texts[:2] == ["count", " = "]
    assert all("t " not in piece and "(" not in piece for piece in map(found.display, range(257, 264)))


def test_training_stops_where_nothing_stands_twice() -> None:
    assert train_merges(["a b"])["merges"] == []


def test_a_word_is_merged_once_however_often_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[bytes]()

    def counted(raw: bytes, merges: Mapping[tuple[int, int], int]) -> tuple[int, ...]:
        asked.append(raw)
        return apply_merges(raw, merges)

    monkeypatch.setattr(module, "apply_merges", counted)
    vocabulary = Vocabulary(MERGES)
    vocabulary.encode(SOURCE * 3)
    assert len(asked) == len(set(asked)) < len(SOURCE) / 10
    before = len(asked)
    vocabulary.encode(SOURCE)
    assert len(asked) == before


def test_words_are_not_kept_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CACHED_WORDS", 10)
    vocabulary = Vocabulary(MERGES)
    assert vocabulary.decode(vocabulary.encode(SOURCE)[0]) == SOURCE
    assert len(vocabulary.words) <= 10
