"""How much of the refusal mechanism the SAEs represent."""

from dataclasses import dataclass

from sae_audit.findings.estimates import Estimate, RandomRange
from sae_audit.findings.example import Finding


@dataclass(frozen=True, kw_only=True)
class LayerCoverage(Finding):
    """How much of the difference between harmful and harmless prompts one layer's SAE represents."""

    layer: int
    gap: Estimate
    """Mean component along the unit direction at its position, refused harmful minus answered harmless
    audit prompts, in the residual stream's unit."""
    in_reconstruction: Estimate | None
    """Share of `gap` in the SAE's reconstruction; above 1 if that overstates it. None if some resample
    of the prompts has a gap of 0 or of the other sign."""
    in_error: Estimate | None
    """Share of `gap` in the SAE's error term, which no feature represents: 1 minus the above."""
    gap_random: RandomRange
    """Control: `gap` along random unit directions."""
    slope: float | None
    """Slope of the reconstruction's component along the direction on the stream's, among prompts of one
    label; 1 if nothing is missed. None if the stream does not vary along the direction."""
    random: RandomRange | None
    """Control of `slope`, and of `in_reconstruction` as far as random directions have one: slopes along
    random directions, on the same prompts. None if the stream does not vary along them."""
    nearest_rows: float
    """Mean cosine with the direction of the nearest decoder rows, as many as there are candidates per
    layer. It depends on weights and the direction alone: no prompts, no interval."""
    nearest_rows_random: RandomRange
    """Control: the same number for each random direction."""


@dataclass(frozen=True, kw_only=True)
class SaeCoverage(Finding):
    """How much of the direction's effect the candidates reach, and how much no SAE represents.

    Mean refusal scores (nats) of the refused audit prompts under five conditions, and the shares that
    follow. "Replaced" means set to the mean over answered harmless training prompts, at every audited
    layer and ablated position (`controls.sae_coverage` gives the reason).
    """

    clean: Estimate
    """Without intervention."""
    candidates: Estimate
    """With all candidates ablated, as in the audit."""
    saes: Estimate
    """With the component of the SAEs' reconstructions along the direction replaced."""
    direction: Estimate
    """With the stream's whole component along the direction replaced."""
    error: Estimate
    """With the component of the SAEs' error terms along the direction replaced."""
    hidden_from_candidates: Estimate | None
    """`(candidates - direction) / (clean - direction)`: share of the effect of removing the direction
    that ablating all candidates misses. Below 0 if candidates do more: features also act off the
    direction. None, like the other shares, if `reason` says why."""
    hidden_from_saes: Estimate | None
    """`(saes - direction) / (clean - direction)`: the same for all that the SAEs represent."""
    hidden_from_rotated: RandomRange | None
    """Control of `hidden_from_saes`: the same share for SAEs rotated at random. A rotated SAE with many
    features represents much of any direction, so a share near this says nothing of the SAEs."""
    carried_by_error: Estimate | None
    """`(clean - error) / (clean - direction)`: share for the error terms' component alone."""
    random_features: RandomRange | None
    """Control of the candidates: fall of the score with as many random features ablated, matched in
    layer and firing rate, as a share of the fall by the refusal direction. None also if the SAEs
    have too few other features."""
    random_direction: RandomRange | None
    """Control: fall of the score with a random direction replaced, as a share of the same fall."""
    random_error: RandomRange | None
    """Control of `carried_by_error`: the same for a random direction."""
    reason: str
    """Why the shares are None; else empty."""
    layers: tuple[LayerCoverage, ...]
