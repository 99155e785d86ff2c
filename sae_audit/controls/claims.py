"""What an audit claims: one rule for each claim, on the findings that it rests on.

A claim stands only if its number is beyond its control; the weakest control that it must pass is named
beside it. A claim that was not tested does not stand.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sae_audit.controls.word_rival import WordRival
from sae_audit.findings import (
    Absence,
    AbsenceKind,
    Behaviour,
    Claim,
    ClaimAbout,
    Confirmation,
    Controlled,
    Controls,
    DictionaryNull,
    Direction,
    DirectionCheck,
    Estimate,
    InteractionsOverPrompts,
    MinimalSet,
    PooledCascade,
    PooledSet,
    SaeQuality,
    SearchNull,
    SuccessiveDirections,
    explaining_nothing,
)

FEWEST_DICTIONARIES = 9
"""Fewest null dictionaries of a kind behind a claim about features: one that is no better than they are
is beyond all of them in one audit of ten."""


_NOT_READ = "by score; not confirmed in text"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The findings that claims rest on; None, or empty, if the audit did not make them."""

    level: float
    """Largest p-value at which a claim stands (`evidence.level`)."""
    behaviour: Behaviour
    word: WordRival | None
    absence: Absence | None
    quality: Sequence[SaeQuality]
    direction: Direction | None
    direction_check: DirectionCheck | None
    successive: SuccessiveDirections | None
    minimal_sets: Sequence[MinimalSet]
    search_null: SearchNull | None
    dictionary_null: DictionaryNull | None
    pooled_set: PooledSet | None
    controls: Controls | None
    interactions: InteractionsOverPrompts | None
    pooled_cascade: PooledCascade | None
    confirmation: Confirmation | None
    """None if flips were not confirmed in text."""


_NOTHING_REFUSED = (AbsenceKind.UNSCORED_REFUSAL, AbsenceKind.NO_REFUSAL)
"""Kinds of which the score shows no refusal."""


def claims(evidence: Evidence) -> list[Claim]:
    """Every claim, whether it stands or not, in the order of `ClaimAbout`."""
    return [
        _refusal(evidence),
        _harm(evidence),
        _direction(evidence),
        _directions_behind(evidence),
        _features(evidence),
        _pooled_set(evidence),
        _pairs(evidence),
        _backups(evidence),
    ]


def _refusal(evidence: Evidence) -> Claim:
    behaviour, absence = evidence.behaviour, evidence.absence
    refused = behaviour.refused_harmful
    none = any(kind in _NOTHING_REFUSED for kind in _kinds(absence))
    return Claim(
        about=ClaimAbout.REFUSAL,
        stands=not none,
        reason=f"The model refuses {_counted(refused)} harmful prompts.",
        p=None,
        n=refused.n,
        beside=f"harmless prompts refused: {_counted(behaviour.refused_harmless)}",
    )


def _harm(evidence: Evidence) -> Claim:
    behaviour, absence = evidence.behaviour, evidence.absence
    against = (
        *_NOTHING_REFUSED,
        AbsenceKind.REFUSES_EVERYTHING,
        AbsenceKind.NO_SEPARATION,
    )
    separation, word = behaviour.separation, evidence.word
    beyond_word = word is None or word.p_value <= evidence.level
    by_word = "" if word is None else " " + _of_word(word, beyond=beyond_word)
    return Claim(
        about=ClaimAbout.HARM,
        stands=behaviour.separation_p_value <= evidence.level
        and beyond_word
        and not any(kind in against for kind in _kinds(absence)),
        reason=f"A harmful prompt scores above a harmless one with probability "
        f"{_with_interval(separation)}.{by_word}",
        p=max(behaviour.separation_p_value, 0.0 if word is None else word.p_value),
        n=separation.n,
        beside="the same with labels permuted: .5",
    )


def _kinds(absence: Absence | None) -> tuple[AbsenceKind, ...]:
    return () if absence is None else (absence.kind, *absence.also)


