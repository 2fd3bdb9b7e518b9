"""Development files of schemas with instances. A tenth of the lines, by hash, is reserved for testing.

>>> canonical_text({"properties": {"b": True, "a": True}}, {"a": 1, "b": 2}, max_bytes=64)
b'{"b":2,"a":1}'
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from solver.tasks.data import is_reserved
from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.errors import FillError, SchemaError
from solver.tasks.json_schema.grammar import SchemaGrammar
from solver.tasks.json_schema.serialize import serialize

FILES = ("schemastore_pairs", "maskbench_pairs")


def read_rows(path: Path, reserved: bool) -> list[dict[str, Any]]:
    """Read the rows of a .jsonl.gz file that are reserved, or that are not."""
    lines = gzip.decompress(path.read_bytes()).splitlines()
    return [json.loads(line) for line in lines if is_reserved(line) == reserved]


def load_pairs(
    folder: Path, reserved: bool, max_bytes: int = 224, files: Sequence[str] = FILES
) -> list[tuple[Any, bytes]]:
    """Return pairs of a schema and a valid instance as canonical text.

    Args:
        folder: folder of the files.
        reserved: whether to take the reserved lines or the others.
        max_bytes: longest text.
        files: names of the files, without suffixes.
    """
    pairs = []
    for file in files:
        for row in read_rows(folder / f"{file}.jsonl.gz", reserved):
            for test in row["tests"]:
                if test.get("valid") and "data" in test:
                    text = canonical_text(row["schema"], test["data"], max_bytes)
                    if text is not None and len(text) <= max_bytes:
                        pairs.append((row["schema"], text))
    return pairs


def canonical_text(schema: Any, value: Any, max_bytes: int) -> bytes | None:
    """Write a value as the schema's grammar does; None if it is not in the language or not a schema."""
    try:
        return serialize(SchemaGrammar(Compiler(schema), max_bytes), value)
    except (SchemaError, FillError, RecursionError):
        return None
