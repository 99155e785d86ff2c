"""SARIF 2.1.0: a rule for each limit, a result for each variant, at the variant's config.yaml."""

import json
from collections.abc import Sequence
from urllib.parse import quote

from sae_audit.comparison.decided import LimitResult, Outcome
from sae_audit.comparison.first_screen.reasons import names_of
from sae_audit.comparison.limits.sentences import name_of
from sae_audit.comparison.outputs.judged import Judged, is_allowed
from sae_audit.untrusted import printable

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(judged: Sequence[Judged], version: str) -> str:
    """The whole file; `version` is that of sae-audit."""
    limits = [one.limit for one in judged[0].comparison.decision.limits]
    rules = [
        {
            "id": str(limit),
            "name": name_of(limit.measure),
            "shortDescription": {"text": f"Limit on what a variant may change: {limit}"},
        }
        for limit in limits
    ]
    results = [
        _result(one, result, number)
        for one in judged
        for number, result in enumerate(one.comparison.decision.limits)
    ]
    log = {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {"name": "sae-audit", "semanticVersion": version, "rules": rules}
                },
                "results": results,
            }
        ],
    }
    return json.dumps(log, indent=1, ensure_ascii=False) + "\n"


def _result(judged: Judged, result: LimitResult, number: int) -> dict[str, object]:
    comparison = judged.comparison
    parent, variant = (printable(name) for name in names_of(comparison))
    match result.outcome:
        case Outcome.FAILS:
            kind, level = "fail", "error"
        case Outcome.CANNOT_TELL if is_allowed(result, comparison):
            kind, level = "open", "none"
        case Outcome.CANNOT_TELL:
            kind, level = "open", "warning"
        case Outcome.WITHIN:
            kind, level = "pass", "none"
    # Only a result of the kind "fail" may have a level but "none": one that is open and not let pass
    # is shown as a warning.
    if level == "warning":
        kind = "fail"
    return {
        "ruleId": str(result.limit),
        "ruleIndex": number,
        "kind": kind,
        "level": level,
        "message": {"text": f"{variant} against {parent}: {printable(result.statement)}"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(judged.config)},
                    "region": {"startLine": 1},
                }
            }
        ],
        "partialFingerprints": {"limitOfVariant/v1": f"{variant}: {result.limit}"},
        "properties": {"outcome": result.outcome.value, "prompts": result.n},
    }
