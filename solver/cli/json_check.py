"""``python -m solver json check``: report what is wrong with JSON files, and where.

It imports neither torch nor numpy. A file that cannot be read is reported, and the others are still checked.
"""

import argparse
import importlib
import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from solver.cli.main import UsageError
from solver.cli.options import read_text

BYTE_ORDER_MARK = "\ufeff"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "instances", nargs="+", metavar="INSTANCE", help="files with one JSON value each; - for stdin"
    )
    parser.add_argument("--schema", metavar="F", required=True, help="a file with a JSON schema")
    parser.add_argument(
        "--check",
        metavar="MODULE:FUNCTION",
        help="called with the value; returns None, a message, or violations (FILE.py:FUNCTION too)",
    )
    parser.add_argument(
        "--registry", metavar="DIR", help="schemas that $ref may point to: *.json, by their $id or file name"
    )
    parser.add_argument("--formats", action="store_true", help="assert format")
    parser.add_argument("--json", action="store_true", help="one JSON object per line, in input order")
    parser.add_argument("--quiet", action="store_true", help="print only what is not valid")


def run(arguments: argparse.Namespace) -> int:
    """Check every file and print a line for it, then a line for each error."""
    from solver.tasks.json_schema.validator import build_validator

    schema = decode_json(read_text(arguments.schema), arguments.schema, is_unique=True)
    registry, check = read_registry(arguments.registry), load_check(arguments.check)
    validator = build_validator(schema, None, arguments.formats, registry)
    statuses = set()
    for name in arguments.instances:
        errors: list[dict[str, str]] = []
        try:
            errors += find_errors(read_text(name), name, validator, check)
            status = "invalid" if errors else "valid"
        except UsageError as error:
            status = "bad input"
            errors.append({"pointer": "", "message": str(error)})
            print(f"error: {error}", file=sys.stderr)
        statuses.add(status)
        if arguments.json:
            print(json.dumps({"instance": name, "status": status, "errors": errors}))
        elif status == "invalid" or (status == "valid" and not arguments.quiet):
            print(f"{name}: {status}")
            for item in errors:
                print(f"  {item['pointer'] or '/'}: {item['message']}")
    return 2 if "bad input" in statuses else 1 if "invalid" in statuses else 0


def find_errors(
    text: str,
    name: str,
    validator: Any,
    check: Callable[[Any], Any] | None,
) -> list[dict[str, str]]:
    """Return the JSON pointer and message of every error. Raises UsageError if ``text`` is not JSON."""
    from solver.tasks.json_schema.validator import repeated_names, to_pointer

    text = text.removeprefix(BYTE_ORDER_MARK)
    value = decode_json(text, name)
    errors = [(to_pointer(error.instance_path), error.message) for error in validator.iter_errors(value)]
    errors += [(to_pointer(path), "a name is repeated") for path in repeated_names(text)]
    if check is not None:
        from solver.tasks.arguments import run_check

        errors += [(violation.path or "", violation.message) for violation in run_check(check, value)]
    return [{"pointer": pointer, "message": message} for pointer, message in errors]


def decode_json(text: str, name: str, is_unique: bool = False) -> Any:
    """Return the value of a JSON text, which may begin with a byte order mark.

    Args:
        text: the text.
        name: of its file, for messages.
        is_unique: whether a name that stands twice in an object is an error.

    Raises:
        UsageError: it is not JSON, or a number is beyond the range of a double.
    """
    from solver.tasks.json_schema.validator import finite_number, refuse_constant

    try:
        value = json.loads(
            text.removeprefix(BYTE_ORDER_MARK),
            parse_constant=refuse_constant,
            parse_float=finite_number,
            object_pairs_hook=unique_members if is_unique else None,
        )
        json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate is no text
        return value
    except RecursionError:
        raise UsageError(f"{name}: nested too deeply") from None
    except ValueError as error:
        raise UsageError(f"{name}: not JSON ({error})") from None


def unique_members(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members as a dict. Raises ValueError if a name stands twice."""
    by_name = dict(members)
    if len(by_name) < len(members):
        names = [name for name, _ in members]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {json.dumps(repeated[:80])} stands twice in an object")
    return by_name


def read_registry(folder: str | None) -> dict[str, Any]:
    if folder is None:
        return {}
    if not Path(folder).is_dir():
        raise UsageError(f"{folder}: no such folder")
    schemas = {}
    for path in sorted(Path(folder).rglob("*.json")):
        schema = decode_json(read_text(str(path)), str(path), is_unique=True)
        uri = schema.get("$id", schema.get("id")) if isinstance(schema, dict) else None
        schemas[uri if isinstance(uri, str) else path.relative_to(folder).as_posix()] = schema
    return schemas


def load_check(name: str | None) -> Callable[[Any], Any] | None:
    """Return the function that MODULE:FUNCTION or FILE.py:FUNCTION names. Raises UsageError without one."""
    if name is None:
        return None
    source, _, function = name.rpartition(":")
    sys.path.insert(0, "")
    try:
        if source.endswith(".py"):
            check = runpy.run_path(source).get(function)
        else:
            check = getattr(importlib.import_module(source), function)
    except (ImportError, AttributeError, ValueError, OSError, SyntaxError, SystemExit) as error:
        raise UsageError(f"--check {name}: {error}") from None
    finally:
        sys.path.remove("")
    if not callable(check):
        raise UsageError(f"--check {name}: not a function")

    def call(value: Any) -> Any:
        try:
            return check(value)
        except Exception as error:  # the user's code may raise anything, and is named in the message
            raise UsageError(f"--check {name}: {type(error).__name__}: {error}") from error

    return call
