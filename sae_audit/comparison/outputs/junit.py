"""JUnit XML: a suite for each variant, a test case for each limit.

A broken limit is a failure, one that cannot be told an error (skipped where that is let pass): so a CI
that knows three outcomes shows three.
"""

from collections.abc import Sequence
from xml.etree import ElementTree

from sae_audit.comparison.decided import LimitResult, Outcome
from sae_audit.comparison.first_screen.reasons import names_of, verdict
from sae_audit.comparison.outputs.judged import Judged, is_allowed
from sae_audit.comparison.types import Comparison
from sae_audit.untrusted import printable


def junit(judged: Sequence[Judged]) -> str:
    """The whole file."""
    root = ElementTree.Element("testsuites", name="sae-audit compare")
    totals = [_suite(root, one) for one in judged]
    root.set("tests", str(sum(tests for tests, _, _ in totals)))
    root.set("failures", str(sum(failures for _, failures, _ in totals)))
    root.set("errors", str(sum(errors for _, _, errors in totals)))
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode", xml_declaration=True)
    return text + "\n"


def _suite(root: ElementTree.Element, judged: Judged) -> tuple[int, int, int]:
    """Adds a variant's suite; its numbers of tests, failures and errors."""
    comparison = judged.comparison
    parent, variant = (printable(name) for name in names_of(comparison))
    results = comparison.decision.limits
    failures = sum(one.outcome is Outcome.FAILS for one in results)
    unclear = [one for one in results if one.outcome is Outcome.CANNOT_TELL]
    skipped = sum(is_allowed(one, comparison) for one in unclear)
    errors = len(unclear) - skipped
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        name=f"{variant} against {parent}",
        tests=str(len(results)),
        failures=str(failures),
        errors=str(errors),
        skipped=str(skipped),
    )
    for result in results:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            name=str(result.limit),
            classname=variant,
            file=printable(judged.config),
        )
        _outcome(case, result, comparison)
    ElementTree.SubElement(suite, "system-out").text = printable(verdict(comparison.decision))
    return len(results), failures, errors


def _outcome(case: ElementTree.Element, result: LimitResult, comparison: Comparison) -> None:
    match result.outcome:
        case Outcome.FAILS:
            kind, name = "failure", "limit broken"
        case Outcome.CANNOT_TELL if is_allowed(result, comparison):
            kind, name = "skipped", "cannot tell, let pass"
        case Outcome.CANNOT_TELL:
            kind, name = "error", "cannot tell"
        case Outcome.WITHIN:
            ElementTree.SubElement(case, "system-out").text = printable(result.statement)
            return
    found = ElementTree.SubElement(case, kind, type=name, message=printable(result.statement))
    found.text = printable(result.statement)
