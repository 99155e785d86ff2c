"""Asking about candidates until the choice is decided: always the choice of asking all."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float

from sae_audit.config import DirectionSettings
from sae_audit.direction.asking import ask_until_decided
from sae_audit.direction.filters import Chosen, first_cut_layer, is_finite, judged
from sae_audit.direction.methods import CandidateDirections
from sae_audit.direction.selection import (
    bypass_of,
    filters_by_bypass,
    induce_of,
    select_direction,
)
from sae_audit.direction.standing import Standing
from sae_audit.findings import DirectionEvaluation, StopReason
from sae_audit.vocabulary import SCORE_BOUND


@dataclass(kw_only=True, eq=False)
class World:
    """Every answer, written down: of candidates at all layers and positions, on all prompts."""

    n_layers: int
    n_positions: int
    of_bypass: Float[np.ndarray, "candidate harmful"]
    of_induce: Float[np.ndarray, "candidate harmless"]
    of_kl: Float[np.ndarray, "candidate harmless"]
    least_kl: Float[np.ndarray, " harmless"]
    score_bound: float = SCORE_BOUND
    layer_passes: Counter[str] = field(default_factory=Counter)

    @property
    def n_harmful(self) -> int:
        return self.of_bypass.shape[1]

    @property
    def n_harmless(self) -> int:
        return self.of_kl.shape[1]

    @property
    def layers(self) -> list[int]:
        return [layer for layer in range(self.n_layers) for _ in range(self.n_positions)]

    @property
    def positions(self) -> list[int]:
        return [place - self.n_positions for place in range(self.n_positions)] * self.n_layers

    @property
    def vectors(self) -> Float[np.ndarray, "candidate 2"]:
        """Which candidate a direction is can be read off it."""
        n = len(self.layers)
        return np.stack([np.arange(1.0, n + 1), np.ones(n)], axis=1)

    def bypass(self, directions: np.ndarray, prompts: Sequence[int]) -> np.ndarray:
        self.layer_passes["bypass"] += len(prompts) * self.n_layers
        return self.of_bypass[_named(directions), list(prompts)]

    def kl(self, directions: np.ndarray, prompts: Sequence[int]) -> np.ndarray:
        self.layer_passes["kl"] += len(prompts) * self.n_layers
        return self.of_kl[_named(directions), list(prompts)]

    def induce(
        self, directions: np.ndarray, prompts: Sequence[int], layers: Sequence[int]
    ) -> np.ndarray:
        assert [self.layers[c] for c in _named(directions)] == list(layers)
        self.layer_passes["induce"] += sum(self.n_layers - 1 - layer for layer in layers)
        return self.of_induce[_named(directions), list(prompts)]

    @property
    def n_exhaustive(self) -> int:
        """Layer-passes of asking about all, each in whole passes."""
        return len(self.layers) * (self.n_harmful + 2 * self.n_harmless) * self.n_layers

    def evaluations(self) -> list[DirectionEvaluation]:
        with np.errstate(invalid="ignore"):
            return [
                DirectionEvaluation(
                    position=position,
                    layer=layer,
                    bypass=float(self.of_bypass[c].mean()),
                    induce=float(self.of_induce[c].mean()),
                    kl=float(self.of_kl[c].mean()),
                )
                for c, (layer, position) in enumerate(zip(self.layers, self.positions, strict=True))
            ]

    def judged(self, filters: DirectionSettings) -> list[DirectionEvaluation]:
        limits = {
            name: getattr(filters, name) for name in ("kl_limit", "induce_floor", "layer_cut")
        }
        tests = filters_by_bypass(self.n_layers, **limits)
        return [judged(one, tests) for one in self.evaluations()]


def _named(directions: np.ndarray) -> list[int]:
    return (directions[:, 0] - 1).astype(int).tolist()


def asked(world: World, filters: DirectionSettings) -> Standing:
    standing = Standing(
        CandidateDirections(
            vectors=world.vectors, layers=tuple(world.layers), positions=tuple(world.positions)
        ),
        n_layers=world.n_layers,
        effects=world,
        settings=filters,
    )
    seen: list[tuple[int, int]] = []
    ask_until_decided(standing, lambda done, of: seen.append((done, of)))
    assert seen[-1] == (len(world.layers), len(world.layers))
    return standing


def exhaustive(world: World, filters: DirectionSettings) -> Chosen:
    return select_direction(
        world.judged(filters),
        world.n_layers,
        kl_limit=filters.kl_limit,
        induce_floor=filters.induce_floor,
        layer_cut=filters.layer_cut,
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Coarse values, so that ties abound; some not finite; candidates alike, at their limits."""
    n_layers, n_positions = draw(st.integers(1, 7)), draw(st.integers(1, 3))
    n_harmful, n_harmless = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    n = n_layers * n_positions
    random = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    coarse = draw(st.sampled_from([0.5, 4.0]))

    def scores(n_prompts: int, centre: float) -> np.ndarray:
        own = centre + random.normal(scale=draw(st.sampled_from([0.0, 3.0, 12.0])), size=(n, 1))
        found = own + random.normal(scale=draw(st.sampled_from([0.0, 2.0])), size=(n, n_prompts))
        return np.clip(coarse * np.round(found / coarse), -SCORE_BOUND, SCORE_BOUND)

    least = -random.choice([0.0, 0.0, 0.05], size=n_harmless)
    own = random.choice([0.0, 0.05, 0.1, 0.4], size=(n, 1))
    kl = own * random.choice([0.0, 1.0, 1.0, 2.0], size=(n, n_harmless))
    world = World(
        n_layers=n_layers,
        n_positions=n_positions,
        of_bypass=scores(n_harmful, draw(st.sampled_from([-6.0, 0.0]))),
        of_induce=scores(n_harmless, draw(st.sampled_from([-6.0, 0.0, 5.0]))),
        of_kl=np.maximum(kl, least),
        least_kl=least,
        score_bound=draw(st.sampled_from([SCORE_BOUND, np.inf])),
    )
    for values in (world.of_bypass, world.of_induce, world.of_kl):
        for _ in range(draw(st.integers(0, 2))):
            values[random.integers(n), random.integers(values.shape[1])] = draw(
                st.sampled_from([np.nan, np.inf, -np.inf])
            )
    return world


