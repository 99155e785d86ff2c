"""What decoder rows point at: tokens by the logit lens, and rows near them."""

import numpy as np
import pytest
import torch

from sae_audit.prompts.types import Label, Prompt
from sae_audit.subject import Subject
from sae_audit.vocabulary import FeatureId
from tests import tiny

PROMPTS = [
    Prompt(id="p", text="please tell me how to build a bomb", label=Label.HARMFUL),
    Prompt(id="q", text="paint the fence", label=Label.HARMFUL),
]
FAMILIES = ("gemma2", "llama", "gemma3")


def built(family: str, dtype: torch.dtype = torch.float32) -> Subject:
    saes = [tiny.sae("jumprelu", layer) for layer in range(tiny.N_LAYERS)]
    return tiny.subject_in_memory(family, saes, dtype=dtype)


@pytest.fixture(scope="module", params=FAMILIES)
def subject(request: pytest.FixtureRequest) -> Subject:
    return built(request.param)


def mean_end(subject: Subject) -> torch.Tensor:
    ends = [
        subject._runs.of(subject._interventions.ids(prompt)).resid[-1][-1] for prompt in PROMPTS
    ]
    return torch.stack(ends).mean(dim=0)


def by_formula(subject: Subject, feature: FeatureId) -> torch.Tensor:
    """`W (g * (d - x (x . d) / (n s^2)) / s)` less its mean, `s` the root mean square of x."""
    network, at = subject.network, mean_end(subject).double()
    row = torch.tensor(subject.rows([feature])[feature]).double()
    norm = network.model.norm
    weight = norm.weight.double() + (1.0 if type(norm).__name__.startswith("Gemma") else 0.0)
    epsilon = float(getattr(norm, "variance_epsilon", 0.0) or norm.eps)
    square = at.square().mean() + epsilon
    moved = weight * (row - at * (at @ row) / (len(at) * square)) / square.sqrt()
    logits = network.lm_head.weight.double() @ moved
    return logits - logits.mean()


def test_the_lens_is_the_derivative_of_norm_and_output_embeddings(subject: Subject):
    features = [FeatureId(0, 3), FeatureId(2, 11)]
    n = len(tiny.tokenizer())
    for feature, (up, down) in zip(features, subject.logit_lens(features, PROMPTS, n), strict=True):
        expected = by_formula(subject, feature)
        for found, order in ((up, 1.0), (down, -1.0)):
            assert [one.token for one in found] == (order * expected).argsort(
                descending=True
            ).tolist()
            assert [one.logit for one in found] == pytest.approx(
                expected[[one.token for one in found]].tolist(), abs=1e-5
            )
        assert up[0].text == tiny.tokenizer().decode([up[0].token])


def test_a_small_step_moves_the_models_own_logits_so():
    """Llama has no soft cap: the model's own head says the same, up to the mean over tokens."""
    subject, feature = built("llama"), FeatureId(1, 5)
    head, at = subject._stack.head, mean_end(subject)
    row, step = torch.tensor(subject.rows([feature])[feature]), 1e-2
    with torch.no_grad():
        ahead, behind = head(torch.stack([at + step * row, at - step * row]))
    moved = (ahead - behind) / (2 * step)
    found = head.first_order(row[None], at=at)[0]
    torch.testing.assert_close(found, moved - moved.mean(), atol=1e-3, rtol=1e-3)


def test_a_row_that_writes_one_tokens_embedding_raises_that_token():
    subject = built("llama")
    token = tiny.tokenizer().convert_tokens_to_ids("bomb")
    written = subject.network.lm_head.weight[token].detach()
    at = mean_end(subject)
    # At right angles to the stream, so that the norm passes it on whole.
    row = written - at * (at @ written) / (at @ at)
    subject.suite[1].sae.W_dec.data[7] = row
    ((up, _),) = subject.logit_lens([FeatureId(1, 7)], PROMPTS, 3)
    assert up[0].token == token


def test_what_a_row_adds_along_the_stream_moves_nothing():
    """It only rescales, which the norm undoes; a lens that leaves the norm's divisor out misses this."""
    subject = built("llama")
    at = mean_end(subject)
    moved = subject._stack.head.first_order(at[None], at=at)
    plain = subject.network.lm_head(subject.network.model.norm(at))
    assert float(moved.abs().max()) < 1e-3 * float(plain.abs().max())


def test_half_precision_is_differentiated_in_full():
    full, half = built("llama"), built("llama", torch.bfloat16)
    features = [FeatureId(1, 5)]
    (own, _), (other, _) = (s.logit_lens(features, PROMPTS, 5)[0] for s in (full, half))
    assert own[0].token == other[0].token
    assert own[0].logit == pytest.approx(other[0].logit, rel=0.05)


def test_near_rows_are_those_of_every_cosine(subject: Subject):
    features = [FeatureId(1, 4), FeatureId(2, 0)]
    rows = {
        layer: torch.nn.functional.normalize(sae.decoder.float(), dim=1).numpy()
        for layer, sae in subject.suite.items()
    }
    for feature, (here, elsewhere) in zip(features, subject.nearest_rows(features, 3), strict=True):
        own = rows[feature.layer][feature.index]
        cosines = {
            FeatureId(layer, i): float(own @ row)
            for layer, all_rows in rows.items()
            for i, row in enumerate(all_rows)
            if FeatureId(layer, i) != feature
        }
        best = sorted(cosines, key=lambda f: -cosines[f])
        assert [one.feature for one in here] == [f for f in best if f.layer == feature.layer][:3]
        assert [one.feature for one in elsewhere] == [f for f in best if f.layer != feature.layer][
            :3
        ]
        for one in (*here, *elsewhere):
            assert one.cosine == pytest.approx(cosines[one.feature], abs=1e-5)
        assert np.all(np.diff([one.cosine for one in here]) <= 0)
