"""A small, valid run folder without a model: written by the real store and schema."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sae_audit.config import AuditConfig, PromptSettings
from sae_audit.controls.chance import against_chance
from sae_audit.direction.presence import behaviour
from sae_audit.direction.selectors.bypass import BYPASS, INDUCE, KL
from sae_audit.findings import (
    Absence,
    AbsenceKind,
    Behaviour,
    Candidate,
    CandidateSet,
    Cascade,
    CertifiedSet,
    ChanceControl,
    ClassifierFit,
    Collateral,
    Controlled,
    Controls,
    DictionaryCoverage,
    Direction,
    DirectionCheck,
    DirectionEvaluation,
    DirectionOut,
    DirectionSelection,
    DosePoint,
    ErrorTermControl,
    Estimate,
    ExplainedExactly,
    FlipDose,
    HeldOutR2,
    InteractionGraph,
    InteractionsOverPrompts,
    LayerCoverage,
    MinimalSet,
    MinimalSetFamily,
    NearestDirection,
    NoDirection,
    PairInteraction,
    PairKind,
    PooledSet,
    PromptScore,
    RandomRange,
    SaeQuality,
    SetControl,
    SolverFit,
    SuccessiveDirections,
    TripleInteraction,
    Wake,
    Wave,
    WidenedPool,
)
from sae_audit.findings.stages import POOLED, STAGE_OF
from sae_audit.interactions.over_prompts import over_prompts
from sae_audit.record import folder as folders
from sae_audit.record import layout
from sae_audit.record.facts import (
    Environment,
    Manifest,
    ModelFacts,
    PromptSourceFacts,
    RefusalTokenFacts,
    SaeFacts,
    StageFacts,
)
from sae_audit.record.identity import RunIdentity, run_identity
from sae_audit.record.publish import published
from sae_audit.record.run import Run
from sae_audit.record.store import Spent
from sae_audit.statistics import share
from sae_audit.vocabulary import FeatureId
from tests.synthetic_cascades import depth_records, first_wave_effects

A, B, C = FeatureId(1, 3), FeatureId(2, 5), FeatureId(2, 8)
N_LAYERS, D_MODEL, N_TEMPLATE = 4, 8, 2
COST = Spent(forward_passes=10, tokens=200, seconds=0.5)
IDENTITY = RunIdentity(parts={"version": "0.1.0"})
"""Of runs that are begun and never read."""


def estimate(value: float = 0.5) -> Estimate:
    return Estimate(value=value, low=value - 0.1, high=value + 0.1, n=7, method="Wilson 95%")


def write_means(folder: Path, means: dict[str, np.ndarray]) -> None:
    """Recorded means, of groups of two prompts that are all alike."""
    folders.write_tensors(folder, "means", means)
    by_group = {label: np.stack([own] * 10).astype(np.float32) for label, own in means.items()}
    counts = {f"n_{label}": np.full(10, 2) for label in means}
    folders.write_tensors(folder, "means_by_group", by_group | counts)


def prompt_scores(
    harmful: list[float], harmless: list[float], *, ids: str = "p", category: str = ""
) -> list[PromptScore]:
    """Audit prompts with given clean scores."""
    labelled = [("harmful", s) for s in harmful] + [("harmless", s) for s in harmless]
    return [
        PromptScore(
            prompt_id=f"{ids}{i}", split="audit", label=label, category=category, score=score
        )
        for i, (label, score) in enumerate(labelled)
    ]


def minimal(prompt_id: str, *features: FeatureId) -> MinimalSet:
    return MinimalSet(
        prompt_id=prompt_id,
        features=tuple(sorted(features)),
        clean_score=4.0,
        candidates_score=-3.0 if features else 1.25,
        ablated_score=-0.5 if features else 1.25,
        score_without=dict.fromkeys(sorted(features), 0.75),
        search="splitting",
        found_by_search=tuple(sorted(features)),
        n_candidates=12,
        n_sets_scored=40,
        reason="" if features else "Ablating all 12 candidates leaves the score at +1.25.",
    )


def family(found: MinimalSet) -> MinimalSetFamily:
    """The prompt's own set, and one that holds C instead of its last feature."""
    other = tuple(sorted({*found.features[:-1], C}))
    return MinimalSetFamily(
        prompt_id=found.prompt_id,
        sets=tuple(
            CertifiedSet(
                features=features, ablated_score=-0.5, score_without=dict.fromkeys(features, 0.75)
            )
            for features in (found.features, other)
        ),
        complete=True,
        contradicted=False,
        n_sets_scored=11,
    )


