"""Pages, the task, the network and ``solver.edit``: pins hold, text outside of holes stays, what is offered compiles."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import count, islice, product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solver.api import edit as edits
from solver.api import proposals, scoring
from solver.api import repair as repairs
from solver.api.candidate import Candidate
from solver.loop.policy import Policy
from solver.loop.refine import refine
from solver.loop.trace import Budget, Outcome
from solver.models import controls
from solver.models.blocks import KNOWN, OPEN, PINNED
from solver.models.code_network import CodeConfig, CodeNetwork
from solver.models.context import StaleContext
from solver.models.mask_denoisers import CodeDenoiser, window_offsets
from solver.tasks.code_edit.localize import compile_message
from solver.tasks.code_edit.task import CodeTask, EditProblem
from solver.tasks.code_edit.vocabulary import Vocabulary
from solver.tasks.code_edit.window import CodeWindow, WindowError, replace_spans
from solver.tasks.task import Canvas, Violation

SOURCE = Path(random.__file__).read_text(encoding="utf-8")
FUNCTION = '''def mean(values):
    """The mean of some numbers."""
    total = 0
    for value in values:
        total += value
    if not values:
        raise ValueError("no values")
    return total / len(values)
'''


def network(causal: bool = False, vocab: int = 2048) -> CodeNetwork:
    torch.manual_seed(0)
    return CodeNetwork(
        CodeConfig(vocab, width=16, hidden=16, heads=2, layers=2, offsets=8, causal=causal)
    ).eval()


def at(text: str, source: str = FUNCTION) -> tuple[int, int]:
    return source.index(text), source.index(text) + len(text)


# Pages


def test_a_page_shows_what_stands_around() -> None:
    window = CodeWindow.of(FUNCTION, [at("value in values"), at("total / len(values)")], [6, 9], 128)
    v = Vocabulary.load()
    assert [capacity for _, capacity in window.slots] == [6, 9]
    assert (window.tokens[~window.pinned] == v.blank).all()
    assert v.special("GAP") not in window.tokens
    shown = v.decode(window.tokens)
    assert shown == FUNCTION.replace("value in values", "").replace("total / len(values)", "")
    short = CodeWindow.of(FUNCTION, [at("value in values"), at("total / len(values)")], [6, 9], 40)
    assert v.special("GAP") in short.tokens
    assert len(short.tokens) == 40


def any_fill_comes_back_and_the_rest_stays(data: st.DataObject) -> None:
    """Holes anywhere, in tokens too; the text of a fill is what its cells write, piece by piece."""
    start = data.draw(st.integers(0, len(SOURCE) - 3000))
    source = SOURCE[start : start + data.draw(st.integers(1, 3000))]
    ends = sorted(data.draw(st.lists(st.integers(0, len(source)), min_size=2, max_size=6, unique=True)))
    spans = list(zip(ends[::2], ends[1::2], strict=False))
    fills = [
        data.draw(st.sampled_from(["x", "a = b", "if x:\n    y\n", "\n", "é", source[a:b][:40] or "z"]))
        for a, b in spans
    ]
    window = CodeWindow.of(source, spans, [60] * len(spans), 1024)
    tokens = window.tokens.copy()
    for number, ((begin, capacity), fill) in enumerate(zip(window.slots, fills, strict=True)):
        ids = window.encode_fill(number, fill)[:capacity]
        tokens[begin : begin + len(ids)] = ids
    written = window.fill_texts(tokens)
    assert all(
        a == b or len(window.encode_fill(n, b)) > 60
        for n, (a, b) in enumerate(zip(written, fills, strict=True))
    )
    for text, pieces in zip(written, window.cell_spans(tokens), strict=True):
        assert [a for a, _ in pieces[1:]] == [b for _, b in pieces[:-1]]
        assert pieces[-1][1] == len(text)
    new, places = replace_spans(source, spans, written)
    assert [new[a:b] for a, b in places] == list(written)
    outside = [
        source[a:b]
        for a, b in zip([0, *(b for _, b in spans)], [*(a for a, _ in spans), len(source)], strict=True)
    ]
    assert [
        new[a:b]
        for a, b in zip([0, *(b for _, b in places)], [*(a for a, _ in places), len(new)], strict=True)
    ] == outside


test_any_fill_comes_back_and_the_rest_stays = settings(deadline=None, max_examples=60)(
    given(st.data())(any_fill_comes_back_and_the_rest_stays)
)


@pytest.mark.slow
def test_ten_thousand_of_them() -> None:
    settings(deadline=None, max_examples=10_000)(given(st.data())(any_fill_comes_back_and_the_rest_stays))()


@pytest.mark.parametrize(
    ("spans", "capacities", "message"),
    [
        ([], [], "no holes"),
        ([(5, 9999)], [4], "outside"),
        ([(5, 9), (7, 12)], [4, 4], "overlap"),
        ([(5, 9)], [300], "too little"),
        ([(5, 9)], [0], "at least 1"),
    ],
)
def test_bad_holes(spans: list[tuple[int, int]], capacities: list[int], message: str) -> None:
    with pytest.raises(WindowError, match=message):
        CodeWindow.of(FUNCTION, spans, capacities)


# The task and the loop


def test_blame_falls_on_the_hole_and_grows() -> None:
    edit, task = EditProblem.of(FUNCTION, [at("not values")], [8], 96), CodeTask()
    start, capacity = edit.window.slots[0]
    tokens = edit.window.tokens.copy()
    ids = edit.window.encode_fill(0, "not values ) x")
    tokens[start : start + len(ids)] = ids
    everything = np.ones(len(tokens), bool)
    sizes = []
    for _ in range(5):
        (violation,) = task.check(edit, tokens, everything)
        assert violation.reason is None
        assert violation.rule == "syntax"
        assert set(violation.cells) <= set(range(start, start + capacity))
        sizes.append(len(violation.cells))
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] == capacity
    assert not task.verify(edit, tokens)
    tokens[start : start + capacity] = edit.window.tokens[start : start + capacity]
    ids = edit.window.encode_fill(0, "not value_s")
    tokens[start : start + len(ids)] = ids
    assert [v.rule for v in task.check(edit, tokens, everything)] == ["name"]
    assert not task.verify(edit, tokens)
    assert CodeTask().verify(EditProblem.of(FUNCTION, [at("not values")], [8], 96, names=False), tokens)


def test_the_loop_takes_what_compiles_and_keeps_the_pins() -> None:
    edit = EditProblem.of(FUNCTION, [at("total += value"), at("not values")], [8, 6], 96)
    answer = edit.window.tokens.copy()
    for number, (start, capacity) in enumerate(edit.window.slots):
        ids = edit.window.encode_fill(number, FUNCTION[slice(*edit.window.spans[number])])
        answer[start : start + capacity] = [*ids, *[Vocabulary.load().blank] * (capacity - len(ids))]
    *_, outcome = refine(CodeTask(), edit, controls.oracle(2048, answer), budget=Budget(forwards=3))
    assert isinstance(outcome, Outcome)
    assert outcome.status == "solved"
    assert CodeTask().decode(edit, outcome.tokens) == FUNCTION
    *_, outcome = refine(CodeTask(), edit, CodeDenoiser(network()), budget=Budget(forwards=6))
    assert isinstance(outcome, Outcome)
    assert (outcome.tokens == edit.window.tokens)[edit.window.pinned].all()
    assert not set(outcome.tokens[~edit.window.pinned].tolist()) & set(Vocabulary.load().sentinels)


def every_candidate(best: Candidate) -> tuple[Candidate, ...]:
    return best, *best.alternatives


def test_candidates_are_ranked_and_honest() -> None:
    random_ = controls.random(2048)
    found = edits.edit(FUNCTION, [at("0")], denoiser=random_, candidates=5, budget=Budget(forwards=8))
    every = (found, *found.alternatives)
    assert len(every) <= 5
    keys = [edits.by_violations(one) for one in every]
    assert keys == sorted(keys)
    for one in every:
        assert (one.status == "solved") == (compile_message(one.text) is None)
        assert one.text == FUNCTION.replace("0", one.fills[0], 1)
        assert one.counters.forwards > 0
    same = edits.edit(FUNCTION, [at("0")], denoiser=random_, candidates=5, budget=Budget(forwards=8))
    assert [one.text for one in (same, *same.alternatives)] == [one.text for one in every]


# Lengths


def test_a_slots_blanks_say_how_long_its_text_is() -> None:
    found = np.exp(scoring.length_log_probs(np.array([0.0, 0.1, 0.7, 0.6, 1.0])))
    assert found.argmax() == 1  # two tokens: the third cell is BLANK with 0.7, the second with 0.1
    np.testing.assert_allclose(found[:4], [0.1, 0.6, 1e-6, 0.3], atol=1e-4)
    assert found.sum() == pytest.approx(1)
    assert np.exp(scoring.length_log_probs(np.zeros(3))).argmax() == 2  # never BLANK: it fills the slot


@given(
    st.lists(st.lists(st.integers(1, 1000), min_size=1, max_size=5), min_size=1, max_size=4),
    st.integers(1, 30),
)
@settings(deadline=None)
def test_the_likeliest_combinations_of_lengths(weights: list[list[int]], count: int) -> None:
    likely = [np.log(np.array(some) / sum(some)) for some in weights]
    found = scoring.likely_lengths(likely, count)
    every = [
        sum(float(log_p[n]) for log_p, n in zip(likely, one, strict=True))
        for one in product(*map(range, map(len, likely)))
    ]
    np.testing.assert_allclose([one.log_prob for one in found], sorted(every, reverse=True)[:count])
    assert len({one.lengths for one in found}) == len(found)
    for one in found:
        marks = [log_p[n - 1] for log_p, n in zip(likely, one.lengths, strict=True)]
        assert one.log_prob == pytest.approx(sum(map(float, marks)))


def test_the_probe_is_one_forward() -> None:
    edit = EditProblem.of(FUNCTION, [at("not values"), at("0")], [8, 5], 96)
    answer = edit.window.tokens.copy()
    for (start, _), size in zip(edit.window.slots, (3, 1), strict=True):
        answer[start : start + size] = 0
    scorer = scoring.CandidateScorer(CodeTask(), edit, controls.oracle(2048, answer))
    assert [len(one) for one in scorer.length_log_probs] == [8, 5]
    assert scoring.likely_lengths(scorer.length_log_probs, 1)[0].lengths == (3, 1)
    assert scorer.counters.forwards == 1
    assert scoring.CandidateScorer(CodeTask(), edit, CodeDenoiser(network())).counters.flops > 0


def test_of_texts_that_fill_the_holes_the_likelier_is_said_half_by_half() -> None:
    """By hand: every second cell masked in turn, beginning with the second in the second hole, no BLANK shown but the first; and
    half of what each token has by itself, because there are two holes."""
    edit, net = EditProblem.of(FUNCTION, [at("not values"), at("0")], [8, 5], 96), network()
    model, blank = CodeDenoiser(net), Vocabulary.load().blank
    model.network = net  # fp32
    scorer = scoring.CandidateScorer(CodeTask(), edit, model)
    fills = ("values", "total")
    tokens, cells = torch.from_numpy(edit.window.tokens.copy()), list[list[int]]()
    for hole, (start, _) in enumerate(edit.window.slots):
        ids = edit.window.encode_fill(hole, fills[hole])
        tokens[start : start + len(ids)] = torch.from_numpy(ids)
        cells.append(list(range(start, start + len(ids) + 1)))
    pinned = torch.from_numpy(edit.window.pinned)
    offset, expected = torch.from_numpy(window_offsets(CodeTask().encode(edit)))[None], 0.0
    around = StaleContext()
    with torch.inference_mode():
        alone = model.unweighted(
            net(tokens[None], torch.where(pinned, PINNED, OPEN)[None], offset, context=around)
        )[0]
        expected += scoring.OPEN_WEIGHT * sum(
            float(alone[cell, tokens[cell]]) for cell in (*cells[0], *cells[1])
        )
        for turn in (0, 1):
            mine = [*cells[0][turn::2], *cells[1][1 - turn :: 2]]
            status = torch.where(pinned, PINNED, OPEN)
            status[[*cells[0], *cells[1]]] = KNOWN
            status[mine] = OPEN
            again = StaleContext(around.states, (~pinned).nonzero()[None, :, 0])
            said = model.unweighted(net(tokens[None], status[None], offset, context=again))[0]
            where = {int(cell): number for number, cell in enumerate((~pinned).nonzero()[:, 0])}
            expected += sum(float(said[where[cell], tokens[cell]]) for cell in mine)
    assert blank in tokens[[*cells[0], *cells[1]]]
    found = scorer.log_likelihoods([fills, ("a_much_longer_text_than_that_slot_has_cells",) * 2, fills])
    assert found[0] == pytest.approx(expected, abs=1e-3)
    assert found[1] == -np.inf
    assert found[2] == pytest.approx(found[0])
    one = scoring.CandidateScorer(CodeTask(), EditProblem.of(FUNCTION, [at("not values")], [8], 96), model)
    one.open_log_probs[:] = -1000.0  # of a single hole nothing is added
    assert one.log_likelihoods([("values",)])[0] > -1000


@pytest.mark.parametrize(("holes", "cells"), [(["not values"], 96), (["not values", "0"], 160)])
def test_other_ways_are_written_beside_the_first_and_the_budget_bounds_all(
    holes: list[str], cells: int
) -> None:
    """A model that is sure of one token that never fits: what comes says that it does not compile."""
    model = controls.oracle(2048, np.full(cells, Vocabulary.load().encode("return ")[0][0]))
    spans, rows = [at(text) for text in holes], set[int]()
    found = edits.edit(
        FUNCTION, spans, denoiser=model, budget=Budget(forwards=40), watch=lambda number, *_: rows.add(number)
    )
    assert (found.status == "solved") == (compile_message(found.text) is None)
    others = edits.NUM_LENGTHS if len(holes) == 1 else edits.NUM_SAMPLES
    assert rows == set(range(1 + others))
    assert 20 + 1 < found.counters.forwards <= 40 + 1 + 2 * (1 + others)  # and what reads and compares them


def test_lengths_belong_to_the_holes_that_they_are_given_with() -> None:
    first, second = at("not values"), at("0")
    model = CodeDenoiser(network())
    one = edits.edit(FUNCTION, [first, second], denoiser=model, lengths=[4, 1])
    other = edits.edit(FUNCTION, [second, first], denoiser=model, lengths=[1, 4])
    assert one.fills == other.fills
    window = CodeWindow.of(FUNCTION, [second, first], [1, 1])
    assert [len(window.encode_fill(number, fill)) for number, fill in enumerate(one.fills)] == [1, 4]


def test_what_is_likely_enough_needs_no_other_ways() -> None:
    """Only a single hole's first text, and only where one candidate is asked for and nothing is wrong with it."""
    v, spans = Vocabulary.load(), [at("not values"), at("0")]

    def rows(text: str, holes: list[tuple[int, int]], candidates: int) -> set[int]:
        answer, found = np.full(160, v.blank), set[int]()
        window = CodeWindow.of(
            FUNCTION, holes, [24] * len(holes), edits.window_size(FUNCTION, holes, [24] * len(holes))
        )
        for start, _ in window.slots:
            ids = window.encode_fill(0, text)
            answer[start : start + len(ids)] = ids
        model = controls.oracle(2048, answer[: len(window.tokens)])
        edits.edit(
            FUNCTION,
            holes,
            denoiser=model,
            candidates=candidates,
            watch=lambda number, *_: found.add(number),
        )
        return found

    assert rows("not values", spans[:1], 1) == {0}
    assert len(rows("not values", spans[:1], 2)) > 1
    assert len(rows("not value_s", spans[:1], 1)) > 1  # a name that nobody defines
    assert len(rows("0", spans, 1)) > 1


