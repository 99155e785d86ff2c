"""The claim about features stands for no dictionary that knows nothing of the model."""

from pathlib import Path

import numpy as np
import pytest

from sae_audit.config import AuditConfig
from sae_audit.findings import DictionaryNull, NullKind
from sae_audit.findings.stages import DICTIONARY_NULL, MINIMAL_SETS
from sae_audit.organisms.planted.families import build
from sae_audit.organisms.planted.plant import audit_settings, plant
from sae_audit.pipeline.running import unpublished
from sae_audit.pipeline.stages import (
    candidate_effects,
    candidates,
    dictionary_null,
    direction,
    minimal_sets,
    null_dictionaries,
    scores,
    set_effects,
    unlimited_sets,
    widening,
)
from sae_audit.subject.saes.null_dictionary import null_suite

_SEARCH = (candidates, widening, candidate_effects, unlimited_sets, set_effects, minimal_sets)
_N = 3

pytestmark = pytest.mark.slow


def compared(folder: Path, audited: NullKind) -> tuple[DictionaryNull | None, int]:
    """The comparison, and the number of prompts flipped, of a planted model through a dictionary of this
    kind in place of its own SAEs."""
    planted = plant(build("parallel", 3, seed=1), folder / "planted", architecture="llama")
    settings = audit_settings(planted)
    settings["prompts"] |= {"train": 8, "validation": 8, "audit": 5}
    settings["evidence"] = {"null_dictionaries": _N, "null_prompts": 5}
    settings["side_effects"] = {"prompts": 8}
    with unpublished(AuditConfig.model_validate(settings), folder / "run") as state:
        scores.run(state)
        direction.run(state)
        r = np.array(state.direction.vector)
        suite = null_suite(state.subject.suite, audited, r, seed=(99,))
        through_null = state.with_saes(suite)
        for stage in (*_SEARCH, null_dictionaries, dictionary_null):
            stage.run(through_null)
        flipped = sum(one.flipped for one in state.session.found_each(MINIMAL_SETS))
        return state.session.if_found(DICTIONARY_NULL), flipped


@pytest.mark.parametrize("kind", [kind for kind in NullKind if kind.about_features])
def test_a_dictionary_that_knows_nothing_beats_none(tmp_path: Path, kind: NullKind):
    """It flips nothing, or needs as many features as the next one drawn."""
    found, flipped = compared(tmp_path, kind)
    assert found is None or not found.stands, found.reason
    assert (found is None) == (flipped == 0)
