"""Hooks into DiffusionGemma's own ``generate``: those that lose pins today, and ours beside them."""

from __future__ import annotations

import pytest
import torch
from transformers import LogitsProcessorList

from solver.llm.logits_processor import LIFT, Constraint, Processors
from solver.tasks.errors import InvalidArgument
from tests import tiny_models

CANVAS, STEPS, PINS = 12, 6, {0: 7, 3: 20, 8: 41, 14: 33}  # the last in a second canvas


@pytest.fixture(scope="module")
def model():
    model = tiny_models.gemma(canvas=CANVAS)
    model.generation_config.max_denoising_steps = STEPS
    model.generation_config.eos_token_id = None
    return model


IDS = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])


def kept(sequences: torch.Tensor, pins: dict[int, int] = PINS) -> float:
    """The share of pins that stand."""
    answers = sequences[:, IDS.shape[1] :]
    return sum(int((answers[:, place] == token).sum()) for place, token in pins.items()) / (
        len(pins) * len(answers)
    )


def rule(**other) -> Constraint:
    return Constraint(PINS, canvas=CANVAS, vocab=63, prompt=IDS.shape[1], **other)


def test_ours_keeps_every_pin_across_canvases_and_calls(model) -> None:
    settings = rule(forbidden=[0, 1, 2, 3, 4]).settings(model)
    for seed in range(10):  # the same list again and again
        torch.manual_seed(seed)
        sequences = model.generate(IDS, max_new_tokens=2 * CANVAS, **settings).sequences
        assert kept(sequences) == 1.0
        assert sequences[:, IDS.shape[1] :].min() >= 5
    assert len(settings["logits_processor"]) == 2  # ours, and one temperature


@pytest.mark.parametrize("pins", [PINS, {5: 20, 9: 41, 10: 1, 11: 0}], ids=["tokens", "an end and padding"])
def test_no_end_of_the_text_comes_before_the_last_pin(model, pins: dict[int, int]) -> None:
    config = model.generation_config
    config.eos_token_id, config.pad_token_id = [1, *range(21, 33)], 0
    try:
        settings = Constraint(pins, canvas=CANVAS, vocab=63, prompt=IDS.shape[1]).settings(model)
        texts = []
        for seed in range(5):
            torch.manual_seed(seed)
            texts.append(model.generate(IDS, max_new_tokens=2 * CANVAS, **settings).sequences)
            assert kept(texts[-1], pins) == 1.0
        plain = Processors([Constraint(pins, canvas=CANVAS, vocab=63, prompt=4)])
        assert (
            kept(model.generate(IDS, max_new_tokens=2 * CANVAS, logits_processor=plain).sequences, pins) < 1
        )
    finally:
        config.eos_token_id, config.pad_token_id = None, None


def test_an_end_before_a_pin_is_refused(model) -> None:
    model.generation_config.eos_token_id = 1
    try:
        with pytest.raises(InvalidArgument, match="position 2 ends the text, before position 5"):
            Constraint({2: 1, 5: 9}, canvas=CANVAS, vocab=63, prompt=4).settings(model)
        constraint = Constraint({5: 9}, {2: [1, 7]}, canvas=CANVAS, vocab=63, prompt=4)
        assert constraint.settings(model)["logits_processor"][0].choices[2] == [7]
    finally:
        model.generation_config.eos_token_id = None


def test_a_starting_canvas_loses_its_pins(model) -> None:
    """``decoder_input_ids`` is a warm start and nothing more."""
    start = torch.randint(5, 63, (2, CANVAS))
    pins = {place: token for place, token in PINS.items() if place < CANVAS}
    for place, token in pins.items():
        start[:, place] = token
    shares = []
    for seed in range(10):
        torch.manual_seed(seed)
        shares.append(
            kept(model.generate(IDS, max_new_tokens=CANVAS, decoder_input_ids=start).sequences, pins)
        )
    assert sum(shares) / len(shares) < 0.5