@pytest.mark.parametrize(("nats", "ways"), [(-2.9, 1), (-3.1, 1 + edits.NUM_LENGTHS)])
def test_a_text_of_three_nats_is_likely_enough(
    nats: float, ways: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def likelihoods(self: scoring.CandidateScorer, fills: list[tuple[str, ...]]) -> list[float]:
        return [nats] * len(fills)

    monkeypatch.setattr(scoring.CandidateScorer, "log_likelihoods", likelihoods)
    answer, rows = np.full(96, Vocabulary.load().blank), set[int]()
    window = CodeWindow.of(FUNCTION, [at("0")], [24], 96)
    answer[window.slots[0][0]] = window.encode_fill(0, "1")[0]
    model = controls.oracle(2048, answer)
    edits.edit(FUNCTION, [at("0")], denoiser=model, watch=lambda number, *_: rows.add(number))
    assert rows == set(range(ways))


def test_what_nothing_fits_gets_a_fifth_more_rounds_than_the_first_that_is_written() -> None:
    """And one more, and the one that is under way: after ten rounds of one edit the other ends at fourteen."""
    lengths = 10, 20
    session = edits.EditSession(
        FUNCTION, (at("0"),), "random", None, frozenset(), Budget(40), seed=0, watch=None
    )
    fits, never = session.exact_problems([[length] for length in lengths])
    ids = fits.window.encode_fill(0, "[1, 2, 3, -4]")
    assert len(ids) == lengths[0]
    hopeless = Vocabulary.load().encode("(")[0][0]

    def logits(canvas: Canvas, tokens: np.ndarray, known: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        answer = np.full(canvas.num_cells, hopeless)
        if canvas.slots[0][1] == len(ids):
            answer[canvas.slots[0][0] :][: len(ids)] = ids
        return np.where(np.arange(2048) == answer[:, None], 0.1, 0.0)

    model = controls.Control("slow", 2048, logits)
    policy = Policy(checks="complete").with_(
        confidence_threshold=1.0, min_per_step=1, rounds=100, on_stall="restart", doubt_threshold=0.0
    )
    session.model = model
    both = session.outcomes([fits, never], Budget(40), policy)
    rounds = {outcome.status == "solved": outcome.counters.forwards for _, outcome in both}
    assert rounds == {True: 10, False: 14}


def test_slots_that_are_filled_hold_no_blank_and_are_known_as_such() -> None:
    v, spans = Vocabulary.load(), [at("not values"), at("0")]
    for exact in (False, True):
        edit = EditProblem.of(FUNCTION, spans, [8, 3], 96, exact=exact)
        canvas = CodeTask().encode(edit)
        found = window_offsets(canvas)
        for start, capacity in canvas.slots:
            expected = range(-capacity, 0) if exact else range(1, capacity + 1)
            assert found[start : start + capacity].tolist() == list(expected)
        assert (found[canvas.pinned] == 0).all()
        *_, outcome = refine(CodeTask(), edit, CodeDenoiser(network()), budget=Budget(forwards=6))
        assert isinstance(outcome, Outcome)
        assert not (exact and (outcome.tokens[~edit.window.pinned] == v.blank).any())


def test_what_is_wrong_comes_after_what_is_unlikely() -> None:
    one = Candidate("", status="solved", score=-30.0)
    better = replace(one, score=-2.0)
    unknown = replace(one, violations=(Violation("x", rule="name"),), score=0.0)
    failing = replace(one, status="exhausted", violations=(Violation("no"),), score=0.0)
    wrong = replace(failing, violations=(Violation("no", rule="syntax"),))
    ranked = sorted([wrong, failing, unknown, one, better], key=edits.by_violations)
    assert ranked == [better, one, unknown, failing, wrong]


# Repair


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        ("def f(a:\n    return a\n", "def f(a):\n    return a\n"),
        ("x = (1, 2))\n", "x = (1, 2)\n"),
        ("if a:\nb = 1\n", "if a:\n    b = 1\n"),
        ("for a in in b:\n    pass\n", "for a in b:\n    pass\n"),
        ("while a\n    b()\n", "while a:\n    b()\n"),
        ("if not not a  # why\n    b()\n", "if not not a:  # why\n    b()\n"),
    ],
)
def test_small_damages_have_a_repair_of_one_edit(broken: str, whole: str) -> None:
    """What the model may choose from has the right one in it, and what comes back compiles with one edit."""
    assert repairs.edit_distance(broken, whole) == 1
    known = controls.oracle(2048, np.full(96, Vocabulary.load().encode(")")[0][0]))
    found = repairs.repair(broken, denoiser=known, candidates=50)
    assert all(one.status == "solved" and compile_message(one.text) is None for one in every_candidate(found))
    assert repairs.edit_distance(broken, found.text) == 1
    assert whole in [one.text for one in every_candidate(found)]


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        ("def f(a) ->-> None:\n    return a\n", "def f(a) -> None:\n    return a\n"),
        ("x = dict(a=list list(b))\n", "x = dict(a=list(b))\n"),
        ("if a:\n    return_ = 1\nelse else:\n    pass\n", "if a:\n    return_ = 1\nelse:\n    pass\n"),
        ("x = f(a, size size=None)\n", "x = f(a, size=None)\n"),
    ],
)
def test_a_piece_that_stands_twice_goes_and_its_spaces_with_it(broken: str, whole: str) -> None:
    """Whatever the model thinks of it: here, that a comma or a name is missing. Of what differs by spaces alone there is one."""
    comma = controls.oracle(2048, np.full(96, Vocabulary.load().encode(",")[0][0]))
    for model in (comma, controls.random(2048)):
        found = repairs.repair(broken, denoiser=model, candidates=50)
        assert found.text == whole
        kinds = [tuple(repairs.token_texts(one.text)) for one in every_candidate(found)]
        assert len(set(kinds)) == len(kinds)
    assert (
        repairs.repair("x = f(a, size size=None)\n", denoiser=comma, candidates=50).alternatives[0].text
        == "x = f(a, size, size=None)\n"
    )


