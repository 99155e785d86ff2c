"""The pooled set held against rivals that are hard to beat, at equal size and at equal side effects."""

from dataclasses import dataclass

from pydantic import computed_field

from sae_audit.findings.estimates import Estimate
from sae_audit.findings.example import Finding

RIVAL_NAMES = {
    "random_matched": "random sets that fire as often",
    "random_norm": "random sets that remove as long a vector",
    "linear_probe": "a probe of peak activations",
    "linear_probe_end": "a probe of activations at the last token",
    "top_cosine": "the features nearest the direction",
    "mean_difference": "the ranking by difference of means",
    "attribution": "the ranking by attribution",
    "direction": "the direction itself, cut down",
}
"""Wording of each rival in a reason."""
_AT = {"size": "at equal size", "side_effects": "at equal side effects"}
"""Wording of the comparisons that decide."""


@dataclass(frozen=True, kw_only=True)
class LayerNorms(Finding):
    """Length of the vector that ablation removes at one layer: mean norm over template positions and
    held-out prompts, of the summed `(f_i - clamp_i) d_i`."""

    layer: int
    own: float
    """By the pooled set's features of this layer."""
    random: float
    """By the random sets that are to remove as much; mean over sets."""

    @computed_field
    @property
    def matched(self) -> bool:
        """Whether random sets remove at least nine tenths of it; if not, these are the longest found
        among as many other features of this layer, candidates left out."""
        return self.random >= 0.9 * self.own


@dataclass(frozen=True, kw_only=True)
class RivalPoint(Finding):
    """Sets of one origin and size on prompts that nothing was chosen on."""

    size: int
    """Number of features."""
    flipped: Estimate
    """Share of held-out refused prompts flipped; of random sets the mean over some sets."""
    kl: Estimate
    """Mean KL of the next token of harmless prompts, clean against ablated, nats."""


@dataclass(frozen=True, kw_only=True)
class RivalCurve(Finding):
    """Flips and side effects against size."""

    name: str
    """Origin: `pooled`, or a rival as in `SetControl.name`."""
    points: tuple[RivalPoint, ...]
    """By rising size, up to four times the pooled set's, or as far as the ranking goes."""
    complied: Estimate | None
    """Share of held-out prompts whose answer, under the set as large as the pooled one, a judge calls
    compliance (of random sets, the one that flips most); None if flips are not confirmed in text."""


@dataclass(frozen=True, kw_only=True)
class PartPoint(Finding):
    """A share of the direction's component removed from everything written to the stream."""

    share: float
    """0: nothing, 1: the whole component, as in the choice of the direction."""
    flipped: Estimate
    """Share of held-out refused prompts flipped."""
    kl: Estimate
    """Mean KL of the next token of harmless prompts, nats."""


@dataclass(frozen=True, kw_only=True)
class RivalTest(Finding):
    """The pooled set against one set of one rival, paired over held-out prompts."""

    rival: str
    """Name of a curve, or `direction`."""
    at_equal: str
    """`size`: a set as large as the pooled one. `side_effects`: whichever of the rival's sets flips most
    (of equal ones the smallest) at a harmless KL of at most `Rivals.kl_limit`. `own_side_effects`: the
    same at no more than `Rivals.kl_own`, stated beside it where the two differ; it decides nothing."""
    by: str
    """What says that a prompt flips: `score`, or `text`, the judge's verdict on the answer."""
    size: int
    """Number of features of the rival's set: 0 if none is as harmless, or if it is the direction."""
    share: float
    """Share of the direction's component that is removed: 0 if none is as harmless, or if the rival is a
    set of features."""
    own: Estimate
    """Share of the prompts flipped by the pooled set."""
    theirs: Estimate
    """Share of the same prompts flipped by the rival."""
    n_better: int
    """Number of prompts that only the pooled set flips."""
    n_worse: int
    """Number of prompts that only the rival flips."""
    p_value: float
    """One-sided exact McNemar test. Null: the pooled set alone flips no more prompts than the rival
    alone."""