def _of_word(word: WordRival, *, beyond: bool) -> str:
    alike = (
        f"The word {word.word!r} agrees with refusal on {word.agrees} of {word.n} prompts, the labels "
        f"on {word.labels_agree}"
    )
    among = "among prompts with it, and among those without, labels"
    if beyond:
        return f"{alike}; but {among} still separate scores (p = {word.p_value:.2g})."
    return f"{alike}, and {among} separate scores no better than chance (p = {word.p_value:.2g})."


def _direction(evidence: Evidence) -> Claim:
    check, direction = evidence.direction_check, evidence.direction
    if check is None or direction is None:
        return _untested(ClaimAbout.DIRECTION, "No direction was tried on audit prompts.")
    flipped, bypass = check.flipped, check.bypass
    lowers = bypass.own.high < check.clean_harmful.low and flipped.own.low > 0.0
    beyond = flipped.own.value > flipped.random.highest
    faults = [direction.unclean] if direction.unclean else []
    if direction.weak:
        faults.append("That is weak: most of the refusal score is left.")
    return Claim(
        about=ClaimAbout.DIRECTION,
        stands=lowers and beyond and not faults,
        reason=" ".join(
            [
                f"Projecting the direction out flips {_counted(flipped.own)} refused prompts "
                f"({_NOT_READ}) and moves the mean score from {check.clean_harmful.value:+z.2f} to "
                f"{bypass.own.value:+z.2f} nats.",
                *faults,
            ]
        ),
        p=_rank(flipped),
        n=flipped.own.n,
        beside=f"random directions flip at most {flipped.random.highest:.0%}",
    )


def _directions_behind(evidence: Evidence) -> Claim:
    found = evidence.successive
    if found is None or len(found.directions) < 2:
        return _untested(
            ClaimAbout.DIRECTIONS_BEHIND,
            "No second direction was found."
            if found is not None
            else "No further direction was looked for.",
        )
    first, second = found.directions[0].refused, found.directions[1].refused
    stands = second.own.high < first.own.low and second.own.value < second.random.lowest
    return Claim(
        about=ClaimAbout.DIRECTIONS_BEHIND,
        stands=stands,
        reason=f"With the first direction out {_counted(first.own)} prompts are still refused, with "
        f"the second out too {_counted(second.own)} ({_NOT_READ}).",
        p=_rank(second),
        n=second.own.n,
        beside=f"with as many random directions out at least {second.random.lowest:.0%} are refused",
    )


def from_poor_saes(quality: Sequence[SaeQuality], minimal_sets: Sequence[MinimalSet]) -> bool:
    """Whether every feature of the sets is of an SAE that explains nothing of the model."""
    used = {feature.layer for one in minimal_sets for feature in one.features}
    return bool(explaining_nothing(quality, used))


def _features(evidence: Evidence) -> Claim:
    null, against = evidence.dictionary_null, evidence.search_null
    flipped = sum(one.flipped for one in evidence.minimal_sets)
    if not flipped:
        return _untested(
            ClaimAbout.FEATURES, "No prompt was flipped by features within the side-effect limits."
        )
    if from_poor_saes(evidence.quality, evidence.minimal_sets):
        return _untested(
            ClaimAbout.FEATURES,
            "The SAEs that the sets come from explain nothing of this model (explained variance at "
            "most 0).",
        )
    absence = evidence.absence
    if null is None and absence is not None and absence.kind is AbsenceKind.NOT_BEYOND_NULL:
        return _untested(ClaimAbout.FEATURES, absence.reason)
    if null is None:
        return _untested(
            ClaimAbout.FEATURES,
            "No null dictionary was searched (evidence.null_dictionaries), so nothing tells these SAEs "
            "from any other dictionary.",
        )
    beyond_pools = against is None or against.p_value <= evidence.level
    by_pools = (
        f" {against.n_as_good} of {against.n_pools} pools of random features of the same SAEs do as "
        f"well (p = {against.p_value:.2g}, must be at most {evidence.level:g})."
        if against is not None and not beyond_pools
        else ""
    )
    decisive = [one for one in null.kinds if one.kind.about_features]
    drawn = [one for one in decisive if one.kind.drawn]
    enough = bool(drawn) and all(one.n_asked >= FEWEST_DICTIONARIES for one in drawn)
    too_few = (
        ""
        if enough
        else f" Fewer than {FEWEST_DICTIONARIES} of a kind are no evidence (evidence.null_dictionaries)."
    )
    return Claim(
        about=ClaimAbout.FEATURES,
        stands=null.stands and beyond_pools and enough,
        reason=null.reason + by_pools + too_few + _flips(evidence),
        # Those that the user names are too few for a p: each is beaten or not.
        p=max((one.p_value for one in drawn), default=1.0),
        n=len(null.prompts),
        beside="the same search with null dictionaries",
    )


