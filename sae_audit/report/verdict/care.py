"""What to keep in mind while reading a verdict, and what to do next."""

from scipy.special import expit

from sae_audit.findings import ClaimAbout
from sae_audit.record.run import Run
from sae_audit.report.made_for import other_bases_in_short
from sae_audit.report.verdict.behaviour import over_refusal
from sae_audit.report.verdict.mechanism import important
from sae_audit.report.verdict.standing import About, about, features_matter, is_read, seen_if_true
from sae_audit.report.verdict.types import ENOUGH_REFUSED, MOST_HARMLESS, Reading, Step
from sae_audit.report.verdict.words import prompts_deciding, several
from sae_audit.statistics import share


def care(run: Run, readings: tuple[Reading, ...]) -> tuple[str, ...]:
    """Sentences, those that change the reading first; `readings` are of the two refusal rates."""
    found = [] if run.stopped_early else [*_left_out(run), *_direction(run), *_text(run)]
    return (
        *other_bases_in_short(run),
        *found,
        *_undecided(run, readings),
        _counted(run),
        *_coarse(run),
        *([] if run.behaviour.refused_lookalikes is not None else [_NO_LOOKALIKES]),
        _NOT_TRIED,
    )


_NO_LOOKALIKES = (
    "Over-refusal was measured on plain harmless prompts alone: there were no safe look-alikes."
)
_NOT_TRIED = "Jailbreaks, other languages and long conversations were not tried."


def steps(run: Run) -> tuple[Step, ...]:
    """What to do next: what helps a decision first, then parts of the page for a closer look."""
    found: list[Step] = []
    if run.absence is not None:
        found.append(Step(said=run.absence.remedy))
    found.append(
        Step(
            said="To know what a fine-tune changed, compare it with its parent:",
            command="sae-audit compare PARENT THIS",
        )
    )
    if not run.stopped_early and any(one.flipped for one in run.minimal_sets) and not is_read(run):
        found.append(
            Step(
                said="To know whether the answers comply too, audit again into another folder with",
                command="--set confirm=text",
            )
        )
    if not run.stopped_early and run.candidates.left_out:
        found.append(
            Step(
                said="To search the features left out too, audit again into another folder with",
                command="--set candidates.max_harmless_rate=1",
            )
        )
    n_refused = len(run.minimal_sets)
    if important(run):
        n = len(run.pooled_set.features) if run.pooled_set is not None else 0
        named = (
            f"The {several(n, 'feature')} that matter most"
            if n > 1 and features_matter(run)
            else "The features switched off, one by one"
        )
        found.append(Step(said=named, part="features"))
    if n_refused:
        found.append(Step(said=f"All {n_refused} refused prompts", part="minimal"))
    if run.cascades:
        found.append(Step(said="Is there a backup?", part="backup"))
    if run.categories is not None:
        found.append(Step(said="Is every kind of request refused alike?", part="categories"))
    found.append(Step(said="All findings with their controls", part="all_findings"))
    return tuple(found)


def _left_out(run: Run) -> list[str]:
    n = run.candidates.left_out
    if not n:
        return []
    return [
        f"{n:,} features that fire on harmless prompts too were left out of the search, as the settings "
        "ask (candidates.max_harmless_rate). They may carry refusal; what is said of features, and of "
        "what the SAEs let us see, is of the others."
    ]


def _direction(run: Run) -> list[str]:
    direction, found = run.direction, list[str]()
    if direction.unclean:
        found.append(
            "No direction removes refusal cleanly: the best one breaks a limit. What rests on the "
            "direction is marked."
        )
    if direction.weak:
        found.append("The direction is weak: taking it out leaves most of the refusal.")
    if about(run) is not About.FEATURES and any(one.flipped for one in run.minimal_sets):
        missed = seen_if_true(run, ClaimAbout.FEATURES)
        found.append(f"No claim about features stands. {missed}".rstrip())
    return found


def _text(run: Run) -> list[str]:
    if is_read(run):
        assert run.confirmation is not None, "read"
        return [
            f"Whether an answer complies was judged ({run.confirmation.judge}) on its first "
            f"{run.confirmation.answer_tokens} tokens."
        ]
    if any(one.flipped for one in run.minimal_sets):
        return ["No answer was read: a refusal that ended by score may go on in the text."]
    return []


def _undecided(run: Run, readings: tuple[Reading, ...]) -> list[str]:
    """How many prompts would decide what cannot be told."""
    prompts, over = run.findings.prompts, over_refusal(run)
    asked = (
        ("harmful prompts", share(prompts.refused_harmful, prompts.harmful), ENOUGH_REFUSED),
        (over.what, over.found, MOST_HARMLESS),
    )
    found: list[str] = []
    for (what, own, limit), reading in zip(asked, readings, strict=True):
        if reading is not Reading.CANNOT_TELL or not own.low < limit < own.high:
            continue
        enough = prompts_deciding(own.value, limit)
        if enough is not None:
            found.append(
                f"Too few {what} to tell whether {limit:.0%} are refused: about {enough} "
                "would do if the share stays the same."
            )
    return found


def _counted(run: Run) -> str:
    tokens = run.manifest.refusal_tokens
    if tokens is None:
        return f"A prompt counts as refused by its score ({run.manifest.readout.meaning})."
    if not tokens.texts:
        return "No refusal of this model is known, so none could be counted."
    said = [f"“{text}”" for text in tokens.texts]
    shown = (
        " or ".join(filter(None, [", ".join(said[:-1]), said[-1]]))
        if len(said) < 6
        else (f"{', '.join(said[:5])} or {len(said) - 5} others")
    )
    threshold = run.manifest.readout.threshold
    above = f" with a probability above {expit(threshold):.0%}" if threshold else ""
    return f"A prompt counts as refused when its answer begins with {shown}{above}."


def _coarse(run: Run) -> list[str]:
    n = run.findings.prompts.harmful
    if not n:
        return []
    half = share(n // 2, n)
    return [
        f"{n} prompts pin a share down to about ±{100 * (half.high - half.low) / 2:.0f} points."
    ]
