"""No sentence of the first screen, of a chapter or of a summary row says more than its claim.

One run, whose claims, absence, answers, sets and SAEs are each set one way and another; the words are
then held against what stands, not against the code that chose them.
"""

import re
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sae_audit.findings import (
    AbsenceKind,
    Claim,
    ClaimAbout,
    Estimate,
    SaeQuality,
)
from sae_audit.record.run import Run
from sae_audit.report.chapters import CHAPTERS
from sae_audit.report.page import summary
from sae_audit.report.verdict.types import Reading
from sae_audit.report.verdict.verdict import verdict
from tests.synthetic.findings import A, B, absence, minimal, prompt_scores
from tests.synthetic.runs import LAYERS, synthetic_run
from tests.unit.report.test_verdict import coverage, read

N = 40
ASSERTED = {
    ClaimAbout.HARM: (r"as it should",),
    ClaimAbout.DIRECTION: (r"along the refusal direction", r"about the refusal direction"),
    ClaimAbout.FEATURES: (
        r"[Ee]ach refusal hangs on",
        r"that matter most",
        r"Features that hold it",
        r"Most important",
        r"SAEs that learned nothing of this model do worse",
    ),
    ClaimAbout.PAIRS: (r"^Yes\. A pair was named",),
    ClaimAbout.BACKUPS: (r"^Yes: features that were silent", r"^Yes\. They restore"),
}
"""What is only said of a claim that stands."""
NOT_WITH = (
    (r"[Nn]othing is claimed|explain nothing of this model", ASSERTED[ClaimAbout.FEATURES]),
    (r"rarely ended it", (r"hangs on", r"easy to remove", r"matter most", r"^few$", r"nearly all")),
    (r"how easily it is removed is open", (r"hangs on", r"is easy to remove", r"matter most")),
    (r"No claim about features stands", ASSERTED[ClaimAbout.FEATURES]),
    (r"None found", (r"^Yes: features that were silent", r"^Yes\. They restore")),
    (r"Refuses too (little|much)", (r"as it should",)),
    (r"no features found that hold", (r"hangs on", r"can be removed", r"is easy to remove")),
    (r"fell below 0 on \d+ of \d+ refused prompts", (r"[Ee]ach refusal",)),
)
"""What is never said on one page: whatever says the first says none of the others."""


@dataclass(frozen=True, kw_only=True)
class Case:
    standing: frozenset[ClaimAbout]
    absent: AbsenceKind | None = None
    complied: int | None = None
    """Answers that comply with the set off; None: not read."""
    n_flipped: int = N
    hidden: float = 0.04
    poor: bool = False

    def __str__(self) -> str:
        # In one order: every test process must give the test the same name.
        return "-".join([*sorted(self.standing), *([self.absent] if self.absent else [])])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return synthetic_run(
        tmp_path_factory.mktemp("words") / "run",
        scores=prompt_scores([4.0] * N, [-5.0] * N),
        minimal_sets=[minimal(f"p{i}", A, B) for i in range(N)],
    )


def words(base: Run, case: Case) -> list[str]:
    """Every phrase that the run has for a reader on its first screen, in chapters and in rows."""
    run = copy(base)
    sets = [
        minimal(f"p{i}", *((A, B)[: 1 + i % 2] if i < case.n_flipped else ())) for i in range(N)
    ]
    poor = Estimate(value=-0.2, low=-0.4, high=0.0, n=80, method="t 95%")
    run.__dict__ = base.__dict__ | {
        "claims": [
            Claim.example(about=one, stands=one in case.standing, n=40) for one in ClaimAbout
        ],
        "absence": None if case.absent is None else absence(case.absent),
        "confirmation": None if case.complied is None else read(case.complied, N),
        "minimal_sets": sets,
        "unlimited_sets": sets,
        "sae_coverage": coverage(case.hidden),
    }
    if case.poor:
        run.__dict__["quality"] = [
            SaeQuality.example(layer=one, explained_variance_without_bos=poor) for one in LAYERS
        ]
    found = verdict(run)
    important = "Most important" if found.features_matter else "In most sets"
    return [
        *re.split(r"; |, but ", found.headline),
        *found.sentences,
        *(said for one in found.figures for said in (one.short, one.word)),
        *found.care,
        *(one.said for one in found.steps),
        important,
        *(said for chapter in CHAPTERS for said in chapter.answer(run)),
        *(row.answer for row in summary(run)),
    ]


