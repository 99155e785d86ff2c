"""How redundant an audit found refusal to be, from the record of a finished run.

Means over prompts have a bootstrap interval, shares Wilson's; of the bypass a record holds the mean
alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from scipy import stats

from sae_audit.errors import AuditError
from sae_audit.findings import Cascade, Estimate
from sae_audit.record.run import Run
from sae_audit.statistics import mean, share


@dataclass(frozen=True, kw_only=True)
class Redundancy:
    """One checkpoint's redundancy, by every measure that an audit offers."""

    flipped: Estimate
    """Share of refused prompts that have a minimal set."""
    directions: Estimate
    """Directions that must be projected out, each found with those before it out, until a prompt is
    not refused."""
    beyond_directions: int
    """Prompts refused with all found ones out: where there are any, `directions` is a lower bound."""
    depth: Estimate
    """Waves of a flipped prompt's cascade."""
    depth_of_minimal: Estimate
    """Waves that hold a feature of the prompt's minimal set: how deep refusal is layered before the
    prompt flips."""
    beyond_minimal: Estimate
    """Waves of features that all lie outside the minimal set: what still wakes once it flipped."""
    minimal_size: Estimate
    """Features of a minimal set."""
    dormant_in_minimal: Estimate
    """Features of a minimal set that do not fire on the clean run: without ablating them the flip
    fails."""
    dormant: Estimate
    """Dormant features in a cascade's waves."""
    compensation: Estimate | None
    """Share of the first waves' direct effect that waking features undo, of the means over prompts;
    None where there is no such effect."""
    bypass: float
    """Mean refusal score on harmful validation prompts with the direction projected out, nats."""
    clean: float
    """The same without intervention."""


def redundancy(run: Run) -> Redundancy:
    """Every measure of redundancy that the run's record supports.

    Raises:
        AuditError: no prompt was flipped, so that nothing was followed; or the record is older than
            a measure.
    """
    cascades = run.cascades
    if not cascades:
        raise AuditError(
            f"No prompt was flipped in {run.folder}, so there is no cascade to measure; widen the "
            "pool (candidates.per_layer)."
        )
    behind = run.successive_directions
    if behind is None:
        raise AuditError(f"{run.folder} was made before directions were counted; audit again.")
    sets = {found.prompt_id: frozenset(found.features) for found in run.minimal_sets}
    own = [sets[one.prompt_id] for one in cascades]
    seed = run.config.seed

    def over_prompts(values: Sequence[float]) -> Estimate:
        return mean(values, seed=seed)

    touching = [
        sum(not minimal.isdisjoint(wave.features) for wave in one.waves)
        for one, minimal in zip(cascades, own, strict=True)
    ]
    pooled = run.pooled_cascade.compensation if run.pooled_cascade is not None else None
    return Redundancy(
        directions=behind.depth,
        beyond_directions=behind.n_beyond,
        flipped=share(len(cascades), len(run.minimal_sets)),
        depth=depths(run),
        depth_of_minimal=over_prompts(touching),
        beyond_minimal=over_prompts(
            [one.depth - n for one, n in zip(cascades, touching, strict=True)]
        ),
        minimal_size=over_prompts([len(minimal) for minimal in own]),
        dormant_in_minimal=over_prompts(
            [len(m.difference(one.waves[0].features)) for one, m in zip(cascades, own, strict=True)]
        ),
        dormant=over_prompts([_n_dormant(one) for one in cascades]),
        compensation=pooled.ratio if pooled is not None else None,
        bypass=run.direction.selected.bypass,
        clean=run.direction.clean_harmful,
    )


def depths(run: Run) -> Estimate:
    """Mean number of waves of the flipped prompts' cascades, bootstrap interval over prompts."""
    return mean([one.depth for one in run.cascades], seed=run.config.seed)


def rises(settings: Sequence[int], found: Sequence[Estimate]) -> tuple[float | None, bool]:
    """Spearman correlation of means with settings, None where all means are equal; and whether
    neighbours' intervals are apart, each above the one before."""
    order = sorted(range(len(settings)), key=lambda i: settings[i])
    apart = all(found[a].high < found[b].low for a, b in pairwise(order))
    means = [one.value for one in found]
    if len(set(means)) == 1:
        return None, apart
    return float(stats.spearmanr(list(settings), means).statistic), apart


def _n_dormant(cascade: Cascade) -> int:
    return sum(len(wave.features) for wave in cascade.waves[1:])
