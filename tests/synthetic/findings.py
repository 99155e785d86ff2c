"""Invented findings of single prompts, each with numbers that no other one has.

What has no meaning of its own comes from `Finding.example`. What findings must agree on (features, ids,
signs of scores) is set here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from random import Random
from typing import Any

from sae_audit.direction.selectors.bypass import BYPASS, INDUCE, KL
from sae_audit.findings import (
    Absence,
    AbsenceKind,
    ActivatedFeatures,
    ActivationCounts,
    ActivationEdge,
    ActivationEdges,
    ActivationTokens,
    Cascade,
    CascadeNull,
    CategoryAblation,
    CategoryDirection,
    CategoryFindings,
    CategoryFiring,
    CategoryLeft,
    CategoryPrompts,
    CertifiedSet,
    ClassifierFit,
    CoactivationFit,
    CoactivationFm,
    ComparedSet,
    Cosines,
    CurvePoint,
    DirectionSelection,
    DormantFeature,
    DormantPositions,
    DormantTests,
    EdgeKind,
    Estimate,
    ExplainedExactly,
    FeatureEffect,
    FeatureProfile,
    FeatureProfiles,
    FilterCurve,
    FiringPrompt,
    FirstWaveEffects,
    FlipScale,
    HeldOutR2,
    InteractionGraph,
    LensToken,
    MinimalSet,
    MinimalSetFamily,
    NearRow,
    NullDictionary,
    NullKind,
    NullScores,
    PairInteraction,
    PairKind,
    PooledSetWithoutDormant,
    PromptScore,
    Restoration,
    RivalCurve,
    RivalPoint,
    Rivals,
    RivalTest,
    SaeQuality,
    SameScore,
    ScalePoint,
    SearchedSet,
    SideEffects,
    SolverFit,
    StandInTests,
    SteeredAgainst,
    SteeredRates,
    Steering,
    SteeringCurve,
    SwitchedOff,
    TripleInteraction,
    Wave,
)
from sae_audit.statistics import share
from sae_audit.vocabulary import FeatureId, TokenClass

A, B, C = FeatureId(1, 3), FeatureId(2, 5), FeatureId(2, 8)
N_CANDIDATES = 12
BY_BYPASS = DirectionSelection(
    method="bypass",
    rule="the lowest bypass among those that pass every filter",
    source="2406.11717",
    measures=(BYPASS, INDUCE, KL),
    filters=("layer below the last 20%", "KL at most 0.1 nats", "induce at least 0.0 nats"),
)


def numbers_of(name: str) -> Iterator[int]:
    """Whole numbers, other ones for each name."""
    return count(1000 * sum(name.encode()) + 1)


def estimate(value: float) -> Estimate:
    """One whose interval and number of cases are other numbers than those of any other value."""
    return Estimate(
        value=value,
        low=value - 0.0625 - abs(value) / 64,
        high=value + 0.03125 + abs(value) / 32,
        n=29 + round(1000 * abs(value)),
        method="Wilson 95%",
    )


def prompt_scores(
    harmful: Sequence[float], harmless: Sequence[float], *, ids: str = "p", category: str = ""
) -> list[PromptScore]:
    """Audit prompts with given clean scores."""
    labelled = [("harmful", s) for s in harmful] + [("harmless", s) for s in harmless]
    return [
        PromptScore(
            prompt_id=f"{ids}{i}", split="audit", label=label, category=category, score=score
        )
        for i, (label, score) in enumerate(labelled)
    ]


def absence(kind: AbsenceKind) -> Absence:
    return Absence(
        kind=kind, reason="Of 4 prompts 0 say so.", also=(), remedy="Look again.", n_train=(8, 9)
    )


CATEGORIES = ("arson", "fraud", "humanizing")


def categories(numbers: Iterator[int]) -> CategoryFindings:
    """Of three categories in two families, one of which has too few refused prompts beside them."""
    shares = (next(numbers) / 10_000 for _ in count())

    def left() -> tuple[CategoryLeft, ...]:
        return tuple(
            CategoryLeft.example(numbers, refused=estimate(next(shares))) for _ in CATEGORIES
        )

    def cosines() -> Cosines:
        matrix = [[next(shares) for _ in CATEGORIES] for _ in CATEGORIES]
        return Cosines.example(numbers, matrix=tuple(map(tuple, matrix)))

    def curve(along: str) -> SteeringCurve:
        rates = tuple(
            SteeredRates.example(
                numbers, refused=estimate(next(shares)), over_refused=estimate(next(shares))
            )
            for _ in range(2)
        )
        against = None if along == "pooled" else SteeredAgainst.example(numbers)
        return SteeringCurve.example(numbers, along=along, rates=rates, against_pooled=against)

    out = (*CATEGORIES, "pooled", "all", "random", "random together")
    return CategoryFindings.example(
        numbers,
        sizes=(
            *(CategoryPrompts.example(numbers, category=name) for name in CATEGORIES),
            CategoryPrompts.example(numbers, category="advice", n_used=0),
        ),
        directions=tuple(CategoryDirection.example(numbers, category=name) for name in CATEGORIES),
        shared_pool=cosines(),
        centred=cosines().matrix,
        families=(CATEGORIES[:2], CATEGORIES[2:]),
        ablations=tuple(CategoryAblation.example(numbers, out=one, left=left()) for one in out),
        clean=left(),
        steering=Steering.example(
            numbers,
            curves=tuple(curve(one) for one in (*CATEGORIES, "random 1", "pooled", "threshold")),
        ),
    )


def qualities(*recovered: float | None) -> list[SaeQuality]:
    """Of the audited layers, which recover so much cross-entropy."""
    numbers = count(11)
    return [
        SaeQuality.example(
            numbers, layer=i + 1, ce_recovered=None if one is None else estimate(one)
        )
        for i, one in enumerate(recovered)
    ]


def minimal(prompt_id: str, *features: FeatureId) -> MinimalSet:
    """Certified; with no features, that of a prompt which is not flipped."""
    numbers = numbers_of(prompt_id)
    part = sum(prompt_id.encode()) % 64 / 64
    left = 1.25 + part
    return MinimalSet.example(
        numbers,
        prompt_id=prompt_id,
        features=tuple(sorted(features)),
        search="splitting",
        clean_score=4.0 + part,
        candidates_score=-3.0 - part if features else left,
        ablated_score=-0.5 - part / 2 if features else left,
        score_without={one: 0.75 + part + i / 8 for i, one in enumerate(sorted(features))},
        found_by_search=tuple(sorted(features)),
        filtered=tuple(sorted({*features, C})) if features else None,
        n_candidates=N_CANDIDATES,
        side_effects=SideEffects.example(numbers, within=True) if features else None,
        excluded=(),
        largest_given_up=0,
        reason=""
        if features
        else f"Ablating all {N_CANDIDATES} candidates leaves the score at {left:+.2f}.",
    )


def null_dictionaries(sets: Sequence[MinimalSet]) -> list[NullDictionary]:
    """Two of each kind, that flip the same prompts with other numbers of features."""
    return [
        NullDictionary(
            kind=kind,
            number=number,
            name="" if kind.drawn else f"others-{number}",
            sets=tuple(
                SearchedSet(
                    prompt_id=one.prompt_id,
                    features=tuple(FeatureId(1, 20 + i) for i in range(3 + j + 2 * number)),
                    n_candidates=N_CANDIDATES,
                    size=3 + j + 2 * number,
                    exact=True,
                    searched=True,
                    complied=None,
                    kl=0.001 * (1 + j + number) + i / 64,
                )
                for i, one in enumerate(sets)
            ),
        )
        for j, kind in enumerate(NullKind)
        for number in range(2)
    ]


def null_scores(prompt_id: str, n_pools: int = 49) -> NullScores:
    """Pools that leave the prompt refused, each at another score."""
    part = sum(prompt_id.encode()) % 64 / 64
    return NullScores(
        prompt_id=prompt_id, scores=tuple(2.0 + part + pool / 64 for pool in range(n_pools))
    )


def family(found: MinimalSet, *, n_others: int = 1, complete: bool = True) -> MinimalSetFamily:
    """The prompt's own set, and ones with another feature in place of its last."""
    last = [C, *(FeatureId(2, 900 + i) for i in range(n_others - 1))][:n_others]
    sets = (found.features, *(tuple(sorted({*found.features[:-1], one})) for one in last))
    return MinimalSetFamily.example(
        numbers_of(f"family of {found.prompt_id}"),
        prompt_id=found.prompt_id,
        sets=tuple(
            CertifiedSet(
                features=features,
                ablated_score=found.ablated_score - i / 16,
                score_without={one: 0.5 + i / 8 + j / 4 for j, one in enumerate(features)},
            )
            for i, features in enumerate(sets)
        ),
        complete=complete,
        contradicted=False,
    )


