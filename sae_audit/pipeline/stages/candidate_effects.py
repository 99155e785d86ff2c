"""When candidates fire, and what ablating each alone changes on harmless prompts."""

from dataclasses import replace

from sae_audit.findings import CandidateEffect, CandidateEffects
from sae_audit.findings.stages import CANDIDATE_EFFECTS
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.side_effects import HarmlessChanges, changes_price
from sae_audit.pipeline.state import AuditState
from sae_audit.vocabulary import Ablation

STAGE = CANDIDATE_EFFECTS

_FIRING = 0.2
"""Assumed share of harmless prompts on which a candidate fires; elsewhere its ablation costs nothing."""


def run(state: AuditState) -> None:
    session, config, subject = state.session, state.config, state.subject

    def compute() -> CandidateEffects:
        features = [one.feature for one in state.candidates.candidates]
        sets = [frozenset([feature]) for feature in features]
        train = state.prompts.train
        changes = HarmlessChanges(state)
        own, other = changes.means(sets), HarmlessChanges(state, _other_clamp(state)).means(sets)
        harmful, harmless = (
            subject.firing_shares(prompts) for prompts in (train.harmful, train.harmless)
        )
        return CandidateEffects(
            effects=tuple(
                CandidateEffect(
                    feature=f,
                    fires_on_harmful=float(harmful[f.layer].tokens[f.index]),
                    fires_on_harmless=float(harmless[f.layer].tokens[f.index]),
                    last_token_harmful=float(harmful[f.layer].at_end[f.index]),
                    last_token_harmless=float(harmless[f.layer].at_end[f.index]),
                    kl=float(own[i, 0]),
                    first_tokens_changed=float(own[i, 1]),
                    kl_at_other_clamp=float(other[i, 0]),
                )
                for i, f in enumerate(features)
            ),
            n_harmless=len(state.harmless_tested),
            clamp=str(config.clamp),
            kl_limit=config.side_effects.kl_limit,
            beyond_alone=tuple(
                sorted(
                    f
                    for f, excess in zip(features, changes.limits.excess(sets), strict=True)
                    if excess > 1.0
                )
            ),
        )

    session.remember(STAGE, compute)


def price(size: AuditSize) -> Work:
    one = changes_price(size, _FIRING * size.n_candidates)
    readings = 3 * size.train
    return Work(
        forward_passes=2 * one.forward_passes + readings,
        layer_tokens=size.whole(readings),
        alone_layer_tokens=2 * one.alone_layer_tokens,
        swept_layer_tokens=2 * one.swept_layer_tokens,
        swept_heads=2 * one.swept_heads,
        encoded=size.encoded(readings),
    )


def _other_clamp(state: AuditState) -> Ablation:
    """The harmless mean if features are set to a number, else 0."""
    if state.config.clamp == "harmless_mean":
        return replace(state.ablation, clamp=0.0)
    return replace(state.ablation, clamp=state.harmless_means)
