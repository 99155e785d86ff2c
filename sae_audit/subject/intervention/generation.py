"""Greedy answers under ablation, in batches with the key-value cache and literally."""

from collections.abc import Sequence

import torch

from sae_audit.errors import AuditError
from sae_audit.prompts.types import Prompt
from sae_audit.subject.intervention.ablation import check_ablation, check_features
from sae_audit.subject.intervention.interventions import Interventions
from sae_audit.subject.intervention.reference import reference_answer
from sae_audit.subject.model.forward_passes import ForwardPasses
from sae_audit.vocabulary import Ablation, ErrorTerm, FeatureSet


def answers(
    passes: ForwardPasses,
    interventions: Interventions,
    questions: Sequence[tuple[Prompt, FeatureSet]],
    ablation: Ablation,
    n_tokens: int,
) -> list[list[int]]:
    """Greedy answers (token ids); questions with prompts of similar length share batches."""
    sets = [ablated for _, ablated in questions]
    _check(interventions, sets, ablation)
    found: list[list[int]] = [[] for _ in questions]
    prompts = [interventions.ids(prompt) for prompt, _ in questions]
    for batch in passes.batches(prompts, padded_in_front=True):
        here = [sets[i] for i in batch.members]
        selected = [interventions.selected(prompts[i], ablation) for i in batch.members]
        in_prompt = batch.padded(selected)
        everywhere = torch.ones_like(in_prompt[:, :1])
        produced = passes.generate(
            batch.ids,
            n_tokens,
            lengths=batch.lengths,
            in_prompt=interventions.at_modules(interventions.of_rows(here, ablation, in_prompt)),
            in_answer=interventions.at_modules(interventions.of_rows(here, ablation, everywhere)),
        )
        for i, answer in zip(batch.members, produced, strict=True):
            found[i] = answer
    return found


def literal_answer(
    passes: ForwardPasses,
    interventions: Interventions,
    prompt: Prompt,
    ablated: FeatureSet,
    ablation: Ablation,
    n_tokens: int,
) -> list[int]:
    """The greedy answer (token ids) by plain hooks, with the whole text run again for each token."""
    _check(interventions, [ablated], ablation)
    ids = interventions.ids(prompt)
    return reference_answer(
        passes.model,
        interventions.suite,
        ids,
        lambda grown: interventions.selected(grown, ablation, len(ids)).nonzero()[:, 0],
        ablated,
        ablation,
        n_tokens=n_tokens,
        ends=passes.ends,
    )


def _check(interventions: Interventions, sets: Sequence[FeatureSet], ablation: Ablation) -> None:
    check_ablation(ablation, interventions.suite, frozenset())
    check_features(sets, interventions.suite)
    if ablation.error_term == ErrorTerm.FROZEN:
        raise AuditError(
            "Answers under ablation have no clean run whose error could be put back; generate with "
            "the error term kept or dropped."
        )