def filter_curve(flipped: Sequence[MinimalSet]) -> FilterCurve:
    """Of the first prompt's filtered set, in two sizes, without a probe at the second."""
    numbers = numbers_of("filter curve")
    return FilterCurve.example(
        numbers,
        built_on=(flipped[0].prompt_id,),
        ranking=flipped[0].filtered,
        points=(
            CurvePoint.example(numbers),
            CurvePoint.example(numbers, linear_probe=None),
        ),
    )


SETS = (
    *("filtered", "filtered_fm", "added_alone", "filtered_linear", "filtered_permuted"),
    *("filtered_random", "linear_probe", "top_cosine", "random_matched"),
)
"""Names of compared sets."""


def coactivation_fm(flipped: Sequence[MinimalSet], **given: Any) -> CoactivationFm:
    """Two added features, every set, p at its smallest."""
    numbers = numbers_of("co-activation")
    made = {
        "solver": "fm_bayes",
        "filtered": flipped[0].filtered,
        "fits": (
            CoactivationFit.example(numbers, solver="fm_bayes"),
            CoactivationFit.example(numbers, solver="fm_als"),
            CoactivationFit.example(numbers, solver="linear", rank=0, gain=None),
        ),
        "built_on": (flipped[0].prompt_id,),
        "held_out": tuple(one.prompt_id for one in flipped[1:]),
        "sets": tuple(ComparedSet.example(numbers, name=name) for name in SETS),
        "p_value": 0.02,
        "n_permutations": 49,
        "reason": "",
    }
    return CoactivationFm.example(numbers, **(made | given))


