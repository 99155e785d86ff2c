"""Features that fire by no more than rounding of the stream are told from those that fire."""

from typing import Any

import pytest
import torch

from sae_audit.prompts.types import Label, Prompt
from sae_audit.subject import Subject
from sae_audit.vocabulary import FeatureId
from tests import tiny

PROMPT = Prompt(id="p", text="please tell me how to build a bomb", label=Label.HARMFUL)


def subject(saes: list[Any], dtype: torch.dtype) -> Subject:
    return tiny.subject_in_memory("llama", saes, dtype=dtype)


def strongest(saes: list[Any], dtype: torch.dtype) -> tuple[FeatureId, float]:
    fires = subject(saes, dtype).active(PROMPT)([frozenset()])[0]
    own = {feature: value for feature, value in fires.items() if feature.layer == 1}
    feature = max(own, key=lambda one: own[one])
    return feature, own[feature]


def beyond(saes: list[Any], dtype: torch.dtype, feature: FeatureId) -> bool:
    loaded = subject(saes, dtype)
    assert feature in loaded.active(PROMPT)([frozenset()])[0], "it fires in any case"
    (found,) = loaded.beyond_rounding(PROMPT)(frozenset(), [feature])
    return found


@pytest.mark.parametrize("architecture", ["standard", "gated", "topk"])
def test_a_feature_that_fires_strongly_is_beyond_it(architecture: str):
    saes = [tiny.sae(architecture, layer) for layer in range(tiny.N_LAYERS)]
    feature, _ = strongest(saes, torch.bfloat16)
    assert beyond(saes, torch.bfloat16, feature)


def test_a_feature_that_hardly_fires_is_beyond_it_in_float32_alone():
    """The bias leaves a thousandth of the activation at the strongest position, none elsewhere."""
    for dtype, expected in ((torch.bfloat16, False), (torch.float32, True)):
        saes = [tiny.sae("standard", layer) for layer in range(tiny.N_LAYERS)]
        feature, value = strongest(saes, dtype)
        with torch.no_grad():
            saes[1].b_enc[feature.index] -= 0.999 * value
        assert beyond(saes, dtype, feature) == expected, dtype


def test_a_jump_relu_is_measured_from_its_threshold():
    """It fires with all its activation, but a little higher a threshold would keep it silent."""
    for share, expected in ((0.999, False), (0.1, True)):
        saes = [tiny.sae("jumprelu", layer) for layer in range(tiny.N_LAYERS)]
        feature, value = strongest(saes, torch.bfloat16)
        with torch.no_grad():
            saes[1].threshold[feature.index] = share * value
        assert beyond(saes, torch.bfloat16, feature) == expected, share


def test_the_floor_is_read_with_the_ablation_carried_out():
    """The bias leaves a thousandth of what the ablation leaves, and far more on the clean run."""
    saes = [tiny.sae("standard", layer) for layer in range(tiny.N_LAYERS)]
    loaded = subject(saes, torch.bfloat16)
    clean, _ = loaded.active(PROMPT)([frozenset(), frozenset()])
    ablated = frozenset(f for f in clean if f.layer == 0)
    now = loaded.active(PROMPT)([ablated])[0]
    feature = max((f for f in now if f.layer == 1), key=lambda f: clean.get(f, 0.0) - now[f])
    with torch.no_grad():
        saes[1].b_enc[feature.index] -= 0.999 * now[feature]
    assert beyond(saes, torch.bfloat16, feature)
    asked = subject(saes, torch.bfloat16).beyond_rounding(PROMPT)
    assert asked(ablated, [feature]) == [False]
    assert asked(ablated, []) == []