def dose(found: MinimalSet) -> FlipDose:
    """Halfway, where the prompt was flipped; else none up to twice the ablation of all."""
    grid = (0.0, 0.484375, 0.5, 1.0) if found.flipped else (0.0, 1.0, 2.0)
    return FlipDose(
        prompt_id=found.prompt_id,
        ablated="minimal_set" if found.flipped else "candidates",
        n_features=len(found.features) or found.n_candidates,
        dose=0.5 if found.flipped else None,
        points=tuple(
            DosePoint(dose=at, score=(0.4921875 if found.flipped else 2.25) - at) for at in grid
        ),
        tolerance=0.02,
        n_sets_scored=len(grid) - 2,
    )


def absence(kind: AbsenceKind) -> Absence:
    return Absence(
        kind=kind, reason="Of 4 prompts 0 say so.", also=(), remedy="Look again.", n_train=(8, 8)
    )


def cascade(prompt_id: str, *waves: FeatureId, ratio: float | None = 0.25) -> Cascade:
    """One feature a wave; the live direct effect is 2 nats."""
    return Cascade(
        prompt_id=prompt_id,
        waves=tuple(
            Wave(
                features=(feature,),
                score_after=3.0 - 2.0 * number,
                n_awake=number,
                wakes=()
                if number == 0
                else (Wake(feature=feature, activation=1.0, pull=2.0, effect=0.5, woken_by=(A,)),),
            )
            for number, feature in enumerate(waves)
        ),
        clean_score=4.0,
        unplaced=(),
        effects=None if ratio is None else first_wave_effects(ratio, ratio + 0.0625),
        compensation_ratio=ratio,
        compensation_reason="" if ratio is not None else "the direct effect is too small",
        stop="no dormant feature wakes",
        n_sets_scored=9,
        frozen_compensation_ratio=None if ratio is None else ratio + 0.0625,
        frozen_reason="" if ratio is not None else "the direct effect is too small",
    )


def graph(scope: str) -> InteractionGraph:
    pair = PairInteraction(
        a=A, b=B, weight=-1.5, low=-2.0, high=-1.0, kind=PairKind.REDUNDANT, lasso=-1.4
    )
    unclear = replace(pair, b=C, weight=0.1, low=-0.2, high=0.4, kind=PairKind.UNCLEAR)
    solvers = ("walsh", "fm_bayes", "fm_als", "lasso", "linear")
    fits = zip(solvers, (0.98, 0.97, 0.96, 0.95, 0.7), strict=True)
    return InteractionGraph(
        scope=scope,
        n_prompts=3 if scope == "pooled" else 1,
        players=(A, B, C),
        design="random",
        n_masks=128,
        n_held_out=32,
        solver="fm_bayes",
        rank=2,
        r2=held_out_r2(),
        explained=None,
        fits=tuple(
            SolverFit(
                solver=name,
                coding="zero_one",
                rank=2,
                l2=0.5,
                r2_held_out=estimate(r2),
                gain=None if name == "linear" else estimate(r2 - 0.7),
            )
            for name, r2 in fits
        ),
        pairs=(pair, unclear),
        null_weight=0.3,
        n_sets_scored=128,
        reason="",
        null_triple=0.45,
        triples=(TripleInteraction(a=A, b=B, c=C, weight=-0.8, low=-1.0, high=-0.6),),
        classifiers=tuple(
            ClassifierFit(
                classifier=name,
                auroc_held_out=estimate(value),
                n_refused=20,
                n_complied=12,
                sign_agreement=agreement,
            )
            for name, value, agreement in (
                ("logistic_main", 0.90625, None),
                ("logistic_l1", 0.953125, share(1, 1)),
                ("fm_probit", 0.9375, None),
            )
        ),
    )


def computed_graph(scope: str) -> InteractionGraph:
    """The same pairs, computed from every mask there is."""
    found = graph(scope)
    return replace(
        found,
        design="all",
        n_masks=8,
        n_held_out=0,
        solver="exact",
        rank=0,
        r2=None,
        explained=ExplainedExactly(linear=0.6, pairs=0.9),
        fits=(),
        pairs=tuple(replace(p, low=p.weight, high=p.weight, lasso=None) for p in found.pairs),
        null_weight=0.05,
        null_triple=None,
        triples=(),
        classifiers=(),
    )


