"""Whether refusal is the same for every kind of refused request."""

from collections.abc import Mapping, Sequence
from typing import Any

from sae_audit.findings import TooFewCategories
from sae_audit.pages.wording import ranged
from sae_audit.record.run import Run
from sae_audit.report.findings.categories import figures, words
from sae_audit.report.section import Figures, Part, Section, SummaryRow

_QUESTION = "Is refusal the same for every kind of request?"


def _rows(run: Run) -> Sequence[SummaryRow]:
    found = run.categories
    if found is None:
        return []
    if isinstance(found, TooFewCategories):
        answer, control = words.too_few_sentence(found), "None."
    else:
        limit = run.config.direction.kl_limit
        knob = [] if found.steering is None else [words.knob_sentence(found.steering)]
        own = words.own_sentence(found, limit)
        answer = " ".join([words.families_sentence(found), *knob, own])
        control = words.control_sentence(found)
        if found.steering is not None:
            control = f"{words.threshold_sentence(found.steering)} {control}"
    return [SummaryRow(question=_QUESTION, answer=answer, control=control, part=Part.EXTENT)]


def _values(run: Run) -> Mapping[str, Any]:
    found = run.categories
    assert found is not None, "shown without categories"
    if isinstance(found, TooFewCategories):
        said = words.too_few_sentence(found)
        return {"found": None, "few": found, "sentence": said, "knob": None}
    names = [one.category for one in found.directions]
    return {
        "found": found,
        "sentence": words.families_sentence(found),
        "alike": words.alike_sentence(found),
        "own": words.own_sentence(found, run.config.direction.kl_limit),
        "control": words.control_sentence(found),
        "one_dealt": ranged(found.features.one_permuted, "{:.0f}".format),
        "every_dealt": ranged(found.features.every_permuted, "{:.0f}".format),
        "knob": found.steering and words.knob_sentence(found.steering),
        "threshold": found.steering and words.threshold_sentence(found.steering),
        "left_out": [one for one in found.sizes if not one.n_used],
        "sizes": {one.category: one for one in found.sizes},
        "costs": {one.out: one for one in found.ablations},
        "minimum": run.config.categories.minimum,
        "clean_left": list(zip(names, found.clean, strict=True)),
        "rows": [
            (ablation, name, left)
            for ablation in found.ablations
            for name, left in zip(names, ablation.left, strict=True)
        ],
        "clean": words.mean_score(found.clean),
    }


def _figures(run: Run) -> Figures:
    found = run.categories
    if found is None or isinstance(found, TooFewCategories):
        return {}
    drawn = {"category_cosines": figures.cosines(found), "category_left": figures.left(found)}
    if found.steering is not None:
        drawn["category_trades"] = figures.trades(found.steering)
    return drawn


def _limits(run: Run) -> Sequence[str]:
    found = run.categories
    if found is None or isinstance(found, TooFewCategories):
        return []
    return [
        f"Directions of categories are all read in layer {found.layer}, where the audit's own direction "
        "is; elsewhere they may lie otherwise."
    ]


SECTION = Section(
    id="categories",
    title="Kinds of request",
    shown=lambda run: run.categories is not None,
    rows=_rows,
    values=_values,
    figures=_figures,
    limits=_limits,
)
