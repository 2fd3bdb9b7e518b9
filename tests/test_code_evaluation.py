"""The code evaluation: its marks, its arms, its tables and plots."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from solver.baseline.code import Writing
from solver.evaluation import code, code_arms, code_data, code_holes, code_plots, code_tables, plots
from solver.evaluation.code_arms import Answer
from solver.evaluation.code_benchmarks import Call, Problem
from solver.evaluation.code_holes import Hole, bound, compared, holes
from solver.models import controls
from solver.models.code_denoiser import CodeDenoiser
from solver.models.code_network import CodeNetwork
from solver.models.layers import KNOWN, OPEN, PINNED
from solver.tasks.code_edit.corpus import Function
from solver.tasks.code_edit.holes import cuts, dependent
from solver.tasks.code_edit.varmisuse import Converted
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.tasks.code_edit.window import Page, roomy
from solver.training.presets import CODE
from tests import code_material

SOURCE = "def area(width, height):\n    size = width * height\n    return size\n"


def functions(count: int) -> list[Function]:
    return [Function("a.py", source, (0, len(source))) for source in code_material.alone()[:count]]


def network(model: str) -> CodeNetwork:
    torch.manual_seed(0)
    config = CODE[model, "smoke"].network
    return CodeNetwork(config).eval()  # type: ignore[arg-type]


def marks(hole: Hole, *fills: str) -> dict[str, bool]:
    return code.graded(hole, Answer(fills, True, 1, 0.0, 0.0))


def test_marks() -> None:
    at = SOURCE.index("width * height")
    one = Hole("right", SOURCE, ((at, at + len("width * height")),))
    assert marks(one, "width * height") == {
        "exact": True,
        "renamed": True,
        "compiles": True,
        "unknown": False,
        "doubled": False,
    }
    assert marks(one, "height * width")["exact"] is False
    assert marks(one, "wide * height")["unknown"] is True
    assert marks(one, "width *")["compiles"] is False
    assert marks(one, "width * height\n    return size")["doubled"] is True
    assert not any(code.graded(one, Answer(None, False, 1, 0.0, 0.0)).values())
    first, second = SOURCE.index("size ="), SOURCE.index("return size") + len("return ")
    both = Hole("variable", SOURCE, ((first, first + 4), (second, second + 4)))
    assert marks(both, "product", "product")["renamed"] is True
    assert marks(both, "product", "product")["exact"] is False
    assert marks(both, "product", "size")["renamed"] is False
    assert marks(both, "width", "width")["renamed"] is False  # the argument's name is taken


def test_arms_tables_and_plots(tmp_path: Path) -> None:
    some = functions(12)
    random = controls.random(Vocabulary.load().size)
    arms = code_arms.arms(network("diffusion"), network("ar"), some)
    assert {name.split(",")[0].split("-")[0] for name in arms} == {"diffusion", "ar", "n", "prior", "random"}
    (one, *_), (other, *_) = holes(some, cuts, 1), holes(some, dependent, 1)
    few = {
        name: arms[name]
        for name in (
            "diffusion",
            "diffusion-oneshot",
            "ar-fim",
            "n-gram with cache, true length",
            "random",
            "prior",
        )
    }
    fast = {name: arms[name] for name in ("diffusion-oneshot", "n-gram with cache, true length")}
    rows = [*code.infill([one], few), *code.infill([other], fast, "code-dependent")]
    rows += code.repairs(some, {"random": random}, 1)
    rows.append(code.speed([one], arms["n-gram with cache, true length"]))
    for row in rows:
        if row["section"] in ("code-infill", "code-dependent"):
            shares = np.array(list(row["within_gflop"].values()))
            assert (np.diff(shares) >= 0).all()
            assert not row["arm"].startswith(("diffusion", "ar")) or row["gflop_mean"] > 0
            assert row["exact"] <= row["renamed"] <= row["compiles"]
    assert {row["arm"] for row in rows if row["section"] == "code-infill-lead"} == set(few) - {"diffusion"}
    everywhere = {row["file"] for row in rows if row["section"] == "code-infill-lead"}
    assert (
        everywhere
        == {row["file"] for row in rows if row["section"] == "code-infill"}
        > {"all", "new", one.kind}
    )
    sections = {row["section"] for row in rows}
    for name, table in code_tables.TABLES.items():
        section = name.removesuffix("-by-kind")
        assert (table(rows).count("\n") > 2) == (section in sections), name
    assert set(plots.draw(rows, tmp_path, code_plots.PLOTS)) == {"code_infill.png", "code_dependent.png"}


def test_the_same_holes_every_time() -> None:
    some = functions(20)
    first, second = (
        [(hole.kind, hole.source, hole.spans) for hole in holes(some, cuts, 2)] for _ in range(2)
    )
    assert first == second
    assert len(first) > 4


def test_benchmarks_are_posed_without_their_truth() -> None:
    call = (Call("assert f(3) == 3"),)
    one = Problem("a", "def f(x):\n    if x:\n", "        return x\n", "    return 0\n", call)
    hole, head, tail = code_data.asked("humaneval-single-line")(one)
    assert (head, tail) == (" " * 8, "\n")
    assert hole.source == f"def f(x):\n    if x:\n        {code_holes.DUMMY}\n    return 0\n"
    assert hole.truth == (code_holes.DUMMY,)
    assert one.whole(head + "return x" + tail) == one.whole(one.truth)
    other = Problem("b", "def f(x):\n\tif ", "x > 0:", "\n\t\treturn x\n", call)
    hole, head, tail = code_data.asked("safim-control")(other)
    assert one.truth not in hole.source
    assert other.whole(head + "x > 0" + tail) == other.whole(other.truth)
    hole, head, tail = code_data.asked("humaneval-random-span")(other)
    assert (hole.source, head, tail) == (other.before + code_holes.DUMMY + other.after, "", "")
    assert [code_data.indentation(text) for text in ("a:\n", "  a\n\n", "\tif b:\n", "")] == [
        "    ",
        "  ",
        "\t\t",
        "",
    ]


def test_of_the_candidates_for_a_name_the_likeliest_is_chosen_token_by_token() -> None:
    at = SOURCE.index("width *")
    names = ("width", "height", "some_longer_name", "x")
    one = Converted(SOURCE, (at, at + 5), ("width",), names, ((at, at + 5),))
    net, v = network("diffusion"), Vocabulary.load()
    probe = Page.of(SOURCE, [one.span], [1])
    spelled = [[*probe.encoded(0, name).tolist(), v.blank] for name in names]
    room = roomy(1)
    page = Page.of(SOURCE, [one.span], [room], 96)
    (start, _), marks = page.slots[0], []
    for name in spelled:
        tokens, mark = torch.from_numpy(page.tokens.copy())[None], 0.0
        status = torch.where(torch.from_numpy(page.pinned), PINNED, OPEN)[None]
        offset = torch.zeros_like(tokens)
        offset[0, start : start + room] = torch.arange(1, room + 1)
        for cell, token in enumerate(name, start):
            with torch.inference_mode():
                mark += float(net(tokens, status, offset)[0, cell, token])
            tokens[0, cell], status[0, cell] = token, KNOWN
        marks.append(mark)
    assert code_data.by_denoiser(net)(one) == names[int(np.argmax(marks))]


def test_a_function_may_use_what_its_file_binds() -> None:
    file = "import os\nfrom a import b as c\nlimit = 3\n\n\ndef f(x):\n    y = other + x\n    return y\n"
    assert bound(file) == {"os", "c", "limit", "f"}


def test_functions_that_are_nearly_copies_are_told_from_new_ones() -> None:
    """One that stands in the training under another name, one half of which does, one that shares nothing."""
    body = "    total = width * height + depth * (width - height) ** 2 / depth\n"
    other = "    for name, value in sorted(items.items()):\n        found[name].append(value or default)\n"
    sources = [
        f"def size(width, height, depth):\n{body}    return total\n",
        f"def g(x):\n{body}{other}",
        f"def h(found):\n{other}",
    ]
    known = Function("b.py", whole := sources[0].replace("def size", "def volume"), (0, len(whole)))
    found = compared([Hole("right", source, ((0, 3),)) for source in sources], [known])
    a, b, c = (hole.known for hole in found)
    assert a > 0.6 > b > 0.2 > c == 0
    assert [hole.source for hole in found] == sources


def test_no_arm_sees_the_truth() -> None:
    """What stands in a hole changes nothing, though it binds a name that is used behind it, or does not."""
    v = Vocabulary.load()
    arms = {
        "diffusion": code_arms.looped(CodeDenoiser(network("diffusion"))),
        "oneshot": code_arms.one_shot(CodeDenoiser(network("diffusion"))),
        "random": code_arms.looped(controls.random(v.size)),
        "ar": code_arms.left_to_right(network("ar"), "fim", 4, temperature=1.0),
    }
    at = SOURCE.index("size =")
    for name, arm in arms.items():
        found = set()
        for truth in ("size = width * height", "pass", "size = (", "x\ny"):
            hole = Hole("line", SOURCE.replace("size = width * height", truth), ((at, at + len(truth)),))
            assert hole.truth == (truth,)
            assert hole.posed.truth == (code_holes.DUMMY,)
            found.add(arm(hole).fills)
        assert len(found) == 1, name


def test_of_what_is_all_wrong_the_least_wrong_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    v, at = Vocabulary.load(), SOURCE.index("width * height")
    some = ["width *", "unknown * other", "unknown * height"]

    def write(*_: object) -> list[Writing]:
        return [Writing((v.encode(text)[0],), -float(number), 1, 1) for number, text in enumerate(some)]

    monkeypatch.setattr(code_arms, "write", write)
    hole = Hole("right", SOURCE, ((at, at + len("width * height")),))
    for likeliest in (False, True):
        answer = code_arms.left_to_right(network("ar"), "fim", 3, likeliest)(hole)
        assert (answer.fills, answer.first) == (("unknown * height",), False)
    some.append("width + height")
    assert code_arms.left_to_right(network("ar"), "fim", 4)(hole).fills == ("width + height",)
    assert code_arms.left_to_right(network("ar"), "fim")(hole).fills == ("width *",)


@pytest.mark.parametrize(
    ("before", "after", "edits"),
    [
        ("a = b\n", "a = b\n", 0),
        ("a = b\n", "a  =  b\n", 0),  # spaces within a line do not count
        ("a = b\n", "    a = b\n", 1),
        ("f(a b)", "f(a, b)", 1),
        ("f(a a)", "f(a)", 1),
        ("f(a + b)", "f(c + b)", 1),
        ("x y z", "z y x", 2),
        ("", "a b", 2),
    ],
)
def test_edits_of_a_repair(before: str, after: str, edits: int) -> None:
    assert code.edited(before, after) == code.edited(after, before) == edits
    assert (code.words(before) == code.words(after)) == (edits == 0)


def test_holes_in_functions_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those without a bug, and the programs of a benchmark once each; what their programs define is known, what a hole takes away
    is not."""
    tokens = [
        "#NEWLINE#",
        "def f(",
        "items",
        ")",
        ":",
        "#NEWLINE#",
        "#INDENT#",
        "found",
        "=",
        "outside",
        "(",
        "items",
        ")",
    ]
    tokens += ["#NEWLINE#", "return", "found", "+", "found"]
    row = {
        "source_tokens": tokens,
        "has_bug": False,
        "error_location": 0,
        "repair_targets": [],
        "repair_candidates": [],
    }
    rows = [
        row,
        row | {"has_bug": True, "error_location": 11, "repair_targets": [7], "repair_candidates": [7, 11]},
    ]
    data = "\n".join(json.dumps(one) for one in rows).encode()
    (tmp_path / "great_varmisuse_dev.jsonl.gz").write_bytes(gzip.compress(data))
    lines = [
        Problem(
            "A/1/a", "def area(w, h):\n", "    size = w * h\n", "    return size or -size\n", (Call("1"),)
        ),
        Problem(
            "A/1/b", "def area(w, h):\n    size = w * h\n", "    return size or -size\n", "", (Call("1"),)
        ),
    ]
    monkeypatch.setattr(code_data, "problems", lambda *_: lines)
    found = code_data.others(tmp_path, None)
    assert {hole.path for hole in found} == {"A/1", "GREAT/0"}
    (one,) = (hole for hole in found if hole.path == "GREAT/0")
    assert (one.kind, one.defined) == ("variable", {"f", "outside"})
    assert len(set(one.truth)) == 1
    a = one.source.index("outside(items)")
    assert code_data.used(replace(one, spans=((a, a + 14),))) == set()
