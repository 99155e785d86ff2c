"""Cascades of many prompts: shares, means and their controls, worked by hand on three prompts."""

from dataclasses import replace

import pytest

from sae_audit.cascade.pooled import pooled_cascade
from sae_audit.findings import Awake, EdgeKind, PooledCascade, WakeEdge, WakeEdges, Waking
from sae_audit.statistics import share
from sae_audit.vocabulary import FeatureId, TokenClass
from tests.synthetic import A, B, C, cascade

BOS, SYSTEM, CONTENT, TEMPLATE = TokenClass


def edge(cause: FeatureId, feature: FeatureId, kind: EdgeKind, waking: int = 0) -> WakeEdge:
    return WakeEdge(
        cause=cause,
        feature=feature,
        kind=kind,
        activation=1.0,
        activation_spared=0.0,
        activation_alone=1.0,
        activation_held=1.0,
        through=(),
        n_controls=4,
        n_controls_waking=waking,
    )


def edges(prompt_id: str, *found: WakeEdge) -> WakeEdges:
    return WakeEdges(prompt_id=prompt_id, edges=found, n_pairs_tested=3, left_out=(), n_runs=9)


def counts(bos: int = 0, system: int = 0, content: int = 0, template: int = 0):
    return {BOS: bos, SYSTEM: system, CONTENT: content, TEMPLATE: template}


def waking(prompt_id: str, peaks: dict[TokenClass, int], random: tuple[int, ...]) -> Waking:
    return Waking(
        prompt_id=prompt_id,
        tokens=counts(1, 3, 4, 2),
        clean_fires_at=counts(content=8, template=8),
        clean_peaks_at=counts(content=3, template=1),
        awake=(
            Awake(
                n_waves=1,
                n_features=sum(peaks.values()),
                fires_at=peaks,
                peaks_at=peaks,
                n_random=random,
            ),
        ),
        woken=(),
    )


CASCADES = [
    replace(cascade("p", A, B, ratio=0.2), frozen_ratio=0.3),
    replace(cascade("q", A, B, C, ratio=0.4), frozen_ratio=0.7),
    replace(cascade("r", A, ratio=0.9), frozen_ratio=None),
]
EDGES = [
    edges("p", edge(A, B, EdgeKind.DIRECT, waking=2)),
    edges("q", edge(A, C, EdgeKind.DIRECT), edge(B, C, EdgeKind.JOINT)),
    edges("r"),
]
WAKING = [
    waking("p", counts(bos=3, template=1), (1, 3)),
    waking("q", counts(template=4), (4, 4)),
    waking("r", counts(), (0, 2)),
]


@pytest.fixture(scope="module")
def found() -> PooledCascade:
    return pooled_cascade(CASCADES, EDGES, WAKING, seed=0)


def test_depth_has_its_distribution_and_its_mean(found: PooledCascade):
    assert found.depths == {1: 1, 2: 1, 3: 1}
    assert found.depth.value == 2.0
    assert found.depth.low <= 2.0 <= found.depth.high


def test_a_feature_has_its_share_of_cascades_in_each_wave(found: PooledCascade):
    shares = {(one.wave, one.feature): one.share for one in found.features}
    assert shares == {(1, A): share(3, 3), (2, B): share(2, 3), (3, C): share(1, 3)}


def test_an_edge_has_its_share_of_the_cascades_that_hold_the_pair(found: PooledCascade):
    shares = {(one.cause, one.feature): one.share for one in found.edges}
    assert shares == {(A, B): share(1, 2), (A, C): share(1, 1), (B, C): share(1, 1)}
    assert found.edge_kinds == {EdgeKind.DIRECT: 2, EdgeKind.MEDIATED: 0, EdgeKind.JOINT: 1}


def test_stand_ins_are_averaged_by_prompt(found: PooledCascade):
    assert found.edge_control is not None
    assert found.edge_control.value == pytest.approx((2 / 4 + 0 / 8) / 2)
    assert found.edge_control.n == 2, "the third prompt has no edge"


def test_pairs_of_features_left_out_do_not_count_as_tested():
    without = [replace(EDGES[0]), replace(EDGES[1], left_out=(B,), edges=()), EDGES[2]]
    found = pooled_cascade(CASCADES, without, WAKING, seed=0)
    assert {(one.cause, one.feature): one.share for one in found.edges} == {(A, B): share(1, 1)}


def test_shares_of_tokens_are_means_over_prompts_in_which_something_wakes(found: PooledCascade):
    tokens = {one.token: one for one in found.tokens}
    assert tokens[BOS].peaks.value == pytest.approx((3 / 4 + 0) / 2)
    assert tokens[TEMPLATE].fires.value == pytest.approx((1 / 4 + 1) / 2)
    assert tokens[TEMPLATE].clean_peaks.value == pytest.approx(1 / 4)
    assert tokens[TEMPLATE].clean_fires.value == pytest.approx(1 / 2)
    assert tokens[SYSTEM].tokens.value == pytest.approx(3 / 10)
    assert {one.peaks.n for one in found.tokens} == {2}


def test_waking_stands_beside_chance(found: PooledCascade):
    (one,) = found.awake
    assert one.n_awake.value == pytest.approx((4 + 4 + 0) / 3)
    assert one.n_random.value == pytest.approx((2 + 4 + 1) / 3)
    assert one.p_value == 1.0, "differences of 2, 0 and -1"


def test_the_norms_part_is_the_paired_difference_where_both_ratios_are(found: PooledCascade):
    assert found.compensation is not None
    assert found.compensation_frozen is not None
    assert found.compensation_norm is not None
    assert found.compensation.value == pytest.approx(0.3), "not the third prompt's 0.9"
    assert found.compensation_frozen.value == pytest.approx(0.5)
    assert found.compensation_norm.value == pytest.approx(0.2)


def test_without_ratios_none_is_stated():
    alone = cascade("p", A, ratio=None)
    bare = pooled_cascade([alone], [edges("p")], [waking("p", counts(), (0,))], seed=0)
    assert bare.compensation is bare.compensation_frozen is bare.edge_control is None
    assert bare.tokens == ()
