"""Flips are stated as the judge reads the answers, the score's count beside; if none was, so."""

from pathlib import Path

from sae_audit.findings import Confirmation, TextCheck
from sae_audit.record.run import Run
from sae_audit.report.page import render, summary
from tests.synthetic.findings import A, minimal, prompt_scores
from tests.synthetic.runs import synthetic_run
from tests.visible import seen

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
    said = (
        "4 of 7 refused prompts (57% [25%, 84%]) in text, by the judge strict, and 6 of 7 by score"
    )
    assert f"such sets flip {said}." in answer_to(run, ONE_SET)
    page = seen(render(run))
    head, _, _ = page.partition("Question")
    assert f"Minimal sets flip {said}" in head, "in the first lines"
    assert f"Such sets flip {said}" in page
    assert BY_SCORE not in answer_to(run, ONE_SET)


def test_without_answers_it_says_that_no_text_was_read(tmp_path: Path):
    run = run_of(tmp_path / "run", None)
    said = f"6 of 7 refused prompts (86% [49%, 97%]) {BY_SCORE}"
    assert f"such sets flip {said}." in answer_to(run, ONE_SET)
    assert f"Minimal sets flip {said}" in seen(render(run)).partition("Question")[0]
    assert BY_SCORE in answer_to(run, POOLED)
    assert "6 of 7 refused prompts by score; not confirmed in text" in run._repr_html_()


def test_a_judge_that_never_sees_compliance_leaves_no_flip_in_the_head_line(tmp_path: Path):
    run = run_of(tmp_path / "run", read({f"p{i}": False for i in range(6)}, n_not_flipped=1))
    assert "flip 0 of 7 refused prompts (0% [0%, 35%]) in text" in answer_to(run, ONE_SET)
    assert "0 of 7 refused prompts in text; 6 of 7 refused prompts by score" in run._repr_html_()


def test_the_pooled_set_is_stated_alike(tmp_path: Path):
    found = read({"p0": True, "p1": False, "p2": False}, n_not_flipped=0, case="pooled")
    answer = answer_to(run_of(tmp_path / "run", found), POOLED)
    assert "1 of 3 (33% [6%, 79%]) in text and " in answer
    assert answer.endswith(" by score.")


def test_counts_are_in_the_findings(tmp_path: Path):
    run = run_of(tmp_path / "run", read({f"p{i}": i < 4 for i in range(6)}, n_not_flipped=1))
    found = run.findings.model_dump(mode="json")["confirmation"]
    assert (found["n_flipped_in_text"], found["n_flipped_by_score"], found["n_refused"]) == (
        4,
        6,
        7,
    )
