"""Pairs of runs drawn at random, in memory: what two checkpoints would be found to be."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sae_audit.comparison import paired
from sae_audit.comparison.claims import tests_of
from sae_audit.comparison.testing import corrected
from sae_audit.comparison.types import Checkpoint, QualityChange, Verdict
from sae_audit.comparison.verdicts import verdicts
from sae_audit.findings import Estimate, PromptScore, SuccessiveDirections
from sae_audit.record.run import Run
from sae_audit.vocabulary import FeatureId
from tests.synthetic.findings import cascade, minimal

N = 40
TOPICS = ("arson", "fraud", "theft", "weapons")
CHAIN = tuple(FeatureId(1, i) for i in range(8))
"""Features that a set takes one after another, the more the higher a prompt's score stands."""
_ONE = Estimate(value=0.9, low=0.9, high=0.9, n=1, method="none: one case")


class Drawn:
    """Prompts, and runs of checkpoints that read the same ones."""

    def __init__(self, seed: int, n: int = N) -> None:
        self.draws = np.random.default_rng(seed)
        self.n = n
        self.strength = self.draws.normal(5.0, 1.5, n)
        """Score of each harmful prompt without what a single checkpoint adds."""

    def scores(self, shift: float = 0.0) -> np.ndarray:
        """Scores of a checkpoint, those of another draw of its training beside it."""
        return self.strength + shift + self.draws.normal(0.0, 0.6, self.n)

    def run(
        self,
        scores: np.ndarray,
        *,
        more: int = 0,
        lost: FeatureId | None = None,
        lose: Sequence[int] = (),
    ) -> Run:
        """A checkpoint in which sets, directions and waves follow scores; `more` features are in each
        set besides, `lost` in none; prompts `lose` have lost refusal."""
        scores = scores.copy()
        scores[list(lose)] = -2.0
        ids = [f"p{i}" for i in range(self.n)]
        jitter = self.draws.normal(0.0, 0.4, (3, self.n))
        sizes, needed, depths = (
            np.clip(np.ceil((scores + one) / per), 1, most).astype(int)
            for one, per, most in zip(jitter, (1.6, 2.5, 3.0), (6, 3, 3), strict=True)
        )
        refused = [i for i in range(self.n) if scores[i] > 0.0]
        sets = {
            ids[i]: [f for f in CHAIN[: sizes[i] + more] if f != lost] or [CHAIN[-1]]
            for i in refused
        }
        run = Run(Path("nowhere"))
        harmless = self.draws.normal(-5.0, 1.0, self.n)
        run.__dict__.update(
            scores=self._rows("harmful", ids, scores)
            + self._rows("harmless", [f"h{i}" for i in range(self.n)], harmless),
            minimal_sets=[minimal(name, *own) for name, own in sets.items()],
            cascades=[cascade(ids[i], *CHAIN[: depths[i]]) for i in refused],
            successive_directions=SuccessiveDirections.example(
                needed={ids[i]: int(needed[i]) for i in refused}
            ),
            pooled_set=None,
        )
        return run

    def _rows(self, label: str, ids: Sequence[str], scores: np.ndarray) -> list[PromptScore]:
        return [
            PromptScore(
                prompt_id=name,
                label=label,
                category=TOPICS[i % len(TOPICS)],
                split="audit",
                score=float(scores[i]),
            )
            for i, name in enumerate(ids)
        ]


def found(a: Run, b: Run) -> tuple[Verdict, ...]:
    """All verdicts on two runs, but those on a direction."""
    behaviour = paired.behaviour(a, b, 0)
    needed = paired.directions_needed(a, b, 0)
    features, cascades = paired.features(a, b, 0), paired.cascades(a, b, 0)
    tests = corrected(list(tests_of(behaviour, needed, features, cascades)))
    quality = [QualityChange(layer=0, explained_variance_a=_ONE, explained_variance_b=_ONE)]
    both = (_claiming(), _claiming())
    return verdicts(both, behaviour, None, needed, features, cascades, quality, tests)


def _claiming() -> Checkpoint:
    return Checkpoint(
        id="",
        sha256="",
        run="",
        layer=0,
        position=-1,
        check=None,
        n_refused_harmful=0,
        n_flipped=0,
        absence=None,
    )
