"""Interactions of planted models: every pair method on the model's own set function."""

from collections.abc import Sequence

import numpy as np

from sae_audit.bench.cases import PlantedAudit
from sae_audit.bench.pair_methods import (
    DEFAULT,
    PAIR_METHODS,
    PairAnswer,
    co_activation,
    exact_differences,
)
from sae_audit.bench.pair_metrics import Detection, detections
from sae_audit.bench.results import Row
from sae_audit.findings import PairKind
from sae_audit.interactions.pair_model import Pairs
from sae_audit.prompts.types import Prompt
from sae_audit.vocabulary import FeatureId

SETS_PER_PLAYER = 40
"""Ablated sets that a method may score, per player."""
_FEWEST = 16
"""Minimum number of players: planted features, filled up with inert candidates."""
_EXACT = 12
_LARGE = 64
_SLOW = ("shapley_interactions",)
"""Methods left out above 64 players: with 200 players and 8,000 sets, on one core and without a model,
SVARM-IQ had not ended after 8 minutes; the lasso took 54 seconds, ProxySPEX 58, the factorization
machines 75 and 82, the default 28."""


def pair_rows(audit: PlantedAudit) -> list[Row]:
    """One row per method, over the first harmful prompt of every category."""
    prompts = list({prompt.category: prompt for prompt in audit.state.audited.harmful}.values())
    players = _players(audit)
    rows: list[Row] = []
    names = [*PAIR_METHODS, "exact_differences", "co_activation"]
    if len(players) > _LARGE:
        names = [name for name in names if name not in _SLOW]
    for name in names:
        judged = [_judged(audit, name, prompt, players) for prompt in prompts]
        answers = [answer for answer in judged if answer is not None]
        if answers:
            rows.append(_row(audit, name, answers))
    return rows


def _players(audit: PlantedAudit) -> list[FeatureId]:
    """The planted features, and the other candidates nearest the direction."""
    planted = list(audit.planted.truth.planted)
    others = [f for f in audit.state.candidates.ranked if f not in set(planted)]
    return sorted([*planted, *others[: max(0, _FEWEST - len(planted))]])


def true_pairs(audit: PlantedAudit, prompt: Prompt, players: Sequence[FeatureId]) -> Pairs:
    """Pair weights of the circuit, nats; 0 if two features do not interact."""
    place = {feature: i for i, feature in enumerate(players)}
    weights = np.zeros((len(players), len(players)))
    for pair in audit.truth(prompt).pairs:
        i, j = place[pair.a], place[pair.b]
        weights[i, j] = weights[j, i] = pair.weight
    return weights


_Judged = tuple[tuple[Detection, Detection], PairAnswer]


def _judged(
    audit: PlantedAudit, name: str, prompt: Prompt, players: list[FeatureId]
) -> _Judged | None:
    """How a method ranks the pairs; None if it does not apply."""
    budget, seed = SETS_PER_PLAYER * len(players), audit.case.seed
    score = audit.state.score_of(prompt)
    if name == "co_activation":
        answer = _co_activation(audit, players)
    elif name == "exact_differences":
        # All 2^n sets are scored, for the planted features alone if they are few.
        players = sorted(audit.planted.truth.planted)
        if not 1 < len(players) <= _EXACT:
            return None
        answer = exact_differences(score, players, budget=2 ** len(players), seed=seed)
    else:
        answer = PAIR_METHODS[name](score, players, budget=budget, seed=seed)
    return detections(answer.weights, true_pairs(audit, prompt, players)), answer


def _co_activation(audit: PlantedAudit, players: Sequence[FeatureId]) -> PairAnswer:
    """The answer of 2509.09708: co-activation on refused and on answered training prompts."""
    train = audit.state.prompts.train
    peaks = audit.state.subject.peak_activations([*train.harmful, *train.harmless])
    activations = np.stack([peaks[f.layer][:, f.index] for f in players], axis=1)
    refused = [True] * len(train.harmful) + [False] * len(train.harmless)
    return co_activation(activations.astype(np.float64), refused=refused, seed=audit.case.seed)


def _row(audit: PlantedAudit, name: str, judged: list[_Judged]) -> Row:
    found = [detection for both, _ in judged for detection in both]

    def mean(kind: PairKind, measure: str) -> float | None:
        values = [getattr(one, measure) for one in found if one.kind is kind]
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known else None

    return Row(
        stage="interactions",
        method=f"ours: {name}" if name == DEFAULT else name,
        case=audit.case,
        measures={
            "AUROC redundant": mean(PairKind.REDUNDANT, "auroc"),
            "AUROC shared path": mean(PairKind.SHARED_PATH, "auroc"),
            "AUPRC redundant": mean(PairKind.REDUNDANT, "auprc"),
            "AUPRC shared path": mean(PairKind.SHARED_PATH, "auprc"),
        },
        n_prompts=len(judged),
        n_sets_scored=float(np.mean([answer.n_sets_scored for _, answer in judged])),
        seconds=float(np.mean([answer.seconds for _, answer in judged])),
    )
