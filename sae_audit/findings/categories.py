"""Categories of refused requests: a direction of each, how alike they are, and what they do."""

from dataclasses import dataclass
from enum import StrEnum

from sae_audit.findings.estimates import Estimate, RandomRange
from sae_audit.findings.example import Finding

POOLED_DIRECTION, ALL_DIRECTIONS = "pooled", "all"
RANDOM_DIRECTION, RANDOM_DIRECTIONS_TOGETHER = "random", "random together"
"""What is projected out besides single categories' directions."""
THRESHOLD = "threshold"
"""What is steered along besides directions."""
RESERVED = frozenset(
    {POOLED_DIRECTION, ALL_DIRECTIONS, RANDOM_DIRECTION, RANDOM_DIRECTIONS_TOGETHER, THRESHOLD}
)
"""Names that no category may have."""


@dataclass(frozen=True, kw_only=True)
class CategoryPrompts(Finding):
    """Prompts of one category."""

    category: str
    n_asked: int
    n_refused: int
    """Those of them that the model refuses."""
    n_used: int
    """Those of them that its direction rests on; 0 if too few are refused, and the category is left
    out."""


@dataclass(frozen=True, kw_only=True)
class CategoryDirection(Finding):
    """The direction of one category: mean of its refused prompts minus mean of answered harmless ones.

    Made of half of the prompts; everything measured is of the other half.
    """

    category: str
    strength: float
    """Distance of the two means along it, in units of the residual stream."""
    halves: Estimate
    """Cosine of two such directions from independent halves of the prompts; over splits."""
    separation: Estimate
    """AUROC of its component between the category's refused prompts and answered harmless ones."""
    with_refusal: float
    """Cosine with the refusal direction of the audit."""
    induced: Estimate
    """Mean refusal score (nats) of answered harmless prompts with the direction added at its layer."""


@dataclass(frozen=True, kw_only=True)
class Cosines(Finding):
    """Cosines between the directions of all categories, and what they come to."""

    matrix: tuple[tuple[float, ...], ...]
    """In the order of `CategoryFindings.directions`."""
    mean: Estimate
    """Mean over pairs of categories; jackknife interval over prompts."""
    participation_ratio: float
    """Number of dimensions that the unit directions spread over: squared sum of the eigenvalues of the
    matrix over the sum of their squares. 1 if all are the same, the number of categories if all are at
    right angles."""


@dataclass(frozen=True, kw_only=True)
class CategoryLeft(Finding):
    """What is left of the refusals of one category."""

    refused: Estimate
    """Share of its held-out prompts still refused."""
    score: Estimate
    """Their mean refusal score, nats."""


@dataclass(frozen=True, kw_only=True)
class CategoryAblation(Finding):
    """Directions projected out of the residual stream everywhere, and what is left."""

    out: str
    """What is projected out: a category's direction, or `pooled` (all refused prompts' mean minus the
    harmless ones'), `all` (the span of all categories' directions), `random` (one random direction;
    means over several) or `random together` (as many random directions as there are categories)."""
    left: tuple[CategoryLeft, ...]
    """By category, in the order of `CategoryFindings.directions`."""
    kl: Estimate
    """Mean KL (nats) of the next token on held-out answered harmless prompts."""
    recognition: Estimate
    """AUROC between held-out refused and answered prompts at the last token of the request itself, along
    the difference of their means there with nothing projected out. Low, it says that this axis is gone,
    and not that nothing else tells them apart. Of random directions: mean over three."""


@dataclass(frozen=True, kw_only=True)
class SharedFeatures(Finding):
    """Features that fire, behind the request, on more of a category's refused prompts than of harmless
    ones, by how many categories they do so for."""

    least_difference: float
    """Difference in the share of prompts they fire on, at least."""
    one: int
    """For one category alone."""
    some: int
    """For more than one, and not for all."""
    every: int
    """For all."""
    one_permuted: RandomRange
    """`one` with prompts dealt to categories at random."""
    every_permuted: RandomRange
    p_one: float
    """Share of deals with at least as many features of one category alone, its own count among them."""
    p_every: float
    """Share of deals with at most as many features of all, likewise."""


class Knob(StrEnum):
    """How a direction trades refusals of harmful prompts against those of harmless ones, beside the
    common direction."""

    EQUAL = "equal"
    """Within the settings' tolerance."""
    BETTER = "better"
    """More harmful prompts refused at equal shares of harmless ones, beyond exchanging the two."""
    WORSE = "worse"
    OPEN = "cannot tell"
    """Neither, with so few prompts; or the two are not refused often enough to compare."""


@dataclass(frozen=True, kw_only=True)
class SteeredRates(Finding):
    """Refusals with a direction added at one strength."""

    strength: float
    """In gaps between refused and harmless prompts along the direction."""
    refused: Estimate
    """Share of harmful prompts refused."""
    over_refused: Estimate
    """Share of harmless prompts refused."""


