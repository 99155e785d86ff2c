"""Single features: what each does to refusal, where it fires, and what its decoder row points at."""

from dataclasses import dataclass

from sae_audit.findings.estimates import Estimate
from sae_audit.findings.example import Finding
from sae_audit.findings.features import Feature
from sae_audit.vocabulary import TokenClass


@dataclass(frozen=True, kw_only=True)
class FeatureEffect(Finding):
    """What one change of a feature does to the refusal score, beside random features changed alike.

    A random feature is of the same layer and fires on about as many harmful training prompts; it is no
    candidate, and no feature that a finding names. Prompts take several draws in turn.
    """

    turned: Estimate
    """Share of prompts on which the model changes sides: refuses no more, or refuses at last."""
    score_change: Estimate
    """Mean change of the refusal score, nats; < 0 towards compliance."""
    turned_random: Estimate | None
    """Control of `turned`: a matched random feature in its place, one a prompt; None if its layer has
    no other features to draw from."""
    score_change_random: Estimate | None
    """Control of `score_change`, in the same way."""


@dataclass(frozen=True, kw_only=True)
class CategoryFiring(Finding):
    """How often a feature fires on the prompts of one category."""

    label: str
    """`harmful` or `harmless`."""
    category: str
    n: int
    """Number of audit prompts of this category."""
    n_firing: int
    """Number of these on which it fires."""


@dataclass(frozen=True, kw_only=True)
class ActivationCounts(Finding):
    """Audit prompts by a feature's largest activation, in bins of equal width from 0 to `largest`;
    prompts on which it does not fire are in none."""

    largest: float
    """Largest activation on any audit prompt, the SAE's unit; 0 if it fires on none."""
    harmful: tuple[int, ...]
    """Number of harmful prompts in each bin, lowest first."""
    harmless: tuple[int, ...]
    """The same of harmless prompts."""


@dataclass(frozen=True, kw_only=True)
class FiringPrompt(Finding):
    """A prompt on which a feature fires, and where it fires most."""

    prompt_id: str
    activation: float
    """Largest over positions, the SAE's unit."""
    position: int
    """Position of that token, from 0, the chat template's tokens counted."""
    n_tokens: int
    """Number of the prompt's tokens, the chat template's included."""
    token: TokenClass
    """Class of that token in the chat template."""


@dataclass(frozen=True, kw_only=True)
class LensToken(Finding):
    """A token whose logit a decoder row moves."""

    token: int
    """Its id in the vocabulary."""
    text: str
    logit: float
    """Rise of its logit per unit of activation, less the mean over all tokens, nats."""


@dataclass(frozen=True, kw_only=True)
class NearRow(Finding):
    """A feature whose decoder row lies near another's."""

    feature: Feature
    cosine: float


@dataclass(frozen=True, kw_only=True)
class FeatureProfile(Finding):
    """One feature that a finding names."""

    feature: Feature
    alone: FeatureEffect
    """Ablated alone, on refused harmful audit prompts: whether they are answered then."""
    in_part: FeatureEffect
    """The same at `FeatureProfiles.part` of the way."""
    spared: FeatureEffect | None
    """Spared from the minimal sets that hold it, the rest ablated: whether the prompt is refused again
    (always, by the certificate), and the rise of the score. Control: the random feature is ablated in
    its place. None if it is in no minimal set."""
    raised: FeatureEffect | None
    """Set, at the template positions of answered harmless audit prompts, to `raised_to`: whether they
    are refused then. Control: the random feature is set so that it writes as long a vector. None if
    `raised_to` is 0, or if no harmless prompt is answered."""
    raised_to: float
    """Its mean activation at the template positions of refused harmful audit prompts."""
    fires_harmful: Estimate
    """Share of harmful audit prompts, refused or not, on which it fires at a position where the
    ablation acts."""
    fires_harmless: Estimate
    """The same of harmless audit prompts."""
    activations: ActivationCounts
    categories: tuple[CategoryFiring, ...]
    """Harmful ones first, by name; empty if prompts have no categories."""
    top: tuple[FiringPrompt, ...]
    """Audit prompts on which it fires most, strongest first."""
    promoted: tuple[LensToken, ...]
    """Tokens whose logits its decoder row raises most (logit lens), at the mean end of the refused
    prompts, with no later layer reacting: this points at a meaning and proves no effect."""
    suppressed: tuple[LensToken, ...]
    """Those that it lowers most."""
    nearest: tuple[NearRow, ...]
    """Nearest decoder rows of its own layer, by cosine."""
    nearest_elsewhere: tuple[NearRow, ...]
    """Nearest decoder rows of the other audited layers."""


@dataclass(frozen=True, kw_only=True)
class FeatureProfiles(Finding):
    """The features that findings name, one by one, the most important first."""

    part: float
    """Share of the full ablation at which `FeatureProfile.in_part` is measured."""
    n_named: int
    """Number of features that findings name; those beyond `features.most` are not measured."""
    features: tuple[FeatureProfile, ...]
    """By importance (`mentions`)."""
