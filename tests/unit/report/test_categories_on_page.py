"""What the page says of categories, and when it says that nothing is known."""

from dataclasses import replace
from itertools import count

import pytest

from sae_audit.findings import (
    CategoryFindings,
    CategoryPrompts,
    Knob,
    RandomRange,
    SteeredAgainst,
    Steering,
    SteeringCurve,
    TooFewCategories,
)
from sae_audit.record.run import Run
from sae_audit.report.findings.categories.words import (
    alike_sentence,
    control_sentence,
    families_sentence,
    knob_sentence,
    own_sentence,
    threshold_sentence,
    too_few_sentence,
)
from sae_audit.report.page import render
from tests.synthetic.findings import CATEGORIES, categories, estimate
from tests.visible import seen


def between(lowest: float, highest: float) -> RandomRange:
    return RandomRange(mean=(lowest + highest) / 2, lowest=lowest, highest=highest, n=20)


@pytest.fixture
def found() -> CategoryFindings:
    return categories(count(2))


def test_families_are_named_only_beyond_those_of_unrelated_topics_of_equal_size(
    found: CategoryFindings,
):
    clear = replace(
        found,
        silhouette=0.8,
        silhouette_at_topic_size=between(0.5, 0.7),
        topics_silhouette=between(0.1, 0.4),
    )
    said = families_sentence(clear)
    assert said.startswith("3 categories fall into 2 families: arson, fraud; humanizing")
    # The larger silhouette of more prompts does not count.
    unclear = replace(clear, silhouette=0.99, topics_silhouette=between(0.1, 0.6))
    assert families_sentence(unclear).startswith("No families stand out")
    assert "not known" in families_sentence(replace(clear, topics_silhouette=None))
    two = families_sentence(replace(clear, directions=clear.directions[:2]))
    assert two.startswith("Two categories are too few")


@pytest.mark.parametrize(
    ("own", "conclusion"),
    [
        ((0.7, 0.8), "more in common than topics have"),
        ((0.5, 0.8), "no sign of anything shared"),
        ((0.1, 0.2), "less in common than topics have"),
    ],
)
def test_directions_are_alike_only_beyond_unrelated_topics(
    found: CategoryFindings, own: tuple[float, float], conclusion: str
):
    one = replace(found, mean_at_topic_size=between(*own), topics=between(0.4, 0.6))
    assert conclusion in alike_sentence(one)
    assert "not known" in alike_sentence(replace(one, topics=None, mean_at_topic_size=None))


def kept(found: CategoryFindings, share: float, kl: float) -> CategoryFindings:
    """With so much refusal left by every ablation, at such a cost."""
    return replace(
        found,
        ablations=tuple(
            replace(
                one,
                kl=estimate(kl),
                left=tuple(replace(left, refused=estimate(share)) for left in one.left),
            )
            for one in found.ablations
        ),
    )


def test_an_effect_of_ablations_that_break_the_model_is_not_to_be_believed(
    found: CategoryFindings,
):
    clear = replace(kept(found, share=0.95, kl=0.02), specific=estimate(2.0))
    assert own_sentence(clear, 0.1).startswith("Projected out, a category's own direction lowers")
    assert "says little" not in own_sentence(clear, 0.1)
    costly = own_sentence(kept(clear, share=0.95, kl=3.0), 0.1)
    assert "This says little: 3 of 3 cost more than KL 0.1" in costly
    blunt = own_sentence(kept(clear, share=0.5, kl=0.02), 0.1)
    assert "a random direction leaves only 50% of the refusals" in blunt
    none = replace(clear, specific=replace(estimate(0.1), low=-0.5, high=0.7))
    assert "was not shown to do more" in own_sentence(none, 0.1)


def steering(
    *knobs: Knob, threshold: Knob = Knob.WORSE, headroom: float = 0.2, area: float = 0.03
) -> Steering:
    """Curves of so many categories, each with its verdict."""
    numbers = count(2)

    def curve(along: str, knob: Knob | None) -> SteeringCurve:
        against = None
        if knob is not None:
            against = SteeredAgainst(
                low=0.0, high=0.9, area=area, gain=0.01, upper=0.09, p_value=0.3, knob=knob
            )
        return SteeringCurve.example(numbers, along=along, against_pooled=against)

    return Steering(
        n_harmful_refused=40,
        n_harmful_answered=10,
        n_harmless_refused=5,
        n_harmless_answered=45,
        equal_within=0.05,
        curves=(
            *(curve(f"kind {i}", knob) for i, knob in enumerate(knobs)),
            curve("pooled", None),
            curve("random 1", Knob.WORSE),
            curve("threshold", threshold),
        ),
        headroom=headroom,
    )


