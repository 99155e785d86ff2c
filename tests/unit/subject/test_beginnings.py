"""What is kept of the tokens that all prompts begin with."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sae_audit.subject.intervention import beginnings
from sae_audit.subject.intervention.beginnings import Beginnings, Begun, in_slices
from tests import tiny

HEAD = list(range(5, 15))


@pytest.fixture(scope="module")
def passes():
    saes = [tiny.sae("jumprelu", layer) for layer in range(tiny.N_LAYERS)]
    return tiny.subject_in_memory("llama", saes)._passes


def prompt(*rest: int) -> torch.Tensor:
    return torch.tensor([*HEAD, *rest])


def begun(n_bytes: int) -> Begun:
    keys = torch.zeros(1, 1, n_bytes // 8, 1)
    return Begun(after=0, kept=([(keys, keys)],))


def test_all_prompts_must_begin_with_it_and_go_on(passes):
    there = Beginnings(HEAD, passes)
    assert there.n_alike([prompt(1), prompt(2, 3)]) == 10
    assert there.n_alike([prompt(1), prompt()]) == 0
    assert there.n_alike([prompt(1), torch.tensor([4, *HEAD[1:], 2])]) == 0


def test_few_tokens_are_not_worth_it(passes):
    assert Beginnings(HEAD[: beginnings.ALIKE_FROM - 1], passes).n_alike([prompt(1)]) == 0
    assert Beginnings(HEAD[: beginnings.ALIKE_FROM], passes).n_alike([prompt(1)]) > 0
    assert Beginnings([], passes).n_alike([prompt(1)]) == 0


def test_nor_where_a_prompts_length_changes_how_it_begins(passes, monkeypatch: pytest.MonkeyPatch):
    """Rotary angles that are scaled from some length on."""
    monkeypatch.setitem(vars(passes), "fixed_up_to", 12.0)
    assert Beginnings(HEAD, passes).n_alike([prompt(1, 2)]) == 10
    assert Beginnings(HEAD, passes).n_alike([prompt(1, 2), prompt(1, 2, 3)]) == 0


def test_each_is_made_once_and_nothing_can_be_one(passes):
    there, made = Beginnings(HEAD, passes), list[str]()

    def make(keys: list[str]) -> list[Begun | None]:
        made.extend(keys)
        return [None if key == "none" else begun(80) for key in keys]

    first = there.of(["a", "none", "a"], make)
    again = there.of(["b", "a", "none"], make)
    assert made == ["a", "none", "b"]
    assert again["a"] is first["a"]
    assert again["none"] is None
    assert there.known("none")
    there.clear()
    assert not there.known("a")
    assert there.of(["a"], make)["a"] is not first["a"]


def test_those_asked_for_the_longest_ago_are_dropped_first(passes):
    """What is asked for now is answered whole, even if it is more than is kept."""
    there = Beginnings(HEAD, passes, kept_bytes=200)

    def make(keys: list[str]) -> list[Begun]:
        return [begun(80) for _ in keys]

    there.of(["a", "b"], make)
    there.of(["a"], make)
    there.of(["c"], make)
    assert [there.known(key) for key in "abc"] == [True, False, True]
    assert set(there.of("defgh", make)) == set("defgh")
    assert sum(there.known(key) for key in "abcdefgh") == 2


def test_no_more_are_made_together_than_are_kept(passes):
    """Two tensors a layer, of two heads of four numbers in float32, for ten tokens."""
    each = 2 * tiny.N_LAYERS * 2 * 4 * 4 * len(HEAD)
    assert Beginnings(HEAD, passes, kept_bytes=3 * each).most_together == 3
    assert Beginnings(HEAD, passes, kept_bytes=1).most_together == 1


@given(st.lists(st.integers(0, 5), max_size=20), st.integers(1, 4))
def test_equal_ones_stay_in_one_slice(keys: list[int], most: int):
    slices = list(in_slices(keys, most))
    assert sorted(place for one in slices for place in one) == list(range(len(keys)))
    own = [{keys[place] for place in one} for one in slices]
    assert all(len(one) == most for one in own[:-1])
    assert sum(map(len, own)) == len(set(keys))
