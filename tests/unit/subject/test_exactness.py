"""The instrument against the literal reference, in every combination that occurs."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sae_audit.prompts.types import Label, Prompt
from sae_audit.subject import Subject
from sae_audit.subject.intervention import beginnings
from sae_audit.subject.intervention.beginnings import Beginnings
from sae_audit.vocabulary import Ablation, ErrorTerm, FeatureId, FeatureSet, Positions
from tests import tiny

PROMPT = Prompt(id="p", text="please tell me how to build a bomb", label=Label.HARMFUL)
PROMPTS = [
    Prompt(id=str(i), text=text, label=Label.HARMFUL)
    for i, text in enumerate(
        ["bomb", "please tell me how to build a bomb", "steal a car", "how to paint the fence"]
    )
]
FAMILIES = ("gemma2", "gemma3", "llama")
NORMS = ("none", "layer_norm", "constant_norm_rescale", "expected_average_only_in")
KINDS = [
    *((kind, {"normalize_activations": norm}) for kind in ("standard", "gated") for norm in NORMS),
    *(("jumprelu", {"normalize_activations": norm}) for norm in NORMS),
    *(("topk", {"rescale_acts_by_decoder_norm": rescale}) for rescale in (True, False)),
    ("topk", {"normalize_activations": "layer_norm"}),
    ("standard", {"normalize_activations": "covariance_whitening"}),
    *((kind, {"apply_b_dec_to_input": False}) for kind in ("standard", "gated", "jumprelu")),
]

FEATURE = st.builds(FeatureId, st.integers(0, tiny.N_LAYERS - 1), st.integers(0, tiny.D_SAE - 1))
SETS = st.lists(st.frozensets(FEATURE, max_size=6), min_size=1, max_size=6)
MEANS = {layer: np.linspace(0, 1, tiny.D_SAE) for layer in range(tiny.N_LAYERS)}
ABLATION = st.builds(
    Ablation,
    clamp=st.sampled_from([0.0, -1.5, 0.7, MEANS]),
    positions=st.sampled_from(Positions),
    error_term=st.sampled_from(ErrorTerm),
    scale=st.sampled_from([1.0, 0.0, 0.3, 2.5]),
)


@cache
def subject_of_kind(family: str, kind: int, seed: int = 0) -> Subject:
    architecture, options = KINDS[kind]
    saes = [
        _unscaled(tiny.sae(architecture, layer, seed=seed, **options))
        for layer in range(tiny.N_LAYERS)
    ]
    return tiny.subject_in_memory(family, saes, seed=seed)


def _unscaled(sae: Any) -> Any:
    with torch.no_grad():
        # Decoder rows of unequal length: what rescales by their norm must show.
        sae.W_dec.mul_(torch.linspace(0.5, 1.5, tiny.D_SAE)[:, None])
    return sae


@settings(max_examples=150, deadline=None)
@given(
    family=st.sampled_from(FAMILIES),
    kind=st.integers(0, len(KINDS) - 1),
    seed=st.integers(0, 2),
    sets=SETS,
    ablation=ABLATION,
    layers=st.frozensets(st.integers(0, tiny.N_LAYERS - 1), max_size=2),
)
def test_every_combination_equals_the_literal_reference(
    family: str,
    kind: int,
    seed: int,
    sets: list[FeatureSet],
    ablation: Ablation,
    layers: frozenset[int],
):
    """Architectures, kinds of SAE and normalisation, clamps, positions, scales, error terms, layers."""
    error_layers = frozenset() if ablation.error_term == ErrorTerm.KEPT else layers
    subject = subject_of_kind(family, kind, seed)
    fast = subject.refusal_score(PROMPT, ablation, error_layers=error_layers)(sets)
    literal = subject.reference_score(PROMPT, ablation, error_layers=error_layers)(sets)
    np.testing.assert_allclose(fast, literal, atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(
    family=st.sampled_from(FAMILIES),
    questions=st.lists(
        st.tuples(st.sampled_from(PROMPTS), st.frozensets(FEATURE, max_size=5)),
        min_size=2,
        max_size=12,
    ),
    ablation=ABLATION,
)
def test_prompts_of_unequal_length_share_a_batch(
    family: str, questions: list[tuple[Prompt, FeatureSet]], ablation: Ablation
):
    subject = subject_of_kind(family, 8)
    together = subject.refusal_scores(ablation)(questions)
    literal = [
        subject.reference_score(prompt, ablation)([ablated])[0] for prompt, ablated in questions
    ]
    np.testing.assert_allclose(together, literal, atol=1e-4)


ALIKE = [
    Prompt(id=str(i), text=f"please tell me how to {text}", label=Label.HARMFUL)
    for i, text in enumerate(["build a bomb", "steal a car", "paint the bird house", "wash"])
]
"""Eight tokens of these are the same, the template's three included."""


