"""A plan counts what an audit then does, and names what would make it fit."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sae_audit import load_run
from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError
from sae_audit.findings import stages
from sae_audit.findings.stages import DIRECTION
from sae_audit.pipeline import audit
from sae_audit.pipeline import stages as modules
from sae_audit.pipeline.stages import STAGES
from sae_audit.planning import memory as memory_module
from sae_audit.planning.facts import SubjectFacts, subject_facts
from sae_audit.planning.memory import LARGEST_BATCH, Item, Memory, memory_of, remedies
from sae_audit.planning.plan import _downloads, make_plan
from sae_audit.planning.work import work_of
from sae_audit.presets import build_config
from sae_audit.subject.saes.files import SaeConfig
from tests.local_hub import LocalHub

SAMPLE = Path(__file__).parents[3] / "reports" / "sample-organism"


@pytest.fixture(scope="module")
def organism() -> tuple[AuditConfig, SubjectFacts]:
    config = build_config("organism", {}, [])
    return config, subject_facts(config)


def test_the_organism_is_known_without_its_weights(organism: tuple[AuditConfig, SubjectFacts]):
    _, facts = organism
    assert (facts.n_layers, facts.d_model, sorted(facts.saes)) == (8, 128, list(range(8)))
    assert {sae.width for sae in facts.saes.values()} == {1024}
    assert facts.notes == ()
    assert sum(one.n for one in facts.categories if one.label == "harmful") == 40


def test_every_stage_has_a_label_and_a_price():
    declared = [one for one in vars(stages).values() if isinstance(one, stages.Stage)]
    assert declared == list(stages.STAGES)
    assert [one.STAGE for one in STAGES] == declared, "a stage is the file of its name"
    files = {path.stem for path in Path(modules.__file__).parent.glob("*.py")} - {"__init__"}
    assert files == {one.name for one in declared}, "and every file is one"
    assert {id(one) for one in STAGES} <= set(map(id, vars(audit).values())), "and an audit runs it"
    assert (
        len({one.name for one in declared}) == len({one.label for one in declared}) == len(declared)
    )
    assert all(one.name.isidentifier() and one.label for one in declared)


def test_fixed_stages_are_counted_as_they_were_measured(
    organism: tuple[AuditConfig, SubjectFacts],
):
    run = load_run(SAMPLE)
    measured = {one.stage: one.forward_passes for one in run.manifest.stages}
    planned = {one.name: work.forward_passes for one, work in work_of(*organism).items()}
    # The sample may be older than the look-alikes of the preset.
    assert organism[1].n_lookalikes == 40
    n_more = organism[1].n_lookalikes - run.findings.prompts.safe_lookalikes
    assert planned["scores"] == measured["scores"] + n_more


def test_a_direction_is_planned_as_expected_and_at_most(organism: tuple[AuditConfig, SubjectFacts]):
    """40 candidates, 25 of them not cut; 32 validation prompts of each label, 64 for training; 32 to
    say how much of the score the chosen one removes."""
    work = work_of(*organism)[DIRECTION]
    assert work.forward_passes == pytest.approx(25 * 96 / 3 + 2 * 64 + 5 * 32)
    assert work.most is not None
    assert work.most.forward_passes == pytest.approx(40 * 96 + 2 * 64 + 5 * 32)


def test_another_selection_has_another_price(organism: tuple[AuditConfig, SubjectFacts]):
    """On the organism COSMIC asks 1,920 passes and 256 clean ones: no addition above its evaluation
    layer, the first, is run."""
    _, facts = organism
    cosmic = build_config("organism", {}, ["direction.selection=cosmic"])
    work = work_of(cosmic, facts)[DIRECTION]
    assert work.forward_passes == pytest.approx(25 * 96 + 96 + 2 * 64 + 5 * 32)
    assert 0.5 < work.forward_passes / (1920 + 256) < 2.0
    assert "chosen by cosmic" in work.assumed


def test_stages_that_search_are_counted_within_a_factor_of_two(
    organism: tuple[AuditConfig, SubjectFacts],
):
    measured = {one.stage: one.forward_passes for one in load_run(SAMPLE).manifest.stages}
    planned = {one.name: work.forward_passes for one, work in work_of(*organism).items()}
    assert planned.keys() == measured.keys()
    for stage, passes in measured.items():
        if passes:
            assert 0.5 < planned[stage] / passes < 2.0, stage


def test_more_work_takes_more_passes(organism: tuple[AuditConfig, SubjectFacts]):
    config, facts = organism
    wider = build_config("organism", {}, ["candidates.per_layer=64", "interactions.n_masks=1024"])
    less, more = (
        sum(w.forward_passes for w in work_of(c, facts).values()) for c in (config, wider)
    )
    assert more > 1.5 * less


def gemma(**changes: Any) -> tuple[AuditConfig, SubjectFacts]:
    """Gemma-2-2B's shape with 16k SAEs on every layer, from the table and the catalog."""
    config = build_config("gemma-2-2b-it", {}, []).model_copy(update=changes)
    from sae_audit.planning.facts import _from_table

    model = _from_table("google/gemma-2-2b-it")
    sae = SaeConfig(d_model=2304, width=16_384, hook=None, architecture="jumprelu")
    facts = SubjectFacts(
        config=model.config,
        weight_bytes=model.weight_bytes,
        itemsize=model.itemsize,
        dtype=model.dtype,
        is_quantized=False,
        saes=dict.fromkeys(range(26), sae),
        lengths=(20, 30),
        template_tokens=5,
        notes=(),
    )
    return config, facts


