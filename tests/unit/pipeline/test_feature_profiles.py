"""Single features of a planted model, whose effects and firing its drawing says."""

from pathlib import Path

import numpy as np
import pytest

from sae_audit import audit, load_run
from sae_audit.config import AuditConfig
from sae_audit.findings import FeatureProfile
from sae_audit.findings.stages import Step
from sae_audit.organisms.planted.families import build
from sae_audit.organisms.planted.plant import Planted, audit_settings, expected_scores, plant
from sae_audit.organisms.planted.suite import SuiteShape, player_features_of
from sae_audit.organisms.planted.truth import read_truth
from sae_audit.pipeline.pricing import AuditSize
from sae_audit.pipeline.stages import feature_profiles
from sae_audit.planning.facts import subject_facts
from sae_audit.prompts.sources import read_sources
from sae_audit.record.run import Run
from sae_audit.statistics import mean, share
from tests.unit.pipeline.conftest import Undisturbed
from tests.unit.pipeline.planted_audit import SMALL
from tests.visible import Page

pytestmark = pytest.mark.usefixtures("several_groups")


@pytest.fixture(scope="module")
def run(undisturbed: Undisturbed) -> Run:
    return load_run(undisturbed.folder)


@pytest.fixture(scope="module")
def planted(config: AuditConfig) -> Planted:
    """The drawing of the audited model (`planted_config`)."""
    circuit, folder = build("backups", 2, seed=1), Path(config.model).parent
    return Planted(
        circuit=circuit,
        architecture="llama",
        folder=folder,
        player_features=player_features_of(circuit, SuiteShape()),
        truth=read_truth(folder / "truth.json"),
    )


@pytest.fixture(scope="module")
def profiles(run: Run, planted: Planted) -> dict[int, FeatureProfile]:
    """The measured planted features, by their place among the drawing's players."""
    assert run.feature_profiles is not None
    measured = {one.feature: one for one in run.feature_profiles.features}
    players = planted.circuit.players
    found = {
        i: measured[feature]
        for i, player in enumerate(players)
        if (feature := planted.player_features[player.unit, player.part]) in measured
    }
    assert found, "the audit found none of the planted features"
    return found


def drawn_scores(run: Run, planted: Planted, *gone: int) -> np.ndarray:
    """The drawing's scores of the refused audit prompts with these players ablated."""
    refused = [one.prompt_id for one in run.minimal_sets]
    texts = {p.id: p for source in read_sources([str(planted.prompts)]) for p in source.prompts}
    mask = np.zeros((1, len(planted.circuit.players)), bool)
    mask[0, list(gone)] = True
    return np.array([expected_scores(planted, texts[one], mask)[0] for one in refused])


def test_alone_a_feature_does_what_the_drawing_says(
    run: Run, planted: Planted, profiles: dict[int, FeatureProfile]
):
    clean = drawn_scores(run, planted)
    for player, found in profiles.items():
        ablated = drawn_scores(run, planted, player)
        assert found.alone.score_change.value == pytest.approx(
            mean(ablated - clean).value, abs=0.02
        )
        assert found.alone.turned == share(int((ablated < 0.0).sum()), len(ablated))
        assert found.alone.score_change_random is not None
        assert found.alone.score_change_random.value == pytest.approx(0.0, abs=0.02)


@pytest.mark.slow
class TestABottleneck:
    """A model in which a feature alone holds every refusal: the drawing says so, and so do profiles."""

    @pytest.fixture(scope="class")
    def planted(self, tmp_path_factory: pytest.TempPathFactory) -> Planted:
        folder = tmp_path_factory.mktemp("bottleneck") / "it"
        circuit = build("single_bottleneck", 2, seed=1)
        return plant(circuit, folder, architecture="llama", n_prompts=16)

    @pytest.fixture(scope="class")
    def run(self, planted: Planted) -> Run:
        settings = audit_settings(planted)
        settings["prompts"] |= {"train": 4, "validation": 4, "audit": 6}
        few = SMALL | {"confirm": "score", "evidence": {"null_dictionaries": 0}}
        config = AuditConfig.model_validate({**settings, **few})
        return audit(config, planted.folder.parent / "run")

    def test_switched_off_alone_it_ends_every_refusal(self, run: Run, planted: Planted):
        clean = drawn_scores(run, planted)
        ends = {
            planted.player_features[player.unit, player.part]: drawn_scores(run, planted, i)
            for i, player in enumerate(planted.circuit.players)
        }
        holding = [f for f, scores in ends.items() if (scores < 0.0).all()]
        assert holding, "that is what the family is"
        assert run.feature_profiles is not None
        measured = {one.feature: one for one in run.feature_profiles.features}
        assert set(holding) & measured.keys()
        for feature in set(ends) & measured.keys():
            found, ablated = measured[feature], ends[feature]
            assert found.alone.turned == share(int((ablated < 0.0).sum()), len(clean))
            expected = mean(ablated - clean)
            assert found.alone.score_change.value == pytest.approx(expected.value, abs=0.02)
            assert found.alone.turned_random == share(0, len(clean))
            # The drawing saturates: half of what flips may do nothing, and never does more.
            if expected.value < -0.1:
                assert expected.value < found.in_part.score_change.value < 0.01

    def test_it_says_so_in_a_sentence(self, run: Run):
        n = len(run.minimal_sets)
        first = run.features.each()[0]
        assert first.verdict == f"In the set that ends the refusal, on all {n} prompts"
        assert first.sentences[0].startswith(f"Switched off alone, it ends {n} of {n} refusals")
        assert first.sentences[0].endswith("random features like it end none.")


