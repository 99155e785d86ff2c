"""Comparison of two runs."""

from collections.abc import Sequence
from pathlib import Path

from sae_audit.comparison import paired
from sae_audit.comparison.checks import caveats, check_comparable, on_shared_prompts
from sae_audit.comparison.claims import tests_of
from sae_audit.comparison.decided import Decision, Limit
from sae_audit.comparison.direction import direction_change
from sae_audit.comparison.feature_roles import feature_roles
from sae_audit.comparison.limits.deciding import decide
from sae_audit.comparison.limits.rules import DEFAULT, Undecided, parsed_limits
from sae_audit.comparison.testing import corrected
from sae_audit.comparison.types import Checkpoint, Comparison
from sae_audit.comparison.verdicts import verdicts
from sae_audit.errors import AuditError
from sae_audit.record.run import Run, load_run
from sae_audit.record.whole import fitting_together
from sae_audit.untrusted import printable


def compare(
    a: Run | str | Path,
    b: Run | str | Path,
    *,
    limits: Sequence[str] | Sequence[Limit] | None = None,
    undecided: Undecided = "fail",
    seed: int = 0,
) -> Comparison:
    """The comparison of two finished runs of the same audit, `a` the parent and `b` the variant.

    `limits` are rules such as `refusal_rate drops > 0.05` (`limits.rules.DEFAULT` if not given), and
    `undecided` is what becomes of one that cannot be told; `seed` is for permutations.

    Raises:
        AuditError: a run is missing or unfinished, or the two cannot be compared.
    """
    run_a = a if isinstance(a, Run) else load_run(a)
    run_b = b if isinstance(b, Run) else load_run(b)
    check_comparable(run_a, run_b)
    texts = [str(one) for one in (DEFAULT if limits is None else limits)]
    if not texts:
        raise AuditError("No limit is given; name one, or leave limits out for the usual ones.")
    asked = parsed_limits(texts)
    with fitting_together(run_a.folder, run_b.folder):
        told = caveats(run_a, run_b)
        run_a = on_shared_prompts(run_a, run_b)
        decision = decide(run_a, run_b, asked, feature_roles(run_a, run_b), undecided=undecided)
        return _compared(run_a, run_b, decision, told, seed)


def _compared(
    run_a: Run, run_b: Run, decision: Decision, told: Sequence[str], seed: int
) -> Comparison:
    behaviour = paired.behaviour(run_a, run_b, seed)
    direction = direction_change(run_a, run_b)
    needed = paired.directions_needed(run_a, run_b, seed)
    features = paired.features(run_a, run_b, seed)
    cascades = paired.cascades(run_a, run_b, seed)
    quality = paired.quality(run_a, run_b)
    lost, gained = paired.switched(run_a, run_b)
    in_b = {score.prompt_id: score.score for score in run_b.scores}
    tests = corrected(list(tests_of(behaviour, needed, features, cascades)))
    both = (_checkpoint(run_a), _checkpoint(run_b))
    return Comparison(
        a=both[0],
        b=both[1],
        decision=decision,
        verdicts=verdicts(both, behaviour, direction, needed, features, cascades, quality, tests),
        tests=tuple(tests.values()),
        behaviour=behaviour,
        lost_refusal=lost,
        gained_refusal=gained,
        scores=tuple(
            (s.prompt_id, s.label, s.score, in_b[s.prompt_id])
            for s in run_a.scores
            if s.split == "audit"
        ),
        direction=direction,
        directions_needed=needed,
        features=features,
        cascades=cascades,
        quality=quality,
        caveats=tuple(told),
    )


def _checkpoint(run: Run) -> Checkpoint:
    chosen = None if run.stopped_early else run.direction.selected
    return Checkpoint(
        id=run.manifest.model.id,
        sha256=run.manifest.model.sha256,
        run=printable(run.folder.resolve().name),
        layer=chosen and chosen.layer,
        position=chosen and chosen.position,
        check=run.direction_check,
        n_refused_harmful=run.findings.prompts.refused_harmful,
        n_flipped=sum(found.flipped for found in run.minimal_sets),
        absence=run.absence,
    )
