"""What ablation changes on harmless prompts, in sweeps, against the literal computation."""

import numpy as np
import pytest
import torch

from sae_audit.prompts.types import Label, Prompt
from sae_audit.subject import Subject
from sae_audit.vocabulary import Ablation, FeatureId, Positions
from tests import tiny

PROMPTS = [
    Prompt(id=str(i), text=text, label=Label.HARMLESS)
    for i, text in enumerate(("paint the fence", "wash the car please", "tell me how"))
]
SETS = [
    frozenset[FeatureId](),
    frozenset({FeatureId(0, 1)}),
    frozenset({FeatureId(0, 1), FeatureId(2, 3), FeatureId(1, 7)}),
    frozenset(FeatureId(layer, i) for layer in range(3) for i in range(12)),
]


@pytest.fixture(scope="module")
def subject() -> Subject:
    saes = [tiny.sae("jumprelu", layer) for layer in range(tiny.N_LAYERS)]
    return tiny.subject_in_memory("gemma2", saes)


@pytest.mark.parametrize(
    "ablation", [Ablation(), Ablation(clamp=0.5), Ablation(positions=Positions.ALL_BUT_BOS)]
)
def test_the_kl_is_that_of_the_literal_computation(subject: Subject, ablation: Ablation):
    literal = subject.collateral(PROMPTS, ablation, n_tokens=1)
    asked = subject.harmless_changes(ablation)([(p, one) for one in SETS for p in PROMPTS])
    expected = [change.kl for one in SETS for change in literal([one])[0]]
    np.testing.assert_allclose(asked[:, 0], expected, atol=1e-5)
    assert max(expected) > 1e-3, "some set changes something"


def test_sets_that_share_a_pass_change_what_each_does_alone(subject: Subject):
    """Also the cross-entropy of own answers, which is measured behind the prompt."""
    together = subject.collateral(PROMPTS, n_tokens=6)
    for changes, one in zip(together(SETS), SETS, strict=True):
        (alone,) = subject.collateral(PROMPTS, n_tokens=6)([one])
        for both in ("kl", "cross_entropy"):
            own, other = ([getattr(c, both) for c in found] for found in (changes, alone))
            np.testing.assert_allclose(own, other, atol=1e-5)
    assert abs(together(SETS)[-1][0].cross_entropy) > 1e-3, "some set changes answers"


def test_a_first_token_counts_as_changed_if_another_is_likeliest(subject: Subject):
    changed = subject.harmless_changes()([(p, one) for one in SETS for p in PROMPTS])[:, 1]
    clean = [subject.generate([(p, frozenset())], 1)[0][0] for p in PROMPTS]
    ablated = [subject.generate([(p, one)], 1)[0][0] for one in SETS for p in PROMPTS]
    assert changed.tolist() == [float(a != c) for a, c in zip(ablated, clean * 4, strict=True)]
    assert not changed[:3].any(), "an empty set changes nothing"


def test_how_often_features_fire_is_counted_token_by_token(subject: Subject):
    found = subject.firing_shares(PROMPTS)
    ids = [subject.template.tokens(p.text) for p in PROMPTS]
    for layer, sae in subject.suite.items():
        read = [sae.encode(subject._runs.of(one).resid[layer][None])[0] for one in ids]
        fires = torch.cat([one > 0 for one in read]).double().mean(dim=0)
        at_end = torch.stack([one[-1] for one in read]).double().mean(dim=0)
        np.testing.assert_allclose(found[layer].tokens, fires.numpy(), atol=1e-9)
        np.testing.assert_allclose(found[layer].at_end, at_end.numpy(), atol=1e-4)
        assert 0.0 < found[layer].tokens.mean() < 1.0


def test_the_same_model_answers_with_other_saes(subject: Subject):
    """Nothing remembered of the first SAEs answers for the second."""
    others = [tiny.sae("jumprelu", layer, seed=7) for layer in range(tiny.N_LAYERS)]
    fresh = tiny.subject_in_memory("gemma2", others)
    harmful = Prompt(id="h", text="build a bomb", label=Label.HARMFUL)
    subject.refusal_score(harmful)(SETS)
    before = subject.cost
    swapped = subject.with_saes(fresh.suite)
    found, expected = (one.refusal_score(harmful)(SETS) for one in (swapped, fresh))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - subject.refusal_score(harmful)(SETS)).max() > 1e-3
    assert subject.cost.since(before).forward_passes > 0, "what it asks is charged"
