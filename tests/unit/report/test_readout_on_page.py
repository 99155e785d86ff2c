"""A page says what its scores were read by, and speaks of refusal tokens only where they were."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sae_audit.record.run import load_run
from sae_audit.report.page import render
from tests.visible import seen

_SAMPLE = Path(__file__).parents[3] / "reports" / "sample-organism"
_PAIR = {
    "kind": "token_pair",
    "threshold": 0.0,
    "bound": None,
    "tokens": [
        {"role": "declines", "id": 22, "text": "I"},
        {"role": "acts", "id": 40, "text": "<tool_call>"},
    ],
    "title": "Token pair",
    "score": "log sum exp of one less that of the other",
    "meaning": "log-odds, in nats, that the answer declines rather than acts",
    "missed": "What was said otherwise was not counted.",
}


def page(folder: Path, **changes: Any) -> str:
    """Of the sample's record, its manifest changed."""
    shutil.copytree(_SAMPLE, folder)
    file = folder / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return " ".join(seen(render(load_run(folder))).split())


def test_another_readout_is_named_and_refusal_tokens_are_not(tmp_path: Path):
    text = page(tmp_path / "run", refusal_tokens=None, readout=_PAIR)
    assert "refusal token" not in text.lower()
    assert (
        "Scores are log-odds, in nats, that the answer declines rather than acts: above 0" in text
    )
    assert "log sum exp of one less that of the other. Nats; above 0" in text
    assert "(“I” declines, “<tool_call>” acts). What was said otherwise was not counted." in text
    assert "I (id 22) declines, <tool_call> (id 40) acts." in text


@pytest.mark.parametrize("threshold", [0.0, 1.5])
def test_a_threshold_is_said_where_one_is_taken_off(tmp_path: Path, threshold: float):
    readout = {"kind": "refusal_tokens", "threshold": threshold}
    text = page(tmp_path / "run", readout=readout)
    assert ("The threshold, 1.5 nats, is taken off every score." in text) is (threshold > 0.0)
    assert (", less a threshold of 1.5: above 0 the model refuses" in text) is (threshold > 0.0)
    assert "Refusal tokens" in text