def test_an_overridden_sampler_loses_pins(model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing the pins into the sampler's canvas: what is returned is the argmax, which never saw them."""
    from transformers.models.diffusion_gemma.generation_diffusion_gemma import EntropyBoundSampler

    pins = {place: token for place, token in PINS.items() if place < CANVAS}
    original = EntropyBoundSampler.renoise_canvas

    def renoise(self, accepted_canvas, cur_step):
        canvas = original(self, accepted_canvas, cur_step)
        for place, token in pins.items():
            canvas[:, place] = token
        return canvas

    monkeypatch.setattr(EntropyBoundSampler, "renoise_canvas", renoise)
    shares = []
    for seed in range(10):
        torch.manual_seed(seed)
        shares.append(kept(model.generate(IDS, max_new_tokens=CANVAS).sequences, pins))
    assert sum(shares) / len(shares) < 1.0


def test_a_plain_list_grows_at_every_call_and_ours_does_not(model) -> None:
    """The quirk: temperatures pile up, so that the second call samples from another distribution than the first."""
    plain = LogitsProcessorList([rule()])
    for _ in range(3):
        model.generate(IDS, max_new_tokens=CANVAS, logits_processor=plain)
    assert len(plain) == 4
    ours = Processors([rule()])
    for _ in range(3):
        model.generate(IDS, max_new_tokens=CANVAS, logits_processor=ours)
    assert len(ours) == 2


def test_pins_do_not_stop_the_schedule_early(model) -> None:
    """With most cells pinned the mean entropy over all cells is under the threshold at once; ours scales the threshold."""
    pins = {place: 7 for place in range(CANVAS - 1)}
    constraint = Constraint(pins, canvas=CANVAS, vocab=63, prompt=IDS.shape[1])
    assert constraint.open_share() == pytest.approx(1 / CANVAS)
    said = model.generation_config.confidence_threshold
    model.generation_config.confidence_threshold = 0.5
    try:
        settings = constraint.settings(model)
        assert settings["confidence_threshold"] == pytest.approx(0.5 / CANVAS)
        lengths = {}
        for name, own in (("plain", {"logits_processor": Processors([constraint])}), ("ours", settings)):
            torch.manual_seed(0)
            output = model.generate(IDS, max_new_tokens=CANVAS, **own)
            lengths[name] = CANVAS / output.tokens_per_forward  # forwards of each row
        assert (lengths["ours"] >= lengths["plain"]).all()
        assert lengths["ours"].sum() > lengths["plain"].sum()
    finally:
        model.generation_config.confidence_threshold = said


def test_a_joint_path_is_lifted_to_the_argmax(model) -> None:
    """Cells that must be equal: each cell's own argmax breaks that, the path does not."""
    path_tokens = []

    def project(scores: torch.Tensor) -> torch.Tensor:
        best = scores.sum(1).argmax(-1)  # one token for the whole canvas
        path_tokens.append(best)
        return best[:, None].expand(-1, scores.shape[1])

    constraint = Constraint(canvas=CANVAS, vocab=63, prompt=IDS.shape[1], project=project)
    torch.manual_seed(0)
    answers = model.generate(IDS, max_new_tokens=CANVAS, **constraint.settings(model)).sequences[
        :, IDS.shape[1] :
    ]
    assert (answers == answers[:, :1]).all()
    scores = torch.randn(2, CANVAS, 63)
    lifted = constraint(IDS, scores.clone())
    changed = (lifted != scores).sum(-1)
    assert (changed <= 1).all()
    assert ((lifted.amax(-1) - scores.amax(-1) - LIFT).abs() < 1e-5).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pins": {0: 1}, "allowed": {0: [1, 2]}}, "both pinned and restricted"),
        ({"allowed": {2: []}}, "nothing is allowed at position 2"),
        ({"pins": {1: 63}}, r"outside 0\.\.62"),
        ({"pins": {-1: 5}}, "count from 0"),
        ({"forbidden": range(63)}, "every token is forbidden"),
    ],
)
def test_what_would_crash_is_refused_before(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Constraint(**settings, canvas=CANVAS, vocab=63, prompt=4)


def test_infinite_scores_of_an_allowed_token_do_not_crash() -> None:
    constraint = Constraint(allowed={0: [3, 4]}, canvas=CANVAS, vocab=63, prompt=4)
    scores = torch.full((1, CANVAS, 63), float("-inf"))
    assert constraint(IDS[:1], scores)[0, 0].isfinite().sum() == 2