def held_out_r2() -> HeldOutR2:
    return HeldOutR2(
        solver=estimate(0.97),
        linear=estimate(0.7),
        gain=estimate(0.27),
        pairs=estimate(0.96),
        pairs_solver="lasso",
        beyond_pairs=estimate(0.02),
        half_masks=estimate(0.9),
        other_half=estimate(0.07),
    )


def controls(*, empty: bool = False) -> Controls:
    if empty:
        return Controls(per_prompt=(), pooled=(), collateral=(), error_term=None)
    names = ("random_matched", "linear_probe", "top_cosine")

    def sets(own: str) -> tuple[SetControl, ...]:
        return tuple(
            SetControl(name=name, flipped=estimate(), score_drop=estimate(2.0))
            for name in (own, *names)
        )

    return Controls(
        per_prompt=sets("minimal"),
        pooled=sets("pooled"),
        collateral=tuple(
            Collateral(name=name, kl=estimate(0.2), cross_entropy_change=estimate(0.3))
            for name in ("pooled", *names)
        ),
        error_term=ErrorTermControl(
            flipped_kept=estimate(1.0),
            flipped_frozen=estimate(0.9),
            flipped_dropped=estimate(0.8),
            change_frozen=estimate(0.125),
            change_dropped=estimate(0.25),
            refused_dropped_alone=estimate(0.9),
        ),
    )


def random_range(mean: float) -> RandomRange:
    return RandomRange(mean=mean, lowest=mean - 0.05, highest=mean + 0.05, n=10)


BY_BYPASS = DirectionSelection(
    method="bypass",
    rule="the lowest bypass among those that pass every filter",
    source="2406.11717",
    measures=(BYPASS, INDUCE, KL),
    filters=("layer below the last 20%", "KL at most 0.1 nats", "induce at least 0.0 nats"),
)


def successive_directions(needed: dict[str, int] | None = None) -> SuccessiveDirections:
    def out(layer: int, refused: float) -> DirectionOut:
        return DirectionOut(
            layer=layer,
            position=-1,
            n_train=(12, 12),
            refused=Controlled(own=estimate(refused), random=random_range(0.9)),
            score=Controlled(own=estimate(6.0 * refused - 3.0), random=random_range(3.5)),
            answered=Controlled(own=estimate(0.95), random=random_range(0.9)),
            kl=Controlled(own=estimate(0.02), random=random_range(0.06)),
        )

    return SuccessiveDirections(
        directions=(out(1, 0.625), out(2, 0.0625)),
        needed=needed or {"a": 1, "b": 2, "c": 3},
        depth=estimate(2.0),
        stop="6% of validation prompts are still refused, at most 10% (direction.until_refused)",
    )


def direction_check() -> DirectionCheck:
    def controlled(value: float, random: float) -> Controlled:
        return Controlled(own=estimate(value), random=random_range(random))

    return DirectionCheck(
        clean_harmful=estimate(4.0),
        clean_harmless=estimate(-5.0),
        bypass=controlled(-3.25, 3.9),
        flipped=controlled(0.875, 0.05),
        induce=controlled(1.5, -4.75),
        induced=controlled(0.75, 0.05),
        answered=controlled(0.9375, 0.9),
        kl=controlled(0.02, 0.06),
        stability=controlled(0.875, 0.7),
    )


def dictionary_coverage(layers: tuple[int, ...] = (1, 2), reason: str = "") -> DictionaryCoverage:
    """Candidates leave 8% undone, the SAEs show all but 3%; layer 1 has no gap to speak of."""
    share = None if reason else estimate(0.03)
    random = None if reason else random_range(0.06)
    return DictionaryCoverage(
        clean=estimate(4.0),
        candidates=estimate(-3.0),
        dictionary=estimate(-3.5),
        direction=estimate(-3.75),
        error=estimate(3.75),
        hidden_from_candidates=None if reason else estimate(0.08),
        hidden_from_dictionary=share,
        carried_by_error=share,
        random_features=random,
        random_direction=random,
        random_error=random,
        reason=reason,
        layers=tuple(
            LayerCoverage(
                layer=layer,
                gap=estimate(0.05 if i == 0 else 7.0),
                in_reconstruction=None if i == 0 else estimate(0.9),
                in_error=None if i == 0 else estimate(0.1),
                gap_random=random_range(0.0),
                slope=0.875,
                random=random_range(0.8),
                nearest_rows=0.5,
                nearest_rows_random=random_range(0.2),
            )
            for i, layer in enumerate(layers)
        ),
    )


