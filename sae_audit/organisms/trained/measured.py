"""Measures of the redundancy of refusal, from the record of a finished audit.

Means over prompts have a t interval, shares a Wilson interval; the bypass is a mean only.
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
"""Most models for the exact test, which tries all orders: 40,320 for 8."""


@dataclass(frozen=True, kw_only=True)
class Redundancy:
    """One checkpoint's redundancy by every measure of an audit."""

    flipped: Estimate
    """Share of refused prompts that have a minimal set."""
    directions: Estimate
    """Number of successive directions to project out until a prompt is no longer refused, mean."""
    beyond_directions: int
    """Prompts refused with all found ones projected out; if above 0, `directions` is a lower bound."""
    refused_beyond: Controlled
    """Share of prompts refused with all found directions projected out; null: as many random ones."""
    depth: Estimate
    """Number of waves of a flipped prompt's cascade, mean."""
    depth_of_minimal: Estimate
    """Number of waves with a feature of the prompt's minimal set, mean: the depth of refusal before
    the prompt flips."""
    beyond_minimal: Estimate
    """Number of waves without a feature of the minimal set, mean; they activate after the flip."""
    minimal_size: Estimate
    """Number of features of a minimal set, mean."""
    dormant_in_minimal: Estimate
    """Number of features of a minimal set that are dormant on the clean run, mean; the flip needs
    their ablation."""
    dormant: Estimate
    """Number of dormant features in a cascade's waves, mean."""
    compensation: Estimate | None
    """Share of the first waves' direct effect that activated features undo, a ratio of means over
    prompts; None without such an effect."""
    bypass: float
    """Mean refusal score on harmful validation prompts with the direction projected out, nats."""
    clean: float
    """Mean refusal score on the same prompts without intervention, nats."""


def redundancy(run: Run) -> Redundancy:
    """The measures of redundancy of a finished run.

    Raises:
        AuditError: no prompt was flipped, so there is no cascade.
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

    def over_prompts(values: Sequence[float]) -> Estimate:
        return mean(values)

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
    """Mean number of waves of the flipped prompts' cascades, with its interval over prompts."""
    return mean([one.depth for one in run.cascades])


@dataclass(frozen=True, kw_only=True)
class Rise:
    """Test whether a measure rises with a setting; the cases are models."""

    n: int
    """Number of models."""
    spearman: float | None
    """Spearman correlation of the models' means with the settings; None if all means are equal."""
    p_value: float | None
    """One-sided and exact: share of all n! orders of the means with at least that correlation, so at
    least 1 / n!. None without a correlation."""
    apart: bool
    """Whether each model's interval over prompts lies above that of the previous setting."""


def rises(settings: Sequence[int], found: Sequence[Estimate]) -> Rise:
    """The rise of a measure with the setting, over a few models of different settings.

    Raises:
        AssertionError: more than 8 models, which have too many orders.
    """
    n = len(settings)
    assert n == len(found) <= _MOST, (n, len(found))
    order = sorted(range(n), key=lambda i: settings[i])
    apart = all(found[a].high < found[b].low for a, b in pairwise(order))
    means = [one.value for one in found]
    if len(set(means)) == 1:
        return Rise(n=n, spearman=None, p_value=None, apart=apart)
    ranks, of_settings = stats.rankdata(means), stats.rankdata(settings)
    # Over orders of the same ranks Spearman's correlation is monotone in the sum of products, which is
    # exact because ranks are multiples of a half.
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
