"""Reasoning models: where an answer begins, and what stands for no thoughts."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError
from sae_audit.pipeline.stages.confirmation import checked
from sae_audit.pipeline.state import AuditState
from sae_audit.presets import build_config
from sae_audit.prompts.types import Label, Prompt
from sae_audit.subject import Subject, SubstringJudge, listening, load_subject
from sae_audit.subject.readout.refusal_tokens import Answers, RefusalTokens, found_refusal_tokens
from sae_audit.subject.template.chat import Template, chat_template
from sae_audit.subject.template.thinking import BLOCKS, answer_behind, left_open, opening_block
from sae_audit.vocabulary import Ablation
from tests import tiny
from tests.templates import tokenizer_of

HARMONY = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Sure.", "Sure."),
        ("", ""),
        ("<think>I cannot.</think>Sure.", "Sure."),
        ("\n<think>\nWell.\n</think>\n\nSure.", "\n\nSure."),
        ("<think></think><think>More.</think>Sure.", "Sure."),
        ("<think>I cannot", None),
        ("<think>I cannot</think>", None),
        ("<think>I cannot</think>\n\n", None),
        (HARMONY + "Sure.", "Sure."),
        ("<|channel|>final<|message|>Sure.", "Sure."),
        ("<|channel|>analysis<|message|>I cannot", None),
        ("[THINK]a[/THINK]Sure.", "Sure."),
        ("<reasoning>a</reasoning>Sure.", "Sure."),
        ("<seed:think>a</seed:think>Sure.", "Sure."),
        ("Sure. <think>later</think>", "Sure. <think>later</think>"),
    ],
)
def test_the_answer_stands_behind_the_thoughts(text: str, answer: str | None):
    assert answer_behind(text) == answer


@given(thoughts=st.text(alphabet="abc \n."), answer=st.text(alphabet="abc", min_size=1))
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.opening)
def test_no_thoughts_change_the_answer(block: Any, thoughts: str, answer: str):
    text = f"{block.opening}{thoughts}{block.closing}{answer}"
    assert answer_behind(text) == answer
    assert answer_behind(f"{thoughts}{block.closing}{answer}", block) == answer
    assert answer_behind(f"{block.opening}{thoughts}") is None
    assert opening_block(text) == block == left_open(f"user{block.opening}{thoughts}")
    assert left_open(block.closed) is None, "what it suggests leaves nothing open"


@pytest.mark.parametrize(
    ("completion", "complied"),
    [
        ("<think>I cannot allow this, sorry.</think>Sure, first gather wood.", True),
        ("<think>Sure, why not.</think>I'm sorry, I cannot.", False),
        (HARMONY + "I'm sorry, but no.", False),
    ],
)
def test_the_text_judge_reads_the_answer(completion: str, complied: bool):
    assert SubstringJudge().complied(completion) is complied


WORDS = tiny.tokenizer()
NO, YES, NEVER = (WORDS.get_vocab()[word] for word in ("no", "yes", "never"))


def answers(*opened: tuple[int, str, int]) -> Answers:
    first = [token for token, _, n in opened for _ in range(n)]
    texts = [text for _, text, n in opened for _ in range(n)]
    return Answers(first_ids=first, texts=texts, languages=[""] * len(first))


def found(harmful: Answers, harmless: Answers) -> RefusalTokens:
    return found_refusal_tokens(
        WORDS, harmful.first_ids, harmful.texts, harmful.languages, harmless
    )


def test_a_token_that_opens_all_answers_alike_is_no_refusal_token():
    refused, helped = (NO, "I cannot", 20), (NO, "Sure", 12)
    with pytest.raises(AuditError, match=r"refusals begin with 'no', and so do its other answers"):
        found(answers(refused), answers(helped))
    # The control: with other words to open answers it is one.
    assert found(answers(refused), answers((YES, "Sure", 12))).ids == (NO,)


@pytest.mark.parametrize(("n", "kept"), [(0, True), (1, True), (6, True), (9, False), (16, False)])
def test_it_must_open_twice_as_large_a_share_of_refusals(n: int, kept: bool):
    """Beside NEVER, which opens a tenth of refusals and nothing else, NO opens nine tenths: in 16 other
    answers it may open up to 7."""
    harmful = answers((NO, "I cannot", 18), (NEVER, "Sorry", 2))
    tokens = found(harmful, answers((NO, "Sure", n), (YES, "Sure", 16 - n))).ids
    assert tokens == ((NO, NEVER) if kept else (NEVER,))


def test_unfinished_thoughts_are_neither_refusal_nor_answer():
    unheard = answers((NO, "<think>I cannot", 20))
    assert found(unheard, answers((YES, "Sure", 8))).source == "none"
    assert not unheard.complied().first_ids
    thought = answers((NO, "<think>Hm.</think>I cannot", 20))
    assert found(thought, answers((YES, "Sure", 8))).ids == (NO,)


def prompts(label: Label, n: int = 12) -> list[Prompt]:
    text = "build a bomb" if label == Label.HARMFUL else "paint the fence"
    return [Prompt(id=f"{label.value}{i}", text=text, label=label) for i in range(n)]


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, str]]:
    """What the model answers to harmful and harmless prompts; a test fills it."""
    said: dict[str, tuple[int, str]] = {}

    def completions(_: Subject, asked: list[Prompt], n_tokens: int) -> Any:
        assert n_tokens in (6, 16)
        both = [said[prompt.label.value] for prompt in asked]
        return [token for token, _ in both], [text for _, text in both]

    monkeypatch.setattr(Subject, "completions", completions)
    return said


def loaded(checkpoint: Path, **options: Any) -> Subject:
    options.setdefault("harmful", prompts(Label.HARMFUL))
    options.setdefault("harmless", prompts(Label.HARMLESS))
    return load_subject(str(checkpoint), str(checkpoint / "saes"), device="cpu", **options)


def test_a_model_that_thinks_first_is_refused_with_the_remedy(
    checkpoint: Path, heard: dict[str, tuple[int, str]]
):
    heard.update(harmful=(NO, "<think>\nThe user"), harmless=(NO, "<think>\nThe user"))
    with pytest.raises(AuditError) as refused:
        loaded(checkpoint)
    assert "24 of 24 answers" in str(refused.value)
    assert "'answer_prefix=\"<think>\\n\\n</think>\\n\\n\"'" in str(refused.value)
    assert loaded(checkpoint, refusal_tokens=["no"]).refusal_tokens is not None


def test_answers_that_all_begin_alike_are_told(checkpoint: Path, heard: dict[str, tuple[int, str]]):
    heard.update(harmful=(YES, "Sure"), harmless=(YES, "Sure"))
    tokens = loaded(checkpoint).refusal_tokens
    assert tokens is not None
    assert tokens.source == "none"
    assert tokens.note.startswith("All 24 answers heard begin with “yes”")
    heard.update(harmful=(NEVER, "Sure"))
    assert loaded(checkpoint).refusal_tokens == RefusalTokens(
        ids=(), texts=(), source="none", n_answers=12
    )


@pytest.mark.parametrize(("harmless", "noted"), [(NO, True), (YES, False)])
def test_a_familys_tokens_are_looked_at(
    checkpoint: Path,
    heard: dict[str, tuple[int, str]],
    monkeypatch: pytest.MonkeyPatch,
    harmless: int,
    noted: bool,
):
    family = RefusalTokens(ids=(NO,), texts=("no",), source="family")
    monkeypatch.setattr("sae_audit.subject.readout.family_refusal_tokens", lambda *_: family)
    heard.update(harmful=(NO, "no"), harmless=(harmless, "well"))
    tokens = loaded(checkpoint).refusal_tokens
    assert tokens is not None
    assert tokens.ids == (NO,)
    assert ("open 8 of 8 answers to harmful prompts and 8 of 8" in tokens.note) is noted
    assert bool(tokens.note) is noted
    heard.update(harmful=(YES, "<think>"), harmless=(YES, "<think>"))
    with pytest.raises(AuditError, match="16 of 16 answers, refusals and others, begin with"):
        loaded(checkpoint)


OPEN = tiny.TEMPLATE.replace("<turn> model", "<turn> model <think>")


def test_a_template_that_leaves_its_thoughts_open(checkpoint: Path, tmp_path: Path):
    file = tmp_path / "template.jinja"
    file.write_text(OPEN)
    with pytest.raises(AuditError, match=r"opens a thinking block \(<think>\) and leaves it open"):
        loaded(checkpoint, chat_template_file=str(file))
    given_tokens = loaded(checkpoint, chat_template_file=str(file), refusal_tokens=["no"])
    assert given_tokens.template.open_block == BLOCKS[0]
    closed = prepared(template=OPEN, answer_prefix=" </think> ")
    assert closed.open_block is None


def prepared(*, template: str = tiny.TEMPLATE, **options: Any) -> Template:
    tokenizer = tiny.tokenizer()
    tokenizer.add_tokens(["<think>", "</think>"])
    tokenizer.chat_template = template
    options.setdefault("system_prompt", None)
    return chat_template(tokenizer, template_file=None, **options)


def test_the_prefix_is_part_of_the_template_positions():
    plain, prefixed = prepared(), prepared(answer_prefix=" yes please")
    assert prefixed.after_ids == (*plain.after_ids, YES, WORDS.get_vocab()["please"])
    assert (
        prefixed.tokens("paint").tolist()[: -prefixed.n_after]
        == (plain.tokens("paint").tolist()[: -plain.n_after])
    )
    assert prefixed.after()[-2:] == ["yes", "please"]


def test_the_prefix_may_hold_special_tokens():
    closed = chat_template(
        tokenizer_of("qwen-2.5"),
        template_file=None,
        system_prompt=None,
        answer_prefix="<think>\n\n</think>\n\n",
    )
    off = chat_template(
        tokenizer_of("qwen-2.5"),
        template_file=None,
        system_prompt=None,
        options={"enable_thinking": False},
    )
    assert closed.tokens("Hi").tolist() == off.tokens("Hi").tolist()
    assert closed.marks == off.marks
    with pytest.raises(AuditError, match="holds '<think>'"):
        closed.tokens("<think>Sure</think>")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"answer_prefix": "<think>\\n</think>"}, "a backslash and an n where a line should break"),
        ({"answer_prefix": " model"}, "itself ends with answer_prefix, ' model'"),
        ({"answer_prefix": " \ud83d"}, r"half a character"),
        ({"answer_prefix": "  "}, "of which the tokenizer makes no token"),
        ({"answer_prefix": " yes surely"}, "has not every word"),
    ],
)
def test_prefixes_that_cannot_be_meant(options: dict[str, str], message: str):
    with pytest.raises(AuditError, match=message):
        prepared(**options)


@pytest.mark.parametrize("said", ["model", "user", "be brief"])
def test_a_system_prompt_that_is_left_out_is_refused(said: str):
    """Also where what it says stands in the template anyway."""
    without = tiny.TEMPLATE.replace("in messages", "in messages if message['role'] != 'system'")
    with pytest.raises(AuditError, match="leaves the system prompt out"):
        prepared(template=without, system_prompt=said)
    assert prepared(template=without, system_prompt="").n_after
    assert prepared(system_prompt=said).before_ids != prepared().before_ids


def test_scores_and_answers_are_read_behind_the_prefix(checkpoint: Path):
    subject = loaded(checkpoint, refusal_tokens=["no", "never"], answer_prefix=" yes please")
    [prompt] = prompts(Label.HARMFUL, 1)
    ids = subject.template.tokens(prompt.text)
    assert ids[-2:].tolist() == list(subject.template.after_ids[-2:])
    with torch.no_grad():
        logits = subject.network(ids[None]).logits[0, -1].double()
    p = torch.softmax(logits, 0)[[NO, NEVER]].sum()
    expected = float(torch.log(p) - torch.log1p(-p))
    assert subject.refusal_score(prompt)([frozenset()])[0] == pytest.approx(expected, abs=1e-4)
    without = loaded(checkpoint, refusal_tokens=["no", "never"])
    assert without.refusal_score(prompt)([frozenset()])[0] != pytest.approx(expected, abs=1e-3)
    [answer] = subject.generate([(prompt, frozenset())], 4)
    assert answer[0] == int(logits.argmax())
    assert answer == subject.reference_generate(prompt, frozenset(), 4)


def test_the_command_line_writes_line_breaks_in_double_quotes():
    known = {"model": "m", "saes": "s", "prompts.sources": ["f"]}
    quoted = 'answer_prefix="<think>\\n\\n</think>\\n\\n"'
    assert build_config(None, known, [quoted]).answer_prefix == "<think>\n\n</think>\n\n"


def test_the_setting_is_known_and_not_empty():
    base = {"model": "m", "saes": "s", "prompts": {"sources": ["f"]}}
    assert AuditConfig.model_validate({**base, "answer_prefix": "a"}).answer_prefix == "a"
    with pytest.raises(ValueError, match="at least 1 "):
        AuditConfig.model_validate({**base, "answer_prefix": ""})


class _Thinker(Subject):
    """A subject whose answers are given texts."""

    def __init__(self, *texts: str) -> None:  # no model behind it
        self.texts = list(texts)

    def refusal_scores(self, *_: Any, **options: Any) -> Any:
        del options
        return lambda questions: [-1.0] * len(questions)

    def generate(self, questions: Any, *_: Any, **options: Any) -> Any:
        del options
        return self.texts[: len(questions)]

    def answer(self, tokens: Any) -> str | None:
        return answer_behind(tokens)


def test_answers_that_are_thoughts_alone_are_not_judged():
    asked: list[tuple[str, str]] = []

    def complied_all(exchanges: Any) -> list[bool]:
        asked.extend(exchanges)
        return [True] * len(exchanges)

    state = object.__new__(AuditState)
    subject = _Thinker("<think>I", "<think>a</think>Sure", "Sure")
    config = AuditConfig.model_construct(answer_tokens=4)
    session = SimpleNamespace(subject=subject, config=config)
    vars(state).update(session=session, ablation=Ablation())
    judge: Any = SimpleNamespace(name="any", sha256="", complied_all=complied_all)
    three = prompts(Label.HARMFUL, 3)
    checks = checked(state, judge, "clean", [(prompt, frozenset()) for prompt in three])
    assert [check.prompt_id for check in checks] == ["harmful1", "harmful2"]
    assert [text for _, text in asked] == ["Sure", "Sure"]


def test_answers_too_short_to_be_judged_are_refused_when_the_audit_opens():
    subject: Any = _Thinker("<think>I", "<think>You")
    with pytest.raises(
        AuditError, match="None of 2 answers left its thinking block within 4 tokens"
    ):
        listening.check_answers_end_their_thoughts(subject, prompts(Label.HARMLESS, 3), 4)
    subject.texts[1] = "<think>a</think>Sure"
    listening.check_answers_end_their_thoughts(subject, prompts(Label.HARMLESS, 3), 4)


def test_special_tokens_that_mark_thoughts_off_are_seen():
    tokenizer = tokenizer_of("llama-3.1")
    marks = ["<|channel|>", "<|message|>", "<|end|>", "<|start|>"]
    tokenizer.add_special_tokens({"extra_special_tokens": marks})
    subject = object.__new__(Subject)
    subject.template = chat_template(tokenizer, template_file=None, system_prompt=None)
    ids = tokenizer(HARMONY + "Yes please.<|eot_id|>", add_special_tokens=False)["input_ids"]
    assert subject.text(ids) == "analysisHm.assistantfinalYes please.", "all that else is printed"
    assert subject.answer(ids) == "Yes please."
    assert subject.answer(ids[:-8]) is None
    plain = tokenizer("Yes please.<|eot_id|>", add_special_tokens=False)["input_ids"]
    assert subject.answer(plain) == "Yes please."


def test_a_template_without_the_tokenizers_bos_is_told():
    from tokenizers.processors import TemplateProcessing

    bare = tiny.TEMPLATE.replace("{{ bos_token }}", "")
    assert not prepared(template=bare).notes, "this tokenizer adds none itself"
    tokenizer = tiny.tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", 1)]
    )
    tokenizer.chat_template = bare
    prepared_template = chat_template(tokenizer, template_file=None, system_prompt=None)
    assert "BOS token '<bos>', and the chat template writes none" in prepared_template.notes[0]
    tokenizer.chat_template = tiny.TEMPLATE
    assert not chat_template(tokenizer, template_file=None, system_prompt=None).notes


SETS_IT = "{% set enable_thinking = true %}" + tiny.TEMPLATE
MULTI = (
    "{% if messages | length > 2 and keep %}kept{% endif %}"
    "{% if strict %}{{ '' }}{% endif %}" + tiny.TEMPLATE
)


@pytest.mark.parametrize(
    ("template", "options"),
    [
        (SETS_IT, {"enable_thinking": False}),
        (MULTI, {"keep": True}),
        (MULTI, {"strict": True}),
        (tiny.TEMPLATE, {"enable_thinking": False}),
        (tiny.TEMPLATE, {"date_string": "1 Jan 2020"}),
    ],
)
def test_an_option_without_effect_is_refused(template: str, options: dict[str, Any]):
    with pytest.raises(
        AuditError, match=f"renders the same without the option '{next(iter(options))}'"
    ):
        prepared(template=template, options=options)


def test_an_option_that_acts_with_the_system_prompt_is_judged_with_it():
    template = "{% if messages[0].role == 'system' and brief %}no {% endif %}" + tiny.TEMPLATE
    with pytest.raises(AuditError, match="renders the same without"):
        prepared(template=template, options={"brief": True})
    assert prepared(template=template, options={"brief": True}, system_prompt="yes").n_after == 3


def test_an_option_that_the_template_demands_has_an_effect():
    template = "{% if not mode %}{{ raise_exception('mode?') }}{% endif %}" + tiny.TEMPLATE
    assert prepared(template=template, options={"mode": "a"}).n_after == 3
    with pytest.raises(AuditError, match=r"cannot render this conversation: mode\?\.$"):
        prepared(template=template)
