"""The same search with dictionaries that know nothing of the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sae_audit.findings import KindOfNull, NullKind
from sae_audit.pages.wording import interval
from sae_audit.record.run import Run
from sae_audit.report.section import Section, SummaryRow, unless_stopped_early

KINDS = {
    NullKind.ROTATED: "SAEs rotated at random",
    NullKind.ROTATED_ABOUT_DIRECTION: "SAEs rotated about the refusal direction",
    NullKind.RANDOM_ROWS: "real encoders, random decoder rows",
    NullKind.GIVEN: "SAEs named by you",
    NullKind.SAME_COSINES: "real encoders, random decoder rows of the same cosines",
}


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
    same = next((one for one in found.kinds if one.kind is NullKind.SAME_COSINES), None)
    rest = ""
    if same is not None:
        better = "do worse" if same.beaten else "do as well"
        rest = (
            f"Real encoders with random decoder rows of the same cosines {better} "
            f"({_sizes(same)} features): "
        )
        rest += (
            "what rows write off the direction matters."
            if same.beaten
            else "what counts is when features fire and what they write along the direction."
        )
    return [
        SummaryRow(
            question="Would a dictionary that has learned nothing do as well?",
            answer=("No. " if found.stands else "Not ruled out. ") + found.reason,
            control=rest or "None.",
        )
    ]


SECTION = Section(
    id="nulls",
    title="Null dictionaries",
    shown=unless_stopped_early,
    values=_values,
    rows=_rows,
)