def scale(found: MinimalSet, at: float | None = None) -> FlipScale:
    """At 0.5 where the prompt was flipped; of others, on a grid up to twice the ablation, at `at`."""
    at = 0.5 if found.flipped else at
    grid = (0.0, 0.484375, 0.5, 1.0) if found.flipped else (0.0, 1.0, 1.984375, 2.0)
    zero = 3.0 if at is None else at
    return FlipScale(
        prompt_id=found.prompt_id,
        ablated="minimal_set" if found.flipped else "candidates",
        n_features=len(found.features) or found.n_candidates,
        scale=at,
        points=tuple(ScalePoint(scale=one, score=zero - one - 0.0078125) for one in grid),
        tolerance=0.02,
        n_sets_scored=len(grid) - 2,
    )


def rivals(numbers: Iterator[int]) -> Rivals:
    """A pooled set of two features that beats random sets, and no ranking by difference of means."""
    sizes = (1, 2)
    return Rivals.example(
        numbers,
        size=2,
        level=0.02,
        curves=tuple(
            RivalCurve.example(
                numbers,
                name=name,
                points=tuple(RivalPoint.example(numbers, size=size) for size in sizes),
            )
            for name in ("pooled", "random_norm", "mean_difference")
        ),
        tests=tuple(
            RivalTest.example(numbers, rival=rival, at_equal=equal, by=by, share=0.0, p_value=p)
            for rival, equal, by, p in (
                ("random_norm", "size", "score", 0.001),
                ("mean_difference", "size", "score", 0.003),
                ("mean_difference", "size", "text", 0.25),
                ("mean_difference", "side_effects", "text", 0.375),
            )
        ),
    )


def graph(scope: str) -> InteractionGraph:
    """A and B cover for each other; A and C do nothing that shows; A, B and C do something together."""
    numbers = numbers_of(scope)
    part = sum(scope.encode()) % 32 / 32
    pair = PairInteraction(
        a=A,
        b=B,
        weight=-1.5 - part,
        low=-2.125 - part,
        high=-1.0625 - part,
        kind=PairKind.REDUNDANT,
        lasso=-1.375 - part,
        beyond_curve=-1.25 - part,
        curve_low=-0.6875,
        curve_high=0.1875,
    )
    unclear = PairInteraction(
        a=A,
        b=C,
        weight=0.125,
        low=-0.1875,
        high=0.375,
        kind=PairKind.UNCLEAR,
        lasso=0.0625,
        beyond_curve=0.15625,
        curve_low=-0.46875,
        curve_high=0.40625,
    )
    return InteractionGraph.example(
        numbers,
        scope=scope,
        players=(A, B, C),
        design="random",
        solver="fm_bayes",
        r2=HeldOutR2.example(numbers, pairs_solver="lasso"),
        explained=None,
        fits=(
            *(
                SolverFit.example(numbers, solver=name)
                for name in ("walsh", "fm_bayes", "fm_als", "lasso")
            ),
            SolverFit.example(numbers, solver="linear", gain=None),
        ),
        pairs=(pair, unclear),
        null_weight=0.3125 + part / 4,
        null_beyond_curve=0.4375,
        reason="",
        triples=(TripleInteraction(a=A, b=B, c=C, weight=-0.8125, low=-1.125, high=-0.6875),),
        classifiers=(
            ClassifierFit.example(numbers, classifier="logistic_main", sign_agreement=None),
            ClassifierFit.example(numbers, classifier="logistic_l1"),
            ClassifierFit.example(numbers, classifier="fm_probit", sign_agreement=None),
        ),
    )


