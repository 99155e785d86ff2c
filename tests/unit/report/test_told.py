"""What a page says of template, refusal tokens, quantised weights and answers that were not judged."""

import json
from pathlib import Path

import yaml

from sae_audit.findings import Confirmation, Estimate, TextCheck
from sae_audit.record.run import Run
from sae_audit.report.page import render
from tests.unit.report.synthetic import synthetic_run
from tests.unit.report.visible import seen


def test_notes_prefix_and_quantisation_are_told(tmp_path: Path):
    plain = seen(render(synthetic_run(tmp_path)))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["notes"] = ["The chat template writes no <bos>."]
    manifest["model"]["quantised_from"] = "Q4_1 (GGUF: 210 Q4_1)"
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**config, "answer_prefix": "<think>\n"}))
    told = seen(render(Run(tmp_path)))
    for sentence in (
        "The chat template writes no <bos>.",
        "dequantised from Q4_1 (GGUF: 210 Q4_1)",
        r"every answer begins with the prefix <think>\n",
    ):
        assert sentence in told
        assert sentence not in plain


def test_answers_that_were_not_judged_are_counted(tmp_path: Path):
    run = synthetic_run(tmp_path)
    half = Estimate(value=0.5, low=0.1, high=0.9, n=2, method="exact")
    run.__dict__["confirmation"] = Confirmation(
        judge="substring",
        answer_tokens=32,
        checks=(TextCheck(prompt_id="a", case="clean", score=1.0, complied=False),),
        confirmed=half,
        complied_clean=half,
        complied_random=None,
        agreement=half,
        agreement_by_chance=0.5,
        n_not_judged=7,
    )
    assert "thoughts alone after so many tokens: 7 more" in seen(render(run))
