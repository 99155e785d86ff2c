"""What every readout promises: one test suite for all, and what each is beside it."""

from math import isfinite
from typing import Any, Literal, get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sae_audit.config import AuditConfig, ReadoutSettings
from sae_audit.errors import AuditError
from sae_audit.margins import answers, refuses
from sae_audit.prompts.types import Label, Prompt
from sae_audit.subject.readout import Readout, RefusalReadout, readout_of
from sae_audit.subject.readout.readout import margin, margin_bound
from sae_audit.subject.readout.refusal_tokens import RefusalTokens
from sae_audit.subject.readout.score import refusal_score
from sae_audit.vocabulary import Ablation
from tests import tiny

N_WORDS = len(tiny.tokenizer())
NO, NEVER, YES = 9, 10, 11

Kind = Literal["refusal_tokens", "token_pair"]
READOUTS: dict[Kind, dict[str, Any]] = {
    "refusal_tokens": {"refusal_tokens": ["no", "never"]},
    "token_pair": {"declines": ["no", "never"], "acts": ["yes"]},
}
"""By name, what settings each is made of."""


def made(name: Kind, *, threshold: float = 0.0) -> Readout:
    options = dict(READOUTS[name])
    tokens = options.pop("refusal_tokens", None)
    settings = ReadoutSettings(kind=name, threshold=threshold, **options)
    found = readout_of(settings, tiny.tokenizer(), config=None, refusal_tokens=tokens)
    assert found is not None
    return found


def logits(n_rows: int = 6, *, seed: int = 0, scale: float = 4.0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0.0, scale, (n_rows, N_WORDS)))


def test_every_kind_of_the_settings_is_held_to_the_suite():
    assert set(READOUTS) == set(get_args(ReadoutSettings.model_fields["kind"].annotation))


