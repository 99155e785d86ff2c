"""What ablation changes on harmless prompts, in sweeps, against the literal computation."""

import numpy as np
import pytest
import torch

from sae_audit.prompts.types import Label, Prompt
from sae_audit.subject import Subject
from sae_audit.subject.intervention.scoring import likeliest_changed
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


def test_a_first_token_has_changed_if_the_new_one_was_less_than_half_as_likely():
    """Known answers: nothing, a near tie turned round, just beyond half, and another of the rare."""
    clean = torch.log(torch.tensor([[0.5, 0.3, 0.2]] * 3 + [[0.5, 0.24, 0.26]]))
    ablated = torch.log(
        torch.tensor([[0.9, 0.1, 0.0], [0.3, 0.5, 0.2], [0.0, 0.0, 1.0], [0.3, 0.4, 0.3]])
    )
    found = likeliest_changed(clean.clamp(min=-50), ablated.clamp(min=-50))
    assert found.tolist() == [False, False, True, True]


def test_of_a_model_whose_first_tokens_are_near_ties_rounding_changes_none(subject: Subject):
    """The tiny model's likeliest token is hardly likelier than the next: to count every other token
    that comes first would give up sets whose KL is next to nothing."""
    questions = [(p, one) for one in SETS for p in PROMPTS]
    changed = subject.harmless_changes()(questions)[:, 1]
    clean = [subject.generate([(p, frozenset())], 1)[0][0] for p in PROMPTS]
    ablated = [subject.generate([question], 1)[0][0] for question in questions]
    probability = subject.first_probabilities(PROMPTS)
    n = len(PROMPTS)
    expected = [
        float(probability[i % n, token] < 0.5 * probability[i % n, clean[i % n]])
        for i, token in enumerate(ablated)
    ]
    assert changed.tolist() == expected
    others = [token != clean[i % n] for i, token in enumerate(ablated)]
    assert sum(others) > sum(expected), "some others came first, and were as likely"


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
