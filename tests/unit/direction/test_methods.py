"""What every estimator and every selector keeps to, those of other packages included in kind."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from sae_audit.config import DirectionSettings
from sae_audit.direction.estimators import ESTIMATORS
from sae_audit.direction.filters import first_cut_layer
from sae_audit.direction.finding import found_direction
from sae_audit.direction.methods import (
    CandidateDirections,
    Choice,
    Estimator,
    Means,
    Selector,
    Size,
)
from sae_audit.direction.selectors import SELECTORS
from sae_audit.findings import (
    Direction,
    DirectionMeasure,
    NoDirection,
    StopReason,
)
from sae_audit.vocabulary import CandidateQuestions
from tests.unit.direction.planted import PlantedRefuser


@pytest.mark.parametrize("name", ESTIMATORS)
class TestEveryEstimator:
    def test_makes_candidates_of_the_planted_direction(self, name: str):
        planted, estimate = PlantedRefuser(), ESTIMATORS[name]
        assert isinstance(estimate, Estimator)
        found = estimate(planted.means)
        assert len(found) > 0
        assert set(found.layers) <= set(range(planted.n_layers))
        assert set(found.positions) <= {-2, -1}
        late = [c for c, layer in enumerate(found.layers) if layer >= planted.written_at]
        cosines = found.vectors[late] @ planted.direction
        assert (cosines > 0.8 * np.linalg.norm(found.vectors[late], axis=1)).all()

    def test_repeats_and_changes_nothing_that_it_is_given(self, name: str):
        means = PlantedRefuser().means
        before = means.harmful.copy(), means.harmless.copy()
        once, again = ESTIMATORS[name](means), ESTIMATORS[name](means)
        np.testing.assert_array_equal(once.vectors, again.vectors)
        for own, kept in zip((means.harmful, means.harmless), before, strict=True):
            np.testing.assert_array_equal(own, kept)

    def test_takes_a_model_of_one_layer_and_one_position(self, name: str):
        assert len(ESTIMATORS[name](PlantedRefuser(n_layers=1, n_positions=1).means)) > 0


def candidates_of(planted: PlantedRefuser) -> CandidateDirections:
    return ESTIMATORS["difference_of_means"](planted.means)


def chosen(name: str, planted: PlantedRefuser, **limits: float) -> Choice:
    reported: list[tuple[int, int]] = []
    candidates = candidates_of(planted)
    found = SELECTORS[name].choose(
        candidates,
        planted.means,
        planted,
        DirectionSettings.model_validate(limits),
        lambda done, of: reported.append((done, of)),
    )
    assert reported[-1] == (len(candidates), len(candidates))
    assert all(done <= of for done, of in reported)
    return found


@pytest.mark.parametrize("name", SELECTORS)
class TestEverySelector:
    def test_answers_to_one_protocol_under_its_own_name(self, name: str):
        assert isinstance(SELECTORS[name], Selector)
        planted = PlantedRefuser()
        assert isinstance(planted, CandidateQuestions)
        assert chosen(name, planted).selection.method == name

    def test_accounts_for_every_candidate_once(self, name: str):
        planted = PlantedRefuser()
        found, candidates = chosen(name, planted), candidates_of(planted)
        accounted = [(one.layer, one.position) for one in (*found.evaluations, *found.stopped)]
        expected = zip(candidates.layers, candidates.positions, strict=True)
        assert sorted(accounted) == sorted(expected)

    def test_what_it_chooses_passes_and_has_all_numbers(self, name: str):
        choice = chosen(name, PlantedRefuser()).selected
        assert (choice.breaks, choice.reason) == ((), "")
        found = choice.evaluation
        assert found is not None
        assert found.failed == ()
        assert found.bypass is not None
        assert found.induce is not None

    def test_finds_the_planted_direction(self, name: str):
        planted = PlantedRefuser()
        found, candidates = chosen(name, planted).selected.evaluation, candidates_of(planted)
        assert found is not None
        vector = candidates.vectors[candidates.at(found)]
        assert vector @ planted.direction > 0.95 * np.linalg.norm(vector)

    def test_every_recorded_number_is_described_and_finite(self, name: str):
        choice = chosen(name, PlantedRefuser())
        described = {one.name for one in choice.selection.measures}
        assert all(isinstance(one, DirectionMeasure) for one in choice.selection.measures)
        for one in choice.evaluations:
            assert set(one.measures) <= described
            assert all(np.isfinite(value) for value in one.measures.values())
        assert choice.selection.filters
        assert choice.selection.rule

    def test_never_chooses_in_the_layers_that_are_cut(self, name: str):
        planted = PlantedRefuser(written_at=9)
        choice = chosen(name, planted, kl_limit=0.1)
        cut = first_cut_layer(planted.n_layers, 0.2)
        late = [one for one in choice.stopped if one.layer >= cut]
        assert all(one.reason == StopReason.LAYER for one in late)
        assert choice.selected.evaluation is not None
        assert choice.selected.evaluation.layer < cut

    def test_if_none_passes_the_best_is_taken_with_the_limits_it_breaks(self, name: str):
        planted = PlantedRefuser(kl_of_all=0.5)
        found = chosen(name, planted).selected
        assert "KL is 0.500" in found.reason
        assert found.breaks == ("costs KL 0.500 nats where 0.1 is the limit",)
        assert found.evaluation == found.without_cost_limit
        cheap = chosen(name, PlantedRefuser()).selected
        assert found.evaluation is not None
        assert cheap.evaluation is not None
        assert found.evaluation.layer == cheap.evaluation.layer, "as if there were no limit"
        assert found.evaluation.bypass is not None
        assert found.evaluation.induce is not None
        assert "with too large a KL" in found.evaluation.failed

    def test_a_direction_that_points_nowhere_is_not_finite(self, name: str):
        planted = PlantedRefuser()
        candidates = candidates_of(planted)
        candidates.vectors[0] = 0.0
        candidates.vectors[1] = np.nan
        choice = SELECTORS[name].choose(
            candidates, planted.means, planted, DirectionSettings(), lambda *_: None
        )
        reasons = {(one.layer, one.position): one.reason for one in choice.stopped}
        for c in (0, 1):
            at = candidates.layers[c], candidates.positions[c]
            assert reasons[at] == StopReason.NOT_FINITE
        assert choice.selected.evaluation is not None

    def test_without_a_layer_to_choose_from_one_of_the_cut_is_taken_marked(self, name: str):
        found = chosen(name, PlantedRefuser(n_layers=1, written_at=0)).selected
        assert "lies below layer -1" in found.reason
        assert "lies at layer 0 where those from -1 on are cut" in found.breaks
        assert found.evaluation is not None
        assert found.evaluation.bypass is not None

    def test_without_a_finite_direction_there_is_no_choice(self, name: str):
        planted = PlantedRefuser()
        candidates = candidates_of(planted)
        candidates.vectors[:] = 0.0
        choice = SELECTORS[name].choose(
            candidates, planted.means, planted, DirectionSettings(), lambda *_: None
        )
        assert choice.selected.evaluation is None
        assert {one.reason for one in choice.stopped} <= {StopReason.NOT_FINITE, StopReason.LAYER}

    def test_repeats(self, name: str):
        once, again = chosen(name, PlantedRefuser()), chosen(name, PlantedRefuser())
        assert (once.selected, once.evaluations) == (again.selected, again.evaluations)

    @pytest.mark.parametrize("n_layers", [1, 2, 4, 10, 32])
    def test_its_price_is_of_a_model_of_any_depth(self, name: str, n_layers: int):
        size = Size(n_layers=n_layers, n_positions=5, n_validation=32, layer_cut=0.2)
        price = SELECTORS[name].price(size)
        assert 0.0 <= price.forward_passes <= price.most_forward_passes
        assert 0.0 <= price.edited_layer_passes <= price.layer_passes
        assert price.layer_passes <= price.forward_passes * n_layers

    def test_asks_no_more_than_its_price_says_at_most(self, name: str):
        planted = PlantedRefuser()
        chosen(name, planted)
        size = Size(n_layers=10, n_positions=2, n_validation=planted.n, layer_cut=0.2)
        assert planted.asked.total() <= SELECTORS[name].price(size).most_forward_passes


@pytest.mark.parametrize("selection", SELECTORS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_what_is_found_names_its_methods(estimator: str, selection: str):
    settings = DirectionSettings(estimator=estimator, selection=selection)

    def found(planted: PlantedRefuser) -> Direction | NoDirection:
        return found_direction(
            planted.means,
            planted,
            settings,
            clean=(np.full(planted.n, 6.0), np.full(planted.n, -6.0)),
            n_train=(24, 23),
            progress=lambda *_: None,
        )

    direction, costly = found(PlantedRefuser()), found(PlantedRefuser(kl_of_all=0.5))
    assert isinstance(direction, Direction)
    assert isinstance(costly, Direction)
    for one in (direction, costly):
        assert (one.method, one.selection.method) == (estimator, selection)
        assert one.n_tried == 20
        assert replace(one, stopped=()).bypass < 0.0 < one.induce
        # From 6 to about -6.
        assert one.removed is not None
        assert one.removed.value == pytest.approx(1.0 - one.bypass / 6.0)
        assert not one.weak
    assert direction.clean
    assert direction.unclean == ""
    assert not costly.clean
    assert costly.unclean.startswith("No direction removes refusal cleanly: the best of 20, layer")
    assert "costs KL 0.500 nats where 0.1 is the limit" in costly.unclean
    unpointing = PlantedRefuser()
    unpointing.means = Means(harmful=unpointing.means.harmful, harmless=unpointing.means.harmful)
    none = found(unpointing)
    assert isinstance(none, NoDirection)
    assert "Not one of 20 candidate directions has finite numbers" in none.reason


@pytest.mark.parametrize(("bypass", "weak"), [(1.5, True), (0.8, False), (-3.0, False)])
def test_a_direction_that_removes_next_to_nothing_is_weak(bypass: float, weak: bool):
    """From a mean score of 1.9: the chosen direction takes it to 1.5, .8 or below."""

    class Faint(PlantedRefuser):
        def bypass(self, directions: np.ndarray, prompts: Sequence[int]) -> np.ndarray:
            assert len(directions) == len(prompts)
            return np.full(len(prompts), bypass) + 0.1 * (-1.0) ** np.array(prompts)

    planted = Faint()
    found = found_direction(
        planted.means,
        planted,
        DirectionSettings(),
        clean=(np.full(planted.n, 1.9), np.full(planted.n, -6.0)),
        n_train=(24, 24),
        progress=lambda *_: None,
    )
    assert isinstance(found, Direction)
    assert found.clean
    assert found.removed is not None
    assert found.removed.value == pytest.approx(1.0 - bypass / 1.9)
    assert found.removed.low < found.removed.value < found.removed.high
    assert found.weak == weak


def test_two_candidates_at_one_place_are_our_mistake():
    with pytest.raises(AssertionError, match="one place"):
        CandidateDirections(vectors=np.ones((2, 3)), layers=(1, 1), positions=(-1, -1))
