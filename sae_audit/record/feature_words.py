"""What is said of one feature, in plain words: counts first, then the interval."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from sae_audit.findings import (
    EdgeKind,
    Estimate,
    Feature,
    FeatureEffect,
    FeatureProfile,
    FiringPrompt,
    PairKind,
)
from sae_audit.findings.mentions import Mention
from sae_audit.vocabulary import TokenClass

NO_RANDOM = "no others to draw"
"""What stands for the control if a layer has no other features to draw from."""


@dataclass(frozen=True, kw_only=True)
class Partner:
    """A feature that acts together with another, over the prompts whose fits hold both."""

    feature: Feature
    n_redundant: int
    """Number of prompts on which the pair is named redundant: each covers for the other."""
    n_shared_path: int
    """The same of a shared path: both act through one path."""
    n_fitted: int
    """Number of prompts whose own fit holds both."""
    weight: float
    """Median weight over those prompts (of the pooled fit if there are none), nats."""
    low: float
    high: float
    """Its 95% interval; infinite if there is none."""

    @property
    def kind(self) -> PairKind:
        """The kind it is named most often; unclear if both alike."""
        if self.n_redundant == self.n_shared_path:
            return PairKind.UNCLEAR
        more = self.n_redundant > self.n_shared_path
        return PairKind.REDUNDANT if more else PairKind.SHARED_PATH


@dataclass(frozen=True, kw_only=True)
class Waking:
    """An edge of cascades: the ablation of one feature wakes another."""

    feature: Feature
    """The other end: who is woken, or who wakes."""
    n_prompts: int
    """Number of prompts on which it is tested and found."""
    kinds: Mapping[EdgeKind, int]
    """Number of prompts by kind of edge."""
    n_controls: int
    """Number of other features that were ablated in the cause's place, over these prompts."""
    n_controls_waking: int
    """Number of these that wake the feature, too."""


@dataclass(frozen=True, kw_only=True)
class EffectRow:
    """One effect of a feature, as a row of a table."""

    name: str
    """What was done."""
    turned: str
    """How many prompts changed sides: `7 of 40 answered`."""
    interval: str
    random: str
    """Control: the same with a random feature."""
    change: str
    """Mean change of the refusal score with its interval, nats."""
    change_random: str


def headline(mention: Mention | None, *, n_flipped: int, n_refused: int) -> str:
    """The one thing to know of a feature: where it stands among the findings."""
    if mention is None:
        return "No finding names it"
    if mention.n_minimal:
        return f"In the set that ends the refusal, on {_of(mention.n_minimal, n_flipped)} prompts"
    if mention.in_pooled:
        return "In the set that ends many refusals at once, and in no prompt's own"
    if mention.n_text:
        return f"Needed before the written answer complies, on {_of(mention.n_text, n_refused)} prompts"
    if mention.n_families:
        return f"In another set that would do, on {_of(mention.n_families, n_flipped)} prompts"
    if mention.n_waves:
        return (
            f"Wakes and joins in once others are off, on {_of(mention.n_waves, n_flipped)} prompts"
        )
    if mention.n_pairs:
        return "Acts together with other features, and is in no set"
    if mention.n_edges:
        return "Wakes others, or is woken, and is in no set"
    if mention.n_unlimited:
        n = _of(mention.n_unlimited, n_refused)
        return f"Only in sets that change harmless answers too much, on {n} prompts"
    return "Fires in the first wave of a cascade, and is in no set"


def sentences(
    profile: FeatureProfile | None,
    *,
    n_families: int,
    n_replaced: int,
    pooled_without: float | None,
) -> tuple[str, ...]:
    """What else to know of a feature."""
    found: list[str] = []
    if profile is not None:
        found.append(_alone(profile.alone))
    if n_families:
        found.append(_replaced(n_replaced, n_families))
    if pooled_without is not None:
        found.append(
            "It is in the set built for many prompts; without it that set ends "
            f"{round(100 * pooled_without)}% of the refusals it was built on."
        )
    if profile is not None and profile.raised is not None:
        found.append(_raised(profile.raised))
    if profile is None:
        found.append("It was not measured by itself: it is not among the most important ones.")
    return tuple(found)


def effect_rows(profile: FeatureProfile, part: float) -> tuple[EffectRow, ...]:
    """The effects that were measured of a feature."""
    named = (
        ("Switched off alone", "answered", profile.alone),
        (f"Turned down by {round(100 * part)}%, alone", "answered", profile.in_part),
        ("Kept on, the rest of its set off", "refused again", profile.spared),
        ("Switched on in harmless prompts", "refused", profile.raised),
    )
    return tuple(_row(name, turned, one) for name, turned, one in named if one is not None)