def computed_graph(scope: str) -> InteractionGraph:
    """The same pairs, computed from every mask there is."""
    return InteractionGraph.example(
        numbers_of(scope),
        scope=scope,
        players=(A, B, C),
        design="all",
        n_masks=8,
        n_held_out=0,
        solver="exact",
        rank=0,
        r2=None,
        explained=ExplainedExactly(linear=0.6, pairs=0.9, curve=0.7),
        fits=(),
        pairs=tuple(
            replace(one, low=one.weight, high=one.weight, lasso=None) for one in graph(scope).pairs
        ),
        null_weight=0.046875,
        null_beyond_curve=0.0546875,
        reason="",
        null_triple=None,
        triples=(),
        classifiers=(),
    )


def cascade(prompt_id: str, *waves: FeatureId, ratio: bool = True) -> Cascade:
    """One feature a wave, every later one activated by the ablation of A; `ratio`: of compensation."""
    numbers = numbers_of(prompt_id)
    part = sum(prompt_id.encode()) % 64 / 64
    total, direct, frozen = 1.5 - part / 2, 2.0 + part, 2.25 + part
    reason = "" if ratio else "the direct effect is too small"
    return Cascade.example(
        numbers,
        prompt_id=prompt_id,
        waves=tuple(
            Wave.example(
                numbers,
                features=(feature,),
                score_after=3.0 - 2.0 * i - part,
                **({} if i else {"n_activated": 0}),
                dormant=(DormantFeature.example(numbers, feature=feature, activated_by=(A,)),)
                if i
                else (),
            )
            for i, feature in enumerate(waves)
        ),
        tests=tuple(
            DormantTests.example(
                numbers,
                n_waves=i + 1,
                features=(feature,),
                direct_attributions=(part,),
                effects=(part + i,),
            )
            for i, feature in enumerate(waves[1:])
        ),
        held=(tuple(sorted(waves[1:])),) if waves[1:] else (),
        clean_score=4.0 + part,
        unplaced=(),
        effects=FirstWaveEffects(total=total, direct=direct, direct_frozen=frozen)
        if ratio
        else None,
        compensation_ratio=1.0 - total / direct if ratio else None,
        compensation_reason=reason,
        stop="no dormant feature activates",
        frozen_compensation_ratio=1.0 - total / frozen if ratio else None,
        frozen_reason=reason,
    )


def null(found: Cascade) -> CascadeNull:
    """A random set that does next to nothing, and nothing behind it."""
    numbers = numbers_of(f"chance of {found.prompt_id}")
    first = tuple(FeatureId(one.layer, one.index + 700) for one in found.waves[0].features)
    part = (found.clean_score - 4.0) / 8
    alone = Cascade.example(
        numbers,
        prompt_id=found.prompt_id,
        waves=(
            Wave(features=first, score_after=found.clean_score - 0.25, n_activated=0, dormant=()),
        ),
        tests=(),
        held=(),
        clean_score=found.clean_score,
        unplaced=(),
        effects=FirstWaveEffects(total=0.25, direct=0.375 + part, direct_frozen=0.5 + part),
        compensation_ratio=1.0 - 0.25 / (0.375 + part),
        compensation_reason="",
        frozen_compensation_ratio=1.0 - 0.25 / (0.5 + part),
        frozen_reason="",
    )
    return CascadeNull(prompt_id=found.prompt_id, cascade=alone)


