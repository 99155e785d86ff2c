"""Single features: an address for each that a finding names, and for every other candidate."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from sae_audit.findings import FeatureProfile, NearRow
from sae_audit.pages.wording import nats, percent
from sae_audit.record.feature import FeatureInRun
from sae_audit.record.feature_words import (
    EffectRow,
    counted,
    partner_said,
    position_said,
    span,
    topics_said,
    waking_said,
)
from sae_audit.record.run import Run
from sae_audit.report.feature_links import addresses
from sae_audit.report.findings.features.histogram import histogram
from sae_audit.report.section import Section, unless_stopped_early
from sae_audit.vocabulary import FeatureId

_FEW = 6
"""Rows of a list on the page; `sae-audit feature` and the file have more."""
_UNMEASURED = "\N{EN DASH}"
_LENS = (
    "To first order, at the end of a refused prompt, through the final norm (logit lens). It points at "
    "a meaning; it does not prove a use."
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the list by importance."""

    id: str
    n_sets: int
    alone: str
    random: str
    change: str
    """Mean change of the refusal score with it ablated alone, nats."""
    change_random: str
    harmful: str
    harmless: str


@dataclass(frozen=True, kw_only=True)
class Other:
    """Another feature, with what is said of the two."""

    id: str
    said: str
    linked: bool
    """Whether it has an address on the page."""


