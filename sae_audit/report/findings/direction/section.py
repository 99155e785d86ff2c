"""The refusal direction: its choice, its effects, and the directions behind it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sae_audit.findings import ClaimAbout, Direction, DirectionCheck, SuccessiveDirections
from sae_audit.margins import answers, refuses
from sae_audit.pages.wording import between, nats, percent, ranged, share_said
from sae_audit.record.run import Run
from sae_audit.report.caveats import cost_of_limit, direction_caveats
from sae_audit.report.findings.direction.figures import against_kl, measured
from sae_audit.report.findings.direction.rows import (
    checked_rows,
    needed_sentence,
    out_rows,
    stopped_rows,
    tried_directions,
    tried_rows,
    tried_sentence,
)
from sae_audit.report.flips import NOT_READ
from sae_audit.report.section import Figures, Section, SummaryRow
from sae_audit.report.verdict.standing import seen_if_true


def _rows(run: Run) -> Sequence[SummaryRow]:
    return [] if run.stopped_early else [_chosen(run), *_behind(run)]


def _chosen(run: Run) -> SummaryRow:
    found, chosen = run.direction, run.direction.selected
    if run.direction_check is not None:
        return _checked(run, run.direction_check)
    works = answers(found.bypass) and refuses(found.clean_harmful)
    costs = "; ".join(found.breaks) or (
        f"costs KL {chosen.kl:.3f} nats (limit {run.config.direction.kl_limit:g})"
    )
    return SummaryRow(
        question="Does one direction carry refusal?",
        answer=f"{_verdict(found, works=works)}: layer {chosen.layer}, position "
        f"{chosen.position}. Projecting it out takes the mean score of harmful prompts from "
        f"{found.clean_harmful:+z.2f} to {found.bypass:+z.2f} nats; adding it takes harmless ones "
        f"from {found.clean_harmless:+z.2f} to {found.induce:+z.2f} (means over "
        f"{found.n_validation[0]} and {found.n_validation[1]} validation prompts).",
        control=f"Projected out of harmless prompts it {costs}. It is the best of {found.n_tried} "
        "directions, chosen on these same validation prompts.",
    )


def _checked(run: Run, check: DirectionCheck) -> SummaryRow:
    chosen = run.direction.selected
    works = answers(check.bypass.own.high) and refuses(check.clean_harmful.low)
    of_score = (
        f" The mean score of harmful prompts went from {nats(check.clean_harmful.value)} to "
        f"{between(check.bypass.own, nats)} nats."
    )
    return SummaryRow(
        question="Does one direction carry refusal?",
        answer=f"{_verdict(run.direction, works=works)}. Taking one direction out of the model's "
        f"inner state ended {share_said(check.flipped.own, 'refusals')}, {NOT_READ}. Adding it made "
        f"{share_said(check.induced.own, 'harmless prompts')} refused.{of_score} It was found in layer "
        f"{chosen.layer} at position {chosen.position}. Found again from other prompts, it points the "
        f"same way: cosine {between(check.stability.own)}.",
        control=f"{check.bypass.random.n} random directions of its size ended at most "
        f"{percent(check.flipped.random.highest)} of refusals. They took harmless prompts to "
        f"{nats(check.induce.random.highest)} nats at most. On harmless prompts taking it out changes "
        f"the next word by KL {between(check.kl.own)} nats; random ones by {check.kl.random.mean:.3f}. "
        f"With labels shuffled the cosine is {ranged(check.stability.random)}."
        + "".join(f" {said}" for said in direction_caveats(run)),
    )


def _verdict(found: Direction, *, works: bool) -> str:
    if found.weak:
        return "Hardly" if found.clean else "Hardly, and not cleanly"
    if not found.clean:
        return "Not cleanly"
    return "Yes" if works else "Not fully"


def _enough(run: Run, found: SuccessiveDirections) -> str:
    """Whether there are directions behind the first, as far as the audit could see."""
    n = len(found.directions)
    out = "With one direction" if n == 1 else f"With {n} directions"
    last = found.directions[-1].refused.own
    left = f"{out} out, {share_said(last, 'prompts')} were still refused."
    if n == 1:
        return f"One is known. {left} {seen_if_true(run, ClaimAbout.DIRECTIONS_BEHIND)}".rstrip()
    return f"{n} were found. {left}"


def _behind(run: Run) -> list[SummaryRow]:
    found = run.successive_directions
    if found is None:
        return []
    last = found.directions[-1]
    beyond = (
        f" {found.n_beyond} prompts are refused even then, so this is a lower bound."
        if found.n_beyond
        else ""
    )
    return [
        SummaryRow(
            question="How many directions, one behind the other?",
            answer=f"{_enough(run, found)} A prompt needs {between(found.depth, '{:.3g}'.format)} of "
            f"them on average.{beyond} Why the search stopped: {_plainly(found.stop)}.",
            control=f"With as many random directions out at least "
            f"{percent(last.refused.random.lowest)} are refused. Of harmless prompts "
            f"{share_said(last.answered.own)} are still answered, with random ones out "
            f"{percent(last.answered.random.mean)}. KL on these is {between(last.kl.own)} nats, with "
            f"random ones out {last.kl.random.mean:.3f}.",
        )
    ]


def _plainly(reason: str) -> str:
    """The reason without the name of the setting behind it."""
    return re.sub(r" \([a-z_]+\.[a-z_]+\)$", "", reason)


def _values(run: Run) -> Mapping[str, Any]:
    found = tried_directions(run)
    stopped, behind = stopped_rows(found), run.successive_directions
    return {
        "tried": found,
        "rows": tried_rows(found),
        "checked": checked_rows(run.direction_check) if run.direction_check else [],
        "out": out_rows(behind) if behind else [],
        "needed": needed_sentence(behind) if behind else "",
        "tried_sentence": tried_sentence(found.evaluations, stopped),
        "stopped": stopped,
        "caveats": direction_caveats(run),
        "cost_of_limit": (
            cost_of_limit(found, run.config.direction.kl_limit)
            if isinstance(found, Direction)
            else ""
        ),
    }


def _figures(run: Run) -> Figures:
    found = tried_directions(run)
    measures = enumerate(found.selection.measures)
    of_measures = {f"direction_{i}": measured(found, measure) for i, measure in measures}
    return of_measures | {"direction_kl": against_kl(found, run.config.direction.kl_limit)}


def _shown(run: Run) -> bool:
    """Whether the audit tried any direction."""
    return not run.stopped_early or run.discarded_directions is not None


SECTION = Section(
    id="direction",
    title="Direction",
    shown=_shown,
    rows=_rows,
    values=_values,
    figures=_figures,
)
