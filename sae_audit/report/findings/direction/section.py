"""The refusal direction: its choice, its effects, and the directions behind it."""

from collections.abc import Mapping, Sequence
from typing import Any

from sae_audit.findings import Direction, DirectionCheck
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
        f"{found.clean_harmful:+.2f} to {found.bypass:+.2f} nats; adding it takes harmless ones "
        f"from {found.clean_harmless:+.2f} to {found.induce:+.2f} (means over "
        f"{found.n_validation[0]} and {found.n_validation[1]} validation prompts).",
        control=f"Projected out of harmless prompts it {costs}. It is the best of {found.n_tried} "
        "directions, chosen on these same validation prompts.",
    )


def _removes(check: DirectionCheck) -> str:
    found = check.removed
    return f" ({between(found.own, percent)} of it gone)" if found is not None else ""


def _checked(run: Run, check: DirectionCheck) -> SummaryRow:
    chosen, harmless = run.direction.selected, check.induce
    works = answers(check.bypass.own.high) and refuses(check.clean_harmful.low)
    return SummaryRow(
        question="Does one direction carry refusal?",
        answer=f"{_verdict(run.direction, works=works)}. Taking one direction out of the model's "
        f"inner state (layer {chosen.layer}, position {chosen.position}) ended "
        f"{share_said(check.flipped.own)} refusals, {NOT_READ}. Adding it made "
        f"{share_said(check.induced.own)} harmless prompts refused. The mean score of harmful prompts "
        f"went from {between(check.clean_harmful, nats)} to {between(check.bypass.own, nats)} "
        f"nats{_removes(check)}, of harmless ones from {between(check.clean_harmless, nats)} to "
        f"{between(harmless.own, nats)}. Found again from other prompts, it points the same way (cosine "
        f"{between(check.stability.own)}).",
        control=f"{check.bypass.random.n} random directions of its size ended "
        f"{percent(check.flipped.random.mean)} of refusals (at most "
        f"{percent(check.flipped.random.highest)}), and took harmless prompts to "
        f"{nats(harmless.random.mean)} nats (at most {nats(harmless.random.highest)}). On harmless "
        f"prompts taking it out changes the next word by KL {between(check.kl.own)} nats; random "
        f"ones {ranged(check.kl.random)}. With labels shuffled the cosine is "
        f"{ranged(check.stability.random)}."
        + "".join(f" {said}" for said in direction_caveats(run)),
    )


def _verdict(found: Direction, *, works: bool) -> str:
    if found.weak:
        return "Hardly" if found.clean else "Hardly, and not cleanly"
    if not found.clean:
        return "Not cleanly"
    return "Yes" if works else "Not fully"


def _enough(n: int) -> str:
    return "One direction was taken out." if n == 1 else f"{n} directions were taken out, in turn."


def _behind(run: Run) -> list[SummaryRow]:
    found = run.successive_directions
    if found is None:
        return []
    last, n = found.directions[-1], len(found.directions)
    beyond = f"; {found.n_beyond} are refused even then, so this is a lower bound" * bool(
        found.n_beyond
    )
    return [
        SummaryRow(
            question="How many directions, one behind the other?",
            answer=f"{_enough(n)} With {n} out, {share_said(last.refused.own)} prompts are still "
            f"refused. A prompt needs {between(found.depth, '{:.3g}'.format)} of them on average "
            f"({found.depth.n} prompts{beyond}). Why the search stopped: {found.stop}.",
            control=f"With as many random directions out {percent(last.refused.random.mean)} are "
            f"refused (at least {percent(last.refused.random.lowest)}). Of harmless prompts "
            f"{between(last.answered.own, percent)} are still answered (random ones: "
            f"{ranged(last.answered.random, percent)}), at KL {between(last.kl.own)} "
            f"nats; random ones {ranged(last.kl.random)}.",
        )
    ]


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
