"""How much of the mechanism the SAEs show."""

from dataclasses import dataclass

from sae_audit.findings.estimates import Estimate, RandomRange
from sae_audit.findings.example import Finding


@dataclass(frozen=True, kw_only=True)
class LayerCoverage(Finding):
    """How much of what tells harmful from harmless along the direction one layer's SAE shows."""

    layer: int
    gap: Estimate
    """Mean component along the unit direction, refused harmful minus answered harmless audit
    prompts, at the direction's position; in the stream's own unit."""
    in_reconstruction: Estimate | None
    """Share of `gap` that the SAE's reconstruction has; above 1 where it overstates it. None where
    there is no gap to speak of: some resample of the prompts has none, or one the other way."""
    in_error: Estimate | None
    """The rest, which no feature shows."""
    gap_random: RandomRange
    """Control of `gap`: the same difference along random unit directions."""
    slope: float | None
    """By how much the reconstruction moves along the direction when the stream does, among prompts of
    one label (1 where nothing is missed). None where the stream does not vary along it."""
    random: RandomRange | None
    """Control of `slope`, and of `in_reconstruction` as far as random directions have one: their
    slopes, on the same prompts. None where the stream does not vary along them."""
    nearest_rows: float
    """Mean cosine with the direction of the decoder rows nearest to it, as many as candidates are
    taken a layer. A fact of two sets of weights and the direction: no prompts, no interval."""
    nearest_rows_random: RandomRange
    """Control: the same rows, chosen in the same way for each random direction."""


@dataclass(frozen=True, kw_only=True)
class SaeCoverage(Finding):
    """How much of the mechanism the candidates reach, and how much no SAE shows.

    Mean refusal scores (nats) of the refused audit prompts under five conditions, and the shares
    that follow. "Replaced" is: set to the mean over answered harmless training prompts, at every
    audited layer and ablated position (`controls.sae_coverage` says how and why).
    """

    clean: Estimate
    candidates: Estimate
    """All candidates ablated, as the audit ablates."""
    saes: Estimate
    """Replaced: what the SAEs' reconstructions have along the direction."""
    direction: Estimate
    """Replaced: all that the stream has along the direction."""
    error: Estimate
    """Replaced: what the SAEs' error terms have along the direction."""
    hidden_from_candidates: Estimate | None
    """`(candidates - direction) / (clean - direction)`: the share of what removing the direction
    does that ablating all candidates does not. Below 0 where candidates do more, for features also
    act off the direction. None, as the next two, where `reason` says why."""
    hidden_from_saes: Estimate | None
    """`(saes - direction) / (clean - direction)`: the same for all that any SAE shows."""
    carried_by_error: Estimate | None
    """`(clean - error) / (clean - direction)`: the share that replacing the error terms' part does
    while the rest stays as it is."""
    random_features: RandomRange | None
    """Control of the candidates: the fall of the score when as many random features are ablated,
    matched in layer and firing rate, as a share of the fall by the refusal direction. None also
    where the SAEs have too few other features."""
    random_direction: RandomRange | None
    """Control: the fall of the score when a random direction is replaced, as a share of the fall by
    the refusal direction."""
    random_error: RandomRange | None
    """Control of `carried_by_error`: the same for error terms' part of a random direction."""
    reason: str
    """Why there are no shares; else empty."""
    layers: tuple[LayerCoverage, ...]
