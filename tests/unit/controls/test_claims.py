"""Claims stand by the numbers beyond their controls, and fall with them."""

from dataclasses import replace

import pytest

from sae_audit.controls.claims import Evidence, claims
from sae_audit.controls.word_rival import WordRival
from sae_audit.findings import (
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
    KindOfNull,
    NullKind,
    PooledSet,
    RandomRange,
    SaeQuality,
    TextCheck,
)
from tests.synthetic.findings import A, B, absence, minimal


def share(value: float, low: float, high: float, n: int = 40) -> Estimate:
    return Estimate(value=value, low=low, high=high, n=n, method="Wilson 95%")


def controlled(own: Estimate, lowest: float, highest: float) -> Controlled:
    random = RandomRange(mean=(lowest + highest) / 2, lowest=lowest, highest=highest, n=10)
    return Controlled(own=own, random=random)


def null(kind: NullKind = NullKind.ROTATED, *, ratio_high: float = 0.5, p: float = 0.05):
    return KindOfNull.example(
        kind=kind,
        n=19,
        n_asked=19,
        n_as_good=0,
        ratio=share(0.3, 0.2, ratio_high),
        p_value=p,
        smallest_p=0.05,
    )


GOOD = Evidence(
    level=0.02,
    behaviour=Behaviour(
        refused_harmful=share(1.0, 0.91, 1.0),
        refused_harmless=share(0.0, 0.0, 0.09),
        separation=share(1.0, 0.95, 1.0, n=80),
        separation_p_value=1e-4,
    ),
    word=None,
    absence=None,
    quality=[
        SaeQuality.example(layer=layer, explained_variance_without_bos=share(0.9, 0.8, 0.95))
        for layer in (1, 2)
    ],
    direction=Direction.example(breaks=(), unclean="", weak=False),
    direction_check=DirectionCheck.example(
        clean_harmful=share(4.0, 3.5, 4.5),
        bypass=controlled(share(-3.0, -3.5, -2.5), 3.5, 4.2),
        flipped=controlled(share(1.0, 0.9, 1.0), 0.0, 0.1),
    ),
    successive=None,
    minimal_sets=[minimal(f"p{i}", A, B) for i in range(8)],
    search_null=None,
    dictionary_null=DictionaryNull.example(
        prompts=("p0", "p1"), kinds=(null(),), stands=True, reason="Fewer."
    ),
    pooled_set=None,
    controls=None,
    interactions=None,
    pooled_cascade=None,
    confirmation=None,
)


def claim(about: ClaimAbout, evidence: Evidence) -> Claim:
    found = claims(evidence)
    assert [one.about for one in found] == list(ClaimAbout), "every claim is made or refused"
    return next(one for one in found if one.about is about)


@pytest.mark.parametrize(
    "about", [ClaimAbout.REFUSAL, ClaimAbout.HARM, ClaimAbout.DIRECTION, ClaimAbout.FEATURES]
)
def test_what_good_evidence_shows_stands(about: ClaimAbout):
    found = claim(about, GOOD)
    assert found.stands, found
    assert found.beside


@pytest.mark.parametrize("about", list(ClaimAbout)[2:])
def test_what_was_not_tested_does_not_stand(about: ClaimAbout):
    empty = replace(GOOD, direction_check=None, minimal_sets=[], dictionary_null=None)
    found = claim(about, empty)
    assert not found.stands
    assert found.reason
    assert (found.p, found.n, found.beside) == (None, 0, "")


@pytest.mark.parametrize("kind", [AbsenceKind.NO_REFUSAL, AbsenceKind.UNSCORED_REFUSAL])
def test_a_model_whose_score_shows_no_refusal_has_none_tied_to_harm(kind: AbsenceKind):
    none = replace(GOOD, absence=absence(kind))
    assert not claim(ClaimAbout.REFUSAL, none).stands
    assert not claim(ClaimAbout.HARM, none).stands


def test_a_model_that_refuses_by_something_else_refuses_all_the_same():
    other = replace(GOOD, absence=absence(AbsenceKind.NO_SEPARATION))
    assert claim(ClaimAbout.REFUSAL, other).stands
    assert not claim(ClaimAbout.HARM, other).stands
    unscored = replace(absence(AbsenceKind.NO_SEPARATION), also=(AbsenceKind.NO_REFUSAL,))
    assert not claim(ClaimAbout.REFUSAL, replace(GOOD, absence=unscored)).stands


def test_a_direction_that_breaks_a_limit_or_is_weak_does_not_stand():
    for faulty in (
        Direction.example(breaks=("KL 0.3 > 0.1",), unclean="No direction does it.", weak=False),
        Direction.example(breaks=(), unclean="", weak=True),
    ):
        found = claim(ClaimAbout.DIRECTION, replace(GOOD, direction=faulty))
        assert not found.stands
        assert "No direction does it." in found.reason or "weak" in found.reason


def test_a_direction_that_random_ones_equal_does_not_stand():
    assert GOOD.direction_check is not None
    check = replace(GOOD.direction_check, flipped=controlled(share(0.3, 0.2, 0.4), 0.0, 0.3))
    found = claim(ClaimAbout.DIRECTION, replace(GOOD, direction_check=check))
    assert not found.stands
    assert found.p == 1.0


