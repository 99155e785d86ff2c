"""State of the candidate directions while they are asked about: which leads, and which are ruled out."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from sae_audit.config import DirectionSettings
from sae_audit.direction.bounds import ROUNDING, Answers, Candidates
from sae_audit.direction.filters import best, failing, first_cut_layer, is_finite, judged
from sae_audit.direction.methods import CandidateDirections
from sae_audit.direction.selection import (
    bypass_of,
    filters_by_bypass,
    in_order,
    induce_of,
    nearest_direction,
)
from sae_audit.findings import (
    DirectionEvaluation,
    NearestDirection,
    StoppedDirection,
    StopReason,
)
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

    @property
    def leader(self) -> int | None:
        """The best candidate that is fully asked and passes; only an equally good one can replace it."""
        found = self._selected()
        if found is None:
            return None
        same = (self.layers == found.layer) & (self.positions == found.position)
        return int(same.argmax())

    @property
    def open(self) -> Candidates:
        """Candidates not fully asked that may still be the best."""
        found = self.early & ~self.full & ~self.spoiled & ~self.kl_too_large & ~self.not_inducing
        leader = self.leader
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

    def selected(self) -> DirectionEvaluation | NearestDirection:
        """The chosen candidate, or how near the nearest came; final once all that decide it are full."""
        return self._selected() or nearest_direction(
            self.evaluations(),
            self.filters,
            n_tried=len(self.vectors),
            first_cut=self._first_cut,
            kl_limit=self.settings.kl_limit,
            induce_floor=self.settings.induce_floor,
        )

    def decides_absence(self) -> Candidates:
        """Candidates not fully asked that the report of an absence may still need, if none passes.

        These are the nearest and, outside the cut layers, those with the lowest KL, with the highest
        induced score, and on the front of bypass against KL.
        """
        left = ~self.full & ~self.spoiled
        finite = [one for one in self.evaluations() if is_finite(one)]
        early = [one for one in finite if one.layer < self._first_cut]
        part = self.kl.low <= min((one.kl for one in early), default=np.inf) + ROUNDING
        highest = max(map(induce_of, early), default=-np.inf)
        part |= self.induce.high >= highest - ROUNDING
        beaten = np.zeros(len(left), bool)
        for one in early:
            in_bypass = bypass_of(one) < self.bypass.low - ROUNDING
            beaten |= in_bypass & (one.kl < self.kl.low - ROUNDING)
        return left & ((self.early & (part | ~beaten)) | self._may_be_nearest(finite))

    def stopped(self) -> list[StoppedDirection]:
        """The candidates not fully asked, each with the reason."""
        leader = self.leader
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

    def _selected(self) -> DirectionEvaluation | None:
        return best(self.evaluations(), self.filters, in_order)

    def _behind(self, bypass: float) -> Candidates:
        return self.bypass.low > bypass + ROUNDING

    def _may_be_nearest(self, finite: Sequence[DirectionEvaluation]) -> Candidates:
        """Candidates that may fail as few filters as the nearest so far, at as low a bypass."""
        n_failed = (
            (~self.early).astype(int)
            + self.kl_too_large.astype(int)
            + self.not_inducing.astype(int)
        )
        ranks = [(len(failing(one, self.filters)), bypass_of(one)) for one in finite]
        fewest, bypass = min(ranks, default=(4, np.inf))
        return (n_failed < fewest) | ((n_failed == fewest) & ~self._behind(bypass))
