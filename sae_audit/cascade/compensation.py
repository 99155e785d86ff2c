"""How much of an ablation's effect waking features undo (2307.15771, section 3, as mediation)."""

from collections.abc import Mapping

from sae_audit.vocabulary import Active, FeatureId, FeatureSet, Score

_MAX_ROUNDS = 6


def compensation(
    score: Score,
    active: Active,
    ablated: FeatureSet,
    clean: Mapping[FeatureId, float],
    *,
    floor: float,
) -> tuple[float | None, str, int]:
    """`1 - total effect / direct effect` of ablating `ablated`, with a reason where it has none.

    Total effect: the fall of the refusal score, nats. Direct effect: the same fall with every
    feature that was dormant on the clean run held at its clean value, zero, so that nothing can
    wake and cover. (2307.15771 freezes downstream layers; holding only the dormant features keeps
    ordinary downstream processing in both effects and isolates what waking adds.) 0: nothing
    covers; 0.5: half of the effect is undone; negative: what wakes adds to the effect.

    Returns the ratio or None where the direct effect is below `floor` nats or dormant features
    keep waking; the reason; and the number of sets scored.
    """
    held: FeatureSet = frozenset()
    for _ in range(_MAX_ROUNDS):
        now = active([ablated | held])[0]
        woken = frozenset(f for f in now if f not in clean) - held - ablated
        if not woken:
            break
        held |= woken
    else:
        return None, f"dormant features still wake after {_MAX_ROUNDS} rounds of holding them", 0
    unablated, total_score, direct_score = (
        float(value) for value in score([frozenset(), ablated, ablated | held])
    )
    direct = unablated - direct_score
    if abs(direct) < floor:
        return None, f"the direct effect, {direct:+.3f} nats, is below {floor:g}", 3
    return 1.0 - (unablated - total_score) / direct, "", 3