@dataclass(frozen=True, kw_only=True)
class Top:
    """A prompt on which the feature fires most."""

    said: str
    share: int
    """Its activation as a percentage of the largest."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One feature in the words of the page."""

    id: str
    verdict: str
    place: str
    previous: FeatureId | None
    following: FeatureId | None
    neuronpedia: str
    sentences: tuple[str, ...]
    explanation: str
    effects: tuple[EffectRow, ...]
    firing: str
    histogram: Markup
    topics: str
    top: tuple[Top, ...]
    lists: tuple[tuple[str, tuple[Other, ...]], ...]
    promoted: tuple[str, ...]
    suppressed: tuple[str, ...]
    lens_note: str


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A candidate that no finding names."""

    id: str
    cosine: str
    harmful: str
    harmless: str


def _values(run: Run) -> Mapping[str, Any]:
    linked, each = addresses(run), run.features.each()
    return {
        "style": style(),
        "named": [shown(one, linked) for one in each],
        "rows": [_row(one) for one in each],
        "measured": _measured(run, len(each)),
        "others": _others(run),
    }


def style() -> str:
    """Style of what is said of a feature."""
    return (files("sae_audit.report.findings.features") / "features.css").read_text(
        encoding="utf-8"
    )


def _measured(run: Run, n: int) -> str:
    found = run.feature_profiles
    if found is None:
        return "None of them was measured by itself (features.most is 0)."
    n_measured = len(found.features)
    if n_measured == n:
        return "Every one of them was measured by itself."
    return f"The first {n_measured} of them were measured by themselves (features.most)."


def _row(one: FeatureInRun) -> Row:
    profile, mention = one.profile, one.mention
    if profile is None:
        cells = (_UNMEASURED,) * 6
    else:
        effect = profile.alone
        random, change = effect.turned_random, effect.score_change_random
        cells = (
            counted(effect.turned),
            _UNMEASURED if random is None else counted(random),
            nats(effect.score_change.value),
            _UNMEASURED if change is None else nats(change.value),
            counted(profile.fires_harmful),
            counted(profile.fires_harmless),
        )
    alone, beside, fall, fall_random, harmful, harmless = cells
    return Row(
        id=one.id,
        n_sets=0 if mention is None else mention.n_minimal,
        alone=alone,
        random=beside,
        change=fall,
        change_random=fall_random,
        harmful=harmful,
        harmless=harmless,
    )


def shown(one: FeatureInRun, linked: frozenset[FeatureId]) -> Shown:
    """The feature in words; `linked` are the features that have an address on the page."""
    profile = one.profile
    return Shown(
        id=one.id,
        verdict=one.verdict,
        place=_place(one),
        previous=one.previous,
        following=one.following,
        neuronpedia=one.neuronpedia,
        sentences=one.sentences,
        explanation=one.explanation,
        effects=one.effects,
        firing="" if profile is None else _firing(profile),
        histogram=Markup("") if profile is None else histogram(profile.activations),
        topics="" if profile is None else _topics(profile),
        top=() if profile is None else _top(one, profile),
        lists=tuple((title, rows) for title, rows in _lists(one, linked) if rows),
        promoted=() if profile is None else tuple(t.text or "∅" for t in profile.promoted),
        suppressed=() if profile is None else tuple(t.text or "∅" for t in profile.suppressed),
        lens_note=_LENS,
    )


def _place(one: FeatureInRun) -> str:
    parts = [f"layer {one.feature.layer}, number {one.feature.index} of {one.sae.width:,}"]
    if one.rank is not None:
        parts.append(f"{one.rank} of {one.n_named} by importance")
    if one.candidate is not None:
        parts.append(
            f"cosine {one.candidate.cosine:z.2f} with the refusal direction, {one.place_by_cosine} of "
            f"{one.n_candidates} candidates"
        )
    return " · ".join(parts)


def _firing(profile: FeatureProfile) -> str:
    harmful, harmless = profile.fires_harmful, profile.fires_harmless
    return (
        f"On {counted(harmful)} harmful prompts ({span(harmful)}) and {counted(harmless)} harmless "
        f"ones ({span(harmless)})."
    )


def _topics(profile: FeatureProfile) -> str:
    said = [
        f"{label.capitalize()} topics: {topics}." for label, topics in topics_said(profile).items()
    ]
    return " ".join(said)


def _top(one: FeatureInRun, profile: FeatureProfile) -> tuple[Top, ...]:
    return tuple(
        Top(
            said=" · ".join(
                part
                for part in (
                    f"{row.activation:z.2f}",
                    row.prompt_id,
                    one.topics.get(row.prompt_id, ""),
                    position_said(row),
                )
                if part
            ),
            share=round(100 * row.activation / profile.top[0].activation),
        )
        for row in profile.top[:_FEW]
    )


def _lists(one: FeatureInRun, linked: frozenset[FeatureId]) -> list[tuple[str, tuple[Other, ...]]]:
    def other(feature: FeatureId, said: str) -> Other:
        return Other(id=str(feature), said=said, linked=feature in linked)

    partners = tuple(other(p.feature, partner_said(p)) for p in one.partners[:_FEW])
    wakes, woken = (
        tuple(other(w.feature, waking_said(w)) for w in found[:_FEW])
        for found in (one.wakes, one.woken_by)
    )
    profile = one.profile
    near: tuple[Other, ...] = ()
    if profile is not None:

        def rows(found: tuple[NearRow, ...], where: str) -> tuple[Other, ...]:
            return tuple(other(n.feature, f"{n.cosine:z.2f}, {where}") for n in found)

        near = rows(profile.nearest, "this layer") + rows(profile.nearest_elsewhere, "another")
    return [
        ("Partners", partners),
        ("Wakes when it is off", wakes),
        ("Woken when they are off", woken),
        (f"Nearest decoder rows, by cosine (chance about {one.chance_cosine:z.2f})", near),
    ]


def _others(run: Run) -> list[Candidate]:
    named = {one.feature for one in run.features.named}
    effects = run.candidate_effects
    firing = {} if effects is None else {one.feature: one for one in effects.effects}
    rows: list[Candidate] = []
    for one in sorted(run.candidates.candidates, key=lambda one: one.feature):
        if one.feature in named:
            continue
        own = firing.get(one.feature)
        rows.append(
            Candidate(
                id=str(one.feature),
                cosine=f"{one.cosine:z.2f}",
                harmful=_UNMEASURED if own is None else percent(own.fires_on_harmful),
                harmless=_UNMEASURED if own is None else percent(own.fires_on_harmless),
            )
        )
    return rows


def _limits(run: Run) -> list[str]:
    found, most = run.feature_profiles, run.config.features.prompts
    if found is None or len(run.minimal_sets) <= most:
        return []
    return [f"What single features do is measured on the first {most} prompts of each label."]


SECTION = Section(
    id="features", title="Features", shown=unless_stopped_early, values=_values, limits=_limits
)
