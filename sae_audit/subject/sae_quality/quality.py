"""Quality of the SAEs on this model: explained variance, L0 and recovered cross-entropy."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from sae_audit.findings import CE_PROMPTS, SaeQuality
from sae_audit.prompts.types import CONTRASTED, Prompt
from sae_audit.statistics import ratio
from sae_audit.subject.intervention.readings import Tokens, widest
from sae_audit.subject.model.batches import Batch
from sae_audit.subject.model.forward_passes import ForwardPasses
from sae_audit.subject.model.hooks import Resid
from sae_audit.subject.sae_quality.cross_entropy import (
    Head,
    Select,
    cross_entropies,
    greedy_answers,
)
from sae_audit.subject.sae_quality.variance_explained import VarianceExplained
from sae_audit.subject.saes.rotation import turn_of
from sae_audit.subject.saes.sae import Sae


class _Description:
    """Reconstruction statistics of one SAE on the tokens of every prompt."""

    def __init__(self, sae: Sae, n_prompts: int, *, seed: int) -> None:
        self._sae = sae
        self.turn = turn_of(sae, seed=seed)
        self.all, self.selected, self.rotated = (VarianceExplained(n_prompts) for _ in range(3))
        self.firing = np.zeros(n_prompts)

    def add(
        self,
        prompts: Sequence[int],
        resid: Resid,
        real: Bool[Tensor, "batch position"],
        selected: Bool[Tensor, "batch position"],
    ) -> None:
        activations = self._sae.encode(resid)
        rebuilt = self._sae.decode(activations, resid)
        self.all.add(prompts, resid, rebuilt, real)
        self.selected.add(prompts, resid, rebuilt, selected)
        self.rotated.add(prompts, resid, self.turn.rebuilt(self._sae, resid), selected)
        firing: Float[Tensor, " batch"] = ((activations > 0).sum(dim=2) * real).sum(dim=1)
        self.firing[list(prompts)] = firing.cpu().numpy()


def sae_quality(
    passes: ForwardPasses,
    head: Head,
    suite: dict[int, Sae],
    prompts: Tokens,
    without_bos: Select,
    measured: Sequence[int],
    *,
    seed: int,
) -> list[SaeQuality]:
    """Explained variance and L0 over all prompts, cross-entropy of the answers to those `measured`.

    `without_bos` masks the positions that hold another token than BOS; only those are replaced, and
    counted in `explained_variance_without_bos`. `seed` draws the intervals over prompts and the
    rotations of the null.
    """
    assert measured, "the cross-entropy of no answer"
    described = _descriptions(passes, suite, prompts, without_bos, seed=seed)
    answered = greedy_answers(passes, [prompts[i] for i in measured])
    predicted = cross_entropies(
        passes,
        head,
        suite,
        answered,
        without_bos,
        means={layer: found.selected.mean for layer, found in described.items()},
        turns={layer: found.turn for layer, found in described.items()},
    )
    return [
        SaeQuality(
            layer=layer,
            explained_variance=found.all.variance(),
            explained_variance_without_bos=found.selected.variance(),
            explained_variance_rotated=found.rotated.variance(),
            l0=ratio(found.firing, found.all.tokens, within=(0.0, np.inf)),
            ce_recovered=predicted[layer].recovered(predicted[layer].rebuilt),
            ce_recovered_rotated=predicted[layer].recovered(predicted[layer].rotated),
            ce_clean=predicted[layer].of_the_model(),
        )
        for layer, found in sorted(described.items())
    ]


def first_of_each_label(prompts: Sequence[Prompt]) -> list[int]:
    """Indices of the first `CE_PROMPTS` harmful and harmless prompts, or of all if there are fewer."""
    of_label = ([i for i, one in enumerate(prompts) if one.label == label] for label in CONTRASTED)
    return [i for members in of_label for i in members[:CE_PROMPTS]]


def _descriptions(
    passes: ForwardPasses,
    suite: dict[int, Sae],
    prompts: Tokens,
    select: Select,
    *,
    seed: int,
) -> dict[int, _Description]:
    found = {layer: _Description(sae, len(prompts), seed=seed) for layer, sae in suite.items()}
    for batch in passes.batches(prompts, encoding=widest(suite)):
        mask = batch.padded([select(prompts[i]) for i in batch.members])

        def add(layer: int, resid: Resid, batch: Batch = batch, mask: Tensor = mask) -> None:
            real, selected = (one.to(resid.device) for one in (batch.real, mask))
            found[layer].add(batch.members, resid, real, selected)

        passes.read(batch.ids, sorted(suite), add, lengths=batch.lengths)
    return found
