"""Where, layer by layer, refusal reaches the tokens behind the request."""

from dataclasses import dataclass

from sae_audit.findings.estimates import Estimate
from sae_audit.findings.example import Finding


@dataclass(frozen=True, kw_only=True)
class PatchedLayer(Finding):
    """Mean refusal scores (nats) with one layer's stream at the template's tokens behind the request
    replaced by its mean over other prompts, position by position."""

    layer: int
    refused: Estimate
    """Of refused prompts, replaced by the mean of harmless training prompts: what is left of refusal.
    Low if refusal has reached these tokens by then and layers above find nothing of it; high if they
    still fetch it from the request."""
    answered: Estimate
    """Of answered harmless prompts, replaced by the mean of harmful training prompts: high if that is
    enough for refusal."""
    written: Estimate
    """Of refused prompts, if only what this layer itself writes is replaced, by the mean of harmless
    training prompts."""
    own_mean: Estimate
    """Control: of refused prompts, replaced by the mean of harmful training prompts, as blunt a change.
    It says how much is lost by replacing as such."""


@dataclass(frozen=True, kw_only=True)
class LayerPatching(Finding):
    """Activation patching of the residual stream at the template's tokens behind the request, layer by
    layer (2202.05262; there single runs are patched with each other, here with means)."""

    n_positions: int
    """Number of the template's tokens behind the request."""
    clean_refused: Estimate
    """Mean score of the refused prompts, nothing replaced."""
    clean_answered: Estimate
    """Mean score of the answered harmless prompts, nothing replaced."""
    layers: tuple[PatchedLayer, ...]
    """Every layer, from the first."""
    arrival: Estimate | None
    """Median over refused prompts of the first layer after which replacing takes at least half of what
    it takes in the last layer, with all of it gone; None if replacing takes nothing even there."""
    steepest: int | None
    """The layer in which replacing takes most more than in the layer below, on average over refused
    prompts; None with `arrival`."""
    share_steepest: float | None
    """What that layer adds, as a share of what replacing takes in the last layer; None with
    `arrival`."""
    largest_write: int
    """The layer whose own write, replaced alone, takes most from the mean score of refused prompts."""
