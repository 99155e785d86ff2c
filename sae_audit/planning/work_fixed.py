"""Stages whose work settings, model and prompts decide: counted as the stages ask."""

from sae_audit.findings import CE_PROMPTS, CE_TOKENS
from sae_audit.planning.work_units import DISTINCT, Scale, Work

_COLLATERAL_TOKENS = 16
_BACKWARD = 2.0
"""A backward pass costs about two forward ones."""


def nothing(_: Scale) -> Work:
    """A stage that counts what others found, and asks the model nothing."""
    return Work(forward_passes=0)


def not_planned(_: Scale) -> None:
    """A stage of audits that claim no mechanism; a plan is that of one that does."""


def scores(scale: Scale) -> Work:
    # Where answers are judged, two are written beforehand: can they be, at that length?
    n_answers = 2 if scale.config.confirm == "text" else 0
    n = 2 * (scale.train + scale.validation + scale.audit) + n_answers
    return Work(
        forward_passes=n,
        layer_tokens=scale.whole(n) + n_answers * scale.n_layers * scale.config.answer_tokens,
        heads=n + n_answers * scale.config.answer_tokens,
    )


def direction_check(scale: Scale) -> Work:
    n_directions = 1 + scale.config.controls.random_directions
    effects = 3 * scale.audit * n_directions
    others = 2 * scale.train + 3 * scale.audit
    return Work(
        forward_passes=effects + others,
        layer_tokens=scale.whole(effects + others),
        edited_layer_tokens=scale.whole(2 * scale.audit * n_directions),
        heads=effects + others,
    )


def dictionary_coverage(scale: Scale) -> Work:
    # Harmful prompts are read twice, harmless ones for their place and for their mean; the
    # reconstruction is replaced in one pass, whole parts of a direction in two for each.
    readings = 3 * scale.audit + scale.train
    replaced = scale.audit * (3 + 2 * scale.config.controls.random_directions)
    questions = DISTINCT * scale.audit * scale.config.controls.random_sets
    return Work(
        forward_passes=readings + replaced + questions,
        layer_tokens=scale.whole(readings + replaced),
        swept_layer_tokens=scale.swept(questions),
        heads=readings + replaced,
        swept_heads=questions,
        encoded=scale.encoded(2 * (readings + scale.audit)),
    )


def sae_quality(scale: Scale) -> Work:
    n = 2 * scale.audit
    n_ce = min(2 * CE_PROMPTS, n)
    with_more_above = [layer for layer in scale.facts.saes if layer < scale.n_layers - 1]
    longer = scale.tokens + CE_TOKENS
    # Two streams branch off at each layer and run the layers above it.
    branched = sum(2 * n_ce * (scale.n_layers - 1 - layer) for layer in with_more_above)
    return Work(
        forward_passes=n + n_ce * (3 + 2 * len(with_more_above)),
        layer_tokens=scale.whole(n + n_ce) + scale.whole(2 * n_ce, longer) + branched * longer,
        heads=n,
        swept_heads=n_ce * CE_TOKENS * (2 + 2 * len(scale.facts.saes)),
        encoded=3 * scale.encoded(n) + 2 * n_ce * longer * scale.features,
        steps=scale.facts.batches(n_ce) * CE_TOKENS,
    )


def candidates(scale: Scale) -> Work:
    if scale.config.candidates.method == "cosine":
        return Work(forward_passes=0, encoded=float(scale.features))
    return attribution(scale, scale.train)


def attribution(scale: Scale, prompts: int) -> Work:
    steps = scale.config.attribution_steps
    points = 1 if steps == 1 else steps * len(scale.facts.saes)
    return Work(
        forward_passes=prompts * points,
        alone_layer_tokens=scale.whole(prompts * (1 + points * (1 + _BACKWARD))),
        alone_encoded=2 * scale.encoded(prompts),
    )


def sufficiency(scale: Scale) -> Work:
    # The minimal, the pooled and the whole cascade's set, each beside a random one.
    raised = 2 * 3 * scale.audit
    clean, read = 2 * scale.audit, scale.audit
    return Work(
        forward_passes=raised + clean + read,
        layer_tokens=scale.whole(scale.audit + read),
        alone_layer_tokens=scale.whole(scale.audit),
        swept_layer_tokens=raised * scale.facts.template_tokens * scale.above,
        heads=scale.audit + read,
        swept_heads=raised,
        encoded=scale.encoded(read),
    )


def controls(scale: Scale) -> Work:
    others = scale.config.controls.random_sets + 2
    questions = scale.audit * others + (scale.audit // 2) * (others + 1)
    if scale.config.dose.grid:
        questions += scale.audit * scale.config.controls.random_sets
    harmless = scale.audit * (others + 2)
    longer = scale.tokens + _COLLATERAL_TOKENS
    error = 3 * scale.audit
    return Work(
        forward_passes=questions + harmless + error,
        alone_layer_tokens=scale.whole(harmless, longer),
        swept_layer_tokens=scale.swept(questions + error),
        heads=harmless,
        swept_heads=questions + error + harmless * longer,
        encoded=2 * scale.encoded(2 * scale.audit),
        steps=scale.facts.batches(scale.audit) * _COLLATERAL_TOKENS,
    )


def confirmation(scale: Scale) -> Work | None:
    if scale.config.confirm != "text":
        return None
    answers = 4.5 * scale.audit
    batches = 4 * scale.facts.batches(scale.audit) + scale.facts.batches(scale.audit / 2)
    return Work(
        # Beside each the clean run of its prompt, which every piece of work is charged.
        forward_passes=2 * answers,
        layer_tokens=scale.whole(2 * answers),
        heads=answers,
        steps=batches * scale.config.answer_tokens,
    )
