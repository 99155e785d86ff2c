"""The types that every part of an audit shares, and the questions a stage may ask.

Nothing here imports torch: a report must open on a machine without a model.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

_PRINTED = re.compile(r"^L(\d+)/(\d+)$")


@dataclass(frozen=True, order=True, slots=True)
class FeatureId:
    """One SAE feature: the layer whose `resid_post` the SAE reads, and the feature's index in it."""

    layer: int
    index: int

    def __str__(self) -> str:
        return f"L{self.layer}/{self.index}"

    @classmethod
    def parse(cls, printed: str) -> "FeatureId":
        """The feature of a printed form such as `L16/25312`.

        Raises:
            ValueError: if `printed` has another form.
        """
        match = _PRINTED.match(printed)
        if match is None:
            raise ValueError(f"{printed!r} is no feature id; it looks like L16/25312")
        return cls(int(match[1]), int(match[2]))


FeatureSet = frozenset[FeatureId]


class Positions(StrEnum):
    """The token positions at which an ablation acts."""

    ALL = "all"
    ALL_BUT_BOS = "all_but_bos"
    TEMPLATE = "template"
    """Only the tokens the chat template adds after the user's text."""


class ErrorTerm(StrEnum):
    """Treatment of the part of the residual stream that the SAE does not reconstruct."""

    KEPT = "kept"
    """The current stream's error stays, changed by earlier layers' ablations (as in sae_lens)."""
    FROZEN = "frozen"
    """The clean run's error is put back: no change of earlier layers passes it (2403.19647)."""
    DROPPED = "dropped"
    """The SAE's reconstruction replaces the stream."""


class TokenClass(StrEnum):
    """Position class of a prompt's token in the chat template."""

    BOS = "bos"
    """The token that begins every text."""
    SYSTEM = "system"
    """Text of the chat template before the user's text, the system prompt included."""
    CONTENT = "content"
    """The user's text."""
    TEMPLATE = "template"
    """Text of the chat template after the user's text: the template positions."""


class FinalNorm(StrEnum):
    """Divisor of the last position's stream in the norm before the unembedding."""

    LIVE = "live"
    """Its own root mean square, as in the model."""
    FROZEN = "frozen"
    """The clean run's root mean square, so that a weaker stream is not scaled up again."""


FeatureValues = Mapping[int, Float[np.ndarray, " d_sae"]]
"""A value for every feature of all SAEs, by layer."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TemplateActivations:
    """Clean activations of one layer's features at the template positions of prompts."""

    index: Int[np.ndarray, " firing"]
    """Features that fire at a template position of some prompt, ascending; all others are 0 there."""
    values: Float[np.ndarray, "prompt position firing"]
    """Position axis: the last entry is the prompt's last token."""
    factor: Float[np.ndarray, "prompt position"]
    """Factor of decoder rows in the residual stream; 1 unless the SAE rescales its input."""

    def of(self, index: int) -> Float[np.ndarray, "prompt position"]:
        """Activations of one feature."""
        place = int(np.searchsorted(self.index, index))
        if place == len(self.index) or self.index[place] != index:
            return np.zeros(self.values.shape[:2], self.values.dtype)
        return self.values[:, :, place]


@dataclass(frozen=True, kw_only=True, eq=False)
class Ablation:
    """The meaning of "ablate the features S": `x <- x - scale * sum_{i in S} (f_i(x) - clamp) d_i`.

    `f_i` is computed on the current `x`, so ablations at earlier layers affect later ones.
    """

    clamp: float | FeatureValues = 0.0
    """Activation that each ablated feature is set to: one value for all, or each feature's own."""
    positions: Positions = Positions.ALL
    error_term: ErrorTerm = ErrorTerm.KEPT
    scale: float = 1.0
    """Share, >= 0, of the way from each ablated feature's activation to its clamp: 0 leaves it, 1 is
    the full ablation, more than 1 overshoots. The error term is treated alike at every scale."""


@dataclass(frozen=True, slots=True)
class Scaled:
    """A question about one prompt: these features, ablated at this scale."""

    features: FeatureSet
    scale: float