def test_a_line_may_be_as_deep_as_those_behind_it() -> None:
    """The first line has nothing before it, and lines behind tell what the second one's depth was."""
    random_ = controls.random(2048)
    for broken, whole in (
        ("   def f(a):\n    return a\n", "def f(a):\n    return a\n"),
        (
            "def f(a):\n      x = a\n    y = x\n    return y\n",
            "def f(a):\n    x = a\n    y = x\n    return y\n",
        ),
    ):
        assert whole in [
            one.text for one in every_candidate(repairs.repair(broken, denoiser=random_, candidates=50))
        ]
    text = "a\n\n b\n"
    assert proposals.nearby_lines(text, 2) == [0, 2, 3]
    assert proposals.nearby_lines("a", 0) == [0]


@pytest.mark.parametrize("broken", [")", "(", '"', "x y", "(" * 300])
def test_of_the_smallest_sources_there_is_a_repair_or_an_error(broken: str) -> None:
    found = repairs.repair(broken, denoiser=controls.random(2048))
    assert (found.status == "solved") == (compile_message(found.text) is None)


def test_budgets_bound_a_repair() -> None:
    """Forwards are the model's, of what is put in and of what compares."""
    broken, random_ = FUNCTION.replace("(values)", "(values", 1), controls.random(2048)
    free = repairs.repair(broken, denoiser=random_).counters.forwards
    for forwards in (4, 10, 30):
        limited = repairs.repair(broken, denoiser=random_, budget=Budget(forwards=forwards))
        assert limited.counters.forwards <= forwards + 1 < free


