"""The words and numbers of the page of the committed sample record, all of them.

A change of the page shows here as a change of `sample_page.txt`. Where it is meant, write that anew:

    uv run python -m tests.unit.report.test_sample_page
"""

import re
from pathlib import Path

from sae_audit.record.run import load_run
from sae_audit.report.page import render
from tests.visible import seen

_SAMPLE = Path(__file__).parents[3] / "reports" / "sample-organism"
_TEXT = Path(__file__).with_name("sample_page.txt")


def sample_text() -> str:
    """Without the times at which the record was made, how long that took, and in how much memory."""
    text = seen(render(load_run(_SAMPLE)))
    text = re.sub(r"\d{4}-\d\d-\d\d(T[\d:.+]+Z?)?", "(date)", text)
    text = re.sub(r", [\d,]+ s; peak memory [\d.]+ [GM]B", ", (time and memory)", text)
    start, end = text.index("Cost of each stage"), text.index("A pass is one prompt")
    costs = re.sub(r"\| [\d,]+\.\d \|\n", "| (seconds) |\n", text[start:end])
    return f"{text[:start]}{costs}{text[end:]}\n"


def test_the_page_of_the_sample_record_says_what_it_said():
    assert sample_text() == _TEXT.read_text(encoding="utf-8")


def test_no_number_on_it_is_minus_zero():
    page = render(load_run(_SAMPLE))
    assert re.findall(r"(?<![\w.])[-\N{MINUS SIGN}]0(?:\.0+)?(?![\w.-])", page) == []


if __name__ == "__main__":
    _TEXT.write_text(sample_text(), encoding="utf-8")
