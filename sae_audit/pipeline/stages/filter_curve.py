"""Flips of validation prompts against set size, along the ranking of greedy filtering (2509.09708)."""

from sae_audit.controls.filtering import curve_points, pooled_ranking
from sae_audit.findings import FilterCurve
from sae_audit.findings.stages import FILTER_CURVE, POOLED_SET
from sae_audit.pipeline.baseline_sets import baseline_sets
from sae_audit.pipeline.pricing import DISTINCT, AuditSize, Work
from sae_audit.pipeline.state import AuditState

STAGE = FILTER_CURVE

_SIZES = 8
"""Number of sizes, if the prompts' filtered sets hold up to 128 features together."""


def run(state: AuditState) -> None:
    """Record the curve; nothing for other searches, without a flipped building prompt, or if no
    validation prompt is refused."""
    pooled, validation = state.session.if_found(POOLED_SET), state.prompts.validation.harmful
    if pooled is None or state.config.minimal.search != "greedy" or not validation:
        return

    def compute() -> FilterCurve:
        baselines, seed = baseline_sets(state), state.config.seed
        built = [
            one for one in state.minimal_sets if one.flipped and one.prompt_id in pooled.built_on
        ]
        ranking = pooled_ranking(built, state.candidates.ranked)
        return FilterCurve(
            built_on=tuple(one.prompt_id for one in built),
            ranking=tuple(ranking),
            points=curve_points(
                {prompt.id: state.score_of(prompt) for prompt in validation},
                ranking,
                baselines.probe,
                lambda head: (
                    baselines.random(head, seed) if baselines.has_others_enough(head) else []
                ),
            ),
        )

    state.session.remember(STAGE, compute)


def price(size: AuditSize) -> Work | None:
    if size.config.minimal.search != "greedy":
        return None
    questions = DISTINCT * size.validation * (_SIZES * (2 + size.config.controls.random_sets) + 1)
    return Work(
        forward_passes=questions + size.validation,
        alone_layer_tokens=size.whole(size.validation),
        swept_layer_tokens=size.swept(questions),
        heads=size.validation,
        swept_heads=questions,
        assumed=f"{1 << (_SIZES - 1)} features in all filtered sets together",
    )
