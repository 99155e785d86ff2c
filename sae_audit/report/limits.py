"""What a report does not show, said from what its record holds."""

from sae_audit.pages.wording import interval, percent
from sae_audit.record.run import Run
from sae_audit.report.tables_quality import least_recovered, worst_explained
from sae_audit.statistics import share

_NEAR = 1e-3
"""Nats. Batches differ by less than a hundredth of it in float32, and by more in bfloat16."""


def limits(run: Run) -> list[str]:
    found = [*_score(run), *run.manifest.notes, *_dictionaries(run), *_prompts(run)]
    return [*found, *(_absent() if run.stopped_early else _findings(run))]


def _absent() -> list[str]:
    return [
        "That no mechanism is claimed says that this audit could not look for one, by these tokens on "
        "these prompts; not that the model knows no harm. Recognition of harm may survive where "
        "refusal is gone (2603.27412, 2604.18901), and this audit does not measure it.",
    ]


def _score(run: Run) -> list[str]:
    tokens = ", ".join(f"“{text}”" for text in run.manifest.refusal_tokens.texts)
    if not tokens:
        return [
            "No refusal token is known for this model and none was heard, so its scores say only that "
            "no answer begins as a known refusal. A refusal in other words was not counted."
        ]
    if run.stopped_early:
        return [
            f"Refusal is read off the first token ({tokens}). A refusal that begins otherwise, or "
            "comes later in the text, was not counted."
        ]
    text = (
        "No answer was generated under ablation and judged: the model may still refuse later in "
        "the text, or comply uselessly."
        if run.confirmation is None
        else f"Answers under ablation were judged ({run.confirmation.judge}) on their first "
        f"{run.confirmation.answer_tokens} tokens: the model may still refuse later, or comply "
        "uselessly."
    )
    found = [
        f"Refusal is read off the first token ({tokens}). A flipped score means that the answer no "
        f"longer begins as a refusal. {text}",
    ]
    if run.manifest.refusal_tokens.source == "found":
        found.append(
            "The refusal tokens were found in the model's own refusals, by their words; a refusal "
            "in other words was not counted."
        )
    if run.manifest.refusal_tokens.source == "openings":
        found.append(
            "Refusal tokens of some languages are usual openings of a refusal there, not published or "
            "observed for this model."
        )
    return found


def _dictionaries(run: Run) -> list[str]:
    worst = worst_explained(run.quality)
    n_audited, n_layers = len(run.manifest.saes), run.manifest.model.n_layers
    others = (
        f"{n_audited} of {n_layers} layers were audited; what the others do is unseen."
        if n_audited < n_layers
        else f"All {n_layers} layers were audited, on their output alone: what attention and MLP "
        "do within a layer is unseen."
    )
    return [
        f"The SAEs see part of the residual stream: at layer {worst.layer} they explain "
        f"{interval(worst.explained_variance_without_bos)} of its variance on these prompts, BOS left "
        f"out. {_recovered(run)} A "
        f"mechanism that lives in the error term cannot be found by ablating features.{_hidden(run)}",
        "The record does not say which checkpoint the SAEs were trained on. Where it was another "
        "one, a feature may mean something else here; explained variance and cross-entropy "
        "recovered are measured on this model.",
        f"{others} {_candidates(run)}",
    ]


def _hidden(run: Run) -> str:
    found = run.dictionary_coverage
    if found is None:
        return ""
    if found.hidden_from_candidates is None:
        return f" How much of it does is not known: {found.reason}."
    hidden = found.hidden_from_candidates
    return (
        " Of what removing the direction does, ablating all candidates leaves "
        f"{interval(hidden, percent)} undone."
        if hidden.high > 0.0
        else ""
    )


def _recovered(run: Run) -> str:
    least = least_recovered(run.quality)
    if least is None:
        return (
            "What that costs in prediction is not defined: at no audited layer does the model "
            "predict its own answers better than with the layer at zero."
        )
    layer, value = least
    return (
        f"In place of the stream of layer {layer} its SAE recovers {interval(value)} of the "
        "cross-entropy of the model's own answers that the layer is worth, the lowest of those audited."
    )


def _candidates(run: Run) -> str:
    if run.stopped_early:
        return "No candidate features were chosen."
    if run.candidates.method == "attribution":
        return (
            f"Candidates are the {run.candidates.per_layer} features of each with the largest "
            "estimated effect; what acts only once others are ablated may not be among them."
        )
    return (
        f"Candidates are among the {run.candidates.per_layer} features of each nearest to one "
        "direction; features that hold up refusal without pointing along it are not."
    )


def _prompts(run: Run) -> list[str]:
    prompts = run.findings.prompts
    found = [
        f"{prompts.harmful} harmful and {prompts.harmless} harmless audit prompts, one draw (seed "
        f"{run.manifest.seed}) of the sources named below, one chat template. Intervals state what "
        "another draw of such prompts could change, not other kinds of prompts, languages, "
        "system prompts or jailbreaks."
    ]
    if prompts.harmful:
        half = share(prompts.harmful // 2, prompts.harmful)
        found.append(
            f"With {prompts.harmful} prompts a share near one half is known to within about "
            f"±{100 * (half.high - half.low) / 2:.0f} points; shares by category are far coarser."
        )
    return found


def _findings(run: Run) -> list[str]:
    players = run.config.interactions.max_players
    return [
        "A minimal set is one of possibly many. Its certificate says that none of its features can "
        "be spared, not that no other or smaller set exists.",
        *_margins(run),
        f"Interactions are of pairs and triples, among at most {players} features; covering that takes "
        "more at once shows only as what pairs and triples leave unexplained.",
        "When refusal is removed, recognition of harm may survive (2603.27412, 2604.18901). This "
        "audit measures the first and not the second.",
    ]


def _margins(run: Run) -> list[str]:
    """How near to 0 the scores come on which a certificate rests."""
    margins = [
        min(abs(score) for score in (found.ablated_score, *found.score_without.values()))
        for found in run.minimal_sets
        if found.flipped
    ]
    if not margins:
        return []
    near = sum(margin < _NEAR for margin in margins)
    return [
        f"Scores near 0 are decided by rounding, and batches of another size round otherwise: "
        f"{near} of {len(margins)} certificates rest on one within {_NEAR:g} nats of 0, the nearest "
        f"{min(margins):.2g}."
    ]
