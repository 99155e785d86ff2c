"""Bounds on candidates' means over all prompts, from values on the prompts asked so far.

Each prompt's value has known limits: refusal scores if their readout has a bound, KL because it has a
least value for each prompt. Some of the values therefore bound the mean of all.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

ROUNDING = 1e-9
"""Nats by which a bound must miss a limit; sums in another order differ by less."""

Candidates = Bool[np.ndarray, " candidate"]


@dataclass(kw_only=True, eq=False)
class Answers:
    """One measure of all candidates, asked prompt by prompt, in the same order for each."""

    values: Float[np.ndarray, "candidate prompt"]
    """NaN if not asked."""
    least: Float[np.ndarray, " prompt"]
    """Lowest possible value on each prompt."""
    most: float
    n: Int[np.ndarray, " candidate"] = field(init=False)
    """Number of prompts asked so far."""

    def __post_init__(self) -> None:
        self.n = np.zeros(len(self.values), int)

    @classmethod
    def none_yet(
        cls, n_candidates: int, least: Float[np.ndarray, " prompt"], most: float
    ) -> "Answers":
        return cls(values=np.full((n_candidates, len(least)), np.nan), least=least, most=most)

    @property
    def n_prompts(self) -> int:
        return self.values.shape[1]

    @property
    def _asked(self) -> Bool[np.ndarray, "candidate prompt"]:
        return np.arange(self.n_prompts) < self.n[:, None]

    @property
    def missing(self) -> Int[np.ndarray, " candidate"]:
        return self.n_prompts - self.n

    @property
    def low(self) -> Float[np.ndarray, " candidate"]:
        """Lower bound of the mean over all prompts."""
        return self._sums(self.least) / self.n_prompts

    @property
    def high(self) -> Float[np.ndarray, " candidate"]:
        return self._sums(self.most) / self.n_prompts

    @property
    def so_far(self) -> Float[np.ndarray, " candidate"]:
        """Mean over the prompts asked; NaN if none was."""
        sums = self._sums(0.0)
        return np.divide(sums, self.n, out=np.full(len(sums), np.nan), where=self.n > 0)

    def _sums(
        self, of_others: float | Float[np.ndarray, " prompt"]
    ) -> Float[np.ndarray, " candidate"]:
        # Infinities of both signs have no sum; only its not being finite matters.
        with np.errstate(invalid="ignore"):
            return np.where(self._asked, self.values, of_others).sum(axis=1)

    @property
    def spoiled(self) -> Candidates:
        """Candidates with a value that is not finite, so that their mean is not either."""
        return np.asarray((self._asked & ~np.isfinite(self.values)).any(axis=1))

    def mean(self, candidate: int) -> float:
        assert not self.missing[candidate], (candidate, self.n[candidate])
        with np.errstate(invalid="ignore"):
            return float(self.values[candidate].mean())