def restoration(found: Cascade) -> Restoration:
    """Less is restored than features active all along hold up."""
    numbers = numbers_of(f"restoration of {found.prompt_id}")
    part = (found.clean_score - 4.0) / 8
    own = found.effects
    stand_ins = tuple(FeatureId(one.layer, one.index + 900) for one in found.waves[-1].features)
    return Restoration.example(
        numbers,
        prompt_id=found.prompt_id,
        restored=own.direct - own.total if own else None,
        n_held=sum(map(len, found.held)),
        n_stand_ins=sum(map(len, found.held)),
        stand_in_sets=(0.75 + part, 1.25 - part, 1.625),
        stand_in_attributions=(0.5, 0.25 + part, 0.125),
        stand_in_tests=tuple(
            StandInTests(
                n_waves=tests.n_waves,
                features=tests.features,
                effects=tests.effects,
                stand_ins=stand_ins,
                effects_stand_ins=(part,),
            )
            for tests in found.tests
        ),
        same_score=SameScore.example(numbers, restored=0.375 + part, effects=(0.5, part)),
        switched_off=SwitchedOff.example(numbers, n_features=4, n_off=1, n_weaker=3)
        if found.depth > 1
        else None,
        pooled_set=PooledSetWithoutDormant.example(numbers, score=-1.5, score_without=part),
    )


def edges(found: Cascade) -> ActivationEdges:
    """The first feature of the first wave activates all of the second, each in another way."""
    numbers = numbers_of(f"edges of {found.prompt_id}")
    activated = found.waves[1].features if found.depth > 1 else ()
    return ActivationEdges.example(
        numbers,
        prompt_id=found.prompt_id,
        edges=tuple(
            ActivationEdge.example(
                numbers,
                cause=found.waves[0].features[0],
                feature=feature,
                kind=tuple(EdgeKind)[i % 3],
                through=activated[:1] if i % 3 == 1 else (),
                n_controls=7,
                n_controls_activating=i + 2,
            )
            for i, feature in enumerate(activated)
        ),
        left_out=(),
    )


def activation_tokens(found: Cascade) -> ActivationTokens:
    """Where the features of a cascade activate, and what else does, in widely differing counts."""
    numbers = iter(Random(found.prompt_id).sample(range(2, 999), 500))
    return ActivationTokens.example(
        numbers,
        prompt_id=found.prompt_id,
        active=tuple(ActivatedFeatures.example(numbers, n_waves=i + 1) for i in range(found.depth)),
        activated=tuple(
            DormantPositions.example(numbers, feature=one.feature, wave=i + 1)
            for i, wave in enumerate(found.waves)
            for one in wave.dormant
        ),
    )


def feature_effect(n_turned: int, n: int, change: float, *, n_random: int = 0) -> FeatureEffect:
    """One that turns so many of `n` prompts, where random features turn others."""
    return FeatureEffect(
        turned=share(n_turned, n),
        score_change=estimate(change),
        turned_random=share(n_random, n),
        score_change_random=estimate(change / 16),
    )


def feature_profile(feature: FeatureId, scores: Sequence[PromptScore]) -> FeatureProfile:
    """One that ends 3 of 9 refusals alone and fires on all of 11 harmful prompts, most on the first."""
    part = feature.index / 64
    return FeatureProfile(
        feature=feature,
        alone=feature_effect(3, 9, -2.25 - part),
        in_part=feature_effect(1, 9, -0.75 - part),
        spared=feature_effect(7, 7, 3.5 + part, n_random=6),
        raised=feature_effect(2, 13, 1.5 + part, n_random=1),
        raised_to=4.5 + part,
        fires_harmful=share(11, 11),
        fires_harmless=share(5, 13),
        activations=ActivationCounts(
            largest=8.0 + part, harmful=(0, 1, 2, 8), harmless=(4, 1, 0, 0)
        ),
        categories=(
            CategoryFiring(label="harmful", category="arson", n=6, n_firing=4),
            CategoryFiring(label="harmless", category="cooking", n=8, n_firing=0),
        ),
        top=tuple(
            FiringPrompt(
                prompt_id=score.prompt_id,
                activation=8.0 + part - i,
                position=17 + i,
                n_tokens=23,
                token=TokenClass.TEMPLATE,
            )
            for i, score in enumerate(scores[:2])
        ),
        promoted=(LensToken(token=71, text=" sorry", logit=0.375 + part),),
        suppressed=(LensToken(token=73, text=" sure", logit=-0.4375 - part),),
        nearest=(NearRow(feature=FeatureId(feature.layer, 41), cosine=0.71),),
        nearest_elsewhere=(NearRow(feature=FeatureId(3 - feature.layer, 43), cosine=0.64),),
    )


def feature_profiles(
    flipped: Sequence[MinimalSet], scores: Sequence[PromptScore]
) -> FeatureProfiles:
    """Of every feature of these sets."""
    named = sorted({feature for one in flipped for feature in one.features})
    return FeatureProfiles(
        part=0.5,
        n_named=len(named) + 1,
        features=tuple(feature_profile(feature, scores) for feature in named),
    )
