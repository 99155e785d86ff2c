"""The audit card: the model, the SAEs and how far they can be trusted, the prompts."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from sae_audit.findings import CE_PROMPTS, CE_TOKENS, Estimate, SaeQuality
from sae_audit.pages.wording import between, interval, of, percent, share_said
from sae_audit.record.run import Run
from sae_audit.report.caveats import sae_caveat
from sae_audit.report.findings.card.quality import (
    least_recovered,
    recovered,
    sae_sources,
    tokens_firing,
    worst_explained,
)
from sae_audit.report.findings.card.settings import deviations, setting, token_source
from sae_audit.report.findings.card.splits import split_rows
from sae_audit.report.made_for import bases, other_bases, saes_are_of_this_model
from sae_audit.report.section import Part, Section, SummaryRow
from sae_audit.statistics import share


def _values(run: Run) -> Mapping[str, Any]:
    tokens = run.manifest.refusal_tokens
    named = (
        []
        if tokens is None
        else zip_longest(tokens.texts, tokens.ids[: len(tokens.texts)], fillvalue="?")
    )
    return {
        "bases": bases(run),
        "deviations": deviations(run.config),
        "setting": setting,
        "tokens": list(named),
        "token_source": "" if tokens is None else token_source(tokens.source),
        "splits": split_rows(run.scores),
        "tried": run.discarded_directions if run.stopped_early else run.direction,
        "n_means": run.absence.n_train if run.stopped_early and run.absence else None,
        "recovered": recovered,
        "tokens_firing": tokens_firing,
        "sae_sources": sae_sources(run.manifest.saes),
        "ce_prompts": CE_PROMPTS,
        "ce_tokens": CE_TOKENS,
    }


def _rows(run: Run) -> Sequence[SummaryRow]:
    worst, nothing = worst_explained(run.quality), sae_caveat(run)
    control = run.controls.error_term
    stated = (
        "With the SAEs' error left out the same sets end "
        f"{share_said(control.flipped_dropped, 'refusals')}; leaving it out alone ends "
        f"{_ended(control.refused_dropped_alone)}."
        if control is not None
        else "What their error does was not tried: no refusal was ended."
    )
    return [
        SummaryRow(
            question="How far can the SAEs be trusted here?",
            answer=(f"{nothing} " if nothing else "")
            + f"They explain {_tenths(worst.explained_variance_without_bos)} of what layer "
            f"{worst.layer} carries, the worst of {len(run.quality)}. {_least_recovered(run.quality)}",
            control=f"Rotated at random that SAE explains "
            f"{_tenths(worst.explained_variance_rotated)}.{_rotated_recovers(run.quality)} {stated}",
            part=Part.FIRST if nothing else Part.SAES,
        )
    ]


def _tenths(found: Estimate) -> str:
    return between(found, "{:.1%}".format)


def _ended(refused: Estimate) -> str:
    """How many of them are refused no more."""
    return of(refused.n - round(refused.value * refused.n), refused.n)


def _least_recovered(quality: list[SaeQuality]) -> str:
    least = least_recovered(quality)
    if least is None:
        return (
            "How much of the model's prediction they keep is not defined: a layer's mean output in its "
            "place predicts as well."
        )
    layer, value = least
    undefined = sum(one.ce_recovered is None for one in quality)
    beside = f" It is not defined at {undefined} layers." if undefined else ""
    return f"They keep {_tenths(value)} of what layer {layer} does for the next word.{beside}"


def _limits(run: Run) -> Sequence[str]:
    return [*_saes(run), *_prompts(run)]


def _saes(run: Run) -> list[str]:
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
        f"{interval(worst.explained_variance_without_bos)} of its variance on these prompts, BOS "
        f"left out. {_worth(run)} A "
        f"mechanism that lives in the error term cannot be found by ablating features.{_hidden(run)}",
        *_trained_on(run),
        f"{others} {_candidates(run)}",
    ]


def _trained_on(run: Run) -> list[str]:
    """What is known of the checkpoint that the SAEs, and an adapter, were made for."""
    if saes_are_of_this_model(run):
        return other_bases(run)
    measured = "explained variance and cross-entropy recovered are measured on this model."
    if any(one.layers for one in run.manifest.model.made_for if not one.is_own):
        *before, last = other_bases(run)
        return [*before, f"{last[:-1]}; {measured}"]
    return [
        *other_bases(run),
        "The record does not say which checkpoint the SAEs were trained on. Where it was another "
        f"one, a feature may mean something else here; {measured}",
    ]


def _hidden(run: Run) -> str:
    found = run.sae_coverage
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


def _worth(run: Run) -> str:
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
    most = run.config.candidates.max_harmless_rate
    of_those = (
        f" of those that fire on at most {percent(most)} of harmless prompts" if most < 1 else ""
    )
    if run.candidates.method == "attribution":
        return (
            f"We searched {run.candidates.per_layer} features a layer{of_those}, those with the largest "
            "estimated effect. What acts only once others are off may not be among them."
        )
    return (
        f"We searched {run.candidates.per_layer} features a layer{of_those}, those that point most "
        "along the refusal direction. Others may matter and were not searched."
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


SECTION = Section(id="card", title="Audit card", rows=_rows, values=_values, limits=_limits)


def _rotated_recovers(quality: list[SaeQuality]) -> str:
    rotated = [one.ce_recovered_rotated for one in quality if one.ce_recovered_rotated is not None]
    if not rotated:
        return ""
    best = max(rotated, key=lambda one: one.value)
    return f" Rotated SAEs keep at most {_tenths(best)} of the next word."
