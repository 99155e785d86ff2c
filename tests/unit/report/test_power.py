"""What an audit that found nothing could have seen, from the bench's own record."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from sae_audit.bench.power import N_PROMPTS as OF_BENCH
from sae_audit.findings import Claim, ClaimAbout
from sae_audit.report.page import render
from sae_audit.report.power import (
    COMMAND,
    MEASURED,
    N_MODELS,
    N_PROMPTS,
    SOURCE,
    measured_with,
    would_be_seen,
)
from tests.synthetic.findings import prompt_scores
from tests.synthetic.runs import synthetic_run
from tests.visible import seen

_ROOT = Path(__file__).parents[3]
_OF_BENCH = _ROOT / "benchmarks" / "results" / "hostile.json"


def test_the_table_is_that_of_the_bench_and_names_what_repeats_it():
    record = json.loads(_OF_BENCH.read_text(encoding="utf-8"))
    assert record["command"] == COMMAND
    claims = {one.claim for one in MEASURED}
    measured = {
        (row["claim"], row["mechanism"], row["n_prompts"]): (
            round(row["stands"]["value"] * row["stands"]["n"]),
            row["stands"]["n"],
        )
        for row in record["power"]
        if row["claim"] in claims
    }
    stated = {
        (one.claim.value, one.planted, n): (found, N_MODELS)
        for one in MEASURED
        for n, found in one.found.items()
    }
    assert stated == measured
    assert N_PROMPTS == OF_BENCH
    assert COMMAND in (_ROOT / SOURCE).read_text(encoding="utf-8")


@pytest.mark.parametrize("about", ClaimAbout)
@pytest.mark.parametrize("n", [1, 20, 39, 40, 99, 100, 5000])
def test_every_claim_and_number_of_prompts_has_a_clause_or_was_not_measured(
    about: ClaimAbout, n: int
):
    said = would_be_seen(about, n)
    assert bool(said) == (about in {one.claim for one in MEASURED})
    assert ("not 1" in said) == (n == 1 and bool(said)), "fewer prompts than were measured"


@pytest.mark.parametrize(
    ("about", "n", "said"),
    [
        (
            ClaimAbout.BACKUPS,
            40,
            "one that holds in fewer than about half of the prompts would rarely",
        ),
        (ClaimAbout.PAIRS, 40, "in fewer than about a quarter of the prompts would rarely"),
        (
            ClaimAbout.PAIRS,
            100,
            "pairs that interact in a tenth of the prompts were found in 7 of 12",
        ),
        (ClaimAbout.HARM, 20, "in fewer than about 80% of the prompts would often not"),
        (
            ClaimAbout.FEATURES,
            40,
            "where features do carry refusal, that was shown in 18 of 36 test models",
        ),
        (
            ClaimAbout.DIRECTIONS_BEHIND,
            40,
            "second direction, it was found in 13 of 24 test models",
        ),
    ],
)
def test_the_clause_is_what_was_measured(about: ClaimAbout, n: int, said: str):
    assert said in would_be_seen(about, n)


def test_an_audit_is_held_against_no_more_prompts_than_it_has():
    assert [measured_with(n) for n in (5, 20, 39, 40, 99, 100, 300)] == [
        20,
        20,
        20,
        40,
        40,
        100,
        100,
    ]


def test_strengths_of_a_claim_rise():
    for a, b in pairwise(MEASURED):
        if a.claim is b.claim and a.part is not None and b.part is not None:
            assert a.part < b.part


def test_the_page_has_the_table_with_its_source_and_what_each_fallen_claim_would_have_missed(
    tmp_path: Path,
):
    claims = [Claim.example(about=one, stands=False, n=40) for one in ClaimAbout]
    scores = prompt_scores([4.0] * 40, [-5.0] * 40)
    run = synthetic_run(tmp_path / "run", scores=scores, found={"claims": [claims]})
    page = seen(render(run))
    for one in MEASURED:
        cells = " | ".join(f"{found} of {N_MODELS}" for found in one.found.values())
        assert f"| {one.planted} | {cells} |" in page
    assert f"Source: {SOURCE}; repeated by {COMMAND}." in page
    for about in (ClaimAbout.BACKUPS, ClaimAbout.PAIRS, ClaimAbout.FEATURES):
        said = would_be_seen(about, 40)
        assert page.count(f"{said[0].upper()}{said[1:]}.") >= 2, "beside the claim and among limits"
    assert "None found. One that holds in fewer than about half of the prompts" in page
    standing = [Claim.example(about=one, stands=True, n=40) for one in ClaimAbout]
    shown = synthetic_run(tmp_path / "shown", scores=scores, found={"claims": [standing]})
    assert "would rarely have been seen" not in seen(render(shown))
