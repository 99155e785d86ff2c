"""The features a search may choose from."""

from dataclasses import dataclass

from sae_audit.findings.example import Finding
from sae_audit.findings.features import Feature


@dataclass(frozen=True, kw_only=True)
class Candidate(Finding):
    """One candidate feature."""

    feature: Feature
    cosine: float
    """Cosine of the feature's decoder row with the refusal direction."""
    attribution: float | None = None
    """Estimated drop of the refusal score (nats) if it were ablated, mean over refused training
    prompts; None where candidates were chosen by cosine alone."""


@dataclass(frozen=True, kw_only=True)
class CandidateSet(Finding):
    """The features a search may choose from: the top of each audited layer."""

    method: str
    """`cosine` with the direction, estimated effect (`attribution`), or by that within the first
    (`cosine_attribution`)."""
    per_layer: int
    candidates: tuple[Candidate, ...]
    """Control of their cosines: `LayerCoverage.nearest_rows_random`."""

    @property
    def nearest(self) -> list[Feature]:
        """The highest cosine with the direction first."""
        order = sorted(self.candidates, key=lambda c: (-c.cosine, c.feature))
        return [candidate.feature for candidate in order]

    @property
    def ranked(self) -> list[Feature]:
        """The likeliest first: by estimated effect if there is one, else by cosine."""
        order = sorted(
            self.candidates,
            key=lambda c: (-(c.cosine if c.attribution is None else c.attribution), c.feature),
        )
        return [candidate.feature for candidate in order]


@dataclass(frozen=True, kw_only=True)
class WidenedPool(Finding):
    """What one prompt's candidates were widened by, because together they did not flip it."""

    prompt_id: str
    added: tuple[tuple[Feature, ...], ...]
    """Round by round, the features with the largest estimated effect once all before are ablated,
    the largest first. Empty where the candidates flip the prompt."""
    scores: tuple[float, ...]
    """Refusal score with the whole pool ablated, nats: of the candidates, then after each round."""
