"""The same search with dictionaries that know nothing of the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sae_audit.findings import ClaimAbout, DictionaryNull, KindOfNull, NullKind
from sae_audit.pages.wording import interval
from sae_audit.record.run import Run
from sae_audit.report.section import Section, SummaryRow, unless_stopped_early
from sae_audit.report.verdict.standing import seen_if_true
from sae_audit.report.verdict.words import sentence

KINDS = {
    NullKind.ROTATED: "SAEs rotated at random",
    NullKind.ROTATED_ABOUT_DIRECTION: "SAEs rotated about the refusal direction",
    NullKind.RANDOM_ROWS: "real encoders, random decoder rows",
    NullKind.GIVEN: "SAEs named by you",
    NullKind.SAME_COSINES: "real encoders, random decoder rows of the same cosines",
}

PLURAL = {
    NullKind.ROTATED: "SAEs rotated at random",
    NullKind.ROTATED_ABOUT_DIRECTION: "SAEs rotated about the direction",
    NullKind.RANDOM_ROWS: "SAEs with random decoder rows",
    NullKind.GIVEN: "SAEs named by you",
}
"""Wording of those that features must beat, in a sentence."""


@dataclass(frozen=True, kw_only=True)
class KindRow:
    """Null dictionaries of one kind, in words."""

    label: str
    found: KindOfNull
    drawn: str
    flipped: str
    sizes: str
    ratio: str
    decides: str


def _kind_row(found: KindOfNull) -> KindRow:
    flipped = found.flipped_null
    return KindRow(
        label=KINDS[found.kind],
        found=found,
        flipped=f"{min(flipped)} to {max(flipped)}"
        + ("" if found.n_exact == found.n else " at most"),
        drawn=f"{found.n}" if found.n == found.n_asked else f"{found.n} of {found.n_asked}",
        sizes=_sizes(found),
        ratio="nothing flips" if found.ratio is None else interval(found.ratio),
        decides="yes" if found.kind.about_features else "no",
    )


def _sizes(found: KindOfNull) -> str:
    """A range if every dictionary was searched to the end; else what the bounds say."""
    if found.n_exact == found.n or not any(found.flipped_null):
        return f"{min(found.mean_size_null):.1f} to {max(found.mean_size_null):.1f}"
    where = "" if found.searched_size is None else f"; {found.searched_size:.1f} where searched"
    if not found.n_as_good:
        return f"more than {found.mean_size:.1f} each{where}"
    return f"at least {min(found.mean_size_null):.1f}{where}"


def _values(run: Run) -> Mapping[str, Any]:
    found = run.dictionary_null
    return {
        "kinds": [_kind_row(one) for one in found.kinds] if found else [],
        "given": [one for one in run.null_dictionaries if not one.kind.drawn],
        "bounds": run.config.evidence.null_sizes == "bounds",
    }


def _rows(run: Run) -> Sequence[SummaryRow]:
    found = run.dictionary_null
    if found is None:
        return []
    decisive = [one for one in found.kinds if one.kind.about_features]
    missed = "" if found.stands else seen_if_true(run, ClaimAbout.FEATURES)
    return [
        SummaryRow(
            question="Would a dictionary that has learned nothing do as well?",
            answer=" ".join(
                one
                for one in (
                    "No: it needs more features." if found.stands else "Not ruled out.",
                    _own_size(found),
                    *(_beside(one) for one in decisive),
                    missed,
                )
                if one
            ),
            control=" ".join((*_ranks(decisive), _same_cosines(found.kinds))).strip() or "None.",
        )
    ]


def _own_size(found: DictionaryNull) -> str:
    own, n = found.kinds[0], len(found.prompts)
    what = "in text" if found.in_text else "by score"
    ended = (
        f"These SAEs ended the refusal {what} on {own.flipped} of {n} prompts, with "
        f"{own.mean_size:.1f} features on average."
    )
    missing = "A prompt on which none did counts as one feature more than were searched."
    return ended if own.flipped == n else f"{ended} {missing}"


def _beside(found: KindOfNull) -> str:
    """What the null dictionaries of one kind needed, in a sentence."""
    name = sentence(PLURAL[found.kind])
    if not any(found.flipped_null):
        return f"{name} ended none."
    if found.n_exact == found.n:
        low, high = min(found.mean_size_null), max(found.mean_size_null)
        needed = f"{low:.1f}" if f"{low:.1f}" == f"{high:.1f}" else f"{low:.1f} to {high:.1f}"
        return f"{name} needed {needed}."
    if found.n_as_good:
        return f"One of the {PLURAL[found.kind]} needed no more: {min(found.mean_size_null):.1f}."
    return f"{name} each needed more than {found.mean_size:.1f}."


def _ranks(kinds: Sequence[KindOfNull]) -> list[str]:
    """How many did as well, and how sure so many can make it; alike kinds in one sentence."""
    said: dict[str, list[str]] = {}
    for one in kinds:
        counted = (
            f"{one.n_as_good or 'none'} of {one.n} did as well (p = {one.p_value:.2g}; no less than "
            f"{one.smallest_p:.2g} is possible)"
        )
        said.setdefault(counted, []).append(PLURAL[one.kind])
    return [f"Of {', of '.join(names)}, {counted}." for counted, names in said.items()]


def _same_cosines(kinds: Sequence[KindOfNull]) -> str:
    same = next((one for one in kinds if one.kind is NullKind.SAME_COSINES), None)
    if same is None:
        return ""
    if same.beaten:
        return (
            "Random rows with the same cosines do worse: what rows write off the direction matters."
        )
    return (
        "Random rows with the same cosines do as well: what counts is when features fire and what they "
        "write along the direction."
    )


SECTION = Section(
    id="nulls",
    title="Null dictionaries",
    shown=unless_stopped_early,
    values=_values,
    rows=_rows,
)