@dataclass(frozen=True, kw_only=True)
class Rivals(Finding):
    """Whether the pooled set does more than could be had without its search.

    It beats a rival if it flips more held-out prompts at equal size or at equal side effects; it has to
    beat every one.
    """

    size: int
    """Number of features of the pooled set."""
    n: int
    """Number of held-out prompts."""
    kl_own: float
    """Upper end of the interval of the pooled set's own mean KL on harmless prompts, nats."""
    kl_limit: float
    """Largest mean KL on harmless prompts (nats) of a rival at equal side effects: `kl_own`, or
    `controls.negligible_kl` if that is more."""
    level: float
    """Largest p-value that counts as more flips (`evidence.level`)."""
    norms: tuple[LayerNorms, ...]
    """Of the random sets that are to remove as much; empty if a layer has too few other features."""
    curves: tuple[RivalCurve, ...]
    """The pooled set's own first: its features by how many building prompts' minimal sets hold them,
    then the other features of these sets."""
    direction: tuple[PartPoint, ...]
    """By rising share: a grid, and steps towards the pooled set's own side effects."""
    tests: tuple[RivalTest, ...]

    @computed_field
    @property
    def p_values(self) -> dict[str, float]:
        """By rival, the p-value of the null that the pooled set beats it neither way: the smaller of its
        tests' times their number. In text where there is one, else by score."""
        found: dict[str, float] = {}
        for name in dict.fromkeys(test.rival for test in self.tests):
            own = self.deciding(name)
            found[name] = min(1.0, max(len(own), 1) * min((t.p_value for t in own), default=1.0))
        return found

    def deciding(self, rival: str) -> list[RivalTest]:
        """The tests against a rival that decide: those in text if there are any."""
        own = [t for t in self.tests if t.rival == rival and t.at_equal in _AT]
        return [test for test in own if test.by == "text"] or own

    @property
    def unbeaten(self) -> list[str]:
        """Names of the rivals that the pooled set does not beat, those who do best first."""
        return sorted(
            (name for name, p in self.p_values.items() if p > self.level),
            key=lambda name: -self.p_values[name],
        )

    @computed_field
    @property
    def p_value(self) -> float:
        """Of the null that some rival is not beaten: the largest of all; 1 without a rival."""
        return max(self.p_values.values(), default=1.0)

    @computed_field
    @property
    def beats_rivals(self) -> bool:
        return bool(self.tests) and not self.unbeaten

    @computed_field
    @property
    def reason(self) -> str:
        """Why, in plain words."""
        if self.beats_rivals:
            return (
                f"Against each of {len(self.p_values)} rivals the pooled set flips more of {self.n} "
                "held-out prompts at equal size or at equal side effects (largest p = "
                f"{self.p_value:.2g})."
            )
        if not self.tests:
            return "No rival could be made."
        lost = "; ".join(self._against(name) for name in self.unbeaten)
        return (
            f"The pooled set does not beat {len(self.unbeaten)} of {len(self.p_values)} rivals: {lost}."
            f"{self._power()}"
        )

    def _against(self, name: str) -> str:
        parts = [
            f"{_AT[test.at_equal]} {test.theirs.value:.0%} against the pooled set's "
            f"{test.own.value:.0%}{' in text' if test.by == 'text' else ''}"
            for test in self.deciding(name)
        ]
        return f"{RIVAL_NAMES.get(name, name)} ({', '.join(parts)}; p = {self.p_values[name]:.2g})"

    def _power(self) -> str:
        """That too few prompts were held out to beat anything; empty if there are enough."""
        smallest = 2.0 * 0.5**self.n
        if smallest <= self.level:
            return ""
        return (
            f" With {self.n} held-out prompts no p-value is below {smallest:.2g}, so that nothing could "
            "be beaten."
        )
