"""Cascades of models whose backups are written into their weights: waves and edges are the truth."""

import numpy as np
import pytest

from sae_audit.cascade.activation_tokens import activated
from sae_audit.cascade.edges import activation_edges
from sae_audit.cascade.waves import CascadeQuestions, cascade
from sae_audit.config import CascadeSettings
from sae_audit.findings import Cascade, EdgeKind
from sae_audit.organisms.planted.families import build
from sae_audit.organisms.planted.plant import Planted, plant
from sae_audit.prompts.sources import read_sources
from sae_audit.prompts.types import Label, Prompt
from sae_audit.subject import Subject
from sae_audit.vocabulary import FeatureId, TokenClass

SETTINGS = CascadeSettings()


@pytest.fixture(scope="module", params=[(2, "llama"), (3, "gemma2"), (4, "llama"), (4, "gemma2")])
def planted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Planted:
    size, architecture = request.param
    folder = tmp_path_factory.mktemp("planted") / "backups"
    return plant(build("backups", size, seed=1), folder, architecture=architecture, n_prompts=8)


@pytest.fixture(scope="module")
def loaded(planted: Planted) -> Subject:
    return planted.subject()


@pytest.fixture(scope="module")
def prompt(planted: Planted) -> Prompt:
    (source,) = read_sources([str(planted.prompts)])
    return next(p for p in source.prompts if p.label == Label.HARMFUL)


@pytest.fixture(scope="module")
def found(planted: Planted, loaded: Subject, prompt: Prompt) -> Cascade:
    (minimal,) = planted.truth.by_category["harm"].minimal_sets
    ask = CascadeQuestions(
        score=loaded.refusal_score(prompt),
        active=loaded.active(prompt),
        direct_attribution=loaded.direct_attribution(prompt, np.ones(loaded.d_model)),
        firing=loaded.firing(prompt),
        intervention_score=loaded.intervention_score(prompt),
        beyond_rounding=loaded.beyond_rounding(prompt),
        frozen_norm_obstacle=loaded.frozen_norm_obstacle,
    )
    return cascade(prompt.id, ask, frozenset(minimal), SETTINGS)


def test_the_waves_are_the_true_ones(planted: Planted, found: Cascade):
    (true,) = planted.truth.by_category["harm"].waves
    assert [wave.features for wave in found.waves] == list(true)
    assert found.depth == planted.circuit.size


def test_every_true_edge_is_found_and_no_other(
    planted: Planted, loaded: Subject, prompt: Prompt, found: Cascade
):
    """The primary's are direct, masked by the backups between; a backup's need the primary gone."""
    answer = activation_edges(found, loaded.active(prompt), loaded.activations(prompt), SETTINGS)
    edges = {(edge.cause, edge.feature): edge for edge in answer.edges}
    assert set(edges) == {(edge.cause, edge.activated) for edge in planted.truth.edges}
    (primary,) = found.waves[0].features
    for (cause, _), edge in edges.items():
        assert edge.kind == (EdgeKind.DIRECT if cause == primary else EdgeKind.JOINT)
        assert edge.n_controls_activating == 0, "no feature outside the circuit activates any in it"


def test_features_wake_on_the_tokens_at_which_their_unit_works(
    planted: Planted, loaded: Subject, prompt: Prompt, found: Cascade
):
    answer = activated(
        found,
        loaded.firing(prompt),
        loaded.token_classes(prompt),
        n_random=3,
        seed=0,
    )
    units: dict[FeatureId, bool] = {
        planted.player_features[unit.name, 0]: unit.template_only for unit in planted.circuit.units
    }
    assert len(answer.activated) == planted.circuit.size - 1
    for one in answer.activated:
        elsewhere = sum(n for token, n in one.fires_at.items() if token != TokenClass.TEMPLATE)
        assert (elsewhere == 0) == units[one.feature], one
    assert answer.active[-1].n_features == 0


def test_of_one_effect_all_is_undone_by_backups_and_hardly_anything_by_the_norm(found: Cascade):
    """The planted stream is dominated by a constant, so that its root mean square hardly moves."""
    assert found.compensation_ratio == pytest.approx(1.0, abs=0.02)
    assert found.frozen_compensation_ratio == pytest.approx(1.0, abs=0.02)
