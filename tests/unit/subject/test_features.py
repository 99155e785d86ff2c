"""What fires, what activates, what attributions; and what directions do."""

import numpy as np
import pytest
import torch

from sae_audit.prompts.types import Label, Prompt
from sae_audit.subject import Subject
from sae_audit.subject.intervention.projection import add_direction, next_token_kl
from sae_audit.subject.model.directional_ablation import project_out
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


def test_direct_attribution_is_activation_times_decoder_row_along_the_unit_direction(
    subject: Subject,
):
    direction = np.linspace(-1.0, 2.0, tiny.D_MODEL)
    feature = FeatureId(1, 3)
    direct_attribution = subject.direct_attribution(PROMPT, direction)(frozenset(), [feature])[0]
    seen = {}
    ids = subject.template.tokens(PROMPT.text)[None]
    subject._passes.read(ids, [1], lambda layer, x: seen.update({layer: x}))
    activations = subject.suite[1].encode(seen[1])[0, :, 3].sum()
    row = subject.suite[1].decoder[3].numpy()
    by_hand = float(activations) * float(row @ direction) / np.linalg.norm(direction)
    assert direct_attribution == pytest.approx(by_hand, rel=1e-4)


def test_means_of_one_prompt_are_its_stream_at_the_template_positions(subject: Subject):
    means = subject.mean_residuals([PROMPT])
    assert means.shape == (tiny.N_LAYERS, subject.template.n_after, tiny.D_MODEL)
    both = subject.mean_residuals([PROMPT, OTHER])
    np.testing.assert_allclose(both, (means + subject.mean_residuals([OTHER])) / 2, atol=1e-6)


def test_means_of_groups_are_the_means_of_their_prompts(subject: Subject):
    """In one pass, whatever the order; a group without prompts is 0."""
    groups = subject.group_means([PROMPT, OTHER, PROMPT], [2, 0, 2], n_groups=3)
    np.testing.assert_allclose(groups[0], subject.mean_residuals([OTHER]), atol=1e-6)
    np.testing.assert_allclose(groups[2], subject.mean_residuals([PROMPT]), atol=1e-6)
    assert not groups[1].any()


@pytest.mark.parametrize("n", [1, 3])
def test_projecting_out_leaves_nothing_along_the_directions(n: int):
    stream = torch.randn(2, 5, 8)
    units = torch.linalg.qr(torch.randn(8, n)).Q.T
    left = project_out(units)(stream)
    torch.testing.assert_close(left @ units.T, torch.zeros(2, 5, n), atol=1e-5, rtol=0)
    torch.testing.assert_close(project_out(units)(left), left, atol=1e-5, rtol=0)


def test_adding_is_adding():
    stream, direction = torch.zeros(1, 3, 4), torch.arange(4.0)
    torch.testing.assert_close(add_direction(direction)(stream)[0, 2], direction)


