"""Cascades of many prompts: shares, means and their controls, worked by hand on a few prompts."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from sae_audit.cascade.pooled import pooled_cascade
from sae_audit.findings import (
    ActivatedFeatures,
    ActivationEdge,
    ActivationEdges,
    ActivationTokens,
    Cascade,
    CascadeNull,
    EdgeKind,
    FirstWaveEffects,
    PooledCascade,
    Restoration,
    StandIns,
    SwitchedOff,
)
from sae_audit.statistics import share
from sae_audit.vocabulary import FeatureId, TokenClass
from tests.synthetic.findings import A, B, C, cascade

BOS, SYSTEM, CONTENT, TEMPLATE = TokenClass


def edge(
    cause: FeatureId, feature: FeatureId, kind: EdgeKind, activated: int = 0
) -> ActivationEdge:
    return ActivationEdge(
        cause=cause,
        feature=feature,
        kind=kind,
        activation=1.0,
        activation_kept=0.0,
        activation_alone=1.0,
        activation_held=1.0,
        through=(),
        n_controls=4,
        n_controls_activating=activated,
    )


def edges(prompt_id: str, *found: ActivationEdge) -> ActivationEdges:
    return ActivationEdges(
        prompt_id=prompt_id, edges=found, n_pairs_tested=3, left_out=(), n_runs=9
    )


def counts(bos: int = 0, system: int = 0, content: int = 0, template: int = 0):
    return {BOS: bos, SYSTEM: system, CONTENT: content, TEMPLATE: template}


def activated(
    prompt_id: str,
    peaks: dict[TokenClass, int],
    random: tuple[int, ...],
    random_peaks: dict[TokenClass, int] | None = None,
) -> ActivationTokens:
    return ActivationTokens(
        prompt_id=prompt_id,
        tokens=counts(1, 3, 4, 2),
        clean_fires_at=counts(content=8, template=8),
        clean_peaks_at=counts(content=3, template=1),
        active=(
            ActivatedFeatures(
                n_waves=1,
                n_features=sum(peaks.values()),
                fires_at=peaks,
                peaks_at=peaks,
                n_random=random,
                random_peaks_at=random_peaks or counts(content=sum(random)),
            ),
        ),
        activated=(),
    )


def effects(total: float, direct: float, frozen: float | None) -> FirstWaveEffects:
    return FirstWaveEffects(total=total, direct=direct, direct_frozen=frozen)


def chance(prompt_id: str, *waves: FeatureId) -> CascadeNull:
    found = replace(cascade(prompt_id, *waves), effects=effects(0.25, 0.5, 0.5)) if waves else None
    return CascadeNull(prompt_id=prompt_id, cascade=found)


def pooled(
    cascades: Sequence[Cascade],
    edges: Sequence[ActivationEdges],
    tokens: Sequence[ActivationTokens],
    null: Sequence[CascadeNull],
    restored: Sequence[Restoration] = (),
) -> PooledCascade:
    return pooled_cascade(cascades, edges, tokens, null, restored, min_effect=0.1, seed=0)


CASCADES = [
    replace(cascade("p", A, B), effects=effects(2.0, 4.0, 5.0)),
    replace(cascade("q", A, B, C), effects=effects(0.5, 0.125, 0.5)),
    replace(cascade("r", A), effects=None),
    replace(cascade("s", A, B), effects=effects(3.0, 3.875, 4.5)),
]
CHANCE = [chance("p", C), chance("q", C, B), chance("r"), chance("s", C)]
EDGES = [
    edges("p", edge(A, B, EdgeKind.DIRECT, activated=2)),
    edges("q", edge(A, B, EdgeKind.JOINT, activated=1), edge(B, C, EdgeKind.JOINT)),
    edges("r"),
    edges("s"),
]
ACTIVATION_TOKENS = [
    activated("p", counts(bos=3, template=1), (1, 3), counts(bos=1, content=3)),
    activated("q", counts(template=4), (4, 4), counts(content=4, template=4)),
    activated("r", counts(), (0, 2)),
    activated("s", counts(content=2), (2, 0)),
]


@pytest.fixture(scope="module")
def found() -> PooledCascade:
    return pooled(CASCADES, EDGES, ACTIVATION_TOKENS, CHANCE)


def test_depth_has_its_distribution_its_mean_and_its_share(found: PooledCascade):
    assert found.depths.counts == {1: 1, 2: 2, 3: 1}
    assert found.depths.mean.value == 2.0
    assert found.depths.mean.low < 2.0 < found.depths.mean.high
    assert found.depths.deeper == share(3, 4)


def test_depth_stands_beside_that_of_random_sets_on_the_prompts_that_have_one(found: PooledCascade):
    """Depths 2, 3 and 2 against 1, 2 and 1: of eight ways to flip signs two are as far from 0."""
    assert found.null is not None
    assert found.null.depths.counts == {1: 2, 2: 1}
    assert found.null.depths.deeper == share(1, 3)
    assert found.null.p_value == pytest.approx(2 / 8)


def test_without_a_random_set_there_is_no_control():
    bare = pooled_cascade(
        CASCADES, EDGES, ACTIVATION_TOKENS, [chance("p"), chance("q")], [], min_effect=0.1, seed=0
    )
    assert bare.null is None


def test_a_feature_has_its_share_of_cascades_in_each_wave(found: PooledCascade):
    shares = {(one.wave, one.feature): one.share for one in found.features}
    assert shares == {(1, A): share(4, 4), (2, B): share(3, 4), (3, C): share(1, 4)}


def test_a_pair_has_its_share_of_the_cascades_that_hold_it_and_its_stand_ins(found: PooledCascade):
    (pair,) = found.edges
    assert (pair.cause, pair.feature) == (A, B)
    assert pair.share == share(2, 3), "on the fourth prompt neither activates the other"
    assert pair.kinds == {EdgeKind.DIRECT: 1, EdgeKind.MEDIATED: 0, EdgeKind.JOINT: 1}
    assert pair.stand_ins == {
        EdgeKind.DIRECT: StandIns(n=4, n_activating=2),
        EdgeKind.MEDIATED: StandIns(n=0, n_activating=0),
        EdgeKind.JOINT: StandIns(n=4, n_activating=1),
    }
    assert (found.n_rare_pairs, found.n_rare_with_edge) == (2, 1), "A and B with C, on one prompt"


def test_a_pair_without_any_edge_has_a_share_of_none():
    without = [edges(one.prompt_id) for one in CASCADES]
    (pair,) = pooled_cascade(
        CASCADES, without, ACTIVATION_TOKENS, CHANCE, [], min_effect=0.1, seed=0
    ).edges
    assert pair.share == share(0, 3)


def test_stand_ins_are_averaged_by_prompt_kind_by_kind(found: PooledCascade):
    by_kind = {one.kind: one for one in found.edge_kinds}
    assert {kind: one.n for kind, one in by_kind.items()} == {
        EdgeKind.DIRECT: 1,
        EdgeKind.MEDIATED: 0,
        EdgeKind.JOINT: 2,
    }
    direct, joint = (by_kind[kind].control for kind in (EdgeKind.DIRECT, EdgeKind.JOINT))
    assert direct is not None
    assert direct.value == pytest.approx(2 / 4)
    assert joint is not None
    assert (joint.value, joint.n) == (pytest.approx(1 / 8), 1)
    assert by_kind[EdgeKind.MEDIATED].control is None


def test_pairs_of_features_left_out_do_not_count_as_tested():
    without = [EDGES[0], replace(EDGES[1], left_out=(B,), edges=()), EDGES[2], EDGES[3]]
    bare = pooled(CASCADES, without, ACTIVATION_TOKENS, CHANCE)
    assert bare.edges == (), "A and B are left on two prompts"
    assert (bare.n_rare_pairs, bare.n_rare_with_edge) == (2, 1)


def test_shares_of_tokens_are_means_over_prompts_in_which_something_wakes(found: PooledCascade):
    tokens = {one.token: one for one in found.tokens}
    assert tokens[BOS].peaks.value == pytest.approx((3 / 4 + 0 + 0) / 3)
    assert tokens[TEMPLATE].fires.value == pytest.approx((1 / 4 + 1 + 0) / 3)
    assert tokens[TEMPLATE].clean_peaks.value == pytest.approx(1 / 4)
    assert tokens[TEMPLATE].clean_fires.value == pytest.approx(1 / 2)
    assert tokens[SYSTEM].tokens.value == pytest.approx(3 / 10)
    assert {one.peaks.n for one in found.tokens} == {3}


def test_what_random_sets_wake_has_its_tokens_on_the_same_prompts(found: PooledCascade):
    shares = {one.token: one.random_peaks for one in found.tokens}
    content, template = shares[CONTENT], shares[TEMPLATE]
    assert content is not None
    assert template is not None
    assert content.value == pytest.approx((3 / 4 + 4 / 8 + 1) / 3), "not the third prompt's"
    assert template.value == pytest.approx((0 + 4 / 8 + 0) / 3)


def test_what_peaks_outside_the_text_and_how_much_of_that_on_the_first_token(found: PooledCascade):
    """p: 3 on the first token and 1 on the template of 4; q: 4 on the template of 4; s: 0 of 2."""
    (one,) = found.outside_text
    assert one.share.value == pytest.approx((1 + 1 + 0) / 3)
    assert one.on_bos is None, "two prompts have any"
    again = activated("t", counts(bos=1, content=1), (1,))
    (more,) = pooled(CASCADES, EDGES, [*ACTIVATION_TOKENS, again], CHANCE).outside_text
    assert more.share.value == pytest.approx((1 + 1 + 0 + 1 / 2) / 4)
    assert more.on_bos is not None
    assert (more.on_bos.value, more.on_bos.n) == (pytest.approx((3 / 4 + 0 + 1) / 3), 3)


def test_what_later_waves_switch_off_is_averaged_by_prompt():
    restored = [
        Restoration.example(
            prompt_id="p", switched_off=SwitchedOff(n_features=4, n_off=1, n_weaker=3)
        ),
        Restoration.example(
            prompt_id="q", switched_off=SwitchedOff(n_features=2, n_off=0, n_weaker=0)
        ),
        Restoration.example(prompt_id="r", switched_off=None),
        Restoration.example(
            prompt_id="s", switched_off=SwitchedOff(n_features=0, n_off=0, n_weaker=0)
        ),
    ]
    restored = [replace(one, restored=None) for one in restored]
    one = pooled(CASCADES, EDGES, ACTIVATION_TOKENS, CHANCE, restored).switched_off
    assert one is not None
    assert (one.off.value, one.off.n) == (pytest.approx(1 / 8), 2)
    assert one.weaker.value == pytest.approx(3 / 8)


def test_fewer_than_three_prompts_give_no_share_of_tokens_and_no_number_awake():
    few = pooled_cascade(
        CASCADES[:2], EDGES[:2], ACTIVATION_TOKENS[:2], CHANCE[:2], [], min_effect=0.1, seed=0
    )
    assert (few.tokens, few.active, few.edges) == ((), (), ())


def test_waking_stands_beside_chance(found: PooledCascade):
    (one,) = found.active
    assert one.n_activated.value == pytest.approx((4 + 4 + 0 + 2) / 4)
    assert one.n_random.value == pytest.approx((2 + 4 + 1 + 1) / 4)
    assert one.p_value == 0.75, "of differences 2, 0, -1 and 1: half a sum of 2 or more, each way"


@pytest.fixture(scope="module")
def often() -> PooledCascade:
    """Each prompt four times: twelve with effects, enough for an interval above 0."""
    names = [f" {i}" for i in range(4)]
    own = [replace(one, prompt_id=one.prompt_id + name) for name in names for one in CASCADES]
    null = [
        CascadeNull(
            prompt_id=one.prompt_id + name,
            cascade=one.cascade and replace(one.cascade, prompt_id=one.prompt_id + name),
        )
        for name in names
        for one in CHANCE
    ]
    return pooled_cascade(own, [], [], null, [], min_effect=0.1, seed=0)


def test_three_prompts_have_no_ratio(found: PooledCascade):
    """Too few to know that the mean direct effect is not 0."""
    assert found.compensation is not None
    assert (found.compensation.direct.n, found.compensation.ratio) == (3, None)
    assert found.compensation_frozen is None


def test_compensation_is_a_ratio_of_means_in_nats(often: PooledCascade):
    """Total 2, .5 and 3, direct 4, .125 and 3.875: the second prompt's own ratio is -3."""
    found = often
    one = found.compensation
    assert one is not None
    assert one.ratio is not None
    assert (one.total.value, one.total.n) == (pytest.approx(5.5 / 3), 12)
    assert one.direct.value == pytest.approx(8 / 3)
    assert one.undone.value == pytest.approx(2.5 / 3)
    assert one.ratio.value == pytest.approx(1 - 5.5 / 8)
    assert one.ratio.low < one.ratio.value < one.ratio.high
    assert found.null is not None
    assert found.null.compensation is not None
    assert found.null.compensation.undone.value == pytest.approx(0.25)


def test_the_norms_part_is_the_difference_of_the_two_ratios(often: PooledCascade):
    found = often
    assert found.compensation_frozen is not None
    assert found.compensation_norm is not None
    assert found.compensation_frozen.value == pytest.approx(1 - 5.5 / 10)
    assert found.compensation_norm.value == pytest.approx(5.5 / 8 - 5.5 / 10)
    assert found.compensation_norm.low <= found.compensation_norm.value


def test_a_direct_effect_within_its_interval_of_zero_gives_nats_and_no_ratio():
    made = [
        replace(cascade(name, A), effects=effects(1.0, direct, None))
        for name, direct in (("p", -1.0), ("q", 0.5), ("r", 1.0))
    ]
    bare = pooled(made, [], [], [])
    assert bare.compensation is not None
    assert bare.compensation.ratio is None
    assert bare.compensation.undone.value == pytest.approx(0.5 / 3 - 1.0)
    assert bare.compensation_frozen is bare.compensation_norm is None


def test_without_effects_no_compensation_is_stated():
    alone = cascade("p", A, ratio=False)
    bare = pooled([alone], [edges("p")], [activated("p", counts(), (0,))], [])
    assert bare.compensation is bare.compensation_frozen is bare.null is None
    assert bare.tokens == ()
