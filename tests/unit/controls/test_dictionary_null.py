"""Minimal sets against those of null dictionaries, on sizes that are known."""

from dataclasses import replace

import numpy as np
import pytest

from sae_audit.controls.dictionary_null import (
    against_dictionaries,
    counted_size,
    does_as_well,
    own_sets,
)
from sae_audit.findings import DictionaryNull, NullDictionary, NullKind, SearchedSet, TextSet
from sae_audit.vocabulary import FeatureId
from tests.synthetic.findings import N_CANDIDATES, minimal

PROMPTS = [f"p{i}" for i in range(8)]


def chosen(size: int) -> tuple[FeatureId, ...]:
    return tuple(FeatureId(0, i) for i in range(size))


def real(*sizes: int) -> list[SearchedSet]:
    found = [minimal(p, *chosen(size)) for p, size in zip(PROMPTS, sizes, strict=False)]
    return own_sets(found, found, PROMPTS[: len(sizes)], None)


def searched(prompt_id: str, size: int) -> SearchedSet:
    return SearchedSet(
        prompt_id=prompt_id,
        features=chosen(size),
        n_candidates=N_CANDIDATES,
        size=size or N_CANDIDATES + 1,
        exact=True,
        searched=True,
        complied=None,
        kl=0.0,
    )


def waiting(prompt_id: str) -> SearchedSet:
    """A prompt that the whole pool flips, and whose turn never came."""
    return SearchedSet(
        prompt_id=prompt_id,
        features=(),
        n_candidates=N_CANDIDATES,
        size=1,
        exact=False,
        searched=False,
        complied=None,
        kl=None,
    )


def null(kind: NullKind, number: int, *sizes: int) -> NullDictionary:
    sets = tuple(searched(p, size) for p, size in zip(PROMPTS, sizes, strict=False))
    return NullDictionary(kind=kind, number=number, name="", sets=sets)