class Part(StrEnum):
    """A part of the stream's component along a direction: `x . r = (xhat . r) + (e . r)`."""

    STREAM = "stream"
    """The whole component."""
    RECONSTRUCTION = "reconstruction"
    """The component of the SAE's reconstruction, xhat."""
    ERROR = "error"
    """The component of the SAE's error term, `e = x - xhat`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Projections:
    """Components of one layer's clean stream along several unit directions, at one position."""

    stream: Float[np.ndarray, "prompt direction"]
    reconstruction: Float[np.ndarray, "prompt direction"]
    """Components of the SAE's reconstruction; the rest of `stream` is in its error term."""
    length: float
    """Mean norm of the stream itself; components much smaller are rounding."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PromptEffects:
    """Effects on each prompt of projecting a direction out, or adding it (2406.11717)."""

    bypass: Float[np.ndarray, " harmful"]
    """Refusal score of harmful prompts with the unit direction projected out everywhere, nats."""
    induce: Float[np.ndarray, " harmless"]
    """Refusal score of harmless prompts with the direction added, un-normalised, at its layer."""
    harmless: Float[np.ndarray, " harmless"]
    """Refusal score of harmless prompts with the unit direction projected out everywhere, nats."""
    kl: Float[np.ndarray, " harmless"]
    """KL of the next-token distribution of harmless prompts, clean against projected out, nats."""


SCORE_BOUND = 18.421
"""Largest absolute refusal score, nats: `log((1 + 1e-8) / 1e-8)` is 18.42068, the rest is rounding."""


@runtime_checkable
class CandidateEffects(Protocol):
    """Effects of candidate directions on single validation prompts.

    Row i of an answer belongs to the i-th direction and the i-th prompt given; prompt 0 is the first
    harmful one for `bypass`, the first harmless one otherwise.
    """

    @property
    def n_harmful(self) -> int: ...

    @property
    def n_harmless(self) -> int: ...

    @property
    def score_bound(self) -> float:
        """Largest absolute refusal score; infinite if the readout knows no bound."""
        ...

    @property
    def least_kl(self) -> Float[np.ndarray, " harmless"]:
        """Lower bound of `kl` for any direction, by prompt; about 0."""
        ...

    def bypass(
        self, directions: Float[np.ndarray, "row d_model"], prompts: Sequence[int]
    ) -> Float[np.ndarray, " row"]:
        """Refusal score with the direction projected out everywhere, nats."""
        ...

    def kl(
        self, directions: Float[np.ndarray, "row d_model"], prompts: Sequence[int]
    ) -> Float[np.ndarray, " row"]:
        """KL of the next token, clean against the direction projected out, nats."""
        ...

    def induce(
        self,
        directions: Float[np.ndarray, "row d_model"],
        prompts: Sequence[int],
        layers: Sequence[int],
    ) -> Float[np.ndarray, " row"]:
        """Refusal score with the direction added, un-normalised, at its layer, nats."""
        ...


@runtime_checkable
class CandidateStreams(Protocol):
    """Residual streams at validation prompts' last token under candidate directions.

    Rows are as in `CandidateEffects`; `layers`, ascending, are those whose `resid_post` is read.
    """

    def clean_streams(
        self, layers: Sequence[int]
    ) -> tuple[
        Float[np.ndarray, "harmful layer d_model"], Float[np.ndarray, "harmless layer d_model"]
    ]:
        """Streams of all harmful and of all harmless prompts, without a candidate."""
        ...

    def streams_without(
        self,
        directions: Float[np.ndarray, "row d_model"],
        prompts: Sequence[int],
        layers: Sequence[int],
    ) -> Float[np.ndarray, "row layer d_model"]:
        """Streams of harmful prompts with the direction projected out everywhere."""
        ...

    def streams_with(
        self,
        directions: Float[np.ndarray, "row d_model"],
        prompts: Sequence[int],
        added_at: Sequence[int],
        layers: Sequence[int],
    ) -> Float[np.ndarray, "row layer d_model"]:
        """Streams of harmless prompts with the direction added, un-normalised, to `resid_post` of the
        layer `added_at`, whose own stream is read after the addition."""
        ...


@runtime_checkable
class CandidateQuestions(CandidateEffects, CandidateStreams, Protocol):
    """All questions that a method of selection may ask about candidate directions."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Removed:
    """Scores and KL of each prompt with directions projected out of the stream everywhere."""

    harmful: Float[np.ndarray, " harmful"]
    """Refusal scores, nats."""
    harmless: Float[np.ndarray, " harmless"]
    kl: Float[np.ndarray, " harmless"]
    """KL of the next-token distribution, before against after, nats."""


