"""How redundant an audit found refusal to be, from the record of a finished run.

Means over prompts have a bootstrap interval, shares Wilson's; of the bypass a record holds the mean
alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations

import numpy as np
from scipy import stats

from sae_audit.errors import AuditError
from sae_audit.findings import Cascade, Controlled, Estimate
from sae_audit.record.run import Run
from sae_audit.statistics import mean, share

_MOST = 8
"""Models whose orders are gone through: 40,320 of them."""


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
    refused_beyond: Controlled
    """Share of prompts refused with all found ones out; control: as many random directions out."""
    depth: Estimate
    """Waves of a flipped prompt's cascade."""
    depth_of_minimal: Estimate
    """Waves that hold a feature of the prompt's minimal set: how deep refusal is layered before the
    prompt flips."""
    beyond_minimal: Estimate
    """Waves of features that all lie outside the minimal set: what still activates once it flipped."""
    minimal_size: Estimate
    """Features of a minimal set."""
    dormant_in_minimal: Estimate
    """Features of a minimal set that do not fire on the clean run: without ablating them the flip
    fails."""
    dormant: Estimate
    """Dormant features in a cascade's waves."""
    compensation: Estimate | None
    """Share of the first waves' direct effect that activated features undo, of the means over prompts;
    None where there is no such effect."""
    bypass: float
    """Mean refusal score on harmful validation prompts with the direction projected out, nats."""
    clean: float
    """The same without intervention."""


def redundancy(run: Run) -> Redundancy:
    """Every measure of redundancy that the run's record supports.

    Raises:
        AuditError: no prompt was flipped, so that nothing was followed.
    """
    cascades = run.cascades
    if not cascades:
        raise AuditError(
            f"No prompt was flipped in {run.folder}, so there is no cascade to measure; widen the "
            "pool (candidates.per_layer)."
        )
    behind = run.successive_directions
    assert behind is not None, "found before cascades"
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
        refused_beyond=behind.directions[-1].refused,
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
        bypass=run.direction.bypass,
        clean=run.direction.clean_harmful,
    )


def depths(run: Run) -> Estimate:
    """Mean number of waves of the flipped prompts' cascades, bootstrap interval over prompts."""
    return mean([one.depth for one in run.cascades], seed=run.config.seed)


@dataclass(frozen=True, kw_only=True)
class Rise:
    """Whether a measure rises with a setting; the cases are models, not prompts."""

    n: int
    """Models."""
    spearman: float | None
    """Of the models' means with the settings; None where all means are equal."""
    p_value: float | None
    """One-sided and exact: share of all n! orders of the means with at least that correlation, at the
    least 1 / n!. None where there is none."""
    apart: bool
    """Whether the prompts' intervals of neighbours are apart, each above the one before."""


def rises(settings: Sequence[int], found: Sequence[Estimate]) -> Rise:
    """How one model's measure follows its setting, over a few models of different settings.

    Raises:
        AssertionError: more than 8 models, whose orders are too many to go through.
    """
    n = len(settings)
    assert n == len(found) <= _MOST, (n, len(found))
    order = sorted(range(n), key=lambda i: settings[i])
    apart = all(found[a].high < found[b].low for a, b in pairwise(order))
    means = [one.value for one in found]
    if len(set(means)) == 1:
        return Rise(n=n, spearman=None, p_value=None, apart=apart)
    ranks, of_settings = stats.rankdata(means), stats.rankdata(settings)
    # Over orders of the same ranks Spearman's correlation rises with the sum of products alone, which
    # is exact: ranks are multiples of a half.
    own = float(of_settings @ ranks)
    products = [
        float(of_settings @ np.array(permuted)) for permuted in permutations(ranks.tolist())
    ]
    return Rise(
        n=n,
        spearman=float(stats.spearmanr(list(settings), means).statistic),
        p_value=sum(product >= own for product in products) / len(products),
        apart=apart,
    )


def _n_dormant(cascade: Cascade) -> int:
    return sum(len(wave.features) for wave in cascade.waves[1:])