def compared(
    own: list[int], *nulls: list[int], kind: NullKind, n_asked: int | None = None
) -> DictionaryNull:
    """All drawn to the end; or, if more were asked for, up to the first that does as well."""
    return against_dictionaries(
        real(*own),
        [null(kind, i, *sizes) for i, sizes in enumerate(nulls)],
        n_asked=len(nulls) if n_asked is None else n_asked,
        one_ends=n_asked is not None,
        in_text=False,
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
    found = against_dictionaries(real(*OWN), nulls, n_asked=19, one_ends=True, in_text=False)
    assert [one.beaten for one in found.kinds] == [True, False]
    assert found.stands


def test_nothing_flips_with_any_dictionary():
    found = compared([0] * 8, [0] * 8, kind=NullKind.ROTATED)
    assert found.kinds[0].ratio is None
    assert not found.stands


def test_drawing_ends_with_the_first_that_does_as_well():
    found = compared(OWN, LARGER, LARGER, LARGER, OWN, kind=NullKind.ROTATED, n_asked=19)
    (one,) = found.kinds
    assert (one.n, one.n_asked, one.n_as_good) == (4, 19, 1)
    assert (one.p_value, one.smallest_p) == (0.25, 0.05)
    assert not found.stands
    assert "4 of 19 drawn, p = 0.25" in found.reason


def test_p_is_valid_when_drawing_ends_early():
    """The real dictionary is one more draw: p <= a in at most a of all cases, for every a."""
    draws = np.random.default_rng(0)
    n, ps = 19, []
    for _ in range(2000):
        values = draws.permutation(n + 1)
        own, first = values[0], np.flatnonzero(values[1:] <= values[0])
        sizes = [[int(v) + 1] for v in values[1:][: first[0] + 1 if len(first) else n]]
        found = compared([int(own) + 1], *sizes, kind=NullKind.ROTATED, n_asked=n)
        ps.append(found.kinds[0].p_value)
    for level in (0.05, 0.1, 0.25, 0.5):
        assert np.mean(np.array(ps) <= level) <= 1.25 * level


def test_bounds_decide_as_the_sizes_do_that_they_bound():
    """Sizes that are not known yet are at least one feature: bounds say "worse" only if sizes would."""
    draws = np.random.default_rng(1)
    ended = 0
    for _ in range(300):
        own, sizes = draws.integers(1, 5, 8), draws.integers(1, 12, 8)
        known = draws.random(8) < 0.7
        bounds = [
            searched(p, int(size)) if there else waiting(p)
            for p, size, there in zip(PROMPTS, sizes, known, strict=True)
        ]
        exact = [searched(p, int(size)) for p, size in zip(PROMPTS, sizes, strict=True)]
        if not does_as_well(real(*map(int, own)), bounds):
            ended += 1
            assert not does_as_well(real(*map(int, own)), exact)
    assert ended > 50, "bounds that decide nothing"


def test_prompts_whose_turn_never_came_say_nothing_of_sizes():
    """A whole pool that does not flip is known of all prompts, large sizes alone would be counted."""
    flipless = [
        NullDictionary(
            kind=NullKind.ROTATED,
            number=i,
            name="",
            sets=(
                *(searched(p, 2) for p in PROMPTS[:4]),
                *(waiting(p) for p in PROMPTS[4:7]),
                SearchedSet(
                    prompt_id=PROMPTS[7],
                    features=(),
                    n_candidates=N_CANDIDATES,
                    size=N_CANDIDATES + 1,
                    exact=True,
                    searched=False,
                    complied=None,
                    kl=None,
                ),
            ),
        )
        for i in range(9)
    ]
    found = against_dictionaries(
        real(*[1] * 8), flipless, n_asked=9, one_ends=True, in_text=False
    ).kinds[0]
    assert found.searched_size == pytest.approx(2.0)
    assert found.ratio is not None
    assert found.ratio.n == 4
    assert found.flipped_null == (7,) * 9
    assert found.n_exact == 0


def test_a_set_within_limits_counts_no_fewer_features_than_one_without():
    assert counted_size(2, 3, 10) == 3
    assert counted_size(4, 3, 10) == 4
    assert counted_size(0, 3, 10) == 11


def test_a_flip_takes_no_fewer_features_than_a_set_that_had_to_be_given_up():
    found = [replace(minimal("p0", *chosen(2)), largest_given_up=5)]
    (own,) = own_sets(found, [minimal("p0", *chosen(3))], ["p0"], None)
    assert (own.size, len(own.features)) == (5, 2)


def in_text(prompt_id: str, *features: FeatureId) -> TextSet:
    return TextSet.example(prompt_id=prompt_id, features=features)


def test_a_flip_in_text_takes_the_features_under_which_the_answer_complies():
    """No fewer than the flip by score: a search that spared some would make the real dictionary better
    than what was found on the way."""
    found = [minimal(p, *chosen(2)) for p in PROMPTS[:3]]
    said = [in_text(p, *chosen(size)) for p, size in zip(PROMPTS[:3], (2, 5, 1), strict=True)]
    own = own_sets(found, found, PROMPTS[:3], said)
    assert [one.size for one in own] == [2, 5, 2]
    assert [len(one.features) for one in own] == [2, 5, 1]
    effects = [one.side_effects for one in said]
    assert [one.kl for one in own] == [one and one.kl.value for one in effects]


def test_a_prompt_that_no_set_flips_in_text_is_not_flipped():
    found = [minimal(p, *chosen(2)) for p in PROMPTS]
    said = [in_text(p, *chosen(2 if i > 2 else 0)) for i, p in enumerate(PROMPTS)]
    own = own_sets(found, found, PROMPTS, said)
    assert [one.complied for one in own] == [False] * 3 + [True] * 5
    assert [one.size for one in own] == [N_CANDIDATES + 1] * 3 + [2] * 5
    drawn = [null(NullKind.ROTATED, i, *[3] * 8) for i in range(1)]
    by_text = against_dictionaries(own, drawn, n_asked=19, one_ends=True, in_text=True)
    assert by_text.kinds[0].n_as_good == 1, "3 features everywhere are fewer than 2 or none"
    assert by_text.reason.startswith("A flip in text takes")
    by_score = against_dictionaries(real(*[2] * 8), drawn, n_asked=1, one_ends=True, in_text=False)
    assert by_score.kinds[0].n_as_good == 0