def test_the_stream_has_no_part_along_a_direction_taken_out_everywhere(subject: Subject):
    """Block input, attention output and MLP output are all covered, in both architectures."""
    unit = torch.nn.functional.normalize(torch.randn(tiny.D_MODEL), dim=0)
    modules = subject._passes.layer_modules
    largest = []

    def look(stream: torch.Tensor) -> torch.Tensor:
        largest.append(float((stream @ unit).abs().max()))
        return stream

    edit = project_out(unit[None])
    writers = [module for own in modules for module in (own.attention, own.mlp)]
    outputs = dict.fromkeys(writers, edit) | {own.layer: look for own in modules}
    subject._passes.last_logits(
        subject.template.tokens(PROMPT.text)[None],
        inputs={own.layer: edit for own in modules},
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
    for change in changes([frozenset()])[0]:
        assert change.kl == pytest.approx(0.0, abs=1e-6)
        assert change.cross_entropy == pytest.approx(0.0, abs=1e-6)
    everything = frozenset(FeatureId(1, i) for i in range(tiny.D_SAE))
    assert any(abs(change.cross_entropy) > 1e-3 for change in changes([everything])[0])


def test_a_suite_that_rebuilds_nothing_explains_little(subject: Subject):
    for quality in subject.sae_quality([PROMPT, OTHER], seed=0):
        assert quality.explained_variance.value < 0.5
        assert 0.0 < quality.l0.value < tiny.D_SAE


def test_directions_that_are_out_in_any_case_are_out_beside_the_one_that_is_tried(subject: Subject):
    units = np.linalg.qr(np.random.default_rng(0).normal(size=(tiny.D_MODEL, 2)))[0].T
    whole = subject.direction_effects([PROMPT], [OTHER])
    behind = subject.direction_effects([PROMPT], [OTHER], behind=units[:1])
    both, one = whole.without(units), whole.without(units[:1])
    left = behind.on_each(3.0 * units[1], layer=1)
    np.testing.assert_allclose(left.bypass, both.harmful, atol=1e-5)
    assert abs(left.bypass - one.harmful).max() > 1e-4, "the second direction does something"
    # What is tried is held against the model that has the first out already, not the whole one.
    none = np.zeros((0, tiny.D_MODEL))
    np.testing.assert_allclose(behind.without(none).kl, 0.0, atol=1e-9)
    np.testing.assert_allclose(behind.without(none).harmless, one.harmless, atol=1e-5)
    assert float(one.kl[0]) > 1e-6


def test_taking_directions_out_by_hooks_of_ones_own_gives_the_same(subject: Subject):
    units = torch.linalg.qr(torch.randn(tiny.D_MODEL, 2)).Q.T

    def out(_module: torch.nn.Module, _args: object, output: object) -> object:
        stream = output[0] if isinstance(output, tuple) else output
        assert isinstance(stream, torch.Tensor)
        left = stream - sum((stream @ u)[..., None] * u for u in units)
        return (left, *output[1:]) if isinstance(output, tuple) else left

    modules = subject._passes.layer_modules
    writers = [module for own in modules for module in (own.attention, own.mlp)]
    modules = [subject._passes.model.get_input_embeddings(), *writers]
    handles = [module.register_forward_hook(out) for module in modules]
    plain = subject.clean_scores([PROMPT, OTHER])
    means = subject.mean_residuals([PROMPT])
    for handle in handles:
        handle.remove()
    found = subject.direction_effects([PROMPT], [OTHER]).without(units.numpy())
    np.testing.assert_allclose([found.harmful[0], found.harmless[0]], plain, atol=1e-4)
    without = subject.mean_residuals([PROMPT], without=units.numpy())
    np.testing.assert_allclose(without, means, atol=1e-4)
    assert abs(without @ units.numpy().T).max() < 1e-4


def test_activations_at_the_template_positions_are_those_of_the_whole_encoding(subject: Subject):
    prompts, n = [PROMPT, OTHER], subject.template.n_after
    found = subject.template_activations(prompts)
    for row, prompt in enumerate(prompts):
        ids = subject.template.tokens(prompt.text)[None]
        seen: dict[int, torch.Tensor] = {}
        subject._passes.read(ids, subject.layers, lambda layer, x, s=seen: s.update({layer: x}))
        for layer in subject.layers:
            whole = subject.suite[layer].encode(seen[layer])[0, -n:].numpy()
            for index in range(tiny.D_SAE):
                np.testing.assert_allclose(
                    found[layer].of(index)[row], whole[:, index], rtol=1e-4, atol=1e-5
                )
    fire = {layer: (own.values != 0).any(axis=(0, 1)).all() for layer, own in found.items()}
    assert all(fire.values()), "those that never fire there are left out"


def test_peaks_and_ends_are_those_of_two_readings_for_the_price_of_one(subject: Subject):
    prompts, before = [PROMPT, OTHER], subject.cost
    peaks, ends = subject.peaks_and_ends(prompts)
    assert subject.cost.since(before).forward_passes == len(prompts)
    apart = subject.template_activations(prompts)
    for layer, values in subject.peak_activations(prompts).items():
        np.testing.assert_allclose(peaks[layer], values, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(ends[layer].index, apart[layer].index)
        np.testing.assert_allclose(ends[layer].values, apart[layer].values, rtol=1e-4, atol=1e-5)


def test_row_norms_are_those_of_the_rows(subject: Subject):
    features = [FeatureId(layer, index) for layer in subject.layers for index in (0, 3)]
    norms = subject.row_norms()
    for feature, row in subject.rows(features).items():
        assert norms[feature.layer][feature.index] == pytest.approx(np.linalg.norm(row), rel=1e-4)


def test_a_share_of_a_direction_is_removed_once(subject: Subject):
    """None of it is the clean run, all of it the projection; between, the stream of the first layer's
    input keeps the rest."""
    effects = subject.direction_effects([PROMPT], [OTHER])
    direction = 3.0 * np.random.default_rng(0).normal(size=tiny.D_MODEL)
    unit = direction / np.linalg.norm(direction)
    clean = subject.clean_scores([PROMPT])
    np.testing.assert_allclose(effects.partly_without(direction, 0.0).harmful, clean, atol=1e-5)
    whole, projected = effects.partly_without(direction, 1.0), effects.without(unit[None])
    np.testing.assert_allclose(whole.harmful, projected.harmful, atol=1e-4)
    np.testing.assert_allclose(whole.kl, projected.kl, atol=1e-4)
    half = effects.partly_without(direction, 0.5)
    assert abs(half.harmful - clean) > 1e-4
    assert abs(half.harmful - whole.harmful) > 1e-4
    assert 0.0 < half.kl < whole.kl


def test_a_share_of_a_direction_leaves_the_rest_of_its_component(subject: Subject):
    """Every write keeps three quarters, so the stream of a linear stack would too: not three quarters to
    the power of the number of layers."""
    from sae_audit.subject.model.directional_ablation import at_each_write, project_partly_out

    modules = subject._passes.layer_modules
    unit = torch.nn.functional.normalize(torch.randn(tiny.D_MODEL), dim=0)
    inputs, outputs = at_each_write(modules, project_partly_out(unit, 0.25))
    assert list(inputs) == [modules[0].layer]
    writes: list[torch.Tensor] = []
    hooks = [
        module.register_forward_hook(
            lambda _m, _a, out: writes.append(out if torch.is_tensor(out) else out[0])
        )
        for own in modules
        for module in own.writers
    ]
    ids = subject.template.tokens(PROMPT.text)[None]
    seen: dict[int, torch.Tensor] = {}
    last = len(modules) - 1
    subject._passes.read(
        ids, [last], lambda layer, x: seen.update({layer: x}), inputs=inputs, writers=outputs
    )
    for hook in hooks:
        hook.remove()
    embedded = subject.network.get_input_embeddings()(ids)
    added = sum(writes, torch.zeros_like(embedded)) + embedded
    np.testing.assert_allclose(
        (seen[last] @ unit).detach(), 0.75 * (added @ unit).detach(), rtol=1e-3, atol=1e-4
    )


def test_changes_on_harmless_prompts_are_those_measured_one_by_one(subject: Subject):
    """In shared batches as in a pass of their own; nothing ablated changes nothing."""
    sets = [frozenset(FeatureId(layer, i) for i in range(6)) for layer in subject.layers]
    asked = [(prompt, one) for one in [frozenset[FeatureId](), *sets] for prompt in (PROMPT, OTHER)]
    found = subject.harmless_changes()(asked)
    alone = subject.collateral([PROMPT, OTHER])
    by_set = [alone([one])[0] for one in [frozenset[FeatureId](), *sets]]
    expected = [change.kl for one in by_set for change in one]
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-5)
    np.testing.assert_allclose(found[:2], 0.0, atol=1e-9)
    assert found[2:, 0].max() > 1e-4
    assert set(found[:, 1]) <= {0.0, 1.0}
