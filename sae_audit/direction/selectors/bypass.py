"""Selector of the direction with the lowest bypass score (2406.11717, appendix C).

1. Candidates are projected out (bypass, KL) and added (induce) on validation prompts, each on as many as
   the choice needs (`direction.asking`).
2. The one with the lowest bypass that passes the filters is chosen; if none does, marked, the one with
   the lowest bypass that passes all but the limit of KL.
"""

from sae_audit.config import DirectionSettings
from sae_audit.direction.asking import ask_until_decided
from sae_audit.direction.filters import first_cut_layer
from sae_audit.direction.methods import (
    Asked,
    CandidateDirections,
    Choice,
    Means,
    Price,
    Selector,
    Size,
)
from sae_audit.direction.standing import Standing
from sae_audit.findings import DirectionMeasure, DirectionSelection
from sae_audit.vocabulary import CandidateEffects

_DECIDING = 1 / 3
"""Share of the questions about uncut candidates that settles the choice; .33 on the bundled organism."""
BYPASS = DirectionMeasure(
    name="bypass", title="Bypass", unit="nats", higher_is_better=False, logarithmic=False
)
INDUCE = DirectionMeasure(
    name="induce", title="Induce", unit="nats", higher_is_better=True, logarithmic=False
)
KL = DirectionMeasure(name="kl", title="KL", unit="nats", higher_is_better=False, logarithmic=True)


def by_bypass(
    candidates: CandidateDirections,
    means: Means,
    effects: CandidateEffects,
    settings: DirectionSettings,
    progress: Asked,
) -> Choice:
    """The candidate with the lowest bypass that passes every filter or, marked, whatever its KL."""
    standing = Standing(candidates, n_layers=means.n_layers, effects=effects, settings=settings)
    ask_until_decided(standing, progress)
    return Choice(
        selected=standing.selected(),
        evaluations=tuple(standing.evaluations()),
        stopped=tuple(standing.stopped()),
        selection=DirectionSelection(
            method="bypass",
            rule="the lowest bypass among those that pass every filter",
            source="2406.11717",
            measures=(BYPASS, INDUCE, KL),
            filters=tuple(one.requires for one in standing.filters if one.requires),
        ),
    )


def price(size: Size) -> Price:
    """Expected cost, since candidates are dropped once they cannot be chosen; the most is asking all."""
    n_early = max(0, first_cut_layer(size.n_layers, size.layer_cut))
    each = 3 * size.n_validation * size.n_positions
    asked = _DECIDING * each * n_early
    # An addition, a third of the questions, runs only the layers above its own.
    above = 1.0 - (n_early / 2 + 1) / size.n_layers
    return Price(
        forward_passes=asked,
        layer_passes=size.n_layers * asked * (2 + above) / 3,
        edited_layer_passes=size.n_layers * asked * 2 / 3,
        heads=asked,
        most_forward_passes=each * size.n_layers,
        assumed=f"a direction passes, shown by {_DECIDING:.0%} of all that can be asked",
    )


SELECTOR = Selector(choose=by_bypass, price=price)