def test_a_repair_looks_at_the_clock_between_any_two_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    broken, random_ = FUNCTION.replace("(values)", "(values", 1), controls.random(2048)
    rewrites, compiled = repairs.RepairSearch.rewrites, list[str]()
    made = list[str]()

    def counted(*arguments: Any) -> Iterator[proposals.Rewrite]:
        for one in rewrites(*arguments):
            made.append(one.text)
            yield one

    progress = repairs.compiler_progress

    def watched(text: str) -> int | None:
        compiled.append(text)
        return progress(text)

    def within(seconds: float) -> None:
        """Each look at the clock takes one."""
        made.clear()
        compiled.clear()
        ticks = count(time.perf_counter())
        monkeypatch.setattr(repairs, "time", SimpleNamespace(perf_counter=partial(next, ticks)))
        repairs.repair(broken, denoiser=random_, budget=Budget(None, seconds=seconds))

    monkeypatch.setattr(repairs.RepairSearch, "rewrites", counted)
    monkeypatch.setattr(repairs, "compiler_progress", watched)
    within(1e9)
    assert min(len(made), len(compiled)) > 100
    within(30)
    assert len(made) <= 30 + repairs.MAX_ROUNDS
    monkeypatch.setattr(repairs.RepairSearch, "rewrites", lambda *arguments: islice(counted(*arguments), 60))
    within(80)  # which leaves twenty to compile what was made
    assert len(made) >= 60
    assert len(compiled) < 30


