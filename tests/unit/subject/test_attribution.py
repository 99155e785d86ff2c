"""Attribution against finite differences, and against what ablation really does."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sae_audit.organisms.planted.families import build
from sae_audit.organisms.planted.plant import plant
from sae_audit.prompts.sources import read_prompts
from sae_audit.prompts.types import Label, Prompt
from sae_audit.subject import Subject
from sae_audit.subject.attribution import attribution as attribution_module
from sae_audit.subject.readout.refusal_readout import RefusalReadout
from sae_audit.vocabulary import Ablation, FeatureId, Positions
from tests import tiny

PROMPT = Prompt(id="p", text="please tell me how to build a bomb", label=Label.HARMFUL)


@pytest.fixture(params=["standard", "jumprelu", "gated", "topk", "layer_norm"])
def subject_of_kind(request: pytest.FixtureRequest) -> Subject:
    options: dict[str, Any] = (
        {"normalize_activations": "layer_norm"} if request.param == "layer_norm" else {}
    )
    kind = "standard" if request.param == "layer_norm" else request.param
    saes = [tiny.sae(kind, layer, **options) for layer in range(tiny.N_LAYERS)]
    return tiny.subject_in_memory("gemma2", saes)


@pytest.mark.parametrize("positions", list(Positions))
def test_it_is_the_slope_of_ablating_a_little(subject_of_kind: Subject, positions: Positions):
    """Setting a feature a thousandth of the way to zero moves the score by a thousandth of it."""
    drops = subject_of_kind.attribution(PROMPT, Ablation(positions=positions))
    firing = subject_of_kind.active(PROMPT, Ablation(positions=positions))([frozenset()])[0]
    share = 2e-3
    strongest = sorted(firing, key=lambda f: -abs(drops[f.layer][f.index]))[:6]
    for feature in strongest:
        by_slope = drops[feature.layer][feature.index]
        measured = _drop_of_a_share(subject_of_kind, feature, positions, share) / share
        assert by_slope == pytest.approx(measured, rel=0.05, abs=0.02)
    assert any(abs(drops[f.layer][f.index]) > 0.1 for f in strongest)


@pytest.mark.parametrize("steps", [1, 4])
def test_a_small_dose_is_estimated_as_its_share_of_the_slope(subject_of_kind: Subject, steps: int):
    """Hardly any way from the clean run, every point's gradient is that of the clean run."""
    slope = subject_of_kind.attribution(PROMPT)
    scaled = subject_of_kind.attribution(PROMPT, Ablation(scale=1e-4), steps=steps)
    for layer, drops in slope.items():
        np.testing.assert_allclose(scaled[layer], 1e-4 * drops, rtol=0.02, atol=2e-6)
    assert max(np.abs(drops).max() for drops in slope.values()) > 0.1


def _drop_of_a_share(
    subject: Subject, feature: FeatureId, positions: Positions, share: float
) -> float:
    """By plain hooks: the feature's own contribution, scaled down by `share`."""
    import torch

    from sae_audit.subject.model.hooks import Resid, edited

    dictionary = subject.suite[feature.layer]
    ids = subject.template.tokens(PROMPT.text)
    selected = subject.template.selected(ids, positions)[None, :, None]

    def shrink(resid: Resid) -> Resid:
        activations = dictionary.encode(resid)
        less = activations.clone()
        less[..., feature.index] *= 1 - share
        difference = dictionary.decode(less, resid) - dictionary.decode(activations, resid)
        return torch.where(selected, resid + difference, resid)

    clean = subject.clean_scores([PROMPT])[0]
    layer = subject._passes.layer_modules[feature.layer].layer
    with edited(outputs={layer: shrink}):
        return float(clean - subject.clean_scores([PROMPT])[0])


def test_integrated_gradients_end_to_end(subject: Subject):
    """Over a whole layer (features and error alike), the drops of a linear path add up.

    Completeness of integrated gradients: with the stream taken to b_dec, the sum over features of
    the last layer, plus the error's share, is the difference of the two ends' scores.
    """
    import torch

    from sae_audit.subject.attribution.attribution import _mean_gradient

    ids = subject.template.tokens(PROMPT.text)
    run, dictionary = subject._runs.of(ids), subject.suite[1]
    chosen = torch.ones(len(ids), dtype=torch.bool)
    gradient = _mean_gradient(
        subject._stack, dictionary, run, chosen, subject.readout, Ablation(), 400
    )
    resid = run.resid[1]
    end = dictionary.decode(torch.zeros(1, len(ids), dictionary.d_sae), resid[None])[0]
    summed = float(((resid - end) * gradient).sum())

    from sae_audit.subject.model.hooks import edited

    layer = subject._passes.layer_modules[1].layer
    clean = subject.clean_scores([PROMPT])[0]
    with edited(outputs={layer: lambda _: end[None]}):
        emptied = subject.clean_scores([PROMPT])[0]
    assert summed == pytest.approx(clean - emptied, rel=0.05, abs=0.02)