def cases() -> Iterator[Case]:
    kinds = [None, AbsenceKind.NOT_BEYOND_NULL]
    about = (ClaimAbout.HARM, ClaimAbout.DIRECTION, ClaimAbout.FEATURES, ClaimAbout.BACKUPS)
    for chosen in product((False, True), repeat=len(about)):
        standing = {one for one, stands in zip(about, chosen, strict=True) if stands}
        for kind in kinds:
            # An audit's claim about features falls where random features do as well.
            if kind is None or ClaimAbout.FEATURES not in standing:
                yield Case(standing=frozenset({*standing, ClaimAbout.PAIRS}), absent=kind)


def assert_no_more_than_stands(case: Case, said: list[str]) -> None:
    for about, phrases in ASSERTED.items():
        if about not in case.standing:
            for phrase in phrases:
                assert not [one for one in said if re.search(phrase, one)], (about, phrase, case)
    for first, others in NOT_WITH:
        if any(re.search(first, one) for one in said):
            for phrase in others:
                hits = [one for one in said if re.search(phrase, one)]
                assert not hits, (first, hits, case)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_what_falls_is_not_said(base: Run, case: Case):
    assert_no_more_than_stands(case, words(base, case))


@settings(max_examples=25, deadline=None)
@given(
    standing=st.frozensets(st.sampled_from(list(ClaimAbout))),
    beyond=st.booleans(),
    complied=st.none() | st.integers(0, N),
    n_flipped=st.integers(0, N),
    hidden=st.sampled_from([0.04, 0.7]),
    poor=st.booleans(),
)
def test_no_two_sentences_contradict(
    base: Run,
    standing: frozenset[ClaimAbout],
    beyond: bool,
    complied: int | None,
    n_flipped: int,
    hidden: float,
    poor: bool,
):
    if not beyond or poor or not n_flipped:
        standing -= {ClaimAbout.FEATURES}
    if not n_flipped:
        complied = None
    absent = None if beyond else AbsenceKind.NOT_BEYOND_NULL
    case = Case(
        standing=standing,
        absent=AbsenceKind.NO_FLIP if not n_flipped else absent,
        complied=None if complied is None else min(complied, n_flipped),
        n_flipped=n_flipped,
        hidden=hidden,
        poor=poor,
    )
    assert_no_more_than_stands(case, words(base, case))


def test_what_stands_is_said(base: Run):
    """Else silence would pass the tests above."""
    said = words(base, Case(standing=frozenset(ClaimAbout)))
    for about, phrases in ASSERTED.items():
        for phrase in phrases:
            if about is not ClaimAbout.DIRECTION:
                assert any(re.search(phrase, one) for one in said), phrase
    fallen = words(base, Case(standing=frozenset(ClaimAbout) - {ClaimAbout.FEATURES}))
    for phrase in ASSERTED[ClaimAbout.DIRECTION]:
        assert any(re.search(phrase, one) for one in fallen), phrase
    contrary = [
        Case(standing=frozenset(), absent=AbsenceKind.NOT_BEYOND_NULL),
        Case(standing=frozenset(), complied=0),
        Case(standing=frozenset(), complied=3),
        Case(standing=frozenset(), n_flipped=15),
        Case(standing=frozenset(), poor=True),
        Case(standing=frozenset(), n_flipped=0, absent=AbsenceKind.NO_FLIP),
    ]
    everything = [one for case in contrary for one in words(base, case)]
    for first, _ in NOT_WITH:
        if "too" not in first:
            assert any(re.search(first, one) for one in everything), first


def test_an_audit_in_which_random_features_do_as_well_claims_nothing(base: Run):
    standing = frozenset(ClaimAbout) - {ClaimAbout.FEATURES}
    case = Case(standing=standing, absent=AbsenceKind.NOT_BEYOND_NULL)
    run_words = words(base, case)
    assert any("nothing is claimed of these" in one for one in run_words)
    assert not any("hangs on" in one or "One feature" in one for one in run_words)
    assert "nothing claimed" in run_words
    assert Reading.LOOK.value not in run_words
