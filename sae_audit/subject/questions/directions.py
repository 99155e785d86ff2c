"""Questions about the residual stream along directions, and the effects of projecting them out."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from sae_audit.prompts.types import Prompt
from sae_audit.subject.instrument_base import PLAIN, InstrumentBase
from sae_audit.subject.intervention import projection, readings
from sae_audit.subject.intervention.components import Components, ReplacedParts
from sae_audit.vocabulary import Ablation, Projections


class DirectionQuestions(InstrumentBase):
    """Questions about directions in the residual stream."""

    def mean_residuals(
        self,
        prompts: Sequence[Prompt],
        *,
        without: Float[np.ndarray, "direction d_model"] | None = None,
    ) -> Float[np.ndarray, "layer template d_model"]:
        """Mean `resid_post` of every layer at the template positions, accumulated in float64.

        Position axis: the last entry is the prompt's last token (template position -1). `without`:
        orthonormal directions projected out of the whole residual stream.
        """
        return readings.mean_residuals(
            self._passes,
            self._tokens(prompts),
            n_positions=self.template.n_after,
            without=without,
        )

    def group_means(
        self, prompts: Sequence[Prompt], groups: Sequence[int], *, n_groups: int
    ) -> Float[np.ndarray, "group layer template d_model"]:
        """`mean_residuals` of each group; prompt i is in group `groups[i]`. 0 for an empty group."""
        return readings.group_means(
            self._passes,
            self._tokens(prompts),
            groups,
            n_groups=n_groups,
            n_positions=self.template.n_after,
        )

    def residuals_at(
        self,
        prompts: Sequence[Prompt],
        *,
        layer: int,
        position: int,
        without: Float[np.ndarray, "direction d_model"] | None = None,
    ) -> Float[np.ndarray, "prompt d_model"]:
        """`resid_post` of one layer at one position (-1 is the prompt's last token), by prompt;
        `without` as in `mean_residuals`."""
        return readings.residuals_at(
            self._passes, self._tokens(prompts), layer=layer, position=position, without=without
        )

    def projections(
        self,
        prompts: Sequence[Prompt],
        directions: Float[np.ndarray, "direction d_model"],
        *,
        position: int,
    ) -> dict[int, Projections]:
        """Components of residual streams and reconstructions along unit directions, by layer."""
        components = Components(self._passes, self.suite, directions)
        return components.at(self._tokens(prompts), position)

    def replaced_parts(
        self,
        prompts: Sequence[Prompt],
        harmless: Sequence[Prompt],
        directions: Float[np.ndarray, "direction d_model"],
        ablation: Ablation = PLAIN,
    ) -> ReplacedParts:
        """Refusal scores of `prompts` with a component along a direction (the whole one, the
        reconstruction's or the error term's) replaced by its mean over `harmless` prompts.

        It is replaced at every audited layer, at the positions `ablation` acts at.
        """
        return ReplacedParts(
            Components(self._passes, self.suite, directions),
            self._tokens(prompts),
            self._tokens(harmless),
            selected=lambda ids: self._interventions.selected(ids, ablation).cpu(),
            n_after=self.template.n_after,
            readout=self.readout,
        )

    def direction_effects(
        self,
        harmful: Sequence[Prompt],
        harmless: Sequence[Prompt],
        *,
        behind: Float[np.ndarray, "direction d_model"] | None = None,
    ) -> projection.DirectionEffects:
        """The effects of projecting out or adding candidate directions on these prompts.

        `behind`: orthonormal directions that are projected out in every run.
        """
        return projection.DirectionEffects(
            self._passes,
            self._stack,
            self._runs,
            self._tokens(harmful),
            self._tokens(harmless),
            self.readout,
            self._beginnings,
            behind=behind,
        )
