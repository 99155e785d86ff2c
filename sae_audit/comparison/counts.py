"""Verdicts on counts at matched margin: directions needed, sizes of sets, features held, waves."""

from sae_audit.comparison.claims import DEPTH, FEATURES, NEEDED, SIZE
from sae_audit.comparison.types import (
    AtMatchedMargin,
    CascadeChange,
    Change,
    DirectionsNeededChange,
    FeatureChange,
    FeatureShift,
    Tested,
    Verdict,
)
from sae_audit.comparison.wording import Tests, could_show, kind_of, plain, result, signed
from sae_audit.pages.wording import percent


def directions_needed(change: DirectionsNeededChange, tests: Tests) -> Verdict:
    test = tests[NEEDED]
    beyond = f" {change.n_beyond} of them are refused with all out, and count as one more."
    return Verdict(
        kind=kind_of(test, change.at_margin.value),
        statement="Directions, one behind the other, that must be projected out until a prompt is not "
        "refused, at matched margin.",
        evidence=f"{at_margin(change.at_margin, 'directions')}, {result(test)}; whatever the "
        f"scores, {signed(change.needed.difference)}, n = {change.needed.difference.n} prompts refused "
        f"by both.{beyond if change.n_beyond else ''} {could_show(test)}",
        tests=(test.name,),
    )


def features(change: FeatureChange, tests: Tests) -> list[Verdict]:
    test = tests[SIZE]
    return [
        Verdict(
            kind=kind_of(test, change.size_at_margin.value),
            statement="Size of the minimal sets of prompts flipped in both, at matched margin.",
            evidence=f"{at_margin(change.size_at_margin, 'features')}, {result(test)}; whatever the "
            f"scores, {signed(change.size.difference)}, n = {change.n}. {could_show(test)}",
            tests=(test.name,),
        ),
        *_held(change, tests[FEATURES]),
        Verdict(
            kind=Change.DESCRIBED,
            statement=f"A prompt's minimal sets in both share {plain(change.overlap)} of their "
            "features (Jaccard).",
            evidence=f"Sets of different prompts share {plain(change.overlap_shuffled)}; difference "
            f"{signed(change.beyond_shuffled)}, p of no difference = "
            f"{change.beyond_shuffled_p:.2g} (sets permuted over prompts), n = {change.n}.",
            tests=(),
        ),
    ]


def _held(change: FeatureChange, test: Tested) -> list[Verdict]:
    """Features that fewer or more of the sets hold."""
    evidence = (
        f"Change in the share of {change.n} prompts whose set holds it, the smaller of both "
        f"comparisons at matched margin; {result(test)} over all features."
    )
    named = [s for s in change.shifts if test.level is not None and s.p_value <= test.level]
    if not test.is_significant or not named:
        return [
            Verdict(
                kind=Change.UNCHANGED if test.corrected_p is not None else Change.TOO_FEW,
                statement="No feature is shown to be lost from the minimal sets, or gained, at "
                "matched margin.",
                evidence=f"{evidence} {could_show(test)}",
                tests=(test.name,),
            )
        ]
    lost = sorted((s for s in named if s.change_at_margin < 0.0), key=_at_margin_of)
    gained = sorted((s for s in named if s.change_at_margin > 0.0), key=_at_margin_of)
    return [
        Verdict(
            kind=kind,
            statement=f"Features that {words} minimal sets hold at matched margin: "
            f"{'; '.join(_shift(one) for one in some)}.",
            evidence=evidence,
            tests=(test.name,),
        )
        for kind, words, some in (
            (Change.LOWER, "fewer", lost),
            (Change.HIGHER, "more", gained[::-1]),
        )
        if some
    ]


def _at_margin_of(shift: FeatureShift) -> float:
    return shift.change_at_margin


def _shift(shift: FeatureShift) -> str:
    return (
        f"{shift.feature} {percent(shift.share_a)} before, {percent(shift.share_b)} after "
        f"({100 * shift.change_at_margin:+z.0f} points at matched margin)"
    )


def cascades(change: CascadeChange, tests: Tests) -> Verdict:
    test = tests[DEPTH]
    return Verdict(
        kind=kind_of(test, change.depth_at_margin.value),
        statement="Depth of the cascades of prompts flipped in both, at matched margin.",
        evidence=f"{at_margin(change.depth_at_margin, 'waves')}, {result(test)}; whatever the "
        f"scores, {signed(change.depth.difference)}, n = {change.n}. {could_show(test)}",
        tests=(test.name,),
    )


def at_margin(change: AtMatchedMargin, unit: str) -> str:
    """Both comparisons, in words."""
    pairs = (
        f"No two prompts have scores within {change.caliper:.2f} nats"
        if change.matched is None
        else f"Difference {signed(change.matched)} {unit} over {change.n_pairs} pairs of like score"
    )
    line = (
        "scores changed by the same on all prompts, so that nothing tells what a prompt owes to them"
        if change.adjusted is None
        else f"{signed(change.adjusted)} where a prompt's score did not change"
    )
    return f"{pairs}; {line}"
