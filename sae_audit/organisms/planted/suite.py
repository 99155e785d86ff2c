"""The SAE suite of a planted model: its planted features among distractors, in sae_lens' format.

A layer's SAE holds the units written in that layer. Units of earlier layers are still in the residual
stream and belong to the SAE's error, as do the prompt's words: a feature for a harm word would be the
bottleneck of every mechanism.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sae_audit.organisms.planted.circuit import Circuit, PlayerFeatures, Unit
from sae_audit.organisms.planted.space import CONSTANT, Space, Vector
from sae_audit.vocabulary import FeatureId

MODEL_NAME = "sae-audit-planted"
_THRESHOLD = 0.02
_SILENT = 10.0
"""Bias, in activation units, subtracted from silent distractors; exceeds any stream's component."""
_SPLIT = 0.4
"""Length of the components by which decoder rows of features that share a unit differ."""


@dataclass(frozen=True, kw_only=True)
class SuiteShape:
    """Sizes of the SAEs."""

    d_sae: int = 128
    firing: int = 24
    """Number of distractors of a layer that fire, on words; the rest are silent on these prompts."""
    centred: bool = False
    """Whether the encoder reads the stream less the decoder's bias, the constant coordinate. No planted
    feature sees the constant; null dictionaries do, unless they are rotated about it."""


def player_features_of(circuit: Circuit, shape: SuiteShape) -> PlayerFeatures:
    """SAE feature of each player, drawn at random within its layer."""
    random = np.random.default_rng([circuit.seed, shape.d_sae, *circuit.family.encode()])
    player_features: dict[tuple[str, int], FeatureId] = {}
    for layer in audited_layers(circuit):
        free = iter(random.permutation(shape.d_sae))
        for player in circuit.players:
            if _unit(circuit, player.unit).layer == layer:
                player_features[player.unit, player.part] = FeatureId(layer, int(next(free)))
    return player_features


def audited_layers(circuit: Circuit) -> range:
    """All layers except the last, which only reads."""
    return range(circuit.n_layers - 1)


def write_suite(
    circuit: Circuit, space: Space, player_features: PlayerFeatures, shape: SuiteShape, folder: Path
) -> None:
    """Write one JumpReLU SAE a layer."""
    for layer in audited_layers(circuit):
        _sae(circuit, space, player_features, shape, layer).save_model(folder / f"layer_{layer}")


_TILED = 0.4
"""Share of the stream's component along its row that a feature of a tiling reads."""


def write_tiling(
    circuit: Circuit, space: Space, shape: SuiteShape, folder: Path, *, seed: int
) -> None:
    """Write dictionaries that explain some of any stream and know nothing of it: evenly drawn rows, each
    read by itself, without bias. Ablating many of any of them shrinks all that the stream holds."""
    for layer in audited_layers(circuit):
        random = np.random.default_rng([seed, layer, *b"tiling"])
        rows = np.zeros((shape.d_sae, space.d_model))
        rows[:, 2:] = random.standard_normal((shape.d_sae, space.d_model - 2))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        made = _jumprelu(_TILED * rows.T, rows, np.zeros(shape.d_sae), space, shape, layer)
        made.save_model(folder / f"layer_{layer}")


def _sae(
    circuit: Circuit, space: Space, player_features: PlayerFeatures, shape: SuiteShape, layer: int
):
    random = np.random.default_rng([circuit.seed, layer, *circuit.family.encode()])
    encoder, decoder, bias = _distractors(space, shape, random)
    for player in circuit.players:
        unit = _unit(circuit, player.unit)
        if unit.layer != layer:
            continue
        index = player_features[player.unit, player.part].index
        row = space.written(unit) + _lean(unit, player.part, space)
        length = float(np.linalg.norm(row))
        noise = random.standard_normal(space.d_model - 2) / np.sqrt(space.d_model - 2)
        row[2:] += circuit.decoder_noise * noise
        decoder[index] = row / np.linalg.norm(row)
        encoder[:, index] = player.share * length * space.read(unit)
        bias[index] = 0.0
    return _jumprelu(encoder, decoder, bias, space, shape, layer)


def _jumprelu(
    encoder: np.ndarray,
    decoder: np.ndarray,
    bias: np.ndarray,
    space: Space,
    shape: SuiteShape,
    layer: int,
):
    from sae_lens import saes

    made = saes.JumpReLUSAE(
        saes.JumpReLUSAEConfig(
            d_in=space.d_model,
            d_sae=shape.d_sae,
            device="cpu",
            apply_b_dec_to_input=shape.centred,
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
    """Unit rows in random directions; some fire on words, and a fifth lean towards refusal."""
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
        # A firing distractor reads the word alone.
        encoder[:, index] = word
        rows[index] = word
        bias[index] = 0.0
    return encoder, rows, bias


def _lean(unit: Unit, part: int, space: Space) -> Vector:
    """Component of a feature's row orthogonal to its unit's direction; over the parts they sum to 0."""
    if unit.features == 1:
        return np.zeros(space.d_model)
    angle = 2.0 * np.pi * part / unit.features
    return _SPLIT * (np.cos(angle) * space.words[-1] + np.sin(angle) * space.words[-2])


def _unit(circuit: Circuit, name: str) -> Unit:
    return next(unit for unit in circuit.units if unit.name == name)
