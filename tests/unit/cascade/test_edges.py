"""Edges of small worlds: which activates which, by itself, through whom, or only together."""

from collections.abc import Mapping

import pytest

from sae_audit.cascade.edges import activation_edges
from sae_audit.cascade.waves import cascade
from sae_audit.config import CascadeSettings
from sae_audit.findings import ActivationEdge, ActivationEdges, EdgeKind
from sae_audit.vocabulary import FeatureId
from tests.unit.cascade.world import World

A, A2, B, C, D = (FeatureId(layer, i) for layer, i in ((0, 0), (0, 1), (1, 0), (2, 0), (3, 0)))
OTHERS = [FeatureId(0, 10 + i) for i in range(3)]
SETTINGS = CascadeSettings(min_effect=0.1)


def edges_of(world: World, *minimal: FeatureId, **settings: int) -> ActivationEdges:
    chosen = SETTINGS.model_copy(update=settings)
    found = cascade("p", world.questions(), frozenset(minimal), chosen)
    return activation_edges(found, world.active, world.activations, chosen)


def by_pair(found: ActivationEdges) -> Mapping[tuple[FeatureId, FeatureId], ActivationEdge]:
    return {(edge.cause, edge.feature): edge for edge in found.edges}


def world(activates: dict, driven_by: dict | None = None) -> World:
    strengths = dict.fromkeys(activates, 2.0)
    return World(activates, strengths, driven_by=driven_by or {})


def test_a_backup_behind_a_backup():
    """A keeps B and C inactive, B keeps C: A activates B; A activates C too, but B masks it; B's
    ablation activates C only together with A's."""
    edges = by_pair(edges_of(world({A: "on", B: [{A}], C: [{A, B}]}), A, B, C))
    assert {pair: edge.kind for pair, edge in edges.items()} == {
        (A, B): EdgeKind.DIRECT,
        (A, C): EdgeKind.DIRECT,
        (B, C): EdgeKind.JOINT,
    }
    masked = edges[A, C]
    assert (masked.activation_alone, masked.activation_held) == (0.0, 1.0)
    assert masked.activation_kept == 0.0, "necessary"
    assert (edges[B, C].activation, edges[B, C].activation_kept) == (1.0, 0.0)
    assert edges[A, B].through == edges[A, C].through == edges[B, C].through == ()


def test_an_edge_that_runs_through_a_third_feature():
    """B is driven by A and keeps C inactive: ablating A silences B, and that activates C."""
    chain = world({A: "on", B: "on", C: [{B}]}, driven_by={B: A})
    edges = by_pair(edges_of(chain, A, B, C))
    assert edges[A, C].kind == EdgeKind.MEDIATED
    assert edges[A, C].through == (B,)
    assert edges[A, C].activation_alone == 1.0
    assert edges[A, C].activation_held == 0.0, "B frozen where it was keeps C inactive"
    assert edges[B, C].kind == EdgeKind.DIRECT


def test_two_that_cover_for_each_other_give_one_joint_edge_each():
    """Either keeps B inactive: neither's sparing was an edge before, and neither alone activates it."""
    edges = by_pair(edges_of(world({A: "on", A2: "on", B: [{A, A2}]}), A, A2, B))
    assert {pair: edge.kind for pair, edge in edges.items()} == {
        (A, B): EdgeKind.JOINT,
        (A2, B): EdgeKind.JOINT,
    }


def test_two_either_of_which_is_enough_are_direct_and_not_necessary():
    """Sparing one cause at a time finds nothing here: the other one has activated B already."""
    edges = by_pair(edges_of(world({A: "on", A2: "on", B: [{A}, {A2}]}), A, A2, B))
    for cause in (A, A2):
        assert edges[cause, B].kind == EdgeKind.DIRECT
        assert edges[cause, B].activation_kept == 1.0


def test_a_pair_that_has_nothing_to_do_with_each_other_is_no_edge():
    found = edges_of(world({A: "on", A2: "on", B: [{A}]}), A, A2, B)
    assert set(by_pair(found)) == {(A, B)}
    assert found.n_pairs_tested == 2


def test_a_joint_edge_knows_what_it_runs_through():
    """C activates with A and A2 gone and drives D, which activates: frozen at zero, C does not."""
    activates = {A: "on", A2: "on", C: [{A, A2}], D: [{A, A2}]}
    edges = by_pair(edges_of(world(activates, driven_by={D: C}), A, A2, C, D))
    assert edges[A, D].kind == EdgeKind.JOINT
    assert edges[A, D].through == (C,)


@pytest.mark.parametrize("chance", [False, True])
def test_the_control_counts_stand_ins_that_wake_it_too(chance: bool):
    """Three other features of A's layer fire; B sleeps or activates when one of them is ablated."""
    causes = [{A}, *({other} for other in OTHERS)] if chance else [{A}]
    strengths = {A: 5.0, B: 2.0}
    made = World(
        {A: "on", **dict.fromkeys(OTHERS, "on"), B: causes}, strengths | dict.fromkeys(OTHERS, 0.0)
    )
    (edge,) = edges_of(made, A, B, edge_controls=2).edges
    assert edge.n_controls == 2
    assert edge.n_controls_activating == (2 if chance else 0)


def test_of_a_wave_too_large_the_strongest_are_tested_and_the_rest_named():
    many = [FeatureId(1, i) for i in range(6)]
    strengths = {A: 9.0, **{f: 1.0 + f.index for f in many}}
    made = World({A: "on", **{f: [{A}] for f in many}}, strengths)
    found = edges_of(made, A, *many, edge_features=2)
    assert {edge.feature for edge in found.edges} == set(many[-2:])
    assert found.left_out == tuple(many[:-2])


def test_one_wave_alone_has_no_edges():
    found = edges_of(world({A: "on"}), A)
    assert (found.edges, found.n_runs) == ((), 0)
