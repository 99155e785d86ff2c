"""Answers under ablation: batched, cached, and equal token for token to the literal ones."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sae_audit.errors import AuditError
from sae_audit.prompts.types import Label, Prompt
from sae_audit.subject import Subject
from sae_audit.vocabulary import Ablation, ErrorTerm, FeatureId, FeatureSet, Positions
from tests import tiny

PROMPTS = [
    Prompt(id=str(i), text=text, label=Label.HARMFUL)
    for i, text in enumerate(
        ["bomb", "please tell me how to build a bomb", "steal a car", "paint a fence", "wash a car"]
    )
]
FEATURE = st.builds(FeatureId, st.integers(0, tiny.N_LAYERS - 1), st.integers(0, tiny.D_SAE - 1))


@pytest.fixture(scope="module", params=["gemma2", "gemma3", "llama"])
def subject_of_family(request: pytest.FixtureRequest) -> Subject:
    saes = [tiny.sae("jumprelu", layer) for layer in range(tiny.N_LAYERS)]
    return tiny.subject_in_memory(request.param, saes)


@settings(max_examples=15, deadline=None)
@given(
    questions=st.lists(
        st.tuples(st.sampled_from(PROMPTS), st.frozensets(FEATURE, max_size=8)),
        min_size=1,
        max_size=6,
    ),
    ablation=st.builds(
        Ablation,
        clamp=st.sampled_from([0.0, -2.0]),
        positions=st.sampled_from(Positions),
        error_term=st.sampled_from([ErrorTerm.KEPT, ErrorTerm.DROPPED]),
        scale=st.sampled_from([1.0, 0.5, 2.0]),
    ),
)
def test_equal_to_the_reference_token_for_token(
    subject_of_family: Subject, questions: list[tuple[Prompt, FeatureSet]], ablation: Ablation
):
    """Prompts of several lengths, answers longer than the sliding window of 4."""
    answers = subject_of_family.generate(questions, 8, ablation)
    literal = [
        subject_of_family.reference_generate(prompt, ablated, 8, ablation)
        for prompt, ablated in questions
    ]
    assert answers == literal


def test_ablating_everything_changes_the_answers(subject_of_family: Subject):
    everything = frozenset(FeatureId(layer, i) for layer in range(3) for i in range(tiny.D_SAE))
    clean = subject_of_family.generate([(p, frozenset()) for p in PROMPTS], 8)
    ablated = subject_of_family.generate([(p, everything) for p in PROMPTS], 8)
    assert clean != ablated


def test_an_answer_stops_at_its_end_of_sequence(subject_of_family: Subject):
    long = subject_of_family.generate([(PROMPTS[1], frozenset())], 8)[0]
    end = next((token for token in long if token != long[0]), long[0])
    network = subject_of_family.network
    before = network.generation_config.eos_token_id
    network.generation_config.eos_token_id = [end, 10_000]
    try:
        short = subject_of_family.generate([(p, frozenset()) for p in PROMPTS], 8)[1]
    finally:
        network.generation_config.eos_token_id = before
    assert short == long[: long.index(end) + 1]


def test_no_clean_run_no_frozen_error(subject_of_family: Subject):
    with pytest.raises(AuditError, match="no clean run whose error could be put back"):
        subject_of_family.generate(
            [(PROMPTS[0], frozenset())], 2, Ablation(error_term=ErrorTerm.FROZEN)
        )


def test_a_feature_that_does_not_exist_is_refused(subject_of_family: Subject):
    with pytest.raises(AuditError, match="L1/99 does not exist"):
        subject_of_family.generate([(PROMPTS[0], frozenset([FeatureId(1, 99)]))], 2)
