"""Schemas of the development files, with their instances, and the grade of python's ``jsonschema``.

cases = load_schemas(Path("shared/data/jsonschema"), limit=100)
cases[0].grade(7)
"""

import gzip
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
from referencing import Registry, Resource
from referencing.jsonschema import specification_with

from solver.tasks.json_schema.compiler import Compiler
from solver.tasks.json_schema.errors import SchemaError
from solver.tasks.json_schema.grammar import SchemaGrammar
from solver.tasks.json_schema.problem import JsonProblem
from solver.tasks.json_schema.serialize import serialize
from solver.tasks.json_schema.validator import DRAFTS, draft_of
from solver.tasks.text import Hole

SUITE, STORE, MASK = "json_schema_test_suite", "schemastore_pairs", "maskbench_pairs"
PARTS = ("Github_medium",)  # of maskbench that are also reported by themselves
LENGTH = 256  # bytes of a block
INSTANCES = 6  # of a schema that are pinned in part
SHARES = (0.25, 0.5)  # of the bytes that are pinned
VALIDATORS = {
    4: jsonschema.Draft4Validator,
    6: jsonschema.Draft6Validator,
    7: jsonschema.Draft7Validator,
    2019: jsonschema.Draft201909Validator,
    2020: jsonschema.Draft202012Validator,
}
SUITE_DRAFTS = {"draft7": 7, "draft2019-09": 2019, "draft2020-12": 2020}
Parts = list[str | Hole]


@dataclass(frozen=True, eq=False)
class SchemaCase:
    """A schema of a file.

    Args:
        name: in its file.
        group: the file, or the suite's draft.
        schema: as JSON.
        tests: instances, and whether each is valid.
        draft: as the suite gives it; None: as the schema does.
        shortest: bytes of the shortest known valid instance; None if there is none.
        registry: remote schemas by URI.
    """

    name: str
    group: str
    schema: Any
    tests: tuple[tuple[Any, bool], ...]
    draft: int | None
    shortest: int | None
    registry: Mapping[str, Any] = field(default_factory=dict)

    @property
    def in_suite(self) -> bool:
        """Whether the schema is of the official test suite, where formats are annotations only."""
        return self.group.startswith("suite")

    @property
    def fits(self) -> bool:
        """Whether a known instance fits the block, or none is known."""
        return self.shortest is None or self.shortest <= LENGTH

    def problem(self, template: Parts | None = None) -> JsonProblem:
        """The schema as the loop gets it. Raises SchemaError or FillError."""
        return JsonProblem.of(
            self.schema,
            registry=dict(self.registry),
            draft=self.draft,
            formats=not self.in_suite,
            template=template,
        )

    def compiler(self, formats: bool = True) -> Compiler:
        """Compile the schema. Raises SchemaError."""
        return Compiler(self.schema, formats, dict(self.registry), self.draft)

    def grade(self, value: Any) -> bool | None:
        """Whether python's ``jsonschema`` finds the value valid. The validator in the loop is another one.

        Returns:
            None if a pattern of the schema is not supported by ``re`` (``\\p{Letter}``, for example).
        """
        registry = dict(self.registry)
        draft = self.draft or draft_of(self.schema, known=registry)
        specification = specification_with(next(uri for uri, known in DRAFTS.items() if known == draft))
        resources = [
            (uri, Resource.from_contents(contents, default_specification=specification))
            for uri, contents in registry.items()
        ]
        validator = VALIDATORS[draft](self.schema, registry=Registry[Any]().with_resources(resources))
        try:
            return bool(validator.is_valid(value))
        except re.error:
            return None


def load_schemas(folder: Path, limit: int | None) -> list[SchemaCase]:
    """Load the schemas of the development files, at most ``limit`` of each, drawn with one seed."""
    remotes = json.loads(gzip.decompress((folder / f"{SUITE}_remotes.json.gz").read_bytes()))
    cases = []
    for file in (SUITE, STORE, MASK):
        lines = gzip.decompress((folder / f"{file}.jsonl.gz").read_bytes()).splitlines()
        rows = [row for row in map(json.loads, lines) if file != SUITE or row["kind"] == "required"]
        if limit is not None and len(rows) > limit:
            rows = [rows[k] for k in sorted(np.random.default_rng(0).permutation(len(rows))[:limit])]
        for row in rows:
            tests = tuple((test["data"], bool(test["valid"])) for test in row["tests"] if "data" in test)
            cases.append(
                SchemaCase(
                    row["id"],
                    f"suite {row['draft']}" if file == SUITE else file,
                    row["schema"],
                    tests,
                    SUITE_DRAFTS.get(row.get("draft", "")),
                    row["min_valid_bytes"] if row.get("has_valid", True) else None,
                    remotes if file == SUITE else {},
                )
            )
    return cases


def by_group(cases: Iterable[SchemaCase]) -> dict[str, list[SchemaCase]]:
    groups: dict[str, list[SchemaCase]] = {}
    for case in cases:
        groups.setdefault(case.group, []).append(case)
    return groups


def groups_and_parts(cases: Iterable[SchemaCase]) -> dict[str, list[SchemaCase]]:
    """The cases by file or draft, and again those of each part of a file that is reported by itself."""
    groups = by_group(cases)
    parts = {name: [case for case in groups.get(MASK, []) if f"/{name}-" in case.name] for name in PARTS}
    return groups | {f"{MASK}, {name}": members for name, members in parts.items() if members}


def pinned_instances(
    cases: Sequence[SchemaCase],
    share: float,
    seed: int,
) -> Iterator[tuple[SchemaCase, bytes, Parts]]:
    """Yield valid instances of at most LENGTH bytes, and templates that pin a share of their bytes."""
    rng = np.random.default_rng(seed)
    for case in cases:
        for value in [value for value, valid in case.tests[:INSTANCES] if valid]:
            try:
                text = serialize(SchemaGrammar(case.compiler(), LENGTH), value)
            except SchemaError:
                continue
            if text is not None and len(text) <= LENGTH:
                yield case, text, punch_holes(text, rng.random(len(text)) < share)


def punch_holes(text: bytes, kept: np.ndarray) -> Parts:
    """Return a template with holes where bytes are not kept; characters stay together."""
    parts: Parts = []
    start = 0
    for character in text.decode():
        size = len(character.encode())
        match parts[-1] if parts else None, bool(kept[start : start + size].any()):
            case str() as literal, True:
                parts[-1] = literal + character
            case Hole(size=int() as cells), False:
                parts[-1] = Hole(cells + size)
            case _, keep:
                parts.append(character if keep else Hole(size))
        start += size
    return parts
