"""The same search behind a random set: nothing where backups are the minimal set's alone, and as
much as its own where anything ablated has some."""

from sae_audit.cascade.null import cascade_null
from sae_audit.cascade.waves import cascade
from sae_audit.config import CascadeSettings
from sae_audit.findings import Cascade, CascadeNull
from sae_audit.vocabulary import FeatureId
from tests.unit.cascade.world import Activates, World

A, B = FeatureId(0, 0), FeatureId(1, 0)
OTHERS = [FeatureId(0, 10 + i) for i in range(4)]
THEIRS = [FeatureId(1, 10 + i) for i in range(4)]
SETTINGS = CascadeSettings()


def both(world: World, prompt_id: str = "p", seed: int = 0) -> tuple[Cascade, CascadeNull]:
    own = cascade(prompt_id, world.questions(), frozenset([A]), SETTINGS)
    return own, cascade_null(own, world.questions(), SETTINGS, seed=seed)


def world(*, backups: bool) -> World:
    """A and four others fire; A has a backup, and so have the others with `backups`."""
    activates: Activates = {A: "on", **dict.fromkeys(OTHERS, "on"), B: [{A}]}
    if backups:
        activates = {
            **activates,
            **{theirs: [{one}] for one, theirs in zip(OTHERS, THEIRS, strict=True)},
        }
    return World(activates, {A: 4.0, B: 3.0} | dict.fromkeys((*OTHERS, *THEIRS), 1.0))


def test_where_the_minimal_set_alone_has_a_backup_chance_finds_none():
    own, random = both(world(backups=False))
    assert own.depth == 2
    assert random.cascade is not None
    assert random.cascade.depth == 1
    assert random.cascade.stop == "no dormant feature activates"
    assert random.cascade.effects is not None
    assert random.cascade.effects.direct == random.cascade.effects.total == 1.0


def test_where_every_feature_has_a_backup_chance_goes_as_deep():
    own, random = both(world(backups=True))
    assert random.cascade is not None
    assert random.cascade.depth == own.depth == 2
    (first,), (second,) = (wave.features for wave in random.cascade.waves)
    assert second == THEIRS[OTHERS.index(first)]
    assert random.cascade.effects is not None
    assert random.cascade.effects.total == 0.0, "its backup does all that it did"


def test_the_random_set_is_none_of_the_cascade_and_differs_between_prompts():
    drawn = set[FeatureId]()
    for number in range(20):
        _, random = both(world(backups=False), f"p{number}")
        assert random.cascade is not None
        (first,) = random.cascade.waves[0].features
        drawn.add(first)
    assert len(drawn) > 1
    assert drawn <= set(OTHERS)
    assert both(world(backups=False))[1] == both(world(backups=False))[1]


def test_a_layer_that_fires_nothing_else_has_no_random_set():
    _, random = both(World({A: "on", B: [{A}]}, {A: 4.0, B: 3.0}))
    assert random.cascade is None
