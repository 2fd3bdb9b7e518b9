"""``python -m solver json``: instances, judgements, and bad input in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from solver.cli.main import main
from tests.commands import imported_by

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 130},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
Write = Callable[[str, object], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(name: str, contents: object) -> str:
        path = tmp_path / name
        path.write_text(contents if isinstance(contents, str) else json.dumps(contents), encoding="utf-8")
        return str(path)

    return put


def test_fill(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["json", "fill", "--schema", write("s.json", PERSON), "--denoiser", "random"]) == 0
    out, err = capsys.readouterr()
    jsonschema.validate(json.loads(out), PERSON)
    assert err.startswith("valid:")


def test_quotes_are_taken_always_or_never(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    schema = write("s.json", '{"type": "string", "maxLength": 4}')
    arguments = ["json", "fill", "--schema", schema, "--text", write("t.txt", "Ann"), "--denoiser", "random"]
    assert main([*arguments, "--quotes", "always"]) == 0
    assert capsys.readouterr().out == '"Ann"\n'
    assert main([*arguments, "--quotes", "never", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["instance"] != '"Ann"'
    long = write("l.json", '{"type": "string", "minLength": 4}')
    arguments[3] = long
    assert main([*arguments, "--quotes", "always"]) == 1
    assert "NotInText" in capsys.readouterr().err
    assert main(arguments) == 0


def test_template_and_candidates(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    template = write("t.txt", '{"name": "{{5}}", "age": {{3}}}')
    arguments = ["--denoiser", "random", "--template", template, "--n", "3", "--json"]
    assert main(["json", "fill", "--schema", write("s.json", PERSON), *arguments]) == 0
    line = json.loads(capsys.readouterr().out)
    assert line["status"] == "valid"
    assert len(line["candidates"]) == 3
    for text in line["candidates"]:
        assert text.startswith('{"name": "')
        assert '", "age": ' in text
        jsonschema.validate(json.loads(text), PERSON)


def test_many_lines_in_order(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        '{"schema":{"type":"integer"},"length":8}',
        '{"schema":{"type":"x"}}',
        "nope",
        '{"schema":false}',
    ]
    lines += [
        '{"schema":{"type":"string","minLength":5000}}',
        '{"schema":{"const":"é"},"text":"x"}',
        '{"schema":true,"length":"8"}',
    ]
    assert (
        main(["json", "fill", "--file", write("many.jsonl", "\n".join(lines)), "--denoiser", "random"]) == 2
    )
    out, err = capsys.readouterr()
    results = [json.loads(line) for line in out.splitlines()]
    kinds = [result["error"]["type"] if result["error"] else None for result in results]
    assert kinds == [None, "BadInput", "BadInput", "UnsatisfiableSchema", "CanvasTooSmall", None, "BadInput"]
    assert [set(result) for result in results] == [
        {"number", "status", "instance", "strategy", "error", "forwards", "seconds"}
    ] * 7
    assert [result["strategy"] for result in results] == ["model", *[None] * 4, "model", None]
    assert [result["number"] for result in results] == [1, 2, 3, 4, 5, 6, 7]
    assert isinstance(json.loads(results[0]["instance"]), int)
    assert results[5]["instance"] == '"é"'
    assert "5002" in results[4]["error"]["message"]
    assert len(err.splitlines()) == 3


def test_predicate(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(
        "rules_for_test.py",
        "import solver\n\n\ndef adult(value):\n"
        "    if value['age'] < 100:\n        return solver.Violation('too young', path='/age')\n",
    )
    monkeypatch.chdir(tmp_path)
    schema = write("s.json", PERSON)
    assert (
        main(["json", "fill", "--schema", schema, "--check", "rules_for_test:adult", "--denoiser", "random"])
        == 0
    )
    assert json.loads(capsys.readouterr().out)["age"] >= 100
    young = write("young.json", {"name": "x", "age": 7})
    assert main(["json", "check", "--schema", schema, young, "--check", "rules_for_test:adult"]) == 1
    assert "/age: too young" in capsys.readouterr().out


def test_check(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    schema, good, bad = (
        write("s.json", PERSON),
        write("g.json", {"name": "x", "age": 7}),
        write("b.json", '{"name":"x","name":"y","age":200}'),
    )
    assert main(["json", "check", "--schema", schema, good]) == 0
    assert main(["json", "check", "--schema", schema, good, bad, "--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()[1:]]
    assert [line["status"] for line in lines] == ["valid", "invalid"]
    assert {error["pointer"] for error in lines[1]["errors"]} == {"/age", ""}


def test_check_goes_on_behind_a_bad_file_and_exits_with_2(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    schema, good = write("s.json", PERSON), write("g.json", {"name": "x", "age": 7})
    files = [write("broken.json", "{"), "/no/such/file", "/", good, write("b.json", {"name": "x"})]
    assert main(["json", "check", "--schema", schema, *files, "--json"]) == 2
    out, err = capsys.readouterr()
    statuses = [json.loads(line)["status"] for line in out.splitlines()]
    assert statuses == ["bad input", "bad input", "bad input", "valid", "invalid"]
    assert [line.startswith("error: ") for line in err.splitlines()] == [True] * 3


def test_check_imports_nothing_heavy(write: Write) -> None:
    arguments = [
        "json",
        "check",
        "--schema",
        write("s.json", PERSON),
        write("g.json", {"name": "x", "age": 7}),
    ]
    assert imported_by(arguments).isdisjoint({"torch", "numpy", "numba", "referencing", "rich"})


def test_registry(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "known").mkdir()
    (tmp_path / "known" / "one.json").write_text('{"$id":"http://x.org/one","enum":[1]}')
    schema = write("s.json", {"$ref": "http://x.org/one"})
    arguments = ["json", "fill", "--schema", schema, "--denoiser", "random"]
    assert main([*arguments, "--registry", str(tmp_path / "known")]) == 0
    assert json.loads(capsys.readouterr().out) == 1
    assert main(arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_trace_and_watch(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "run.jsonl"
    arguments = [
        "json",
        "fill",
        "--schema",
        write("s.json", PERSON),
        "--denoiser",
        "random",
        "--watch",
        "--trace",
        str(trace),
    ]
    assert main(arguments) == 0
    steps = [json.loads(line) for line in trace.read_text().splitlines()]
    assert [step["type"] for step in steps] == ["problem", *["step"] * (len(steps) - 2), "outcome"]
    assert steps[-2]["solved"] is True
    assert main(arguments) == 2  # the trace is not overwritten
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("deep", '{"items":' * 10_000 + "true" + "}" * 10_000),
        ("big", '{"enum":["' + "x" * 10_000_000 + '"]}'),
        ("broken", "{"),
        ("draft", '{"$schema":"http://example.org/draft-99"}'),
        ("pointer", '{"$ref":"#/nowhere"}'),
        ("remote", '{"$ref":"http://127.0.0.1:9/x.json"}'),
        ("list", "[]"),
        ("type", '{"type":"strnig"}'),
    ],
)
def test_bad_input_is_one_line(
    name: str, contents: str, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["json", "fill", "--schema", write(f"{name}.json", contents), "--denoiser", "random"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("error: ")


def test_not_utf8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.json").write_bytes(b'{"const":"\xff"}')
    assert main(["json", "fill", "--schema", str(tmp_path / "s.json"), "--denoiser", "random"]) == 2
    assert "not UTF-8 at byte 10" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["fill"],
        ["check"],
        ["fill", "--schema", "/nowhere.json"],
        ["fill", "--schema", "SCHEMA", "--denoiser", "nobody"],
        ["fill", "--schema", "SCHEMA", "--check", "nowhere:nothing"],
        ["fill", "--schema", "SCHEMA", "--length", "0"],
        ["fill", "--schema", "SCHEMA", "--length", "30", "--template", "SCHEMA"],
        ["fill", "--schema", "SCHEMA", "--length", "99999999999"],
        ["fill", "--schema", "SCHEMA", "--denoiser", "random", "--check", "math:floor"],
        ["fill", "--schema", "SCHEMA", "--file", "SCHEMA"],
        ["fill", "--schema", "SCHEMA", "extra"],
    ],
)
def test_bad_arguments(arguments: list[str], write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    schema = write("s.json", PERSON)
    assert main(["json", *(schema if word == "SCHEMA" else word for word in arguments)]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert "Traceback" not in err


@pytest.mark.parametrize("pattern", ["(.*a){25}$", "a.{20}b.{20}c", "^(a|aa)+$", "(x+x+)+y"])
def test_exponential_patterns_end(pattern: str, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(
        [
            "json",
            "fill",
            "--schema",
            write("s.json", {"type": "string", "pattern": pattern}),
            "--denoiser",
            "random",
        ]
    )
    assert code in (0, 1, 2)


def test_schemas_are_filled_one_by_one_and_a_run_is_continued(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each problem has its own seed, so batches and skipped problems change no text."""
    lines = [json.dumps({"schema": {"type": "string", "minLength": n % 5}, "length": 32}) for n in range(9)]
    file, done = tmp_path / "many.jsonl", tmp_path / "done.jsonl"
    file.write_text("\n".join([*lines, "nope"]))
    command = ["json", "fill", "--file", str(file), "--denoiser", "random"]

    def texts(*options: str) -> dict[int, str]:
        assert main([*command, *options]) == 2
        records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return {record["number"]: record["instance"] for record in records}

    whole = texts()
    assert list(whole) == list(range(1, 11))
    assert texts("--batch", "2") == whole
    done.write_text('{"number": 3, "status": "valid"}\n{"number": 10, "status": "bad input"}\n')
    left = texts("--skip-done", str(done))
    assert left == {number: text for number, text in whole.items() if number not in (3, 10)}