def test_one_knob_is_said_only_if_every_category_is_equal():
    one = knob_sentence(steering(Knob.EQUAL, Knob.EQUAL))
    assert one.startswith("One knob: at equal refusals of harmless requests")
    assert "equal within 0.05" in one
    several = knob_sentence(steering(Knob.EQUAL, Knob.BETTER, Knob.WORSE, Knob.OPEN))
    assert several.startswith("More than one knob")
    assert "along kind 1 more and along kind 2 fewer harmful ones" in several
    assert "kind 0: equal within 0.05" in several


def test_what_cannot_be_told_says_how_many_prompts_would_do():
    unclear = knob_sentence(steering(Knob.EQUAL, Knob.OPEN))
    assert unclear.startswith(
        "One knob or several cannot be told: of 2 categories' directions 1 are"
    )
    # Noise of .06 beyond an area of .03 must shrink to .02, with the root of the number.
    assert "Some 9 times as many would do" in unclear
    # No number of prompts makes a real difference small.
    assert "times as many" not in knob_sentence(steering(Knob.OPEN, area=0.06))


def test_without_headroom_there_is_no_verdict():
    said = knob_sentence(steering(Knob.OPEN, Knob.OPEN, headroom=0.01))
    assert "whatever raises them all trades alike" in said


@pytest.mark.parametrize(
    ("knob", "said"),
    [
        (Knob.EQUAL, "no more than a bias of the first token"),
        (Knob.WORSE, "does better than a bias of the first token"),
        (Knob.BETTER, "would do better than the common direction"),
        (Knob.OPEN, "cannot be told"),
    ],
)
def test_the_common_direction_stands_beside_a_moved_threshold(knob: Knob, said: str):
    assert said in threshold_sentence(steering(Knob.EQUAL, threshold=knob))


def test_categories_that_differ_no_more_than_random_deals_are_said_not_to(found: CategoryFindings):
    assert "has p = 0.005" in control_sentence(replace(found, p_differ=0.005))
    dealt = control_sentence(replace(found, p_differ=0.17))
    assert "differ no more than random deals" in dealt
    assert "(p = 0.17)" in dealt


def test_too_few_categories_are_said_with_their_numbers():
    sizes = tuple(
        CategoryPrompts(category=name, n_asked=32, n_refused=n, n_used=n if n > 15 else 0)
        for name, n in zip(CATEGORIES, (30, 3, 0), strict=True)
    )
    few = TooFewCategories(taxonomy="own", n_harmless=40, sizes=sizes)
    assert too_few_sentence(few) == (
        "Not known: of 3 categories arson alone is refused often enough to compare."
    )
    nobody = replace(few, sizes=tuple(replace(one, n_used=0) for one in sizes))
    assert "none is refused" in too_few_sentence(nobody)
    both = replace(few, n_harmless=3, sizes=tuple(replace(one, n_used=20) for one in sizes))
    assert "answers only 3 harmless prompts of the taxonomy" in too_few_sentence(both)


def test_the_section_names_what_was_left_out_and_where_directions_are_read(run: Run, text: str):
    assert isinstance(run.categories, CategoryFindings)
    assert f"advice ({run.categories.sizes[-1].n_refused} of" in text
    assert f"all read in layer {run.categories.layer}" in text
    assert "Is refusal the same for every kind of request?" in text


def test_a_run_without_a_taxonomy_has_no_such_section(run: Run):
    without = Run(run.folder)
    without.__dict__ |= {"categories": None}
    page = seen(render(without))
    assert "every kind of request" not in page
    # The first screen leads to it.
    assert '<a href="#categories">' in render(run)
    assert '<a href="#categories">' not in render(without)


def test_a_run_with_too_few_shows_their_numbers(run: Run):
    few = Run(run.folder)
    sizes = (CategoryPrompts(category="arson", n_asked=31, n_refused=7, n_used=0),)
    few.__dict__ |= {"categories": TooFewCategories(taxonomy="own", n_harmless=3, sizes=sizes)}
    page = seen(render(few))
    assert "Not known: of 1 categories none is refused" in page