def run_apart(
    patch: pytest.MonkeyPatch, subject: Subject, n: int = 8, kept_bytes: int = 1 << 20
) -> None:
    """Let questions run the first `n` tokens of `ALIKE` apart; with 0, never."""
    first = [ids[:n] for ids in subject._tokens(ALIKE)]
    assert all(torch.equal(one, first[0]) for one in first)
    patch.setattr(beginnings, "ALIKE_FROM", 2)
    made = Beginnings(first[0].tolist(), subject._passes, kept_bytes)
    patch.setattr(subject, "_beginnings", made)


@settings(max_examples=60, deadline=None)
@given(
    family=st.sampled_from(FAMILIES),
    kind=st.sampled_from([0, 4, 8, 12]),
    sets=st.lists(st.frozensets(FEATURE, max_size=4), min_size=1, max_size=4),
    asked=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=14),
    ablation=ABLATION,
    layers=st.frozensets(st.integers(0, tiny.N_LAYERS - 1), max_size=2),
    tokens=st.sampled_from([10, 60, 10_000]),
    kept_bytes=st.sampled_from([1, 1 << 20]),
)
def test_what_prompts_begin_with_is_run_once_for_each_set(
    family: str,
    kind: int,
    sets: list[FeatureSet],
    asked: list[tuple[int, int]],
    ablation: Ablation,
    layers: frozenset[int],
    tokens: int,
    kept_bytes: int,
):
    """Sets that change the beginning, the rest or both, of some prompts or all; batches of any size."""
    error_layers = frozenset() if ablation.error_term == ErrorTerm.KEPT else layers
    subject = subject_of_kind(family, kind)
    questions = [(ALIKE[i], sets[k % len(sets)]) for i, k in asked]
    with pytest.MonkeyPatch.context() as patch:
        run_apart(patch, subject, kept_bytes=kept_bytes)
        patch.setattr(subject._passes.budget, "tokens", tokens)
        together = subject.refusal_scores(ablation, error_layers=error_layers)(questions)
    literal = [
        subject.reference_score(prompt, ablation, error_layers=error_layers)([ablated])[0]
        for prompt, ablated in questions
    ]
    np.testing.assert_allclose(together, literal, atol=1e-4)


def test_sets_that_fire_in_the_beginning_alone_are_kept_apart(monkeypatch: pytest.MonkeyPatch):
    """Behind it they change nothing by themselves: only what it hands on tells them apart."""
    saes = [tiny.sae("jumprelu", layer) for layer in range(tiny.N_LAYERS)]
    subject = tiny.subject_in_memory("llama", saes)
    n_alike = 8
    run_apart(monkeypatch, subject, n_alike)
    runs = [subject._runs.of(ids) for ids in subject._tokens(ALIKE)]
    fired = [saes[0].encode(run.resid[0]) for run in runs]
    behind = torch.cat([one[n_alike:] for one in fired]).amax(dim=0)
    only = [FeatureId(0, int(i)) for i in (fired[0][1:n_alike].amax(dim=0) > behind).nonzero()]
    assert len(only) >= 3
    # A feature fires above this alone, so behind the beginning none of them does.
    saes[0].threshold.data.copy_(torch.maximum(saes[0].threshold, behind))
    sets = [frozenset({one}) for one in only] + [frozenset()]
    questions = [(prompt, ablated) for prompt in ALIKE for ablated in sets]
    found = subject.refusal_scores()(questions)
    literal = [subject.reference_score(prompt)([ablated])[0] for prompt, ablated in questions]
    np.testing.assert_allclose(found, literal, atol=1e-4)
    of_sets = np.reshape(literal, (len(ALIKE), len(sets)))
    assert (np.diff(np.sort(of_sets, axis=1), axis=1) > 3e-4).all(), "the sets differ"


