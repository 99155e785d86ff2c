"""Flips are stated as the judge reads the answers, the score's count beside; if none was, so."""

from pathlib import Path

from sae_audit.findings import Confirmation, ReadSet, TextCheck, TextSet
from sae_audit.pages.wording import NO_VALUE
from sae_audit.record.run import Run
from sae_audit.report.page import render, summary
from sae_audit.vocabulary import FeatureId
from tests.synthetic.findings import A, B, minimal, prompt_scores
from tests.synthetic.runs import synthetic_run
from tests.visible import rows_of, seen

ONE_SET, POOLED = "How few features hold up a refusal?", "Does one set work for all prompts?"
BY_SCORE = "by score; not confirmed in text"


def read(complied: dict[str, bool], *, n_not_flipped: int, case: str = "ablated") -> Confirmation:
    """Each of these prompts is flipped by score; the judge says whether its answer complies."""
    checks = [
        TextCheck(prompt_id=one, case=case, score=-0.5, complied=said)
        for one, said in complied.items()
    ]
    return Confirmation.example(
        judge="strict",
        checks=tuple(checks),
        complied_random=None,
        n_not_judged=0,
        n_not_flipped=n_not_flipped,
    )


def run_of(folder: Path, confirmation: Confirmation | None) -> Run:
    """Seven refused prompts, six of them flipped by score."""
    sets = [minimal(f"p{i}", A) for i in range(6)] + [minimal("p6")]
    rows = {} if confirmation is None else {"confirmation": [confirmation]}
    return synthetic_run(
        folder, scores=prompt_scores([4.0] * 7, [-5.0]), minimal_sets=sets, found=rows
    )


def answer_to(run: Run, question: str) -> str:
    (found,) = (row.answer for row in summary(run) if row.question == question)
    return found


def test_the_head_line_is_the_judges_count_over_all_refused_prompts(tmp_path: Path):
    found = read({f"p{i}": i < 4 for i in range(6)}, n_not_flipped=1)
    run = run_of(tmp_path / "run", found)
    said = "4 of 7 refused prompts (25% to 84%) in the written answer and 6 of 7 by score"
    assert f"such sets ended the refusal on {said}." in answer_to(run, ONE_SET)
    page = seen(render(run))
    head, _, _ = page.partition("What does it do?")
    assert "Answers that then complied, read as text | 4 of 7 | 25% to 84% |" in head
    assert f"Such sets end the refusal on {said}" in page
    assert BY_SCORE not in answer_to(run, ONE_SET)


def test_without_answers_it_says_that_no_text_was_read(tmp_path: Path):
    run = run_of(tmp_path / "run", None)
    said = f"6 of 7 refused prompts (49% to 97%) {BY_SCORE}"
    assert f"such sets ended the refusal on {said}." in answer_to(run, ONE_SET)
    head, _, _ = seen(render(run)).partition("What does it do?")
    assert "Refusals that then ended, by score alone | 6 of 7 | 49% to 97% |" in head
    assert BY_SCORE in answer_to(run, POOLED)
    assert "6 of 7 refused prompts by score; not confirmed in text" in run._repr_html_()


def test_a_judge_that_never_sees_compliance_leaves_no_flip_in_the_head_line(tmp_path: Path):
    run = run_of(tmp_path / "run", read({f"p{i}": False for i in range(6)}, n_not_flipped=1))
    assert "on 0 of 7 refused prompts (0% to 35%) in the written answer" in answer_to(run, ONE_SET)
    assert "0 of 7 refused prompts in text; 6 of 7 refused prompts by score" in run._repr_html_()


def test_the_pooled_set_is_stated_alike(tmp_path: Path):
    found = read({"p0": True, "p1": False, "p2": False}, n_not_flipped=0, case="pooled")
    answer = answer_to(run_of(tmp_path / "run", found), POOLED)
    assert "1 of 3 prompts (6% to 79%) in the written answer and " in answer
    assert answer.endswith(" by score.")


def test_counts_are_in_the_findings(tmp_path: Path):
    run = run_of(tmp_path / "run", read({f"p{i}": i < 4 for i in range(6)}, n_not_flipped=1))
    found = run.findings.model_dump(mode="json")["confirmation"]
    assert (found["n_flipped_in_text"], found["n_flipped_by_score"], found["n_refused"]) == (
        4,
        6,
        7,
    )


def by_text(prompt_id: str, *features: FeatureId, n_read: int) -> TextSet:
    """A certified set of which the first feature was there by score; none without features."""
    read = tuple(
        ReadSet(features=(A,), score=-0.5, complied=bool(features) and n_read == 1)
        for _ in range(n_read)
    )
    return TextSet.example(
        prompt_id=prompt_id,
        features=features,
        added=features[1:],
        spared=(),
        ablated_score=-1.5 if features else None,
        score_without={one: 0.25 if one == A else -0.25 for one in features},
        complied_without={one: False for one in features if one != A},
        read=read,
        reason="" if features else "Flipped by score alone: none of 7 answers read complies.",
    )


class TestSetsByText:
    QUESTION = "Which sets flip the text of the answer, none to be spared?"

    def run(self, folder: Path) -> Run:
        found = [
            by_text("p0", A, n_read=1),
            by_text("p1", A, B, n_read=5),
            by_text("p2", n_read=7),
        ]
        return synthetic_run(
            folder,
            scores=prompt_scores([4.0] * 3, [-5.0]),
            minimal_sets=[minimal(f"p{i}", A) for i in range(3)],
            found={"text_sets": found, "confirmation": [read({"p0": True}, n_not_flipped=0)]},
            confirm="text",
            minimal={"certify": "text"},
        )

    def test_the_summary_counts_them_over_the_prompts_flipped_by_score(self, tmp_path: Path):
        answer = answer_to(self.run(tmp_path / "run"), self.QUESTION)
        assert "Certified by text: 2 of 3 (67% [21%, 94%]) prompts flipped by score" in answer
        assert "On 1 of 3 the set by score is the one" in answer
        assert "reading 13 answers in all, at most 7 a prompt" in answer

    def test_every_prompt_has_its_row_with_what_was_added_and_read(self, tmp_path: Path):
        page = seen(render(self.run(tmp_path / "run")))
        own = page[page.index("\nCertified by text\n") : page.index("Every refused prompt")]
        rows = {one: rows_of(own, one)[0] for one in ("p0", "p1", "p2")}
        assert rows["p1"][:7] == ["1", "2", str(B), "", "-1.50", "5", "yes"]
        assert rows["p2"] == [
            *("1", NO_VALUE, "", "", NO_VALUE, "7", "no"),
            "Flipped by score alone: none of 7 answers read complies.",
        ]
        assert f"{A} | +0.250" in own
        assert f"{B} | -0.250, the answer refuses" in own

    def test_without_them_the_page_says_so_and_the_summary_has_no_row(self, tmp_path: Path):
        run = run_of(tmp_path / "run", None)
        assert "Not asked for (minimal.certify: text)" in seen(render(run))
        assert self.QUESTION not in {row.question for row in summary(run)}
