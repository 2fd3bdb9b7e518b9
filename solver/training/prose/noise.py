"""Noise of a text as people write it: slips in the words around the values, capitals, spaces, line breaks."""

from __future__ import annotations

import re
from random import Random

from solver.training.prose.compose import Piece

WORD = re.compile(r"[a-z]{5,}")


def add_noise(rng: Random, pieces: list[Piece], tone: str) -> list[Piece]:
    """Spoil the pieces of a text; values keep their letters, up to case."""
    chance = rng.random()
    if chance < 0.025:
        return [upper_case(piece) for piece in pieces]
    if chance < 0.10:
        pieces = [piece if piece.path else piece._replace(text=misspelt(rng, piece.text)) for piece in pieces]
    elif chance < 0.14 or (tone == "chat" and chance < 0.4):
        pieces = [piece if piece.path else piece._replace(text=piece.text.lower()) for piece in pieces]
    elif chance < 0.19:
        pieces = [piece if piece.path else piece._replace(text=spread(rng, piece.text)) for piece in pieces]
    elif chance < 0.22 and tone == "mail":
        pieces = quoted(rng, pieces)
    elif chance < 0.25:
        pieces = emphasized(pieces, rng.choice(("**", "*", "“”", '""')))
    return pieces


def upper_case(piece: Piece) -> Piece:
    """The piece in capitals, unless it is an address or would no longer be the same value."""
    if "@" in piece.text or "://" in piece.text or "ß" in piece.text:
        return piece
    return piece._replace(text=piece.text.upper())


def misspelt(rng: Random, text: str) -> str:
    """``text`` with a slip in a few words: two letters swapped, one left out, or one doubled."""

    def slip(match: re.Match[str]) -> str:
        word = match[0]
        if rng.random() > 0.12:
            return word
        place = rng.randrange(1, len(word) - 2)
        inner = rng.choice(
            (word[place + 1] + word[place], word[place + 1], word[place : place + 2] + word[place + 1])
        )
        return word[:place] + inner + word[place + 2 :]

    return WORD.sub(slip, text)


def spread(rng: Random, text: str) -> str:
    """``text`` with spaces doubled here and there."""
    return re.sub(" ", lambda _: rng.choice((" ", " ", " ", "  ")), text)


def quoted(rng: Random, pieces: list[Piece]) -> list[Piece]:
    """A mail that is quoted in another one."""
    if any("\n" in piece.text for piece in pieces if piece.path):
        return pieces
    start = rng.choice(("See below.\n\n", "FYI\n\n", "Forwarding this to you.\n\n", ""))
    return [Piece(f"{start}> "), *(piece._replace(text=piece.text.replace("\n", "\n> ")) for piece in pieces)]


def emphasized(pieces: list[Piece], marks: str) -> list[Piece]:
    """The values that stand by themselves, between marks."""
    start, end = (marks[0], marks[1]) if marks in ("“”", '""') else (marks, marks)
    lone = {
        path
        for path in {piece.path for piece in pieces}
        if all(p.part == "core" for p in pieces if p.path == path)
    }
    result = list[Piece]()
    for piece in pieces:
        is_lone = piece.path in lone and piece.text[:1].isalpha()
        result += [Piece(start), piece, Piece(end)] if is_lone else [piece]
    return result


def wrapped(text: str, width: int) -> str:
    """``text`` with spaces replaced by line breaks, so that places stay what they are."""
    characters, last_break, last_space = list(text), 0, -1
    for place, character in enumerate(text):
        if character == "\n":
            last_break, last_space = place + 1, -1
        elif character == " ":
            last_space = place
        if place - last_break >= width and last_space >= 0:
            characters[last_space] = "\n"
            last_break, last_space = last_space + 1, -1
    return "".join(characters)
