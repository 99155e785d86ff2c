"""Directions of categories, of planted models whose categories have one mechanism or one each."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from sae_audit.config import AuditConfig
from sae_audit.findings import CategoryFindings, Knob, TooFewCategories
from sae_audit.organisms.planted.circuit import Circuit
from sae_audit.organisms.planted.families import build
from sae_audit.organisms.planted.plant import audit_settings, plant
from sae_audit.pipeline.pricing import AuditSize
from sae_audit.pipeline.running import unpublished
from sae_audit.pipeline.stages import categories, direction, scores
from sae_audit.planning.facts import subject_facts

SEPARATE = build("per_category", 2, seed=1)
"""Three categories of harm, each with units of its own."""
SHARED = replace(
    SEPARATE,
    units=tuple(
        replace(unit, drive=dict.fromkeys(SEPARATE.categories, 1.0)) for unit in SEPARATE.units
    ),
)
"""The same units, each driven by every category."""


def found(
    circuit: Circuit, folder: Path, **changes: Any
) -> tuple[CategoryFindings | TooFewCategories, int]:
    """The finding, and the forward passes that it took."""
    made = plant(circuit, folder / "it", architecture="llama", n_prompts=72)
    taxonomy = folder / "taxonomy.yaml"
    own = {name: {"sources": [str(made.prompts)], "where": [name]} for name in circuit.categories}
    taxonomy.write_text(
        yaml.safe_dump(
            {"harmless": {"sources": [str(made.prompts)]}, "categories": own}, sort_keys=False
        )
    )
    settings = audit_settings(made)
    settings["prompts"] |= {"train": 12, "validation": 12, "audit": 12}
    settings["controls"] = {"random_directions": 4}
    asked = {"taxonomy": str(taxonomy), "per_category": 20, "minimum": 8, "n_permutations": 19}
    settings["categories"] = asked | changes
    with unpublished(AuditConfig.model_validate(settings), folder / "run") as state:
        scores.run(state)
        direction.run(state)
        before = state.subject.cost
        categories.run(state)
        passes = state.subject.cost.since(before).forward_passes
        return state.session.found(categories.STAGE), passes


@pytest.fixture(scope="module")
def separate(tmp_path_factory: pytest.TempPathFactory) -> tuple[CategoryFindings, int]:
    one, passes = found(SEPARATE, tmp_path_factory.mktemp("separate"))
    assert isinstance(one, CategoryFindings)
    return one, passes


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> CategoryFindings:
    one, _ = found(SHARED, tmp_path_factory.mktemp("shared"))
    assert isinstance(one, CategoryFindings)
    return one


def own_and_others(found: CategoryFindings) -> tuple[list[float], list[float]]:
    """Mean scores of categories with their own direction out, and with others' out."""
    n = len(found.directions)
    left = [[one.score.value for one in ablation.left] for ablation in found.ablations[:n]]
    own = [left[i][i] for i in range(n)]
    return own, [left[i][j] for i in range(n) for j in range(n) if i != j]


def test_a_mechanism_of_its_own_is_switched_off_by_its_own_direction(
    separate: tuple[CategoryFindings, int],
):
    one, _ = separate
    own, others = own_and_others(one)
    assert max(own) < min(others)
    assert one.specific.value > 1.0
    # The units are other ones: a category's features are its own.
    assert one.features.one > one.features.one_permuted.highest
    assert one.p_differ == pytest.approx(0.05)


def test_one_mechanism_is_switched_off_by_any_direction(shared: CategoryFindings):
    own, others = own_and_others(shared)
    assert max(own) < 0.0
    assert max(others) < 0.0
    assert abs(shared.specific.value) < 0.2
    assert shared.shared_pool.mean.value > 0.95


def test_separate_mechanisms_have_less_alike_directions_than_a_shared_one(
    separate: tuple[CategoryFindings, int], shared: CategoryFindings
):
    assert separate[0].shared_pool.mean.high < shared.shared_pool.mean.low
    assert separate[0].shared_pool.participation_ratio > shared.shared_pool.participation_ratio


def test_what_is_measured_is_held_out_and_has_controls(separate: tuple[CategoryFindings, int]):
    one, _ = separate
    assert one.taxonomy == "taxonomy"
    assert [own.category for own in one.directions] == list(SEPARATE.categories)
    assert all(own.n_used == 20 for own in one.sizes)
    # Half of the prompts of each.
    assert {left.refused.n for ablation in one.ablations for left in ablation.left} == {10}
    assert {left.refused.value for left in one.clean} == {1.0}
    assert [own.out for own in one.ablations[3:]] == ["pooled", "all", "random", "random together"]
    random = {own.out: own for own in one.ablations}["random"]
    assert min(left.refused.value for left in random.left) > 0.8
    assert all(own.separation.value > 0.99 for own in one.directions)
    # Attention carries what is asked to the request's last token, beside the words that are there.
    assert one.clean_recognition.low > 0.7


def test_prompts_that_are_told_apart_without_exception_show_no_knob(shared: CategoryFindings):
    assert shared.steering is not None
    # Whatever raises all scores trades alike.
    assert shared.steering.headroom == 0.0
    knobs = {one.against_pooled.knob for one in shared.steering.curves if one.against_pooled}
    assert knobs == {Knob.OPEN}
    curve = shared.steering.curves[0]
    assert [one.strength for one in curve.rates] == [-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0]
    # At 0 as with nothing added, and a gap takes each kind to the other's side.
    assert (curve.rates[3].refused.value, curve.rates[3].over_refused.value) == (1.0, 0.0)
    assert (curve.rates[0].refused.value, curve.rates[-1].over_refused.value) == (0.0, 1.0)


def test_strengths_that_are_left_out_ask_for_no_steering(tmp_path: Path):
    one, passes = found(SEPARATE, tmp_path, strengths=[])
    assert isinstance(one, CategoryFindings)
    assert one.steering is None
    assert passes > 0


def test_its_price_is_about_what_it_asks(separate: tuple[CategoryFindings, int], tmp_path: Path):
    _, passes = separate
    made = plant(SEPARATE, tmp_path / "it", architecture="llama", n_prompts=72)
    settings = audit_settings(made)
    settings["prompts"] |= {"train": 12, "validation": 12, "audit": 12}
    settings["controls"] = {"random_directions": 4}
    settings["categories"] = {"taxonomy": "smollm2", "per_category": 20, "minimum": 8}
    config = AuditConfig.model_validate(settings)
    facts = replace(subject_facts(config), n_categories=3)
    priced = categories.price(AuditSize(config, facts))
    assert priced is not None
    assert passes == pytest.approx(priced.forward_passes, rel=0.3)


def test_with_too_few_refused_prompts_the_finding_says_so(tmp_path: Path):
    one, _ = found(SEPARATE, tmp_path, per_category=64, minimum=60)
    assert isinstance(one, TooFewCategories)
    assert [own.n_asked for own in one.sizes] == [24, 24, 24]
    assert {own.n_used for own in one.sizes} == {0}
