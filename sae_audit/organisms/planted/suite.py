"""The SAE suite of a planted model: its planted features among distractors, in sae_lens' format.

The dictionary of a layer holds the units written in that layer. What earlier layers wrote is still
in the stream and belongs to the SAE's error, as do the words of the prompt: with a feature for a
word of harm, that word would be the bottleneck of every mechanism.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sae_audit.organisms.planted.circuit import Circuit, Places, Unit
from sae_audit.organisms.planted.space import CONSTANT, Space, Vector
from sae_audit.vocabulary import FeatureId

MODEL_NAME = "sae-audit-planted"
_THRESHOLD = 0.02
_SILENT = 10.0
"""Bias taken from distractors that shall not fire: more than any stream reaches along a row."""
_SPLIT = 0.4
"""How far the decoder rows of features that share a unit lean apart."""


@dataclass(frozen=True, kw_only=True)
class SuiteShape:
    """How large the dictionaries are."""

    d_sae: int = 128
    firing: int = 24
    """Distractors of a layer that fire, on words; the rest are silent on these prompts."""


def places_of(circuit: Circuit, shape: SuiteShape) -> Places:
    """Where each planted feature stands: drawn at random within its layer."""
    random = np.random.default_rng([circuit.seed, shape.d_sae, *circuit.family.encode()])
    places: dict[tuple[str, int], FeatureId] = {}
    for layer in audited_layers(circuit):
        free = iter(random.permutation(shape.d_sae))
        for player in circuit.players:
            if _unit(circuit, player.unit).layer == layer:
                places[player.unit, player.part] = FeatureId(layer, int(next(free)))
    return places


def audited_layers(circuit: Circuit) -> range:
    """Every layer but the last, which only reads."""
    return range(circuit.n_layers - 1)


def write_suite(
    circuit: Circuit, space: Space, places: Places, shape: SuiteShape, folder: Path
) -> None:
    """One jumprelu SAE a layer."""
    for layer in audited_layers(circuit):
        _sae(circuit, space, places, shape, layer).save_model(folder / f"layer_{layer}")


def _sae(circuit: Circuit, space: Space, places: Places, shape: SuiteShape, layer: int):
    from sae_lens import saes

    random = np.random.default_rng([circuit.seed, layer, *circuit.family.encode()])
    encoder, decoder, bias = _distractors(space, shape, random)
    for player in circuit.players:
        unit = _unit(circuit, player.unit)
        if unit.layer != layer:
            continue
        index = places[player.unit, player.part].index
        row = space.written(unit) + _lean(unit, player.part, space)
        length = float(np.linalg.norm(row))
        noise = random.standard_normal(space.d_model - 2) / np.sqrt(space.d_model - 2)
        row[2:] += circuit.decoder_noise * noise
        decoder[index] = row / np.linalg.norm(row)
        encoder[:, index] = player.share * length * space.read(unit)
        bias[index] = 0.0
    made = saes.JumpReLUSAE(
        saes.JumpReLUSAEConfig(
            d_in=space.d_model, d_sae=shape.d_sae, device="cpu", apply_b_dec_to_input=False
        )
    )
    with torch.no_grad():
        made.W_enc.copy_(torch.tensor(encoder))
        made.W_dec.copy_(torch.tensor(decoder))
        made.b_enc.copy_(torch.tensor(bias))
        made.b_dec.copy_(torch.tensor(CONSTANT * space.constant))
        made.threshold.fill_(_THRESHOLD)
    metadata = made.cfg.metadata
    metadata.model_name = MODEL_NAME
    metadata.hook_name = f"blocks.{layer}.hook_resid_post"
    metadata.hf_hook_name = f"model.layers.{layer}"
    return made


def _distractors(space: Space, shape: SuiteShape, random: np.random.Generator):
    """Rows of length one in random directions; some fire on words, a fifth leans to refusal."""
    rows = np.zeros((shape.d_sae, space.d_model))
    rows[:, 2:] = random.standard_normal((shape.d_sae, space.d_model - 2))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    leaning = random.permutation(shape.d_sae)[: shape.d_sae // 5]
    rows[leaning] += 0.4 * random.uniform(size=(len(leaning), 1)) * space.refusal
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    encoder, bias = rows.T.copy(), np.full(shape.d_sae, -_SILENT)
    fires = random.permutation(shape.d_sae)[: shape.firing]
    for index in fires:
        word = space.words[random.integers(len(space.words))]
        # What a firing distractor takes from the stream is the word itself, and nothing else.
        encoder[:, index] = word
        rows[index] = word
        bias[index] = 0.0
    return encoder, rows, bias


def _lean(unit: Unit, part: int, space: Space) -> Vector:
    """What a feature's row has beside its unit's direction; the parts' leanings add up to zero."""
    if unit.features == 1:
        return np.zeros(space.d_model)
    angle = 2.0 * np.pi * part / unit.features
    return _SPLIT * (np.cos(angle) * space.words[-1] + np.sin(angle) * space.words[-2])


def _unit(circuit: Circuit, name: str) -> Unit:
    return next(unit for unit in circuit.units if unit.name == name)
