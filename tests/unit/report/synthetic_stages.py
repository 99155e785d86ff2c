"""The later stages of the invented run: interactions, cascades, controls."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sae_audit.controls.comparisons import dose_control
from sae_audit.findings import (
    Cascade,
    CertifiedSet,
    ClassifierFit,
    Collateral,
    Controls,
    DosePoint,
    ErrorTermControl,
    Estimate,
    FlipDose,
    HeldOutR2,
    InteractionGraph,
    MinimalSet,
    MinimalSetFamily,
    PairInteraction,
    PairKind,
    PooledSet,
    SetControl,
    SolverFit,
    TripleInteraction,
    Wake,
    Wave,
)
from sae_audit.statistics import mean, share
from sae_audit.vocabulary import FeatureId
from tests.synthetic_cascades import depth_records, first_wave_effects

if TYPE_CHECKING:
    from tests.unit.report.synthetic import Shape


def later_stages(
    shape: "Shape",
    minimal: Sequence[MinimalSet],
    pooled: PooledSet | None,
    random: np.random.Generator,
) -> Iterator[tuple[str, str, Any, Any]]:
    """Stage, key, type and value of every later record."""
    flipped = [found for found in minimal if found.flipped]
    for i, found in enumerate(flipped):
        yield "minimal_set_families", found.prompt_id, MinimalSetFamily, _family(found, i)
    doses = [_dose(found, i) for i, found in enumerate(minimal)]
    for dose in doses:
        yield "doses", dose.prompt_id, FlipDose, dose
    for found in flipped:
        graph = _graph(shape, found.prompt_id, found.features, random)
        yield "interactions", found.prompt_id, InteractionGraph, graph
    if pooled is not None:
        graph = _graph(shape, "pooled", pooled.features, random)
        yield "interactions", "pooled", InteractionGraph, graph
    cascades = [_cascade(shape, found, i, random) for i, found in enumerate(flipped)]
    for found in cascades:
        yield "cascades", found.prompt_id, Cascade, found
    yield from depth_records(cascades)
    yield "controls", "all", Controls, _controls(flipped, doses, pooled, random)


def _family(found: MinimalSet, i: int) -> MinimalSetFamily:
    """Its own set and, on most prompts, ones that swap the last feature for another."""
    first = CertifiedSet(
        features=found.features,
        ablated_score=found.ablated_score,
        score_without=found.score_without,
    )
    others = [
        (*found.features[:-1], FeatureId(found.features[-1].layer, 900 + n)) for n in range(i % 4)
    ]
    return MinimalSetFamily(
        prompt_id=found.prompt_id,
        sets=(
            first,
            *(
                CertifiedSet(
                    features=features,
                    ablated_score=-0.25,
                    score_without=dict.fromkeys(features, 0.5),
                )
                for features in others
            ),
        ),
        complete=i % 2 == 0,
        contradicted=False,
        n_sets_scored=60,
    )


def _dose(found: MinimalSet, i: int) -> FlipDose:
    """Flipped prompts at .875; of the others every second one by overshooting, at 2.5."""
    at = 0.875 if found.flipped else (None if i % 2 else 2.5)
    grid = (0.0, 0.5, 0.859375, 0.875, 1.0) if found.flipped else (0.0, 1.0, 2.484375, 2.5, 4.0)
    zero = 6.0 if at is None else at
    return FlipDose(
        prompt_id=found.prompt_id,
        ablated="minimal_set" if found.flipped else "candidates",
        n_features=len(found.features) or found.n_candidates,
        dose=at,
        points=tuple(DosePoint(dose=dose, score=zero - dose - 0.0078125) for dose in grid),
        tolerance=0.02,
        n_sets_scored=len(grid) - 2,
    )


def _graph(
    shape: "Shape", scope: str, players: Sequence[FeatureId], random: np.random.Generator
) -> InteractionGraph:
    reached = {
        solver: r2 - random.uniform(0, 0.1)
        for solver, r2 in (
            ("walsh", 0.99),
            ("fm_bayes", 0.98),
            ("fm_als", 0.97),
            ("lasso", 0.95),
            ("linear", 0.8),
        )
    }
    return InteractionGraph(
        scope=scope,
        n_prompts=8 if scope == "pooled" else 1,
        players=tuple(players),
        design="random" if shape.pairs else "none",
        n_masks=384 if shape.pairs else 0,
        n_held_out=96 if shape.pairs else 0,
        solver="walsh",
        rank=0,
        r2=_r2(reached) if shape.pairs else None,
        explained=None,
        fits=tuple(
            SolverFit(
                solver=solver,
                coding="plus_minus",
                rank=4 if solver.startswith("fm") else 0,
                l2=0.1,
                r2_held_out=_over_masks(r2),
                gain=None if solver == "linear" else _over_masks(r2 - reached["linear"]),
            )
            for solver, r2 in reached.items()
            if shape.pairs
        ),
        pairs=_pairs(players, random) if shape.pairs else (),
        null_weight=0.321 if shape.pairs else None,
        n_sets_scored=400,
        reason="" if shape.pairs else "no mask moves the score",
        null_triple=0.456 if shape.pairs and len(players) > 2 else None,
        triples=_triples(players) if shape.pairs else (),
        classifiers=tuple(
            ClassifierFit(
                classifier=name,
                auroc_held_out=_over_masks(value),
                n_refused=50,
                n_complied=46,
                sign_agreement=agreement,
            )
            for name, value, agreement in (
                ("logistic_main", 0.9, None),
                ("logistic_l1", 0.93, share(4, 5)),
                ("fm_probit", 0.93, None),
            )
            if shape.pairs
        ),
    )


def _over_masks(value: float) -> Estimate:
    return Estimate(value=value, low=value - 0.05, high=value + 0.05, n=96, method="bootstrap 95%")


def _r2(reached: dict[str, float]) -> HeldOutR2:
    own, linear, pairs = (reached[name] for name in ("walsh", "linear", "fm_bayes"))
    return HeldOutR2(
        solver=_over_masks(own),
        linear=_over_masks(linear),
        gain=_over_masks(own - linear),
        pairs=_over_masks(pairs),
        pairs_solver="fm_bayes",
        beyond_pairs=_over_masks(own - pairs),
        half_masks=_over_masks(own - 0.08),
        other_half=_over_masks(0.08),
    )


def _triples(players: Sequence[FeatureId]) -> tuple[TripleInteraction, ...]:
    if len(players) < 3:
        return ()
    a, b, c = players[:3]
    return (TripleInteraction(a=a, b=b, c=c, weight=-0.7, low=-0.9, high=-0.5),)


def _pairs(
    players: Sequence[FeatureId], random: np.random.Generator
) -> tuple[PairInteraction, ...]:
    pairs: list[PairInteraction] = []
    for i, a in enumerate(players):
        for b in players[i + 1 :]:
            weight = float(random.normal(0, 0.6))
            clear = abs(weight) > 0.321
            kind = PairKind.REDUNDANT if weight < 0 else PairKind.SHARED_PATH
            pairs.append(
                PairInteraction(
                    a=a,
                    b=b,
                    weight=weight,
                    low=weight - 0.2,
                    high=weight + 0.2,
                    kind=kind if clear else PairKind.UNCLEAR,
                    lasso=weight * 0.9,
                )
            )
    return tuple(sorted(pairs, key=lambda pair: -abs(pair.weight)))


def _cascade(shape: "Shape", found: MinimalSet, i: int, random: np.random.Generator) -> Cascade:
    first, rest = found.features[:1], found.features[1:]
    waves = [Wave(features=first, score_after=found.clean_score - 2.0, n_awake=0, wakes=())]
    if i % 3:
        wakes = tuple(
            Wake(
                feature=feature,
                activation=float(random.uniform(1, 5)),
                pull=float(random.uniform(1, 5)),
                effect=float(random.uniform(0.2, 2)),
                woken_by=first if n == 0 else (),
            )
            for n, feature in enumerate(rest)
        )
        waves.append(Wave(features=rest, score_after=found.ablated_score, n_awake=17, wakes=wakes))
    ratio, frozen = (float(random.uniform(0, 0.6)) for _ in range(2))
    return Cascade(
        prompt_id=found.prompt_id,
        waves=tuple(waves),
        clean_score=found.clean_score,
        unplaced=() if i % 3 else rest,
        effects=first_wave_effects(ratio, frozen) if shape.compensation else None,
        compensation_ratio=ratio if shape.compensation else None,
        compensation_reason="" if shape.compensation else "the direct effect is below 0.1",
        stop="no dormant feature wakes",
        n_sets_scored=50,
        frozen_compensation_ratio=frozen if shape.compensation else None,
        frozen_reason="" if shape.compensation else "the direct effect is below 0.1",
    )


def _controls(
    flipped: Sequence[MinimalSet],
    doses: Sequence[FlipDose],
    pooled: PooledSet | None,
    random: np.random.Generator,
) -> Controls:
    n = len(flipped)
    return Controls(
        per_prompt=_set_controls("minimal", share(n, n), random) if n else (),
        pooled=_set_controls("pooled", pooled.flipped_held_out, random) if pooled else (),
        collateral=_collateral(random) if pooled else (),
        error_term=ErrorTermControl(
            flipped_kept=share(n, n),
            flipped_frozen=share(n, n),
            flipped_dropped=share(n - 1, n),
            change_frozen=mean([0.125, 0.25], seed=0),
            change_dropped=mean([0.5, 0.25], seed=0),
            refused_dropped_alone=share(n - 1, n),
        )
        if n
        else None,
        doses=tuple(
            dose_control(found, lambda _: np.array([1.0, 2.0]), seed=0)
            for kind in ("minimal_set", "candidates")
            if (found := [one for one in doses if one.ablated == kind])
        ),
    )


def _set_controls(
    own: str, flipped: Estimate, random: np.random.Generator
) -> tuple[SetControl, ...]:
    n = flipped.n
    shares = ((own, 1.0, 7.0), ("random_matched", 0.0, 0.1), ("linear_probe", 0.2, 2.0))
    return tuple(
        SetControl(
            name=name,
            flipped=flipped if name == own else share(round(rate * n), n),
            score_drop=mean(random.normal(drop, 0.5, n), seed=0),
        )
        for name, rate, drop in (*shares, ("top_cosine", 0.4, 4.0))
    )


def _collateral(random: np.random.Generator) -> tuple[Collateral, ...]:
    return tuple(
        Collateral(
            name=name,
            kl=mean(random.uniform(0, 2 * kl, 12), seed=0),
            cross_entropy_change=mean(random.normal(kl / 3, 0.01, 12), seed=0),
        )
        for name, kl in (
            ("pooled", 0.06),
            ("random_matched", 0.02),
            ("linear_probe", 0.09),
            ("top_cosine", 0.05),
        )
    )