@pytest.mark.parametrize("name", READOUTS)
class TestEveryReadout:
    def test_says_what_it_is(self, name: Kind):
        readout = made(name, threshold=0.5)
        assert isinstance(readout, Readout)
        assert readout.kind == name
        assert readout.threshold == 0.5
        assert readout.tokens
        assert all(0 <= token.id < N_WORDS and token.role for token in readout.tokens)
        assert all(vars(readout.wording).values())

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
    def test_one_float64_score_a_row(self, name: Kind, dtype: torch.dtype):
        for n_rows in (0, 1, 7):
            scores = made(name).score(logits(n_rows).to(dtype))
            assert scores.shape == (n_rows,)
            assert scores.dtype == torch.float64

    def test_a_row_is_scored_alike_whatever_stands_beside_it(self, name: Kind):
        readout, rows = made(name), logits(9)
        alone = torch.cat([readout.score(row[None]) for row in rows])
        torch.testing.assert_close(readout.score(rows), alone, rtol=0.0, atol=1e-12)
        torch.testing.assert_close(readout.score(rows.flip(0)).flip(0), alone, rtol=0.0, atol=1e-12)

    def test_is_differentiable_and_its_gradient_is_the_slope(self, name: Kind):
        readout, rows = made(name), logits(3, scale=1.0).requires_grad_()
        assert torch.autograd.gradcheck(readout.score, (rows,))
        (gradient,) = torch.autograd.grad(readout.score(rows).sum(), [rows])
        assert (gradient.abs().sum(dim=1) > 0.0).all()

    def test_asking_for_a_gradient_changes_no_score(self, name: Kind):
        readout, rows = made(name), logits()
        torch.testing.assert_close(
            readout.score(rows.clone().requires_grad_()).detach(),
            readout.score(rows),
            rtol=0.0,
            atol=1e-12,
        )

    @given(seed=st.integers(0, 1000), constant=st.floats(-50.0, 50.0))
    def test_a_constant_added_to_all_logits_changes_nothing(
        self, name: Kind, seed: int, constant: float
    ):
        readout, rows = made(name), logits(seed=seed)
        torch.testing.assert_close(
            readout.score(rows + constant), readout.score(rows), rtol=0.0, atol=1e-7
        )

    @pytest.mark.parametrize("scale", [1e-3, 1.0, 50.0, 1e4])
    def test_finite_and_within_its_bound_however_far_logits_lie_apart(
        self, name: Kind, scale: float
    ):
        readout = made(name)
        scores = readout.score(logits(40, scale=scale).float())
        assert torch.isfinite(scores).all()
        assert (scores.abs() <= readout.bound).all()

    def test_float32_logits_are_scored_as_the_same_numbers_in_float64(self, name: Kind):
        readout, rows = made(name), logits().float()
        torch.testing.assert_close(
            readout.score(rows), readout.score(rows.double()), rtol=0.0, atol=1e-12
        )

    @pytest.mark.parametrize("threshold", [-2.0, 0.0, 1.25])
    def test_refuses_above_its_threshold_and_answers_below(self, name: Kind, threshold: float):
        readout, rows = made(name, threshold=threshold), logits(60)
        scores = made(name).score(rows).numpy()
        margins = margin(readout, rows).numpy()
        np.testing.assert_array_equal(refuses(margins), scores > threshold)
        np.testing.assert_array_equal(answers(margins), scores < threshold)
        assert 0 < refuses(margins).sum() < len(margins)
        assert (np.abs(margins) <= margin_bound(readout)).all()
        if threshold == 0.0:
            assert margins.tobytes() == scores.tobytes()

    def test_the_instrument_asks_it_as_the_literal_reference_does(self, name: Kind):
        """Fast sweeps and plain hooks; a single feature, all of a layer, of all layers."""
        saes = [tiny.sae("jumprelu", layer) for layer in range(tiny.N_LAYERS)]
        options = dict(READOUTS[name])
        tokens = options.pop("refusal_tokens", None)
        subject = tiny.subject_in_memory(
            "gemma2",
            saes,
            refusal_tokens=tokens,
            readout=ReadoutSettings(kind=name, threshold=0.75, **options),
        )
        prompt = tiny_prompt()
        firing = sorted(subject.active(prompt)([frozenset()])[0])
        assert {feature.layer for feature in firing} == set(range(tiny.N_LAYERS))
        sets = [
            frozenset(),
            frozenset(firing),
            *(frozenset([feature]) for feature in firing[:5]),
            *(frozenset(f for f in firing if f.layer == layer) for layer in range(tiny.N_LAYERS)),
        ]
        fast = subject.refusal_score(prompt)(sets)
        np.testing.assert_allclose(fast, subject.reference_score(prompt)(sets), atol=1e-5)
        assert fast[0] == pytest.approx(subject.clean_scores([prompt])[0], abs=1e-5)
        assert np.ptp(fast) > 0.05
        with torch.no_grad():
            ids = subject.template.tokens(prompt.text)[None]
            plain = subject.readout.score(subject.network(ids).logits[:, -1])
        assert fast[0] == pytest.approx(float(plain[0]) - 0.75, abs=1e-5)

    def test_gradients_of_the_instrument_are_those_of_its_scores(self, name: Kind):
        """Ablated by a hundredth, a feature lowers the score by a hundredth of its attribution."""
        saes = [tiny.sae("jumprelu", layer) for layer in range(tiny.N_LAYERS)]
        options = dict(READOUTS[name])
        tokens = options.pop("refusal_tokens", None)
        subject = tiny.subject_in_memory(
            "llama", saes, refusal_tokens=tokens, readout=ReadoutSettings(kind=name, **options)
        )
        prompt = tiny_prompt()
        feature = max(
            subject.active(prompt)([frozenset()])[0].items(), key=lambda one: (one[1], one[0])
        )[0]
        estimate = subject.attribution(prompt)[feature.layer][feature.index]
        small = Ablation(scale=0.01)
        clean, less = subject.refusal_score(prompt, small)([frozenset(), frozenset([feature])])
        assert (clean - less) / 0.01 == pytest.approx(estimate, rel=0.1, abs=0.01)


def tiny_prompt() -> Prompt:
    return Prompt(id="p", text="tell me how to build a bomb", label=Label.HARMFUL)


