"""Share of the residual stream's variance that a reconstruction explains, resampled over prompts."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sae_audit.findings import Estimate
from sae_audit.statistics import resampled_ratio
from sae_audit.subject.model.hooks import Resid


class VarianceExplained:
    """Sums over the tokens of each prompt, from which whole prompts are resampled."""

    def __init__(self, n_prompts: int) -> None:
        self.tokens, self.missed, self._squares = (np.zeros(n_prompts) for _ in range(3))
        self._totals: dict[int, Float[np.ndarray, " d_model"]] = {}

    def add(
        self,
        prompts: Sequence[int],
        resid: Resid,
        rebuilt: Resid,
        counted: Bool[Tensor, "batch position"],
    ) -> None:
        """Add the `counted` tokens of whole prompts; each prompt is added once."""
        x, weight = resid.double(), counted.double()
        missed = (x - rebuilt.double()).pow(2).sum(dim=-1)
        chosen = list(prompts)
        self.tokens[chosen] = weight.sum(dim=1).cpu().numpy()
        self.missed[chosen] = (missed * weight).sum(dim=1).cpu().numpy()
        self._squares[chosen] = (x.pow(2).sum(dim=-1) * weight).sum(dim=1).cpu().numpy()
        totals = torch.einsum("bpd,bp->bd", x, weight).cpu().numpy()
        self._totals |= zip(chosen, totals, strict=True)

    @property
    def mean(self) -> Float[Tensor, " d_model"]:
        """Mean of the stream over all counted tokens."""
        total = np.sum(list(self._totals.values()), axis=0)
        return torch.from_numpy(total / self.tokens.sum())

    def variance(self) -> Estimate:
        """`1 - sum |x - x_hat|^2 / sum |x - mean x|^2` over all counted tokens; each resample has
        its own mean."""
        totals = np.stack([self._totals[i] for i in range(len(self.tokens))])
        # |sum w_p t_p|^2 for all resamples, from the Gram matrix of the prompts' totals.
        products = totals @ totals.T

        def varied(times: Float[np.ndarray, "draw prompt"]) -> Float[np.ndarray, " draw"]:
            of_means = ((times @ products) * times).sum(axis=1) / (times @ self.tokens)
            return times @ self._squares - of_means

        missed = resampled_ratio(
            lambda times: times @ self.missed,
            varied,
            n=len(self.tokens),
            within=(0.0, np.inf),
        )
        return Estimate(
            value=1.0 - missed.value,
            low=1.0 - missed.high,
            high=1.0 - missed.low,
            n=missed.n,
            method=missed.method,
        )
