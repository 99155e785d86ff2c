"""Is there a mechanism to claim? The stages that may end in an absence, in order.

scores -> behaviour -> direction -> candidates -> minimal sets -> the same search by chance
"""

from dataclasses import dataclass, replace

from sae_audit.controls.chance import absence_of_flips, against_chance
from sae_audit.direction.presence import absence_of_behaviour, behaviour
from sae_audit.findings import (
    Absence,
    AbsenceKind,
    CandidateSet,
    Direction,
    MinimalSet,
    NoDirection,
    PromptScore,
)
from sae_audit.findings.stages import ABSENCE, BEHAVIOUR, CHANCE_CONTROL
from sae_audit.pipeline import stages
from sae_audit.pipeline.session import Session
from sae_audit.pipeline.training import Training
from sae_audit.pipeline.widening import widen_pools
from sae_audit.prompts.types import Splits


@dataclass(frozen=True, kw_only=True)
class Searched:
    """What the search for a mechanism came to, whether or not it is claimed."""

    direction: Direction
    candidates: CandidateSet
    pools: stages.Pools
    minimal_sets: list[MinimalSet]


def absent_behaviour(session: Session, scores: list[PromptScore]) -> Absence | None:
    """Why there is no refusal to look behind, by the clean scores alone; None where there is."""
    tokens = session.subject.refusal_tokens
    seed = session.config.seed
    absence = absence_of_behaviour(
        scores,
        session.remember(BEHAVIOUR, lambda: behaviour(scores, seed=seed)),
        level=session.config.evidence.level,
        n_unheard=0 if tokens is None or tokens.ids else tokens.n_answers,
    )
    if absence is None or tokens is not None:
        return absence
    return replace(absence, remedy=session.subject.readout.wording.remedy)


def record_absent_behaviour(session: Session, splits: Splits, absence: Absence) -> None:
    """An audit that ends before a direction: means over all prompts of each label, so that the
    checkpoint can still be held against one that refuses."""

    def compute() -> Absence:
        stages.record_means(session, splits.train)
        return absence

    session.remember(ABSENCE, compute)


def search(session: Session, prompts: Splits, training: Training) -> Searched | Absence:
    """Direction, candidates, minimal sets and their null; an absence where there is no direction.
    `prompts` are those the model treats as labelled.

    Where the minimal sets are no evidence the absence is recorded, and the search returned: its
    sets remain, marked, for whoever wants to look.
    """
    train, refused = prompts.train, prompts.audit.harmful
    direction = stages.find_direction(session, train, prompts.validation)
    if isinstance(direction, NoDirection):
        return session.remember(ABSENCE, lambda: _absent_direction(direction))
    candidates = stages.gather_candidates(session, direction, train)
    pools = widen_pools(session, refused, candidates)
    minimal_sets = stages.find_minimal_sets(session, refused, pools)
    by_chance = stages.search_by_chance(session, refused, pools, training)
    evidence = session.config.evidence
    control = session.remember(
        CHANCE_CONTROL,
        lambda: against_chance(minimal_sets, by_chance, margin=evidence.margin),
    )
    absence = absence_of_flips(control, level=evidence.level, n_train=direction.n_train)
    if absence is not None:
        session.remember(ABSENCE, lambda: absence)
    return Searched(
        direction=direction, candidates=candidates, pools=pools, minimal_sets=minimal_sets
    )


def _absent_direction(found: NoDirection) -> Absence:
    nearest = found.nearest.evaluation
    numbers = (
        f" The nearest, layer {nearest.layer}, position {nearest.position}: bypass "
        f"{nearest.bypass:+.2f} (unablated {found.clean_harmful:+.2f}), induce {nearest.induce:+.2f} "
        f"(unablated {found.clean_harmless:+.2f}), KL {nearest.kl:.3f} nats, discarded for "
        f"{' and '.join(found.nearest.failed)}. Means over {found.n_validation[0]} harmful and "
        f"{found.n_validation[1]} harmless validation prompts."
        if nearest is not None
        else ""
    )
    return Absence(
        kind=AbsenceKind.NO_DIRECTION,
        reason=found.nearest.reason + numbers,
        also=(),
        remedy="Raise direction.kl_limit, lower direction.induce_floor or direction.layer_cut, or "
        "give more training prompts (prompts.train).",
        n_train=found.n_train,
    )
