"""Limits of the report, collected by the page from all sections, those of the score first."""

from collections.abc import Sequence

from sae_audit.record.run import Run
from sae_audit.report.section import Section


def _limits(run: Run) -> Sequence[str]:
    return [*_score(run), *run.manifest.notes]


def _score(run: Run) -> list[str]:
    known = run.manifest.refusal_tokens
    if known is None:
        return _other_readout(run)
    tokens = ", ".join(f"“{text}”" for text in known.texts)
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
    found = [
        f"Refusal is read off the first token ({tokens}). A flipped score means that the answer no "
        f"longer begins as a refusal. {_judged(run)}",
    ]
    if known.source == "found":
        found.append(
            "The refusal tokens were found in the model's own refusals, by their words; a refusal "
            "in other words was not counted."
        )
    if known.source == "openings":
        found.append(
            "Refusal tokens of some languages are usual openings of a refusal there, not published or "
            "observed for this model."
        )
    return found


def _other_readout(run: Run) -> list[str]:
    readout = run.manifest.readout
    tokens = ", ".join(f"“{one.text}” {one.role}" for one in readout.tokens)
    found = f"Scores are read off the first token alone ({tokens}). {readout.missed}"
    return [found if run.stopped_early else f"{found} {_judged(run)}"]


def _judged(run: Run) -> str:
    if run.confirmation is None:
        return (
            "No answer was generated under ablation and judged: the model may still refuse later in "
            "the text, or comply uselessly."
        )
    return (
        f"Answers under ablation were judged ({run.confirmation.judge}) on their first "
        f"{run.confirmation.answer_tokens} tokens: the model may still refuse later, or comply "
        "uselessly."
    )


SECTION = Section(id="limits", title="Not shown", limits=_limits)
