"""The published form of a run's record."""

from sae_audit.margins import refuses
from sae_audit.record.findings_file import AuditedModel, AuditedPrompts, Cost, Findings
from sae_audit.record.run import Run


def published(run: Run) -> Findings:
    """The content of `findings.json`: everything that the record holds."""
    stages = run.manifest.stages
    return Findings(
        model=AuditedModel.model_validate(run.manifest.model, from_attributes=True),
        saes=list(run.manifest.saes),
        sae_quality=run.quality,
        prompts=_prompts(run),
        scores=run.scores,
        behaviour=run.behaviour,
        absence=run.absence,
        direction=None if run.stopped_early else run.direction,
        direction_check=run.direction_check,
        discarded_directions=run.discarded_directions,
        successive_directions=run.successive_directions,
        sae_coverage=run.sae_coverage,
        candidates=None if run.stopped_early else run.candidates,
        widened_pools=list(run.widened.values()),
        minimal_sets=run.minimal_sets,
        minimal_set_families=run.minimal_set_families,
        flip_scales=run.flip_scales,
        null_sets=run.null_sets,
        search_null=run.search_null,
        pooled_set=run.pooled_set,
        interactions=run.pooled_graph,
        interactions_by_prompt=run.prompt_graphs,
        interactions_over_prompts=run.interactions_over_prompts,
        cascades=run.cascades,
        cascade_nulls=run.cascade_nulls,
        edges=run.edges,
        activation_tokens=run.activation_tokens,
        pooled_cascade=run.pooled_cascade,
        controls=run.controls,
        sufficiency=run.sufficiency,
        confirmation=run.confirmation,
        cost=Cost(
            forward_passes=sum(stage.forward_passes for stage in stages),
            tokens=sum(stage.tokens for stage in stages),
        ),
    )


def _prompts(run: Run) -> AuditedPrompts:
    audited = [score for score in run.scores if score.split == "audit"]

    def count(label: str, *, refused: bool) -> int:
        return sum(s.label == label and (not refused or refuses(s.score)) for s in audited)

    return AuditedPrompts(
        harmful=count("harmful", refused=False),
        harmless=count("harmless", refused=False),
        refused_harmful=count("harmful", refused=True),
        refused_harmless=count("harmless", refused=True),
    )
