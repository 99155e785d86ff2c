"""What single features do, where they fire, and what their decoder rows point at."""

from sae_audit.findings import FeatureProfile, FeatureProfiles
from sae_audit.findings.mentions import Mention, mentions
from sae_audit.findings.stages import (
    CASCADES,
    EDGES,
    FEATURE_PROFILES,
    INTERACTIONS,
    MINIMAL_SET_FAMILIES,
    POOLED_SET,
    TEXT_SETS,
    UNLIMITED_SETS,
)
from sae_audit.pipeline.feature_firing import FeatureFiring
from sae_audit.pipeline.pricing import SET_SIZE, AuditSize, Work
from sae_audit.pipeline.single_features import Ablating, Raising, drawn
from sae_audit.pipeline.state import AuditState
from sae_audit.vocabulary import FeatureId

STAGE = FEATURE_PROFILES

_PART = 0.5
"""Share of the full ablation that stands for "in part"."""
_TOKENS, _NEAR = 10, 3
"""Number of tokens each way, and of decoder rows, that a profile lists."""
_N_PARTS = 5
_NAMED, _FIRING = 0.3, 0.6
"""Assumed number of named features as a share of the candidates (on the bundled organism .29), and
share of prompts on which one fires; elsewhere its ablation costs nothing."""


def run(state: AuditState) -> None:
    named = _named(state)
    chosen = [one.feature for one in named[: state.config.features.most]]
    if chosen:
        state.session.remember(
            STAGE,
            lambda: FeatureProfiles(
                part=_PART, n_named=len(named), features=tuple(_profiles(state, chosen, named))
            ),
            in_parts=True,
        )


def price(size: AuditSize) -> Work | None:
    settings = size.config.features
    if not settings.most:
        return None
    n = min(settings.most, round(_NAMED * size.n_candidates))
    prompts = min(settings.prompts, size.audit)
    # Alone and in part, each with a random one; and the random ones in the place of spared features.
    ablated = prompts * (4 * _FIRING * n + SET_SIZE)
    raised = 2.0 * n * prompts
    clean, read = 2 * size.audit, prompts
    return Work(
        forward_passes=ablated + raised + clean + read,
        layer_tokens=size.whole(read),
        alone_layer_tokens=size.whole(clean),
        swept_layer_tokens=size.swept(ablated) + raised * size.facts.template_tokens * size.above,
        swept_heads=ablated + raised,
        heads=n,
        # Two products with every decoder, about as much as so many tokens encoded.
        encoded=size.encoded(read) + 2.0 * n * size.features,
        assumed=f"{n} features named",
    )


def _named(state: AuditState) -> list[Mention]:
    found = state.session
    return mentions(
        minimal_sets=state.minimal_sets,
        unlimited_sets=found.found_each(UNLIMITED_SETS),
        text_sets=found.found_each(TEXT_SETS),
        families=found.found_each(MINIMAL_SET_FAMILIES),
        pooled=found.if_found(POOLED_SET),
        graphs=[
            *found.found_each(INTERACTIONS),
            *([pooled] if (pooled := found.found_pooled(INTERACTIONS)) is not None else []),
        ],
        cascades=found.found_each(CASCADES),
        edges=found.found_each(EDGES),
    )


def _profiles(
    state: AuditState, features: list[FeatureId], named: list[Mention]
) -> list[FeatureProfile]:
    def progress(done: int) -> None:
        state.session.progress(STAGE, done, _N_PARTS)

    progress(0)
    firing = FeatureFiring(state, features)
    progress(1)
    draws = drawn(state, features, [one.feature for one in named])
    n_prompts = state.config.features.prompts
    ablating = Ablating(state, features, draws, n_prompts)
    alone, spared = ablating.alone(1.0), ablating.spared()
    progress(2)
    in_part = ablating.alone(_PART)
    progress(3)
    raising = Raising(state, features, draws, n_prompts)
    raised = raising.raised()
    progress(4)
    lens = state.subject.logit_lens(features, ablating.prompts, _TOKENS)
    near = state.subject.nearest_rows(features, _NEAR)
    progress(_N_PARTS)
    profiles: list[FeatureProfile] = []
    for i, feature in enumerate(features):
        fires_harmful, fires_harmless = firing.shares(i)
        profiles.append(
            FeatureProfile(
                feature=feature,
                alone=alone[i],
                in_part=in_part[i],
                spared=spared[i],
                raised=raised[i],
                raised_to=raising.values[feature],
                fires_harmful=fires_harmful,
                fires_harmless=fires_harmless,
                activations=firing.counts(i),
                categories=firing.categories(i),
                top=firing.top(i),
                promoted=lens[i][0],
                suppressed=lens[i][1],
                nearest=near[i][0],
                nearest_elsewhere=near[i][1],
            )
        )
    return profiles