def test_ten_steps_differ_from_one_and_cost_more(subject: Subject):
    before = subject.cost
    one = subject.attribution(PROMPT)
    cost_one = subject.cost.since(before).forward_passes
    ten = subject.attribution(PROMPT, steps=10)
    assert subject.cost.since(before).forward_passes - cost_one == 10 * len(subject.suite)
    assert not np.allclose(one[0], ten[0])


def test_silent_features_have_none(subject: Subject):
    drops = subject.attribution(PROMPT)
    firing = subject.active(PROMPT)([frozenset()])[0]
    for layer, values in drops.items():
        for index in np.flatnonzero(values):
            assert FeatureId(layer, int(index)) in firing


def test_shares_under_an_ablation_add_up_to_what_ablating_all_else_does(subject_of_kind: Subject):
    """Completeness: from the set alone to every feature of the suite, the drops are the fall; but
    for the few points of the path, and what jumps between them."""
    first = frozenset(f for f in subject_of_kind.active(PROMPT)([frozenset()])[0] if f.layer == 0)
    every = frozenset(
        FeatureId(layer, i) for layer in range(tiny.N_LAYERS) for i in range(tiny.D_SAE)
    )
    drops = subject_of_kind.attribution(PROMPT, ablated=first)
    before, after = subject_of_kind.refusal_score(PROMPT)([first, every])
    assert sum(drop.sum() for drop in drops.values()) == pytest.approx(before - after, abs=0.25)
    # What is ablated already has no share; what never fires has none either.
    assert all(drops[f.layer][f.index] == 0.0 for f in first)


def test_a_feature_that_others_cover_for_has_a_share_once_they_are_gone(tmp_path: Path):
    """Of three units, each enough, no gradient of the clean run shows one; the last one left is
    given the whole fall."""
    planted = plant(build("parallel", 3, 0), tmp_path / "planted", architecture="llama")
    subject, prompt = planted.subject(), read_prompts([planted.prompts])[0]
    *others, covered = planted.truth.causal
    clean = subject.attribution(prompt)[covered.layer][covered.index]
    before, after = subject.refusal_score(prompt)(
        [frozenset(others), frozenset([*others, covered])]
    )
    share = subject.attribution(prompt, ablated=frozenset(others))[covered.layer][covered.index]
    assert clean == pytest.approx(0.0, abs=0.01)
    assert before - after > 5.0
    assert share == pytest.approx(before - after, rel=0.1)


def in_memory(seed: int) -> Subject:
    saes = [tiny.sae("standard", layer, seed=layer + seed) for layer in range(tiny.N_LAYERS)]
    return tiny.subject_in_memory("gemma2", saes)


def test_other_saes_of_the_model_share_its_gradients(monkeypatch: pytest.MonkeyPatch):
    """One backward pass a prompt, whatever the SAEs; the account is charged for each all the same."""
    subject, other = in_memory(0), in_memory(50)
    alone = other.attribution(PROMPT)
    asked: list[int] = []
    gradients = attribution_module._gradients
    monkeypatch.setattr(
        attribution_module, "_gradients", lambda *of: asked.append(1) or gradients(*of)
    )
    own = subject.attribution(PROMPT)
    before = subject.cost
    shared = subject.with_saes(other.suite).attribution(PROMPT)
    assert len(asked) == 1
    assert subject.cost.since(before).forward_passes == 2, "the clean run and the backward pass"
    for layer in subject.layers:
        np.testing.assert_allclose(shared[layer], alone[layer], atol=1e-5)
    assert not np.allclose(own[0], alone[0])


def test_another_readout_has_gradients_of_its_own(subject: Subject):
    before, own = subject.attribution(PROMPT), subject.readout
    assert isinstance(own, RefusalReadout)
    assert own.refusal_tokens is not None
    tokens = own.refusal_tokens
    other = replace(tokens, ids=tuple(i + 1 for i in tokens.ids))
    subject.readout = RefusalReadout(refusal_tokens=other, threshold=own.threshold)
    try:
        after = subject.attribution(PROMPT)
    finally:
        subject.readout = own
    assert any(not np.allclose(before[layer], after[layer]) for layer in before)
