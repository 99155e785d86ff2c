"""What became of single features, where it is known."""

import pytest

from sae_audit.comparison.decided import InItsPlace
from sae_audit.comparison.feature_roles import feature_role, feature_roles
from sae_audit.record.run import Run
from sae_audit.statistics import share
from sae_audit.vocabulary import FeatureId
from tests.synthetic.findings import A, B, C, minimal, prompt_scores
from tests.synthetic.runs import synthetic_run

Runs = tuple[Run, Run]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A holds four prompts before and one after, B comes in its place on two; p4 is flipped in one."""
    folder = tmp_path_factory.mktemp("roles")
    scores = prompt_scores([4.0] * 5, [-5.0])
    before = [minimal(f"p{i}", A, C) for i in range(4)]
    after = [minimal("p0", A, C), minimal("p1", B), minimal("p2", B, C), minimal("p3", C)]
    a = synthetic_run(
        folder / "a",
        scores=scores,
        minimal_sets=[*before, minimal("p4", A)],
        cascades=[],
        graphs=[],
    )
    b = synthetic_run(
        folder / "b", scores=scores, minimal_sets=[*after, minimal("p4")], cascades=[], graphs=[]
    )
    return a, b


def test_only_prompts_flipped_in_both_count(runs: Runs):
    found = feature_role(*runs, A)
    assert (found.n, found.before, found.after) == (4, 4, 1)
    assert found.in_its_place == (InItsPlace(feature=B, n=2),), "C was there before"


def test_measurements_are_those_of_each_run(runs: Runs):
    found = feature_role(*runs, B)
    assert (found.ends_before, found.fires_before) == (None, None), "not measured in the parent"
    assert (found.ends_after, found.fires_after) == (share(3, 9), share(11, 11))


def test_all_of_them_the_largest_change_first(runs: Runs):
    found = feature_roles(*runs)
    assert [(one.feature, one.after - one.before) for one in found] == [
        (A, -3),
        (B, 2),
        (C, -1),
    ]


@pytest.mark.parametrize(
    ("feature", "sentence"),
    [
        (
            A,
            "L1/3 was in the sets of 4 of 4 prompts, and is in those of 1 of 4; most often L2/5 is new "
            "in its place (2 prompts).",
        ),
        (B, "L2/5 was in no set, and is in those of 2 of 4 prompts now."),
        (
            C,
            "L2/8 was in the sets of 4 of 4 prompts, and is in those of 3 of 4; most often L2/5 is new "
            "in its place (1 prompt).",
        ),
        (FeatureId(1, 9), "L1/9 is in the sets of 0 of 4 prompts, as before."),
    ],
)
def test_it_is_said_in_a_sentence(runs: Runs, feature: FeatureId, sentence: str):
    assert feature_role(*runs, feature).sentence == sentence


def test_one_that_is_gone(runs: Runs):
    b, a = runs
    assert feature_role(a, b, B).sentence.startswith(
        "L2/5 was in the sets of 2 of 4 prompts, and is in none now; most often L1/3 is new"
    )
