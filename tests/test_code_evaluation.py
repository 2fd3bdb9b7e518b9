"""The code evaluation: its marks, its arms, its tables and plots."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from solver.baseline.code import WrittenFills
from solver.evaluation import (
    code_arms,
    code_benchmarks,
    code_holes,
    code_misuse,
    code_sections,
    code_tables,
    plots,
)
from solver.evaluation.code_arms import CodeModels
from solver.evaluation.code_benchmarks import CodeTest, Program, next_indentation, pose_program
from solver.evaluation.code_holes import HoleCase, collect_holes, module_names, with_overlap
from solver.evaluation.harness import Answer, Arm
from solver.evaluation.rows import ResultsFile, Row
from solver.models.blocks import KNOWN, OPEN, PINNED
from solver.models.code_network import CodeNetwork
from solver.models.mask_denoisers import CodeDenoiser
from solver.recipes import recipe
from solver.tasks.code_edit.corpus import CorpusFunction
from solver.tasks.code_edit.holes import sample_dependent_holes, sample_single_holes
from solver.tasks.code_edit.varmisuse import MisuseCase
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.tasks.code_edit.window import CodeWindow, probe_capacity
from tests import code_material

SOURCE = "def area(width, height):\n    size = width * height\n    return size\n"


def functions(count: int) -> list[CorpusFunction]:
    return [CorpusFunction("a.py", source, (0, len(source))) for source in code_material.alone()[:count]]


def network(model: str) -> CodeNetwork:
    torch.manual_seed(0)
    return CodeNetwork(recipe("code").presets[model, "smoke"].network).eval()


def marks(case: HoleCase, *fills: str) -> dict[str, bool]:
    return code_sections.grade_fills(case, Answer(fills))


def fill(arm: Arm[HoleCase], case: HoleCase) -> Answer:
    (answer,) = arm.answer([case])
    return answer


def test_answers_are_graded_by_text_and_by_syntax_tree() -> None:
    at = SOURCE.index("width * height")
    one = HoleCase("right", SOURCE, ((at, at + len("width * height")),))
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
    assert not any(code_sections.grade_fills(one, Answer(None)).values())
    first, second = SOURCE.index("size ="), SOURCE.index("return size") + len("return ")
    both = HoleCase("variable", SOURCE, ((first, first + 4), (second, second + 4)))
    assert marks(both, "product", "product")["renamed"] is True
    assert marks(both, "product", "product")["exact"] is False
    assert marks(both, "product", "size")["renamed"] is False
    assert marks(both, "width", "width")["renamed"] is False  # the argument's name is taken


def test_arms_give_rows_tables_and_plots(tmp_path: Path) -> None:
    some = functions(12)
    arms = code_arms.code_arms(CodeModels(network("diffusion"), network("ar")), some)
    assert {name.split(",")[0].split("-")[0] for name in arms} == {"diffusion", "ar", "n", "prior", "random"}
    (single, *_), (several, *_) = (
        collect_holes(some, sample_single_holes, 1),
        collect_holes(some, sample_dependent_holes, 1),
    )
    ngram = arms["n-gram with cache, true length"]
    few = ("diffusion", "diffusion-oneshot", "ar-fim", ngram.name, "random", "prior")
    results = ResultsFile(tmp_path / "code.json")
    for section, names, case in (
        ("code-infill", few, single),
        ("code-dependent", ("diffusion-oneshot", ngram.name), several),
    ):
        for name in names:
            for row in code_sections.measure_holes(Row(section, "all", name), arms[name], [case]):
                results.add(row)
        for name in names:
            results.rows += code_sections.measure_leads(Row(f"{section}-lead", "all", name), results, [case])
    corrupted = code_sections.corrupt_functions(some, 1)
    random = code_arms.random_denoiser()
    results.rows += code_sections.measure_code_repair(Row("code-repair", "all", "random"), random, corrupted)
    results.rows += code_sections.measure_localisation(Row("code-localisation", "all", "suspects"), corrupted)
    results.rows += code_sections.measure_edit_speed(Row("code-speed", "all", ngram.name), ngram, [single])
    rows = results.rows
    for row in rows:
        if row.section in ("code-infill", "code-dependent"):
            shares = np.array(list(row.get("within_gflop").values()))
            assert (np.diff(shares) >= 0).all()
            assert not row.arm.startswith(("diffusion", "ar")) or row.get("gflop_mean") > 0
            assert row.get("exact") <= row.get("renamed") <= row.get("compiles")
    leads = [row for row in rows if row.section == "code-infill-lead"]
    assert {row.arm for row in leads} == set(few)
    assert all(row.get("lead") == 0 for row in leads if row.arm == "diffusion")
    assert {row.file for row in leads} == {row.file for row in rows if row.section == "code-infill"}
    assert {row.file for row in leads} > {"all", "new", single.kind}
    sections = {row.section for row in rows}
    for name, table in code_tables.TABLES.items():
        section = name.removesuffix("-by-kind")
        assert (table(rows).count("\n") > 2) == (section in sections), name
    assert set(plots.draw_plots(rows, tmp_path)) == {"code_infill.png", "code_dependent.png"}


def test_a_lead_needs_the_answers_of_both_arms_to_these_holes(tmp_path: Path) -> None:
    results = ResultsFile(tmp_path / "code.json")
    cases = collect_holes(functions(12), sample_single_holes, 1)[:2]
    first = Row("code-infill-lead", "all", "random")
    for arm, right in (("diffusion", "11"), ("random", "1")):
        results.add(Row("code-infill", "all", arm, {"each": {"right": right}}))
        assert list(code_sections.measure_leads(first, results, cases)) == []
    results.add(Row("code-infill", "all", "random", {"each": {"right": "01"}}))
    row, *_ = code_sections.measure_leads(first, results, cases)
    assert (row.file, row.get("lead"), row.get("holes")) == ("all", 0.5, 2)


def test_the_same_holes_every_time() -> None:
    some = functions(20)
    first, second = (
        [(hole.kind, hole.source, hole.spans) for hole in collect_holes(some, sample_single_holes, 2)]
        for _ in range(2)
    )
    assert first == second
    assert len(first) > 4


def test_benchmarks_are_posed_without_their_truth() -> None:
    test = (CodeTest("assert f(3) == 3"),)
    line = Program("a", "def f(x):\n    if x:\n", "        return x\n", "    return 0\n", test)
    posed = pose_program("humaneval-single-line", line)
    assert (posed.head, posed.tail) == (" " * 8, "\n")
    assert posed.case.source == f"def f(x):\n    if x:\n        {code_holes.PLACEHOLDER}\n    return 0\n"
    assert posed.case.truth == (code_holes.PLACEHOLDER,)
    assert line.complete(posed.head + "return x" + posed.tail) == line.complete(line.truth)
    condition = Program("b", "def f(x):\n\tif ", "x > 0:", "\n\t\treturn x\n", test)
    posed = pose_program("safim-control", condition)
    assert condition.truth not in posed.case.source
    assert condition.complete(posed.head + "x > 0" + posed.tail) == condition.complete(condition.truth)
    posed = pose_program("humaneval-random-span", condition)
    assert posed.case.source == condition.before + code_holes.PLACEHOLDER + condition.after
    assert (posed.head, posed.tail) == ("", "")
    indentations = [next_indentation(text) for text in ("a:\n", "  a\n\n", "\tif b:\n", "")]
    assert indentations == ["    ", "  ", "\t\t", ""]


def test_of_the_candidates_for_a_name_the_likeliest_is_chosen_token_by_token() -> None:
    at = SOURCE.index("width *")
    names = ("width", "height", "some_longer_name", "x")
    one = MisuseCase(SOURCE, (at, at + 5), ("width",), names, ((at, at + 5),))
    net, v = network("diffusion"), Vocabulary.load()
    probe = CodeWindow.of(SOURCE, [one.span], [1])
    spelled = [[*probe.encode_fill(0, name).tolist(), v.blank] for name in names]
    room = probe_capacity(1)
    window = CodeWindow.of(SOURCE, [one.span], [room], 96)
    (start, _), marks = window.slots[0], []
    for name in spelled:
        tokens, mark = torch.from_numpy(window.tokens.copy())[None], 0.0
        status = torch.where(torch.from_numpy(window.pinned), PINNED, OPEN)[None]
        offset = torch.zeros_like(tokens)
        offset[0, start : start + room] = torch.arange(1, room + 1)
        for cell, token in enumerate(name, start):
            with torch.inference_mode():
                mark += float(net(tokens, status, offset)[0, cell, token])
            tokens[0, cell], status[0, cell] = token, KNOWN
        marks.append(mark)
    assert code_misuse.denoiser_chooser(net)(one) == names[int(np.argmax(marks))]


def test_a_function_may_use_what_its_file_binds() -> None:
    file = "import os\nfrom a import b as c\nlimit = 3\n\n\ndef f(x):\n    y = other + x\n    return y\n"
    assert module_names(file) == {"os", "c", "limit", "f"}


def test_functions_that_are_nearly_copies_are_told_from_new_ones() -> None:
    """One that stands in the training under another name, one half of which does, one that shares nothing."""
    body = "    total = width * height + depth * (width - height) ** 2 / depth\n"
    other = "    for name, value in sorted(items.items()):\n        found[name].append(value or default)\n"
    sources = [
        f"def size(width, height, depth):\n{body}    return total\n",
        f"def g(x):\n{body}{other}",
        f"def h(found):\n{other}",
    ]
    known = CorpusFunction("b.py", whole := sources[0].replace("def size", "def volume"), (0, len(whole)))
    found = with_overlap([HoleCase("right", source, ((0, 3),)) for source in sources], [known])
    a, b, c = (case.overlap for case in found)
    assert a > 0.6 > b > 0.2 > c == 0
    assert [hole.source for hole in found] == sources


def test_no_arm_sees_the_truth() -> None:
    """What stands in a hole changes nothing, though it binds a name that is used behind it, or does not."""
    denoiser = CodeDenoiser(network("diffusion"))
    arms = [
        code_arms.make_edit_arm("diffusion", denoiser),
        code_arms.make_one_shot_arm("oneshot", denoiser),
        code_arms.make_edit_arm("random", code_arms.random_denoiser()),
        code_arms.make_left_to_right_arm("ar", network("ar"), "fim", 4, temperature=1.0),
    ]
    at = SOURCE.index("size =")
    for arm in arms:
        found = set()
        for truth in ("size = width * height", "pass", "size = (", "x\ny"):
            hole = HoleCase("line", SOURCE.replace("size = width * height", truth), ((at, at + len(truth)),))
            assert hole.truth == (truth,)
            assert hole.posed.truth == (code_holes.PLACEHOLDER,)
            found.add(fill(arm, hole).texts)
        assert len(found) == 1, arm.name


def test_of_what_is_all_wrong_the_least_wrong_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    v, at = Vocabulary.load(), SOURCE.index("width * height")
    some = ["width *", "unknown * other", "unknown * height"]

    def write(*_: object) -> list[WrittenFills]:
        return [WrittenFills((v.encode(text)[0],), -float(number), 1, 1) for number, text in enumerate(some)]

    monkeypatch.setattr(code_arms, "write_fills", write)
    hole = HoleCase("right", SOURCE, ((at, at + len("width * height")),))
    for likeliest in (False, True):
        answer = fill(code_arms.make_left_to_right_arm("ar", network("ar"), "fim", 3, likeliest), hole)
        assert (answer.texts, answer.first_valid) == (("unknown * height",), False)
    some.append("width + height")
    assert fill(code_arms.make_left_to_right_arm("ar", network("ar"), "fim", 4), hole).texts == (
        "width + height",
    )
    assert fill(code_arms.make_left_to_right_arm("ar", network("ar"), "fim"), hole).texts == ("width *",)


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
    assert code_sections.word_edits(before, after) == code_sections.word_edits(after, before) == edits
    assert (code_sections.source_words(before) == code_sections.source_words(after)) == (edits == 0)


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
        Program(
            "A/1/a", "def area(w, h):\n", "    size = w * h\n", "    return size or -size\n", (CodeTest("1"),)
        ),
        Program(
            "A/1/b", "def area(w, h):\n    size = w * h\n", "    return size or -size\n", "", (CodeTest("1"),)
        ),
    ]
    monkeypatch.setattr(code_benchmarks, "load_programs", lambda *_: lines)
    found = code_benchmarks.holes_in_foreign_functions(tmp_path, None)
    assert {hole.path for hole in found} == {"A/1", "GREAT/0"}
    (one,) = (hole for hole in found if hole.path == "GREAT/0")
    assert (one.kind, one.defined) == ("variable", {"f", "outside"})
    assert len(set(one.truth)) == 1
    a = one.source.index("outside(items)")
    assert code_benchmarks.unresolved_names(replace(one, spans=((a, a + 14),))) == set()