def test_spared_it_brings_refusal_back_and_no_random_feature_takes_its_place(run: Run):
    assert run.feature_profiles is not None
    held = [one for one in run.feature_profiles.features if one.spared is not None]
    assert held
    for one in held:
        own = [m for m in run.minimal_sets if one.feature in m.features]
        spared = one.spared
        assert spared is not None
        assert spared.turned == share(len(own), len(own))
        assert spared.turned_random == share(len(own), len(own))
        rises = [m.score_without[one.feature] - m.ablated_score for m in own]
        assert spared.score_change == mean(rises)


def test_it_fires_on_harm_alone_if_it_is_active_there(
    run: Run, planted: Planted, profiles: dict[int, FeatureProfile]
):
    truth = next(iter(planted.truth.by_category.values()))
    n = run.config.prompts.audit
    for found in profiles.values():
        active = found.feature in truth.active
        assert found.fires_harmful == share(n if active else 0, n)
        assert found.fires_harmless == share(0, n)
        assert sum(found.activations.harmful) == (n if active else 0)
        assert sum(found.activations.harmless) == 0
        assert len(found.top) == (min(n, 8) if active else 0)
        for place in found.top:
            assert 0 <= place.position < place.n_tokens
            assert place.activation <= found.activations.largest
        assert (found.raised is None) == (found.raised_to == 0.0)
        assert (found.raised_to > 0.0) == active


def test_every_named_feature_is_measured_and_has_its_address(run: Run):
    found = run.feature_profiles
    assert found is not None
    named = [one.feature for one in run.features.named]
    assert [one.feature for one in found.features] == named[: run.config.features.most]
    assert found.n_named == len(named)
    page = Page((run.folder / "index.html").read_text(encoding="utf-8"))
    ids = {a["id"] for _, a in page.elements if "id" in a}
    assert {str(one) for one in (*named, *run.candidates.ranked)} <= ids


@pytest.mark.usefixtures("tried_before")
def test_an_audit_stopped_within_it_ends_the_same(
    config: AuditConfig, undisturbed: Undisturbed, tmp_path: Path
):
    def stop_within(step: Step, done: int, _total: int) -> None:
        if step.name == "feature_profiles" and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        audit(config, tmp_path / "run", progress=stop_within)
    again = audit(config, tmp_path / "run")
    assert (again.folder / "findings.json").read_bytes() == undisturbed.findings


def test_the_price_is_that_of_what_is_asked(
    run: Run, config: AuditConfig, monkeypatch: pytest.MonkeyPatch
):
    assert run.feature_profiles is not None
    found = run.feature_profiles.features
    size = AuditSize(config, subject_facts(config))
    n_firing = sum(one.fires_harmful.value for one in found) / len(found)
    monkeypatch.setattr(feature_profiles, "_NAMED", len(found) / size.n_candidates)
    monkeypatch.setattr(feature_profiles, "_FIRING", n_firing)
    work = feature_profiles.price(size)
    assert work is not None
    (spent,) = (one for one in run.manifest.stages if one.stage == "feature_profiles")
    assert 0.5 < work.forward_passes / spent.forward_passes < 2.0


def test_what_the_settings_leave_out_has_no_price(config: AuditConfig):
    out = config.model_copy(update={"features": config.features.model_copy(update={"most": 0})})
    assert feature_profiles.price(AuditSize(out, subject_facts(out))) is None
