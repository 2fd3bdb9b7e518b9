"""The bytes that every token of a tokenizer contributes to a decoded text.

The table is computed from the steps of the tokenizer's decoder and compared with the text that the tokenizer
itself decodes. A token's bytes may differ at the start of a text: there, some decoders drop a space.

>>> steps = decoder_steps({"type": "WordPiece", "prefix": "##", "cleanup": False})
>>> decoded(["a", "##b"], steps, is_first=True), decoded(["a", "##b"], steps, is_first=False)
(['a', '##b'], [' a', 'b'])
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

from solver.errors import ModelError
from solver.tasks.languages.token_bytes import TokenBytes

BYTE_TOKEN = re.compile("<0x[0-9A-Fa-f]{2}>")
MARKER = re.compile(r"<(/?)([^<>\s]+)>|\[[A-Z_]+\]")  # <tool_call>, <|channel>, [TOOL_CALLS]
# Some vocabularies have tokens of their own for elements of HTML, which are text.
ELEMENTS = """a b blockquote body caption code div em footer h1 h2 h3 h4 h5 h6 html i iframe img li ol p s span
strong sub sup table tbody td tfoot th thead tr u ul"""
HTML = frozenset(ELEMENTS.split())
SAMPLE = 256  # tokens that are decoded alone to verify the table
# WordPiece's cleanup, in the order in which the decoder applies it.
CLEANUP = (
    *((f" {mark}", mark) for mark in ".?!,"),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" do not", " don't"),
    *((f" '{ending}", f"'{ending}") for ending in ("s", "ve", "re")),
)
Step = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class TokenTable:
    """The bytes of a tokenizer's tokens, and the tokens that are no text.

    Attributes:
        first: each token's bytes at the start of a text.
        later: each token's bytes after another token; b"" if the token is no text.
        special: special tokens, named or not.
        markers: added tokens such as ``<tool_call>``: text in a literal, structure for the model.
        changes_neighbours: the text of a token may depend on the tokens beside it: on the first one, or on
            bytes that are no character.
    """

    first: tuple[bytes, ...]
    later: tuple[bytes, ...]
    special: frozenset[int]
    markers: frozenset[int]
    changes_neighbours: bool
    _vocabularies: dict[tuple[int, frozenset[int]], TokenBytes] = field(default_factory=dict)

    def vocabulary(self, size: int, removed: frozenset[int]) -> TokenBytes:
        """The table for a model of ``size`` tokens, without the text of ``removed`` tokens. It is built once."""
        key = size, removed
        if key not in self._vocabularies:
            first, later = (_resized(texts, size, removed) for texts in (self.first, self.later))
            is_plain = self.first is self.later
            self._vocabularies[key] = TokenBytes(later, None if is_plain else first, self.markers)
        return self._vocabularies[key]


def _resized(texts: tuple[bytes, ...], size: int, removed: frozenset[int]) -> tuple[bytes, ...]:
    resized = list(texts[:size]) + [b""] * (size - len(texts))
    for token in removed:
        resized[token] = b""
    return tuple(resized)


_tables: WeakKeyDictionary[Any, tuple[Any, TokenTable]] = WeakKeyDictionary()


def token_table(tokenizer: Any) -> TokenTable:
    """The table of ``tokenizer``, built once; again only if its added tokens or its decoder change.

    Raises:
        ModelError: it is not a tokenizer of the tokenizers library, or its text is not the concatenation of
            its tokens' bytes.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError("a schema or a pattern needs a tokenizer of the tokenizers library (a fast one)")
    state = b"null" if backend.decoder is None else backend.decoder.__getstate__()
    added = tuple((token, entry.content, entry.special) for token, entry in added_tokens(tokenizer).items())
    version = len(tokenizer), state, added, tuple(tokenizer.all_special_ids)
    known = _tables.get(tokenizer)
    if known is None or known[0] != version:
        known = _tables[tokenizer] = version, _build(tokenizer, json.loads(state))
    return known[1]


def added_tokens(tokenizer: Any) -> dict[int, Any]:
    """The added tokens of ``tokenizer``, with their content and whether they are special."""
    return dict(getattr(tokenizer, "added_tokens_decoder", {}))


def special_tokens(tokenizer: Any) -> frozenset[int]:
    """All special tokens, also those without a name in the tokenizer's configuration."""
    unnamed = {token for token, entry in added_tokens(tokenizer).items() if entry.special}
    return frozenset(unnamed.union(tokenizer.all_special_ids))


def marker_tokens(tokenizer: Any) -> frozenset[int]:
    """Added tokens that look like markers and are not special."""
    added = ((token, entry) for token, entry in added_tokens(tokenizer).items() if not entry.special)
    matches = ((token, MARKER.fullmatch(entry.content)) for token, entry in added)
    return frozenset(token for token, match in matches if match and match[2] not in HTML)


def num_tokens(tokenizer: Any) -> int:
    """The number of token ids, of which some may be unused."""
    return max([len(tokenizer), *(1 + token for token in added_tokens(tokenizer))])


def _build(tokenizer: Any, decoder: Step | None) -> TokenTable:
    special, steps = special_tokens(tokenizer), decoder_steps(decoder)
    names: list[str | None] = tokenizer.convert_ids_to_tokens(list(range(num_tokens(tokenizer))))
    symbols = ["" if name is None or token in special else name for token, name in enumerate(names)]
    is_text = [bool(symbol) for symbol in symbols]
    later = _encoded(decoded(symbols, steps, is_first=False), is_text)
    first = _encoded(decoded(symbols, steps, is_first=True), is_text)
    is_plain = first == later
    falls_back = any(step["type"] == "ByteFallback" for step in steps)
    table = TokenTable(
        later if is_plain else first,
        later,
        special,
        marker_tokens(tokenizer),
        changes_neighbours=falls_back or not is_plain,
    )
    _verify(tokenizer, table)
    return table


