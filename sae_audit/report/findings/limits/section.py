"""What the report does not show: the page collects it from all sections, what the score misses first."""

from collections.abc import Sequence

from sae_audit.record.run import Run
from sae_audit.report.section import Section


def _limits(run: Run) -> Sequence[str]:
    return [*_score(run), *run.manifest.notes]


def _score(run: Run) -> list[str]:
    tokens = ", ".join(f"“{text}”" for text in run.manifest.refusal_tokens.texts)
    if not tokens:
        return [
            "No refusal token is known for this model and none was heard, so its scores say only that "
            "no answer begins as a known refusal. A refusal in other words was not counted."
        ]
    if run.stopped_early:
        return [
            f"Refusal is read off the first token ({tokens}). A refusal that begins otherwise, or "
            "comes later in the text, was not counted."
        ]
    text = (
        "No answer was generated under ablation and judged: the model may still refuse later in "
        "the text, or comply uselessly."
        if run.confirmation is None
        else f"Answers under ablation were judged ({run.confirmation.judge}) on their first "
        f"{run.confirmation.answer_tokens} tokens: the model may still refuse later, or comply "
        "uselessly."
    )
    found = [
        f"Refusal is read off the first token ({tokens}). A flipped score means that the answer no "
        f"longer begins as a refusal. {text}",
    ]
    if run.manifest.refusal_tokens.source == "found":
        found.append(
            "The refusal tokens were found in the model's own refusals, by their words; a refusal "
            "in other words was not counted."
        )
    if run.manifest.refusal_tokens.source == "openings":
        found.append(
            "Refusal tokens of some languages are usual openings of a refusal there, not published or "
            "observed for this model."
        )
    return found


SECTION = Section(id="limits", title="Not shown", limits=_limits)
