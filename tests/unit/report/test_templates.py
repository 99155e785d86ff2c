"""Templates can be read and compared line by line."""

from importlib.resources import files
from pathlib import Path

import sae_audit
from sae_audit.report.page import SECTIONS

_LONGEST = 160


def test_no_line_of_a_template_is_too_long():
    root = Path(sae_audit.__file__).parent
    templates = list(root.rglob("*.j2"))
    assert {"report", "comparison", "bench", "pages"} == {
        path.relative_to(root).parts[0] for path in templates
    }
    found = {
        f"{path.relative_to(root)}:{number}"
        for path in templates
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if len(line) > _LONGEST
    }
    assert not found


def test_every_section_has_its_template():
    for section in SECTIONS:
        assert (files("sae_audit.report") / section.template).is_file()
