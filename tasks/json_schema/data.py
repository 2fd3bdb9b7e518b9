"""The development files of schemas with instances; a tenth of each file, by hash, is kept for tests.

real(Path("../shared/data/jsonschema"), reserved=False)      # [(schema, instance text), ...]
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.errors import FillError, SchemaError
from solver.tasks.json_schema.grammar import SchemaGrammar
from solver.tasks.json_schema.serialize import serialize

FILES = ("schemastore_pairs", "maskbench_pairs")


def read_rows(path: Path, reserved: bool | None = None) -> list[dict[str, Any]]:
    """The rows of a .jsonl.gz file: all, only the reserved, or only the others."""
    found = gzip.decompress(path.read_bytes()).splitlines()
    return [json.loads(line) for line in found if reserved is None or is_reserved(line) == reserved]


def is_reserved(line: bytes) -> bool:
    """Whether nothing may be trained on this line."""
    return int(sha256(line).hexdigest(), 16) % 10 == 0


def load_pairs(
    folder: Path, reserved: bool, most: int = 224, files: Sequence[str] = FILES
) -> list[tuple[Any, bytes]]:
    """Schemas with valid instances of at most so many bytes, spelled canonically."""
    found = []
    for file in files:
        for row in read_rows(folder / f"{file}.jsonl.gz", reserved):
            for test in row["tests"]:
                if test.get("valid") and "data" in test:
                    text = canonical_text(row["schema"], test["data"], most)
                    if text is not None and len(text) <= most:
                        found.append((row["schema"], text))
    return found


def canonical_text(schema: Any, value: Any, most: int) -> bytes | None:
    """A value as the schema's grammar spells it; None where it has none."""
    try:
        return serialize(SchemaGrammar(Compiler(schema), most), value)
    except (SchemaError, FillError, RecursionError):
        return None
