"""What an SAE keeps of a model's prediction: known answers, and the literal computation."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from sae_audit.findings import Estimate
from sae_audit.prompts.types import Label, Prompt
from sae_audit.subject import Subject
from sae_audit.subject.model.hooks import edited
from sae_audit.subject.sae_quality.cross_entropy import (
    Answered,
    CrossEntropy,
    cross_entropies,
    greedy_answers,
)
from sae_audit.subject.sae_quality.quality import first_of_each_label
from sae_audit.subject.sae_quality.variance_explained import VarianceExplained
from sae_audit.subject.saes.rotation import turn_of
from sae_audit.vocabulary import Positions
from tests import tiny

TEXTS = ("please tell me how to build a bomb", "paint the fence", "wash the car", "steal a car")
PROMPTS = [
    Prompt(id=str(i), text=text, label=Label.HARMLESS if i % 2 else Label.HARMFUL)
    for i, text in enumerate([*TEXTS, *TEXTS])
]
MEAN = torch.linspace(-1.0, 1.0, tiny.D_MODEL)
"""Stands for a layer's mean output where the base itself is not tested."""
FAMILIES = ("gemma2", "gemma3", "llama")
BOS = 1


def exact_sae(layer: int) -> Any:
    """Rebuilds every stream: each direction has one feature for its positive and one for its
    negative part."""
    from sae_lens import saes

    made = saes.StandardSAE(
        saes.StandardSAEConfig(d_in=tiny.D_MODEL, d_sae=2 * tiny.D_MODEL, device="cpu")
    )
    both = torch.cat([torch.eye(tiny.D_MODEL), -torch.eye(tiny.D_MODEL)])
    with torch.no_grad():
        made.W_dec.copy_(both)
        made.W_enc.copy_(both.T)
        made.b_enc.zero_()
        made.b_dec.zero_()
    made.cfg.metadata.hook_name = f"blocks.{layer}.hook_resid_post"
    return made.eval()


def zero_sae(layer: int) -> Any:
    made = exact_sae(layer)
    with torch.no_grad():
        made.W_dec.zero_()
    return made


def random_sae(layer: int) -> Any:
    return tiny.sae("jumprelu", layer)


def subject_with(
    family: str, sae: Callable[[int], Any], *, layers: int = tiny.N_LAYERS, **options: Any
) -> Subject:
    return tiny.subject_in_memory(family, [sae(layer) for layer in range(layers)], **options)


def literal_answers(subject: Subject) -> list[Answered]:
    """Token by token, the whole text so far read again for each."""
    found: list[Answered] = []
    for prompt in PROMPTS:
        ids = prompt_ids = subject.template.tokens(prompt.text)
        ended = False
        while len(ids) - len(prompt_ids) < 16 and not ended:
            with torch.no_grad():
                logits = subject.network(input_ids=ids[None], use_cache=False).logits
            ids = torch.cat([ids, logits[0, -1:].argmax(dim=-1)])
            ended = int(ids[-1]) == subject.network.generation_config.eos_token_id
        found.append(Answered(ids=ids, n_prompt=len(prompt_ids)))
    return found


def literal(
    subject: Subject,
    answered: list[Answered],
    layer: int | None,
    replacement: Callable[..., torch.Tensor],
) -> float:
    """Mean cross-entropy by plain hooks, one prompt a pass, full logits in float64; BOS left."""
    losses: list[float] = []
    for one in answered:

        def edit(resid: torch.Tensor, ids: torch.Tensor = one.ids) -> torch.Tensor:
            changed = replacement(resid).to(resid.dtype).clone()
            changed[:, ids == BOS] = resid[:, ids == BOS]
            return changed

        module = subject._passes.layer_modules[layer or 0].layer
        with torch.no_grad(), edited(outputs={} if layer is None else {module: edit}):
            logits = subject.network(input_ids=one.ids[None], use_cache=False).logits[0].double()
        log_p = logits.log_softmax(dim=-1)
        at = range(one.n_prompt, len(one.ids))
        losses += [-float(log_p[i - 1, int(one.ids[i])]) for i in at]
    return sum(losses) / len(losses)


def measured(
    subject: Subject, answered: list[Answered], replaced: Callable[..., torch.Tensor] | None = None
) -> dict[int, CrossEntropy]:
    replaced = replaced or (lambda ids: subject.template.selected(ids, Positions.ALL_BUT_BOS))
    return cross_entropies(
        subject._passes,
        subject._stack.head,
        subject.suite,
        answered,
        replaced,
        means=dict.fromkeys(subject.suite, MEAN),
        turns={layer: turn_of(sae, seed=0) for layer, sae in subject.suite.items()},
    )


