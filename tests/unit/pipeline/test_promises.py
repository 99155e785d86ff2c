"""What each late stage of an audit promises, read off one whole run of a planted model."""

from collections import Counter
from itertools import groupby
from pathlib import Path

import pytest

from sae_audit import load_run
from sae_audit.config import AuditConfig
from sae_audit.findings.stages import LOADING, STAGES
from sae_audit.pipeline.steps import steps_of
from sae_audit.record.findings_file import read_findings
from sae_audit.record.publish import published
from sae_audit.record.run import Run
from sae_audit.record.tensors import read_tensors
from tests.unit.pipeline.conftest import Undisturbed


@pytest.fixture(scope="module")
def run(undisturbed: Undisturbed) -> Run:
    return load_run(undisturbed.folder)


@pytest.fixture(scope="module")
def flipped(run: Run) -> list[str]:
    return [found.prompt_id for found in run.minimal_sets if found.flipped]


def audited(run: Run, label: str, *, refused: bool) -> list[str]:
    own = [one for one in run.scores if one.split == "audit" and one.label == label]
    return [one.prompt_id for one in own if (one.score > 0.0) == refused]


def test_stages_are_recorded_in_the_order_in_which_they_are_declared(run: Run):
    order = [stage.name for stage in STAGES if stage.name in run.recorded.rows]
    first = {name: i for i, name in enumerate(run.recorded.rows)}
    assert first["scores"] < first["direction"] < first["candidates"] < first["minimal_sets"]
    assert first["minimal_sets"] < first["cascades"] < first["controls"] < first["confirmation"]
    assert set(order) == set(run.recorded.rows), "and no others"


class TestOpening:
    def test_splits_hold_no_prompt_twice_and_as_many_as_asked(self, run: Run, config: AuditConfig):
        asked = config.prompts
        counts = Counter((one.split, one.label) for one in run.scores)
        for label in ("harmful", "harmless"):
            assert counts["train", label] == asked.train
            assert counts["validation", label] == asked.validation
            assert counts["audit", label] == asked.audit
        assert len({one.prompt_id for one in run.scores}) == len(run.scores)

    def test_what_was_found_out_is_in_the_settings_of_the_run(self, run: Run, config: AuditConfig):
        assert run.config.model == config.model
        assert run.manifest.refusal_tokens is not None
        assert run.manifest.refusal_tokens.ids
        assert [sae.layer for sae in run.manifest.saes] == [one.layer for one in run.quality]


class TestCertainty:
    def test_the_direction_is_tried_on_audit_prompts_treated_as_labelled(self, run: Run):
        check = run.direction_check
        assert check is not None
        n_refused = len(audited(run, "harmful", refused=True))
        n_answered = len(audited(run, "harmless", refused=False))
        assert check.bypass.own.n == check.flipped.own.n == n_refused > 0
        assert check.induce.own.n == check.induced.own.n == check.kl.own.n == n_answered > 0

    def test_random_directions_are_kept_and_of_its_norm_at_right_angles(
        self, run: Run, config: AuditConfig
    ):
        directions = read_tensors(run.folder, "random_directions")["directions"]
        assert len(directions) == config.controls.random_directions
        assert run.direction_check is not None
        assert run.direction_check.bypass.random.n == len(directions)
        own = run.direction.vector
        assert abs(directions @ own).max() < 1e-3 * sum(x * x for x in own)

    def test_coverage_has_a_row_an_audited_layer_over_the_refused_prompts(self, run: Run):
        found = run.sae_coverage
        assert found is not None
        assert [one.layer for one in found.layers] == [sae.layer for sae in run.manifest.saes]
        refused = audited(run, "harmful", refused=True)
        assert found.clean.n == found.candidates.n == found.direction.n == len(refused)


class TestControls:
    KINDS = (
        *("random_matched", "random_norm", "linear_probe", "linear_probe_end", "top_cosine"),
        *("mean_difference", "attribution"),
    )

    def test_every_kind_of_set_is_tried_on_every_flipped_prompt(self, run: Run, flipped: list[str]):
        found = run.controls.per_prompt
        assert [one.name for one in found] == ["minimal", *self.KINDS]
        assert {one.flipped.n for one in found} == {one.score_drop.n for one in found}
        assert found[0].flipped.n == len(flipped) > 0
        assert found[0].flipped.value == 1.0, "found on these prompts"

    def test_the_fall_by_a_minimal_set_is_that_of_its_certificate(self, run: Run):
        drops = [one.clean_score - one.ablated_score for one in run.minimal_sets if one.flipped]
        own = run.controls.per_prompt[0].score_drop
        assert own.value == pytest.approx(sum(drops) / len(drops), abs=1e-3)
        random = run.controls.per_prompt[1].score_drop
        assert random.value < own.value, "the circuit is planted: no random set comes near"

    def test_the_pooled_set_is_held_against_every_rival(self, run: Run):
        found = run.controls.rivals
        assert (found is not None) == (run.pooled_set is not None)
        if found is None or run.pooled_set is None:
            return
        assert [one.name for one in found.curves] == ["pooled", *self.KINDS]
        assert set(found.p_values) == {*self.KINDS, "direction"}
        assert found.size == len(run.pooled_set.features)
        assert found.n == len(run.pooled_set.held_out)
        (own,) = (point for point in found.curves[0].points if point.size == found.size)
        assert own.flipped == run.pooled_set.flipped_held_out
        (cost,) = (one.kl for one in run.controls.collateral if one.name == "pooled")
        assert own.kl.value == pytest.approx(cost.value, abs=1e-4)
        assert {test.by for test in found.tests if test.rival != "direction"} == {"score", "text"}
        # At the whole direction stands what the check of the direction says.
        assert run.direction_check is not None
        assert found.direction[-1].share == 1.0
        assert found.direction[-1].kl.value == pytest.approx(
            run.direction_check.kl.own.value, abs=1e-4
        )

    def test_what_sets_remove_is_measured_for_every_one(self, run: Run):
        norms = {one.name: one.removed_norm for one in run.controls.per_prompt}
        assert all(norm is not None for norm in norms.values())
        assert (norms["minimal"] or 0.0) > 0.0

    def test_the_error_term_kept_is_the_audit_itself(self, run: Run):
        found = run.controls.error_term
        assert found is not None
        assert found.flipped_kept.value == 1.0

    def test_a_dose_has_its_control_where_one_was_sought(self, run: Run, flipped: list[str]):
        (own, *_) = run.controls.scales
        assert own.ablated == "minimal_set"
        assert own.flipped.n == len(flipped)

    def test_harmless_prompts_pay_where_there_is_a_pooled_set(self, run: Run):
        names = [one.name for one in run.controls.collateral]
        assert names == (["pooled", *self.KINDS] if run.pooled_set else [])


