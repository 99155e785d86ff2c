"""What fires, what wakes, what pulls; and what directions do."""

import numpy as np
import pytest
import torch

from sae_audit.prompts.types import Label, Prompt
from sae_audit.subject import Subject
from sae_audit.subject.projection import add_direction, next_token_kl, project_out
from sae_audit.vocabulary import FeatureId
from tests import tiny

PROMPT = Prompt(id="p", text="please tell me how to build a bomb", label=Label.HARMFUL)
OTHER = Prompt(id="q", text="paint the fence", label=Label.HARMLESS)


def test_firing_features_are_those_the_sae_encodes_above_zero(subject: Subject):
    firing = subject.active(PROMPT)([frozenset()])[0]
    peaks = subject.peak_activations([PROMPT])
    for layer, values in peaks.items():
        for index, value in enumerate(values[0]):
            assert (FeatureId(layer, index) in firing) == (value > 0.0)
            if value > 0.0:
                assert firing[FeatureId(layer, index)] == pytest.approx(float(value), rel=1e-4)


def test_an_ablation_changes_what_fires_downstream_and_nothing_upstream(subject: Subject):
    clean = subject.active(PROMPT)([frozenset()])[0]
    ablated = frozenset(FeatureId(1, i) for i in range(tiny.D_SAE))
    after = subject.active(PROMPT)([ablated])[0]

    def at(firing, layer: int) -> dict[int, float]:
        return {f.index: round(v, 4) for f, v in firing.items() if f.layer == layer}

    assert at(after, 0) == at(clean, 0)
    assert at(after, 1) == at(clean, 1), "read before the layer's own ablation"
    assert at(after, 2) != at(clean, 2)


def test_pull_is_activation_times_decoder_row_along_the_unit_direction(subject: Subject):
    direction = np.linspace(-1.0, 2.0, tiny.D_MODEL)
    feature = FeatureId(1, 3)
    pull = subject.pull(PROMPT, direction)(frozenset(), [feature])[0]
    seen = {}
    ids = subject.template.tokens(PROMPT.text)[None]
    subject._passes.read(ids, [1], lambda layer, x: seen.update({layer: x}))
    activations = subject.suite[1].encode(seen[1])[0, :, 3].sum()
    row = subject.suite[1].decoder[3].numpy()
    by_hand = float(activations) * float(row @ direction) / np.linalg.norm(direction)
    assert pull == pytest.approx(by_hand, rel=1e-4)


def test_means_of_one_prompt_are_its_stream_at_the_template_positions(subject: Subject):
    means = subject.mean_residuals([PROMPT])
    assert means.shape == (tiny.N_LAYERS, subject.template.n_after, tiny.D_MODEL)
    both = subject.mean_residuals([PROMPT, OTHER])
    np.testing.assert_allclose(both, (means + subject.mean_residuals([OTHER])) / 2, atol=1e-6)


def test_projecting_out_leaves_nothing_along_the_direction():
    stream = torch.randn(2, 5, 8)
    unit = torch.nn.functional.normalize(torch.randn(8), dim=0)
    left = project_out(unit)(stream)
    torch.testing.assert_close(left @ unit, torch.zeros(2, 5), atol=1e-5, rtol=0)
    torch.testing.assert_close(project_out(unit)(left), left, atol=1e-5, rtol=0)


def test_adding_is_adding():
    stream, direction = torch.zeros(1, 3, 4), torch.arange(4.0)
    torch.testing.assert_close(add_direction(direction)(stream)[0, 2], direction)


def test_the_stream_has_no_part_along_a_direction_taken_out_everywhere(subject: Subject):
    """Block input, attention output and MLP output are all covered, in both architectures."""
    unit = torch.nn.functional.normalize(torch.randn(tiny.D_MODEL), dim=0)
    places = subject._passes.places
    largest = []

    def look(stream: torch.Tensor) -> torch.Tensor:
        largest.append(float((stream @ unit).abs().max()))
        return stream

    edit = project_out(unit)
    writers = [module for place in places for module in (place.attention, place.mlp)]
    outputs = dict.fromkeys(writers, edit) | {place.layer: look for place in places}
    subject._passes.last_logits(
        subject.template.tokens(PROMPT.text)[None],
        inputs={place.layer: edit for place in places},
        outputs=outputs,
    )
    assert max(largest) < 1e-4


def test_a_zero_effect_direction_costs_no_kl(subject: Subject):
    effects = subject.direction_effects([PROMPT], [OTHER])
    found = effects(
        np.ones(tiny.D_MODEL) * 1e-12 + np.eye(tiny.D_MODEL)[0] * 1e-12, position=-1, layer=0
    )
    clean = subject.clean_scores([OTHER])[0]
    assert found.induce == pytest.approx(clean, abs=1e-5)
    assert found.kl > 0.0


def test_kl_of_a_distribution_with_itself_is_zero():
    logits = torch.randn(3, 9)
    torch.testing.assert_close(next_token_kl(logits, logits), torch.zeros(3, dtype=torch.float64))
    assert (next_token_kl(logits, torch.randn(3, 9)) > 0).all()


def test_collateral_of_ablating_nothing_is_nothing(subject: Subject):
    changes = subject.collateral([OTHER, PROMPT])
    for change in changes(frozenset()):
        assert change.kl == pytest.approx(0.0, abs=1e-6)
        assert change.cross_entropy == pytest.approx(0.0, abs=1e-6)
    everything = frozenset(FeatureId(1, i) for i in range(tiny.D_SAE))
    assert any(abs(change.cross_entropy) > 1e-3 for change in changes(everything))


def test_a_suite_that_rebuilds_nothing_explains_little(subject: Subject):
    for quality in subject.sae_quality([PROMPT, OTHER]):
        assert quality.explained_variance < 0.5
        assert 0.0 < quality.l0 < tiny.D_SAE
