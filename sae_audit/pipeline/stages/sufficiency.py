"""Whether the same features, set on harmless prompts, cause refusal."""

from collections.abc import Mapping, Sequence

import numpy as np

from sae_audit.controls.sufficiency import equally_long, raised_set
from sae_audit.findings import RaisedSet, Sufficiency
from sae_audit.findings.stages import CASCADES, POOLED_SET, SUFFICIENCY
from sae_audit.margins import answers
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Prompt
from sae_audit.sampling import matched_random_sets
from sae_audit.vocabulary import Ablation, FeatureId, FeatureSet, FeatureValues, Positions

STAGE = SUFFICIENCY

_AT_TEMPLATE = Ablation(positions=Positions.TEMPLATE)


def run(state: AuditState) -> None:
    def compute() -> Sufficiency:
        named = _sets(state)
        raising = _Raising(state) if named else None
        return Sufficiency(
            sets=tuple(raising.tried(name, sets) for name, sets in named.items())
            if raising is not None
            else (),
            n_harmful=len(state.refused),
        )

    state.session.remember(STAGE, compute)


def price(size: AuditSize) -> Work:
    # The minimal, the pooled and the whole cascade's set, each with a random one.
    raised = 2 * 3 * size.audit
    clean, read = 2 * size.audit, size.audit
    return Work(
        forward_passes=raised + clean + read,
        layer_tokens=size.whole(size.audit + read),
        alone_layer_tokens=size.whole(size.audit),
        swept_layer_tokens=raised * size.facts.template_tokens * size.above,
        heads=size.audit + read,
        swept_heads=raised,
        encoded=size.encoded(read),
    )


def _sets(state: AuditState) -> dict[str, list[FeatureSet]]:
    pooled, cascades = state.session.if_found(POOLED_SET), state.session.found_each(CASCADES)
    named = {
        "minimal": list(state.flipping.values()),
        "pooled": [frozenset(pooled.features)] if pooled is not None else [],
        "cascade": [frozenset(f for w in found.waves for f in w.features) for found in cascades],
    }
    return {name: sets for name, sets in named.items() if sets}


class _Raising:
    """Effects of setting features on the harmless audit prompts."""

    def __init__(self, state: AuditState) -> None:
        self._subject, self._seed = state.subject, state.config.seed
        harmless = state.audited.harmless
        clean = state.subject.clean_scores(harmless)
        # Scores within rounding of 0 may have changed sign since they were recorded.
        answered = np.flatnonzero(answers(clean))
        self._prompts = [harmless[i] for i in answered]
        self._clean = clean[answered]
        self._means = state.subject.mean_activations(state.refused, _AT_TEMPLATE)
        self._rates = state.training.features().firing_rates
        self._candidates = frozenset(state.candidates.ranked)

    def tried(self, name: str, sets: Sequence[FeatureSet]) -> RaisedSet:
        """Effect of the sets, each harmless prompt taking one in turn, and one random set of its own."""
        questions = [(prompt, sets[i % len(sets)]) for i, prompt in enumerate(self._prompts)]
        raised = self._subject.refusal_scores(_raised(self._means))(questions)
        random = [
            self._random(prompt, features, self._seed + i)
            for i, (prompt, features) in enumerate(questions)
        ]
        return raised_set(name, self._clean, raised, np.array(random))

    def _random(self, prompt: Prompt, features: FeatureSet, seed: int) -> float:
        (drawn,) = matched_random_sets(
            features,
            self._rates,
            excluded=self._candidates | features,
            n_sets=1,
            seed=seed,
        )
        values = self._values(sorted(features), sorted(drawn))
        return float(self._subject.refusal_score(prompt, _raised(values))([drawn])[0])

    def _values(
        self, features: Sequence[FeatureId], stand_ins: Sequence[FeatureId]
    ) -> FeatureValues:
        means = {f: float(self._means[f.layer][f.index]) for f in features}
        rows = self._subject.rows([*features, *stand_ins])
        values = {layer: np.zeros_like(mean) for layer, mean in self._means.items()}
        for feature, value in equally_long(features, stand_ins, means, rows).items():
            values[feature.layer][feature.index] = value
        return values


def _raised(values: Mapping[int, np.ndarray]) -> Ablation:
    return Ablation(clamp=values, positions=Positions.TEMPLATE)
