"""State of the candidate directions while they are asked about: which leads, and which are ruled out."""

import numpy as np
from jaxtyping import Float, Int

from sae_audit.config import DirectionSettings
from sae_audit.direction.bounds import ROUNDING, Answers, Candidates
from sae_audit.direction.filters import (
    COST,
    NEVER,
    Chosen,
    best,
    first_cut_layer,
    is_finite,
    judged,
    without,
)
from sae_audit.direction.methods import CandidateDirections
from sae_audit.direction.selection import (
    bypass_of,
    chosen_direction,
    filters_by_bypass,
    in_order,
    induce_of,
    removes,
)
from sae_audit.findings import DirectionEvaluation, StoppedDirection, StopReason
from sae_audit.vocabulary import CandidateEffects

_MOST_KL = 13.816
"""Nats; the KL's formula gives at most `log((1 + 1e-6) / 1e-6)`."""


class Standing:
    """Candidates, each of one layer and position, with all answers so far."""

    def __init__(
        self,
        candidates: CandidateDirections,
        *,
        n_layers: int,
        effects: CandidateEffects,
        settings: DirectionSettings,
    ) -> None:
        self.vectors, self.settings, self.n_layers = candidates.vectors, settings, n_layers
        self.layers, self.positions = np.array(candidates.layers), np.array(candidates.positions)
        n, bound = len(candidates), effects.score_bound
        self.score_bound = bound
        self.bypass = Answers.none_yet(n, np.full(effects.n_harmful, -bound), bound)
        self.induce = Answers.none_yet(n, np.full(effects.n_harmless, -bound), bound)
        self.kl = Answers.none_yet(n, effects.least_kl, _MOST_KL)
        self._effects = effects
        self._first_cut = first_cut_layer(n_layers, settings.layer_cut)
        self.filters = filters_by_bypass(
            n_layers,
            kl_limit=settings.kl_limit,
            induce_floor=settings.induce_floor,
            layer_cut=settings.layer_cut,
        )
        lengths = np.linalg.norm(candidates.vectors, axis=1)
        self._pointing = np.isfinite(lengths) & (lengths > 0.0)

    @property
    def measures(self) -> tuple[Answers, Answers, Answers]:
        return self.bypass, self.induce, self.kl

    @property
    def early(self) -> Candidates:
        """Candidates outside the cut layers."""
        return self.layers < self._first_cut

    @property
    def share_above(self) -> Float[np.ndarray, " candidate"]:
        """Share of the layers that an addition at the candidate's own layer runs again."""
        return (self.n_layers - 1 - self.layers) / self.n_layers

    @property
    def spoiled(self) -> Candidates:
        """Candidates with a number that is not finite; a zero vector has no other."""
        found = ~self._pointing
        for answers in self.measures:
            found = found | answers.spoiled
        return found

    @property
    def full(self) -> Candidates:
        """Candidates asked about on all prompts."""
        bypass, induce, kl = (answers.missing == 0 for answers in self.measures)
        return bypass & induce & kl

    @property
    def kl_too_large(self) -> Candidates:
        return self.kl.low > self.settings.kl_limit + ROUNDING

    @property
    def not_inducing(self) -> Candidates:
        return self.induce.high < self.settings.induce_floor - ROUNDING

    def leader(self, *, at_any_cost: bool) -> int | None:
        """The best candidate that is fully asked and passes, with or without the limit of KL; only an
        equally good one can replace it."""
        filters = without(self.filters, COST if at_any_cost else NEVER)
        found = best(self.evaluations(), filters, in_order)
        if found is None:
            return None
        same = (self.layers == found.layer) & (self.positions == found.position)
        return int(same.argmax())

    def open(self, *, at_any_cost: bool) -> Candidates:
        """Candidates not fully asked that may still be the best, with or without the limit of KL."""
        found = self.early & ~self.full & ~self.spoiled & ~self.not_inducing
        if not at_any_cost:
            found = found & ~self.kl_too_large
        leader = self.leader(at_any_cost=at_any_cost)
        return found if leader is None else found & ~self._behind(self.bypass.mean(leader))

    def ask(self, answers: Answers, n_more: Int[np.ndarray, " candidate"]) -> None:
        """Ask about `n_more` further prompts per candidate, all rows of the question at once."""
        n_more = np.minimum(n_more, answers.missing)
        chosen = [(c, answers.n[c] + i) for c in np.flatnonzero(n_more) for i in range(n_more[c])]
        if not chosen:
            return
        rows, prompts = (list(map(int, own)) for own in zip(*chosen, strict=True))
        vectors = self.vectors[rows]
        if answers is self.bypass:
            found = self._effects.bypass(vectors, prompts)
        elif answers is self.kl:
            found = self._effects.kl(vectors, prompts)
        else:
            found = self._effects.induce(vectors, prompts, self.layers[rows].tolist())
        answers.values[rows, prompts] = found
        answers.n += n_more

    def evaluations(self) -> list[DirectionEvaluation]:
        """Evaluations of the fully asked candidates."""
        return [
            judged(
                DirectionEvaluation(
                    position=int(self.positions[c]),
                    layer=int(self.layers[c]),
                    bypass=self.bypass.mean(c),
                    induce=self.induce.mean(c),
                    kl=self.kl.mean(c),
                ),
                self.filters,
            )
            for c in np.flatnonzero(self.full).tolist()
        ]

    def selected(self) -> Chosen:
        """The choice; final once all candidates that decide it are full."""
        return chosen_direction(
            self.evaluations(),
            self.filters,
            n_tried=len(self.vectors),
            first_cut=self._first_cut,
            kl_limit=self.settings.kl_limit,
            induce_floor=self.settings.induce_floor,
        )

    def decides_best(self) -> Candidates:
        """Candidates not fully asked that may still matter if none passes every filter.

        Outside the cut layers these are the ones that may have the lowest KL, or the lowest at which
        refusal goes; if none of them induces refusal, also those that may have the highest induced score
        or the lowest bypass. If all finite candidates are in the cut layers, those that may have the
        lowest bypass.
        """
        left = ~self.full & ~self.spoiled
        finite = [one for one in self.evaluations() if is_finite(one)]
        if not (self.early & ~self.spoiled).any():
            return left & ~self._behind(min(map(bypass_of, finite), default=np.inf))
        early = [one for one in finite if one.layer < self._first_cut]
        cheapest = min((one.kl for one in early if removes(one)), default=np.inf)
        found = self.kl.low <= min((one.kl for one in early), default=np.inf) + ROUNDING
        found |= (self.bypass.low < ROUNDING) & (self.kl.low <= cheapest + ROUNDING)
        if self.leader(at_any_cost=True) is None:
            highest = max(map(induce_of, early), default=-np.inf)
            found |= self.induce.high >= highest - ROUNDING
            found |= ~self._behind(min(map(bypass_of, early), default=np.inf))
        return left & self.early & found

    def stopped(self) -> list[StoppedDirection]:
        """The candidates not fully asked, each with the reason."""
        leader = self.leader(at_any_cost=False)
        behind = None if leader is None else self._behind(self.bypass.mean(leader))
        reasons = (
            (self.spoiled, StopReason.NOT_FINITE),
            (~self.early, StopReason.LAYER),
            (self.kl_too_large, StopReason.KL),
            (self.not_inducing, StopReason.INDUCE),
            (behind if behind is not None else self.full, StopReason.BYPASS),
        )

        def numbers(answers: Answers, c: int) -> tuple[float | None, int]:
            return (float(answers.so_far[c]) if answers.n[c] else None), int(answers.n[c])

        found: list[StoppedDirection] = []
        for c in np.flatnonzero(~self.full).tolist():
            (bypass, n_bypass), (induce, n_induce), (kl, n_kl) = (
                numbers(answers, c) for answers in self.measures
            )
            found.append(
                StoppedDirection(
                    position=int(self.positions[c]),
                    layer=int(self.layers[c]),
                    bypass=bypass,
                    n_bypass=n_bypass,
                    induce=induce,
                    n_induce=n_induce,
                    kl=kl,
                    n_kl=n_kl,
                    reason=next(reason for out, reason in reasons if out[c]),
                )
            )
        return found

    def _behind(self, bypass: float) -> Candidates:
        return self.bypass.low > bypass + ROUNDING
