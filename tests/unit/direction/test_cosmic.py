"""COSMIC on planted models whose answer is known, and its arithmetic by hand."""

import numpy as np
import pytest

from sae_audit.config import DirectionSettings
from sae_audit.direction.estimators.difference_of_means import difference_of_means
from sae_audit.direction.methods import Choice, Means
from sae_audit.direction.selectors import SELECTORS
from sae_audit.direction.selectors.cosmic import by_cosmic
from sae_audit.direction.selectors.cosmic_scores import evaluation_layers, likeness
from sae_audit.findings import DirectionEvaluation, StopReason
from tests.unit.direction.planted import PlantedRefuser


def chosen(planted: PlantedRefuser, selection: str = "cosmic", **limits: float) -> Choice:
    return SELECTORS[selection].choose(
        difference_of_means(planted.means),
        planted.means,
        planted,
        DirectionSettings.model_validate(limits),
        lambda *_: None,
    )


def place(choice: Choice) -> DirectionEvaluation:
    assert choice.selected.evaluation is not None
    return choice.selected.evaluation


def cosine_with_planted(planted: PlantedRefuser, choice: Choice) -> float:
    candidates = difference_of_means(planted.means)
    vector = candidates.vectors[candidates.at(place(choice))]
    return float(vector @ planted.direction / np.linalg.norm(vector))


def is_planted_or_tied(planted: PlantedRefuser, choice: Choice) -> bool:
    """The planted layer is chosen, or told to be within one standard error of the chosen one."""
    near = next(one for one in choice.selection.remarks if "standard error" in one)
    assert not any(f"layer {layer}, " in near for layer in range(planted.written_at))
    at = planted.written_at
    return place(choice).layer == at or f"layer {at}, " in near


def test_with_the_wrong_refusal_tokens_it_finds_what_bypass_cannot():
    """The mechanism works; the score says the same of every prompt, whatever is done."""
    planted = PlantedRefuser(reads=False)
    by_bypass = chosen(planted, "bypass").selected
    assert by_bypass.breaks == ("induces -18.42 nats where 0 is the floor",)
    found = chosen(planted)
    assert cosine_with_planted(planted, found) > 0.98
    assert is_planted_or_tied(planted, found)


@pytest.mark.parametrize("seed", range(4))
def test_where_tokens_are_right_both_find_the_planted_direction(seed: int):
    planted = PlantedRefuser(seed=seed)
    bypass, cosmic = (chosen(planted, name) for name in ("bypass", "cosmic"))
    assert place(bypass).layer == planted.written_at
    assert is_planted_or_tied(planted, cosmic)
    assert all(cosine_with_planted(planted, one) > 0.97 for one in (bypass, cosmic))


def test_four_layers_have_an_evaluation_layer():
    planted = PlantedRefuser(n_layers=4, written_at=1)
    assert len(evaluation_layers(planted.means)) == 1
    # int(.8 * 4) - 1 = 2: layers 0 and 1 are not cut.
    found = chosen(planted)
    assert place(found).layer == 1
    assert {one.layer for one in found.stopped} == {2, 3}
    assert {one.reason for one in found.stopped} == {StopReason.LAYER}


@pytest.mark.parametrize("long_layer", [2, 4, 5, 8, 18])
def test_one_layer_of_a_hundredfold_norm_moves_the_choice_between_ties_alone(long_layer: int):
    """Of twenty layers two are evaluated, also the long one: raw means are then nearly its own."""
    planted = PlantedRefuser(n_layers=20, long_layer=long_layer)
    found = chosen(planted)
    assert place(found).layer in (planted.written_at, planted.written_at + 1)
    assert cosine_with_planted(planted, found) > 0.9


def test_the_kl_filters_and_the_floor_of_induce_does_not():
    planted = PlantedRefuser(reads=False, kl_of_all=0.3)
    found = chosen(planted).selected
    assert found.breaks == ("costs KL 0.300 nats where 0.1 is the limit",)
    assert found.evaluation is not None
    assert found.evaluation.bypass is not None
    assert "The lowest KL is 0.300" in found.reason
    assert place(chosen(planted, kl_limit=0.4)).induce == pytest.approx(-18.421)


def test_bypass_and_induce_are_asked_of_the_chosen_one_alone():
    planted = PlantedRefuser()
    found = chosen(planted)
    assert planted.asked["bypass"] == planted.asked["induce"] == planted.n
    assert [one for one in found.evaluations if one.bypass is not None] == [place(found)]


def test_the_last_token_is_not_taken_deeper_than_the_others_speak_for():
    planted = PlantedRefuser(written_at=1)
    # The other position holds the direction at layer 1 alone, the last token everywhere.
    harmful = planted.means.harmful.copy()
    harmful[2:, 0] = planted.means.harmless[2:, 0] + 1e-3
    means = Means(harmful=harmful, harmless=planted.means.harmless)
    choice = by_cosmic(
        difference_of_means(means), means, planted, DirectionSettings(), lambda *_: None
    )
    deep = [e for e in choice.evaluations if e.position == -1 and e.layer > 1]
    assert deep
    assert all("at the last token, deeper than the others speak for" in e.failed for e in deep)
    assert place(choice).layer == 1
    assert "layer at most 1 at position -1" in choice.selection.filters


def test_evaluation_layers_are_those_where_the_labels_differ_most():
    """Twenty layers, so two are taken; the last is never one of them."""
    angles = np.full(20, 0.1)
    angles[[3, 12, 19]] = (0.8, 1.0, 1.5)
    harmless = np.tile([1.0, 0.0], (20, 1, 1))
    harmful = np.stack([np.cos(angles), np.sin(angles)], axis=1)[:, None]
    assert evaluation_layers(Means(harmful=harmful, harmless=harmless)) == [3, 12]


def test_likeness_by_hand():
    """Means over both layers (3, 4) and (1, 0); layer by layer at a right and at half a right angle."""
    changed = np.array([[[0.0, 2.0], [6.0, 6.0]]])
    other = np.array([[[1.0, 0.0], [1.0, 0.0]]])
    found = likeness(changed, other)
    assert found.cosine == pytest.approx(3.0 / 5.0)
    assert found.by_layer == pytest.approx((0.0 + np.sqrt(0.5)) / 2)
    assert found.influence == pytest.approx([0.0])


def test_the_influence_of_a_prompt_is_what_leaving_it_out_takes():
    random = np.random.default_rng(0)
    changed = 5.0 + random.normal(size=(200, 2, 6))
    other = random.normal(1.0, 1.0, size=(9, 2, 6))
    found = likeness(changed, other)
    without = [likeness(np.delete(changed, i, axis=0), other).cosine for i in range(200)]
    taken = found.cosine - np.array(without)
    np.testing.assert_allclose(found.influence / 199, taken, atol=0.02 * np.abs(taken).max())
