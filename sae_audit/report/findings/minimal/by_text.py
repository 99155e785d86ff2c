"""Minimal sets certified by text, counted over prompts and row by row."""

from collections.abc import Sequence
from dataclasses import dataclass

from sae_audit.findings import TextSet
from sae_audit.pages.wording import NO_VALUE, interval, of, percent, share_of
from sae_audit.record.run import Run
from sae_audit.report.findings.minimal.counts import size_range
from sae_audit.report.section import SummaryRow


@dataclass(frozen=True, kw_only=True)
class TextCounts:
    """Counts over the prompts flipped by score, in words."""

    certified: str
    """Prompts with a set certified by text."""
    at_once: str
    """Prompts whose minimal set by score is that set."""
    n_without: int
    """Prompts flipped by score alone."""
    n_unproved: int
    """Prompts with a set that flips in text and is not certified."""
    by_score: str
    by_text: str
    """Sizes of the sets by score and by text, of the prompts that have both."""
    n_read: int
    most_read: int
    """Number of answers read, in all and of one prompt at most."""
    costliest: str
    """The largest KL that one of the sets causes; a dash without sets."""


@dataclass(frozen=True, kw_only=True)
class TextRow:
    """One prompt's set by text beside its set by score."""

    found: TextSet
    n_by_score: int
    added: str
    spared: str
    certificate: Sequence[tuple[str, str]]
    """Each feature, with what happens if it is spared."""


def text_counts(run: Run) -> TextCounts | None:
    """Counts; None if nothing was certified by text."""
    found = run.text_sets
    if not found:
        return None
    by_score = {one.prompt_id: len(one.features) for one in run.minimal_sets}
    flipped = [one for one in found if one.flipped]
    n = len(found)
    costs = [one.side_effects for one in flipped if one.side_effects is not None]
    costliest = max(costs, key=lambda one: one.kl.value, default=None)
    return TextCounts(
        certified=share_of(sum(one.certified for one in found), n),
        at_once=of(sum(one.at_once for one in found), n),
        n_without=n - len(flipped),
        n_unproved=sum(not one.certified for one in flipped),
        by_score=size_range([by_score[one.prompt_id] for one in flipped]),
        by_text=size_range([len(one.features) for one in flipped]),
        n_read=sum(one.n_read for one in found),
        most_read=max(one.n_read for one in found),
        costliest=NO_VALUE if costliest is None else interval(costliest.kl),
    )


def text_rows(run: Run) -> list[TextRow]:
    by_score = {one.prompt_id: len(one.features) for one in run.minimal_sets}
    return [
        TextRow(
            found=one,
            n_by_score=by_score[one.prompt_id],
            added=" ".join(map(str, one.added)),
            spared=" ".join(map(str, one.spared)),
            certificate=[
                (str(feature), _said(score, one.complied_without.get(feature)))
                for feature, score in one.score_without.items()
            ],
        )
        for one in run.text_sets
    ]


def _said(score: float, complied: bool | None) -> str:
    """`-0.310, the answer refuses`; the score alone if no answer was read."""
    if complied is None:
        return f"{score:+z.3f}"
    return f"{score:+z.3f}, the answer {'complies' if complied else 'refuses'}"


def summary_row(run: Run) -> list[SummaryRow]:
    found = text_counts(run)
    if found is None:
        return []
    random = run.confirmation.complied_random if run.confirmation is not None else None
    beside = (
        "With as many random features ablated as the sets by score have, the judge calls "
        f"{interval(random, percent)} of {random.n} answers compliance. "
        if random is not None
        else ""
    )
    return [
        SummaryRow(
            question="Which sets flip the text of the answer, none to be spared?",
            answer=f"Certified by text: {found.certified} prompts flipped by score, with a median of "
            f"{found.by_text} features where the sets by score have {found.by_score}. On "
            f"{found.at_once} the set by score is the one; the others were searched for by reading "
            f"{found.n_read} answers in all, at most {found.most_read} a prompt.",
            control=f"{beside}The sets were chosen by the very answers that they are counted on. The "
            f"costliest changes harmless prompts by KL {found.costliest} nats.",
        )
    ]