@runtime_checkable
class EffectOnEach(Protocol):
    """Effects of a direction on every prompt of a fixed choice."""

    def __call__(self, direction: Float[np.ndarray, " d_model"], *, layer: int) -> PromptEffects:
        """Effects of `direction` projected out everywhere, and added at `layer`."""
        ...


@runtime_checkable
class Replaced(Protocol):
    """Scores with a part of the component along a direction replaced by harmless prompts' mean."""

    def __call__(self, part: Part, direction: int) -> Float[np.ndarray, " prompt"]:
        """Refusal scores (nats) with the part replaced at every audited layer; `direction` by number."""
        ...


@dataclass(frozen=True, kw_only=True)
class Intervention:
    """Features ablated, and features frozen at their clean activations, in one run of a prompt."""

    ablated: FeatureSet = frozenset()
    frozen: FeatureSet = frozenset()
    """Features frozen, position by position, at their clean activations: `x <- x - sum_{i in H} (f_i(x)
    - f_i(x_clean)) d_i`, where the ablation acts. The SAE's error term is kept."""

    def __post_init__(self) -> None:
        assert not self.ablated & self.frozen, sorted(self.ablated & self.frozen)


@dataclass(frozen=True, kw_only=True, eq=False)
class Fired:
    """Every firing feature of one run at every position it fires at, one entry each."""

    layer: Int[np.ndarray, " entry"]
    index: Int[np.ndarray, " entry"]
    position: Int[np.ndarray, " entry"]
    activation: Float[np.ndarray, " entry"]
    """> 0, read before the ablation edits the stream at that layer."""


@runtime_checkable
class Score(Protocol):
    """The refusal score of one prompt as a set function (the question most stages ask)."""

    def __call__(self, sets: Sequence[FeatureSet]) -> Float[np.ndarray, " set"]:
        """Refusal score (nats of log-odds, > 0 refuses) under the ablation of each set."""
        ...


@runtime_checkable
class Active(Protocol):
    """Which features of all SAEs fire on one prompt while a set is ablated."""

    def __call__(self, sets: Sequence[FeatureSet]) -> list[Mapping[FeatureId, float]]:
        """For each set, the firing features with their largest activation over positions.

        Activations are read before the ablation edits the stream at that layer, so an ablated feature
        has the value it would have had.
        """
        ...


@runtime_checkable
class DirectAttribution(Protocol):
    """How strongly features push one prompt's residual stream along the refusal direction."""

    def __call__(
        self, ablated: FeatureSet, features: Sequence[FeatureId]
    ) -> Float[np.ndarray, " feature"]:
        """Sum of `f_i(x) * (d_i . r)`, with `ablated` ablated, over the positions at which the ablation
        acts; > 0 pushes to refuse."""
        ...


@runtime_checkable
class BeyondRounding(Protocol):
    """Whether features fire on one prompt by more than rounding of the stream could bring about."""

    def __call__(self, ablated: FeatureSet, features: Sequence[FeatureId]) -> Sequence[bool]:
        """One answer per feature, with `ablated` ablated."""
        ...


@runtime_checkable
class Activations(Protocol):
    """How strongly given features fire on one prompt under interventions."""

    def __call__(
        self, interventions: Sequence[Intervention], features: Sequence[FeatureId]
    ) -> Float[np.ndarray, "intervention feature position"]:
        """Activations by position, read before the intervention edits the stream at that layer.

        0 at positions at which the ablation does not act.
        """
        ...


@runtime_checkable
class Firing(Protocol):
    """Which features of all SAEs fire on one prompt under interventions, and where."""

    def __call__(self, interventions: Sequence[Intervention]) -> list[Fired]:
        """One table per intervention, over the positions at which the ablation acts."""
        ...


@runtime_checkable
class InterventionScore(Protocol):
    """The refusal score of one prompt under interventions."""

    def __call__(
        self, interventions: Sequence[Intervention], norm: FinalNorm = FinalNorm.LIVE
    ) -> Float[np.ndarray, " intervention"]:
        """Refusal score (nats of log-odds, > 0 refuses), the final norm's scale live or frozen."""
        ...
