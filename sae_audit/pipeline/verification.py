"""Whether a run is what its record says: files hashed, and some certificates measured, again.

1. `findings.json` must hold what `run.sqlite` does.
2. Model, SAEs and prompts are loaded and must have the hashes of the run.
3. Certificates drawn at random are measured by plain hooks, one set a pass, not by the batched passes
   that made them: the clean score, the score of the whole set, and that of the set without each of its
   features. One holds if each decides as recorded and no score differs by more than a tolerance.

Nothing is written into the run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError
from sae_audit.findings import MinimalSet
from sae_audit.findings.stages import SCORES
from sae_audit.margins import answers, refuses
from sae_audit.pipeline.identity import identity_of
from sae_audit.pipeline.inputs import load_inputs
from sae_audit.pipeline.running import opened
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Prompt
from sae_audit.record.publish import published
from sae_audit.record.run import Run
from sae_audit.untrusted import parsed_json, shown
from sae_audit.vocabulary import FeatureSet

TOLERANCE = 0.01
"""Largest difference of two scores that are the same, nats: batches of another shape round otherwise,
by some millionths in float32."""
_OF_FILES = ("settings", "version")
"""Parts of a run's identity that are no hashes of files."""


@dataclass(frozen=True, kw_only=True)
class Rechecked:
    """One certificate, measured again."""

    prompt_id: str
    holds: bool
    largest_difference: float
    """Of a recorded score and the same measured again, nats."""
    reason: str
    """What does not hold; empty if all does."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was checked of one run."""

    findings_match: bool
    """Whether findings.json holds what the record does."""
    n_certificates: int
    """Certificates in the record."""
    rechecked: tuple[Rechecked, ...]

    @property
    def holds(self) -> bool:
        return self.findings_match and all(one.holds for one in self.rechecked)


def verify(
    run: Run,
    *,
    n: int,
    seed: int,
    places: Callable[[AuditConfig], AuditConfig] = lambda config: config,
    tolerance: float = TOLERANCE,
    done: Callable[[Rechecked], None] = lambda _: None,
) -> Verification:
    """The record of a run checked, and `n` of its certificates measured again, drawn by the seed.

    `places` says where model, SAEs and prompts are, if not where the run found them; `done` is told of
    each certificate as it is measured.

    Raises:
        AuditError: the files are not those of the run; says which.
    """
    certificates = [one for one in run.minimal_sets if one.flipped]
    order = np.random.default_rng(seed).permutation(len(certificates))
    drawn = [certificates[i] for i in sorted(order[:n])]
    rechecked: list[Rechecked] = []
    if drawn:
        with TemporaryDirectory() as folder:
            inputs = load_inputs(places(run.config))
            _check_files(run, identity_of(inputs).parts)
            with opened(inputs, Path(folder) / "run") as state:
                # Which prompts count as answered decides what an ablated feature is set to.
                state.session.remember(SCORES, lambda: run.scores)
                for one in drawn:
                    rechecked.append(_rechecked(state, one, tolerance))
                    done(rechecked[-1])
    return Verification(
        findings_match=published(run) == run.findings,
        n_certificates=len(certificates),
        rechecked=tuple(rechecked),
    )


def _check_files(run: Run, loaded: object) -> None:
    recorded = parsed_json(run.recorded.facts["identity_parts"], "the recorded identity")
    assert isinstance(recorded, dict), "identity_parts"
    assert isinstance(loaded, dict), "parts"
    differing = [
        name for name in recorded if name not in _OF_FILES and recorded[name] != loaded.get(name)
    ]
    if differing:
        raise AuditError(
            f"The files here are not those of the run: other {shown(', '.join(differing))}; say where "
            "the run's own are with --model, --saes and --prompts."
        )


def _rechecked(state: AuditState, found: MinimalSet, tolerance: float) -> Rechecked:
    prompt = _prompt(state, found.prompt_id)
    whole: FeatureSet = frozenset(found.features)
    spared = list(found.score_without)
    score = state.subject.reference_score(prompt, state.ablation)
    measured = score([frozenset(), whole, *(whole - {one} for one in spared)])
    recorded = np.array(
        [found.clean_score, found.ablated_score, *(found.score_without[one] for one in spared)]
    )
    largest = float(np.abs(measured - recorded).max())
    clean, ablated, without = measured[0], measured[1], measured[2:]
    faults = _faults(float(clean), float(ablated), without, [str(one) for one in spared])
    if set(spared) != whole:
        faults.append("the record does not say what sparing each feature does")
    if largest > tolerance:
        faults.append(f"a score differs by {largest:.3g} nats, more than {tolerance:g}")
    return Rechecked(
        prompt_id=found.prompt_id,
        holds=not faults,
        largest_difference=largest,
        reason="; ".join(faults),
    )


def _faults(clean: float, ablated: float, without: np.ndarray, spared: Sequence[str]) -> list[str]:
    faults: list[str] = []
    if not refuses(clean):
        faults.append(f"the model does not refuse it ({clean:+z.3f} nats)")
    if not answers(ablated):
        faults.append(f"the set does not flip it ({ablated:+z.3f} nats)")
    needless = [name for name, score in zip(spared, without, strict=True) if answers(float(score))]
    if needless:
        faults.append(f"the flip does not need {', '.join(needless)}")
    return faults


def _prompt(state: AuditState, prompt_id: str) -> Prompt:
    for prompt in state.inputs.splits.audit.harmful:
        if prompt.id == prompt_id:
            return prompt
    raise AuditError(f"{shown(prompt_id)} is none of the run's harmful audit prompts.")