@dataclass(frozen=True, kw_only=True)
class SteeredAgainst(Finding):
    """A trade-off beside that of the common direction. Prompts are compared by the order in which they
    come to be refused, so that strengths need not match."""

    low: float
    high: float
    """Shares of harmless prompts refused between which both were measured."""
    area: float
    """Mean absolute difference of the share of harmful prompts refused, over that range."""
    gain: float
    """The same with its sign: above 0 if more harmful prompts are refused than along the common one."""
    upper: float
    """95% quantile of `area` over resampled prompts."""
    p_value: float
    """Share of random exchanges of the two, prompt by prompt, with an area as large."""
    knob: Knob


@dataclass(frozen=True, kw_only=True)
class SteeringCurve(Finding):
    """One direction added at growing strengths, at the layer it was read in, at every token."""

    along: str
    """A category, `pooled`, a random one (`random 1`, ...), or `threshold`: all clean scores raised
    alike, by as much as the pooled direction raises them on average, which needs no direction."""
    gap: float
    """Length of one unit of strength in the residual stream; nats for `threshold`."""
    rates: tuple[SteeredRates, ...]
    against_pooled: SteeredAgainst | None
    """None for the pooled direction itself, and if fewer than five harmless prompts come to be refused
    along both."""


@dataclass(frozen=True, kw_only=True)
class Steering(Finding):
    """The knob: whether steering along any category's direction trades refusal against over-refusal
    alike (2602.02132)."""

    n_harmful_refused: int
    """Prompts of the taxonomy's categories that the model refuses, with nothing added; held out."""
    n_harmful_answered: int
    n_harmless_refused: int
    n_harmless_answered: int
    equal_within: float
    curves: tuple[SteeringCurve, ...]
    """Each category's, then `pooled`, random ones (`random 1`, ...) and `threshold`."""
    headroom: float
    """Share of harmful prompts that a moved threshold does not refuse, mean over all shares of harmless
    ones: by how much any knob could do better. Below `equal_within` nothing is called equal: prompts are
    told apart so well that whatever raises all scores trades alike."""


@dataclass(frozen=True, kw_only=True)
class CategoryFindings(Finding):
    """Directions of the categories of a taxonomy (2602.02132), compared with what unrelated topics give.

    All are read at the layer and position of the audit's refusal direction.
    """

    taxonomy: str
    layer: int
    position: int
    n_harmless: int
    """Answered harmless prompts; half of them, as of each category, make directions."""
    sizes: tuple[CategoryPrompts, ...]
    """Every category of the taxonomy."""
    directions: tuple[CategoryDirection, ...]
    """Of those with enough refused prompts."""
    shared_pool: Cosines
    """All directions take off the same harmless prompts' mean, as published."""
    split_pools: float
    """`shared_pool.mean` if two directions take off means of disjoint halves of the harmless prompts,
    which leaves out the noise that they share, but not the mean itself; mean over splits."""
    centred: tuple[tuple[float, ...], ...]
    """Cosines of the unit directions less their mean. They sum to about 0 whatever the directions are;
    what they show is which are on one side."""
    topics: RandomRange | None
    """Null of `mean_at_topic_size`: as many topics of harmless prompts (clusters) in the categories'
    place, minus one more of these topics; over draws. Null with too few prompts."""
    topics_ratio: RandomRange | None
    """The participation ratio of the same topics' directions."""
    topic_size: float
    """Mean number of prompts of these topics; 0 without."""
    mean_at_topic_size: RandomRange | None
    """`shared_pool.mean` with as few prompts, harmless ones too, as topics have."""
    p_differ: float
    """Share of random deals of the refused prompts to categories under which their means differ at
    least as much, the own one among them. Requests about other things differ too: a small p says that
    the categories can be told apart here, and not that refusal of them works in different ways."""
    families: tuple[tuple[str, ...], ...]
    """The categories grouped by centred cosine (average linkage), the number of groups by largest
    silhouette."""
    silhouette: float
    """Mean silhouette of that grouping."""
    silhouette_at_topic_size: RandomRange | None
    """The same with as few prompts, harmless ones too, as topics have."""
    topics_silhouette: RandomRange | None
    """Its null: the same of the topics' groupings; null with `topics`."""
    ablations: tuple[CategoryAblation, ...]
    """Each category's direction in order, then `pooled`, `all`, `random` and `random together`."""
    clean: tuple[CategoryLeft, ...]
    """By category, the same with nothing projected out."""
    clean_recognition: Estimate
    """`CategoryAblation.recognition`, nothing projected out."""
    specific: Estimate
    """Nats by which a category's own direction, projected out, lowers the score of its prompts more than
    other categories' directions do on average; mean over categories. 0 if any of them does as well."""
    n_random: int
    features: SharedFeatures
    steering: Steering | None
    """None if no strengths are asked for."""


@dataclass(frozen=True, kw_only=True)
class TooFewCategories(Finding):
    """Why there are no directions of categories: fewer than two of them are refused often enough, or too
    few harmless prompts are answered."""

    taxonomy: str
    n_harmless: int
    """Answered harmless prompts."""
    sizes: tuple[CategoryPrompts, ...]
