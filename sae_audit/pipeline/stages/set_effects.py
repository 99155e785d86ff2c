"""What ablating each set found without limits changes on harmless prompts."""

from sae_audit.findings import SetEffects
from sae_audit.findings.stages import SET_EFFECTS, UNLIMITED_SETS
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.side_effects import HarmlessChanges, changes_price
from sae_audit.pipeline.state import AuditState

STAGE = SET_EFFECTS

_DISTINCT_SETS = 0.2
"""Assumed number of different sets per refused prompt."""
_ANSWER_TOKENS = 16


def run(state: AuditState) -> None:
    session = state.session

    def compute() -> list[SetEffects]:
        changes = HarmlessChanges(state)
        sets = sorted({one.features for one in session.found_each(UNLIMITED_SETS) if one.flipped})
        found: list[SetEffects] = []
        session.progress(STAGE, 0, len(sets))
        for features in sets:
            effects = changes.measured(frozenset(features))
            found.append(SetEffects(features=features, side_effects=effects))
            session.progress(STAGE, len(found), len(sets))
        return found

    session.remember(STAGE, compute, in_parts=True)


def price(size: AuditSize) -> Work:
    n_sets, n = _DISTINCT_SETS * size.audit, size.config.side_effects.prompts
    changes, longer = changes_price(size, n_sets), size.tokens + _ANSWER_TOKENS
    answers = n * (n_sets + 1)
    return Work(
        forward_passes=changes.forward_passes + answers,
        alone_layer_tokens=changes.alone_layer_tokens + size.whole(answers, longer),
        swept_layer_tokens=changes.swept_layer_tokens,
        swept_heads=changes.swept_heads + answers * longer,
        steps=size.facts.batches(n) * _ANSWER_TOKENS,
        assumed=f"{_DISTINCT_SETS:g} different sets a prompt",
    )