def per_token(found: CrossEntropy, stream: str) -> float:
    return float(getattr(found, stream).sum() / found.tokens.sum())


def assert_literal(subject: Subject, answered: list[Answered]) -> None:
    found = measured(subject, answered)
    clean = literal(subject, answered, None, lambda x: x)
    for layer, dictionary in subject.suite.items():
        rebuilt = literal(
            subject, answered, layer, lambda x, d=dictionary: d.decode(d.encode(x), x)
        )
        turn = turn_of(dictionary, seed=0)
        rotated = literal(subject, answered, layer, lambda x, t=turn, d=dictionary: t.rebuilt(d, x))
        at_mean = literal(subject, answered, layer, lambda x: MEAN.expand_as(x))
        assert per_token(found[layer], "clean") == pytest.approx(clean, abs=1e-5)
        assert per_token(found[layer], "rebuilt") == pytest.approx(rebuilt, abs=1e-5)
        assert per_token(found[layer], "rotated") == pytest.approx(rotated, abs=1e-5)
        assert per_token(found[layer], "at_mean") == pytest.approx(at_mean, abs=1e-5)
        assert abs(rebuilt - clean) > 1e-3, "the SAE changes something"


@pytest.mark.parametrize("family", FAMILIES)
def test_an_exact_reconstruction_recovers_everything(family: str):
    for found in subject_with(family, exact_sae).sae_quality(PROMPTS, seed=0):
        assert found.ce_recovered is not None
        assert found.ce_recovered.value == pytest.approx(1.0, abs=1e-4)
        assert found.explained_variance.value == pytest.approx(1.0, abs=1e-6)
        assert found.explained_variance_without_bos.low == pytest.approx(1.0, abs=1e-6)
        assert found.ce_recovered_rotated is not None
        assert found.ce_recovered_rotated.value == pytest.approx(1.0, abs=1e-4), (
            "an SAE that rebuilds everything has learned nothing of the model's axes"
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_a_reconstruction_of_zeros_explains_nothing(family: str):
    for found in subject_with(family, zero_sae).sae_quality(PROMPTS, seed=0):
        assert found.explained_variance.value <= 0.0


@pytest.mark.parametrize("family", FAMILIES)
def test_the_mean_output_alone_recovers_nothing(family: str):
    """The base of the scale: an SAE that gives the layer's mean over these prompts, and nothing else."""
    subject = subject_with(family, zero_sae)
    ids = [subject.template.tokens(prompt.text) for prompt in PROMPTS]
    for layer, sae in subject.suite.items():
        streams = [subject._runs.of(one).resid[layer][one != BOS] for one in ids]
        sae.sae.b_dec.data = torch.cat(streams).mean(dim=0)
    quality = subject.sae_quality(PROMPTS, seed=0)
    stated = [one.ce_recovered.value for one in quality if one.ce_recovered is not None]
    assert stated, "some layer's mean loses something"
    assert stated == pytest.approx([0.0] * len(stated), abs=1e-4)
    for found in quality:
        assert found.explained_variance_without_bos.value == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_random_sae_stays_below_an_exact_one(family: str):
    for found in subject_with(family, random_sae).sae_quality(PROMPTS, seed=0):
        assert found.ce_recovered is not None
        assert found.ce_recovered.value < 0.9


@pytest.mark.parametrize("tokens_per_batch", [None, 1], ids=["together", "one by one"])
@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_the_literal_computation(family: str, tokens_per_batch: int | None):
    """Prompts of several lengths, SAEs on some layers only; by plain hooks and full logits."""
    subject = subject_with(family, random_sae, layers=2, tokens_per_batch=tokens_per_batch)
    answered = literal_answers(subject)
    assert len({one.n_prompt for one in answered}) > 1
    assert_literal(subject, answered)


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_that_begin_at_different_places_share_a_batch(family: str):
    subject = subject_with(family, random_sae)
    ids = literal_answers(subject)[0].ids
    assert_literal(subject, [Answered(ids=ids, n_prompt=n) for n in (14, 20, len(ids) - 1)])


def test_answers_are_the_models_own_up_to_their_end():
    """With seed 1 this model ends some of its answers early and others not."""
    subject = subject_with("llama", random_sae, seed=1)
    tokens = [subject.template.tokens(prompt.text) for prompt in PROMPTS]
    answered, by_hand = greedy_answers(subject._passes, tokens), literal_answers(subject)
    assert [one.ids.tolist() for one in answered] == [one.ids.tolist() for one in by_hand]
    assert [one.n_prompt for one in answered] == [len(ids) for ids in tokens]
    assert [len(one.ids) - one.n_prompt for one in answered] == 2 * [3, 16, 5, 2]
    assert_literal(subject, answered)


def test_quality_reports_that_computation():
    subject = subject_with("gemma2", random_sae)
    answered = literal_answers(subject)
    clean = literal(subject, answered, None, lambda x: x)
    for found in subject.sae_quality(PROMPTS, seed=0):
        layer, dictionary = found.layer, subject.suite[found.layer]
        rebuilt = literal(
            subject, answered, layer, lambda x, d=dictionary: d.decode(d.encode(x), x)
        )
        ids = [subject.template.tokens(prompt.text) for prompt in PROMPTS]
        streams = torch.cat([subject._runs.of(one).resid[layer][one != BOS] for one in ids])
        mean = streams.mean(dim=0)
        at_mean = literal(subject, answered, layer, lambda x, m=mean: m.expand_as(x))
        assert found.ce_clean.value == pytest.approx(clean, abs=1e-5)
        by_hand = (at_mean - rebuilt) / (at_mean - clean)
        assert found.ce_recovered is not None
        assert found.ce_recovered.value == pytest.approx(by_hand, abs=1e-4)


def test_bos_is_left_as_it_is():
    """With every position replaced another number comes out; with none, the clean one."""
    subject = subject_with("gemma2", zero_sae)
    answered = literal_answers(subject)
    assert all(int((one.ids == BOS).sum()) == 1 for one in answered)

    def zeroed(replaced: Callable[..., torch.Tensor]) -> float:
        return per_token(measured(subject, answered, replaced)[0], "rebuilt")

    nowhere = zeroed(lambda ids: torch.zeros_like(ids, dtype=torch.bool))
    but_bos = zeroed(lambda ids: ids != BOS)
    everywhere = zeroed(lambda ids: torch.ones_like(ids, dtype=torch.bool))
    assert nowhere == pytest.approx(literal(subject, answered, None, lambda x: x), abs=1e-5)
    assert but_bos == pytest.approx(literal(subject, answered, 0, torch.zeros_like), abs=1e-5)
    assert abs(everywhere - but_bos) > 1e-3


def test_variance_without_bos_is_that_of_the_other_tokens():
    subject = subject_with("llama", random_sae)
    seen: dict[int, list[torch.Tensor]] = {layer: [] for layer in subject.suite}
    for prompt in PROMPTS:
        ids = subject.template.tokens(prompt.text)
        subject._passes.read(
            ids[None],
            sorted(seen),
            lambda layer, x, ids=ids: seen[layer].append(x[0, ids != BOS].double()),
        )
    for found in subject.sae_quality(PROMPTS, seed=0):
        dictionary, x = subject.suite[found.layer], torch.cat(seen[found.layer])
        rebuilt = dictionary.decode(dictionary.encode(x[None]), x[None])[0].double()
        by_hand = 1.0 - float((x - rebuilt).pow(2).sum() / (x - x.mean(dim=0)).pow(2).sum())
        assert found.explained_variance_without_bos.value == pytest.approx(by_hand, abs=1e-5)
        assert found.explained_variance_without_bos.value != pytest.approx(
            found.explained_variance.value
        )


def test_no_ratio_where_the_mean_predicts_no_worse():
    ones = np.ones(8)
    found = CrossEntropy(
        tokens=np.full(8, 3),
        clean=2.0 * ones,
        rebuilt=2.5 * ones,
        rotated=5.0 * ones,
        at_mean=4.0 * ones,
    )

    def recovered(found: CrossEntropy) -> Estimate | None:
        return found.recovered(found.rebuilt)

    own, rotated = recovered(found), found.recovered(found.rotated)
    assert own is not None
    assert rotated is not None
    assert (own.value, rotated.value) == (pytest.approx(0.75), pytest.approx(-0.5))
    assert recovered(replace(found, at_mean=found.clean)) is None
    assert recovered(replace(found, at_mean=found.clean - 1.0)) is None
    now_more_now_less = found.clean + np.array([2.0, -1.0] * 4)
    assert now_more_now_less.mean() > found.clean.mean()
    assert recovered(replace(found, at_mean=now_more_now_less)) is None


class TestExplained:
    """Over whole prompts drawn again, from nothing but sums."""

    def streams(self, n_prompts: int, *, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """Prompts of 5 tokens, some larger than others, with a constant as large as BOS makes it."""
        draws = torch.Generator().manual_seed(seed)
        sizes = 1.0 + torch.arange(n_prompts)[:, None, None] % 3
        x = 100.0 + sizes * torch.randn(n_prompts, 5, 4, generator=draws)
        return x, x + 0.5 * sizes * torch.randn(n_prompts, 5, 4, generator=draws)

    def explained(self, x: torch.Tensor, rebuilt: torch.Tensor) -> VarianceExplained:
        found = VarianceExplained(len(x))
        everywhere = torch.ones(x.shape[:2], dtype=torch.bool)
        for i in reversed(range(len(x))):
            found.add([i], x[[i]], rebuilt[[i]], everywhere[[i]])
        return found

    def test_the_interval_holds_that_of_prompts_drawn_again(self):
        x, rebuilt = self.streams(12)
        found, draws = self.explained(x, rebuilt).variance(), np.random.default_rng(1)
        again: list[float] = []
        for _ in range(2000):
            drawn = draws.integers(0, len(x), len(x))
            own, other = x[drawn].flatten(0, 1).double(), rebuilt[drawn].flatten(0, 1).double()
            spread = (own - own.mean(dim=0)).pow(2).sum()
            again.append(1.0 - float((own - other).pow(2).sum() / spread))
        low, high = np.quantile(again, [0.025, 0.975])
        assert found.low < low < found.value < high < found.high, "wider: so few spread too little"
        assert found.high - found.low < 2.0 * (high - low)
        assert found.n == 12

    def test_tokens_that_do_not_count_change_nothing(self):
        x, rebuilt = self.streams(6)
        found, counted = VarianceExplained(6), torch.ones(6, 5, dtype=torch.bool)
        counted[:, 0] = False
        spoilt = x.clone()
        spoilt[:, 0] *= 1000.0
        found.add(range(6), spoilt, rebuilt, counted)
        alone = self.explained(x[:, 1:], rebuilt[:, 1:]).variance()
        assert found.variance().value == pytest.approx(alone.value)
        assert found.variance().low == pytest.approx(alone.low)


def test_a_rotated_dictionary_explains_less_than_the_real_one():
    """One feature along each of the stream's axes of most variance; turned, along none."""
    subject = subject_with("llama", zero_sae)
    ids = [subject.template.tokens(prompt.text) for prompt in PROMPTS]
    for layer, sae in subject.suite.items():
        streams = torch.cat([subject._runs.of(one).resid[layer][one != BOS] for one in ids])
        axes = torch.linalg.svd(streams - streams.mean(dim=0)).Vh[:3]
        sae.sae.b_dec.data = streams.mean(dim=0)
        sae.sae.W_dec.data[:6] = torch.cat([axes, -axes])
        sae.sae.W_enc.data.zero_()
        sae.sae.W_enc.data[:, :6] = torch.cat([axes, -axes]).T
        sae.sae.b_enc.data[6:] = -1.0
    for found in subject.sae_quality(PROMPTS, seed=0):
        real, rotated = found.explained_variance_without_bos, found.explained_variance_rotated
        assert real.value > rotated.value + 0.2, (real, rotated)


def test_bfloat16_gives_about_the_same():
    whole = subject_with("gemma2", random_sae).sae_quality(PROMPTS, seed=0)
    half = subject_with("gemma2", random_sae, dtype=torch.bfloat16).sae_quality(PROMPTS, seed=0)
    for a, b in zip(whole, half, strict=True):
        assert b.ce_clean.value == pytest.approx(a.ce_clean.value, rel=0.05)


def test_every_pass_is_counted():
    """Over the prompt: one pass that shows, one that answers. Over prompt and answer: one that notes
    how layers are called, one upwards, and three a layer that has others above it."""
    subject = subject_with("gemma2", random_sae)
    subject.sae_quality(PROMPTS[:1], seed=0)
    once = subject.cost.copy()
    subject.sae_quality(PROMPTS[:1], seed=0)
    cost = subject.cost.since(once)
    whole, n_answer = 2 + 3 * (tiny.N_LAYERS - 1), 16
    n_prompt = len(subject.template.tokens(PROMPTS[0].text))
    assert cost.forward_passes == 2 + whole
    # The last token of an answer is not read again to make it.
    assert cost.tokens == 2 * n_prompt + n_answer - 1 + whole * (n_prompt + n_answer)


def test_the_first_sixteen_of_each_label_are_measured():
    many = [replace(PROMPTS[i % 4 // 2], id=str(i)) for i in range(80)]
    chosen = first_of_each_label(many)
    labels = [many[i].label for i in chosen]
    assert (labels.count(Label.HARMFUL), labels.count(Label.HARMLESS)) == (16, 16)
    assert max(chosen) < 32
    assert len(first_of_each_label(PROMPTS[:3])) == 3
