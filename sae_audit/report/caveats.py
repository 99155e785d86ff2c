"""What a reader must know of SAEs that explain nothing, and of a direction that is not clean or removes
little."""

from sae_audit.findings import Direction, explaining_nothing
from sae_audit.pages.wording import interval, nats, percent
from sae_audit.record.run import Run


def sae_caveat(run: Run) -> str:
    """That the SAEs explain nothing of this model, to be said before anything else; empty if they do."""
    used = {feature.layer for one in run.minimal_sets for feature in one.features}
    poor = explaining_nothing(run.quality, used)
    if not poor:
        return ""
    best = max(poor, key=lambda one: one.explained_variance_without_bos.value)
    where = "layer" if len(poor) == 1 else "layers"
    of_sets = " that minimal sets use" if used else ""
    return (
        f"These SAEs explain nothing of this model: explained variance is at most "
        f"{interval(best.explained_variance_without_bos)}, without BOS tokens, in the {where}{of_sets} "
        f"({', '.join(str(one.layer) for one in poor)}). What is said of features below is about "
        "nothing that they have learned of it."
    )


def direction_caveats(run: Run) -> list[str]:
    """Sentences: no direction removes refusal cleanly; the direction is weak; features are ranked
    otherwise for it. Empty if none holds, or if the audit stopped before a direction."""
    if run.stopped_early:
        return []
    found = run.direction
    said = [found.unclean] if found.unclean else []
    if found.weak and found.removed is not None:
        check = run.direction_check
        removed = check.removed if check is not None else None
        on_audit = f"; on audit prompts {interval(removed.own, percent)}" if removed else ""
        said.append(
            f"The direction is weak: projected out it removes {interval(found.removed, percent)} of "
            f"the refusal score of validation prompts{on_audit} (weak below "
            f"{percent(run.config.direction.weak_below)}; at 100% the mean score is at the threshold)."
        )
    if run.candidates.reason:
        ranked = "cosine" if run.candidates.method == "cosine" else "estimated effect"
        said.append(f"Features are ranked by {ranked}: {run.candidates.reason}.")
    return said


def cost_of_limit(found: Direction, kl_limit: float) -> str:
    """What the limit of KL costs in bypass, in one sentence; empty if the choice ignores it anyway."""
    other, chosen = found.without_kl_limit, found.selected
    if other is None or not found.clean:
        return ""
    if (other.layer, other.position) == (chosen.layer, chosen.position):
        return f"Without the limit of KL ({kl_limit:g} nats) the choice would be the same."
    assert other.bypass is not None, "asked of the choice without a limit"
    return (
        f"Without the limit of KL ({kl_limit:g} nats) the choice would be layer {other.layer}, position "
        f"{other.position}: bypass {nats(other.bypass)} in place of {nats(found.bypass)}, at KL "
        f"{other.kl:.3f} in place of {chosen.kl:.3f}."
    )