@pytest.mark.parametrize("positions", [Positions.ALL_BUT_BOS, Positions.TEMPLATE])
def test_a_beginning_run_apart_saves_tokens(positions: Positions, monkeypatch: pytest.MonkeyPatch):
    """Each of 20 sets runs it once for four prompts; sets that do not change it are asked as ever."""
    subject = subject_of_kind("llama", 0)
    sets = [frozenset({FeatureId(0, i)}) for i in range(20)]

    def tokens(n_alike: int) -> int:
        run_apart(monkeypatch, subject, n_alike)
        subject.begin_account()
        ask = subject.refusal_scores(Ablation(positions=positions))
        before = subject.cost
        ask([(prompt, one) for prompt in ALIKE for one in sets])
        return subject.cost.since(before).tokens

    apart, whole = tokens(8), tokens(0)
    assert apart < 0.75 * whole if positions == Positions.ALL_BUT_BOS else apart == whole


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_the_sets_compared_do_differ(kind: int):
    """What equality of the two is worth: scores of these sets lie far apart."""
    sets = [
        frozenset(FeatureId(layer, i) for layer in (0, 2) for i in range(k)) for k in (0, 5, 24)
    ]
    scores = subject_of_kind("gemma2", kind).refusal_score(PROMPT)(sets)
    assert np.ptp(scores) > 1e-2
    assert len(set(scores.round(4))) == 3


def test_batch_top_k_as_sae_lens_saves_it(tmp_path: Path):
    saes = [tiny.saved_batch_topk(tmp_path / str(i), i) for i in range(tiny.N_LAYERS)]
    subject = tiny.subject_in_memory("gemma2", saes)
    sets = [frozenset(FeatureId(layer, i) for layer in range(3) for i in range(k)) for k in (3, 9)]
    fast = subject.refusal_score(PROMPT)(sets)
    np.testing.assert_allclose(fast, subject.reference_score(PROMPT)(sets), atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("sae_dtype", ["float32", "bfloat16"])
def test_bfloat16_is_as_close_to_the_truth_as_plain_hooks_are(family: str, sae_dtype: str):
    sets = [frozenset(FeatureId(layer, i) for layer in range(3)) for i in range(tiny.D_SAE)]

    def subject(dtype: torch.dtype, sae_dtype: str) -> Subject:
        saes = [
            tiny.sae("standard", layer).to(getattr(torch, sae_dtype))
            for layer in range(tiny.N_LAYERS)
        ]
        return tiny.subject_in_memory(family, saes, dtype=dtype)

    truth = subject(torch.float32, "float32").reference_score(PROMPT)(sets)
    rounded = subject(torch.bfloat16, sae_dtype)
    fast, literal = rounded.refusal_score(PROMPT)(sets), rounded.reference_score(PROMPT)(sets)
    off_fast = np.sqrt(((fast - truth) ** 2).mean())
    off_literal = np.sqrt(((literal - truth) ** 2).mean())
    assert off_fast < 1.5 * off_literal
    assert off_literal < 0.5 * truth.std(), "rounding must not drown what is compared"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("architecture", ["standard", "jumprelu", "gated", "topk"])
@pytest.mark.parametrize(("clamp", "scale"), [(0.0, 1.0), (-2.0, 1.0), (0.5, 0.4)])
def test_equal_to_sae_lens_own_bridge(family: str, architecture: str, clamp: float, scale: float):
    """The tool people use today, asked with its error term really on."""
    from benchmarks.rivals import bridge

    saes = [tiny.sae(architecture, layer) for layer in range(tiny.N_LAYERS)]
    subject = tiny.subject_in_memory(family, saes)
    sets = [
        frozenset(FeatureId(layer, i) for layer in layers for i in range(first, first + 4))
        for first, layers in ((0, [1]), (3, [0, 1, 2]), (9, [0, 2]))
    ]
    for positions in (Positions.ALL, Positions.TEMPLATE):
        ablation = Ablation(clamp=clamp, positions=positions, scale=scale)
        theirs = bridge(subject, ablation)(PROMPT, sets)
        ours = subject.refusal_score(PROMPT, ablation)(sets)
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
        assert np.ptp(theirs) > 1e-3