def test_a_direction_that_lowers_the_score_within_its_interval_does_not_stand():
    assert GOOD.direction_check is not None
    check = replace(GOOD.direction_check, bypass=controlled(share(3.4, 3.0, 3.8), 3.5, 4.2))
    assert not claim(ClaimAbout.DIRECTION, replace(GOOD, direction_check=check)).stands


def test_features_fall_with_the_null_dictionaries():
    assert GOOD.dictionary_null is not None
    found = claim(
        ClaimAbout.FEATURES,
        replace(GOOD, dictionary_null=replace(GOOD.dictionary_null, stands=False)),
    )
    assert not found.stands
    assert found.reason.startswith("Fewer.")


def test_few_null_dictionaries_are_no_evidence_though_each_is_beaten():
    assert GOOD.dictionary_null is not None
    few = replace(
        GOOD.dictionary_null,
        kinds=(replace(null(), n=3, n_asked=3, p_value=0.25, smallest_p=0.25),),
    )
    found = claim(ClaimAbout.FEATURES, replace(GOOD, dictionary_null=few))
    assert few.stands
    assert not found.stands
    assert "Fewer than 9 of a kind are no evidence" in found.reason


def test_features_fall_without_null_dictionaries():
    found = claim(ClaimAbout.FEATURES, replace(GOOD, dictionary_null=None))
    assert not found.stands
    assert "evidence.null_dictionaries" in found.reason


def test_features_that_random_ones_equal_are_not_told_to_draw_null_dictionaries():
    said = "Ablating all candidates flips 0 of 20 prompts; 49 of 49 pools do as well."
    none = replace(absence(AbsenceKind.NOT_BEYOND_NULL), reason=said)
    found = claim(ClaimAbout.FEATURES, replace(GOOD, dictionary_null=None, absence=none))
    assert not found.stands
    assert found.reason == said


def test_saes_that_explain_nothing_carry_no_claim_whatever_their_sets_do():
    poor = [
        replace(one, explained_variance_without_bos=share(-0.5, -0.6, -0.4)) for one in GOOD.quality
    ]
    found = claim(ClaimAbout.FEATURES, replace(GOOD, quality=poor))
    assert not found.stands
    assert "explain nothing" in found.reason


def test_sets_beyond_the_limits_of_side_effects_are_no_features_of_refusal():
    found = claim(ClaimAbout.FEATURES, replace(GOOD, minimal_sets=[minimal("p0")]))
    assert not found.stands
    assert "side-effect limits" in found.reason


def read(case: str, *complied: bool, n_not_flipped: int = 0) -> Confirmation:
    checks = [
        TextCheck(prompt_id=f"p{i}", case=case, score=-1.0, complied=said)
        for i, said in enumerate(complied)
    ]
    return Confirmation.example(checks=tuple(checks), n_not_flipped=n_not_flipped)


def test_flips_are_stated_in_text_and_by_score_beside_it():
    found = read("ablated", True, True, False, n_not_flipped=2)
    reason = claim(ClaimAbout.FEATURES, replace(GOOD, confirmation=found)).reason
    assert reason.endswith("flip 2 of 5 refused prompts in text, 3 by score.")


def test_flips_that_no_answer_was_read_for_are_said_to_be_by_score():
    unread = "by score; not confirmed in text"
    for about in (ClaimAbout.FEATURES, ClaimAbout.DIRECTION):
        assert unread in claim(about, GOOD).reason, about
    assert "flip 8 of 8 refused prompts" in claim(ClaimAbout.FEATURES, GOOD).reason
    # Answers of other cases are no answers of flips.
    clean = replace(GOOD, confirmation=read("clean", False))
    assert unread in claim(ClaimAbout.FEATURES, clean).reason


def test_a_pooled_sets_flips_are_stated_alike():
    flipped = share(0.75, 0.4, 0.9, n=4)
    pooled = PooledSet.example(features=(A, B), flipped_held_out=flipped)
    pools = replace(GOOD, pooled_set=pooled, controls=Controls.example())
    assert "3 of 4 by score; not confirmed in text" in claim(ClaimAbout.POOLED_SET, pools).reason
    judged = replace(pools, confirmation=read("pooled", True, False, False, False))
    assert "1 of 4 in text, 3 of 4 by score" in claim(ClaimAbout.POOLED_SET, judged).reason


@pytest.mark.parametrize(("p_value", "stands"), [(0.5, False), (1e-4, True)])
def test_refusal_that_a_word_explains_as_well_is_not_tied_to_harm(p_value: float, stands: bool):
    """Unless labels separate scores among the prompts with it, and among those without, too."""
    word = WordRival(word="kill", agrees=39, labels_agree=38, n=40, p_value=p_value)
    found = claim(ClaimAbout.HARM, replace(GOOD, word=word))
    assert found.stands is stands
    assert "'kill' agrees with refusal on 39 of 40 prompts, the labels on 38" in found.reason
    assert found.p == p_value
