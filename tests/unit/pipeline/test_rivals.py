"""Rivals of the pooled set, on planted models where it is known who does as well."""

from pathlib import Path

import pytest

from sae_audit.config import AuditConfig
from sae_audit.findings import Controls
from sae_audit.findings.stages import CONTROLS, POOLED_SET
from sae_audit.organisms.planted.families import build
from sae_audit.organisms.planted.plant import audit_settings, plant
from sae_audit.pipeline.running import unpublished
from sae_audit.pipeline.stages import (
    candidate_effects,
    candidates,
    controls,
    direction,
    minimal_sets,
    pooled_set,
    scores,
    set_effects,
    unlimited_sets,
    widening,
)

_STAGES = (
    *(scores, direction, candidates, widening, candidate_effects, unlimited_sets, set_effects),
    *(minimal_sets, pooled_set, controls),
)
_SMALL = {"controls": {"random_sets": 2, "random_directions": 2}, "device": "cpu"}


def controlled(folder: Path, family: str, size: int, seed: int) -> Controls:
    """The controls of a planted model, of whose 16 refused prompts 8 are held out."""
    made = plant(build(family, size, seed), folder / "made", architecture="llama", n_prompts=48)
    settings = audit_settings(made) | _SMALL
    settings["prompts"] |= {"train": 12, "validation": 8, "audit": 16}
    with unpublished(AuditConfig.model_validate(settings), folder / "run") as state:
        for stage in _STAGES:
            stage.run(state)
        assert state.session.if_found(POOLED_SET)
        return state.session.found(CONTROLS)


@pytest.mark.slow
def test_where_only_a_search_finds_the_features_the_set_beats_every_rival(tmp_path: Path):
    """Two ways to refuse, one of which works only once the other is gone: neither activations nor
    gradients show it on the clean run, and the direction misses it."""
    found = controlled(tmp_path, "backups", 2, seed=1)
    assert found.beats_rivals, found.reason
    assert found.rivals is not None
    assert set(found.rivals.p_values) == {
        *("random_matched", "random_norm", "linear_probe", "linear_probe_end", "top_cosine"),
        *("mean_difference", "attribution", "direction"),
    }
    assert found.rivals.n == 8
    assert found.rivals.p_value == pytest.approx(2 * 0.5**8)
    own = found.rivals.curves[0]
    assert [point.flipped.value for point in own.points] == [0.0, 1.0]


@pytest.mark.slow
def test_where_a_ranking_is_as_good_the_set_does_not_win(tmp_path: Path):
    """One cause among decoys that align better: a gradient on the clean run shows it, and the direction
    holds it; what fires and aligns does not."""
    found = controlled(tmp_path, "decoys", 12, seed=0)
    assert not found.beats_rivals
    assert found.rivals is not None
    assert set(found.rivals.unbeaten) == {"attribution", "direction"}
    assert "does not beat 2 of 8 rivals" in found.reason
    assert "the ranking by attribution (at equal size 100% against" in found.reason
    # The cause writes more than any other feature of its layer does where the answer begins.
    assert [one.matched for one in found.rivals.norms] == [False]
    by_name = {one.name: one for one in found.pooled}
    own, random = (by_name[name].removed_norm for name in ("pooled", "random_norm"))
    assert own is not None
    assert random is not None
    assert 0.0 < random < 0.9 * own