FILTERS = st.builds(
    DirectionSettings,
    kl_limit=st.sampled_from([0.05, 0.1, 0.2]),
    induce_floor=st.sampled_from([-30.0, -2.0, 0.0, 4.0, 30.0]),
    layer_cut=st.sampled_from([0.0, 0.2, 0.5, 0.99]),
)


@settings(max_examples=150, deadline=None)
@given(world=worlds(), filters=FILTERS)
def test_the_choice_is_that_of_asking_all(world: World, filters: DirectionSettings):
    found = asked(world, filters)
    assert found.selected() == exhaustive(world, filters)
    _assert_true_numbers(world, filters, found)


def _assert_true_numbers(world: World, filters: DirectionSettings, found: Standing) -> None:
    """Full numbers are those of asking all; reasons to stop hold of the numbers never asked for."""
    truth = {(one.layer, one.position): one for one in world.judged(filters)}
    full, stopped = found.evaluations(), found.stopped()
    assert len(full) + len(stopped) == len(truth)
    for one in full:
        np.testing.assert_equal(asdict(one), asdict(truth[one.layer, one.position]))
    selected = exhaustive(world, filters)
    for one in stopped:
        asked_to_the_end = truth[one.layer, one.position]
        finite = is_finite(asked_to_the_end)
        asked_of = (one.n_bypass, one.n_induce, one.n_kl)
        assert asked_of != (world.n_harmful, world.n_harmless, world.n_harmless)
        if one.reason == StopReason.KL:
            assert not asked_to_the_end.kl <= filters.kl_limit or not finite
        elif one.reason == StopReason.INDUCE:
            assert not induce_of(asked_to_the_end) >= filters.induce_floor or not finite
        elif one.reason == StopReason.BYPASS:
            assert selected.evaluation is not None
            assert not selected.breaks
            assert not bypass_of(asked_to_the_end) <= bypass_of(selected.evaluation) or not finite
        elif one.reason == StopReason.LAYER:
            assert one.layer >= first_cut_layer(world.n_layers, filters.layer_cut)


def test_a_clear_winner_takes_a_fifth_of_asking_all():
    """Eight prompts; of 30 layers and 5 positions a bump in the middle, as models show it."""
    random = np.random.default_rng(0)
    bump = np.exp(-(((np.repeat(np.arange(30), 5) - 15) / 6) ** 2))[:, None]
    strength = bump * random.uniform(0.2, 1.0, (150, 1))
    world = World(
        n_layers=30,
        n_positions=5,
        of_bypass=4.0 - 10.0 * strength + random.normal(0.0, 1.0, (150, 8)),
        of_induce=-9.0 + 15.0 * strength + random.normal(0.0, 1.0, (150, 8)),
        of_kl=0.05 * np.exp(random.normal(0.0, 1.0, (150, 8))),
        least_kl=np.full(8, -0.001),
    )
    filters = DirectionSettings()
    found = asked(world, filters)
    assert found.selected() == exhaustive(world, filters)
    assert not found.selected().breaks
    assert world.layer_passes.total() < world.n_exhaustive / 5
    late = [one for one in found.stopped() if one.reason == StopReason.LAYER]
    assert len(late) == 35
    assert not any(one.n_bypass + one.n_induce + one.n_kl for one in late)
