"""Terms and methods, with their departures from the papers."""

from collections.abc import Mapping, Sequence
from typing import Any

from sae_audit.findings import CE_TOKENS
from sae_audit.pages.wording import SEARCHES
from sae_audit.record.run import Run
from sae_audit.report.section import Section


def _values(_run: Run) -> Mapping[str, Any]:
    return {"ce_tokens": CE_TOKENS, "searches": SEARCHES}


def _limits(run: Run) -> Sequence[str]:
    if run.stopped_early:
        return [
            "That the audit ended here says that it could not look for features, by these tokens on "
            "these prompts; not that the model knows no harm. Recognition of harm may survive where "
            "refusal is gone (2603.27412, 2604.18901), and this audit does not measure it."
        ]
    return [
        "When refusal is removed, recognition of harm may survive (2603.27412, 2604.18901). This "
        "audit measures the first and not the second."
    ]


SECTION = Section(id="methods", title="Terms, methods", values=_values, limits=_limits)