def test_a_repair_says_which_names_nobody_defines() -> None:
    name = controls.oracle(2048, np.full(96, Vocabulary.load().encode("a")[0][0]))
    found = repairs.repair("x = 1 +\n", denoiser=name)
    assert (
        any("undefined name 'a" in violation.message for violation in found.violations)
        or found.text == "x = 1 \n"
    )
    for span, messages in (((4, 5), ["undefined name 'f'"]), ((9, 10), ["undefined name 'y'"]), ((6, 7), [])):
        assert [one.message for one in repairs.undefined_in("x = f(1, y)\n", span)] == messages


def test_repairing_what_is_whole_is_an_error() -> None:
    with pytest.raises(ValueError, match="compiles already"):
        repairs.repair("x = 1\n", denoiser=controls.random(2048))


def test_the_seconds_are_those_of_the_clock() -> None:
    started = time.perf_counter()
    random_ = controls.random(2048)
    found = edits.edit(FUNCTION, [at("0")], denoiser=random_, candidates=5, budget=Budget(forwards=4))
    repaired = repairs.repair(FUNCTION.replace("(values)", "(values", 1), denoiser=random_)
    passed = time.perf_counter() - started
    assert all(
        0 < one.counters.seconds <= passed for one in every_candidate(found) + every_candidate(repaired)
    )
