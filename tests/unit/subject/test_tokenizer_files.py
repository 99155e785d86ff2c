"""Broken tokenizers: one sentence, whatever is wrong with which file."""

import json
from pathlib import Path
from typing import Any

import pytest

from sae_audit.errors import AuditError
from sae_audit.subject import ModelOptions
from sae_audit.subject.checkpoint.checkpoint import Checkpoint
from sae_audit.subject.template.chat import chat_template
from tests import tiny

BACKEND = json.loads(tiny.tokenizer().backend_tokenizer.to_str())
WORDS = BACKEND["model"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("broken")
    tiny.model("llama").config.save_pretrained(made)
    tiny.tokenizer().save_pretrained(made)
    return made


def opened(folder: Path, *, tokenizer: Any = BACKEND, **settings: Any) -> None:
    kept = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<bos>", **settings}
    template = {"chat_template": tiny.TEMPLATE} if "chat_template" not in settings else {}
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text(json.dumps({**template, **kept}))
    made = Checkpoint(str(folder), ModelOptions()).tokenizer()
    chat_template(made, template_file=None, system_prompt=None)


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in BACKEND.items() if key != name}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"tokenizer": without("added_tokens")}, "lacks 'added_tokens'"),
        ({"tokenizer": without("model")}, "is broken: Model missing"),
        ({"tokenizer": []}, "holds no JSON object"),
        ({"tokenizer": "text"}, "holds no JSON object"),
        ({"tokenizer": None}, "holds no JSON object"),
        ({"tokenizer": {**BACKEND, "model": {"type": "Unheard"}}}, "is broken: data did not match"),
        ({"tokenizer": {**BACKEND, "model": {**WORDS, "vocab": {"a": "1"}}}}, "is broken"),
        ({"tokenizer": {**BACKEND, "added_tokens": [1]}}, "is broken"),
        ({"bos_token": ["a"]}, "is broken: Special token bos_token"),
        ({"tokenizer_class": 7}, "is broken"),
        ({"added_tokens_decoder": [1]}, "is broken"),
        ({"added_tokens_decoder": {"x": 1}}, "is broken"),
        ({"extra_special_tokens": {"a": 7}}, "is broken"),
        ({"model_max_length": "long"}, "is broken"),
        ({"chat_template": [1]}, "is broken"),
        ({"chat_template": 7}, "chat template is 7, which is no text"),
        ({"chat_template": "{% if"}, "cannot render this conversation: unexpected 'end of"),
    ],
)
def test_a_broken_tokenizer_is_one_sentence(folder: Path, broken: dict[str, Any], message: str):
    with pytest.raises(AuditError, match=message) as error:
        opened(folder, **broken)
    assert len(str(error.value).splitlines()) == 1
    opened(folder)  # the control: what it was made of is whole