def no_direction(evaluations: tuple[DirectionEvaluation, ...]) -> NoDirection:
    return NoDirection(
        method="difference_of_means",
        selection=BY_BYPASS,
        nearest=NearestDirection(
            evaluation=evaluations[0], failed=("KL 0.300 above 0.1 nats",), reason="None passes."
        ),
        evaluations=evaluations,
        clean_harmful=4.0,
        clean_harmless=-5.0,
        n_train=(8, 8),
        n_validation=(4, 4),
    )


def synthetic_run(
    folder: Path,
    *,
    scores: list[PromptScore] | None = None,
    minimal_sets: list[MinimalSet] | None = None,
    cascades: list[Cascade] | None = None,
    graphs: list[InteractionGraph] | None = None,
    flipped: bool = True,
    model: str = "tiny",
    sae_sha256: str = "5ae",
    refusal_ids: tuple[int, ...] = (7,),
    means: dict[str, np.ndarray] | None = None,
    directions_needed: dict[str, int] | None = None,
    why_no_shares: str = "",
    ce_recovered: tuple[float | None, float | None] = (0.975, 0.963),
    absent: AbsenceKind | None = None,
    **settings: object,
) -> Run:
    """A finished run in `folder`; with `flipped=False`, one in which nothing could be flipped, with
    `absent`, one in which no mechanism is claimed.
    """
    config = AuditConfig(
        model="models/tiny",
        saes="saes/tiny",
        prompts=PromptSettings(sources=("prompts.jsonl",)),
        **settings,  # pyright: ignore[reportArgumentType]
    )
    if absent is not None and absent.early:
        flipped = False
    scores = scores or prompt_scores([4.0, 3.0], [-5.0, -6.0])
    refused = [s.prompt_id for s in scores if s.label == "harmful" and s.score > 0]
    if minimal_sets is None:
        minimal_sets = [minimal(p, A, B) if flipped else minimal(p) for p in refused]
    if cascades is None:
        cascades = [cascade(m.prompt_id, A, B) for m in minimal_sets if m.flipped]
    pooled = (
        PooledSet(
            features=(A, B),
            built_on=tuple(refused[:1]),
            held_out=tuple(refused[1:]),
            flipped_built=estimate(1.0),
            flipped_held_out=estimate(0.8),
            share_without={A: 0.0, B: 0.0},
            n_sets_scored=30,
        )
        if flipped
        else None
    )
    layout.discard(folder)
    identity = run_identity(config, "0.1.0", {})
    store = folders.begin(folder, config, identity, "sae-audit audit x")
    evaluations = tuple(
        DirectionEvaluation(
            position=position, layer=layer, bypass=-layer - 0.5, induce=1.0, kl=0.01 * layer
        )
        for layer in range(N_LAYERS)
        for position in range(-N_TEMPLATE, 0)
    )
    records: dict[tuple[str, Any], list[Any]] = {
        ("scores", list[PromptScore]): [scores],
        ("direction", Direction): [
            Direction(
                method="difference_of_means",
                selection=BY_BYPASS,
                selected=evaluations[5],
                evaluations=evaluations,
                vector=(1.0,) * D_MODEL,
                clean_harmful=4.0,
                clean_harmless=-5.0,
                n_train=(8, 8),
                n_validation=(4, 4),
            )
        ],
        ("direction_check", DirectionCheck): [direction_check()],
        ("successive_directions", SuccessiveDirections): (
            [successive_directions(directions_needed)]
        ),
        ("dictionary_coverage", DictionaryCoverage): ([dictionary_coverage(reason=why_no_shares)]),
        ("sae_quality", list[SaeQuality]): [
            [
                SaeQuality(
                    layer=i,
                    explained_variance=estimate(0.9 + i / 100),
                    explained_variance_without_bos=estimate(0.8 + i / 100),
                    explained_variance_shuffled=estimate(-0.5),
                    l0=estimate(12.5),
                    ce_recovered=None if recovered is None else estimate(recovered),
                    ce_clean=estimate(2.25),
                )
                for i, recovered in zip((1, 2), ce_recovered, strict=True)
            ]
        ],
        ("candidates", CandidateSet): [
            CandidateSet(
                method="cosine",
                per_layer=2,
                candidates=tuple(Candidate(feature=f, cosine=0.5) for f in (A, B, C)),
            )
        ],
        ("widening", WidenedPool): [
            WidenedPool(prompt_id=one.prompt_id, added=(), scores=(one.candidates_score,))
            for one in minimal_sets
        ],
        ("minimal_sets", MinimalSet): minimal_sets,
        ("minimal_set_families", MinimalSetFamily): [
            family(found) for found in minimal_sets if found.flipped
        ],
        ("doses", FlipDose): [dose(found) for found in minimal_sets],
        ("search_by_chance", MinimalSet): [minimal(m.prompt_id) for m in minimal_sets],
        ("pooled_set", PooledSet): [pooled] if pooled else [],
        ("interactions", InteractionGraph): (
            (graphs or [graph(refused[0]), graph("pooled")]) if flipped else []
        ),
        ("cascades", Cascade): cascades,
        ("controls", Controls): [controls(empty=not flipped)],
    }
    of_prompts = [one for one in records[("interactions", InteractionGraph)] if one.scope != POOLED]
    of_pooled = [one for one in records[("interactions", InteractionGraph)] if one.scope == POOLED]
    records |= {
        ("behaviour", Behaviour): [behaviour(scores, seed=config.seed)],
        ("chance_control", ChanceControl): [
            against_chance(
                minimal_sets,
                records[("search_by_chance", MinimalSet)],
                margin=config.evidence.margin,
            )
        ]
        if minimal_sets
        else [],
        ("interactions_over_prompts", InteractionsOverPrompts): [
            over_prompts(
                of_prompts,
                of_pooled[0] if of_pooled else None,
                n_shuffles=config.interactions.n_shuffles,
                seed=config.seed,
            )
        ]
        if of_prompts
        else [],
    }
    if absent is not None:
        records[("absence", Absence)] = [absence(absent)]
    if absent is not None and absent.early:
        kept = ("scores", "behaviour", "sae_quality", "absence")
        records = {key: found for key, found in records.items() if key[0] in kept}
    if absent is AbsenceKind.NO_DIRECTION:
        records[("direction", NoDirection)] = [no_direction(evaluations)]
    for (stage, _), objects in records.items():
        for number, one in enumerate(objects):
            store.put(STAGE_OF[stage], str(number), one, COST)
    for stage, key, _, one in depth_records(cascades):
        store.put(STAGE_OF[stage], key, one, COST)
    rng = np.random.default_rng(0)
    shape = (N_LAYERS, N_TEMPLATE, D_MODEL)
    default = {"harmful": rng.normal(size=shape), "harmless": rng.normal(size=shape)}
    write_means(folder, means or default)
    folders.write_tensors(folder, "random_directions", {"directions": np.eye(D_MODEL)[-3:]})
    folders.write_tensors(folder, "successive_directions", {"units": np.eye(D_MODEL)[:1]})
    facts = manifest(model, sae_sha256, refusal_ids, store.costs(), identity.sha256)
    folders.write_manifest(folder, facts)
    run = Run(folder)
    folders.write_findings(folder, published(run))
    store.set_fact("finished", folders.now())
    store.close()
    return Run(folder)


