"""A refusal mechanism as a circuit: units that read each other, and reads that form the score.

A unit is a ReLU neuron of one layer. Its activation is

    a_u = max(0, bias_u + sum_c drive_uc h_c + sum_v weight_uv a'_v)

where h_c is the prompt's harm strength in category c, and a'_v an earlier unit's activation that
remains after ablation. The refusal score is

    S = offset + sum_k slope_k max(0, bias_k + sum_u weight_ku a'_u) - log(1 + sum_j exp(y_j))   (nats)

where y_j is the logit of a word that neither refuses nor answers, NEVER plus a read of its own, and the
answer's logit is 0. Most circuits have no such words, and the last term is 0.

An SAE feature holds a share of a unit; ablating it removes that share. This file is independent of
models: it gives the answer that a model with these weights, and its audit, must give.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from sae_audit.vocabulary import FeatureId

NEVER = -12.0
"""Logit of every word that cannot follow, nats."""

Masks = Bool[np.ndarray, "mask player"]
"""Masks of ablated players (planted features): True if ablated."""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One neuron of the mechanism, with the direction it writes to."""

    name: str
    layer: int
    drive: Mapping[str, float] = field(default_factory=dict[str, float])
    """Weight of each harm category's strength."""
    reads: Mapping[str, float] = field(default_factory=dict[str, float])
    """Weight of each unit of an earlier layer; a negative one keeps this unit inactive."""
    bias: float = 0.0
    alignment: float = 0.6
    """Cosine of its write direction with the common refusal direction."""
    template_only: bool = False
    """Whether it is active only at the tokens that the chat template adds after the user's text."""
    features: int = 1
    """Number of SAE features that share it equally; 0: it lies in the SAE's error alone."""
    dense: bool = False
    """Whether it is active at every token of any prompt and more than refusal rests on it: without it
    the model babbles, so that ablating it is no way to remove refusal."""


@dataclass(frozen=True, kw_only=True)
class Read:
    """One neuron of the last layer, which writes to a logit."""

    weights: Mapping[str, float]
    bias: float = 0.0
    slope: float = 1.0
    """Nats per unit of activation."""


@dataclass(frozen=True, kw_only=True)
class Circuit:
    """A complete mechanism."""

    family: str
    size: int
    seed: int
    units: tuple[Unit, ...]
    reads: tuple[Read, ...]
    offset: float
    """Refusal score without activations, nats; that of harmless prompts."""
    categories: tuple[str, ...] = ("harm",)
    said: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Mapping[str, float]])
    """Strength in each category of each word of its language; empty: the usual words."""
    decoder_noise: float = 0.0
    """Length of the random vector added to every unit decoder row of the SAE suite."""
    babbles: tuple[Read, ...] = ()
    """Reads of dense units; each raises the logit of a word of its own, which neither refuses nor
    answers."""

    def __post_init__(self) -> None:
        names = [unit.name for unit in self.units]
        assert len(set(names)) == len(names), names
        layer = {unit.name: unit.layer for unit in self.units}
        for unit in self.units:
            assert all(layer[read] < unit.layer for read in unit.reads), unit
            assert set(unit.drive) <= set(self.categories), unit
            assert -1.0 < unit.alignment < 1.0, unit
        dense = {unit.name for unit in self.units if unit.dense}
        for word, strengths in self.said.items():
            assert set(strengths) <= set(self.categories), word
        for read in self.reads:
            assert set(read.weights) <= set(names), read
        for read in self.babbles:
            assert set(read.weights) <= dense, read

    @property
    def n_layers(self) -> int:
        """Number of the model's layers: those of the units and the one that reads them."""
        return max(unit.layer for unit in self.units) + 2

    @property
    def players(self) -> tuple["Player", ...]:
        """The planted features, in the order of a mask's columns."""
        return tuple(
            Player(unit=unit.name, part=part, share=1.0 / unit.features)
            for unit in self.units
            for part in range(unit.features)
        )


@dataclass(frozen=True, kw_only=True)
class Player:
    """One planted SAE feature."""

    unit: str
    part: int
    """Index among the features that share the unit."""
    share: float
    """Share of the unit's activation that the feature holds."""


PlayerFeatures = Mapping[tuple[str, int], FeatureId]
"""SAE feature of each player, by unit and part."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A circuit's activations and scores under each mask."""

    activations: Mapping[str, Float[np.ndarray, " mask"]]
    """Activation of every unit, before its own features are ablated."""
    refusal: Float[np.ndarray, " mask"]
    """Logit of a refusal's first word, nats; that of an answer is 0."""
    babbled: Float[np.ndarray, "mask word"]
    """Logits of the words of `Circuit.babbles`, nats."""

    @property
    def scores(self) -> Float[np.ndarray, " mask"]:
        """Refusal scores, nats."""
        return self.refusal - np.log1p(np.exp(self.babbled).sum(axis=1))


def run(circuit: Circuit, masks: Masks, harm: Mapping[str, float]) -> Run:
    """The circuit on a prompt with these harm strengths, under each mask of its players."""
    players = circuit.players
    assert masks.shape[1] == len(players), masks.shape
    gone = {unit.name: np.zeros(len(masks)) for unit in circuit.units}
    for column, player in enumerate(players):
        gone[player.unit] = gone[player.unit] + player.share * masks[:, column]
    activations: dict[str, np.ndarray] = {}
    left: dict[str, np.ndarray] = {}
    for unit in sorted(circuit.units, key=lambda unit: unit.layer):
        drive = unit.bias + sum(w * harm.get(c, 0.0) for c, w in unit.drive.items())
        total = drive + sum(
            (w * left[name] for name, w in unit.reads.items()), np.zeros(len(masks))
        )
        activations[unit.name] = np.maximum(total, 0.0)
        left[unit.name] = activations[unit.name] * (1.0 - gone[unit.name])

    def written(read: Read) -> np.ndarray:
        total = read.bias + sum(
            (w * left[u] for u, w in read.weights.items()), np.zeros(len(masks))
        )
        return read.slope * np.maximum(total, 0.0)

    babbled = np.full((len(masks), len(circuit.babbles)), NEVER)
    for word, read in enumerate(circuit.babbles):
        babbled[:, word] += written(read)
    refusal = sum(map(written, circuit.reads), np.full(len(masks), circuit.offset))
    return Run(activations=activations, refusal=refusal, babbled=babbled)


def saturated(weights: Mapping[str, float], *, slope: float, start: float = 0.0) -> list[Read]:
    """Reads that sum to `slope * min(1, max(0, sum - start))`, which saturates."""
    return [
        Read(weights=weights, bias=-start, slope=slope),
        Read(weights=weights, bias=-start - 1.0, slope=-slope),
    ]
