"""Minimal sets against those of null dictionaries, on sizes that are known."""

import pytest

from sae_audit.controls.dictionary_null import against_dictionaries
from sae_audit.findings import DictionaryNull, MinimalSet, NullDictionary, NullKind, NullSet
from sae_audit.vocabulary import FeatureId
from tests.synthetic.findings import N_CANDIDATES, minimal

PROMPTS = [f"p{i}" for i in range(8)]


def chosen(size: int) -> tuple[FeatureId, ...]:
    return tuple(FeatureId(0, i) for i in range(size))


def real(*sizes: int) -> dict[str, MinimalSet]:
    return {p: minimal(p, *chosen(size)) for p, size in zip(PROMPTS, sizes, strict=True)}


def null(kind: NullKind, number: int, *sizes: int) -> NullDictionary:
    return NullDictionary(
        kind=kind,
        number=number,
        sets=tuple(
            NullSet(prompt_id=p, features=chosen(size), n_candidates=N_CANDIDATES, kl=0.0)
            for p, size in zip(PROMPTS, sizes, strict=True)
        ),
    )


def compared(own: list[int], *nulls: list[int], kind: NullKind) -> DictionaryNull:
    return against_dictionaries(
        real(*own), [null(kind, i, *sizes) for i, sizes in enumerate(nulls)], seed=0
    )


OWN = [1, 2, 2, 2, 2, 3, 2, 1]
LARGER = [6, 7, 5, 8, 6, 9, 7, 4]


@pytest.mark.parametrize("kind", NullKind)
def test_sets_smaller_than_those_of_every_dictionary_are_beyond_chance(kind: NullKind):
    found = compared(OWN, *[LARGER] * 19, kind=kind)
    (one,) = found.kinds
    assert (one.p_value, one.smallest_p) == (0.05, 0.05)
    assert one.ratio is not None
    assert one.ratio.high < 1.0
    assert one.mean_size == pytest.approx((2**5 * 3) ** (1 / 8))
    assert one.beaten
    assert found.stands


def test_one_dictionary_that_does_as_well_is_enough_to_lose_the_claim():
    found = compared(OWN, *[LARGER] * 18, OWN, kind=NullKind.ROTATED)
    (one,) = found.kinds
    assert one.p_value == pytest.approx(2 / 20), "a tie counts for the null"
    assert not found.stands
    assert "not clearly fewer" in found.reason


def test_a_prompt_that_is_not_flipped_needs_more_features_than_there_are():
    found = compared(OWN, [0] * 8, kind=NullKind.RANDOM_ROWS)
    (one,) = found.kinds
    assert one.mean_size_null == (pytest.approx(N_CANDIDATES + 1),)
    assert one.flipped_null == (0,)


def test_a_dictionary_that_flips_more_wins_although_its_sets_are_larger():
    """The real one flips a single prompt, with one feature: sizes of flips alone would favour it."""
    found = compared([1, 0, 0, 0, 0, 0, 0, 0], *[[5] * 8] * 19, kind=NullKind.ROTATED)
    assert not found.stands


def test_the_smaller_by_a_single_prompt_is_not_beyond_what_prompts_vary():
    own, other = [2] * 7 + [1], [2] * 8
    found = compared(own, *[other] * 19, kind=NullKind.ROTATED)
    assert found.kinds[0].p_value == 0.05
    assert not found.stands


def test_the_same_cosines_stand_beside_and_decide_nothing():
    nulls = [
        *(null(NullKind.ROTATED, i, *LARGER) for i in range(19)),
        *(null(NullKind.SAME_COSINES, i, *OWN) for i in range(19)),
    ]
    found = against_dictionaries(real(*OWN), nulls, seed=0)
    assert [one.beaten for one in found.kinds] == [True, False]
    assert found.stands


def test_nothing_flips_with_any_dictionary():
    found = compared([0] * 8, [0] * 8, kind=NullKind.ROTATED)
    assert found.kinds[0].ratio is None
    assert not found.stands