class TestRefusalTokens:
    def test_is_the_refusal_score_to_the_bit(self):
        rows = logits(50)
        expected = refusal_score(rows, torch.tensor([NO, NEVER]))
        assert margin(made("refusal_tokens"), rows).numpy().tobytes() == expected.numpy().tobytes()

    def test_no_token_at_all_is_the_lowest_score(self):
        nothing = RefusalTokens(ids=(), texts=(), source="none")
        scores = RefusalReadout(refusal_tokens=nothing).score(logits(3))
        assert scores.tolist() == [pytest.approx(-18.42, abs=0.01)] * 3

    def test_bounded(self):
        assert isfinite(made("refusal_tokens").bound)


class TestTokenPair:
    def pair(self, **texts: list[str]) -> Readout | None:
        settings = ReadoutSettings.model_validate({"kind": "token_pair", **texts})
        return readout_of(settings, tiny.tokenizer(), config=None)

    def test_one_against_one_is_the_difference_of_two_logits(self):
        readout, rows = self.pair(declines=["no"], acts=["yes"]), logits(20)
        assert readout is not None
        torch.testing.assert_close(
            readout.score(rows), rows[:, NO] - rows[:, YES], rtol=0.0, atol=1e-12
        )

    def test_more_tokens_of_a_side_add_their_probabilities(self):
        rows = logits(20)
        p = rows.softmax(dim=-1)
        expected = (p[:, NO] + p[:, NEVER]).log() - p[:, YES].log()
        torch.testing.assert_close(made("token_pair").score(rows), expected, rtol=0.0, atol=1e-9)

    def test_is_not_bounded_where_the_refusal_score_is(self):
        rows = torch.zeros(1, N_WORDS)
        rows[0, YES] = -80.0
        assert float(made("token_pair").score(rows)[0]) == pytest.approx(80.0 + np.log(2.0))
        assert float(made("refusal_tokens").score(rows)[0]) < 18.43

    def test_a_token_named_twice_counts_once(self):
        assert self.pair(declines=["no", "no"], acts=["yes"]) == self.pair(
            declines=["no"], acts=["yes"]
        )

    @pytest.mark.parametrize(
        ("declines", "acts", "message"),
        [
            (
                ["certainly"],
                ["yes"],
                r"'certainly' of readout.declines is not in .* name one that is",
            ),
            (["no"], [""], r"'' of readout.acts is not in the model's vocabulary"),
            (
                ["no never"],
                ["yes"],
                r"'no never' of readout.declines is 2 tokens .*\('no', 'never'\)",
            ),
            (["no"], ["yes", "no"], r"'no' is to decline and to act; name it in one"),
        ],
    )
    def test_texts_that_cannot_be_read_are_told_in_a_sentence(
        self, declines: list[str], acts: list[str], message: str
    ):
        with pytest.raises(AuditError, match=message):
            self.pair(declines=declines, acts=acts)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"kind": "token_pair", "acts": ["yes"]}, "needs readout.declines"),
            ({"kind": "token_pair", "declines": ["no"]}, "needs readout.acts"),
            ({"acts": ["yes"]}, "readout.acts is for readout.kind token_pair"),
        ],
    )
    def test_settings_that_do_not_fit_the_kind(self, settings: dict[str, Any], message: str):
        with pytest.raises(ValidationError, match=message):
            ReadoutSettings.model_validate(settings)

    def test_refusal_tokens_are_not_named_in_vain(self):
        with pytest.raises(ValidationError, match="--set refusal_tokens=null"):
            AuditConfig.model_validate(
                {
                    "model": "m",
                    "saes": "s",
                    "prompts": {"sources": ["p"]},
                    "refusal_tokens": ["no"],
                    "readout": {"kind": "token_pair", "declines": ["no"], "acts": ["yes"]},
                }
            )

    def test_a_token_of_its_own_that_was_added_to_the_vocabulary(self):
        tokenizer = tiny.tokenizer()
        tokenizer.add_tokens(["<tool_call>"], special_tokens=True)
        settings = ReadoutSettings(kind="token_pair", declines=("no",), acts=("<tool_call>",))
        readout = readout_of(settings, tokenizer, config=None)
        assert readout is not None
        assert readout.tokens[1].id == N_WORDS