def test_the_preset_of_a_real_model_is_planned_with_its_answers():
    in_text, by_score = (
        {stage.name: one for stage, one in work_of(*gemma(**changes)).items()}
        for changes in ({}, {"confirm": "score"})
    )
    assert in_text["confirmation"].steps > 0.0
    assert "confirmation" not in by_score
    assert in_text["controls"].forward_passes > by_score["controls"].forward_passes


def test_sets_by_text_are_planned_if_they_are_asked_for(
    organism: tuple[AuditConfig, SubjectFacts],
):
    """The passes of `audit organism --set prompts.audit=12 --set minimal.certify=text`, as measured."""
    config, facts = organism
    by_text = build_config("organism", {}, ["prompts.audit=12", "minimal.certify=text"])
    planned = {stage.name: one for stage, one in work_of(by_text, facts).items()}
    assert 0.5 < planned["text_sets"].forward_passes / 542 < 2.0
    assert planned["text_sets"].steps > planned["confirmation"].steps / 5 > 0.0
    assert "answers for each of these" in planned["text_sets"].assumed
    assert "text_sets" not in {stage.name for stage in work_of(config, facts)}


class TestMemory:
    @pytest.fixture(autouse=True)
    def _a_program_just_started(self, monkeypatch: pytest.MonkeyPatch):
        """What a process of many tests has grown to is not what `sae-audit plan` starts from."""
        monkeypatch.setattr(memory_module, "program_bytes", lambda: 600 * 10**6)

    def test_gemma_2_2b_in_numbers_known_from_its_card(self):
        config, facts = gemma(dtype="bfloat16")
        assert facts.n_parameters == pytest.approx(2.61e9, rel=0.01)
        sizes = {item.name: item.n_bytes for item in memory_of(config, facts, device="cpu").items}
        assert sizes["model"] == pytest.approx(5.2e9, rel=0.01)
        # 26 SAEs, two matrices each, float32.
        assert sizes["SAEs"] == 26 * 2 * 16_384 * 2304 * 4

    def test_llama_3_1_8b(self):
        from sae_audit.planning.facts import _from_table

        model = _from_table("meta-llama/Llama-3.1-8B-Instruct")
        assert model.weight_bytes / model.itemsize == pytest.approx(8.03e9, rel=0.01)

    @pytest.mark.parametrize("free", [5, 8, 9, 11, 13])
    def test_every_remedy_makes_it_fit(self, free: int, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(memory_module, "free_host_bytes", lambda: free * 10**9)
        config, facts = gemma()
        assert not memory_of(config, facts, device="cpu").fits
        found = remedies(config, facts, device="cpu")
        assert bool(found) == (free > 6), "the model alone takes 5.2 GB"
        for remedy in found:
            changed = build_config("gemma-2-2b-it", {}, remedy.replace("--set ", "").split())
            kept = changed.layers if changed.layers is not None else tuple(facts.saes)
            fewer = replace(facts, saes={layer: facts.saes[layer] for layer in kept})
            assert memory_of(changed, fewer, device="cpu").fits, remedy

    def test_what_fits_needs_no_remedy(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(memory_module, "free_host_bytes", lambda: 24 * 10**9)
        assert memory_of(*gemma(), device="cpu").fits


class TestOffline:
    def test_a_preset_is_planned_with_nothing_at_hand(
        self, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        facts = subject_facts(build_config("gemma-2-2b-it", {}, []))
        assert (facts.n_layers, len(facts.saes)) == (26, 26)
        notes = " ".join(facts.notes)
        for what in ("from a table", "those of the catalog", "20 to 40 tokens long"):
            assert what in notes
        assert hub.requests == []

    def test_downloads_that_could_not_be_asked_for_are_not_nothing(
        self, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        notes: list[str] = []
        assert _downloads(build_config("gemma-2-2b-it", {}, []), notes) is None
        assert notes[0].startswith("The size of the downloads is not known")
        assert hub.requests == []

    def test_a_model_in_no_table_is_an_error(self, hub: LocalHub, monkeypatch: pytest.MonkeyPatch):
        from sae_audit.errors import AuditError

        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        config = build_config("gemma-2-2b-it", {"model": "org/other"}, [])
        with pytest.raises(AuditError, match="org/other is not in the cache"):
            subject_facts(config)
        assert hub.requests == []


def test_nothing_large_is_downloaded(hub: LocalHub, checkpoint: Path, tmp_path: Path):
    hub.publish("org/tiny", {p.name: p.read_bytes() for p in checkpoint.iterdir() if p.is_file()})
    hub.publish("org/tiny-saes", checkpoint / "saes")
    prompts = tmp_path / "p.jsonl"
    words = ["paint", "fence", "house", "bird", "car", "wash", "steal", "build", "bomb", "how"]
    lines = [
        {"id": f"{label}{i}", "text": f"{label} {word} {other}", "label": label}
        for label in ("harmful", "harmless")
        for i, (word, other) in enumerate((a, b) for a in words for b in words if a != b)
    ]
    prompts.write_text("\n".join(map(json.dumps, lines)))
    options = {"model": "org/tiny", "saes": "org/tiny-saes", "prompts.sources": [str(prompts)]}
    sizes = ["prompts.train=8", "prompts.validation=4", "prompts.audit=4"]
    plan = make_plan(build_config(None, {**options, "device": "cpu"}, sizes))
    assert not list(Path(os.environ["HF_HOME"]).rglob("*.safetensors"))
    assert not any("layer_0" in request and "cdn" in request for request in hub.requests)
    assert plan.memory.fits
    assert plan.downloads_known
    assert plan.missing_bytes > 0
    assert all(stage.seconds >= 0.0 for stage in plan.stages)
    assert plan.seconds > plan.loading_seconds > 0.0
    assert any("Not downloaded yet: the tokenizer" in note for note in plan.notes)


LIMITS = ("--fail-on", "refusal_rate drops > 0.1")


@pytest.mark.parametrize(
    ("free", "code", "said"), [(24, 0, "It fits"), (0.1, 2, "It does not fit")]
)
def test_the_command_says_whether_it_fits_and_whether_the_prompts_suffice(
    free: float,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    from sae_audit.cli.commands import main

    monkeypatch.setattr(memory_module, "free_host_bytes", lambda: int(free * 1e9))
    monkeypatch.setattr("sys.argv", ["sae-audit", "plan", "organism", *LIMITS])
    with pytest.raises(SystemExit) as done:
        main()
    assert int(done.value.code or 0) == code
    printed = capsys.readouterr().out
    assert "refusal_rate drops > 0.1: 35 prompts of each label show that it is kept" in printed
    assert "the 40 planned suffice." in printed
    assert "over_refusal" not in printed, "only the limits given"
    assert said in printed
    assert "interactions" in printed
    assert "What it can show, by audit prompts of each label" in printed
    assert "Of 23 categories 0 have prompts enough for a test of their own" in printed


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"refusal_tokens": ["\U0001f6d1\U0001f6d1"]}, "is not in the model's vocabulary"),
        ({"device": "meta"}, "'meta' cannot be used here"),
        ({"device_map": {"model": "cpu", "lm_head": "cuda:99"}}, "names 'cuda:99'"),
        ({"chat_template": "~nobody-there/x.jinja"}, "no such user"),
        ({"prompts.sources": ["nowhere.jsonl"]}, "No prompt file nowhere.jsonl"),
        ({"prompts.sources": ["advbench?limit=0"]}, "limit is '0'"),
        ({"answer_prefix": "<think>", "refusal_tokens": None}, "<think>"),
    ],
)
def test_what_loading_refuses_is_not_planned(options: dict[str, Any], complaint: str):
    with pytest.raises(AuditError, match=complaint):
        make_plan(build_config("organism", options, []))


def test_a_plan_does_not_fill_the_memory_with_a_batch_that_was_asked_for():
    plan = make_plan(build_config("organism", {"tokens_per_batch": 1 << 24}, []))
    assert plan.seconds > 0


def test_a_batch_that_grows_into_a_gpu_is_said_to_be_a_ceiling():
    from sae_audit.cli.planning import _memory_table

    def printed(device: str) -> str:
        batch = Item(name=LARGEST_BATCH, n_bytes=10**11, on_host=False)
        memory = Memory(items=(batch,), device=device, free_device=10**12, free_host=10**12)
        screen = Console(width=100)
        with screen.capture() as shown:
            screen.print(_memory_table(memory))
        return shown.get()

    assert "cuda:0, at most: batches grow into what is free" in printed("cuda:0")
    assert "at most" not in printed("cpu")