def span(found: Estimate, *, percent: bool = True) -> str:
    """An interval in words, `9% to 32%` or `-2.94 to -1.71`; why there is none if so."""
    if not found.has_interval:
        return found.method.removeprefix("none: ")
    if percent:
        return f"{round(100 * found.low)}% to {round(100 * found.high)}%"
    return f"{found.low:+z.2f} to {found.high:+z.2f}"


def counted(found: Estimate) -> str:
    """A share as a count, `7 of 40`."""
    return f"{round(found.value * found.n)} of {found.n}"


def kind_said(kind: PairKind) -> str:
    """How two features act together."""
    return _KINDS[kind]


def partner_said(one: Partner) -> str:
    """`same path, +1.94 nats (+1.41 to +2.18); named on 15 of 40 prompts`."""
    bounds = f" ({one.low:+z.2f} to {one.high:+z.2f})" if math.isfinite(one.high - one.low) else ""
    named = max(one.n_redundant, one.n_shared_path)
    where = f"named on {named} of {one.n_fitted} prompts" if one.n_fitted else "named over prompts"
    return f"{kind_said(one.kind)}, {one.weight:+z.2f} nats{bounds}; {where}"


def waking_said(one: Waking) -> str:
    """`on 8 prompts; other features in the cause's place: 1 of 40 tries`."""
    prompts = f"{one.n_prompts} prompt{'s' if one.n_prompts > 1 else ''}"
    tries = f"{one.n_controls_waking} of {one.n_controls} tries"
    return f"on {prompts}; other features in the cause's place: {tries}"


def topics_said(profile: FeatureProfile) -> dict[str, str]:
    """By label that has topics, the number of prompts of each on which the feature fires."""
    said: dict[str, list[str]] = {}
    for one in profile.categories:
        said.setdefault(one.label, []).append(f"{one.category} {one.n_firing} of {one.n}")
    return {label: ", ".join(topics) for label, topics in said.items()}


def position_said(found: FiringPrompt) -> str:
    """Where in a prompt: `token 20 of 23, chat template behind the text`."""
    return f"token {found.position + 1} of {found.n_tokens}, {_TOKENS[found.token]}"


_KINDS = {
    PairKind.REDUNDANT: "each covers for the other",
    PairKind.SHARED_PATH: "same path",
    PairKind.UNCLEAR: "unclear",
}
_TOKENS = {
    TokenClass.BOS: "the mark that begins the text",
    TokenClass.SYSTEM: "chat template before the text",
    TokenClass.CONTENT: "the user's text",
    TokenClass.TEMPLATE: "chat template behind the text",
}


def _row(name: str, turned: str, found: FeatureEffect) -> EffectRow:
    random, change = found.turned_random, found.score_change_random
    return EffectRow(
        name=name,
        turned=f"{counted(found.turned)} {turned}",
        interval=span(found.turned),
        random=NO_RANDOM if random is None else f"{counted(random)} ({span(random)})",
        change=_changed(found.score_change),
        change_random=NO_RANDOM if change is None else _changed(change),
    )


def _changed(found: Estimate) -> str:
    return f"{found.value:+z.2f} ({span(found, percent=False)})"


def _alone(found: FeatureEffect) -> str:
    own, random = found.turned, found.turned_random
    if not own.value and not found.score_change.value:
        return f"Switched off alone, it changes nothing on {own.n} prompts: it is silent there."
    ended = counted(own) if own.value else f"none of {own.n}"
    said = f"Switched off alone, it ends {ended} refusals (95% interval: {span(own)})"
    if random is None:
        return f"{said}."
    return f"{said}; random features like it end {counted(random) if random.value else 'none'}."


def _replaced(n: int, total: int) -> str:
    if total == 1:
        return f"On that prompt {'a' if n else 'no'} set without it was found{' too' if n else ''}."
    if not n:
        return f"On none of these {total} prompts was a set without it found."
    here = f"all {n}" if n == total else f"{n} of {total}"
    return f"It can be replaced: on {here} prompts a set without it was found too."


def _raised(found: FeatureEffect) -> str:
    own = found.turned
    if not own.value:
        return (
            f"Switched on alone, it makes none of {own.n} harmless prompts refused ({span(own)})."
        )
    return f"Switched on alone, it makes {counted(own)} harmless prompts refused ({span(own)})."


def _of(n: int, total: int) -> str:
    """`all 40`, `32 of 40`."""
    return f"all {n}" if n == total and n > 1 else f"{n} of {total}"
