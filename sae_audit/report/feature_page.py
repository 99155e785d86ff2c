"""One feature as a page of its own, from the record; it stands alone and asks for nothing."""

from dataclasses import replace
from importlib.resources import files

from sae_audit.pages.document import document
from sae_audit.record.run import Run
from sae_audit.report.findings.features.section import shown, style
from sae_audit.report.verdict.standing import features_matter, why_not_features
from sae_audit.vocabulary import FeatureId


def render_feature(run: Run, feature: FeatureId) -> str:
    """The page; no prompt's words are on it.

    Raises:
        AuditError: no audited SAE has such a feature.
    """
    # Its neighbours by importance have no address here.
    one = replace(shown(run.features.of(feature), frozenset()), previous=None, following=None)
    return document(
        "sae_audit.report",
        "feature_page.html.j2",
        {},
        menu={"feature": one.id, "audit": "Where it is from", "repeat": "Repeat it"},
        first_style=(files("sae_audit.report") / "first.css").read_text(encoding="utf-8"),
        style_of_feature=style(),
        one=one,
        run=run,
        unshown="" if features_matter(run) else why_not_features(run),
    )
