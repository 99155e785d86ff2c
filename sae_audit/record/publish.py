"""A run's record in its published form."""

from collections.abc import Mapping
from dataclasses import asdict

from sae_audit.findings import (
    Absence,
    Cascade,
    FlipDose,
    InteractionGraph,
    MinimalSet,
    MinimalSetFamily,
    PooledSet,
    WidenedPool,
)
from sae_audit.record.findings_file import (
    Findings,
    PublishedAbsence,
    PublishedBehaviour,
    PublishedCandidate,
    PublishedCascade,
    PublishedChanceCascade,
    PublishedCost,
    PublishedDirection,
    PublishedDose,
    PublishedInteractions,
    PublishedMinimalSet,
    PublishedMinimalSetFamily,
    PublishedModel,
    PublishedPair,
    PublishedPooledSet,
    PublishedPrompts,
    PublishedSae,
    PublishedWave,
)
from sae_audit.record.run import Run


def published(run: Run) -> Findings:
    """What `findings.json` says of a run; nothing is left out that the record holds."""
    stages = run.manifest.stages
    by_scope = {graph.scope: _interactions(graph) for graph in run.interactions}
    model = run.manifest.model.model_dump(include=set(PublishedModel.model_fields))
    return Findings(
        model=PublishedModel(**model),
        saes=_saes(run),
        prompts=_prompts(run),
        behaviour=PublishedBehaviour.model_validate(asdict(run.behaviour)),
        absence=_absence(run.absence),
        direction=None if run.stopped_early else _direction(run),
        dictionary_coverage=run.dictionary_coverage,
        candidates=[] if run.stopped_early else _candidates(run),
        minimal_sets=[_minimal_set(found, run.widened) for found in run.minimal_sets],
        minimal_set_families=[_family(found) for found in run.minimal_set_families],
        doses=[_dose(found) for found in run.doses],
        pooled_set=_pooled(run.pooled_set),
        interactions=by_scope.pop("pooled", None),
        interactions_by_prompt=list(by_scope.values()),
        interactions_over_prompts=run.interactions_over_prompts,
        cascades=_cascades(run),
        pooled_cascade=run.pooled_cascade,
        controls=run.controls,
        sufficiency=run.sufficiency,
        chance_control=run.chance_control,
        confirmation=run.confirmation,
        cost=PublishedCost(
            forward_passes=sum(stage.forward_passes for stage in stages),
            tokens=sum(stage.tokens for stage in stages),
        ),
    )


def _saes(run: Run) -> list[PublishedSae]:
    measured = {one.layer: one for one in run.quality}
    return [
        PublishedSae(
            layer=sae.layer,
            release=sae.release,
            repository=sae.repository,
            revision=sae.revision,
            id=sae.id,
            width=sae.width,
            architecture=sae.architecture,
            hook_name=sae.hook_name,
            explained_variance=measured[sae.layer].explained_variance,
            explained_variance_without_bos=measured[sae.layer].explained_variance_without_bos,
            explained_variance_shuffled=measured[sae.layer].explained_variance_shuffled,
            l0=measured[sae.layer].l0,
            ce_recovered=measured[sae.layer].ce_recovered,
        )
        for sae in run.manifest.saes
    ]


def _candidates(run: Run) -> list[PublishedCandidate]:
    return [
        PublishedCandidate(feature=c.feature, cosine=c.cosine, attribution=c.attribution)
        for c in run.candidates.candidates
    ]


def _prompts(run: Run) -> PublishedPrompts:
    audited = [score for score in run.scores if score.split == "audit"]

    def count(label: str, *, refused: bool) -> int:
        return sum(s.label == label and (not refused or s.score > 0.0) for s in audited)

    return PublishedPrompts(
        harmful=count("harmful", refused=False),
        harmless=count("harmless", refused=False),
        refused_harmful=count("harmful", refused=True),
        refused_harmless=count("harmless", refused=True),
    )


def _absence(found: Absence | None) -> PublishedAbsence | None:
    if found is None:
        return None
    return PublishedAbsence(
        kind=found.kind, reason=found.reason, also=list(found.also), remedy=found.remedy
    )


