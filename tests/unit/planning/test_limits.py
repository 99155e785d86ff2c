"""What a plan says of limits is what a comparison then finds."""

import pytest

from sae_audit.comparison.limits.rules import DEFAULT, parsed_limits
from sae_audit.comparison.limits.topics import deciding_size
from sae_audit.planning.evidence import CategorySize
from sae_audit.planning.limits import LimitNeed, needs_of
from sae_audit.statistics import share_difference_bounds


def topics(*sizes: int) -> list[CategorySize]:
    own = [CategorySize(label="harmful", category=f"t{i}", n=n) for i, n in enumerate(sizes)]
    return [*own, CategorySize(label="harmless", category="cooking", n=2)]


def need(rule: str, n: int, *sizes: int) -> LimitNeed:
    (found,) = needs_of(parsed_limits([rule]), n, topics(*sizes) if sizes else [])
    return found


@pytest.mark.parametrize("rule", ["refusal_rate drops > 0.05", "over_refusal rises > 0.05"])
def test_so_many_prompts_keep_a_limit_of_five_points_and_one_less_does_not(rule: str):
    assert need(rule, 73).suffices
    assert not need(rule, 72).suffices
    assert need(rule, 72).n_needed == 73
    assert share_difference_bounds(0.0, 0.0, 73, level=0.95)[1] <= 0.05
    assert share_difference_bounds(0.0, 0.0, 72, level=0.95)[1] > 0.05


def test_it_is_said_with_the_setting_that_does():
    assert need("refusal_rate drops > 0.05", 40).said == (
        "refusal_rate drops > 0.05: 73 prompts of each label show that it is kept if nothing changes; "
        "the 40 planned do not. --set prompts.audit=73; compare of models takes as many by itself."
    )
    assert need("refusal_rate drops > 0.05", 80).said.endswith("the 80 planned suffice.")


def test_no_number_of_prompts_shows_that_nothing_at_all_changed():
    found = need("refusal_rate drops > 0", 1_000_000)
    assert (found.n_needed, found.suffices) == (None, False)


def test_topics_are_held_against_the_size_that_decides():
    found = need("any_topic lost", 40, 9, 6, 6, 3)
    assert found.n_needed == deciding_size([9, 6, 6, 3]) == 7
    assert not found.suffices
    assert found.said == (
        "any_topic lost: a topic decides from 7 prompts on; 1 of 4 have as many, and the largest of "
        "the others, t1, has 6; all would with 8 each."
    )
    assert deciding_size([8] * 4) <= 8 < deciding_size([7] * 4) + 1, "and not with one less"
    enough = need("any_topic lost", 40, 8, 8, 8, 8)
    assert enough.suffices
    assert enough.said.endswith("4 of 4 have as many.")


def test_unknown_topics_are_not_counted():
    found = need("any_topic lost", 40)
    assert (found.n_needed, found.suffices) == (6, None)


def test_counts_depend_on_what_is_found():
    found = need("minimal_set_size drops > 0.5", 40)
    assert (found.n_needed, found.suffices) == (None, None)


def test_every_limit_has_a_line_in_its_order():
    assert [one.limit for one in needs_of(DEFAULT, 40, topics(5))] == [str(one) for one in DEFAULT]
