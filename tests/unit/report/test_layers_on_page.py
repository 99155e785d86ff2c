"""When the page names a layer in which refusal reaches the end of the prompt, and when it does not."""

from dataclasses import replace

import numpy as np

from sae_audit.direction.patched_layers import PatchedScores, layer_patching
from sae_audit.findings import LayerPatching
from sae_audit.report.findings.layers.section import arrival_sentence, control_sentence


def found(own_mean: float, at: int = 2) -> LayerPatching:
    """Refusal that arrives in layer `at`; with their own mean refused prompts score `own_mean`."""
    clean = np.array([2.9, 3.0, 3.1, 3.0, 3.0, 2.8])
    below = np.arange(4)[:, None] < at
    noise = np.linspace(-0.1, 0.1, 6)
    return layer_patching(
        PatchedScores(
            clean_refused=clean,
            clean_answered=np.linspace(-3.1, -2.9, 5),
            refused=np.where(below, clean, -2.0 + noise),
            written=np.tile(clean, (4, 1)),
            own_mean=np.tile(own_mean + noise, (4, 1)),
            answered=np.full((4, 5), 2.0),
        ),
        n_positions=4,
    )


def test_the_layer_is_named_if_refusal_outlasts_its_own_mean():
    assert arrival_sentence(found(3.0)).startswith("More in layer 2 than in any other")
    assert "are still refused" in control_sentence(found(3.0))


def test_no_layer_is_named_if_replacing_as_such_ends_refusal():
    said = arrival_sentence(found(-1.0))
    assert said.startswith("Not known")
    assert "More in layer" not in said
    assert "are not surely refused" in control_sentence(found(-1.0))


def test_no_layer_is_named_if_nothing_is_taken():
    none = replace(found(3.0), arrival=None, steepest=None, share_steepest=None)
    assert arrival_sentence(none).startswith("Not known")
