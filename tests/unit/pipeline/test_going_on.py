"""An audit goes on where a filter of the direction fails, and says so; it ends where nothing is refused
or where refusal is not tied to harm, and says which."""

import json
from html import escape
from pathlib import Path

import pytest

from sae_audit.findings import AbsenceKind
from sae_audit.findings.stages import CANDIDATES, DIRECTION, SUCCESSIVE_DIRECTIONS
from sae_audit.pages.wording import absence_headline
from sae_audit.pipeline.audit import audit
from sae_audit.planning.facts import subject_facts
from sae_audit.planning.work import work_of
from sae_audit.record.run import Run
from tests.shared import made_once
from tests.unit.pipeline.planted_audit import planted_config

UNREACHED = 50.0
"""Nats; no direction makes a model refuse that surely."""


@pytest.fixture(scope="module")
def unclean(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The planted model, whose every direction breaks a limit."""

    def make(folder: Path) -> None:
        limits = {"kl_limit": 1e-9, "induce_floor": UNREACHED}
        audit(planted_config(folder / "model", confirm="score", direction=limits), folder / "run")

    return Run(made_once(tmp_path_factory, "unclean_direction", make) / "run")


def test_the_best_direction_is_marked_with_every_limit_that_it_breaks(unclean: Run):
    found = unclean.direction
    assert not found.clean
    assert any(f"where {UNREACHED:g} is the floor" in one for one in found.breaks)
    assert found.unclean.startswith(
        f"No direction removes refusal cleanly: the best of {found.n_tried}, layer {found.layer}"
    )
    early = [one for one in found.evaluations if "in the last layers" not in one.failed]
    assert found.bypass == min(one.bypass for one in early if one.bypass is not None)
    assert all(one.failed for one in found.evaluations), "each row says which limits it breaks"


def test_candidates_are_ranked_by_effect_and_it_is_said_why(unclean: Run):
    assert unclean.config.candidates.method == "cosine"
    assert unclean.candidates.method == "attribution"
    assert all(one.attribution is not None for one in unclean.candidates.candidates)
    assert unclean.candidates.reason.startswith("the direction ")


def test_every_later_finding_is_there(unclean: Run):
    assert unclean.absence is None or unclean.absence.kind.of_features
    assert not unclean.stopped_early
    flipped = [one for one in unclean.minimal_sets if one.flipped]
    assert flipped
    assert all(one.certified for one in flipped)
    assert len(unclean.cascades) == len(flipped)
    assert unclean.interactions
    for later in (
        unclean.direction_check,
        unclean.successive_directions,
        unclean.sae_coverage,
        unclean.pooled_set,
        unclean.sufficiency,
    ):
        assert later is not None


def test_page_and_file_say_it_and_never_that_there_is_no_mechanism(unclean: Run):
    page = (unclean.folder / "index.html").read_text()
    assert escape(unclean.direction.unclean, quote=False) in page
    assert "no mechanism" not in page.lower()
    written = json.loads((unclean.folder / "findings.json").read_text())
    assert written["direction"]["clean"] is False
    assert written["absence"] is None or "no mechanism" not in written["absence"]["reason"]


def test_what_it_costs_lies_within_the_plan(unclean: Run):
    """The plan assumes that the filters pass; what it says at most holds where they do not."""
    planned = work_of(unclean.config, subject_facts(unclean.config))
    spent = {stage.stage: stage.forward_passes for stage in unclean.manifest.stages}
    for stage in (DIRECTION, CANDIDATES, SUCCESSIVE_DIRECTIONS):
        most = planned[stage].most
        assert most is not None
        assert most.forward_passes > planned[stage].forward_passes
        assert spent[stage.name] <= most.forward_passes, stage.name
    assert spent[CANDIDATES.name] > planned[CANDIDATES].forward_passes


def _mislabel(path: Path) -> None:
    """Labels that follow something else than what is refused: every second one is the other."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    by_label = {
        own: [row for row in rows if row["label"] == own] for own in ("harmful", "harmless")
    }
    for own in by_label.values():
        for row in own[::2]:
            row["label"] = "harmless" if row["label"] == "harmful" else "harmful"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")


def test_refusal_by_something_else_is_not_tied_to_harm(tmp_path: Path):
    config = planted_config(tmp_path / "model", confirm="score")
    _mislabel(Path(config.prompts.sources[0]))
    run = audit(config, tmp_path / "run")
    assert run.absence is not None
    assert run.stopped_early
    assert absence_headline(run.absence.kind).startswith("Refusal not tied to harm")
    page = (run.folder / "index.html").read_text()
    assert "Refusal not tied to harm" in page
    assert "no mechanism" not in page.lower()


def _all_answered(path: Path) -> None:
    """Only prompts that are answered, every second one labelled harmful."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    answered = [row for row in rows if row["label"] == "harmless"]
    for row in answered[::2]:
        row["label"] = "harmful"
    path.write_text("\n".join(map(json.dumps, answered)) + "\n")


def test_only_of_a_model_that_does_not_refuse_there_is_no_mechanism(tmp_path: Path):
    config = planted_config(tmp_path / "model", n_prompts=24, confirm="score")
    _all_answered(Path(config.prompts.sources[0]))
    run = audit(config, tmp_path / "run")
    assert run.absence is not None
    assert run.stopped_early
    said = "No mechanism: the model does not refuse."
    assert absence_headline(run.absence.kind) == said
    assert said in (run.folder / "index.html").read_text()
    assert "In words it refuses 0 of 4" in run.absence.reason


def test_a_model_that_refuses_in_words_alone_is_not_said_to_refuse_nothing(tmp_path: Path):
    config = planted_config(tmp_path / "model", confirm="score", refusal_tokens=["<eos>"])
    run = audit(config, tmp_path / "run")
    assert run.absence is not None
    assert run.stopped_early
    assert run.absence.kind is AbsenceKind.UNSCORED_REFUSAL
    assert "no mechanism" not in (run.folder / "index.html").read_text().lower()