def _encoded(texts: list[str], is_text: list[bool]) -> tuple[bytes, ...]:
    pairs = zip(texts, is_text, strict=True)
    return tuple(text.encode("utf-8", "surrogateescape") if kept else b"" for text, kept in pairs)


def _verify(tokenizer: Any, table: TokenTable) -> None:
    """Compare the table with the tokenizer's own text. Raises ModelError if they differ."""
    tokens = [token for token, text in enumerate(table.later) if text]
    # A run of byte tokens that is no UTF-8 is decoded byte by byte: only ASCII ones stand in the long sequence.
    lone = [token for token in tokens if len(table.later[token]) == 1 and table.later[token] >= b"\x80"]
    if lone and BYTE_TOKEN.fullmatch(tokenizer.convert_ids_to_tokens(lone[0])):
        tokens = sorted(set(tokens) - set(lone))
    sequences = [tokens] + [[token] for token in tokens[:: 1 + len(tokens) // SAMPLE]]
    sequences += [[token] for token in tokens if table.first[token] != table.later[token]][:SAMPLE]
    for sequence in sequences:
        expected = b"".join(table.later[token] for token in sequence[1:])
        expected = b"".join(table.first[token] for token in sequence[:1]) + expected
        text = tokenizer.decode(sequence, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        if text != expected.decode("utf-8", "replace"):
            raise ModelError(
                "the texts of this tokenizer are not the concatenated bytes of its tokens; a schema or a "
                "pattern needs a byte-level, SentencePiece or WordPiece tokenizer"
            )


def decoder_steps(decoder: Step | None) -> list[Step]:
    """The steps of a decoder, given as its JSON; None for a tokenizer without one.

    Raises:
        ModelError: a step needs more context than whether a token is the first one.
    """
    if decoder is None:  # tokens are joined with spaces
        return [{"type": "WordPiece", "prefix": "", "cleanup": False}]
    steps = decoder["decoders"] if decoder["type"] == "Sequence" else [decoder]
    is_fused = False
    for step in steps:
        match step:
            case {"type": "Replace", "pattern": {"String": pattern}}:
                is_local = not is_fused or len(pattern) == 1
            case {"type": "Strip", "start": start, "stop": stop}:
                is_local = not is_fused or (start <= 1 and stop == 0)
            case {"type": "ByteFallback" | "Metaspace" | "WordPiece" | "ByteLevel" | "Fuse"}:
                is_local = not is_fused or step["type"] == "Fuse"
            case _:
                is_local = False
        if not is_local:
            raise ModelError(
                f"a schema or a pattern needs a tokenizer whose tokens follow one another; a decoder with the "
                f"step {step['type']} is not supported"
            )
        is_fused |= step["type"] in ("Fuse", "ByteLevel")
    return list(steps)


def decoded(symbols: list[str], steps: list[Step], is_first: bool) -> list[str]:
    """The text of each symbol, at the start of a text or later; single bytes as surrogate escapes."""
    texts, is_fused = symbols, False
    for step in steps:
        match step:
            case {"type": "Replace", "pattern": {"String": pattern}, "content": content}:
                texts = [text.replace(pattern, content) for text in texts]
            case {"type": "ByteFallback"}:
                texts = [_byte_text(text) if text[:3] == "<0x" else text for text in texts]
            case {"type": "Strip", "content": content, "start": start, "stop": stop}:
                if is_first or not is_fused:
                    texts = [_stripped(text, content, start, stop) for text in texts]
            case {"type": "Metaspace", "replacement": mark, **rest}:
                drops = is_first and rest.get("prepend_scheme", "always") != "never"
                texts = [text.replace(mark, "" if drops else " ") for text in texts]
            case {"type": "WordPiece", "prefix": prefix, "cleanup": cleanup}:
                if not is_first:
                    texts = [_continued(text, prefix) for text in texts]
                for pattern, content in CLEANUP if cleanup else ():
                    texts = [text.replace(pattern, content) for text in texts]
            case {"type": "ByteLevel"}:
                texts = [_byte_level_text(text) for text in texts]
        is_fused |= step["type"] in ("Fuse", "ByteLevel")
    return texts


def _byte_text(text: str) -> str:
    is_byte = BYTE_TOKEN.fullmatch(text)
    return bytes([int(text[3:5], 16)]).decode("utf-8", "surrogateescape") if is_byte else text


def _stripped(text: str, content: str, start: int, stop: int) -> str:
    for _ in range(start):
        text = text.removeprefix(content)
    for _ in range(stop):
        text = text.removesuffix(content)
    return text


def _continued(text: str, prefix: str) -> str:
    return text[len(prefix) :] if prefix and text.startswith(prefix) else f" {text}"


def _byte_level_text(text: str) -> str:
    table = _symbol_bytes()
    try:
        return bytes([table[character] for character in text]).decode("utf-8", "surrogateescape")
    except KeyError:  # a symbol with other characters is text
        return text


@cache
def _symbol_bytes() -> dict[str, int]:
    return {symbol: byte for byte, symbol in byte_symbols().items()}


@cache
def byte_symbols() -> dict[int, str]:
    """The printable symbol of each byte in a byte-level vocabulary (GPT-2's table)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + k) for k, byte in enumerate(rest)}
