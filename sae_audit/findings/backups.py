"""Are the dormant features that activate backups: do they restore refusal, beyond their controls?"""

from dataclasses import dataclass

from sae_audit.findings.estimates import Estimate, RandomRange
from sae_audit.findings.example import Finding

LEVEL = 0.05
"""Largest mean rank among the stand-in sets."""
FEWEST_PROMPTS = 5
"""Minimum number of prompts of a claim: with fewer, a mean has no interval worth the name."""


@dataclass(frozen=True, kw_only=True)
class SingleEffects(Finding):
    """How often one feature, ablated as well, lowers the score by at least `cascade.min_effect`."""

    share: Estimate
    """Mean over prompts of the share of the features tested."""
    n_tests: int
    """Number of tests, all prompts."""


@dataclass(frozen=True, kw_only=True)
class PooledSameScore(Finding):
    """Control at the same score, over prompts: see `SameScore`."""

    n_reached: int
    """Number of prompts on which unrelated features brought the score as low."""
    score: Estimate
    """Mean refusal score at that state, nats."""
    n_ablated: Estimate
    """Mean number of features ablated."""
    restored: Estimate
    """Mean of what is restored there, nats."""
    difference: Estimate
    """Mean of what the minimal set's dormant features restore, less this, paired by prompt."""
    single: SingleEffects | None
    """None if nothing was tested."""


@dataclass(frozen=True, kw_only=True)
class PooledRestoration(Finding):
    """Whether what activates restores refusal, over the prompts where it could be measured.

    Nats; prompts on which dormant features keep activating are left out.
    """

    restored: Estimate
    """Mean fall of the score if all dormant features that activate are held at zero."""
    least: float
    """Smallest mean that counts, `cascade.min_effect`: less is what a single feature must do."""
    n_held: Estimate
    """Mean number of these features."""
    n_stand_ins: Estimate
    """Mean number of them that have stand-ins."""
    ratio: Estimate | None
    """Its share in the first wave's direct effect: the compensation ratio of the same prompts; None if
    the interval of the mean direct effect reaches 0."""
    stand_ins: RandomRange | None
    """Control at the same state: means over prompts, one for each set of stand-ins; None if there is no
    set on any prompt."""
    stand_in_difference: Estimate | None
    """Mean of `restored` less the mean of the prompt's stand-in sets, paired by prompt."""
    p_value: float | None
    """Mean over prompts of the rank of what is restored among the prompt's own stand-in sets, (1 + sets
    that fall by as much) / (1 + sets). Prompts share what activates, and their luck with it, so ranks
    are averaged and not multiplied: the mean is a p-value if prompts are alike, and twice the mean is
    one however they depend on each other (1212.4966)."""
    same_score: PooledSameScore | None
    """Control at the same score; None if no prompt has it."""
    single: SingleEffects | None
    """Dormant features one by one, all that were tested at any state; None if none was."""
    single_stand_ins: SingleEffects | None
    """Stand-ins of some of them, at the same states."""
    single_difference: Estimate | None
    """Mean over prompts of the difference of these two shares."""


@dataclass(frozen=True, kw_only=True)
class BackupsClaim(Finding):
    """Whether the dormant features that activate may be called backups."""

    stands: bool
    reason: str
    """One sentence, with the numbers."""
    p: float | None
    """Mean rank among the stand-in sets; None if not measured."""
    n: int
    """Number of prompts."""
    beside: str
    """The controls, in words; empty if not measured."""


def backups_claim(found: PooledRestoration | None) -> BackupsClaim:
    """Whether backups may be claimed, by three conditions that all have to hold.

    1. What activates holds refusal up: the intervals of `restored` and of its ratio lie above 0, and it
       is at least as large as what one feature must do to join a wave.
    2. More than features that were active all along do at the same state: the mean rank among the sets
       is at most .05, and the interval of the paired difference lies above 0.
    3. More than what activates at the same score: the interval of that paired difference, too.
    """
    if found is None:
        return BackupsClaim(
            stands=False,
            reason="What activated features restore could be measured on no prompt.",
            p=None,
            n=0,
            beside="",
        )
    fault = _fault(found)
    held = f"holding it at zero lowers the score by {_nats(found.restored)} nats"
    return BackupsClaim(
        stands=not fault,
        reason=fault or f"What activates restores refusal, {_beyond(found)}: {held}.",
        p=found.p_value,
        n=found.restored.n,
        beside=_beside(found),
    )


def _fault(found: PooledRestoration) -> str:
    """The first condition that fails, in a sentence; empty if all hold."""
    restored, n = found.restored, found.restored.n
    if n < FEWEST_PROMPTS:
        return (
            f"What activates was measured on {n} prompts, too few for a claim ({FEWEST_PROMPTS})."
        )
    if found.n_held.value == 0.0:
        return "No dormant feature activates once the first wave is ablated."
    if restored.high < 0.0 and -restored.value >= found.least:
        return (
            f"What activates helps the ablation: holding it at zero raises the score by "
            f"{-restored.value:.2f} [{-restored.high:.2f}, {-restored.low:.2f}] nats."
        )
    above = restored.low > 0.0 and restored.value >= found.least
    if not above or found.ratio is None or found.ratio.low <= 0.0:
        return (
            "What activates does not restore refusal: holding it at zero lowers the score by "
            f"{_nats(restored)} nats."
        )
    if found.stand_ins is None or found.stand_in_difference is None or found.p_value is None:
        return "No feature that was active all along could stand in for what activates."
    if found.p_value > LEVEL or found.stand_in_difference.low <= 0.0:
        return (
            f"What activates restores {_nats(restored)} nats, but features active all along hold up as "
            f"much: {_range(found.stand_ins)}."
        )
    if found.same_score is None:
        return "No unrelated feature fires, so nothing shows what activates at the same score."
    if found.same_score.difference.low <= 0.0:
        return (
            f"What activates restores {_nats(restored)} nats, but so does what activates once unrelated "
            f"features bring the score as low: {_nats(found.same_score.restored)}."
        )
    return ""


def _beyond(found: PooledRestoration) -> str:
    if found.same_score is not None and found.same_score.n_reached:
        return "beyond both controls"
    return "beyond features active all along (no unrelated ones bring the score as low)"


def _beside(found: PooledRestoration) -> str:
    parts: list[str] = []
    if found.stand_ins is not None:
        parts.append(
            f"{found.stand_ins.n} sets of features active all along, matched in layer and direct "
            f"attribution, ablated at the same state: {_range(found.stand_ins)} nats"
        )
    if found.same_score is not None:
        one = found.same_score
        parts.append(
            f"what activates once unrelated features are ablated, to a score of "
            f"{one.score.value:+z.2f} (as low as with the minimal set on {one.n_reached} of "
            f"{one.score.n} prompts): {_nats(one.restored)} nats"
        )
    return "; ".join(parts)


def _nats(one: Estimate) -> str:
    return f"{one.value:+z.2f} [{one.low:+z.2f}, {one.high:+z.2f}]"


def _range(one: RandomRange) -> str:
    return f"{one.mean:+z.2f} ({one.lowest:+z.2f} to {one.highest:+z.2f})"
