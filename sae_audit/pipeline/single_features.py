"""Single features ablated, spared and set on audit prompts, each beside matched random ones."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from sae_audit.controls.single_features import ablated_effect, raised_effect, spared_effect
from sae_audit.controls.sufficiency import equally_long
from sae_audit.findings import FeatureEffect
from sae_audit.margins import answers
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Prompt
from sae_audit.sampling import matched_random_features
from sae_audit.vocabulary import Ablation, FeatureId, FeatureSet, Positions, Scaled

_AT_TEMPLATE = Ablation(positions=Positions.TEMPLATE)

Draws = Sequence[Mapping[FeatureId, FeatureId]]
"""Draws of a random feature in each feature's place; the prompt at place i takes draw i, in turn."""
Scores = Float[np.ndarray, " prompt"]


def drawn(
    state: AuditState, features: Collection[FeatureId], named: Collection[FeatureId]
) -> list[dict[FeatureId, FeatureId]]:
    """`controls.random_sets` draws of a feature that matches each of `features`: no candidate, and none
    that a finding names. Those without others to draw from are left out."""
    return matched_random_features(
        frozenset(features),
        state.training.features().firing_rates,
        excluded={*state.candidates.ranked, *named},
        n_draws=state.config.controls.random_sets,
        seed=state.config.seed,
    )


def _turns(draws: Draws, feature: FeatureId, n: int) -> list[FeatureId] | None:
    """The random feature in a feature's place on each of `n` prompts; None if there is none."""
    if any(feature not in draw for draw in draws):
        return None
    return [draws[i % len(draws)][feature] for i in range(n)]


class Ablating:
    """Effects of ablating single features on the refused prompts."""

    def __init__(
        self, state: AuditState, features: Sequence[FeatureId], draws: Draws, n_prompts: int
    ) -> None:
        self._state, self._features, self._draws = state, features, draws
        self.prompts = state.refused[:n_prompts]
        self._ask = state.scaled_scores()

    def alone(self, scale: float) -> list[FeatureEffect]:
        """Effect of each feature ablated alone, at a share of the full ablation."""
        n = len(self.prompts)
        clean = self._scores(self.prompts, [frozenset()] * n, 1.0)
        # All in one question, so that prompts and features share batches.
        sets = [[frozenset([one])] * n for one in self._features]
        random = [_turns(self._draws, one, n) for one in self._features]
        sets += [[frozenset([other]) for other in one] for one in random if one is not None]
        found = self._scores(self.prompts * len(sets), [s for one in sets for s in one], scale)
        rows = iter(found.reshape(len(sets), n))
        own = [next(rows) for _ in self._features]
        others = [None if one is None else next(rows) for one in random]
        return [ablated_effect(clean, one, other) for one, other in zip(own, others, strict=True)]

    def spared(self) -> list[FeatureEffect | None]:
        """Effect of sparing each feature from the minimal sets that hold it; None if none does."""
        by_id = {prompt.id: prompt for prompt in self._state.refused}
        flipped = [one for one in self._state.minimal_sets if one.flipped]
        effects: list[FeatureEffect | None] = []
        for feature in self._features:
            own = [one for one in flipped if feature in one.features]
            if not own:
                effects.append(None)
                continue
            random = _turns(self._draws, feature, len(own))
            others = None
            if random is not None:
                sets = [
                    frozenset(one.features) - {feature} | {other}
                    for one, other in zip(own, random, strict=True)
                ]
                others = self._scores([by_id[one.prompt_id] for one in own], sets, 1.0)
            effects.append(
                spared_effect(
                    np.array([one.ablated_score for one in own]),
                    np.array([one.score_without[feature] for one in own]),
                    others,
                )
            )
        return effects

    def _scores(
        self, prompts: Sequence[Prompt], sets: Sequence[FeatureSet], scale: float
    ) -> Scores:
        questions = [
            (prompt, Scaled(features, scale))
            for prompt, features in zip(prompts, sets, strict=True)
        ]
        return self._ask(questions)


class Raising:
    """Effects of setting single features, on answered harmless prompts at their template positions, to
    their mean there on the refused prompts."""

    def __init__(
        self, state: AuditState, features: Sequence[FeatureId], draws: Draws, n_prompts: int
    ) -> None:
        self._subject, self._features, self._draws = state.subject, features, draws
        means = state.subject.mean_activations(state.refused, _AT_TEMPLATE)
        self._means = means
        self.values = {f: float(means[f.layer][f.index]) for f in features}
        harmless = state.audited.harmless[:n_prompts]
        clean = state.subject.refusal_scores(_AT_TEMPLATE)([(p, frozenset()) for p in harmless])
        # Scores within rounding of 0 may have changed sign since they were recorded.
        kept = np.flatnonzero(answers(clean))
        self._prompts, self._clean = [harmless[i] for i in kept], clean[kept]

    def raised(self) -> list[FeatureEffect | None]:
        """Effect of setting each feature; None of one whose mean is 0, or if no prompt is answered."""
        set_ = [f for f in self._features if self.values[f] > 0.0] if self._prompts else []
        n = len(self._prompts)
        ask = self._subject.refusal_scores(_set_to(self._means))
        own = ask([(prompt, frozenset([f])) for f in set_ for prompt in self._prompts])
        found = dict(zip(set_, own.reshape(len(set_), n), strict=True))
        others = self._random(set_)
        return [
            raised_effect(self._clean, found[f], others[f]) if f in found else None
            for f in self._features
        ]

    def _random(self, features: Sequence[FeatureId]) -> dict[FeatureId, Scores | None]:
        n, n_draws = len(self._prompts), len(self._draws)
        found = {f: np.zeros(n) if _turns(self._draws, f, n) else None for f in features}
        matched = [f for f in features if found[f] is not None]
        for k, draw in enumerate(self._draws):
            places = range(k, n, n_draws)
            if not matched or not places:
                continue
            ask = self._subject.refusal_scores(_set_to(self._as_long(matched, draw)))
            scores = ask(
                [(self._prompts[i], frozenset([draw[f]])) for f in matched for i in places]
            )
            for f, row in zip(matched, scores.reshape(len(matched), len(places)), strict=True):
                own = found[f]
                assert own is not None, f
                own[list(places)] = row
        return found

    def _as_long(
        self, features: Sequence[FeatureId], draw: Mapping[FeatureId, FeatureId]
    ) -> Mapping[int, Float[np.ndarray, " d_sae"]]:
        """Values at which each random feature writes as long a vector as the one it stands for."""
        rows = self._rows({*features, *(draw[f] for f in features)})
        values = {layer: np.zeros_like(mean) for layer, mean in self._means.items()}
        for feature in features:
            other = draw[feature]
            (value,) = equally_long([feature], [other], self.values, rows).values()
            values[other.layer][other.index] = value
        return values

    def _rows(self, features: Collection[FeatureId]) -> Mapping[FeatureId, np.ndarray]:
        return self._subject.rows(sorted(features))


def _set_to(values: Mapping[int, np.ndarray]) -> Ablation:
    return Ablation(clamp=values, positions=Positions.TEMPLATE)
