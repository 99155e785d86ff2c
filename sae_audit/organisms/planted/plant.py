"""Planting: writes a circuit as an ordinary checkpoint folder, together with its truth.

model/       weights, config, tokenizer          saes/layer_0 ...   the suite
prompts.jsonl                                     truth.json         what an audit must find
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from sae_audit.errors import AuditError
from sae_audit.margins import answers
from sae_audit.organisms.planted import language
from sae_audit.organisms.planted.circuit import Circuit, Masks, PlayerFeatures, run
from sae_audit.organisms.planted.language import ANSWER_WORDS
from sae_audit.organisms.planted.space import space_of
from sae_audit.organisms.planted.suite import (
    SuiteShape,
    audited_layers,
    player_features_of,
    write_suite,
)
from sae_audit.organisms.planted.truth import Truth, all_masks, truth_of, write_truth
from sae_audit.organisms.planted.weights import planted_model
from sae_audit.prompts.types import Prompt
from sae_audit.subject import Subject, load_subject
from sae_audit.vocabulary import FeatureSet

CAP = 30.0
"""Soft cap of Gemma-2's final logits, nats."""
MOST_CHECKED = 12
"""Most planted features for which every subset is tried on the model itself."""


@dataclass(frozen=True, kw_only=True)
class Planted:
    """One planted model on disk."""

    circuit: Circuit
    architecture: str
    folder: Path
    player_features: PlayerFeatures
    truth: Truth

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def saes(self) -> Path:
        return self.folder / "saes"

    @property
    def prompts(self) -> Path:
        return self.folder / "prompts.jsonl"

    def subject(self, **options: Any) -> Subject:
        """The model with its SAE suite, loaded as in an audit."""
        return load_subject(
            str(self.model), str(self.saes), refusal_tokens=(language.REFUSAL[0],), **options
        )


def plant(
    circuit: Circuit,
    folder: Path,
    *,
    architecture: str,
    n_prompts: int = 48,
    shape: SuiteShape | None = None,
) -> Planted:
    """Write model, suite, prompts and truth to a new folder.

    Raises:
        AuditError: the folder exists and is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise AuditError(f"{folder} is not empty; name a new folder.")
    shape = shape or SuiteShape()
    tokenizer = language.tokenizer(circuit)
    space = space_of(circuit, n_answer_words=len(ANSWER_WORDS), n_words=len(tokenizer))
    player_features = player_features_of(circuit, shape)
    planted_model(circuit, space, tokenizer, architecture).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    write_suite(circuit, space, player_features, shape, folder / "saes")
    language.write_prompts(circuit, folder / "prompts.jsonl", n_each=n_prompts)
    truth = truth_of(circuit, player_features, architecture)
    write_truth(truth, folder / "truth.json")
    return Planted(
        circuit=circuit,
        architecture=architecture,
        folder=folder,
        player_features=player_features,
        truth=truth,
    )


@dataclass(frozen=True, kw_only=True)
class Check:
    """Agreement of circuit and model over ablated subsets of planted features."""

    n_masks: int
    n_prompts: int
    largest_error: float
    """Largest absolute difference of refusal scores, nats."""
    same_side: bool
    """Whether the scores of circuit and model have the same sign on every subset and prompt; scores
    closer to 0 than the largest error are not compared."""


def check(planted: Planted, subject: Subject, prompts: list[Prompt], *, seed: int = 0) -> Check:
    """Agreement of the model's scores with the circuit's under every subset, or under 4,096 random ones
    if there are more than 2^12."""
    masks = _masks(len(planted.circuit.players), seed)
    sets = [as_set(planted, mask) for mask in masks]
    expected = np.stack([expected_scores(planted, prompt, masks) for prompt in prompts])
    measured = np.stack([subject.refusal_score(prompt)(sets) for prompt in prompts])
    largest = float(np.abs(measured - expected).max())
    sided = np.abs(expected) > largest
    return Check(
        n_masks=len(masks),
        n_prompts=len(prompts),
        largest_error=largest,
        same_side=bool((answers(measured) == answers(expected))[sided].all()),
    )


def _masks(n: int, seed: int) -> Masks:
    if n <= MOST_CHECKED:
        return all_masks(n)
    return np.random.default_rng(seed).random((1 << MOST_CHECKED, n)) < 0.5


def as_set(planted: Planted, mask: np.ndarray) -> FeatureSet:
    """The planted features that a mask ablates."""
    players = planted.circuit.players
    return frozenset(
        planted.player_features[p.unit, p.part]
        for p, gone in zip(players, mask, strict=True)
        if gone
    )


def expected_scores(planted: Planted, prompt: Prompt, masks: Masks) -> Float[np.ndarray, " mask"]:
    """The circuit's scores on one prompt, at the strength of its harm word, nats."""
    said = set(prompt.text.split())
    harm = {
        word.category: word.strength
        for word in language.harm_words(planted.circuit)
        if word.text in said and word.category in (prompt.category or word.category)
    }
    found = run(planted.circuit, masks, harm)
    if planted.architecture == "gemma2":
        found = replace(found, refusal=_capped(found.refusal), babbled=_capped(found.babbled))
    return found.scores


def _capped(logits: np.ndarray) -> np.ndarray:
    """Logits as Gemma-2 caps them."""
    return CAP * np.tanh(logits / CAP)


def audit_settings(planted: Planted) -> dict[str, Any]:
    """The config entries that an audit needs for this model.

    It has few layers and a direction above the first, so fewer layers are cut than by default.
    """
    n_layers = planted.circuit.n_layers
    return {
        "model": str(planted.model),
        "saes": str(planted.saes),
        "prompts": {"sources": [str(planted.prompts)], "train": 12, "validation": 8, "audit": 8},
        "refusal_tokens": [language.REFUSAL[0]],
        "layers": list(audited_layers(planted.circuit)),
        "direction": {"layer_cut": (n_layers - int(0.8 * n_layers) - 1) / n_layers},
    }