def _pooled_set(evidence: Evidence) -> Claim:
    pooled, controls = evidence.pooled_set, evidence.controls
    if pooled is None or controls is None or controls.rivals is None:
        return _untested(ClaimAbout.POOLED_SET, "No set was pooled over prompts.")
    flipped, rivals = pooled.flipped_held_out, controls.rivals
    return Claim(
        about=ClaimAbout.POOLED_SET,
        stands=pooled.side_effects.within and flipped.low > 0.0 and rivals.beats_rivals,
        reason=f"One set of {len(pooled.features)} flips, of prompts that it was not built on, "
        f"{_pooled_flips(pooled, evidence.confirmation)}, at KL "
        f"{pooled.side_effects.kl.value:.3f} nats on harmless ones. {rivals.reason}",
        p=rivals.p_value,
        n=flipped.n,
        beside="equally large sets of other origins, and the direction, at equal side effects",
    )


def _pairs(evidence: Evidence) -> Claim:
    found = evidence.interactions
    if found is None or found.naming is None or found.predicting is None:
        return _untested(ClaimAbout.PAIRS, "No interactions were fitted.")
    naming = found.naming
    return Claim(
        about=ClaimAbout.PAIRS,
        stands=naming.low > found.naming_under_null,
        reason=f"Pairs predict held-out ablations beyond single effects and one curve over them on "
        f"{_counted(found.predicting)} prompts, and one is named on {_counted(naming)}.",
        p=None,
        n=naming.n,
        beside=f"shuffled scores name one on at most {found.naming_under_null:.0%}",
    )


def _backups(evidence: Evidence) -> Claim:
    if evidence.pooled_cascade is None:
        return _untested(ClaimAbout.BACKUPS, "No cascade was followed.")
    found = evidence.pooled_cascade.backups
    return Claim(
        about=ClaimAbout.BACKUPS,
        stands=found.stands,
        reason=found.reason,
        p=found.p,
        n=found.n,
        beside=found.beside,
    )


def _flips(evidence: Evidence) -> str:
    """How many refused prompts the minimal sets flip, in text if the answers were read."""
    read, n = evidence.confirmation, len(evidence.minimal_sets)
    if read is None or not read.of_flips:
        flipped = sum(one.flipped for one in evidence.minimal_sets)
        return f" Its sets flip {flipped} of {n} refused prompts {_NOT_READ}."
    return (
        f" Its sets flip {read.n_flipped_in_text} of {read.n_refused} refused prompts in text, "
        f"{read.n_flipped_by_score} by score."
    )


def _pooled_flips(pooled: PooledSet, confirmation: Confirmation | None) -> str:
    by_score = _counted(pooled.flipped_held_out)
    own = [] if confirmation is None else confirmation.of_case("pooled")
    if not own:
        return f"{by_score} {_NOT_READ}"
    return f"{sum(check.complied for check in own)} of {len(own)} in text, {by_score} by score"


def _untested(about: ClaimAbout, reason: str) -> Claim:
    return Claim(about=about, stands=False, reason=reason, p=None, n=0, beside="")


def _rank(found: Controlled) -> float:
    """The smallest p that as many random draws give, if the value is beyond them all; else 1."""
    low, high = found.random.lowest, found.random.highest
    beyond = not low <= found.own.value <= high
    return 1.0 / (found.random.n + 1) if beyond else 1.0


def _counted(share: Estimate) -> str:
    return f"{round(share.value * share.n)} of {share.n}"


def _with_interval(one: Estimate) -> str:
    return f"{one.value:.2f} [{one.low:.2f}, {one.high:.2f}]"
