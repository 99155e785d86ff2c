"""Where features activate, and how many activate by chance."""

from sae_audit.cascade.activation_tokens import activated
from sae_audit.cascade.waves import cascade
from sae_audit.config import CascadeSettings
from sae_audit.findings import ActivationTokens
from sae_audit.vocabulary import FeatureId, TokenClass
from tests.unit.cascade.world import World

BOS, SYSTEM, CONTENT, TEMPLATE = TokenClass
CLASSES = dict(enumerate(TokenClass))
A, B, C, NOISE = FeatureId(0, 0), FeatureId(1, 0), FeatureId(2, 0), FeatureId(1, 5)
OTHERS = [FeatureId(0, 10 + i) for i in range(4)]
WORLD = World(
    {A: "on", **dict.fromkeys(OTHERS, "on"), B: [{A}], C: [{A, B}], NOISE: [{A}, {OTHERS[0]}]},
    {A: 4.0, B: 3.0, C: 2.0, NOISE: 0.0, **dict.fromkeys(OTHERS, 0.0)},
    at={B: (0,), C: (1, 3), NOISE: (0, 2)},
)


def of(world: World, n_random: int = 40) -> ActivationTokens:
    found = cascade("p", world.questions(), frozenset([A, B, C]), CascadeSettings())
    return activated(found, world.fired, CLASSES, n_random=n_random, seed=0)


def test_activations_and_peaks_are_counted_by_the_class_of_their_token():
    """B fires on BOS alone; NOISE on BOS and, hardest, on a word; both activate once A is ablated."""
    first, second, third = of(WORLD).active
    assert (first.n_waves, first.n_features) == (1, 2)
    assert first.fires_at == {BOS: 2, SYSTEM: 0, CONTENT: 1, TEMPLATE: 0}
    assert first.peaks_at == {BOS: 1, SYSTEM: 0, CONTENT: 1, TEMPLATE: 0}
    assert second.peaks_at == {BOS: 0, SYSTEM: 0, CONTENT: 1, TEMPLATE: 1}, "C and NOISE; B is gone"
    assert third.n_features == 1, "NOISE, which joins no wave"


def test_a_feature_that_joined_a_wave_is_named_with_its_positions():
    activated = {one.feature: one for one in of(WORLD).activated}
    assert set(activated) == {B, C}
    assert (activated[B].wave, activated[B].positions, activated[B].peak_at) == (2, (0,), BOS)
    assert (activated[C].wave, activated[C].positions, activated[C].peak_at) == (
        3,
        (1, 3),
        TEMPLATE,
    )


def test_tokens_and_clean_features_stand_beside_as_controls():
    found = of(WORLD)
    assert found.tokens == dict.fromkeys(TokenClass, 1)
    assert found.clean_fires_at == dict.fromkeys(TokenClass, 5), "five features, everywhere"
    assert found.clean_peaks_at[TEMPLATE] == 5, "hardest at the last position"


def test_random_sets_wake_what_chance_wakes():
    """One of the four stand-ins for A activates NOISE, the others nothing."""
    first = of(WORLD).active[0]
    assert set(first.n_random) == {0, 1}
    assert len(first.n_random) == 40
    peaks = {token for token, n in first.random_peaks_at.items() if n}
    assert peaks == {CONTENT}, (
        "NOISE fires hardest on a word; B, which activates on BOS, is A's alone"
    )
    assert first.random_peaks_at[CONTENT] == sum(first.n_random) > 0


def test_the_same_seed_draws_the_same_sets():
    assert of(WORLD) == of(WORLD)
