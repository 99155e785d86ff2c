"""What a page says of template, refusal tokens, quantised weights and answers that were not judged."""

import json
from pathlib import Path

import yaml

from sae_audit.findings import Confirmation
from sae_audit.record.run import Run
from sae_audit.report.page import render
from tests.synthetic.runs import synthetic_run
from tests.visible import seen


def test_notes_prefix_and_quantisation_are_told(tmp_path: Path):
    plain = seen(render(synthetic_run(tmp_path)))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["notes"] = ["The chat template writes no <bos>."]
    manifest["model"]["quantised_from"] = "Q4_1 (GGUF: 210 Q4_1)"
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**config, "answer_prefix": "<think>\n"}))
    noted = seen(render(Run(tmp_path)))
    for sentence in (
        "The chat template writes no <bos>.",
        "dequantised from Q4_1 (GGUF: 210 Q4_1)",
        r"every answer begins with the prefix <think>\n",
    ):
        assert sentence in noted
        assert sentence not in plain


def test_answers_that_were_not_judged_are_counted(tmp_path: Path):
    run = synthetic_run(tmp_path)
    run.__dict__["confirmation"] = Confirmation.example(
        judge="substring", complied_random=None, n_not_judged=7
    )
    assert "thoughts alone after so many tokens: 7 more" in seen(render(run))
