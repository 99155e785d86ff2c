"""Which features count as named, and which as important."""

from sae_audit.findings.mentions import mentions
from sae_audit.vocabulary import FeatureId
from tests.synthetic.findings import A, B, C, cascade, edges, family, graph, minimal

D = FeatureId(2, 9)


def named(**given):
    none = {
        **dict.fromkeys(
            (
                "minimal_sets",
                "unlimited_sets",
                "text_sets",
                "families",
                "graphs",
                "cascades",
                "edges",
            ),
            (),
        ),
        "pooled": None,
    }
    return mentions(**{**none, **given})


def test_nothing_names_nothing():
    assert named() == []


def test_sets_come_before_other_sets_and_these_before_what_wakes():
    sets = [minimal("p0", A), minimal("p1", A, B)]
    other = family(minimal("p0", A))  # a second set: C alone
    found = named(minimal_sets=sets, families=[other], cascades=[cascade("p0", A, D)])
    assert [one.feature for one in found] == [A, B, C, D]
    counts = {one.feature: (one.n_minimal, one.n_families, one.n_waves) for one in found}
    assert counts == {A: (2, 1, 0), B: (1, 0, 0), C: (0, 1, 0), D: (0, 0, 1)}


def test_a_prompt_counts_once_whatever_the_number_of_its_sets():
    (own,) = (one for one in named(families=[family(minimal("p0", A, B))]) if one.feature == A)
    assert own.n_families == 1


def test_only_named_pairs_count():
    found = {one.feature: one.n_pairs for one in named(graphs=[graph("p0")])}
    assert found == {A: 1, B: 1}, "A and C are a pair of no kind"


def test_edges_count_at_both_ends():
    found = {one.feature: one.n_edges for one in named(edges=[edges(cascade("p0", A, B))])}
    assert found == {A: 1, B: 1}


def test_ties_stand_in_the_order_of_layers():
    assert [one.feature for one in named(minimal_sets=[minimal("p0", C, B, A)])] == [A, B, C]
