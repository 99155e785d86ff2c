"""The command as a newcomer meets it: whole audits, from a clean folder."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from sae_audit import audit, load_run
from sae_audit.bundled import bundled_root
from sae_audit.findings import AbsenceKind
from sae_audit.findings.stages import (
    BEHAVIOUR,
    CANDIDATES,
    CLAIMS,
    DICTIONARY_NULL,
    INTERACTIONS_OVER_PROMPTS,
    MINIMAL_SETS,
    OWN_FLIPS_IN_TEXT,
    POOLED_CASCADE,
    SEARCH_NULL,
    Step,
)
from sae_audit.organisms.mechanismless import write_random_organism
from sae_audit.pages.wording import absence_headline
from sae_audit.pipeline.inputs import load_inputs
from sae_audit.presets import build_config
from sae_audit.record.run import Run
from sae_audit.vocabulary import Ablation, FeatureSet
from tests import tiny
from tests.acceptance.commands import Inside, command
from tests.unit.pipeline.planted_audit import planted_config

SMALL = [
    "prompts.train=24",
    "prompts.validation=10",
    "prompts.audit=10",
    "candidates.per_layer=8",
    "interactions.n_masks=64",
    "interactions.max_players=6",
    "controls.random_sets=2",
    "cascade.stand_in_sets=2",
    "cascade.stand_in_tests=2",
    "cascade.same_score_prompts=1",
    "evidence.null_dictionaries=2",
    "evidence.null_prompts=5",
]


SMALLER = [
    "prompts.train=16",
    "prompts.validation=4",
    "prompts.audit=4",
    "layers=[0, 3, 5]",
    "candidates.per_layer=5",
    "minimal.more_sets_budget=8",
    "ablation_scale.grid=2",
    "controls.random_sets=1",
    "controls.random_directions=2",
    "answer_tokens=8",
    "evidence.null_dictionaries=1",
]
"""Beside `SMALL`, for what holds at any size."""


def small(*extra: str) -> list[str]:
    return [part for setting in (*SMALL, *extra) for part in ("--set", setting)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A small audit of the bundled organism, through the command.

    In a process of its own, on one thread like those that are compared with it.
    """
    folder = tmp_path_factory.mktemp("clean")
    settings = small("minimal.certify=text")
    done = command("audit", "organism", "--out", "run", *settings, cwd=folder, OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\[(\d+)/\1\] Report: done in ", done.stderr, re.MULTILINE)
    lines = done.stdout.splitlines()
    assert len(lines) <= 12
    assert "look: organism: " in lines[0], "the verdict comes first"
    assert lines[-2] == "Report: run/index.html"
    return load_run(folder / "run")


@pytest.mark.slow
class TestAudit:
    def test_the_folder_holds_everything(self, run: Run):
        names = {path.name for path in run.folder.iterdir()}
        assert names == {
            "config.yaml",
            "manifest.json",
            "run.sqlite",
            "findings.json",
            "index.html",
            "tensors",
        }

    def test_the_organism_refuses_and_every_stage_finds_something(self, run: Run):
        prompts = run.findings.prompts
        assert prompts.refused_harmful == prompts.harmful == 10
        assert prompts.refused_harmless == 0
        assert run.direction.bypass < 0.0 < run.direction.induce
        assert sum(found.flipped for found in run.minimal_sets) >= 9
        assert all(found.certified for found in run.minimal_sets if found.flipped)
        assert run.pooled_set is not None
        assert len(run.interactions) == 11
        counted = {stage.name for stage in (BEHAVIOUR, CANDIDATES, SEARCH_NULL)}
        # Sets that flip in text are known by then: `minimal.certify` is text.
        counted |= {INTERACTIONS_OVER_PROMPTS.name, POOLED_CASCADE.name, OWN_FLIPS_IN_TEXT.name}
        counted |= {stage.name for stage in (MINIMAL_SETS, DICTIONARY_NULL, CLAIMS)}
        assert all(
            stage.forward_passes > 0 for stage in run.manifest.stages if stage.stage not in counted
        )
        assert len(run.cascades) == sum(found.flipped for found in run.minimal_sets)

    def test_the_direction_holds_where_nothing_was_chosen_and_random_ones_do_not(self, run: Run):
        check = run.direction_check
        assert check is not None
        assert check.bypass.own.high < 0.0 < check.bypass.random.mean
        assert check.flipped.own.low > check.flipped.random.mean
        assert check.induce.own.low > 0.0 > check.induce.random.mean
        assert check.stability.own.low > 0.9

    def test_no_other_direction_is_behind_that_of_the_organism(self, run: Run):
        """It was trained so that one direction can be taken out, and refusal with it."""
        found = run.successive_directions
        assert found is not None
        (only,) = found.directions
        place = run.direction.selected
        assert (only.layer, only.position) == (place.layer, place.position)
        assert only.refused.own.value == 0.0
        assert only.refused.random.mean > 0.8
        refused = {s.prompt_id for s in run.scores if s.label == "harmful" and s.score > 0.0}
        assert set(found.needed) == {s.prompt_id for s in run.minimal_sets} <= refused
        assert set(found.needed.values()) == {1}
        vector = np.array(run.direction.vector)
        cosine = run.successive_units @ vector / np.linalg.norm(vector)
        np.testing.assert_allclose(cosine, [1.0], atol=1e-6)

    def test_the_saes_of_the_organism_show_its_mechanism(self, run: Run):
        found = run.sae_coverage
        assert found is not None
        assert found.reason == ""
        assert found.hidden_from_saes is not None
        assert found.hidden_from_saes.high < 0.1
        assert found.carried_by_error is not None
        assert found.carried_by_error.high < 0.1
        assert found.random_features is not None
        assert found.random_features.highest < 0.2
        assert [one.layer for one in found.layers] == [sae.layer for sae in run.manifest.saes]

    def test_own_sets_beat_equally_large_random_ones(self, run: Run):
        controls = {control.name: control for control in run.controls.per_prompt}
        assert controls["minimal"].flipped.value == 1.0
        assert controls["random_matched"].flipped.value < 0.2

    def test_flips_are_confirmed_in_text(self, run: Run):
        found = run.confirmation
        assert found is not None
        cases = [check.case for check in found.checks]
        assert cases.count("clean") == cases.count("harmless") == 10
        assert cases.count("ablated") == sum(one.flipped for one in run.minimal_sets)
        assert found.complied_clean.value == 0.0
        assert found.confirmed is not None
        assert found.confirmed.value > 0.0
        assert run.findings.confirmation == found

    def test_sets_are_certified_by_text_from_those_by_score_on(self, run: Run):
        found = run.text_sets
        assert [one.prompt_id for one in found] == [
            one.prompt_id for one in run.minimal_sets if one.flipped
        ]
        assert run.confirmation is not None
        assert sum(one.at_once for one in found) == run.confirmation.n_flipped_in_text
        assert sum(one.certified for one in found) >= run.confirmation.n_flipped_in_text
        assert all(one.certified or one.reason for one in found)
        assert run.findings.text_sets == found
        assert "Certified by text" in (run.folder / "index.html").read_text()

    def test_certificates_by_text_hold_by_plain_hooks(self, run: Run):
        """Answers made with the whole text run for each token, where the set by score does not do."""
        start = load_inputs(run.config)
        prompts = {p.id: p for p in start.splits.audit.harmful}
        judge = start.judge
        assert judge is not None

        def complies(prompt_id: str, ablated: FeatureSet) -> bool:
            prompt, n = prompts[prompt_id], run.config.answer_tokens
            text = start.subject.answer(start.subject.reference_generate(prompt, ablated, n))
            return text is not None and judge.complied_all([(prompt.text, text)])[0]

        searched = [one for one in run.text_sets if one.flipped and not one.at_once]
        assert searched, "some answers refuse though the score is flipped"
        for found in searched:
            whole = frozenset(found.features)
            assert not complies(found.prompt_id, frozenset(found.read[0].features))
            assert complies(found.prompt_id, whole)
            assert found.side_effects is not None
            assert found.side_effects.within
            for feature, complied in found.complied_without.items():
                assert complies(found.prompt_id, whole - {feature}) == complied

    def test_each_certificate_holds_by_plain_hooks(self, run: Run):
        """The literal reference, on the model loaded anew, one set a pass."""
        start = load_inputs(run.config)
        prompts = {p.id: p for p in start.splits.audit.harmful}
        for found in run.minimal_sets:
            if not found.flipped:
                continue
            whole = frozenset(found.features)
            spared = [whole - {feature} for feature in found.features]
            scores = start.subject.reference_score(prompts[found.prompt_id])([whole, *spared])
            assert scores[0] == pytest.approx(found.ablated_score, abs=1e-3)
            np.testing.assert_allclose(
                scores[1:], [found.score_without[f] for f in found.features], atol=1e-3
            )

    def test_other_sets_and_smallest_doses_hold_by_plain_hooks(self, run: Run):
        """The same for one other minimal set of each prompt, and for its scale and the one below."""
        start = load_inputs(run.config)
        prompts = {p.id: p for p in start.splits.audit.harmful}
        reference = start.subject.reference_score
        own = {found.prompt_id: found for found in run.minimal_sets}
        n_flipped = sum(found.flipped for found in own.values())
        assert len(run.minimal_set_families) == n_flipped
        assert max(len(found.sets) for found in run.minimal_set_families) > 1
        for found in run.minimal_set_families:
            assert found.sets[0].features == own[found.prompt_id].features
            other, whole = found.sets[-1], frozenset(found.sets[-1].features)
            scores = reference(prompts[found.prompt_id])([whole])
            assert scores[0] == pytest.approx(other.ablated_score, abs=1e-3)
        assert len(run.flip_scales) == len(run.minimal_sets)
        for found in (one for one in run.flip_scales if one.ablated == "minimal_set"):
            assert found.certified
            assert found.scale is not None
            whole = frozenset(own[found.prompt_id].features)
            for scale, score in (
                (found.scale, found.score),
                (found.scale_below, found.score_below),
            ):
                literal = reference(prompts[found.prompt_id], Ablation(scale=scale))([whole])[0]
                assert literal == pytest.approx(score, abs=1e-3)

    def test_random_sets_at_the_same_doses_flip_hardly_any(self, run: Run):
        own = next(one for one in run.controls.scales if one.ablated == "minimal_set")
        assert own.mean is not None
        assert own.random_flipped is not None
        assert 0.0 < own.mean.value <= 1.0
        assert own.random_flipped.value < 0.2

    def test_no_prompt_text_is_in_the_run(self, run: Run):
        prompts = [
            json.loads(line)["text"]
            for line in (bundled_root() / "organism" / "prompts.jsonl").read_text().splitlines()
        ]
        written = b"".join(p.read_bytes() for p in run.folder.rglob("*") if p.is_file())
        assert not any(text.encode() in written for text in prompts)

    def test_the_same_command_again_reads_the_finished_run(self, run: Run, inside: Inside):
        before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
        again = inside(
            "audit",
            "organism",
            "--out",
            "run",
            *small("minimal.certify=text"),
            cwd=run.folder.parent,
        )
        assert again.returncode == 0, again.stderr
        assert {p: p.read_bytes() for p in run.folder.rglob("*") if p.is_file()} == before

    def test_another_audit_does_not_overwrite_it(self, run: Run, inside: Inside):
        other = inside("audit", "organism", "--out", "run", *small("seed=1"), cwd=run.folder.parent)
        assert other.returncode == 2
        assert "--overwrite" in other.stderr

    def test_the_report_can_be_written_again(self, run: Run, inside: Inside):
        page = (run.folder / "index.html").read_bytes()
        done = inside("report", "run", cwd=run.folder.parent)
        assert done.returncode == 0, done.stderr
        assert (run.folder / "index.html").read_bytes() == page


@pytest.mark.slow
def test_the_written_config_repeats_the_numbers(tmp_path: Path, inside: Inside):
    config = planted_config(tmp_path / "it").model_dump(mode="json")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    done = inside("audit", "mine.yaml", "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    again = inside("audit", "run/config.yaml", "--out", "again", "--quiet", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert again.stdout == ""
    first, second = (tmp_path / name / "findings.json" for name in ("run", "again"))
    assert load_run(tmp_path / "run").cascades
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.slow
def test_an_interrupted_audit_resumes_where_it_stopped(tmp_path: Path):
    config = planted_config(tmp_path / "it")

    class Killed(BaseException):
        pass

    def killing(stage: Step, done: int, _total: int) -> None:
        if stage is MINIMAL_SETS and done > 0:
            raise Killed

    with pytest.raises(Killed):
        audit(config, tmp_path / "run", progress=killing)
    assert not (tmp_path / "run" / "findings.json").exists()
    asked: list[str] = []

    def watching(stage: Step, done: int, total: int) -> None:
        if done:
            asked.append(f"{stage.name} {done}/{total}")

    audit(config, tmp_path / "run", progress=watching)
    assert audit(config, tmp_path / "whole").cascades
    resumed, whole = (tmp_path / name / "findings.json" for name in ("run", "whole"))
    assert resumed.read_bytes() == whole.read_bytes()
    assert not any(line.startswith("direction ") for line in asked), "that was done before"


@pytest.mark.slow
def test_every_stage_works_under_other_settings(tmp_path: Path):
    """Clamps of each feature's own, template positions, a frozen error, other searches."""
    settings = [
        *SMALLER,
        "clamp=harmless_mean",
        "positions=template",
        "error_term=frozen",
        "candidates.method=cosine_attribution",
        "candidates.keep=12",
        "attribution_steps=3",
        "minimal.search=delta_debugging",
        "confirm=score",
    ]
    run = audit(build_config("organism", {}, [*SMALL, *settings]), tmp_path / "run")
    assert len(run.candidates.candidates) == 12
    assert all(c.attribution is not None for c in run.candidates.candidates)
    assert len(run.minimal_sets) == 4
    for found in run.minimal_sets:
        assert found.certified or found.reason
        assert found.search == "delta_debugging"
    assert run.confirmation is None
    assert "delta debugging" in (run.folder / "index.html").read_text()


@pytest.mark.slow
def test_another_readout_is_audited_whole(tmp_path: Path, inside: Inside):
    """Declining against acting: from settings to page, and its record is no other readout's."""
    pair = ["readout.kind=token_pair", 'readout.declines=["I", "Sorry"]', 'readout.acts=["Sure"]']
    given = small(*SMALLER, "refusal_tokens=null", *pair, "readout.threshold=0.5")
    done = inside("audit", "organism", "--out", "run", "--table", *given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Token pair: 'I' declines, 'Sorry' declines, 'Sure' acts" in done.stdout
    run = load_run(tmp_path / "run")
    assert run.manifest.refusal_tokens is None
    assert run.manifest.readout.kind == "token_pair"
    assert run.manifest.readout.threshold == 0.5
    assert any(found.flipped for found in run.minimal_sets)
    page = (run.folder / "index.html").read_text().lower()
    assert "refusal token" not in page
    assert "declining rather than by acting, less a threshold of" in page
    # The recorded scores are those of the literal reference.
    again = load_inputs(run.config)
    prompts = {prompt.id: prompt for part in again.splits.named().values() for prompt in part}
    for found in run.minimal_sets:
        score = again.subject.reference_score(prompts[found.prompt_id])
        literal = score([frozenset(), frozenset(found.features)])
        assert literal[0] == pytest.approx(found.clean_score, abs=1e-4)
        assert literal[1] == pytest.approx(found.ablated_score, abs=1e-4)
    other = small(*SMALLER, "refusal_tokens=null", *pair, "readout.threshold=0.25")
    refused = inside("audit", "organism", "--out", "run", *other, cwd=tmp_path)
    assert refused.returncode == 2
    assert "readout" in refused.stderr + refused.stdout


@pytest.mark.slow
def test_what_the_tuned_checkpoint_lost(run: Run, inside: Inside):
    folder = run.folder.parent
    fewer = small("evidence.null_dictionaries=0", "confirm=score")
    tuned = inside("audit", "organism-tuned", "--out", "tuned", "--quiet", *fewer, cwd=folder)
    assert tuned.returncode == 0, tuned.stderr
    done = inside("compare", "run", "tuned", "--out", "both", cwd=folder)
    assert done.returncode in (1, 4), done.stderr
    found = json.loads((folder / "both" / "comparison.json").read_text())
    assert found["tests"], "eight prompts show little beside all tests, and it is said how little"
    score = found["behaviour"][0]["score"]["difference"]
    assert score["high"] < 0.0, "the tuned model refuses harmful prompts less"


def test_the_schema_is_printed(tmp_path: Path, inside: Inside):
    done = inside("schema", cwd=tmp_path)
    assert json.loads(done.stdout)["properties"]["schema_version"]["const"] == 2


def test_help_teaches(tmp_path: Path, inside: Inside):
    assert "sae-audit audit organism" in inside("--help", cwd=tmp_path).stdout
    text = inside("audit", "--help", cwd=tmp_path).stdout
    for option in ("--model", "--saes", "--prompts", "--set", "Exit codes"):
        assert option in text


OWN = ("--model", "model", "--saes", "model/saes", "--prompts", "prompts.jsonl")
SIZES = (
    "--set",
    "prompts.train=8",
    "--set",
    "prompts.validation=4",
    "--set",
    "prompts.audit=4",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.write_checkpoint(tmp_path / "model", "llama")
    lines = [
        {"id": f"{label}-{i}", "text": f"{label} request {i}", "label": label}
        for label in ("harmful", "harmless")
        for i in range(20)
    ]
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path


class TestNothingToExplain:
    """Exit code 0, a whole record and report, the reason up front and the hint last."""

    @pytest.fixture
    def absent(self, inside: Inside) -> Callable[..., Run]:
        def auditing(folder: Path, *arguments: str, out: str = "out") -> Run:
            done = inside("audit", *arguments, "--out", out, "--table", cwd=folder)
            assert done.returncode == 0, done.stderr + done.stdout
            run = load_run(folder / out)
            assert run.absence is not None
            said = " ".join(done.stdout.split())
            headline = absence_headline(run.absence.kind)
            assert f"{headline} {run.absence.remedy}" in said
            page = (run.folder / "index.html").read_text()
            assert headline in page
            written = json.loads((run.folder / "findings.json").read_text())
            assert written["absence"]["reason"] == run.absence.reason
            return run

        return auditing

    def test_a_model_that_refuses_nothing_and_has_no_known_tokens(self, folder: Path, absent):
        run = absent(folder, *OWN, *SIZES)
        assert run.absence.kind is AbsenceKind.NO_REFUSAL
        assert run.manifest.refusal_tokens.source == "none"
        assert "of 8 harmful training prompts answered in text not one" in run.absence.reason
        assert run.behaviour.refused_harmful.high < 0.5
        assert len(run.quality) == tiny.N_LAYERS

    def test_a_model_that_refuses_in_words_that_its_score_does_not_count(
        self, folder: Path, absent
    ):
        """It says "I" and "Sorry"; by the tokens that it is scored by it answers everything."""
        run = absent(folder, "organism", *small(*SMALLER, 'refusal_tokens=["the"]'))
        assert run.absence.kind is AbsenceKind.UNSCORED_REFUSAL
        assert run.absence.refused_in_words.low > 0.1
        assert "By refusal score the model refuses 0 of" in run.absence.reason
        assert not any(one.stands for one in run.claims)

    def test_a_model_that_refuses_everything(self, folder: Path, absent):
        """Every word of the vocabulary as refusal token."""
        words = json.dumps([*tiny.WORDS.split(), "user", "model", "system"])
        run = absent(folder, *OWN, *SIZES, "--set", f"refusal_tokens={words}")
        assert run.absence.kind is AbsenceKind.REFUSES_EVERYTHING
        assert run.absence.also == (AbsenceKind.NO_SEPARATION,)

    def test_a_direction_that_breaks_a_limit_ends_nothing(self, folder: Path, inside: Inside):
        limits = ("direction.induce_floor=50", "layers=[3]")
        arguments = ("organism", *small(*SMALLER, *limits), "--out", "out", "--table")
        done = inside("audit", *arguments, cwd=folder)
        assert done.returncode == 0, done.stderr + done.stdout
        run = load_run(folder / "out")
        assert not run.stopped_early
        assert " ".join(run.direction.unclean.split()) in " ".join(done.stdout.split())
        assert "Features are ranked by estimated effect: the direction induces" in done.stdout
        directions = run.table("directions")
        (failed,) = directions[directions.selected].failed
        assert failed == "not inducing"

    @pytest.mark.slow
    def test_a_variant_without_refusal_is_compared_with_its_parent(
        self, run: Run, folder: Path, absent, inside: Inside
    ):
        """Random weights in the place of a checkpoint whose refusal was tuned away."""
        write_random_organism(folder / "random", seed=0)
        bundled = ("--saes", "bundled:organism/saes", "--prompts", "bundled:organism/prompts.jsonl")
        own = ("--model", "random", *bundled, *small('refusal_tokens=["I", "Sorry"]'))
        variant = absent(folder, *own, out="variant")
        assert variant.absence.kind is AbsenceKind.NO_REFUSAL
        done = inside("compare", str(run.folder), "variant", "--out", "both", cwd=folder)
        assert done.returncode == 1, done.stderr
        found = json.loads((folder / "both" / "comparison.json").read_text())
        assert found["verdicts"][0]["kind"] == "lost"
        assert found["b"]["absence"]["kind"] == "no_refusal"
        assert found["direction"]["chosen_in"] == "parent"


class TestBadInput:
    """One sentence, exit code 2, nothing left behind."""

    @pytest.fixture
    def refused(self, inside: Inside) -> Callable[..., str]:
        def refusing(folder: Path, *arguments: str) -> str:
            before = sorted(folder.rglob("*"))
            done = inside("audit", *arguments, "--out", "out", cwd=folder)
            assert done.returncode == 2, done.stderr + done.stdout
            assert sorted(folder.rglob("*")) == before, "something was left behind"
            assert "Traceback" not in done.stderr
            return " ".join(done.stderr.split())

        return refusing

    def test_no_such_preset(self, folder: Path, refused):
        assert "No preset or config file 'organizm'" in refused(folder, "organizm")

    def test_options_missing(self, folder: Path, refused):
        assert "give --prompts" in refused(folder, *OWN[:4])

    def test_saes_of_another_model(self, folder: Path, refused):
        saes = str(bundled_root() / "organism" / "saes")
        said = refused(folder, *OWN[:2], "--saes", saes, *OWN[4:], *SIZES)
        assert "made for another model" in said

    def test_a_broken_prompt_line(self, folder: Path, refused):
        with (folder / "prompts.jsonl").open("a") as file:
            file.write("\n{broken")
        assert "line 41: not a JSON object" in refused(folder, *OWN, *SIZES)

    def test_too_few_prompts(self, folder: Path, refused):
        assert "20 distinct harmful prompts, but 136 are needed" in refused(folder, *OWN)

    def test_an_out_folder_that_holds_other_files(self, folder: Path, refused):
        (folder / "out").mkdir()
        (folder / "out" / "thesis.txt").write_text("mine")
        shutil.rmtree(folder / "model" / "saes" / "layer_2")
        said = refused(folder, "organism", *small())
        assert "holds files that are no audit" in said

    def test_runs_that_are_none_cannot_be_compared(self, folder: Path):
        """In a process of its own: the exit code is the operating system's."""
        done = command("compare", "model", "model", cwd=folder)
        assert done.returncode == 2
        assert "holds no audit" in done.stderr