def manifest(
    model: str = "tiny",
    sae_sha256: str = "5ae",
    refusal_ids: tuple[int, ...] = (7,),
    stages: tuple[StageFacts, ...] = (),
    identity: str = "",
) -> Manifest:
    return Manifest(
        sae_audit="0.1.0",
        started="2026-01-01T00:00:00+00:00",
        finished="2026-01-01T00:05:00+00:00",
        identity=identity,
        command="sae-audit audit x",
        seed=0,
        model=ModelFacts(
            id=model,
            revision="",
            sha256="abc" * 21,
            n_layers=N_LAYERS,
            d_model=D_MODEL,
            architecture="TinyForCausalLM",
            dtype="float32",
            device="cpu",
        ),
        saes=tuple(
            SaeFacts(
                layer=layer,
                release="saes/tiny",
                repository="",
                revision="",
                id=f"layer_{layer}",
                width=64,
                architecture="jumprelu",
                hook_name=f"blocks.{layer}.hook_resid_post",
                sha256=sae_sha256,
            )
            for layer in (1, 2)
        ),
        refusal_tokens=RefusalTokenFacts(
            ids=refusal_ids, texts=("I",) * len(refusal_ids), source="given"
        ),
        template_tokens=("<end_of_turn>", "\n"),
        prompt_sources=(
            PromptSourceFacts(
                source="prompts.jsonl", revision="", sha256="def" * 21, n_prompts=72, set_aside={}
            ),
        ),
        environment=Environment(
            python="3.11",
            platform="Linux x86_64",
            packages={"torch": "2"},
            cores=2,
            memory_bytes=10**9,
            accelerator="",
        ),
        stages=stages,
        peak_memory_bytes=10**9,
    )