class TestCascadeDepth:
    def test_every_cascade_has_its_edges_its_tokens_and_its_control(
        self, run: Run, flipped: list[str]
    ):
        for found in (run.cascades, run.cascade_nulls, run.edges, run.activation_tokens):
            assert [one.prompt_id for one in found] == flipped

    def test_the_random_first_wave_is_as_large_of_the_same_layers_and_of_other_features(
        self, run: Run
    ):
        pairs = [
            (own, other.cascade)
            for own, other in zip(run.cascades, run.cascade_nulls, strict=True)
            if other.cascade is not None
        ]
        assert pairs
        for own, other in pairs:
            first, drawn = own.waves[0].features, other.waves[0].features
            assert Counter(f.layer for f in drawn) == Counter(f.layer for f in first)
            assert not set(drawn) & {f for wave in own.waves for f in wave.features}

    def test_edges_lead_from_an_earlier_wave_to_a_later_one(self, run: Run):
        for own, found in zip(run.cascades, run.edges, strict=True):
            wave_of = {f: i for i, wave in enumerate(own.waves) for f in wave.features}
            assert all(wave_of[edge.cause] < wave_of[edge.feature] for edge in found.edges)

    def test_the_pooled_cascade_counts_these(self, run: Run, flipped: list[str]):
        assert run.pooled_cascade is not None
        assert sum(run.pooled_cascade.depths.counts.values()) == len(flipped)

    def test_sets_are_raised_on_harmless_prompts(self, run: Run):
        assert run.sufficiency is not None
        assert {one.name for one in run.sufficiency.sets} >= {"minimal", "cascade"}
        n_answered = len(audited(run, "harmless", refused=False))
        assert {one.refused.n for one in run.sufficiency.sets} == {n_answered}


class TestConfirmation:
    def test_every_case_has_an_answer_for_each_of_its_prompts(self, run: Run, flipped: list[str]):
        found = run.confirmation
        assert found is not None
        assert found.n_not_judged == 0
        by_case = {
            case: [one.prompt_id for one in found.checks if one.case == case]
            for case in ("clean", "ablated", "random", "harmless")
        }
        assert by_case == {
            "clean": audited(run, "harmful", refused=True),
            "ablated": flipped,
            "random": flipped,
            "harmless": audited(run, "harmless", refused=False),
        }

    def test_scores_beside_the_answers_are_those_of_the_audit(self, run: Run):
        assert run.confirmation is not None
        own = {one.prompt_id: one for one in run.minimal_sets}
        for check in run.confirmation.checks:
            if check.case in ("clean", "ablated"):
                found = own[check.prompt_id]
                score = found.clean_score if check.case == "clean" else found.ablated_score
                assert check.score == pytest.approx(score, abs=1e-3)


class TestSetsByText:
    def test_every_flipped_prompt_is_searched_from_its_set_by_score_on(
        self, run: Run, flipped: list[str]
    ):
        own = {one.prompt_id: one for one in run.minimal_sets}
        assert [one.prompt_id for one in run.text_sets] == flipped
        for found in run.text_sets:
            assert found.read[0].features == own[found.prompt_id].features
            assert found.n_read <= run.config.minimal.texts_budget
            assert found.certified or found.reason

    def test_a_set_by_score_whose_answer_complies_is_that_of_the_confirmation(self, run: Run):
        assert run.confirmation is not None
        complied = {one.prompt_id: one.complied for one in run.confirmation.of_flips}
        assert {one.prompt_id: one.at_once for one in run.text_sets} == complied
        assert run.findings.text_sets == run.text_sets


class TestClosing:
    def test_files_say_what_the_record_says(self, run: Run):
        assert read_findings(run.folder / "findings.json") == published(run)
        assert run.manifest.stages == run.recorded.costs
        assert (run.folder / "index.html").is_file()
        assert run.recorded.is_finished

    def test_nothing_else_is_left_in_the_folder(self, run: Run):
        assert {path.name for path in Path(run.folder).iterdir()} == {
            *("config.yaml", "manifest.json", "run.sqlite", "findings.json", "index.html"),
            "tensors",
        }


def test_steps_begin_in_the_order_of_their_numbers_and_none_begins_twice(
    undisturbed: Undisturbed, config: AuditConfig
):
    begun = [name for name, _ in groupby(undisturbed.steps) if name != LOADING.name]
    assert begun == [step.name for step in steps_of(config)], "this audit has every step"
