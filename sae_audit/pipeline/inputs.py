"""The inputs of an audit, checked before a file is written.

A model without refusal is valid input: that is a finding, made by `direction.presence`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sae_audit.catalog import read_catalog
from sae_audit.config import AuditConfig, PromptSettings
from sae_audit.direction.registry import check_methods
from sae_audit.errors import AuditError
from sae_audit.findings import PromptScore
from sae_audit.hashing import sha256_of_files
from sae_audit.margins import answers, refuses
from sae_audit.pipeline.pinning import pinned
from sae_audit.prompts.selection import left_out
from sae_audit.prompts.sources import OpenedSource, kept_sources
from sae_audit.prompts.splits import split_prompts
from sae_audit.prompts.taxonomy import CategorisedPrompts, categorised_prompts, read_taxonomy
from sae_audit.prompts.types import LabelledPrompts, Splits
from sae_audit.record.facts import PromptSourceFacts
from sae_audit.subject import (
    Judge,
    ModelOptions,
    Subject,
    check_answers_end_their_thoughts,
    load_judge,
    load_subject,
)
from sae_audit.subject.saes.null_saes import load_null_saes
from sae_audit.subject.saes.sae import Sae


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Inputs of an audit: settings, model with SAEs, prompts and, if asked for, a judge."""

    config: AuditConfig
    """The settings, with hub revisions replaced by the commits they stood for."""
    subject: Subject
    splits: Splits
    sources: tuple[PromptSourceFacts, ...]
    null_saes: tuple[Mapping[int, Sae], ...]
    """The user's own null dictionaries, by audited layer (`evidence.null_saes`)."""
    judge: Judge | None
    """None unless flips are to be confirmed in text."""
    categories: CategorisedPrompts | None = None
    """Prompts of the taxonomy; None if none is given."""
    category_sources: tuple[PromptSourceFacts, ...] = ()


def load_inputs(config: AuditConfig) -> Inputs:
    """The inputs, with prompts read and model and SAEs loaded.

    Raises:
        AuditError: an input does not fit, in one sentence.
    """
    check_methods(config.direction)
    sources = kept_sources(config.prompts.sources)
    prompts = [prompt for source in sources for prompt in source.prompts]
    splits = split_prompts(prompts, config.prompts, config.seed)
    asked = config.categories.taxonomy
    categories = None if asked is None else categorised_prompts(read_taxonomy(asked))
    subject = load_subject(
        config.model,
        config.saes,
        device=config.device,
        dtype=config.dtype,
        options=model_options(config),
        layers=config.layers,
        sae_dtype=config.sae_dtype,
        sae_memory=config.sae_memory,
        sae_l0=config.sae_l0,
        catalog=config.catalog,
        readout=config.readout,
        refusal_tokens=config.refusal_tokens,
        harmful=splits.train.harmful,
        harmless=splits.train.harmless,
        chat_template_file=config.chat_template,
        template_options=config.template_options,
        system_prompt=config.system_prompt,
        answer_prefix=config.answer_prefix,
        tokens_per_batch=config.tokens_per_batch,
    )
    null_saes = tuple(
        load_null_saes(
            asked,
            subject.suite,
            d_model=subject.d_model,
            catalog=read_catalog(config.catalog),
            dtype=config.sae_dtype,
        )
        for asked in config.evidence.null_saes
    )
    subject.check_room(splits.everyone, config.answer_tokens if config.confirm == "text" else 0)
    if categories is not None:
        subject.check_room(categories.everyone, 0)
    if config.confirm == "text":
        check_answers_end_their_thoughts(subject, splits.train.harmless, config.answer_tokens)
    judge = (
        load_judge(config.judge, device=subject.identity.device)
        if config.confirm == "text"
        else None
    )
    facts = tuple(_facts(source, config.prompts) for source in sources)
    return Inputs(
        config=pinned(config, subject, sources, null_saes),
        subject=subject,
        splits=splits,
        sources=facts,
        null_saes=null_saes,
        judge=judge,
        categories=categories,
        category_sources=_category_facts(categories),
    )


def _category_facts(categories: CategorisedPrompts | None) -> tuple[PromptSourceFacts, ...]:
    if categories is None:
        return ()
    return tuple(
        PromptSourceFacts(
            source=source.name,
            revision=source.revision,
            sha256=sha256_of_files(source.files),
            n_prompts=len(source.prompts),
            set_aside=source.set_aside,
        )
        for source in categories.sources
    )


def model_options(config: AuditConfig) -> ModelOptions:
    """Options with which the settings load the checkpoint."""
    return ModelOptions(
        revision=config.revision,
        adapter=config.adapter,
        adapter_scale=config.adapter_scale,
        adapter_merged=config.adapter_merged,
        accept_other_base=config.accept_other_base,
        dtype=config.dtype,
        device_map=config.device_map,
        attn_implementation=config.attn_implementation,
        quantization=config.quantization,
        trust_remote_code=config.trust_remote_code,
    )


def _facts(source: OpenedSource, settings: PromptSettings) -> PromptSourceFacts:
    unselected = left_out(source.prompts, settings)
    return PromptSourceFacts(
        source=source.name,
        revision=source.revision,
        sha256=sha256_of_files(source.files),
        n_prompts=len(source.prompts) - unselected.total(),
        set_aside=source.set_aside | unselected,
    )


def classified(subject: Subject, splits: Splits) -> list[PromptScore]:
    """The clean refusal score of every prompt of every split, look-alikes last.

    Raises:
        AuditError: a score is not finite: the weights, or the dtype they are run in, are broken.
    """
    scores: list[PromptScore] = []
    # Look-alikes make batches of their own, so that the others' scores are the same without them.
    asked = [(name, list(prompts)) for name, prompts in splits.named().items()]
    if splits.lookalikes:
        asked.append(("audit", list(splits.lookalikes)))
    for name, own in asked:
        measured = subject.clean_scores(own)
        n_broken = int((~np.isfinite(measured)).sum())
        if n_broken:
            raise AuditError(
                f"The model's refusal score is not finite on {n_broken} of {len(own)} {name} "
                f"prompts; load it with --dtype float32 ({subject.identity.dtype} now), or check "
                "the weights."
            )
        for prompt, score in zip(own, measured, strict=True):
            scores.append(
                PromptScore(
                    prompt_id=prompt.id,
                    split=name,
                    label=prompt.label.value,
                    category=prompt.category,
                    score=float(score),
                )
            )
    return scores


def as_labelled(prompts: LabelledPrompts, scores: Sequence[PromptScore]) -> LabelledPrompts:
    """The prompts treated as labelled: harmful ones refused, harmless ones answered."""
    by_id = {score.prompt_id: score.score for score in scores}
    return LabelledPrompts(
        harmful=tuple(p for p in prompts.harmful if refuses(by_id[p.id])),
        harmless=tuple(p for p in prompts.harmless if answers(by_id[p.id])),
    )
