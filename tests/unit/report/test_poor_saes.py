"""SAEs that explain nothing are spoken of before anything else, on the page and on the terminal."""

from pathlib import Path

import numpy as np
import pytest

from sae_audit.cli.verdict_screen import print_findings, print_verdict
from sae_audit.findings import Estimate, NullKind, SaeQuality, explaining_nothing
from sae_audit.organisms.planted.families import build
from sae_audit.organisms.planted.plant import plant
from sae_audit.prompts.sources import kept_sources
from sae_audit.record.run import Run
from sae_audit.report.page import render, summary
from sae_audit.subject.saes.null_dictionary import null_suite
from tests.synthetic.runs import LAYERS, synthetic_run
from tests.visible import seen

SENTENCE = "These SAEs explain nothing of this model"


def explained(layer: int, high: float) -> SaeQuality:
    own = Estimate(value=high - 0.2, low=high - 0.4, high=high, n=80, method="t 95%")
    return SaeQuality.example(layer=layer, explained_variance_without_bos=own)


def run_of(folder: Path, *highs: float) -> Run:
    quality = [explained(layer, high) for layer, high in zip(LAYERS, highs, strict=True)]
    return synthetic_run(folder, found={"sae_quality": [quality]})


def test_it_is_said_first_if_no_layer_explains_anything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = run_of(tmp_path, -1.2, 0.0)
    page = seen(render(run))
    assert SENTENCE in page
    assert "these SAEs cannot tell" in page
    assert page.index("cannot tell") < page.index(SENTENCE) < page.index("What does it do?")
    assert summary(run)[0].answer.startswith(SENTENCE)
    print_findings(run)
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.startswith(SENTENCE)
    assert "-0.200 [-0.400, 0.000]" in printed
    print_verdict(run)
    assert "cannot tell" in capsys.readouterr().out.split("\n")[0]


def test_one_layer_that_explains_something_is_enough(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = run_of(tmp_path, -1.2, 0.01)
    assert SENTENCE not in seen(render(run))
    assert not summary(run)[0].answer.startswith(SENTENCE)
    print_findings(run)
    assert SENTENCE not in capsys.readouterr().out


def test_only_layers_that_sets_use_count():
    quality = [explained(1, -0.5), explained(2, 0.9)]
    assert [one.layer for one in explaining_nothing(quality, {1})] == [1]
    assert explaining_nothing(quality, {1, 2}) == ()
    assert explaining_nothing(quality, set()) == ()


def test_rotated_saes_explain_nothing_and_planted_ones_something(tmp_path: Path):
    planted = plant(build("parallel", 2, seed=1), tmp_path, architecture="llama")
    subject = planted.subject()
    prompts = list(kept_sources([str(planted.prompts)])[0].prompts[:16])
    r = np.eye(subject.d_model)[0]
    rotated = subject.with_saes(null_suite(subject.suite, NullKind.ROTATED, r, seed=(0,)))
    own, other = (one.sae_quality(prompts, seed=0) for one in (subject, rotated))
    assert not explaining_nothing(own, subject.layers)
    assert [one.layer for one in explaining_nothing(other, subject.layers)] == subject.layers