def _direction(run: Run) -> PublishedDirection:
    found = run.direction
    return PublishedDirection(
        method=found.method,
        layer=found.selected.layer,
        position=found.selected.position,
        bypass=found.selected.bypass,
        induce=found.selected.induce,
        kl=found.selected.kl,
        clean_harmful=found.clean_harmful,
        clean_harmless=found.clean_harmless,
        n_validation=found.n_validation,
        check=run.direction_check,
        successive=run.successive_directions,
    )


def _minimal_set(found: MinimalSet, widened: Mapping[str, WidenedPool]) -> PublishedMinimalSet:
    added = widened[found.prompt_id].added
    return PublishedMinimalSet(
        prompt_id=found.prompt_id,
        features=list(found.features),
        clean_score=found.clean_score,
        ablated_score=found.ablated_score,
        flipped=found.flipped,
        certified=found.certified,
        candidates=found.n_candidates,
        widened_by=[feature for features in added for feature in features],
        forward_passes=found.n_sets_scored,
        reason=found.reason,
    )


def _family(found: MinimalSetFamily) -> PublishedMinimalSetFamily:
    return PublishedMinimalSetFamily(
        prompt_id=found.prompt_id,
        sets=[list(one.features) for one in found.sets],
        complete=found.complete,
        contradicted=found.contradicted,
        core=list(found.core),
        replaceable=list(found.replaceable),
        forward_passes=found.n_sets_scored,
    )


def _dose(found: FlipDose) -> PublishedDose:
    return PublishedDose(
        prompt_id=found.prompt_id,
        ablated=found.ablated,
        dose=found.dose,
        score=found.score,
        dose_below=found.dose_below,
        score_below=found.score_below,
    )


def _pooled(pooled: PooledSet | None) -> PublishedPooledSet | None:
    if pooled is None:
        return None
    return PublishedPooledSet(
        features=list(pooled.features),
        flipped_built=pooled.flipped_built,
        flipped_held_out=pooled.flipped_held_out,
    )


def _interactions(graph: InteractionGraph) -> PublishedInteractions:
    return PublishedInteractions(
        scope=graph.scope,
        n_prompts=graph.n_prompts,
        solver=graph.solver,
        rank=graph.rank,
        design=graph.design,
        n_masks=graph.n_masks,
        n_held_out=graph.n_held_out,
        r2=graph.r2,
        explained=graph.explained,
        fits=list(graph.fits),
        null_weight=graph.null_weight,
        pairs=[
            PublishedPair(
                a=pair.a,
                b=pair.b,
                weight=pair.weight,
                low=pair.low,
                high=pair.high,
                kind=pair.kind,
                lasso=pair.lasso,
            )
            for pair in graph.pairs
        ],
        reason=graph.reason,
        null_triple=graph.null_triple,
        triples=list(graph.triples),
        classifiers=list(graph.classifiers),
    )


def _cascades(run: Run) -> list[PublishedCascade]:
    edges = {one.prompt_id: list(one.edges) for one in run.edges}
    waking = {one.prompt_id: one for one in run.waking}
    by_chance = {one.prompt_id: one.cascade for one in run.cascades_by_chance}
    return [
        PublishedCascade(
            prompt_id=found.prompt_id,
            waves=_waves(found),
            depth=found.depth,
            effects=found.effects,
            compensation_ratio=found.compensation_ratio,
            frozen_compensation_ratio=found.frozen_compensation_ratio,
            stop=found.stop,
            edges=edges.get(found.prompt_id, []),
            waking=waking.get(found.prompt_id),
            by_chance=_by_chance(by_chance.get(found.prompt_id)),
        )
        for found in run.cascades
    ]


def _by_chance(found: Cascade | None) -> PublishedChanceCascade | None:
    if found is None:
        return None
    return PublishedChanceCascade(
        waves=_waves(found), depth=found.depth, effects=found.effects, stop=found.stop
    )


def _waves(found: Cascade) -> list[PublishedWave]:
    return [
        PublishedWave(features=list(wave.features), score_after=wave.score_after)
        for wave in found.waves
    ]
