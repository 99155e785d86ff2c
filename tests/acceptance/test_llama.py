"""A Llama checkpoint of one's own: trained here, audited by path, refusal tokens found by itself."""

import json
from html import escape

import pytest

from sae_audit import audit
from sae_audit.config import DirectionSettings
from sae_audit.organisms.mechanismless import ORGANISM_PROMPTS
from sae_audit.organisms.two_classes import write_two_classes
from sae_audit.presets import build_config
from sae_audit.record.run import Run

pytestmark = pytest.mark.slow

SMALL = [
    "prompts.train=24",
    "prompts.validation=10",
    "prompts.audit=8",
    "minimal.more_sets_budget=8",
    "ablation_scale.grid=2",
    "interactions.n_masks=64",
    "interactions.max_players=6",
    "controls.random_sets=2",
    "controls.random_directions=2",
    "cascade.stand_in_sets=2",
    "cascade.stand_in_tests=2",
    "cascade.same_score_prompts=1",
    "evidence.null_dictionaries=0",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The audit, by default limits, of a Llama that is trained here without what makes answering the
    default."""
    folder = tmp_path_factory.mktemp("llama")
    write_two_classes(folder, seed=0)
    config = build_config(
        None,
        {
            "model": str(folder / "model"),
            "saes": str(folder / "saes"),
            "prompts.sources": [ORGANISM_PROMPTS],
        },
        SMALL,
    )
    return audit(config, folder / "run")


def test_a_llama_is_audited_by_path(run: Run):
    assert run.manifest.model.architecture == "LlamaForCausalLM"
    assert run.manifest.refusal_tokens is not None
    assert run.manifest.refusal_tokens.source == "found"
    assert set(run.manifest.refusal_tokens.texts) <= {"I", "Sorry"}
    assert run.findings.prompts.refused_harmful >= 6
    assert run.absence is None
    flipped = [found for found in run.unlimited_sets if found.flipped]
    assert len(flipped) >= len(run.minimal_sets) // 2 > 0
    assert all(found.certified for found in flipped)
    for found in run.minimal_sets:
        assert found.certified or "beyond the side-effect limits" in found.reason
    assert all(m.side_effects.within for m in run.minimal_sets if m.side_effects is not None)


def test_one_whose_refusal_no_direction_removes_cleanly_is_audited_to_its_end(run: Run):
    """Its best direction breaks the default limit of what harmless prompts may pay."""
    direction = run.direction
    assert direction.kl > DirectionSettings().kl_limit
    assert not direction.clean
    assert any("costs KL" in one for one in direction.breaks)
    assert direction.unclean.startswith("No direction removes refusal cleanly: the best of")
    assert run.candidates.method == "attribution"
    assert "costs KL" in run.candidates.reason
    assert not run.stopped_early
    flipped = [found for found in run.minimal_sets if found.flipped]
    assert len(flipped) >= len(run.minimal_sets) // 2 > 0
    assert all(found.certified for found in flipped)
    assert run.prompt_graphs
    assert len(run.cascades) == len(run.edges) == len(flipped)
    for later in (run.direction_check, run.successive_directions, run.sae_coverage, run.pooled_set):
        assert later is not None
    assert run.sufficiency is not None
    written = json.loads((run.folder / "findings.json").read_text())
    assert written["direction"]["unclean"] == direction.unclean
    assert escape(direction.unclean, quote=False) in (run.folder / "index.html").read_text()
