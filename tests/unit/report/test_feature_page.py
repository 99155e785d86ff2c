"""One feature as a page of its own: what is on it, and the committed sample."""

from pathlib import Path

import pytest

from sae_audit.errors import AuditError
from sae_audit.record.feature import parsed
from sae_audit.record.run import Run, load_run
from sae_audit.report.feature_page import render_feature
from tests.synthetic.findings import A
from tests.visible import Page

_REPORTS = Path(__file__).parents[3] / "reports"
_SAMPLE = _REPORTS / "sample-feature" / "index.html"
FEATURE = parsed("L2/554")


def test_the_sample_is_reproduced_from_the_record():
    page = render_feature(load_run(_REPORTS / "sample-organism"), FEATURE)
    assert page == _SAMPLE.read_text(encoding="utf-8")


def test_it_says_what_the_report_says_of_the_feature(run: Run):
    page, one = Page(render_feature(run, A)), run.features.of(A)
    for said in (one.verdict, *one.sentences):
        assert said in page.text
    for row in one.effects:
        assert f"{row.name} | {row.turned} | {row.interval} | {row.random} |" in page.text
    assert f"sae-audit feature RUN {A} --html FILE" in page.text


def test_it_stands_alone(run: Run):
    page = Page(render_feature(run, A))
    places = {given["id"] for _, given in page.elements if "id" in given}
    targets = [given.get("href") or "" for tag, given in page.elements if tag == "a"]
    assert {one for one in targets if one.startswith("#")} <= {f"#{place}" for place in places}
    assert not [tag for tag, given in page.elements if "src" in given or tag in {"link", "img"}]


def test_a_feature_of_an_audit_without_evidence_is_marked(run: Run):
    assert "was not shown in this audit" not in Page(render_feature(run, A)).text
    changed = Run(run.folder)
    none = [one for one in run.claims if one.about != "features"]
    changed.__dict__["claims"] = none
    assert "That features hold the refusal was not shown in this audit" in (
        Page(render_feature(changed, A)).text
    )


def test_a_feature_that_no_sae_has_is_refused(run: Run):
    with pytest.raises(AuditError):
        render_feature(run, parsed("L99/1"))
