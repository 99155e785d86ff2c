"""The features a search may choose from."""

from dataclasses import dataclass

from sae_audit.findings.estimates import Estimate
from sae_audit.findings.example import Finding
from sae_audit.findings.features import Feature


@dataclass(frozen=True, kw_only=True)
class Candidate(Finding):
    """One candidate feature, with the numbers that rank it."""

    feature: Feature
    cosine: float
    """Cosine of the feature's decoder row with the refusal direction."""
    attribution: float | None = None
    """Estimated drop of the refusal score (nats) if the feature is ablated, mean over refused training
    prompts; None if candidates were chosen by cosine alone."""


@dataclass(frozen=True, kw_only=True)
class TriedPerLayer(Finding):
    """One of several numbers of features per layer, tried on validation prompts."""

    per_layer: int
    flipped: Estimate
    """Share of refused validation prompts flipped with all features of this choice ablated, by score."""


@dataclass(frozen=True, kw_only=True)
class CandidateSet(Finding):
    """The features a search may choose from: the top of each audited layer."""

    method: str
    """What ranks features: `cosine` with the direction, estimated effect (`attribution`), or effect
    among the nearest by cosine (`cosine_attribution`)."""
    per_layer: int
    """Number of top features taken in every audited layer (`candidates.per_layer`)."""
    reason: str
    """Why they are not ranked as `candidates.method` says; empty if they are."""
    candidates: tuple[Candidate, ...]
    """The control of their cosines is `LayerCoverage.nearest_rows_random`."""
    left_out: int = 0
    """Number of features, over all layers, that were left out because they fire on more than
    `candidates.max_harmless_rate` of the harmless training prompts."""
    tried: tuple[TriedPerLayer, ...] = ()
    """If `per_layer` was chosen among several: all of them, ascending; the smallest of those that flip
    most was taken."""

    @property
    def nearest(self) -> list[Feature]:
        """Features by falling cosine with the direction."""
        order = sorted(self.candidates, key=lambda c: (-c.cosine, c.feature))
        return [candidate.feature for candidate in order]

    @property
    def ranked(self) -> list[Feature]:
        """Features by falling estimated effect, or by falling cosine if no effect was estimated."""
        order = sorted(
            self.candidates,
            key=lambda c: (-(c.cosine if c.attribution is None else c.attribution), c.feature),
        )
        return [candidate.feature for candidate in order]


@dataclass(frozen=True, kw_only=True)
class WidenedPool(Finding):
    """Features added to one prompt's candidates if ablating all candidates does not flip it."""

    prompt_id: str
    added: tuple[tuple[Feature, ...], ...]
    """Per round, the features with the largest estimated effect once all before are ablated, largest
    first. Empty if the candidates flip the prompt."""
    scores: tuple[float, ...]
    """Refusal score (nats) with the whole pool ablated: the candidates alone, then after each round."""
