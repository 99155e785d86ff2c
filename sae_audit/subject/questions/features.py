"""Questions about SAE features: decoder rows, estimated effects, activations and SAE quality."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sae_audit.findings import LensToken, NearRow, SaeQuality
from sae_audit.prompts.types import Prompt
from sae_audit.subject.attribution.attribution import attribution
from sae_audit.subject.attribution.attribution_ablated import POINTS, attribution_once_ablated
from sae_audit.subject.instrument_base import PLAIN, InstrumentBase
from sae_audit.subject.intervention import ends, readings
from sae_audit.subject.intervention.ablation import check_ablation, check_features
from sae_audit.subject.intervention.streams import by_layer
from sae_audit.subject.sae_quality import quality
from sae_audit.subject.saes.sae import Sae, decoder_cosines, row_norms
from sae_audit.vocabulary import Ablation, FeatureId, FeatureSet, Positions, TemplateActivations


class FeatureQuestions(InstrumentBase):
    """Questions about the suite's features."""

    def attribution(
        self,
        prompt: Prompt,
        ablation: Ablation = PLAIN,
        *,
        steps: int = 1,
        ablated: FeatureSet = frozenset(),
    ) -> dict[int, Float[np.ndarray, " d_sae"]]:
        """Estimated drop of the refusal score (nats) if each feature alone were ablated, by layer.

        To first order, from one backward pass; with `steps` above 1 by integrated gradients over
        that many points a layer (2505.23556 uses 10). If a set is `ablated` already: each other
        feature's share of the drop from ablating all others too. It ranks features only.
        """
        check_ablation(ablation, self.suite, frozenset())
        ids = self._interventions.ids(prompt)
        if ablated:
            self._passes.cost.count(batch=POINTS, positions=len(ids))
            further = attribution_once_ablated(
                self._passes, self._interventions, ids, ablated, self.readout, ablation
            )
            return {layer: drop.float().cpu().numpy() for layer, drop in further.items()}
        drops = attribution(
            self._stack,
            self.suite,
            self._runs.of(ids),
            self._interventions.selected(ids, ablation),
            self.readout,
            ablation,
            steps=steps,
        )
        n_passes = 1 if steps == 1 else steps * len(self.suite)
        self._passes.cost.count(batch=n_passes, positions=len(ids))
        return {layer: drop.float().cpu().numpy() for layer, drop in drops.items()}

    def decoder_cosines(
        self, directions: Float[np.ndarray, "direction d_model"]
    ) -> dict[int, Float[np.ndarray, "direction d_sae"]]:
        """Cosine of every decoder row with each direction, by layer."""
        vectors = torch.tensor(directions, dtype=torch.float32, device=self._passes.device)
        return {
            layer: decoder_cosines(sae, vectors).cpu().numpy() for layer, sae in self.suite.items()
        }

    def rows(self, features: Sequence[FeatureId]) -> dict[FeatureId, Float[np.ndarray, " d_model"]]:
        """Decoder row of each feature: the addition to the reconstruction per unit of activation."""
        check_features([frozenset(features)], self.suite)
        return {
            features[column]: row
            for layer, (columns, indices) in by_layer(features).items()
            for column, row in zip(
                columns, self.suite[layer].rows(indices).float().cpu().numpy(), strict=True
            )
        }

    def nearest_rows(
        self, features: Sequence[FeatureId], n: int
    ) -> list[tuple[tuple[NearRow, ...], tuple[NearRow, ...]]]:
        """By feature, the `n` decoder rows nearest its own by cosine: of its layer, and of all others.

        One matrix product a layer.
        """
        if not features:
            return []
        rows = self.rows(features)
        own = np.stack([rows[feature] for feature in features])
        here: dict[FeatureId, list[NearRow]] = {}
        elsewhere: dict[FeatureId, list[NearRow]] = {feature: [] for feature in features}
        for layer, sae in self.suite.items():
            for feature, near in zip(features, _nearest(sae, own, n + 1), strict=True):
                if feature.layer == layer:
                    here[feature] = [one for one in near if one.feature != feature][:n]
                else:
                    elsewhere[feature] += near[:n]
        order = partial(sorted, key=lambda one: (-one.cosine, one.feature))
        return [(tuple(order(here[f])), tuple(order(elsewhere[f])[:n])) for f in features]

    def logit_lens(
        self, features: Sequence[FeatureId], prompts: Sequence[Prompt], n: int
    ) -> list[tuple[tuple[LensToken, ...], tuple[LensToken, ...]]]:
        """By feature, the `n` tokens whose logits its decoder row raises most, and lowers most, at the
        mean end of these prompts, to first order (`Head.first_order`)."""
        assert prompts, "the mean end of no prompts"
        ends = [
            self._runs.of(self._interventions.ids(prompt)).resid[-1][-1].float()
            for prompt in prompts
        ]
        at, rows = torch.stack(ends).mean(dim=0), self.rows(features)
        found: list[tuple[tuple[LensToken, ...], tuple[LensToken, ...]]] = []
        for start in range(0, len(features), self._passes.most_rows):
            chosen = features[start : start + self._passes.most_rows]
            moved = self._stack.head.first_order(
                torch.tensor(np.stack([rows[feature] for feature in chosen])), at=at
            )
            found += [(self._most(row, n), self._most(-row, n, sign=-1.0)) for row in moved]
        return found

    def _most(
        self, logits: Float[Tensor, " vocabulary"], n: int, *, sign: float = 1.0
    ) -> tuple[LensToken, ...]:
        values, ids = logits.topk(min(n, len(logits)))
        return tuple(
            LensToken(token=i, text=self.template.tokenizer.decode([i]), logit=sign * value)
            for i, value in zip(ids.tolist(), values.tolist(), strict=True)
        )

    def mean_activations(
        self, prompts: Sequence[Prompt], ablation: Ablation = PLAIN
    ) -> dict[int, Float[np.ndarray, " d_sae"]]:
        """Mean clean activation of every feature over the positions `ablation` acts at, by layer."""
        ids = self._tokens(prompts)
        return readings.mean_activations(
            self._passes,
            self.suite,
            ids,
            [self._interventions.selected(one, ablation) for one in ids],
        )

    def peak_activations(
        self, prompts: Sequence[Prompt]
    ) -> dict[int, Float[np.ndarray, "prompt d_sae"]]:
        """Largest clean activation over positions of every feature on every prompt, by layer."""
        return readings.peak_activations(self._passes, self.suite, self._tokens(prompts))

    def firing_shares(self, prompts: Sequence[Prompt]) -> dict[int, readings.FiringShares]:
        """How often every feature fires on these prompts' tokens, and how strongly at their ends, by
        layer."""
        return readings.firing_shares(self._passes, self.suite, self._tokens(prompts))

    def template_activations(self, prompts: Sequence[Prompt]) -> dict[int, TemplateActivations]:
        """Clean activations of every feature at the template positions of each prompt, by layer."""
        return ends.template_activations(
            self._passes, self.suite, self._tokens(prompts), n_positions=self.template.n_after
        )

    def peaks_and_ends(
        self, prompts: Sequence[Prompt]
    ) -> tuple[ends.Peaks, dict[int, TemplateActivations]]:
        """`peak_activations` and `template_activations` of the same prompts, from the same passes."""
        return ends.peaks_and_ends(
            self._passes, self.suite, self._tokens(prompts), n_positions=self.template.n_after
        )

    def row_norms(self) -> dict[int, Float[np.ndarray, " d_sae"]]:
        """Norm of every feature's addition to the reconstruction per unit of activation, by layer."""
        return {layer: row_norms(sae).cpu().numpy() for layer, sae in self.suite.items()}

    def sae_quality(self, prompts: Sequence[Prompt], *, seed: int) -> list[SaeQuality]:
        """The quality of each SAE on these prompts.

        Explained variance and L0 are over all prompts; the recovered cross-entropy is over the clean
        model's greedy answers, up to 16 tokens each, to the first 16 harmful and the first 16 harmless
        prompts, or to all if there are fewer. `seed` draws the intervals over prompts and the
        permuted decoder rows.

        Raises:
            AuditError: the model's layers, run one by one, do not give the model's own logits.
        """
        assert prompts, "the quality on no prompts"
        ids = self._tokens(prompts)
        # The first clean run checks that layers can be run one by one, as is done below.
        self._runs.of(self._interventions.ids(prompts[0]))
        return quality.sae_quality(
            self._passes,
            self._stack.head,
            self.suite,
            ids,
            lambda one: self.template.selected(one, Positions.ALL_BUT_BOS),
            quality.first_of_each_label(prompts),
            seed=seed,
        )


def _nearest(sae: Sae, vectors: Float[np.ndarray, "vector d_model"], n: int) -> list[list[NearRow]]:
    """The `n` decoder rows of one SAE nearest each vector by cosine, nearest first."""
    cosines = decoder_cosines(sae, torch.tensor(vectors))
    values, indices = cosines.topk(min(n, sae.d_sae), dim=1)
    return [
        [
            NearRow(feature=FeatureId(sae.layer, index), cosine=cosine)
            for index, cosine in zip(near, own, strict=True)
        ]
        for near, own in zip(indices.tolist(), values.tolist(), strict=True)
    ]
